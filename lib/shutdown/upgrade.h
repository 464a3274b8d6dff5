/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_UPGRADE_H
#define UVSIG_SHUTDOWN_UPGRADE_H

#include "../base.h"

struct uvsig__coordinator;

void uvsig__upgrade_run(struct uvsig__coordinator* c);
void uvsig__upgrade_on_fork(struct uvsig__coordinator* c);
void uvsig__upgrade_forget(struct uvsig__coordinator* c);

#endif
