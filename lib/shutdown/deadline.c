/* SPDX-License-Identifier: MIT
 *
 * What ends the process when all time is up, although the loop is blocked: from
 * when the loop has come to a shutdown, a thread, which is started then and
 * takes no signals; before, a timer of the kernel's (escalate.c). There is some
 * slack, so that the loop's own timer comes first. Runs in the loop thread, and
 * in that thread.
 */

#include "shutdown.h"

#include <string.h>
#include <unistd.h>

/* Ends the process when it is time. */
static void wait_until(void* arg) {
  struct uvsig__deadline* deadline = arg;
  uint64_t now;

  uv_mutex_lock(&deadline->mutex);
  while (!deadline->is_over) {
    now = uvsig__now();
    if (now >= deadline->at) {
      if (deadline->log)
        uvsig__log_overdue(deadline->status);
      _exit(deadline->status);
    }
    uv_cond_timedwait(&deadline->cond, &deadline->mutex, deadline->at - now);
  }
  uv_mutex_unlock(&deadline->mutex);
}

static int start_thread(struct uvsig__coordinator* c) {
  struct uvsig__deadline* deadline = &c->deadline;
  int err;

  /* In the child of a fork, what is there is the parent's. */
  memset(deadline, 0, sizeof(*deadline));
  err = uv_mutex_init(&deadline->mutex);
  if (err != 0)
    return err;
  err = uv_cond_init(&deadline->cond);
  if (err != 0)
    goto destroy_mutex;
  deadline->log = c->options.log != 0;
  deadline->status = uvsig__exit_status(&c->escalation);
  deadline->at = UVSIG__NEVER;
  err = uvsig_thread_create(&deadline->thread, wait_until, deadline);
  if (err != 0)
    goto destroy_cond;
  deadline->pid = getpid();
  return 0;

destroy_cond:
  uv_cond_destroy(&deadline->cond);
destroy_mutex:
  uv_mutex_destroy(&deadline->mutex);
  return err;
}

/* The thread takes over from the timer. Without a thread there is the timer,
 * with the time that it has. */
void uvsig__deadline_set(struct uvsig__coordinator* c,
                         uint64_t at,
                         unsigned level) {
  struct uvsig__deadline* deadline = &c->deadline;

  if (deadline->pid != getpid() && start_thread(c) != 0)
    return;
  uv_mutex_lock(&deadline->mutex);
  deadline->at = at;
  uv_cond_signal(&deadline->cond);
  uv_mutex_unlock(&deadline->mutex);
  uvsig__set_handled(&c->escalation, level);
}

bool uvsig__deadline_is_set(const struct uvsig__coordinator* c) {
  return c->deadline.pid == getpid();
}

void uvsig__deadline_close(struct uvsig__coordinator* c) {
  struct uvsig__deadline* deadline = &c->deadline;

  if (deadline->pid != getpid())
    return;
  uv_mutex_lock(&deadline->mutex);
  deadline->is_over = true;
  uv_cond_signal(&deadline->cond);
  uv_mutex_unlock(&deadline->mutex);
  uv_thread_join(&deadline->thread);
  uv_cond_destroy(&deadline->cond);
  uv_mutex_destroy(&deadline->mutex);
  deadline->pid = 0;
}

/* --- The kernel's timer --------------------------------------------------- */

#ifdef HAVE_TIMER_CREATE

/* To be set by a handler. It does not matter much if there is none: a user may
 * have so many, and the signals are left. */
void uvsig__timer_open(struct uvsig__coordinator* c, int signum) {
  struct uvsig__escalation* e = &c->escalation;
  struct sigevent event;

  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signum;
  event.sigev_value.sival_ptr = e;
  e->timer_pid = getpid();
  e->has_timer = timer_create(CLOCK_MONOTONIC, &event, &e->timer) == 0;
}

/* No handler and no request runs any more. */
void uvsig__timer_close(struct uvsig__coordinator* c) {
  struct uvsig__escalation* e = &c->escalation;

  if (e->has_timer && e->timer_pid == getpid())
    timer_delete(e->timer);
  e->has_timer = false;
}

#else

void uvsig__timer_open(struct uvsig__coordinator* c, int signum) {
  (void) c;
  (void) signum;
}

void uvsig__timer_close(struct uvsig__coordinator* c) {
  (void) c;
}

#endif
