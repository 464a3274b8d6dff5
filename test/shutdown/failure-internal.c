/* SPDX-License-Identifier: MIT
 *
 * What a server does when a call of the library's fails: at its beginning, in an
 * upgrade, with its children, and when the service manager is to be told
 * something. Linked with --wrap: the nth call of a function fails, once, and the
 * library's clock may stand still. This program is the successor, too.
 */

#include "../lib/harness.h"

#include "../../lib/shutdown/coordinator.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- What the library calls ----------------------------------------------- */

enum call {
  NONE,
  CALLOC,
  MALLOC,
  STRDUP,
  SETENV,
  SIGACTION,
  SOCKET,
  SENDMSG,
  FORK,
  PIPE,
  POLL_INIT,
  ASYNC_INIT,
  EXEPATH,
  WAITPID,
  WAITPID_NOW,
  KILL,
  CALLS
};
static struct {
  enum call call;
  int nth;
  int error;
  bool is_armed;
  bool has_failed;
  int calls[CALLS];
} plan;
static atomic_ullong still_at; /* where the clock stands, or 0 */

static bool fails(enum call call) {
  if (!plan.is_armed || ++plan.calls[call] != plan.nth || call != plan.call)
    return false;
  plan.has_failed = true;
  errno = plan.error;
  return true;
}

static void arm(enum call call, int nth, int error) {
  memset(&plan, 0, sizeof(plan));
  plan.call = call;
  plan.nth = nth;
  plan.error = error;
  plan.is_armed = true;
}

/* Returns whether the call has failed. */
static bool disarm(void) {
  plan.is_armed = false;
  return plan.has_failed;
}

/* Memory whose end is that of a page: the next one cannot be written. */
static size_t fence;    /* what calloc() gives next, aligned so, or 0 */
static bool has_fence;  /* what malloc() gives next */
static char* fenced[2]; /* what they have given, and is not free */

static char* allocate_fenced(size_t size, size_t alignment) {
  size_t page = (size_t) sysconf(_SC_PAGESIZE);
  size_t whole = (size + page - 1) / page * page;
  char* pages = mmap(NULL,
                     whole + page,
                     PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS,
                     -1,
                     0);

  CHECK(pages != MAP_FAILED);
  CHECK_EQ(mprotect(pages + whole, page, PROT_NONE), 0);
  return pages + (whole - size) / alignment * alignment;
}

void __real_free(void* at);
void __wrap_free(void* at);
EARLY void __wrap_free(void* at) {
  int i;

  for (i = 0; i < 2; i++)
    if (at != NULL && fenced[i] == at) {
      fenced[i] = NULL;
      return;
    }
  __real_free(at);
}

static void expect_freed(void) {
  CHECK_EQ(fence, 0); /* it was allocated */
  CHECK(!has_fence);
  CHECK(fenced[0] == NULL && fenced[1] == NULL);
}

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
EARLY void* __wrap_calloc(size_t count, size_t size) {
  /* A text's size is none of a struct's. */
  if (fence > 1 || (fence == 1 && (size == 0 || size % 8 != 0))) {
    fenced[0] = allocate_fenced(count * size, fence);
    fence = 0;
    return fenced[0];
  }
  return fails(CALLOC) ? NULL : __real_calloc(count, size);
}

void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size);
EARLY void* __wrap_malloc(size_t size) {
  /* Of no bytes there is none, as C lets it be. */
  if (fails(MALLOC) || (plan.is_armed && size == 0))
    return NULL;
  if (!has_fence)
    return __real_malloc(size);
  has_fence = false;
  fenced[1] = allocate_fenced(size, sizeof(int));
  return fenced[1];
}

char* __real_strdup(const char* text);
char* __wrap_strdup(const char* text);
EARLY char* __wrap_strdup(const char* text) {
  return fails(STRDUP) ? NULL : __real_strdup(text);
}

int __real_setenv(const char* name, const char* value, int replaces);
int __wrap_setenv(const char* name, const char* value, int replaces);
int __wrap_setenv(const char* name, const char* value, int replaces) {
  return fails(SETENV) ? -1 : __real_setenv(name, value, replaces);
}

int __real_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
EARLY int __wrap_sigaction(int signum,
                           const struct sigaction* action,
                           struct sigaction* previous) {
  return fails(SIGACTION) ? -1 : __real_sigaction(signum, action, previous);
}

static int socket_type; /* of the last one */

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol) {
  socket_type = type;
  return fails(SOCKET) ? -1 : __real_socket(domain, type, protocol);
}

static int send_flags; /* of the last message */

ssize_t __real_sendmsg(int fd, const struct msghdr* message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr* message, int flags);
EARLY ssize_t __wrap_sendmsg(int fd, const struct msghdr* message, int flags) {
  send_flags = flags;
  return fails(SENDMSG) ? -1 : __real_sendmsg(fd, message, flags);
}

static struct timeval patience; /* of the last socket that has one */

