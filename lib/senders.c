/* SPDX-License-Identifier: MIT
 *
 * Who sent the signals that are not delivered yet: the loop's side of what
 * handler.c keeps. Runs in the loop thread.
 *
 * A signal's sender slot is found by its number among the signals of its
 * source. A handler that finds the slot in use keeps no sender: a slot belongs
 * to the signal that its number says, and to no other. A handler may fill its
 * slot after the loop has delivered the signal, if another handler was faster.
 * The loop frees such a slot at the next signal that has the same slot.
 */

#include "source.h"

/* Free the slots of `count` signals from number `first` on. Returns whether
 * there was one of the last of them, and it is in `*info` then. */
bool uvsig__senders_take(struct uvsig__source* source,
                         unsigned long first,
                         unsigned long count,
                         uvsig_info_t* info) {
  unsigned long end = first + count;
  unsigned long at =
      count > source->sub.depth ? end - source->sub.depth : first;
  struct uvsig__sender* slot;
  unsigned long state;
  uint64_t latency;
  bool found = false;

  for (; at != end; at++) {
    slot = &source->senders[at & (source->sub.depth - 1)];
    /* Acquire: pairs with the handler's release. */
    state = atomic_load_explicit(&slot->state, memory_order_acquire);
    if ((state & UVSIG__STATE) != UVSIG__READY)
      continue;
    state &= ~(unsigned long) UVSIG__STATE;
    if ((long) (state - (at << 2)) > 0)
      continue; /* of a signal that is still to come */
    /* Others were kept for a signal before these, and are too late. */
    if ((long) (state - (first << 2)) >= 0 && slot->time != 0) {
      latency = uvsig__now() - slot->time;
      if (latency > source->stats.max_latency_ns)
        source->stats.max_latency_ns = latency;
    }
    if (state == at << 2 && at == end - 1) {
      *info = slot->info;
      found = true;
    }
    /* Release: pairs with the handler's acquire. */
    atomic_store_explicit(&slot->state, UVSIG__FREE, memory_order_release);
  }
  return found;
}

/* Nothing watches, and no handler is in flight. */
void uvsig__senders_clear(struct uvsig__source* source) {
  unsigned long i;

  for (i = 0; i < source->sub.depth; i++)
    /* Relaxed: uvsig__synchronize() has seen the handlers leave, and the next
     * ones come after the source is published again. */
    atomic_store_explicit(
        &source->senders[i].state, UVSIG__FREE, memory_order_relaxed);
}
