/* SPDX-License-Identifier: MIT
 *
 * Random sequences of what a coordinator has, against a model: connections, work,
 * closers, child processes, listeners, reloads and upgrades, which come and go in
 * any phase and in each other's callbacks; signals, requests, extensions; and the
 * end of it, by DONE or by uvsig_shutdown_close(). See shutdown-model.h.
 *
 * The model says which callbacks may come when, and how often; what each call
 * returns; what the report counts. At the end everything finishes, and DONE has
 * to come. Some time limits are a few milliseconds, so that they are met.
 */

#include "shutdown-model.h"
#include "../lib/roles.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- Connections ------------------------------------------------------------------ */

/* args: the connection */
static bool add_conn(const unsigned* args) {
  struct conn* conn;
  int phase;
  int err;

  if (!is_in_use() || m.conns[args[0]] != NULL)
    return false;
  phase = phase_now();
  conn = calloc(1, sizeof(*conn));
  CHECK(conn != NULL);
  conn->c.data = (void*) (uintptr_t) args[0];
  err = uvsig_shutdown_add_connection(&m.sd, &conn->c, on_conn);
  if (phase < UVSIG_SHUTDOWN_DRAINING)
    CHECK_EQ(err, 0);
  else if (phase > UVSIG_SHUTDOWN_DRAINING)
    CHECK_EQ(err, UV_ECANCELED);
  else
    CHECK(err == 0 || err == UV_ECANCELED); /* have listeners been closed? */
  if (err != 0)
    free(conn);
  else
    m.conns[args[0]] = conn;
  return true;
}

/* args: the connection, whether it is busy */
static bool use_conn(const unsigned* args) {
  struct conn* conn = m.conns[args[0]];

  if (!is_in_use() || conn == NULL)
    return false;
  if (args[1] > 0)
    CHECK_EQ(uvsig_shutdown_connection_busy(&conn->c), 0);
  else
    CHECK_EQ(uvsig_shutdown_connection_idle(&conn->c), 0);
  conn->is_busy = args[1] > 0;
  return true;
}

/* args: the connection */
static bool remove_conn(const unsigned* args) {
  struct conn* conn = m.conns[args[0]];

  if (!is_in_use() || conn == NULL)
    return false;
  if (phase_now() > UVSIG_SHUTDOWN_RUNNING) {
    if (conn->told[UVSIG_SHUTDOWN_CONNECTION_FORCE] > 0)
      m.forced++;
    else
      m.closed++;
  }
  CHECK_EQ(uvsig_shutdown_remove_connection(&conn->c), 0);
  CHECK_EQ(uvsig_shutdown_remove_connection(&conn->c), 0);
  free_conn(args[0]);
  return true;
}

/* --- Work, closers, listeners ------------------------------------------------------- */

/* args: the hold */
static bool hold(const unsigned* args) {
  struct hold* at;
  int err;

  if (!is_in_use() || m.holds[args[0]] != NULL)
    return false;
  at = calloc(1, sizeof(*at));
  CHECK(at != NULL);
  err = uvsig_shutdown_hold(&m.sd, &at->h, "work");
  CHECK_EQ(err, phase_now() <= UVSIG_SHUTDOWN_DRAINING ? 0 : UV_ECANCELED);
  m.holds[args[0]] = at;
  if (err != 0)
    free_hold(args[0]);
  return true;
}

/* args: the hold */
static bool release(const unsigned* args) {
  if (!is_in_use() || m.holds[args[0]] == NULL)
    return false;
  CHECK_EQ(uvsig_shutdown_release(&m.holds[args[0]]->h), 0);
  free_hold(args[0]);
  return true;
}

/* args: the closer */
static bool add_closer(const unsigned* args) {
  struct closer* closer;
  int err;

  if (!is_in_use() || m.closers[args[0]] != NULL)
    return false;
  closer = calloc(1, sizeof(*closer));
  CHECK(closer != NULL);
  closer->c.data = (void*) (uintptr_t) args[0];
  closer->since = ++m.registered;
  err = uvsig_shutdown_add_closer(&m.sd, &closer->c, on_closer);
  CHECK_EQ(err, phase_now() <= UVSIG_SHUTDOWN_FORCING ? 0 : UV_ECANCELED);
  m.closers[args[0]] = closer;
  if (err != 0)
    free_closer(args[0]);
  return true;
}

/* args: the closer */
static bool end_closer(const unsigned* args) {
  if (!is_in_use() || m.closers[args[0]] == NULL)
    return false;
  CHECK_EQ(uvsig_shutdown_closed(&m.closers[args[0]]->c), 0);
  free_closer(args[0]);
  return true;
}

