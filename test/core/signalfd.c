/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD in one thread: what waits in the kernel's queue is
 * delivered one by one, each with its sender and value; the mask, and what waits
 * at the last stop.
 */

#include "../lib/harness.h"

#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a, b;

static void open_two(void) {
  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

/* --- Senders, values, counts ---------------------------------------------- */

static void send_kill(pid_t to) {
  if (kill(to, SIGUSR1) != 0)
    _exit(1);
}

static void send_queued(pid_t to) {
  const union sigval value = {.sival_int = 4711};

  if (uvsig_sigqueue(to, SIGUSR1, value) != 0)
    _exit(1);
}

static void a_sender_in_another_process_is_known(void) {
  pid_t child;

  open_two();
  recorder_start(&a, SIGUSR1);
  child = send_from_child(send_kill);
  CHECK(is_waiting(SIGUSR1));
  run_until(&f.loop, &a.calls, 1);
  CHECK(!is_waiting(SIGUSR1));
  CHECK_EQ(a.last.flags, 0);
  CHECK_EQ(a.last.count, 1);
  CHECK_EQ(a.last.code, SI_USER);
  CHECK_EQ(a.last.pid, child);
  CHECK_EQ(a.last.uid, getuid());
  child = send_from_child(send_queued);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(a.last.code, SI_QUEUE);
  CHECK_EQ(a.last.pid, child);
  CHECK_EQ(a.last.value.sival_int, 4711);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 3);
  CHECK_EQ(a.last.pid, getpid());
#ifdef SI_TKILL
  CHECK_EQ(a.last.code, SI_TKILL);
#endif
  check_books(&f.sig, SIGUSR1, 3, 0);
  fixture_close(&f);
}

static int next_value;

static void check_value(struct recorder* r) {
  CHECK_EQ(r->last.flags, 0);
  CHECK_EQ(r->last.value.sival_int, next_value);
  next_value++;
}

/* The option info_depth is 64. */
static void a_burst_of_realtime_signals_keeps_every_value_and_the_order(void) {
  uvsig_stats_t stats;

  open_two();
  a.then = check_value;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 1000);
  run_until(&f.loop, &a.calls, 1000);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  CHECK_EQ(stats.info_dropped + stats.coalesced + stats.full_buffers, 0);
  CHECK_EQ(next_value, 1000);
  check_books(&f.sig, SIGRTMIN, 1000, 0);
  fixture_close(&f);
}

static unsigned flood;

static void send_flood(pid_t to) {
  union sigval value = {.sival_int = 0};
  int err;

  while ((unsigned) value.sival_int < flood) {
    err = uvsig_sigqueue(to, SIGRTMIN, value);
    if (err == 0)
      value.sival_int++;
    else if (err == UV_EAGAIN)
      usleep(50); /* the queue is full */
    else
      _exit(1);
  }
}

static void another_process_as_fast_as_it_can_loses_nothing(void) {
  pid_t parent = getpid();
  pid_t child;
  int status;

  flood = scaled(100000);
  limit_queue();
  open_two();
  a.then = check_value;
  recorder_start(&a, SIGRTMIN);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    send_flood(parent);
    _exit(0);
  }
  run_until(&f.loop, &a.calls, flood);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  CHECK_EQ((unsigned) next_value, flood);
  run_idle(&f.loop);
  check_books(&f.sig, SIGRTMIN, flood, 0);
  fixture_close(&f);
}

static void of_standard_signals_that_wait_one_is_told(void) {
  int i;

  open_two();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  for (i = 0; i < 5; i++)
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(kill(getpid(), SIGUSR2), 0);
  run_until(&f.loop, &b.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void every_watcher_of_a_signal_is_told_in_the_order_of_the_starts(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  run_until(&f.loop, &b.calls, 100);
  CHECK_EQ(a.calls, 100);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  fixture_close(&f);
}

/* Known: the kernel does not say when it was sent. */
static void a_further_watcher_is_told_of_what_waited_at_its_start(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 3);
  recorder_start(&b, SIGRTMIN);
  run_until(&f.loop, &a.calls, 3);
  CHECK_EQ(b.calls, 3);
  fixture_close(&f);
}

static void start_again(struct recorder* r) {
  recorder_start_oneshot(r, SIGUSR1);
}

/* A start is for what comes later, not for the signal that is being told. */
static void one_shots_that_start_again_are_told_once(void) {
  open_two();
  a.then = start_again;
  b.then = start_again;
  recorder_start_oneshot(&a, SIGUSR1);
  recorder_start_oneshot(&b, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(b.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void only_a_started_watcher_keeps_the_loop_alive(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uv_loop_alive(&f.loop), 1);
  uvsig_watcher_unref(&a.w);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  uvsig_watcher_ref(&a.w);
  CHECK_EQ(uv_loop_alive(&f.loop), 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
}

/* --- The mask --------------------------------------------------------------- */

static void start_blocks_and_the_last_stop_unblocks(void) {
  open_two();
  CHECK(!is_blocked(SIGUSR1));
  recorder_start(&a, SIGUSR1);
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGUSR1));
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
  fixture_close(&f);
}

static void what_a_launcher_has_blocked_is_told_and_stays_blocked(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR1);
  open_two();
  recorder_start(&a, SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGUSR1));
  recorder_start(&a, SIGUSR1);
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR1));
}

