/* SPDX-License-Identifier: MIT
 *
 * Which numbers are signals, and which of them can be caught. Runs anywhere.
 */

#include "base.h"

/* libc leaves the numbers that it keeps for itself out of a full set. Those of
 * FreeBSD and OpenBSD do not, and name them. */
void uvsig__fill_valid(sigset_t* set) {
  sigfillset(set);
#ifdef SIGTHR
  sigdelset(set, SIGTHR); /* cancels a thread */
#endif
#ifdef SIGLIBRT
  sigdelset(set, SIGLIBRT);
#endif
}

bool uvsig__is_valid(int signum) {
  sigset_t valid;

  if (signum <= 0 || signum >= UVSIG_NSIG)
    return false;
  uvsig__fill_valid(&valid);
  return sigismember(&valid, signum) == 1;
}

bool uvsig__is_catchable(int signum) {
  return uvsig__is_valid(signum) && signum != SIGKILL && signum != SIGSTOP;
}

/* Set `*catchable` to the signals of `set` that can be caught. Not libc's own
 * numbers: to take those would take a thread's cancellation from libc. Returns
 * how many there are. */
size_t uvsig__filter(const sigset_t* set, sigset_t* catchable) {
  size_t count = 0;
  int signum;

  sigemptyset(catchable);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (uvsig__is_catchable(signum) && sigismember(set, signum) == 1) {
      sigaddset(catchable, signum);
      count++;
    }
  return count;
}

/* signal(7): those whose default action is to ignore, stop or continue. */
bool uvsig__is_deadly(int signum) {
  return signum != SIGCHLD && signum != SIGCONT && signum != SIGSTOP &&
         signum != SIGTSTP && signum != SIGTTIN && signum != SIGTTOU &&
#ifdef SIGWINCH
         signum != SIGWINCH &&
#endif
#ifdef SIGINFO
         signum != SIGINFO &&
#endif
         signum != SIGURG;
}
