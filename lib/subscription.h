/* SPDX-License-Identifier: MIT
 *
 * All that the signal handler may touch. It may run on any thread, and on
 * several at once: what is not atomic here is written before the handler can
 * find it, and stays as it is until no handler uses it any more (grace.c).
 */

#ifndef UVSIG_SUBSCRIPTION_H
#define UVSIG_SUBSCRIPTION_H

#include "base.h"

#include <pthread.h>

/* The fd pair that wakes a loop. */
struct uvsig__wakeup {
  int read_fd;
  int write_fd;
  bool is_socket;
  bool wake_only;
  size_t capacity;     /* bytes, at most, that the pair can hold */
  atomic_uint pending; /* the wake flag: a counter was raised that the loop has
                        * not taken, and the doorbell has been rung for it */
  atomic_int error;    /* UV_E* of a write that failed for good, or 0 */
};

/* A sender slot: who sent a signal, until it is delivered. The handler takes a
 * free slot, the loop frees it. `state` is one of the below, and with READY the
 * signal's number among those of its subscription, shifted by two. */
enum {
  UVSIG__FREE = 0,
  UVSIG__WRITING = 1,
  UVSIG__READY = 2,
  UVSIG__STATE = 3
};
struct uvsig__sender {
  atomic_ulong state;
  uint64_t time; /* when it was caught, or 0 */
  uvsig_info_t info;
};

/* The handler's half of what watches one signal on one loop. `caught` and
 * `overflow` only grow in the handler; the loop takes from `overflow`. They are
 * longs, since wider atomics may need a lock. All arithmetic on them is of
 * differences, which survive the wrap. */
struct uvsig__subscription {
  _Atomic(struct uvsig__subscription*) next; /* the next one of the signal */
  struct uvsig__wakeup* wakeup;
  int signum;
  bool is_linked; /* the handler can find it; the loop's */
  bool time_stamps;
  unsigned long depth; /* of `senders`: 0 or a power of two */
  struct uvsig__sender* senders;
  atomic_ulong caught;
  atomic_ulong overflow;            /* caught, but not carried by a byte */
  atomic_uint users;                /* watchers, but for UVSIG__SPARE */
  atomic_uint chains;               /* those that want a chain */
  atomic_uint stop_watchers;        /* those that want stopped children, too */
  _Atomic(uvsig_watcher_t*) hooked; /* the watcher with a handler, or NULL */
};

/* The program's wakeup fd (uvsig_set_wakeup_fd()). */
struct uvsig__wakeup_fd {
  int fd; /* -1: none */
  bool is_socket;
  bool warn;
  atomic_int failing; /* UV_E* of the last write if it failed, or 0 */
  atomic_int due;     /* UV_E* that is to be reported, or 0 */
  atomic_ulong missed[UVSIG_NSIG]; /* since the last report */
};

/* An action that was there before ours. */
struct uvsig__saved {
  struct sigaction action;
  unsigned bit;      /* among those that a signal has been passed to */
  atomic_bool spent; /* it had SA_RESETHAND, and its one call has been made */
};

/* Which saved action: level 0 is what was there before ours first came, and
 * each other is what ours was installed over again later. That may have saved
 * ours, and chain to it. So may the foreign handler that is installed, if
 * nothing watches and not all levels have been restored. */
enum { UVSIG__LEVELS = 4 };

struct uvsig__shared {
  _Atomic(struct uvsig__subscription*) subscriptions[UVSIG_NSIG];
  atomic_uint generation;  /* which of `readers` a new handler counts in */
  atomic_ulong readers[2]; /* handlers that are reading */
  _Atomic(struct uvsig__wakeup_fd*) wakeup_fd; /* NULL: none */
  _Atomic(struct uvsig__saved*) saved[UVSIG_NSIG][UVSIG__LEVELS]; /* or NULL */
  atomic_int installed[UVSIG_NSIG]; /* levels that are not restored yet */
  atomic_bool forgets[UVSIG_NSIG];  /* drops what meets the last stop */
};
extern struct uvsig__shared uvsig__shared;

/* --- Reading -------------------------------------------------------------- */

/* What a handler keeps while it is counted in. */
struct uvsig__reader {
  unsigned generation;
  int cancel_type;
};

/* Count the calling handler in.
 * A thread that is cancelled meanwhile would stay counted in for ever. glibc's
 * own handler looks at the cancel type alone, and with the deferred one a
 * thread ends at cancellation points only: nothing calls one while it is
 * counted in, but a watcher's own handler (handler.c). The call is
 * async-signal-safe in glibc (its manual) and sets a field of the thread.
 * A thread that unpublishes something stores the pointer first, and then looks
 * at the counters. This counts first, and then loads the pointer. Sequential
 * consistency on all of them (every load of such a pointer too) makes at least
 * one see the other. test/scripts/cancel.pml is a model of this. */
static inline struct uvsig__reader uvsig__reader_enter(void) {
  struct uvsig__reader reader = {0};

#if HAVE_DECL_PTHREAD_SETCANCELSTATE
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &reader.cancel_type);
#endif
  reader.generation = atomic_load(&uvsig__shared.generation);
  atomic_fetch_add(&uvsig__shared.readers[reader.generation], 1);
  return reader;
}

/* The thread may end here, by a cancellation that has come meanwhile. */
static inline void uvsig__reader_leave(struct uvsig__reader reader) {
  /* Release: what was read and written in between happens before whatever the
   * waiting thread does after it has seen the 0. */
  atomic_fetch_sub_explicit(
      &uvsig__shared.readers[reader.generation], 1, memory_order_release);
#if HAVE_DECL_PTHREAD_SETCANCELSTATE
  pthread_setcanceltype(reader.cancel_type, NULL);
#endif
}

static inline bool uvsig__is_watched(int signum) {
  return atomic_load(&uvsig__shared.subscriptions[signum]) != NULL;
}

/* Is it the one subscription of its signal? */
static inline bool uvsig__is_alone(
    const struct uvsig__subscription* subscription) {
  return atomic_load(&uvsig__shared.subscriptions[subscription->signum]) ==
             subscription &&
         atomic_load(&subscription->next) == NULL;
}

static inline struct sigaction uvsig__simple_action(void (*handler)(int)) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  return action;
}

static inline bool uvsig__is_handler(const struct sigaction* action) {
  /* One and the same field, whatever SA_SIGINFO says (sigaction(2)). */
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static inline bool uvsig__is_same(const struct sigaction* a,
                                  const struct sigaction* b) {
  return a->sa_handler == b->sa_handler;
}

/* --- handler.c ------------------------------------------------------------ */

void uvsig__handle(int signum, siginfo_t* info, void* context);
int uvsig__write_byte(int fd, bool is_socket, unsigned char byte);

#endif /* UVSIG_SUBSCRIPTION_H */
