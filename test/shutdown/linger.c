/* SPDX-License-Identifier: MIT
 *
 * Closing a connection without cutting its last response: what arrives although
 * the peer has sent more than was read; what ends it when the peer does not.
 */

#include "../lib/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int client;

static char big[SERVER_BIG];

static void on_plainly_written(uv_write_t* req, int status) {
  (void) status;
  conn_close(req->data);
}

static void on_closed_elsewhere(uv_handle_t* handle) {
  (void) handle;
  check_failed(__FILE__, __LINE__, "a stream of somebody else's was closed");
}

/* What the one connection is to do. */
static long use_conn(int question) {
  static uv_write_t write_req;
  static uv_shutdown_t shutdown_req;
  struct conn* conn = server_conns();
  uv_buf_t buf = uv_buf_init(big, sizeof(big));

  CHECK(conn != NULL);
  switch (question) {
  case 'l': /* respond at length, and linger */
    conn_respond(conn, big, sizeof(big));
    conn_linger(conn);
    break;
  case 'c': /* the same with a plain uv_close() when all is written */
    write_req.data = conn;
    CHECK_EQ(uv_write(&write_req, &conn->u.stream, &buf, 1, on_plainly_written),
             0);
    break;
  case 's': /* respond shortly */
    conn_respond(conn, "ok", 0);
    conn_linger(conn);
    break;
  case 'q': /* without a word */
    conn_linger(conn);
    break;
  case '2': /* twice */
    conn_linger(conn);
    CHECK_EQ(
        uvsig_shutdown_linger(&conn->c, &conn->u.stream, on_closed_elsewhere),
        UV_EALREADY);
    CHECK_EQ(uvsig_shutdown_connection_busy(&conn->c), UV_EINVAL);
    CHECK_EQ(uvsig_shutdown_connection_idle(&conn->c), UV_EINVAL);
    break;
  case 'x': /* when it is closing already */
    CHECK_EQ(uvsig_shutdown_connection_busy(&conn->c), 0);
    conn_close_unregistered(conn);
    CHECK_EQ(
        uvsig_shutdown_linger(&conn->c, &conn->u.stream, on_closed_elsewhere),
        0);
    CHECK(conn->c.shutdown == NULL);
    break;
  case 'n': /* not now: it reads no more */
    CHECK_EQ(uv_read_stop(&conn->u.stream), 0);
    break;
  default: /* when it is shut down for writing already */
    CHECK_EQ(question, 'h');
    CHECK_EQ(uv_shutdown(&shutdown_req, &conn->u.stream, NULL), 0);
    conn_linger(conn);
  }
  return 0;
}

static void init_with_linger(unsigned linger_ms) {
  server_init();
  server.options.linger_ms = linger_ms;
  server.on_question = use_conn;
}

static void start_on_tcp(void) {
  server_start(serve_connections);
  server_expect("r");
  client = client_connect();
  server_ask_until(SERVER_ACCEPTED, 1);
}

static void start_on_path(void) {
  server_start_at_path();
  server_expect("r");
  client = client_connect_to_path();
  server_ask_until(SERVER_ACCEPTED, 1);
}

/* The server answers the first letter, and reads nothing of the rest. */
static void send_more_than_is_read(void) {
  char more[4096];

  client_send(client, "u");
  server_ask_until(SERVER_BUSY, 1);
  memset(more, 'g', sizeof(more) - 1);
  more[sizeof(more) - 1] = 0;
  client_send(client, more);
}

static void end_clean(void) {
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

/* --- The whole response --------------------------------------------------- */

static void check_whole_response(void) {
  send_more_than_is_read();
  CHECK_EQ(server_ask('l'), 0);
  CHECK_EQ(client_read_all(client), SERVER_BIG);
  server_ask_until(SERVER_OPEN, 0);
  end_clean();
}

static void the_last_response_arrives_although_more_was_sent(void) {
  init_with_linger(LONG_MS);
  start_on_tcp();
  check_whole_response();
}

static void the_last_response_arrives_over_a_unix_socket_too(void) {
  init_with_linger(LONG_MS);
  start_on_path();
  check_whole_response();
  server_remove_path();
}

/* What the two tests above are about: this is why there is a linger. */
static void with_a_plain_close_the_same_response_is_cut(void) {
  init_with_linger(LONG_MS);
  start_on_tcp();
  send_more_than_is_read();
  CHECK_EQ(server_ask('c'), 0);
  CHECK_EQ(client_read_all(client), UV_ECONNRESET);
  server_ask_until(SERVER_OPEN, 0);
  end_clean();
}

static void a_busy_connection_is_forced_without_cutting_what_was_written(void) {
  init_with_linger(LONG_MS);
  server.options.debounce_ms = 0;
  server.options.hard_ms = LONG_MS;
  start_on_tcp();
  client_send(client, "b"); /* more than the kernel takes at once */
  client_send(client, "k");
  client_expect(client, "bbbb");
  server_signal(SIGTERM);
  server_expect("d");
  server_signal(SIGTERM);
  server_expect("f");
  CHECK_EQ(client_read_all(client), SERVER_BIG - 4);
  server_dies(SIGTERM);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_FORCE], 1);
  CHECK_EQ(ended.report.forced, 1);
  CHECK_EQ(ended.report.open, 0);
}

