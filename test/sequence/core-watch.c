/* SPDX-License-Identifier: MIT
 *
 * Steps that start and stop. Memory is freed as soon as it is the program's
 * again, also in callbacks.
 */

#include "core-steps.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned every_flag = UVSIG_KEEP_MASK | UVSIG_CHAIN;

/* --- Watchers -------------------------------------------------------------------- */

/* The memory is ours: whoever still uses it finds other things there. */
static void free_watcher(struct watcher* at) {
  CHECK_EQ(uvsig_watcher_is_active(at->w), 0);
  CHECK_EQ(at->w->signum, 0);
  memset(at->w, 0x5a, sizeof(*at->w));
  free(at->w);
  at->w = NULL;
}

static void forget(unsigned watcher) {
  unsigned which = (unsigned) model.watchers[watcher].which;

  model.watchers[watcher].which = -1;
  model_unwatch(loop_of(watcher), which);
}

/* Which of the signals it was, where the kernel and the library tell. */
static unsigned id_of(const uvsig_info_t* info) {
  if ((info->flags & UVSIG_INFO_NONE) != 0)
    return 0;
  CHECK_EQ(info->count, 1);
  CHECK_EQ(info->pid, getpid());
  return info->code == SI_QUEUE ? (unsigned) info->value.sival_int : 0;
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  unsigned watcher = (unsigned) (uintptr_t) w->data;
  struct watcher* at = &model.watchers[watcher];
  unsigned loop = loop_of(watcher);
  unsigned id = signum == SIGCHLD ? 0 : id_of(info);

  CHECK(at->w == w);
  CHECK(at->which >= 0);
  CHECK_EQ(signum, signals[at->which]);
  CHECK_EQ(info->signum, signum);
  CHECK_EQ(this_thread(), thread_of(loop));
  CHECK(info->count >= 1);
  SAY("    watcher %u: %s, %u (%u)\n",
      watcher,
      uvsig_signal_name(signum),
      info->count,
      id);
  at->told++;
  model.loops[loop].callbacks++;
  if (at->which != CHILD)
    model_told(watcher, info->count, id);
  if (at->is_oneshot) {
    forget(watcher);
    free_watcher(at);
  }
  act_in_callback();
}

static bool has_other_handler(unsigned watcher, unsigned which) {
  unsigned i;

  for (i = 0; i < WATCHERS; i++)
    if (i != watcher && loop_of(i) == loop_of(watcher) &&
        model.watchers[i].which == (int) which && model.watchers[i].has_handler)
      return true;
  return false;
}

/* May a watcher, or a wait, of this signal be started now? */
static bool may_watch(unsigned loop, unsigned which) {
  if (which == CHILD && thread_of(loop) != 0)
    return false;
  return !is_circle(loop, which) && model.draining[which] == 0;
}

static void make_watcher(unsigned watcher, unsigned which, unsigned bits) {
  struct watcher* at = &model.watchers[watcher];

  at->w = calloc(1, sizeof(*at->w));
  CHECK(at->w != NULL);
  at->w->data = (void*) (uintptr_t) watcher;
  at->flags = bits & every_flag;
  if (which == SHARED)
    at->flags |= UVSIG_SHARE;
  at->has_handler = (bits & 24) == 24;
  CHECK_EQ(uvsig_watcher_init(&model.loops[loop_of(watcher)].sig, at->w), 0);
  CHECK_EQ(uvsig_watcher_set_flags(at->w, at->flags), 0);
  if (at->has_handler)
    CHECK_EQ(uvsig_watcher_set_handler(at->w, on_handler), 0);
}

static void start(unsigned watcher, unsigned which) {
  struct watcher* at = &model.watchers[watcher];
  unsigned loop = loop_of(watcher);
  int previous = at->which;

  CHECK_EQ(at->is_oneshot
               ? uvsig_watcher_start_oneshot(at->w, on_signal, signals[which])
               : uvsig_watcher_start(at->w, on_signal, signals[which]),
           0);
  CHECK_EQ(uvsig_watcher_is_active(at->w), 1);
  CHECK_EQ(at->w->signum, signals[which]);
  if (previous == (int) which)
    return;
  at->since = model_now();
  at->started = ++model.starts;
  if (!is_watched_on(loop, which))
    model_watch(which);
  at->which = (int) which;
  if ((at->flags & UVSIG_KEEP_MASK) == 0)
    model.loops[loop].is_opened[which] = true;
  if (previous >= 0)
    model_unwatch(loop, (unsigned) previous);
  model_unblock(thread_of(loop));
}

