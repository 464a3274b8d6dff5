/* SPDX-License-Identifier: MIT
 *
 * What comes between two steps of the shutdown. Linked with --wrap, so that a
 * test goes on there.
 */

#include "../lib/harness.h"

#include "../../lib/shutdown/coordinator.h"

#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#ifdef HAVE_SYS_SYSCALL_H
# include <sys/syscall.h>
#endif
#include <unistd.h>

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static uvsig_shutdown_hold_t hold;
static uvsig_shutdown_hold_t other_hold;
static uv_sem_t is_there; /* another thread has come to a step ... */
static uv_sem_t goes_on;  /* ... and may go on */

static void set_options(void) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.debounce_ms = 0;
  options.keep_sig = 1;
}

static void open_shutdown(void) {
  CHECK_EQ(uv_sem_init(&is_there, 0), 0);
  CHECK_EQ(uv_sem_init(&goes_on, 0), 0);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

static void run_to_done(void) {
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
}

static void close_all(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  uv_sem_destroy(&is_there);
  uv_sem_destroy(&goes_on);
}

/* A job keeps it there. */
static void open_draining(void) {
  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
}

static void finish_job(void) {
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  run_to_done();
  close_all();
}

static struct uvsig__coordinator* coordinator(void) {
  return sd.coordinator;
}

/* --- What is wrapped ------------------------------------------------------ */

/* A thread that has to wait for another one says so by yielding. */
static unsigned yields;

int __real_sched_yield(void);
int __wrap_sched_yield(void);
int __wrap_sched_yield(void) {
  if (yields++ == 0)
    uv_sem_post(&goes_on);
  return __real_sched_yield();
}

static void let_others_go_on(void) {
  uv_sem_post(&is_there);
  uv_sem_wait(&goes_on);
}

static bool stops_at_send;

int __real_uv_async_send(uv_async_t* async);
int __wrap_uv_async_send(uv_async_t* async);
int __wrap_uv_async_send(uv_async_t* async) {
  if (stops_at_send && async == &coordinator()->async) {
    stops_at_send = false;
    let_others_go_on();
  }
  return __real_uv_async_send(async);
}

/* The handler calls it when it has claimed the shutdown, and not begun it. */
static bool stops_at_info;

void __real_uvsig__info_set(uvsig_info_t* to, const siginfo_t* from);
void __wrap_uvsig__info_set(uvsig_info_t* to, const siginfo_t* from);
void __wrap_uvsig__info_set(uvsig_info_t* to, const siginfo_t* from) {
  if (stops_at_info) {
    stops_at_info = false;
    let_others_go_on();
  }
  __real_uvsig__info_set(to, from);
}

/* The phase is DONE, and what is registered is not forgotten. */
static bool releases_at_end;

void __real_uvsig__mute_late_signals(struct uvsig__coordinator* c);
void __wrap_uvsig__mute_late_signals(struct uvsig__coordinator* c);
void __wrap_uvsig__mute_late_signals(struct uvsig__coordinator* c) {
  if (releases_at_end)
    CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  __real_uvsig__mute_late_signals(c);
}

/* The watchdog has its limit, and the handler has not heard that it has. */
static bool raises_at_watchdog;
/* A thread that waits is told to look; it would look later anyhow. */
static atomic_uint wakes;
static bool exits_at_wake;
enum { WOKEN = 42 };

void __real_uv_cond_signal(uv_cond_t* cond);
void __wrap_uv_cond_signal(uv_cond_t* cond);
void __wrap_uv_cond_signal(uv_cond_t* cond) {
  if (raises_at_watchdog) {
    raises_at_watchdog = false;
    raise(SIGTERM);
  }
  if (exits_at_wake)
    _exit(WOKEN);
  atomic_fetch_add(&wakes, 1);
  __real_uv_cond_signal(cond);
}

/* A child that has ended, and is not found to have: once. */
static uv_pid_t hidden;

pid_t __real_waitpid(pid_t pid, int* status, int flags);
pid_t __wrap_waitpid(pid_t pid, int* status, int flags);
pid_t __wrap_waitpid(pid_t pid, int* status, int flags) {
  if (hidden != 0 && pid == hidden) {
    hidden = 0;
    return 0;
  }
  return __real_waitpid(pid, status, flags);
}

static unsigned messages; /* that have come for a successor */

bool __real_uvsig__ready_receive(int fd, uv_pid_t pid, bool* is_ready);
bool __wrap_uvsig__ready_receive(int fd, uv_pid_t pid, bool* is_ready);
bool __wrap_uvsig__ready_receive(int fd, uv_pid_t pid, bool* is_ready) {
  if (messages == 0)
    return __real_uvsig__ready_receive(fd, pid, is_ready);
  messages--;
  *is_ready = false;
  return true;
}

/* A handle that closes is not to be started: older ones of libuv would. */
int __real_uv_timer_start(uv_timer_t* timer,
                          uv_timer_cb cb,
                          uint64_t timeout,
                          uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t* timer,
                          uv_timer_cb cb,
                          uint64_t timeout,
                          uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t* timer,
                          uv_timer_cb cb,
                          uint64_t timeout,
                          uint64_t repeat) {
  CHECK(!uv_is_closing((uv_handle_t*) timer));
  return __real_uv_timer_start(timer, cb, timeout, repeat);
}

/* A thread that the system refuses, and a timer. */
static bool has_no_thread;
static bool has_no_timer;

static void refuse_threads(void) {
  skip_unless_wrapped();
  has_no_thread = true;
}

int __real_uvsig_thread_create(uv_thread_t* tid, uv_thread_cb entry, void* arg);
int __wrap_uvsig_thread_create(uv_thread_t* tid, uv_thread_cb entry, void* arg);
int __wrap_uvsig_thread_create(uv_thread_t* tid,
                               uv_thread_cb entry,
                               void* arg) {
  return has_no_thread ? UV_EAGAIN
                       : __real_uvsig_thread_create(tid, entry, arg);
}

#ifdef HAVE_TIMER_CREATE
int __real_timer_create(clockid_t clock,
                        struct sigevent* event,
                        timer_t* timer);
int __wrap_timer_create(clockid_t clock,
                        struct sigevent* event,
                        timer_t* timer);
int __wrap_timer_create(clockid_t clock,
                        struct sigevent* event,
                        timer_t* timer) {
  if (!has_no_timer)
    return __real_timer_create(clock, event, timer);
  errno = EAGAIN;
  return -1;
}

/* The watchdog's thread takes over in a handler that is about to set it. */
static volatile bool takes_over_at_timer; /* set in a handler */

int __real_timer_settime(timer_t timer,
                         int flags,
                         const struct itimerspec* value,
                         struct itimerspec* old);
int __wrap_timer_settime(timer_t timer,
                         int flags,
                         const struct itimerspec* value,
                         struct itimerspec* old);
int __wrap_timer_settime(timer_t timer,
                         int flags,
                         const struct itimerspec* value,
                         struct itimerspec* old) {
  if (takes_over_at_timer) {
    takes_over_at_timer = false;
    uvsig__set_handled(&coordinator()->escalation, UVSIG_SHUTDOWN_FORCED);
  }
  return __real_timer_settime(timer, flags, value, old);
}
#endif

/* --- Between two steps ---------------------------------------------------- */

static void request(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_shutdown_request(&sd, "thread", UVSIG_SHUTDOWN_GRACEFUL), 0);
}