static void what_the_peer_goes_on_to_send_is_thrown_away(void) {
  char more[64 * 1024];
  int i;

  init_with_linger(LONG_MS);
  start_on_tcp();
  send_more_than_is_read();
  CHECK_EQ(server_ask('s'), 0);
  client_expect(client, "ok");
  memset(more, 'g', sizeof(more) - 1);
  more[sizeof(more) - 1] = 0;
  for (i = 0; i < 64; i++) /* more than fits into any buffer */
    client_send(client, more);
  client_expect_end(client);
  server_ask_until(SERVER_OPEN, 0);
  end_clean();
}

/* --- Its end -------------------------------------------------------------- */

static void check_end_by_time(void) {
  uint64_t begin = uv_hrtime();

  send_more_than_is_read();
  CHECK_EQ(server_ask('s'), 0);
  client_expect(client, "ok");
  server_ask_until(SERVER_OPEN, 0); /* the client keeps it open */
  CHECK((uv_hrtime() - begin) / 1000000 >= 99);
  client_read_all(client);
  end_clean();
}

static void a_peer_that_does_not_close_is_closed_after_linger_ms(void) {
  init_with_linger(100);
  start_on_tcp();
  check_end_by_time();
}

static void a_peer_on_a_unix_socket_is_closed_after_linger_ms(void) {
  init_with_linger(100);
  start_on_path();
  check_end_by_time();
  server_remove_path();
}

static void a_peer_that_closes_ends_it_at_once(void) {
  char byte;

  init_with_linger(LONG_MS);
  start_on_tcp();
  client_send(client, "u");
  server_ask_until(SERVER_BUSY, 1);
  CHECK_EQ(server_ask('s'), 0);
  client_expect(client, "ok");
  CHECK_EQ(UNINTERRUPTED(recv(client, &byte, 1, 0)), 0);
  server_ask(SERVER_OPEN);
  CHECK_EQ(server_ask(SERVER_OPEN), 1);
  close(client);
  server_ask_until(SERVER_OPEN, 0);
  end_clean();
}

static void a_peer_that_resets_ends_it_at_once(void) {
  const struct linger hard = {1, 0};

  init_with_linger(LONG_MS);
  start_on_tcp();
  client_send(client, "u");
  server_ask_until(SERVER_BUSY, 1);
  CHECK_EQ(server_ask('l'), 0);
  CHECK_EQ(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
  close(client);
  server_ask_until(SERVER_OPEN, 0);
  end_clean();
}

static void a_drain_waits_for_what_lingers(void) {
  init_with_linger(LONG_MS);
  start_on_tcp();
  client_send(client, "u");
  server_ask_until(SERVER_BUSY, 1);
  CHECK_EQ(server_ask('s'), 0);
  client_expect(client, "ok");
  server_signal(SIGTERM);
  server_expect("d");
  server_silent(50);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  client_expect_end(client);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.report.closed, 1);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 0);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_FORCE], 0);
}

static void a_peer_that_never_reads_does_not_outlast_the_deadlines(void) {
  do {
    init_with_linger(LONG_MS);
    server.options.grace_ms = 100;
    server.options.hard_ms = 100;
    start_on_tcp();
    client_send(client, "b");
    client_expect(client, "bbbb"); /* and no more */
    server_signal(SIGTERM);
  } while (server_is_overdue("df") && close(client) == 0);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.cut + ended.report.open, 1);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_FORCE], 1);
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= 99);
  close(client);
}

static void one_that_lingers_while_running_does_not_outlast_them_either(void) {
  do {
    init_with_linger(LONG_MS);
    server.options.grace_ms = 100;
    server.options.hard_ms = 100;
    start_on_tcp();
    client_send(client, "u");
    server_ask_until(SERVER_BUSY, 1);
    CHECK_EQ(server_ask('l'), 0);
    server_signal(SIGTERM);
  } while (server_is_overdue("df") && close(client) == 0);
  server_dies(SIGTERM);
  close(client);
}

