/* SPDX-License-Identifier: MIT
 *
 * The signals of one loop, and who may use them. A loop belongs to the thread
 * that made the uvsig_t, then to the one that runs the loop, and, when that
 * thread has ended, to the next one that asks. Runs in any thread.
 */

#include "hub.h"

/* --- Which thread it belongs to ------------------------------------------- */

/* Threads are numbered, since pthread ids are used again. 0: no thread. */
static atomic_ulong last_id;
static _Thread_local unsigned long own_id;

static pthread_key_t end_of_thread;
static bool has_key;                 /* under uvsig__lock() */
static _Thread_local bool is_noted;  /* this thread's end will be known */
static _Thread_local bool has_ended; /* and has been: other keys follow */

struct uvsig__hub* uvsig__hubs; /* all of them; under uvsig__lock() */

static void disown(struct uvsig__hub* hub) {
  atomic_store_explicit(&hub->owner_thread, 0, memory_order_relaxed);
  /* Release: what this thread did happens before what the next one does. */
  atomic_store_explicit(&hub->owner, 0, memory_order_release);
}

/* A thread ends: its loops are free for the next thread that asks. */
static void disown_all(void* unused) {
  struct uvsig__hub* hub;

  (void) unused;
  has_ended = true;
  uvsig__lock();
  for (hub = uvsig__hubs; hub != NULL; hub = hub->next)
    if (atomic_load_explicit(&hub->owner, memory_order_relaxed) == own_id)
      disown(hub);
  uvsig__unlock();
}

/* The calling thread's number. */
unsigned long uvsig__self(void) {
  if (own_id == 0)
    own_id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
  return own_id;
}

/* See to it that the calling thread's end will be known. What fails is tried
 * again at the next call. */
int uvsig__note_thread(void) {
  int err = 0;

  if (is_noted)
    return 0;
  uvsig__lock();
  if (!has_key)
    err = pthread_key_create(&end_of_thread, disown_all);
  has_key = err == 0;
  uvsig__unlock();
  /* Any value but NULL has the destructor called at the thread's end. */
  if (err == 0)
    err = pthread_setspecific(end_of_thread, &own_id);
  is_noted = err == 0;
  return UVSIG__ERR(err);
}

/* The owner that a loop has when the calling thread takes it: the thread, or 0,
 * none, at its end. Other keys' destructors run after disown_all(), in the same
 * round or in another one, and nothing would disown what they take. So they may
 * use a loop that has no owner, and it still has none afterwards. */
static unsigned long owner_to_be(void) {
  unsigned long id = uvsig__self();

  (void) uvsig__note_thread();
  return has_ended ? 0 : id;
}

/* The calling thread runs the loop, or has just made the loop context: it is
 * the owner. If the thread's end cannot be noted, it is the owner all the same,
 * for two owners would put memory at risk. Each turn of the loop tries again to
 * note it. If the thread ends before, it stays the owner until another thread
 * runs the loop. */
void uvsig__own(struct uvsig__hub* hub) {
  bool is_known;
  unsigned long id;

  if (uvsig__is_known_owner(hub))
    return;
  id = owner_to_be();
  /* Relaxed: a thread that may use the loop finds its own store; what makes
   * it another's turn has synchronized them (or is disown_all() above). */
  atomic_store_explicit(&hub->owner, id, memory_order_relaxed);
  /* disown_all() clears this. Where that will not be called, or was, nothing
   * would. */
  is_known = id != 0 && is_noted;
  atomic_store_explicit(
      &hub->owner_thread, is_known ? uvsig__thread() : 0, memory_order_relaxed);
}

/* May the calling thread use the loop? It takes a loop that has no owner. */
bool uvsig__owns(struct uvsig__hub* hub) {
  unsigned long id;
  unsigned long owner = 0;

  if (uvsig__is_known_owner(hub))
    return true;
  id = owner_to_be();
  if (id != 0 && atomic_load_explicit(&hub->owner, memory_order_relaxed) == id)
    return true;
  /* Acquire: pairs with disown_all(). */
  return atomic_compare_exchange_strong_explicit(
      &hub->owner, &owner, id, memory_order_acquire, memory_order_relaxed);
}

/* The hook of the highest module is given, so that a static link has it. */
void uvsig__enlist(struct uvsig__hub* hub, void (*child_hook)(sigset_t* mask)) {
  uvsig__lock();
  uvsig__child_hook = child_hook;
  hub->next = uvsig__hubs;
  uvsig__hubs = hub;
  uvsig__unlock();
}

/* In the child of a fork: a loop of another thread of the parent's has no owner
 * any more. */
void uvsig__own_or_disown(struct uvsig__hub* hub) {
  if (atomic_load_explicit(&hub->owner, memory_order_relaxed) != own_id)
    disown(hub);
}

void uvsig__delist(struct uvsig__hub* hub) {
  struct uvsig__hub** link;

  uvsig__lock();
  for (link = &uvsig__hubs; *link != hub; link = &(*link)->next)
    ;
  *link = hub->next;
  uvsig__unlock();
}

/* Find the loop context of an open uvsig_t that the calling thread may use. */
int uvsig__hub_of(const uvsig_t* sig, struct uvsig__hub** hub) {
  if (sig == NULL || sig->hub == NULL)
    return UV_EINVAL;
  *hub = sig->hub;
  if (!uvsig__owns(*hub))
    return UV_EPERM;
  return (*hub)->closing ? UV_EINVAL : 0;
}

/* --- What is built on it -------------------------------------------------- */

/* One watcher more, or one less, that keeps the loop alive: `change` is 1 or
 * -1. */
void uvsig__count_ref(struct uvsig__hub* hub, int change) {
  hub->refs += change;
  if (hub->refs > 0)
    uv_ref((uv_handle_t*) &hub->poll);
  else
    uv_unref((uv_handle_t*) &hub->poll);
}

/* The component's handles stay the component's to close. */
void uvsig__attach(const uvsig_t* sig, struct uvsig__component* component) {
  struct uvsig__hub* hub = sig->hub;

  component->next = hub->components;
  hub->components = component;
}

/* It is there: it was attached, and is detached once. */
void uvsig__detach(const uvsig_t* sig,
                   const struct uvsig__component* component) {
  struct uvsig__hub* hub = sig->hub;
  struct uvsig__component** link = &hub->components;

  while (*link != component)
    link = &(*link)->next;
  *link = component->next;
}

bool uvsig__has(const struct uvsig__component* component,
                const uv_handle_t* handle) {
  int i;

  for (i = 0; i < UVSIG__HANDLES; i++)
    if (component->handles[i] == handle)
      return true;
  return false;
}
