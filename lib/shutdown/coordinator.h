/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_COORDINATOR_H
#define UVSIG_SHUTDOWN_COORDINATOR_H

#include "../hub.h"
#include "connection.h"
#include "escalate.h"
#include "notify.h"
#include "watchdog.h"

/* Lists that are linked by `prev` and `next`. */
#define UVSIG__PUSH(first, at)                                                 \
 do {                                                                          \
  (at)->prev = NULL;                                                           \
  (at)->next = (first);                                                        \
  if ((first) != NULL)                                                         \
   (first)->prev = (at);                                                       \
  (first) = (at);                                                              \
 } while (0)

#define UVSIG__CUT(first, at)                                                  \
 do {                                                                          \
  if ((at)->prev != NULL)                                                      \
   (at)->prev->next = (at)->next;                                              \
  else                                                                         \
   (first) = (at)->next;                                                       \
  if ((at)->next != NULL)                                                      \
   (at)->next->prev = (at)->prev;                                              \
 } while (0)

/* What is due to children: a signal to end, but not to those that are late
 * (UVSIG_SHUTDOWN_CHILD_LATE); the same to all; SIGKILL. */
enum uvsig__child_due {
  UVSIG__CHILD_STOP_EARLY,
  UVSIG__CHILD_STOP,
  UVSIG__CHILD_KILL
};

/* The private half of a uvsig_shutdown_t. It is allocated, because the handler
 * and closing handles may outlive the public struct. Fields are the loop
 * thread's, but for atomics and where it says otherwise. */
struct uvsig__coordinator {
  uvsig_shutdown_t* sd;
  uv_loop_t* loop;
  uvsig_shutdown_options_t options;
  struct uvsig__escalation escalation;
  struct uvsig__watchdog watchdog;
  struct uvsig__notifier notifier;
  uvsig_shutdown_hold_t* holds; /* any thread's, under uvsig__lock() */

  atomic_int phase; /* uvsig_shutdown_phase_t, or UVSIG__CLOSED */
  atomic_int is_ready;
  atomic_uint callers; /* threads that are in uvsig_shutdown_request() now */

  uv_async_t async; /* from any thread: look again; keeps the loop alive */
  uv_timer_t timer; /* when to look again */
  uv_idle_t idle;   /* started: the loop polls without sleeping */
  uv_check_t check; /* started: look again when the loop has polled */
  bool will_poll;   /* `check` was started before the poll */
  void (*look)(struct uvsig__coordinator* c, bool has_polled); /* phases.c */
  bool is_looking; /* it is at work, perhaps in a callback */
  struct uvsig__closing closing;
  struct uvsig__component component;
  uvsig_shutdown_close_cb close_cb;
  sigset_t muted;    /* have no default action until the end */
  bool* is_given_up; /* set by uvsig_shutdown_close() in the DONE callback */
  bool has_forked;   /* the watchdog has no thread, the children are not ours */
  bool is_concluded; /* the report is complete, and logged */
  bool is_over;      /* the DONE callback has been called, or is next */
  bool has_closed_sig;

  uint64_t phase_at[UVSIG_SHUTDOWN_PHASES]; /* when each began; 0: it did not */
  uint64_t until;                           /* when this one ends, at most */
  uint64_t limit;                           /* when the process does */

  uvsig_shutdown_listener_t* listeners;
  unsigned backlog_turns; /* turns that the loop has had to accept */
  bool listeners_closed;  /* since the shutdown began */
  struct uvsig__connections connections;
  uvsig_shutdown_child_t* children;

  uvsig_shutdown_closer_t* closers; /* the first is the next, or is closing */

  uvsig_upgrade_t* upgrade; /* or NULL */
  uvsig_upgrade_options_t upgrade_options;
  struct uvsig__successor* successor; /* of an upgrade under way, or NULL */

  uvsig_reload_t* reloads;
  unsigned reloading;           /* how many run, stopped or not */
  bool is_reloading;            /* the service manager has got RELOADING=1 */
  int reload_error;             /* why one has failed since then, or 0 ... */
  const uvsig_reload_t* failed; /* ... and which; it may be gone */

