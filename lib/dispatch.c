/* SPDX-License-Identifier: MIT
 *
 * The bottom half: reads and decodes the wakeup fd, takes the handler's
 * counters, and has both delivered. Runs in the loop thread.
 */

#include "dispatch.h"
#include "disposition.h"
#include "queue.h"
#include "source.h"
#include "wakeup.h"

/* Is there a byte in the pipe for a signal that is neither delivered nor
 * discarded? Else a byte that looks like one is junk. */
static bool is_carried(struct uvsig__source* source) {
  /* In this order: a signal is counted as caught before it is counted as not
   * carried, so that this cannot come out below the truth. */
  unsigned long overflow =
      uvsig__source_taken(source) +
      atomic_load_explicit(&source->sub.overflow, memory_order_acquire);

  return (long) (uvsig__source_pending(source) - overflow) > 0;
}

static void decode_byte(struct uvsig__hub* hub, unsigned char byte) {
  struct uvsig__source* source = byte < UVSIG_NSIG ? hub->sources[byte] : NULL;

  if (byte == 0)
    hub->is_rung = true;
  else if (source != NULL && source->account.stale > 0)
    source->account.stale--;
  else if (source != NULL && is_carried(source))
    uvsig__source_deliver(source, 1);
  else
    hub->junk++;
}

static void decode_bytes(struct uvsig__hub* hub) {
  while (hub->at < hub->end && !hub->closing)
    decode_byte(hub, hub->bytes[hub->at++]);
}

static ssize_t read_bytes(struct uvsig__hub* hub) {
  ssize_t n = uvsig__wakeup_read(&hub->wakeup, hub->bytes, sizeof(hub->bytes));

  hub->at = 0;
  hub->end = n > 0 ? (size_t) n : 0;
  return n;
}

/* What the handler could not write. */
static void warn(struct uvsig__hub* hub, int error) {
  uint64_t counts[UVSIG_NSIG] = {0};
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    counts[source->sub.signum] = source->account.raised;
  uvsig__warn(hub, error, counts, -1);
}

/* Move what the handler has counted in `overflow` to `taken`. Returns how much
 * it was. */
uint64_t uvsig__collect_overflow(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  uint64_t total = 0;

  for (source = hub->first; source != NULL; source = source->after) {
    /* Every signal taken here is then found in `caught`. */
    source->account.raised = atomic_exchange(&source->sub.overflow, 0);
    source->account.taken += source->account.raised;
    total += source->account.raised;
  }
  return total;
}

/* Of `total` signals that have just been collected. In wake-only mode the
 * counter is where they belong. */
void uvsig__report_full_buffer(struct uvsig__hub* hub, uint64_t total) {
  struct uvsig__source* source;

  if (total == 0 || hub->wakeup.wake_only)
    return;
  hub->full_buffers++;
  for (source = hub->first; source != NULL; source = source->after)
    if (source->account.raised > 0)
      source->stats.full_buffers++;
  if (hub->options.warn_on_full_buffer != 0)
    warn(hub, UV_EAGAIN);
}

static void deliver_all(struct uvsig__hub* hub) {
  struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    while (uvsig__source_taken(source) > 0) /* a close discards it */
      uvsig__source_deliver_taken(source, false);
}

/* Take the counters, warn of a full buffer or a failed write, and deliver what
 * was taken and what an earlier turn has left. */
static void deliver_counters(struct uvsig__hub* hub) {
  /* First: what was counted before a write failed is taken here, and what is
   * counted later has an error of its own, or a byte. */
  int error = atomic_exchange(&hub->wakeup.error, 0);
  uint64_t total = uvsig__collect_overflow(hub);

  if (error != 0)
    warn(hub, error);
  else
    uvsig__report_full_buffer(hub, total);
  if (!hub->closing)
    uvsig__report_wakeup_fd(hub);
  deliver_all(hub);
}

/* Has the handler raised a counter, and has every byte been read that was in
 * the pipe before it did? A doorbell that has been read says so, too, where
 * that of another handler has failed, which clears the flag. */
static bool is_time_for_counters(struct uvsig__hub* hub, ssize_t n) {
  /* Relaxed: only a hint, the exchange below decides. A handler that raises a
   * counter after this look has the doorbell still to write, or a full pipe. */
  if (atomic_load_explicit(&hub->wakeup.pending, memory_order_relaxed) == 0 &&
      !hub->is_rung)
    return false;
  if (n < UVSIG__BUDGET)
    return true;
  hub->overdue += UVSIG__BUDGET;
  /* A full read may have been the last, and then nothing wakes us again; and in
   * a storm the pipe may never be empty, and then one signal would hide the
   * others: so a pipe's worth of bytes is enough. */
  return hub->overdue >= hub->wakeup.capacity ||
         uvsig__wakeup_is_empty(&hub->wakeup);
}

/* The same, and the next handler that raises one writes the doorbell again. */
static void reset_and_deliver(struct uvsig__hub* hub) {
  hub->overdue = 0;
  hub->is_rung = false;
  /* Before the counters are taken: see ring(). */
  atomic_store(&hub->wakeup.pending, 0);
  deliver_counters(hub);
}

