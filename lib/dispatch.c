/* SPDX-License-Identifier: MIT
 *
 * The bottom half: reads and decodes the wakeup fd, takes the handler's
 * counters, and has both delivered. Runs in the loop thread.
 */

#include "internal.h"

#include <poll.h>

/* Is there a byte in the pipe for a signal that is neither delivered nor
 * discarded? Else a byte that looks like one is junk. */
static bool is_carried(struct uvsig__source* source) {
  /* In this order: a signal is counted as caught before it is counted as not
   * carried, so that this cannot come out below the truth. */
  unsigned long uncarried =
      source->taken +
      atomic_load_explicit(&source->uncarried, memory_order_acquire);

  return (long) (uvsig__source_pending(source) - uncarried) > 0;
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
    counts[source->signum] = source->raised;
  uvsig__warn(hub, &warning);
}

/* Move the handler's counters to ours. Returns how much it was. */
static uint64_t take_counters(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  uint64_t total = 0;

  for (source = hub->first; source != NULL; source = source->after) {
    /* Acquire: pairs with the handler's release, so that every signal taken
     * here is found in `caught`. */
    source->raised =
        atomic_exchange_explicit(&source->uncarried, 0, memory_order_acquire);
    source->taken += source->raised;
    total += source->raised;
  }
  return total;
}

/* The same, and say what has gone wrong. */
static void take_and_warn(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  uint64_t total = take_counters(hub);
  int error =
      atomic_exchange_explicit(&hub->wakeup.error, 0, memory_order_relaxed);

  if (error != 0) {
    warn(hub, total, error);
  } else if (!hub->wakeup.wake_only && total > 0) {
    hub->full_buffers++;
    for (source = hub->first; source != NULL; source = source->after)
      if (source->raised > 0)
        source->full_buffers++;
    if (hub->warn_on_full_buffer)
      warn(hub, total, 0);
  }
}

static int deliver_taken(struct uvsig__source* source) {
  unsigned long count;
  unsigned long most;
  int calls = 0;

  while (source->taken > 0 && !source->hub->closing) {
    /* A wait takes one. The rest stays where a nested flush finds it. */
    count = uvsig__source_is_awaited(source) ? 1 : source->taken;
    source->taken -= count;
    /* Somebody else's byte may have passed for one of these: never deliver
     * more than were caught. */
    most = uvsig__source_pending(source);
    calls += uvsig__source_deliver(source, count < most ? count : most);
  }
  return calls;
}

