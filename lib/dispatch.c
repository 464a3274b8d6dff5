/* SPDX-License-Identifier: MIT
 *
 * The bottom half: reads and decodes the wakeup fd, takes the handler's
 * counters, and has both delivered. Runs in the loop thread.
 */

#include "dispatch.h"
#include "disposition.h"
#include "source.h"
#include "wakeup.h"

#include <errno.h>
#include <poll.h>

/* Is there a byte in the pipe for a signal that is neither delivered nor
 * discarded? Else a byte that looks like one is junk. */
static bool is_carried(struct uvsig__source* source) {
  /* In this order: a signal is counted as caught before it is counted as not
   * carried, so that this cannot come out below the truth. */
  unsigned long overflow =
      source->singles + source->taken +
      atomic_load_explicit(&source->sub.overflow, memory_order_acquire);

  return (long) (uvsig__source_pending(source) - overflow) > 0;
}

static int decode_byte(struct uvsig__hub* hub, unsigned char byte) {
  struct uvsig__source* source = byte < UVSIG_NSIG ? hub->sources[byte] : NULL;

  if (byte == 0)
    return 0;
  if (source != NULL && source->stale > 0) {
    source->stale--;
    return 0;
  }
  if (source == NULL || !is_carried(source)) {
    hub->junk++;
    return 0;
  }
  return uvsig__source_deliver(source, 1);
}

static int decode_bytes(struct uvsig__hub* hub) {
  int calls = 0;

  while (hub->at < hub->end && !hub->closing)
    calls += decode_byte(hub, hub->bytes[hub->at++]);
  return calls;
}

static ssize_t read_bytes(struct uvsig__hub* hub) {
  ssize_t n = uvsig__wakeup_read(&hub->wakeup, hub->bytes, sizeof(hub->bytes));

  hub->at = 0;
  hub->end = n > 0 ? (size_t) n : 0;
  return n;
}

/* What the handler could not write. */
static void warn(struct uvsig__hub* hub, uint64_t total, int error) {
  uint64_t counts[UVSIG_NSIG] = {0};
  uvsig_warning_t warning = {
      error != 0 ? UVSIG_WARN_WRITE_ERROR : UVSIG_WARN_FULL_BUFFER,
      error != 0 ? error : UV_EAGAIN,
      total,
      counts,
      -1};
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    counts[source->sub.signum] = source->raised;
  uvsig__warn(hub, &warning);
}

/* Move what the handler has counted in `overflow` to `taken`. Returns how much
 * it was. */
static uint64_t collect_overflow(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  uint64_t total = 0;

  for (source = hub->first; source != NULL; source = source->after) {
    /* Acquire: pairs with the handler's release, so that every signal taken
     * here is found in `caught`. */
    source->raised = atomic_exchange_explicit(
        &source->sub.overflow, 0, memory_order_acquire);
    source->taken += source->raised;
    total += source->raised;
  }
  return total;
}

static void report_full_buffer(struct uvsig__hub* hub, uint64_t total) {
  struct uvsig__source* source;

  hub->full_buffers++;
  for (source = hub->first; source != NULL; source = source->after)
    if (source->raised > 0)
      source->full_buffers++;
  if (hub->warn_on_full_buffer)
    warn(hub, total, 0);
}

/* Take the counters, and warn of a full buffer or a failed write. */
static void collect_and_warn(struct uvsig__hub* hub) {
  uint64_t total = collect_overflow(hub);
  int error =
      atomic_exchange_explicit(&hub->wakeup.error, 0, memory_order_relaxed);

  if (error != 0)
    warn(hub, total, error);
  else if (!hub->wakeup.wake_only && total > 0)
    report_full_buffer(hub, total);
}

static unsigned long count_taken(const struct uvsig__source* source) {
  return source->singles + source->taken;
}

/* Deliver as much of what has been taken as one callback may stand for, or,
 * with `is_whole`, all. The rest stays where a nested flush finds it. */
