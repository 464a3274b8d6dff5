/* SPDX-License-Identifier: MIT
 *
 * Raises SIGUSR1 50 times, to be traced by syscalls.sh:
 *   raise-many bytes|wake-only|chain|signalfd|uv WATCHERS
 * (chain: in bytes mode, over a handler that was there before), or, in wake-only mode, one after the other, each in the callback of the one
 * before:
 *   raise-many ping 1
 */

#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uvsig.h>

enum { MOST_WATCHERS = 100, RAISES = 50 };

static unsigned long signals;
static int count;
static int pings;

static void raise_all(void) {
  int i;

  for (i = 0; i < RAISES; i++)
    raise(SIGUSR1);
}

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  (void) signum;
  signals += info->count;
  if (pings > 0) {
    pings--;
    raise(SIGUSR1);
  } else {
    uv_stop(w->sig->loop);
  }
}

static void do_nothing(int signum) {
  (void) signum;
}

static int raise_to_us(uv_loop_t* loop, const char* way) {
  static uvsig_watcher_t watchers[MOST_WATCHERS];
  uvsig_options_t options;
  bool is_chained = strcmp(way, "chain") == 0;
  unsigned long expected = (unsigned long) count * RAISES;
  uvsig_t sig;
  int i;

  uvsig_options_init(&options);
  if (strcmp(way, "wake-only") == 0 || pings > 0)
    options.mode = UVSIG_MODE_WAKE_ONLY;
  if (strcmp(way, "signalfd") == 0) {
    options.wakeup = UVSIG_WAKEUP_SIGNALFD;
    expected = (unsigned long) count; /* the kernel keeps one that waits */
  }
  if (is_chained)
    signal(SIGUSR1, do_nothing);
  if (uvsig_init(loop, &sig, &options) != 0)
    return 1;
  for (i = 0; i < count; i++)
    if (uvsig_watcher_init(&sig, &watchers[i]) != 0 ||
        uvsig_watcher_set_flags(&watchers[i], is_chained ? UVSIG_CHAIN : 0) !=
            0 ||
        uvsig_watcher_start(&watchers[i], on_signal, SIGUSR1) != 0)
      return 1;

  if (pings > 0)
    raise(SIGUSR1);
  else
    raise_all();
  uv_run(loop, UV_RUN_DEFAULT);
  uvsig_close(&sig, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  return uv_loop_close(loop) == 0 && signals == expected ? 0 : 1;
}

static void on_uv_signal(uv_signal_t* handle, int signum) {
  (void) signum;
  signals++;
  uv_stop(handle->loop);
}

/* The same with libuv's own handles, for comparison. */
static int raise_to_uv(uv_loop_t* loop) {
  static uv_signal_t handles[MOST_WATCHERS];
  int i;

  for (i = 0; i < count; i++)
    if (uv_signal_init(loop, &handles[i]) != 0 ||
        uv_signal_start(&handles[i], on_uv_signal, SIGUSR1) != 0)
      return 1;
  raise_all();
  uv_run(loop, UV_RUN_DEFAULT);
  for (i = 0; i < count; i++)
    uv_close((uv_handle_t*) &handles[i], NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  return uv_loop_close(loop);
}

int main(int argc, char** argv) {
  uv_loop_t* loop = uv_default_loop();

  if (argc != 3)
    return 2;
  count = atoi(argv[2]);
  if (count < 1 || count > MOST_WATCHERS)
    return 2;
  if (strcmp(argv[1], "uv") == 0)
    return raise_to_uv(loop);
  if (strcmp(argv[1], "ping") == 0)
    pings = RAISES - 1;
  return raise_to_us(loop, argv[1]);
}
