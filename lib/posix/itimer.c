/* SPDX-License-Identifier: MIT
 *
 * The process's interval timers: as Python has them, in any thread; and with a
 * callback, in the loop thread. Of each there is one, and it has one owner.
 */

#include "../dispatch.h"
#include "../disposition.h"
#include "../source.h"

#include <errno.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

_Static_assert((int) UVSIG_ITIMER_REAL == (int) ITIMER_REAL &&
                   (int) UVSIG_ITIMER_VIRTUAL == (int) ITIMER_VIRTUAL &&
                   (int) UVSIG_ITIMER_PROF == (int) ITIMER_PROF,
               "the numbers are not the system's");

enum { TIMERS = 3, MICROSECOND = 1000 /* in nanoseconds */ };

/* A signal comes no more often than that, however short the interval: one that
 * is shorter than the handler runs would leave time for nothing else. What has
 * expired is counted by the clock. */
#define SHORTEST (UINT64_C(100) * MICROSECOND)

/* Up to here a double has every microsecond: 2^53 of them. */
#define LONGEST 9007199254.0

/* What an owner has taken from the process; under uvsig__lock(). */
static struct owner {
  uvsig_itimer_t* timer;
  struct itimerval previous;
  uint64_t since; /* on the timer's clock: when `previous` was read */
} owners[TIMERS];

/* --- Times ---------------------------------------------------------------- */

static uint64_t to_ns(const struct timeval* value) {
  return (uint64_t) value->tv_sec * UVSIG__SECOND +
         (uint64_t) value->tv_usec * MICROSECOND;
}

/* Rounded up. */
static void from_ns(uint64_t ns, struct timeval* out) {
  ns += MICROSECOND - 1;
  out->tv_sec = (time_t) (ns / UVSIG__SECOND);
  out->tv_usec = (suseconds_t) (ns % UVSIG__SECOND / MICROSECOND);
}

static int to_timeval(double seconds, struct timeval* out) {
  uint64_t ns;

  if (!(seconds >= 0 && seconds <= LONGEST)) /* also what is not a number */
    return UV_EINVAL;
  ns = uvsig__round_up(seconds, 1e6) * MICROSECOND;
  from_ns(ns, out);
  /* Not reached here: a time_t has 64 bits. */
  return to_ns(out) == ns ? 0 : UV_EINVAL;
}

static int to_itimerval(double seconds,
                        double interval,
                        struct itimerval* out) {
  int err = to_timeval(seconds, &out->it_value);

  return err != 0 ? err : to_timeval(interval, &out->it_interval);
}

static double to_seconds(const struct timeval* value) {
  return (double) (to_ns(value) / MICROSECOND) / 1e6;
}

static void to_public(uvsig_itimerval_t* out, const struct itimerval* value) {
  out->seconds = to_seconds(&value->it_value);
  out->interval = to_seconds(&value->it_interval);
}

/* The clock that a timer runs by, in nanoseconds. */
static uint64_t read_clock(int which) {
  struct rusage usage;
#ifdef __linux__
  /* What getrusage() says is adjusted, and not what expires a timer. These are
   * the process's own clocks, (~pid << 3) | kind, of pid 0 (clock_gettime(2),
   * "Dynamic clocks", and the kernel's include/linux/posix-timers_types.h). */
  const clockid_t clock = which == UVSIG_ITIMER_PROF ? -8 : -7;
  struct timespec now;
#endif

  if (which == UVSIG_ITIMER_REAL)
    return uvsig__now();
#ifdef __linux__
  if (clock_gettime(clock, &now) == 0)
    return uvsig__to_ns(&now);
#endif
  getrusage(RUSAGE_SELF, &usage); /* fails for a wrong argument alone */
  return to_ns(&usage.ru_utime) +
         (which == UVSIG_ITIMER_PROF ? to_ns(&usage.ru_stime) : 0);
}

/* --- The process's timers ------------------------------------------------- */

static const int signals[TIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};

/* NULL disarms. */
static int set(int which,
               const struct itimerval* value,
               struct itimerval* previous) {
  static const struct itimerval none;

  return setitimer(which, value != NULL ? value : &none, previous) == 0
             ? 0
             : UVSIG__ERR(errno);
}

static bool is_owner(int which, const uvsig_itimer_t* t) {
  bool result;

  uvsig__lock();
  result = owners[which].timer == t;
  uvsig__unlock();
  return result;
}

