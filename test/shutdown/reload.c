/* SPDX-License-Identifier: MIT
 *
 * Reloads: one that runs and one that is pending, however many signals come;
 * who finishes, who is refused, and what a shutdown makes of them.
 */

#include "../lib/harness.h"

#include <string.h>

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_reload_t reload;
static unsigned long calls;
static bool finishes; /* in its callback */
static unsigned hard_ms = LONG_MS;
static void (*then)(void);

static void on_reload(uvsig_reload_t* r) {
  CHECK(r == &reload);
  calls++;
  if (then != NULL)
    then();
  if (finishes)
    CHECK_EQ(uvsig_reload_finish(r), 0);
}

static void open_shutdown(int watch_ignored) {
  uvsig_shutdown_options_t options;

  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = LONG_MS;
  options.hard_ms = hard_ms;
  options.watch_ignored = watch_ignored;
  options.debounce_ms = 0;
  options.keep_sig = 1;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  reload.data = &calls;
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK(reload.data == &calls);
  CHECK(reload.shutdown == &sd);
}

static void start(int signum) {
  open_shutdown(0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, signum), 0);
  CHECK_EQ(uvsig_getsignal(signum), UVSIG_WATCHED);
}

static void end(void) {
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void ask_for_shutdown(void) {
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
}

/* --- One and one ---------------------------------------------------------- */

static void a_signal_reloads_once(void) {
  finishes = true;
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(calls, 1);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 2);
  run_idle(&f.loop);
  CHECK_EQ(calls, 2);
  end();
}

static void fifty_signals_while_one_runs_are_one_more(void) {
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  raise_times(SIGHUP, 50);
  run_idle(&f.loop);
  CHECK_EQ(calls, 1); /* one at a time */
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  CHECK_EQ(calls, 1); /* at the next turn */
  run_until(&f.loop, &calls, 2);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  CHECK_EQ(calls, 2);
  end();
}

static void hang_up_often(void) {
  raise_times(SIGHUP, calls == 1 ? 50 : 0);
}

static void fifty_signals_in_the_callback_are_one_more_too(void) {
  finishes = true;
  then = hang_up_often;
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 2);
  run_idle(&f.loop);
  CHECK_EQ(calls, 2);
  end();
}

static void fifty_signals_at_once_are_two_at_most(void) {
  finishes = true;
  start(SIGHUP);
  raise_times(SIGHUP, 50);
  run_until(&f.loop, &calls, 1);
  run_idle(&f.loop);
  CHECK(calls <= 2);
  end();
}

static void a_request_reloads_without_a_signal(void) {
  start(SIGHUP);
  CHECK_EQ(uvsig_reload_request(&reload), 0);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_request(&reload), 0);
  CHECK_EQ(uvsig_reload_request(&reload), 0);
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_until(&f.loop, &calls, 2);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  CHECK_EQ(calls, 2);
  end();
}

static void request_another(void) {
  if (calls < 5)
    CHECK_EQ(uvsig_reload_request(&reload), 0);
}

/* The loop goes round in between: it ends although there is always one. */
static void a_callback_may_ask_for_the_next_one(void) {
  finishes = true;
  then = request_another;
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 5);
  run_idle(&f.loop);
  CHECK_EQ(calls, 5);
  end();
}

static void any_signal_that_can_be_caught_will_do(void) {
  finishes = true;
  start(SIGUSR2);
  raise(SIGUSR2);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED); /* by the shutdown */
  end();
}

/* --- An ignored signal ---------------------------------------------------- */

static void an_ignored_signal_is_left_ignored(void) {
  finishes = true;
  CHECK_EQ(uvsig_ignore(SIGHUP), UVSIG_DEFAULT); /* nohup */
  open_shutdown(0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_IGNORED);
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(calls, 0);
  CHECK_EQ(uvsig_reload_request(&reload), 0); /* still to be had */
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_IGNORED);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void an_ignored_signal_is_taken_with_watch_ignored(void) {
  finishes = true;
  CHECK_EQ(uvsig_ignore(SIGHUP), UVSIG_DEFAULT);
  open_shutdown(1);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_IGNORED);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

/* --- Stopping ------------------------------------------------------------- */

static void after_stop_none_begins(void) {
  start(SIGHUP);
  raise(SIGHUP);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED); /* by the shutdown */
  run_idle(&f.loop);
  CHECK_EQ(calls, 0);
  CHECK_EQ(uvsig_reload_request(&reload), UV_EINVAL);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  end();
}

static void one_that_runs_goes_on_after_stop_and_what_is_pending_does_not(
    void) {
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED); /* by the shutdown */
  CHECK_EQ(uvsig_reload_request(&reload), UV_EINVAL);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  CHECK_EQ(calls, 1);
  memset(&reload, 0xa5, sizeof(reload)); /* its memory is ours */
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 2);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  end();
}

