/* SPDX-License-Identifier: MIT
 *
 * Interval timers: the process's, and those with a callback on a loop. Times
 * are bounds that hold however slow the machine is, never durations that it
 * must keep.
 */

#include "../lib/harness.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const int timers[] = {
    UVSIG_ITIMER_REAL, UVSIG_ITIMER_VIRTUAL, UVSIG_ITIMER_PROF};
static const int signals[] = {SIGALRM, SIGVTALRM, SIGPROF};
enum { TIMERS = 3 };

static struct fixture f, g;
static struct recorder a;

/* Nothing expires in the time that a test takes. */
#define LONG 1000.0

static void check_unarmed(int which) {
  uvsig_itimerval_t value = {4711, 4711};

  CHECK_EQ(uvsig_getitimer(which, &value), 0);
  CHECK(value.seconds == 0 && value.interval == 0);
}

/* --- The process's timers ------------------------------------------------- */

static void setitimer_returns_the_old_values_and_0_clears(void) {
  uvsig_itimerval_t old = {-1, -1};
  int i;

  for (i = 0; i < TIMERS; i++) {
    CHECK_EQ(uvsig_setitimer(timers[i], LONG, 0.25, &old), 0);
    CHECK(old.seconds == 0 && old.interval == 0);
    CHECK_EQ(uvsig_setitimer(timers[i], LONG / 2, 0, &old), 0);
    /* Linux adds a tick to the timers of processor time. */
    CHECK(old.seconds > LONG / 2 && old.seconds < LONG + 1);
    CHECK(old.interval == 0.25);
    CHECK_EQ(uvsig_setitimer(timers[i], 0, 5, &old), 0);
    CHECK(old.seconds > 0 && old.seconds < LONG / 2 + 1);
    CHECK(old.interval == 0);
    CHECK_EQ(uvsig_getitimer(timers[i], &old), 0);
    CHECK(old.seconds == 0);
    CHECK_EQ(uvsig_setitimer(timers[i], 0, 0, NULL), 0);
    check_unarmed(timers[i]);
  }
}

static void times_are_rounded_up_to_the_microsecond(void) {
  struct itimerval value;

  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_PROF, LONG, 1e-9, NULL), 0);
  CHECK_EQ(getitimer(ITIMER_PROF, &value), 0);
  CHECK_EQ(value.it_interval.tv_sec, 0);
  CHECK_EQ(value.it_interval.tv_usec, 1);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_PROF, LONG, 1e-6, NULL), 0);
  CHECK_EQ(getitimer(ITIMER_PROF, &value), 0);
  CHECK_EQ(value.it_interval.tv_usec, 1);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_PROF, LONG, 2.0000011, NULL), 0);
  CHECK_EQ(getitimer(ITIMER_PROF, &value), 0);
  CHECK_EQ(value.it_interval.tv_sec, 2);
  CHECK_EQ(value.it_interval.tv_usec, 2);
  /* There is no double of 1.1: what is meant is 1,100,000 microseconds. */
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_PROF, LONG, 1.1, NULL), 0);
  CHECK_EQ(getitimer(ITIMER_PROF, &value), 0);
  CHECK_EQ(value.it_interval.tv_usec, 100000);
}

static void what_getitimer_says_can_be_set_again(void) {
  uvsig_itimerval_t value = {-1, -1};
  uvsig_itimerval_t again = {-1, -1};
  int i;

  for (i = 1; i < 1000; i++) {
    CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, i * 0.017003, NULL), 0);
    CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
    CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, value.interval, NULL), 0);
    CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &again), 0);
    CHECK(value.interval == again.interval);
  }
}

/* 1e-6 and 1e-9 s arm, and do not clear. */
static void the_smallest_times_expire(void) {
  static const double smallest[] = {1e-6, 1e-9, 1e-300};
  size_t i;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGALRM);
  for (i = 0; i < sizeof(smallest) / sizeof(*smallest); i++) {
    CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, smallest[i], 0, NULL), 0);
    run_until(&f.loop, &a.signals, i + 1);
  }
  fixture_close(&f);
}

/* A callback runs on the loop, so what uses up time must let it run. */
static volatile unsigned sum;

