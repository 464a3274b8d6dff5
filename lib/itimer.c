/* SPDX-License-Identifier: MIT
 *
 * The process's interval timers: as Python has them, in any thread; and with a
 * callback, in the loop thread. Of each there is one, and it has one owner.
 */

#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

_Static_assert((int) UVSIG_ITIMER_REAL == (int) ITIMER_REAL &&
                   (int) UVSIG_ITIMER_VIRTUAL == (int) ITIMER_VIRTUAL &&
                   (int) UVSIG_ITIMER_PROF == (int) ITIMER_PROF,
               "the numbers are not the system's");

enum { TIMERS = 3, MICROSECOND = 1000 /* in nanoseconds */ };

/* Up to here a double has every microsecond: 2^53 of them. */
#define LONGEST 9007199254.0

/* What an owner has taken from the process; under uvsig__lock(). */
static struct {
  uvsig_itimer_t* timer;
  pid_t pid; /* a child inherits this table, but no timer (POSIX, fork()) */
  struct itimerval previous;
  uint64_t since; /* on the timer's clock: when `previous` was read */
} owners[TIMERS];

static bool is_timer(int which) {
  return which >= 0 && which < TIMERS;
}

static uvsig_itimer_t* owner_of(int which) {
  return owners[which].pid == getpid() ? owners[which].timer : NULL;
}

/* --- Times -------------------------------------------------------------------- */

static int to_timeval(double seconds, struct timeval* out) {
  uint64_t us;

  if (!(seconds >= 0 && seconds <= LONGEST)) /* also what is not a number */
    return UV_EINVAL;
  us = uvsig__round_up(seconds, 1e6);
  out->tv_sec = (time_t) (us / 1000000);
  out->tv_usec = (suseconds_t) (us % 1000000);
  return (uint64_t) out->tv_sec == us / 1000000 ? 0 : UV_EINVAL;
}

static int to_itimerval(double seconds,
                        double interval,
                        struct itimerval* out) {
  int err = to_timeval(seconds, &out->it_value);

  return err != 0 ? err : to_timeval(interval, &out->it_interval);
}

static double to_seconds(const struct timeval* value) {
  return (double) value->tv_sec + (double) value->tv_usec / 1e6;
}

static void to_public(uvsig_itimerval_t* out, const struct itimerval* value) {
  out->seconds = to_seconds(&value->it_value);
  out->interval = to_seconds(&value->it_interval);
}

static uint64_t to_ns(const struct timeval* value) {
  return (uint64_t) value->tv_sec * UVSIG__SECOND +
         (uint64_t) value->tv_usec * MICROSECOND;
}

static void from_ns(uint64_t ns, struct timeval* out) {
  out->tv_sec = (time_t) (ns / UVSIG__SECOND);
  out->tv_usec = (suseconds_t) (ns % UVSIG__SECOND / MICROSECOND);
}

/* The clock that a timer runs by, in nanoseconds. */
static uint64_t read_clock(int which) {
  struct rusage usage;
#ifdef __linux__
  /* What getrusage() says is adjusted, and not what expires a timer. These are
   * the process's own clocks, (~pid << 3) | kind, of pid 0 (clock_gettime(2),
   * "Dynamic clocks", and the kernel's include/linux/posix-timers_types.h). */
  static const clockid_t clocks[TIMERS] = {CLOCK_MONOTONIC, -7, -8};
  struct timespec now;

  if (clock_gettime(clocks[which], &now) == 0)
    return (uint64_t) now.tv_sec * UVSIG__SECOND + (uint64_t) now.tv_nsec;
#endif
  if (which == UVSIG_ITIMER_REAL)
    return uvsig__now();
  getrusage(RUSAGE_SELF, &usage);
  return to_ns(&usage.ru_utime) +
         (which == UVSIG_ITIMER_PROF ? to_ns(&usage.ru_stime) : 0);
}

/* --- The process's timers ----------------------------------------------------- */

