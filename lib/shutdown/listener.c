/* SPDX-License-Identifier: MIT
 *
 * Listeners. They are closed when the connections in their queues have been
 * accepted. Runs in the loop thread.
 */

#include "coordinator.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* A flood of new connections must not keep listeners open. But libuv from 1.45
 * on accepts one connection of a listener in a turn of the loop: as many turns
 * as a queue is long (SOMAXCONN of Linux 5.4 and later). */
enum { BACKLOG_TURNS = 4096 };

int uvsig_shutdown_add_listener(uvsig_shutdown_t* sd,
                                uvsig_shutdown_listener_t* l,
                                uv_stream_t* stream,
                                uvsig_shutdown_listener_cb cb) {
  struct uvsig__coordinator* c;
  int err;

  if (l == NULL || (cb == NULL && stream == NULL))
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  /* A signal that came during start-up counts, though the loop has not run. */
  if (uvsig__has_begun(c))
    return UV_ECANCELED;
  if (l->shutdown == sd)
    return UV_EBUSY;
  UVSIG__RESET(l);
  l->shutdown = sd;
  l->stream = stream;
  l->cb = cb;
  l->fd = -1;
  UVSIG__PUSH(c->listeners, l);
  return 0;
}

static void unregister(struct uvsig__coordinator* c,
                       uvsig_shutdown_listener_t* l) {
  UVSIG__CUT(c->listeners, l);
  l->shutdown = NULL;
}

/* As sd_listen_fds_with_names(3) reads it. */
static bool is_name(const char* name) {
  size_t length = 0;

  for (; name[length] != 0; length++)
    if (name[length] == ':' || (unsigned char) name[length] < ' ' ||
        name[length] == 0x7f)
      return false;
  return length <= 255;
}

int uvsig_shutdown_listener_set_fd(uvsig_shutdown_listener_t* l,
                                   int fd,
                                   const char* name) {
  struct uvsig__coordinator* c;
  int err;

  if (l == NULL || fd < -1 || (name != NULL && !is_name(name)))
    return UV_EINVAL;
  err = uvsig__coordinator_of(l->shutdown, &c);
  if (err != 0)
    return err;
  l->fd = fd;
  l->name = name;
  return 0;
}

/* The descriptor that an upgrade hands over, or -1. */
static int find_fd(const uvsig_shutdown_listener_t* l) {
  uv_os_fd_t fd;

  if (l->fd >= 0)
    return l->fd;
  if (l->stream == NULL || uv_fileno((const uv_handle_t*) l->stream, &fd) != 0)
    return -1;
  return fd;
}

static const char* name_of(const uvsig_shutdown_listener_t* l) {
  return l->name != NULL ? l->name : "unknown";
}

/* The descriptors, and the names with colons between, in the order of
 * registration. Both are the caller's to free, also after an error. */
int uvsig__listeners_collect(const struct uvsig__coordinator* c,
                             int** fds,
                             char** names,
                             size_t* count) {
  const uvsig_shutdown_listener_t* oldest = NULL;
  const uvsig_shutdown_listener_t* l;
  size_t most = 0;
  size_t size = 0;
  char* at;

  for (l = c->listeners; l != NULL; l = l->next) {
    oldest = l;
    most++;
    size += strlen(name_of(l)) + 1;
  }
  *fds = malloc((most + 1) * sizeof(**fds));
  *names = calloc(1, size + 1);
  if (*fds == NULL || *names == NULL)
    return UV_ENOMEM;
  at = *names;
  *count = 0;
  for (l = oldest; l != NULL; l = l->prev)
    if (find_fd(l) >= 0) {
      at += sprintf(at, "%s%s", *count > 0 ? ":" : "", name_of(l));
      (*fds)[(*count)++] = find_fd(l);
    }
  return 0;
}

/* They are a successor's: libuv unlinks the path of a uv_pipe_t when it closes
 * it, by what it has noted at uv_pipe_bind(). It must forget that. */
void uvsig__listeners_hand_over(struct uvsig__coordinator* c) {
  uvsig_shutdown_listener_t* l;
  uv_pipe_t* pipe;

  for (l = c->listeners; l != NULL; l = l->next)
    if (l->stream != NULL && l->stream->type == UV_NAMED_PIPE) {
      pipe = (uv_pipe_t*) l->stream;
      l->path = pipe->pipe_fname;
      pipe->pipe_fname = NULL;
    }
}

int uvsig_shutdown_remove_listener(uvsig_shutdown_listener_t* l) {
  struct uvsig__coordinator* c;
  int err;

  if (l == NULL)
    return UV_EINVAL;
  err = uvsig__prepare_removal(l->shutdown, &c);
  if (c != NULL)
    unregister(c, l);
  return err;
}

/* Is a connection in the queue? */
static bool has_backlog(const uvsig_shutdown_listener_t* l) {
  struct pollfd fd = {.events = POLLIN};

  if (uv_is_closing((uv_handle_t*) l->stream) ||
      uv_fileno((uv_handle_t*) l->stream, &fd.fd) != 0)
    return false;
  return poll(&fd, 1, 0) == 1 && (fd.revents & POLLIN) != 0;
}

/* Returns whether the loop should have one more turn to accept. What is none of
 * libuv's cannot be looked at, and has one turn. */
bool uvsig__listeners_need_turn(struct uvsig__coordinator* c) {
  uvsig_shutdown_listener_t* l;

  if (c->backlog_turns++ >= BACKLOG_TURNS)
    return false;
  for (l = c->listeners; l != NULL; l = l->next)
    if (l->stream == NULL ? c->backlog_turns == 1 : has_backlog(l))
      return true;
  return false;
}

static void close_stream(uv_stream_t* stream) {
  if (!uv_is_closing((uv_handle_t*) stream))
    uv_close((uv_handle_t*) stream, NULL);
}

/* The callback closes the stream. It may accept what waits before. */
void uvsig__listeners_close(struct uvsig__coordinator* c) {
  uvsig_shutdown_listener_t* l;

  while (c->listeners != NULL) {
    l = c->listeners;
    unregister(c, l);
    if (l->cb != NULL)
      l->cb(l);
    else
      close_stream(l->stream);
  }
  c->listeners_closed = true;
}

void uvsig__listeners_forget(struct uvsig__coordinator* c) {
  while (c->listeners != NULL)
    unregister(c, c->listeners);
}
