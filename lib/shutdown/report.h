/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_REPORT_H
#define UVSIG_SHUTDOWN_REPORT_H

#include "coordinator.h"

void uvsig__report_begin(struct uvsig__coordinator* c);
void uvsig__report_end(struct uvsig__coordinator* c);
void uvsig__report_count_left(uv_loop_t* loop,
                              const uvsig_t* sig,
                              uvsig_shutdown_report_t* report);
bool uvsig__report_is_alive(uv_loop_t* loop, const uvsig_t* sig);
void uvsig__report_log(const struct uvsig__coordinator* c);

#endif
