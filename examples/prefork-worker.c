/* SPDX-License-Identifier: MIT
 *
 * A worker: accepts from the parent's listener, answers each request with its
 * pid, and goes when it is told to, or when the parent has gone. SIGTERM is the
 * end of the service, SIGUSR2 says that others serve in its place. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prefork.h"

/* A client that asks again sooner than this has its next answer, which says
 * that it is the last. A connection that is idle for longer is closed. */
enum { QUIET_MS = 1000, TICK_MS = 100 };

typedef struct {
  uv_tcp_t tcp;
  uv_write_t write;
  uvsig_shutdown_connection_t tracked;
  uint64_t since;   /* of its last answer, or of its beginning */
  unsigned matched; /* how much of END has come */
  unsigned waiting; /* requests to be answered */
  int begun;        /* a request has begun, and has not ended */
  int writing;
  int last;  /* what is written says "Connection: close" */
  int ended; /* the client sends no more */
} connection_t;

static const char END[] = "\r\n\r\n"; /* of a request; none has a body */

static struct {
  uv_tcp_t tcp;
  uv_pipe_t parent;
  uv_timer_t tick;
  uvsig_shutdown_listener_t listener;
  uvsig_watcher_t on_usr1, on_usr2, on_term;
  char answer[2][128]; /* the second with "Connection: close" */
  unsigned long requests;
  int replaced; /* others serve: no hurry */
} self;

static void on_closed(uv_handle_t* handle) {
  free(handle->data);
}

static void hang_up(connection_t* c) {
  c->last = 1;
  uvsig_shutdown_linger(&c->tracked, (uv_stream_t*) &c->tcp, on_closed);
}

static void answer_next(connection_t* c);

static void on_written(uv_write_t* write, int status) {
  connection_t* c = write->data;

  c->writing = 0;
  c->since = uv_now(loop);
  if (status < 0 || c->last || (c->ended && c->waiting == 0))
    hang_up(c);
  else if (c->waiting > 0)
    answer_next(c);
  else if (!c->begun && uvsig_shutdown_phase(&sd) == UVSIG_SHUTDOWN_RUNNING)
    uvsig_shutdown_connection_idle(&c->tracked); /* later: see end_if_quiet() */
}

static void answer_next(connection_t* c) {
  uv_buf_t buf;

  c->last = uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_RUNNING;
  buf = uv_buf_init(self.answer[c->last], strlen(self.answer[c->last]));
  c->waiting--;
  c->writing = 1;
  c->write.data = c;
  self.requests++;
  if (uv_write(&c->write, (uv_stream_t*) &c->tcp, &buf, 1, on_written) != 0)
    hang_up(c);
}

static void on_bytes(uv_stream_t* stream, ssize_t size, const uv_buf_t* buf) {
  connection_t* c = stream->data;
  ssize_t i;

  for (i = 0; i < size; i++) {
    c->begun = 1;
    if (buf->base[i] == END[c->matched])
      c->matched++;
    else
      c->matched = buf->base[i] == END[0];
    if (c->matched == sizeof(END) - 1) {
      c->matched = 0;
      c->begun = 0;
      c->waiting++;
    }
  }
  if (size > 0)
    uvsig_shutdown_connection_busy(&c->tracked);
  c->ended = size < 0;
  if (c->ended && (size != UV_EOF || (c->waiting == 0 && !c->writing)))
    hang_up(c);
  else if (c->waiting > 0 && !c->writing && !c->last)
    answer_next(c);
}

static void on_connection(uv_stream_t* listener, int status) {
  connection_t* c = status == 0 ? calloc(1, sizeof(*c)) : NULL;
  uv_stream_t* stream = (uv_stream_t*) c;

  if (c == NULL || uv_tcp_init(loop, &c->tcp) != 0) {
    free(c);
    return;
  }
  c->tcp.data = c;
  c->since = uv_now(loop);
  if (uv_accept(listener, stream) != 0 ||
      uv_read_start(stream, on_alloc, on_bytes) != 0 ||
      uvsig_shutdown_add_stream(&sd, &c->tracked, stream, on_closed) != 0)
    uv_close((uv_handle_t*) stream, on_closed);
}

/* What it has sent by now is read before it is closed. */
static void end_if_quiet(uv_handle_t* handle, void* arg) {
  connection_t* c = handle->data;

  (void) arg;
  if (handle->type != UV_TCP || c == NULL || c->begun || c->writing ||
      uv_now(loop) - c->since < QUIET_MS)
    return;
  uvsig_shutdown_connection_busy(&c->tracked);
  uvsig_shutdown_connection_idle(&c->tracked);
}

/* Where others serve, no client may fail, and nobody waits for this process:
 * however long one is idle, it is told in its next answer. */
static void on_tick(uv_timer_t* tick) {
  (void) tick;
  if (!self.replaced)
    uv_walk(loop, end_if_quiet, NULL);
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
    say("Worker %d: %lu requests\n", getpid(), self.requests);
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

static int open_worker(void) {
  uvsig_shutdown_options_t options;
  uv_buf_t ready = uv_buf_init((char[]){'+'}, 1);
  uv_stream_t* listener = (uv_stream_t*) &self.tcp;
  uv_stream_t* parent = (uv_stream_t*) &self.parent;

  uvsig_ignore(SIGPIPE); /* a client has gone: UV_EPIPE says so */
  uvsig_shutdown_options_init(&options);
  options.forced_count = options.exit_count = 0; /* the parent has SIGKILL */
  options.grace_ms = settings.grace * 1000;
  options.hard_ms = MARGIN_MS;
  options.idle = UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE; /* or end_if_quiet() */
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.phase_cb = on_phase;
  return failed(uv_timer_init(loop, &self.tick), "uv_timer_init") ||
         failed(uv_pipe_init(loop, &self.parent, 0), "uv_pipe_init") ||
         failed(uvsig_shutdown_init(&sig, &sd, &options), "shutdown") ||
         failed(watch(&self.on_usr1, on_signal, SIGUSR1), "SIGUSR1") ||
         failed(watch(&self.on_usr2, on_signal, SIGUSR2), "SIGUSR2") ||
         failed(watch(&self.on_term, on_signal, SIGTERM), "SIGTERM") ||
         failed(uv_tcp_init(loop, &self.tcp), "uv_tcp_init") ||
         failed(uv_tcp_open(&self.tcp, LISTENER_FD), "uv_tcp_open") ||
         failed(
             uvsig_shutdown_add_listener(&sd, &self.listener, listener, NULL),
             "uvsig_shutdown_add_listener") ||
         failed(uv_listen(listener, SOMAXCONN, on_connection), "uv_listen") ||
         failed(uv_pipe_open(&self.parent, PARENT_FD), "uv_pipe_open") ||
         failed(uv_read_start(parent, on_alloc, on_parent), "uv_read_start") ||
         failed(uv_try_write(parent, &ready, 1), "uv_try_write");
}

int be_worker(void) {
  int i;

  for (i = 0; i < 2; i++)
    snprintf(self.answer[i],
             sizeof(self.answer[i]),
             "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n%s\r\n%10d\n",
             i == 1 ? "Connection: close\r\n" : "",
             getpid());
  if (open_worker() != 0)
    return EXIT_FAILURE;
  uv_unref((uv_handle_t*) &self.parent); /* nothing that a shutdown waits for */
  return run_and_exit();
}
