/* SPDX-License-Identifier: MIT
 *
 * Children with a deadline, checks, the loop fixture: see harness.h.
 */

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_LINUX_SOCKIOS_H
# include <linux/sockios.h>
#endif
#include <sys/ioctl.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE = 240, SKIPPED = 77, VALGRIND_ERROR = 99, MOST_FDS = 1024 };

/* --- Children ------------------------------------------------------------- */

void harness_init(void) {
  cmocka_set_message_output(CM_OUTPUT_TAP);
  cmocka_set_test_filter(getenv("TEST_ONLY"));
}

unsigned setting(const char* name, unsigned otherwise) {
  const char* text = getenv(name);
  int value = text != NULL ? atoi(text) : 0;

  return value > 0 ? (unsigned) value : otherwise;
}

unsigned scaled(unsigned n) {
  unsigned divisor = setting("TEST_SCALE", 1);

  return n > divisor ? n / divisor : 1;
}

int open_fds(void) {
  int count = 0;
  int fd;

  for (fd = 0; fd < MOST_FDS; fd++)
    count += fcntl(fd, F_GETFD) != -1;
  return count;
}

static unsigned deadline(void) {
  return setting("TEST_DEADLINE", DEADLINE + setting("TEST_SECONDS", 0));
}

/* --- Random numbers ------------------------------------------------------- */

unsigned random_below(unsigned* state, unsigned n) {
  *state = *state * 1103515245 + 12345;
  return (*state >> 16) % n;
}

bool has_seed(void) {
  const char* text = getenv("TEST_SEED");

  return text != NULL && *text != '\0';
}

unsigned test_seed(void) {
  unsigned seed = has_seed() ? (unsigned) strtoul(getenv("TEST_SEED"), NULL, 10)
                             : (unsigned) uv_hrtime() % 1000000000;

  printf("# TEST_SEED=%u\n", seed);
  fflush(stdout);
  return seed;
}

static uint64_t began; /* of this child */

bool has_time(void) {
  return uv_hrtime() - began < (uint64_t) deadline() * 1000000000 / 4;
}

static void reset_signals(void) {
  struct sigaction action;
  sigset_t set;
  int signum;

  memset(&action, 0, sizeof(action));
  action.sa_handler = SIG_DFL;
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    sigaction(signum, &action, NULL); /* fails for those that cannot be set */
  sigemptyset(&set);
  sigprocmask(SIG_SETMASK, &set, NULL);
}

/* The main thread's stack grows as it is used, but under valgrind 3.19 not for
 * a handler with SA_ONSTACK. Tests raise signals at any depth. */
__attribute__((noinline)) static void grow_stack(void) {
  volatile char room[256 * 1024];

  room[0] = 0;
  (void) room[0];
}

/* Signals that wait are counted for the user, over all processes. A test that
 * floods itself must leave room for those that run beside it. */
static void limit_pending(void) {
#ifdef RLIMIT_SIGPENDING
  const rlim_t most = 16384;
  struct rlimit limit;

  CHECK_EQ(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
  if (limit.rlim_cur > most)
    limit.rlim_cur = most;
  CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
#endif
}

static void be_child(test_fn fn) {
  const struct rlimit none = {0, 0};
  uv_loop_t loop;
  int fds;

  began = uv_hrtime();
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL); /* if somebody ends the parent */
#endif
  setpgid(0, 0); /* the parent may have to end grandchildren too */
  grow_stack();
  reset_signals();
  setrlimit(RLIMIT_CORE, &none);
  limit_pending();
  /* A process's first loop opens descriptors that stay. */
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_loop_close(&loop), 0);
  fds = open_fds();
  fn();
  CHECK_EQ(open_fds(), fds);
  exit(0); /* not _exit(): leaks and coverage are reported at exit */
}

/* Wait for the end of everything that holds the other end of `fd`. */
static bool wait_for_end(int fd, unsigned seconds) {
  struct pollfd pollfd = {fd, POLLIN, 0};
  int n;

  do
    n = poll(&pollfd, 1, (int) seconds * 1000);
  while (n < 0 && errno == EINTR);
  return n == 1;
}

int run_child(test_fn fn) {
  return run_child_within(deadline(), fn);
}

