/* SPDX-License-Identifier: MIT
 *
 * Upgrades, from the predecessor's side and from the successor's. This program
 * is the successor, too: see roles. What a successor does with its sockets in a
 * server under load is in test/examples.
 */

#include "../lib/program.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 120 * 1000, FDS = 4, NOBODY = 65534 };

static char self[4096];

/* --- Roles: the successor -------------------------------------------------- */

static void wait_for_ever(void) {
  poll(NULL, 0, PATIENCE_MS);
}

/* As a program without this library. */
static void notify(const char* text) {
  const char* name = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  size_t length;

  CHECK(name != NULL && name[0] == '@');
  length = strlen(name);
  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name + 1, length - 1);
  CHECK_EQ(
      sendto(fd,
             text,
             strlen(text),
             0,
             (struct sockaddr*) &address,
             (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length)),
      (ssize_t) strlen(text));
  close(fd);
}

static void say_ready(void) {
  notify("STATUS=here\nREADY=1");
}

/* A letter on standard output: what has happened. */
static void tell(const char* text) {
  CHECK_EQ(write(STDOUT_FILENO, text, strlen(text)), (ssize_t) strlen(text));
}

static void say_something_else(void) {
  notify("READY=10\nSTATUS=READY=1\nX_READY=1");
  notify("READY=0");
  notify("READY=");
  wait_for_ever();
}

/* Messages that are longer than the 4,095 bytes which are read. They may end
 * after the 1 of READY=10, but whole lines before that are heard. */
static void say_too_much(const char* begin) {
  static const char end[] = "\nREADY=10";
  char text[4095 + sizeof(end)];

  memset(text, 'x', sizeof(text));
  memcpy(text, begin, strlen(begin));
  memcpy(text + 4095 - strlen("\nREADY=1"), end, sizeof(end));
  notify(text);
}

static void say_more_than_is_read(void) {
  say_too_much("STATUS=here\n");
  wait_for_ever();
}

static void say_it_before_too_much(void) {
  say_too_much("READY=1\n");
  wait_for_ever();
}

static void be_ready(void) {
  say_ready();
  tell("r");
  wait_for_ever();
}

/* Once it is continued. */
static void be_ready_later(void) {
  raise(SIGSTOP);
  be_ready();
}

static void be_ready_and_end(void) {
  say_ready();
  _exit(4);
}

static void be_ready_and_end_later(void) {
  say_ready();
  poll(NULL, 0, 50);
  _exit(8);
}

static void end_at_once(void) {
  _exit(3);
}

static void end_later(void) {
  poll(NULL, 0, 50);
  _exit(6);
}

/* The port is its predecessor's: a server that takes no socket over. */
static void bind_its_own(void) {
  struct sockaddr_in address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  CHECK_EQ(uv_ip4_addr("127.0.0.1", atoi(getenv("PORT")), &address), 0);
  _exit(bind(fd, (struct sockaddr*) &address, sizeof(address)) == 0 ? 0 : 5);
}

static void be_ready_as_another_user(void) {
  CHECK_EQ(setresuid(NOBODY, NOBODY, NOBODY), 0);
  say_ready();
  wait_for_ever();
}

static void end_as_another_user(void) {
  CHECK_EQ(setresuid(NOBODY, NOBODY, NOBODY), 0);
  _exit(7);
}

static void die(void) {
  raise(SIGKILL);
}

static void hang(void) {
  tell("h");
  wait_for_ever();
}

static void hang_deaf(void) {
  signal(SIGTERM, SIG_IGN);
  hang();
}

/* A letter for each SIGTERM, and another one for SIGRTMIN. */
static void tell_signals(void) {
  sigset_t set;
  int signum;

  sigfillset(&set);
  CHECK_EQ(sigprocmask(SIG_SETMASK, &set, NULL), 0);
  tell("h");
  while (sigwait(&set, &signum) == 0)
    if (signum == SIGTERM)
      tell("t");
    else if (signum == SIGRTMIN)
      tell("x");
}

static void be_ready_twice(void) {
  say_ready();
  be_ready();
}

/* It is not the successor that is ready. */
static void have_another_say_it(void) {
  pid_t pid = fork();

  if (pid == 0) {
    say_ready();
    _exit(0);
  }
  (void) UNINTERRUPTED(waitpid(pid, NULL, 0));
  wait_for_ever();
}

static void on_accept(uv_stream_t* stream, int status) {
  static uv_tcp_t client;
  uv_buf_t text = uv_buf_init((char[]){"successor"}, 9);

  CHECK_EQ(status, 0);
  CHECK_EQ(uv_tcp_init(stream->loop, &client), 0);
  CHECK_EQ(uv_accept(stream, (uv_stream_t*) &client), 0);
  CHECK_EQ(uv_try_write((uv_stream_t*) &client, &text, 1), 9);
  uv_close((uv_handle_t*) &client, NULL);
}

static void reload_at_once(uvsig_reload_t* r) {
  tell("l");
  CHECK_EQ(uvsig_reload_finish(r), 0);
}

/* A server with this library, as its users write it. */
static void serve(void) {
  static uvsig_shutdown_listener_t listener;
  static uvsig_reload_t reload;
  static uvsig_shutdown_t sd;
  static uvsig_t sig;
  static uv_tcp_t tcp;
  uv_loop_t* loop = uv_default_loop();
  uvsig_listen_fd_t fds[FDS];

  CHECK_EQ(uvsig_listen_fds(fds, FDS), 1);
  CHECK_EQ(uvsig_init(loop, &sig, NULL), 0);
  CHECK_EQ(uvsig_shutdown_init(&sig, &sd, NULL), 0);
  CHECK_EQ(uv_tcp_init(loop, &tcp), 0);
  CHECK_EQ(uv_tcp_open(&tcp, fds[0].fd), 0);
  CHECK_EQ(uv_listen((uv_stream_t*) &tcp, 16, on_accept), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &listener, (uv_stream_t*) &tcp, NULL),
      0);
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, reload_at_once, SIGHUP), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  if (getenv("TWICE") != NULL)
    CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  if (getenv("TELLS") != NULL)
    tell("r");
  uv_run(loop, UV_RUN_DEFAULT);
  exit(uvsig_shutdown_exit(&sd));
}

static bool has_lost(void* parent) {
  return getppid() != *(pid_t*) parent;
}

/* It goes on when its predecessor has gone. */
static void serve_alone(void) {
  pid_t parent = getppid();

  tell("h");
  wait_until(has_lost, &parent, "the predecessor ends");
  serve();
}

static unsigned port_of(int fd) {
  struct sockaddr_in address;
  socklen_t size = sizeof(address);

  CHECK_EQ(getsockname(fd, (struct sockaddr*) &address, &size), 0);
  return ntohs(address.sin_port);
}

/* What it was started with, in one line. */
static void tell_all(void) {
  uvsig_listen_fd_t fds[FDS];
  uvsig_shutdown_t sd;
  struct sigaction action;
  uvsig_t sig;
  sigset_t mask;
  int signum;
  int fd;
  int n = uvsig_listen_fds(fds, FDS);

  printf("%d sockets: ", n);
  for (fd = 0; fd < n; fd++)
    printf("%s=%d%s ",
           fds[fd].name,
           (int) port_of(fds[fd].fd),
           fcntl(fds[fd].fd, F_GETFD) == FD_CLOEXEC ? "" : " not closed");
  for (fd = 3 + n; fd < 1024; fd++)
    if (fcntl(fd, F_GETFD) >= 0)
      printf("descriptor %d ", fd);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&mask, signum) == 1 ||
        (sigaction(signum, NULL, &action) == 0 && action.sa_handler == SIG_IGN))
      printf("%s ", uvsig_signal_name(signum));
  memset(&sd, 0, sizeof(sd));
  CHECK_EQ(uvsig_init(uv_default_loop(), &sig, NULL), 0);
  CHECK_EQ(uvsig_shutdown_init(&sig, &sd, NULL), 0);
  printf("%s %s %s %s.",
         getenv("LISTEN_PID") == NULL ? "-" : "pid",
         getenv("LISTEN_FDNAMES") == NULL ? "-" : "names",
         getenv("UVSIG_NOTIFY_SOCKET") == NULL ? "-" : "notify",
         getenv("NOTIFY_SOCKET") == NULL ? "-" : getenv("NOTIFY_SOCKET"));
  fflush(stdout);
  wait_for_ever();
}

