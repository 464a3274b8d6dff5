/* SPDX-License-Identifier: MIT
 *
 * Signals that libuv watches, too: SIGCHLD beside uv_spawn(), and whatever a
 * uv_signal_t is for, in whichever order they start and stop.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b;

/* --- Children of uv_spawn() ----------------------------------------------- */

static unsigned long exits;

static void on_handle_closed(uv_handle_t* handle) {
  (void) handle;
}

static void on_exit(uv_process_t* process, int64_t status, int signum) {
  CHECK_EQ(status, 0);
  CHECK_EQ(signum, 0);
  exits++;
  uv_close((uv_handle_t*) process, on_handle_closed);
}

static void spawn_program(uv_loop_t* loop,
                          uv_process_t* process,
                          char* file,
                          int input) {
  char* arguments[] = {file, NULL};
  uv_stdio_container_t stdio = {.flags = UV_IGNORE};
  uv_process_options_t options;

  if (input >= 0) {
    stdio.flags = UV_INHERIT_FD;
    stdio.data.fd = input;
  }
  memset(&options, 0, sizeof(options));
  options.file = file;
  options.args = arguments;
  options.exit_cb = on_exit;
  options.stdio = &stdio;
  options.stdio_count = 1;
  CHECK_EQ(uv_spawn(loop, process, &options), 0);
}

/* A child that ends at once. */
static void spawn(uv_loop_t* loop, uv_process_t* process) {
  char file[] = "true";

  spawn_program(loop, process, file, -1);
}

/* And children that end when they are let go. */
static int holds[2] = {-1, -1};

static void spawn_held(uv_loop_t* loop, uv_process_t* process) {
  char file[] = "cat";

  if (holds[1] < 0)
    CHECK_EQ(pipe2(holds, O_CLOEXEC), 0);
  spawn_program(loop, process, file, holds[0]);
}

static void let_go(void) {
  close(holds[0]);
  close(holds[1]);
  holds[1] = -1;
}

static void watch(struct fixture* fixture, struct recorder* r, int signum) {
  recorder_init(r, &fixture->sig);
  recorder_start(r, signum);
}

/* Until both have been told. */
static void run_both(unsigned long children) {
  while (exits < children || a.calls == 0)
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  CHECK_EQ(exits, children);
}

static void check_no_zombie(void) {
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(errno, ECHILD);
}

static bool is_foreign(int signum) {
  struct sigaction action;

  CHECK_EQ(sigaction(signum, NULL, &action), 0);
  return action.sa_handler == count_foreign;
}

/* Another library: it saves what it finds, and calls it. */
enum { ENDLESS = 100 };
static struct sigaction saved;
static volatile sig_atomic_t other_calls;

static void call_saved(int signum, siginfo_t* info, void* context) {
  CHECK(++other_calls < ENDLESS); /* rather than until the stack is full */
  call_handler(&saved, signum, info, context);
}

static void stop_other(int signum) {
  CHECK_EQ(sigaction(signum, &saved, NULL), 0);
}

static void start_other(int signum) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = call_saved;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(signum, &action, &saved), 0);
}

/* However often ours has been called on the way, there was one signal. */
static void check_other_and_both_watchers(int signum) {
  raise(signum);
  CHECK(other_calls > 0);
  run_idle(&f.loop);
  CHECK_EQ(a.signals, 1);
  CHECK_EQ(b.signals, 1);
}

static void watch_first_then_spawn(void) {
  uv_process_t process;

  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  spawn(&f.loop, &process);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_WATCHED);
  run_both(1);
  check_no_zombie();
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
}

static void spawn_first_then_watch(void) {
  uv_process_t process;

  fixture_open(&f, NULL);
  spawn_held(&f.loop, &process);
  watch(&f, &a, SIGCHLD);
  let_go();
  run_both(1);
  check_no_zombie();
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
}

/* What libuv's handler is, is learnt from one of these, if it is not in use. */
static void use_signals_that_nobody_uses(void) {
  install_handler(SIGURG, count_foreign);
  install_handler(SIGWINCH, count_foreign);
  install_handler(SIGCONT, count_foreign);
}

