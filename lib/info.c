/* SPDX-License-Identifier: MIT
 *
 * What the kernel says of a signal, in the public form. Runs anywhere.
 */

#include "base.h"

/* Is it of a child that has changed its state? */
static bool is_of_child(const siginfo_t* from) {
  return from->si_signo == SIGCHLD && from->si_code >= CLD_EXITED &&
         from->si_code <= CLD_CONTINUED;
}

static bool has_sender(const siginfo_t* from) {
  switch (from->si_code) {
  case SI_USER:
  case SI_QUEUE:
#ifdef SI_TKILL
  case SI_TKILL:
#endif
#ifdef SI_LWP
  case SI_LWP:
#endif
#ifdef SI_MESGQ
  case SI_MESGQ:
#endif
    return true;
  default:
    return is_of_child(from);
  }
}

static bool has_value(const siginfo_t* from) {
  switch (from->si_code) {
  case SI_QUEUE:
#ifdef SI_MESGQ
  case SI_MESGQ:
#endif
#ifdef SI_TIMER
  case SI_TIMER:
#endif
#ifdef SI_ASYNCIO
  case SI_ASYNCIO:
#endif
    return true;
  default:
    return false;
  }
}

/* Parts of a siginfo_t share their place: read those alone that its si_code
 * comes with (sigaction(2); POSIX, <signal.h>). */
void uvsig__info_set(uvsig_info_t* info, const siginfo_t* from) {
  memset(info, 0, sizeof(*info));
  info->signum = from->si_signo;
  info->count = 1;
  info->code = from->si_code;
  info->error = from->si_errno;
  if (has_sender(from)) {
    info->pid = from->si_pid;
    info->uid = from->si_uid;
  }
  if (has_value(from))
    info->value = from->si_value;
  if (is_of_child(from))
    info->status = from->si_status;
#ifdef SIGPOLL
  if (from->si_signo == SIGPOLL && from->si_code >= POLL_IN &&
      from->si_code <= POLL_HUP)
    info->band = from->si_band;
#endif
  /* The kernel had no room to queue it, and sent it without saying who did
   * (signal(7) on RLIMIT_SIGPENDING; Linux, collect_signal()). */
  if (from->si_code == SI_USER && from->si_pid == 0 && from->si_uid == 0)
    info->flags = UVSIG_INFO_NONE;
}
