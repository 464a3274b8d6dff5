/* SPDX-License-Identifier: MIT
 *
 * Forks: the child is as if the library had never been there, until it asks for
 * signals of its own; and nothing of it reaches the parent.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b;

static void watch(struct recorder* r, int signum) {
  recorder_init(r, &f.sig);
  recorder_start(r, signum);
}

/* Nothing has reached the parent, and it works as before. */
static void check_parent(int signum) {
  uvsig_stats_t stats;

  run_idle(&f.loop);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.caught, 0);
  CHECK_EQ(stats.junk, 0);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_getsignal(signum), UVSIG_WATCHED);
  raise(signum);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, signum, 1, 0);
  fixture_close(&f);
}

static void join_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
}

static void check_no_full_buffer(void) {
  uvsig_stats_t stats;

  join_child();
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.full_buffers, 0);
  CHECK_EQ(stats.junk, 0);
}

static void the_parents_full_buffer_and_junk_are_not_the_childs(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;

  uvsig_options_init(&options);
  options.warn_on_full_buffer = 0;
  fixture_open(&f, &options);
  watch(&a, SIGUSR1);
  while (write(inside_of(&f.sig).write_fd, "", 1) == 1) /* doorbells */
    ;
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 1);
  CHECK_EQ(write(inside_of(&f.sig).write_fd, "\377", 1), 1);
  run_idle(&f.loop);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.full_buffers, 1);
  CHECK_EQ(stats.junk, 1);
  CHECK_EQ(run_forked(check_no_full_buffer), 0);
  fixture_close(&f);
}

/* --- As if it had never been there ---------------------------------------- */

static void use_foreign_handler(void) {
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
}

static void a_child_has_the_handler_from_before(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK_EQ(run_forked(use_foreign_handler), 0);
  CHECK_EQ(foreign_calls, 0);
  check_parent(SIGUSR1);
}

static void raise_usr1(void) {
  raise(SIGUSR1);
}

static void a_child_dies_by_what_was_deadly_before(void) {
  int status;

  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  status = run_forked(raise_usr1);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGUSR1);
  check_parent(SIGUSR1);
}

static void a_child_ignores_what_was_ignored_before(void) {
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK_EQ(run_forked(raise_usr1), 0);
  check_parent(SIGUSR1);
}

static void check_blocked(void) {
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
  raise(SIGUSR1);
  join_child();
  CHECK(!is_blocked(SIGUSR1));
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR1));
}

static void a_child_has_the_mask_from_before(void) {
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(run_forked(check_blocked), 0);
  CHECK(!is_blocked(SIGUSR1));
  check_parent(SIGUSR1);
}

static void check_open_after_join(void) {
  CHECK(is_blocked(SIGUSR1));
  join_child();
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(is_blocked(SIGUSR1));
}

static void check_open_in_grandchild(void) {
  CHECK_EQ(run_forked(check_open_after_join), 0);
}

/* The watcher that is left would not have unblocked it. */
static void a_joined_child_has_open_what_its_parent_has_open(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_KEEP_MASK), 0);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(run_forked(check_open_after_join), 0);
  CHECK_EQ(run_forked(check_open_in_grandchild), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

static int own[2];

static void use_no_wakeup_fd(void) {
  int old;

  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, &old), 0);
  CHECK_EQ(old, -1);
}

static void write_no_byte(void) {
  join_child();
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
}

static void a_child_has_no_wakeup_fd_of_its_own(void) {
  char byte;

  CHECK_EQ(pipe2(own, O_NONBLOCK), 0);
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK_EQ(uvsig_set_wakeup_fd(own[1], 1, NULL), 0);
  CHECK_EQ(run_forked(use_no_wakeup_fd), 0);
  CHECK_EQ(run_forked(write_no_byte), 0);
  CHECK_EQ(read(own[0], &byte, 1), -1);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, NULL), 0);
  close(own[0]);
  close(own[1]);
  check_parent(SIGUSR1);
}

static void run_the_loop(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(a.calls, 0);
}

/* What is readable for the parent must not keep the child busy. */
static void run_the_loop_and_sleep(void) {
  run_the_loop();
  CHECK_EQ(inside_of(&f.sig).is_polled, false);
}