static void watch_first_with_no_unused_signal(void) {
  use_signals_that_nobody_uses();
  watch_first_then_spawn();
  CHECK(is_foreign(SIGURG));
}

static void spawn_first_with_no_unused_signal(void) {
  use_signals_that_nobody_uses();
  spawn_first_then_watch();
  CHECK(is_foreign(SIGCONT));
}

static void stop_while_children_run_leaves_them_to_libuv(void) {
  uv_process_t processes[2];

  fixture_open(&f, NULL);
  spawn_held(&f.loop, &processes[0]);
  watch(&f, &a, SIGCHLD);
  spawn_held(&f.loop, &processes[1]);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_FOREIGN);
  let_go();
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(exits, 2);
  CHECK_EQ(a.calls, 0);
  check_no_zombie();
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void close_while_children_run_leaves_them_to_libuv(void) {
  uv_process_t process;

  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  spawn_held(&f.loop, &process);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  let_go();
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(exits, 1);
  check_no_zombie();
  close_loop(&f.loop);
}

static void the_handler_from_before_comes_back(void) {
  uv_process_t process;

  install_handler(SIGCHLD, count_foreign);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  spawn(&f.loop, &process);
  run_both(1);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_foreign(SIGCHLD));
  fixture_close(&f);
}

/* libuv goes on after us, and takes what was there before with it. What comes
 * back after a later watch is none of what an earlier one found. */
static void what_an_earlier_watch_found_is_forgotten(void) {
  uv_process_t process;

  install_handler(SIGCHLD, count_foreign);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  spawn_held(&f.loop, &process);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  let_go();
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
  spawn_held(&f.loop, &process);
  watch(&f, &a, SIGCHLD);
  let_go();
  run_both(2);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void watching_again_and_again_works(void) {
  uv_process_t process;
  int i;

  install_handler(SIGCHLD, count_foreign);
  fixture_open(&f, NULL);
  for (i = 1; i <= 5; i++) {
    watch(&f, &a, SIGCHLD);
    spawn(&f.loop, &process);
    run_both((unsigned long) i);
    run_idle(&f.loop);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    CHECK(is_foreign(SIGCHLD));
  }
  fixture_close(&f);
}

/* Standard signals merge: every exit is reported by libuv all the same. */
static void two_hundred_children_in_a_burst_leave_no_zombie(void) {
  enum { CHILDREN = 200 };
  static uv_process_t processes[CHILDREN];
  unsigned n = scaled(CHILDREN);
  unsigned i;

  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  watch(&f, &a, SIGCHLD);
  watch(&g, &b, SIGCHLD);
  for (i = 0; i < n; i++)
    spawn(&f.loop, &processes[i]);
  run_both(n);
  CHECK(uvsig_flush(&g.sig) > 0);
  CHECK(b.calls > 0);
  check_no_zombie();
  fixture_close(&f);
  fixture_close(&g);
}

/* What fills libuv's own signal pipe loses the SIGCHLD that comes behind it. */
static void a_flood_does_not_lose_the_exit_of_a_child(void) {
  uv_process_t process;
  siginfo_t info;

  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  watch(&f, &b, SIGUSR1);
  spawn(&f.loop, &process);
  raise_times(SIGUSR1, scaled(100000));
  /* It has ended, and the loop has not been round. */
  CHECK_EQ(UNINTERRUPTED(
               waitid(P_PID, (id_t) process.pid, &info, WEXITED | WNOWAIT)),
           0);
  run_both(1);
  run_until(&f.loop, &b.signals, scaled(100000));
  check_no_zombie();
  fixture_close(&f);
}

static void several_loops_spawn_and_watch(void) {
  uv_process_t processes[2];
  int first;

  for (first = 0; first < 2; first++) {
    exits = 0;
    fixture_open(&f, NULL);
    fixture_open(&g, NULL);
    spawn_held(&f.loop, &processes[0]);
    watch(&f, &a, SIGCHLD);
    watch(&g, &b, SIGCHLD);
    spawn_held(&g.loop, &processes[1]);
    let_go();
    while (exits < 2) {
      uv_run(&f.loop, UV_RUN_NOWAIT);
      uv_run(&g.loop, UV_RUN_NOWAIT);
    }
    while (a.calls == 0)
      CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
    while (b.calls == 0)
      CHECK(uv_run(&g.loop, UV_RUN_ONCE) != 0);
    fixture_close(first == 0 ? &f : &g);
    CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_WATCHED);
    fixture_close(first == 0 ? &g : &f);
    CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
    check_no_zombie();
  }
}