static void stop_reload(void) {
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
}

static void the_callback_may_stop(void) {
  finishes = true;
  then = stop_reload;
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_finish(&reload), UV_EINVAL);
  end();
}

static void it_may_be_started_again(void) {
  finishes = true;
  start(SIGHUP);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  end();
}

/* --- And a shutdown ------------------------------------------------------- */

static void end_shutdown(void) {
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void the_loop_ends_although_a_reload_is_started(void) {
  start(SIGHUP);
  ask_for_shutdown();
  end_shutdown();
  CHECK_EQ(calls, 0);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(sd.report.handles, 0);
}

static void a_shutdown_waits_for_the_one_that_runs(void) {
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  ask_for_shutdown();
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  end_shutdown();
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(sd.report.holds, 0);
}

static void a_shutdown_drops_the_one_that_is_pending(void) {
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  raise(SIGHUP);
  run_idle(&f.loop);
  ask_for_shutdown();
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  end_shutdown();
  CHECK_EQ(calls, 1);
  CHECK_EQ(sd.report.clean, 1);
}

static void once_a_shutdown_has_begun_none_begins(void) {
  uvsig_shutdown_hold_t hold = {.data = NULL};

  finishes = true;
  start(SIGHUP);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  ask_for_shutdown();
  CHECK_EQ(uvsig_reload_request(&reload), UV_ECANCELED);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_reload_request(&reload), UV_ECANCELED);
  raise(SIGHUP); /* and it does not end the process */
  run_idle(&f.loop);
  CHECK_EQ(calls, 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  end_shutdown();
  CHECK_EQ(calls, 0);
}

static void a_start_once_a_shutdown_has_begun_is_refused(void) {
  uvsig_shutdown_hold_t hold = {.data = NULL};

  open_shutdown(0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  ask_for_shutdown();
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), UV_ECANCELED);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), UV_ECANCELED);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED); /* by the shutdown */
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  end_shutdown();
}

/* It is never finished: it is a hold like any other. */
static void reload_without_end(unsigned ms) {
  hard_ms = ms;
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(sd.report.clean, 0);
  CHECK_EQ(sd.report.holds, 1);
  CHECK_STR(sd.report.held, "reload");
  CHECK_EQ(uvsig_reload_finish(&reload), 0); /* owed all the same */
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0); /* no deadline for the exit */
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void one_that_does_not_end_is_named_in_the_report(void) {
  CHECK_EQ(run_in_time(reload_without_end), 0);
}

/* --- Errors --------------------------------------------------------------- */

static void bad_arguments_of_init_are_refused(void) {
  uvsig_shutdown_t none;
  uvsig_reload_t other;
  uvsig_reload_t before;

  memset(&none, 0, sizeof(none));
  memset(&other, 0x5a, sizeof(other));
  before = other;
  start(SIGHUP);
  CHECK_EQ(uvsig_reload_init(NULL, &other), UV_EINVAL);
  CHECK_EQ(uvsig_reload_init(&none, &other), UV_EINVAL);
  CHECK_EQ(uvsig_reload_init(&sd, NULL), UV_EINVAL);
  CHECK_EQ(memcmp(&other, &before, sizeof(other)), 0);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_reload_init(&sd, &other), UV_EINVAL);
  CHECK_EQ(memcmp(&other, &before, sizeof(other)), 0);
  fixture_close(&f);
}

static void bad_arguments_of_start_are_refused(void) {
  const int bad[] = {0, -1, SIGKILL, SIGSTOP, UVSIG_NSIG, 4242};
  uvsig_reload_t none;
  size_t i;

  memset(&none, 0, sizeof(none));
  open_shutdown(0);
  CHECK_EQ(uvsig_reload_start(NULL, on_reload, SIGHUP), UV_EINVAL);
  CHECK_EQ(uvsig_reload_start(&none, on_reload, SIGHUP), UV_EINVAL);
  CHECK_EQ(uvsig_reload_start(&reload, NULL, SIGHUP), UV_EINVAL);
  for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    CHECK_EQ(uvsig_reload_start(&reload, on_reload, bad[i]), UV_EINVAL);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED);
  CHECK_EQ(uvsig_reload_request(&reload), UV_EINVAL); /* not started */
  CHECK_EQ(uvsig_reload_request(&none), UV_EINVAL);
  CHECK_EQ(uvsig_reload_request(NULL), UV_EINVAL);
  end();
}

static void a_second_start_is_busy_and_changes_nothing(void) {
  finishes = true;
  start(SIGHUP);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), UV_EBUSY);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGUSR2), UV_EBUSY);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  end();
}

