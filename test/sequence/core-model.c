/* SPDX-License-Identifier: MIT
 *
 * The model: see core-model.h.
 */

#include "core-model.h"

#include <string.h>

enum { MOST_SENT = 16384 };

struct model model;
static struct sent sent[MOST_SENT];
static unsigned sent_count;

/* --- Facts ------------------------------------------------------------------- */

unsigned loop_of(unsigned watcher) {
  return watcher % LOOPS;
}

unsigned thread_of(unsigned loop) {
  return loop == LOOPS - 1 && model.has_worker ? 1 : 0;
}

bool may_use(unsigned loop) {
  const struct loop* l = &model.loops[loop];

  return l->is_open && !l->is_closing && l->is_alive;
}

int index_of(int signum) {
  int i = 0;

  while (i < SIGNALS && signals[i] != signum)
    i++;
  CHECK(i < SIGNALS);
  return i;
}

static bool is_on(unsigned watcher, unsigned loop, unsigned which) {
  return loop_of(watcher) == loop &&
         model.watchers[watcher].which == (int) which;
}

bool is_waited_for(unsigned loop, unsigned which) {
  unsigned i;

  for (i = 0; i < WAITS; i++)
    if (model.waits[i].loop == loop && model.waits[i].is_waiting &&
        (model.waits[i].set >> which & 1) != 0)
      return true;
  return false;
}

bool is_watched_on(unsigned loop, unsigned which) {
  unsigned i;

  for (i = 0; i < WATCHERS; i++)
    if (is_on(i, loop, which))
      return true;
  for (i = 0; i < model.hold_count; i++)
    if (model.holds[i].loop == loop && (model.holds[i].set >> which & 1) != 0)
      return true;
  return is_waited_for(loop, which);
}

bool is_watched(unsigned which) {
  unsigned i;

  for (i = 0; i < LOOPS; i++)
    if (model.loops[i].is_alive && is_watched_on(i, which))
      return true;
  return false;
}

static bool is_chained(unsigned which) {
  unsigned i;

  for (i = 0; i < WATCHERS; i++)
    if (model.watchers[i].which == (int) which &&
        model.loops[loop_of(i)].is_alive &&
        (model.watchers[i].flags & UVSIG_CHAIN) != 0)
      return true;
  return false;
}

bool is_circle(unsigned loop, unsigned which) {
  return model.at[which].top == FOREIGN && model.at[which].saved == OURS &&
         !is_watched_on(loop, which);
}

unsigned model_now(void) {
  return sent_count;
}

bool has_room(unsigned more) {
  return sent_count + more + THREADS * SIGNALS <= MOST_SENT;
}

/* --- Dispositions ------------------------------------------------------------- */

/* What waits to be unblocked is gone once its signal is ignored. */
void model_set_top(unsigned which, int top) {
  unsigned i;

  model.at[which].top = top;
  if (top == BASE && model.at[which].base == IGNORED)
    for (i = 0; i < THREADS; i++)
      model.waiting[i][which] = 0;
}

/* The first watcher of a loop: ours is installed. */
void model_watch(unsigned which) {
  struct disposition* at = &model.at[which];

  if (at->top == OURS)
    return;
  at->over = at->top;
  at->top = OURS;
}

/* The last one of the process: what was there is back, if ours still is. */
void model_unwatch(unsigned loop, unsigned which) {
  struct disposition* at = &model.at[which];

  if (!is_watched_on(loop, which))
    model.loops[loop].is_opened[which] = false;
  if (!is_watched(which) && at->top == OURS)
    model_set_top(which, at->over);
}

static void catch_it(unsigned which, unsigned id) {
  struct sent* entry = &sent[sent_count++];
  unsigned i;

  CHECK(sent_count <= MOST_SENT);
  memset(entry, 0, sizeof(*entry));
  entry->id = id;
  entry->which = (unsigned char) which;
  for (i = 0; i < LOOPS; i++)
    if (model.loops[i].is_alive && is_watched_on(i, which)) {
      entry->caught |= (unsigned char) (1u << i);
      model.loops[i].caught[which]++;
    }
  for (i = 0; i < WATCHERS; i++)
    if (model.watchers[i].has_handler && is_on(i, loop_of(i), which) &&
        model.loops[loop_of(i)].is_alive)
      model.handler_calls[i]++;
}

