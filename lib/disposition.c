/* SPDX-License-Identifier: MIT
 *
 * What a signal does to the process: saves, installs and restores dispositions,
 * and keeps the list of who watches which signal. Runs in any thread, under the
 * lock, which no handler takes.
 */

#include "disposition.h"

#include "previous.h"

#include <errno.h>

/* Under the lock, all of them. */
static bool interrupts[UVSIG_NSIG];   /* which signals interrupt system calls */
static bool left_ignored[UVSIG_NSIG]; /* see uvsig__discard_pending() */
struct sigaction uvsig__libuvs;
/* What `saved` points to, and one more. */
static struct uvsig__saved slots[UVSIG_NSIG][UVSIG__LEVELS + 1];

/* --- What was there before ------------------------------------------------ */

static void save(int signum, int level, const struct sigaction* action) {
  struct uvsig__saved* slot = slots[signum];
  unsigned used = 0;
  int i;

  for (i = 0; i < UVSIG__LEVELS; i++)
    used |= uvsig__bit_at(signum, i);
  while ((used & slot->bit) != 0)
    slot++;
  slot->action = *action;
  slot->bit = 1u << (slot - slots[signum]);
  atomic_store(&slot->spent, false);
  atomic_store(&uvsig__shared.saved[signum][level], slot);
  /* A grace period: a handler may be reading the one before, whose slot is free
   * after it. */
  uvsig__synchronize_locked();
}

/* Set the action that the handler forwards signals to, and that the last stop
 * restores: the newest. */
void uvsig__set_previous(int signum, const struct sigaction* action) {
  save(signum, uvsig__newest(signum), action);
}

/* The same for each saved action that is `from`, or was until its one call. */
void uvsig__replace_previous(int signum,
                             const struct sigaction* from,
                             const struct sigaction* to) {
  const struct uvsig__saved* saved;
  struct sigaction now;
  int level;

  for (level = 0; level < UVSIG__LEVELS; level++) {
    saved = uvsig__saved_at(signum, level);
    now = uvsig__action_of(saved);
    if (saved != NULL &&
        (uvsig__is_same(&now, from) || uvsig__is_same(&saved->action, from)))
      save(signum, level, to);
  }
}

/* What would be there without the library. */
struct sigaction uvsig__get_previous(int signum) {
  return uvsig__action_of(uvsig__saved_at(signum, uvsig__newest(signum)));
}

/* --- The handler ---------------------------------------------------------- */

/* A previous handler without SA_ONSTACK may not fit on the alternate stack.
 * libuv's does. */
static bool needs_own_stack(int signum) {
  struct sigaction previous = uvsig__get_previous(signum);

  return uvsig__is_handler(&previous) && !uvsig__is_libuvs(&previous) &&
         (previous.sa_flags & SA_ONSTACK) == 0;
}

static bool wants_stopped(int signum) {
  struct uvsig__subscription* at =
      atomic_load(&uvsig__shared.subscriptions[signum]);

  while (at != NULL && atomic_load(&at->stop_watchers) == 0)
    at = atomic_load(&at->next);
  return at != NULL;
}

/* Have our handler be installed, or have the flags that it is to have now. */
static int set_handler(int signum) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = uvsig__handle;
  /* SA_SIGINFO tells a fault from a kill(). SA_RESTART: a program that watches
   * signals on a loop wants no EINTR elsewhere, unless it says so. No
   * SA_RESETHAND: one-shot is the watcher's, and macOS does not give it
   * back. */
  action.sa_flags = SA_SIGINFO;
  if (!interrupts[signum])
    action.sa_flags |= SA_RESTART;
  /* A stack overflow leaves no room for a handler on the thread's own stack. */
  if (!needs_own_stack(signum))
    action.sa_flags |= SA_ONSTACK;
  /* Where no watcher wants stopped children, the kernel need not send them. */
  if (signum == SIGCHLD && !wants_stopped(signum))
    action.sa_flags |= SA_NOCLDSTOP;
  /* Full: no other handler runs on top of ours, or leaves it by a jump. */
  sigfillset(&action.sa_mask);
  return sigaction(signum, &action, NULL) == 0 ? 0 : UVSIG__ERR(errno);
}

