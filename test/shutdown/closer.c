/* SPDX-License-Identifier: MIT
 *
 * Closers: what a shutdown tears down once connections are over, one after the
 * other.
 */

#include "../lib/server.h"

#include <string.h>
#include <unistd.h>

/* Each says its digit when it is called. */
static uvsig_shutdown_closer_t closers[3];
static unsigned count;  /* how many the server registers */
static unsigned called; /* how many were called */

static unsigned number_of(const uvsig_shutdown_closer_t* closer) {
  return (unsigned) (closer - closers);
}

static void say_number(uvsig_shutdown_closer_t* closer) {
  CHECK_EQ(uvsig_shutdown_phase(closer->shutdown), UVSIG_SHUTDOWN_CLOSING);
  called++;
  say((char) ('0' + number_of(closer)));
}

static void close_at_once(uvsig_shutdown_closer_t* closer) {
  say_number(closer);
  CHECK_EQ(uvsig_shutdown_closed(closer), 0);
  CHECK_EQ(uvsig_shutdown_closed(closer), 0);
}

static uvsig_shutdown_closer_cb close_cb;

static void add_closers(void) {
  unsigned i;

  for (i = 0; i < count; i++) {
    CHECK_EQ(uvsig_shutdown_add_closer(&server.sd, &closers[i], close_cb), 0);
    CHECK(closers[i].shutdown == &server.sd);
  }
}

static void serve_closers(void) {
  server_open();
  add_closers();
  server_run();
}

/* Asked a digit, that closer has closed. */
static long close_number(int question) {
  CHECK(question >= '0' && question < '3');
  return uvsig_shutdown_closed(&closers[question - '0']);
}

/* After server_init(), and what a test changes. */
static void start(void (*serve)(void),
                  unsigned n,
                  uvsig_shutdown_closer_cb cb) {
  count = n;
  close_cb = cb;
  server.on_question = close_number;
  server_start(serve);
  server_expect("r");
}

static void start_closers(unsigned n, uvsig_shutdown_closer_cb cb) {
  server_init();
  start(serve_closers, n, cb);
}

static void check_end(const char* said, int clean) {
  server_expect(said);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, clean);
}

static void they_are_called_one_by_one_the_last_first(void) {
  start_closers(3, say_number);
  server_signal(SIGTERM);
  server_expect("dc2");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_CLOSING);
  CHECK_EQ(server_ask('2'), 0);
  server_expect("1");
  CHECK_EQ(server_ask('1'), 0);
  server_expect("0");
  CHECK_EQ(server_ask('0'), 0);
  check_end("", 1);
  CHECK_EQ(ended.report.closers, 0);
}

static void they_may_close_at_once(void) {
  start_closers(3, close_at_once);
  server_signal(SIGTERM);
  check_end("dc210", 1);
}

static void one_that_has_closed_before_is_not_called(void) {
  start_closers(3, close_at_once);
  CHECK_EQ(server_ask('1'), 0);
  server_signal(SIGTERM);
  check_end("dc20", 1);
}

static void serve_connections_and_a_closer(void) {
  server_open();
  add_closers();
  CHECK_EQ(server_listen(), 0);
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  server_run();
}

static void they_come_when_connections_and_work_are_over(void) {
  int client;

  server_init();
  start(serve_connections_and_a_closer, 1, close_at_once);
  client = client_connect();
  client_send(client, "s");
  server_ask_until(SERVER_BUSY, 1);
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_ANSWER), 1);
  client_expect(client, "bye");
  client_expect_end(client);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  check_end("c0", 1);
}

static void they_come_after_forcing_too(void) {
  server_init();
  server.options.debounce_ms = 0;
  start(serve_connections_and_a_closer, 1, close_at_once);
  server_signal(SIGTERM);
  server_expect("d");
  server_signal(SIGTERM);
  server_expect("f");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  check_end("c0", 0);
}

/* The second is called all the same. */
static void one_that_does_not_close_is_not_waited_for_after_hard_ms(void) {
  do {
    server_init();
    server.options.hard_ms = 50;
    start(serve_closers, 2, say_number);
    server_signal(SIGTERM);
  } while (server_is_overdue("dc10"));
  check_end("", 0);
  CHECK_EQ(ended.report.closers, 2);
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_CLOSING] >= 49);
}

static void close_late(uvsig_shutdown_closer_t* closer) {
  say_number(closer);
  uv_sleep(51); /* not for anything to happen: time is over by then */
  CHECK_EQ(uvsig_shutdown_closed(closer), 0);
}

/* The loop was held up, and nobody has stopped to wait. */
static void one_that_closes_too_late_is_counted(void) {
  do {
    server_init();
    server.options.hard_ms = 50;
    start(serve_closers, 1, close_late);
    server_signal(SIGTERM);
  } while (server_is_overdue("dc0"));
  check_end("", 0);
  CHECK_EQ(ended.report.closers, 1);
}

