/* SPDX-License-Identifier: MIT
 *
 * Every error code of the shutdown's functions, and that after an error all is
 * as it was. That of reloads is in reload.c, of lingering in linger.c.
 */

#include "../lib/harness.h"

#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static struct fixture f;
static uvsig_shutdown_t sd;
static unsigned closed;
static unsigned phases;

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  CHECK(shutdown == &sd);
  CHECK(phase > UVSIG_SHUTDOWN_RUNNING);
  phases++;
}

static void on_close(uvsig_shutdown_t* shutdown) {
  CHECK(shutdown == &sd);
  closed++;
}

static void on_listener(uvsig_shutdown_listener_t* l) {
  (void) l;
}

static void on_connection(uvsig_shutdown_connection_t* c,
                          uvsig_shutdown_event_t event) {
  if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    CHECK_EQ(uvsig_shutdown_remove_connection(c), 0);
}

static void open_shutdown(void) {
  uvsig_shutdown_options_t options;

  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
  options.phase_cb = on_phase;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

/* 128 bytes where a pointer has 8: a server has one for each client. */
static void a_connection_is_as_large_as_16_pointers_at_most(void) {
  CHECK(sizeof(uvsig_shutdown_connection_t) <= 16 * sizeof(void*));
}

/* It runs as if nothing had been called, and still works. */
static void check_running(void) {
  run_idle(&f.loop);
  CHECK_EQ(phases, 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_WATCHED);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(sd.report.signum, SIGTERM);
  CHECK_EQ(sd.report.signals, 1);
  CHECK_EQ(sd.report.clean, 1);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

/* --- Options -------------------------------------------------------------- */

static void the_defaults_are_those_of_the_header(void) {
  uvsig_shutdown_options_t options;
  size_t i;
  int signum;

  memset(&options, 0xa5, sizeof(options));
  uvsig_shutdown_options_init(&options);
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    CHECK_EQ(sigismember(&options.graceful, signum) == 1,
             signum == SIGINT || signum == SIGTERM);
    CHECK(sigismember(&options.forced, signum) != 1);
  }
  CHECK_EQ(options.forced_count, 2);
  CHECK_EQ(options.exit_count, 3);
  CHECK_EQ(options.debounce_ms, 200);
  CHECK_EQ(options.watch_ignored, 0);
  CHECK_EQ(options.delay_ms, 0);
  CHECK_EQ(options.grace_ms, 8000);
  CHECK_EQ(options.hard_ms, 1000);
  CHECK_EQ(options.linger_ms, 500);
  CHECK_EQ(options.spread_ms, 5000);
  CHECK_EQ(options.fresh_ms, 500);
  CHECK_EQ(options.idle, UVSIG_SHUTDOWN_IDLE_CLOSE);
  CHECK_EQ(options.exit, UVSIG_SHUTDOWN_EXIT_SIGNAL);
  CHECK_EQ(options.log, 0);
  CHECK_EQ(options.total_ms, 0);
  CHECK_EQ(options.notify, 1);
  CHECK_EQ(options.keep_sig, 0);
  CHECK(options.phase_cb == NULL);
  for (i = 0; i < sizeof(options.reserved) / sizeof(*options.reserved); i++)
    CHECK_EQ(options.reserved[i], 0);
  uvsig_shutdown_options_init(NULL);
}

static uvsig_shutdown_options_t options;

/* Nothing is taken, and the memory is not even read. */
static void refuse(const uvsig_shutdown_options_t* bad) {
  uvsig_shutdown_t other;
  uvsig_shutdown_t before;

  memset(&other, 0x5a, sizeof(other));
  before = other;
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &other, bad), UV_EINVAL);
  CHECK_EQ(memcmp(&other, &before, sizeof(other)), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  uvsig_shutdown_options_init(&options);
}

static void an_option_out_of_range_is_refused(void) {
  size_t i;

  fixture_open(&f, NULL);
  uvsig_shutdown_options_init(&options);
  options.watch_ignored = 2;
  refuse(&options);
  options.watch_ignored = -1;
  refuse(&options);
  options.keep_sig = 2;
  refuse(&options);
  options.log = 2;
  refuse(&options);
  options.notify = 3;
  refuse(&options);
  options.idle = (uvsig_shutdown_idle_t) 3;
  refuse(&options);
  options.idle = (uvsig_shutdown_idle_t) -1;
  refuse(&options);
  options.exit = (uvsig_shutdown_exit_t) 3;
  refuse(&options);
  for (i = 0; i < sizeof(options.reserved) / sizeof(*options.reserved); i++) {
    options.reserved[i] = 1;
    refuse(&options);
  }
  memset(&options, 0xa5, sizeof(options));
  refuse(&options);
  fixture_close(&f);
}

