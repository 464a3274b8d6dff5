/* SPDX-License-Identifier: MIT
 *
 * Job control of init. A shell knows init's process group as the job, and the
 * command has a group of its own, which the shell does not know. So init is to
 * the command what the shell is to init:
 *
 * - It puts the command in front of the terminal only where it is in front
 *   itself, and takes the terminal back when the command has ended.
 * - When the command stops, init stops, so that the shell goes on.
 * - When init goes on, so does the command, in front if init is.
 *
 * The command is put in front at its start if it has the terminal for input and
 * output, or if init leads the session. Else it may be part of a pipeline,
 * where another program wants the terminal: it gets it when it reads (SIGTTIN)
 * or sets it (SIGTTOU). */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "init.h"

static int terminal = -1; /* the controlling one */
static int wanted;        /* by the command */
static int taken;         /* from our group */
static int told;          /* how to stop with the command; 0: not told to */

/* A group from outside of the PID namespace is 0, which may be any. */
static int in_front(void) {
  return terminal >= 0 && getpgrp() != 0 && tcgetpgrp(terminal) == getpgrp();
}

/* A process in the background would be stopped for it (tcsetpgrp(3)). */
static void put_in_front(pid_t group) {
  sigset_t set, old;

  sigemptyset(&set);
  sigaddset(&set, SIGTTOU);
  uvsig_pthread_sigmask(SIG_BLOCK, &set, &old);
  tcsetpgrp(terminal, group);
  uvsig_pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void terminal_open(void) {
  terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
  if (terminal < 0 && tcgetpgrp(STDIN_FILENO) >= 0)
    terminal = STDIN_FILENO; /* a container without /dev/tty */
  wanted =
      isatty(STDIN_FILENO) && (isatty(STDOUT_FILENO) || getsid(0) == getpid());
  taken = wanted && in_front();
}

void terminal_start(void) {
  if (taken)
    put_in_front(getpgrp());
}

void terminal_handed_on(int signum, const uvsig_info_t* info) {
  told = info->code == SI_USER ? SIGSTOP : signum;
}

/* Stop this process, or, with 0, its whole group, and return 1 when it has been
 * continued. By default SIGTSTP and its like do not stop a group whose parents
 * are in other sessions, as nothing there would continue it (setpgid(2),
 * orphaned process group): then return 0. Nor do they stop PID 1. */
static int stop_here(pid_t pid, int signum) {
  sigset_t set;

  if (getpid() == 1)
    return 0;
  sigemptyset(&set);
  sigaddset(&set, signum);
  if (signum != SIGSTOP)
    uvsig_watcher_stop(&watchers[signum]);
  uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  kill(pid, signum);
  if (signum != SIGSTOP)
    watch(signum);
  return is_due(SIGCONT);
}

/* What stops the command comes from the terminal, from init, or from another
 * process, which will continue it. */
void terminal_stopped(int signum) {
  pid_t front = terminal >= 0 ? tcgetpgrp(terminal) : -1;
  int ours = front == getpgrp() || front == command.pid;
  int needs = signum == SIGTTIN || signum == SIGTTOU;
  int how = told;

  told = 0;
  if (how != 0) {
    if (!stop_here(getpid(), how) && how != SIGSTOP && ours)
      send_command(SIGCONT);
  } else if (needs && ours) {
    wanted = taken = 1;
    put_in_front(command.pid);
    send_command(SIGCONT);
  } else if (front == command.pid || (needs && terminal >= 0)) {
    /* It would have stopped init's group, if the command were in there. */
    if (!stop_here(0, signum == SIGSTOP ? SIGTSTP : signum) && ours)
      send_command(SIGCONT);
  }
}

void terminal_continue(void) {
  told = 0;
  if (!wanted || !in_front())
    return;
  taken = 1;
  put_in_front(command.pid);
}

/* In front may be a group that the command has put there, and that has gone. It
 * may be another program's, if init is in the background. */
void terminal_give_back(void) {
  pid_t front = taken ? tcgetpgrp(terminal) : -1;

  if (front == command.pid ||
      (front > 1 && kill(-front, 0) != 0 && errno == ESRCH))
    put_in_front(getpgrp());
}
