/* SPDX-License-Identifier: MIT
 *
 * The init example from outside, as PID 1 of a namespace made by unshare(1) and
 * without: signals reach the command's whole group, orphans are collected, what
 * the command leaves is ended, the status is the command's. This program is the
 * command, too: see roles. Job control is in init-terminal.c.
 */

#include "../lib/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define INIT "examples/init"
#define SELF "test/examples/init"

/* --- Roles: what init runs, and what runs it ------------------------------ */

/* Name each signal that comes, until SIGTERM has. */
static void name_signals(const char* who) {
  sigset_t set;
  int signum;

  sigfillset(&set);
  do {
    if (sigwait(&set, &signum) != 0)
      _exit(1);
    if (signum != SIGCHLD)
      role_says("%s got %s\n", who, uvsig_signal_name(signum));
  } while (signum != SIGTERM);
}

static pid_t fork_blocked(void) {
  sigset_t set;
  pid_t pid;

  sigfillset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
  pid = fork();
  if (pid == 0) {
    name_signals("grandchild");
    _exit(0);
  }
  return pid;
}

/* The command and a child of its own name the signals, and end with 3. */
static int be_group(void) {
  pid_t pid = fork_blocked();

  role_says("ready\n");
  name_signals("child");
  (void) UNINTERRUPTED(waitpid(pid, NULL, 0));
  return 3;
}

/* The same, but the command ends first, with 4. */
static int be_pair(void) {
  fork_blocked();
  role_says("ready\n");
  name_signals("child");
  return 4;
}

/* SIGTERM alone, and with the mask that there is. */
static int be_child(void) {
  role_says("ready\n");
  name_signals("child");
  return 4;
}

static int be_alone(void) {
  sigset_t set;

  sigfillset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
  return be_child();
}

static void ignore_all(void) {
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
}

/* Neither the command nor its children end by what asks for it. One of them is
 * in a session of its own. */
static int be_stubborn(void) {
  pid_t pid;

  ignore_all();
  pid = fork();
  if (pid != 0 && (pid = fork()) == 0)
    setsid();
  if (pid != 0)
    role_says("ready\n");
  while (pause() < 0)
    ;
  return 1;
}

/* The server ends when it is told to, and a process of its group does not. It
 * is the command, which ends with 0, or a successor, which ends with 3. */
static int be_server(bool is_successor) {
  sigset_t set;

  sigfillset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
  if (fork() == 0)
    while (true)
      pause();
  if (is_successor && fork() != 0)
    return 0;
  role_says("ready\n");
  name_signals("server");
  return is_successor ? 3 : 0;
}

static int be_beside_deaf(void) {
  return be_server(false);
}

static int be_succeeded(void) {
  return be_server(true);
}

/* Two servers have the signal. The first is the command, and ends before the
 * other one, which goes on until SIGCONT, and names what it gets. */
static int be_overlapping(void) {
  sigset_t set;
  int fds[2];
  int signum = 0;
  char byte;

  sigfillset(&set);
  sigprocmask(SIG_BLOCK, &set, NULL);
  CHECK_EQ(pipe(fds), 0);
  if (fork() == 0) {
    close(fds[0]);
    while (signum != SIGCONT) {
      CHECK_EQ(sigwait(&set, &signum), 0);
      role_says("the other got %s\n", uvsig_signal_name(signum));
      close(fds[1]); /* at the first one */
    }
    return 3;
  }
  close(fds[1]);
  role_says("ready\n");
  CHECK_EQ(UNINTERRUPTED(read(fds[0], &byte, 1)), 0);
  return 0;
}

/* What the command leaves: "group", "session", "parent", "stopped" or
 * "stubborn"; all but the first in a session of its own. `fd` is open until it
 * is ready. */
static void be_left(const char* how, int fd) {
  sigset_t set;

  if (strcmp(how, "group") != 0)
    setsid();
  sigfillset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
  if (strcmp(how, "parent") == 0 && fork() == 0) {
    close(fd);
    name_signals("its child");
    _exit(0);
  }
  if (strcmp(how, "stubborn") == 0)
    ignore_all();
  close(fd);
  if (strcmp(how, "stopped") == 0)
    raise(SIGSTOP);
  while (strcmp(how, "stubborn") == 0)
    pause();
  name_signals("what is left");
  _exit(0);
}

