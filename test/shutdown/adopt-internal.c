/* SPDX-License-Identifier: MIT
 *
 * A successor whose predecessor has ended, and the helper that it forks: what
 * the helper keeps open, what each of the two does where a call fails, and how
 * long one waits for the other. Linked with --wrap: the predecessor's end is the
 * test's to tell, and so is which calls fail. What they were called with is in
 * memory that the helper shares.
 */

#include "../lib/harness.h"

#include "../../lib/shutdown/adopt.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/wrap-syscall.h"

static pid_t self;

/* --- What the library calls ----------------------------------------------- */

static struct {
  bool has_lost;      /* the predecessor */
  unsigned looks;     /* for it */
  unsigned forks;     /* helpers */
  bool kills_helpers; /* as soon as there is one */
  int pipe_error;     /* of the next uv_pipe(), or 0 */
  int fork_error;
  int send_error; /* of this process's next message */
  int write_error;
  int wait_error; /* of the next wait for a helper's end */
  unsigned waits; /* for one */
  uint64_t time;  /* the clock, or 0: it runs */
} own;

static struct helpers {
  atomic_int refuses_range; /* the close_range() of this number, or 0 */
  atomic_int ranges;
  atomic_int closes;     /* descriptors that a helper has closed one by one */
  atomic_int sends;      /* messages that a helper has tried to send ... */
  atomic_int fails;      /* ... of which so many fail, the first ones ... */
  atomic_int send_error; /* ... with this */
  atomic_bool has_no_pipe;
  atomic_bool is_interrupted; /* its first wait */
  atomic_int waits;
  atomic_int limit;     /* ms, of its last wait */
  atomic_int events[2]; /* how that has ended */
} * helpers;

static int fail_once(int* error) {
  errno = *error;
  *error = 0;
  return -1;
}

pid_t __real_getppid(void);
pid_t __wrap_getppid(void);
pid_t __wrap_getppid(void) {
  own.looks++;
  return __real_getppid() + (own.has_lost ? 1 : 0);
}

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void) {
  siginfo_t info;
  pid_t pid;

  if (own.fork_error != 0)
    return fail_once(&own.fork_error);
  pid = __real_fork();
  own.forks++;
  if (pid > 0 && own.kills_helpers) {
    own.kills_helpers = false;
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(UNINTERRUPTED(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT)),
             0);
  }
  return pid;
}

int __real_uv_pipe(uv_file fds[2], int reading, int writing);
int __wrap_uv_pipe(uv_file fds[2], int reading, int writing);
int __wrap_uv_pipe(uv_file fds[2], int reading, int writing) {
  int error = own.pipe_error;

  CHECK_EQ(reading | writing, 0); /* the helper waits for its byte */
  own.pipe_error = 0;
  return error != 0 ? -error : __real_uv_pipe(fds, reading, writing);
}

ssize_t __real_sendmsg(int fd, const struct msghdr* message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr* message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr* message, int flags) {
  if (getpid() == self) {
    CHECK((flags & MSG_DONTWAIT) != 0);
    if (own.send_error != 0)
      return fail_once(&own.send_error);
  } else if (atomic_fetch_add(&helpers->sends, 1) <
             atomic_load(&helpers->fails)) {
    errno = atomic_load(&helpers->send_error);
    return -1;
  }
  return __real_sendmsg(fd, message, flags);
}

ssize_t __real_write(int fd, const void* data, size_t size);
ssize_t __wrap_write(int fd, const void* data, size_t size);
ssize_t __wrap_write(int fd, const void* data, size_t size) {
  if (own.write_error != 0)
    return fail_once(&own.write_error);
  return __real_write(fd, data, size);
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
  if (helpers != NULL && getpid() != self)
    atomic_fetch_add(&helpers->closes, 1);
  return __real_close(fd);
}

pid_t __real_waitpid(pid_t pid, int* status, int flags);
pid_t __wrap_waitpid(pid_t pid, int* status, int flags);
pid_t __wrap_waitpid(pid_t pid, int* status, int flags) {
  own.waits++;
  if (own.wait_error != 0)
    return fail_once(&own.wait_error);
  return __real_waitpid(pid, status, flags);
}

