/* SPDX-License-Identifier: MIT
 *
 * What a shutdown waits for, but for the life of a connection: holds, child
 * processes, listeners that fail, and a thousand connections that are idle.
 */

#include "../lib/server.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4 };

/* --- Holds ---------------------------------------------------------------- */

static uvsig_shutdown_hold_t holds[60];

static void serve_three_holds(void) {
  static const char* const names[] = {"first", "second", "third"};
  int i;

  server_open();
  for (i = 0; i < 3; i++)
    CHECK_EQ(uvsig_shutdown_hold(&server.sd, &holds[i], names[i]), 0);
  CHECK(holds[1].shutdown == &server.sd);
  CHECK_STR(holds[1].name, "second");
  CHECK_EQ(uvsig_shutdown_release(&holds[1]), 0);
  CHECK(holds[1].shutdown == NULL);
  CHECK_EQ(uvsig_shutdown_release(&holds[1]), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_release(&holds[0]), 0);
  CHECK_EQ(uvsig_shutdown_release(&holds[2]), 0);
  server_finish();
}

static void holds_that_are_never_released_are_named(void) {
  do {
    server_init();
    server.options.grace_ms = 50;
    server.options.hard_ms = 50;
    server_start(serve_three_holds);
    server_expect("r");
    server_signal(SIGTERM);
  } while (server_is_overdue("df"));
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.holds, 2);
  if (strcmp(ended.report.held, "third, first") != 0)
    CHECK_STR(ended.report.held, "first, third");
}

static void serve_many_holds(void) {
  size_t i;

  server_open();
  for (i = 0; i < sizeof(holds) / sizeof(*holds); i++)
    CHECK_EQ(uvsig_shutdown_hold(&server.sd, &holds[i], "a long name"), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  for (i = 0; i < sizeof(holds) / sizeof(*holds); i++)
    CHECK_EQ(uvsig_shutdown_release(&holds[i]), 0);
  server_finish();
}

static void more_names_than_there_is_room_for_are_cut(void) {
  const char* held = ended.report.held;
  size_t length;

  do {
    server_init();
    server.options.grace_ms = 10;
    server.options.hard_ms = 10;
    server_start(serve_many_holds);
    server_expect("r");
    server_signal(SIGTERM);
  } while (server_is_overdue("df"));
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.holds, sizeof(holds) / sizeof(*holds));
  length = strnlen(held, sizeof(ended.report.held));
  CHECK(length < sizeof(ended.report.held));
  CHECK(length > sizeof(ended.report.held) / 2);
  CHECK(strncmp(held, "a long name, a long name, ", 26) == 0);
  CHECK_STR(held + length - 3, "...");
}

static void release_from_thread(void* argument) {
  (void) argument;
  server_sleep();
  CHECK_EQ(uvsig_shutdown_release(&holds[0]), 0);
}

static void hold_from_thread(void* argument) {
  (void) argument;
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &holds[0], "thread"), 0);
}

static uv_thread_t releasing;

/* The questions' handle must not read what wakes the thread. */
static void begin_to_release(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING) {
    server_answer_no_more();
    CHECK_EQ(uv_thread_create(&releasing, release_from_thread, NULL), 0);
  }
}