static const struct {
  const char* name;
  void (*run)(void);
} roles[] = {
    {"be_ready", be_ready},
    {"be_ready_and_end", be_ready_and_end},
    {"be_ready_and_end_later", be_ready_and_end_later},
    {"be_ready_as_another_user", be_ready_as_another_user},
    {"bind_its_own", bind_its_own},
    {"end_as_another_user", end_as_another_user},
    {"end_at_once", end_at_once},
    {"end_later", end_later},
    {"die", die},
    {"be_ready_later", be_ready_later},
    {"be_ready_twice", be_ready_twice},
    {"hang", hang},
    {"hang_deaf", hang_deaf},
    {"have_another_say_it", have_another_say_it},
    {"say_something_else", say_something_else},
    {"say_more_than_is_read", say_more_than_is_read},
    {"say_it_before_too_much", say_it_before_too_much},
    {"serve", serve},
    {"serve_alone", serve_alone},
    {"tell_all", tell_all},
    {"tell_signals", tell_signals},
};

static int run_role(const char* name) {
  size_t i;

  for (i = 0; i < sizeof(roles) / sizeof(*roles); i++)
    if (strcmp(roles[i].name, name) == 0)
      roles[i].run();
  return 1;
}

/* --- The predecessor -------------------------------------------------------- */

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static uvsig_upgrade_t upgrade;
static uvsig_upgrade_options_t upgrade_options;
static uvsig_shutdown_listener_t listener;
static uv_tcp_t tcp;
static int told[2]; /* standard output, which the successor has, too */
static unsigned long calls;
static int result;
static bool is_logged;
static bool is_silent;
static unsigned delay_ms;

static void on_upgrade(uvsig_upgrade_t* u, int status) {
  CHECK(u == &upgrade);
  calls++;
  result = status;
}

static void on_connection(uv_stream_t* stream, int status) {
  (void) stream;
  (void) status;
}

/* A server with one listener. Its successor is to run `role`. */
static void open_server(const char* role) {
  static char* args[3];
  struct sockaddr_in address;

  args[0] = self;
  args[1] = strdup(role);
  CHECK_EQ(pipe2(told, O_CLOEXEC), 0);
  CHECK_EQ(dup2(told[1], STDOUT_FILENO), STDOUT_FILENO);
  close(told[1]);
  uvsig_shutdown_options_init(&options);
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.log = is_logged;
  options.notify = !is_silent;
  options.delay_ms = delay_ms;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  uvsig_upgrade_options_init(&upgrade_options);
  upgrade_options.file = self;
  upgrade_options.args = args;
  upgrade_options.ready_ms = LONG_MS;
  upgrade_options.settle_ms = 0;
  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  CHECK_EQ(uv_tcp_init(&f.loop, &tcp), 0);
  CHECK_EQ(uv_tcp_bind(&tcp, (struct sockaddr*) &address, 0), 0);
  CHECK_EQ(uv_listen((uv_stream_t*) &tcp, 16, on_connection), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &listener, (uv_stream_t*) &tcp, NULL),
      0);
}

static void start_upgrade(void) {
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  while (calls == 0 && upgrade.pid == 0)
    uv_run(&f.loop, UV_RUN_ONCE);
}

/* Run the loop until the successor has told this, the rest of a line. */
static void await_told(const char* text) {
  char heard[1024] = "";
  size_t length = 0;
  struct pollfd fd = {told[0], POLLIN, 0};

  while (strstr(heard, text) == NULL) {
    uv_run(&f.loop, UV_RUN_NOWAIT);
    if (poll(&fd, 1, 1) != 1)
      continue;
    CHECK(length < sizeof(heard) - 1);
    CHECK_EQ(UNINTERRUPTED(read(told[0], heard + length, 1)), 1);
    length++;
  }
}

static void close_server(void) {
  close(told[0]);
  free(upgrade_options.args[1]);
  if (uvsig_shutdown_phase(&sd) >= 0)
    CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  if (!uv_is_closing((uv_handle_t*) &tcp))
    uv_close((uv_handle_t*) &tcp, NULL);
  fixture_close(&f);
}

static void become_subreaper(void) {
#ifdef __linux__
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
#else
  skip_test("orphans cannot be waited for here");
#endif
}

/* Of this process: it is not waited for. */
static pid_t only_child(void) {
  char path[64];
  FILE* file;
  int pid = 0;

  snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int) getpid());
  file = fopen(path, "re");
  if (file == NULL)
    skip_test("there is no /proc/self/task/*/children");
  CHECK_EQ(fscanf(file, "%d", &pid), 1);
  fclose(file);
  return pid;
}

