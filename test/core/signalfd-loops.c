/* SPDX-License-Identifier: MIT
 *
 * Two loops of one thread with a signalfd each: what one of them has read is
 * for the other, too.
 */

#include "../lib/harness.h"

#include <unistd.h>

static struct fixture here;
static struct fixture there;
static struct recorder first;
static struct recorder second;
static struct recorder other;

/* The signals have been read together. */
static void stop_second(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_watcher_stop(&second.w), 0);
}

static void close_here(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_close(&here.sig, NULL), 0);
}

static void open_both(void) {
  fixture_open_queued(&here);
  fixture_open_queued(&there);
  recorder_init(&first, &here.sig);
  recorder_init(&second, &here.sig);
  recorder_init(&other, &there.sig);
  recorder_start(&first, SIGUSR1);
  recorder_start(&second, SIGUSR2);
  recorder_start(&other, SIGUSR2);
}

static void send_both(void) {
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(kill(getpid(), SIGUSR2), 0);
}

static void a_stop_in_a_callback_takes_nothing_from_another_loop(void) {
  open_both();
  first.then = stop_second;
  send_both();
  run_until(&here.loop, &first.calls, 1);
  run_idle(&there.loop);
  CHECK_EQ(other.calls, 1);
  CHECK_EQ(second.calls, 0);
  check_books(&here.sig, SIGUSR2, 0, 1);
  check_books(&there.sig, SIGUSR2, 1, 0);
  fixture_close(&here);
  fixture_close(&there);
}

static void nor_does_a_close(void) {
  open_both();
  first.then = close_here;
  send_both();
  run_until(&here.loop, &first.calls, 1);
  run_idle(&there.loop);
  CHECK_EQ(other.calls, 1);
  CHECK_EQ(second.calls, 0);
  check_books(&there.sig, SIGUSR2, 1, 0);
  uv_run(&here.loop, UV_RUN_DEFAULT);
  close_loop(&here.loop);
  fixture_close(&there);
}

static void nor_does_one_without_the_loop(void) {
  open_both();
  first.then = stop_second;
  send_both();
  CHECK_EQ(uvsig_flush(&here.sig), 1);
  run_idle(&there.loop);
  CHECK_EQ(other.calls, 1);
  CHECK_EQ(second.calls, 0);
  fixture_close(&here);
  fixture_close(&there);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_stop_in_a_callback_takes_nothing_from_another_loop),
      TEST(nor_does_a_close),
      TEST(nor_does_one_without_the_loop),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
