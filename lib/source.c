/* SPDX-License-Identifier: MIT
 *
 * One signal of one uvsig_t: its watchers, and the books of who is told of
 * what. Runs in the loop thread.
 *
 * A signal's place in the order of all signals of its source is its number:
 * the n-th that was delivered or discarded is the n-th that was caught, since
 * signals of one number are alike. A watcher is told of those that are later
 * than its start, `since`.
 */

#include "internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* --- The books ------------------------------------------------------------ */

static uint64_t settled(const struct uvsig__source* source) {
  return source->delivered + source->discarded;
}

/* How many were caught and are neither delivered nor discarded. */
unsigned long uvsig__source_pending(const struct uvsig__source* source) {
  /* Acquire: pairs with the handler's release, for those who first read
   * `uncarried` or a byte, and must find what it stands for counted here. */
  unsigned long caught =
      atomic_load_explicit(&source->caught, memory_order_acquire);

  return caught - (unsigned long) settled(source);
}

/* Settle what is pending as discarded. Nobody watches, and no handler is in
 * flight: what is not in a counter is in the pipe, and is skipped when it is
 * read; whatever comes later comes behind it. */
static void discard(struct uvsig__source* source) {
  unsigned long pending = uvsig__source_pending(source);
  unsigned long uncarried;

  /* Relaxed: uvsig__synchronize() has seen the handlers leave. */
  uncarried = source->taken + atomic_exchange_explicit(
                                  &source->uncarried, 0, memory_order_relaxed);
  source->taken = 0;
  source->stale += pending - uncarried;
  source->discarded += pending;
  uvsig__records_clear(source);
}

/* In the child of a fork: nothing has been caught, and a delivery that the fork
 * was in the middle of has nobody else to tell. */
void uvsig__source_reset(struct uvsig__source* source) {
  struct uvsig__cursor* cursor;

  for (cursor = source->cursors; cursor != NULL; cursor = cursor->outer)
    cursor->next = NULL;
  atomic_store(&source->caught, 0);
  atomic_store(&source->uncarried, 0);
  source->delivered = 0;
  source->discarded = 0;
  source->coalesced = 0;
  source->info_dropped = 0;
  source->full_buffers = 0;
  source->replaced = 0;
  source->max_latency = 0;
  source->taken = 0;
  source->stale = 0;
  for (uvsig_watcher_t* w = source->first; w != NULL; w = w->next)
    w->since = 0;
  uvsig__records_clear(source);
}

struct uvsig__source* uvsig__source_get(struct uvsig__hub* hub, int signum) {
  struct uvsig__source* source = hub->sources[signum];
  struct uvsig__source** link;

  if (source == NULL) {
    source = calloc(1, sizeof(*source) + hub->depth * sizeof(*source->records));
    if (source == NULL)
      return NULL;
    source->hub = hub;
    source->depth = hub->depth;
    source->time_stamps = hub->time_stamps;
    source->signum = signum;
    source->wakeup = &hub->wakeup;
    hub->sources[signum] = source;
    for (link = &hub->first; *link != NULL && (*link)->signum < signum;)
      link = &(*link)->after;
    source->after = *link;
    *link = source;
  }
  return source;
}

/* --- What the watchers need ----------------------------------------------- */

/* What watchers ask of the handler, and of libuv. */
struct needs {
  unsigned chains;
  unsigned stops; /* of children; any signal's watcher says so */
};

static bool shares(const struct uvsig__source* source, unsigned flags) {
  return source->signum == SIGCHLD || (flags & UVSIG_SHARE) != 0;
}

static void add_needs(const struct uvsig__source* source,
                      unsigned flags,
                      struct needs* needs) {
  needs->chains += shares(source, flags) || (flags & UVSIG_CHAIN) != 0;
  needs->stops += (flags & UVSIG_NOCLDSTOP) == 0;
}

/* Before the first signal can come: none may miss the chain. */
static void take_needs(struct uvsig__source* source,
                       const struct needs* needs) {
  atomic_fetch_add(&uvsig__shared.chained[source->signum], needs->chains);
  uvsig__count_stop_watchers(source->signum, (int) needs->stops);
}

static void give_up_needs(struct uvsig__source* source,
                          const struct needs* needs) {
  atomic_fetch_sub(&uvsig__shared.chained[source->signum], needs->chains);
  uvsig__count_stop_watchers(source->signum, -(int) needs->stops);
}

