/* SPDX-License-Identifier: MIT
 *
 * A server of several processes. The parent owns the listener and serves
 * nothing: it keeps so many workers, starts another one where one has died, and
 * hands signals on: prefork-pool.c. Each worker accepts from the same listener,
 * and answers each request with its pid: prefork-worker.c.
 *
 * Run it, and `curl` the address that it names. `kill -HUP` it: you should see
 * new workers serve, the old ones go, and "Replaced". `kill -USR1` it: each
 * worker says what it has done. `kill -USR2` it: a new parent starts workers of
 * its own, with the same listener, and the old ones go. Press Ctrl-C: the
 * workers finish and go, then it does, a line says how, and `echo $?` should
 * print 130.
 *
 * The listener is shared, rather than one with SO_REUSEPORT for each worker:
 * such a one has a queue of its own, and what waits in it is reset when it is
 * closed. In the shared one it waits for another worker. */
#include "prefork.h"
#include "successor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, MOST_WORKERS = 1000 };

const char* const program = "prefork";
struct settings settings = {0, 4, 10000, 1000};

uv_loop_t* loop;
uvsig_t sig;
uvsig_shutdown_t sd;

/* --- For both ------------------------------------------------------------- */

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

/* Not before: a predecessor goes when it hears it. */
static void on_serving(void) {
  if (!uvsig_shutdown_is_ready(&sd) && uvsig_shutdown_ready(&sd) == 0)
    printf("Serving on %s\n", successor_address());
}

/* The listener is closed here before the workers are told. The last one to close
 * it then is one that accepts: what comes while this one has it alone would wait
 * in the queue, and be reset. */
static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    successor_close();
  pool_on_phase(shutdown, phase);
}

static int be_parent(void) {
  uvsig_shutdown_options_t options;
  int err;

  uvsig_shutdown_options_init(&options);
  /* A worker forces by itself, before: it is killed only if it is stuck. */
  options.grace_ms = settings.grace_ms + 2 * MARGIN_MS;
  options.phase_cb = on_phase;
  options.log = 1;
  options.notify = 2; /* a worker does not speak for the service */
  if (pool_init() != 0 ||
      failed(uvsig_shutdown_init(&sig, &sd, &options), "shutdown"))
    return EXIT_FAILURE;
  err = successor_listen(&sd, settings.port, NULL);
  if (err == 0)
    err = successor_start(&sd, settings.settle_ms, NULL);
  if (err == 0)
    err = pool_start(successor_fd(), on_serving);
  if (err != UV_ECANCELED && failed(err, "cannot start"))
    return EXIT_FAILURE;
  return run_and_exit();
}

/* A worker's first argument says so: it is the parent that starts it. */
int main(int argc, char** argv) {
  static const char about[] =
      "Answer HTTP requests, in several processes. SIGHUP replaces them,\n"
      "SIGUSR1 has them say what they have done, SIGUSR2 upgrades it, SIGINT\n"
      "and SIGTERM end it.\n";
  static const option_t table[] = {
      {"address", "ADDRESS", "of the port (127.0.0.1)", &successor_host, NULL},
      {"grace",
       SECONDS,
       "wait so long for clients (10)",
       NULL,
       &settings.grace_ms},
      {"port", "PORT", "listen there (0: a free one)", NULL, &settings.port},
      {"settle",
       SECONDS,
       "a successor must live so long (1)",
       NULL,
       &settings.settle_ms},
      {"workers", "N", "start so many processes (4)", NULL, &settings.workers},
      {NULL, NULL, NULL, NULL, NULL}};
  int is_worker = argc > 1 && strcmp(argv[1], "worker") == 0;
  int status = read_options(argc - is_worker, argv + is_worker, about, table);

  if (status >= 0)
    return status;
  if (settings.workers < 1 || settings.workers > MOST_WORKERS) {
    refused("is not between 1 and 1000", "--workers");
    return EXIT_USAGE;
  }
  setvbuf(stdout, NULL, _IOLBF, 0); /* a line at once, also to a pipe */
  loop = uv_default_loop();
  /* Who reads the output, or a client, may go: a write fails, and says so. */
  if (failed(uvsig_ignore(SIGPIPE), "SIGPIPE") ||
      failed(uvsig_init(loop, &sig, NULL), "uvsig_init"))
    return EXIT_FAILURE;
  return is_worker ? be_worker() : be_parent();
}
