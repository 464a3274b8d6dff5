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

typedef struct {
  uv_tcp_t tcp;
  uv_write_t write;
  uvsig_shutdown_connection_t tracked;
  unsigned matched; /* how much of END has come */
  unsigned begun;   /* 1: a request has begun, and has not ended */
  unsigned waiting; /* requests to be answered */
  int writing;
  int last; /* what is written says "Connection: close" */
} connection_t;

static const char END[] = "\r\n\r\n"; /* of a request; none has a body */

static uvsig_watcher_t on_usr1, on_usr2, on_term;

static struct {
  uv_tcp_t tcp;
  uv_pipe_t parent;
  uvsig_shutdown_listener_t listener;
  char answer[2][128]; /* the second with "Connection: close" */
  unsigned long requests;
  int replaced; /* others serve: no hurry */
} self;

static void on_connection_closed(uv_handle_t* handle) {
  free(handle->data);
}

/* The client has gone. */
static void drop(connection_t* c) {
  uvsig_shutdown_remove_connection(&c->tracked);
  if (!uv_is_closing((uv_handle_t*) &c->tcp))
    uv_close((uv_handle_t*) &c->tcp, on_connection_closed);
}

static void answer_next(connection_t* c);

static void on_written(uv_write_t* req, int status) {
  connection_t* c = req->data;

  c->writing = 0;
  if (c->tracked.shutdown == NULL)
    return; /* closing */
  if (status < 0) {
    drop(c);
    return;
  }
  if (c->waiting > 0 && !c->last) {
    answer_next(c);
    return;
  }
  /* One that becomes idle while draining is closed. A client that has not been
   * told so may be sending its next request: it is told in that answer. */
  if (c->last || (!c->begun && !self.replaced))
    uvsig_shutdown_connection_idle(&c->tracked);
}

static void answer_next(connection_t* c) {
  uv_buf_t buf;

  c->last = uvsig_shutdown_phase(&shutdown_) != UVSIG_SHUTDOWN_RUNNING;
  buf = uv_buf_init(self.answer[c->last], strlen(self.answer[c->last]));
  c->waiting--;
  c->writing = 1;
  c->write.data = c;
  self.requests++;
  if (uv_write(&c->write, (uv_stream_t*) &c->tcp, &buf, 1, on_written) != 0)
    drop(c);
}

static void on_bytes(uv_stream_t* stream, ssize_t size, const uv_buf_t* buf) {
  connection_t* c = stream->data;
  ssize_t i;

  if (size < 0) {
    drop(c);
    return;
  }
  for (i = 0; i < size; i++) {
    c->begun = 1;
    if (buf->base[i] == END[c->matched])
      c->matched++;
    else
      c->matched = buf->base[i] == END[0];
    if (c->matched == sizeof(END) - 1) {
      c->matched = c->begun = 0;
      c->waiting++;
    }
  }
  if (size > 0)
    uvsig_shutdown_connection_busy(&c->tracked);
  if (c->waiting > 0 && !c->writing && !c->last)
    answer_next(c);
}

static void finish(connection_t* c) {
  c->last = 1;
  uvsig_shutdown_linger(
      &c->tracked, (uv_stream_t*) &c->tcp, on_connection_closed);
}

static void finish_idle(connection_t* c) {
  if (!c->begun && c->waiting == 0 && !c->writing)
    finish(c);
}

/* Of those that are idle when draining begins some send their next request at
 * this moment. Where others serve, none may fail: it is answered, and told to
 * be the last (UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE; with _SPREAD some would
 * still fail). Where this is the end of the service they are closed, or it
 * would last as long as the idlest client lets it. */
static void on_event(uvsig_shutdown_connection_t* tracked,
                     uvsig_shutdown_event_t event) {
  if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    finish(tracked->data);
  else if (!self.replaced)
    finish_idle(tracked->data);
}

static void on_connection(uv_stream_t* listener, int status) {
  connection_t* c;

  if (status < 0 || (c = calloc(1, sizeof(*c))) == NULL)
    return;
  if (uv_tcp_init(loop, &c->tcp) != 0) {
    free(c);
    return;
  }
  c->tcp.data = c->tracked.data = c;
  if (uv_accept(listener, (uv_stream_t*) &c->tcp) != 0 ||
      uvsig_shutdown_add_connection(&shutdown_, &c->tracked, on_event) != 0 ||
      uv_read_start((uv_stream_t*) &c->tcp, on_alloc, on_bytes) != 0)
    drop(c);
}