int uvsig_setitimer(int which,
                    double seconds,
                    double interval,
                    uvsig_itimerval_t* old) {
  struct itimerval value;
  struct itimerval previous;
  int err;

  if (!is_timer(which))
    return UV_EINVAL;
  err = to_itimerval(seconds, interval, &value);
  if (err != 0)
    return err;
  uvsig__lock();
  if (owner_of(which) != NULL)
    err = UV_EBUSY;
  else if (setitimer(which, &value, &previous) != 0)
    err = UVSIG__ERR(errno);
  uvsig__unlock();
  if (err == 0 && old != NULL)
    to_public(old, &previous);
  return err;
}

int uvsig_getitimer(int which, uvsig_itimerval_t* value) {
  struct itimerval now;

  if (!is_timer(which) || value == NULL)
    return UV_EINVAL;
  if (getitimer(which, &now) != 0)
    return UVSIG__ERR(errno);
  to_public(value, &now);
  return 0;
}

unsigned uvsig_alarm(unsigned seconds) {
  unsigned left = UINT_MAX;

  uvsig__lock();
  if (owner_of(UVSIG_ITIMER_REAL) == NULL)
    left = alarm(seconds);
  uvsig__unlock();
  return left;
}

/* --- With a callback ------------------------------------------------------------ */

static int signal_of(int which) {
  static const int signals[TIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};

  return signals[which];
}

static void disarm(int which, struct itimerval* previous) {
  const struct itimerval none = {{0, 0}, {0, 0}};

  setitimer(which, &none, previous);
}

/* Become the owner. What was armed is not any more: its signals are the previous
 * handler's. */
static int take(uvsig_itimer_t* t) {
  uvsig_itimer_t* owner;
  int err = 0;

  uvsig__lock();
  owner = owner_of(t->which);
  if (owner == NULL) {
    owners[t->which].timer = t;
    owners[t->which].pid = getpid();
    disarm(t->which, &owners[t->which].previous);
    owners[t->which].since = read_clock(t->which);
  } else if (owner != t) {
    err = UV_EBUSY;
  }
  uvsig__unlock();
  return err;
}

/* The opposite; the previous timer goes on. */
static void give_back(int which) {
  struct itimerval previous;
  uint64_t left;
  uint64_t elapsed;

  uvsig__lock();
  owners[which].timer = NULL;
  previous = owners[which].previous;
  left = to_ns(&previous.it_value);
  if (left > 0) {
    elapsed = read_clock(which) - owners[which].since;
    /* At least the smallest time there is: 0 would disarm it. */
    left = left > elapsed + MICROSECOND ? left - elapsed : MICROSECOND;
    from_ns(left, &previous.it_value);
    setitimer(which, &previous, NULL);
  }
  uvsig__unlock();
}

/* Arm the timer, and note when it expires for the first time: on no account
 * later than it does, or an expiration would be missing at the end. */
static void arm(uvsig_itimer_t* t, const struct itimerval* value) {
  struct itimerval left = {{0, 0}, {0, 0}};
  uint64_t earliest = read_clock(t->which) + to_ns(&value->it_value);
  uint64_t now;

  setitimer(t->which, value, NULL);
  t->expirations = 0;
  t->interval = to_ns(&value->it_interval);
  t->first = earliest;
  /* Linux gives a timer of processor time a tick of the kernel more than was
   * asked for, and says so in what is left: if that is of the first expiration,
   * and not of a later one. */
  now = read_clock(t->which);
  getitimer(t->which, &left);
  if (read_clock(t->which) < earliest && now + to_ns(&left.it_value) > earliest)
    t->first = now + to_ns(&left.it_value);
}

/* How many there have been by now. */
static uint64_t count_expirations(const uvsig_itimer_t* t) {
  uint64_t now = read_clock(t->which);

  if (now < t->first)
    return 0;
  return t->interval > 0 ? 1 + (now - t->first) / t->interval : 1;
}

