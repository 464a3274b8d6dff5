/* SPDX-License-Identifier: MIT
 *
 * examples/websocket-server from outside: peers that answer its close frame,
 * and such as do not, and how each of them and the server end.
 */

#include "../lib/program.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEBOUNCE_MS = 200, SEVERAL = 5, MUCH = 100000, MOST_TRIES = 50 };

/* The first byte of a frame: its type, and whether it ends a message. */
enum {
  CONTINUATION = 0x00,
  TEXT = 0x01,
  BINARY = 0x02,
  CLOSE = 0x88,
  PING = 0x89,
  PONG = 0x8a,
  LAST = 0x80
};

/* A frame without its mask. */
struct frame {
  unsigned head;
  size_t size;
  unsigned char bytes[MUCH];
};

static const char request[] = "GET / HTTP/1.1\r\n"
                              "Host: localhost\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "\r\n";
/* To that key (RFC 6455, 1.3). */
static const char answer[] = "Sec-WebSocket-Accept: "
                             "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

static struct program server;
static unsigned port;
static struct frame frame;

/* --- Peers ---------------------------------------------------------------- */

static void read_fully(int fd, void* data, size_t size) {
  size_t filled = 0;
  ssize_t n;

  while (filled < size) {
    wait_readable(fd);
    n = UNINTERRUPTED(recv(fd, (char*) data + filled, size - filled, 0));
    CHECK(n > 0);
    filled += (size_t) n;
  }
}

static void expect_upgrade(int fd) {
  char text[1024] = "";
  size_t size = 0;

  while (strstr(text, "\r\n\r\n") == NULL) {
    CHECK(size < sizeof(text) - 1);
    read_fully(fd, &text[size++], 1);
  }
  CHECK(strncmp(text, "HTTP/1.1 101 ", 13) == 0);
  CHECK(strstr(text, answer) != NULL);
}

static int open_peer(void) {
  int fd = connect_to(port);

  send_text(fd, request);
  expect_upgrade(fd);
  return fd;
}

static void send_frame(int fd, unsigned head, const void* bytes, size_t size) {
  static const unsigned char mask[4] = {1, 20, 3, 40};
  static unsigned char out[14 + MUCH];
  unsigned char* at = out;
  size_t i;

  CHECK(size <= MUCH);
  *at++ = (unsigned char) head;
  *at++ = 0x80 | (size < 126 ? (unsigned char) size : 127);
  for (i = 0; size >= 126 && i < 8; i++)
    *at++ = (unsigned char) ((uint64_t) size >> (8 * (7 - i)));
  memcpy(at, mask, sizeof(mask));
  at += sizeof(mask);
  for (i = 0; i < size; i++)
    *at++ = ((const unsigned char*) bytes)[i] ^ mask[i % 4];
  CHECK(send_fully(fd, out, (size_t) (at - out)));
}

static void read_frame(int fd) {
  unsigned char head[2];
  unsigned char size[8];
  unsigned length;
  unsigned i;

  read_fully(fd, head, sizeof(head));
  frame.head = head[0];
  frame.size = head[1]; /* a server does not mask */
  length = head[1] == 126 ? 2 : head[1] == 127 ? 8 : 0;
  read_fully(fd, size, length);
  for (i = 0; i < length; i++)
    frame.size = (i == 0 ? 0 : frame.size << 8) | size[i];
  CHECK(frame.size <= MUCH);
  read_fully(fd, frame.bytes, frame.size);
}

static void say_text(int fd, unsigned head, const char* text) {
  send_frame(fd, head, text, strlen(text));
}

static void expect_frame(int fd, unsigned head, const char* text) {
  read_frame(fd);
  CHECK_EQ(frame.head, head);
  CHECK_EQ(frame.size, strlen(text));
  CHECK(memcmp(frame.bytes, text, frame.size) == 0);
}

static void exchange(int fd, unsigned head, const char* text) {
  say_text(fd, head, text);
  expect_frame(fd, head, text);
}

