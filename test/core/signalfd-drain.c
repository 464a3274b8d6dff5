/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD where the loop does not run: drains, flushes, pauses;
 * waits and one-shots.
 */

#include "../lib/harness.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a, b;

static void open_two(void) {
  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

static int next_value;

static void check_value(struct recorder* r) {
  CHECK_EQ(r->last.flags, 0);
  CHECK_EQ(r->last.value.sival_int, next_value);
  next_value++;
}

static void stop_at_10(struct recorder* r) {
  if (r->calls == 10)
    CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

/* --- Drains ----------------------------------------------------------------- */

static void a_drain_tells_all_that_waits_with_its_value(void) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  install_handler(SIGUSR1, count_foreign);
  a.then = check_value;
  recorder_start(&b, SIGUSR1);
  recorder_start(&a, SIGRTMIN);
  raise(SIGUSR1);
  queue_values(SIGRTMIN, 100);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, 100);
  CHECK_EQ(foreign_calls, 0);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  CHECK(!is_blocked(SIGRTMIN));
  CHECK_EQ(b.calls, 0); /* it waits for its own turn */
  run_until(&f.loop, &b.calls, 1);
  fixture_close(&f);
}

/* One by one, and each of them is the other loop's, too. */
static void a_drain_tells_another_loop_too(void) {
  struct fixture g;
  struct recorder c;

  open_two();
  fixture_open_queued(&g);
  recorder_init(&c, &g.sig);
  c.calls = 0;
  c.signals = 0;
  c.then = NULL;
  recorder_start(&a, SIGRTMIN);
  recorder_start(&c, SIGRTMIN);
  queue_values(SIGRTMIN, 5);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.signals, 5);
  run_until(&g.loop, &c.signals, 5);
  check_books(&f.sig, SIGRTMIN, 5, 0);
  check_books(&g.sig, SIGRTMIN, 5, 0);
  fixture_close(&f);
  fixture_close(&g);
}

static void drain_b(struct recorder* r) {
  if (r->calls == 1) {
    CHECK_EQ(uvsig_watcher_drain(&b.w), 0);
    CHECK_EQ(b.calls, 50);
  }
}

/* Some of its signals have been read ahead by then. */
static void a_drain_in_another_signals_callback_tells_all(void) {
  int i;

  open_two();
  install_handler(SIGRTMIN + 1, count_foreign);
  a.then = drain_b;
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGRTMIN + 1);
  for (i = 0; i < 50; i++) {
    queue_value(SIGRTMIN + 1, i);
    queue_value(SIGRTMIN, i);
  }
  run_until(&f.loop, &a.calls, 50);
  CHECK_EQ(foreign_calls, 0);
  CHECK_EQ(b.calls, 50);
  check_books(&f.sig, SIGRTMIN + 1, 50, 0);
  fixture_close(&f);
}

static void drain_itself(struct recorder* r) {
  if (r->calls == 1) {
    CHECK_EQ(uvsig_watcher_drain(&r->w), 0);
    CHECK_EQ(r->calls, 100);
  }
}

static void a_watcher_that_drains_itself_is_told_of_all(void) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  a.then = drain_itself;
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  queue_values(SIGRTMIN, 100);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 100);
  CHECK_EQ(foreign_calls, 0);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  fixture_close(&f);
}

static void a_stop_in_a_drain_gives_the_rest_to_the_previous_action(void) {
  uvsig_stats_t stats;

  open_two();
  install_handler(SIGRTMIN, count_foreign);
  a.then = stop_at_10;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, 10);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  CHECK_EQ(stats.caught, 10);
  check_handled((unsigned) foreign_calls, 90);
  fixture_close(&f);
}

static void a_one_shot_that_is_drained_is_told_once_of_all(void) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  recorder_start_oneshot(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(a.signals, 100);
  CHECK_EQ(foreign_calls, 0);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void a_drain_with_another_watcher_left_keeps_the_signal(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGRTMIN);
  queue_values(SIGRTMIN, 5);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, 5);
  CHECK_EQ(b.calls, 5);
  CHECK(is_blocked(SIGRTMIN));
  queue_value(SIGRTMIN, 5);
  run_until(&f.loop, &b.calls, 6);
  CHECK_EQ(a.calls, 5);
  fixture_close(&f);
}

/* The sender of a drain's race: as many as the byte says, and an answer. */
static int ask[2], answer[2];

static void send_rounds(pid_t to) {
  unsigned char n;
  int i;

  close(ask[1]);
  close(answer[0]);
  while (read(ask[0], &n, 1) == 1) {
    for (i = 0; i < n; i++)
      if ((i % 2 == 0 ? kill(to, SIGRTMIN)
                      : uvsig_sigqueue(to, SIGRTMIN, (union sigval){0})) != 0)
        _exit(1);
    if (write(answer[1], &n, 1) != 1)
      _exit(1);
  }
}

