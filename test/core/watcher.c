/* SPDX-License-Identifier: MIT
 *
 * Watchers: who is called, how often, and never after stop.
 */

#include "../lib/harness.h"

#include <stdlib.h>
#include <string.h>

static struct fixture f;
static struct recorder a, b, c, d;

static void open_two(int signum_a, int signum_b) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, signum_a);
  recorder_start(&b, signum_b);
}

static void each_signal_is_one_callback_until_stop_and_again_after_start(void) {
  unsigned long expected;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  recorder_start(&a, SIGUSR1);
  for (expected = 1; expected <= 10; expected++) {
    raise(SIGUSR1);
    run_until(&f.loop, &a.calls, expected);
  }
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise_times(SIGUSR1, 10);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 10);
  recorder_start(&a, SIGUSR1);
  for (expected = 11; expected <= 20; expected++) {
    raise(SIGUSR1);
    run_until(&f.loop, &a.calls, expected);
  }
  CHECK_EQ(a.largest, 1);
  fixture_close(&f);
}

static void two_watchers_each_on_two_signals_get_every_one(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_init(&c, &f.sig);
  recorder_init(&d, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  recorder_start(&c, SIGUSR2);
  recorder_start(&d, SIGUSR2);
  raise_times(SIGUSR1, 3);
  raise_times(SIGUSR2, 5);
  run_until(&f.loop, &d.calls, 5);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(b.calls, 3);
  CHECK_EQ(c.calls, 5);
  CHECK_EQ(a.signum, SIGUSR1);
  CHECK_EQ(c.signum, SIGUSR2);
  check_books(&f.sig, SIGUSR1, 3, 0);
  check_books(&f.sig, 0, 8, 0);
  fixture_close(&f);
}

static char order[8];
static void note_a(struct recorder* r) {
  (void) r;
  strcat(order, "a");
}
static void note_b(struct recorder* r) {
  (void) r;
  strcat(order, "b");
}

static void watchers_of_a_signal_are_called_in_the_order_of_their_start(void) {
  open_two(SIGUSR1, SIGUSR1);
  a.then = note_a;
  b.then = note_b;
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  CHECK_STR(order, "abba");
  fixture_close(&f);
}

static void nothing_from_before_a_stop_reaches_the_new_start(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  check_books(&f.sig, SIGUSR1, 0, 3);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.signals, 2);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 2);
  check_books(&f.sig, SIGUSR1, 2, 3);
  fixture_close(&f);
}

static void a_further_watcher_is_not_told_of_what_came_before_its_start(void) {
  open_two(SIGUSR1, SIGUSR2);
  raise_times(SIGUSR1, 3);
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.signals, 5);
  CHECK_EQ(b.signals, 2);
  check_books(&f.sig, SIGUSR1, 5, 0);
  fixture_close(&f);
}

static void open_coalescing(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
}

static void of_a_count_a_further_watcher_is_told_its_own_share(void) {
  open_coalescing();
  raise_times(SIGUSR1, 10);
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 5);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.signals, 15);
  CHECK_EQ(b.signals, 5);
  check_books(&f.sig, SIGUSR1, 15, 0);
  fixture_close(&f);
}

static void of_a_count_what_nobody_is_told_of_is_discarded(void) {
  uvsig_stats_t stats;

  open_coalescing();
  raise_times(SIGUSR1, 10);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise_times(SIGUSR1, 5);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(b.signals, 5);
  check_books(&f.sig, SIGUSR1, 5, 10);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.coalesced, 5);
  fixture_close(&f);
}

static void what_only_a_stopped_watcher_was_to_be_told_is_discarded(void) {
  open_two(SIGUSR1, SIGUSR2);
  raise_times(SIGUSR1, 3);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &b.signals, 1);
  CHECK_EQ(a.calls, 0);
  check_books(&f.sig, SIGUSR1, 1, 3);
  fixture_close(&f);
}

static void restart_a(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGUSR1);
}

