/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_ITIMER_H
#define UVSIG_ITIMER_H

#include "../hub.h"

void uvsig__stop_itimers(struct uvsig__hub* hub);
/* In the child of a fork, under uvsig__lock(). */
void uvsig__forget_itimers(void);

#endif /* UVSIG_ITIMER_H */