static void expect_goodbye(int fd, unsigned code) {
  read_frame(fd);
  CHECK_EQ(frame.head, CLOSE);
  CHECK_EQ(frame.size, 2);
  CHECK_EQ(frame.bytes[0] << 8 | frame.bytes[1], code);
}

/* Answer it, and see the end. */
static void part(int fd) {
  expect_goodbye(fd, 1001);
  send_frame(fd, CLOSE, frame.bytes, frame.size);
  expect_end(fd);
}

/* --- The server ----------------------------------------------------------- */

static void start_with(const char* grace) {
  program_start_2to1(
      &server, LIST("examples/websocket-server", "--port=0", grace), NULL);
  port = program_port(&server, "Serving on ");
}

/* The longest time, for what must not take that long. */
static void start(void) {
  start_with("--grace=3600");
}

static bool says(const char* line, const char* text) {
  if (strstr(line, text) == NULL)
    fprintf(stderr, "no \"%s\" in \"%s\"\n", text, line);
  return strstr(line, text) != NULL;
}

/* Its last line, which says that nothing is left; or false: it was so slow that
 * the limit has ended it. */
static bool ends_by(int signum, const char* how, const char* connections) {
  const char* line = program_line_or_end(&server, "libuvsig: shutdown: ");
  int status;

  if (line != NULL) {
    CHECK(says(line, uvsig_signal_name(signum)));
    CHECK(says(line, how));
    CHECK(says(line, connections));
    CHECK(says(line, ", 0 open;"));
    CHECK(says(line, "; closers: 0 late;"));
    CHECK(says(line, "left in the loop: nothing"));
    program_output_ends(&server);
  }
  status = program_finish(&server);
  if (WIFEXITED(status)) {
    CHECK_EQ(WEXITSTATUS(status), 128 + signum);
    return false;
  }
  CHECK(line != NULL);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
  return true;
}

static void ends_cleanly(int signum, const char* connections) {
  CHECK(ends_by(signum, ": clean after ", connections));
}

/* Where a limit is part of it, on a machine that is slow for once. */
static void try_until(bool (*is_in_time)(void)) {
  unsigned tries = 0;

  while (!is_in_time())
    CHECK(++tries < MOST_TRIES);
}

/* --- Serving -------------------------------------------------------------- */

static void each_peer_gets_its_own_messages(void) {
  int fds[SEVERAL];
  char text[64];
  unsigned i;

  start();
  for (i = 0; i < SEVERAL; i++)
    fds[i] = open_peer();
  for (i = 0; i < SEVERAL; i++) {
    snprintf(text, sizeof(text), "this is %u", i);
    say_text(fds[i], LAST | TEXT, text);
  }
  for (i = SEVERAL; i-- > 0;) {
    snprintf(text, sizeof(text), "this is %u", i);
    expect_frame(fds[i], LAST | TEXT, text);
    exchange(fds[i], LAST | BINARY, "that");
    exchange(fds[i], LAST | TEXT, "");
    say_text(fds[i], PING, "there?");
    expect_frame(fds[i], PONG, "there?");
    exchange(fds[i], TEXT, "one message ");
    exchange(fds[i], CONTINUATION, "in three ");
    exchange(fds[i], LAST | CONTINUATION, "frames");
  }
  program_signal(&server, SIGTERM);
  for (i = 0; i < SEVERAL; i++)
    part(fds[i]);
  ends_cleanly(SIGTERM, " 5 closed, 0 forced, 0 cut");
}

static void a_long_message_comes_back_whole(void) {
  static unsigned char bytes[MUCH];
  size_t filled = 0;
  size_t i;
  int fd;

  start();
  fd = open_peer();
  for (i = 0; i < MUCH; i++)
    bytes[i] = (unsigned char) (i * i >> 8);
  send_frame(fd, LAST | BINARY, bytes, MUCH);
  do {
    read_frame(fd);
    CHECK_EQ(frame.head & ~(unsigned) LAST,
             filled == 0 ? BINARY : CONTINUATION);
    CHECK(frame.size <= MUCH - filled);
    CHECK(memcmp(bytes + filled, frame.bytes, frame.size) == 0);
    filled += frame.size;
  } while ((frame.head & LAST) == 0);
  CHECK_EQ(filled, MUCH);
  program_signal(&server, SIGTERM);
  part(fd);
  ends_cleanly(SIGTERM, " 1 closed, 0 forced, 0 cut");
}

