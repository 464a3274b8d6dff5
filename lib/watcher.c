/* SPDX-License-Identifier: MIT
 *
 * Watchers, and the books of the signals that they watch: who is told of what.
 * Runs in the loop thread.
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

/* A wait (wait.c) has a watcher for each of its signals. They are at the head
 * of the list and take the signal from the others, but not from a timer's
 * (itimer.c). An ended one takes nothing, and keeps the source as it is until
 * it is stopped. */
enum { ACTIVE = 1, ONESHOT = 2, UNREF = 4, WAIT = 8, ENDED = 16, TIMER = 32 };

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
void uvsig__source_discard(struct uvsig__source* source) {
  unsigned long pending = uvsig__source_pending(source);
  unsigned long uncarried;

  /* Relaxed: uvsig__synchronize() has seen the handlers leave. */
  uncarried = source->taken + atomic_exchange_explicit(
                                  &source->uncarried, 0, memory_order_relaxed);
  source->taken = 0;
  source->stale += pending - uncarried;
  source->discarded += pending;
}

static struct uvsig__source* get_source(struct uvsig__hub* hub, int signum) {
  struct uvsig__source* source = hub->sources[signum];

  if (source == NULL) {
    source = calloc(1, sizeof(*source));
    if (source == NULL)
      return NULL;
    source->hub = hub;
    source->signum = signum;
    source->wakeup = &hub->wakeup;
    hub->sources[signum] = source;
  }
  return source;
}

/* --- The list of watchers ------------------------------------------------- */

/* The poll handle is referenced while there is a watcher that wants it. */
static void ref_hub(struct uvsig__hub* hub) {
  if (hub->refs++ == 0)
    uv_ref((uv_handle_t*) &hub->poll);
}

static void unref_hub(struct uvsig__hub* hub) {
  if (--hub->refs == 0)
    uv_unref((uv_handle_t*) &hub->poll);
}

/* Make the source ready for one more watcher. The only step of a start that
 * can fail. */
static int join(struct uvsig__source* source) {
  return source->first != NULL ? 0 : uvsig__subscribe(source);
}

/* Behind the last one of its kind: waits come before the others. */
static void insert(struct uvsig__source* source, uvsig_watcher_t* w) {
  uvsig_watcher_t* next = NULL;

  if ((w->state & WAIT) != 0)
    for (next = source->first; next != NULL && (next->state & WAIT) != 0;)
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
  w->state |= ACTIVE;
  if ((w->state & UNREF) == 0)
    ref_hub(source->hub);
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
  w->state &= ~(unsigned) ACTIVE;
  if ((w->state & UNREF) == 0)
    unref_hub(source->hub);
}

/* The opposite of join() and uvsig__mask_open(), in reverse order: blocked
 * first, a signal in between meets the launcher's mask and not its action. */
static void part(struct uvsig__source* source) {
  uvsig__mask_restore(source);
  uvsig__unsubscribe(source);
}

static void leave(struct uvsig__source* source, uvsig_watcher_t* w) {
  detach(source, w);
  if (source->first == NULL) {
    part(source);
    uvsig__synchronize();
    uvsig__source_discard(source);
  }
}

/* Stop all watchers. The caller synchronizes, for all sources at once, and
 * discards. */
void uvsig__source_abandon(struct uvsig__source* source) {
  if (source->first == NULL)
    return;
  while (source->first != NULL)
    detach(source, source->first);
  part(source);
}

/* The watcher of the first wait that wants a signal. */
static uvsig_watcher_t* find_wait(const struct uvsig__source* source) {
  uvsig_watcher_t* w = source->first;

  while (w != NULL && (w->state & (WAIT | ENDED)) == (WAIT | ENDED))
    w = w->next;
  return w != NULL && (w->state & WAIT) != 0 ? w : NULL;
}

bool uvsig__source_is_awaited(const struct uvsig__source* source) {
  return find_wait(source) != NULL;
}

/* Is there anybody who could be told of a signal? */
bool uvsig__source_is_watched(const struct uvsig__source* source) {
  const uvsig_watcher_t* w = source->first;

  while (w != NULL && (w->state & ENDED) != 0)
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
    return w == wait || ((w->state & TIMER) != 0 && w->since < end);
  return (w->state & WAIT) == 0 && w->since < end;
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
    if (calls++ == 0) {
      source->delivered += told;
      source->coalesced += told > 1 ? told : 0;
      source->discarded += count - told;
    }
    memset(&info, 0, sizeof(info));
    info.signum = source->signum;
    info.count = told > UINT_MAX ? UINT_MAX : (unsigned) told;
    info.flags = UVSIG_INFO_NONE;

    if ((w->state & ONESHOT) != 0) {
      w->state &= ~(unsigned) ONESHOT;
      leave(source, w);
    }
    w->cb(w, source->signum, &info);
  }
  source->cursors = cursor.outer;
  if (calls == 0)
    source->discarded += count;
  return calls;
}

