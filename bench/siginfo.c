/* SPDX-License-Identifier: MIT
 *
 * What it costs to keep the sender of each signal: time per signal with
 * info_depth 64 against 0, as a ratio of the medians of interleaved rounds in
 * one run. `make bench` builds and runs it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <uvsig.h>

enum { ROUNDS = 31, PINGS = 20000, BURST = 3000, TURNS = 7 };

static void check(int err, const char* what) {
  if (err < 0) {
    fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
    exit(1);
  }
}

/* One loop for each of the two. */
struct side {
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_watcher_t watcher;
  unsigned long signals;
  unsigned long known;
  unsigned long
      pings; /* still to send, each in the callback of the one before */
  double times[ROUNDS];
};

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  struct side* side = w->data;

  side->signals += info->count;
  side->known += info->flags == 0;
  if (side->pings > 0) {
    side->pings--;
    uvsig_raise_signal(signum);
  }
}

static void open_side(struct side* side, uvsig_mode_t mode, unsigned depth) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = mode;
  options.info_depth = depth;
  check(uv_loop_init(&side->loop), "uv_loop_init");
  check(uvsig_init(&side->loop, &side->sig, &options), "uvsig_init");
  side->signals = 0;
  side->known = 0;
  side->pings = 0;
  side->watcher.data = side;
  check(uvsig_watcher_init(&side->sig, &side->watcher), "uvsig_watcher_init");
}

static void close_side(struct side* side) {
  check(uvsig_close(&side->sig, NULL), "uvsig_close");
  uv_run(&side->loop, UV_RUN_DEFAULT);
  check(uv_loop_close(&side->loop), "uv_loop_close");
}

static void run_until(struct side* side, unsigned long expected) {
  while (side->signals < expected)
    uv_run(&side->loop, UV_RUN_ONCE);
}

static void ping(struct side* side) {
  unsigned long expected = side->signals + PINGS;

  side->pings = PINGS - 1;
  uvsig_raise_signal(SIGUSR1);
  run_until(side, expected);
}

static void burst(struct side* side) {
  int turn;
  int i;

  for (turn = 0; turn < TURNS; turn++) {
    for (i = 0; i < BURST; i++)
      uvsig_raise_signal(SIGUSR1);
    run_until(side, side->signals + BURST);
  }
}

/* Only the side that is measured watches: a handler serves all loops. */
static double measure(struct side* side, void (*work)(struct side*)) {
  unsigned long before = side->signals;
  uint64_t begin;
  uint64_t end;

  check(uvsig_watcher_start(&side->watcher, on_signal, SIGUSR1),
        "uvsig_watcher_start");
  begin = uv_hrtime();
  work(side);
  end = uv_hrtime();
  check(uvsig_watcher_stop(&side->watcher), "uvsig_watcher_stop");
  return (double) (end - begin) / (double) (side->signals - before);
}

static int compare(const void* a, const void* b) {
  double x = *(const double*) a;
  double y = *(const double*) b;

  return x < y ? -1 : x > y;
}

static void run(const char* name,
                uvsig_mode_t mode,
                void (*work)(struct side*)) {
  static struct side with, without;
  double ratios[ROUNDS];
  int i;

  open_side(&with, mode, 64);
  open_side(&without, mode, 0);
  measure(&with, work); /* warm */
  measure(&without, work);
  for (i = 0; i < ROUNDS; i++) {
    with.times[i] = measure(&with, work);
    without.times[i] = measure(&without, work);
    ratios[i] = with.times[i] / without.times[i];
  }
  qsort(with.times, ROUNDS, sizeof(double), compare);
  qsort(without.times, ROUNDS, sizeof(double), compare);
  qsort(ratios, ROUNDS, sizeof(double), compare);
  printf("| %s | %.0f ns | %.0f ns | %.3f | %.3f to %.3f | %.0f %% |\n",
         name,
         with.times[ROUNDS / 2],
         without.times[ROUNDS / 2],
         with.times[ROUNDS / 2] / without.times[ROUNDS / 2],
         ratios[ROUNDS / 4],
         ratios[ROUNDS * 3 / 4],
         100.0 * (double) with.known / (double) with.signals);
  fflush(stdout);
  close_side(&with);
  close_side(&without);
}

int main(void) {
  puts("| a signal, with its sender against without | with | without | ratio |"
       " quartiles | senders told |\n| --- | --- | --- | --- | --- | --- |");
  run("ping, bytes", UVSIG_MODE_BYTES, ping);
  run("ping, wake-only", UVSIG_MODE_WAKE_ONLY, ping);
  run("burst of 3,000, bytes", UVSIG_MODE_BYTES, burst);
  run("burst of 3,000, wake-only", UVSIG_MODE_WAKE_ONLY, burst);
  return 0;
}
