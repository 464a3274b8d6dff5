/* SPDX-License-Identifier: MIT
 *
 * What the sequences of the core act on: the handlers below and above the
 * library's, the loops, and the worker's thread.
 */

#include "core-model.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

int signals[SIGNALS];

/* --- Handlers ------------------------------------------------------------------ */

static atomic_ulong calls[SIGNALS][OURS];
static atomic_ulong handler_calls[WATCHERS];
static struct sigaction saved[SIGNALS];
static volatile sig_atomic_t chains[SIGNALS];

static void on_base(int signum) {
  atomic_fetch_add(&calls[index_of(signum)][BASE], 1);
}

static void on_foreign(int signum, siginfo_t* info, void* context) {
  int which = index_of(signum);

  atomic_fetch_add(&calls[which][FOREIGN], 1);
  if (chains[which])
    call_handler(&saved[which], signum, info, context);
}

void on_handler(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) info;
  if (signum != SIGCHLD)
    atomic_fetch_add(&handler_calls[(uintptr_t) w->data], 1);
}

unsigned long real_handler_calls(unsigned watcher) {
  return handler_calls[watcher];
}

unsigned long real_calls(unsigned which, int whose) {
  return calls[which][whose];
}

int installed(unsigned which) {
  struct sigaction action = action_of(signals[which]);

  if ((action.sa_flags & SA_SIGINFO) == 0)
    return BASE;
  return action.sa_sigaction == on_foreign ? FOREIGN : OURS;
}

void install_foreign(unsigned which) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = on_foreign;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  chains[which] = model.at[which].chains;
  CHECK_EQ(sigaction(signals[which], NULL, &saved[which]), 0);
  CHECK_EQ(sigaction(signals[which], &action, NULL), 0);
}

void remove_foreign(unsigned which) {
  CHECK_EQ(sigaction(signals[which], &saved[which], NULL), 0);
}

void install_base(unsigned which) {
  if (model.at[which].base == HANDLED)
    install_handler(signals[which], on_base);
  else if (model.at[which].base == IGNORED)
    CHECK(uvsig_ignore(signals[which]) >= 0);
}

/* --- Signals ------------------------------------------------------------------- */

bool has_raise_alone(void) {
#ifdef __GLIBC__
  return under_thread_sanitizer() || under_valgrind();
#else
  return true; /* there is no pthread_sigqueue() */
#endif
}

/* With a value, so that the callback knows which one it is. */
void send_to_self(unsigned which, unsigned id) {
  int err;

#ifdef __GLIBC__
  const union sigval value = {.sival_int = (int) id};

  do
    err = has_raise_alone()
              ? raise(signals[which])
              : pthread_sigqueue(pthread_self(), signals[which], value);
  while (err == EAGAIN && usleep(1000) <= 0);
#else
  (void) id;
  err = raise(signals[which]);
#endif
  CHECK_EQ(err, 0);
}

static sigset_t launcher_mask(unsigned thread) {
  sigset_t set = set_of(0);
  int i;

  for (i = 0; i < EXACT; i++)
    if (model.was_blocked[thread][i])
      sigaddset(&set, signals[i]);
  if (thread > 0) {
    /* So that their handlers have run when the main thread goes on. */
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGALRM);
  }
  return set;
}

/* --- The worker ----------------------------------------------------------------- */

static struct {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  bool (*fn)(const unsigned*); /* to be called */
  const unsigned* args;
  bool result;
  bool is_over;
} worker = {.mutex = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER};

static _Thread_local unsigned self;

unsigned this_thread(void) {
  return self;
}

static void* work(void* unused) {
  sigset_t mask = launcher_mask(1);

  (void) unused;
  self = 1;
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
  pthread_mutex_lock(&worker.mutex);
  while (!worker.is_over) {
    if (worker.fn != NULL) {
      worker.result = worker.fn(worker.args);
      worker.fn = NULL;
      pthread_cond_broadcast(&worker.changed);
    }
    pthread_cond_wait(&worker.changed, &worker.mutex);
  }
  pthread_mutex_unlock(&worker.mutex);
  return NULL;
}

