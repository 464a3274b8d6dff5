/* SPDX-License-Identifier: MIT
 *
 * Another thread comes to watch, or stops, at one moment in the middle of the
 * signal handler. Linked with --wrap, so that what the handler calls there
 * comes here first.
 */

#include "../lib/harness.h"
#include "../lib/wrap-syscall.h"

#include "../../lib/subscription.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct fixture g; /* the other thread's */
static struct recorder a;
static struct recorder b;
static struct recorder c;

/* --- Moments -------------------------------------------------------------- */

enum moment {
  LOCKING, /* the library's lock is to be taken */
  BEFORE_LOOK,
  AFTER_LOOK,
  HANDING_ON,
  WRITING,
  MOMENTS
};

/* What is to be done there, once. */
static void (*volatile at[MOMENTS])(void);
/* By this thread. */
static _Thread_local bool is_raiser;

static void reach(enum moment moment) {
  void (*fn)(void);

  if (!is_raiser)
    return;
  fn = at[moment];
  at[moment] = NULL;
  if (fn != NULL)
    fn();
}

int __real_pthread_setcancelstate(int state, int* previous);
int __wrap_pthread_setcancelstate(int state, int* previous);
int __wrap_pthread_setcancelstate(int state, int* previous) {
  if (state == PTHREAD_CANCEL_DISABLE)
    reach(LOCKING);
  return __real_pthread_setcancelstate(state, previous);
}

int __real_pthread_setcanceltype(int type, int* previous);
int __wrap_pthread_setcanceltype(int type, int* previous);
int __wrap_pthread_setcanceltype(int type, int* previous) {
  reach(previous != NULL ? BEFORE_LOOK : AFTER_LOOK);
  return __real_pthread_setcanceltype(type, previous);
}

int __real_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous) {
  if (action != NULL)
    reach(HANDING_ON);
  return __real_sigaction(signum, action, previous);
}

static int own_fd = -1; /* the program's own wakeup fd */

static bool is_refused; /* as by a filter of system calls */

/* The library writes by the system call itself. */
static bool refuses_syscall(long number, const long* arguments) {
  if (number != SYS_write || (int) arguments[0] != own_fd)
    return false;
  reach(WRITING);
  errno = EPERM;
  return is_refused;
}

/* What a thread does that waits for handlers. */
static _Thread_local bool is_waiter;
static atomic_uint yields;
static atomic_uint sleeps;
static unsigned yields_before_sleep;
static struct timespec slept;

int __real_sched_yield(void);
int __wrap_sched_yield(void);
int __wrap_sched_yield(void) {
  if (is_waiter)
    yields++;
  return __real_sched_yield();
}

int __real_nanosleep(const struct timespec* time, struct timespec* left);
int __wrap_nanosleep(const struct timespec* time, struct timespec* left);
int __wrap_nanosleep(const struct timespec* time, struct timespec* left) {
  if (is_waiter) {
    yields_before_sleep = yields;
    slept = *time;
    sleeps++;
    is_waiter = false;
  }
  return __real_nanosleep(time, left);
}

/* --- A run of the loop ---------------------------------------------------- */

static void raise_usr1(void) {
  raise(SIGUSR1);
}

/* The first action that is set is the library's, the next one is the previous. */
static void raise_at_next(void) {
  at[HANDING_ON] = raise_usr1;
}

/* When its loop has ended, and before the previous action is back. */
static void a_signal_that_comes_as_a_run_ends_is_returned(void) {
  sigset_t set = set_of(SIGUSR1);
  uv_loop_t loop;

  CHECK_EQ(uv_loop_init(&loop), 0);
  is_raiser = true;
  at[HANDING_ON] = raise_at_next;
  CHECK_EQ(uvsig_run(&loop, &set, NULL), SIGUSR1);
  close_loop(&loop);
}

/* --- The other thread ----------------------------------------------------- */

enum step { READY, START, STOP, START_AGAIN, STOP_AGAIN, STEPS };