static void end_successor(uv_pid_t pid, int signum) {
  int status;

  CHECK_EQ(kill(pid, signum), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
}

/* --- It is ready ------------------------------------------------------------- */

static unsigned own_port(void) {
  uv_os_fd_t fd;

  CHECK_EQ(uv_fileno((uv_handle_t*) &tcp, &fd), 0);
  return port_of(fd);
}

static void expect_served(unsigned port) {
  struct sockaddr_in address;
  char text[16] = "";
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  CHECK_EQ(uv_ip4_addr("127.0.0.1", (int) port, &address), 0);
  CHECK_EQ(connect_fully(fd, &address, sizeof(address)), 0);
  CHECK_EQ(UNINTERRUPTED(recv(fd, text, 9, MSG_WAITALL)), 9);
  CHECK_STR(text, "successor");
  close(fd);
}

static void run_to_the_end(void) {
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(sd.report.clean, 1);
}

static void a_successor_that_is_ready_serves_on(void) {
  unsigned port;

  open_server("serve");
  port = own_port();
  start_upgrade();
  run_to_the_end();
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, 0);
  CHECK_STR(sd.report.reason, "upgrade");
  CHECK_EQ(sd.report.signum, 0);
  CHECK(sd.report.successor == upgrade.pid);
  expect_served(port);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

static void one_without_this_library_does_too(void) {
  open_server("be_ready");
  start_upgrade();
  run_to_the_end();
  CHECK_EQ(result, 0);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

static void on_stop_listening(uvsig_shutdown_listener_t* l) {
  CHECK(l->shutdown == NULL);
}

static void one_that_says_so_twice_is_ready_once(void) {
  static uvsig_shutdown_listener_t without_stream;
  char letter;

  open_server("be_ready_twice");
  CHECK_EQ(uvsig_shutdown_add_listener(
               &sd, &without_stream, NULL, on_stop_listening),
           0);
  start_upgrade();
  CHECK_EQ(UNINTERRUPTED(read(told[0], &letter, 1)), 1);
  run_to_the_end();
  CHECK_EQ(result, 0);
  CHECK_EQ(calls, 1);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

static void a_line_before_the_cut_is_heard(void) {
  open_server("say_it_before_too_much");
  start_upgrade();
  run_to_the_end();
  CHECK_EQ(result, 0);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

static void a_signal_begins_it(void) {
  open_server("be_ready");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  raise(SIGUSR2);
  run_to_the_end();
  CHECK_EQ(result, 0);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

/* --- Who listens ------------------------------------------------------------- */

static int manager;

static void listen_as_manager(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char name[64];
  size_t size;

  abstract_name(name, sizeof(name));
  size = strlen(name);
  manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  memcpy(address.sun_path + 1, name + 1, size - 1);
  CHECK_EQ(bind(manager,
                (struct sockaddr*) &address,
                (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size)),
           0);
  CHECK_EQ(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static void check_message(const char* expected) {
  char text[256] = "";
  ssize_t n = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);

  CHECK(n >= 0 || *expected == 0);
  CHECK_STR(text, expected);
}

/* That it was given up is no failure, which a status would show. */
static void expect_no_status(void) {
  char text[256];
  ssize_t n;

  while ((n = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT)) >= 0) {
    text[n] = 0;
    CHECK(strstr(text, "STATUS=") == NULL);
  }
}

/* What goes to standard error meanwhile. */
static FILE* log_file;
static int standard_error;

static void begin_log(void) {
  is_logged = true;
  log_file = tmpfile();
  CHECK(log_file != NULL);
  standard_error = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  CHECK_EQ(dup2(fileno(log_file), STDERR_FILENO), STDERR_FILENO);
}

/* Its first line is this one. Returns whether that is all. */
static bool end_log_after(const char* expected) {
  char text[1024] = "";
  bool is_all;
  char* end;

  CHECK_EQ(dup2(standard_error, STDERR_FILENO), STDERR_FILENO);
  close(standard_error);
  rewind(log_file);
  (void) !fread(text, 1, sizeof(text) - 1, log_file);
  fclose(log_file);
  end = strchr(text, '\n');
  CHECK(end != NULL);
  is_all = end[1] == 0;
  end[1] = 0;
  CHECK_STR(text, expected);
  return is_all;
}

static void end_log(const char* expected) {
  CHECK(end_log_after(expected));
}

/* --- It is not --------------------------------------------------------------- */

/* The callback, the log and the service manager have the cause. */
static void fail_with(int expected, const char* why) {
  char line[160];

  begin_log();
  start_upgrade();
  run_until(&f.loop, &calls, 1);
  snprintf(line, sizeof(line), "libuvsig: upgrade: failed: %s\n", why);
  end_log(line);
  snprintf(line, sizeof(line), "STATUS=Upgrade failed: %s", why);
  check_message(line);
  check_message("");
  CHECK_EQ(result, expected);
  CHECK_EQ(upgrade.pid, 0);
}

static void open_watched(const char* role) {
  is_logged = true;
  listen_as_manager();
  open_server(role);
  upgrade_options.settle_ms = LONG_MS;
}

static void close_watched(void) {
  close(manager);
  close_server();
}

/* Whatever has gone wrong, this process serves on, and may try again. */
static void check_failure(const char* role, int expected, const char* why) {
  open_watched(role);
  if (expected == UV_ETIMEDOUT)
    upgrade_options.ready_ms = 300;
  fail_with(expected, why);
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1); /* it has been waited for */
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  run_until(&f.loop, &calls, 2);
  CHECK_EQ(result, expected);
}

static void one_that_ends_at_once_is_none(void) {
  check_failure("end_at_once", UV_ESRCH, "the successor exited with status 3");
  CHECK(WIFEXITED(upgrade.wait_status));
  CHECK_EQ(WEXITSTATUS(upgrade.wait_status), 3);
  close_watched();
}

static void nor_is_one_that_ends_later(void) {
  check_failure("end_later", UV_ESRCH, "the successor exited with status 6");
  close_watched();
}

static void one_that_is_killed_is_none(void) {
  check_failure("die", UV_ESRCH, "the successor was ended by SIGKILL");
  CHECK(WIFSIGNALED(upgrade.wait_status));
  CHECK_EQ(WTERMSIG(upgrade.wait_status), SIGKILL);
  close_watched();
}

static const char is_late[] = "the successor was not ready in time";

static void one_that_hangs_is_killed(void) {
  check_failure("hang", UV_ETIMEDOUT, is_late);
  close_watched();
}

static void one_that_ends_after_it_was_ready_is_none(void) {
  check_failure(
      "be_ready_and_end", UV_ESRCH, "the successor exited with status 4");
  CHECK_EQ(WEXITSTATUS(upgrade.wait_status), 4);
  close_watched();
}

static void nor_is_one_that_ends_a_little_later(void) {
  check_failure(
      "be_ready_and_end_later", UV_ESRCH, "the successor exited with status 8");
  close_watched();
}

static void one_that_cannot_bind_what_it_needs_is_none(void) {
  char text[16];

  open_watched("bind_its_own");
  snprintf(text, sizeof(text), "%u", own_port());
  CHECK_EQ(setenv("PORT", text, 1), 0);
  fail_with(UV_ESRCH, "the successor exited with status 5");
  close_watched();
}

static void one_that_says_something_else_is_not_ready(void) {
  check_failure("say_something_else", UV_ETIMEDOUT, is_late);
  close_watched();
}

static void one_whose_message_is_cut_after_ready_1_is_not_ready(void) {
  check_failure("say_more_than_is_read", UV_ETIMEDOUT, is_late);
  close_watched();
}

static void another_process_is_not_believed(void) {
  check_failure("have_another_say_it", UV_ETIMEDOUT, is_late);
  close_watched();
}

static void a_file_that_does_not_exist_is_said_so(void) {
  open_watched("serve");
  upgrade_options.file = "/nonexistent/server";
  fail_with(UV_ENOENT, "no such file or directory");
  close_watched();
}

static void a_file_that_is_no_program_is_said_so(void) {
  open_watched("serve");
  upgrade_options.file = "/etc/passwd";
  fail_with(UV_EACCES, "permission denied");
  close_watched();
}

static void a_file_of_no_known_format_is_said_so(void) {
  char path[] = "/tmp/uvsig-upgrade-XXXXXX";
  int fd = mkstemp(path);

  CHECK(fd >= 0);
  CHECK_EQ(write(fd, "\1\2\3\n", 4), 4);
  CHECK_EQ(fchmod(fd, 0700), 0);
  CHECK_EQ(close(fd), 0);
  open_watched("serve");
  upgrade_options.file = path;
  fail_with(-ENOEXEC, "it is no program that the system can execute");
  CHECK_EQ(unlink(path), 0);
  close_watched();
}

/* Its end is nobody's to know: the program has waited for any child. */
static void one_that_the_program_has_waited_for_is_none(void) {
  open_watched("hang");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  await_told("h");
  CHECK_EQ(kill(upgrade.pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(-1, NULL, 0)), upgrade.pid);
  begin_log();
  run_until(&f.loop, &calls, 1);
  end_log("libuvsig: upgrade: failed: the successor ended\n");
  CHECK_EQ(result, UV_ESRCH);
  CHECK_EQ(upgrade.wait_status, 0);
  close_watched();
}

/* --- As another user ----------------------------------------------------------- */

static void need_root(void) {
  if (geteuid() != 0)
    skip_test("only root may be another user");
}

static void one_of_another_user_is_believed(void) {
  need_root();
  open_server("be_ready_as_another_user");
  start_upgrade();
  run_to_the_end();
  CHECK_EQ(result, 0);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

static void one_of_another_user_that_fails_is_none(void) {
  need_root();
  check_failure(
      "end_as_another_user", UV_ESRCH, "the successor exited with status 7");
  close_watched();
}

/* A successor that this process may not signal. */
static void start_out_of_reach(void) {
  need_root();
  open_watched("hang");
  upgrade_options.ready_ms = 300;
  start_upgrade();
  await_told("h");
  CHECK_EQ(setresuid(NOBODY, NOBODY, 0), 0);
}

static void one_that_cannot_be_killed_is_left_alone(void) {
  uv_pid_t pid;

  start_out_of_reach();
  pid = upgrade.pid;
  begin_log();
  run_until(&f.loop, &calls, 1);
  end_log("libuvsig: upgrade: failed: operation not permitted\n");
  CHECK_EQ(result, UV_EPERM);
  check_message("STATUS=Upgrade failed: operation not permitted");
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EBUSY);
  CHECK_EQ(setresuid(0, 0, 0), 0);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  while (kill(pid, 0) == 0)
    uv_run(&f.loop, UV_RUN_ONCE);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  run_until(&f.loop, &calls, 2);
  CHECK_EQ(result, UV_ETIMEDOUT);
  close_watched();
}

static void nor_does_a_shutdown_wait_for_it(void) {
  uv_pid_t pid;

  start_out_of_reach();
  pid = upgrade.pid;
  begin_log();
  raise(SIGTERM);
  run_until(&f.loop, &calls, 1);
  end_log("libuvsig: upgrade: failed: a shutdown has begun\n");
  run_to_the_end();
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, UV_ECANCELED);
  expect_no_status();
  CHECK_EQ(setresuid(0, 0, 0), 0);
  end_successor(pid, SIGKILL);
  close_watched();
}

static void nor_once_it_was_left_alone(void) {
  uv_pid_t pid;

  start_out_of_reach();
  pid = upgrade.pid;
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(result, UV_EPERM);
  raise(SIGTERM);
  run_to_the_end();
  CHECK_EQ(calls, 1);
  CHECK_EQ(setresuid(0, 0, 0), 0);
  end_successor(pid, SIGKILL);
  close_watched();
}

static void nor_one_that_is_given_up(void) {
  uv_pid_t pid;

  start_out_of_reach();
  pid = upgrade.pid;
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(setresuid(0, 0, 0), 0);
  end_successor(pid, SIGKILL);
  close_watched();
}

/* --- The log, where there is a successor --------------------------------------- */

static void a_successor_is_named_in_the_log(void) {
  char line[80];

  is_logged = true;
  open_server("be_ready");
  begin_log();
  start_upgrade();
  run_to_the_end();
  snprintf(line,
           sizeof(line),
           "libuvsig: upgrade: process %d is ready\n",
           (int) sd.report.successor);
  CHECK(!end_log_after(line)); /* the shutdown is next */
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

/* --- Stopped ------------------------------------------------------------------ */

static void wait_for_successor(uv_pid_t pid) {
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, NULL, 0)), pid);
}

static void a_second_stop_is_not_of_the_first_one(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  /* The loop has not waited for the first one's successor. */
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EBUSY);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  raise(SIGTERM);
  run_to_the_end();
  CHECK_EQ(calls, 0);
  close_server();
}