static void a_peer_that_leaves_harms_no_other(void) {
  struct linger reset = {1, 0};
  int fd;
  int other;

  start();
  other = open_peer();
  fd = open_peer();
  send_frame(fd, CLOSE, "\x03\xe8", 2);
  expect_goodbye(fd, 1000);
  expect_end(fd);
  exchange(other, LAST | TEXT, "still here");
  fd = open_peer();
  say_text(fd, LAST | TEXT, "nobody reads this");
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
  close(fd);
  exchange(other, LAST | TEXT, "still here");
  program_signal(&server, SIGTERM);
  part(other);
  ends_cleanly(SIGTERM, ", 0 forced, 0 cut");
}

/* --- Finishing ------------------------------------------------------------ */

static void without_peers_it_ends_by_the_signal(void) {
  start();
  program_signal(&server, SIGTERM);
  ends_cleanly(SIGTERM, " 0 closed, 0 forced, 0 cut");
  start();
  program_signal(&server, SIGINT);
  ends_cleanly(SIGINT, " 0 closed, 0 forced, 0 cut");
}

/* Each has its frame before one of them answers; others are refused then. */
static void every_peer_hears_that_it_goes_away(void) {
  int fds[SEVERAL];
  unsigned i;

  start();
  for (i = 0; i < SEVERAL; i++)
    fds[i] = open_peer();
  program_signal(&server, SIGTERM);
  for (i = 0; i < SEVERAL; i++)
    expect_goodbye(fds[i], 1001);
  CHECK_EQ(try_connect(port), UV_ECONNREFUSED);
  for (i = SEVERAL; i-- > 0;) {
    CHECK(!program_has_ended(&server));
    send_frame(fds[i], CLOSE, frame.bytes, frame.size);
    expect_end(fds[i]);
  }
  ends_cleanly(SIGTERM, " 5 closed, 0 forced, 0 cut");
}

static void a_message_under_way_is_sent_back_first(void) {
  int idle;
  int busy;

  start();
  idle = open_peer();
  busy = open_peer();
  exchange(busy, TEXT, "first");
  program_signal(&server, SIGTERM);
  part(idle);
  exchange(busy, CONTINUATION, "second");
  exchange(busy, LAST | CONTINUATION, "third");
  part(busy);
  ends_cleanly(SIGTERM, " 2 closed, 0 forced, 0 cut");
}

/* While the server is stopped: a message, the request of a client that is not
 * accepted yet, and then the signal. */
static void what_came_before_the_signal_is_answered(void) {
  int open;
  int fresh;

  start();
  open = open_peer();
  program_signal(&server, SIGSTOP);
  say_text(open, LAST | TEXT, "a message");
  fresh = connect_to(port);
  send_text(fresh, request);
  wait_delivered(open);
  wait_delivered(fresh);
  program_signal(&server, SIGTERM);
  program_signal(&server, SIGCONT);
  expect_frame(open, LAST | TEXT, "a message");
  part(open);
  expect_upgrade(fresh);
  part(fresh);
  ends_cleanly(SIGTERM, " 2 closed, 0 forced, 0 cut");
}

static void one_that_has_not_asked_to_upgrade_sees_the_end(void) {
  int silent;
  int half;

  start();
  silent = connect_to(port);
  half = connect_to(port);
  send_text(half, "GET / HTTP/1.1\r\nHost: loc");
  wait_delivered(half);
  program_signal(&server, SIGTERM);
  expect_end(silent);
  expect_end(half);
  ends_cleanly(SIGTERM, " 2 closed, 0 forced, 0 cut");
}

