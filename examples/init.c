/* SPDX-License-Identifier: MIT
 *
 * The first process of a container: runs one command, sends it the signals
 * that come, collects every process that has lost its parent, and ends as the
 * command does. Without it the command would be PID 1, which the kernel spares
 * the default actions of signals, and which has orphans to wait for. It does
 * the same where it is not PID 1: orphans of the command become its children
 * (PR_SET_CHILD_SUBREAPER).
 *
 * Run `unshare --pid --fork --mount-proc init --grace=10 -- COMMAND [ARG]...`,
 * and `kill -TERM` the init from elsewhere. The command and its process group
 * get the signal. When the command has ended, what else it has started gets
 * SIGTERM, also in other groups and sessions, and init waits for it. Ten
 * seconds after the signal, all that is left is killed. `echo $?` should print
 * the command's status, 128 + n if signal n has ended it, 127 if there is no
 * such command. `init --help` names the options. init-children.c ends what is
 * left, init-terminal.c is what makes Ctrl-Z work.
 *
 * A uvsig_shutdown_t would make this no simpler: it takes its signals for
 * itself and says SIGTERM to a process, where here each is handed on as it is,
 * to a group; and it has levels where the command has the say. */
#include "init.h"

#include <getopt.h> /* optind */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_USAGE = 2 };

const char* const program = "init";
uvsig_t sig;
uvsig_watcher_t watchers[UVSIG_NSIG];

/* Until nobody reads it. From the background, too (stty tostop). */
void note(const char* format, ...) {
  va_list args;
  char text[128];
  sigset_t set, old;

  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  sigemptyset(&set);
  sigaddset(&set, SIGTTOU);
  uvsig_pthread_sigmask(SIG_BLOCK, &set, &old);
  if (settings.verbose && fprintf(stderr, "%s: %s\n", program, text) < 0)
    settings.verbose = 0;
  uvsig_pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- Signals -------------------------------------------------------------- */

/* To continue is for all that the terminal has stopped. */
void send_command(int signum) {
  if (command.status != -1)
    return;
  if (signum == SIGCONT)
    command.stopped = 0;
  kill(settings.single_child && !command.followed && signum != SIGCONT
           ? command.pid
           : -command.pid,
       signum);
}

static void hand_on(int signum) {
  if (command.status == -1)
    send_command(signum);
  else
    send_all(signum);
}

/* The command exists: what came before it did has waited in the loop. */
static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  int to = settings.becomes[signum];
  int stops = sigismember(&settings.stop_signals, signum) ||
              sigismember(&settings.stop_signals, to);
  unsigned i;

  (void) w;
  note("%s: %s",
       uvsig_signal_name(signum),
       to != 0 ? uvsig_signal_name(to) : "not handed on");
  if (to == 0 || (signum == SIGPIPE && info->pid == getpid()))
    return; /* the latter is note()'s */
  if (stops)
    collect(); /* has it stopped? */
  if (to == SIGCONT)
    terminal_continue();
  if (to == SIGTSTP || to == SIGTTIN || to == SIGTTOU)
    terminal_handed_on(to, info);
  for (i = 0; i < info->count; i++)
    hand_on(to);
  if (stops && (command.stopped || command.status != -1))
    hand_on(SIGCONT); /* or it could not end */
  if (stops) {
    command.told = 1;
    limit(settings.grace_ms);
  }
}

int watch(int signum) {
  return uvsig_watcher_start(&watchers[signum], on_signal, signum);
}

int is_due(int signum) {
  uvsig_stats_t stats;

  uvsig_stats(&sig, signum, &stats);
  return stats.caught != stats.delivered + stats.discarded;
}

static int watch_signals(const sigset_t* valid) {
  int signum, err;

  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (sigismember(valid, signum) != 1 || !is_handed_on(signum))
      continue;
    err = uvsig_watcher_init(&sig, &watchers[signum]);
    if (err == 0)
      err = watch(signum);
    if (failed(err, uvsig_signal_name(signum)))
      return err;
  }
  return children_watch();
}

/* --- The program ---------------------------------------------------------- */

int main(int argc, char** argv) {
  uv_loop_t* loop = uv_default_loop();
  pid_t parent = getppid();
  uvsig_options_t options;
  sigset_t valid;
  int parsed = parse_options(argc, argv);

  if (parsed == 'h')
    return fputs(usage, stdout) == EOF || fflush(stdout) == EOF;
  if (parsed != 0) {
    fputs(usage, stderr);
    return EXIT_USAGE;
  }
  uvsig_valid_signals(&valid);
  uvsig_options_init(&options);
  options.info_depth = 1; /* was it the terminal? */
  if (failed(uvsig_init(loop, &sig, &options), "uvsig_init") ||
      watch_signals(&valid) != 0 || ask_kernel(parent) != 0 ||
      start_command(argv + optind, &valid) != 0)
    return EXIT_FAILURE;

  uv_run(loop, UV_RUN_DEFAULT);
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    return EXIT_FAILURE;
  if (command.status == -1) /* killed, and still there */
    return 128 + SIGKILL;
  return WIFEXITED(command.status) ? WEXITSTATUS(command.status)
                                   : 128 + WTERMSIG(command.status);
}
