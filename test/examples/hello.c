/* SPDX-License-Identifier: MIT
 *
 * The examples in README: they must do what their first comments say.
 */

#include "../lib/program.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
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

/* A port that was free an instant ago. */
static unsigned find_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK_EQ(bind(fd, (const struct sockaddr*) &address, sizeof(address)), 0);
  CHECK_EQ(getsockname(fd, (struct sockaddr*) &address, &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

static unsigned port;
static int fd;

static bool serves_or_has_ended(void* data) {
  (void) data;
  fd = try_connect(port);
  return fd >= 0 || program_has_ended(&p);
}

/* Another process may take the port in between. */
static bool start_server(void) {
  char text[16];

  port = find_port();
  snprintf(text, sizeof(text), "%u", port);
  program_start(&p, LIST("examples/02-server", text), NULL);
  wait_until(serves_or_has_ended, NULL, "a server");
  if (fd < 0)
    program_end(&p);
  return fd >= 0;
}

static void the_smallest_server_answers_and_dies_by_sigterm(void) {
  int tries = 1;
  int status;

  while (!start_server())
    CHECK(tries++ < 10);
  send_text(fd, "hello");
  expect_text(fd, "hello");
  program_signal(&p, SIGTERM);
  expect_end(fd);
  status = program_finish(&p);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

/* As port 0, it would serve on one that it does not name. */
static void it_refuses_what_is_no_port(void) {
  static const char* const wrong[] = {"--help", "0", "-1", "65536"};
  size_t i;
  int status;

  for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    program_start(&p, LIST("examples/02-server", wrong[i]), NULL);
    status = program_finish(&p);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_smallest_program_ends_its_loop_and_dies_by_sigint),
      TEST(the_smallest_program_does_so_on_sigterm),
      TEST(the_smallest_server_answers_and_dies_by_sigterm),
      TEST(it_refuses_what_is_no_port),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
