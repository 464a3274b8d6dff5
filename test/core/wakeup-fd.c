/* SPDX-License-Identifier: MIT
 *
 * A wakeup fd of one's own: what is written to it, what is refused, and what is
 * said when writing fails. And the decoder of what was read.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b;
static int fds[2];

static void open_pipe(void) {
  CHECK_EQ(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
}

static void open_socketpair(void) {
  int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int pair[2];

  CHECK_EQ(socketpair(AF_UNIX, type, 0, pair), 0);
  fds[0] = pair[0];
  fds[1] = pair[1];
}

static void close_fds(void) {
  if (fds[0] >= 0)
    close(fds[0]);
  if (fds[1] >= 0)
    close(fds[1]);
}

static void set(int fd, int expected_old) {
  int old = 4711;

  CHECK_EQ(uvsig_set_wakeup_fd(fd, 1, &old), 0);
  CHECK_EQ(old, expected_old);
}

static void watch(struct fixture* fixture, struct recorder* r, int signum) {
  recorder_init(r, &fixture->sig);
  recorder_start(r, signum);
}

/* What has been written, as text: a letter for each of SIGUSR1, SIGUSR2. */
static const char* written(void) {
  static char text[64];
  unsigned char bytes[sizeof(text) - 1];
  ssize_t n = read(fds[0], bytes, sizeof(bytes));
  ssize_t i;

  if (n < 0)
    CHECK_EQ(errno, EAGAIN);
  for (i = 0; i < n; i++)
    text[i] = bytes[i] == SIGUSR1 ? 'A' : bytes[i] == SIGUSR2 ? 'B' : '?';
  text[n > 0 ? n : 0] = '\0';
  return text;
}

/* --- What is written ------------------------------------------------------ */

static void check_order(void) {
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  watch(&f, &b, SIGUSR2);
  set(fds[1], -1);
  raise(SIGUSR1);
  raise(SIGUSR2);
  raise(SIGUSR2);
  raise(SIGUSR1);
  CHECK_STR(written(), "ABBA");
  CHECK_STR(written(), "");
  /* The uvsig_t has them, too. */
  CHECK_EQ(uvsig_flush(&f.sig), 4);
  set(-1, fds[1]);
  raise(SIGUSR1);
  CHECK_STR(written(), "");
  fixture_close(&f);
  close_fds();
}

static void a_pipe_gets_the_numbers_in_the_order_of_arrival(void) {
  open_pipe();
  check_order();
}

static void a_socketpair_gets_the_numbers_in_the_order_of_arrival(void) {
  open_socketpair();
  check_order();
}

static void two_signals_that_were_blocked_are_one_byte_each(void) {
  sigset_t both;
  const char* text;

  open_pipe();
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  watch(&f, &b, SIGUSR2);
  set(fds[1], -1);
  sigemptyset(&both);
  sigaddset(&both, SIGUSR1);
  sigaddset(&both, SIGUSR2);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &both, NULL), 0);
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK_STR(written(), "");
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &both, NULL), 0);
  text = written();
  CHECK(strcmp(text, "AB") == 0 || strcmp(text, "BA") == 0);
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

static void one_byte_is_written_however_many_watch(void) {
  struct recorder more[3];
  int i;

  open_pipe();
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  watch(&f, &a, SIGUSR1);
  watch(&g, &b, SIGUSR1);
  for (i = 0; i < 3; i++)
    watch(&f, &more[i], SIGUSR1);
  set(fds[1], -1);
  raise(SIGUSR1);
  CHECK_STR(written(), "A");
  set(-1, fds[1]);
  fixture_close(&f);
  fixture_close(&g);
  close_fds();
}

