/* SPDX-License-Identifier: MIT
 *
 * Signals that wait in the kernel's queue: read from the signalfd, and delivered
 * with all that the kernel knows of each. Where the handler would do more than
 * to count for one loop, it is called instead, and the signal comes through the
 * pipe. test/scripts/signalfd.pml is a model of this. Runs in the loop thread.
 */

#include "queue.h"

#include "signalfd.h"

#include <sys/resource.h>
#include <unistd.h>

/* What one user may have queued (getrlimit(2)), and a standard signal each. */
static size_t get_most(void) {
  const size_t plenty = 1 << 20; /* also where there is no limit */
  struct rlimit limit;

#ifdef RLIMIT_SIGPENDING
  if (getrlimit(RLIMIT_SIGPENDING, &limit) == 0 && limit.rlim_cur < plenty)
    return (size_t) limit.rlim_cur + UVSIG_NSIG;
#endif
  (void) limit;
  return plenty;
}

/* --- Delivery ------------------------------------------------------------- */

/* Is this source all that the handler would find, and would it count alone? */
static bool is_alone(const struct uvsig__source* source) {
  return uvsig__is_alone(&source->sub) && !uvsig__source_needs_handler(source);
}

static void deliver(struct uvsig__hub* hub, siginfo_t* info) {
  unsigned signum = (unsigned) info->si_signo;
  struct uvsig__source* source =
      signum < UVSIG_NSIG ? hub->sources[signum] : NULL;

  /* What is read is of a source that has watchers: the last stop gives it back.
   * Else the program has opened something else under the descriptor's number. */
  if (source == NULL || source->first == NULL)
    return;
  if (is_alone(source))
    uvsig__source_deliver_queued(source, info);
  else
    uvsig__signalfd_catch(info);
}

/* A callback may deliver what is left, close the loop context, or fork. */
static void deliver_read(struct uvsig__hub* hub) {
  siginfo_t info;

  while (!uvsig__has_gone(hub) && uvsig__signalfd_next(hub->queue, 0, &info))
    deliver(hub, &info);
}

/* Read, and first hand out what is not for this loop alone: a callback may stop
 * a watcher here, which drops what has been read for it, and the other loops'
 * watchers are to be notified all the same. Of one signal, no callback comes
 * before it. Returns how many signals were read, or a code. */
static int read_and_share(struct uvsig__hub* hub) {
  int n = uvsig__signalfd_read(hub->queue);
  struct uvsig__source* source;

  for (source = hub->first; source != NULL && n > 1; source = source->after)
    if (source->is_queued && !is_alone(source))
      uvsig__signalfd_handle(hub->queue, source->sub.signum);
  return n;
}

/* The descriptor has failed. Have the handler catch all signals from here
 * on. */
static void leave_queue(struct uvsig__hub* hub, int err) {
  struct uvsig__source* source;

  uvsig__signalfd_lose(hub->queue);
  for (source = hub->first; source != NULL; source = source->after)
    if (source->is_queued)
      uvsig__mask_leave_queue(source);
  /* The loop warns on its next turn. */
  atomic_store(&hub->wakeup.error, err);
}

static void check(struct uvsig__hub* hub) {
  int err = hub->queue->is_lost ? 0 : uvsig__signalfd_check(hub->queue);

  if (err != 0)
    leave_queue(hub, err);
}

/* Read again in the same turn, so often: a turn of the loop costs more than
 * that. The loop's other handles wait no longer than for the signals of so many
 * reads. */
enum { ROUNDS = 8 };

/* So many turns go without it where it has found nothing: the callbacks raise no
 * signal, and it would be a system call more for each one. */
enum { SPARED_TURNS = 15 };

/* Is there likely to be more? `n` signals have been read, and delivered. */
static bool is_worth_a_read(struct uvsig__signalfd* from, int n) {
  if (n <= 0)
    return false;
  if (n == UVSIG__FULL_READ || from->spared == 0)
    return true;
  from->spared--;
  return false;
}

/* One turn of the loop. Returns 0 or more, or why the descriptor cannot be
 * read. */
static int read_and_deliver(struct uvsig__hub* hub) {
  int n = read_and_share(hub);
  int i;

  deliver_read(hub);
  for (i = 1;
       i < ROUNDS && !uvsig__has_gone(hub) && is_worth_a_read(hub->queue, n);
       i++) {
    n = read_and_share(hub);
    hub->queue->spared = n > 0 ? 0 : SPARED_TURNS;
    deliver_read(hub);
  }
  return n;
}

void uvsig__on_queue(uv_poll_t* poll, int status, int events) {
  struct uvsig__hub* hub = poll->data;
  int err = status;

  (void) events;
  uvsig__own(hub);
  if (hub->inherited) { /* what comes is the parent's */
    uv_poll_stop(poll);
    return;
  }
  if (err == 0)
    err = read_and_deliver(hub);
  if (err < 0) /* nothing was read, and no callback has run since */
    leave_queue(hub, err);
}

/* The same without the loop, until nothing waits. */
void uvsig__flush_queue(struct uvsig__hub* hub) {
  /* No more than what can have been pending at the call. */
  size_t left = get_most();
  int n = UVSIG__FULL_READ;

  deliver_read(hub);
  while (left > 0 && n == UVSIG__FULL_READ && !uvsig__has_gone(hub)) {
    n = read_and_share(hub);
    deliver_read(hub);
    left -= left < UVSIG__FULL_READ ? left : UVSIG__FULL_READ;
  }
  if (n < 0) /* as above */
    leave_queue(hub, n);
}

/* Deliver all that waits of one signal, until a callback has stopped the watcher
 * that is drained. A one-shot is notified once, so of all of them: they are
 * counted. The rest has the previous action. */
void uvsig__drain_queue(struct uvsig__source* source,
                        const struct uvsig__cursor* drain,
                        bool is_once) {
  struct uvsig__hub* hub = source->hub;
  int signum = source->sub.signum;
  siginfo_t info;
  size_t left;

  if (!source->is_queued)
    return;
  check(hub);
  for (left = get_most();
       left > 0 && drain->next != NULL && source->is_queued &&
       (uvsig__signalfd_next(hub->queue, signum, &info) ||
        uvsig__signalfd_take(hub->queue, signum, &info));
       left--) {
    if (is_once)
      uvsig__signalfd_catch(&info);
    else
      deliver(hub, &info);
  }
}

/* An fd that the program has closed wakes no loop. So it is looked after, but
 * not in each turn: that is a system call. */
enum { CHECK_MS = 100 };

static bool is_due(struct uvsig__hub* hub) {
  struct uvsig__signalfd* from = hub->queue;
  uint64_t now = uv_now(hub->sig->loop);

  if (now - from->checked < CHECK_MS)
    return false;
  from->checked = now;
  return true;
}

/* In each turn of the loop. Another thread may have taken it over. */
void uvsig__prepare_queue(struct uvsig__hub* hub) {
  struct uvsig__source* source;

  if (is_due(hub))
    check(hub);
  for (source = hub->first; source != NULL; source = source->after)
    if (source->is_queued && uvsig__source_needs_handler(source))
      uvsig__mask_leave_queue(source); /* there is a wakeup fd by now */
    else if (source->is_queued && source->mask_thread != uvsig__self())
      uvsig__mask_move(source);
}
