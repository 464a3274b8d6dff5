/* SPDX-License-Identifier: MIT
 *
 * The connections of libmicrohttpd as uvsig_shutdown_t sees them: who is idle,
 * how one is closed, and what is still on its way when it has been. */

#ifndef HTTP_CONNECTIONS_H
#define HTTP_CONNECTIONS_H

#include <uv.h>

#include <uvsig.h>

typedef struct http_connection_s http_connection_t;
typedef struct http_connections_s http_connections_t;

/* Called on the loop: http_connections_part() has something to do. */
typedef void (*http_part_cb)(http_connections_t* connections);

struct http_connections_s {
  /* public */
  void* data;
  /* private */
  uvsig_shutdown_t* shutdown;
  http_part_cb part;
  http_connection_t* parting; /* those that are to be closed when quiet */
};

void http_connections_init(http_connections_t* connections,
                           uvsig_shutdown_t* shutdown,
                           http_part_cb part);

/* Have libmicrohttpd close the connections that are to be closed, as far as
 * they have become quiet. Returns how long to wait before the next try, in
 * milliseconds, or -1: none is left. */
int http_connections_part(http_connections_t* connections);

/* Enter a connection that was accepted. Returns NULL on failure: then it is
 * served, and a shutdown does not wait for it. */
http_connection_t* http_connection_add(http_connections_t* connections, int fd);

/* A response begins. */
void http_connection_begin(http_connection_t* connection);

/* It has ended; `whole`: the kernel was given all of it. */
void http_connection_end(http_connection_t* connection, int whole);

/* libmicrohttpd is about to close the socket: forget the connection, and see
 * to it that its response arrives. */
void http_connection_close(http_connection_t* connection);

#endif /* HTTP_CONNECTIONS_H */
