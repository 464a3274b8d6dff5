/* SPDX-License-Identifier: MIT
 *
 * Watchers, as users see them. Runs in the loop thread.
 */

#include "source.h"

#include "disposition.h"

#define ALL_FLAGS                                                              \
 (UVSIG_KEEP_MASK | UVSIG_CHAIN | UVSIG_SHARE | UVSIG_NOCLDSTOP)

static bool is_active(const uvsig_watcher_t* w) {
  return w->source != NULL;
}

/* May this thread use this watcher, whose uvsig_t is open? */
static int check(const uvsig_watcher_t* w, struct uvsig__hub** hub) {
  return w == NULL ? UV_EINVAL : uvsig__hub_of(w->sig, hub);
}

int uvsig_watcher_init(uvsig_t* sig, uvsig_watcher_t* w) {
  struct uvsig__hub* hub;
  int err;

  if (w == NULL)
    return UV_EINVAL;
  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  UVSIG__RESET(w);
  w->sig = sig;
  return 0;
}

/* `kind`: of the states but UVSIG__ENDED. */
int uvsig__watcher_start(uvsig_watcher_t* w,
                         uvsig_watcher_cb cb,
                         int signum,
                         unsigned kind) {
  struct uvsig__source* source;
  struct uvsig__hub* hub;
  bool is_there;
  int err;

  err = check(w, &hub);
  if (err != 0)
    return err;
  if (cb == NULL || !uvsig__is_catchable(signum))
    return UV_EINVAL;
  if (hub->inherited)
    return UV_EBADF;

  source = uvsig__source_get(hub, signum);
  if (source == NULL)
    return UV_ENOMEM;
  is_there = w->source == source;
  if (!is_there) {
    if (w->handler != NULL && atomic_load(&source->sub.hooked) != NULL)
      return UV_EBUSY;
    err = uvsig__source_prepare(source, w);
    if (err != 0)
      return err;
    if (is_active(w))
      uvsig__source_stop(w->source, w);
  }
  w->cb = cb;
  w->state = (w->state & ~(unsigned) UVSIG__ONESHOT) | kind;
  if (!is_there) /* the state says where in the list */
    uvsig__source_add(source, w);
  return 0;
}

/* Start a watcher for each signal of `set`. Where one is refused the others are
 * to be stopped; those that have not been started may be. */
int uvsig__watcher_start_all(uvsig_t* sig,
                             uvsig_watcher_t* w,
                             uvsig_watcher_cb cb,
                             const sigset_t* set,
                             void* data,
                             unsigned kind) {
  int signum;
  int err = 0;

  for (signum = 1; signum < UVSIG_NSIG && err == 0; signum++) {
    if (sigismember(set, signum) != 1)
      continue;
    uvsig_watcher_init(sig, w); /* what refuses this refuses the start, too */
    w->data = data;
    err = uvsig__watcher_start(w++, cb, signum, kind);
  }
  return err;
}

int uvsig_watcher_start(uvsig_watcher_t* w, uvsig_watcher_cb cb, int signum) {
  return uvsig__watcher_start(w, cb, signum, 0);
}

int uvsig_watcher_start_oneshot(uvsig_watcher_t* w,
                                uvsig_watcher_cb cb,
                                int signum) {
  return uvsig__watcher_start(w, cb, signum, UVSIG__ONESHOT);
}

int uvsig_watcher_stop(uvsig_watcher_t* w) {
  struct uvsig__hub* hub;
  int err;

  if (w == NULL)
    return UV_EINVAL;
  /* First, because a stopped watcher may outlive its uvsig_t. */
  if (!is_active(w))
    return 0;
  err = check(w, &hub);
  if (err == 0)
    uvsig__source_stop(w->source, w);
  return err;
}

/* What is set before a start. */
static int check_stopped(const uvsig_watcher_t* w) {
  struct uvsig__hub* hub;
  int err = check(w, &hub);

  return err == 0 && is_active(w) ? UV_EBUSY : err;
}

int uvsig_watcher_set_flags(uvsig_watcher_t* w, unsigned flags) {
  int err = (flags & ~ALL_FLAGS) != 0 ? UV_EINVAL : check_stopped(w);

  if (err == 0)
    w->flags = flags;
  return err;
}

int uvsig_watcher_set_handler(uvsig_watcher_t* w, uvsig_handler_cb handler) {
  int err = check_stopped(w);

  if (err == 0)
    w->handler = handler;
  return err;
}

static void set_unref(uvsig_watcher_t* w, unsigned unref) {
  struct uvsig__hub* hub;

  if (check(w, &hub) != 0 || (w->state & UVSIG__UNREF) == unref)
    return;
  w->state ^= UVSIG__UNREF;
  if (is_active(w))
    uvsig__count_ref(hub, unref != 0 ? -1 : 1);
}

void uvsig_watcher_ref(uvsig_watcher_t* w) {
  set_unref(w, 0);
}

void uvsig_watcher_unref(uvsig_watcher_t* w) {
  set_unref(w, UVSIG__UNREF);
}

int uvsig_watcher_has_ref(const uvsig_watcher_t* w) {
  return w != NULL && (w->state & UVSIG__UNREF) == 0;
}

int uvsig_watcher_is_active(const uvsig_watcher_t* w) {
  return w != NULL && is_active(w);
}

void uvsig_default_int_handler(uvsig_watcher_t* w,
                               int signum,
                               const uvsig_info_t* info) {
  (void) signum;
  (void) info;
  uv_stop(w->sig->loop);
}
