/* SPDX-License-Identifier: MIT
 *
 * Reloads: one running at most, and one pending. They belong to a shutdown
 * coordinator, which tells the service manager of them, waits for the one that
 * runs, and lets none begin once it has begun. Runs in the loop thread.
 */

#include "coordinator.h"
#include "notify.h"

/* What a reload is, in its `state`. */
enum { STARTED = 1, RUNNING = 2, PENDING = 4, DUE = 8 };

int uvsig_reload_init(uvsig_shutdown_t* sd, uvsig_reload_t* r) {
  struct uvsig__coordinator* c;
  int err;

  if (r == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_of(sd, &c);
  if (err != 0)
    return err;
  UVSIG__RESET(r);
  r->shutdown = sd;
  return 0;
}

static int find_coordinator(const uvsig_reload_t* r,
                            struct uvsig__coordinator** c) {
  return r == NULL ? UV_EINVAL : uvsig__coordinator_of(r->shutdown, c);
}

/* --- One reload ----------------------------------------------------------- */

/* Not from inside of anything: the callback is the user's. */
static void run_reload(struct uvsig__coordinator* c, uvsig_reload_t* r) {
  r->state = (r->state & ~(unsigned) (PENDING | DUE)) | RUNNING;
  if (uvsig_shutdown_hold(c->sd, &r->hold, "reload") != 0) {
    r->state &= ~(unsigned) RUNNING;
    return;
  }
  if (!c->is_reloading) {
    c->is_reloading = true;
    uvsig__notify_reloading(c);
  }
  c->reloading++;
  r->cb(r);
}

/* One that runs lets the next one wait, however many ask for it. */
static void set_pending(struct uvsig__coordinator* c, uvsig_reload_t* r) {
  if (uvsig__has_begun(c))
    return;
  r->state |= PENDING;
  if ((r->state & RUNNING) == 0)
    uvsig__look_again(c);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_reload_t* r = w->data;
  struct uvsig__coordinator* c;

  (void) signum;
  (void) info;
  if (find_coordinator(r, &c) == 0)
    set_pending(c, r);
}

static void add_to_list(struct uvsig__coordinator* c, uvsig_reload_t* r) {
  UVSIG__PUSH(c->reloads, r);
  r->state |= STARTED;
}

static void remove_from_list(struct uvsig__coordinator* c, uvsig_reload_t* r) {
  UVSIG__CUT(c->reloads, r);
  r->state &= ~(unsigned) (STARTED | PENDING | DUE);
}

int uvsig_reload_start(uvsig_reload_t* r, uvsig_reload_cb cb, int signum) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(r, &c);
  if (err != 0)
    return err;
  if (cb == NULL || !uvsig__is_catchable(signum))
    return UV_EINVAL;
  if ((r->state & STARTED) != 0)
    return UV_EBUSY;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  if (c->options.watch_ignored || uvsig_getsignal(signum) != UVSIG_IGNORED) {
    err = uvsig_watcher_init(c->sd->sig, &r->watcher);
    if (err != 0)
      return err;
    r->watcher.data = r;
    uvsig_watcher_unref(&r->watcher);
    err = uvsig_watcher_start(&r->watcher, on_signal, signum);
    if (err != 0)
      return err;
  }
  r->cb = cb;
  add_to_list(c, r);
  return 0;
}

int uvsig_reload_request(uvsig_reload_t* r) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(r, &c);
  if (err != 0)
    return err;
  if ((r->state & STARTED) == 0)
    return UV_EINVAL;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  set_pending(c, r);
  return 0;
}

/* Is there one that runs, stopped or not, or will? If not, the last is over. */
static void notify_if_none_left(struct uvsig__coordinator* c) {
  const uvsig_reload_t* r;

  if (!c->is_reloading || c->reloading > 0)
    return;
  for (r = c->reloads; r != NULL; r = r->next)
    if ((r->state & PENDING) != 0)
      return;
  c->is_reloading = false;
  if (!uvsig__has_begun(c))
    uvsig__notify_ready(c);
}

int uvsig_reload_finish(uvsig_reload_t* r) {
  struct uvsig__coordinator* c;
  int err;

  if (r == NULL || (r->state & RUNNING) == 0)
    return UV_EINVAL;
  err = find_coordinator(r, &c);
  /* The shutdown has not waited for it, and is over. */
  if (err == UV_EINVAL) {
    r->state &= ~(unsigned) RUNNING;
    return 0;
  }
  if (err != 0)
    return err;
  r->state &= ~(unsigned) RUNNING;
  uvsig_shutdown_release(&r->hold);
  if ((r->state & PENDING) != 0)
    uvsig__look_again(c);
  c->reloading--;
  notify_if_none_left(c);
  return 0;
}

int uvsig_reload_stop(uvsig_reload_t* r) {
  struct uvsig__coordinator* c;
  int err;

  if (r == NULL)
    return UV_EINVAL;
  if ((r->state & STARTED) == 0)
    return 0;
  err = find_coordinator(r, &c);
  if (err != 0)
    return err;
  uvsig_watcher_stop(&r->watcher);
  remove_from_list(c, r);
  notify_if_none_left(c);
  return 0;
}

/* --- All of them ---------------------------------------------------------- */

/* Begin those that are pending now: one that its callback asks for has another
 * turn. A callback may stop any: from the start again after each. */
void uvsig__reloads_run(struct uvsig__coordinator* c) {
  uvsig_reload_t* r;

  for (r = c->reloads; r != NULL; r = r->next)
    if ((r->state & (RUNNING | PENDING)) == PENDING)
      r->state |= DUE;
  for (r = c->reloads; r != NULL && !uvsig__has_begun(c);)
    if ((r->state & DUE) != 0) {
      run_reload(c, r);
      r = c->reloads;
    } else {
      r = r->next;
    }
}

void uvsig__reloads_add_signals(const struct uvsig__coordinator* c,
                                sigset_t* set) {
  const uvsig_reload_t* r;

  for (r = c->reloads; r != NULL; r = r->next)
    if (uvsig_watcher_is_active(&r->watcher))
      sigaddset(set, r->watcher.signum);
}

void uvsig__reloads_forget(struct uvsig__coordinator* c) {
  while (c->reloads != NULL) {
    uvsig_watcher_stop(&c->reloads->watcher);
    remove_from_list(c, c->reloads);
  }
}