/* By hand, or by a designated initialiser: no signal would be watched. */
static void options_that_were_not_initialised_are_refused(void) {
  const uvsig_shutdown_options_t by_hand = {.grace_ms = 5000, .hard_ms = 1000};

  fixture_open(&f, NULL);
  memset(&options, 0, sizeof(options));
  refuse(&options);
  refuse(&by_hand);
  fixture_close(&f);
}

static void a_whole_that_is_less_than_its_parts_is_refused(void) {
  fixture_open(&f, NULL);
  uvsig_shutdown_options_init(&options);
  options.delay_ms = 200;
  options.hard_ms = 100;
  options.total_ms = 299;
  refuse(&options);
  options.delay_ms = UINT_MAX;
  options.hard_ms = UINT_MAX;
  options.total_ms = UINT_MAX;
  refuse(&options);
  options.delay_ms = 200;
  options.hard_ms = 100;
  options.total_ms = 300;
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void a_set_that_names_what_cannot_be_caught_is_refused(void) {
  fixture_open(&f, NULL);
  uvsig_shutdown_options_init(&options);
  sigaddset(&options.graceful, SIGUSR1);
  sigaddset(&options.graceful, SIGKILL);
  refuse(&options);
  sigaddset(&options.forced, SIGUSR1);
  sigaddset(&options.forced, SIGSTOP);
  refuse(&options);
  fixture_close(&f);
}

/* --- Init ----------------------------------------------------------------- */

static void init_refuses_what_is_not_initialised(void) {
  uvsig_shutdown_t other;
  uvsig_shutdown_t before;
  uvsig_t none;

  memset(&none, 0, sizeof(none));
  memset(&other, 0x5a, sizeof(other));
  before = other;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(NULL, &other, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_init(&none, &other, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, NULL, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &other, NULL), UV_EINVAL);
  CHECK_EQ(memcmp(&other, &before, sizeof(other)), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void a_second_shutdown_of_the_same_signals_is_busy(void) {
  uvsig_shutdown_t other;
  uvsig_shutdown_t before;

  memset(&other, 0x5a, sizeof(other));
  before = other;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &other, NULL), UV_EBUSY);
  CHECK_EQ(memcmp(&other, &before, sizeof(other)), 0);
  check_running();
}

static void handle(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
}

/* The last of the signals is taken: those before it are given back. */
static void a_signal_that_has_a_handler_is_busy(void) {
  struct recorder r;
  uvsig_shutdown_t other;
  uvsig_shutdown_t before;

  memset(&other, 0x5a, sizeof(other));
  before = other;
  fixture_open(&f, NULL);
  recorder_init(&r, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&r.w, handle), 0);
  recorder_start(&r, SIGTERM);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &other, NULL), UV_EBUSY);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(memcmp(&other, &before, sizeof(other)), 0);
  fixture_close(&f);
}

static void init_in_a_child(void) {
  uvsig_shutdown_t other;
  uvsig_shutdown_t before;

  memset(&other, 0x5a, sizeof(other));
  before = other;
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &other, NULL), UV_EBADF);
  CHECK_EQ(memcmp(&other, &before, sizeof(other)), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
}

static void a_child_that_has_not_called_uvsig_fork_is_refused(void) {
  struct recorder r;

  fixture_open(&f, NULL);
  recorder_init(&r, &f.sig);
  recorder_start(&r, SIGUSR1);
  CHECK_EQ(run_forked(init_in_a_child), 0);
  fixture_close(&f);
}

static void data_is_left_alone(void) {
  sd.data = &closed;
  open_shutdown();
  CHECK(sd.data == &closed);
  CHECK(sd.sig == &f.sig);
  check_running();
  CHECK(sd.data == &closed);
}

/* --- No shutdown ---------------------------------------------------------- */

static uvsig_shutdown_listener_t listener;
static uvsig_shutdown_connection_t connection;
static uvsig_shutdown_child_t child;
static uvsig_shutdown_hold_t hold;

