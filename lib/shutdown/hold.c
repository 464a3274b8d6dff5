/* SPDX-License-Identifier: MIT
 *
 * Holds: work that a shutdown waits for and cannot end. Any thread.
 */

#include "coordinator.h"

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
  /* The phase changes under the lock: either this is registered before the
   * coordinator looks for the last one, or it is refused. */
  if (atomic_load(&c->phase) == UVSIG__CLOSED) {
    err = UV_EINVAL;
  } else if (atomic_load(&c->phase) >= UVSIG_SHUTDOWN_FORCING) {
    err = UV_ECANCELED;
  } else {
    UVSIG__RESET(hold);
    hold->shutdown = sd;
    hold->name = name;
    UVSIG__PUSH(c->holds, hold);
    c->hold_count++;
  }
  uvsig__unlock();
  return err;
}

/* Under the lock. */
static void unregister(struct uvsig__coordinator* c,
                       uvsig_shutdown_hold_t* hold) {
  UVSIG__CUT(c->holds, hold);
  hold->shutdown = NULL;
  c->hold_count--;
}

int uvsig_shutdown_release(uvsig_shutdown_hold_t* hold) {
  struct uvsig__coordinator* c;

  if (hold == NULL)
    return UV_EINVAL;
  uvsig__lock();
  if (hold->shutdown != NULL) {
    c = hold->shutdown->coordinator;
    unregister(c, hold);
    /* Under the lock, under which the phase becomes done: the handle is there.
     * Sending is a write, and does not wait. */
    if (uvsig__has_begun(c) && atomic_load(&c->phase) < UVSIG_SHUTDOWN_DONE)
      uv_async_send(&c->async);
  }
  uvsig__unlock();
  return 0;
}

unsigned uvsig__holds_count(struct uvsig__coordinator* c) {
  unsigned count;

  uvsig__lock();
  count = c->hold_count;
  uvsig__unlock();
  return count;
}

/* The names, the oldest first, as far as there is room. */
void uvsig__holds_name(struct uvsig__coordinator* c, char* out, size_t size) {
  static const char more[] = "...";
  uvsig_shutdown_hold_t* hold;
  size_t at = 0;
  size_t length;

  uvsig__lock();
  for (hold = c->holds; hold != NULL && hold->next != NULL; hold = hold->next)
    ;
  for (; hold != NULL; hold = hold->prev) {
    length = strlen(hold->name);
    /* With its separator, and room for what says that there are more. */
    if (at + 2 + length + 2 + sizeof(more) > size) {
      memcpy(out + at, at > 0 ? ", ..." : more, at > 0 ? 5 : 3);
      at += at > 0 ? 5 : 3;
      break;
    }
    if (at > 0) {
      memcpy(out + at, ", ", 2);
      at += 2;
    }
    memcpy(out + at, hold->name, length);
    at += length;
  }
  out[at] = '\0';
  uvsig__unlock();
}

void uvsig__holds_forget(struct uvsig__coordinator* c) {
  uvsig__lock();
  while (c->holds != NULL)
    unregister(c, c->holds);
  uvsig__unlock();
}