static atomic_bool is_asked[STEPS];
static atomic_bool is_done[STEPS];

static void wait_for(atomic_bool* what) {
  while (!atomic_load(what))
    sched_yield();
}

static void have(enum step step) {
  atomic_store(&is_asked[step], true);
  wait_for(&is_done[step]);
}

static void have_started(void) {
  have(START);
}

static void have_started_again(void) {
  have(START_AGAIN);
}

static void have_stopped_again(void) {
  have(STOP_AGAIN);
}

static void have_stopped(void) {
  wait_for(&is_done[STOP]);
}

/* In the handler, which has found a watcher: have the other thread stop one. It
 * cannot be done before the handler has left, if that may have found it, but is
 * under way from here on. */
static void begin_stop(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  unsigned generation = atomic_load(&uvsig__shared.generation);

  (void) w;
  (void) signum;
  (void) info;
  atomic_store(&is_asked[STOP], true);
  while (atomic_load(&uvsig__shared.generation) == generation &&
         !atomic_load(&is_done[STOP]))
    sched_yield();
}

/* It is done when the handler is no longer counted in. */
static void begin_stop_and_end_it(uvsig_watcher_t* w,
                                  int signum,
                                  const siginfo_t* info) {
  begin_stop(w, signum, info);
  at[AFTER_LOOK] = have_stopped;
}

static void come_and_go(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&b.w, begin_stop_and_end_it), 0);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[START]);
  recorder_start(&b, SIGUSR1);
  atomic_store(&is_done[START], true);
  wait_for(&is_asked[STOP]);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  atomic_store(&is_done[STOP], true);
  fixture_close(&g);
}

static void come_and_stay(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[START]);
  recorder_start(&b, SIGUSR1);
  atomic_store(&is_done[START], true);
  run_until(&g.loop, &b.calls, 1);
  fixture_close(&g);
}

/* There is a plain watcher already, and the one that comes stops itself. */
static void come_for_once(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  recorder_init(&c, &g.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&c.w, UVSIG_CHAIN), 0);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[START]);
  recorder_start_oneshot(&c, SIGUSR1);
  atomic_store(&is_done[START], true);
  wait_for(&is_asked[STOP]);
  run_until(&g.loop, &c.calls, 1);
  atomic_store(&is_done[STOP], true);
  fixture_close(&g);
}

static void ask_to_stop(void) {
  have(STOP);
}

static void come_and_go_plainly(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[STOP]);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  atomic_store(&is_done[STOP], true);
  check_books(&g.sig, SIGUSR1, 0, 0);
  fixture_close(&g);
}

static void come_and_go_twice(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[STOP]);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  atomic_store(&is_done[STOP], true);
  wait_for(&is_asked[START_AGAIN]);
  recorder_start(&b, SIGUSR1);
  atomic_store(&is_done[START_AGAIN], true);
  wait_for(&is_asked[STOP_AGAIN]);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  atomic_store(&is_done[STOP_AGAIN], true);
  fixture_close(&g);
}

static void do_beside(uv_thread_cb other, void (*what)(void)) {
  uv_thread_t thread;

  is_raiser = true;
  CHECK_EQ(uv_thread_create(&thread, other, NULL), 0);
  wait_for(&is_done[READY]);
  what();
  CHECK_EQ(uv_thread_join(&thread), 0);
}

static void raise_one(void) {
  raise(SIGUSR1);
}

static void raise_beside(uv_thread_cb other) {
  do_beside(other, raise_one);
}

/* --- Tests ---------------------------------------------------------------- */

