/* SPDX-License-Identifier: MIT
 *
 * The library's one lock, and the hook for a child of fork(2). The lock is held
 * from before a fork until after it, with every signal blocked. So a child
 * starts with nothing half done, and catches nothing before its hook has run.
 * Runs in any thread; no signal handler takes the lock.
 */

#include "base.h"

#include <pthread.h>

#include <sched.h>
#include <unistd.h>

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

/* Where several threads have had them registered at once, they are called as
 * often, and the outermost of them count. */
static _Thread_local unsigned depth;

static void before_fork(void) {
  sigset_t all;
  sigset_t previous;

  if (depth++ > 0)
    return;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  lock_now();
  mask = previous;
}

/* The mask is the lock's: it is put back last. */
static void after_fork(void) {
  sigset_t previous = mask;

  if (--depth > 0)
    return;
  uvsig__unlock();
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
}

/* Only async-signal-safe functions may be called here (POSIX, fork()). */
static void begin_child(void) {
  if (depth == 1 && uvsig__child_hook != NULL)
    uvsig__child_hook(&mask);
  after_fork();
}

/* The process that the lock is known to work in, or minus the one that makes it
 * so. Only while there are no handlers for forks. */
static atomic_int process;

/* In a child of a fork that no handler was called for: whoever had the lock is
 * not there, and nobody else would give it back. */
static void renew_lock(void) {
  int self = getpid();
  int known = atomic_load(&process);

  while (known != self) {
    if (known == -self)
      sched_yield(); /* another thread is about to */
    else if (atomic_compare_exchange_strong(&process, &known, -self)) {
      if (known != 0)
        pthread_mutex_init(&lock, NULL);
      atomic_store(&process, self);
    }
    known = atomic_load(&process);
  }
}

enum { UNTRIED = 1 }; /* what no error code is */
static atomic_int error = UNTRIED;

static void prepare_for_forks(void) {
  int err = UVSIG__ERR(pthread_atfork(before_fork, after_fork, begin_child));
  int untried = UNTRIED;

  /* What has succeeded once is not to fail any more. */
  if (err == 0)
    atomic_store(&error, 0);
  else
    atomic_compare_exchange_strong(&error, &untried, err);
}

/* The handlers for forks come first: a child of a fork between the two would
 * never get the lock. If there is no memory for them, this is tried again at
 * the next call. */
void uvsig__lock(void) {
  /* Acquire: what was done to the lock is seen. */
  if (atomic_load_explicit(&error, memory_order_acquire) != 0) {
    renew_lock();
    prepare_for_forks();
  }
  lock_now();
}

/* Without handlers for forks there may be no uvsig_t. Under uvsig__lock(). */
int uvsig__fork_error(void) {
  return atomic_load(&error);
}