/* args: the watcher, the signal, and bits: 1 keeps the mask, 2 chains, 8 and 16
 * together have a handler, 4 is a one-shot. */
static bool start_here(const unsigned* args) {
  unsigned watcher = args[0];
  struct watcher* at = &model.watchers[watcher];
  unsigned loop = loop_of(watcher);
  unsigned which = args[1];

  if (!may_use(loop) || !may_watch(loop, which))
    return false;
  if (at->which < 0)
    make_watcher(watcher, which, args[2]);
  else if ((which == SHARED) != ((at->flags & UVSIG_SHARE) != 0))
    return false; /* it calls libuv's handler, rather than what was there */
  if (at->which != (int) which && at->has_handler &&
      has_other_handler(watcher, which)) {
    CHECK_EQ(uvsig_watcher_start(at->w, on_signal, signals[which]), UV_EBUSY);
    if (at->which < 0)
      free_watcher(at);
    return true;
  }
  at->is_oneshot = (args[2] & 4) != 0;
  start(watcher, which);
  return true;
}

bool step_start(const unsigned* args) {
  return call_in(thread_of(loop_of(args[0])), start_here, args);
}

static bool stop_here(const unsigned* args) {
  struct watcher* at = &model.watchers[args[0]];

  if (!may_use(loop_of(args[0])) || at->which < 0)
    return false;
  CHECK_EQ(uvsig_watcher_stop(at->w), 0);
  forget(args[0]);
  free_watcher(at);
  return true;
}

/* args: the watcher */
bool step_stop(const unsigned* args) {
  return call_in(thread_of(loop_of(args[0])), stop_here, args);
}

/* What a callback in the middle of it may not do is in may_watch() and
 * step_raise(): when the signal is given back is not promised. */
static bool drain_here(const unsigned* args) {
  unsigned watcher = args[0];
  unsigned loop = loop_of(watcher);
  struct watcher* at = &model.watchers[watcher];
  unsigned which = (unsigned) at->which;
  unsigned long started = at->started;
  unsigned i;

  if (!may_use(loop) || at->which < 0 || model.draining[which] > 0)
    return false;
  model.draining[which]++;
  if (callback_depth() > 0)
    model.loops[loop].is_blurred = true;
  CHECK_EQ(uvsig_watcher_drain(at->w), 0);
  model.draining[which]--;
  if (at->which == (int) which && at->started == started) {
    if (which < EXACT && !model.loops[loop].is_lost)
      CHECK_EQ(due(watcher), 0);
    at->which = -1;
    free_watcher(at);
  }
  /* Those that hold it for what their callbacks start hold it no more. */
  for (i = 0; i < model.hold_count; i++)
    if (model.holds[i].loop == loop)
      model.holds[i].set &= ~(1u << which);
  model_unwatch(loop, which);
  return true;
}

/* args: the watcher */
bool step_drain(const unsigned* args) {
  return call_in(thread_of(loop_of(args[0])), drain_here, args);
}

/* --- Waits ------------------------------------------------------------------------- */

static void release(unsigned loop, unsigned set) {
  unsigned i;

  for (i = 0; i < SIGNALS; i++)
    if ((set >> i & 1) != 0 && !is_watched_on(loop, i))
      model_unwatch(loop, i);
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  struct wait* wait = req->data;
  unsigned number = (unsigned) (wait - model.waits);
  struct hold hold = {wait->loop, wait->is_waiting ? wait->set : 0};

  SAY("    wait %u: %d\n", number, status);
  CHECK(wait->is_pending);
  CHECK_EQ(this_thread(), thread_of(wait->loop));
  CHECK_EQ(status == 0, info != NULL);
  CHECK_EQ(status == UV_ECANCELED, !wait->is_waiting);
  if (status == 0) {
    CHECK_EQ(info->count, 1);
    model_took(number,
               (unsigned) index_of(info->signum),
               info->signum == SIGCHLD ? 0 : id_of(info));
    model.loops[wait->loop].callbacks++;
    model.children_taken += info->signum == SIGCHLD;
  } else if (status != UV_ECANCELED) {
    CHECK_EQ(status, UV_ETIMEDOUT);
    CHECK(!wait->is_endless);
  }
  wait->is_pending = false;
  wait->is_waiting = false;
  model.holds[model.hold_count++] = hold;
  act_in_callback();
  hold = model.holds[--model.hold_count];
  release(hold.loop, hold.set);
}