/* The signal is handled: by whom is installed, and by whom those call. */
static void handle(unsigned which, unsigned id) {
  struct disposition* at = &model.at[which];
  int whose = at->top;
  unsigned i;

  if (which == SHARED)
    for (i = 0; i < HANDLES; i++)
      model.handle_calls[i] += model.is_handle_active[i];
  for (;;) {
    if (whose == BASE) {
      at->calls[BASE] += at->base == HANDLED;
      return;
    }
    if (whose == FOREIGN) {
      at->calls[FOREIGN]++;
      if (!at->chains)
        return;
      whose = at->saved;
      continue;
    }
    if (!is_watched(which)) {
      /* The foreign one has put it back, or calls it. */
      if (at->top == OURS)
        model_set_top(which, at->over);
      whose = at->over;
      continue;
    }
    catch_it(which, id);
    if (!is_chained(which))
      return;
    whose = at->over;
  }
}

/* --- Masks ------------------------------------------------------------------- */

static bool is_blocked_in(unsigned thread, unsigned which) {
  unsigned i;

  for (i = 0; i < LOOPS; i++)
    if (thread_of(i) == thread && model.loops[i].is_alive &&
        model.loops[i].is_opened[which])
      return false;
  return model.was_blocked[thread][which];
}

void model_unblock(unsigned thread) {
  unsigned id;
  unsigned i;

  for (i = 0; i < EXACT; i++) {
    id = model.waiting[thread][i];
    if (id == 0 || is_blocked_in(thread, i))
      continue;
    model.waiting[thread][i] = 0;
    handle(i, id);
  }
}

void model_send(unsigned thread, unsigned which, unsigned id) {
  if (!is_blocked_in(thread, which))
    handle(which, id);
  else if (model.waiting[thread][which] == 0)
    model.waiting[thread][which] = id;
}

void check_masks(unsigned thread) {
  unsigned i;

  for (i = 0; i < EXACT; i++)
    if (is_blocked(signals[i]) != is_blocked_in(thread, i))
      check_failed(__FILE__,
                   __LINE__,
                   "%s is blocked: %d",
                   uvsig_signal_name(signals[i]),
                   is_blocked(signals[i]));
}

/* --- Deliveries ---------------------------------------------------------------- */

static bool is_due(unsigned watcher, const struct sent* entry) {
  unsigned loop = 1u << loop_of(watcher);

  return entry->which == model.watchers[watcher].which &&
         (entry->caught & loop) != 0 && (entry->taken & loop) == 0 &&
         (entry->told >> watcher & 1) == 0;
}

static struct sent* first_due(unsigned watcher) {
  unsigned i;

  for (i = model.watchers[watcher].since; i < sent_count; i++)
    if (is_due(watcher, &sent[i]))
      return &sent[i];
  return NULL;
}

unsigned due(unsigned watcher) {
  unsigned count = 0;
  unsigned i;

  for (i = model.watchers[watcher].since; i < sent_count; i++)
    count += is_due(watcher, &sent[i]);
  return count;
}

static struct sent* find(unsigned id) {
  unsigned i;

  for (i = sent_count; i > 0; i--)
    if (sent[i - 1].id == id)
      return &sent[i - 1];
  check_failed(__FILE__, __LINE__, "%u was never sent", id);
}

void model_told(unsigned watcher, unsigned count, unsigned id) {
  unsigned loop = loop_of(watcher);
  struct sent* first = first_due(watcher);
  struct sent* entry = id != 0 ? find(id) : first;

  if (model.loops[loop].is_lost)
    return;
  if (first == NULL)
    check_failed(__FILE__, __LINE__, "watcher %u has nothing due", watcher);
  if (id == 0 && model.loops[loop].is_blurred)
    model.loops[loop].is_exact = false;
  if (entry < sent + model.watchers[watcher].since || !is_due(watcher, entry)) {
    if (model.loops[loop].is_exact)
      check_failed(__FILE__, __LINE__, "%u is not watcher %u's", id, watcher);
    entry = first;
  }
  if (entry != first && !model.loops[loop].is_blurred)
    check_failed(__FILE__, __LINE__, "%u is too early for %u", id, watcher);
  for (; count > 0; count--, entry = first_due(watcher)) {
    if (entry == NULL)
      check_failed(
          __FILE__, __LINE__, "watcher %u: %u too many", watcher, count);
    entry->told |= (unsigned short) (1u << watcher);
    entry->delivered |= (unsigned char) (1u << loop);
  }
}

