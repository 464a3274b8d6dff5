/* SPDX-License-Identifier: MIT
 *
 * What a signal does to the process: saves, installs and restores dispositions,
 * keeps the list of who watches which signal, and waits for handlers before
 * somebody's memory or descriptors go. Runs in any thread, under one lock that
 * no handler ever takes.
 */

#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

/* Under the lock, all of them. */
static bool interrupts[UVSIG_NSIG]; /* which signals interrupt system calls */
static unsigned stop_watchers;      /* of SIGCHLD, also of stopped children */
static bool replaced[UVSIG_NSIG];   /* somebody may have saved our handler */
/* Which of our handlers is, or was last, installed, and the newest of them. */
static unsigned epochs[UVSIG_NSIG];
static unsigned newest[UVSIG_NSIG];
/* What `previous` points to, and one more. */
static struct uvsig__previous slots[UVSIG_NSIG][UVSIG__EPOCHS + 1];

static void set_handler(struct sigaction* action, int signum, unsigned epoch) {
  memset(action, 0, sizeof(*action));
  uvsig__set_handler(epoch, action);
  /* SA_SIGINFO tells a fault from a kill(). SA_ONSTACK: a stack overflow leaves
   * no room for a handler on the thread's own stack. SA_RESTART: a program that
   * watches signals on a loop wants no EINTR elsewhere, unless it says so. No
   * SA_RESETHAND: one-shot is the watcher's, and macOS does not give it
   * back. */
  action->sa_flags = SA_SIGINFO | SA_ONSTACK;
  if (!interrupts[signum])
    action->sa_flags |= SA_RESTART;
  /* Where nobody wants to know, the kernel need not ask. */
  if (signum == SIGCHLD && stop_watchers == 0)
    action->sa_flags |= SA_NOCLDSTOP;
  /* Full: no other handler runs on top of ours, or leaves it by a jump. */
  sigfillset(&action->sa_mask);
}

static struct uvsig__previous* find_free_slot(int signum) {
  struct uvsig__previous* slot = slots[signum];
  unsigned epoch;

  for (epoch = 0; epoch < UVSIG__EPOCHS;)
    if (atomic_load(&uvsig__shared.previous[signum][epoch]) == slot) {
      slot++;
      epoch = 0;
    } else {
      epoch++;
    }
  return slot;
}

/* What is installed: is it ours? It may be an older one, which somebody has put
 * back: then that is the one from here on. */
bool uvsig__is_ours(int signum, const struct sigaction* action) {
  int epoch = uvsig__epoch_of(action);

  if (epoch >= 0)
    epochs[signum] = (unsigned) epoch;
  return epoch >= 0;
}

static void set_previous(int signum,
                         unsigned epoch,
                         const struct sigaction* action) {
  struct uvsig__previous* slot = find_free_slot(signum);

  slot->action = *action;
  atomic_store(&slot->call, UVSIG__CALL_LEFT);
  atomic_store(&uvsig__shared.previous[signum][epoch], slot);
  /* A handler may be reading the one before, whose slot is free now. */
  uvsig__synchronize_locked();
}

/* The action that the handler passes signals on to, and that the last stop puts
 * back. */
void uvsig__set_previous(int signum, const struct sigaction* action) {
  set_previous(signum, epochs[signum], action);
}

/* The same of all our handlers, also while somebody else's is on top of
 * them. */
void uvsig__replace_previous(int signum,
                             const struct sigaction* from,
                             const struct sigaction* to) {
  struct uvsig__previous* previous;
  unsigned epoch;

  for (epoch = 0; epoch < UVSIG__EPOCHS; epoch++) {
    previous = atomic_load(&uvsig__shared.previous[signum][epoch]);
    if (previous != NULL && previous->action.sa_handler == from->sa_handler)
      set_previous(signum, epoch, to);
  }
}

/* What would be there without the library. */
struct sigaction uvsig__get_previous(int signum) {
  return uvsig__previous_of(epochs[signum], signum);
}

/* Where the last stop would give a watched signal the one back, have it give
 * the other, without an instant in between. Takes the lock. Returns whether
 * so. */
bool uvsig__change_previous(int signum, void (*from)(int), void (*to)(int)) {
  struct sigaction previous;
  bool is_so;

  uvsig__lock();
  previous = uvsig__get_previous(signum);
  is_so = uvsig__is_watched(signum) && previous.sa_handler == from;
  if (is_so) {
    previous.sa_handler = to;
    uvsig__set_previous(signum, &previous);
  }
  uvsig__unlock();
  return is_so;
}

/* Of the source that is being subscribed, and has been linked. */
static bool has_others(int signum) {
  struct uvsig__source* first = atomic_load(&uvsig__shared.sources[signum]);

  return first != NULL && atomic_load(&first->next) != NULL;
}

