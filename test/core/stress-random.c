/* SPDX-License-Identifier: MIT
 *
 * Threads that raise, send, watch, start, stop, flush, open, close and fork at
 * random, also beside libuv's own handles of the same signals: no crash, no
 * signal to the wrong one, children that are as if the library were not there,
 * and books that balance at the end. The seed is printed; TEST_SEED sets it,
 * and TEST_SECONDS how long it goes on.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOPS = 3, SENDERS = 3, WATCHERS = 12, SIGNALS = 5 };

static int signals[SIGNALS]; /* with realtime ones */
static atomic_bool over;
static atomic_ulong sent[SIGNALS];
static unsigned seed;
static bool is_shared; /* with handles of libuv's */

/* The previous handler of two of the signals. */
enum { HANDLED_1 = 1, HANDLED_2 = 4 };
static atomic_ulong previous_calls;

static void count_previous(int signum) {
  (void) signum;
  atomic_fetch_add(&previous_calls, 1);
}

static bool is_handled(uintptr_t which) {
  return which == HANDLED_1 || which == HANDLED_2;
}

/* --- Senders -------------------------------------------------------------- */

static pthread_t loop_threads[LOOPS];

static void* send_at_random(void* argument) {
  unsigned state = seed + 1000 + (unsigned) (uintptr_t) argument;
  const union sigval value = {.sival_int = 42};
  int which;
  int err;

  while (!over) {
    which = (int) random_below(&state, SIGNALS);
    switch (random_below(&state, 4)) {
    case 0:
      err = uvsig_raise_signal(signals[which]);
      break;
    case 1:
      err = kill(getpid(), signals[which]);
      break;
    case 2:
      /* The queue may be full. */
      err = uvsig_sigqueue(getpid(), signals[which], value);
      break;
    default:
      err = uvsig_pthread_kill(loop_threads[random_below(&state, LOOPS)],
                               signals[which]);
    }
    CHECK(err == 0 || err == UV_EAGAIN);
    atomic_fetch_add(&sent[which], 1);
    if (random_below(&state, 16) == 0)
      sched_yield();
  }
  return NULL;
}

/* --- Children ------------------------------------------------------------- */

static unsigned long forks;

/* In a child that has not called uvsig_fork(): two of the signals have a
 * previous handler, and the others are ignored. */
static bool is_as_without_the_library(void) {
  unsigned long before = previous_calls;
  unsigned long expected = 0;
  uintptr_t i;

  /* It may call no handler in a child of several threads. */
  if (under_thread_sanitizer())
    return true;
  for (i = 0; i < SIGNALS; i++)
    /* The kernel's queue may be full. */
    if (raise(signals[i]) == 0 && is_handled(i))
      expected++;
  return previous_calls - before == expected;
}

static void* fork_at_random(void* unused) {
  int status;
  pid_t child;

  (void) unused;
  while (!over) {
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      /* Like this, valgrind does not miss the stacks of the other threads. */
      if (is_as_without_the_library())
        raise(SIGKILL);
      _exit(1);
    }
    /* The previous handler interrupts it. */
    while (waitpid(child, &status, 0) == -1)
      CHECK_EQ(errno, EINTR);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    forks++;
  }
  return NULL;
}

/* --- Loops ---------------------------------------------------------------- */

struct worker {
  unsigned state;
  struct fixture f;
  bool is_open;
  uvsig_watcher_t watchers[WATCHERS];
  bool is_started[WATCHERS];
  uvsig_wait_t wait;
  bool is_waiting;
  uv_signal_t handle;
  /* Started first and never stopped: told of all but what the waits take. */
  uvsig_watcher_t witnesses[SIGNALS];
  uint64_t witnessed[SIGNALS];
  unsigned long calls;
  unsigned long rounds;
  uint64_t caught;
};

static struct worker workers[LOOPS];

static void act(struct worker* worker);

static struct worker* worker_of(const uvsig_t* sig) {
  return (struct worker*) ((char*) (uintptr_t) sig -
                           offsetof(struct worker, f.sig));
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  struct worker* worker = worker_of(w->sig);

