/* SPDX-License-Identifier: MIT
 *
 * The reference model of sequences of the core: which action a signal has, in
 * which thread it waits, who is to be told of it, and what is told already. It
 * knows the contract of include/uvsig.h, and nothing of the library's inside.
 *
 * The loops 0 and 1 are the main thread's, loop 2 is a worker's, if there is
 * one. One thread is active at a time, so each step has ended before the next.
 */

#ifndef CORE_MODEL_H
#define CORE_MODEL_H

#include "engine.h"

enum { LOOPS = 3, WATCHERS = 9, WAITS = 4, HANDLES = 2, THREADS = 2 };

/* The signals. SHARED is shared with uv_signal_t handles. CHILD comes when it
 * wants, so less is known of it. */
enum { REALTIME, STANDARD, OTHER, SHARED, EXACT, CHILD = EXACT, SIGNALS };
extern int signals[SIGNALS];

/* Whose action. The foreign one saves what it finds, and may call it. */
enum { BASE, FOREIGN, OURS };
/* What BASE is. SHARED and CHILD have the default action. */
enum { HANDLED, IGNORED, DEFAULTED };

struct disposition {
  int base;
  int top;       /* whose is installed */
  int over;      /* what ours was installed over last */
  int saved;     /* by the foreign one, */
  bool is_there; /* which is installed, or below ours */
  bool is_over;  /* it has stopped below ours, and passes on */
  bool chains;
  unsigned long calls[OURS]; /* that the model expects */
};

/* A signal that was handled. Bits are of loops, and of watchers. */
struct sent {
  unsigned id;
  unsigned char which;
  unsigned char caught;
  unsigned char taken;     /* by a wait */
  unsigned char delivered; /* somebody was told */
  unsigned short told;
};

struct watcher {
  uvsig_watcher_t* w; /* allocated while it is started */
  int which;          /* -1: stopped */
  unsigned since;     /* in the log */
  unsigned flags;
  bool is_oneshot;
  bool has_handler;
  unsigned long started; /* how often: which start it was */
  unsigned long told;
};

struct wait {
  uvsig_wait_t req;
  unsigned loop;
  bool is_pending; /* its callback is to come */
  bool is_waiting; /* and it has not been cancelled */
  bool is_endless;
  unsigned set; /* bits of signals */
  unsigned since;
  unsigned long start; /* the order of the starts */
};

/* The signals of a wait whose callback is under way are still watched. */
struct hold {
  unsigned loop;
  unsigned set;
};

struct loop {
  uv_loop_t uv;
  uvsig_t sig;
  bool is_open;
  bool is_alive; /* not one that a child of fork() has only inherited */
  bool is_closing;
  bool is_blurred; /* flushed in a callback: the order is not exact */
  bool is_exact;   /* each callback has its sender, so it is known for what */
  bool is_lost;    /* a wait took one then, and it is not known which */
  bool is_opened[SIGNALS]; /* it has unblocked them in its thread */
  unsigned began;          /* in the log */
  unsigned quiet;          /* the same: all before has been told, or not */
  unsigned long caught[SIGNALS];
  unsigned long callbacks;
};

struct model {
  struct disposition at[SIGNALS];
  struct watcher watchers[WATCHERS];
  struct wait waits[WAITS];
  struct loop loops[LOOPS];
  bool was_blocked[THREADS][SIGNALS]; /* by the launcher */
  unsigned waiting[THREADS][SIGNALS]; /* blocked, and sent: its id, or 0 */
  unsigned long handler_calls[WATCHERS];
  struct hold holds[MOST_STEPS];
  unsigned hold_count;
  unsigned draining[SIGNALS];   /* a drain gives it back, at some moment */
  uv_signal_t handles[HANDLES]; /* of the first loops, for SHARED */
  unsigned long handle_calls[HANDLES];
  unsigned long handle_told[HANDLES];
  bool is_handle_active[HANDLES];
  bool has_worker;
  bool had_handle; /* at any time */
  bool is_child;   /* of fork() */
  unsigned long starts;
  unsigned long children_taken; /* by waits */
};
extern struct model model;

/* --- Facts ------------------------------------------------------------------- */

unsigned loop_of(unsigned watcher);
unsigned thread_of(unsigned loop);
bool may_use(unsigned loop); /* open, and there in this process */
int index_of(int signum);
bool is_waited_for(unsigned loop, unsigned which);
/* Is it watched, by the loop, or by any of this process's? */
bool is_watched_on(unsigned loop, unsigned which);
bool is_watched(unsigned which);
/* Does a start install ours over a foreign handler that has ours below it? The
 * chain's sequences have that. */
bool is_circle(unsigned loop, unsigned which);

/* --- What happens ------------------------------------------------------------- */

void model_reset(void);
/* This action is installed now. */
void model_set_top(unsigned which, int top);
/* The first watcher or wait of a loop is there. */
void model_watch(unsigned which);
/* One has gone. */
void model_unwatch(unsigned loop, unsigned which);
/* After either: what is unblocked comes. */
void model_unblock(unsigned thread);
/* The signal is sent to the thread. */
void model_send(unsigned thread, unsigned which, unsigned id);
bool has_room(unsigned more);
unsigned model_now(void); /* where in the log a start is */

/* A callback: for `count` signals, and the id where it is known, or 0. */
void model_told(unsigned watcher, unsigned count, unsigned id);
void model_took(unsigned wait, unsigned which, unsigned id);
/* How many is it still to be told of? */
unsigned due(unsigned watcher);
/* In the child: nothing has been caught on this loop. */
void model_forget(unsigned loop);

/* --- Checks ------------------------------------------------------------------- */

void check_dispositions(void);
void check_masks(unsigned thread);
/* Nothing is under way on any loop. */
void check_quiet(void);

/* --- core-world.c: what is real ------------------------------------------------ */

void world_open(unsigned config);
void world_close(void);
/* Do it in a thread, this one or another. */
bool call_in(unsigned thread,
             bool (*fn)(const unsigned*),
             const unsigned* args);
unsigned this_thread(void);
/* ThreadSanitizer and valgrind have raise() call the handler, and all that is
 * sent or unblocked otherwise waits until later. */
bool has_raise_alone(void);
void send_to_self(unsigned which, unsigned id);
void install_foreign(unsigned which);
void remove_foreign(unsigned which);
void install_base(unsigned which);
void open_signals(unsigned loop, unsigned kind);
int installed(unsigned which);
unsigned long real_calls(unsigned which, int whose);
void on_handler(uvsig_watcher_t* w, int signum, const siginfo_t* info);
unsigned long real_handler_calls(unsigned watcher);

#endif /* CORE_MODEL_H */
