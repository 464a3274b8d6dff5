/* SPDX-License-Identifier: MIT
 *
 * Waiting for a signal on the loop, without blocking it. A wait has a watcher
 * for each signal of its set; the first of them to be called takes the signal
 * and ends the wait. Runs in the loop thread.
 */

#include "dispatch.h"
#include "source.h"

#include <stdlib.h>

/* What is behind a uvsig_wait_t, whose memory the callback may free. */
struct uvsig__wait {
  uvsig_wait_t* req;
  uvsig_wait_cb cb;
  struct uvsig__hub* hub;
  struct uvsig__wait* next;
  uint64_t deadline; /* or UVSIG__NEVER */
  int status;        /* then: UV_ETIMEDOUT, or UV_ECANCELED */
  size_t size;
  uvsig_watcher_t watchers[];
};

/* The link to the wait of `req`, or the end of the list. Only the list knows
 * whether there is one: the memory of `req` may be anything. */
static struct uvsig__wait** find_link(struct uvsig__hub* hub,
                                      const uvsig_wait_t* req) {
  struct uvsig__wait** link = &hub->waits;

  while (*link != NULL && (*link)->req != req)
    link = &(*link)->next;
  return link;
}

/* Stop the watchers of the wait. A uvsig_t that has been closed meanwhile has
 * stopped them already. */
static void stop_watchers(struct uvsig__wait* wait) {
  size_t i;

  for (i = 0; i < wait->size; i++)
    uvsig_watcher_stop(&wait->watchers[i]);
}

/* End the wait, and call its callback, once. The watchers are stopped after it,
 * so that a wait which the callback starts misses no signal. */
static void end_wait(struct uvsig__wait* wait,
                     int status,
                     const uvsig_info_t* info) {
  size_t i;

  *find_link(wait->hub, wait->req) = wait->next;
  for (i = 0; i < wait->size; i++)
    wait->watchers[i].state |= UVSIG__ENDED;
  wait->req->wait = NULL;
  wait->cb(wait->req, status, info);
  stop_watchers(wait);
  free(wait);
}

/* --- Time limits ---------------------------------------------------------- */

static void on_wait_timer(uv_timer_t* timer);

static struct uvsig__wait* first_to_end(const struct uvsig__hub* hub) {
  struct uvsig__wait* wait;
  struct uvsig__wait* first = hub->waits;

  for (wait = first; wait != NULL; wait = wait->next)
    if (wait->deadline < first->deadline)
      first = wait;
  return first;
}

/* Have the loop come back when the first wait is over, `soonest` milliseconds
 * from now or later. The loop's idea of "now" may be old, so it may come too
 * early, and then finds nothing to do. */
static void set_timer(struct uvsig__hub* hub, uint64_t soonest) {
  const struct uvsig__wait* first = first_to_end(hub);
  uint64_t now = uvsig__now();
  uint64_t left;

  if (first == NULL || first->deadline == UVSIG__NEVER) {
    uv_timer_stop(&hub->wait_timer);
    return;
  }
  left = first->deadline > now ? (first->deadline - now + 999999) / 1000000 : 0;
  /* Fails for a handle that the program has closed: see closing.c. */
  uv_timer_start(
      &hub->wait_timer, on_wait_timer, left > soonest ? left : soonest, 0);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  struct uvsig__wait* wait = w->data;
  struct uvsig__hub* hub = wait->hub;

  (void) signum;
  end_wait(wait, 0, info);
  /* Its own deadline must not keep the loop alive any longer. */
  if (!hub->closing)
    set_timer(hub, 0);
}

static void on_wait_timer(uv_timer_t* timer) {
  struct uvsig__hub* hub = timer->data;
  struct uvsig__wait* wait;
  uint64_t now;

  uvsig__own(hub);
  /* In this order: what was caught before the time was over is taken, however
   * late the loop is. So is what came after it and before this flush: when it
   * was caught is not kept. */
  now = uvsig__now();
  uvsig__flush(hub);
  /* Not those that a callback starts or cancels: they end later than `now`. */
  while (!hub->closing && (wait = first_to_end(hub)) != NULL &&
         wait->deadline < now)
    end_wait(wait, wait->status, NULL);
  /* 1: libuv up to 1.44 runs a timer that is due at once in the same turn, and
   * a callback that starts another wait of 0 seconds would never let it go
   * on. */
  if (!hub->closing)
    set_timer(hub, 1);
}

/* --- The public functions ------------------------------------------------- */

/* uvsig_close() has stopped all watchers; the handles are closed. */
void uvsig__cancel_waits(struct uvsig__hub* hub) {
  while (hub->waits != NULL)
    end_wait(hub->waits, UV_ECANCELED, NULL);
}

int uvsig_wait_start(uvsig_t* sig,
                     uvsig_wait_t* req,
                     const sigset_t* set,
                     double seconds,
                     uvsig_wait_cb cb) {
  struct uvsig__hub* hub;
  struct uvsig__wait* wait;
  sigset_t catchable;
  uint64_t deadline;
  size_t size;
  int err;

  if (req == NULL || set == NULL || cb == NULL)
    return UV_EINVAL;
  err = uvsig__hub_of(sig, &hub);
  if (err == 0)
    err = uvsig__deadline_after(seconds, &deadline);
  if (err != 0)
    return err;
  size = uvsig__filter(set, &catchable);
  if (size == 0 && deadline == UVSIG__NEVER)
    return UV_EINVAL;
  if (*find_link(hub, req) != NULL)
    return UV_EBUSY;
  if (hub->inherited)
    return UV_EBADF;

  wait = calloc(1, sizeof(*wait) + size * sizeof(*wait->watchers));
  if (wait == NULL)
    return UV_ENOMEM;
  wait->req = req;
  wait->cb = cb;
  wait->hub = hub;
  wait->deadline = deadline;
  wait->status = UV_ETIMEDOUT;
  wait->size = size;
  err = uvsig__watcher_start_all(
      sig, wait->watchers, on_signal, &catchable, wait, UVSIG__WAIT);
  if (err != 0) {
    stop_watchers(wait);
    free(wait);
    return err;
  }
  *find_link(hub, req) = wait; /* at the end */
  set_timer(hub, 0);
  req->sig = sig;
  req->wait = wait;
  return 0;
}

int uvsig_wait_cancel(uvsig_wait_t* req) {
  struct uvsig__hub* hub;
  struct uvsig__wait* wait;
  int err;

  if (req == NULL || req->wait == NULL)
    return UV_EINVAL;
  err = uvsig__hub_of(req->sig, &hub);
  if (err != 0)
    return err;
  wait = req->wait;
  if (wait->status == UV_ECANCELED)
    return UV_EALREADY;
  wait->status = UV_ECANCELED;
  wait->deadline = uvsig__now();
  stop_watchers(wait);
  set_timer(hub, 0);
  return 0;
}
