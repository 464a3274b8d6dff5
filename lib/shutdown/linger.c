/* SPDX-License-Identifier: MIT
 *
 * Closing a stream so that what was written arrives. A socket that is closed
 * with unread input is reset, and so is one that gets input afterwards. A reset
 * may overtake what is on its way, or make the peer throw it away (RFC 9112,
 * 9.6). So the stream is closed for writing first, and input is thrown away
 * until the peer has closed, or time is up. The stream's callbacks and its data
 * pointer are the program's, so the socket is read from time to time. Runs in
 * the loop thread.
 */

#include "coordinator.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifdef HAVE_LINUX_SOCKIOS_H
# include <linux/sockios.h>
#endif
#ifdef HAVE_SYS_FILIO_H
# include <sys/filio.h> /* FIONWRITE */
#endif

/* The first wait between two looks at a stream. It doubles, up to the last. */
#define SOONEST (1 * UVSIG__MS)
#define LATEST  (20 * UVSIG__MS)

/* Reads at one look, and the size of each: no peer keeps the loop there. */
enum { READS = 16, CHUNK = 4096 };

/* Returns false where the system does not tell, such as OpenBSD: then what libuv
 * has handed to the kernel counts as acknowledged. */
static bool ask_unsent(uv_os_fd_t fd, int* count) {
#if defined(SIOCOUTQ)
  return ioctl(fd, SIOCOUTQ, count) == 0;
#elif defined(FIONWRITE) /* FreeBSD, NetBSD */
  return ioctl(fd, FIONWRITE, count) == 0;
#elif defined(SO_NWRITE) /* macOS */
  socklen_t size = sizeof(*count);

  return getsockopt(fd, SOL_SOCKET, SO_NWRITE, count, &size) == 0;
#else
  (void) fd;
  (void) count;
  return false;
#endif
}

/* How many bytes the peer's system has not acknowledged, as far as this system
 * tells. On a UNIX socket: how many the peer has not read (tcp(7), unix(7)). */
static size_t count_unsent(const uv_stream_t* stream) {
  size_t size = uv_stream_get_write_queue_size(stream);
  uv_os_fd_t fd;
  int count;

  if (uv_fileno((const uv_handle_t*) stream, &fd) == 0 &&
      ask_unsent(fd, &count) && count > 0)
    size += (size_t) count;
  return size;
}

/* Is there input that the program has not read? */
static bool has_input(const uv_stream_t* stream) {
  uv_os_fd_t fd;
  int count;

  return uv_fileno((const uv_handle_t*) stream, &fd) != 0 ||
         ioctl(fd, FIONREAD, &count) != 0 || count != 0;
}

/* When the stream is closed, unless more is sent before. */
static void set_deadline(const struct uvsig__coordinator* c,
                         uvsig_shutdown_connection_t* connection) {
  unsigned ms = c->options.linger_ms;

  if (connection->unsent > 0 && c->options.grace_ms > ms &&
      atomic_load(&c->phase) != UVSIG_SHUTDOWN_FORCING)
    ms = c->options.grace_ms;
  connection->deadline = uvsig__now() + ms * UVSIG__MS;
}

/* FORCING has begun: all that linger have linger_ms from now at most. */
void uvsig__linger_force(struct uvsig__coordinator* c) {
  uvsig_shutdown_connection_t* list = &c->connections.lists[UVSIG__CONN_LINGER];
  uvsig_shutdown_connection_t* at;
  uint64_t last = uvsig__now() + c->options.linger_ms * UVSIG__MS;

  for (at = list->next; at != list; at = at->next)
    if (at->deadline > last)
      at->deadline = last;
}

/* What the peer has done with the connection. */
enum side { OPEN, CLOSED, BROKEN };

/* Throw away what has come, and tell what the peer has done. */
static enum side discard_input(const uv_stream_t* stream) {
  char chunk[CHUNK];
  uv_os_fd_t fd;
  ssize_t n = 1;
  int i;

