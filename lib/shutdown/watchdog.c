/* SPDX-License-Identifier: MIT
 *
 * The watchdog ends the process at the shutdown's limit, though the loop may be
 * blocked, or its exit. Until the loop has begun the shutdown, it is a timer of
 * the kernel, which the signal handler sets (escalate.c). Then it is a thread
 * with all signals blocked, which is created at that moment. The loop's own
 * timer comes a little earlier. Runs in the loop thread, and in the watchdog's
 * thread.
 */

#include "coordinator.h"

#include <string.h>
#include <unistd.h>

/* How often the thread looks, in ms. */
enum { TICK_MS = 100 };

/* Was the process stopped, by SIGSTOP or with its cgroup? Then the thread did
 * not run either, and nobody could finish anything. Under the mutex, in the
 * thread and in the loop, whichever goes on first. */
static void look_for_stop(struct uvsig__watchdog* watchdog) {
  uint64_t now = uvsig__now();

  if (now - watchdog->seen_at >= UVSIG__STOPPED_MS * UVSIG__MS) {
    watchdog->resumed_at = now;
    if (watchdog->limit < now + watchdog->least)
      watchdog->limit = now + watchdog->least;
  }
  watchdog->seen_at = now;
}

static void enforce_limit(void* arg) {
  struct uvsig__watchdog* watchdog = arg;
  uint64_t left;

  uv_mutex_lock(&watchdog->mutex);
  while (!watchdog->is_stopped) {
    look_for_stop(watchdog);
    if (watchdog->seen_at >= watchdog->limit)
      uvsig__end_overdue(watchdog->is_over ? "the exit" : "the loop",
                         watchdog->status);
    left = watchdog->limit - watchdog->seen_at;
    uv_cond_timedwait(&watchdog->cond,
                      &watchdog->mutex,
                      left < TICK_MS * UVSIG__MS ? left : TICK_MS * UVSIG__MS);
  }
  uv_mutex_unlock(&watchdog->mutex);
}

static int start_thread(struct uvsig__coordinator* c) {
  struct uvsig__watchdog* watchdog = &c->watchdog;
  int err;

  /* In the child of a fork this is a copy of the parent's, without a thread. */
  memset(watchdog, 0, sizeof(*watchdog));
  err = uv_mutex_init(&watchdog->mutex);
  if (err != 0)
    return err;
  err = uv_cond_init(&watchdog->cond);
  if (err != 0)
    goto destroy_mutex;
  watchdog->status = uvsig__exit_status(&c->escalation);
  watchdog->limit = UVSIG__NEVER;
  watchdog->least = c->escalation.hard_ms * UVSIG__MS;
  watchdog->seen_at = uvsig__now();
  err = uvsig_thread_create(&watchdog->thread, enforce_limit, watchdog);
  if (err != 0)
    goto destroy_cond;
  watchdog->pid = getpid();
  return 0;

destroy_cond:
  uv_cond_destroy(&watchdog->cond);
destroy_mutex:
  uv_mutex_destroy(&watchdog->mutex);
  return err;
}

/* `limit` has changed. The thread takes over from the kernel's timer. Where no
 * thread can be created, that timer stays, with the time that it has. */
void uvsig__watchdog_set(struct uvsig__coordinator* c, unsigned level) {
  struct uvsig__watchdog* watchdog = &c->watchdog;

  if (watchdog->pid != getpid() && start_thread(c) != 0)
    return;
  uv_mutex_lock(&watchdog->mutex);
  watchdog->limit = c->limit;
  uv_cond_signal(&watchdog->cond);
  uv_mutex_unlock(&watchdog->mutex);
  uvsig__set_handled(&c->escalation, level);
}

/* When the process went on after it was stopped in the middle, or 0. */
uint64_t uvsig__watchdog_resumed_at(struct uvsig__coordinator* c) {
  struct uvsig__watchdog* watchdog = &c->watchdog;
  uint64_t at;

  if (watchdog->pid != getpid())
    return 0;
  uv_mutex_lock(&watchdog->mutex);
  look_for_stop(watchdog);
  at = watchdog->resumed_at;
  uv_mutex_unlock(&watchdog->mutex);
  return at;
}

