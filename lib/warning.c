/* SPDX-License-Identifier: MIT
 *
 * The warning that signals outran the wakeup fd: to the user's callback, or as
 * one line on standard error. Runs in the loop thread.
 */

#include "dispatch.h"

#include <inttypes.h>

static void print(const uvsig_warning_t* warning) {
  struct uvsig__line line = {.length = 0};
  const char* separator = ": ";
  int signum;

  uvsig__line_add(&line, "libuvsig: wakeup fd ");
  if (warning->fd >= 0)
    uvsig__line_add(&line, "%d ", warning->fd);
  if (warning->kind == UVSIG_WARN_FULL_BUFFER)
    uvsig__line_add(&line, "full, ");
  else
    uvsig__line_add(&line, "failed (%s), ", uv_err_name(warning->error));
  uvsig__line_add(&line,
                  warning->fd >= 0
                      ? "%" PRIu64 " signals not written to it"
                      : "%" PRIu64
                        " signals counted instead of written, none lost",
                  warning->total);
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (warning->counts[signum] == 0)
      continue;
    uvsig__line_add(&line,
                    "%s%s %" PRIu64,
                    separator,
                    uvsig_signal_name(signum),
                    warning->counts[signum]);
    separator = ", ";
  }
  if (warning->fd < 0 && warning->kind == UVSIG_WARN_FULL_BUFFER)
    uvsig__line_add(&line, " (option buffer_size)");
  uvsig__line_print(&line);
}

/* `counts`: how many signals were not written for `error`, of each number. `fd`
 * is the program's, or -1. */
void uvsig__warn(struct uvsig__hub* hub,
                 int error,
                 const uint64_t* counts,
                 int fd) {
  uvsig_warning_t warning = {
      error == UV_EAGAIN ? UVSIG_WARN_FULL_BUFFER : UVSIG_WARN_WRITE_ERROR,
      error,
      0,
      counts,
      fd};
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    warning.total += counts[signum];
  if (hub->options.warning_cb != NULL)
    hub->options.warning_cb(hub->sig, &warning);
  else
    print(&warning);
}