int run_child_within(unsigned seconds, test_fn fn) {
  int lifeline[2];
  int status;
  pid_t pid;

  fflush(NULL);
  CHECK_EQ(pipe2(lifeline, O_CLOEXEC), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    close(lifeline[0]);
    /* out of the way of the tests that look for the lowest free number */
    CHECK(fcntl(lifeline[1], F_DUPFD_CLOEXEC, 200) >= 0);
    close(lifeline[1]);
    be_child(fn);
  }
  close(lifeline[1]);
  if (!wait_for_end(lifeline[0], seconds)) {
    fprintf(stderr, "child %d is over its deadline\n", (int) pid);
    kill(-pid, SIGKILL);
  }
  close(lifeline[0]);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  return status;
}

bool child_passed(int status) {
  if (WIFSIGNALED(status))
    fprintf(stderr, "child died by %s\n", uvsig_signal_name(WTERMSIG(status)));
  else if (WEXITSTATUS(status) != 0)
    fprintf(stderr, "child exited with %d\n", WEXITSTATUS(status));
  return status == 0;
}

/* Is the test in the file that TEST_SKIPS names? Says why. */
static bool is_listed(const char* name) {
  const char* path = getenv("TEST_SKIPS");
  size_t length = strlen(name);
  char line[512];
  bool found = false;
  FILE* file;

  if (path == NULL || *path == 0)
    return false;
  file = fopen(path, "re");
  assert_non_null(file);
  while (!found && fgets(line, sizeof(line), file) != NULL)
    found = strncmp(line, name, length) == 0 && line[length] == ' ';
  fclose(file);
  if (found)
    fprintf(stderr, "skipped: %s", line + length + 1);
  return found;
}

void harness_test(void** state) {
  const struct test_case* test = *state;
  int status;

  if (is_listed(test->name))
    skip();
  status = run_child(test->fn);
  if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
    skip();
  assert_true(child_passed(status));
}

void skip_test(const char* reason) {
  fprintf(stderr, "skipped: %s\n", reason);
  exit(SKIPPED);
}

void skip_unless_wrapped(void) {
#ifdef HAVE_LTO
  skip_test("with -flto, --wrap does not reach the library's own calls");
#endif
}

bool under_valgrind(void) {
  const char* tool = getenv("TEST_TOOL");

  return tool != NULL && strcmp(tool, "valgrind") == 0;
}

void skip_under_valgrind(const char* reason) {
  if (under_valgrind())
    skip_test(reason);
}

bool has_sanitizer(void) {
  return *SANITIZER != 0;
}

bool under_thread_sanitizer(void) {
  return strstr(SANITIZER, "thread") != NULL;
}

void abstract_name(char* name, size_t size) {
  unsigned long long number;

  CHECK_EQ(uv_random(NULL, NULL, &number, sizeof(number), 0, NULL), 0);
  snprintf(name, size, "@uvsig-test-%016llx", number);
}

int run_forked(void (*fn)(void)) {
  pid_t child = fork();
  int status;

  CHECK(child >= 0);
  if (child == 0) {
    fn();
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  return status;
}

pid_t fork_all_blocked(void (*fn)(void)) {
  sigset_t all;
  sigset_t mask;
  pid_t pid;

  sigfillset(&all);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &all, &mask), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    fn();
    _exit(0);
  }
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
  return pid;
}

/* Under valgrind, a thread that is left is an error, which has a number of its
 * own. */
static bool was_too_slow(int status) {
  const char* tool = getenv("TEST_TOOL");

  return WIFEXITED(status) &&
         (WEXITSTATUS(status) == 128 + SIGTERM ||
          (WEXITSTATUS(status) == VALGRIND_ERROR && tool != NULL));
}

int run_in_time(void (*fn)(unsigned ms)) {
  unsigned ms;
  pid_t child;
  int status = 0;

  for (ms = 100; ms <= 2000; ms += 100) {
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      fn(ms);
      _exit(0);
    }
    CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
    if (!was_too_slow(status))
      break;
  }
  return status;
}

pid_t send_from_child(void (*send)(pid_t to)) {
  pid_t parent = getpid();
  pid_t child = fork();
  int status;

  CHECK(child >= 0);
  if (child == 0) {
    send(parent);
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  return child;
}

/* --- Signals -------------------------------------------------------------- */

sigset_t set_of(int signum) {
  sigset_t set;

  sigemptyset(&set);
  if (signum != 0)
    sigaddset(&set, signum);
  return set;
}

bool is_blocked(int signum) {
  sigset_t set;

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
  return sigismember(&set, signum) == 1;
}

struct sigaction action_of(int signum) {
  struct sigaction action;

  CHECK_EQ(sigaction(signum, NULL, &action), 0);
  return action;
}

void install_handler(int signum, void (*handler)(int)) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(signum, &action, NULL), 0);
}

