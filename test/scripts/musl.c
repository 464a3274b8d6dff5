/* SPDX-License-Identifier: MIT
 *
 * What of the library needs no libuv, as a program for a libc for which there
 * is no libuv: musl.sh builds and runs it. TAP on standard output.
 */

#include <uvsig.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int line;

#define CHECK(condition)                                                       \
 do {                                                                          \
  if (!(condition) && line == 0)                                               \
   line = __LINE__;                                                            \
 } while (0)

static sigset_t set_of(int signum) {
  sigset_t set;

  sigemptyset(&set);
  if (signum != 0)
    sigaddset(&set, signum);
  return set;
}

static void names_and_numbers_are_each_others_inverse(void) {
  sigset_t valid;
  int count = 0;
  int signum;

  CHECK(uvsig_valid_signals(&valid) == 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (sigismember(&valid, signum) != 1)
      continue;
    count++;
    CHECK(uvsig_signal_name(signum) != NULL);
    CHECK(uvsig_signal_number(uvsig_signal_name(signum)) == signum);
    CHECK(uvsig_strsignal(signum) != NULL);
  }
  CHECK(count > 30 && count < UVSIG_NSIG);
  CHECK(sigismember(&valid, SIGRTMIN) == 1);
  CHECK(sigismember(&valid, SIGRTMIN - 1) == 0); /* libc's own */
  CHECK(uvsig_signal_number("RTMAX") == SIGRTMAX);
  CHECK(uvsig_signal_number("CLD") == SIGCHLD);
  CHECK(strcmp(uvsig_version_string(), "") != 0 && uvsig_version() > 0);
}

static void dispositions_are_told_and_set(void) {
  CHECK(uvsig_getsignal(SIGUSR1) == UVSIG_DEFAULT);
  CHECK(uvsig_ignore(SIGUSR1) == UVSIG_DEFAULT);
  CHECK(uvsig_raise_signal(SIGUSR1) == 0);
  CHECK(uvsig_default(SIGUSR1) == UVSIG_IGNORED);
  CHECK(uvsig_siginterrupt(SIGUSR1, 1) == 0);
  CHECK(uvsig_siginterrupt(SIGRTMIN - 1, 1) == UV_EINVAL);
  CHECK(uvsig_ignore(SIGKILL) == UV_EINVAL);
  CHECK(uvsig_ignore(SIGRTMIN - 1) == UV_EINVAL);
}

static void reraise_ends_the_process_by_its_signal(void) {
  pid_t child = fork();
  int status = 0;

  if (child == 0) {
    uvsig_reraise(SIGTERM);
    _exit(0);
  }
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void masks_are_changed_and_read(void) {
  sigset_t set = set_of(SIGUSR1);
  sigset_t old;

  CHECK(uvsig_pthread_sigmask(1700, &set, &old) == UV_EINVAL);
  CHECK(uvsig_pthread_sigmask(SIG_BLOCK, &set, &old) == 0);
  CHECK(sigismember(&old, SIGUSR1) == 0);
  CHECK(uvsig_raise_signal(SIGUSR1) == 0);
  CHECK(uvsig_sigpending(&old) == 0);
  CHECK(sigismember(&old, SIGUSR1) == 1);
  CHECK(uvsig_sigtimedwait(&set, 0, NULL) == 0);
  CHECK(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, &old) == 0);
  CHECK(sigismember(&old, SIGUSR1) == 1);
}

