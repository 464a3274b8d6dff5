/* SPDX-License-Identifier: MIT
 *
 * An upgrade: a successor is started with this process's listening sockets, and
 * once it is ready, this process begins to shut down. Whatever goes wrong
 * before, this process serves on. Runs in the loop thread.
 */

#include "coordinator.h"
#include "launch.h"
#include "ready.h"
#include "upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Flags in an upgrade's `state`. */
enum { STARTED = 1, PENDING = 2 };

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
  int result; /* of ENDING */
  int fd;     /* where it says that it is ready */
  uv_poll_t poll;
  uv_timer_t timer;
  uvsig_watcher_t sigchld;
  uvsig_shutdown_child_t child; /* registered once a shutdown has begun */
  struct uvsig__component component;
  struct uvsig__closing closing;
};

/* --- Its end ---------------------------------------------------------------- */

static bool has_handle(const void* owner, const uv_handle_t* handle) {
  const struct uvsig__successor* s = owner;

  return uvsig__has(&s->component, handle);
}

static void on_closed(void* owner) {
  free(owner);
}

/* It is over, whatever has become of the successor. */
static void forget(struct uvsig__successor* s) {
  struct uvsig__coordinator* c = s->c;

  c->successor = NULL;
  uvsig_watcher_stop(&s->sigchld);
  uvsig_shutdown_remove_child(&s->child);
  uvsig__detach(c->sd->sig, &s->component);
  uvsig__closing_start(&s->closing, c->loop, 1);
  uv_poll_stop(&s->poll);
  uvsig__close_handle((uv_handle_t*) &s->poll);
  uvsig__close_handle((uv_handle_t*) &s->timer);
  close(s->fd);
  /* Reloads have waited for it. */
  uvsig__look_again(c);
}

static void say(struct uvsig__coordinator* c, uv_pid_t pid, int status) {
  struct uvsig__line line = {.length = 0};
  char reason[128];

  if (!c->options.log)
    return;
  if (status == 0)
    uvsig__line_add(
        &line, "libuvsig: upgrade: process %ld is ready", (long) pid);
  else
    uvsig__line_add(&line,
                    "libuvsig: upgrade: failed: %s",
                    uv_strerror_r(status, reason, sizeof(reason)));
  uvsig__line_print(&line);
}

/* Tell of the end, last of all: the callback may do anything. */
static void report(struct uvsig__coordinator* c,
                   uvsig_upgrade_t* u,
                   uv_pid_t pid,
                   int status) {
  say(c, pid, status);
  if (status != 0 && status != UV_ECANCELED)
    uvsig__notify_upgrade_failed(c, status);
  if (u != NULL) {
    u->pid = status == 0 ? pid : 0;
    u->cb(u, status);
  }
}

static void finish(struct uvsig__successor* s, int status) {
  struct uvsig__coordinator* c = s->c;
  uvsig_upgrade_t* u = s->u;
  uv_pid_t pid = s->pid;

  forget(s);
  report(c, u, pid, status);
}

/* The successor serves. The service manager hears of it, and nothing of this
 * process's end. */
static void succeed(struct uvsig__successor* s) {
  struct uvsig__coordinator* c = s->c;

  c->sd->report.successor = s->pid;
  uvsig__listeners_hand_over(c);
  uvsig__notify_successor(c, s->pid);
  uvsig_shutdown_request(c->sd, "upgrade", UVSIG_SHUTDOWN_GRACEFUL);
  finish(s, 0);
}

static void end_by(struct uvsig__successor* s, int signum, int result) {
  s->stage = ENDING;
  s->result = result;
  uv_timer_stop(&s->timer);
  kill(s->pid, signum);
}

/* --- While it is under way -------------------------------------------------- */

/* In the child of a fork that goes on as a server: it is the parent's. */
static bool is_inherited(struct uvsig__successor* s) {
  if (s->parent == getpid())
    return false;
  forget(s);
  return true;
}

static void drop_inherited(struct uvsig__coordinator* c) {
  if (c->successor != NULL)
    is_inherited(c->successor);
}

/* Wait for it, if it has ended. Returns whether it has: then all is over. */
static bool reap(struct uvsig__successor* s) {
  int status = 0;
  pid_t pid = waitpid(s->pid, &status, WNOHANG);

  /* ECHILD: the program waits for any child. */
  if (pid != s->pid && !(pid < 0 && errno == ECHILD))
    return false;
  if (s->u != NULL)
    s->u->wait_status = status;
  finish(s, s->stage == ENDING ? s->result : UV_ESRCH);
  return true;
}

static void on_timer(uv_timer_t* timer);

/* So many messages at a time: any process may send some. */
static void read_messages(struct uvsig__successor* s) {
  bool is_ready;
  int i;

  for (i = 0; i < 16 && uvsig__ready_receive(s->fd, s->pid, &is_ready); i++)
    if (is_ready && s->stage == STARTING) {
      s->stage = SETTLING;
      uv_update_time(s->c->loop);
      uv_timer_start(&s->timer, on_timer, s->c->upgrade_options.settle_ms, 0);
    }
}