static void wake_only_mode_writes_each_number_all_the_same(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.mode = UVSIG_MODE_WAKE_ONLY;
  open_pipe();
  fixture_open(&f, &options);
  watch(&f, &a, SIGUSR1);
  set(fds[1], -1);
  raise_times(SIGUSR1, 3);
  CHECK_STR(written(), "AAA");
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

static void nothing_is_written_for_what_nobody_watches(void) {
  open_pipe();
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(fds[1], -1);
  install_handler(SIGUSR2, count_foreign);
  raise(SIGUSR2);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  raise(SIGUSR1);
  CHECK_STR(written(), "");
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

/* Somebody who had saved our handler puts it back after the last stop. */
static void nothing_is_written_by_a_handler_that_came_back(void) {
  struct sigaction ours;

  open_pipe();
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(fds[1], -1);
  CHECK_EQ(sigaction(SIGUSR1, NULL, &ours), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(sigaction(SIGUSR1, &ours, NULL), 0);
  raise(SIGUSR1);
  CHECK_STR(written(), "");
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

static void the_fd_is_readable_for_a_signal_before_poll(void) {
  struct pollfd pollfd;

  open_pipe();
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(fds[1], -1);
  raise(SIGUSR1);
  pollfd = (struct pollfd){fds[0], POLLIN, 0};
  CHECK_EQ(poll(&pollfd, 1, 0), 1);
  CHECK_EQ(pollfd.revents, POLLIN);
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

/* The signal interrupts the thread that sends it, never the one in poll(). */
static void* raise_in_thread(void* unused) {
  raise(SIGUSR1);
  return unused;
}

static void a_poll_in_progress_wakes(void) {
  struct pollfd pollfd;
  pthread_t thread;

  open_pipe();
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(fds[1], -1);
  CHECK_EQ(pthread_create(&thread, NULL, raise_in_thread, NULL), 0);
  pollfd = (struct pollfd){fds[0], POLLIN, 0};
  CHECK_EQ(poll(&pollfd, 1, -1), 1);
  /* Who reads the byte finds the signal: it was there before. */
  CHECK_STR(written(), "A");
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

/* --- Set ------------------------------------------------------------------ */

static void set_returns_the_previous_fd_and_minus_1_switches_off(void) {
  int first[2];

  open_pipe();
  first[0] = fds[0];
  first[1] = fds[1];
  open_socketpair();
  set(first[1], -1);
  set(fds[1], first[1]);
  set(fds[1], fds[1]);
  CHECK_EQ(uvsig_set_wakeup_fd(first[1], 0, NULL), 0);
  set(-1, first[1]);
  set(-1, -1);
  close_fds();
  close(first[0]);
  close(first[1]);
}

static void get_returns_what_is_set_and_changes_nothing(void) {
  int warn = 4711;

  CHECK_EQ(uvsig_get_wakeup_fd(&warn), -1);
  CHECK_EQ(warn, 0);
  open_pipe();
  set(fds[1], -1);
  CHECK_EQ(uvsig_get_wakeup_fd(&warn), fds[1]);
  CHECK_EQ(warn, 1);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  CHECK_EQ(uvsig_get_wakeup_fd(&warn), fds[1]);
  CHECK_EQ(warn, 0);
  CHECK_EQ(uvsig_get_wakeup_fd(NULL), fds[1]);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_STR(written(), "A");
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, NULL), 0);
  CHECK_EQ(uvsig_get_wakeup_fd(&warn), -1);
  CHECK_EQ(warn, 0);
  fixture_close(&f);
  close_fds();
}

static void what_is_no_nonblocking_fd_is_refused_and_the_previous_stays(void) {
  int blocking[2];
  int old = 4711;

  open_pipe();
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(fds[1], -1);
  CHECK_EQ(pipe2(blocking, O_CLOEXEC), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(blocking[0], 1, &old), UV_EINVAL);
  CHECK_EQ(uvsig_set_wakeup_fd(blocking[1], 1, &old), UV_EINVAL);
  close(blocking[0]);
  close(blocking[1]);
  CHECK_EQ(uvsig_set_wakeup_fd(blocking[1], 1, &old), UV_EBADF);
  CHECK_EQ(uvsig_set_wakeup_fd(1000000, 1, &old), UV_EBADF);
  CHECK_EQ(uvsig_set_wakeup_fd(-5, 1, &old), UV_EBADF);
  CHECK_EQ(uvsig_set_wakeup_fd(-2, 1, &old), UV_EBADF);
  CHECK_EQ(uvsig_set_wakeup_fd(INT_MIN, 1, &old), UV_EBADF);
  CHECK_EQ(old, 4711);
  raise(SIGUSR1);
  CHECK_STR(written(), "A");
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

static void without_an_fd_there_is_no_wish(void) {
  int warn = 4711;

  open_pipe();
  set(-1, -1);
  CHECK_EQ(uvsig_get_wakeup_fd(&warn), -1);
  CHECK_EQ(warn, 0);
  set(fds[1], -1);
  set(-1, fds[1]);
  CHECK_EQ(uvsig_get_wakeup_fd(&warn), -1);
  CHECK_EQ(warn, 0);
  close_fds();
}

static void have_none(void) {
  CHECK_EQ(uvsig_get_wakeup_fd(NULL), -1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  set(fds[1], -1);
  set(-1, fds[1]);
}

/* Before there is a uvsig_t, and then. */
static void a_child_of_a_fork_has_none(void) {
  open_pipe();
  set(fds[1], -1);
  CHECK_EQ(run_forked(have_none), 0);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(fds[1], fds[1]);
  CHECK_EQ(run_forked(have_none), 0);
  raise(SIGUSR1);
  CHECK_STR(written(), "A");
  set(-1, fds[1]);
  fixture_close(&f);
  close_fds();
}

/* --- Failures ------------------------------------------------------------- */

static unsigned warnings;
static uvsig_warning_kind_t kind;
static int error;
static int warned_fd;
static uint64_t total;
static uint64_t total_usr1;

static void on_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  CHECK(sig == &f.sig);
  warnings++;
  kind = warning->kind;
  error = warning->error;
  warned_fd = warning->fd;
  total = warning->total;
  total_usr1 = warning->counts[SIGUSR1];
}

static void open_warned(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.warning_cb = on_warning;
  options.warn_on_full_buffer = 0; /* of its own, that is */
  fixture_open(&f, &options);
  watch(&f, &a, SIGUSR1);
}

static unsigned long fill(void) {
  unsigned long n = 0;

  while (write(fds[1], "", 1) == 1)
    n++;
  CHECK_EQ(errno, EAGAIN);
  return n;
}

static void drain(void) {
  char bytes[4096];

  while (read(fds[0], bytes, sizeof(bytes)) > 0)
    ;
}

static void without_an_fd_nothing_is_warned_of(void) {
  open_pipe();
  open_warned();
  set(fds[1], -1);
  set(-1, fds[1]);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 1);
  CHECK_EQ(warnings, 0);
  CHECK_STR(written(), "");
  fixture_close(&f);
  close_fds();
}

static void the_number_may_be_0(void) {
  int input = dup(0);

  open_pipe();
  CHECK_EQ(dup2(fds[1], 0), 0);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(0, -1);
  CHECK_EQ(uvsig_get_wakeup_fd(NULL), 0);
  raise(SIGUSR1);
  CHECK_STR(written(), "A");
  set(-1, 0);
  fixture_close(&f);
  close_fds();
  if (input >= 0) {
    CHECK_EQ(dup2(input, 0), 0);
    close(input);
  } else {
    close(0);
  }
}

static void check_full(int warn) {
  open_warned();
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], warn, NULL), 0);
  fill();
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.signals, 3);
  CHECK_EQ(warnings, warn ? 1 : 0);
  if (warn) {
    CHECK_EQ(kind, UVSIG_WARN_FULL_BUFFER);
    CHECK_EQ(error, UV_EAGAIN);
    CHECK_EQ(warned_fd, fds[1]);
    CHECK_EQ(total, 3);
    CHECK_EQ(total_usr1, 3);
  }
  /* Of one episode, once. */
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.signals, 5);
  CHECK_EQ(warnings, warn ? 1 : 0);
  /* A byte that fits ends it. The next warning has what the last one had
   * not. */
  drain();
  raise(SIGUSR1);
  CHECK_STR(written(), "A");
  fill();
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 7);
  CHECK_EQ(warnings, warn ? 2 : 0);
  if (warn)
    CHECK_EQ(total, 3);
}