/* Was it there before ours? */
static bool is_previous(int signum, const struct sigaction* current) {
  const struct uvsig__previous* previous =
      atomic_load(&uvsig__shared.previous[signum][epochs[signum]]);

  return previous != NULL && previous->action.sa_handler == current->sa_handler;
}

/* share.c has seen libuv's handler, which saves nothing when it replaces
 * ours. */
void uvsig__set_libuvs(const struct sigaction* action) {
  atomic_store(&uvsig__shared.libuvs, action->sa_handler);
}

/* May what is there have saved our handler? Not if ours has never been there;
 * not libuv, which saves nothing; not what we have put back ourselves. What was
 * there before ours may have: it may have stopped and started meanwhile. */
static bool may_hold_ours(int signum,
                          const struct sigaction* current,
                          bool was_there) {
  return (replaced[signum] || was_there) && uvsig__is_handler(current) &&
         !uvsig__is_libuvs(current) &&
         !(is_previous(signum, current) &&
           atomic_load(&uvsig__shared.is_given_back[signum]));
}

/* Install the handler, and save what was there, unless ours is there already:
 * a second loop's start, or somebody who put us back after the last stop. */
static int install(int signum, bool was_there) {
  struct sigaction action;
  struct sigaction current;
  unsigned epoch;

  atomic_fetch_add(&uvsig__shared.changes[signum], 1);
  if (sigaction(signum, NULL, &current) != 0)
    return UVSIG__ERR(errno);
  if (uvsig__is_ours(signum, &current)) {
    uvsig__change_call(
        epochs[signum], signum, UVSIG__CALL_GIVEN, UVSIG__CALL_LEFT);
    return 0;
  }

  epoch = epochs[signum];
  if (may_hold_ours(signum, &current, was_there))
    epoch = newest[signum] + 1 < UVSIG__EPOCHS ? newest[signum] + 1
                                               : newest[signum];
  /* Saved before ours can run: it reads it. */
  set_previous(signum, epoch, &current);
  set_handler(&action, signum, epoch);
  if (sigaction(signum, &action, NULL) != 0)
    return UVSIG__ERR(errno);
  epochs[signum] = epoch;
  if (newest[signum] < epoch)
    newest[signum] = epoch;
  atomic_store(&uvsig__shared.is_given_back[signum], false);
  replaced[signum] = false;
  return 0;
}

/* Have ours there again, where something else is, with `previous` below it. */
void uvsig__retake(int signum, const struct sigaction* previous) {
  struct sigaction action;

  uvsig__set_previous(signum, previous);
  set_handler(&action, signum, epochs[signum]);
  sigaction(signum, &action, NULL);
}

/* Put back what was there, unless ours has been replaced: then what is there
 * is somebody else's business. Returns whether ours was still there. Also in
 * the child of a fork: async-signal-safe. */
static bool uninstall(int signum) {
  struct sigaction current;
  struct sigaction previous;

  atomic_fetch_add(&uvsig__shared.changes[signum], 1);
  if (sigaction(signum, NULL, &current) != 0 ||
      !uvsig__is_ours(signum, &current)) {
    replaced[signum] = true;
    return false;
  }
  /* Before the look: a handler in another thread is not to call it, too. */
  uvsig__change_call(
      epochs[signum], signum, UVSIG__CALL_LEFT, UVSIG__CALL_GIVEN);
  previous = uvsig__get_previous(signum);
  atomic_store(&uvsig__shared.is_given_back[signum], true);
  sigaction(signum, &previous, NULL);
  return true;
}

/* Give the installed handler, if it is ours, the flags that it should have. */
static int refresh(int signum) {
  struct sigaction action;
  struct sigaction current;

  if (sigaction(signum, NULL, &current) != 0 ||
      !uvsig__is_ours(signum, &current))
    return 0;
  set_handler(&action, signum, epochs[signum]);
  return sigaction(signum, &action, NULL) == 0 ? 0 : UVSIG__ERR(errno);
}

/* One more, or one less, that wants to know of stopped children. */
void uvsig__count_stop_watchers(int signum, int difference) {
  bool before;

  if (signum != SIGCHLD)
    return;
  uvsig__lock();
  before = stop_watchers > 0;
  stop_watchers += (unsigned) difference;
  if ((stop_watchers > 0) != before)
    refresh(signum);
  uvsig__unlock();
}

static void link_source(struct uvsig__source* source) {
  _Atomic(struct uvsig__source*)* head = &uvsig__shared.sources[source->signum];

  /* Relaxed: not yet reachable; the store of the head publishes it. */
  atomic_store_explicit(&source->next, atomic_load(head), memory_order_relaxed);
  atomic_store(head, source);
}