static int deliver_some(struct uvsig__source* source, bool is_whole) {
  unsigned long count = count_taken(source);
  unsigned long singles;
  unsigned long most;

  /* A wait takes one. A byte in the pipe stands for one, too. */
  if (uvsig__source_is_awaited(source) || (source->singles > 0 && !is_whole))
    count = 1;
  singles = count < source->singles ? count : source->singles;
  source->singles -= singles;
  source->taken -= count - singles;
  /* A byte that the handler did not write may have been taken for one of these:
   * never deliver more than were caught. */
  most = uvsig__source_pending(source);
  return uvsig__source_deliver(source, count < most ? count : most);
}

static int deliver_taken(struct uvsig__source* source) {
  int calls = 0;

  while (count_taken(source) > 0 && !source->hub->closing)
    calls += deliver_some(source, false);
  return calls;
}

static int deliver_counters(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  int calls = 0;

  for (source = hub->first; source != NULL && !hub->closing;
       source = source->after)
    calls += deliver_taken(source);
  return calls;
}

/* Has the handler raised a counter, and has every byte been read that was in
 * the pipe before it did? */
static bool is_time_for_counters(struct uvsig__hub* hub, size_t n) {
  /* Relaxed: only a hint, the exchange below decides. A counter that is raised
   * after this look has its doorbell still to ring, or a full pipe. */
  if (atomic_load_explicit(&hub->wakeup.pending, memory_order_relaxed) == 0) {
    hub->overdue = 0;
    return false;
  }
  hub->overdue += n;
  /* A full read may have been the last, and then nothing wakes us again; and in
   * a storm the pipe may never be empty, and then one signal would hide the
   * others: so a pipe's worth of bytes is enough. */
  return n < UVSIG__BUDGET || hub->overdue >= hub->wakeup.capacity ||
         uvsig__wakeup_is_empty(&hub->wakeup);
}

static int collect_and_deliver(struct uvsig__hub* hub) {
  bool is_rung;

  hub->overdue = 0;
  /* Before the counters are taken, and acquire: see ring(). */
  is_rung = atomic_exchange_explicit(
                &hub->wakeup.pending, 0, memory_order_acq_rel) != 0;
  /* A doorbell that could not be written has taken the flag back. */
  if (is_rung ||
      atomic_load_explicit(&hub->wakeup.error, memory_order_relaxed) != 0)
    collect_and_warn(hub);
  /* Else there may be what a delivery was called from the middle of. */
  if (!hub->closing)
    uvsig__report_wakeup_fd(hub);
  return deliver_counters(hub);
}

/* What the callbacks themselves raise is delivered in the same turn, so often:
 * a turn of the loop costs more than that. The loop's other handles wait no
 * longer than for the bytes that a turn may read. */
enum { ROUNDS = 8 };

/* --- Wake-only: the bell is answered last --------------------------------- */

static bool is_raised(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (atomic_load_explicit(&source->sub.overflow, memory_order_acquire) > 0)
      return true;
  return false;
}

/* A handler that finds `pending` 0 sets it and writes a byte; one that finds it
 * set writes none (ring()). In this order:
 * 1. Deliver what the counters have until none is raised. `pending` stays set,
 *    so that signals meanwhile, such as those that the callbacks raise, need no
 *    system call. Its byte stays in the pipe: if the rounds end here, it wakes
 *    the loop again, and a thread that polls the loop's backend fd.
 * 2. Set `pending` to 0.
 * 3. Empty the pipe.
 * 4. Look at the counters and at `pending` once more. A handler may have
 *    counted before 2 and found `pending` set. One that ran between 2 and 3 may
 *    have had its byte read. A later one writes a byte that is not read here.
 * If the rounds end after a read, a byte is written: the loop must come again.
 * test/scripts/wakeup.pml is a model of this, too.
 * Between two turns of the loop, a signal needs its byte in any case. The
 * library cannot know there whether the loop runs again, or its thread sleeps
 * elsewhere until the backend fd is readable. */
