/* SPDX-License-Identifier: MIT
 *
 * uvsig_t: its life from init to close, and the bottom half, which reads and
 * decodes the wakeup fd and takes the counters. Runs in the loop thread.
 */

#include "internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The hub of an open uvsig_t that the calling thread may use. */
int uvsig__hub_of(const uvsig_t* sig, struct uvsig__hub** hub) {
  if (sig == NULL || sig->hub == NULL)
    return UV_EINVAL;
  *hub = sig->hub;
  if (!uvsig__owns(*hub))
    return UV_EPERM;
  return (*hub)->closing ? UV_EINVAL : 0;
}

/* --- The bottom half -------------------------------------------------------- */

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
  struct uvsig__source* source =
      byte < UVSIG_NSIG ? hub->sources[byte] : NULL;

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

/* Move the handler's counters to ours, and say so. */
static void take_counters(struct uvsig__hub* hub) {
  uint64_t counts[UVSIG_NSIG] = {0};
  uvsig_warning_t warning = {UVSIG_WARN_FULL_BUFFER, UV_EAGAIN, 0, counts};
  struct uvsig__source* source;
  unsigned long uncarried;
  int signum;
  int error;

  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    source = hub->sources[signum];
    if (source == NULL)
      continue;
    /* Acquire: pairs with the handler's release, so that every signal taken
     * here is found in `caught`. */
    uncarried =
        atomic_exchange_explicit(&source->uncarried, 0, memory_order_acquire);
    source->taken += uncarried;
    counts[signum] = uncarried;
    warning.total += uncarried;
  }

  error = atomic_exchange_explicit(
      &hub->wakeup.error, 0, memory_order_relaxed);
  if (error != 0) {
    warning.kind = UVSIG_WARN_WRITE_ERROR;
    warning.error = error;
    uvsig__warn(hub, &warning);
  } else if (!hub->wakeup.wake_only && warning.total > 0) {
    hub->full_buffers++;
    for (signum = 1; signum < UVSIG_NSIG; signum++)
      if (counts[signum] > 0)
        hub->sources[signum]->full_buffers++;
    uvsig__warn(hub, &warning);
  }
}

static int deliver_counters(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  unsigned long count;
  unsigned long most;
  int calls = 0;
  int signum;

  for (signum = 1; signum < UVSIG_NSIG && !hub->closing; signum++) {
    source = hub->sources[signum];
    if (source == NULL || source->taken == 0)
      continue;
    count = source->taken;
    source->taken = 0;
    /* Somebody else's byte may have passed for one of these: never deliver
     * more than were caught. */
    most = uvsig__source_pending(source);
    calls += uvsig__source_deliver(source, count < most ? count : most);
  }
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
  if (atomic_exchange_explicit(
          &hub->wakeup.pending, 0, memory_order_acq_rel) == 0)
    return 0;
  take_counters(hub);
  return deliver_counters(hub);
}

/* Read once and deliver. Returns how many callbacks it ran, and in `*n` how
 * many bytes it read, or an error. */
static int turn(struct uvsig__hub* hub, ssize_t* n) {
  int calls;

  /* What a delivery was called from the middle of. */
  calls = decode_bytes(hub);
  if (hub->closing)
    return calls;

  *n = uvsig__wakeup_read(&hub->wakeup, hub->bytes, sizeof(hub->bytes));
  hub->at = 0;
  hub->end = *n > 0 ? (size_t) *n : 0;
  calls += decode_bytes(hub);
  if (!hub->closing && is_time_for_counters(hub, *n > 0 ? (size_t) *n : 0))
    calls += look_at_counters(hub);
  return calls;
}

/* Somebody closed the write end behind our back. Polling on would spin. */
static void give_up(struct uvsig__hub* hub, int error) {
  uv_poll_stop(&hub->poll);
  atomic_store_explicit(&hub->wakeup.error, error, memory_order_relaxed);
  atomic_store_explicit(&hub->wakeup.pending, 1, memory_order_relaxed);
  look_at_counters(hub);
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  struct uvsig__hub* hub = poll->data;
  ssize_t n = status;

  (void) events;
  uvsig__own(hub);
  if (status == 0)
    turn(hub, &n);
  if (n < 0 && !hub->closing)
    give_up(hub, (int) n);
}

