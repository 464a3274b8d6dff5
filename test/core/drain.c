/* SPDX-License-Identifier: MIT
 *
 * uvsig_watcher_drain(): a stop that loses no signal. Each one has been told to
 * a callback, or had the previous action.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b, c;

/* The previous action, in any thread. */
static atomic_ulong previous;

static void count_previous(int signum) {
  (void) signum;
  atomic_fetch_add(&previous, 1);
}

static void open_with(const uvsig_options_t* options) {
  install_handler(SIGUSR1, count_previous);
  fixture_open(&f, options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_init(&c, &f.sig);
}

static void open_idle(void) {
  open_with(NULL);
}

static void open_wake_only(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  open_with(&options);
}

static void open_one(void) {
  open_idle();
  recorder_start(&a, SIGUSR1);
}

static void drain(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_drain(&r->w), 0);
}

/* Drain `a` with so many signals pending. Its callback does `then`. */
static void drain_a_with(unsigned pending, void (*then)(struct recorder* r)) {
  raise_times(SIGUSR1, pending);
  a.then = then;
  drain(&a);
}

/* No byte and no counter that is left over passes for a later signal. */
static void close_working(void) {
  struct recorder last;

  recorder_init(&last, &f.sig);
  recorder_start(&last, SIGUSR1);
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &last.calls, 3);
  run_idle(&f.loop);
  CHECK_EQ(last.signals, 3);
  CHECK_EQ(uvsig_watcher_stop(&last.w), 0);
  fixture_close(&f);
}

/* The same, where so many signals have been caught before. */
static void close_told(unsigned delivered, unsigned discarded) {
  check_books(&f.sig, SIGUSR1, delivered, discarded);
  close_working();
}

/* --- A thread that raises meanwhile --------------------------------------- */

enum { BURST = 4 };
static atomic_ulong sent;
static uv_sem_t go, done;
static bool over;

/* A raise() has returned when the handler has. */
static void* raise_in_bursts(void* unused) {
  unsigned i;

  (void) unused;
  for (;;) {
    uv_sem_wait(&go);
    if (over)
      return NULL;
    for (i = 0; i < BURST; i++) {
      raise(SIGUSR1);
      atomic_fetch_add(&sent, 1);
    }
    uv_sem_post(&done);
  }
}

/* `n` rounds of a burst against `drain_all`. Both begin at once, and sometimes
 * it waits until so many of the burst have been raised. */
static void race(void (*start_all)(void),
                 void (*drain_all)(void),
                 void (*check)(void)) {
  unsigned n = scaled(3000);
  unsigned long before;
  pthread_t thread;
  unsigned i;

  CHECK_EQ(uv_sem_init(&go, 0), 0);
  CHECK_EQ(uv_sem_init(&done, 0), 0);
  CHECK_EQ(pthread_create(&thread, NULL, raise_in_bursts, NULL), 0);
  for (i = 0; i < n && has_time(); i++) {
    start_all();
    before = atomic_load(&sent);
    uv_sem_post(&go);
    while (atomic_load(&sent) - before < i % BURST)
      sched_yield();
    drain_all();
    uv_sem_wait(&done);
    check();
  }
  over = true;
  uv_sem_post(&go);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  uv_sem_destroy(&go);
  uv_sem_destroy(&done);
  printf("# %u rounds: sent %lu, told %lu, previous action %lu\n",
         i,
         atomic_load(&sent),
         a.signals,
         atomic_load(&previous));
  fixture_close(&f);
}

static void start_a(void) {
  recorder_start(&a, SIGUSR1);
}

static void drain_a(void) {
  drain(&a);
}

static void check_sum_of_a(void) {
  CHECK_EQ(a.signals + atomic_load(&previous), atomic_load(&sent));
  check_books(&f.sig, SIGUSR1, a.signals, 0);
}

static void in_a_race_each_signal_is_told_or_has_the_previous_action(void) {
  open_idle();
  race(start_a, drain_a, check_sum_of_a);
}

static void in_a_race_in_wake_only_mode_too(void) {
  open_wake_only();
  race(start_a, drain_a, check_sum_of_a);
}

static void start_a_oneshot(void) {
  recorder_start_oneshot(&a, SIGUSR1);
}

static void in_a_race_a_oneshot_too(void) {
  open_idle();
  race(start_a_oneshot, drain_a, check_sum_of_a);
}

