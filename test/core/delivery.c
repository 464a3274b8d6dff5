/* SPDX-License-Identifier: MIT
 *
 * Nothing lost: floods in each mode and through each kind of wakeup fd, order,
 * the warning of a full buffer, junk, the budget of a turn, flush, the books.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { FLOOD = 100000 };

static struct fixture f;
static struct recorder a, b, c;
static unsigned long warnings;
static uint64_t warned_total;
static uint64_t warned_counts[UVSIG_NSIG];
static uvsig_warning_kind_t warned_kind;
static int warned_error;

static void on_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  CHECK(sig == &f.sig);
  warnings++;
  warned_kind = warning->kind;
  warned_error = warning->error;
  warned_total += warning->total;
  memcpy(warned_counts, warning->counts, sizeof(warned_counts));
}

static void open_as(uvsig_wakeup_t wakeup, uvsig_mode_t mode, size_t size) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = wakeup;
  options.mode = mode;
  options.warning_cb = on_warning;
  options.buffer_size = size;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_init(&c, &f.sig);
}

/* --- The flood that hides a SIGTERM elsewhere ----------------------------- */

static void flood(uvsig_wakeup_t wakeup, uvsig_mode_t mode) {
  unsigned n = scaled(FLOOD);

  open_as(wakeup, mode, 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGTERM);
  raise_times(SIGUSR1, n);
  raise(SIGTERM);
  run_until(&f.loop, &b.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(a.signals, n);
  CHECK_EQ(b.signals, 1);
  check_books(&f.sig, SIGUSR1, n, 0);
  check_books(&f.sig, SIGTERM, 1, 0);
  check_books(&f.sig, 0, n + 1, 0);
}

static void check_one_warning(void) {
  uvsig_stats_t stats;

  CHECK_EQ(warnings, 1);
  CHECK_EQ(warned_kind, UVSIG_WARN_FULL_BUFFER);
  CHECK_EQ(warned_error, UV_EAGAIN);
  CHECK_EQ(warned_counts[0], 0);
  CHECK_EQ(warned_counts[SIGUSR1], a.largest);
  CHECK_EQ(warned_counts[SIGTERM], 1);
  CHECK_EQ(warned_total, a.largest + 1);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.full_buffers, 1);
  CHECK_EQ(stats.coalesced, a.largest);
  uvsig_stats(&f.sig, SIGTERM, &stats);
  CHECK_EQ(stats.full_buffers, 1);
}

static void a_flood_does_not_hide_another_signal_in_bytes_mode(void) {
  uvsig_options_t options;

  flood(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES);
  uvsig_options_init(&options);
  if (wakeup_room(&options) < scaled(FLOOD)) {
    CHECK_EQ(a.calls, wakeup_room(&options) + 1);
    check_one_warning();
  } else {
    CHECK_EQ(a.calls, scaled(FLOOD));
    CHECK_EQ(warnings, 0);
  }
  fixture_close(&f);
}

