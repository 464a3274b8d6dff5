/* SPDX-License-Identifier: MIT
 *
 * What is between two signals that count, where the clock has gone far, or a
 * little back: another thread may have read it before. Linked with --wrap, so
 * that the library's clock is the test's.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

static struct fixture f;
static uvsig_shutdown_t sd;
static _Atomic int64_t shift; /* of the clock, in milliseconds */

int __real_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now) {
  int err = __real_clock_gettime(id, now);
  int64_t ms = (int64_t) now->tv_sec * 1000 + now->tv_nsec / 1000000 + shift;

  now->tv_sec = (time_t) (ms / 1000);
  now->tv_nsec = (long) (ms % 1000) * 1000000;
  return err;
}

static void skip_if_not_wrapped(void) {
  uint64_t before = uvsig__now();

  shift = 1000 * 1000;
  if (uvsig__now() - before < UVSIG__SECOND * 1000)
    skip_test("the clock's function has another name here");
}

/* The second signal comes so much later than the first. The loop runs after
 * both. Returns how many counted. */
static unsigned count_signals(int64_t later) {
  uvsig_shutdown_options_t options;

  uvsig_shutdown_options_init(&options);
  options.debounce_ms = LONG_MS;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  raise(SIGTERM);
  shift += later;
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  return sd.report.signals;
}

/* Where 32 bits of milliseconds wrap, signed and unsigned. */
static void a_signal_weeks_after_the_first_counts(void) {
  static const int days[] = {1, 24, 25, 30, 49, 50, 75, 400};
  size_t i;

  skip_if_not_wrapped();
  for (i = 0; i < sizeof(days) / sizeof(*days); i++)
    CHECK_EQ(count_signals(days[i] * (int64_t) 24 * 3600 * 1000), 2);
  if (sizeof(long) > 4)
    CHECK_EQ(count_signals((int64_t) UINT32_MAX + 1000), 2);
}

static void a_signal_within_the_debounce_does_not_count(void) {
  skip_if_not_wrapped();
  CHECK_EQ(count_signals(0), 1);
  CHECK_EQ(count_signals(LONG_MS / 2), 1);
  CHECK_EQ(count_signals(LONG_MS + 1), 2);
}

/* Its thread was held up after it had read the clock. */
static void a_signal_of_a_moment_before_does_not_count(void) {
  skip_if_not_wrapped();
  CHECK_EQ(count_signals(-5), 1);
}

/* Nothing had a limit yet that the stop would have taken from it. */
static void a_stop_before_draining_makes_up_for_nothing(void) {
  uvsig_shutdown_options_t options;

  skip_if_not_wrapped();
  uvsig_shutdown_options_init(&options);
  options.delay_ms = LONG_MS;
  options.grace_ms = LONG_MS;
  options.hard_ms = 3 * LONG_MS;
  options.debounce_ms = 0;
  options.keep_sig = 1;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_NOT_READY);
  shift += 10 * 1000;
  uvsig_shutdown_request(&sd, "look", UVSIG_SHUTDOWN_GRACEFUL);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_NOT_READY);
  /* The delay ends when it would have ended anyhow. */
  shift += LONG_MS;
  uvsig_shutdown_request(&sd, "look", UVSIG_SHUTDOWN_GRACEFUL);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_signal_weeks_after_the_first_counts),
      TEST(a_signal_within_the_debounce_does_not_count),
      TEST(a_signal_of_a_moment_before_does_not_count),
      TEST(a_stop_before_draining_makes_up_for_nothing),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
