/* SPDX-License-Identifier: MIT
 *
 * The coordinator's ground floor: its state, and the handles that have phases.c
 * look at everything. Runs in the loop thread, where it does not say otherwise.
 */

#include "coordinator.h"

#include <stdlib.h>

/* --- Its state ------------------------------------------------------------ */

int uvsig__coordinator_of(const uvsig_shutdown_t* sd,
                          struct uvsig__coordinator** c) {
  struct uvsig__hub* hub;

  if (sd == NULL || sd->coordinator == NULL)
    return UV_EINVAL;
  *c = sd->coordinator;
  if (atomic_load(&(*c)->phase) == UVSIG__CLOSED)
    return UV_EINVAL;
  if ((*c)->has_closed_sig) /* it is the user's memory by now */
    return 0;
  return uvsig__hub_of(sd->sig, &hub) == 0 ? 0 : UV_EPERM;
}

/* As uvsig__coordinator_of(), for what relies on the shutdown. */
int uvsig__coordinator_in_use(const uvsig_shutdown_t* sd,
                              struct uvsig__coordinator** c) {
  int err = uvsig__coordinator_of(sd, c);

  if (err == 0 && uvsig__is_inherited(*c))
    return UV_EBADF;
  return err;
}

/* Has a shutdown been asked for? The loop may not know yet. Any thread. */
bool uvsig__has_begun(const struct uvsig__coordinator* c) {
  return atomic_load(&c->escalation.level) != UVSIG_SHUTDOWN_NONE;
}

void uvsig__coordinator_free(struct uvsig__coordinator* c) {
  c->sd->coordinator = NULL;
  free(c);
}

int uvsig_shutdown_phase(const uvsig_shutdown_t* sd) {
  const struct uvsig__coordinator* c;
  int phase;

  if (sd == NULL || sd->coordinator == NULL)
    return UV_EINVAL;
  c = sd->coordinator;
  phase = atomic_load(&c->phase);
  return phase == UVSIG__CLOSED ? UV_EINVAL : phase;
}

int uvsig_shutdown_is_ready(const uvsig_shutdown_t* sd) {
  const struct uvsig__coordinator* c;

  if (sd == NULL || sd->coordinator == NULL)
    return 0;
  c = sd->coordinator;
  return atomic_load(&c->is_ready) != 0 && !uvsig__has_begun(c);
}

/* --- Looks ---------------------------------------------------------------- */

/* Have phases.c look at everything. `has_polled`: and the loop has polled since
 * the last time. */
void uvsig__look(struct uvsig__coordinator* c, bool has_polled) {
  /* A callback has called uvsig_flush(), and so comes here again. */
  if (c->is_looking) {
    uvsig__look_again(c);
    return;
  }
  c->is_looking = true;
  c->look(c, has_polled);
  c->is_looking = false;
}

static void on_async(uv_async_t* async) {
  uvsig__look(async->data, false);
}

static void on_timer(uv_timer_t* timer) {
  uvsig__look(timer->data, false);
}

/* Before the poll, which does not sleep while this is started. */
static void on_idle(uv_idle_t* idle) {
  struct uvsig__coordinator* c = idle->data;

  c->will_poll = true;
  c->connections.poll_at = uvsig__now();
}

/* libuv calls this after the poll, also where it was started during the poll:
 * `will_poll` says whether a whole poll lies between. */
static void on_check(uv_check_t* check) {
  struct uvsig__coordinator* c = check->data;

  if (!c->will_poll)
    return;
  c->will_poll = false;
  uv_idle_stop(&c->idle);
  uv_check_stop(&c->check);
  uvsig__look(c, true);
}

/* Only the first call can fail. An initialised handle could only be closed
 * through the loop, so nothing may fail after it. */
int uvsig__looks_open(struct uvsig__coordinator* c) {
  int err;

  err = uv_async_init(c->loop, &c->async, on_async);
  if (err != 0)
    return err;
  uv_timer_init(c->loop, &c->timer);
  uv_idle_init(c->loop, &c->idle);
  uv_check_init(c->loop, &c->check);
  c->async.data = c;
  c->timer.data = c;
  c->idle.data = c;
  c->check.data = c;
  return 0;
}

void uvsig__looks_close(struct uvsig__coordinator* c) {
  uvsig__close_handle((uv_handle_t*) &c->async);
  uvsig__close_handle((uv_handle_t*) &c->timer);
  uvsig__close_handle((uv_handle_t*) &c->idle);
  uvsig__close_handle((uv_handle_t*) &c->check);
}

/* Look when it is time, and no more where it is UVSIG__NEVER. */
void uvsig__look_at(struct uvsig__coordinator* c, uint64_t at) {
  uint64_t now = uvsig__now();
  uint64_t ms = at > now ? (at - now + UVSIG__MS - 1) / UVSIG__MS : 0;

  if (at == UVSIG__NEVER) {
    uv_timer_stop(&c->timer);
    return;
  }
  uv_update_time(c->loop);
  uv_timer_start(&c->timer, on_timer, ms > 0 ? ms : 1, 0);
}

/* Look when the loop has polled. */
void uvsig__look_again(struct uvsig__coordinator* c) {
  if (uv_is_closing((uv_handle_t*) &c->idle) ||
      uv_is_closing((uv_handle_t*) &c->check))
    return;
  uv_idle_start(&c->idle, on_idle);
  uv_check_start(&c->check, on_check);
}

/* Find the coordinator that something is removed from next, and have phases.c
 * look again then. `*c` is NULL where nothing is to be done: it is not
 * registered, or an error is returned. */
int uvsig__prepare_removal(const uvsig_shutdown_t* sd,
                           struct uvsig__coordinator** c) {
  struct uvsig__coordinator* found;
  int err;

  *c = NULL;
  if (sd == NULL)
    return 0;
  err = uvsig__coordinator_of(sd, &found);
  if (err != 0)
    return err;
  if (uvsig__has_begun(found))
    uvsig__look_again(found);
  *c = found;
  return 0;
}
