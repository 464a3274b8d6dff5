/* SPDX-License-Identifier: MIT
 *
 * An echo server that finishes what it has begun. Its connections are tracked
 * by a uvsig_shutdown_t: each is busy from the first byte of a line until the
 * end of the line has been sent back, and idle between lines.
 *
 * Run it, and in two other terminals `nc 127.0.0.1 7777`. Type half a line and
 * Ctrl-D in one of them, then press Ctrl-C here: the other one ends at once,
 * that one with the end of its line. You should see "SIGINT: finishing" and
 * "SIGINT: 2 closed, 0 forced, 0 cut", and `echo $?` should print 130. `kill
 * -USR2` it instead: a successor serves at once, and it finishes. */
#include "common.h"
#include "pid-file.h"
#include "successor.h"
#include "unix-socket.h"

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
} client_t;

const char* const program = "echo-server";
static uvsig_t sig;
static uvsig_shutdown_t sd;
static const char* pid_path;
static pid_file_t pid_file; /* of the one that serves */
static int is_draining;     /* no other line; this protocol has no goodbye */

/* --- Clients -------------------------------------------------------------- */

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buf);

static void on_closed(uv_handle_t* handle) {
  free(handle->data);
}

/* The library may have done so before. */
static void hang_up(client_t* c) {
  uvsig_shutdown_linger(&c->connection, &c->handle.stream, on_closed);
}

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  client_t* c = handle->data;

  (void) size;
  *buf = uv_buf_init(c->buffer, sizeof(c->buffer));
}

static void on_written(uv_write_t* write, int status) {
  client_t* c = write->handle->data;

  if (status == 0) /* both fail where the connection is being closed */
    status = c->at_end ? uvsig_shutdown_connection_idle(&c->connection)
                       : uvsig_shutdown_connection_busy(&c->connection);
  if (status == 0 && !(c->at_end && is_draining))
    status = uv_read_start(&c->handle.stream, on_alloc, on_read);
  if (status < 0)
    hang_up(c);
}

/* Reads no more until this is sent: who does not read is not read from. */
static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buf) {
  client_t* c = stream->data;
  uv_buf_t part = uv_buf_init(buf->base, size > 0 ? (unsigned) size : 0);
  char* end = is_draining ? memchr(part.base, '\n', part.len) : NULL;

  if (size == 0)
    return;
  if (end != NULL)
    part.len = (size_t) (end - part.base + 1);
  if (size > 0) {
    uv_read_stop(stream);
    c->at_end = part.base[part.len - 1] == '\n';
  }
  if (size < 0 || /* UV_EOF, for example */
      failed(uvsig_shutdown_connection_busy(&c->connection), "busy") ||
      failed(uv_write(&c->write, stream, &part, 1, on_written), "uv_write"))
    hang_up(c);
}

/* --- Listeners ------------------------------------------------------------ */

static int init(union uv_any_handle* handle, uv_handle_type type) {
  return type == UV_TCP ? uv_tcp_init(sig.loop, &handle->tcp)
                        : uv_pipe_init(sig.loop, &handle->pipe, 0);
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
  c->handle.handle.data = c;
  if (failed(uv_accept(listener, &c->handle.stream), "uv_accept") ||
      failed(uvsig_shutdown_add_stream(
                 &sd, &c->connection, &c->handle.stream, on_closed),
             "uvsig_shutdown_add_stream"))
    uv_close(&c->handle.handle, on_closed);
  else if (failed(uv_read_start(&c->handle.stream, on_alloc, on_read), "read"))
    hang_up(c);
}

static void on_no_upgrade(void) {
  refused(pid_file_take_back(&pid_file), pid_path);
}

/* A signal may have begun a shutdown; that is no error. */
static int start(unsigned port, const char* path, unsigned settle_ms) {
  const char* what = "port";
  int err = successor_listen(&sd, port, on_connection);

  if (err == 0 && path != NULL)
    err = unix_socket_listen(&sd, what = path, on_connection);
  if (err == 0)
    err = successor_start(&sd, settle_ms, on_no_upgrade);
  if (err != 0)
    return err != UV_ECANCELED && failed(err, what);
  if (pid_path != NULL && refused(pid_file_open(&pid_file, pid_path), pid_path))
    return 1;
  printf("Serving on %s\n", successor_address());
  if (path != NULL)
    printf("Serving on %s\n", path);
  err = fflush(stdout); /* before the service manager hears of it */
  uvsig_shutdown_ready(&sd);
  return err;
}

/* --- The server ----------------------------------------------------------- */

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  const uvsig_shutdown_report_t* report = &shutdown->report;

  is_draining = phase >= UVSIG_SHUTDOWN_DRAINING;
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    printf("%s: finishing\n", report->reason);
  if (phase == UVSIG_SHUTDOWN_FORCING)
    puts("time is up");
  if (phase == UVSIG_SHUTDOWN_DONE)
    printf("%s: %u closed, %u forced, %u cut\n",
           report->reason,
           report->closed,
           report->forced,
           report->cut);
  fflush(stdout);
}

int main(int argc, char** argv) {
  static const char about[] = "Send lines back until SIGINT or SIGTERM.\n"
                              "SIGUSR2 upgrades it.\n";
  uvsig_shutdown_options_t options;
  const char* path = NULL;
  unsigned port = 7777, life_ms = 1000;
  const option_t table[] = {
      {"address", "ADDRESS", "of the port (127.0.0.1)", &successor_host, NULL},
      {"grace", SECONDS, "wait so long for lines (8)", NULL, &options.grace_ms},
      {"hard", SECONDS, "then exit within so long (1)", NULL, &options.hard_ms},
      {"pid-file", "FILE", "keep another one out (none)", &pid_path, NULL},
      {"pipe", "PATH", "listen at this UNIX socket, too", &path, NULL},
      {"port", "PORT", "listen there (7777); 0: a free one", NULL, &port},
      {"settle", SECONDS, "a successor must live so long (1)", NULL, &life_ms},
      {NULL, NULL, NULL, NULL, NULL}};
  int status, c;

  uvsig_shutdown_options_init(&options);
  options.phase_cb = on_phase;
  c = read_options(argc, argv, about, table);
  if (c >= 0)
    return c;

  /* Signals before listeners: a SIGTERM that comes now is not lost. A client
   * that hangs up must not be the end, either. */
  if (failed(uvsig_ignore(SIGPIPE), "uvsig_ignore") ||
      failed(uvsig_init(uv_default_loop(), &sig, NULL), "uvsig_init") ||
      failed(uvsig_shutdown_init(&sig, &sd, &options), "uvsig_shutdown_init"))
    return 1;
  status = start(port, path, life_ms) != 0;
  if (status != 0)
    uvsig_shutdown_request(&sd, "cannot start", UVSIG_SHUTDOWN_GRACEFUL);
  uv_run(sig.loop, UV_RUN_DEFAULT); /* until everything is closed */
  refused(pid_file_remove(&pid_file), pid_path);
  status |= failed(uv_loop_close(sig.loop), "uv_loop_close");
  c = uvsig_shutdown_exit(&sd); /* by the signal: does not return */
  return status != 0 ? status : c;
}
