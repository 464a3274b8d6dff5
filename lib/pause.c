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

int uvsig_flush(uvsig_t* sig) {
  struct uvsig__hub* hub;
  ssize_t n;
  int err;

  err = uvsig__hub_of(sig, &hub);
  return err != 0 ? err : uvsig__flush(hub, &n);
}

static bool is_watching(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (uvsig__source_has_other(source, NULL))
      return true;
  return false;
}

/* In a callback: the other watchers of its signal are still to be notified. */
static int resume_deliveries(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  int calls = 0;

  for (source = hub->first; source != NULL && !hub->closing;
       source = source->after)
    calls += uvsig__source_resume(source);
  return calls;
}

int uvsig_pause(uvsig_t* sig) {
  struct uvsig__hub* hub;
  struct pollfd fds[2];
  ssize_t n;
  int calls;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  fds[0].fd = hub->wakeup.read_fd;
  fds[0].events = POLLIN;
  fds[1].events = POLLIN;
  for (;;) {
    calls = uvsig__flush(hub, &n);
    if (calls > 0)
      return calls;
    if (n < 0)
      return (int) n;
    if (hub->inherited)
      return UV_EBADF;
    calls = resume_deliveries(hub);
    if (calls > 0)
      return calls;
    if (!is_watching(hub))
      return UV_EINVAL;
    fds[1].fd = hub->queue != NULL && !hub->queue->is_lost ? hub->queue->fd
                                                           : -1; /* left out */
    /* EINTR: a handler ran, maybe ours. What it wrote is readable. */
    if (poll(fds, 2, -1) < 0 && errno != EINTR)
      return UVSIG__ERR(errno);
  }
}
