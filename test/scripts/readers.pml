/* SPDX-License-Identifier: MIT
 *
 * A model of the reader count for Spin: handlers that use a source while another
 * thread links, unlinks and frees it, again and again. No handler may use what
 * has been freed, and the other thread must always get through. The steps are
 * those of lib/handler.c (catch_all) and lib/disposition.c (uvsig__synchronize).
 * model.sh runs it, and with FLIPS=1, which must fail: one generation is not
 * enough for a handler that was delayed between its two first steps.
 */

#define HANDLERS 2
#define SIGNALS 2 /* for each handler */
#define ROUNDS 3

#ifndef FLIPS
# define FLIPS 2
#endif

bool generation;
byte readers[2];
bool linked;
bool alive;

proctype handler() {
  byte i;
  bool mine;
  bool found;

  for (i : 1 .. SIGNALS) {
    mine = generation;
    readers[mine]++;
    found = linked;
    if
    :: found -> assert(alive)
    :: else -> skip
    fi;
    if
    :: found -> assert(alive)
    :: else -> skip
    fi;
    readers[mine]--
  }
}

proctype user() {
  byte i;
  byte flip;
  bool old;

  for (i : 1 .. ROUNDS) {
    alive = true;
    linked = true;
    linked = false;
    for (flip : 1 .. FLIPS) {
      old = generation;
      generation = 1 - old;
      readers[old] == 0 /* waits */
    }
    alive = false
  }
}

init {
  byte i;

  atomic {
    for (i : 1 .. HANDLERS) {
      run handler()
    }
    run user()
  }
}
