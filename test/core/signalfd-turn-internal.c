/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD: how much one turn of the loop reads, and how often.
 * Linked with --wrap, so that the library's reads can be counted.
 */

#include "../lib/harness.h"

#include <poll.h>
#include <unistd.h>

/* What lib/queue.c has. */
enum { READ = 32, ROUNDS = 8, SPARED_TURNS = 15 };

static struct fixture f;
static struct recorder a;
static unsigned reads; /* of room for READ signals */

ssize_t __real_read(int fd, void* to, size_t size);
ssize_t __wrap_read(int fd, void* to, size_t size);
EARLY ssize_t __wrap_read(int fd, void* to, size_t size) {
  if (size == READ * 128)
    reads++;
  return __real_read(fd, to, size);
}

static void open_one(void) {
  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGRTMIN);
  run_idle(&f.loop);
}

static unsigned long left_to_raise;

static void raise_next(struct recorder* r) {
  (void) r;
  if (left_to_raise == 0)
    return;
  left_to_raise--;
  raise(SIGRTMIN);
}

static void a_turn_tells_what_its_callbacks_raise_eight_times(void) {
  unsigned long turns;

  open_one();
  a.then = raise_next;
  left_to_raise = 799;
  raise(SIGRTMIN);
  for (turns = 0; a.calls < 800; turns++) {
    uv_run(&f.loop, UV_RUN_NOWAIT);
    /* The loop's other handles have their turn. */
    CHECK(a.calls <= (turns + 1) * ROUNDS);
    CHECK(turns < 800);
  }
  CHECK_EQ(turns, 800 / ROUNDS);
  fixture_close(&f);
}

/* And the loop, also one within another, comes back for the rest. */
static void a_turn_tells_so_many_of_a_burst(void) {
  struct pollfd backend = {.events = POLLIN};

  open_one();
  backend.fd = uv_backend_fd(&f.loop);
  queue_values(SIGRTMIN, ROUNDS * READ + 1);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, ROUNDS * READ);
  CHECK_EQ(poll(&backend, 1, 0), 1);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, ROUNDS * READ + 1);
  fixture_close(&f);
}

/* One read more for each signal would be a system call for nothing. */
static void where_callbacks_raise_nothing_few_turns_read_twice(void) {
  unsigned n = 16 * (SPARED_TURNS + 1);
  unsigned i;

  open_one();
  reads = 0;
  for (i = 1; i <= n; i++) {
    raise(SIGRTMIN);
    run_until(&f.loop, &a.calls, i);
  }
  CHECK(reads >= n);
  CHECK(reads <= n + n / (SPARED_TURNS + 1));
  /* It notices where they begin to. */
  a.then = raise_next;
  left_to_raise = 799;
  raise(SIGRTMIN);
  for (i = 0; a.calls < n + 800; i++)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(i <= 800 / ROUNDS + SPARED_TURNS + 1);
  fixture_close(&f);
}

static void close_in_second(struct recorder* r) {
  reads = 0;
  raise_next(r);
  if (r->calls == 2)
    CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
}

static void a_turn_in_which_it_is_closed_reads_no_more(void) {
  open_one();
  a.then = close_in_second;
  left_to_raise = 1;
  raise(SIGRTMIN);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(a.calls, 2);
  CHECK_EQ(reads, 0);
  close_loop(&f.loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_turn_tells_what_its_callbacks_raise_eight_times),
      TEST(a_turn_tells_so_many_of_a_burst),
      TEST(where_callbacks_raise_nothing_few_turns_read_twice),
      TEST(a_turn_in_which_it_is_closed_reads_no_more),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
