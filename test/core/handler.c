/* SPDX-License-Identifier: MIT
 *
 * A watcher's function in the signal handler itself, and what tells whose a
 * thread and a handle are.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fixture f;
static struct recorder r;

static atomic_ulong handled;
static atomic_int last_signum;
static uvsig_watcher_t* volatile last_watcher;

static void on_handler(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  CHECK_EQ(info->si_signo, signum);
  last_watcher = w;
  atomic_store(&last_signum, signum);
  atomic_fetch_add(&handled, 1);
}

static void watch(struct recorder* recorder, int signum) {
  recorder_init(recorder, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&recorder->w, on_handler), 0);
  recorder_start(recorder, signum);
}

static void it_is_called_for_each_signal_before_the_loop_runs(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  fixture_open(&f, &options);
  watch(&r, SIGUSR1);
  raise_times(SIGUSR1, 100);
  CHECK_EQ(atomic_load(&handled), 100);
  CHECK_EQ(atomic_load(&last_signum), SIGUSR1);
  CHECK(last_watcher == &r.w);
  CHECK_EQ(r.calls, 0);
  run_idle(&f.loop);
  CHECK_EQ(r.calls, 1);
  CHECK_EQ(r.signals, 100);
  CHECK_EQ(atomic_load(&handled), 100);
  fixture_close(&f);
}

static void a_signal_that_was_blocked_at_start_is_handled(void) {
  sigset_t set = set_of(SIGUSR1);

  fixture_open(&f, NULL);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR1);
  watch(&r, SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 1);
  run_until(&f.loop, &r.calls, 1);
  fixture_close(&f);
}

static void after_stop_it_is_not_called(void) {
  struct recorder other;

  fixture_open(&f, NULL);
  watch(&r, SIGUSR1);
  recorder_init(&other, &f.sig);
  recorder_start(&other, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &other.calls, 1);
  CHECK_EQ(atomic_load(&handled), 0);
  recorder_start(&r, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 1);
  fixture_close(&f);
}

static void it_goes_where_its_watcher_goes(void) {
  struct recorder other;

  fixture_open(&f, NULL);
  watch(&r, SIGUSR1);
  recorder_init(&other, &f.sig);
  recorder_start(&other, SIGUSR1);
  recorder_start(&r, SIGUSR2);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 0);
  raise(SIGUSR2);
  CHECK_EQ(atomic_load(&handled), 1);
  CHECK_EQ(atomic_load(&last_signum), SIGUSR2);
  fixture_close(&f);
}

static void a_oneshot_watcher_has_it_until_its_callback(void) {
  fixture_open(&f, NULL);
  recorder_init(&r, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, on_handler), 0);
  recorder_start_oneshot(&r, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &r.calls, 1);
  CHECK_EQ(atomic_load(&handled), 1);
  CHECK_EQ(uvsig_watcher_is_active(&r.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void one_of_the_watchers_of_a_signal_has_one(void) {
  struct recorder other;
  uvsig_t second;

  fixture_open(&f, NULL);
  watch(&r, SIGUSR1);
  recorder_init(&other, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&other.w, on_handler), 0);
  CHECK_EQ(uvsig_watcher_start(&other.w, record, SIGUSR1), UV_EBUSY);
  CHECK_EQ(uvsig_watcher_is_active(&other.w), 0);
  recorder_start(&other, SIGUSR2);
  /* It goes on with the other signal. */
  CHECK_EQ(uvsig_watcher_start(&other.w, record, SIGUSR1), UV_EBUSY);
  CHECK_EQ(other.w.signum, SIGUSR2);
  raise(SIGUSR1);
  CHECK(last_watcher == &r.w);
  raise(SIGUSR2);
  CHECK(last_watcher == &other.w);
  CHECK_EQ(atomic_load(&handled), 2);

  /* It stays where another watcher of its signal stops. */
  CHECK_EQ(uvsig_watcher_stop(&other.w), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&other.w, NULL), 0);
  recorder_start(&other, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&other.w), 0);
  raise(SIGUSR1);
  CHECK(last_watcher == &r.w);
  CHECK_EQ(atomic_load(&handled), 3);

  /* Each uvsig_t can have one. */
  CHECK_EQ(uvsig_init(&f.loop, &second, NULL), 0);
  CHECK_EQ(uvsig_watcher_stop(&other.w), 0);
  recorder_init(&other, &second);
  CHECK_EQ(uvsig_watcher_set_handler(&other.w, on_handler), 0);
  recorder_start(&other, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 5);
  CHECK_EQ(uvsig_close(&second, NULL), 0);
  fixture_close(&f);
}

