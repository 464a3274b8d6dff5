/* SPDX-License-Identifier: MIT
 *
 * SIGHUP, which begins a shutdown where its action is the default, the options
 * do not list it, and nothing else takes it. It is not counted.
 */

#include "../lib/server.h"

#include <sys/wait.h>
#include <unistd.h>

/* --- Seen from outside ---------------------------------------------------- */

static void start_job(void) {
  server_start(serve_job);
  server_expect("r");
}

static void init_without_debounce(void) {
  server_init();
  server.options.debounce_ms = 0;
}

static void release_job(void) {
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
}

static void hang_up_often(void) {
  long i;

  for (i = 1; i <= 5; i++)
    server_catch(SIGHUP, i);
}

static void sighup_drains_and_the_process_dies_by_it(void) {
  server_init();
  start_job();
  server_signal(SIGHUP);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_dies(SIGHUP);
  CHECK_EQ(ended.report.signum, SIGHUP);
  CHECK_EQ(ended.report.pid, getpid());
  CHECK_EQ(ended.report.uid, getuid());
  CHECK_EQ(ended.report.signals, 0);
  CHECK_EQ(ended.report.clean, 1);
}

static void sighup_never_forces_or_ends(void) {
  init_without_debounce();
  start_job();
  hang_up_often();
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_dies(SIGHUP);
  CHECK_EQ(ended.report.signals, 0);
  CHECK_EQ(ended.report.clean, 1);
}

static void sighup_after_sigterm_changes_nothing(void) {
  init_without_debounce();
  start_job();
  server_catch(SIGTERM, 1);
  hang_up_often();
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.signum, SIGTERM);
  CHECK_EQ(ended.report.signals, 1);
  CHECK_EQ(ended.report.clean, 1);
}

static long request(int question) {
  CHECK_EQ(question, 'g');
  return uvsig_shutdown_request(&server.sd, "asked", UVSIG_SHUTDOWN_GRACEFUL);
}

static void sighup_after_a_request_changes_nothing(void) {
  init_without_debounce();
  server.on_question = request;
  start_job();
  CHECK_EQ(server_ask('g'), 0);
  server_expect("d");
  hang_up_often();
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  release_job();
  server_exits(0);
  CHECK_STR(ended.reason, "asked");
  CHECK_EQ(ended.report.clean, 1);
}

static void after_sighup_the_first_sigterm_counts_as_the_first(void) {
  init_without_debounce();
  start_job();
  server_catch(SIGHUP, 1);
  server_catch(SIGTERM, 1);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  server_catch(SIGTERM, 2);
  server_expect("f");
  release_job();
  server_dies(SIGHUP); /* which began it */
  CHECK_EQ(ended.report.signum, SIGHUP);
  CHECK_EQ(ended.report.signals, 2);
  CHECK_EQ(ended.report.clean, 0);
}

static void after_sighup_the_third_sigterm_ends_the_process(void) {
  init_without_debounce();
  start_job();
  server_catch(SIGHUP, 1);
  server_catch(SIGTERM, 1);
  server_catch(SIGTERM, 2);
  server_expect("df");
  server_signal(SIGTERM);
  server_exits_at_once(128 + SIGTERM);
}

/* Only signals that count hold others back. */
static void sighup_begins_no_debounce(void) {
  server_init();
  server.options.forced_count = 1;
  start_job();
  server_signal(SIGHUP);
  server_expect("d");
  server_signal(SIGTERM);
  server_expect("f");
  release_job();
  server_dies(SIGHUP);
  CHECK_EQ(ended.report.signals, 1);
}

static void list_sighup(void) {
  init_without_debounce();
  sigaddset(&server.options.graceful, SIGHUP);
}

static void a_sighup_that_is_listed_counts(void) {
  list_sighup();
  start_job();
  server_signal(SIGHUP);
  server_expect("d");
  server_signal(SIGHUP);
  server_expect("f");
  release_job();
  server_dies(SIGHUP);
  CHECK_EQ(ended.report.signals, 2);
}

static void the_third_sighup_that_is_listed_ends_the_process(void) {
  list_sighup();
  start_job();
  server_catch(SIGTERM, 1);
  server_catch(SIGHUP, 1);
  server_expect("df");
  server_signal(SIGHUP);
  server_exits_at_once(128 + SIGHUP);
}

static long get_stuck(int question) {
  CHECK_EQ(question, 'S');
  say('s');
  for (;;)
    ;
}

