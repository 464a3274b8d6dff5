/* SPDX-License-Identifier: MIT
 *
 * What a filter of system calls refuses: to look at an action, or to set one,
 * at a moment. What libuv refuses. Linked with --wrap, so that the calls of the
 * library come here first.
 */

#include "../lib/harness.h"
#include "../lib/wrap-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b;

/* Handlers read them: to the compiler raise() is a call that changes nothing
 * here. */
static volatile bool no_look;
static volatile bool no_set;
static volatile unsigned sets_left = -1u; /* before one is refused */
static void (*volatile when_refused)(void);

/* What is to be done once, when an action is set for that signal. */
static void (*volatile at_set)(void);
static volatile int at_set_of;

static volatile bool needs_lock; /* for each look and each set */
static volatile unsigned looks;

static bool no_size;

int __real_setsockopt(int fd, int level, int name, const void* at, socklen_t n);
int __wrap_setsockopt(int fd, int level, int name, const void* at, socklen_t n);
int __wrap_setsockopt(
    int fd, int level, int name, const void* at, socklen_t n) {
  if (!no_size || name != SO_SNDBUF)
    return __real_setsockopt(fd, level, name, at, n);
  errno = EACCES;
  return -1;
}

int __real_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
EARLY int __wrap_sigaction(int signum,
                           const struct sigaction* action,
                           struct sigaction* previous) {
  void (*fn)(void) = when_refused;

  if (action != NULL && signum == at_set_of) {
    at_set_of = 0;
    at_set();
  }
  looks++;
  if (needs_lock)
    CHECK(is_locked);
  if (action == NULL ? !no_look : !no_set && sets_left-- != 0)
    return __real_sigaction(signum, action, previous);
  when_refused = NULL;
  if (action != NULL && fn != NULL)
    fn();
  errno = EACCES;
  return -1;
}

static bool no_handle;
static int no_handle_of; /* -1: of any signal */

int __real_uv_signal_init(uv_loop_t* loop, uv_signal_t* handle);
int __wrap_uv_signal_init(uv_loop_t* loop, uv_signal_t* handle);
EARLY int __wrap_uv_signal_init(uv_loop_t* loop, uv_signal_t* handle) {
  return no_handle ? UV_EMFILE : __real_uv_signal_init(loop, handle);
}

int __real_uv_signal_start(uv_signal_t* handle, uv_signal_cb cb, int signum);
int __wrap_uv_signal_start(uv_signal_t* handle, uv_signal_cb cb, int signum);
EARLY int __wrap_uv_signal_start(uv_signal_t* handle,
                                 uv_signal_cb cb,
                                 int signum) {
  return no_handle_of == -1 || no_handle_of == signum
             ? UV_EACCES
             : __real_uv_signal_start(handle, cb, signum);
}

static bool no_pending;

int __real_sigpending(sigset_t* set);
int __wrap_sigpending(sigset_t* set);
EARLY int __wrap_sigpending(sigset_t* set) {
  if (!no_pending)
    return __real_sigpending(set);
  errno = ENOSYS;
  return -1;
}

static unsigned wakeup_fd_calls; /* fcntl() and fstat() */
static bool no_flags;

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
EARLY int __wrap_fcntl(int fd, int command, ...) {
  va_list list;
  long argument;

  va_start(list, command);
  argument = va_arg(list, long);
  va_end(list);
  wakeup_fd_calls++;
  if (!no_flags || command != F_GETFL)
    return __real_fcntl(fd, command, argument);
  errno = EPERM;
  return -1;
}

static bool no_status;

int __real_fstat(int fd, struct stat* status);
int __wrap_fstat(int fd, struct stat* status);
EARLY int __wrap_fstat(int fd, struct stat* status) {
  wakeup_fd_calls++;
  if (!no_status)
    return __real_fstat(fd, status);
  errno = EOVERFLOW;
  return -1;
}

static bool is_foreign(int signum) {
  return action_of(signum).sa_handler == count_foreign;
}

static void install_other(void) {
  struct sigaction action = action_of(SIGTERM);

  action.sa_handler = count_foreign;
  CHECK_EQ(__real_sigaction(SIGALRM, &action, NULL), 0);
}

static void init_watcher(struct fixture* fixture,
                         struct recorder* r,
                         unsigned flags) {
  recorder_init(r, &fixture->sig);
  CHECK_EQ(uvsig_watcher_set_flags(&r->w, flags), 0);
}

