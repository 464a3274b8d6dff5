/* SPDX-License-Identifier: MIT
 *
 * Teardown: close from everywhere, with everything pending, beside programs
 * that close whatever uv_walk() finds; and the loop is empty afterwards.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a, b;
static unsigned closes;

static void on_close(uvsig_t* sig) {
  CHECK(sig == &f.sig);
  closes++;
}

static void run_to_the_end(void) {
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void init_and_close_leave_the_loop_empty(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  CHECK_EQ(closes, 0); /* not from within close */
  run_to_the_end();
  CHECK_EQ(closes, 1);
}

static void the_close_callback_may_be_left_out(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  run_to_the_end();
}

static unsigned handles;

static void check_handle(uv_handle_t* handle, void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_has_handle(&f.sig, handle), 1);
  handles++;
}

static void while_it_closes_its_handles_are_known_and_it_is_not_the_loops(
    void) {
  uv_loop_t other;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_loop_init(&other), 0);
  CHECK(uvsig_of_loop(&f.loop) == &f.sig);
  CHECK(uvsig_of_loop(&other) == NULL);
  close_loop(&other);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  uv_walk(&f.loop, check_handle, NULL);
  CHECK(handles > 0);
  CHECK(uvsig_of_loop(&f.loop) == NULL);
  run_to_the_end();
  CHECK_EQ(closes, 1);
}

static void close_takes_a_single_turn(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_NOWAIT), 0);
  CHECK_EQ(closes, 1);
  close_loop(&f.loop);
}

static void close_stops_the_watchers_and_discards_what_is_pending(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  raise_times(SIGUSR1, 3);
  raise_times(SIGUSR2, 4);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  /* The books are final, and can be read until the callback. */
  check_books(&f.sig, SIGUSR1, 0, 3);
  check_books(&f.sig, 0, 0, 7);
  run_to_the_end();
  CHECK_EQ(a.calls + b.calls, 0);
  CHECK_EQ(closes, 1);
}

static void a_signal_of_the_turn_of_the_close_is_not_delivered(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  run_idle(&f.loop);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  run_to_the_end();
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(closes, 1);
}

static void close_in_callback(struct recorder* r) {
  CHECK_EQ(uvsig_close(r->w.sig, on_close), 0);
}

static void a_callback_may_close(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  a.then = close_in_callback;
  raise_times(SIGUSR1, 3);
  run_to_the_end();
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(b.calls, 0);
  CHECK_EQ(closes, 1);
}

static void a_callback_of_a_flush_may_close(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  a.then = close_in_callback;
  raise_times(SIGUSR1, 3);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(closes, 0);
  run_to_the_end();
  CHECK_EQ(closes, 1);
}

static void stop_and_close(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
  CHECK_EQ(uvsig_close(r->w.sig, on_close), 0);
}

static void a_oneshot_callback_may_stop_and_close(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start_oneshot(&a, SIGUSR1);
  a.then = stop_and_close;
  raise(SIGUSR1);
  run_to_the_end();
  CHECK_EQ(closes, 1);
}

static void a_closing_uvsig_refuses_everything_and_keeps_its_callback(void) {
  uvsig_watcher_t late;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  CHECK_EQ(uvsig_close(&f.sig, NULL), UV_EALREADY);
  CHECK_EQ(uvsig_flush(&f.sig), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_init(&f.sig, &late), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR1), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_start_oneshot(&a.w, record, SIGUSR1), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_KEEP_MASK), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  run_to_the_end();
  CHECK_EQ(closes, 1);
  CHECK_EQ(uvsig_close(&f.sig, NULL), UV_EINVAL); /* closed, and not open */
}

static void reopen(uvsig_t* sig) {
  closes++;
  memset(sig, 0xa5, sizeof(*sig));
  CHECK_EQ(uvsig_init(&f.loop, sig, NULL), 0);
  CHECK_EQ(uvsig_close(sig, on_close), 0);
}

/* It is the first of two that have signals. */
static void close_in_a_callback_without_bytes_tells_nobody_else(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  a.then = close_in_callback;
  b.then = close_in_callback;
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  raise_times(SIGUSR1, 3);
  raise_times(SIGUSR2, 3);
  run_to_the_end();
  CHECK_EQ(a.calls + b.calls, 1);
  CHECK_EQ(closes, 1);
}

static void the_memory_is_the_users_in_the_close_callback(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_close(&f.sig, reopen), 0);
  run_to_the_end();
  CHECK_EQ(closes, 2);
}

static void free_sig(uvsig_t* sig) {
  closes++;
  free(sig);
}

