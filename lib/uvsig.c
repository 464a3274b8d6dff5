/* SPDX-License-Identifier: MIT
 *
 * uvsig_t: its life from init to close, and its counts. Runs in the loop
 * thread.
 */

#include "dispatch.h"
#include "queue.h"
#include "signalfd.h"
#include "source.h"
#include "wakeup.h"

#include <limits.h>
#include <stdlib.h>

/* --- Init ----------------------------------------------------------------- */

void uvsig_options_init(uvsig_options_t* options) {
  if (options == NULL)
    return;
  memset(options, 0, sizeof(*options));
  options->mark = UVSIG__MARK;
  options->wakeup = UVSIG_WAKEUP_PIPE;
  options->mode = UVSIG_MODE_BYTES;
  options->warn_on_full_buffer = 1;
  options->info_depth = 64;
}

/* Sender slots of one signal, at most: about 10 MB. */
#define DEEPEST 65536

static bool are_valid(const uvsig_options_t* options) {
  return UVSIG__ARE_SET(options) &&
         (unsigned) options->wakeup <= UVSIG_WAKEUP_SIGNALFD &&
         (unsigned) options->mode <= UVSIG_MODE_WAKE_ONLY &&
         (unsigned) options->warn_on_full_buffer <= 1 &&
         options->buffer_size <= INT_MAX && options->info_depth <= DEEPEST &&
         (unsigned) options->time_stamps <= 1;
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
  uv_timer_init(loop, &hub->wait_timer);
  hub->poll.data = hub;
  hub->prepare.data = hub;
  hub->wait_timer.data = hub;
  uv_unref((uv_handle_t*) &hub->poll);
  uv_unref((uv_handle_t*) &hub->prepare);
  uv_prepare_start(&hub->prepare, uvsig__on_prepare);
  uv_poll_start(&hub->poll, UV_READABLE, uvsig__on_readable);
  return 0;
}

static int open_hub(struct uvsig__hub* hub, uv_loop_t* loop) {
  int err = 0;

  if (hub->options.wakeup == UVSIG_WAKEUP_SIGNALFD)
    err = uvsig__signalfd_open(&hub->queue, uvsig__on_queue);
  if (err != 0)
    return err;
  err = uvsig__wakeup_open(&hub->wakeup, &hub->options);
  if (err != 0)
    goto close_queue;
  err = open_handles(hub, loop);
  if (err == 0)
    return 0;

  uvsig__wakeup_close(&hub->wakeup);
close_queue:
  if (hub->queue != NULL)
    uvsig__signalfd_close(hub->queue);
  free(hub->queue);
  return err;
}

int uvsig_init(uv_loop_t* loop, uvsig_t* sig, const uvsig_options_t* options) {
  struct uvsig__hub* hub;
  uvsig_options_t defaults;
  unsigned depth;
  int err;

  if (options == NULL) {
    uvsig_options_init(&defaults);
    options = &defaults;
  }
  if (loop == NULL || sig == NULL || !are_valid(options))
    return UV_EINVAL;

  err = uvsig__prepare_for_forks();
  if (err == 0)
    err = uvsig__note_thread();
  if (err != 0)
    return err;
  hub = calloc(1, sizeof(*hub));
  if (hub == NULL)
    return UV_ENOMEM;
  hub->options = *options;
  /* 0 or a power of two, the next larger one: its lowest bit carries. */
  for (depth = options->info_depth; (depth & (depth - 1)) != 0;)
    depth += depth & -depth;
  hub->options.info_depth = depth;
  uvsig__own(hub);
  err = open_hub(hub, loop);
  if (err != 0) {
    free(hub);
    return err;
  }
  sig->loop = loop;
  sig->hub = hub;
  hub->sig = sig;
  uvsig__enlist(hub, uvsig__begin_child);
  memset(sig->reserved, 0, sizeof(sig->reserved));
  return 0;
}

/* --- Close ---------------------------------------------------------------- */

static bool has_handle(const void* owner, const uv_handle_t* handle) {
  const struct uvsig__hub* hub = owner;
  const struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    if (handle == (const uv_handle_t*) &source->share)
      return true;
  return handle == (const uv_handle_t*) &hub->poll ||
         (hub->queue != NULL &&
          handle == (const uv_handle_t*) &hub->queue->poll) ||
         handle == (const uv_handle_t*) &hub->prepare ||
         handle == (const uv_handle_t*) &hub->wait_timer ||
         handle == (const uv_handle_t*) &hub->ending.last;
}

static void free_hub(void* owner) {
  struct uvsig__hub* hub = owner;
  uvsig_close_cb close_cb = hub->close_cb;
  uvsig_t* sig = hub->sig;
  int signum;

  uvsig__cancel_waits(hub);
  uvsig__delist(hub);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    free(hub->sources[signum]);
  free(hub->queue);
  free(hub);
  /* The last access: from the callback on it is the user's. */
  sig->hub = NULL;
  if (close_cb != NULL)
    close_cb(sig);
}