/* args: the listener */
static bool add_listener(const unsigned* args) {
  struct listener* listener;
  int err;

  if (!is_in_use() || m.listeners[args[0]] != NULL)
    return false;
  listener = calloc(1, sizeof(*listener));
  CHECK(listener != NULL);
  listener->l.data = (void*) (uintptr_t) args[0];
  err = uvsig_shutdown_add_listener(&m.sd, &listener->l, NULL, on_listener);
  CHECK_EQ(err, m.level == UVSIG_SHUTDOWN_NONE ? 0 : UV_ECANCELED);
  m.listeners[args[0]] = listener;
  if (err != 0)
    free_listener(args[0]);
  return true;
}

/* args: the listener */
static bool remove_listener(const unsigned* args) {
  if (!is_in_use() || m.listeners[args[0]] == NULL)
    return false;
  CHECK_EQ(uvsig_shutdown_remove_listener(&m.listeners[args[0]]->l), 0);
  free_listener(args[0]);
  return true;
}

/* --- Child processes ------------------------------------------------------------------ */

static pid_t start_child(bool is_stubborn) {
  sigset_t all;
  sigset_t before;
  pid_t pid;

  fflush(NULL);
  /* Nothing comes before it has its own action. */
  sigfillset(&all);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0)
    signal(SIGTERM, is_stubborn ? SIG_IGN : SIG_DFL);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
  while (pid == 0)
    poll(NULL, 0, 1000 * 1000);
  return pid;
}

/* args: the child, whether it ignores SIGTERM */
static bool add_child(const unsigned* args) {
  struct child* child = &m.children[args[0]];
  int err;

  if (!is_in_use() || child->pid != 0 || phase_now() > UVSIG_SHUTDOWN_FORCING)
    return false;
  memset(child, 0, sizeof(*child));
  child->is_stubborn = args[1] > 0;
  child->pid = start_child(child->is_stubborn);
  err = uvsig_shutdown_add_child(&m.sd, &child->c, child->pid);
  CHECK_EQ(err, 0);
  m.most_killed += phase_now() == UVSIG_SHUTDOWN_FORCING;
  return true;
}

/* Waited for, once it has ended. */
static bool reap_now(struct child* child, int flags) {
  int status;
  pid_t pid = (pid_t) UNINTERRUPTED(waitpid(child->pid, &status, flags));

  if (pid == 0)
    return false;
  CHECK_EQ(pid, child->pid);
  if (is_in_use()) {
    check_death(child, status);
    CHECK_EQ(uvsig_shutdown_remove_child(&child->c), 0);
  }
  child->pid = 0;
  return true;
}

/* args: the child */
static bool reap(const unsigned* args) {
  struct child* child = &m.children[args[0]];

  return child->pid != 0 && reap_now(child, WNOHANG);
}

/* --- Reloads ---------------------------------------------------------------------------- */

static bool start_reload(const unsigned* args) {
  (void) args;
  if (!is_in_use() || m.is_reloading)
    return false;
  if (m.is_reload_started) {
    CHECK_EQ(uvsig_reload_start(&m.reload, on_reload, SIGUSR1), UV_EBUSY);
    return true;
  }
  CHECK_EQ(uvsig_reload_init(&m.sd, &m.reload), 0);
  if (m.level != UVSIG_SHUTDOWN_NONE) {
    CHECK_EQ(uvsig_reload_start(&m.reload, on_reload, SIGUSR1), UV_ECANCELED);
    return true;
  }
  CHECK_EQ(uvsig_reload_start(&m.reload, on_reload, SIGUSR1), 0);
  m.is_reload_started = true;
  return true;
}

/* args: whether it is a signal */
static bool request_reload(const unsigned* args) {
  if (!is_in_use() || !m.is_reload_started)
    return false;
  if (args[0] > 0)
    CHECK_EQ(raise(SIGUSR1), 0);
  else
    CHECK_EQ(uvsig_reload_request(&m.reload),
             m.level == UVSIG_SHUTDOWN_NONE ? 0 : UV_ECANCELED);
  m.is_reload_due = m.level == UVSIG_SHUTDOWN_NONE || m.is_reload_due;
  return true;
}

/* args: whether it has failed */
static bool finish_reload(const unsigned* args) {
  int err;

  if (!is_in_use())
    return false;
  err = args[0] > 0 ? uvsig_reload_fail(&m.reload, UV_EIO)
                    : uvsig_reload_finish(&m.reload);
  CHECK_EQ(err, m.is_reloading ? 0 : UV_EINVAL);
  m.is_reloading = false;
  return true;
}

