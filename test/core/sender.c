/* SPDX-License-Identifier: MIT
 *
 * Who sent a signal: each callback names the right sender or none, also through
 * overflow; values keep their order; what is not known is counted.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;

/* A watcher that remembers what it was told last, and calls further. */
struct listener {
  uvsig_watcher_t w;
  unsigned long calls;
  unsigned long signals;
  uvsig_info_t last;
  void (*then)(const uvsig_info_t* info);
};

static struct listener a, b;

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  struct listener* listener = w->data;

  CHECK_EQ(info->signum, signum);
  listener->calls++;
  listener->signals += info->count;
  listener->last = *info;
  if (listener->then != NULL)
    listener->then(info);
}

static void listen_to(struct listener* listener,
                      struct fixture* fixture,
                      int signum) {
  listener->w.data = listener;
  CHECK_EQ(uvsig_watcher_init(&fixture->sig, &listener->w), 0);
  CHECK_EQ(uvsig_watcher_start(&listener->w, on_signal, signum), 0);
}

static void open_with(uvsig_mode_t mode, unsigned depth) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  CHECK_EQ(options.info_depth, 64);
  CHECK_EQ(options.time_stamps, 0);
  options.mode = mode;
  options.info_depth = depth;
  options.warn_on_full_buffer = 0;
  fixture_open(&f, &options);
  listen_to(&a, &f, SIGRTMIN);
}

static void send_value(int value) {
  const union sigval sigval = {.sival_int = value};

  CHECK_EQ(uvsig_sigqueue(getpid(), SIGRTMIN, sigval), 0);
}

static void await_caught(uint64_t count) {
  uvsig_stats_t stats;

  do {
    usleep(100); /* ThreadSanitizer holds a signal back until such a call */
    uvsig_stats(&f.sig, SIGRTMIN, &stats);
  } while (stats.caught < count);
}

static uint64_t dropped(int signum) {
  uvsig_stats_t stats;

  uvsig_stats(&f.sig, signum, &stats);
  return stats.info_dropped;
}

/* --- One signal ----------------------------------------------------------- */

static void send_kill(pid_t to) {
  if (kill(to, SIGRTMIN) != 0)
    _exit(1);
}

static void send_queued(pid_t to) {
  const union sigval value = {.sival_int = 4711};

  if (uvsig_sigqueue(to, SIGRTMIN, value) != 0)
    _exit(1);
}

static void check_sender(uvsig_mode_t mode) {
  pid_t child;

  open_with(mode, 64);
  child = send_from_child(send_kill);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.last.flags, 0);
  CHECK_EQ(a.last.count, 1);
  CHECK_EQ(a.last.code, SI_USER);
  CHECK_EQ(a.last.pid, child);
  CHECK_EQ(a.last.uid, getuid());
  child = send_from_child(send_queued);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(a.last.flags, 0);
  CHECK_EQ(a.last.code, SI_QUEUE);
  CHECK_EQ(a.last.pid, child);
  CHECK_EQ(a.last.uid, getuid());
  CHECK_EQ(a.last.value.sival_int, 4711);
  CHECK_EQ(dropped(0), 0);
  fixture_close(&f);
}

static void a_callback_names_the_sender_in_bytes_mode(void) {
  check_sender(UVSIG_MODE_BYTES);
}

static void a_callback_names_the_sender_in_wake_only_mode(void) {
  check_sender(UVSIG_MODE_WAKE_ONLY);
}

static void every_watcher_and_every_loop_is_told_the_sender(void) {
  struct listener c = {.calls = 0};

  open_with(UVSIG_MODE_BYTES, 64);
  fixture_open(&g, NULL);
  listen_to(&b, &f, SIGRTMIN);
  listen_to(&c, &g, SIGRTMIN);
  send_value(42);
  run_until(&f.loop, &b.calls, 1);
  run_until(&g.loop, &c.calls, 1);
  CHECK_EQ(a.last.value.sival_int, 42);
  CHECK_EQ(b.last.value.sival_int, 42);
  CHECK_EQ(c.last.value.sival_int, 42);
  CHECK(a.last.flags + b.last.flags + c.last.flags == 0);
  fixture_close(&f);
  fixture_close(&g);
}

static void a_child_that_ended_is_named_with_its_status(void) {
  pid_t child;
  int status;

  fixture_open(&f, NULL);
  listen_to(&a, &f, SIGCHLD);
  child = fork();
  CHECK(child >= 0);
  if (child == 0)
    _exit(7);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.last.flags, 0);
  CHECK_EQ(a.last.code, CLD_EXITED);
  CHECK_EQ(a.last.pid, child);
  CHECK_EQ(a.last.status, 7);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  fixture_close(&f);
}

