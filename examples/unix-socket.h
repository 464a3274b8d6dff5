/* SPDX-License-Identifier: MIT
 *
 * A UNIX socket that listens at a path. The file that a killed server has left
 * is taken over. One where a server listens, and what is no socket, is left
 * alone. At the end the server removes its own file, and no other's: the close
 * of a uv_pipe_t from uv_pipe_bind() would remove whatever has the name. After
 * an upgrade the file stays: it is the successor's, which leaves it to the
 * next server that listens there. */

#ifndef UNIX_SOCKET_H
#define UNIX_SOCKET_H

#include <uvsig.h>

/* Have the UNIX socket that was handed over or, where there is none, one at
 * `path`, and call `cb` for its connections. The shutdown has it as a listener,
 * and closes it, also after a failure. `path` must stay valid. Returns 0 or
 * UV_E*: UV_EADDRINUSE where a server listens, UV_ENOTSOCK where no socket is,
 * UV_ECANCELED where a shutdown has begun. */
int unix_socket_listen(uvsig_shutdown_t* sd,
                       const char* path,
                       uv_connection_cb cb);

#endif
