/* SPDX-License-Identifier: MIT
 *
 * The ground: what every file of the library may use. Each function here may be
 * called in any thread, those of signum.c, info.c, output.c and uvsig__now()
 * also in signal context.
 */

#ifndef UVSIG_BASE_H
#define UVSIG_BASE_H

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

/* Set by uvsig_options_init() and the like: what they have not touched is
 * refused. */
#define UVSIG__MARK 0x67697375u

#define UVSIG__SECOND  UINT64_C(1000000000) /* in nanoseconds */
#define UVSIG__NEVER   UINT64_MAX
#define UVSIG__FOREVER ((double) INFINITY)

/* Zero a public struct, all but what is the user's. */
#define UVSIG__RESET(at)                                                       \
 do {                                                                          \
  void* data_ = (at)->data;                                                    \
  memset((at), 0, sizeof(*(at)));                                              \
  (at)->data = data_;                                                          \
 } while (0)

/* Has an init function set these options, with zeros in what is reserved? */
#define UVSIG__ARE_SET(options)                                                \
 ((options)->mark == UVSIG__MARK &&                                            \
  uvsig__is_zero((options)->reserved, sizeof((options)->reserved)))

static inline bool uvsig__is_zero(const void* data, size_t size) {
  const char* bytes = data;

  return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static inline uint64_t uvsig__to_ns(const struct timespec* time) {
  return (uint64_t) time->tv_sec * UVSIG__SECOND + (uint64_t) time->tv_nsec;
}

/* Nanoseconds of the monotonic clock. Here, since the top half is to be one
 * object file. */
static inline uint64_t uvsig__now(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return uvsig__to_ns(&now);
}

static inline sigset_t uvsig__set_of(int signum) {
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, signum);
  return set;
}

/* Keep the calling thread from being cancelled. Returns what to restore. Android
 * has no cancellation. */
static inline int uvsig__cancel_disable(void) {
  int state = 0;

#if HAVE_DECL_PTHREAD_SETCANCELSTATE
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
#endif
  return state;
}

static inline void uvsig__cancel_restore(int state) {
#if HAVE_DECL_PTHREAD_SETCANCELSTATE
  pthread_setcancelstate(state, NULL);
#else
  (void) state;
#endif
}

/* Does a thread raise it by a fault of its own? */
static inline bool uvsig__is_synchronous(int signum) {
  return signum == SIGSEGV || signum == SIGBUS || signum == SIGFPE ||
         signum == SIGILL || signum == SIGTRAP || signum == SIGSYS;
}

/* signum.c */
void uvsig__fill_valid(sigset_t* set);
bool uvsig__is_valid(int signum);
bool uvsig__is_catchable(int signum);
bool uvsig__is_deadly(int signum);
size_t uvsig__filter(const sigset_t* set, sigset_t* catchable);

/* clock.c */
uint64_t uvsig__round_up(double seconds, double unit);
int uvsig__deadline_after(double seconds, uint64_t* deadline);

/* posix/sigwait.c, or sigwait-poll.c where there is no sigtimedwait(2). */
int uvsig__take_signal(const sigset_t* set, siginfo_t* info, uint64_t deadline);

/* info.c */
void uvsig__info_set(uvsig_info_t* info, const siginfo_t* from);

/* output.c */
void uvsig__discard(int signum);
void uvsig__print(const char* text);

/* line.c: cut where it does not fit. */
struct uvsig__line {
  char text[2048];
  size_t length;
};
__attribute__((format(printf, 2, 3))) void uvsig__line_add(
    struct uvsig__line* line, const char* format, ...);
void uvsig__line_print(struct uvsig__line* line);

/* lock.c */
extern void (*uvsig__child_hook)(sigset_t* mask);
void uvsig__lock(void);
void uvsig__unlock(void);
int uvsig__prepare_for_forks(void);

/* closing.c: handles that are closed together. */
struct uvsig__closing {
  uv_timer_t last;
  unsigned turns;  /* of the loop, at least */
  bool is_waiting; /* libuv has not finished with one of them */
  void* owner;
  bool (*has)(const void* owner, const uv_handle_t* handle);
  void (*done)(void* owner);
};
void uvsig__closing_start(struct uvsig__closing* closing,
                          uv_loop_t* loop,
                          unsigned turns);
void uvsig__close_handle(uv_handle_t* handle);

#endif /* UVSIG_BASE_H */
