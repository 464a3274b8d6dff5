/* SPDX-License-Identifier: MIT
 *
 * A server of several processes. The parent owns the listener and serves
 * nothing: it keeps so many workers, starts another one where one has died, and
 * hands signals on: prefork-pool.c. Each worker accepts from the same listener,
 * and answers each request with its pid: prefork-worker.c.
 *
 * Run it, and `curl` the address that it names. `kill -HUP` it: you should see
 * new workers serve, the old ones go, and "Replaced". `kill -USR1` it: each
 * worker says what it has done. Press Ctrl-C: the workers finish and go, then
 * it does, a line says how, and `echo $?` should print 130.
 *
 * The listener is shared, rather than one with SO_REUSEPORT for each worker:
 * such a one has a queue of its own, and what waits in it is reset when it is
 * closed. In the shared one it waits for another worker. */

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prefork.h"

enum { EXIT_USAGE = 2 };

struct settings settings = {0, 4, 10};

uv_loop_t* loop;
uvsig_t sig;
uvsig_shutdown_t sd;

/* --- For both ------------------------------------------------------------- */

int failed(int err, const char* what) {
  if (err < 0 && err != UV_ECANCELED) /* told to end before it served */
    fprintf(stderr, "prefork %d: %s: %s\n", getpid(), what, uv_strerror(err));
  return err < 0;
}

void say(const char* format, ...) {
  va_list args;

  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  fflush(stdout);
}

int watch(uvsig_watcher_t* w, uvsig_watcher_cb cb, int signum) {
  int err = uvsig_watcher_init(&sig, w);

  return err != 0 ? err : uvsig_watcher_start(w, cb, signum);
}

void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  static char bytes[65536]; /* read, and done with at return */

  (void) handle;
  (void) size;
  *buf = uv_buf_init(bytes, sizeof(bytes));
}

int run_and_exit(void) {
  uv_run(loop, UV_RUN_DEFAULT);
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    return EXIT_FAILURE;
  return uvsig_shutdown_exit(&sd);
}

/* --- The parent ----------------------------------------------------------- */

static struct {
  uv_tcp_t tcp;
  uvsig_shutdown_listener_t tracked;
} listener;

static void on_serving(void) {
  struct sockaddr_in address;
  int size = sizeof(address);

  if (uvsig_shutdown_is_ready(&sd) || uvsig_shutdown_ready(&sd) != 0)
    return;
  uv_tcp_getsockname(&listener.tcp, (struct sockaddr*) &address, &size);
  say("Serving on 127.0.0.1:%d\n", ntohs(address.sin_port));
}

/* Not uv_listen(), which would accept. */
static int open_listener(uv_os_fd_t* fd) {
  struct sockaddr_in address;
  int size = sizeof(address);
  int err = uv_tcp_init(loop, &listener.tcp);

  if (err != 0)
    return err;
  err = uvsig_shutdown_add_listener(
      &sd, &listener.tracked, (uv_stream_t*) &listener.tcp, NULL);
  if (err != 0) {
    uv_close((uv_handle_t*) &listener.tcp, NULL);
    return err;
  }
  uv_ip4_addr("127.0.0.1", (int) settings.port, &address);
  err = uv_tcp_bind(&listener.tcp, (struct sockaddr*) &address, 0);
  if (err == 0) /* where the address is in use, this says so */
    err = uv_tcp_getsockname(&listener.tcp, (struct sockaddr*) &address, &size);
  if (err == 0)
    err = uv_fileno((uv_handle_t*) &listener.tcp, fd);
  if (err == 0 && listen(*fd, SOMAXCONN) != 0)
    err = uv_translate_sys_error(errno);
  return err;
}

static int be_parent(void) {
  uvsig_shutdown_options_t options;
  uv_os_fd_t fd;
  int err;

  uvsig_shutdown_options_init(&options);
  /* A worker forces by itself, before: it is killed only if it is stuck. */
  options.grace_ms = settings.grace * 1000 + 2 * MARGIN_MS;
  options.phase_cb = pool_on_phase;
  options.log = 1;
  options.notify = 2; /* a worker does not speak for the service */
  if (pool_init() != 0 ||
      failed(uvsig_shutdown_init(&sig, &sd, &options), "shutdown"))
    return EXIT_FAILURE;
  err = open_listener(&fd);
  if (err == 0)
    err = pool_start(fd, on_serving);
  if (failed(err, "not started") && err != UV_ECANCELED)
    return EXIT_FAILURE;
  return run_and_exit();
}

/* --- Options -------------------------------------------------------------- */

static int help(FILE* to, int status) {
  fputs("Usage: prefork [--workers=N] [--port=N] [--grace=SECONDS]\n"
        "Answer HTTP requests on 127.0.0.1, in several processes.\n"
        "\n"
        "  --workers=N      so many (4)\n"
        "  --port=N         listen there (0: a free one)\n"
        "  --grace=SECONDS  wait so long for clients to end (10)\n"
        "  --help           print this\n"
        "\n"
        "SIGHUP replaces the workers, SIGUSR1 has them say what they have\n"
        "done, SIGINT and SIGTERM end it.\n",
        to);
  return status;
}

static int parse_number(const char* text, long most, unsigned* number) {
  char* end;
  long value = strtol(text, &end, 10);

  if (*text == '\0' || *end != '\0' || value < 0 || value > most)
    return -1;
  *number = (unsigned) value;
  return 0;
}

int main(int argc, char** argv) {
  static const struct option options[] = {
      {"grace", required_argument, NULL, 'g'},
      {"help", no_argument, NULL, 'h'},
      {"port", required_argument, NULL, 'p'},
      {"workers", required_argument, NULL, 'n'},
      {"worker", no_argument, NULL, 'w'}, /* started by the parent */
      {NULL, 0, NULL, 0}};
  int option, err = 0, is_worker = 0;

  while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
    if (option == 'g')
      err |= parse_number(optarg, 86400, &settings.grace);
    else if (option == 'p')
      err |= parse_number(optarg, 65535, &settings.port);
    else if (option == 'n')
      err |= parse_number(optarg, 1000, &settings.workers);
    else if (option == 'w')
      is_worker = 1;
    else if (option == 'h')
      return help(stdout, EXIT_SUCCESS);
    else
      err = -1;
  }
  if (err != 0 || optind != argc || settings.workers == 0)
    return help(stderr, EXIT_USAGE);
  loop = uv_default_loop();
  if (failed(uvsig_init(loop, &sig, NULL), "uvsig_init"))
    return EXIT_FAILURE;
  return is_worker ? be_worker() : be_parent();
}
