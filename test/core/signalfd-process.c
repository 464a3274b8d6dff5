/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD and processes: children of fork(), with and without
 * uvsig_fork(), programs that are started in several ways, SIGCHLD beside
 * uv_spawn(), and interval timers.
 */

#include "../lib/harness.h"

#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static struct fixture f;
static struct recorder a, b;

static void open_two(void) {
  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

/* --- A child of fork() ----------------------------------------------------------- */

static void be_as_without_the_library(void) {
  CHECK(!is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGRTMIN));
  CHECK(!is_waiting(SIGUSR1));
  CHECK(action_of(SIGRTMIN).sa_handler == SIG_DFL);
  foreign_calls = 0;
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(a.calls, 0);
}

static void a_child_is_as_if_the_library_had_never_been_there(void) {
  open_two();
  install_handler(SIGUSR1, count_foreign);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGRTMIN);
  raise(SIGUSR1);
  CHECK_EQ(run_forked(be_as_without_the_library), 0);
  CHECK(is_blocked(SIGUSR1));
  run_until(&f.loop, &a.calls, 1);
  run_idle(&f.loop);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void check_blocked(void) {
  CHECK(is_blocked(SIGUSR1));
}

static void run_the_parents_loop(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR1);
  run_idle(&f.loop);
  CHECK(is_waiting(SIGUSR1));
  CHECK_EQ(a.calls, 0);
}

/* The descriptor is readable there: what it blocks waits. */
static void a_child_that_runs_the_loop_is_told_nothing(void) {
  open_two();
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(run_forked(run_the_parents_loop), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void a_child_has_blocked_what_the_launcher_had(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  open_two();
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(run_forked(check_blocked), 0);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
  recorder_start(&b, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(run_forked(check_blocked), 0);
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR1));
}

static void go_on_in_child(struct recorder* r) {
  pid_t child;
  int status;

  if (r->calls != 10)
    return;
  child = fork();
  CHECK(child >= 0);
  if (child == 0)
    return; /* into the flush */
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
}

static void a_child_of_a_callback_in_a_burst_is_told_no_more(void) {
  pid_t parent = getpid();

  open_two();
  a.then = go_on_in_child;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  CHECK(uvsig_flush(&f.sig) >= 0);
  if (getpid() != parent) {
    CHECK_EQ(a.calls, 10);
    CHECK_EQ(uvsig_flush(&f.sig), 0);
    CHECK_EQ(uv_loop_fork(&f.loop), 0);
    CHECK_EQ(uvsig_fork(&f.sig), 0);
    CHECK_EQ(uvsig_flush(&f.sig), 0);
    queue_values(SIGRTMIN, 3);
    run_until(&f.loop, &a.calls, 13);
    check_books(&f.sig, SIGRTMIN, 3, 0);
    _exit(0);
  }
  CHECK_EQ(a.calls, 100);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  fixture_close(&f);
}

static void use_own_signals(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(is_blocked(SIGRTMIN));
  CHECK(is_blocked(SIGUSR1));
  a.calls = b.calls = 0;
  queue_values(SIGRTMIN, 100);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 100);
  run_until(&f.loop, &b.calls, 1);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
}

static void uvsig_fork_gives_a_child_its_own(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  queue_values(SIGRTMIN, 5);
  CHECK_EQ(run_forked(use_own_signals), 0);
  /* First without a turn of the loop, which sets the descriptor's signals. */
  CHECK_EQ(uvsig_flush(&f.sig), 5);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 5);
  CHECK_EQ(b.calls, 0);
  check_books(&f.sig, SIGRTMIN, 5, 0);
  fixture_close(&f);
}

/* With a uvsig_t of its own: the mask is as the child makes it. */
static void watch_anew(void) {
  sigset_t set = set_of(SIGRTMIN);
  struct fixture own;
  struct recorder r;
  int i;

  for (i = 0; i < 2; i++) {
    CHECK_EQ(
        uvsig_pthread_sigmask(i == 0 ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL), 0);
    fixture_open_queued(&own);
    recorder_init(&r, &own.sig);
    if (i == 1)
      CHECK_EQ(uvsig_watcher_set_flags(&r.w, UVSIG_CHAIN), 0);
    recorder_start(&r, SIGRTMIN);
    CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
    CHECK_EQ(is_blocked(SIGRTMIN), i == 0);
    fixture_close(&own);
  }
}