static int start(struct recorder* r, int signum) {
  return uvsig_watcher_start(&r->w, record, signum);
}

/* --- A look --------------------------------------------------------------- */

static void check_start_without_a_look(unsigned flags) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  init_watcher(&f, &a, flags);
  no_look = true;
  CHECK_EQ(start(&a, SIGUSR1), UV_EACCES);
  no_look = false;
  CHECK(is_foreign(SIGUSR1));
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_foreign(SIGUSR1));
  fixture_close(&f);
}

static void start_that_may_not_look_says_why(void) {
  check_start_without_a_look(0);
}

static void start_of_a_share_that_may_not_look_says_why(void) {
  check_start_without_a_look(UVSIG_SHARE);
}

static void siginterrupt_that_may_not_look_says_why_and_forgets(void) {
  fixture_open(&f, NULL);
  init_watcher(&f, &a, 0);
  no_look = true;
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 1), UV_EACCES);
  no_look = false;
  CHECK_EQ(start(&a, SIGUSR1), 0);
  CHECK((action_of(SIGUSR1).sa_flags & SA_RESTART) != 0);
  fixture_close(&f);
}

static void a_share_that_ends_without_a_look_gives_back_what_was_there(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  init_watcher(&f, &a, UVSIG_SHARE);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  no_look = true;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  no_look = false;
  CHECK(is_foreign(SIGUSR1));
  fixture_close(&f);
}

/* Nothing watches, and a foreign library has put the library's handler back. */
static void put_back(int signum) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(start(&a, signum), 0);
  stop_and_put_back(&a);
}

static void without_a_look_the_previous_handler_is_called(void) {
  install_handler(SIGUSR1, count_foreign);
  put_back(SIGUSR1);
  no_look = true;
  raise(SIGUSR1);
  raise(SIGUSR1);
  no_look = false;
  CHECK_EQ(foreign_calls, 2);
  fixture_close(&f);
}

static void end_without_a_look(void) {
  put_back(SIGTERM);
  no_look = true;
  raise(SIGTERM);
}

static void end_without_a_look_and_a_set(void) {
  put_back(SIGTERM);
  no_look = true;
  no_set = true;
  raise(SIGTERM);
}

static void without_a_look_a_deadly_signal_is_deadly(void) {
  int status = run_child(end_without_a_look);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
  status = run_child(end_without_a_look_and_a_set);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

/* The library's handler stays: it could not find out what to restore. */
static void without_a_look_a_harmless_signal_does_nothing(void) {
  put_back(SIGWINCH);
  no_look = true;
  raise(SIGWINCH);
  no_look = false;
  CHECK(action_of(SIGWINCH).sa_handler != SIG_DFL);
  raise(SIGWINCH);
  CHECK(action_of(SIGWINCH).sa_handler == SIG_DFL);
  fixture_close(&f);
}

/* --- A set ---------------------------------------------------------------- */

static void the_previous_handler_that_cannot_be_put_back_is_called(void) {
  install_handler(SIGUSR1, count_foreign);
  put_back(SIGUSR1);
  no_set = true;
  raise(SIGUSR1);
  raise(SIGUSR1);
  no_set = false;
  CHECK_EQ(foreign_calls, 2);
  CHECK(!is_foreign(SIGUSR1));
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 3);
  CHECK(is_foreign(SIGUSR1));
  fixture_close(&f);
}

static void a_second_start_that_is_refused_leaves_the_first_one(void) {
  fixture_open(&f, NULL);
  init_watcher(&f, &a, UVSIG_SHARE);
  init_watcher(&f, &b, UVSIG_SHARE);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  sets_left = 0;
  CHECK_EQ(start(&b, SIGUSR1), UV_EACCES);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(start(&b, SIGUSR1), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

/* The first set restores libuv's, the second one what was there before it. */
static void a_share_whose_end_is_refused_leaves_the_default_action(void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  init_watcher(&f, &a, UVSIG_SHARE);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  sets_left = 1;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(sets_left, -1u);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void on_expiration(uvsig_itimer_t* t, unsigned expirations) {
  (void) t;
  (void) expirations;
}

static uvsig_itimer_t timer;

static void start_timer(void) {
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&timer, on_expiration, 1000, 0), 0);
}

static void open_timer(void) {
  fixture_open(&f, NULL);
  start_timer();
}

static void what_is_pending_may_not_be_discarded(void) {
  open_timer();
  sets_left = 0;
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK(sets_left > 1);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_DEFAULT);
  fixture_close(&f);
}

