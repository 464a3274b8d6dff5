/* SPDX-License-Identifier: MIT
 *
 * examples/echo-server from outside: clients over TCP and through a UNIX
 * socket, busy, idle and deaf ones, and how each of them and the server end.
 */

#include "../lib/program.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  DEBOUNCE_MS = 200,
  SEVERAL = 20,
  MUCH = 100000,
  MOST_TRIES = 50,
  MOST_QUEUED = 64,
  AT_ONCE = 4
};

#define NO_FOLDER "/there/is/no/such/folder"
#define TWENTY    "twenty characters..."
#define TOO_LONG  "/" TWENTY TWENTY TWENTY TWENTY TWENTY TWENTY

static struct program server;
static unsigned port;
static char folder[] = "/tmp/uvsig-echo-XXXXXX";
static char path[64], pipe_option[80];

/* --- Server and clients --------------------------------------------------- */

static void launch(struct program* p, const char* grace, const char* hard) {
  program_start_2to1(
      p,
      LIST("examples/echo-server", "--port=0", pipe_option, grace, hard),
      NULL);
}

static void await(void) {
  port = program_port(&server, "Serving on ");
  program_line(&server, "Serving on /");
}

static void start_with(const char* grace, const char* hard) {
  unlink(path); /* of a test that failed */
  launch(&server, grace, hard);
  await();
}

/* The longest times, for what must not take that long. */
#define LONGEST "--grace=3600", "--hard=3600"

static void start(void) {
  start_with(LONGEST);
}

static int over_tcp(void) {
  return connect_to(port);
}

static int through_pipe(void) {
  return connect_to_path(path);
}

static int (*const connect_client[])(void) = {over_tcp, through_pipe};

static void exchange(int fd, const char* text) {
  send_text(fd, text);
  expect_text(fd, text);
}

static void drain(int signum) {
  char line[64];

  program_signal(&server, signum);
  snprintf(line, sizeof(line), "%s: finishing", uvsig_signal_name(signum));
  program_line(&server, line);
}

/* `report`: the end of the last line, which begins with the signal. There is no
 * complaint after it. */
static void ends_by(int signum, const char* report) {
  const char* line = program_line(&server, "");
  const char* cause = uvsig_signal_name(signum);
  int status;

  CHECK(strlen(line) >= strlen(report));
  CHECK_STR(line + strlen(line) - strlen(report), report);
  CHECK(strncmp(line, cause, strlen(cause)) == 0);
  program_output_ends(&server);
  status = program_finish(&server);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
  CHECK_EQ(access(path, F_OK), -1);
  CHECK_EQ(errno, ENOENT);
}

/* --- Serving -------------------------------------------------------------- */

static void each_of_several_clients_gets_its_own_lines(void) {
  unsigned several = scaled(SEVERAL) < 4 ? 4 : scaled(SEVERAL);
  int fds[SEVERAL];
  char text[64];
  unsigned i;

  start();
  for (i = 0; i < several; i++)
    fds[i] = connect_client[i % 2]();
  for (i = 0; i < several; i++) {
    snprintf(text, sizeof(text), "this is %u\nand ", i);
    send_text(fds[i], text);
  }
  for (i = several; i-- > 0;) {
    snprintf(text, sizeof(text), "this is %u\nand ", i);
    expect_text(fds[i], text);
    exchange(fds[i], "that\n\n");
  }
  for (i = 0; i < several; i++)
    close(fds[i]);
  drain(SIGTERM);
  ends_by(SIGTERM, ", 0 forced, 0 cut");
}

static void a_client_that_ends_its_input_gets_the_rest_and_the_end(void) {
  unsigned i;
  int fd;

  start();
  for (i = 0; i < 2; i++) {
    fd = connect_client[i]();
    send_text(fd, "one\ntwo");
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    expect_text(fd, "one\ntwo");
    expect_end(fd);
  }
  drain(SIGTERM);
  ends_by(SIGTERM, ", 0 forced, 0 cut");
}

static void a_client_that_hangs_up_harms_no_other(void) {
  struct linger reset = {1, 0};
  unsigned i;
  int fd;
  int other;

  start();
  other = over_tcp();
  for (i = 0; i < 10; i++) {
    fd = connect_client[i % 2]();
    send_text(fd, "nobody reads this");
    if (i >= 5)
      expect_text(fd, "nobody");
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fd);
    exchange(other, "still here\n");
  }
  drain(SIGTERM);
  expect_end(other);
  ends_by(SIGTERM, ", 0 forced, 0 cut");
}

/* --- Finishing ------------------------------------------------------------ */

