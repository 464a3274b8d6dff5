/* SPDX-License-Identifier: MIT
 *
 * The bottom half of the signals that wait in the kernel's queue. Loop thread.
 */

#ifndef UVSIG_QUEUE_H
#define UVSIG_QUEUE_H

#include "source.h"

void uvsig__on_queue(uv_poll_t* poll, int status, int events);
void uvsig__flush_queue(struct uvsig__hub* hub);
void uvsig__drain_queue(struct uvsig__source* source,
                        const struct uvsig__cursor* drain,
                        bool is_once);
void uvsig__prepare_queue(struct uvsig__hub* hub);

#endif /* UVSIG_QUEUE_H */