/* It has had SIGTERM, and has its time. */
static void stop_while_a_shutdown_waits_for_it_kills_nobody(void) {
  siginfo_t info = {.si_pid = 0};
  uv_pid_t pid;

  open_server("hang_deaf");
  start_upgrade();
  pid = upgrade.pid;
  await_told("h");
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  CHECK_EQ(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
  CHECK_EQ(info.si_pid, 0);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  run_to_the_end();
  CHECK_EQ(calls, 0);
  close_server();
}

/* Its time to be ready has no part in that. */
static void one_that_a_shutdown_waits_for_is_not_late(void) {
  siginfo_t info = {.si_pid = 0};

  open_server("hang_deaf");
  upgrade_options.ready_ms = 2000;
  start_upgrade();
  await_told("h");
  raise(SIGTERM);
  run_idle(&f.loop);
  let_pass(2100);
  run_idle(&f.loop);
  CHECK_EQ(
      waitid(P_PID, (id_t) upgrade.pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
  CHECK_EQ(info.si_pid, 0);
  CHECK_EQ(calls, 0);
  CHECK_EQ(kill(upgrade.pid, SIGKILL), 0);
  run_to_the_end();
  CHECK_EQ(result, UV_ECANCELED);
  close_server();
}

static void one_that_the_program_has_waited_for_may_be_stopped(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  wait_for_successor(upgrade.pid);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  raise(SIGTERM);
  run_to_the_end();
  CHECK_EQ(calls, 0);
  close_server();
}

static void and_given_up(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  wait_for_successor(upgrade.pid);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(calls, 0);
  close_server();
}

/* --- Meanwhile --------------------------------------------------------------- */

static void a_second_one_is_refused_and_a_signal_passed_over(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EBUSY);
  raise(SIGUSR2);
  run_idle(&f.loop);
  CHECK_EQ(kill(upgrade.pid, SIGKILL), 0);
  run_until(&f.loop, &calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(result, UV_ESRCH);
  CHECK_EQ(upgrade.pid, 0); /* none has begun since */
  CHECK_EQ(calls, 1);
  close_server();
}

static uvsig_reload_t reload;
static unsigned long reloads;

static void on_reload(uvsig_reload_t* r) {
  reloads++;
  CHECK_EQ(uvsig_reload_finish(r), 0);
}

static void a_reload_waits_for_its_end(void) {
  open_server("hang");
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  start_upgrade();
  await_told("h");
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(reloads, 0);
  CHECK_EQ(kill(upgrade.pid, SIGKILL), 0);
  run_until(&f.loop, &reloads, 1);
  CHECK_EQ(calls, 1);
  close_server();
}

static void expect_none_left(void) {
  run_to_the_end();
  CHECK_EQ(sd.report.successor, 0);
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(errno, ECHILD);
  close_server();
}

static void sigterm_ends_one_that_is_not_ready(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  raise(SIGTERM);
  expect_none_left();
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, UV_ECANCELED);
}

static void also_where_it_is_stopped(void) {
  siginfo_t info;

  open_server("hang");
  start_upgrade();
  await_told("h");
  CHECK_EQ(kill(upgrade.pid, SIGSTOP), 0);
  CHECK_EQ(UNINTERRUPTED(
               waitid(P_PID, (id_t) upgrade.pid, &info, WSTOPPED | WNOWAIT)),
           0);
  raise(SIGTERM);
  expect_none_left();
  CHECK_EQ(result, UV_ECANCELED);
}

static void sigterm_leaves_one_that_is_ready(void) {
  open_server("be_ready");
  upgrade_options.settle_ms = LONG_MS;
  start_upgrade();
  await_told("r");
  run_idle(&f.loop);
  CHECK_EQ(calls, 0);
  raise(SIGTERM);
  run_to_the_end();
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, 0);
  CHECK_EQ(sd.report.signum, SIGTERM);
  end_successor(sd.report.successor, SIGUSR1);
  close_server();
}

static void a_reload_is_dropped_where_the_successor_takes_over(void) {
  open_server("be_ready");
  upgrade_options.settle_ms = 100;
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  start_upgrade();
  await_told("r");
  raise(SIGHUP);
  run_to_the_end();
  CHECK_EQ(result, 0);
  CHECK_EQ(reloads, 0);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

/* --- SIGTERM in every moment --------------------------------------------------- */

static void sigterm_with_the_signal_that_begins_it(void) {
  open_server("hang");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  raise(SIGUSR2);
  raise(SIGTERM);
  expect_none_left();
  CHECK(calls == 0 || result == UV_ECANCELED);
}

/* It may not have come to exec() yet, or not to its first instruction. */
static void sigterm_when_it_has_just_been_started(void) {
  open_server("hang");
  start_upgrade();
  raise(SIGTERM);
  expect_none_left();
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, UV_ECANCELED);
}

/* At once, and not again when draining begins. */
static void sigterm_is_sent_once(void) {
  char letter;

  delay_ms = 50;
  open_server("tell_signals");
  start_upgrade();
  await_told("h");
  raise(SIGTERM);
  await_told("t");
  while (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_DRAINING)
    uv_run(&f.loop, UV_RUN_ONCE);
  run_idle(&f.loop);
  CHECK_EQ(kill(upgrade.pid, SIGRTMIN), 0);
  CHECK_EQ(UNINTERRUPTED(read(told[0], &letter, 1)), 1);
  CHECK_EQ(letter, 'x');
  CHECK_EQ(kill(upgrade.pid, SIGKILL), 0);
  expect_none_left();
  CHECK_EQ(result, UV_ECANCELED);
}

static void sigterm_wakes_one_that_is_stopped(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  CHECK_EQ(kill(upgrade.pid, SIGSTOP), 0);
  raise(SIGTERM);
  expect_none_left();
  CHECK_EQ(result, UV_ECANCELED);
}

static void sigterm_while_it_is_being_killed(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  raise(SIGTERM);
  expect_none_left();
  CHECK_EQ(calls, 0);
}

static void end_too(uvsig_upgrade_t* u, int status) {
  on_upgrade(u, status);
  raise(SIGTERM);
}

static void sigterm_in_the_callback(void) {
  open_server("end_at_once");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, end_too, SIGUSR2), 0);
  raise(SIGUSR2);
  expect_none_left();
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, UV_ESRCH);
}

