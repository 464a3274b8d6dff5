/* SPDX-License-Identifier: MIT
 *
 * One datagram for a service manager, or for a predecessor that listens as one
 * does: sd_notify(3). Async-signal-safe.
 */

#include "datagram.h"

#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

/* macOS has neither. The socket is there for one call only, and a datagram
 * without a reader raises no SIGPIPE there. */
#ifndef SOCK_CLOEXEC
# define SOCK_CLOEXEC 0
#endif
#ifndef MSG_NOSIGNAL
# define MSG_NOSIGNAL 0
#endif

enum { PATIENCE_S = 1 };

/* Lack of room, at the reader's or here, passes. Anything else stays. */
bool uvsig__is_lack_of_room(int error) {
  return error == EAGAIN || error == ENOBUFS || error == ENOMEM ||
         error == EMFILE || error == ENFILE;
}

/* Send a text, with a descriptor unless that is -1. MSG_DONTWAIT: or fail at
 * once; else after a second without room. Returns 0 or an errno. The socket is
 * a new one each time: the service manager's may be another one by then, and a
 * child of fork(2) shares none. */
int uvsig__datagram_send(const struct uvsig__address* to,
                         const char* text,
                         int fd,
                         int flags) {
  const struct timeval patience = {.tv_sec = PATIENCE_S};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct sockaddr_un name = to->name;
  /* Neither is written to, though an iovec is not const. */
  struct iovec iov = {(void*) (uintptr_t) text, strlen(text)};
  struct msghdr message = {.msg_name = &name,
                           .msg_namelen = to->size,
                           .msg_iov = &iov,
                           .msg_iovlen = 1};
  int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct cmsghdr* at;
  int error;

  if (sender < 0)
    return errno;
  if (fd >= 0) {
    memset(&control, 0, sizeof(control));
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);
    at = CMSG_FIRSTHDR(&message);
    at->cmsg_level = SOL_SOCKET;
    at->cmsg_type = SCM_RIGHTS;
    at->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(at), &fd, sizeof(fd));
  }
  if ((flags & MSG_DONTWAIT) == 0)
    setsockopt(sender, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  error = sendmsg(sender, &message, MSG_NOSIGNAL | flags) < 0 ? errno : 0;
  close(sender);
  return error;
}
