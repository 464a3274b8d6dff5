/* SPDX-License-Identifier: MIT
 *
 * libev's ev_signal, as it is by default: a handler that sets a flag and writes
 * to an eventfd unless the loop is awake.
 */

#include "bench.h"

#include <ev.h>

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

static void on_signal(struct ev_loop* loop, ev_signal* watcher, int events) {
  (void) loop;
  (void) events;
  caught(watcher->data, 1);
}

static void open_loop(struct side* side) {
  side->loop = ev_loop_new(EVFLAG_AUTO);
  check(side->loop != NULL ? 0 : -1, "ev_loop_new");
}

static void prepare(struct side* side, int signum, unsigned n) {
  ev_signal* watchers = allocate(n, sizeof(*watchers));
  unsigned i;

  side->signum = signum;
  side->watchers = watchers;
  for (i = 0; i < n; i++) {
    ev_signal_init(&watchers[i], on_signal, signum);
    watchers[i].data = side;
  }
}

static void start(struct side* side, unsigned i) {
  ev_signal* watchers = side->watchers;

  ev_signal_start(side->loop, &watchers[i]);
}

static void stop(struct side* side, unsigned i) {
  ev_signal* watchers = side->watchers;

  ev_signal_stop(side->loop, &watchers[i]);
}

static void turn(struct side* side, bool wait) {
  ev_run(side->loop, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
}

static void run(struct side* side) {
  ev_run(side->loop, 0);
}

static void leave(struct side* side) {
  ev_break(side->loop, EVBREAK_ONE);
}

const struct peer peer_libev = {
    .name = "libev",
    .version = TEXT(EV_VERSION_MAJOR) "." TEXT(EV_VERSION_MINOR),
    .flags = CAN_LOOP | CAN_MANY | CAN_REALTIME | CAN_RESTART,
    .open = open_loop,
    .prepare = prepare,
    .start = start,
    .stop = stop,
    .turn = turn,
    .run = run,
    .leave = leave};
