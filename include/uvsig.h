/* SPDX-License-Identifier: MIT
 *
 * libuvsig: Unix signals, delivered to callbacks on a libuv loop's own thread.
 *
 * The contract of every function is here, always in the same order. It says
 * what the function does, what may surprise, what it returns, what holds after
 * an error, from where it may be called, and since which release. The manual,
 * uvsig(7), has the prose and the examples.
 *
 * Rules that hold for all of them:
 *
 * - 0 or more is success, a negative number is a libuv error code (UV_E*).
 *   errno is no part of the contract.
 * - Arguments are checked before anything changes, and after an error
 *   everything is as it was before the call.
 * - Zero your structs. UV_EINVAL for an object that is not initialised is sure
 *   only if its memory is zero; one with garbage in it is undefined behaviour.
 * - A callback must not run its own loop: uv_run() is not reentrant (libuv,
 *   loop.rst). That holds for callbacks, too, that uvsig_flush(), uvsig_pause()
 *   and uvsig_watcher_drain() run while the loop does not.
 * - "Loop thread" is the thread that runs the loop; until it has run for the
 *   first time, the thread that called uvsig_init(); and once that thread has
 *   ended, the next one that calls. A thread that takes a loop over owns it
 *   from the first time that it is about to poll. From any other thread a
 *   function with that context returns UV_EPERM, or does nothing where it
 *   returns nothing.
 *   At the end of a thread, a destructor of a thread-specific key may use a
 *   loop that no thread owns, and does not become its owner.
 *   If there is no memory to note the end of a thread that takes a loop over,
 *   the loop stays that thread's until another one runs it.
 * - "Waits for a grace period": until every handler of the library that was in
 *   flight at the call, on another thread, has left. The call yields the
 *   processor 16 times, then sleeps 50 microseconds at a time. There is no time
 *   limit, but the library's handler never blocks. A handler of
 *   uvsig_watcher_set_handler() must not block either.
 * - Fields named private, and the structs' sizes, may change until 1.0.
 */

#ifndef UVSIG_H
#define UVSIG_H

#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
# define UVSIG_EXTERN __attribute__((visibility("default")))
#else
# define UVSIG_EXTERN
#endif

/* One more than the highest signal number: 65 on most Linux systems, 128 on
 * MIPS. Not every smaller number is a signal, see uvsig_valid_signals(). */
#ifndef UVSIG_NSIG
# if defined(_SIG_MAXSIG)
#  define UVSIG_NSIG (_SIG_MAXSIG + 1)
# elif defined(_NSIG)
#  define UVSIG_NSIG _NSIG
# else
#  define UVSIG_NSIG NSIG
# endif
#endif

typedef struct uvsig_s uvsig_t;
typedef struct uvsig_watcher_s uvsig_watcher_t;
typedef struct uvsig_options_s uvsig_options_t;
typedef struct uvsig_info_s uvsig_info_t;
typedef struct uvsig_stats_s uvsig_stats_t;
typedef struct uvsig_warning_s uvsig_warning_t;
typedef struct uvsig_itimer_s uvsig_itimer_t;
typedef struct uvsig_itimerval_s uvsig_itimerval_t;
typedef struct uvsig_wait_s uvsig_wait_t;
typedef struct uvsig_shutdown_s uvsig_shutdown_t;
typedef struct uvsig_shutdown_options_s uvsig_shutdown_options_t;
typedef struct uvsig_shutdown_report_s uvsig_shutdown_report_t;
typedef struct uvsig_shutdown_listener_s uvsig_shutdown_listener_t;
typedef struct uvsig_shutdown_connection_s uvsig_shutdown_connection_t;
typedef struct uvsig_shutdown_child_s uvsig_shutdown_child_t;
typedef struct uvsig_shutdown_closer_s uvsig_shutdown_closer_t;
typedef struct uvsig_listen_fd_s uvsig_listen_fd_t;
typedef struct uvsig_upgrade_s uvsig_upgrade_t;
typedef struct uvsig_upgrade_options_s uvsig_upgrade_options_t;
typedef struct uvsig_shutdown_hold_s uvsig_shutdown_hold_t;
typedef struct uvsig_shutdown_work_s uvsig_shutdown_work_t;
typedef struct uvsig_reload_s uvsig_reload_t;

/* --- The signals of a loop ------------------------------------------------ */

/* How signals get to the loop: through the handler, and then this carries the
 * bytes, or without it. */
typedef enum {
  UVSIG_WAKEUP_PIPE = 0,   /* 65,536 bytes on Linux */
  UVSIG_WAKEUP_SOCKETPAIR, /* AF_UNIX; hundreds or thousands of bytes */
  /* Linux. A start blocks the signal in the loop's thread, and the loop reads it
   * from a signalfd(2): one callback per signal, with its sender and its value,
   * as many as the kernel queues (RLIMIT_SIGPENDING, getrlimit(2)). The last
   * stop unblocks it once the previous action is back: signals that still wait
   * in the kernel have that action. The handler stays for threads that do not
   * block the signal, and catches alone: SIGCHLD, what a fault raises, and a
   * signal with UVSIG_CHAIN, UVSIG_SHARE, UVSIG_KEEP_MASK or
   * uvsig_watcher_set_handler(). Its bytes go through a pipe. See
   * uvsig_init(3), "Without a handler", for what differs. */
  UVSIG_WAKEUP_SIGNALFD
} uvsig_wakeup_t;

/* The meaning of the bytes. */
typedef enum {
  /* Bytes mode. Each byte is a signal number: one callback per signal, in the
   * order of arrival. Where a full buffer has no room for the byte, the signal
   * is counted under its number: the overflow. It is delivered after the bytes,
   * and warned of. */
  UVSIG_MODE_BYTES = 0,
  /* Wake-only mode. The byte only wakes the loop: one callback per signal
   * number with its count, in ascending order. A burst costs one system call. A
   * signal that a watcher's callback raises costs none. */
  UVSIG_MODE_WAKE_ONLY
} uvsig_mode_t;

typedef enum {
  UVSIG_WARN_FULL_BUFFER = 0, /* no room for bytes: the signals were counted */
  UVSIG_WARN_WRITE_ERROR      /* the wakeup fd failed; error says how */
} uvsig_warning_kind_t;

/* The event that a warning callback is notified of. Valid during the callback
 * only. */
struct uvsig_warning_s {
  uvsig_warning_kind_t kind;
  int error;              /* UV_E* of what failed; UV_EOF: the other end */
  uint64_t total;         /* how many signals were not carried by a byte */
  const uint64_t* counts; /* the same for each number; UVSIG_NSIG entries */
  int fd; /* uvsig_set_wakeup_fd()'s, or -1: the uvsig_t's own */
};

/* Called on the loop thread. May do what a watcher's callback may do. */
typedef void (*uvsig_warning_cb)(uvsig_t* sig, const uvsig_warning_t* warning);

typedef void (*uvsig_close_cb)(uvsig_t* sig);

/* Set by uvsig_options_init(), then changed field by field. */
struct uvsig_options_s {
  uvsig_wakeup_t wakeup;       /* UVSIG_WAKEUP_PIPE */
  uvsig_mode_t mode;           /* UVSIG_MODE_BYTES */
  int warn_on_full_buffer;     /* 1; 0: say nothing of a full buffer */
  uvsig_warning_cb warning_cb; /* NULL: one line on standard error */
  size_t buffer_size;          /* bytes; 0: the system's for a pipe, as large
                                * as allowed for a socketpair; at most INT_MAX.
                                * The kernel rounds it up. */
  unsigned info_depth;         /* 64: sender slots of each signal number. A slot
                                * keeps who sent a signal that is not delivered
                                * yet, in about 100 bytes. 0: none; at most
                                * 65,536. Rounded up to a power of two. */
  int time_stamps;             /* 0; 1: see uvsig_stats_t, max_latency_ns */
  /* private */
  unsigned mark;         /* that uvsig_options_init() has set them */
  uintptr_t reserved[7]; /* 0 */
};

/* The signals of one loop. The memory is the caller's, and must stay where it
 * is from uvsig_init() until the close callback. */
struct uvsig_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uv_loop_t* loop;
  /* private */
  void* hub;
  void* reserved[4];
};

/* Counts of one signal, or of all. At rest, caught = delivered + discarded. */
struct uvsig_stats_s {
  uint64_t caught;         /* seen by the signal handler, or read from the
                            * signalfd */
  uint64_t delivered;      /* at least one callback was notified of them */
  uint64_t discarded;      /* dropped: no watcher was left to be notified */
  uint64_t coalesced;      /* of the delivered, those in a count above 1 */
  uint64_t junk;           /* bytes read that were no signal; only in the sum */
  uint64_t info_dropped;   /* of the delivered, those without their sender; 0
                            * where info_depth is 0 */
  uint64_t full_buffers;   /* episodes; for one signal, those it was part of */
  uint64_t replaced;       /* stops that found a foreign handler installed */
  uint64_t max_latency_ns; /* the longest from the handler to the callback, of
                            * those whose sender was kept; 0 without the option
                            * time_stamps */
  /* private */
  uint64_t reserved[7];
};

/* Set the defaults.
 * Returns: nothing. NULL is ignored.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN void uvsig_options_init(uvsig_options_t* options);

/* Prepare to watch signals on a loop.
 * Makes the wakeup fds, both non-blocking and close-on-exec, and registers the
 * read end with the loop. Changes no disposition and does not keep the loop
 * alive. `options` may be NULL for the defaults, and is copied. `data` is left
 * alone. Where it succeeds uvsig_close() is owed, where it fails nothing is.
 * Returns: 0
 *   UV_EINVAL   `loop` or `sig` is NULL, or a field of `options` is out of
 *               range or was not set by uvsig_options_init()
 *   UV_ENOMEM   no memory
 *   UV_EAGAIN   all thread-specific keys of the process are in use
 *               (pthread_key_create(3))
 *   UV_EMFILE   no file descriptors left in the process
 *   UV_ENFILE   none left in the system
 *   UV_EPERM    `buffer_size` is above what the system allows the user
 *               (fcntl(2), F_SETPIPE_SZ)
 *   UV_ENOTSUP  `buffer_size` is set and this system cannot resize a pipe, or
 *               `wakeup` is UVSIG_WAKEUP_SIGNALFD and it has no signalfd(2)
 *   what uv_poll_init() returns, and another code of fcntl(2) or signalfd(2)
 *   or, with a socketpair, of socketpair(2), setsockopt(2) or getsockopt(2)
 * After an error: `*sig` is untouched, no memory or descriptor is held.
 * Context: the thread that owns the loop. Since: 0.1. */
UVSIG_EXTERN int uvsig_init(uv_loop_t* loop,
                            uvsig_t* sig,
                            const uvsig_options_t* options);

