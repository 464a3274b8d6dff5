/* SPDX-License-Identifier: MIT
 *
 * From the last callback to the exit: late signals do nothing, buffers are
 * written, and the parent sees the end that the options ask for. Runs in the
 * loop thread, uvsig_shutdown_exit() in the thread that ends the process.
 */

#include "../disposition.h"
#include "coordinator.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

/* --- Late signals --------------------------------------------------------- */

/* Have a signal that would have its default action do nothing until the end. */
void uvsig__mute_until_end(struct uvsig__coordinator* c, int signum) {
  if (sigismember(&c->muted, signum) != 1 && uvsig__mute(signum))
    sigaddset(&c->muted, signum);
}

/* The process is about to exit. A signal that comes until then must not end it
 * in another way: one of the shutdown's or a reload's, or any other that the
 * uvsig_t has watched. */
void uvsig__mute_late_signals(struct uvsig__coordinator* c) {
  const struct uvsig__hub* hub = c->sd->sig->hub;
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (hub->sources[signum] != NULL && uvsig__is_deadly(signum))
      uvsig__mute_until_end(c, signum);
}

/* After uvsig_shutdown_close() the program lives on. It may have watchers. */
void uvsig__unmute_all(struct uvsig__coordinator* c) {
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&c->muted, signum) == 1)
      uvsig__unmute(signum);
}

/* --- The exit ------------------------------------------------------------- */

/* Whether the thread that flushes is done. On the heap: it may outlive the
 * call. */
struct flush {
  uv_mutex_t mutex;
  uv_cond_t cond;
  bool is_over;
};

static bool is_locked(FILE* stream) {
  if (ftrylockfile(stream) != 0)
    return true;
  funlockfile(stream);
  return false;
}

static void flush_if_free(FILE* stream) {
  if (ftrylockfile(stream) != 0)
    return;
  fflush(stream);
  funlockfile(stream);
}

/* In a thread of its own. It waits for the lock of each stream, and a thread
 * that waits for input has its stream's. So what is most likely wanted
 * first. */
static void flush_all(void* arg) {
  struct flush* flush = arg;

  flush_if_free(stdout);
  flush_if_free(stderr);
  fflush(NULL);
  uv_mutex_lock(&flush->mutex);
  flush->is_over = true;
  uv_cond_signal(&flush->cond);
  uv_mutex_unlock(&flush->mutex);
}

static bool start_flush(struct flush* flush) {
  uv_thread_t thread;

  if (uv_mutex_init(&flush->mutex) != 0)
    return false;
  if (uv_cond_init(&flush->cond) == 0) {
    /* All signals are blocked there: SIGPIPE ends nobody. */
    if (uvsig_thread_create(&thread, flush_all, flush) == 0)
      return true;
    uv_cond_destroy(&flush->cond);
  }
  uv_mutex_destroy(&flush->mutex);
  return false;
}

static void wait_for_flush(struct flush* flush, uint64_t end) {
  uint64_t now = uvsig__now();

  uv_mutex_lock(&flush->mutex);
  for (; !flush->is_over && now < end; now = uvsig__now())
    uv_cond_timedwait(&flush->cond, &flush->mutex, end - now);
  uv_mutex_unlock(&flush->mutex);
}

/* Write all buffers, as exit() does, before `end`: neither a reader who does
 * not read nor a thread that has a stream's lock is to keep the process. */
static void flush_buffers(uint64_t end) {
  struct flush* flush = calloc(1, sizeof(*flush));

  if (flush != NULL && start_flush(flush)) {
    wait_for_flush(flush, end);
    return;
  }
  free(flush);
  flush_if_free(stdout);
  flush_if_free(stderr);
}

/* How long it may take: a second; less where a thread waits for standard input,
 * whose lock will not be free; and half of what the limit leaves. */
static uint64_t end_of_flush(struct uvsig__coordinator* c) {
  uint64_t now = uvsig__now();
  uint64_t most = (is_locked(stdin) ? 100 : 1000) * UVSIG__MS;
  uint64_t limit = c != NULL ? uvsig__watchdog_limit(c) : UVSIG__NEVER;

  if (limit < now + 2 * most)
    most = limit > now ? (limit - now) / 2 : 0;
  return now + most;
}

int uvsig_shutdown_set_exit_status(uvsig_shutdown_t* sd, int status) {
  if (sd == NULL || sd->sig == NULL || status < 0 || status > UINT8_MAX)
    return UV_EINVAL;
  sd->has_status = 1;
  sd->status = status;
  return 0;
}

int uvsig_shutdown_exit(uvsig_shutdown_t* sd) {
  struct uvsig__coordinator* c;
  uint64_t end;
  int signum;

  if (sd == NULL || sd->sig == NULL)
    return UV_EINVAL;
  c = sd->coordinator;
  if (c != NULL && !c->is_over)
    return UV_EBUSY;
  end = end_of_flush(c);
  if (c != NULL) {
    uvsig__report_conclude(c); /* where the DONE callback calls this */
    /* The watchdog's thread limits the exit, and reads it; phases.c goes on
     * when that callback returns. */
    if (!uvsig__watchdog_is_running(c) && c->is_given_up == NULL)
      uvsig__coordinator_free(c);
  }
  signum = sd->report.signum;
  if (sd->has_status)
    return sd->status;
  if (signum == 0 || sd->exit == UVSIG_SHUTDOWN_EXIT_ZERO)
    return 0;
  /* One that ends no process would leave the thread that flushes to exit(). */
  if (sd->exit == UVSIG_SHUTDOWN_EXIT_SIGNAL && uvsig__is_deadly(signum)) {
    flush_buffers(end);
    uvsig_reraise(signum); /* returns where the process lives on */
  }
  return 128 + signum;
}
