/* SPDX-License-Identifier: MIT
 *
 * The model, and what it says of each callback: see shutdown-model.h.
 */

#include "shutdown-model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct shutdown_model m;

/* --- Facts ---------------------------------------------------------------------- */

bool is_in_use(void) {
  return !m.is_given_up && phase_now() != UVSIG_SHUTDOWN_DONE;
}

int phase_now(void) {
  int phase = uvsig_shutdown_phase(&m.sd);

  CHECK(phase >= UVSIG_SHUTDOWN_RUNNING);
  return phase;
}

bool is_late(void) {
  return m.phase >= UVSIG_SHUTDOWN_FORCING && m.options.hard_ms != LONG_MS;
}

void model_raise_level(unsigned level, int signum) {
  if (m.level == UVSIG_SHUTDOWN_NONE)
    m.cause = signum;
  if (level > m.level)
    m.level = level;
}

/* --- Memory ---------------------------------------------------------------------- */

/* Whoever still uses it finds other things there. */
static void spoil(void* memory, size_t size) {
  memset(memory, 0x5a, size);
  free(memory);
}

void free_conn(unsigned i) {
  spoil(m.conns[i], sizeof(*m.conns[i]));
  m.conns[i] = NULL;
}

void free_hold(unsigned i) {
  spoil(m.holds[i], sizeof(*m.holds[i]));
  m.holds[i] = NULL;
}

void free_closer(unsigned i) {
  spoil(m.closers[i], sizeof(*m.closers[i]));
  m.closers[i] = NULL;
}

void free_listener(unsigned i) {
  spoil(m.listeners[i], sizeof(*m.listeners[i]));
  m.listeners[i] = NULL;
}

/* How many are registered. */
static unsigned count(void* const* registered, unsigned n) {
  unsigned result = 0;
  unsigned i;

  for (i = 0; i < n; i++)
    result += registered[i] != NULL;
  return result;
}

void forget_all(void) {
  unsigned i;

  m.has_forgotten = true;
  m.left_conns = count((void* const*) m.conns, CONNS);
  m.left_holds = count((void* const*) m.holds, HOLDS) + m.is_reloading;
  for (i = 0; i < CONNS; i++)
    if (m.conns[i] != NULL) {
      CHECK(m.conns[i]->c.shutdown == NULL);
      free_conn(i);
    }
  /* Work that goes on is still to be released. */
  for (i = 0; i < HOLDS; i++)
    if (m.holds[i] != NULL) {
      CHECK_EQ(uvsig_shutdown_release(&m.holds[i]->h), 0);
      free_hold(i);
    }
  for (i = 0; i < CLOSERS; i++)
    if (m.closers[i] != NULL) {
      CHECK(m.closers[i]->c.shutdown == NULL);
      free_closer(i);
    }
  for (i = 0; i < LISTENERS; i++)
    if (m.listeners[i] != NULL) {
      CHECK(m.listeners[i]->l.shutdown == NULL);
      free_listener(i);
    }
}

/* --- Phases ----------------------------------------------------------------------- */

static bool has_any(void* const* registered, unsigned count) {
  unsigned i;

  for (i = 0; i < count; i++)
    if (registered[i] != NULL)
      return true;
  return false;
}

#define HAS_ANY(array)                                                         \
 has_any((void* const*) (array), sizeof(array) / sizeof((array)[0]))

static bool has_children(void) {
  unsigned i;

  for (i = 0; i < CHILDREN; i++)
    if (m.children[i].pid != 0 && m.children[i].c.shutdown != NULL)
      return true;
  return false;
}

/* Nothing is left that a shutdown waits for before it calls closers. */
static void check_finished(void) {
  CHECK(!HAS_ANY(m.conns) || is_late());
  CHECK(!HAS_ANY(m.holds) || is_late());
  CHECK(!HAS_ANY(m.listeners));
  CHECK(!has_children() || is_late());
  CHECK(!m.is_reloading || is_late());
}

static void check_phase(uvsig_shutdown_phase_t phase) {
  switch (phase) {
  case UVSIG_SHUTDOWN_NOT_READY:
  case UVSIG_SHUTDOWN_DRAINING:
    return;
  case UVSIG_SHUTDOWN_FORCING:
    CHECK(m.level >= UVSIG_SHUTDOWN_FORCED ||
          (m.options.grace_ms != LONG_MS && !m.is_patient));
    return;
  case UVSIG_SHUTDOWN_CLOSING:
    CHECK(HAS_ANY(m.closers));
    check_finished();
    return;
  default:
    CHECK_EQ(phase, UVSIG_SHUTDOWN_DONE);
    check_finished();
    CHECK(!HAS_ANY(m.closers) || m.options.hard_ms != LONG_MS);
  }
}

