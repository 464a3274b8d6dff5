/* SPDX-License-Identifier: MIT
 *
 * A shutdown in a scenario: see server.h.
 */

#include "server.h"

#include "scenario.h"

#include <string.h>

struct server server;

static void on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase) {
  (void) sd;
  if (phase == UVSIG_SHUTDOWN_FORCING && server.releases != NULL)
    TRY("", uvsig_shutdown_release(server.releases));
  server.is_done = phase == UVSIG_SHUTDOWN_DONE;
}

static void on_closed(uvsig_shutdown_t* sd) {
  (void) sd;
  server.is_closed = true;
}

void shutdown_options(uvsig_shutdown_options_t* options) {
  uvsig_shutdown_options_init(options);
  options->grace_ms = 60000;
  options->hard_ms = 60000;
  options->fresh_ms = 0;
  options->keep_sig = 1;
  options->phase_cb = on_phase;
}

void init_shutdown(const uvsig_shutdown_options_t* options) {
  uvsig_shutdown_options_t own;

  memset(&server, 0, sizeof(server));
  shutdown_options(&own);
  TRY_INIT("+ calloc sigaction uv_async_init",
           &server.sd,
           uvsig_shutdown_init(
               &s.sig, &server.sd, options != NULL ? options : &own));
}

static bool is_done(void) {
  return server.is_done;
}

static bool is_closed(void) {
  return server.is_closed;
}

void finish_shutdown(void) {
  turn_until(is_done);
  uv_run(&s.loop, UV_RUN_NOWAIT);
}

void close_shutdown(void) {
  bool is_over = server.is_done;

  TRY("", uvsig_shutdown_close(&server.sd, on_closed));
  if (!is_over)
    turn_until(is_closed);
}
