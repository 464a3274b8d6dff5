/* SPDX-License-Identifier: MIT
 *
 * A signal that races with the stop of its only watcher: it is delivered, or
 * counted as discarded, or has the previous action. Every one is one of the
 * three, and none is two.
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

/* --- A thread that raises ------------------------------------------------- */

static int raised_one = SIGUSR1;
static bool is_queued; /* it waits in the kernel's queue for the loop */
static atomic_bool is_over;
static atomic_ulong raised;
static atomic_ulong previous_calls;

static void count_previous(int signum) {
  (void) signum;
  atomic_fetch_add(&previous_calls, 1);
}

static int own[2]; /* the program's own wakeup fd, or 0 */

/* The library writes a byte there for each signal that is watched, on however
 * many loops. */
static unsigned count_watched(void) {
  char bytes[16];
  ssize_t n = own[0] > 0 ? read(own[0], bytes, sizeof(bytes)) : 0;

  return n > 0 ? (unsigned) n : 0;
}

/* To itself: each has been caught, or had its action, when the call returns. */
static void raise_all_the_time(void* unused) {
  unsigned long calls;

  (void) unused;
  while (!atomic_load(&is_over)) {
    calls = atomic_load(&previous_calls);
    atomic_fetch_add(&raised, 1);
    CHECK_EQ(is_queued ? kill(getpid(), raised_one)
                       : pthread_kill(pthread_self(), raised_one),
             0);
    if (own[0] > 0)
      CHECK_EQ(count_watched() + atomic_load(&previous_calls) - calls, 1);
  }
}

static void start_raiser(uv_thread_t* thread) {
  atomic_store(&is_over, false);
  if (is_queued)
    CHECK_EQ(uvsig_thread_create(thread, raise_all_the_time, NULL), 0);
  else
    CHECK_EQ(uv_thread_create(thread, raise_all_the_time, NULL), 0);
  while (atomic_load(&raised) == 0)
    sched_yield();
}

static void end_raiser(uv_thread_t* thread) {
  atomic_store(&is_over, true);
  CHECK_EQ(uv_thread_join(thread), 0);
}

static void skip_where_signals_are_held_back(void) {
  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer merges signals of a number, and delivers late");
}

/* --- Stops and starts ----------------------------------------------------- */