/* May `current` be a foreign handler that has saved ours, and chains to it?
 * Only if it was installed over ours. libuv saves nothing. */
static bool may_hold_ours(int signum, const struct sigaction* current) {
  return uvsig__is_handler(current) && !uvsig__is_libuvs(current) &&
         atomic_load(&uvsig__shared.installed[signum]) > 0;
}

/* Forget the saved action at `level`, for another one to be saved: those above
 * come down. A signal that is on its way along the chain may miss one. */
static void forget_level(int signum, int level) {
  for (; level < uvsig__newest(signum); level++)
    atomic_store(&uvsig__shared.saved[signum][level],
                 uvsig__saved_at(signum, level + 1));
  atomic_store(&uvsig__shared.installed[signum], level);
  /* A grace period: the next save may use the slot of what is forgotten. */
  uvsig__synchronize_locked();
}

/* Find the level where to save what is installed now: what covers ours above
 * what was there before. One that is saved above the first already is the newest
 * now. Of too many, the oldest of those goes. */
static int make_level(int signum, const struct sigaction* current) {
  int level;

  if (!may_hold_ours(signum, current))
    return 0;
  level = uvsig__find_saved(signum, current, uvsig__newest(signum));
  if (level <= 0 && uvsig__newest(signum) == UVSIG__LEVELS - 1)
    level = 1;
  if (level > 0)
    forget_level(signum, level);
  return uvsig__newest(signum) + 1;
}

/* Install the handler, and save what was there. Not if ours is installed
 * already: another loop has started it, or a foreign library reinstalled it. */
static int install(int signum) {
  struct sigaction current;
  int level;
  int err;

  atomic_store(&uvsig__shared.forgets[signum], false);
  if (sigaction(signum, NULL, &current) != 0)
    return UVSIG__ERR(errno);
  if (uvsig__is_ours(&current)) {
    /* Also where it had been restored, and a foreign library put ours back. */
    atomic_store(&uvsig__shared.installed[signum], uvsig__newest(signum) + 1);
    return set_handler(signum); /* its flags may be others now */
  }
  /* Before our handler can run, which reads it. */
  level = make_level(signum, &current);
  save(signum, level, &current);
  atomic_store(&uvsig__shared.installed[signum], level + 1);
  err = set_handler(signum);
  if (err != 0) /* what is there stays, and has had the signal already */
    atomic_store(&uvsig__shared.installed[signum], level);
  return err;
}

/* Install our handler over what is there now, with `previous` below it. */
void uvsig__retake(int signum, const struct sigaction* previous) {
  uvsig__set_previous(signum, previous);
  (void) set_handler(signum);
}

/* Restore what was there before, unless a foreign handler is installed: it
 * stays, and may chain to ours. Returns whether ours was still installed. Also
 * in the child of a fork: async-signal-safe. */
static bool uninstall(int signum) {
  struct sigaction current = uvsig__installed(signum);
  struct sigaction previous;

  if (!uvsig__is_ours(&current) &&
      !(left_ignored[signum] && current.sa_handler == SIG_IGN))
    return false;
  left_ignored[signum] = false;
  previous = uvsig__get_previous(signum);
  /* First: a signal in between misses it, and afterwards it would be called
   * twice, by the kernel and by ours. */
  atomic_store(&uvsig__shared.installed[signum], uvsig__newest(signum));
  /* Refused, where ours was not: a stop cannot be undone for that. */
  sigaction(signum, &previous, NULL);
  return true;
}

/* Update the flags of the installed handler, if it is ours. */
static int refresh(int signum) {
  struct sigaction current;

  if (sigaction(signum, NULL, &current) != 0)
    return UVSIG__ERR(errno);
  return uvsig__is_ours(&current) ? set_handler(signum) : 0;
}

/* The last watcher that wants stopped children may have gone. Refused: they are
 * told of as before. */
void uvsig__update_stopped(int signum) {
  if (signum != SIGCHLD)
    return;
  uvsig__lock();
  (void) refresh(signum);
  uvsig__unlock();
}

/* --- Who watches ---------------------------------------------------------- */

