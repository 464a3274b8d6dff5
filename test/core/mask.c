/* SPDX-License-Identifier: MIT
 *
 * Signal masks: that of the thread that starts a watcher (a launcher's blocked
 * signal reaches it, and is blocked again afterwards), what users read and
 * change, and the threads that leave signals to the loop's.
 */

#include "../lib/harness.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b, c;

static void block(int signum) {
  sigset_t set = set_of(signum);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void open_blocked(void) {
  block(SIGUSR1);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

static void start_unblocks_and_the_last_stop_blocks_again(void) {
  open_blocked();
  recorder_start(&a, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void close_blocks_again(void) {
  open_blocked();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR1));
}

static void what_was_not_blocked_stays_unblocked(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_signal_that_the_mask_held_back_reaches_the_first_watcher(void) {
  open_blocked();
  raise(SIGUSR1);
  recorder_start(&a, SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void keep_mask_leaves_the_mask_alone(void) {
  open_blocked();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_KEEP_MASK), 0);
  recorder_start(&a, SIGUSR1);
  CHECK(is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  /* Another one that wants it unblocked has it its way until the last stop. */
  recorder_start(&b, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_retarget_moves_the_mask_with_it(void) {
  open_blocked();
  block(SIGUSR2);
  recorder_start(&a, SIGUSR1);
  recorder_start(&a, SIGUSR2);
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR2));
}

static void two_loops_of_a_thread_share_its_mask(void) {
  open_blocked();
  fixture_open(&g, NULL);
  recorder_init(&c, &g.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&c, SIGUSR1);
  /* The one that unblocked it goes first. */
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&g.loop, &c.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&c.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
  fixture_close(&g);
}

static void run_and_stop(void* argument) {
  (void) argument;
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(!is_blocked(SIGUSR1));
}

static void a_loop_that_moved_leaves_the_masks_as_they_are(void) {
  uv_thread_t thread;

  open_blocked();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  CHECK_EQ(uv_thread_create(&thread, run_and_stop, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

/* --- pthread_sigmask and sigpending --------------------------------------- */

static void sigmask_joins_removes_and_replaces_and_returns_the_old_one(void) {
  sigset_t usr1 = set_of(SIGUSR1);
  sigset_t usr2 = set_of(SIGUSR2);
  sigset_t old;

  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &usr1, &old), 0);
  CHECK_EQ(sigismember(&old, SIGUSR1), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &usr2, &old), 0);
  CHECK_EQ(sigismember(&old, SIGUSR1), 1);
  CHECK_EQ(sigismember(&old, SIGUSR2), 0);
  CHECK(is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &usr1, &old), 0);
  CHECK(sigismember(&old, SIGUSR1) == 1 && sigismember(&old, SIGUSR2) == 1);
  CHECK(!is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
  /* What is not blocked may be unblocked. */
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &usr1, NULL), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &usr1, &old), 0);
  CHECK(is_blocked(SIGUSR1) && !is_blocked(SIGUSR2));
  CHECK_EQ(sigismember(&old, SIGUSR2), 1);
}

static void sigmask_reads_without_a_set_whatever_how_is(void) {
  sigset_t old;

  block(SIGUSR1);
  memset(&old, 0, sizeof(old));
  CHECK_EQ(uvsig_pthread_sigmask(4711, NULL, &old), 0);
  CHECK_EQ(sigismember(&old, SIGUSR1), 1);
  CHECK_EQ(sigismember(&old, SIGUSR2), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, NULL, NULL), 0);
}

static void sigmask_refuses_a_how_that_is_none(void) {
  static const int bad[] = {1700, -1, INT_MIN};
  sigset_t set = set_of(SIGUSR1);
  sigset_t old;
  sigset_t before;
  size_t i;

  memset(&old, 0x5a, sizeof(old));
  before = old;
  for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    CHECK_EQ(uvsig_pthread_sigmask(bad[i], &set, &old), UV_EINVAL);
  CHECK_EQ(memcmp(&old, &before, sizeof(old)), 0);
  CHECK(!is_blocked(SIGUSR1));
}

static void the_whole_valid_set_can_be_blocked_and_unblocked(void) {
  sigset_t valid;
  int signum;

  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &valid, NULL), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK_EQ(is_blocked(signum),
             sigismember(&valid, signum) == 1 && signum != SIGKILL &&
                 signum != SIGSTOP);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &valid, NULL), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK(!is_blocked(signum));
}

/* sigaddset() lets neither 0 nor NSIG in; memory that was never a set may have
 * what is no signal. */
static void sigmask_passes_over_what_is_no_signal(void) {
  sigset_t set;
  sigset_t old;

  sigemptyset(&set);
  CHECK_EQ(sigaddset(&set, 0), -1);
  CHECK_EQ(sigaddset(&set, UVSIG_NSIG), -1);
  memset(&set, 0xff, sizeof(set));
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &set, &old), 0);
  CHECK(is_blocked(SIGUSR1) && !is_blocked(SIGKILL) && !is_blocked(SIGSTOP));
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
  CHECK(!is_blocked(SIGUSR1));
}