void check_report(void) {
  const uvsig_shutdown_report_t* report = &m.sd.report;

  CHECK_EQ(report->signum, m.phase > UVSIG_SHUTDOWN_RUNNING ? m.cause : 0);
  if (m.phase == UVSIG_SHUTDOWN_DONE)
    CHECK_EQ(report->signals, m.signals);
  CHECK_EQ(report->closed, m.closed);
  CHECK_EQ(report->forced, m.forced);
  CHECK_EQ(report->cut, 0);
  if (report->killed > m.most_killed)
    check_failed(__FILE__,
                 __LINE__,
                 "%u were killed, of %u",
                 report->killed,
                 m.most_killed);
  CHECK(report->clean == 0 ||
        (report->holds == 0 && report->open == 0 && report->children == 0 &&
         report->killed == 0 && report->forced == 0 && report->closers == 0));
  CHECK(report->clean == 0 || m.level < UVSIG_SHUTDOWN_FORCED ||
        m.phase != UVSIG_SHUTDOWN_DONE || report->forced == 0);
}

static void check_left(void) {
  if (!m.has_forgotten)
    forget_all();
  CHECK_EQ(m.sd.report.open, m.left_conns);
  CHECK_EQ(m.sd.report.holds, m.left_holds);
  CHECK(m.sd.report.closers <= CLOSERS);
}

void on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase) {
  unsigned i;

  SAY("    phase %d\n", phase);
  CHECK(sd == &m.sd);
  CHECK(!m.is_over && !m.is_given_up);
  CHECK((int) phase > m.phase);
  CHECK(m.level > UVSIG_SHUTDOWN_NONE);
  CHECK_EQ(uvsig_shutdown_phase(sd), phase);
  CHECK_EQ(uvsig_shutdown_is_ready(sd), 0);
  if (phase != UVSIG_SHUTDOWN_DONE || !m.has_forgotten)
    check_phase(phase);
  m.phase = phase;
  if (phase >= UVSIG_SHUTDOWN_FORCING)
    for (i = 0; i < CHILDREN; i++)
      m.most_killed += m.children[i].pid != 0;
  if (phase != UVSIG_SHUTDOWN_DONE)
    check_report();
  if (phase == UVSIG_SHUTDOWN_DONE) {
    check_left();
    check_report();
    m.is_over = true;
  }
  act_in_callback();
}

/* --- What is registered ------------------------------------------------------------- */