static void check_chained(void) {
  CHECK_EQ(atomic_load(&previous), atomic_load(&sent));
  check_books(&f.sig, SIGUSR1, a.signals, 0);
}

static void in_a_race_with_chain_each_has_the_previous_action_once(void) {
  open_idle();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  race(start_a, drain_a, check_chained);
}

static void start_both(void) {
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
}

static void drain_both(void) {
  drain(&a);
  drain(&b);
}

/* b is there longer. */
static void check_sum_of_b(void) {
  CHECK_EQ(b.signals + atomic_load(&previous), atomic_load(&sent));
  CHECK(a.signals <= b.signals);
  check_books(b.w.sig, SIGUSR1, b.signals, 0);
  check_books(a.w.sig, SIGUSR1, a.w.sig == b.w.sig ? b.signals : a.signals, 0);
}

static void in_a_race_of_two_watchers_the_last_one_is_told_the_rest(void) {
  open_idle();
  race(start_both, drain_both, check_sum_of_b);
}

static void in_a_race_of_two_loops_the_last_one_is_told_the_rest(void) {
  open_idle();
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  race(start_both, drain_both, check_sum_of_b);
  fixture_close(&g);
}

static void start_fresh_a(void) {
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  atomic_fetch_add(&sent, 1);
}

static void drain_in_callback(struct recorder* r) {
  r->then = NULL;
  drain(r);
}

static void run_until_drained(void) {
  a.then = drain_in_callback;
  while (uvsig_watcher_is_active(&a.w))
    uv_run(&f.loop, UV_RUN_ONCE);
}

static void in_a_race_in_its_own_callback_too(void) {
  open_idle();
  race(start_fresh_a, run_until_drained, check_sum_of_a);
}

/* --- What it does, step by step ------------------------------------------- */

static void what_is_pending_is_told_one_by_one_and_later_ones_are_not(void) {
  uvsig_stats_t stats;

  open_one();
  drain_a_with(3, NULL);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(a.largest, 1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  check_books(&f.sig, SIGUSR1, 3, 0);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.full_buffers, 0);
  raise_times(SIGUSR1, 2);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(atomic_load(&previous), 2);
  close_working();
}

static void where_nothing_is_pending_it_is_a_stop(void) {
  open_one();
  drain(&a);
  CHECK_EQ(a.calls, 0);
  CHECK(action_of(SIGUSR1).sa_handler == count_previous);
  drain(&a); /* stopped */
  close_working();
}

static int values[8];
static unsigned n_values;

static void keep_value(uvsig_watcher_t* w,
                       int signum,
                       const uvsig_info_t* info) {
  (void) w;
  (void) signum;
  CHECK_EQ(info->count, 1);
  CHECK_EQ(info->code, SI_QUEUE);
  values[n_values++] = info->value.sival_int;
}

static void each_is_told_with_its_sender_and_value(void) {
  uvsig_options_t options;
  const char* tool = getenv("TEST_TOOL");
  int i;

  uvsig_options_init(&options);
  /* Of several of a number, ThreadSanitizer's runtime keeps one for a handler;
   * valgrind delivers late what sigqueue() sends. So there is none. */
  if (under_thread_sanitizer() || (tool != NULL && *tool != 0))
    options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  open_with(&options);
  CHECK_EQ(uvsig_watcher_start(&a.w, keep_value, SIGRTMIN), 0);
  for (i = 0; i < 5; i++)
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}), 0);
  drain(&a);
  CHECK_EQ(n_values, 5);
  for (i = 0; i < 5; i++)
    CHECK_EQ(values[i], i);
  fixture_close(&f);
}

static unsigned warnings;
static uint64_t warned_of;

static void on_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  CHECK_EQ(warning->kind, UVSIG_WARN_FULL_BUFFER);
  warnings++;
  warned_of += warning->total;
}

static unsigned more_than_fit(void) {
  return 2 * (unsigned) inside_of(&f.sig).capacity;
}