/* Its handle must be open until then. */
static void close_waits_for_a_request_that_is_under_way(void) {
  uv_thread_t thread;

  set_options();
  open_shutdown();
  stops_at_send = true;
  CHECK_EQ(uv_thread_create(&thread, request, NULL), 0);
  uv_sem_wait(&is_there);
  CHECK_EQ(yields, 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK(yields > 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  fixture_close(&f);
  uv_sem_destroy(&is_there);
  uv_sem_destroy(&goes_on);
}

static void* raise_on_thread(void* unused) {
  (void) unused;
  CHECK_EQ(pthread_kill(pthread_self(), SIGTERM), 0);
  return NULL;
}

/* A second one asks for it at once: the report is of the first all the same. */
static void the_report_waits_for_what_has_begun_it(void) {
  pthread_t thread;

  set_options();
  open_shutdown();
  stops_at_info = true;
  CHECK_EQ(pthread_create(&thread, NULL, raise_on_thread, NULL), 0);
  uv_sem_wait(&is_there);
  CHECK_EQ(uvsig_shutdown_request(&sd, "second", UVSIG_SHUTDOWN_GRACEFUL), 0);
  run_to_done();
  CHECK(yields > 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(sd.report.signum, SIGTERM);
  CHECK_STR(sd.report.reason, "SIGTERM");
  close_all();
}

static void release_at_the_end(unsigned ms) {
  set_options();
  options.grace_ms = 1;
  options.hard_ms = ms;
  releases_at_end = true;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(sd.report.holds, 1);
  close_all();
}

static void a_hold_that_is_released_at_the_very_end_wakes_nobody(void) {
  skip_under_valgrind("there are 100 ms from the deadline to the limit");
  CHECK_EQ(run_in_time(release_at_the_end), 0);
}

/* The limit that is there is not that of forcing: the kernel's timer stays. */
static void a_signal_while_the_watchdog_takes_over_keeps_the_timer(void) {
  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  raises_at_watchdog = true;
  run_idle(&f.loop);
  CHECK(!raises_at_watchdog);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_FORCING);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  run_to_done();
  CHECK_EQ(sd.report.signals, 2);
  close_all();
}

static uvsig_upgrade_t upgrade;
static int upgrade_status;

static void on_upgrade(uvsig_upgrade_t* u, int status) {
  CHECK(u == &upgrade);
  upgrade_status = status;
}

/* A program that never says that it is ready. */
static void start_successor(void) {
  static char name[] = "sleep";
  static char seconds[] = "300";
  static char* args[] = {name, seconds, NULL};
  uvsig_upgrade_options_t upgrade_options;

  uvsig_upgrade_options_init(&upgrade_options);
  upgrade_options.file = "/bin/sleep";
  upgrade_options.args = args;
  upgrade_options.ready_ms = LONG_MS;
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  while (upgrade.pid == 0)
    uv_run(&f.loop, UV_RUN_ONCE);
}

/* It has ended, and that is seen only when the shutdown begins. */
static void a_successor_that_ends_when_a_shutdown_begins_is_none(void) {
  siginfo_t info;
  uv_pid_t pid;

  set_options();
  open_shutdown();
  start_successor();
  pid = upgrade.pid;
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT)),
           0);
  raise(SIGTERM);
  hidden = pid;
  run_to_done();
  CHECK_EQ(hidden, 0);
  CHECK_EQ(upgrade_status, UV_ESRCH);
  CHECK_EQ(sd.report.successor, 0);
  close_all();
}

