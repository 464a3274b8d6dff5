/* SPDX-License-Identifier: MIT
 *
 * Connections that never had a request: how long they have for the first one.
 * And, for all connections, that what came in time is read before one is closed
 * as idle.
 */

#include "../lib/server.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { MOST_MS = 10000, FRESH_MS = 100 };

/* --- From outside --------------------------------------------------------- */

static int clients[2];

static void start_with_clients(uvsig_shutdown_idle_t idle, unsigned fresh_ms) {
  int i;

  server_init();
  server.options.idle = idle;
  server.options.spread_ms = 1;
  server.options.fresh_ms = fresh_ms;
  server_start(serve_connections);
  server_expect("r");
  for (i = 0; i < 2; i++) {
    clients[i] = client_connect();
    CHECK(clients[i] >= 0);
    server_ask_until(SERVER_ACCEPTED, i + 1);
  }
}

static void have_second_served(void) {
  client_send(clients[1], "g");
  client_expect(clients[1], "ok");
}

static void begin_draining(void) {
  server_signal(SIGTERM);
  server_expect("d");
}

static void end_clean(void) {
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.closed, 2);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 2);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 2);
}

static void check_closed_after_fresh_ms(void) {
  have_second_served();
  begin_draining();
  client_expect_end(clients[1]);
  client_expect_end(clients[0]);
  end_clean();
  CHECK_STR(ended.order, "ba");
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= FRESH_MS - 1);
}

static void one_that_sends_nothing_is_closed_after_fresh_ms(void) {
  start_with_clients(UVSIG_SHUTDOWN_IDLE_CLOSE, FRESH_MS);
  check_closed_after_fresh_ms();
}

static void one_that_sends_its_first_request_in_time_is_answered(void) {
  start_with_clients(UVSIG_SHUTDOWN_IDLE_CLOSE, LONG_MS);
  have_second_served();
  begin_draining();
  client_expect_end(clients[1]);
  server_ask_until(SERVER_OPEN, 1);
  client_send(clients[0], "g");
  client_expect(clients[0], "bye");
  client_expect_end(clients[0]);
  end_clean();
}

static void a_request_that_takes_longer_than_fresh_ms_is_answered(void) {
  start_with_clients(UVSIG_SHUTDOWN_IDLE_CLOSE, FRESH_MS);
  client_send(clients[0], "s");
  client_send(clients[1], "s");
  server_ask_until(SERVER_BUSY, 2);
  begin_draining();
  server_silent(FRESH_MS + 50);
  CHECK_EQ(server_ask(SERVER_ANSWER), 2);
  client_expect(clients[0], "bye");
  client_expect(clients[1], "bye");
  client_expect_end(clients[0]);
  client_expect_end(clients[1]);
  end_clean();
}

static void when_all_have_gone_fresh_ms_is_not_waited_for(void) {
  start_with_clients(UVSIG_SHUTDOWN_IDLE_CLOSE, LONG_MS);
  begin_draining();
  close(clients[0]);
  close(clients[1]);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.closed, 2);
  CHECK_EQ(ended.report.clean, 1);
}

static void with_a_spread_they_are_idle_after_fresh_ms(void) {
  start_with_clients(UVSIG_SHUTDOWN_IDLE_SPREAD, FRESH_MS);
  check_closed_after_fresh_ms();
}

/* However long fresh_ms is, half of draining is left to close in. */
static void they_are_not_forced_where_draining_is_shorter(void) {
  unsigned grace_ms = 0;

  do {
    grace_ms += 400;
    CHECK(grace_ms <= 4000);
    server_init();
    server.options.fresh_ms = LONG_MS;
    server.options.grace_ms = grace_ms;
    server_start(serve_connections);
    server_expect("r");
    clients[0] = client_connect();
    server_ask_until(SERVER_ACCEPTED, 1);
    server_signal(SIGTERM);
    server_expect("d");
    client_expect_end(clients[0]);
    server_dies(SIGTERM);
  } while (ended.report.forced != 0); /* the machine has stood still */
  CHECK_EQ(ended.report.clean, 1);
}

static void after_a_response_they_are_closed_like_any_other(void) {
  start_with_clients(UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE, 1);
  begin_draining();
  server_silent(50);
  CHECK_EQ(server_ask(SERVER_OPEN), 2);
  client_send(clients[0], "g");
  client_send(clients[1], "g");
  client_expect(clients[0], "bye");
  client_expect(clients[1], "bye");
  client_expect_end(clients[0]);
  client_expect_end(clients[1]);
  end_clean();
}

/* --- In one process ------------------------------------------------------- */

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;

/* A connection, whose peer sends through a pipe. */
static struct {
  uvsig_shutdown_connection_t c;
  uv_poll_t poll;
  int fds[2];
  unsigned requests;
  bool is_closed;
} conn;

/* What else the loop is told while draining. */
static uv_poll_t other;
static int other_fds[2];
static void (*on_other)(void);

static void on_request(uv_poll_t* poll, int status, int events) {
  char byte;

  (void) events;
  CHECK(poll == &conn.poll);
  CHECK_EQ(status, 0);
  CHECK_EQ(read(conn.fds[0], &byte, 1), 1);
  conn.requests++;
  CHECK_EQ(uvsig_shutdown_connection_busy(&conn.c), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(&conn.c), 0);
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  (void) events;
  CHECK_EQ(status, 0);
  uv_close((uv_handle_t*) poll, NULL);
  on_other();
}

