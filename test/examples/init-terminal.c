/* SPDX-License-Identifier: MIT
 *
 * Job control of the init example, from outside, at a terminal made by
 * posix_openpt(3). This program is the shell, too, and the command that init
 * runs: see roles.
 */

#include "../lib/roles.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define INIT   "examples/init"
#define SELF   "test/examples/init-terminal"
#define CTRL_C "\003"
#define CTRL_Z "\032"

/* --- Roles: the commands -------------------------------------------------- */

static int be_quick(void) {
  role_says("in front: %s\n", in_front());
  return 0;
}

static void read_line(const char* who) {
  char line[64];
  ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

  if (n < 0)
    role_says("%s: %s\n", who, strerror(errno));
  line[n > 0 ? n : 0] = '\0';
  line[strcspn(line, "\n")] = '\0';
  role_says("%s has read \"%s\", in front: %s\n", who, line, in_front());
}

static int be_reader(void) {
  role_says("in front: %s\n", in_front());
  read_line("the command");
  return 0;
}

/* Another stop signal than that of reading: SIGTTOU. */
static int be_setter(void) {
  struct termios modes;

  role_says("in front: %s\n", in_front());
  if (tcgetattr(STDIN_FILENO, &modes) != 0 ||
      tcsetattr(STDIN_FILENO, TCSANOW, &modes) != 0)
    return 1;
  role_says("the command has set it, in front: %s\n", in_front());
  return 0;
}

/* Leave a child, in a group of its own, that says what it gets, until that is
 * SIGINT. */
static int be_leaving(void) {
  sigset_t set;
  int signum = 0;

  sigfillset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
  if (fork() != 0)
    return 3;
  setpgid(0, 0);
  while (signum != SIGINT && sigwait(&set, &signum) == 0)
    role_says("what is left got %s\n", uvsig_signal_name(signum));
  return 0;
}

/* Once the shell, which hears that it is ready, has put the job in front. */
static int be_late_reader(void) {
  kill(getsid(0), SIGUSR1);
  while (tcgetpgrp(STDIN_FILENO) == getsid(0))
    uv_sleep(1);
  read_line("the command");
  return 0;
}

/* --- Roles: what runs init ------------------------------------------------ */

/* Lead the session at this terminal. */
static int be_leader(char** argv) {
  int fd;

  setsid(); /* PID 1 does not lead one yet */
  fd = open(argv[0], O_RDWR);
  if (fd < 0 || dup2(STDOUT_FILENO, REPORT) < 0 || dup2(fd, STDIN_FILENO) < 0 ||
      dup2(fd, STDOUT_FILENO) < 0)
    return 126;
  close(fd);
  execvp(argv[1], argv + 1);
  return 126;
}

/* A script: the arguments are a process of its own group. */
static int be_script(char** argv) {
  pid_t pid = fork();

  if (pid == 0) {
    execvp(argv[0], argv);
    _exit(126);
  }
  (void) UNINTERRUPTED(waitpid(pid, NULL, 0));
  read_line("the script");
  return 0;
}

static pid_t job;

static void start_job(char** argv, bool front, bool piped) {
  int fd;

  job = fork();
  if (job == 0) {
    setpgid(0, 0);
    if (front)
      tcsetpgrp(STDIN_FILENO, getpid());
    signal(SIGTTOU, SIG_DFL);
    fd = piped ? open("/dev/null", O_WRONLY) : -1;
    if (fd >= 0)
      dup2(fd, STDOUT_FILENO);
    execvp(argv[0], argv);
    _exit(126);
  }
  setpgid(job, job);
}

/* As a shell does, with the terminal for itself then. */
static void wait_for_job(void) {
  int status;
  pid_t front;

  if (UNINTERRUPTED(waitpid(job, &status, WUNTRACED)) != job)
    _exit(126);
  front = tcgetpgrp(STDIN_FILENO);
  if (WIFSTOPPED(status))
    role_says("the job has stopped: %s\n", uvsig_signal_name(WSTOPSIG(status)));
  else
    role_says("the job has ended: %d, in front: %s\n",
              WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status),
              front == getpgrp() ? "the shell"
              : front == job     ? "the job"
                                 : "another");
  tcsetpgrp(STDIN_FILENO, getpgrp());
}

/* Words go to the terminal, which stops who writes from the background. */
static void stop_writers(void) {
  struct termios modes;

  if (tcgetattr(STDIN_FILENO, &modes) != 0)
    _exit(126);
  modes.c_lflag |= TOSTOP;
  if (tcsetattr(STDIN_FILENO, TCSANOW, &modes) != 0 ||
      dup2(STDIN_FILENO, STDERR_FILENO) < 0)
    _exit(126);
}

