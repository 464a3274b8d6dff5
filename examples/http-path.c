/* SPDX-License-Identifier: MIT
 *
 * From a URL to an open file below a folder, and to nothing outside it, even
 * while somebody changes the folder. */

#define _GNU_SOURCE 1 /* asprintf */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <microhttpd.h>
#include <uv.h>

#include "http-path.h"

/* O_NONBLOCK: opening a FIFO does not wait for a writer. O_NOCTTY: opening a
 * terminal does not make it ours. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

int http_root_open(http_root_t* root, const char* folder) {
  int err;

  root->path = realpath(folder, NULL);
  if (root->path == NULL)
    return uv_translate_sys_error(errno);
  root->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root->fd < 0) {
    err = errno;
    free(root->path);
    return uv_translate_sys_error(err);
  }
  return 0;
}

void http_root_close(http_root_t* root) {
  close(root->fd);
  free(root->path);
}

char* http_path_decode(const char* url) {
  char* path = strdup(url);
  char *out = path, *part, *rest;
  size_t length;
  int folder;

  if (path == NULL)
    return NULL;

  /* A %00 makes the text shorter than the decoder says that it is. */
  length = MHD_http_unescape(path);
  if (path[0] != '/' || length != strlen(path))
    goto refuse;

  folder = path[length - 1] == '/';
  for (part = strtok_r(path, "/", &rest); part != NULL;
       part = strtok_r(NULL, "/", &rest)) {
    if (strcmp(part, ".") == 0)
      continue;
    if (strcmp(part, "..") == 0)
      goto refuse;
    length = strlen(part);
    memmove(out, part, length);
    out[length] = '/';
    out += length + 1;
  }
  if (out > path && !folder)
    out--;
  *out = '\0';
  return path;

refuse:
  free(path);
  errno = ENOENT;
  return NULL;
}

int http_path_names_folder(const char* path) {
  size_t length = strlen(path);
  return length == 0 || path[length - 1] == '/';
}

/* What is left of an absolute path below the root, or NULL if it is not. */
static const char* below(const http_root_t* root, const char* path) {
  size_t length = strlen(root->path);

  if (length == 1) /* "/" */
    return path + 1;
  if (strncmp(path, root->path, length) != 0)
    return NULL;
  if (path[length] == '\0')
    return path + length;
  return path[length] == '/' ? path + length + 1 : NULL;
}

/* Open a decoded path step by step, following no symbolic link. */
static int open_walking(int root, const char* path) {
  char part[NAME_MAX + 1];
  size_t length;
  int dir = root, fd, saved;

  if (path[0] == '\0')
    return openat(root, ".", OPEN_FLAGS);
  for (;;) {
    length = strcspn(path, "/");
    if (length < sizeof(part)) {
      memcpy(part, path, length);
      part[length] = '\0';
      path += length;
      fd = openat(dir,
                  part,
                  OPEN_FLAGS | O_NOFOLLOW | (*path == '/' ? O_DIRECTORY : 0));
    } else {
      fd = -1;
      errno = ENAMETOOLONG;
    }
    saved = errno;
    if (dir != root)
      close(dir);
    errno = saved;
    if (fd < 0 || path[0] == '\0' || path[1] == '\0')
      return fd;
    dir = fd;
    path++;
  }
}

/* Symbolic links are followed on paper first. The result has none, and is
 * opened without following any: where somebody puts one in its place
 * meanwhile, the opening fails. */
int http_path_open(const http_root_t* root, const char* path) {
  const char* rest;
  char* full;
  char* real;
  int fd = -1, err;

  if (asprintf(&full, "%s/%s", root->path, path) < 0) {
    errno = ENOMEM;
    return -1;
  }
  real = realpath(full, NULL);
  err = errno;
  free(full);
  if (real == NULL) {
    errno = err;
    return -1;
  }
  rest = below(root, real);
  if (rest != NULL) {
    fd = open_walking(root->fd, rest);
    err = errno;
  } else {
    err = ENOENT; /* it exists, which is nobody's business */
  }
  free(real);
  errno = err;
  return fd;
}
