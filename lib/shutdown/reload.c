/* SPDX-License-Identifier: MIT
 *
 * Reloads. Of each, at most one runs and one is pending. A shutdown waits for
 * those that run, and lets none begin after its own beginning. Runs in the loop
 * thread.
 */

#include "coordinator.h"

/* Flags in a reload's `state`. */
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

/* Only from phases.c: the callback may call any function of the library. */
static void run_reload(struct uvsig__coordinator* c, uvsig_reload_t* r) {
  r->state = (r->state & ~(unsigned) (PENDING | DUE)) | RUNNING;
  if (uvsig_shutdown_hold(c->sd, &r->hold, "reload") != 0) {
    r->state &= ~(unsigned) RUNNING;
    return;
  }
  /* Before uvsig_shutdown_ready() the service starts, whatever it reads:
   * READY=1 is not a reload's to say. */
  if (!c->is_reloading && atomic_load(&c->is_ready) != 0) {
    c->is_reloading = true;
    c->reload_error = 0;
    uvsig__notify_reloading(c);
  }
  c->reloading++;
  r->cb(r);
}

/* While it runs, any number of requests make one that is pending. */
static void set_pending(struct uvsig__coordinator* c, uvsig_reload_t* r) {
  if (uvsig__has_begun(c))
    return;
  r->state |= PENDING;
  uvsig__look_again(c);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_reload_t* r = w->data;

  (void) signum;
  (void) info;
  set_pending(r->shutdown->coordinator, r);
}

static void stop_reload(struct uvsig__coordinator* c, uvsig_reload_t* r) {
  uvsig_watcher_stop(&r->watcher);
  UVSIG__CUT(c->reloads, r);
  r->state &= ~(unsigned) (STARTED | PENDING | DUE);
}

int uvsig_reload_start(uvsig_reload_t* r, uvsig_reload_cb cb, int signum) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(r, &c);
  if (err == 0 && uvsig__is_inherited(c))
    err = UV_EBADF;
  if (err != 0)
    return err;
  if (cb == NULL || !uvsig__is_catchable(signum))
    return UV_EINVAL;
  if ((r->state & STARTED) != 0)
    return UV_EBUSY;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  if (c->options.watch_ignored || uvsig_getsignal(signum) != UVSIG_IGNORED) {
    /* Fails for a wrong argument alone: this is the loop's thread. */
    uvsig_watcher_init(c->sd->sig, &r->watcher);
    r->watcher.data = r;
    uvsig_watcher_unref(&r->watcher);
    err = uvsig_watcher_start(&r->watcher, on_signal, signum);
    if (err != 0)
      return err;
  }
  r->cb = cb;
  UVSIG__PUSH(c->reloads, r);
  r->state |= STARTED;
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
  if (uvsig__is_inherited(c))
    return UV_EBADF;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  set_pending(c, r);
  return 0;
}

/* The service manager is notified when no reload runs, stopped or not, and none
 * is pending. Not by the child of a fork, unless it goes on as a server. */
static void notify_if_none_left(struct uvsig__coordinator* c) {
  const uvsig_reload_t* r;

  if (!c->is_reloading || c->reloading > 0)
    return;
  for (r = c->reloads; r != NULL; r = r->next)
    if ((r->state & PENDING) != 0)
      return;
  c->is_reloading = false;
  if (!uvsig__has_begun(c) && !uvsig__is_inherited(c))
    uvsig__notify_reloaded(c, c->reload_error);
}

/* The last failure is reported. It is made good by the same reload alone:
 * another one that the same signal has begun may have succeeded. */
static void note_result(struct uvsig__coordinator* c,
                        const uvsig_reload_t* r,
                        int error) {
  if (error != 0)
    c->failed = r;
  if (c->failed == r)
    c->reload_error = error;
}

/* `error`: 0, or why it failed. */
static int end_reload(uvsig_reload_t* r, int error) {
  struct uvsig__coordinator* c;
  int err;

  if (r == NULL || (r->state & RUNNING) == 0)
    return UV_EINVAL;
  err = find_coordinator(r, &c);
  /* The shutdown is over, and has not waited for it. */
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
  note_result(c, r, error);
  notify_if_none_left(c);
  return 0;
}

int uvsig_reload_finish(uvsig_reload_t* r) {
  return end_reload(r, 0);
}

int uvsig_reload_fail(uvsig_reload_t* r, int error) {
  return error < 0 ? end_reload(r, error) : UV_EINVAL;
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
  stop_reload(c, r);
  notify_if_none_left(c);
  return 0;
}

/* --- All of them ---------------------------------------------------------- */

/* Run those that are pending now. A request that a callback makes waits for the
 * next turn of the loop. A callback may stop any reload, so the list is read
 * from its start again after each. */
void uvsig__reloads_run(struct uvsig__coordinator* c) {
  uvsig_reload_t* r;

  if (c->successor != NULL)
    return; /* an upgrade looks again at its end */
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

void uvsig__reloads_forget(struct uvsig__coordinator* c) {
  while (c->reloads != NULL)
    stop_reload(c, c->reloads);
}