/* What the parent has blocked, or unblocked, is not put back there. */
static void a_child_with_a_new_one_begins_with_its_own_mask(void) {
  sigset_t set = set_of(SIGRTMIN);
  int i;

  for (i = 0; i < 2; i++) {
    CHECK_EQ(
        uvsig_pthread_sigmask(i == 0 ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL), 0);
    open_two();
    if (i == 1)
      CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
    recorder_start(&a, SIGRTMIN);
    CHECK_EQ(is_blocked(SIGRTMIN), i == 0);
    CHECK_EQ(run_forked(watch_anew), 0);
    fixture_close(&f);
  }
}

/* The lowest number is free, and is used for an instant. */
static void have_its_own_without_input(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  close(0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(close(0), -1);
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.signals, 3);
}

static void a_child_without_standard_input_has_its_own(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(run_forked(have_its_own_without_input), 0);
  fixture_close(&f);
}

/* The poller knows the parent's by the number, which is that of the child's. */
static void have_its_own_after_a_turn(void) {
  sigset_t set = set_of(SIGRTMIN);
  struct pollfd pollfd;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  recorder_start(&b, SIGRTMIN + 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  run_idle(&f.loop);
  queue_values(SIGRTMIN + 1, 3);
  run_until(&f.loop, &b.signals, 3);
  /* By the parent's, what waits for the program would wake the loop. */
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGRTMIN);
  run_idle(&f.loop);
  pollfd.fd = uv_backend_fd(&f.loop);
  pollfd.events = POLLIN;
  CHECK_EQ(poll(&pollfd, 1, 0), 0);
}

static void a_child_that_has_polled_the_parents_has_its_own(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(run_forked(have_its_own_after_a_turn), 0);
  fixture_close(&f);
}

static void fork_again(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(run_forked(be_as_without_the_library), 0);
  CHECK_EQ(run_forked(use_own_signals), 0);
  CHECK(is_blocked(SIGRTMIN));
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
}

static void fork_without_its_own(void) {
  sigset_t set = set_of(SIGUSR2);

  /* The child's own mask is its child's. */
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(run_forked(be_as_without_the_library), 0);
  CHECK_EQ(run_forked(use_own_signals), 0);
  CHECK(is_blocked(SIGUSR2));
  CHECK(!is_blocked(SIGRTMIN));
}

static void a_child_of_a_child_is_as_one_of_the_parent(void) {
  open_two();
  install_handler(SIGUSR1, count_foreign);
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(run_forked(fork_again), 0);
  CHECK_EQ(run_forked(fork_without_its_own), 0);
  CHECK(is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static int to_child[2], to_parent[2];

static void tell(int fd) {
  CHECK_EQ(write(fd, "x", 1), 1);
}

static void hear(int fd) {
  char byte;

  CHECK_EQ(UNINTERRUPTED(read(fd, &byte, 1)), 1);
}

/* SIGUSR2 is the parent's alone, which adds it after this. */
static void keep_apart(void) {
  sigset_t set = set_of(SIGUSR2);

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR2);
  tell(to_parent[1]);
  hear(to_child[0]);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  run_idle(&f.loop);
  CHECK(is_waiting(SIGUSR2));
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.calls, 3);
  CHECK(is_waiting(SIGUSR2));
  CHECK_EQ(b.calls, 0);
}

static void what_the_parent_adds_later_is_not_the_childs(void) {
  pid_t child;
  int status;

  CHECK_EQ(pipe(to_child) + pipe(to_parent), 0);
  open_two();
  recorder_start(&a, SIGRTMIN);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    keep_apart();
    _exit(0);
  }
  hear(to_parent[0]);
  recorder_start(&b, SIGUSR2);
  tell(to_child[1]);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  run_idle(&f.loop);
  CHECK_EQ(a.calls + b.calls, 0);
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  fixture_close(&f);
  close(to_child[0]);
  close(to_child[1]);
  close(to_parent[0]);
  close(to_parent[1]);
}

/* Nor does a child take signals away from the parent's set: it closes. */
static void close_unforked(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  fixture_close(&f);
}

static void a_child_that_closes_it_leaves_the_parents_alone(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(run_forked(close_unforked), 0);
  queue_values(SIGRTMIN, 3);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 4);
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.calls, 6);
  CHECK_EQ(b.calls, 1);
  fixture_close(&f);
}

enum { DESCRIPTORS = 16 };