/* Stop every watcher, discard what is pending, and restore dispositions and
 * mask.
 * At return the watchers are stopped, their memory is yours, the previous
 * dispositions are restored and the descriptors are closed. The loop then
 * calls `cb`, which may be NULL; from then on `*sig` is yours. Waits for a
 * grace period. May be called in a callback.
 * Returns: 0
 *   UV_EINVAL    `sig` is NULL or not initialised
 *   UV_EPERM     not the loop thread
 *   UV_EALREADY  closing already; the first call's `cb` stands
 *   UV_EBUSY     its uvsig_shutdown_t is neither done nor closed
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_close(uvsig_t* sig, uvsig_close_cb cb);

/* Give a child of fork(2) signals of its own.
 * The child calls it after uv_loop_fork() of the same loop, once for each
 * `uvsig_t` that it goes on to use. Until then the child is as if the library
 * had never been there. It has the dispositions and, in its thread, the mask
 * from before the first watcher. Nothing that it receives reaches the parent,
 * and nothing that the parent receives reaches its callbacks. Then the
 * descriptors are its own, the counts are 0, and watchers that were started are
 * so in the child, and their signals unblocked as in the parent. Armed interval
 * timers are not inherited: start them again. A child that does not want them
 * does nothing, or calls uv_loop_fork() and uvsig_close(). SIGCHLD has libuv's
 * handler in the child, as far as libuv has installed it.
 * Returns: 0
 *   UV_EINVAL  `sig` is NULL, not initialised or closing, the program has
 *              closed its handles, or this process has no such call to make
 *   UV_EPERM   not the loop thread
 *   UV_EMFILE, UV_ENFILE and other codes as uvsig_init()
 *   what sigaction(2) refuses
 * After an error: as before the call; it may be called again.
 * Context: loop thread of the child, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_fork(uvsig_t* sig);

/* Run the callbacks of what is pending now, without running the loop.
 * Bounded: signals that keep arriving are left for the loop. If a callback
 * calls it, the other watchers of the same signal are notified when that
 * callback has returned.
 * Returns: 0 or more, how many callbacks were run
 *   UV_EINVAL  `sig` is NULL, not initialised or closing
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_flush(uvsig_t* sig);

/* Sleep until a signal is caught, and run its callbacks, without the loop.
 * Where callbacks are due at the call they are run, without sleeping. If a
 * callback calls it, these may be those of the other watchers of the same
 * signal. Signals that nothing of `sig` watches do not end it, nor do signals
 * that no callback is notified of. The loop's other handles, and the time
 * limits of uvsig_wait_start(), wait until the loop runs again.
 * Returns: 1 or more, how many callbacks were run
 *   UV_EINVAL  `sig` is NULL, not initialised or closing, or has no started
 *              watcher, wait or timer: nothing could end it
 *   UV_EPERM   not the loop thread
 *   UV_EBADF   a child of fork(2) has not called uvsig_fork()
 *   UV_EOF     the other end of the wakeup fd has been closed, or another code
 *              of read(2) or poll(2)
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_pause(uvsig_t* sig);

/* Read the counts of `signum`, or, with 0, of all signals together.
 * All zeros for a number that was never watched here, from another thread than
 * the loop's, and once the close callback has been called. Between
 * uvsig_close() and that callback the counts are final and can be read.
 * Returns: nothing. `out` being NULL is ignored.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_stats(const uvsig_t* sig,
                              int signum,
                              uvsig_stats_t* out);

/* Tell whether the caller may use what belongs to the loop thread.
 * Returns: 1, or 0 in another thread, or where `sig` is NULL, not initialised
 *   or closing.
 * Context: any thread, while no other one closes `sig`. Since: 0.1. */
UVSIG_EXTERN int uvsig_is_loop_thread(const uvsig_t* sig);

/* Tell whether a handle is one that the library has made for `sig`.
 * For uv_walk(): the library closes those with `sig`, or with its
 * uvsig_shutdown_t. The program must not close them, but for uvsig_run()'s.
 * Returns: 1 or 0.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_has_handle(const uvsig_t* sig,
                                  const uv_handle_t* handle);

/* Find the `uvsig_t` of a loop: of several that are open, the first that
 * uvsig_init() has made. uvsig_run() has one while it runs, and a program that
 * includes uvsig-uv-signal.h while it has handles.
 * Returns: the `uvsig_t`, or NULL where `loop` is NULL or has none that is open.
 * Context: loop thread. Since: 0.2. */
UVSIG_EXTERN uvsig_t* uvsig_of_loop(const uv_loop_t* loop);

/* --- A watcher's types ---------------------------------------------------- */

/* Here, since a reload and an upgrade have a watcher inside. */

/* No sender is known: only signum, count and flags are set. Three cases: count
 * is above 1; every sender slot was in use (the option info_depth); or the
 * kernel had no room to keep who sent a standard signal (RLIMIT_SIGPENDING,
 * getrlimit(2)). */
#define UVSIG_INFO_NONE 1u

/* The signals that a callback is notified of. Valid during the callback only.
 * The meaning of code to value is that of siginfo_t's si_* (sigaction(2));
 * those that a code does not come with are 0.
 * Callbacks are notified of signals of one number in the order in which they
 * were caught. Exception: if a callback flushes, the other watchers are
 * notified of the next signals first. A sender is always that of this very
 * signal. */
struct uvsig_info_s {
  int signum;
  unsigned count; /* how many signals this stands for, 1 to UINT_MAX */
  unsigned flags; /* UVSIG_INFO_* */
  int code;
  int error;
  uv_pid_t pid;
  uv_uid_t uid;
  int status;
  long band;
  union sigval value;
  /* private */
  void* reserved[4];
};

/* Called on the loop thread. May stop and start any watcher, this one too, free
 * those that are stopped, and flush or close the uvsig_t. As everywhere in
 * libuv, it must not run the loop. */
typedef void (*uvsig_watcher_cb)(uvsig_watcher_t* w,
                                 int signum,
                                 const uvsig_info_t* info);

/* One callback for one signal. Not a uv handle: once it is stopped, its memory
 * is yours. */
struct uvsig_watcher_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_t* sig;
  int signum; /* 0 while stopped */
  /* private */
  uvsig_watcher_cb cb;
  void* source;
  uvsig_watcher_t* prev;
  uvsig_watcher_t* next;
  uint64_t since;
  unsigned flags;
  unsigned state;
  void (*handler)(uvsig_watcher_t* w, int signum, const siginfo_t* info);
  uint64_t start;
  void* reserved[2];
};

/* --- Shutdown ------------------------------------------------------------- */

/* How urgent a shutdown is; it only rises. */
typedef enum {
  UVSIG_SHUTDOWN_NONE = 0,
  UVSIG_SHUTDOWN_GRACEFUL, /* finish what is under way */
  UVSIG_SHUTDOWN_FORCED,   /* close what is left */
  UVSIG_SHUTDOWN_IMMEDIATE /* _exit(2) here and now */
} uvsig_shutdown_level_t;

/* Where a shutdown is; always onwards. */
typedef enum {
  UVSIG_SHUTDOWN_RUNNING = 0,
  UVSIG_SHUTDOWN_NOT_READY, /* still accepts, but reports "not ready" */
  UVSIG_SHUTDOWN_DRAINING,  /* accepts no more, finishes */
  UVSIG_SHUTDOWN_FORCING,   /* closes what has not finished */
  UVSIG_SHUTDOWN_CLOSING,   /* calls closers; without one there is no such
                             * phase. Since 0.2 */
  UVSIG_SHUTDOWN_DONE
} uvsig_shutdown_phase_t;

#define UVSIG_SHUTDOWN_PHASES 6

/* The end of connections that are idle when draining begins. A connection that
 * becomes idle later is closed then. A connection that never had a request is
 * idle once `fresh_ms` is over. */
typedef enum {
  UVSIG_SHUTDOWN_IDLE_CLOSE = 0,      /* at once, unless a request is there */
  UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE, /* after the next response */
  UVSIG_SHUTDOWN_IDLE_SPREAD          /* one after the other, longest idle
                                       * first, over spread_ms */
} uvsig_shutdown_idle_t;

/* How uvsig_shutdown_exit() ends the process. */
typedef enum {
  UVSIG_SHUTDOWN_EXIT_SIGNAL = 0, /* by the signal: uvsig_reraise() */
  UVSIG_SHUTDOWN_EXIT_ZERO,       /* with 0 */
  UVSIG_SHUTDOWN_EXIT_CODE        /* with 128 + the signal */
} uvsig_shutdown_exit_t;

/* Called on the loop thread when a phase begins; may do what a watcher's
 * callback may do. UVSIG_SHUTDOWN_DONE is the last call: all that was
 * registered is forgotten. When it returns, the report counts what is left in
 * the loop, and the library closes the `uvsig_t`, unless `keep_sig`. If
 * something is left that keeps the loop alive, uv_stop() follows, so that
 * uv_run() returns.
 * From UVSIG_SHUTDOWN_DONE on, every signal that the `uvsig_t` has watched does
 * nothing where it would have its default action and that would end the
 * process: a late one is to change nothing about the exit. So do SIGPIPE and
 * SIGXFSZ from the first phase on. By a handler: a program that is started
 * meanwhile by exec(3), with or without fork(2), has the default actions. */
typedef void (*uvsig_shutdown_phase_cb)(uvsig_shutdown_t* sd,
                                        uvsig_shutdown_phase_t phase);

typedef void (*uvsig_shutdown_close_cb)(uvsig_shutdown_t* sd);

/* Set by uvsig_shutdown_options_init(), then changed field by field: a struct
 * that it has not set is refused. All times are in milliseconds. 0 skips the
 * phase; there is no "unlimited".
 * The limit of a shutdown is `delay_ms`, `grace_ms` and `hard_ms` together,
 * and 100 ms (200 - `hard_ms`, if that is more). It counts from the first
 * signal that counts until the process is gone: also in callbacks, in
 * uvsig_shutdown_exit() and in exit handlers. From a signal that forces it is
 * `hard_ms` and the 100 ms. At the limit one line on standard error says so,
 * and the process ends by
 * _exit(128 + n). uvsig_shutdown_close() alone lifts it. Exception: a process
 * that was stopped (SIGSTOP) for 0.5 s or longer has at least `hard_ms` once it
 * goes on. */
struct uvsig_shutdown_options_s {
  sigset_t graceful;     /* SIGINT and SIGTERM: the first begins to finish.
                          * SIGHUP does so too, though it is not listed and
                          * never counts, where its action is the default and
                          * the program has no watcher or reload for it */
  sigset_t forced;       /* none: the first of these begins to force */
  unsigned forced_count; /* which counted signal forces: 2, the second; 0:
                          * none does */
  unsigned exit_count;   /* which counted signal ends the process, by
                          * _exit(128 + n) in the handler: 3, the third; 0:
                          * none does */
  unsigned debounce_ms;  /* 200: after a signal that counts, others do not for
                          * this long; one of `forced` that raises the level
                          * does */
  int watch_ignored;     /* 0; 1: take also signals that are ignored now */
  unsigned delay_ms;     /* 0: how long UVSIG_SHUTDOWN_NOT_READY is */
  unsigned grace_ms;     /* 8,000: how long _DRAINING may be */
  unsigned hard_ms;      /* 1,000: how long _FORCING and _CLOSING may be */
  unsigned total_ms;     /* 0: the sum of these three; else the whole, and
                          * `grace_ms` is what the other two leave of it */
  unsigned linger_ms;    /* 500: see uvsig_shutdown_linger() */
  unsigned spread_ms;    /* 5,000: at most grace_ms is used */
  unsigned fresh_ms;     /* 500: how long a connection that never had a request
                          * has to send its first one, at most half of
                          * grace_ms; 0: it is idle at once. Since 0.2 */
  uvsig_shutdown_idle_t idle; /* UVSIG_SHUTDOWN_IDLE_CLOSE */
  uvsig_shutdown_exit_t exit; /* UVSIG_SHUTDOWN_EXIT_SIGNAL */
  int log;                    /* 0; 1: one line on standard error at the end */
  int notify;                 /* 1: tell the service manager; 0: do not; 2: as
                               * 1, and take NOTIFY_SOCKET and WATCHDOG_* out of
                               * the environment, so that no program which this
                               * one starts speaks for it */
  int keep_sig;               /* 0; 1: do not close the `uvsig_t` after
                               * UVSIG_SHUTDOWN_DONE */
  uvsig_shutdown_phase_cb phase_cb; /* NULL */
  /* private */
  unsigned mark; /* that uvsig_shutdown_options_init() has set them */
  uintptr_t reserved[8]; /* 0 */
};