/* However many come: the loop has other work. */
static void sixteen_messages_for_a_successor_are_read_at_a_time(void) {
  skip_unless_wrapped();
  set_options();
  open_shutdown();
  start_successor();
  messages = 1000;
  raise(SIGCHLD);
  while (messages == 1000)
    uv_run(&f.loop, UV_RUN_ONCE);
  CHECK_EQ(messages, 1000 - 16);
  CHECK_EQ(kill(upgrade.pid, SIGKILL), 0);
  raise(SIGTERM);
  run_to_done();
  close_all();
}

/* --- The kernel's timer --------------------------------------------------- */

/* It was sent before the watchdog took over, and comes after that. */
static void a_signal_of_the_timer_that_comes_too_late_is_none(void) {
#if defined(__linux__) && defined(SYS_rt_sigqueueinfo) &&                      \
    defined(HAVE_TIMER_CREATE)
  siginfo_t info;

  open_draining();
  memset(&info, 0, sizeof(info));
  info.si_signo = SIGTERM;
  info.si_code = SI_TIMER;
  info.si_value.sival_ptr = &coordinator()->escalation;
  CHECK_EQ(syscall(SYS_rt_sigqueueinfo, getpid(), SIGTERM, &info), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  run_to_done();
  CHECK_EQ(sd.report.signals, 1);
  close_all();
#else
  skip_test("the system does not let a process make a signal up");
#endif
}

/* --- Nobody waits longer than he must -------------------------------------- */

static void the_watchdogs_thread_is_woken_to_end(void) {
  unsigned before;

  open_draining();
  before = atomic_load(&wakes);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(atomic_load(&wakes), before + 1);
  fixture_close(&f);
}

/* Its watchdog has its limit once, and not at each look. */
static void go_on_in_child(void) {
  unsigned before = atomic_load(&wakes);

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  run_idle(&f.loop);
  CHECK_EQ(atomic_load(&wakes), before + 1);
  CHECK_EQ(uvsig_shutdown_release(&other_hold), 0);
  run_idle(&f.loop);
  CHECK_EQ(atomic_load(&wakes), before + 1);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  run_to_done();
}

static void a_child_that_goes_on_sets_its_limit_once(void) {
  if (under_thread_sanitizer())
    skip_test("a child of a process with threads may start none");
  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &other_hold, "another"), 0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(run_forked(go_on_in_child), 0);
  CHECK_EQ(uvsig_shutdown_release(&other_hold), 0);
  finish_job();
}

