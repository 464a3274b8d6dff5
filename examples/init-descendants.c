/* SPDX-License-Identifier: MIT
 *
 * All that descends from init, in whatever group and session. */
#include "init.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* `spared`: a process group, or -1. */
static void send_listed(int signum, pid_t spared) {
  DIR* proc = has_proc() ? opendir("/proc") : NULL;
  struct dirent* entry;
  pid_t pid;

  if (proc == NULL)
    return;
  while ((entry = readdir(proc)) != NULL) {
    pid = isdigit((unsigned char) entry->d_name[0]) ? atoi(entry->d_name) : 0;
    if (pid > 1 && pid != getpid() && (getpid() == 1 || descends(pid)) &&
        getpgid(pid) != spared)
      kill(pid, signum);
  }
  closedir(proc);
}

void send_others(int signum) {
  send_listed(signum, command.pid);
}

void send_all(int signum) {
  if (getpid() == 1) {
    kill(-1, signum); /* also what was put into the namespace from outside */
    return;
  }
  if (command.status == -1)
    kill(-command.pid, signum);
  send_listed(signum, -1);
}
