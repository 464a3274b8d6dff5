/* SPDX-License-Identifier: MIT
 *
 * What a fork does to the library: the child's hook gives everything back, and
 * uvsig_fork() starts again. The hook runs in the child before fork() returns,
 * uvsig_fork() in the child's loop thread.
 */

#include "disposition.h"
#include "dispatch.h"
#include "signalfd.h"
#include "source.h"
#include "wakeup.h"

/* Empty what the parent had, caught or read. A delivery that the fork was in
 * the middle of ends. */
static void inherit(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  struct uvsig__component* component;

  hub->inherited = true;
  hub->is_renewed = false;
  hub->has_own_poller = false;
  for (component = hub->components; component != NULL;
       component = component->next)
    if (component->on_fork != NULL)
      component->on_fork(component);
  uvsig__own_or_disown(hub);
  hub->end = 0; /* and `at` with the next read */
  hub->overdue = 0;
  hub->is_rung = false;
  if (hub->queue != NULL)
    uvsig__signalfd_inherit(hub->queue);
  hub->junk = 0;
  hub->full_buffers = 0;
  for (source = hub->first; source != NULL; source = source->after) {
    uvsig__source_reset(source);
    /* `mask_thread` stays: uvsig_fork() opens what the parent has open. */
    source->is_queued = false;
  }
}

/* Until uvsig_fork(), the child is as if the library had never been there. Only
 * what may be called in a signal handler may be called here (POSIX, fork()). */
void uvsig__begin_child(sigset_t* mask) {
  struct uvsig__hub* hub;

  uvsig__forget_dispositions();
  uvsig__forget_mutes();
  uvsig__forget_shares();
  uvsig__forget_wakeup_fd(mask);
  uvsig__forget_itimers();
  uvsig__mask_forget(mask);
  for (hub = uvsig__hubs; hub != NULL; hub = hub->next)
    inherit(hub);
}

/* As in the parent, in this thread: first what is to wait in the kernel's
 * queue. */
static int subscribe(struct uvsig__source* source) {
  if (source->mask_thread != 0)
    uvsig__mask_enter_queue(source);
  return uvsig__subscribe(&source->sub);
}

/* Back to what it was before subscribe(). */
static void retreat(struct uvsig__source* source) {
  unsigned long thread = source->mask_thread;
  bool is_blocked = source->is_queued && uvsig__mask_restore(source);

  uvsig__source_unsubscribe(source);
  if (is_blocked)
    uvsig__mask_unblock(source);
  source->mask_thread = thread;
}

/* Have the handler find every source that has watchers, or, where one is
 * refused, none. */
static int subscribe_all(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  int err = 0;

  for (source = hub->first; source != NULL && err == 0; source = source->after)
    if (source->first != NULL)
      err = subscribe(source);
  if (err == 0)
    return 0;
  for (source = hub->first; source != NULL; source = source->after)
    retreat(source);
  uvsig__synchronize();
  return err;
}

/* The steps that cannot fail. */
static void complete(struct uvsig__source* source) {
  if (source->is_shared)
    uvsig__share_rejoin(source);
  if (source->mask_thread != 0 && !source->is_queued)
    uvsig__mask_open(source);
}

/* Descriptors of the child's own, under the numbers of the parent's. */
static int renew(struct uvsig__hub* hub) {
  int err = hub->queue != NULL ? uvsig__signalfd_renew(hub->queue) : 0;

  return err != 0 ? err : uvsig__wakeup_renew(&hub->wakeup, &hub->options);
}

int uvsig_fork(uvsig_t* sig) {
  struct uvsig__source* source;
  struct uvsig__hub* hub;
  bool was_polled;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  if (!hub->inherited || uv_is_closing((uv_handle_t*) &hub->poll))
    return UV_EINVAL;

  /* The poll handle keeps its number. Stopped meanwhile: the system's poller
   * may know the parent's file by it. */
  was_polled = uv_is_active((uv_handle_t*) &hub->poll) != 0;
  uv_poll_stop(&hub->poll);
  if (hub->queue != NULL)
    uvsig__signalfd_pause(hub->queue);
  /* Once: where this is tried again, they may hold what was caught
   * meanwhile. */
  err = hub->is_renewed ? 0 : renew(hub);
  hub->is_renewed = err == 0;
  if (err == 0)
    err = subscribe_all(hub);
  if (err != 0) {
    if (was_polled) /* it keeps the loop alive */
      uv_poll_start(&hub->poll, UV_READABLE, uvsig__on_readable);
    return err;
  }
  /* Nothing can fail from here on. */
  hub->inherited = false;
  hub->is_deaf = false;
  /* Fails for a handle that is closing alone, which has been asked above. */
  uv_poll_start(&hub->poll, UV_READABLE, uvsig__on_readable);
  if (hub->queue != NULL)
    uvsig__signalfd_resume(hub->queue);
  for (source = hub->first; source != NULL; source = source->after)
    complete(source);
  return 0;
}
