/* SPDX-License-Identifier: MIT
 *
 * The configuration of examples/daemon: a file's bytes.
 */

#define _GNU_SOURCE 1 /* memfd_create() */

#include "fuzz.h"

#include "../../examples/daemon-config.h"

#include <limits.h>
#include <sys/mman.h>
#include <uv.h>

static char path[32];
static int file;

/* In memory: a disk would make it a hundred times as slow. */
int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void) argc;
  (void) argv;
  file = memfd_create("configuration", MFD_CLOEXEC);
  CHECK(file >= 0);
  snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
  return 0;
}

static int read_bytes(daemon_config_t* config, const void* data, size_t size) {
  CHECK(ftruncate(file, 0) == 0);
  CHECK(pwrite(file, data, size, 0) == (ssize_t) size);
  return daemon_config_read(config, path);
}

/* --- What a file says, by another way ----------------------------------------- */

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r';
}

static const char* skip_spaces(const char* at) {
  while (is_space(*at))
    at++;
  return at;
}

static bool read_unsigned(unsigned* number, const char* text) {
  uint64_t n;

  if (!fuzz_number(text, &n) || n > UINT_MAX)
    return false;
  *number = (unsigned) n;
  return true;
}

/* A line without its newline. Whether it may be there. */
static bool apply(daemon_config_t* config, const char* line, size_t length) {
  size_t key = strspn(line, "abcdefghijklmnopqrstuvwxyz_");
  const char* value = skip_spaces(line + key);

  if (line[0] == '#' || length == 0)
    return true;
  if (strlen(line) != length || *value != '=')
    return false;
  value = skip_spaces(value + 1);
  if (*value == 0 || strlen(value) > 63)
    return false;
  if (key == 11 && memcmp(line, "interval_ms", key) == 0)
    return read_unsigned(&config->interval_ms, value);
  if (key == 7 && memcmp(line, "work_ms", key) == 0)
    return read_unsigned(&config->work_ms, value);
  if (key != 7 || memcmp(line, "message", key) != 0)
    return false;
  strcpy(config->message, value);
  return true;
}

static bool read_wanted(daemon_config_t* config, struct fuzz_input input) {
  const uint8_t* begin;
  size_t length;
  bool is_good = true;
  char* line;

  memset(config, 0, sizeof(*config));
  config->interval_ms = 1000;
  config->work_ms = 100;
  while (is_good && input.left > 0) {
    begin = input.at;
    line = fuzz_line(&input);
    length = (size_t) (input.at - begin);
    if (length > 0 && begin[length - 1] == '\n')
      length--;
    is_good = apply(config, line, length);
    free(line);
  }
  return is_good && config->interval_ms != 0;
}

/* --- The check ------------------------------------------------------------------ */

static void check_same(const daemon_config_t* a, const daemon_config_t* b) {
  CHECK(memchr(a->message, 0, sizeof(a->message)) != NULL);
  CHECK(a->interval_ms == b->interval_ms);
  CHECK(a->work_ms == b->work_ms);
  CHECK(strcmp(a->message, b->message) == 0);
}

/* What was read can be written, and reads the same. */
static void check_again(const daemon_config_t* config) {
  daemon_config_t* again = fuzz_alloc(sizeof(*again));
  char text[256];
  int n = snprintf(text,
                   sizeof(text),
                   "interval_ms = %u\nwork_ms=%u\n",
                   config->interval_ms,
                   config->work_ms);

  if (config->message[0] != 0)
    n += snprintf(
        text + n, sizeof(text) - (size_t) n, "message = %s", config->message);
  CHECK(read_bytes(again, text, (size_t) n) == 0);
  check_same(again, config);
  free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  struct fuzz_input input = {data, size};
  daemon_config_t* config = fuzz_alloc(sizeof(*config));
  daemon_config_t wanted;
  int free_fd = fuzz_free_fd();
  int err = read_bytes(config, data, size);

  CHECK(err == (read_wanted(&wanted, input) ? 0 : UV_EINVAL));
  if (err == 0) {
    check_same(config, &wanted);
    check_again(config);
  }
  CHECK(fuzz_free_fd() == free_fd);
  free(config);
  return 0;
}