/* It may be a watcher of SIGCHLD, whose previous handler is libuv's. */
static void
whoever_takes_a_signal_has_the_previous_handler_called_though_he_stops(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  at[BEFORE_LOOK] = have_started;
  raise_beside(come_and_go);
  CHECK_EQ(foreign_calls, 1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
  fixture_close(&f);
}

static void a_chain_that_ends_with_its_delivery_is_called_to_the_end(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  /* The handler comes to the other thread's first, and then to this one. */
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, begin_stop), 0);
  recorder_start(&a, SIGUSR1);
  at[BEFORE_LOOK] = have_started;
  raise_beside(come_for_once);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(b.signals, 1);
  CHECK_EQ(c.signals, 1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static struct sigaction below;

/* Another library's handler, which calls ours when it is done. */
static void start_and_call_below(int signum, siginfo_t* info, void* context) {
  have_started();
  below.sa_sigaction(signum, info, context);
}

/* The start puts a newer handler of ours on top, which this signal has not
 * met. */
static void a_start_while_a_signal_is_in_a_handler_on_top_of_ours(void) {
  struct sigaction action;

  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  recorder_start(&a, SIGUSR1);
  below = action_of(SIGUSR1);
  action = below;
  action.sa_sigaction = start_and_call_below;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  raise_beside(come_and_stay);
  CHECK_EQ(b.signals, 1);
  CHECK_EQ(foreign_calls, 1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void raise_slowly(void) {
  at[BEFORE_LOOK] = ask_to_stop;
  raise(SIGUSR1);
}

static void raise_slower_than_the_last_stop(void) {
  do_beside(come_and_go_plainly, raise_slowly);
}

static void ignore_slower_than_the_last_stop(void) {
  install_handler(SIGUSR1, SIG_IGN);
  raise_slower_than_the_last_stop();
}

/* It finds nothing that watches, and is not lost. */
static void a_signal_that_is_slower_than_the_last_stop_is_the_previous_ones(
    void) {
  int status;

  status = run_child(raise_slower_than_the_last_stop);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGUSR1);
  CHECK(child_passed(run_child(ignore_slower_than_the_last_stop)));
  install_handler(SIGUSR1, count_foreign);
  raise_slower_than_the_last_stop();
  CHECK_EQ(foreign_calls, 1);
}

static volatile sig_atomic_t rounds;

static void call_ours(int signum, siginfo_t* info, void* context) {
  CHECK(++rounds < 100); /* rather than until the stack is full */
  below.sa_sigaction(signum, info, context);
}

/* The previous handler has saved ours, at some time, and calls it. */
static void a_signal_that_is_slower_than_the_last_stop_does_not_go_round(void) {
  struct sigaction action;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  below = action_of(SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  action = below;
  action.sa_sigaction = call_ours;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  raise_slower_than_the_last_stop();
  CHECK_EQ(rounds, 1);
  fixture_close(&f);
}

static void install_once(void) {
  struct sigaction action;

  install_handler(SIGUSR1, count_foreign);
  action = action_of(SIGUSR1);
  action.sa_flags |= (int) SA_RESETHAND;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

static void raise_into_a_stop(void) {
  at[BEFORE_LOOK] = ask_to_stop;
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  have_started_again();
  have_stopped_again();
}

/* It finds nobody, and the one call is the kernel's to make. */
static void a_signal_that_is_slower_than_the_last_stop_has_the_call(void) {
  install_once();
  do_beside(come_and_go_twice, raise_into_a_stop);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

/* The other thread waits for this handler, and is under way from here on. */
static void begin_start(void) {
  unsigned generation = atomic_load(&uvsig__shared.generation);

  atomic_store(&is_asked[START], true);
  while (atomic_load(&uvsig__shared.generation) == generation &&
         !atomic_load(&is_done[START]))
    sched_yield();
}

static void raise_and_end(void) {
  raise(SIGUSR1);
  atomic_store(&is_done[STOP], true);
}

static void come_and_catch_one(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[START]);
  recorder_start(&b, SIGUSR1);
  atomic_store(&is_done[START], true);
  wait_for(&is_done[STOP]);
  CHECK(action_of(SIGUSR1).sa_handler != count_foreign);
  raise(SIGUSR1);
  run_until(&g.loop, &b.calls, 1);
  fixture_close(&g);
}

/* A foreign library has put our handler back, which has the previous action
 * installed again: a start at that moment does not lose its handler by it. */
static void a_start_while_the_previous_action_is_put_back_has_its_handler(
    void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  stop_and_put_back(&a);
  at[HANDING_ON] = begin_start;
  do_beside(come_and_catch_one, raise_and_end);
  CHECK_EQ(b.signals, 1);
  CHECK_EQ(foreign_calls, 1);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
  fixture_close(&f);
}

static void start_at_the_next_look(void) {
  at[BEFORE_LOOK] = have_started;
}

/* It has found nothing that watches, and looks once more. */
static void a_start_before_a_signal_is_handed_on_has_it(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  stop_and_put_back(&a);
  at[BEFORE_LOOK] = start_at_the_next_look;
  raise_beside(come_and_stay);
  CHECK_EQ(b.signals, 1);
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&f);
}

static void begin_start_in_handler(uvsig_watcher_t* w,
                                   int signum,
                                   const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  begin_start();
}

static void come_to_chain(void* unused) {
  (void) unused;
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&b.w, begin_start_in_handler), 0);
  recorder_start(&b, SIGUSR1);
  recorder_init(&c, &g.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&c.w, UVSIG_CHAIN), 0);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[START]);
  recorder_start(&c, SIGUSR1);
  atomic_store(&is_done[START], true);
  wait_for(&is_done[STOP]);
  run_until(&g.loop, &b.calls, 1);
  CHECK_EQ(c.signals, 0);
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&g);
}

