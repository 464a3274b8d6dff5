/* SPDX-License-Identifier: MIT
 *
 * What users ask of dispositions: what a signal does now, to have it ignored or
 * at its default, and to die by it. Runs in any thread; uvsig_reraise() also in
 * signal context.
 */

#include "../disposition.h"

#include <errno.h>
#include <unistd.h>

/* Where nothing watches, and a foreign library has put our handler back, the
 * next signal has the action that was there before. */
static int classify(int signum, const struct sigaction* action) {
  struct sigaction previous;

  if (uvsig__is_ours(action)) {
    if (uvsig__is_watched(signum))
      return UVSIG_WATCHED;
    previous = uvsig__get_previous(signum);
    action = &previous;
  }
  if (action->sa_handler == SIG_DFL)
    return UVSIG_DEFAULT;
  if (action->sa_handler == SIG_IGN || uvsig__is_mute(action))
    return UVSIG_IGNORED;
  return UVSIG_FOREIGN;
}

/* Tell what a signal does, and set `action`, unless it is NULL: then nothing
 * watches. A handler in flight may have found ours installed, and be about to
 * restore the previous action: it is waited for, and what it has restored is
 * replaced. */
static int change_action(int signum, const struct sigaction* action) {
  struct sigaction previous;
  int result;

  result = uvsig__prepare_for_forks();
  if (result != 0)
    return result;
  uvsig__lock();
  if (action != NULL && uvsig__is_watched(signum))
    result = UV_EBUSY;
  else if (sigaction(signum, action, &previous) != 0)
    result = UVSIG__ERR(errno);
  else
    result = classify(signum, &previous);
  if (result >= 0 && action != NULL) {
    uvsig__synchronize_locked();
    sigaction(signum, action, NULL);
  }
  uvsig__unlock();
  return result;
}

int uvsig_getsignal(int signum) {
  return uvsig__is_valid(signum) ? change_action(signum, NULL) : UV_EINVAL;
}

static int set_action(int signum, void (*handler)(int)) {
  struct sigaction action = uvsig__simple_action(handler);

  return uvsig__is_catchable(signum) ? change_action(signum, &action)
                                     : UV_EINVAL;
}

int uvsig_ignore(int signum) {
  return set_action(signum, SIG_IGN);
}

int uvsig_default(int signum) {
  return set_action(signum, SIG_DFL);
}

int uvsig_reraise(int signum) {
  struct sigaction action = uvsig__simple_action(SIG_DFL);
  sigset_t set = uvsig__set_of(signum);

  if (!uvsig__is_valid(signum) || !uvsig__is_deadly(signum))
    return UV_EINVAL;
  /* Without the lock: this is for handlers too, and nothing comes after. */
  sigaction(signum, &action, NULL); /* fails for SIGKILL, which needs none */
  raise(signum);
  /* Still here: it was blocked, and is pending. */
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  /* Still here: as PID 1 the default action is not taken (kill(2)). */
  _exit(128 + signum);
}