int __real_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now) {
  if (own.time == 0)
    return __real_clock_gettime(id, now);
  now->tv_sec = (time_t) (own.time / UVSIG__SECOND);
  now->tv_nsec = (long) (own.time % UVSIG__SECOND);
  return 0;
}

int __real_pipe(int fds[2]);
int __wrap_pipe(int fds[2]);
int __wrap_pipe(int fds[2]) {
  if (getpid() != self && atomic_load(&helpers->has_no_pipe)) {
    errno = EMFILE;
    return -1;
  }
  return __real_pipe(fds);
}

/* Of the helper's the one with two descriptors is its wait. */
int __real_poll(struct pollfd* fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout) {
  int n;

  if (helpers == NULL || getpid() == self)
    return __real_poll(fds, count, timeout);
  if (count == 1) { /* does this process live? */
    CHECK_EQ(timeout, 0);
    return __real_poll(fds, count, timeout);
  }
  atomic_store(&helpers->limit, timeout);
  if (atomic_fetch_add(&helpers->waits, 1) == 0 &&
      atomic_load(&helpers->is_interrupted)) {
    errno = EINTR;
    return -1;
  }
  n = __real_poll(fds, count, timeout);
  atomic_store(&helpers->events[0], fds[0].revents);
  atomic_store(&helpers->events[1], fds[1].revents);
  return n;
}

static bool refuses_syscall(long number, const long* arguments) {
  (void) arguments;
#ifdef SYS_close_range
  if (number == SYS_close_range && atomic_fetch_add(&helpers->ranges, 1) + 1 ==
                                       atomic_load(&helpers->refuses_range)) {
    errno = ENOSYS;
    return true;
  }
#endif
  (void) number;
  return false;
}

/* --- A successor, and its service manager --------------------------------- */

static struct uvsig__adoption a;
static struct uvsig__address service;
static uv_loop_t loop;
static int manager;

