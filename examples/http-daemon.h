/* SPDX-License-Identifier: MIT
 *
 * libmicrohttpd inside a libuv loop, and its connections in a uvsig_shutdown_t.
 * It knows nothing of what is served. */

#ifndef HTTP_DAEMON_H
#define HTTP_DAEMON_H

#include <microhttpd.h>
#include <uv.h>
#include <uvsig.h>

/* Make the response to a request and set its status. NULL closes the
 * connection. */
typedef struct MHD_Response* (*http_respond_cb)(const char* method,
                                                const char* url,
                                                unsigned* status);

/* Returns 0 or a UV_E* code. `sd` stops it, also after an error. SIGPIPE must
 * be ignored. */
int http_daemon_start(uvsig_shutdown_t* sd, http_respond_cb respond);

/* For uv_listen(): serve a connection of `listener`, a uv_tcp_t. */
void http_daemon_accept(uv_stream_t* listener, int status);

#endif
