/* SPDX-License-Identifier: MIT
 *
 * A UNIX socket that listens at a path. The file that a killed server has left
 * is taken over. One where somebody listens, and what is no socket, is left
 * alone. At the end the server removes its own file, and no successor's: the
 * close of a uv_pipe_t from uv_pipe_bind() would remove whatever has the name.
 */

#ifndef UNIX_SOCKET_H
#define UNIX_SOCKET_H

#include <sys/types.h>
#include <uv.h>

typedef struct {
  const char* path; /* NULL: none is there, as in zeroed memory */
  dev_t dev;
  ino_t ino;
} unix_socket_t;

/* To be called before uv_listen(), in place of uv_pipe_bind(). `path` must stay
 * valid. Returns 0 or UV_E*: UV_EADDRINUSE where somebody listens, UV_ENOTSOCK
 * where no socket is. */
int unix_socket_bind(unix_socket_t* s, uv_pipe_t* pipe, const char* path);

/* In place of uv_close(). The file goes first: until then it is stale for
 * nobody, and its inode is no other file's. Returns 0, or UV_E* where the file
 * could not be removed. */
int unix_socket_close(unix_socket_t* s, uv_stream_t* stream);

#endif
