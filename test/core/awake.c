/* SPDX-License-Identifier: MIT
 *
 * Signals that come while the loop is awake, such as those that callbacks
 * raise: in wake-only mode they write no doorbell, and in both modes they are
 * delivered in the same turn, so often. None may wait for a doorbell, and
 * nobody else for them.
 */

#include "../lib/harness.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

static struct fixture f;
static struct recorder r;

static void open_in(uvsig_mode_t mode) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = mode;
  fixture_open(&f, &options);
  recorder_init(&r, &f.sig);
  recorder_start(&r, SIGUSR1);
}

static void raise_next(struct recorder* recorder) {
  if (recorder->calls < 1000)
    raise(SIGUSR1);
}

static void check_each(uvsig_mode_t mode) {
  open_in(mode);
  r.then = raise_next;
  raise(SIGUSR1);
  run_until(&f.loop, &r.calls, 1000);
  CHECK_EQ(r.signals, 1000);
  check_books(&f.sig, SIGUSR1, 1000, 0);
  fixture_close(&f);
}

static void each_that_a_callback_raises_is_delivered(void) {
  check_each(UVSIG_MODE_WAKE_ONLY);
}

static void each_that_a_callback_raises_is_delivered_in_bytes_mode(void) {
  check_each(UVSIG_MODE_BYTES);
}

/* UV_RUN_ONCE waits for something to happen, and this has. */
static void a_loop_that_is_run_once_comes_back_for_each(void) {
  unsigned long i;

  open_in(UVSIG_MODE_WAKE_ONLY);
  r.then = raise_next;
  raise(SIGUSR1);
  for (i = 0; r.calls < 1000; i++) {
    CHECK(i < 5000);
    uv_run(&f.loop, UV_RUN_ONCE);
  }
  fixture_close(&f);
}

static void raise_once(struct recorder* recorder) {
  if (recorder->calls == 1)
    raise(SIGUSR1);
}

static unsigned ticks;

static void on_tick(uv_timer_t* timer) {
  (void) timer;
  ticks++;
}

/* From the last step before the loop's sleep on. */
static void count_ticks_anew(uv_prepare_t* prepare) {
  (void) prepare;
  ticks = 0;
}

/* And it does not come back for nothing: only a tick of the timer ends a
 * sleep. */
static void a_loop_that_is_run_once_sleeps_after_a_delivery(void) {
  uv_timer_t timer;
  uv_prepare_t prepare;
  unsigned long i;

  open_in(UVSIG_MODE_WAKE_ONLY);
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_prepare_init(&f.loop, &prepare), 0);
  CHECK_EQ(uv_prepare_start(&prepare, count_ticks_anew), 0);
  for (i = 0; i < 3; i++) {
    r.calls = 0;
    r.then = raise_once;
    raise(SIGUSR1);
    while (r.calls < 2)
      CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
    uv_update_time(&f.loop);
    CHECK_EQ(uv_timer_start(&timer, on_tick, 1, 1), 0);
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
    CHECK_EQ(ticks, 1);
    CHECK_EQ(uv_timer_stop(&timer), 0);
  }
  uv_close((uv_handle_t*) &prepare, NULL);
  uv_close((uv_handle_t*) &timer, NULL);
  fixture_close(&f);
}

/* As whoever embeds the loop finds out. */
static bool is_readable(int timeout_ms) {
  struct pollfd backend = {uv_backend_fd(&f.loop), POLLIN, 0};

  return poll(&backend, 1, timeout_ms) == 1;
}

static void whoever_polls_the_backend_is_woken(void) {
  open_in(UVSIG_MODE_WAKE_ONLY);
  uv_run(&f.loop, UV_RUN_NOWAIT); /* it registers its fds */
  r.then = raise_next;
  raise(SIGUSR1);
  while (r.calls < 1000) {
    CHECK(is_readable(60000));
    uv_run(&f.loop, UV_RUN_NOWAIT);
  }
  run_idle(&f.loop);
  CHECK(!is_readable(0));
  CHECK(uv_backend_timeout(&f.loop) != 0);
  fixture_close(&f);
}

static void raise_always(struct recorder* recorder) {
  (void) recorder;
  raise(SIGUSR1);
}

static void stop_raising(uv_timer_t* timer) {
  r.then = NULL;
  uv_close((uv_handle_t*) timer, NULL);
}

static void check_turns(uvsig_mode_t mode) {
  uv_timer_t timer;

  open_in(mode);
  r.then = raise_always;
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, stop_raising, 1, 0), 0);
  raise(SIGUSR1);
  while (r.then != NULL)
    uv_run(&f.loop, UV_RUN_ONCE);
  run_idle(&f.loop);
  check_books(&f.sig, SIGUSR1, r.signals, 0);
  fixture_close(&f);
}

static void signals_that_keep_coming_leave_turns_to_others(void) {
  check_turns(UVSIG_MODE_WAKE_ONLY);
}

static void signals_that_keep_coming_leave_turns_in_bytes_mode(void) {
  check_turns(UVSIG_MODE_BYTES);
}

static unsigned long before; /* calls at the fork */

static void run_in_child(void) {
  int turns;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  /* Not kept awake by what was the parent's, before uvsig_fork() or after. */
  for (turns = 0; turns < 3; turns++)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(!is_readable(0));
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  for (turns = 0; turns < 3; turns++)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(!is_readable(0));
  CHECK_EQ(r.calls, before);
  raise(SIGUSR1);
  run_until(&f.loop, &r.calls, before + 1);
}

static void a_child_of_an_awake_loop_sleeps(void) {
  open_in(UVSIG_MODE_WAKE_ONLY);
  r.then = raise_always;
  raise(SIGUSR1);
  while (r.calls < 3)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  r.then = NULL;
  before = r.calls;
  CHECK_EQ(run_forked(run_in_child), 0);
  run_until(&f.loop, &r.calls, before + 1);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_that_a_callback_raises_is_delivered),
      TEST(each_that_a_callback_raises_is_delivered_in_bytes_mode),
      TEST(a_loop_that_is_run_once_comes_back_for_each),
      TEST(a_loop_that_is_run_once_sleeps_after_a_delivery),
      TEST(whoever_polls_the_backend_is_woken),
      TEST(signals_that_keep_coming_leave_turns_to_others),
      TEST(signals_that_keep_coming_leave_turns_in_bytes_mode),
      TEST(a_child_of_an_awake_loop_sleeps),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