static void refuse_shutdown(uvsig_shutdown_t* bad) {
  static uv_tcp_t tcp;
  uvsig_shutdown_listener_t l;
  uvsig_shutdown_connection_t c;
  uvsig_shutdown_child_t p;
  uvsig_shutdown_hold_t h;

  memset(&l, 0x5a, sizeof(l));
  memset(&c, 0x5a, sizeof(c));
  memset(&p, 0x5a, sizeof(p));
  memset(&h, 0x5a, sizeof(h));
  listener = l;
  connection = c;
  child = p;
  hold = h;
  CHECK_EQ(uvsig_shutdown_request(bad, "no", UVSIG_SHUTDOWN_GRACEFUL),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_request(bad, "no", UVSIG_SHUTDOWN_IMMEDIATE),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_extend(bad, 1), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_phase(bad), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_ready(bad), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_is_ready(bad), 0);
  CHECK_EQ(uvsig_shutdown_add_listener(bad, &l, NULL, on_listener), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_connection(bad, &c, on_connection), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_stream(bad, &c, (uv_stream_t*) &tcp, NULL),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_child(bad, &p, 1234), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_hold(bad, &h, "no"), UV_EINVAL);
  CHECK_EQ(memcmp(&l, &listener, sizeof(l)), 0);
  CHECK_EQ(memcmp(&c, &connection, sizeof(c)), 0);
  CHECK_EQ(memcmp(&p, &child, sizeof(p)), 0);
  CHECK_EQ(memcmp(&h, &hold, sizeof(h)), 0);
}

static void null_and_what_was_never_initialised_are_refused(void) {
  uvsig_shutdown_t none;

  memset(&none, 0, sizeof(none));
  refuse_shutdown(NULL);
  refuse_shutdown(&none);
  CHECK_EQ(uvsig_shutdown_close(NULL, on_close), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_close(&none, on_close), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_exit(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_exit(&none), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_set_exit_status(NULL, 1), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_set_exit_status(&none, 1), UV_EINVAL);
}

static void what_was_given_up_is_refused(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), 0);
  refuse_shutdown(&sd);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), UV_EALREADY);
  CHECK_EQ(closed, 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed, 1);
  refuse_shutdown(&sd);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
  CHECK_EQ(phases, 0);
  fixture_close(&f);
}

/* --- Arguments ------------------------------------------------------------ */

static void bad_arguments_are_refused_and_change_nothing(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_request(&sd, "no", UVSIG_SHUTDOWN_NONE), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_request(&sd, "no", (uvsig_shutdown_level_t) 4),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_request(&sd, "no", (uvsig_shutdown_level_t) -1),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, NULL, NULL, on_listener),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listener, NULL, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, NULL, on_connection), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, NULL, 1234), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, 0), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, -1), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_hold(&sd, NULL, "no"), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, NULL), UV_EINVAL);
  CHECK(listener.shutdown == NULL);
  CHECK(connection.shutdown == NULL);
  CHECK(child.shutdown == NULL);
  CHECK(hold.shutdown == NULL);
  CHECK_EQ(uvsig_shutdown_set_exit_status(&sd, -1), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_set_exit_status(&sd, 256), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_exit(&sd), UV_EBUSY);
  check_running();
}

/* --- Twice ---------------------------------------------------------------- */

static uvsig_shutdown_closer_t closer;
static uvsig_shutdown_work_t work;
static atomic_uint works;

static void on_closer(uvsig_shutdown_closer_t* c) {
  CHECK_EQ(uvsig_shutdown_closed(c), 0);
}

static void on_work(uvsig_shutdown_work_t* w) {
  (void) w;
  works++;
}

static void add_each(int expected) {
  pid_t pid = getpid(); /* never signalled: removed in time */

  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listener, NULL, on_listener),
           expected);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_connection),
           expected);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), expected);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), expected);
  CHECK_EQ(uvsig_shutdown_add_closer(&sd, &closer, on_closer), expected);
}

