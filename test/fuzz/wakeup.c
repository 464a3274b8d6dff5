/* SPDX-License-Identifier: MIT
 *
 * The wakeup fd of a uvsig_t: its write end may have been inherited by another
 * program, and so any bytes may come. An input is a small program. Its first
 * byte has the options, and then each step is a byte and what that takes:
 *   0 N BYTES  write N bytes into the wakeup fd
 *   1 S N      raise signal S, N + 1 times, if a watcher is started on it
 *   2 W A      start watcher W, whose callback does A
 *   3 W        stop it
 *   4          a turn of the loop
 *   5 B        fill the wakeup fd with the byte B
 *   6          uvsig_flush()
 *   7 W        uvsig_watcher_drain()
 * Each is taken modulo how many there are.
 */

#include "fuzz.h"

#include "../../lib/hub.h"

#include <errno.h>
#include <sys/ioctl.h>

enum { SIGNALS = 4, WATCHERS = 5, STEPS = 64, MOST_RAISED = 300 };

/* A bit each of the first byte. */
enum {
  WAKE_ONLY = 1,
  SOCKETPAIR = 2,
  NO_SENDERS = 4,
  SILENT = 8,
  AT_ONCE = 16
};

/* What a callback does. */
enum { NOTHING, STOP, RAISE, WRITE, FLUSH, ACTIONS };

/* Those that libFuzzer does not take. The two watchers that are left over are
 * of the first. */
static int signals[SIGNALS] = {SIGURG, SIGWINCH, SIGCONT};

static uv_loop_t loop;
static uv_idle_t idle;
static uvsig_t sig;
static uint8_t options_byte;

static struct watcher {
  uvsig_watcher_t w;
  uint8_t action;
  uint64_t notified;
} watchers[WATCHERS];

static uint64_t raised[SIGNALS];
static uint64_t all_raised;
static uint64_t junk; /* bytes in the wakeup fd that are not the handler's */
static uint64_t episodes; /* warnings of a full buffer */
static bool has_stopped[SIGNALS];
static bool is_draining;
static bool is_closed;

static int index_of(int watcher) {
  return watcher % SIGNALS;
}

/* --- What a step does --------------------------------------------------------- */

static int write_fd(void) {
  return ((struct uvsig__hub*) sig.hub)->wakeup.write_fd;
}

static void write_bytes(const uint8_t* bytes, size_t size) {
  ssize_t n = size > 0 ? write(write_fd(), bytes, size) : 0;

  for (; n > 0; n--)
    junk += *bytes++ != 0;
}

static void fill(uint8_t byte) {
  uint8_t bytes[4096];
  uint64_t before;

  memset(bytes, byte, sizeof(bytes));
  do {
    before = junk;
    write_bytes(bytes, sizeof(bytes));
  } while (junk != before);
  while (write(write_fd(), bytes, 1) == 1)
    junk += byte != 0;
}

/* In a drain the signal may have been given back. */
static bool is_watched(int k) {
  int i;

  if (is_draining)
    return false;
  for (i = 0; i < WATCHERS; i++)
    if (watchers[i].w.signum == signals[k])
      return true;
  return false;
}

static void raise_signal(int k) {
  if (!is_watched(k) || all_raised >= MOST_RAISED)
    return;
  /* Other processes of the user may fill the kernel's queue: then a realtime
   * signal is refused. */
  if (raise(signals[k]) != 0) {
    CHECK(errno == EAGAIN);
    return;
  }
  raised[k]++;
  all_raised++;
}

