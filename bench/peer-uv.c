/* SPDX-License-Identifier: MIT
 *
 * The library itself, in its modes, and libuv's uv_signal_t: the two that are
 * in every comparison.
 */

#include "bench.h"

#include <uvsig.h>

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
#define UV_VERSION                                                             \
 TEXT(UV_VERSION_MAJOR) "." TEXT(UV_VERSION_MINOR) "." TEXT(UV_VERSION_PATCH)

/* --- Any uv loop ---------------------------------------------------------- */

static uv_loop_t* open_loop(struct side* side) {
  uv_loop_t* loop = allocate(1, sizeof(*loop));

  check(uv_loop_init(loop), "uv_loop_init");
  side->loop = loop;
  return loop;
}

static void loop_turn(struct side* side, bool wait) {
  uv_run(side->loop, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

static void loop_run(struct side* side) {
  uv_run(side->loop, UV_RUN_DEFAULT);
}

static void loop_leave(struct side* side) {
  uv_stop(side->loop);
}

/* --- libuvsig ------------------------------------------------------------- */

struct options {
  uvsig_wakeup_t wakeup;
  uvsig_mode_t mode;
  unsigned depth;
  unsigned flags; /* of its watchers */
};

static void on_uvsig(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  struct side* side = w->data;

  (void) signum;
  side->has_value = info->flags == 0;
  side->value = (intptr_t) info->value.sival_ptr;
  caught(side, info->count);
}

static void uvsig_open(struct side* side) {
  const struct options* options = side->peer->options;
  uvsig_t* sig = allocate(1, sizeof(*sig));
  uvsig_options_t wanted;

  uvsig_options_init(&wanted);
  wanted.wakeup = options->wakeup;
  wanted.mode = options->mode;
  wanted.info_depth = options->depth;
  wanted.warn_on_full_buffer = 0;
  check(uvsig_init(open_loop(side), sig, &wanted), "uvsig_init");
  side->hub = sig;
}

static void uvsig_prepare(struct side* side, int signum, unsigned n) {
  const struct options* options = side->peer->options;
  uvsig_watcher_t* watchers = allocate(n, sizeof(*watchers));
  unsigned i;

  side->signum = signum;
  side->watchers = watchers;
  for (i = 0; i < n; i++) {
    check(uvsig_watcher_init(side->hub, &watchers[i]), "uvsig_watcher_init");
    check(uvsig_watcher_set_flags(&watchers[i], options->flags),
          "uvsig_watcher_set_flags");
    watchers[i].data = side;
  }
}

static void uvsig_start(struct side* side, unsigned i) {
  uvsig_watcher_t* watchers = side->watchers;

  check(uvsig_watcher_start(&watchers[i], on_uvsig, side->signum),
        "uvsig_watcher_start");
}

static void uvsig_stop(struct side* side, unsigned i) {
  uvsig_watcher_t* watchers = side->watchers;

  check(uvsig_watcher_stop(&watchers[i]), "uvsig_watcher_stop");
}

#define UVSIG_CAN                                                              \
 (CAN_LOOP | CAN_MANY | CAN_THREADS | CAN_REALTIME | CAN_RESTART)
#define UVSIG_PEER(name_, wakeup_, mode_, depth_)                              \
 UVSIG_FLAGGED_PEER(name_, wakeup_, mode_, depth_, 0)
#define UVSIG_FLAGGED_PEER(name_, wakeup_, mode_, depth_, flags_)              \
 {                                                                             \
  .name = name_, .version = PACKAGE_VERSION, .flags = UVSIG_CAN,               \
  .options = &(const struct options){wakeup_, mode_, depth_, flags_},          \
  .open = uvsig_open, .prepare = uvsig_prepare, .start = uvsig_start,          \
  .stop = uvsig_stop, .turn = loop_turn, .run = loop_run, .leave = loop_leave  \
 }

const struct peer uvsig_bytes =
    UVSIG_PEER("uvsig bytes", UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 64);
const struct peer uvsig_wake_only =
    UVSIG_PEER("uvsig wake-only", UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY, 64);
const struct peer uvsig_bytes_no_info = UVSIG_PEER(
    "uvsig bytes without siginfo", UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 0);
const struct peer uvsig_wake_only_no_info =
    UVSIG_PEER("uvsig wake-only without siginfo",
               UVSIG_WAKEUP_PIPE,
               UVSIG_MODE_WAKE_ONLY,
               0);
const struct peer uvsig_signalfd =
    UVSIG_PEER("uvsig signalfd", UVSIG_WAKEUP_SIGNALFD, UVSIG_MODE_BYTES, 64);
const struct peer uvsig_bytes_chain =
    UVSIG_FLAGGED_PEER("uvsig bytes, UVSIG_CHAIN",
                       UVSIG_WAKEUP_PIPE,
                       UVSIG_MODE_BYTES,
                       64,
                       UVSIG_CHAIN);

/* --- uv_signal_t ---------------------------------------------------------- */

static void on_uv_signal(uv_signal_t* handle, int signum) {
  (void) signum;
  caught(handle->data, 1);
}

static void uv_signal_open(struct side* side) {
  open_loop(side);
}

static void uv_signal_prepare(struct side* side, int signum, unsigned n) {
  uv_signal_t* handles = allocate(n, sizeof(*handles));
  unsigned i;

  side->signum = signum;
  side->watchers = handles;
  for (i = 0; i < n; i++) {
    check(uv_signal_init(side->loop, &handles[i]), "uv_signal_init");
    handles[i].data = side;
  }
}

static void uv_signal_start_one(struct side* side, unsigned i) {
  uv_signal_t* handles = side->watchers;

  check(uv_signal_start(&handles[i], on_uv_signal, side->signum),
        "uv_signal_start");
}

static void uv_signal_stop_one(struct side* side, unsigned i) {
  uv_signal_t* handles = side->watchers;

  check(uv_signal_stop(&handles[i]), "uv_signal_stop");
}

const struct peer uv_signal = {
    .name = "uv_signal_t",
    .version = UV_VERSION,
    .flags = CAN_LOOP | CAN_MANY | CAN_THREADS | CAN_REALTIME | CAN_RESTART,
    .open = uv_signal_open,
    .prepare = uv_signal_prepare,
    .start = uv_signal_start_one,
    .stop = uv_signal_stop_one,
    .turn = loop_turn,
    .run = loop_run,
    .leave = loop_leave};