/* The loop may be late: first what has come in time, or happened. */
static void on_timer(uv_timer_t* timer) {
  struct uvsig__successor* s = timer->data;
  enum stage stage = s->stage;

  if (is_inherited(s) || reap(s))
    return;
  read_messages(s);
  if (stage == SETTLING)
    succeed(s);
  else if (s->stage == STARTING)
    end_by(s, SIGKILL, UV_ETIMEDOUT);
}

static void on_readable(uv_poll_t* poll, int status, int events) {
  struct uvsig__successor* s = poll->data;

  (void) events;
  if (!is_inherited(s) && status == 0)
    read_messages(s);
}

static void on_sigchld(uvsig_watcher_t* w,
                       int signum,
                       const uvsig_info_t* info) {
  struct uvsig__successor* s = w->data;

  (void) signum;
  (void) info;
  if (!is_inherited(s))
    reap(s);
}

/* Nothing can fail after uv_poll_init(). */
static int init_handles(struct uvsig__successor* s) {
  int err = uv_poll_init(s->c->loop, &s->poll, s->fd);

  if (err != 0)
    return err;
  uv_timer_init(s->c->loop, &s->timer);
  s->poll.data = s;
  s->timer.data = s;
  s->component.handles[0] = (const uv_handle_t*) &s->poll;
  s->component.handles[1] = (const uv_handle_t*) &s->timer;
  s->component.handles[2] = (const uv_handle_t*) &s->closing.last;
  s->closing.owner = s;
  s->closing.has = has_handle;
  s->closing.done = on_closed;
  uvsig__attach(s->c->sd->sig, &s->component);
  uv_poll_start(&s->poll, UV_READABLE, on_readable);
  uv_update_time(s->c->loop); /* to start it has taken a while */
  uv_timer_start(&s->timer, on_timer, s->c->upgrade_options.ready_ms, 0);
  return 0;
}

/* --- Its beginning ---------------------------------------------------------- */

/* The listeners' descriptors and names, in the order of their registration. */
static int collect(const struct uvsig__coordinator* c,
                   int** fds,
                   const char*** names,
                   size_t* count) {
  const uvsig_shutdown_listener_t* l;
  size_t i = 0;

  *count = 0;
  for (l = c->listeners; l != NULL; l = l->next)
    *count += uvsig__listener_fd(l) >= 0;
  *fds = malloc((*count + 1) * sizeof(**fds));
  *names = malloc((*count + 1) * sizeof(**names));
  if (*fds == NULL || *names == NULL)
    return UV_ENOMEM;
  for (l = c->listeners; l != NULL; l = l->next) /* the youngest first */
    if (uvsig__listener_fd(l) >= 0) {
      i++;
      (*fds)[*count - i] = uvsig__listener_fd(l);
      (*names)[*count - i] = l->name != NULL ? l->name : "unknown";
    }
  return 0;
}

