/* SPDX-License-Identifier: MIT
 *
 * The bottom half in states that a test cannot bring about from outside: it
 * sets the library's own fields.
 */

#include "../lib/harness.h"
#include "../../lib/hub.h"
#include "../../lib/source.h"

#include <stdatomic.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a, b;

static struct uvsig__hub* hub(void) {
  return f.sig.hub;
}

static void open_as(uvsig_mode_t mode, size_t size, unsigned depth) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = mode;
  options.buffer_size = size;
  options.info_depth = depth;
  options.warn_on_full_buffer = 0;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

/* The pipe is as full as one read is large: after it nothing wakes the loop. */
static void a_full_buffer_that_one_read_empties_is_looked_behind(void) {
  open_as(UVSIG_MODE_BYTES, UVSIG__BUDGET, 0);
  CHECK_EQ(hub()->wakeup.capacity, UVSIG__BUDGET);
  /* As where pages are larger than a read: full, it holds less than its
   * size. */
  hub()->wakeup.capacity *= 16;
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGTERM);
  raise_times(SIGUSR1, UVSIG__BUDGET);
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_ONCE);
  CHECK_EQ(a.calls, UVSIG__BUDGET);
  CHECK_EQ(b.calls, 1);
  fixture_close(&f);
}

/* As if a junk byte had passed for a signal that the handler was just counting:
 * then the counter is one too many. */
static void the_counters_never_deliver_more_than_was_caught(void) {
  open_as(UVSIG_MODE_WAKE_ONLY, 0, 0);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  atomic_fetch_add(&hub()->sources[SIGUSR1]->sub.overflow, 1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.signals, 3);
  check_books(&f.sig, SIGUSR1, 3, 0);
  fixture_close(&f);
}

static void where_nothing_was_caught_they_deliver_nothing(void) {
  open_as(UVSIG_MODE_WAKE_ONLY, 0, 0);
  recorder_start(&a, SIGUSR1);
  atomic_fetch_add(&hub()->sources[SIGUSR1]->sub.overflow, 1);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(a.calls, 0);
  check_books(&f.sig, SIGUSR1, 0, 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

/* Another handler's doorbell has failed meanwhile, which clears the flag, and
 * that one has not noted the error yet. */
static void a_doorbell_counts_though_the_flag_is_cleared(void) {
  struct uvsig__subscription* sub;

  open_as(UVSIG_MODE_BYTES, 0, 0);
  recorder_start(&a, SIGUSR1);
  sub = &hub()->sources[SIGUSR1]->sub;
  atomic_fetch_add(&sub->caught, 1);
  atomic_fetch_add(&sub->overflow, 1);
  CHECK_EQ(write(hub()->wakeup.write_fd, "", 1), 1);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static int known;

static void note_sender(uvsig_watcher_t* w,
                        int signum,
                        const uvsig_info_t* info) {
  if ((info->flags & UVSIG_INFO_NONE) == 0) {
    CHECK_EQ(info->value.sival_int, (int) a.calls);
    known++;
  }
  record(w, signum, info);
}

static void send_and_await(int value) {
  const union sigval sigval = {.sival_int = value};

  CHECK_EQ(uvsig_sigqueue(getpid(), SIGRTMIN, sigval), 0);
  run_until(&f.loop, &a.calls, (unsigned long) value + 1);
}

/* What a handler leaves that was overtaken by all the others of a lap. */
static void a_record_that_came_too_late_is_nobodys(void) {
  struct uvsig__source* source;
  int i;

  open_as(UVSIG_MODE_BYTES, 0, 16);
  CHECK_EQ(uvsig_watcher_start(&a.w, note_sender, SIGRTMIN), 0);
  for (i = 0; i < 20; i++)
    send_and_await(i);
  CHECK_EQ(known, 20);
  source = hub()->sources[SIGRTMIN];
  atomic_store(&source->senders[20 % 16].state, 4ul << 2 | UVSIG__READY);
  send_and_await(20);
  CHECK_EQ(known, 20);
  /* It is free again. */
  for (i = 21; i < 40; i++)
    send_and_await(i);
  CHECK_EQ(known, 39);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_full_buffer_that_one_read_empties_is_looked_behind),
      TEST(the_counters_never_deliver_more_than_was_caught),
      TEST(where_nothing_was_caught_they_deliver_nothing),
      TEST(a_doorbell_counts_though_the_flag_is_cleared),
      TEST(a_record_that_came_too_late_is_nobodys),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
