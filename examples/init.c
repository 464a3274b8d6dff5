/* SPDX-License-Identifier: MIT
 *
 * The first process of a container: runs one command, sends it the signals
 * that come, collects every process that has lost its parent, and ends as the
 * command does. Without it the command would be PID 1, which the kernel spares
 * the default actions of signals, and which has orphans to wait for.
 *
 * Run `unshare --pid --fork --mount-proc init --grace=10 -- COMMAND [ARG]...`,
 * and `kill -TERM` the init from elsewhere. The command and what it has started
 * get the signal; ten seconds later they are killed. `echo $?` should print
 * the command's status, 128 + n if signal n has ended it, 127 if there is no
 * such command.
 *
 * A uvsig_shutdown_t would make this no simpler: it takes its signals for
 * itself and says SIGTERM to a process, where here each is handed on as it is,
 * to a group; and it has levels where the command has the say. */

#define _GNU_SOURCE 1

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uvsig.h>

enum {
  EXIT_USAGE = 2,
  EXIT_NOT_EXECUTABLE = 126, /* as from a shell */
  EXIT_NOT_FOUND = 127,
  MOST_SECONDS = 86400
};

static uvsig_t sig;
static uvsig_watcher_t watchers[UVSIG_NSIG];
static uv_timer_t timer;
static unsigned grace; /* seconds; 0: whoever runs the container has a limit */
static pid_t child;    /* of its process group the number, too */
static int status = -1;

static int failed(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "init: %s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* --- The loop ------------------------------------------------------------- */

static void on_late(uv_timer_t* t) {
  (void) t;
  kill(-child, SIGKILL);
}

/* The command exists: what came before it did has waited in the loop. */
static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  unsigned i;

  (void) w;
  for (i = 0; i < info->count; i++)
    kill(-child, signum);
  if (signum == SIGTERM && grace > 0 && !uv_is_active((uv_handle_t*) &timer))
    uv_timer_start(&timer, on_late, grace * 1000ull, 0);
}

/* One signal may stand for several children. To wait for any is PID 1's to do,
 * and nobody else's: it is why the command is not started with uv_spawn(),
 * whose own children would be taken from it. */
static void on_child(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  int ended;
  pid_t pid;

  (void) w;
  (void) signum;
  (void) info;
  while ((pid = waitpid(-1, &ended, WNOHANG)) > 0)
    if (pid == child)
      status = ended;
  if (status == -1)
    return;
  /* The number is free for others now: nothing may be sent to it any more. */
  uvsig_close(&sig, NULL);
  uv_close((uv_handle_t*) &timer, NULL);
}

/* --- The signals ---------------------------------------------------------- */

/* What a fault or abort() raises, and what a terminal says to a process in the
 * background, is meant for this process alone. */
static int is_forwarded(int signum) {
  static const int own[] = {SIGKILL,
                            SIGSTOP,
                            SIGCHLD,
                            SIGTTIN,
                            SIGTTOU,
                            SIGSEGV,
                            SIGBUS,
                            SIGFPE,
                            SIGILL,
                            SIGTRAP,
                            SIGSYS,
                            SIGABRT};
  size_t i;

  for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
    if (signum == own[i])
      return 0;
  return 1;
}

static int watch_signals(const sigset_t* valid) {
  int signum, err;

  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (sigismember(valid, signum) != 1 || !is_forwarded(signum))
      continue;
    err = uvsig_watcher_init(&sig, &watchers[signum]);
    if (err == 0)
      err = uvsig_watcher_start(&watchers[signum], on_signal, signum);
    if (failed(err, uvsig_signal_name(signum)))
      return err;
  }
  err = uvsig_watcher_init(&sig, &watchers[SIGCHLD]);
  if (err == 0)
    err = uvsig_watcher_set_flags(&watchers[SIGCHLD], UVSIG_NOCLDSTOP);
  if (err == 0)
    err = uvsig_watcher_start(&watchers[SIGCHLD], on_child, SIGCHLD);
  failed(err, "SIGCHLD");
  return err;
}

/* --- The command ---------------------------------------------------------- */

/* After fork() a child is as if the library had never been there: it has the
 * mask that this program was started with, and its dispositions.
 * It gets a group of its own, so that one kill() reaches what it has started,
 * too. A session (setsid(), UV_PROCESS_DETACHED) would be one as well, but
 * without the terminal. */
static void run_command(char** command, const sigset_t* valid) {
  int signum, err;

  setpgid(0, 0);
  if (isatty(STDIN_FILENO)) {
    signal(SIGTTOU, SIG_IGN); /* or this would stop it, not yet in front */
    tcsetpgrp(STDIN_FILENO, getpid());
  }
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(valid, signum) == 1)
      signal(signum, SIG_DFL); /* also those that were ignored */
  execvp(command[0], command);
  err = errno;
  fprintf(stderr, "init: %s: %s\n", command[0], strerror(err));
  _exit(err == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static int start_command(char** command, const sigset_t* valid) {
  child = fork();
  if (child < 0)
    return failed(uv_translate_sys_error(errno), "fork");
  if (child == 0)
    run_command(command, valid);
  setpgid(child, child); /* whichever of the two comes first */
  return 0;
}

/* --- Options -------------------------------------------------------------- */

static int parse_options(int argc, char** argv) {
  static const struct option options[] = {
      {"grace", required_argument, NULL, 'g'}, {NULL, 0, NULL, 0}};
  char* end;
  long seconds;
  int option;

  while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
    if (option != 'g')
      return -1;
    seconds = strtol(optarg, &end, 10);
    if (*optarg == '\0' || *end != '\0' || seconds < 1 ||
        seconds > MOST_SECONDS)
      return -1;
    grace = (unsigned) seconds;
  }
  return optind < argc ? 0 : -1;
}

int main(int argc, char** argv) {
  uv_loop_t* loop = uv_default_loop();
  uvsig_options_t options;
  sigset_t valid;

  if (parse_options(argc, argv) != 0) {
    fputs("Usage: init [--grace=SECONDS] [--] COMMAND [ARG]...\n", stderr);
    return EXIT_USAGE;
  }
  uvsig_valid_signals(&valid);
  uvsig_options_init(&options);
  options.info_depth = 0; /* who sent them does not matter */
  if (failed(uvsig_init(loop, &sig, &options), "uvsig_init") ||
      failed(uv_timer_init(loop, &timer), "uv_timer_init") ||
      watch_signals(&valid) != 0 || start_command(argv + optind, &valid) != 0)
    return EXIT_FAILURE;

  uv_run(loop, UV_RUN_DEFAULT);
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    return EXIT_FAILURE;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