static void compute(uv_idle_t* idle) {
  unsigned i;

  (void) idle;
  for (i = 0; i < 100000; i++)
    sum += i;
  getppid(); /* some of it in the system */
}

static void each_timer_sends_its_own_signal(void) {
  uv_idle_t idle;
  int i;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_idle_init(&f.loop, &idle), 0);
  CHECK_EQ(uv_idle_start(&idle, compute), 0);
  for (i = 0; i < TIMERS; i++) {
    recorder_init(&a, &f.sig);
    recorder_start(&a, signals[i]);
    CHECK_EQ(uvsig_setitimer(timers[i], 0.001, 0, NULL), 0);
    run_until(&f.loop, &a.calls, 1);
    check_unarmed(timers[i]);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  }
  uv_close((uv_handle_t*) &idle, NULL);
  fixture_close(&f);
}

static double processor_time(void) {
  uv_rusage_t usage;

  CHECK_EQ(uv_getrusage(&usage), 0);
  return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static uint64_t caught(int signum) {
  uvsig_stats_t stats;

  uvsig_stats(&f.sig, signum, &stats);
  return stats.caught;
}

static void clear_at_the_fourth(struct recorder* r) {
  if (r->calls == 4)
    CHECK_EQ(uvsig_setitimer(r->signum == SIGPROF ? UVSIG_ITIMER_PROF
                                                  : UVSIG_ITIMER_VIRTUAL,
                             0,
                             0,
                             NULL),
             0);
}

static void check_four_times(int which, int signum) {
  uvsig_itimerval_t old = {-1, -1};
  uint64_t by_then;
  double used;
  uv_idle_t idle;
  int i;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_idle_init(&f.loop, &idle), 0);
  CHECK_EQ(uv_idle_start(&idle, compute), 0);
  recorder_init(&a, &f.sig);
  a.then = clear_at_the_fourth;
  recorder_start(&a, signum);
  CHECK_EQ(uvsig_setitimer(which, 0.3, 0.2, &old), 0);
  while (a.calls < 4)
    uv_run(&f.loop, UV_RUN_ONCE);
  check_unarmed(which);
  /* Where the loop was slow, the fifth was on its way before the fourth was
   * told of. */
  for (i = 0; i < 10; i++)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  by_then = caught(signum);
  /* And it never fires again: not in a time in which it would have. */
  used = processor_time();
  while (processor_time() - used < 0.3)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(caught(signum), by_then);
  CHECK_EQ(a.calls, by_then);
  uv_close((uv_handle_t*) &idle, NULL);
  fixture_close(&f);
}

static void virtual_fires_until_its_callback_clears_it_at_the_fourth(void) {
  check_four_times(UVSIG_ITIMER_VIRTUAL, SIGVTALRM);
}

static void prof_fires_until_its_callback_clears_it_at_the_fourth(void) {
  check_four_times(UVSIG_ITIMER_PROF, SIGPROF);
}

static void alarm_returns_what_was_left_and_0_cancels(void) {
  uvsig_itimerval_t value = {-1, -1};
  unsigned left;

  CHECK_EQ(uvsig_alarm(1000), 0);
  left = uvsig_alarm(500);
  CHECK(left > 500 && left <= 1000);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > 0 && value.seconds <= 500 && value.interval == 0);
  left = uvsig_alarm(0);
  CHECK(left > 0 && left <= 500);
  CHECK_EQ(uvsig_alarm(0), 0);
  check_unarmed(UVSIG_ITIMER_REAL);
}

static void alarm_sends_sigalrm(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGALRM);
  CHECK_EQ(uvsig_alarm(1), 0);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_alarm(0), 0);
  fixture_close(&f);
}

/* --- Bad input of those --------------------------------------------------- */

static const double bad_times[] = {
    -1, -1e-9, -INFINITY, INFINITY, NAN, 1e10, 1e300};
