/* SPDX-License-Identifier: MIT
 *
 * What the service manager is notified of: the protocol of sd_notify(3), whose
 * own sendmsg() waits while nobody reads. Here nothing waits: a message that
 * finds no room is owed, and a timer of the loop sends it later. A failure
 * changes nothing: the service goes on. Runs in the loop thread, but for
 * uvsig__notify_forget().
 */

#include "notify.h"

#include "coordinator.h"
#include "environment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* When what is owed is tried again. A timer, since a datagram socket polls as
 * writable on some systems while the reader's queue is full. */
enum { RETRY_MS = 100 };

/* What may be owed, a bit each. They are sent in this order, which is a legal
 * one whatever is missing: a service starts before it reloads or stops, and the
 * extension belongs to the stop. */
enum {
  SUCCEEDED = 1, /* READY=1, for the predecessor */
  READY = 2,
  RELOADING = 4,
  RELOADED = 8,
  SUCCESSOR = 16, /* MAINPID= */
  STOPPING = 32,
  EXTEND = 64
};

/* --- One datagram --------------------------------------------------------- */

/* Returns false where there is no room now. What cannot be sent at all counts
 * as sent. */
static bool send_to(const struct uvsig__address* to, const char* text) {
  int error;

  do
    error = uvsig__datagram_send(to, text, -1, MSG_DONTWAIT);
  while (error == EINTR);
  return !uvsig__is_lack_of_room(error);
}

static bool send_text(struct uvsig__notifier* n, const char* text) {
  return !uvsig__adoption_is_busy(&n->adoption) && send_to(&n->service, text);
}

/* --- What is owed --------------------------------------------------------- */

/* libuv's own codes, which are no errno, such as UV_EOF and UV_EAI_*, are below
 * this one. */
enum { LOWEST_ERRNO = -2999 };

static void describe(int error, char* text, size_t size) {
  char reason[128];
  int length;

  if (error == 0) {
    snprintf(text, size, "READY=1\nSTATUS=\nERRNO=0");
    return;
  }
  length = snprintf(text,
                    size,
                    "READY=1\nSTATUS=Reload failed: %s",
                    uv_strerror_r(error, reason, sizeof(reason)));
  if (error >= LOWEST_ERRNO)
    snprintf(text + length, size - (size_t) length, "\nERRNO=%d", -error);
}

/* The status comes after a reload that failed, and after the next one that did
 * not; once, and with the last READY=1 of those that are owed. */
static bool send_ready(struct uvsig__notifier* n, bool is_last) {
  char text[256]; /* more than describe() has */

  if (!n->status_is_due || !is_last)
    return send_text(n, "READY=1");
  describe(n->reload_error, text, sizeof(text));
  if (!send_text(n, text))
    return false;
  n->status_is_due = false;
  n->has_status = n->reload_error != 0;
  return true;
}