static void end_full(void) {
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, NULL), 0);
  fixture_close(&f);
  close_fds();
}

static void a_full_pipe_is_warned_of_once_an_episode(void) {
  open_pipe();
  check_full(1);
  end_full();
}

static void a_full_socketpair_is_warned_of_once_an_episode(void) {
  open_socketpair();
  check_full(1);
  end_full();
}

static void without_the_wish_a_full_buffer_is_not_warned_of(void) {
  open_pipe();
  check_full(0);
  /* And the wish of the last call is not that of the next. */
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, NULL), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 8);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(total, 1);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 9);
  CHECK_EQ(warnings, 1);
  end_full();
}

/* The setting is 0: other errors are warned of all the same. */
static void check_error(int expected) {
  open_warned();
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  if (expected == UV_EPIPE) {
    close(fds[0]);
    fds[0] = -1;
  } else if (expected == UV_EBADF) {
    close(fds[1]);
    fds[1] = -1;
  }
  raise_times(SIGUSR1, 2);
  run_until(&f.loop, &a.signals, 2);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(error, expected);
  CHECK(warned_fd >= 0);
  CHECK_EQ(total, 2);
  check_books(&f.sig, SIGUSR1, 2, 0);
  end_full();
}

static void a_pipe_without_reader_is_reported_and_raises_no_sigpipe(void) {
  open_pipe();
  check_error(UV_EPIPE);
}

static void a_socket_without_reader_is_reported_and_raises_no_sigpipe(void) {
  open_socketpair();
  check_error(UV_EPIPE);
}