static bool wait_here(const unsigned* args) {
  struct wait* wait = &model.waits[args[0]];
  unsigned set = args[1] & ~(1u << SHARED); /* a wait does not share */
  unsigned loop = args[0] % LOOPS;
  bool was_watched[SIGNALS];
  sigset_t real = set_of(0);
  unsigned i;

  if (!may_use(loop) || wait->is_pending || set == 0)
    return false;
  for (i = 0; i < SIGNALS; i++) {
    if ((set >> i & 1) == 0)
      continue;
    if (!may_watch(loop, i))
      return false;
    sigaddset(&real, signals[i]);
    was_watched[i] = is_watched_on(loop, i);
  }
  memset(wait, 0, sizeof(*wait));
  wait->req.data = wait;
  wait->loop = loop;
  wait->is_endless = args[2] > 0;
  CHECK_EQ(uvsig_wait_start(&model.loops[loop].sig,
                            &wait->req,
                            &real,
                            wait->is_endless ? INFINITY : 0,
                            on_wait),
           0);
  wait->is_pending = true;
  wait->is_waiting = true;
  wait->set = set;
  wait->since = model_now();
  wait->start = ++model.starts;
  for (i = 0; i < SIGNALS; i++) {
    if ((set >> i & 1) == 0)
      continue;
    if (!was_watched[i])
      model_watch(i);
    model.loops[loop].is_opened[i] = true;
  }
  model_unblock(thread_of(loop));
  return true;
}

/* args: the wait, its set, and whether it has no limit; else it has 0 s */
bool step_wait(const unsigned* args) {
  return call_in(thread_of(args[0] % LOOPS), wait_here, args);
}

static bool cancel_here(const unsigned* args) {
  struct wait* wait = &model.waits[args[0]];

  if (!may_use(wait->loop) || !wait->is_pending)
    return false;
  CHECK_EQ(uvsig_wait_cancel(&wait->req), wait->is_waiting ? 0 : UV_EALREADY);
  if (!wait->is_waiting)
    return true;
  wait->is_waiting = false;
  release(wait->loop, wait->set);
  return true;
}

/* args: the wait */
bool step_cancel(const unsigned* args) {
  return call_in(thread_of(args[0] % LOOPS), cancel_here, args);
}

/* --- The whole ---------------------------------------------------------------------- */

static void on_closed(uvsig_t* sig) {
  struct loop* l = sig->data;
  unsigned i;

  CHECK(l->is_closing);
  for (i = 0; i < WAITS; i++)
    CHECK(!model.waits[i].is_pending || &model.loops[model.waits[i].loop] != l);
  l->is_closing = false;
  l->is_open = false;
}

static void forget_loop(unsigned loop) {
  unsigned i;

  for (i = 0; i < WATCHERS; i++)
    if (loop_of(i) == loop && model.watchers[i].which >= 0) {
      forget(i);
      free_watcher(&model.watchers[i]);
    }
  for (i = 0; i < model.hold_count; i++)
    if (model.holds[i].loop == loop) {
      unsigned set = model.holds[i].set;

      model.holds[i].set = 0;
      release(loop, set);
    }
  for (i = 0; i < WAITS; i++)
    if (model.waits[i].is_waiting && model.waits[i].loop == loop) {
      model.waits[i].is_waiting = false;
      release(loop, model.waits[i].set);
    }
}

static bool close_here(const unsigned* args) {
  unsigned loop = args[0];
  struct loop* l = &model.loops[loop];
  uvsig_stats_t stats;
  unsigned i;

  if (!may_use(loop))
    return false;
  for (i = 0; i < SIGNALS; i++)
    if (model.draining[i] > 0)
      return false;
  CHECK_EQ(uvsig_close(&l->sig, on_closed), 0);
  l->is_closing = true;
  CHECK_EQ(uvsig_close(&l->sig, on_closed), UV_EALREADY);
  CHECK_EQ(uvsig_flush(&l->sig), UV_EINVAL);
  forget_loop(loop);
  for (i = 0; i < EXACT; i++) {
    uvsig_stats(&l->sig, signals[i], &stats);
    CHECK_EQ(stats.caught, l->caught[i]);
    CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
  }
  return true;
}

/* args: the loop */
bool step_close(const unsigned* args) {
  return call_in(thread_of(args[0]), close_here, args);
}

static bool open_here(const unsigned* args) {
  const struct loop* l = &model.loops[args[0]];

  if (l->is_open || l->is_closing || !l->is_alive)
    return false;
  open_signals(args[0], args[1]);
  return true;
}

/* args: the loop, its options */
bool step_open(const unsigned* args) {
  return call_in(thread_of(args[0]), open_here, args);
}
