/* SPDX-License-Identifier: MIT
 *
 * Preloaded into programs that run under valgrind. Their main thread's stack
 * grows as it is used, but, up to valgrind 3.19 at least, not for a handler
 * with SA_ONSTACK (uvsig(7), CAVEATS). The room that a handler needs at any
 * depth of such a program is used here once.
 */

__attribute__((constructor, noinline)) static void touch_stack(void) {
  volatile char room[256 * 1024];

  room[0] = 0;
  (void) room[0];
}
