/* SPDX-License-Identifier: MIT
 *
 * The threads that leave signals to the loop's: uvsig_thread_create(), and
 * libuv's pool after uvsig_threadpool_prime().
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

static void block(int signum) {
  sigset_t set = set_of(signum);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

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

/* The calling thread's mask: `blocked` alone. */
static void check_unmasked(int blocked) {
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK_EQ(is_blocked(signum), signum == blocked);
}

/* For a signal to the process which this thread blocks. Another one that did
 * not would have taken it when it next runs. */
static void send_one(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  block(SIGUSR1);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
}

static void check_that_it_waits_for_this_thread(void) {
  sigset_t set;

  CHECK_EQ(uvsig_sigpending(&set), 0);
  CHECK_EQ(sigismember(&set, SIGUSR1), 1);
  set = set_of(SIGUSR1);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

/* --- A thread ------------------------------------------------------------- */

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
  check_unmasked(SIGSEGV); /* the caller's is as it was */
}

static uv_barrier_t barrier;

static void wait_at_barrier(void* argument) {
  (void) argument;
  uv_barrier_wait(&barrier);
}

static void process_signals_go_to_the_loops_thread(void) {
  uv_thread_t thread;

  CHECK_EQ(uv_barrier_init(&barrier, 2), 0);
  CHECK_EQ(uvsig_thread_create(&thread, wait_at_barrier, NULL), 0);
  send_one();
  uv_barrier_wait(&barrier);
  CHECK_EQ(uv_thread_join(&thread), 0);
  uv_barrier_destroy(&barrier);
  check_that_it_waits_for_this_thread();
}

static void thread_create_refuses_null(void) {
  uv_thread_t thread;

  memset(&thread, 0x5a, sizeof(thread));
  CHECK_EQ(uvsig_thread_create(NULL, check_own_mask, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_thread_create(&thread, NULL, NULL), UV_EINVAL);
}

/* --- The pool ------------------------------------------------------------- */

enum { POOL = 4 }; /* libuv's default (threadpool.rst) */

static uv_loop_t loop;
static unsigned long worked;

static void open_loop(void) {
  CHECK_EQ(unsetenv("UV_THREADPOOL_SIZE"), 0);
  CHECK_EQ(uv_loop_init(&loop), 0);
}

static void expect_masked(uv_work_t* work) {
  (void) work;
  /* All of them are here at once, so each is another thread. */
  uv_barrier_wait(&barrier);
  check_masked();
}

static void expect_unmasked(uv_work_t* work) {
  (void) work;
  uv_barrier_wait(&barrier);
  check_unmasked(0);
}

static void on_worked(uv_work_t* work, int status) {
  (void) work;
  CHECK_EQ(status, 0);
  worked++;
}

/* Have each thread of the pool do it. */
static void do_in_pool(uv_work_cb expect) {
  uv_work_t works[POOL];
  int i;

  worked = 0;
  CHECK_EQ(uv_barrier_init(&barrier, POOL), 0);
  for (i = 0; i < POOL; i++)
    CHECK_EQ(uv_queue_work(&loop, &works[i], expect, on_worked), 0);
  run_until(&loop, &worked, POOL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  uv_barrier_destroy(&barrier);
}

static void a_primed_pool_blocks_all_but_the_synchronous_signals(void) {
  open_loop();
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  check_unmasked(0);
  do_in_pool(expect_masked);
  close_loop(&loop);
}

static void the_mask_of_the_thread_that_primes_is_as_before(void) {
  open_loop();
  block(SIGSEGV); /* would be inherited */
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  check_unmasked(SIGSEGV);
  do_in_pool(expect_masked);
  close_loop(&loop);
}

static void its_work_keeps_the_loop_alive_until_it_has_been_round(void) {
  open_loop();
  CHECK_EQ(uv_loop_alive(&loop), 0);
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  CHECK(uv_loop_alive(&loop));
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uv_loop_alive(&loop), 0);
  close_loop(&loop);
}

static void threads_of_a_pool_that_is_there_stay_as_they_are(void) {
  open_loop();
  do_in_pool(expect_unmasked);
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  do_in_pool(expect_unmasked);
  close_loop(&loop);
}

static void process_signals_are_not_taken_by_a_primed_pool(void) {
  open_loop();
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  send_one();
  do_in_pool(expect_masked);
  check_that_it_waits_for_this_thread();
  close_loop(&loop);
}

static void use_a_new_pool(void) {
  CHECK_EQ(uv_loop_fork(&loop), 0);
  do_in_pool(expect_unmasked);
}

static void prime_a_new_pool(void) {
  CHECK_EQ(uv_loop_fork(&loop), 0);
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  do_in_pool(expect_masked);
}

static void a_child_of_fork_has_a_new_pool_to_be_primed_again(void) {
  if (has_sanitizer())
    skip_test("a sanitizer's locks may be held in a child of threads");
  skip_under_valgrind("what other threads' stacks held is lost in the child");
  open_loop();
  CHECK_EQ(uvsig_threadpool_prime(&loop), 0);
  do_in_pool(expect_masked);
  CHECK(child_passed(run_forked(use_a_new_pool)));
  CHECK(child_passed(run_forked(prime_a_new_pool)));
  close_loop(&loop);
}

static void* do_nothing(void* argument) {
  return argument;
}

/* Its limit counts the user's processes and threads, but root has none. */
static void prime_where_no_thread_can_be_had(void) {
  const struct rlimit none = {0, 0};
  pthread_t thread;

  open_loop();
  if ((geteuid() == 0 && setuid(65534) != 0) ||
      setrlimit(RLIMIT_NPROC, &none) != 0 ||
      pthread_create(&thread, NULL, do_nothing, NULL) == 0)
    skip_test("threads are not limited here");
  uvsig_threadpool_prime(&loop);
}

static void where_a_thread_is_refused_libuv_aborts(void) {
  int status;

  skip_under_valgrind("it reports the end by a signal");
  status = run_child(prime_where_no_thread_can_be_had);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    skip_test("threads are not limited here");
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGABRT);
}

static void threadpool_prime_refuses_null(void) {
  CHECK_EQ(uvsig_threadpool_prime(NULL), UV_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_created_thread_blocks_all_but_the_synchronous_signals),
      TEST(process_signals_go_to_the_loops_thread),
      TEST(thread_create_refuses_null),
      TEST(a_primed_pool_blocks_all_but_the_synchronous_signals),
      TEST(the_mask_of_the_thread_that_primes_is_as_before),
      TEST(its_work_keeps_the_loop_alive_until_it_has_been_round),
      TEST(threads_of_a_pool_that_is_there_stay_as_they_are),
      TEST(process_signals_are_not_taken_by_a_primed_pool),
      TEST(a_child_of_fork_has_a_new_pool_to_be_primed_again),
      TEST(where_a_thread_is_refused_libuv_aborts),
      TEST(threadpool_prime_refuses_null),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