/* A shell: what it does, word by word, and the job after "--". */
static int be_shell(char** argv) {
  char** command = argv;
  sigset_t ready = set_of(SIGUSR1);
  int signum;

  while (strcmp(*command++, "--") != 0)
    ;
  signal(SIGTTOU, SIG_IGN);
  sigprocmask(SIG_BLOCK, &ready, NULL);
  for (; strcmp(*argv, "--") != 0; argv++) {
    if (strcmp(*argv, "start") == 0)
      start_job(command, true, false);
    else if (strcmp(*argv, "start&") == 0)
      start_job(command, false, false);
    else if (strcmp(*argv, "start|") == 0)
      start_job(command, true, true);
    else if (strcmp(*argv, "wait") == 0)
      wait_for_job();
    else if (strcmp(*argv, "ready") == 0)
      sigwait(&ready, &signum);
    else if (strcmp(*argv, "tostop") == 0)
      stop_writers();
    if (strcmp(*argv, "front") == 0 || strcmp(*argv, "fg") == 0)
      tcsetpgrp(STDIN_FILENO, job);
    if (strcmp(*argv, "bg") == 0 || strcmp(*argv, "fg") == 0)
      kill(-job, SIGCONT);
    else if (strcmp(*argv, "leave") == 0)
      return UNINTERRUPTED(waitpid(job, NULL, 0)) != job;
    if (strcmp(*argv, "tell") == 0) {
      read_line("the shell");
      kill(job, SIGTERM);
    }
  }
  return 0;
}

static const struct role roles[] = {
    {"continued", be_continued, NULL},
    {"late-reader", be_late_reader, NULL},
    {"leader", NULL, be_leader},
    {"leaving", be_leaving, NULL},
    {"quick", be_quick, NULL},
    {"reader", be_reader, NULL},
    {"script", NULL, be_script},
    {"setter", be_setter, NULL},
    {"shell", NULL, be_shell},
    {"suspended", be_suspended, NULL},
    {NULL, NULL, NULL},
};

/* --- A terminal ----------------------------------------------------------- */

static struct program p;
static int terminal;

/* Start the arguments at a new terminal, as the leader of its session, with
 * what is before that. */
static void start_by(const char* const before[],
                     const char* const arguments[]) {
  const char* argv[MOST_ARGUMENTS];
  char name[64];
  size_t n;
  int tty;

  open_terminal(&terminal, &tty);
  close(tty);
  CHECK_EQ(ptsname_r(terminal, name, sizeof(name)), 0);
  n = add_arguments(argv, 0, before);
  n = add_arguments(argv, n, LIST(SELF, "leader", name));
  add_arguments(argv, n, arguments);
  program_start(&p, argv, NULL);
}

static void start(const char* const arguments[]) {
  const char* nothing = NULL;

  start_by(&nothing, arguments);
}

static void type(const char* keys) {
  CHECK_EQ(write(terminal, keys, strlen(keys)), strlen(keys));
}

static void finish(int status) {
  int ended;

  program_output_ends(&p);
  ended = program_finish(&p);
  CHECK(WIFEXITED(ended));
  CHECK_EQ(WEXITSTATUS(ended), status);
  close(terminal);
}

#define SHELL(...) start(LIST(SELF, "shell", __VA_ARGS__))
#define RUN(role)  "--", INIT, "--", SELF, role

/* --- Tests ---------------------------------------------------------------- */

static void ctrl_z_stops_the_job_and_fg_continues_it(void) {
  SHELL("start", "wait", "fg", "wait", RUN("continued"));
  program_line(&p, "ready");
  type(CTRL_Z);
  program_line(&p, "the job has stopped: SIGTSTP");
  CHECK_STR(program_line(&p, ""), "goes on, in front: yes");
  type(CTRL_C);
  program_line(&p, "the job has ended: 130, in front: the job");
  finish(0);
}

static void ctrl_z_stops_it_again_and_again(void) {
  SHELL("start", "wait", "fg", "wait", "fg", "wait", RUN("continued"));
  program_line(&p, "ready");
  type(CTRL_Z);
  program_line(&p, "goes on, in front: yes");
  type(CTRL_Z);
  program_line(&p, "the job has stopped: SIGTSTP");
  program_line(&p, "goes on, in front: yes");
  type(CTRL_C);
  program_line(&p, "the job has ended: 130, in front: the job");
  finish(0);
}