static void on_draining(uvsig_shutdown_listener_t* listener) {
  uv_close((uv_handle_t*) listener->stream, NULL);
}

static void on_worker_phase(uvsig_shutdown_t* sd,
                            uvsig_shutdown_phase_t phase) {
  (void) sd;
  if (phase == UVSIG_SHUTDOWN_DONE)
    uv_close((uv_handle_t*) &self.parent, NULL);
}

static void on_handle(uv_handle_t* handle, void* arg) {
  (void) arg;
  if (handle->type == UV_TCP && handle->data != NULL)
    finish_idle(handle->data);
}

static void on_worker_signal(uvsig_watcher_t* w,
                             int signum,
                             const uvsig_info_t* info) {
  (void) w;
  (void) info;
  if (signum == SIGUSR1) {
    say("Worker %d: %lu requests\n", getpid(), self.requests);
  } else if (signum == SIGUSR2) {
    self.replaced = 1;
    uvsig_shutdown_request(&shutdown_, "replaced", UVSIG_SHUTDOWN_GRACEFUL);
  } else if (self.replaced) { /* SIGTERM, which the shutdown has, too */
    self.replaced = 0;
    uv_walk(loop, on_handle, NULL); /* what SIGUSR2 has spared */
  }
}

/* It never writes: this is its end. */
static void on_parent(uv_stream_t* parent, ssize_t size, const uv_buf_t* buf) {
  (void) buf;
  if (size >= 0)
    return;
  uv_read_stop(parent);
  uvsig_shutdown_request(&shutdown_, "no parent", UVSIG_SHUTDOWN_GRACEFUL);
}

static int open_worker(void) {
  uvsig_shutdown_options_t options;
  uv_buf_t ready = uv_buf_init((char[]){'+'}, 1);
  uv_stream_t* listener = (uv_stream_t*) &self.tcp;
  uv_stream_t* parent = (uv_stream_t*) &self.parent;

  /* The terminal's are for the parent, which says what is to be done. */
  uvsig_ignore(SIGINT);
  uvsig_ignore(SIGHUP);
  uvsig_ignore(SIGPIPE); /* a client has gone: UV_EPIPE says so */
  uvsig_shutdown_options_init(&options);
  sigemptyset(&options.graceful);
  sigaddset(&options.graceful, SIGTERM);
  options.forced_count = options.exit_count = 0; /* the parent has SIGKILL */
  options.grace_ms = settings.grace * 1000;
  options.hard_ms = MARGIN_MS;
  options.idle = UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE; /* see on_event() */
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.notify = 0; /* the service is the parent */
  options.phase_cb = on_worker_phase;
  return failed(uvsig_shutdown_init(&sig, &shutdown_, &options), "shutdown") ||
         failed(watch(&on_usr1, on_worker_signal, SIGUSR1), "SIGUSR1") ||
         failed(watch(&on_usr2, on_worker_signal, SIGUSR2), "SIGUSR2") ||
         failed(watch(&on_term, on_worker_signal, SIGTERM), "SIGTERM") ||
         failed(uv_tcp_init(loop, &self.tcp), "uv_tcp_init") ||
         failed(uv_tcp_open(&self.tcp, LISTENER_FD), "uv_tcp_open") ||
         failed(uvsig_shutdown_add_listener(
                    &shutdown_, &self.listener, listener, on_draining),
                "uvsig_shutdown_add_listener") ||
         failed(uv_listen(listener, SOMAXCONN, on_connection), "uv_listen") ||
         failed(uv_pipe_init(loop, &self.parent, 0), "uv_pipe_init") ||
         failed(uv_pipe_open(&self.parent, PARENT_FD), "uv_pipe_open") ||
         failed(uv_read_start(parent, on_alloc, on_parent), "uv_read_start") ||
         failed(uv_try_write(parent, &ready, 1), "uv_try_write");
}

int be_worker(void) {
  int closes;

  for (closes = 0; closes < 2; closes++)
    snprintf(self.answer[closes],
             sizeof(self.answer[closes]),
             "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n%s\r\n%10d\n",
             closes ? "Connection: close\r\n" : "",
             getpid());
  if (open_worker() != 0)
    return EXIT_FAILURE;
  uv_unref((uv_handle_t*) &self.parent); /* nothing that a shutdown waits for */
  return run_and_exit();
}