static void sigpending_is_empty_then_holds_what_is_blocked_and_sent(void) {
  sigset_t set = set_of(SIGUSR1);
  sigset_t pending;
  int signum;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_sigpending(&pending), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK(sigismember(&pending, signum) != 1);
  block(SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigpending(&pending), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK_EQ(sigismember(&pending, signum) == 1, signum == SIGUSR1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  CHECK_EQ(uvsig_sigpending(&pending), 0);
  CHECK_EQ(sigismember(&pending, SIGUSR1), 0);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void sigpending_refuses_null(void) {
  CHECK_EQ(uvsig_sigpending(NULL), UV_EINVAL);
}

/* --- Threads -------------------------------------------------------------- */

/* The calling thread's mask: all but what a fault raises. */
static void check_masked(void) {
  static const int open[] = {
      SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGKILL, SIGSTOP};
  sigset_t expected;
  size_t i;
  int signum;

  CHECK_EQ(uvsig_valid_signals(&expected), 0);
  for (i = 0; i < sizeof(open) / sizeof(*open); i++)
    sigdelset(&expected, open[i]);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK_EQ(is_blocked(signum), sigismember(&expected, signum) == 1);
}

static void check_own_mask(void* argument) {
  check_masked();
  *(unsigned long*) argument += 1;
}

static void a_created_thread_blocks_all_but_the_synchronous_signals(void) {
  unsigned long calls = 0;
  uv_thread_t thread;

  block(SIGSEGV); /* would be inherited */
  CHECK_EQ(uvsig_thread_create(&thread, check_own_mask, &calls), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(calls, 1);
  /* The caller's is as it was. */
  CHECK(is_blocked(SIGSEGV) && !is_blocked(SIGUSR1));
}

static uv_barrier_t barrier;

static void wait_at_barrier(void* argument) {
  (void) argument;
  uv_barrier_wait(&barrier);
}

/* This thread blocks the signal: if the other one did not, it would take it. */
static void process_signals_go_to_the_loops_thread(void) {
  sigset_t set = set_of(SIGUSR1);
  uv_thread_t thread;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_barrier_init(&barrier, 2), 0);
  CHECK_EQ(uvsig_thread_create(&thread, wait_at_barrier, NULL), 0);
  block(SIGUSR1);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0); /* nobody has taken it */
  uv_barrier_wait(&barrier);
  CHECK_EQ(uv_thread_join(&thread), 0);
  uv_barrier_destroy(&barrier);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void thread_create_refuses_null(void) {
  uv_thread_t thread;

  memset(&thread, 0x5a, sizeof(thread));
  CHECK_EQ(uvsig_thread_create(NULL, check_own_mask, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_thread_create(&thread, NULL, NULL), UV_EINVAL);
}

enum { POOL = 4 }; /* libuv's default (threadpool.rst) */

static unsigned long masked;

static void check_pool_thread(uv_work_t* work) {
  (void) work;
  /* All of them are here at once, so each is another thread. */
  uv_barrier_wait(&barrier);
  check_masked();
}

static void on_worked(uv_work_t* work, int status) {
  (void) work;
  CHECK_EQ(status, 0);
  masked++;
}

static void a_primed_pool_blocks_all_but_the_synchronous_signals(void) {
  uv_work_t works[POOL];
  uv_loop_t loop;
  int i;

  CHECK_EQ(unsetenv("UV_THREADPOOL_SIZE"), 0);
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_barrier_init(&barrier, POOL), 0);
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  CHECK(!is_blocked(SIGUSR1));
  for (i = 0; i < POOL; i++)
    CHECK_EQ(uv_queue_work(&loop, &works[i], check_pool_thread, on_worked), 0);
  run_until(&loop, &masked, POOL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  uv_barrier_destroy(&barrier);
  close_loop(&loop);
}

static void threadpool_prime_refuses_null(void) {
  CHECK_EQ(uvsig_threadpool_prime(NULL), UV_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(start_unblocks_and_the_last_stop_blocks_again),
      TEST(close_blocks_again),
      TEST(what_was_not_blocked_stays_unblocked),
      TEST(a_signal_that_the_mask_held_back_reaches_the_first_watcher),
      TEST(keep_mask_leaves_the_mask_alone),
      TEST(a_retarget_moves_the_mask_with_it),
      TEST(two_loops_of_a_thread_share_its_mask),
      TEST(a_loop_that_moved_leaves_the_masks_as_they_are),
      TEST(sigmask_joins_removes_and_replaces_and_returns_the_old_one),
      TEST(sigmask_reads_without_a_set_whatever_how_is),
      TEST(sigmask_refuses_a_how_that_is_none),
      TEST(the_whole_valid_set_can_be_blocked_and_unblocked),
      TEST(sigmask_passes_over_what_is_no_signal),
      TEST(sigpending_is_empty_then_holds_what_is_blocked_and_sent),
      TEST(sigpending_refuses_null),
      TEST(a_created_thread_blocks_all_but_the_synchronous_signals),
      TEST(process_signals_go_to_the_loops_thread),
      TEST(thread_create_refuses_null),
      TEST(a_primed_pool_blocks_all_but_the_synchronous_signals),
      TEST(threadpool_prime_refuses_null),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