static void sigterm_when_the_successor_has_taken_over(void) {
  open_server("be_ready");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, end_too, SIGUSR2), 0);
  raise(SIGUSR2);
  run_to_the_end();
  CHECK_EQ(calls, 1);
  CHECK_EQ(result, 0);
  end_successor(sd.report.successor, SIGUSR1); /* it has lived on */
  close_server();
}

/* --- SIGKILL in every moment --------------------------------------------------- */

/* A predecessor as a process of its own: what it leaves is this one's child. */
static const char* role_after;

static void tell_result(uvsig_upgrade_t* u, int status) {
  on_upgrade(u, status);
  tell(status == 0 ? "R" : "F");
}

static void be_predecessor(void) {
  static uvsig_shutdown_hold_t hold;

  upgrade_options.args[1] = strdup(role_after);
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "hold"), 0); /* it drains on */
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, tell_result, SIGUSR2), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
}

/* Kill it when that has been told. The successor serves alone. */
static void kill_when(const char* role, const char* told_text, unsigned ms) {
  uv_pid_t pid;
  unsigned port;
  int status;

  CHECK_EQ(setenv("TELLS", "", 1), 0);
  open_server(role);
  role_after = role;
  upgrade_options.settle_ms = ms;
  port = own_port();
  become_subreaper();
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    be_predecessor();
    _exit(1);
  }
  uv_close((uv_handle_t*) &tcp, NULL); /* it is theirs alone */
  await_told(told_text);
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK_EQ(WTERMSIG(status), SIGKILL);
  expect_served(port);
  pid = only_child();
  CHECK_EQ(kill(pid, SIGTERM), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  close_server();
}

static void sigkill_before_it_is_ready_leaves_it_alone(void) {
  kill_when("serve_alone", "h", 0);
}

static void sigkill_when_it_is_ready_leaves_it_alone(void) {
  kill_when("serve", "r", LONG_MS);
}

static void sigkill_when_it_has_taken_over_leaves_it_alone(void) {
  kill_when("serve", "R", 0);
}

static bool has_been_waited_for(void* pid) {
  return kill(*(int*) pid, 0) != 0;
}

/* --- Named again ----------------------------------------------------------------- */

/* The next message to the service manager, with who has sent it, and a
 * descriptor or -1. */
static pid_t receive_message(const char* expected, int* fd) {
  char text[256] = "";
  char control[256];
  struct iovec iov = {text, sizeof(text) - 1};
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof(control)};
  struct ucred sender = {0, 0, 0};
  struct cmsghdr* at;

  *fd = -1;
  wait_readable(manager);
  CHECK(UNINTERRUPTED(recvmsg(manager, &message, MSG_CMSG_CLOEXEC)) > 0);
  for (at = CMSG_FIRSTHDR(&message); at != NULL; at = CMSG_NXTHDR(&message, at))
    if (at->cmsg_type == SCM_CREDENTIALS)
      memcpy(&sender, CMSG_DATA(at), sizeof(sender));
    else
      memcpy(fd, CMSG_DATA(at), sizeof(*fd));
  CHECK_STR(text, expected);
  return sender.pid;
}

static void check_reloading(void) {
  const char reloading[] = "RELOADING=1\nMONOTONIC_USEC=";
  char text[256] = "";

  wait_readable(manager);
  CHECK(recv(manager, text, sizeof(text) - 1, 0) > 0);
  CHECK_EQ(strncmp(text, reloading, sizeof(reloading) - 1), 0);
}

/* What it has to say waits for the helper, but not for more than a second. */
static void check_it_waits(uv_pid_t pid, uint64_t since) {
  char byte;

  CHECK_EQ(kill(pid, SIGHUP), 0);
  await_told("l");
  if (recv(manager, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
    CHECK(uv_hrtime() - since >= 1000 * 1000 * 1000);
}

/* systemd waits for no main process that was another one's child when it was
 * named, and passes over a name that it has. */
static void when_its_predecessor_has_gone_it_is_named_again(void) {
  const int on = 1;
  char text[64];
  int helper = 0;
  uint64_t since;
  uv_pid_t pid;
  int status;
  int fd;

  listen_as_manager();
  CHECK_EQ(setsockopt(manager, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
  open_server("serve");
  role_after = "serve";
  become_subreaper();
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    be_predecessor();
    _exit(1);
  }
  await_told("R");
  since = uv_hrtime();
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  pid = only_child();
  snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1", (int) pid);
  CHECK(receive_message(text, &fd) != pid);
  wait_readable(manager);
  CHECK(recv(manager, text, sizeof(text) - 1, MSG_PEEK) > 8);
  helper = atoi(text + strlen("MAINPID="));
  snprintf(text, sizeof(text), "MAINPID=%d", helper);
  CHECK_EQ(receive_message(text, &fd), pid);
  CHECK_EQ(program_parent(helper), pid);
  snprintf(text, sizeof(text), "MAINPID=%d", (int) pid);
  CHECK_EQ(receive_message(text, &fd), helper);
  CHECK_EQ(receive_message("BARRIER=1", &fd), helper);
  CHECK_EQ(kill(helper, 0), 0); /* it lives until that has been read */
  check_it_waits(pid, since);
  close(fd);
  wait_until(has_been_waited_for, &helper, "the helper is waited for");
  check_reloading();
  CHECK_EQ(receive_message("READY=1", &fd), pid);
  CHECK_EQ(kill(pid, SIGTERM), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK_EQ(receive_message("STOPPING=1", &fd), pid);
  close(manager);
  close_server();
}

/* --- The callback, a late loop, a fork ----------------------------------------- */

static unsigned long closed;

static void on_given_up(uvsig_shutdown_t* shutdown) {
  CHECK(shutdown == &sd);
  closed++;
}

static void give_up(uvsig_upgrade_t* u, int status) {
  on_upgrade(u, status);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_given_up), 0);
}

static void the_callback_may_give_up_the_shutdown(void) {
  uv_pid_t pid;

  open_server("be_ready");
  upgrade_options.settle_ms = LONG_MS;
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, give_up, SIGUSR2), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  await_told("r");
  run_idle(&f.loop);
  pid = upgrade.pid;
  raise(SIGTERM);
  run_until(&f.loop, &closed, 1);
  CHECK_EQ(result, 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  end_successor(pid, SIGUSR1);
  close_server();
}

/* The loop comes too late for the time, and for what happened in it. */
static void one_that_was_ready_in_time_is_believed_by_a_late_loop(void) {
  struct pollfd fd;
  siginfo_t info;

  open_server("be_ready_later");
  upgrade_options.ready_ms = 2000;
  start_upgrade();
  CHECK_EQ(UNINTERRUPTED(
               waitid(P_PID, (id_t) upgrade.pid, &info, WSTOPPED | WNOWAIT)),
           0);
  CHECK_EQ(kill(upgrade.pid, SIGCONT), 0);
  fd = (struct pollfd){told[0], POLLIN, 0};
  CHECK_EQ(UNINTERRUPTED(poll(&fd, 1, PATIENCE_MS)), 1);
  let_pass(2100);
  run_to_the_end();
  CHECK_EQ(result, 0);
  end_successor(sd.report.successor, SIGTERM);
  close_server();
}

static void one_that_has_ended_is_none_for_a_late_loop(void) {
  siginfo_t info;

  open_server("be_ready");
  upgrade_options.settle_ms = 2000;
  start_upgrade();
  await_told("r");
  run_idle(&f.loop);
  CHECK_EQ(kill(upgrade.pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(
               waitid(P_PID, (id_t) upgrade.pid, &info, WEXITED | WNOWAIT)),
           0);
  let_pass(2100);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(result, UV_ESRCH);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  close_server();
}

static void stop_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
}

static void a_child_of_fork_has_no_part_in_it(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  CHECK_EQ(run_forked(stop_in_child), 0);
  CHECK_EQ(kill(upgrade.pid, SIGUSR1), 0); /* it is still there */
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(result, UV_ESRCH);
  CHECK_EQ(WTERMSIG(upgrade.wait_status), SIGUSR1);
  close_server();
}

static void go_on_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
}

static void start_in_child(void) {
  go_on_in_child();
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
}

static void request_in_child(void) {
  go_on_in_child();
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), UV_EBUSY);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EBUSY);
}