static void one_doorbell_is_for_all_until_the_loop_looks(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;
  int i;
  int n;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  for (i = 1; i <= 2; i++) {
    raise_times(SIGUSR1, 3);
    CHECK_EQ(ioctl(inside_of(&f.sig).read_fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 1);
    run_until(&f.loop, &a.signals, 3 * (unsigned long) i);
    run_idle(&f.loop);
    CHECK_EQ(ioctl(inside_of(&f.sig).read_fd, FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
  }
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.junk, 0);
  CHECK_EQ(stats.caught, 6);
  fixture_close(&f);
}

static void a_flood_does_not_hide_another_signal_in_wake_only_mode(void) {
  flood(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(warnings, 0);
  fixture_close(&f);
}

static void a_flood_does_not_hide_another_signal_through_a_socketpair(void) {
  uvsig_options_t options;

  flood(UVSIG_WAKEUP_SOCKETPAIR, UVSIG_MODE_BYTES);
  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
  if (wakeup_room(&options) < scaled(FLOOD)) {
    CHECK_EQ(a.calls, wakeup_room(&options) + 1);
    check_one_warning();
  }
  fixture_close(&f);
}

static void a_flood_through_a_socketpair_in_wake_only_mode_is_one_callback(
    void) {
  flood(UVSIG_WAKEUP_SOCKETPAIR, UVSIG_MODE_WAKE_ONLY);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(warnings, 0);
  fixture_close(&f);
}

/* --- Order ---------------------------------------------------------------- */

static int seen[64];
static unsigned seen_count;
static void note(struct recorder* r) {
  CHECK(seen_count < 64);
  seen[seen_count++] = r->signum;
}

static void note_all(void) {
  a.then = note;
  b.then = note;
  c.then = note;
}

static void bytes_mode_keeps_the_order_of_arrival(void) {
  static const int order[] = {
      SIGUSR2, SIGUSR1, SIGHUP, SIGUSR1, SIGUSR1, SIGHUP, SIGUSR2};
  unsigned i;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  recorder_start(&c, SIGHUP);
  note_all();
  for (i = 0; i < 7; i++)
    raise(order[i]);
  run_until(&f.loop, &b.calls, 2);
  CHECK_EQ(seen_count, 7);
  for (i = 0; i < 7; i++)
    CHECK_EQ(seen[i], order[i]);
  fixture_close(&f);
}

static void wake_only_mode_goes_by_ascending_number_and_count(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY, 0);
  recorder_start(&a, SIGUSR2);
  recorder_start(&b, SIGUSR1);
  recorder_start(&c, SIGHUP);
  note_all();
  raise_times(SIGUSR2, 3);
  raise_times(SIGHUP, 2);
  raise_times(SIGUSR1, 5);
  raise(SIGHUP);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(seen_count, 3);
  CHECK_EQ(seen[0], SIGHUP);
  CHECK_EQ(seen[1], SIGUSR1);
  CHECK_EQ(seen[2], SIGUSR2);
  CHECK_EQ(c.signals, 3);
  CHECK_EQ(b.signals, 5);
  CHECK_EQ(a.signals, 3);
  fixture_close(&f);
}

static void the_whole_is_the_sum_of_the_signals(void) {
  uvsig_stats_t stats;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY, 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  raise_times(SIGUSR1, 3);
  raise_times(SIGUSR2, 2);
  run_until(&f.loop, &b.calls, 1);
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.coalesced, 3);
  CHECK_EQ(stats.info_dropped, 3);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.caught, 7);
  CHECK_EQ(stats.delivered, 5);
  CHECK_EQ(stats.discarded, 2);
  CHECK_EQ(stats.coalesced, 5);
  CHECK_EQ(stats.info_dropped, 5);
  fixture_close(&f);
}

static unsigned long expected_before;

static void check_before(struct recorder* r) {
  (void) r;
  CHECK_EQ(a.signals, expected_before);
}

/* Each time, though two reads empty it. */
static void each_time_it_comes_after_the_bytes(void) {
  unsigned long carried;
  unsigned i;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 2 * BUDGET);
  carried = inside_of(&f.sig).capacity;
  recorder_start(&a, SIGUSR2);
  recorder_start(&b, SIGUSR1);
  b.then = check_before;
  for (i = 1; i <= 3; i++) {
    expected_before = i * carried;
    raise_times(SIGUSR2, (unsigned) carried);
    raise(SIGUSR1);
    run_until(&f.loop, &b.calls, i);
    run_idle(&f.loop);
  }
  fixture_close(&f);
}

static void what_the_buffer_could_not_take_comes_after_the_bytes(void) {
  unsigned long carried;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 1);
  carried = inside_of(&f.sig).capacity;
  recorder_start(&a, SIGUSR2);
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR2, (unsigned) carried);
  raise_times(SIGUSR1, 3);
  raise_times(SIGUSR2, 2);
  run_until(&f.loop, &b.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, carried + 1);
  CHECK_EQ(a.signals, carried + 2);
  CHECK_EQ(a.largest, 2);
  CHECK_EQ(b.largest, 3);
  fixture_close(&f);
}