  CHECK_EQ(info->signum, signum);
  CHECK(info->count >= 1);
  if ((info->flags & UVSIG_INFO_NONE) == 0) {
    CHECK_EQ(info->count, 1);
    CHECK_EQ(info->pid, getpid());
    CHECK(info->code != SI_QUEUE || info->value.sival_int == 42);
  }
  worker->calls++;
  worker->is_started[w - worker->watchers] = uvsig_watcher_is_active(w) != 0;
  if (worker->calls % 7 == 0)
    act(worker);
}

static int index_of(int signum) {
  int i;

  for (i = 0; signals[i] != signum; i++)
    ;
  return i;
}

static void on_witness(uvsig_watcher_t* w,
                       int signum,
                       const uvsig_info_t* info) {
  worker_of(w->sig)->witnessed[index_of(signum)] += info->count;
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  struct worker* worker = worker_of(req->sig);

  if (info != NULL)
    worker->witnessed[index_of(info->signum)]++;

  CHECK(worker->is_waiting);
  CHECK_EQ(status == 0, info != NULL);
  worker->is_waiting = false;
}

static void open_worker(struct worker* worker) {
  uvsig_options_t options;
  int i;

  uvsig_options_init(&options);
  options.mode =
      random_below(&worker->state, 2) ? UVSIG_MODE_BYTES : UVSIG_MODE_WAKE_ONLY;
  options.wakeup = random_below(&worker->state, 4) ? UVSIG_WAKEUP_PIPE
                                                   : UVSIG_WAKEUP_SOCKETPAIR;
  options.warn_on_full_buffer = 0;
  if (options.wakeup == UVSIG_WAKEUP_PIPE && random_below(&worker->state, 2))
    options.buffer_size = 4096;
  options.info_depth = random_below(&worker->state, 3) * 16;
  options.time_stamps = (int) random_below(&worker->state, 2);
  CHECK_EQ(uvsig_init(&worker->f.loop, &worker->f.sig, &options), 0);
  for (i = 0; i < SIGNALS; i++) {
    worker->witnessed[i] = 0;
    CHECK_EQ(uvsig_watcher_init(&worker->f.sig, &worker->witnesses[i]), 0);
    CHECK_EQ(uvsig_watcher_start(&worker->witnesses[i], on_witness, signals[i]),
             0);
  }
  for (i = 0; i < WATCHERS; i++) {
    CHECK_EQ(uvsig_watcher_init(&worker->f.sig, &worker->watchers[i]), 0);
    worker->is_started[i] = false;
  }
  worker->is_open = true;
}

static void on_closed(uvsig_t* sig) {
  struct worker* worker = worker_of(sig);

  CHECK(!worker->is_waiting);
  worker->is_open = false;
}

static void close_worker(struct worker* worker) {
  uvsig_stats_t stats;
  uint64_t caught = 0;
  int i;

  /* Half of the time nothing is left to discard but what comes now. */
  if (random_below(&worker->state, 2))
    CHECK(uvsig_flush(&worker->f.sig) >= 0);
  CHECK_EQ(uvsig_close(&worker->f.sig, on_closed), 0);
  for (i = 0; i < SIGNALS; i++) {
    uvsig_stats(&worker->f.sig, signals[i], &stats);
    CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
    /* What the books say was told, somebody was told. */
    CHECK_EQ(stats.delivered, worker->witnessed[i]);
    CHECK(stats.info_dropped <= stats.delivered);
    CHECK(stats.coalesced <= stats.delivered);
    caught += stats.caught;
  }
  uvsig_stats(&worker->f.sig, 0, &stats);
  CHECK_EQ(stats.caught, caught);
  CHECK_EQ(stats.junk, 0);
  CHECK_EQ(stats.replaced, 0);
  worker->caught += caught;
}

static void start_wait(struct worker* worker) {
  sigset_t set;
  int i;

  if (worker->is_waiting)
    return;
  sigemptyset(&set);
  for (i = 0; i < SIGNALS; i++)
    if (random_below(&worker->state, 2))
      sigaddset(&set, signals[i]);
  CHECK_EQ(
      uvsig_wait_start(&worker->f.sig, &worker->wait, &set, 0.001, on_wait), 0);
  worker->is_waiting = true;
}

