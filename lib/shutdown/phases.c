/* SPDX-License-Identifier: MIT
 *
 * The conductor of a shutdown: from a signal to the end, phase by phase. It
 * looks at everything whenever something has changed, and calls the other files
 * of this directory, which do not call it. Runs in the loop thread.
 */

#include "../disposition.h"
#include "../source.h"
#include "coordinator.h"
#include "report.h"
#include "upgrade.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>

/* --- Phases --------------------------------------------------------------- */

static bool is_in(const struct uvsig__coordinator* c,
                  uvsig_shutdown_phase_t phase) {
  return atomic_load(&c->phase) == (int) phase;
}

/* The limit is the end of this phase, and what the following ones may take. */
static void set_limit(struct uvsig__coordinator* c) {
  int phase = atomic_load(&c->phase);
  uint64_t ms = uvsig__slack_ms(&c->options);
  uint64_t limit;

  if (phase < UVSIG_SHUTDOWN_DRAINING)
    ms += c->options.grace_ms;
  if (phase < UVSIG_SHUTDOWN_FORCING)
    ms += c->options.hard_ms;
  limit = c->until + ms * UVSIG__MS;
  c->limit = limit;
  uvsig__watchdog_set(c,
                      limit,
                      phase >= UVSIG_SHUTDOWN_FORCING
                          ? UVSIG_SHUTDOWN_FORCED
                          : UVSIG_SHUTDOWN_GRACEFUL);
  uvsig__notify_extend(c, limit);
}

/* Under the lock: hold.c, on any thread, reads the phase under it. */
static void set_phase(struct uvsig__coordinator* c, int phase) {
  atomic_store(&c->phase, phase);
  c->phase_at[phase] = uvsig__now();
}

/* The phase has been set: it ends at `until`, at the latest. */
static void begin_phase(struct uvsig__coordinator* c, uint64_t until) {
  c->until = until;
  set_limit(c);
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
  if (is_in(c, UVSIG_SHUTDOWN_FORCING))
    uvsig__children_notify(c, UVSIG__CHILD_KILL);
  else if (is_in(c, UVSIG_SHUTDOWN_DRAINING))
    uvsig__children_notify(c,
                           c->listeners_closed && c->connections.open == 0
                               ? UVSIG__CHILD_STOP
                               : UVSIG__CHILD_STOP_EARLY);
}

static void begin_forcing(struct uvsig__coordinator* c) {
  enter_phase(c, UVSIG_SHUTDOWN_FORCING, c->options.hard_ms);
  if (!is_in(c, UVSIG_SHUTDOWN_FORCING))
    return; /* the callback has called uvsig_shutdown_close() */
  notify_children(c);
  uvsig__listeners_close(c);
  if (!is_in(c, UVSIG_SHUTDOWN_FORCING))
    return;
  uvsig__linger_force(c);
  uvsig__connections_force(c);
}

static void begin_draining(struct uvsig__coordinator* c) {
  enter_phase(c, UVSIG_SHUTDOWN_DRAINING, c->options.grace_ms);
  if (!is_in(c, UVSIG_SHUTDOWN_DRAINING))
    return; /* the callback has called uvsig_shutdown_close() */
  notify_children(c);
  if (!uvsig__listeners_need_turn(c))
    uvsig__listeners_close(c);
  if (is_in(c, UVSIG_SHUTDOWN_DRAINING))
    uvsig__connections_drain(c);
  uvsig__look_again(c);
}

/* --- The end -------------------------------------------------------------- */

static void stop_watchers(struct uvsig__coordinator* c) {
  unsigned i;

  for (i = 0; i < c->watcher_count; i++)
    uvsig_watcher_stop(&c->watchers[i]);
}

