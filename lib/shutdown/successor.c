/* SPDX-License-Identifier: MIT
 *
 * The successor that an upgrade has started, until it serves or has ended: is
 * it ready, does it live on, has it ended? test/scripts/upgrade.pml is a model
 * of this. Runs in the loop thread.
 */

#include "successor.h"

#include "coordinator.h"
#include "environment.h"
#include "launch.h"
#include "ready.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where a successor is: it has not said READY=1; it has, and is to live a
 * little longer; it is to end, and has not been waited for. */
enum stage { STARTING, SETTLING, ENDING };

/* The one that is under way. On the heap, since its handles close later. */
struct uvsig__successor {
  struct uvsig__coordinator* c;
  uvsig_upgrade_t* u; /* NULL: it has been stopped, and hears no more */
  uv_pid_t pid;
  uv_pid_t parent; /* which process has started it */
  enum stage stage;
  uint64_t until; /* ns: when STARTING and SETTLING end */
  int result;     /* of ENDING */
  bool is_over;   /* it has been reported, and only its end is waited for */
  int fd;         /* where it says that it is ready */
  uv_poll_t poll;
  uvsig_watcher_t sigchld;
  uvsig_shutdown_child_t child; /* registered once a shutdown has begun */
  struct uvsig__component component;
  struct uvsig__closing closing;
};

/* --- Its end -------------------------------------------------------------- */

static bool has_handle(const void* owner, const uv_handle_t* handle) {
  const struct uvsig__successor* s = owner;

  return uvsig__has(&s->component, handle);
}

/* It is over, whatever has become of the successor. */
static void forget(struct uvsig__successor* s) {
  struct uvsig__coordinator* c = s->c;

  c->successor = NULL;
  uvsig_watcher_stop(&s->sigchld);
  uvsig_shutdown_remove_child(&s->child);
  uvsig__detach(c->sd->sig, &s->component);
  s->closing.owner = s;
  s->closing.has = has_handle;
  s->closing.done = free;
  uvsig__closing_start(&s->closing, c->loop, 1);
  /* Not uv_poll_stop(): the program may have closed it. */
  uvsig__close_handle((uv_handle_t*) &s->poll);
  close(s->fd);
  /* Reloads have waited for it. */
  uvsig__look_again(c);
}

/* Why there is no upgrade. `how`: a wait status, or -1: it is not known. */
static const char* describe(int status, int how, char* text, size_t size) {
  if (status == UV_ETIMEDOUT)
    snprintf(text, size, "the successor was not ready in time");
  else if (status == UV_ECANCELED)
    snprintf(text, size, "a shutdown has begun");
  else if (status == UVSIG__ERR(ENOEXEC)) /* libuv has no words for it */
    snprintf(text, size, "it is no program that the system can execute");
  else if (status != UV_ESRCH)
    uv_strerror_r(status, text, size);
  else if (how == -1)
    snprintf(text, size, "the successor ended");
  else if (WIFSIGNALED(how))
    snprintf(text,
             size,
             "the successor was ended by %s",
             uvsig_signal_name(WTERMSIG(how)));
  else
    snprintf(
        text, size, "the successor exited with status %d", WEXITSTATUS(how));
  return text;
}

static void write_log(const struct uvsig__coordinator* c,
                      uv_pid_t pid,
                      const char* failure) {
  struct uvsig__line line = {.length = 0};

  if (!c->options.log)
    return;
  if (failure == NULL)
    uvsig__line_add(
        &line, "libuvsig: upgrade: process %ld is ready", (long) pid);
  else
    uvsig__line_add(&line, "libuvsig: upgrade: failed: %s", failure);
  uvsig__line_print(&line);
}

/* Tell of the end, last of all: the callback may do anything. */
static void report(struct uvsig__coordinator* c,
                   uvsig_upgrade_t* u,
                   uv_pid_t pid,
                   int status,
                   int how) {
  char text[128];

  if (status != 0)
    describe(status, how, text, sizeof(text));
  write_log(c, pid, status != 0 ? text : NULL);
  if (status != 0 && status != UV_ECANCELED)
    uvsig__notify_upgrade_failed(c, text);
  if (u != NULL) {
    u->pid = status == 0 ? pid : 0;
    u->cb(u, status);
  }
}