static void a_child_that_runs_the_loop_takes_nothing_of_the_parents(void) {
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  CHECK_EQ(run_forked(run_the_loop_and_sleep), 0);
  run_until(&f.loop, &a.calls, 3);
  check_books(&f.sig, SIGUSR1, 3, 0);
  fixture_close(&f);
}

static bool renews_loop;

/* Without uv_loop_fork() the poller is the parent's, too. With it, what the
 * poller knows of a descriptor ends with it. */
static void close_polled(void) {
  if (renews_loop) {
    CHECK_EQ(uv_loop_fork(&f.loop), 0);
    uv_run(&f.loop, UV_RUN_NOWAIT);
    uv_run(&f.loop, UV_RUN_NOWAIT);
  }
  fixture_close(&f);
}

static void check_close_in_a_child(void (*open)(void)) {
  int i;

  for (i = 0; i < 2; i++) {
    renews_loop = i > 0;
    open();
    watch(&a, SIGUSR1);
    raise(SIGUSR1);
    run_until(&f.loop, &a.calls, 1);
    CHECK(inside_of(&f.sig).is_polled);
    CHECK_EQ(run_forked(close_polled), 0);
    raise(SIGUSR1);
    run_until(&f.loop, &a.calls, 2);
    fixture_close(&f);
  }
}

static void open_with_a_pipe(void) {
  fixture_open(&f, NULL);
}

static void open_with_a_socketpair(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
  fixture_open(&f, &options);
}

static void open_with_a_signalfd(void) {
  fixture_open_queued(&f);
}

static void a_child_that_closes_leaves_the_parents_poller_alone(void) {
  check_close_in_a_child(open_with_a_pipe);
  check_close_in_a_child(open_with_a_socketpair);
}

static void so_does_one_with_a_signalfd(void) {
  check_close_in_a_child(open_with_a_signalfd);
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  unsigned long* calls = req->data;

  CHECK_EQ(status, 0);
  CHECK_EQ(info->signum, SIGUSR2);
  ++*calls;
}

static void start_nothing(void) {
  uvsig_wait_t wait;
  sigset_t set;

  sigemptyset(&set);
  CHECK_EQ(uvsig_watcher_start(&b.w, record, SIGUSR2), UV_EBADF);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR2), UV_EBADF);
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, 0, on_wait), UV_EBADF);
  CHECK_EQ(uvsig_pause(&f.sig), UV_EBADF);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void before_uvsig_fork_a_child_can_stop_and_close_and_start_nothing(
    void) {
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  recorder_init(&b, &f.sig);
  CHECK_EQ(run_forked(start_nothing), 0);
  check_parent(SIGUSR1);
}

/* --- In a storm ----------------------------------------------------------- */

static atomic_bool over;

/* For this thread, and for whichever takes it: also the one that forks. */
static void* raise_until_over(void* unused) {
  while (!over) {
    raise(SIGUSR2);
    kill(getpid(), SIGUSR2);
    sched_yield();
  }
  return unused;
}

/* The parent sends as early as it can; the child waits until it has come. */
static void check_child_in_storm(void) {
  pid_t child = fork();
  int status;

  CHECK(child >= 0);
  if (child == 0) {
    while (foreign_calls == 0)
      sched_yield();
    _exit(0);
  }
  CHECK_EQ(kill(child, SIGUSR1), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
}

static void at_no_moment_after_a_fork_does_a_childs_signal_reach_the_parent(
    void) {
  unsigned n = scaled(10000);
  uvsig_stats_t stats;
  pthread_t thread;
  unsigned i;

  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer calls no handler while a child spins");
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  watch(&b, SIGUSR2);
  CHECK_EQ(pthread_create(&thread, NULL, raise_until_over, NULL), 0);
  for (i = 0; i < n && has_time(); i++) {
    check_child_in_storm();
    uvsig_flush(&f.sig);
  }
  over = true;
  CHECK_EQ(pthread_join(thread, NULL), 0);
  uvsig_flush(&f.sig);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(foreign_calls, 0);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.caught, 0);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.junk, 0);
  check_books(&f.sig, SIGUSR2, b.signals, 0);
  printf("# %u forks, and %lu signals in the parent\n", i, b.signals);
  fflush(stdout);
  fixture_close(&f);
}