/* Before a shutdown it has no limit. */
static void look_in_child(void) {
  unsigned before = atomic_load(&wakes);

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(uv_async_send(&coordinator()->async), 0);
  run_idle(&f.loop);
  CHECK(!coordinator()->has_forked);
  CHECK_EQ(atomic_load(&wakes), before);
  CHECK_EQ(coordinator()->limit, 0);
}

static void a_child_that_goes_on_has_no_limit_before_a_shutdown(void) {
  set_options();
  open_shutdown();
  CHECK_EQ(run_forked(look_in_child), 0);
  raise(SIGTERM);
  run_to_done();
  close_all();
}

static void exit_and_be_woken(void) {
  set_options();
  options.exit = UVSIG_SHUTDOWN_EXIT_SIGNAL;
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  exits_at_wake = true;
  uvsig_shutdown_exit(&sd);
}

static void an_exit_is_woken_when_all_is_written(void) {
  int status = run_child(exit_and_be_woken);

  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), WOKEN);
}

/* --- Without a thread of the watchdog's ------------------------------------- */

static void pass_the_limit(uvsig_shutdown_t* shutdown,
                           uvsig_shutdown_phase_t phase) {
  CHECK(shutdown == &sd);
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    coordinator()->limit = 1;
  if (phase == UVSIG_SHUTDOWN_DONE)
    has_no_thread = false; /* the test's own may have some */
}

/* As one that was stopped (SIGSTOP): what is left to do has its time. */
static void the_kernels_timer_has_hard_ms_after_a_limit_that_is_over(void) {
#ifdef HAVE_TIMER_CREATE
  const struct uvsig__escalation* e;
  struct itimerspec left;
  uint64_t before;

  set_options();
  options.phase_cb = pass_the_limit;
  refuse_threads();
  open_shutdown();
  raise(SIGTERM);
  before = uvsig__now();
  run_to_done();
  e = &coordinator()->escalation;
  CHECK(coordinator()->limit >= before + e->hard_ms * UVSIG__MS);
  CHECK(coordinator()->limit <= uvsig__now() + e->hard_ms * UVSIG__MS);
  CHECK(e->has_timer);
  CHECK_EQ(timer_gettime(e->timer, &left), 0);
  CHECK(left.it_value.tv_sec > 0);
  CHECK(left.it_value.tv_sec <= (time_t) (e->hard_ms / 1000));
  CHECK_EQ(left.it_interval.tv_sec, 0);
  CHECK_EQ(left.it_interval.tv_nsec, 0);
  close_all();
#else
  skip_test("there is no timer_create()");
#endif
}

static void drain_without_a_timer(uvsig_shutdown_t* shutdown,
                                  uvsig_shutdown_phase_t phase) {
  pass_the_limit(shutdown, phase);
  has_no_timer = true;
}

/* Nothing is left then that could end the process. */
static void nor_is_there_a_timer_to_end_it(void) {
  set_options();
  options.phase_cb = drain_without_a_timer;
  refuse_threads();
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  CHECK(!coordinator()->escalation.has_timer);
  close_all();
}

