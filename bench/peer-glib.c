/* SPDX-License-Identifier: MIT
 *
 * GLib's g_unix_signal_source_new(): a handler that sets a flag and wakes
 * GLib's own thread, which wakes the loops. Six signals, none of them realtime.
 */

#include "bench.h"

#include <glib-unix.h>

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

static gboolean on_signal(gpointer data) {
  caught(data, 1);
  return G_SOURCE_CONTINUE;
}

static void open_loop(struct side* side) {
  side->loop = g_main_context_new();
}

static void prepare(struct side* side, int signum, unsigned n) {
  side->signum = signum;
  side->watchers = allocate(n, sizeof(GSource*));
}

/* A source cannot be attached again once it has been removed. */
static void start(struct side* side, unsigned i) {
  GSource** sources = side->watchers;

  sources[i] = g_unix_signal_source_new(side->signum);
  g_source_set_callback(sources[i], on_signal, side, NULL);
  g_source_attach(sources[i], side->loop);
}

static void stop(struct side* side, unsigned i) {
  GSource** sources = side->watchers;

  g_source_destroy(sources[i]);
  g_source_unref(sources[i]);
}

static void turn(struct side* side, bool wait) {
  g_main_context_iteration(side->loop, wait);
}

static void run(struct side* side) {
  side->left = false;
  while (!side->left)
    g_main_context_iteration(side->loop, TRUE);
}

static void leave(struct side* side) {
  side->left = true;
}

const struct peer peer_glib = {
    .name = "GLib",
    .version = TEXT(GLIB_MAJOR_VERSION) "." TEXT(GLIB_MINOR_VERSION) "." TEXT(
        GLIB_MICRO_VERSION),
    .flags = CAN_LOOP | CAN_MANY | CAN_THREADS | CAN_RESTART,
    .open = open_loop,
    .prepare = prepare,
    .start = start,
    .stop = stop,
    .turn = turn,
    .run = run,
    .leave = leave};
