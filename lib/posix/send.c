/* SPDX-License-Identifier: MIT
 *
 * Sending signals. Runs anywhere, also in signal context.
 */

#include "../base.h"

#include <pthread.h>

#include <errno.h>
#ifdef HAVE_SYS_SYSCALL_H
# include <sys/syscall.h>
# include <unistd.h>
#endif

/* 0 asks whether one could send. */
static bool is_sendable(int signum) {
  return signum == 0 || uvsig__is_valid(signum);
}

int uvsig_raise_signal(int signum) {
  if (!uvsig__is_valid(signum))
    return UV_EINVAL;
  return raise(signum) == 0 ? 0 : UVSIG__ERR(errno);
}

int uvsig_pthread_kill(uv_thread_t thread, int signum) {
  if (!is_sendable(signum))
    return UV_EINVAL;
  return UVSIG__ERR(pthread_kill(thread, signum));
}

int uvsig_pidfd_send_signal(int pidfd,
                            int signum,
                            const siginfo_t* info,
                            unsigned flags) {
  if (!is_sendable(signum) || flags != 0 ||
      (info != NULL && info->si_signo != signum))
    return UV_EINVAL;
#ifdef SYS_pidfd_send_signal
  return syscall(SYS_pidfd_send_signal, pidfd, signum, info, 0) == 0
             ? 0
             : UVSIG__ERR(errno);
#else
  (void) pidfd;
  return UV_ENOSYS;
#endif
}

int uvsig_sigqueue(uv_pid_t pid, int signum, union sigval value) {
  if (!is_sendable(signum) || pid <= 0)
    return UV_EINVAL;
#ifdef HAVE_SIGQUEUE
  return sigqueue(pid, signum, value) == 0 ? 0 : UVSIG__ERR(errno);
#else
  (void) value;
  return UV_ENOSYS;
#endif
}