int __real_setsockopt(int fd, int level, int name, const void* at, socklen_t n);
int __wrap_setsockopt(int fd, int level, int name, const void* at, socklen_t n);
int __wrap_setsockopt(
    int fd, int level, int name, const void* at, socklen_t n) {
  if (name == SO_SNDTIMEO)
    memcpy(&patience, at, sizeof(patience));
  return __real_setsockopt(fd, level, name, at, n);
}

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void) {
  return fails(FORK) ? -1 : __real_fork();
}

int __real_uv_pipe(uv_file fds[2], int reading, int writing);
int __wrap_uv_pipe(uv_file fds[2], int reading, int writing);
int __wrap_uv_pipe(uv_file fds[2], int reading, int writing) {
  return fails(PIPE) ? -plan.error : __real_uv_pipe(fds, reading, writing);
}

int __real_uv_poll_init(uv_loop_t* loop, uv_poll_t* poll, int fd);
int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* poll, int fd);
int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* poll, int fd) {
  return fails(POLL_INIT) ? -plan.error : __real_uv_poll_init(loop, poll, fd);
}

int __real_uv_async_init(uv_loop_t* loop, uv_async_t* async, uv_async_cb cb);
int __wrap_uv_async_init(uv_loop_t* loop, uv_async_t* async, uv_async_cb cb);
int __wrap_uv_async_init(uv_loop_t* loop, uv_async_t* async, uv_async_cb cb) {
  return fails(ASYNC_INIT) ? -plan.error
                           : __real_uv_async_init(loop, async, cb);
}

int __real_uv_exepath(char* to, size_t* size);
int __wrap_uv_exepath(char* to, size_t* size);
int __wrap_uv_exepath(char* to, size_t* size) {
  return fails(EXEPATH) ? -plan.error : __real_uv_exepath(to, size);
}

pid_t __real_waitpid(pid_t pid, int* status, int flags);
pid_t __wrap_waitpid(pid_t pid, int* status, int flags);
EARLY pid_t __wrap_waitpid(pid_t pid, int* status, int flags) {
  return fails((flags & WNOHANG) != 0 ? WAITPID_NOW : WAITPID)
             ? -1
             : __real_waitpid(pid, status, flags);
}

static int timers;          /* the system's, that are there */
static int signal_of_timer; /* of the last one */

#ifdef HAVE_TIMER_CREATE
int __real_timer_create(clockid_t clock,
                        struct sigevent* event,
                        timer_t* timer);
int __wrap_timer_create(clockid_t clock,
                        struct sigevent* event,
                        timer_t* timer);
int __wrap_timer_create(clockid_t clock,
                        struct sigevent* event,
                        timer_t* timer) {
  int result = __real_timer_create(clock, event, timer);

  timers += result == 0;
  signal_of_timer = event->sigev_signo;
  return result;
}

int __real_timer_delete(timer_t timer);
int __wrap_timer_delete(timer_t timer);
int __wrap_timer_delete(timer_t timer) {
  timers--;
  return __real_timer_delete(timer);
}
#endif

int __real_kill(pid_t pid, int signum);
int __wrap_kill(pid_t pid, int signum);
EARLY int __wrap_kill(pid_t pid, int signum) {
  return fails(KILL) ? -1 : __real_kill(pid, signum);
}

int __real_clock_gettime(clockid_t id, struct timespec* now);
int __wrap_clock_gettime(clockid_t id, struct timespec* now);
EARLY int __wrap_clock_gettime(clockid_t id, struct timespec* now) {
  uint64_t at = atomic_load(&still_at);

  if (at == 0)
    return __real_clock_gettime(id, now);
  now->tv_sec = (time_t) (at / UVSIG__SECOND);
  now->tv_nsec = (long) (at % UVSIG__SECOND);
  return 0;
}

/* --- A server ------------------------------------------------------------- */

static char self[4096];
static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;

static void prepare(void) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.debounce_ms = 0;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
  fixture_open(&f, NULL);
}