/* A watcher may wait for its own children, by their pids. */
static void a_watcher_may_wait_for_its_own_children(void) {
  uv_process_t process;
  int status;
  pid_t own;

  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  own = fork();
  CHECK(own >= 0);
  if (own == 0)
    _exit(7);
  spawn(&f.loop, &process);
  run_both(1);
  CHECK_EQ(UNINTERRUPTED(waitpid(own, &status, 0)), own);
  CHECK_EQ(WEXITSTATUS(status), 7);
  check_no_zombie();
  fixture_close(&f);
}

static void ignore(uv_signal_t* unused, int signum) {
  (void) unused;
  (void) signum;
}

static void close_one(uv_handle_t* handle, void* argument) {
  (void) argument;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

static void a_program_may_close_all_that_uv_walk_finds(void) {
  install_handler(SIGCHLD, count_foreign);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  uv_walk(&f.loop, close_one, NULL);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
  CHECK(is_foreign(SIGCHLD));
}

static void nothing_comes_back_where_libuv_was_first(void) {
  uv_signal_t first;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_signal_init(&f.loop, &first), 0);
  CHECK_EQ(uv_signal_start(&first, ignore, SIGCHLD), 0);
  watch(&f, &a, SIGCHLD);
  uv_walk(&f.loop, close_one, NULL);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
}

static void what_uv_walk_has_closed_is_shared_no_more(void) {
  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  uv_walk(&f.loop, close_one, NULL);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGCHLD), UV_EINVAL);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
  fixture_close(&f);
}

/* Each time, libuv has taken our handler away by then. */
static void tearing_down_by_uv_walk_again_and_again_loses_no_exit(void) {
  uv_process_t process;
  unsigned long i;

  for (i = 1; i <= 8; i++) {
    fixture_open(&f, NULL);
    watch(&f, &a, SIGCHLD);
    spawn(&f.loop, &process);
    while (exits < i)
      CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
    uv_walk(&f.loop, close_one, NULL);
    fixture_close(&f);
  }
  check_no_zombie();
}

/* What shares comes back on top of the other one, which holds ours. */
static void a_second_watcher_over_another_library_does_not_go_round(void) {
  fixture_open(&f, NULL);
  watch(&f, &a, SIGCHLD);
  start_other(SIGCHLD);
  watch(&f, &b, SIGCHLD);
  check_other_and_both_watchers(SIGCHLD);
  fixture_close(&f);
}

/* One thread watches and stops, the other one has children. */
static atomic_bool over;

static void watch_and_stop(void* unused) {
  struct recorder r;

  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&r, &g.sig);
  while (!over) {
    recorder_start(&r, SIGCHLD);
    uvsig_flush(&g.sig);
    CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
  }
  fixture_close(&g);
}

static void a_watcher_that_comes_and_goes_elsewhere_loses_no_exit(void) {
  uv_process_t process;
  uv_thread_t thread;
  uv_loop_t loop;
  unsigned long i;

  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer calls libuv's handler while libuv has its lock");
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_thread_create(&thread, watch_and_stop, NULL), 0);
  for (i = 1; i <= scaled(300) && has_time(); i++) {
    spawn(&loop, &process);
    CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(exits, i);
  }
  over = true;
  CHECK_EQ(uv_thread_join(&thread), 0);
  close_loop(&loop);
  check_no_zombie();
}

