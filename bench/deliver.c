/* SPDX-License-Identifier: MIT
 *
 * Signals that a thread sends to itself, one after another or many at once:
 * ping, chain, burst, watchers, realtime, siginfo.
 */

#include "bench.h"

#include <string.h>
#include <unistd.h>

enum {
  WARM = 500,             /* signals before what is measured */
  PATIENCE_NS = 200000000 /* after which nobody else is told */
};

static void count_only(struct side* side) {
  (void) side;
}

/* --- ping: each callback raises the next signal --------------------------- */

static void on_ping(struct side* side) {
  if (side->left_to_send > 0) {
    side->left_to_send--;
    raise(side->signum);
  } else {
    side->peer->leave(side);
  }
}

static void send_pings(struct side* side, uint64_t n) {
  side->left_to_send = n - 1;
  raise(side->signum);
  side->peer->run(side);
}

static void ping(const struct bench* bench,
                 const struct peer* peer,
                 struct result* result) {
  struct side side;
  struct span span;

  open_side(&side, peer, on_ping);
  watch(&side, SIGUSR1, 1);
  send_pings(&side, WARM);
  side.delivered = 0;
  span_begin(&span);
  send_pings(&side, bench->repeats);
  span_end(&span);
  set_time(result, &span, bench->repeats);
  result->sent = bench->repeats;
  result->delivered = side.delivered;
}

/* --- chain: ping with a previous handler ---------------------------------- */

static void do_nothing(int signum) {
  (void) signum;
}

static void chain(const struct bench* bench,
                  const struct peer* peer,
                  struct result* result) {
  struct sigaction action = {.sa_handler = do_nothing};

  check_errno(sigaction(SIGUSR1, &action, NULL), "sigaction");
  ping(bench, peer, result);
}

static const struct peer* const chain_pair[] = {
    &uvsig_bytes, &uvsig_bytes_chain, NULL};

/* --- burst: many are raised before the loop is run ------------------------ */

static void send_burst(struct side* side, unsigned n) {
  uint64_t expected = side->delivered + n;
  unsigned i;

  for (i = 0; i < n; i++)
    raise(side->signum);
  if ((side->peer->flags & CAN_LOOP) != 0)
    drain(side, expected);
}

static void burst(const struct bench* bench,
                  const struct peer* peer,
                  struct result* result) {
  struct side side;
  struct span span;
  unsigned i;

  open_side(&side, peer, count_only);
  watch(&side, SIGUSR1, 1);
  send_burst(&side, WARM);
  side.delivered = 0;
  span_begin(&span);
  for (i = 0; i < bench->repeats; i++)
    send_burst(&side, bench->n);
  span_end(&span);
  result->sent = (uint64_t) bench->n * bench->repeats;
  set_time(result, &span, (double) result->sent);
  result->delivered =
      (peer->flags & CAN_LOOP) != 0 ? side.delivered : result->sent;
}

/* --- watchers: many on one signal ----------------------------------------- */

/* Before what is measured: how many are told, of `n`. Not all of them are where
 * a peer's buffer has no room for each, and the rest must not be waited for. */
static uint64_t find_told(struct side* side, unsigned n) {
  uint64_t last;
  uint64_t before;

  raise(side->signum);
  last = now();
  while (side->delivered < n && now() < last + PATIENCE_NS) {
    before = side->delivered;
    side->peer->turn(side, false);
    if (side->delivered != before)
      last = now();
  }
  return side->delivered;
}

/* Sleeping, since a peer's own thread may have to come to all of them. */
static void send_to_all(struct side* side, uint64_t told) {
  uint64_t expected = side->delivered + told;

  raise(side->signum);
  while (side->delivered < expected)
    side->peer->turn(side, true);
}

static void watchers(const struct bench* bench,
                     const struct peer* peer,
                     struct result* result) {
  struct side side;
  struct span span;
  uint64_t told;
  unsigned i;

  open_side(&side, peer, count_only);
  watch(&side, SIGUSR1, bench->n);
  told = find_told(&side, bench->n);
  side.delivered = 0;
  span_begin(&span);
  for (i = 0; i < bench->repeats; i++)
    send_to_all(&side, told);
  span_end(&span);
  set_time(result, &span, bench->repeats);
  result->sent = (uint64_t) bench->n * bench->repeats;
  result->delivered = side.delivered;
}

/* --- realtime: a burst with values ---------------------------------------- */

struct values {
  intptr_t next;
  uint64_t in_order;
};

static void on_value(struct side* side) {
  struct values* values = side->data;

  if (side->has_value && side->value >= values->next) {
    values->in_order++;
    values->next = side->value + 1;
  }
}