/* --- Full buffers --------------------------------------------------------- */

static void each_episode_of_a_full_buffer_is_one_warning(void) {
  uvsig_stats_t stats;
  unsigned long i;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 1);
  recorder_start(&a, SIGUSR1);
  for (i = 1; i <= 3; i++) {
    raise_times(SIGUSR1, BUDGET + 10);
    run_until(&f.loop, &a.signals, i * (BUDGET + 10));
    CHECK_EQ(warnings, i);
    CHECK_EQ(warned_counts[SIGUSR1], 10);
  }
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.full_buffers, 3);
  CHECK_EQ(stats.coalesced, 30);
  fixture_close(&f);
}

static void no_warning_is_given_when_it_is_switched_off(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.warn_on_full_buffer = 0;
  options.warning_cb = on_warning;
  options.buffer_size = 1;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, BUDGET + 10);
  run_until(&f.loop, &a.signals, BUDGET + 10);
  CHECK_EQ(warnings, 0);
  fixture_close(&f);
}

/* What is written on standard error while `fn` runs. */
static const char* stderr_of(void (*fn)(void)) {
  static char text[4096];
  int saved = dup(2);
  ssize_t n;
  int fds[2];

  CHECK(saved >= 0);
  CHECK_EQ(pipe(fds), 0);
  CHECK_EQ(dup2(fds[1], 2), 2);
  fn();
  CHECK_EQ(dup2(saved, 2), 2);
  close(saved);
  close(fds[1]);
  n = read(fds[0], text, sizeof(text) - 1);
  close(fds[0]);
  text[n > 0 ? n : 0] = '\0';
  return text;
}

static void overflow_by_default(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.buffer_size = 1;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGTERM);
  recorder_init(&c, &f.sig);
  recorder_start(&c, SIGHUP);
  raise_times(SIGUSR1, BUDGET + 10);
  raise(SIGTERM);
  raise(SIGHUP);
  run_until(&f.loop, &b.calls, 1);
  fixture_close(&f);
}

#define FULL                                                                   \
 "libuvsig: wakeup fd full, 12 signals counted instead of written, none "      \
 "lost: SIGHUP 1, "
#define KNOB " (option buffer_size)\n"

static void the_default_warning_is_one_line_that_names_the_signals(void) {
  /* In the order of the numbers, which systems have their own of. */
  CHECK_STR(stderr_of(overflow_by_default),
            SIGUSR1 < SIGTERM ? FULL "SIGUSR1 10, SIGTERM 1" KNOB
                              : FULL "SIGTERM 1, SIGUSR1 10" KNOB);
}

static void stop_a_and_b(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
}

static void what_could_not_be_carried_is_discarded_by_stop_too(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 1);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, BUDGET + 10);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  check_books(&f.sig, SIGUSR1, 0, BUDGET + 10);
  recorder_start(&a, SIGUSR1);
  run_idle(&f.loop);
  raise_times(SIGUSR1, 5);
  run_until(&f.loop, &a.signals, 5);
  check_books(&f.sig, SIGUSR1, 5, BUDGET + 10);
  fixture_close(&f);
}

static void a_stop_while_the_counters_are_delivered_discards_the_rest(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 1);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  recorder_start(&c, SIGHUP);
  a.then = stop_a_and_b;
  raise_times(SIGHUP, (unsigned) inside_of(&f.sig).capacity);
  raise_times(SIGUSR1, 2);
  raise_times(SIGUSR2, 3);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(b.calls, 0);
  check_books(&f.sig, SIGUSR1, 2, 0);
  check_books(&f.sig, SIGUSR2, 0, 3);
  /* And nothing more than those. */
  recorder_start(&b, SIGUSR2);
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  check_books(&f.sig, SIGUSR2, 1, 3);
  fixture_close(&f);
}

static void close_in_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  on_warning(sig, warning);
  CHECK_EQ(uvsig_close(sig, NULL), 0);
}

