/* SPDX-License-Identifier: MIT
 *
 * Threads that may be cancelled at any instruction, and are, while the signal
 * handler runs on them: nothing waits for them afterwards.
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

/* --- Threads -------------------------------------------------------------- */

enum { AT_ONCE = 4 };

struct victim {
  pthread_t thread;
  atomic_bool is_ready;
  bool sleeps;
};

/* Asynchronous: it may end at any instruction, also in a handler. So it calls
 * nothing that might hold something then. */
static void* be_cancelled(void* argument) {
  struct victim* victim = argument;

  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  atomic_store(&victim->is_ready, true);
  for (;;)
    if (victim->sleeps)
      pause();
  return NULL;
}

static void start_victim(struct victim* victim, bool sleeps) {
  victim->sleeps = sleeps;
  atomic_store(&victim->is_ready, false);
  CHECK_EQ(pthread_create(&victim->thread, NULL, be_cancelled, victim), 0);
}

static void wait_until_ready(struct victim* victim) {
  while (!atomic_load(&victim->is_ready))
    sched_yield();
}

/* The cancellation meets the handler somewhere: it is a signal, too, and what
 * is sent at once with others is handled before them. */
static void shoot(struct victim* victim, unsigned signals, unsigned delay) {
  volatile unsigned i;

  while (signals-- > 0)
    CHECK_EQ(pthread_kill(victim->thread, SIGUSR1), 0);
  for (i = 0; i < delay; i++)
    ;
  CHECK_EQ(pthread_cancel(victim->thread), 0);
}

static void join_victim(struct victim* victim) {
  void* result;

  CHECK_EQ(pthread_join(victim->thread, &result), 0);
  CHECK(result == PTHREAD_CANCELED);
}

static void cancel_some(unsigned number) {
  struct victim victims[AT_ONCE];
  unsigned i;

  for (i = 0; i < AT_ONCE; i++)
    start_victim(&victims[i], (number + i) % 2 == 0);
  for (i = 0; i < AT_ONCE; i++)
    wait_until_ready(&victims[i]);
  for (i = 0; i < AT_ONCE; i++)
    shoot(&victims[i], 3 + (number + i) % 8, (number + i) % 101 * 40);
  for (i = 0; i < AT_ONCE; i++)
    join_victim(&victims[i]);
}

/* --- Tests ---------------------------------------------------------------- */

/* In libgcc, which pthread_cancel() loads: it must not be loaded by a thread
 * that may end while it does so. */
static void load_unwinder(void) {
  struct victim victim;

  start_victim(&victim, true);
  wait_until_ready(&victim);
  CHECK_EQ(pthread_cancel(victim.thread), 0);
  join_victim(&victim);
}

static void check_stop(void) {
  uvsig_stats_t stats;

  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
  CHECK_EQ(stats.delivered, a.signals);
}

static void exit_at_once(void) {
  _exit(0);
}

static void check_fork(void) {
  CHECK_EQ(run_forked(exit_at_once), 0);
}

/* What waits for handlers in flight must not wait for one that is no more:
 * every stop, uvsig_close() and each fork(). */
static void cancel_many(unsigned flags, uvsig_handler_cb handler) {
  unsigned most = scaled(3000);
  unsigned n = 0;
  unsigned long signals;

  load_unwinder();
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, flags), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, handler), 0);
  while (n < most && has_time()) {
    recorder_start(&a, SIGUSR1);
    cancel_some(n);
    n += AT_ONCE;
    if (n % (2 * AT_ONCE) == 0)
      uv_run(&f.loop, UV_RUN_NOWAIT);
    if (n % (25 * AT_ONCE) == 0)
      check_fork();
    check_stop();
  }
  check_fork();
  recorder_start(&a, SIGUSR1);
  signals = a.signals;
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, signals + 1);
  check_stop();
  fixture_close(&f);
}

static void cancelled_threads_leave_nothing_to_wait_for(void) {
  cancel_many(0, NULL);
}