static void what_was_asked_for_before_fork_is_not_the_childs(void) {
  open_server("hang");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), 0);
  CHECK_EQ(run_forked(start_in_child), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  CHECK_EQ(run_forked(request_in_child), 0);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  close_server();
}

static void stop_ends_it_without_a_call(void) {
  uv_pid_t pid;

  open_server("hang");
  start_upgrade();
  await_told("h");
  pid = upgrade.pid;
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  while (kill(pid, 0) == 0)
    uv_run(&f.loop, UV_RUN_ONCE);
  run_idle(&f.loop);
  CHECK_EQ(calls, 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EINVAL);
  close_server();
}

static void to_give_up_the_shutdown_ends_it_too(void) {
  uv_pid_t pid;

  open_server("hang");
  start_upgrade();
  await_told("h");
  pid = upgrade.pid;
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK(upgrade.shutdown == NULL);
  CHECK_EQ(waitpid(pid, NULL, WNOHANG), -1); /* it has been waited for */
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(calls, 0);
  close_server();
}

static void close_any(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

/* A program may end by closing whatever its loop has. */
static void so_does_closing_every_handle_first(void) {
  open_server("hang");
  start_upgrade();
  await_told("h");
  uv_walk(&f.loop, close_any, NULL);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(calls, 0);
  close_server();
}

/* --- What it is given --------------------------------------------------------- */

static void the_successor_has_the_sockets_and_nothing_else(void) {
  uvsig_shutdown_listener_t second = {.data = NULL};
  struct sockaddr_in address;
  sigset_t set = set_of(SIGUSR1);
  char expected[256];
  uv_tcp_t other;
  uv_os_fd_t fd;
  int not_closed;

  open_server("tell_all");
  not_closed = fcntl(told[0], F_DUPFD, 100); /* by exec(), as it is here */
  CHECK_EQ(uvsig_ignore(SIGPIPE), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(setenv("NOTIFY_SOCKET", "/nobody", 1), 0);
  CHECK_EQ(setenv("LISTEN_FDNAMES", "from:before", 1), 0);
  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  CHECK_EQ(uv_tcp_init(&f.loop, &other), 0);
  CHECK_EQ(uv_tcp_bind(&other, (struct sockaddr*) &address, 0), 0);
  CHECK_EQ(uv_listen((uv_stream_t*) &other, 16, on_connection), 0);
  CHECK_EQ(uv_fileno((uv_handle_t*) &other, &fd), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &second, (uv_stream_t*) &other, NULL),
      0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&second, -1, "second"), 0);
  start_upgrade();
  snprintf(expected,
           sizeof(expected),
           "2 sockets: unknown=%u second=%u - - - -.",
           own_port(),
           port_of(fd));
  await_told(expected);
  close(not_closed);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  uv_close((uv_handle_t*) &other, NULL);
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  close_server();
}

/* A descriptor that is no stream's, by its number; a callback alone, and a
 * stream that is closing, have none. */
static void a_socket_may_be_named_and_some_listeners_have_none(void) {
  static uvsig_shutdown_listener_t by_number;
  static uvsig_shutdown_listener_t by_callback;
  static uvsig_shutdown_listener_t closing;
  char expected[64];
  uv_tcp_t none;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  CHECK_EQ(listen(fd, 16), 0);
  open_server("tell_all");
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &by_number, NULL, on_stop_listening), 0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&by_number, fd, "number"), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &by_callback, NULL, on_stop_listening),
      0);
  CHECK_EQ(uv_tcp_init(&f.loop, &none), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &closing, (uv_stream_t*) &none, NULL),
      0);
  uv_close((uv_handle_t*) &none, NULL);
  start_upgrade();
  snprintf(expected,
           sizeof(expected),
           "2 sockets: unknown=%u number=%u ",
           own_port(),
           port_of(fd));
  await_told(expected);
  CHECK_EQ(close(fd), 0);
  raise(SIGTERM);
  run_to_the_end();
  CHECK_EQ(result, UV_ECANCELED);
  close_server();
}

/* As inetd hands one over. */
static void a_socket_may_be_standard_input(void) {
  static uvsig_shutdown_listener_t input;
  char expected[64];
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  CHECK_EQ(listen(fd, 16), 0);
  open_server("tell_all");
  CHECK_EQ(dup2(fd, STDIN_FILENO), STDIN_FILENO);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &input, NULL, on_stop_listening),
           0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&input, STDIN_FILENO, "input"), 0);
  start_upgrade();
  snprintf(expected,
           sizeof(expected),
           "2 sockets: unknown=%u input=%u ",
           own_port(),
           port_of(fd));
  await_told(expected);
  CHECK_EQ(close(fd), 0);
  raise(SIGTERM);
  run_to_the_end();
  close_server();
}

/* --- The service manager ------------------------------------------------------- */

static void check_message_of_successor(void) {
  char expected[64];

  snprintf(expected,
           sizeof(expected),
           "MAINPID=%d\nREADY=1",
           (int) sd.report.successor);
  check_message(expected);
}

static void the_service_manager_hears_of_the_successor_alone(void) {
  listen_as_manager();
  open_server("serve");
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  check_message("READY=1");
  start_upgrade();
  run_to_the_end();
  check_message_of_successor();
  check_message(""); /* no STOPPING=1 */
  end_successor(sd.report.successor, SIGTERM);
  check_message("STOPPING=1"); /* the successor's */
  close(manager);
  close_server();
}

static void the_service_manager_hears_of_the_successors_reload(void) {
  listen_as_manager();
  open_server("serve");
  start_upgrade();
  run_to_the_end();
  check_message_of_successor();
  CHECK_EQ(kill(sd.report.successor, SIGHUP), 0);
  check_reloading();
  wait_readable(manager);
  check_message("READY=1");
  end_successor(sd.report.successor, SIGTERM);
  check_message("STOPPING=1");
  close(manager);
  close_server();
}

/* The second time it is the service manager that hears it, before or after the
 * predecessor's message. */
static void a_successor_may_say_that_it_is_ready_again(void) {
  char expected[64];
  char text[64];
  unsigned found = 0;
  ssize_t n;
  int i;

  CHECK_EQ(setenv("TWICE", "", 1), 0);
  listen_as_manager();
  open_server("serve");
  start_upgrade();
  run_to_the_end();
  snprintf(expected,
           sizeof(expected),
           "MAINPID=%d\nREADY=1",
           (int) sd.report.successor);
  for (i = 0; i < 2; i++) {
    wait_readable(manager);
    n = recv(manager, text, sizeof(text) - 1, 0);
    CHECK(n > 0);
    text[n] = 0;
    found |= strcmp(text, expected) == 0 ? 1 : 0;
    found |= strcmp(text, "READY=1") == 0 ? 2 : 0;
  }
  CHECK_EQ(found, 3);
  end_successor(sd.report.successor, SIGTERM);
  close(manager);
  close_server();
}

static void fail_reload(uvsig_reload_t* r) {
  CHECK_EQ(uvsig_reload_fail(r, UV_EACCES), 0);
  calls++;
}

