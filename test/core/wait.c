/* SPDX-License-Identifier: MIT
 *
 * Waiting on the loop: what a wait takes and what it leaves, its end by time,
 * by cancellation and by close, and that its callback is called exactly once.
 */

#include "../lib/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b;

/* A wait that remembers what it was told. */
struct waiter {
  uvsig_wait_t req;
  unsigned long calls;
  int status;
  int signum; /* 0 without info */
  void (*then)(struct waiter* waiter);
};

static struct waiter w, x, y;

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  struct waiter* waiter = req->data;

  CHECK_EQ(info == NULL, status != 0);
  waiter->calls++;
  waiter->status = status;
  waiter->signum = 0;
  if (info != NULL) {
    CHECK_EQ(info->count, 1);
    CHECK_EQ(info->flags, 0);
    CHECK_EQ(info->pid, getpid());
    waiter->signum = info->signum;
  }
  if (waiter->then != NULL)
    waiter->then(waiter);
}

static void start(struct waiter* waiter, int signum, double seconds) {
  sigset_t set = set_of(signum);

  waiter->req.data = waiter;
  CHECK_EQ(uvsig_wait_start(&f.sig, &waiter->req, &set, seconds, on_wait), 0);
}

static void check_taken(const struct waiter* waiter, int signum) {
  CHECK_EQ(waiter->calls, 1);
  CHECK_EQ(waiter->status, 0);
  CHECK_EQ(waiter->signum, signum);
}

static void check_ended(const struct waiter* waiter, int status) {
  CHECK_EQ(waiter->calls, 1);
  CHECK_EQ(waiter->status, status);
}

static void open_with_watcher(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
}

/* --- Taking --------------------------------------------------------------- */

static void a_wait_takes_the_next_signal_of_its_set(void) {
  sigset_t set = set_of(SIGUSR1);

  sigaddset(&set, SIGUSR2);
  fixture_open(&f, NULL);
  w.req.data = &w;
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &set, INFINITY, on_wait), 0);
  CHECK(w.req.sig == &f.sig);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_WATCHED);
  raise(SIGUSR2);
  /* Ends when the wait has: it was what kept the loop alive. */
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_taken(&w, SIGUSR2);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  check_books(&f.sig, 0, 1, 0);
  fixture_close(&f);
}

static void watchers_do_not_see_what_a_wait_takes(void) {
  open_with_watcher();
  start(&w, SIGUSR1, INFINITY);
  raise(SIGUSR1);
  run_until(&f.loop, &w.calls, 1);
  CHECK_EQ(a.calls, 0);
  /* The next one is theirs, and so is what the wait did not ask for. */
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  check_taken(&w, SIGUSR1);
  check_books(&f.sig, SIGUSR1, 2, 0);
  fixture_close(&f);
}

static void a_wait_that_starts_after_a_watcher_comes_first_all_the_same(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  start(&w, SIGUSR1, INFINITY);
  recorder_start(&a, SIGUSR1);
  start(&x, SIGUSR1, INFINITY);
  recorder_start(&b, SIGUSR1);
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &b.calls, 1);
  check_taken(&w, SIGUSR1);
  check_taken(&x, SIGUSR1);
  CHECK_EQ(a.calls, 1);
  fixture_close(&f);
}

static unsigned long order;

static void note_order(struct waiter* waiter) {
  waiter->status = (int) ++order;
}

static void waits_take_one_signal_each_in_the_order_of_their_starts(void) {
  fixture_open(&f, NULL);
  w.then = x.then = y.then = note_order;
  start(&w, SIGUSR1, INFINITY);
  start(&x, SIGUSR1, INFINITY);
  start(&y, SIGUSR1, INFINITY);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &x.calls, 1);
  CHECK_EQ(w.status, 1);
  CHECK_EQ(x.status, 2);
  CHECK_EQ(y.calls, 0);
  raise(SIGUSR1);
  run_until(&f.loop, &y.calls, 1);
  CHECK_EQ(y.status, 3);
  check_books(&f.sig, SIGUSR1, 3, 0);
  fixture_close(&f);
}

