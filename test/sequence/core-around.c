/* SPDX-License-Identifier: MIT
 *
 * Steps of what else is in a process: foreign handlers, libuv's own, other
 * threads, timers, children.
 */

#include "core-steps.h"

#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- A foreign library ---------------------------------------------------------- */

/* args: the signal, whether it chains. Not where ours is installed and has no
 * watcher, which the chain's sequences have. */
bool step_install(const unsigned* args) {
  struct disposition* at = &model.at[args[0]];

  if (at->is_there || model.draining[args[0]] > 0 ||
      (at->top == OURS && !is_watched(args[0])))
    return false;
  at->is_there = true;
  at->chains = args[1] > 0;
  at->saved = at->top;
  at->top = FOREIGN;
  install_foreign(args[0]);
  return true;
}

/* args: the signal, whether it is polite: it does not put back what it has saved
 * where another handler is installed, and stays below that. */
bool step_remove(const unsigned* args) {
  struct disposition* at = &model.at[args[0]];

  if (!at->is_there || model.draining[args[0]] > 0)
    return false;
  if (at->top != FOREIGN && args[1] > 0)
    return true;
  model_set_top(args[0], at->saved);
  at->is_there = false;
  remove_foreign(args[0]);
  return true;
}

/* args: the signal, what it does from now on */
bool step_base(const unsigned* args) {
  struct disposition* at = &model.at[args[0]];
  int before = at->base == HANDLED ? UVSIG_FOREIGN : UVSIG_IGNORED;

  if (model.draining[args[0]] > 0)
    return false;
  if (is_watched(args[0])) {
    CHECK_EQ(uvsig_ignore(signals[args[0]]), UV_EBUSY);
    return true;
  }
  if (at->top != BASE || at->is_there)
    return false;
  at->base = args[1] > 0 ? IGNORED : HANDLED;
  model_set_top(args[0], BASE);
  if (at->base == IGNORED)
    CHECK_EQ(uvsig_ignore(signals[args[0]]), before);
  else
    install_base(args[0]);
  return true;
}

/* --- libuv's own handles -------------------------------------------------------- */

static void on_handle(uv_signal_t* handle, int signum) {
  CHECK_EQ(signum, signals[SHARED]);
  model.handle_told[handle - model.handles]++;
}

/* args: the handle, which is of that loop */
bool step_start_handle(const unsigned* args) {
  unsigned i = args[0];

  if (this_thread() != 0 || model.is_handle_active[i] || model.is_child)
    return false;
  CHECK_EQ(uv_signal_start(&model.handles[i], on_handle, signals[SHARED]), 0);
  model.is_handle_active[i] = true;
  model.had_handle = true;
  return true;
}

/* args: the handle. Not where it is still to be told: libuv would do so when it is
 * started again. */
bool step_stop_handle(const unsigned* args) {
  unsigned i = args[0];

  if (this_thread() != 0 || !model.is_handle_active[i] ||
      model.handle_told[i] != model.handle_calls[i])
    return false;
  CHECK_EQ(uv_signal_stop(&model.handles[i]), 0);
  model.is_handle_active[i] = false;
  return true;
}

/* --- Another thread --------------------------------------------------------------- */

static void do_nothing(uvsig_watcher_t* w,
                       int signum,
                       const uvsig_info_t* info) {
  (void) w;
  (void) signum;
  (void) info;
}

static void end_nothing(uvsig_wait_t* req,
                        int status,
                        const uvsig_info_t* info) {
  (void) req;
  (void) status;
  (void) info;
}

static bool intrude_here(const unsigned* args) {
  uvsig_t* sig = &model.loops[args[0]].sig;
  sigset_t set = set_of(SIGTERM);
  uvsig_watcher_t stopped = {0};
  uvsig_wait_t req = {0};
  unsigned i;

  CHECK_EQ(uvsig_is_loop_thread(sig), 0);
  CHECK_EQ(uvsig_flush(sig), UV_EPERM);
  CHECK_EQ(uvsig_pause(sig), UV_EPERM);
  CHECK_EQ(uvsig_close(sig, NULL), UV_EPERM);
  CHECK_EQ(uvsig_watcher_init(sig, &stopped), UV_EPERM);
  CHECK_EQ(uvsig_wait_start(sig, &req, &set, 0, end_nothing), UV_EPERM);
  for (i = args[0]; i < WATCHERS; i += LOOPS) {
    if (model.watchers[i].which < 0)
      continue;
    CHECK_EQ(uvsig_watcher_stop(model.watchers[i].w), UV_EPERM);
    CHECK_EQ(uvsig_watcher_drain(model.watchers[i].w), UV_EPERM);
    CHECK_EQ(uvsig_watcher_start(model.watchers[i].w, do_nothing, SIGTERM),
             UV_EPERM);
  }
  for (i = 0; i < WAITS; i++)
    if (model.waits[i].is_pending && model.waits[i].loop == args[0])
      CHECK_EQ(uvsig_wait_cancel(&model.waits[i].req), UV_EPERM);
  return true;
}

/* args: the loop, which the other thread tries to use */
bool step_intrude(const unsigned* args) {
  if (!model.has_worker || !may_use(args[0]))
    return false;
  return call_in(1 - thread_of(args[0]), intrude_here, args);
}

