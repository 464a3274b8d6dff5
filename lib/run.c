/* SPDX-License-Identifier: MIT
 *
 * A loop that runs until a signal comes: a uvsig_t that lives for one call, and
 * has a watcher for each signal of the set. Runs in the thread that runs the
 * loop.
 */

#include "source.h"

#include <stdlib.h>

struct run {
  uv_loop_t* loop;
  struct run* outer;
  uvsig_t sig;
  uvsig_info_t info; /* of the signal that ended it; signum 0: none has */
  bool is_closed;
  size_t size;
  uvsig_watcher_t watchers[];
};

/* The calls that this thread is in, each for another loop. */
static _Thread_local struct run* innermost;

static bool is_running(const uv_loop_t* loop) {
  const struct run* run = innermost;

  while (run != NULL && run->loop != loop)
    run = run->outer;
  return run != NULL;
}

static void on_closed(uvsig_t* sig) {
  struct run* run = sig->data;

  run->is_closed = true;
}

/* Closed here, so that the handles have gone at the end of this very turn of
 * the loop: another turn would run more of the program's callbacks. */
static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  struct run* run = w->data;

  (void) signum;
  run->info = *info;
  uv_stop(run->loop);
  uvsig_close(&run->sig, on_closed); /* open, and this is the loop thread */
}

/* The signals to watch, and how many they are. A default that is ignored stays
 * so: nohup(1), and a shell's background job. */
static int choose(const sigset_t* set, sigset_t* chosen, size_t* size) {
  static const int defaults[] = {SIGINT, SIGTERM};
  int action;
  size_t i;

  *size = set != NULL ? uvsig__filter(set, chosen) : 0;
  if (set != NULL)
    return *size > 0 ? 0 : UV_EINVAL;
  sigemptyset(chosen);
  for (i = 0; i < sizeof(defaults) / sizeof(*defaults); i++) {
    action = uvsig_getsignal(defaults[i]);
    if (action < 0)
      return action;
    if (action == UVSIG_IGNORED)
      continue;
    sigaddset(chosen, defaults[i]);
    ++*size;
  }
  return 0;
}

/* What was caught when the loop ended is not lost. In this order: the first of
 * all signals that were caught until now, and else one that comes before its
 * previous action is back. The results are counts, or say that on_signal() has
 * closed the uvsig_t. */
static void take_caught(struct run* run) {
  size_t i;

  uvsig_flush(&run->sig);
  for (i = 0; i < run->size; i++)
    uvsig_watcher_drain(&run->watchers[i]);
}

/* The loop turns until its handles are closed, and never waits. A uv_stop()
 * that is still to take effect ends the first uv_run() before its turn. */
static void close_run(struct run* run) {
  /* Fails where on_signal() has closed it. */
  uvsig_close(&run->sig, on_closed);
  while (!run->is_closed)
    uv_run(run->loop, UV_RUN_NOWAIT);
}

int uvsig_run(uv_loop_t* loop, const sigset_t* set, uvsig_info_t* info) {
  struct run* run;
  sigset_t chosen;
  size_t size;
  int result;

  if (is_running(loop))
    return UV_EBUSY;
  result = choose(set, &chosen, &size);
  if (result != 0)
    return result;
  run = calloc(1, sizeof(*run) + size * sizeof(*run->watchers));
  if (run == NULL)
    return UV_ENOMEM;
  run->loop = loop;
  run->size = size;
  run->sig.data = run;
  result = uvsig_init(loop, &run->sig, NULL);
  if (result != 0) {
    free(run);
    return result;
  }

  run->outer = innermost;
  innermost = run;
  result = uvsig__watcher_start_all(
      &run->sig, run->watchers, on_signal, &chosen, run, UVSIG__UNREF);
  if (result == 0) {
    uv_run(loop, UV_RUN_DEFAULT);
    take_caught(run);
    result = run->info.signum;
  }
  close_run(run);
  innermost = run->outer;
  if (result > 0 && info != NULL)
    *info = run->info;
  free(run);
  return result;
}
