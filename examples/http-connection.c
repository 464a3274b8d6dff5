/* SPDX-License-Identifier: MIT
 *
 * See http-connection.h. While draining, a connection whose last response did
 * not say that it is the last stays for a while: its client may be about to ask
 * again. Where a successor serves it stays until its client asks. */
#define _GNU_SOURCE 1 /* F_DUPFD_CLOEXEC */

#include "http-connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  /* While draining, a client that asks again sooner than this after an answer
   * has its next one, which says that it is the last. */
  QUIET_MS = 1000,
  TICK_MS = 100,
  EMPTY_LINE = 2 /* bytes; it may follow a request, and begins none */
};

static uvsig_shutdown_t* sd;
static uv_timer_t tick;

/* --- Its end -------------------------------------------------------------- */

static void on_closed(uv_handle_t* handle) {
  http_connection_t* c = handle->data;

  if (--c->handles == 0)
    free(c);
}

static void hang_up(http_connection_t* c) {
  uvsig_shutdown_linger(&c->tracked, (uv_stream_t*) &c->tcp, on_closed);
}

void http_connection_end(http_connection_t* c) {
  if (c->fd >= 0)
    uv_close((uv_handle_t*) &c->poll, on_closed);
  c->fd = -1;
  hang_up(c);
}

static void say(http_connection_t* c, const char* status) {
  char text[128];
  uv_buf_t buf = {.base = text};

  buf.len = (size_t) snprintf(
      text,
      sizeof(text),
      "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      status);
  uv_try_write((uv_stream_t*) &c->tcp, &buf, 1);
}

void http_connection_refuse(http_connection_t* c, const char* status) {
  say(c, status);
  http_connection_end(c);
}

/* --- Its requests --------------------------------------------------------- */

/* tcpi_bytes_received of linux/tcp.h; glibc's struct tcp_info ends before. */
static uint64_t count_received(const http_connection_t* c) {
  uint64_t info[32] = {0};
  socklen_t size = sizeof(info);

  getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, info, &size);
  return info[16];
}

/* Has some of a request come, but not all of it? libmicrohttpd tells when its
 * header is whole. Before that, bytes have come since the last response. */
static int is_asking(const http_connection_t* c) {
  return c->stage == READING ||
         (c->stage == BETWEEN && count_received(c) > c->received + EMPTY_LINE);
}

/* What has come with the end of the input is one event. libmicrohttpd 0.9.75
 * reads the one and does not look for the other, and the event does not come
 * again, unless the socket is shut down here, too, when all has been read. */
static void pass_end_on(const http_connection_t* c) {
  char byte;

  if (c->at_end && c->fd >= 0 && c->stage != RESPONDING &&
      recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
    shutdown(c->fd, SHUT_RD);
}

static void on_end(uv_poll_t* poll, int status, int events) {
  http_connection_t* c = poll->data;

  (void) status;
  (void) events;
  uv_poll_stop(poll);
  c->at_end = 1;
  http_daemon_run(); /* which may be the end of it */
  pass_end_on(c);
}

void http_connection_asks(http_connection_t* c) {
  c->stage = READING;
  uvsig_shutdown_connection_busy(&c->tracked);
  pass_end_on(c);
}

/* Of a next request, a piece may have come before this, but not the whole.
 * While draining, end_if_quiet() ends one that was not told to be the last. */
void http_connection_completed(http_connection_t* c) {
  c->stage = BETWEEN;
  c->since = uv_now(tick.loop);
  c->received = count_received(c);
  pass_end_on(c);
  if (uvsig_shutdown_phase(sd) == UVSIG_SHUTDOWN_RUNNING)
    uvsig_shutdown_connection_idle(&c->tracked);
}

/* --- A shutdown ----------------------------------------------------------- */

static void end_if_quiet(uv_handle_t* handle, void* arg) {
  http_connection_t* c = handle->data;

  (void) arg;
  if (handle->type != UV_TCP || c == NULL || c->fd < 0 || c->stage != BETWEEN ||
      is_asking(c) || uv_now(tick.loop) - c->since < QUIET_MS)
    return;
  /* What it has sent by now is read before it is closed. */
  uvsig_shutdown_connection_busy(&c->tracked);
  uvsig_shutdown_connection_idle(&c->tracked);
}

static void on_tick(uv_timer_t* timer) {
  uv_walk(timer->loop, end_if_quiet, NULL);
}

static void on_event(uvsig_shutdown_connection_t* tracked,
                     uvsig_shutdown_event_t event) {
  http_connection_t* c = tracked->data;

  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
    if (sd->report.successor == 0 && !uv_is_active((uv_handle_t*) &tick))
      uv_timer_start(&tick, on_tick, 0, TICK_MS);
    return;
  }
  if (event == UVSIG_SHUTDOWN_CONNECTION_FORCE && c->fd >= 0 && is_asking(c))
    say(c, "408 Request Timeout");
  hang_up(c);
}

static int share(http_connection_t* c, uv_os_fd_t fd) {
  int err;

  c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (c->fd < 0)
    return uv_translate_sys_error(errno);
  err = uv_poll_init(c->tcp.loop, &c->poll, c->fd);
  if (err != 0) {
    close(c->fd);
    c->fd = -1;
    return err;
  }
  c->handles = 2;
  return uv_poll_start(&c->poll, UV_DISCONNECT, on_end);
}

http_connection_t* http_connection_accept(uv_stream_t* listener) {
  http_connection_t* c = calloc(1, sizeof(*c));
  uv_os_fd_t fd;

  if (c == NULL || uv_tcp_init(listener->loop, &c->tcp) != 0) {
    free(c);
    return NULL;
  }
  c->tcp.data = c->poll.data = c->tracked.data = c;
  c->handles = 1;
  c->since = uv_now(listener->loop);
  if (uv_accept(listener, (uv_stream_t*) &c->tcp) != 0 ||
      uv_fileno((uv_handle_t*) &c->tcp, &fd) != 0 ||
      uvsig_shutdown_add_connection(sd, &c->tracked, on_event) != 0) {
    uv_close((uv_handle_t*) &c->tcp, on_closed);
    return NULL;
  }
  if (share(c, fd) == 0)
    return c;
  http_connection_refuse(c, "503 Service Unavailable");
  return NULL;
}

int http_connections_open(uvsig_shutdown_t* shutdown) {
  sd = shutdown;
  return uv_timer_init(sd->sig->loop, &tick);
}

void http_connections_close(void) {
  uv_close((uv_handle_t*) &tick, NULL);
}
