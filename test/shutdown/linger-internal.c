/* SPDX-License-Identifier: MIT
 *
 * What a connection that lingers makes of the input's end, and of a call that
 * is interrupted. Linked with --wrap: recv() says what the test wants.
 */

#include "../lib/harness.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int interruptions; /* so many calls fail with EINTR ... */
static int failure;       /* ... and the others with this, or not ... */
static int left_errno;    /* ... and leave this in errno */
static unsigned calls;

ssize_t __real_recv(int fd, void* to, size_t size, int flags);
ssize_t __wrap_recv(int fd, void* to, size_t size, int flags);
ssize_t __wrap_recv(int fd, void* to, size_t size, int flags) {
  ssize_t n;

  calls++;
  if (interruptions > 0) {
    interruptions--;
    errno = EINTR;
    return -1;
  }
  if (failure != 0) {
    errno = failure;
    return -1;
  }
  n = __real_recv(fd, to, size, flags);
  if (n >= 0)
    errno = left_errno;
  return n;
}

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_connection_t connection;
static uv_pipe_t stream;
static int peer;
static unsigned closed;

static void on_closed(uv_handle_t* handle) {
  CHECK(handle == (uv_handle_t*) &stream);
  closed++;
}

static void open_connected(void) {
  uvsig_shutdown_options_t options;
  int fds[2];

  uvsig_shutdown_options_init(&options);
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.linger_ms = LONG_MS;
  options.keep_sig = 1;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, &stream, 0), 0);
  CHECK_EQ(uv_pipe_open(&stream, fds[0]), 0);
  peer = fds[1];
  CHECK_EQ(uvsig_shutdown_add_stream(
               &sd, &connection, (uv_stream_t*) &stream, on_closed),
           0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), 0);
}

static void linger(void) {
  CHECK_EQ(
      uvsig_shutdown_linger(&connection, (uv_stream_t*) &stream, on_closed), 0);
}

static void open_lingering(void) {
  open_connected();
  linger();
}

static void close_lingering(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  CHECK_EQ(closed, 1);
}

/* The next look finds that it is over. */
static void run_until_closed(void) {
  calls = 0;
  while (closed == 0) {
    CHECK(calls <= 1);
    uv_run(&f.loop, UV_RUN_ONCE);
  }
}

static void look_until_called(unsigned times) {
  calls = 0;
  while (calls < times) {
    uv_run(&f.loop, UV_RUN_ONCE);
    CHECK_EQ(closed, 0);
  }
}

static void an_interruption_ends_nothing(void) {
  open_lingering();
  interruptions = 3;
  look_until_called(5);
  CHECK_EQ(interruptions, 0);
  CHECK_EQ(close(peer), 0);
  run_until_closed();
  close_lingering();
}

/* What an earlier call has left in errno says nothing of this one. */
static void the_peers_end_is_seen_whatever_errno_is(void) {
  open_lingering();
  left_errno = EINTR;
  look_until_called(2);
  CHECK_EQ(close(peer), 0);
  run_until_closed();
  close_lingering();
}

static void on_written(uv_write_t* req, int status) {
  (void) req;
  (void) status;
}

/* While draining, a peer that reads has linger_ms again. */
static void forcing_gives_no_more_time(void) {
  static char much[1 << 22];
  static char some[1 << 16];
  uv_buf_t buf = uv_buf_init(much, sizeof(much));
  uv_write_t req;
  uint64_t deadline;
  size_t unsent;

  open_connected();
  CHECK_EQ(uv_write(&req, (uv_stream_t*) &stream, &buf, 1, on_written), 0);
  linger();
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  while (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_FORCING)
    uv_run(&f.loop, UV_RUN_ONCE);
  look_until_called(1);
  deadline = connection.deadline;
  unsent = connection.unsent;
  while (connection.unsent == unsent) {
    CHECK(recv(peer, some, sizeof(some), MSG_DONTWAIT) != 0);
    look_until_called(1);
    if (uv_stream_get_write_queue_size((uv_stream_t*) &stream) < unsent / 2)
      break;
  }
  CHECK_EQ(connection.deadline, deadline);
  CHECK_EQ(close(peer), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_lingering();
}

static void a_connection_that_is_broken_is_closed(void) {
  open_lingering();
  look_until_called(2);
  failure = ECONNRESET;
  run_until_closed();
  close_lingering();
  CHECK_EQ(close(peer), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_interruption_ends_nothing),
      TEST(the_peers_end_is_seen_whatever_errno_is),
      TEST(forcing_gives_no_more_time),
      TEST(a_connection_that_is_broken_is_closed),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
