/* SPDX-License-Identifier: MIT
 *
 * What a successor says, on the socket where it is heard: whole lines, its own,
 * and with the kernel's word for who sends. Linked with --wrap: a call is refused.
 */

#include "../lib/harness.h"

#include "../../lib/shutdown/ready.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 4095 }; /* of a message so much is read */

#ifdef __linux__

static int fd;
static int sender;
static struct sockaddr_un address;
static socklen_t address_size;

/* --- The socket ----------------------------------------------------------- */

enum call { NONE, SOCKET, SETSOCKOPT, BIND, GETSOCKNAME };
static enum call refused;

static bool refuses(enum call call) {
  errno = ENOBUFS;
  return refused == call;
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol) {
  return refuses(SOCKET) ? -1 : __real_socket(domain, type, protocol);
}

int __real_setsockopt(int s, int level, int name, const void* at, socklen_t n);
int __wrap_setsockopt(int s, int level, int name, const void* at, socklen_t n);
int __wrap_setsockopt(int s, int level, int name, const void* at, socklen_t n) {
  return refuses(SETSOCKOPT) ? -1 : __real_setsockopt(s, level, name, at, n);
}

int __real_bind(int s, const struct sockaddr* name, socklen_t size);
int __wrap_bind(int s, const struct sockaddr* name, socklen_t size);
int __wrap_bind(int s, const struct sockaddr* name, socklen_t size) {
  return refuses(BIND) ? -1 : __real_bind(s, name, size);
}

int __real_getsockname(int s, struct sockaddr* name, socklen_t* size);
int __wrap_getsockname(int s, struct sockaddr* name, socklen_t* size);
int __wrap_getsockname(int s, struct sockaddr* name, socklen_t* size) {
  return refuses(GETSOCKNAME) ? -1 : __real_getsockname(s, name, size);
}

static void whatever_is_refused_nothing_is_left_open(void) {
  char name[sizeof(struct sockaddr_un)];
  int open = open_fds();

  for (refused = SOCKET; refused <= GETSOCKNAME; refused++) {
    CHECK_EQ(uvsig__ready_open(&fd, name), UV_ENOBUFS);
    CHECK_EQ(open_fds(), open);
  }
}

static void open_ends(void) {
  char name[sizeof(struct sockaddr_un)];

  memset(name, 'x', sizeof(name));
  CHECK_EQ(uvsig__ready_open(&fd, name), 0);
  CHECK_EQ(name[0], '@');
  CHECK_EQ(strlen(name), 6); /* unix(7): five digits */
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
  address_size =
      (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name));
  sender = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK(sender >= 0);
}

static void close_ends(void) {
  CHECK_EQ(close(fd), 0);
  CHECK_EQ(close(sender), 0);
}

static void send_text(const char* text, size_t size) {
  CHECK_EQ(sendto(sender,
                  text,
                  size,
                  0,
                  (const struct sockaddr*) &address,
                  address_size),
           size);
}

/* One message: does it say that `pid` is ready? */
static bool says_ready(uv_pid_t pid) {
  bool is_ready = true;

  CHECK(uvsig__ready_receive(fd, pid, &is_ready));
  return is_ready;
}

/* --- Its text ------------------------------------------------------------- */

static void descriptor_0_is_one_like_others(void) {
  char name[sizeof(struct sockaddr_un)];
  int input = dup(STDIN_FILENO);

  CHECK(input > 0);
  CHECK_EQ(close(STDIN_FILENO), 0);
  CHECK_EQ(uvsig__ready_open(&fd, name), 0);
  CHECK_EQ(fd, STDIN_FILENO);
  CHECK_EQ(dup2(input, STDIN_FILENO), STDIN_FILENO);
  CHECK_EQ(close(input), 0);
}

static void a_whole_line_of_its_own_says_that_it_is_ready(void) {
  static const struct {
    const char* text;
    bool is_ready;
  } messages[] = {
      {"READY=1", true},
      {"READY=1\n", true},
      {"\nREADY=1", true},
      {"STATUS=on\nREADY=1", true},
      {"STATUS=on\nREADY=1\nMAINPID=5\n", true},
      {"READY=0\nREADY=1\n", true},
      {"READY=", false},
      {"READY=10", false},
      {"READY=1 ", false},
      {"XREADY=1", false},
      {"STATUS=READY=1\n", false},
      {"\n\n", false},
      {"", false},
  };
  bool is_ready = true;
  size_t i;

  open_ends();
  for (i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
    send_text(messages[i].text, strlen(messages[i].text));
    if (says_ready(getpid()) != messages[i].is_ready)
      check_failed(__FILE__, __LINE__, "of \"%s\"", messages[i].text);
  }
  CHECK(!uvsig__ready_receive(fd, getpid(), &is_ready));
  CHECK(!is_ready);
  close_ends();
}

