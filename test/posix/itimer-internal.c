/* SPDX-License-Identifier: MIT
 *
 * What the library arms, and how it counts, to the microsecond. Linked with
 * --wrap: the clocks stand still, nothing is armed, and the test says what was
 * left.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>

static const int signals[] = {SIGALRM, SIGVTALRM, SIGPROF};

static struct fixture f;
static uvsig_itimer_t timer;
static struct itimerval told;   /* what was left before it was borrowed ... */
static struct itimerval actual; /* ... and is, now that it is armed again */
static struct itimerval armed;  /* the last that was */
static unsigned times;          /* how often one was */
static uint64_t now_ns;         /* what each clock says; 0: the system's */
static bool has_cpu_clocks;     /* clock_gettime() knows them */

int __real_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now) {
  if (now_ns == 0)
    return __real_clock_gettime(id, now);
  if (id < 0 && !has_cpu_clocks) {
    errno = EINVAL;
    return -1;
  }
  now->tv_sec = (time_t) (now_ns / UVSIG__SECOND);
  now->tv_nsec = (long) (now_ns % UVSIG__SECOND);
  return 0;
}

int __wrap_getrusage(int who, struct rusage* usage);
int __wrap_getrusage(int who, struct rusage* usage) {
  CHECK_EQ(who, RUSAGE_SELF);
  memset(usage, 0, sizeof(*usage));
  usage->ru_utime = (struct timeval){30, 1};
  usage->ru_stime = (struct timeval){4, 2};
  return 0;
}

int __wrap_setitimer(int which,
                     const struct itimerval* value,
                     struct itimerval* previous);
int __wrap_setitimer(int which,
                     const struct itimerval* value,
                     struct itimerval* previous) {
  CHECK_EQ(which, timer.which);
  if (timerisset(&value->it_value)) {
    armed = *value;
    times++;
  }
  if (previous != NULL)
    *previous = told;
  return 0;
}

int __wrap_getitimer(int which, struct itimerval* value);
int __wrap_getitimer(int which, struct itimerval* value) {
  CHECK_EQ(which, timer.which);
  *value = actual;
  return 0;
}

static unsigned ticks;

static void on_tick(uvsig_itimer_t* t, unsigned count) {
  CHECK(t == &timer);
  ticks += count;
}

static void set_time(struct timeval* to, time_t seconds, long us) {
  to->tv_sec = seconds;
  to->tv_usec = us;
}

static void open_timer(int which) {
  now_ns = 1000 * UVSIG__SECOND;
  has_cpu_clocks = true;
  if (uvsig__now() != now_ns)
    skip_test("the clock's function has another name here");
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, which), 0);
}

static void start(double seconds, double interval) {
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, seconds, interval), 0);
}

static void stop(void) {
  times = 0;
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
}

static void close_timer(void) {
  now_ns = 0;
  fixture_close(&f);
}

/* --- What was armed before ------------------------------------------------ */

static void check_armed(unsigned n, time_t seconds, long us) {
  CHECK_EQ(times, n);
  CHECK_EQ(armed.it_value.tv_sec, seconds);
  CHECK_EQ(armed.it_value.tv_usec, us);
}

/* The kernel cuts what it tells: up to a microsecond more was left. */
static void what_a_reading_was_cut_to_is_not_lost(void) {
  open_timer(UVSIG_ITIMER_REAL);
  set_time(&told.it_value, 100, 5);
  set_time(&told.it_interval, 7, 0);
  start(1000, 0);
  stop();
  check_armed(1, 100, 6);
  CHECK_EQ(armed.it_interval.tv_sec, 7);
  close_timer();
}

static void what_has_passed_meanwhile_is_taken_off(void) {
  open_timer(UVSIG_ITIMER_REAL);
  set_time(&told.it_value, 100, 5);
  start(1000, 0);
  now_ns += 60 * UVSIG__SECOND + 2000;
  stop();
  check_armed(1, 40, 4);
  close_timer();
}

/* It was due while it was borrowed: at once, and 0 would be never. */
static void what_was_due_meanwhile_is_armed_with_the_least(void) {
  open_timer(UVSIG_ITIMER_REAL);
  set_time(&told.it_value, 100, 5);
  start(1000, 0);
  now_ns += 100 * UVSIG__SECOND + 5000;
  stop();
  check_armed(1, 0, 1);
  start(1000, 0);
  now_ns += 200 * UVSIG__SECOND;
  stop();
  check_armed(1, 0, 1);
  close_timer();
}

static void what_was_not_armed_is_not_either(void) {
  open_timer(UVSIG_ITIMER_REAL);
  start(1000, 0);
  stop();
  CHECK_EQ(times, 0);
  close_timer();
}

