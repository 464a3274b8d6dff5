/* SPDX-License-Identifier: MIT
 *
 * See http-connection.h. While draining, a connection whose last response did
 * not say that it is the last stays for a while: its client may be about to ask
 * again. */
#define _GNU_SOURCE 1 /* F_DUPFD_CLOEXEC */

#include "http-connection.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
  /* While draining, a client that asks again sooner than this after an answer
   * has its next one, which says that it is the last. */
  QUIET_MS = 1000,
  TICK_MS = 100
};

static uvsig_shutdown_t* sd;
static uv_timer_t tick;

/* --- Its end -------------------------------------------------------------- */

void http_connection_let_go(http_connection_t* c) {
  if (--c->halves == 0)
    free(c);
}

static void on_closed(uv_handle_t* tcp) {
  http_connection_let_go(tcp->data);
}

void http_connection_hang_up(http_connection_t* c) {
  uvsig_shutdown_linger(&c->tracked, (uv_stream_t*) &c->tcp, on_closed);
}

void http_connection_refuse(http_connection_t* c, const char* status) {
  char text[128];
  uv_buf_t buf = {.base = text};

  buf.len = (size_t) snprintf(
      text,
      sizeof(text),
      "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      status);
  uv_try_write((uv_stream_t*) &c->tcp, &buf, 1);
}

/* --- Its requests --------------------------------------------------------- */

/* How many bytes have come: tcpi_bytes_received in linux/tcp.h. glibc's struct
 * tcp_info ends before it. */
static uint64_t count_received(const http_connection_t* c) {
  uint64_t info[32] = {0};
  socklen_t size = sizeof(info);

  getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, info, &size);
  return info[16];
}

/* Has some of a request come, but not all of it? libmicrohttpd tells when its
 * header is whole. */
static int is_asking(const http_connection_t* c) {
  return c->stage == READING ||
         (c->stage == BETWEEN && count_received(c) > c->consumed);
}

/* What has come with the end of the input is one event. libmicrohttpd 0.9.75
 * reads the one and does not look for the other, and the event does not come
 * again, unless the socket is shut down here, too. */
static void look_for_end(const http_connection_t* c) {
  char byte;

  if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
    shutdown(c->fd, SHUT_RD);
}

void http_connection_asks(http_connection_t* c, uint64_t size) {
  c->stage = READING;
  c->consumed += size;
  uvsig_shutdown_connection_busy(&c->tracked);
}

/* While draining one that was not told to be the last is left to
 * end_if_quiet(). */
void http_connection_completed(http_connection_t* c) {
  c->stage = BETWEEN;
  c->since = uv_now(tick.loop);
  look_for_end(c);
  if (uvsig_shutdown_phase(sd) == UVSIG_SHUTDOWN_RUNNING)
    uvsig_shutdown_connection_idle(&c->tracked);
}

/* --- A shutdown ----------------------------------------------------------- */

static void end_if_quiet(uv_handle_t* handle, void* arg) {
  http_connection_t* c = handle->data;

  (void) arg;
  if (handle->type != UV_TCP || c == NULL || c->halves < 2)
    return;
  look_for_end(c);
  if (c->stage != BETWEEN || is_asking(c) ||
      uv_now(tick.loop) - c->since < QUIET_MS)
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
    if (!uv_is_active((uv_handle_t*) &tick))
      uv_timer_start(&tick, on_tick, 0, TICK_MS);
    return;
  }
  if (event == UVSIG_SHUTDOWN_CONNECTION_FORCE && c->halves == 2 &&
      is_asking(c))
    http_connection_refuse(c, "408 Request Timeout");
  http_connection_hang_up(c);
}

http_connection_t* http_connection_accept(uv_stream_t* listener) {
  http_connection_t* c = calloc(1, sizeof(*c));
  uv_os_fd_t fd;

  if (c == NULL || uv_tcp_init(listener->loop, &c->tcp) != 0) {
    free(c);
    return NULL;
  }
  c->tcp.data = c->tracked.data = c;
  c->halves = 1;
  c->since = uv_now(listener->loop);
  if (uv_accept(listener, (uv_stream_t*) &c->tcp) != 0 ||
      uv_fileno((uv_handle_t*) &c->tcp, &fd) != 0 ||
      uvsig_shutdown_add_connection(sd, &c->tracked, on_event) != 0) {
    uv_close((uv_handle_t*) &c->tcp, on_closed);
    return NULL;
  }
  c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return c;
}

int http_connections_open(uvsig_shutdown_t* shutdown) {
  sd = shutdown;
  return uv_timer_init(sd->sig->loop, &tick);
}

void http_connections_close(void) {
  uv_close((uv_handle_t*) &tick, NULL);
}
