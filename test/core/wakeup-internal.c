/* SPDX-License-Identifier: MIT
 *
 * The wakeup fds: their flags and sizes, and what happens when there are none
 * left.
 */

#include "../lib/harness.h"
#include "../../lib/hub.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

static struct uvsig__hub* hub(void) {
  return f.sig.hub;
}

static void check_fd(int fd) {
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void open_as(uvsig_wakeup_t wakeup, size_t size) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = wakeup;
  options.buffer_size = size;
  fixture_open(&f, &options);
}

static void both_ends_of_a_pipe_are_non_blocking_and_close_on_exec(void) {
  struct stat st;

  open_as(UVSIG_WAKEUP_PIPE, 0);
  check_fd(hub()->wakeup.read_fd);
  check_fd(hub()->wakeup.write_fd);
  CHECK_EQ(fstat(hub()->wakeup.write_fd, &st), 0);
  CHECK(S_ISFIFO(st.st_mode));
  fixture_close(&f);
}

static void both_ends_of_a_socketpair_are_non_blocking_and_close_on_exec(void) {
  struct stat st;

  open_as(UVSIG_WAKEUP_SOCKETPAIR, 0);
  check_fd(hub()->wakeup.read_fd);
  check_fd(hub()->wakeup.write_fd);
  CHECK_EQ(fstat(hub()->wakeup.write_fd, &st), 0);
  CHECK(S_ISSOCK(st.st_mode));
  fixture_close(&f);
}

/* Another process, say, has its ends still. */
static void a_closed_one_wakes_no_loop(void) {
  struct pollfd backend;
  int fds[2];

  open_as(UVSIG_WAKEUP_PIPE, 0);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  uv_run(&f.loop, UV_RUN_NOWAIT); /* libuv tells the kernel of it */
  fds[0] = dup(hub()->wakeup.read_fd);
  fds[1] = dup(hub()->wakeup.write_fd);
  CHECK(fds[0] >= 0 && fds[1] >= 0);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(write(fds[1], "", 1), 1);
  backend.fd = uv_backend_fd(&f.loop);
  backend.events = POLLIN;
  CHECK_EQ(poll(&backend, 1, 0), 0);
  close(fds[0]);
  close(fds[1]);
  close_loop(&f.loop);
}

static int opened[2];

/* What is opened next has the numbers of what was closed. */
static void close_and_open(struct recorder* r) {
  int read_fd = hub()->wakeup.read_fd;

  CHECK_EQ(uvsig_close(r->w.sig, NULL), 0);
  CHECK_EQ(pipe2(opened, O_NONBLOCK | O_CLOEXEC), 0);
  CHECK_EQ(opened[0], read_fd);
  CHECK_EQ(write(opened[1], "mine", 4), 4);
}

static void check_not_read(uvsig_mode_t mode) {
  uvsig_options_t options;
  char text[8] = "";

  uvsig_options_init(&options);
  options.mode = mode;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  a.then = close_and_open;
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(read(opened[0], text, sizeof(text)), 4);
  CHECK_STR(text, "mine");
  close(opened[0]);
  close(opened[1]);
  close_loop(&f.loop);
}

static void what_a_callback_opens_after_it_closes_is_not_read(void) {
  check_not_read(UVSIG_MODE_BYTES);
  check_not_read(UVSIG_MODE_WAKE_ONLY);
}

static void go_on_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(hub()->wakeup.read_fd, STDIN_FILENO);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void descriptor_0_is_one_like_others(void) {
  open_as(UVSIG_WAKEUP_PIPE, 0);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(close(STDIN_FILENO), 0);
  CHECK_EQ(uvsig_init(&f.loop, &f.sig, NULL), 0);
  CHECK_EQ(hub()->wakeup.read_fd, STDIN_FILENO);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(run_forked(go_on_in_child), 0);
  fixture_close(&f);
  CHECK_EQ(open("/dev/null", O_RDONLY), STDIN_FILENO);
}

static void no_descriptor_is_left_after_exec(void) {
  int status;
  pid_t pid;

  open_as(UVSIG_WAKEUP_PIPE, 0);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  fflush(NULL);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    char script[128];

    snprintf(script,
             sizeof(script),
             "[ -e /dev/fd/0 ] && [ ! -e /dev/fd/%d ] && [ ! -e /dev/fd/%d ]",
             hub()->wakeup.read_fd,
             hub()->wakeup.write_fd);
    execl("/bin/sh", "sh", "-c", script, (char*) NULL);
    _exit(127);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK_EQ(status, 0);
  fixture_close(&f);
}

