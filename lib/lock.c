/* SPDX-License-Identifier: MIT
 *
 * The library's one lock, and the hook for a child of fork(2). The lock is held
 * from before a fork until after it, with every signal blocked. So a child
 * starts with nothing half done, and catches nothing before its hook has run.
 * Runs in any thread; no signal handler takes the lock.
 */

#include "base.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int cancel_state; /* of the thread that holds the lock */

static sigset_t mask; /* of the thread that forks; under the lock */

/* Runs in each child of a fork, before fork() returns, under the lock and with
 * every signal blocked. It may change the mask that the thread will have. Set
 * under the lock by the highest module that is in use. */
void (*uvsig__child_hook)(sigset_t* mask);

/* A thread that is cancelled with the lock would keep it for ever. */
static void lock_now(void) {
  int state;

  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  pthread_mutex_lock(&lock);
  cancel_state = state;
}

void uvsig__unlock(void) {
  int state = cancel_state;

  pthread_mutex_unlock(&lock);
  pthread_setcancelstate(state, NULL);
}

static void before_fork(void) {
  sigset_t all;
  sigset_t previous;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  lock_now();
  mask = previous;
}

/* The mask is the lock's: it is put back last. */
static void after_fork(void) {
  sigset_t previous = mask;

  uvsig__unlock();
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
}

/* Only async-signal-safe functions may be called here (POSIX, fork()). */
static void begin_child(void) {
  if (uvsig__child_hook != NULL)
    uvsig__child_hook(&mask);
  after_fork();
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int error;

static void prepare_for_forks(void) {
  error = UVSIG__ERR(pthread_atfork(before_fork, after_fork, begin_child));
}

/* The handlers for forks come first: a child of a fork between the two would
 * never get the lock. */
void uvsig__lock(void) {
  pthread_once(&once, prepare_for_forks);
  lock_now();
}

/* Without handlers for forks nothing may be watched. */
int uvsig__fork_error(void) {
  return error;
}