static void bg_continues_it_in_the_background(void) {
  SHELL("start", "wait", "bg", "tell", "wait", RUN("continued"));
  program_line(&p, "ready");
  type(CTRL_Z);
  program_line(&p, "the job has stopped: SIGTSTP");
  CHECK_STR(program_line(&p, ""), "goes on, in front: no");
  type("end\n");
  CHECK_STR(program_line(&p, ""), "the shell has read \"end\", in front: yes");
  program_line(&p, "the job has ended: 143, in front: the shell");
  finish(0);
}

static void a_command_that_suspends_itself_stops_the_job(void) {
  SHELL("start", "wait", "fg", "wait", RUN("suspended"));
  program_line(&p, "the job has stopped: SIGTSTP");
  CHECK_STR(program_line(&p, ""), "goes on, in front: yes");
  type(CTRL_C);
  program_line(&p, "the job has ended: 130, in front: the job");
  finish(0);
}

/* The shell has started the script, and knows nothing of init. */
static void ctrl_z_stops_a_script_that_runs_it(void) {
  SHELL("start",
        "wait",
        "fg",
        "wait",
        "--",
        SELF,
        "script",
        INIT,
        "--",
        SELF,
        "continued");
  program_line(&p, "ready");
  type(CTRL_Z);
  program_line(&p, "the job has stopped: SIGTSTP");
  CHECK_STR(program_line(&p, ""), "goes on, in front: yes");
  type(CTRL_C);
  type("after\n");
  CHECK_STR(program_line(&p, ""),
            "the script has read \"after\", in front: yes");
  program_line(&p, "the job has ended: 0, in front: the job");
  finish(0);
}

static void a_script_reads_on_after_it(void) {
  start(LIST(SELF, "script", INIT, "--", SELF, "quick"));
  program_line(&p, "in front: yes");
  type("hello\n");
  CHECK_STR(program_line(&p, ""),
            "the script has read \"hello\", in front: yes");
  finish(0);
}

/* What the command has put in front may be left there, and is no more. */
static void it_takes_the_terminal_back_from_a_group_that_has_gone(void) {
  SHELL("start",
        "wait",
        "--",
        INIT,
        "--",
        SELF,
        "shell",
        "start",
        "leave",
        "--",
        SELF,
        "quick");
  program_line(&p, "the job has ended: 0, in front: the job");
  finish(0);
}

static void in_the_background_it_leaves_the_terminal_alone(void) {
  SHELL("start&", "wait", RUN("quick"));
  CHECK_STR(program_line(&p, ""), "in front: no");
  program_line(&p, "the job has ended: 0, in front: the shell");
  finish(0);
}

static void in_the_background_it_says_what_it_does(void) {
  SHELL("tostop", "start&", "wait", "--", INIT, "-v", "--", SELF, "quick");
  CHECK_STR(program_line(&p, ""), "in front: no");
  CHECK_STR(program_line(&p, ""), "the job has ended: 0, in front: the shell");
  finish(0);
}

static void in_the_background_it_stops_when_the_command_reads(void) {
  SHELL("start&", "wait", "fg", "wait", RUN("reader"));
  CHECK_STR(program_line(&p, ""), "in front: no");
  CHECK_STR(program_line(&p, ""), "the job has stopped: SIGTTIN");
  type("hello\n");
  CHECK_STR(program_line(&p, ""),
            "the command has read \"hello\", in front: yes");
  program_line(&p, "the job has ended: 0, in front: the job");
  finish(0);
}

/* A shell does not continue a job that runs. */
static void brought_to_the_front_it_passes_the_terminal_on(void) {
  SHELL("start&", "ready", "front", "wait", RUN("late-reader"));
  type("hello\n");
  program_line(&p, "the command has read \"hello\", in front: yes");
  program_line(&p, "the job has ended: 0, in front: the job");
  finish(0);
}

/* The others of the pipeline may be the ones that read. */
static void in_a_pipeline_the_command_has_the_terminal_when_it_reads(void) {
  SHELL("start|", "wait", RUN("reader"));
  CHECK_STR(program_line(&p, ""), "in front: no");
  type("hello\n");
  CHECK_STR(program_line(&p, ""),
            "the command has read \"hello\", in front: yes");
  program_line(&p, "the job has ended: 0, in front: the job");
  finish(0);
}