/* --- Many signals --------------------------------------------------------- */

static int expected;

static void check_next(const uvsig_info_t* info) {
  CHECK_EQ(info->flags, 0);
  CHECK_EQ(info->value.sival_int, expected);
  expected++;
}

static void realtime_signals_keep_order_and_value_within_the_room(void) {
  union sigval value;
  int signum;
  int i;

  skip_under_valgrind("it keeps SIGRTMAX for itself");
  open_with(UVSIG_MODE_BYTES, 64);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  a.then = check_next;
  for (signum = SIGRTMIN; signum <= SIGRTMAX; signum++) {
    listen_to(&a, &f, signum);
    expected = 0;
    a.calls = 0;
    for (i = 0; i < 64; i++) {
      value.sival_int = i;
      CHECK_EQ(uvsig_sigqueue(getpid(), signum, value), 0);
    }
    run_until(&f.loop, &a.calls, 64);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  }
  CHECK_EQ(dropped(0), 0);
  fixture_close(&f);
}

static int known;
static int unknown;

static void check_known_or_none(const uvsig_info_t* info) {
  if ((info->flags & UVSIG_INFO_NONE) != 0) {
    unknown++;
    CHECK_EQ(info->pid, 0);
    CHECK(info->value.sival_ptr == NULL);
  } else {
    CHECK_EQ(info->value.sival_int, expected);
    known++;
  }
  expected += (int) info->count;
}

/* The first that had room are known, the others are not, and later ones are. */
static void beyond_the_depth_there_is_no_sender_and_it_is_counted(void) {
  int i;

  open_with(UVSIG_MODE_BYTES, 16);
  a.then = check_known_or_none;
  for (i = 0; i < 100; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 100);
  CHECK_EQ(known, 16);
  CHECK_EQ(unknown, 84);
  CHECK_EQ(dropped(SIGRTMIN), 84);
  for (; i < 116; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 116);
  CHECK_EQ(known, 32);
  CHECK_EQ(dropped(SIGRTMIN), 84);
  check_books(&f.sig, SIGRTMIN, 116, 0);
  fixture_close(&f);
}

static void check_and_send_more(const uvsig_info_t* info) {
  int i;

  check_known_or_none(info);
  if (expected == 5)
    for (i = 32; i < 37; i++)
      send_value(i);
}

/* Room that the first ones have left is taken by the last, and those in between
 * must not be taken for them. */
static void a_record_is_nobodys_but_its_own_signals(void) {
  int i;

  open_with(UVSIG_MODE_BYTES, 16);
  a.then = check_and_send_more;
  for (i = 0; i < 32; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 37);
  CHECK_EQ(known, 21);
  CHECK_EQ(unknown, 16);
  CHECK_EQ(dropped(SIGRTMIN), 16);
  fixture_close(&f);
}

static void the_depth_is_rounded_up_to_a_power_of_two(void) {
  int i;

  open_with(UVSIG_MODE_BYTES, 17);
  a.then = check_known_or_none;
  for (i = 0; i < 100; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 100);
  CHECK_EQ(known, 32);
  fixture_close(&f);
}

static void with_a_depth_of_0_no_sender_is_kept_and_none_is_dropped(void) {
  int i;

  open_with(UVSIG_MODE_BYTES, 0);
  a.then = check_known_or_none;
  for (i = 0; i < 10; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 10);
  CHECK_EQ(known, 0);
  CHECK_EQ(dropped(0), 0);
  fixture_close(&f);
}

static void a_count_above_1_has_no_sender(void) {
  int i;

  open_with(UVSIG_MODE_WAKE_ONLY, 64);
  for (i = 0; i < 10; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.last.count, 10);
  CHECK_EQ(a.last.flags, UVSIG_INFO_NONE);
  CHECK_EQ(dropped(SIGRTMIN), 10);
  /* Their records are free again, and the next is not taken for one of them. */
  send_value(4711);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(a.last.flags, 0);
  CHECK_EQ(a.last.value.sival_int, 4711);
  fixture_close(&f);
}

static void what_a_stop_discards_is_never_told_of_later(void) {
  int i;

  skip_under_valgrind("it delivers what a process sends itself later");
  open_with(UVSIG_MODE_BYTES, 16);
  for (i = 0; i < 20; i++)
    send_value(i);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  listen_to(&a, &f, SIGRTMIN);
  a.then = check_known_or_none;
  expected = 100;
  for (i = 100; i < 116; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 16);
  CHECK_EQ(known, 16);
  check_books(&f.sig, SIGRTMIN, 16, 20);
  fixture_close(&f);
}