static void finish(struct uvsig__successor* s, int status, int how) {
  struct uvsig__coordinator* c = s->c;
  uvsig_upgrade_t* u = s->u;
  uv_pid_t pid = s->pid;
  bool is_over = s->is_over;

  forget(s);
  if (!is_over)
    report(c, u, pid, status, how);
}

/* The successor serves. The service manager hears of it, and nothing of this
 * process's end. */
static void succeed(struct uvsig__successor* s) {
  struct uvsig__coordinator* c = s->c;

  c->sd->report.successor = s->pid;
  uvsig__listeners_hand_over(c);
  uvsig__notify_successor(c, s->pid);
  uvsig_shutdown_request(c->sd, "upgrade", UVSIG_SHUTDOWN_GRACEFUL);
  finish(s, 0, -1);
}

/* Returns false where it cannot be ended: it is another user's by now. */
static bool end_by(struct uvsig__successor* s, int signum, int result) {
  s->stage = ENDING;
  s->result = result;
  s->until = UVSIG__NEVER;
  return kill(s->pid, signum) == 0 || errno != EPERM;
}

/* It lives on, which is no reason to keep the program waiting. */
static void leave(struct uvsig__successor* s, int status) {
  s->is_over = true;
  report(s->c, s->u, s->pid, status, -1);
}

/* Refused: it is another user's by now, or the program has waited for it. */
static void kill_and_wait(uv_pid_t pid) {
  if (kill(pid, SIGKILL) != 0)
    return;
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    ;
}

/* The upgrade is stopped: its callback is not called. */
void uvsig__successor_cancel(struct uvsig__coordinator* c,
                             const uvsig_upgrade_t* u) {
  struct uvsig__successor* s = c->successor;

  if (s == NULL || s->u != u)
    return;
  s->u = NULL;
  if (s->stage != ENDING)
    (void) end_by(s, SIGKILL, UV_ECANCELED); /* nobody waits for its end */
}

/* --- While it is under way ------------------------------------------------ */

/* In the child of a fork that goes on as a server: it is the parent's. */
void uvsig__successor_drop_inherited(struct uvsig__coordinator* c) {
  if (c->successor != NULL && c->successor->parent != getpid())
    forget(c->successor);
}

/* Wait for it, if it has ended. Returns whether it has: then all is over. */
static bool reap(struct uvsig__successor* s) {
  int status = 0;
  pid_t pid = waitpid(s->pid, &status, WNOHANG);

  if (pid == 0)
    return false;
  /* An error is ECHILD: the program waits for any child. */
  if (s->u != NULL)
    s->u->wait_status = status;
  finish(s,
         s->stage == ENDING ? s->result : UV_ESRCH,
         pid == s->pid ? status : -1);
  return true;
}

/* So many messages at a time: any process may send some. */
static void read_messages(struct uvsig__successor* s) {
  bool is_ready;
  int i;

  for (i = 0; i < 16 && uvsig__ready_receive(s->fd, s->pid, &is_ready); i++)
    if (is_ready && s->stage == STARTING) {
      s->stage = SETTLING;
      s->until = uvsig__now() + s->c->upgrade_options.settle_ms * UVSIG__MS;
    }
}

/* See what has become of it. Returns when to call this again. The callback may
 * be called. */
uint64_t uvsig__successor_check(struct uvsig__coordinator* c) {
  struct uvsig__successor* s;
  enum stage stage;
  bool is_late;

  uvsig__successor_drop_inherited(c);
  s = c->successor;
  if (s == NULL || reap(s))
    return UVSIG__NEVER;
  /* The loop may be late: first what has come in time. */
  is_late = uvsig__now() >= s->until;
  stage = s->stage;
  read_messages(s);
  if (!is_late || s->stage != stage)
    return s->until;
  if (stage == SETTLING)
    succeed(s);
  else if (!end_by(s, SIGKILL, UV_ETIMEDOUT))
    leave(s, UV_EPERM);
  return UVSIG__NEVER;
}

/* A shutdown begins, whatever has asked for it. A successor that is ready
 * serves on alone; another one ends with this process, which waits for it. */