int uvsig_setitimer(int which,
                    double seconds,
                    double interval,
                    uvsig_itimerval_t* old) {
  struct itimerval value;
  struct itimerval previous;
  int err;

  if ((unsigned) which >= TIMERS)
    return UV_EINVAL;
  err = to_itimerval(seconds, interval, &value);
  if (err == 0)
    err = uvsig__prepare_for_forks();
  if (err != 0)
    return err;
  uvsig__lock();
  err = owners[which].timer != NULL ? UV_EBUSY : set(which, &value, &previous);
  uvsig__unlock();
  if (err == 0 && old != NULL)
    to_public(old, &previous);
  return err;
}

int uvsig_getitimer(int which, uvsig_itimerval_t* value) {
  struct itimerval now;

  if ((unsigned) which >= TIMERS || value == NULL)
    return UV_EINVAL;
  if (getitimer(which, &now) != 0)
    return UVSIG__ERR(errno);
  to_public(value, &now);
  return 0;
}

unsigned uvsig_alarm(unsigned seconds) {
  unsigned left = UINT_MAX;

  if (uvsig__prepare_for_forks() != 0)
    return left;
  uvsig__lock();
  if (owners[UVSIG_ITIMER_REAL].timer == NULL)
    left = alarm(seconds);
  uvsig__unlock();
  return left;
}

/* --- With a callback ------------------------------------------------------ */

/* Make `t` the owner of its timer of the process. What was armed is saved and
 * disarmed: its signals are the previous handler's. */
static int borrow_timer(uvsig_itimer_t* t, bool* is_new) {
  struct owner* owner = &owners[t->which];
  int err;

  uvsig__lock();
  *is_new = owner->timer == NULL;
  if (*is_new)
    err = set(t->which, NULL, &owner->previous);
  else
    err = owner->timer == t ? 0 : UV_EBUSY;
  if (*is_new && err == 0) {
    owner->timer = t;
    owner->since = read_clock(t->which);
  }
  uvsig__unlock();
  return err;
}

/* Arm a timer. `*left` is in how many nanoseconds it will expire, or 0 where
 * that cannot be read. Linux gives one of processor time a tick of the kernel
 * more than was asked for. */
static int arm(int which, const struct itimerval* value, uint64_t* left) {
  struct itimerval now;
  int err = set(which, value, NULL);

  *left = err == 0 && getitimer(which, &now) == 0 ? to_ns(&now.it_value) : 0;
  return err;
}

/* Arm the timer that was there before borrow_timer(): it goes on. An error has
 * no caller to go to: the timer that was borrowed has been stopped. */
static void rearm(int which, uint64_t elapsed, struct itimerval* previous) {
  /* What was read was cut to it. */
  uint64_t left = to_ns(&previous->it_value) + MICROSECOND;
  uint64_t actual;

  /* At least the smallest time there is: 0 would disarm it. */
  left = left > elapsed + MICROSECOND ? left - elapsed : MICROSECOND;
  from_ns(left, &previous->it_value);
  (void) arm(which, previous, &actual);
  /* A tick more, each time that the timer is borrowed, adds up. */
  if (which != UVSIG_ITIMER_REAL && actual > left && left > actual - left) {
    from_ns(left - (actual - left), &previous->it_value);
    (void) set(which, previous, NULL); /* refused: it is a tick late */
  }
}

/* The opposite of borrow_timer(). */
static void return_timer(int which) {
  struct owner* owner = &owners[which];

  uvsig__lock();
  owner->timer = NULL;
  if (to_ns(&owner->previous.it_value) > 0)
    rearm(which, read_clock(which) - owner->since, &owner->previous);
  uvsig__unlock();
}

/* Start to count, and note when the timer expires for the first time: on no
 * account later than it does, or an expiration would be missing at the end. */
static int run(uvsig_itimer_t* t, struct itimerval value) {
  uint64_t earliest = read_clock(t->which) + to_ns(&value.it_value);
  uint64_t interval = to_ns(&value.it_interval);
  uint64_t next;
  uint64_t left;
  int err;

  if (interval > 0 && interval < SHORTEST)
    from_ns((SHORTEST + interval - 1) / interval * interval,
            &value.it_interval);
  next = read_clock(t->which);
  err = arm(t->which, &value, &left);
  if (err != 0)
    return err;
  next += left;
  t->expirations = 0;
  t->interval = interval;
  t->first = earliest;
  /* Unless what is left was of a later expiration, or of none. */
  if (read_clock(t->which) < earliest && next > earliest)
    t->first = next;
  return 0;
}

