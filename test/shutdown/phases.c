/* SPDX-License-Identifier: MIT
 *
 * A shutdown, seen from outside: what each signal and each request begins, the
 * phases and their times.
 */

#include "../lib/server.h"

#include <sys/wait.h>
#include <unistd.h>

static void start_job(void) {
  server_start(serve_job);
  server_expect("r");
}

static void release_job(void) {
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
}

static void check_one_clean_signal(int signum) {
  CHECK_EQ(ended.report.signum, signum);
  CHECK_EQ(ended.report.pid, getpid());
  CHECK_EQ(ended.report.uid, getuid());
  CHECK_EQ(ended.report.signals, 1);
  CHECK_EQ(ended.report.clean, 1);
}

static void check_job_was_held(void) {
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.holds, 1);
  CHECK_STR(ended.report.held, "job");
}

/* --- Signals -------------------------------------------------------------- */

static void check_first_signal(int signum) {
  server_init();
  start_job();
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_RUNNING);
  server_signal(signum);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_dies(signum);
  check_one_clean_signal(signum);
}

static void the_first_sigterm_drains_and_the_process_dies_by_it(void) {
  check_first_signal(SIGTERM);
}

static void the_first_sigint_drains_and_the_process_dies_by_it(void) {
  check_first_signal(SIGINT);
}

static void the_second_signal_after_the_debounce_forces(void) {
  server_init();
  server.options.debounce_ms = 50;
  start_job();
  server_signal(SIGTERM);
  server_expect("d");
  server_silent(100);
  server_signal(SIGTERM);
  server_expect("f");
  release_job();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.signals, 2);
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= 99);
}

static void a_forced_shutdown_ends_as_soon_as_all_is_finished(void) {
  server_init();
  server.options.debounce_ms = 0;
  start_job();
  server_signal(SIGTERM);
  server_expect("d");
  server_signal(SIGINT);
  server_expect("f");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_FORCING);
  release_job();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.holds, 0);
}

static void the_third_signal_ends_the_process(void) {
  server_init();
  server.options.debounce_ms = 0;
  start_job();
  server_signal(SIGTERM);
  server_expect("d");
  server_signal(SIGTERM);
  server_expect("f");
  server_signal(SIGTERM);
  server_exits_at_once(128 + SIGTERM);
}

static void with_signalfd_signals_drain_force_and_end(void) {
  server_init();
  server_use_signalfd();
  server.options.debounce_ms = 0;
  start_job();
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  server_signal(SIGINT);
  server_expect("f");
  server_signal(SIGTERM);
  server_exits_at_once(128 + SIGTERM);
}

static void with_signalfd_a_shutdown_is_as_clean(void) {
  server_init();
  server_use_signalfd();
  start_job();
  server_signal(SIGTERM);
  server_expect("d");
  release_job();
  server_dies(SIGTERM);
  check_one_clean_signal(SIGTERM);
}

static void both_signals_at_once_are_one_graceful_shutdown(void) {
  int status;

  server_init();
  start_job();
  server_signal(SIGINT);
  server_signal(SIGTERM);
  server_expect("d");
  server_ask_until(SIGINT, 1);
  server_ask_until(SIGTERM, 1);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  status = server_end();
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), ended.report.signum);
  CHECK(ended.report.signum == SIGINT || ended.report.signum == SIGTERM);
  check_one_clean_signal(ended.report.signum);
}

static void signals_within_the_debounce_do_not_count(void) {
  long i;

  server_init();
  start_job();
  for (i = 1; i <= 5; i++)
    server_catch(SIGTERM, i);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_dies(SIGTERM);
  check_one_clean_signal(SIGTERM);
}

static void with_counts_of_0_no_signal_forces_or_ends(void) {
  long i;

  server_init();
  server.options.debounce_ms = 0;
  server.options.forced_count = 0;
  server.options.exit_count = 0;
  start_job();
  for (i = 1; i <= 5; i++)
    server_catch(SIGTERM, i);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.report.signals, 5);
}

static void the_counts_are_options(void) {
  server_init();
  server.options.debounce_ms = 0;
  server.options.forced_count = 3;
  server.options.exit_count = 5;
  start_job();
  server_catch(SIGTERM, 1);
  server_catch(SIGTERM, 2);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  server_catch(SIGTERM, 3);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_FORCING);
  server_catch(SIGTERM, 4);
  server_expect("df");
  server_signal(SIGTERM);
  server_exits_at_once(128 + SIGTERM);
}

