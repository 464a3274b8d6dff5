/* SPDX-License-Identifier: MIT
 *
 * The init example from outside, as PID 1 of a namespace made by unshare(1) and
 * without: signals reach the command's whole group, orphans are collected, the
 * status is the command's. This program is the command, too: see roles.
 */

#include "../lib/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INIT "examples/init"
#define SELF "test/examples/init"

enum { MOST_ARGS = 16 };

/* --- Roles: what init runs, and what runs it ------------------------------ */

__attribute__((format(printf, 1, 2))) static void say(const char* format, ...) {
  va_list args;

  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  fflush(stdout);
}

/* Name each signal that comes, until SIGTERM has. */
static void name_signals(const char* who) {
  sigset_t set;
  int signum;

  sigfillset(&set);
  do {
    if (sigwait(&set, &signum) != 0)
      _exit(1);
    if (signum != SIGCHLD)
      say("%s got %s\n", who, uvsig_signal_name(signum));
  } while (signum != SIGTERM);
}

/* The command and a child of its own name the signals, and end with 3. */
static int be_group(void) {
  sigset_t set;
  pid_t pid;

  sigfillset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
  pid = fork();
  if (pid == 0) {
    name_signals("grandchild");
    _exit(0);
  }
  say("ready\n");
  name_signals("child");
  (void) UNINTERRUPTED(waitpid(pid, NULL, 0));
  return 3;
}

/* SIGTERM alone, and with the mask that there is. */
static int be_child(void) {
  say("ready\n");
  name_signals("child");
  return 4;
}

/* Neither the command nor its child end by SIGTERM. */
static int be_stubborn(void) {
  signal(SIGTERM, SIG_IGN);
  if (fork() != 0)
    say("ready\n");
  while (pause() < 0)
    ;
  return 1;
}

static bool has_gone(void* pid) {
  return kill(*(pid_t*) pid, 0) != 0 && errno == ESRCH;
}

/* A child of a child loses its parent, and ends. It has gone when somebody has
 * waited for it, which is not to be here. */
static int be_orphans(void) {
  int fds[2];
  pid_t orphan = 0;
  pid_t middle;
  pid_t parent;
  int i;

  for (i = 0; i < 20; i++) {
    CHECK_EQ(pipe(fds), 0);
    middle = fork();
    CHECK(middle >= 0);
    if (middle == 0) {
      parent = getpid();
      orphan = fork();
      if (orphan == 0) {
        while (getppid() == parent)
          uv_sleep(1);
        orphan = getpid();
        _exit(write(fds[1], &orphan, sizeof(orphan)) != sizeof(orphan));
      }
      _exit(orphan < 0);
    }
    CHECK_EQ(UNINTERRUPTED(waitpid(middle, NULL, 0)), middle);
    CHECK_EQ(read(fds[0], &orphan, sizeof(orphan)), sizeof(orphan));
    close(fds[0]);
    close(fds[1]);
    wait_until(has_gone, &orphan, "init collects an orphan");
  }
  say("%d orphans have gone\n", i);
  return 5;
}

/* Where does the command stand? */
static int be_curious(void) {
  say("group: %s\n", getpgrp() == getpid() ? "its own" : "another's");
  say("parent: %d\n", (int) getppid());
  return 0;
}

/* Is it in the foreground of its terminal? */
static int be_in_front(void) {
  pid_t front = tcgetpgrp(STDIN_FILENO);

  say("in front: %s\n", front == getpgrp() ? "yes" : "no");
  return front == getpgrp() ? 0 : 1;
}

/* Run the arguments with orphans as their children, outside of a namespace. */
static int be_subreaper(char** argv) {
#ifdef __linux__
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) == 0)
    execvp(argv[0], argv);
#else
  (void) argv;
#endif
  return 126;
}

/* Run the arguments with a SIGTERM that waits to be unblocked. */
static int be_early(char** argv) {
  sigset_t set = set_of(SIGTERM);

  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGTERM);
  execvp(argv[0], argv);
  return 126;
}

/* Run the arguments at the terminal that is the first of them. */
static int be_at_terminal(char** argv) {
  int fd = open(argv[0], O_RDWR);

  if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
    return 126;
  execvp(argv[1], argv + 1);
  return 126;
}

static int play(const char* role, char** argv) {
  if (strcmp(role, "group") == 0)
    return be_group();
  if (strcmp(role, "child") == 0)
    return be_child();
  if (strcmp(role, "stubborn") == 0)
    return be_stubborn();
  if (strcmp(role, "orphans") == 0)
    return be_orphans();
  if (strcmp(role, "curious") == 0)
    return be_curious();
  if (strcmp(role, "in-front") == 0)
    return be_in_front();
  if (strcmp(role, "subreaper") == 0)
    return be_subreaper(argv);
  if (strcmp(role, "early") == 0)
    return be_early(argv);
  if (strcmp(role, "at-terminal") == 0)
    return be_at_terminal(argv);
  fprintf(stderr, "no role \"%s\"\n", role);
  return 126;
}