static void take(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  int* value = req->data;

  CHECK_EQ(status, 0);
  CHECK_EQ(info->flags, 0);
  *value = info->value.sival_int;
}

static void a_wait_and_the_watchers_are_told_of_their_own_signals(void) {
  uvsig_wait_t wait;
  sigset_t set;
  int value = 0;

  open_with(UVSIG_MODE_BYTES, 16);
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  wait.data = &value;
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, 1000, take), 0);
  send_value(1);
  send_value(2);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(value, 1);
  CHECK_EQ(a.last.value.sival_int, 2);
  fixture_close(&f);
}

/* --- Overflow ------------------------------------------------------------- */

enum { SENDERS = 8 };

static struct {
  pid_t pid;
  int next; /* of its values; they come in its order */
} senders[SENDERS];

static unsigned long told_of;
static bool unordered; /* several threads catch, one overtakes the other */

/* Right, or none; and from each sender in its order. */
static void check_attribution(const uvsig_info_t* info) {
  int i;

  if ((info->flags & UVSIG_INFO_NONE) != 0)
    return;
  told_of++;
  CHECK_EQ(info->count, 1);
  CHECK_EQ(info->code, SI_QUEUE);
  for (i = 0; i < SENDERS && senders[i].pid != info->pid; i++)
    ;
  CHECK(i < SENDERS);
  CHECK_EQ(info->value.sival_int / 1000000, i + 1);
  CHECK(unordered || info->value.sival_int % 1000000 >= senders[i].next);
  senders[i].next = info->value.sival_int % 1000000 + 1;
}

/* In bursts of 50 and pauses, so that buffer and records overflow and recover.
 * The queue of the receiving user has a limit: try again. */
static void send_sequence(pid_t to, int sender, unsigned n) {
  union sigval value;
  unsigned i;

  for (i = 0; i < n; i++) {
    value.sival_int = (sender + 1) * 1000000 + (int) i;
    while (uvsig_sigqueue(to, SIGRTMIN, value) != 0)
      usleep(100);
    if (i % 50 == 0)
      usleep(1000 * (i / 50 % 5));
  }
}

/* Several threads catch the same signal at once. */
static pthread_t catchers[3];
static unsigned catcher_count;
static atomic_bool over;

static void* stay(void* unused) {
  while (!over)
    usleep(100);
  return unused;
}

static void start_catchers(void) {
  while (catcher_count < 3)
    CHECK_EQ(pthread_create(&catchers[catcher_count++], NULL, stay, NULL), 0);
  unordered = true;
}

static void end_catchers(void) {
  over = true;
  while (catcher_count > 0)
    CHECK_EQ(pthread_join(catchers[--catcher_count], NULL), 0);
}

static void check_storm(uvsig_mode_t mode, size_t buffer_size) {
  unsigned n = scaled(4000);
  uvsig_options_t options;
  pid_t parent = getpid();
  uvsig_stats_t stats;
  unsigned long all;
  unsigned long before;
  int status;
  int i;

  uvsig_options_init(&options);
  options.mode = mode;
  options.buffer_size = buffer_size;
  options.warn_on_full_buffer = 0;
  fixture_open(&f, &options);
  listen_to(&a, &f, SIGRTMIN);
  a.then = check_attribution;
  for (i = 0; i < SENDERS; i++) {
    senders[i].pid = fork();
    CHECK(senders[i].pid >= 0);
    if (senders[i].pid == 0) {
      send_sequence(parent, i, n);
      _exit(0);
    }
  }
  for (i = 0; i < SENDERS;) {
    uint64_t until = uv_hrtime() + 1000 * 1000;

    while (uv_hrtime() < until)
      ;
    uvsig_flush(&f.sig);
    if (waitpid(senders[i].pid, &status, WNOHANG) == senders[i].pid) {
      CHECK_EQ(status, 0);
      i++;
    }
  }
  /* What they have still to catch is caught now. */
  end_catchers();
  if (under_thread_sanitizer())
    run_idle(&f.loop);
  else
    run_until(&f.loop, &a.signals, SENDERS * n);
  CHECK(mode == UVSIG_MODE_WAKE_ONLY || told_of > 0);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  all = a.signals;
  CHECK_EQ(stats.delivered, all);
  CHECK_EQ(stats.info_dropped, all - told_of);
  check_books(&f.sig, SIGRTMIN, all, 0);

  /* Recovered: now each one is named again; where a thread was so slow that its
   * record came too late, when the loop has been round all of them. */
  before = told_of;
  a.then = NULL;
  for (i = unordered ? -64 : 0; i < 10; i++) {
    send_value(i);
    run_until(&f.loop, &a.signals, a.signals + 1);
    CHECK(i < 0 || a.last.flags == 0);
    CHECK(i < 0 || a.last.value.sival_int == i);
  }
  printf("# %lu signals, %lu with their sender\n", all, before);
  fflush(stdout);
  fixture_close(&f);
}

