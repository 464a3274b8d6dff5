/* SPDX-License-Identifier: MIT
 *
 * What the signal handler touches of a shutdown, see escalate.c.
 */

#ifndef UVSIG_SHUTDOWN_ESCALATE_H
#define UVSIG_SHUTDOWN_ESCALATE_H

#include "../base.h"

#define UVSIG__MS UINT64_C(1000000) /* in nanoseconds */

/* What is so much later than it was due has found the process stopped (SIGSTOP)
 * meanwhile. */
enum { UVSIG__STOPPED_MS = 500 };

/* Written by the signal handler and by requests, on any thread. Each field is
 * atomic, or set before the first signal can come, or written by one thread. */
struct uvsig__escalation {
  /* Set before the first signal can come. */
  sigset_t forced;
  bool takes_hangup;
  unsigned forced_count;
  unsigned exit_count;
  unsigned debounce_ms;
  unsigned hard_ms; /* with the watchdog's slack */

  atomic_uint total_ms; /* delay, grace and hard, with the slack */
  atomic_uint level;    /* uvsig_shutdown_level_t, the highest asked for */
  atomic_uint signals;  /* how many counted */
  atomic_ulong last_ms; /* when the last one counted; 0: none did */

  /* What began the shutdown. The thread that sets `claimed` writes it. */
  atomic_int claimed;
  atomic_int begun; /* all of it has been written */
  int signum;       /* 0: a request */
  int code;         /* its si_code */
  const char* reason;
  uv_pid_t pid;
  uv_uid_t uid;

  /* The kernel's timer, see watchdog.c. */
#ifdef HAVE_TIMER_CREATE
  timer_t timer;
#endif
  bool has_timer;
  uv_pid_t timer_pid; /* of the process that has it: a forked child has none */
  atomic_ulong timer_due; /* ms: when it expires */
  atomic_uint handled;    /* the level that the watchdog's thread enforces */
};

/* Of the signal that began the shutdown, if one did: a terminal's, say. */
static inline bool uvsig__is_from_kernel(const struct uvsig__escalation* e) {
  return e->pid == 0 && e->code > 0;
}

/* Signal context: a watcher's handler. */
void uvsig__escalate(uvsig_watcher_t* w, int signum, const siginfo_t* info);
void uvsig__set_handled(struct uvsig__escalation* e, unsigned level);
int uvsig__exit_status(const struct uvsig__escalation* e);
_Noreturn void uvsig__end_overdue(const char* what, int status);

#endif
