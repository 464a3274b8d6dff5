/* SPDX-License-Identifier: MIT
 *
 * libuvsig: Unix signals, delivered to callbacks on a libuv loop's own thread.
 *
 * The contract of every function is here, always in the same order: what it
 * does, what may surprise, what it returns, what holds after an error, from
 * where it may be called, and since which release. The manual, uvsig(7), has
 * the prose and the examples.
 *
 * Rules that hold for all of them:
 *
 * - 0 or more is success, a negative number is a libuv error code (UV_E*).
 *   errno is no part of the contract.
 * - Arguments are checked before anything changes, and after an error
 *   everything is as it was before the call.
 * - That an object is not initialised can only be told where its memory is zero.
 * - "Loop thread" is the thread that runs the loop; until it has run for the
 *   first time, the thread that called uvsig_init(); and once that thread has
 *   ended, the next one that calls. A thread that takes a loop over owns it
 *   from the first time that it is about to poll. From any other thread a
 *   function with that context returns UV_EPERM, or does nothing where it
 *   returns nothing.
 * - Fields named private, and the structs' sizes, may change until 1.0.
 */

#ifndef UVSIG_H
#define UVSIG_H

#include <signal.h>
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

/* --- The signals of a loop ---------------------------------------------- */

/* What carries the bytes from the signal handler to the loop. */
typedef enum {
  UVSIG_WAKEUP_PIPE = 0,  /* 65,536 bytes on Linux */
  UVSIG_WAKEUP_SOCKETPAIR /* AF_UNIX; hundreds or thousands of bytes */
} uvsig_wakeup_t;

/* What the bytes mean. */
typedef enum {
  /* Each byte is a signal number: one callback per signal, in the order of
   * arrival. What a full buffer cannot take is counted per signal, delivered
   * after the bytes, and warned of. */
  UVSIG_MODE_BYTES = 0,
  /* The byte only wakes the loop: one callback per signal number with its
   * count, in ascending order. A burst costs one system call. */
  UVSIG_MODE_WAKE_ONLY
} uvsig_mode_t;

typedef enum {
  UVSIG_WARN_FULL_BUFFER = 0, /* bytes mode: signals were coalesced */
  UVSIG_WARN_WRITE_ERROR      /* the wakeup fd failed; error says how */
} uvsig_warning_kind_t;

/* What a warning callback is told. Valid during the callback only. */
struct uvsig_warning_s {
  uvsig_warning_kind_t kind;
  int error;              /* UV_E* of what failed; UV_EOF: the other end */
  uint64_t total;         /* how many signals were not carried by a byte */
  const uint64_t* counts; /* the same for each number; UVSIG_NSIG entries */
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
  /* private */
  uintptr_t reserved[8]; /* 0 */
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
  uint64_t caught;         /* seen by the signal handler */
  uint64_t delivered;      /* told to at least one callback */
  uint64_t discarded;      /* dropped: nobody watched them any more */
  uint64_t coalesced;      /* of the delivered, those in a count above 1 */
  uint64_t junk;           /* bytes read that were no signal; only in the sum */
  uint64_t info_dropped;   /* 0: this release records no sender */
  uint64_t full_buffers;   /* episodes; for one signal, those it was part of */
  uint64_t replaced;       /* stops that found somebody else's handler */
  uint64_t max_latency_ns; /* 0: this release takes no time stamps */
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
 *   UV_EMFILE   no file descriptors left in the process
 *   UV_ENFILE   none left in the system
 *   UV_EPERM    `buffer_size` is above what the system allows the user
 *               (fcntl(2), F_SETPIPE_SZ)
 *   UV_ENOTSUP  `buffer_size` is set and this system cannot resize a pipe
 *   what uv_poll_init() returns, and another code of fcntl(2) or, with a
 *   socketpair, of setsockopt(2)
 * After an error: `*sig` is untouched, no memory or descriptor is held.
 * Context: the thread that owns the loop. Since: 0.1. */
UVSIG_EXTERN int uvsig_init(uv_loop_t* loop,
                            uvsig_t* sig,
                            const uvsig_options_t* options);

/* Stop every watcher, discard what is pending, and give everything back.
 * At return the watchers are stopped, their memory is yours, the previous
 * dispositions are back and the descriptors are closed. `cb`, which may be
 * NULL, is called from the loop; from then on `*sig` is yours. Waits, briefly,
 * for signal handlers that run on other threads. May be called in a callback.
 * Returns: 0
 *   UV_EINVAL    `sig` is NULL or not initialised
 *   UV_EPERM     not the loop thread
 *   UV_EALREADY  closing already; the first call's `cb` stands
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_close(uvsig_t* sig, uvsig_close_cb cb);

/* Run the callbacks of what is pending now, without running the loop.
 * Bounded: what keeps arriving meanwhile is left for the loop.
 * Returns: 0 or more, how many callbacks were run
 *   UV_EINVAL  `sig` is NULL, not initialised or closing
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback. Since: 0.1. */
UVSIG_EXTERN int uvsig_flush(uvsig_t* sig);

/* Read the counts of `signum`, or, with 0, of all signals together.
 * All zeros for a number that was never watched here, from another thread than
 * the loop's, and once the close callback has been called. Between
 * uvsig_close() and that callback the counts are final and can be read.
 * Returns: nothing. `out` being NULL is ignored.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_stats(const uvsig_t* sig,
                              int signum,
                              uvsig_stats_t* out);

/* --- Watchers ------------------------------------------------------------ */

/* No sender is known: of this struct only signum, count and flags count. Set
 * in every callback of this release. */
#define UVSIG_INFO_NONE 1u

/* What a callback is told of the signals that it stands for. Valid during the
 * callback only. The meaning of code to value is that of siginfo_t's si_*. */
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
  void* reserved[4];
};

