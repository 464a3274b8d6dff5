/* SPDX-License-Identifier: MIT
 *
 * Steps of what a shutdown waits for: connections, work, closers, listeners,
 * child processes.
 */

#include "shutdown-steps.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- Connections ------------------------------------------------------------------ */

/* args: the connection */
bool step_add_conn(const unsigned* args) {
  struct conn* conn;
  int phase;
  int err;

  if (!is_in_use() || m.conns[args[0]] != NULL)
    return false;
  phase = phase_now();
  conn = calloc(1, sizeof(*conn));
  CHECK(conn != NULL);
  conn->c.data = (void*) (uintptr_t) args[0];
  err = uvsig_shutdown_add_connection(&m.sd, &conn->c, on_conn);
  if (phase < UVSIG_SHUTDOWN_DRAINING)
    CHECK_EQ(err, 0);
  else if (phase > UVSIG_SHUTDOWN_DRAINING)
    CHECK_EQ(err, UV_ECANCELED);
  else
    CHECK(err == 0 || err == UV_ECANCELED); /* have listeners been closed? */
  if (err != 0)
    free(conn);
  else
    m.conns[args[0]] = conn;
  return true;
}

/* args: the connection, whether it is busy */
bool step_use_conn(const unsigned* args) {
  struct conn* conn = m.conns[args[0]];

  if (!is_in_use() || conn == NULL)
    return false;
  if (args[1] > 0)
    CHECK_EQ(uvsig_shutdown_connection_busy(&conn->c), 0);
  else
    CHECK_EQ(uvsig_shutdown_connection_idle(&conn->c), 0);
  conn->is_busy = args[1] > 0;
  return true;
}

/* args: the connection */
bool step_remove_conn(const unsigned* args) {
  struct conn* conn = m.conns[args[0]];

  if (!is_in_use() || conn == NULL)
    return false;
  if (phase_now() > UVSIG_SHUTDOWN_RUNNING) {
    if (conn->told[UVSIG_SHUTDOWN_CONNECTION_FORCE] > 0)
      m.forced++;
    else
      m.closed++;
  }
  CHECK_EQ(uvsig_shutdown_remove_connection(&conn->c), 0);
  CHECK_EQ(uvsig_shutdown_remove_connection(&conn->c), 0);
  free_conn(args[0]);
  return true;
}

/* --- Work, closers, listeners ------------------------------------------------------- */

/* args: the hold */
bool step_hold(const unsigned* args) {
  struct hold* at;
  int err;

  if (!is_in_use() || m.holds[args[0]] != NULL)
    return false;
  at = calloc(1, sizeof(*at));
  CHECK(at != NULL);
  err = uvsig_shutdown_hold(&m.sd, &at->h, "work");
  CHECK_EQ(err, phase_now() <= UVSIG_SHUTDOWN_DRAINING ? 0 : UV_ECANCELED);
  m.holds[args[0]] = at;
  if (err != 0)
    free_hold(args[0]);
  return true;
}

/* args: the hold */
bool step_release(const unsigned* args) {
  if (!is_in_use() || m.holds[args[0]] == NULL)
    return false;
  CHECK_EQ(uvsig_shutdown_release(&m.holds[args[0]]->h), 0);
  free_hold(args[0]);
  return true;
}

/* args: the closer */
bool step_add_closer(const unsigned* args) {
  struct closer* closer;
  int err;

  if (!is_in_use() || m.closers[args[0]] != NULL)
    return false;
  closer = calloc(1, sizeof(*closer));
  CHECK(closer != NULL);
  closer->c.data = (void*) (uintptr_t) args[0];
  closer->since = ++m.registered;
  err = uvsig_shutdown_add_closer(&m.sd, &closer->c, on_closer);
  CHECK_EQ(err, phase_now() <= UVSIG_SHUTDOWN_FORCING ? 0 : UV_ECANCELED);
  m.closers[args[0]] = closer;
  if (err != 0)
    free_closer(args[0]);
  return true;
}

/* args: the closer */
bool step_end_closer(const unsigned* args) {
  if (!is_in_use() || m.closers[args[0]] == NULL)
    return false;
  CHECK_EQ(uvsig_shutdown_closed(&m.closers[args[0]]->c), 0);
  free_closer(args[0]);
  return true;
}

/* args: the listener */
bool step_add_listener(const unsigned* args) {
  struct listener* listener;
  int err;

  if (!is_in_use() || m.listeners[args[0]] != NULL)
    return false;
  listener = calloc(1, sizeof(*listener));
  CHECK(listener != NULL);
  listener->l.data = (void*) (uintptr_t) args[0];
  err = uvsig_shutdown_add_listener(&m.sd, &listener->l, NULL, on_listener);
  CHECK_EQ(err, m.level == UVSIG_SHUTDOWN_NONE ? 0 : UV_ECANCELED);
  m.listeners[args[0]] = listener;
  if (err != 0)
    free_listener(args[0]);
  return true;
}

/* args: the listener */
bool step_remove_listener(const unsigned* args) {
  if (!is_in_use() || m.listeners[args[0]] == NULL)
    return false;
  CHECK_EQ(uvsig_shutdown_remove_listener(&m.listeners[args[0]]->l), 0);
  free_listener(args[0]);
  return true;
}

/* --- Child processes ------------------------------------------------------------------ */

static pid_t start_child(bool is_stubborn) {
  sigset_t all;
  sigset_t before;
  pid_t pid;

  fflush(NULL);
  /* Nothing comes before it has its own action. */
  sigfillset(&all);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0)
    signal(SIGTERM, is_stubborn ? SIG_IGN : SIG_DFL);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
  while (pid == 0)
    poll(NULL, 0, 1000 * 1000);
  return pid;
}

/* args: the child, whether it ignores SIGTERM */
bool step_add_child(const unsigned* args) {
  struct child* child = &m.children[args[0]];
  int err;

  if (!is_in_use() || child->pid != 0 || phase_now() > UVSIG_SHUTDOWN_FORCING)
    return false;
  memset(child, 0, sizeof(*child));
  child->is_stubborn = args[1] > 0;
  child->pid = start_child(child->is_stubborn);
  err = uvsig_shutdown_add_child(&m.sd, &child->c, child->pid);
  CHECK_EQ(err, 0);
  m.most_killed += phase_now() == UVSIG_SHUTDOWN_FORCING;
  return true;
}

/* Waited for, once it has ended. */
static bool reap_now(struct child* child, int flags) {
  int status;
  pid_t pid = (pid_t) UNINTERRUPTED(waitpid(child->pid, &status, flags));

  if (pid == 0)
    return false;
  CHECK_EQ(pid, child->pid);
  if (is_in_use()) {
    check_death(child, status);
    CHECK_EQ(uvsig_shutdown_remove_child(&child->c), 0);
  }
  child->pid = 0;
  return true;
}

/* args: the child */
bool step_reap(const unsigned* args) {
  struct child* child = &m.children[args[0]];

  return child->pid != 0 && reap_now(child, WNOHANG);
}