static void a_full_buffer_is_told_and_warned_of_once_and_others_wait(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;
  unsigned many;

  uvsig_options_init(&options);
  options.warning_cb = on_warning;
  options.buffer_size = 1;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&b, SIGUSR1); /* before it in the order of signals */
  recorder_start(&a, SIGUSR2);
  many = more_than_fit();
  raise_times(SIGUSR2, many);
  raise_times(SIGUSR1, 2);
  drain(&a);
  CHECK_EQ(a.signals, many);
  CHECK_EQ(a.calls, many - a.largest + 1);
  CHECK_EQ(b.calls, 0);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(warned_of, a.largest + 2);
  uvsig_stats(&f.sig, SIGUSR2, &stats);
  CHECK_EQ(stats.full_buffers, 1);
  run_until(&f.loop, &b.signals, 2);
  CHECK_EQ(warnings, 1);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.full_buffers, 1);
  CHECK_EQ(stats.junk, 0);
  fixture_close(&f);
}

/* Its bytes are passed over, and no more than those. */
static void after_a_full_buffer_the_next_ones_are_told(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;
  unsigned many;

  uvsig_options_init(&options);
  options.warn_on_full_buffer = 0;
  options.buffer_size = 1;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  many = more_than_fit();
  raise_times(SIGUSR1, many);
  drain(&a);
  CHECK_EQ(b.signals, many);
  run_idle(&f.loop);
  raise_times(SIGUSR1, 5);
  run_idle(&f.loop);
  CHECK_EQ(b.signals, many + 5);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.junk, 0);
  fixture_close(&f);
}

static void in_wake_only_mode_one_callback_stands_for_all(void) {
  open_wake_only();
  recorder_start(&a, SIGUSR2);
  raise_times(SIGUSR2, 5);
  drain(&a);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(a.signals, 5);
  check_books(&f.sig, SIGUSR2, 5, 0);
  fixture_close(&f);
}

static void raise_usr1_and_drain_a(struct recorder* r) {
  (void) r;
  raise(SIGUSR1);
  drain(&a);
}

static void in_wake_only_mode_another_signals_doorbell_is_not_lost(void) {
  open_wake_only();
  recorder_start(&a, SIGUSR2);
  recorder_start(&b, SIGUSR1);
  recorder_start(&c, SIGTERM); /* after both in the order of signals */
  c.then = raise_usr1_and_drain_a;
  raise_times(SIGUSR2, 2);
  raise(SIGTERM);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(a.signals, 2);
  fixture_close(&f);
}

/* --- The previous action, in the callbacks -------------------------------- */

static void expect_ignored(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
}

static void an_ignored_signal_is_ignored_again_before_the_first_callback(void) {
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  drain_a_with(2, expect_ignored);
  CHECK_EQ(a.calls, 2);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
  fixture_close(&f);
}

static void raise_term(struct recorder* r) {
  (void) r;
  raise(SIGTERM);
  CHECK(!"ended");
}

static void drain_and_die(void) {
  open_idle();
  recorder_start(&a, SIGTERM);
  a.then = raise_term;
  raise(SIGTERM);
  drain(&a);
}

static void a_default_action_strikes_again_from_the_first_callback_on(void) {
  int status = run_child(drain_and_die);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

static void raise_once(struct recorder* r) {
  r->then = NULL;
  raise(SIGUSR1);
}

static void a_shared_signal_is_not_swallowed_while_callbacks_run(void) {
  open_idle();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_SHARE), 0);
  recorder_start(&a, SIGUSR1);
  drain_a_with(2, raise_once);
  CHECK_EQ(a.calls, 2);
  CHECK_EQ(atomic_load(&previous), 1);
  CHECK(action_of(SIGUSR1).sa_handler == count_previous);
  close_working();
}

static unsigned long uv_calls;

static void on_uv_signal(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
  uv_calls++;
}

static void a_shared_signal_is_libuvs_while_callbacks_run(void) {
  uv_signal_t handle;

  open_idle();
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start(&handle, on_uv_signal, SIGUSR1), 0);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_SHARE), 0);
  recorder_start(&a, SIGUSR1);
  drain_a_with(2, raise_once);
  CHECK_EQ(a.calls, 2);
  run_until(&f.loop, &uv_calls, 3);
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&f);
}

static void a_chain_ends_before_the_callbacks_run(void) {
  open_idle();
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&previous), 1);
  a.then = raise_once;
  drain(&a);
  CHECK_EQ(atomic_load(&previous), 1);
  drain(&b);
  CHECK_EQ(b.calls, 2);
  /* What was required has been taken back once. */
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&previous), 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&previous), 2);
  fixture_close(&f);
  fixture_close(&g);
}

static unsigned long exits;