static void open_server(void) {
  prepare();
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

static void close_server(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static struct uvsig__coordinator* coordinator(void) {
  return sd.coordinator;
}

static void expect_no_child(void) {
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(errno, ECHILD);
}

/* --- Its beginning -------------------------------------------------------- */

/* It is refused with this code, and all is as before: returns false where it is
 * not. */
static bool is_refused(enum call call, int nth, int error) {
  int fds = open_fds();
  int err;

  arm(call, nth, error);
  err = uvsig_shutdown_init(&f.sig, &sd, &options);
  disarm();
  if (err == 0)
    return false;
  CHECK_EQ(err, -error);
  CHECK(sd.coordinator == NULL);
  CHECK_EQ(timers, 0);
  CHECK_EQ(open_fds(), fds);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_DEFAULT);
  return true;
}

/* Once what it fails with has passed, it succeeds. */
static void a_server_that_cannot_begin_leaves_nothing(void) {
  prepare();
  CHECK(is_refused(CALLOC, 1, ENOMEM));
  fence = 16;
  CHECK(is_refused(ASYNC_INIT, 1, EMFILE));
  expect_freed();
  CHECK(!is_refused(NONE, 0, 0));
  close_server();
}

/* SIGHUP's action is of no such importance. */
static void check_signals_refused(int error) {
  int nth = 0;

  prepare();
  do
    nth++;
  while (is_refused(SIGACTION, nth, error));
  CHECK(nth > 4); /* two signals are asked for, and caught */
  close_server();
}

static void nor_does_one_whose_signals_cannot_be_asked_for(void) {
  check_signals_refused(EINVAL);
  check_signals_refused(EPERM);
}

/* Where there is none it kills. */
static void the_systems_timer_sends_the_first_signal(void) {
#ifdef HAVE_TIMER_CREATE
  open_server();
  CHECK_EQ(timers, 1);
  CHECK_EQ(signal_of_timer, SIGINT);
  close_server();
  CHECK_EQ(timers, 0);
  prepare();
  sigemptyset(&options.graceful);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK_EQ(timers, 1);
  CHECK_EQ(signal_of_timer, SIGKILL);
  close_server();
  CHECK_EQ(timers, 0);
#else
  skip_test("the system has no such timers");
#endif
}

/* As many as there can be: all, and SIGHUP, which is not asked for. */
static void each_signal_has_its_room(void) {
  int signum;

  skip_under_valgrind("it has a signal of its own");
  prepare();
  for (signum = SIGHUP + 1; signum < UVSIG_NSIG; signum++)
    if (uvsig__is_catchable(signum))
      sigaddset(signum % 2 == 0 ? &options.graceful : &options.forced, signum);
  fence = 16;
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK_EQ(fence, 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_WATCHED);
  CHECK_EQ(uvsig_getsignal(SIGRTMAX), UVSIG_WATCHED);
  close_server();
  expect_freed();
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_DEFAULT);
}

/* --- A child of fork ------------------------------------------------------ */

static uvsig_shutdown_hold_t job;

/* What the parent was asked for, and what its other threads are about. */
static void check_anew_in_child(void) {
  struct uvsig__coordinator* c = coordinator();
  struct uvsig__escalation* e = &c->escalation;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(!uvsig__has_begun(c));
  CHECK_EQ(atomic_load(&c->callers), 0);
  CHECK_EQ(c->async.pending, 0);
  CHECK_EQ(c->notifier.owed, 0);
  CHECK_EQ(atomic_load(&e->signals), 0);
  CHECK_EQ(atomic_load(&e->last_ms), 0);
  CHECK_EQ(atomic_load(&e->begun), 0);
  CHECK_EQ(atomic_load(&e->claimed), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "child", UVSIG_SHUTDOWN_GRACEFUL), 0);
  CHECK(c->async.pending != 0);
  CHECK_EQ(uvsig_shutdown_release(&job), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_STR(sd.report.reason, "child");
  CHECK_EQ(sd.report.signals, 0);
}

static void a_child_of_fork_begins_anew(void) {
  open_server();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &job, "job"), 0);
  raise(SIGTERM);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  atomic_store(&coordinator()->callers, 3);
  coordinator()->notifier.owed = 2;
  CHECK_EQ(run_forked(check_anew_in_child), 0);
  atomic_store(&coordinator()->callers, 0);
  coordinator()->notifier.owed = 0;
  CHECK_EQ(uvsig_shutdown_release(&job), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.signum, SIGTERM);
  close_server();
}

static void check_going_on_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(uvsig__has_begun(coordinator()));
  CHECK_EQ(uvsig_shutdown_release(&job), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(sd.report.signum, SIGTERM);
  CHECK_EQ(sd.report.signals, 1);
}

static void but_a_shutdown_that_has_begun_goes_on_in_both(void) {
  if (under_thread_sanitizer())
    skip_test("a child of a process with threads may start none");
  open_server();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &job, "job"), 0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(run_forked(check_going_on_in_child), 0);
  CHECK_EQ(uvsig_shutdown_release(&job), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.signals, 1);
  close_server();
}

/* --- An upgrade ----------------------------------------------------------- */

static uvsig_upgrade_t upgrade;
static uvsig_shutdown_listener_t listener;
static uv_tcp_t tcp;
static unsigned long calls;
static int result;

static void on_upgrade(uvsig_upgrade_t* u, int status) {
  CHECK(u == &upgrade);
  calls++;
  result = status;
}

static void open_upgradable(void) {
  static char role[] = "hang";
  static char* args[] = {self, role, NULL};
  uvsig_upgrade_options_t upgrade_options;
  struct sockaddr_in address;

  open_server();
  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  CHECK_EQ(uv_tcp_init(&f.loop, &tcp), 0);
  CHECK_EQ(uv_tcp_bind(&tcp, (struct sockaddr*) &address, 0), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &listener, (uv_stream_t*) &tcp, NULL),
      0);
  uvsig_upgrade_options_init(&upgrade_options);
  upgrade_options.file = self;
  upgrade_options.args = args;
  upgrade_options.ready_ms = LONG_MS;
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
}

