/* SPDX-License-Identifier: MIT
 *
 * Servers in processes of their own: see server.h. What the server says goes
 * through a pipe, questions and answers through a socket pair.
 */

#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAKE = 0x7f, MOST_CUTS = 100, VALGRIND_ERROR = 99 };

static const char letters[UVSIG_SHUTDOWN_PHASES + 1] = "?ndfcD";

struct server server;
struct server_end ended;
pid_t server_pid;

static int said = -1; /* the server's end, or the test's */
static int talk = -1;

/* --- In the server: what it says ------------------------------------------ */

static uv_poll_t questions;

/* The socket pair is non-blocking, and never full. */
static void write_all(int fd, const void* data, size_t size) {
  CHECK_EQ(UNINTERRUPTED(write(fd, data, size)), (ssize_t) size);
}

void say(char letter) {
  write_all(said, &letter, 1);
}

int server_said(void) {
  return said;
}

void server_answer_no_more(void) {
  CHECK_EQ(uv_poll_stop(&questions), 0);
}

static long answer_to(int question) {
  uvsig_stats_t stats;
  long answer;

  switch (question) {
  case SERVER_RELEASE:
    return uvsig_shutdown_release(&server.hold);
  case SERVER_PHASE:
    return uvsig_shutdown_phase(&server.sd);
  case SERVER_IS_READY:
    return uvsig_shutdown_is_ready(&server.sd);
  default:
    if (server_conns_answer(question, &answer))
      return answer;
    if (question >= 32) {
      CHECK(server.on_question != NULL);
      return server.on_question(question);
    }
    uvsig_stats(&server.sig, question, &stats);
    return (long) stats.caught;
  }
}

static void on_question(uv_poll_t* handle, int status, int events) {
  unsigned char question;
  ssize_t n;
  long answer;

  (void) events;
  CHECK_EQ(status, 0);
  n = UNINTERRUPTED(read(talk, &question, 1));
  if (n == 0) { /* the test has ended */
    uv_poll_stop(handle);
    return;
  }
  CHECK_EQ(n, 1);
  answer = answer_to(question);
  write_all(talk, &answer, sizeof(answer));
}

void server_sleep(void) {
  struct pollfd pollfd = {talk, POLLIN, 0};
  char byte;
  int n;

  do
    n = poll(&pollfd, 1, SERVER_PATIENCE * 1000);
  while (n < 0 && errno == EINTR);
  CHECK_EQ(n, 1);
  CHECK_EQ(UNINTERRUPTED(read(talk, &byte, 1)), 1);
  CHECK_EQ(byte, WAKE);
}

/* --- In the server: its life ---------------------------------------------- */

static void on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase) {
  int i;

  CHECK(sd == &server.sd);
  CHECK(phase > UVSIG_SHUTDOWN_RUNNING && phase <= UVSIG_SHUTDOWN_DONE);
  for (i = phase; i <= UVSIG_SHUTDOWN_DONE; i++)
    CHECK_EQ(ended.phases[i], 0); /* always onwards */
  CHECK_EQ(uvsig_shutdown_phase(sd), phase);
  CHECK_EQ(uvsig_shutdown_is_ready(sd), 0);
  ended.phases[phase] = uv_hrtime();
  if (phase != UVSIG_SHUTDOWN_NOT_READY || server.options.delay_ms > 0)
    say(letters[phase]);
  if (server.on_phase != NULL)
    server.on_phase(phase);
}

void server_open(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = server.wakeup;
  CHECK_EQ(uv_loop_init(&server.loop), 0);
  CHECK_EQ(uvsig_init(&server.loop, &server.sig, &options), 0);
  server.options.phase_cb = on_phase;
  ended.began = uv_hrtime();
  CHECK_EQ(uvsig_shutdown_init(&server.sig, &server.sd, &server.options), 0);
  ended.initialised = uv_hrtime();
  CHECK_EQ(uv_poll_init(&server.loop, &questions, talk), 0);
  CHECK_EQ(uv_poll_start(&questions, UV_READABLE, on_question), 0);
  uv_unref((uv_handle_t*) &questions);
}

