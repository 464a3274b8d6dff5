/* SPDX-License-Identifier: MIT
 *
 * The limits of time: when a phase ends, at the latest, and when the process
 * does. Runs in the loop thread.
 */

#include "coordinator.h"

#include <limits.h>

/* How much later than the loop's own timer the watchdog strikes. More where
 * `hard_ms` is short: on a busy machine the loop must be able to end first. */
static unsigned slack_ms(const uvsig_shutdown_options_t* options) {
  enum { SLACK_MS = 100 };

  return options->hard_ms < SLACK_MS ? 2 * SLACK_MS - options->hard_ms
                                     : SLACK_MS;
}

static unsigned add_ms(unsigned a, uint64_t b) {
  return a + b < UINT32_MAX ? (unsigned) (a + b) : UINT32_MAX;
}

/* How long all of it may take. The signal handler reads it. */
static void set_total(struct uvsig__coordinator* c) {
  atomic_store(&c->escalation.total_ms,
               add_ms(c->escalation.hard_ms,
                      (uint64_t) c->options.delay_ms + c->options.grace_ms));
}

/* Before the first signal can come. */
void uvsig__limits_init(struct uvsig__coordinator* c) {
  uvsig_shutdown_options_t* options = &c->options;

  if (options->total_ms != 0)
    options->grace_ms =
        options->total_ms - options->delay_ms - options->hard_ms;
  c->escalation.hard_ms = add_ms(options->hard_ms, slack_ms(options));
  set_total(c);
}

/* The limit is the end of this phase, and what the following ones may take. */
void uvsig__limit_set(struct uvsig__coordinator* c) {
  int phase = atomic_load(&c->phase);
  uint64_t ms = slack_ms(&c->options);

  if (phase < UVSIG_SHUTDOWN_DRAINING)
    ms += c->options.grace_ms;
  if (phase < UVSIG_SHUTDOWN_FORCING)
    ms += c->options.hard_ms;
  c->limit = c->until + ms * UVSIG__MS;
  uvsig__watchdog_set(c,
                      phase >= UVSIG_SHUTDOWN_FORCING
                          ? UVSIG_SHUTDOWN_FORCED
                          : UVSIG_SHUTDOWN_GRACEFUL);
  uvsig__notify_extend(c, c->limit);
}

/* A process that was stopped in the middle (SIGSTOP) has `hard_ms` again, once
 * it goes on, to finish what it could not meanwhile. */
void uvsig__limit_make_up_for_stop(struct uvsig__coordinator* c) {
  int phase = atomic_load(&c->phase);
  uint64_t until = uvsig__watchdog_resumed_at(c);

  /* Nothing is to be seen of it after CLOSING: the watchdog is gone. */
  if (until == 0 || phase < UVSIG_SHUTDOWN_DRAINING)
    return;
  until += c->options.hard_ms * UVSIG__MS;
  if (c->until >= until)
    return;
  c->until = until;
  uvsig__limit_set(c);
}

int uvsig_shutdown_extend(uvsig_shutdown_t* sd, unsigned ms) {
  struct uvsig__coordinator* c;
  uint64_t now = uvsig__now();
  uint64_t left;
  int phase;
  int err;

  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  phase = atomic_load(&c->phase);
  if (phase > UVSIG_SHUTDOWN_DRAINING ||
      atomic_load(&c->escalation.level) >= UVSIG_SHUTDOWN_FORCED)
    return UV_ECANCELED;
  if (phase == UVSIG_SHUTDOWN_DRAINING) {
    left = c->until > now ? (c->until - now) / UVSIG__MS : 0;
    if (left + ms > UINT_MAX)
      return UV_EINVAL;
    c->until += ms * UVSIG__MS;
    uvsig__look_again(c);
  } else {
    if (ms > UINT_MAX - c->options.grace_ms)
      return UV_EINVAL;
    c->options.grace_ms += ms;
    set_total(c);
  }
  if (phase != UVSIG_SHUTDOWN_RUNNING)
    uvsig__limit_set(c);
  return 0;
}
