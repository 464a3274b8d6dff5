/* SPDX-License-Identifier: MIT
 *
 * An HTTP server inside a libuv loop: libmicrohttpd's own epoll set is polled
 * by the loop, and everything runs on the loop's thread. It knows nothing of
 * what is served; a callback makes the responses. */

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

/* The daemon has stopped and its memory is yours. `error` is 0, or the UV_E*
 * code that ended it. */
typedef void (*http_stopped_cb)(http_daemon_t* daemon, int error);

struct http_daemon_s {
  /* public */
  void* data;
  /* read-only */
  unsigned in_flight; /* responses that the kernel has not got whole */
  /* private */
  struct MHD_Daemon* mhd; /* NULL: stopped */
  uv_poll_t poll;
  uv_timer_t timer;
  http_respond_cb respond;
  http_stopped_cb stopped;
  http_connection_t* connections;
  int draining;
  int accepted;   /* a connection has begun in this run */
  int again;      /* something has happened in this run that asks for another */
  unsigned quiet; /* runs since then */
  int error;
};

/* Serve what arrives at `listener`, a listening, non-blocking socket, which
 * becomes the daemon's, also on failure. SIGPIPE must be ignored until the
 * daemon has stopped. Returns 0 or a UV_E* code; after an error `stopped` is
 * not called, and the memory is yours once the loop has run. */
int http_daemon_start(uv_loop_t* loop,
                      http_daemon_t* daemon,
                      int listener,
                      http_respond_cb respond,
                      http_stopped_cb stopped);

/* Answer the requests that have arrived, also on connections that wait to be
 * accepted, and accept no more. Stop when the clients' systems have received
 * all of it. Returns how many responses are in flight. */
unsigned http_daemon_drain(http_daemon_t* daemon);

/* Stop now, responses in flight or not. Harmless when repeated. */
void http_daemon_stop(http_daemon_t* daemon);

#endif /* HTTP_DAEMON_H */
