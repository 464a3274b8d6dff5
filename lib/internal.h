/* SPDX-License-Identifier: MIT
 *
 * What the library's files share. Each structure says which thread may touch
 * it: fields of the loop are the loop thread's alone, atomic fields are also
 * the signal handler's, on whichever thread that runs.
 */

#ifndef UVSIG_INTERNAL_H
#define UVSIG_INTERNAL_H

#include "config.h"

#include "uvsig.h"

#include <math.h> /* INFINITY: no function, no library */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* A signal handler may only touch atomics that need no lock (C11 7.14.1.1). */
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "int atomics take a lock");
_Static_assert(ATOMIC_LONG_LOCK_FREE == 2, "long atomics take a lock");
_Static_assert(ATOMIC_POINTER_LOCK_FREE == 2, "pointer atomics take a lock");
/* A byte carries the number, and 0 is the doorbell. */
_Static_assert(UVSIG_NSIG <= 256, "a signal number does not fit in a byte");

/* On Unix, libuv's codes are errno's negated (libuv, errors.rst), for those too
 * that have no UV_E*. uv_translate_sys_error() is not known to be safe in a
 * handler. */
#define UVSIG__ERR(sys_errno) (-(sys_errno))

/* What one turn of the loop reads at most, so that a storm of signals cannot
 * starve the loop's other handles. */
#define UVSIG__BUDGET 4096

#define UVSIG__SECOND  UINT64_C(1000000000) /* in nanoseconds */
#define UVSIG__NEVER   UINT64_MAX
#define UVSIG__FOREVER ((double) INFINITY)

/* The fd pair that wakes a loop. Written once before it is published to the
 * handler, except the atomics. */
struct uvsig__wakeup {
  int read_fd;
  int write_fd;
  bool is_socket;
  bool wake_only;
  size_t buffer_size;  /* as the user's option */
  size_t capacity;     /* bytes, at most, that the pair can hold */
  atomic_uint pending; /* a counter was raised that the loop has not taken */
  atomic_int error;    /* UV_E* of a write that failed for good, or 0 */
};

/* Who sent a signal, until it is delivered. The handler takes a free record,
 * the loop frees it; `state` says whose it is: the signal's number among those
 * of its source, shifted by two, and one of the below. */
enum {
  UVSIG__FREE = 0,
  UVSIG__WRITING = 1,
  UVSIG__READY = 2,
  UVSIG__STATE = 3
};
struct uvsig__record {
  atomic_ulong state;
  uint64_t time; /* when it was caught, or 0 */
  siginfo_t info;
};

/* One signal of one uvsig_t: the handler's counters, the loop's books and the
 * watchers. Allocated at the signal's first start, freed with its hub. */
struct uvsig__source {
  /* The handler's. `caught` and `uncarried` only grow in the handler; the loop
   * takes from `uncarried`. Longs, since wider ones may not be lock-free: all
   * arithmetic on them is of differences, which survive the wrap. */
  _Atomic(struct uvsig__source*) next; /* the next one of the same signal */
  struct uvsig__wakeup* wakeup;
  int signum;
  atomic_ulong caught;
  atomic_ulong uncarried;           /* caught, but not carried by a byte */
  _Atomic(uvsig_watcher_t*) hooked; /* the watcher with a handler, or NULL */
  bool time_stamps;
  unsigned long depth; /* of `records`: 0 or a power of two */

  /* The loop's. caught = delivered + discarded + what is pending; what is
   * pending is in the pipe, in `taken` or still in `uncarried`. */
  struct uvsig__hub* hub;
  struct uvsig__source* after; /* the hub's next one, by number */
  uint64_t delivered;
  uint64_t discarded;
  uint64_t coalesced;
  uint64_t info_dropped;
  uint64_t full_buffers;
  uint64_t replaced;
  uint64_t max_latency;
  unsigned long taken;  /* from `uncarried`, not yet delivered */
  unsigned long raised; /* what was taken last */
  unsigned long stale;  /* bytes in the pipe whose signals were discarded */

  uvsig_watcher_t* first;
  uvsig_watcher_t* last;
  struct uvsig__cursor* cursors; /* of the deliveries under way */

  bool is_shared;    /* with libuv's handles, by one of ours */
  uv_signal_t share; /* libuv's, so that it leaves our handler alone */
  bool has_share;    /* it has been initialised */

  /* The mask that start changed; under uvsig__lock(). */
  unsigned long mask_thread; /* whose it is, or 0: see hub.c */
  bool was_blocked;          /* in that thread, before */

