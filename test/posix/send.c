/* SPDX-License-Identifier: MIT
 *
 * Sending: to the own thread, another thread, a process, through a pidfd.
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

static const int no_signals[] = {-1, UVSIG_NSIG, 4242, 32};
#define NO_SIGNALS (sizeof(no_signals) / sizeof(*no_signals))

static void open_watched(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
}

static void check_delivered_once(void) {
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void raise_signal_reaches_the_calling_thread(void) {
  open_watched();
  CHECK_EQ(uvsig_raise_signal(SIGUSR1), 0);
  check_delivered_once();
}

static void pthread_kill_reaches_the_own_thread(void) {
  open_watched();
  CHECK_EQ(uvsig_pthread_kill(uv_thread_self(), SIGUSR1), 0);
  check_delivered_once();
}

/* What it blocks and waits for cannot go to another thread. */
struct target {
  sem_t ready;
  uvsig_info_t info;
};

static void* wait_for_usr1(void* argument) {
  struct target* target = argument;
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(sem_post(&target->ready), 0);
  CHECK_EQ(uvsig_sigwaitinfo(&set, &target->info), 0);
  return NULL;
}

static void pthread_kill_reaches_another_thread(void) {
  struct target target;
  pthread_t thread;

  CHECK_EQ(sem_init(&target.ready, 0, 0), 0);
  CHECK_EQ(pthread_create(&thread, NULL, wait_for_usr1, &target), 0);
  while (sem_wait(&target.ready) != 0)
    ;
  /* 0 asks whether it is there, and sends nothing. */
  CHECK_EQ(uvsig_pthread_kill(thread, 0), 0);
  CHECK_EQ(uvsig_pthread_kill(thread, SIGUSR1), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(target.info.signum, SIGUSR1);
  CHECK_EQ(target.info.pid, getpid());
  CHECK_EQ(sem_destroy(&target.ready), 0);
}

static void pthread_kill_refuses_what_is_no_signal(void) {
  size_t i;

  open_watched();
  for (i = 0; i < NO_SIGNALS; i++)
    CHECK_EQ(uvsig_pthread_kill(uv_thread_self(), no_signals[i]), UV_EINVAL);
  check_books(&f.sig, 0, 0, 0);
  fixture_close(&f);
}

static void sigqueue_sends_a_value(void) {
  const union sigval value = {.sival_int = 815};
  uvsig_info_t info;
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(uvsig_sigqueue(getpid(), SIGRTMIN, value), 0);
  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.code, SI_QUEUE);
  CHECK_EQ(info.value.sival_int, 815);
  CHECK_EQ(uvsig_sigqueue(getpid(), 0, value), 0);
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, &info), UV_ETIMEDOUT);
}

static void sigqueue_says_that_there_is_no_such_process(void) {
  const union sigval value = {.sival_int = 1};
  pid_t child = fork();
  int status;

  CHECK(child >= 0);
  if (child == 0)
    _exit(0);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(uvsig_sigqueue(child, SIGUSR1, value), UV_ESRCH);
}

/* -1 and 0 would be everybody and the group, if it were kill(). */
static void sigqueue_refuses_what_is_no_signal_and_no_process(void) {
  const union sigval value = {.sival_int = 1};
  size_t i;

  open_watched();
  for (i = 0; i < NO_SIGNALS; i++)
    CHECK_EQ(uvsig_sigqueue(getpid(), no_signals[i], value), UV_EINVAL);
  CHECK_EQ(uvsig_sigqueue(0, SIGUSR1, value), UV_EINVAL);
  CHECK_EQ(uvsig_sigqueue(-1, SIGUSR1, value), UV_EINVAL);
  check_books(&f.sig, 0, 0, 0);
  fixture_close(&f);
}

/* A pidfd of this process, or the end as skipped. valgrind 3.24 knows the first
 * of the two system calls. */
static int open_pidfd(void) {
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  int fd = (int) syscall(SYS_pidfd_open, getpid(), 0);

  if (fd >= 0 && syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0)
    return fd;
#endif
  skip_test("no pidfd_open(2), or no pidfd_send_signal(2) here");
  return -1;
}

static void pidfd_send_signal_reaches_its_process(void) {
  int pidfd = open_pidfd();

  open_watched();
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, 0, NULL, 0), 0);
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, NULL, 0), 0);
  close(pidfd);
  check_delivered_once();
}

