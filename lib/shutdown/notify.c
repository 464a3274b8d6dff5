/* SPDX-License-Identifier: MIT
 *
 * What the service manager is notified of, by sd_notify(3). Does nothing where
 * NOTIFY_SOCKET is not set, or without libsystemd. A failure changes nothing:
 * the service goes on. Runs in the loop thread.
 */

#include "notify.h"

#include <inttypes.h>
#ifdef HAVE_SYSTEMD
# include <systemd/sd-daemon.h>
#else
# define sd_notify(unset, state)          ((void) 0)
# define sd_notifyf(unset, format, value) ((void) (value))
# define sd_watchdog_enabled(unset, us)   (*(us) = 0, 0)
#endif

static void on_notify_timer(uv_timer_t* timer) {
  (void) timer;
  sd_notify(0, "WATCHDOG=1");
}

/* The loop itself pings, so that a stuck loop is seen. sd_watchdog_enabled(3)
 * asks for half the interval. */
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

/* `ns`: from now to the limit. */
void uvsig__notify_extend(struct uvsig__coordinator* c, uint64_t ns) {
  if (c->options.notify)
    sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, ns / 1000);
}

void uvsig__notify_reloading(struct uvsig__coordinator* c) {
  if (c->options.notify)
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, uvsig__now() / 1000);
}
