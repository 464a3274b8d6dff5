/* SPDX-License-Identifier: MIT
 *
 * An echo server that finishes what it has begun. Its connections are tracked
 * by a uvsig_shutdown_t: each is busy from the first byte of a line until the
 * end of the line has been sent back, and idle between lines.
 *
 * Run it, and in two other terminals `nc 127.0.0.1 7777`. Type half a line and
 * Ctrl-D in one of them, then press Ctrl-C here: the other one ends at once,
 * that one with the end of its line. You should see "SIGINT: finishing" and
 * "2 closed, 0 forced, 0 cut", and `echo $?` should print 130. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uvsig.h>

typedef struct {
  union uv_any_handle handle; /* a uv_tcp_t or a uv_pipe_t */
  uvsig_shutdown_connection_t connection;
  uv_write_t write;
  char buffer[4096]; /* read into, or being sent back */
  int at_end;        /* of a line */
  int draining;      /* no other line */
  int closing;
} client_t;

static uv_loop_t* loop;
static uvsig_t sig;
static uvsig_shutdown_t sd;

static int failed(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "echo-server: %s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* --- Clients -------------------------------------------------------------- */

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buf);

static void on_closed(uv_handle_t* handle) {
  free(handle->data);
}

static void hang_up(client_t* c) {
  c->closing = 1; /* from here on, the library reads */
  failed(uvsig_shutdown_linger(&c->connection, &c->handle.stream, on_closed),
         "uvsig_shutdown_linger");
}

static void on_event(uvsig_shutdown_connection_t* connection,
                     uvsig_shutdown_event_t event) {
  client_t* c = connection->data;

  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    c->draining = 1; /* this protocol has no goodbye */
  else
    hang_up(c);
}

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  client_t* c = handle->data;

  (void) size;
  *buf = uv_buf_init(c->buffer, sizeof(c->buffer));
}

static void on_written(uv_write_t* write, int status) {
  client_t* c = write->data;

  if (c->closing)
    return;
  if (status == 0 && c->at_end)
    status = uvsig_shutdown_connection_idle(&c->connection);
  if (status == 0 && !(c->at_end && c->draining))
    status = uv_read_start(&c->handle.stream, on_alloc, on_read);
  if (status < 0)
    hang_up(c);
}

/* Reads no more until this is sent: who does not read is not read from. */
static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buf) {
  client_t* c = stream->data;
  uv_buf_t part = uv_buf_init(buf->base, size > 0 ? (unsigned) size : 0);
  char* end = c->draining ? memchr(part.base, '\n', part.len) : NULL;

  if (size == 0)
    return;
  if (end != NULL)
    part.len = (size_t) (end - part.base + 1);
  if (size > 0) {
    uv_read_stop(stream);
    c->at_end = part.base[part.len - 1] == '\n';
    c->write.data = c;
  }
  if (size < 0 || /* UV_EOF, for example */
      failed(uvsig_shutdown_connection_busy(&c->connection), "busy") ||
      failed(uv_write(&c->write, stream, &part, 1, on_written), "uv_write"))
    hang_up(c);
}

/* --- Listeners ------------------------------------------------------------ */

static int init(union uv_any_handle* handle, uv_handle_type type) {
  return type == UV_TCP ? uv_tcp_init(loop, &handle->tcp)
                        : uv_pipe_init(loop, &handle->pipe, 0);
}

static void on_connection(uv_stream_t* listener, int status) {
  client_t* c;

  if (failed(status, "connection"))
    return;
  c = calloc(1, sizeof(*c));
  if (c == NULL || failed(init(&c->handle, listener->type), "uv_*_init")) {
    free(c);
    uvsig_shutdown_request(&sd, "no memory", UVSIG_SHUTDOWN_GRACEFUL);
    return;
  }
  c->handle.handle.data = c->connection.data = c;
  if (failed(uv_accept(listener, &c->handle.stream), "uv_accept") ||
      failed(uvsig_shutdown_add_connection(&sd, &c->connection, on_event),
             "uvsig_shutdown_add_connection"))
    uv_close(&c->handle.handle, on_closed);
  else if (failed(uv_read_start(&c->handle.stream, on_alloc, on_read), "read"))
    hang_up(c);
}

/* `path`: NULL for TCP. The coordinator closes what it was given, also after a
 * failure; that removes a pipe's file. */