/* --- Signals of its own --------------------------------------------------- */

static void check_own_signals(void) {
  struct inside inside;
  uvsig_stats_t stats;

  join_child();
  inside = inside_of(&f.sig);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.caught, 0);
  CHECK_EQ(fcntl(inside.read_fd, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(inside.write_fd, F_GETFD), FD_CLOEXEC);
  CHECK((fcntl(inside.read_fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(inside.write_fd, F_GETFL) & O_NONBLOCK) != 0);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.calls, 2);
  check_books(&f.sig, SIGUSR1, 2, 0);
  /* Everything works: further watchers, stop, close. */
  recorder_start(&b, SIGUSR2);
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

static void check_fork_with(uvsig_wakeup_t wakeup, uvsig_mode_t mode) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = wakeup;
  options.mode = mode;
  fixture_open(&f, &options);
  watch(&a, SIGUSR1);
  recorder_init(&b, &f.sig);
  if (mode == UVSIG_MODE_WAKE_ONLY) {
    CHECK_EQ(run_forked(run_the_loop), 0);
    check_parent(SIGUSR1);
    return;
  }
  CHECK_EQ(run_forked(check_own_signals), 0);
  check_parent(SIGUSR1);
}

static void uvsig_fork_gives_a_child_signals_of_its_own(void) {
  check_fork_with(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES);
}

static void uvsig_fork_works_with_a_socketpair(void) {
  check_fork_with(UVSIG_WAKEUP_SOCKETPAIR, UVSIG_MODE_BYTES);
}

static void a_child_in_wake_only_mode_takes_nothing_of_the_parents(void) {
  check_fork_with(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY);
}

/* The first one of its own, with all that belongs to it. */
static void raise_the_first(void) {
  uvsig_stats_t stats;

  join_child();
  check_books(&f.sig, SIGUSR1, 0, 0);
  b.calls = 0;
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(b.last.count, 1);
  CHECK_EQ(b.last.flags, 0);
  CHECK_EQ(b.last.pid, getpid());
  check_books(&f.sig, SIGUSR1, 1, 0);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.junk, 0);
  fixture_close(&f);
}

static void fail_to_warn(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  (void) warning;
  CHECK(false);
}

static void what_the_parent_has_caught_is_nothing_in_the_child(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.warning_cb = fail_to_warn;
  options.buffer_size = 1;
  options.warn_on_full_buffer = 0;
  fixture_open(&f, &options);
  watch(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.calls, 3);
  /* Of what comes next, a watcher that is not drained leaves bytes behind. */
  watch(&b, SIGUSR1);
  raise_times(SIGUSR1, 2);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(run_forked(raise_the_first), 0);
  /* And more than the pipe holds waits, with its senders. */
  raise_times(SIGUSR1, (unsigned) inside_of(&f.sig).capacity + 10);
  CHECK_EQ(run_forked(raise_the_first), 0);
  run_until(&f.loop, &b.signals, inside_of(&f.sig).capacity + 12);
  fixture_close(&f);
}

static void check_grandchild(void) {
  join_child();
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void check_child_of_child(void) {
  join_child();
  CHECK_EQ(run_forked(check_grandchild), 0);
  check_parent(SIGUSR1);
}

static void the_child_of_a_child_has_its_own_too(void) {
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK_EQ(run_forked(check_child_of_child), 0);
  /* And without the one in between: */
  CHECK_EQ(run_forked(check_grandchild), 0);
  check_parent(SIGUSR1);
}

/* The parent's remaining signals are not the child's, though it is in the
 * middle of their dispatch. */
static pid_t forked;

static void fork_in_callback(struct recorder* r) {
  r->then = NULL;
  forked = fork();
  CHECK(forked >= 0);
  if (forked == 0) {
    r->calls = 0;
    b.calls = 0;
    join_child();
  }
}

static void a_fork_in_a_callback_leaves_the_rest_to_the_parent(void) {
  struct recorder c;
  uvsig_stats_t stats;
  int status;

  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  watch(&b, SIGUSR1);
  a.then = fork_in_callback;
  raise_times(SIGUSR1, 3);
  CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  if (forked == 0) {
    /* Not even the second watcher of the same signal was called. */
    CHECK_EQ(a.calls + b.calls, 0);
    watch(&c, SIGUSR2);
    kill(getpid(), SIGUSR2);
    run_until(&f.loop, &c.calls, 1);
    CHECK_EQ(a.calls + b.calls, 0);
    uvsig_stats(&f.sig, 0, &stats);
    CHECK_EQ(stats.caught, 1);
    CHECK_EQ(stats.junk, 0);
    fixture_close(&f);
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(forked, &status, 0)), forked);
  CHECK_EQ(status, 0);
  run_until(&f.loop, &b.calls, 3);
  CHECK_EQ(a.calls, 3);
  check_books(&f.sig, SIGUSR1, 3, 0);
  fixture_close(&f);
}