static atomic_ulong handled;

static void on_handler(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  CHECK_EQ(info->si_signo, signum);
  CHECK(w->handler == on_handler);
  atomic_fetch_add(&handled, 1);
}

static atomic_ulong handle_calls;

static void on_handle(uv_signal_t* handle, int signum) {
  CHECK_EQ(handle->signum, signum);
  atomic_fetch_add(&handle_calls, 1);
}

static void start_or_stop_handle(struct worker* worker) {
  int signum = signals[random_below(&worker->state, SIGNALS)];

  switch (random_below(&worker->state, 3)) {
  case 0:
    CHECK_EQ(uv_signal_start(&worker->handle, on_handle, signum), 0);
    break;
  case 1:
    CHECK_EQ(uv_signal_start_oneshot(&worker->handle, on_handle, signum), 0);
    break;
  default:
    CHECK_EQ(uv_signal_stop(&worker->handle), 0);
  }
}

static unsigned random_flags(struct worker* worker) {
  static const unsigned all = UVSIG_KEEP_MASK | UVSIG_CHAIN | UVSIG_SHARE;
  unsigned flags = random_below(&worker->state, 65536) & all;

  return is_shared ? flags : flags & ~UVSIG_SHARE;
}

static void act(struct worker* worker) {
  unsigned which = random_below(&worker->state, WATCHERS);
  uvsig_watcher_t* w = &worker->watchers[which];

  switch (random_below(&worker->state, is_shared ? 9 : 8)) {
  case 0:
  case 1:
  case 2:
    CHECK_EQ(uvsig_watcher_start(
                 w, on_signal, signals[random_below(&worker->state, SIGNALS)]),
             0);
    worker->is_started[which] = true;
    break;
  case 3:
    CHECK_EQ(uvsig_watcher_start_oneshot(
                 w, on_signal, signals[random_below(&worker->state, SIGNALS)]),
             0);
    break;
  case 4:
  case 5:
    CHECK_EQ(uvsig_watcher_stop(w), 0);
    CHECK_EQ(uvsig_watcher_is_active(w), 0);
    CHECK_EQ(uvsig_watcher_set_flags(w, random_flags(worker)), 0);
    /* Of one signal one watcher may have one. */
    if (which == 0)
      CHECK_EQ(uvsig_watcher_set_handler(
                   w, random_below(&worker->state, 2) ? on_handler : NULL),
               0);
    break;
  case 6:
    CHECK(uvsig_flush(&worker->f.sig) >= 0);
    break;
  case 7:
    start_wait(worker);
    break;
  default:
    start_or_stop_handle(worker);
  }
}

static void* run_worker(void* argument) {
  struct worker* worker = argument;
  unsigned i;

  CHECK_EQ(uv_signal_init(&worker->f.loop, &worker->handle), 0);
  uv_unref((uv_handle_t*) &worker->handle);
  while (!over) {
    open_worker(worker);
    for (i = 0; i < 200 && !over; i++) {
      act(worker);
      uv_run(&worker->f.loop, UV_RUN_NOWAIT);
    }
    close_worker(worker);
    while (worker->is_open)
      uv_run(&worker->f.loop, UV_RUN_ONCE);
    worker->rounds++;
  }
  uv_close((uv_handle_t*) &worker->handle, NULL);
  uv_run(&worker->f.loop, UV_RUN_DEFAULT);
  return NULL;
}

/* libuv's handler is installed before everything, and stays as long as the
 * storm: it puts it there and takes it away without a look at what is there. */
struct keeper {
  struct fixture f;
  struct recorder recorders[SIGNALS];
};

static void keeper_open(struct keeper* keeper) {
  int i;

  fixture_open(&keeper->f, NULL);
  for (i = 0; i < SIGNALS; i++) {
    recorder_init(&keeper->recorders[i], &keeper->f.sig);
    CHECK_EQ(uvsig_watcher_set_flags(&keeper->recorders[i].w, UVSIG_SHARE), 0);
    recorder_start(&keeper->recorders[i], signals[i]);
  }
}