static int listen_at(const char* path, int port) {
  static uvsig_shutdown_listener_t listeners[2];
  static union uv_any_handle handles[2];
  union uv_any_handle* h = &handles[path != NULL];
  struct sockaddr_in address;
  int size = sizeof(address);
  int err;

  if (failed(init(h, path == NULL ? UV_TCP : UV_NAMED_PIPE), "uv_*_init"))
    return 1;
  err = uvsig_shutdown_add_listener(
      &sd, &listeners[path != NULL], &h->stream, NULL);
  if (err < 0) {
    uv_close(&h->handle, NULL);
    return err != UV_ECANCELED; /* which a signal has done */
  }
  if (path != NULL ? failed(uv_pipe_bind(&h->pipe, path), path)
                   : failed(uv_ip4_addr("127.0.0.1", port, &address), "port") ||
                         failed(uv_tcp_bind(&h->tcp, (void*) &address, 0),
                                "uv_tcp_bind"))
    return 1;
  if (failed(uv_listen(&h->stream, SOMAXCONN, on_connection), "uv_listen"))
    return 1;
  if (path != NULL)
    return printf("Serving on %s\n", path) < 0;
  return failed(uv_tcp_getsockname(&h->tcp, (void*) &address, &size),
                "uv_tcp_getsockname") ||
         printf("Serving on 127.0.0.1:%d\n", ntohs(address.sin_port)) < 0;
}

/* --- The server ----------------------------------------------------------- */

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  const uvsig_shutdown_report_t* report = &shutdown->report;

  if (phase == UVSIG_SHUTDOWN_DRAINING)
    printf("%s: finishing\n", report->reason);
  if (phase == UVSIG_SHUTDOWN_FORCING)
    puts("time is up");
  if (phase == UVSIG_SHUTDOWN_DONE)
    printf("%u closed, %u forced, %u cut\n",
           report->closed,
           report->forced,
           report->cut);
  fflush(stdout);
}

/* A port, or milliseconds. */
static int number(const char* text) {
  char* end;
  unsigned long value = strtoul(text, &end, 10);

  if (*text >= '0' && *text <= '9' && *end == '\0' && value <= 65535)
    return (int) value;
  fprintf(stderr, "echo-server: '%s' is not between 0 and 65535\n", text);
  exit(2);
}

int main(int argc, char** argv) {
  static const struct option longopts[] = {
      {"grace", required_argument, NULL, 'g'}, /* milliseconds, 8,000 */
      {"hard", required_argument, NULL, 'h'},  /* milliseconds, 1,000 */
      {"pipe", required_argument, NULL, 'u'},  /* a path: listen there, too */
      {"port", required_argument, NULL, 'p'},  /* 7777; 0: a free one */
      {NULL, 0, NULL, 0}};
  uvsig_shutdown_options_t options;
  const char* path = NULL;
  int port = 7777, status = 0, c;

  uvsig_shutdown_options_init(&options);
  options.phase_cb = on_phase;
  while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1)
    if (c == 'g')
      options.grace_ms = (unsigned) number(optarg);
    else if (c == 'h')
      options.hard_ms = (unsigned) number(optarg);
    else if (c == 'p')
      port = number(optarg);
    else if (c == 'u')
      path = optarg;
    else
      return 2;

  /* Signals before listeners: a SIGTERM that comes now is not lost. A client
   * that hangs up must not be the end, either. */
  loop = uv_default_loop();
  if (failed(uvsig_ignore(SIGPIPE), "uvsig_ignore") ||
      failed(uvsig_init(loop, &sig, NULL), "uvsig_init") ||
      failed(uvsig_shutdown_init(&sig, &sd, &options), "uvsig_shutdown_init"))
    return 1;
  if (listen_at(NULL, port) || (path != NULL && listen_at(path, 0)) ||
      fflush(stdout) != 0) {
    status = 1;
    uvsig_shutdown_request(&sd, "not started", UVSIG_SHUTDOWN_GRACEFUL);
  } else {
    uvsig_shutdown_ready(&sd); /* a shutdown may have begun; that is no error */
  }

  uv_run(loop, UV_RUN_DEFAULT); /* until everything is closed */
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    status = 1;
  c = uvsig_shutdown_exit(&sd); /* by the signal: does not return */
  return status != 0 ? status : c;
}
