/* SPDX-License-Identifier: MIT
 *
 * The end of a coordinator: nothing is registered any more, its handles are
 * closed, and then the DONE callback is called, or the user's of
 * uvsig_shutdown_close(). Runs in the loop thread.
 */

#include "coordinator.h"
#include "report.h"
#include "upgrade.h"

#include <sched.h>

void uvsig__watchers_stop(struct uvsig__coordinator* c) {
  unsigned i;

  for (i = 0; i < c->watcher_count; i++)
    uvsig_watcher_stop(&c->watchers[i]);
}

static void on_handles_closed(void* owner) {
  struct uvsig__coordinator* c = owner;
  uvsig_shutdown_t* sd = c->sd;
  uvsig_shutdown_close_cb close_cb = c->close_cb;
  bool is_given_up = false;

  if (uvsig__is_in(c, UVSIG__CLOSED)) {
    uvsig__coordinator_free(c);
    if (close_cb != NULL)
      close_cb(sd);
    return;
  }
  c->is_over = true;
  uvsig__watchdog_set_over(c);
  if (c->options.phase_cb != NULL) {
    uvsig__report_count_left(c);
    c->is_given_up = &is_given_up;
    c->options.phase_cb(sd, UVSIG_SHUTDOWN_DONE);
    if (is_given_up)
      return;
    c->is_given_up = NULL;
  }
  uvsig__report_conclude(c);
  if (!c->options.keep_sig) {
    uvsig_close(sd->sig, NULL); /* fails where the callback has closed it */
    c->has_closed_sig = true;
  }
  /* Handles and requests that are left would keep uv_run() from returning. */
  if (uvsig__report_is_alive(c))
    uv_stop(c->loop);
}

static bool has_handle(const void* owner, const uv_handle_t* handle) {
  const struct uvsig__coordinator* c = owner;

  return uvsig__has(&c->component, handle);
}

/* Calls are refused already: the phase is DONE or CLOSED. */
static void close_everything(struct uvsig__coordinator* c) {
  uvsig__watchers_stop(c);
  uvsig__upgrade_forget(c);
  uvsig__reloads_forget(c);
  uvsig__linger_close_all(c);
  uvsig__connections_forget(c);
  uvsig__children_forget(c);
  uvsig__holds_forget(c);
  uvsig__listeners_forget(c);
  uvsig__closers_forget(c);
  /* A request that came before the phase changed may still use the async. */
  while (atomic_load(&c->callers) != 0)
    sched_yield();
  uvsig__kernel_timer_delete(c);
  if (uvsig__is_in(c, UVSIG_SHUTDOWN_DONE) && !uvsig__watchdog_is_running(c))
    uvsig__kernel_timer_kill(c);
  uvsig__detach(c->sd->sig, &c->component);
  c->closing.owner = c;
  c->closing.has = has_handle;
  c->closing.done = on_handles_closed;
  /* Two turns: streams that were closed just now are then closed, too. */
  uvsig__closing_start(&c->closing, c->loop, 2);
  uvsig__looks_close(c);
  uvsig__notify_close(c);
}

/* The phase is DONE. */
void uvsig__finish(struct uvsig__coordinator* c) {
  c->sd->report.clean = c->phase_at[UVSIG_SHUTDOWN_FORCING] == 0 &&
                        c->sd->report.forced == 0 && c->sd->report.cut == 0 &&
                        c->sd->report.closers == 0;
  uvsig__report_end(c);
  uvsig__mute_late_signals(c);
  close_everything(c);
}

int uvsig_shutdown_close(uvsig_shutdown_t* sd, uvsig_shutdown_close_cb cb) {
  struct uvsig__coordinator* c;
  int err;

  if (sd == NULL || sd->coordinator == NULL)
    return UV_EINVAL;
  c = sd->coordinator;
  /* Not by uvsig__coordinator_of(): the uvsig_t may have been closed before. */
  if (c->is_over) {
    if (c->is_given_up != NULL) {
      *c->is_given_up = true;
      uvsig__report_conclude(c);
    }
    uvsig__watchdog_stop(c);
    uvsig__kernel_timer_delete(c);
    uvsig__unmute_all(c);
    uvsig__coordinator_free(c);
    return 0;
  }
  err = uvsig__coordinator_of(sd, &c);
  if (err == UV_EINVAL || (err == 0 && uvsig__is_in(c, UVSIG_SHUTDOWN_DONE)))
    return UV_EALREADY;
  if (err != 0)
    return err;
  c->close_cb = cb;
  atomic_store(&c->is_ready, 0);
  uvsig__lock();
  atomic_store(&c->phase, UVSIG__CLOSED);
  uvsig__unlock();
  uvsig__watchdog_stop(c);
  uvsig__unmute_all(c);
  close_everything(c);
  return 0;
}