/* And after the last one. */
static void drop_needs(struct uvsig__source* source,
                       const struct needs* needs) {
  /* The child of a fork has counted nothing yet. */
  if (!source->hub->inherited)
    give_up_needs(source, needs);
  /* Not before the last watcher of any kind: libuv sets the default action when
   * it stops, for an instant also over ours. */
  if (source->first == NULL && source->is_shared) {
    source->is_shared = false;
    uvsig__share_close(source);
  }
}

/* In the child of a fork, where it has not been counted, or was in vain: what
 * the watchers need. */
void uvsig__source_count(struct uvsig__source* source, bool is_needed) {
  struct needs needs = {0, 0};
  const uvsig_watcher_t* w;

  for (w = source->first; w != NULL; w = w->next)
    add_needs(source, w->flags, &needs);
  if (is_needed)
    take_needs(source, &needs);
  else
    give_up_needs(source, &needs);
}

/* Make the source ready for one more watcher, which will be told of what comes
 * later than `*since`. The only step of a start that can fail. */
int uvsig__source_join(struct uvsig__source* source,
                       unsigned flags,
                       uint64_t* since) {
  struct needs needs = {0, 0};
  int err;

  add_needs(source, flags, &needs);
  if (shares(source, flags) && !source->is_shared) {
    err = uvsig__share_open(source);
    if (err != 0)
      return err;
    source->is_shared = true;
  }
  take_needs(source, &needs);
  /* Before the signal can come: the first to come is this watcher's. */
  *since = settled(source) + uvsig__source_pending(source);
  if (source->first != NULL)
    /* libuv may have taken ours away before it was asked to share. */
    err = shares(source, flags) ? uvsig__reinstall(source->signum) : 0;
  else
    err = uvsig__subscribe(source);
  if (err != 0)
    drop_needs(source, &needs);
  return err;
}

/* The opposite of uvsig__subscribe() and uvsig__mask_open(), in reverse order:
 * blocked first, a signal in between meets the launcher's mask and not its
 * action. */
static void part(struct uvsig__source* source) {
  uvsig__mask_restore(source);
  uvsig__unsubscribe(source);
}

/* --- The list of watchers ------------------------------------------------- */

/* Behind the last one of its kind: waits come before the others. */
static void insert(struct uvsig__source* source, uvsig_watcher_t* w) {
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
  w->signum = source->signum;
  w->state |= UVSIG__ACTIVE;
  if ((w->state & UVSIG__UNREF) == 0)
    uvsig__ref_hub(source->hub);
}

static void detach(struct uvsig__source* source, uvsig_watcher_t* w) {
  struct uvsig__cursor* cursor;

  for (cursor = source->cursors; cursor != NULL; cursor = cursor->outer)
    if (cursor->next == w)
      cursor->next = w->next;
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
  w->state &= ~(unsigned) UVSIG__ACTIVE;
  if (w->handler != NULL)
    atomic_store(&source->hooked, NULL);
  if ((w->state & UVSIG__UNREF) == 0)
    uvsig__unref_hub(source->hub);
}

/* Add a watcher for which uvsig__source_join() has made the source ready. */
void uvsig__source_admit(struct uvsig__source* source,
                         uvsig_watcher_t* w,
                         uint64_t since,
                         unsigned kind) {
  w->since = since;
  w->state |= kind; /* where it belongs in the list */
  insert(source, w);
  /* Last: what the launcher's mask held back is caught at once. */
  if ((w->flags & UVSIG_KEEP_MASK) == 0)
    uvsig__mask_open(source);
}

/* After watchers have been detached, what they needed goes. */
static void release(struct uvsig__source* source,
                    const struct needs* needs,
                    bool had_handler) {
  bool is_last = source->first == NULL;

  if (is_last)
    part(source);
  /* A watcher's handler must not be running when its memory is the user's. And
   * the needs go later than the handlers that have found the source: one that
   * has taken a signal for it looks there whether the chain is to have it. */
  if (is_last || had_handler || needs->chains > 0)
    uvsig__synchronize();
  drop_needs(source, needs);
  if (is_last)
    discard(source);
}

void uvsig__source_leave(struct uvsig__source* source, uvsig_watcher_t* w) {
  struct needs needs = {0, 0};

  add_needs(source, w->flags, &needs);
  detach(source, w);
  release(source, &needs, w->handler != NULL);
}

/* Stop all watchers. */
void uvsig__source_abandon(struct uvsig__source* source) {
  struct needs needs = {0, 0};

  if (source->first == NULL)
    return;
  while (source->first != NULL) {
    add_needs(source, source->first->flags, &needs);
    detach(source, source->first);
  }
  release(source, &needs, false);
}