/* When the process ends at the latest. */
uint64_t uvsig__watchdog_limit(struct uvsig__coordinator* c) {
  struct uvsig__watchdog* watchdog = &c->watchdog;
  uint64_t limit;

  if (watchdog->pid != getpid())
    return c->limit;
  uv_mutex_lock(&watchdog->mutex);
  look_for_stop(watchdog);
  limit = watchdog->limit;
  uv_mutex_unlock(&watchdog->mutex);
  return limit;
}

/* What is left is the exit, which the limit holds for as well. */
void uvsig__watchdog_set_over(struct uvsig__coordinator* c) {
  struct uvsig__watchdog* watchdog = &c->watchdog;

  if (watchdog->pid != getpid())
    return;
  uv_mutex_lock(&watchdog->mutex);
  watchdog->is_over = true;
  uv_mutex_unlock(&watchdog->mutex);
}

bool uvsig__watchdog_is_running(const struct uvsig__coordinator* c) {
  return c->watchdog.pid == getpid();
}

void uvsig__watchdog_stop(struct uvsig__coordinator* c) {
  struct uvsig__watchdog* watchdog = &c->watchdog;

  if (watchdog->pid != getpid())
    return;
  uv_mutex_lock(&watchdog->mutex);
  watchdog->is_stopped = true;
  uv_cond_signal(&watchdog->cond);
  uv_mutex_unlock(&watchdog->mutex);
  uv_thread_join(&watchdog->thread);
  uv_cond_destroy(&watchdog->cond);
  uv_mutex_destroy(&watchdog->mutex);
  watchdog->pid = 0;
}

/* --- The kernel's timer --------------------------------------------------- */

/* Created here, set in the signal handler. It may fail, since a user may have
 * only so many timers. Then nothing ends the process until the thread runs, but
 * for the signal that is number exit_count. */
void uvsig__kernel_timer_create(struct uvsig__coordinator* c, int signum) {
#ifdef HAVE_TIMER_CREATE
  struct uvsig__escalation* e = &c->escalation;
  struct sigevent event;

  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signum;
  event.sigev_value.sival_ptr = e;
  e->timer_pid = getpid();
  e->has_timer = timer_create(CLOCK_MONOTONIC, &event, &e->timer) == 0;
#else
  (void) c;
  (void) signum;
#endif
}

/* What is left is the exit, and no thread could be created: the kernel ends the
 * process at the limit. By SIGKILL, and so without a word, for nothing of ours
 * handles a signal any more. */
void uvsig__kernel_timer_kill(struct uvsig__coordinator* c) {
#ifdef HAVE_TIMER_CREATE
  struct uvsig__escalation* e = &c->escalation;
  struct itimerspec spec = {{0, 0}, {0, 0}};
  uint64_t now = uvsig__now();

  /* The process was stopped meanwhile, and no thread has seen it. */
  if (c->limit < now)
    c->limit = now + e->hard_ms * UVSIG__MS;
  uvsig__kernel_timer_create(c, SIGKILL);
  spec.it_value.tv_sec = (time_t) (c->limit / UVSIG__SECOND);
  spec.it_value.tv_nsec = (long) (c->limit % UVSIG__SECOND);
  if (e->has_timer)
    timer_settime(e->timer, TIMER_ABSTIME, &spec, NULL);
#else
  (void) c;
#endif
}

/* Only where no handler and no request may still set it. */
void uvsig__kernel_timer_delete(struct uvsig__coordinator* c) {
#ifdef HAVE_TIMER_CREATE
  struct uvsig__escalation* e = &c->escalation;

  if (e->has_timer && e->timer_pid == getpid())
    timer_delete(e->timer);
  e->has_timer = false;
#else
  (void) c;
#endif
}
