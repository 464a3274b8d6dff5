/* SPDX-License-Identifier: MIT
 *
 * The grace period: waits for signal handlers in flight, before memory or
 * descriptors go that they may be using. Runs in any thread.
 */

#include "disposition.h"

#include <sched.h>

/* Nearly always a handler has left at once: yield. If it was preempted, in a
 * storm of signals, a thread that spins would only keep the processor from it:
 * sleep. */
static void pause_for(unsigned round) {
  static const struct timespec pause = {0, 50 * 1000};

  if (round < 16)
    sched_yield();
  else
    nanosleep(&pause, NULL);
}

/* Wait for a grace period: return when every handler that could have seen what
 * was unpublished before the call has left. There is no time limit, but a
 * handler of the library never blocks. Two generations: new handlers count in
 * the other one, so that a storm cannot keep the awaited one above 0. Two
 * rounds: a handler that read the generation, and was delayed before it counted
 * itself in, may be in either. test/scripts/readers.pml is a model of this.
 * Under the lock. */
void uvsig__synchronize_locked(void) {
  unsigned generation;
  unsigned round;
  int i;

  for (i = 0; i < 2; i++) {
    generation = atomic_load(&uvsig__shared.generation);
    atomic_store(&uvsig__shared.generation, generation ^ 1);
    for (round = 0; atomic_load(&uvsig__shared.readers[generation]) != 0;
         round++)
      pause_for(round);
  }
}

void uvsig__synchronize(void) {
  uvsig__lock();
  uvsig__synchronize_locked();
  uvsig__unlock();
}
