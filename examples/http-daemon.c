/* SPDX-License-Identifier: MIT
 *
 * libmicrohttpd inside a libuv loop. It waits with an epoll set of its own,
 * whose descriptor is readable when one of its sockets is ready: uv_poll_t
 * watches that one, uv_timer_t does the timeouts, and uv_idle_t what is to be
 * done at once: a timer of 0 ms would keep a loop of libuv 1.44 from all else.
 *
 * It has no call that closes a connection, and its own way to close may cut off
 * what is still on its way. So the listener is libuv's, and each socket has two
 * descriptors: http-connection.c. There is one thread, the loop's. */
#include "http-daemon.h"
#include "http-connection.h"

/* A client that neither sends nor reads for so long is hung up on. */
enum { IDLE_SECONDS = 60 };

static struct {
  uvsig_shutdown_t* sd;
  http_respond_cb respond;
  struct MHD_Daemon* mhd;
  uv_poll_t poll;
  uv_timer_t timer;
  uv_idle_t again;
  uvsig_shutdown_closer_t closer;
  http_connection_t* added; /* in MHD_add_connection() */
} http;

/* --- Called by libmicrohttpd, in MHD_run() -------------------------------- */

static http_connection_t* connection_of(struct MHD_Connection* connection) {
  return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
      ->socket_context;
}

/* Without a thread of its own it starts one in MHD_add_connection(). */
static void on_connection(void* arg,
                          struct MHD_Connection* connection,
                          void** context,
                          enum MHD_ConnectionNotificationCode code) {
  (void) arg;
  (void) connection;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    *context = http.added;
    return;
  }
  http_connection_end(*context);
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
  http_connection_t* c = connection_of(connection);
  unsigned status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  struct MHD_Response* response;
  enum MHD_Result result;

  (void) arg;
  (void) version;
  (void) body;
  if (*request == NULL) {
    *request = c;
    http_connection_asks(c);
    return MHD_YES;
  }
  if (*body_size > 0) {
    http_connection_asks(c);
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

static void on_completed(void* arg,
                         struct MHD_Connection* connection,
                         void** request,
                         enum MHD_RequestTerminationCode code) {
  (void) arg;
  (void) request;
  (void) code;
  http_connection_completed(connection_of(connection));
}

/* --- The loop ------------------------------------------------------------- */

static void on_idle(uv_idle_t* again) {
  (void) again;
  http_daemon_run();
}

static void on_timer(uv_timer_t* timer) {
  (void) timer;
  http_daemon_run();
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  (void) poll;
  (void) status; /* MHD_run() finds out */
  (void) events;
  http_daemon_run();
}

void http_daemon_run(void) {
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

/* MHD_add_connection() takes the descriptor, also where it fails. */
void http_daemon_accept(uv_stream_t* listener, int status) {
  http_connection_t* c = status == 0 ? http_connection_accept(listener) : NULL;
  struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
  int size = sizeof(address);

  if (c == NULL)
    return;
  uv_tcp_getpeername(&c->tcp, (struct sockaddr*) &address, &size);
  http.added = c;
  if (MHD_add_connection(
          http.mhd, c->fd, (struct sockaddr*) &address, (socklen_t) size) ==
      MHD_YES)
    http_daemon_run();
  else
    http_connection_refuse(c, "503 Service Unavailable");
}

/* libuv must have let go of the epoll set before it is closed. */
static void stop(uvsig_shutdown_closer_t* closer) {
  uv_close((uv_handle_t*) &http.poll, NULL);
  uv_close((uv_handle_t*) &http.timer, NULL);
  uv_close((uv_handle_t*) &http.again, NULL);
  http_connections_close();
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
  http_connections_open(sd);
  uv_timer_init(loop, &http.timer);
  uv_idle_init(loop, &http.again);
  return uv_poll_start(&http.poll, UV_READABLE, on_readable);
}