/* Nothing is pending that only the timer can have sent. */
static void what_another_loop_watches_is_not_discarded(void) {
  open_timer();
  fixture_open(&g, NULL);
  init_watcher(&g, &b, 0);
  CHECK_EQ(start(&b, SIGALRM), 0);
  sets_left = 0;
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK_EQ(sets_left, 0);
  sets_left = -1u;
  raise(SIGALRM);
  run_until(&g.loop, &b.calls, 1);
  fixture_close(&g);
  fixture_close(&f);
}

/* SIGALRM is ignored then, and that is not the program's. Later it is. */
static void what_is_ignored_for_a_moment_is_not_left_so(void) {
  open_timer();
  sets_left = 1;
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_DEFAULT);
  start_timer();
  install_handler(SIGALRM, SIG_IGN);
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_IGNORED);
  fixture_close(&f);
}

static void what_another_library_installs_at_that_moment_stays(void) {
  open_timer();
  when_refused = install_other;
  sets_left = 1;
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK(when_refused == NULL);
  CHECK(is_foreign(SIGALRM));
  fixture_close(&f);
}

/* --- What libuv refuses --------------------------------------------------- */

static void share_without_a_handle_says_why(void) {
  fixture_open(&f, NULL);
  init_watcher(&f, &a, UVSIG_SHARE);
  no_handle = true;
  CHECK_EQ(start(&a, SIGUSR1), UV_EMFILE);
  no_handle = false;
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void on_handle(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
}

/* And nothing is remembered of it: what libuv has installed before a later
 * share is not the library's to restore. */
static void share_that_libuv_refuses_says_why_and_is_forgotten(void) {
  uv_signal_t handle;

  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  init_watcher(&f, &a, UVSIG_SHARE);
  no_handle_of = -1;
  CHECK_EQ(start(&a, SIGUSR1), UV_EACCES);
  no_handle_of = 0;
  CHECK(is_foreign(SIGUSR1));
  CHECK_EQ(start(&a, SIGUSR1), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_foreign(SIGUSR1));
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start(&handle, on_handle, SIGUSR1), 0);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  CHECK_EQ(uv_signal_stop(&handle), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&f);
}

/* libuv's handler is learnt from the next one then: its stack may be another
 * one, but that of the foreign handler on top of it may not. */
static void what_libuv_refuses_is_looked_for_elsewhere(void) {
  uv_signal_t handle;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start(&handle, on_handle, SIGUSR1), 0);
  install_handler(SIGUSR1, count_foreign);
  init_watcher(&f, &a, UVSIG_SHARE);
  no_handle_of = SIGURG;
  CHECK_EQ(start(&a, SIGUSR1), 0);
  CHECK_EQ(action_of(SIGUSR1).sa_flags & SA_ONSTACK, 0);
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&f);
}

static unsigned long handle_calls;

static void count_handle(uv_signal_t* handle, int signum) {
  (void) handle;
  CHECK_EQ(signum, SIGUSR1);
  handle_calls++;
}

static void raise_usr1(void) {
  raise(SIGUSR1);
}

static void fork_and_have_its_call_meanwhile(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  at_set = raise_usr1;
  at_set_of = SIGUSR2;
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(at_set_of, 0);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(handle_calls, 0);
  raise(SIGUSR1);
  run_until(&f.loop, &handle_calls, 1);
  run_until(&f.loop, &a.signals, 2);
  CHECK_EQ(foreign_calls, 1);
}

/* It is below ours for an instant, in which it has its one call. */
static void what_had_its_one_call_in_a_child_is_libuvs_again(void) {
  uv_signal_t handle;
  struct sigaction action;

  install_handler(SIGUSR1, count_foreign);
  action = action_of(SIGUSR1);
  action.sa_flags |= (int) SA_RESETHAND;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  fixture_open(&f, NULL);
  init_watcher(&f, &a, UVSIG_SHARE);
  init_watcher(&f, &b, 0);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  CHECK_EQ(start(&b, SIGUSR2), 0);
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start(&handle, count_handle, SIGUSR1), 0);
  CHECK_EQ(run_forked(fork_and_have_its_call_meanwhile), 0);
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&f);
}

