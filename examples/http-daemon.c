/* SPDX-License-Identifier: MIT
 *
 * libmicrohttpd inside a libuv loop. It waits with an epoll set of its own,
 * whose descriptor is readable when one of its sockets is ready: uv_poll_t
 * watches that one descriptor, uv_timer_t does the timeouts, and uv_idle_t what
 * is to be done at once: a timer that is due whenever it has run would keep a
 * loop of libuv 1.44 from everything else, signals too. No thread is started;
 * everything here runs on the loop's thread. */

#define _GNU_SOURCE 1 /* accept4, SOCK_CLOEXEC, SOCK_NONBLOCK */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "http-daemon.h"

/* A client that neither sends nor reads for so long is hung up on. */
#define IDLE_SECONDS 60u

/* So that a flood of new clients does not keep the listener open. */
#define MAX_BACKLOG 5000

/* Callbacks returned int until 0.9.71. */
#if MHD_VERSION >= 0x00097002
typedef enum MHD_Result http_result_t;
#else
typedef int http_result_t;
#endif

/* What a request's own pointer points to. */
static char begun, queued;

/* --- Called by libmicrohttpd ------------------------------------------------
 * From inside of MHD_run(), where the daemon must not be stopped. */

/* NULL: it could not be registered. */
static http_connection_t* connection_of(struct MHD_Connection* connection) {
  const union MHD_ConnectionInfo* info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != NULL ? info->socket_context : NULL;
}

/* Called once with the header, then with each piece of the body, then once more
 * at the end. */
static http_result_t on_request(void* arg,
                                struct MHD_Connection* connection,
                                const char* url,
                                const char* method,
                                const char* version,
                                const char* body,
                                size_t* body_size,
                                void** request) {
  http_daemon_t* daemon = arg;
  struct MHD_Response* response;
  http_connection_t* ours;
  unsigned status = MHD_HTTP_INTERNAL_SERVER_ERROR;
  http_result_t result = MHD_YES;

  (void) version;
  (void) body;

  if (*request == NULL) {
    *request = &begun;
    return MHD_YES;
  }

  /* Read a body to its end before answering: closing a socket with unread
   * bytes resets the connection, and the client would not see the answer. */
  if (*body_size > 0) {
    *body_size = 0;
    return MHD_YES;
  }

  response = daemon->respond(daemon, connection, method, url, &status);
  if (response == NULL)
    return MHD_NO;
  if (daemon->quiesced)
    result =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  if (result == MHD_YES)
    result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response); /* the queue has its own reference */
  if (result == MHD_YES) {
    *request = &queued;
    daemon->in_flight++;
    ours = connection_of(connection);
    if (ours != NULL)
      http_connection_begin(ours);
  }
  return result;
}

/* Called when the kernel has got the whole response, or the connection ended
 * before. */
static void on_completed(void* arg,
                         struct MHD_Connection* connection,
                         void** request,
                         enum MHD_RequestTerminationCode code) {
  http_daemon_t* daemon = arg;
  http_connection_t* ours = connection_of(connection);

  if (*request == &queued) {
    daemon->in_flight--;
    if (ours != NULL)
      http_connection_end(ours, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
  }
  *request = NULL;
}

static void on_connection(void* arg,
                          struct MHD_Connection* connection,
                          void** context,
                          enum MHD_ConnectionNotificationCode code) {
  http_daemon_t* daemon = arg;
  const union MHD_ConnectionInfo* info;

  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    *context = info != NULL
                   ? http_connection_add(&daemon->connections, info->connect_fd)
                   : NULL;
    return;
  }

  /* Out of connections or descriptors, libmicrohttpd stops listening. The run
   * in which a connection ends is too late to begin again, and may be the last
   * event. */
  daemon->again = 1;
  if (*context != NULL)
    http_connection_close(*context);
}

/* libmicrohttpd would decode the URL in place, and a %00 would end it. */
static size_t leave_escaped(void* arg,
                            struct MHD_Connection* connection,
                            char* text) {
  (void) arg;
  (void) connection;
  return strlen(text);
}

/* --- The loop ------------------------------------------------------------- */

static void on_idle(uv_idle_t* idle);
static void on_timer(uv_timer_t* timer);

/* Let libmicrohttpd do what there is to do, and come again when it wants to: at
 * once if it has left something undone. */
static void run(http_daemon_t* daemon) {
  int part_ms = http_connections_part(&daemon->connections);
  unsigned long long ms;
  int has_timeout;

  uv_idle_stop(&daemon->idle);
  uv_timer_stop(&daemon->timer);
  daemon->again = 0;
  if (MHD_run(daemon->mhd) != MHD_YES) {
    daemon->failed(daemon, UV_EIO);
    return;
  }
  has_timeout = MHD_get_timeout(daemon->mhd, &ms) == MHD_YES;
  if (part_ms >= 0 && (!has_timeout || ms > (unsigned) part_ms)) {
    has_timeout = 1;
    ms = (unsigned) part_ms;
  }
  if (daemon->again || (has_timeout && ms == 0))
    uv_idle_start(&daemon->idle, on_idle);
  else if (has_timeout)
    uv_timer_start(&daemon->timer, on_timer, ms, 0);
}

