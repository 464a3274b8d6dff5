/* SPDX-License-Identifier: MIT
 *
 * A server of several processes. The parent owns the listener and serves
 * nothing: it keeps so many workers, starts another one where one has died, and
 * hands signals on. Each worker accepts from the same listener, and answers
 * each request with its pid: prefork-worker.c.
 *
 * Run it, and `curl` the address that it names. `kill -HUP` it: you should see
 * new workers serve, the old ones go, and "Replaced". `kill -USR1` it: each
 * worker says what it has done. Press Ctrl-C: the workers finish and go, then
 * it does, and `echo $?` should print 130.
 *
 * The listener is shared, rather than one with SO_REUSEPORT for each worker:
 * such a one has a queue of its own, and what waits in it is reset when it is
 * closed. In the shared one it waits for another worker. */

#define _GNU_SOURCE 1 /* SOCK_CLOEXEC, SOCK_NONBLOCK */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "prefork.h"

enum {
  EXIT_USAGE = 2,
  QUICK_MS = 1000, /* a worker that dies younger is not replaced at once */
  LEAST_PAUSE_MS = 100,
  MOST_PAUSE_MS = 10000
};

struct settings settings = {0, 4, 10};

uv_loop_t* loop;
uvsig_t sig;
uvsig_shutdown_t shutdown_;

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

int run_and_exit(void) {
  uv_run(loop, UV_RUN_DEFAULT);
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    return EXIT_FAILURE;
  return uvsig_shutdown_exit(&shutdown_);
}

void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  static char bytes[65536]; /* read, and done with at return */

  (void) handle;
  (void) size;
  *buf = uv_buf_init(bytes, sizeof(bytes));
}

/* --- The parent ----------------------------------------------------------- */

typedef struct worker_s worker_t;

struct worker_s {
  uv_process_t process;
  uv_pipe_t pipe; /* a byte comes when it serves; it sees the end of ours */
  uvsig_shutdown_child_t child;
  uint64_t since;
  int serves;
  int old; /* to go when the new ones serve */
  int closed;
  worker_t* next;
};

static uvsig_watcher_t on_usr1;

static struct {
  worker_t* workers;
  int listener;
  enum { NOT_REPLACING, STARTING_NEW, ENDING_OLD } replacing;
  uint64_t pause;      /* before the next worker is started */
  uv_timer_t starting; /* it goes on when the pause is over */
  uv_timer_t ending;   /* how long the old ones may take */
  uvsig_shutdown_listener_t tracked;
  uvsig_reload_t reload;
  char address[64];
  char program[4096];
} server;

static void on_worker_closed(uv_handle_t* handle) {
  worker_t* w = handle->data;

  if (w->closed++ == 1) /* the other of its handles */
    free(w);
}

static void forget(worker_t* w) {
  worker_t** link = &server.workers;

  while (*link != NULL && *link != w)
    link = &(*link)->next;
  if (*link != NULL)
    *link = w->next;
  uvsig_shutdown_remove_child(&w->child);
  uv_close((uv_handle_t*) &w->process, on_worker_closed);
  uv_close((uv_handle_t*) &w->pipe, on_worker_closed);
}

static void signal_old(int signum) {
  worker_t* w;

  for (w = server.workers; w != NULL; w = w->next)
    if (w->old)
      uv_process_kill(&w->process, signum);
}

static void on_stuck(uv_timer_t* timer) {
  (void) timer;
  signal_old(SIGKILL);
}

static void finish_replacing(void) {
  if (server.replacing == NOT_REPLACING)
    return;
  server.replacing = NOT_REPLACING;
  uv_timer_stop(&server.ending);
  uvsig_reload_finish(&server.reload);
}

/* Go on with what has waited for a worker to serve or to go. The old ones are
 * told to go when all the new ones serve: should those not even start, the old
 * ones stay. */