/* How it went. The cause is there from the first phase callback on, the counts
 * of connections and of killed child processes as they are, the rest in
 * UVSIG_SHUTDOWN_DONE. */
struct uvsig_shutdown_report_s {
  int signum;         /* what began it; 0: uvsig_shutdown_request() */
  const char* reason; /* of the request, or the signal's name */
  uv_pid_t pid;       /* the sender, or 0: not a process, or a request */
  uv_uid_t uid;
  unsigned signals; /* how many counted */
  int clean;        /* 1: everything finished by itself, in time; else 0 */
  uint64_t phase_ms[UVSIG_SHUTDOWN_PHASES]; /* how long each was */
  unsigned closed;   /* connections that closed by themselves since then */
  unsigned forced;   /* connections that were forced to */
  unsigned cut;      /* connections that a limit closed while they lingered,
                      * before the peer had received everything */
  unsigned open;     /* connections that were open at the end all the same */
  unsigned killed;   /* child processes that got SIGKILL, an upgrade's successor
                      * that was not ready among them */
  unsigned children; /* child processes that were there at the end */
  unsigned closers;  /* closers that had not ended in time */
  unsigned holds;    /* work that was under way at the end ... */
  char held[256];    /* ... and its names, separated by ", "; cut with "..." */
  unsigned handles;  /* of the loop that are left, active or not ... */
  unsigned left[UV_HANDLE_TYPE_MAX]; /* ... and not the library's; by type.
                                      * Counted again after the callback */
  unsigned requests; /* requests that keep it alive, such as uv_queue_work() */
  uv_pid_t successor; /* the process that serves on after an upgrade, or 0 */
  /* private */
  uint64_t reserved[8];
};

/* Takes a server from the signal to its exit, on time. The memory is the
 * caller's, and must stay where it is until the end. One for a `uvsig_t`. */
struct uvsig_shutdown_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_t* sig;
  uvsig_shutdown_report_t report;
  /* private */
  void* coordinator;
  uvsig_shutdown_exit_t exit;
  int has_status;
  int status;
  void* reserved[4];
};

/* Set the defaults.
 * Returns: nothing. NULL is ignored.
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_shutdown_options_init(
    uvsig_shutdown_options_t* options);

/* Take the signals, and wait for the first.
 * From now on they are counted, by the signal handler, also while the loop does
 * not run: a server does this before it opens its listeners. A signal that is
 * ignored now (nohup(1), a shell's background job) stays so, unless
 * `watch_ignored`. `options` may be NULL for the defaults, and is copied. The
 * loop is kept alive until the end. `data` is left alone.
 * A child of fork(2) that goes on after uvsig_fork() has no limit until its
 * loop has come to the shutdown. Until uvsig_fork() nothing can be registered
 * there: UV_EBADF.
 * The end comes by itself: UVSIG_SHUTDOWN_DONE, and then uvsig_shutdown_exit();
 * or by uvsig_shutdown_close(). One of these two is owed.
 * Returns: 0
 *   UV_EINVAL  `sig` or `sd` is NULL, `sig` is not initialised or closing, or a
 *              field of `options` is out of range, or names what cannot be
 *              caught, or was not set by uvsig_shutdown_options_init()
 *   UV_EBUSY   a watcher of one of the signals on `sig` has a handler: another
 *              uvsig_shutdown_t, most likely
 *   UV_EPERM   not the loop thread
 *   UV_EBADF   a child of fork(2) has not called uvsig_fork()
 *   UV_ENOMEM  no memory
 *   what uv_async_init() returns and sigaction(2) refuses
 * After an error: `*sd` is untouched, no disposition is changed.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_init(uvsig_t* sig,
                                     uvsig_shutdown_t* sd,
                                     const uvsig_shutdown_options_t* options);

/* Give up: the signals have their previous dispositions again. All that was
 * registered is forgotten and left as it is, but lingering connections are
 * closed at once. The loop then calls `cb`, which may be NULL; from then on
 * `*sd` is yours. No limit ends the process any more. After
 * UVSIG_SHUTDOWN_DONE it gives the signals their default actions back and
 * frees, and does not call `cb`. After uvsig_shutdown_exit() it does so, too.
 * No other thread may be using `sd`.
 * Returns: 0
 *   UV_EINVAL    `sd` is NULL or not initialised, or has been given up, or
 *                uvsig_shutdown_exit() has freed it: where no thread could be
 *                created for the limit, and in a child of fork(2)
 *   UV_EALREADY  closing already
 *   UV_EPERM     not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_close(uvsig_shutdown_t* sd,
                                      uvsig_shutdown_close_cb cb);

/* Have uvsig_shutdown_exit() return `status`, whatever the option `exit` says:
 * a child's, say. May be called in UVSIG_SHUTDOWN_DONE's callback, and after
 * it.
 * Returns: 0
 *   UV_EINVAL  `sd` is NULL or was never initialised, or `status` is not 0 to
 *              255
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_set_exit_status(uvsig_shutdown_t* sd,
                                                int status);

/* End as the option `exit` says.
 * Where a signal began it, the process dies by that signal, and this does not
 * return. Exception: a signal whose default action ends no process, such as
 * SIGWINCH. As PID 1, which the kernel spares, _exit(128 + n). Before that
 * all stdio buffers are written, by fflush(NULL) in a thread of its own, for a
 * second at most: neither a reader who does not read nor a lock keeps it. A
 * death by a signal runs no exit handlers, no destructors, and writes no
 * coverage: UVSIG_SHUTDOWN_EXIT_CODE is the way to run them, main() returning
 * what this returns. The limit holds all the while, also if main() goes on to
 * something else.
 * Returns: the exit status: that of uvsig_shutdown_set_exit_status(), 0, or
 *   128 + n
 *   UV_EINVAL  `sd` is NULL or was never initialised
 *   UV_EBUSY   the end has not come yet: neither done nor closed
 * Context: any thread, when no other one uses `sd`. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_exit(uvsig_shutdown_t* sd);

/* Ask for what a signal asks for, without one.
 * Only ever raises the level; to ask twice is harmless. Not debounced. The loop
 * is woken. UVSIG_SHUTDOWN_IMMEDIATE ends the process here: _exit(128 + n), n
 * being the signal that began it, or else SIGTERM.
 * `reason`: for the report, if this begins it; not copied; may be NULL.
 * Returns: 0
 *   UV_EINVAL    `sd` is NULL, not initialised or given up, or `level` is
 *                UVSIG_SHUTDOWN_NONE or unknown
 *   UV_EALREADY  done already
 *   UV_EBADF     a child of fork(2) has not called uvsig_fork()
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_request(uvsig_shutdown_t* sd,
                                        const char* reason,
                                        uvsig_shutdown_level_t level);

/* Let UVSIG_SHUTDOWN_DRAINING be `ms` milliseconds longer than it would be.
 * The limit moves with it, and the service manager is notified.
 * Returns: 0
 *   UV_EINVAL     `sd` is NULL, not initialised or given up, or there would be
 *                 more than UINT_MAX ms to go
 *   UV_ECANCELED  too late: past draining, or forcing has been asked for
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_extend(uvsig_shutdown_t* sd, unsigned ms);

/* Tell where it is. After a request or a signal the phase is that from before
 * until the loop has come to it.
 * Returns: UVSIG_SHUTDOWN_RUNNING to UVSIG_SHUTDOWN_DONE
 *   UV_EINVAL  `sd` is NULL, not initialised or given up
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_phase(const uvsig_shutdown_t* sd);

/* Say that the server serves: READY=1 for the service manager (sd_notify(3)).
 * Never waits. If the service manager does not read, the loop sends it later;
 * if it cannot be reached, nothing is sent.
 * Returns: 0
 *   UV_EINVAL     `sd` is NULL, not initialised or given up
 *   UV_ECANCELED  a shutdown has begun
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_ready(uvsig_shutdown_t* sd);

/* Tell whether new work should be sent here: what a readiness probe answers.
 * Returns: 1 from uvsig_shutdown_ready() until a shutdown begins, else 0.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_is_ready(const uvsig_shutdown_t* sd);

/* --- What a shutdown waits for -------------------------------------------- */

/* An object is not registered again before it is removed. With the same
 * shutdown that is UV_EBUSY; with another one it is undefined behaviour. */

/* Called on the loop thread: accept no more. */
typedef void (*uvsig_shutdown_listener_cb)(uvsig_shutdown_listener_t* l);

/* A socket that accepts. Its memory must stay where it is until it is closed
 * or removed. */
struct uvsig_shutdown_listener_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown; /* NULL: not registered */
  uv_stream_t* stream;
  /* private */
  uvsig_shutdown_listener_cb cb;
  uvsig_shutdown_listener_t* prev;
  uvsig_shutdown_listener_t* next;
  int fd;
  const char* name;
  const char* path; /* libuv's, of a uv_pipe_t that has been handed over */
  void* reserved[2];
};

/* Register a listener: draining begins with the end of it.
 * Connections that wait to be accepted are accepted first, as far as they come
 * in one go: closing the socket would reset them. Then `cb` is called, to
 * close `stream`, or what else it is; it may accept first. The listener is
 * forgotten before that.
 * `stream`: a uv_tcp_t or uv_pipe_t that listens or is about to. NULL where
 * the listener is none of libuv's: the loop polls once before `cb`, so that
 * another library accepts what waits. If `cb` is NULL, this library closes
 * `stream`, by uv_close() with no callback.
 * Returns: 0
 *   UV_EINVAL     `sd` or `l` is NULL, `cb` and `stream` are, or `sd` is not
 *                 initialised or given up
 *   UV_ECANCELED  a shutdown has been asked for: do not begin to listen
 *   UV_EBUSY      registered already
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * After an error: `*l` is untouched.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_add_listener(uvsig_shutdown_t* sd,
                                             uvsig_shutdown_listener_t* l,
                                             uv_stream_t* stream,
                                             uvsig_shutdown_listener_cb cb);

/* Set what an upgrade hands over of a registered listener.
 * `fd`: the socket of one that is no uv_stream_t; -1: the stream's. `name`: for
 * LISTEN_FDNAMES, or NULL; not copied.
 * Returns: 0
 *   UV_EINVAL  `l` is NULL or not registered, `fd` is below -1, or `name` has a
 *              ':', a control character, or more than 255 characters
 *   UV_EPERM   not the loop thread
 * Context: loop thread. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_listener_set_fd(uvsig_shutdown_listener_t* l,
                                                int fd,
                                                const char* name);

/* Forget a listener. Harmless for one that is not registered, if its memory is
 * zero or was registered before.
 * Returns: 0
 *   UV_EINVAL  `l` is NULL
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_remove_listener(uvsig_shutdown_listener_t* l);

/* The events that a connection is notified of. */
typedef enum {
  /* Draining has begun: say goodbye with the response that is under way, or
   * with the next one ("Connection: close"; 1001 on a WebSocket). Each
   * connection is notified once, idle or busy. */
  UVSIG_SHUTDOWN_CONNECTION_DRAIN = 0,
  /* It is idle, or has sent nothing in fresh_ms: close it now. */
  UVSIG_SHUTDOWN_CONNECTION_CLOSE,
  /* Time is up: close it now, whatever is under way. */
  UVSIG_SHUTDOWN_CONNECTION_FORCE
} uvsig_shutdown_event_t;

