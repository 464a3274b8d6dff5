/* SPDX-License-Identifier: MIT
 *
 * Signal masks: start unblocks a signal, which a launcher that has blocked it
 * would keep from its watcher, or blocks it, so that it waits in the kernel's
 * queue. The last stop restores the mask. Runs in the loop thread. A mask is a
 * thread's, so what several loops of one thread do to it is shared among their
 * sources. What users read and change runs in any thread.
 */

#include "signalfd.h"
#include "source.h"

#include <errno.h>

/* What the library has blocked or unblocked in this thread, and was not so
 * before. A thread's own: a loop may leave the thread and come back, or be
 * closed by the thread that has started it and not run it. */
static _Thread_local sigset_t blocked;
static _Thread_local sigset_t unblocked;

/* Change the calling thread's mask, and note what is to be restored. SIG_UNBLOCK
 * not under the lock: the handlers of what waits run in here. */
static void change(int signum, int how) {
  sigset_t set = uvsig__set_of(signum);
  sigset_t* changed = how == SIG_BLOCK ? &blocked : &unblocked;
  sigset_t* opposite = how == SIG_BLOCK ? &unblocked : &blocked;
  sigset_t previous;

  pthread_sigmask(how, &set, &previous);
  /* It is as it was before the library: the program may have done that. */
  if (sigismember(opposite, signum) == 1)
    sigdelset(opposite, signum);
  else if ((sigismember(&previous, signum) == 1) != (how == SIG_BLOCK))
    sigaddset(changed, signum);
}

/* Another source of this signal that has the calling thread's mask as it needs
 * it. With `by_handler`, one whose loop is the thread's, and that lets the
 * handler catch it: with UVSIG_KEEP_MASK it has not changed the mask. */
static struct uvsig__source* find_other(const struct uvsig__source* source,
                                        bool by_handler) {
  struct uvsig__subscription* at =
      atomic_load(&uvsig__shared.subscriptions[source->sub.signum]);
  struct uvsig__source* other;

  for (; at != NULL; at = atomic_load(&at->next)) {
    other = (struct uvsig__source*) at; /* its first member */
    if (other == source || (by_handler && other->is_queued))
      continue;
    if (other->mask_thread == uvsig__self() ||
        (by_handler &&
         atomic_load_explicit(&other->hub->owner, memory_order_relaxed) ==
             uvsig__self()))
      return other;
  }
  return NULL;
}

/* Have the signal wait in the kernel's queue, unless the handler does more with
 * it than to count it, or catches it for another loop of the thread: this loop
 * may not be the one that runs, so the signal must not wait for it. Before the
 * handler is installed: in a storm the thread would not come out of it. */
void uvsig__mask_enter_queue(struct uvsig__source* source) {
  int signum = source->sub.signum;

  uvsig__lock();
  if (source->hub->queue != NULL && !uvsig__source_needs_handler(source) &&
      find_other(source, true) == NULL &&
      uvsig__signalfd_add(source->hub->queue, signum)) {
    source->is_queued = true;
    source->mask_thread = uvsig__self();
    change(signum, SIG_BLOCK);
  }
  uvsig__unlock();
}

/* A watcher wants the signal to come to the calling thread. */
void uvsig__mask_open(struct uvsig__source* source) {
  const struct uvsig__source* other;

  uvsig__lock();
  other = find_other(source, false);
  source->mask_thread = uvsig__self();
  uvsig__unlock();
  /* First what was read before: what waits comes now. */
  if (other != NULL && other->is_queued)
    uvsig__signalfd_handle(other->hub->queue, source->sub.signum);
  change(source->sub.signum, SIG_UNBLOCK);
}

/* From here on the handler is to catch it, also what was read, and what
 * waits. */
void uvsig__mask_leave_queue(struct uvsig__source* source) {
  uvsig__signalfd_handle(source->hub->queue, source->sub.signum);
  uvsig__lock();
  uvsig__signalfd_remove(source->hub->queue, source->sub.signum);
  source->is_queued = false;
  uvsig__unlock();
  if (source->mask_thread == uvsig__self())
    change(source->sub.signum, SIG_UNBLOCK);
}

/* The loop has moved to the calling thread, where the signal is to wait in the
 * kernel's queue as in the other one. That one stays as it is: a thread's mask
 * can only be changed by itself. */
void uvsig__mask_move(struct uvsig__source* source) {
  bool may_wait;

  uvsig__lock();
  source->mask_thread = uvsig__self();
  may_wait = find_other(source, true) == NULL;
  if (may_wait)
    change(source->sub.signum, SIG_BLOCK);
  uvsig__unlock();
  if (!may_wait)
    uvsig__mask_leave_queue(source);
}

/* The last watcher has gone: restore the mask, or leave that to another loop of
 * the thread that still watches the signal. Returns whether the signal is to be
 * unblocked, once the previous action is back, which what waits in the kernel's
 * queue has. */
bool uvsig__mask_restore(struct uvsig__source* source) {
  int signum = source->sub.signum;
  const struct uvsig__source* other;

  uvsig__lock();
  if (source->is_queued)
    uvsig__signalfd_remove(source->hub->queue, signum);
  other = find_other(source, false);
  if (other != NULL ? other->is_queued : sigismember(&unblocked, signum) == 1)
    change(signum, SIG_BLOCK);
  source->is_queued = false;
  source->mask_thread = 0;
  uvsig__unlock();
  return other == NULL && sigismember(&blocked, signum) == 1;
}

void uvsig__mask_unblock(const struct uvsig__source* source) {
  change(source->sub.signum, SIG_UNBLOCK);
}

/* In the child of a fork, where nothing is watched: `mask` is what this
 * thread's will be. Under uvsig__lock(). */
void uvsig__mask_forget(sigset_t* mask) {
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (sigismember(&unblocked, signum) == 1)
      sigaddset(mask, signum);
    if (sigismember(&blocked, signum) == 1)
      sigdelset(mask, signum);
  }
  sigemptyset(&blocked);
  sigemptyset(&unblocked);
}

int uvsig_pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
  /* Not all systems look (POSIX: [EINVAL] if `set` is not NULL). */
  if (set != NULL && how != SIG_BLOCK && how != SIG_UNBLOCK &&
      how != SIG_SETMASK)
    return UV_EINVAL;
  return UVSIG__ERR(pthread_sigmask(how, set, old));
}

int uvsig_sigpending(sigset_t* set) {
  if (set == NULL)
    return UV_EINVAL;
  return sigpending(set) == 0 ? 0 : UVSIG__ERR(errno);
}
