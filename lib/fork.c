/* SPDX-License-Identifier: MIT
 *
 * The library's lock, and what a fork does to the library. The lock is held
 * from before a fork until after it, with every signal blocked, so that the
 * child starts with nothing half done, and catches nothing before it has the
 * dispositions back. Runs in any thread; uvsig_fork() in the loop thread of a
 * child.
 */

#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int cancel_state; /* of the thread that holds the lock */

/* --- The lock ------------------------------------------------------------- */

/* A thread that is cancelled with the lock would keep it for ever. */
static void lock_now(void) {
  int state;

  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  pthread_mutex_lock(&lock);
  cancel_state = state;
}

void uvsig__unlock(void) {
  int state = cancel_state;

  pthread_mutex_unlock(&lock);
  pthread_setcancelstate(state, NULL);
}

/* --- Around a fork -------------------------------------------------------- */

static sigset_t mask; /* of the thread that forks; under the lock */

static void before_fork(void) {
  sigset_t all;
  sigset_t previous;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  lock_now();
  mask = previous;
}

/* The mask is the lock's: it is put back last. */
static void end_fork(void) {
  sigset_t previous = mask;

  uvsig__unlock();
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
}

/* Empty what the parent had, caught or read. A delivery that the fork was in
 * the middle of ends. */
static void inherit(struct uvsig__hub* hub) {
  struct uvsig__source* source;
  struct uvsig__family* family;
  int signum;

  hub->inherited = true;
  for (family = hub->families; family != NULL; family = family->next)
    family->forked(family);
  uvsig__own_or_disown(hub);
  hub->at = 0;
  hub->end = 0;
  hub->overdue = 0;
  hub->junk = 0;
  hub->full_buffers = 0;
  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    source = hub->sources[signum];
    if (source == NULL)
      continue;
    uvsig__source_reset(source);
    uvsig__share_inherit(source);
    uvsig__mask_forget(source, &mask);
  }
}

/* Until uvsig_fork(), the child is as if the library had never been there. Only
 * what may be called in a signal handler may be called here (POSIX, fork()). */
static void begin_child(void) {
  uvsig__forget_dispositions();
  uvsig__forget_shares();
  uvsig__forget_wakeup_fd();
  uvsig__forget_itimers();
  uvsig__for_each_hub(inherit);
  end_fork();
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int error;

static void prepare_for_forks(void) {
  error = UVSIG__ERR(pthread_atfork(before_fork, end_fork, begin_child));
}

/* Before it is locked for the first time: a child of a fork in between would
 * never get it. */
void uvsig__lock(void) {
  pthread_once(&once, prepare_for_forks);
  lock_now();
}

/* Without handlers for forks nothing may be watched. */
int uvsig__fork_error(void) {
  return error;
}

/* --- In the child --------------------------------------------------------- */

static bool has_watchers(const struct uvsig__hub* hub, int signum) {
  return hub->sources[signum] != NULL && hub->sources[signum]->first != NULL;
}

static void count_all(struct uvsig__hub* hub, bool is_needed) {
  struct uvsig__source* source;

  for (source = hub->first; source != NULL; source = source->after)
    uvsig__source_count(source, is_needed);
}

static int subscribe_all(struct uvsig__hub* hub) {
  int signum;
  int err = 0;

  count_all(hub, true);
  for (signum = 1; signum < UVSIG_NSIG && err == 0; signum++)
    if (has_watchers(hub, signum)) {
      if (hub->sources[signum]->is_shared)
        uvsig__share_remember(signum);
      err = uvsig__subscribe(hub->sources[signum]);
    }
  if (err == 0)
    return 0;
  /* The last one has not been subscribed. */
  for (signum -= 2; signum > 0; signum--)
    if (has_watchers(hub, signum))
      uvsig__unsubscribe(hub->sources[signum]);
  uvsig__synchronize();
  count_all(hub, false);
  return err;
}

int uvsig_fork(uvsig_t* sig) {
  struct uvsig__hub* hub;
  int signum;
  int err;

  err = uvsig__hub_of(sig, &hub);
  if (err != 0)
    return err;
  if (!hub->inherited || uv_is_closing((uv_handle_t*) &hub->poll))
    return UV_EINVAL;

  /* The poll handle keeps its number. Stopped meanwhile: the system's poller
   * may know the parent's file by it. */
  uv_poll_stop(&hub->poll);
  err = uvsig__wakeup_renew(&hub->wakeup);
  if (err == 0)
    err = subscribe_all(hub);
  if (err != 0)
    return err;
  hub->inherited = false;
  uv_poll_start(&hub->poll, UV_READABLE, uvsig__on_readable);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (has_watchers(hub, signum) &&
        uvsig__source_wants_mask(hub->sources[signum]))
      uvsig__mask_open(hub->sources[signum]);
  return 0;
}
