/* SPDX-License-Identifier: MIT
 *
 * Where a successor says that it is ready: a socket in place of the service
 * manager's. Runs in the loop thread.
 */

#include "ready.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

/* An abstract name that the kernel chooses (unix(7), "Autobind feature"). Who
 * sends is looked at: any process may. `name` is as NOTIFY_SOCKET has it. */
int uvsig__ready_open(int* fd, char name[sizeof(struct sockaddr_un)]) {
#ifdef __linux__
  struct sockaddr_un address;
  socklen_t size = sizeof(address);
  const int on = 1;
  int err;

  memset(&address, 0, sizeof(address)); /* for valgrind: bind() reads 2 bytes */
  address.sun_family = AF_UNIX;
  *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*fd < 0)
    return UVSIG__ERR(errno);
  if (setsockopt(*fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0 &&
      bind(*fd, (struct sockaddr*) &address, sizeof(sa_family_t)) == 0 &&
      getsockname(*fd, (struct sockaddr*) &address, &size) == 0) {
    size -= offsetof(struct sockaddr_un, sun_path);
    memcpy(name, address.sun_path, size);
    name[0] = '@';
    name[size] = 0;
    return 0;
  }
  err = UVSIG__ERR(errno);
  close(*fd);
  return err;
#else
  (void) fd;
  (void) name;
  return UV_ENOTSUP;
#endif
}

#ifdef __linux__
/* Does a message have this line? The last line of one that is cut may go on. */
static bool has_line(const char* text, bool is_cut, const char* line) {
  size_t length = strlen(line);

  while (text != NULL) {
    if (strncmp(text, line, length) == 0 &&
        (text[length] == '\n' || (text[length] == 0 && !is_cut)))
      return true;
    text = strchr(text, '\n');
    if (text != NULL)
      text++;
  }
  return false;
}
#endif

/* Receive one message. Returns whether there was one; `*is_ready`: the
 * successor itself says so. Descriptors that come with it find no room, and are
 * closed. */
bool uvsig__ready_receive(int fd, uv_pid_t pid, bool* is_ready) {
#ifdef __linux__
  char text[4096];
  union {
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } control;
  struct iovec iov = {text, sizeof(text) - 1};
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};
  const struct cmsghdr* at;
  struct ucred sender = {0, 0, 0};
  ssize_t n;

  *is_ready = false;
  do
    n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return false;
  text[n] = 0;
  at = CMSG_FIRSTHDR(&message);
  if (at != NULL && at->cmsg_level == SOL_SOCKET &&
      at->cmsg_type == SCM_CREDENTIALS)
    memcpy(&sender, CMSG_DATA(at), sizeof(sender));
  *is_ready = sender.pid == pid &&
              has_line(text, (message.msg_flags & MSG_TRUNC) != 0, "READY=1");
  return true;
#else
  (void) fd;
  (void) pid;
  *is_ready = false;
  return false;
#endif
}
