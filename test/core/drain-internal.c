/* SPDX-License-Identifier: MIT
 *
 * uvsig_watcher_drain() while a handler is in flight in another thread: each
 * test has the handler stop at one moment, and go on at another of the drain.
 * Linked with --wrap, so that what the handler and the drain call there comes
 * here first.
 */

#include "../lib/harness.h"
#include "../lib/wrap-syscall.h"

#include "../../lib/disposition.h"

#include <sched.h>
#include <stdatomic.h>

static struct fixture f, g;
static struct recorder a, b;

static void wait_for(atomic_bool* what) {
  while (!atomic_load(what))
    sched_yield();
}

static void drain_a(void) {
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
}

/* --- The handler's moments, in the thread that raises --------------------- */

static _Thread_local bool is_raiser;
static uv_thread_t raiser;
static atomic_bool may_raise;
static atomic_bool is_raised;

/* What is to be done there, once. */
static void (*volatile at_look)(void);  /* before it looks what watches */
static bool (*volatile at_write)(void); /* returns whether that is refused */

int __real_pthread_setcanceltype(int type, int* previous);
int __wrap_pthread_setcanceltype(int type, int* previous);
int __wrap_pthread_setcanceltype(int type, int* previous) {
  void (*fn)(void) = at_look;

  if (is_raiser && fn != NULL) {
    at_look = NULL;
    fn();
  }
  return __real_pthread_setcanceltype(type, previous);
}

static bool refuses_syscall(long number, const long* arguments) {
  bool (*fn)(void) = at_write;

  (void) arguments;
  if (!is_raiser || fn == NULL || number != SYS_write)
    return false;
  at_write = NULL;
  return fn();
}

static void raise_one(void* unused) {
  (void) unused;
  is_raiser = true;
  wait_for(&may_raise);
  raise(SIGUSR1);
  atomic_store(&is_raised, true);
}

static void start_raiser(void) {
  CHECK_EQ(uv_thread_create(&raiser, raise_one, NULL), 0);
}

/* --- The drain's moments, in the loop's thread ---------------------------- */

static atomic_bool is_held; /* a handler, where it is to stop */
static atomic_bool is_over; /* the drain */

/* In a handler: until the drain waits for handlers in flight, or is over. */
static void hold_until_waited_for(void) {
  unsigned generation = atomic_load(&uvsig__shared.generation);

  atomic_store(&is_held, true);
  while (atomic_load(&uvsig__shared.generation) == generation &&
         !atomic_load(&is_over))
    sched_yield();
}

static unsigned grace_periods;
static unsigned raises_after; /* which one, or 0 */

/* Another thread's handler begins after the drain's first grace period, or
 * after the second. It has come to where it is to stop, or has left, when the
 * drain goes on. */
void __real_uvsig__synchronize(void);
void __wrap_uvsig__synchronize(void);
void __wrap_uvsig__synchronize(void) {
  __real_uvsig__synchronize();
  if (++grace_periods == raises_after) {
    atomic_store(&may_raise, true);
    while (!atomic_load(&is_held) && !atomic_load(&is_raised))
      sched_yield();
  }
}

/* --- Found, and not counted yet ------------------------------------------- */

static atomic_bool has_left;

/* The library calls this in the handler when it has found a subscription, and
 * before it counts the signal. */
static void hold_uncounted(uvsig_watcher_t* w,
                           int signum,
                           const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  hold_until_waited_for();
  atomic_store(&has_left, true);
}

static void open_both(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

/* Have the other thread raise, and drain in the middle of its handler. */
static void drain_while_held(void) {
  atomic_store(&may_raise, true);
  wait_for(&is_held);
  CHECK(!atomic_load(&is_raised));
  drain_a();
  atomic_store(&is_over, true);
  CHECK_EQ(uv_thread_join(&raiser), 0);
}

static void the_last_watchers_drain_waits_for_a_signal_that_is_not_counted_yet(
    void) {
  open_both();
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, hold_uncounted), 0);
  recorder_start(&a, SIGUSR1);
  start_raiser();
  drain_while_held();
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(foreign_calls, 0);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void so_does_the_drain_of_one_of_two(void) {
  open_both();
  CHECK_EQ(uvsig_watcher_set_handler(&b.w, hold_uncounted), 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  start_raiser();
  drain_while_held();
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(b.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

/* The memory is the program's when it returns. */
static void a_stop_waits_for_its_function_in_the_handler(void) {
  open_both();
  CHECK_EQ(uvsig_watcher_set_handler(&b.w, hold_uncounted), 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  start_raiser();
  atomic_store(&may_raise, true);
  wait_for(&is_held);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(atomic_load(&has_left));
  atomic_store(&is_over, true);
  CHECK_EQ(uv_thread_join(&raiser), 0);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 1);
  fixture_close(&f);
}

static atomic_bool is_looking;
static atomic_bool is_started;

/* The handler has found no chain that is wanted, and will find a watcher that
 * wants it. */
static void have_a_started(void) {
  atomic_store(&is_looking, true);
  wait_for(&is_started);
}

static void a_signal_that_is_found_before_a_drain_has_its_chain(void) {
  open_both();
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig); /* so that there is a handler */
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, hold_uncounted), 0);
  at_look = have_a_started;
  start_raiser();
  atomic_store(&may_raise, true);
  wait_for(&is_looking);
  recorder_start(&a, SIGUSR1);
  atomic_store(&is_started, true);
  drain_while_held();
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(foreign_calls, 1);
  fixture_close(&f);
  fixture_close(&g);
}