static void fork_in_thread(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_fork(&f.sig), UV_EPERM);
  CHECK_EQ(run_forked(check_own_signals), 0);
}

static void a_thread_that_does_not_own_the_loop_may_fork(void) {
  uv_thread_t thread;

  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer does not follow a fork of a second thread");
  skip_under_valgrind("what other threads' stacks held is lost in the child");
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uv_thread_create(&thread, fork_in_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  check_parent(SIGUSR1);
}

static unsigned long waited;

static void check_wait(void) {
  join_child();
  raise(SIGUSR2);
  run_until(&f.loop, &waited, 1);
  CHECK_EQ(a.calls, 0);
  fixture_close(&f);
}

static void a_wait_goes_on_in_the_child(void) {
  uvsig_wait_t wait;
  sigset_t set;

  fixture_open(&f, NULL);
  watch(&a, SIGUSR2);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  wait.data = &waited;
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, INFINITY, on_wait), 0);
  CHECK_EQ(run_forked(check_wait), 0);
  CHECK_EQ(waited, 0);
  raise(SIGUSR2);
  run_until(&f.loop, &waited, 1);
  fixture_close(&f);
}

/* --- What its watchers want ----------------------------------------------- */

static void start_with(struct fixture* fixture,
                       struct recorder* r,
                       int signum,
                       unsigned flags) {
  recorder_init(r, &fixture->sig);
  CHECK_EQ(uvsig_watcher_set_flags(&r->w, flags), 0);
  recorder_start(r, signum);
}

/* One more signal calls the handler from before so often. */
static void check_chained(sig_atomic_t expected) {
  sig_atomic_t before = foreign_calls;

  raise(SIGUSR1);
  CHECK_EQ(foreign_calls - before, expected);
}

static bool is_nocldstop(void) {
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_WATCHED);
  return (action_of(SIGCHLD).sa_flags & SA_NOCLDSTOP) != 0;
}

/* In a loop of its own: with and without the chain, one after the other. */
static void check_own_chains(struct fixture* fixture) {
  struct recorder plain, chained;

  start_with(fixture, &plain, SIGUSR1, 0);
  check_chained(0);
  start_with(fixture, &chained, SIGUSR1, UVSIG_CHAIN);
  check_chained(1);
  CHECK_EQ(uvsig_watcher_stop(&chained.w), 0);
  check_chained(0);
  uvsig_flush(&fixture->sig);
  CHECK_EQ(plain.signals, 3);
  CHECK_EQ(uvsig_watcher_stop(&plain.w), 0);
  check_chained(1); /* it is back */
}

static void check_own_stops(struct fixture* fixture) {
  struct recorder plain, nocldstop;

  start_with(fixture, &nocldstop, SIGCHLD, UVSIG_NOCLDSTOP);
  CHECK(is_nocldstop());
  start_with(fixture, &plain, SIGCHLD, 0);
  CHECK(!is_nocldstop());
  CHECK_EQ(uvsig_watcher_stop(&plain.w), 0);
  CHECK(is_nocldstop());
  CHECK_EQ(uvsig_watcher_stop(&nocldstop.w), 0);
}

static void chain_in_own_loop(void) {
  fixture_open(&g, NULL);
  check_own_chains(&g);
  fixture_close(&g);
}

static void stop_in_own_loop(void) {
  fixture_open(&g, NULL);
  check_own_stops(&g);
  fixture_close(&g);
}