static const int bad_timers[] = {-1, TIMERS, 4711, INT_MIN, INT_MAX};
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void bad_arguments_of_setitimer_are_refused_and_change_nothing(void) {
  uvsig_itimerval_t old = {4711, 815};
  uvsig_itimerval_t value = {-1, -1};
  size_t i;

  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, 7, NULL), 0);
  for (i = 0; i < COUNT(bad_timers); i++)
    CHECK_EQ(uvsig_setitimer(bad_timers[i], 1, 0, &old), UV_EINVAL);
  for (i = 0; i < COUNT(bad_times); i++) {
    CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, bad_times[i], 0, &old),
             UV_EINVAL);
    CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 1, bad_times[i], &old),
             UV_EINVAL);
  }
  CHECK(old.seconds == 4711 && old.interval == 815);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > LONG / 2 && value.interval == 7);
}

static void bad_arguments_of_getitimer_are_refused(void) {
  uvsig_itimerval_t value = {4711, 815};
  size_t i;

  for (i = 0; i < COUNT(bad_timers); i++)
    CHECK_EQ(uvsig_getitimer(bad_timers[i], &value), UV_EINVAL);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, NULL), UV_EINVAL);
  CHECK(value.seconds == 4711 && value.interval == 815);
}

/* --- With a callback ------------------------------------------------------ */

/* A timer that remembers what it was told. */
struct ticker {
  uvsig_itimer_t t;
  unsigned long calls;
  unsigned long expirations;
  unsigned long first; /* expirations of the first call */
  void (*then)(struct ticker* ticker);
};

static struct ticker t, u;

static void on_tick(uvsig_itimer_t* timer, unsigned expirations) {
  struct ticker* ticker = timer->data;

  CHECK(expirations >= 1);
  if (ticker->calls++ == 0)
    ticker->first = expirations;
  ticker->expirations += expirations;
  if (ticker->then != NULL)
    ticker->then(ticker);
}

static void ticker_init(struct ticker* ticker, int which) {
  ticker->t.data = ticker;
  CHECK_EQ(uvsig_itimer_init(&f.sig, &ticker->t, which), 0);
  CHECK(ticker->t.data == ticker && ticker->t.sig == &f.sig);
  CHECK_EQ(ticker->t.which, which);
}

static void start(struct ticker* ticker, double seconds, double interval) {
  CHECK_EQ(uvsig_itimer_start(&ticker->t, on_tick, seconds, interval), 0);
}

static void stop_at_the_fourth(struct ticker* ticker) {
  if (ticker->expirations >= 4)
    CHECK_EQ(uvsig_itimer_stop(&ticker->t), 0);
}

static void a_timer_calls_until_it_is_stopped_and_keeps_the_loop_alive(void) {
  uv_idle_t idle;
  int i;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_idle_init(&f.loop, &idle), 0);
  CHECK_EQ(uv_idle_start(&idle, compute), 0);
  uv_unref((uv_handle_t*) &idle);
  for (i = 0; i < TIMERS; i++) {
    memset(&t, 0, sizeof(t));
    ticker_init(&t, timers[i]);
    t.then = stop_at_the_fourth;
    start(&t, 0.001, 0.001);
    CHECK_EQ(uvsig_itimer_is_active(&t.t), 1);
    CHECK_EQ(uvsig_getsignal(signals[i]), UVSIG_WATCHED);
    CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    CHECK(t.expirations >= 4);
    CHECK_EQ(uvsig_itimer_is_active(&t.t), 0);
    CHECK_EQ(uvsig_getsignal(signals[i]), UVSIG_DEFAULT);
    check_unarmed(timers[i]);
  }
  uv_close((uv_handle_t*) &idle, NULL);
  fixture_close(&f);
}

static void check_stopped(struct ticker* ticker) {
  CHECK_EQ(uvsig_itimer_is_active(&ticker->t), 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_DEFAULT);
}

static void a_timer_without_interval_stops_before_its_callback(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  t.then = check_stopped;
  start(&t, 0.001, 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(t.calls, 1);
  CHECK_EQ(t.expirations, 1);
  fixture_close(&f);
}

static void restart_once(struct ticker* ticker) {
  if (ticker->calls < 3)
    start(ticker, 0.001, 0);
}

static void a_timer_may_be_started_again_in_its_callback(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  t.then = restart_once;
  start(&t, 0.001, 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(t.expirations, 3);
  fixture_close(&f);
}

/* Returns when the signal is blocked and one is pending. */
static void await_pending(const sigset_t* blocked, int signum) {
  sigset_t set;

  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, blocked, NULL), 0);
  do
    CHECK_EQ(uvsig_sigpending(&set), 0);
  while (sigismember(&set, signum) != 1);
}

