/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_CONNECTION_H
#define UVSIG_SHUTDOWN_CONNECTION_H

#include "../internal.h"

struct uvsig__coordinator;

/* What a connection is, in its `state`. */
enum {
  UVSIG__CONN_TOLD = 1,     /* that draining has begun */
  UVSIG__CONN_BUSY = 2,     /* a request is under way */
  UVSIG__CONN_QUIET = 4,    /* idle since before draining began */
  UVSIG__CONN_CLOSES = 8,   /* told to close ... */
  UVSIG__CONN_FORCED = 16,  /* ... whatever is under way */
  UVSIG__CONN_LINGERS = 32, /* closed by uvsig_shutdown_linger() ... */
  UVSIG__CONN_SENT = 64,    /* ... and all has been written, */
  UVSIG__CONN_BROKEN = 128, /* or could not be; */
  UVSIG__CONN_SHUT = 256,   /* its owner had closed it for writing */
  UVSIG__CONN_SEEN = 512    /* the loop has looked at it since it lingers */
};

/* Where it is. */
enum {
  UVSIG__CONN_IDLE = 0, /* the longest idle first */
  UVSIG__CONN_ACTIVE,   /* busy */
  UVSIG__CONN_FRESH,    /* registered while draining, and not told so yet */
  UVSIG__CONN_RIPE,     /* idle, and told at this turn */
  UVSIG__CONN_DUE,      /* idle again, to be closed at the next turn */
  UVSIG__CONN_CLOSING,  /* told to close */
  UVSIG__CONN_LINGER,
  UVSIG__CONN_NOW, /* about to be told something */
  UVSIG__CONN_LISTS
};

struct uvsig__connections {
  /* The heads: linked to themselves when there is none. */
  uvsig_shutdown_connection_t lists[UVSIG__CONN_LISTS];
  size_t open;        /* all of them */
  double spread;      /* how many of the idle it is time to close ... */
  uint64_t spread_at; /* ... as of when */
  uint64_t linger_ns; /* how long until the next look at those that linger */
  uint64_t linger_at; /* when that is, or UVSIG__NEVER */
};

void uvsig__connections_open(struct uvsig__coordinator* c);
void uvsig__connections_drain(struct uvsig__coordinator* c);
bool uvsig__connections_turn(struct uvsig__coordinator* c);
uint64_t uvsig__connections_tick(struct uvsig__coordinator* c, uint64_t now);
void uvsig__connections_force(struct uvsig__coordinator* c);
void uvsig__connections_forget(struct uvsig__coordinator* c);

void uvsig__connection_forget(struct uvsig__coordinator* c,
                              uvsig_shutdown_connection_t* connection);
void uvsig__connection_count(struct uvsig__coordinator* c,
                             const uvsig_shutdown_connection_t* connection);
void uvsig__connection_move(struct uvsig__coordinator* c,
                            uvsig_shutdown_connection_t* connection,
                            int list);

#endif