static void a_warning_callback_may_close(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.warning_cb = close_in_warning;
  options.buffer_size = 1;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, BUDGET + 10);
  while (warnings == 0)
    uv_run(&f.loop, UV_RUN_ONCE);
  f.closed = 1;
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(a.calls, BUDGET);
  fixture_close(&f);
}

/* --- Junk ----------------------------------------------------------------- */

static void junk_bytes_are_counted_and_ignored(void) {
  static const unsigned char junk[] = {
      SIGUSR1, SIGUSR2, SIGKILL, 33, 64, 65, 127, 128, 200, 255};
  uvsig_stats_t stats;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(write(inside_of(&f.sig).write_fd, junk, sizeof(junk)), sizeof(junk));
  CHECK_EQ(write(inside_of(&f.sig).write_fd, "", 1),
           1); /* a doorbell is none */
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.junk, sizeof(junk));
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.junk, 0); /* it is of no signal */
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, 0, 1, 0);
  fixture_close(&f);
}

/* --- Wakeup fds that somebody broke --------------------------------------- */

static uv_idle_t idle;

static void on_idle(uv_idle_t* handle) {
  (void) handle;
}

/* A loop that runs without being woken. */
static void open_running_as(uvsig_wakeup_t wakeup, uvsig_mode_t mode) {
  open_as(wakeup, mode, 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_idle_init(&f.loop, &idle), 0);
  CHECK_EQ(uv_idle_start(&idle, on_idle), 0);
  uv_run(&f.loop, UV_RUN_NOWAIT); /* libuv aborts if it cannot add the fd */
}

static void open_running(uvsig_wakeup_t wakeup) {
  open_running_as(wakeup, UVSIG_MODE_BYTES);
}

static void close_running(void) {
  uv_close((uv_handle_t*) &idle, NULL);
  fixture_close(&f);
}

/* One of our ends becomes somebody else's, which can only be read. */
static void replace_end(int end) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

  CHECK(fd >= 0);
  CHECK_EQ(dup2(fd, end), end);
  close(fd);
}

static void a_broken_wakeup_fd_is_reported_and_a_running_loop_delivers(void) {
  open_running(UVSIG_WAKEUP_PIPE);
  replace_end(inside_of(&f.sig).write_fd);
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.signals, 3);
  CHECK_EQ(warned_kind, UVSIG_WARN_WRITE_ERROR);
  CHECK(warned_error == UV_EBADF || warned_error == UV_EOF);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 4);
  check_books(&f.sig, SIGUSR1, 4, 0);
  /* It has no other end any more: polled, it would be readable for ever. */
  CHECK_EQ(inside_of(&f.sig).is_polled, false);
  close_running();
}

static void so_is_one_in_wake_only_mode(void) {
  open_running_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY);
  raise(SIGUSR1); /* has its doorbell */
  replace_end(inside_of(&f.sig).write_fd);
  run_until(&f.loop, &a.signals, 1);
  run_idle(&f.loop);
  CHECK_EQ(warned_kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(warned_error, UV_EOF);
  CHECK_EQ(inside_of(&f.sig).is_polled, false);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 2);
  check_books(&f.sig, SIGUSR1, 2, 0);
  close_running();
}

/* A socket whose other end goes with a byte in it: libuv does not say that it is
 * readable, but that it has failed. */