/* End with 6 when it is ready, or has stopped. */
static int be_leaving(char** how) {
  int fds[2];
  pid_t pid;
  char byte;

  CHECK_EQ(pipe(fds), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    close(fds[0]);
    be_left(*how, fds[1]);
  }
  close(fds[1]);
  CHECK_EQ(UNINTERRUPTED(read(fds[0], &byte, 1)), 0);
  close(fds[0]);
  if (strcmp(*how, "stopped") == 0)
    CHECK_EQ(UNINTERRUPTED(waitpid(pid, NULL, WUNTRACED)), pid);
  role_says("ends\n");
  return 6;
}

/* SIGTERM ends a wrapper at once, and its child cleans up: until SIGUSR1. */
static int be_wrapper(void) {
  pid_t wrapper = getpid();
  sigset_t set;
  int signum;

  sigfillset(&set);
  sigprocmask(SIG_BLOCK, &set, NULL);
  if (fork() != 0) {
    set = set_of(SIGTERM);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    while (pause() < 0)
      ;
  }
  role_says("ready\n");
  CHECK_EQ(sigwait(&set, &signum), 0);
  while (getppid() == wrapper)
    uv_sleep(1);
  role_says("cleans up\n");
  set = set_of(SIGUSR1);
  CHECK_EQ(sigwait(&set, &signum), 0);
  role_says("is clean\n");
  return 0;
}

/* A child of a child loses its parent, has init for one, and ends. It has gone
 * when somebody has waited for it, which is not to be here. */
static int be_orphans(void) {
  int fds[2];
  pid_t orphan = 0;
  pid_t init = getppid();
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
        orphan = getppid() == init ? getpid() : 0;
        _exit(write(fds[1], &orphan, sizeof(orphan)) != sizeof(orphan));
      }
      _exit(orphan < 0);
    }
    CHECK_EQ(UNINTERRUPTED(waitpid(middle, NULL, 0)), middle);
    CHECK_EQ(read(fds[0], &orphan, sizeof(orphan)), sizeof(orphan));
    CHECK(orphan != 0);
    close(fds[0]);
    close(fds[1]);
    wait_until(has_gone, &orphan, "init collects an orphan");
  }
  role_says("%d orphans have gone\n", i);
  return 5;
}

/* As "alone", beside an orphan that has stopped. */
static int be_beside_stopped(void) {
  pid_t orphan = 0;
  pid_t middle;
  int fds[2];

  CHECK_EQ(pipe(fds), 0);
  middle = fork();
  CHECK(middle >= 0);
  if (middle == 0) {
    orphan = fork();
    if (orphan == 0)
      raise(SIGSTOP);
    else if (write(fds[1], &orphan, sizeof(orphan)) < 0)
      _exit(1);
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(middle, NULL, 0)), middle);
  CHECK_EQ(read(fds[0], &orphan, sizeof(orphan)), sizeof(orphan));
  wait_until(is_stopped, &orphan, "an orphan stops");
  return be_alone();
}

/* Where does the command stand? */
static int be_curious(void) {
  role_says("group: %s\n", getpgrp() == getpid() ? "its own" : "another's");
  role_says("parent: %d\n", (int) getppid());
  return 0;
}

static int be_in_front(void) {
  role_says("in front: %s\n", in_front());
  return 0;
}

/* Run the arguments, and end with 9 on SIGUSR1. */
static int be_parent(char** argv) {
  sigset_t set = set_of(SIGUSR1);
  int signum;

  sigprocmask(SIG_BLOCK, &set, NULL);
  if (fork() == 0) {
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    execvp(argv[0], argv);
    _exit(126);
  }
  CHECK_EQ(sigwait(&set, &signum), 0);
  return 9;
}

/* Run the arguments with a standard error that nobody reads. */
static int be_unheard(char** argv) {
  int fds[2];

  if (pipe(fds) != 0 || dup2(fds[1], STDERR_FILENO) < 0)
    return 126;
  close(fds[0]);
  close(fds[1]);
  execvp(argv[0], argv);
  return 126;
}