/* Called on the loop thread. May remove, linger and free any connection. */
typedef void (*uvsig_shutdown_connection_cb)(uvsig_shutdown_connection_t* c,
                                             uvsig_shutdown_event_t event);

/* A connection, 112 bytes on a 64-bit system. Its memory must stay where it is
 * until it is removed, or, after uvsig_shutdown_linger(), until the close
 * callback. */
struct uvsig_shutdown_connection_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown; /* NULL: not registered */
  /* private */
  unsigned state; /* beside `shutdown`: a request uses these two */
  uvsig_shutdown_connection_cb cb;
  uvsig_shutdown_connection_t* prev;
  uvsig_shutdown_connection_t* next;
  uint64_t deadline;
  uv_stream_t* stream;
  uv_close_cb close_cb;
  uv_shutdown_t* shutdown_req;
  size_t unsent;
  void* reserved[3];
};

/* Register a connection that was accepted. It is fresh until the first
 * uvsig_shutdown_connection_busy().
 * A fresh connection is not closed as an idle one for the first `fresh_ms` of
 * draining: its first request may be on its way. While draining, a connection
 * is notified at the next turn of the loop, like any other, and has `fresh_ms`
 * from here on.
 * Returns: 0
 *   UV_EINVAL     `sd`, `c` or `cb` is NULL, or `sd` is not initialised or
 *                 given up
 *   UV_ECANCELED  the listeners are closed: close the connection
 *   UV_EBUSY      registered already
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * After an error: `*c` is untouched.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_add_connection(uvsig_shutdown_t* sd,
                                               uvsig_shutdown_connection_t* c,
                                               uvsig_shutdown_connection_cb cb);

/* Register a connection whose stream the library closes.
 * As uvsig_shutdown_add_connection() with a callback that does nothing on
 * UVSIG_SHUTDOWN_CONNECTION_DRAIN, and calls uvsig_shutdown_linger(c, stream,
 * close_cb) otherwise. The program may do so itself before, when the peer has
 * closed, for example. A program that says goodbye asks uvsig_shutdown_phase().
 * Returns: as uvsig_shutdown_add_connection()
 *   UV_EINVAL  also where `stream` is NULL, or of another loop
 * After an error: `*c` is untouched.
 * Context: loop thread. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_add_stream(uvsig_shutdown_t* sd,
                                           uvsig_shutdown_connection_t* c,
                                           uv_stream_t* stream,
                                           uv_close_cb close_cb);

/* Say that a request has begun: the first byte of it has come.
 * While draining, UVSIG_SHUTDOWN_CONNECTION_CLOSE comes after its response.
 * Returns: 0. Harmless when repeated.
 *   UV_EINVAL  `c` is NULL or not registered, or lingers
 *   UV_EPERM   not the loop thread
 * Context: loop thread. Takes constant time: some nanoseconds until draining
 * begins. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_connection_busy(uvsig_shutdown_connection_t* c);

/* Say that its response has been written. While draining,
 * UVSIG_SHUTDOWN_CONNECTION_CLOSE follows at the next turn of the loop. If this
 * response did not say that it is the last, call this after the next one, which
 * does: the peer may be sending another request already.
 * Returns and Context: as uvsig_shutdown_connection_busy(). Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_connection_idle(uvsig_shutdown_connection_t* c);

/* Forget a connection: it is closed, or about to be.
 * Harmless for one that is not registered, if its memory is zero or was
 * registered before.
 * Returns: 0
 *   UV_EINVAL  `c` is NULL
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_remove_connection(
    uvsig_shutdown_connection_t* c);

/* Close a connection's stream so that what was written arrives.
 * Reading stops. Data that uv_write() has taken is sent, then the stream is
 * closed for writing. Data that the peer still sends is thrown away, so that
 * no reset overtakes the response. uv_close(stream, close_cb) follows when the
 * peer has closed, or `linger_ms` after its system has received everything;
 * `grace_ms` after it has last received anything; while forcing `linger_ms`
 * after that began, and never after the limit. Where nothing can be lost it
 * follows at once: an idle connection that was so when draining began, with
 * nothing on its way. Then the connection is forgotten, before `close_cb`, in
 * which its memory is yours. A stream that the program is closing already is
 * left alone, and `close_cb` is not called; the connection is forgotten at
 * once. Allocates a uv_shutdown_t. Without memory the stream is closed for
 * writing all the same, up to 20 ms later.
 * Returns: 0
 *   UV_EINVAL    `c` or `stream` is NULL, `c` is not registered, or `stream` is
 *                of another loop
 *   UV_EALREADY  lingers already
 *   UV_EPERM     not the loop thread
 * Context: loop thread, in any phase, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_linger(uvsig_shutdown_connection_t* c,
                                       uv_stream_t* stream,
                                       uv_close_cb close_cb);

/* Flags of a child process. */
enum {
  /* It leads a process group (uv_spawn()'s UV_PROCESS_DETACHED): signals go to
   * the group, and the shutdown waits for all of it, also when the child itself
   * has been removed. Processes of it that this process inherits, as PID 1 or
   * a subreaper, are collected by the shutdown (waitpid(2)). Since 0.2. */
  UVSIG_SHUTDOWN_CHILD_GROUP = 1,
  /* The last connections need its work: it is asked to end when listeners and
   * connections are closed. Since 0.2. */
  UVSIG_SHUTDOWN_CHILD_LATE = 2
};

/* A child process. */
struct uvsig_shutdown_child_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown; /* NULL: not registered */
  uv_pid_t pid;
  /* private */
  int signum;
  unsigned flags;
  int is_late;
  int is_asked;
  int is_killed;
  int is_rest;
  uv_pid_t parent;
  uvsig_shutdown_child_t* rest;
  uvsig_shutdown_child_t* prev;
  uvsig_shutdown_child_t* next;
  void* reserved[2];
};

/* Register a child process. When draining begins it gets SIGTERM, and SIGCONT,
 * so that one which is stopped can end; when forcing begins, SIGKILL.
 * A child in this process's own group gets no signal from the library before
 * forcing where a terminal's SIGINT or SIGQUIT has begun the shutdown: the
 * terminal has sent it one. Remove it as soon as it has been waited for, in
 * uv_spawn()'s exit callback: from then on the number may be another's.
 * Registered while draining or later, it gets what it has missed on the next
 * turn of the loop.
 * Returns: 0
 *   UV_EINVAL     `sd` or `child` is NULL, `sd` is not initialised or given up,
 *                 or `pid` is not above 0
 *   UV_ECANCELED  too late, past forcing
 *   UV_EBUSY      registered already
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * After an error: `*child` is untouched.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_add_child(uvsig_shutdown_t* sd,
                                          uvsig_shutdown_child_t* child,
                                          uv_pid_t pid);

/* Which signal asks a registered child process to end: SIGQUIT, say. SIGTERM by
 * default.
 * Returns: 0
 *   UV_EINVAL    `child` is NULL or not registered, or `signum` is no signal
 *   UV_EALREADY  it has been asked to already
 *   UV_EPERM     not the loop thread
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_child_set_signal(uvsig_shutdown_child_t* child,
                                                 int signum);

/* Set the flags of a registered child process: UVSIG_SHUTDOWN_CHILD_*, or 0.
 * Returns: 0
 *   UV_EINVAL    `child` is NULL or not registered, a flag is unknown, or with
 *                UVSIG_SHUTDOWN_CHILD_GROUP: it leads no process group
 *   UV_EALREADY  it has been asked to end already
 *   UV_ENOMEM    no memory
 *   UV_EPERM     not the loop thread
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_child_set_flags(uvsig_shutdown_child_t* child,
                                                unsigned flags);

/* Forget a child process, which has been waited for. With
 * UVSIG_SHUTDOWN_CHILD_GROUP, a shutdown that has begun waits for the rest of
 * its group; before one, the group is forgotten, too. Harmless for one that is
 * not registered, if its memory is zero or was registered before.
 * Returns: 0
 *   UV_EINVAL  `child` is NULL
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_remove_child(uvsig_shutdown_child_t* child);

/* Work that is no connection: a job, a transaction, uv_queue_work(). */
struct uvsig_shutdown_hold_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown; /* NULL: not held */
  const char* name;
  /* private */
  uvsig_shutdown_hold_t* prev;
  uvsig_shutdown_hold_t* next;
  void* reserved[2];
};

/* Have the shutdown wait for some work: draining does not end before it is
 * released.
 * `name`: for the report; not copied.
 * Returns: 0
 *   UV_EINVAL     `sd`, `hold` or `name` is NULL, or `sd` is not initialised or
 *                 given up
 *   UV_ECANCELED  too late, past draining: do not begin
 *   UV_EBUSY      held already
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * After an error: `*hold` is untouched.
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_hold(uvsig_shutdown_t* sd,
                                     uvsig_shutdown_hold_t* hold,
                                     const char* name);

/* The work is done: its memory is yours.
 * To be called also where the shutdown has not waited for it, before
 * uvsig_shutdown_exit() or uvsig_shutdown_close(). Harmless when repeated.
 * Returns: 0
 *   UV_EINVAL  `hold` is NULL
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_shutdown_release(uvsig_shutdown_hold_t* hold);

/* Called on a thread of libuv's pool: do it. */
typedef void (*uvsig_shutdown_work_cb)(uvsig_shutdown_work_t* work);

/* Called on the loop thread, once the work is done. The memory of `work` is
 * yours.
 * `status`: 0, or UV_ECANCELED: uv_cancel() came before it began */
typedef void (*uvsig_shutdown_after_work_cb)(uvsig_shutdown_work_t* work,
                                             int status);

/* A hold and a request for libuv's pool. */
struct uvsig_shutdown_work_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown;
  uv_work_t req; /* for uv_cancel() */
  /* private */
  uvsig_shutdown_hold_t hold;
  uvsig_shutdown_work_cb work_cb;
  uvsig_shutdown_after_work_cb after_work_cb;
  void* reserved[4];
};

/* Have a thread of libuv's pool do some work, and the shutdown wait for it:
 * uv_queue_work() with a hold around it.
 * The hold is released just before `after_work_cb`, and the shutdown goes on
 * after it. The memory of `work` must stay where it is until then.
 * `name`: for the report; not copied. `after_work_cb`: may be NULL.
 * Returns: 0
 *   UV_EINVAL     `sd`, `work`, `name` or `work_cb` is NULL, or `sd` is not
 *                 initialised or given up
 *   UV_ECANCELED  too late, past draining: do not begin
 *   UV_EBUSY      queued already, and not done
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 *   what uv_queue_work() returns
 * After an error: nothing is queued or held, no callback is called.
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_queue_work(
    uvsig_shutdown_t* sd,
    uvsig_shutdown_work_t* work,
    const char* name,
    uvsig_shutdown_work_cb work_cb,
    uvsig_shutdown_after_work_cb after_work_cb);

/* Called once, in UVSIG_SHUTDOWN_CLOSING: begin to close.
 * uvsig_shutdown_closed() says that it has ended, here or later. */