static int answer(struct uvsig__hub* hub, ssize_t* n) {
  bool has_read = false;
  int calls = 0;
  int i;

  *n = 0;
  for (i = 0; i < ROUNDS; i++) {
    collect_and_warn(hub);
    if (!hub->closing)
      uvsig__report_wakeup_fd(hub);
    calls += deliver_counters(hub);
    if (hub->closing || hub->inherited)
      return calls;
    if (is_raised(hub))
      continue;
    /* Acquire: all that was counted before a ring that is taken back here, or
     * seen below, is found. Release: a ring that comes later is after this. */
    atomic_exchange_explicit(&hub->wakeup.pending, 0, memory_order_acq_rel);
    *n = read_bytes(hub);
    has_read = true;
    calls += decode_bytes(hub);
    if (*n < 0 || (atomic_load_explicit(&hub->wakeup.pending,
                                        memory_order_acquire) == 0 &&
                   !is_raised(hub) && !uvsig__wakeup_fd_is_due()))
      return calls;
  }
  if (has_read)
    uvsig__wakeup_ring(&hub->wakeup);
  return calls;
}

/* Read once and deliver. Returns how many callbacks it ran, and in `*n` how
 * many bytes it read, or an error. */
static int turn(struct uvsig__hub* hub, ssize_t* n) {
  int calls;

  if (hub->wakeup.wake_only)
    return answer(hub, n);
  /* What a delivery was called from the middle of. */
  calls = decode_bytes(hub);
  if (hub->closing || hub->inherited)
    return calls;

  *n = read_bytes(hub);
  calls += decode_bytes(hub);
  if (!hub->closing && !hub->inherited &&
      is_time_for_counters(hub, *n > 0 ? (size_t) *n : 0))
    calls += collect_and_deliver(hub);
  return calls;
}

/* Is there something in the pipe, or about to be? */
static bool has_caught(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (uvsig__source_pending(source) > 0)
      return true;
  return false;
}

static void run_turns(struct uvsig__hub* hub, ssize_t* n) {
  size_t total = 0;
  int i;

  for (i = 0; i < ROUNDS; i++) {
    turn(hub, n);
    total += *n > 0 ? (size_t) *n : 0;
    if (*n <= 0 || total >= UVSIG__BUDGET || hub->closing || hub->inherited ||
        hub->wakeup.wake_only || !has_caught(hub))
      return;
  }
}

/* The program has closed the write end. To poll on would spin. */
static void stop_polling(struct uvsig__hub* hub, int error) {
  uv_poll_stop(&hub->poll);
  atomic_store_explicit(&hub->wakeup.error, error, memory_order_relaxed);
  atomic_store_explicit(&hub->wakeup.pending, 1, memory_order_relaxed);
  collect_and_deliver(hub);
}

void uvsig__on_readable(uv_poll_t* poll, int status, int events) {
  struct uvsig__hub* hub = poll->data;
  ssize_t n = status;

  (void) events;
  uvsig__own(hub);
  if (hub->inherited) { /* what comes is the parent's */
    uv_poll_stop(poll);
    return;
  }
  if (status == 0)
    run_turns(hub, &n);
  if (n < 0 && !hub->closing)
    stop_polling(hub, (int) n);
}

void uvsig__on_prepare(uv_prepare_t* prepare) {
  struct uvsig__hub* hub = prepare->data;

  uvsig__own(hub);
  /* An fd that has failed wakes no loop; one that runs anyhow notices here.
   * Relaxed: if it is not seen now, it is on the next turn. */
  if (!hub->inherited &&
      atomic_load_explicit(&hub->wakeup.error, memory_order_relaxed) != 0)
    collect_and_deliver(hub);
}

/* Deliver what is pending. Returns how many callbacks it ran, and in `*n` the
 * result of the last read. */
int uvsig__flush(struct uvsig__hub* hub, ssize_t* n) {
  size_t total = 0;
  int calls = 0;

  *n = 0;
  /* No more than what can have been pending at the call. */
  do {
    calls += turn(hub, n);
    total += *n > 0 ? (size_t) *n : 0;
  } while (!hub->closing && !hub->inherited && *n == UVSIG__BUDGET &&
           total < hub->wakeup.capacity);
  if (!hub->closing && !hub->inherited)
    calls += collect_and_deliver(hub);
  return calls;
}

/* --- Flush ---------------------------------------------------------------- */

