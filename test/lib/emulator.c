/* SPDX-License-Identifier: MIT
 *
 * What an emulator such as qemu-user cannot do with signals and processes,
 * without this library: a plain program that prints a word for each. What a test
 * cannot do under it is the emulator's fault where this program cannot either.
 * Each attempt is a child process, with a time limit.
 */

#define _GNU_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t came;
static volatile sig_atomic_t code;
static volatile sig_atomic_t value;

static void on_signal(int signum, siginfo_t* info, void* context) {
  (void) signum;
  (void) context;
  came++;
  code = info->si_code;
  value = info->si_value.sival_int;
}

static int catch_signal(int signum, int flags) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | flags;
  return sigaction(signum, &action, NULL) == 0;
}

static void pause_a_little(void) {
  const struct timespec ms = {0, 1000 * 1000};

  nanosleep(&ms, NULL);
}

/* Handlers have two seconds. */
static int comes(int count) {
  int i;

  for (i = 0; i < 2000 && came < count; i++)
    pause_a_little();
  return came >= count;
}

static int has_last_realtime(void) {
  return catch_signal(SIGRTMAX, 0) && raise(SIGRTMAX) == 0 && comes(1) &&
         catch_signal(SIGRTMAX - 1, 0) && raise(SIGRTMAX - 1) == 0 && comes(2);
}

static int has_nocldstop(void) {
  int status;
  pid_t child;

  if (!catch_signal(SIGCHLD, SA_NOCLDSTOP))
    return 0;
  child = fork();
  if (child == 0)
    for (;;)
      pause();
  kill(child, SIGSTOP);
  waitpid(child, &status, WUNTRACED);
  came = came * 10;
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return comes(1) && came == 1;
}

static void* raise_many(void* arg) {
  int i;

  (void) arg;
  for (i = 0; i < 20000; i++)
    raise(SIGUSR1);
  return NULL;
}

static int has_storms(void) {
  pthread_t threads[4];
  int i;

  if (!catch_signal(SIGUSR1, 0))
    return 0;
  for (i = 0; i < 4; i++)
    if (pthread_create(&threads[i], NULL, raise_many, NULL) != 0)
      return 0;
  for (i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  return came > 0;
}

static volatile sig_atomic_t is_over;

static void* raise_until_over(void* arg) {
  while (!is_over)
    pthread_kill(pthread_self(), SIGUSR1);
  return arg;
}

/* The action changes while another thread has the signal. */
static int has_changes_in_storms(void) {
  struct sigaction ignore;
  pthread_t thread;
  int i;

  memset(&ignore, 0, sizeof(ignore));
  ignore.sa_handler = SIG_IGN;
  if (!catch_signal(SIGUSR1, 0) ||
      pthread_create(&thread, NULL, raise_until_over, NULL) != 0)
    return 0;
  for (i = 0; i < 50000; i++)
    if (sigaction(SIGUSR1, &ignore, NULL) != 0 || !catch_signal(SIGUSR1, 0))
      return 0;
  is_over = 1;
  pthread_join(thread, NULL);
  return 1;
}

/* All that libc lets a program block is blocked. */
static int has_full_mask(void) {
  sigset_t all;
  sigset_t got;
  int signum;

  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  sigprocmask(SIG_SETMASK, NULL, &got);
  for (signum = 1; signum <= SIGRTMAX; signum++)
    if (signum != SIGKILL && signum != SIGSTOP &&
        sigismember(&all, signum) != sigismember(&got, signum))
      return 0;
  return 1;
}

/* A process may send itself what looks like the kernel's. */
static int has_sent_codes(void) {
  siginfo_t info;

  memset(&info, 0, sizeof(info));
  info.si_signo = SIGBUS;
  info.si_code = BUS_ADRERR;
  return catch_signal(SIGBUS, 0) &&
         syscall(SYS_rt_sigqueueinfo, getpid(), SIGBUS, &info) == 0 &&
         comes(1) && code == BUS_ADRERR;
}

/* Process 1 of a namespace outlives what it sends itself. */
static int has_process_1(void) {
  int status;
  pid_t child;

  if (unshare(CLONE_NEWPID) != 0)
    return 1; /* no root: nothing can need it */
  child = fork();
  if (child == 0) {
    raise(SIGTERM);
    _exit(3);
  }
  return waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 3;
}

static void* do_nothing(void* arg) {
  return arg;
}

static int make_thread(void) {
  pthread_t thread;

  return pthread_create(&thread, NULL, do_nothing, NULL) == 0 &&
         pthread_join(thread, NULL) == 0;
}

static void* sleep_long(void* arg) {
  pause();
  return arg;
}

/* The child of a process with threads may make one, in Linux. */
static int has_threads_after_fork(void) {
  pthread_t thread;
  int status;
  pid_t child;

  if (pthread_create(&thread, NULL, sleep_long, NULL) != 0)
    return 0;
  child = fork();
  if (child == 0)
    _exit(make_thread() ? 0 : 1);
  return waitpid(child, &status, 0) == child && status == 0;
}

static void look_at_mask(int signum) {
  sigset_t mask;

  (void) signum;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  came = sigismember(&mask, SIGPIPE) == 1;
}

/* A handler runs with the mask that its action has. */
static int has_handler_mask(void) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = look_at_mask;
  sigaddset(&action.sa_mask, SIGPIPE);
  return sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0 &&
         came == 1;
}

