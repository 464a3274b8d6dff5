/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_NOTIFY_H
#define UVSIG_SHUTDOWN_NOTIFY_H

#include "adopt.h"

struct uvsig__coordinator;

/* What the service manager is to be notified of, and where. */
struct uvsig__notifier {
  struct uvsig__address service;
  struct uvsig__address predecessor; /* whose upgrade has started this */
  uv_pid_t successor;                /* that is the main process now, or 0 */
  unsigned owed;        /* messages that there was no room for, see notify.c */
  uint64_t reload_at;   /* ns: the beginning of the last reload */
  int reload_error;     /* why the last reload failed, or 0 */
  bool status_is_due;   /* STATUS= is to come with READY=1 */
  bool has_status;      /* the service manager has got a failure */
  uint64_t limit;       /* ns: the shutdown is over by then */
  uint64_t watchdog_us; /* the interval that WATCHDOG_USEC had, or 0 */
  bool has_succeeded;   /* the predecessor has been notified, or will be */
  struct uvsig__adoption adoption;
  uv_timer_t ping_timer;  /* WATCHDOG=1 */
  uv_timer_t retry_timer; /* started while something is owed */
};

void uvsig__notify_open(struct uvsig__coordinator* c);
void uvsig__notify_close(struct uvsig__coordinator* c);
void uvsig__notify_forget(struct uvsig__coordinator* c);
void uvsig__notify_ready(struct uvsig__coordinator* c);
void uvsig__notify_reloaded(struct uvsig__coordinator* c, int error);
void uvsig__notify_stopping(struct uvsig__coordinator* c);
void uvsig__notify_extend(struct uvsig__coordinator* c, uint64_t limit);
void uvsig__notify_reloading(struct uvsig__coordinator* c);

void uvsig__notify_successor(struct uvsig__coordinator* c, uv_pid_t pid);
void uvsig__notify_upgrade_failed(struct uvsig__coordinator* c,
                                  const char* reason);

#endif
