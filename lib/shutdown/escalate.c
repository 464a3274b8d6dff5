/* SPDX-License-Identifier: MIT
 *
 * Signal context: which signals count, what they ask for, and what works
 * although the loop is stuck. Also requests, which any thread makes. All of it
 * is async-signal-safe, lock-free, and may run on several threads at once.
 */

#include "coordinator.h"

#include <string.h>
#include <unistd.h>

/* The first signal or request writes what began the shutdown, and sets `begun`.
 * The loop reads it after that. */
static void record_cause(struct uvsig__escalation* e,
                         int signum,
                         const siginfo_t* info,
                         const char* reason) {
  uvsig_info_t sender;

  if (atomic_exchange(&e->claimed, 1) != 0)
    return;
  e->signum = signum;
  e->reason = reason;
  if (info != NULL) {
    uvsig__info_set(&sender, info);
    e->code = sender.code;
    e->pid = sender.pid;
    e->uid = sender.uid;
  }
  atomic_store(&e->begun, 1);
}

int uvsig__exit_status(const struct uvsig__escalation* e) {
  return 128 + (atomic_load(&e->begun) && e->signum != 0 ? e->signum : SIGTERM);
}

/* Time is up, and `what` has not come to its end: say so, and end the process.
 * Not by printf(), which is not async-signal-safe. */
_Noreturn void uvsig__end_overdue(const char* what, int status) {
  static const char before[] = "libuvsig: shutdown: time is up, and ";
  static const char between[] = " is stuck: exit ";
  char line[sizeof(before) + sizeof(between) + 32];
  char* at = line;
  size_t length = strlen(what);

  memcpy(at, before, sizeof(before) - 1);
  at += sizeof(before) - 1;
  memcpy(at, what, length);
  at += length;
  memcpy(at, between, sizeof(between) - 1);
  at += sizeof(between) - 1;
  *at++ = (char) ('0' + status / 100); /* 128 and more */
  *at++ = (char) ('0' + status / 10 % 10);
  *at++ = (char) ('0' + status % 10);
  *at++ = '\n';
  *at = 0;
  uvsig__print(line);
  _exit(status);
}

/* A signal does not count if it comes too soon after one that did. Of several
 * at once, on several threads, the one whose exchange is the first counts.
 * Another one may have read the clock before, so that its `now` is before
 * `last`: both differences are looked at. Where a long has 32 bits they wrap
 * after 49 days. */
static bool passes_debounce(struct uvsig__escalation* e) {
  unsigned long now = (unsigned long) (uvsig__now() / UVSIG__MS) | 1;
  unsigned long last = atomic_load(&e->last_ms);

  do {
    if (last != 0 &&
        (now - last < e->debounce_ms || last - now < e->debounce_ms))
      return false;
    /* Not reached here: another thread comes between two instructions. */
  } while (!atomic_compare_exchange_weak(&e->last_ms, &last, now));
  return true;
}

#ifdef HAVE_TIMER_CREATE
static void set_kernel_timer(struct uvsig__escalation* e, unsigned ms) {
  struct itimerspec spec = {{0, 0}, {0, 0}};

  if (!e->has_timer || e->timer_pid != getpid())
    return;
  atomic_store(&e->timer_due, (unsigned long) (uvsig__now() / UVSIG__MS) + ms);
  spec.it_value.tv_sec = (time_t) (ms / 1000);
  spec.it_value.tv_nsec = (long) (ms % 1000) * (long) UVSIG__MS;
  /* Fails for a wrong argument alone. */
  timer_settime(e->timer, 0, &spec, NULL);
}

static bool is_from_kernel_timer(const struct uvsig__escalation* e,
                                 const siginfo_t* info) {
  return e->has_timer && info->si_code == SI_TIMER &&
         info->si_value.sival_ptr == (const void*) e;
}

/* The timer runs on while the process is stopped (SIGSTOP), and its signal
 * waits for SIGCONT. The difference survives the wrap of 32 bits. */
static bool was_stopped(const struct uvsig__escalation* e) {
  unsigned long now = (unsigned long) (uvsig__now() / UVSIG__MS);

  return (long) (now - atomic_load(&e->timer_due)) >= UVSIG__STOPPED_MS;
}
#else
# define set_kernel_timer(e, ms)       ((void) (ms))
# define is_from_kernel_timer(e, info) (false)
# define was_stopped(e)                (false)
#endif

/* Does the watchdog's thread enforce the level that is asked for? */
static bool is_handled(const struct uvsig__escalation* e) {
  return atomic_load(&e->handled) >= atomic_load(&e->level);
}

