/* SPDX-License-Identifier: MIT
 *
 * Start and stop of a signal's first watcher, and of a further one while
 * another is started.
 */

#include "bench.h"

static void ignore(struct side* side) {
  (void) side;
}

static void start_stop(const struct bench* bench,
                       const struct peer* peer,
                       struct result* result) {
  struct side side;
  struct span span;
  unsigned i;

  open_side(&side, peer, ignore);
  peer->prepare(&side, SIGUSR1, 2);
  if (bench->n > 0)
    peer->start(&side, 1);
  peer->start(&side, 0);
  peer->stop(&side, 0);
  span_begin(&span);
  for (i = 0; i < bench->repeats; i++) {
    peer->start(&side, 0);
    peer->stop(&side, 0);
  }
  span_end(&span);
  set_time(result, &span, bench->repeats);
}

const struct bench start_benches[] = {
    {.workload = "start-stop",
     .variant = "first",
     .figures = {"time"},
     .unit = "ns",
     .measure = start_stop,
     .needs = CAN_LOOP | CAN_RESTART,
     .n = 0,
     .repeats = 2000,
     .rounds = 2,
     .against = &uv_signal},
    {.workload = "start-stop",
     .variant = "further",
     .figures = {"time"},
     .unit = "ns",
     .measure = start_stop,
     .needs = CAN_LOOP | CAN_RESTART | CAN_MANY,
     .n = 1,
     .repeats = 2000,
     .rounds = 2,
     .against = &uv_signal},
    {.workload = NULL}};
