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
  uv_pid_t pid;   /* the process that has the thread; 0: none */
  uint64_t limit; /* ns; under the mutex, as what follows */
  bool is_stopped;
  int status;
  bool log;
};

void uvsig__watchdog_set(struct uvsig__coordinator* c,
                         uint64_t limit,
                         unsigned level);
bool uvsig__watchdog_is_running(const struct uvsig__coordinator* c);
void uvsig__watchdog_stop(struct uvsig__coordinator* c);

void uvsig__kernel_timer_create(struct uvsig__coordinator* c, int signum);
void uvsig__kernel_timer_delete(struct uvsig__coordinator* c);

#endif
