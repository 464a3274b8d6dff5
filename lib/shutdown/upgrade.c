/* SPDX-License-Identifier: MIT
 *
 * An upgrade: a successor is started with this process's listening sockets, and
 * once it is ready, this process begins to shut down. Whatever goes wrong
 * before, this process serves on. Here is when one is asked for; successor.c
 * has the rest. Runs in the loop thread.
 */

#include "upgrade.h"

#include "coordinator.h"
#include "launch.h"
#include "successor.h"

/* Flags in an upgrade's `state`. */
enum { STARTED = 1, PENDING = 2 };

void uvsig_upgrade_options_init(uvsig_upgrade_options_t* options) {
  if (options == NULL)
    return;
  memset(options, 0, sizeof(*options));
  options->mark = UVSIG__MARK;
  options->ready_ms = 30000;
  options->settle_ms = 1000;
}

int uvsig_upgrade_init(uvsig_shutdown_t* sd,
                       uvsig_upgrade_t* u,
                       const uvsig_upgrade_options_t* options) {
  struct uvsig__coordinator* c;
  uvsig_upgrade_options_t own;
  int err;

  uvsig_upgrade_options_init(&own);
  if (u == NULL || (options != NULL && !UVSIG__ARE_SET(options)))
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  if (c->upgrade != NULL)
    return UV_EBUSY;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  if (options != NULL)
    own = *options;
  err = uvsig__own_program(&own.file, &own.args);
  if (err != 0)
    return err;
  UVSIG__RESET(u);
  u->shutdown = sd;
  c->upgrade = u;
  c->upgrade_options = own;
  return 0;
}

static int find_coordinator(const uvsig_upgrade_t* u,
                            struct uvsig__coordinator** c) {
  int err;

  if (u == NULL || u->shutdown == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(u->shutdown, c);
  if (err == 0)
    uvsig__successor_drop_inherited(*c);
  return err;
}

static void set_pending(struct uvsig__coordinator* c, uvsig_upgrade_t* u) {
  u->state |= PENDING;
  uvsig__look_again(c);
}

/* One that comes during an upgrade, or a shutdown, asks for what is under
 * way. */
static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_upgrade_t* u = w->data;
  struct uvsig__coordinator* c = u->shutdown->coordinator;

  (void) signum;
  (void) info;
  uvsig__successor_drop_inherited(c);
  if (c->successor == NULL)
    set_pending(c, u);
}

int uvsig_upgrade_start(uvsig_upgrade_t* u, uvsig_upgrade_cb cb, int signum) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(u, &c);
  if (err != 0)
    return err;
  if (cb == NULL || !uvsig__is_catchable(signum))
    return UV_EINVAL;
  if ((u->state & STARTED) != 0)
    return UV_EBUSY;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  uvsig_watcher_init(c->sd->sig, &u->watcher); /* cannot fail: it is open */
  u->watcher.data = u;
  err = uvsig_watcher_start(&u->watcher, on_signal, signum);
  if (err != 0)
    return err;
  uvsig_watcher_unref(&u->watcher);
  u->cb = cb;
  u->state |= STARTED;
  return 0;
}

int uvsig_upgrade_request(uvsig_upgrade_t* u) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(u, &c);
  if (err != 0)
    return err;
  if ((u->state & STARTED) == 0)
    return UV_EINVAL;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  if (c->successor != NULL || (u->state & PENDING) != 0)
    return UV_EBUSY;
  set_pending(c, u);
  return 0;
}

int uvsig_upgrade_stop(uvsig_upgrade_t* u) {
  struct uvsig__coordinator* c;
  int err;

  if (u == NULL)
    return UV_EINVAL;
  if ((u->state & STARTED) == 0)
    return 0;
  err = find_coordinator(u, &c);
  if (err != 0)
    return err;
  uvsig_watcher_stop(&u->watcher);
  u->state = 0;
  uvsig__successor_cancel(c, u);
  return 0;
}

/* --- For phases.c --------------------------------------------------------- */

/* Begin what has been asked for. The callback may be called. */
void uvsig__upgrade_run(struct uvsig__coordinator* c) {
  uvsig_upgrade_t* u = c->upgrade;

  if (u == NULL || (u->state & PENDING) == 0 || uvsig__has_begun(c))
    return;
  u->state &= ~(unsigned) PENDING;
  uvsig__successor_start(c);
}

/* In the child of a fork: what its parent has asked for, or has started, is the
 * parent's. A successor is dropped in the loop thread: only what may be called
 * in a signal handler may be called here. */
void uvsig__upgrade_on_fork(struct uvsig__coordinator* c) {
  if (c->upgrade != NULL)
    c->upgrade->state &= ~(unsigned) PENDING;
}

/* The shutdown is done, or given up. */
void uvsig__upgrade_forget(struct uvsig__coordinator* c) {
  uvsig__successor_kill(c);
  if (c->upgrade != NULL) {
    uvsig_watcher_stop(&c->upgrade->watcher);
    c->upgrade->state = 0;
    c->upgrade->shutdown = NULL;
  }
  c->upgrade = NULL;
}