static void on_prepare(uv_prepare_t* prepare) {
  struct uvsig__hub* hub = prepare->data;

  uvsig__own(hub);
  /* A dead fd wakes nobody; a loop that runs finds out here. Relaxed: if it is
   * not seen now, it is on the next turn. */
  if (atomic_load_explicit(&hub->wakeup.error, memory_order_relaxed) != 0)
    look_at_counters(hub);
}

int uvsig_flush(uvsig_t* sig) {
  struct uvsig__hub* hub;
  size_t total = 0;
  ssize_t n = 0;
  int calls = 0;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  /* No more than what can have been pending at the call. */
  do {
    calls += turn(hub, &n);
    total += n > 0 ? (size_t) n : 0;
  } while (!hub->closing && n == UVSIG__BUDGET &&
           total < hub->wakeup.capacity);
  if (!hub->closing)
    calls += look_at_counters(hub);
  return calls;
}

/* --- Init -------------------------------------------------------------------- */

void uvsig_options_init(uvsig_options_t* options) {
  if (options == NULL)
    return;
  memset(options, 0, sizeof(*options));
  options->wakeup = UVSIG_WAKEUP_PIPE;
  options->mode = UVSIG_MODE_BYTES;
  options->warn_on_full_buffer = 1;
}

static bool are_valid(const uvsig_options_t* options) {
  size_t i;

  for (i = 0; i < sizeof(options->reserved) / sizeof(*options->reserved); i++)
    if (options->reserved[i] != 0)
      return false;
  return (options->wakeup == UVSIG_WAKEUP_PIPE ||
          options->wakeup == UVSIG_WAKEUP_SOCKETPAIR) &&
         (options->mode == UVSIG_MODE_BYTES ||
          options->mode == UVSIG_MODE_WAKE_ONLY) &&
         (options->warn_on_full_buffer == 0 ||
          options->warn_on_full_buffer == 1) &&
         options->buffer_size <= INT_MAX;
}

/* The handles exist, but keep nothing alive until a watcher is started. After
 * uv_poll_init() nothing can fail: what is initialised could only be closed
 * through the loop. */
static int open_handles(struct uvsig__hub* hub, uv_loop_t* loop) {
  int err;

  err = uv_poll_init(loop, &hub->poll, hub->wakeup.read_fd);
  if (err != 0)
    return err;
  uv_prepare_init(loop, &hub->prepare);
  hub->poll.data = hub;
  hub->prepare.data = hub;
  uv_unref((uv_handle_t*) &hub->poll);
  uv_unref((uv_handle_t*) &hub->prepare);
  uv_prepare_start(&hub->prepare, on_prepare);
  uv_poll_start(&hub->poll, UV_READABLE, on_readable);
  return 0;
}

int uvsig_init(uv_loop_t* loop,
               uvsig_t* sig,
               const uvsig_options_t* options) {
  struct uvsig__hub* hub;
  uvsig_options_t defaults;
  int err;

  if (options == NULL) {
    uvsig_options_init(&defaults);
    options = &defaults;
  }
  if (loop == NULL || sig == NULL || !are_valid(options))
    return UV_EINVAL;

  hub = calloc(1, sizeof(*hub));
  if (hub == NULL)
    return UV_ENOMEM;
  hub->warn_on_full_buffer = options->warn_on_full_buffer != 0;
  hub->warning_cb = options->warning_cb;
  uvsig__own(hub);
  err = uvsig__wakeup_open(&hub->wakeup, options);
  if (err != 0)
    goto free_hub;
  err = open_handles(hub, loop);
  if (err != 0)
    goto close_wakeup;

  uvsig__enlist(hub);
  hub->sig = sig;
  sig->loop = loop;
  sig->hub = hub;
  memset(sig->reserved, 0, sizeof(sig->reserved));
  return 0;

close_wakeup:
  uvsig__wakeup_close(&hub->wakeup);
free_hub:
  free(hub);
  return err;
}

