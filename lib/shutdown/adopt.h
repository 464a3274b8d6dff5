/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_ADOPT_H
#define UVSIG_SHUTDOWN_ADOPT_H

#include "datagram.h"

/* Of a successor: from its predecessor's end on it is named once more. */
struct uvsig__adoption {
  const struct uvsig__address* service;
  uv_timer_t timer;
  uv_pid_t self;
  uv_pid_t predecessor;
  uv_pid_t helper; /* that has not been waited for, or 0 */
  int link;        /* to it: closed with this process, or once it has ended */
  uint64_t since;  /* ns: it was started */
};

void uvsig__adoption_open(struct uvsig__adoption* a, uv_loop_t* loop);
void uvsig__adoption_start(struct uvsig__adoption* a,
                           const struct uvsig__address* service);
bool uvsig__adoption_is_busy(struct uvsig__adoption* a);
void uvsig__adoption_stop(struct uvsig__adoption* a);
void uvsig__adoption_close(struct uvsig__adoption* a);

#endif