  struct uvsig__record records[];
};

/* A delivery's place in a list of watchers: stop moves it on. */
struct uvsig__cursor {
  uvsig_watcher_t* next;
  struct uvsig__cursor* outer;
};

/* The program's wakeup fd (uvsig_set_wakeup_fd()). Written once before it is
 * published to the handler, except the atomics. */
struct uvsig__wakeup_fd {
  int fd; /* -1: none */
  bool is_socket;
  bool warn;
  atomic_int failing; /* UV_E* of the last write if it failed, or 0 */
  atomic_int due;     /* UV_E* that is to be reported, or 0 */
  atomic_ulong missed[UVSIG_NSIG]; /* since the last report */
};

/* Handles that are closed together, see closing.c. */
struct uvsig__closing {
  uv_timer_t last;
  unsigned turns; /* of the loop, at least */
  void* owner;
  bool (*has)(const void* owner, const uv_handle_t* handle);
  void (*done)(void* owner);
};

/* What is built on a hub: handles of the same loop, and what a child of fork(2)
 * does to it, as in fork.c. */
enum { UVSIG__FAMILY = 6 };
struct uvsig__family {
  const uv_handle_t* handles[UVSIG__FAMILY];
  void (*forked)(struct uvsig__family* family);
  struct uvsig__family* next;
};

/* What is behind a uvsig_t. On the heap, because the handler and closing
 * handles may outlive what the user does with the public struct. */
struct uvsig__hub {
  uvsig_t* sig;
  struct uvsig__hub* next; /* all hubs; under uvsig__lock() */
  struct uvsig__wakeup wakeup;
  atomic_ulong owner; /* a thread's number, see hub.c */

  uv_poll_t poll;       /* referenced while `refs` is not 0 */
  uv_prepare_t prepare; /* notices which thread runs the loop */
  uv_timer_t deadline;  /* of the first wait to end, see wait.c */
  unsigned refs;        /* started watchers that keep the loop alive */
  struct uvsig__closing ending;
  bool closing;
  bool inherited; /* by the child of a fork, which shares the fds */
  uvsig_close_cb close_cb;

  bool warn_on_full_buffer;
  bool time_stamps;
  unsigned long depth; /* of the sources' records */
  uvsig_warning_cb warning_cb;
  uint64_t junk;
  uint64_t full_buffers;

  struct uvsig__family* families;
  struct uvsig__wait* waits; /* in the order of their starts */
  uint64_t last_wait;        /* the number of the last one */

  size_t overdue; /* bytes read since a raised counter was first noticed */
  size_t at;      /* the next of `bytes` to decode ... */
  size_t end;     /* ... and where they end */
  unsigned char bytes[UVSIG__BUDGET];

  struct uvsig__source* sources[UVSIG_NSIG];
  struct uvsig__source* first; /* of them, in ascending order */
};

/* Whoever replaces our handler may save it, and call it as their previous one.
 * If we then come on top of them, and call them as ours, they must not find us
 * again: so there are several handlers, and the one that has been replaced is
 * not installed again, but passes on to what was there before it. Where there
 * are no more, the last one is, and what was below it is lost. */
enum { UVSIG__EPOCHS = 4 };

/* Whose is the one call of a handler with SA_RESETHAND? Ours to make; or made;
 * or the kernel's, since it has its place back. */
enum { UVSIG__CALL_LEFT, UVSIG__CALL_MADE, UVSIG__CALL_GIVEN };

/* An action that was there before ours. */
struct uvsig__previous {
  struct sigaction action;
  atomic_int call; /* with SA_RESETHAND, one of the above */
};

typedef void (*uvsig__handler_fn)(int);

/* What the handler reads beside the sources: handler.c. */
struct uvsig__shared {
  _Atomic(struct uvsig__source*) sources[UVSIG_NSIG];
  atomic_uint generation;  /* which of `readers` a new handler counts in */
  atomic_ulong readers[2]; /* handlers that are reading */
  _Atomic(struct uvsig__wakeup_fd*) wakeup_fd; /* NULL: none */
  /* How often a first start or a last stop has looked what is installed. */
  atomic_uint changes[UVSIG_NSIG];
  /* What was there before each of them; NULL: it has never been installed. */
  _Atomic(struct uvsig__previous*) previous[UVSIG_NSIG][UVSIG__EPOCHS];
  atomic_uint chained[UVSIG_NSIG];       /* how many want it to be called */
  atomic_bool is_given_back[UVSIG_NSIG]; /* ours is going, or gone */
  _Atomic(uvsig__handler_fn) libuvs;     /* NULL: not seen yet */
};