/* While the signal is blocked the kernel keeps one, whatever expires. */
static void missed_ticks_are_counted(void) {
  sigset_t set = set_of(SIGALRM);
  uint64_t begin;

  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  begin = uv_hrtime();
  start(&t, 0.001, 0.001);
  await_pending(&set, SIGALRM);
  let_pass(100);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  /* No turns of the loop, each of which may be as long as the interval. */
  CHECK(uvsig_flush(&f.sig) >= 1);
  CHECK(t.calls > 0);
  CHECK(t.expirations >= 99);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  /* No more than there can have been. */
  CHECK(t.expirations <= (uv_hrtime() - begin) / 1000000 + 2);
  fixture_close(&f);
}

/* The loop comes once, late: all of them are one call, and what the flush takes
 * its time for is told in those that follow. */
static void ticks_that_the_loop_was_late_for_are_one_call(void) {
  uint64_t begin;

  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.001, LONG);
  let_pass(20);
  begin = uv_hrtime();
  start(&t, 0.001, 0.001);
  let_pass(50);
  /* Of the first start nothing is told any more. */
  CHECK(uvsig_flush(&f.sig) >= 1);
  CHECK(t.first >= 49);
  CHECK(t.expirations <= (uv_hrtime() - begin) / 1000000 + 2);
  fixture_close(&f);
}

static void a_signal_that_somebody_sends_is_no_expiration(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGALRM);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, LONG, 0);
  raise(SIGALRM);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(t.calls, 0);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 1);
  fixture_close(&f);
}

static void watchers_of_the_signal_are_told_too(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGALRM);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.001, 0);
  run_until(&f.loop, &a.calls, 1);
  run_until(&f.loop, &t.calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_WATCHED);
  fixture_close(&f);
}

static void after_stop_the_callback_is_not_called(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.001, 0.001);
  let_pass(5);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  memset(&t.t, 0x5a, sizeof(t.t)); /* the memory is ours */
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(t.calls, 0);
  fixture_close(&f);
}

/* The last signal of the timer must not meet the default action, which is the
 * end of the process, whichever thread it was on its way to. */
static uv_barrier_t barrier;
static atomic_bool over;

static void sleep_unmasked(void* argument) {
  (void) argument;
  uv_barrier_wait(&barrier);
  while (!over)
    usleep(1000);
}

static void a_last_signal_does_not_meet_the_previous_action(void) {
  uv_thread_t thread;
  unsigned i;

  skip_under_valgrind("it keeps the last signal back, and delivers it late");
  CHECK_EQ(uv_barrier_init(&barrier, 2), 0);
  CHECK_EQ(uv_thread_create(&thread, sleep_unmasked, NULL), 0);
  uv_barrier_wait(&barrier);
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  for (i = 0; i < scaled(20000) && has_time(); i++) {
    start(&t, 1e-6 * (1 + i % 20), 1e-6 * (1 + i % 7));
    CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  }
  over = true;
  CHECK_EQ(uv_thread_join(&thread), 0);
  uv_barrier_destroy(&barrier);
  fixture_close(&f);
}

/* It is pending, so that nothing but stop can forget it. */
static void a_pending_last_signal_is_forgotten(void) {
  sigset_t set = set_of(SIGALRM);

  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  /* The start unblocks the signal; the second one is of a started timer, and
   * leaves the mask alone. */
  start(&t, LONG, 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  start(&t, 0.001, 0);
  await_pending(&set, SIGALRM);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  fixture_close(&f);
}

static void stop_ticker(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
}

static void close_all(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
}

/* It was read from a signalfd, together with the one before it. */
static void a_last_signal_that_was_read_is_forgotten(void) {
  static void (*const ends[])(struct recorder*) = {stop_ticker, close_all};
  int i;

  for (i = 0; i < 2; i++) {
    fixture_open_queued(&f);
    recorder_init(&a, &f.sig);
    a.then = ends[i];
    recorder_start(&a, SIGHUP); /* of a lower number on every system */
    ticker_init(&t, UVSIG_ITIMER_REAL);
    raise(SIGHUP);
    start(&t, 1e-6, 0);
    while (!is_waiting(SIGALRM))
      usleep(1000);
    run_until(&f.loop, &a.calls, 1);
    CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_DEFAULT);
    CHECK_EQ(is_waiting(SIGALRM), 0);
    if (i == 0) {
      check_books(&f.sig, SIGALRM, 0, 1);
      fixture_close(&f);
    } else {
      close_loop(&f.loop);
    }
  }
}

