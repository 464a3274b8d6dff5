/* SPDX-License-Identifier: MIT
 *
 * libmicrohttpd inside a libuv loop. It waits with an epoll set of its own,
 * whose descriptor is readable when one of its sockets is ready: uv_poll_t
 * watches that one, uv_timer_t does the timeouts, and uv_idle_t what is to be
 * done at once: a timer of 0 ms would keep a loop of libuv 1.44 from all else.
 *
 * It has no call that closes a connection, and its own way to close may cut off
 * what is still on its way. So the listener is libuv's, and each socket has two
 * descriptors. libmicrohttpd serves one. The other is a uv_tcp_t, which
 * uvsig_shutdown_linger() closes so that everything arrives. There is one
 * thread, the loop's. */

#define _GNU_SOURCE 1 /* F_DUPFD_CLOEXEC */

#include "http-daemon.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  /* A client that neither sends nor reads for so long is hung up on. */
  IDLE_SECONDS = 60,
  /* While draining, a client that asks again sooner than this after an answer
   * has its next one, which says that it is the last. */
  QUIET_MS = 1000,
  TICK_MS = 100
};

typedef struct connection_s connection_t;

struct connection_s {
  uv_tcp_t tcp;
  uvsig_shutdown_connection_t tracked;
  int fd;     /* libmicrohttpd's; closed with its half */
  int halves; /* 2, until one of the two has been closed */
  enum { BETWEEN, READING, RESPONDING } stage;
  uint64_t since;    /* of the last response, or of the beginning */
  uint64_t consumed; /* bytes of requests, as far as they were told of */
  connection_t* next;
};

static struct {
  uvsig_shutdown_t* sd;
  http_respond_cb respond;
  struct MHD_Daemon* mhd;
  uv_poll_t poll;
  uv_timer_t timer;
  uv_idle_t again;
  uv_timer_t tick;
  uvsig_shutdown_closer_t closer;
  connection_t* unclaimed; /* libmicrohttpd has not yet named them */
} http;

/* --- A connection --------------------------------------------------------- */

static void let_go(connection_t* c) {
  if (--c->halves == 0)
    free(c);
}

static void on_closed(uv_handle_t* tcp) {
  let_go(tcp->data);
}

static void hang_up(connection_t* c) {
  uvsig_shutdown_linger(&c->tracked, (uv_stream_t*) &c->tcp, on_closed);
}

/* How many bytes have come: tcpi_bytes_received in linux/tcp.h. glibc's struct
 * tcp_info ends before it. */
static uint64_t count_received(const connection_t* c) {
  uint64_t info[32] = {0};
  socklen_t size = sizeof(info);

  getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, info, &size);
  return info[16];
}

/* Has some of a request come, but not all of it? libmicrohttpd tells when its
 * header is whole. */
static int is_asking(const connection_t* c) {
  return c->stage == READING ||
         (c->stage == BETWEEN && count_received(c) > c->consumed);
}

/* What has come with the end of the input is one event. libmicrohttpd 0.9.75
 * reads the one and does not look for the other, and the event does not come
 * again, unless the socket is shut down here, too. */
static void look_for_end(const connection_t* c) {
  char byte;

  if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
    shutdown(c->fd, SHUT_RD);
}

static void refuse(connection_t* c, const char* status) {
  char text[128];
  uv_buf_t buf = {.base = text};

  buf.len = (size_t) snprintf(
      text,
      sizeof(text),
      "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      status);
  uv_try_write((uv_stream_t*) &c->tcp, &buf, 1);
}

static void end_if_quiet(uv_handle_t* handle, void* arg) {
  connection_t* c = handle->data;

  (void) arg;
  if (handle->type != UV_TCP || c == NULL || c->halves < 2)
    return;
  look_for_end(c);
  if (c->stage != BETWEEN || is_asking(c) ||
      uv_now(handle->loop) - c->since < QUIET_MS)
    return;
  /* What it has sent by now is read before it is closed. */
  uvsig_shutdown_connection_busy(&c->tracked);
  uvsig_shutdown_connection_idle(&c->tracked);
}

static void on_tick(uv_timer_t* tick) {
  uv_walk(tick->loop, end_if_quiet, NULL);
}

static void on_event(uvsig_shutdown_connection_t* tracked,
                     uvsig_shutdown_event_t event) {
  connection_t* c = tracked->data;

  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
    if (!uv_is_active((uv_handle_t*) &http.tick))
      uv_timer_start(&http.tick, on_tick, 0, TICK_MS);
    return;
  }
  if (event == UVSIG_SHUTDOWN_CONNECTION_FORCE && c->halves == 2 &&
      is_asking(c))
    refuse(c, "408 Request Timeout");
  hang_up(c);
}

/* --- Called by libmicrohttpd, in MHD_run() -------------------------------- */

static connection_t* connection_of(struct MHD_Connection* connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
      ->socket_context;
}

static connection_t* claim(struct MHD_Connection* connection) {
  int fd =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
          ->connect_fd;
  connection_t** link = &http.unclaimed;
  connection_t* c;

  while ((*link)->fd != fd)
    link = &(*link)->next;
  c = *link;
  *link = c->next;
  return c;
}

static void on_connection(void* arg,
                          struct MHD_Connection* connection,
                          void** context,
                          enum MHD_ConnectionNotificationCode code) {
  (void) arg;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    *context = claim(connection);
    return;
  }
  hang_up(*context);
  let_go(*context);
}