static void serve_held_by_thread(void) {
  uv_thread_t thread;

  server_open();
  CHECK_EQ(uv_thread_create(&thread, hold_from_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uv_thread_join(&releasing), 0);
  server_finish();
}

static void other_threads_hold_and_release(void) {
  server_init();
  server.on_phase = begin_to_release;
  server_start(serve_held_by_thread);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_silent(50);
  server_wake();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

static void hold_in_each_phase(uvsig_shutdown_phase_t phase) {
  uvsig_shutdown_hold_t hold;
  uvsig_shutdown_hold_t before;

  memset(&hold, 0x5a, sizeof(hold));
  before = hold;
  if (phase <= UVSIG_SHUTDOWN_DRAINING) {
    CHECK_EQ(uvsig_shutdown_hold(&server.sd, &holds[phase], "late"), 0);
  } else {
    CHECK_EQ(uvsig_shutdown_hold(&server.sd, &hold, "late"), UV_ECANCELED);
    CHECK_EQ(memcmp(&hold, &before, sizeof(hold)), 0);
  }
}

static long release_late(int question) {
  CHECK_EQ(question, '-');
  CHECK_EQ(uvsig_shutdown_release(&holds[UVSIG_SHUTDOWN_NOT_READY]), 0);
  return uvsig_shutdown_release(&holds[UVSIG_SHUTDOWN_DRAINING]);
}

static void work_may_begin_while_draining_and_not_when_forcing(void) {
  server_init();
  server.options.debounce_ms = 0;
  server.on_phase = hold_in_each_phase;
  server.on_question = release_late;
  server_start(serve_nothing);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  server_signal(SIGTERM);
  server_expect("f");
  CHECK_EQ(server_ask('-'), 0);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.holds, 0);
}

/* Threads that begin and end work all the time are waited for, or refused. */

static atomic_int working;

static void hold_until_refused(void* argument) {
  uvsig_shutdown_hold_t hold = {.data = NULL};
  int err;

  (void) argument;
  while ((err = uvsig_shutdown_hold(&server.sd, &hold, "work")) == 0) {
    working++;
    sched_yield();
    working--;
    CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  }
  CHECK_EQ(err, UV_ECANCELED);
}

static void check_nobody_works(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DONE && server.sd.report.holds == 0)
    CHECK_EQ(working, 0);
}

