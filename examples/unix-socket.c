/* SPDX-License-Identifier: MIT
 *
 * See unix-socket.h. Between the question whether a file is stale and the new
 * file in its place is the lock of the folder, so that of several servers that
 * start at once none removes another one's file. */
#include "unix-socket.h"

#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static uvsig_shutdown_listener_t listener;
static uv_pipe_t server;
static struct {
  const char* path; /* NULL: none is there */
  dev_t dev;
  ino_t ino;
} own;

static int error(void) {
  return uv_translate_sys_error(errno);
}

/* Neither inherited nor waited for. In two steps: macOS has no SOCK_CLOEXEC, and
 * this program starts no other one meanwhile. */
static int open_socket(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);

  if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
      fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
    return fd;
  if (fd >= 0)
    close(fd);
  return -1;
}

/* Returns a descriptor, whose close unlocks, or UV_E*. */
static int lock_folder(const char* path) {
  char folder[sizeof(((struct sockaddr_un*) 0)->sun_path)];
  char* slash;
  int fd, err;

  strcpy(folder, path); /* which is no longer */
  slash = strrchr(folder, '/');
  if (slash == NULL)
    strcpy(folder, ".");
  else
    slash[slash == folder] = '\0';
  fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return error();
  if (flock(fd, LOCK_EX) == 0)
    return fd;
  err = error();
  close(fd);
  return err;
}

/* No server listens there: the one that did was killed. Does not wait: where the
 * queue is full, a server listens, too. */
static int check_stale(const struct sockaddr_un* address) {
  int fd = open_socket();
  int err = UV_EADDRINUSE;

  if (fd < 0)
    return error();
  if (connect(fd, (const void*) address, sizeof(*address)) != 0 &&
      errno == ECONNREFUSED)
    err = 0;
  close(fd);
  return err;
}

static int remove_stale(const struct sockaddr_un* address) {
  struct stat there;
  int err;

  if (lstat(address->sun_path, &there) != 0)
    return errno == ENOENT ? 0 : error();
  if (!S_ISSOCK(there.st_mode))
    return UV_ENOTSOCK;
  err = check_stale(address);
  return err == 0 && unlink(address->sun_path) != 0 ? error() : err;
}

static int bind_and_listen(int fd,
                           const struct sockaddr_un* address,
                           struct stat* made) {
  int err;

  if (bind(fd, (const void*) address, sizeof(*address)) != 0)
    return error();
  if (listen(fd, SOMAXCONN) == 0 && lstat(address->sun_path, made) == 0)
    return 0;
  err = error();
  unlink(address->sun_path);
  return err;
}

/* Returns a descriptor, or UV_E*. */
static int listen_at(const char* path, struct stat* made) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int folder, fd, err;

  if (strlen(path) >= sizeof(address.sun_path))
    return UV_ENAMETOOLONG;
  strcpy(address.sun_path, path);
  folder = lock_folder(path);
  if (folder < 0)
    return folder;
  fd = open_socket();
  err = fd < 0 ? error() : remove_stale(&address);
  if (err == 0)
    err = bind_and_listen(fd, &address, made);
  close(folder);
  if (err == 0)
    return fd;
  if (fd >= 0)
    close(fd);
  return err;
}

static int open_at(const char* path) {
  struct stat made;
  int fd = listen_at(path, &made);
  int err;

  if (fd < 0)
    return fd;
  own.path = path;
  own.dev = made.st_dev;
  own.ino = made.st_ino;
  err = uv_pipe_open(&server, fd); /* its close removes nothing */
  if (err != 0)
    close(fd);
  return err;
}

/* The file goes before the socket: until then it is stale for nobody, and its
 * inode is no other file's. */
static void on_stop(uvsig_shutdown_listener_t* l) {
  const uvsig_shutdown_t* sd = l->data;
  struct stat there;

  if (own.path != NULL && sd->report.successor == 0 &&
      lstat(own.path, &there) == 0 && there.st_dev == own.dev &&
      there.st_ino == own.ino && unlink(own.path) != 0)
    perror(own.path);
  uv_close((uv_handle_t*) l->stream, NULL);
}

int unix_socket_listen(uvsig_shutdown_t* sd,
                       const char* path,
                       uv_connection_cb cb) {
  uv_stream_t* stream = (uv_stream_t*) &server;
  int err = uv_pipe_init(sd->sig->loop, &server, 0);

  if (err != 0)
    return err;
  listener.data = sd;
  err = uvsig_shutdown_add_listener(sd, &listener, stream, on_stop);
  if (err != 0) {
    uv_close((uv_handle_t*) &server, NULL);
    return err;
  }
  err = successor_open_pipe(&server);
  if (err == UV_ENOENT)
    err = open_at(path);
  return err != 0 ? err : uv_listen(stream, SOMAXCONN, cb);
}