static void on_handles_closed(void* owner) {
  struct uvsig__coordinator* c = owner;
  uvsig_shutdown_t* sd = c->sd;
  uvsig_shutdown_close_cb close_cb = c->close_cb;
  bool is_given_up = false;

  if (is_in(c, UVSIG__CLOSED)) {
    uvsig__coordinator_free(c);
    if (close_cb != NULL)
      close_cb(sd);
    return;
  }
  c->is_over = true;
  uvsig__watchdog_set_over(c);
  if (c->options.phase_cb != NULL) {
    uvsig__report_count_left(c);
    c->is_given_up = &is_given_up;
    c->options.phase_cb(sd, UVSIG_SHUTDOWN_DONE);
    if (is_given_up)
      return;
    c->is_given_up = NULL;
  }
  uvsig__report_conclude(c);
  if (!c->options.keep_sig) {
    uvsig_close(sd->sig, NULL); /* fails where the callback has closed it */
    c->has_closed_sig = true;
  }
  /* Handles and requests that are left would keep uv_run() from returning. */
  if (uvsig__report_is_alive(c))
    uv_stop(c->loop);
}

static bool has_handle(const void* owner, const uv_handle_t* handle) {
  const struct uvsig__coordinator* c = owner;

  return uvsig__has(&c->component, handle);
}

/* Calls are refused already: the phase is DONE or CLOSED. */
static void close_everything(struct uvsig__coordinator* c) {
  stop_watchers(c);
  uvsig__upgrade_forget(c);
  uvsig__reloads_forget(c);
  uvsig__linger_close_all(c);
  uvsig__connections_forget(c);
  uvsig__children_forget(c);
  uvsig__holds_forget(c);
  uvsig__listeners_forget(c);
  uvsig__closers_forget(c);
  /* A request that came before the phase changed may still use the async. */
  while (atomic_load(&c->callers) != 0)
    sched_yield();
  uvsig__kernel_timer_delete(c);
  if (is_in(c, UVSIG_SHUTDOWN_DONE) && !uvsig__watchdog_is_running(c))
    uvsig__kernel_timer_kill(c);
  uvsig__detach(c->sd->sig, &c->component);
  /* Two turns: streams that were closed just now are then closed, too. */
  uvsig__closing_start(&c->closing, c->loop, 2);
  uvsig__looks_close(c);
  uvsig__notify_close(c);
}

static void finish(struct uvsig__coordinator* c) {
  c->sd->report.clean = c->phase_at[UVSIG_SHUTDOWN_FORCING] == 0 &&
                        c->sd->report.forced == 0 && c->sd->report.cut == 0 &&
                        c->sd->report.closers == 0;
  uvsig__report_end(c);
  uvsig__mute_late_signals(c);
  close_everything(c);
}

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
  if (is_in(c, UVSIG_SHUTDOWN_CLOSING))
    begin_closing(c);
  else
    finish(c);
  return is_in(c, UVSIG_SHUTDOWN_CLOSING);
}

static void run_closers(struct uvsig__coordinator* c) {
  if (!uvsig__closers_run(c, uvsig__now() >= c->until) ||
      !is_in(c, UVSIG_SHUTDOWN_CLOSING))
    return;
  uvsig__lock();
  set_phase(c, UVSIG_SHUTDOWN_DONE);
  uvsig__unlock();
  finish(c);
}

/* --- Looking at everything ------------------------------------------------ */

/* A process that was stopped in the middle (SIGSTOP) has `hard_ms` again, once
 * it goes on, to finish what it could not meanwhile. */
static void make_up_for_stop(struct uvsig__coordinator* c) {
  int phase = atomic_load(&c->phase);
  uint64_t until = uvsig__watchdog_resumed_at(c);

  if (until == 0 || phase < UVSIG_SHUTDOWN_DRAINING ||
      phase > UVSIG_SHUTDOWN_CLOSING)
    return;
  until += c->options.hard_ms * UVSIG__MS;
  if (c->until >= until)
    return;
  c->until = until;
  set_limit(c);
}

