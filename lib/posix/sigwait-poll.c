/* SPDX-License-Identifier: MIT
 *
 * Waiting for a signal where the system has no sigtimedwait(2): macOS, OpenBSD.
 * Looks every few milliseconds whether a signal of the set is pending, and
 * takes it with a handler of its own, so that its sender is known. sigwait(3)
 * would not return if another thread took the signal after the look. Runs in
 * any thread; the handler in signal context.
 */

#include "../base.h"

#ifndef HAVE_SIGTIMEDWAIT

# include <pthread.h>
# include <setjmp.h>

# define SHORTEST_PAUSE (1000 * 1000) /* nanoseconds */
# define LONGEST_PAUSE  (10 * 1000 * 1000)

/* Of the one thread that takes a signal now; under uvsig__lock(). */
static pthread_t taker;
static siginfo_t taken;
static sigjmp_buf taker_context;

static void on_taken(int signum, siginfo_t* info, void* context) {
  (void) context;
  if (!pthread_equal(pthread_self(), taker)) {
    /* Another thread's, which does not block it: it comes again, until the
     * previous action is back. */
    raise(signum);
    return;
  }
  taken = *info;
  /* Leaving this way blocks the signal again at once. On return, the next one
   * that is queued would come. */
  siglongjmp(taker_context, 1);
}

/* Returns whether the handler has taken it. */
static bool let_in(const sigset_t* set) {
  if (sigsetjmp(taker_context, 1) != 0)
    return true;
  /* What is pending and unblocked is delivered before the return (POSIX,
   * pthread_sigmask()). */
  pthread_sigmask(SIG_UNBLOCK, set, NULL);
  pthread_sigmask(SIG_BLOCK, set, NULL);
  return false;
}

/* Take a signal that is pending, unless another thread was faster. */
static bool take_pending(int signum, siginfo_t* info) {
  struct sigaction action;
  struct sigaction previous;
  sigset_t set = uvsig__set_of(signum);
  bool done = false;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = on_taken;
  /* SA_SIGINFO: who sent it. SA_RESTART: for the other threads' calls. */
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);

  uvsig__lock();
  taker = pthread_self();
  if (sigaction(signum, &action, &previous) == 0) {
    done = let_in(&set);
    if (done)
      *info = taken;
    /* If that ignores the signal, what else is pending of it is discarded. If
     * it is refused, now that another has not been, there is nothing else to
     * try. */
    sigaction(signum, &previous, NULL);
  }
  uvsig__unlock();
  return done;
}

static bool take_any_pending(const sigset_t* set, siginfo_t* info) {
  sigset_t pending;
  int signum;

  sigpending(&pending);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(set, signum) == 1 && sigismember(&pending, signum) == 1 &&
        take_pending(signum, info))
      return true;
  return false;
}

int uvsig__take_signal(const sigset_t* set,
                       siginfo_t* info,
                       uint64_t deadline) {
  struct timespec pause = {0, SHORTEST_PAUSE};
  uint64_t now;
  int err = uvsig__prepare_for_forks();

  if (err != 0)
    return err;
  for (;;) {
    /* Before the look, so that the last one is not before the deadline. */
    now = uvsig__now();
    if (take_any_pending(set, info))
      return 0;
    if (now >= deadline)
      return UV_ETIMEDOUT;
    if (deadline - now < (uint64_t) pause.tv_nsec)
      pause.tv_nsec = (long) (deadline - now);
    nanosleep(&pause, NULL); /* EINTR: a reason to look */
    if (pause.tv_nsec < LONGEST_PAUSE)
      pause.tv_nsec *= 2;
  }
}

#endif /* HAVE_SIGTIMEDWAIT */