/* How many there have been by now. */
static uint64_t count_expirations(const uvsig_itimer_t* t) {
  uint64_t now = read_clock(t->which);

  if (now < t->first)
    return 0;
  return t->interval > 0 ? 1 + (now - t->first) / t->interval : 1;
}

/* The owner. */
static void stop(uvsig_itimer_t* t) {
  const struct uvsig__source* source = t->watcher.source;

  /* Refused: neither a close nor an expiration can be undone for that.
   * uvsig_itimer_stop() can, and has asked before. */
  (void) set(t->which, NULL, NULL);
  /* A last signal may be on its way, maybe to another thread, and would meet
   * the previous action: most likely the end of the process. */
  if (source->first == source->last)
    uvsig__discard_pending(&source->sub);
  uvsig_watcher_stop(&t->watcher);
  return_timer(t->which);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_itimer_t* t = w->data;
  uint64_t total = count_expirations(t);
  uint64_t count;

  (void) signum;
  (void) info;
  /* Expirations are counted by the clock: the kernel merges signals, and
   * another process may send one. An earlier call may have notified of an
   * expiration whose signal is still to come. In a child nothing is armed, and
   * its clocks are others. */
  if (total <= t->expirations || !is_owner(t->which, t))
    return;
  count = total - t->expirations;
  t->expirations = total;
  if (t->interval == 0)
    stop(t);
  /* Not reached here: 4,294,967,296 expirations in one turn of the loop. */
  t->cb(t, count > UINT_MAX ? UINT_MAX : (unsigned) count);
}

/* Does not look at `*t`, which may be anything. */
static bool is_started(const struct uvsig__hub* hub, const uvsig_itimer_t* t) {
  const struct uvsig__source* source;
  int which;

  for (which = 0; which < TIMERS; which++) {
    source = hub->sources[signals[which]];
    if (is_owner(which, t) ||
        (source != NULL && uvsig__source_has(source, &t->watcher)))
      return true;
  }
  return false;
}

int uvsig_itimer_init(uvsig_t* sig, uvsig_itimer_t* t, int which) {
  struct uvsig__hub* hub;
  int err;

  if (t == NULL || (unsigned) which >= TIMERS)
    return UV_EINVAL;
  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  if (is_started(hub, t))
    return UV_EBUSY;
  UVSIG__RESET(t);
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
  bool has_borrowed;
  bool was_active;
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
  if (hub->inherited)
    return UV_EBADF;

  err = borrow_timer(t, &has_borrowed);
  if (err != 0)
    return err;
  was_active = uvsig_watcher_is_active(&t->watcher);
  err = uvsig__watcher_start(
      &t->watcher, on_signal, signals[t->which], UVSIG__TIMER);
  if (err == 0)
    err = run(t, value);
  if (err == 0) {
    t->cb = cb;
    return 0;
  }
  if (!was_active)
    uvsig_watcher_stop(&t->watcher);
  if (has_borrowed)
    return_timer(t->which);
  return err;
}

int uvsig_itimer_stop(uvsig_itimer_t* t) {
  struct uvsig__hub* hub;
  int err;

  if (t == NULL)
    return UV_EINVAL;
  /* It is stopped, or a child's, where nothing is armed. */
  if (!uvsig_watcher_is_active(&t->watcher) || !is_owner(t->which, t))
    return uvsig_watcher_stop(&t->watcher);
  err = uvsig__hub_of(t->sig, &hub);
  /* A timer that goes on must keep its watcher. */
  if (err == 0)
    err = set(t->which, NULL, NULL);
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
    t = owners[which].timer;
    if (t != NULL && t->sig != hub->sig)
      t = NULL;
    uvsig__unlock();
    if (t != NULL)
      stop(t);
  }
}

/* A child inherits the table, but no timer (POSIX, fork()). In the child,
 * before fork() returns. */
void uvsig__forget_itimers(void) {
  int which;

  for (which = 0; which < TIMERS; which++)
    owners[which].timer = NULL;
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
