/* SPDX-License-Identifier: MIT
 *
 * What the files of prefork share. They are one program, and each process is
 * the parent (prefork.c, prefork-pool.c, prefork-process.c) or a worker
 * (prefork-worker.c, prefork-http.c). There is one loop, one uvsig_t and one
 * uvsig_shutdown_t in either. */

#ifndef PREFORK_H
#define PREFORK_H

#include "common.h"

#include <uvsig.h>

enum {
  LISTENER_FD = 3, /* in a worker */
  PARENT_FD = 4,   /* in a worker: it writes a byte when it serves, and reads
                    * the end when the parent has gone */
  MARGIN_MS = 1000
};

extern struct settings {
  unsigned port, workers, grace_ms, settle_ms;
} settings;
extern uv_loop_t* loop;
extern uvsig_t sig;
extern uvsig_shutdown_t sd;

/* --- For both: prefork.c -------------------------------------------------- */

int watch(uvsig_watcher_t* w, uvsig_watcher_cb cb, int signum);
void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf);
/* Run until what keeps the loop alive has been closed, and end. */
int run_and_exit(void);

/* --- The parent ----------------------------------------------------------- */

/* Prepare the pool; a shutdown of it may begin from then on. */
int pool_init(void);
void pool_on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase);
/* Start workers that accept from `listener`; `on_serving` is called when all of
 * them do, now and after each replacement. */
int pool_start(uv_os_fd_t listener, void (*on_serving)(void));

typedef struct worker_s worker_t;
typedef void (*worker_cb)(worker_t* w);

/* A worker's process. */
struct worker_s {
  enum { STARTING, SERVING, GONE } state;
  int old;        /* yours: to go when the new ones serve */
  worker_t* next; /* yours */
  uint64_t since; /* when it was started */
  uv_process_t process;
  uv_pipe_t pipe; /* a byte comes when it serves; it sees the end of ours */
  uvsig_shutdown_child_t child;
  worker_cb on_change;
};

/* `path`: of the program. `on_change` is called with each new state. NULL: it
 * has not been started, and why not has been said. */
worker_t* worker_start(char* path, uv_os_fd_t listener, worker_cb on_change);
/* What has gone, or cannot be waited for. */
void worker_forget(worker_t* w);

/* --- A worker ------------------------------------------------------------- */

int be_worker(void);

extern unsigned long http_requests; /* answered by this process */
void http_init(void);
/* For uv_listen(). */
void http_on_connection(uv_stream_t* listener, int status);
/* Close, of the connections, those that have been idle for a while. */
void http_end_quiet(void);

#endif