static const struct role roles[] = {
    {"alone", be_alone, NULL},
    {"at-terminal", NULL, be_at_terminal},
    {"beside-deaf", be_beside_deaf, NULL},
    {"beside-stopped", be_beside_stopped, NULL},
    {"child", be_child, NULL},
    {"continued", be_continued, NULL},
    {"curious", be_curious, NULL},
    {"early", NULL, be_early},
    {"group", be_group, NULL},
    {"in-front", be_in_front, NULL},
    {"leaving", NULL, be_leaving},
    {"orphans", be_orphans, NULL},
    {"overlapping", be_overlapping, NULL},
    {"pair", be_pair, NULL},
    {"parent", NULL, be_parent},
    {"stubborn", be_stubborn, NULL},
    {"succeeded", be_succeeded, NULL},
    {"suspended", be_suspended, NULL},
    {"unheard", NULL, be_unheard},
    {"wrapper", be_wrapper, NULL},
    {NULL, NULL, NULL},
};

/* --- Running init --------------------------------------------------------- */

static struct program p;
static bool as_pid_1;

static void enter_namespace(void) {
  need_namespace();
  as_pid_1 = true;
}

static void start(const char* const arguments[]) {
  const char* argv[MOST_ARGUMENTS];
  size_t n = as_pid_1 ? add_arguments(argv, 0, LIST(UNSHARE)) : 0;

  add_arguments(argv, n, arguments);
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

static pid_t only_child_of(pid_t parent) {
  char path[64];
  int pid = 0;
  FILE* file;

  snprintf(path,
           sizeof(path),
           "/proc/%d/task/%d/children",
           (int) parent,
           (int) parent);
  file = fopen(path, "re");
  if (file == NULL)
    skip_test("no /proc/PID/task/TID/children here");
  CHECK_EQ(fscanf(file, "%d", &pid), 1);
  fclose(file);
  CHECK(pid > 1);
  return pid;
}

/* `children`: a process, and the child that it had. */
static bool has_another_child(void* children) {
  const pid_t* pids = children;
  char path[64];
  int first;
  int second;
  int n;
  FILE* file;

  snprintf(path,
           sizeof(path),
           "/proc/%d/task/%d/children",
           (int) pids[0],
           (int) pids[0]);
  file = fopen(path, "re");
  if (file == NULL)
    skip_test("no /proc/PID/task/TID/children here");
  n = fscanf(file, "%d %d", &first, &second);
  fclose(file);
  return n == 1 && first != pids[1];
}

/* The only child of unshare(1), or else the program itself. */
static pid_t pid_of_init(void) {
  return as_pid_1 ? only_child_of(p.pid) : p.pid;
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
  start(LIST(INIT, "--grace=1s", "true"));
  check_exit(2);
  start(LIST(INIT, "--grace=-1", "true"));
  check_exit(2);
  start(LIST(INIT, "--rewrite=TERM", "true"));
  check_exit(2);
  start(LIST(INIT, "--rewrite=TERM:NONE", "true"));
  check_exit(2);
  start(LIST(INIT, "--rewrite=CHLD:TERM", "true"));
  check_exit(2);
  start(LIST(INIT, "-p", "0", "true"));
  check_exit(2);
  start(LIST(INIT, "--stop-signal=NONE", "true"));
  check_exit(2);
  start(LIST(INIT, "--unknown", "true"));
  check_exit(2);
}

static void usage_goes_where_it_is_expected(void) {
  start(LIST(INIT, "--help"));
  program_line(&p, "Usage: init");
  check_exit(0);
  start(LIST(INIT, "--unknown", "true"));
  program_output_ends(&p);
  check_exit(2);
  program_start_2to1(&p, LIST(INIT, "--unknown", "true"), NULL);
  program_line(&p, "Usage: init");
  check_exit(2);
}

static bool is_its_own(int signum) {
  return signum == SIGKILL || signum == SIGSTOP || signum == SIGCHLD ||
         signum == SIGSEGV || signum == SIGBUS || signum == SIGFPE ||
         signum == SIGILL || signum == SIGTRAP || signum == SIGSYS ||
         signum == SIGABRT;
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
  start(LIST(INIT, "--", SELF, "orphans"));
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
  char name[64];
  int terminal;
  int tty;

  open_terminal(&terminal, &tty);
  close(tty);
  CHECK_EQ(ptsname_r(terminal, name, sizeof(name)), 0);
  start(LIST(SELF, "at-terminal", name, INIT, "--", SELF, "in-front"));
  program_line(&p, "in front: yes");
  check_exit(0);
  close(terminal);
}

/* What stops both: another process has sent it, and will continue init. PID 1
 * does not stop: it goes on handing signals on. */
static void check_stopping(void) {
  static const int signals[] = {SIGTSTP, SIGTTIN, SIGTTOU};
  pid_t init;
  pid_t command;
  size_t i;

  start(LIST(INIT, "--", SELF, "continued"));
  program_line(&p, "ready");
  init = pid_of_init();
  command = only_child_of(init);
  for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
    CHECK_EQ(kill(init, signals[i]), 0);
    wait_until(is_stopped, &command, "the command stops");
    if (!as_pid_1)
      wait_until(is_stopped, &init, "init stops");
    CHECK_EQ(kill(init, SIGCONT), 0);
    CHECK_STR(program_line(&p, ""), "goes on, in front: no");
  }
  CHECK_EQ(kill(init, SIGTERM), 0);
  check_exit(128 + SIGTERM);
}

