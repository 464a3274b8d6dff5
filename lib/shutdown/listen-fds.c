/* SPDX-License-Identifier: MIT
 *
 * Listening sockets that the service manager or a predecessor has handed over:
 * the protocol of sd_listen_fds(3). Runs in any thread, but for the environment
 * it changes.
 */

#include "environment.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST = 3 }; /* SD_LISTEN_FDS_START */

/* 0, or why it is no socket that listens. */
static int check_fd(int fd) {
  socklen_t size = sizeof(int);
  int listens = 0;

  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0)
    return UVSIG__ERR(errno);
  return listens ? 0 : UV_EINVAL;
}

/* The names, a copy that stays, cut in its place; NULL where there are none. */
static int copy_names(char** names, int count) {
  static char* kept;
  const char* text = count > 0 ? getenv("LISTEN_FDNAMES") : NULL;

  if (text != NULL) {
    kept = strdup(text);
    if (kept == NULL)
      return UV_ENOMEM;
  }
  *names = text != NULL ? kept : NULL;
  return 0;
}

static const char* next_name(char** names) {
  char* name = *names;
  char* end;

  if (name == NULL)
    return "unknown"; /* as sd_listen_fds_with_names(3) */
  end = strchr(name, ':');
  *names = end != NULL ? end + 1 : NULL;
  if (end != NULL)
    *end = 0;
  return name;
}

static int take(uvsig_listen_fd_t* fds, int count) {
  char* names;
  int err;
  int i;

  for (i = 0; i < count; i++) {
    err = check_fd(FIRST + i);
    if (err != 0)
      return err;
  }
  err = copy_names(&names, count);
  if (err != 0)
    return err;
  for (i = 0; i < count; i++) {
    fcntl(FIRST + i, F_SETFD, FD_CLOEXEC);
    fds[i].fd = FIRST + i;
    fds[i].name = next_name(&names);
  }
  return 0;
}

int uvsig_listen_fds(uvsig_listen_fd_t* fds, size_t size) {
  uint64_t count;
  uint64_t pid;
  int err;

  if (getenv("LISTEN_PID") == NULL || getenv("LISTEN_FDS") == NULL)
    return 0;
  if (!uvsig__read_number("LISTEN_PID", &pid))
    return UV_EINVAL;
  if (pid != (uint64_t) getpid())
    return 0; /* for its parent */
  if (!uvsig__read_number("LISTEN_FDS", &count) || count > INT_MAX - FIRST)
    return UV_EINVAL;
  if (count > size)
    return (int) count;
  if (fds == NULL && size > 0)
    return UV_EINVAL;
  err = take(fds, (int) count);
  if (err != 0)
    return err;
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  return (int) count;
}