static void on_exit_of_child(uv_process_t* process,
                             int64_t status,
                             int signum) {
  CHECK_EQ(status, 0);
  CHECK_EQ(signum, 0);
  exits++;
  uv_close((uv_handle_t*) process, NULL);
}

static void a_child_of_uv_spawn_is_noticed_after_a_drain_of_sigchld(void) {
  uv_process_options_t options = {0};
  char file[] = "true";
  char* args[] = {file, NULL};
  uv_process_t process;

  install_handler(SIGCHLD, count_previous);
  open_idle();
  recorder_start(&a, SIGCHLD);
  raise(SIGCHLD);
  options.file = file;
  options.args = args;
  options.exit_cb = on_exit_of_child;
  CHECK_EQ(uv_spawn(&f.loop, &process, &options), 0);
  drain(&a);
  CHECK(a.calls >= 1);
  CHECK_EQ(a.signals, a.calls);
  run_until(&f.loop, &exits, 1);
  check_books(&f.sig, SIGCHLD, a.calls, 0);
  fixture_close(&f);
}

static void expect_blocked(struct recorder* r) {
  (void) r;
  CHECK(is_blocked(SIGUSR1));
}

static void a_mask_that_start_opened_is_closed_before_the_callbacks(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
  open_one();
  CHECK(!is_blocked(SIGUSR1));
  drain_a_with(2, expect_blocked);
  CHECK_EQ(a.calls, 2);
  CHECK(is_blocked(SIGUSR1));
  close_working();
}

static void with_keep_mask_what_is_blocked_has_the_previous_action(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
  open_idle();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_KEEP_MASK), 0);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  drain(&a);
  CHECK_EQ(a.calls, 0);
  CHECK(is_blocked(SIGUSR1));
  CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
  CHECK_EQ(atomic_load(&previous), 1);
  close_working();
}

static atomic_ulong handler_calls;

static void in_handler(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  atomic_fetch_add(&handler_calls, 1);
}

static void its_function_in_the_handler_is_not_called_from_the_callbacks_on(
    void) {
  open_idle();
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, in_handler), 0);
  recorder_start(&a, SIGUSR1);
  drain_a_with(2, raise_once);
  CHECK_EQ(a.calls, 2);
  CHECK_EQ(atomic_load(&handler_calls), 2);
  CHECK_EQ(atomic_load(&previous), 1);
  close_working();
  CHECK_EQ(atomic_load(&handler_calls), 2);
}

/* --- One-shots and other watchers ----------------------------------------- */

static void expect_stopped(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_is_active(&r->w), 0);
  drain(r);
  raise(SIGUSR1);
}

static void a_oneshot_is_told_once_of_all_and_is_stopped_then(void) {
  open_idle();
  recorder_start_oneshot(&a, SIGUSR1);
  drain_a_with(3, expect_stopped);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(a.signals, 3);
  CHECK_EQ(atomic_load(&previous), 1);
  close_told(3, 0);
}

static void start_oneshot_again(struct recorder* r) {
  recorder_start_oneshot(r, SIGUSR1);
}

static void a_oneshot_started_again_in_its_callback_stays_started(void) {
  open_idle();
  recorder_start_oneshot(&a, SIGUSR1);
  drain_a_with(3, start_oneshot_again);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  a.then = NULL;
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(a.signals, 4);
  close_working();
}

static void a_oneshot_is_told_what_later_watchers_are_not(void) {
  open_idle();
  recorder_start_oneshot(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  drain(&a);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(a.signals, 4);
  CHECK_EQ(b.signals, 1);
  check_books(&f.sig, SIGUSR1, 4, 0);
  raise(SIGUSR1);
  run_until(&f.loop, &b.signals, 2);
  close_working();
}

static void other_watchers_are_told_with_it_and_go_on(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  recorder_start(&c, SIGUSR2);
  raise_times(SIGUSR1, 3);
  raise(SIGUSR2);
  drain(&a);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(b.calls, 3);
  CHECK_EQ(c.calls, 0); /* another signal's is the loop's */
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &b.calls, 5);
  run_until(&f.loop, &c.calls, 1);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(atomic_load(&previous), 0);
  check_books(&f.sig, SIGUSR1, 5, 0);
  drain(&b);
  close_working();
}