/* It is in the handler, which has seen that nobody wants a chain. A watcher that
 * does starts then, and the signal is not for it. */
static void a_signal_that_was_not_chained_is_not_for_who_chains(void) {
  install_handler(SIGUSR1, count_foreign);
  do_beside(come_to_chain, raise_and_end);
}

static void come_and_ignore(void* unused) {
  (void) unused;
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[START]);
  CHECK(uvsig_ignore(SIGUSR1) >= 0);
  atomic_store(&is_done[START], true);
}

static void what_is_ignored_meanwhile_stays_ignored(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  stop_and_put_back(&a);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  at[HANDING_ON] = begin_start;
  raise_beside(come_and_ignore);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
  fixture_close(&f);
}

static unsigned warnings;
static uint64_t warned_total;

static void on_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  CHECK_EQ(warning->kind,
           is_refused ? UVSIG_WARN_WRITE_ERROR : UVSIG_WARN_FULL_BUFFER);
  CHECK_EQ(warning->error, is_refused ? UV_EPERM : UV_EAGAIN);
  CHECK_EQ(warning->fd, own_fd);
  warned_total = warning->total;
  warnings++;
}

/* In the other thread's handler, which has counted the signal, and not yet
 * found out that there is no room in the program's own fd. */
static void come_this_far(void) {
  atomic_store(&is_done[START], true);
  wait_for(&is_asked[STOP]);
}

static void raise_there(void* unused) {
  (void) unused;
  is_raiser = true;
  at[WRITING] = come_this_far;
  wait_for(&is_asked[START]);
  raise(SIGUSR1);
  atomic_store(&is_done[STOP], true);
}

/* The callback of the first signal has the second begin, and the callback of
 * the second has it end. */
static void take_part(struct recorder* r) {
  if (r->calls == 1) {
    have_started();
  } else if (r->calls == 2) {
    atomic_store(&is_asked[STOP], true);
    have_stopped();
  }
}

static void fill(int fd) {
  char byte = 0;

  while (write(fd, &byte, 1) == 1)
    ;
}

/* No doorbell is written while the loop delivers. What is only to be reported
 * is found all the same. */