static void open_manager(void) {
  const int on = 1;
  socklen_t size = sizeof(service.name);

  manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(manager >= 0);
  service.name.sun_family = AF_UNIX;
  CHECK_EQ(bind(manager, (struct sockaddr*) &service.name, sizeof(sa_family_t)),
           0);
  CHECK_EQ(getsockname(manager, (struct sockaddr*) &service.name, &size), 0);
  service.size = size;
  CHECK_EQ(setsockopt(manager, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
}

static void open_successor(void) {
  self = getpid();
  helpers = mmap(NULL,
                 sizeof(*helpers),
                 PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS,
                 -1,
                 0);
  CHECK(helpers != MAP_FAILED);
  open_manager();
  CHECK_EQ(uv_loop_init(&loop), 0);
  uvsig__adoption_open(&a, &loop);
  if (own.looks == 0)
    skip_test("getppid() has another name here");
  uvsig__adoption_start(&a, &service);
  own.forks = 0; /* but for the harness's */
}

static void open_orphan(void) {
  open_successor();
  own.has_lost = true;
}

static void close_loop_of_it(void) {
  uvsig__adoption_close(&a);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

/* No helper is left. */
static void close_orphan(void) {
  CHECK_EQ(a.helper, 0);
  CHECK_EQ(__real_waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(errno, ECHILD);
  close_loop_of_it();
  CHECK_EQ(close(manager), 0);
}

static void turn(void) {
  uv_run(&loop, UV_RUN_NOWAIT);
  uv_sleep(1);
}

static bool is_looking(void) {
  return uv_is_active((uv_handle_t*) &a.timer) != 0;
}

static void run_to_the_end_of_it(void) {
  while (is_looking())
    turn();
}

/* The next message. Returns who has sent it; `fd` is a descriptor, or -1. */
static pid_t receive(const char* expected, int* fd) {
  char text[256] = "";
  char control[256];
  struct iovec iov = {text, sizeof(text) - 1};
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(control)};
  struct ucred sender = {0, 0, 0};
  struct cmsghdr* at;
  ssize_t n;

  *fd = -1;
  while ((n = recvmsg(manager, &message, MSG_CMSG_CLOEXEC)) < 0) {
    CHECK(errno == EAGAIN || errno == EINTR);
    turn();
  }
  for (at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at))
    if (at->cmsg_type == SCM_CREDENTIALS)
      memcpy(&sender, CMSG_DATA(at), sizeof(sender));
    else
      memcpy(fd, CMSG_DATA(at), sizeof(*fd));
  CHECK_STR(text, expected);
  return sender.pid;
}

static void expect_named(pid_t pid, pid_t by) {
  char text[40];
  int fd;

  snprintf(text, sizeof(text), "MAINPID=%ld", (long) pid);
  CHECK_EQ(receive(text, &fd), by);
  CHECK_EQ(fd, -1);
}

static void expect_nothing(void) {
  char byte;

  CHECK_EQ(recv(manager, &byte, 1, 0), -1);
  CHECK_EQ(errno, EAGAIN);
}

static void wait_for_a_helper(void) {
  while (a.helper == 0)
    turn();
}

/* Both names. Returns the descriptor that a helper waits for. */
static int expect_adopted(void) {
  pid_t helper;
  int fd;

  wait_for_a_helper();
  helper = a.helper;
  expect_named(helper, self);
  expect_named(self, helper);
  CHECK_EQ(receive("BARRIER=1", &fd), helper);
  CHECK(fd >= 0);
  return fd;
}

/* What it has sent has been read: the helper ends, and all is done. */
static void let_end(int barrier) {
  CHECK_EQ(close(barrier), 0);
  run_to_the_end_of_it();
}

static void be_adopted(void) {
  let_end(expect_adopted());
  expect_nothing();
  close_orphan();
}

/* --- It goes well --------------------------------------------------------- */

static void it_is_named_by_a_helper(void) {
  int fds;

  open_orphan();
  fds = open_fds();
  let_end(expect_adopted());
  CHECK_EQ(own.forks, 1);
  CHECK_EQ(open_fds(), fds);
  close_orphan();
}

static void nothing_is_done_while_the_predecessor_is_there(void) {
  open_successor();
  while (own.looks < 4)
    turn();
  CHECK_EQ(own.forks, 0);
  CHECK(is_looking());
  CHECK(!uvsig__adoption_is_busy(&a));
  CHECK_EQ(uv_timer_get_repeat(&a.timer), 100);
  uvsig__adoption_start(&a, &service);
  CHECK(uv_timer_get_due_in(&a.timer) <= 100);
  uvsig__adoption_stop(&a);
  CHECK(!is_looking());
  close_orphan();
}

/* --- What the helper has of this process ---------------------------------- */

static void wait_for_its_wait(void) {
  while (atomic_load(&helpers->waits) == 0)
    turn();
}

static void check_open(pid_t pid, int kept) {
  char path[64];
  struct dirent* entry;
  unsigned found = 0;
  unsigned count = 0;
  DIR* fds;

  snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
  fds = opendir(path);
  CHECK(fds != NULL);
  while ((entry = readdir(fds)) != NULL)
    if (entry->d_name[0] != '.') {
      count++;
      found += atoi(entry->d_name) == kept;
    }
  CHECK_EQ(closedir(fds), 0);
  CHECK_EQ(found, 1);
  CHECK_EQ(count, 2); /* and one end of its own pipe */
}

static void check_kept(int kept, bool one_by_one) {
  int high = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 300);
  int barrier;

  skip_under_valgrind("it has descriptors of its own");
  CHECK(high >= 300);
  barrier = expect_adopted();
  wait_for_its_wait();
  check_open(a.helper, kept);
  CHECK_EQ(atomic_load(&helpers->closes) > 100, one_by_one);
  let_end(barrier);
  CHECK_EQ(close(high), 0);
  close_orphan();
}

/* The lowest that is free is the pipe's. */
static int next_fd(void) {
  int fd = dup(STDERR_FILENO);

  CHECK(fd >= 0);
  CHECK_EQ(close(fd), 0);
  return fd;
}

static void the_helper_keeps_its_pipe_alone(void) {
  open_orphan();
  check_kept(next_fd(), false);
}

/* Standard input is closed. */
static void also_where_that_is_descriptor_0(void) {
  open_orphan();
  CHECK_EQ(close(STDIN_FILENO), 0);
  CHECK_EQ(next_fd(), STDIN_FILENO);
  check_kept(STDIN_FILENO, false);
  CHECK_EQ(open("/dev/null", O_RDONLY), STDIN_FILENO);
}

static void refuse_range(int nth) {
  open_orphan();
  atomic_store(&helpers->refuses_range, nth);
  check_kept(next_fd(), true);
}

static void also_without_close_range(void) {
  refuse_range(1);
}

static void also_where_it_is_refused_the_second_time(void) {
  refuse_range(2);
}

static void read_blocked(const char* process, char* line, size_t size) {
  char path[64];
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%s/status", process);
  file = fopen(path, "re");
  CHECK(file != NULL);
  do
    CHECK(fgets(line, (int) size, file) != NULL);
  while (strncmp(line, "SigBlk:", 7) != 0);
  fclose(file);
}

/* And the mask of this process is as before. */
static void no_signal_is_the_helpers(void) {
  sigset_t set = set_of(SIGUSR1);
  char blocked[128];
  char name[16];
  char all[128];
  sigset_t full;
  sigset_t mask;
  int barrier;

  skip_under_valgrind("what a thread blocks there is valgrind's to know");
  open_orphan();
  sigfillset(&full);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &full, &mask), 0);
  read_blocked("thread-self", all, sizeof(all));
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  barrier = expect_adopted();
  snprintf(name, sizeof(name), "%d", (int) a.helper);
  read_blocked(name, blocked, sizeof(blocked));
  CHECK_STR(blocked, all);
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
  let_end(barrier);
  close_orphan();
}