/* Returns whether another phase has begun, which may end at once as well. */
static bool advance_phase(struct uvsig__coordinator* c) {
  unsigned level = atomic_load(&c->escalation.level);
  bool is_forced = level >= UVSIG_SHUTDOWN_FORCED;
  uint64_t now = uvsig__now();

  switch (atomic_load(&c->phase)) {
  case UVSIG_SHUTDOWN_RUNNING:
    if (level == UVSIG_SHUTDOWN_NONE)
      return false;
    atomic_store(&c->is_ready, 0);
    uvsig__report_begin(c);
    /* The reader of standard output may go with the signal, as in a terminal's
     * "server | tee". Or it is a file that is full. */
    uvsig__mute_until_end(c, SIGPIPE);
    uvsig__mute_until_end(c, SIGXFSZ);
    uvsig__upgrade_end(c); /* before the service manager hears of the end */
    if (!is_in(c, UVSIG_SHUTDOWN_RUNNING))
      return false; /* its callback has called uvsig_shutdown_close() */
    uvsig__notify_stopping(c);
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
    if (!is_in(c, UVSIG_SHUTDOWN_DRAINING))
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
  if (!is_in(c, UVSIG_SHUTDOWN_DRAINING))
    return;
  if (!c->listeners_closed) {
    if (uvsig__listeners_need_turn(c))
      uvsig__look_again(c);
    else
      uvsig__listeners_close(c);
  }
  if (is_in(c, UVSIG_SHUTDOWN_DRAINING) && uvsig__connections_after_poll(c))
    uvsig__look_again(c);
}

/* Look again at `at`, or when the phase ends. */
static void set_next_look(struct uvsig__coordinator* c, uint64_t at) {
  int phase = atomic_load(&c->phase);

  if (phase > UVSIG_SHUTDOWN_CLOSING)
    return;
  if (phase != UVSIG_SHUTDOWN_RUNNING && c->until < at)
    at = c->until;
  uvsig__look_at(c, at);
}

/* In the child of a fork the watchdog has no thread yet. */
static void renew_limit(struct uvsig__coordinator* c) {
  int phase = atomic_load(&c->phase);

  c->has_forked = false;
  if (phase > UVSIG_SHUTDOWN_RUNNING && phase < UVSIG_SHUTDOWN_DONE)
    set_limit(c);
}

static void look_at_everything(struct uvsig__coordinator* c, bool has_polled) {
  uint64_t next = UVSIG__NEVER;
  uint64_t linger = c->connections.linger_at;
  uint64_t children;

  if (c->has_forked)
    renew_limit(c);
  if (has_polled) {
    run_after_poll(c);
    linger = uvsig__linger_check(c, uvsig__now());
  } else if (linger <= uvsig__now()) {
    /* Not from a timer, which may come before what the sockets have is read:
     * libuv up to 1.44 runs timers before each poll, a later one before the
     * first poll of a uv_run(). */
    linger = UVSIG__NEVER;
    uvsig__look_again(c);
  }
  if (is_in(c, UVSIG_SHUTDOWN_DRAINING))
    next = uvsig__connections_check(c, has_polled);
  notify_children(c);
  children = uvsig__children_check(c);
  make_up_for_stop(c);
  while (advance_phase(c))
    ;
  next = next < linger ? next : linger;
  set_next_look(c, next < children ? next : children);
}

/* uvsig__escalate() has noted, in the handler, what the signal asks for. */
static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  (void) signum;
  (void) info;
  uvsig__look(w->data, false);
}

/* --- Init ----------------------------------------------------------------- */

static unsigned add_ms(unsigned a, uint64_t b) {
  return a + b < UINT32_MAX ? (unsigned) (a + b) : UINT32_MAX;
}

/* Before the first signal can come: the handler reads the escalation. */
static void init_state(struct uvsig__coordinator* c,
                       const uvsig_shutdown_options_t* options) {
  struct uvsig__escalation* e = &c->escalation;

  sigemptyset(&c->muted);
  c->options = *options;
  if (options->total_ms != 0)
    c->options.grace_ms =
        options->total_ms - options->delay_ms - options->hard_ms;
  c->look = look_at_everything;
  uvsig__connections_open(c);
  e->forced = options->forced;
  e->forced_count = options->forced_count;
  e->exit_count = options->exit_count;
  e->debounce_ms = options->debounce_ms;
  e->hard_ms = add_ms(options->hard_ms, uvsig__slack_ms(options));
  atomic_store(
      &e->total_ms,
      add_ms(e->hard_ms, (uint64_t) c->options.delay_ms + c->options.grace_ms));
}

