/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD at random: starts, stops, drains, flushes, retargets,
 * turns of the loop and watchers with a handler, in callbacks too, while signals
 * are sent to the process, to the loop's thread and to one that does not block
 * them. Of each realtime signal, what was sent was told, discarded, or had the
 * previous action. The seed is printed; TEST_SEED sets it.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIGNALS = 4, REALTIME = 2, WATCHERS = 8 };

static struct fixture f;
static int signals[SIGNALS]; /* the realtime ones first */
static unsigned state;

static uvsig_watcher_t watchers[WATCHERS];
static atomic_ulong sent[SIGNALS];
static atomic_ulong previous[SIGNALS];
static unsigned long calls;

static unsigned pick(unsigned n) {
  return random_below(&state, n);
}

static unsigned index_of(int signum) {
  unsigned i = 0;

  while (signals[i] != signum)
    i++;
  return i;
}

static void on_previous(int signum) {
  atomic_fetch_add(&previous[index_of(signum)], 1);
}

static void do_nothing(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
}

static void send_one(unsigned i) {
  int err = 0;

  switch (pick(3)) {
  case 0:
    err = raise(signals[i]);
    break;
  case 1:
    err = kill(getpid(), signals[i]);
    break;
  default:
    queue_value(signals[i], 7);
  }
  CHECK_EQ(err, 0);
  atomic_fetch_add(&sent[i], 1);
}

static void act(bool may_run);

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  (void) w;
  CHECK_EQ(info->signum, signum);
  CHECK((info->flags & UVSIG_INFO_NONE) != 0 || info->pid == getpid());
  CHECK(info->code != SI_QUEUE || info->value.sival_int == 7);
  calls++;
  if (calls % 5 == 0)
    act(false);
}

static void start(uvsig_watcher_t* w) {
  int signum = signals[pick(SIGNALS)];
  int err;

  if (!uvsig_watcher_is_active(w)) {
    CHECK_EQ(uvsig_watcher_init(&f.sig, w), 0);
    if (pick(8) == 0)
      CHECK_EQ(uvsig_watcher_set_handler(w, do_nothing), 0);
    if (pick(8) == 0)
      CHECK_EQ(uvsig_watcher_set_flags(w, UVSIG_KEEP_MASK), 0);
  }
  err = pick(4) == 0 ? uvsig_watcher_start_oneshot(w, on_signal, signum)
                     : uvsig_watcher_start(w, on_signal, signum);
  CHECK(err == 0 || err == UV_EBUSY); /* one handler for a signal */
}

static void act(bool may_run) {
  uvsig_watcher_t* w = &watchers[pick(WATCHERS)];
  unsigned n;

  switch (pick(8)) {
  case 0:
  case 1:
    start(w);
    break;
  case 2:
    CHECK_EQ(uvsig_watcher_stop(w), 0);
    break;
  case 3:
    CHECK_EQ(uvsig_watcher_drain(w), 0);
    break;
  case 4:
    if (pick(2) == 0 || !may_run)
      CHECK(uvsig_flush(&f.sig) >= 0);
    else
      uv_run(&f.loop, UV_RUN_NOWAIT);
    break;
  default:
    for (n = pick(may_run ? 60 : 2); n > 0; n--)
      send_one(pick(SIGNALS));
  }
}

/* --- The thread that does not block them ------------------------------------------ */

static atomic_bool is_over;

static void* raise_elsewhere(void* unused) {
  unsigned i = 0;

  (void) unused;
  while (!is_over) {
    raise(signals[i % SIGNALS]);
    atomic_fetch_add(&sent[i++ % SIGNALS], 1);
    usleep(20);
  }
  return NULL;
}

/* --- The model --------------------------------------------------------------------- */

static void check_signal(unsigned i) {
  uvsig_stats_t stats;

  uvsig_stats(&f.sig, signals[i], &stats);
  CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
  CHECK(!is_blocked(signals[i]));
  CHECK(action_of(signals[i]).sa_handler == on_previous);
  /* Standard ones merge; ThreadSanitizer's runtime merges for a handler. */
  if (i < REALTIME && !under_thread_sanitizer())
    CHECK_EQ(sent[i], stats.caught + previous[i]);
  else
    CHECK(sent[i] >= stats.caught + previous[i]);
}

static void stop_all(void) {
  unsigned i;

  for (i = 0; i < WATCHERS; i++)
    if (pick(2) == 0)
      CHECK_EQ(uvsig_watcher_drain(&watchers[i]), 0);
  /* A drain's callbacks may have started some. */
  for (i = 0; i < WATCHERS; i++)
    CHECK_EQ(uvsig_watcher_stop(&watchers[i]), 0);
}

static void play(bool has_thread) {
  unsigned rounds = scaled(500);
  pthread_t thread;
  unsigned round;
  unsigned i;

  state = test_seed();
  for (i = 0; i < SIGNALS; i++) {
    signals[i] = i < REALTIME ? SIGRTMIN + (int) i
                              : (i == REALTIME ? SIGUSR1 : SIGWINCH);
    install_handler(signals[i], on_previous);
  }
  memset(watchers, 0, sizeof(watchers));
  fixture_open_queued(&f);
  if (has_thread)
    CHECK_EQ(pthread_create(&thread, NULL, raise_elsewhere, NULL), 0);
  for (round = 0; round < rounds && has_time(); round++) {
    for (i = 0; i < 20; i++)
      act(true);
    if (round % 8 != 0)
      continue;
    stop_all();
    /* Without the thread all has come where it goes. */
    for (i = 0; i < SIGNALS && !has_thread; i++)
      check_signal(i);
  }
  if (has_thread) {
    is_over = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
  }
  stop_all();
  for (i = 0; i < SIGNALS; i++)
    check_signal(i);
  CHECK(calls > 0);
  fixture_close(&f);
}

static void what_was_sent_was_told_or_discarded_or_had_its_action(void) {
  play(false);
}

static void also_where_a_thread_does_not_block_them(void) {
  play(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_was_sent_was_told_or_discarded_or_had_its_action),
      TEST(also_where_a_thread_does_not_block_them),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