void uvsig__set_handled(struct uvsig__escalation* e, unsigned level) {
  atomic_store(&e->handled, level);
  if (is_handled(e))
    set_kernel_timer(e, 0);
}

/* A stuck loop starts no watchdog's thread. So the kernel's timer sends one
 * more signal at the limit, unless the thread is there by then. It was created
 * before: a handler may only set it (POSIX.1-2017, 2.4.3). */
static void start_kernel_timer(struct uvsig__escalation* e, unsigned level) {
  if (!is_handled(e))
    set_kernel_timer(e,
                     level == UVSIG_SHUTDOWN_FORCED
                         ? e->hard_ms
                         : atomic_load(&e->total_ms));
  /* The thread may have taken over in between, and have done this too early. */
  if (is_handled(e))
    set_kernel_timer(e, 0);
}

/* A level never falls. Time begins to run when it rises. */
static void raise_level(struct uvsig__escalation* e, unsigned level) {
  unsigned now = atomic_load(&e->level);

  /* Not reached here: another thread comes between two instructions. */
  while (now < level && !atomic_compare_exchange_weak(&e->level, &now, level))
    ;
  if (now < level)
    start_kernel_timer(e, level);
}

/* SIGHUP that the options do not list: it begins a shutdown, and never
 * counts. */
static bool is_hangup(const struct uvsig__escalation* e, int signum) {
  return signum == SIGHUP && e->takes_hangup;
}

/* Does a watcher of the program's own watch it, on whichever loop? */
static bool is_used(int signum) {
  struct uvsig__subscription* at =
      atomic_load(&uvsig__shared.subscriptions[signum]);

  while (at != NULL &&
         atomic_load_explicit(&at->users, memory_order_relaxed) == 0)
    at = atomic_load(&at->next);
  return at != NULL;
}

void uvsig__escalate(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  struct uvsig__coordinator* c = w->data;
  struct uvsig__escalation* e = &c->escalation;
  bool is_forced = sigismember(&e->forced, signum) == 1;
  unsigned number;

  if (is_from_kernel_timer(e, info)) {
    /* The watchdog's thread has taken over meanwhile. */
    if (is_handled(e))
      return;
    if (!was_stopped(e))
      uvsig__end_overdue("the loop", uvsig__exit_status(e));
    set_kernel_timer(e, e->hard_ms);
    return;
  }
  if (is_hangup(e, signum)) {
    if (is_used(signum))
      return;
    record_cause(e, signum, info, NULL);
    raise_level(e, UVSIG_SHUTDOWN_GRACEFUL);
    return;
  }
  /* Debounce does not hold back the first signal that forces by its set. */
  if (!passes_debounce(e) &&
      !(is_forced && atomic_load(&e->level) < UVSIG_SHUTDOWN_FORCED))
    return;
  number = atomic_fetch_add(&e->signals, 1) + 1;
  record_cause(e, signum, info, NULL);
  if (e->exit_count != 0 && number >= e->exit_count)
    _exit(128 + signum);
  is_forced = is_forced || (e->forced_count != 0 && number >= e->forced_count);
  raise_level(e, is_forced ? UVSIG_SHUTDOWN_FORCED : UVSIG_SHUTDOWN_GRACEFUL);
}

int uvsig_shutdown_request(uvsig_shutdown_t* sd,
                           const char* reason,
                           uvsig_shutdown_level_t level) {
  struct uvsig__coordinator* c;
  int phase;
  int err = 0;

  if (sd == NULL || sd->coordinator == NULL ||
      (unsigned) level - 1 >= UVSIG_SHUTDOWN_IMMEDIATE)
    return UV_EINVAL;
  c = sd->coordinator;
  /* Counted before the phase is read. phases.c sets the phase, and then waits
   * for all that are counted, before it closes the async handle. */
  atomic_fetch_add(&c->callers, 1);
  phase = atomic_load(&c->phase);
  if (phase == UVSIG__CLOSED) {
    err = UV_EINVAL;
  } else if (phase == UVSIG_SHUTDOWN_DONE) {
    err = UV_EALREADY;
  } else if (uvsig__is_inherited(c)) {
    err = UV_EBADF;
  } else {
    record_cause(&c->escalation, 0, NULL, reason);
    if (level == UVSIG_SHUTDOWN_IMMEDIATE)
      _exit(uvsig__exit_status(&c->escalation));
    raise_level(&c->escalation, level);
    uv_async_send(&c->async);
  }
  atomic_fetch_sub(&c->callers, 1);
  return err;
}
