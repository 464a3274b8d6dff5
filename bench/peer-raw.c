/* SPDX-License-Identifier: MIT
 *
 * The floors, which are no libraries: a handler that does nothing, and one that
 * writes a byte to a pipe whose other end is in an epoll set, read by a loop
 * that does nothing else.
 */

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <unistd.h>

static void install(int signum, struct sigaction* action) {
  sigfillset(&action->sa_mask);
  action->sa_flags |= SA_RESTART;
  check_errno(sigaction(signum, action, NULL), "sigaction");
}

/* --- An empty handler ----------------------------------------------------- */

static void do_nothing(int signum) {
  (void) signum;
}

static void do_nothing_with_info(int signum, siginfo_t* info, void* context) {
  (void) signum;
  (void) info;
  (void) context;
}

static void handler_open(struct side* side) {
  (void) side;
}

static void handler_prepare(struct side* side, int signum, unsigned n) {
  (void) n;
  side->signum = signum;
}

static void handler_start(struct side* side, unsigned i) {
  struct sigaction action = {.sa_handler = do_nothing};

  (void) i;
  install(side->signum, &action);
}

static void handler_start_with_info(struct side* side, unsigned i) {
  struct sigaction action = {.sa_flags = SA_SIGINFO};

  (void) i;
  action.sa_sigaction = do_nothing_with_info;
  install(side->signum, &action);
}

const struct peer raw_handler = {.name = "empty handler",
                                 .flags = IS_FLOOR,
                                 .open = handler_open,
                                 .prepare = handler_prepare,
                                 .start = handler_start};

/* The kernel copies the siginfo_t for it. */
const struct peer raw_handler_siginfo = {.name = "empty SA_SIGINFO handler",
                                         .flags = IS_FLOOR,
                                         .open = handler_open,
                                         .prepare = handler_prepare,
                                         .start = handler_start_with_info};

/* --- A pipe and epoll ----------------------------------------------------- */

static int write_fd; /* the handler's */
static int read_fd;
static int epoll_fd;
static struct side* sides[UCHAR_MAX + 1]; /* by signal number */

static void write_byte(int signum) {
  int saved_errno = errno;
  unsigned char byte = (unsigned char) signum;

  if (write(write_fd, &byte, 1) != 1)
    errno = EAGAIN; /* lost */
  errno = saved_errno;
}

static void pipe_open(struct side* side) {
  struct epoll_event event = {.events = EPOLLIN};
  int fds[2];

  (void) side;
  check_errno(pipe2(fds, O_CLOEXEC | O_NONBLOCK), "pipe2");
  read_fd = fds[0];
  write_fd = fds[1];
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  check_errno(epoll_fd, "epoll_create1");
  check_errno(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, read_fd, &event), "epoll_ctl");
}

static void pipe_prepare(struct side* side, int signum, unsigned n) {
  (void) n;
  side->signum = signum;
  sides[signum] = side;
}

static void pipe_start(struct side* side, unsigned i) {
  struct sigaction action = {.sa_handler = write_byte};

  (void) i;
  install(side->signum, &action);
}

static void pipe_turn(struct side* side, bool wait) {
  unsigned char bytes[4096];
  struct epoll_event event;
  ssize_t n;
  ssize_t i;

  (void) side;
  if (epoll_wait(epoll_fd, &event, 1, wait ? -1 : 0) != 1)
    return;
  n = read(read_fd, bytes, sizeof(bytes));
  for (i = 0; i < n; i++)
    caught(sides[bytes[i]], 1);
}

static void pipe_run(struct side* side) {
  side->left = false;
  while (!side->left)
    pipe_turn(side, true);
}

static void pipe_leave(struct side* side) {
  side->left = true;
}

const struct peer raw_pipe = {.name = "pipe + epoll",
                              .flags = CAN_LOOP | CAN_REALTIME | IS_FLOOR,
                              .open = pipe_open,
                              .prepare = pipe_prepare,
                              .start = pipe_start,
                              .turn = pipe_turn,
                              .run = pipe_run,
                              .leave = pipe_leave};