/* valgrind knows the hard limit alone. */
static void use_up_descriptors(int first[DESCRIPTORS]) {
  struct rlimit limit;
  unsigned count = 0;
  int fd;

  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = 256;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  while ((fd = dup(STDERR_FILENO)) >= 0)
    if (count < DESCRIPTORS)
      first[count++] = fd;
  CHECK_EQ(errno, EMFILE);
  CHECK_EQ(count, DESCRIPTORS);
}

static void fail_and_try_again(void) {
  int fds[DESCRIPTORS];
  int i;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  use_up_descriptors(fds);
  CHECK_EQ(uvsig_fork(&f.sig), UV_EMFILE);
  CHECK_EQ(uvsig_fork(&f.sig), UV_EMFILE);
  CHECK(!is_blocked(SIGRTMIN));
  for (i = 0; i < DESCRIPTORS; i++)
    CHECK_EQ(close(fds[i]), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.calls, 3);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
}

static void where_uvsig_fork_fails_it_may_be_called_again(void) {
  struct rlimit limit;

  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max > 1 << 20)
    skip_under_valgrind("there are too many descriptors to use them up");
  open_two();
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(run_forked(fail_and_try_again), 0);
  fixture_close(&f);
}

/* --- Programs ---------------------------------------------------------------------- */

static char grep[] = "grep";
static char pattern[] = "SigBlk";
static char status_file[] = "/proc/self/status";
static char* show_mask[] = {grep, pattern, status_file, NULL};

static unsigned long long read_mask(FILE* file) {
  unsigned long long mask = ~0ull;
  char line[128];

  if (fgets(line, sizeof(line), file) == NULL ||
      sscanf(line, "SigBlk: %llx", &mask) != 1)
    skip_test("/proc does not say what a program has blocked");
  return mask;
}

static bool has(unsigned long long mask, int signum) {
  return (mask >> (signum - 1) & 1) != 0;
}

static void wait_for(pid_t child) {
  int status;

  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
}

/* Known: it has the mask of the thread that starts it. */
static unsigned long long mask_of_spawned(const posix_spawnattr_t* attr) {
  posix_spawn_file_actions_t actions;
  unsigned long long mask;
  FILE* file;
  int fds[2];
  pid_t child;

  CHECK_EQ(uv_pipe(fds, 0, 0), 0);
  CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
  CHECK_EQ(posix_spawn_file_actions_adddup2(&actions, fds[1], 1), 0);
  CHECK_EQ(
      posix_spawnp(&child, show_mask[0], &actions, attr, show_mask, environ),
      0);
  CHECK_EQ(posix_spawn_file_actions_destroy(&actions), 0);
  close(fds[1]);
  file = fdopen(fds[0], "r");
  CHECK(file != NULL);
  mask = read_mask(file);
  fclose(file);
  wait_for(child);
  return mask;
}

static void a_program_of_posix_spawn_has_them_blocked_without_spawnattr(void) {
  posix_spawnattr_t attr;

  open_two();
  recorder_start(&a, SIGUSR1);
  CHECK(has(mask_of_spawned(NULL), SIGUSR1));
  CHECK_EQ(posix_spawnattr_init(&attr), 0);
  CHECK_EQ(uvsig_spawnattr(&attr), 0);
  CHECK_EQ(mask_of_spawned(&attr), 0);
  CHECK_EQ(posix_spawnattr_destroy(&attr), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void a_program_of_popen_has_them_blocked(void) {
  FILE* file;

  open_two();
  recorder_start(&a, SIGUSR1);
  file = popen("exec grep SigBlk /proc/self/status", "r");
  CHECK(file != NULL);
  CHECK(has(read_mask(file), SIGUSR1));
  CHECK_EQ(pclose(file), 0);
  fixture_close(&f);
}

static void a_program_after_fork_and_before_exec_has_none_blocked(void) {
  FILE* file;
  int fds[2];
  pid_t child;

  open_two();
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_pipe(fds, 0, 0), 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    uvsig_before_exec();
    dup2(fds[1], 1);
    execvp(show_mask[0], show_mask);
    _exit(127);
  }
  close(fds[1]);
  file = fdopen(fds[0], "r");
  CHECK(file != NULL);
  CHECK_EQ(read_mask(file), 0);
  fclose(file);
  wait_for(child);
  fixture_close(&f);
}

static unsigned long exits;

static void on_exit_of_program(uv_process_t* process,
                               int64_t status,
                               int signum) {
  CHECK_EQ(status + signum, 0);
  exits++;
  uv_close((uv_handle_t*) process, NULL);
}

static void a_program_of_uv_spawn_has_none_blocked_beside_sigchld(void) {
  uv_process_options_t options;
  uv_stdio_container_t stdio[3];
  uv_process_t process;
  FILE* file;
  int fds[2];
  int i;

  memset(&options, 0, sizeof(options));
  memset(stdio, 0, sizeof(stdio));
  CHECK_EQ(uv_pipe(fds, 0, 0), 0);
  stdio[1].flags = UV_INHERIT_FD;
  stdio[1].data.fd = fds[1];
  options.file = show_mask[0];
  options.args = show_mask;
  options.exit_cb = on_exit_of_program;
  options.stdio = stdio;
  options.stdio_count = 3;
  open_two();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGCHLD);
  CHECK(!is_blocked(SIGCHLD));
  file = fdopen(fds[0], "r");
  CHECK(file != NULL);
  for (i = 1; i <= 3; i++) {
    CHECK_EQ(uv_spawn(&f.loop, &process, &options), 0);
    run_until(&f.loop, &exits, (unsigned long) i);
    run_until(&f.loop, &b.signals, (unsigned long) i);
    CHECK_EQ(read_mask(file), 0);
  }
  check_books(&f.sig, SIGCHLD, 3, 0);
  fixture_close(&f);
  fclose(file);
  close(fds[1]);
}

