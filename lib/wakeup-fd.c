/* SPDX-License-Identifier: MIT
 *
 * The program's own wakeup fd, for a loop that is not libuv's: set, reported
 * on, decoded. Set in any thread, reported on in a loop's; the write is the
 * handler's, in handler.c.
 */

#include "dispatch.h"
#include "disposition.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

/* Two, in turn: the handler may be using one while the other is prepared. */
static struct uvsig__wakeup_fd slots[2] = {{.fd = -1}};
static unsigned current; /* under uvsig__lock() */

static int check_fd(int fd, bool* is_socket) {
  struct stat status;
  int flags;

  flags = fcntl(fd, F_GETFL);
  if (flags < 0)
    return UVSIG__ERR(errno);
  if ((flags & O_NONBLOCK) == 0)
    return UV_EINVAL;
  if (fstat(fd, &status) != 0)
    return UVSIG__ERR(errno);
  *is_socket = S_ISSOCK(status.st_mode);
  return 0;
}

int uvsig_get_wakeup_fd(int* warn_on_full_buffer) {
  int fd = -1;
  int warn = 0;

  /* Where it fails, uvsig_set_wakeup_fd() has set none. */
  if (uvsig__prepare_for_forks() == 0) {
    uvsig__lock();
    fd = slots[current].fd;
    warn = fd != -1 && slots[current].warn;
    uvsig__unlock();
  }
  if (warn_on_full_buffer != NULL)
    *warn_on_full_buffer = warn;
  return fd;
}

/* In the child of a fork, before it returns: the other end is the parent's. */
void uvsig__forget_wakeup_fd(sigset_t* mask) {
  (void) mask;
  slots[current].fd = -1;
  atomic_store(&uvsig__shared.wakeup_fd, NULL);
}

int uvsig_set_wakeup_fd(int fd, int warn_on_full_buffer, int* old_fd) {
  struct uvsig__wakeup_fd* next;
  bool is_socket = false;
  int err;

  err = fd != -1 ? check_fd(fd, &is_socket) : 0;
  if (err == 0)
    err = uvsig__prepare_for_forks();
  if (err != 0)
    return err;

  uvsig__lock();
  /* Once there is a uvsig_t, its hook does this, too. */
  if (uvsig__child_hook == NULL)
    uvsig__child_hook = uvsig__forget_wakeup_fd;
  if (old_fd != NULL)
    *old_fd = slots[current].fd;
  current ^= 1;
  next = &slots[current];
  memset(next, 0, sizeof(*next));
  next->fd = fd;
  next->is_socket = is_socket;
  next->warn = warn_on_full_buffer != 0;
  atomic_store(&uvsig__shared.wakeup_fd, fd != -1 ? next : NULL);
  /* A grace period: after it no handler uses the previous slot, and the next
   * call may write to it. */
  uvsig__synchronize_locked();
  uvsig__unlock();
  return 0;
}

bool uvsig__wakeup_fd_is_due(void) {
  struct uvsig__wakeup_fd* own = atomic_load(&uvsig__shared.wakeup_fd);

  return own != NULL && atomic_load(&own->due) != 0;
}

/* The handler has woken every loop that watches the signal. The first one that
 * calls this reports. */
void uvsig__report_wakeup_fd(struct uvsig__hub* hub) {
  uint64_t counts[UVSIG_NSIG];
  struct uvsig__wakeup_fd* own;
  int error;
  int fd;
  int i;

  if (!uvsig__wakeup_fd_is_due())
    return;
  uvsig__lock();
  own = &slots[current];
  fd = own->fd;
  /* What the handler had counted by then is in `missed`. */
  error = atomic_exchange(&own->due, 0);
  for (i = 0; i < UVSIG_NSIG && error != 0; i++)
    /* Relaxed: a count, and nothing else. */
    counts[i] =
        atomic_exchange_explicit(&own->missed[i], 0, memory_order_relaxed);
  uvsig__unlock();
  if (error != 0)
    uvsig__warn(hub, error, counts, fd);
}

int uvsig_decode(const void* bytes, size_t size, unsigned counts[UVSIG_NSIG]) {
  const unsigned char* at = bytes;
  size_t total = 0;

  if (counts == NULL || (bytes == NULL && size > 0))
    return UV_EINVAL;
  memset(counts, 0, UVSIG_NSIG * sizeof(*counts));
  for (; size > 0; size--, at++) {
    if (!uvsig__is_valid(*at))
      continue;
    counts[*at]++;
    total++;
  }
  /* Not reached here: it takes 2 GiB. */
  return total > INT_MAX ? INT_MAX : (int) total;
}
