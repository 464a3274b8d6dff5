/* SPDX-License-Identifier: MIT
 *
 * Child processes that a shutdown signals and waits for. Runs in the loop
 * thread.
 */

#include "coordinator.h"

/* The number is not another process's: the child is removed when the program
 * has waited for it. */
static void kill_child(struct uvsig__coordinator* c,
                       const uvsig_shutdown_child_t* child,
                       int signum) {
  if (kill(child->pid, signum) == 0 && signum == SIGKILL)
    c->sd->report.killed++;
}

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
  if (atomic_load(&c->phase) == UVSIG_SHUTDOWN_DONE)
    return UV_ECANCELED;
  UVSIG__RESET(child);
  child->shutdown = sd;
  child->pid = pid;
  UVSIG__PUSH(c->children, child);
  c->child_count++;
  if (c->child_signal != 0)
    kill_child(c, child, c->child_signal);
  return 0;
}

static void unregister(struct uvsig__coordinator* c,
                       uvsig_shutdown_child_t* child) {
  UVSIG__CUT(c->children, child);
  child->shutdown = NULL;
  c->child_count--;
}

int uvsig_shutdown_remove_child(uvsig_shutdown_child_t* child) {
  struct uvsig__coordinator* c;
  int err;

  if (child == NULL)
    return UV_EINVAL;
  if (child->shutdown == NULL)
    return 0;
  err = uvsig__coordinator_of(child->shutdown, &c);
  if (err != 0)
    return err;
  unregister(c, child);
  if (uvsig__has_begun(c))
    uvsig__look_again(c);
  return 0;
}

void uvsig__children_signal(struct uvsig__coordinator* c, int signum) {
  uvsig_shutdown_child_t* child;

  c->child_signal = signum;
  for (child = c->children; child != NULL; child = child->next)
    kill_child(c, child, signum);
}

void uvsig__children_forget(struct uvsig__coordinator* c) {
  while (c->children != NULL)
    unregister(c, c->children);
}