  unsigned watcher_count;
  uvsig_watcher_t watchers[];
};

/* The phase after uvsig_shutdown_close(). */
#define UVSIG__CLOSED UVSIG_SHUTDOWN_PHASES

static inline bool uvsig__is_in(const struct uvsig__coordinator* c,
                                uvsig_shutdown_phase_t phase) {
  return atomic_load(&c->phase) == (int) phase;
}

/* The child of a fork has no signals until uvsig_fork(): nothing there may
 * begin to rely on a shutdown. Any thread, and signal context. */
static inline bool uvsig__is_inherited(const struct uvsig__coordinator* c) {
  const struct uvsig__hub* hub = c->has_closed_sig ? NULL : c->sd->sig->hub;

  return hub != NULL && hub->inherited;
}

int uvsig__coordinator_of(const uvsig_shutdown_t* sd,
                          struct uvsig__coordinator** c);
int uvsig__coordinator_in_use(const uvsig_shutdown_t* sd,
                              struct uvsig__coordinator** c);
void uvsig__coordinator_free(struct uvsig__coordinator* c);
bool uvsig__has_begun(const struct uvsig__coordinator* c);
int uvsig__looks_open(struct uvsig__coordinator* c);
void uvsig__looks_close(struct uvsig__coordinator* c);
void uvsig__look(struct uvsig__coordinator* c, bool has_polled);
void uvsig__look_at(struct uvsig__coordinator* c, uint64_t at);
void uvsig__look_again(struct uvsig__coordinator* c);
int uvsig__prepare_removal(const uvsig_shutdown_t* sd,
                           struct uvsig__coordinator** c);

/* hold.c */
void uvsig__holds_report(struct uvsig__coordinator* c,
                         uvsig_shutdown_report_t* report);
void uvsig__holds_forget(struct uvsig__coordinator* c);
/* child.c */
void uvsig__children_notify(struct uvsig__coordinator* c,
                            enum uvsig__child_due due);
uint64_t uvsig__children_check(struct uvsig__coordinator* c);
void uvsig__children_drop_inherited(struct uvsig__coordinator* c);
void uvsig__children_forget(struct uvsig__coordinator* c);
/* listener.c */
bool uvsig__listeners_need_turn(struct uvsig__coordinator* c);
void uvsig__listeners_close(struct uvsig__coordinator* c);
int uvsig__listeners_collect(const struct uvsig__coordinator* c,
                             int** fds,
                             char** names,
                             size_t* count);
void uvsig__listeners_hand_over(struct uvsig__coordinator* c);
void uvsig__listeners_forget(struct uvsig__coordinator* c);
/* linger.c */
void uvsig__linger_force(struct uvsig__coordinator* c);
uint64_t uvsig__linger_check(struct uvsig__coordinator* c, uint64_t now);
void uvsig__linger_close_all(struct uvsig__coordinator* c);
/* closer.c */
bool uvsig__closers_run(struct uvsig__coordinator* c, bool is_over);
void uvsig__closers_forget(struct uvsig__coordinator* c);
/* exit.c */
void uvsig__mute_until_end(struct uvsig__coordinator* c, int signum);
void uvsig__mute_late_signals(struct uvsig__coordinator* c);
void uvsig__unmute_all(struct uvsig__coordinator* c);
/* reload.c */
void uvsig__reloads_run(struct uvsig__coordinator* c);
void uvsig__reloads_forget(struct uvsig__coordinator* c);
/* limit.c */
void uvsig__limits_init(struct uvsig__coordinator* c);
void uvsig__limit_set(struct uvsig__coordinator* c);
void uvsig__limit_make_up_for_stop(struct uvsig__coordinator* c);
/* close.c */
void uvsig__watchers_stop(struct uvsig__coordinator* c);
void uvsig__finish(struct uvsig__coordinator* c);
/* phases.c */
void uvsig__look_at_everything(struct uvsig__coordinator* c, bool has_polled);

#endif