static void another_loops_watchers_are_told_by_their_own(void) {
  open_one();
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 2);
  a.then = raise_once; /* that one is caught for b */
  drain(&a);
  CHECK_EQ(a.calls, 2);
  CHECK_EQ(b.calls, 0);
  drain(&b);
  CHECK_EQ(b.calls, 3);
  CHECK_EQ(atomic_load(&previous), 0);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&previous), 1);
  fixture_close(&g);
  close_working();
}

/* --- Called in callbacks -------------------------------------------------- */

static void in_its_own_callback_it_is_told_the_rest_before_the_return(void) {
  open_one();
  raise_times(SIGUSR1, 3);
  a.then = drain_in_callback;
  run_until(&f.loop, &a.calls, 3);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  close_told(3, 0);
}

static void drain_b(struct recorder* r) {
  r->then = NULL;
  drain(&b);
  /* Of the signal that this callback is told of, too. */
  CHECK_EQ(b.calls, 3);
}

static void in_an_earlier_watchers_callback_it_is_told_of_that_signal_too(
    void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 3);
  a.then = drain_b;
  run_until(&f.loop, &a.calls, 3);
  CHECK_EQ(b.calls, 3);
  CHECK_EQ(uvsig_watcher_is_active(&b.w), 0);
  check_books(&f.sig, SIGUSR1, 3, 0);
  drain(&a);
  close_working();
}

static void stop_it(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

static void drain_b_which_stops(struct recorder* r) {
  r->then = NULL;
  drain(&b);
  CHECK_EQ(a.calls, 1);
}

/* In the delivery that the drain finishes first. */
static void there_its_callback_may_stop_it_too(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 3);
  a.then = drain_b_which_stops;
  b.then = stop_it;
  run_until(&f.loop, &a.calls, 3);
  CHECK_EQ(b.calls, 1);
  check_books(&f.sig, SIGUSR1, 3, 0);
  drain(&a);
  close_working();
}

static void stop_a_and_drain_b(struct recorder* r) {
  r->then = NULL;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  drain(&b);
  CHECK_EQ(b.calls, 3);
  raise(SIGUSR1);
}

static void so_it_is_where_it_has_become_the_last_one(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 3);
  a.then = stop_a_and_drain_b;
  run_until(&f.loop, &b.calls, 3);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(atomic_load(&previous), 1);
  close_told(3, 0);
}

static void in_a_oneshots_callback_another_watcher_is_drained(void) {
  open_idle();
  recorder_start_oneshot(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 3);
  a.then = drain_b;
  run_until(&f.loop, &b.calls, 3);
  CHECK_EQ(a.calls, 1);
  close_told(3, 0);
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  (void) info;
  CHECK_EQ(status, 0);
  if (req->data != NULL)
    drain(req->data);
}

/* The wait, which has ended and is not gone yet, does not keep the signal. */
static void in_a_waits_callback_it_is_the_last_one(void) {
  sigset_t set = set_of(SIGUSR1);
  uvsig_wait_t req;

  open_one();
  req.data = &a;
  a.then = raise_once;
  CHECK_EQ(uvsig_wait_start(&f.sig, &req, &set, INFINITY, on_wait), 0);
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(atomic_load(&previous), 1);
  close_told(3, 0);
}

/* --- What callbacks may do ------------------------------------------------ */

static void a_callback_that_stops_it_ends_the_drain(void) {
  open_one();
  drain_a_with(3, stop_it);
  CHECK_EQ(a.calls, 1);
  close_told(1, 2);
}

static void free_it(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
  free(r);
}

static void drain_one_that_frees_itself(void) {
  struct recorder* heap = malloc(sizeof(*heap));

  CHECK(heap != NULL);
  recorder_init(heap, &f.sig);
  recorder_start(heap, SIGUSR1);
  heap->then = free_it;
  raise_times(SIGUSR1, 3);
  drain(heap);
}

static void a_callback_may_free_it(void) {
  open_idle();
  drain_one_that_frees_itself();
  close_told(1, 2);
}

static void so_it_may_beside_other_watchers(void) {
  open_one();
  drain_one_that_frees_itself();
  CHECK_EQ(a.calls, 3);
  drain(&a);
  CHECK_EQ(a.calls, 3);
  close_told(3, 0);
}

/* Its memory is that of another watcher at once. */
static void make_it_new(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
  recorder_init(r, &f.sig);
  recorder_start(r, SIGUSR1);
}

