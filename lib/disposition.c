/* SPDX-License-Identifier: MIT
 *
 * What a signal does to the process: saves, installs and restores dispositions,
 * keeps the list of who watches which signal, and waits for handlers before
 * somebody's memory or descriptors go. Runs in any thread, under one lock that
 * no handler ever takes.
 */

#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int cancel_state; /* of the thread that holds the lock */

static void lock_now(void);

/* A child has one thread, which is in no handler: the handlers that were under
 * way in the parent's other threads will never leave here. */
static void reset_child(void) {
  atomic_store(&uvsig__shared.readers[0], 0);
  atomic_store(&uvsig__shared.readers[1], 0);
  uvsig__forget_itimers();
  uvsig__unlock();
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static int fork_error;

static void prepare_for_forks(void) {
  fork_error = pthread_atfork(lock_now, uvsig__unlock, reset_child);
}

/* A thread that is cancelled with the lock would keep it for ever. */
static void lock_now(void) {
  int state;

  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  pthread_mutex_lock(&lock);
  cancel_state = state;
}

/* Before it is locked for the first time: a child of a fork in between would
 * never get it. */
void uvsig__lock(void) {
  pthread_once(&fork_once, prepare_for_forks);
  lock_now();
}

void uvsig__unlock(void) {
  int state = cancel_state;

  pthread_mutex_unlock(&lock);
  pthread_setcancelstate(state, NULL);
}

/* libc leaves the numbers that it keeps for itself out of a full set. */
bool uvsig__is_valid(int signum) {
  sigset_t valid;

  if (signum <= 0 || signum >= UVSIG_NSIG)
    return false;
  sigfillset(&valid);
  return sigismember(&valid, signum) == 1;
}

bool uvsig__is_catchable(int signum) {
  return uvsig__is_valid(signum) && signum != SIGKILL && signum != SIGSTOP;
}

static bool is_ours(const struct sigaction* action) {
  return (action->sa_flags & SA_SIGINFO) != 0 &&
         action->sa_sigaction == uvsig__handler;
}

/* Which signals interrupt system calls; under the lock. */
static bool interrupts[UVSIG_NSIG];

static void set_handler(struct sigaction* action, int signum) {
  memset(action, 0, sizeof(*action));
  action->sa_sigaction = uvsig__handler;
  /* SA_SIGINFO tells a fault from a kill(). SA_ONSTACK: a stack overflow leaves
   * no room for a handler on the thread's own stack. SA_RESTART: a program that
   * watches signals on a loop wants no EINTR elsewhere, unless it says so. No
   * SA_RESETHAND: one-shot is the watcher's, and macOS does not give it
   * back. */
  action->sa_flags = SA_SIGINFO | SA_ONSTACK;
  if (!interrupts[signum])
    action->sa_flags |= SA_RESTART;
  /* Full: handlers do not nest, so a thread counts as one reader at most. */
  sigfillset(&action->sa_mask);
}

static bool is_watched(int signum) {
  return atomic_load(&uvsig__shared.sources[signum]) != NULL;
}

/* Install the handler, and save what was there, unless ours is there already:
 * a second loop's start, or somebody who put us back after the last stop. */
static int install(int signum) {
  struct sigaction action;
  struct sigaction current;

  if (sigaction(signum, NULL, &current) != 0)
    return UVSIG__ERR(errno);
  if (is_ours(&current))
    return 0;

  set_handler(&action, signum);
  /* Saved before ours can run: a fault reads it. */
  uvsig__shared.previous[signum] = current;
  if (sigaction(signum, &action, NULL) != 0)
    return UVSIG__ERR(errno);
  return 0;
}

/* Put back what was there, unless ours has been replaced: then what is there
 * is somebody else's business. Returns whether ours was still there. */
static bool uninstall(int signum) {
  struct sigaction current;

  if (sigaction(signum, NULL, &current) != 0 || !is_ours(&current))
    return false;
  sigaction(signum, &uvsig__shared.previous[signum], NULL);
  return true;
}

static void link_source(struct uvsig__source* source) {
  _Atomic(struct uvsig__source*)* head = &uvsig__shared.sources[source->signum];

  /* Relaxed: not yet reachable; the store of the head publishes it. */
  atomic_store_explicit(&source->next, atomic_load(head), memory_order_relaxed);
  atomic_store(head, source);
}

/* A handler may stand on the source and needs its way on: `next` stays. */
static void unlink_source(struct uvsig__source* source) {
  _Atomic(struct uvsig__source*)* link = &uvsig__shared.sources[source->signum];
  struct uvsig__source* at;

  while ((at = atomic_load(link)) != NULL && at != source)
    link = &at->next;
  if (at != NULL)
    atomic_store(link, atomic_load(&source->next));
}

/* Let the handler see the source, and see to it that there is a handler. */
int uvsig__subscribe(struct uvsig__source* source) {
  int err;

  uvsig__lock();
  if (fork_error != 0) {
    uvsig__unlock();
    return UVSIG__ERR(fork_error);
  }
  /* Linked first, so that the first signal after the change finds it. */
  link_source(source);
  err = install(source->signum);
  if (err != 0)
    unlink_source(source);
  uvsig__unlock();
  /* A handler that somebody put back may have seen it for a moment. */
  if (err != 0)
    uvsig__synchronize();
  return err;
}

/* The opposite. Handlers may be using the source until uvsig__synchronize(). */
void uvsig__unsubscribe(struct uvsig__source* source) {
  struct uvsig__source* head;

  uvsig__lock();
  head = atomic_load(&uvsig__shared.sources[source->signum]);
  /* Restored first: a signal in between still has somebody to take it. */
  if (head == source && atomic_load(&source->next) == NULL &&
      !uninstall(source->signum))
    source->replaced++;
  unlink_source(source);
  uvsig__unlock();
}

/* Nearly always a handler is gone at once; where a storm has preempted it, a
 * spinning thread would only keep the processor from it. */
static void wait_briefly(unsigned round) {
  static const struct timespec pause = {0, 50 * 1000};

  if (round < 16)
    sched_yield();
  else
    nanosleep(&pause, NULL);
}

/* Return when every handler that could have seen what was unlinked before the
 * call has returned. Two generations: new handlers count in the other one, so
 * that a storm cannot keep the awaited one above 0. Two rounds: a handler that
 * read the generation, and was delayed before it counted itself in, may be in
 * either. test/readers.pml is a model of this. */
void uvsig__synchronize_locked(void) {
  unsigned generation;
  unsigned round;
  int i;

  for (i = 0; i < 2; i++) {
    generation = atomic_load(&uvsig__shared.generation);
    atomic_store(&uvsig__shared.generation, generation ^ 1);
    for (round = 0; atomic_load(&uvsig__shared.readers[generation]) != 0;
         round++)
      wait_briefly(round);
  }
}

void uvsig__synchronize(void) {
  uvsig__lock();
  uvsig__synchronize_locked();
  uvsig__unlock();
}

/* Forget what is pending of a signal whose only source is about to go: the
 * previous action must not take what our timer has sent. Ignoring a signal
 * discards it, in every thread (sigaction(2), POSIX XSH 2.4.3). */
void uvsig__discard_pending(const struct uvsig__source* source) {
  struct sigaction ignore;
  struct sigaction current;

  memset(&ignore, 0, sizeof(ignore));
  ignore.sa_handler = SIG_IGN;
  sigemptyset(&ignore.sa_mask);
  uvsig__lock();
  if (atomic_load(&uvsig__shared.sources[source->signum]) == source &&
      atomic_load(&source->next) == NULL &&
      sigaction(source->signum, NULL, &current) == 0 && is_ours(&current)) {
    sigaction(source->signum, &ignore, NULL);
    sigaction(source->signum, &current, NULL);
  }
  uvsig__unlock();
}

static int classify(int signum, const struct sigaction* action) {
  if (is_ours(action) && is_watched(signum))
    return UVSIG_WATCHED;
  /* One and the same field, whatever SA_SIGINFO says (sigaction(2)). */
  if (action->sa_handler == SIG_DFL)
    return UVSIG_DEFAULT;
  if (action->sa_handler == SIG_IGN)
    return UVSIG_IGNORED;
  return UVSIG_FOREIGN;
}

int uvsig_getsignal(int signum) {
  struct sigaction current;
  int result;

  if (!uvsig__is_valid(signum))
    return UV_EINVAL;
  uvsig__lock();
  if (sigaction(signum, NULL, &current) != 0)
    result = UVSIG__ERR(errno);
  else
    result = classify(signum, &current);
  uvsig__unlock();
  return result;
}

static int set_action(int signum, void (*handler)(int)) {
  struct sigaction action;
  struct sigaction previous;
  int result;

  if (!uvsig__is_catchable(signum))
    return UV_EINVAL;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);

  uvsig__lock();
  if (is_watched(signum))
    result = UV_EBUSY;
  else if (sigaction(signum, &action, &previous) != 0)
    result = UVSIG__ERR(errno);
  else
    result = classify(signum, &previous);
  uvsig__unlock();
  return result;
}