/* Pending, and somebody else's, too. */
static void a_pending_signal_is_left_to_another_watcher(void) {
  sigset_t set;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGALRM);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, LONG, 0);
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(kill(getpid(), SIGALRM), 0);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

/* Such an interval, given to the kernel, leaves no time for anything else. */
static void an_interval_of_a_microsecond_leaves_time_and_is_counted(void) {
  uint64_t begin;

  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  begin = uv_hrtime();
  start(&t, 1e-6, 1e-6);
  do
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  while (t.expirations < 10000);
  CHECK(t.expirations <= (uv_hrtime() - begin) / 1000 + 2);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  fixture_close(&f);
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  unsigned long* calls = req->data;

  CHECK_EQ(status, 0);
  CHECK_EQ(info->signum, SIGALRM);
  ++*calls;
}

static void a_wait_takes_no_expiration_from_a_timer(void) {
  unsigned long calls = 0;
  uvsig_wait_t wait;
  sigset_t set;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGALRM);
  uvsig_watcher_unref(&a.w);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.001, 0);
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  wait.data = &calls;
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, LONG, on_wait), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(calls, 1);
  CHECK_EQ(t.calls, 1);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 0);
  fixture_close(&f);
}

/* --- What was there before ------------------------------------------------ */

static void a_second_timer_of_a_kind_is_refused(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  ticker_init(&u, UVSIG_ITIMER_REAL);
  start(&t, LONG, 3);
  CHECK_EQ(uvsig_itimer_start(&u.t, on_tick, 1, 1), UV_EBUSY);
  CHECK_EQ(uvsig_itimer_is_active(&u.t), 0);
  /* Those of other kinds are not. */
  memset(&u, 0, sizeof(u));
  ticker_init(&u, UVSIG_ITIMER_PROF);
  start(&u, LONG, 0);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  CHECK_EQ(uvsig_itimer_stop(&u.t), 0);
  ticker_init(&u, UVSIG_ITIMER_REAL);
  start(&u, LONG, 0);
  fixture_close(&f);
}

static void setitimer_and_alarm_leave_a_timer_with_an_owner_alone(void) {
  uvsig_itimerval_t value = {-1, -1};

  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, LONG, 3);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 1, 0, NULL), UV_EBUSY);
  CHECK_EQ(uvsig_alarm(1), UINT_MAX);
  CHECK_EQ(uvsig_alarm(0), UINT_MAX);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > LONG / 2 && value.interval == 3);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_PROF, LONG, 0, NULL), 0);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  CHECK_EQ(uvsig_alarm(0), 0);
  fixture_close(&f);
}

static void stop_gives_the_previous_timer_back_less_the_time_that_passed(void) {
  uvsig_itimerval_t value = {-1, -1};

  install_handler(SIGALRM, count_foreign);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, 7, NULL), 0);
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.001, 0.001);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_WATCHED);
  let_pass(50);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_FOREIGN);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  /* Two armings may have added a tick each, of 10 ms at most. */
  CHECK(value.seconds > LONG / 2 && value.seconds <= LONG - 0.03);
  CHECK(value.interval == 7);
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&f);
}

