/* SPDX-License-Identifier: MIT
 *
 * The wait for a signal in the calling thread: sigwait.c has it with
 * sigtimedwait(2), sigwait-poll.c without.
 */

#ifndef UVSIG_SIGWAIT_H
#define UVSIG_SIGWAIT_H

#include "../base.h"

int uvsig__take_signal(const sigset_t* set, siginfo_t* info, uint64_t deadline);

#endif /* UVSIG_SIGWAIT_H */