/* --- Stopped children ----------------------------------------------------- */

/* Stops itself, and goes on when it is told to. */
static pid_t start_stopping_child(void) {
  pid_t child = fork();

  CHECK(child >= 0);
  if (child == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  return child;
}

static void check_stops(unsigned flags, unsigned long expected) {
  int status;
  pid_t child;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, flags), 0);
  recorder_start(&a, SIGCHLD);
  child = start_stopping_child();
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, WUNTRACED)), child);
  CHECK(WIFSTOPPED(status));
  /* The kernel lets waitpid() see the stop before it sends the signal. */
  if (expected > 0)
    run_until(&f.loop, &a.calls, expected);
  uvsig_flush(&f.sig);
  CHECK_EQ(a.calls, expected);
  CHECK_EQ(kill(child, SIGCONT), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  /* Of the end it is told all the same, and then of all that was before. */
  if (expected == 0)
    run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void a_watcher_is_told_of_stopped_children(void) {
  check_stops(0, 1);
}

static void nocldstop_keeps_stopped_children_to_themselves(void) {
  check_stops(UVSIG_NOCLDSTOP, 0);
}

static void nocldstop_holds_while_no_other_watcher_wants_to_know(void) {
  struct sigaction action;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_NOCLDSTOP), 0);
  recorder_start(&a, SIGCHLD);
  CHECK_EQ(sigaction(SIGCHLD, NULL, &action), 0);
  CHECK((action.sa_flags & SA_NOCLDSTOP) != 0);
  watch(&f, &b, SIGCHLD);
  CHECK_EQ(sigaction(SIGCHLD, NULL, &action), 0);
  CHECK((action.sa_flags & SA_NOCLDSTOP) == 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(sigaction(SIGCHLD, NULL, &action), 0);
  CHECK((action.sa_flags & SA_NOCLDSTOP) != 0);
  fixture_close(&f);
}

/* --- uv_signal_t ---------------------------------------------------------- */

static uv_signal_t handle;
static unsigned long handle_calls;

static void on_handle(uv_signal_t* unused, int signum) {
  (void) unused;
  CHECK_EQ(signum, SIGUSR1);
  handle_calls++;
}

static void start_handle(void) {
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start(&handle, on_handle, SIGUSR1), 0);
}

static void start_shared_signal(struct fixture* fixture,
                                struct recorder* r,
                                int signum) {
  recorder_init(r, &fixture->sig);
  CHECK_EQ(uvsig_watcher_set_flags(&r->w, UVSIG_SHARE), 0);
  recorder_start(r, signum);
}

static void start_shared(struct fixture* fixture, struct recorder* r) {
  start_shared_signal(fixture, r, SIGUSR1);
}

static void check_both(unsigned long expected) {
  raise(SIGUSR1);
  while (a.calls < expected || handle_calls < expected)
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  CHECK_EQ(a.calls, expected);
  CHECK_EQ(handle_calls, expected);
}

static void end_both(void) {
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&f);
}