/* In wake-only mode all of them are one count. */
static void of_a_count_each_wait_takes_one_and_watchers_have_the_rest(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  start(&w, SIGUSR1, INFINITY);
  start(&x, SIGUSR1, INFINITY);
  raise_times(SIGUSR1, 10);
  run_until(&f.loop, &a.calls, 1);
  check_taken(&w, SIGUSR1);
  check_taken(&x, SIGUSR1);
  CHECK_EQ(a.signals, 8);
  check_books(&f.sig, SIGUSR1, 10, 0);
  fixture_close(&f);
}

static void flush_in_wait(struct waiter* waiter) {
  (void) waiter;
  CHECK_EQ(uvsig_flush(&f.sig), 1);
}

static void what_a_count_has_left_is_found_by_a_flush_in_the_callback(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  w.then = flush_in_wait;
  start(&w, SIGUSR1, INFINITY);
  raise_times(SIGUSR1, 10);
  run_until(&f.loop, &w.calls, 1);
  CHECK_EQ(a.signals, 9);
  check_books(&f.sig, SIGUSR1, 10, 0);
  fixture_close(&f);
}

static void what_was_caught_before_and_not_delivered_is_taken(void) {
  open_with_watcher();
  raise_times(SIGUSR1, 2);
  start(&w, SIGUSR1, INFINITY);
  run_until(&f.loop, &a.calls, 1);
  check_taken(&w, SIGUSR1);
  check_books(&f.sig, SIGUSR1, 2, 0);
  fixture_close(&f);
}

static void restart(struct waiter* waiter) {
  if (waiter->calls < 5)
    start(waiter, SIGUSR1, INFINITY);
}

/* Nobody else watches: what comes while the callback runs must not go to the
 * default action, and what is in the pipe must not be discarded. */
static void a_wait_that_its_callback_starts_again_misses_nothing(void) {
  fixture_open(&f, NULL);
  w.then = restart;
  start(&w, SIGUSR1, INFINITY);
  raise_times(SIGUSR1, 5);
  run_until(&f.loop, &w.calls, 5);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  check_books(&f.sig, SIGUSR1, 5, 0);
  fixture_close(&f);
}

static void raise_in_wait(struct waiter* waiter) {
  (void) waiter;
  raise(SIGUSR1);
}

static void the_disposition_is_given_back_after_the_callback(void) {
  fixture_open(&f, NULL);
  w.then = raise_in_wait; /* by default it would end this process */
  start(&w, SIGUSR1, INFINITY);
  raise(SIGUSR1);
  run_until(&f.loop, &w.calls, 1);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(w.calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  /* Nobody was there for the second one. */
  check_books(&f.sig, SIGUSR1, 1, 1);
  fixture_close(&f);
}

static void each_uvsig_has_the_signal_for_itself(void) {
  sigset_t set = set_of(SIGUSR1);

  open_with_watcher();
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  start(&w, SIGUSR1, INFINITY);
  x.req.data = &x;
  CHECK_EQ(uvsig_wait_start(&g.sig, &x.req, &set, INFINITY, on_wait), 0);
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.calls, 1);
  run_until(&g.loop, &b.calls, 1);
  check_taken(&w, SIGUSR1);
  check_taken(&x, SIGUSR1);
  fixture_close(&f);
  fixture_close(&g);
}

static void a_wait_unblocks_its_signals_and_blocks_them_again(void) {
  sigset_t set = set_of(SIGUSR1);
  sigset_t mask;

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR1);
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, INFINITY);
  run_until(&f.loop, &w.calls, 1);
  check_taken(&w, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
  CHECK_EQ(sigismember(&mask, SIGUSR1), 1);
  fixture_close(&f);
}

static void free_req(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  unsigned long* calls = req->data;

  (void) info;
  CHECK_EQ(status, 0);
  ++*calls;
  free(req);
}