static void watch_storm(struct keeper* keeper, unsigned seconds) {
  uint64_t end = uv_hrtime() + (uint64_t) seconds * 1000 * 1000 * 1000;

  while (uv_hrtime() < end) {
    usleep(10 * 1000); /* signals interrupt it */
    if (is_shared)
      uv_run(&keeper->f.loop, UV_RUN_NOWAIT);
  }
}

static void set_up(void) {
  int i;

  seed = test_seed();
  signals[0] = SIGUSR1;
  signals[1] = SIGUSR2;
  signals[2] = SIGTERM;
  signals[3] = SIGRTMIN;
  signals[4] = SIGRTMAX - 1; /* the last one is valgrind's */
  for (i = 0; i < SIGNALS; i++)
    if (is_handled((uintptr_t) i))
      install_handler(signals[i], count_previous);
    else
      CHECK_EQ(uvsig_ignore(signals[i]), UVSIG_DEFAULT);
}

static void storm(void) {
  unsigned seconds = setting("TEST_SECONDS", 2);
  static struct keeper keeper;
  pthread_t senders[SENDERS];
  pthread_t forker;
  unsigned long rounds = 0;
  unsigned long calls = 0;
  unsigned long total = 0;
  uint64_t caught = 0;
  uintptr_t i;

  set_up();
  if (is_shared)
    keeper_open(&keeper);
  for (i = 0; i < LOOPS; i++) {
    workers[i].state = seed + (unsigned) i;
    CHECK_EQ(uv_loop_init(&workers[i].f.loop), 0);
    CHECK_EQ(pthread_create(&loop_threads[i], NULL, run_worker, &workers[i]),
             0);
  }
  for (i = 0; i < SENDERS; i++)
    CHECK_EQ(pthread_create(&senders[i], NULL, send_at_random, (void*) i), 0);
  CHECK_EQ(pthread_create(&forker, NULL, fork_at_random, NULL), 0);
  watch_storm(&keeper, seconds);
  over = true;
  CHECK_EQ(pthread_join(forker, NULL), 0);
  for (i = 0; i < SENDERS; i++)
    CHECK_EQ(pthread_join(senders[i], NULL), 0);
  for (i = 0; i < LOOPS; i++) {
    CHECK_EQ(pthread_join(loop_threads[i], NULL), 0);
    close_loop(&workers[i].f.loop);
    rounds += workers[i].rounds;
    calls += workers[i].calls;
    caught += workers[i].caught;
  }
  if (is_shared)
    fixture_close(&keeper.f);
  for (i = 0; i < SIGNALS; i++) {
    if (is_handled(i))
      CHECK(action_of(signals[i]).sa_handler == count_previous);
    else
      CHECK_EQ(uvsig_getsignal(signals[i]), UVSIG_IGNORED);
    total += sent[i];
  }
  /* Once for each signal at most, whoever wants it. */
  CHECK(previous_calls <= sent[HANDLED_1] + sent[HANDLED_2]);
  /* Each uvsig_t catches for itself. */
  CHECK(caught <= (uint64_t) total * LOOPS);
  CHECK(forks > 0);
  printf("# %u s: %lu rounds, %lu sent, %llu caught, %lu callbacks, "
         "%lu calls of previous handlers, %lu of watchers' handlers, "
         "%lu of libuv's handles, %lu forks\n",
         seconds,
         rounds,
         total,
         (unsigned long long) caught,
         calls,
         (unsigned long) previous_calls,
         (unsigned long) handled,
         (unsigned long) handle_calls,
         forks);
  fflush(stdout);
}

static void random_storms_balance_the_books(void) {
  storm();
}

static void random_storms_beside_libuvs_handles_balance_the_books(void) {
  is_shared = true;
  storm();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(random_storms_balance_the_books),
      TEST(random_storms_beside_libuvs_handles_balance_the_books),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
