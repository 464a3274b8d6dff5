/* SPDX-License-Identifier: MIT
 *
 * A worker: accepts from the parent's listener, and goes when it is told to, or
 * when the parent has gone. SIGTERM is the end of the service, SIGUSR2 says
 * that others serve in its place. prefork-http.c has its connections. */
#include "prefork.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TICK_MS = 100 };

static struct {
  uv_tcp_t tcp;
  uv_pipe_t parent;
  uv_timer_t tick;
  uvsig_shutdown_listener_t listener;
  uvsig_watcher_t on_usr1, on_usr2, on_term;
  int replaced; /* others serve: no hurry */
} self;

/* Where others serve, no client may fail, and nobody waits for this process:
 * however long one is idle, it is told in its next answer. */
static void on_tick(uv_timer_t* tick) {
  (void) tick;
  if (!self.replaced)
    http_end_quiet();
}

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    uv_timer_start(&self.tick, on_tick, 0, TICK_MS);
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  uv_close((uv_handle_t*) &self.parent, NULL);
  uv_close((uv_handle_t*) &self.tick, NULL);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  (void) w;
  (void) info;
  if (signum == SIGUSR1) {
    printf("Worker %d: %lu requests\n", getpid(), http_requests);
  } else if (signum == SIGUSR2) {
    self.replaced = 1;
    uvsig_shutdown_request(&sd, "replaced", UVSIG_SHUTDOWN_GRACEFUL);
  } else {
    self.replaced = 0; /* SIGTERM, which the shutdown has, too */
  }
}

/* It never writes: this is its end. */
static void on_parent(uv_stream_t* parent, ssize_t size, const uv_buf_t* buf) {
  (void) buf;
  if (size >= 0)
    return;
  uv_read_stop(parent);
  uvsig_shutdown_request(&sd, "no parent", UVSIG_SHUTDOWN_GRACEFUL);
}

/* A SIGTERM that has come before is no failure. */
static int open_listener(void) {
  uv_stream_t* stream = (uv_stream_t*) &self.tcp;
  int err = uvsig_shutdown_add_listener(&sd, &self.listener, stream, NULL);

  if (err != 0)
    uv_close((uv_handle_t*) stream, NULL);
  return err == UV_ECANCELED || failed(err, "listener") ||
         failed(uv_tcp_open(&self.tcp, LISTENER_FD), "uv_tcp_open") ||
         failed(uv_listen(stream, SOMAXCONN, http_on_connection), "uv_listen");
}

static int open_parent(void) {
  uv_buf_t ready = uv_buf_init((char[]){'+'}, 1);
  uv_stream_t* parent = (uv_stream_t*) &self.parent;

  if (failed(uv_pipe_open(&self.parent, PARENT_FD), "uv_pipe_open") ||
      failed(uv_read_start(parent, on_alloc, on_parent), "uv_read_start") ||
      failed(uv_try_write(parent, &ready, 1), "uv_try_write"))
    return -1;
  uv_unref((uv_handle_t*) parent); /* nothing that a shutdown waits for */
  return 0;
}

int be_worker(void) {
  uvsig_shutdown_options_t options;

  http_init();
  uvsig_shutdown_options_init(&options);
  options.forced_count = options.exit_count = 0; /* the parent has SIGKILL */
  options.grace_ms = settings.grace_ms;
  options.hard_ms = MARGIN_MS;
  options.idle = UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE; /* or http_end_quiet() */
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.phase_cb = on_phase;
  if (failed(uv_timer_init(loop, &self.tick), "uv_timer_init") ||
      failed(uv_pipe_init(loop, &self.parent, 0), "uv_pipe_init") ||
      failed(uv_tcp_init(loop, &self.tcp), "uv_tcp_init") ||
      failed(uvsig_shutdown_init(&sig, &sd, &options), "shutdown") ||
      failed(watch(&self.on_usr1, on_signal, SIGUSR1), "SIGUSR1") ||
      failed(watch(&self.on_usr2, on_signal, SIGUSR2), "SIGUSR2") ||
      failed(watch(&self.on_term, on_signal, SIGTERM), "SIGTERM") ||
      open_listener() != 0 || open_parent() != 0)
    return EXIT_FAILURE;
  return run_and_exit();
}