static void settle(void) {
  unsigned old = 0, serving = 0;
  worker_t* w;

  for (w = server.workers; w != NULL; w = w->next) {
    old += w->old;
    serving += !w->old && w->serves;
  }
  if (serving < settings.workers)
    return;
  if (server.address[0] != '\0' && uvsig_shutdown_ready(&shutdown_) == 0) {
    say("Serving on %s\n", server.address);
    server.address[0] = '\0';
  }
  if (server.replacing == STARTING_NEW) {
    server.replacing = ENDING_OLD;
    signal_old(SIGUSR2);
    uv_timer_start(
        &server.ending, on_stuck, settings.grace * 1000ull + 2 * MARGIN_MS, 0);
  }
  if (server.replacing == ENDING_OLD && old == 0) {
    say("Replaced\n");
    finish_replacing();
  }
}

static void fill(uv_timer_t* timer);

/* Not in a tight loop, if they die at once. */
static void pause_and_fill(uint64_t age) {
  if (age >= QUICK_MS)
    server.pause = 0;
  else if (server.pause == 0)
    server.pause = LEAST_PAUSE_MS;
  else if (server.pause < MOST_PAUSE_MS / 2)
    server.pause *= 2;
  else
    server.pause = MOST_PAUSE_MS;
  if (!uv_is_active((uv_handle_t*) &server.starting))
    uv_timer_start(&server.starting, fill, server.pause, 0);
}

static void on_ended(uv_process_t* process, int64_t status, int signum) {
  worker_t* w = process->data;
  int is_missed =
      !w->old && uvsig_shutdown_phase(&shutdown_) == UVSIG_SHUTDOWN_RUNNING;

  (void) status;
  (void) signum;
  say("Worker %d has gone\n", process->pid);
  if (is_missed)
    pause_and_fill(uv_now(loop) - w->since);
  forget(w);
  settle();
}

static void on_worker(uv_stream_t* pipe, ssize_t size, const uv_buf_t* buf) {
  worker_t* w = pipe->data;

  (void) buf;
  if (size == 0)
    return;
  uv_read_stop(pipe);
  if (size < 0)
    return; /* its end will be told of */
  w->serves = 1;
  say("Worker %d serves\n", w->process.pid);
  settle();
}

