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
  if (warning->kind == UVSIG_WARN_WRITE_ERROR && warning->error < 0)
    sig->data = (void*) &warning->counts[UVSIG_NSIG - 1];
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  if (w->signum == signum && info->signum == signum && SET_MEMBERS(info))
    w->data = w->sig->data;
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
  uvsig_version,
  uvsig_version_string
};

int main(void) {
  static uvsig_t sig;
  static uvsig_watcher_t watcher;
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

  functions.stats(&sig, SIGINT, &stats);
  sum = stats.caught + stats.delivered + stats.discarded + stats.coalesced +
        stats.junk + stats.info_dropped + stats.full_buffers +
        stats.replaced + stats.max_latency_ns;
  functions.close(&sig, on_close);
  return sum != 0 || uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
