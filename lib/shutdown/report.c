/* SPDX-License-Identifier: MIT
 *
 * How a shutdown went: what began it, how long it took, what it has left, and
 * the line in the log. Runs in the loop thread, unless it says otherwise.
 */

#include "coordinator.h"
#include "report.h"

#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void uvsig__report_begin(struct uvsig__coordinator* c) {
  const struct uvsig__escalation* e = &c->escalation;
  uvsig_shutdown_report_t* report = &c->sd->report;

  /* The thread that has set `claimed` is about to set `begun`. */
  while (!atomic_load(&e->begun))
    sched_yield();
  report->signum = e->signum;
  report->reason = e->signum != 0 ? uvsig_signal_name(e->signum) : e->reason;
  report->pid = e->pid;
  report->uid = e->uid;
}

/* The phase is DONE, and children and holds are still registered. */
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
  uvsig__holds_report(c, report);
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

/* One line on standard error. Not by stdio, whose lock another thread may hold.
 * Not where standard error is full, because a write would wait. */
__attribute__((format(printf, 1, 2))) static void write_line(const char* format,
                                                             ...) {
  struct pollfd fd = {STDERR_FILENO, POLLOUT, 0};
  char line[1024] = "";
  va_list args;

  va_start(args, format);
  vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  if (poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0 &&
      write(STDERR_FILENO, line, strlen(line)) < 0)
    return; /* the line is lost */
}

void uvsig__report_log(const struct uvsig__coordinator* c) {
  const uvsig_shutdown_report_t* report = &c->sd->report;
  const uint64_t* ms = report->phase_ms;

  write_line(
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
}

/* Runs in the watchdog's thread. */
void uvsig__report_overdue(int status) {
  write_line("libuvsig: shutdown: the loop is stuck, exit %d\n", status);
}
