/* SPDX-License-Identifier: MIT
 *
 * The example in README: it must do what its first comment says.
 */

#include "../lib/harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start_example(int* output) {
  int fds[2];
  pid_t pid;

  CHECK_EQ(pipe(fds), 0);
  fflush(NULL);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    dup2(fds[1], 1);
    close(fds[0]);
    close(fds[1]);
    execl("examples/01-hello-sigint", "01-hello-sigint", (char*) NULL);
    _exit(127);
  }
  close(fds[1]);
  *output = fds[0];
  return pid;
}

static void expect_text(int fd, const char* expected) {
  char text[64];
  size_t length = strlen(expected);
  size_t have = 0;
  ssize_t n;

  while (have < length && (n = read(fd, text + have, length - have)) > 0)
    have += (size_t) n;
  text[have] = '\0';
  CHECK_STR(text, expected);
}

static void the_smallest_program_stops_its_loop_and_dies_by_sigint(void) {
  char byte;
  int output;
  int status;
  pid_t pid;

  /* Seen with clang 14: the handler was not called, and the loop slept on. */
  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer may hold a signal back while the loop sleeps");
  pid = start_example(&output);
  expect_text(output, "press Ctrl-C\n");
  CHECK_EQ(kill(pid, SIGINT), 0);
  expect_text(output, "interrupted\n");
  CHECK_EQ(read(output, &byte, 1), 0);
  close(output);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGINT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_smallest_program_stops_its_loop_and_dies_by_sigint),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