static void a_watcher_restarted_in_its_callback_waits_for_the_next_signal(
    void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  a.then = restart_a;
  raise_times(SIGUSR1, 3);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 2);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  fixture_close(&f);
}

static void stop_b(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
}

static void a_watcher_stopped_in_the_middle_of_a_dispatch_is_not_called(void) {
  open_two(SIGUSR1, SIGUSR1);
  a.then = stop_b;
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(b.calls, 0);
  CHECK_EQ(uvsig_watcher_is_active(&b.w), 0);
  fixture_close(&f);
}

static struct recorder* heap;
static void free_all(struct recorder* r) {
  int i;

  (void) r;
  for (i = 0; i < 3; i++)
    CHECK_EQ(uvsig_watcher_stop(&heap[i].w), 0);
  free(heap);
  heap = NULL;
}

static void a_callback_may_stop_and_free_every_watcher_and_itself(void) {
  int i;

  fixture_open(&f, NULL);
  heap = calloc(3, sizeof(*heap));
  CHECK(heap != NULL);
  for (i = 0; i < 3; i++) {
    recorder_init(&heap[i], &f.sig);
    recorder_start(&heap[i], SIGUSR1);
  }
  heap[1].then = free_all;
  raise_times(SIGUSR1, 2);
  /* Nothing keeps the loop alive after the callback. */
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK(heap == NULL);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void start_b(struct recorder* r) {
  (void) r;
  recorder_start(&b, SIGUSR1);
}

static void a_watcher_started_in_a_callback_waits_for_the_next_signal(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  a.then = start_b;
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(b.calls, 0);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(a.calls, 2);
  fixture_close(&f);
}

static void a_oneshot_is_called_once_and_stopped_before(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  recorder_init(&a, &f.sig);
  recorder_start_oneshot(&a, SIGUSR1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  raise_times(SIGUSR1, 3);
  /* It was the only one: the loop ends by itself. */
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
  check_books(&f.sig, SIGUSR1, 1, 2);
  fixture_close(&f);
}

static void rearm_a(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_is_active(&r->w), 0);
  recorder_start_oneshot(r, SIGUSR1);
}

static void a_oneshot_may_be_started_again_in_its_callback(void) {
  unsigned long expected;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start_oneshot(&a, SIGUSR1);
  a.then = rearm_a;
  for (expected = 1; expected <= 3; expected++) {
    raise(SIGUSR1);
    run_until(&f.loop, &a.calls, expected);
  }
  fixture_close(&f);
}

static void a_oneshot_later_started_normally_is_a_normal_one(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start_oneshot(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.calls, 4);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  fixture_close(&f);
}

static void oneshots_fire_once_and_normal_ones_always_whoever_goes_first(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_init(&c, &f.sig);
  recorder_init(&d, &f.sig);
  recorder_start_oneshot(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  recorder_start_oneshot(&c, SIGUSR1);
  recorder_start(&d, SIGUSR1);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &d.calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &d.calls, 4);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(b.calls, 2);
  CHECK_EQ(c.calls, 1);
  fixture_close(&f);
}

static void other(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  record(w, signum, info);
  ((struct recorder*) w->data)->signals += 100;
}

static void start_with_the_same_signal_changes_the_callback_and_loses_nothing(
    void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 2);
  CHECK_EQ(uvsig_watcher_start(&a.w, other, SIGUSR1), 0);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(a.signals, 202);
  check_books(&f.sig, SIGUSR1, 2, 0);
  fixture_close(&f);
}

static void start_with_another_signal_is_a_stop_and_a_start(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 2);
  recorder_start(&a, SIGUSR2);
  CHECK_EQ(a.w.signum, SIGUSR2);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
  raise(SIGUSR2);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.signum, SIGUSR2);
  check_books(&f.sig, SIGUSR1, 0, 2);
  check_books(&f.sig, SIGUSR2, 1, 0);
  fixture_close(&f);
}

