/* SPDX-License-Identifier: MIT
 *
 * Scenarios: what the service manager is told, by this process and by a
 * successor whose predecessor has ended, and lines on standard error.
 */

#include "scenario.h"
#include "server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- A service manager ------------------------------------------------------ */

static int manager;
static char heard[4096]; /* all messages, a line each */

static void open_manager(const char* variable) {
  struct sockaddr_un address;
  socklen_t size = sizeof(address);
  char name[sizeof(address.sun_path) + 1];

  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(manager >= 0);
  CHECK_EQ(bind(manager, (struct sockaddr*) &address, sizeof(sa_family_t)), 0);
  CHECK_EQ(getsockname(manager, (struct sockaddr*) &address, &size), 0);
  size -= offsetof(struct sockaddr_un, sun_path);
  memcpy(name, address.sun_path, size);
  name[0] = '@';
  name[size] = 0;
  CHECK_EQ(setenv(variable, name, 1), 0);
  heard[0] = 0;
}

static void hear(void) {
  size_t length = strlen(heard);
  ssize_t n;

  while ((n = recv(manager, heard + length, sizeof(heard) - length - 2, 0)) >
         0) {
    length += (size_t) n;
    heard[length++] = '\n';
    heard[length] = 0;
  }
}

static bool has_heard(const char* line) {
  hear();
  return strstr(heard, line) != NULL;
}

static void close_manager(void) {
  CHECK_EQ(close(manager), 0);
}

/* Lack of room passes; a message that cannot be sent at all is lost. */
static bool is_lost(void) {
  int error = fault->plan.error;

  return has_failed("socket sendmsg") &&
         (fault->plan.is_for_good ||
          !(error == EAGAIN || error == EINTR || error == ENOBUFS ||
            error == ENOMEM || error == EMFILE || error == ENFILE));
}

static bool is_ready(void) {
  return is_lost() || has_heard("READY=1");
}

static bool has_stopped(void) {
  return is_lost() || has_heard("STOPPING=1");
}

/* --- Reloads --------------------------------------------------------------- */

static uvsig_reload_t reload;
static unsigned reloads;

static void on_reload(uvsig_reload_t* r) {
  reloads++;
  if (reloads == 1)
    TRY("", uvsig_reload_finish(r));
  else
    TRY("", uvsig_reload_fail(r, UV_EACCES));
}

static bool has_reloaded(void) {
  return reloads >= 1;
}

static bool has_reloaded_again(void) {
  return reloads >= 2;
}

static void tell_the_manager(void) {
  open_manager("NOTIFY_SOCKET");
  CHECK_EQ(setenv("WATCHDOG_USEC", "60000000", 1), 0);
  init_signals(NULL);
  init_shutdown(NULL);
  TRY("", uvsig_shutdown_ready(&server.sd));
  turn_until(is_ready);
  TRY_INIT("", &reload, uvsig_reload_init(&server.sd, &reload));
  TRY("+ calloc sigaction", uvsig_reload_start(&reload, on_reload, SIGHUP));
  CHECK_EQ(raise(SIGHUP), 0);
  turn_until(has_reloaded);
  TRY("", uvsig_reload_request(&reload));
  turn_until(has_reloaded_again);
  TRY("", uvsig_reload_stop(&reload));
  CHECK_EQ(raise(SIGTERM), 0);
  finish_shutdown();
  if (!has_failed("socket sendmsg"))
    CHECK(has_stopped() && has_heard("RELOADING=1"));
  close_shutdown();
  close_signals();
  close_manager();
  CHECK_EQ(unsetenv("NOTIFY_SOCKET"), 0);
  CHECK_EQ(unsetenv("WATCHDOG_USEC"), 0);
}

/* --- A successor whose predecessor ends ------------------------------------ */

static pid_t successor;

static bool is_adopted(void) {
  char line[40];

  snprintf(line, sizeof(line), "MAINPID=%ld\n", (long) successor);
  return has_heard(line);
}

/* It ends when its standard input does, which is a pipe of the test's. */
static void be_successor(int input, int told) {
  struct pollfd pollfd = {input, POLLIN, 0};
  char name[128];

  snprintf(name, sizeof(name), "%s", getenv("UVSIG_NOTIFY_SOCKET"));

  init_signals(NULL);
  init_shutdown(NULL);
  /* For whatever else reads it. */
  CHECK(has_failed("setenv") ? getenv("NOTIFY_SOCKET") == NULL
                             : strcmp(getenv("NOTIFY_SOCKET"), name) == 0);
  TRY("", uvsig_shutdown_ready(&server.sd));
  CHECK_EQ(write(told, "+", 1), 1);
  while (poll(&pollfd, 1, 1) == 0)
    uv_run(&s.loop, UV_RUN_NOWAIT);
  close_shutdown();
  close_signals();
  _exit(0);
}

