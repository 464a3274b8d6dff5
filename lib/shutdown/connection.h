/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_CONNECTION_H
#define UVSIG_SHUTDOWN_CONNECTION_H

#include "../base.h"

struct uvsig__coordinator;

/* Flags in a connection's `state`. */
enum {
  UVSIG__CONN_NOTIFIED = 1,  /* its callback knows that draining has begun */
  UVSIG__CONN_BUSY = 2,      /* a request is under way */
  UVSIG__CONN_QUIET = 4,     /* idle, since before draining if that has begun */
  UVSIG__CONN_CLOSES = 8,    /* its callback has got CLOSE or FORCE */
  UVSIG__CONN_FORCED = 16,   /* its callback has got FORCE */
  UVSIG__CONN_LINGERS = 32,  /* given to uvsig_shutdown_linger() */
  UVSIG__CONN_SENT = 64,     /* it lingers, and all has been written */
  UVSIG__CONN_BROKEN = 128,  /* it lingers, and writing has failed */
  UVSIG__CONN_SHUT = 256,    /* it lingers without a uv_shutdown_t */
  UVSIG__CONN_SEEN = 512,    /* the loop has looked at it since it lingers */
  UVSIG__CONN_USED = 1024,   /* it has been busy: it is not fresh */
  UVSIG__CONN_CUT = 2048,    /* a limit ended it before all had arrived */
  UVSIG__CONN_COUNTED = 4096 /* it is one of `idle` */
};

/* The lists. A connection is in one of them. */
enum {
  UVSIG__CONN_RUNNING = 0,   /* draining has not begun: all of them */
  UVSIG__CONN_IDLE,          /* notified, and idle when the loop had polled */
  UVSIG__CONN_ACTIVE,        /* notified, and busy */
  UVSIG__CONN_NEW,           /* registered while draining, not notified yet */
  UVSIG__CONN_FRESH,         /* notified, and has fresh_ms for a request */
  UVSIG__CONN_IDLE_NOTIFIED, /* notified, and idle: after the next poll */
  UVSIG__CONN_IDLE_AGAIN,    /* to be closed after the next poll */
  UVSIG__CONN_CLOSING,       /* its callback has got CLOSE or FORCE */
  UVSIG__CONN_LINGER,
  UVSIG__CONN_NOTIFYING, /* its callback is to be called now */
  UVSIG__CONN_LISTS
};

struct uvsig__connections {
  /* The heads: linked to themselves when there is none. */
  uvsig_shutdown_connection_t lists[UVSIG__CONN_LISTS];
  bool is_ordered;    /* the longest idle is the first to be notified */
  size_t open;        /* all of them */
  size_t idle;        /* those in UVSIG__CONN_IDLE */
  uint64_t poll_at;   /* ns: when the loop last went to poll for a look */
  double spread;      /* how many of the idle it is time to close ... */
  uint64_t spread_at; /* ... as of when */
  uint64_t linger_ns; /* how long until the next look at those that linger */
  uint64_t linger_at; /* when that is, or UVSIG__NEVER */
};

void uvsig__connections_open(struct uvsig__coordinator* c);
void uvsig__connections_drain(struct uvsig__coordinator* c);
bool uvsig__connections_after_poll(struct uvsig__coordinator* c);
uint64_t uvsig__connections_check(struct uvsig__coordinator* c,
                                  bool has_polled);
void uvsig__connections_force(struct uvsig__coordinator* c);
void uvsig__connections_forget(struct uvsig__coordinator* c);

void uvsig__connection_forget(struct uvsig__coordinator* c,
                              uvsig_shutdown_connection_t* connection);
void uvsig__connection_count_closed(
    struct uvsig__coordinator* c,
    const uvsig_shutdown_connection_t* connection);
void uvsig__connection_move(struct uvsig__coordinator* c,
                            uvsig_shutdown_connection_t* connection,
                            int list);

#endif