static void without_clients_it_ends_by_the_signal(void) {
  start();
  drain(SIGTERM);
  ends_by(SIGTERM, "0 closed, 0 forced, 0 cut");
  start();
  drain(SIGINT);
  ends_by(SIGINT, "0 closed, 0 forced, 0 cut");
}

static void a_line_under_way_is_answered_whole(void) {
  int fds[2];
  unsigned i;

  start();
  for (i = 0; i < 2; i++) {
    fds[i] = connect_client[i]();
    exchange(fds[i], "hel");
  }
  drain(SIGTERM);
  for (i = 0; i < 2; i++) {
    exchange(fds[i], "l");
    send_text(fds[i], "o\nworld\n");
    expect_text(fds[i], "o\n");
    expect_end(fds[i]);
  }
  ends_by(SIGTERM, "2 closed, 0 forced, 0 cut");
}

/* More than goes at once, to a client that does not read before the server is
 * about to end, and sends more than is answered. */
static void a_long_line_under_way_is_answered_whole(void) {
  static char text[MUCH + 1];
  int small = 4096;
  size_t left;
  ssize_t n;
  int fd;

  start();
  fd = over_tcp();
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
  memset(text, 'x', MUCH);
  send_text(fd, text);
  expect_text(fd, "x");
  drain(SIGTERM);
  send_text(fd, "\n");
  send_text(fd, text); /* which nobody reads: to close now would be a reset */
  for (left = MUCH - 1; left > 0; left -= (size_t) n) {
    wait_readable(fd);
    n = UNINTERRUPTED(recv(fd, text, left, 0));
    CHECK(n > 0);
  }
  expect_text(fd, "\n");
  expect_end(fd);
  ends_by(SIGTERM, "1 closed, 0 forced, 0 cut");
}

static void idle_clients_see_the_end_while_a_busy_one_does_not(void) {
  int idle[2];
  int silent[2];
  unsigned i;
  int busy;

  start();
  busy = over_tcp();
  exchange(busy, "wait ");
  for (i = 0; i < 2; i++) {
    idle[i] = connect_client[i]();
    exchange(idle[i], "a line\n");
    silent[i] = connect_client[i](); /* has never sent anything */
  }
  drain(SIGTERM);
  for (i = 0; i < 2; i++) {
    expect_end(idle[i]);
    expect_end(silent[i]);
  }
  CHECK(!program_has_ended(&server));
  exchange(busy, "for me\n");
  expect_end(busy);
  ends_by(SIGTERM, "5 closed, 0 forced, 0 cut");
}

/* While the server is stopped: a line of a client that was idle, then the
 * signal; and a client that is not accepted yet. */
static void what_came_before_the_signal_is_answered(void) {
  int idle[2];
  int fresh[2];
  unsigned i;

  start();
  for (i = 0; i < 2; i++) {
    idle[i] = connect_client[i]();
    exchange(idle[i], "a line\n");
  }
  program_signal(&server, SIGSTOP);
  for (i = 0; i < 2; i++) {
    send_text(idle[i], "another\n");
    fresh[i] = connect_client[i]();
    send_text(fresh[i], "hello\n");
    wait_delivered(idle[i]);
    wait_delivered(fresh[i]);
  }
  program_signal(&server, SIGTERM);
  program_signal(&server, SIGCONT);
  for (i = 0; i < 2; i++) {
    expect_text(idle[i], "another\n");
    expect_end(idle[i]);
    expect_text(fresh[i], "hello\n");
    expect_end(fresh[i]);
  }
  program_line(&server, "SIGTERM: finishing");
  ends_by(SIGTERM, "4 closed, 0 forced, 0 cut");
}

static bool refused(void* data) {
  int fd = try_connect(port);

  (void) data;
  if (fd >= 0)
    close(fd);
  return fd == UV_ECONNREFUSED;
}

static void while_it_finishes_others_are_refused(void) {
  int busy;

  start();
  busy = over_tcp();
  exchange(busy, "wait ");
  drain(SIGTERM);
  wait_until(refused, NULL, "a client to be refused");
  CHECK_EQ(try_connect_path(path), UV_ENOENT);
  exchange(busy, "for me\n");
  expect_end(busy);
  ends_by(SIGTERM, ", 0 forced, 0 cut");
}

/* --- Forcing -------------------------------------------------------------- */

