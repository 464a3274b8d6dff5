/* SPDX-License-Identifier: MIT
 *
 * Connections, idle and busy, and when their callbacks get which event. Until
 * draining begins, a request changes a flag and nothing else. From then on they
 * are in lists, so each change takes constant time. A callback may remove any
 * connection, so those whose callbacks are next are in a list as well. Runs in
 * the loop thread.
 */

#include "coordinator.h"

/* How often idle connections are closed, when they are closed one by one. */
#define TICK (5 * UVSIG__MS)

/* --- Lists ---------------------------------------------------------------- */

static bool is_empty(const uvsig_shutdown_connection_t* list) {
  return list->next == list;
}

static void cut(uvsig_shutdown_connection_t* connection) {
  connection->prev->next = connection->next;
  connection->next->prev = connection->prev;
}

static void append(uvsig_shutdown_connection_t* list,
                   uvsig_shutdown_connection_t* connection) {
  connection->next = list;
  connection->prev = list->prev;
  connection->prev->next = connection;
  list->prev = connection;
}

static void append_all(uvsig_shutdown_connection_t* list,
                       uvsig_shutdown_connection_t* from) {
  if (is_empty(from))
    return;
  from->next->prev = list->prev;
  list->prev->next = from->next;
  from->prev->next = list;
  list->prev = from->prev;
  from->next = from;
  from->prev = from;
}

void uvsig__connections_open(struct uvsig__coordinator* c) {
  uvsig_shutdown_connection_t* list;
  int i;

  for (i = 0; i < UVSIG__CONN_LISTS; i++) {
    list = &c->connections.lists[i];
    list->next = list;
    list->prev = list;
  }
  c->connections.is_ordered = c->options.idle == UVSIG_SHUTDOWN_IDLE_SPREAD;
}

static void leave(struct uvsig__coordinator* c,
                  uvsig_shutdown_connection_t* connection) {
  cut(connection);
  if ((connection->state & UVSIG__CONN_COUNTED) != 0)
    c->connections.idle--;
  connection->state &= ~(unsigned) UVSIG__CONN_COUNTED;
}

void uvsig__connection_move(struct uvsig__coordinator* c,
                            uvsig_shutdown_connection_t* connection,
                            int list) {
  leave(c, connection);
  append(&c->connections.lists[list], connection);
  if (list == UVSIG__CONN_IDLE) {
    c->connections.idle++;
    connection->state |= UVSIG__CONN_COUNTED;
  }
}

/* How long a fresh one has: there is to be time left for it to close in. */
static uint64_t fresh_ns(const struct uvsig__coordinator* c) {
  unsigned most = c->options.grace_ms / 2;

  return (c->options.fresh_ms < most ? c->options.fresh_ms : most) * UVSIG__MS;
}

/* --- One connection ------------------------------------------------------- */

