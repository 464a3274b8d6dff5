/* SPDX-License-Identifier: MIT
 *
 * The reference model of sequences of the coordinator: what has been asked for,
 * what is registered, and which callbacks have come. Where time decides, it
 * allows either order.
 */

#ifndef SHUTDOWN_MODEL_H
#define SHUTDOWN_MODEL_H

#include "engine.h"

enum { CONNS = 5, HOLDS = 3, CLOSERS = 3, CHILDREN = 2, LISTENERS = 2 };

struct conn {
  uvsig_shutdown_connection_t c;
  bool is_busy;
  bool was_busy; /* at any time: it is not fresh */
  unsigned told[3];
};

struct hold {
  uvsig_shutdown_hold_t h;
};

struct closer {
  uvsig_shutdown_closer_t c;
  unsigned long since; /* the order of registration */
  bool is_called;
};

struct child {
  uvsig_shutdown_child_t c;
  pid_t pid; /* 0: none */
  bool is_stubborn;
};

struct listener {
  uvsig_shutdown_listener_t l;
};

struct shutdown_model {
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_shutdown_t sd;
  uvsig_shutdown_options_t options;
  /* NULL: not registered */
  struct conn* conns[CONNS];
  struct hold* holds[HOLDS];
  struct closer* closers[CLOSERS];
  struct listener* listeners[LISTENERS];
  struct child children[CHILDREN];
  uvsig_reload_t reload;
  bool is_reload_started;
  bool is_reloading;
  bool is_reload_due;
  unsigned upgrades;        /* callbacks that are owed */
  bool has_stopped_upgrade; /* at any time */
  unsigned level;           /* that was asked for */
  int cause;                /* the signal that was first, or 0 */
  unsigned signals;         /* that counted */
  int phase;                /* the last one that was told */
  bool is_patient;          /* draining has been extended: it does not end */
  bool is_over;             /* DONE */
  bool is_given_up;
  bool has_forgotten;  /* and so what was registered is the program's */
  unsigned left_conns; /* then */
  unsigned left_holds;
  unsigned closed; /* connections, as the report counts them */
  unsigned forced;
  unsigned most_killed;     /* child processes */
  unsigned closes;          /* close callbacks that are owed */
  unsigned long registered; /* how many closers ever were */
};
extern struct shutdown_model m;

/* The coordinator is there, and has not come to its end. */
bool is_in_use(void);
int phase_now(void);
/* What was registered has been forgotten: it is freed, unless it was told. */
void forget_all(void);
/* May time have ended draining, or forcing? */
bool is_late(void);
/* A signal that counts, or a request, has come. */
void model_raise_level(unsigned level, int signum);

void check_report(void);
void check_all(void);

/* --- Callbacks ------------------------------------------------------------------- */

void on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase);
void on_conn(uvsig_shutdown_connection_t* c, uvsig_shutdown_event_t event);
void on_listener(uvsig_shutdown_listener_t* l);
void on_closer(uvsig_shutdown_closer_t* closer);
void on_reload(uvsig_reload_t* r);
void on_given_up(uvsig_shutdown_t* sd);
void on_upgrade(uvsig_upgrade_t* u, int status);

/* The child has been waited for: how did it end? */
void check_death(const struct child* child, int status);
/* Free what is not registered any more. */
void free_conn(unsigned i);
void free_hold(unsigned i);
void free_closer(unsigned i);
void free_listener(unsigned i);

#endif /* SHUTDOWN_MODEL_H */
