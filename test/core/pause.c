/* SPDX-License-Identifier: MIT
 *
 * Sleeping until a signal is caught, without the loop.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a, b;

static void open_watched(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
}

static void pause_runs_what_is_due_without_sleeping(void) {
  open_watched();
  raise_times(SIGUSR1, 2);
  CHECK_EQ(uvsig_pause(&f.sig), 2);
  CHECK_EQ(a.calls, 2);
  fixture_close(&f);
}

/* The thread that sleeps is not the one that is interrupted. */
static void* raise_in_thread(void* unused) {
  raise(SIGUSR1);
  return unused;
}

static void pause_returns_after_a_callback_ran(void) {
  pthread_t thread;

  open_watched();
  CHECK_EQ(pthread_create(&thread, NULL, raise_in_thread, NULL), 0);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  fixture_close(&f);
}

static pthread_t sleeper;
static atomic_int foreign;

static void on_foreign(int signum) {
  (void) signum;
  foreign++;
}

/* First what is not watched, until it has been handled, then what is. */
static void* interrupt_then_signal(void* unused) {
  while (foreign < 10) {
    CHECK_EQ(uvsig_pthread_kill(sleeper, SIGUSR2), 0);
    sched_yield();
  }
  CHECK_EQ(uvsig_pthread_kill(sleeper, SIGUSR1), 0);
  return unused;
}

static void signals_that_nobody_watches_do_not_end_a_pause(void) {
  pthread_t thread;
  sigset_t set;

  install_handler(SIGUSR2, on_foreign);
  open_watched();
  sleeper = pthread_self();
  sigfillset(&set);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, &set), 0);
  CHECK_EQ(pthread_create(&thread, NULL, interrupt_then_signal, NULL), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(a.calls, 1);
  CHECK(foreign >= 10);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  fixture_close(&f);
}

static void pause_works_in_wake_only_mode_and_with_a_socketpair(void) {
  uvsig_options_t options;
  pthread_t thread;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(pthread_create(&thread, NULL, raise_in_thread, NULL), 0);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  fixture_close(&f);
}

static void pause_in_callback(struct recorder* r) {
  r->then = NULL;
  CHECK_EQ(uvsig_pause(&f.sig), 1);
}

static void pause_may_be_called_in_a_callback(void) {
  open_watched();
  a.then = pause_in_callback;
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.calls, 2);
  fixture_close(&f);
}

static void pause_for_the_other(struct recorder* r) {
  CHECK_EQ(b.calls, 0);
  CHECK_EQ(uvsig_pause(r->w.sig), 1);
  CHECK_EQ(b.calls, 1);
}

static void pause_in_a_callback_tells_the_other_watchers_first(void) {
  open_watched();
  recorder_start(&b, SIGUSR1);
  a.then = pause_for_the_other;
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(b.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void on_two(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  (void) signum;
  CHECK_EQ(info->count, 2);
  a.calls++;
  pause_for_the_other(w->data);
  CHECK_EQ(info->count, 2);
}

/* And each is told how many there were for it. */
static void pause_in_a_callback_leaves_its_info_alone(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_start(&a.w, on_two, SIGUSR1), 0);
  raise(SIGUSR1);
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(b.signals, 1);
  check_books(&f.sig, SIGUSR1, 2, 0);
  fixture_close(&f);
}

static void close_for_the_other(struct recorder* r) {
  CHECK_EQ(uvsig_close(r->w.sig, NULL), 0);
}

static void the_other_watcher_of_a_pause_in_a_callback_may_close(void) {
  open_watched();
  recorder_start(&b, SIGUSR1);
  a.then = pause_for_the_other;
  b.then = close_for_the_other;
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void close_in_callback(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
}

static void a_callback_of_a_pause_may_close(void) {
  open_watched();
  a.then = close_in_callback;
  raise_times(SIGUSR1, 2);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  (void) req;
  CHECK_EQ(status, 0);
  CHECK_EQ(info->signum, SIGUSR1);
}

static void a_wait_is_reason_enough_to_pause(void) {
  uvsig_wait_t wait;
  sigset_t set;

  fixture_open(&f, NULL);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, INFINITY, on_wait), 0);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  fixture_close(&f);
}

static void pause_in_wait(uvsig_wait_t* req,
                          int status,
                          const uvsig_info_t* info) {
  (void) req;
  (void) info;
  CHECK_EQ(status, 0);
  CHECK_EQ(uvsig_pause(&f.sig), UV_EINVAL);
}

/* It still holds the signal, but is told of nothing any more. */
static void a_wait_whose_callback_pauses_is_no_reason(void) {
  uvsig_wait_t wait;
  sigset_t set;

  fixture_open(&f, NULL);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, INFINITY, pause_in_wait), 0);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  fixture_close(&f);
}

static void on_tick(uvsig_itimer_t* t, unsigned expirations) {
  (void) t;
  CHECK_EQ(expirations, 1);
}

static void an_interval_timer_ends_a_pause(void) {
  uvsig_itimer_t timer;

  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, 0.01, 0), 0);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(uvsig_itimer_is_active(&timer), 0);
  fixture_close(&f);
}

static void pause_with_nothing_to_end_it_is_refused(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_pause(&f.sig), UV_EINVAL);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_pause(&f.sig), UV_EINVAL);
  fixture_close(&f);
}

static void bad_arguments_of_pause_are_refused(void) {
  uvsig_t unset;

  memset(&unset, 0, sizeof(unset));
  CHECK_EQ(uvsig_pause(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_pause(&unset), UV_EINVAL);
  open_watched();
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_pause(&f.sig), UV_EINVAL);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void pause_in_other_thread(void* argument) {
  (void) argument;
  CHECK_EQ(uvsig_pause(&f.sig), UV_EPERM);
}

static void pause_in_another_thread_is_refused(void) {
  uv_thread_t thread;

  open_watched();
  raise(SIGUSR1);
  CHECK_EQ(uv_thread_create(&thread, pause_in_other_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  fixture_close(&f);
}

static void pause_says_that_the_write_end_was_closed(void) {
  int write_end;
  int null = open("/dev/null", O_WRONLY);

  open_watched();
  write_end = inside_of(&f.sig).write_fd;
  CHECK_EQ(dup2(null, write_end), write_end);
  CHECK_EQ(uvsig_pause(&f.sig), UV_EOF);
  close(null);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(pause_runs_what_is_due_without_sleeping),
      TEST(pause_returns_after_a_callback_ran),
      TEST(signals_that_nobody_watches_do_not_end_a_pause),
      TEST(pause_works_in_wake_only_mode_and_with_a_socketpair),
      TEST(pause_may_be_called_in_a_callback),
      TEST(pause_in_a_callback_tells_the_other_watchers_first),
      TEST(pause_in_a_callback_leaves_its_info_alone),
      TEST(the_other_watcher_of_a_pause_in_a_callback_may_close),
      TEST(a_callback_of_a_pause_may_close),
      TEST(a_wait_is_reason_enough_to_pause),
      TEST(a_wait_whose_callback_pauses_is_no_reason),
      TEST(an_interval_timer_ends_a_pause),
      TEST(pause_with_nothing_to_end_it_is_refused),
      TEST(bad_arguments_of_pause_are_refused),
      TEST(pause_in_another_thread_is_refused),
      TEST(pause_says_that_the_write_end_was_closed),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