static void bad_input_to_set_handler_changes_nothing(void) {
  uvsig_watcher_t unset;

  memset(&unset, 0, sizeof(unset));
  CHECK_EQ(uvsig_watcher_set_handler(NULL, on_handler), UV_EINVAL);
  CHECK_EQ(uvsig_watcher_set_handler(&unset, on_handler), UV_EINVAL);
  fixture_open(&f, NULL);
  watch(&r, SIGUSR1);
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, NULL), UV_EBUSY);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 1);
  CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, NULL), 0);
  recorder_start(&r, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 1);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, on_handler), UV_EINVAL);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  close_loop(&f.loop);
}

/* --- Threads and forks ---------------------------------------------------- */

static atomic_int is_stopped;
static atomic_int was_late;
static atomic_int is_over;

static void on_racing(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  if (atomic_load(&is_stopped))
    atomic_store(&was_late, 1);
  atomic_fetch_add(&handled, 1);
}

static void raise_until_over(void* unused) {
  (void) unused;
  while (!atomic_load(&is_over))
    raise(SIGUSR1);
}

static void when_stop_returns_it_is_not_running(void) {
  struct recorder other;
  uv_thread_t thread;
  unsigned i;

  fixture_open(&f, NULL);
  recorder_init(&other, &f.sig);
  recorder_start(&other, SIGUSR1);
  recorder_init(&r, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, on_racing), 0);
  CHECK_EQ(uv_thread_create(&thread, raise_until_over, NULL), 0);
  for (i = scaled(5000); i > 0 && has_time(); i--) {
    unsigned long before = atomic_load(&handled);

    atomic_store(&is_stopped, 0);
    recorder_start(&r, SIGUSR1);
    while (atomic_load(&handled) == before)
      uv_run(&f.loop, UV_RUN_NOWAIT);
    CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
    atomic_store(&is_stopped, 1);
  }
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, NULL), 0);
  atomic_store(&is_over, 1);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(atomic_load(&was_late), 0);
  fixture_close(&f);
}

static void in_child(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 0);
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  CHECK_EQ(atomic_load(&handled), 1);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&handled), 2);
}

static void a_child_has_it_after_uvsig_fork(void) {
  fixture_open(&f, NULL);
  watch(&r, SIGUSR1);
  CHECK_EQ(run_forked(in_child), 0);
  CHECK_EQ(atomic_load(&handled), 0);
  fixture_close(&f);
}

/* --- Whose it is ---------------------------------------------------------- */

static void check_not_ours(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, NULL), UV_EPERM);
}

static void the_loop_thread_is_told_from_others(void) {
  uvsig_t unset;
  uv_thread_t thread;

  memset(&unset, 0, sizeof(unset));
  CHECK_EQ(uvsig_is_loop_thread(NULL), 0);
  CHECK_EQ(uvsig_is_loop_thread(&unset), 0);
  fixture_open(&f, NULL);
  recorder_init(&r, &f.sig);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1);
  CHECK_EQ(uv_thread_create(&thread, check_not_ours, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 0);
  close_loop(&f.loop);
}

struct tally {
  unsigned ours;
  unsigned others;
};

static void tally(uv_handle_t* handle, void* arg) {
  struct tally* count = arg;

  if (uvsig_has_handle(&f.sig, handle))
    count->ours++;
  else
    count->others++;
}

static void all_handles_but_the_programs_are_the_uvsigs(void) {
  struct tally count = {0, 0};
  uv_timer_t timer;

  fixture_open(&f, NULL);
  uv_walk(&f.loop, tally, &count);
  CHECK(count.ours > 0);
  CHECK_EQ(count.others, 0);
  /* SIGCHLD brings one of libuv's signal handles. */
  recorder_init(&r, &f.sig);
  recorder_start(&r, SIGCHLD);
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  memset(&count, 0, sizeof(count));
  uv_walk(&f.loop, tally, &count);
  CHECK_EQ(count.others, 1);
  CHECK_EQ(uvsig_has_handle(&f.sig, (uv_handle_t*) &timer), 0);
  CHECK_EQ(uvsig_has_handle(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_has_handle(NULL, (uv_handle_t*) &timer), 0);
  uv_close((uv_handle_t*) &timer, NULL);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_is_called_for_each_signal_before_the_loop_runs),
      TEST(a_signal_that_was_blocked_at_start_is_handled),
      TEST(after_stop_it_is_not_called),
      TEST(it_goes_where_its_watcher_goes),
      TEST(a_oneshot_watcher_has_it_until_its_callback),
      TEST(one_of_the_watchers_of_a_signal_has_one),
      TEST(bad_input_to_set_handler_changes_nothing),
      TEST(when_stop_returns_it_is_not_running),
      TEST(a_child_has_it_after_uvsig_fork),
      TEST(the_loop_thread_is_told_from_others),
      TEST(all_handles_but_the_programs_are_the_uvsigs),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