static void share_first_then_uv_signal(void) {
  fixture_open(&f, NULL);
  start_shared(&f, &a);
  start_handle();
  check_both(1);
  /* libuv's goes first: ours stays. */
  CHECK_EQ(uv_signal_stop(&handle), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  end_both();
}

static void uv_signal_first_then_share(void) {
  fixture_open(&f, NULL);
  start_handle();
  start_shared(&f, &a);
  check_both(1);
  /* Ours goes first: libuv's stays. */
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  raise(SIGUSR1);
  run_until(&f.loop, &handle_calls, 2);
  CHECK_EQ(a.calls, 1);
  end_both();
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

static void uv_signal_that_was_first_may_stop_first(void) {
  fixture_open(&f, NULL);
  start_handle();
  start_shared(&f, &a);
  CHECK_EQ(uv_signal_stop(&handle), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  end_both();
}

/* Somebody watches without, then somebody else with it. */
static void share_joins_a_watcher_without_and_leaves_it(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  watch(&g, &b, SIGUSR1);
  start_shared(&f, &a);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  start_handle();
  check_both(1);
  CHECK_EQ(uv_signal_stop(&handle), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  raise(SIGUSR1);
  run_until(&g.loop, &b.calls, 2);
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&g);
  CHECK(is_foreign(SIGUSR1));
  end_both();
}

static void a_handler_that_replaced_ours_survives_the_end_of_a_share(void) {
  fixture_open(&f, NULL);
  start_shared(&f, &a);
  install_handler(SIGUSR1, count_foreign);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_foreign(SIGUSR1));
  fixture_close(&f);
}

/* It holds ours, which goes on to what was there before libuv's. */
static void check_given_back_below_another(int signum, unsigned flags) {
  install_handler(signum, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, flags), 0);
  recorder_start(&a, signum);
  start_other(signum);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise(signum);
  CHECK_EQ(other_calls, 1);
  CHECK_EQ(foreign_calls, 1);
  stop_other(signum);
  raise(signum);
  CHECK_EQ(foreign_calls, 2);
  CHECK(is_foreign(signum));
  fixture_close(&f);
}

static void below_another_library_is_what_was_there_before_the_share(void) {
  check_given_back_below_another(SIGUSR1, UVSIG_SHARE);
}

static void below_another_library_a_shared_sigchld_is_given_back(void) {
  check_given_back_below_another(SIGCHLD, 0);
}

static void the_last_of_two_shares_gives_back_what_was_there_before(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  start_shared(&f, &a);
  start_shared(&g, &b);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_foreign(SIGUSR1));
  fixture_close(&f);
  fixture_close(&g);
}

/* It holds ours, which goes on to libuv's: that has a handle left. */
static void check_uv_signal_below_another(bool is_walked) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&g, NULL);
  start_shared(&g, &b);
  fixture_open(&f, NULL);
  start_handle();
  start_other(SIGUSR1);
  if (is_walked)
    uv_walk(&g.loop, close_one, NULL);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &handle_calls, 1);
  CHECK_EQ(other_calls, 1);
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&g);
  end_both();
}

static void below_another_library_uv_signal_outlives_a_share(void) {
  check_uv_signal_below_another(false);
}

static void below_another_library_uv_signal_outlives_a_torn_down_share(void) {
  check_uv_signal_below_another(true);
}

/* Each of the others is called once, in its order. */
static void a_share_ends_below_another_library_and_above_what_was_first(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  start_shared(&f, &a);
  start_other(SIGUSR1);
  recorder_init(&b, &g.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise(SIGUSR1);
  CHECK_EQ(other_calls, 1);
  CHECK_EQ(foreign_calls, 1);
  run_until(&g.loop, &b.signals, 1);
  fixture_close(&g);
  fixture_close(&f);
}

/* Without asking, libuv has taken the signal away; then somebody asks. */
static void share_brings_a_signal_back_that_libuv_has_taken(void) {
  fixture_open(&f, NULL);
  watch(&f, &b, SIGUSR1);
  start_handle();
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  start_shared(&f, &a);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  check_both(1);
  CHECK_EQ(b.calls, 1);
  end_both();
}

static void a_oneshot_handle_outlives_a_share(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start_oneshot(&handle, on_handle, SIGUSR1), 0);
  start_shared(&f, &a);
  watch(&f, &b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK((action_of(SIGUSR1).sa_flags & (int) SA_RESETHAND) != 0);
  raise(SIGUSR1);
  run_until(&f.loop, &handle_calls, 1);
  end_both();
}

/* libuv installs its handler anew for what is left, and for one call. */
static void start_oneshot_and_two_watchers(void) {
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start_oneshot(&handle, on_handle, SIGUSR1), 0);
  start_shared(&f, &a);
  watch(&g, &b, SIGUSR1);
}

