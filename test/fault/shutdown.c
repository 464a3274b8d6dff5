/* SPDX-License-Identifier: MIT
 *
 * Scenarios: shutdowns, of a server with connections, of one with work and
 * child processes, and the exit.
 */

#include "scenario.h"
#include "server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void ignore_event(uvsig_shutdown_connection_t* c,
                         uvsig_shutdown_event_t event) {
  (void) c;
  (void) event;
}

static void give_up(void) {
  static uvsig_shutdown_connection_t c;

  init_signals(NULL);
  init_shutdown(NULL);
  TRY_INIT("", &c, uvsig_shutdown_add_connection(&server.sd, &c, ignore_event));
  TRY("", uvsig_shutdown_remove_connection(&c));
  TRY("", uvsig_shutdown_set_exit_status(&server.sd, 3));
  TRY("", uvsig_shutdown_ready(&server.sd));
  CHECK_EQ(uvsig_shutdown_is_ready(&server.sd), 1);
  TRY("", uvsig_shutdown_extend(&server.sd, 10));
  close_shutdown();
  close_signals();
}

/* --- What is ignored ------------------------------------------------------ */

static void leave_what_is_ignored(void) {
  install_handler(SIGINT, SIG_IGN);
  init_signals(NULL);
  init_shutdown(NULL);
  CHECK_EQ(raise(SIGINT), 0);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_shutdown_phase(&server.sd), UVSIG_SHUTDOWN_RUNNING);
  close_shutdown();
  close_signals();
  install_handler(SIGINT, SIG_DFL);
}

/* --- Connections ---------------------------------------------------------- */

static uv_tcp_t listener;
static uvsig_shutdown_listener_t registered;
static struct {
  uv_tcp_t tcp;
  uvsig_shutdown_connection_t c;
  uv_write_t write;
} conns[2];
static unsigned accepted;
static unsigned answered;
static unsigned freed;

static void on_conn_closed(uv_handle_t* handle) {
  (void) handle;
  freed++;
}

static void provide(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  static char room[64];

  (void) handle;
  (void) size;
  *buf = uv_buf_init(room, sizeof(room));
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  uvsig_shutdown_connection_t* c = stream->data;
  uv_buf_t answer = uv_buf_init((char[]){'y'}, 1);
  unsigned i = stream == (uv_stream_t*) &conns[0].tcp ? 0 : 1;

  (void) buf;
  if (n <= 0)
    return;
  TRY("", uvsig_shutdown_connection_busy(c));
  CHECK_EQ(uv_write(&conns[i].write, stream, &answer, 1, NULL), 0);
  TRY("", uvsig_shutdown_connection_idle(c));
  answered++;
}

static void on_connection(uv_stream_t* from, int status) {
  unsigned i = accepted;

  CHECK_EQ(status, 0);
  CHECK(i < 2);
  CHECK_EQ(uv_tcp_init(&s.loop, &conns[i].tcp), 0);
  conns[i].tcp.data = &conns[i].c;
  CHECK_EQ(uv_accept(from, (uv_stream_t*) &conns[i].tcp), 0);
  TRY_INIT("",
           &conns[i].c,
           uvsig_shutdown_add_stream(&server.sd,
                                     &conns[i].c,
                                     (uv_stream_t*) &conns[i].tcp,
                                     on_conn_closed));
  CHECK_EQ(uv_read_start((uv_stream_t*) &conns[i].tcp, provide, on_read), 0);
  accepted++;
}

static bool has_accepted(void) {
  return accepted > 0;
}

static bool has_answered(void) {
  return answered > 0;
}

static int connect_client(void) {
  struct sockaddr_storage address;
  int size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  CHECK(fd >= 0);
  CHECK_EQ(uv_tcp_getsockname(&listener, (struct sockaddr*) &address, &size),
           0);
  CHECK_EQ(connect_fully(fd, &address, (socklen_t) size), 0);
  CHECK(send_fully(fd, "x", 1));
  return fd;
}