static void init_and_the_command_stop_and_go_on(void) {
  check_stopping();
}

static void the_command_of_pid_1_stops_alone(void) {
  enter_namespace();
  check_stopping();
}

/* The command stops while init is stopped, and init hears of that, and then
 * that it is to go on. */
static void init_goes_on_although_the_command_has_stopped(void) {
  pid_t command;

  start(LIST(INIT, "--", SELF, "alone"));
  program_line(&p, "ready");
  command = only_child_of(p.pid);
  program_signal(&p, SIGTSTP); /* the command does not stop for it */
  CHECK_STR(program_line(&p, ""), "child got SIGTSTP");
  program_signal(&p, SIGSTOP);
  wait_until(is_stopped, &p.pid, "init stops");
  CHECK_EQ(kill(command, SIGSTOP), 0);
  wait_until(is_stopped, &command, "the command stops");
  program_signal(&p, SIGCONT);
  CHECK_STR(program_line(&p, ""), "child got SIGCONT");
  program_signal(&p, SIGTERM);
  CHECK_STR(program_line(&p, ""), "child got SIGTERM");
  check_exit(4);
}

static void check_suspended(void) {
  pid_t command;

  start(LIST(INIT, "--", SELF, "suspended"));
  program_line(&p, "ready");
  command = only_child_of(pid_of_init());
  wait_until(is_stopped, &command, "the command stops");
  CHECK_EQ(kill(pid_of_init(), SIGTERM), 0);
  check_exit(128 + SIGTERM);
}

static void a_stopped_command_can_end(void) {
  check_suspended();
}

static void a_stopped_command_of_pid_1_can_end(void) {
  enter_namespace();
  check_suspended();
}

/* It is no stop of the command. */
static void an_orphan_that_stops_is_left_alone(void) {
  const char* line;

  program_start_2to1(&p, LIST(INIT, "-v", "--", SELF, "beside-stopped"), NULL);
  while ((line = program_line_or_end(&p, "")) != NULL) {
    CHECK(strstr(line, "has stopped") == NULL);
    if (strcmp(line, "ready") == 0)
      program_signal(&p, SIGTERM);
  }
  CHECK_EQ(WEXITSTATUS(program_finish(&p)), 4);
}

/* --- A successor ------------------------------------------------------------ */

static void exchange(unsigned port) {
  int fd = connect_to(port);

  send_text(fd, "here\n");
  expect_text(fd, "here\n");
  close(fd);
}

/* The server that it runs is upgraded twice, and outlives no end of it. */
static void check_follows(void) {
  pid_t pids[2];
  unsigned port;
  int i;

  start(LIST(INIT,
             "--follow",
             "--",
             "examples/echo-server",
             "--port=0",
             "--settle=0"));
  port = program_port(&p, "Serving on ");
  pids[0] = pid_of_init();
  for (i = 0; i < 2; i++) {
    pids[1] = only_child_of(pids[0]);
    CHECK_EQ(kill(pids[0], SIGUSR2), 0);
    program_line(&p, "Upgrade: process ");
    wait_until(has_another_child, pids, "the predecessor goes");
    exchange(port);
  }
  CHECK_EQ(kill(pids[0], SIGTERM), 0);
  check_exit(128 + SIGTERM);
}