void server_finish(void) {
  const char* reason = server.sd.report.reason;
  int status;

  CHECK_EQ(uvsig_shutdown_phase(&server.sd), UVSIG_SHUTDOWN_DONE);
  uv_close((uv_handle_t*) &questions, NULL);
  server_conns_close();
  if (server.options.keep_sig)
    CHECK_EQ(uvsig_close(&server.sig, NULL), 0);
  CHECK_EQ(uv_run(&server.loop, UV_RUN_DEFAULT), 0);
  close_loop(&server.loop);
  CHECK_EQ(ended.freed, ended.accepted);
  ended.report = server.sd.report;
  if (reason != NULL)
    snprintf(ended.reason, sizeof(ended.reason), "%s", reason);
  say('E');
  write_all(said, &ended, sizeof(ended));
  if (server.hold.name != NULL) /* owed, although nobody waits for it */
    CHECK_EQ(uvsig_shutdown_release(&server.hold), 0);
  status = uvsig_shutdown_exit(&server.sd);
  CHECK(status >= 0);
  exit(status);
}

void server_run(void) {
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  server_finish();
}

void serve_nothing(void) {
  server_open();
  server_run();
}

void serve_job(void) {
  server_open();
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  server_run();
}

void serve_connections(void) {
  server_open();
  CHECK_EQ(server_listen(), 0);
  CHECK_EQ(uvsig_shutdown_ready(&server.sd), 0);
  server_run();
}

/* --- In the test: the process --------------------------------------------- */

void server_init(void) {
  memset(&server, 0, sizeof(server));
  memset(&ended, 0, sizeof(ended));
  uvsig_shutdown_options_init(&server.options);
  server.options.debounce_ms = LONG_MS;
  server.options.grace_ms = LONG_MS;
  server.options.hard_ms = LONG_MS;
  server.options.linger_ms = LONG_MS;
  server.options.fresh_ms = 0;
}

void server_use_signalfd(void) {
  struct fixture f;

  fixture_open_queued(&f);
  fixture_close(&f);
  server.wakeup = UVSIG_WAKEUP_SIGNALFD;
}

void server_start(void (*serve)(void)) {
  int pipe_fds[2];
  int pair[2];

  CHECK_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  fflush(NULL);
  server_pid = fork();
  CHECK(server_pid >= 0);
  if (server_pid == 0) {
    close(pipe_fds[0]);
    close(pair[0]);
    said = pipe_fds[1];
    talk = pair[1];
    CHECK(setsid() >= 0);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    serve();
    check_failed(__FILE__, __LINE__, "the server has returned");
  }
  close(pipe_fds[1]);
  close(pair[1]);
  said = pipe_fds[0];
  talk = pair[0];
}

void server_signal(int signum) {
  CHECK(server_pid > 0);
  CHECK_EQ(kill(server_pid, signum), 0);
}

/* Once it is caught it is the loop's, which has it before a second question. */
void server_catch(int signum, long nth) {
  server_signal(signum);
  server_ask_until(signum, nth);
  server_ask(signum);
  server_ask(signum);
}

/* 0: nothing came. What comes at all comes in time. */
static bool is_readable(int fd, int ms) {
  struct pollfd pollfd = {fd, POLLIN, 0};
  int n;

  do
    n = poll(&pollfd, 1, ms);
  while (n < 0 && errno == EINTR);
  CHECK(n >= 0);
  return n == 1;
}

static int wait_for_server(void) {
  int status;

  CHECK_EQ(UNINTERRUPTED(waitpid(server_pid, &status, 0)), server_pid);
  server_pid = 0;
  close(said);
  close(talk);
  return status;
}

/* False: the server has ended before. */
static bool read_or_end(int fd, void* data, size_t size) {
  char* to = data;

  while (size > 0) {
    ssize_t n;

    CHECK(is_readable(fd, SERVER_PATIENCE * 1000));
    n = UNINTERRUPTED(read(fd, to, size));
    if (n <= 0)
      return false;
    to += n;
    size -= (size_t) n;
  }
  return true;
}

static void read_all(int fd, void* data, size_t size) {
  if (!read_or_end(fd, data, size)) {
    child_passed(wait_for_server());
    check_failed(__FILE__, __LINE__, "the server has ended");
  }
}

void server_tell(int question) {
  unsigned char byte = (unsigned char) question;

  CHECK(send_fully(talk, &byte, 1));
}

void server_wake(void) {
  server_tell(WAKE);
}

long server_ask(int question) {
  long answer;

  server_tell(question);
  read_all(talk, &answer, sizeof(answer));
  return answer;
}

void server_ask_until(int question, long answer) {
  uint64_t limit = uv_hrtime() + (uint64_t) SERVER_PATIENCE * 1000000000;
  long given;

  while ((given = server_ask(question)) != answer) {
    if (uv_hrtime() > limit)
      CHECK_EQ(given, answer);
    uv_sleep(1); /* and leave the processor to it */
  }
}

