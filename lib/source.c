/* SPDX-License-Identifier: MIT
 *
 * One signal of one uvsig_t: its watchers, what they require, and what has been
 * caught for them. Runs in the loop thread.
 *
 * A signal's place in the order of all signals of its source is its number: the
 * n-th that was settled, that is, delivered or discarded, is the n-th that was
 * caught, since signals of one number are alike. A watcher is notified of those
 * that are later than its start, `since`.
 */

#include "source.h"

#include "disposition.h"
#include "signalfd.h"

#include <stdlib.h>

/* --- Accounting ----------------------------------------------------------- */

uint64_t uvsig__source_settled(const struct uvsig__source* source) {
  return source->stats.delivered + source->stats.discarded -
         source->account.queued;
}

/* How many were caught and are neither delivered nor discarded. */
unsigned long uvsig__source_pending(const struct uvsig__source* source) {
  /* Acquire: pairs with the handler's release, for a loop that first read
   * `overflow` or a byte, and must find what it stands for counted here. */
  unsigned long caught =
      atomic_load_explicit(&source->sub.caught, memory_order_acquire);

  return caught - (unsigned long) uvsig__source_settled(source);
}

/* How many signals have been taken from the pipe or the counter, and are not
 * delivered. */
unsigned long uvsig__source_taken(const struct uvsig__source* source) {
  return source->account.singles + source->account.taken;
}

/* Take the next `pending` signals, whose handlers have left, without reading
 * the pipe: what is not in the counter has a byte there, which is skipped when
 * it is read. Handlers may catch more meanwhile, and raise the counter for
 * that. It does not matter which of the signals are taken from the counter:
 * signals of one number are alike, and a byte is left for each later signal
 * that the counter has no more. */
void uvsig__source_withdraw(struct uvsig__source* source,
                            unsigned long pending) {
  unsigned long taken;

  source->account.taken += atomic_exchange(&source->sub.overflow, 0);
  taken = uvsig__source_taken(source);
  if (taken < pending) {
    source->account.stale += pending - taken;
    source->account.singles += pending - taken;
  }
}

/* What was read goes back to the kernel, but for an interval timer's last. */
static unsigned long give_back(struct uvsig__source* source) {
  struct uvsig__signalfd* queue = source->hub->queue;
  int signum = source->sub.signum;

  if (queue == NULL)
    return 0;
  return atomic_load(&uvsig__shared.forgets[signum])
             ? uvsig__signalfd_drop(queue, signum)
             : uvsig__signalfd_return(queue, signum);
}

/* No handler is in flight that could find the source. */
static void discard(struct uvsig__source* source) {
  unsigned long pending = uvsig__source_pending(source);
  unsigned long queued = give_back(source);

  uvsig__source_withdraw(source, pending);
  source->account.queued += queued;
  source->stats.discarded += pending + queued;
  source->account.singles = 0;
  source->account.taken = 0;
  uvsig__senders_clear(source);
}

/* In the child of a fork: nothing has been caught, and a delivery that the fork
 * was in the middle of ends. A drain has still to stop its watcher. */
void uvsig__source_reset(struct uvsig__source* source) {
  struct uvsig__cursor* cursor;
  uvsig_watcher_t* w;

  for (cursor = source->cursors; cursor != NULL; cursor = cursor->outer)
    if (!cursor->is_drain)
      cursor->next = NULL;
  atomic_store(&source->sub.caught, 0);
  atomic_store(&source->sub.overflow, 0);
  source->sub.is_linked = false;
  /* libuv waits with the end of a handle until it has dispatched what it has
   * caught for it, which is in the parent's pipe. */
  source->share.dispatched_signals = source->share.caught_signals;
  memset(&source->stats, 0, sizeof(source->stats));
  memset(&source->account, 0, sizeof(source->account));
  for (w = source->first; w != NULL; w = w->next)
    w->since = 0;
  uvsig__senders_clear(source);
}

static void link_by_number(struct uvsig__source* source) {
  struct uvsig__source** link = &source->hub->first;

  while (*link != NULL && (*link)->sub.signum < source->sub.signum)
    link = &(*link)->after;
  source->after = *link;
  *link = source;
}

