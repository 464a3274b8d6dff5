/* SPDX-License-Identifier: MIT
 *
 * The workers that the parent keeps: it starts another one where one has died,
 * replaces them at SIGHUP, and hands SIGUSR1 on. A shutdown tells them to end,
 * and waits for them. */
#include "prefork.h"

#include <stdio.h>

enum {
  QUICK_MS = 1000, /* a worker that dies younger is not replaced at once */
  LEAST_PAUSE_MS = 100,
  MOST_PAUSE_MS = 10000
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
  char path[4096]; /* of the program */
} pool;

static void forget(worker_t* w) {
  worker_t** link = &pool.workers;

  while (*link != w)
    link = &(*link)->next;
  *link = w->next;
  worker_forget(w);
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
    serving += !w->old && w->state == SERVING;
  }
  if (serving < settings.workers)
    return;
  pool.on_serving();
  if (pool.replacing == STARTING_NEW) {
    pool.replacing = ENDING_OLD;
    signal_old(SIGUSR2);
    uv_timer_start(
        &pool.ending, on_stuck, settings.grace_ms + 2 * MARGIN_MS, 0);
  }
  if (pool.replacing == ENDING_OLD && old == 0) {
    puts("Replaced");
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

static void on_change(worker_t* w) {
  if (w->state == GONE) {
    if (!w->old && uvsig_shutdown_phase(&sd) == UVSIG_SHUTDOWN_RUNNING)
      pause_and_fill(uv_now(loop) - w->since);
    forget(w);
  }
  settle();
}

static void fill(uv_timer_t* timer) {
  unsigned count = 0;
  worker_t* w;

  (void) timer;
  if (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_RUNNING)
    return;
  for (w = pool.workers; w != NULL; w = w->next)
    count += !w->old;
  for (; count < settings.workers; count++) {
    w = worker_start(pool.path, pool.listener, on_change);
    if (w == NULL) {
      pause_and_fill(0);
      return;
    }
    w->next = pool.workers;
    pool.workers = w;
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
    if (w->state == SERVING)
      uv_process_kill(&w->process, signum);
}

/* After an upgrade others serve: no hurry. */
void pool_on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  worker_t* w;

  finish_replacing(); /* all of them go */
  if (phase == UVSIG_SHUTDOWN_DRAINING && shutdown->report.successor != 0)
    for (w = pool.workers; w != NULL; w = w->next)
      uvsig_shutdown_child_set_signal(&w->child, SIGUSR2);
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  while (pool.workers != NULL)
    forget(pool.workers); /* not even SIGKILL has ended it yet */
  uv_close((uv_handle_t*) &pool.starting, NULL);
  uv_close((uv_handle_t*) &pool.ending, NULL);
  uvsig_reload_stop(&pool.reload);
}

/* The path is asked for once: a later release in its place is what SIGHUP
 * starts. */
int pool_init(void) {
  size_t size = sizeof(pool.path);

  return failed(uv_exepath(pool.path, &size), "uv_exepath") ||
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
