/* SPDX-License-Identifier: MIT
 *
 * The end of a set of handles: it has come when libuv has finished with each of
 * them, whoever else has handles in the loop.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

static uv_loop_t loop;
static uv_timer_t ours, others;
static struct uvsig__closing closing;
static unsigned ends;

static bool has(const void* owner, const uv_handle_t* handle) {
  return handle == owner || handle == (const uv_handle_t*) &closing.last;
}

static void on_done(void* owner) {
  CHECK(owner == &ours);
  ends++;
}

static void begin(unsigned turns) {
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_timer_init(&loop, &ours), 0);
  /* libuv's list has it behind the one that is waited for. */
  CHECK_EQ(uv_timer_init(&loop, &others), 0);
  closing.owner = &ours;
  closing.has = has;
  closing.done = on_done;
  uvsig__closing_start(&closing, &loop, turns);
}

static void end(void) {
  CHECK_EQ(ends, 1);
  uvsig__close_handle((uv_handle_t*) &others);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(ends, 1);
  close_loop(&loop);
}

static void it_ends_after_one_turn_or_two(void) {
  unsigned turns;

  for (turns = 1; turns <= 2; turns++) {
    ends = 0;
    begin(turns);
    uvsig__close_handle((uv_handle_t*) &ours);
    if (turns == 2) {
      uv_run(&loop, UV_RUN_NOWAIT);
      CHECK_EQ(ends, 0);
    }
    uv_run(&loop, UV_RUN_NOWAIT);
    end();
  }
}

/* Such as one that the program is to close. */
static void it_waits_for_a_handle_that_is_open(void) {
  int turn;

  begin(1);
  for (turn = 0; turn < 10; turn++)
    uv_run(&loop, UV_RUN_NOWAIT);
  CHECK_EQ(ends, 0);
  uvsig__close_handle((uv_handle_t*) &ours);
  /* libuv finishes with what is closed last, first. */
  uv_run(&loop, UV_RUN_NOWAIT);
  uv_run(&loop, UV_RUN_NOWAIT);
  end();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_ends_after_one_turn_or_two),
      TEST(it_waits_for_a_handle_that_is_open),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