/* A signal that the process was started with ignored, as by nohup, stays so. */
static bool is_to_be_watched(const uvsig_shutdown_options_t* options,
                             int signum) {
  return uvsig__options_list(options, signum) &&
         (options->watch_ignored || uvsig_getsignal(signum) != UVSIG_IGNORED);
}

/* A closed terminal is no reason to cut work. Where the program has no handler
 * for SIGHUP, nor ignores it. */
static bool is_hangup_ours(const uvsig_shutdown_options_t* options) {
  return !uvsig__options_list(options, SIGHUP) && uvsig__is_default(SIGHUP);
}

static int start_watcher(struct uvsig__coordinator* c,
                         uvsig_t* sig,
                         int signum,
                         unsigned kind) {
  uvsig_watcher_t* w = &c->watchers[c->watcher_count];
  int err;

  w->data = c;
  err = uvsig_watcher_init(sig, w);
  if (err == 0)
    err = uvsig_watcher_set_handler(w, uvsig__escalate);
  if (err != 0)
    return err;
  uvsig_watcher_unref(w); /* the async handle keeps the loop alive */
  err = uvsig__watcher_start(w, on_signal, signum, kind);
  if (err == 0)
    c->watcher_count++;
  return err;
}

static int start_watchers(struct uvsig__coordinator* c, uvsig_t* sig) {
  int signum;
  int err = 0;

  /* The kernel's timer sends the first of the signals; where there is none, and
   * so no handler, it kills. */
  for (signum = 1; signum < UVSIG_NSIG && err == 0; signum++)
    if (is_to_be_watched(&c->options, signum)) {
      if (c->watcher_count == 0)
        uvsig__kernel_timer_create(c, signum);
      err = start_watcher(c, sig, signum, 0);
    }
  if (err == 0 && c->watcher_count == 0)
    uvsig__kernel_timer_create(c, SIGKILL);
  c->escalation.takes_hangup = is_hangup_ours(&c->options);
  if (err != 0 || !c->escalation.takes_hangup)
    return err;
  err = start_watcher(c, sig, SIGHUP, UVSIG__SPARE);
  /* UV_EBUSY: the program has a watcher with a handler. */
  return err == UV_EBUSY ? 0 : err;
}

/* In the child of a fork no other thread of the parent's exists, so no request
 * is under way. A shutdown that the parent's loop has not begun is not begun
 * here. */
static void on_forked(struct uvsig__component* component) {
  struct uvsig__coordinator* c =
      (struct uvsig__coordinator*) ((char*) component -
                                    offsetof(struct uvsig__coordinator,
                                             component));
  struct uvsig__escalation* e = &c->escalation;

  atomic_store(&c->callers, 0);
  c->has_forked = true;
  /* libuv up to 1.45 keeps this in uv_loop_fork(), and would never wake the
   * child's loop. */
  c->async.pending = 0;
  uvsig__notify_forget(c);
  uvsig__upgrade_on_fork(c);
  if (atomic_load(&c->phase) != UVSIG_SHUTDOWN_RUNNING)
    return;
  atomic_store(&e->level, UVSIG_SHUTDOWN_NONE);
  atomic_store(&e->signals, 0);
  atomic_store(&e->last_ms, 0);
  atomic_store(&e->begun, 0);
  atomic_store(&e->claimed, 0);
}