static bool stop_reload(const unsigned* args) {
  (void) args;
  if (!is_in_use() || !m.is_reload_started)
    return false;
  CHECK_EQ(uvsig_reload_stop(&m.reload), 0);
  m.is_reload_started = false;
  m.is_reload_due = false;
  return true;
}

/* --- A successor -------------------------------------------------------------------------- */

static uvsig_upgrade_t upgrade;
static bool has_upgrade;
static bool is_upgrade_started;
static pid_t successor;
static char self[4096];

/* args: which: one that will be ready, one that ends, one that is not there */
static bool init_upgrade(const unsigned* args) {
  static char ready[] = "ready";
  static char end[] = "end";
  static char* words[] = {self, NULL, NULL};
  uvsig_upgrade_options_t options;

  if (!is_in_use() || is_upgrade_started || m.level != UVSIG_SHUTDOWN_NONE)
    return false;
  words[1] = args[0] == 0 ? ready : end;
  uvsig_upgrade_options_init(&options);
  options.file = args[0] == 2 ? "/nowhere/successor" : self;
  options.args = words;
  options.settle_ms = 1;
  CHECK_EQ(uvsig_upgrade_init(&m.sd, &upgrade, &options),
           has_upgrade ? UV_EBUSY : 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  has_upgrade = true;
  is_upgrade_started = true;
  return true;
}

static bool request_upgrade(const unsigned* args) {
  int err;

  (void) args;
  if (!is_in_use() || !is_upgrade_started)
    return false;
  err = uvsig_upgrade_request(&upgrade);
  if (m.level != UVSIG_SHUTDOWN_NONE)
    CHECK_EQ(err, UV_ECANCELED);
  else
    CHECK_EQ(err, m.upgrades > 0 ? UV_EBUSY : 0);
  m.upgrades += err == 0;
  m.most_killed += err == 0; /* a successor that is stopped counts, too */
  return true;
}

static bool stop_upgrade(const unsigned* args) {
  (void) args;
  if (!is_in_use() || !is_upgrade_started)
    return false;
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  is_upgrade_started = false;
  m.upgrades = 0;
  return true;
}

/* --- What begins it, and ends it ------------------------------------------------------------ */

/* args: SIGTERM, SIGINT, or SIGQUIT, which forces */
static bool send_signal(const unsigned* args) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT};

  if (!is_in_use())
    return false;
  m.signals++;
  model_raise_level(args[0] == 2 || (m.options.forced_count != 0 &&
                                     m.signals >= m.options.forced_count)
                        ? UVSIG_SHUTDOWN_FORCED
                        : UVSIG_SHUTDOWN_GRACEFUL,
                    numbers[args[0]]);
  CHECK_EQ(raise(numbers[args[0]]), 0);
  return true;
}

/* args: whether it forces */
static bool request(const unsigned* args) {
  uvsig_shutdown_level_t level =
      args[0] > 0 ? UVSIG_SHUTDOWN_FORCED : UVSIG_SHUTDOWN_GRACEFUL;

  if (m.is_given_up)
    return false;
  CHECK_EQ(uvsig_shutdown_request(&m.sd, "test", level),
           phase_now() == UVSIG_SHUTDOWN_DONE ? UV_EALREADY : 0);
  if (phase_now() < UVSIG_SHUTDOWN_DONE)
    model_raise_level(level, 0);
  return true;
}

static bool extend(const unsigned* args) {
  int err;

  (void) args;
  if (!is_in_use())
    return false;
  err = uvsig_shutdown_extend(&m.sd, LONG_MS);
  CHECK_EQ(
      err,
      phase_now() <= UVSIG_SHUTDOWN_DRAINING && m.level < UVSIG_SHUTDOWN_FORCED
          ? 0
          : UV_ECANCELED);
  m.is_patient = m.is_patient || err == 0;
  return true;
}

static bool be_ready(const unsigned* args) {
  (void) args;
  if (!is_in_use())
    return false;
  CHECK_EQ(uvsig_shutdown_ready(&m.sd),
           m.level == UVSIG_SHUTDOWN_NONE ? 0 : UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_is_ready(&m.sd), m.level == UVSIG_SHUTDOWN_NONE);
  return true;
}

