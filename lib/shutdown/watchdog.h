/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_WATCHDOG_H
#define UVSIG_SHUTDOWN_WATCHDOG_H

#include "../base.h"

struct uvsig__coordinator;

/* The thread that ends the process at the limit. */
struct uvsig__watchdog {
  uv_mutex_t mutex;
  uv_cond_t cond;
  uv_thread_t thread;
  uv_pid_t pid;     /* the process that has the thread; 0: none */
  uint64_t limit;   /* ns; under the mutex, as what follows */
  uint64_t least;   /* ns: what is left of it after the process was stopped */
  uint64_t seen_at; /* ns: when it was last seen to run */
  uint64_t resumed_at; /* ns: when it went on after a stop; 0: no stop */
  bool is_stopped;
  bool is_over; /* the loop has done its part */
  int status;
};

void uvsig__watchdog_set(struct uvsig__coordinator* c, unsigned level);
uint64_t uvsig__watchdog_resumed_at(struct uvsig__coordinator* c);
void uvsig__watchdog_set_over(struct uvsig__coordinator* c);
uint64_t uvsig__watchdog_limit(struct uvsig__coordinator* c);
bool uvsig__watchdog_is_running(const struct uvsig__coordinator* c);
void uvsig__watchdog_stop(struct uvsig__coordinator* c);

void uvsig__kernel_timer_create(struct uvsig__coordinator* c, int signum);
void uvsig__kernel_timer_kill(struct uvsig__coordinator* c);
void uvsig__kernel_timer_delete(struct uvsig__coordinator* c);

#endif
