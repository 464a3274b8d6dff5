/* SPDX-License-Identifier: MIT
 *
 * The beginning of a coordinator: its options, the watchers of its signals, and
 * what a fork does to it. Runs in the loop thread, where it does not say
 * otherwise.
 */

#include "../disposition.h"
#include "../source.h"
#include "coordinator.h"
#include "upgrade.h"

#include <stdlib.h>
#include <string.h>

/* --- Options -------------------------------------------------------------- */

void uvsig_shutdown_options_init(uvsig_shutdown_options_t* options) {
  if (options == NULL)
    return;
  memset(options, 0, sizeof(*options));
  options->mark = UVSIG__MARK;
  sigemptyset(&options->graceful);
  sigaddset(&options->graceful, SIGINT);
  sigaddset(&options->graceful, SIGTERM);
  sigemptyset(&options->forced);
  options->forced_count = 2;
  options->exit_count = 3;
  options->debounce_ms = 200;
  options->grace_ms = 8000;
  options->hard_ms = 1000;
  options->linger_ms = 500;
  options->spread_ms = 5000;
  options->fresh_ms = 500;
  options->notify = 1;
}

static bool lists(const uvsig_shutdown_options_t* options, int signum) {
  return sigismember(&options->graceful, signum) == 1 ||
         sigismember(&options->forced, signum) == 1;
}

static bool are_catchable(const uvsig_shutdown_options_t* options) {
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (lists(options, signum) && !uvsig__is_catchable(signum))
      return false;
  return true;
}

static bool are_valid(const uvsig_shutdown_options_t* options) {
  return UVSIG__ARE_SET(options) && are_catchable(options) &&
         (options->total_ms == 0 ||
          options->total_ms >=
              (uint64_t) options->delay_ms + options->hard_ms) &&
         (unsigned) options->watch_ignored <= 1 &&
         (unsigned) options->keep_sig <= 1 && (unsigned) options->log <= 1 &&
         (unsigned) options->notify <= 2 &&
         (unsigned) options->idle <= UVSIG_SHUTDOWN_IDLE_SPREAD &&
         (unsigned) options->exit <= UVSIG_SHUTDOWN_EXIT_CODE;
}

/* --- Init ----------------------------------------------------------------- */

/* Before the first signal can come: the handler reads the escalation. */
static void init_state(struct uvsig__coordinator* c,
                       const uvsig_shutdown_options_t* options) {
  struct uvsig__escalation* e = &c->escalation;

  sigemptyset(&c->muted);
  c->options = *options;
  c->look = uvsig__look_at_everything;
  uvsig__connections_open(c);
  e->forced = options->forced;
  e->forced_count = options->forced_count;
  e->exit_count = options->exit_count;
  e->debounce_ms = options->debounce_ms;
  uvsig__limits_init(c);
}

/* A signal that the process was started with ignored, as by nohup, stays so.
 * Returns 1 for one that is to be watched, 0, or a code. */
static int find_whether_to_watch(const uvsig_shutdown_options_t* options,
                                 int signum) {
  int action;

  if (!lists(options, signum) || options->watch_ignored)
    return lists(options, signum);
  action = uvsig_getsignal(signum);
  return action < 0 ? action : action != UVSIG_IGNORED;
}

/* A closed terminal is no reason to cut work. Where the program has no handler
 * for SIGHUP, nor ignores it. */
static bool is_hangup_ours(const uvsig_shutdown_options_t* options) {
  return !lists(options, SIGHUP) && uvsig__is_default(SIGHUP);
}

/* uvsig__escalate() has noted, in the handler, what the signal asks for. */
static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  (void) signum;
  (void) info;
  uvsig__look(w->data, false);
}

static int start_watcher(struct uvsig__coordinator* c,
                         uvsig_t* sig,
                         int signum,
                         unsigned kind) {
  uvsig_watcher_t* w = &c->watchers[c->watcher_count];
  int err;

  w->data = c;
  /* Neither can fail: uvsig_shutdown_init() has tried one. */
  uvsig_watcher_init(sig, w);
  uvsig_watcher_set_handler(w, uvsig__escalate);
  /* The async handle keeps the loop alive, unless the program unrefs it. */
  uvsig_watcher_unref(w);
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
  for (signum = 1; signum < UVSIG_NSIG && err == 0; signum++) {
    err = find_whether_to_watch(&c->options, signum);
    if (err <= 0)
      continue;
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
  handles[6] = (const uv_handle_t*) &c->notifier.adoption.timer;
  c->component.on_fork = on_forked;
  uvsig__attach(c->sd->sig, &c->component);
}

static unsigned count_signals(const uvsig_shutdown_options_t* options) {
  unsigned count = 1; /* SIGHUP */
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    count += lists(options, signum);
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
  if (sd == NULL || !are_valid(options))
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
    uvsig__watchers_stop(c);
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
