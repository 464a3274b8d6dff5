/* SPDX-License-Identifier: MIT
 *
 * Listeners and connections in a shutdown: who is told what, and when; that
 * none is forgotten, and that callbacks may do what they like. What closes a
 * connection without cutting it is in linger.c.
 */

#include "../lib/server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* More than a few turns of the loop accept: libuv from 1.45 on takes one a
 * turn. */
enum { CLIENTS = 100 };

static int clients[CLIENTS];

static void check_told(unsigned drain, unsigned close, unsigned force) {
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], drain);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], close);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_FORCE], force);
}

static void check_counts(unsigned closed, unsigned forced, unsigned open) {
  CHECK_EQ(ended.report.closed, closed);
  CHECK_EQ(ended.report.forced, forced);
  CHECK_EQ(ended.report.open, open);
  CHECK_EQ(ended.report.clean, forced == 0 && open == 0);
}

static void prepare(uvsig_shutdown_idle_t idle) {
  server_init();
  server.options.idle = idle;
}

/* So many clients, in the order of their ids. */
static void start_with_clients(int count) {
  int i;

  server_start(serve_connections);
  server_expect("r");
  for (i = 0; i < count; i++) {
    clients[i] = client_connect();
    CHECK(clients[i] >= 0);
    server_ask_until(SERVER_ACCEPTED, i + 1);
  }
}

static bool close_clients(int count) {
  while (count > 0)
    close(clients[--count]);
  return true;
}

static void have_served(int client) {
  client_send(clients[client], "g");
  client_expect(clients[client], "ok");
}

/* --- Listeners ------------------------------------------------------------ */

static long be_away(int question) {
  CHECK_EQ(question, 'S');
  say('o');
  server_sleep();
  say('p'); /* what was sent before is caught */
  server_sleep();
  return 0;
}

/* All of them, or the signal, come while the loop does not run: requests and
 * all they wait in the backlog. The kernel tells of what came first first. */
static void check_backlog(int (*connect_one)(void), bool signal_first) {
  int i;

  server_expect("r");
  for (i = 0; i < CLIENTS; i++) {
    clients[i] = -1;
    if (i == 0) { /* the port is asked for while there are answers */
      clients[i] = connect_one();
      server_ask_until(SERVER_ACCEPTED, 1);
      server_tell('S');
      server_expect("o");
      if (signal_first) {
        server_signal(SIGTERM);
        server_wake();
        server_expect("p");
      }
    } else {
      clients[i] = connect_one();
    }
    CHECK(clients[i] >= 0);
    client_send(clients[i], "g");
    wait_delivered(clients[i]);
  }
  if (!signal_first) {
    server_signal(SIGTERM);
    server_wake();
    server_expect("p");
  }
  server_wake();
  server_expect("d");
  for (i = 0; i < CLIENTS; i++) {
    char letter[2] = "";

    /* "ok", or "bye" if it has been told to drain before its request was read:
     * a response, and no reset. */
    CHECK_EQ(UNINTERRUPTED(read(clients[i], letter, 1)), 1);
    client_expect(clients[i], letter[0] == 'o' ? "k" : "ye");
    client_expect_end(clients[i]);
  }
  server_dies(SIGTERM);
  CHECK_EQ(ended.accepted, CLIENTS);
  CHECK_EQ(ended.stopped, 1);
  check_counts(CLIENTS, 0, 0);
  check_told(CLIENTS, CLIENTS, 0);
}

static void what_waits_to_be_accepted_is_accepted_and_served(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
  server.on_question = be_away;
  server_start(serve_connections);
  check_backlog(client_connect, false);
}

static void what_comes_before_the_loop_sees_the_signal_is_served_too(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
  server.on_question = be_away;
  server_start(serve_connections);
  check_backlog(client_connect, true);
}

static void what_waits_on_a_unix_socket_is_accepted_and_served(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
  server.on_question = be_away;
  server_start_at_path();
  check_backlog(client_connect_to_path, true);
  server_remove_path();
}