int uvsig_ignore(int signum) {
  return set_action(signum, SIG_IGN);
}

int uvsig_default(int signum) {
  return set_action(signum, SIG_DFL);
}

int uvsig_siginterrupt(int signum, int flag) {
  struct sigaction action;
  struct sigaction current;
  bool before;
  int err = 0;

  if (!uvsig__is_catchable(signum))
    return UV_EINVAL;
  uvsig__lock();
  before = interrupts[signum];
  interrupts[signum] = flag != 0;
  if (sigaction(signum, NULL, &current) == 0 && is_ours(&current)) {
    set_handler(&action, signum);
    if (sigaction(signum, &action, NULL) != 0) {
      err = UVSIG__ERR(errno);
      interrupts[signum] = before;
    }
  }
  uvsig__unlock();
  return err;
}

/* signal(7): those whose default action is to ignore, stop or continue. */
static bool is_deadly(int signum) {
  switch (signum) {
  case SIGCHLD:
  case SIGCONT:
  case SIGSTOP:
  case SIGTSTP:
  case SIGTTIN:
  case SIGTTOU:
  case SIGURG:
#ifdef SIGWINCH
  case SIGWINCH:
#endif
#ifdef SIGINFO
  case SIGINFO:
#endif
    return false;
  default:
    return true;
  }
}

int uvsig_reraise(int signum) {
  struct sigaction action;
  sigset_t set;

  if (!uvsig__is_valid(signum) || !is_deadly(signum))
    return UV_EINVAL;
  /* Without the lock: this is for handlers too, and nothing comes after. */
  memset(&action, 0, sizeof(action));
  action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  sigaction(signum, &action, NULL); /* fails for SIGKILL, which needs none */
  raise(signum);
  /* Still here: it was blocked, and is pending. */
  sigemptyset(&set);
  sigaddset(&set, signum);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  /* Still here: as PID 1 the default action is not taken (kill(2)). */
  _exit(128 + signum);
}
