/* SPDX-License-Identifier: MIT
 *
 * The loop context: what is behind a uvsig_t, and which thread may use it.
 * Fields are the loop thread's, unless they say otherwise.
 */

#ifndef UVSIG_HUB_H
#define UVSIG_HUB_H

#include "subscription.h"

#include <pthread.h>

/* What one turn of the loop reads at most, so that a storm of signals cannot
 * starve the loop's other handles. */
#define UVSIG__BUDGET 4096

/* What is built on a loop context: handles of the same loop, and what a child
 * of fork(2) does to it, under the lock and before fork() returns, or NULL. */
enum { UVSIG__HANDLES = 7 };
struct uvsig__component {
  const uv_handle_t* handles[UVSIG__HANDLES];
  void (*on_fork)(struct uvsig__component* component);
  struct uvsig__component* next;
};

struct uvsig__signalfd;

/* What is behind a uvsig_t. On the heap, because the handler and closing
 * handles may outlive what the user does with the public struct. */
struct uvsig__hub {
  uvsig_t* sig;
  struct uvsig__hub* next; /* of `uvsig__hubs`; under uvsig__lock() */
  struct uvsig__wakeup wakeup;
  atomic_ulong owner;            /* a thread's number, see hub.c */
  atomic_uintptr_t owner_thread; /* its uvsig__thread(), or 0: not known */
  struct uvsig__signalfd* queue; /* the kernel's, or NULL (queue.c) */

  uv_poll_t poll;        /* referenced while `refs` is not 0 */
  uv_prepare_t prepare;  /* notices which thread runs the loop */
  uv_timer_t wait_timer; /* of the first wait to end, see wait.c */
  int refs;              /* started watchers that keep the loop alive */
  struct uvsig__closing ending;
  bool is_deaf; /* the pipe failed, and is not polled any more */
  bool closing;
  bool inherited;      /* by the child of a fork, which shares the fds ... */
  bool is_renewed;     /* ... until it has its own */
  bool has_own_poller; /* the loop has polled since uv_loop_fork() */
  uvsig_close_cb close_cb;

  uvsig_options_t options; /* `info_depth` is 0 or a power of two */
  unsigned long calls;     /* of watchers' callbacks, so far */
  uint64_t junk;
  uint64_t full_buffers;

  struct uvsig__component* components;
  struct uvsig__wait* waits; /* in the order of their starts */

  size_t overdue; /* bytes read since a raised counter was first noticed */
  bool is_rung;   /* the doorbell has been read, and no counter taken since */
  size_t at;      /* the next of `bytes` to decode ... */
  size_t end;     /* ... and where they end */
  unsigned char bytes[UVSIG__BUDGET];

  struct uvsig__source* sources[UVSIG_NSIG];
  struct uvsig__source* first; /* of them, in ascending order */
};

extern struct uvsig__hub* uvsig__hubs; /* all of them; under uvsig__lock() */

/* What no other thread has while this one lives, in one instruction if that can
 * be. pthread_self() is a call into another library. */
static inline uintptr_t uvsig__thread(void) {
#ifdef HAVE_THREAD_POINTER
  return (uintptr_t) __builtin_thread_pointer();
#else
  return (uintptr_t) pthread_self();
#endif
}

/* Is the calling thread known as the owner? Where this says no, it may be all
 * the same: uvsig__owns() tells. The next thread may have the same, so it is
 * cleared before the thread has ended, see hub.c. */
static inline bool uvsig__is_known_owner(const struct uvsig__hub* hub) {
  /* Relaxed: the thread finds its own store, or another thread's number. */
  return atomic_load_explicit(&hub->owner_thread, memory_order_relaxed) ==
         uvsig__thread();
}

/* Has a callback closed the uvsig_t, or forked and is the child's? */
static inline bool uvsig__has_gone(const struct uvsig__hub* hub) {
  return hub->closing || hub->inherited;
}

/* Does the system's poller know the descriptor? libuv tells it before the loop
 * polls, and again after uv_loop_fork(). */
static inline bool uvsig__is_polled(const struct uvsig__hub* hub) {
  return hub->poll.io_watcher.events != 0;
}

int uvsig__hub_of(const uvsig_t* sig, struct uvsig__hub** hub);
unsigned long uvsig__self(void);
int uvsig__note_thread(void);
void uvsig__own(struct uvsig__hub* hub);
bool uvsig__owns(struct uvsig__hub* hub);
void uvsig__own_or_disown(struct uvsig__hub* hub);
void uvsig__enlist(struct uvsig__hub* hub, void (*child_hook)(sigset_t* mask));
void uvsig__delist(struct uvsig__hub* hub);
void uvsig__count_ref(struct uvsig__hub* hub, int change);
void uvsig__attach(const uvsig_t* sig, struct uvsig__component* component);
void uvsig__detach(const uvsig_t* sig,
                   const struct uvsig__component* component);
bool uvsig__has(const struct uvsig__component* component,
                const uv_handle_t* handle);

#endif /* UVSIG_HUB_H */