static void close_upgradable(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  expect_no_child();
  uv_close((uv_handle_t*) &tcp, NULL);
  fixture_close(&f);
}

static void start_upgrade(void) {
  calls = 0;
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  while (calls == 0 && upgrade.pid == 0)
    uv_run(&f.loop, UV_RUN_ONCE);
}

/* The server serves on, without a successor. Returns false where there is one:
 * no call has failed. */
static bool is_none(enum call call, int nth, int error) {
  int fds = open_fds();

  arm(call, nth, error);
  start_upgrade();
  if (!disarm()) {
    CHECK_EQ(calls, 0);
    return false;
  }
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, -error);
  CHECK_EQ(upgrade.pid, 0);
  CHECK_EQ(plan.calls[SENDMSG], 0); /* there is no service manager */
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_DEFAULT);
  CHECK_EQ(open_fds(), fds);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  expect_no_child();
  return true;
}

static void check_no_successor(enum call call, int error) {
  int nth = 0;

  open_upgradable();
  do
    nth++;
  while (is_none(call, nth, error));
  CHECK(nth > 1);
  close_upgradable();
}

static void without_memory_there_is_no_successor(void) {
  check_no_successor(CALLOC, ENOMEM);
  check_no_successor(MALLOC, ENOMEM);
}

/* Their numbers, and their names: "unknown:unknown::1234" here. */
static void start_with_fences(void) {
  fence = 1;
  arm(NONE, 0, 0);
  has_fence = true;
  start_upgrade();
  disarm();
  expect_freed();
  CHECK_EQ(calls, 0);
}

static void its_sockets_have_their_room(void) {
  static uvsig_shutdown_listener_t others[3];
  int i;

  open_upgradable();
  for (i = 0; i < 3; i++)
    CHECK_EQ(
        uvsig_shutdown_add_listener(&sd, &others[i], (uv_stream_t*) &tcp, NULL),
        0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&others[1], -1, ""), 0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&others[2], -1, "1234"), 0);
  start_with_fences();
  close_upgradable();
}

static void also_where_there_are_none(void) {
  open_upgradable();
  CHECK_EQ(uvsig_shutdown_remove_listener(&listener), 0);
  start_with_fences();
  close_upgradable();
}

/* It does not listen, and so nothing is to be accepted. */
static void a_socket_without_connections_is_closed_at_once(void) {
  open_upgradable();
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(coordinator()->backlog_turns, 1);
  CHECK(uv_is_closing((uv_handle_t*) &tcp));
  close_server();
}

static void pass_over(uv_stream_t* stream, int status) {
  (void) stream;
  CHECK_EQ(status, 0);
}

/* There are always more, and the program accepts none of them. */
static void a_flood_of_connections_does_not_keep_it_open(void) {
  struct sockaddr_in name;
  int size = sizeof(name);
  int clients[4];
  int i;

  open_upgradable();
  CHECK_EQ(uv_listen((uv_stream_t*) &tcp, 8, pass_over), 0);
  CHECK_EQ(uv_tcp_getsockname(&tcp, (struct sockaddr*) &name, &size), 0);
  for (i = 0; i < 4; i++) {
    clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect_fully(clients[i], &name, sizeof(name)), 0);
  }
  coordinator()->backlog_turns = 4090;
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(coordinator()->backlog_turns, 4097);
  for (i = 0; i < 4; i++)
    CHECK_EQ(close(clients[i]), 0);
  close_server();
}

static void nor_without_descriptors(void) {
  check_no_successor(SOCKET, EMFILE);
  check_no_successor(PIPE, ENFILE);
}

static void nor_without_a_process(void) {
  check_no_successor(FORK, EAGAIN);
}

static void nor_where_its_end_would_not_be_seen(void) {
  open_upgradable();
  CHECK(is_none(SIGACTION, 1, EINVAL));
  CHECK(is_none(SIGACTION, 1, EPERM));
  CHECK(!is_none(NONE, 0, 0));
  CHECK((action_of(SIGCHLD).sa_flags & SA_NOCLDSTOP) != 0);
  close_upgradable();
}

/* It is there already, and is killed. */
static void nor_where_it_would_not_be_heard(void) {
  open_upgradable();
  fence = 16;
  CHECK(is_none(POLL_INIT, 1, EPERM));
  expect_freed();
  CHECK(!is_none(NONE, 0, 0));
  close_upgradable();
}

static void one_that_is_given_up_is_waited_for(void) {
  open_upgradable();
  fence = 16;
  start_upgrade();
  CHECK_EQ(calls, 0);
  arm(WAITPID, 1, EINTR);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK(disarm());
  expect_no_child();
  uv_close((uv_handle_t*) &tcp, NULL);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  expect_freed(); /* in this turn */
  fixture_close(&f);
}