/* --- The public functions ------------------------------------------------- */

static bool is_active(const uvsig_watcher_t* w) {
  return (w->state & ACTIVE) != 0;
}

/* May this thread use this watcher, whose uvsig_t is open? */
static int check(const uvsig_watcher_t* w, struct uvsig__hub** hub) {
  return w == NULL ? UV_EINVAL : uvsig__hub_of(w->sig, hub);
}

int uvsig_watcher_init(uvsig_t* sig, uvsig_watcher_t* w) {
  struct uvsig__hub* hub;
  void* data;
  int err;

  if (w == NULL)
    return UV_EINVAL;
  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  data = w->data;
  memset(w, 0, sizeof(*w));
  w->data = data;
  w->sig = sig;
  return 0;
}

static int start(uvsig_watcher_t* w,
                 uvsig_watcher_cb cb,
                 int signum,
                 unsigned kind) {
  struct uvsig__source* source;
  struct uvsig__source* old;
  struct uvsig__hub* hub;
  uint64_t since;
  int err;

  err = check(w, &hub);
  if (err != 0)
    return err;
  if (cb == NULL || !uvsig__is_catchable(signum))
    return UV_EINVAL;

  old = is_active(w) ? w->source : NULL;
  if (old == NULL || old->signum != signum) {
    source = get_source(hub, signum);
    if (source == NULL)
      return UV_ENOMEM;
    /* Before the signal can come: the first to come is this watcher's. */
    since = settled(source) + uvsig__source_pending(source);
    err = join(source);
    if (err != 0)
      return err;
    if (old != NULL)
      leave(old, w);
    w->since = since;
    w->state |= kind & WAIT; /* where it belongs in the list */
    insert(source, w);
    /* Last: what the launcher's mask held back is caught at once. */
    if ((w->flags & UVSIG_KEEP_MASK) == 0)
      uvsig__mask_open(source);
  }
  w->cb = cb;
  w->state = (w->state & ~(unsigned) ONESHOT) | kind;
  return 0;
}

int uvsig_watcher_start(uvsig_watcher_t* w, uvsig_watcher_cb cb, int signum) {
  return start(w, cb, signum, 0);
}

int uvsig_watcher_start_oneshot(uvsig_watcher_t* w,
                                uvsig_watcher_cb cb,
                                int signum) {
  return start(w, cb, signum, ONESHOT);
}

/* For wait.c, whose watchers are started once. */
int uvsig__watcher_start_wait(uvsig_watcher_t* w,
                              uvsig_watcher_cb cb,
                              int signum) {
  return start(w, cb, signum, WAIT);
}

void uvsig__watcher_end_wait(uvsig_watcher_t* w) {
  w->state |= ENDED;
}

/* For itimer.c: waits do not take the signal from it. */
int uvsig__watcher_start_timer(uvsig_watcher_t* w,
                               uvsig_watcher_cb cb,
                               int signum) {
  return start(w, cb, signum, TIMER);
}

int uvsig_watcher_stop(uvsig_watcher_t* w) {
  struct uvsig__hub* hub;
  int err;

  if (w == NULL)
    return UV_EINVAL;
  /* First, because a stopped watcher may outlive its uvsig_t. */
  if (!is_active(w))
    return 0;
  err = check(w, &hub);
  if (err == 0)
    leave(w->source, w);
  return err;
}

int uvsig_watcher_set_flags(uvsig_watcher_t* w, unsigned flags) {
  struct uvsig__hub* hub;
  int err;

  err = check(w, &hub);
  if (err != 0)
    return err;
  if ((flags & ~UVSIG_KEEP_MASK) != 0)
    return UV_EINVAL;
  if (is_active(w))
    return UV_EBUSY;
  w->flags = flags;
  return 0;
}

static void set_unref(uvsig_watcher_t* w, unsigned unref) {
  struct uvsig__hub* hub;

  if (check(w, &hub) != 0 || (w->state & UNREF) == unref)
    return;
  w->state ^= UNREF;
  if (!is_active(w))
    return;
  if (unref != 0)
    unref_hub(hub);
  else
    ref_hub(hub);
}

void uvsig_watcher_ref(uvsig_watcher_t* w) {
  set_unref(w, 0);
}

void uvsig_watcher_unref(uvsig_watcher_t* w) {
  set_unref(w, UNREF);
}

int uvsig_watcher_has_ref(const uvsig_watcher_t* w) {
  return w != NULL && (w->state & UNREF) == 0;
}

int uvsig_watcher_is_active(const uvsig_watcher_t* w) {
  return w != NULL && is_active(w);
}

void uvsig_default_int_handler(uvsig_watcher_t* w,
                               int signum,
                               const uvsig_info_t* info) {
  (void) signum;
  (void) info;
  uv_stop(w->sig->loop);
}