/* Do not unblock the signal at start. */
#define UVSIG_KEEP_MASK 1u

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
 * also unblocks the signal in the calling thread, unless UVSIG_KEEP_MASK. If
 * somebody has replaced the handler meanwhile, the first of a further `uvsig_t`
 * installs it again, and further ones of the same leave that as it is.
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
 *   UV_ENOMEM  no memory
 *   what sigaction(2) refuses
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
 * last in the process puts the previous disposition back, unless somebody
 * replaced the library's meanwhile. Stopping a stopped watcher is no error, in
 * whichever thread.
 * Waits, briefly, for signal handlers that run on other threads.
 * Returns: 0
 *   UV_EINVAL  `w` is NULL
 *   UV_EPERM   not the loop thread
 * Context: loop thread, also in a callback; for a stopped watcher, also after
 * its `uvsig_t` has gone. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_stop(uvsig_watcher_t* w);

/* Set the UVSIG_* flags of a stopped watcher, in place of those set before.
 * Returns: 0
 *   UV_EINVAL  `w` is NULL or not initialised, its `uvsig_t` is closing, or a
 *              flag is unknown
 *   UV_EBUSY   `w` is started
 *   UV_EPERM   not the loop thread
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_watcher_set_flags(uvsig_watcher_t* w, unsigned flags);

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
 * What Python's KeyboardInterrupt is for: leave the loop, clean up, and end
 * with uvsig_reraise(), so that the parent sees death by the signal.
 * Context: loop thread. Since: 0.1. */
UVSIG_EXTERN void uvsig_default_int_handler(uvsig_watcher_t* w,
                                            int signum,
                                            const uvsig_info_t* info);

/* --- Dispositions --------------------------------------------------------- */

/* What a signal does to the process. */
enum {
  UVSIG_DEFAULT = 0, /* SIG_DFL */
  UVSIG_IGNORED = 1, /* SIG_IGN */
  UVSIG_WATCHED = 2, /* a watcher's */
  UVSIG_FOREIGN = 3  /* a handler that is not ours */
};

/* Tell what a signal does to the process now.
 * Returns: UVSIG_DEFAULT, UVSIG_IGNORED, UVSIG_WATCHED or UVSIG_FOREIGN
 *   UV_EINVAL  `signum` is no signal
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_getsignal(int signum);

/* Ignore a signal (SIG_IGN).
 * Returns: what it did before, as uvsig_getsignal()
 *   UV_EINVAL  `signum` is none whose action can be changed
 *   UV_EBUSY   a watcher is started on it, in whichever loop
 * Context: any thread. Since: 0.1. */
UVSIG_EXTERN int uvsig_ignore(int signum);

/* Give a signal its default action (SIG_DFL).
 * Returns and Context: as uvsig_ignore(). Since: 0.1. */
UVSIG_EXTERN int uvsig_default(int signum);

/* End the process by a signal, so that its parent sees that it died by it.
 * Sets the default action, raises the signal and unblocks it in the calling
 * thread. As PID 1, which the kernel spares (kill(2)), it calls
 * _exit(128 + signum). stdio's buffers are not written: call fflush() before.
 * Returns: only with an error
 *   UV_EINVAL  `signum` is no signal, or its default action (signal(7)) does
 *              not end a process
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_reraise(int signum);

/* --- Names, and sending --------------------------------------------------- */

/* Fill `set` with the signals of this system: 62 on Linux with glibc.
 * SIGKILL and SIGSTOP are among them, the numbers that libc keeps are not.
 * Returns: 0
 *   UV_EINVAL  `set` is NULL
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_valid_signals(sigset_t* set);

/* Send a signal to the calling thread (raise(3)).
 * Unless the thread blocks it, its handler has run at return.
 * Returns: 0
 *   UV_EINVAL  `signum` is no signal
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN int uvsig_raise_signal(int signum);

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
 * Returns: static text, or NULL if `signum` is no signal.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN const char* uvsig_strsignal(int signum);

/* --- Version --------------------------------------------------------------- */

/* Tell the version of the library in use: major << 16 | minor << 8 | patch.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN unsigned uvsig_version(void);

/* The same as text: "0.1.0". Static.
 * Context: any thread; async-signal-safe. Since: 0.1. */
UVSIG_EXTERN const char* uvsig_version_string(void);

#ifdef __cplusplus
}
#endif

#endif /* UVSIG_H */