/* Send until nothing goes any more: the answers wait in the server. */
static void fill(int fd) {
  static char text[65536];
  unsigned in_vain = 0;

  memset(text, 'x', sizeof(text));
  while (in_vain < 20) {
    if (send(fd, text, sizeof(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
      in_vain = 0;
    } else {
      CHECK(errno == EAGAIN || errno == EWOULDBLOCK);
      in_vain++;
      uv_sleep(5);
    }
  }
}

/* The hard deadline is to be met by the loop; where the machine is so slow that
 * it ends the process, which may say no more, false. */
static bool ends_by_time(uint64_t begin) {
  const char* line = program_line_or_end(&server, "");
  int status;

  if (line != NULL) {
    CHECK_STR(line, "SIGTERM: finishing");
    line = program_line_or_end(&server, "");
  }
  if (line != NULL) {
    CHECK_STR(line, "time is up");
    CHECK((uv_hrtime() - begin) / 1000000 >= 300);
    line = program_line_or_end(&server, "");
  }
  if (line != NULL) {
    CHECK_STR(line, "SIGTERM: 0 closed, 0 forced, 1 cut");
    program_output_ends(&server);
  }
  status = program_finish(&server);
  if (line == NULL || WIFEXITED(status)) {
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
    return false;
  }
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
  CHECK_EQ(access(path, F_OK), -1);
  return true;
}

static bool is_deaf_in_vain(int (*connect_deaf)(void)) {
  uint64_t begin;
  bool ends;
  int deaf;

  start_with("--grace=0.3", "--hard=0.2");
  deaf = connect_deaf();
  fill(deaf);
  begin = uv_hrtime();
  program_signal(&server, SIGTERM);
  ends = ends_by_time(begin);
  close(deaf);
  return ends;
}

static void check_deaf(int (*connect_deaf)(void)) {
  unsigned tries = 0;

  while (!is_deaf_in_vain(connect_deaf))
    CHECK(++tries < MOST_TRIES);
}

static void a_client_that_never_reads_does_not_outlast_the_deadline(void) {
  check_deaf(over_tcp);
}

static void nor_does_one_of_the_unix_socket(void) {
  check_deaf(through_pipe);
}

static void a_client_that_never_ends_its_line_sees_the_end(void) {
  int busy;

  start_with("--grace=0.3", "--hard=3600");
  busy = over_tcp();
  exchange(busy, "and then, and then");
  drain(SIGTERM);
  CHECK_STR(program_line(&server, ""), "time is up");
  expect_end(busy);
  ends_by(SIGTERM, "0 closed, 1 forced, 0 cut");
}

static void a_second_signal_forces(void) {
  uint64_t time;
  int busy;

  start();
  busy = over_tcp();
  exchange(busy, "and then, and then");
  time = uv_hrtime();
  drain(SIGTERM);
  uv_sleep(DEBOUNCE_MS + 50); /* what comes before does not count */
  program_signal(&server, SIGINT);
  CHECK_STR(program_line(&server, ""), "time is up");
  CHECK((uv_hrtime() - time) / 1000000 < 3600000); /* not the grace's end */
  expect_end(busy);
  ends_by(SIGTERM, "0 closed, 1 forced, 0 cut");
}

/* --- The socket file ------------------------------------------------------ */

static int listen_at(const char* name, int backlog) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  CHECK(fd >= 0);
  CHECK(strlen(name) < sizeof(address.sun_path));
  strcpy(address.sun_path, name);
  CHECK_EQ(bind(fd, (struct sockaddr*) &address, sizeof(address)), 0);
  CHECK_EQ(listen(fd, backlog), 0);
  return fd;
}

/* As a server that was killed leaves it. */
static void leave_stale_file(void) {
  unlink(path); /* of a test that failed */
  close(listen_at(path, 0));
  CHECK_EQ(try_connect_path(path), UV_ECONNREFUSED);
}

static void a_stale_socket_file_is_taken_over(void) {
  int fd;

  start();
  program_signal(&server, SIGKILL);
  program_finish(&server);
  CHECK_EQ(try_connect_path(path), UV_ECONNREFUSED);
  launch(&server, LONGEST);
  await();
  fd = through_pipe();
  exchange(fd, "hello\n");
  close(fd);
  drain(SIGTERM);
  ends_by(SIGTERM, ", 0 forced, 0 cut");
}

/* It exits with 1, and says why of the socket's path. */
static void check_refused(int err) {
  struct program p;
  char line[128];
  int status;

  launch(&p, LONGEST);
  snprintf(line, sizeof(line), "echo-server: %s: %s", path, uv_strerror(err));
  CHECK_STR(program_line(&p, "echo-server: "), line);
  status = program_finish(&p);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 1);
}

