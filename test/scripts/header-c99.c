/* SPDX-License-Identifier: MIT
 *
 * The header by itself, included first and in strict C99, with its types,
 * macros and functions each used. header.sh compiles it, nothing runs it.
 */

#include <uvsig.h>

#if UVSIG_NSIG < 32
# error UVSIG_NSIG is no number of signals
#endif

#define SET_MEMBERS(info) \
  ((info)->count > 0 && (info)->flags == UVSIG_INFO_NONE && \
   (info)->code + (info)->error + (info)->status == 0 && \
   (info)->pid == 0 && (info)->uid == 0 && (info)->band == 0 && \
   (info)->value.sival_ptr == NULL)

static void on_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  if (warning->kind == UVSIG_WARN_FULL_BUFFER && warning->total > 0)
    sig->data = NULL;
  if (warning->kind == UVSIG_WARN_WRITE_ERROR && warning->error < 0 &&
      warning->fd == -1)
    sig->data = (void*) &warning->counts[UVSIG_NSIG - 1];
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  if (w->signum == signum && info->signum == signum && SET_MEMBERS(info))
    w->data = w->sig->data;
}

static void on_tick(uvsig_itimer_t* t, unsigned expirations) {
  if (expirations > 0 && t->which == UVSIG_ITIMER_REAL)
    t->data = t->sig->data;
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  req->data = status == 0 && info->signum > 0 ? req->sig->data : NULL;
}

static void on_close(uvsig_t* sig) {
  sig->loop = NULL;
}

/* A wrong type here is a warning, and a warning is an error. */
static struct {
  void (*options_init)(uvsig_options_t*);
  int (*init)(uv_loop_t*, uvsig_t*, const uvsig_options_t*);
  int (*close)(uvsig_t*, uvsig_close_cb);
  int (*flush)(uvsig_t*);
  void (*stats)(const uvsig_t*, int, uvsig_stats_t*);
  int (*watcher_init)(uvsig_t*, uvsig_watcher_t*);
  int (*watcher_start)(uvsig_watcher_t*, uvsig_watcher_cb, int);
  int (*watcher_start_oneshot)(uvsig_watcher_t*, uvsig_watcher_cb, int);
  int (*watcher_stop)(uvsig_watcher_t*);
  int (*watcher_set_flags)(uvsig_watcher_t*, unsigned);
  void (*watcher_ref)(uvsig_watcher_t*);
  void (*watcher_unref)(uvsig_watcher_t*);
  int (*watcher_has_ref)(const uvsig_watcher_t*);
  int (*watcher_is_active)(const uvsig_watcher_t*);
  uvsig_watcher_cb default_int_handler;
  int (*getsignal)(int);
  int (*ignore)(int);
  int (*default_)(int);
  int (*reraise)(int);
  int (*valid_signals)(sigset_t*);
  int (*raise_signal)(int);
  const char* (*signal_name)(int);
  int (*signal_number)(const char*);
  const char* (*strsignal)(int);
  int (*pause_)(uvsig_t*);
  int (*siginterrupt_)(int, int);
  int (*set_wakeup_fd)(int, int, int*);
  int (*decode)(const void*, size_t, unsigned*);
  int (*setitimer_)(int, double, double, uvsig_itimerval_t*);
  int (*getitimer_)(int, uvsig_itimerval_t*);
  unsigned (*alarm_)(unsigned);
  int (*itimer_init)(uvsig_t*, uvsig_itimer_t*, int);
  int (*itimer_start)(uvsig_itimer_t*, uvsig_itimer_cb, double, double);
  int (*itimer_stop)(uvsig_itimer_t*);
  void (*itimer_ref)(uvsig_itimer_t*);
  void (*itimer_unref)(uvsig_itimer_t*);
  int (*itimer_has_ref)(const uvsig_itimer_t*);
  int (*itimer_is_active)(const uvsig_itimer_t*);
  int (*sigwait_)(const sigset_t*, int*);
  int (*sigwaitinfo_)(const sigset_t*, uvsig_info_t*);
  int (*sigtimedwait_)(const sigset_t*, double, uvsig_info_t*);
  int (*wait_start)(uvsig_t*, uvsig_wait_t*, const sigset_t*, double,
                    uvsig_wait_cb);
  int (*wait_cancel)(uvsig_wait_t*);
  int (*pthread_sigmask_)(int, const sigset_t*, sigset_t*);
  int (*sigpending_)(sigset_t*);
  int (*thread_create)(uv_thread_t*, uv_thread_cb, void*);
  int (*threadpool_prime)(uv_loop_t*);
  int (*pthread_kill_)(uv_thread_t, int);
  int (*pidfd_send_signal_)(int, int, const siginfo_t*, unsigned);
  int (*sigqueue_)(uv_pid_t, int, union sigval);
  unsigned (*version)(void);
  const char* (*version_string)(void);
} functions = {
  uvsig_options_init,
  uvsig_init,
  uvsig_close,
  uvsig_flush,
  uvsig_stats,
  uvsig_watcher_init,
  uvsig_watcher_start,
  uvsig_watcher_start_oneshot,
  uvsig_watcher_stop,
  uvsig_watcher_set_flags,
  uvsig_watcher_ref,
  uvsig_watcher_unref,
  uvsig_watcher_has_ref,
  uvsig_watcher_is_active,
  uvsig_default_int_handler,
  uvsig_getsignal,
  uvsig_ignore,
  uvsig_default,
  uvsig_reraise,
  uvsig_valid_signals,
  uvsig_raise_signal,
  uvsig_signal_name,
  uvsig_signal_number,
  uvsig_strsignal,
  uvsig_pause,
  uvsig_siginterrupt,
  uvsig_set_wakeup_fd,
  uvsig_decode,
  uvsig_setitimer,
  uvsig_getitimer,
  uvsig_alarm,
  uvsig_itimer_init,
  uvsig_itimer_start,
  uvsig_itimer_stop,
  uvsig_itimer_ref,
  uvsig_itimer_unref,
  uvsig_itimer_has_ref,
  uvsig_itimer_is_active,
  uvsig_sigwait,
  uvsig_sigwaitinfo,
  uvsig_sigtimedwait,
  uvsig_wait_start,
  uvsig_wait_cancel,
  uvsig_pthread_sigmask,
  uvsig_sigpending,
  uvsig_thread_create,
  uvsig_threadpool_prime,
  uvsig_pthread_kill,
  uvsig_pidfd_send_signal,
  uvsig_sigqueue,
  uvsig_version,
  uvsig_version_string
};