static void with_an_exit_count_of_1_the_first_signal_ends_the_process(void) {
  server_init();
  server.options.exit_count = 1;
  start_job();
  server_signal(SIGINT);
  server_exits_at_once(128 + SIGINT);
}

/* --- nginx's habit -------------------------------------------------------- */

static void init_like_nginx(void) {
  server_init();
  server.options.graceful = set_of(SIGQUIT);
  server.options.forced = set_of(SIGTERM);
  sigaddset(&server.options.forced, SIGINT);
  server.options.forced_count = 0;
}

static void a_signal_that_is_set_to_be_graceful_is(void) {
  init_like_nginx();
  start_job();
  server_signal(SIGQUIT);
  server_expect("d");
  release_job();
  server_dies(SIGQUIT);
  check_one_clean_signal(SIGQUIT);
}

static void check_forced_at_once(int signum) {
  init_like_nginx();
  server.options.grace_ms = LONG_MS;
  server.options.hard_ms = LONG_MS;
  start_job();
  server_signal(signum);
  server_await('f');
  release_job();
  server_dies(signum);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.signum, signum);
}

static void a_signal_that_is_set_to_force_forces_at_once(void) {
  check_forced_at_once(SIGTERM);
  check_forced_at_once(SIGINT);
}

static void a_signal_that_is_set_to_force_ends_a_graceful_drain(void) {
  init_like_nginx();
  server.options.exit_count = 0;
  server.options.debounce_ms = 0;
  server.options.grace_ms = LONG_MS;
  server.options.hard_ms = LONG_MS;
  start_job();
  server_catch(SIGQUIT, 1);
  server_catch(SIGQUIT, 2);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  server_signal(SIGTERM);
  server_expect("f");
  release_job();
  server_dies(SIGQUIT);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.signals, 3);
}

/* --- Before anything runs ------------------------------------------------- */

static void serve_late_listener(void) {
  server_open();
  say('o');
  server_sleep();
  CHECK_EQ(server_listen(), UV_ECANCELED);
  server_run();
}

static void a_signal_before_the_listener_exists_keeps_it_from_existing(void) {
  server_init();
  server_start(serve_late_listener);
  server_expect("o");
  server_signal(SIGTERM);
  server_wake();
  server_expect("rd");
  server_dies(SIGTERM);
  check_one_clean_signal(SIGTERM);
}

static void serve_own_signal(void) {
  server_open();
  raise(SIGTERM);
  server_run();
}

static void a_signal_before_the_loop_runs_is_not_lost(void) {
  pid_t pid;

  server_init();
  server_start(serve_own_signal);
  pid = server_pid;
  server_expect("rd");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.pid, pid);
  CHECK_EQ(ended.report.clean, 1);
}

/* --- Inherited dispositions ----------------------------------------------- */

static void an_ignored_signal_is_left_ignored(void) {
  CHECK_EQ(uvsig_ignore(SIGHUP), UVSIG_DEFAULT); /* nohup */
  CHECK_EQ(uvsig_ignore(SIGINT), UVSIG_DEFAULT); /* a background job */
  server_init();
  sigaddset(&server.options.graceful, SIGHUP);
  start_job();
  server_signal(SIGHUP);
  server_signal(SIGINT);
  CHECK_EQ(server_ask(SIGHUP), 0);
  CHECK_EQ(server_ask(SIGINT), 0);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_RUNNING);
  server_signal(SIGTERM);
  server_expect("d");
  release_job();
  server_dies(SIGTERM);
  check_one_clean_signal(SIGTERM);
}

static void an_ignored_signal_is_taken_with_watch_ignored(void) {
  CHECK_EQ(uvsig_ignore(SIGINT), UVSIG_DEFAULT);
  server_init();
  server.options.watch_ignored = 1;
  start_job();
  server_signal(SIGINT);
  server_expect("d");
  release_job();
  server_dies(SIGINT);
  check_one_clean_signal(SIGINT);
}

/* --- Who sent it ---------------------------------------------------------- */

static void the_report_names_the_sender_of_the_first_signal(void) {
  pid_t sender;

  server_init();
  start_job();
  fflush(NULL);
  sender = fork();
  CHECK(sender >= 0);
  if (sender == 0) {
    server_signal(SIGTERM);
    _exit(0);
  }
  server_expect("d");
  CHECK_EQ(UNINTERRUPTED(waitpid(sender, NULL, 0)), sender);
  server_catch(SIGTERM, 2); /* ours does not matter */
  release_job();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.pid, sender);
  CHECK_EQ(ended.report.uid, getuid());
}

/* --- Requests ------------------------------------------------------------- */