/* In any phase. */
static bool give_up(const unsigned* args) {
  bool was_over = m.is_over;

  (void) args;
  if (m.is_given_up || (was_over && callback_depth() > 0))
    return false;
  /* Done, and the callback that says so is to come. */
  if (phase_now() == UVSIG_SHUTDOWN_DONE && !was_over) {
    CHECK_EQ(uvsig_shutdown_close(&m.sd, on_given_up), UV_EALREADY);
    return true;
  }
  if (has_upgrade)
    successor = upgrade.pid;
  CHECK_EQ(uvsig_shutdown_close(&m.sd, on_given_up), 0);
  m.is_given_up = true;
  m.closes = !was_over;
  m.upgrades = 0;
  return true;
}

static bool turn(const unsigned* args) {
  (void) args;
  if (callback_depth() > 0)
    return false;
  uv_run(&m.loop, UV_RUN_NOWAIT);
  return true;
}

/* --- Begin and end ----------------------------------------------------------------------------- */

static volatile sig_atomic_t unwatched; /* signals that had their own action */

static void on_unwatched(int signum) {
  (void) signum;
  unwatched++;
}

/* Bits of `config`: short limits or long ones, what happens to idle ones, the
 * count that forces, and whether the uvsig_t is kept. */
static void begin(unsigned config) {
  uvsig_shutdown_options_t* options = &m.options;

  memset(&m, 0, sizeof(m));
  has_upgrade = false;
  is_upgrade_started = false;
  successor = 0;
  install_handler(SIGTERM, on_unwatched);
  install_handler(SIGINT, on_unwatched);
  install_handler(SIGQUIT, on_unwatched);
  install_handler(SIGUSR1, on_unwatched);
  install_handler(SIGUSR2, on_unwatched);
  CHECK_EQ(uv_loop_init(&m.loop), 0);
  CHECK_EQ(uvsig_init(&m.loop, &m.sig, NULL), 0);
  uvsig_shutdown_options_init(options);
  options->forced = set_of(SIGQUIT);
  options->grace_ms = config & 1 ? SHORT_MS : LONG_MS;
  options->hard_ms = (config & 6) == 6 ? SHORT_MS : LONG_MS;
  options->delay_ms = config & 8 ? 1 : 0;
  options->fresh_ms = config & 16 ? 1 : 0;
  options->idle = (uvsig_shutdown_idle_t) ((config >> 5 & 3) % 3);
  options->spread_ms = 2;
  options->forced_count = config & 128 ? 3 : 2;
  options->exit_count = 0;
  options->debounce_ms = 0;
  options->notify = 0;
  options->keep_sig = (config & 256) != 0;
  options->exit = UVSIG_SHUTDOWN_EXIT_CODE;
  options->phase_cb = on_phase;
  CHECK_EQ(uvsig_shutdown_init(&m.sig, &m.sd, options), 0);
}

/* Everything that a shutdown waits for comes to its end. */
static void finish(void) {
  unsigned args[STEP_ARGS] = {0};

  for (args[0] = 0; args[0] < HOLDS; args[0]++)
    release(args);
  for (args[0] = 0; args[0] < CONNS; args[0]++) {
    struct conn* conn = m.conns[args[0]];

    if (conn == NULL)
      continue;
    /* A request, and its response, so that each is told to close. */
    if (conn->told[UVSIG_SHUTDOWN_CONNECTION_DRAIN] > 0 &&
        conn->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE] == 0 &&
        m.options.idle == UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE) {
      args[1] = 1;
      use_conn(args);
    }
    args[1] = 0;
    use_conn(args);
    if (conn->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE] +
            conn->told[UVSIG_SHUTDOWN_CONNECTION_FORCE] >
        0)
      remove_conn(args);
  }
  for (args[0] = 0; args[0] < CLOSERS; args[0]++)
    if (m.closers[args[0]] != NULL && m.closers[args[0]]->is_called)
      end_closer(args);
  for (args[0] = 0; args[0] < CHILDREN; args[0]++)
    reap(args);
  if (m.is_reloading) {
    args[0] = 0;
    finish_reload(args);
  }
}

/* A child that ignores SIGTERM is waited for until it is forced. */
static bool has_stubborn(void) {
  unsigned i;

  for (i = 0; i < CHILDREN; i++)
    if (m.children[i].pid != 0 && m.children[i].is_stubborn)
      return true;
  return false;
}

static void end_process(pid_t pid) {
  int status;

  kill(pid, SIGKILL);
  UNINTERRUPTED(waitpid(pid, &status, 0));
}