struct uvsig__source* uvsig__source_get(struct uvsig__hub* hub, int signum) {
  struct uvsig__source* source = hub->sources[signum];

  if (source != NULL)
    return source;
  source = calloc(
      1, sizeof(*source) + hub->options.info_depth * sizeof(*source->senders));
  if (source == NULL)
    return NULL;
  source->hub = hub;
  source->sub.depth = hub->options.info_depth;
  source->sub.senders = source->senders;
  source->sub.time_stamps = hub->options.time_stamps != 0;
  source->sub.signum = signum;
  source->sub.wakeup = &hub->wakeup;
  hub->sources[signum] = source;
  link_by_number(source);
  return source;
}

/* --- What the watchers require -------------------------------------------- */

static bool shares(const struct uvsig__source* source, unsigned flags) {
  return source->sub.signum == SIGCHLD || (flags & UVSIG_SHARE) != 0;
}

static bool chains(const struct uvsig__source* source, unsigned flags) {
  return shares(source, flags) || (flags & UVSIG_CHAIN) != 0;
}

/* One watcher more, or one less: `change` is 1 or -1. */
static void require(struct uvsig__source* source,
                    const uvsig_watcher_t* w,
                    int change) {
  if (chains(source, w->flags))
    atomic_fetch_add(&source->sub.chains, (unsigned) change);
  if ((w->flags & UVSIG_NOCLDSTOP) == 0)
    atomic_fetch_add(&source->sub.stop_watchers, (unsigned) change);
}

/* Not before the last watcher of any kind: libuv sets the default action when
 * it stops, for an instant also over ours. */
static void stop_sharing(struct uvsig__source* source) {
  if (source->is_shared)
    uvsig__share_close(source);
  source->is_shared = false;
}

/* Does a watcher want the mask changed, and none has before? */
static bool wants_mask(const struct uvsig__source* source,
                       const uvsig_watcher_t* w) {
  return (w->flags & UVSIG_KEEP_MASK) == 0 && source->mask_thread == 0;
}

/* Handlers may be using the source until uvsig__synchronize(). */
void uvsig__source_unsubscribe(struct uvsig__source* source) {
  if (source->sub.is_linked && !uvsig__unsubscribe(&source->sub))
    source->stats.replaced++;
}

/* Give the signal back: what comes from here on has the previous action. Its
 * last watcher may still have to be notified of what was caught. The mask goes
 * first: a signal in between meets the launcher's mask and not its action.
 * libuv's handle goes, too: a signal that only libuv's handler caught meanwhile
 * would be lost. */
void uvsig__source_release(struct uvsig__source* source) {
  bool is_blocked = uvsig__mask_restore(source);

  uvsig__source_unsubscribe(source);
  if (is_blocked)
    uvsig__mask_unblock(source);
  uvsig__synchronize();
  stop_sharing(source);
}

/* Make the source ready for one more watcher. The only step of a start that can
 * fail. */
int uvsig__source_prepare(struct uvsig__source* source, uvsig_watcher_t* w) {
  bool is_shared = shares(source, w->flags);
  uint64_t since;
  int err = 0;

  if (source->hub->queue != NULL)
    err = uvsig__signalfd_poll(source->hub->queue, source->hub);
  if (err == 0 && is_shared && !source->is_shared) {
    err = uvsig__share_open(source);
    source->is_shared = err == 0;
  }
  if (err != 0)
    return err;
  require(source, w, 1);
  if (w->handler != NULL)
    atomic_store(&source->sub.hooked, w);
  /* What the watcher is notified of has had its handler and the chain. */
  if (source->sub.is_linked && (w->handler != NULL || chains(source, w->flags)))
    uvsig__synchronize();
  if (wants_mask(source, w))
    uvsig__mask_enter_queue(source);
  since = uvsig__source_settled(source) + uvsig__source_pending(source);
  /* libuv may have replaced our handler before a watcher had UVSIG_SHARE. */
  err =
      is_shared || !source->sub.is_linked ? uvsig__subscribe(&source->sub) : 0;
  if (err == 0) {
    w->since = since;
    return 0;
  }
  if (w->handler != NULL)
    atomic_store(&source->sub.hooked, NULL);
  /* Its handler must not be running. */
  uvsig__synchronize();
  require(source, w, -1);
  if (!source->sub.is_linked && source->is_queued &&
      uvsig__mask_restore(source))
    uvsig__mask_unblock(source);
  if (source->first == NULL)
    stop_sharing(source);
  return err;
}

