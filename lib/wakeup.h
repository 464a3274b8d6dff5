/* SPDX-License-Identifier: MIT
 *
 * The fd pair that wakes a loop, for the loop's thread.
 */

#ifndef UVSIG_WAKEUP_H
#define UVSIG_WAKEUP_H

#include "subscription.h"

int uvsig__wakeup_open(struct uvsig__wakeup* wakeup,
                       const uvsig_options_t* options);
int uvsig__wakeup_renew(struct uvsig__wakeup* wakeup,
                        const uvsig_options_t* options);
int uvsig__move_fd(int from, int to);
void uvsig__wakeup_close(struct uvsig__wakeup* wakeup);
ssize_t uvsig__wakeup_read(struct uvsig__wakeup* wakeup,
                           void* buffer,
                           size_t size);
void uvsig__wakeup_ring(struct uvsig__wakeup* wakeup);
bool uvsig__wakeup_is_empty(const struct uvsig__wakeup* wakeup);

#endif /* UVSIG_WAKEUP_H */