/* Some are delivered, most are discarded by the stop. */
static void stop_and_start(struct fixture* at, struct recorder* r, unsigned n) {
  recorder_start(r, raised_one);
  if (n % 4 == 0)
    sched_yield();
  if (n % 16 == 0)
    uv_run(&at->loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

static void stop_and_start_often(struct fixture* at,
                                 struct recorder* r,
                                 unsigned times) {
  unsigned n;

  for (n = 0; n < times && has_time(); n++)
    stop_and_start(at, r, n);
}

/* At rest: delivered and discarded. */
static uint64_t count_caught(const struct fixture* at,
                             const struct recorder* r) {
  uvsig_stats_t stats;

  uvsig_stats(&at->sig, raised_one, &stats);
  CHECK_EQ(stats.delivered, r->signals);
  CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
  return stats.caught;
}

static void race_with(void (*previous)(int)) {
  uv_thread_t thread;

  install_handler(raised_one, previous);
  if (is_queued)
    fixture_open_queued(&f);
  else
    fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  start_raiser(&thread);
  stop_and_start_often(&f, &a, scaled(100000));
  end_raiser(&thread);
}

/* --- Tests ---------------------------------------------------------------- */

static void each_is_delivered_or_discarded_or_the_previous_handlers(void) {
  skip_where_signals_are_held_back();
  race_with(count_previous);
  CHECK_EQ(raised, count_caught(&f, &a) + previous_calls);
  fixture_close(&f);
}

/* What is ignored leaves no trace: whether a signal had the previous action, or
 * was lost, cannot be told. This holds that none is counted twice, also where
 * the handler looks again for what watches. */
static void check_that_none_is_counted_twice(void) {
  race_with(SIG_IGN);
  CHECK(count_caught(&f, &a) <= raised);
  fixture_close(&f);
}

static void none_is_delivered_or_discarded_twice_where_it_was_ignored(void) {
  skip_where_signals_are_held_back();
  check_that_none_is_counted_twice();
}

/* Nothing holds back what has no handler. */
static void nor_where_it_waits_in_the_kernels_queue(void) {
  limit_queue();
  raised_one = SIGRTMIN;
  is_queued = true;
  check_that_none_is_counted_twice();
}

static struct fixture g;
static struct recorder b;
static uint64_t caught_there;

static void stop_and_start_there(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  stop_and_start_often(&g, &b, scaled(50000));
  caught_there = count_caught(&g, &b);
  fixture_close(&g);
}

/* A signal that finds both is taken by both, and not the previous handler's.
 * The thread that raises sees for each which it was. */
static void with_two_loops_each_has_one_of_the_three_ways(void) {
  uv_thread_t raiser;
  uv_thread_t other;
  uint64_t caught;

  skip_where_signals_are_held_back();
  CHECK_EQ(pipe2(own, O_NONBLOCK | O_CLOEXEC), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(own[1], 0, NULL), 0);
  install_handler(SIGUSR1, count_previous);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  start_raiser(&raiser);
  CHECK_EQ(uv_thread_create(&other, stop_and_start_there, NULL), 0);
  stop_and_start_often(&f, &a, scaled(50000));
  CHECK_EQ(uv_thread_join(&other), 0);
  end_raiser(&raiser);
  caught = count_caught(&f, &a);
  CHECK(raised <= caught + caught_there + previous_calls);
  CHECK(caught + previous_calls <= raised);
  CHECK(caught_there + previous_calls <= raised);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  close(own[0]);
  close(own[1]);
  fixture_close(&f);
}

/* --- The default action --------------------------------------------------- */

static atomic_bool is_ready;
static atomic_bool is_on;   /* both threads wait for it, and begin together */
static unsigned head_start; /* of the signal */

/* A stack for the handler which the kernel has to clear first, all of it where
 * it has huge pages. The handler has been chosen then, and does not run yet:
 * that is when the stop is to come. It does where both threads run at that
 * time; moment-internal has the same for certain. */
static void set_fresh_stack(stack_t* previous) {
  const size_t size = 2 * 1024 * 1024;
  char* memory = mmap(NULL,
                      2 * size,
                      PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS,
                      -1,
                      0);
  stack_t fresh = {.ss_size = size};

  CHECK(memory != MAP_FAILED);
  fresh.ss_sp = memory + (size - (uintptr_t) memory % size);
#ifdef MADV_HUGEPAGE
  madvise(fresh.ss_sp, size, MADV_HUGEPAGE); /* refused: it is less to clear */
#endif
  CHECK_EQ(sigaltstack(&fresh, previous), 0);
}

static void terminate(void* unused) {
  stack_t previous;

  (void) unused;
  set_fresh_stack(&previous);
  atomic_store(&is_ready, true);
  while (!atomic_load(&is_on))
    ;
  raise(SIGTERM);
  CHECK_EQ(sigaltstack(&previous, NULL), 0);
}

static void stop_while_terminated(void) {
  uv_thread_t thread;
  uvsig_stats_t stats;
  volatile unsigned i;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGTERM);
  CHECK_EQ(uv_thread_create(&thread, terminate, NULL), 0);
  while (!atomic_load(&is_ready))
    sched_yield();
  atomic_store(&is_on, true);
  for (i = 0; i < head_start; i++)
    ;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  uvsig_stats(&f.sig, SIGTERM, &stats);
  CHECK_EQ(stats.delivered + stats.discarded, 1);
  fixture_close(&f);
}

static void sigterm_ends_the_process_or_is_delivered_or_discarded(void) {
  unsigned most = scaled(300);
  unsigned ended = 0;
  unsigned n;
  int status;

  skip_where_signals_are_held_back();
  for (n = 0; n < most && has_time(); n++) {
    head_start = n % 30 * (n % 3 == 0 ? 40000 : 500);
    status = run_child(stop_while_terminated);
    ended += WIFSIGNALED(status);
    if (WIFSIGNALED(status))
      CHECK_EQ(WTERMSIG(status), SIGTERM);
    else
      CHECK(child_passed(status));
  }
  printf("# %u of %u processes were ended by the signal\n", ended, n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_is_delivered_or_discarded_or_the_previous_handlers),
      TEST(none_is_delivered_or_discarded_twice_where_it_was_ignored),
      TEST(nor_where_it_waits_in_the_kernels_queue),
      TEST(with_two_loops_each_has_one_of_the_three_ways),
      TEST(sigterm_ends_the_process_or_is_delivered_or_discarded),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