/* The parent wants the chain, and to know of stopped children. */
static void check_wants(void (*in_child)(void)) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  start_with(&f, &a, SIGUSR1, UVSIG_CHAIN);
  start_with(&f, &b, SIGCHLD, 0);
  CHECK_EQ(run_forked(in_child), 0);
  /* And still does. */
  check_chained(1);
  CHECK(!is_nocldstop());
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void the_chain_of_a_parent_is_not_for_a_childs_own_loop(void) {
  check_wants(chain_in_own_loop);
}

static void the_parents_stopped_children_are_not_for_a_childs_own_loop(void) {
  check_wants(stop_in_own_loop);
}

static void keep_then_stop(void) {
  struct recorder nocldstop;

  join_child();
  check_chained(1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  check_own_chains(&f);
  start_with(&f, &nocldstop, SIGCHLD, UVSIG_NOCLDSTOP);
  CHECK(!is_nocldstop());
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(is_nocldstop());
  fixture_close(&f);
}

static void what_inherited_watchers_want_they_have_after_uvsig_fork(void) {
  check_wants(keep_then_stop);
}

/* One stops, one stays: a stop takes nothing back that was never given. */
static void stop_one_then_join(void) {
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  join_child();
  check_own_chains(&f);
  CHECK(!is_nocldstop());
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  check_own_stops(&f);
  fixture_close(&f);
}

static void what_a_child_stops_before_uvsig_fork_wants_nothing_after(void) {
  check_wants(stop_one_then_join);
}

static void stop_after_own(void) {
  struct recorder chained, plain;

  fixture_open(&g, NULL);
  start_with(&g, &chained, SIGUSR1, UVSIG_CHAIN);
  start_with(&g, &plain, SIGCHLD, 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  fixture_close(&f); /* and with it the other one */
  check_chained(1);
  CHECK(!is_nocldstop());
  CHECK_EQ(uvsig_watcher_stop(&chained.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&plain.w), 0);
  check_own_chains(&g);
  check_own_stops(&g);
  fixture_close(&g);
}

static void what_a_child_closes_leaves_what_its_own_watchers_want(void) {
  check_wants(stop_after_own);
}

/* --- The end of what is inherited ----------------------------------------- */

static bool joins;

static void on_closed(uvsig_t* sig) {
  (void) sig;
  f.closed++;
}

/* A signal has come that libuv has still to tell our handle of: in the child
 * nobody will, and uv_close() of such a handle waits for it. */
static void close_inherited(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  if (joins)
    CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(uvsig_close(&f.sig, on_closed), 0);
}

static void check_end(void) {
  enum { ENDLESS = 1000 };
  int turns = 0;

  while (uv_loop_alive(&f.loop) && turns++ < ENDLESS)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(f.closed, 1);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void fork_and_close(struct recorder* r) {
  r->then = NULL;
  forked = fork();
  CHECK(forked >= 0);
  if (forked == 0)
    close_inherited();
}

static void check_close_in_callback(void) {
  int status;

  fixture_open(&f, NULL);
  watch(&a, SIGCHLD);
  a.then = fork_and_close;
  raise(SIGCHLD);
  CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0 || forked == 0);
  if (forked == 0) {
    check_end();
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(forked, &status, 0)), forked);
  CHECK_EQ(status, 0);
  fixture_close(&f);
}

static void a_child_of_a_sigchld_callback_can_close(void) {
  check_close_in_callback();
}

static void a_child_of_a_sigchld_callback_can_close_after_uvsig_fork(void) {
  joins = true;
  check_close_in_callback();
}

static void close_and_check_end(void) {
  close_inherited();
  check_end();
}

static void check_close_while_pending(void) {
  fixture_open(&f, NULL);
  watch(&a, SIGCHLD);
  raise(SIGCHLD);
  CHECK_EQ(run_forked(close_and_check_end), 0);
  fixture_close(&f);
}

static void a_child_can_close_while_sigchld_is_on_its_way(void) {
  check_close_while_pending();
}

static void a_child_can_close_after_uvsig_fork_while_sigchld_is_on_its_way(
    void) {
  joins = true;
  check_close_while_pending();
}

/* What the child itself is sent by then is in a pipe that libuv has still to
 * read, with the address of our handle: it must not go before. What the
 * program's own handle is told of says how far libuv has read. */
static uv_signal_t beside;
static unsigned long beside_calls;

static void on_beside(uv_signal_t* unused, int signum) {
  (void) unused;
  CHECK_EQ(signum, SIGCHLD);
  beside_calls++;
}

static void on_closed_after_beside(uvsig_t* sig) {
  CHECK_EQ(beside_calls, 1);
  uv_close((uv_handle_t*) &beside, NULL);
  on_closed(sig);
}

static void raise_and_close(struct recorder* r) {
  r->then = NULL;
  beside_calls = 0;
  raise(SIGCHLD);
  CHECK_EQ(uvsig_close(&f.sig, on_closed_after_beside), 0);
}

static void fork_raise_and_close(struct recorder* r) {
  r->then = NULL;
  forked = fork();
  CHECK(forked >= 0);
  if (forked != 0)
    return;
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  raise(SIGCHLD);
  CHECK_EQ(uvsig_close(&f.sig, on_closed_after_beside), 0);
}

static void raise_join_and_close(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  raise(SIGCHLD);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  run_idle(&f.loop);
  CHECK_EQ(beside_calls, 1);
  b.then = raise_and_close;
  raise(SIGUSR1);
  check_end();
}

static void start_beside(void) {
  fixture_open(&f, NULL);
  watch(&a, SIGCHLD);
  watch(&b, SIGUSR1);
  CHECK_EQ(uv_signal_init(&f.loop, &beside), 0);
  CHECK_EQ(uv_signal_start(&beside, on_beside, SIGCHLD), 0);
}

static void end_beside(void) {
  uv_close((uv_handle_t*) &beside, NULL);
  fixture_close(&f);
}

static void close_in_a_child_waits_for_what_libuv_has_still_to_read(void) {
  int status;

  start_beside();
  b.then = fork_raise_and_close;
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  if (forked == 0) {
    check_end();
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(forked, &status, 0)), forked);
  CHECK_EQ(status, 0);
  end_beside();
}

