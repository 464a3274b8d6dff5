/* SPDX-License-Identifier: MIT
 *
 * Work for libuv's pool that a shutdown waits for: a request with a hold around
 * it. Runs in the loop thread, but for the work itself.
 */

#include "coordinator.h"

/* In a thread of the pool. */
static void on_work(uv_work_t* req) {
  uvsig_shutdown_work_t* work = req->data;

  work->work_cb(work);
}

/* Released first, since the callback may free it. The shutdown goes on when the
 * callback has returned: a release only has the loop look again. */
static void after_work(uv_work_t* req, int status) {
  uvsig_shutdown_work_t* work = req->data;

  uvsig_shutdown_release(&work->hold);
  if (work->after_work_cb != NULL)
    work->after_work_cb(work, status);
}

int uvsig_shutdown_queue_work(uvsig_shutdown_t* sd,
                              uvsig_shutdown_work_t* work,
                              const char* name,
                              uvsig_shutdown_work_cb work_cb,
                              uvsig_shutdown_after_work_cb after_work_cb) {
  struct uvsig__coordinator* c;
  int err;

  if (work == NULL || name == NULL || work_cb == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_of(sd, &c);
  if (err == 0)
    err = uvsig_shutdown_hold(sd, &work->hold, name);
  if (err != 0)
    return err;
  work->shutdown = sd;
  work->work_cb = work_cb;
  work->after_work_cb = after_work_cb;
  memset(work->reserved, 0, sizeof(work->reserved));
  work->req.data = work;
  err = uv_queue_work(c->loop, &work->req, on_work, after_work);
  if (err != 0)
    uvsig_shutdown_release(&work->hold);
  return err;
}