static void in_a_race_each_is_told_or_has_the_previous_action(void) {
  unsigned n = scaled(3000);
  pid_t parent = getpid();
  unsigned char sent;
  unsigned long before;
  pid_t child;
  unsigned i;
  int status;

  CHECK_EQ(pipe(ask) + pipe(answer), 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    send_rounds(parent);
    _exit(0);
  }
  close(ask[0]);
  close(answer[1]);
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  for (i = 0; i < n && has_time(); i++) {
    before = a.signals + (unsigned long) foreign_calls;
    sent = (unsigned char) (1 + i % 20);
    recorder_start(&a, SIGRTMIN);
    CHECK_EQ(write(ask[1], &sent, 1), 1);
    if (i % 3 == 1)
      CHECK(uvsig_flush(&f.sig) >= 0);
    if (i % 3 == 2)
      uv_run(&f.loop, UV_RUN_NOWAIT);
    CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
    CHECK_EQ(UNINTERRUPTED(read(answer[0], &sent, 1)), 1);
    check_handled(a.signals + (unsigned long) foreign_calls, before + sent);
  }
  check_books(&f.sig, SIGRTMIN, a.signals, 0);
  close(ask[1]);
  close(answer[0]);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  fixture_close(&f);
}

/* --- Flushes, pauses, waits, one-shots -------------------------------------- */

static void a_flush_tells_all_that_waits(void) {
  open_two();
  a.then = check_value;
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  queue_values(SIGRTMIN, 100);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 101);
  CHECK_EQ(a.calls, 100);
  CHECK_EQ(b.calls, 1);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  fixture_close(&f);
}

static void flush_once(struct recorder* r) {
  check_value(r);
  if (r->calls == 3) {
    r->then = check_value;
    CHECK_EQ(uvsig_flush(&f.sig), 97);
    CHECK_EQ(r->calls, 100);
  }
}

static void a_flush_in_a_callback_tells_the_rest_in_order(void) {
  open_two();
  a.then = flush_once;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  run_until(&f.loop, &a.calls, 100);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 100);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  fixture_close(&f);
}

static void raise_again(struct recorder* r) {
  raise(r->signum);
}

static void a_flush_leaves_what_the_callbacks_send_for_the_loop(void) {
  open_two();
  a.then = raise_again;
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK(is_waiting(SIGUSR1));
  a.then = NULL;
  run_until(&f.loop, &a.calls, 2);
  fixture_close(&f);
}

static void send_kill(pid_t to) {
  if (kill(to, SIGUSR1) != 0)
    _exit(1);
}

static void pause_returns_what_waits_without_sleeping(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 3);
  CHECK_EQ(uvsig_pause(&f.sig), 3);
  fixture_close(&f);
}

/* It is most likely asleep by then, which does not matter. */
static void pause_is_woken_by_a_signal_of_another_process(void) {
  pid_t parent = getpid();
  pid_t child;
  int status;

  open_two();
  recorder_start(&a, SIGUSR1);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    let_pass(20);
    send_kill(parent);
    _exit(0);
  }
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(a.last.pid, child);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  fixture_close(&f);
}

static unsigned long waited;

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  (void) req;
  CHECK_EQ(status, 0);
  CHECK_EQ(info->count, 1);
  CHECK_EQ(info->value.sival_int, (int) waited);
  waited++;
}

static void waits_take_one_each_and_the_watcher_the_rest(void) {
  uvsig_wait_t waits[2];
  sigset_t set = set_of(SIGRTMIN);
  int i;

  memset(waits, 0, sizeof(waits));
  open_two();
  recorder_start(&a, SIGRTMIN);
  for (i = 0; i < 2; i++)
    CHECK_EQ(uvsig_wait_start(&f.sig, &waits[i], &set, LONG_MS, on_wait), 0);
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(waited, 2);
  CHECK_EQ(a.last.value.sival_int, 2);
  check_books(&f.sig, SIGRTMIN, 3, 0);
  fixture_close(&f);
}

static void a_one_shot_is_told_of_the_first_alone(void) {
  uvsig_stats_t stats;

  open_two();
  install_handler(SIGRTMIN, count_foreign);
  recorder_start_oneshot(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 5);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.signals, 1);
  CHECK_EQ(a.last.value.sival_int, 0);
  await_foreign_calls(4);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  check_handled(stats.caught + (unsigned) foreign_calls, 5);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_drain_tells_all_that_waits_with_its_value),
      TEST(a_drain_tells_another_loop_too),
      TEST(a_drain_in_another_signals_callback_tells_all),
      TEST(a_watcher_that_drains_itself_is_told_of_all),
      TEST(a_stop_in_a_drain_gives_the_rest_to_the_previous_action),
      TEST(a_one_shot_that_is_drained_is_told_once_of_all),
      TEST(a_drain_with_another_watcher_left_keeps_the_signal),
      TEST(in_a_race_each_is_told_or_has_the_previous_action),
      TEST(a_flush_tells_all_that_waits),
      TEST(a_flush_in_a_callback_tells_the_rest_in_order),
      TEST(a_flush_leaves_what_the_callbacks_send_for_the_loop),
      TEST(pause_returns_what_waits_without_sleeping),
      TEST(pause_is_woken_by_a_signal_of_another_process),
      TEST(waits_take_one_each_and_the_watcher_the_rest),
      TEST(a_one_shot_is_told_of_the_first_alone),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