static void link_first(struct uvsig__subscription* subscription) {
  _Atomic(struct uvsig__subscription*)* head =
      &uvsig__shared.subscriptions[subscription->signum];

  /* Relaxed: not yet reachable; the store of the head publishes it. */
  atomic_store_explicit(
      &subscription->next, atomic_load(head), memory_order_relaxed);
  atomic_store(head, subscription);
  subscription->is_linked = true;
}

/* A handler may stand on it and needs its way on: `next` stays. */
static void unlink_from_list(struct uvsig__subscription* subscription) {
  _Atomic(struct uvsig__subscription*)* link =
      &uvsig__shared.subscriptions[subscription->signum];
  struct uvsig__subscription* at;

  while ((at = atomic_load(link)) != subscription)
    link = &at->next;
  atomic_store(link, atomic_load(&subscription->next));
  subscription->is_linked = false;
}

/* Let the handler see the subscription, unless it does, and see to it that
 * there is a handler: a foreign one may have replaced ours. Where that fails,
 * handlers in flight may use the subscription until uvsig__synchronize(). */
int uvsig__subscribe(struct uvsig__subscription* subscription) {
  bool is_new = !subscription->is_linked;
  int err;

  uvsig__lock();
  /* Linked first, so that the first signal after the change finds it. */
  if (is_new)
    link_first(subscription);
  /* A handler that found nothing may be about to put the previous action back:
   * previous.c. */
  uvsig__synchronize_locked();
  err = install(subscription->signum);
  if (err != 0 && is_new)
    unlink_from_list(subscription);
  uvsig__unlock();
  return err;
}

/* The opposite of uvsig__subscribe(). Handlers in flight may use the
 * subscription until uvsig__synchronize(). Returns false if it was the last one
 * of the signal, and a foreign handler had replaced ours. */
bool uvsig__unsubscribe(struct uvsig__subscription* subscription) {
  bool was_there;

  uvsig__lock();
  /* Restored first: a signal in between still finds the subscription. */
  was_there = !uvsig__is_alone(subscription) || uninstall(subscription->signum);
  unlink_from_list(subscription);
  uvsig__unlock();
  return was_there;
}

/* Discard what is pending of a signal whose only subscription is about to go:
 * the previous action must not get what the library's timer has sent. To ignore
 * a signal discards it, in every thread (sigaction(2), POSIX XSH 2.4.3). What
 * has reached a handler already is dropped there, until the next start; what
 * was read from a signalfd, at the stop. */
void uvsig__discard_pending(const struct uvsig__subscription* subscription) {
  struct sigaction ignore = uvsig__simple_action(SIG_IGN);
  struct sigaction current;

  uvsig__lock();
  current = uvsig__installed(subscription->signum);
  if (uvsig__is_alone(subscription) && uvsig__is_ours(&current)) {
    atomic_store(&uvsig__shared.forgets[subscription->signum], true);
    /* Only if it is ignored now, it has to be put back. Refused: the stop that
     * follows restores the previous action all the same. */
    if (sigaction(subscription->signum, &ignore, NULL) == 0)
      left_ignored[subscription->signum] =
          sigaction(subscription->signum, &current, NULL) != 0;
  }
  uvsig__unlock();
}

/* In the child of a fork, which nothing of this library watches. Handlers that
 * were under way in the parent's other threads will never leave here. */
void uvsig__forget_dispositions(void) {
  int signum;

  atomic_store(&uvsig__shared.readers[0], 0);
  atomic_store(&uvsig__shared.readers[1], 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    /* Also where nothing watches it any more, and a foreign library has put
     * ours back. */
    if (uvsig__saved_at(signum, 0) != NULL)
      (void) uninstall(signum);
    atomic_store(&uvsig__shared.subscriptions[signum], NULL);
  }
}

int uvsig_siginterrupt(int signum, int flag) {
  bool before;
  int err;

  if (!uvsig__is_catchable(signum))
    return UV_EINVAL;
  err = uvsig__prepare_for_forks();
  if (err != 0)
    return err;
  uvsig__lock();
  before = interrupts[signum];
  interrupts[signum] = flag != 0;
  err = refresh(signum);
  if (err != 0)
    interrupts[signum] = before;
  uvsig__unlock();
  return err;
}
