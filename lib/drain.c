/* SPDX-License-Identifier: MIT
 *
 * The end of a watcher that loses nothing: it gives its signal back, and is
 * notified of all that was caught until then. Runs in the loop thread.
 */

#include "dispatch.h"
#include "disposition.h"
#include "queue.h"
#include "source.h"

/* Take everything that was caught for a source. Where `w` is its last watcher,
 * the signal is given back first. Handlers in flight are waited for twice:
 * after the first time they have counted their signals, and after the second
 * each signal that is counted has its byte or is in the counter. */
static void take_caught(struct uvsig__source* source, uvsig_watcher_t* w) {
  struct uvsig__hub* hub = source->hub;
  unsigned long pending;
  uint64_t total;

  if (uvsig__source_has_other(source, w))
    uvsig__synchronize();
  else
    uvsig__source_release(source);
  pending = uvsig__source_pending(source);
  uvsig__synchronize();
  /* Of all sources, since a full buffer is warned of once. The wake flag stays
   * set, so the loop comes to deliver the other sources' signals. */
  total = uvsig__collect_overflow(hub);
  uvsig__source_withdraw(source, pending);
  /* The loop warns of another error of the pipe: see uvsig__on_prepare(). */
  if (atomic_load_explicit(&hub->wakeup.error, memory_order_relaxed) == 0)
    uvsig__report_full_buffer(hub, total);
}

/* Notify `w` of what was caught, as the loop would. A callback may stop or free
 * `w`; the cursor knows whether it is still there. If not, the rest is for the
 * other watchers. Returns whether to do it once more: a callback has made it
 * the last one. */
static bool drain_once(struct uvsig__source* source,
                       struct uvsig__cursor* cursor,
                       uvsig_watcher_t* w) {
  uvsig__drain_queue(source, cursor, (w->state & UVSIG__ONESHOT) != 0);
  if (cursor->next == NULL)
    return false;
  take_caught(source, w);
  while (uvsig__source_taken(source) > 0)
    /* A one-shot is notified once, so of all of them. */
    uvsig__source_deliver_taken(
        source, cursor->next != NULL && (w->state & UVSIG__ONESHOT) != 0);
  return source->sub.is_linked && cursor->next != NULL &&
         !uvsig__source_has_other(source, w);
}

/* Notify `w` of everything, and stop it. */
static void drain(struct uvsig__source* source, uvsig_watcher_t* w) {
  struct uvsig__cursor cursor = {
      .next = w, .outer = source->cursors, .is_drain = true};

  source->cursors = &cursor;
  /* In a callback: watchers are notified first of what came first. */
  uvsig__source_resume(source);
  while (cursor.next != NULL && drain_once(source, &cursor, w))
    ;
  source->cursors = cursor.outer;
  if (cursor.next != NULL)
    uvsig__source_stop(source, w);
}

int uvsig_watcher_drain(uvsig_watcher_t* w) {
  struct uvsig__hub* hub;
  int err;

  if (w == NULL)
    return UV_EINVAL;
  /* First, as uvsig_watcher_stop(). */
  if (w->source == NULL)
    return 0;
  err = uvsig__hub_of(w->sig, &hub);
  if (err == 0)
    drain(w->source, w);
  return err;
}
