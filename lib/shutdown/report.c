/* SPDX-License-Identifier: MIT
 *
 * How a shutdown went: what began it, how long it took, what it has left, and
 * the line in the log. Runs in the loop thread.
 */

#include "coordinator.h"
#include "report.h"

#include <inttypes.h>
#include <sched.h>
#include <string.h>

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
  const uvsig_shutdown_child_t* child;
  uint64_t end = c->phase_at[UVSIG_SHUTDOWN_DONE];
  int phase;

  for (phase = UVSIG_SHUTDOWN_CLOSING; phase >= 0; phase--)
    if (c->phase_at[phase] != 0) {
      report->phase_ms[phase] = (end - c->phase_at[phase]) / UVSIG__MS;
      end = c->phase_at[phase];
    }
  report->signals = atomic_load(&c->escalation.signals);
  for (child = c->children; child != NULL; child = child->next)
    report->children++;
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

/* Returns whether something keeps the loop alive. */
static bool count_left(const struct uvsig__coordinator* c,
                       uvsig_shutdown_report_t* report) {
  struct walk walk = {c->sd->sig, report, false};

  report->handles = 0;
  memset(report->left, 0, sizeof(report->left));
  uv_walk(c->loop, count_handle, &walk);
  report->requests = c->loop->active_reqs.count;
  return walk.is_alive || report->requests > 0;
}

void uvsig__report_count_left(struct uvsig__coordinator* c) {
  count_left(c, &c->sd->report);
}

/* Does something that is left keep the loop alive? */
bool uvsig__report_is_alive(const struct uvsig__coordinator* c) {
  uvsig_shutdown_report_t scratch;

  return count_left(c, &scratch);
}

/* --- The line ------------------------------------------------------------- */

/* "SIGTERM from process 5 of user 0", "SIGINT from the terminal", "request: low
 * memory". A sender in a pid namespace above has no number here, nor one that
 * the kernel had no room to note. */
static void add_cause(struct uvsig__line* line,
                      const struct uvsig__coordinator* c) {
  const uvsig_shutdown_report_t* report = &c->sd->report;
  int signum = report->signum;

  if (signum == 0)
    uvsig__line_add(
        line,
        "request: %.256s",
        report->reason != NULL ? report->reason : "no reason given");
  else if (report->pid != 0)
    uvsig__line_add(line,
                    "%s from process %ld of user %ld",
                    report->reason,
                    (long) report->pid,
                    (long) report->uid);
  else if (!uvsig__is_from_kernel(&c->escalation))
    uvsig__line_add(line, "%s from an unknown process", report->reason);
  else
    uvsig__line_add(line,
                    "%s from the %s",
                    report->reason,
                    signum == SIGINT || signum == SIGQUIT || signum == SIGHUP
                        ? "terminal"
                        : "kernel");
}

/* "2 timer, 1 async, 1 request", or "nothing". */
static void add_left(struct uvsig__line* line,
                     const uvsig_shutdown_report_t* report) {
  const char* separator = "";
  int type;

  for (type = 0; type < UV_HANDLE_TYPE_MAX; type++)
    if (report->left[type] > 0) {
      uvsig__line_add(line,
                      "%s%u %s",
                      separator,
                      report->left[type],
                      uv_handle_type_name((uv_handle_type) type));
      separator = ", ";
    }
  if (report->requests > 0)
    uvsig__line_add(line, "%s%u request", separator, report->requests);
  else if (*separator == 0)
    uvsig__line_add(line, "nothing");
}

static void write_log(const struct uvsig__coordinator* c) {
  const uvsig_shutdown_report_t* report = &c->sd->report;
  const uint64_t* ms = report->phase_ms;
  struct uvsig__line line = {.length = 0};

  uvsig__line_add(&line, "libuvsig: shutdown: ");
  add_cause(&line, c);
  uvsig__line_add(&line,
                  ": %s after %" PRIu64 " ms (%" PRIu64 " not ready, %" PRIu64
                  " draining, %" PRIu64 " forcing, %" PRIu64 " closing)",
                  report->clean ? "clean" : "forced",
                  ms[UVSIG_SHUTDOWN_NOT_READY] + ms[UVSIG_SHUTDOWN_DRAINING] +
                      ms[UVSIG_SHUTDOWN_FORCING] + ms[UVSIG_SHUTDOWN_CLOSING],
                  ms[UVSIG_SHUTDOWN_NOT_READY],
                  ms[UVSIG_SHUTDOWN_DRAINING],
                  ms[UVSIG_SHUTDOWN_FORCING],
                  ms[UVSIG_SHUTDOWN_CLOSING]);
  uvsig__line_add(&line,
                  "; connections: %u closed, %u forced, %u cut, %u open",
                  report->closed,
                  report->forced,
                  report->cut,
                  report->open);
  uvsig__line_add(&line,
                  "; children: %u killed, %u left; closers: %u late; held: %s",
                  report->killed,
                  report->children,
                  report->closers,
                  report->holds > 0 ? report->held : "nothing");
  uvsig__line_add(&line, "; left in the loop: ");
  add_left(&line, report);
  uvsig__line_print(&line);
}

/* Once the DONE callback has returned, or ends the shutdown in the middle: what
 * it closes is not left. */
void uvsig__report_conclude(struct uvsig__coordinator* c) {
  if (c->is_concluded)
    return;
  c->is_concluded = true;
  uvsig__report_count_left(c);
  if (c->options.log && !uvsig__is_inherited(c))
    write_log(c);
}
