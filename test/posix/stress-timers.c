/* SPDX-License-Identifier: MIT
 *
 * Ten thousand times a timer of some microseconds, from callbacks and beside
 * other signals: none is lost when each is awaited.
 */

#include "../lib/harness.h"

#include <unistd.h>

static struct fixture f;
static struct recorder alrm, usr1, prof;
static unsigned state = 1;

/* 1 to 11 microseconds, in no order. */
static double delay(void) {
  state = state * 1103515245 + 12345;
  return 1e-6 * (1 + (state >> 16) % 11);
}

static void arm(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, delay(), 0, NULL), 0);
}

static void watch(struct recorder* r, int signum) {
  recorder_init(r, &f.sig);
  recorder_start(r, signum);
}

static void report(unsigned n) {
  printf("# sent %u, received %lu\n", n, alrm.signals);
  fflush(stdout);
  CHECK_EQ(alrm.signals, n);
  check_books(&f.sig, SIGALRM, n, 0);
  fixture_close(&f);
}

/* On Linux the number of one is above SIGALRM's, the other's is below. */
static void timers_that_two_other_signals_arm_are_all_delivered(void) {
  unsigned n = scaled(10000);
  unsigned i;

  fixture_open(&f, NULL);
  watch(&prof, SIGPROF);
  watch(&usr1, SIGUSR1);
  watch(&alrm, SIGALRM);
  prof.then = usr1.then = arm;
  for (i = 1; i <= n && has_time(); i++) {
    CHECK_EQ(kill(getpid(), i % 2 == 0 ? SIGPROF : SIGUSR1), 0);
    run_until(&f.loop, &alrm.signals, i);
  }
  n = i - 1;
  CHECK_EQ(prof.signals + usr1.signals, n);
  report(n);
}

static void timers_that_expire_beside_another_signal_are_all_delivered(void) {
  unsigned n = scaled(10000);
  unsigned i;

  fixture_open(&f, NULL);
  watch(&usr1, SIGUSR1);
  watch(&alrm, SIGALRM);
  for (i = 1; i <= n && has_time(); i++) {
    arm(NULL);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    run_until(&f.loop, &alrm.signals, i);
    run_until(&f.loop, &usr1.signals, i);
  }
  report(i - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(timers_that_two_other_signals_arm_are_all_delivered),
      TEST(timers_that_expire_beside_another_signal_are_all_delivered),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
