/* SPDX-License-Identifier: MIT
 *
 * See log-file.h. A line is one write(): never half of one is in a file that
 * others append to as well, and nothing is left in a buffer. Runs in the loop
 * thread. */
#include "log-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

static const char* log_path;
static int log_fd = -1;

/* O_NONBLOCK is for FIFOs: a reader is not waited for, nor one that reads
 * slowly. */
int log_file_open(const char* path) {
  const int flags = O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY;
  int fd = path != NULL ? open(path, flags | O_CLOEXEC, 0666) : STDERR_FILENO;

  if (fd < 0)
    return uv_translate_sys_error(errno);
  if (log_path != NULL)
    close(log_fd);
  log_path = path;
  log_fd = fd;
  return 0;
}

int log_file_reopen(void) {
  return log_fd >= 0 ? log_file_open(log_path) : 0;
}

void say(const char* format, ...) {
  char line[256];
  va_list arguments;
  int size;

  va_start(arguments, format);
  size = vsnprintf(line, sizeof(line) - 1, format, arguments);
  va_end(arguments);
  if (size > (int) sizeof(line) - 2)
    size = sizeof(line) - 2;
  line[size] = '\n';
  if (log_fd >= 0 && write(log_fd, line, (size_t) size + 1) < 0)
    return; /* nobody could be told */
}