static atomic_ulong previous_calls;

static void count_previous(int signum) {
  (void) signum;
  atomic_fetch_add(&previous_calls, 1);
}

static void cancelled_threads_leave_nothing_to_wait_for_with_a_chain(void) {
  install_handler(SIGUSR1, count_previous);
  cancel_many(UVSIG_CHAIN, NULL);
  CHECK(previous_calls > 0);
  CHECK(action_of(SIGUSR1).sa_handler == count_previous);
}

/* --- Cancellation points -------------------------------------------------- */

static atomic_bool has_returned;

/* The cancellation is pending when the signal comes. */
static void* raise_when_cancelled(void* argument) {
  (void) argument;
  pthread_cancel(pthread_self());
  raise(SIGUSR1);
  atomic_store(&has_returned, true);
  pthread_testcancel();
  return NULL;
}

static void check_cancellation_points(void) {
  pthread_t thread;
  void* result;

  recorder_start(&a, SIGUSR1);
  CHECK_EQ(pthread_create(&thread, NULL, raise_when_cancelled, NULL), 0);
  CHECK_EQ(pthread_join(thread, &result), 0);
  CHECK(result == PTHREAD_CANCELED);
  CHECK(has_returned);
  run_until(&f.loop, &a.signals, 1);
  check_stop();
}

static void on_caught(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  pthread_testcancel();
}

static void a_watchers_function_in_the_handler_may_call_one(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, on_caught), 0);
  check_cancellation_points();
  fixture_close(&f);
}

static void end_thread(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  pthread_exit(NULL);
}

static void* raise_alone(void* unused) {
  (void) unused;
  raise(SIGUSR1);
  return &f;
}

/* Of two loops that have the signal: before the other one, and after it. */
static void one_that_ends_the_thread_loses_no_signal(void) {
  struct fixture other;
  struct recorder b;
  pthread_t thread;
  void* result;
  int i;

  if (under_thread_sanitizer())
    skip_test("its runtime hangs when a thread ends in a handler");
  fixture_open(&f, NULL);
  fixture_open(&other, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &other.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, end_thread), 0);
  for (i = 0; i < 2; i++) {
    recorder_start(i == 0 ? &a : &b, SIGUSR1);
    recorder_start(i == 0 ? &b : &a, SIGUSR1);
    CHECK_EQ(pthread_create(&thread, NULL, raise_alone, NULL), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == NULL);
    run_idle(&f.loop);
    run_idle(&other.loop);
    CHECK_EQ(a.signals, i + 1);
    CHECK_EQ(b.signals, i + 1);
    check_stop(); /* waits for no handler */
    CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  }
  fixture_close(&f);
  fixture_close(&other);
}

/* SIGPIPE is discarded, and not by sigwait(): see scripts/top-half.sh. */
static void a_wakeup_fd_whose_reader_has_gone_is_none(void) {
  int fds[2];

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  close(fds[0]);
  check_cancellation_points();
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  close(fds[1]);
  fixture_close(&f);
}

static int null = -1;

/* glibc before 2.41 makes the type asynchronous in write(). */
static void write_often(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  int i;

  (void) w;
  (void) signum;
  (void) info;
  for (i = 0; i < 30; i++)
    if (write(null, "", 1) != 1)
      _exit(1);
}

static void cancelled_threads_in_a_watchers_function(void) {
  if (under_thread_sanitizer())
    skip_test("its runtime hangs when a thread ends in a handler");
  null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(null >= 0);
  cancel_many(0, write_often);
  close(null);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(cancelled_threads_leave_nothing_to_wait_for),
      TEST(cancelled_threads_leave_nothing_to_wait_for_with_a_chain),
      TEST(a_watchers_function_in_the_handler_may_call_one),
      TEST(one_that_ends_the_thread_loses_no_signal),
      TEST(a_wakeup_fd_whose_reader_has_gone_is_none),
      TEST(cancelled_threads_in_a_watchers_function),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
