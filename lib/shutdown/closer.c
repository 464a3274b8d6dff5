/* SPDX-License-Identifier: MIT
 *
 * Closers: what is torn down once connections are over, and takes turns of the
 * loop for it. One after the other, the last registered first, since it may use
 * what was there before it. Runs in the loop thread.
 */

#include "coordinator.h"

int uvsig_shutdown_add_closer(uvsig_shutdown_t* sd,
                              uvsig_shutdown_closer_t* closer,
                              uvsig_shutdown_closer_cb cb) {
  struct uvsig__coordinator* c;
  int err;

  if (closer == NULL || cb == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  if (atomic_load(&c->phase) >= UVSIG_SHUTDOWN_CLOSING)
    return UV_ECANCELED;
  if (closer->shutdown == sd)
    return UV_EBUSY;
  UVSIG__RESET(closer);
  closer->shutdown = sd;
  closer->cb = cb;
  UVSIG__PUSH(c->closers, closer);
  return 0;
}

static void unregister(struct uvsig__coordinator* c,
                       uvsig_shutdown_closer_t* closer) {
  UVSIG__CUT(c->closers, closer);
  closer->shutdown = NULL;
}

/* It may be late although nobody has stopped to wait for it: where the loop was
 * held up. */
static bool is_late(struct uvsig__coordinator* c,
                    const uvsig_shutdown_closer_t* closer) {
  if (!closer->is_called)
    return false;
  uvsig__limit_make_up_for_stop(c);
  return uvsig__now() >= c->until;
}

int uvsig_shutdown_closed(uvsig_shutdown_closer_t* closer) {
  struct uvsig__coordinator* c;
  int err;

  if (closer == NULL)
    return UV_EINVAL;
  err = uvsig__prepare_removal(closer->shutdown, &c);
  if (c == NULL)
    return err;
  if (is_late(c, closer))
    c->sd->report.closers++;
  unregister(c, closer);
  return 0;
}

/* Call the next one, if the one before has ended. Once time is over none is
 * waited for, but each is called. Returns whether none is left. A callback may
 * end its closer at once, and may call uvsig_shutdown_close(). */
bool uvsig__closers_run(struct uvsig__coordinator* c, bool is_over) {
  uvsig_shutdown_closer_t* closer;

  while ((closer = c->closers) != NULL && (is_over || !closer->is_called)) {
    if (!closer->is_called) {
      closer->is_called = 1;
      closer->cb(closer);
    } else {
      unregister(c, closer);
      c->sd->report.closers++;
    }
  }
  return c->closers == NULL;
}

void uvsig__closers_forget(struct uvsig__coordinator* c) {
  while (c->closers != NULL)
    unregister(c, c->closers);
}
