/* SPDX-License-Identifier: MIT
 *
 * The connections of a server, and what the kernel has left to send on them. */

#ifndef HTTP_CONNECTIONS_H
#define HTTP_CONNECTIONS_H

#include <stdint.h>

typedef struct http_connection_s http_connection_t;

/* Enter a connection in a list. Returns NULL if there is no memory. */
http_connection_t* http_connection_add(http_connection_t** list, int fd);

/* The last response has ended; `whole`: the kernel was given all of it. */
void http_connection_answered(http_connection_t* connection, int whole);

/* The socket is about to be closed while the server ends: keep a duplicate if
 * there is something left to send. Without a descriptor to spare, or with
 * nothing left, the connection is forgotten. */
void http_connection_linger(http_connection_t* connection);

/* Take a connection off its list, and free it. */
void http_connection_forget(http_connection_t* connection);

/* Tell whether a client still receives, those not counted that have received
 * nothing for so many milliseconds. `now` is in milliseconds, and not 0. */
int http_connections_receive(http_connection_t* list,
                             uint64_t now,
                             uint64_t patience_ms);

#endif /* HTTP_CONNECTIONS_H */
