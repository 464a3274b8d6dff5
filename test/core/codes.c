/* SPDX-License-Identifier: MIT
 *
 * What a callback is told for each si_code: a sender, a value, a status, or
 * none of them. The test makes them up, which Linux lets a process do for
 * itself.
 */

#include "../lib/harness.h"

#include <string.h>
#ifdef HAVE_SYS_SYSCALL_H
# include <sys/syscall.h>
#endif
#include <unistd.h>

#if defined(__linux__) && defined(SYS_rt_sigqueueinfo)

static struct fixture f;
static struct recorder a;

enum { PID = 4711, UID = 4712, VALUE = 4713 };
/* SI_DETHREAD, which musl lacks. */
enum { DETHREAD = -7 };

static void send_code(int signum, int code, const siginfo_t* with) {
  siginfo_t info = *with;

  info.si_signo = signum;
  info.si_code = code;
  CHECK_EQ(syscall(SYS_rt_sigqueueinfo, getpid(), signum, &info), 0);
}

/* What the callback is told of it. */
static uvsig_info_t tell(int signum, int code) {
  siginfo_t info;

  memset(&info, 0, sizeof(info));
  if (signum == SIGPOLL && code > 0) {
    info.si_band = VALUE;
  } else if (code == SI_TIMER) {
    info.si_value.sival_int = VALUE; /* si_timerid is where si_pid is */
  } else {
    info.si_pid = PID;
    info.si_uid = UID;
    if (signum == SIGCHLD && code > 0)
      info.si_status = VALUE;
    else
      info.si_value.sival_int = VALUE;
  }
  memset(&a, 0, sizeof(a));
  recorder_init(&a, &f.sig);
  recorder_start(&a, signum);
  send_code(signum, code, &info);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(a.last.signum, signum);
  CHECK_EQ(a.last.count, 1);
  CHECK_EQ(a.last.code, code);
  CHECK_EQ(a.last.flags, 0);
  return a.last;
}

static void check(int signum, int code, int pid, int value, int status) {
  uvsig_info_t info = tell(signum, code);

  CHECK_EQ(info.pid, pid);
  CHECK_EQ(info.uid, pid != 0 ? UID : 0);
  CHECK_EQ(info.value.sival_int, value);
  CHECK_EQ(info.status, status);
}

static void check_codes(void) {
  check(SIGUSR1, SI_USER, PID, 0, 0);
  check(SIGUSR1, SI_TKILL, PID, 0, 0);
  check(SIGUSR1, SI_QUEUE, PID, VALUE, 0);
  check(SIGUSR1, SI_MESGQ, PID, VALUE, 0);
  check(SIGUSR1, SI_TIMER, 0, VALUE, 0);
  check(SIGUSR1, SI_ASYNCIO, 0, VALUE, 0);
  check(SIGUSR1, SI_KERNEL, 0, 0, 0);
  check(SIGCHLD, CLD_EXITED, PID, 0, VALUE);
  check(SIGCHLD, CLD_CONTINUED, PID, 0, VALUE);
  check(SIGCHLD, CLD_CONTINUED + 1, 0, 0, 0);
  check(SIGCHLD, DETHREAD, 0, 0, 0);
  check(SIGPOLL, DETHREAD, 0, 0, 0);
  check(SIGPOLL, SI_SIGIO, 0, 0, 0);
  CHECK_EQ(tell(SIGPOLL, POLL_IN).band, VALUE);
  CHECK_EQ(tell(SIGPOLL, POLL_HUP).band, VALUE);
  CHECK_EQ(tell(SIGPOLL, POLL_HUP + 1).band, 0);
}

static void each_code_has_what_comes_with_it(void) {
  fixture_open(&f, NULL);
  check_codes();
  fixture_close(&f);
}

static void it_has_the_same_through_a_signalfd(void) {
  fixture_open_queued(&f);
  check_codes();
  fixture_close(&f);
}

/* The kernel gives up the sender of one that it has no room for: process 0, of
 * root. In a user namespace, root may be another number. */
static void process_0_of_another_user_is_a_sender(void) {
  siginfo_t info;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  memset(&info, 0, sizeof(info));
  info.si_uid = UID;
  send_code(SIGUSR1, SI_USER, &info);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.last.flags, 0);
  CHECK_EQ(a.last.uid, UID);
  memset(&info, 0, sizeof(info));
  send_code(SIGUSR1, SI_USER, &info);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(a.last.flags, UVSIG_INFO_NONE);
  fixture_close(&f);
}

#else

static void skip(void) {
  skip_test("the system does not let a process make a signal up");
}
# define each_code_has_what_comes_with_it      skip
# define it_has_the_same_through_a_signalfd    skip
# define process_0_of_another_user_is_a_sender skip

#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_code_has_what_comes_with_it),
      TEST(it_has_the_same_through_a_signalfd),
      TEST(process_0_of_another_user_is_a_sender),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