static void an_upgrade_that_cannot_begin_may_be_tried_again(void) {
  uvsig_upgrade_t other;

  open_server();
  memset(&other, 0, sizeof(other));
  arm(EXEPATH, 1, ENOENT);
  CHECK_EQ(uvsig_upgrade_init(&sd, &other, NULL), UV_ENOENT);
  CHECK(disarm());
  CHECK(other.shutdown == NULL);
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, NULL), 0);
  arm(SIGACTION, 1, EINVAL);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), UV_EINVAL);
  CHECK(disarm());
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  close_server();
}

/* --- Children ------------------------------------------------------------- */

static uvsig_shutdown_child_t child;
static int ends_leader[2];
static int ends_member[2];

/* Until the other end of the pipe is closed. */
static void live(const int* ends) {
  char byte;

  close(ends[1]);
  (void) UNINTERRUPTED(read(ends[0], &byte, 1));
  _exit(0);
}

/* It leads a group, and has a member. */
static pid_t fork_group(void) {
  pid_t pid;
  int told[2];
  char byte;

#ifdef PR_SET_CHILD_SUBREAPER
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
#else
  skip_test("nobody here waits for an orphan");
#endif
  CHECK_EQ(pipe2(ends_leader, O_CLOEXEC), 0);
  CHECK_EQ(pipe2(ends_member, O_CLOEXEC), 0);
  CHECK_EQ(pipe2(told, O_CLOEXEC), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    setpgid(0, 0);
    signal(SIGTERM, SIG_IGN);
    if (fork() == 0) {
      close(ends_leader[1]);
      CHECK_EQ(write(told[1], "t", 1), 1);
      close(told[0]);
      close(told[1]);
      live(ends_member);
    }
    close(ends_member[1]);
    close(told[0]);
    close(told[1]);
    live(ends_leader);
  }
  CHECK_EQ(UNINTERRUPTED(read(told[0], &byte, 1)), 1);
  close(told[0]);
  close(told[1]);
  return pid;
}

static void a_group_without_memory_for_it_is_refused(void) {
  open_server();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, fork_group()), 0);
  arm(CALLOC, 1, ENOMEM);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP),
           UV_ENOMEM);
  CHECK(disarm());
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP),
           0);
  arm(CALLOC, 1, ENOMEM); /* it has it */
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP),
           0);
  CHECK(!disarm());
  close(ends_leader[1]);
  close(ends_member[1]);
  CHECK_EQ(UNINTERRUPTED(waitpid(child.pid, NULL, 0)), child.pid);
  CHECK(UNINTERRUPTED(waitpid(-1, NULL, 0)) > 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  close(ends_leader[0]);
  close(ends_member[0]);
  close_server();
}

/* An orphan of the group that another thread waits for at the same time, say:
 * it is looked for again a little later. */
static void an_orphan_that_cannot_be_waited_for_now_is_later(void) {
  siginfo_t info;
  pid_t pid = fork_group();

  open_server();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  fence = 16;
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP),
           0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  close(ends_leader[1]);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, NULL, 0)), pid);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  close(ends_member[1]);
  CHECK_EQ(UNINTERRUPTED(waitid(P_PGID, (id_t) pid, &info, WEXITED | WNOWAIT)),
           0);
  arm(WAITPID_NOW, 1, ECHILD);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK(disarm());
  CHECK_EQ(plan.calls[WAITPID_NOW], 2);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(sd.report.children, 0);
  CHECK_EQ(sd.report.clean, 1);
  expect_freed();
  expect_no_child();
  close(ends_leader[0]);
  close(ends_member[0]);
  close_server();
}

/* Another user's by now, say. */
static void a_child_that_cannot_be_killed_is_not_counted(void) {
  pid_t pid;

  open_server();
  pid = fork_group();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  arm(KILL, 1, EPERM);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  run_idle(&f.loop);
  CHECK(disarm());
  CHECK_EQ(plan.calls[KILL], 1); /* once */
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_FORCING);
  CHECK_EQ(sd.report.killed, 0);
  CHECK_EQ(uvsig_shutdown_child_set_signal(&child, SIGINT), UV_EALREADY);
  close(ends_leader[1]);
  close(ends_member[1]);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, NULL, 0)), pid);
  CHECK(UNINTERRUPTED(waitpid(-1, NULL, 0)) > 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  close(ends_leader[0]);
  close(ends_member[0]);
  close_server();
}

/* --- Sockets that were handed over ---------------------------------------- */

static void take_without_memory(void) {
  static uvsig_listen_fd_t fd; /* has the name, which stays */
  char text[32];
  int made = socket(AF_INET, SOCK_STREAM, 0);

  CHECK_EQ(listen(made, 1), 0);
  CHECK_EQ(dup2(made, 3), 3);
  snprintf(text, sizeof(text), "%d", (int) getpid());
  CHECK_EQ(setenv("LISTEN_PID", text, 1), 0);
  CHECK_EQ(setenv("LISTEN_FDS", "1", 1), 0);
  CHECK_EQ(setenv("LISTEN_FDNAMES", "http", 1), 0);
  arm(STRDUP, 1, ENOMEM);
  CHECK_EQ(uvsig_listen_fds(&fd, 1), UV_ENOMEM);
  CHECK(disarm());
  CHECK_EQ(uvsig_listen_fds(&fd, 1), 1);
  CHECK_STR(fd.name, "http");
}