int uvsig_flush(uvsig_t* sig) {
  struct uvsig__hub* hub;
  ssize_t n;
  int err;

  err = uvsig__hub_of(sig, &hub);
  return err != 0 ? err : uvsig__flush(hub, &n);
}

/* --- Drain ---------------------------------------------------------------- */

/* Take everything that was caught for a source. Where `w` is its last watcher,
 * the signal goes first. Handlers in flight are waited for twice: after the
 * first time they have counted their signals, and after the second each signal
 * that is counted has its byte or is in the counter. */
static void take_caught(struct uvsig__source* source, uvsig_watcher_t* w) {
  struct uvsig__hub* hub = source->hub;
  unsigned long pending;
  uint64_t total = 0;

  if (uvsig__source_has_other(source, w))
    uvsig__synchronize();
  else
    uvsig__source_release(source, w);
  pending = uvsig__source_pending(source);
  uvsig__synchronize();
  /* Of all sources, since a full buffer is warned of once. The wake flag stays
   * set, so the loop comes to deliver the other sources' signals. Not in
   * wake-only mode, where answer() has to see which counters are raised. */
  if (!hub->wakeup.wake_only)
    total = collect_overflow(hub);
  uvsig__source_withdraw(source, pending);
  /* Another error of the pipe is warned of by look_at_counters(). */
  if (total > 0 &&
      atomic_load_explicit(&hub->wakeup.error, memory_order_relaxed) == 0)
    report_full_buffer(hub, total);
}

/* Notify `w` of everything that was caught, as the loop would, and stop it. A
 * callback may stop or free `w`; the cursor knows whether it is still there. If
 * not, the rest is for the other watchers. */
static void drain(struct uvsig__source* source, uvsig_watcher_t* w) {
  struct uvsig__cursor cursor = {
      .next = w, .outer = source->cursors, .is_drain = true};

  source->cursors = &cursor;
  /* In a callback: watchers are notified first of what came first. */
  uvsig__source_resume(source);
  while (cursor.next != NULL) {
    take_caught(source, w);
    while (count_taken(source) > 0 && !source->hub->closing)
      /* A one-shot is notified once, so of all of them. */
      deliver_some(source,
                   cursor.next != NULL && (w->state & UVSIG__ONESHOT) != 0);
    /* Once more, where a callback has made it the last one. */
    if (!source->is_subscribed || cursor.next == NULL ||
        uvsig__source_has_other(source, w))
      break;
  }
  source->cursors = cursor.outer;
  if (cursor.next != NULL)
    uvsig__source_stop(source, w);
}

int uvsig_watcher_drain(uvsig_watcher_t* w) {
  struct uvsig__hub* hub;
  int err;

  if (w == NULL)
    return UV_EINVAL;
  /* First, as uvsig_watcher_stop(). */
  if ((w->state & UVSIG__ACTIVE) == 0)
    return 0;
  err = uvsig__hub_of(w->sig, &hub);
  if (err == 0)
    drain(w->source, w);
  return err;
}

/* --- Pause ---------------------------------------------------------------- */

static bool is_watching(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (uvsig__source_has_other(source, NULL))
      return true;
  return false;
}

/* In a callback: the other watchers of its signal are still to be notified. */
static int resume_deliveries(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  int calls = 0;

  for (source = hub->first; source != NULL && !hub->closing;
       source = source->after)
    calls += uvsig__source_resume(source);
  return calls;
}

int uvsig_pause(uvsig_t* sig) {
  struct uvsig__hub* hub;
  struct pollfd pollfd;
  ssize_t n;
  int calls;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  pollfd.fd = hub->wakeup.read_fd;
  pollfd.events = POLLIN;
  for (;;) {
    calls = uvsig__flush(hub, &n);
    if (calls > 0)
      return calls;
    if (n < 0)
      return (int) n;
    if (hub->inherited)
      return UV_EBADF;
    calls = resume_deliveries(hub);
    if (calls > 0)
      return calls;
    if (!is_watching(hub))
      return UV_EINVAL;
    /* EINTR: a handler ran, maybe ours. What it wrote is readable. */
    if (poll(&pollfd, 1, -1) < 0 && errno != EINTR)
      return UVSIG__ERR(errno);
  }
}
