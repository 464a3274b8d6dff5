/* SPDX-License-Identifier: MIT
 *
 * Scenarios: what is thin over a POSIX call.
 */

#include "scenario.h"

#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct recorder a;

/* --- Dispositions --------------------------------------------------------- */

#define ACTION_CALLS "pthread_atfork sigaction"

static void change_dispositions(void) {
  sigset_t set = set_of(SIGUSR1);
  sigset_t old;

  CHECK_EQ(TRY(ACTION_CALLS, uvsig_getsignal(SIGUSR2)), UVSIG_FOREIGN);
  CHECK_EQ(TRY(ACTION_CALLS, uvsig_getsignal(SIGRTMIN)), UVSIG_IGNORED);
  CHECK_EQ(TRY(ACTION_CALLS, uvsig_ignore(SIGUSR1)), UVSIG_DEFAULT);
  CHECK_EQ(TRY(ACTION_CALLS, uvsig_getsignal(SIGUSR1)), UVSIG_IGNORED);
  CHECK_EQ(TRY(ACTION_CALLS, uvsig_default(SIGUSR1)), UVSIG_IGNORED);
  TRY(ACTION_CALLS, uvsig_siginterrupt(SIGUSR1, 1));
  TRY(ACTION_CALLS, uvsig_siginterrupt(SIGUSR1, 0));
  TRY("", uvsig_pthread_sigmask(SIG_BLOCK, &set, &old));
  CHECK_EQ(raise(SIGUSR1), 0);
  TRY("", uvsig_sigpending(&set));
  CHECK_EQ(sigismember(&set, SIGUSR1), 1);
  TRY(ACTION_CALLS, uvsig_ignore(SIGUSR1));
  TRY("", uvsig_pthread_sigmask(SIG_SETMASK, &old, NULL));
  TRY(ACTION_CALLS, uvsig_default(SIGUSR1));
}

static void interrupt_while_watched(void) {
  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  CHECK_EQ(TRY(ACTION_CALLS, uvsig_getsignal(SIGUSR1)), UVSIG_WATCHED);
  TRY(ACTION_CALLS, uvsig_siginterrupt(SIGUSR1, 1));
  CHECK_EQ(action_of(SIGUSR1).sa_flags & SA_RESTART, 0);
  TRY(ACTION_CALLS, uvsig_siginterrupt(SIGUSR1, 0));
  tell_at_last(&a);
  close_signals();
}

static void raise_again(void) {
  uvsig_reraise(SIGTERM);
}

static void reraise(void) {
  int status = run_forked(raise_again);

  /* By _exit(128 + n), where the default action cannot be had. */
  if (WIFEXITED(status))
    CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  else
    CHECK_EQ(WTERMSIG(status), SIGTERM);
}

/* --- A program that follows ----------------------------------------------- */

extern char** environ;

static void exec_cleanly(void) {
  init_signals(NULL);
  start_recorder(&a, SIGUSR1, 0);
  start_recorder(&a, SIGUSR2, 0);
  uvsig_before_exec();
  CHECK(!is_blocked(SIGUSR1));
  if (!has_failed("sigaction"))
    CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
}

/* Those that the program has set are kept, or are replaced. */
static void set_attributes(posix_spawnattr_t* attr) {
  sigset_t set;

  CHECK_EQ(posix_spawnattr_setflags(attr, POSIX_SPAWN_RESETIDS), 0);
  sigfillset(&set);
  CHECK_EQ(posix_spawnattr_setsigmask(attr, &set), 0);
  sigemptyset(&set);
  CHECK_EQ(posix_spawnattr_setsigdefault(attr, &set), 0);
}

