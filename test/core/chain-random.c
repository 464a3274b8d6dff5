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
 *
 * TEST_SEED, which is printed on a failure, makes that one sequence again, and
 * prints its steps.
 */

#include "../lib/harness.h"

#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 1000, STEPS = 16, LOOPS = 2, WATCHERS = 4, ENDLESS = 50 };

/* Whose action: the libraries are 0 and 1. */
enum {
  LIBRARIES = 2,
  BASE = LIBRARIES,
  FOREIGN,
  IGNORED = FOREIGN,
  OURS,
  NONE
};

static unsigned state; /* of the random numbers */
static bool is_verbose;

static unsigned below(unsigned n) {
  state = state * 1103515245 + 12345;
  return (state >> 16) % n;
}

#define SAY(...)                                                               \
 do {                                                                          \
  if (is_verbose)                                                              \
   fprintf(stderr, __VA_ARGS__);                                               \
 } while (0)

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
  const struct sigaction* next = &saved[which];

  count(which);
  if (!chains[which])
    return;
  if ((next->sa_flags & SA_SIGINFO) != 0)
    next->sa_sigaction(signum, info, context);
  else if (next->sa_handler != SIG_IGN)
    next->sa_handler(signum);
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

static void raise_and_check(void) {
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

static void start_watcher(int i) {
  unsigned flags = below(2) ? UVSIG_CHAIN : 0;
  int before = installed();

  CHECK_EQ(uvsig_watcher_set_flags(&watchers[i].w, flags), 0);
  recorder_start(&watchers[i], SIGUSR1);
  SAY("watcher %d starts%s, over %d\n", i, flags ? ", chained" : "", before);
  if (before == OURS || installed() != OURS)
    return;
  if (ours.installs == 0)
    ours.first = before;
  ours.found = before;
  ours.is_found[before] = true;
  ours.installs++;
  ours.is_on_top = true;
}

static void stop_watcher(int i) {
  int before = installed();

  CHECK_EQ(uvsig_watcher_stop(&watchers[i].w), 0);
  SAY("watcher %d stops: %d, then %d\n", i, before, installed());
  if (is_watched(0) || before != OURS)
    CHECK_EQ(installed(), before);
  else if (ours.is_on_top)
    CHECK_EQ(installed(), ours.found);
}

static void start_library(int which) {
  struct sigaction action;
  bool reached[NONE] = {false};

  mark_reached(installed(), reached);
  if (reached[which])
    return; /* see above */
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = which == 0 ? on_first : on_second;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGUSR1, &action, &saved[which]), 0);
  has_started[which] = true;
  ours.is_on_top = false;
  SAY("library %d starts, over %d\n", which, owner_of(saved[which]));
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

/* One that has stopped while it is covered still passes signals on. */
static void stop_library(int which) {
  bool is_polite = below(2);
  int top = installed();

  has_started[which] = false;
  if (top != which && (is_polite || top != OURS || is_left_out(saved[which])))
    return;
  CHECK_EQ(sigaction(SIGUSR1, &saved[which], NULL), 0);
  SAY("library %d stops, and puts %d back\n", which, installed());
  ours.is_on_top = false;
  if (installed() == OURS && ours.installs > 1)
    ours.found = NONE;
}

static void step(void) {
  int which = (int) below(LIBRARIES + WATCHERS);

  if (which >= LIBRARIES) {
    which -= LIBRARIES;
    if (uvsig_watcher_is_active(&watchers[which].w))
      stop_watcher(which);
    else
      start_watcher(which);
  } else if (has_started[which]) {
    stop_library(which);
  } else {
    start_library(which);
  }
}

static void run_sequence(void) {
  int i;

  memset(&ours, 0, sizeof(ours));
  ours.found = NONE;
  install_handler(SIGUSR1, below(4) > 0 ? on_base : SIG_IGN);
  for (i = 0; i < LIBRARIES; i++) {
    saved[i] = action_of(SIGUSR1);
    chains[i] = below(4) > 0;
  }
  for (i = 0; i < LOOPS; i++)
    fixture_open(&fixtures[i], NULL);
  for (i = 0; i < WATCHERS; i++)
    recorder_init(&watchers[i], &fixtures[i % LOOPS].sig);
  for (i = 0; i < STEPS; i++) {
    step();
    if (below(2))
      raise_and_check();
  }
  for (i = 0; i < WATCHERS; i++)
    if (uvsig_watcher_is_active(&watchers[i].w))
      stop_watcher(i);
  raise_and_check();
  for (i = 0; i < LOOPS; i++)
    fixture_close(&fixtures[i]);
}

static void two_libraries_that_come_and_go_are_called_as_the_model_says(void) {
  const char* given = getenv("TEST_SEED");
  unsigned sequences = scaled(SEQUENCES);
  unsigned seed = (unsigned) uv_hrtime() % 1000000000;
  unsigned i;

  if (given != NULL && *given != '\0') {
    seed = (unsigned) strtoul(given, NULL, 10);
    sequences = 1;
    is_verbose = true;
  }
  for (i = 0; i < sequences && has_time(); i++) {
    state = seed + i;
    if (run_forked(run_sequence) != 0)
      check_failed(__FILE__, __LINE__, "TEST_SEED=%u fails", seed + i);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(two_libraries_that_come_and_go_are_called_as_the_model_says),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