static void a_server_that_listens_is_left_alone(void) {
  int fd;

  start();
  fd = through_pipe();
  exchange(fd, "before\n");
  check_refused(UV_EADDRINUSE);
  exchange(fd, "after\n");
  close(fd);
  fd = through_pipe();
  exchange(fd, "and others\n");
  close(fd);
  drain(SIGTERM);
  ends_by(SIGTERM, ", 0 forced, 0 cut");
}

/* Nobody accepts, and the queue is full: connect() would wait. */
static void nor_is_one_disturbed_that_does_not_accept(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int clients[MOST_QUEUED];
  unsigned count = 0;
  int listener;
  int result;

  unlink(path); /* of a test that failed */
  listener = listen_at(path, 0);
  strcpy(address.sun_path, path);
  do {
    CHECK(count < MOST_QUEUED);
    clients[count] =
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(clients[count] >= 0);
    result =
        connect(clients[count++], (struct sockaddr*) &address, sizeof(address));
  } while (result == 0);
  CHECK_EQ(errno, EAGAIN);
  check_refused(UV_EADDRINUSE);
  CHECK_EQ(access(path, F_OK), 0);
  while (count > 0)
    close(clients[--count]);
  close(listener);
  CHECK_EQ(unlink(path), 0);
}

static void of_several_at_a_stale_file_one_serves(void) {
  struct program all[AT_ONCE];
  const char* line;
  unsigned serving;
  unsigned round;
  unsigned i;
  int fd;

  for (round = 0; round < scaled(20); round++) {
    leave_stale_file();
    for (i = 0; i < AT_ONCE; i++)
      launch(&all[i], LONGEST);
    for (i = 0, serving = 0; i < AT_ONCE; i++) {
      do
        line = program_line_or_end(&all[i], "");
      while (line != NULL && strncmp(line, "Serving on /", 12) != 0);
      if (line == NULL) {
        CHECK_EQ(WEXITSTATUS(program_finish(&all[i])), 1);
      } else {
        serving++;
        server = all[i];
      }
    }
    CHECK_EQ(serving, 1);
    fd = through_pipe();
    exchange(fd, "hello\n");
    close(fd);
    drain(SIGTERM);
    ends_by(SIGTERM, ", 0 forced, 0 cut");
  }
}

static bool waits_for_lock(void* data) {
  FILE* file = fopen("/proc/locks", "re");
  char waiter[32];
  char line[256];
  bool waits = false;

  (void) data;
  CHECK(file != NULL);
  snprintf(waiter, sizeof(waiter), " %ld ", (long) server.pid);
  while (fgets(line, sizeof(line), file) != NULL)
    waits = waits ||
            (strstr(line, "-> FLOCK") != NULL && strstr(line, waiter) != NULL);
  fclose(file);
  return waits;
}

/* Another server is about to take the file over: it has the folder's lock. */
static void it_looks_when_no_other_server_is_at_it(void) {
  char line[128];
  int listener;
  int fd;

  if (access("/proc/locks", R_OK) != 0)
    skip_test("who waits for a lock is not to be seen here");
  leave_stale_file();
  fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK(fd >= 0);
  CHECK_EQ(flock(fd, LOCK_EX), 0);
  launch(&server, LONGEST);
  wait_until(waits_for_lock, NULL, "the server to wait");
  CHECK_EQ(unlink(path), 0);
  listener = listen_at(path, 0);
  close(fd); /* it goes on */
  snprintf(line,
           sizeof(line),
           "echo-server: %s: %s",
           path,
           uv_strerror(UV_EADDRINUSE));
  CHECK_STR(program_line(&server, "echo-server: "), line);
  CHECK_EQ(WEXITSTATUS(program_finish(&server)), 1);
  CHECK_EQ(unlink(path), 0);
  close(listener);
}

static void what_is_no_socket_is_left_alone(void) {
  char other[80];
  struct stat st;

  snprintf(other, sizeof(other), "%s.other", path);
  unlink(path); /* of a test that failed */
  CHECK_EQ(mknod(path, S_IFREG | 0600, 0), 0);
  check_refused(UV_ENOTSOCK);
  CHECK_EQ(lstat(path, &st), 0);
  CHECK(S_ISREG(st.st_mode));
  CHECK_EQ(unlink(path), 0);

  CHECK_EQ(mkfifo(path, 0600), 0);
  check_refused(UV_ENOTSOCK);
  CHECK_EQ(lstat(path, &st), 0);
  CHECK(S_ISFIFO(st.st_mode));
  CHECK_EQ(unlink(path), 0);

  /* A link to a stale socket, which is not followed. */
  leave_stale_file();
  CHECK_EQ(rename(path, other), 0);
  CHECK_EQ(symlink(other, path), 0);
  check_refused(UV_ENOTSOCK);
  CHECK_EQ(lstat(path, &st), 0);
  CHECK(S_ISLNK(st.st_mode));
  CHECK_EQ(access(other, F_OK), 0);
  CHECK_EQ(unlink(path), 0);
  CHECK_EQ(unlink(other), 0);
}

