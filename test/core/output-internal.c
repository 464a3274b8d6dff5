/* SPDX-License-Identifier: MIT
 *
 * The library's lines on standard error: they come where there is room, keep
 * nobody where there is none, and leave signals, masks, errno and the descriptor as
 * they were. Linked with --wrap, so that something can come between.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LINE "libuvsig: a line\n"

static int ends[2] = {-1, -1}; /* of what is standard error in a test */
static int own;                /* and the one from before */
static struct rlimit files;

/* Done when the library asks for room, or NULL. It returns whether there is
 * any. */
static bool (*at_poll)(void);

int __real_poll(struct pollfd* fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout);
EARLY int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout) {
  if (at_poll != NULL) {
    CHECK_EQ(timeout, 0); /* the library waits for no reader */
    if (!at_poll())
      return 0;
  }
  return __real_poll(fds, count, timeout);
}

static void use(int fd) {
  own = dup(STDERR_FILENO);
  CHECK(own >= 0);
  CHECK_EQ(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

static void use_pipe(void) {
  CHECK_EQ(pipe(ends), 0);
  use(ends[1]);
}

static void use_sockets(void) {
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  use(ends[1]);
}

static void use_terminal(void) {
  open_terminal(&ends[0], &ends[1]);
  use(ends[1]);
}

/* No descriptor is left to open it again with. */
static void use_up_files(void) {
  struct rlimit none;
  int lowest = dup(0);

  CHECK(lowest >= 0);
  close(lowest);
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  none = files;
  none.rlim_cur = (rlim_t) lowest;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
}

static void print(void) {
  sigset_t before;
  sigset_t after;
  sigset_t waiting;
  int signum;

  CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
  errno = EPIPE; /* an old one */
  uvsig__print(LINE);
  CHECK_EQ(errno, EPIPE);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK_EQ(sigismember(&after, signum), sigismember(&before, signum));
  CHECK_EQ(sigpending(&waiting), 0);
  CHECK_EQ(sigismember(&waiting, SIGXFSZ), 0);
}

/* A terminal may give a part of it. */
static void check_text(const char* expected) {
  char text[2 * sizeof(LINE)];
  size_t length = 0;
  ssize_t n;

  do {
    n = read(ends[0], text + length, sizeof(text) - 1 - length);
    CHECK(n > 0);
    length += (size_t) n;
  } while (length < strlen(expected));
  text[length] = 0;
  CHECK_STR(text, expected);
}

static void end(void) {
  if (files.rlim_cur != 0)
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  CHECK_EQ(dup2(own, STDERR_FILENO), STDERR_FILENO);
  close(own);
  if (ends[0] >= 0)
    close(ends[0]);
  if (ends[1] >= 0)
    close(ends[1]);
}

static void fill(void) {
  char text[4096];
  int flags = fcntl(STDERR_FILENO, F_GETFL);
  size_t size = sizeof(text);

  memset(text, '.', sizeof(text));
  CHECK_EQ(fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK), 0);
  for (; size > 0; size /= 2)
    while (write(STDERR_FILENO, text, size) > 0)
      ;
  CHECK_EQ(errno, EAGAIN);
  CHECK_EQ(fcntl(STDERR_FILENO, F_SETFL, flags), 0);
}

/* --- Where it comes, and where it does not ---------------------------------- */

static bool fail_to_ask(void) {
  CHECK(false);
  return false;
}

static void it_comes_where_there_is_room(void) {
  static void (*const uses[])(void) = {use_pipe, use_sockets};
  size_t i;

  for (i = 0; i < 2; i++) {
    uses[i]();
    at_poll = fail_to_ask; /* another process might take what there is */
    print();
    at_poll = NULL;
    check_text(LINE);
    end();
  }
  use_pipe();
  use_up_files();
  print();
  check_text(LINE);
  end();
}

static void it_comes_to_a_file(void) {
  FILE* file = tmpfile();
  char text[64] = "";

  CHECK(file != NULL);
  use(fileno(file));
  print();
  CHECK_EQ(pread(fileno(file), text, sizeof(text), 0), strlen(LINE));
  CHECK_STR(text, LINE);
  end();
  fclose(file);
}

/* That a session without a terminal is left without. */
static void print_in_a_session(void) {
  CHECK(setsid() >= 0);
  at_poll = fail_to_ask;
  print();
  CHECK(open("/dev/tty", O_RDWR) < 0);
}

static void it_comes_to_a_terminal_which_stays_nobodys(void) {
  use_terminal();
  CHECK_EQ(run_forked(print_in_a_session), 0);
  check_text("libuvsig: a line\r\n");
  use_up_files();
  print();
  check_text("libuvsig: a line\r\n");
  end();
}

/* Else this would not end. */
static void without_room_it_keeps_nobody(void) {
  static void (*const uses[])(void) = {use_pipe, use_sockets};
  size_t i;

  for (i = 0; i < 2; i++) {
    uses[i]();
    fill();
    print();
    end();
  }
  use_pipe();
  fill();
  use_up_files();
  print();
  end();
}

static void a_terminal_without_room_keeps_nobody(void) {
  use_terminal();
  fill();
  print();
  use_up_files();
  print();
  end();
}

static void where_nobody_is_left_no_signal_is(void) {
  static void (*const uses[])(void) = {use_pipe, use_sockets};
  size_t i;

  for (i = 0; i < 2; i++) {
    uses[i]();
    close(ends[0]);
    ends[0] = -1;
    print();
    CHECK(!is_waiting(SIGPIPE));
    print();
    end();
  }
}

static void lose_reader(void) {
  close(ends[0]);
  ends[0] = -1;
  print();
  end();
}

static void block(int signum) {
  sigset_t set = set_of(signum);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

/* Of a lower number. */
static void what_else_waits_is_left_alone(void) {
  block(SIGHUP);
  CHECK_EQ(raise(SIGHUP), 0);
  use_pipe();
  lose_reader();
  CHECK(is_waiting(SIGHUP));
  CHECK(!is_waiting(SIGPIPE));
}

static void neither_is_one_of_what_was_full_or_hung_up(void) {
  use_pipe();
  fill();
  lose_reader();
  use_terminal();
  lose_reader();
}

static void a_closed_descriptor_is_no_error(void) {
  own = dup(STDERR_FILENO);
  CHECK(own >= 0);
  close(STDERR_FILENO);
  print();
  end();
}

static void use_full_file(void) {
  const struct rlimit none = {0, RLIM_INFINITY};
  FILE* file = tmpfile();

  CHECK(file != NULL);
  ends[1] = dup(fileno(file));
  fclose(file);
  use(ends[1]);
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
}

static void a_file_at_its_size_limit_raises_nothing(void) {
  use_full_file();
  print();
  print();
  end();
}

/* --- What is not of the line ------------------------------------------------ */

static void a_signal_that_waits_already_is_left_alone(void) {
  use_pipe();
  close(ends[0]);
  ends[0] = -1;
  block(SIGPIPE);
  raise(SIGPIPE);
  uvsig__print(LINE);
  CHECK(is_waiting(SIGPIPE));
  end();
  use_full_file();
  block(SIGXFSZ);
  raise(SIGXFSZ);
  uvsig__print(LINE);
  CHECK(is_waiting(SIGXFSZ));
  end();
}

static int raised;
static bool finds_room;

static bool raise_it(void) {
  raise(raised);
  return finds_room;
}

static void check_that_it_comes(int signum, int old_error, bool has_room) {
  foreign_calls = 0;
  install_handler(signum, count_foreign);
  raised = signum;
  finds_room = has_room;
  at_poll = raise_it;
  errno = old_error;
  uvsig__print(LINE);
  at_poll = NULL;
  await_foreign_calls(1);
  CHECK_EQ(foreign_calls, 1);
}

/* Whatever errno was: a write that succeeds, or is not tried, does not set it. */
static void a_signal_that_comes_meanwhile_has_its_handler(void) {
  use_pipe();
  use_up_files();
  check_that_it_comes(SIGPIPE, EPIPE, false);
  check_that_it_comes(SIGXFSZ, EFBIG, false);
  check_that_it_comes(SIGPIPE, EPIPE, true);
  check_that_it_comes(SIGXFSZ, EFBIG, true);
  check_that_it_comes(SIGTERM, EPIPE, true);
  end();
}

/* --- Cancellation ----------------------------------------------------------- */

static bool has_returned;

static void* print_cancelled(void* unused) {
  pthread_cancel(pthread_self());
  uvsig__print(LINE);
  has_returned = true;
  pthread_testcancel();
  return unused;
}

static void a_thread_that_is_cancelled_prints_it_first(void) {
  pthread_t thread;
  void* result;

  use_pipe();
  CHECK_EQ(pthread_create(&thread, NULL, print_cancelled, NULL), 0);
  CHECK_EQ(pthread_join(thread, &result), 0);
  CHECK(has_returned);
  CHECK(result == PTHREAD_CANCELED);
  check_text(LINE);
  end();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_comes_where_there_is_room),
      TEST(it_comes_to_a_file),
      TEST(it_comes_to_a_terminal_which_stays_nobodys),
      TEST(without_room_it_keeps_nobody),
      TEST(a_terminal_without_room_keeps_nobody),
      TEST(where_nobody_is_left_no_signal_is),
      TEST(what_else_waits_is_left_alone),
      TEST(neither_is_one_of_what_was_full_or_hung_up),
      TEST(a_closed_descriptor_is_no_error),
      TEST(a_file_at_its_size_limit_raises_nothing),
      TEST(a_signal_that_waits_already_is_left_alone),
      TEST(a_signal_that_comes_meanwhile_has_its_handler),
      TEST(a_thread_that_is_cancelled_prints_it_first),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
