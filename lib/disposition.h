/* SPDX-License-Identifier: MIT
 *
 * What a signal does to the process: the handler installed and taken away, what
 * was there saved and restored. Any thread.
 */

#ifndef UVSIG_DISPOSITION_H
#define UVSIG_DISPOSITION_H

#include "subscription.h"

/* grace.c */
void uvsig__synchronize(void);
void uvsig__synchronize_locked(void);

static inline bool uvsig__is_ours(const struct sigaction* action) {
  return (action->sa_flags & SA_SIGINFO) != 0 &&
         action->sa_sigaction == uvsig__handle;
}

/* What libuv installs, and the default action until that has been seen. Under
 * uvsig__lock(). */
extern struct sigaction uvsig__libuvs;

static inline bool uvsig__knows_libuvs(void) {
  return uvsig__is_handler(&uvsig__libuvs);
}

static inline bool uvsig__is_libuvs(const struct sigaction* action) {
  return uvsig__knows_libuvs() && uvsig__is_same(action, &uvsig__libuvs);
}

/* Under uvsig__lock(). */
void uvsig__set_previous(int signum, const struct sigaction* action);
void uvsig__replace_previous(int signum,
                             const struct sigaction* from,
                             const struct sigaction* to);
struct sigaction uvsig__get_previous(int signum);
void uvsig__retake(int signum, const struct sigaction* previous);
void uvsig__forget_dispositions(void);

/* These take it. */
int uvsig__subscribe(struct uvsig__subscription* subscription);
bool uvsig__unsubscribe(struct uvsig__subscription* subscription);
void uvsig__discard_pending(const struct uvsig__subscription* subscription);
void uvsig__update_stopped(int signum);

/* mute.c */
bool uvsig__is_mute(const struct sigaction* action);
bool uvsig__is_default(int signum);
bool uvsig__mute(int signum);
void uvsig__unmute(int signum);
void uvsig__forget_mutes(void); /* in the child of a fork, under the lock */

#endif /* UVSIG_DISPOSITION_H */