static void on_event(uvsig_shutdown_connection_t* c,
                     uvsig_shutdown_event_t event) {
  CHECK(event != UVSIG_SHUTDOWN_CONNECTION_FORCE);
  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
    CHECK_EQ(write(other_fds[1], "x", 1), 1);
    return;
  }
  conn.is_closed = true;
  CHECK_EQ(uvsig_shutdown_remove_connection(c), 0);
  uv_close((uv_handle_t*) &conn.poll, NULL);
}

static void send_request(void) {
  CHECK_EQ(write(conn.fds[1], "g", 1), 1);
}

static void do_nothing(void) {
}

static void open_pipe(uv_poll_t* poll, int* fds, uv_poll_cb cb) {
  CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
  CHECK_EQ(uv_poll_init(&f.loop, poll, fds[0]), 0);
  CHECK_EQ(uv_poll_start(poll, UV_READABLE, cb), 0);
}

static void add_conn(void) {
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &conn.c, on_event), 0);
}

static void set_options(unsigned fresh_ms) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = LONG_MS;
  options.keep_sig = 1;
  options.fresh_ms = fresh_ms;
}

static void open_shutdown(void) {
  memset(&conn, 0, sizeof(conn));
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  open_pipe(&conn.poll, conn.fds, on_request);
  open_pipe(&other, other_fds, on_readable);
}

static void begin(void) {
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
}

static void finish(void) {
  int i;

  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK(conn.is_closed);
  CHECK_EQ(sd.report.closed, 1);
  CHECK_EQ(sd.report.clean, 1);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
  for (i = 0; i < 2; i++) {
    close(conn.fds[i]);
    close(other_fds[i]);
  }
}

static void add_late(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  CHECK(shutdown == &sd);
  if (phase != UVSIG_SHUTDOWN_DRAINING)
    return;
  let_pass(FRESH_MS);
  add_conn();
}

static void one_that_comes_while_draining_has_fresh_ms_from_then_on(void) {
  set_options(FRESH_MS);
  options.phase_cb = add_late;
  on_other = do_nothing;
  open_shutdown();
  begin();
  finish();
  CHECK_EQ(conn.requests, 0);
  CHECK(sd.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= 2 * FRESH_MS - 1);
}

static uint64_t limit; /* ns */
static bool was_in_time;

/* In the poll that began in time: the next one begins late. */
static void send_late(void) {
  was_in_time = uv_hrtime() < limit;
  let_pass(options.fresh_ms + 1);
  send_request();
}

static void check_fresh_request(unsigned fresh_ms) {
  set_options(fresh_ms);
  on_other = send_late;
  open_shutdown();
  add_conn();
  limit = uv_hrtime() + (uint64_t) fresh_ms * 1000000;
  begin();
  finish();
}

/* Where the machine is so slow that fresh_ms is over too early, the test is
 * done again with twice as much. */
static void a_late_loop_reads_the_first_request_before_it_closes(void) {
  unsigned fresh_ms = FRESH_MS;

  for (;;) {
    check_fresh_request(fresh_ms);
    if (was_in_time)
      break;
    CHECK((fresh_ms *= 2) < MOST_MS);
  }
  CHECK_EQ(conn.requests, 1);
}

static void send_and_be_idle(void) {
  send_request();
  CHECK_EQ(uvsig_shutdown_connection_idle(&conn.c), 0);
}

/* While the loop polls for another look. */
static void the_next_request_is_read_before_an_idle_one_is_closed(void) {
  set_options(0);
  on_other = send_and_be_idle;
  open_shutdown();
  add_conn();
  CHECK_EQ(uvsig_shutdown_connection_busy(&conn.c), 0);
  begin();
  finish();
  CHECK_EQ(conn.requests, 1);
}

static bool is_spread_in_time(unsigned spread_ms) {
  bool is_in_time;

  set_options(0);
  options.idle = UVSIG_SHUTDOWN_IDLE_SPREAD;
  options.spread_ms = spread_ms;
  on_other = do_nothing;
  open_shutdown();
  add_conn();
  begin();
  run_idle(&f.loop);
  is_in_time = !conn.is_closed;
  if (is_in_time) {
    let_pass(spread_ms);
    send_request();
  }
  finish();
  return is_in_time;
}

static void a_late_loop_reads_a_request_before_it_closes_by_the_spread(void) {
  unsigned spread_ms = 100;

  while (!is_spread_in_time(spread_ms))
    CHECK((spread_ms *= 2) < MOST_MS);
  CHECK_EQ(conn.requests, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(one_that_sends_nothing_is_closed_after_fresh_ms),
      TEST(one_that_sends_its_first_request_in_time_is_answered),
      TEST(a_request_that_takes_longer_than_fresh_ms_is_answered),
      TEST(when_all_have_gone_fresh_ms_is_not_waited_for),
      TEST(with_a_spread_they_are_idle_after_fresh_ms),
      TEST(they_are_not_forced_where_draining_is_shorter),
      TEST(after_a_response_they_are_closed_like_any_other),
      TEST(one_that_comes_while_draining_has_fresh_ms_from_then_on),
      TEST(a_late_loop_reads_the_first_request_before_it_closes),
      TEST(the_next_request_is_read_before_an_idle_one_is_closed),
      TEST(a_late_loop_reads_a_request_before_it_closes_by_the_spread),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