static bool is_caught_on(unsigned loop, unsigned which, unsigned i) {
  return sent[i].which == which && (sent[i].caught >> loop & 1) != 0;
}

/* Which one a wait takes that does not know: the first behind those that were
 * told of, or passed over. NULL: that is not sure, since nobody would have been
 * told of the first one. */
static struct sent* first_left(unsigned loop, unsigned which) {
  struct sent* first = NULL;
  unsigned begin = model.loops[loop].quiet;
  unsigned later = 0;
  unsigned i;

  for (i = begin; i < sent_count; i++)
    if (is_caught_on(loop, which, i) && (sent[i].delivered >> loop & 1) != 0)
      begin = i + 1;
  for (i = begin; i < sent_count; i++) {
    if (!is_caught_on(loop, which, i))
      continue;
    if (first == NULL)
      first = &sent[i];
    else
      later++;
  }
  if (first == NULL)
    check_failed(__FILE__, __LINE__, "a wait takes what is not there");
  for (i = loop; later > 0 && i < WATCHERS; i += LOOPS)
    if (first >= sent + model.watchers[i].since && is_due(i, first))
      later = 0;
  return later > 0 ? NULL : first;
}

static void check_turn_of_wait(const struct wait* taker, unsigned which) {
  unsigned i;

  CHECK((taker->set >> which & 1) != 0);
  for (i = 0; i < WAITS; i++)
    CHECK(!model.waits[i].is_waiting || model.waits[i].loop != taker->loop ||
          (model.waits[i].set >> which & 1) == 0 ||
          model.waits[i].start >= taker->start);
}

void model_took(unsigned wait, unsigned which, unsigned id) {
  unsigned loop = model.waits[wait].loop;
  struct sent* entry;

  check_turn_of_wait(&model.waits[wait], which);
  if (which >= EXACT)
    return;
  if (model.loops[loop].is_lost)
    return;
  if (id != 0)
    entry = find(id);
  else
    entry = model.loops[loop].is_blurred ? NULL : first_left(loop, which);
  if (entry == NULL) {
    model.loops[loop].is_lost = true;
    model.loops[loop].is_exact = false;
    return;
  }
  if (entry->which != which || (entry->caught >> loop & 1) == 0 ||
      ((entry->taken | entry->delivered) >> loop & 1) != 0)
    check_failed(__FILE__, __LINE__, "wait %u takes what is not there", wait);
  entry->taken |= (unsigned char) (1u << loop);
  entry->delivered |= (unsigned char) (1u << loop);
}

static void resume(unsigned loop) {
  unsigned i;

  for (i = 0; i < WATCHERS; i++)
    if (loop_of(i) == loop)
      model.watchers[i].since = sent_count;
  for (i = 0; i < WAITS; i++)
    if (model.waits[i].loop == loop)
      model.waits[i].since = sent_count;
  model.loops[loop].is_lost = false;
  model.loops[loop].quiet = sent_count;
}

void model_forget(unsigned loop) {
  model.loops[loop].began = sent_count;
  model.loops[loop].is_exact = true;
  memset(model.loops[loop].caught, 0, sizeof(model.loops[loop].caught));
  resume(loop);
}

/* --- Checks ------------------------------------------------------------------- */

static int expected_disposition(unsigned which) {
  const struct disposition* at = &model.at[which];
  unsigned i;

  /* In a child of fork() it is what was there before the first watcher. */
  /* In a child of fork() it is what was there before the first watcher, which
   * may be libuv's, or what the worker's loop, which is not there, has libuv
   * install. */
  if (which == SHARED && model.is_child && !is_watched(which) &&
      (model.has_worker || model.had_handle))
    return -1;
  if (which == SHARED && !is_watched(which))
    for (i = 0; i < HANDLES; i++)
      if (model.is_handle_active[i])
        return UVSIG_FOREIGN;
  if (at->top == OURS)
    return is_watched(which) ? UVSIG_WATCHED : -1;
  if (at->top == FOREIGN || at->base == HANDLED)
    return UVSIG_FOREIGN;
  return at->base == IGNORED ? UVSIG_IGNORED : UVSIG_DEFAULT;
}