static void a_stuck_process_ends_at_the_limit_of_a_sighup(void) {
  if (under_thread_sanitizer())
    skip_test("under ThreadSanitizer no handler runs in a loop without calls");
  server_init();
  server.options.grace_ms = 50;
  server.options.hard_ms = 50;
  server.on_question = get_stuck;
  start_job();
  server_tell('S');
  server_expect("s");
  server_signal(SIGHUP);
  server_exits_at_once(128 + SIGHUP);
}

/* --- Seen from inside ----------------------------------------------------- */

static struct fixture f;
static struct fixture g;
static uvsig_shutdown_t sd;
static uvsig_shutdown_t other;
static uvsig_shutdown_options_t options;
static uvsig_shutdown_hold_t hold;

static void set_options(void) {
  uvsig_shutdown_options_init(&options);
  options.debounce_ms = 0;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
}

static void init_shutdown(void) {
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
}

static void open_shutdown(void) {
  set_options();
  fixture_open(&f, NULL);
  init_shutdown();
}

static void close_shutdown(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void check_running(void) {
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 1);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
}

static void check_draining(void) {
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
}

static void hang_up_and_check_draining(void) {
  raise(SIGHUP);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 0); /* before the loop has run */
  check_draining();
}

/* --- What else may take it ------------------------------------------------ */

static unsigned long reloads;

static void on_reload(uvsig_reload_t* r) {
  reloads++;
  CHECK_EQ(uvsig_reload_finish(r), 0);
}

static void with_a_reload_on_sighup_it_is_a_reload(void) {
  uvsig_reload_t reload;

  open_shutdown();
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &reloads, 1);
  check_running();
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  hang_up_and_check_draining();
  CHECK_EQ(reloads, 1);
  close_shutdown();
}

/* A watcher on `watched`, from before or after the shutdown's beginning. */
static void check_watcher(struct fixture* watched, bool is_first) {
  struct recorder own;

  set_options();
  fixture_open(&f, NULL);
  if (watched != &f)
    fixture_open(watched, NULL);
  if (!is_first)
    init_shutdown();
  recorder_init(&own, &watched->sig);
  recorder_start(&own, SIGHUP);
  if (is_first)
    init_shutdown();
  raise(SIGHUP);
  run_until(&watched->loop, &own.signals, 1);
  check_running();
  CHECK_EQ(uvsig_watcher_stop(&own.w), 0);
  hang_up_and_check_draining();
  CHECK_EQ(own.signals, 1);
  if (watched != &f)
    fixture_close(watched);
  close_shutdown();
}

static void a_watcher_of_ones_own_takes_it(void) {
  check_watcher(&f, false);
}

static void a_watcher_from_before_takes_it(void) {
  check_watcher(&f, true);
}

static void a_watcher_on_another_loop_takes_it(void) {
  check_watcher(&g, false);
}

static void a_watcher_on_another_loop_from_before_takes_it(void) {
  check_watcher(&g, true);
}

static unsigned long waits;

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  (void) req;
  CHECK_EQ(status, 0);
  CHECK_EQ(info->signum, SIGHUP);
  waits++;
}

static void a_wait_takes_it(void) {
  uvsig_wait_t wait;
  sigset_t set = set_of(SIGHUP);

  open_shutdown();
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, 1e10, on_wait), 0);
  raise(SIGHUP);
  run_until(&f.loop, &waits, 1);
  check_running();
  hang_up_and_check_draining(); /* the wait is over */
  CHECK_EQ(waits, 1);
  close_shutdown();
}

static volatile sig_atomic_t handled;

static void handle(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) info;
  CHECK_EQ(signum, SIGHUP);
  handled++;
}

static void a_watcher_with_a_handler_from_before_takes_it(void) {
  struct recorder own;

  set_options();
  fixture_open(&f, NULL);
  recorder_init(&own, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&own.w, handle), 0);
  recorder_start(&own, SIGHUP);
  init_shutdown();
  raise(SIGHUP);
  CHECK_EQ(handled, 1);
  run_until(&f.loop, &own.signals, 1);
  check_running();
  /* The other signals are the shutdown's. */
  raise(SIGTERM);
  check_draining();
  close_shutdown();
}