static void the_callback_may_free_the_request(void) {
  uvsig_wait_t* req = malloc(sizeof(*req));
  sigset_t set = set_of(SIGUSR1);
  unsigned long calls = 0;

  CHECK(req != NULL);
  memset(req, 0x5a, sizeof(*req)); /* nothing has to be 0 */
  fixture_open(&f, NULL);
  req->data = &calls;
  CHECK_EQ(uvsig_wait_start(&f.sig, req, &set, INFINITY, free_req), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &calls, 1);
  fixture_close(&f);
}

static void flush_runs_the_callback_of_a_wait(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, INFINITY);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  check_taken(&w, SIGUSR1);
  fixture_close(&f);
}

/* --- Time ----------------------------------------------------------------- */

static void a_wait_times_out_and_gives_everything_back(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, 0.01);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_ended(&w, UV_ETIMEDOUT);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void a_wait_with_a_limit_is_never_early(void) {
  uint64_t begin;

  fixture_open(&f, NULL);
  uv_update_time(&f.loop);
  /* The loop's idea of now is older than the wait. */
  let_pass(20);
  begin = uv_hrtime();
  start(&w, SIGUSR1, 0.0305);
  run_until(&f.loop, &w.calls, 1);
  CHECK(uv_hrtime() - begin >= 30500 * 1000);
  check_ended(&w, UV_ETIMEDOUT);
  fixture_close(&f);
}

/* So that the last to start is over first, and each next one later by what is
 * returned, in milliseconds. Where the machine has been elsewhere in between,
 * they may be over in the order of their starts: then again, further apart. */
static unsigned start_in_disorder(void) {
  unsigned apart = 20;
  uint64_t begin;

  for (;; apart *= 2) {
    begin = uv_hrtime();
    start(&w, SIGUSR1, 3 * apart / 1e3);
    start(&y, SIGUSR2, 2 * apart / 1e3);
    start(&x, 0, apart / 1e3);
    if (uv_hrtime() - begin < (uint64_t) apart * 1000 * 1000)
      break;
    CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  }
  order = 0;
  return apart;
}

static void check_order(bool is_late) {
  unsigned apart;

  fixture_open(&f, NULL);
  w.then = x.then = y.then = note_order;
  apart = start_in_disorder();
  if (is_late)
    let_pass(3 * apart + 10);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(x.status, 1);
  CHECK_EQ(y.status, 2);
  CHECK_EQ(w.status, 3);
  fixture_close(&f);
}

static void the_first_to_end_comes_first_whoever_started_first(void) {
  check_order(false);
}

static void the_first_to_end_comes_first_however_late_the_loop_is(void) {
  check_order(true);
}

static void what_is_taken_in_time_does_not_time_out(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, 0.02);
  start(&x, SIGUSR2, 0.02);
  raise(SIGUSR1);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_taken(&w, SIGUSR1);
  check_ended(&x, UV_ETIMEDOUT);
  fixture_close(&f);
}

/* Nothing else keeps the loop alive, and the deadline is far away. */
static void the_deadline_of_a_wait_that_took_its_signal_holds_nobody_up(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, 1e9);
  start(&x, SIGUSR2, 1e8);
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_taken(&w, SIGUSR1);
  check_taken(&x, SIGUSR2);
  fixture_close(&f);
}

/* uv_run() begins with the timers, whichever the libuv: up to 1.44 they come
 * before each poll, later before the first one of UV_RUN_DEFAULT. */
static void what_was_caught_in_time_is_taken_however_late_the_loop_is(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, 0.01);
  raise(SIGUSR1);
  let_pass(30);
  uv_update_time(&f.loop);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_taken(&w, SIGUSR1);
  fixture_close(&f);
}

static void a_wait_of_0_takes_what_is_there_or_times_out(void) {
  open_with_watcher();
  raise(SIGUSR1);
  start(&w, SIGUSR1, 0);
  start(&x, SIGUSR2, 0);
  CHECK_EQ(w.calls + x.calls, 0); /* never inside of start */
  uvsig_watcher_unref(&a.w);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_taken(&w, SIGUSR1);
  check_ended(&x, UV_ETIMEDOUT);
  CHECK_EQ(a.calls, 0);
  fixture_close(&f);
}

