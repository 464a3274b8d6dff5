/* SPDX-License-Identifier: MIT
 *
 * How init starts the command, and what it asks the kernel for. */
#define _GNU_SOURCE 1

#include "init.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <unistd.h>

enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 }; /* as from a shell */

/* After fork() a child is as if the library had never been there: it has the
 * mask that this program was started with, and its dispositions.
 * It gets a group of its own, so that one kill() reaches what it has started,
 * too. A session (setsid(), UV_PROCESS_DETACHED) would be one as well, but
 * without the terminal. */
static void run_command(char** argv, const sigset_t* valid) {
  int signum, err;

  setpgid(0, 0);
  terminal_start();
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(valid, signum) == 1)
      signal(signum, SIG_DFL); /* also those that were ignored */
  execvp(argv[0], argv);
  err = errno;
  refused(strerror(err), argv[0]);
  _exit(err == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

int start_command(char** argv, const sigset_t* valid) {
  terminal_open();
  command.pid = fork();
  if (command.pid < 0)
    return failed(uv_translate_sys_error(errno), "fork");
  if (command.pid == 0)
    run_command(argv, valid);
  setpgid(command.pid, command.pid); /* whichever of the two comes first */
  note("the command is %d", (int) command.pid);
  return 0;
}

/* What the kernel does for init: orphans become its children, and the death of
 * its parent is a signal. */
int ask_kernel(pid_t parent) {
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
