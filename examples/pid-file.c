/* SPDX-License-Identifier: MIT
 *
 * That a daemon runs is said by the lock, not by the file: the kernel takes the
 * lock back with the process, however that ends. The file is written under a
 * name that nobody knows, and then given its own, so that it is never seen
 * empty, and nothing that was there before is written to. */
#include "pid-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole file. Locks are a process's own: a child of fork() has none. */
static bool lock(int fd) {
  struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

  return fcntl(fd, F_SETLK, &all) == 0;
}

static const char* why_locked(int fd) {
  static char text[64];
  struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int err = errno;

  if ((err != EACCES && err != EAGAIN) || fcntl(fd, F_GETLK, &all) != 0 ||
      all.l_type == F_UNLCK)
    return strerror(err);
  snprintf(text, sizeof(text), "runs already: process %ld", (long) all.l_pid);
  return text;
}

/* That of the predecessor whose upgrade has started us. */
static bool is_parents(int fd) {
  struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

  return fcntl(fd, F_GETLK, &all) == 0 && all.l_type != F_UNLCK &&
         all.l_pid == getppid();
}

/* Is `path` still, or again, the name of this file? */
static bool is_at(int fd, const char* path) {
  struct stat ours, there;

  return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
         S_ISREG(there.st_mode) && ours.st_dev == there.st_dev &&
         ours.st_ino == there.st_ino;
}

/* Returns a file, locked and written, or -1 and errno. The template becomes its
 * name, or empty. */
static int make(char* template) {
  int fd = mkstemp(template);
  int err;

  if (fd < 0) {
    template[0] = '\0';
    return -1;
  }
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fchmod(fd, 0644) == 0 &&
      lock(fd) && dprintf(fd, "%ld\n", (long) getpid()) > 0)
    return fd;
  err = errno;
  close(fd);
  errno = err;
  return -1;
}

/* Also before it is opened: that may do something to a device. */
static bool is_other_kind(const char* path) {
  struct stat there;

  return lstat(path, &there) == 0 && !S_ISREG(there.st_mode);
}

/* Only the process that has the lock of the file there may replace it, or the
 * successor of that process.
 * Returns NULL with `*done` or, where the name has changed meanwhile, without
 * it; or why not. */
static const char* replace(const char* name, const char* path, bool* done) {
  const char* why = NULL;
  int fd = open(path, O_RDWR | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);

  if (fd < 0)
    return errno == ENOENT ? NULL : strerror(errno);
  if (!lock(fd) && !is_parents(fd))
    why = why_locked(fd);
  else if (is_at(fd, path)) {
    *done = rename(name, path) == 0;
    why = *done ? NULL : strerror(errno);
  }
  close(fd); /* not before: until then another one keeps its hands off */
  return why;
}

const char* pid_file_open(pid_file_t* file, const char* path) {
  const char* why = NULL;
  bool done = false;
  char name[PATH_MAX];
  int fd;

  if (is_other_kind(path))
    return "not a regular file";
  if (snprintf(name, sizeof(name), "%s.XXXXXX", path) >= (int) sizeof(name))
    return strerror(ENAMETOOLONG);
  fd = make(name);
  if (fd < 0)
    why = strerror(errno);
  while (why == NULL && !done)
    if (link(name, path) == 0) /* fails where anything is there */
      done = true;
    else if (errno != EEXIST)
      why = strerror(errno);
    else if (is_other_kind(path))
      why = "not a regular file";
    else
      why = replace(name, path, &done);
  if (name[0] != '\0')
    unlink(name); /* it has its own name now, or none */
  if (why == NULL)
    *file = (pid_file_t){path, fd};
  else if (fd >= 0)
    close(fd);
  return why;
}

const char* pid_file_take_back(pid_file_t* file) {
  if (file->path == NULL || is_at(file->fd, file->path))
    return NULL;
  close(file->fd);
  return pid_file_open(file, file->path);
}

/* Before the lock goes: after that the file may be another's. */
const char* pid_file_remove(pid_file_t* file) {
  const char* why = NULL;

  if (file->path == NULL)
    return NULL;
  if (is_at(file->fd, file->path) && unlink(file->path) != 0)
    why = strerror(errno);
  close(file->fd);
  file->path = NULL;
  return why;
}