static void a_successor_takes_the_commands_place(void) {
  check_follows();
}

static void as_pid_1_it_follows_a_successor(void) {
  enter_namespace();
  check_follows();
}

static void without_follow_a_successor_is_ended(void) {
  start(LIST(INIT, "--", "examples/echo-server", "--port=0", "--settle=0"));
  program_port(&p, "Serving on ");
  program_signal(&p, SIGUSR2);
  program_line(&p, "Upgrade: process ");
  program_line(&p, "SIGTERM: finishing");
  check_exit(0);
}

/* It has ended, and what does not end is no successor. */
static void after_a_stop_signal_nothing_follows(void) {
  int ended;

  start(LIST(INIT, "--follow", "--grace=0", "--", SELF, "beside-deaf"));
  program_line(&p, "ready");
  program_signal(&p, SIGTERM);
  CHECK_STR(program_line(&p, ""), "server got SIGTERM");
  ended = program_wait(&p);
  CHECK(WIFEXITED(ended));
  CHECK_EQ(WEXITSTATUS(ended), 0);
  CHECK_EQ(program_end(&p), 1);
}

/* Of SIGTERM and SIGCONT that both wait, sigwait() takes the first before. */
static void check_told_once(void) {
  start(LIST(INIT, "--follow", "--grace=3600", "--", SELF, "overlapping"));
  program_line(&p, "ready");
  CHECK_EQ(kill(pid_of_init(), SIGTERM), 0);
  CHECK_STR(program_line(&p, ""), "the other got SIGTERM");
  CHECK_STR(program_line(&p, ""), "the other got SIGCONT");
  check_exit(0);
}

static void what_has_had_the_stop_signal_is_told_once(void) {
  check_told_once();
}

static void nor_does_pid_1_tell_it_twice(void) {
  enter_namespace();
  check_told_once();
}

/* Wait until init has said `text`, and the command that it is ready, in either
 * order. */
static void await_ready_and(const char* text) {
  bool is_said = false;
  bool is_ready = false;
  const char* line;

  while (!is_said || !is_ready) {
    line = program_line(&p, "");
    is_said = is_said || strncmp(line, text, strlen(text)) == 0;
    is_ready = is_ready || strcmp(line, "ready") == 0;
  }
}

static void nor_does_it_wait_for_ever_for_what_has_followed(void) {
  program_start_2to1(
      &p, LIST(INIT, "--follow", "-v", "--", SELF, "succeeded"), NULL);
  await_ready_and("init: its group goes on");
  program_signal(&p, SIGTERM);
  program_line(&p, "server got SIGTERM");
  check_exit(128 + SIGKILL);
}

static void check_left(const char* how) {
  start(LIST(INIT, "--", SELF, "leaving", how));
  program_line(&p, "ends");
  program_line(&p, "what is left got SIGTERM");
  check_exit(6);
}

/* All that descends from the command is told, not only what init has for a
 * child. */
static void check_left_parent(void) {
  static const char* const both[] = {"what is left got SIGTERM",
                                     "its child got SIGTERM"};
  const char* line;
  int first;

  start(LIST(INIT, "--", SELF, "leaving", "parent"));
  program_line(&p, "ends");
  line = program_line(&p, "");
  first = strcmp(line, both[0]) == 0 ? 0 : 1;
  CHECK_STR(line, both[first]);
  CHECK_STR(program_line(&p, ""), both[1 - first]);
  check_exit(6);
}

static void check_all_left(void) {
  check_left_parent();
  check_left("group");
  check_left("session");
  check_left("stopped");
}

static void what_the_command_leaves_is_told(void) {
  check_all_left();
}

static void what_the_command_of_pid_1_leaves_is_told(void) {
  enter_namespace();
  check_all_left();
}