static void close_handles(struct uvsig__hub* hub) {
  struct uvsig__source* source;

  hub->ending.owner = hub;
  hub->ending.has = has_handle;
  hub->ending.done = free_hub;
  uvsig__closing_start(&hub->ending, hub->sig->loop, 1);
  uvsig__close_handle((uv_handle_t*) &hub->poll);
  if (hub->queue != NULL && hub->queue->is_polled)
    uvsig__close_handle((uv_handle_t*) &hub->queue->poll);
  uvsig__close_handle((uv_handle_t*) &hub->prepare);
  uvsig__close_handle((uv_handle_t*) &hub->wait_timer);
  for (source = hub->first; source != NULL; source = source->after)
    if (source->share.loop != NULL)
      uvsig__close_handle((uv_handle_t*) &source->share);
}

static void close_fds(struct uvsig__hub* hub) {
  uvsig__wakeup_close(&hub->wakeup);
  if (hub->queue != NULL)
    uvsig__signalfd_close(hub->queue);
}

/* The child of a fork shares its parent's poller until uv_loop_fork(). */
static bool has_parents_poller(const struct uvsig__hub* hub) {
  return hub->inherited && !hub->has_own_poller && uvsig__is_polled(hub);
}

int uvsig_close(uvsig_t* sig, uvsig_close_cb cb) {
  struct uvsig__hub* hub;
  struct uvsig__source* source;
  bool is_shared;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err == UV_EINVAL && sig != NULL && sig->hub != NULL)
    return UV_EALREADY;
  if (err != 0)
    return err;
  if (hub->components != NULL)
    return UV_EBUSY;

  uvsig__stop_itimers(hub);
  hub->closing = true;
  hub->close_cb = cb;
  for (source = hub->first; source != NULL; source = source->after)
    while (source->first != NULL)
      uvsig__source_stop(source, source->first);

  /* No handler can reach the fds or the counters any more. In this order: libuv
   * forgets the fd before the number is free again. But it takes the fd out of
   * the poller, and out of the parent's it must not: from a closed one it
   * cannot. */
  is_shared = has_parents_poller(hub);
  if (is_shared)
    close_fds(hub);
  close_handles(hub);
  if (!is_shared)
    close_fds(hub);
  return 0;
}

/* --- What is whose -------------------------------------------------------- */

int uvsig_is_loop_thread(const uvsig_t* sig) {
  struct uvsig__hub* hub;

  return uvsig__hub_of(sig, &hub) == 0;
}

int uvsig_has_handle(const uvsig_t* sig, const uv_handle_t* handle) {
  const struct uvsig__hub* hub;
  const struct uvsig__component* component;

  if (sig == NULL || sig->hub == NULL || handle == NULL)
    return 0;
  hub = sig->hub;
  for (component = hub->components; component != NULL;
       component = component->next)
    if (uvsig__has(component, handle))
      return 1;
  return has_handle(hub, handle);
}

/* Of several the oldest, which is the last. The loop of another one is that of
 * another thread, perhaps, but does not change. */
uvsig_t* uvsig_of_loop(const uv_loop_t* loop) {
  const struct uvsig__hub* hub;
  uvsig_t* found = NULL;

  uvsig__lock();
  for (hub = uvsig__hubs; hub != NULL; hub = hub->next)
    if (hub->sig->loop == loop && !hub->closing)
      found = hub->sig;
  uvsig__unlock();
  return found;
}

/* --- Stats ---------------------------------------------------------------- */

static void add_source(uvsig_stats_t* stats,
                       const struct uvsig__source* source) {
  stats->delivered += source->stats.delivered;
  stats->discarded += source->stats.discarded;
  stats->caught += source->stats.delivered + source->stats.discarded +
                   uvsig__source_pending(source);
  stats->coalesced += source->stats.coalesced;
  stats->full_buffers += source->stats.full_buffers;
  stats->replaced += source->stats.replaced;
  stats->info_dropped += source->stats.info_dropped;
  if (source->stats.max_latency_ns > stats->max_latency_ns)
    stats->max_latency_ns = source->stats.max_latency_ns;
}

void uvsig_stats(const uvsig_t* sig, int signum, uvsig_stats_t* out) {
  const struct uvsig__source* source;
  struct uvsig__hub* hub;

  if (out == NULL)
    return;
  memset(out, 0, sizeof(*out));
  if (sig == NULL || sig->hub == NULL)
    return;
  hub = sig->hub;
  if (!uvsig__owns(hub))
    return;
  for (source = hub->first; source != NULL; source = source->after)
    if (signum == 0 || source->sub.signum == signum)
      add_source(out, source);
  if (signum == 0) {
    out->junk = hub->junk;
    out->full_buffers = hub->full_buffers;
  }
}
