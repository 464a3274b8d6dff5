/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD in one thread: what waits in the kernel's queue is
 * delivered one by one, each with its sender and value; the mask, and what waits
 * at the last stop.
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
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

static void the_first_of_all_signals_is_told(void) {
  open_two();
  recorder_start(&a, 1);
  raise(1);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, 1, 1, 0);
  fixture_close(&f);
}

/* Its own descriptors have the lowest numbers. */
static void a_program_without_standard_input_is_told(void) {
  uvsig_options_t options;
  int input = dup(0);

  open_two();
  fixture_close(&f);
  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  CHECK_EQ(uv_loop_init(&f.loop), 0);
  close(0);
  CHECK_EQ(uvsig_init(&f.loop, &f.sig, &options), 0);
  f.closed = 0;
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGRTMIN);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.calls, 3);
  fixture_close(&f);
  CHECK_EQ(fcntl(0, F_GETFD), -1);
  if (input >= 0) {
    CHECK_EQ(dup2(input, 0), 0);
    close(input);
  }
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

static siginfo_t handled;
static volatile sig_atomic_t handled_calls;

static void keep_info(int signum, siginfo_t* info, void* context) {
  (void) signum;
  (void) context;
  handled = *info;
  handled_calls++;
}

static void install_keeper(void) {
  struct sigaction action = action_of(SIGRTMIN);

  action.sa_sigaction = keep_info;
  action.sa_flags = SA_SIGINFO;
  CHECK_EQ(sigaction(SIGRTMIN, &action, NULL), 0);
}

static void stop_at_once(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

/* Of the two that wait, one is told of, and one is given back. */
static void give_one_back(void) {
  int before = handled_calls;
  int i;

  run_until(&f.loop, &a.calls, 1);
  for (i = 0; i < 1000 && handled_calls == before; i++)
    sched_yield();
  CHECK_EQ(handled_calls, before + 1);
}

static void what_is_given_back_has_its_descriptor_still(void) {
#ifdef F_SETSIG
  int fds[2][2];
  int i;

  open_two();
  install_keeper();
  a.then = stop_at_once;
  recorder_start(&a, SIGRTMIN);
  for (i = 0; i < 2; i++) {
    CHECK_EQ(pipe2(fds[i], O_NONBLOCK | O_CLOEXEC), 0);
    CHECK_EQ(fcntl(fds[i][0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(fds[i][0], F_SETSIG, SIGRTMIN), 0);
    CHECK_EQ(fcntl(fds[i][0], F_SETFL, O_NONBLOCK | O_ASYNC), 0);
    CHECK_EQ(write(fds[i][1], "x", 1), 1);
  }
  give_one_back();
  CHECK_EQ(handled.si_signo, SIGRTMIN);
  CHECK_EQ(handled.si_code, POLL_IN);
  CHECK_EQ(handled.si_fd, fds[1][0]);
  CHECK((handled.si_band & POLLIN) != 0);
  for (i = 0; i < 2; i++) {
    close(fds[i][0]);
    close(fds[i][1]);
  }
  fixture_close(&f);
#else
  skip_test("no F_SETSIG here");
#endif
}

static void what_is_given_back_has_its_sender_still(void) {
  open_two();
  install_keeper();
  a.then = stop_at_once;
  recorder_start(&a, SIGRTMIN);
  queue_value(SIGRTMIN, 4711);
  queue_value(SIGRTMIN, 4712);
  give_one_back();
  CHECK_EQ(handled.si_code, SI_QUEUE);
  CHECK_EQ(handled.si_pid, getpid());
  CHECK_EQ(handled.si_uid, getuid());
  CHECK_EQ(handled.si_value.sival_int, 4712);
  fixture_close(&f);
}

#ifdef HAVE_TIMER_CREATE
static timer_t start_timer(void* value) {
  const struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
  struct sigevent event;
  timer_t timer;

  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN;
  event.sigev_value.sival_ptr = value;
  CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  CHECK_EQ(timer_settime(timer, 0, &soon, NULL), 0);
  return timer;
}
#endif

static void what_is_given_back_has_its_timer_still(void) {
#ifdef HAVE_TIMER_CREATE
  const struct itimerspec soon = {.it_value = {.tv_nsec = 1}};
  struct itimerspec left;
  siginfo_t before;
  timer_t timer;

  open_two();
  install_keeper();
  timer = start_timer(&before);
  while (handled_calls == 0)
    usleep(1); /* not sched_yield(): ThreadSanitizer holds the signal back */
  before = handled;
  a.then = stop_at_once;
  recorder_start(&a, SIGRTMIN);
  queue_value(SIGRTMIN, 4711);
  CHECK_EQ(timer_settime(timer, 0, &soon, NULL), 0);
  do {
    sched_yield();
    CHECK_EQ(timer_gettime(timer, &left), 0);
  } while (left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0);
  /* The one that was queued first is told of. */
  give_one_back();
  CHECK_EQ(handled.si_code, SI_TIMER);
  CHECK_EQ(handled.si_timerid, before.si_timerid);
  CHECK(handled.si_value.sival_ptr == &before);
  CHECK_EQ(timer_delete(timer), 0);
  fixture_close(&f);
#else
  skip_test("no timer_create() here");
#endif
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
      TEST(the_first_of_all_signals_is_told),
      TEST(a_program_without_standard_input_is_told),
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
      TEST(what_is_given_back_has_its_descriptor_still),
      TEST(what_is_given_back_has_its_sender_still),
      TEST(what_is_given_back_has_its_timer_still),
      TEST(a_close_in_a_burst_gives_the_rest_to_the_previous_action),
      TEST(close_discards_and_restores_all),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