void call_handler(const struct sigaction* action,
                  int signum,
                  siginfo_t* info,
                  void* context) {
  if ((action->sa_flags & SA_SIGINFO) != 0)
    action->sa_sigaction(signum, info, context);
  else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN)
    action->sa_handler(signum);
}

volatile sig_atomic_t foreign_calls;

void count_foreign(int signum) {
  (void) signum;
  foreign_calls++;
}

void await_foreign_calls(int n) {
  int i;

  for (i = 0; i < 1000 && foreign_calls < n; i++)
    sched_yield();
}

/* --- Checks --------------------------------------------------------------- */

void check_failed(const char* file, int line, const char* format, ...) {
  va_list arguments;

  fprintf(stderr, "%s:%d: ", file, line);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  _exit(1);
}

void check_str(const char* file,
               int line,
               const char* what,
               const char* actual,
               const char* expected) {
  if (actual == NULL || strcmp(actual, expected) != 0)
    check_failed(file,
                 line,
                 "%s is \"%s\", not \"%s\"",
                 what,
                 actual != NULL ? actual : "(null)",
                 expected);
}

struct sigaction stop_and_put_back(struct recorder* r) {
  int signum = r->w.signum;
  struct sigaction ours = action_of(signum);

  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
  CHECK_EQ(sigaction(signum, &ours, NULL), 0);
  return ours;
}

void check_books(const uvsig_t* sig,
                 int signum,
                 uint64_t delivered,
                 uint64_t discarded) {
  uvsig_stats_t stats;

  uvsig_stats(sig, signum, &stats);
  CHECK_EQ(stats.delivered, delivered);
  CHECK_EQ(stats.discarded, discarded);
  CHECK_EQ(stats.caught, delivered + discarded);
}

void queue_value(int signum, int value) {
  const union sigval sigval = {.sival_int = value};
  int err;

  while ((err = uvsig_sigqueue(getpid(), signum, sigval)) == UV_EAGAIN)
    usleep(1000);
  CHECK_EQ(err, 0);
}

void queue_values(int signum, int n) {
  int i;

  for (i = 0; i < n; i++)
    queue_value(signum, i);
}

void check_handled(unsigned long long actual, unsigned long long expected) {
  if (under_thread_sanitizer())
    CHECK(actual <= expected);
  else
    CHECK_EQ(actual, expected);
}

void limit_queue(void) {
#ifdef RLIMIT_SIGPENDING
  struct rlimit limit;

  CHECK_EQ(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
  limit.rlim_cur /= 8;
  CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
#endif
}

bool is_waiting(int signum) {
  sigset_t set;

  CHECK_EQ(sigpending(&set), 0);
  return sigismember(&set, signum) == 1;
}

void raise_times(int signum, unsigned times) {
  while (times-- > 0)
    CHECK_EQ(uvsig_raise_signal(signum), 0);
}

void open_terminal(int* terminal, int* tty) {
  const char* name = NULL;

  *tty = -1;
  *terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (*terminal >= 0 && grantpt(*terminal) == 0 && unlockpt(*terminal) == 0)
    name = ptsname(*terminal);
  if (name != NULL)
    *tty = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*tty < 0)
    skip_test("there is no pseudo-terminal to be had here");
}

struct errand {
  pthread_t id;
  void (*fn)(void);
  bool is_done;
};

static void* run_errand(void* argument) {
  struct errand* errand = argument;

  errand->is_done = pthread_equal(pthread_self(), errand->id) != 0;
  if (errand->is_done)
    errand->fn();
  return NULL;
}

