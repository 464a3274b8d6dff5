/* SPDX-License-Identifier: MIT
 *
 * The example in README: it must do what its first comment says.
 */

#include "../lib/program.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct program p;
static int expected; /* the signal that is sent */

/* Linux: has it a handler by now? Its text comes a little before. */
static bool is_caught(void* data) {
  char path[32];
  char line[128];
  uint64_t caught = 0;
  FILE* file;

  (void) data;
  snprintf(path, sizeof(path), "/proc/%d/status", (int) p.pid);
  file = fopen(path, "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    if (strncmp(line, "SigCgt:", 7) == 0)
      /* MIPS has more than 64, the lowest last in either case. */
      caught = strtoull(line + strcspn(line, "\n") - 8, NULL, 16);
  fclose(file);
  return (caught >> (expected - 1) & 1) != 0;
}

static void check_end(int signum, const char* text) {
  int status;

  if (access("/proc/self/status", R_OK) != 0)
    skip_test("no /proc/self/status here");
  expected = signum;
  program_start_2to1(&p, LIST("examples/01-hello-sigint"), NULL);
  program_line(&p, "press Ctrl-C");
  wait_until(is_caught, NULL, "a handler");
  program_signal(&p, signum);
  program_line(&p, text);
  program_output_ends(&p);
  status = program_finish(&p);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
}

static void the_smallest_program_ends_its_loop_and_dies_by_sigint(void) {
  check_end(SIGINT, "Interrupt");
}

static void the_smallest_program_does_so_on_sigterm(void) {
  check_end(SIGTERM, "Terminated");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_smallest_program_ends_its_loop_and_dies_by_sigint),
      TEST(the_smallest_program_does_so_on_sigterm),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