/* Linux adds a tick at each arming. */
static void a_borrowed_timer_of_processor_time_does_not_grow(void) {
  static const int borrowed[] = {UVSIG_ITIMER_VIRTUAL, UVSIG_ITIMER_PROF};
  uvsig_itimerval_t value = {-1, -1};
  int i;
  int j;

  fixture_open(&f, NULL);
  for (i = 0; i < 2; i++) {
    memset(&t, 0, sizeof(t));
    CHECK_EQ(uvsig_setitimer(borrowed[i], LONG, 0, NULL), 0);
    ticker_init(&t, borrowed[i]);
    for (j = 0; j < 200; j++) {
      start(&t, LONG, 0);
      CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
    }
    CHECK_EQ(uvsig_getitimer(borrowed[i], &value), 0);
    CHECK(value.seconds > LONG / 2 && value.seconds < LONG + 0.05);
    CHECK_EQ(uvsig_setitimer(borrowed[i], 0, 0, NULL), 0);
  }
  fixture_close(&f);
}

static void a_borrowed_timer_of_real_time_is_never_early(void) {
  uvsig_itimerval_t value = {-1, -1};
  uint64_t begin;
  int i;

  install_handler(SIGALRM, count_foreign);
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  begin = uv_hrtime();
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, 0, NULL), 0);
  for (i = 0; i < 1000; i++) {
    start(&t, LONG, 0);
    CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  }
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  /* What is read here is cut to the microsecond. */
  CHECK(value.seconds + 2e-6 >= LONG - (double) (uv_hrtime() - begin) / 1e9);
  fixture_close(&f);
}

/* Returns whether the timer was started before the other one had expired. By the
 * clock: valgrind may keep a signal back until another handler is there. */
static bool start_in_time_over(double seconds) {
  uint64_t begin = uv_hrtime();

  foreign_calls = 0;
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, seconds, 0, NULL), 0);
  start(&t, LONG, 0);
  if ((double) (uv_hrtime() - begin) < seconds * 1e9)
    return true;
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  return false;
}

static void a_previous_timer_whose_time_has_come_expires_at_once(void) {
  double seconds = 0.01;

  install_handler(SIGALRM, count_foreign);
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  while (!start_in_time_over(seconds))
    seconds *= 2;
  let_pass((uint64_t) (seconds * 1000) + 10);
  CHECK_EQ(foreign_calls, 0);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  while (foreign_calls == 0)
    usleep(1000);
  fixture_close(&f);
}

static void close_stops_timers_and_gives_everything_back(void) {
  uvsig_itimerval_t value = {-1, -1};

  install_handler(SIGALRM, count_foreign);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, 7, NULL), 0);
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  u.t.data = &u;
  CHECK_EQ(uvsig_itimer_init(&g.sig, &u.t, UVSIG_ITIMER_PROF), 0);
  start(&t, 0.001, 0.001);
  start(&u, LONG, 0);
  fixture_close(&f);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 0);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_FOREIGN);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > LONG / 2 && value.interval == 7);
  /* The other loop's goes on. */
  CHECK_EQ(uvsig_itimer_is_active(&u.t), 1);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_PROF, &value), 0);
  CHECK(value.seconds > 0);
  fixture_close(&g);
}

static void stop_and_close(struct ticker* ticker) {
  (void) ticker;
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
}

static void a_callback_may_close(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  t.then = stop_and_close;
  start(&t, 0.001, 0.001);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(t.calls, 1);
  close_loop(&f.loop);
}

/* --- References ----------------------------------------------------------- */

static void an_unreferenced_timer_does_not_keep_the_loop_alive(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  CHECK_EQ(uvsig_itimer_has_ref(&t.t), 1);
  uvsig_itimer_unref(&t.t);
  CHECK_EQ(uvsig_itimer_has_ref(&t.t), 0);
  start(&t, LONG, 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 1);
  uvsig_itimer_ref(&t.t);
  CHECK_EQ(uvsig_itimer_has_ref(&t.t), 1);
  CHECK(uv_loop_alive(&f.loop));
  fixture_close(&f);
}

/* --- Fork and exec -------------------------------------------------------- */

static void use_timers_in_child(void) {
  uvsig_itimerval_t value = {-1, -1};

  /* POSIX, fork(): the child's timers are cleared. */
  check_unarmed(UVSIG_ITIMER_REAL);
  /* The parent owns none of this process's. */
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, 0, NULL), 0);
  CHECK(uvsig_alarm(0) > 0);
  CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, LONG, 0), UV_EBADF);
  check_unarmed(UVSIG_ITIMER_REAL);
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  check_unarmed(UVSIG_ITIMER_REAL);
  CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, LONG, 0), 0);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  check_unarmed(UVSIG_ITIMER_REAL);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
}

