/* SPDX-License-Identifier: MIT
 *
 * What a fork does to the library: the child's hook gives everything back, and
 * uvsig_fork() starts again. The hook runs in the child before fork() returns,
 * uvsig_fork() in the child's loop thread.
 */

#include "disposition.h"
#include "dispatch.h"
#include "libuv.h"
#include "source.h"
#include "wakeup.h"

/* Empty what the parent had, caught or read. A delivery that the fork was in
 * the middle of ends. */
static void inherit(struct uvsig__hub* hub, sigset_t* mask) {
  struct uvsig__source* source;
  struct uvsig__component* component;

  hub->inherited = true;
  hub->is_renewed = false;
  for (component = hub->components; component != NULL;
       component = component->next)
    if (component->on_fork != NULL)
      component->on_fork(component);
  uvsig__own_or_disown(hub);
  hub->at = 0;
  hub->end = 0;
  hub->overdue = 0;
  hub->junk = 0;
  hub->full_buffers = 0;
  for (source = hub->first; source != NULL; source = source->after) {
    uvsig__source_reset(source);
    uvsig__mask_forget(source, mask);
  }
}

/* Until uvsig_fork(), the child is as if the library had never been there. Only
 * what may be called in a signal handler may be called here (POSIX, fork()). */
void uvsig__begin_child(sigset_t* mask) {
  struct uvsig__hub* hub;

  uvsig__forget_dispositions();
  uvsig__forget_shares();
  uvsig__forget_wakeup_fd(mask);
  uvsig__forget_itimers();
  for (hub = uvsig__hubs; hub != NULL; hub = hub->next)
    inherit(hub, mask);
}

/* Have the handler find every source that has watchers, or, where one is
 * refused, none. */
static int subscribe_all(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  int err = 0;

  for (source = hub->first; source != NULL && err == 0; source = source->after)
    if (source->first != NULL)
      err = uvsig__subscribe(&source->sub);
  if (err == 0)
    return 0;
  for (source = hub->first; source != NULL; source = source->after)
    uvsig__source_unsubscribe(source);
  uvsig__synchronize();
  return err;
}

int uvsig_fork(uvsig_t* sig) {
  struct uvsig__source* source;
  struct uvsig__hub* hub;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  if (!hub->inherited || uv_is_closing((uv_handle_t*) &hub->poll))
    return UV_EINVAL;

  /* The poll handle keeps its number. Stopped meanwhile: the system's poller
   * may know the parent's file by it. */
  uv_poll_stop(&hub->poll);
  /* Once: where this is tried again, they may hold what was caught
   * meanwhile. */
  err = hub->is_renewed ? 0 : uvsig__wakeup_renew(&hub->wakeup, &hub->options);
  hub->is_renewed = err == 0;
  if (err == 0)
    err = subscribe_all(hub);
  if (err != 0)
    return err;
  /* Nothing can fail from here on. */
  hub->inherited = false;
  /* Fails for a handle that is closing alone, which has been asked above. */
  uv_poll_start(&hub->poll, UV_READABLE, uvsig__on_readable);
  for (source = hub->first; source != NULL; source = source->after) {
    if (source->is_shared)
      uvsig__share_rejoin(source);
    if (source->mask_thread != 0) /* the parent has it open */
      uvsig__mask_open(source);
  }
  return 0;
}