static void pidfd_send_signal_refuses_what_is_no_pidfd(void) {
  int fd = open("/dev/null", O_RDONLY);

  close(open_pidfd());
  CHECK(fd >= 0);
  CHECK_EQ(uvsig_pidfd_send_signal(0, SIGUSR1, NULL, 0), UV_EBADF);
  CHECK_EQ(uvsig_pidfd_send_signal(fd, SIGUSR1, NULL, 0), UV_EBADF);
  CHECK_EQ(uvsig_pidfd_send_signal(-1, SIGUSR1, NULL, 0), UV_EBADF);
  close(fd);
}

static siginfo_t info_of(int signum, int code, int value) {
  siginfo_t info;

  memset(&info, 0, sizeof(info));
  info.si_signo = signum;
  info.si_code = code;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = value;
  return info;
}

static void pidfd_send_signal_sends_a_value(void) {
  int pidfd = open_pidfd();
  siginfo_t sent = info_of(SIGUSR1, SI_QUEUE, 815);
  sigset_t set = set_of(SIGUSR1);
  uvsig_info_t info;

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, &sent, 0), 0);
  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.code, SI_QUEUE);
  CHECK_EQ(info.value.sival_int, 815);
  CHECK_EQ(info.pid, getpid());
  /* To itself a process may say that it is the kernel. */
  sent.si_code = SI_USER;
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, &sent, 0), 0);
  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.code, SI_USER);
  sent = info_of(0, SI_QUEUE, 0);
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, 0, &sent, 0), 0);
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, &info), UV_ETIMEDOUT);
  close(pidfd);
}

static void take_4711(void) {
  sigset_t set = set_of(SIGUSR1);
  uvsig_info_t info;

  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.value.sival_int, 4711);
  CHECK_EQ(info.pid, getppid());
  _exit(0);
}

static void pidfd_send_signal_sends_others_a_value_and_no_lie(void) {
#ifdef SYS_pidfd_open
  sigset_t set = set_of(SIGUSR1);
  siginfo_t sent = info_of(SIGUSR1, SI_QUEUE, 4711);
  pid_t child;
  int pidfd;
  int status;

  close(open_pidfd());
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0)
    take_4711();
  pidfd = (int) syscall(SYS_pidfd_open, child, 0);
  CHECK(pidfd >= 0);
  sent.si_code = SI_USER;
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, &sent, 0), UV_EPERM);
  sent.si_code = SI_QUEUE;
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, &sent, 0), 0);
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
  close(pidfd);
#else
  skip_test("no pidfd_open(2) here");
#endif
}

static void pidfd_send_signal_refuses_another_number_and_flags(void) {
  int pidfd = open_pidfd();
  siginfo_t info = info_of(SIGUSR2, SI_QUEUE, 1);
  size_t i;

  open_watched();
  for (i = 0; i < NO_SIGNALS; i++)
    CHECK_EQ(uvsig_pidfd_send_signal(pidfd, no_signals[i], NULL, 0), UV_EINVAL);
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, &info, 0), UV_EINVAL);
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, NULL, 1), UV_EINVAL);
  check_books(&f.sig, 0, 0, 0);
  fixture_close(&f);
  close(pidfd);
}

static void pidfd_send_signal_says_that_the_process_has_gone(void) {
#ifdef SYS_pidfd_open
  pid_t child;
  int pidfd;
  int status;

  close(open_pidfd());
  child = fork();
  CHECK(child >= 0);
  if (child == 0)
    _exit(0);
  pidfd = (int) syscall(SYS_pidfd_open, child, 0);
  CHECK(pidfd >= 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(uvsig_pidfd_send_signal(pidfd, SIGUSR1, NULL, 0), UV_ESRCH);
  close(pidfd);
#else
  skip_test("no pidfd_open(2) here");
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(raise_signal_reaches_the_calling_thread),
      TEST(pthread_kill_reaches_the_own_thread),
      TEST(pthread_kill_reaches_another_thread),
      TEST(pthread_kill_refuses_what_is_no_signal),
      TEST(sigqueue_sends_a_value),
      TEST(sigqueue_says_that_there_is_no_such_process),
      TEST(sigqueue_refuses_what_is_no_signal_and_no_process),
      TEST(pidfd_send_signal_reaches_its_process),
      TEST(pidfd_send_signal_refuses_what_is_no_pidfd),
      TEST(pidfd_send_signal_sends_a_value),
      TEST(pidfd_send_signal_sends_others_a_value_and_no_lie),
      TEST(pidfd_send_signal_refuses_another_number_and_flags),
      TEST(pidfd_send_signal_says_that_the_process_has_gone),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
