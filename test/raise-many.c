/* SPDX-License-Identifier: MIT
 *
 * Raises SIGUSR1 50 times, to be traced by syscalls.sh:
 *   raise-many bytes|wake-only WATCHERS
 */

#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <uvsig.h>

enum { MOST_WATCHERS = 100, RAISES = 50 };

static unsigned long signals;

static void on_signal(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  (void) signum;
  signals += info->count;
  uv_stop(w->sig->loop);
}

int main(int argc, char** argv) {
  static uvsig_watcher_t watchers[MOST_WATCHERS];
  uv_loop_t* loop = uv_default_loop();
  uvsig_options_t options;
  uvsig_t sig;
  int count;
  int i;

  if (argc != 3)
    return 2;
  count = atoi(argv[2]);
  uvsig_options_init(&options);
  if (strcmp(argv[1], "wake-only") == 0)
    options.mode = UVSIG_MODE_WAKE_ONLY;
  if (count < 1 || count > MOST_WATCHERS ||
      uvsig_init(loop, &sig, &options) != 0)
    return 1;
  for (i = 0; i < count; i++)
    if (uvsig_watcher_init(&sig, &watchers[i]) != 0 ||
        uvsig_watcher_start(&watchers[i], on_signal, SIGUSR1) != 0)
      return 1;

  for (i = 0; i < RAISES; i++)
    raise(SIGUSR1);

  uv_run(loop, UV_RUN_DEFAULT);
  uvsig_close(&sig, NULL);
  uv_run(loop, UV_RUN_DEFAULT);
  return uv_loop_close(loop) == 0 &&
                 signals == (unsigned long) count * RAISES
             ? 0
             : 1;
}