/* --- Interval timers ---------------------------------------------------------------- */

static unsigned long expirations;

static void on_expired(uvsig_itimer_t* t, unsigned count) {
  (void) t;
  expirations += count;
}

static void interval_timers_expire_and_leave_no_signal_behind(void) {
  uvsig_itimer_t t;
  unsigned long before;

  memset(&t, 0, sizeof(t));
  open_two();
  CHECK_EQ(uvsig_itimer_init(&f.sig, &t, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&t, on_expired, 0.002, 0.002), 0);
  CHECK(is_blocked(SIGALRM));
  while (expirations < 5)
    uv_run(&f.loop, UV_RUN_ONCE);
  /* One waits by then: its action is to end the process. */
  while (!is_waiting(SIGALRM))
    ;
  CHECK_EQ(uvsig_itimer_stop(&t), 0);
  CHECK(!is_waiting(SIGALRM));
  CHECK(!is_blocked(SIGALRM));
  before = expirations;
  run_idle(&f.loop);
  CHECK_EQ(expirations, before);

  CHECK_EQ(uvsig_itimer_start(&t, on_expired, 0.002, 0), 0);
  run_until(&f.loop, &expirations, before + 1);
  CHECK(!is_blocked(SIGALRM));
  fixture_close(&f);
}

static void a_close_with_an_armed_timer_leaves_no_signal_behind(void) {
  uvsig_itimer_t t;

  memset(&t, 0, sizeof(t));
  open_two();
  CHECK_EQ(uvsig_itimer_init(&f.sig, &t, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&t, on_expired, 0.001, 0.001), 0);
  while (!is_waiting(SIGALRM))
    ;
  fixture_close(&f);
  CHECK(!is_blocked(SIGALRM));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_child_is_as_if_the_library_had_never_been_there),
      TEST(a_child_that_runs_the_loop_is_told_nothing),
      TEST(a_child_has_blocked_what_the_launcher_had),
      TEST(a_child_of_a_callback_in_a_burst_is_told_no_more),
      TEST(uvsig_fork_gives_a_child_its_own),
      TEST(a_child_with_a_new_one_begins_with_its_own_mask),
      TEST(a_child_without_standard_input_has_its_own),
      TEST(a_child_that_has_polled_the_parents_has_its_own),
      TEST(a_child_of_a_child_is_as_one_of_the_parent),
      TEST(what_the_parent_adds_later_is_not_the_childs),
      TEST(a_child_that_closes_it_leaves_the_parents_alone),
      TEST(where_uvsig_fork_fails_it_may_be_called_again),
      TEST(a_program_of_posix_spawn_has_them_blocked_without_spawnattr),
      TEST(a_program_of_popen_has_them_blocked),
      TEST(a_program_after_fork_and_before_exec_has_none_blocked),
      TEST(a_program_of_uv_spawn_has_none_blocked_beside_sigchld),
      TEST(interval_timers_expire_and_leave_no_signal_behind),
      TEST(a_close_with_an_armed_timer_leaves_no_signal_behind),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