static void stop(int i) {
  if (watchers[i].w.signum != 0)
    has_stopped[index_of(i)] = true;
  CHECK(uvsig_watcher_stop(&watchers[i].w) == 0);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  struct watcher* at = w->data;
  int i = (int) (at - watchers);
  const uint8_t byte = (uint8_t) signum;

  CHECK(w->signum == signum && signum == signals[index_of(i)]);
  CHECK(info->signum == signum && info->count > 0);
  /* 0: the kernel's queue was full, see raise_signal(). */
  CHECK((info->flags & UVSIG_INFO_NONE) != 0 || info->pid == getpid() ||
        info->pid == 0);
  at->notified += info->count;
  CHECK(at->notified <= raised[index_of(i)]);
  switch (at->action) {
  case STOP:
    stop(i);
    break;
  case RAISE:
    raise_signal(index_of(i));
    break;
  case WRITE:
    write_bytes(&byte, 1);
    break;
  case FLUSH:
    CHECK(uvsig_flush(&sig) >= 0);
    break;
  default:
    break;
  }
}

static void on_warning(uvsig_t* from, const uvsig_warning_t* warning) {
  uint64_t total = 0;
  int i;

  CHECK(from == &sig);
  CHECK(warning->kind == UVSIG_WARN_FULL_BUFFER);
  CHECK((options_byte & (SILENT | WAKE_ONLY)) == 0);
  for (i = 0; i < UVSIG_NSIG; i++)
    total += warning->counts[i];
  CHECK(warning->total == total && total > 0);
  episodes++;
}

static void do_step(struct fuzz_input* input) {
  uint8_t step = fuzz_byte(input) % 8;
  uint8_t n;
  int i;

  switch (step) {
  case 0:
    n = fuzz_byte(input);
    n = n < input->left ? n : (uint8_t) input->left;
    write_bytes(input->at, n);
    input->at += n;
    input->left -= n;
    break;
  case 1:
    i = fuzz_byte(input) % SIGNALS;
    for (n = fuzz_byte(input); n > 0; n--)
      raise_signal(i);
    raise_signal(i);
    break;
  case 2:
    i = fuzz_byte(input) % WATCHERS;
    watchers[i].action = fuzz_byte(input) % ACTIONS;
    CHECK(uvsig_watcher_start(
              &watchers[i].w, on_signal, signals[index_of(i)]) == 0);
    break;
  case 3:
    stop(fuzz_byte(input) % WATCHERS);
    break;
  case 4:
    uv_run(&loop, UV_RUN_NOWAIT);
    break;
  case 5:
    fill(fuzz_byte(input));
    break;
  case 6:
    CHECK(uvsig_flush(&sig) >= 0);
    break;
  default:
    /* What is caught is delivered, unless another watcher's stop discards. */
    i = fuzz_byte(input) % WATCHERS;
    is_draining = true;
    CHECK(uvsig_watcher_drain(&watchers[i].w) == 0);
    is_draining = false;
    break;
  }
}

/* --- The accounting ----------------------------------------------------------- */

/* At any time, also before the wakeup fd has been read. */
static void check_caught(void) {
  uvsig_stats_t stats;
  int k;

  for (k = 0; k < SIGNALS; k++) {
    uvsig_stats(&sig, signals[k], &stats);
    CHECK(stats.caught == raised[k]);
    CHECK(stats.delivered + stats.discarded <= stats.caught);
    CHECK(has_stopped[k] || stats.discarded == 0);
  }
}

/* With one watcher its callback's count is what was delivered; with two, each
 * signal was delivered to one at least. */
static void check_notified(int k, uint64_t delivered) {
  uint64_t sum = 0;
  int i;

  for (i = k; i < WATCHERS; i += SIGNALS) {
    CHECK(watchers[i].notified <= delivered);
    sum += watchers[i].notified;
  }
  CHECK(k + SIGNALS < WATCHERS ? sum >= delivered : sum == delivered);
}

static void check_settled(void) {
  uvsig_stats_t stats;
  int k;

  for (k = 0; k < SIGNALS; k++) {
    uvsig_stats(&sig, signals[k], &stats);
    CHECK(stats.caught == raised[k]);
    CHECK(stats.delivered + stats.discarded == stats.caught);
    check_notified(k, stats.delivered);
  }
}