/* --- Running init --------------------------------------------------------- */

static struct program p;
static bool as_pid_1;

#define UNSHARE "unshare", "--pid", "--fork", "--mount-proc"

static void enter_namespace(void) {
  as_pid_1 = true;
  program_start(&p, LIST(UNSHARE, "true"), NULL);
  if (program_finish(&p) != 0)
    skip_test("no PID namespace can be made here (unshare(1))");
}

static void start(const char* const arguments[]) {
  const char* argv[MOST_ARGS] = {UNSHARE};
  size_t n = as_pid_1 ? 4 : 0;

  for (; *arguments != NULL; arguments++) {
    CHECK(n + 1 < MOST_ARGS);
    argv[n++] = *arguments;
  }
  argv[n] = NULL;
  program_start(&p, argv, NULL);
}

/* All that has the output ends with it, and by itself. */
static void check_exit(int status) {
  int ended;

  CHECK(program_line_or_end(&p, "what nobody says") == NULL);
  ended = program_wait(&p);
  program_end(&p);
  CHECK(WIFEXITED(ended));
  CHECK_EQ(WEXITSTATUS(ended), status);
}

/* The only child of unshare(1), or else the program itself. */
static pid_t pid_of_init(void) {
  char path[64];
  int pid = 0;
  FILE* file;

  if (!as_pid_1)
    return p.pid;
  snprintf(path, sizeof(path), "/proc/%d/task/%d/children", p.pid, p.pid);
  file = fopen(path, "re");
  if (file == NULL)
    skip_test("no /proc/PID/task/TID/children here");
  CHECK_EQ(fscanf(file, "%d", &pid), 1);
  fclose(file);
  CHECK(pid > 1);
  return pid;
}

/* --- Tests ---------------------------------------------------------------- */

static void check_statuses(void) {
  start(LIST(INIT, "--", "sh", "-c", "exit 0"));
  check_exit(0);
  start(LIST(INIT, "sh", "-c", "exit 7"));
  check_exit(7);
  start(LIST(INIT, "--", "sh", "-c", "kill -KILL $$"));
  check_exit(128 + SIGKILL);
  start(LIST(INIT, "--grace=5", "--", "sh", "-c", "kill -TERM $$"));
  check_exit(128 + SIGTERM);
  start(LIST(INIT, "--", "no-such-command-anywhere"));
  check_exit(127);
  start(LIST(INIT, "--", "/"));
  check_exit(126);
}

static void it_ends_with_the_commands_status(void) {
  check_statuses();
}

static void pid_1_ends_with_the_commands_status(void) {
  enter_namespace();
  check_statuses();
}

static void it_refuses_what_it_does_not_understand(void) {
  start(LIST(INIT));
  check_exit(2);
  start(LIST(INIT, "--grace=", "true"));
  check_exit(2);
  start(LIST(INIT, "--grace=0", "true"));
  check_exit(2);
  start(LIST(INIT, "--grace=1s", "true"));
  check_exit(2);
  start(LIST(INIT, "--unknown", "true"));
  check_exit(2);
}

static bool is_its_own(int signum) {
  return signum == SIGKILL || signum == SIGSTOP || signum == SIGCHLD ||
         signum == SIGTTIN || signum == SIGTTOU || signum == SIGSEGV ||
         signum == SIGBUS || signum == SIGFPE || signum == SIGILL ||
         signum == SIGTRAP || signum == SIGSYS || signum == SIGABRT;
}

/* Both lines, whichever comes first. */
static void expect_both(const char* name) {
  bool child = false;
  bool grandchild = false;
  char expected[64];
  const char* line;

  while (!child || !grandchild) {
    line = program_line(&p, "");
    snprintf(expected, sizeof(expected), "child got %s", name);
    if (strcmp(line, expected) == 0) {
      CHECK(!child);
      child = true;
      continue;
    }
    snprintf(expected, sizeof(expected), "grandchild got %s", name);
    CHECK_STR(line, expected);
    CHECK(!grandchild);
    grandchild = true;
  }
}

static void check_forwarding(void) {
  sigset_t valid;
  pid_t init;
  int signum;

  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  start(LIST(INIT, "--", SELF, "group"));
  program_line(&p, "ready");
  init = pid_of_init();
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (sigismember(&valid, signum) != 1 || is_its_own(signum) ||
        signum == SIGTERM)
      continue;
    CHECK_EQ(kill(init, signum), 0);
    expect_both(uvsig_signal_name(signum));
  }
  CHECK_EQ(kill(init, SIGTERM), 0);
  expect_both("SIGTERM");
  check_exit(3);
}

static void it_forwards_each_signal_to_the_whole_group(void) {
  check_forwarding();
}