/* Does a watcher want the signal unblocked? */
bool uvsig__source_wants_mask(const struct uvsig__source* source) {
  const uvsig_watcher_t* w = source->first;

  while (w != NULL && (w->flags & UVSIG_KEEP_MASK) != 0)
    w = w->next;
  return w != NULL;
}

/* --- Delivery ------------------------------------------------------------- */

/* The watcher of the first wait that wants a signal. */
static uvsig_watcher_t* find_wait(const struct uvsig__source* source) {
  uvsig_watcher_t* w = source->first;

  while (w != NULL && (w->state & (UVSIG__WAIT | UVSIG__ENDED)) ==
                          (UVSIG__WAIT | UVSIG__ENDED))
    w = w->next;
  return w != NULL && (w->state & UVSIG__WAIT) != 0 ? w : NULL;
}

bool uvsig__source_is_awaited(const struct uvsig__source* source) {
  return find_wait(source) != NULL;
}

/* Is there anybody who could be told of a signal? */
bool uvsig__source_is_watched(const struct uvsig__source* source) {
  const uvsig_watcher_t* w = source->first;

  while (w != NULL && (w->state & UVSIG__ENDED) != 0)
    w = w->next;
  return w != NULL;
}

bool uvsig__source_has(const struct uvsig__source* source,
                       const uvsig_watcher_t* w) {
  const uvsig_watcher_t* at = source->first;

  while (at != NULL && at != w)
    at = at->next;
  return at != NULL;
}

/* Is this one told of the next signal, which `wait` takes, if it is not
 * NULL? */
static bool is_told(const uvsig_watcher_t* w,
                    const uvsig_watcher_t* wait,
                    uint64_t end) {
  if (wait != NULL)
    return w == wait || ((w->state & UVSIG__TIMER) != 0 && w->since < end);
  return (w->state & UVSIG__WAIT) == 0 && w->since < end;
}

/* What is told of signals whose sender is not known. */
static void set_info(uvsig_info_t* info, int signum) {
  memset(info, 0, sizeof(*info));
  info->signum = signum;
  info->flags = UVSIG_INFO_NONE;
}

/* Enter in the books that `told` of the next `count` signals are delivered, and
 * describe them, but for how many each watcher is told of. Where that is one,
 * and its sender is known, it is the last of them for every watcher. */
static void settle(struct uvsig__source* source,
                   uint64_t count,
                   uint64_t told,
                   uvsig_info_t* info) {
  siginfo_t sender;
  bool is_known = uvsig__records_take(source,
                                      (unsigned long) settled(source),
                                      (unsigned long) count,
                                      &sender) &&
                  told == 1;

  if (is_known)
    uvsig__info_set(info, &sender);
  else
    set_info(info, source->signum);
  if (source->depth > 0)
    source->info_dropped += told - (is_known ? 1 : 0);
  source->delivered += told;
  source->coalesced += told > 1 ? told : 0;
  source->discarded += count - told;
}

/* Tell the watchers of the next `count` signals, or the first wait of the next
 * one, and then `count` must be 1 at most. Returns how many callbacks it ran.
 * Any of them may stop, start or free watchers, deliver what else is pending,
 * or close the hub, whose memory lasts until the loop goes round. */
int uvsig__source_deliver(struct uvsig__source* source, unsigned long count) {
  struct uvsig__cursor cursor = {source->first, source->cursors};
  const uvsig_watcher_t* wait = find_wait(source);
  uint64_t before = settled(source);
  uint64_t end = before + count;
  uvsig_watcher_t* w;
  uvsig_info_t info;
  uint64_t told;
  int calls = 0;

  if (count == 0)
    return 0;
  source->cursors = &cursor;
  while ((w = cursor.next) != NULL) {
    cursor.next = w->next;
    if (!is_told(w, wait, end))
      continue;

    /* Behind the waits, the list is in the order of the starts, so that nobody
     * is told of more than the first one. In the books before its callback,
     * which may stop and discard. */
    told = wait != NULL ? 1 : end - (w->since > before ? w->since : before);
    if (calls++ == 0)
      settle(source, count, told, &info);
    info.count = told > UINT_MAX ? UINT_MAX : (unsigned) told;
    if ((w->state & UVSIG__ONESHOT) != 0) {
      w->state &= ~(unsigned) UVSIG__ONESHOT;
      uvsig__source_leave(source, w);
    }
    w->cb(w, source->signum, &info);
  }
  source->cursors = cursor.outer;
  if (calls == 0)
    settle(source, count, 0, &info);
  return calls;
}
