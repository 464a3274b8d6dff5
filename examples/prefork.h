/* SPDX-License-Identifier: MIT
 *
 * What the parent (prefork.c, prefork-pool.c) and the workers
 * (prefork-worker.c) share. They are one program, and each process is one of
 * the two. There is one loop, one uvsig_t and one uvsig_shutdown_t in either.
 */

#ifndef PREFORK_H
#define PREFORK_H

#include <uvsig.h>

enum {
  LISTENER_FD = 3, /* in a worker */
  PARENT_FD = 4,   /* in a worker: it writes a byte when it serves, and reads
                    * the end when the parent has gone */
  MARGIN_MS = 1000
};

extern struct settings { unsigned port, workers, grace; } settings;
extern uv_loop_t* loop;
extern uvsig_t sig;
extern uvsig_shutdown_t sd;

/* Tell whether a call failed, and say so. */
int failed(int err, const char* what);
/* Print a line at once, also to a pipe. */
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
int watch(uvsig_watcher_t* w, uvsig_watcher_cb cb, int signum);
void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf);
/* Run until what keeps the loop alive has been closed, and end. */
int run_and_exit(void);

int be_worker(void);

/* Of the parent: prepare the pool; a shutdown of it may begin from then on. */
int pool_init(void);
void pool_on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase);
/* Start workers that accept from `listener`; `on_serving` is called when all of
 * them do, now and after each replacement. */
int pool_start(uv_os_fd_t listener, void (*on_serving)(void));

#endif
