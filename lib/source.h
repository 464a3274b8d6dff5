/* SPDX-License-Identifier: MIT
 *
 * One signal of one loop: the handler's half of it, which is a subscription,
 * and the loop's, which is the loop thread's alone.
 */

#ifndef UVSIG_SOURCE_H
#define UVSIG_SOURCE_H

#include "hub.h"

/* A delivery under way, or a drain. The `next` of a drain is the watcher that
 * is drained, and NULL once that has been stopped and its memory may be
 * gone. */
struct uvsig__cursor {
  uvsig_watcher_t*
      next; /* its place in the list of watchers: a stop moves it */
  struct uvsig__cursor* outer;
  bool is_drain;               /* and has no use for the rest */
  const uvsig_watcher_t* wait; /* the one that takes the signal, or NULL */
  const siginfo_t* queued;     /* it was in the kernel's queue, else NULL */
  uint64_t starts; /* then: it is for no watcher that was started later */
  uint64_t before; /* it is of signals that are later than this ... */
  uint64_t end;    /* ... and no later than this */
  bool is_settled;
  uvsig_info_t* info; /* not set before it is settled; NULL for a drain */
};

/* caught = delivered + discarded + what is pending. What is pending is in the
 * pipe, in `singles`, in `taken` or still in the subscription's `overflow`. A
 * signal of the kernel's queue is caught when it is delivered or discarded, and
 * has no number among those that the handler catches. */
struct uvsig__account {
  uint64_t queued;       /* of the delivered and discarded, so many */
  unsigned long taken;   /* from `overflow`, not yet delivered */
  unsigned long singles; /* the same, but with bytes, which are stale */
  unsigned long raised;  /* what was taken last */
  unsigned long stale;   /* bytes in the pipe that are to be skipped */
};

/* Allocated at the signal's first start, freed with its loop context. */
struct uvsig__source {
  struct uvsig__subscription sub; /* first, so that one is found by the other */

  struct uvsig__hub* hub;
  struct uvsig__source* after; /* the loop context's next one, by number */

  uvsig_stats_t stats; /* but for `caught` */
  struct uvsig__account account;
  uvsig_watcher_t* first;
  uvsig_watcher_t* last;
  uint64_t starts;               /* of watchers, so far */
  struct uvsig__cursor* cursors; /* of the deliveries under way */

  bool is_shared;    /* with libuv's handles: `share` is started */
  uv_signal_t share; /* libuv's, so that it leaves our handler alone; its `loop`
                      * is NULL until it has been initialised */

  /* The mask that start changed; under uvsig__lock(). */
  unsigned long mask_thread; /* whose it is, or 0: see hub.c */
  bool is_queued;            /* it is blocked, and read from the signalfd */

  struct uvsig__sender senders[];
};

/* What a watcher is, in its `state`. A wait (wait.c) has a watcher for each of
 * its signals. They are at the head of the list and take the signal from the
 * others, but not from a timer's (itimer.c). An ended one takes nothing, and
 * keeps the source as it is until it is stopped. */
enum {
  UVSIG__ONESHOT = 1,
  UVSIG__UNREF = 2,
  UVSIG__WAIT = 4,
  UVSIG__ENDED = 8,
  UVSIG__TIMER = 16,
  UVSIG__SPARE = 32 /* of use only where there is no other: escalate.c */
};

/* Does the handler do more than to count for it? A wakeup fd is the program's,
 * which may have no loop that runs. What a thread raises by a fault ends the
 * process where it is blocked. */
static inline bool uvsig__source_needs_handler(
    const struct uvsig__source* source) {
  return atomic_load(&source->sub.hooked) != NULL ||
         atomic_load(&source->sub.chains) > 0 ||
         atomic_load(&uvsig__shared.wakeup_fd) != NULL ||
         uvsig__is_synchronous(source->sub.signum);
}

/* mask.c */
void uvsig__mask_enter_queue(struct uvsig__source* source);
void uvsig__mask_open(struct uvsig__source* source);
void uvsig__mask_leave_queue(struct uvsig__source* source);
void uvsig__mask_move(struct uvsig__source* source);
bool uvsig__mask_restore(struct uvsig__source* source);
void uvsig__mask_unblock(const struct uvsig__source* source);
void uvsig__mask_forget(sigset_t* mask);

/* libuv.c; uvsig__forget_shares() in the child of a fork. */
int uvsig__share_open(struct uvsig__source* source);
void uvsig__share_close(struct uvsig__source* source);
void uvsig__forget_shares(void);
void uvsig__share_rejoin(const struct uvsig__source* source);

/* senders.c */
bool uvsig__senders_take(struct uvsig__source* source,
                         unsigned long first,
                         unsigned long count,
                         uvsig_info_t* info);
void uvsig__senders_clear(struct uvsig__source* source);

/* source.c */
struct uvsig__source* uvsig__source_get(struct uvsig__hub* hub, int signum);
uint64_t uvsig__source_settled(const struct uvsig__source* source);
unsigned long uvsig__source_pending(const struct uvsig__source* source);
unsigned long uvsig__source_taken(const struct uvsig__source* source);
void uvsig__source_withdraw(struct uvsig__source* source,
                            unsigned long pending);
bool uvsig__source_has_other(const struct uvsig__source* source,
                             const uvsig_watcher_t* w);
bool uvsig__source_has(const struct uvsig__source* source,
                       const uvsig_watcher_t* w);
int uvsig__source_prepare(struct uvsig__source* source, uvsig_watcher_t* w);
void uvsig__source_add(struct uvsig__source* source, uvsig_watcher_t* w);
void uvsig__source_unsubscribe(struct uvsig__source* source);
void uvsig__source_release(struct uvsig__source* source);
void uvsig__source_stop(struct uvsig__source* source, uvsig_watcher_t* w);
void uvsig__source_reset(struct uvsig__source* source);

/* deliver.c */
void uvsig__source_deliver(struct uvsig__source* source, unsigned long count);
void uvsig__source_deliver_queued(struct uvsig__source* source,
                                  const siginfo_t* info);
void uvsig__source_deliver_taken(struct uvsig__source* source, bool is_whole);
void uvsig__source_resume(struct uvsig__source* source);

/* watcher.c */
int uvsig__watcher_start(uvsig_watcher_t* w,
                         uvsig_watcher_cb cb,
                         int signum,
                         unsigned kind);
int uvsig__watcher_start_all(uvsig_t* sig,
                             uvsig_watcher_t* w,
                             uvsig_watcher_cb cb,
                             const sigset_t* set,
                             void* data,
                             unsigned kind);

#endif /* UVSIG_SOURCE_H */
