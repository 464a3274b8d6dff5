/* SPDX-License-Identifier: MIT
 *
 * libevent's evsignal: a handler that writes the signal's number to a pipe.
 */

#include "bench.h"

#include <event2/event.h>

static void on_signal(evutil_socket_t signum, short events, void* data) {
  (void) signum;
  (void) events;
  caught(data, 1);
}

static void open_loop(struct side* side) {
  side->loop = event_base_new();
  check(side->loop != NULL ? 0 : -1, "event_base_new");
}

static void prepare(struct side* side, int signum, unsigned n) {
  struct event** events = allocate(n, sizeof(*events));
  unsigned i;

  side->signum = signum;
  side->watchers = events;
  for (i = 0; i < n; i++) {
    events[i] = evsignal_new(side->loop, signum, on_signal, side);
    check(events[i] != NULL ? 0 : -1, "evsignal_new");
  }
}

static void start(struct side* side, unsigned i) {
  struct event** events = side->watchers;

  check(evsignal_add(events[i], NULL), "evsignal_add");
}

static void stop(struct side* side, unsigned i) {
  struct event** events = side->watchers;

  check(evsignal_del(events[i]), "evsignal_del");
}

static void turn(struct side* side, bool wait) {
  event_base_loop(side->loop, wait ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
}

static void run(struct side* side) {
  event_base_dispatch(side->loop);
}

static void leave(struct side* side) {
  event_base_loopbreak(side->loop);
}

const struct peer peer_libevent = {
    .name = "libevent",
    .version = LIBEVENT_MODVERSION,
    .flags = CAN_LOOP | CAN_MANY | CAN_REALTIME | CAN_RESTART,
    .open = open_loop,
    .prepare = prepare,
    .start = start,
    .stop = stop,
    .turn = turn,
    .run = run,
    .leave = leave};
