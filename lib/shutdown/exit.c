/* SPDX-License-Identifier: MIT
 *
 * From the last callback to the exit: late signals do nothing, buffers are
 * written, and the parent sees the end that the options ask for. Runs in the
 * loop thread, uvsig_shutdown_exit() in the thread that ends the process.
 */

#include "../disposition.h"
#include "coordinator.h"

#include <stdio.h>

/* --- Late signals --------------------------------------------------------- */

/* Have a signal that would have its default action do nothing until the end. */
void uvsig__mute_until_end(struct uvsig__coordinator* c, int signum) {
  if (sigismember(&c->muted, signum) != 1 && uvsig__mute(signum))
    sigaddset(&c->muted, signum);
}

/* The process is about to exit. A signal that comes until then must not end it
 * in another way: one of the shutdown's or a reload's, or any other that the
 * uvsig_t has watched. */
void uvsig__mute_late_signals(struct uvsig__coordinator* c) {
  const struct uvsig__hub* hub = c->sd->sig->hub;
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (hub->sources[signum] != NULL && uvsig__is_deadly(signum))
      uvsig__mute_until_end(c, signum);
}

/* After uvsig_shutdown_close() the program lives on. It may have watchers. */
void uvsig__unmute_all(struct uvsig__coordinator* c) {
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&c->muted, signum) == 1)
      uvsig__unmute(signum);
}

/* --- The exit ------------------------------------------------------------- */

static bool is_locked(FILE* stream) {
  if (ftrylockfile(stream) != 0)
    return true;
  funlockfile(stream);
  return false;
}

/* As exit() does. The limit ends the process where a reader does not read. But
 * a thread that waits for input has its stream's lock, and fflush(NULL) would
 * wait for it: then standard output alone is flushed, if no thread has that. */
static void flush_buffers(void) {
  if (!is_locked(stdin) && !is_locked(stdout) && !is_locked(stderr)) {
    fflush(NULL);
  } else if (ftrylockfile(stdout) == 0) {
    fflush(stdout);
    funlockfile(stdout);
  }
}

int uvsig_shutdown_set_exit_status(uvsig_shutdown_t* sd, int status) {
  if (sd == NULL || sd->sig == NULL || status < 0 || status > UINT8_MAX)
    return UV_EINVAL;
  sd->has_status = 1;
  sd->status = status;
  return 0;
}

int uvsig_shutdown_exit(uvsig_shutdown_t* sd) {
  struct uvsig__coordinator* c;
  int signum;

  if (sd == NULL || sd->sig == NULL)
    return UV_EINVAL;
  c = sd->coordinator;
  if (c != NULL) {
    if (!c->is_over)
      return UV_EBUSY;
    /* Otherwise the watchdog's thread limits the exit, and reads it. */
    if (!uvsig__watchdog_is_running(c))
      uvsig__coordinator_free(c);
  }
  signum = sd->report.signum;
  if (sd->has_status)
    return sd->status;
  if (signum == 0 || sd->exit == UVSIG_SHUTDOWN_EXIT_ZERO)
    return 0;
  if (sd->exit == UVSIG_SHUTDOWN_EXIT_SIGNAL) {
    flush_buffers();
    uvsig_reraise(signum); /* returns where the process lives on */
  }
  return 128 + signum;
}
