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
void uvsig__lock(void) {
  int state = uvsig__cancel_disable();

  pthread_mutex_lock(&lock);
  cancel_state = state;
}

void uvsig__unlock(void) {
  int state = cancel_state;

  pthread_mutex_unlock(&lock);
  uvsig__cancel_restore(state);
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
  uvsig__lock();
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

/* Have the lock survive forks. A child of a fork without the handlers for it
 * might never get the lock: so a function that may take it without a uvsig_t
 * calls this first. uvsig_init() does, too. What fails is tried again at the
 * next call. */
int uvsig__prepare_for_forks(void) {
  static atomic_bool is_prepared;
  int err = 0;

  /* Acquire: a thread that finds it set finds the handlers. */
  if (!atomic_load_explicit(&is_prepared, memory_order_acquire))
    err = pthread_atfork(before_fork, after_fork, begin_child);
  if (err == 0)
    atomic_store_explicit(&is_prepared, true, memory_order_release);
  return UVSIG__ERR(err);
}