/* Ends as soon as its successor is ready. */
static void be_predecessor(int input, int told) {
  char byte;
  int ready[2];

  CHECK_EQ(pipe(ready), 0);
  successor = fork();
  CHECK(successor >= 0);
  if (successor == 0)
    be_successor(input, ready[1]);
  CHECK_EQ(close(ready[1]), 0);
  CHECK_EQ(UNINTERRUPTED(read(ready[0], &byte, 1)), 1);
  CHECK_EQ(write(told, &successor, sizeof(successor)), sizeof(successor));
  _exit(0);
}

/* What stays unsent for good, or ends the helper, is not tried for ever, nor
 * waited for. */
static bool may_stay_unnamed(void) {
  return atomic_load(&fault->failed) > 0;
}

static void adopt(void) {
#ifdef PR_SET_CHILD_SUBREAPER
  int input[2];
  int told[2];
  int status;
  pid_t predecessor;
  uint64_t end;

  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  open_manager("UVSIG_NOTIFY_SOCKET");
  CHECK_EQ(setenv("NOTIFY_SOCKET", "@uvsig-test-nobody", 1), 0);
  CHECK_EQ(pipe(input), 0);
  CHECK_EQ(pipe(told), 0);
  predecessor = fork();
  CHECK(predecessor >= 0);
  if (predecessor == 0) {
    close(input[1]);
    be_predecessor(input[0], told[1]);
  }
  CHECK_EQ(close(told[1]), 0);
  CHECK_EQ(UNINTERRUPTED(read(told[0], &successor, sizeof(successor))),
           sizeof(successor));
  CHECK_EQ(UNINTERRUPTED(waitpid(predecessor, &status, 0)), predecessor);
  CHECK_EQ(status, 0);
  end = uv_hrtime() + UINT64_C(20000000000);
  while (!is_adopted() && uv_hrtime() < end &&
         !(may_stay_unnamed() && uv_hrtime() + UINT64_C(19900000000) > end))
    uv_sleep(1);
  CHECK(is_adopted() || may_stay_unnamed());
  CHECK_EQ(close(input[0]), 0);
  CHECK_EQ(close(input[1]), 0);
  CHECK_EQ(close(told[0]), 0);
  close_manager(); /* a helper that waits for it ends */
  CHECK_EQ(UNINTERRUPTED(waitpid(successor, &status, 0)), successor);
  CHECK_EQ(status, 0);
  while (UNINTERRUPTED(waitpid(-1, &status, 0)) > 0) /* helpers */
    ;
  CHECK_EQ(unsetenv("NOTIFY_SOCKET"), 0);
  CHECK_EQ(unsetenv("UVSIG_NOTIFY_SOCKET"), 0);
#else
  skip_test("no subreaper here");
#endif
}

/* --- Lines on standard error ------------------------------------------------ */

/* Whatever standard error is, and whatever of it fails, the shutdown goes on. */
static void log_to(int to) {
  uvsig_shutdown_options_t options;
  int saved = dup(STDERR_FILENO);

  CHECK(saved >= 0 && to >= 0);
  shutdown_options(&options);
  options.log = 1;
  init_signals(NULL);
  init_shutdown(&options);
  CHECK(dup2(to, STDERR_FILENO) >= 0);
  TRY("", uvsig_shutdown_request(&server.sd, "test", UVSIG_SHUTDOWN_GRACEFUL));
  finish_shutdown();
  CHECK(dup2(saved, STDERR_FILENO) >= 0);
  CHECK_EQ(close(saved), 0);
  close_shutdown();
  close_signals();
}

static void log_to_a_file(void) {
  log_to(STDERR_FILENO);
}

static void log_to_a_device(void) {
  int fd = open("/dev/null", O_WRONLY);

  log_to(fd);
  CHECK_EQ(close(fd), 0);
}

static void log_to_a_pipe(void) {
  int fds[2];

  CHECK_EQ(pipe(fds), 0);
  log_to(fds[1]);
  CHECK_EQ(close(fds[0]), 0);
  CHECK_EQ(close(fds[1]), 0);
}

static void log_to_a_socket(void) {
  int fds[2];

  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  log_to(fds[1]);
  CHECK_EQ(close(fds[0]), 0);
  CHECK_EQ(close(fds[1]), 0);
}

const struct scenario manager_scenarios[] = {{"manager", tell_the_manager},
                                             {"adoption", adopt},
                                             {"log, file", log_to_a_file},
                                             {"log, device", log_to_a_device},
                                             {"log, pipe", log_to_a_pipe},
                                             {"log, socket", log_to_a_socket},
                                             {NULL, NULL}};
