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
 * such command. `init --help` names the options, init-terminal.c is what makes
 * Ctrl-Z work.
 *
 * A uvsig_shutdown_t would make this no simpler: it takes its signals for
 * itself and says SIGTERM to a process, where here each is handed on as it is,
 * to a group; and it has levels where the command has the say. */

#define _GNU_SOURCE 1

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

enum {
  EXIT_USAGE = 2,
  EXIT_NOT_EXECUTABLE = 126, /* as from a shell */
  EXIT_NOT_FOUND = 127,
  LEFT_SECONDS = 5, /* for what the command leaves, without --grace */
  KILL_EACH_MS = 100,
  MOST_KILLS = 10 /* then init ends, whatever the kernel still holds */
};

uvsig_watcher_t watchers[UVSIG_NSIG];
pid_t child;

static uvsig_t sig;
static uv_timer_t timer; /* until what is left is killed */
static int status = -1;  /* the command's, once it has ended */
static int stopped;      /* the command, as far as init knows */
static unsigned kills;

static int failed(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "init: %s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* Until nobody reads it. From the background, too (stty tostop). */
__attribute__((format(printf, 1, 2))) static void note(const char* format,
                                                       ...) {
  va_list args;
  char text[128];
  sigset_t set, old;

  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  sigemptyset(&set);
  sigaddset(&set, SIGTTOU);
  uvsig_pthread_sigmask(SIG_BLOCK, &set, &old);
  if (settings.verbose && fprintf(stderr, "init: %s\n", text) < 0)
    settings.verbose = 0;
  uvsig_pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* --- All that descends from here ------------------------------------------ */

/* 0 where there is no such process, or no /proc. */
static pid_t parent_of(pid_t pid) {
  char path[64], text[512];
  const char* end;
  int parent = 0;
  size_t n;
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
  file = fopen(path, "re");
  if (file == NULL)
    return 0;
  n = fread(text, 1, sizeof(text) - 1, file);
  fclose(file);
  text[n] = '\0';
  end = strrchr(text, ')'); /* the name may have any character */
  if (end == NULL || sscanf(end, ") %*c %d", &parent) != 1)
    return 0;
  return parent;
}

static int descends(pid_t pid) {
  while (pid > 1 && pid != getpid())
    pid = parent_of(pid);
  return pid == getpid();
}

/* Is this /proc the one of our own PID namespace? */
static int has_proc(void) {
  char text[32] = "";

  return readlink("/proc/self", text, sizeof(text) - 1) > 0 &&
         atoi(text) == getpid();
}

static void send_all(int signum) {
  DIR* proc;
  struct dirent* entry;
  pid_t pid;

  if (getpid() == 1) {
    kill(-1, signum); /* also what was put into the namespace from outside */
    return;
  }
  if (status == -1)
    kill(-child, signum);
  proc = has_proc() ? opendir("/proc") : NULL;
  if (proc == NULL)
    return;
  while ((entry = readdir(proc)) != NULL) {
    pid = isdigit((unsigned char) entry->d_name[0]) ? atoi(entry->d_name) : 0;
    if (pid > 1 && pid != getpid() && descends(pid))
      kill(pid, signum);
  }
  closedir(proc);
}

/* --- The end -------------------------------------------------------------- */

static void finish(void) {
  if (uv_is_closing((uv_handle_t*) &timer))
    return;
  terminal_give_back();
  uvsig_close(&sig, NULL);
  uv_close((uv_handle_t*) &timer, NULL);
}

/* What is forked while the others are killed is found the next time. */
static void on_late(uv_timer_t* t) {
  (void) t;
  if (kills == 0)
    note("the grace is over: SIGKILL");
  if (kills++ < MOST_KILLS)
    send_all(SIGKILL);
  else
    finish();
}

static void limit(int seconds) {
  if (seconds > 0 && !uv_is_active((uv_handle_t*) &timer))
    uv_timer_start(
        &timer, on_late, (unsigned) seconds * UINT64_C(1000), KILL_EACH_MS);
}

/* The command has ended, and others have not. */
static void end_others(void) {
  int signum = settings.becomes[SIGTERM];

  if (settings.grace == 0) {
    finish();
    return;
  }
  if (signum != 0) {
    note("to all that is left: %s", uvsig_signal_name(signum));
    send_all(signum);
    send_all(SIGCONT);
  }
  limit(settings.grace > 0 ? settings.grace : LEFT_SECONDS);
}

/* --- Children ------------------------------------------------------------- */

static void note_end(pid_t pid, int ended) {
  const char* who = pid == child ? "the command" : "an orphan";

  if (WIFEXITED(ended))
    note("%s, %d, has ended: %d", who, (int) pid, WEXITSTATUS(ended));
  else
    note("%s, %d, has ended: %s",
         who,
         (int) pid,
         uvsig_signal_name(WTERMSIG(ended)));
}

/* One signal may stand for several children. It waits for any, which uv_spawn()
 * would not survive: its children would be taken from it. */
static void collect(void) {
  int had_ended = status != -1;
  int ended;
  pid_t pid;

  while ((pid = waitpid(-1, &ended, WNOHANG | WUNTRACED)) > 0) {
    if (WIFSTOPPED(ended)) {
      if (pid != child || status != -1)
        continue;
      note("the command has stopped: %s", uvsig_signal_name(WSTOPSIG(ended)));
      stopped = 1;
      if (!is_due(SIGCONT)) /* else it is about to go on */
        terminal_stopped(WSTOPSIG(ended));
      continue;
    }
    note_end(pid, ended);
    if (pid == child && status == -1)
      status = ended; /* its number is free for others now */
  }
  if (status == -1)
    return;
  terminal_give_back();
  if (pid < 0) /* there is none any more */
    finish();
  else if (!had_ended)
    end_others();
}

static void on_child(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  (void) w;
  (void) signum;
  (void) info;
  collect();
}

/* --- Signals -------------------------------------------------------------- */

/* To continue is for all that the terminal has stopped. */
void send_command(int signum) {
  if (status != -1)
    return;
  if (signum == SIGCONT)
    stopped = 0;
  kill(settings.single_child && signum != SIGCONT ? child : -child, signum);
}

static void hand_on(int signum) {
  if (status == -1)
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
  if (stops && (stopped || status != -1))
    hand_on(SIGCONT); /* or it could not end */
  if (stops)
    limit(settings.grace);
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
  err = uvsig_watcher_init(&sig, &watchers[SIGCHLD]);
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
  terminal_start();
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(valid, signum) == 1)
      signal(signum, SIG_DFL); /* also those that were ignored */
  execvp(command[0], command);
  err = errno;
  fprintf(stderr, "init: %s: %s\n", command[0], strerror(err));
  _exit(err == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

static int start_command(char** command, const sigset_t* valid) {
  terminal_open();
  child = fork();
  if (child < 0)
    return failed(uv_translate_sys_error(errno), "fork");
  if (child == 0)
    run_command(command, valid);
  setpgid(child, child); /* whichever of the two comes first */
  note("the command is %d", (int) child);
  return 0;
}

/* What the kernel does for init: orphans become its children, and the death of
 * its parent is a signal. */
static int ask_kernel(pid_t parent) {
  int err = 0;

#ifdef __linux__
  if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
    err = uv_translate_sys_error(errno);
  if (err == 0 && settings.parent_death != 0 &&
      prctl(PR_SET_PDEATHSIG, settings.parent_death) != 0)
    err = uv_translate_sys_error(errno);
#else
  if (settings.parent_death != 0)
    err = UV_ENOTSUP;
#endif
  if (err == 0 && settings.parent_death != 0 && getppid() != parent)
    raise(settings.parent_death); /* it was faster */
  failed(err, "prctl");
  return err;
}

/* -------------------------------------------------------------------------- */

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
      failed(uv_timer_init(loop, &timer), "uv_timer_init") ||
      watch_signals(&valid) != 0 || ask_kernel(parent) != 0 ||
      start_command(argv + optind, &valid) != 0)
    return EXIT_FAILURE;

  uv_run(loop, UV_RUN_DEFAULT);
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    return EXIT_FAILURE;
  if (status == -1) /* killed, and still there */
    return 128 + SIGKILL;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