static void a_watcher_started_at_the_same_address_is_another_one(void) {
  open_one();
  drain_a_with(3, make_it_new);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  check_books(&f.sig, SIGUSR1, 1, 2);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  close_working();
}

static void so_it_is_beside_other_watchers(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  drain_a_with(3, make_it_new);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(b.calls, 3);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(b.calls, 5);
  fixture_close(&f);
}

static void make_it_a_new_oneshot(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
  recorder_init(r, &f.sig);
  recorder_start_oneshot(r, SIGUSR1);
}

/* A drain of a one-shot has one callback for all. */
static void that_one_may_be_a_oneshot_and_others_are_told_one_by_one(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  drain_a_with(3, make_it_a_new_oneshot);
  CHECK_EQ(b.calls, 3);
  CHECK_EQ(b.largest, 1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void start_on_usr2(struct recorder* r) {
  recorder_start(r, SIGUSR2);
}

static void a_callback_that_has_it_watch_another_signal_ends_the_drain(void) {
  open_one();
  drain_a_with(3, start_on_usr2);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(a.w.signum, SIGUSR2);
  a.then = NULL;
  raise(SIGUSR2);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  close_working();
}

static void start_same(struct recorder* r) {
  recorder_start(r, SIGUSR1);
}

static void a_start_for_the_same_signal_changes_the_callback_alone(void) {
  open_one();
  drain_a_with(3, start_same);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  close_working();
}

static void start_b_and_raise(struct recorder* r) {
  r->then = NULL;
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 2);
}

static void a_watcher_that_a_callback_starts_is_told_of_what_is_later(void) {
  open_one();
  drain_a_with(3, start_b_and_raise);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(b.calls, 0);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 3);
  CHECK_EQ(atomic_load(&previous), 0);
  check_books(&f.sig, SIGUSR1, 6, 0);
  drain(&b);
  close_working();
}

static void start_b_raise_and_flush(struct recorder* r) {
  r->then = NULL;
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 2);
  CHECK(uvsig_flush(&f.sig) > 0);
  CHECK_EQ(b.signals, 2);
}

static void so_it_is_where_the_callback_flushes(void) {
  open_one();
  drain_a_with(3, start_b_raise_and_flush);
  /* It was still started, and told of the two, too. */
  CHECK_EQ(a.signals, 5);
  CHECK_EQ(b.signals, 2);
  check_books(&f.sig, SIGUSR1, 5, 0);
  drain(&b);
  close_working();
}

static void start_and_stop_b(struct recorder* r) {
  r->then = NULL;
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 2);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
}

static void where_it_is_the_last_one_again_it_is_told_that_too(void) {
  open_one();
  drain_a_with(3, start_and_stop_b);
  CHECK_EQ(a.calls, 5);
  CHECK_EQ(b.calls, 0);
  check_books(&f.sig, SIGUSR1, 5, 0);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&previous), 1);
  close_working();
}

static void stop_b_and_raise(struct recorder* r) {
  r->then = NULL;
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  raise(SIGUSR1);
}

static void where_a_callback_makes_it_the_last_one_none_is_discarded(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  drain_a_with(2, stop_b_and_raise);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(b.calls, 0);
  check_books(&f.sig, SIGUSR1, 3, 0);
  raise(SIGUSR1);
  CHECK_EQ(atomic_load(&previous), 1);
  close_working();
}

static void start_b_and_stop_it(struct recorder* r) {
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

static void a_watcher_in_its_place_is_not_told_of_the_rest(void) {
  open_one();
  drain_a_with(3, start_b_and_stop_it);
  CHECK_EQ(a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 2);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(b.signals, 1);
  drain(&b);
  close_working();
}

static void drain_again(struct recorder* r) {
  if (r->calls > 2)
    return;
  drain(r);
  CHECK_EQ(r->calls, 5);
  CHECK_EQ(r->largest, 1);
  CHECK_EQ(uvsig_watcher_is_active(&r->w), 0);
}

static void a_drain_in_a_drain_tells_the_rest(void) {
  open_one();
  drain_a_with(5, drain_again);
  CHECK_EQ(a.calls, 5);
  close_told(5, 0);
}

static void drain_other(struct recorder* r) {
  struct recorder* other = r == &a ? &b : &a;

  drain(other);
  CHECK_EQ(uvsig_watcher_is_active(&other->w), 0);
}

static void two_watchers_drain_each_other(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 4);
  a.then = drain_other;
  b.then = drain_other;
  drain(&a);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(uvsig_watcher_is_active(&b.w), 0);
  close_told(4, 0);
}