static void serve_connections_and_job(void) {
  server_open();
  CHECK_EQ(server_listen(), 0);
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  server_run();
}

static uvsig_shutdown_connection_t refused;

static void be_told_nothing(uvsig_shutdown_connection_t* c,
                            uvsig_shutdown_event_t event) {
  (void) c;
  (void) event;
  check_failed(__FILE__, __LINE__, "a connection was told something");
}

static long add_late(int question) {
  CHECK_EQ(question, 'a');
  return uvsig_shutdown_add_connection(&server.sd, &refused, be_told_nothing);
}

static void once_listeners_are_closed_connections_are_refused(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
  server.on_question = add_late;
  server_start(serve_connections_and_job);
  server_expect("r");
  clients[0] = client_connect();
  server_ask_until(SERVER_ACCEPTED, 1);
  server_signal(SIGTERM);
  server_expect("d");
  client_expect_end(clients[0]);
  CHECK_EQ(client_connect(), UV_ECONNREFUSED);
  CHECK_EQ(server_ask('a'), UV_ECANCELED);
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_dies(SIGTERM);
  CHECK_EQ(ended.accepted, 1);
}

/* --- Idle and busy -------------------------------------------------------- */

static void idle_ones_are_closed_and_busy_ones_after_their_response(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
  start_with_clients(3);
  have_served(1);
  client_send(clients[2], "s");
  server_ask_until(SERVER_BUSY, 1);
  server_signal(SIGTERM);
  server_expect("d");
  client_expect_end(clients[0]);
  client_expect_end(clients[1]);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(server_ask(SERVER_ANSWER), 1);
  client_expect(clients[2], "bye");
  client_expect_end(clients[2]);
  server_dies(SIGTERM);
  check_counts(3, 0, 0);
  check_told(3, 3, 0);
  CHECK_EQ(ended.order[2], 'c');
}

/* Where the machine is so slow that the grace is over before the loop has come
 * to what is to be done in it, the test is done again with twice as much. */
enum { MOST_GRACE_MS = 10000 };

static void a_busy_one_is_forced_at_the_end_of_the_grace(void) {
  unsigned grace_ms = 100;

  for (;;) {
    prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
    server.options.grace_ms = grace_ms;
    start_with_clients(2);
    client_send(clients[1], "s");
    server_ask_until(SERVER_BUSY, 1);
    server_signal(SIGTERM);
    server_expect("df");
    client_expect_end(clients[0]);
    client_expect_end(clients[1]);
    server_dies(SIGTERM);
    CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= grace_ms - 1);
    if (ended.told[UVSIG_SHUTDOWN_CONNECTION_CLOSE] > 0)
      break;
    CHECK((grace_ms *= 2) < MOST_GRACE_MS);
  }
  check_counts(1, 1, 0);
  check_told(2, 1, 1);
}

static void do_nothing(struct conn* conn, uvsig_shutdown_event_t event) {
  (void) conn;
  (void) event;
}

static void one_that_closes_for_nothing_is_open_at_the_end(void) {
  do {
    prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
    server.options.grace_ms = 50;
    server.options.hard_ms = 50;
    server.on_event = do_nothing;
    start_with_clients(2);
    client_send(clients[1], "s");
    server_ask_until(SERVER_BUSY, 1);
    server_signal(SIGTERM);
  } while (server_is_overdue("df") && close_clients(2));
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.open, 2);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.closed, 0);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 2);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_FORCE], 2);
  CHECK_EQ(ended.report.left[UV_TCP], 2);
  close_clients(2);
}

static void what_has_closed_before_the_shutdown_is_not_counted(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
  start_with_clients(2);
  close(clients[0]);
  server_ask_until(SERVER_OPEN, 1);
  server_signal(SIGTERM);
  server_expect("d");
  client_expect_end(clients[1]);
  server_dies(SIGTERM);
  check_counts(1, 0, 0);
  check_told(1, 1, 0);
}