/* --- A timer ------------------------------------------------------------------------- */

static unsigned expired;

static void on_expired(uvsig_itimer_t* t, unsigned expirations) {
  CHECK_EQ(uvsig_itimer_is_active(t), 0);
  expired += expirations;
  model.loops[0].callbacks++;
}

/* No arguments. On loop 0. */
bool step_expire(const unsigned* args) {
  uvsig_itimer_t t = {0};
  uvsig_itimerval_t left = {-1, -1};
  struct loop* l = &model.loops[0];

  (void) args;
  if (!may_use(0) || model.is_child || callback_depth() > 0)
    return false;
  expired = 0;
  CHECK_EQ(uvsig_itimer_init(&l->sig, &t, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&t, on_expired, 3600, 0), 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_WATCHED);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 1, 0, NULL), UV_EBUSY);
  CHECK_EQ(uvsig_itimer_start(&t, on_expired, 1e-6, 0), 0);
  while (expired == 0 && may_use(0))
    uv_run(&l->uv, UV_RUN_NOWAIT);
  if (may_use(0))
    CHECK_EQ(expired, 1);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &left), 0);
  CHECK(left.seconds == 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_DEFAULT);
  return true;
}

/* --- Children ------------------------------------------------------------------------ */

static void on_exit_of_child(uv_process_t* process,
                             int64_t status,
                             int signum) {
  CHECK_EQ(status, 0);
  CHECK_EQ(signum, 0);
  uv_close((uv_handle_t*) process, NULL);
  process->data = NULL;
}

/* Who watches SIGCHLD without a wait that could take it is told. */
static void check_children_told(const unsigned long* told,
                                const unsigned long* started) {
  const struct watcher* at;
  unsigned i;

  for (i = 0; i < WATCHERS; i++) {
    at = &model.watchers[i];
    if (at->which == CHILD && at->started == started[i])
      CHECK(at->told > told[i]);
  }
}

/* No arguments. On loop 1. */
bool step_spawn(const unsigned* args) {
  static uv_process_t process;
  static char name[] = "true";
  char* words[] = {name, NULL};
  uv_process_options_t options = {
      .exit_cb = on_exit_of_child, .file = name, .args = words};
  unsigned long told[WATCHERS];
  unsigned long started[WATCHERS];
  unsigned long taken = model.children_taken;
  unsigned i;

  (void) args;
  if (model.is_child || callback_depth() > 0)
    return false;
  for (i = 0; i < WATCHERS; i++) {
    told[i] = model.watchers[i].told;
    started[i] = model.watchers[i].which == CHILD ? model.watchers[i].started
                                                  : ULONG_MAX;
  }
  CHECK_EQ(uv_spawn(&model.loops[1].uv, &process, &options), 0);
  process.data = &process;
  while (process.data != NULL)
    uv_run(&model.loops[1].uv, UV_RUN_NOWAIT);
  settle();
  if (model.children_taken == taken)
    check_children_told(told, started);
  return true;
}

/* As if the library had never been there. */
static void be_without(void) {
  unsigned i;
  unsigned args[STEP_ARGS] = {0};

  model.is_child = true;
  for (i = 0; i < LOOPS; i++)
    model.loops[i].is_alive = false;
  for (i = 0; i < SIGNALS; i++) {
    model.waiting[0][i] = 0;
    if (model.at[i].top == OURS)
      model.at[i].top = model.at[i].over;
  }
  check_masks(0);
  check_dispositions();
  for (args[1] = 0; args[1] < SHARED; args[1]++)
    step_raise(args);
  check_dispositions();
}

static bool has_circle(void) {
  unsigned i;

  for (i = 0; i < SHARED; i++)
    if (model.at[i].top == FOREIGN && model.at[i].saved == OURS)
      return true;
  return false;
}

/* The loops of this thread go on. */
static void go_on(void) {
  unsigned i;
  unsigned k;

  for (i = 0; i < LOOPS; i++)
    if (thread_of(i) == 0)
      CHECK_EQ(uv_loop_fork(&model.loops[i].uv), 0);
  for (i = 0; i < LOOPS; i++) {
    struct loop* l = &model.loops[i];

    if (thread_of(i) != 0)
      continue;
    if (l->is_open && !l->is_closing)
      CHECK_EQ(uvsig_fork(&l->sig), 0);
    l->is_alive = true;
    model_forget(i);
    for (k = 0; k < SIGNALS; k++)
      if (is_watched_on(i, k))
        model_watch(k);
    model_unblock(0);
  }
  for (i = 0; i < HANDLES; i++)
    model.handle_calls[i] = model.handle_told[i];
  check_masks(0);
  check_dispositions();
}

/* args: whether the child goes on with the sequence. Then both do. */
bool step_fork(const unsigned* args) {
  int status;
  pid_t child;

  /* ThreadSanitizer calls no handler in a child of several threads. */
  if (callback_depth() > 0 || model.is_child ||
      (model.has_worker && under_thread_sanitizer()))
    return false;
  fflush(NULL);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    be_without();
    if (args[0] == 0 || has_circle())
      _exit(0);
    go_on();
    return true;
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  if (status != 0)
    check_failed(__FILE__, __LINE__, "the child has failed: %d", status);
  return true;
}