/* A list with a circle in it would have no end. */
static void what_is_registered_is_busy(void) {
  uv_tcp_t tcp;
  uvsig_shutdown_connection_t stream = {.data = NULL};

  open_shutdown();
  CHECK_EQ(uv_tcp_init(&f.loop, &tcp), 0);
  CHECK_EQ(uvsig_shutdown_add_stream(&sd, &stream, (uv_stream_t*) &tcp, NULL),
           0);
  CHECK_EQ(uvsig_shutdown_add_stream(&sd, &stream, (uv_stream_t*) &tcp, NULL),
           UV_EBUSY);
  add_each(0);
  CHECK_EQ(uvsig_shutdown_child_set_signal(&child, SIGUSR1), 0);
  add_each(UV_EBUSY);
  CHECK_EQ(child.signum, SIGUSR1); /* nothing has changed */
  CHECK_EQ(uvsig_shutdown_remove_listener(&listener), 0);
  CHECK_EQ(uvsig_shutdown_remove_connection(&connection), 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uvsig_shutdown_closed(&closer), 0);
  add_each(0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  check_running();
}

static void work_that_is_queued_is_busy(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_queue_work(&sd, &work, "pool", on_work, NULL), 0);
  CHECK_EQ(uvsig_shutdown_queue_work(&sd, &work, "pool", on_work, NULL),
           UV_EBUSY);
  check_running();
  CHECK_EQ(works, 1);
}

/* --- Nothing to forget ----------------------------------------------------- */

static void null_is_nothing_to_forget(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_remove_listener(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_remove_connection(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_remove_child(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_release(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_connection_busy(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_connection_idle(NULL), UV_EINVAL);
  check_running();
}

static void what_was_never_registered_is_harmless_to_forget(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_remove_listener(&listener), 0);
  CHECK_EQ(uvsig_shutdown_remove_connection(&connection), 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), UV_EINVAL);
  check_running();
}

static void on_stream_closed(uv_handle_t* stream) {
  (void) stream;
  check_failed(__FILE__, __LINE__, "a stream was closed");
}

static void bad_arguments_of_linger_are_refused(void) {
  uv_loop_t other;
  uv_tcp_t foreign;
  uv_tcp_t tcp;
  uv_stream_t* stream = (uv_stream_t*) &tcp;

  open_shutdown();
  CHECK_EQ(uv_loop_init(&other), 0);
  CHECK_EQ(uv_tcp_init(&other, &foreign), 0);
  CHECK_EQ(uv_tcp_init(&f.loop, &tcp), 0);
  CHECK_EQ(uvsig_shutdown_linger(NULL, stream, on_stream_closed), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_linger(&connection, stream, on_stream_closed),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_connection), 0);
  CHECK_EQ(uvsig_shutdown_linger(&connection, NULL, on_stream_closed),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_linger(
               &connection, (uv_stream_t*) &foreign, on_stream_closed),
           UV_EINVAL);
  CHECK(connection.shutdown == &sd);
  CHECK(!uv_is_closing((uv_handle_t*) &tcp));
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), 0);
  CHECK_EQ(uvsig_shutdown_remove_connection(&connection), 0);
  uv_close((uv_handle_t*) &foreign, NULL);
  uv_close((uv_handle_t*) &tcp, NULL);
  CHECK_EQ(uv_run(&other, UV_RUN_DEFAULT), 0);
  close_loop(&other);
  check_running();
}

static void extend_has_a_limit(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_extend(&sd, UINT_MAX), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 0), 0);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1000), 0);
  check_running();
}

/* The loop has not run: the level alone says that it is too late. */
static void a_request_to_force_leaves_no_more_time(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1), UV_ECANCELED);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
}

static void extend_in_draining(uvsig_shutdown_t* shutdown,
                               uvsig_shutdown_phase_t phase) {
  if (phase != UVSIG_SHUTDOWN_DRAINING)
    return;
  /* What is left of the time counts, and there is some; or there is none. */
  CHECK_EQ(uvsig_shutdown_extend(shutdown, UINT_MAX),
           options.grace_ms > 0 ? UV_EINVAL : 0);
  CHECK_EQ(uvsig_shutdown_extend(shutdown, 0), 0);
  phases++;
}

static void drain_with(unsigned grace_ms) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = grace_ms;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
  options.phase_cb = extend_in_draining;
  phases = 0;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(phases, 1);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void while_draining_extend_has_a_limit_too(void) {
  drain_with(LONG_MS);
  drain_with(0);
}

/* --- Too late ------------------------------------------------------------- */