static void a_client_that_goes_while_draining_is_closed_clean(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_CLOSE);
  start_with_clients(1);
  client_send(clients[0], "s");
  server_ask_until(SERVER_BUSY, 1);
  server_signal(SIGTERM);
  server_expect("d");
  close(clients[0]);
  server_dies(SIGTERM);
  check_counts(1, 0, 0);
  check_told(1, 0, 0);
}

/* --- After a response ----------------------------------------------------- */

static void idle_ones_are_closed_after_the_next_response(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE);
  start_with_clients(2);
  have_served(0);
  server_signal(SIGTERM);
  server_expect("d");
  server_silent(50);
  CHECK_EQ(server_ask(SERVER_OPEN), 2);
  client_send(clients[1], "g");
  client_expect(clients[1], "bye");
  client_expect_end(clients[1]);
  server_ask_until(SERVER_OPEN, 1);
  client_send(clients[0], "g");
  client_expect(clients[0], "bye");
  client_expect_end(clients[0]);
  server_dies(SIGTERM);
  check_counts(2, 0, 0);
  check_told(2, 2, 0);
  CHECK_STR(ended.order, "ba");
}

static void idle_ones_that_ask_for_nothing_are_forced_in_the_end(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE);
  server.options.grace_ms = 100;
  start_with_clients(1);
  server_signal(SIGTERM);
  server_expect("df");
  client_expect_end(clients[0]);
  server_dies(SIGTERM);
  check_counts(0, 1, 0);
  check_told(1, 0, 1);
}

/* --- Spread --------------------------------------------------------------- */

static void idle_ones_are_closed_one_by_one_longest_idle_first(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_SPREAD);
  server.options.spread_ms = 200;
  start_with_clients(4);
  have_served(1);
  have_served(0);
  client_send(clients[3], "s");
  server_ask_until(SERVER_BUSY, 1);
  server_signal(SIGTERM);
  server_expect("d");
  client_expect_end(clients[2]);
  client_expect_end(clients[1]);
  client_expect_end(clients[0]);
  CHECK_EQ(server_ask(SERVER_ANSWER), 1);
  client_expect(clients[3], "bye");
  client_expect_end(clients[3]);
  server_dies(SIGTERM);
  check_counts(4, 0, 0);
  check_told(4, 4, 0);
  CHECK_STR(ended.order, "cbad");
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= 100);
}

/* With all of spread_ms one of them, at most, would be closed in time. */
static void the_spread_takes_no_longer_than_the_grace(void) {
  unsigned grace_ms = 500;
  int i;

  for (;;) {
    prepare(UVSIG_SHUTDOWN_IDLE_SPREAD);
    server.options.spread_ms = LONG_MS;
    server.options.grace_ms = grace_ms;
    start_with_clients(CLIENTS);
    server_signal(SIGTERM);
    for (i = 0; i < CLIENTS; i++)
      client_expect_end(clients[i]);
    server_await('D');
    server_dies(SIGTERM);
    CHECK_EQ(ended.report.closed + ended.report.forced, CLIENTS);
    if (ended.told[UVSIG_SHUTDOWN_CONNECTION_CLOSE] >= 2)
      break;
    CHECK((grace_ms *= 2) < MOST_GRACE_MS);
  }
}

static void one_that_becomes_idle_during_the_spread_is_closed_then(void) {
  prepare(UVSIG_SHUTDOWN_IDLE_SPREAD);
  server.options.spread_ms = LONG_MS;
  start_with_clients(3);
  client_send(clients[0], "s");
  server_ask_until(SERVER_BUSY, 1);
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_ANSWER), 1);
  client_expect(clients[0], "bye");
  client_expect_end(clients[0]);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  CHECK(server_ask(SERVER_OPEN) >= 1);
  close(clients[1]);
  close(clients[2]);
  server_dies(SIGTERM);
  check_counts(3, 0, 0);
}