static void flush_once(struct recorder* r) {
  r->then = NULL;
  CHECK_EQ(uvsig_flush(&f.sig), 2);
}

static void a_flush_in_a_drain_tells_the_rest_one_by_one(void) {
  open_one();
  drain_a_with(3, flush_once);
  CHECK_EQ(a.calls, 3);
  CHECK_EQ(a.largest, 1);
  close_told(3, 0);
}

static void pause_once(struct recorder* r) {
  r->then = NULL;
  CHECK_EQ(uvsig_pause(&f.sig), 2);
}

static void a_pause_in_a_drain_does_not_sleep(void) {
  open_one();
  drain_a_with(3, pause_once);
  CHECK_EQ(a.calls, 3);
  close_working();
}

static void close_sig(struct recorder* r) {
  (void) r;
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
}

static void a_callback_may_close_the_uvsig_t(void) {
  open_one();
  drain_a_with(3, close_sig);
  CHECK_EQ(a.calls, 1);
  CHECK(action_of(SIGUSR1).sa_handler == count_previous);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  drain(&a); /* stopped, and its uvsig_t gone */
  close_loop(&f.loop);
}

static uvsig_wait_t wait_req;

static void start_wait(struct recorder* r) {
  sigset_t set = set_of(SIGUSR1);

  r->then = NULL;
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait_req, &set, INFINITY, on_wait), 0);
}

static void a_wait_that_a_callback_starts_takes_one(void) {
  open_one();
  drain_a_with(4, start_wait);
  CHECK_EQ(a.calls, 3);
  close_told(4, 0);
}

static void start_wait_and_oneshot(struct recorder* r) {
  start_wait(r);
  recorder_start_oneshot(r, SIGUSR1);
}

static void so_it_does_from_a_oneshot_which_is_told_the_rest(void) {
  open_one();
  drain_a_with(5, start_wait_and_oneshot);
  CHECK_EQ(a.calls, 2);
  CHECK_EQ(a.signals, 4);
  close_told(5, 0);
}

/* --- Forks, threads, errors ----------------------------------------------- */

static pid_t forked = -1;

static void fork_once(struct recorder* r) {
  r->then = NULL;
  forked = fork();
  CHECK(forked >= 0);
}

/* For the end of either. */
static void check_fork(unsigned long calls) {
  int status;

  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  if (forked > 0) {
    CHECK_EQ(UNINTERRUPTED(waitpid(forked, &status, 0)), forked);
    CHECK(child_passed(status));
    CHECK_EQ(a.calls, calls);
  } else {
    CHECK_EQ(a.calls, 1);
    check_books(&f.sig, SIGUSR1, 0, 0);
    CHECK_EQ(uvsig_fork(&f.sig), 0);
  }
}

static void in_the_child_of_a_fork_in_a_callback_it_is_stopped(void) {
  open_one();
  drain_a_with(3, fork_once);
  check_fork(3);
  CHECK(action_of(SIGUSR1).sa_handler == count_previous);
  close_working();
}

static void so_it_is_beside_other_watchers_that_go_on_in_the_child(void) {
  open_one();
  recorder_start(&b, SIGUSR1);
  drain_a_with(3, fork_once);
  check_fork(3);
  b.calls = 0;
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  drain(&b);
  close_working();
}

static void drain_in_child(void) {
  drain(&a);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(action_of(SIGUSR1).sa_handler == count_previous);
  close_working();
}

static void in_a_child_of_fork_it_is_a_stop(void) {
  open_one();
  raise_times(SIGUSR1, 3);
  CHECK(child_passed(run_forked(drain_in_child)));
  drain(&a);
  CHECK_EQ(a.calls, 3);
  close_working();
}

static void* drain_elsewhere(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_watcher_drain(&a.w), UV_EPERM);
  CHECK_EQ(uvsig_watcher_drain(&b.w), 0); /* stopped */
  return NULL;
}