static int launch(struct uvsig__successor* s, const char* notify_socket) {
  const struct uvsig__coordinator* c = s->c;
  char service[sizeof(struct sockaddr_un) + 1];
  struct uvsig__program program;
  const char** names = NULL;
  int* fds = NULL;
  int err = collect(c, &fds, &names, &program.count);

  if (err == 0) {
    uvsig__notify_hand_over(c, service, &program.watchdog_us);
    program.file = c->upgrade_options.file;
    program.args = c->upgrade_options.args;
    program.fds = fds;
    program.names = names;
    program.notify_socket = notify_socket;
    program.service_socket = service;
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

  err = uvsig_watcher_init(s->c->sd->sig, &s->sigchld);
  if (err == 0)
    err = uvsig_watcher_set_flags(&s->sigchld, UVSIG_NOCLDSTOP);
  if (err == 0)
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
  err = init_handles(s);
  if (err == 0)
    return 0;
  kill(s->pid, SIGKILL);
  (void) waitpid(s->pid, NULL, 0);
close_socket:
  close(s->fd);
stop_watcher:
  uvsig_watcher_stop(&s->sigchld);
  return err;
}

static void begin(struct uvsig__coordinator* c) {
  uvsig_upgrade_t* u = c->upgrade;
  struct uvsig__successor* s = calloc(1, sizeof(*s));
  int err = UV_ENOMEM;

  if (s != NULL) {
    s->c = c;
    s->u = u;
    s->parent = getpid();
    err = start(s);
  }
  if (err != 0) {
    free(s);
    report(c, u, 0, err);
    return;
  }
  u->pid = s->pid;
  c->successor = s;
}

/* --- For phases.c ------------------------------------------------------------ */

/* Begin what has been asked for. The callback may be called. */
void uvsig__upgrade_run(struct uvsig__coordinator* c) {
  uvsig_upgrade_t* u = c->upgrade;

  drop_inherited(c);
  if (u == NULL || (u->state & PENDING) == 0 || uvsig__has_begun(c))
    return;
  u->state &= ~(unsigned) PENDING;
  begin(c);
}

/* In the child of a fork: what its parent has asked for, or has started, is the
 * parent's. The rest is dropped in the loop thread: only what may be called in
 * a signal handler may be called here. */
void uvsig__upgrade_on_fork(struct uvsig__coordinator* c) {
  if (c->upgrade != NULL)
    c->upgrade->state &= ~(unsigned) PENDING;
}

/* A shutdown begins, whatever has asked for it. A successor that is ready
 * serves on alone; another one ends with this process, which waits for it. */
void uvsig__upgrade_end(struct uvsig__coordinator* c) {
  struct uvsig__successor* s = c->successor;

  if (s == NULL || s->parent != getpid() || reap(s))
    return;
  if (s->stage == SETTLING) {
    succeed(s);
    return;
  }
  uvsig_shutdown_add_child(c->sd, &s->child, s->pid);
  s->child.is_asked = 1; /* here, and not once more when draining begins */
  if (s->stage == STARTING) {
    end_by(s, SIGTERM, UV_ECANCELED);
    kill(s->pid, SIGCONT);
  }
}

/* The shutdown is done, or given up: a successor that has not settled does not
 * outlive this. */
void uvsig__upgrade_forget(struct uvsig__coordinator* c) {
  struct uvsig__successor* s = c->successor;

  if (s != NULL && s->parent == getpid()) {
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
      ;
  }
  if (s != NULL)
    forget(s);
  if (c->upgrade != NULL) {
    uvsig_watcher_stop(&c->upgrade->watcher);
    c->upgrade->state = 0;
    c->upgrade->shutdown = NULL;
  }
  c->upgrade = NULL;
}

/* --- The public functions ---------------------------------------------------- */

void uvsig_upgrade_options_init(uvsig_upgrade_options_t* options) {
  if (options == NULL)
    return;
  memset(options, 0, sizeof(*options));
  options->mark = UVSIG__MARK;
  options->ready_ms = 30000;
  options->settle_ms = 1000;
}

int uvsig_upgrade_init(uvsig_shutdown_t* sd,
                       uvsig_upgrade_t* u,
                       const uvsig_upgrade_options_t* options) {
  struct uvsig__coordinator* c;
  uvsig_upgrade_options_t own;
  int err;

  uvsig_upgrade_options_init(&own);
  if (u == NULL || (options != NULL && !UVSIG__ARE_SET(options)))
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  if (c->upgrade != NULL)
    return UV_EBUSY;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  if (options != NULL)
    own = *options;
  err = uvsig__own_program(&own.file, &own.args);
  if (err != 0)
    return err;
  UVSIG__RESET(u);
  u->shutdown = sd;
  c->upgrade = u;
  c->upgrade_options = own;
  return 0;
}

static int find_coordinator(const uvsig_upgrade_t* u,
                            struct uvsig__coordinator** c) {
  int err;

  if (u == NULL || u->shutdown == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(u->shutdown, c);
  if (err == 0)
    drop_inherited(*c);
  return err;
}

static void set_pending(struct uvsig__coordinator* c, uvsig_upgrade_t* u) {
  u->state |= PENDING;
  uvsig__look_again(c);
}

/* One that comes during an upgrade, or a shutdown, asks for what is under
 * way. */
static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_upgrade_t* u = w->data;
  struct uvsig__coordinator* c;

  (void) signum;
  (void) info;
  if (find_coordinator(u, &c) == 0 && c->successor == NULL)
    set_pending(c, u);
}

int uvsig_upgrade_start(uvsig_upgrade_t* u, uvsig_upgrade_cb cb, int signum) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(u, &c);
  if (err != 0)
    return err;
  if (cb == NULL || !uvsig__is_catchable(signum))
    return UV_EINVAL;
  if ((u->state & STARTED) != 0)
    return UV_EBUSY;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  err = uvsig_watcher_init(c->sd->sig, &u->watcher);
  u->watcher.data = u;
  if (err == 0)
    err = uvsig_watcher_start(&u->watcher, on_signal, signum);
  if (err != 0)
    return err;
  uvsig_watcher_unref(&u->watcher);
  u->cb = cb;
  u->state |= STARTED;
  return 0;
}

int uvsig_upgrade_request(uvsig_upgrade_t* u) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(u, &c);
  if (err != 0)
    return err;
  if ((u->state & STARTED) == 0)
    return UV_EINVAL;
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  if (c->successor != NULL || (u->state & PENDING) != 0)
    return UV_EBUSY;
  set_pending(c, u);
  return 0;
}

int uvsig_upgrade_stop(uvsig_upgrade_t* u) {
  struct uvsig__coordinator* c;
  struct uvsig__successor* s;
  int err;

  if (u == NULL)
    return UV_EINVAL;
  if ((u->state & STARTED) == 0)
    return 0;
  err = find_coordinator(u, &c);
  if (err != 0)
    return err;
  uvsig_watcher_stop(&u->watcher);
  u->state = 0;
  s = c->successor;
  if (s == NULL || s->u != u)
    return 0;
  s->u = NULL;
  if (s->stage != ENDING)
    end_by(s, SIGKILL, UV_ECANCELED);
  return 0;
}