/* The time of forcing is over: each is called, and none is waited for. */
static void they_are_called_where_no_time_is_left(void) {
  do {
    server_init();
    server.options.grace_ms = 0;
    server.options.hard_ms = 0;
    start(serve_connections_and_a_closer, 2, say_number);
    server_signal(SIGTERM);
  } while (server_is_overdue("dfc10"));
  check_end("", 0);
  CHECK_EQ(ended.report.closers, 2);
  CHECK_EQ(ended.report.holds, 1);
}

static void add_late(uvsig_shutdown_phase_t phase) {
  uvsig_shutdown_closer_t late;
  uvsig_shutdown_child_t child;

  memset(&late, 0, sizeof(late));
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    add_closers();
  if (phase < UVSIG_SHUTDOWN_CLOSING)
    return;
  CHECK_EQ(uvsig_shutdown_add_closer(&server.sd, &late, close_at_once),
           UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_add_child(&server.sd, &child, getpid()),
           UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), UV_ECANCELED);
}

static void one_may_come_until_closing_begins(void) {
  server_init();
  server.on_phase = add_late;
  start(serve_nothing, 1, close_at_once);
  server_signal(SIGTERM);
  check_end("dc0", 1);
}

static void on_given_up(uvsig_shutdown_t* sd) {
  CHECK(sd == &server.sd);
  CHECK(closers[0].shutdown == NULL);
  CHECK(closers[1].shutdown == NULL);
  say('x');
}

static void give_up(uvsig_shutdown_closer_t* closer) {
  say_number(closer);
  CHECK_EQ(uvsig_shutdown_close(&server.sd, on_given_up), 0);
}

/* After so many were called. */
static void run_until_given_up(unsigned expected) {
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(called, expected);
  _exit(7);
}

static void serve_until_given_up(void) {
  server_open();
  add_closers();
  run_until_given_up(1);
}

static void the_shutdown_may_be_given_up_in_one(void) {
  server_init();
  start(serve_until_given_up, 2, give_up);
  server_signal(SIGTERM);
  server_expect("dc1x");
  server_exits_at_once(7);
}

static void force_and_release(uv_timer_t* timer) {
  uv_close((uv_handle_t*) timer, NULL);
  CHECK_EQ(uvsig_shutdown_request(&server.sd, "test", UVSIG_SHUTDOWN_FORCED),
           0);
  CHECK_EQ(uvsig_shutdown_release(&server.hold), 0);
}

static void give_up_when_closing(uvsig_shutdown_phase_t phase) {
  static uv_timer_t timer;

  if (phase == UVSIG_SHUTDOWN_DRAINING) {
    CHECK_EQ(uv_timer_init(&server.loop, &timer), 0);
    CHECK_EQ(uv_timer_start(&timer, force_and_release, 1, 0), 0);
  }
  if (phase == UVSIG_SHUTDOWN_CLOSING)
    CHECK_EQ(uvsig_shutdown_close(&server.sd, on_given_up), 0);
}

static void serve_held_until_given_up(void) {
  server_open();
  add_closers();
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  run_until_given_up(0);
}

/* Though the shutdown was to be forced in the same turn of the loop. */
static void or_in_the_phases_callback(void) {
  server_init();
  server.on_phase = give_up_when_closing;
  start(serve_held_until_given_up, 2, close_at_once);
  server_signal(SIGTERM);
  server_expect("dcx");
  server_exits_at_once(7);
}

static void what_makes_no_sense_is_refused(void) {
  struct fixture f;
  uvsig_shutdown_t sd;
  uvsig_shutdown_closer_t closer;

  memset(&closer, 0, sizeof(closer));
  memset(&sd, 0, sizeof(sd));
  CHECK_EQ(uvsig_shutdown_add_closer(&sd, &closer, say_number), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_closer(NULL, &closer, say_number), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_closed(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_closed(&closer), 0);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  CHECK_EQ(uvsig_shutdown_add_closer(&sd, NULL, say_number), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_add_closer(&sd, &closer, NULL), UV_EINVAL);
  CHECK(closer.shutdown == NULL);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(they_are_called_one_by_one_the_last_first),
      TEST(they_may_close_at_once),
      TEST(one_that_has_closed_before_is_not_called),
      TEST(they_come_when_connections_and_work_are_over),
      TEST(they_come_after_forcing_too),
      TEST(one_that_does_not_close_is_not_waited_for_after_hard_ms),
      TEST(one_that_closes_too_late_is_counted),
      TEST(they_are_called_where_no_time_is_left),
      TEST(one_may_come_until_closing_begins),
      TEST(the_shutdown_may_be_given_up_in_one),
      TEST(or_in_the_phases_callback),
      TEST(what_makes_no_sense_is_refused),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
