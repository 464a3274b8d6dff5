/* SPDX-License-Identifier: MIT
 *
 * Random sequences of two foreign libraries that come and go for a signal, and
 * of four watchers of ours on two loops, against a model. A foreign library
 * saves the action that it finds when it starts, may call it, and puts it back
 * when it stops: politely, only where its own is still installed, or blindly.
 *
 * After each signal the model says:
 * 1. A started watcher is told exactly once if the signal gets to our handler,
 *    and else not at all.
 * 2. Nobody is called twice for one signal.
 * 3. Who is called, once each, and nobody else: the action that is installed,
 *    and what each one calls. A watcher with UVSIG_CHAIN calls the action that
 *    our handler was installed over last; so does our handler without a watcher.
 * 4. Our handler that is put back without a watcher gives way to what it was
 *    installed over.
 * And after the last stop that action is back, where ours was still installed.
 *
 * Not promised, so the model does not say it:
 * - Who is called below our handler where the signal comes to it for the second
 *   time (ours over a foreign library over ours), but for the simplest case: ours
 *   was installed twice, and is installed. Then it is what ours was installed over
 *   first. That nobody is called twice holds always.
 * - What is below our handler, where ours was installed more than once and the
 *   signal comes to it from a foreign library, or a foreign library has put ours
 *   back. Nor what comes back then.
 * And the sequences leave out, since somebody may be called twice then:
 * - A foreign library that installs its handler while it is already below.
 * - One that is covered and puts the other library's handler back, over ours,
 *   if that has stopped, or has saved ours, which was installed again since. Nor
 *   does one put anything back over the other.
 */

#include "engine.h"

#include <string.h>

enum { LOOPS = 2, WATCHERS = 4, ENDLESS = 50 };

/* Whose action: the libraries are 0 and 1. */
enum {
  LIBRARIES = 2,
  BASE = LIBRARIES,
  FOREIGN,
  IGNORED = FOREIGN,
  OURS,
  NONE
};

/* --- The foreign handlers ------------------------------------------------- */

static struct sigaction saved[LIBRARIES];
static bool has_started[LIBRARIES];
static bool chains[LIBRARIES];
static volatile int calls[FOREIGN];

static void count(int whose) {
  CHECK(++calls[whose] < ENDLESS); /* rather than until the stack is full */
}

static void on_base(int signum) {
  (void) signum;
  count(BASE);
}

static void call_on(int which, int signum, siginfo_t* info, void* context) {
  count(which);
  if (chains[which])
    call_handler(&saved[which], signum, info, context);
}

static void on_first(int signum, siginfo_t* info, void* context) {
  call_on(0, signum, info, context);
}

static void on_second(int signum, siginfo_t* info, void* context) {
  call_on(1, signum, info, context);
}

static int owner_of(struct sigaction action) {
  if ((action.sa_flags & SA_SIGINFO) == 0) {
    CHECK(action.sa_handler != SIG_DFL);
    return action.sa_handler == SIG_IGN ? IGNORED : BASE;
  }
  if (action.sa_sigaction == on_first)
    return 0;
  return action.sa_sigaction == on_second ? 1 : OURS;
}

static int installed(void) {
  return owner_of(action_of(SIGUSR1));
}

/* --- The model ------------------------------------------------------------ */

static struct {
  int first;           /* what ours was installed over first, */
  int found;           /* and last, if that is sure */
  bool is_found[NONE]; /* at any time */
  int installs;
  bool is_on_top; /* nobody has called sigaction() since */
} ours;

static struct fixture fixtures[LOOPS];
static struct recorder watchers[WATCHERS];

static bool is_watched(unsigned flags) {
  int i;

  for (i = 0; i < WATCHERS; i++)
    if (uvsig_watcher_is_active(&watchers[i].w) &&
        (watchers[i].w.flags & flags) == flags)
      return true;
  return false;
}