typedef void (*uvsig_shutdown_closer_cb)(uvsig_shutdown_closer_t* closer);

/* An object with handles of its own that takes turns of the loop to close: a
 * library that serves connections by itself, a client of a database. */
struct uvsig_shutdown_closer_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown; /* NULL: not registered */
  /* private */
  uvsig_shutdown_closer_cb cb;
  int is_called;
  uvsig_shutdown_closer_t* prev;
  uvsig_shutdown_closer_t* next;
  void* reserved[2];
};

/* Register something that is to be closed when listeners, connections, children
 * and work have ended, or have been forced to. Closers are called one after the
 * other, the last registered first, each when the one before has ended. All of
 * them have `hard_ms`, or what forcing has left of it. When that is over, those
 * that are left are called, and not waited for.
 * Returns: 0
 *   UV_EINVAL     `sd`, `closer` or `cb` is NULL, or `sd` is not initialised or
 *                 given up
 *   UV_ECANCELED  too late, past forcing: close it yourself
 *   UV_EBUSY      registered already
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * After an error: `*closer` is untouched.
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_add_closer(uvsig_shutdown_t* sd,
                                           uvsig_shutdown_closer_t* closer,
                                           uvsig_shutdown_closer_cb cb);

/* It is closed, or the shutdown is not to close it any more: forget it. Its
 * memory is yours. Harmless when repeated, and for one that is not registered,
 * if its memory is zero or was registered before.
 * Returns: 0
 *   UV_EINVAL  `closer` is NULL
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_shutdown_closed(uvsig_shutdown_closer_t* closer);

/* --- Reload --------------------------------------------------------------- */

/* Called on the loop thread: begin to reload. uvsig_reload_finish() is owed,
 * here or later. */
typedef void (*uvsig_reload_cb)(uvsig_reload_t* r);

/* A reload of the configuration. */
struct uvsig_reload_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown;
  /* private */
  uvsig_reload_cb cb;
  uvsig_watcher_t watcher;
  uvsig_shutdown_hold_t hold;
  uvsig_reload_t* prev;
  uvsig_reload_t* next;
  unsigned state;
  void* reserved[4];
};

/* Prepare a reload. `data` is left alone.
 * Returns: 0
 *   UV_EINVAL  `sd` or `r` is NULL, or `sd` is not initialised or given up
 *   UV_EPERM   not the loop thread
 * After an error: `*r` is untouched.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_reload_init(uvsig_shutdown_t* sd, uvsig_reload_t* r);

/* Reload when `signum` comes, SIGHUP as a rule.
 * One is running at most, and one pending: signals meanwhile are that one. None
 * begins once a shutdown has begun, and a shutdown waits for the one that runs,
 * as for a hold named "reload". A signal that is ignored now stays so, unless
 * the shutdown's option `watch_ignored`. The service manager is notified:
 * RELOADING=1 before the first, READY=1 after the last. The loop is not kept
 * alive.
 * Returns: 0
 *   UV_EINVAL     `r` or `cb` is NULL, `r` is not initialised, or `signum` is
 *                 none that can be caught
 *   UV_EBUSY      started already
 *   UV_ECANCELED  a shutdown has begun
 *   as uvsig_watcher_start()
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_reload_start(uvsig_reload_t* r,
                                    uvsig_reload_cb cb,
                                    int signum);

/* Reload without a signal.
 * Returns: 0: begun, or pending
 *   UV_EINVAL     `r` is NULL or not started
 *   UV_ECANCELED  a shutdown has begun
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_reload_request(uvsig_reload_t* r);

/* Say that the reload is finished. A pending reload begins at the next turn of
 * the loop.
 * Returns: 0
 *   UV_EINVAL  `r` is NULL or none is running
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in its callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_reload_finish(uvsig_reload_t* r);

/* Like uvsig_reload_finish(), and tell the service manager that it failed.
 * With READY=1 after the last reload come STATUS= with the text of `error`, and
 * ERRNO=, unless `error` is libuv's own and no errno. If several failed, it is
 * the last one's. The next reload that succeeds clears both.
 * Before uvsig_shutdown_ready() nothing is sent.
 * `error`: a UV_E* code.
 * Returns: 0
 *   UV_EINVAL  `r` is NULL or none is running, or `error` is not below 0
 *   UV_EPERM   not the loop thread
 * After an error: the reload is still running.
 * Context: loop thread, also in its callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_reload_fail(uvsig_reload_t* r, int error);

/* Stop: no other reload begins. A reload that is running goes on, and is to be
 * finished. Once that is so its memory is yours. Stopping a stopped one is no
 * error.
 * Returns: 0
 *   UV_EINVAL  `r` is NULL
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_reload_stop(uvsig_reload_t* r);

/* --- A successor ----------------------------------------------------------- */

/* A listening socket that was handed over. */
struct uvsig_listen_fd_s {
  int fd;           /* for uv_tcp_open() or uv_pipe_open() */
  const char* name; /* "unknown" where it has none; static */
};

/* Take the listening sockets that the service manager or a predecessor has
 * handed over: the protocol of sd_listen_fds(3), LISTEN_PID, LISTEN_FDS and
 * LISTEN_FDNAMES. They are set close-on-exec, and the variables are removed
 * from the environment.
 * Returns: how many there are, 0 where none are or they are another process's.
 *   If that is more than `size`, nothing has been taken
 *   UV_EINVAL    one does not listen, LISTEN_PID or LISTEN_FDS is no number or
 *                more than there can be, or `fds` is NULL and `size` is not 0
 *   UV_ENOTSOCK  one is no socket
 *   UV_EBADF     one is not open
 *   UV_ENOMEM    no memory
 * After an error: nothing has been taken or changed.
 * Context: any thread, while no other uses the environment. Since: 0.2. */
UVSIG_EXTERN int uvsig_listen_fds(uvsig_listen_fd_t* fds, size_t size);

/* Called on the loop thread when an upgrade is over.
 * `status`: 0: the successor is ready, and a graceful shutdown has begun here.
 * Or why not; this process serves on, unless a shutdown has begun:
 *   UV_ETIMEDOUT  it was not ready in `ready_ms`, and has been killed
 *   UV_ESRCH      it has ended: see `wait_status`
 *   UV_ECANCELED  a shutdown has begun meanwhile
 *   UV_EPERM      it was not ready in time, and is another user's: it is left,
 *                 and until its end uvsig_upgrade_request() is UV_EBUSY
 *   UV_ENOENT, UV_EACCES, UV_ENOMEM and so on: it could not be started */
typedef void (*uvsig_upgrade_cb)(uvsig_upgrade_t* u, int status);

/* Set by uvsig_upgrade_options_init(), then changed field by field. `file` and
 * what `args` points to are not copied, and must stay. */
struct uvsig_upgrade_options_s {
  const char* file;        /* NULL: this program's own, as it was started; else a
                            * path. PATH is not searched */
  char** args;             /* NULL: this program's own (/proc/self/cmdline when
                            * uvsig_upgrade_init() is called); else the
                            * successor's arguments, its name first and NULL
                            * last */
  unsigned ready_ms;       /* 30,000: how long it may take until it is ready */
  unsigned settle_ms;      /* 1,000: how long it must live from then on */
  /* private */
  unsigned mark; /* that uvsig_upgrade_options_init() has set them */
  uintptr_t reserved[4]; /* 0 */
};

/* Starts a successor, which serves on when this process shuts down: a new
 * release without a lost connection. One for a uvsig_shutdown_t. Its memory
 * must stay where it is until `shutdown` is NULL: when the shutdown is done or
 * given up, and no earlier, also after uvsig_upgrade_stop(). */
struct uvsig_upgrade_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_shutdown_t* shutdown; /* NULL: not initialised, or over */
  uv_pid_t pid;    /* the successor's, or 0 */
  int wait_status; /* as waitpid(2) has it, in the callback with UV_ESRCH */
  /* private */
  uvsig_upgrade_cb cb;
  unsigned state;
  uvsig_watcher_t watcher;
  void* reserved[4];
};

/* Set the defaults.
 * Returns: nothing. NULL is ignored.
 * Context: any thread. Since: 0.2. */
UVSIG_EXTERN void uvsig_upgrade_options_init(uvsig_upgrade_options_t* options);

/* Prepare an upgrade. `options` may be NULL for the defaults. `data` is left
 * alone.
 * Returns: 0
 *   UV_EINVAL     `sd` or `u` is NULL, `sd` is not initialised or given up, or
 *                 `options` has not been initialised
 *   UV_EBUSY      `sd` has one already
 *   UV_ECANCELED  a shutdown has begun
 *   UV_ENOTSUP    `args` is NULL, and there is no /proc
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 *   UV_ENOMEM     no memory
 *   what uv_exepath() returns, and open(2) of /proc/self/cmdline refuses where
 *   `args` is NULL: UV_EMFILE, UV_ENFILE or UV_EACCES
 * Context: loop thread. Since: 0.2. */
UVSIG_EXTERN int uvsig_upgrade_init(uvsig_shutdown_t* sd,
                                    uvsig_upgrade_t* u,
                                    const uvsig_upgrade_options_t* options);

/* Have a signal, SIGUSR2 say, begin an upgrade.
 * A successor is started with the descriptors of all registered listeners, as 3
 * and so on (uvsig_listen_fds()), with clean signals, and with no other
 * descriptor but 0, 1 and 2. When it has called uvsig_shutdown_ready(), or
 * sd_notify(3) with READY=1, and has lived for `settle_ms` more, the service
 * manager is notified (MAINPID=), and a graceful shutdown begins here. Until
 * then both accept. Whatever goes wrong before, this process serves on.
 * One is under way at a time; a signal meanwhile is passed over. Reloads wait
 * for its end. A shutdown that begins meanwhile ends a successor that is not
 * ready, and leaves one that is.
 * Returns: 0
 *   UV_EINVAL     `u` is NULL or not initialised, `cb` is NULL, or `signum` is
 *                 none that can be caught
 *   UV_EBUSY      started already
 *   UV_ECANCELED  a shutdown has begun
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 *   what uvsig_watcher_start() returns
 * Context: loop thread. Since: 0.2. */
UVSIG_EXTERN int uvsig_upgrade_start(uvsig_upgrade_t* u,
                                     uvsig_upgrade_cb cb,
                                     int signum);

/* Begin an upgrade, as the signal would.
 * Returns: 0
 *   UV_EINVAL     `u` is NULL or not started
 *   UV_EBUSY      one is under way, or the loop has not waited yet for the
 *                 successor that uvsig_upgrade_stop() has killed
 *   UV_ECANCELED  a shutdown has begun
 *   UV_EPERM      not the loop thread
 *   UV_EBADF      a child of fork(2) has not called uvsig_fork()
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_upgrade_request(uvsig_upgrade_t* u);

/* Begin none any more. A successor that is not ready, or has not settled, is
 * killed; the callback is not called. Harmless when repeated. It may be started
 * again, so the memory must stay. The loop waits for a successor that was
 * killed. Until then a request is UV_EBUSY, and a signal is passed over.
 * Returns: 0
 *   UV_EINVAL  `u` is NULL
 *   UV_EPERM   not the loop thread
 *   UV_EBADF   a child of fork(2) has not called uvsig_fork()
 * Context: loop thread, also in a callback. Since: 0.2. */
