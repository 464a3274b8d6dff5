/* SPDX-License-Identifier: MIT
 *
 * Who sent the signals that are not delivered yet: the loop's side of what
 * handler.c keeps. Runs in the loop thread.
 *
 * A signal's record is found by its number among the signals of its source. A
 * handler that finds it taken keeps no sender; so a record is never another
 * signal's than its number says, and one whose signal has been delivered
 * without it, because its handler was slower than the next, is freed when the
 * loop comes round to it.
 */

#include "internal.h"

/* Free the records of `count` signals from number `first` on. Returns whether
 * there was one of the last of them, and it is in `*info` then. */
bool uvsig__records_take(struct uvsig__source* source,
                         unsigned long first,
                         unsigned long count,
                         siginfo_t* info) {
  unsigned long end = first + count;
  unsigned long at = count > source->depth ? end - source->depth : first;
  struct uvsig__record* record;
  unsigned long state;
  uint64_t latency;
  bool found = false;

  for (; at != end; at++) {
    record = &source->records[at & (source->depth - 1)];
    /* Acquire: pairs with the handler's release. */
    state = atomic_load_explicit(&record->state, memory_order_acquire);
    if ((state & UVSIG__STATE) != UVSIG__READY)
      continue;
    state &= ~(unsigned long) UVSIG__STATE;
    if ((long) (state - (at << 2)) > 0)
      continue; /* of a signal that is still to come */
    /* Others were kept for a signal before these, and are too late. */
    if ((long) (state - (first << 2)) >= 0 && record->time != 0) {
      latency = uvsig__now() - record->time;
      if (latency > source->max_latency)
        source->max_latency = latency;
    }
    if (state == at << 2 && at == end - 1) {
      *info = record->info;
      found = true;
    }
    /* Release: pairs with the handler's acquire. */
    atomic_store_explicit(&record->state, UVSIG__FREE, memory_order_release);
  }
  return found;
}

/* Nobody watches, and no handler is in flight. */
void uvsig__records_clear(struct uvsig__source* source) {
  unsigned long i;

  for (i = 0; i < source->depth; i++)
    /* Relaxed: uvsig__synchronize() has seen the handlers leave, and the next
     * ones come after the source is published again. */
    atomic_store_explicit(
        &source->records[i].state, UVSIG__FREE, memory_order_relaxed);
}
