/* SPDX-License-Identifier: MIT
 *
 * What comes while a turn of the loop reads the wakeup fd. Linked with --wrap, so
 * that the library's reads come here first.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

/* What lib/dispatch.c has. */
enum { ROUNDS = 8 };

static struct fixture f;
static struct recorder a;
static unsigned left_to_raise; /* one at each read of a whole turn's budget */
static unsigned reads;
static bool interrupts; /* the next one */

ssize_t __real_read(int fd, void* to, size_t size);
ssize_t __wrap_read(int fd, void* to, size_t size);
EARLY ssize_t __wrap_read(int fd, void* to, size_t size) {
  if (size == BUDGET) {
    reads++;
    if (interrupts) {
      interrupts = false;
      errno = EINTR;
      return -1;
    }
    if (left_to_raise > 0) {
      left_to_raise--;
      raise(SIGUSR1);
    }
  }
  return __real_read(fd, to, size);
}

static void open_as(uvsig_mode_t mode) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = mode;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  run_idle(&f.loop);
}

/* Its doorbell is taken by the very read that it comes before. */
static void a_turn_ends_though_each_read_has_one_more(void) {
  struct pollfd backend = {.events = POLLIN};

  open_as(UVSIG_MODE_WAKE_ONLY);
  backend.fd = uv_backend_fd(&f.loop);
  raise(SIGUSR1);
  reads = 0;
  left_to_raise = 2 * ROUNDS;
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(reads, ROUNDS);
  CHECK_EQ(a.signals, ROUNDS);
  /* And the loop comes back for the last one. */
  CHECK_EQ(poll(&backend, 1, 0), 1);
  left_to_raise = 0;
  run_until(&f.loop, &a.signals, ROUNDS + 1);
  run_idle(&f.loop);
  CHECK_EQ(poll(&backend, 1, 0), 0);
  check_books(&f.sig, SIGUSR1, ROUNDS + 1, 0);
  fixture_close(&f);
}

static void an_interrupted_read_is_tried_again(void) {
  open_as(UVSIG_MODE_BYTES);
  raise(SIGUSR1);
  reads = 0;
  interrupts = true;
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(reads, 2);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_turn_ends_though_each_read_has_one_more),
      TEST(an_interrupted_read_is_tried_again),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
