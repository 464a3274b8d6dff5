/* SPDX-License-Identifier: MIT
 *
 * Delivery where the loop does not run: at once, or as soon as there is
 * something. Runs in the loop thread.
 */

#include "dispatch.h"
#include "signalfd.h"
#include "source.h"

#include <errno.h>
#include <poll.h>

/* Returns how many callbacks were run since `before`. They are not counted by a
 * call that this one is nested in. */
static int end_count(struct uvsig__hub* hub, unsigned long before) {
  unsigned long calls = hub->calls - before;

  hub->calls = before;
  return (int) calls;
}

int uvsig_flush(uvsig_t* sig) {
  struct uvsig__hub* hub;
  unsigned long before;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  before = hub->calls;
  uvsig__flush(hub);
  return end_count(hub, before);
}

static bool is_watching(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (uvsig__source_has_other(source, NULL))
      return true;
  return false;
}

/* In a callback: the other watchers of its signal are still to be notified. */
static void resume_deliveries(struct uvsig__hub* hub) {
  struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    uvsig__source_resume(source);
}

int uvsig_pause(uvsig_t* sig) {
  struct uvsig__hub* hub;
  struct pollfd fds[2];
  unsigned long before;
  ssize_t n;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  if (hub->inherited)
    return UV_EBADF;
  fds[0].fd = hub->wakeup.read_fd;
  fds[0].events = POLLIN;
  fds[1].events = POLLIN;
  before = hub->calls;
  resume_deliveries(hub);
  while (hub->calls == before) {
    n = uvsig__flush(hub);
    if (hub->calls != before)
      break;
    if (n < 0)
      return (int) n;
    if (!is_watching(hub))
      return UV_EINVAL;
    fds[1].fd = hub->queue != NULL && !hub->queue->is_lost ? hub->queue->fd
                                                           : -1; /* left out */
    /* EINTR: a handler ran, maybe ours. What it wrote is readable. */
    if (poll(fds, 2, -1) < 0 && errno != EINTR)
      return UVSIG__ERR(errno);
  }
  return end_count(hub, before);
}
