/* SPDX-License-Identifier: MIT
 *
 * The connections of a worker. Each request is answered with the worker's pid;
 * once a shutdown has begun the answer says that it is the last. */
#include "prefork.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A client that asks again sooner than this has its next answer, which says
 * that it is the last. A connection that is idle for longer is closed. */
enum { QUIET_MS = 1000 };

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

static char answers[2][128]; /* the second with "Connection: close" */
unsigned long http_requests;

void http_init(void) {
  int i;

  for (i = 0; i < 2; i++)
    snprintf(answers[i],
             sizeof(answers[i]),
             "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n%s\r\n%10d\n",
             i == 1 ? "Connection: close\r\n" : "",
             getpid());
}

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
  buf = uv_buf_init(answers[c->last], strlen(answers[c->last]));
  c->waiting--;
  c->writing = 1;
  c->write.data = c;
  http_requests++;
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

void http_on_connection(uv_stream_t* listener, int status) {
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

void http_end_quiet(void) {
  uv_walk(loop, end_if_quiet, NULL);
}