static void an_fd_that_was_closed_is_reported(void) {
  open_pipe();
  check_error(UV_EBADF);
}

static void an_fd_that_cannot_be_written_is_reported(void) {
  int read_end;

  open_pipe();
  /* The reader's is EBADF, too: not open for writing (write(2)). */
  open_warned();
  read_end = fds[0];
  CHECK_EQ(uvsig_set_wakeup_fd(read_end, 0, NULL), 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 1);
  CHECK_EQ(warnings, 1);
  CHECK_EQ(kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(error, UV_EBADF);
  CHECK_EQ(warned_fd, read_end);
  end_full();
}

/* The first failure is the full buffer; then its reader goes. */
static void another_error_in_an_episode_is_reported_too(void) {
  open_pipe();
  open_warned();
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, NULL), 0);
  fill();
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 1);
  CHECK_EQ(kind, UVSIG_WARN_FULL_BUFFER);
  close(fds[0]);
  fds[0] = -1;
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 2);
  CHECK_EQ(warnings, 2);
  CHECK_EQ(kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(error, UV_EPIPE);
  end_full();
}

/* Without a callback it is a line on standard error. */
static void the_line_names_the_fd(void) {
  char expected[256];
  char text[256];
  int saved = dup(STDERR_FILENO);
  int err[2];
  ssize_t n;

  open_pipe();
  CHECK_EQ(pipe(err), 0);
  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  set(fds[1], -1);
  fill();
  CHECK(dup2(err[1], STDERR_FILENO) >= 0);
  raise(SIGUSR1);
  uvsig_flush(&f.sig);
  CHECK(dup2(saved, STDERR_FILENO) >= 0);
  n = read(err[0], text, sizeof(text) - 1);
  CHECK(n > 0);
  text[n] = '\0';
  snprintf(
      expected,
      sizeof(expected),
      "libuvsig: wakeup fd %d full, 1 signals not written to it: SIGUSR1 1\n",
      fds[1]);
  CHECK_STR(text, expected);
  close(saved);
  close(err[0]);
  close(err[1]);
  end_full();
}

/* --- Under fire ----------------------------------------------------------- */

static atomic_bool over;

static void* raise_until_over(void* unused) {
  while (!over)
    raise(SIGUSR1);
  return unused;
}

/* The old one is closed at once, and its number used again by a pipe that
 * nobody may write to. */
static void after_set_nothing_is_written_to_the_previous_fd(void) {
  pthread_t thread;
  unsigned i;
  int decoy[2];
  int pair[2];
  char byte;

  fixture_open(&f, NULL);
  watch(&f, &a, SIGUSR1);
  CHECK_EQ(pthread_create(&thread, NULL, raise_until_over, NULL), 0);
  while (a.signals == 0)
    uvsig_flush(&f.sig);
  for (i = 0; i < scaled(2000) && has_time(); i++) {
    CHECK_EQ(pipe2(pair, O_NONBLOCK), 0);
    CHECK_EQ(uvsig_set_wakeup_fd(pair[1], 0, NULL), 0);
    CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
    close(pair[0]);
    close(pair[1]);
    CHECK_EQ(pipe2(decoy, O_NONBLOCK), 0);
    uvsig_flush(&f.sig);
    CHECK_EQ(read(decoy[0], &byte, 1), -1);
    CHECK_EQ(errno, EAGAIN);
    close(decoy[0]);
    close(decoy[1]);
  }
  over = true;
  CHECK_EQ(pthread_join(thread, NULL), 0);
  fixture_close(&f);
}

static void* set_until_over(void* unused) {
  while (!over)
    CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  return unused;
}