/* --- The helper's messages ------------------------------------------------ */

static void fail_its_sends(int times, int error) {
  atomic_store(&helpers->fails, times);
  atomic_store(&helpers->send_error, error);
}

static void pass_over(int error) {
  open_orphan();
  fail_its_sends(3, error);
  be_adopted();
  CHECK_EQ(atomic_load(&helpers->sends), 5);
}

static void the_helper_sends_until_there_is_room(void) {
  pass_over(EAGAIN);
}

static void or_until_it_is_not_interrupted(void) {
  pass_over(EINTR);
}

/* Close the end that this process has of its pipe: it knows of no other end. */
static void close_link(void) {
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

  CHECK(fd >= 0);
  CHECK_EQ(dup2(fd, a.link), a.link);
  CHECK_EQ(close(fd), 0);
}

static void but_not_longer_than_this_process_lives(void) {
  int status;

  open_orphan();
  fail_its_sends(INT_MAX, EAGAIN);
  wait_for_a_helper();
  expect_named(a.helper, self);
  while (atomic_load(&helpers->sends) < 3)
    turn();
  uvsig__adoption_stop(&a);
  close_link();
  CHECK_EQ(UNINTERRUPTED(__real_waitpid(a.helper, &status, 0)), a.helper);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 1);
  CHECK(!uvsig__adoption_is_busy(&a));
  close_orphan();
}

/* It has ended without its work: there is another one. */
static void a_helper_that_cannot_send_is_replaced(void) {
  open_orphan();
  fail_its_sends(1, ECONNREFUSED);
  wait_for_a_helper();
  expect_named(a.helper, self);
  while (own.forks < 2)
    turn();
  be_adopted();
  CHECK_EQ(own.forks, 2);
  CHECK_EQ(atomic_load(&helpers->sends), 3);
}

static void so_is_one_that_was_killed(void) {
  int fds;

  open_orphan();
  fds = open_fds();
  own.kills_helpers = true;
  wait_for_a_helper();
  expect_named(a.helper, self);
  while (own.forks < 2)
    turn();
  let_end(expect_adopted());
  CHECK_EQ(own.forks, 2);
  CHECK_EQ(open_fds(), fds);
  close_orphan();
}

/* --- The helper's wait ---------------------------------------------------- */