static void in_another_thread_it_is_refused_and_changes_nothing(void) {
  pthread_t thread;

  open_one();
  raise_times(SIGUSR1, 3);
  CHECK_EQ(pthread_create(&thread, NULL, drain_elsewhere, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 4);
  drain(&a);
  CHECK_EQ(uvsig_watcher_drain(NULL), UV_EINVAL);
  close_working();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(in_a_race_each_signal_is_told_or_has_the_previous_action),
      TEST(in_a_race_in_wake_only_mode_too),
      TEST(in_a_race_a_oneshot_too),
      TEST(in_a_race_with_chain_each_has_the_previous_action_once),
      TEST(in_a_race_of_two_watchers_the_last_one_is_told_the_rest),
      TEST(in_a_race_of_two_loops_the_last_one_is_told_the_rest),
      TEST(in_a_race_in_its_own_callback_too),
      TEST(what_is_pending_is_told_one_by_one_and_later_ones_are_not),
      TEST(where_nothing_is_pending_it_is_a_stop),
      TEST(each_is_told_with_its_sender_and_value),
      TEST(a_full_buffer_is_told_and_warned_of_once_and_others_wait),
      TEST(after_a_full_buffer_the_next_ones_are_told),
      TEST(in_wake_only_mode_one_callback_stands_for_all),
      TEST(in_wake_only_mode_another_signals_doorbell_is_not_lost),
      TEST(an_ignored_signal_is_ignored_again_before_the_first_callback),
      TEST(a_default_action_strikes_again_from_the_first_callback_on),
      TEST(a_shared_signal_is_not_swallowed_while_callbacks_run),
      TEST(a_shared_signal_is_libuvs_while_callbacks_run),
      TEST(a_chain_ends_before_the_callbacks_run),
      TEST(a_child_of_uv_spawn_is_noticed_after_a_drain_of_sigchld),
      TEST(a_mask_that_start_opened_is_closed_before_the_callbacks),
      TEST(with_keep_mask_what_is_blocked_has_the_previous_action),
      TEST(its_function_in_the_handler_is_not_called_from_the_callbacks_on),
      TEST(a_oneshot_is_told_once_of_all_and_is_stopped_then),
      TEST(a_oneshot_started_again_in_its_callback_stays_started),
      TEST(a_oneshot_is_told_what_later_watchers_are_not),
      TEST(other_watchers_are_told_with_it_and_go_on),
      TEST(another_loops_watchers_are_told_by_their_own),
      TEST(in_its_own_callback_it_is_told_the_rest_before_the_return),
      TEST(in_an_earlier_watchers_callback_it_is_told_of_that_signal_too),
      TEST(there_its_callback_may_stop_it_too),
      TEST(so_it_is_where_it_has_become_the_last_one),
      TEST(in_a_oneshots_callback_another_watcher_is_drained),
      TEST(in_a_waits_callback_it_is_the_last_one),
      TEST(a_callback_that_stops_it_ends_the_drain),
      TEST(a_callback_may_free_it),
      TEST(so_it_may_beside_other_watchers),
      TEST(a_watcher_started_at_the_same_address_is_another_one),
      TEST(so_it_is_beside_other_watchers),
      TEST(that_one_may_be_a_oneshot_and_others_are_told_one_by_one),
      TEST(a_callback_that_has_it_watch_another_signal_ends_the_drain),
      TEST(a_start_for_the_same_signal_changes_the_callback_alone),
      TEST(a_watcher_that_a_callback_starts_is_told_of_what_is_later),
      TEST(so_it_is_where_the_callback_flushes),
      TEST(where_it_is_the_last_one_again_it_is_told_that_too),
      TEST(where_a_callback_makes_it_the_last_one_none_is_discarded),
      TEST(a_watcher_in_its_place_is_not_told_of_the_rest),
      TEST(a_drain_in_a_drain_tells_the_rest),
      TEST(two_watchers_drain_each_other),
      TEST(a_flush_in_a_drain_tells_the_rest_one_by_one),
      TEST(a_pause_in_a_drain_does_not_sleep),
      TEST(a_callback_may_close_the_uvsig_t),
      TEST(a_wait_that_a_callback_starts_takes_one),
      TEST(so_it_does_from_a_oneshot_which_is_told_the_rest),
      TEST(in_the_child_of_a_fork_in_a_callback_it_is_stopped),
      TEST(so_it_is_beside_other_watchers_that_go_on_in_the_child),
      TEST(in_a_child_of_fork_it_is_a_stop),
      TEST(in_another_thread_it_is_refused_and_changes_nothing),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