/* A timer that was not created has the number of the process's first one. */
static void nor_is_a_timer_of_the_programs_set(void) {
#ifdef HAVE_TIMER_CREATE
  struct sigevent event;
  struct itimerspec left;
  timer_t timer;

  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_NONE;
  CHECK_EQ(__real_timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  set_options();
  refuse_threads();
  has_no_timer = true;
  open_shutdown();
  raise(SIGTERM);
  CHECK_EQ(timer_gettime(timer, &left), 0);
  CHECK_EQ(left.it_value.tv_sec, 0);
  CHECK_EQ(left.it_value.tv_nsec, 0);
  run_to_done();
  close_all();
  CHECK_EQ(timer_delete(timer), 0);
#else
  skip_test("there is no timer_create()");
#endif
}

static int ends[2];

static void end_without_a_thread(void) {
  static char buffer[BUFSIZ];

  CHECK_EQ(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
  CHECK_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
  close(ends[0]);
  close(ends[1]);
  CHECK_EQ(setvbuf(stderr, buffer, _IOFBF, sizeof(buffer)), 0);
  fputs("output, ", stdout);
  fputs("errors", stderr);
  set_options();
  options.exit = UVSIG_SHUTDOWN_EXIT_SIGNAL;
  refuse_threads();
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  uvsig_shutdown_exit(&sd);
}

static void the_exit_writes_output_and_errors_all_the_same(void) {
  char text[64] = "";
  int status;

  skip_unless_wrapped(); /* and not in the child alone */
  CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
  status = run_child(end_without_a_thread);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
  CHECK_EQ(close(ends[1]), 0);
  CHECK(read(ends[0], text, sizeof(text) - 1) > 0);
  CHECK_EQ(close(ends[0]), 0);
  CHECK_STR(text, "output, errors");
}

/* The exit has no time left to write in. */
static void an_exit_after_the_limit_waits_for_nobody(void) {
  set_options();
  options.phase_cb = pass_the_limit;
  refuse_threads();
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  coordinator()->limit = 1;
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
  CHECK(sd.coordinator == NULL);
  fixture_close(&f);
  uv_sem_destroy(&is_there);
  uv_sem_destroy(&goes_on);
}

/* --- After a stop ----------------------------------------------------------- */

/* As look_for_stop() of the watchdog notes it. */
static bool goes_on_at(uint64_t at) {
  struct uvsig__watchdog* watchdog = &coordinator()->watchdog;
  uvsig_shutdown_hold_t other;
  bool is_alone;
  int i;

  uv_mutex_lock(&watchdog->mutex);
  watchdog->seen_at = uvsig__now();
  watchdog->resumed_at = at;
  uv_mutex_unlock(&watchdog->mutex);
  memset(&other, 0, sizeof(other));
  CHECK_EQ(uvsig_shutdown_hold(&sd, &other, "another job"), 0);
  CHECK_EQ(uvsig_shutdown_release(&other), 0); /* the loop looks again */
  for (i = 0; i < 3; i++)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  uv_mutex_lock(&watchdog->mutex);
  is_alone = watchdog->resumed_at == at; /* the machine has stopped none */
  uv_mutex_unlock(&watchdog->mutex);
  return is_alone;
}

static void the_limit_moves_with_the_time_after_a_stop(void) {
  uint64_t hard;
  uint64_t until;

  open_draining();
  hard = options.hard_ms * UVSIG__MS;
  do
    until = coordinator()->until;
  while (!goes_on_at(until));
  CHECK_EQ(coordinator()->until, until + hard);
  CHECK_EQ(coordinator()->limit,
           until + hard + coordinator()->escalation.hard_ms * UVSIG__MS);
  CHECK_EQ(uvsig__watchdog_limit(coordinator()), coordinator()->limit);
  finish_job();
}

/* As if the process had stood still for a while. */
static void a_limit_that_is_later_stays(void) {
  struct uvsig__watchdog* watchdog;
  uint64_t limit;

  open_draining();
  watchdog = &coordinator()->watchdog;
  limit = uvsig__watchdog_limit(coordinator());
  uv_mutex_lock(&watchdog->mutex);
  watchdog->seen_at -= 2 * UVSIG__STOPPED_MS * UVSIG__MS;
  uv_mutex_unlock(&watchdog->mutex);
  CHECK(uvsig__watchdog_resumed_at(coordinator()) != 0);
  CHECK_EQ(uvsig__watchdog_limit(coordinator()), limit);
  finish_job();
}

/* --- What a coordinator begins with --------------------------------------- */

static void it_begins_with_lists_that_are_empty(void) {
  const struct uvsig__connections* all;
  struct uvsig__connections expected;
  int i;

  set_options();
  open_shutdown();
  all = &coordinator()->connections;
  memset(&expected, 0, sizeof(expected));
  memcpy(expected.lists, all->lists, sizeof(expected.lists));
  CHECK_EQ(memcmp(all, &expected, sizeof(expected)), 0);
  for (i = 0; i < UVSIG__CONN_LISTS; i++) {
    CHECK(all->lists[i].next == &all->lists[i]);
    CHECK(all->lists[i].prev == &all->lists[i]);
  }
  close_all();
}

/* In a handler: until the loop has its own. */
static void the_kernels_timer_expires_once(void) {
#ifdef HAVE_TIMER_CREATE
  struct itimerspec left;

  set_options();
  open_shutdown();
  raise(SIGTERM);
  CHECK_EQ(timer_gettime(coordinator()->escalation.timer, &left), 0);
  CHECK(left.it_value.tv_sec > 0);
  CHECK_EQ(left.it_interval.tv_sec, 0);
  CHECK_EQ(left.it_interval.tv_nsec, 0);
  run_to_done();
  close_all();
#else
  skip_test("there is no timer_create()");
#endif
}

static void nor_once_the_watchdogs_thread_is_there(void) {
#ifdef HAVE_TIMER_CREATE
  struct itimerspec left;

  set_options();
  open_shutdown();
  takes_over_at_timer = true;
  raise(SIGTERM);
  CHECK(!takes_over_at_timer);
  CHECK_EQ(timer_gettime(coordinator()->escalation.timer, &left), 0);
  CHECK_EQ(left.it_value.tv_sec, 0);
  CHECK_EQ(left.it_value.tv_nsec, 0);
  run_to_done();
  close_all();
#else
  skip_test("there is no timer_create()");
#endif
}

static void the_limit_of_forcing_is_its_end(void) {
  const struct uvsig__coordinator* c;

  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_FORCING);
  c = coordinator();
  /* And so much more as the watchdog is later than the loop. */
  CHECK_EQ(c->limit,
           c->until + (c->escalation.hard_ms - options.hard_ms) * UVSIG__MS);
  finish_job();
}

/* --- Sums ----------------------------------------------------------------- */

/* And so much more as the watchdog is later than the loop. */
static void the_whole_is_the_sum(void) {
  set_options();
  options.delay_ms = 1000;
  options.grace_ms = 20000;
  options.hard_ms = 3000;
  open_shutdown();
  CHECK_EQ(coordinator()->escalation.hard_ms, 3100);
  CHECK_EQ(coordinator()->escalation.total_ms, 24100);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 500), 0);
  CHECK_EQ(coordinator()->escalation.total_ms, 24600);
  close_all();
}

