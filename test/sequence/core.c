/* SPDX-License-Identifier: MIT
 *
 * Random sequences of what the core has, against a model: watchers with all
 * their flags on three loops and two threads, waits, drains, foreign handlers,
 * libuv's own, forks, and callbacks which do all of that. See core-model.h.
 *
 * After each step the dispositions, and how often each handler was called, are
 * what the model says. Whenever all is quiet, the mask is, too; each watcher was
 * told of each signal since its start, once, in order, and of no other; each
 * wait has taken one; and caught is delivered and discarded, exactly.
 */

#include "core-steps.h"

#include <unistd.h>

enum {
  START,
  STOP,
  DRAIN,
  WAIT,
  CANCEL,
  CLOSE,
  OPEN,
  RAISE,
  FLOOD,
  TURN,
  FLUSH,
  PAUSE,
  SETTLE,
  INSTALL,
  REMOVE,
  SET_BASE,
  START_HANDLE,
  STOP_HANDLE,
  INTRUDE,
  EXPIRE,
  SPAWN,
  FORK
};

static const struct op ops[] = {
    {"START", 24, {WATCHERS, SIGNALS, 32}, true, step_start},
    {"STOP", 10, {WATCHERS}, true, step_stop},
    {"DRAIN", 6, {WATCHERS}, true, step_drain},
    {"WAIT", 8, {WAITS, 1 << SIGNALS, 2}, true, step_wait},
    {"CANCEL", 3, {WAITS}, true, step_cancel},
    {"CLOSE", 1, {LOOPS}, true, step_close},
    {"OPEN", 2, {LOOPS, 8}, false, step_open},
    {"RAISE", 28, {THREADS, EXACT, 6}, true, step_raise},
    {"FLOOD", 1, {THREADS, SHARED, 20}, false, step_flood},
    {"TURN", 8, {LOOPS}, false, step_turn},
    {"FLUSH", 6, {LOOPS}, true, step_flush},
    {"PAUSE", 2, {LOOPS}, false, step_pause},
    {"SETTLE", 6, {0}, false, step_settle},
    {"INSTALL", 4, {SHARED, 2}, true, step_install},
    {"REMOVE", 4, {SHARED, 2}, true, step_remove},
    {"SET_BASE", 2, {SHARED, 2}, false, step_base},
    {"START_HANDLE", 3, {HANDLES}, true, step_start_handle},
    {"STOP_HANDLE", 2, {HANDLES}, true, step_stop_handle},
    {"INTRUDE", 1, {LOOPS}, false, step_intrude},
    {"EXPIRE", 1, {0}, false, step_expire},
    {"SPAWN", 1, {0}, false, step_spawn},
    {"FORK", 1, {2}, false, step_fork},
};

static void end(void) {
  unsigned args[STEP_ARGS] = {0};

  settle();
  for (args[0] = 0; args[0] < WATCHERS; args[0]++)
    step_stop(args);
  for (args[0] = 0; args[0] < WAITS; args[0]++)
    step_cancel(args);
  settle();
  for (args[0] = 0; args[0] < LOOPS; args[0]++)
    step_close(args);
  settle();
  /* A child has handles of loops that are only its parent's. */
  if (model.is_child)
    _exit(0);
  world_close();
}

static const struct kind core = {"core",
                                 ops,
                                 sizeof(ops) / sizeof(ops[0]),
                                 60,
                                 12,
                                 world_open,
                                 end,
                                 check_dispositions,
                                 NULL};

static void watchers_and_waits_are_told_as_the_model_says(void) {
  run_sequences(&core);
}

/* --- Found ------------------------------------------------------------------- */

static void ours_put_back_without_a_watcher_is_not_in_a_child_of_fork(void) {
  static const struct step steps[] = {
      {START, {3, OTHER, 0}, 0},
      {INSTALL, {OTHER, 0, 0}, 0},
      {STOP, {3, 0, 0}, 0},
      {REMOVE, {OTHER, 0, 0}, 0},
      {FORK, {0, 0, 0}, 0},
  };

  REPLAY(&core, 0, steps);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(watchers_and_waits_are_told_as_the_model_says),
      TEST(ours_put_back_without_a_watcher_is_not_in_a_child_of_fork),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