void check_dispositions(void) {
  int expected;
  unsigned i;

  for (i = 0; i < EXACT; i++) {
    expected = expected_disposition(i);
    if (i != SHARED)
      CHECK_EQ(installed(i), model.at[i].top);
    if (expected >= 0 && uvsig_getsignal(signals[i]) != expected)
      check_failed(__FILE__,
                   __LINE__,
                   "uvsig_getsignal(%s) is %d, not %d",
                   uvsig_signal_name(signals[i]),
                   uvsig_getsignal(signals[i]),
                   expected);
    CHECK_EQ(real_calls(i, BASE), model.at[i].calls[BASE]);
    CHECK_EQ(real_calls(i, FOREIGN), model.at[i].calls[FOREIGN]);
  }
  for (i = 0; i < WATCHERS; i++)
    CHECK_EQ(real_handler_calls(i), model.handler_calls[i]);
}

static void check_stats(unsigned loop, unsigned which) {
  const struct loop* l = &model.loops[loop];
  unsigned long delivered = 0;
  uvsig_stats_t stats;
  unsigned i;

  uvsig_stats(&l->sig, signals[which], &stats);
  CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
  CHECK_EQ(stats.junk, 0);
  if (which >= EXACT)
    return;
  if (stats.caught != l->caught[which])
    check_failed(__FILE__,
                 __LINE__,
                 "loop %u caught %llu of %s, not %lu",
                 loop,
                 (unsigned long long) stats.caught,
                 uvsig_signal_name(signals[which]),
                 l->caught[which]);
  for (i = l->began; i < sent_count; i++)
    delivered += sent[i].which == which && (sent[i].delivered >> loop & 1) != 0;
  if (l->is_exact)
    CHECK_EQ(stats.delivered, delivered);
}

/* Everything that came after its start has been taken. */
static void check_wait(const struct wait* wait) {
  unsigned i;

  CHECK_EQ(wait->is_pending, wait->is_waiting);
  if (!wait->is_waiting || model.loops[wait->loop].is_lost)
    return;
  CHECK(wait->is_endless);
  for (i = wait->since; i < sent_count; i++)
    CHECK((wait->set >> sent[i].which & 1) == 0 ||
          (sent[i].caught >> wait->loop & 1) == 0 ||
          (sent[i].taken >> wait->loop & 1) != 0);
}

void check_quiet(void) {
  unsigned i;
  unsigned k;

  check_dispositions();
  for (i = 0; i < WATCHERS; i++) {
    if (!may_use(loop_of(i)))
      continue;
    CHECK_EQ(uvsig_watcher_is_active(model.watchers[i].w),
             model.watchers[i].which >= 0);
    if (model.watchers[i].which >= 0 && due(i) != 0 &&
        !model.loops[loop_of(i)].is_lost)
      check_failed(
          __FILE__, __LINE__, "watcher %u was not told of %u", i, due(i));
  }
  for (i = 0; i < WAITS; i++)
    if (may_use(model.waits[i].loop))
      check_wait(&model.waits[i]);
  for (i = 0; i < HANDLES; i++)
    if (model.is_handle_active[i] && this_thread() == 0)
      CHECK_EQ(model.handle_told[i], model.handle_calls[i]);
  for (i = 0; i < LOOPS; i++) {
    if (!may_use(i) || thread_of(i) != this_thread())
      continue;
    for (k = 0; k < SIGNALS; k++)
      check_stats(i, k);
    model.loops[i].is_blurred = false;
    model.loops[i].quiet = sent_count;
    if (model.loops[i].is_lost)
      resume(i);
  }
}

void model_reset(void) {
  unsigned i;

  memset(&model, 0, sizeof(model));
  sent_count = 0;
  for (i = 0; i < WATCHERS; i++)
    model.watchers[i].which = -1;
}