static void a_retarget_moves_the_mask_with_it(void) {
  open_two();
  recorder_start(&a, SIGUSR1);
  recorder_start(&a, SIGUSR2);
  CHECK(!is_blocked(SIGUSR1));
  CHECK(is_blocked(SIGUSR2));
  raise(SIGUSR2);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.signum, SIGUSR2);
  fixture_close(&f);
  CHECK(!is_blocked(SIGUSR2));
}

static void keep_mask_goes_by_the_handler_and_leaves_the_mask_alone(void) {
  open_two();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_KEEP_MASK), 0);
  recorder_start(&a, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.calls, 3);
  recorder_start(&b, SIGUSR1);
  CHECK(is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 4);
  CHECK_EQ(b.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_program_that_unblocks_it_has_it_by_the_handler(void) {
  sigset_t set = set_of(SIGRTMIN);

  open_two();
  recorder_start(&a, SIGRTMIN);
  queue_value(SIGRTMIN, 0);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_until(&f.loop, &a.calls, 1);
  queue_value(SIGRTMIN, 1);
  run_until(&f.loop, &a.calls, 2);
  check_books(&f.sig, SIGRTMIN, 2, 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

/* --- The last stop ---------------------------------------------------------- */

static void what_waits_at_the_last_stop_has_the_previous_action(void) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  check_handled((unsigned) foreign_calls, 100);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  check_books(&f.sig, SIGRTMIN, 0, 0);
  CHECK(action_of(SIGRTMIN).sa_handler == count_foreign);
  fixture_close(&f);
}

static void stop_at_10(struct recorder* r) {
  if (r->calls == 10)
    CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

/* What was read ahead is given back. */
static void a_stop_in_a_burst_accounts_for_all_of_it(void) {
  uvsig_stats_t stats;

  open_two();
  install_handler(SIGRTMIN, count_foreign);
  a.then = stop_at_10;
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  queue_values(SIGRTMIN, 100);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 10);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  CHECK_EQ(stats.delivered, 10);
  CHECK_EQ(stats.discarded, 0);
  CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
  check_handled(stats.caught + (unsigned) foreign_calls, 100);

  /* Nothing of before is told of later. */
  a.then = NULL;
  recorder_start(&a, SIGRTMIN);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 10);
  queue_value(SIGRTMIN, 1);
  run_until(&f.loop, &a.calls, 11);
  fixture_close(&f);
}

static void close_in_callback(struct recorder* r) {
  CHECK_EQ(uvsig_close(r->w.sig, NULL), 0);
}

static void a_close_in_a_burst_gives_the_rest_to_the_previous_action(void) {
  uvsig_stats_t stats;

  open_two();
  install_handler(SIGRTMIN, count_foreign);
  a.then = close_in_callback;
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  /* The counts can be read until the loop has gone round. */
  while (a.calls == 0)
    CHECK_EQ(uvsig_flush(&f.sig), 1);
  await_foreign_calls(99);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  CHECK_EQ(stats.delivered, 1);
  CHECK_EQ(stats.discarded, 0);
  CHECK_EQ(stats.caught, 1);
  check_handled(stats.caught + (unsigned) foreign_calls, 100);
  CHECK(!is_blocked(SIGRTMIN));
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(b.calls, 0);
  close_loop(&f.loop);
}

static void close_discards_and_restores_all(void) {
  open_two();
  install_handler(SIGUSR2, count_foreign);
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR2);
  raise(SIGUSR2);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
  CHECK(!is_blocked(SIGUSR2));
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(a.calls + b.calls, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_sender_in_another_process_is_known),
      TEST(a_burst_of_realtime_signals_keeps_every_value_and_the_order),
      TEST(another_process_as_fast_as_it_can_loses_nothing),
      TEST(of_standard_signals_that_wait_one_is_told),
      TEST(every_watcher_of_a_signal_is_told_in_the_order_of_the_starts),
      TEST(a_further_watcher_is_told_of_what_waited_at_its_start),
      TEST(one_shots_that_start_again_are_told_once),
      TEST(only_a_started_watcher_keeps_the_loop_alive),
      TEST(start_blocks_and_the_last_stop_unblocks),
      TEST(what_a_launcher_has_blocked_is_told_and_stays_blocked),
      TEST(a_retarget_moves_the_mask_with_it),
      TEST(keep_mask_goes_by_the_handler_and_leaves_the_mask_alone),
      TEST(a_program_that_unblocks_it_has_it_by_the_handler),
      TEST(what_waits_at_the_last_stop_has_the_previous_action),
      TEST(a_stop_in_a_burst_accounts_for_all_of_it),
      TEST(a_close_in_a_burst_gives_the_rest_to_the_previous_action),
      TEST(close_discards_and_restores_all),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
