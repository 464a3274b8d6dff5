/* SPDX-License-Identifier: MIT
 *
 * Scenarios: signals that are shared with uv_signal_t and with previous
 * handlers, several loops, forks, threads, and what runs without the loop.
 */

#include "scenario.h"

#include "../../lib/hub.h"

#define UVSIG_UV_SIGNAL_NO_MACROS
#include <uvsig-uv-signal.h>

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct recorder a;
static struct recorder b;
static struct recorder c;

#define START_CALLS                                                            \
 "+ calloc sigaction uv_poll_init uv_signal_init uv_signal_start"
#define FORK_CALLS                                                             \
 "+ uv_pipe uv_socketpair fcntl_setpipe_sz fcntl_getpipe_sz setsockopt "       \
 "getsockopt signalfd dup3 dup2 fcntl_setfd sigaction"

/* --- Chained, shared ------------------------------------------------------ */

static void chain(void) {
  init_signals(NULL);
  start_recorder(&a, SIGUSR2, UVSIG_CHAIN);
  tell(&a, 2);
  CHECK_EQ(foreign_calls, 2);
  start_recorder(&b, SIGUSR2, 0);
  tell(&a, 1);
  TRY("", uvsig_watcher_stop(&a.w));
  tell_at_last(&b);
  CHECK_EQ(foreign_calls, 3);
  close_signals();
  CHECK_EQ(raise(SIGUSR2), 0);
  CHECK_EQ(foreign_calls, 4);
}

static volatile sig_atomic_t handled;

static void handle(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  handled++;
}

static void call_a_handler(void) {
  init_signals(NULL);
  memset(&a, 0, sizeof(a));
  a.w.data = &a;
  TRY("", uvsig_watcher_init(&s.sig, &a.w));
  TRY("", uvsig_watcher_set_handler(&a.w, handle));
  TRY(START_CALLS, uvsig_watcher_start(&a.w, record, SIGUSR1));
  tell(&a, 2);
  tell_at_last(&a);
  CHECK_EQ(handled, 3);
  TRY("", uvsig_watcher_stop(&a.w));
  close_signals();
}

static unsigned uv_calls;

static void count_uv_call(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
  uv_calls++;
}

static void share(void) {
  uv_signal_t mine;
  uv_signal_t later;
  pid_t child;

  init_signals(NULL);
  CHECK_EQ(uv_signal_init(&s.loop, &mine), 0);
  CHECK_EQ(uv_signal_init(&s.loop, &later), 0);
  CHECK_EQ(uv_signal_start(&mine, count_uv_call, SIGWINCH), 0);
  start_recorder(&a, SIGWINCH, UVSIG_SHARE);
  start_recorder(&b, SIGUSR1, UVSIG_SHARE);
  start_recorder(&c, SIGCHLD, UVSIG_NOCLDSTOP);
  CHECK_EQ(uv_signal_start(&later, count_uv_call, SIGUSR1), 0);
  tell(&a, 1);
  tell(&b, 1);
  CHECK_EQ(uv_calls, 2);
  child = fork();
  CHECK(child >= 0);
  if (child == 0)
    _exit(0);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, NULL, 0)), child);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(c.signals, 1);
  /* libuv's last one goes, and ours stays. */
  CHECK_EQ(uv_signal_stop(&later), 0);
  tell_at_last(&b);
  tell_at_last(&c);
  TRY("", uvsig_watcher_stop(&b.w));
  TRY("", uvsig_watcher_stop(&a.w));
  CHECK_EQ(raise(SIGWINCH), 0);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uv_calls, 3);
  uv_close((uv_handle_t*) &mine, NULL);
  uv_close((uv_handle_t*) &later, NULL);
  close_signals();
}

/* A handle of libuv's that is the library's. Where its start is refused, what it
 * has opened closes in the next turn. */
static void start_moved(uv_signal_t* handle) {
  if (uvsig_uv_signal_start(handle, count_uv_call, SIGUSR1) == 0)
    return;
  lift_faults();
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_uv_signal_start(handle, count_uv_call, SIGUSR1), 0);
}