static void eight_senders_are_never_mistaken_through_overflow_in_bytes_mode(
    void) {
  check_storm(UVSIG_MODE_BYTES, 4096);
}

static void eight_senders_are_never_mistaken_in_wake_only_mode(void) {
  check_storm(UVSIG_MODE_WAKE_ONLY, 0);
}

static void senders_are_not_mistaken_when_threads_catch_at_once(void) {
  start_catchers();
  check_storm(UVSIG_MODE_BYTES, 0);
}

/* --- Time stamps ---------------------------------------------------------- */

static void time_stamps_tell_the_longest_latency(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;
  uint64_t begin;

  skip_under_valgrind("it delivers what a process sends itself later");
  uvsig_options_init(&options);
  options.time_stamps = 1;
  fixture_open(&f, &options);
  listen_to(&a, &f, SIGRTMIN);
  begin = uv_hrtime();
  send_value(1);
  await_caught(1);
  let_pass(20);
  run_until(&f.loop, &a.calls, 1);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  CHECK(stats.max_latency_ns >= 20 * 1000 * 1000);
  CHECK(stats.max_latency_ns <= uv_hrtime() - begin);
  begin = stats.max_latency_ns;
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.max_latency_ns, begin);
  fixture_close(&f);
}

/* More of them than there are records. */
static void a_count_has_the_latency_of_the_first_that_was_kept(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;
  int i;

  skip_under_valgrind("it delivers what a process sends itself later");
  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  options.time_stamps = 1;
  fixture_open(&f, &options);
  listen_to(&a, &f, SIGRTMIN);
  send_value(0);
  await_caught(1);
  let_pass(20);
  for (i = 1; i < 200; i++)
    send_value(i);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.last.count, 200);
  uvsig_stats(&f.sig, SIGRTMIN, &stats);
  CHECK(stats.max_latency_ns >= 20 * 1000 * 1000);
  fixture_close(&f);
}

static void without_time_stamps_there_is_no_latency(void) {
  uvsig_stats_t stats;

  open_with(UVSIG_MODE_BYTES, 64);
  send_value(1);
  run_until(&f.loop, &a.calls, 1);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.max_latency_ns, 0);
  fixture_close(&f);
}

#ifdef RLIMIT_SIGPENDING
/* Then the kernel says that it was process 0, of root. */
static void where_the_kernel_does_not_know_the_sender_there_is_none(void) {
  const struct rlimit none = {0, 0};

  open_with(UVSIG_MODE_BYTES, 64);
  listen_to(&a, &f, SIGUSR1);
  CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.last.count, 1);
  CHECK_EQ(a.last.flags, UVSIG_INFO_NONE);
  CHECK_EQ(a.last.pid, 0);
  fixture_close(&f);
}
#endif

static void with_room_for_one_the_one_is_named(void) {
  open_with(UVSIG_MODE_BYTES, 1);
  send_value(4711);
  while (a.calls == 0)
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  CHECK_EQ(a.last.pid, getpid());
  CHECK_EQ(a.last.value.sival_int, 4711);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_callback_names_the_sender_in_bytes_mode),
      TEST(a_callback_names_the_sender_in_wake_only_mode),
      TEST(with_room_for_one_the_one_is_named),
#ifdef RLIMIT_SIGPENDING
      TEST(where_the_kernel_does_not_know_the_sender_there_is_none),
#endif
      TEST(every_watcher_and_every_loop_is_told_the_sender),
      TEST(a_child_that_ended_is_named_with_its_status),
      TEST(realtime_signals_keep_order_and_value_within_the_room),
      TEST(beyond_the_depth_there_is_no_sender_and_it_is_counted),
      TEST(a_record_is_nobodys_but_its_own_signals),
      TEST(the_depth_is_rounded_up_to_a_power_of_two),
      TEST(with_a_depth_of_0_no_sender_is_kept_and_none_is_dropped),
      TEST(a_count_above_1_has_no_sender),
      TEST(what_a_stop_discards_is_never_told_of_later),
      TEST(a_wait_and_the_watchers_are_told_of_their_own_signals),
      TEST(eight_senders_are_never_mistaken_through_overflow_in_bytes_mode),
      TEST(eight_senders_are_never_mistaken_in_wake_only_mode),
      TEST(senders_are_not_mistaken_when_threads_catch_at_once),
      TEST(time_stamps_tell_the_longest_latency),
      TEST(a_count_has_the_latency_of_the_first_that_was_kept),
      TEST(without_time_stamps_there_is_no_latency),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
