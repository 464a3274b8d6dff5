/* SPDX-License-Identifier: MIT
 *
 * Threads that leave signals to the loop's. A new thread inherits the mask of
 * the one that makes it (POSIX, pthread_create()). Runs in any thread.
 */

#include "../base.h"

#include <pthread.h>

#include <stdlib.h>

/* Everything but what a thread's own fault raises: blocked, that would end the
 * process without a chance for a handler (POSIX, XSH 2.4.1). */
static void block_asynchronous(sigset_t* previous) {
  sigset_t set;
  int signum;

  sigfillset(&set);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (uvsig__is_synchronous(signum))
      sigdelset(&set, signum);
  pthread_sigmask(SIG_SETMASK, &set, previous);
}

int uvsig_thread_create(uv_thread_t* tid, uv_thread_cb entry, void* arg) {
  sigset_t previous;
  int err;

  if (tid == NULL || entry == NULL)
    return UV_EINVAL;
  block_asynchronous(&previous);
  err = uv_thread_create(tid, entry, arg);
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  return err;
}

static void do_nothing(uv_work_t* work) {
  (void) work;
}

static void on_done(uv_work_t* work, int status) {
  (void) status;
  free(work);
}

int uvsig_threadpool_prime(uv_loop_t* loop) {
  sigset_t previous;
  uv_work_t* work;
  int err;

  if (loop == NULL)
    return UV_EINVAL;
  work = calloc(1, sizeof(*work));
  if (work == NULL)
    return UV_ENOMEM;
  /* libuv makes all threads of the pool when the first work is queued, in the
   * thread that queues it, and calls abort() if the system refuses one (libuv,
   * src/threadpool.c). To try the same number of threads before would not help:
   * those of a pool that is there already need none, and what is free now may
   * not be free when libuv asks. */
  block_asynchronous(&previous);
  err = uv_queue_work(loop, work, do_nothing, on_done);
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  if (err != 0)
    free(work);
  return err;
}
