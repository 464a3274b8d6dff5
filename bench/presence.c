/* SPDX-License-Identifier: MIT
 *
 * What it costs to be there: a loop that is busy with other things, one that
 * sleeps, memory, and the way from open to close. libuv loops only, with
 * nothing of the kind in them, with the library, and with uv_signal_t.
 */

#include "bench.h"

#include <malloc.h>
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uvsig.h>

/* What is in the loop. */
struct presence {
  bool has_uv_signal;
  bool has_uvsig;
  bool has_watcher;
  uvsig_mode_t mode;
};

#define PRESENCE(name_, ...)                                                   \
 {                                                                             \
  .name = name_, .options = &(const struct presence) {                         \
   __VA_ARGS__                                                                 \
  }                                                                            \
 }
const struct peer presence_without = PRESENCE("without", false);
const struct peer presence_uvsig = PRESENCE("uvsig_t", .has_uvsig = true);
const struct peer presence_watcher =
    PRESENCE("uvsig_t and a watcher", .has_uvsig = true, .has_watcher = true);
const struct peer presence_wake_only = PRESENCE(
    "uvsig_t wake-only", .has_uvsig = true, .mode = UVSIG_MODE_WAKE_ONLY);
const struct peer presence_wake_only_watcher =
    PRESENCE("uvsig_t wake-only and a watcher",
             .has_uvsig = true,
             .has_watcher = true,
             .mode = UVSIG_MODE_WAKE_ONLY);
const struct peer presence_uv_signal =
    PRESENCE("uv_signal_t, started", .has_uv_signal = true);

static const struct peer* const everybody[] = {&presence_without,
                                               &presence_uvsig,
                                               &presence_watcher,
                                               &presence_wake_only,
                                               &presence_wake_only_watcher,
                                               &presence_uv_signal,
                                               NULL};
static const struct peer* const with_signals[] = {
    &presence_watcher, &presence_wake_only_watcher, &presence_uv_signal, NULL};

/* A loop with a presence in it. */
struct host {
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_watcher_t watcher;
  uv_signal_t signal;
};

static void on_uvsig(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  (void) w;
  (void) signum;
  (void) info;
}

static void on_uv_signal(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
}

static void open_presence(struct host* host, const struct presence* presence) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = presence->mode;
  if (presence->has_uvsig)
    check(uvsig_init(&host->loop, &host->sig, &options), "uvsig_init");
  if (presence->has_watcher) {
    check(uvsig_watcher_init(&host->sig, &host->watcher), "uvsig_watcher_init");
    uvsig_watcher_unref(&host->watcher);
    check(uvsig_watcher_start(&host->watcher, on_uvsig, SIGUSR1),
          "uvsig_watcher_start");
  }
  if (presence->has_uv_signal) {
    check(uv_signal_init(&host->loop, &host->signal), "uv_signal_init");
    uv_unref((uv_handle_t*) &host->signal);
    check(uv_signal_start(&host->signal, on_uv_signal, SIGUSR1),
          "uv_signal_start");
  }
}

static void close_presence(struct host* host, const struct presence* presence) {
  if (presence->has_uvsig)
    check(uvsig_close(&host->sig, NULL), "uvsig_close");
  if (presence->has_uv_signal)
    uv_close((uv_handle_t*) &host->signal, NULL);
  uv_run(&host->loop, UV_RUN_DEFAULT);
}

/* --- busy-loop: ten timers, and a byte to and fro between two pipes ------- */

enum { TIMERS = 10 };

struct ball {
  uv_pipe_t ends[2];
  uv_write_t requests[2];
  char buffer[64];
  char byte;
  unsigned left; /* passes */
};

static void on_timer(uv_timer_t* timer) {
  (void) timer;
}

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buffer) {
  struct ball* ball = handle->data;

  (void) size;
  *buffer = uv_buf_init(ball->buffer, sizeof(ball->buffer));
}

static void pass(struct ball* ball, int end) {
  uv_buf_t buffer = uv_buf_init(&ball->byte, 1);

  check(uv_write(&ball->requests[end],
                 (uv_stream_t*) &ball->ends[end],
                 &buffer,
                 1,
                 NULL),
        "uv_write");
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buffer) {
  struct ball* ball = stream->data;

  (void) buffer;
  check((int) n, "read");
  if (--ball->left == 0)
    uv_stop(stream->loop);
  else
    pass(ball, stream == (uv_stream_t*) &ball->ends[1]);
}

static void play(uv_loop_t* loop, struct ball* ball, unsigned passes) {
  ball->left = passes;
  pass(ball, 0);
  uv_run(loop, UV_RUN_DEFAULT);
}