static void it_does_not_wait_for_what_it_cannot_ask(void) {
  pid_t helper;

  open_orphan();
  atomic_store(&helpers->has_no_pipe, true);
  wait_for_a_helper();
  helper = a.helper;
  expect_named(helper, self);
  expect_named(self, helper);
  run_to_the_end_of_it();
  expect_nothing();
  CHECK_EQ(own.forks, 1);
  CHECK_EQ(atomic_load(&helpers->waits), 0);
  close_orphan();
}

static void it_waits_until_what_it_has_sent_was_read(void) {
  int barrier;

  open_orphan();
  atomic_store(&helpers->is_interrupted, true);
  barrier = expect_adopted();
  while (atomic_load(&helpers->waits) < 2)
    turn();
  CHECK_EQ(atomic_load(&helpers->limit), 5 * 60 * 1000);
  let_end(barrier);
  CHECK_EQ(atomic_load(&helpers->waits), 2);
  CHECK_EQ(atomic_load(&helpers->events[0]), 0);
  CHECK_EQ(atomic_load(&helpers->events[1]), POLLHUP);
  close_orphan();
}

static void or_until_this_process_has_ended(void) {
  int barrier;

  open_orphan();
  barrier = expect_adopted();
  wait_for_its_wait();
  close_link();
  run_to_the_end_of_it();
  CHECK_EQ(atomic_load(&helpers->events[0]), POLLHUP);
  CHECK_EQ(atomic_load(&helpers->events[1]), 0);
  CHECK_EQ(close(barrier), 0);
  close_orphan();
}

static void meanwhile_there_is_no_other(void) {
  int barrier;

  open_orphan();
  barrier = expect_adopted();
  own.waits = 0;
  while (own.waits < 3) /* it has looked for its end */
    turn();
  CHECK_EQ(own.forks, 1);
  let_end(barrier);
  CHECK_EQ(own.forks, 1);
  close_orphan();
}

/* --- What fails in this process ------------------------------------------- */

/* It has been found out: nothing has changed, and it is tried again. */
static void check_tried_again(int* error, unsigned forks) {
  int fds;

  open_orphan();
  fds = open_fds();
  *error = ENOMEM;
  while (*error != 0)
    turn();
  CHECK_EQ(a.helper, 0);
  CHECK_EQ(open_fds(), fds);
  CHECK_EQ(atomic_load(&helpers->sends), 0);
  expect_nothing();
  CHECK(is_looking());
  be_adopted();
  CHECK_EQ(own.forks, forks);
}

static void without_a_pipe_it_is_tried_again(void) {
  check_tried_again(&own.pipe_error, 1);
}

/* The program's own children are nobody else's to wait for. */
static void without_a_process_too(void) {
  siginfo_t info;
  pid_t child = __real_fork();

  CHECK(child >= 0);
  if (child == 0)
    _exit(0);
  CHECK_EQ(UNINTERRUPTED(waitid(P_PID, (id_t) child, &info, WEXITED | WNOWAIT)),
           0);
  open_orphan();
  own.fork_error = ENOMEM;
  while (own.fork_error != 0)
    turn();
  CHECK_EQ(UNINTERRUPTED(__real_waitpid(child, NULL, 0)), child);
  be_adopted();
  CHECK_EQ(own.forks, 1);
}

/* The helper is not to name anything, and ends. */
static void without_room_at_the_service_manager_too(void) {
  own.wait_error = EINTR;
  check_tried_again(&own.send_error, 2);
  CHECK_EQ(own.wait_error, 0);
}

/* Nor is a helper waited for that the system has waited for. */
static void whatever_becomes_of_the_helper(void) {
  open_orphan();
  own.send_error = ENOBUFS;
  own.wait_error = ECHILD;
  while (own.send_error != 0)
    turn();
  CHECK_EQ(own.wait_error, 0);
  CHECK_EQ(a.helper, 0);
  CHECK(UNINTERRUPTED(__real_waitpid(-1, NULL, 0)) > 0);
  be_adopted();
}

