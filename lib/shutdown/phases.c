/* SPDX-License-Identifier: MIT
 *
 * The conductor of a shutdown: from a signal to the end, phase by phase. It
 * looks at everything whenever something has changed, and calls the other files
 * of this directory, which do not call it: coordinator.c has a pointer. Runs in
 * the loop thread.
 */

#include "coordinator.h"
#include "report.h"
#include "successor.h"
#include "upgrade.h"

/* --- Phases --------------------------------------------------------------- */

/* Under the lock: hold.c, on any thread, reads the phase under it. */
static void set_phase(struct uvsig__coordinator* c, int phase) {
  atomic_store(&c->phase, phase);
  c->phase_at[phase] = uvsig__now();
}

/* The phase has been set: it ends at `until`, at the latest. */
static void begin_phase(struct uvsig__coordinator* c, uint64_t until) {
  c->until = until;
  uvsig__limit_set(c);
  if (c->options.phase_cb != NULL)
    c->options.phase_cb(c->sd, (uvsig_shutdown_phase_t) atomic_load(&c->phase));
}

static void enter_phase(struct uvsig__coordinator* c,
                        uvsig_shutdown_phase_t phase,
                        unsigned ms) {
  uvsig__lock();
  set_phase(c, phase);
  uvsig__unlock();
  begin_phase(c, c->phase_at[phase] + ms * UVSIG__MS);
}

/* Late ones have their signal when the connections are over. */
static void notify_children(struct uvsig__coordinator* c) {
  if (uvsig__is_in(c, UVSIG_SHUTDOWN_FORCING))
    uvsig__children_notify(c, UVSIG__CHILD_KILL);
  else if (uvsig__is_in(c, UVSIG_SHUTDOWN_DRAINING))
    uvsig__children_notify(c,
                           c->listeners_closed && c->connections.open == 0
                               ? UVSIG__CHILD_STOP
                               : UVSIG__CHILD_STOP_EARLY);
}

/* Where a callback calls uvsig_shutdown_close(), nothing is registered any more,
 * and what follows has nothing to do. */
static void begin_forcing(struct uvsig__coordinator* c) {
  enter_phase(c, UVSIG_SHUTDOWN_FORCING, c->options.hard_ms);
  notify_children(c);
  uvsig__listeners_close(c);
  uvsig__linger_force(c);
  uvsig__connections_force(c);
}

/* The same holds. */
static void begin_draining(struct uvsig__coordinator* c) {
  enter_phase(c, UVSIG_SHUTDOWN_DRAINING, c->options.grace_ms);
  notify_children(c);
  if (!uvsig__listeners_need_turn(c))
    uvsig__listeners_close(c);
  uvsig__connections_drain(c);
  uvsig__look_again(c);
}

/* --- The end -------------------------------------------------------------- */

/* Returns whether all has ended, or, where it is late, is left as it is; then
 * the next phase is set. The lock decides between the last look at the holds
 * and a new hold: either the new one is seen here, or it is refused. */
static bool is_complete(struct uvsig__coordinator* c, bool is_late) {
  bool is_so;

  if (!is_late &&
      (!c->listeners_closed || c->connections.open > 0 || c->children != NULL))
    return false;
  uvsig__lock();
  is_so = is_late || c->holds == NULL;
  if (is_so)
    set_phase(
        c, c->closers != NULL ? UVSIG_SHUTDOWN_CLOSING : UVSIG_SHUTDOWN_DONE);
  uvsig__unlock();
  return is_so;
}

/* Closers have `hard_ms`, or what forcing has left of it. */
static void begin_closing(struct uvsig__coordinator* c) {
  uint64_t until = c->until;

  if (c->phase_at[UVSIG_SHUTDOWN_FORCING] == 0)
    until =
        c->phase_at[UVSIG_SHUTDOWN_CLOSING] + c->options.hard_ms * UVSIG__MS;
  begin_phase(c, until);
}

/* The end of draining or forcing. Returns whether another phase has begun. */
static bool finish_if_complete(struct uvsig__coordinator* c, bool is_late) {
  if (!is_complete(c, is_late))
    return false;
  if (uvsig__is_in(c, UVSIG_SHUTDOWN_CLOSING))
    begin_closing(c);
  else
    uvsig__finish(c);
  return uvsig__is_in(c, UVSIG_SHUTDOWN_CLOSING);
}

static void run_closers(struct uvsig__coordinator* c) {
  if (!uvsig__closers_run(c, uvsig__now() >= c->until) ||
      !uvsig__is_in(c, UVSIG_SHUTDOWN_CLOSING))
    return;
  uvsig__lock();
  set_phase(c, UVSIG_SHUTDOWN_DONE);
  uvsig__unlock();
  uvsig__finish(c);
}