/* --- In one process: what callbacks may do -------------------------------- */

static struct fixture f;
static uvsig_shutdown_t sd;

/* A connection without a socket. */
struct bare {
  uvsig_shutdown_connection_t c;
  unsigned told[3];
};

enum { BARE = 8 };
static struct bare* bare[BARE];
static uvsig_shutdown_event_t acts_on;
static void (*act)(struct bare* told);
static unsigned acted;
static uvsig_shutdown_phase_cb phase_cb;

static void on_bare(uvsig_shutdown_connection_t* c,
                    uvsig_shutdown_event_t event) {
  struct bare* told = c->data;

  told->told[event]++;
  CHECK_EQ(told->told[event], 1);
  if (event == acts_on) {
    acted++;
    act(told);
  } else if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
    CHECK_EQ(uvsig_shutdown_remove_connection(c), 0);
  }
}

static struct bare* add_bare(void) {
  struct bare* b = calloc(1, sizeof(*b));

  CHECK(b != NULL);
  b->c.data = b;
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &b->c, on_bare), 0);
  return b;
}

static void open_shutdown(unsigned grace_ms) {
  uvsig_shutdown_options_t options;

  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = grace_ms;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
  options.fresh_ms = 0;
  options.phase_cb = phase_cb;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

static void shut_down(void) {
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

/* All of them, or all but the one that is told. */
static void free_bare(const struct bare* except) {
  int i;

  for (i = 0; i < BARE; i++) {
    if (bare[i] == NULL || bare[i] == except)
      continue;
    CHECK_EQ(uvsig_shutdown_remove_connection(&bare[i]->c), 0);
    memset(bare[i], 0xa5, sizeof(*bare[i]));
    free(bare[i]);
    bare[i] = NULL;
  }
}

static void free_others(struct bare* told) {
  free_bare(told);
  CHECK_EQ(uvsig_shutdown_remove_connection(&told->c), 0);
}

static void free_all(struct bare* told) {
  (void) told;
  free_bare(NULL);
}

static void check_freeing(uvsig_shutdown_event_t event,
                          void (*how)(struct bare*)) {
  int i;

  acts_on = event;
  act = how;
  acted = 0;
  open_shutdown(event == UVSIG_SHUTDOWN_CONNECTION_FORCE ? 10 : LONG_MS);
  for (i = 0; i < BARE; i++) {
    bare[i] = add_bare();
    if (event == UVSIG_SHUTDOWN_CONNECTION_FORCE)
      CHECK_EQ(uvsig_shutdown_connection_busy(&bare[i]->c), 0);
  }
  shut_down();
  CHECK_EQ(acted, 1); /* the others were gone by then */
  free_bare(NULL);
}

static void a_callback_may_free_the_other_connections(void) {
  check_freeing(UVSIG_SHUTDOWN_CONNECTION_DRAIN, free_others);
  check_freeing(UVSIG_SHUTDOWN_CONNECTION_CLOSE, free_others);
  check_freeing(UVSIG_SHUTDOWN_CONNECTION_FORCE, free_others);
}

static void a_callback_may_free_all_connections_its_own_too(void) {
  check_freeing(UVSIG_SHUTDOWN_CONNECTION_DRAIN, free_all);
  check_freeing(UVSIG_SHUTDOWN_CONNECTION_CLOSE, free_all);
  check_freeing(UVSIG_SHUTDOWN_CONNECTION_FORCE, free_all);
}

/* Of those that are to be told next. */
static void change_others(struct bare* told) {
  int i;

  for (i = 0; i < BARE; i++)
    if (bare[i] != told && bare[i]->c.shutdown != NULL) {
      CHECK_EQ(uvsig_shutdown_connection_idle(&bare[i]->c), 0);
      if (i % 2 == 0)
        CHECK_EQ(uvsig_shutdown_connection_busy(&bare[i]->c), 0);
    }
  CHECK_EQ(uvsig_shutdown_remove_connection(&told->c), 0);
}

static void one_that_becomes_idle_or_busy_while_forcing_is_told_all_the_same(
    void) {
  int i;

  acts_on = UVSIG_SHUTDOWN_CONNECTION_FORCE;
  act = change_others;
  acted = 0;
  open_shutdown(10);
  for (i = 0; i < BARE; i++) {
    bare[i] = add_bare();
    CHECK_EQ(uvsig_shutdown_connection_busy(&bare[i]->c), 0);
  }
  shut_down();
  CHECK_EQ(acted, BARE);
  CHECK_EQ(sd.report.forced, BARE);
  CHECK_EQ(sd.report.open, 0);
  free_bare(NULL);
}

/* A handshake, say, that is over when the server says goodbye. */
static void finish_at_once(struct bare* told) {
  CHECK_EQ(uvsig_shutdown_connection_idle(&told->c), 0);
  CHECK_EQ(told->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 0); /* not in here */
  CHECK_EQ(uvsig_shutdown_connection_idle(&told->c), 0);
}

static void a_busy_one_may_become_idle_when_it_is_told_to_drain(void) {
  int i;

  acts_on = UVSIG_SHUTDOWN_CONNECTION_DRAIN;
  act = finish_at_once;
  open_shutdown(LONG_MS);
  for (i = 0; i < BARE; i++) {
    bare[i] = add_bare();
    CHECK_EQ(uvsig_shutdown_connection_busy(&bare[i]->c), 0);
    CHECK_EQ(uvsig_shutdown_connection_busy(&bare[i]->c), 0);
  }
  shut_down();
  for (i = 0; i < BARE; i++) {
    CHECK_EQ(bare[i]->told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 1);
    CHECK_EQ(bare[i]->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 1);
  }
  CHECK_EQ(sd.report.closed, BARE);
  free_bare(NULL);
}

static void add_when_draining(uvsig_shutdown_t* shutdown,
                              uvsig_shutdown_phase_t phase) {
  CHECK(shutdown == &sd);
  if (phase == UVSIG_SHUTDOWN_DRAINING) { /* the listeners still accept */
    bare[0] = add_bare();
    bare[1] = add_bare();
    CHECK_EQ(uvsig_shutdown_connection_busy(&bare[1]->c), 0);
    CHECK_EQ(bare[0]->told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 0);
  }
}

static void those_that_come_while_draining_are_told_like_any_other(void) {
  acts_on = UVSIG_SHUTDOWN_CONNECTION_DRAIN;
  act = finish_at_once;
  phase_cb = add_when_draining;
  open_shutdown(LONG_MS);
  shut_down();
  CHECK_EQ(acted, 2);
  CHECK_EQ(bare[0]->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 1);
  CHECK_EQ(bare[1]->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 1);
  CHECK_EQ(sd.report.closed, 2);
  CHECK_EQ(sd.report.clean, 1);
  free_bare(NULL);
}

/* --- What the library closes ---------------------------------------------- */

static uv_pipe_t piped;
static uvsig_shutdown_connection_t piped_connection;
static int piped_closed;

static void on_pipe_closed(uv_handle_t* handle) {
  CHECK(handle == (uv_handle_t*) &piped);
  CHECK(piped_connection.shutdown == NULL);
  piped_closed++;
}

static void shut_down_a_stream(uvsig_shutdown_level_t level) {
  char byte;
  int fds[2];

  piped_closed = 0;
  open_shutdown(LONG_MS);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, &piped, 0), 0);
  CHECK_EQ(uv_pipe_open(&piped, fds[0]), 0);
  CHECK_EQ(uvsig_shutdown_add_stream(
               &sd, &piped_connection, (uv_stream_t*) &piped, on_pipe_closed),
           0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&piped_connection), 0);
  if (level == UVSIG_SHUTDOWN_GRACEFUL)
    CHECK_EQ(uvsig_shutdown_connection_idle(&piped_connection), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", level), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(piped_closed, 1);
  CHECK_EQ(read(fds[1], &byte, 1), 0);
  close(fds[1]);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void a_stream_that_was_given_is_closed(void) {
  shut_down_a_stream(UVSIG_SHUTDOWN_GRACEFUL);
  CHECK_EQ(sd.report.closed, 1);
  CHECK_EQ(sd.report.clean, 1);
  shut_down_a_stream(UVSIG_SHUTDOWN_FORCED);
  CHECK_EQ(sd.report.forced, 1);
}

static void a_stream_of_another_loop_is_refused(void) {
  uvsig_shutdown_connection_t before;
  uv_loop_t other;
  uv_pipe_t foreign;

  memset(&piped_connection, 0x5a, sizeof(piped_connection));
  before = piped_connection;
  open_shutdown(LONG_MS);
  CHECK_EQ(uv_loop_init(&other), 0);
  CHECK_EQ(uv_pipe_init(&other, &foreign, 0), 0);
  CHECK_EQ(uvsig_shutdown_add_stream(
               &sd, &piped_connection, (uv_stream_t*) &foreign, on_pipe_closed),
           UV_EINVAL);
  CHECK_EQ(
      uvsig_shutdown_add_stream(&sd, &piped_connection, NULL, on_pipe_closed),
      UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_stream(
               &sd, NULL, (uv_stream_t*) &foreign, on_pipe_closed),
           UV_EINVAL);
  CHECK_EQ(memcmp(&piped_connection, &before, sizeof(before)), 0);
  uv_close((uv_handle_t*) &foreign, NULL);
  CHECK_EQ(uv_run(&other, UV_RUN_DEFAULT), 0);
  close_loop(&other);
  shut_down();
}

static void a_listener_without_a_callback_is_closed(void) {
  uvsig_shutdown_listener_t l = {.data = NULL};
  struct sockaddr_in address;
  uv_tcp_t tcp;

  open_shutdown(LONG_MS);
  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  CHECK_EQ(uv_tcp_init(&f.loop, &tcp), 0);
  CHECK_EQ(uv_tcp_bind(&tcp, (const struct sockaddr*) &address, 0), 0);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &l, NULL, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &l, (uv_stream_t*) &tcp, NULL), 0);
  shut_down(); /* closes the loop, which must be empty */
  CHECK(uv_is_closing((uv_handle_t*) &tcp));
}

