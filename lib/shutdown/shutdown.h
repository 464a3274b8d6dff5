/* SPDX-License-Identifier: MIT
 *
 * What the files of the shutdown coordinator share. It is a user of the library
 * like any other, but for the clock and the lock that a fork survives. Fields
 * are the loop thread's alone, unless it says otherwise.
 */

#ifndef UVSIG_SHUTDOWN_H
#define UVSIG_SHUTDOWN_H

#include "../internal.h"

#define UVSIG__MS UINT64_C(1000000) /* in nanoseconds */

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

/* What a level rises to, and how: escalate.c. The signal handler writes it, and
 * any thread: all is atomic, or written once by whoever claims it. */
struct uvsig__escalation {
  /* Set before the first signal can come. */
  sigset_t forced;
  unsigned forced_count;
  unsigned exit_count;
  unsigned debounce_ms;
  unsigned hard_ms; /* with the watchdog's slack */

  atomic_uint total_ms; /* delay, grace and hard, likewise */
  atomic_uint level;    /* uvsig_shutdown_level_t, the highest asked for */
  atomic_uint signals;  /* that counted */
  atomic_uint
      last_ms; /* when the last one did, on a clock that wraps; 0: none */

  /* What began it. */
  atomic_int claimed; /* somebody writes what follows ... */
  atomic_int begun;   /* ... and has written it */
  int signum;         /* 0: a request */
  const char* reason;
  uv_pid_t pid;
  uv_uid_t uid;

  /* The kernel's timer, see watchdog.c. */
#ifdef HAVE_TIMER_CREATE
  timer_t timer;
#endif
  bool has_timer;
  uv_pid_t timer_pid;  /* whose it is: a child of fork() has none */
  atomic_uint handled; /* the level that the watchdog's thread enforces */
};

/* The thread that ends the process at the limit: watchdog.c. */
struct uvsig__watchdog {
  uv_mutex_t mutex;
  uv_cond_t cond;
  uv_thread_t thread;
  uv_pid_t pid;   /* the process that has the thread; 0: none */
  uint64_t limit; /* ns; under the mutex, as what follows */
  bool is_stopped;
  int status;
  bool log;
};

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
  sigset_t ignored;  /* left so, instead of their default actions */
  bool has_forked;   /* the watchdog's thread is still the parent's */
  bool is_over;      /* the last callback has been called, or is about to be */
  bool is_advancing; /* and in somebody's callback, perhaps */

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
#define UVSIG__GIVEN_UP UVSIG_SHUTDOWN_PHASES

/* coordinator.c */
bool uvsig__options_list(const uvsig_shutdown_options_t* options, int signum);
bool uvsig__options_are_valid(const uvsig_shutdown_options_t* options);
int uvsig__coordinator_of(const uvsig_shutdown_t* sd,
                          struct uvsig__coordinator** c);
bool uvsig__has_begun(const struct uvsig__coordinator* c);
void uvsig__look_again(struct uvsig__coordinator* c);

/* escalate.c: signal context. */
void uvsig__escalate(uvsig_watcher_t* w, int signum, const siginfo_t* info);
void uvsig__set_handled(struct uvsig__escalation* e, unsigned level);
int uvsig__exit_status(const struct uvsig__escalation* e);

/* watchdog.c */
void uvsig__kernel_timer_create(struct uvsig__coordinator* c, int signum);
void uvsig__kernel_timer_delete(struct uvsig__coordinator* c);
void uvsig__watchdog_set(struct uvsig__coordinator* c,
                         uint64_t limit,
                         unsigned level);
bool uvsig__watchdog_is_running(const struct uvsig__coordinator* c);
void uvsig__watchdog_stop(struct uvsig__coordinator* c);

/* connection.c */
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

/* linger.c */
void uvsig__linger_force(struct uvsig__coordinator* c);
uint64_t uvsig__linger_tick(struct uvsig__coordinator* c, uint64_t now);
void uvsig__linger_close_all(struct uvsig__coordinator* c);

/* listener.c */
bool uvsig__listeners_accept(struct uvsig__coordinator* c);
void uvsig__listeners_end(struct uvsig__coordinator* c);
void uvsig__listeners_forget(struct uvsig__coordinator* c);

/* child.c */
void uvsig__children_kill(struct uvsig__coordinator* c, int signum);
void uvsig__children_forget(struct uvsig__coordinator* c);

/* hold.c */
unsigned uvsig__holds_count(struct uvsig__coordinator* c);
void uvsig__holds_name(struct uvsig__coordinator* c, char* out, size_t size);
void uvsig__holds_forget(struct uvsig__coordinator* c);

/* notify.c */
void uvsig__notify_start(struct uvsig__coordinator* c);
void uvsig__notify_ready(struct uvsig__coordinator* c);
void uvsig__notify_stopping(struct uvsig__coordinator* c);
void uvsig__notify_extend(struct uvsig__coordinator* c, uint64_t ns);
void uvsig__notify_reloading(struct uvsig__coordinator* c);

/* reload.c */
void uvsig__reloads_run(struct uvsig__coordinator* c);
void uvsig__reloads_add_signals(const struct uvsig__coordinator* c,
                                sigset_t* set);
void uvsig__reloads_forget(struct uvsig__coordinator* c);

/* report.c */
void uvsig__report_begin(struct uvsig__coordinator* c);
void uvsig__report_end(struct uvsig__coordinator* c);
bool uvsig__report_left(uv_loop_t* loop,
                        const uvsig_t* sig,
                        uvsig_shutdown_report_t* report);
void uvsig__report_log(const struct uvsig__coordinator* c);
void uvsig__log_overdue(int status);

#endif /* UVSIG_SHUTDOWN_H */