int main(void) {
  static uvsig_t sig;
  static uvsig_watcher_t watcher;
  static uvsig_itimer_t timers[3];
  static uvsig_wait_t req;
  static unsigned counts[UVSIG_NSIG];
  uvsig_itimerval_t value = {0, 0};
  union sigval sigval;
  sigset_t set;
  uvsig_options_t options;
  uvsig_stats_t stats;
  uint64_t sum;
  uvsig_wakeup_t wakeups[] = {UVSIG_WAKEUP_PIPE, UVSIG_WAKEUP_SOCKETPAIR};
  uvsig_mode_t modes[] = {UVSIG_MODE_BYTES, UVSIG_MODE_WAKE_ONLY};

  functions.options_init(&options);
  options.wakeup = wakeups[1];
  options.mode = modes[1];
  options.warn_on_full_buffer = 0;
  options.warning_cb = on_warning;
  options.buffer_size = 4096;
  if (functions.init(uv_default_loop(), &sig, &options) != 0 ||
      functions.watcher_init(&sig, &watcher) != 0 ||
      functions.watcher_set_flags(&watcher, UVSIG_KEEP_MASK) != 0 ||
      functions.watcher_start(&watcher, on_signal, SIGINT) != 0)
    return 1;

  switch (functions.getsignal(SIGINT)) {
    case UVSIG_DEFAULT:
    case UVSIG_IGNORED:
    case UVSIG_FOREIGN:
      return 1;
    case UVSIG_WATCHED:
      break;
  }

  sigval.sival_ptr = NULL;
  if (functions.valid_signals(&set) != 0 ||
      functions.itimer_init(&sig, &timers[0], UVSIG_ITIMER_REAL) != 0 ||
      functions.itimer_init(&sig, &timers[1], UVSIG_ITIMER_VIRTUAL) != 0 ||
      functions.itimer_init(&sig, &timers[2], UVSIG_ITIMER_PROF) != 0 ||
      functions.itimer_start(&timers[0], on_tick, 1.5, 0) != 0 ||
      functions.getitimer_(UVSIG_ITIMER_PROF, &value) != 0 ||
      value.seconds + value.interval > 0 ||
      functions.wait_start(&sig, &req, &set, 0, on_wait) != 0 ||
      functions.decode("", 1, counts) != 0 ||
      functions.sigqueue_(0, SIGINT, sigval) != UV_EINVAL)
    return 1;

  functions.stats(&sig, SIGINT, &stats);
  sum = stats.caught + stats.delivered + stats.discarded + stats.coalesced +
        stats.junk + stats.info_dropped + stats.full_buffers +
        stats.replaced + stats.max_latency_ns;
  functions.close(&sig, on_close);
  return sum != 0 || uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
