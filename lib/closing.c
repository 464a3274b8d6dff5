/* SPDX-License-Identifier: MIT
 *
 * The end of a set of handles whose memory is one: it is free when libuv has
 * finished with the last of them. Runs in the loop thread.
 *
 * A program that closes whatever uv_walk() finds may have closed some of them,
 * with a callback of its own or none. So nothing is counted: libuv takes a
 * handle off the list that uv_walk() goes through when it has finished with it.
 * One more handle, which is closed only here, asks whether one of the set is
 * still there, and if so, once more in the next turn.
 */

#include "base.h"

static void check_handle(uv_handle_t* handle, void* data) {
  struct uvsig__closing* closing = data;

  closing->is_waiting |= closing->has(closing->owner, handle);
}

static void on_last_closed(uv_handle_t* last) {
  struct uvsig__closing* closing = last->data;

  closing->is_waiting = --closing->turns > 0;
  uv_walk(last->loop, check_handle, closing);
  if (closing->is_waiting)
    uvsig__closing_start(closing, last->loop, 1);
  else
    closing->done(closing->owner);
}

/* Call `done` when libuv has finished with every handle for which `has` returns
 * true. They are closed after this call: libuv finishes the last one first.
 * With `turns` 2, libuv has also finished with what the program had closed
 * before. */
void uvsig__closing_start(struct uvsig__closing* closing,
                          uv_loop_t* loop,
                          unsigned turns) {
  closing->turns = turns;
  uv_timer_init(loop, &closing->last);
  closing->last.data = closing;
  uv_close((uv_handle_t*) &closing->last, on_last_closed);
}

void uvsig__close_handle(uv_handle_t* handle) {
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}