static void send_values(struct side* side, unsigned n, unsigned from) {
  uint64_t expected = side->delivered + n;
  union sigval value;
  pid_t self = getpid();
  unsigned i;

  for (i = 0; i < n; i++) {
    memset(&value, 0, sizeof(value));
    value.sival_ptr = (void*) (uintptr_t) (from + i);
    check_errno(sigqueue(self, side->signum, value), "sigqueue");
  }
  drain(side, expected);
}

static void realtime(const struct bench* bench,
                     const struct peer* peer,
                     struct result* result) {
  struct values values = {1, 0};
  struct side side;
  struct span span;
  unsigned i;

  open_side(&side, peer, on_value);
  side.data = &values;
  watch(&side, SIGRTMIN + 1, 1);
  send_values(&side, bench->n, 1);
  side.delivered = 0;
  values.in_order = 0;
  span_begin(&span);
  for (i = 1; i <= bench->repeats; i++)
    send_values(&side, bench->n, i * bench->n + 1);
  span_end(&span);
  result->sent = (uint64_t) bench->n * bench->repeats;
  set_time(result, &span, (double) result->sent);
  result->delivered = side.delivered;
  result->told = values.in_order;
}

/* --- siginfo: what keeping the sender costs ------------------------------- */

static const struct peer* const bytes_pair[] = {
    &uvsig_bytes, &uvsig_bytes_no_info, NULL};
static const struct peer* const wake_only_pair[] = {
    &uvsig_wake_only, &uvsig_wake_only_no_info, NULL};

#define TIME .figures = {"time"}, .unit = "ns"
#define WATCHERS(variant_, n_, repeats_)                                       \
 {                                                                             \
  .workload = "watchers", .variant = variant_, TIME, .measure = watchers,      \
  .needs = CAN_LOOP | ((n_) > 1 ? CAN_MANY : 0), .n = n_, .repeats = repeats_, \
  .against = &uv_signal                                                        \
 }
#define SIGINFO(variant_, measure_, n_, repeats_, pair_, against_)             \
 {                                                                             \
  .workload = "siginfo", .variant = variant_, TIME, .measure = measure_,       \
  .n = n_, .repeats = repeats_, .rounds = 2, .against = against_,              \
  .only = pair_                                                                \
 }

const struct bench deliver_benches[] = {
    {.workload = "ping",
     .variant = "",
     TIME,
     .measure = ping,
     .needs = CAN_LOOP,
     .with_floors = true,
     .repeats = 5000,
     .rounds = 6,
     .against = &uv_signal},
    {.workload = "chain",
     .variant = "",
     TIME,
     .measure = chain,
     .repeats = 5000,
     .rounds = 2,
     .against = &uvsig_bytes,
     .only = chain_pair},
    {.workload = "burst",
     .variant = "3,000",
     TIME,
     .measure = burst,
     .with_floors = true,
     .n = 3000,
     .repeats = 8,
     .rounds = 4,
     .against = &uv_signal},
    {.workload = "burst",
     .variant = "100,000",
     TIME,
     .measure = burst,
     .needs = CAN_LOOP,
     .with_floors = true,
     .n = 100000,
     .repeats = 1,
     .against = &uv_signal},
    WATCHERS("1", 1, 5000),
    WATCHERS("10", 10, 2000),
    WATCHERS("100", 100, 500),
    WATCHERS("1,000", 1000, 60),
    WATCHERS("10,000", 10000, 8),
    {.workload = "realtime",
     .variant = "50",
     TIME,
     .measure = realtime,
     .needs = CAN_LOOP | CAN_REALTIME,
     .n = 50,
     .repeats = 100,
     .against = &uv_signal},
    {.workload = "realtime",
     .variant = "1,000",
     TIME,
     .measure = realtime,
     .needs = CAN_LOOP | CAN_REALTIME,
     .n = 1000,
     .repeats = 24,
     .rounds = 2,
     .against = &uv_signal},
    {.workload = "realtime",
     .variant = "3,000",
     TIME,
     .measure = realtime,
     .needs = CAN_LOOP | CAN_REALTIME,
     .n = 3000,
     .repeats = 3,
     .against = &uv_signal},
    SIGINFO("ping, bytes", ping, 0, 12000, bytes_pair, &uvsig_bytes_no_info),
    SIGINFO("ping, wake-only",
            ping,
            0,
            12000,
            wake_only_pair,
            &uvsig_wake_only_no_info),
    SIGINFO("burst of 3,000, bytes",
            burst,
            3000,
            6,
            bytes_pair,
            &uvsig_bytes_no_info),
    SIGINFO("burst of 3,000, wake-only",
            burst,
            3000,
            6,
            wake_only_pair,
            &uvsig_wake_only_no_info),
    {.workload = NULL}};