/* Nothing is watched, nothing has been: the lock alone is taken. */
static void a_child_of_a_fork_is_not_locked_out(void) {
  pthread_t thread;
  unsigned i;
  int status;
  pid_t pid;

  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer's own locks are held around fork(), too");
  CHECK_EQ(pthread_create(&thread, NULL, set_until_over, NULL), 0);
  for (i = 0; i < scaled(500) && has_time(); i++) {
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
      _exit(uvsig_alarm(0) != 0);
    CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(status, 0);
  }
  over = true;
  CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void* raise_often(void* unused) {
  unsigned i;

  for (i = 0; i < scaled(20000) && has_time(); i++)
    raise(SIGUSR1);
  return unused;
}

/* The SIGPIPE of each write is taken back where it is, in its thread. */
static void a_lost_reader_leaves_sigpipe_alone_in_a_storm(void) {
  pthread_t threads[4];
  uvsig_stats_t stats;
  sigset_t set;
  int i;

  /* LLVM 19's runtime now and then finds that a thread whose handler calls
   * sigwait() has none of its slots, and ends the process. */
  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer may fail a check of its own");
  open_pipe();
  open_warned();
  watch(&f, &b, SIGPIPE);
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, NULL), 0);
  close(fds[0]);
  fds[0] = -1;
  for (i = 0; i < 4; i++)
    CHECK_EQ(pthread_create(&threads[i], NULL, raise_often, NULL), 0);
  for (i = 0; i < 1000 && has_time(); i++) {
    CHECK_EQ(uvsig_getsignal(SIGPIPE), UVSIG_WATCHED);
    CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
    CHECK_EQ(uvsig_getsignal(SIGPIPE), UVSIG_DEFAULT);
    recorder_start(&b, SIGPIPE);
  }
  for (i = 0; i < 4; i++)
    CHECK_EQ(pthread_join(threads[i], NULL), 0);
  uvsig_flush(&f.sig);
  CHECK_EQ(b.calls, 0);
  /* One that somebody has sent to the process is not ours to take. */
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(kill(getpid(), SIGPIPE), 0);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_until(&f.loop, &b.calls, 1);
  uvsig_flush(&f.sig);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.caught, a.signals);
  end_full();
}

/* --- Decoding ------------------------------------------------------------- */

static void decode_counts_signals_and_passes_over_the_rest(void) {
  const unsigned char bytes[] = {
      SIGUSR1, SIGTERM, 0, SIGUSR1, UVSIG_NSIG, 255, 32, SIGUSR1};
  unsigned counts[UVSIG_NSIG];
  unsigned sum = 0;
  int i;

  memset(counts, 0x5a, sizeof(counts));
  CHECK_EQ(uvsig_decode(bytes, sizeof(bytes), counts), 4);
  CHECK_EQ(counts[SIGUSR1], 3);
  CHECK_EQ(counts[SIGTERM], 1);
  for (i = 0; i < UVSIG_NSIG; i++)
    sum += counts[i];
  CHECK_EQ(sum, 4);
  CHECK_EQ(uvsig_decode(NULL, 0, counts), 0);
  CHECK_EQ(counts[SIGUSR1], 0);
}

static void decode_refuses_null(void) {
  unsigned counts[UVSIG_NSIG] = {4711};

  CHECK_EQ(uvsig_decode(NULL, 1, counts), UV_EINVAL);
  CHECK_EQ(uvsig_decode("", 1, NULL), UV_EINVAL);
  CHECK_EQ(counts[0], 4711);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_pipe_gets_the_numbers_in_the_order_of_arrival),
      TEST(a_socketpair_gets_the_numbers_in_the_order_of_arrival),
      TEST(two_signals_that_were_blocked_are_one_byte_each),
      TEST(one_byte_is_written_however_many_watch),
      TEST(wake_only_mode_writes_each_number_all_the_same),
      TEST(nothing_is_written_for_what_nobody_watches),
      TEST(nothing_is_written_by_a_handler_that_came_back),
      TEST(the_fd_is_readable_for_a_signal_before_poll),
      TEST(a_poll_in_progress_wakes),
      TEST(set_returns_the_previous_fd_and_minus_1_switches_off),
      TEST(get_returns_what_is_set_and_changes_nothing),
      TEST(what_is_no_nonblocking_fd_is_refused_and_the_previous_stays),
      TEST(without_an_fd_there_is_no_wish),
      TEST(a_child_of_a_fork_has_none),
      TEST(without_an_fd_nothing_is_warned_of),
      TEST(the_number_may_be_0),
      TEST(a_full_pipe_is_warned_of_once_an_episode),
      TEST(a_full_socketpair_is_warned_of_once_an_episode),
      TEST(without_the_wish_a_full_buffer_is_not_warned_of),
      TEST(a_pipe_without_reader_is_reported_and_raises_no_sigpipe),
      TEST(a_socket_without_reader_is_reported_and_raises_no_sigpipe),
      TEST(an_fd_that_was_closed_is_reported),
      TEST(an_fd_that_cannot_be_written_is_reported),
      TEST(another_error_in_an_episode_is_reported_too),
      TEST(the_line_names_the_fd),
      TEST(after_set_nothing_is_written_to_the_previous_fd),
      TEST(a_child_of_a_fork_is_not_locked_out),
      TEST(a_lost_reader_leaves_sigpipe_alone_in_a_storm),
      TEST(decode_counts_signals_and_passes_over_the_rest),
      TEST(decode_refuses_null),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
