/* SPDX-License-Identifier: MIT
 *
 * The workers as the parent sees them: it keeps so many, starts another one
 * where one has died, replaces them at SIGHUP, and hands SIGUSR1 on. A shutdown
 * tells them to end, and waits for them. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "prefork.h"

enum {
  QUICK_MS = 1000, /* a worker that dies younger is not replaced at once */
  LEAST_PAUSE_MS = 100,
  MOST_PAUSE_MS = 10000
};

typedef struct worker_s worker_t;

struct worker_s {
  uv_process_t process;
  uv_pipe_t pipe; /* a byte comes when it serves; it sees the end of ours */
  uvsig_shutdown_child_t child;
  uint64_t since;
  int serves;
  int old; /* to go when the new ones serve */
  worker_t* next;
};

static struct {
  worker_t* workers;
  uv_os_fd_t listener;
  void (*on_serving)(void);
  enum { NOT_REPLACING, STARTING_NEW, ENDING_OLD } replacing;
  uint64_t pause;      /* before the next worker is started */
  uv_timer_t starting; /* it goes on when the pause is over */
  uv_timer_t ending;   /* how long the old ones may take */
  uvsig_reload_t reload;
  uvsig_watcher_t on_usr1;
  char program[4096];
} pool;

static void free_worker(uv_handle_t* pipe) {
  free(pipe->data);
}

static void close_pipe(uv_handle_t* process) {
  worker_t* w = process->data;

  uv_close((uv_handle_t*) &w->pipe, free_worker);
}

static void forget(worker_t* w) {
  worker_t** link = &pool.workers;

  while (*link != NULL && *link != w)
    link = &(*link)->next;
  if (*link != NULL)
    *link = w->next;
  uvsig_shutdown_remove_child(&w->child);
  uv_close((uv_handle_t*) &w->process, close_pipe);
}

static void signal_old(int signum) {
  worker_t* w;

  for (w = pool.workers; w != NULL; w = w->next)
    if (w->old)
      uv_process_kill(&w->process, signum);
}

static void on_stuck(uv_timer_t* timer) {
  (void) timer;
  signal_old(SIGKILL);
}

static void finish_replacing(void) {
  if (pool.replacing == NOT_REPLACING)
    return;
  pool.replacing = NOT_REPLACING;
  uv_timer_stop(&pool.ending);
  uvsig_reload_finish(&pool.reload);
}

/* Go on with what has waited for a worker to serve or to go. The old ones are
 * told to go when all the new ones serve: should those not even start, the old
 * ones stay. */
static void settle(void) {
  unsigned old = 0, serving = 0;
  worker_t* w;

  for (w = pool.workers; w != NULL; w = w->next) {
    old += w->old;
    serving += !w->old && w->serves;
  }
  if (serving < settings.workers)
    return;
  pool.on_serving();
  if (pool.replacing == STARTING_NEW) {
    pool.replacing = ENDING_OLD;
    signal_old(SIGUSR2);
    uv_timer_start(
        &pool.ending, on_stuck, settings.grace * 1000ull + 2 * MARGIN_MS, 0);
  }
  if (pool.replacing == ENDING_OLD && old == 0) {
    say("Replaced\n");
    finish_replacing();
  }
}

static void fill(uv_timer_t* timer);

/* Not in a tight loop, if they die at once. */
static void pause_and_fill(uint64_t age) {
  if (age >= QUICK_MS)
    pool.pause = 0;
  else if (pool.pause == 0)
    pool.pause = LEAST_PAUSE_MS;
  else
    pool.pause =
        pool.pause < MOST_PAUSE_MS / 2 ? 2 * pool.pause : MOST_PAUSE_MS;
  if (!uv_is_active((uv_handle_t*) &pool.starting))
    uv_timer_start(&pool.starting, fill, pool.pause, 0);
}

static void on_ended(uv_process_t* process, int64_t status, int signum) {
  worker_t* w = process->data;

  (void) status;
  (void) signum;
  say("Worker %d has gone\n", process->pid);
  if (!w->old && uvsig_shutdown_phase(&sd) == UVSIG_SHUTDOWN_RUNNING)
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

/* In a session of its own: what a terminal sends is for the parent, which says
 * what is to be done. */
static int start_worker(void) {
  worker_t* w = calloc(1, sizeof(*w));
  uv_stdio_container_t stdio[] = {
      {.flags = UV_IGNORE},
      {.flags = UV_INHERIT_FD, .data.fd = STDOUT_FILENO},
      {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
      {.flags = UV_INHERIT_FD, .data.fd = pool.listener},
      {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE}};
  char role[] = "--worker", grace[32];
  char* args[] = {pool.program, role, grace, NULL};
  uv_process_options_t options = {.exit_cb = on_ended,
                                  .file = pool.program,
                                  .args = args,
                                  .flags = UV_PROCESS_DETACHED,
                                  .stdio = stdio,
                                  .stdio_count = PARENT_FD + 1};
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
  w->next = pool.workers;
  pool.workers = w;
  uvsig_shutdown_add_child(&sd, &w->child, w->process.pid);
  return uv_read_start((uv_stream_t*) &w->pipe, on_alloc, on_worker);
}

static void fill(uv_timer_t* timer) {
  unsigned count = 0;
  worker_t* w;

  (void) timer;
  if (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_RUNNING)
    return;
  for (w = pool.workers; w != NULL; w = w->next)
    count += !w->old;
  for (; count < settings.workers; count++)
    if (failed(start_worker(), pool.program)) {
      pause_and_fill(0);
      return;
    }
}

static void on_reload(uvsig_reload_t* reload) {
  worker_t* w;

  (void) reload;
  pool.replacing = STARTING_NEW;
  for (w = pool.workers; w != NULL; w = w->next)
    w->old = 1;
  if (!uv_is_active((uv_handle_t*) &pool.starting))
    fill(NULL);
}

/* To those that have a handler: the others would die of it. */
static void on_forwarded(uvsig_watcher_t* watcher,
                         int signum,
                         const uvsig_info_t* info) {
  worker_t* w;

  (void) watcher;
  (void) info;
  for (w = pool.workers; w != NULL; w = w->next)
    if (w->serves)
      uv_process_kill(&w->process, signum);
}

void pool_on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  finish_replacing(); /* all of them go */
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  while (pool.workers != NULL)
    forget(pool.workers); /* not even SIGKILL has ended it yet */
  uv_close((uv_handle_t*) &pool.starting, NULL);
  uv_close((uv_handle_t*) &pool.ending, NULL);
  uvsig_reload_stop(&pool.reload);
}

/* The program is asked for once: a later release in its place is what SIGHUP
 * starts. */
int pool_init(void) {
  size_t size = sizeof(pool.program);

  return failed(uv_exepath(pool.program, &size), "uv_exepath") ||
         failed(uv_timer_init(loop, &pool.starting), "uv_timer_init") ||
         failed(uv_timer_init(loop, &pool.ending), "uv_timer_init");
}

int pool_start(uv_os_fd_t listener, void (*on_serving)(void)) {
  int err = uvsig_reload_init(&sd, &pool.reload);

  pool.listener = listener;
  pool.on_serving = on_serving;
  if (err == 0)
    err = uvsig_reload_start(&pool.reload, on_reload, SIGHUP);
  if (err == 0)
    err = watch(&pool.on_usr1, on_forwarded, SIGUSR1);
  if (err == 0)
    fill(NULL);
  return err;
}