static void serve_workers(void) {
  uv_thread_t threads[THREADS];
  int i;

  server_open();
  for (i = 0; i < THREADS; i++)
    CHECK_EQ(uv_thread_create(&threads[i], hold_until_refused, NULL), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  for (i = 0; i < THREADS; i++)
    CHECK_EQ(uv_thread_join(&threads[i]), 0);
  server_finish();
}

static void work_that_races_with_the_shutdown_is_held_or_refused(void) {
  unsigned rounds = scaled(50);

  while (rounds-- > 0) {
    server_init();
    server.options.grace_ms = 20;
    server.on_phase = check_nobody_works;
    server_start(serve_workers);
    server_expect("r");
    server_signal(SIGTERM);
    server_await('D');
    server_dies(SIGTERM);
    CHECK_EQ(ended.report.holds, 0);
  }
}

/* --- Work for the pool ---------------------------------------------------- */

static uvsig_shutdown_work_t* work;
static atomic_int work_done;
static int work_status = 1;

static void sleep_in_pool(uvsig_shutdown_work_t* w) {
  CHECK(w == work);
  CHECK(!uvsig_is_loop_thread(&server.sig));
  server_sleep();
  work_done = 1;
}

static void free_after_work(uvsig_shutdown_work_t* w, int status) {
  CHECK(w == work);
  CHECK(uvsig_is_loop_thread(&server.sig));
  CHECK(w->data == &work_status);
  CHECK(w->shutdown == &server.sd);
  CHECK_EQ(uvsig_shutdown_phase(&server.sd), UVSIG_SHUTDOWN_DRAINING);
  work_status = status;
  memset(w, 0x5a, sizeof(*w)); /* nobody looks at it any more */
  free(w);
}

static void queue_work(uvsig_shutdown_after_work_cb after_work_cb) {
  server_open();
  server_answer_no_more();
  work = malloc(sizeof(*work));
  CHECK(work != NULL);
  memset(work, 0x5a, sizeof(*work));
  work->data = &work_status;
  CHECK_EQ(uvsig_shutdown_queue_work(
               &server.sd, work, "pool", sleep_in_pool, after_work_cb),
           0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
}

static void serve_work(void) {
  queue_work(free_after_work);
  CHECK_EQ(work_done, 1);
  CHECK_EQ(work_status, 0);
  server_finish();
}

static void a_shutdown_waits_for_work_and_goes_on_after_its_callback(void) {
  server_init();
  server_start(serve_work);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_silent(50);
  server_wake();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

static void serve_work_without_callback(void) {
  queue_work(NULL);
  CHECK_EQ(work_done, 1);
  CHECK(work->hold.shutdown == NULL);
  free(work);
  server_finish();
}

static void work_needs_no_callback(void) {
  server_init();
  server_start(serve_work_without_callback);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_wake();
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

static uv_sem_t sem;

static void wait_in_pool(uvsig_shutdown_work_t* w) {
  (void) w;
  uv_sem_wait(&sem);
}

/* The work ends, and then the loop, when the shutdown is over. */
static void serve_work_without_end(void) {
  static uvsig_shutdown_work_t endless;

  server_open();
  CHECK_EQ(uv_sem_init(&sem, 0), 0);
  CHECK_EQ(uvsig_shutdown_queue_work(
               &server.sd, &endless, "pool", wait_in_pool, NULL),
           0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  uv_sem_post(&sem);
  uv_run(&server.loop, UV_RUN_DEFAULT);
  uv_sem_destroy(&sem);
  server_finish();
}

static void work_that_does_not_end_is_named(void) {
  do {
    server_init();
    server.options.grace_ms = 50;
    server.options.hard_ms = 50;
    server_start(serve_work_without_end);
    server_expect("r");
    server_signal(SIGTERM);
  } while (server_is_overdue("df"));
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.holds, 1);
  CHECK_STR(ended.report.held, "pool");
}

static void note_status(uvsig_shutdown_work_t* w, int status) {
  *(int*) w->data = status;
  uv_sem_post(&sem);
}

/* One thread, which the first work keeps. */
static void serve_cancelled_work(void) {
  static uvsig_shutdown_work_t first;
  static uvsig_shutdown_work_t second;

  CHECK_EQ(setenv("UV_THREADPOOL_SIZE", "1", 1), 0);
  server_open();
  CHECK_EQ(uv_sem_init(&sem, 0), 0);
  second.data = &work_status;
  CHECK_EQ(uvsig_shutdown_queue_work(
               &server.sd, &first, "first", wait_in_pool, NULL),
           0);
  CHECK_EQ(uvsig_shutdown_queue_work(
               &server.sd, &second, "second", wait_in_pool, note_status),
           0);
  CHECK_EQ(uv_cancel((uv_req_t*) &second.req), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(work_status, UV_ECANCELED);
  uv_sem_destroy(&sem);
  server_finish();
}

static void work_that_is_cancelled_is_not_held_any_more(void) {
  server_init();
  server_start(serve_cancelled_work);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

static void queue_elsewhere(void* argument) {
  (void) argument;
  CHECK_EQ(uvsig_shutdown_queue_work(
               &server.sd, work, "thread", sleep_in_pool, NULL),
           UV_EPERM);
}

/* In its last phases, in another thread, without what it needs: nothing is
 * touched. */
static void check_refused(uvsig_shutdown_phase_t phase) {
  static uvsig_shutdown_work_t w;
  uvsig_shutdown_work_t before = w;
  uv_thread_t thread;

  work = &w;
  CHECK_EQ(uv_thread_create(&thread, queue_elsewhere, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_shutdown_queue_work(NULL, &w, "no", sleep_in_pool, NULL),
           UV_EINVAL);
  CHECK_EQ(
      uvsig_shutdown_queue_work(&server.sd, NULL, "no", sleep_in_pool, NULL),
      UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_queue_work(&server.sd, &w, NULL, sleep_in_pool, NULL),
           UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_queue_work(&server.sd, &w, "no", NULL, NULL),
           UV_EINVAL);
  if (phase >= UVSIG_SHUTDOWN_FORCING)
    CHECK_EQ(
        uvsig_shutdown_queue_work(&server.sd, &w, "no", sleep_in_pool, NULL),
        UV_ECANCELED);
  CHECK_EQ(memcmp(&w, &before, sizeof(w)), 0);
}

static void work_that_is_refused_is_not_held(void) {
  server_init();
  server.options.debounce_ms = 0;
  server.on_phase = check_refused;
  server_start(serve_job);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_signal(SIGTERM);
  server_expect("f");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.holds, 0);
}

/* --- Idle connections, many ----------------------------------------------- */

static int clients[1000];

static void allow_files(unsigned count) {
  struct rlimit limit;

  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur < count + 100)
    limit.rlim_cur = count + 100;
  if (limit.rlim_cur > limit.rlim_max)
    skip_test("this user may not open so many files");
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Connect as many as there can be, and begin to shut down. */
static unsigned begin_with_many(uvsig_shutdown_idle_t idle) {
  unsigned count = scaled(1000);
  unsigned i;

  allow_files(count);
  server_init();
  server.options.spread_ms = 300;
  server.options.idle = idle;
  server_start(serve_connections);
  server_expect("r");
  for (i = 0; i < count; i++) {
    clients[i] = client_connect();
    CHECK(clients[i] >= 0);
  }
  server_ask_until(SERVER_ACCEPTED, count);
  server_signal(SIGTERM);
  server_expect("d");
  return count;
}

static void end_with_many(unsigned count) {
  unsigned i;

  for (i = 0; i < count; i++)
    client_expect_end(clients[i]);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.report.closed, count);
  CHECK_EQ(ended.report.forced + ended.report.open, 0);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], count);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], count);
  CHECK_EQ(ended.told[UVSIG_SHUTDOWN_CONNECTION_FORCE], 0);
}

static void a_thousand_idle_connections_are_closed_at_once(void) {
  end_with_many(begin_with_many(UVSIG_SHUTDOWN_IDLE_CLOSE));
}

static void a_thousand_idle_connections_are_closed_after_a_response(void) {
  unsigned count = begin_with_many(UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE);
  unsigned i;

  for (i = 0; i < count; i++)
    client_send(clients[i], "g");
  for (i = 0; i < count; i++)
    client_expect(clients[i], "bye");
  end_with_many(count);
}

static void a_thousand_idle_connections_are_closed_one_by_one(void) {
  end_with_many(begin_with_many(UVSIG_SHUTDOWN_IDLE_SPREAD));
  /* However the moments are spread, they are not all at the beginning. */
  CHECK(ended.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= 100);
}

/* --- Listeners that fail -------------------------------------------------- */

static struct rlimit files;

/* Not one more descriptor: what connects meanwhile cannot be accepted. */
static long run_out_of_files(int question) {
  struct rlimit limit;
  int fd = dup(STDERR_FILENO);

  CHECK_EQ(question, 'L');
  CHECK(fd >= 0);
  close(fd);
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  limit = files;
  limit.rlim_cur = (rlim_t) fd;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  say('o');
  server_sleep();
  return 0;
}

static void have_files_again(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DONE)
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static void a_listener_that_is_out_of_files_holds_nothing_up(void) {
  int i;

  server_init();
  server.on_question = run_out_of_files;
  server.on_phase = have_files_again;
  server_start(serve_connections);
  server_expect("r");
  clients[0] = client_connect(); /* asks for the port */
  server_ask_until(SERVER_ACCEPTED, 1);
  server_tell('L');
  server_expect("o");
  for (i = 1; i < 4; i++) {
    clients[i] = client_connect();
    CHECK(clients[i] >= 0);
  }
  server_signal(SIGTERM);
  server_wake();
  server_expect("d");
  for (i = 0; i < 4; i++)
    client_read_all(clients[i]); /* closed or reset: nobody could serve them */
  server_dies(SIGTERM);
  CHECK_EQ(ended.stopped, 1);
  CHECK_EQ(ended.report.open, 0);
}

static long close_listener(int question) {
  CHECK_EQ(question, 'X');
  server_close_listener();
  return 0;
}

static void a_listener_that_is_closed_already_holds_nothing_up(void) {
  server_init();
  server.on_question = close_listener;
  server_start(serve_connections);
  server_expect("r");
  CHECK_EQ(server_ask('X'), 0);
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.stopped, 1);
  CHECK_EQ(ended.report.clean, 1);
}