/* The child of vfork() runs in this process's memory. */
static int has_vfork(void) {
  static volatile int changed;
  pid_t child = vfork();

  if (child == 0) {
    changed = 1;
    _exit(0);
  }
  waitpid(child, NULL, 0);
  return changed;
}

static int has_subreaper(void) {
  return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

static int has_timer_code(void) {
  const struct itimerspec soon = {{0, 0}, {0, 1000 * 1000}};
  struct sigevent event;
  timer_t timer;

  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  return catch_signal(SIGUSR1, 0) &&
         timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
         timer_settime(timer, 0, &soon, NULL) == 0 && comes(1) &&
         code == SI_TIMER;
}

static int has_exec(void) {
  execl("/proc/self/exe", "emulator", "--nothing", (char*) NULL);
  return 0;
}

/* The mask that the kernel has of a thread. */
static int shows_masks(void) {
  unsigned long long mask = 0;
  char line[256];
  sigset_t set;
  FILE* file;

  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_SETMASK, &set, NULL);
  file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof(line), file) != NULL)
    if (strncmp(line, "SigBlk:", 7) == 0)
      mask = strtoull(line + 7, NULL, 16);
  return mask == 1ull << (SIGUSR1 - 1);
}

/* A child's end says how. */
static int has_child_code(void) {
  pid_t child;

  if (!catch_signal(SIGCHLD, 0))
    return 0;
  child = fork();
  if (child == 0)
    _exit(3);
  return comes(1) && code == CLD_EXITED && waitpid(child, NULL, 0) == child;
}

static int has_signalfd(void) {
  struct signalfd_siginfo info;
  sigset_t set;
  int fd;

  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  fd = signalfd(-1, &set, SFD_NONBLOCK);
  return fd >= 0 &&
         sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 7}) ==
             0 &&
         read(fd, &info, sizeof(info)) == (ssize_t) sizeof(info) &&
         info.ssi_signo == (unsigned) SIGRTMIN + 1 && info.ssi_int == 7 &&
         info.ssi_pid == (unsigned) getpid();
}

/* What is sent with a signal to a pidfd arrives. */
static int has_pidfd_values(void) {
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  int pidfd = (int) syscall(SYS_pidfd_open, getpid(), 0);
  siginfo_t info;

  memset(&info, 0, sizeof(info));
  info.si_signo = SIGUSR1;
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 7;
  return pidfd >= 0 && catch_signal(SIGUSR1, 0) &&
         syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, &info, 0) == 0 &&
         comes(1) && code == SI_QUEUE && value == 7;
#else
  return 0;
#endif
}

static int has_cancellation(void) {
  pthread_t thread;
  void* result = NULL;

  return pthread_create(&thread, NULL, sleep_long, NULL) == 0 &&
         pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 &&
         result == PTHREAD_CANCELED;
}

static const struct {
  int (*works)(void);
  const char* name;
} attempts[] = {
    {has_last_realtime, "last-realtime"},
    {has_nocldstop, "nocldstop"},
    {has_storms, "storms"},
    {has_changes_in_storms, "changes-in-storms"},
    {has_full_mask, "full-mask"},
    {has_sent_codes, "sent-codes"},
    {has_process_1, "process-1"},
    {has_threads_after_fork, "threads-after-fork"},
    {has_handler_mask, "handler-mask"},
    {has_vfork, "vfork"},
    {has_subreaper, "subreaper"},
    {has_timer_code, "timer-code"},
    {has_exec, "exec"},
    {shows_masks, "masks"},
    {has_child_code, "child-code"},
    {has_signalfd, "signalfd"},
    {has_pidfd_values, "pidfd-values"},
    {has_cancellation, "cancellation"},
};

/* It has 20 seconds, and longer where the machine is slow. */
static int can(int (*works)(void)) {
  int status = -1;
  int i;
  pid_t child = fork();

  if (child == 0) {
    setpgid(0, 0);
    _exit(works() ? 0 : 1);
  }
  setpgid(child, child);
  for (i = 0; i < 20 * 1000 && waitpid(child, &status, WNOHANG) == 0; i++)
    pause_a_little();
  if (i == 20 * 1000) {
    kill(-child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return status == 0;
}

int main(int argc, char** argv) {
  size_t i;

  (void) argv;
  if (argc > 1)
    return 0; /* it is the program that has_exec() starts */
  for (i = 0; i < sizeof(attempts) / sizeof(*attempts); i++)
    if (!can(attempts[i].works)) {
      puts(attempts[i].name);
      fflush(stdout);
    }
  return 0;
}