bool call_in(unsigned thread,
             bool (*fn)(const unsigned*),
             const unsigned* args) {
  bool result;

  if (thread == self)
    return fn(args);
  /* A callback does not wait for another thread. */
  if (self != 0 || callback_depth() > 0 || !model.has_worker || model.is_child)
    return false;
  pthread_mutex_lock(&worker.mutex);
  worker.fn = fn;
  worker.args = args;
  pthread_cond_broadcast(&worker.changed);
  while (worker.fn != NULL)
    pthread_cond_wait(&worker.changed, &worker.mutex);
  result = worker.result;
  pthread_mutex_unlock(&worker.mutex);
  return result;
}

/* --- Opening -------------------------------------------------------------------- */

void open_signals(unsigned loop, unsigned kind) {
  struct loop* l = &model.loops[loop];
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = kind & 1 ? UVSIG_MODE_WAKE_ONLY : UVSIG_MODE_BYTES;
  options.warn_on_full_buffer = 0;
  if (kind >> 1 == 1)
    options.buffer_size = 4096;
  if (kind >> 1 == 2)
    options.wakeup = UVSIG_WAKEUP_SOCKETPAIR;
  if (kind >> 1 == 3)
    options.info_depth = 1;
  CHECK_EQ(uvsig_init(&l->uv, &l->sig, &options), 0);
  l->is_open = true;
  l->sig.data = l;
  memset(l->is_opened, 0, sizeof(l->is_opened));
  model_forget(loop);
}

static bool open_in_thread(const unsigned* args) {
  open_signals(args[0], args[1]);
  return true;
}

static void name_signals(void) {
  signals[REALTIME] = SIGRTMIN;
  signals[STANDARD] = SIGUSR1;
  signals[OTHER] = SIGRTMIN + 1;
  signals[SHARED] = SIGWINCH;
  signals[CHILD] = SIGCHLD;
}

/* Bits of `config`: three for each loop's options, one for a worker, then those
 * whose action is to be ignored, and that are blocked, at the start. */
void world_open(unsigned config) {
  unsigned args[STEP_ARGS] = {0};
  sigset_t mask;
  unsigned i;

  name_signals();
  model_reset();
  model.has_worker = (config >> 9 & 1) != 0;
  for (i = 0; i <= OTHER; i++) {
    model.at[i].base = (config >> (10 + i) & 1) != 0 ? IGNORED : HANDLED;
    model.was_blocked[0][i] = (config >> (13 + i) & 1) != 0;
    model.was_blocked[1][i] = model.was_blocked[0][i];
    install_base(i);
  }
  model.at[SHARED].base = DEFAULTED;
  model.at[CHILD].base = DEFAULTED;
  mask = launcher_mask(0);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
  if (model.has_worker)
    CHECK_EQ(pthread_create(&worker.thread, NULL, work, NULL), 0);
  for (i = 0; i < LOOPS; i++) {
    CHECK_EQ(uv_loop_init(&model.loops[i].uv), 0);
    model.loops[i].is_alive = true;
    args[0] = i;
    args[1] = config >> (3 * i) & 7;
    CHECK(call_in(thread_of(i), open_in_thread, args));
  }
  for (i = 0; i < HANDLES; i++)
    CHECK_EQ(uv_signal_init(&model.loops[i].uv, &model.handles[i]), 0);
}

void world_close(void) {
  unsigned i;

  for (i = 0; i < HANDLES; i++)
    uv_close((uv_handle_t*) &model.handles[i], NULL);
  if (model.has_worker) {
    pthread_mutex_lock(&worker.mutex);
    worker.is_over = true;
    pthread_cond_broadcast(&worker.changed);
    pthread_mutex_unlock(&worker.mutex);
    CHECK_EQ(pthread_join(worker.thread, NULL), 0);
  }
  for (i = 0; i < LOOPS; i++) {
    CHECK_EQ(uv_run(&model.loops[i].uv, UV_RUN_DEFAULT), 0);
    close_loop(&model.loops[i].uv);
  }
}