/* It has not received everything, and has grace_ms to do so: until then. */
static void what_lingers_when_forcing_begins_has_linger_ms_left(void) {
  init_with_linger(50);
  server.options.debounce_ms = 0;
  start_on_tcp();
  client_send(client, "u");
  server_ask_until(SERVER_BUSY, 1);
  CHECK_EQ(server_ask('l'), 0);
  server_signal(SIGTERM);
  server_expect("d");
  server_silent(100);
  server_signal(SIGTERM);
  server_expect("f");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_FORCING] >= 49);
  close(client);
}

/* The small response fits into the system's buffers, and the large does not. */
static void check_cut(const char* request, void (*start)(void)) {
  char byte;

  init_with_linger(50);
  server.options.debounce_ms = 0;
  start();
  client_send(client, request);
  CHECK_EQ(UNINTERRUPTED(recv(client, &byte, 1, MSG_PEEK)), 1);
  server_signal(SIGTERM);
  server_expect("d");
  server_silent(50);
  server_signal(SIGTERM);
  server_expect("f");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.cut, 1);
  CHECK_EQ(ended.report.closed, 0);
  CHECK_EQ(ended.report.forced, 0);
  CHECK_EQ(ended.report.open, 0);
  CHECK_EQ(ended.report.clean, 0);
  close(client);
}

static void a_peer_that_never_reads_until_a_limit_is_cut(void) {
  check_cut("b", start_on_tcp);
  check_cut("g", start_on_path);
  server_remove_path();
}

static void an_idle_connection_is_closed_at_once_when_draining(void) {
  init_with_linger(LONG_MS);
  start_on_tcp();
  client_send(client, "g");
  client_expect(client, "ok");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM); /* the client has not closed */
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.report.closed, 1);
  client_expect_end(client);
}

/* It was sent too late to be read: that must not reset the connection. */
static void but_one_with_input_that_was_not_read_lingers(void) {
  init_with_linger(LONG_MS);
  start_on_tcp();
  client_send(client, "g");
  client_expect(client, "ok");
  CHECK_EQ(server_ask('n'), 0);
  client_send(client, "g");
  wait_delivered(client);
  server_signal(SIGTERM);
  server_expect("d");
  client_expect_end(client);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.report.closed, 1);
}

/* --- Others that close ---------------------------------------------------- */

static void check_use(int question) {
  init_with_linger(10);
  start_on_tcp();
  CHECK_EQ(server_ask(question), 0);
  server_ask_until(SERVER_OPEN, 0);
  client_expect_end(client);
  end_clean();
}

static void a_connection_without_a_response_lingers_too(void) {
  check_use('q');
}

static void what_lingers_already_is_refused(void) {
  check_use('2');
}

static void a_stream_that_is_closing_is_left_to_whoever_closes_it(void) {
  check_use('x');
}

static void a_stream_that_is_shut_down_for_writing_is_closed(void) {
  check_use('h');
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_last_response_arrives_although_more_was_sent),
      TEST(the_last_response_arrives_over_a_unix_socket_too),
      TEST(with_a_plain_close_the_same_response_is_cut),
      TEST(a_busy_connection_is_forced_without_cutting_what_was_written),
      TEST(what_the_peer_goes_on_to_send_is_thrown_away),
      TEST(a_peer_that_does_not_close_is_closed_after_linger_ms),
      TEST(a_peer_on_a_unix_socket_is_closed_after_linger_ms),
      TEST(a_peer_that_closes_ends_it_at_once),
      TEST(a_peer_that_resets_ends_it_at_once),
      TEST(a_drain_waits_for_what_lingers),
      TEST(a_peer_that_never_reads_does_not_outlast_the_deadlines),
      TEST(one_that_lingers_while_running_does_not_outlast_them_either),
      TEST(what_lingers_when_forcing_begins_has_linger_ms_left),
      TEST(a_peer_that_never_reads_until_a_limit_is_cut),
      TEST(an_idle_connection_is_closed_at_once_when_draining),
      TEST(but_one_with_input_that_was_not_read_lingers),
      TEST(a_connection_without_a_response_lingers_too),
      TEST(what_lingers_already_is_refused),
      TEST(a_stream_that_is_closing_is_left_to_whoever_closes_it),
      TEST(a_stream_that_is_shut_down_for_writing_is_closed),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
