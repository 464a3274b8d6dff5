/* SPDX-License-Identifier: MIT
 *
 * See daemon-config.h. A thread of libuv's pool runs daemon_config_read(), when
 * the daemon reads its configuration again. */
#include "daemon-config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* The number that is all of `text`. */
static int read_number(unsigned* number, const char* text) {
  unsigned long long value;
  char* end;

  if (text[0] < '0' || text[0] > '9') /* strtoull() takes " +1", and "-1" */
    return UV_EINVAL;
  value = strtoull(text, &end, 10);
  if (*end != '\0' || value > UINT_MAX)
    return UV_EINVAL;
  *number = (unsigned) value;
  return 0;
}

/* A line as it was read, with its newline. What does not fit is refused, and
 * not cut. */
static int read_line(daemon_config_t* config, const char* line, size_t length) {
  char key[16], value[64];
  int end;

  if (line[0] == '#' || line[0] == '\n')
    return 0;
  if (sscanf(line, "%15[a-z_] = %63[^\n]%n", key, value, &end) != 2)
    return UV_EINVAL;
  if ((size_t) end + (line[end] == '\n') != length)
    return UV_EINVAL;
  if (strcmp(key, "interval_ms") == 0)
    return read_number(&config->interval_ms, value);
  if (strcmp(key, "work_ms") == 0)
    return read_number(&config->work_ms, value);
  if (strcmp(key, "message") != 0)
    return UV_EINVAL;
  strcpy(config->message, value);
  return 0;
}

int daemon_config_read(daemon_config_t* config, const char* path) {
  FILE* file = fopen(path, "re");
  char* line = NULL;
  size_t size = 0;
  ssize_t length;
  int err = 0;

  if (file == NULL)
    return uv_translate_sys_error(errno);
  *config = (daemon_config_t){.interval_ms = 1000, .work_ms = 100};
  while (err == 0 && (length = getline(&line, &size, file)) >= 0)
    err = read_line(config, line, (size_t) length);
  if (err == 0 && !feof(file))
    err = ferror(file) ? UV_EIO : UV_ENOMEM;
  free(line);
  fclose(file);
  return err == 0 && config->interval_ms == 0 ? UV_EINVAL : err;
}