static void an_empty_set_times_out(void) {
  fixture_open(&f, NULL);
  start(&w, 0, 0);
  start(&x, 0, 0.01);
  start(&y, 0, 1e9); /* the longest limit that is one */
  CHECK_EQ(uvsig_wait_cancel(&y.req), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_ended(&w, UV_ETIMEDOUT);
  check_ended(&x, UV_ETIMEDOUT);
  check_ended(&y, UV_ECANCELED);
  fixture_close(&f);
}

static unsigned long idled;

static void restart_with_0(struct waiter* waiter) {
  if (idled < 3)
    start(waiter, SIGUSR1, 0);
}

static void count_turn(uv_idle_t* idle) {
  if (++idled == 3)
    uv_close((uv_handle_t*) idle, NULL);
}

/* Also with a libuv whose timers that are due at once run in the same turn. */
static void waits_of_0_that_go_on_for_ever_let_the_loop_go_round(void) {
  uv_idle_t idle;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_idle_init(&f.loop, &idle), 0);
  CHECK_EQ(uv_idle_start(&idle, count_turn), 0);
  w.then = restart_with_0;
  start(&w, SIGUSR1, 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(idled, 3);
  fixture_close(&f);
}

static void restart_once_and_raise(struct waiter* waiter) {
  if (waiter->calls == 1) {
    raise(SIGUSR1);
    start(waiter, SIGUSR1, INFINITY);
  }
}

static void a_wait_that_is_started_again_after_its_time_misses_nothing(void) {
  fixture_open(&f, NULL);
  w.then = restart_once_and_raise;
  start(&w, SIGUSR1, 0.01);
  run_until(&f.loop, &w.calls, 2);
  CHECK_EQ(w.status, 0);
  CHECK_EQ(w.signum, SIGUSR1);
  fixture_close(&f);
}

/* --- Cancelling ----------------------------------------------------------- */

static void a_cancelled_wait_is_told_by_the_loop_and_takes_nothing(void) {
  open_with_watcher();
  start(&w, SIGUSR1, INFINITY);
  CHECK_EQ(uvsig_wait_cancel(&w.req), 0);
  CHECK_EQ(uvsig_wait_cancel(&w.req), UV_EALREADY);
  CHECK_EQ(w.calls, 0);
  raise(SIGUSR1);
  uvsig_watcher_unref(&a.w);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(a.calls, 1);
  check_ended(&w, UV_ECANCELED);
  CHECK_EQ(uvsig_wait_cancel(&w.req), UV_EINVAL);
  run_idle(&f.loop);
  check_ended(&w, UV_ECANCELED);
  fixture_close(&f);
}

static void cancel_gives_the_signals_back_at_once(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, INFINITY);
  start(&x, SIGUSR1, INFINITY);
  CHECK_EQ(uvsig_wait_cancel(&w.req), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK_EQ(uvsig_wait_cancel(&x.req), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_ended(&w, UV_ECANCELED);
  check_ended(&x, UV_ECANCELED);
  fixture_close(&f);
}

static void cancel_others(struct waiter* waiter) {
  (void) waiter;
  CHECK_EQ(uvsig_wait_cancel(&w.req), UV_EINVAL);
  CHECK_EQ(uvsig_wait_cancel(&x.req), 0);
}

static void a_callback_may_cancel_another_wait(void) {
  fixture_open(&f, NULL);
  w.then = cancel_others;
  start(&w, SIGUSR1, INFINITY);
  start(&x, SIGUSR1, 0.01);
  raise_times(SIGUSR1, 2);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_taken(&w, SIGUSR1);
  check_ended(&x, UV_ECANCELED);
  fixture_close(&f);
}

static void a_cancelled_wait_does_not_time_out_too(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, 0);
  CHECK_EQ(uvsig_wait_cancel(&w.req), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_ended(&w, UV_ECANCELED);
  fixture_close(&f);
}

/* --- Closing -------------------------------------------------------------- */

static void check_before_close(struct waiter* waiter) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(f.closed, 0);
  CHECK_EQ(uvsig_wait_start(&f.sig, &waiter->req, &set, 0, on_wait), UV_EINVAL);
}

static void close_cancels_waits_and_calls_them_before_its_own_callback(void) {
  fixture_open(&f, NULL);
  w.then = check_before_close;
  start(&w, SIGUSR1, INFINITY);
  start(&x, SIGUSR2, 0.01);
  start(&y, SIGUSR2, INFINITY);
  CHECK_EQ(uvsig_wait_cancel(&y.req), 0);
  raise(SIGUSR1);
  fixture_close(&f);
  check_ended(&w, UV_ECANCELED);
  check_ended(&x, UV_ECANCELED);
  check_ended(&y, UV_ECANCELED);
}

static void close_in_wait(struct waiter* waiter) {
  (void) waiter;
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
}

static void check_close_in_a_callback(double seconds, int status) {
  fixture_open(&f, NULL);
  w.then = close_in_wait;
  start(&w, SIGUSR1, seconds);
  start(&x, SIGUSR1, INFINITY);
  if (status == 0)
    raise_times(SIGUSR1, 2);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  check_ended(&w, status);
  check_ended(&x, UV_ECANCELED);
  close_loop(&f.loop);
}

static void a_callback_that_took_a_signal_may_close(void) {
  check_close_in_a_callback(INFINITY, 0);
}

static void a_callback_that_timed_out_may_close(void) {
  check_close_in_a_callback(0, UV_ETIMEDOUT);
}

static void close_handle(uv_handle_t* handle, void* argument) {
  (void) argument;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

static void a_wait_survives_a_walk_that_closes_every_handle(void) {
  fixture_open(&f, NULL);
  start(&w, SIGUSR1, 0.01);
  uv_walk(&f.loop, close_handle, NULL);
  CHECK_EQ(uvsig_wait_cancel(&w.req), 0);
  fixture_close(&f);
  check_ended(&w, UV_ECANCELED);
}

/* --- Bad input ------------------------------------------------------------ */

static void bad_arguments_of_wait_start_are_refused(void) {
  static const double bad[] = {-1, -1e-9, -INFINITY, NAN};
  sigset_t set = set_of(SIGUSR1);
  sigset_t empty = set_of(0);
  sigset_t uncatchable = set_of(SIGKILL);
  uvsig_t unset;
  struct waiter before;
  size_t i;

  memset(&unset, 0, sizeof(unset));
  memset(&w, 0x5a, sizeof(w));
  before = w;
  sigaddset(&uncatchable, SIGSTOP);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_wait_start(NULL, &w.req, &set, 0, on_wait), UV_EINVAL);
  CHECK_EQ(uvsig_wait_start(&unset, &w.req, &set, 0, on_wait), UV_EINVAL);
  CHECK_EQ(uvsig_wait_start(&f.sig, NULL, &set, 0, on_wait), UV_EINVAL);
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, NULL, 0, on_wait), UV_EINVAL);
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &set, 0, NULL), UV_EINVAL);
  for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &set, bad[i], on_wait),
             UV_EINVAL);
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &empty, INFINITY, on_wait),
           UV_EINVAL);
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &uncatchable, INFINITY, on_wait),
           UV_EINVAL);
  /* What is longer than 31 years has no limit. */
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &empty, 1e9 + 1, on_wait),
           UV_EINVAL);
  CHECK_EQ(memcmp(&w, &before, sizeof(w)), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
}

