/* SPDX-License-Identifier: MIT
 *
 * What the library arms again of a timer that it has borrowed, to the microsecond.
 * Linked with --wrap: the clock stands still, and the test says what was left.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

#include <sys/time.h>

static struct fixture f;
static uvsig_itimer_t timer;
static struct itimerval told;  /* what was left, as the system reads it */
static struct itimerval armed; /* the last that was */
static bool stands_still;

int __real_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now) {
  if (!stands_still)
    return __real_clock_gettime(id, now);
  now->tv_sec = 1000;
  now->tv_nsec = 0;
  return 0;
}

int __real_setitimer(int which,
                     const struct itimerval* value,
                     struct itimerval* previous);
int __wrap_setitimer(int which,
                     const struct itimerval* value,
                     struct itimerval* previous);
int __wrap_setitimer(int which,
                     const struct itimerval* value,
                     struct itimerval* previous) {
  int result = __real_setitimer(which, value, previous);

  if (timerisset(&value->it_value))
    armed = *value;
  if (previous != NULL)
    *previous = told;
  return result;
}

static void on_tick(uvsig_itimer_t* t, unsigned count) {
  (void) t;
  (void) count;
}

/* The kernel cuts what it tells: up to a microsecond more was left. */
static void what_a_reading_was_cut_to_is_not_lost(void) {
  const struct itimerval left = {{7, 0}, {100, 5}};

  stands_still = true;
  if (uvsig__now() != 1000 * UVSIG__SECOND)
    skip_test("the clock's function has another name here");
  told = left;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, 1000, 0), 0);
  memset(&armed, 0, sizeof(armed));
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK_EQ(armed.it_value.tv_sec, 100);
  CHECK_EQ(armed.it_value.tv_usec, 6);
  CHECK_EQ(armed.it_interval.tv_sec, 7);
  stands_still = false;
  memset(&armed, 0, sizeof(armed));
  CHECK_EQ(__real_setitimer(ITIMER_REAL, &armed, NULL), 0);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_a_reading_was_cut_to_is_not_lost),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
