/* SPDX-License-Identifier: MIT
 *
 * What a service manager is told, in the words of sd_notify(3): nothing where
 * NOTIFY_SOCKET is not set, or where the library was built without libsystemd.
 * Failures are nobody's business: the service goes on. Runs in the loop thread.
 */

#include "coordinator.h"
#include "notify.h"

#ifdef HAVE_SYSTEMD
# include <inttypes.h>
# include <systemd/sd-daemon.h>

static void on_notify_timer(uv_timer_t* timer) {
  (void) timer;
  sd_notify(0, "WATCHDOG=1");
}

/* From the loop itself, so that one that is stuck is seen; at half the interval
 * (sd_watchdog_enabled(3)). */
void uvsig__notify_start(struct uvsig__coordinator* c) {
  uint64_t us;
  uint64_t ms;

  if (!c->options.notify || sd_watchdog_enabled(0, &us) <= 0)
    return;
  ms = us / 2 / 1000;
  uv_timer_start(&c->notify_timer, on_notify_timer, 0, ms > 0 ? ms : 1);
}

void uvsig__notify_ready(struct uvsig__coordinator* c) {
  if (c->options.notify)
    sd_notify(0, "READY=1");
}

void uvsig__notify_stopping(struct uvsig__coordinator* c) {
  if (c->options.notify)
    sd_notify(0, "STOPPING=1");
}

/* How long from now all may take. */
void uvsig__notify_extend(struct uvsig__coordinator* c, uint64_t ns) {
  if (c->options.notify)
    sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, ns / 1000);
}

void uvsig__notify_reloading(struct uvsig__coordinator* c) {
  if (c->options.notify)
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, uvsig__now() / 1000);
}

#else

void uvsig__notify_start(struct uvsig__coordinator* c) {
  (void) c;
}

void uvsig__notify_ready(struct uvsig__coordinator* c) {
  (void) c;
}

void uvsig__notify_stopping(struct uvsig__coordinator* c) {
  (void) c;
}

void uvsig__notify_extend(struct uvsig__coordinator* c, uint64_t ns) {
  (void) c;
  (void) ns;
}

void uvsig__notify_reloading(struct uvsig__coordinator* c) {
  (void) c;
}

#endif