static void on_idle(uv_idle_t* idle) {
  run(idle->data);
}

static void on_timer(uv_timer_t* timer) {
  run(timer->data);
}

static void on_part(http_connections_t* connections) {
  http_daemon_t* daemon = connections->data;
  uv_idle_start(&daemon->idle, on_idle);
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  http_daemon_t* daemon = poll->data;

  (void) events;
  if (status == 0)
    run(daemon);
  else
    daemon->failed(daemon, status);
}

static struct MHD_Daemon* start_mhd(http_daemon_t* daemon, int listener) {
  /* clang-format off */
  struct MHD_Daemon* mhd = MHD_start_daemon(
      MHD_USE_EPOLL, 0, NULL, NULL, on_request, daemon,
      MHD_OPTION_LISTEN_SOCKET, listener,
      MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
      MHD_OPTION_NOTIFY_COMPLETED, on_completed, daemon,
      MHD_OPTION_NOTIFY_CONNECTION, on_connection, daemon,
      MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
      MHD_OPTION_END);
  /* clang-format on */

  /* Some failures close the socket and some do not, depending on the release.
   * There is no other thread, so the number cannot be somebody else's yet. */
  if (mhd == NULL && fcntl(listener, F_GETFD) != -1)
    close(listener);
  return mhd;
}

int http_daemon_start(uvsig_shutdown_t* shutdown,
                      http_daemon_t* daemon,
                      int listener,
                      http_respond_cb respond,
                      http_failed_cb failed) {
  uv_loop_t* loop = shutdown->sig->loop;
  const union MHD_DaemonInfo* info;
  int err;

  daemon->in_flight = 0;
  daemon->quiesced = 0;
  daemon->respond = respond;
  daemon->failed = failed;
  http_connections_init(&daemon->connections, shutdown, on_part);
  daemon->connections.data = daemon;
  daemon->mhd = start_mhd(daemon, listener);
  if (daemon->mhd == NULL)
    return UV_EIO;

  err = UV_ENOTSUP;
  info = MHD_get_daemon_info(daemon->mhd, MHD_DAEMON_INFO_EPOLL_FD);
  if (info == NULL)
    goto stop_mhd;
  err = uv_timer_init(loop, &daemon->timer);
  if (err != 0)
    goto stop_mhd;
  daemon->timer.data = daemon;
  uv_unref((uv_handle_t*) &daemon->timer);
  uv_idle_init(loop, &daemon->idle);
  daemon->idle.data = daemon;
  uv_unref((uv_handle_t*) &daemon->idle);
  err = uv_poll_init(loop, &daemon->poll, info->epoll_fd);
  if (err != 0)
    goto close_timer;
  daemon->poll.data = daemon;
  uv_unref((uv_handle_t*) &daemon->poll);
  err = uv_poll_start(&daemon->poll, UV_READABLE, on_readable);
  if (err != 0)
    goto close_poll;
  return 0;

close_poll:
  uv_close((uv_handle_t*) &daemon->poll, NULL);
close_timer:
  uv_close((uv_handle_t*) &daemon->idle, NULL);
  uv_close((uv_handle_t*) &daemon->timer, NULL);
stop_mhd:
  MHD_stop_daemon(daemon->mhd);
  daemon->mhd = NULL;
  return err;
}

/* Closing a listener resets what has not been accepted. Nothing is answered in
 * between: whoever is told that a response is the last comes back at once, and
 * might find the listener still there, but not for long enough. */
void http_daemon_quiesce(http_daemon_t* daemon) {
  struct sockaddr_storage address;
  socklen_t size;
  MHD_socket listener;
  int fd, i;

  if (daemon->mhd == NULL)
    return;
  listener = MHD_quiesce_daemon(daemon->mhd);
  for (i = 0; i < MAX_BACKLOG; i++) {
    size = sizeof(address);
    fd = accept4(listener,
                 (struct sockaddr*) &address,
                 &size,
                 SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) /* where it fails, it closes it */
      MHD_add_connection(daemon->mhd, fd, (struct sockaddr*) &address, size);
    else if (errno != ECONNABORTED)
      break;
  }
  if (listener != MHD_INVALID_SOCKET)
    close(listener);
  daemon->quiesced = 1;
  uv_idle_start(&daemon->idle, on_idle);
}

void http_daemon_stop(http_daemon_t* daemon) {
  struct MHD_Daemon* mhd = daemon->mhd;

  if (mhd == NULL)
    return;
  daemon->mhd = NULL;

  /* libuv must have let go of the epoll set before MHD_stop_daemon() closes
   * it. What the kernel has got of a response it goes on sending, unless the
   * client has sent something that was not read. */
  uv_close((uv_handle_t*) &daemon->poll, NULL);
  uv_close((uv_handle_t*) &daemon->timer, NULL);
  uv_close((uv_handle_t*) &daemon->idle, NULL);
  MHD_stop_daemon(mhd);
}