UVSIG_EXTERN int uvsig_upgrade_stop(uvsig_upgrade_t* u);

/* --- Running a loop until a signal comes ---------------------------------- */

/* Run `loop` until a signal of `set` comes, or nothing is left that keeps the
 * loop alive, or uv_stop() is called.
 * For a program that ends at a signal and has nothing to finish. It is
 * uv_run(loop, UV_RUN_DEFAULT) with a watcher for each signal of `set`. These
 * do not keep the loop alive.
 * `set`: NULL: SIGINT and SIGTERM, each unless it is ignored at the call. Of
 * another set, SIGKILL, SIGSTOP and numbers that are no signal are passed over.
 * `info`: NULL, or filled with the signal's sender, as for a watcher.
 * Where the loop ends, or is stopped, and a signal was caught by then, it
 * returns the signal. If several came, it returns the first one's number: those
 * that were caught later are discarded. From the first signal's delivery on the
 * others have their previous actions, so a second Ctrl-C ends the process.
 * At return, the library has no handle on the loop any more. Where no signal
 * ended the run, the loop turns once more for that, without waiting, so that
 * callbacks may run that are due.
 * A program that closes every handle that uv_walk() finds closes the library's,
 * too; then a signal is found when the loop ends.
 * Other watchers and `uvsig_t` are notified of the same signals. Where a
 * uvsig_shutdown_t takes them, use uv_run(): the shutdown is to be finished.
 * In a child of fork(2), signals do not end a run that it was forked from.
 * Returns: the signal's number; 0: the loop ended or was stopped
 *   UV_EINVAL  `loop` is NULL, or `set` has no signal that can be caught
 *   UV_EBUSY   called in a callback of the same loop, which uvsig_run() runs;
 *              in one of a loop that uv_run() runs it must not be called either
 *   UV_ENOMEM  no memory
 *   UV_EAGAIN  all thread-specific keys of the process are in use
 *              (pthread_key_create(3))
 *   UV_EMFILE  no file descriptors left in the process
 *   UV_ENFILE  none left in the system
 *   what uv_poll_init() returns and sigaction(2) refuses
 * After an error: `*info` is untouched. The loop may have turned, without
 * waiting.
 * Context: the thread that owns the loop, not in its callbacks. Since: 0.2. */
UVSIG_EXTERN int uvsig_run(uv_loop_t* loop,
                           const sigset_t* set,
                           uvsig_info_t* info);

/* --- Watchers ------------------------------------------------------------- */

/* Flags of a watcher; those of the handler hold for the process, for as long as
 * one such watcher is started. */

/* Do not unblock the signal at start. */
#define UVSIG_KEEP_MASK 1u
/* Call the previous handler, too: in signal context, before the library counts
 * the signal, with the same arguments. One with SA_RESETHAND is called once.
 * The library's handler has SA_ONSTACK, so that it runs on the thread's
 * alternate stack, unless the previous one is there without it: that one
 * may not fit there. libuv's fits. */
#define UVSIG_CHAIN 2u
/* Live with uv_signal_t handles of the same signal, whichever is started first
 * and stopped last: libuv's handler is called, too, and is what UVSIG_CHAIN
 * calls. Always so for SIGCHLD, which uv_spawn() needs. When libuv starts its
 * first handle of the signal, its handler replaces the library's for an
 * instant, and when it stops its last one, the default action does. A signal
 * that comes in that instant goes to libuv alone, or has the default action. */
#define UVSIG_SHARE 4u
/* SIGCHLD: not when a child stops or goes on (SA_NOCLDSTOP), unless a watcher
 * without this flag is started as well. */
#define UVSIG_NOCLDSTOP 8u

/* Prepare a watcher. `data` is left alone.
 * Returns: 0
 *   UV_EINVAL  `sig` or `w` is NULL, or `sig` is not initialised or closing
 *   UV_EPERM   not the loop thread
 * After an error: `*w` is untouched.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_init(uvsig_t* sig, uvsig_watcher_t* w);

/* Call `cb` for each `signum` that is caught from now on.
 * The first watcher of a signal in the process saves the whole previous
 * disposition and installs the library's handler. The first of a `uvsig_t`
 * also unblocks the signal in the calling thread, unless UVSIG_KEEP_MASK. If a
 * foreign handler has replaced the library's meanwhile, the first watcher of
 * another `uvsig_t` installs the library's again; a further one of the same
 * `uvsig_t` does not.
 * Start on a started watcher re-targets it: with the same signal only the
 * callback changes, and nothing pending is lost; with another it is a stop and
 * a start.
 * SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS are delivered when a
 * process sends them; when the kernel raises one for a fault, the previous
 * action takes it.
 * Returns: 0
 *   UV_EINVAL  `w` or `cb` is NULL, `w` is not initialised, its `uvsig_t` is
 *              closing, or `signum` is none that can be caught: 0 and below,
 *              UVSIG_NSIG and above, SIGKILL, SIGSTOP, and the numbers that
 *              libc keeps for itself
 *   UV_EPERM   not the loop thread
 *   UV_EBADF   a child of fork(2) has not called uvsig_fork()
 *   UV_EBUSY   see uvsig_watcher_set_handler()
 *   UV_ENOMEM  no memory
 *   what sigaction(2) refuses, and, at the first start with
 *   UVSIG_WAKEUP_SIGNALFD, what uv_poll_init() returns
 * After an error: a started watcher goes on as it was.
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_start(uvsig_watcher_t* w,
                                     uvsig_watcher_cb cb,
                                     int signum);

/* Like uvsig_watcher_start(), but stop before the first callback.
 * The callback may start it again. Its info->count may be above 1.
 * Returns, after an error, Context: as uvsig_watcher_start(). Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_start_oneshot(uvsig_watcher_t* w,
                                             uvsig_watcher_cb cb,
                                             int signum);

/* Stop: the callback is not called again, and the memory is yours.
 * The last watcher of a signal on a `uvsig_t` discards what was caught and not
 * yet delivered, and blocks the signal again if start had unblocked it. The
 * last in the process restores the previous disposition, unless a foreign
 * handler has replaced the library's meanwhile. A signal that comes at that
 * moment is delivered, or counted as discarded, or has the previous
 * disposition. Stopping a stopped watcher is no error, in whichever thread.
 * The last watcher of a signal on a `uvsig_t`, and one that has a handler,
 * UVSIG_CHAIN or UVSIG_SHARE, or is of SIGCHLD, waits for a grace period.
 * Returns: 0
 *   UV_EINVAL  `w` is NULL
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback; for a stopped watcher, also after
 * its `uvsig_t` has gone. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_stop(uvsig_watcher_t* w);

/* Stop, but lose no signal: at return a callback was notified of each, or it
 * has had the previous action, or another watcher is notified of it.
 * The last watcher of a signal on a `uvsig_t` first gives the signal back, as
 * uvsig_watcher_stop() does. Then its callback is notified of everything that
 * was caught, in as many calls as the loop would have made; a one-shot's in one
 * call.
 * Other watchers of the signal on the `uvsig_t` are notified at the same time.
 * `w` is started until then. A callback that stops `w` or closes the `uvsig_t`
 * ends the drain, and signals that only `w` was still to be notified of are
 * discarded.
 * If a callback stops `w` and starts it again, it is started at return.
 * Draining a stopped watcher is no error, in whichever thread. Waits for a
 * grace period, twice.
 * Returns: 0
 *   UV_EINVAL  `w` is NULL
 *   UV_EPERM   not the loop thread
 * Context: as uvsig_watcher_stop(). Since: 0.2. */
UVSIG_EXTERN int uvsig_watcher_drain(uvsig_watcher_t* w);

/* Set the UVSIG_* flags of a stopped watcher, in place of those set before.
 * Returns: 0
 *   UV_EINVAL  `w` is NULL or not initialised, its `uvsig_t` is closing, or a
 *              flag is unknown
 *   UV_EBUSY   `w` is started
 *   UV_EPERM   not the loop thread
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_set_flags(uvsig_watcher_t* w, unsigned flags);

/* Called in signal context, on whichever thread the signal interrupts, and on
 * several at once: only what is async-signal-safe (signal-safety(7)) may be
 * done, fork(2) excepted, and it must return, or end the process. Almost every
 * signal is blocked meanwhile. */
typedef void (*uvsig_handler_cb)(uvsig_watcher_t* w,
                                 int signum,
                                 const siginfo_t* info);

/* Have `handler` called, too, by the signal handler itself: for what must work
 * although the loop is stuck.
 * It is called once for each signal, before the signal is counted, however many
 * signals one callback stands for. Set for a stopped watcher; NULL: none. Of
 * the started watchers of a signal on a `uvsig_t` one can have one: the start
 * of a second returns UV_EBUSY. When stop returns, it is not called any more,
 * nor running.
 * Returns: 0
 *   UV_EINVAL  `w` is NULL or not initialised, or its `uvsig_t` is closing
 *   UV_EBUSY   `w` is started
 *   UV_EPERM   not the loop thread
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_set_handler(uvsig_watcher_t* w,
                                           uvsig_handler_cb handler);

/* Let the watcher keep the loop alive while it is started; the default.
 * Returns: nothing. Harmless when repeated.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_watcher_ref(uvsig_watcher_t* w);

/* Let the loop end although the watcher is started.
 * Returns: nothing. Harmless when repeated.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_watcher_unref(uvsig_watcher_t* w);

/* Tell whether the watcher keeps the loop alive while it is started.
 * Returns: 1 or 0.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_has_ref(const uvsig_watcher_t* w);

/* Tell whether the watcher is started.
 * Returns: 1 or 0.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_is_active(const uvsig_watcher_t* w);

/* A ready-made callback: uv_stop() on the watcher's loop.
 * It has the purpose of Python's KeyboardInterrupt: leave the loop, clean up,
 * and end with uvsig_reraise(), so that the parent sees death by the signal.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_default_int_handler(uvsig_watcher_t* w,
                                            int signum,
                                            const uvsig_info_t* info);

/* --- Dispositions --------------------------------------------------------- */

/* The action of a signal. */
enum {
  UVSIG_DEFAULT = 0, /* SIG_DFL */
  UVSIG_IGNORED = 1, /* SIG_IGN, or a late signal: UVSIG_SHUTDOWN_DONE */
  UVSIG_WATCHED = 2, /* a watcher's */
  UVSIG_FOREIGN = 3  /* a handler that is not the library's */
};

/* Tell what a signal does to the process now.
 * Returns: UVSIG_DEFAULT, UVSIG_IGNORED, UVSIG_WATCHED or UVSIG_FOREIGN
 *   UV_EINVAL  `signum` is no signal
 *   UV_ENOMEM  no memory for what a fork(2) needs (pthread_atfork(3))
 *   what sigaction(2) refuses
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_getsignal(int signum);

/* Ignore a signal (SIG_IGN).
 * Returns: what it did before, as uvsig_getsignal()
 *   UV_EINVAL  `signum` is none whose action can be changed
 *   UV_EBUSY   a watcher is started on it, in whichever loop
 *   UV_ENOMEM  no memory for what a fork(2) needs (pthread_atfork(3))
 *   what sigaction(2) refuses
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_ignore(int signum);

/* Give a signal its default action (SIG_DFL).
 * Returns and Context: as uvsig_ignore(). Since: 0.1. */