static void busy_loop(const struct bench* bench,
                      const struct peer* peer,
                      struct result* result) {
  static struct host host;
  static struct ball ball;
  static uv_timer_t timers[TIMERS];
  struct span span;
  uv_file fds[2];
  int i;

  check(uv_loop_init(&host.loop), "uv_loop_init");
  open_presence(&host, peer->options);
  check(uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE),
        "uv_socketpair");
  for (i = 0; i < 2; i++) {
    check(uv_pipe_init(&host.loop, &ball.ends[i], 0), "uv_pipe_init");
    check(uv_pipe_open(&ball.ends[i], fds[i]), "uv_pipe_open");
    ball.ends[i].data = &ball;
    check(uv_read_start((uv_stream_t*) &ball.ends[i], on_alloc, on_read),
          "uv_read_start");
  }
  for (i = 0; i < TIMERS; i++) {
    check(uv_timer_init(&host.loop, &timers[i]), "uv_timer_init");
    check(uv_timer_start(&timers[i], on_timer, 1, 1), "uv_timer_start");
  }
  play(&host.loop, &ball, 500);
  span_begin(&span);
  play(&host.loop, &ball, bench->repeats);
  span_end(&span);
  set_time(result, &span, bench->repeats);
}

/* --- idle: how often a process wakes up that has nothing to do ------------ */

static void on_idle_end(uv_timer_t* timer) {
  uv_stop(timer->loop);
}

static void idle(const struct bench* bench,
                 const struct peer* peer,
                 struct result* result) {
  static struct host host;
  static uv_timer_t timer;
  struct rusage before;
  struct rusage after;
  double seconds = bench->repeats / 1000.0;

  check(uv_loop_init(&host.loop), "uv_loop_init");
  open_presence(&host, peer->options);
  check(uv_timer_init(&host.loop, &timer), "uv_timer_init");
  check(uv_timer_start(&timer, on_idle_end, bench->repeats, 0),
        "uv_timer_start");
  getrusage(RUSAGE_SELF, &before);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  getrusage(RUSAGE_SELF, &after);
  /* But for the timer's, which ends this. */
  result->figures[0] =
      (double) (after.ru_nvcsw - before.ru_nvcsw - 1) / seconds;
}

/* --- memory --------------------------------------------------------------- */

static double in_use(void) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  struct mallinfo2 info = mallinfo2();

  return (double) (info.uordblks + info.hblkhd);
#else
  return NAN;
#endif
}

/* What init takes beside the struct, then what the first and a further watcher
 * of a signal take, whose struct is the caller's, too. */
static void memory(const struct bench* bench,
                   const struct peer* peer,
                   struct result* result) {
  static struct host host;
  static uvsig_watcher_t second;
  struct presence presence = *(const struct presence*) peer->options;
  double start;
  double opened;
  double watched;

  (void) bench;
  check(uv_loop_init(&host.loop), "uv_loop_init");
  uv_run(&host.loop, UV_RUN_DEFAULT);
  presence.has_watcher = false;
  start = in_use();
  open_presence(&host, &presence);
  opened = in_use();
  if (presence.has_uv_signal) {
    result->figures[0] = sizeof(uv_signal_t);
    result->figures[1] = opened - start;
    return;
  }
  check(uvsig_watcher_init(&host.sig, &host.watcher), "uvsig_watcher_init");
  check(uvsig_watcher_init(&host.sig, &second), "uvsig_watcher_init");
  check(uvsig_watcher_start(&host.watcher, on_uvsig, SIGUSR1),
        "uvsig_watcher_start");
  watched = in_use();
  check(uvsig_watcher_start(&second, on_uvsig, SIGUSR1), "uvsig_watcher_start");
  result->figures[0] = sizeof(uvsig_watcher_t);
  result->figures[1] = sizeof(uvsig_t) + opened - start;
  result->figures[2] = watched - opened;
  result->figures[3] = in_use() - watched;
}

/* --- open-close ----------------------------------------------------------- */

/* The first of a process, which is more, is not measured. */
static void open_close(const struct bench* bench,
                       const struct peer* peer,
                       struct result* result) {
  static struct host host;
  struct span span;
  unsigned i;

  check(uv_loop_init(&host.loop), "uv_loop_init");
  open_presence(&host, peer->options);
  close_presence(&host, peer->options);
  span_begin(&span);
  for (i = 0; i < bench->repeats; i++) {
    open_presence(&host, peer->options);
    close_presence(&host, peer->options);
  }
  span_end(&span);
  set_time(result, &span, bench->repeats);
}

const struct bench presence_benches[] = {
    {.workload = "busy-loop",
     .variant = "",
     .figures = {"time"},
     .unit = "ns",
     .measure = busy_loop,
     .repeats = 15000,
     .rounds = 2,
     .against = &presence_without,
     .only = everybody},
    {.workload = "idle",
     .variant = "",
     .figures = {"wakeups a second"},
     .unit = "times",
     .measure = idle,
     .repeats = 100,
     .against = &presence_without,
     .only = everybody,
     .is_plain = true},
    {.workload = "memory",
     .variant = "",
     .figures = {"a watcher's struct",
                 "a uvsig_t",
                 "a watched signal",
                 "a further watcher's heap"},
     .unit = "bytes",
     .measure = memory,
     .against = &presence_uv_signal,
     .only = with_signals,
     .is_plain = true},
    {.workload = "open-close",
     .variant = "",
     .figures = {"time"},
     .unit = "ns",
     .measure = open_close,
     .repeats = 300,
     .against = &presence_uv_signal,
     .only = everybody},
    {.workload = NULL}};
