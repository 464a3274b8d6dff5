/* SPDX-License-Identifier: MIT
 *
 * What the kernel says of a signal, in the public form. Runs anywhere.
 */

#include "base.h"

/* Parts of a siginfo_t share their place: read those alone that its si_code
 * comes with (sigaction(2); POSIX, <signal.h>). */
void uvsig__info_set(uvsig_info_t* info, const siginfo_t* from) {
  bool has_sender = false;
  bool has_value = false;

  memset(info, 0, sizeof(*info));
  info->signum = from->si_signo;
  info->count = 1;
  info->code = from->si_code;
  info->error = from->si_errno;

  switch (from->si_code) {
  case SI_USER:
#ifdef SI_TKILL
  case SI_TKILL:
#endif
#ifdef SI_LWP
  case SI_LWP:
#endif
    has_sender = true;
    break;
  case SI_QUEUE:
#ifdef SI_MESGQ
  case SI_MESGQ:
#endif
    has_sender = true;
    has_value = true;
    break;
#ifdef SI_TIMER
  case SI_TIMER:
#endif
#ifdef SI_ASYNCIO
  case SI_ASYNCIO:
#endif
    has_value = true;
    break;
  default:
    if (from->si_signo == SIGCHLD && from->si_code > 0) { /* CLD_* */
      has_sender = true;
      info->status = from->si_status;
    }
#ifdef SIGPOLL
    if (from->si_signo == SIGPOLL && from->si_code > 0) /* POLL_* */
      info->band = from->si_band;
#endif
  }
  /* The kernel had no room to queue it, and sent it without saying who did
   * (signal(7) on RLIMIT_SIGPENDING; Linux, collect_signal()). */
  if (from->si_code == SI_USER && from->si_pid == 0 && from->si_uid == 0)
    info->flags = UVSIG_INFO_NONE;
  if (has_sender) {
    info->pid = from->si_pid;
    info->uid = from->si_uid;
  }
  if (has_value)
    info->value = from->si_value;
}