/* --- Forcing -------------------------------------------------------------- */

/* Send a message that does not end until nothing goes any more: what comes back
 * waits in the server. */
static void fill(int fd) {
  static const unsigned char head[14] = {LAST | BINARY, 0xff, 0, 0, 0, 0xff};
  static const unsigned char zeros[MUCH];
  unsigned in_vain = 0;

  CHECK(send_fully(fd, head, sizeof(head)));
  while (in_vain < 20) {
    if (send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
      in_vain = 0;
    } else {
      CHECK(errno == EAGAIN || errno == EWOULDBLOCK);
      in_vain++;
      uv_sleep(5);
    }
  }
}

/* Longer than the 5 s that libwebsockets has of its own for an answer. */
static bool are_cut_at_the_limit(void) {
  uint64_t begin;
  int silent;
  int deaf;
  bool ends;

  start_with("--grace=6");
  silent = open_peer();
  deaf = open_peer();
  fill(deaf);
  begin = uv_hrtime();
  program_signal(&server, SIGTERM);
  expect_goodbye(silent, 1001);
  expect_end(silent);
  CHECK((uv_hrtime() - begin) / 1000000 >= 6000);
  ends = ends_by(SIGTERM, ": forced after ", " 0 closed, 2 forced, 0 cut");
  close(deaf);
  return ends;
}

static void those_that_never_answer_are_cut_at_the_limit(void) {
  try_until(are_cut_at_the_limit);
}

static bool is_forced_by_a_second_signal(void) {
  int fd;

  start();
  fd = open_peer();
  program_signal(&server, SIGTERM);
  expect_goodbye(fd, 1001);
  uv_sleep(DEBOUNCE_MS + 50); /* what comes before does not count */
  program_signal(&server, SIGTERM);
  expect_end(fd);
  return ends_by(SIGTERM, ": forced after ", " 0 closed, 1 forced, 0 cut");
}

static void a_second_signal_forces(void) {
  try_until(is_forced_by_a_second_signal);
}

/* --- Starting ------------------------------------------------------------- */

static void it_says_that_its_port_is_in_use(void) {
  struct program second;
  char option[32];
  int status;
  int fd;

  start();
  fd = open_peer();
  snprintf(option, sizeof(option), "--port=%u", port);
  program_start_2to1(&second, LIST("examples/websocket-server", option), NULL);
  program_line(&second, "websocket-server: cannot serve on port ");
  CHECK(says(program_line(&second, "libuvsig: shutdown: "),
             "left in the loop: nothing"));
  status = program_finish(&second);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 1);
  exchange(fd, LAST | TEXT, "still here");
  program_signal(&server, SIGTERM);
  part(fd);
  ends_cleanly(SIGTERM, " 1 closed, 0 forced, 0 cut");
}

static void exits_at_once(const char* option, int code, const char* text) {
  int status;

  program_start_2to1(&server, LIST("examples/websocket-server", option), NULL);
  program_line(&server, text);
  status = program_finish(&server);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), code);
}

static void it_has_help(void) {
  exits_at_once("--help", 0, "Usage: websocket-server ");
  exits_at_once("--port=x", 2, "websocket-server: 'x'");
  exits_at_once("--grace=1s", 2, "websocket-server: '1s'");
  exits_at_once("unknown", 2, "Usage: websocket-server ");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_peer_gets_its_own_messages),
      TEST(a_long_message_comes_back_whole),
      TEST(a_peer_that_leaves_harms_no_other),
      TEST(without_peers_it_ends_by_the_signal),
      TEST(every_peer_hears_that_it_goes_away),
      TEST(a_message_under_way_is_sent_back_first),
      TEST(what_came_before_the_signal_is_answered),
      TEST(one_that_has_not_asked_to_upgrade_sees_the_end),
      TEST(those_that_never_answer_are_cut_at_the_limit),
      TEST(a_second_signal_forces),
      TEST(it_says_that_its_port_is_in_use),
      TEST(it_has_help),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
