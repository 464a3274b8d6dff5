/* SPDX-License-Identifier: MIT
 *
 * A signal that libuv's own handles watch, too. The loop thread; the child's
 * hook.
 */

#ifndef UVSIG_LIBUV_H
#define UVSIG_LIBUV_H

#include "source.h"

int uvsig__share_open(struct uvsig__source* source);
void uvsig__share_close(struct uvsig__source* source);
void uvsig__forget_shares(void);
void uvsig__share_rejoin(const struct uvsig__source* source);

#endif /* UVSIG_LIBUV_H */