  if (uv_fileno((const uv_handle_t*) stream, &fd) != 0)
    return BROKEN;
  for (i = 0; i < READS && n > 0; i++) {
    n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
      n = 1;
  }
  if (n > 0 || (n < 0 && errno == EAGAIN))
    return OPEN;
  /* A FIFO or a terminal has no such end. */
  return n == 0 || errno == ENOTSOCK ? CLOSED : BROKEN;
}

/* A time limit ends what lingers. */
static void note_limit(uvsig_shutdown_connection_t* connection) {
  if (count_unsent(connection->stream) > 0)
    connection->state |= UVSIG__CONN_CUT;
}

/* The program may have closed the stream itself. */
static void close_now(struct uvsig__coordinator* c,
                      uvsig_shutdown_connection_t* connection) {
  uv_stream_t* stream = connection->stream;
  uv_close_cb close_cb = connection->close_cb;

  if ((connection->state & (UVSIG__CONN_SENT | UVSIG__CONN_BROKEN)) == 0)
    connection->state |= UVSIG__CONN_FORCED;
  uvsig__connection_count_closed(c, connection);
  uvsig__connection_forget(c, connection);
  if (!uv_is_closing((uv_handle_t*) stream))
    uv_close((uv_handle_t*) stream, close_cb);
}

/* The request is no part of a connection, which is smaller for it: few linger
 * at a time. */
static void on_sent(uv_shutdown_t* req, int status) {
  uvsig_shutdown_connection_t* connection = req->data;
  struct uvsig__coordinator* c;

  free(req);
  if (connection == NULL) /* it was forgotten meanwhile */
    return;
  connection->shutdown_req = NULL;
  if (status == 0)
    connection->state |= UVSIG__CONN_SENT;
  else
    connection->state |= UVSIG__CONN_BROKEN;
  c = connection->shutdown->coordinator;
  c->connections.linger_at = 0;
  uvsig__look_again(c);
}

/* Close the stream for writing once all is written. Where that fails, it is not
 * connected, or the program has closed it for writing already. Then, or where
 * there is no memory, linger_check() does it. */
static void shut(uvsig_shutdown_connection_t* connection) {
  uv_shutdown_t* req = calloc(1, sizeof(*req));

  connection->state |= UVSIG__CONN_SHUT;
  if (req == NULL)
    return;
  if (uv_shutdown(req, connection->stream, on_sent) != 0) {
    free(req);
    return;
  }
  req->data = connection;
  connection->shutdown_req = req;
  connection->state &= ~(unsigned) UVSIG__CONN_SHUT;
}

/* All has been written, and no request closes the stream for writing. Harmless
 * for one that is closed so, or is no socket. */
static void shut_now(uvsig_shutdown_connection_t* connection) {
  uv_os_fd_t fd;

  if (uv_fileno((const uv_handle_t*) connection->stream, &fd) == 0)
    shutdown(fd, SHUT_WR);
  connection->state |= UVSIG__CONN_SENT;
}

/* Idle since before draining began: what it has sent was answered. */
static bool is_quiet(const struct uvsig__coordinator* c,
                     const uvsig_shutdown_connection_t* connection) {
  return c->phase_at[UVSIG_SHUTDOWN_DRAINING] != 0 &&
         (connection->state & UVSIG__CONN_QUIET) != 0;
}

