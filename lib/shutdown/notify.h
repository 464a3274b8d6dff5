/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_NOTIFY_H
#define UVSIG_SHUTDOWN_NOTIFY_H

#include "coordinator.h"

void uvsig__notify_start(struct uvsig__coordinator* c);
void uvsig__notify_ready(struct uvsig__coordinator* c);
void uvsig__notify_stopping(struct uvsig__coordinator* c);
void uvsig__notify_extend(struct uvsig__coordinator* c, uint64_t ns);
void uvsig__notify_reloading(struct uvsig__coordinator* c);

#endif