/* Whom a signal may come to that comes to `whose`. */
static void mark_reached(int whose, bool* reached) {
  int i;

  if (whose == NONE || reached[whose])
    return;
  reached[whose] = true;
  if (whose < LIBRARIES)
    mark_reached(owner_of(saved[whose]), reached);
  if (whose == OURS)
    for (i = 0; i < OURS; i++)
      if (ours.is_found[i])
        mark_reached(i, reached);
}

struct prediction {
  bool is_called[FOREIGN]; /* exactly once */
  int visits;              /* of our handler: then each watcher is told */
  bool is_complete;        /* nobody else is called */
};

/* What our handler calls where the signal comes to it for the `visit`th
 * time. */
static int next_of_ours(int visit) {
  if (is_watched(0) && !is_watched(UVSIG_CHAIN))
    return IGNORED;
  if (visit == 1)
    return ours.found != NONE && (ours.installs == 1 || installed() == OURS)
               ? ours.found
               : NONE;
  return visit == 2 && ours.installs == 2 && ours.is_on_top ? ours.first : NONE;
}

static struct prediction predict(void) {
  struct prediction p = {{false}, 0, false};
  int at = installed();

  while (at != IGNORED) {
    if (at == NONE)
      return p;
    if (at == OURS) {
      at = next_of_ours(++p.visits);
      continue;
    }
    if (p.is_called[at])
      return p; /* ours must see to it that it is not called twice */
    p.is_called[at] = true;
    at = at != BASE && chains[at] ? owner_of(saved[at]) : IGNORED;
  }
  p.is_complete = true;
  return p;
}

/* --- Steps ---------------------------------------------------------------- */

static void check_raise(void) {
  unsigned long told[WATCHERS];
  struct prediction p = predict();
  bool gives_way =
      installed() == OURS && !is_watched(0) && next_of_ours(1) != NONE;
  bool is_told;
  int i;

  for (i = 0; i < FOREIGN; i++)
    calls[i] = 0;
  for (i = 0; i < WATCHERS; i++)
    told[i] = watchers[i].signals;
  CHECK_EQ(raise(SIGUSR1), 0);
  for (i = 0; i < LOOPS; i++)
    CHECK(uvsig_flush(&fixtures[i].sig) >= 0);
  SAY("raise: %d %d %d\n", calls[0], calls[1], calls[BASE]);
  for (i = 0; i < FOREIGN; i++) {
    CHECK(calls[i] <= 1);
    CHECK(calls[i] == 1 || !p.is_called[i]);
    CHECK(calls[i] == 0 || p.is_called[i] || !p.is_complete);
  }
  for (i = 0; i < WATCHERS; i++) {
    is_told = p.visits > 0 && uvsig_watcher_is_active(&watchers[i].w);
    CHECK_EQ(watchers[i].signals - told[i], is_told);
  }
  if (gives_way)
    CHECK_EQ(installed(), ours.found);
}

static bool raise_and_check(const unsigned* args) {
  (void) args;
  check_raise();
  return true;
}

/* args: the watcher, whether it is chained */
static bool start_watcher(const unsigned* args) {
  struct recorder* r = &watchers[args[0]];
  int before = installed();

  if (uvsig_watcher_is_active(&r->w))
    return false;
  CHECK_EQ(uvsig_watcher_set_flags(&r->w, args[1] ? UVSIG_CHAIN : 0), 0);
  recorder_start(r, SIGUSR1);
  SAY("  over %d\n", before);
  if (before == OURS || installed() != OURS)
    return true;
  if (ours.installs == 0)
    ours.first = before;
  ours.found = before;
  ours.is_found[before] = true;
  ours.installs++;
  ours.is_on_top = true;
  return true;
}

/* args: the watcher */
static bool stop_watcher(const unsigned* args) {
  uvsig_watcher_t* w = &watchers[args[0]].w;
  int before = installed();

  if (!uvsig_watcher_is_active(w))
    return false;
  CHECK_EQ(uvsig_watcher_stop(w), 0);
  SAY("  %d, then %d\n", before, installed());
  if (is_watched(0) || before != OURS)
    CHECK_EQ(installed(), before);
  else if (ours.is_on_top)
    CHECK_EQ(installed(), ours.found);
  return true;
}

