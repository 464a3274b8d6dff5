/* SPDX-License-Identifier: MIT
 *
 * Signals that do nothing where they would have their default action: the late
 * ones of a process that ends. Runs in any thread.
 */

#include "disposition.h"
#include "previous.h"

#include <errno.h>
#include <unistd.h>

/* How often. Changed under the lock, and read by the handler. */
static atomic_uint muted[UVSIG_NSIG];

/* The last unmute may have been refused to set the default action: then it is
 * set here. */
static void do_nothing(int signum) {
  const struct sigaction action = uvsig__simple_action(SIG_DFL);
  int saved_errno = errno;
  struct sigaction current = uvsig__installed(signum);

  if (atomic_load(&muted[signum]) == 0 && uvsig__is_mute(&current)) {
    if (sigaction(signum, &action, NULL) == 0)
      raise(signum); /* blocked until the return */
    else if (uvsig__is_deadly(signum))
      _exit(128 + signum);
  }
  errno = saved_errno;
}

bool uvsig__is_mute(const struct sigaction* action) {
  return action->sa_handler == do_nothing;
}

/* What is there without the library: installed, or to be restored. */
static struct sigaction get_own(int signum) {
  struct sigaction current = uvsig__installed(signum);

  return uvsig__is_ours(&current) ? uvsig__get_previous(signum) : current;
}

/* Have `to` instead of `from` where it is installed, or to be restored, also
 * once foreign handlers have gone. */
static void replace_own(int signum, void (*from)(int), void (*to)(int)) {
  const struct sigaction before = uvsig__simple_action(from);
  struct sigaction after = uvsig__simple_action(to);
  struct sigaction current = uvsig__installed(signum);

  /* SA_RESTART: no system call notices one that does nothing. */
  after.sa_flags = to == SIG_DFL ? 0 : SA_RESTART | SA_ONSTACK;
  uvsig__replace_previous(signum, &before, &after);
  if (uvsig__is_same(&current, &before))
    sigaction(signum, &after, NULL);
}

/* Would it have its default action without the library? Takes the lock. */
bool uvsig__is_default(int signum) {
  bool is_so;

  uvsig__lock();
  is_so = get_own(signum).sa_handler == SIG_DFL;
  uvsig__unlock();
  return is_so;
}

/* Have a signal that would have its default action do nothing instead, now and
 * when its last watcher stops. By a handler, since exec() keeps SIG_IGN. Takes
 * the lock. Returns whether uvsig__unmute() is owed. */
bool uvsig__mute(int signum) {
  struct sigaction own;
  bool is_mute;

  uvsig__lock();
  /* First: the handler reads it. */
  atomic_fetch_add(&muted[signum], 1);
  if (get_own(signum).sa_handler == SIG_DFL)
    replace_own(signum, SIG_DFL, do_nothing);
  own = get_own(signum);
  is_mute = uvsig__is_mute(&own);
  if (!is_mute)
    atomic_fetch_sub(&muted[signum], 1);
  uvsig__unlock();
  return is_mute;
}

/* The last of them restores the default action. Takes the lock. */
void uvsig__unmute(int signum) {
  uvsig__lock();
  /* 0 in the child of a fork. */
  if (atomic_load(&muted[signum]) > 0 &&
      atomic_fetch_sub(&muted[signum], 1) == 1)
    replace_own(signum, do_nothing, SIG_DFL);
  uvsig__unlock();
}

/* In the child of a fork, where nothing is owed any more. */
void uvsig__forget_mutes(void) {
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (atomic_exchange(&muted[signum], 0) > 0)
      replace_own(signum, do_nothing, SIG_DFL);
  }
}
