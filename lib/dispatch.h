/* SPDX-License-Identifier: MIT
 *
 * The bottom half, and what is built on it in the core. Loop thread, unless it
 * says otherwise.
 */

#ifndef UVSIG_DISPATCH_H
#define UVSIG_DISPATCH_H

#include "hub.h"

/* warning.c */
void uvsig__warn(struct uvsig__hub* hub,
                 int error,
                 const uint64_t* counts,
                 int fd);

/* wakeup-fd.c; the last one in the child of a fork, under uvsig__lock(). */
bool uvsig__wakeup_fd_is_due(void);
void uvsig__report_wakeup_fd(struct uvsig__hub* hub);
void uvsig__forget_wakeup_fd(sigset_t* mask);

/* dispatch.c */
void uvsig__on_readable(uv_poll_t* poll, int status, int events);
void uvsig__on_prepare(uv_prepare_t* prepare);
ssize_t uvsig__flush(struct uvsig__hub* hub);
uint64_t uvsig__collect_overflow(struct uvsig__hub* hub);
void uvsig__report_full_buffer(struct uvsig__hub* hub, uint64_t total);

/* wait.c */
void uvsig__cancel_waits(struct uvsig__hub* hub);

/* posix/itimer.c; the last one in the child of a fork, under uvsig__lock(). */
void uvsig__stop_itimers(struct uvsig__hub* hub);
void uvsig__forget_itimers(void);

/* fork.c: in the child of a fork, under uvsig__lock(). */
void uvsig__begin_child(sigset_t* mask);

#endif /* UVSIG_DISPATCH_H */