/* --- The lock ------------------------------------------------------------- */

static void dispositions_are_changed_under_the_lock_alone(void) {
  uv_signal_t handle;
  unsigned before = looks;

  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start_oneshot(&handle, on_handle, SIGUSR1), 0);
  init_watcher(&f, &a, UVSIG_SHARE);
  init_watcher(&g, &b, UVSIG_NOCLDSTOP);
  needs_lock = true;
  CHECK_EQ(start(&a, SIGUSR1), 0);
  CHECK_EQ(start(&b, SIGUSR1), 0);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 1), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(start(&b, SIGCHLD), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  start_timer();
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  needs_lock = false;
  CHECK(looks > before);
  CHECK(!is_locked);
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&g);
  fixture_close(&f);
}

static void a_stop_that_is_not_the_last_looks_at_nothing(void) {
  unsigned before;

  fixture_open(&f, NULL);
  init_watcher(&f, &a, 0);
  init_watcher(&f, &b, 0);
  CHECK_EQ(start(&a, SIGUSR1), 0);
  CHECK_EQ(start(&b, SIGUSR1), 0);
  before = looks;
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK_EQ(looks, before);
  fixture_close(&f);
}

/* --- Other calls ---------------------------------------------------------- */

static void sigpending_that_is_refused_says_why(void) {
  sigset_t set;

  no_pending = true;
  CHECK_EQ(uvsig_sigpending(&set), UV_ENOSYS);
  no_pending = false;
  CHECK_EQ(uvsig_sigpending(&set), 0);
}

static void a_wakeup_fd_that_cannot_be_looked_at_is_refused(void) {
  int fds[2];
  int old = -2;

  CHECK_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
  wakeup_fd_calls = 0;
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  /* On a 32-bit system they may be compiled to calls of other names. */
  if (wakeup_fd_calls != 2)
    skip_test("fcntl() or fstat() has another name here");
  no_flags = true;
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, &old), UV_EPERM);
  no_flags = false;
  no_status = true;
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, &old), -EOVERFLOW);
  no_status = false;
  CHECK_EQ(old, -2);
  CHECK_EQ(uvsig_get_wakeup_fd(NULL), -1);
  close(fds[0]);
  close(fds[1]);
}

/* --- The buffer ----------------------------------------------------------- */

/* Where no size is asked for, the system's is as good. */
static void a_size_is_wanted_only_where_it_is_asked_for(void) {
  uvsig_options_t options;
  uvsig_t sig;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
  no_size = true;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  options.buffer_size = 4096;
  CHECK_EQ(uvsig_init(&f.loop, &sig, &options), UV_EACCES);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(start_that_may_not_look_says_why),
      TEST(start_of_a_share_that_may_not_look_says_why),
      TEST(siginterrupt_that_may_not_look_says_why_and_forgets),
      TEST(a_share_that_ends_without_a_look_gives_back_what_was_there),
      TEST(without_a_look_the_previous_handler_is_called),
      TEST(without_a_look_a_deadly_signal_is_deadly),
      TEST(without_a_look_a_harmless_signal_does_nothing),
      TEST(the_previous_handler_that_cannot_be_put_back_is_called),
      TEST(a_second_start_that_is_refused_leaves_the_first_one),
      TEST(a_share_whose_end_is_refused_leaves_the_default_action),
      TEST(what_is_pending_may_not_be_discarded),
      TEST(what_another_loop_watches_is_not_discarded),
      TEST(what_is_ignored_for_a_moment_is_not_left_so),
      TEST(what_another_library_installs_at_that_moment_stays),
      TEST(share_without_a_handle_says_why),
      TEST(share_that_libuv_refuses_says_why_and_is_forgotten),
      TEST(what_libuv_refuses_is_looked_for_elsewhere),
      TEST(what_had_its_one_call_in_a_child_is_libuvs_again),
      TEST(dispositions_are_changed_under_the_lock_alone),
      TEST(a_stop_that_is_not_the_last_looks_at_nothing),
      TEST(sigpending_that_is_refused_says_why),
      TEST(a_wakeup_fd_that_cannot_be_looked_at_is_refused),
      TEST(a_size_is_wanted_only_where_it_is_asked_for),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
