/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_REPORT_H
#define UVSIG_SHUTDOWN_REPORT_H

#include "coordinator.h"

void uvsig__report_begin(struct uvsig__coordinator* c);
void uvsig__report_end(struct uvsig__coordinator* c);
void uvsig__report_count_left(struct uvsig__coordinator* c);
bool uvsig__report_is_alive(const struct uvsig__coordinator* c);
void uvsig__report_conclude(struct uvsig__coordinator* c);

#endif