/* Each calls the other off. */
static uvsig_shutdown_listener_t listeners[3];
static unsigned stopped;

static void stop_alone(uvsig_shutdown_listener_t* l) {
  int i;

  stopped++;
  CHECK(l->shutdown == NULL);
  for (i = 0; i < 3; i++) {
    CHECK_EQ(uvsig_shutdown_remove_listener(&listeners[i]), 0);
    CHECK(listeners[i].shutdown == NULL);
    memset(&listeners[i], 0, sizeof(listeners[i]));
  }
}

static void count_stop(uvsig_shutdown_listener_t* l) {
  CHECK(l->stream == NULL);
  CHECK(l->data == &stopped);
  stopped++;
}

static void open_listeners(uvsig_shutdown_listener_cb cb) {
  int i;

  open_shutdown(LONG_MS);
  for (i = 0; i < 3; i++) {
    listeners[i].data = &stopped;
    CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listeners[i], NULL, cb), 0);
    CHECK(listeners[i].shutdown == &sd);
  }
}

static void every_listener_is_told_once(void) {
  open_listeners(count_stop);
  shut_down();
  CHECK_EQ(stopped, 3);
}

static void a_listener_that_was_removed_is_not_told(void) {
  open_listeners(count_stop);
  CHECK_EQ(uvsig_shutdown_remove_listener(&listeners[1]), 0);
  CHECK_EQ(uvsig_shutdown_remove_listener(&listeners[1]), 0);
  CHECK(listeners[1].shutdown == NULL);
  shut_down();
  CHECK_EQ(stopped, 2);
}

