/* SPDX-License-Identifier: MIT
 *
 * What a program that this process starts finds of signals: none is blocked,
 * and none is ignored but those that this process was started with ignored
 * (nohup(1)). exec(3) itself keeps the mask, and SIG_IGN (POSIX).
 */

#include "../subscription.h"

#include <errno.h>

static sigset_t ignored; /* when this process was started */

/* Before main(), so before the program has changed any. */
__attribute__((constructor)) static void note_ignored(void) {
  struct sigaction action;
  int signum;

  sigemptyset(&ignored);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigaction(signum, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
      sigaddset(&ignored, signum);
}

/* Also in the child of vfork(2), which shares the parent's memory and not its
 * dispositions: so handlers go before the mask does, or one might run there. */
void uvsig_before_exec(void) {
  const struct sigaction action = uvsig__simple_action(SIG_DFL);
  struct sigaction current;
  int saved_errno = errno;
  int signum;
  sigset_t none;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigaction(signum, NULL, &current) == 0 &&
        (uvsig__is_handler(&current) || (current.sa_handler == SIG_IGN &&
                                         sigismember(&ignored, signum) != 1)))
      sigaction(signum, &action, NULL);
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, NULL);
  errno = saved_errno;
}

int uvsig_spawnattr(posix_spawnattr_t* attr) {
  short flags;
  sigset_t defaults;
  sigset_t none;
  int signum;
  int err;

  if (attr == NULL)
    return UV_EINVAL;
  sigemptyset(&none);
  sigfillset(&defaults);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&ignored, signum) == 1)
      sigdelset(&defaults, signum);
  err = posix_spawnattr_getflags(attr, &flags);
  if (err == 0)
    err = posix_spawnattr_setsigmask(attr, &none);
  if (err == 0)
    err = posix_spawnattr_setsigdefault(attr, &defaults);
  if (err == 0)
    err = posix_spawnattr_setflags(
        attr, flags | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  return UVSIG__ERR(err);
}