static void move(void) {
  uv_signal_t first;
  uv_signal_t second;

  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  CHECK_EQ(uv_signal_init(&s.loop, &first), 0);
  CHECK_EQ(uv_signal_init(&s.loop, &second), 0);
  start_moved(&first);
  start_moved(&second);
  tell(&a, 1);
  tell_at_last(&a);
  CHECK_EQ(uv_calls, 2 * a.signals);
  CHECK_EQ(uvsig_uv_signal_stop(&first), 0);
  uvsig_uv_close((uv_handle_t*) &first, NULL);
  uvsig_uv_close((uv_handle_t*) &second, NULL);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  close_signals();
}

/* --- Several loops -------------------------------------------------------- */

static void use_two_loops(void) {
  struct fixture first;

  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  first = s;
  (void) first;
  /* A second uvsig_t, on the same loop. */
  ASIDE(memset(&b, 0, sizeof(b)));
  {
    static uvsig_t other;

    memset(&other, 0, sizeof(other));
    TRY_INIT("calloc uv_pipe uv_poll_init fcntl_getpipe_sz pthread_setspecific "
             "pthread_key_create pthread_atfork",
             &other,
             uvsig_init(&s.loop, &other, NULL));
    b.w.data = &b;
    TRY("", uvsig_watcher_init(&other, &b.w));
    TRY(START_CALLS, uvsig_watcher_start(&b.w, record, SIGUSR1));
    tell(&a, 2);
    CHECK_EQ(b.signals, 2);
    TRY("", uvsig_watcher_stop(&a.w));
    tell_at_last(&b);
    TRY("", uvsig_close(&other, NULL));
    uv_run(&s.loop, UV_RUN_NOWAIT);
  }
  close_signals();
}

/* --- Forks ---------------------------------------------------------------- */

/* Which files the two ends of the wakeup are. */
struct files {
  ino_t ends[2];
};

static struct files find_files(void) {
  const struct uvsig__hub* hub = s.sig.hub;
  struct files files;
  struct stat status;

  CHECK_EQ(fstat(hub->wakeup.read_fd, &status), 0);
  files.ends[0] = status.st_ino;
  CHECK_EQ(fstat(hub->wakeup.write_fd, &status), 0);
  files.ends[1] = status.st_ino;
  return files;
}

static void live_as_a_child(struct files parents) {
  struct files own;

  CHECK_EQ(uv_loop_fork(&s.loop), 0);
  TRY(FORK_CALLS, uvsig_fork(&s.sig));
  own = find_files();
  CHECK(own.ends[0] != parents.ends[0]);
  CHECK(own.ends[1] != parents.ends[1]);
  a.signals = 0;
  b.signals = 0;
  tell(&a, 1);
  tell(&b, 1);
  tell_at_last(&a);
  tell_at_last(&b);
  close_signals();
  CHECK_EQ(raise(SIGUSR2), 0);
  CHECK_EQ(foreign_calls, 1);
}

static void fork_with(const uvsig_options_t* options) {
  int status;
  pid_t child;

  init_signals(options);
  start_recorder(&a, SIGUSR1, 0);
  start_recorder(&b, SIGUSR2, 0);
  start_recorder(&c, SIGWINCH, UVSIG_SHARE);
  tell(&a, 1);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    live_as_a_child(find_files());
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  tell_at_last(&a);
  tell_at_last(&b);
  close_signals();
}

static void fork_by_a_pipe(void) {
  fork_with(NULL);
}

static void fork_by_a_socketpair(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
  options.buffer_size = 4096;
  fork_with(&options);
}

static void fork_by_a_signalfd(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  fork_with(&options);
}

/* --- Without the loop ----------------------------------------------------- */

