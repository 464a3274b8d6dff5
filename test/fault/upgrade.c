/* SPDX-License-Identifier: MIT
 *
 * Scenarios: listening sockets that were handed over, and an upgrade. The
 * successor is this test program again: see be_a_successor().
 */

#include "upgrade.h"

#include "scenario.h"
#include "server.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- The successor ---------------------------------------------------------- */

int be_a_successor(void) {
  struct sockaddr_un address;
  const char* name = getenv("NOTIFY_SOCKET");
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  size_t length;
  char byte;

  CHECK(fd >= 0 && name != NULL);
  length = strlen(name);
  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  CHECK(length < sizeof(address.sun_path));
  memcpy(address.sun_path, name, length);
  address.sun_path[0] = 0;
  CHECK_EQ(
      sendto(fd,
             "READY=1",
             7,
             0,
             (struct sockaddr*) &address,
             (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length)),
      7);
  /* Standard input ends with the test that has started it. */
  while (UNINTERRUPTED(read(STDIN_FILENO, &byte, 1)) > 0)
    ;
  return 0;
}

/* --- An upgrade -------------------------------------------------------------- */

static uvsig_upgrade_t upgrade;
static uvsig_shutdown_listener_t listeners[2];
static uv_tcp_t tcp;
static bool is_over;
static int over_status;

static void on_upgrade(uvsig_upgrade_t* u, int status) {
  (void) u;
  is_over = true;
  over_status = status;
}

static bool has_ended(void) {
  return is_over;
}

static void close_nothing(uvsig_shutdown_listener_t* l) {
  (void) l;
}

/* One of libuv's, and one that is none. */
static void listen_on_two(int* raw) {
  struct sockaddr_in address;

  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  CHECK_EQ(uv_tcp_init(&s.loop, &tcp), 0);
  CHECK_EQ(uv_tcp_bind(&tcp, (struct sockaddr*) &address, 0), 0);
  CHECK_EQ(uv_listen((uv_stream_t*) &tcp, 8, NULL), 0);
  *raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(*raw >= 0);
  CHECK_EQ(listen(*raw, 8), 0);
  TRY("",
      uvsig_shutdown_add_listener(
          &server.sd, &listeners[0], (uv_stream_t*) &tcp, NULL));
  TRY("",
      uvsig_shutdown_add_listener(
          &server.sd, &listeners[1], NULL, close_nothing));
  TRY("", uvsig_shutdown_listener_set_fd(&listeners[1], *raw, "raw"));
}

/* What an upgrade that was not to be says for it. */
#define UPGRADE_CALLS                                                          \
 "calloc malloc socket setsockopt bind getsockname uv_pipe fork fcntl_dupfd "    \
 "dup2 execve uv_poll_init sigaction uv_signal_init uv_signal_start uv_fileno"

/* Whatever fails, this process serves on, and the next one succeeds. The
 * successor's end is looked for, and where nobody knows of it, it has ended. */
static void run_upgrade(void) {
  TRY("", uvsig_upgrade_request(&upgrade));
  turn_until(has_ended);
  if (over_status == 0)
    return;
  if (!has_failed(UPGRADE_CALLS " waitpid_now write"))
    check_failed(__FILE__, __LINE__, "the upgrade: %d", over_status);
  if (has_failed(UPGRADE_CALLS))
    CHECK_EQ(over_status, -fault->plan.error);
  else
    CHECK_EQ(over_status, UV_ESRCH);
  lift_faults();
  is_over = false;
  TRY("", uvsig_upgrade_request(&upgrade));
  turn_until(has_ended);
  CHECK_EQ(over_status, 0);
}

/* Standard input is a pipe: the successor ends when its other end is closed. */
static struct {
  int saved;
  int end;
  int raw;
} ends;