int uvsig_shutdown_add_connection(uvsig_shutdown_t* sd,
                                  uvsig_shutdown_connection_t* connection,
                                  uvsig_shutdown_connection_cb cb) {
  struct uvsig__coordinator* c;
  int phase;
  int err;

  if (connection == NULL || cb == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_in_use(sd, &c);
  if (err != 0)
    return err;
  phase = atomic_load(&c->phase);
  if (phase > UVSIG_SHUTDOWN_DRAINING ||
      (phase == UVSIG_SHUTDOWN_DRAINING && c->listeners_closed))
    return UV_ECANCELED;
  if (connection->shutdown == sd)
    return UV_EBUSY;
  UVSIG__RESET(connection);
  connection->shutdown = sd;
  connection->cb = cb;
  c->connections.open++;
  if (phase == UVSIG_SHUTDOWN_DRAINING) {
    connection->deadline = uvsig__now() + fresh_ns(c);
    /* The loop is about to poll: there is a listener, which is looked at. */
    append(&c->connections.lists[UVSIG__CONN_NEW], connection);
  } else {
    connection->state = UVSIG__CONN_QUIET;
    append(&c->connections.lists[UVSIG__CONN_RUNNING], connection);
  }
  return 0;
}

void uvsig__connection_forget(struct uvsig__coordinator* c,
                              uvsig_shutdown_connection_t* connection) {
  leave(c, connection);
  if (connection->shutdown_req != NULL)
    connection->shutdown_req->data = NULL;
  connection->shutdown = NULL;
  c->connections.open--;
}

/* The connection is closed, and is forgotten next. */
void uvsig__connection_count_closed(
    struct uvsig__coordinator* c,
    const uvsig_shutdown_connection_t* connection) {
  if (atomic_load(&c->phase) == UVSIG_SHUTDOWN_RUNNING)
    return;
  if ((connection->state & UVSIG__CONN_CUT) != 0)
    c->sd->report.cut++;
  else if ((connection->state & UVSIG__CONN_FORCED) != 0)
    c->sd->report.forced++;
  else
    c->sd->report.closed++;
}

int uvsig_shutdown_remove_connection(uvsig_shutdown_connection_t* connection) {
  struct uvsig__coordinator* c;
  int err;

  if (connection == NULL)
    return UV_EINVAL;
  if (connection->shutdown == NULL)
    return 0;
  err = uvsig__coordinator_of(connection->shutdown, &c);
  if (err != 0)
    return err;
  uvsig__connection_count_closed(c, connection);
  uvsig__connection_forget(c, connection);
  if (c->connections.open == 0 && uvsig__has_begun(c))
    uvsig__look_again(c);
  return 0;
}

/* Has the shutdown not come to the connections yet? */
static bool is_running(const struct uvsig__coordinator* c) {
  return atomic_load(&c->phase) < UVSIG_SHUTDOWN_DRAINING;
}

/* Of a connection that is registered and does not linger. */
static int find_coordinator(const uvsig_shutdown_connection_t* connection,
                            struct uvsig__coordinator** c) {
  int err;

  if (connection == NULL || connection->shutdown == NULL)
    return UV_EINVAL;
  err = uvsig__coordinator_of(connection->shutdown, c);
  if (err != 0)
    return err;
  return (connection->state & UVSIG__CONN_LINGERS) != 0 ? UV_EINVAL : 0;
}

/* Is it in its list for another reason than being idle or busy? Until it has
 * been notified of draining, it is in the list of all, or of those to be
 * notified. While forcing all are to be closed, or are closing. */
static bool keeps_its_list(const struct uvsig__coordinator* c,
                           const uvsig_shutdown_connection_t* connection) {
  return (connection->state & UVSIG__CONN_NOTIFIED) == 0 ||
         (connection->state & UVSIG__CONN_CLOSES) != 0 ||
         atomic_load(&c->phase) == UVSIG_SHUTDOWN_FORCING;
}

/* Nearly all requests come before the shutdown has come to the connections, on
 * a thread that is known to run the loop. Then this finds the coordinator, and
 * busy and idle need nothing but a flag. Otherwise it returns NULL, and
 * find_coordinator() says more. The uvsig_t cannot be closed meanwhile. */
static inline struct uvsig__coordinator* find_running(
    const uvsig_shutdown_connection_t* connection) {
  struct uvsig__coordinator* c;

  if (connection == NULL || connection->shutdown == NULL ||
      (connection->state & UVSIG__CONN_LINGERS) != 0)
    return NULL;
  c = connection->shutdown->coordinator;
  if (!is_running(c) || !uvsig__is_known_owner(connection->shutdown->sig->hub))
    return NULL;
  return c;
}

static inline void set_busy(uvsig_shutdown_connection_t* connection) {
  connection->state = (connection->state & ~(unsigned) UVSIG__CONN_QUIET) |
                      UVSIG__CONN_BUSY | UVSIG__CONN_USED;
}

/* Also of one that is idle. */
static inline void set_idle(struct uvsig__coordinator* c,
                            uvsig_shutdown_connection_t* connection) {
  unsigned was = connection->state;

  connection->state = (was & ~(unsigned) UVSIG__CONN_BUSY) | UVSIG__CONN_QUIET;
  if (c->connections.is_ordered && (was & UVSIG__CONN_BUSY) != 0)
    uvsig__connection_move(c, connection, UVSIG__CONN_RUNNING);
}

/* Not inlined: the usual way would save registers for it. */
__attribute__((noinline)) static int become_busy(
    uvsig_shutdown_connection_t* connection) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(connection, &c);
  if (err != 0)
    return err;
  set_busy(connection);
  if (!keeps_its_list(c, connection))
    uvsig__connection_move(c, connection, UVSIG__CONN_ACTIVE);
  return 0;
}

