/* SPDX-License-Identifier: MIT
 *
 * Steps that send signals, and those that have them delivered.
 */

#include "core-steps.h"

#include <poll.h>
#include <string.h>

enum { FLOOD = 4200 }; /* more than a small pipe takes */

static unsigned last_id;

static bool is_pending_in(unsigned thread, unsigned which) {
  return model.waiting[thread][which] != 0;
}

/* One, or several. */
static bool send_here(const unsigned* args) {
  unsigned which = args[1];
  unsigned count = args[2];

  if (!has_room(count) || model.draining[which] > 0)
    return false;
  if (is_blocked(signals[which]) && has_raise_alone())
    return false;
  /* libuv's handler would write to loops that are the parent's alone, or would
   * not be there. */
  if (which == SHARED && model.is_child &&
      (model.has_worker || model.is_handle_active[0] ||
       model.is_handle_active[1]))
    return false;
  for (; count > 0 && !is_pending_in(this_thread(), which); count--) {
    last_id++;
    model_send(this_thread(), which, last_id);
    send_to_self(which, last_id);
  }
  return true;
}

static bool send_in(unsigned thread, unsigned which, unsigned count) {
  unsigned args[STEP_ARGS] = {thread, which, count};

  return call_in(model.has_worker ? thread : 0, send_here, args);
}

/* args: the thread, the signal, how many */
bool step_raise(const unsigned* args) {
  static const unsigned counts[] = {1, 1, 1, 2, 3, 40};

  return send_in(
      callback_depth() > 0 ? this_thread() : args[0], args[1], counts[args[2]]);
}

/* args: the thread, the signal, and 0: it takes long, so it is seldom. Not SHARED,
 * for which libuv has no such room. */
bool step_flood(const unsigned* args) {
  return callback_depth() == 0 && args[2] == 0 &&
         send_in(args[0], args[1], FLOOD);
}

/* --- Turns --------------------------------------------------------------------------- */

static bool turn_here(const unsigned* args) {
  struct loop* l = &model.loops[args[0]];

  if (!l->is_alive)
    return false;
  uv_run(&l->uv, UV_RUN_NOWAIT);
  return true;
}

/* args: the loop */
bool step_turn(const unsigned* args) {
  return call_in(thread_of(args[0]), turn_here, args);
}

static bool flush_here(const unsigned* args) {
  struct loop* l = &model.loops[args[0]];
  unsigned long before = l->callbacks;
  unsigned long nested = steps_in_callbacks();
  int calls;

  if (!may_use(args[0]))
    return false;
  if (callback_depth() > 0)
    l->is_blurred = true;
  calls = uvsig_flush(&l->sig);
  CHECK(calls >= 0);
  if (nested == steps_in_callbacks()) /* which may have flushed or drained */
    CHECK_EQ(calls, l->callbacks - before);
  return true;
}

/* args: the loop */
bool step_flush(const unsigned* args) {
  return call_in(thread_of(args[0]), flush_here, args);
}

/* Where somebody is to be told: else it would sleep. */
static bool pause_here(const unsigned* args) {
  unsigned long before = model.loops[args[0]].callbacks;
  bool is_due = false;
  unsigned i;

  if (!may_use(args[0]) || model.loops[args[0]].is_lost)
    return false;
  for (i = 0; i < WATCHERS && !is_due; i++)
    is_due = loop_of(i) == args[0] && model.watchers[i].which >= 0 &&
             model.watchers[i].which < EXACT && due(i) > 0;
  if (!is_due)
    return false;
  CHECK(uvsig_pause(&model.loops[args[0]].sig) > 0);
  CHECK(model.loops[args[0]].callbacks > before);
  return true;
}

/* args: the loop */
bool step_pause(const unsigned* args) {
  return callback_depth() == 0 && call_in(thread_of(args[0]), pause_here, args);
}

/* --- Until all is quiet ---------------------------------------------------------------- */

static bool is_to_end(unsigned loop) {
  unsigned i;

  for (i = 0; i < WAITS; i++)
    if (model.waits[i].loop == loop && model.waits[i].is_pending &&
        !(model.waits[i].is_waiting && model.waits[i].is_endless))
      return true;
  return model.loops[loop].is_closing;
}

/* As run_idle(), which goes on for ever where something is left to be read by a
 * loop that nothing keeps alive: libuv's own pipe of signals. */
static void run_while_ready(uv_loop_t* loop) {
  struct pollfd pollfd = {uv_backend_fd(loop), POLLIN, 0};

  while (uv_run(loop, UV_RUN_NOWAIT) != 0 && poll(&pollfd, 1, 0) == 1)
    ;
}

static bool settle_here(const unsigned* args) {
  struct loop* l = &model.loops[args[0]];
  unsigned long before;

  if (!l->is_alive)
    return true;
  do {
    before = l->callbacks;
    /* Not UV_RUN_ONCE: it may call what is awaited, and then sleep. */
    while (is_to_end(args[0]))
      uv_run(&l->uv, UV_RUN_NOWAIT);
    run_while_ready(&l->uv);
    if (may_use(args[0]))
      CHECK(uvsig_flush(&l->sig) >= 0);
  } while (l->callbacks != before || is_to_end(args[0]));
  return true;
}

static bool check_here(const unsigned* args) {
  (void) args;
  check_quiet();
  check_masks(this_thread());
  return true;
}

/* Callbacks, and what was done in those that are not counted: it may concern
 * another loop. */
static unsigned long progress(void) {
  unsigned long count = steps_in_callbacks();
  unsigned i;

  for (i = 0; i < LOOPS; i++)
    count += model.loops[i].callbacks;
  return count;
}

/* A callback of one loop may send signals to another one. */
void settle(void) {
  unsigned args[STEP_ARGS] = {0};
  unsigned long before;

  do {
    before = progress();
    for (args[0] = 0; args[0] < LOOPS; args[0]++)
      call_in(thread_of(args[0]), settle_here, args);
  } while (progress() != before);
  check_here(args);
  if (model.has_worker)
    call_in(1, check_here, args);
}

bool step_settle(const unsigned* args) {
  (void) args;
  if (callback_depth() > 0)
    return false;
  settle();
  return true;
}
