/* SPDX-License-Identifier: MIT
 *
 * What is taken is given back, once: locks and memory. Linked with --wrap, which
 * counts. Otherwise an unlock without a lock would go unnoticed: neither the
 * system nor another thread says a word.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;

/* --- What is wrapped ------------------------------------------------------ */

static _Thread_local unsigned held;  /* the library's lock */
static _Thread_local unsigned owned; /* a mutex of libuv's */
static unsigned long locked;         /* how often there was a lock */
static atomic_bool has_owned;        /* did a thread have a mutex? */

void __real_uvsig__lock(void);
void __wrap_uvsig__lock(void);
void __wrap_uvsig__lock(void) {
  CHECK_EQ(held, 0);
  held++;
  __real_uvsig__lock();
  locked++;
}

void __real_uvsig__unlock(void);
void __wrap_uvsig__unlock(void);
void __wrap_uvsig__unlock(void) {
  CHECK_EQ(held, 1);
  held--;
  __real_uvsig__unlock();
}

void __real_uv_mutex_lock(uv_mutex_t* mutex);
void __wrap_uv_mutex_lock(uv_mutex_t* mutex);
void __wrap_uv_mutex_lock(uv_mutex_t* mutex) {
  CHECK_EQ(owned, 0);
  owned++;
  __real_uv_mutex_lock(mutex);
  atomic_store(&has_owned, true);
}

void __real_uv_mutex_unlock(uv_mutex_t* mutex);
void __wrap_uv_mutex_unlock(uv_mutex_t* mutex);
void __wrap_uv_mutex_unlock(uv_mutex_t* mutex) {
  CHECK_EQ(owned, 1);
  owned--;
  __real_uv_mutex_unlock(mutex);
}

static atomic_long blocks; /* of memory */

static void* note(void* block) {
  if (block != NULL)
    atomic_fetch_add(&blocks, 1);
  return block;
}

void* __real_calloc(size_t count, size_t size);
EARLY void* __wrap_calloc(size_t count, size_t size);
EARLY void* __wrap_calloc(size_t count, size_t size) {
  return note(__real_calloc(count, size));
}

void* __real_malloc(size_t size);
EARLY void* __wrap_malloc(size_t size);
EARLY void* __wrap_malloc(size_t size) {
  return note(__real_malloc(size));
}

void __real_free(void* block);
EARLY void __wrap_free(void* block);
EARLY void __wrap_free(void* block) {
  if (block != NULL)
    atomic_fetch_sub(&blocks, 1);
  __real_free(block);
}

static void check_free(void) {
  CHECK_EQ(atomic_load(&blocks), 0);
  CHECK_EQ(held, 0);
  CHECK_EQ(owned, 0);
#ifndef HAVE_LTO
  CHECK(locked > 0);
#endif
}

/* --- Signals -------------------------------------------------------------- */

static void actions_and_watchers(void) {
  struct recorder first;
  struct recorder second;
  sigset_t set = set_of(SIGUSR2);

  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_default(SIGUSR1), UVSIG_IGNORED);
  CHECK_EQ(uvsig_getsignal(SIGKILL), UVSIG_DEFAULT);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  fixture_open(&f, NULL);
  recorder_init(&first, &f.sig);
  recorder_init(&second, &f.sig);
  recorder_start(&first, SIGUSR1);
  recorder_start(&second, SIGUSR2);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UV_EBUSY);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 1), 0);
  raise(SIGUSR1);
  raise(SIGUSR2);
  run_until(&f.loop, &first.calls, 1);
  run_until(&f.loop, &second.calls, 1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_watcher_drain(&first.w), 0);
  CHECK_EQ(first.calls, 2);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  recorder_start(&first, SIGUSR1);
  fixture_close(&f);
  check_free();
}