/* And the others get what comes. */
static void check_wrapper(void) {
  pid_t init;

  start(LIST(INIT, "--", SELF, "wrapper"));
  program_line(&p, "ready");
  init = pid_of_init();
  CHECK_EQ(kill(init, SIGTERM), 0);
  program_line(&p, "cleans up");
  CHECK_EQ(kill(init, SIGUSR1), 0);
  program_line(&p, "is clean");
  check_exit(128 + SIGTERM);
}

static void it_waits_for_more_than_the_command(void) {
  check_wrapper();
}

static void pid_1_waits_for_more_than_the_command(void) {
  enter_namespace();
  check_wrapper();
}

/* All that is stubborn has the output, which ends with the last of them. */
static void check_grace(const char* option, int signum) {
  uint64_t since;

  start(LIST(INIT, option, "--grace=1", "--", SELF, "stubborn"));
  program_line(&p, "ready");
  since = uv_hrtime();
  CHECK_EQ(kill(pid_of_init(), signum), 0);
  check_exit(128 + SIGKILL);
  CHECK(uv_hrtime() - since >= UINT64_C(1000000000));
}

static void check_graces(void) {
  check_grace("--grace=2", SIGTERM);
  check_grace("--grace=2", SIGINT);
  check_grace("--grace=2", SIGQUIT);
  check_grace("--stop-signal=HUP", SIGHUP);
  check_grace("--rewrite=HUP:QUIT", SIGHUP);
  check_grace("--rewrite=TERM:HUP", SIGTERM);
}

static void all_is_killed_after_the_grace(void) {
  check_graces();
}

static void all_of_pid_1_is_killed_after_the_grace(void) {
  enter_namespace();
  check_graces();
}

/* It begins when the command ends, where nothing has asked for that. */
static void check_grace_of_what_is_left(void) {
  uint64_t since = uv_hrtime();

  start(LIST(INIT, "--grace=1", "--", SELF, "leaving", "stubborn"));
  program_line(&p, "ends");
  check_exit(6);
  CHECK(uv_hrtime() - since >= UINT64_C(1000000000));
}

static void what_is_left_is_killed_after_the_grace(void) {
  check_grace_of_what_is_left();
}

static void what_pid_1_has_left_is_killed_after_the_grace(void) {
  enter_namespace();
  check_grace_of_what_is_left();
}

static void without_grace_it_does_not_wait_for_ever(void) {
  start(LIST(INIT, "--", SELF, "leaving", "stubborn"));
  program_line(&p, "ends");
  check_exit(6);
}

static void a_grace_of_0_ends_with_the_command(void) {
  int ended;

  start(LIST(INIT, "--grace=0", "--", SELF, "leaving", "session"));
  ended = program_wait(&p);
  CHECK(WIFEXITED(ended));
  CHECK_EQ(WEXITSTATUS(ended), 6);
  CHECK_EQ(program_end(&p), 1); /* it was told nothing */
}

static void signals_are_rewritten(void) {
  start(LIST(INIT,
             "--rewrite=TERM:INT",
             "--rewrite=SIGUSR1:0",
             "-r",
             "usr2:15",
             "--",
             SELF,
             "alone"));
  program_line(&p, "ready");
  program_signal(&p, SIGTERM);
  CHECK_STR(program_line(&p, ""), "child got SIGINT");
  program_signal(&p, SIGUSR1);
  program_signal(&p, SIGHUP);
  CHECK_STR(program_line(&p, ""), "child got SIGHUP");
  program_signal(&p, SIGUSR2);
  CHECK_STR(program_line(&p, ""), "child got SIGTERM");
  check_exit(4);
}

/* Until it has ended: then the others are to end as well. To continue is for all
 * that a terminal has stopped. */
static void check_single_child(const char* option) {
  start(LIST(INIT, option, "--", SELF, "pair"));
  program_line(&p, "ready");
  program_signal(&p, SIGCONT);
  expect_both("SIGCONT");
  program_signal(&p, SIGUSR1);
  CHECK_STR(program_line(&p, ""), "child got SIGUSR1");
  program_signal(&p, SIGTERM);
  CHECK_STR(program_line(&p, ""), "child got SIGTERM");
  CHECK_STR(program_line(&p, ""), "grandchild got SIGTERM");
  check_exit(4);
}