/* --- Close -------------------------------------------------------------------- */

static void finish(struct uvsig__hub* hub) {
  uvsig_close_cb close_cb = hub->close_cb;
  uvsig_t* sig = hub->sig;
  int signum;

  uvsig__delist(hub);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    free(hub->sources[signum]);
  free(hub);
  /* The last access: from the callback on it is the user's. */
  sig->hub = NULL;
  if (close_cb != NULL)
    close_cb(sig);
}

static void on_closed(uv_handle_t* handle) {
  struct uvsig__hub* hub = handle->data;

  if (--hub->open == 0)
    finish(hub);
}

/* Once round is not enough: libuv finishes the handles of a round in the
 * reverse order, so that this one comes before what was closed earlier. */
static void on_last_closed(uv_handle_t* handle) {
  struct uvsig__hub* hub = handle->data;

  uv_timer_init(handle->loop, &hub->last);
  uv_close(handle, on_closed);
}

static void close_handle(struct uvsig__hub* hub, uv_handle_t* handle) {
  if (uv_is_closing(handle))
    return;
  hub->open++;
  uv_close(handle, on_closed);
}

/* A program that closes whatever uv_walk() finds may have closed ours, with a
 * callback of its own or none. Then a handle that it cannot have found tells
 * when they are done. */
static void close_handles(struct uvsig__hub* hub) {
  close_handle(hub, (uv_handle_t*) &hub->poll);
  close_handle(hub, (uv_handle_t*) &hub->prepare);
  if (hub->open < 2) {
    hub->open++;
    uv_timer_init(hub->sig->loop, &hub->last);
    hub->last.data = hub;
    uv_close((uv_handle_t*) &hub->last, on_last_closed);
  }
}

int uvsig_close(uvsig_t* sig, uvsig_close_cb cb) {
  struct uvsig__hub* hub;
  int signum;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err == UV_EINVAL && sig != NULL && sig->hub != NULL)
    return UV_EALREADY;
  if (err != 0)
    return err;

  hub->closing = true;
  hub->close_cb = cb;
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (hub->sources[signum] != NULL)
      uvsig__source_abandon(hub->sources[signum]);
  /* From here no handler can reach the fds or the counters. */
  uvsig__synchronize();
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (hub->sources[signum] != NULL)
      uvsig__source_discard(hub->sources[signum]);

  /* In this order: libuv forgets the fd before the number is free again. */
  close_handles(hub);
  uvsig__wakeup_close(&hub->wakeup);
  return 0;
}

/* --- Stats -------------------------------------------------------------------- */

static void add_source(uvsig_stats_t* stats,
                       const struct uvsig__source* source) {
  stats->delivered += source->delivered;
  stats->discarded += source->discarded;
  stats->caught += source->delivered + source->discarded +
                   uvsig__source_pending(source);
  stats->coalesced += source->coalesced;
  stats->full_buffers += source->full_buffers;
  stats->replaced += source->replaced;
}

void uvsig_stats(const uvsig_t* sig, int signum, uvsig_stats_t* out) {
  struct uvsig__hub* hub;

  if (out == NULL)
    return;
  memset(out, 0, sizeof(*out));
  if (sig == NULL || sig->hub == NULL || signum < 0 || signum >= UVSIG_NSIG)
    return;
  hub = sig->hub;
  if (!uvsig__owns(hub))
    return;
  if (signum != 0) {
    if (hub->sources[signum] != NULL)
      add_source(out, hub->sources[signum]);
    return;
  }
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (hub->sources[signum] != NULL)
      add_source(out, hub->sources[signum]);
  out->junk = hub->junk;
  out->full_buffers = hub->full_buffers;
}