static void once_it_is_asked_for_what_begins_is_refused(void) {
  uvsig_shutdown_listener_t before;

  open_shutdown();
  memset(&listener, 0x5a, sizeof(listener));
  before = listener;
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 1);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listener, NULL, on_listener),
           UV_ECANCELED);
  CHECK_EQ(memcmp(&listener, &before, sizeof(listener)), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), UV_ECANCELED);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_shutdown_ready(&sd), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_exit(&sd), UV_EBUSY);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void once_it_is_forced_nothing_begins(void) {
  uvsig_shutdown_connection_t before;

  open_shutdown();
  memset(&connection, 0x5a, sizeof(connection));
  before = connection;
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_FORCING);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_connection),
           UV_ECANCELED);
  CHECK_EQ(memcmp(&connection, &before, sizeof(connection)), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void once_it_is_done_it_only_ends(void) {
  open_shutdown();
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(uvsig_shutdown_request(&sd, "no", UVSIG_SHUTDOWN_GRACEFUL),
           UV_EALREADY);
  CHECK_EQ(uvsig_shutdown_request(&sd, "no", UVSIG_SHUTDOWN_IMMEDIATE),
           UV_EALREADY);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_ready(&sd), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "late"), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, 1234), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listener, NULL, on_listener),
           UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_connection),
           UV_ECANCELED);
  CHECK(hold.shutdown == NULL);
  CHECK(child.shutdown == NULL);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void the_status_that_was_set_last_is_the_programs(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_set_exit_status(&sd, 0), 0);
  CHECK_EQ(uvsig_shutdown_set_exit_status(&sd, 255), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 255);
}

static void close_after_the_end_frees_and_calls_nobody(void) {
  open_shutdown();
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UV_EINVAL);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed, 0);
  fixture_close(&f);
}

/* --- Another thread ------------------------------------------------------- */

static void call_everything(void* argument) {
  uvsig_shutdown_t other;
  uvsig_shutdown_connection_t c;
  uv_tcp_t* tcp = argument;

  CHECK_EQ(uvsig_shutdown_init(&f.sig, &other, NULL), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1000), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_ready(&sd), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listener, NULL, on_listener),
           UV_EPERM);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &c, on_connection), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, 1234), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_remove_listener(&listener), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_remove_connection(&connection), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), UV_EPERM);
  CHECK_EQ(
      uvsig_shutdown_linger(&connection, (uv_stream_t*) tcp, on_stream_closed),
      UV_EPERM);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
}

static void another_thread_is_refused_and_changes_nothing(void) {
  uv_thread_t thread;
  uv_tcp_t tcp;
  pid_t pid = getpid(); /* never signalled: removed in time */

  open_shutdown();
  CHECK_EQ(uv_tcp_init(&f.loop, &tcp), 0);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listener, NULL, on_listener), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_connection), 0);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  CHECK_EQ(uv_thread_create(&thread, call_everything, &tcp), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(closed, 0);
  CHECK(listener.shutdown == &sd);
  CHECK(connection.shutdown == &sd);
  CHECK(child.shutdown == &sd);
  CHECK_EQ(child.pid, pid);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  uv_close((uv_handle_t*) &tcp, NULL);
  check_running();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_defaults_are_those_of_the_header),
      TEST(an_option_out_of_range_is_refused),
      TEST(options_that_were_not_initialised_are_refused),
      TEST(a_whole_that_is_less_than_its_parts_is_refused),
      TEST(a_set_that_names_what_cannot_be_caught_is_refused),
      TEST(init_refuses_what_is_not_initialised),
      TEST(a_second_shutdown_of_the_same_signals_is_busy),
      TEST(a_signal_that_has_a_handler_is_busy),
      TEST(a_child_that_has_not_called_uvsig_fork_is_refused),
      TEST(data_is_left_alone),
      TEST(null_and_what_was_never_initialised_are_refused),
      TEST(what_was_given_up_is_refused),
      TEST(bad_arguments_are_refused_and_change_nothing),
      TEST(what_is_registered_is_busy),
      TEST(work_that_is_queued_is_busy),
      TEST(null_is_nothing_to_forget),
      TEST(what_was_never_registered_is_harmless_to_forget),
      TEST(bad_arguments_of_linger_are_refused),
      TEST(extend_has_a_limit),
      TEST(a_request_to_force_leaves_no_more_time),
      TEST(while_draining_extend_has_a_limit_too),
      TEST(a_connection_is_as_large_as_16_pointers_at_most),
      TEST(once_it_is_asked_for_what_begins_is_refused),
      TEST(once_it_is_forced_nothing_begins),
      TEST(once_it_is_done_it_only_ends),
      TEST(the_status_that_was_set_last_is_the_programs),
      TEST(close_after_the_end_frees_and_calls_nobody),
      TEST(another_thread_is_refused_and_changes_nothing),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
