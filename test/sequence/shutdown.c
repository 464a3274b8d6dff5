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

#include "shutdown-steps.h"
#include "../lib/roles.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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
  unsigned short_ms = 3 * time_factor();

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
  options->grace_ms = config & 1 ? short_ms : LONG_MS;
  options->hard_ms = (config & 6) == 6 ? short_ms : LONG_MS;
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
    step_release(args);
  for (args[0] = 0; args[0] < CONNS; args[0]++) {
    struct conn* conn = m.conns[args[0]];

    if (conn == NULL)
      continue;
    /* A request, and its response, so that each is told to close. */
    if (conn->told[UVSIG_SHUTDOWN_CONNECTION_DRAIN] > 0 &&
        conn->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE] == 0 &&
        m.options.idle == UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE) {
      args[1] = 1;
      step_use_conn(args);
    }
    args[1] = 0;
    step_use_conn(args);
    if (conn->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE] +
            conn->told[UVSIG_SHUTDOWN_CONNECTION_FORCE] >
        0)
      step_remove_conn(args);
  }
  for (args[0] = 0; args[0] < CLOSERS; args[0]++)
    if (m.closers[args[0]] != NULL && m.closers[args[0]]->is_called)
      step_end_closer(args);
  for (args[0] = 0; args[0] < CHILDREN; args[0]++)
    step_reap(args);
  if (m.is_reloading) {
    args[0] = 0;
    step_finish_reload(args);
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

  step_give_up(args);
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
    step_request(args);
    while (!m.is_over && !m.is_given_up) {
      args[0] = has_stubborn();
      if (args[0] > 0 && is_in_use() && m.level < UVSIG_SHUTDOWN_FORCED)
        step_request(args);
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
    {"ADD_CONN", 8, {CONNS}, true, step_add_conn},
    {"USE_CONN", 10, {CONNS, 2}, true, step_use_conn},
    {"REMOVE_CONN", 6, {CONNS}, true, step_remove_conn},
    {"HOLD", 5, {HOLDS}, true, step_hold},
    {"RELEASE", 5, {HOLDS}, true, step_release},
    {"ADD_CLOSER", 3, {CLOSERS}, true, step_add_closer},
    {"END_CLOSER", 4, {CLOSERS}, true, step_end_closer},
    {"ADD_LISTENER", 2, {LISTENERS}, true, step_add_listener},
    {"REMOVE_LISTENER", 1, {LISTENERS}, true, step_remove_listener},
    {"ADD_CHILD", 1, {CHILDREN, 2}, true, step_add_child},
    {"REAP", 2, {CHILDREN}, true, step_reap},
    {"START_RELOAD", 2, {0}, true, step_start_reload},
    {"REQUEST_RELOAD", 3, {2}, true, step_request_reload},
    {"FINISH_RELOAD", 2, {2}, true, step_finish_reload},
    {"STOP_RELOAD", 1, {0}, true, step_stop_reload},
    {"INIT_UPGRADE", 1, {3}, true, step_init_upgrade},
    {"REQUEST_UPGRADE", 1, {0}, true, step_request_upgrade},
    {"STOP_UPGRADE", 1, {0}, true, step_stop_upgrade},
    {"SIGNAL", 3, {3}, true, step_send_signal},
    {"REQUEST", 1, {2}, true, step_request},
    {"EXTEND", 1, {0}, true, step_extend},
    {"READY", 1, {0}, true, step_be_ready},
    {"GIVE_UP", 1, {0}, true, step_give_up},
    {"TURN", 24, {0}, false, step_turn},
};

static const struct kind coordinator = {"coordinator",
                                        ops,
                                        sizeof(ops) / sizeof(ops[0]),
                                        50,
                                        12,
                                        begin,
                                        end,
                                        check_all,
                                        "libuvsig: shutdown: time is up"};

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