static void what_is_to_be_reported_is_found_though_nothing_is_raised(void) {
  uvsig_options_t options;
  uv_thread_t thread;
  char byte;
  int fds[2];
  int turns;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  options.warning_cb = on_warning;
  fixture_open(&f, &options);
  CHECK_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  fill(fds[1]);
  /* Room for one page, which is all that an emptied page makes. */
  for (turns = 0; turns < 4096; turns++)
    CHECK_EQ(read(fds[0], &byte, 1), 1);
  while (turns-- > 1)
    CHECK_EQ(write(fds[1], &byte, 1), 1);
  own_fd = fds[1];
  CHECK_EQ(uvsig_set_wakeup_fd(own_fd, 1, NULL), 0);
  recorder_init(&a, &f.sig);
  a.then = take_part;
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_thread_create(&thread, raise_there, NULL), 0);
  raise(SIGUSR1);
  for (turns = 0; turns < 10; turns++)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.signals, 2);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  close(fds[0]);
  close(fds[1]);
  fixture_close(&f);
}

static void stay(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  atomic_store(&is_done[START], true);
  while (sleeps == 0)
    sched_yield();
}

static void raise_and_stay(void* unused) {
  (void) unused;
  raise(SIGUSR1);
}

/* On a 32-bit system it may be compiled to a call of another name. */
static void need_sleeps(void) {
  static const struct timespec none;

  is_waiter = true;
  nanosleep(&none, NULL);
  if (is_waiter)
    skip_test("nanosleep() has another name here");
  sleeps = 0;
  yields = 0;
}

static void check_waits(void (*what)(void)) {
  uv_thread_t thread;
  bool has_waited;

  need_sleeps();
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, stay), 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_thread_create(&thread, raise_and_stay, NULL), 0);
  wait_for(&is_done[START]);
  is_waiter = true;
  what();
  has_waited = !is_waiter;
  sleeps++; /* the handler leaves anyhow */
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK(has_waited);
  fixture_close(&f);
}

static void stop_first(void) {
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
}

/* Not for long: the handler may be preempted, or about to leave. */
static void a_stop_yields_to_a_handler_and_then_sleeps(void) {
  check_waits(stop_first);
  CHECK_EQ(yields_before_sleep, 16);
  CHECK_EQ(slept.tv_sec, 0);
  CHECK_EQ(slept.tv_nsec, 50000);
}

static void start_another(void) {
  recorder_start(&b, SIGUSR1);
}

static void a_start_on_another_loop_waits_for_a_handler(void) {
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  check_waits(start_another);
  fixture_close(&g);
}

static void ignore(void) {
  CHECK_EQ(uvsig_ignore(SIGUSR2), UVSIG_DEFAULT);
}

/* It may be about to restore the action that was there before. */
static void to_ignore_a_signal_waits_for_a_handler(void) {
  check_waits(ignore);
}

static void set_none(void) {
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
}

/* It writes to the one that it has found. */
static void a_wakeup_fd_is_free_when_no_handler_writes_to_it(void) {
  unsigned char byte = 0;
  int fds[2];

  CHECK_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  check_waits(set_none);
  CHECK_EQ(read(fds[0], &byte, 1), 1);
  CHECK_EQ(byte, SIGUSR1);
  close(fds[0]);
  close(fds[1]);
}

/* --- Forks ---------------------------------------------------------------- */

static void use_the_library(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
}

/* They have been counted in, in either generation, and never leave there. */
static void a_child_does_not_wait_for_handlers_of_the_parents_threads(void) {
  int i;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  for (i = 0; i < 2; i++)
    atomic_fetch_add(&uvsig__shared.readers[i], 1);
  CHECK_EQ(run_forked(use_the_library), 0);
  for (i = 0; i < 2; i++)
    atomic_fetch_sub(&uvsig__shared.readers[i], 1);
  fixture_close(&f);
}

/* --- Interval timers ------------------------------------------------------ */

static void on_expiration(uvsig_itimer_t* t, unsigned expirations) {
  (void) t;
  (void) expirations;
}