static void close_after_uvsig_fork_waits_for_what_libuv_has_still_to_read(
    void) {
  start_beside();
  CHECK_EQ(run_forked(raise_join_and_close), 0);
  end_beside();
}

/* --- Errors --------------------------------------------------------------- */

static void fork_without_descriptors(void) {
  struct rlimit limit;
  struct rlimit none;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  none = limit;
  none.rlim_cur = 3;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  CHECK_EQ(uvsig_fork(&f.sig), UV_EMFILE);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void without_descriptors_uvsig_fork_says_emfile_and_works_later(void) {
  skip_under_valgrind("it has descriptors of its own to find");
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK_EQ(run_forked(fork_without_descriptors), 0);
  check_parent(SIGUSR1);
}

static void fork_twice(void) {
  join_child();
  CHECK_EQ(uvsig_fork(&f.sig), UV_EINVAL);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_fork(&f.sig), UV_EINVAL);
}

static void uvsig_fork_is_for_children_once(void) {
  uvsig_t unset;

  memset(&unset, 0, sizeof(unset));
  CHECK_EQ(uvsig_fork(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_fork(&unset), UV_EINVAL);
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK_EQ(uvsig_fork(&f.sig), UV_EINVAL);
  CHECK_EQ(run_forked(fork_twice), 0);
  check_parent(SIGUSR1);
}

static void close_one(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

static void fork_without_handles(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), UV_EINVAL);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  fixture_close(&f);
}