/* args: the library */
static bool start_library(const unsigned* args) {
  unsigned which = args[0];
  struct sigaction action;
  bool reached[NONE] = {false};

  mark_reached(installed(), reached);
  if (has_started[which] || reached[which])
    return false; /* see above */
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = which == 0 ? on_first : on_second;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGUSR1, &action, &saved[which]), 0);
  has_started[which] = true;
  ours.is_on_top = false;
  SAY("  over %d\n", owner_of(saved[which]));
  return true;
}

/* Would putting this back below ours bring about what is left out? It is the
 * other library's, which has stopped, or has ours below it, installed
 * before. */
static bool is_left_out(struct sigaction action) {
  int owner = owner_of(action);
  bool reached[NONE] = {false};

  mark_reached(owner, reached);
  return owner < LIBRARIES &&
         (!has_started[owner] || (reached[OURS] && ours.installs > 1));
}

/* One that has stopped while it is covered still passes signals on.
 * args: the library, whether it is polite */
static bool stop_library(const unsigned* args) {
  int which = (int) args[0];
  int top = installed();

  if (!has_started[which])
    return false;
  has_started[which] = false;
  if (top != which && (args[1] || top != OURS || is_left_out(saved[which])))
    return true;
  CHECK_EQ(sigaction(SIGUSR1, &saved[which], NULL), 0);
  SAY("  puts %d back\n", installed());
  ours.is_on_top = false;
  if (installed() == OURS && ours.installs > 1)
    ours.found = NONE;
  return true;
}

/* Two bits of `config` say whether there is a handler at first, and two more for
 * each library whether it chains. */
static void begin(unsigned config) {
  int i;

  memset(&ours, 0, sizeof(ours));
  ours.found = NONE;
  install_handler(SIGUSR1, (config & 3) != 3 ? on_base : SIG_IGN);
  for (i = 0; i < LIBRARIES; i++) {
    saved[i] = action_of(SIGUSR1);
    has_started[i] = false;
    chains[i] = (config >> (2 * i + 2) & 3) != 3;
  }
  for (i = 0; i < LOOPS; i++)
    fixture_open(&fixtures[i], NULL);
  for (i = 0; i < WATCHERS; i++)
    recorder_init(&watchers[i], &fixtures[i % LOOPS].sig);
}

static void end(void) {
  unsigned i;

  for (i = 0; i < WATCHERS; i++)
    stop_watcher(&i);
  check_raise();
  for (i = 0; i < LOOPS; i++)
    fixture_close(&fixtures[i]);
}

enum { START, STOP, INSTALL, REMOVE, RAISE };

static const struct op ops[] = {
    {"START", 2, {WATCHERS, 2}, false, start_watcher},
    {"STOP", 2, {WATCHERS}, false, stop_watcher},
    {"INSTALL", 2, {LIBRARIES}, false, start_library},
    {"REMOVE", 2, {LIBRARIES, 2}, false, stop_library},
    {"RAISE", 4, {0}, false, raise_and_check},
};

static const struct kind chain = {
    "chain", ops, sizeof(ops) / sizeof(ops[0]), 40, 6, begin, end, NULL, NULL};

static void two_libraries_that_come_and_go_are_called_as_the_model_says(void) {
  run_sequences(&chain);
}

/* As a found sequence is told: two watchers over a library that covers ours. */
static void ours_installed_over_a_library_over_ours_calls_each_once(void) {
  static const struct step steps[] = {
      {START, {0, 1, 0}, 0},
      {INSTALL, {0, 0, 0}, 0},
      {START, {1, 1, 0}, 0},
      {RAISE, {0, 0, 0}, 0},
      {STOP, {0, 0, 0}, 0},
      {REMOVE, {0, 0, 0}, 0},
      {RAISE, {0, 0, 0}, 0},
  };

  REPLAY(&chain, 0, steps);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(two_libraries_that_come_and_go_are_called_as_the_model_says),
      TEST(ours_installed_over_a_library_over_ours_calls_each_once),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
