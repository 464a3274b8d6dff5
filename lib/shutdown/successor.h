/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_SUCCESSOR_H
#define UVSIG_SHUTDOWN_SUCCESSOR_H

#include "../base.h"

struct uvsig__coordinator;

void uvsig__successor_start(struct uvsig__coordinator* c);
uint64_t uvsig__successor_check(struct uvsig__coordinator* c);
void uvsig__successor_cancel(struct uvsig__coordinator* c,
                             const uvsig_upgrade_t* u);
void uvsig__successor_end(struct uvsig__coordinator* c);
void uvsig__successor_kill(struct uvsig__coordinator* c);
void uvsig__successor_drop_inherited(struct uvsig__coordinator* c);

#endif