UVSIG_EXTERN int uvsig_default(int signum);

/* Choose whether a signal interrupts system calls (EINTR), as siginterrupt(3).
 * Without it, those that can be restarted are (SA_RESTART; signal(7) lists
 * them). Changes the library's handler alone, now or when it is installed next,
 * until the next call. It has no effect on a signal that is never watched.
 * `flag`: 0: restart, the default; else: interrupt.
 * Returns: 0
 *   UV_EINVAL  `signum` is none that can be caught
 *   UV_ENOMEM  no memory for what a fork(2) needs (pthread_atfork(3))
 *   what sigaction(2) refuses
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_siginterrupt(int signum, int flag);

/* End the process by a signal, so that its parent sees that it died by it.
 * Sets the default action, raises the signal and unblocks it in the calling
 * thread. As PID 1, which the kernel spares (kill(2)), it calls
 * _exit(128 + signum). stdio's buffers are not written: call fflush() before.
 * Returns: only with an error
 *   UV_EINVAL  `signum` is no signal, or its default action (signal(7)) does
 *              not end a process
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_reraise(int signum);

/* --- Waiting, on the loop ------------------------------------------------- */

/* Called on the loop thread, exactly once; may do what a watcher's callback may
 * do, and start the same wait again. The memory of `req` is yours.
 * `status`: 0: `info` is the signal, and count is 1
 *   UV_ETIMEDOUT  no signal came in time; `info` is NULL
 *   UV_ECANCELED  cancelled, or its `uvsig_t` was closed; `info` is NULL */
typedef void (*uvsig_wait_cb)(uvsig_wait_t* req,
                              int status,
                              const uvsig_info_t* info);

/* One wait for one signal of a set. Its memory is yours in the callback. */
struct uvsig_wait_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_t* sig;
  /* private */
  void* wait;
  void* reserved[4];
};

/* Call `cb` for the next signal of `set`, without blocking the loop.
 * `*req` needs no preparation.
 * It is taken: watchers of the same `uvsig_t` do not see it (a uvsig_itimer_t
 * has its expirations all the same). Several waits take one signal each, in the
 * order of their starts. Every `uvsig_t` gets its own copy of each signal.
 * Signals that were caught before the call and have not been delivered count,
 * too. Dispositions and masks are as after the start of a watcher until the
 * callback has returned. So a wait that is started in it misses nothing,
 * unless the callback gives the signal back by uvsig_watcher_drain(). SIGKILL,
 * SIGSTOP and numbers that are no signal are passed over in `set`. With a
 * limit, it may be empty.
 * `seconds`: from now on; 0: a signal that has been caught when the loop looks
 * next; INFINITY, or above 1e9: no limit. A signal that was caught in time is
 * taken, however late the loop is. So is one that was caught later, before the
 * loop came. Of several whose time is over, the callback of the one that was
 * over first is called first. The loop is kept alive until the callback.
 * Returns: 0
 *   UV_EINVAL  `sig`, `req`, `set` or `cb` is NULL, `sig` is not initialised or
 *              closing, `seconds` is negative or not a number, or there is
 *              neither a limit nor a signal to wait for in `set`
 *   UV_EBUSY   `req` is waiting, on the same `uvsig_t`; on another one it must
 *              not be
 *   UV_EPERM   not the loop thread
 *   UV_EBADF   a child of fork(2) has not called uvsig_fork()
 *   UV_ENOMEM  no memory
 *   what sigaction(2) refuses
 * After an error: `cb` is not called, `*req` is untouched.
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_wait_start(uvsig_t* sig,
                                  uvsig_wait_t* req,
                                  const sigset_t* set,
                                  double seconds,
                                  uvsig_wait_cb cb);

/* End a wait: no signal is taken for it any more, dispositions and masks are
 * restored, and its callback is called by the loop, with UV_ECANCELED.
 * The memory of `*req` must have been started, or be zero.
 * Returns: 0
 *   UV_EINVAL    `req` is NULL or not waiting
 *   UV_EALREADY  cancelled already, and its callback is to come
 *   UV_EPERM     not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_wait_cancel(uvsig_wait_t* req);

/* --- Waiting, in a thread ------------------------------------------------- */

/* Wait until a signal of `set` is pending, and take it (sigwait(3)).
 * No handler and no callback is called for it. Block the signals of `set` in
 * every thread before, or their handlers may come first. SIGKILL, SIGSTOP and
 * numbers that are no signal are passed over in `set`. Signals that are not in
 * it, and their handlers, do not end the wait.
 * Returns: 0, and the number in `*signum`
 *   UV_EINVAL  `set` or `signum` is NULL, or `set` has no signal that can be
 *              waited for
 *   UV_ENOMEM  where the system has no sigtimedwait(2): no memory for what a
 *              fork(2) needs (pthread_atfork(3))
 * After an error: `*signum` is untouched.
 * Context: any thread; sleeps, so not the one with the loop. Since: 0.1. */
UVSIG_EXTERN int uvsig_sigwait(const sigset_t* set, int* signum);

/* Like uvsig_sigwait(), and tell who sent the signal (sigwaitinfo(2)).
 * `info`: count is 1; pid and uid are 0 where no process sent it. Flags are 0,
 * or UVSIG_INFO_NONE where the kernel did not keep who sent it.
 * May be NULL.
 * Returns: 0, and the signal in `*info`
 *   UV_EINVAL  `set` is NULL, or has no signal that can be waited for
 *   UV_ENOMEM  as uvsig_sigwait()
 * After an error: `*info` is untouched.
 * Context: as uvsig_sigwait(). Since: 0.1. */
UVSIG_EXTERN int uvsig_sigwaitinfo(const sigset_t* set, uvsig_info_t* info);

/* Like uvsig_sigwaitinfo(), but for `seconds` at most (sigtimedwait(2)).
 * 0: take what is pending now. INFINITY, or above 1e9: no limit. The time is
 * that of the monotonic clock, and other signals do not prolong it.
 * Returns: 0, and the signal in `*info`
 *   UV_ETIMEDOUT  no signal came
 *   UV_EINVAL     `set` is NULL, `seconds` is negative or not a number, or
 *                 there is neither a limit nor a signal to wait for in `set`
 *   UV_ENOMEM     as uvsig_sigwait()
 * After an error: `*info` is untouched.
 * Context: as uvsig_sigwait(); with 0 it does not sleep. Since: 0.1. */
UVSIG_EXTERN int uvsig_sigtimedwait(const sigset_t* set,
                                    double seconds,
                                    uvsig_info_t* info);

/* --- Interval timers ------------------------------------------------------ */

/* The process has one of each (setitimer(2)). */
enum {
  UVSIG_ITIMER_REAL = 0,    /* real time; SIGALRM */
  UVSIG_ITIMER_VIRTUAL = 1, /* the process's user time; SIGVTALRM */
  UVSIG_ITIMER_PROF = 2     /* its user and system time; SIGPROF */
};

/* In seconds. */
struct uvsig_itimerval_s {
  double seconds;  /* until the next expiration; 0: not armed */
  double interval; /* between those that follow; 0: none follow */
};

/* Arm an interval timer of the process: its signal after `seconds`, and then
 * every `interval` seconds, unless that is 0. 0 `seconds` disarm it.
 * Both are rounded up to the microsecond. `*old`, unless NULL: what it was.
 * The signal has the effect that it has: one may want a watcher. An interval
 * that is shorter than its handler runs, some microseconds, leaves the process
 * no time for anything else.
 * Returns: 0
 *   UV_EINVAL  `which` is none of UVSIG_ITIMER_*, or a time is negative, not
 *              finite, or above 9,007,199,254 s or what the system takes
 *   UV_EBUSY   a uvsig_itimer_t has this timer
 *   UV_ENOMEM  no memory for what a fork(2) needs (pthread_atfork(3))
 *   another code of setitimer(2)
 * After an error: the timer is as it was, `*old` is untouched.
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_setitimer(int which,
                                 double seconds,
                                 double interval,
                                 uvsig_itimerval_t* old);

/* Tell what is left of an interval timer of the process.
 * Returns: 0
 *   UV_EINVAL  `which` is none of UVSIG_ITIMER_*, or `value` is NULL
 *   another code of getitimer(2)
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_getitimer(int which, uvsig_itimerval_t* value);

/* Arm SIGALRM in `seconds`, or disarm it with 0 (alarm(2)).
 * Uses UVSIG_ITIMER_REAL. An alarm that is still armed when the last watcher of
 * SIGALRM stops has the previous action, most likely the end of the process.
 * Returns: the whole seconds that the previous alarm had left, 0 if there was
 * none. UINT_MAX, and nothing is changed, while a uvsig_itimer_t has the
 * timer, or where there is no memory for what a fork(2) needs
 * (pthread_atfork(3)).
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN unsigned uvsig_alarm(unsigned seconds);

/* Called on the loop thread; may do what a watcher's callback may do.
 * `expirations`: how many there were since the last call, 1 or more: also those
 * whose signal the kernel merged with another one. */
typedef void (*uvsig_itimer_cb)(uvsig_itimer_t* t, unsigned expirations);

/* An interval timer whose callback runs on the loop. Not a uv handle: once it
 * is stopped, its memory is yours. */
struct uvsig_itimer_s {
  /* public */
  void* data; /* yours; never read or written here */
  /* read-only */
  uvsig_t* sig;
  int which;
  /* private */
  uvsig_itimer_cb cb;
  uvsig_watcher_t watcher;
  uint64_t first;
  uint64_t interval;
  uint64_t expirations;
  void* reserved[4];
};