static void the_buffer_size_of_a_pipe_is_as_asked_for(void) {
  open_as(UVSIG_WAKEUP_PIPE, 16384);
  CHECK_EQ(hub()->wakeup.capacity, 16384);
#ifdef F_GETPIPE_SZ
  CHECK_EQ(fcntl(hub()->wakeup.write_fd, F_GETPIPE_SZ), 16384);
#endif
  fixture_close(&f);
}

static int send_buffer(void) {
  int size;
  socklen_t length = sizeof(size);

  CHECK_EQ(
      getsockopt(hub()->wakeup.write_fd, SOL_SOCKET, SO_SNDBUF, &size, &length),
      0);
  return size;
}

static void a_socketpair_is_as_large_as_allowed_unless_a_size_is_asked_for(
    void) {
  int fds[2];
  int normal;
  int small;
  int large;
  socklen_t length = sizeof(normal);

  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  CHECK_EQ(getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &normal, &length), 0);
  close(fds[0]);
  close(fds[1]);

  open_as(UVSIG_WAKEUP_SOCKETPAIR, 0);
  large = send_buffer();
  /* A byte is charged 256 at least. */
  CHECK_EQ(hub()->wakeup.capacity, large / 256 + 1);
  fixture_close(&f);
  open_as(UVSIG_WAKEUP_SOCKETPAIR, 8192);
  small = send_buffer();
  fixture_close(&f);
  CHECK(large > normal);
  CHECK(small >= 8192);
  CHECK(small < normal);
}

static void a_size_that_the_system_refuses_is_an_error_and_leaves_nothing(
    void) {
#ifdef F_SETPIPE_SZ
  uvsig_options_t options;
  uv_loop_t loop;
  uvsig_t sig;
  int fds;
  int err;

  CHECK_EQ(uv_loop_init(&loop), 0);
  fds = open_fds();
  uvsig_options_init(&options);
  options.buffer_size = INT_MAX;
  /* The user's limit, or, for root, the kernel's own. */
  err = uvsig_init(&loop, &sig, &options);
  CHECK(err == UV_EPERM || err == UV_EINVAL || err == UV_ENOMEM);
  CHECK_EQ(open_fds(), fds);
  close_loop(&loop);
#else
  skip_test("the size of a pipe cannot be set here");
#endif
}

static void set_limit(rlim_t soft) {
  struct rlimit limit;

  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = soft;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void without_descriptors(uvsig_wakeup_t wakeup) {
  uvsig_options_t options;
  struct rlimit before;
  uv_loop_t loop;
  uvsig_t sig;
  int lowest;
  int spare;

  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  lowest = dup(0);
  CHECK(lowest >= 0);
  close(lowest);
  uvsig_options_init(&options);
  options.wakeup = wakeup;

  /* None left, then one. */
  for (spare = 0; spare < 2; spare++) {
    set_limit((rlim_t) lowest + (rlim_t) spare);
    CHECK_EQ(uvsig_init(&loop, &sig, &options), UV_EMFILE);
  }
  set_limit(before.rlim_cur);
  CHECK_EQ(uvsig_init(&loop, &sig, &options), 0);
  recorder_init(&a, &sig);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&loop, &a.calls, 1);
  CHECK_EQ(uvsig_close(&sig, NULL), 0);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

static void without_descriptors_init_says_emfile_and_works_afterwards(void) {
  without_descriptors(UVSIG_WAKEUP_PIPE);
}

static void without_descriptors_a_socketpair_says_emfile_too(void) {
  skip_under_valgrind("valgrind's socketpair() says EBADF then");
  without_descriptors(UVSIG_WAKEUP_SOCKETPAIR);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(both_ends_of_a_pipe_are_non_blocking_and_close_on_exec),
      TEST(both_ends_of_a_socketpair_are_non_blocking_and_close_on_exec),
      TEST(a_closed_one_wakes_no_loop),
      TEST(what_a_callback_opens_after_it_closes_is_not_read),
      TEST(descriptor_0_is_one_like_others),
      TEST(no_descriptor_is_left_after_exec),
      TEST(the_buffer_size_of_a_pipe_is_as_asked_for),
      TEST(a_socketpair_is_as_large_as_allowed_unless_a_size_is_asked_for),
      TEST(a_size_that_the_system_refuses_is_an_error_and_leaves_nothing),
      TEST(without_descriptors_init_says_emfile_and_works_afterwards),
      TEST(without_descriptors_a_socketpair_says_emfile_too),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