static void pid_1_forwards_each_signal_to_the_whole_group(void) {
  enter_namespace();
  check_forwarding();
}

static void check_early(void) {
  start(LIST(SELF, "early", INIT, "--", SELF, "child"));
  program_line(&p, "child got SIGTERM");
  check_exit(4);
}

static void a_signal_from_before_the_command_is_forwarded(void) {
  check_early();
}

static void a_signal_from_before_the_command_is_forwarded_by_pid_1(void) {
  enter_namespace();
  check_early();
}

static void it_collects_orphans(void) {
#ifdef __linux__
  start(LIST(SELF, "subreaper", INIT, "--", SELF, "orphans"));
  program_line(&p, "20 orphans have gone");
  check_exit(5);
#else
  skip_test("no PR_SET_CHILD_SUBREAPER here");
#endif
}

static void pid_1_collects_orphans(void) {
  enter_namespace();
  start(LIST(INIT, "--", SELF, "orphans"));
  program_line(&p, "20 orphans have gone");
  check_exit(5);
}

/* Of a set in /proc/PID/status. */
/* What libc keeps is nobody's to change, and make(1) may have ignored it. */
static void expect_set(const char* name, int signum) {
  const char* line = program_line(&p, name);
  unsigned long long bits = 1;
  int i;

  CHECK_EQ(sscanf(line + strlen(name), " %llx", &bits), 1);
  for (i = 1; i < UVSIG_NSIG && i <= 64; i++)
    if (uvsig_signal_name(i) == NULL)
      bits &= ~(1ull << (i - 1));
  CHECK_EQ(bits, signum != 0 ? 1ull << (signum - 1) : 0);
}

/* cat(1) changes neither; a sanitizer's library, in this program, does. */
static void the_command_has_default_actions_and_the_mask_from_before(void) {
  sigset_t set = set_of(SIGUSR2);

  if (access("/proc/self/status", R_OK) != 0)
    skip_test("no /proc/self/status here");
  CHECK_EQ(sigprocmask(SIG_SETMASK, &set, NULL), 0);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  start(LIST(INIT, "--", "cat", "/proc/self/status"));
  expect_set("SigBlk:", SIGUSR2);
  expect_set("SigIgn:", 0);
  check_exit(0);
}

static void the_command_has_a_group_of_its_own(void) {
  start(LIST(INIT, "--", SELF, "curious"));
  CHECK_STR(program_line(&p, ""), "group: its own");
  check_exit(0);
}

static void the_command_of_pid_1_has_it_for_its_parent(void) {
  enter_namespace();
  start(LIST(INIT, "--", SELF, "curious"));
  CHECK_STR(program_line(&p, ""), "group: its own");
  CHECK_STR(program_line(&p, ""), "parent: 1");
  check_exit(0);
}

static void the_command_is_in_front_of_its_terminal(void) {
  int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

  if (terminal < 0)
    skip_test("no terminal can be made here (posix_openpt(3))");
  CHECK_EQ(grantpt(terminal), 0);
  CHECK_EQ(unlockpt(terminal), 0);
  start(LIST(
      SELF, "at-terminal", ptsname(terminal), INIT, "--", SELF, "in-front"));
  program_line(&p, "in front: yes");
  check_exit(0);
  close(terminal);
}

static void check_grace(void) {
  uint64_t since;

  start(LIST(INIT, "--grace=1", "--", SELF, "stubborn"));
  program_line(&p, "ready");
  since = uv_hrtime();
  CHECK_EQ(kill(pid_of_init(), SIGTERM), 0);
  check_exit(128 + SIGKILL); /* and none is left */
  CHECK(uv_hrtime() - since >= UINT64_C(1000000000));
}

static void the_group_is_killed_after_the_grace(void) {
  check_grace();
}

static void the_group_of_pid_1_is_killed_after_the_grace(void) {
  enter_namespace();
  check_grace();
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(it_ends_with_the_commands_status),
      TEST(pid_1_ends_with_the_commands_status),
      TEST(it_refuses_what_it_does_not_understand),
      TEST(it_forwards_each_signal_to_the_whole_group),
      TEST(pid_1_forwards_each_signal_to_the_whole_group),
      TEST(a_signal_from_before_the_command_is_forwarded),
      TEST(a_signal_from_before_the_command_is_forwarded_by_pid_1),
      TEST(it_collects_orphans),
      TEST(pid_1_collects_orphans),
      TEST(the_command_has_default_actions_and_the_mask_from_before),
      TEST(the_command_has_a_group_of_its_own),
      TEST(the_command_of_pid_1_has_it_for_its_parent),
      TEST(the_command_is_in_front_of_its_terminal),
      TEST(the_group_is_killed_after_the_grace),
      TEST(the_group_of_pid_1_is_killed_after_the_grace),
  };

  if (argc > 1)
    return play(argv[1], argv + 2);
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
