/* SPDX-License-Identifier: MIT
 *
 * An HTTP server inside a libuv loop: libmicrohttpd's own epoll set is polled
 * by the loop, and everything runs on the loop's thread. Its connections are
 * registered with a uvsig_shutdown_t. It knows nothing of what is served; a
 * callback makes the responses. */

#ifndef HTTP_DAEMON_H
#define HTTP_DAEMON_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <microhttpd.h>
#include <uv.h>

#include "http-connections.h"

typedef struct http_daemon_s http_daemon_t;

/* Make the response to a request and set its status. The response becomes the
 * daemon's. NULL closes the connection. Must not stop the daemon. */
typedef struct MHD_Response* (*http_respond_cb)(http_daemon_t* daemon,
                                                struct MHD_Connection* from,
                                                const char* method,
                                                const char* url,
                                                unsigned* status);

/* The daemon cannot go on: a UV_E* code. To be stopped, here or later. */
typedef void (*http_failed_cb)(http_daemon_t* daemon, int error);

struct http_daemon_s {
  /* public */
  void* data;
  /* read-only */
  unsigned in_flight; /* responses that the kernel has not got whole */
  /* private */
  struct MHD_Daemon* mhd; /* NULL: stopped */
  uv_poll_t poll;
  uv_timer_t timer;
  uv_idle_t idle;
  http_respond_cb respond;
  http_failed_cb failed;
  http_connections_t connections;
  int quiesced; /* responses say that they are the last */
  int again;    /* a connection has ended in this run */
};

/* Serve what arrives at `listener`, a listening, non-blocking socket, which
 * becomes the daemon's, also on failure. Does not keep the loop alive: that is
 * `shutdown`'s to do. SIGPIPE must be ignored until the daemon has stopped.
 * Returns 0 or a UV_E* code; after an error the memory is yours once the loop
 * has run. */
int http_daemon_start(uvsig_shutdown_t* shutdown,
                      http_daemon_t* daemon,
                      int listener,
                      http_respond_cb respond,
                      http_failed_cb failed);

/* Accept what waits to be accepted, and nothing more: to be called when a
 * uvsig_shutdown_listener_t is. Each connection's next response is its last. */
void http_daemon_quiesce(http_daemon_t* daemon);

/* Stop now, responses in flight or not. Harmless when repeated. The memory is
 * yours once the loop has run. */
void http_daemon_stop(http_daemon_t* daemon);

#endif /* HTTP_DAEMON_H */