static void with_a_signalfd(void) {
  struct recorder r;

  fixture_open_queued(&f);
  recorder_init(&r, &f.sig);
  recorder_start(&r, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &r.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
  fixture_close(&f);
  check_free();
}

static void a_child_of_a_fork(void) {
  struct recorder r;
  pid_t child;
  int status;

  fixture_open(&f, NULL);
  recorder_init(&r, &f.sig);
  recorder_start(&r, SIGUSR1);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    CHECK_EQ(uv_loop_fork(&f.loop), 0);
    CHECK_EQ(uvsig_fork(&f.sig), 0);
    raise(SIGUSR1);
    run_until(&f.loop, &r.calls, 1);
    CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
    CHECK_EQ(held, 0);
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK(child_passed(status));
  fixture_close(&f);
  check_free();
}

/* --- Timers --------------------------------------------------------------- */

static unsigned long ticks;

static void on_tick(uvsig_itimer_t* t, unsigned count) {
  (void) t;
  (void) count;
  ticks++;
}

static void timers(void) {
  uvsig_itimer_t timer;
  uvsig_itimer_t other;

  memset(&timer, 0, sizeof(timer));
  memset(&other, 0, sizeof(other));
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 3600, 0, NULL), 0);
  CHECK(uvsig_alarm(3600) > 0);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &other, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, 0.001, 0), 0);
  CHECK_EQ(uvsig_itimer_start(&other, on_tick, 0.001, 0), UV_EBUSY);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 1, 0, NULL), UV_EBUSY);
  CHECK_EQ(uvsig_alarm(1), UINT32_MAX);
  run_until(&f.loop, &ticks, 1);
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, 3600, 0), 0);
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK_EQ(uvsig_itimer_start(&other, on_tick, 3600, 0), 0);
  fixture_close(&f);
  CHECK(uvsig_alarm(0) > 0);
  check_free();
}

/* --- A shutdown ----------------------------------------------------------- */

static uvsig_shutdown_closer_t closer;
static uvsig_shutdown_hold_t hold;
static uvsig_shutdown_hold_t other_hold;

static void on_closer(uvsig_shutdown_closer_t* which) {
  CHECK_EQ(uvsig_shutdown_closed(which), 0);
}

static void open_shutdown(void) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.delay_ms = 1;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.debounce_ms = 0;
  options.keep_sig = 1;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK_EQ(uvsig_shutdown_add_closer(&sd, &closer, on_closer), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), UV_EBUSY);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &other_hold, "other"), 0);
  CHECK_EQ(uvsig_shutdown_release(&other_hold), 0);
  CHECK_EQ(uvsig_shutdown_release(&other_hold), 0);
}

static void on_stream_closed(uv_handle_t* handle) {
  (void) handle;
}

/* It is the program that says when, and nobody is at the other end. */
static void a_stream_that_lingers(bool is_removed) {
  uvsig_shutdown_connection_t connection = {.data = NULL};
  uv_pipe_t stream;
  int ends[2];

  open_shutdown();
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, &stream, 0), 0);
  CHECK_EQ(uv_pipe_open(&stream, ends[0]), 0);
  CHECK_EQ(uvsig_shutdown_add_stream(
               &sd, &connection, (uv_stream_t*) &stream, on_stream_closed),
           0);
  CHECK_EQ(uvsig_shutdown_linger(
               &connection, (uv_stream_t*) &stream, on_stream_closed),
           0);
  if (is_removed) {
    CHECK_EQ(uvsig_shutdown_remove_connection(&connection), 0);
    uv_close((uv_handle_t*) &stream, NULL);
  }
  CHECK_EQ(close(ends[1]), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  check_free();
}

static void a_stream_that_lingers_to_its_end(void) {
  a_stream_that_lingers(false);
}

static void a_stream_that_lingers_and_is_removed(void) {
  a_stream_that_lingers(true);
}

static void work_and_threads(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_threadpool_prime(&f.loop), 0);
  fixture_close(&f);
  check_free();
}

static void a_shutdown_to_its_end(void) {
  open_shutdown();
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "late"), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  check_free();
  CHECK(atomic_load(&has_owned));
}

static void a_shutdown_that_is_forced_and_given_up(void) {
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  while (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_FORCING)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
  check_free();
}

static void die_by_the_signal(void) {
  open_shutdown();
  sd.exit = UVSIG_SHUTDOWN_EXIT_SIGNAL;
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  uvsig_shutdown_exit(&sd);
}

/* It flushes in a thread, and waits for that. */
static void an_exit_by_the_signal(void) {
  int status = run_child(die_by_the_signal);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(actions_and_watchers),
      TEST(with_a_signalfd),
      TEST(a_child_of_a_fork),
      TEST(timers),
      TEST(a_stream_that_lingers_to_its_end),
      TEST(a_stream_that_lingers_and_is_removed),
      TEST(work_and_threads),
      TEST(a_shutdown_to_its_end),
      TEST(a_shutdown_that_is_forced_and_given_up),
      TEST(an_exit_by_the_signal),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