/* Does not look at `*t`, which may be anything. */
static bool owns(const uvsig_itimer_t* t) {
  bool result = false;
  int which;

  uvsig__lock();
  for (which = 0; which < TIMERS; which++)
    result |= owner_of(which) == t;
  uvsig__unlock();
  return result;
}

static void stop(uvsig_itimer_t* t) {
  if (!owns(t)) { /* in a child */
    uvsig_watcher_stop(&t->watcher);
    return;
  }
  disarm(t->which, NULL);
  /* A last signal may be on its way, maybe to another thread, and would meet
   * the previous action: most likely the end of the process. */
  uvsig__discard_pending(t->watcher.source);
  uvsig_watcher_stop(&t->watcher);
  give_back(t->which);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_itimer_t* t = w->data;
  uint64_t count = count_expirations(t) - t->expirations;

  (void) signum;
  (void) info;
  /* Signals are merged by the kernel, and anybody may send one: the clock knows.
   * What an earlier call has told of already has its signal still to come. */
  if (count == 0)
    return;
  t->expirations += count;
  if (t->interval == 0)
    stop(t);
  t->cb(t, count > UINT_MAX ? UINT_MAX : (unsigned) count);
}

int uvsig_itimer_init(uvsig_t* sig, uvsig_itimer_t* t, int which) {
  struct uvsig__hub* hub;
  void* data;
  int err;

  if (t == NULL || !is_timer(which))
    return UV_EINVAL;
  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  if (owns(t))
    return UV_EBUSY;
  data = t->data;
  memset(t, 0, sizeof(*t));
  t->data = data;
  t->sig = sig;
  t->which = which;
  t->watcher.data = t;
  return uvsig_watcher_init(sig, &t->watcher);
}

int uvsig_itimer_start(uvsig_itimer_t* t,
                       uvsig_itimer_cb cb,
                       double seconds,
                       double interval) {
  struct uvsig__hub* hub;
  struct itimerval value;
  int err;

  if (t == NULL || cb == NULL)
    return UV_EINVAL;
  err = uvsig__hub_of(t->sig, &hub);
  if (err == 0)
    err = to_itimerval(seconds, interval, &value);
  if (err != 0)
    return err;
  if (to_ns(&value.it_value) == 0)
    return UV_EINVAL;

  err = take(t);
  if (err != 0)
    return err;
  if (!uvsig_watcher_is_active(&t->watcher)) {
    err = uvsig_watcher_start(&t->watcher, on_signal, signal_of(t->which));
    if (err != 0) {
      give_back(t->which);
      return err;
    }
  }
  t->cb = cb;
  arm(t, &value);
  return 0;
}

int uvsig_itimer_stop(uvsig_itimer_t* t) {
  struct uvsig__hub* hub;
  int err;

  if (t == NULL)
    return UV_EINVAL;
  /* First, as in uvsig_watcher_stop(). */
  if (!uvsig_watcher_is_active(&t->watcher))
    return 0;
  err = uvsig__hub_of(t->sig, &hub);
  if (err == 0)
    stop(t);
  return err;
}

/* Before uvsig_close() stops all watchers. */
void uvsig__stop_itimers(struct uvsig__hub* hub) {
  uvsig_itimer_t* t;
  int which;

  for (which = 0; which < TIMERS; which++) {
    uvsig__lock();
    t = owner_of(which);
    if (t != NULL && t->sig != hub->sig)
      t = NULL;
    uvsig__unlock();
    if (t != NULL)
      stop(t);
  }
}

void uvsig_itimer_ref(uvsig_itimer_t* t) {
  if (t != NULL)
    uvsig_watcher_ref(&t->watcher);
}

void uvsig_itimer_unref(uvsig_itimer_t* t) {
  if (t != NULL)
    uvsig_watcher_unref(&t->watcher);
}

int uvsig_itimer_has_ref(const uvsig_itimer_t* t) {
  return t != NULL && uvsig_watcher_has_ref(&t->watcher);
}

int uvsig_itimer_is_active(const uvsig_itimer_t* t) {
  return t != NULL && uvsig_watcher_is_active(&t->watcher);
}
