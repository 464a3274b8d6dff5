/* SPDX-License-Identifier: MIT
 *
 * Which numbers are signals, and which of them can be caught. Runs anywhere.
 */

#include "base.h"

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
