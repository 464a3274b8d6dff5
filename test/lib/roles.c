/* SPDX-License-Identifier: MIT */

#include "roles.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

int play_role(const struct role* roles, char** arguments) {
  for (; roles->name != NULL; roles++)
    if (strcmp(roles->name, arguments[0]) == 0)
      return roles->play != NULL ? roles->play() : roles->run(arguments + 1);
  fprintf(stderr, "no role \"%s\"\n", arguments[0]);
  return 126;
}

void role_says(const char* format, ...) {
  va_list args;

  va_start(args, format);
  vdprintf(fcntl(REPORT, F_GETFD) >= 0 ? REPORT : STDOUT_FILENO, format, args);
  va_end(args);
}

const char* in_front(void) {
  return tcgetpgrp(STDIN_FILENO) == getpgrp() ? "yes" : "no";
}

/* SIGCONT waits until it is asked for. */
static int continue_for_ever(bool stop) {
  sigset_t set = set_of(SIGCONT);
  int signum;

  sigprocmask(SIG_BLOCK, &set, NULL);
  role_says("ready\n");
  if (stop)
    raise(SIGSTOP);
  while (sigwait(&set, &signum) == 0)
    role_says("goes on, in front: %s\n", in_front());
  return 1;
}

int be_continued(void) {
  return continue_for_ever(false);
}

int be_suspended(void) {
  return continue_for_ever(true);
}

int be_early(char** arguments) {
  sigset_t set = set_of(SIGTERM);

  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGTERM);
  execvp(arguments[0], arguments);
  return 126;
}

int be_at_terminal(char** arguments) {
  int tty = open(arguments[0], O_RDWR);

  if (tty < 0 || dup2(tty, STDIN_FILENO) < 0)
    return 126;
  close(tty);
  execvp(arguments[1], arguments + 1);
  return 126;
}

void need_namespace(void) {
  struct program p;

  program_start(&p, LIST(UNSHARE, "true"), NULL);
  if (program_finish(&p) != 0)
    skip_test("no PID namespace can be made here (unshare(1))");
}

size_t add_arguments(const char* all[MOST_ARGUMENTS],
                     size_t n,
                     const char* const more[]) {
  for (; *more != NULL; more++) {
    CHECK(n + 1 < MOST_ARGUMENTS);
    all[n++] = *more;
  }
  all[n] = NULL;
  return n;
}

bool is_stopped(void* pid) {
  char path[64];
  char text[512];
  const char* end;
  size_t n;
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%d/stat", (int) *(pid_t*) pid);
  file = fopen(path, "re");
  CHECK(file != NULL);
  n = fread(text, 1, sizeof(text) - 1, file);
  fclose(file);
  text[n] = '\0';
  end = strrchr(text, ')'); /* the name may have any character */
  CHECK(end != NULL);
  return strncmp(end, ") T", 3) == 0;
}

bool has_gone(void* pid) {
  return kill(*(pid_t*) pid, 0) != 0 && errno == ESRCH;
}
