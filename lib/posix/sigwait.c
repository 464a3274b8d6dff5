/* SPDX-License-Identifier: MIT
 *
 * Waiting for a signal in the calling thread, without a handler. Runs in any
 * thread. sigwait-poll.c has the same for systems without sigtimedwait(2).
 */

#include "../base.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#ifdef __linux__
# include <sys/syscall.h>
#endif

#ifdef HAVE_SIGTIMEDWAIT
/* musl's function begins anew, with the whole time, when a handler has run. So
 * the system call itself, which says so. Its time has longs, also where time_t
 * has more bits. */
static int wait_once(const sigset_t* set,
                     siginfo_t* info,
                     const struct timespec* limit) {
# if defined(__linux__) && !defined(__GLIBC__) &&                              \
     defined(SYS_rt_sigtimedwait) && HAVE_DECL_PTHREAD_SETCANCELSTATE
  long left[2];
  int signum;

  if (limit != NULL) {
    left[0] = limit->tv_sec < LONG_MAX ? (long) limit->tv_sec : LONG_MAX;
    left[1] = limit->tv_nsec;
    pthread_testcancel(); /* as the function does */
    signum =
        (int) syscall(SYS_rt_sigtimedwait, set, info, left, (size_t) _NSIG / 8);
    if (signum > 0 || errno != ENOSYS) /* a kernel with longer times alone */
      return signum;
  }
# endif
  return sigtimedwait(set, info, limit);
}

/* Take a pending signal of `set`, or the first to come until `deadline`. */
int uvsig__take_signal(const sigset_t* set,
                       siginfo_t* info,
                       uint64_t deadline) {
  struct timespec left;
  uint64_t now = uvsig__now();
  uint64_t ns;

  for (;;) {
    ns = now < deadline ? deadline - now : 0;
    left.tv_sec = (time_t) (ns / UVSIG__SECOND);
    left.tv_nsec = (long) (ns % UVSIG__SECOND);
    if (wait_once(set, info, deadline == UVSIG__NEVER ? NULL : &left) > 0)
      return 0;
    /* EINTR, which NetBSD calls ECANCELED: a handler ran, of a signal that is
     * not in the set. When it has taken all the time, one more look says
     * whether a signal came meanwhile. */
    if (errno != EINTR && errno != ECANCELED && errno != EAGAIN)
      return UVSIG__ERR(errno);
    if (errno == EAGAIN && now >= deadline)
      return UV_ETIMEDOUT;
    now = uvsig__now();
  }
}
#endif

int uvsig_sigwait(const sigset_t* set, int* signum) {
  uvsig_info_t info;
  int err;

  if (signum == NULL)
    return UV_EINVAL;
  err = uvsig_sigwaitinfo(set, &info);
  if (err == 0)
    *signum = info.signum;
  return err;
}

int uvsig_sigwaitinfo(const sigset_t* set, uvsig_info_t* info) {
  return uvsig_sigtimedwait(set, UVSIG__FOREVER, info);
}

int uvsig_sigtimedwait(const sigset_t* set,
                       double seconds,
                       uvsig_info_t* info) {
  siginfo_t taken;
  sigset_t usable;
  uint64_t deadline;
  int err;

  if (set == NULL)
    return UV_EINVAL;
  err = uvsig__deadline_after(seconds, &deadline);
  if (err != 0)
    return err;
  if (uvsig__filter(set, &usable) == 0 && deadline == UVSIG__NEVER)
    return UV_EINVAL;
  err = uvsig__take_signal(&usable, &taken, deadline);
  if (err == 0 && info != NULL)
    uvsig__info_set(info, &taken);
  return err;
}