/* Prepare an interval timer. `data` is left alone.
 * Returns: 0
 *   UV_EINVAL  `sig` or `t` is NULL, `sig` is not initialised or closing, or
 *              `which` is none of UVSIG_ITIMER_*
 *   UV_EBUSY   `t` is started
 *   UV_EPERM   not the loop thread
 * After an error: `*t` is untouched.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_itimer_init(uvsig_t* sig, uvsig_itimer_t* t, int which);

/* Call `cb` after `seconds`, and then every `interval` seconds, unless that is
 * 0: then it stops before the callback, which may start it again.
 * Both are rounded up to the microsecond. Takes the process's timer and its
 * signal, and saves what they were. Watchers of the signal are notified of it,
 * too, and waits take nothing from the timer. A signal that a process sends is
 * no expiration. With an interval below 100 us one signal stands for several
 * expirations: else the process would do nothing but handle them. Start on a
 * started timer sets it anew. A child of fork(2) has no armed timer. A program
 * that is executed inherits this one, and dies by its signal (execve(2)): stop
 * it before.
 * Returns: 0
 *   UV_EINVAL  `t` or `cb` is NULL, `t` is not initialised, its `uvsig_t` is
 *              closing, `seconds` is 0, or a time is one that uvsig_setitimer()
 *              refuses
 *   UV_EBUSY   another uvsig_itimer_t has this timer of the process
 *   UV_EPERM   not the loop thread
 *   UV_EBADF   a child of fork(2) has not called uvsig_fork()
 *   UV_ENOMEM  no memory
 *   what sigaction(2) or setitimer(2) refuses
 * After an error: a started timer goes on as it was, and so does the process's
 * timer of before.
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_itimer_start(uvsig_itimer_t* t,
                                    uvsig_itimer_cb cb,
                                    double seconds,
                                    double interval);

/* Stop: the callback is not called again, and the memory is yours.
 * The previous timer goes on, its time having run meanwhile: if it would have
 * expired, it expires at once. The previous disposition is back, as at
 * uvsig_watcher_stop(). If that is the last watcher of the signal in the
 * process, a signal that is pending is discarded, whichever process sent it:
 * the timer's last signal must not meet the previous action. uvsig_close() does
 * the same.
 * In a child of fork(2), which has not inherited it, the previous timer does
 * not come back. Stopping a stopped timer is no error.
 * Returns: 0
 *   UV_EINVAL  `t` is NULL
 *   UV_EPERM   not the loop thread
 *   what setitimer(2) refuses
 * After an error: the timer goes on as it was.
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_itimer_stop(uvsig_itimer_t* t);

/* Let the timer keep the loop alive while it is started; the default.
 * Returns: nothing. Harmless when repeated.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_itimer_ref(uvsig_itimer_t* t);

/* Let the loop end although the timer is started.
 * Returns: nothing. Harmless when repeated.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_itimer_unref(uvsig_itimer_t* t);

/* Tell whether the timer keeps the loop alive while it is started.
 * Returns: 1 or 0.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_itimer_has_ref(const uvsig_itimer_t* t);

/* Tell whether the timer is started.
 * Returns: 1 or 0.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_itimer_is_active(const uvsig_itimer_t* t);

/* --- Masks, and threads --------------------------------------------------- */

/* Change and read the calling thread's signal mask (pthread_sigmask(3)).
 * SIGKILL, SIGSTOP and what libc keeps stay unblocked, without an error. A
 * pending signal that it unblocks is caught before it returns.
 * `how`: SIG_BLOCK, SIG_UNBLOCK or SIG_SETMASK; without meaning if `set` is
 * NULL. `*old`, unless NULL: the mask before.
 * Returns: 0
 *   UV_EINVAL  `how` is none of them
 * After an error: `*old` is untouched.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_pthread_sigmask(int how,
                                       const sigset_t* set,
                                       sigset_t* old);

/* Tell which signals wait for the calling thread to unblock them, those of the
 * process and its own (sigpending(2)).
 * Returns: 0
 *   UV_EINVAL  `set` is NULL
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_sigpending(sigset_t* set);

/* Create a thread that no signal interrupts (uv_thread_create()).
 * It starts with every signal blocked but those that a fault of its own raises:
 * SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS. So signals to the
 * process go to the loop's thread. The caller's mask is as before.
 * Returns: 0
 *   UV_EINVAL  `tid` or `entry` is NULL
 *   what uv_thread_create() returns
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_thread_create(uv_thread_t* tid,
                                     uv_thread_cb entry,
                                     void* arg);

/* Start the threads of libuv's pool with those signals blocked.
 * libuv creates them at the first work that is queued in the process: call this
 * before; threads that exist stay as they are. A child of fork(2) has a new
 * pool, to be primed again. Queues a work that does nothing, which keeps the
 * loop alive until it has been round. If the system refuses a thread of the
 * pool, libuv calls abort(), here as at any first work: call this early, while
 * the process is far from its limits.
 * Returns: 0
 *   UV_EINVAL  `loop` is NULL
 *   UV_ENOMEM  no memory
 *   what uv_queue_work() returns
 * Context: the thread that runs the loop. Since: 0.1. */
UVSIG_EXTERN int uvsig_threadpool_prime(uv_loop_t* loop);

/* Give the program that follows clean signals: call it between fork(2), or
 * vfork(2), and exec(3). No signal is blocked, all have their default actions,
 * and those stay ignored that were so when this process was started, and still
 * are: nohup(1) counts for what it starts, too. exec(3) alone keeps the mask,
 * which blocks everything in a thread of uvsig_thread_create(), and what is
 * ignored, SIGPIPE as a rule.
 * uv_spawn() unblocks signals and sets their default actions by itself. For
 * posix_spawn(3) there is uvsig_spawnattr(). For popen(3) and system(3) there
 * is nothing: see uvsig_mask(3).
 * Returns: nothing. errno is untouched.
 * Context: a child process; async-signal-safe. Since: 0.2. */
UVSIG_EXTERN void uvsig_before_exec(void);

/* The same for posix_spawn(3): add POSIX_SPAWN_SETSIGMASK and
 * POSIX_SPAWN_SETSIGDEF, with their sets, to initialised attributes.
 * Returns: 0
 *   UV_EINVAL  `attr` is NULL
 *   what posix_spawnattr_setflags() and its like refuse
 * Context: any thread. Since: 0.2. */
UVSIG_EXTERN int uvsig_spawnattr(posix_spawnattr_t* attr);

/* --- Sending -------------------------------------------------------------- */

/* Send a signal to the calling thread (raise(3)).
 * Unless the thread blocks it, its handler has run at return.
 * Returns: 0
 *   UV_EINVAL  `signum` is no signal
 *   UV_EAGAIN  a realtime signal, and the queue is full
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_raise_signal(int signum);

/* Send a signal to a thread of this process (pthread_kill(3)).
 * With 0 nothing is sent, but the thread is looked for. A thread that has been
 * joined or detached, and has ended, must not be asked for.
 * Returns: 0
 *   UV_EINVAL  `signum` is neither 0 nor a signal
 *   UV_ESRCH   the thread has ended; glibc 2.34 and later say 0 until it has
 *              been joined
 *   UV_EAGAIN  a realtime signal, and the queue is full
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_pthread_kill(uv_thread_t thread, int signum);

/* Send a signal to the process that a pidfd stands for, and never to another
 * one that has its number since (pidfd_send_signal(2)).
 * With 0 nothing is sent, but it is checked whether one could. The receiver
 * gets `info` as it is: zero it, then set si_signo to `signum`, si_code to
 * SI_QUEUE, and si_pid, si_uid and si_value. NULL: as with kill(2). A process
 * may send itself any si_code. It may send others those below 0, except
 * SI_TKILL.
 * Returns: 0
 *   UV_EINVAL  `signum` is neither 0 nor a signal, info->si_signo is not
 *              `signum`, or `flags`, which are for later, are not 0
 *   UV_EBADF   `pidfd` is not a pidfd
 *   UV_EPERM   not allowed, or info->si_code is not, see above
 *   UV_E2BIG   info->si_code is unknown to the kernel, and the end of `*info`
 *              is not zero
 *   UV_ESRCH   the process has ended and been waited for
 *   UV_EAGAIN  a realtime signal, and the queue is full
 *   UV_ENOSYS  the system does not have it: Linux 5.1 and later do
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_pidfd_send_signal(int pidfd,
                                         int signum,
                                         const siginfo_t* info,
                                         unsigned flags);

/* Send a signal with a value to a process (sigqueue(3)).
 * With 0 nothing is sent, but it is checked whether one could.
 * Returns: 0
 *   UV_EINVAL  `signum` is neither 0 nor a signal, or `pid` is not above 0:
 *              groups cannot be sent to
 *   UV_ESRCH   there is no such process
 *   UV_EPERM   not allowed
 *   UV_EAGAIN  the queue of the process's user is full (RLIMIT_SIGPENDING)
 *   UV_ENOSYS  the system does not have it: macOS, OpenBSD
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_sigqueue(uv_pid_t pid, int signum, union sigval value);

/* --- A wakeup fd of your own ---------------------------------------------- */

/* Have the number of each signal that is caught written to `fd`, as one byte.
 * For a loop that is not libuv's: it polls the other end, reads, and calls
 * uvsig_flush(). One for the process, beside the `uvsig_t`: of signals that
 * nothing of this library watches nothing is written, and one byte however many
 * watch. The byte is written after the signal has reached every `uvsig_t`.
 * A pipe, a socket or what else takes bytes; it stays yours, and must be open
 * until another call has taken its place. At return, nothing is written to the
 * previous one any more: it waits for a grace period.
 * There is a warning of bytes that do not fit, once until a byte fits again,
 * unless `warn_on_full_buffer` is 0; any other error of write(2) is in any
 * case. The warning is that of a `uvsig_t` which watches the signal. A child
 * of fork(2) has none. poll(2) and select(2) may fail with EINTR all the same,
 * see signal(7).
 * `fd`: -1: no more. `*old_fd`, unless NULL: the previous one, or -1.
 * Returns: 0
 *   UV_EBADF   `fd` is not open, or below -1
 *   UV_EINVAL  `fd` has no O_NONBLOCK: a handler must not wait
 *   UV_ENOMEM  no memory for what a fork(2) needs (pthread_atfork(3))
 *   another code of fstat(2)
 * After an error: the previous one stays, `*old_fd` is untouched.
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_set_wakeup_fd(int fd,
                                     int warn_on_full_buffer,
                                     int* old_fd);

/* Tell what uvsig_set_wakeup_fd() has set.
 * `*warn_on_full_buffer`, unless NULL: 1 or 0, as it was set; 0 where no fd is.
 * Returns: the fd, or -1 if there is none.
 * Context: any thread. Since: 0.2. */
UVSIG_EXTERN int uvsig_get_wakeup_fd(int* warn_on_full_buffer);

/* Count the signals in what was read from the other end of that fd.
 * Sets every element of `counts`. Bytes that are no signal are passed over.
 * Returns: 0 or more, how many bytes were signals (at most INT_MAX)
 *   UV_EINVAL  `counts` is NULL, or `bytes` is and `size` is not 0
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_decode(const void* bytes,
                              size_t size,
                              unsigned counts[UVSIG_NSIG]);

/* --- Numbers and names ---------------------------------------------------- */

/* Fill `set` with the signals of this system: 62 on Linux with glibc.
 * SIGKILL and SIGSTOP are among them, the numbers that libc keeps are not.
 * Returns: 0
 *   UV_EINVAL  `set` is NULL
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_valid_signals(sigset_t* set);

/* Name a signal: "SIGINT", "SIGRTMIN", "SIGRTMIN+3".
 * Returns: static text, or NULL if `signum` is no signal.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN const char* uvsig_signal_name(int signum);

/* Find a signal by name or number: "SIGINT", "int", "RTMIN+3", "RTMAX-1", "2".
 * Letter case does not matter, nor does the "SIG"; aliases such as "SIGCLD"
 * are known.
 * Returns: the number, 1 or more
 *   UV_EINVAL  `name` is NULL or names no signal of this system
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_signal_number(const char* name);

/* Describe a signal in English: "Interrupt", "Terminated".
 * The texts are those of glibc's strsignal(3) in the C locale, on every system
 * and in every locale.
 * Returns: static text, or NULL if `signum` is no signal.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN const char* uvsig_strsignal(int signum);

/* --- Version -------------------------------------------------------------- */

/* Tell the version of the library in use: major << 16 | minor << 8 | patch.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN unsigned uvsig_version(void);

/* The same as text: "0.2.0". Static.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN const char* uvsig_version_string(void);

#ifdef __cplusplus
}
#endif

#endif /* UVSIG_H */