static void another_processs_word_is_none(void) {
  open_ends();
  send_text("READY=1", 7);
  CHECK(!says_ready(getppid()));
  send_text("READY=1", 7);
  CHECK(says_ready(getpid()));
  close_ends();
}

/* The end of a message is put after so many bytes of something else. */
static bool is_ready_after(size_t size, const char* end) {
  static char text[2 * ROOM];

  CHECK(size + strlen(end) < sizeof(text));
  memset(text, 'x', size);
  text[size - 1] = '\n';
  strcpy(text + size, end);
  send_text(text, strlen(text));
  return says_ready(getpid());
}

static void a_line_that_may_be_cut_is_none(void) {
  open_ends();
  CHECK(is_ready_after(ROOM - 7, "READY=1"));
  CHECK(!is_ready_after(ROOM - 6, "READY=1"));
  CHECK(!is_ready_after(ROOM - 7, "READY=10"));
  CHECK(!is_ready_after(ROOM - 7, "READY=1\n"));
  CHECK(is_ready_after(ROOM - 8, "READY=1\nX=1"));
  close_ends();
}

/* --- What comes beside the text -------------------------------------------- */

static void send_with_descriptor(int to) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control = {.align = {.cmsg_level = SOL_SOCKET,
                         .cmsg_type = SCM_RIGHTS,
                         .cmsg_len = CMSG_LEN(sizeof(int))}};
  char text[] = "READY=1";
  struct iovec iov = {text, 7};
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};

  memcpy(CMSG_DATA(&control.align), &sender, sizeof(int));
  if (to == sender) {
    message.msg_name = &address;
    message.msg_namelen = address_size;
  }
  CHECK_EQ(sendmsg(to, &message, 0), 7);
}

static void a_descriptor_that_comes_with_it_is_closed(void) {
  int open;

  open_ends();
  open = open_fds();
  send_with_descriptor(sender);
  CHECK(says_ready(getpid()));
  CHECK_EQ(open_fds(), open);
  close_ends();
}

/* Nor is a descriptor taken for a process's number. */
static void without_the_kernels_word_it_is_none(void) {
  int ends[2];
  int next;

  open_ends();
  CHECK_EQ(close(fd), 0);
  CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends), 0);
  fd = ends[0];
  CHECK_EQ(send(ends[1], "READY=1", 7, 0), 7);
  CHECK(!says_ready(getpid()));
  send_with_descriptor(ends[1]);
  next = dup(fd);
  CHECK_EQ(close(next), 0);
  CHECK(!says_ready(next));
  CHECK_EQ(close(next), 0); /* it had the credentials' room */
  CHECK_EQ(close(ends[1]), 0);
  close_ends();
}

/* Of another level, but by number the type of the credentials. */
static void the_word_of_another_protocol_is_none(void) {
  struct sockaddr_in name = {.sin_family = AF_INET};
  socklen_t size = sizeof(name);
  const int on = 1;
  const int ttl = 77;

  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  sender = socket(AF_INET, SOCK_DGRAM, 0);
  CHECK(fd >= 0 && sender >= 0);
  CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)), 0);
  CHECK_EQ(bind(fd, (struct sockaddr*) &name, size), 0);
  CHECK_EQ(getsockname(fd, (struct sockaddr*) &name, &size), 0);
  CHECK_EQ(connect(sender, (struct sockaddr*) &name, size), 0);
  CHECK_EQ(setsockopt(sender, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)), 0);
  CHECK_EQ(send(sender, "READY=1", 7, 0), 7);
  CHECK(!says_ready(ttl));
  close_ends();
}

#else

static void it_is_heard_on_linux_alone(void) {
  char name[sizeof(struct sockaddr_un)];
  int fd;

  CHECK_EQ(uvsig__ready_open(&fd, name), UV_ENOTSUP);
}

#endif

int main(void) {
  const struct CMUnitTest tests[] = {
#ifdef __linux__
      TEST(whatever_is_refused_nothing_is_left_open),
      TEST(descriptor_0_is_one_like_others),
      TEST(a_whole_line_of_its_own_says_that_it_is_ready),
      TEST(another_processs_word_is_none),
      TEST(a_line_that_may_be_cut_is_none),
      TEST(a_descriptor_that_comes_with_it_is_closed),
      TEST(without_the_kernels_word_it_is_none),
      TEST(the_word_of_another_protocol_is_none),
#else
      TEST(it_is_heard_on_linux_alone),
#endif
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
