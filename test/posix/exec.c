/* SPDX-License-Identifier: MIT
 *
 * The signals of a program that is started by exec(3) or posix_spawn(3). This
 * program is started again to tell of its own: see tell_signals().
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static char self[4096];
static char role[] = "tell-signals";

/* --- A program that is started -------------------------------------------- */

/* What is odd about its signals: "blocked SIGUSR1, ignored SIGPIPE, ". */
static int tell_signals(void) {
  struct sigaction action;
  sigset_t mask;
  int signum;

  if (pthread_sigmask(SIG_SETMASK, NULL, &mask) != 0)
    return 1;
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (sigismember(&mask, signum) == 1)
      printf("blocked %s, ", uvsig_signal_name(signum));
    if (sigaction(signum, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
      printf("ignored %s, ", uvsig_signal_name(signum));
  }
  return 0;
}

static int output[2];

/* What the child has told, which has this as its standard output. */
static void check_told(pid_t pid, const char* expected) {
  char text[4096] = "";
  size_t length = 0;
  ssize_t n;
  int status;

  close(output[1]);
  while ((n = UNINTERRUPTED(
              read(output[0], text + length, sizeof(text) - 1 - length))) > 0)
    length += (size_t) n;
  close(output[0]);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK_EQ(status, 0);
  CHECK_STR(text, expected);
}

/* --- The ways to start it ------------------------------------------------- */

/* By vfork() or fork(). The child of the former has this one's stack, which it
 * must not leave: both are called here. */
static pid_t start_by(bool shares_memory) {
  char* args[] = {self, role, NULL};
  pid_t pid;

  CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
  pid = shares_memory ? vfork() : fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    dup2(output[1], STDOUT_FILENO);
    uvsig_before_exec();
    execv(self, args);
    _exit(127);
  }
  return pid;
}

static pid_t start_by_fork(void) {
  return start_by(false);
}

static pid_t start_by_vfork(void) {
  return start_by(true);
}

static pid_t start_by_posix_spawn(void) {
  char* args[] = {self, role, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  pid_t pid;

  CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
  CHECK_EQ(posix_spawn_file_actions_init(&actions), 0);
  CHECK_EQ(posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO),
           0);
  CHECK_EQ(posix_spawnattr_init(&attr), 0);
  CHECK_EQ(uvsig_spawnattr(&attr), 0);
  CHECK_EQ(posix_spawn(&pid, self, &actions, &attr, args, environ), 0);
  posix_spawnattr_destroy(&attr);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

typedef pid_t (*start_fn)(void);
static const start_fn starts[] = {
    start_by_fork, start_by_vfork, start_by_posix_spawn};
enum { STARTS = sizeof(starts) / sizeof(*starts) };

/* --- Tests ---------------------------------------------------------------- */

static void check_clean(void* unused) {
  int i;

  (void) unused;
  for (i = 0; i < STARTS; i++)
    check_told(starts[i](), "");
}

/* Also while the parent watches signals, and ignores and blocks others. */
static void a_program_finds_no_signal_blocked_or_ignored(void) {
  struct fixture f;
  struct recorder r;
  sigset_t set = set_of(SIGUSR2);

  CHECK_EQ(uvsig_ignore(SIGPIPE), UVSIG_DEFAULT);
  install_handler(SIGHUP, count_foreign);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  fixture_open(&f, NULL);
  recorder_init(&r, &f.sig);
  recorder_start(&r, SIGTERM);
  check_clean(NULL);
  /* And the parent is as it was, whose memory a vfork() has shared. */
  CHECK_EQ(uvsig_getsignal(SIGPIPE), UVSIG_IGNORED);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(is_blocked(SIGUSR2), 1);
  raise(SIGTERM);
  run_until(&f.loop, &r.calls, 1);
  fixture_close(&f);
}

static void nor_in_a_thread_that_blocks_them_all(void) {
  uv_thread_t thread;

  CHECK_EQ(uvsig_thread_create(&thread, check_clean, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
}

/* Run the test of that name in a program that was started with SIGHUP ignored,
 * as by nohup(1). */
static void a_signal_ignored_from_the_start_stays_so(void) {
  char* args[] = {self, (char[]){"under-nohup"}, NULL};
  int status;
  pid_t pid = fork();

  CHECK(pid >= 0);
  if (pid == 0) {
    signal(SIGHUP, SIG_IGN);
    execv(self, args);
    _exit(127);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK_EQ(status, 0);
}

static int run_under_nohup(void) {
  int i;

  CHECK_EQ(uvsig_ignore(SIGPIPE), UVSIG_DEFAULT);
  for (i = 0; i < STARTS; i++)
    check_told(starts[i](), "ignored SIGHUP, ");
  /* What the program has changed since is changed. */
  signal(SIGHUP, SIG_DFL);
  for (i = 0; i < STARTS; i++)
    check_told(starts[i](), "");
  return 0;
}

static void errno_and_other_attributes_are_left_alone(void) {
  posix_spawnattr_t attr;
  short flags = 0;

  CHECK_EQ(uvsig_spawnattr(NULL), UV_EINVAL);
  CHECK_EQ(posix_spawnattr_init(&attr), 0);
  CHECK_EQ(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP), 0);
  CHECK_EQ(uvsig_spawnattr(&attr), 0);
  CHECK_EQ(posix_spawnattr_getflags(&attr, &flags), 0);
  CHECK_EQ(
      flags,
      POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_destroy(&attr);
  errno = ENOENT;
  uvsig_before_exec();
  CHECK_EQ(errno, ENOENT);
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(a_program_finds_no_signal_blocked_or_ignored),
      TEST(nor_in_a_thread_that_blocks_them_all),
      TEST(a_signal_ignored_from_the_start_stays_so),
      TEST(errno_and_other_attributes_are_left_alone),
  };

  if (realpath(argv[0], self) == NULL)
    return 1;
  if (argc > 1)
    return strcmp(argv[1], role) == 0 ? tell_signals() : run_under_nohup();
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