static void what_does_not_run_cannot_be_finished(void) {
  uvsig_reload_t none;

  memset(&none, 0, sizeof(none));
  start(SIGHUP);
  CHECK_EQ(uvsig_reload_finish(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_reload_finish(&none), UV_EINVAL);
  CHECK_EQ(uvsig_reload_finish(&reload), UV_EINVAL);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), UV_EINVAL);
  CHECK_EQ(uvsig_reload_stop(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_reload_stop(&none), 0);
  end();
}

static void one_that_fails_is_finished(void) {
  start(SIGHUP);
  CHECK_EQ(uvsig_reload_fail(NULL, UV_EIO), UV_EINVAL);
  CHECK_EQ(uvsig_reload_fail(&reload, UV_EIO), UV_EINVAL);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_fail(&reload, 0), UV_EINVAL);
  CHECK_EQ(uvsig_reload_fail(&reload, EIO), UV_EINVAL);
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(calls, 1); /* it runs still */
  CHECK_EQ(uvsig_reload_fail(&reload, UV_EIO), 0);
  CHECK_EQ(uvsig_reload_fail(&reload, UV_EIO), UV_EINVAL);
  run_until(&f.loop, &calls, 2);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  end();
}

static void call_everything(void* argument) {
  uvsig_reload_t other;

  (void) argument;
  memset(&other, 0, sizeof(other));
  CHECK_EQ(uvsig_reload_init(&sd, &other), UV_EPERM);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGUSR2), UV_EPERM);
  CHECK_EQ(uvsig_reload_request(&reload), UV_EPERM);
  CHECK_EQ(uvsig_reload_finish(&reload), UV_EPERM);
  CHECK_EQ(uvsig_reload_fail(&reload, UV_EIO), UV_EPERM);
  CHECK_EQ(uvsig_reload_stop(&reload), UV_EPERM);
}

static void another_thread_is_refused_and_changes_nothing(void) {
  uv_thread_t thread;

  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uv_thread_create(&thread, call_everything, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED);
  end();
}

static void request_always(void) {
  CHECK_EQ(uvsig_reload_request(&reload), 0);
}

static void stop_by_timer(uv_timer_t* timer) {
  if (calls < 3)
    return;
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  uv_close((uv_handle_t*) timer, NULL);
}

static void one_that_always_asks_for_the_next_one_leaves_turns_to_others(void) {
  uv_timer_t timer;

  start(SIGHUP);
  then = request_always;
  finishes = true;
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, stop_by_timer, 1, 1), 0);
  CHECK_EQ(uvsig_reload_request(&reload), 0);
  while (uv_is_active((uv_handle_t*) &timer))
    uv_run(&f.loop, UV_RUN_ONCE);
  CHECK(calls >= 3);
  end();
}

/* --- In the child of a fork, and after the end ------------------------------ */

static void run_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  run_idle(&f.loop);
  CHECK_EQ(calls, 0);
}

/* Without uvsig_fork(): what was asked for is the parent's. */
static void the_child_of_a_fork_runs_none_of_its_parents(void) {
  start(SIGHUP);
  CHECK_EQ(uvsig_reload_request(&reload), 0);
  CHECK_EQ(run_forked(run_in_child), 0);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  end();
}

static void one_that_runs_when_all_is_given_up_may_finish(void) {
  start(SIGHUP);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), UV_EINVAL);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_signal_reloads_once),
      TEST(the_child_of_a_fork_runs_none_of_its_parents),
      TEST(one_that_runs_when_all_is_given_up_may_finish),
      TEST(fifty_signals_while_one_runs_are_one_more),
      TEST(fifty_signals_in_the_callback_are_one_more_too),
      TEST(fifty_signals_at_once_are_two_at_most),
      TEST(a_request_reloads_without_a_signal),
      TEST(a_callback_may_ask_for_the_next_one),
      TEST(one_that_always_asks_for_the_next_one_leaves_turns_to_others),
      TEST(any_signal_that_can_be_caught_will_do),
      TEST(an_ignored_signal_is_left_ignored),
      TEST(an_ignored_signal_is_taken_with_watch_ignored),
      TEST(after_stop_none_begins),
      TEST(one_that_runs_goes_on_after_stop_and_what_is_pending_does_not),
      TEST(the_callback_may_stop),
      TEST(it_may_be_started_again),
      TEST(the_loop_ends_although_a_reload_is_started),
      TEST(a_shutdown_waits_for_the_one_that_runs),
      TEST(a_shutdown_drops_the_one_that_is_pending),
      TEST(once_a_shutdown_has_begun_none_begins),
      TEST(a_start_once_a_shutdown_has_begun_is_refused),
      TEST(one_that_does_not_end_is_named_in_the_report),
      TEST(bad_arguments_of_init_are_refused),
      TEST(bad_arguments_of_start_are_refused),
      TEST(a_second_start_is_busy_and_changes_nothing),
      TEST(what_does_not_run_cannot_be_finished),
      TEST(one_that_fails_is_finished),
      TEST(another_thread_is_refused_and_changes_nothing),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