/* Its clocks are others, and SIGALRM is anybody's. */
static void be_told_of_nothing_in_child(void) {
  CHECK_EQ(uvsig_itimer_init(&f.sig, &t.t, UVSIG_ITIMER_REAL), UV_EBUSY);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 1);
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  raise(SIGALRM);
  uvsig_flush(&f.sig);
  CHECK_EQ(t.calls, 0);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 0);
}

/* Time goes on in the child: what is due by the clock was its parent's. */
static void be_told_of_no_expiration_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  let_pass(2);
  raise(SIGALRM);
  uvsig_flush(&f.sig);
  CHECK_EQ(t.calls, 0);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 1);
}

static void stop_in_child(void) {
  /* What it had saved is the parent's. */
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  check_unarmed(UVSIG_ITIMER_REAL);
}

static void a_child_has_no_armed_timer_and_may_have_its_own(void) {
  uvsig_itimerval_t value = {-1, -1};

  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, LONG, 7, NULL), 0);
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, LONG, 3);
  CHECK_EQ(run_forked(use_timers_in_child), 0);
  CHECK_EQ(run_forked(stop_in_child), 0);
  CHECK_EQ(run_forked(be_told_of_nothing_in_child), 0);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > LONG / 2 && value.interval == 3);
  fixture_close(&f);
}

static void what_expires_in_a_child_is_its_parents(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.001, 0);
  CHECK_EQ(run_forked(be_told_of_no_expiration_in_child), 0);
  run_until(&f.loop, &t.calls, 1);
  fixture_close(&f);
}

static void execute_with_timer(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.05, 0.05);
  execlp("sleep", "sleep", "60", (char*) NULL);
  _exit(127);
}

static void execute_without_timer(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, 0.05, 0.05);
  CHECK_EQ(uvsig_itimer_stop(&t.t), 0);
  execlp("sleep", "sleep", "0.2", (char*) NULL);
  _exit(127);
}

/* execve(2): timers are kept, handlers are not. */
static void an_executed_program_has_the_timer_and_dies_unless_it_was_stopped(
    void) {
  int status;

  skip_under_valgrind("it would look at sleep(1), too");
  status = run_forked(execute_with_timer);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGALRM);
  CHECK_EQ(run_forked(execute_without_timer), 0);
}

/* --- Bad input ------------------------------------------------------------ */

static void bad_arguments_of_itimer_init_are_refused(void) {
  uvsig_itimer_t timer;
  uvsig_itimer_t before;
  uvsig_t unset;
  size_t i;

  memset(&unset, 0, sizeof(unset));
  memset(&timer, 0x5a, sizeof(timer));
  before = timer;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(NULL, &timer, UVSIG_ITIMER_REAL), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_init(&unset, &timer, UVSIG_ITIMER_REAL), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, NULL, UVSIG_ITIMER_REAL), UV_EINVAL);
  for (i = 0; i < COUNT(bad_timers); i++)
    CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, bad_timers[i]), UV_EINVAL);
  CHECK_EQ(memcmp(&timer, &before, sizeof(timer)), 0);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, LONG, 0);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &t.t, UVSIG_ITIMER_REAL), UV_EBUSY);
  CHECK_EQ(uvsig_itimer_is_active(&t.t), 1);
  fixture_close(&f);
}

static void bad_arguments_of_itimer_start_are_refused(void) {
  uvsig_itimerval_t value = {-1, -1};
  uvsig_itimer_t unset;
  size_t i;

  memset(&unset, 0, sizeof(unset));
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, LONG, 3);
  CHECK_EQ(uvsig_itimer_start(NULL, on_tick, 1, 0), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_start(&unset, on_tick, 1, 0), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_start(&t.t, NULL, 1, 0), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, 0, 0), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, 0, 1), UV_EINVAL);
  for (i = 0; i < COUNT(bad_times); i++) {
    CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, bad_times[i], 0), UV_EINVAL);
    CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, 1, bad_times[i]), UV_EINVAL);
  }
  /* It goes on as it was. */
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > LONG / 2 && value.interval == 3);
  fixture_close(&f);
}

