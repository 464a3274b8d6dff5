/* SPDX-License-Identifier: MIT
 *
 * Delivery: which watchers of a source are notified of the next signals, and
 * how they are accounted for. Runs in the loop thread.
 */

#include "source.h"

#include <limits.h>

/* The watcher of the first wait that wants a signal. */
static uvsig_watcher_t* find_wait(const struct uvsig__source* source) {
  uvsig_watcher_t* w = source->first;

  while (w != NULL && (w->state & (UVSIG__WAIT | UVSIG__ENDED)) ==
                          (UVSIG__WAIT | UVSIG__ENDED))
    w = w->next;
  return w != NULL && (w->state & UVSIG__WAIT) != 0 ? w : NULL;
}

/* Is this watcher notified of a delivery? A wait, if there is one, takes it from
 * all but timers, which ask the clock what has expired since their start. */
static bool is_notified(const uvsig_watcher_t* w,
                        const struct uvsig__cursor* at) {
  if (at->wait != NULL)
    return w == at->wait || (w->state & UVSIG__TIMER) != 0;
  if ((w->state & UVSIG__WAIT) != 0)
    return false;
  return at->queued != NULL ? w->start <= at->starts : w->since < at->end;
}

/* Describe the signals of a delivery, but for how many each watcher is notified
 * of. Returns whether the sender of the last one is known. */
static bool describe(struct uvsig__source* source, struct uvsig__cursor* at) {
  if (at->queued == NULL)
    return uvsig__senders_take(source,
                               (unsigned long) uvsig__source_settled(source),
                               (unsigned long) (at->end - at->before),
                               at->info);
  uvsig__info_set(at->info, at->queued);
  source->account.queued++;
  return true;
}

/* Account for the signals of a delivery: the last `notified` of them are
 * delivered. Where that is one, and its sender is known, it is the last of them
 * for every watcher. */
static void settle(struct uvsig__source* source,
                   struct uvsig__cursor* at,
                   uint64_t notified) {
  uint64_t count = at->end - at->before;
  bool is_known = describe(source, at) && notified == 1;

  if (!is_known) {
    memset(at->info, 0, sizeof(*at->info));
    at->info->signum = source->sub.signum;
    at->info->flags = UVSIG_INFO_NONE;
  }
  if (source->sub.depth > 0)
    source->stats.info_dropped += notified - (is_known ? 1 : 0);
  source->stats.delivered += notified;
  source->stats.coalesced += notified > 1 ? notified : 0;
  source->stats.discarded += count - notified;
}

/* Notify the watchers that are left in a delivery. Any callback may stop, start
 * or free watchers, deliver what else is pending, or close the hub, whose
 * memory lasts until the loop goes round. */
static void notify(struct uvsig__source* source, struct uvsig__cursor* at) {
  uvsig_watcher_t* w;
  uint64_t notified;

  while ((w = at->next) != NULL) {
    at->next = w->next;
    if (!is_notified(w, at))
      continue;

    /* Behind the waits, the list is in the order of the starts: no later
     * watcher is notified of more than the first one. Accounted for before its
     * callback, which may stop and discard. */
    notified = at->wait != NULL
                   ? 1
                   : at->end - (w->since > at->before ? w->since : at->before);
    if (!at->is_settled)
      settle(source, at, notified);
    at->is_settled = true;
    /* Not reached here: 4,294,967,296 signals in one turn of the loop. */
    at->info->count = notified > UINT_MAX ? UINT_MAX : (unsigned) notified;
    if ((w->state & UVSIG__ONESHOT) != 0) {
      w->state &= ~(unsigned) UVSIG__ONESHOT;
      uvsig__source_stop(source, w);
    }
    source->hub->calls++;
    w->cb(w, source->sub.signum, at->info);
  }
}

/* Notify the watchers of the signals behind `before` and up to `end`, or the
 * first wait, and then it must be one signal at most. */
static void deliver(struct uvsig__source* source,
                    uint64_t before,
                    uint64_t end,
                    const siginfo_t* queued) {
  uvsig_info_t info;
  struct uvsig__cursor cursor = {.next = source->first,
                                 .outer = source->cursors,
                                 .wait = find_wait(source),
                                 .queued = queued,
                                 .starts = source->starts,
                                 .before = before,
                                 .end = end,
                                 .info = &info};

  source->cursors = &cursor;
  notify(source, &cursor);
  source->cursors = cursor.outer;
  if (!cursor.is_settled)
    settle(source, &cursor, 0);
}

/* The next `count` signals that the handler has caught. */
void uvsig__source_deliver(struct uvsig__source* source, unsigned long count) {
  uint64_t before = uvsig__source_settled(source);

  if (count > 0)
    deliver(source, before, before + count, NULL);
}

/* A signal of the kernel's queue: it has just been caught, after the start of
 * every watcher that there is now. */
void uvsig__source_deliver_queued(struct uvsig__source* source,
                                  const siginfo_t* info) {
  deliver(source, UINT64_MAX - 1, UINT64_MAX, info);
}

/* Deliver as much of what has been taken as one callback may stand for, or,
 * with `is_whole`, all. The rest stays where a nested flush finds it. */
void uvsig__source_deliver_taken(struct uvsig__source* source, bool is_whole) {
  unsigned long count = uvsig__source_taken(source);
  unsigned long singles;
  unsigned long most;

  /* A wait takes one. A byte in the pipe stands for one, too. */
  if (find_wait(source) != NULL || (source->account.singles > 0 && !is_whole))
    count = 1;
  singles = count < source->account.singles ? count : source->account.singles;
  source->account.singles -= singles;
  source->account.taken -= count - singles;
  /* A byte that the handler did not write may have been taken for one of these:
   * never deliver more than were caught. */
  most = uvsig__source_pending(source);
  uvsig__source_deliver(source, count < most ? count : most);
}

static struct uvsig__cursor* find_unfinished(
    const struct uvsig__source* source) {
  struct uvsig__cursor* cursor;
  struct uvsig__cursor* outermost = NULL;

  for (cursor = source->cursors; cursor != NULL; cursor = cursor->outer)
    if (cursor->next != NULL && !cursor->is_drain)
      outermost = cursor;
  return outermost;
}

/* In a callback: finish the deliveries that it was called from the middle of,
 * the oldest first. */
void uvsig__source_resume(struct uvsig__source* source) {
  struct uvsig__cursor* cursor;
  unsigned count;

  while ((cursor = find_unfinished(source)) != NULL) {
    /* The callback that is under way has the same info in its hands. */
    count = cursor->info->count;
    notify(source, cursor);
    cursor->info->count = count;
  }
}