static bool is_done; /* its D was read */

char server_hear(void) {
  char letter;

  read_all(said, &letter, 1);
  is_done |= letter == 'D';
  return letter;
}

void server_expect(const char* expected) {
  for (; *expected != 0; expected++) {
    char letter = server_hear();

    if (letter != *expected)
      check_failed(__FILE__,
                   __LINE__,
                   "the server said \"%c\", not \"%s\"",
                   letter,
                   expected);
  }
}

void server_await(char letter) {
  while (server_hear() != letter)
    ;
}

void server_silent(unsigned ms) {
  CHECK(!is_readable(said, (int) ms));
}

/* By a deadline: valgrind says of it what server_exits_at_once() knows. */
static bool was_cut_off(int status) {
  static unsigned times;

  if (!WIFEXITED(status) ||
      (WEXITSTATUS(status) != 128 + SIGTERM &&
       (WEXITSTATUS(status) != VALGRIND_ERROR || getenv("TEST_TOOL") == NULL)))
    return false;
  CHECK(++times < MOST_CUTS);
  return true;
}

static bool cut_off(void) {
  CHECK(was_cut_off(wait_for_server()));
  return true;
}

bool server_is_cut_off(const char* expected) {
  char letter;

  for (; *expected != 0; expected++) {
    if (!read_or_end(said, &letter, 1))
      return cut_off();
    CHECK_EQ(letter, *expected);
  }
  return false;
}

static bool is_over; /* and this is how: */
static int status_of_end;

/* The report was its last word. */
static int wait_for_silence(void) {
  char letter;

  CHECK(is_readable(said, SERVER_PATIENCE * 1000));
  CHECK_EQ(UNINTERRUPTED(read(said, &letter, 1)), 0);
  return wait_for_server();
}

/* A deadline goes on after D where something is left, see the library. */
bool server_is_overdue(const char* expected) {
  if (server_is_cut_off(expected) || server_is_cut_off("DE"))
    return true;
  if (!read_or_end(said, &ended, sizeof(ended)))
    return cut_off();
  status_of_end = wait_for_silence();
  is_over = !was_cut_off(status_of_end);
  return !is_over;
}

/* What holds of every shutdown. */
static void check_report(const struct server_end* e) {
  const uvsig_shutdown_report_t* report = &e->report;
  uint64_t last = 0;
  uint64_t sum = 0;
  int i;

  for (i = 0; i < UVSIG_SHUTDOWN_PHASES; i++) {
    sum += report->phase_ms[i];
    if (e->phases[i] > last && i < UVSIG_SHUTDOWN_DONE)
      last = e->phases[i];
  }
  /* Each phase is rounded. */
  CHECK(sum <= (e->phases[UVSIG_SHUTDOWN_DONE] - e->began) / 1000000 +
                   UVSIG_SHUTDOWN_PHASES);
  if (last != 0)
    CHECK(sum + UVSIG_SHUTDOWN_PHASES >= (last - e->initialised) / 1000000);
  CHECK_EQ(report->phase_ms[UVSIG_SHUTDOWN_DONE], 0);
  if (report->signum != 0)
    CHECK_STR(e->reason, uvsig_signal_name(report->signum));
  if (report->clean)
    CHECK_EQ(report->forced + report->open + report->killed + report->holds, 0);
  if (report->holds == 0)
    CHECK_STR(report->held, "");
}

int server_end(void) {
  if (!is_over) {
    server_expect(is_done ? "E" : "DE");
    read_all(said, &ended, sizeof(ended));
    status_of_end = wait_for_silence();
  }
  is_done = is_over = false;
  check_report(&ended);
  return status_of_end;
}

void server_dies(int signum) {
  int status = server_end();

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
}

void server_exits(int code) {
  int status = server_end();

  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), code);
}

void server_exits_at_once(int code) {
  char letter;
  int status;

  do {
    CHECK(is_readable(said, SERVER_PATIENCE * 1000));
    if (UNINTERRUPTED(read(said, &letter, 1)) != 1)
      break;
    CHECK(letter != 'E');
  } while (true);
  status = wait_for_server();
  CHECK(WIFEXITED(status));
  if (WEXITSTATUS(status) == VALGRIND_ERROR)
    skip_under_valgrind("what a thread has that runs at the end is lost to it");
  CHECK_EQ(WEXITSTATUS(status), code);
}
