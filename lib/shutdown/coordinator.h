/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_COORDINATOR_H
#define UVSIG_SHUTDOWN_COORDINATOR_H

#include "connection.h"
#include "escalate.h"
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
  (at)->prev = NULL;                                                           \
  (at)->next = NULL;                                                           \
 } while (0)

/* Behind a uvsig_shutdown_t. On the heap: the handler and closing handles may
 * outlive what the user does with the public struct. */
struct uvsig__coordinator {
  uvsig_shutdown_t* sd;
  uv_loop_t* loop;
  uvsig_shutdown_options_t options;
  struct uvsig__escalation escalation;
  struct uvsig__watchdog watchdog;

  atomic_int phase;    /* any thread reads it */
  atomic_int is_ready; /* likewise */
  atomic_uint callers; /* in uvsig_shutdown_request() now, in any thread */

  uv_async_t async; /* any thread: look again; keeps the loop alive */
  uv_timer_t timer; /* the next moment that matters */
  uv_idle_t idle;   /* started: do not sleep, ... */
  uv_check_t check; /* ... and look again when the loop has polled, ... */
  bool will_poll;   /* ... all of it since then */
  uv_check_cb on_check;
  uv_timer_t notify_timer; /* pings a service manager */
  struct uvsig__closing closing;
  struct uvsig__component component;
  uvsig_shutdown_close_cb close_cb;
  sigset_t ignored; /* left so, instead of their default actions */
  bool has_forked;  /* the watchdog's thread is still the parent's */
  bool is_over;     /* the last callback has been called, or is about to be */
  bool is_looking;  /* and in somebody's callback, perhaps */

  uint64_t phase_at[UVSIG_SHUTDOWN_PHASES]; /* when each began; 0: it did not */
  uint64_t until;                           /* when this one ends, at most */
  unsigned backlog_turns; /* that listeners have been given to accept */

  uvsig_shutdown_listener_t* listeners;
  bool is_closed; /* the last one has been, while draining or forcing */
  struct uvsig__connections connections;
  uvsig_shutdown_child_t* children;
  unsigned child_count;
  int child_signal; /* that all of them have got, or 0 */

  /* Under uvsig__lock(): any thread's. */
  uvsig_shutdown_hold_t* holds;
  unsigned hold_count;

  uvsig_reload_t* reloads;
  unsigned reloading; /* how many run, stopped or not */
  bool is_reloading;  /* and the service manager knows */

  unsigned watcher_count;
  uvsig_watcher_t watchers[];
};

/* As the phase, after uvsig_shutdown_close(). */
#define UVSIG__CLOSED UVSIG_SHUTDOWN_PHASES

bool uvsig__options_list(const uvsig_shutdown_options_t* options, int signum);
bool uvsig__options_are_valid(const uvsig_shutdown_options_t* options);
int uvsig__coordinator_of(const uvsig_shutdown_t* sd,
                          struct uvsig__coordinator** c);
bool uvsig__has_begun(const struct uvsig__coordinator* c);
void uvsig__look_again(struct uvsig__coordinator* c);

/* hold.c */
unsigned uvsig__holds_count(struct uvsig__coordinator* c);
void uvsig__holds_name(struct uvsig__coordinator* c, char* out, size_t size);
void uvsig__holds_forget(struct uvsig__coordinator* c);

/* child.c */
void uvsig__children_signal(struct uvsig__coordinator* c, int signum);
void uvsig__children_forget(struct uvsig__coordinator* c);

/* listener.c */
bool uvsig__listeners_need_turn(struct uvsig__coordinator* c);
void uvsig__listeners_close(struct uvsig__coordinator* c);
void uvsig__listeners_forget(struct uvsig__coordinator* c);

/* linger.c */
void uvsig__linger_force(struct uvsig__coordinator* c);
uint64_t uvsig__linger_check(struct uvsig__coordinator* c, uint64_t now);
void uvsig__linger_close_all(struct uvsig__coordinator* c);

/* reload.c */
void uvsig__reloads_run(struct uvsig__coordinator* c);
void uvsig__reloads_add_signals(const struct uvsig__coordinator* c,
                                sigset_t* set);
void uvsig__reloads_forget(struct uvsig__coordinator* c);

#endif
