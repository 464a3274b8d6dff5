/* SPDX-License-Identifier: MIT
 *
 * A connection of http-daemon.c. Its socket has two descriptors: libmicrohttpd
 * serves one, and the other is a uv_tcp_t, which uvsig_shutdown_linger() closes
 * so that everything arrives. */

#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include <uv.h>
#include <uvsig.h>

typedef struct {
  uv_tcp_t tcp;
  uvsig_shutdown_connection_t tracked;
  int fd;     /* libmicrohttpd's; closed with its half */
  int halves; /* 2 while libmicrohttpd has its own and tcp is open */
  enum { BETWEEN, READING, RESPONDING } stage;
  uint64_t since;    /* of the last response, or of the beginning */
  uint64_t consumed; /* bytes of requests, as far as they were told of */
} http_connection_t;

/* Prepare for the connections of a shutdown. */
int http_connections_open(uvsig_shutdown_t* sd);
void http_connections_close(void);

/* Accept one, without libmicrohttpd's half. NULL: none, or it is closed. */
http_connection_t* http_connection_accept(uv_stream_t* listener);
/* Say why it is not served. */
void http_connection_refuse(http_connection_t* c, const char* status);
/* Close it so that all arrives. Harmless when repeated. */
void http_connection_hang_up(http_connection_t* c);
/* A half is closed. */
void http_connection_let_go(http_connection_t* c);

/* So many bytes of a request have been told of. */
void http_connection_asks(http_connection_t* c, uint64_t size);
/* The kernel has got the whole response, or the connection has ended. */
void http_connection_completed(http_connection_t* c);

#endif