static void a_single_child_gets_the_signals_alone(void) {
  check_single_child("-c");
  check_single_child("--single-child");
}

static void check_parent(const char* signal) {
  start(LIST(SELF, "parent", INIT, "-p", signal, "--", SELF, "alone"));
  program_line(&p, "ready");
  program_signal(&p, SIGUSR1);
  program_line(&p, "child got SIGTERM");
  check_exit(9);
}

static void the_death_of_the_parent_is_a_signal(void) {
#ifdef __linux__
  check_parent("TERM");
  check_parent("SIGTERM");
#else
  skip_test("no PR_SET_PDEATHSIG here");
#endif
}

static void it_says_what_it_does(void) {
  program_start_2to1(
      &p, LIST(INIT, "--verbose", "-r", "HUP:0", "--", SELF, "pair"), NULL);
  await_ready_and("init: the command is ");
  program_signal(&p, SIGHUP);
  program_line(&p, "init: SIGHUP: not handed on");
  program_signal(&p, SIGTERM);
  program_line(&p, "init: SIGTERM: SIGTERM");
  program_line(&p, "init: the command, ");
  check_exit(4);
}

/* The SIGPIPE would be handed on. */
static void it_needs_nobody_to_hear_it(void) {
  start(LIST(SELF, "unheard", INIT, "-v", "--", SELF, "alone"));
  program_line(&p, "ready");
  program_signal(&p, SIGUSR1);
  CHECK_STR(program_line(&p, ""), "child got SIGUSR1");
  program_signal(&p, SIGTERM);
  CHECK_STR(program_line(&p, ""), "child got SIGTERM");
  check_exit(4);
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(it_ends_with_the_commands_status),
      TEST(pid_1_ends_with_the_commands_status),
      TEST(it_refuses_what_it_does_not_understand),
      TEST(usage_goes_where_it_is_expected),
      TEST(it_forwards_each_signal_to_the_whole_group),
      TEST(pid_1_forwards_each_signal_to_the_whole_group),
      TEST(a_signal_from_before_the_command_is_forwarded),
      TEST(a_signal_from_before_the_command_is_forwarded_by_pid_1),
      TEST(it_collects_orphans),
      TEST(a_successor_takes_the_commands_place),
      TEST(as_pid_1_it_follows_a_successor),
      TEST(without_follow_a_successor_is_ended),
      TEST(after_a_stop_signal_nothing_follows),
      TEST(what_has_had_the_stop_signal_is_told_once),
      TEST(nor_does_pid_1_tell_it_twice),
      TEST(nor_does_it_wait_for_ever_for_what_has_followed),
      TEST(pid_1_collects_orphans),
      TEST(the_command_has_default_actions_and_the_mask_from_before),
      TEST(the_command_has_a_group_of_its_own),
      TEST(the_command_of_pid_1_has_it_for_its_parent),
      TEST(the_command_is_in_front_of_its_terminal),
      TEST(init_and_the_command_stop_and_go_on),
      TEST(init_goes_on_although_the_command_has_stopped),
      TEST(the_command_of_pid_1_stops_alone),
      TEST(a_stopped_command_can_end),
      TEST(a_stopped_command_of_pid_1_can_end),
      TEST(an_orphan_that_stops_is_left_alone),
      TEST(what_the_command_leaves_is_told),
      TEST(what_the_command_of_pid_1_leaves_is_told),
      TEST(it_waits_for_more_than_the_command),
      TEST(pid_1_waits_for_more_than_the_command),
      TEST(all_is_killed_after_the_grace),
      TEST(all_of_pid_1_is_killed_after_the_grace),
      TEST(what_is_left_is_killed_after_the_grace),
      TEST(what_pid_1_has_left_is_killed_after_the_grace),
      TEST(without_grace_it_does_not_wait_for_ever),
      TEST(a_grace_of_0_ends_with_the_command),
      TEST(signals_are_rewritten),
      TEST(a_single_child_gets_the_signals_alone),
      TEST(the_death_of_the_parent_is_a_signal),
      TEST(it_says_what_it_does),
      TEST(it_needs_nobody_to_hear_it),
  };

  if (argc > 1)
    return play_role(roles, argv + 1);
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