static void listen_for_clients(void) {
  struct sockaddr_in address;

  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  CHECK_EQ(uv_tcp_init(&s.loop, &listener), 0);
  CHECK_EQ(uv_tcp_bind(&listener, (struct sockaddr*) &address, 0), 0);
  CHECK_EQ(uv_listen((uv_stream_t*) &listener, 8, on_connection), 0);
  TRY_INIT("",
           &registered,
           uvsig_shutdown_add_listener(
               &server.sd, &registered, (uv_stream_t*) &listener, NULL));
  TRY("", uvsig_shutdown_listener_set_fd(&registered, -1, "web"));
}

/* Each gets its answer, and then the end. */
static void check_client(int fd) {
  char byte = 0;

  CHECK_EQ(UNINTERRUPTED(recv(fd, &byte, 1, 0)), 1);
  CHECK_EQ(byte, 'y');
  CHECK_EQ(UNINTERRUPTED(recv(fd, &byte, 1, 0)), 0);
  CHECK_EQ(close(fd), 0);
}

static void serve_clients(void) {
  uvsig_shutdown_options_t options;
  int clients[2];

  shutdown_options(&options);
  options.linger_ms = 2;
  init_signals(NULL);
  init_shutdown(&options);
  listen_for_clients();
  clients[0] = connect_client();
  turn_until(has_accepted);
  clients[1] = connect_client(); /* waits to be accepted */
  CHECK_EQ(raise(SIGTERM), 0);
  finish_shutdown();
  CHECK_EQ(accepted, 2);
  CHECK_EQ(freed, 2);
  CHECK_EQ(server.sd.report.signum, SIGTERM);
  CHECK_EQ(server.sd.report.open, 0);
  close_shutdown();
  check_client(clients[0]);
  check_client(clients[1]);
  close_signals();
}

/* One that the program has closed for writing already. */
static bool is_shut;

static void on_shut(uv_shutdown_t* req, int status) {
  (void) req;
  CHECK_EQ(status, 0);
  is_shut = true;
}

static bool has_shut(void) {
  return is_shut;
}

static bool has_freed(void) {
  return freed > 0;
}

static void linger_on(void) {
  uv_stream_t* stream = (uv_stream_t*) &conns[0].tcp;
  uv_shutdown_t req;
  int client;

  init_signals(NULL);
  init_shutdown(NULL);
  listen_for_clients();
  client = connect_client();
  turn_until(has_answered);
  CHECK_EQ(uv_shutdown(&req, stream, on_shut), 0);
  turn_until(has_shut);
  TRY("", uvsig_shutdown_linger(&conns[0].c, stream, on_conn_closed));
  uv_run(&s.loop, UV_RUN_NOWAIT);
  check_client(client);
  turn_until(has_freed);
  TRY("", uvsig_shutdown_remove_listener(&registered));
  uv_close((uv_handle_t*) &listener, NULL);
  close_shutdown();
  close_signals();
}

/* --- Work ----------------------------------------------------------------- */

static uvsig_shutdown_hold_t hold;
static uvsig_shutdown_closer_t closer;
static unsigned worked;

static void work(uvsig_shutdown_work_t* w) {
  (void) w;
}

static void after_work(uvsig_shutdown_work_t* w, int status) {
  (void) w;
  CHECK_EQ(status, 0);
  worked++;
  TRY("", uvsig_shutdown_release(&hold));
}

static void close_it(uvsig_shutdown_closer_t* c) {
  TRY("", uvsig_shutdown_closed(c));
}

static void finish_work(void) {
  static uvsig_shutdown_work_t request;

  init_signals(NULL);
  init_shutdown(NULL);
  TRY_INIT("", &hold, uvsig_shutdown_hold(&server.sd, &hold, "job"));
  TRY_INIT(
      "", &closer, uvsig_shutdown_add_closer(&server.sd, &closer, close_it));
  TRY("uv_queue_work",
      uvsig_shutdown_queue_work(
          &server.sd, &request, "work", work, after_work));
  TRY("", uvsig_shutdown_request(&server.sd, "test", UVSIG_SHUTDOWN_GRACEFUL));
  finish_shutdown();
  CHECK_EQ(worked, 1);
  CHECK_EQ(server.sd.report.clean, 1);
  close_shutdown();
  close_signals();
}

