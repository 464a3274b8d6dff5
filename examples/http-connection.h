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
  int fd;         /* libmicrohttpd's; -1: it has none */
  uv_poll_t poll; /* of that: tells when the client has closed for writing */
  int at_end;     /* the client has closed for writing */
  int handles;    /* tcp and poll, until they are closed */
  enum { BETWEEN, READING, RESPONDING } stage;
  uint64_t since;    /* of the last response, or of the beginning */
  uint64_t received; /* bytes that had come by then */
} http_connection_t;

/* Prepare for the connections of a shutdown. */
int http_connections_open(uvsig_shutdown_t* sd);
void http_connections_close(void);

/* Accept one for libmicrohttpd. NULL: none, or it is refused. */
http_connection_t* http_connection_accept(uv_stream_t* listener);
/* Say why it is not served, and end it. */
void http_connection_refuse(http_connection_t* c, const char* status);
/* Close it so that all arrives: libmicrohttpd is done with it. */
void http_connection_end(http_connection_t* c);

/* The header of a request is whole, or a piece of its body has come. */
void http_connection_asks(http_connection_t* c);
/* The kernel has got the whole response, or the connection has ended. */
void http_connection_completed(http_connection_t* c);

/* http-daemon.c: have libmicrohttpd read and write what it can. */
void http_daemon_run(void);

#endif
