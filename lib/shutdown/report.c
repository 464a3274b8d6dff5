/* SPDX-License-Identifier: MIT
 *
 * How a shutdown went: what began it, how long it took, what it has left, and
 * the one line about it. Runs in the loop thread, but for what says otherwise.
 */

#include "coordinator.h"
#include "report.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void uvsig__report_begin(struct uvsig__coordinator* c) {
  const struct uvsig__escalation* e = &c->escalation;
  uvsig_shutdown_report_t* report = &c->sd->report;

  /* Whoever has claimed it, on another thread, is about to have written it. */
  while (!atomic_load(&e->begun))
    sched_yield();
  report->signum = e->signum;
  report->reason = e->signum != 0 ? uvsig_signal_name(e->signum) : e->reason;
  report->pid = e->pid;
  report->uid = e->uid;
}

/* The phase has become UVSIG_SHUTDOWN_DONE, and nothing has been forgotten. */
void uvsig__report_end(struct uvsig__coordinator* c) {
  uvsig_shutdown_report_t* report = &c->sd->report;
  uint64_t end = c->phase_at[UVSIG_SHUTDOWN_DONE];
  int phase;

  for (phase = UVSIG_SHUTDOWN_FORCING; phase >= 0; phase--)
    if (c->phase_at[phase] != 0) {
      report->phase_ms[phase] = (end - c->phase_at[phase]) / UVSIG__MS;
      end = c->phase_at[phase];
    }
  report->signals = atomic_load(&c->escalation.signals);
  report->children = c->child_count;
  report->holds = uvsig__holds_count(c);
  uvsig__holds_name(c, report->held, sizeof(report->held));
}

/* --- What is left --------------------------------------------------------- */

struct walk {
  const uvsig_t* sig;
  uvsig_shutdown_report_t* report;
  bool is_alive;
};

static void count_handle(uv_handle_t* handle, void* arg) {
  struct walk* walk = arg;
  uv_handle_type type = uv_handle_get_type(handle);

  if (uv_is_closing(handle) || uvsig_has_handle(walk->sig, handle))
    return;
  walk->is_alive |= uv_is_active(handle) && uv_has_ref(handle);
  walk->report->handles++;
  if ((unsigned) type < UV_HANDLE_TYPE_MAX)
    walk->report->left[type]++;
}

/* Returns whether it keeps the loop alive. */
bool uvsig__report_count_left(uv_loop_t* loop,
                              const uvsig_t* sig,
                              uvsig_shutdown_report_t* report) {
  struct walk walk = {sig, report, false};

  report->handles = 0;
  memset(report->left, 0, sizeof(report->left));
  uv_walk(loop, count_handle, &walk);
  report->requests = loop->active_reqs.count;
  return walk.is_alive || report->requests > 0;
}

/* --- The line ------------------------------------------------------------- */

/* Nobody may read it, and somebody hold the stream's lock: neither may keep the
 * process. */
static void write_line(const char* line, int size) {
  struct pollfd fd = {STDERR_FILENO, POLLOUT, 0};

  if (size > 0 && poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0 &&
      write(STDERR_FILENO, line, (size_t) size) < 0)
    return; /* there is nobody to tell */
}

void uvsig__report_log(const struct uvsig__coordinator* c) {
  const uvsig_shutdown_report_t* report = &c->sd->report;
  const uint64_t* ms = report->phase_ms;
  char line[1024];
  int size;

  size = snprintf(
      line,
      sizeof(line),
      "libuvsig: shutdown: %.256s from process %ld of user %ld: %s after %llu "
      "ms (%llu not ready, %llu draining, %llu forcing); connections: %u "
      "closed, %u forced, %u open; children: %u killed, %u left; held: %s; "
      "left in the loop: %u handles, %u requests\n",
      report->reason != NULL ? report->reason : "a request",
      (long) report->pid,
      (long) report->uid,
      report->clean ? "clean" : "forced",
      (unsigned long long) (ms[UVSIG_SHUTDOWN_NOT_READY] +
                            ms[UVSIG_SHUTDOWN_DRAINING] +
                            ms[UVSIG_SHUTDOWN_FORCING]),
      (unsigned long long) ms[UVSIG_SHUTDOWN_NOT_READY],
      (unsigned long long) ms[UVSIG_SHUTDOWN_DRAINING],
      (unsigned long long) ms[UVSIG_SHUTDOWN_FORCING],
      report->closed,
      report->forced,
      report->open,
      report->killed,
      report->children,
      report->holds > 0 ? report->held : "nothing",
      report->handles,
      report->requests);
  write_line(line, size < (int) sizeof(line) ? size : (int) sizeof(line) - 1);
}

/* Runs in the watchdog's thread. */
void uvsig__log_overdue(int status) {
  char line[80];
  int size = snprintf(line,
                      sizeof(line),
                      "libuvsig: shutdown: the loop is stuck, exit %d\n",
                      status);

  write_line(line, size);
}