static void pause_and_flush(void) {
  unsigned long told;

  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  CHECK_EQ(raise(SIGUSR1), 0);
  TRY("", uvsig_flush(&s.sig));
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.signals, 1);
  CHECK_EQ(raise(SIGUSR1), 0);
  TRY("read poll", uvsig_pause(&s.sig));
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.signals, 2);
  told = a.signals;
  CHECK(uvsig_itimer_is_active(NULL) == 0 && told == 2);
  tell_at_last(&a);
  close_signals();
}

/* It sleeps until another process sends a signal. */
static void pause_for_long(void) {
  int status;
  pid_t child;

  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    uv_sleep(20);
    kill(getppid(), SIGUSR1);
    _exit(0);
  }
  TRY("read poll", uvsig_pause(&s.sig));
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.signals, 1);
  tell_at_last(&a);
  close_signals();
}

static void drain_in_a_callback(struct recorder* r) {
  r->then = NULL;
  TRY("", uvsig_watcher_drain(&b.w));
}

static void drain(void) {
  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  start_recorder(&b, SIGUSR2, 0);
  a.then = drain_in_a_callback;
  CHECK_EQ(raise(SIGUSR2), 0);
  tell(&a, 1);
  CHECK_EQ(b.signals, 1);
  CHECK_EQ(raise(SIGUSR2), 0);
  CHECK_EQ(foreign_calls, 1);
  tell_at_last(&a);
  close_signals();
}

/* --- Threads -------------------------------------------------------------- */

static unsigned threads;

static void be_thread(void* argument) {
  (void) argument;
  CHECK(is_blocked(SIGUSR1));
  threads++;
}

static void take_loop(void* argument) {
  (void) argument;
  tell(&a, 1);
}

static void use_threads(void) {
  uv_thread_t thread;

  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  TRY("uv_thread_create", uvsig_thread_create(&thread, be_thread, NULL));
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(threads, 1);
  TRY("calloc uv_queue_work", uvsig_threadpool_prime(&s.loop));
  uv_run(&s.loop, UV_RUN_ONCE);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uv_thread_create(&thread, take_loop, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  /* If that thread's end could not be noted, a turn makes it this one's. */
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_is_loop_thread(&s.sig), 1);
  tell_at_last(&a);
  close_signals();
}

/* A stop waits for a handler that is in flight on another thread. */
static void stay(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  uint64_t end = uv_hrtime() + UINT64_C(20000000000);

  (void) w;
  (void) signum;
  (void) info;
  handled = 1;
  while (atomic_load(&fault->calls[FAULT_nanosleep]) == 0 && uv_hrtime() < end)
    ;
}

static void raise_here(void* argument) {
  (void) argument;
  CHECK_EQ(raise(SIGUSR1), 0);
}

static void wait_for_a_handler(void) {
  uv_thread_t thread;

  init_signals(NULL);
  memset(&a, 0, sizeof(a));
  a.w.data = &a;
  TRY("", uvsig_watcher_init(&s.sig, &a.w));
  TRY("", uvsig_watcher_set_handler(&a.w, stay));
  TRY(START_CALLS, uvsig_watcher_start(&a.w, record, SIGUSR1));
  start_recorder(&b, SIGUSR2, 0);
  CHECK_EQ(uv_thread_create(&thread, raise_here, NULL), 0);
  while (handled == 0)
    uv_sleep(1);
  TRY("", uvsig_watcher_stop(&a.w));
  CHECK_EQ(uv_thread_join(&thread), 0);
  tell_at_last(&b);
  close_signals();
}

const struct scenario loop_scenarios[] = {
    {"chain", chain},
    {"handler", call_a_handler},
    {"share", share},
    {"moved", move},
    {"two", use_two_loops},
    {"fork, pipe", fork_by_a_pipe},
    {"fork, socketpair", fork_by_a_socketpair},
    {"fork, signalfd", fork_by_a_signalfd},
    {"flush", pause_and_flush},
    {"pause", pause_for_long},
    {"drain", drain},
    {"threads", use_threads},
    {"grace", wait_for_a_handler},
    {NULL, NULL}};