int uvsig_shutdown_connection_busy(uvsig_shutdown_connection_t* connection) {
  if (find_running(connection) == NULL)
    return become_busy(connection);
  set_busy(connection);
  return 0;
}

__attribute__((noinline)) static int become_idle(
    uvsig_shutdown_connection_t* connection) {
  struct uvsig__coordinator* c;
  int err;

  err = find_coordinator(connection, &c);
  if (err != 0)
    return err;
  if ((connection->state & UVSIG__CONN_BUSY) == 0)
    return 0;
  if (is_running(c)) {
    set_idle(c, connection);
  } else {
    connection->state &= ~(unsigned) UVSIG__CONN_BUSY;
    if (!keeps_its_list(c, connection)) {
      connection->deadline = uvsig__now();
      uvsig__connection_move(c, connection, UVSIG__CONN_IDLE_AGAIN);
      uvsig__look_again(c);
    }
  }
  return 0;
}

int uvsig_shutdown_connection_idle(uvsig_shutdown_connection_t* connection) {
  struct uvsig__coordinator* c = find_running(connection);

  if (c == NULL)
    return become_idle(connection);
  set_idle(c, connection);
  return 0;
}

/* --- All of them ---------------------------------------------------------- */

/* Where a connection goes that has been notified of draining, and when it is
 * due there. */
static int find_list(const struct uvsig__coordinator* c,
                     uvsig_shutdown_connection_t* connection,
                     uint64_t now) {
  uint64_t begin = c->phase_at[UVSIG_SHUTDOWN_DRAINING];

  if ((connection->state & UVSIG__CONN_BUSY) != 0)
    return UVSIG__CONN_ACTIVE;
  if ((connection->state & UVSIG__CONN_USED) != 0 || fresh_ns(c) == 0) {
    connection->deadline = now;
    return UVSIG__CONN_IDLE_NOTIFIED;
  }
  if (connection->deadline == 0) /* registered before draining began */
    connection->deadline = begin + fresh_ns(c);
  return UVSIG__CONN_FRESH;
}

/* Call the callbacks of those that are queued. A callback may remove any of
 * them, and may call uvsig_shutdown_close(). */
static void notify_all(struct uvsig__coordinator* c,
                       uvsig_shutdown_event_t event) {
  uvsig_shutdown_connection_t* queue =
      &c->connections.lists[UVSIG__CONN_NOTIFYING];
  uvsig_shutdown_connection_t* at;
  uint64_t now = uvsig__now(); /* for all: the loop polls after the last */
  int list;

  while (!is_empty(queue)) {
    at = queue->next;
    if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
      at->state |= UVSIG__CONN_NOTIFIED;
      list = find_list(c, at, now);
    } else {
      at->state |= UVSIG__CONN_CLOSES;
      if (event == UVSIG_SHUTDOWN_CONNECTION_FORCE)
        at->state |= UVSIG__CONN_FORCED;
      list = UVSIG__CONN_CLOSING;
    }
    uvsig__connection_move(c, at, list);
    at->cb(at, event);
  }
}

static void queue_all(struct uvsig__coordinator* c, int list) {
  append_all(&c->connections.lists[UVSIG__CONN_NOTIFYING],
             &c->connections.lists[list]);
}

/* Move those that were due before the poll that is over began: that poll has
 * read what had come by then. The list is in the order of the deadlines. */
static void move_due(struct uvsig__coordinator* c, int from, int to) {
  uvsig_shutdown_connection_t* list = &c->connections.lists[from];

  while (!is_empty(list) && list->next->deadline <= c->connections.poll_at)
    uvsig__connection_move(c, list->next, to);
}

void uvsig__connections_drain(struct uvsig__coordinator* c) {
  queue_all(c, UVSIG__CONN_RUNNING);
  notify_all(c, UVSIG_SHUTDOWN_CONNECTION_DRAIN);
}

/* The loop has polled. It has read what had come before the poll, and has made
 * those busy that had a request. Returns whether the loop should poll again. */