/* A successor that has put its own socket there while this one still serves. */
static void a_successors_socket_file_is_not_removed(void) {
  char next[80];
  int successor;
  int busy;

  start();
  busy = through_pipe();
  exchange(busy, "wait ");
  snprintf(next, sizeof(next), "%s.other", path);
  successor = listen_at(next, 8);
  CHECK_EQ(rename(next, path), 0);
  drain(SIGTERM);
  wait_until(refused, NULL, "a client to be refused");
  close(connect_to_path(path));
  exchange(busy, "for me\n");
  expect_end(busy);
  CHECK(strstr(program_line(&server, ""), " closed, 0 forced, 0 cut") != NULL);
  program_output_ends(&server);
  CHECK_EQ(WTERMSIG(program_finish(&server)), SIGTERM);
  close(connect_to_path(path));
  close(successor);
  CHECK_EQ(unlink(path), 0);
}

/* --- Starting ------------------------------------------------------------- */

static void help_is_printed(void) {
  program_start(&server, LIST("examples/echo-server", "--help"), NULL);
  program_line(&server, "Usage: echo-server ");
  program_line(&server, "  --help");
  program_output_ends(&server);
  CHECK_EQ(program_finish(&server), 0);
}

static void fails_with(int status, const char* option, const char* message) {
  int actual;

  program_start_2to1(
      &server, LIST("examples/echo-server", "--port=0", option), NULL);
  CHECK(strstr(program_line(&server, "echo-server: "), message) != NULL);
  actual = program_finish(&server);
  CHECK(WIFEXITED(actual));
  CHECK_EQ(WEXITSTATUS(actual), status);
}

static void it_says_why_it_cannot_start(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  char option[80];

  CHECK(fd >= 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(fd, (struct sockaddr*) &address, size), 0);
  CHECK_EQ(listen(fd, 1), 0);
  CHECK_EQ(getsockname(fd, (struct sockaddr*) &address, &size), 0);
  snprintf(option, sizeof(option), "--port=%d", ntohs(address.sin_port));
  fails_with(1, option, "already in use");
  close(fd);

  fails_with(2, "--port=65536", "'65536'");
  fails_with(2, "--grace=-1", "'-1'");
  fails_with(2, "--hard=1s", "'1s'");
  fails_with(2, "--hard=1e3", "'1e3'");
  fails_with(2, "--grace=.", "'.'");
  fails_with(2, "--port=1.5", "'1.5'");
  fails_with(1, "--pipe=" NO_FOLDER, NO_FOLDER);
  fails_with(1, "--pipe=" TOO_LONG, "name too long");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_of_several_clients_gets_its_own_lines),
      TEST(a_client_that_ends_its_input_gets_the_rest_and_the_end),
      TEST(a_client_that_hangs_up_harms_no_other),
      TEST(without_clients_it_ends_by_the_signal),
      TEST(a_line_under_way_is_answered_whole),
      TEST(a_long_line_under_way_is_answered_whole),
      TEST(idle_clients_see_the_end_while_a_busy_one_does_not),
      TEST(what_came_before_the_signal_is_answered),
      TEST(while_it_finishes_others_are_refused),
      TEST(a_client_that_never_reads_does_not_outlast_the_deadline),
      TEST(nor_does_one_of_the_unix_socket),
      TEST(a_client_that_never_ends_its_line_sees_the_end),
      TEST(a_second_signal_forces),
      TEST(a_stale_socket_file_is_taken_over),
      TEST(a_server_that_listens_is_left_alone),
      TEST(nor_is_one_disturbed_that_does_not_accept),
      TEST(of_several_at_a_stale_file_one_serves),
      TEST(it_looks_when_no_other_server_is_at_it),
      TEST(what_is_no_socket_is_left_alone),
      TEST(a_successors_socket_file_is_not_removed),
      TEST(help_is_printed),
      TEST(it_says_why_it_cannot_start),
  };
  int failures;

  harness_init();
  if (!program_make_folder(folder, path, pipe_option))
    return 1;
  failures = cmocka_run_group_tests(tests, NULL, NULL);
  program_remove_folder(folder, path);
  return failures;
}