/* --- The list of watchers ------------------------------------------------- */

/* Behind the last one of its kind: waits come before the others. */
static void insert_watcher(struct uvsig__source* source, uvsig_watcher_t* w) {
  uvsig_watcher_t* next = NULL;

  if ((w->state & UVSIG__WAIT) != 0)
    for (next = source->first;
         next != NULL && (next->state & UVSIG__WAIT) != 0;)
      next = next->next;
  w->next = next;
  w->prev = next != NULL ? next->prev : source->last;
  if (w->prev != NULL)
    w->prev->next = w;
  else
    source->first = w;
  if (next != NULL)
    next->prev = w;
  else
    source->last = w;

  w->source = source;
  w->start = ++source->starts;
  w->signum = source->sub.signum;
  /* Relaxed: a signal that comes at the same time may find either count. */
  if ((w->state & UVSIG__SPARE) == 0)
    atomic_fetch_add_explicit(&source->sub.users, 1, memory_order_relaxed);
  if ((w->state & UVSIG__UNREF) == 0)
    uvsig__count_ref(source->hub, 1);
}

static void remove_watcher(struct uvsig__source* source, uvsig_watcher_t* w) {
  struct uvsig__cursor* cursor;

  for (cursor = source->cursors; cursor != NULL; cursor = cursor->outer)
    if (cursor->next == w)
      cursor->next = cursor->is_drain ? NULL : w->next;
  if (w->prev != NULL)
    w->prev->next = w->next;
  else
    source->first = w->next;
  if (w->next != NULL)
    w->next->prev = w->prev;
  else
    source->last = w->prev;

  w->source = NULL;
  w->signum = 0;
  if (w->handler != NULL)
    atomic_store(&source->sub.hooked, NULL);
  if ((w->state & UVSIG__SPARE) == 0)
    atomic_fetch_sub_explicit(&source->sub.users, 1, memory_order_relaxed);
  if ((w->state & UVSIG__UNREF) == 0)
    uvsig__count_ref(source->hub, -1);
}

/* Add a watcher for which uvsig__source_prepare() has made the source ready. */
void uvsig__source_add(struct uvsig__source* source, uvsig_watcher_t* w) {
  insert_watcher(source, w);
  /* Last: what the launcher's mask held back is caught at once. */
  if (wants_mask(source, w))
    uvsig__mask_open(source);
  else if (source->is_queued && uvsig__source_needs_handler(source))
    uvsig__mask_leave_queue(source);
}

void uvsig__source_stop(struct uvsig__source* source, uvsig_watcher_t* w) {
  bool is_last;

  remove_watcher(source, w);
  is_last = source->first == NULL;
  if (is_last)
    uvsig__source_release(source);
  else if (w->handler != NULL)
    /* It must not be running when the watcher's memory is the user's. */
    uvsig__synchronize();
  require(source, w, -1);
  uvsig__update_stopped(source->sub.signum);
  if (is_last)
    discard(source);
}

/* Is there a watcher that would be notified of a signal, other than `w`? */
bool uvsig__source_has_other(const struct uvsig__source* source,
                             const uvsig_watcher_t* w) {
  const uvsig_watcher_t* other = source->first;

  while (other != NULL && (other == w || (other->state & UVSIG__ENDED) != 0))
    other = other->next;
  return other != NULL;
}

bool uvsig__source_has(const struct uvsig__source* source,
                       const uvsig_watcher_t* w) {
  const uvsig_watcher_t* at = source->first;

  while (at != NULL && at != w)
    at = at->next;
  return at != NULL;
}