static void the_close_callback_may_free(void) {
  uvsig_t* sig = malloc(sizeof(*sig));
  uv_loop_t loop;

  CHECK(sig != NULL);
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uvsig_init(&loop, sig, NULL), 0);
  CHECK_EQ(uvsig_close(sig, free_sig), 0);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closes, 1);
  close_loop(&loop);
}

static void close_found(uv_handle_t* handle, void* argument) {
  unsigned* found = argument;

  ++*found;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

static void open_pending(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
}

static void a_program_may_close_all_that_uv_walk_finds_before_close(void) {
  unsigned found = 0;

  open_pending();
  uv_walk(&f.loop, close_found, &found);
  CHECK(found > 0);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  run_to_the_end();
  CHECK_EQ(closes, 1);
  CHECK_EQ(a.calls, 0);
}

static void a_program_may_close_all_that_uv_walk_finds_turns_before_close(
    void) {
  unsigned found = 0;

  open_pending();
  uv_walk(&f.loop, close_found, &found);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  /* Nothing wakes the loop any more, but stop and flush work. */
  CHECK_EQ(uvsig_flush(&f.sig), 3);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  run_to_the_end();
  CHECK_EQ(closes, 1);
}

static void a_program_may_close_all_that_uv_walk_finds_after_close(void) {
  unsigned found = 0;

  open_pending();
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  uv_walk(&f.loop, close_found, &found);
  run_to_the_end();
  CHECK_EQ(closes, 1);
}

static void close_one_found(uv_handle_t* handle, void* argument) {
  unsigned* found = argument;

  if (++*found == 1)
    uv_close(handle, NULL);
}

static void a_program_may_close_only_some_of_our_handles(void) {
  unsigned found = 0;

  open_pending();
  uv_walk(&f.loop, close_one_found, &found);
  CHECK(found > 1);
  CHECK_EQ(uvsig_close(&f.sig, on_close), 0);
  run_to_the_end();
  CHECK_EQ(closes, 1);
}

static void never(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  (void) req;
  (void) status;
  (void) info;
  CHECK(false);
}

/* And never calls uvsig_close(): its loop goes, and the library must not miss
 * it. A watcher can still be stopped, which gives the signal back; the two
 * descriptors are lost. */
static void a_program_may_close_all_that_uv_walk_finds_instead(void) {
  uv_loop_t* loop = malloc(sizeof(*loop));
  struct inside inside;
  struct recorder child;
  uvsig_wait_t wait;
  unsigned found = 0;
  uvsig_t sig;
  sigset_t set;

  CHECK(loop != NULL);
  CHECK_EQ(uv_loop_init(loop), 0);
  CHECK_EQ(uvsig_init(loop, &sig, NULL), 0);
  inside = inside_of(&sig);
  recorder_init(&a, &sig);
  recorder_start(&a, SIGUSR1);
  recorder_init(&child, &sig);
  recorder_start(&child, SIGCHLD);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK_EQ(uvsig_wait_start(&sig, &wait, &set, 1000, never), 0);
  raise(SIGUSR1);
  uv_walk(loop, close_found, &found);
  CHECK_EQ(uv_run(loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uv_loop_close(loop), 0);
  memset(loop, 0x5a, sizeof(*loop));
  free(loop);
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_watcher_stop(&child.w), 0);
  close(inside.read_fd);
  close(inside.write_fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(init_and_close_leave_the_loop_empty),
      TEST(the_close_callback_may_be_left_out),
      TEST(close_takes_a_single_turn),
      TEST(while_it_closes_its_handles_are_known_and_it_is_not_the_loops),
      TEST(close_stops_the_watchers_and_discards_what_is_pending),
      TEST(a_signal_of_the_turn_of_the_close_is_not_delivered),
      TEST(a_callback_may_close),
      TEST(a_callback_of_a_flush_may_close),
      TEST(a_oneshot_callback_may_stop_and_close),
      TEST(a_closing_uvsig_refuses_everything_and_keeps_its_callback),
      TEST(close_in_a_callback_without_bytes_tells_nobody_else),
      TEST(the_memory_is_the_users_in_the_close_callback),
      TEST(the_close_callback_may_free),
      TEST(a_program_may_close_all_that_uv_walk_finds_before_close),
      TEST(a_program_may_close_all_that_uv_walk_finds_turns_before_close),
      TEST(a_program_may_close_all_that_uv_walk_finds_after_close),
      TEST(a_program_may_close_all_that_uv_walk_finds_instead),
      TEST(a_program_may_close_only_some_of_our_handles),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