/* What a reload has failed with is the predecessor's. */
static void the_successor_has_no_part_in_a_reload_that_has_failed(void) {
  uvsig_reload_t failing;
  char text[160];

  listen_as_manager();
  open_server("serve");
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  check_message("READY=1");
  CHECK_EQ(uvsig_reload_init(&sd, &failing), 0);
  CHECK_EQ(uvsig_reload_start(&failing, fail_reload, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  calls = 0;
  CHECK(recv(manager, text, sizeof(text), MSG_DONTWAIT) > 0); /* RELOADING=1 */
  CHECK(recv(manager, text, sizeof(text), MSG_DONTWAIT) > 0); /* its failure */
  start_upgrade();
  run_to_the_end();
  snprintf(text,
           sizeof(text),
           "MAINPID=%d\nREADY=1\nSTATUS=\nERRNO=0",
           (int) sd.report.successor);
  check_message(text);
  end_successor(sd.report.successor, SIGTERM);
  close(manager);
  close_server();
}

/* What an upgrade has failed with is taken back by the next reload. */
static void a_failure_is_shown_until_the_next_reload(void) {
  open_watched("end_at_once");
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  check_message("READY=1");
  fail_with(UV_ESRCH, "the successor exited with status 3");
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &reloads, 1);
  check_reloading();
  check_message("READY=1\nSTATUS=\nERRNO=0");
  close_watched();
}

/* Without the option `notify` it is the successor's all the same. */
static void the_service_managers_address_is_handed_over_unused(void) {
  CHECK_EQ(setenv("NOTIFY_SOCKET", "/nobody", 1), 0);
  is_silent = true;
  open_server("tell_all");
  start_upgrade();
  await_told(" - - - /nobody.");
  raise(SIGTERM);
  run_to_the_end();
  close_server();
}

/* --- UNIX sockets -------------------------------------------------------------- */

static void the_path_of_a_unix_socket_stays(void) {
  static uvsig_shutdown_listener_t second; /* has what libuv has allocated */
  char path[] = "/tmp/uvsig-upgrade-XXXXXX";
  char name[64];
  struct stat status;
  uv_pipe_t pipe;

  CHECK(mkdtemp(path) != NULL);
  snprintf(name, sizeof(name), "%s/socket", path);
  open_server("be_ready");
  CHECK_EQ(uv_pipe_init(&f.loop, &pipe, 0), 0);
  CHECK_EQ(uv_pipe_bind(&pipe, name), 0);
  CHECK_EQ(uv_listen((uv_stream_t*) &pipe, 16, on_connection), 0);
  CHECK_EQ(
      uvsig_shutdown_add_listener(&sd, &second, (uv_stream_t*) &pipe, NULL), 0);
  start_upgrade();
  run_to_the_end();
  CHECK_STR(second.path, name); /* it is not lost */
  CHECK_EQ(stat(name, &status), 0);
  end_successor(sd.report.successor, SIGTERM);
  CHECK_EQ(unlink(name), 0);
  CHECK_EQ(rmdir(path), 0);
  close_server();
}

/* --- uvsig_listen_fds() ---------------------------------------------------------- */

static uvsig_listen_fd_t fds[FDS];

/* As a service manager sets it for this process. */
static void set_variables(const char* count, const char* names) {
  char pid[32];

  snprintf(pid, sizeof(pid), "%d", (int) getpid());
  CHECK_EQ(setenv("LISTEN_PID", pid, 1), 0);
  CHECK_EQ(setenv("LISTEN_FDS", count, 1), 0);
  if (names != NULL)
    CHECK_EQ(setenv("LISTEN_FDNAMES", names, 1), 0);
}

/* A socket that listens, or not, as 3 and then as 4. */
static void place_socket(int fd, bool listens) {
  int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (listens)
    CHECK_EQ(listen(made, 16), 0);
  CHECK_EQ(dup2(made, fd), fd);
  if (made != fd)
    close(made);
}

static void run_placed(void (*check)(void)) {
  /* The harness's descriptors are above these. */
  CHECK_EQ(run_forked(check), 0);
}

static void take_two(void) {
  place_socket(3, true);
  place_socket(4, true);
  set_variables("2", "http:control");
  CHECK_EQ(uvsig_listen_fds(NULL, 0), 2);
  CHECK_EQ(uvsig_listen_fds(fds, 1), 2); /* there is more: nothing is taken */
  CHECK(getenv("LISTEN_FDS") != NULL);
  place_socket(5, true); /* it is not handed over */
  CHECK_EQ(fcntl(5, F_SETFD, 0), 0);
  fds[2].fd = -7;
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 2);
  CHECK_EQ(fds[2].fd, -7);
  CHECK_EQ(fcntl(5, F_GETFD), 0);
  CHECK_EQ(fds[0].fd, 3);
  CHECK_EQ(fds[1].fd, 4);
  CHECK_STR(fds[0].name, "http");
  CHECK_STR(fds[1].name, "control");
  CHECK_EQ(fcntl(3, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(4, F_GETFD), FD_CLOEXEC);
  CHECK(getenv("LISTEN_PID") == NULL);
  CHECK(getenv("LISTEN_FDS") == NULL);
  CHECK(getenv("LISTEN_FDNAMES") == NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
}

static void sockets_of_the_service_manager_are_taken_once(void) {
  run_placed(take_two);
}

static void take_none(void) {
  CHECK_EQ(setenv("LISTEN_PID", "1", 1), 0); /* without LISTEN_FDS */
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
  CHECK_EQ(unsetenv("LISTEN_PID"), 0);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
  place_socket(3, true);
  set_variables("1", NULL);
  CHECK_EQ(unsetenv("LISTEN_PID"), 0);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
  set_variables("1", NULL);
  CHECK_EQ(unsetenv("LISTEN_FDS"), 0);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
  set_variables("1", NULL);
  CHECK_EQ(setenv("LISTEN_PID", "1", 1), 0);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
  set_variables("0", NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
  set_variables("0", NULL);
  CHECK_EQ(uvsig_listen_fds(NULL, 0), 0);
  CHECK(getenv("LISTEN_FDS") == NULL);
  set_variables("one", NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EINVAL);
  set_variables("-1", NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EINVAL);
  set_variables("", NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EINVAL);
  set_variables("1", NULL);
  CHECK_EQ(setenv("LISTEN_PID", "1x", 1), 0);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EINVAL);
  set_variables("2147483645", NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EINVAL);
  set_variables("99999999999999999999", NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EINVAL);
  set_variables("2147483644", NULL); /* the last has the largest number */
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 2147483644);
}

static void those_of_another_process_are_not(void) {
  run_placed(take_none);
}

/* Names without a socket. Valgrind sees what is lost. */
static void take_names_alone(void) {
  int i;

  for (i = 0; i < 3; i++) {
    set_variables("0", "http:control");
    CHECK_EQ(uvsig_listen_fds(fds, FDS), 0);
    CHECK(getenv("LISTEN_FDS") == NULL);
    CHECK(getenv("LISTEN_FDNAMES") == NULL);
  }
}

static void names_without_a_socket_take_no_memory(void) {
  run_placed(take_names_alone);
}

static void take_bad(void) {
  place_socket(3, true);
  place_socket(4, false);
  set_variables("2", NULL);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EINVAL);
  CHECK_EQ(uvsig_listen_fds(NULL, FDS), UV_EINVAL);
  CHECK_EQ(dup2(STDERR_FILENO, 4), 4);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_ENOTSOCK);
  close(4);
  CHECK_EQ(uvsig_listen_fds(fds, FDS), UV_EBADF);
  CHECK(getenv("LISTEN_FDS") != NULL);
}

static void take_one_of_three_names(void) {
  place_socket(3, true);
  set_variables("1", "a:b:c");
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 1);
  CHECK_STR(fds[0].name, "a");
}

static void take_two_of_one_name(void) {
  place_socket(3, true);
  place_socket(4, true);
  set_variables("2", "a");
  CHECK_EQ(uvsig_listen_fds(fds, FDS), 2);
  CHECK_STR(fds[0].name, "a");
  CHECK_STR(fds[1].name, "unknown");
}