static void check_given_up(int* error) {
  int fds;

  open_orphan();
  fds = open_fds();
  *error = ECONNREFUSED;
  run_to_the_end_of_it();
  CHECK_EQ(*error, 0);
  CHECK_EQ(own.forks, 1);
  CHECK_EQ(open_fds(), fds);
  CHECK_EQ(atomic_load(&helpers->sends), 0);
}

static void without_a_service_manager_it_is_not(void) {
  check_given_up(&own.send_error);
  expect_nothing();
  close_orphan();
}

static void nor_where_the_helper_cannot_be_told(void) {
  char text[64];

  check_given_up(&own.write_error);
  CHECK(recv(manager, text, sizeof(text), 0) > 0); /* it was the main process */
  expect_nothing();
  close_orphan();
}

/* --- Meanwhile ------------------------------------------------------------ */

static void a_helper_that_the_program_has_waited_for_has_done_it(void) {
  int barrier;
  int fds;

  open_orphan();
  fds = open_fds();
  barrier = expect_adopted();
  CHECK_EQ(close(barrier), 0);
  CHECK_EQ(UNINTERRUPTED(__real_waitpid(a.helper, NULL, 0)), a.helper);
  CHECK(!uvsig__adoption_is_busy(&a));
  CHECK(!is_looking());
  CHECK_EQ(open_fds(), fds);
  CHECK_EQ(own.forks, 1);
  close_orphan();
}

static void others_wait_for_a_second(void) {
  int barrier;

  open_orphan();
  CHECK(!uvsig__adoption_is_busy(&a));
  own.time = 1000 * UVSIG__SECOND;
  if (uvsig__now() != own.time)
    skip_test("the clock's function has another name here");
  barrier = expect_adopted();
  CHECK(uvsig__adoption_is_busy(&a));
  own.time += UVSIG__SECOND - 1;
  CHECK(uvsig__adoption_is_busy(&a));
  own.time++;
  CHECK(!uvsig__adoption_is_busy(&a));
  CHECK(is_looking());
  own.time = 0;
  let_end(barrier);
  CHECK(!uvsig__adoption_is_busy(&a));
  close_orphan();
}

static void run_in_child(void) {
  own.has_lost = true;
  CHECK_EQ(uv_loop_fork(&loop), 0);
  run_to_the_end_of_it();
  CHECK_EQ(a.helper, 0);
  expect_nothing();
}

static void a_child_of_fork_has_no_part_in_it(void) {
  unsigned forks;

  open_successor();
  CHECK_EQ(run_forked(run_in_child), 0);
  CHECK(is_looking());
  forks = own.forks; /* run_forked()'s */
  own.has_lost = true;
  let_end(expect_adopted());
  CHECK_EQ(own.forks, forks + 1);
  close_orphan();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_is_named_by_a_helper),
      TEST(nothing_is_done_while_the_predecessor_is_there),
      TEST(the_helper_keeps_its_pipe_alone),
      TEST(also_where_that_is_descriptor_0),
      TEST(also_without_close_range),
      TEST(also_where_it_is_refused_the_second_time),
      TEST(no_signal_is_the_helpers),
      TEST(the_helper_sends_until_there_is_room),
      TEST(or_until_it_is_not_interrupted),
      TEST(but_not_longer_than_this_process_lives),
      TEST(a_helper_that_cannot_send_is_replaced),
      TEST(so_is_one_that_was_killed),
      TEST(it_does_not_wait_for_what_it_cannot_ask),
      TEST(it_waits_until_what_it_has_sent_was_read),
      TEST(or_until_this_process_has_ended),
      TEST(meanwhile_there_is_no_other),
      TEST(without_a_pipe_it_is_tried_again),
      TEST(without_a_process_too),
      TEST(without_room_at_the_service_manager_too),
      TEST(whatever_becomes_of_the_helper),
      TEST(without_a_service_manager_it_is_not),
      TEST(nor_where_the_helper_cannot_be_told),
      TEST(a_helper_that_the_program_has_waited_for_has_done_it),
      TEST(others_wait_for_a_second),
      TEST(a_child_of_fork_has_no_part_in_it),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
