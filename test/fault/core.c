/* SPDX-License-Identifier: MIT
 *
 * Scenarios: watchers, by each of the ways that signals get to a loop.
 */

#include "scenario.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct recorder a;
static struct recorder b;
static struct recorder c;

#define START_CALLS                                                            \
 "+ calloc sigaction uv_poll_init uv_signal_init uv_signal_start"

/* Without a turn of the loop. */
static void flush_one(struct recorder* r) {
  unsigned long expected = r->signals + 1;

  CHECK_EQ(raise(r->w.signum), 0);
  uvsig_flush(&s.sig);
  CHECK_EQ(r->signals, expected);
}

/* Signals with three things before them: the default action, a handler, and
 * being ignored. */
static void watch_signals(const uvsig_options_t* options) {
  init_signals(options);
  start_recorder(&a, SIGUSR1, 0);
  start_recorder(&b, SIGUSR2, 0);
  start_recorder(&c, SIGRTMIN, 0);
  tell(&a, 1);
  tell(&b, 1);
  tell(&c, 3);
  tell_two(&c);
  flush_one(&a);
  CHECK_EQ(foreign_calls, 0);

  /* Another callback, another signal, once. */
  TRY(START_CALLS, uvsig_watcher_start(&a.w, record, SIGUSR1));
  TRY(START_CALLS, uvsig_watcher_start(&a.w, record, SIGWINCH));
  tell(&a, 1);
  TRY(START_CALLS, uvsig_watcher_start_oneshot(&a.w, record, SIGUSR1));
  tell(&a, 1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  TRY(START_CALLS, uvsig_watcher_start(&a.w, record, SIGUSR1));
  tell_at_last(&a);
  tell_at_last(&b);
  tell_at_last(&c);
  TRY("", uvsig_watcher_stop(&b.w));
  CHECK_EQ(raise(SIGUSR2), 0);
  CHECK_EQ(foreign_calls, 1);
  TRY("", uvsig_watcher_drain(&c.w));
  close_signals();
  CHECK_EQ(raise(SIGUSR2), 0);
  CHECK_EQ(foreign_calls, 2);
}

static void watch_by_a_pipe(void) {
  watch_signals(NULL);
}

static void watch_by_a_doorbell(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  options.buffer_size = 4096;
  watch_signals(&options);
}

static void watch_by_a_socketpair(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
  options.buffer_size = 4096;
  watch_signals(&options);
}

static void watch_by_a_signalfd(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  watch_signals(&options);
}

/* --- What was read and is not told ---------------------------------------- */

static void stop_in_callback(struct recorder* r) {
  r->then = NULL;
  TRY("", uvsig_watcher_stop(&r->w));
}

/* The previous action has it; where there is no room to give it back to the
 * kernel, it is counted as discarded. */
static void give_back(void) {
  uvsig_options_t options;
  uvsig_stats_t stats;
  int i;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  init_signals(&options);
  start_recorder(&a, SIGRTMIN + 1, 0);
  start_recorder(&b, SIGUSR1, 0);
  a.then = stop_in_callback;
  for (i = 0; i < 3; i++)
    CHECK_EQ(raise(SIGRTMIN + 1), 0);
  for (i = 0; i < 5; i++)
    uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.signals, 1);
  uvsig_stats(&s.sig, SIGRTMIN + 1, &stats);
  CHECK_EQ(foreign_calls + stats.discarded, 2);
  if (!has_failed("syscall_rt_tgsigqueueinfo read signalfd_change"))
    CHECK_EQ(foreign_calls, 2);
  tell_at_last(&b);
  close_signals();
  foreign_calls = 0;
  CHECK_EQ(raise(SIGRTMIN + 1), 0);
  CHECK_EQ(foreign_calls, 1);
}

const struct scenario core_scenarios[] = {{"pipe", watch_by_a_pipe},
                                          {"doorbell", watch_by_a_doorbell},
                                          {"socketpair", watch_by_a_socketpair},
                                          {"signalfd", watch_by_a_signalfd},
                                          {"given back", give_back},
                                          {NULL, NULL}};