static void a_request_that_waits_is_busy(void) {
  sigset_t set = set_of(SIGUSR2);

  fixture_open(&f, NULL);
  start(&w, SIGUSR1, INFINITY);
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &set, 0, on_wait), UV_EBUSY);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  raise(SIGUSR1);
  run_until(&f.loop, &w.calls, 1);
  check_taken(&w, SIGUSR1);
  fixture_close(&f);
}

static void bad_arguments_of_wait_cancel_are_refused(void) {
  uvsig_wait_t unset;

  memset(&unset, 0, sizeof(unset));
  CHECK_EQ(uvsig_wait_cancel(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_wait_cancel(&unset), UV_EINVAL);
}

/* What is no signal, or cannot be caught, is passed over. */
static void a_full_set_waits_for_all_that_can_be_caught(void) {
  sigset_t set;
  sigset_t valid;
  int signum;

  skip_under_valgrind("it keeps SIGRTMAX for itself");
  memset(&set, 0xff, sizeof(set));
  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  fixture_open(&f, NULL);
  w.req.data = &w;
  CHECK_EQ(uvsig_wait_start(&f.sig, &w.req, &set, INFINITY, on_wait), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&valid, signum) == 1)
      CHECK_EQ(uvsig_getsignal(signum),
               signum == SIGKILL || signum == SIGSTOP ? UVSIG_DEFAULT
                                                      : UVSIG_WATCHED);
  raise(SIGRTMAX);
  run_until(&f.loop, &w.calls, 1);
  check_taken(&w, SIGRTMAX);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&valid, signum) == 1)
      CHECK_EQ(uvsig_getsignal(signum), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void use_from_other_thread(void* argument) {
  sigset_t set = set_of(SIGUSR1);

  (void) argument;
  CHECK_EQ(uvsig_wait_start(&f.sig, &x.req, &set, 0, on_wait), UV_EPERM);
  CHECK_EQ(uvsig_wait_cancel(&w.req), UV_EPERM);
}

static void other_threads_are_refused(void) {
  uv_thread_t thread;

  fixture_open(&f, NULL);
  start(&w, SIGUSR1, INFINITY);
  CHECK_EQ(uv_thread_create(&thread, use_from_other_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &w.calls, 1);
  check_taken(&w, SIGUSR1);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_wait_takes_the_next_signal_of_its_set),
      TEST(watchers_do_not_see_what_a_wait_takes),
      TEST(a_wait_that_starts_after_a_watcher_comes_first_all_the_same),
      TEST(waits_take_one_signal_each_in_the_order_of_their_starts),
      TEST(of_a_count_each_wait_takes_one_and_watchers_have_the_rest),
      TEST(what_a_count_has_left_is_found_by_a_flush_in_the_callback),
      TEST(what_was_caught_before_and_not_delivered_is_taken),
      TEST(a_wait_that_its_callback_starts_again_misses_nothing),
      TEST(the_disposition_is_given_back_after_the_callback),
      TEST(each_uvsig_has_the_signal_for_itself),
      TEST(a_wait_unblocks_its_signals_and_blocks_them_again),
      TEST(the_callback_may_free_the_request),
      TEST(flush_runs_the_callback_of_a_wait),
      TEST(a_wait_times_out_and_gives_everything_back),
      TEST(a_wait_with_a_limit_is_never_early),
      TEST(the_first_to_end_comes_first_whoever_started_first),
      TEST(the_first_to_end_comes_first_however_late_the_loop_is),
      TEST(what_is_taken_in_time_does_not_time_out),
      TEST(the_deadline_of_a_wait_that_took_its_signal_holds_nobody_up),
      TEST(what_was_caught_in_time_is_taken_however_late_the_loop_is),
      TEST(a_wait_of_0_takes_what_is_there_or_times_out),
      TEST(an_empty_set_times_out),
      TEST(waits_of_0_that_go_on_for_ever_let_the_loop_go_round),
      TEST(a_wait_that_is_started_again_after_its_time_misses_nothing),
      TEST(a_cancelled_wait_is_told_by_the_loop_and_takes_nothing),
      TEST(cancel_gives_the_signals_back_at_once),
      TEST(a_callback_may_cancel_another_wait),
      TEST(a_cancelled_wait_does_not_time_out_too),
      TEST(close_cancels_waits_and_calls_them_before_its_own_callback),
      TEST(a_callback_that_took_a_signal_may_close),
      TEST(a_callback_that_timed_out_may_close),
      TEST(a_wait_survives_a_walk_that_closes_every_handle),
      TEST(bad_arguments_of_wait_start_are_refused),
      TEST(a_request_that_waits_is_busy),
      TEST(bad_arguments_of_wait_cancel_are_refused),
      TEST(a_full_set_waits_for_all_that_can_be_caught),
      TEST(other_threads_are_refused),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