static void time_and_watch(void* unused) {
  uvsig_itimer_t timer;

  (void) unused;
  fixture_open(&g, NULL);
  CHECK_EQ(uvsig_itimer_init(&g.sig, &timer, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&timer, on_expiration, 1000, 0), 0);
  atomic_store(&is_done[READY], true);
  wait_for(&is_asked[STOP]);
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  atomic_store(&is_done[STOP], true);
  wait_for(&is_asked[START_AGAIN]);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGALRM);
  atomic_store(&is_done[START_AGAIN], true);
  wait_for(&is_asked[STOP_AGAIN]);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  atomic_store(&is_done[STOP_AGAIN], true);
  fixture_close(&g);
}

static void raise_alarms_slowly(void) {
  at[BEFORE_LOOK] = ask_to_stop;
  raise(SIGALRM);
  install_handler(SIGALRM, count_foreign);
  have_started_again();
  at[BEFORE_LOOK] = have_stopped_again;
  raise(SIGALRM);
}

/* The last signal of an interval timer would end the process. What comes later
 * is not the timer's. */
static void a_timers_signal_that_is_slower_than_its_stop_is_dropped(void) {
  do_beside(time_and_watch, raise_alarms_slowly);
  CHECK_EQ(foreign_calls, 1);
}

/* And one more is missed after that, of the same episode. */
static void run_other(void) {
  uv_run(&g.loop, UV_RUN_NOWAIT);
  raise(SIGUSR1);
}

static void empty(int fd) {
  char bytes[4096];

  while (read(fd, bytes, sizeof(bytes)) > 0)
    ;
}

/* Each loop has been woken for it, and finds it due. */
static void what_another_loop_reports_at_that_moment_is_reported_once(void) {
  uvsig_options_t options;
  int fds[2];

  uvsig_options_init(&options);
  options.warning_cb = on_warning;
  fixture_open(&f, &options);
  fixture_open(&g, &options);
  CHECK_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  fill(fds[1]);
  own_fd = fds[1];
  CHECK_EQ(uvsig_set_wakeup_fd(own_fd, 1, NULL), 0);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  is_raiser = true;
  at[LOCKING] = run_other;
  run_idle(&f.loop);
  CHECK(at[LOCKING] == NULL);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(warned_total, 1);
  run_until(&f.loop, &a.signals, 2);
  run_until(&g.loop, &b.signals, 2);
  CHECK_EQ(warnings, 1);
  /* Once there was room, it is another episode. */
  empty(fds[0]);
  raise(SIGUSR1);
  fill(fds[1]);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 4);
  run_until(&g.loop, &b.signals, 4);
  CHECK_EQ(warnings, 2);
  CHECK_EQ(warned_total, 2);
  is_raiser = false;
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  close(fds[0]);
  close(fds[1]);
  fixture_close(&g);
  fixture_close(&f);
}

static void a_write_that_a_filter_refuses_is_reported(void) {
  uvsig_options_t options;
  int fds[2];

  uvsig_options_init(&options);
  options.warning_cb = on_warning;
  fixture_open(&f, &options);
  CHECK_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  own_fd = fds[1];
  CHECK_EQ(uvsig_set_wakeup_fd(own_fd, 1, NULL), 0);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  is_refused = true;
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 1);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(warned_total, 1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 2);
  CHECK_EQ(warnings, 1);
  is_refused = false;
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  close(fds[0]);
  close(fds[1]);
  fixture_close(&f);
}

/* --- libuv's handler ------------------------------------------------------ */

static uv_loop_t other_loop;
static uv_signal_t handle; /* another thread's, as it were */
static unsigned long handle_calls;

static void on_handle(uv_signal_t* unused, int signum) {
  (void) unused;
  CHECK_EQ(signum, SIGUSR1);
  handle_calls++;
}

static void start_handle(void) {
  CHECK_EQ(uv_signal_start(&handle, on_handle, SIGUSR1), 0);
}

/* What is installed first is what was there below the library's handler. */
static void start_handle_later(void) {
  at[HANDING_ON] = start_handle;
}

static void open_share_to_start(void) {
  CHECK_EQ(uv_loop_init(&other_loop), 0);
  CHECK_EQ(uv_signal_init(&other_loop, &handle), 0);
  is_raiser = true;
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_SHARE), 0);
}