static void force(void) {
  init_signals(NULL);
  init_shutdown(NULL);
  TRY_INIT("", &hold, uvsig_shutdown_hold(&server.sd, &hold, "job"));
  server.releases = &hold;
  CHECK_EQ(raise(SIGTERM), 0);
  uv_run(&s.loop, UV_RUN_NOWAIT);
  TRY("", uvsig_shutdown_request(&server.sd, "now", UVSIG_SHUTDOWN_FORCED));
  finish_shutdown();
  CHECK_EQ(server.sd.report.signum, SIGTERM);
  close_shutdown();
  close_signals();
}

/* --- Child processes ------------------------------------------------------ */

static uvsig_shutdown_child_t child;
static struct recorder ends;

static void be_child_process(void) {
  const struct timespec for_long = {LONG_MS / 1000, 0};

  setpgid(0, 0);
  signal(SIGTERM, SIG_DFL);
  while (getppid() != 1 && nanosleep(&for_long, NULL) != 0)
    ;
  _exit(0);
}

static void reap(struct recorder* r) {
  (void) r;
  if (child.pid > 0 && waitpid(child.pid, NULL, WNOHANG) == child.pid) {
    TRY("", uvsig_shutdown_remove_child(&child));
    child.pid = 0;
  }
}

static void end_child_processes(void) {
  uvsig_shutdown_options_t options;
  sigset_t none;
  pid_t pid;

  shutdown_options(&options);
  options.grace_ms = 1000; /* for a child that cannot be sent a signal */
  options.hard_ms = 1000;
  init_signals(NULL);
  init_shutdown(&options);
  start_recorder(&ends, SIGCHLD, UVSIG_NOCLDSTOP);
  uvsig_watcher_unref(&ends.w);
  ends.then = reap;
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    be_child_process();
  }
  setpgid(pid, pid);
  TRY_INIT("", &child, uvsig_shutdown_add_child(&server.sd, &child, pid));
  TRY("", uvsig_shutdown_child_set_signal(&child, SIGTERM));
  TRY("getpgid calloc",
      uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP));
  CHECK_EQ(raise(SIGTERM), 0);
  finish_shutdown();
  if (child.pid > 0) { /* nobody could send it anything */
    CHECK(has_failed("kill"));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(UNINTERRUPTED(waitpid(pid, NULL, 0)), pid);
  }
  close_shutdown();
  close_signals();
}

/* --- The exit ------------------------------------------------------------- */

static void exit_by_the_signal(void) {
  init_signals(NULL);
  init_shutdown(NULL);
  CHECK_EQ(raise(SIGTERM), 0);
  finish_shutdown();
  _exit(uvsig_shutdown_exit(&server.sd));
}

static void exit_as_told(void) {
  int status = run_forked(exit_by_the_signal);

  /* By _exit(128 + n), where the default action cannot be had. */
  if (has_failed("sigaction raise"))
    CHECK(WIFEXITED(status) ? WEXITSTATUS(status) == 128 + SIGTERM
                            : WTERMSIG(status) == SIGTERM);
  else
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void get_stuck(void) {
  uvsig_shutdown_options_t options;
  uint64_t end;

  shutdown_options(&options);
  options.grace_ms = 0;
  options.hard_ms = 0;
  options.debounce_ms = 0;
  init_signals(NULL);
  init_shutdown(&options);
  CHECK_EQ(raise(SIGTERM), 0);
  /* Without the kernel's timer the third signal ends it. */
  end = uv_hrtime() + UINT64_C(20000000000);
  while (uv_hrtime() < end && !has_failed("timer_create"))
    uv_sleep(1);
  CHECK_EQ(raise(SIGTERM), 0);
  CHECK_EQ(raise(SIGTERM), 0);
  _exit(0);
}

static void end_when_stuck(void) {
  int status = run_forked(get_stuck);

  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

const struct scenario shutdown_scenarios[] = {
    {"given up", give_up},
    {"ignored", leave_what_is_ignored},
    {"connections", serve_clients},
    {"linger", linger_on},
    {"work", finish_work},
    {"forced", force},
    {"child", end_child_processes},
    {"exit", exit_as_told},
    {"stuck", end_when_stuck},
    {NULL, NULL}};