void run_with_id(pthread_t id, void (*fn)(void)) {
  struct errand errand = {.id = id, .fn = fn};
  pthread_t thread;
  int i;

  for (i = 0; i < 10 && !errand.is_done; i++) {
    CHECK_EQ(pthread_create(&thread, NULL, run_errand, &errand), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
  }
  if (!errand.is_done)
    skip_test("the ids of threads that have ended are not used again at once");
}

void let_pass(uint64_t milliseconds) {
  uint64_t end = uv_hrtime() + milliseconds * 1000 * 1000;

  while (uv_hrtime() < end)
    ;
}

/* Of a UNIX socket this would count what the peer has not read. */
static bool is_on_its_way(int fd) {
#ifdef SIOCOUTQ
  struct sockaddr_storage address;
  socklen_t size = sizeof(address);
  int count = 0;

  return getsockname(fd, (struct sockaddr*) &address, &size) == 0 &&
         address.ss_family == AF_INET && ioctl(fd, SIOCOUTQ, &count) == 0 &&
         count > 0;
#else
  (void) fd;
  return false;
#endif
}

void wait_delivered(int fd) {
  while (is_on_its_way(fd))
    uv_sleep(1);
}

/* An interrupted connect() goes on in the kernel, or, with a UNIX socket, has
 * not begun. */
int connect_fully(int fd, const void* address, socklen_t size) {
  struct pollfd pollfd = {fd, POLLOUT, 0};

  for (;;) {
    if (connect(fd, address, size) == 0 || errno == EISCONN)
      return 0;
    if (errno == EALREADY)
      poll(&pollfd, 1, -1);
    else if (errno != EINTR)
      return -1;
  }
}

bool send_fully(int fd, const void* data, size_t size) {
  const char* from = data;
  ssize_t n;

  for (; size > 0; from += n, size -= (size_t) n) {
    n = UNINTERRUPTED(send(fd, from, size, MSG_NOSIGNAL));
    if (n < 0)
      return false;
  }
  return true;
}

/* --- Loops ---------------------------------------------------------------- */

static void on_closed(uvsig_t* sig) {
  struct fixture* f = sig->data;

  f->closed++;
}

void fixture_open(struct fixture* f, const uvsig_options_t* options) {
  memset(f, 0, sizeof(*f));
  CHECK_EQ(uv_loop_init(&f->loop), 0);
  f->sig.data = f;
  CHECK_EQ(uvsig_init(&f->loop, &f->sig, options), 0);
}

unsigned long read_warnings;
int read_warning_error;

static void on_read_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  CHECK_EQ(warning->kind, UVSIG_WARN_WRITE_ERROR);
  read_warning_error = warning->error;
  read_warnings++;
}

static void open_queued(struct fixture* f, uvsig_warning_cb warning_cb) {
  uvsig_options_t options;
  int err;

  memset(f, 0, sizeof(*f));
  CHECK_EQ(uv_loop_init(&f->loop), 0);
  f->sig.data = f;
  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  options.warning_cb = warning_cb;
  err = uvsig_init(&f->loop, &f->sig, &options);
  if (err == UV_ENOTSUP)
    skip_test("this system has no signalfd()");
  CHECK_EQ(err, 0);
}

void fixture_open_queued(struct fixture* f) {
  open_queued(f, NULL);
}

void fixture_open_warned(struct fixture* f) {
  open_queued(f, on_read_warning);
}

void fixture_close(struct fixture* f) {
  if (f->closed == 0) {
    CHECK_EQ(uvsig_close(&f->sig, on_closed), 0);
    CHECK_EQ(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(f->closed, 1);
  }
  close_loop(&f->loop);
}

void close_loop(uv_loop_t* loop) {
  int err = uv_loop_close(loop);

  if (err != 0)
    uv_print_all_handles(loop, stderr);
  CHECK_EQ(err, 0);
}

void run_until(uv_loop_t* loop,
               const unsigned long* count,
               unsigned long expected) {
  while (*count < expected)
    if (uv_run(loop, UV_RUN_ONCE) == 0)
      break;
  CHECK_EQ(*count, expected);
}

void run_idle(uv_loop_t* loop) {
  struct pollfd pollfd = {uv_backend_fd(loop), POLLIN, 0};

  /* The first turn registers what is new with the kernel. */
  do
    uv_run(loop, UV_RUN_NOWAIT);
  while (poll(&pollfd, 1, 0) == 1);
}

/* --- Recorders ------------------------------------------------------------ */

void record(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  struct recorder* r = w->data;

  CHECK(info->count >= 1);
  CHECK_EQ(info->signum, signum);
  CHECK(info->flags == 0 || info->flags == UVSIG_INFO_NONE);
  CHECK(info->flags == UVSIG_INFO_NONE || info->count == 1);
  r->calls++;
  r->signals += info->count;
  if (info->count > r->largest)
    r->largest = info->count;
  r->signum = signum;
  r->last = *info;
  if (r->then != NULL)
    r->then(r);
}

void recorder_init(struct recorder* r, uvsig_t* sig) {
  memset(r, 0, sizeof(*r));
  r->w.data = r;
  CHECK_EQ(uvsig_watcher_init(sig, &r->w), 0);
}

void recorder_start(struct recorder* r, int signum) {
  CHECK_EQ(uvsig_watcher_start(&r->w, record, signum), 0);
}

void recorder_start_oneshot(struct recorder* r, int signum) {
  CHECK_EQ(uvsig_watcher_start_oneshot(&r->w, record, signum), 0);
}