static void names_may_be_more_or_fewer_than_sockets(void) {
  run_placed(take_one_of_three_names);
  run_placed(take_two_of_one_name);
}

static void what_is_no_listening_socket_is_refused(void) {
  run_placed(take_bad);
}

/* --- Errors --------------------------------------------------------------------- */

static void stop_on_thread(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), UV_EPERM);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EPERM);
}

static void once_a_shutdown_is_asked_for_none_begins(void) {
  static uvsig_upgrade_t other;
  uv_thread_t thread;

  open_server("serve");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, NULL), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  CHECK_EQ(uv_thread_create(&thread, stop_on_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), 0);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EBUSY);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  run_to_the_end();
  CHECK_EQ(calls, 0);
  CHECK_EQ(uvsig_upgrade_init(&sd, &other, NULL), UV_ECANCELED);
  close_server();
}

static void nor_is_one_started(void) {
  open_server("serve");
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, NULL), 0);
  raise(SIGTERM);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), UV_ECANCELED);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  run_to_the_end();
  close_server();
}

static void the_options_have_defaults(void) {
  uvsig_upgrade_options_t defaults;

  memset(&defaults, -1, sizeof(defaults));
  uvsig_upgrade_options_init(&defaults);
  CHECK(defaults.file == NULL);
  CHECK(defaults.args == NULL);
  CHECK_EQ(defaults.ready_ms, 30000);
  CHECK_EQ(defaults.settle_ms, 1000);
}

static void a_name_is_as_sd_listen_fds_reads_it(void) {
  char name[257];

  open_server("serve");
  memset(name, 'a', sizeof(name));
  name[256] = 0;
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, name), UV_EINVAL);
  name[255] = 0;
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, name), 0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, "~ \xc3\xa4"), 0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, "a\x1f"), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, ""), 0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, 0, NULL), 0);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, NULL), 0);
  close_server();
}

static void what_makes_no_sense_is_refused(void) {
  static uvsig_shutdown_listener_t none;
  uvsig_upgrade_options_t zeroed;
  uvsig_upgrade_t other;

  memset(&other, 0, sizeof(other));
  memset(&zeroed, 0, sizeof(zeroed));
  open_server("serve");
  CHECK_EQ(uvsig_upgrade_init(NULL, &other, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_init(&sd, NULL, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_init(&sd, &other, &zeroed), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_start(&other, on_upgrade, SIGUSR2), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_request(&other), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_request(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_stop(NULL), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_stop(&other), 0);
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, NULL), 0);
  CHECK_EQ(uvsig_upgrade_init(&sd, &other, NULL), UV_EBUSY);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, NULL, SIGUSR2), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGKILL), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_EINVAL);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), UV_EBUSY);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(NULL, 1, "a"), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -2, "a"), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, "a:b"), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, "a\n"), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, "a\x7f"), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&none, -1, "a"), UV_EINVAL);
  uvsig_upgrade_options_init(NULL);
  CHECK_EQ(uvsig_shutdown_listener_set_fd(&listener, -1, NULL), 0);
  raise(SIGTERM);
  CHECK_EQ(uvsig_upgrade_request(&upgrade), UV_ECANCELED);
  run_to_the_end();
  CHECK(upgrade.shutdown == NULL);
  CHECK_EQ(uvsig_upgrade_stop(&upgrade), 0);
  CHECK_EQ(calls, 0);
  close_server();
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(a_successor_that_is_ready_serves_on),
      TEST(one_without_this_library_does_too),
      TEST(one_that_says_so_twice_is_ready_once),
      TEST(a_line_before_the_cut_is_heard),
      TEST(a_signal_begins_it),
      TEST(one_that_ends_at_once_is_none),
      TEST(nor_is_one_that_ends_later),
      TEST(one_that_is_killed_is_none),
      TEST(one_that_hangs_is_killed),
      TEST(one_that_ends_after_it_was_ready_is_none),
      TEST(nor_is_one_that_ends_a_little_later),
      TEST(one_that_cannot_bind_what_it_needs_is_none),
      TEST(one_that_says_something_else_is_not_ready),
      TEST(one_whose_message_is_cut_after_ready_1_is_not_ready),
      TEST(another_process_is_not_believed),
      TEST(a_file_that_does_not_exist_is_said_so),
      TEST(a_file_that_is_no_program_is_said_so),
      TEST(a_file_of_no_known_format_is_said_so),
      TEST(one_that_the_program_has_waited_for_is_none),
      TEST(a_successor_is_named_in_the_log),
      TEST(one_of_another_user_is_believed),
      TEST(one_of_another_user_that_fails_is_none),
      TEST(one_that_cannot_be_killed_is_left_alone),
      TEST(nor_does_a_shutdown_wait_for_it),
      TEST(nor_once_it_was_left_alone),
      TEST(a_second_stop_is_not_of_the_first_one),
      TEST(stop_while_a_shutdown_waits_for_it_kills_nobody),
      TEST(one_that_a_shutdown_waits_for_is_not_late),
      TEST(one_that_the_program_has_waited_for_may_be_stopped),
      TEST(and_given_up),
      TEST(once_a_shutdown_is_asked_for_none_begins),
      TEST(nor_is_one_started),
      TEST(nor_one_that_is_given_up),
      TEST(a_second_one_is_refused_and_a_signal_passed_over),
      TEST(a_reload_waits_for_its_end),
      TEST(a_reload_is_dropped_where_the_successor_takes_over),
      TEST(sigterm_ends_one_that_is_not_ready),
      TEST(also_where_it_is_stopped),
      TEST(sigterm_leaves_one_that_is_ready),
      TEST(sigterm_with_the_signal_that_begins_it),
      TEST(sigterm_when_it_has_just_been_started),
      TEST(sigterm_is_sent_once),
      TEST(sigterm_wakes_one_that_is_stopped),
      TEST(sigterm_while_it_is_being_killed),
      TEST(sigterm_in_the_callback),
      TEST(sigterm_when_the_successor_has_taken_over),
      TEST(sigkill_before_it_is_ready_leaves_it_alone),
      TEST(sigkill_when_it_is_ready_leaves_it_alone),
      TEST(sigkill_when_it_has_taken_over_leaves_it_alone),
      TEST(when_its_predecessor_has_gone_it_is_named_again),
      TEST(the_callback_may_give_up_the_shutdown),
      TEST(one_that_was_ready_in_time_is_believed_by_a_late_loop),
      TEST(one_that_has_ended_is_none_for_a_late_loop),
      TEST(a_child_of_fork_has_no_part_in_it),
      TEST(what_was_asked_for_before_fork_is_not_the_childs),
      TEST(stop_ends_it_without_a_call),
      TEST(to_give_up_the_shutdown_ends_it_too),
      TEST(so_does_closing_every_handle_first),
      TEST(the_successor_has_the_sockets_and_nothing_else),
      TEST(a_socket_may_be_named_and_some_listeners_have_none),
      TEST(a_socket_may_be_standard_input),
      TEST(the_service_manager_hears_of_the_successor_alone),
      TEST(the_service_manager_hears_of_the_successors_reload),
      TEST(a_successor_may_say_that_it_is_ready_again),
      TEST(the_successor_has_no_part_in_a_reload_that_has_failed),
      TEST(a_failure_is_shown_until_the_next_reload),
      TEST(the_service_managers_address_is_handed_over_unused),
      TEST(the_path_of_a_unix_socket_stays),
      TEST(sockets_of_the_service_manager_are_taken_once),
      TEST(those_of_another_process_are_not),
      TEST(what_is_no_listening_socket_is_refused),
      TEST(names_may_be_more_or_fewer_than_sockets),
      TEST(names_without_a_socket_take_no_memory),
      TEST(the_options_have_defaults),
      TEST(a_name_is_as_sd_listen_fds_reads_it),
      TEST(what_makes_no_sense_is_refused),
  };

  if (realpath(argv[0], self) == NULL)
    return 1;
  if (argc > 1)
    return run_role(argv[1]);
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
