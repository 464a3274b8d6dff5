/* SPDX-License-Identifier: MIT
 *
 * The messages of a successor (lib/shutdown/ready.c). Any process may send some
 * to the socket, so they are anything. An input:
 *   byte 1  bit 0: from another process than the successor; bit 1: with a
 *           descriptor; bit 2: twice
 *   byte 2  how many lines of 16 bytes come before the rest
 *   byte 3  and how many bytes in one more
 *   rest    the message's end
 */

#include "fuzz.h"

#include "../../lib/shutdown/ready.h"

#include <errno.h>
#include <sys/socket.h>

enum { OTHER = 1, WITH_FD = 2, TWICE = 4, LINE = 16, READ = 4095 };

static int fd;
static int sender;
static struct sockaddr_un address;
static socklen_t address_size;

/* The name is as NOTIFY_SOCKET has it: '@' for the null byte. */
int LLVMFuzzerInitialize(int* argc, char*** argv) {
  char name[sizeof(struct sockaddr_un)];

  (void) argc;
  (void) argv;
  memset(name, 'x', sizeof(name));
  CHECK(uvsig__ready_open(&fd, name) == 0);
  CHECK(name[0] == '@' && strlen(name) > 1);
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
  address_size =
      (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name));
  sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK(sender >= 0);
  return 0;
}

static void send_message(char* bytes, size_t size, bool with_fd) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {.align = {.cmsg_level = SOL_SOCKET,
                         .cmsg_type = SCM_RIGHTS,
                         .cmsg_len = CMSG_LEN(sizeof(int))}};
  struct iovec iov = {bytes, size};
  struct msghdr message = {.msg_name = &address,
                           .msg_namelen = address_size,
                           .msg_iov = &iov,
                           .msg_iovlen = 1};
  ssize_t n;

  if (with_fd) {
    memcpy(CMSG_DATA(&control.align), &sender, sizeof(sender));
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof(control.bytes);
  }
  do
    n = sendmsg(sender, &message, 0);
  while (n < 0 && errno == EINTR);
  CHECK(n == (ssize_t) size);
}

/* A whole line of the message, which a null byte ends. The last one may go on
 * where the message is longer than what is read of it. */
static bool says_ready(const char* text, size_t size) {
  char heard[READ + 1];
  const char* at = heard;
  size_t length;

  snprintf(heard, sizeof(heard), "%s", text);
  for (;; at += length + 1) {
    length = strcspn(at, "\n");
    if (length == 7 && memcmp(at, "READY=1", 7) == 0 &&
        (at[7] == '\n' || size <= READ))
      return true;
    if (at[length] == 0)
      return false;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  struct fuzz_input input = {data, size};
  uint8_t flags = fuzz_byte(&input);
  size_t lines = (size_t) fuzz_byte(&input) * LINE;
  size_t before = lines + fuzz_byte(&input);
  char* padding = fuzz_alloc(before + input.left + 1);
  uv_pid_t pid = (flags & OTHER) != 0 ? getppid() : getpid();
  int times = (flags & TWICE) != 0 ? 2 : 1;
  int free_fd = fuzz_free_fd();
  bool is_ready;
  bool wanted;
  char* text;
  size_t i;
  int k;

  size = before + input.left;
  for (i = 0; i < before; i++)
    padding[i] = i < lines && i % LINE == LINE - 1 ? '\n' : 'x';
  if (input.left > 0)
    memcpy(padding + before, input.at, input.left);
  padding[size] = 0;
  text = fuzz_text(padding, size);
  wanted = (flags & OTHER) == 0 && says_ready(text, size);

  for (k = 0; k < times; k++)
    send_message(text, size, (flags & WITH_FD) != 0);
  for (k = 0; k < times; k++) {
    is_ready = !wanted;
    CHECK(uvsig__ready_receive(fd, pid, &is_ready));
    CHECK(is_ready == wanted);
  }
  is_ready = true;
  CHECK(!uvsig__ready_receive(fd, pid, &is_ready));
  CHECK(!is_ready);
  CHECK(fuzz_free_fd() == free_fd);
  free(padding);
  free(text);
  return 0;
}
