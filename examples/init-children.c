/* SPDX-License-Identifier: MIT
 *
 * All that descends from init, in whatever group and session. Its children are
 * the command, and orphans of that: each is collected when it has ended, and
 * the last of them ends init. */
#include "init.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  LEFT_SECONDS = 5, /* for what the command leaves, without --grace */
  KILL_EACH_MS = 100,
  MOST_KILLS = 10 /* then init ends, whatever the kernel still holds */
};

struct command command = {.status = -1};

static uv_timer_t timer; /* until what is left is killed */

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

void send_all(int signum) {
  DIR* proc;
  struct dirent* entry;
  pid_t pid;

  if (getpid() == 1) {
    kill(-1, signum); /* also what was put into the namespace from outside */
    return;
  }
  if (command.status == -1)
    kill(-command.pid, signum);
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
  static unsigned kills;

  (void) t;
  if (kills == 0)
    note("the grace is over: SIGKILL");
  if (kills++ < MOST_KILLS)
    send_all(SIGKILL);
  else
    finish();
}

void limit(int seconds) {
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
  const char* who = pid == command.pid ? "the command" : "an orphan";
  const char* name = uvsig_signal_name(WTERMSIG(ended));

  if (WIFEXITED(ended))
    note("%s, %d, has ended: %d", who, (int) pid, WEXITSTATUS(ended));
  else
    note("%s, %d, has ended: %s", who, (int) pid, name);
}

/* Is it the end of the command, or of the last that has followed it? After a
 * stop signal nothing follows, and what has followed does not last for ever. */
static int ends_command(pid_t pid, int ended) {
  int is_left = kill(-command.pid, 0) == 0; /* of its group */

  if (pid != command.pid && command.followed && command.told)
    limit(settings.grace > 0 ? settings.grace : LEFT_SECONDS);
  if (pid != command.pid)
    return command.followed && !is_left;
  command.followed = settings.follow && !command.told && ended == 0 && is_left;
  if (command.followed)
    note("its group goes on");
  return !command.followed;
}

/* One signal may stand for several children. It waits for any, which uv_spawn()
 * would not survive: its children would be taken from it. */
void collect(void) {
  int had_ended = command.status != -1;
  int ended;
  pid_t pid;

  while ((pid = waitpid(-1, &ended, WNOHANG | WUNTRACED)) > 0) {
    if (WIFSTOPPED(ended)) {
      if (pid != command.pid || command.status != -1)
        continue;
      note("the command has stopped: %s", uvsig_signal_name(WSTOPSIG(ended)));
      command.stopped = 1;
      if (!is_due(SIGCONT)) /* else it is about to go on */
        terminal_stopped(WSTOPSIG(ended));
      continue;
    }
    note_end(pid, ended);
    if (command.status == -1 && ends_command(pid, ended))
      command.status = ended; /* its number is free for others now */
  }
  if (command.status == -1)
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

int children_watch(void) {
  static uvsig_watcher_t watcher;

  return failed(uv_timer_init(sig.loop, &timer), "uv_timer_init") ||
         failed(uvsig_watcher_init(&sig, &watcher), "SIGCHLD") ||
         failed(uvsig_watcher_start(&watcher, on_child, SIGCHLD), "SIGCHLD");
}