static void register_handles(struct uvsig__coordinator* c) {
  const uv_handle_t** handles = c->component.handles;

  handles[0] = (const uv_handle_t*) &c->async;
  handles[1] = (const uv_handle_t*) &c->timer;
  handles[2] = (const uv_handle_t*) &c->idle;
  handles[3] = (const uv_handle_t*) &c->check;
  handles[4] = (const uv_handle_t*) &c->notifier.ping_timer;
  handles[5] = (const uv_handle_t*) &c->notifier.retry_timer;
  handles[6] = (const uv_handle_t*) &c->closing.last;
  c->component.on_fork = on_forked;
  c->closing.owner = c;
  c->closing.has = has_handle;
  c->closing.done = on_handles_closed;
  uvsig__attach(c->sd->sig, &c->component);
}

static unsigned count_signals(const uvsig_shutdown_options_t* options) {
  unsigned count = 1; /* SIGHUP */
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    count += uvsig__options_list(options, signum);
  return count;
}

int uvsig_shutdown_init(uvsig_t* sig,
                        uvsig_shutdown_t* sd,
                        const uvsig_shutdown_options_t* options) {
  struct uvsig__coordinator* c;
  uvsig_shutdown_options_t defaults;
  uvsig_watcher_t probe;
  int err;

  if (options == NULL) {
    uvsig_shutdown_options_init(&defaults);
    options = &defaults;
  }
  if (sd == NULL || !uvsig__options_are_valid(options))
    return UV_EINVAL;
  err = uvsig_watcher_init(sig, &probe);
  if (err != 0)
    return err;
  c = calloc(1, sizeof(*c) + count_signals(options) * sizeof(*c->watchers));
  if (c == NULL)
    return UV_ENOMEM;

  c->sd = sd;
  c->loop = sig->loop;
  init_state(c, options);
  err = start_watchers(c, sig);
  if (err == 0)
    err = uvsig__looks_open(c);
  if (err != 0) {
    stop_watchers(c);
    uvsig__kernel_timer_delete(c);
    free(c);
    return err;
  }

  UVSIG__RESET(sd);
  sd->sig = sig;
  sd->exit = options->exit;
  sd->coordinator = c;
  register_handles(c);
  c->phase_at[UVSIG_SHUTDOWN_RUNNING] = uvsig__now();
  uvsig__notify_open(c);
  return 0;
}

int uvsig_shutdown_close(uvsig_shutdown_t* sd, uvsig_shutdown_close_cb cb) {
  struct uvsig__coordinator* c;
  int err;

  if (sd == NULL || sd->coordinator == NULL)
    return UV_EINVAL;
  c = sd->coordinator;
  /* Not by uvsig__coordinator_of(): the uvsig_t may have been closed before. */
  if (c->is_over) {
    if (c->is_given_up != NULL) {
      *c->is_given_up = true;
      uvsig__report_conclude(c);
    }
    uvsig__watchdog_stop(c);
    uvsig__kernel_timer_delete(c);
    uvsig__unmute_all(c);
    uvsig__coordinator_free(c);
    return 0;
  }
  err = uvsig__coordinator_of(sd, &c);
  if (err == UV_EINVAL || (err == 0 && is_in(c, UVSIG_SHUTDOWN_DONE)))
    return UV_EALREADY;
  if (err != 0)
    return err;
  c->close_cb = cb;
  atomic_store(&c->is_ready, 0);
  uvsig__lock();
  atomic_store(&c->phase, UVSIG__CLOSED);
  uvsig__unlock();
  uvsig__watchdog_stop(c);
  uvsig__unmute_all(c);
  close_everything(c);
  return 0;
}

/* --- While it runs -------------------------------------------------------- */

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
    atomic_store(&c->escalation.total_ms,
                 add_ms(atomic_load(&c->escalation.total_ms), ms));
  }
  if (phase != UVSIG_SHUTDOWN_RUNNING)
    set_limit(c);
  return 0;
}

int uvsig_shutdown_ready(uvsig_shutdown_t* sd) {
  struct uvsig__coordinator* c;
  int err;

  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  atomic_store(&c->is_ready, 1);
  uvsig__notify_ready(c);
  return 0;
}
