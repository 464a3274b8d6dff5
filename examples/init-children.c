/* SPDX-License-Identifier: MIT
 *
 * The children of init are the command, and orphans of that: each is collected
 * when it has ended, and the last of them ends init. */
#include "init.h"

#include <sys/wait.h>

enum {
  LEFT_MS = 5000, /* for what the command leaves, without --grace */
  KILL_EACH_MS = 100,
  MOST_KILLS = 10 /* then init ends, whatever the kernel still holds */
};

struct command command = {.status = -1};

static uv_timer_t timer; /* until what is left is killed */

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

void limit(int ms) {
  if (ms > 0 && !uv_is_active((uv_handle_t*) &timer))
    uv_timer_start(&timer, on_late, (unsigned) ms, KILL_EACH_MS);
}

/* The command has ended, and others have not. A server that follows has had the
 * stop signal, as all of the group: a second one would force it. */
static void end_others(void) {
  int is_told = settings.follow && command.told && !settings.single_child;
  int signum = settings.becomes[SIGTERM];

  if (settings.grace_ms == 0) {
    finish();
    return;
  }
  if (signum != 0) {
    note("to all that is left%s: %s",
         is_told ? " in other groups" : "",
         uvsig_signal_name(signum));
    if (is_told)
      send_others(signum);
    else
      send_all(signum);
    send_all(SIGCONT);
  }
  limit(settings.grace_ms > 0 ? settings.grace_ms : LEFT_MS);
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
    limit(settings.grace_ms > 0 ? settings.grace_ms : LEFT_MS);
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
