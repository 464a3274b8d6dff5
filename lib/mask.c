/* SPDX-License-Identifier: MIT
 *
 * Signal masks: start unblocks a signal, which a launcher that has blocked it
 * would keep from its watcher, and the last stop restores the mask. Runs in the
 * loop thread. A mask is a thread's, so what several loops of one thread do to
 * it is shared among their sources. What users read and change runs in any
 * thread.
 */

#include "source.h"

#include <errno.h>

/* Another source of this signal that has opened the same thread's mask. */
static struct uvsig__source* find_other(const struct uvsig__source* source) {
  struct uvsig__subscription* at =
      atomic_load(&uvsig__shared.subscriptions[source->sub.signum]);
  struct uvsig__source* other;

  for (; at != NULL; at = atomic_load(&at->next)) {
    other = (struct uvsig__source*) at; /* its first member */
    if (other != source && other->mask_thread == source->mask_thread)
      return other;
  }
  return NULL;
}

/* A watcher wants the signal unblocked in the calling thread. */
void uvsig__mask_open(struct uvsig__source* source) {
  sigset_t set = uvsig__set_of(source->sub.signum);
  sigset_t previous;

  uvsig__lock();
  source->mask_thread = uvsig__self();
  pthread_sigmask(SIG_UNBLOCK, &set, &previous);
  source->was_blocked = sigismember(&previous, source->sub.signum) == 1;
  uvsig__unlock();
}

/* The last watcher has gone: restore the mask, or leave that to another loop of
 * the thread that still watches the signal. A thread's mask can only be changed
 * by itself: if the loop has moved to another thread, it stays as it is. */
void uvsig__mask_restore(struct uvsig__source* source) {
  sigset_t set = uvsig__set_of(source->sub.signum);
  struct uvsig__source* other;

  uvsig__lock();
  if (source->was_blocked && source->mask_thread == uvsig__self()) {
    other = find_other(source);
    if (other != NULL)
      other->was_blocked = true;
    else
      pthread_sigmask(SIG_BLOCK, &set, NULL);
  }
  source->was_blocked = false;
  source->mask_thread = 0;
  uvsig__unlock();
}

/* In the child of a fork, where nothing is watched: `mask` is what this
 * thread's will be. `mask_thread` stays: uvsig_fork() opens what the parent has
 * open. Under uvsig__lock(). */
void uvsig__mask_forget(struct uvsig__source* source, sigset_t* mask) {
  if (source->was_blocked && source->mask_thread == uvsig__self())
    sigaddset(mask, source->sub.signum);
  source->was_blocked = false;
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