/* Closing at the very moment. */
static void close_when_draining(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    server_close_listener();
}

static void a_listener_that_is_closed_by_the_phase_callback_is_survived(void) {
  server_init();
  server.on_phase = close_when_draining;
  server_start(serve_connections);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(holds_that_are_never_released_are_named),
      TEST(more_names_than_there_is_room_for_are_cut),
      TEST(other_threads_hold_and_release),
      TEST(a_shutdown_waits_for_work_and_goes_on_after_its_callback),
      TEST(work_needs_no_callback),
      TEST(work_that_does_not_end_is_named),
      TEST(work_that_is_cancelled_is_not_held_any_more),
      TEST(work_that_is_refused_is_not_held),
      TEST(work_may_begin_while_draining_and_not_when_forcing),
      TEST(work_that_races_with_the_shutdown_is_held_or_refused),
      TEST(a_thousand_idle_connections_are_closed_at_once),
      TEST(a_thousand_idle_connections_are_closed_after_a_response),
      TEST(a_thousand_idle_connections_are_closed_one_by_one),
      TEST(a_listener_that_is_out_of_files_holds_nothing_up),
      TEST(a_listener_that_is_closed_already_holds_nothing_up),
      TEST(a_listener_that_is_closed_by_the_phase_callback_is_survived),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