static int start_worker(void) {
  uv_stdio_container_t stdio[] = {
      {.flags = UV_IGNORE},
      {.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
      {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
      {.flags = UV_INHERIT_FD, .data.fd = server.listener},
      {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE}};
  char role[] = "--worker", grace[32];
  char* args[] = {server.program, role, grace, NULL};
  uv_process_options_t options = {.exit_cb = on_ended,
                                  .file = server.program,
                                  .args = args,
                                  .stdio = stdio,
                                  .stdio_count = PARENT_FD + 1};
  worker_t* w = calloc(1, sizeof(*w));
  int err;

  if (w == NULL)
    return UV_ENOMEM;
  snprintf(grace, sizeof(grace), "--grace=%u", settings.grace);
  stdio[PARENT_FD].data.stream = (uv_stream_t*) &w->pipe;
  uv_pipe_init(loop, &w->pipe, 0);
  w->process.data = w->pipe.data = w;
  w->since = uv_now(loop);
  err = uv_spawn(loop, &w->process, &options);
  if (err != 0) {
    forget(w);
    return err;
  }
  w->next = server.workers;
  server.workers = w;
  uvsig_shutdown_add_child(&shutdown_, &w->child, w->process.pid);
  return uv_read_start((uv_stream_t*) &w->pipe, on_alloc, on_worker);
}

static void fill(uv_timer_t* timer) {
  unsigned count = 0;
  worker_t* w;

  (void) timer;
  if (uvsig_shutdown_phase(&shutdown_) != UVSIG_SHUTDOWN_RUNNING)
    return;
  for (w = server.workers; w != NULL; w = w->next)
    count += !w->old;
  for (; count < settings.workers; count++) {
    if (failed(start_worker(), server.program)) {
      pause_and_fill(0);
      return;
    }
  }
}

static void on_reload(uvsig_reload_t* reload) {
  worker_t* w;

  (void) reload;
  server.replacing = STARTING_NEW;
  for (w = server.workers; w != NULL; w = w->next)
    w->old = 1;
  if (!uv_is_active((uv_handle_t*) &server.starting))
    fill(NULL);
}

/* To those that have a handler: the others would die of it. */
static void on_forwarded(uvsig_watcher_t* watcher,
                         int signum,
                         const uvsig_info_t* info) {
  worker_t* w;

  (void) watcher;
  (void) info;
  for (w = server.workers; w != NULL; w = w->next)
    if (w->serves)
      uv_process_kill(&w->process, signum);
}

static void on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase) {
  (void) sd;
  finish_replacing(); /* all of them go */
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  while (server.workers != NULL)
    forget(server.workers); /* not even SIGKILL has ended it yet */
  uv_close((uv_handle_t*) &server.starting, NULL);
  uv_close((uv_handle_t*) &server.ending, NULL);
  uvsig_reload_stop(&server.reload);
}

static void close_listener(uvsig_shutdown_listener_t* listener) {
  (void) listener;
  close(server.listener);
}

static int open_listener(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int err;

  address.sin_port = htons((uint16_t) settings.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
      bind(fd, (struct sockaddr*) &address, size) != 0 ||
      listen(fd, SOMAXCONN) != 0 ||
      getsockname(fd, (struct sockaddr*) &address, &size) != 0)
    return uv_translate_sys_error(errno);
  snprintf(server.address,
           sizeof(server.address),
           "127.0.0.1:%u",
           ntohs(address.sin_port));
  server.listener = fd;
  err = uvsig_shutdown_add_listener(
      &shutdown_, &server.tracked, NULL, close_listener);
  if (err != 0)
    close(fd);
  return err;
}

/* Returns UV_ECANCELED if it has been told to end meanwhile. */
static int open_service(void) {
  int err = uvsig_reload_init(&shutdown_, &server.reload);

  if (err == 0)
    err = uvsig_reload_start(&server.reload, on_reload, SIGHUP);
  if (err == 0)
    err = watch(&on_usr1, on_forwarded, SIGUSR1);
  return err != 0 ? err : open_listener();
}

static int be_parent(void) {
  uvsig_shutdown_options_t options;
  size_t size = sizeof(server.program);
  int err;

  uvsig_shutdown_options_init(&options);
  /* A worker forces by itself, before: it is killed only if it is stuck. */
  options.grace_ms = settings.grace * 1000 + 2 * MARGIN_MS;
  options.phase_cb = on_phase;
  /* Asked for once: a later release in its place is what SIGHUP starts. */
  if (failed(uv_exepath(server.program, &size), "uv_exepath") ||
      failed(uv_timer_init(loop, &server.starting), "uv_timer_init") ||
      failed(uv_timer_init(loop, &server.ending), "uv_timer_init") ||
      failed(uvsig_shutdown_init(&sig, &shutdown_, &options), "shutdown"))
    return EXIT_FAILURE;
  err = open_service();
  if (err == 0)
    fill(NULL);
  else if (failed(err, "not started") && err != UV_ECANCELED)
    return EXIT_FAILURE;
  return run_and_exit();
}

/* --- Options -------------------------------------------------------------- */

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
    else
      err = -1;
  }
  if (err != 0 || optind != argc || settings.workers == 0) {
    fputs("Usage: prefork [--workers=N] [--port=N] [--grace=SECONDS]\n",
          stderr);
    return EXIT_USAGE;
  }
  loop = uv_default_loop();
  if (failed(uvsig_init(loop, &sig, NULL), "uvsig_init"))
    return EXIT_FAILURE;
  return is_worker ? be_worker() : be_parent();
}