/* Called with the header, then with each piece of the body, then once more. */
static enum MHD_Result on_request(void* arg,
                                  struct MHD_Connection* connection,
                                  const char* url,
                                  const char* method,
                                  const char* version,
                                  const char* body,
                                  size_t* body_size,
                                  void** request) {
  connection_t* c = connection_of(connection);
  unsigned status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  struct MHD_Response* response;
  enum MHD_Result result;

  (void) arg;
  (void) version;
  (void) body;
  if (*request == NULL) {
    *request = c;
    c->stage = READING;
    c->consumed += MHD_get_connection_info(
                       connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
                       ->header_size;
    uvsig_shutdown_connection_busy(&c->tracked);
    return MHD_YES;
  }
  if (*body_size > 0) {
    c->consumed += *body_size;
    *body_size = 0;
    return MHD_YES;
  }
  response = http.respond(method, url, &status);
  if (response == NULL)
    return MHD_NO;
  if (uvsig_shutdown_phase(http.sd) != UVSIG_SHUTDOWN_RUNNING)
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response); /* the queue has its own reference */
  c->stage = RESPONDING;
  return result;
}

/* The kernel has got the whole response, or the connection has ended. While
 * draining one that was not told to be the last is left to end_if_quiet(). */
static void on_completed(void* arg,
                         struct MHD_Connection* connection,
                         void** request,
                         enum MHD_RequestTerminationCode code) {
  connection_t* c = connection_of(connection);

  (void) arg;
  (void) request;
  (void) code;
  c->stage = BETWEEN;
  c->since = uv_now(http.timer.loop);
  look_for_end(c);
  if (uvsig_shutdown_phase(http.sd) == UVSIG_SHUTDOWN_RUNNING)
    uvsig_shutdown_connection_idle(&c->tracked);
}

/* --- The loop ------------------------------------------------------------- */

static void on_idle(uv_idle_t* again);
static void on_timer(uv_timer_t* timer);

static void run(void) {
  MHD_UNSIGNED_LONG_LONG ms;

  uv_idle_stop(&http.again);
  uv_timer_stop(&http.timer);
  if (MHD_run(http.mhd) != MHD_YES)
    uvsig_shutdown_request(
        http.sd, "libmicrohttpd failed", UVSIG_SHUTDOWN_FORCED);
  else if (MHD_get_timeout(http.mhd, &ms) != MHD_YES)
    return;
  else if (ms == 0)
    uv_idle_start(&http.again, on_idle);
  else
    uv_timer_start(&http.timer, on_timer, ms, 0);
}

static void on_idle(uv_idle_t* again) {
  (void) again;
  run();
}

static void on_timer(uv_timer_t* timer) {
  (void) timer;
  run();
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  (void) poll;
  (void) status; /* MHD_run() finds out */
  (void) events;
  run();
}

void http_daemon_accept(uv_stream_t* listener, int status) {
  connection_t* c = status == 0 ? calloc(1, sizeof(*c)) : NULL;
  struct sockaddr_storage address;
  int size = sizeof(address);
  uv_os_fd_t fd;

  if (c == NULL || uv_tcp_init(listener->loop, &c->tcp) != 0) {
    free(c);
    return;
  }
  c->tcp.data = c->tracked.data = c;
  c->halves = 1;
  c->since = uv_now(listener->loop);
  if (uv_accept(listener, (uv_stream_t*) &c->tcp) != 0 ||
      uv_tcp_getpeername(&c->tcp, (struct sockaddr*) &address, &size) != 0 ||
      uv_fileno((uv_handle_t*) &c->tcp, &fd) != 0 ||
      uvsig_shutdown_add_connection(http.sd, &c->tracked, on_event) != 0) {
    uv_close((uv_handle_t*) &c->tcp, on_closed);
    return;
  }
  c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  c->next = http.unclaimed;
  http.unclaimed = c;
  c->halves = 2;
  if (c->fd >= 0 && /* where this fails, it closes it */
      MHD_add_connection(
          http.mhd, c->fd, (struct sockaddr*) &address, (socklen_t) size) ==
          MHD_YES) {
    run();
    return;
  }
  http.unclaimed = c->next;
  c->halves = 1;
  refuse(c, "503 Service Unavailable");
  hang_up(c);
}

/* libuv must have let go of the epoll set before it is closed. */
static void stop(uvsig_shutdown_closer_t* closer) {
  uv_close((uv_handle_t*) &http.poll, NULL);
  uv_close((uv_handle_t*) &http.timer, NULL);
  uv_close((uv_handle_t*) &http.again, NULL);
  uv_close((uv_handle_t*) &http.tick, NULL);
  MHD_stop_daemon(http.mhd);
  uvsig_shutdown_closed(closer);
}

int http_daemon_start(uvsig_shutdown_t* sd, http_respond_cb respond) {
  uv_loop_t* loop = sd->sig->loop;
  const union MHD_DaemonInfo* info;
  int err;

  http.sd = sd;
  http.respond = respond;
  /* clang-format off */
  http.mhd = MHD_start_daemon(
      MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, NULL,
      MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_SECONDS,
      MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
      MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL,
      MHD_OPTION_END);
  /* clang-format on */
  if (http.mhd == NULL)
    return UV_EIO;
  info = MHD_get_daemon_info(http.mhd, MHD_DAEMON_INFO_EPOLL_FD);
  err = uv_poll_init(loop, &http.poll, info->epoll_fd);
  if (err == 0)
    err = uvsig_shutdown_add_closer(sd, &http.closer, stop);
  if (err != 0) {
    MHD_stop_daemon(http.mhd);
    return err;
  }
  uv_timer_init(loop, &http.timer);
  uv_timer_init(loop, &http.tick);
  uv_idle_init(loop, &http.again);
  return uv_poll_start(&http.poll, UV_READABLE, on_readable);
}
