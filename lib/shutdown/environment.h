/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_ENVIRONMENT_H
#define UVSIG_SHUTDOWN_ENVIRONMENT_H

#include "../base.h"

struct uvsig__coordinator;

bool uvsig__read_number(const char* name, uint64_t* number);
void uvsig__environment_read(struct uvsig__coordinator* c);
void uvsig__environment_hand_over(const struct uvsig__coordinator* c,
                                  char* name);

#endif
