/* SPDX-License-Identifier: MIT
 *
 * A picture of what a call may not leave changed where it is refused, nor a
 * scenario at its end: dispositions, the thread's mask, descriptors, what the
 * library holds, the loop's handles, the process's timers, the environment.
 */

#ifndef PICTURE_H
#define PICTURE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>

#include <uvsig.h>

enum { PICTURE_FDS = 96, PICTURE_TIMERS = 3 };

struct picture {
  struct sigaction actions[UVSIG_NSIG];
  sigset_t mask;
  struct picture_fd {
    int is_open;
    int descriptor_flags;
    int status_flags;
    dev_t device;
    ino_t inode;
  } fds[PICTURE_FDS];
  int held;
  unsigned handles; /* that are not closing ... */
  unsigned active;  /* ... and active ... */
  unsigned refs;    /* ... and keep the loop alive */
  struct itimerval timers[PICTURE_TIMERS];
  uint64_t environment; /* a hash */
};

/* `loop`: NULL where there is none. */
void picture_take(struct picture* p, uv_loop_t* loop);
/* Fail where they differ. `may_cache`: more memory and handles at rest are no
 * difference. */
void picture_compare(const char* file,
                     int line,
                     const char* what,
                     const struct picture* before,
                     const struct picture* after,
                     bool may_cache);

#endif /* PICTURE_H */