/* Whoever closes all that uv_walk() finds has closed ours, too. */
static void without_its_handles_uvsig_fork_says_einval(void) {
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  uv_walk(&f.loop, close_one, NULL);
  CHECK_EQ(run_forked(fork_without_handles), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(run_forked(fork_without_handles), 0);
  fixture_close(&f);
}

/* --- Children that are none of ours --------------------------------------- */

static char name[] = "sleep";
static char seconds[] = "60";
static char* arguments[] = {name, seconds, NULL};

/* Each is sent a watched signal as early as can be, and dies by it. */
static void check_death(pid_t child) {
  int status;

  CHECK(child > 0);
  CHECK_EQ(kill(child, SIGUSR1), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGUSR1);
}

static void signals_to_what_vfork_made_are_not_the_parents(void) {
  pid_t child;

  skip_under_valgrind("its vfork() is a fork() that no atfork handler sees");
  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  /* The parent goes on when the program has been executed. */
  child = vfork();
  if (child == 0) {
    execvp(name, arguments);
    _exit(127);
  }
  check_death(child);
  check_parent(SIGUSR1);
}

static void signals_to_what_posix_spawn_made_are_not_the_parents(void) {
  char* environment[] = {NULL};
  pid_t child;

  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  CHECK_EQ(posix_spawnp(&child, name, NULL, NULL, arguments, environment), 0);
  check_death(child);
  check_parent(SIGUSR1);
}

static int exit_signal;

static void on_exit_of_child(uv_process_t* process,
                             int64_t status,
                             int signum) {
  (void) status;
  exit_signal = signum;
  uv_close((uv_handle_t*) process, NULL);
}

static void signals_to_what_uv_spawn_made_are_not_the_parents(void) {
  uv_process_options_t options;
  uv_process_t process;

  fixture_open(&f, NULL);
  watch(&a, SIGUSR1);
  memset(&options, 0, sizeof(options));
  options.file = name;
  options.args = arguments;
  options.exit_cb = on_exit_of_child;
  CHECK_EQ(uv_spawn(&f.loop, &process, &options), 0);
  CHECK_EQ(uv_process_kill(&process, SIGUSR1), 0);
  while (exit_signal == 0)
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  CHECK_EQ(exit_signal, SIGUSR1);
  check_parent(SIGUSR1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_parents_full_buffer_and_junk_are_not_the_childs),
      TEST(a_child_has_the_handler_from_before),
      TEST(a_child_dies_by_what_was_deadly_before),
      TEST(a_child_ignores_what_was_ignored_before),
      TEST(a_child_has_the_mask_from_before),
      TEST(a_joined_child_has_open_what_its_parent_has_open),
      TEST(a_child_has_no_wakeup_fd_of_its_own),
      TEST(a_child_that_runs_the_loop_takes_nothing_of_the_parents),
      TEST(a_child_that_closes_leaves_the_parents_poller_alone),
      TEST(so_does_one_with_a_signalfd),
      TEST(before_uvsig_fork_a_child_can_stop_and_close_and_start_nothing),
      TEST(at_no_moment_after_a_fork_does_a_childs_signal_reach_the_parent),
      TEST(uvsig_fork_gives_a_child_signals_of_its_own),
      TEST(uvsig_fork_works_with_a_socketpair),
      TEST(a_child_in_wake_only_mode_takes_nothing_of_the_parents),
      TEST(what_the_parent_has_caught_is_nothing_in_the_child),
      TEST(the_child_of_a_child_has_its_own_too),
      TEST(a_fork_in_a_callback_leaves_the_rest_to_the_parent),
      TEST(a_thread_that_does_not_own_the_loop_may_fork),
      TEST(a_wait_goes_on_in_the_child),
      TEST(the_chain_of_a_parent_is_not_for_a_childs_own_loop),
      TEST(the_parents_stopped_children_are_not_for_a_childs_own_loop),
      TEST(what_inherited_watchers_want_they_have_after_uvsig_fork),
      TEST(what_a_child_stops_before_uvsig_fork_wants_nothing_after),
      TEST(what_a_child_closes_leaves_what_its_own_watchers_want),
      TEST(a_child_of_a_sigchld_callback_can_close),
      TEST(a_child_of_a_sigchld_callback_can_close_after_uvsig_fork),
      TEST(a_child_can_close_while_sigchld_is_on_its_way),
      TEST(a_child_can_close_after_uvsig_fork_while_sigchld_is_on_its_way),
      TEST(close_in_a_child_waits_for_what_libuv_has_still_to_read),
      TEST(close_after_uvsig_fork_waits_for_what_libuv_has_still_to_read),
      TEST(without_descriptors_uvsig_fork_says_emfile_and_works_later),
      TEST(uvsig_fork_is_for_children_once),
      TEST(without_its_handles_uvsig_fork_says_einval),
      TEST(signals_to_what_vfork_made_are_not_the_parents),
      TEST(signals_to_what_posix_spawn_made_are_not_the_parents),
      TEST(signals_to_what_uv_spawn_made_are_not_the_parents),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