static long request(int question) {
  switch (question) {
  case 'g':
    return uvsig_shutdown_request(&server.sd, "asked", UVSIG_SHUTDOWN_GRACEFUL);
  case 'f':
    return uvsig_shutdown_request(&server.sd, "again", UVSIG_SHUTDOWN_FORCED);
  default:
    return uvsig_shutdown_request(&server.sd, NULL, UVSIG_SHUTDOWN_IMMEDIATE);
  }
}

static void start_job_with_requests(void) {
  server_init();
  server.on_question = request;
  start_job();
}

static void check_request(const char* reason) {
  CHECK_EQ(ended.report.signum, 0);
  CHECK_EQ(ended.report.pid, 0);
  CHECK_EQ(ended.report.signals, 0);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_STR(ended.reason, reason);
}

static void a_request_from_a_callback_drains_and_may_be_repeated(void) {
  start_job_with_requests();
  CHECK_EQ(server_ask('g'), 0);
  CHECK_EQ(server_ask('g'), 0);
  server_expect("d");
  CHECK_EQ(server_ask('g'), 0);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_exits(0); /* there is no signal to die by */
  check_request("asked");
}

static void a_request_never_lowers_the_level(void) {
  start_job_with_requests();
  CHECK_EQ(server_ask('f'), 0);
  server_await('f');
  CHECK_EQ(server_ask('g'), 0);
  server_ask(SERVER_PHASE);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_FORCING);
  release_job();
  server_exits(0);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_STR(ended.reason, "again");
}

/* Within the debounce, which is for signals. */
static void a_request_forces_what_a_signal_has_begun(void) {
  start_job_with_requests();
  server_signal(SIGINT);
  server_expect("d");
  CHECK_EQ(server_ask('f'), 0);
  server_expect("f");
  release_job();
  server_dies(SIGINT);
  CHECK_EQ(ended.report.signals, 1);
}

static void an_immediate_request_ends_the_process_like_sigterm(void) {
  server_init();
  server.on_question = request;
  server.options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  server_start(serve_job);
  server_expect("r");
  server_tell('i');
  server_exits_at_once(128 + SIGTERM);
}

static void an_immediate_request_ends_with_the_signal_that_began(void) {
  start_job_with_requests();
  server_signal(SIGINT);
  server_expect("d");
  server_tell('i');
  server_exits_at_once(128 + SIGINT);
}

static uv_thread_t thread;

/* The loop sleeps by then, or is about to: it has to be woken. */
static void request_from_thread(void* argument) {
  (void) argument;
  uv_sleep(20);
  CHECK_EQ(
      uvsig_shutdown_request(&server.sd, "thread", UVSIG_SHUTDOWN_GRACEFUL), 0);
}

static void serve_thread(void) {
  server_open();
  CHECK_EQ(uv_thread_create(&thread, request_from_thread, NULL), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_shutdown_request(&server.sd, "late", UVSIG_SHUTDOWN_GRACEFUL),
           UV_EALREADY);
  server_finish();
}

static void a_request_from_a_thread_wakes_the_loop(void) {
  server_init();
  server_start(serve_thread);
  server_expect("rd");
  server_exits(0);
  check_request("thread");
}

static void request_from_handler(int signum) {
  (void) signum;
  uvsig_shutdown_request(&server.sd, "handler", UVSIG_SHUTDOWN_GRACEFUL);
}

static void serve_handler(void) {
  install_handler(SIGUSR1, request_from_handler);
  serve_nothing();
}

static void a_request_from_a_signal_handler_wakes_the_loop(void) {
  server_init();
  server_start(serve_handler);
  server_expect("r");
  server_signal(SIGUSR1);
  server_expect("d");
  server_exits(0);
  check_request("handler");
}

/* --- Phases --------------------------------------------------------------- */

static void the_phases_come_in_order_and_each_takes_its_time(void) {
  int phase;

  do {
    server_init();
    server.options.delay_ms = 50;
    server.options.grace_ms = 50;
    server.options.hard_ms = 50;
    start_job();
    server_silent(50);
    server_signal(SIGTERM);
  } while (server_is_overdue("ndf"));
  server_dies(SIGTERM);
  check_job_was_held();
  for (phase = 0; phase <= UVSIG_SHUTDOWN_FORCING; phase++)
    CHECK(ended.report.phase_ms[phase] >= 49);
  CHECK_EQ(ended.report.signals, 1);
}

