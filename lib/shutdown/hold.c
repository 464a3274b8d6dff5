/* SPDX-License-Identifier: MIT
 *
 * Holds: work that a shutdown waits for and cannot end. Runs in any thread. The
 * lock survives a fork.
 */

#include "coordinator.h"

#include <stdio.h>
#include <string.h>

int uvsig_shutdown_hold(uvsig_shutdown_t* sd,
                        uvsig_shutdown_hold_t* hold,
                        const char* name) {
  struct uvsig__coordinator* c;
  int err = 0;

  if (sd == NULL || hold == NULL || name == NULL || sd->coordinator == NULL)
    return UV_EINVAL;
  c = sd->coordinator;
  uvsig__lock();
  /* The phase changes under the lock. So either phases.c sees this hold when it
   * looks for the last one, or the hold is refused. */
  if (atomic_load(&c->phase) == UVSIG__CLOSED) {
    err = UV_EINVAL;
  } else if (atomic_load(&c->phase) >= UVSIG_SHUTDOWN_FORCING) {
    err = UV_ECANCELED;
  } else if (uvsig__is_inherited(c)) {
    err = UV_EBADF;
  } else if (hold->shutdown == sd) {
    err = UV_EBUSY;
  } else {
    UVSIG__RESET(hold);
    hold->shutdown = sd;
    hold->name = name;
    UVSIG__PUSH(c->holds, hold);
  }
  uvsig__unlock();
  return err;
}

/* Under the lock. */
static void unregister(struct uvsig__coordinator* c,
                       uvsig_shutdown_hold_t* hold) {
  UVSIG__CUT(c->holds, hold);
  hold->shutdown = NULL;
}

int uvsig_shutdown_release(uvsig_shutdown_hold_t* hold) {
  struct uvsig__coordinator* c;

  if (hold == NULL)
    return UV_EINVAL;
  uvsig__lock();
  if (hold->shutdown != NULL) {
    c = hold->shutdown->coordinator;
    unregister(c, hold);
    /* The handle is open: it is closed after the phase is DONE, which is set
     * under the lock. Sending is one write, which does not wait. */
    if (uvsig__has_begun(c) && atomic_load(&c->phase) < UVSIG_SHUTDOWN_DONE)
      uv_async_send(&c->async);
  }
  uvsig__unlock();
  return 0;
}

/* How many, and their names, the oldest first, as far as there is room. */
void uvsig__holds_report(struct uvsig__coordinator* c,
                         uvsig_shutdown_report_t* report) {
  const uvsig_shutdown_hold_t* hold;
  const uvsig_shutdown_hold_t* oldest = NULL;
  char* at = report->held;
  const char* end = at + sizeof(report->held);
  bool fits = true;

  uvsig__lock();
  *at = '\0';
  for (hold = c->holds; hold != NULL; hold = hold->next) {
    report->holds++;
    oldest = hold;
  }
  for (hold = oldest; hold != NULL && fits; hold = hold->prev) {
    fits = strlen(hold->name) + sizeof(", , ...") <= (size_t) (end - at);
    at += snprintf(at,
                   (size_t) (end - at),
                   "%s%s",
                   at != report->held ? ", " : "",
                   fits ? hold->name : "...");
  }
  uvsig__unlock();
}

void uvsig__holds_forget(struct uvsig__coordinator* c) {
  uvsig__lock();
  while (c->holds != NULL)
    unregister(c, c->holds);
  uvsig__unlock();
}