static void so_is_a_socket_that_has_an_error(void) {
  open_running(UVSIG_WAKEUP_SOCKETPAIR);
  CHECK_EQ(write(inside_of(&f.sig).read_fd, "x", 1), 1);
  raise(SIGUSR1);
  replace_end(inside_of(&f.sig).write_fd);
  run_until(&f.loop, &a.signals, 1);
  CHECK_EQ(warned_kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(warned_error, UV_EBADF);
  CHECK_EQ(inside_of(&f.sig).is_polled, false);
  check_books(&f.sig, SIGUSR1, 1, 0);
  close_running();
}

static void close_it(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
}

/* The pipe was full, the program has emptied it, and it has no writer any more:
 * what found no room is delivered in the turn that finds the end. */
static void open_full_and_ended(void) {
  char bytes[BUDGET];
  unsigned long left;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 1);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGTERM);
  b.then = close_it;
  left = inside_of(&f.sig).capacity;
  raise_times(SIGUSR1, (unsigned) left);
  raise(SIGTERM);
  while (left > 0)
    left -= (unsigned long) read(
        inside_of(&f.sig).read_fd, bytes, left < BUDGET ? left : BUDGET);
  replace_end(inside_of(&f.sig).write_fd);
}

static void a_callback_may_close_in_the_turn_that_finds_it_broken(void) {
  open_full_and_ended();
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(b.calls, 1);
  close_loop(&f.loop);
}

static void so_it_may_in_a_flush(void) {
  open_full_and_ended();
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(b.calls, 1);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

/* SIGPIPE must not end the process. */
static void lose_reader(uvsig_wakeup_t wakeup) {
  open_running(wakeup);
  replace_end(inside_of(&f.sig).read_fd);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_getsignal(SIGPIPE), UVSIG_DEFAULT);
  run_until(&f.loop, &a.signals, 1);
  CHECK_EQ(warned_kind, UVSIG_WARN_WRITE_ERROR);
  close_running();
}

static void a_pipe_without_a_reader_does_not_end_the_process(void) {
  lose_reader(UVSIG_WAKEUP_PIPE);
}

static void a_socketpair_without_a_reader_does_not_end_the_process(void) {
  lose_reader(UVSIG_WAKEUP_SOCKETPAIR);
}

/* --- The budget of a turn, and flush -------------------------------------- */

static void a_turn_reads_no_more_than_its_budget(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 0);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 2 * BUDGET + 100);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, BUDGET);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, 2 * BUDGET);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, 2 * BUDGET + 100);
  fixture_close(&f);
}

/* Refill the pipe from the callbacks, so that it is never found empty. */
static unsigned refills;
static void refill(struct recorder* r) {
  (void) r;
  if (refills > 0) {
    refills--;
    raise(SIGUSR1);
  }
}

static void a_storm_that_never_lets_the_buffer_empty_hides_no_signal(void) {
  unsigned capacity;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 4 * BUDGET);
  capacity = (unsigned) inside_of(&f.sig).capacity;
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGTERM);
  a.then = refill;
  refills = 8 * capacity;
  raise_times(SIGUSR1, capacity);
  raise(SIGTERM);
  run_until(&f.loop, &b.calls, 1);
  CHECK(refills > 0); /* delivered in the middle of it */
  refills = 0;
  run_idle(&f.loop);
  check_books(&f.sig, 0, a.signals + 1, 0);
  fixture_close(&f);
}

static void flush_delivers_what_is_pending_without_the_loop(void) {
  unsigned n = scaled(FLOOD);
  uvsig_stats_t stats;
  int calls;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGTERM);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  raise_times(SIGUSR1, n);
  raise(SIGTERM);
  calls = uvsig_flush(&f.sig);
  CHECK_EQ(calls, a.calls + b.calls);
  CHECK_EQ(a.signals, n);
  CHECK_EQ(b.signals, 1);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.delivered, n + 1);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  run_idle(&f.loop);
  CHECK_EQ(b.calls, 1);
  fixture_close(&f);
}

static void flush_delivers_in_wake_only_mode_too(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY, 0);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(a.signals, 3);
  /* And the next one wakes the loop again. */
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 4);
  fixture_close(&f);
}

static int flushed;
static void flush_once(struct recorder* r) {
  r->then = NULL;
  flushed = uvsig_flush(&f.sig);
}

static void flush_it(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_flush(&f.sig), 1);
}

/* In the middle of what was read, and before the flush reads more. */
static void a_callback_of_a_flush_in_a_callback_may_close(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  a.then = flush_it;
  b.then = close_it;
  raise(SIGUSR1);
  raise(SIGUSR2);
  raise(SIGUSR1);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(b.calls, 1);
  close_loop(&f.loop);
}