static void only_a_started_and_referenced_watcher_keeps_the_loop_alive(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_has_ref(&a.w), 1);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  CHECK(uv_loop_alive(&f.loop) != 0);
  uvsig_watcher_unref(&a.w);
  uvsig_watcher_unref(&a.w);
  CHECK(uv_loop_alive(&f.loop) != 0);
  uvsig_watcher_unref(&b.w);
  CHECK_EQ(uvsig_watcher_has_ref(&b.w), 0);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  uvsig_watcher_ref(&b.w);
  uvsig_watcher_ref(&b.w);
  CHECK(uv_loop_alive(&f.loop) != 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  uvsig_watcher_ref(&a.w);
  CHECK(uv_loop_alive(&f.loop) != 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  uvsig_watcher_unref(&a.w);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  /* Unreferenced, it is called all the same while something else runs. */
  recorder_start(&b, SIGUSR2);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void the_users_data_is_never_touched(void) {
  void* mark = &order;

  memset(&f, 0, sizeof(f));
  memset(&a, 0xa5, sizeof(a));
  CHECK_EQ(uv_loop_init(&f.loop), 0);
  f.sig.data = mark;
  a.w.data = mark;
  CHECK_EQ(uvsig_init(&f.loop, &f.sig, NULL), 0);
  CHECK_EQ(uvsig_watcher_init(&f.sig, &a.w), 0);
  CHECK_EQ(uvsig_watcher_start(&a.w, uvsig_default_int_handler, SIGINT), 0);
  raise(SIGINT);
  CHECK(uv_run(&f.loop, UV_RUN_DEFAULT) != 0); /* stopped, still alive */
  CHECK(f.sig.data == mark);
  CHECK(a.w.data == mark);
  f.sig.data = &f;
  fixture_close(&f);
}

static void a_watcher_belongs_to_its_memory_once_it_is_stopped(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  fixture_close(&f);
  /* The uvsig_t is gone; the watcher was stopped by its close. */
  memset(&f, 0xa5, sizeof(f));
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(a.w.signum, 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
}

static void several_loops_of_one_thread_get_every_signal(void) {
  struct fixture g;

  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &g.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.calls, 3);
  run_until(&g.loop, &b.calls, 3);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  raise(SIGUSR1);
  run_until(&g.loop, &b.calls, 4);
  fixture_close(&g);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_signal_is_one_callback_until_stop_and_again_after_start),
      TEST(two_watchers_each_on_two_signals_get_every_one),
      TEST(watchers_of_a_signal_are_called_in_the_order_of_their_start),
      TEST(nothing_from_before_a_stop_reaches_the_new_start),
      TEST(a_further_watcher_is_not_told_of_what_came_before_its_start),
      TEST(of_a_count_a_further_watcher_is_told_its_own_share),
      TEST(of_a_count_what_nobody_is_told_of_is_discarded),
      TEST(what_only_a_stopped_watcher_was_to_be_told_is_discarded),
      TEST(a_watcher_restarted_in_its_callback_waits_for_the_next_signal),
      TEST(a_watcher_stopped_in_the_middle_of_a_dispatch_is_not_called),
      TEST(a_callback_may_stop_and_free_every_watcher_and_itself),
      TEST(a_watcher_started_in_a_callback_waits_for_the_next_signal),
      TEST(a_oneshot_is_called_once_and_stopped_before),
      TEST(a_oneshot_may_be_started_again_in_its_callback),
      TEST(a_oneshot_later_started_normally_is_a_normal_one),
      TEST(oneshots_fire_once_and_normal_ones_always_whoever_goes_first),
      TEST(start_with_the_same_signal_changes_the_callback_and_loses_nothing),
      TEST(start_with_another_signal_is_a_stop_and_a_start),
      TEST(only_a_started_and_referenced_watcher_keeps_the_loop_alive),
      TEST(the_users_data_is_never_touched),
      TEST(a_watcher_belongs_to_its_memory_once_it_is_stopped),
      TEST(several_loops_of_one_thread_get_every_signal),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