static void null_timers_are_refused_or_do_nothing(void) {
  CHECK_EQ(uvsig_itimer_stop(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_is_active(NULL), 0);
  CHECK_EQ(uvsig_itimer_has_ref(NULL), 0);
  uvsig_itimer_ref(NULL);
  uvsig_itimer_unref(NULL);
}

static void a_closed_uvsig_starts_no_timer(void) {
  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, 1, 0), UV_EINVAL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &t.t, UVSIG_ITIMER_REAL), UV_EINVAL);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void use_from_other_thread(void* argument) {
  (void) argument;
  CHECK_EQ(uvsig_itimer_init(&f.sig, &u.t, UVSIG_ITIMER_PROF), UV_EPERM);
  CHECK_EQ(uvsig_itimer_start(&t.t, on_tick, 1, 0), UV_EPERM);
  CHECK_EQ(uvsig_itimer_stop(&t.t), UV_EPERM);
}

static void other_threads_are_refused(void) {
  uvsig_itimerval_t value = {-1, -1};
  uv_thread_t thread;

  fixture_open(&f, NULL);
  ticker_init(&t, UVSIG_ITIMER_REAL);
  start(&t, LONG, 3);
  CHECK_EQ(uv_thread_create(&thread, use_from_other_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > LONG / 2 && value.interval == 3);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(setitimer_returns_the_old_values_and_0_clears),
      TEST(times_are_rounded_up_to_the_microsecond),
      TEST(what_getitimer_says_can_be_set_again),
      TEST(the_smallest_times_expire),
      TEST(each_timer_sends_its_own_signal),
      TEST(virtual_fires_until_its_callback_clears_it_at_the_fourth),
      TEST(prof_fires_until_its_callback_clears_it_at_the_fourth),
      TEST(alarm_returns_what_was_left_and_0_cancels),
      TEST(alarm_sends_sigalrm),
      TEST(bad_arguments_of_setitimer_are_refused_and_change_nothing),
      TEST(bad_arguments_of_getitimer_are_refused),
      TEST(a_timer_calls_until_it_is_stopped_and_keeps_the_loop_alive),
      TEST(a_timer_without_interval_stops_before_its_callback),
      TEST(a_timer_may_be_started_again_in_its_callback),
      TEST(missed_ticks_are_counted),
      TEST(ticks_that_the_loop_was_late_for_are_one_call),
      TEST(a_signal_that_somebody_sends_is_no_expiration),
      TEST(watchers_of_the_signal_are_told_too),
      TEST(after_stop_the_callback_is_not_called),
      TEST(a_last_signal_does_not_meet_the_previous_action),
      TEST(a_pending_last_signal_is_forgotten),
      TEST(a_last_signal_that_was_read_is_forgotten),
      TEST(a_pending_signal_is_left_to_another_watcher),
      TEST(an_interval_of_a_microsecond_leaves_time_and_is_counted),
      TEST(a_wait_takes_no_expiration_from_a_timer),
      TEST(a_second_timer_of_a_kind_is_refused),
      TEST(setitimer_and_alarm_leave_a_timer_with_an_owner_alone),
      TEST(stop_gives_the_previous_timer_back_less_the_time_that_passed),
      TEST(a_borrowed_timer_of_processor_time_does_not_grow),
      TEST(a_borrowed_timer_of_real_time_is_never_early),
      TEST(a_previous_timer_whose_time_has_come_expires_at_once),
      TEST(close_stops_timers_and_gives_everything_back),
      TEST(a_callback_may_close),
      TEST(an_unreferenced_timer_does_not_keep_the_loop_alive),
      TEST(a_child_has_no_armed_timer_and_may_have_its_own),
      TEST(what_expires_in_a_child_is_its_parents),
      TEST(an_executed_program_has_the_timer_and_dies_unless_it_was_stopped),
      TEST(bad_arguments_of_itimer_init_are_refused),
      TEST(bad_arguments_of_itimer_start_are_refused),
      TEST(null_timers_are_refused_or_do_nothing),
      TEST(a_closed_uvsig_starts_no_timer),
      TEST(other_threads_are_refused),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