static void flush_in_a_callback_delivers_the_rest_once(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  a.then = flush_once;
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.calls, 3);
  CHECK_EQ(flushed, 4); /* two signals, two watchers */
  CHECK_EQ(b.calls, 3);
  check_books(&f.sig, SIGUSR1, 3, 0);
  fixture_close(&f);
}

static void flush_in_a_callback_delivers_the_counters_of_the_others(void) {
  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY, 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  a.then = flush_once;
  raise_times(SIGUSR1, 2);
  raise_times(SIGUSR2, 3);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(flushed, 1);
  CHECK_EQ(b.calls, 1);
  CHECK_EQ(b.signals, 3);
  check_books(&f.sig, 0, 5, 0);
  fixture_close(&f);
}

static unsigned long most_calls;

static void raise_again(struct recorder* r) {
  if (r->calls < most_calls)
    raise(SIGUSR1);
}

/* What the pipe holds is two reads, or more where a page is large. */
static void flush_leaves_what_keeps_coming_to_the_loop(void) {
  unsigned long capacity;

  open_as(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 2 * BUDGET);
  capacity = inside_of(&f.sig).capacity;
  most_calls = 4 * capacity;
  recorder_start(&a, SIGUSR1);
  a.then = raise_again;
  raise_times(SIGUSR1, BUDGET + 1);
  CHECK(uvsig_flush(&f.sig) > 0);
  CHECK(a.calls <= 2 * capacity);
  a.then = NULL;
  run_idle(&f.loop);
  check_books(&f.sig, SIGUSR1, a.signals, 0);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_flood_does_not_hide_another_signal_in_bytes_mode),
      TEST(one_doorbell_is_for_all_until_the_loop_looks),
      TEST(a_flood_does_not_hide_another_signal_in_wake_only_mode),
      TEST(a_flood_does_not_hide_another_signal_through_a_socketpair),
      TEST(a_flood_through_a_socketpair_in_wake_only_mode_is_one_callback),
      TEST(bytes_mode_keeps_the_order_of_arrival),
      TEST(wake_only_mode_goes_by_ascending_number_and_count),
      TEST(what_the_buffer_could_not_take_comes_after_the_bytes),
      TEST(each_time_it_comes_after_the_bytes),
      TEST(the_whole_is_the_sum_of_the_signals),
      TEST(each_episode_of_a_full_buffer_is_one_warning),
      TEST(no_warning_is_given_when_it_is_switched_off),
      TEST(the_default_warning_is_one_line_that_names_the_signals),
      TEST(what_could_not_be_carried_is_discarded_by_stop_too),
      TEST(a_stop_while_the_counters_are_delivered_discards_the_rest),
      TEST(a_warning_callback_may_close),
      TEST(junk_bytes_are_counted_and_ignored),
      TEST(a_broken_wakeup_fd_is_reported_and_a_running_loop_delivers),
      TEST(so_is_one_in_wake_only_mode),
      TEST(so_is_a_socket_that_has_an_error),
      TEST(a_callback_may_close_in_the_turn_that_finds_it_broken),
      TEST(so_it_may_in_a_flush),
      TEST(a_pipe_without_a_reader_does_not_end_the_process),
      TEST(a_socketpair_without_a_reader_does_not_end_the_process),
      TEST(a_turn_reads_no_more_than_its_budget),
      TEST(a_storm_that_never_lets_the_buffer_empty_hides_no_signal),
      TEST(flush_delivers_what_is_pending_without_the_loop),
      TEST(flush_delivers_in_wake_only_mode_too),
      TEST(flush_in_a_callback_delivers_the_rest_once),
      TEST(a_callback_of_a_flush_in_a_callback_may_close),
      TEST(flush_in_a_callback_delivers_the_counters_of_the_others),
      TEST(flush_leaves_what_keeps_coming_to_the_loop),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