/* Times are those of the sending, but for the reload's beginning. */
static bool send_message(struct uvsig__notifier* n, unsigned message) {
  uint64_t now = uvsig__now();
  char text[80];

  switch (message) {
  case SUCCEEDED:
    return send_to(&n->predecessor, "READY=1");
  case SUCCESSOR:
    /* It has been ready for a while, as this process has. */
    snprintf(text,
             sizeof(text),
             "MAINPID=%ld\nREADY=1%s",
             (long) n->successor,
             n->has_status ? "\nSTATUS=\nERRNO=0" : "");
    return send_text(n, text);
  case RELOADING:
    snprintf(text,
             sizeof(text),
             "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             n->reload_at / 1000);
    return send_text(n, text);
  case STOPPING:
    return send_text(n, "STOPPING=1");
  case EXTEND:
    if (n->limit <= now)
      return true; /* there is nothing left to ask for */
    snprintf(text,
             sizeof(text),
             "EXTEND_TIMEOUT_USEC=%" PRIu64,
             (n->limit - now) / 1000);
    return send_text(n, text);
  default:
    return send_ready(n, (n->owed & RELOADED & ~message) == 0);
  }
}

/* Returns whether nothing is owed any more. */
static bool send_owed(struct uvsig__notifier* n) {
  unsigned message;

  while (n->owed != 0) {
    message = n->owed & -n->owed; /* the lowest bit */
    if (!send_message(n, message))
      return false;
    n->owed &= ~message;
  }
  return true;
}

static void on_retry_timer(uv_timer_t* timer) {
  struct uvsig__notifier* n = timer->data;

  if (send_owed(n))
    uv_timer_stop(timer);
}

/* Once there is a successor, it alone speaks for the service. */
static void notify(struct uvsig__notifier* n, unsigned message) {
  if (message != SUCCEEDED &&
      (n->service.size == 0 || (n->successor != 0 && message != SUCCESSOR)))
    return;
  n->owed |= message;
  if (!send_owed(n))
    uv_timer_start(&n->retry_timer, on_retry_timer, RETRY_MS, RETRY_MS);
}

/* --- The watchdog --------------------------------------------------------- */

/* Never owed: the next ping makes up for one that is lost. Nor does it take the
 * room of what is owed. In a child of fork() that has not called uvsig_fork()
 * the parent is to ping. */
static void on_ping_timer(uv_timer_t* timer) {
  struct uvsig__coordinator* c = timer->data;

  if (!uvsig__is_inherited(c) && send_owed(&c->notifier))
    send_text(&c->notifier, "WATCHDOG=1");
}

/* The loop itself pings, so that a stuck loop is seen. sd_watchdog_enabled(3)
 * asks for half the interval. */
static void start_pings(struct uvsig__notifier* n) {
  uint64_t ms = n->watchdog_us / 2 / 1000;

  if (n->watchdog_us != 0)
    uv_timer_start(&n->ping_timer, on_ping_timer, 0, ms > 0 ? ms : 1);
}

/* --- For the coordinator -------------------------------------------------- */

/* The timers need no uv_unref(): the coordinator's async handle keeps the loop
 * alive for as long as they are there. */
void uvsig__notify_open(struct uvsig__coordinator* c) {
  struct uvsig__notifier* n = &c->notifier;

  uv_timer_init(c->loop, &n->ping_timer);
  uv_timer_init(c->loop, &n->retry_timer);
  n->ping_timer.data = c;
  n->retry_timer.data = n;
  uvsig__adoption_open(&n->adoption, c->loop);
  uvsig__environment_read(c);
  if (n->predecessor.size == 0) /* a successor is not the main process yet */
    start_pings(n);
}

/* What is owed is tried once more, and then it is too late. */
void uvsig__notify_close(struct uvsig__coordinator* c) {
  send_owed(&c->notifier);
  uvsig__close_handle((uv_handle_t*) &c->notifier.ping_timer);
  uvsig__close_handle((uv_handle_t*) &c->notifier.retry_timer);
  uvsig__adoption_close(&c->notifier.adoption);
}

/* In the child of a fork: the parent sends what it owes. Only what may be
 * called in a signal handler may be called here. */
void uvsig__notify_forget(struct uvsig__coordinator* c) {
  c->notifier.owed = 0;
}

/* An end of a reload whose beginning is owed comes after that. */
void uvsig__notify_ready(struct uvsig__coordinator* c) {
  struct uvsig__notifier* n = &c->notifier;

  /* Only the predecessor hears of the first, and tells the service manager. */
  if (n->predecessor.size != 0 && !n->has_succeeded) {
    n->has_succeeded = true;
    notify(n, SUCCEEDED);
    if (n->service.size != 0)
      uvsig__adoption_start(&n->adoption, &n->service);
    start_pings(n);
    return;
  }
  notify(n, (n->owed & RELOADING) != 0 ? RELOADED : READY);
}

/* `error`: 0, or why a reload failed. */
void uvsig__notify_reloaded(struct uvsig__coordinator* c, int error) {
  struct uvsig__notifier* n = &c->notifier;

  n->reload_error = error;
  n->status_is_due = error != 0 || n->has_status;
  uvsig__notify_ready(c);
}

/* Takes the place of an earlier reload that is owed as a whole: its time is
 * later, which covers what asked for the earlier one. */
void uvsig__notify_reloading(struct uvsig__coordinator* c) {
  c->notifier.owed &= ~(unsigned) RELOADED;
  c->notifier.reload_at = uvsig__now();
  notify(&c->notifier, RELOADING);
}

void uvsig__notify_stopping(struct uvsig__coordinator* c) {
  notify(&c->notifier, STOPPING);
}

/* `limit`: when the shutdown is over, at the latest. */
void uvsig__notify_extend(struct uvsig__coordinator* c, uint64_t limit) {
  c->notifier.limit = limit;
  notify(&c->notifier, EXTEND);
}

/* The successor is the main process from now on. */
void uvsig__notify_successor(struct uvsig__coordinator* c, uv_pid_t pid) {
  struct uvsig__notifier* n = &c->notifier;

  uv_timer_stop(&n->ping_timer);
  uvsig__adoption_stop(&n->adoption);
  n->successor = pid;
  notify(n, SUCCESSOR);
}

/* Lost where there is no room. */
void uvsig__notify_upgrade_failed(struct uvsig__coordinator* c,
                                  const char* reason) {
  char text[256];

  if (c->notifier.service.size == 0)
    return;
  snprintf(text, sizeof(text), "STATUS=Upgrade failed: %s", reason);
  send_text(&c->notifier, text);
  c->notifier.has_status = true;
}
