/* SPDX-License-Identifier: MIT
 *
 * A signalfd(2) of one loop: signals that are blocked in the loop's thread wait
 * in the kernel's queue, and are read from it. Loop thread.
 */

#ifndef UVSIG_SIGNALFD_H
#define UVSIG_SIGNALFD_H

#include "hub.h"

#ifdef HAVE_SYS_SIGNALFD_H
# include <sys/signalfd.h>
typedef struct signalfd_siginfo uvsig__queued_t;
#else
typedef siginfo_t uvsig__queued_t; /* never used */
#endif

struct uvsig__signalfd {
  int fd;
  sigset_t set; /* what is read from it */
  uv_poll_cb on_readable;
  bool is_polled;   /* `poll` is initialised */
  uv_poll_t poll;   /* keeps no loop alive */
  bool is_lost;     /* it has failed, and is not used any more */
  uint64_t checked; /* when it was there: the loop's time */
  unsigned spared;  /* turns in which it is not read twice, for now */
  size_t at;        /* the next of `read` to deliver ... */
  size_t end;       /* ... and where they end */
  uvsig__queued_t read[UVSIG__BUDGET / sizeof(uvsig__queued_t)];
};

/* What uvsig__signalfd_read() returns where there may be more. */
enum { UVSIG__FULL_READ = UVSIG__BUDGET / sizeof(uvsig__queued_t) };

int uvsig__signalfd_open(struct uvsig__signalfd** out, uv_poll_cb on_readable);
int uvsig__signalfd_poll(struct uvsig__signalfd* from, struct uvsig__hub* hub);
void uvsig__signalfd_pause(struct uvsig__signalfd* from);
void uvsig__signalfd_resume(struct uvsig__signalfd* from);
int uvsig__signalfd_check(const struct uvsig__signalfd* from);
void uvsig__signalfd_lose(struct uvsig__signalfd* from);
int uvsig__signalfd_renew(struct uvsig__signalfd* from);
void uvsig__signalfd_inherit(struct uvsig__signalfd* from);
void uvsig__signalfd_close(struct uvsig__signalfd* from);
bool uvsig__signalfd_add(struct uvsig__signalfd* from, int signum);
void uvsig__signalfd_remove(struct uvsig__signalfd* from, int signum);
int uvsig__signalfd_read(struct uvsig__signalfd* from);
bool uvsig__signalfd_next(struct uvsig__signalfd* from,
                          int signum,
                          siginfo_t* info);
bool uvsig__signalfd_take(struct uvsig__signalfd* from,
                          int signum,
                          siginfo_t* info);
void uvsig__signalfd_handle(struct uvsig__signalfd* from, int signum);
void uvsig__signalfd_catch(siginfo_t* info);
unsigned uvsig__signalfd_drop(struct uvsig__signalfd* from, int signum);
unsigned uvsig__signalfd_return(struct uvsig__signalfd* from, int signum);

#endif /* UVSIG_SIGNALFD_H */
