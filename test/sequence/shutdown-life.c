/* SPDX-License-Identifier: MIT
 *
 * Steps of what a server does before its end, reloads and upgrades, and of what
 * begins the end, and gives it up.
 */

#include "shutdown-steps.h"

/* --- Reloads ---------------------------------------------------------------------------- */

bool step_start_reload(const unsigned* args) {
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
bool step_request_reload(const unsigned* args) {
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
bool step_finish_reload(const unsigned* args) {
  int err;

  if (!is_in_use())
    return false;
  err = args[0] > 0 ? uvsig_reload_fail(&m.reload, UV_EIO)
                    : uvsig_reload_finish(&m.reload);
  CHECK_EQ(err, m.is_reloading ? 0 : UV_EINVAL);
  m.is_reloading = false;
  return true;
}

bool step_stop_reload(const unsigned* args) {
  (void) args;
  if (!is_in_use() || !m.is_reload_started)
    return false;
  CHECK_EQ(uvsig_reload_stop(&m.reload), 0);
  m.is_reload_started = false;
  m.is_reload_due = false;
  return true;
}

/* --- A successor -------------------------------------------------------------------------- */

uvsig_upgrade_t upgrade;
bool has_upgrade;
bool is_upgrade_started;
pid_t successor;
char self[4096];

/* args: which: one that will be ready, one that ends, one that is not there */
bool step_init_upgrade(const unsigned* args) {
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

bool step_request_upgrade(const unsigned* args) {
  int err;

  (void) args;
  if (!is_in_use() || !is_upgrade_started)
    return false;
  err = uvsig_upgrade_request(&upgrade);
  if (m.level != UVSIG_SHUTDOWN_NONE)
    CHECK_EQ(err, UV_ECANCELED);
  else if (m.upgrades > 0)
    CHECK_EQ(err, UV_EBUSY);
  else
    /* One that was stopped may not have been waited for yet. */
    CHECK(err == 0 || (err == UV_EBUSY && m.has_stopped_upgrade));
  m.upgrades += err == 0;
  m.most_killed += err == 0; /* a successor that is stopped counts, too */
  return true;
}

bool step_stop_upgrade(const unsigned* args) {
  (void) args;
  if (!is_in_use() || !is_upgrade_started)
    return false;
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  is_upgrade_started = false;
  m.has_stopped_upgrade = m.has_stopped_upgrade || m.upgrades > 0;
  m.upgrades = 0;
  return true;
}

/* --- What begins it, and ends it ------------------------------------------------------------ */

/* args: SIGTERM, SIGINT, or SIGQUIT, which forces */
bool step_send_signal(const unsigned* args) {
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
bool step_request(const unsigned* args) {
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

bool step_extend(const unsigned* args) {
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

bool step_be_ready(const unsigned* args) {
  (void) args;
  if (!is_in_use())
    return false;
  CHECK_EQ(uvsig_shutdown_ready(&m.sd),
           m.level == UVSIG_SHUTDOWN_NONE ? 0 : UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_is_ready(&m.sd), m.level == UVSIG_SHUTDOWN_NONE);
  return true;
}

/* In any phase. */
bool step_give_up(const unsigned* args) {
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

bool step_turn(const unsigned* args) {
  (void) args;
  if (callback_depth() > 0)
    return false;
  uv_run(&m.loop, UV_RUN_NOWAIT);
  return true;
}