/* --- Counted, and not written yet ----------------------------------------- */

/* There is no room for the byte: the signal is in the counter instead. */
static bool refuse_for_lack_of_room(void) {
  errno = EAGAIN;
  return true;
}

static bool hold_unwritten(void) {
  hold_until_waited_for();
  return refuse_for_lack_of_room();
}

/* Another thread's signal is told to `in_drain` of the two at once, and in any
 * case once: neither the byte that is not written is expected, nor a later one
 * taken for it. */
static void drain_beside(bool (*write)(void),
                         unsigned grace_period,
                         unsigned in_drain) {
  open_both();
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  if (grace_periods == 0)
    skip_test("link-time optimization has inlined what is to be wrapped");
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  start_raiser();
  at_write = write;
  grace_periods = 0;
  raises_after = grace_period;
  drain_a();
  CHECK(grace_periods >= grace_period);
  atomic_store(&is_over, true);
  CHECK_EQ(uv_thread_join(&raiser), 0);
  CHECK_EQ(a.calls, in_drain);
  CHECK_EQ(b.calls, in_drain);
  run_idle(&f.loop);
  CHECK_EQ(b.calls, 1);
  raise_times(SIGUSR1, 2);
  run_idle(&f.loop);
  CHECK_EQ(b.calls, 3);
  CHECK_EQ(a.calls, in_drain);
  check_books(&f.sig, SIGUSR1, 3, 0);
  fixture_close(&f);
}

static void a_signal_counted_after_the_first_grace_period_is_told_in_it(void) {
  drain_beside(hold_unwritten, 1, 1);
}

static void one_counted_after_the_second_is_left_to_the_other_watcher(void) {
  drain_beside(hold_unwritten, 2, 0);
}

static void but_told_in_it_if_it_is_in_the_counter_already(void) {
  drain_beside(refuse_for_lack_of_room, 2, 1);
}

/* --- A write that fails --------------------------------------------------- */

static unsigned warnings;

static void on_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  CHECK_EQ(warning->kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(warning->error, UV_ENOMEM);
  warnings++;
}

static bool refuse_for_lack_of_memory(void) {
  errno = ENOMEM;
  return true;
}

static void a_failed_write_is_told_and_not_warned_of_as_a_full_buffer(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;

  uvsig_options_init(&options);
  options.warning_cb = on_warning;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_init(&b, &f.sig); /* so that the loop goes on */
  recorder_start(&b, SIGUSR2);
  is_raiser = true;
  at_write = refuse_for_lack_of_memory;
  raise(SIGUSR1);
  drain_a();
  CHECK_EQ(a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  run_idle(&f.loop);
  CHECK_EQ(warnings, 1);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.full_buffers, 0);
  fixture_close(&f);
}

/* The stop that ends a drain discards by the same steps. */
static void what_a_stop_discards_is_not_left_in_the_counter(void) {
  uvsig_stats_t stats;

  open_both();
  recorder_start(&a, SIGUSR1);
  is_raiser = true;
  at_write = refuse_for_lack_of_room;
  raise(SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 3);
  check_books(&f.sig, SIGUSR1, 3, 1);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.junk, 0);
  CHECK_EQ(stats.full_buffers, 0);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_last_watchers_drain_waits_for_a_signal_that_is_not_counted_yet),
      TEST(so_does_the_drain_of_one_of_two),
      TEST(a_stop_waits_for_its_function_in_the_handler),
      TEST(a_signal_that_is_found_before_a_drain_has_its_chain),
      TEST(a_signal_counted_after_the_first_grace_period_is_told_in_it),
      TEST(one_counted_after_the_second_is_left_to_the_other_watcher),
      TEST(but_told_in_it_if_it_is_in_the_counter_already),
      TEST(a_failed_write_is_told_and_not_warned_of_as_a_full_buffer),
      TEST(what_a_stop_discards_is_not_left_in_the_counter),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