static void the_longest_times_are_not_wrapped(void) {
  set_options();
  options.delay_ms = UINT_MAX;
  options.grace_ms = UINT_MAX;
  options.hard_ms = UINT_MAX;
  open_shutdown();
  CHECK(coordinator()->escalation.hard_ms == UINT_MAX);
  CHECK(coordinator()->escalation.total_ms == UINT_MAX);
  close_all();
}

/* No stop is to be made up for, however young the machine is. */
static void the_longest_hard_ms_does_not_make_draining_longer(void) {
  set_options();
  options.grace_ms = 1;
  options.hard_ms = UINT_MAX;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  while (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_FORCING)
    uv_run(&f.loop, UV_RUN_ONCE);
  finish_job();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(close_waits_for_a_request_that_is_under_way),
      TEST(the_report_waits_for_what_has_begun_it),
      TEST(a_hold_that_is_released_at_the_very_end_wakes_nobody),
      TEST(a_signal_while_the_watchdog_takes_over_keeps_the_timer),
      TEST(a_successor_that_ends_when_a_shutdown_begins_is_none),
      TEST(sixteen_messages_for_a_successor_are_read_at_a_time),
      TEST(a_signal_of_the_timer_that_comes_too_late_is_none),
      TEST(the_watchdogs_thread_is_woken_to_end),
      TEST(a_child_that_goes_on_sets_its_limit_once),
      TEST(a_child_that_goes_on_has_no_limit_before_a_shutdown),
      TEST(an_exit_is_woken_when_all_is_written),
      TEST(the_kernels_timer_has_hard_ms_after_a_limit_that_is_over),
      TEST(nor_is_there_a_timer_to_end_it),
      TEST(nor_is_a_timer_of_the_programs_set),
      TEST(the_exit_writes_output_and_errors_all_the_same),
      TEST(an_exit_after_the_limit_waits_for_nobody),
      TEST(the_limit_moves_with_the_time_after_a_stop),
      TEST(a_limit_that_is_later_stays),
      TEST(it_begins_with_lists_that_are_empty),
      TEST(the_kernels_timer_expires_once),
      TEST(nor_once_the_watchdogs_thread_is_there),
      TEST(the_limit_of_forcing_is_its_end),
      TEST(the_whole_is_the_sum),
      TEST(the_longest_times_are_not_wrapped),
      TEST(the_longest_hard_ms_does_not_make_draining_longer),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
