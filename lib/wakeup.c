/* SPDX-License-Identifier: MIT
 *
 * The fd pair that wakes a loop: made, sized, read and closed. Runs in the loop
 * thread; what the handler writes is in handler.c.
 */

#include "wakeup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* What Linux charges a socket's buffer for the smallest message is more. */
#define SMALLEST_CHARGE 256

static int size_pipe(struct uvsig__wakeup* wakeup, size_t size) {
#ifdef F_SETPIPE_SZ
  int actual;

  if (size > 0 && fcntl(wakeup->write_fd, F_SETPIPE_SZ, (int) size) < 0)
    return UVSIG__ERR(errno);
  actual = fcntl(wakeup->write_fd, F_GETPIPE_SZ);
  wakeup->capacity = actual > 0 ? (size_t) actual : 65536;
  return 0;
#else
  wakeup->capacity = 65536;
  return size > 0 ? UV_ENOTSUP : 0;
#endif
}

static int set_option(struct uvsig__wakeup* wakeup, int option, int value) {
  const int fd = wakeup->write_fd;

  return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) == 0
             ? 0
             : UVSIG__ERR(errno);
}

static int size_socket(struct uvsig__wakeup* wakeup, size_t size) {
  int actual;
  socklen_t length = sizeof(actual);
  int err;

  /* The kernel takes as much of a wish as net.core.wmem_max allows (socket(7)).
   * Half of INT_MAX, since it doubles what it is given. Some systems refuse
   * what is too large: no harm where the user has set no size. */
  err = set_option(wakeup, SO_SNDBUF, size > 0 ? (int) size : INT_MAX / 2);
  if (err != 0 && size > 0)
    return err;
#ifdef SO_NOSIGPIPE
  /* Where send() has no MSG_NOSIGNAL, a lost reader must not raise SIGPIPE. */
  err = set_option(wakeup, SO_NOSIGPIPE, 1);
  if (err != 0)
    return err;
#endif
  if (getsockopt(wakeup->write_fd, SOL_SOCKET, SO_SNDBUF, &actual, &length) !=
      0)
    return UVSIG__ERR(errno);
  wakeup->capacity = (size_t) actual / SMALLEST_CHARGE + 1;
  return 0;
}

/* libuv makes both kinds close-on-exec, atomically where the system can. */
int uvsig__wakeup_open(struct uvsig__wakeup* wakeup,
                       const uvsig_options_t* options) {
  int fds[2];
  int err;

  wakeup->is_socket = options->wakeup == UVSIG_WAKEUP_SOCKETPAIR;
  wakeup->wake_only = options->mode == UVSIG_MODE_WAKE_ONLY;
  if (wakeup->is_socket)
    err =
        uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
  else
    err = uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
  if (err != 0)
    return err;

  wakeup->read_fd = fds[0];
  wakeup->write_fd = fds[1];
  err = wakeup->is_socket ? size_socket(wakeup, options->buffer_size)
                          : size_pipe(wakeup, options->buffer_size);
  if (err != 0)
    uvsig__wakeup_close(wakeup);
  return err;
}

/* Another thread may be opening something under that number meanwhile (dup2(2),
 * EBUSY). */
int uvsig__move_fd(int from, int to) {
  int result;

  do
#ifdef HAVE_DUP3
    result = dup3(from, to, O_CLOEXEC);
#else
    result = dup2(from, to);
#endif
  while (result < 0 && (errno == EINTR || errno == EBUSY));
#ifndef HAVE_DUP3
  if (result >= 0)
    result = fcntl(to, F_SETFD, FD_CLOEXEC);
#endif
  return result < 0 ? UVSIG__ERR(errno) : 0;
}

/* Have a new pair under the numbers of the old one, which is shared with
 * another process. */
int uvsig__wakeup_renew(struct uvsig__wakeup* wakeup,
                        const uvsig_options_t* options) {
  struct uvsig__wakeup fresh;
  int err;

  err = uvsig__wakeup_open(&fresh, options);
  if (err != 0)
    return err;
  err = uvsig__move_fd(fresh.read_fd, wakeup->read_fd);
  if (err == 0)
    err = uvsig__move_fd(fresh.write_fd, wakeup->write_fd);
  uvsig__wakeup_close(&fresh);
  if (err != 0)
    return err;
  wakeup->capacity = fresh.capacity;
  atomic_store(&wakeup->pending, 0);
  atomic_store(&wakeup->error, 0);
  return 0;
}

void uvsig__wakeup_close(struct uvsig__wakeup* wakeup) {
  close(wakeup->read_fd);
  close(wakeup->write_fd);
}

/* Returns the number of bytes, 0 when there are none, UV_EOF when the write end
 * is gone, or another code. */
ssize_t uvsig__wakeup_read(struct uvsig__wakeup* wakeup,
                           void* buffer,
                           size_t size) {
  ssize_t n;

  do
    n = read(wakeup->read_fd, buffer, size);
  while (n < 0 && errno == EINTR);
  if (n > 0)
    return n;
  if (n == 0)
    return UV_EOF;
  return errno == EAGAIN ? 0 : UVSIG__ERR(errno);
}

/* Have a byte in the pipe, so that the loop comes again. The write fails if the
 * pipe is full, which is as good, or if the program has closed its end: then no
 * SIGPIPE must come of it. Another error is noticed before the loop sleeps. */
void uvsig__wakeup_ring(struct uvsig__wakeup* wakeup) {
  sigset_t all;
  sigset_t before;
  int err;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  err = uvsig__write_byte(wakeup->write_fd, wakeup->is_socket, 0);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (err != 0 && err != UV_EAGAIN)
    atomic_store(&wakeup->error, err);
}

bool uvsig__wakeup_is_empty(const struct uvsig__wakeup* wakeup) {
  struct pollfd pollfd = {.fd = wakeup->read_fd, .events = POLLIN};

  return poll(&pollfd, 1, 0) == 0;
}
