/* SPDX-License-Identifier: MIT
 *
 * Child processes that a shutdown signals and waits for, alone or with their
 * process groups. Runs in the loop thread.
 */

#include "coordinator.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* How often groups are looked at whose leaders have been waited for: the system
 * tells nobody when such a group has ended. */
#define TICK (20 * UVSIG__MS)

enum { KNOWN_FLAGS = UVSIG_SHUTDOWN_CHILD_GROUP | UVSIG_SHUTDOWN_CHILD_LATE };

/* --- Signals -------------------------------------------------------------- */

/* The number is not another process's: the child is removed when the program
 * has waited for it. */
static int send_signal(const uvsig_shutdown_child_t* child, int signum) {
  bool is_group = (child->flags & UVSIG_SHUTDOWN_CHILD_GROUP) != 0;

  return kill(is_group ? -child->pid : child->pid, signum);
}

/* A terminal's SIGINT or SIGQUIT goes to all of its foreground group, as it is
 * then. */
static bool has_terminal_sent(const struct uvsig__coordinator* c,
                              const uvsig_shutdown_child_t* child) {
  const struct uvsig__escalation* e = &c->escalation;

  return (e->signum == SIGINT || e->signum == SIGQUIT) &&
         uvsig__is_from_kernel(e) && !child->is_late &&
         getpgid(child->pid) == getpgrp();
}

/* Send a child what it has not had yet. SIGCONT: a process that is stopped
 * handles no signal but SIGKILL. */
static void notify(struct uvsig__coordinator* c,
                   uvsig_shutdown_child_t* child,
                   enum uvsig__child_due due) {
  if (due == UVSIG__CHILD_STOP_EARLY &&
      (child->flags & UVSIG_SHUTDOWN_CHILD_LATE) != 0)
    return;
  if (due == UVSIG__CHILD_KILL && !child->is_killed) {
    child->is_killed = true;
    if (send_signal(child, SIGKILL) == 0)
      c->sd->report.killed++;
  } else if (due != UVSIG__CHILD_KILL && !child->is_asked) {
    child->is_asked = true;
    if (!has_terminal_sent(c, child))
      send_signal(child, child->signum);
    send_signal(child, SIGCONT);
  }
}

void uvsig__children_notify(struct uvsig__coordinator* c,
                            enum uvsig__child_due due) {
  uvsig_shutdown_child_t* child;

  for (child = c->children; child != NULL; child = child->next)
    notify(c, child, due);
}

/* --- Children ------------------------------------------------------------- */

int uvsig_shutdown_add_child(uvsig_shutdown_t* sd,
                             uvsig_shutdown_child_t* child,
                             uv_pid_t pid) {
  struct uvsig__coordinator* c;
  int err;

  if (child == NULL || pid <= 0)
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  if (atomic_load(&c->phase) >= UVSIG_SHUTDOWN_CLOSING)
    return UV_ECANCELED;
  if (child->shutdown == sd)
    return UV_EBUSY;
  UVSIG__RESET(child);
  child->shutdown = sd;
  child->pid = pid;
  child->parent = getpid();
  child->signum = SIGTERM;
  child->is_late = uvsig__has_begun(c);
  UVSIG__PUSH(c->children, child);
  if (uvsig__has_begun(c))
    uvsig__look_again(c);
  return 0;
}