static bool is_at_rest(void) {
  const struct uvsig__hub* hub = sig.hub;
  uvsig_stats_t stats;
  int unread = 0;

  CHECK(ioctl(hub->wakeup.read_fd, FIONREAD, &unread) == 0);
  uvsig_stats(&sig, 0, &stats);
  return unread == 0 && hub->at == hub->end &&
         stats.caught == stats.delivered + stats.discarded;
}

/* No signal is lost, whatever else came, and each byte that was not the
 * handler's is counted. */
static void settle(void) {
  uvsig_stats_t stats;
  int turns = 0;

  while (!is_at_rest()) {
    CHECK(turns++ < 2 * MOST_RAISED);
    uv_run(&loop, UV_RUN_NOWAIT);
  }
  check_settled();
  uvsig_stats(&sig, 0, &stats);
  CHECK(stats.junk == junk);
  CHECK((options_byte & (SILENT | WAKE_ONLY)) != 0 ||
        stats.full_buffers == episodes);
}

/* --- A uvsig_t ------------------------------------------------------------------ */

static void on_idle(uv_idle_t* handle) {
  (void) handle;
}

/* The loop has always something to do: it polls without waiting. */
int LLVMFuzzerInitialize(int* argc, char*** argv) {
  (void) argc;
  (void) argv;
  signals[SIGNALS - 1] = SIGRTMIN + 1;
  CHECK(uv_loop_init(&loop) == 0);
  CHECK(uv_idle_init(&loop, &idle) == 0);
  CHECK(uv_idle_start(&idle, on_idle) == 0);
  return 0;
}

static void open_sig(uint8_t byte) {
  uvsig_options_t options;
  int i;

  options_byte = byte;
  uvsig_options_init(&options);
  options.mode =
      (byte & WAKE_ONLY) != 0 ? UVSIG_MODE_WAKE_ONLY : UVSIG_MODE_BYTES;
  options.wakeup =
      (byte & SOCKETPAIR) != 0 ? UVSIG_WAKEUP_SOCKETPAIR : UVSIG_WAKEUP_PIPE;
  options.buffer_size = 4096;
  options.info_depth = (byte & NO_SENDERS) != 0 ? 0 : 4;
  options.warn_on_full_buffer = (byte & SILENT) == 0;
  options.warning_cb = on_warning;
  CHECK(uvsig_init(&loop, &sig, &options) == 0);

  memset(watchers, 0, sizeof(watchers));
  memset(raised, 0, sizeof(raised));
  memset(has_stopped, 0, sizeof(has_stopped));
  all_raised = junk = episodes = 0;
  is_closed = false;
  for (i = 0; i < WATCHERS; i++) {
    CHECK(uvsig_watcher_init(&sig, &watchers[i].w) == 0);
    watchers[i].w.data = &watchers[i];
  }
}

static void on_close(uvsig_t* closed) {
  CHECK(closed == &sig);
  is_closed = true;
}

/* What is pending then is discarded. */
static void close_sig(void) {
  int turns = 0;

  CHECK(uvsig_close(&sig, on_close) == 0);
  check_settled();
  while (!is_closed) {
    CHECK(turns++ < 10);
    uv_run(&loop, UV_RUN_NOWAIT);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  struct fuzz_input input = {data, size};
  struct sigaction before[SIGNALS];
  struct sigaction after;
  int free_fd = fuzz_free_fd();
  int i;

  for (i = 0; i < SIGNALS; i++)
    CHECK(sigaction(signals[i], NULL, &before[i]) == 0);
  open_sig(fuzz_byte(&input));
  for (i = 0; i < STEPS && input.left > 0; i++) {
    do_step(&input);
    check_caught();
  }
  if ((options_byte & AT_ONCE) == 0)
    settle();
  close_sig();
  for (i = 0; i < SIGNALS; i++) {
    CHECK(sigaction(signals[i], NULL, &after) == 0);
    CHECK(after.sa_handler == before[i].sa_handler);
  }
  CHECK(fuzz_free_fd() == free_fd);
  return 0;
}
