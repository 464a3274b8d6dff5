/* SPDX-License-Identifier: MIT
 *
 * What comes while a turn of the loop reads the wakeup fd. Linked with --wrap, so
 * that the library's reads come here first.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* What lib/dispatch.c has. */
enum { ROUNDS = 8 };

static struct fixture f;
static struct recorder a;
static unsigned left_to_raise; /* one at each read of a whole turn's budget */
static unsigned reads;
static bool interrupts;       /* the next one */
static int read_error;        /* of all, or 0 */
static void (*at_last)(void); /* done behind the last read of a turn, or NULL */

ssize_t __real_read(int fd, void* to, size_t size);
ssize_t __wrap_read(int fd, void* to, size_t size);
EARLY ssize_t __wrap_read(int fd, void* to, size_t size) {
  ssize_t n;

  if (size == BUDGET) {
    reads++;
    if (interrupts) {
      interrupts = false;
      errno = EINTR;
      return -1;
    }
    if (read_error != 0) {
      errno = read_error;
      return -1;
    }
    if (left_to_raise > 0) {
      left_to_raise--;
      raise(SIGUSR1);
    }
  }
  n = __real_read(fd, to, size);
  if (at_last != NULL && reads == ROUNDS) {
    at_last();
    at_last = NULL;
  }
  return n;
}

static bool no_size;

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
EARLY int __wrap_fcntl(int fd, int command, ...) {
  va_list list;
  long argument;

#ifdef F_GETPIPE_SZ
  if (no_size && command == F_GETPIPE_SZ) {
    errno = EBADF;
    return -1;
  }
#endif
  va_start(list, command);
  argument = va_arg(list, long);
  va_end(list);
  return __real_fcntl(fd, command, argument);
}

static unsigned warnings;

static void on_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  CHECK_EQ(warning->kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(warning->error, read_error != 0 ? UV_EPERM : UV_EBADF);
  warnings++;
}

static void open_as(uvsig_mode_t mode) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = mode;
  options.warning_cb = on_warning;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  run_idle(&f.loop);
}

/* A turn, each of whose reads takes the doorbell of a signal that comes just
 * before it. */
static void run_busy_turn(void (*after)(void)) {
  open_as(UVSIG_MODE_WAKE_ONLY);
  raise(SIGUSR1);
  reads = 0;
  at_last = after;
  left_to_raise = ROUNDS;
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(reads, ROUNDS);
  CHECK_EQ(a.signals, ROUNDS);
}

static void a_turn_ends_though_each_read_has_one_more(void) {
  struct pollfd backend = {.events = POLLIN};

  run_busy_turn(NULL);
  backend.fd = uv_backend_fd(&f.loop);
  /* And the loop comes back for the last one. */
  CHECK_EQ(poll(&backend, 1, 0), 1);
  run_until(&f.loop, &a.signals, ROUNDS + 1);
  run_idle(&f.loop);
  CHECK_EQ(poll(&backend, 1, 0), 0);
  CHECK_EQ(is_blocked(SIGUSR2), false);
  check_books(&f.sig, SIGUSR1, ROUNDS + 1, 0);
  fixture_close(&f);
}

static void fill(void) {
  while (write(inside_of(&f.sig).write_fd, "", 1) == 1)
    ;
  CHECK_EQ(errno, EAGAIN);
}

static void so_it_does_where_the_pipe_is_full(void) {
  uvsig_stats_t stats;

  run_busy_turn(fill);
  run_until(&f.loop, &a.signals, ROUNDS + 1);
  run_idle(&f.loop);
  CHECK_EQ(warnings, 0);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.junk, 0);
  fixture_close(&f);
}

static int kept; /* else the other end would be readable */

static void lose_end(void) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int end = inside_of(&f.sig).write_fd;

  kept = dup(end);
  CHECK(fd >= 0);
  CHECK_EQ(dup2(fd, end), end);
  close(fd);
}

static void where_it_cannot_be_written_the_loop_warns(void) {
  run_busy_turn(lose_end);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(a.signals, ROUNDS + 1);
  close(kept);
  fixture_close(&f);
}

static void on_idle(uv_idle_t* handle) {
  (void) handle;
}

/* With the code that is nearest to 0, in a loop that runs without being woken. */
static void check_failed_read(uvsig_mode_t mode, int (*have_read)(void)) {
  uv_idle_t idle;

  open_as(mode);
  CHECK_EQ(uv_idle_init(&f.loop, &idle), 0);
  CHECK_EQ(uv_idle_start(&idle, on_idle), 0);
  raise(SIGUSR1);
  read_error = EPERM;
  CHECK_EQ(have_read(), 1);
  CHECK_EQ(a.calls, 1);
  /* A flush leaves the rest to the loop. */
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(inside_of(&f.sig).is_polled, false);
  check_books(&f.sig, SIGUSR1, 1, 0);
  raise(SIGUSR1);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, 2);
  read_error = 0;
  warnings = 0;
  a.calls = 0;
  uv_close((uv_handle_t*) &idle, NULL);
  fixture_close(&f);
}

static int run_turn(void) {
  uv_run(&f.loop, UV_RUN_NOWAIT);
  return (int) a.calls;
}

static int flush(void) {
  return uvsig_flush(&f.sig);
}

static void a_read_that_fails_is_warned_of_and_nothing_is_lost(void) {
  check_failed_read(UVSIG_MODE_BYTES, run_turn);
  check_failed_read(UVSIG_MODE_WAKE_ONLY, run_turn);
  check_failed_read(UVSIG_MODE_BYTES, flush);
  check_failed_read(UVSIG_MODE_WAKE_ONLY, flush);
}

static void a_pause_says_why_a_read_fails(void) {
  open_as(UVSIG_MODE_BYTES);
  read_error = EPERM;
  CHECK_EQ(uvsig_pause(&f.sig), UV_EPERM);
  read_error = 0;
  fixture_close(&f);
}

static void a_pipe_whose_size_cannot_be_had_counts_as_64_kib(void) {
  no_size = true;
  open_as(UVSIG_MODE_BYTES);
  CHECK_EQ(inside_of(&f.sig).capacity, 65536);
  fixture_close(&f);
}

static unsigned left_for_callbacks;

static void raise_next(struct recorder* r) {
  (void) r;
  if (left_for_callbacks == 0)
    return;
  left_for_callbacks--;
  raise(SIGUSR1);
}

static void check_rounds(uvsig_mode_t mode) {
  unsigned turns;

  open_as(mode);
  a.then = raise_next;
  left_for_callbacks = 10 * ROUNDS - 1;
  raise(SIGUSR1);
  for (turns = 1; turns <= 10; turns++) {
    uv_run(&f.loop, UV_RUN_NOWAIT);
    CHECK_EQ(a.calls, turns * ROUNDS);
  }
  fixture_close(&f);
  a.calls = 0;
}

static void a_turn_tells_what_its_callbacks_raise_eight_times(void) {
  check_rounds(UVSIG_MODE_BYTES);
  check_rounds(UVSIG_MODE_WAKE_ONLY);
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
      TEST(so_it_does_where_the_pipe_is_full),
      TEST(where_it_cannot_be_written_the_loop_warns),
      TEST(a_pipe_whose_size_cannot_be_had_counts_as_64_kib),
      TEST(a_turn_tells_what_its_callbacks_raise_eight_times),
      TEST(an_interrupted_read_is_tried_again),
      TEST(a_read_that_fails_is_warned_of_and_nothing_is_lost),
      TEST(a_pause_says_why_a_read_fails),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
