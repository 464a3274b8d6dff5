/* SPDX-License-Identifier: MIT
 *
 * What the fuzz targets share. Each target is one file: libFuzzer calls
 * LLVMFuzzerTestOneInput() with bytes of its own making, and an input for which
 * a CHECK fails is a finding. Where an input has several parts, these are its
 * lines, so that a seed can be written by hand.
 */

#ifndef FUZZ_H
#define FUZZ_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
int LLVMFuzzerInitialize(int* argc, char*** argv);

#define CHECK(condition)                                                       \
 do {                                                                          \
  if (!(condition)) {                                                          \
   fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);   \
   abort();                                                                    \
  }                                                                            \
 } while (0)

/* The input, as far as it has not been used. */
struct fuzz_input {
  const uint8_t* at;
  size_t left;
};

static inline void* fuzz_alloc(size_t size) {
  void* memory = malloc(size);

  CHECK(memory != NULL || size == 0);
  return memory;
}

/* 0 at the end. */
static inline uint8_t fuzz_byte(struct fuzz_input* input) {
  if (input->left == 0)
    return 0;
  input->left--;
  return *input->at++;
}

/* In memory of exactly that size, for a read beyond its end to be noticed. */
static inline char* fuzz_text(const void* bytes, size_t size) {
  char* text = fuzz_alloc(size + 1);

  if (size > 0)
    memcpy(text, bytes, size);
  text[size] = 0;
  return text;
}

static inline char* fuzz_rest(struct fuzz_input* input) {
  char* text = fuzz_text(input->at, input->left);

  input->left = 0;
  return text;
}

/* The next line, without its newline. The caller frees it. */
static inline char* fuzz_line(struct fuzz_input* input) {
  const uint8_t* end =
      input->left > 0 ? memchr(input->at, '\n', input->left) : NULL;
  size_t size = end != NULL ? (size_t) (end - input->at) : input->left;
  char* text = fuzz_text(input->at, size);

  input->at += size + (end != NULL);
  input->left -= size + (end != NULL);
  return text;
}

/* A line "-" is a variable that is not set. */
static inline void fuzz_set(const char* variable, const char* line) {
  if (strcmp(line, "-") == 0)
    CHECK(unsetenv(variable) == 0);
  else
    CHECK(setenv(variable, line, 1) == 0);
}

static inline bool fuzz_is_set_to(const char* variable, const char* line) {
  const char* value = getenv(variable);

  return strcmp(line, "-") == 0 ? value == NULL
                                : value != NULL && strcmp(value, line) == 0;
}

/* Digits alone. What is too large is UINT64_MAX. */
static inline bool fuzz_number(const char* text, uint64_t* number) {
  uint64_t n = 0;
  uint64_t digit;

  if (*text == 0 || text[strspn(text, "0123456789")] != 0)
    return false;
  for (; *text != 0; text++) {
    digit = (uint64_t) (*text - '0');
    n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : 10 * n + digit;
  }
  *number = n;
  return true;
}

/* The lowest descriptor that is free: another one afterwards is a leak. */
static inline int fuzz_free_fd(void) {
  int fd = dup(STDERR_FILENO);

  CHECK(fd >= 0);
  close(fd);
  return fd;
}

#endif /* FUZZ_H */