/* What the callbacks themselves raise is delivered in the same turn, so often:
 * a turn of the loop costs more than that. The loop's other handles wait no
 * longer than for the bytes that a turn may read. */
enum { ROUNDS = 8 };

/* --- Wake-only: the doorbell is answered last ----------------------------- */

/* Also by what a drain in a callback has taken for sources that come before its
 * own. */
static bool is_raised(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (uvsig__source_taken(source) > 0 ||
        atomic_load(&source->sub.overflow) > 0)
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
static ssize_t answer(struct uvsig__hub* hub) {
  bool has_read = false;
  ssize_t n = 0;
  int i;

  for (i = 0; i < ROUNDS; i++) {
    deliver_counters(hub);
    if (uvsig__has_gone(hub))
      return n;
    if (is_raised(hub))
      continue;
    /* Sequentially consistent, here and in what is looked at below: see
     * ring(). */
    atomic_store(&hub->wakeup.pending, 0);
    n = read_bytes(hub);
    has_read = true;
    decode_bytes(hub);
    if (n < 0 || (atomic_load(&hub->wakeup.pending) == 0 && !is_raised(hub) &&
                  !uvsig__wakeup_fd_is_due()))
      return n;
  }
  if (has_read)
    uvsig__wakeup_ring(&hub->wakeup);
  return n;
}

/* Read once and deliver. Returns how many bytes it read, or an error. */
static ssize_t turn(struct uvsig__hub* hub) {
  ssize_t n;

  if (hub->wakeup.wake_only)
    return answer(hub);
  /* What a delivery was called from the middle of. */
  decode_bytes(hub);
  if (uvsig__has_gone(hub))
    return 0;

  n = read_bytes(hub);
  decode_bytes(hub);
  if (!uvsig__has_gone(hub) && is_time_for_counters(hub, n))
    reset_and_deliver(hub);
  return n;
}

/* Is there something in the pipe, or about to be? */
static bool has_caught(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (uvsig__source_pending(source) > 0)
      return true;
  return false;
}

/* Returns what the last read did. */
static ssize_t run_turns(struct uvsig__hub* hub) {
  ssize_t total = 0;
  ssize_t n;
  int i = 0;

  do {
    n = turn(hub);
    total += n;
  } while (n > 0 && total < UVSIG__BUDGET && !uvsig__has_gone(hub) &&
           !hub->wakeup.wake_only && ++i < ROUNDS && has_caught(hub));
  return n;
}

/* The pipe cannot be read, and there may be bytes in it, and come: take what they
 * stand for without them. */
static void withdraw_all(struct uvsig__hub* hub) {
  unsigned long pending[UVSIG_NSIG];
  struct uvsig__source* source;

  if (!has_caught(hub))
    return;
  for (source = hub->first; source != NULL; source = source->after)
    pending[source->sub.signum] = uvsig__source_pending(source);
  /* Their handlers are to leave, and then have counted what has no byte. */
  uvsig__synchronize();
  for (source = hub->first; source != NULL; source = source->after)
    uvsig__source_withdraw(source, pending[source->sub.signum]);
}

/* The program has closed the write end, or the read end cannot be read. To poll
 * on would spin. */
static void stop_polling(struct uvsig__hub* hub, int error) {
  uv_poll_stop(&hub->poll);
  hub->is_deaf = true;
  atomic_store_explicit(&hub->wakeup.error, error, memory_order_relaxed);
  withdraw_all(hub);
  reset_and_deliver(hub);
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
    n = run_turns(hub);
  if (n < 0 && !hub->closing)
    stop_polling(hub, (int) n);
}

void uvsig__on_prepare(uv_prepare_t* prepare) {
  struct uvsig__hub* hub = prepare->data;

  uvsig__own(hub);
  if (hub->inherited) {
    hub->has_own_poller |= !uvsig__is_polled(hub);
    return;
  }
  if (hub->queue != NULL)
    uvsig__prepare_queue(hub);
  /* An fd that has failed wakes no loop; one that runs anyhow notices here.
   * Relaxed: if it is not seen now, it is on the next turn. */
  if (hub->is_deaf)
    withdraw_all(hub);
  if (hub->is_deaf ||
      atomic_load_explicit(&hub->wakeup.error, memory_order_relaxed) != 0)
    reset_and_deliver(hub);
}

/* Deliver what is pending. Returns the result of the last read. */
ssize_t uvsig__flush(struct uvsig__hub* hub) {
  ssize_t n = UVSIG__BUDGET;
  size_t total;

  if (hub->queue != NULL)
    uvsig__flush_queue(hub);
  /* No more than what can have been pending at the call. */
  for (total = 0; n == UVSIG__BUDGET && total < hub->wakeup.capacity &&
                  !uvsig__has_gone(hub);
       total += UVSIG__BUDGET)
    n = turn(hub);
  if (n < 0 && !uvsig__has_gone(hub))
    withdraw_all(hub);
  if (!uvsig__has_gone(hub))
    reset_and_deliver(hub);
  return n;
}