static void open_share(void) {
  open_share_to_start();
  recorder_start(&a, SIGUSR1);
}

static void close_share(void) {
  uv_close((uv_handle_t*) &handle, NULL);
  CHECK_EQ(uv_run(&other_loop, UV_RUN_DEFAULT), 0);
  close_loop(&other_loop);
  fixture_close(&f);
}

static void check_handle(void) {
  raise(SIGUSR1);
  run_until(&other_loop, &handle_calls, 1);
}

static void a_uv_signal_that_starts_while_a_share_ends_has_its_handler(void) {
  install_handler(SIGUSR1, count_foreign);
  open_share();
  at[HANDING_ON] = start_handle_later;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(at[HANDING_ON] == NULL);
  check_handle();
  CHECK_EQ(foreign_calls, 0);
  close_share();
}

/* The library's handler stays for another loop, and libuv's is below it. */
static void a_uv_signal_that_starts_while_one_of_two_shares_ends_is_below(
    void) {
  install_handler(SIGUSR1, count_foreign);
  open_share();
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  at[HANDING_ON] = start_handle;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(at[HANDING_ON] == NULL);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  check_handle();
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&g);
  close_share();
}

static void raise_later(void) {
  at[LOCKING] = raise_one;
}

/* libuv has installed its handler in place of ours, for an instant. */
static void a_share_that_starts_beside_a_watcher_loses_nothing(void) {
  fixture_open(&g, NULL);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  open_share_to_start();
  at[LOCKING] = raise_later;
  recorder_start(&a, SIGUSR1);
  CHECK(at[LOCKING] == NULL);
  CHECK_EQ(uvsig_flush(&g.sig), 1);
  CHECK_EQ(b.signals, 1);
  is_raiser = false;
  fixture_close(&g);
  close_share();
}

/* It would take away what starts at that moment. */
static void the_default_action_that_libuv_sets_is_not_set_again(void) {
  open_share();
  at[HANDING_ON] = start_handle_later;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(at[HANDING_ON] == start_handle);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  is_raiser = false;
  close_share();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(
          whoever_takes_a_signal_has_the_previous_handler_called_though_he_stops),
      TEST(a_chain_that_ends_with_its_delivery_is_called_to_the_end),
      TEST(a_start_while_a_signal_is_in_a_handler_on_top_of_ours),
      TEST(a_signal_that_is_slower_than_the_last_stop_is_the_previous_ones),
      TEST(a_signal_that_is_slower_than_the_last_stop_does_not_go_round),
      TEST(a_signal_that_is_slower_than_the_last_stop_has_the_call),
      TEST(a_start_while_the_previous_action_is_put_back_has_its_handler),
      TEST(a_start_before_a_signal_is_handed_on_has_it),
      TEST(a_signal_that_was_not_chained_is_not_for_who_chains),
      TEST(what_is_ignored_meanwhile_stays_ignored),
      TEST(what_is_to_be_reported_is_found_though_nothing_is_raised),
      TEST(a_stop_yields_to_a_handler_and_then_sleeps),
      TEST(a_start_on_another_loop_waits_for_a_handler),
      TEST(to_ignore_a_signal_waits_for_a_handler),
      TEST(a_wakeup_fd_is_free_when_no_handler_writes_to_it),
      TEST(a_child_does_not_wait_for_handlers_of_the_parents_threads),
      TEST(a_timers_signal_that_is_slower_than_its_stop_is_dropped),
      TEST(what_another_loop_reports_at_that_moment_is_reported_once),
      TEST(a_write_that_a_filter_refuses_is_reported),
      TEST(a_uv_signal_that_starts_while_a_share_ends_has_its_handler),
      TEST(a_uv_signal_that_starts_while_one_of_two_shares_ends_is_below),
      TEST(a_share_that_starts_beside_a_watcher_loses_nothing),
      TEST(the_default_action_that_libuv_sets_is_not_set_again),
      TEST(a_signal_that_comes_as_a_run_ends_is_returned),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