/* handler.c: signal context. */
extern struct uvsig__shared uvsig__shared;
int uvsig__write_byte(int fd, bool is_socket, unsigned char byte);

static inline bool uvsig__is_handler(const struct sigaction* action) {
  /* One and the same field, whatever SA_SIGINFO says (sigaction(2)). */
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static inline bool uvsig__knows_libuvs(void) {
  return atomic_load(&uvsig__shared.libuvs) != NULL;
}

static inline bool uvsig__is_libuvs(const struct sigaction* action) {
  uvsig__handler_fn libuvs = atomic_load(&uvsig__shared.libuvs);

  return libuvs != NULL && action->sa_handler == libuvs;
}

static inline bool uvsig__is_watched(int signum) {
  return atomic_load(&uvsig__shared.sources[signum]) != NULL;
}

void uvsig__set_handler(unsigned epoch, struct sigaction* action);
struct sigaction uvsig__previous_of(unsigned epoch, int signum);
bool uvsig__change_call(unsigned epoch, int signum, int from, int to);
int uvsig__epoch_of(const struct sigaction* action);

/* Zero a public struct, all but what is the user's. */
#define UVSIG__RESET(at)                                                       \
 do {                                                                          \
  void* data_ = (at)->data;                                                    \
  memset((at), 0, sizeof(*(at)));                                              \
  (at)->data = data_;                                                          \
 } while (0)

/* Nanoseconds of the monotonic clock. Here, since the top half is to be one
 * object file. */
static inline uint64_t uvsig__now(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * UVSIG__SECOND + (uint64_t) now.tv_nsec;
}

/* clock.c */
uint64_t uvsig__round_up(double seconds, double unit);
int uvsig__deadline(double seconds, uint64_t* deadline);

/* info.c */
void uvsig__info_set(uvsig_info_t* info, const siginfo_t* from);

/* signum.c */
bool uvsig__is_valid(int signum);
bool uvsig__is_catchable(int signum);

/* lock.c */
extern void (*uvsig__child_hook)(sigset_t* mask);
void uvsig__lock(void);
void uvsig__unlock(void);
int uvsig__fork_error(void);

/* fork.c */
void uvsig__begin_child(sigset_t* mask);

/* disposition.c: under uvsig__lock(). */
bool uvsig__is_ours(int signum, const struct sigaction* action);
void uvsig__set_previous(int signum, const struct sigaction* action);
void uvsig__replace_previous(int signum,
                             const struct sigaction* from,
                             const struct sigaction* to);
struct sigaction uvsig__get_previous(int signum);
void uvsig__set_libuvs(const struct sigaction* action);
void uvsig__retake(int signum, const struct sigaction* previous);
void uvsig__forget_dispositions(void);
void uvsig__synchronize_locked(void);

/* disposition.c: these take it. */
void uvsig__count_stop_watchers(int signum, int difference);
bool uvsig__change_previous(int signum, void (*from)(int), void (*to)(int));
int uvsig__subscribe(struct uvsig__source* source);
int uvsig__reinstall(int signum);
void uvsig__unsubscribe(struct uvsig__source* source);
void uvsig__synchronize(void);
void uvsig__discard_pending(const struct uvsig__source* source);

/* mask.c */
void uvsig__mask_open(struct uvsig__source* source);
void uvsig__mask_restore(struct uvsig__source* source);
void uvsig__mask_forget(struct uvsig__source* source, sigset_t* mask);

/* hub.c */
extern struct uvsig__hub* uvsig__hubs;
unsigned long uvsig__self(void);
void uvsig__own(struct uvsig__hub* hub);
bool uvsig__owns(struct uvsig__hub* hub);
void uvsig__enlist(struct uvsig__hub* hub, void (*child_hook)(sigset_t* mask));
void uvsig__delist(struct uvsig__hub* hub);
void uvsig__own_or_disown(struct uvsig__hub* hub);

/* wakeup.c */
int uvsig__wakeup_open(struct uvsig__wakeup* wakeup,
                       const uvsig_options_t* options);
int uvsig__wakeup_renew(struct uvsig__wakeup* wakeup);
void uvsig__wakeup_close(struct uvsig__wakeup* wakeup);
ssize_t uvsig__wakeup_read(struct uvsig__wakeup* wakeup,
                           void* buffer,
                           size_t size);
void uvsig__wakeup_ring(const struct uvsig__wakeup* wakeup);
bool uvsig__wakeup_is_empty(const struct uvsig__wakeup* wakeup);

/* dispatch.c */
void uvsig__on_readable(uv_poll_t* poll, int status, int events);
void uvsig__on_prepare(uv_prepare_t* prepare);
int uvsig__flush(struct uvsig__hub* hub, ssize_t* n);

int uvsig__hub_of(const uvsig_t* sig, struct uvsig__hub** hub);
void uvsig__ref_hub(struct uvsig__hub* hub);
void uvsig__unref_hub(struct uvsig__hub* hub);
void uvsig__adopt(const uvsig_t* sig, struct uvsig__family* family);
void uvsig__release(const uvsig_t* sig, struct uvsig__family* family);
bool uvsig__is_of(const struct uvsig__family* family,
                  const uv_handle_t* handle);

/* closing.c */
void uvsig__closing_start(struct uvsig__closing* closing,
                          uv_loop_t* loop,
                          unsigned turns);
void uvsig__close_handle(uv_handle_t* handle);

/* itimer.c */
void uvsig__stop_itimers(struct uvsig__hub* hub);
void uvsig__forget_itimers(void);

/* record.c */
bool uvsig__records_take(struct uvsig__source* source,
                         unsigned long first,
                         unsigned long count,
                         siginfo_t* info);
void uvsig__records_clear(struct uvsig__source* source);

/* sigwait.c, or sigwait-poll.c */
int uvsig__take(const sigset_t* set, siginfo_t* info, uint64_t deadline);

/* wait.c */
void uvsig__on_deadline(uv_timer_t* timer);
void uvsig__cancel_waits(struct uvsig__hub* hub);

/* wakeup-fd.c */
bool uvsig__wakeup_fd_is_due(void);
void uvsig__report_wakeup_fd(struct uvsig__hub* hub);
void uvsig__forget_wakeup_fd(sigset_t* mask);

/* share.c */
int uvsig__share_open(struct uvsig__source* source);
void uvsig__share_close(struct uvsig__source* source);
void uvsig__forget_shares(void);
void uvsig__share_remember(int signum);
void uvsig__share_inherit(struct uvsig__source* source);

/* warning.c */
void uvsig__warn(struct uvsig__hub* hub, const uvsig_warning_t* warning);

/* What a watcher is, in its `state`. A wait (wait.c) has a watcher for each of
 * its signals. They are at the head of the list and take the signal from the
 * others, but not from a timer's (itimer.c). An ended one takes nothing, and
 * keeps the source as it is until it is stopped. */
enum {
  UVSIG__ACTIVE = 1,
  UVSIG__ONESHOT = 2,
  UVSIG__UNREF = 4,
  UVSIG__WAIT = 8,
  UVSIG__ENDED = 16,
  UVSIG__TIMER = 32
};

/* source.c */
struct uvsig__source* uvsig__source_get(struct uvsig__hub* hub, int signum);
unsigned long uvsig__source_pending(const struct uvsig__source* source);
bool uvsig__source_is_awaited(const struct uvsig__source* source);
bool uvsig__source_is_watched(const struct uvsig__source* source);
bool uvsig__source_wants_mask(const struct uvsig__source* source);
bool uvsig__source_has(const struct uvsig__source* source,
                       const uvsig_watcher_t* w);
int uvsig__source_join(struct uvsig__source* source,
                       unsigned flags,
                       uint64_t* since);
void uvsig__source_admit(struct uvsig__source* source,
                         uvsig_watcher_t* w,
                         uint64_t since,
                         unsigned kind);
void uvsig__source_leave(struct uvsig__source* source, uvsig_watcher_t* w);
void uvsig__source_abandon(struct uvsig__source* source);
void uvsig__source_reset(struct uvsig__source* source);
void uvsig__source_count(struct uvsig__source* source, bool is_needed);
int uvsig__source_deliver(struct uvsig__source* source, unsigned long count);

/* watcher.c */
int uvsig__watcher_start_wait(uvsig_watcher_t* w,
                              uvsig_watcher_cb cb,
                              int signum);
void uvsig__watcher_end_wait(uvsig_watcher_t* w);
int uvsig__watcher_start_timer(uvsig_watcher_t* w,
                               uvsig_watcher_cb cb,
                               int signum);

#endif /* UVSIG_INTERNAL_H */
