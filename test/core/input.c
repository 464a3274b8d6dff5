/* SPDX-License-Identifier: MIT
 *
 * Bad input gets its code before anything changes, and loses nothing. That of
 * names, dispositions and closing is tested with them.
 */

#include "../lib/harness.h"

#include <limits.h>
#include <string.h>

static struct fixture f;
static struct recorder a, b;

static void ignore(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  (void) w;
  (void) signum;
  (void) info;
}

/* SIGUSR1 is watched, one is pending; nothing of that may have changed. */
static void open_watched(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
}

static void check_unchanged(void) {
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  CHECK_EQ(a.w.signum, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  check_books(&f.sig, 0, 2, 0);
  fixture_close(&f);
}

static void start_refuses_numbers_that_cannot_be_caught(void) {
  const int bad[] = {
      0, -1, UVSIG_NSIG, 4242, SIGKILL, SIGSTOP, SIGRTMIN - 1, UVSIG_NSIG + 1};
  size_t i;

  open_watched();
  recorder_init(&b, &f.sig);
  for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
    CHECK_EQ(uvsig_watcher_start(&b.w, record, bad[i]), UV_EINVAL);
    CHECK_EQ(uvsig_watcher_start_oneshot(&b.w, record, bad[i]), UV_EINVAL);
    CHECK_EQ(uvsig_watcher_is_active(&b.w), 0);
  }
  check_unchanged();
}

static void a_retarget_that_fails_leaves_the_old_watch(void) {
  open_watched();
  CHECK_EQ(uvsig_watcher_start(&a.w, ignore, SIGKILL), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start(&a.w, ignore, 0), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start_oneshot(&a.w, ignore, 4242), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start(&a.w, NULL, SIGUSR2), UV_EINVAL);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  check_unchanged();
}

static void a_null_callback_is_refused(void) {
  open_watched();
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_start(&b.w, NULL, SIGUSR2), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start_oneshot(&b.w, NULL, SIGUSR2), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start(&a.w, NULL, SIGUSR1), UV_EINVAL);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  check_unchanged();
}

static void null_pointers_are_refused_or_ignored(void) {
  uvsig_stats_t stats;
  uvsig_watcher_t w;
  uvsig_t sig;

  open_watched();
  memset(&sig, 0, sizeof(sig)); /* never initialised */
  memset(&w, 0, sizeof(w));
  CHECK_EQ(uvsig_init(NULL, &sig, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_init(&f.loop, NULL, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_close(NULL, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_close(&sig, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_flush(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_flush(&sig), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_init(NULL, &w), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_init(&sig, &w), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_init(&f.sig, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start(NULL, record, SIGUSR1), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start(&w, record, SIGUSR1), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start_oneshot(NULL, record, SIGUSR1), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_stop(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_stop(&w), 0);
  CHECK_EQ(uvsig_watcher_set_flags(NULL, 0), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_set_flags(&w, 0), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_is_active(NULL), 0);
  CHECK_EQ(uvsig_watcher_has_ref(NULL), 0);
  uvsig_watcher_ref(NULL);
  uvsig_watcher_unref(NULL);
  uvsig_options_init(NULL);
  uvsig_stats(&f.sig, 0, NULL);
  memset(&stats, 0xa5, sizeof(stats));
  uvsig_stats(NULL, 0, &stats);
  CHECK_EQ(stats.caught, 0);
  memset(&stats, 0xa5, sizeof(stats));
  uvsig_stats(&sig, 0, &stats);
  CHECK_EQ(stats.caught, 0);
  CHECK_EQ(uvsig_has_handle(&sig, (uv_handle_t*) &stats), 0);
  check_unchanged();
}

static void stats_of_what_was_never_watched_are_zero(void) {
  static const int unwatched[] = {SIGUSR2, -1, UVSIG_NSIG, 4242, SIGKILL};
  uvsig_stats_t stats;
  uvsig_stats_t zero;
  size_t i;

  open_watched();
  memset(&zero, 0, sizeof(zero));
  for (i = 0; i < sizeof(unwatched) / sizeof(*unwatched); i++) {
    memset(&stats, 0xa5, sizeof(stats));
    uvsig_stats(&f.sig, unwatched[i], &stats);
    CHECK_EQ(memcmp(&stats, &zero, sizeof(stats)), 0);
  }
  check_unchanged();
}

static void refuse_options(const uvsig_options_t* options) {
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_t before;

  CHECK_EQ(uv_loop_init(&loop), 0);
  memset(&sig, 0x5a, sizeof(sig));
  before = sig;
  CHECK_EQ(uvsig_init(&loop, &sig, options), UV_EINVAL);
  CHECK_EQ(memcmp(&sig, &before, sizeof(sig)), 0);
  close_loop(&loop); /* nothing was registered */
}

static void an_option_out_of_range_is_refused(void) {
  uvsig_options_t options;
  size_t i;

  uvsig_options_init(&options);
  options.wakeup = (uvsig_wakeup_t) 3;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.mode = (uvsig_mode_t) 2;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.warn_on_full_buffer = 2;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.warn_on_full_buffer = -1;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.info_depth = 65537;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.time_stamps = 2;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.time_stamps = -1;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.buffer_size = (size_t) INT_MAX + 1;
  refuse_options(&options);
  uvsig_options_init(&options);
  options.buffer_size = SIZE_MAX;
  refuse_options(&options);
  for (i = 0; i < sizeof(options.reserved) / sizeof(*options.reserved); i++) {
    uvsig_options_init(&options);
    options.reserved[i] = 1;
    refuse_options(&options);
  }
  memset(&options, 0xa5, sizeof(options));
  refuse_options(&options);
}

static void options_that_were_not_initialised_are_refused(void) {
  const uvsig_options_t by_hand = {.mode = UVSIG_MODE_WAKE_ONLY};
  uvsig_options_t zeroed;

  memset(&zeroed, 0, sizeof(zeroed));
  refuse_options(&zeroed);
  refuse_options(&by_hand);
}

static void unknown_flags_and_flags_of_a_started_watcher_are_refused(void) {
  open_watched();
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, ~0u), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_NOCLDSTOP << 1), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_KEEP_MASK), 0);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, 0), 0);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_KEEP_MASK), UV_EBUSY);
  check_unchanged();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(start_refuses_numbers_that_cannot_be_caught),
      TEST(a_retarget_that_fails_leaves_the_old_watch),
      TEST(a_null_callback_is_refused),
      TEST(null_pointers_are_refused_or_ignored),
      TEST(stats_of_what_was_never_watched_are_zero),
      TEST(an_option_out_of_range_is_refused),
      TEST(options_that_were_not_initialised_are_refused),
      TEST(unknown_flags_and_flags_of_a_started_watcher_are_refused),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