/* A handler may stand on the source and needs its way on: `next` stays. */
static void unlink_source(struct uvsig__source* source) {
  _Atomic(struct uvsig__source*)* link = &uvsig__shared.sources[source->signum];
  struct uvsig__source* at;

  while ((at = atomic_load(link)) != NULL && at != source)
    link = &at->next;
  if (at != NULL)
    atomic_store(link, atomic_load(&source->next));
}

/* Let the handler see the source, and see to it that there is a handler. */
int uvsig__subscribe(struct uvsig__source* source) {
  int err;

  uvsig__lock();
  err = uvsig__fork_error();
  if (err == 0) {
    /* Linked first, so that the first signal after the change finds it. */
    link_source(source);
    err = install(source->signum, has_others(source->signum));
    if (err != 0)
      unlink_source(source);
  }
  uvsig__unlock();
  /* A handler that somebody put back may have seen it for a moment. */
  if (err != 0)
    uvsig__synchronize();
  return err;
}

/* Have ours there again, if somebody has replaced it. */
int uvsig__reinstall(int signum) {
  int err;

  uvsig__lock();
  err = install(signum, true);
  uvsig__unlock();
  return err;
}

/* The opposite. Handlers may be using the source until uvsig__synchronize(). */
void uvsig__unsubscribe(struct uvsig__source* source) {
  struct uvsig__source* head;

  uvsig__lock();
  head = atomic_load(&uvsig__shared.sources[source->signum]);
  /* Restored first: a signal in between still has somebody to take it. */
  if (head == source && atomic_load(&source->next) == NULL &&
      !uninstall(source->signum))
    source->replaced++;
  unlink_source(source);
  uvsig__unlock();
}

/* Nearly always a handler is gone at once; where a storm has preempted it, a
 * spinning thread would only keep the processor from it. */
static void wait_briefly(unsigned round) {
  static const struct timespec pause = {0, 50 * 1000};

  if (round < 16)
    sched_yield();
  else
    nanosleep(&pause, NULL);
}

/* Return when every handler that could have seen what was unlinked before the
 * call has returned. Two generations: new handlers count in the other one, so
 * that a storm cannot keep the awaited one above 0. Two rounds: a handler that
 * read the generation, and was delayed before it counted itself in, may be in
 * either. test/scripts/readers.pml is a model of this. */
void uvsig__synchronize_locked(void) {
  unsigned generation;
  unsigned round;
  int i;

  for (i = 0; i < 2; i++) {
    generation = atomic_load(&uvsig__shared.generation);
    atomic_store(&uvsig__shared.generation, generation ^ 1);
    for (round = 0; atomic_load(&uvsig__shared.readers[generation]) != 0;
         round++)
      wait_briefly(round);
  }
}

void uvsig__synchronize(void) {
  uvsig__lock();
  uvsig__synchronize_locked();
  uvsig__unlock();
}

/* Forget what is pending of a signal whose only source is about to go: the
 * previous action must not take what our timer has sent. Ignoring a signal
 * discards it, in every thread (sigaction(2), POSIX XSH 2.4.3). */
void uvsig__discard_pending(const struct uvsig__source* source) {
  struct sigaction ignore;
  struct sigaction current;

  memset(&ignore, 0, sizeof(ignore));
  ignore.sa_handler = SIG_IGN;
  sigemptyset(&ignore.sa_mask);
  uvsig__lock();
  if (atomic_load(&uvsig__shared.sources[source->signum]) == source &&
      atomic_load(&source->next) == NULL &&
      sigaction(source->signum, NULL, &current) == 0 &&
      uvsig__is_ours(source->signum, &current)) {
    sigaction(source->signum, &ignore, NULL);
    sigaction(source->signum, &current, NULL);
  }
  uvsig__unlock();
}

/* In the child of a fork, which nothing of this library watches. Handlers that
 * were under way in the parent's other threads will never leave here. */
void uvsig__forget_dispositions(void) {
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (uvsig__is_watched(signum)) {
      uninstall(signum);
      atomic_store(&uvsig__shared.sources[signum], NULL);
    }
    atomic_store(&uvsig__shared.chained[signum], 0);
  }
  stop_watchers = 0;
  atomic_store(&uvsig__shared.readers[0], 0);
  atomic_store(&uvsig__shared.readers[1], 0);
}

int uvsig_siginterrupt(int signum, int flag) {
  bool before;
  int err;

  if (!uvsig__is_catchable(signum))
    return UV_EINVAL;
  uvsig__lock();
  before = interrupts[signum];
  interrupts[signum] = flag != 0;
  err = refresh(signum);
  if (err != 0)
    interrupts[signum] = before;
  uvsig__unlock();
  return err;
}
