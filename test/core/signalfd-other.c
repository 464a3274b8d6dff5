/* SPDX-License-Identifier: MIT
 *
 * The signalfd source where the program has closed the descriptor, and has
 * something else under its number: what is read of that is no signal of a
 * watcher, and nothing is lost of what comes.
 */

#include "../lib/harness.h"

#include <string.h>
#ifdef HAVE_SYS_SIGNALFD_H
# include <sys/signalfd.h>
#endif
#include <unistd.h>

#if defined(__linux__) && defined(HAVE_SYS_SIGNALFD_H)

static struct fixture f;
static struct recorder a;

/* Of the one signalfd of this process. */
static int find_descriptor(void) {
  char path[64];
  char name[64];
  ssize_t n;
  int fd;

  for (fd = 0; fd < 1024; fd++) {
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, name, sizeof(name) - 1);
    if (n <= 0)
      continue;
    name[n] = 0;
    if (strcmp(name, "anon_inode:[signalfd]") == 0)
      return fd;
  }
  skip_test("/proc does not show the descriptor");
  return -1;
}

static void open_watched(void) {
  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
}

/* Returns the number, which is the program's to close where it is none. */
static int replace_by(int fd) {
  int number = find_descriptor();

  CHECK(number != fd);
  CHECK_EQ(dup2(fd, number), number);
  CHECK_EQ(close(fd), 0);
  return number;
}

static void check_that_it_works(void) {
  unsigned long before = a.signals;

  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, before + 1);
  fixture_close(&f);
}

/* Another signalfd, of a signal that no watcher of the loop has, or has not any
 * more. */
static void read_of_another(bool was_watched) {
  struct recorder b;
  sigset_t set = set_of(SIGUSR2);

  open_watched();
  if (was_watched) {
    recorder_init(&b, &f.sig);
    recorder_start(&b, SIGUSR2);
    CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  }
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR2);
  replace_by(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(a.calls, 0);
  check_that_it_works();
}

static void a_signal_that_was_never_watched_is_nobodys(void) {
  read_of_another(false);
}

static void nor_is_one_that_is_not_watched_any_more(void) {
  read_of_another(true);
}

static void numbers_that_are_no_signals_are_passed_over(void) {
  static const uint32_t numbers[] = {0, UVSIG_NSIG, 9999, 1u << 31, UINT32_MAX};
  struct signalfd_siginfo info;
  size_t i;
  int number;
  int fds[2];

  open_watched();
  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
    memset(&info, 0, sizeof(info));
    info.ssi_signo = numbers[i];
    CHECK_EQ(write(fds[1], &info, sizeof(info)), sizeof(info));
  }
  number = replace_by(fds[0]);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(close(fds[1]), 0);
  check_that_it_works();
  CHECK_EQ(close(number), 0);
}

#else

static void skip(void) {
  skip_test("the system does not show the descriptor");
}
# define a_signal_that_was_never_watched_is_nobodys  skip
# define nor_is_one_that_is_not_watched_any_more     skip
# define numbers_that_are_no_signals_are_passed_over skip

#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_signal_that_was_never_watched_is_nobodys),
      TEST(nor_is_one_that_is_not_watched_any_more),
      TEST(numbers_that_are_no_signals_are_passed_over),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