/* --- Looking at everything ------------------------------------------------ */

/* Returns false where a callback has called uvsig_shutdown_close(). */
static bool begin_shutdown(struct uvsig__coordinator* c) {
  uvsig__report_begin(c);
  /* The reader of standard output may go with the signal, as in a terminal's
   * "server | tee". Or it is a file that is full. */
  uvsig__mute_until_end(c, SIGPIPE);
  uvsig__mute_until_end(c, SIGXFSZ);
  uvsig__successor_end(c); /* before the service manager hears of the end */
  if (!uvsig__is_in(c, UVSIG_SHUTDOWN_RUNNING))
    return false;
  uvsig__notify_stopping(c);
  return true;
}

/* Returns whether another phase has begun, which may end at once as well. */
static bool advance_phase(struct uvsig__coordinator* c) {
  unsigned level = atomic_load(&c->escalation.level);
  bool is_forced = level >= UVSIG_SHUTDOWN_FORCED;
  uint64_t now = uvsig__now();

  switch (atomic_load(&c->phase)) {
  case UVSIG_SHUTDOWN_RUNNING:
    if (level == UVSIG_SHUTDOWN_NONE || !begin_shutdown(c))
      return false;
    if (is_forced)
      begin_forcing(c);
    else
      enter_phase(c, UVSIG_SHUTDOWN_NOT_READY, c->options.delay_ms);
    return true;
  case UVSIG_SHUTDOWN_NOT_READY:
    if (is_forced)
      begin_forcing(c);
    else if (now >= c->until)
      begin_draining(c);
    else
      return false;
    return true;
  case UVSIG_SHUTDOWN_DRAINING:
    if (finish_if_complete(c, false))
      return true;
    if (!uvsig__is_in(c, UVSIG_SHUTDOWN_DRAINING))
      return false;
    if (!is_forced && now < c->until)
      return false;
    begin_forcing(c);
    return true;
  case UVSIG_SHUTDOWN_FORCING:
    return finish_if_complete(c, now >= c->until);
  case UVSIG_SHUTDOWN_CLOSING:
    run_closers(c);
    return false;
  default:
    return false;
  }
}

/* What may only happen when the loop has polled since the last time: events
 * that had come before are handled then. */
static void run_after_poll(struct uvsig__coordinator* c) {
  uvsig__upgrade_run(c);
  uvsig__reloads_run(c);
  if (!uvsig__is_in(c, UVSIG_SHUTDOWN_DRAINING))
    return;
  if (!c->listeners_closed) {
    if (uvsig__listeners_need_turn(c))
      uvsig__look_again(c);
    else
      uvsig__listeners_close(c);
  }
  if (uvsig__connections_after_poll(c))
    uvsig__look_again(c);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* Look again at `at`, or when the phase ends. */
static void set_next_look(struct uvsig__coordinator* c, uint64_t at) {
  int phase = atomic_load(&c->phase);

  if (phase > UVSIG_SHUTDOWN_CLOSING)
    return;
  if (phase != UVSIG_SHUTDOWN_RUNNING)
    at = earlier(at, c->until);
  uvsig__look_at(c, at);
}

/* In the child of a fork that goes on the watchdog has no thread yet, and the
 * processes that are registered are its parent's. */
static void go_on_in_child(struct uvsig__coordinator* c) {
  c->has_forked = false;
  uvsig__children_drop_inherited(c);
  if (!uvsig__is_in(c, UVSIG_SHUTDOWN_RUNNING))
    uvsig__limit_set(c);
}

void uvsig__look_at_everything(struct uvsig__coordinator* c, bool has_polled) {
  uint64_t next = c->connections.linger_at;

  if (c->has_forked)
    go_on_in_child(c);
  if (has_polled) {
    run_after_poll(c);
    next = uvsig__linger_check(c, uvsig__now());
  } else if (next <= uvsig__now()) {
    /* Not from a timer, which may come before what the sockets have is read:
     * libuv up to 1.44 runs timers before each poll, a later one before the
     * first poll of a uv_run(). */
    uvsig__look_again(c);
  }
  next = earlier(next, uvsig__successor_check(c));
  next = earlier(next, uvsig__connections_check(c, has_polled));
  notify_children(c);
  next = earlier(next, uvsig__children_check(c));
  uvsig__limit_make_up_for_stop(c);
  while (advance_phase(c))
    ;
  set_next_look(c, next);
}