/* Of a child that is registered, and has not been asked to end. */
static int find_coordinator(const uvsig_shutdown_child_t* child,
                            struct uvsig__coordinator** c) {
  int err;

  if (child == NULL || child->shutdown == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_of(child->shutdown, c);
  if (err == 0 && (child->is_asked || child->is_killed))
    err = UV_EALREADY;
  return err;
}

int uvsig_shutdown_child_set_signal(uvsig_shutdown_child_t* child, int signum) {
  struct uvsig__coordinator* c;
  int err = find_coordinator(child, &c);

  if (err != 0)
    return err;
  if (!uvsig__is_valid(signum))
    return UV_EINVAL;
  child->signum = signum;
  return 0;
}

/* The memory for what is left of a group is taken here: to remove a child
 * cannot fail. */
int uvsig_shutdown_child_set_flags(uvsig_shutdown_child_t* child,
                                   unsigned flags) {
  struct uvsig__coordinator* c;
  bool has_group = (flags & UVSIG_SHUTDOWN_CHILD_GROUP) != 0;
  int err = find_coordinator(child, &c);

  if (err != 0)
    return err;
  if ((flags & ~(unsigned) KNOWN_FLAGS) != 0 ||
      (has_group && getpgid(child->pid) != child->pid))
    return UV_EINVAL;
  if (has_group && child->rest == NULL) {
    child->rest = calloc(1, sizeof(*child->rest));
    if (child->rest == NULL)
      return UV_ENOMEM;
  }
  child->flags = flags;
  if (uvsig__has_begun(c)) /* it may be due now */
    uvsig__look_again(c);
  return 0;
}

static void unregister(struct uvsig__coordinator* c,
                       uvsig_shutdown_child_t* child) {
  UVSIG__CUT(c->children, child);
  free(child->rest);
  child->rest = NULL;
  child->shutdown = NULL;
}

/* The child has been waited for. What is left of its group takes its place: the
 * group's number is no other's until its last process has ended (POSIX, 3.282,
 * process group lifetime). */
static void leave_group(struct uvsig__coordinator* c,
                        uvsig_shutdown_child_t* child) {
  uvsig_shutdown_child_t* rest = child->rest;

  if ((child->flags & UVSIG_SHUTDOWN_CHILD_GROUP) == 0)
    return;
  *rest = *child;
  rest->rest = NULL;
  rest->is_rest = 1;
  UVSIG__PUSH(c->children, rest);
  child->rest = NULL;
}

int uvsig_shutdown_remove_child(uvsig_shutdown_child_t* child) {
  struct uvsig__coordinator* c;
  int err;

  if (child == NULL)
    return UV_EINVAL;
  err = uvsig__prepare_removal(child->shutdown, &c);
  if (c == NULL)
    return err;
  if (uvsig__has_begun(c))
    leave_group(c, child);
  unregister(c, child);
  return 0;
}

/* --- All of them ---------------------------------------------------------- */

/* The rest of a group is the library's memory. */
static void forget(struct uvsig__coordinator* c,
                   uvsig_shutdown_child_t* child) {
  bool is_rest = child->is_rest != 0;

  unregister(c, child);
  if (is_rest)
    free(child);
}

static bool is_registered(const struct uvsig__coordinator* c, uv_pid_t pid) {
  const uvsig_shutdown_child_t* child = c->children;

  while (child != NULL && (child->pid != pid || child->is_rest))
    child = child->next;
  return child != NULL;
}

/* Has the last process of a group ended? Those that this process has inherited,
 * as PID 1 or a subreaper (prctl(2)), count until it has waited for them. */
static bool has_ended(const struct uvsig__coordinator* c,
                      const uvsig_shutdown_child_t* rest) {
  siginfo_t info;

  /* But for those that the program has registered, and waits for itself. One
   * that cannot be waited for is not asked for again and again. */
  do
    info.si_pid = 0;
  while (waitid(P_PGID, (id_t) rest->pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
             0 &&
         info.si_pid != 0 && !is_registered(c, info.si_pid) &&
         waitpid(info.si_pid, NULL, WNOHANG) > 0);
  return kill(-rest->pid, 0) != 0 && errno == ESRCH;
}

/* Forget the groups that have ended. Returns when to call this again. */
uint64_t uvsig__children_check(struct uvsig__coordinator* c) {
  uvsig_shutdown_child_t* child;
  uvsig_shutdown_child_t* next;
  uint64_t at = UVSIG__NEVER;

  for (child = c->children; child != NULL; child = next) {
    next = child->next;
    if (!child->is_rest)
      continue;
    if (has_ended(c, child))
      forget(c, child);
    else
      at = uvsig__now() + TICK;
  }
  return at;
}

/* In the child of a fork that goes on: it can wait for none of its parent's. */
void uvsig__children_drop_inherited(struct uvsig__coordinator* c) {
  uvsig_shutdown_child_t* child;
  uvsig_shutdown_child_t* next;

  for (child = c->children; child != NULL; child = next) {
    next = child->next;
    if (child->parent != getpid())
      forget(c, child);
  }
}

void uvsig__children_forget(struct uvsig__coordinator* c) {
  while (c->children != NULL)
    forget(c, c->children);
}
