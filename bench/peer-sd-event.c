/* SPDX-License-Identifier: MIT
 *
 * sd-event: no handler, the signal is blocked and read from a signalfd. One
 * source for each signal of a loop.
 */

#include "bench.h"

#include <systemd/sd-event.h>

static int on_signal(sd_event_source* source,
                     const struct signalfd_siginfo* info,
                     void* data) {
  struct side* side = data;

  (void) source;
  side->has_value = true;
  side->value = (intptr_t) info->ssi_ptr;
  caught(side, 1);
  return 0;
}

static void open_loop(struct side* side) {
  sd_event* event;

  check(sd_event_new(&event), "sd_event_new");
  side->loop = event;
}

static void prepare(struct side* side, int signum, unsigned n) {
  sigset_t set;

  (void) n;
  side->signum = signum;
  sigemptyset(&set);
  sigaddset(&set, signum);
  check_errno(sigprocmask(SIG_BLOCK, &set, NULL), "sigprocmask");
}

static void start(struct side* side, unsigned i) {
  sd_event_source* source;

  (void) i;
  check(sd_event_add_signal(side->loop, &source, side->signum, on_signal, side),
        "sd_event_add_signal");
  side->watchers = source;
}

static void stop(struct side* side, unsigned i) {
  (void) i;
  sd_event_source_disable_unref(side->watchers);
}

static void turn(struct side* side, bool wait) {
  sd_event_run(side->loop, wait ? UINT64_MAX : 0);
}

static void run(struct side* side) {
  side->left = false;
  while (!side->left)
    sd_event_run(side->loop, UINT64_MAX);
}

static void leave(struct side* side) {
  side->left = true;
}

const struct peer peer_sd_event = {
    .name = "sd-event",
    .version = SD_EVENT_MODVERSION,
    .flags = CAN_LOOP | CAN_REALTIME | CAN_RESTART,
    .open = open_loop,
    .prepare = prepare,
    .start = start,
    .stop = stop,
    .turn = turn,
    .run = run,
    .leave = leave};