static void waits_take_signals_and_say_who_sent_them(void) {
  const union sigval value = {.sival_int = 42};
  sigset_t set = set_of(SIGRTMIN);
  uvsig_info_t info;
  int signum = 0;

  CHECK(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(uvsig_sigqueue(getpid(), SIGRTMIN, value) == 0);
  CHECK(uvsig_pthread_kill(pthread_self(), SIGRTMIN) == 0);
  CHECK(uvsig_sigwaitinfo(&set, &info) == 0);
  if (info.code != SI_QUEUE) /* either may come first */
    CHECK(uvsig_sigwaitinfo(&set, &info) == 0);
  else
    CHECK(uvsig_sigwait(&set, &signum) == 0 && signum == SIGRTMIN);
  CHECK(info.code == SI_QUEUE && info.value.sival_int == 42);
  CHECK(info.pid == getpid() && info.uid == getuid());
  CHECK(uvsig_sigtimedwait(&set, 0.01, &info) == UV_ETIMEDOUT);
  CHECK(uvsig_sigtimedwait(&set, -1, &info) == UV_EINVAL);
  CHECK(uvsig_sigtimedwait(&set, NAN, &info) == UV_EINVAL);
}

static void a_pidfd_is_asked_for(void) {
  CHECK(uvsig_pidfd_send_signal(-1, SIGUSR1, NULL, 0) == UV_EBADF);
  CHECK(uvsig_pidfd_send_signal(-1, SIGUSR1, NULL, 1) == UV_EINVAL);
}

static void interval_timers_expire(void) {
  sigset_t set = set_of(SIGALRM);
  uvsig_itimerval_t value = {-1, -1};
  unsigned left;

  CHECK(uvsig_setitimer(UVSIG_ITIMER_REAL, 1000, 0.25, NULL) == 0);
  CHECK(uvsig_getitimer(UVSIG_ITIMER_REAL, &value) == 0);
  CHECK(value.seconds > 500 && value.interval == 0.25);
  CHECK(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  CHECK(uvsig_setitimer(UVSIG_ITIMER_REAL, 1e-9, 0, &value) == 0);
  CHECK(value.interval == 0.25);
  CHECK(uvsig_sigwaitinfo(&set, NULL) == 0);
  CHECK(uvsig_alarm(1000) == 0);
  left = uvsig_alarm(0);
  CHECK(left > 500 && left <= 1000);
  CHECK(uvsig_setitimer(3, 1, 0, NULL) == UV_EINVAL);
  CHECK(uvsig_setitimer(UVSIG_ITIMER_REAL, INFINITY, 0, NULL) == UV_EINVAL);
}

static void a_wakeup_fd_is_set_and_bytes_are_decoded(void) {
  const unsigned char bytes[] = {SIGUSR1, 0, 255, SIGUSR1};
  unsigned counts[UVSIG_NSIG];
  int old = 4711;
  int fds[2];

  CHECK(pipe2(fds, O_NONBLOCK) == 0);
  CHECK(uvsig_set_wakeup_fd(fds[1], 1, &old) == 0 && old == -1);
  CHECK(uvsig_set_wakeup_fd(-1, 1, &old) == 0 && old == fds[1]);
  CHECK(uvsig_set_wakeup_fd(-5, 1, &old) == UV_EBADF);
  CHECK(uvsig_decode(bytes, sizeof(bytes), counts) == 2);
  CHECK(counts[SIGUSR1] == 2);
  close(fds[0]);
  close(fds[1]);
}

#define TEST(fn)                                                               \
 { #fn, fn }

static const struct {
  const char* name;
  void (*fn)(void);
} tests[] = {
    TEST(names_and_numbers_are_each_others_inverse),
    TEST(dispositions_are_told_and_set),
    TEST(reraise_ends_the_process_by_its_signal),
    TEST(masks_are_changed_and_read),
    TEST(waits_take_signals_and_say_who_sent_them),
    TEST(a_pidfd_is_asked_for),
    TEST(interval_timers_expire),
    TEST(a_wakeup_fd_is_set_and_bytes_are_decoded),
};

int main(void) {
  size_t count = sizeof(tests) / sizeof(*tests);
  size_t failed = 0;
  size_t i;

  for (i = 0; i < count; i++) {
    line = 0;
    tests[i].fn();
    failed += line != 0;
    printf("%sok %zu - %s\n", line != 0 ? "not " : "", i + 1, tests[i].name);
    if (line != 0)
      printf("# line %d\n", line);
  }
  printf("1..%zu\n", count);
  return failed != 0;
}
