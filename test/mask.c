/* SPDX-License-Identifier: MIT
 *
 * The mask of the thread that starts a watcher: a launcher's blocked signal
 * reaches it, and is blocked again afterwards.
 */

#include "harness.h"

#include <pthread.h>

static struct fixture f, g;
static struct recorder a, b, c;

static void block(int signum) {
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, signum);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static bool is_blocked(int signum) {
  sigset_t set;

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
  return sigismember(&set, signum) == 1;
}

static void open_blocked(void) {
  block(SIGUSR1);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

static void start_unblocks_and_the_last_stop_blocks_again(void) {
  open_blocked();
  recorder_start(&a, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void close_blocks_again(void) {
  open_blocked();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR1));
}

static void what_was_not_blocked_stays_unblocked(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_signal_that_the_mask_held_back_reaches_the_first_watcher(void) {
  open_blocked();
  raise(SIGUSR1);
  recorder_start(&a, SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void keep_mask_leaves_the_mask_alone(void) {
  open_blocked();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_KEEP_MASK), 0);
  recorder_start(&a, SIGUSR1);
  CHECK(is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  /* Another one that wants it unblocked has it its way until the last stop. */
  recorder_start(&b, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_retarget_moves_the_mask_with_it(void) {
  open_blocked();
  block(SIGUSR2);
  recorder_start(&a, SIGUSR1);
  recorder_start(&a, SIGUSR2);
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR2));
}

static void two_loops_of_a_thread_share_its_mask(void) {
  open_blocked();
  fixture_open(&g, NULL);
  recorder_init(&c, &g.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&c, SIGUSR1);
  /* The one that unblocked it goes first. */
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&g.loop, &c.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&c.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
  fixture_close(&g);
}

static void run_and_stop(void* argument) {
  (void) argument;
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(!is_blocked(SIGUSR1));
}

static void a_loop_that_moved_leaves_the_masks_as_they_are(void) {
  uv_thread_t thread;

  open_blocked();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  CHECK_EQ(uv_thread_create(&thread, run_and_stop, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(start_unblocks_and_the_last_stop_blocks_again),
      TEST(close_blocks_again),
      TEST(what_was_not_blocked_stays_unblocked),
      TEST(a_signal_that_the_mask_held_back_reaches_the_first_watcher),
      TEST(keep_mask_leaves_the_mask_alone),
      TEST(a_retarget_moves_the_mask_with_it),
      TEST(two_loops_of_a_thread_share_its_mask),
      TEST(a_loop_that_moved_leaves_the_masks_as_they_are),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