int uvsig_shutdown_linger(uvsig_shutdown_connection_t* connection,
                          uv_stream_t* stream,
                          uv_close_cb close_cb) {
  struct uvsig__coordinator* c;
  int err;

  if (connection == NULL || stream == NULL || connection->shutdown == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_of(connection->shutdown, &c);
  if (err != 0)
    return err;
  if (stream->loop != c->loop)
    return UV_EINVAL;
  if ((connection->state & UVSIG__CONN_LINGERS) != 0)
    return UV_EALREADY;
  if (uv_is_closing((uv_handle_t*) stream))
    return uvsig_shutdown_remove_connection(connection);

  uv_read_stop(stream);
  connection->stream = stream;
  connection->close_cb = close_cb;
  connection->state |= UVSIG__CONN_LINGERS;
  connection->unsent = count_unsent(stream);
  set_deadline(c, connection);
  uvsig__connection_move(c, connection, UVSIG__CONN_LINGER);
  if (is_quiet(c, connection) && connection->unsent == 0 &&
      !has_input(stream)) {
    connection->state |= UVSIG__CONN_SENT;
    close_now(c, connection);
  } else {
    shut(connection);
  }
  c->connections.linger_ns = SOONEST;
  c->connections.linger_at = 0;
  uvsig__look_again(c);
  return 0;
}

static void on_event(uvsig_shutdown_connection_t* connection,
                     uvsig_shutdown_event_t event) {
  if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    uvsig_shutdown_linger(connection, connection->stream, connection->close_cb);
}

int uvsig_shutdown_add_stream(uvsig_shutdown_t* sd,
                              uvsig_shutdown_connection_t* connection,
                              uv_stream_t* stream,
                              uv_close_cb close_cb) {
  struct uvsig__coordinator* c;
  int err;

  if (connection == NULL || stream == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_of(sd, &c);
  if (err == 0 && stream->loop != c->loop)
    err = UV_EINVAL;
  if (err == 0)
    err = uvsig_shutdown_add_connection(sd, connection, on_event);
  if (err != 0)
    return err;
  connection->stream = stream;
  connection->close_cb = close_cb;
  return 0;
}

/* Called after a poll, so that input which came in time is seen before time is
 * up, however late the loop is. A connection that began to linger after the
 * poll is not closed before the next one (SEEN). Returns when to call this
 * again. */
uint64_t uvsig__linger_check(struct uvsig__coordinator* c, uint64_t now) {
  struct uvsig__connections* all = &c->connections;
  uvsig_shutdown_connection_t* list = &all->lists[UVSIG__CONN_LINGER];
  uvsig_shutdown_connection_t* at;
  uvsig_shutdown_connection_t* next;
  bool is_forcing = atomic_load(&c->phase) == UVSIG_SHUTDOWN_FORCING;
  enum side side;
  size_t unsent;

  if (now < all->linger_at)
    return all->linger_at;
  for (at = list->next; at != list; at = next) {
    next = at->next;
    if (uv_is_closing((uv_handle_t*) at->stream)) {
      close_now(c, at);
      continue;
    }
    if ((at->state & (UVSIG__CONN_SHUT | UVSIG__CONN_SENT)) ==
            UVSIG__CONN_SHUT &&
        uv_stream_get_write_queue_size(at->stream) == 0)
      shut_now(at);
    side = discard_input(at->stream);
    if (side == BROKEN)
      at->state |= UVSIG__CONN_BROKEN;
    unsent = count_unsent(at->stream);
    if (unsent != at->unsent && !is_forcing) {
      at->unsent = unsent;
      set_deadline(c, at);
    }
    if ((at->state & UVSIG__CONN_BROKEN) != 0 ||
        (side == CLOSED && (at->state & UVSIG__CONN_SENT) != 0)) {
      close_now(c, at);
    } else if (now >= at->deadline && (at->state & UVSIG__CONN_SEEN) != 0) {
      note_limit(at);
      close_now(c, at);
    } else {
      at->state |= UVSIG__CONN_SEEN;
    }
  }
  all->linger_at = list->next == list ? UVSIG__NEVER : now + all->linger_ns;
  if (all->linger_ns < LATEST)
    all->linger_ns *= 2;
  return all->linger_at;
}

/* At the end all that linger are closed: the program has left that to here. */
void uvsig__linger_close_all(struct uvsig__coordinator* c) {
  const uvsig_shutdown_connection_t* list =
      &c->connections.lists[UVSIG__CONN_LINGER];

  while (list->next != list) {
    note_limit(list->next);
    close_now(c, list->next);
  }
}