static void a_oneshot_handle_and_a_watcher_outlive_a_share(void) {
  start_oneshot_and_two_watchers();
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  raise(SIGUSR1);
  run_until(&g.loop, &b.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK((action_of(SIGUSR1).sa_flags & (int) SA_RESETHAND) != 0);
  raise(SIGUSR1);
  run_until(&f.loop, &handle_calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&g);
  end_both();
}

static void below_another_library_a_oneshot_handle_outlives_a_share(void) {
  start_oneshot_and_two_watchers();
  start_other(SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  raise(SIGUSR1);
  CHECK_EQ(other_calls, 1);
  run_until(&f.loop, &handle_calls, 1);
  fixture_close(&g);
  end_both();
}

/* libuv installs it over whatever there is. */
static void a_oneshot_handle_that_outlives_a_share_is_not_ignored(void) {
  start_oneshot_and_two_watchers();
  install_handler(SIGUSR1, SIG_IGN);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &handle_calls, 1);
  fixture_close(&g);
  end_both();
}

static void a_second_share_over_another_library_does_not_go_round(void) {
  fixture_open(&f, NULL);
  start_handle();
  start_shared(&f, &a);
  start_other(SIGUSR1);
  start_shared(&f, &b);
  check_other_and_both_watchers(SIGUSR1);
  CHECK(handle_calls > 0);
  end_both();
}

/* It is over libuv's when ours comes, and must not be taken for that. It does
 * not stop while it is covered, and saves ours when it starts again. */
static void another_library_over_libuv_is_not_taken_for_libuv(void) {
  fixture_open(&f, NULL);
  start_handle();
  start_other(SIGUSR1);
  start_shared(&f, &a);
  start_shared(&f, &b);
  start_other(SIGUSR1);
  check_other_and_both_watchers(SIGUSR1);
  end_both();
}

/* libuv's handler is known if one of three signals has its default action. Else
 * the other library's is taken for it, which has no room on another stack. */
static void check_known_if_unused(int unused) {
  struct sigaction action;
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (signum != unused && signum != SIGUSR1 &&
        uvsig_getsignal(signum) == UVSIG_DEFAULT) {
      action = action_of(signum);
      action.sa_handler = count_foreign;
      (void) sigaction(signum, &action, NULL); /* refused: SIGKILL, SIGSTOP */
    }
  fixture_open(&f, NULL);
  start_handle();
  start_other(SIGUSR1);
  start_shared(&f, &a);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK_EQ(action_of(SIGUSR1).sa_flags & SA_ONSTACK, 0);
  CHECK_EQ(uvsig_getsignal(unused), UVSIG_DEFAULT);
  end_both();
}

static void libuvs_handler_is_learnt_from_sigurg(void) {
  check_known_if_unused(SIGURG);
}

static void libuvs_handler_is_learnt_from_sigwinch(void) {
  check_known_if_unused(SIGWINCH);
}

static void libuvs_handler_is_learnt_from_sigcont(void) {
  check_known_if_unused(SIGCONT);
}

/* It is below ours when the share comes, so it stays unknown. */
static void an_unknown_handler_of_libuv_goes_and_the_watcher_stays(void) {
  use_signals_that_nobody_uses();
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  start_handle();
  watch(&g, &b, SIGUSR1);
  start_shared(&f, &a);
  check_both(1);
  CHECK_EQ(uv_signal_stop(&handle), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK_EQ(action_of(SIGUSR1).sa_flags & SA_ONSTACK, 0);
  raise(SIGUSR1);
  run_until(&g.loop, &b.calls, 2);
  fixture_close(&g);
  end_both();
}

static void a_share_again_over_another_library_does_not_go_round(void) {
  fixture_open(&f, NULL);
  start_handle();
  start_shared(&f, &a);
  start_other(SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_shared(&f, &a);
  start_shared(&f, &b);
  check_other_and_both_watchers(SIGUSR1);
  end_both();
}

/* With its last handle libuv takes our handler away, which others need. */
static void check_the_other_loop(bool is_shared_first) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  if (is_shared_first)
    start_shared(&f, &a);
  watch(&g, &b, SIGUSR1);
  if (!is_shared_first)
    start_shared(&f, &a);
  uv_walk(&f.loop, close_one, NULL);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  raise(SIGUSR1);
  run_until(&g.loop, &b.calls, 1);
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&g);
  CHECK(is_foreign(SIGUSR1));
}

static void tearing_down_a_share_by_uv_walk_leaves_the_watcher_before(void) {
  check_the_other_loop(false);
}

static void tearing_down_a_share_by_uv_walk_leaves_the_watcher_after(void) {
  check_the_other_loop(true);
}

static void* raise_until_over(void* unused) {
  while (!over)
    raise(SIGUSR1);
  return unused;
}

/* libuv would have the default action for an instant, which is deadly. */
static void a_share_that_comes_and_goes_leaves_a_watcher_alone(void) {
  pthread_t thread;
  unsigned i;

  fixture_open(&f, NULL);
  watch(&f, &b, SIGUSR1);
  start_shared(&f, &a);
  CHECK_EQ(pthread_create(&thread, NULL, raise_until_over, NULL), 0);
  for (i = 0; i < scaled(2000) && has_time(); i++) {
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    CHECK(uvsig_flush(&f.sig) >= 0);
    recorder_start(&a, SIGUSR1);
  }
  over = true;
  CHECK_EQ(pthread_join(thread, NULL), 0);
  fixture_close(&f);
}

/* It was deadly before, whatever libuv has there. */
static void check_child_dies_by(int signum) {
  int status;
  pid_t child;

  fixture_open(&f, NULL);
  start_shared_signal(&f, &a, signum);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    raise(signum);
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
  fixture_close(&f);
}

static void a_child_of_a_fork_dies_by_a_shared_signal(void) {
  check_child_dies_by(SIGUSR1);
}

static void a_child_of_a_fork_dies_by_the_first_of_all_signals(void) {
  check_child_dies_by(1);
}

static void a_child_of_a_fork_dies_with_no_unused_signal(void) {
  use_signals_that_nobody_uses();
  check_child_dies_by(SIGUSR1);
}

static void raise_in_child(bool is_forked) {
  int status;
  pid_t child = fork();

  CHECK(child >= 0);
  if (child == 0) {
    if (is_forked) {
      CHECK_EQ(uv_loop_fork(&f.loop), 0);
      CHECK_EQ(uvsig_fork(&f.sig), 0);
      check_both(1);
      CHECK_EQ(foreign_calls, 0);
    } else {
      raise(SIGUSR1);
      CHECK_EQ(foreign_calls, 1);
    }
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
}

/* On top of ours, in the parent and so in the child, is another library. */
static void a_child_below_another_library_tells_libuvs_handles_nothing(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  start_shared(&f, &a);
  start_handle();
  start_other(SIGUSR1);
  raise_in_child(false);
  run_idle(&f.loop);
  CHECK_EQ(handle_calls, 0);
  CHECK_EQ(other_calls, 0);
  raise_in_child(true);
  check_both(1);
  end_both();
}

static void call_the_one_on_top(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  run_until(&f.loop, &a.calls, 1);
}

/* It was below libuv's when an earlier share came. Now it is on top. */
static void a_child_has_forgotten_what_an_earlier_share_found(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  start_shared(&f, &a);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_handle();
  start_shared(&f, &a);
  install_handler(SIGUSR1, count_foreign);
  watch(&g, &b, SIGUSR1);
  CHECK_EQ(run_forked(call_the_one_on_top), 0);
  fixture_close(&g);
  end_both();
}

static void expect_the_one_on_top(void) {
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
}

/* Whatever was there before libuv's. */
static void a_child_keeps_the_handler_on_top(void) {
  fixture_open(&f, NULL);
  start_shared(&f, &a);
  start_handle();
  install_handler(SIGUSR1, count_foreign);
  CHECK_EQ(run_forked(expect_the_one_on_top), 0);
  end_both();
}

static void a_child_shares_again_after_uvsig_fork(void) {
  int status;
  pid_t child;

  fixture_open(&f, NULL);
  start_shared(&f, &a);
  start_handle();
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK_EQ(uv_loop_fork(&f.loop), 0);
    CHECK_EQ(uvsig_fork(&f.sig), 0);
    check_both(1);
    end_both();
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  check_both(1);
  end_both();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(watch_first_then_spawn),
      TEST(spawn_first_then_watch),
      TEST(watch_first_with_no_unused_signal),
      TEST(spawn_first_with_no_unused_signal),
      TEST(stop_while_children_run_leaves_them_to_libuv),
      TEST(close_while_children_run_leaves_them_to_libuv),
      TEST(the_handler_from_before_comes_back),
      TEST(what_an_earlier_watch_found_is_forgotten),
      TEST(watching_again_and_again_works),
      TEST(two_hundred_children_in_a_burst_leave_no_zombie),
      TEST(a_flood_does_not_lose_the_exit_of_a_child),
      TEST(several_loops_spawn_and_watch),
      TEST(a_watcher_may_wait_for_its_own_children),
      TEST(a_program_may_close_all_that_uv_walk_finds),
      TEST(nothing_comes_back_where_libuv_was_first),
      TEST(what_uv_walk_has_closed_is_shared_no_more),
      TEST(tearing_down_by_uv_walk_again_and_again_loses_no_exit),
      TEST(a_second_watcher_over_another_library_does_not_go_round),
      TEST(a_watcher_that_comes_and_goes_elsewhere_loses_no_exit),
      TEST(a_watcher_is_told_of_stopped_children),
      TEST(nocldstop_keeps_stopped_children_to_themselves),
      TEST(nocldstop_holds_while_no_other_watcher_wants_to_know),
      TEST(share_first_then_uv_signal),
      TEST(uv_signal_first_then_share),
      TEST(uv_signal_that_was_first_may_stop_first),
      TEST(share_joins_a_watcher_without_and_leaves_it),
      TEST(a_handler_that_replaced_ours_survives_the_end_of_a_share),
      TEST(below_another_library_is_what_was_there_before_the_share),
      TEST(below_another_library_a_shared_sigchld_is_given_back),
      TEST(the_last_of_two_shares_gives_back_what_was_there_before),
      TEST(a_share_ends_below_another_library_and_above_what_was_first),
      TEST(below_another_library_uv_signal_outlives_a_share),
      TEST(below_another_library_uv_signal_outlives_a_torn_down_share),
      TEST(share_brings_a_signal_back_that_libuv_has_taken),
      TEST(a_oneshot_handle_outlives_a_share),
      TEST(a_oneshot_handle_and_a_watcher_outlive_a_share),
      TEST(below_another_library_a_oneshot_handle_outlives_a_share),
      TEST(a_oneshot_handle_that_outlives_a_share_is_not_ignored),
      TEST(a_second_share_over_another_library_does_not_go_round),
      TEST(another_library_over_libuv_is_not_taken_for_libuv),
      TEST(libuvs_handler_is_learnt_from_sigurg),
      TEST(libuvs_handler_is_learnt_from_sigwinch),
      TEST(libuvs_handler_is_learnt_from_sigcont),
      TEST(an_unknown_handler_of_libuv_goes_and_the_watcher_stays),
      TEST(a_share_again_over_another_library_does_not_go_round),
      TEST(tearing_down_a_share_by_uv_walk_leaves_the_watcher_before),
      TEST(tearing_down_a_share_by_uv_walk_leaves_the_watcher_after),
      TEST(a_share_that_comes_and_goes_leaves_a_watcher_alone),
      TEST(a_child_of_a_fork_dies_by_a_shared_signal),
      TEST(a_child_of_a_fork_dies_by_the_first_of_all_signals),
      TEST(a_child_of_a_fork_dies_with_no_unused_signal),
      TEST(a_child_below_another_library_tells_libuvs_handles_nothing),
      TEST(a_child_has_forgotten_what_an_earlier_share_found),
      TEST(a_child_keeps_the_handler_on_top),
      TEST(a_child_shares_again_after_uvsig_fork),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