void uvsig__successor_end(struct uvsig__coordinator* c) {
  struct uvsig__successor* s;

  uvsig__successor_drop_inherited(c);
  s = c->successor;
  if (s == NULL || reap(s))
    return;
  if (s->stage == SETTLING) {
    succeed(s);
    return;
  }
  if (s->is_over)
    return;
  if (s->stage == STARTING && !end_by(s, SIGTERM, UV_ECANCELED)) {
    leave(s, UV_ECANCELED);
    return;
  }
  kill(s->pid, SIGCONT);
  uvsig_shutdown_add_child(c->sd, &s->child, s->pid);
  s->child.is_asked = 1; /* here, and not once more when draining begins */
}

/* The shutdown is done, or given up: a successor that has not settled does not
 * outlive this. */
void uvsig__successor_kill(struct uvsig__coordinator* c) {
  uvsig__successor_drop_inherited(c);
  if (c->successor == NULL)
    return;
  kill_and_wait(c->successor->pid);
  forget(c->successor);
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  struct uvsig__successor* s = poll->data;

  (void) status;
  (void) events;
  uvsig__look(s->c, false);
}

static void on_sigchld(uvsig_watcher_t* w,
                       int signum,
                       const uvsig_info_t* info) {
  struct uvsig__successor* s = w->data;

  (void) signum;
  (void) info;
  uvsig__look(s->c, false);
}

/* --- Its beginning -------------------------------------------------------- */

static int launch(struct uvsig__successor* s, const char* notify_socket) {
  const struct uvsig__coordinator* c = s->c;
  char service[sizeof(struct sockaddr_un) + 1];
  struct uvsig__program program;
  char* names = NULL;
  int* fds = NULL;
  int err = uvsig__listeners_collect(c, &fds, &names, &program.count);

  if (err == 0) {
    uvsig__environment_hand_over(c, service);
    program.file = c->upgrade_options.file;
    program.args = c->upgrade_options.args;
    program.fds = fds;
    program.names = names;
    program.notify_socket = notify_socket;
    program.service_socket = service;
    program.watchdog_us = c->notifier.watchdog_us;
    err = uvsig__launch(&program, &s->pid);
  }
  free(fds);
  free(names);
  return err;
}

/* The watcher of SIGCHLD first: it is to find the successor's end. */
static int start(struct uvsig__successor* s) {
  char name[sizeof(struct sockaddr_un)];
  int err;

  /* Neither can fail: the uvsig_t is open, and the watcher is not started. */
  uvsig_watcher_init(s->c->sd->sig, &s->sigchld);
  uvsig_watcher_set_flags(&s->sigchld, UVSIG_NOCLDSTOP);
  err = uvsig_watcher_start(&s->sigchld, on_sigchld, SIGCHLD);
  if (err != 0)
    return err;
  s->sigchld.data = s;
  uvsig_watcher_unref(&s->sigchld);
  err = uvsig__ready_open(&s->fd, name);
  if (err != 0)
    goto stop_watcher;
  err = launch(s, name);
  if (err != 0)
    goto close_socket;
  err = uv_poll_init(s->c->loop, &s->poll, s->fd);
  if (err == 0)
    return 0;
  kill_and_wait(s->pid);
close_socket:
  close(s->fd);
stop_watcher:
  uvsig_watcher_stop(&s->sigchld);
  return err;
}

/* Start one, for what has been asked for. The callback may be called. */
void uvsig__successor_start(struct uvsig__coordinator* c) {
  struct uvsig__successor* s = calloc(1, sizeof(*s));
  int err = s != NULL ? 0 : UV_ENOMEM;

  if (err == 0) {
    s->c = c;
    s->u = c->upgrade;
    err = start(s);
  }
  if (err != 0) {
    free(s);
    report(c, c->upgrade, 0, err, -1);
    return;
  }
  s->parent = getpid();
  s->until = uvsig__now() + c->upgrade_options.ready_ms * UVSIG__MS;
  s->poll.data = s;
  s->component.handles[0] = (const uv_handle_t*) &s->poll;
  uvsig__attach(c->sd->sig, &s->component);
  uv_poll_start(&s->poll, UV_READABLE, on_readable);
  s->u->pid = s->pid;
  c->successor = s;
}