static void times_of_0_are_none_at_all(void) {
  skip_under_valgrind("there are 200 ms from the signal to the limit");
  do {
    server_init();
    server.options.grace_ms = 0;
    server.options.hard_ms = 0;
    start_job();
    server_signal(SIGTERM);
  } while (server_is_overdue("df"));
  server_dies(SIGTERM);
  check_job_was_held();
}

static void with_a_time_for_the_whole_draining_has_what_is_left(void) {
  server_init();
  server.options.total_ms = LONG_MS + 100; /* hard_ms is LONG_MS */
  start_job();
  server_signal(SIGTERM);
  server_expect("df");
  release_job();
  server_dies(SIGTERM);
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= 99);
}

static void a_server_that_is_not_ready_still_serves(void) {
  int before;
  int after;

  server_init();
  server.options.debounce_ms = 0;
  server.options.delay_ms = LONG_MS;
  server_start(serve_connections);
  server_expect("r");
  before = client_connect();
  client_send(before, "g");
  client_expect(before, "ok");
  CHECK_EQ(server_ask(SERVER_IS_READY), 1);
  server_signal(SIGTERM);
  server_expect("n");
  CHECK_EQ(server_ask(SERVER_IS_READY), 0);
  after = client_connect();
  client_send(after, "g");
  client_expect(after, "ok");
  client_send(before, "g");
  client_expect(before, "ok");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_NOT_READY);
  server_signal(SIGTERM);
  server_await('f');
  client_expect_end(before);
  client_expect_end(after);
  server_dies(SIGTERM);
  CHECK_EQ(ended.accepted, 2);
}

static void with_nothing_to_wait_for_it_is_done_at_once(void) {
  server_init();
  server_start(serve_connections);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  check_one_clean_signal(SIGTERM);
  CHECK_EQ(ended.report.closed + ended.report.forced + ended.report.open, 0);
  CHECK_EQ(ended.report.handles, SERVER_HANDLES);
  CHECK_EQ(ended.report.requests, 0);
}

static void extend_draining(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    CHECK_EQ(uvsig_shutdown_extend(&server.sd, 200), 0);
  else if (phase > UVSIG_SHUTDOWN_DRAINING)
    CHECK_EQ(uvsig_shutdown_extend(&server.sd, 200), UV_ECANCELED);
}

static void extend_makes_draining_longer(void) {
  server_init();
  server.options.grace_ms = 50;
  server.on_phase = extend_draining;
  start_job();
  server_signal(SIGTERM);
  server_expect("df");
  release_job();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= 249);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_first_sigterm_drains_and_the_process_dies_by_it),
      TEST(the_first_sigint_drains_and_the_process_dies_by_it),
      TEST(the_second_signal_after_the_debounce_forces),
      TEST(a_forced_shutdown_ends_as_soon_as_all_is_finished),
      TEST(the_third_signal_ends_the_process),
      TEST(with_signalfd_signals_drain_force_and_end),
      TEST(with_signalfd_a_shutdown_is_as_clean),
      TEST(both_signals_at_once_are_one_graceful_shutdown),
      TEST(signals_within_the_debounce_do_not_count),
      TEST(with_counts_of_0_no_signal_forces_or_ends),
      TEST(the_counts_are_options),
      TEST(with_an_exit_count_of_1_the_first_signal_ends_the_process),
      TEST(a_signal_that_is_set_to_be_graceful_is),
      TEST(a_signal_that_is_set_to_force_forces_at_once),
      TEST(a_signal_that_is_set_to_force_ends_a_graceful_drain),
      TEST(a_signal_before_the_listener_exists_keeps_it_from_existing),
      TEST(a_signal_before_the_loop_runs_is_not_lost),
      TEST(an_ignored_signal_is_left_ignored),
      TEST(an_ignored_signal_is_taken_with_watch_ignored),
      TEST(the_report_names_the_sender_of_the_first_signal),
      TEST(a_request_from_a_callback_drains_and_may_be_repeated),
      TEST(a_request_never_lowers_the_level),
      TEST(a_request_forces_what_a_signal_has_begun),
      TEST(an_immediate_request_ends_the_process_like_sigterm),
      TEST(an_immediate_request_ends_with_the_signal_that_began),
      TEST(a_request_from_a_thread_wakes_the_loop),
      TEST(a_request_from_a_signal_handler_wakes_the_loop),
      TEST(the_phases_come_in_order_and_each_takes_its_time),
      TEST(times_of_0_are_none_at_all),
      TEST(with_a_time_for_the_whole_draining_has_what_is_left),
      TEST(a_server_that_is_not_ready_still_serves),
      TEST(with_nothing_to_wait_for_it_is_done_at_once),
      TEST(extend_makes_draining_longer),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