static void close_all(void) {
  unsigned args[STEP_ARGS] = {0};
  unsigned i;

  give_up(args);
  if (!m.has_forgotten)
    forget_all();
  if (uvsig_close(&m.sig, NULL) == 0)
    SAY("  the uvsig_t was kept\n");
  for (i = 0; i < CHILDREN; i++)
    if (m.children[i].pid != 0)
      end_process(m.children[i].pid);
  if (successor != 0)
    end_process(successor);
  uv_run(&m.loop, UV_RUN_DEFAULT);
  CHECK_EQ(m.closes, 0);
  close_loop(&m.loop);
}

static void end(void) {
  unsigned args[STEP_ARGS] = {0};

  if (!m.is_over && !m.is_given_up) {
    request(args);
    while (!m.is_over && !m.is_given_up) {
      args[0] = has_stubborn();
      if (args[0] > 0 && is_in_use() && m.level < UVSIG_SHUTDOWN_FORCED)
        request(args);
      uv_run(&m.loop, UV_RUN_NOWAIT);
      check_all();
      finish();
    }
  }
  check_all();
  if (m.is_over && !m.is_given_up)
    CHECK_EQ(uvsig_shutdown_exit(&m.sd), m.cause != 0 ? 128 + m.cause : 0);
  if (m.is_over)
    successor = m.sd.report.successor;
  close_all();
}

enum {
  ADD_CONN,
  USE_CONN,
  REMOVE_CONN,
  HOLD,
  RELEASE,
  ADD_CLOSER,
  END_CLOSER,
  ADD_LISTENER,
  REMOVE_LISTENER,
  ADD_CHILD,
  REAP,
  START_RELOAD,
  REQUEST_RELOAD,
  FINISH_RELOAD,
  STOP_RELOAD,
  INIT_UPGRADE,
  REQUEST_UPGRADE,
  STOP_UPGRADE,
  SIGNAL,
  REQUEST,
  EXTEND,
  READY,
  GIVE_UP,
  TURN
};

static const struct op ops[] = {
    {"ADD_CONN", 8, {CONNS}, true, add_conn},
    {"USE_CONN", 10, {CONNS, 2}, true, use_conn},
    {"REMOVE_CONN", 6, {CONNS}, true, remove_conn},
    {"HOLD", 5, {HOLDS}, true, hold},
    {"RELEASE", 5, {HOLDS}, true, release},
    {"ADD_CLOSER", 3, {CLOSERS}, true, add_closer},
    {"END_CLOSER", 4, {CLOSERS}, true, end_closer},
    {"ADD_LISTENER", 2, {LISTENERS}, true, add_listener},
    {"REMOVE_LISTENER", 1, {LISTENERS}, true, remove_listener},
    {"ADD_CHILD", 1, {CHILDREN, 2}, true, add_child},
    {"REAP", 2, {CHILDREN}, true, reap},
    {"START_RELOAD", 2, {0}, true, start_reload},
    {"REQUEST_RELOAD", 3, {2}, true, request_reload},
    {"FINISH_RELOAD", 2, {2}, true, finish_reload},
    {"STOP_RELOAD", 1, {0}, true, stop_reload},
    {"INIT_UPGRADE", 1, {3}, true, init_upgrade},
    {"REQUEST_UPGRADE", 1, {0}, true, request_upgrade},
    {"STOP_UPGRADE", 1, {0}, true, stop_upgrade},
    {"SIGNAL", 3, {3}, true, send_signal},
    {"REQUEST", 1, {2}, true, request},
    {"EXTEND", 1, {0}, true, extend},
    {"READY", 1, {0}, true, be_ready},
    {"GIVE_UP", 1, {0}, true, give_up},
    {"TURN", 24, {0}, false, turn},
};

static const struct kind coordinator = {"coordinator",
                                        ops,
                                        sizeof(ops) / sizeof(ops[0]),
                                        50,
                                        12,
                                        begin,
                                        end,
                                        check_all};

static void a_shutdown_goes_as_the_model_says(void) {
  run_sequences(&coordinator);
}

/* --- The successor -------------------------------------------------------------------- */

static int play_ready(void) {
  static uvsig_shutdown_t sd;
  static uvsig_t sig;
  uv_loop_t loop;

  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uvsig_init(&loop, &sig, NULL), 0);
  CHECK_EQ(uvsig_shutdown_init(&sig, &sd, NULL), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  return 0;
}

static int play_end(void) {
  return 3;
}

static const struct role roles[] = {
    {"ready", play_ready, NULL}, {"end", play_end, NULL}, {NULL, NULL, NULL}};

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(a_shutdown_goes_as_the_model_says),
  };
  size_t size = sizeof(self);

  if (argc > 1)
    return play_role(roles, argv + 1);
  CHECK_EQ(uv_exepath(self, &size), 0);
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
