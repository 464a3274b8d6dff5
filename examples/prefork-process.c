/* SPDX-License-Identifier: MIT
 *
 * A worker's process, from the parent: how it is started, when it serves, and
 * that it has gone. */
#include "prefork.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void free_worker(uv_handle_t* pipe) {
  free(pipe->data);
}

static void close_pipe(uv_handle_t* process) {
  worker_t* w = process->data;

  uv_close((uv_handle_t*) &w->pipe, free_worker);
}

void worker_forget(worker_t* w) {
  uvsig_shutdown_remove_child(&w->child);
  uv_close((uv_handle_t*) &w->process, close_pipe);
}

static void on_ended(uv_process_t* process, int64_t status, int signum) {
  worker_t* w = process->data;

  (void) status;
  (void) signum;
  printf("Worker %d has gone\n", process->pid);
  w->state = GONE;
  w->on_change(w);
}

static void on_byte(uv_stream_t* pipe, ssize_t size, const uv_buf_t* buf) {
  worker_t* w = pipe->data;

  (void) buf;
  if (size == 0)
    return;
  uv_read_stop(pipe);
  if (size < 0)
    return; /* its end will be told of */
  printf("Worker %d serves\n", w->process.pid);
  w->state = SERVING;
  w->on_change(w);
}

/* In a session of its own: what a terminal sends is for the parent, which says
 * what is to be done. */
static int spawn(worker_t* w, char* path, uv_os_fd_t listener) {
  uv_stdio_container_t stdio[] = {
      {.flags = UV_IGNORE},
      {.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
      {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
      {.flags = UV_INHERIT_FD, .data.fd = listener},
      {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE,
       .data.stream = (uv_stream_t*) &w->pipe}};
  char role[] = "worker", grace[32];
  char* args[] = {path, role, grace, NULL};
  uv_process_options_t options = {.exit_cb = on_ended,
                                  .file = path,
                                  .args = args,
                                  .flags = UV_PROCESS_DETACHED,
                                  .stdio = stdio,
                                  .stdio_count = PARENT_FD + 1};

  snprintf(grace, sizeof(grace), "--grace=%.3f", settings.grace_ms / 1000.0);
  return uv_spawn(loop, &w->process, &options);
}

worker_t* worker_start(char* path, uv_os_fd_t listener, worker_cb on_change) {
  worker_t* w = calloc(1, sizeof(*w));

  if (failed(w == NULL ? UV_ENOMEM : 0, path))
    return NULL;
  w->process.data = w->pipe.data = w;
  w->since = uv_now(loop);
  w->on_change = on_change;
  uv_pipe_init(loop, &w->pipe, 0);
  if (failed(spawn(w, path, listener), path)) {
    worker_forget(w);
    return NULL;
  }
  uvsig_shutdown_add_child(&sd, &w->child, w->process.pid);
  uv_read_start((uv_stream_t*) &w->pipe, on_alloc, on_byte);
  return w;
}