bool uvsig__connections_after_poll(struct uvsig__coordinator* c) {
  uvsig_shutdown_connection_t* lists = c->connections.lists;
  int list = c->options.idle == UVSIG_SHUTDOWN_IDLE_CLOSE
                 ? UVSIG__CONN_NOTIFYING
                 : UVSIG__CONN_IDLE;

  if (is_empty(&lists[UVSIG__CONN_IDLE])) /* the spread begins with the first */
    c->connections.spread_at = uvsig__now();
  move_due(c, UVSIG__CONN_IDLE_AGAIN, UVSIG__CONN_NOTIFYING);
  move_due(c, UVSIG__CONN_IDLE_NOTIFIED, list);
  move_due(c, UVSIG__CONN_FRESH, list);
  notify_all(c, UVSIG_SHUTDOWN_CONNECTION_CLOSE);
  queue_all(c, UVSIG__CONN_NEW);
  notify_all(c, UVSIG_SHUTDOWN_CONNECTION_DRAIN);
  return !is_empty(&lists[UVSIG__CONN_NEW]) ||
         !is_empty(&lists[UVSIG__CONN_IDLE_NOTIFIED]) ||
         !is_empty(&lists[UVSIG__CONN_IDLE_AGAIN]);
}

/* With UVSIG_SHUTDOWN_IDLE_SPREAD, close as many idle ones as it is time
 * for. */
static void spread(struct uvsig__coordinator* c, uint64_t now) {
  struct uvsig__connections* all = &c->connections;
  uvsig_shutdown_connection_t* idle = &all->lists[UVSIG__CONN_IDLE];
  unsigned window_ms = c->options.spread_ms < c->options.grace_ms
                           ? c->options.spread_ms
                           : c->options.grace_ms;
  uint64_t end = c->phase_at[UVSIG_SHUTDOWN_DRAINING] + window_ms * UVSIG__MS;
  double count = (double) all->idle;

  /* A share of those that are left now. */
  if (now < end)
    all->spread += count * (double) (now - all->spread_at) /
                   (double) (end - all->spread_at);
  else
    all->spread = count;
  all->spread_at = now;
  /* Not reached here: only rounding could make the share more than is left. */
  for (; all->spread >= 1 && !is_empty(idle); all->spread--)
    uvsig__connection_move(c, idle->next, UVSIG__CONN_NOTIFYING);
  notify_all(c, UVSIG_SHUTDOWN_CONNECTION_CLOSE);
}

/* Close the idle ones that it is time for, where the loop has polled, and so
 * has read what had come. Otherwise have it poll when it is time: a timer may
 * come before what the sockets have is read, see phases.c. Before draining none
 * is idle or fresh, and later none is left to close. Returns when to call this
 * again. */
uint64_t uvsig__connections_check(struct uvsig__coordinator* c,
                                  bool has_polled) {
  struct uvsig__connections* all = &c->connections;
  const uvsig_shutdown_connection_t* idle = &all->lists[UVSIG__CONN_IDLE];
  const uvsig_shutdown_connection_t* fresh = &all->lists[UVSIG__CONN_FRESH];
  bool spreads = c->options.idle == UVSIG_SHUTDOWN_IDLE_SPREAD;
  uint64_t next = UVSIG__NEVER;
  uint64_t now = uvsig__now();

  if (spreads && has_polled)
    spread(c, now);
  if (spreads && !is_empty(idle))
    next = all->spread_at + TICK;
  if (!is_empty(fresh) && fresh->next->deadline < next)
    next = fresh->next->deadline;
  if (next > now)
    return next;
  uvsig__look_again(c);
  return UVSIG__NEVER;
}

void uvsig__connections_force(struct uvsig__coordinator* c) {
  int i;

  for (i = 0; i < UVSIG__CONN_LINGER; i++)
    queue_all(c, i);
  notify_all(c, UVSIG_SHUTDOWN_CONNECTION_FORCE);
}

/* At the end: open connections are left to the program. */
void uvsig__connections_forget(struct uvsig__coordinator* c) {
  uvsig_shutdown_connection_t* list;
  int i;

  for (i = 0; i < UVSIG__CONN_LISTS; i++)
    for (list = &c->connections.lists[i]; !is_empty(list);) {
      uvsig__connection_forget(c, list->next);
      c->sd->report.open++;
    }
}