void on_conn(uvsig_shutdown_connection_t* c, uvsig_shutdown_event_t event) {
  struct conn* conn = (struct conn*) (void*) c;

  SAY("    connection %u: %d\n", (unsigned) (uintptr_t) c->data, event);
  CHECK(is_in_use());
  CHECK(m.conns[(uintptr_t) c->data] == conn);
  CHECK_EQ(conn->told[event], 0);
  CHECK_EQ(conn->told[UVSIG_SHUTDOWN_CONNECTION_FORCE], 0);
  conn->told[event]++;
  switch (event) {
  case UVSIG_SHUTDOWN_CONNECTION_DRAIN:
    CHECK_EQ(phase_now(), UVSIG_SHUTDOWN_DRAINING);
    CHECK_EQ(conn->told[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 0);
    break;
  case UVSIG_SHUTDOWN_CONNECTION_CLOSE:
    CHECK_EQ(phase_now(), UVSIG_SHUTDOWN_DRAINING);
    CHECK_EQ(conn->told[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 1);
    CHECK(!conn->is_busy);
    break;
  default:
    CHECK_EQ(event, UVSIG_SHUTDOWN_CONNECTION_FORCE);
    CHECK_EQ(phase_now(), UVSIG_SHUTDOWN_FORCING);
  }
  act_in_callback();
}

void on_listener(uvsig_shutdown_listener_t* l) {
  unsigned i = (unsigned) (uintptr_t) l->data;

  SAY("    listener %u\n", i);
  CHECK(is_in_use());
  CHECK(&m.listeners[i]->l == l);
  CHECK(l->shutdown == NULL);
  CHECK(phase_now() == UVSIG_SHUTDOWN_DRAINING ||
        phase_now() == UVSIG_SHUTDOWN_FORCING);
  free_listener(i);
  act_in_callback();
}

/* The last that was registered is the first; one at a time, unless it is late. */
void on_closer(uvsig_shutdown_closer_t* c) {
  struct closer* closer = (struct closer*) (void*) c;
  unsigned i;

  SAY("    closer %u\n", (unsigned) (uintptr_t) c->data);
  CHECK(is_in_use());
  CHECK_EQ(phase_now(), UVSIG_SHUTDOWN_CLOSING);
  CHECK(m.closers[(uintptr_t) c->data] == closer);
  CHECK(!closer->is_called);
  closer->is_called = true;
  for (i = 0; i < CLOSERS; i++)
    if (m.closers[i] != NULL && m.closers[i] != closer &&
        m.options.hard_ms == LONG_MS)
      CHECK(!m.closers[i]->is_called && m.closers[i]->since < closer->since);
  act_in_callback();
}

void on_reload(uvsig_reload_t* r) {
  SAY("    reload\n");
  CHECK(r == &m.reload);
  CHECK(is_in_use());
  CHECK_EQ(m.level, UVSIG_SHUTDOWN_NONE);
  CHECK(m.is_reload_due);
  CHECK(m.is_reload_started);
  CHECK(!m.is_reloading);
  m.is_reload_due = false;
  m.is_reloading = true;
  act_in_callback();
}

void on_given_up(uvsig_shutdown_t* sd) {
  SAY("    given up\n");
  CHECK(sd == &m.sd);
  CHECK(m.is_given_up);
  CHECK_EQ(m.closes, 1);
  m.closes--;
}

/* A successor that is ready begins the end, and others change nothing. */
void on_upgrade(uvsig_upgrade_t* u, int status) {
  SAY("    upgrade: %d\n", status);
  CHECK(is_in_use());
  CHECK(m.upgrades > 0);
  m.upgrades--;
  if (status == 0) {
    CHECK(u->pid > 0);
    model_raise_level(UVSIG_SHUTDOWN_GRACEFUL, 0);
  } else if (status == UV_ECANCELED) {
    CHECK(m.level > UVSIG_SHUTDOWN_NONE);
  } else {
    CHECK(status == UV_ESRCH || status == UV_ENOENT);
  }
  act_in_callback();
}

void check_death(const struct child* child, int status) {
  CHECK(WIFSIGNALED(status));
  if (WTERMSIG(status) == SIGKILL)
    CHECK(m.phase >= UVSIG_SHUTDOWN_FORCING);
  else
    CHECK(WTERMSIG(status) == SIGTERM && !child->is_stubborn &&
          m.phase >= UVSIG_SHUTDOWN_DRAINING);
}

/* --- After each step ------------------------------------------------------------------ */

static void check_registered(void) {
  unsigned i;

  for (i = 0; i < CONNS; i++)
    CHECK(m.conns[i] == NULL || m.conns[i]->c.shutdown == &m.sd);
  for (i = 0; i < HOLDS; i++)
    CHECK(m.holds[i] == NULL || m.holds[i]->h.shutdown == &m.sd);
  for (i = 0; i < CLOSERS; i++)
    CHECK(m.closers[i] == NULL || m.closers[i]->c.shutdown == &m.sd ||
          m.options.hard_ms != LONG_MS);
  for (i = 0; i < LISTENERS; i++)
    CHECK(m.listeners[i] == NULL || m.listeners[i]->l.shutdown == &m.sd);
}

void check_all(void) {
  if (m.is_given_up) {
    CHECK_EQ(uvsig_shutdown_phase(&m.sd), UV_EINVAL);
    CHECK_EQ(uvsig_shutdown_request(&m.sd, NULL, UVSIG_SHUTDOWN_GRACEFUL),
             UV_EINVAL);
  } else {
    if (!is_in_use() && !m.has_forgotten)
      check_phase(UVSIG_SHUTDOWN_DONE); /* whose callback may be to come */
    else if (is_in_use())
      CHECK_EQ(phase_now(), m.phase);
    check_report();
  }
  if (is_in_use())
    check_registered();
  else if (!m.has_forgotten)
    forget_all();
}