static void a_watcher_with_a_handler_is_refused_later(void) {
  struct recorder own;

  open_shutdown();
  recorder_init(&own, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&own.w, handle), 0);
  CHECK_EQ(uvsig_watcher_start(&own.w, record, SIGHUP), UV_EBUSY);
  hang_up_and_check_draining();
  CHECK_EQ(handled, 0);
  close_shutdown();
}

/* As for any signal that the options list. */
static void a_sighup_that_is_listed_is_the_watchers_and_the_shutdowns(void) {
  struct recorder own;

  set_options();
  sigaddset(&options.graceful, SIGHUP);
  fixture_open(&f, NULL);
  init_shutdown();
  recorder_init(&own, &f.sig);
  recorder_start(&own, SIGHUP);
  hang_up_and_check_draining();
  CHECK_EQ(own.signals, 1);
  close_shutdown();
}

/* --- What it was before --------------------------------------------------- */

static void check_ignored(int watch_ignored) {
  set_options();
  options.watch_ignored = watch_ignored;
  fixture_open(&f, NULL);
  init_shutdown();
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_IGNORED);
  raise(SIGHUP);
  check_running();
  close_shutdown();
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_IGNORED);
}

static void a_sighup_that_is_ignored_stays_so(void) {
  CHECK_EQ(uvsig_ignore(SIGHUP), UVSIG_DEFAULT); /* nohup */
  check_ignored(0);
  check_ignored(1);
}

static void the_programs_own_handler_is_called_and_begins_nothing(void) {
  install_handler(SIGHUP, count_foreign);
  open_shutdown();
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_FOREIGN);
  raise(SIGHUP);
  CHECK_EQ(foreign_calls, 1);
  check_running();
  close_shutdown();
  CHECK(action_of(SIGHUP).sa_handler == count_foreign);
}

static void hang_up_after_close(void) {
  open_shutdown();
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  raise(SIGHUP);
}

static void after_close_sighup_has_its_default_action(void) {
  int status = run_forked(hang_up_after_close);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGHUP);
}

static void after_done_sighup_does_nothing(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_IGNORED);
  raise(SIGHUP);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_DEFAULT);
  fixture_close(&f);
}

/* --- Two loops ------------------------------------------------------------ */

static void finish(struct fixture* loop, uvsig_shutdown_t* shutdown) {
  uv_run(&loop->loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(shutdown), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(shutdown->report.signum, SIGHUP);
  CHECK_EQ(shutdown->report.pid, getpid());
  CHECK_EQ(shutdown->report.clean, 1);
  CHECK_EQ(uvsig_shutdown_close(shutdown, NULL), 0);
  fixture_close(loop);
}

/* Neither shutdown counts as a use of SIGHUP for the other. */
static void two_loops_drain_on_one_sighup(void) {
  open_shutdown();
  fixture_open(&g, NULL);
  CHECK_EQ(uvsig_shutdown_init(&g.sig, &other, &options), 0);
  hang_up_and_check_draining();
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  finish(&f, &sd);
  finish(&g, &other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(sighup_drains_and_the_process_dies_by_it),
      TEST(sighup_never_forces_or_ends),
      TEST(sighup_after_sigterm_changes_nothing),
      TEST(sighup_after_a_request_changes_nothing),
      TEST(after_sighup_the_first_sigterm_counts_as_the_first),
      TEST(after_sighup_the_third_sigterm_ends_the_process),
      TEST(sighup_begins_no_debounce),
      TEST(a_sighup_that_is_listed_counts),
      TEST(the_third_sighup_that_is_listed_ends_the_process),
      TEST(a_stuck_process_ends_at_the_limit_of_a_sighup),
      TEST(with_a_reload_on_sighup_it_is_a_reload),
      TEST(a_watcher_of_ones_own_takes_it),
      TEST(a_watcher_from_before_takes_it),
      TEST(a_watcher_on_another_loop_takes_it),
      TEST(a_watcher_on_another_loop_from_before_takes_it),
      TEST(a_wait_takes_it),
      TEST(a_watcher_with_a_handler_from_before_takes_it),
      TEST(a_watcher_with_a_handler_is_refused_later),
      TEST(a_sighup_that_is_listed_is_the_watchers_and_the_shutdowns),
      TEST(a_sighup_that_is_ignored_stays_so),
      TEST(the_programs_own_handler_is_called_and_begins_nothing),
      TEST(after_close_sighup_has_its_default_action),
      TEST(after_done_sighup_does_nothing),
      TEST(two_loops_drain_on_one_sighup),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
