/* SPDX-License-Identifier: MIT
 *
 * The warning that signals outran the wakeup fd: to the user's callback, or as
 * one line on standard error. Runs in the loop thread.
 */

#include "dispatch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* A line that is written at once, and cut where it does not fit. */
struct line {
  char text[2048];
  size_t length;
};

__attribute__((format(printf, 2, 3))) static void add(struct line* line,
                                                      const char* format,
                                                      ...) {
  size_t room = sizeof(line->text) - line->length;
  va_list arguments;
  int n;

  va_start(arguments, format);
  n = vsnprintf(line->text + line->length, room, format, arguments);
  va_end(arguments);
  if (n > 0)
    line->length += (size_t) n < room ? (size_t) n : room - 1;
}

static void print(const uvsig_warning_t* warning) {
  struct line line = {.length = 0};
  const char* separator = ": ";
  int signum;

  if (warning->fd >= 0)
    add(&line, "uvsig: wakeup fd %d ", warning->fd);
  else if (warning->kind == UVSIG_WARN_FULL_BUFFER)
    add(&line, "uvsig: wakeup buffer ");
  else
    add(&line, "uvsig: wakeup fd ");
  if (warning->kind == UVSIG_WARN_FULL_BUFFER)
    add(&line, "full");
  else
    add(&line, "failed (%s)", uv_err_name(warning->error));
  add(&line,
      ", %" PRIu64 " signals %s",
      warning->total,
      warning->fd >= 0 ? "not written" : "coalesced");
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (warning->counts[signum] == 0)
      continue;
    add(&line,
        "%s%s %" PRIu64,
        separator,
        uvsig_signal_name(signum),
        warning->counts[signum]);
    separator = ", ";
  }
  fprintf(stderr, "%s\n", line.text);
}

void uvsig__warn(struct uvsig__hub* hub, const uvsig_warning_t* warning) {
  if (hub->warning_cb != NULL)
    hub->warning_cb(hub->sig, warning);
  else
    print(warning);
}
