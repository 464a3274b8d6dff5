/* SPDX-License-Identifier: MIT
 *
 * Which thread a loop belongs to: the one that made the uvsig_t, then the one
 * that runs the loop, and, when that has ended, the next one that asks. Runs in
 * any thread.
 */

#include "internal.h"

/* Threads are numbered, since pthread ids are used again. 0: no thread. */
static atomic_ulong last_id;
static _Thread_local unsigned long own_id;

static pthread_key_t end_of_thread;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static struct uvsig__hub* hubs; /* under uvsig__lock() */

/* A thread ends: its loops are anybody's. */
static void disown(void* unused) {
  struct uvsig__hub* hub;

  (void) unused;
  uvsig__lock();
  for (hub = hubs; hub != NULL; hub = hub->next)
    /* Release: what this thread did happens before what the next one does. */
    if (atomic_load_explicit(&hub->owner, memory_order_relaxed) == own_id)
      atomic_store_explicit(&hub->owner, 0, memory_order_release);
  uvsig__unlock();
}

static void make_key(void) {
  pthread_key_create(&end_of_thread, disown);
}

/* The calling thread's number. */
unsigned long uvsig__self(void) {
  if (own_id == 0) {
    own_id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    pthread_once(&once, make_key);
    /* Any value but NULL has the destructor called at the thread's end. If
     * there is no memory for it, the loop stays this thread's. */
    pthread_setspecific(end_of_thread, &own_id);
  }
  return own_id;
}

/* The calling thread runs the loop, or has just made the hub. */
void uvsig__own(struct uvsig__hub* hub) {
  unsigned long id = uvsig__self();

  /* Relaxed: a thread that may use the loop finds its own store; what makes
   * it another's turn has synchronized them (or is disown() above). */
  if (atomic_load_explicit(&hub->owner, memory_order_relaxed) != id)
    atomic_store_explicit(&hub->owner, id, memory_order_relaxed);
}

bool uvsig__owns(struct uvsig__hub* hub) {
  unsigned long id = uvsig__self();
  unsigned long owner = 0;

  if (atomic_load_explicit(&hub->owner, memory_order_relaxed) == id)
    return true;
  /* Acquire: pairs with disown(). */
  return atomic_compare_exchange_strong_explicit(
      &hub->owner, &owner, id, memory_order_acquire, memory_order_relaxed);
}

void uvsig__enlist(struct uvsig__hub* hub) {
  uvsig__lock();
  hub->next = hubs;
  hubs = hub;
  uvsig__unlock();
}

/* Under uvsig__lock(). */
void uvsig__for_each_hub(void (*fn)(struct uvsig__hub* hub)) {
  struct uvsig__hub* hub;

  for (hub = hubs; hub != NULL; hub = hub->next)
    fn(hub);
}

/* In the child of a fork: a loop of another thread of the parent's is
 * anybody's. */
void uvsig__own_or_disown(struct uvsig__hub* hub) {
  if (atomic_load_explicit(&hub->owner, memory_order_relaxed) != own_id)
    atomic_store_explicit(&hub->owner, 0, memory_order_relaxed);
}

void uvsig__delist(struct uvsig__hub* hub) {
  struct uvsig__hub** link;

  uvsig__lock();
  for (link = &hubs; *link != hub; link = &(*link)->next)
    ;
  *link = hub->next;
  uvsig__unlock();
}