static void check_attributes(const posix_spawnattr_t* attr) {
  sigset_t defaults;
  sigset_t mask;
  short flags;

  CHECK_EQ(posix_spawnattr_getflags(attr, &flags), 0);
  CHECK_EQ(
      flags,
      POSIX_SPAWN_RESETIDS | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  CHECK_EQ(posix_spawnattr_getsigmask(attr, &mask), 0);
  CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
  CHECK_EQ(posix_spawnattr_getsigdefault(attr, &defaults), 0);
  CHECK_EQ(sigismember(&defaults, SIGUSR1), 1);
}

static void start_programs(void) {
  char name[] = "true";
  char* args[] = {name, NULL};
  posix_spawnattr_t attr;
  pid_t child;
  int status;

  CHECK_EQ(run_forked(exec_cleanly), 0);
  CHECK_EQ(posix_spawnattr_init(&attr), 0);
  set_attributes(&attr);
  TRY("posix_spawnattr_getflags posix_spawnattr_setsigmask "
      "posix_spawnattr_setsigdefault posix_spawnattr_setflags",
      uvsig_spawnattr(&attr));
  check_attributes(&attr);
  CHECK_EQ(posix_spawn(&child, "/bin/true", NULL, &attr, args, environ), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  CHECK_EQ(posix_spawnattr_destroy(&attr), 0);
}

/* --- A wakeup fd ----------------------------------------------------------- */

static unsigned warned; /* signals */

static void count_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  if (warning->fd >= 0)
    warned += (unsigned) warning->total;
}

static void write_to_a_wakeup_fd(void) {
  uvsig_options_t options;
  unsigned counts[UVSIG_NSIG];
  unsigned char bytes[16];
  int fds[2];
  int old = -2;
  ssize_t n;

  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  uvsig_options_init(&options);
  options.warning_cb = count_warning;
  init_signals(&options);
  start_recorder(&a, SIGUSR1, 0);
  TRY_INIT("pthread_atfork fcntl_getfl fstat",
           &old,
           uvsig_set_wakeup_fd(fds[1], 1, &old));
  CHECK_EQ(old, -1);
  CHECK_EQ(uvsig_get_wakeup_fd(NULL), fds[1]);
  tell(&a, 2);
  tell_at_last(&a);
  n = read(fds[0], bytes, sizeof(bytes));
  n = n > 0 ? n : 0;
  CHECK_EQ(uvsig_decode(bytes, (size_t) n, counts), n);
  CHECK_EQ(counts[SIGUSR1] + warned, 3);
  old = -2;
  TRY_INIT("pthread_atfork", &old, uvsig_set_wakeup_fd(-1, 0, &old));
  CHECK_EQ(old, fds[1]);
  close_signals();
  CHECK_EQ(close(fds[0]), 0);
  CHECK_EQ(close(fds[1]), 0);
}

/* --- Timers --------------------------------------------------------------- */

#define TIMER_CALLS "pthread_atfork setitimer"

static void set_timers(void) {
  uvsig_itimerval_t value = {-1, -1};
  unsigned left;

  TRY_INIT(TIMER_CALLS,
           &value,
           uvsig_setitimer(UVSIG_ITIMER_REAL, 1000, 10, &value));
  CHECK(value.seconds == 0);
  TRY_INIT("getitimer", &value, uvsig_getitimer(UVSIG_ITIMER_REAL, &value));
  CHECK(value.seconds > 0 && value.interval == 10);
  TRY(TIMER_CALLS, uvsig_setitimer(UVSIG_ITIMER_REAL, 0, 0, NULL));
  left = uvsig_alarm(1000);
  if (has_failed("pthread_atfork") && left == UINT_MAX) {
    lift_faults();
    left = uvsig_alarm(1000);
  }
  CHECK_EQ(left, 0);
  CHECK(uvsig_alarm(0) > 0);
}

static unsigned expired;

static void on_expired(uvsig_itimer_t* t, unsigned expirations) {
  (void) t;
  expired += expirations;
}

static bool has_expired(void) {
  return expired > 0;
}

#define ITIMER_CALLS "+ calloc sigaction setitimer uv_poll_init"

static void time_the_loop(void) {
  uvsig_itimer_t timer;
  uvsig_itimerval_t value;

  memset(&timer, 0, sizeof(timer));
  init_signals(NULL);
  TRY_INIT("", &timer, uvsig_itimer_init(&s.sig, &timer, UVSIG_ITIMER_REAL));
  TRY(ITIMER_CALLS, uvsig_itimer_start(&timer, on_expired, 0.001, 0));
  turn_until(has_expired);
  CHECK_EQ(expired, 1);
  CHECK_EQ(uvsig_itimer_is_active(&timer), 0);

  /* And now one that is borrowed. */
  TRY(TIMER_CALLS, uvsig_setitimer(UVSIG_ITIMER_REAL, 1000, 10, NULL));
  TRY(ITIMER_CALLS, uvsig_itimer_start(&timer, on_expired, 0.001, 0.001));
  expired = 0;
  turn_until(has_expired);
  TRY(ITIMER_CALLS, uvsig_itimer_start(&timer, on_expired, 500, 0));
  TRY("setitimer", uvsig_itimer_stop(&timer));
  ASIDE(CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0));
  if (!has_failed("setitimer"))
    CHECK(value.seconds > 900 && value.interval == 10);
  lift_faults();
  TRY(TIMER_CALLS, uvsig_setitimer(UVSIG_ITIMER_REAL, 0, 0, NULL));
  TRY(ITIMER_CALLS, uvsig_itimer_start(&timer, on_expired, 500, 0));
  close_signals();
}

/* --- Sending -------------------------------------------------------------- */

static void send_signals(void) {
  const union sigval value = {.sival_int = 7};
  siginfo_t info;
  int pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);

  if (pidfd < 0)
    skip_test("there is no pidfd_open() here");
  memset(&info, 0, sizeof(info));
  info.si_signo = SIGUSR2;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  TRY("raise", uvsig_raise_signal(SIGUSR2));
  CHECK_EQ(foreign_calls, 1);
  TRY("pthread_kill", uvsig_pthread_kill(pthread_self(), SIGUSR2));
  CHECK_EQ(foreign_calls, 2);
  TRY("syscall_pidfd_send_signal",
      uvsig_pidfd_send_signal(pidfd, SIGUSR2, &info, 0));
  CHECK_EQ(foreign_calls, 3);
  TRY("sigqueue", uvsig_sigqueue(getpid(), SIGUSR2, value));
  CHECK_EQ(foreign_calls, 4);
  CHECK_EQ(close(pidfd), 0);
}

const struct scenario posix_scenarios[] = {
    {"dispositions", change_dispositions},
    {"siginterrupt", interrupt_while_watched},
    {"reraise", reraise},
    {"exec", start_programs},
    {"wakeup fd", write_to_a_wakeup_fd},
    {"setitimer", set_timers},
    {"itimer", time_the_loop},
    {"send", send_signals},
    {NULL, NULL}};