static void a_listeners_callback_may_remove_the_others(void) {
  open_listeners(stop_alone);
  shut_down();
  CHECK_EQ(stopped, 1);
}

static unsigned polled;

static void on_foreign(uv_poll_t* poll, int status, int events) {
  CHECK_EQ(status, 0);
  CHECK_EQ(events, UV_READABLE);
  CHECK_EQ(uv_poll_stop(poll), 0);
  polled++;
}

static void stop_foreign(uvsig_shutdown_listener_t* l) {
  CHECK_EQ(polled, 1);
  stopped++;
  uv_close(l->data, NULL);
}

/* The request comes first: the loop hears of both in one poll. */
static void a_foreign_listener_has_a_turn_to_accept(void) {
  uvsig_shutdown_listener_t l = {.data = NULL};
  uv_poll_t poll;
  int fds[2];

  open_shutdown(LONG_MS);
  CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
  CHECK_EQ(uv_poll_init(&f.loop, &poll, fds[0]), 0);
  CHECK_EQ(uv_poll_start(&poll, UV_READABLE, on_foreign), 0);
  l.data = &poll;
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &l, NULL, stop_foreign), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  CHECK_EQ(write(fds[1], "x", 1), 1);
  shut_down();
  CHECK_EQ(stopped, 1);
  close(fds[0]);
  close(fds[1]);
}