/* Linux gives a tick more than was asked for. It would add up. */
static void a_tick_more_is_taken_off(void) {
  open_timer(UVSIG_ITIMER_VIRTUAL);
  set_time(&told.it_value, 100, 5);
  set_time(&actual.it_value, 100, 4006);
  start(1000, 0);
  stop();
  check_armed(2, 99, 996006);
  close_timer();
}

static void but_not_of_one_that_is_exact(void) {
  open_timer(UVSIG_ITIMER_PROF);
  set_time(&told.it_value, 100, 5);
  set_time(&actual.it_value, 100, 6);
  start(1000, 0);
  stop();
  check_armed(1, 100, 6);
  close_timer();
}

static void nor_of_one_that_has_less_than_a_tick(void) {
  open_timer(UVSIG_ITIMER_PROF);
  set_time(&told.it_value, 0, 4000);
  set_time(&actual.it_value, 0, 8002);
  start(1000, 0);
  stop();
  check_armed(1, 0, 4001);
  close_timer();
}

static void nor_of_one_of_real_time(void) {
  open_timer(UVSIG_ITIMER_REAL);
  set_time(&told.it_value, 100, 5);
  set_time(&actual.it_value, 100, 4006);
  start(1000, 0);
  stop();
  check_armed(1, 100, 6);
  close_timer();
}

/* --- What is counted ------------------------------------------------------ */

/* It expires a tick later than was asked for. */
static void it_counts_from_when_it_expires(void) {
  open_timer(UVSIG_ITIMER_VIRTUAL);
  set_time(&actual.it_value, 50, 4000);
  start(50, 0);
  CHECK(timer.first == now_ns + 50 * UVSIG__SECOND + 4000 * 1000);
  set_time(&actual.it_value, 49, 0);
  start(50, 0);
  CHECK(timer.first == now_ns + 50 * UVSIG__SECOND);
  close_timer();
}

static void check_ticks_at(uint64_t at, unsigned expected) {
  now_ns = at;
  ticks = 0;
  raise(signals[timer.which]);
  uvsig_flush(&f.sig);
  CHECK_EQ(ticks, expected);
}

/* Whatever signals come. */
static void what_has_expired_is_counted_by_the_clock(void) {
  const uint64_t second = UVSIG__SECOND;
  uint64_t first;

  open_timer(UVSIG_ITIMER_PROF);
  start(50, 10);
  first = timer.first;
  check_ticks_at(first - 1, 0);
  check_ticks_at(first, 1);
  check_ticks_at(first, 0);
  check_ticks_at(first + 10 * second - 1, 0);
  check_ticks_at(first + 10 * second, 1);
  check_ticks_at(first + 45 * second, 3);
  start(50, 0);
  check_ticks_at(timer.first - 1, 0);
  CHECK_EQ(uvsig_itimer_is_active(&timer), 1);
  check_ticks_at(timer.first, 1);
  CHECK_EQ(uvsig_itimer_is_active(&timer), 0);
  close_timer();
}

/* Signals come every 100 microseconds at most. */
static void a_short_interval_is_counted_and_not_armed(void) {
  open_timer(UVSIG_ITIMER_REAL);
  start(1, 0.000030);
  CHECK_EQ(armed.it_interval.tv_usec, 120);
  CHECK(timer.interval == 30 * 1000);
  start(1, 0.000099);
  CHECK_EQ(armed.it_interval.tv_usec, 198);
  start(1, 0.000100);
  CHECK_EQ(armed.it_interval.tv_usec, 100);
  start(1, 0.000050);
  CHECK_EQ(armed.it_interval.tv_usec, 100);
  start(1, 0);
  CHECK_EQ(armed.it_interval.tv_usec, 0);
  close_timer();
}

/* As before Linux 2.6.12, or where a sandbox takes them away. */
static void without_the_processs_clocks_its_usage_is_the_time(void) {
#ifdef __linux__
  open_timer(UVSIG_ITIMER_VIRTUAL);
  has_cpu_clocks = false;
  start(50, 0);
  CHECK(timer.first == 80 * UVSIG__SECOND + 1000);
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_PROF), 0);
  start(50, 0);
  CHECK(timer.first == 84 * UVSIG__SECOND + 3000);
  close_timer();
#else
  skip_test("it is so on Linux alone");
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_a_reading_was_cut_to_is_not_lost),
      TEST(what_has_passed_meanwhile_is_taken_off),
      TEST(what_was_due_meanwhile_is_armed_with_the_least),
      TEST(what_was_not_armed_is_not_either),
      TEST(a_tick_more_is_taken_off),
      TEST(but_not_of_one_that_is_exact),
      TEST(nor_of_one_that_has_less_than_a_tick),
      TEST(nor_of_one_of_real_time),
      TEST(it_counts_from_when_it_expires),
      TEST(what_has_expired_is_counted_by_the_clock),
      TEST(a_short_interval_is_counted_and_not_armed),
      TEST(without_the_processs_clocks_its_usage_is_the_time),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