static void in_a_pipeline_the_command_has_the_terminal_when_it_sets_it(void) {
  SHELL("start|", "wait", RUN("setter"));
  CHECK_STR(program_line(&p, ""), "in front: no");
  CHECK_STR(program_line(&p, ""), "the command has set it, in front: yes");
  program_line(&p, "the job has ended: 0, in front: the job");
  finish(0);
}

/* While it waits for the rest, it has the terminal. */
static void ctrl_c_reaches_what_the_command_has_left(void) {
  start(LIST(INIT, "--grace=1000", "--", SELF, "leaving"));
  program_line(&p, "what is left got SIGTERM");
  type(CTRL_C);
  program_line(&p, "what is left got SIGINT");
  finish(3);
}

/* Nothing could continue init, nor the command. */
static void without_a_shell_ctrl_z_does_not_stop_the_command(void) {
  start(LIST(INIT, "--", SELF, "continued"));
  program_line(&p, "ready");
  type(CTRL_Z);
  program_line(&p, "goes on, in front: yes");
  type(CTRL_C);
  finish(130);
}

#define NO_DEV                                                                 \
 "unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"",  \
     "sh"

/* As in some containers. */
static void without_dev_tty_the_terminal_is_that_of_its_input(void) {
  program_start(&p, LIST(NO_DEV, "true"), NULL);
  if (program_finish(&p) != 0)
    skip_test("/dev cannot be hidden here (unshare(1), mount(8))");
  start(LIST(NO_DEV, INIT, "--", SELF, "quick"));
  CHECK_STR(program_line(&p, ""), "in front: yes");
  finish(0);
}

/* A container at a terminal. */
static void ctrl_z_does_not_stop_the_command_of_pid_1(void) {
  need_namespace();
  start_by(LIST(UNSHARE), LIST(INIT, "--", SELF, "continued"));
  program_line(&p, "ready");
  type(CTRL_Z);
  program_line(&p, "goes on, in front: yes");
  type(CTRL_C);
  finish(130);
}

/* Its process group is another's, which it can not name: it can neither see
 * that it is in front, nor give the terminal back. */
static void pid_1_of_another_group_leaves_the_terminal_alone(void) {
  need_namespace();
  SHELL("start&", "wait", "--", UNSHARE, INIT, "--", SELF, "quick");
  CHECK_STR(program_line(&p, ""), "in front: no");
  program_line(&p, "the job has ended: 0, in front: the shell");
  finish(0);
  start(LIST(SELF, "script", UNSHARE, INIT, "--", SELF, "quick"));
  program_line(&p, "in front: no");
  type("hello\n");
  CHECK_STR(program_line(&p, ""),
            "the script has read \"hello\", in front: yes");
  finish(0);
}

static void pid_1_of_another_group_has_it_for_a_command_that_reads(void) {
  need_namespace();
  start(LIST(UNSHARE, INIT, "--", SELF, "reader"));
  CHECK_STR(program_line(&p, ""), "in front: no");
  type("hello\n");
  CHECK_STR(program_line(&p, ""),
            "the command has read \"hello\", in front: yes");
  finish(0);
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(ctrl_z_stops_the_job_and_fg_continues_it),
      TEST(ctrl_z_stops_it_again_and_again),
      TEST(bg_continues_it_in_the_background),
      TEST(a_command_that_suspends_itself_stops_the_job),
      TEST(ctrl_z_stops_a_script_that_runs_it),
      TEST(a_script_reads_on_after_it),
      TEST(it_takes_the_terminal_back_from_a_group_that_has_gone),
      TEST(in_the_background_it_leaves_the_terminal_alone),
      TEST(in_the_background_it_says_what_it_does),
      TEST(in_the_background_it_stops_when_the_command_reads),
      TEST(brought_to_the_front_it_passes_the_terminal_on),
      TEST(in_a_pipeline_the_command_has_the_terminal_when_it_reads),
      TEST(in_a_pipeline_the_command_has_the_terminal_when_it_sets_it),
      TEST(ctrl_c_reaches_what_the_command_has_left),
      TEST(without_a_shell_ctrl_z_does_not_stop_the_command),
      TEST(without_dev_tty_the_terminal_is_that_of_its_input),
      TEST(ctrl_z_does_not_stop_the_command_of_pid_1),
      TEST(pid_1_of_another_group_leaves_the_terminal_alone),
      TEST(pid_1_of_another_group_has_it_for_a_command_that_reads),
  };

  if (argc > 1)
    return play_role(roles, argv + 1);
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