/* It never listens: uv_listen() was still to come. */
static void stop_stream(uvsig_shutdown_listener_t* l) {
  stopped++;
  uv_close((uv_handle_t*) l->stream, NULL);
}

static void a_listener_that_does_not_listen_yet_holds_nothing_up(void) {
  static uv_tcp_t tcp;
  uvsig_shutdown_listener_t l = {.data = NULL};

  open_shutdown(LONG_MS);
  CHECK_EQ(uv_tcp_init(&f.loop, &tcp), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &l, (uv_stream_t*) &tcp, stop_stream),
      0);
  CHECK(l.stream == (uv_stream_t*) &tcp);
  shut_down();
  CHECK_EQ(stopped, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_waits_to_be_accepted_is_accepted_and_served),
      TEST(what_comes_before_the_loop_sees_the_signal_is_served_too),
      TEST(what_waits_on_a_unix_socket_is_accepted_and_served),
      TEST(once_listeners_are_closed_connections_are_refused),
      TEST(idle_ones_are_closed_and_busy_ones_after_their_response),
      TEST(a_busy_one_is_forced_at_the_end_of_the_grace),
      TEST(one_that_closes_for_nothing_is_open_at_the_end),
      TEST(what_has_closed_before_the_shutdown_is_not_counted),
      TEST(a_client_that_goes_while_draining_is_closed_clean),
      TEST(idle_ones_are_closed_after_the_next_response),
      TEST(idle_ones_that_ask_for_nothing_are_forced_in_the_end),
      TEST(idle_ones_are_closed_one_by_one_longest_idle_first),
      TEST(the_spread_takes_no_longer_than_the_grace),
      TEST(one_that_becomes_idle_during_the_spread_is_closed_then),
      TEST(a_callback_may_free_the_other_connections),
      TEST(a_callback_may_free_all_connections_its_own_too),
      TEST(one_that_becomes_idle_or_busy_while_forcing_is_told_all_the_same),
      TEST(a_stream_that_was_given_is_closed),
      TEST(a_stream_of_another_loop_is_refused),
      TEST(a_listener_without_a_callback_is_closed),
      TEST(a_busy_one_may_become_idle_when_it_is_told_to_drain),
      TEST(those_that_come_while_draining_are_told_like_any_other),
      TEST(every_listener_is_told_once),
      TEST(a_listener_that_was_removed_is_not_told),
      TEST(a_listeners_callback_may_remove_the_others),
      TEST(a_foreign_listener_has_a_turn_to_accept),
      TEST(a_listener_that_does_not_listen_yet_holds_nothing_up),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