static void begin_upgrades(unsigned settle_ms) {
  static char path[4096];
  static char name[] = "every-internal";
  static char role[] = SUCCESSOR;
  static char* args[] = {name, role, NULL};
  uvsig_upgrade_options_t options;
  ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
  int input[2];

  ends.saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  CHECK(n > 0 && ends.saved >= 0);
  path[n] = 0;
  CHECK_EQ(pipe2(input, O_CLOEXEC), 0);
  CHECK(dup2(input[0], STDIN_FILENO) >= 0);
  CHECK_EQ(close(input[0]), 0);
  ends.end = input[1];
  uvsig_upgrade_options_init(&options);
  options.file = path;
  options.args = args;
  options.settle_ms = settle_ms;
  init_signals(NULL);
  init_shutdown(NULL);
  listen_on_two(&ends.raw);
  TRY_INIT("", &upgrade, uvsig_upgrade_init(&server.sd, &upgrade, &options));
  TRY("+ calloc sigaction", uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2));
}

static void end_upgrades(void) {
  close_shutdown();
  close_signals();
  CHECK_EQ(close(ends.raw), 0);
  CHECK(dup2(ends.saved, STDIN_FILENO) >= 0);
  CHECK_EQ(close(ends.saved), 0);
  CHECK_EQ(close(ends.end), 0);
  while (UNINTERRUPTED(waitpid(-1, NULL, 0)) > 0)
    ;
}

static void start_a_successor(void) {
  begin_upgrades(1);
  run_upgrade();
  finish_shutdown();
  CHECK(server.sd.report.successor > 0);
  TRY("", uvsig_upgrade_stop(&upgrade));
  end_upgrades();
}

/* One that has not settled is killed, and waited for. */
static bool has_begun(void) {
  return upgrade.pid > 0 || is_over;
}

static void give_up_a_successor(void) {
  begin_upgrades(LONG_MS);
  TRY("", uvsig_upgrade_request(&upgrade));
  turn_until(has_begun);
  if (is_over)
    CHECK(has_failed(UPGRADE_CALLS " waitpid_now write"));
  TRY("", uvsig_shutdown_remove_listener(&listeners[0]));
  uv_close((uv_handle_t*) &tcp, NULL);
  end_upgrades();
}

/* The path and the arguments are read once, and kept. */
static void know_its_own_program(void) {
  int held;

  init_signals(NULL);
  init_shutdown(NULL);
  held = atomic_load(&fault_held);
  TRY_INIT("+ uv_exepath strdup fopen malloc realloc getdelim",
           &upgrade,
           uvsig_upgrade_init(&server.sd, &upgrade, NULL));
  atomic_store(&fault_held, held);
  close_shutdown();
  close_signals();
}

/* --- Sockets that were handed over -------------------------------------------- */

static void take_listen_fds(void) {
  uvsig_listen_fd_t fds[2];
  char pid[32];
  int saved = fcntl(3, F_DUPFD_CLOEXEC, 64); /* or there is none */
  int raw = socket(AF_INET, SOCK_STREAM, 0);
  int held;

  CHECK(raw >= 0);
  CHECK_EQ(listen(raw, 8), 0);
  if (raw != 3) {
    CHECK_EQ(dup2(raw, 3), 3);
    CHECK_EQ(close(raw), 0);
  }
  snprintf(pid, sizeof(pid), "%ld", (long) getpid());
  CHECK_EQ(setenv("LISTEN_PID", pid, 1), 0);
  CHECK_EQ(setenv("LISTEN_FDS", "1", 1), 0);
  CHECK_EQ(setenv("LISTEN_FDNAMES", "web", 1), 0);
  held = atomic_load(&fault_held);
  CHECK_EQ(TRY_INIT("getsockopt strdup", &fds, uvsig_listen_fds(fds, 2)), 1);
  atomic_store(&fault_held, held); /* the names stay */
  CHECK_EQ(fds[0].fd, 3);
  CHECK_STR(fds[0].name, "web");
  if (!has_failed("fcntl_setfd"))
    CHECK_EQ(fcntl(3, F_GETFD), FD_CLOEXEC);
  CHECK(getenv("LISTEN_FDS") == NULL);
  if (saved >= 0) {
    CHECK_EQ(dup2(saved, 3), 3);
    CHECK_EQ(close(saved), 0);
  } else {
    CHECK_EQ(close(3), 0);
  }
}

const struct scenario upgrade_scenarios[] = {
    {"upgrade", start_a_successor},
    {"no upgrade", give_up_a_successor},
    {"own program", know_its_own_program},
    {"listen fds", take_listen_fds},
    {NULL, NULL}};