static void without_memory_sockets_are_taken_later(void) {
  CHECK_EQ(run_forked(take_without_memory), 0);
}

/* --- The service manager -------------------------------------------------- */

static int manager;
static struct sockaddr_un address;
static socklen_t address_size = sizeof(address);

/* `variable` is set to its address. */
static void open_manager(const char* variable) {
  char name[sizeof(address.sun_path) + 1];
  size_t size;

  manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(manager >= 0);
  address.sun_family = AF_UNIX;
  CHECK_EQ(bind(manager, (struct sockaddr*) &address, sizeof(sa_family_t)), 0);
  CHECK_EQ(getsockname(manager, (struct sockaddr*) &address, &address_size), 0);
  size = address_size - offsetof(struct sockaddr_un, sun_path);
  memcpy(name, address.sun_path, size);
  name[0] = '@';
  name[size] = 0;
  CHECK_EQ(setenv(variable, name, 1), 0);
}

/* It comes without a descriptor. */
static void expect_message(const char* expected) {
  char text[256] = "";
  struct iovec iov = {text, sizeof(text) - 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

  CHECK(recvmsg(manager, &message, 0) >= 0 || *expected == 0);
  CHECK_STR(text, expected);
  CHECK_EQ(message.msg_flags & MSG_CTRUNC, 0);
}

static void expect_message_later(const char* expected) {
  struct pollfd pollfd = {manager, POLLIN, 0};

  while (poll(&pollfd, 1, 1) != 1)
    uv_run(&f.loop, UV_RUN_NOWAIT);
  expect_message(expected);
}

/* Others have sent as much as there is room for. */
static void fill(void) {
  struct uvsig__address to = {address, address_size};
  int error;

  do
    error = uvsig__datagram_send(&to, "X=1", -1, MSG_DONTWAIT);
  while (error == 0);
  CHECK_EQ(error, EAGAIN);
}

static bool is_active(const uv_timer_t* timer) {
  return uv_is_active((const uv_handle_t*) timer) != 0;
}

static void open_watched(void) {
  open_manager("NOTIFY_SOCKET");
  open_server();
}

static void close_watched(void) {
  close_server();
  CHECK_EQ(close(manager), 0);
}

static void a_message_that_is_interrupted_is_sent_at_once(void) {
  open_watched();
  arm(SENDMSG, 1, EINTR);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK(disarm());
  expect_message("READY=1");
  close_watched();
}

static void check_later(enum call call, int error) {
  open_watched();
  arm(call, 1, error);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK(disarm());
  expect_message("");
  CHECK_EQ(uv_timer_get_repeat(&coordinator()->notifier.retry_timer), 100);
  expect_message_later("READY=1");
  run_idle(&f.loop);
  CHECK(!is_active(&coordinator()->notifier.retry_timer));
  close_watched();
}

static void what_there_is_no_room_for_is_sent_later(void) {
  check_later(SENDMSG, EAGAIN);
  check_later(SENDMSG, ENOBUFS);
  check_later(SENDMSG, ENOMEM);
  check_later(SOCKET, EMFILE);
  check_later(SOCKET, ENFILE);
}

static void what_cannot_be_sent_is_not(void) {
  open_watched();
  arm(SENDMSG, 1, ECONNREFUSED);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK(disarm());
  CHECK(!is_active(&coordinator()->notifier.retry_timer));
  expect_message("");
  close_watched();
}

/* What is owed when it is too late is not asked for. */
static void no_time_is_asked_for_that_has_passed(void) {
  static uvsig_shutdown_hold_t hold;
  struct uvsig__notifier* n;
  char text[64];

  open_watched();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  n = &coordinator()->notifier;
  fill();
  raise(SIGTERM);
  while (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_DRAINING)
    uv_run(&f.loop, UV_RUN_ONCE);
  run_idle(&f.loop);
  atomic_store(&still_at, n->limit);
  if (uvsig__now() != n->limit)
    skip_test("the clock's function has another name here");
  while (recv(manager, text, sizeof(text), 0) >= 0)
    ;
  expect_message_later("STOPPING=1");
  expect_message("");
  CHECK_EQ(n->owed, 0);
  atomic_store(&still_at, 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  close_watched();
}

/* A successor's: nobody is to take the predecessor for the service manager. */
static void without_memory_the_service_managers_address_is_unset(void) {
  CHECK_EQ(setenv("NOTIFY_SOCKET", "@predecessor", 1), 0);
  CHECK_EQ(setenv("UVSIG_NOTIFY_SOCKET", "@service", 1), 0);
  prepare();
  arm(SETENV, 1, ENOMEM);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK(disarm());
  CHECK(getenv("NOTIFY_SOCKET") == NULL);
  CHECK(getenv("UVSIG_NOTIFY_SOCKET") == NULL);
  close_server();
}

/* Without the option `notify` the predecessor hears of it all the same, and the
 * service manager's address is the program's. */
static void without_notify_the_predecessor_is_told(void) {
  open_manager("NOTIFY_SOCKET");
  CHECK_EQ(setenv("UVSIG_NOTIFY_SOCKET", "@service", 1), 0);
  prepare();
  options.notify = 0;
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  CHECK_STR(getenv("NOTIFY_SOCKET"), "@service");
  CHECK(getenv("UVSIG_NOTIFY_SOCKET") == NULL);
  arm(SENDMSG, INT_MAX, 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK(!disarm());
  CHECK_EQ(plan.calls[SENDMSG], 1);
  expect_message("READY=1");
  CHECK(!is_active(&coordinator()->notifier.ping_timer));
  CHECK(!is_active(&coordinator()->notifier.adoption.timer));
  close_watched();
}

/* Before that its predecessor is the main process, and after that the next
 * successor. */
static void a_successor_pings_from_ready_to_its_own_successor(void) {
  const struct uvsig__notifier* n;

  open_manager("UVSIG_NOTIFY_SOCKET");
  CHECK_EQ(setenv("NOTIFY_SOCKET", "@predecessor", 1), 0);
  CHECK_EQ(setenv("WATCHDOG_USEC", "60000000", 1), 0);
  open_server();
  n = &coordinator()->notifier;
  CHECK(!is_active(&n->ping_timer));
  CHECK(!is_active(&n->adoption.timer));
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK(is_active(&n->ping_timer));
  CHECK(is_active(&n->adoption.timer));
  expect_message_later("WATCHDOG=1");
  uvsig__notify_successor(coordinator(), 4711);
  CHECK(!is_active(&n->ping_timer));
  CHECK(!is_active(&n->adoption.timer));
  expect_message("MAINPID=4711\nREADY=1");
  close_watched();
}

static void check_pings(const char* us, uint64_t ms) {
  CHECK_EQ(setenv("WATCHDOG_USEC", us, 1), 0);
  open_watched();
  CHECK_EQ(uv_timer_get_due_in(&coordinator()->notifier.ping_timer), 0);
  CHECK_EQ(uv_timer_get_repeat(&coordinator()->notifier.ping_timer), ms);
  close_watched();
}

static void pings_come_twice_in_the_interval(void) {
  check_pings("60000000", 30000);
  check_pings("5000", 2);
  check_pings("2000", 1);
  check_pings("1999", 1);
  check_pings("1", 1);
}

/* --- Its variables -------------------------------------------------------- */

static void check_interval(const char* text, const char* pid, uint64_t us) {
  CHECK_EQ(setenv("NOTIFY_SOCKET", "/nobody", 1), 0);
  CHECK_EQ(setenv("WATCHDOG_USEC", text, 1), 0);
  if (pid != NULL)
    CHECK_EQ(setenv("WATCHDOG_PID", pid, 1), 0);
  else
    CHECK_EQ(unsetenv("WATCHDOG_PID"), 0);
  open_server();
  CHECK_EQ(coordinator()->notifier.watchdog_us, us);
  close_server();
}

static void the_watchdogs_interval_is_a_number(void) {
  char pid[32];

  snprintf(pid, sizeof(pid), "%d", (int) getpid());
  check_interval("3000000", NULL, 3000000);
  check_interval("9", pid, 9);
  check_interval("0109", NULL, 109);
  check_interval("18446744073709551614", NULL, UINT64_MAX - 1);
  check_interval("18446744073709551615", NULL, 0);
  check_interval("99999999999999999999", NULL, 0);
  check_interval("", NULL, 0);
  check_interval(" 5", NULL, 0);
  check_interval("+5", NULL, 0);
  check_interval("-5", NULL, 0);
  check_interval(":5", NULL, 0);
  check_interval("x", NULL, 0);
  check_interval("5a", NULL, 0);
  check_interval("5", "1", 0);
  check_interval("5", "", 0);
  check_interval("5", "x", 0);
}

/* Of a name of so many bytes, or of the text. */
static void check_address(const char* start, size_t length, size_t expected) {
  const struct uvsig__address* service;
  char name[200];

  memset(name, 'n', sizeof(name));
  memcpy(name, start, strlen(start));
  name[length > 0 ? length : strlen(start)] = 0;
  CHECK_EQ(setenv("NOTIFY_SOCKET", name, 1), 0);
  open_server();
  service = &coordinator()->notifier.service;
  if (expected > 0) {
    expected += offsetof(struct sockaddr_un, sun_path);
    CHECK_EQ(service->name.sun_family, AF_UNIX);
    CHECK_EQ(service->name.sun_path[0], name[0] == '@' ? 0 : name[0]);
    CHECK_EQ(memcmp(service->name.sun_path + 1, name + 1, strlen(name) - 1), 0);
  }
  CHECK_EQ(service->size, expected);
  close_server();
}

static void an_address_is_a_path_or_an_abstract_name(void) {
  enum { MOST = sizeof(address.sun_path) };

  check_address("/n", 0, 3);
  check_address("@n", 0, 2);
  check_address("/", MOST - 1, MOST);
  check_address("@", MOST, MOST);
  check_address("/", MOST, 0);
  check_address("@", MOST + 1, 0);
  check_address("", 0, 0);
  check_address("/", 0, 0);
  check_address("@", 0, 0);
  check_address("n/n", 0, 0);
  check_address("n@n", 0, 0);
}

/* The predecessor's service manager is nobody. */
static void a_successor_without_a_service_manager_has_none(void) {
  open_manager("NOTIFY_SOCKET");
  CHECK_EQ(setenv("UVSIG_NOTIFY_SOCKET", "", 1), 0);
  open_server();
  CHECK(getenv("NOTIFY_SOCKET") == NULL);
  CHECK(getenv("UVSIG_NOTIFY_SOCKET") == NULL);
  CHECK_EQ(coordinator()->notifier.service.size, 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  expect_message("READY=1");
  CHECK(!is_active(&coordinator()->notifier.adoption.timer));
  close_watched();
}

/* --- One message ---------------------------------------------------------- */

static void only_lack_of_room_passes(void) {
  static const int errors[] = {EAGAIN, ENOBUFS, ENOMEM, EMFILE, ENFILE};
  size_t i;
  int passing = 0;
  int error;

  for (i = 0; i < sizeof(errors) / sizeof(*errors); i++)
    CHECK(uvsig__is_lack_of_room(errors[i]));
  for (error = 0; error < 200; error++)
    passing += uvsig__is_lack_of_room(error);
  CHECK_EQ(passing, 5);
}

static void one_that_may_wait_waits_for_a_second(void) {
  struct uvsig__address to;

  open_manager("NOTIFY_SOCKET");
  to.name = address;
  to.size = address_size;
  CHECK_EQ(uvsig__datagram_send(&to, "X=1", -1, MSG_DONTWAIT), 0);
  CHECK_EQ(patience.tv_sec, 0);
  CHECK_EQ(send_flags, MSG_NOSIGNAL | MSG_DONTWAIT);
  CHECK_EQ(socket_type, SOCK_DGRAM | SOCK_CLOEXEC);
  expect_message("X=1");
  CHECK_EQ(uvsig__datagram_send(&to, "Y=2", -1, 0), 0);
  CHECK_EQ(patience.tv_sec, 1);
  CHECK_EQ(patience.tv_usec, 0);
  CHECK_EQ(send_flags, MSG_NOSIGNAL);
  expect_message("Y=2");
  CHECK_EQ(close(manager), 0);
  CHECK_EQ(uvsig__datagram_send(&to, "Z=3", -1, MSG_DONTWAIT), ECONNREFUSED);
}

static int run_role(void) {
  poll(NULL, 0, 120 * 1000);
  return 0;
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(a_server_that_cannot_begin_leaves_nothing),
      TEST(nor_does_one_whose_signals_cannot_be_asked_for),
      TEST(the_systems_timer_sends_the_first_signal),
      TEST(each_signal_has_its_room),
      TEST(a_child_of_fork_begins_anew),
      TEST(but_a_shutdown_that_has_begun_goes_on_in_both),
      TEST(without_memory_there_is_no_successor),
      TEST(nor_without_descriptors),
      TEST(its_sockets_have_their_room),
      TEST(also_where_there_are_none),
      TEST(a_socket_without_connections_is_closed_at_once),
      TEST(a_flood_of_connections_does_not_keep_it_open),
      TEST(nor_without_a_process),
      TEST(nor_where_its_end_would_not_be_seen),
      TEST(nor_where_it_would_not_be_heard),
      TEST(one_that_is_given_up_is_waited_for),
      TEST(an_upgrade_that_cannot_begin_may_be_tried_again),
      TEST(a_group_without_memory_for_it_is_refused),
      TEST(an_orphan_that_cannot_be_waited_for_now_is_later),
      TEST(a_child_that_cannot_be_killed_is_not_counted),
      TEST(without_memory_sockets_are_taken_later),
      TEST(a_message_that_is_interrupted_is_sent_at_once),
      TEST(what_there_is_no_room_for_is_sent_later),
      TEST(what_cannot_be_sent_is_not),
      TEST(no_time_is_asked_for_that_has_passed),
      TEST(without_memory_the_service_managers_address_is_unset),
      TEST(without_notify_the_predecessor_is_told),
      TEST(a_successor_pings_from_ready_to_its_own_successor),
      TEST(pings_come_twice_in_the_interval),
      TEST(the_watchdogs_interval_is_a_number),
      TEST(an_address_is_a_path_or_an_abstract_name),
      TEST(a_successor_without_a_service_manager_has_none),
      TEST(only_lack_of_room_passes),
      TEST(one_that_may_wait_waits_for_a_second),
  };

  if (realpath(argv[0], self) == NULL)
    return 1;
  if (argc > 1)
    return run_role();
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