static int deliver_counters(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  int calls = 0;

  for (source = hub->first; source != NULL && !hub->closing;
       source = source->after)
    if (source->taken > 0)
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

static int look_at_counters(struct uvsig__hub* hub) {
  hub->overdue = 0;
  /* Before the counters are taken, and acquire: see catch_signal(). */
  if (atomic_exchange_explicit(&hub->wakeup.pending, 0, memory_order_acq_rel) !=
      0)
    take_and_warn(hub);
  /* Else there may be what a delivery was called from the middle of. */
  if (!hub->closing)
    uvsig__report_wakeup_fd(hub);
  return deliver_counters(hub);
}

/* What the callbacks themselves raise is delivered in the same turn, so often:
 * a turn of the loop costs more than that. The loop's other handles wait no
 * longer than for the bytes that a turn may read. */
enum { ROUNDS = 8 };

/* --- Wake-only: no bell while the loop is awake ----------------------------- */

static bool is_raised(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (atomic_load_explicit(&source->uncarried, memory_order_acquire) > 0)
      return true;
  return false;
}

static void on_awake(uv_idle_t* awake) {
  (void) awake; /* while it is started the loop does not sleep */
}

/* The bell rings once until it is taken back, which is done last here: what the
 * callbacks raise, and what comes meanwhile, needs no system call. Taken back
 * first and looked second, as everywhere (test/wakeup.pml): what is raised after
 * the look rings. What is found by the look is left for the next turn, so that
 * the loop's other handles have theirs; the bell is taken again without a byte
 * in the pipe, so the loop must not sleep, nor whoever polls its backend
 * (uv_backend_timeout() is 0 then). Neither after a delivery in the prepare
 * phase: who runs the loop once waits for that. */
static int deliver_awake(struct uvsig__hub* hub) {
  int calls = 0;
  int i;

  hub->overdue = 0;
  for (i = 0; i < ROUNDS && (i == 0 || is_raised(hub)); i++) {
    take_and_warn(hub);
    if (!hub->closing)
      uvsig__report_wakeup_fd(hub);
    calls += deliver_counters(hub);
    if (hub->closing || hub->inherited)
      return calls;
  }
  atomic_exchange_explicit(&hub->wakeup.pending, 0, memory_order_acq_rel);
  if (is_raised(hub))
    atomic_exchange_explicit(&hub->wakeup.pending, 1, memory_order_acq_rel);
  if (!uv_is_closing((uv_handle_t*) &hub->awake))
    uv_idle_start(&hub->awake, on_awake);
  return calls;
}

/* Read once and deliver. Returns how many callbacks it ran, and in `*n` how
 * many bytes it read, or an error. */
static int turn(struct uvsig__hub* hub, ssize_t* n) {
  int calls;

  /* What a delivery was called from the middle of. */
  calls = decode_bytes(hub);
  if (hub->closing || hub->inherited)
    return calls;

  *n = uvsig__wakeup_read(&hub->wakeup, hub->bytes, sizeof(hub->bytes));
  hub->at = 0;
  hub->end = *n > 0 ? (size_t) *n : 0;
  calls += decode_bytes(hub);
  if (!hub->closing && !hub->inherited &&
      is_time_for_counters(hub, *n > 0 ? (size_t) *n : 0))
    calls += hub->wakeup.wake_only ? deliver_awake(hub) : look_at_counters(hub);
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

static void take_turns(struct uvsig__hub* hub, ssize_t* n) {
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

/* Somebody closed the write end behind our back. Polling on would spin. */
static void give_up(struct uvsig__hub* hub, int error) {
  uv_poll_stop(&hub->poll);
  atomic_store_explicit(&hub->wakeup.error, error, memory_order_relaxed);
  atomic_store_explicit(&hub->wakeup.pending, 1, memory_order_relaxed);
  look_at_counters(hub);
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
    take_turns(hub, &n);
  if (n < 0 && !hub->closing)
    give_up(hub, (int) n);
}

void uvsig__on_prepare(uv_prepare_t* prepare) {
  struct uvsig__hub* hub = prepare->data;

  uvsig__own(hub);
  if (hub->inherited) {
    uv_idle_stop(&hub->awake);
    return;
  }
  /* A dead fd wakes nobody; a loop that runs finds out here. Relaxed: if it is
   * not seen now, it is on the next turn. */
  if (atomic_load_explicit(&hub->wakeup.error, memory_order_relaxed) != 0)
    look_at_counters(hub);
  if (!hub->wakeup.wake_only || hub->closing || hub->inherited)
    return;
  /* Relaxed: only a hint; what is not seen has rung, and wakes the loop. */
  if (atomic_load_explicit(&hub->wakeup.pending, memory_order_relaxed) != 0)
    deliver_awake(hub);
  else
    uv_idle_stop(&hub->awake);
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
    calls += look_at_counters(hub);
  return calls;
}

int uvsig_flush(uvsig_t* sig) {
  struct uvsig__hub* hub;
  ssize_t n;
  int err;

  err = uvsig__hub_of(sig, &hub);
  return err != 0 ? err : uvsig__flush(hub, &n);
}

static bool is_watching(const struct uvsig__hub* hub) {
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (uvsig__source_is_watched(source))
      return true;
  return false;
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
    if (!is_watching(hub))
      return UV_EINVAL;
    /* EINTR: a handler ran, maybe ours. What it wrote is readable. */
    poll(&pollfd, 1, -1);
  }
}
