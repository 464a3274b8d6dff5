/* SPDX-License-Identifier: MIT
 *
 * What a shutdown says: what began it, and that its limit has ended it. And
 * clocks that stop: a process that is stopped in the middle. And a child of
 * fork(), before and after uvsig_fork().
 */

#include "../lib/server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#ifdef HAVE_SYS_SYSCALL_H
# include <sys/syscall.h>
#endif
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* --- The server's standard error ------------------------------------------ */

static int output[2];
static char text[4096];
static void (*serve)(void);

static void serve_logged(void) {
  CHECK_EQ(dup2(output[1], STDERR_FILENO), STDERR_FILENO);
  close(output[0]);
  close(output[1]);
  serve();
}

static void start_logged(void (*fn)(void)) {
  serve = fn;
  CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
  server_start(serve_logged);
  close(output[1]);
  server_expect("r");
}

/* All of it: the server has ended. */
static void read_log(void) {
  ssize_t n = read(output[0], text, sizeof(text) - 1);

  CHECK(n >= 0);
  text[n] = 0;
  close(output[0]);
}

/* --- What began it -------------------------------------------------------- */

/* It has begun, and there is nothing to wait for. */
static void check_cause(const char* cause) {
  char start[512];

  server_expect("d");
  server_end();
  read_log();
  snprintf(start, sizeof(start), "libuvsig: shutdown: %s: clean after ", cause);
  if (strstr(text, start) == NULL)
    check_failed(__FILE__, __LINE__, "no \"%s\" in \"%s\"", start, text);
}

static void init_logged(void) {
  server_init();
  server.options.log = 1;
}

static long request(int question) {
  return uvsig_shutdown_request(&server.sd,
                                question == 'l'   ? "low memory"
                                : question == 't' ? "two\nlines\033[m"
                                                  : NULL,
                                UVSIG_SHUTDOWN_GRACEFUL);
}

static void check_request(int question, const char* cause) {
  init_logged();
  server.on_question = request;
  start_logged(serve_nothing);
  CHECK_EQ(server_ask(question), 0);
  check_cause(cause);
}

static void a_request_is_logged_with_its_reason(void) {
  check_request('l', "request: low memory");
}

static void a_reason_of_two_lines_is_one(void) {
  check_request('t', "request: two?lines?[m");
}

static void a_request_without_a_reason_is_logged_as_such(void) {
  check_request('n', "request: no reason given");
}

static void a_signal_is_logged_with_its_sender(void) {
  char cause[128];

  snprintf(cause,
           sizeof(cause),
           "SIGTERM from process %ld of user %ld",
           (long) getpid(),
           (long) getuid());
  init_logged();
  start_logged(serve_nothing);
  server_signal(SIGTERM);
  check_cause(cause);
}

#ifdef SYS_rt_sigqueueinfo
/* As of a process that has no number in this pid namespace. */
static void send_from_nowhere(void) {
  siginfo_t info;

  memset(&info, 0, sizeof(info));
  info.si_signo = SIGTERM;
  info.si_code = SI_QUEUE;
  CHECK_EQ(syscall(SYS_rt_sigqueueinfo, server_pid, SIGTERM, &info), 0);
}
#endif

static void a_sender_that_is_not_visible_is_unknown(void) {
#ifdef SYS_rt_sigqueueinfo
  init_logged();
  start_logged(serve_nothing);
  send_from_nowhere();
  check_cause("SIGTERM from an unknown process");
  CHECK_EQ(ended.report.pid, 0);
#else
  skip_test("this system cannot send a signal without its sender");
#endif
}

static long start_kernels_timer(int question) {
  struct itimerval soon = {{0, 0}, {0, 1}};

  CHECK_EQ(question, 't');
  return setitimer(ITIMER_REAL, &soon, NULL);
}

static void a_signal_of_the_kernels_is_logged_as_such(void) {
  init_logged();
  sigaddset(&server.options.graceful, SIGALRM);
  server.on_question = start_kernels_timer;
  start_logged(serve_nothing);
  CHECK_EQ(server_ask('t'), 0);
  check_cause("SIGALRM from the kernel");
  CHECK_EQ(ended.report.pid, 0);
}

/* --- Terminals ------------------------------------------------------------ */

static int terminal = -1;
static int tty = -1; /* the server's */

/* The server has a session of its own. */
static void serve_on_terminal(void) {
  close(terminal);
  CHECK_EQ(ioctl(tty, TIOCSCTTY, 0), 0);
  serve_nothing();
}

static void start_on_terminal(void) {
  open_terminal(&terminal, &tty);
  init_logged();
  start_logged(serve_on_terminal);
  close(tty);
}

static void a_ctrl_c_is_logged_as_from_the_terminal(void) {
  start_on_terminal();
  CHECK_EQ(write(terminal, "\003", 1), 1);
  check_cause("SIGINT from the terminal");
  CHECK_EQ(ended.report.pid, 0);
  close(terminal);
}

static void a_terminal_that_closes_is_logged_as_such(void) {
  start_on_terminal();
  close(terminal);
  check_cause("SIGHUP from the terminal");
  CHECK_EQ(ended.report.pid, 0);
}

/* --- The limit's line ----------------------------------------------------- */

static void spin(void) {
  for (;;)
    ;
}

static long get_stuck(int question) {
  CHECK_EQ(question, 'S');
  say('s');
  spin();
  return 0;
}

static void get_stuck_when_draining(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    spin();
}

static void init_limited(int log) {
  server_init();
  server.options.log = log;
  server.options.grace_ms = 50;
  server.options.hard_ms = 50;
}

static void check_limit(const char* what, int signum) {
  char line[128];

  server_exits_at_once(128 + signum);
  read_log();
  snprintf(line,
           sizeof(line),
           "libuvsig: shutdown: time is up, and %s is stuck: exit %d\n",
           what,
           128 + signum);
  CHECK_STR(text, line);
}

/* By the kernel's timer. */
static void check_stuck_before(int log, int signum) {
  init_limited(log);
  server.on_question = get_stuck;
  start_logged(serve_nothing);
  server_tell('S');
  server_expect("s");
  server_signal(signum);
  check_limit("the loop", signum);
}

static void the_end_of_a_loop_that_is_stuck_is_one_line(void) {
  if (under_thread_sanitizer())
    skip_test("under ThreadSanitizer no handler runs in a loop without calls");
  check_stuck_before(0, SIGTERM);
  check_stuck_before(1, SIGTERM);
  check_stuck_before(1, SIGINT);
}

/* By the watchdog's thread. */
static void check_stuck_in_callback(int log, int signum) {
  init_limited(log);
  server.on_phase = get_stuck_when_draining;
  start_logged(serve_nothing);
  server_signal(signum);
  check_limit("the loop", signum);
}

static void the_end_of_a_loop_that_gets_stuck_is_one_line(void) {
  check_stuck_in_callback(0, SIGTERM);
  check_stuck_in_callback(1, SIGTERM);
  check_stuck_in_callback(1, SIGINT);
}

static void serve_stuck_exit(void) {
  server_open();
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  spin();
}

static bool is_cut_off_before(const char* letters) {
  if (!server_is_cut_off(letters))
    return false;
  close(output[0]);
  return true;
}

/* With time enough for the loop. */
static void the_end_of_an_exit_that_is_stuck_is_one_line(void) {
  unsigned grace_ms = 0;

  do {
    grace_ms += 200;
    init_limited(0);
    server.options.grace_ms = grace_ms;
    start_logged(serve_stuck_exit);
    server_signal(SIGTERM);
  } while (is_cut_off_before("dD"));
  check_limit("the exit", SIGTERM);
}

/* --- A process that is stopped -------------------------------------------- */

enum { ATTEMPTS = 5, ATTEMPT_MS = 300, TOO_SLOW = 128 + SIGTERM };

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static uvsig_shutdown_hold_t hold;
static uv_timer_t timer;
static uvsig_shutdown_phase_t stop_phase;

static void open_shutdown(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

static void close_shutdown(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void set_options(unsigned ms) {
  uvsig_shutdown_options_init(&options);
  options.grace_ms = ms;
  options.hard_ms = ms;
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  sigemptyset(&options.graceful);
  sigaddset(&options.graceful, SIGTERM);
  sigaddset(&options.forced, SIGINT);
}

static void release(uv_timer_t* handle) {
  uv_close((uv_handle_t*) handle, NULL);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
}

static unsigned stop_ms; /* of grace_ms and of hard_ms */
static int stop_signum;

/* The watchdog's thread goes on before the loop does, and the work needs some
 * of the time that there is again. */
static void stop_and_release_later(uv_timer_t* handle) {
  raise(SIGSTOP);
  let_pass(stop_ms / 4);
  uv_update_time(handle->loop);
  CHECK_EQ(uv_timer_start(handle, release, stop_ms / 8, 0), 0);
}

/* The loop has not seen the signal when it stops. */
static void signal_stop_and_release_later(uv_timer_t* handle) {
  raise(stop_signum);
  stop_and_release_later(handle);
}

static void stop_in_phase(uvsig_shutdown_t* shutdown,
                          uvsig_shutdown_phase_t phase) {
  CHECK(shutdown == &sd);
  if (phase == stop_phase)
    CHECK_EQ(uv_timer_start(&timer, stop_and_release_later, 1, 0), 0);
}

static void be_stopped(int signum, unsigned ms) {
  stop_ms = ms;
  stop_signum = signum;
  set_options(ms);
  options.phase_cb = stop_in_phase;
  open_shutdown();
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  if (stop_phase == UVSIG_SHUTDOWN_RUNNING)
    CHECK_EQ(uv_timer_start(&timer, signal_stop_and_release_later, 0, 0), 0);
  else
    raise(signum);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  /* Where it was forced, or cut, it had no time. */
  if (sd.report.holds != 0 || (signum == SIGTERM && !sd.report.clean))
    _exit(TOO_SLOW);
  _exit(uvsig_shutdown_exit(&sd));
}

static bool has_time_after_stop(int signum, unsigned ms) {
  pid_t child = fork();
  int status;

  CHECK(child >= 0);
  if (child == 0)
    be_stopped(signum, ms);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, WUNTRACED)), child);
  if (WIFSTOPPED(status)) {
    let_pass(2 * ms + 800); /* the limit, and more */
    CHECK_EQ(kill(child, SIGCONT), 0);
    CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  }
  CHECK(WIFEXITED(status));
  if (WEXITSTATUS(status) == TOO_SLOW)
    return false;
  CHECK_EQ(WEXITSTATUS(status), 0);
  return true;
}

/* A machine may be so slow that the time that there is again is over, too. */
static void check_time_after_stop(int signum, uvsig_shutdown_phase_t phase) {
  unsigned i;

  stop_phase = phase;
  for (i = 1; i <= ATTEMPTS; i++)
    if (has_time_after_stop(signum, i * ATTEMPT_MS))
      return;
  check_failed(__FILE__, __LINE__, "it never had time again");
}

static void a_process_that_was_stopped_at_once_has_its_time(void) {
  check_time_after_stop(SIGTERM, UVSIG_SHUTDOWN_RUNNING);
  check_time_after_stop(SIGINT, UVSIG_SHUTDOWN_RUNNING);
}

static void a_process_that_was_stopped_has_time_to_drain_again(void) {
  check_time_after_stop(SIGTERM, UVSIG_SHUTDOWN_DRAINING);
}

static void a_process_that_was_stopped_has_time_to_force_again(void) {
  check_time_after_stop(SIGINT, UVSIG_SHUTDOWN_FORCING);
}

/* --- A child of fork() ---------------------------------------------------- */

struct entries {
  uvsig_shutdown_listener_t listener;
  uvsig_shutdown_connection_t connection;
  uvsig_shutdown_connection_t stream;
  uvsig_shutdown_child_t child;
  uvsig_shutdown_hold_t hold;
  uvsig_shutdown_work_t work;
};

static struct entries entries;
static uv_pipe_t stream;
static uvsig_reload_t reload;
static uvsig_reload_t later;
static bool has_worked;

static void on_listener(uvsig_shutdown_listener_t* l) {
  CHECK(l == &entries.listener);
}

static void on_event(uvsig_shutdown_connection_t* c,
                     uvsig_shutdown_event_t event) {
  if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    CHECK_EQ(uvsig_shutdown_remove_connection(c), 0);
}

static void on_work(uvsig_shutdown_work_t* work) {
  CHECK(work == &entries.work);
  has_worked = true;
}

static void on_reload(uvsig_reload_t* r) {
  CHECK(r == NULL);
}

static void register_all(int expected) {
  struct entries* e = &entries;

  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &e->listener, NULL, on_listener),
           expected);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &e->connection, on_event),
           expected);
  CHECK_EQ(
      uvsig_shutdown_add_stream(&sd, &e->stream, (uv_stream_t*) &stream, NULL),
      expected);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &e->child, getpid()), expected);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &e->hold, "job"), expected);
  CHECK_EQ(uvsig_shutdown_queue_work(&sd, &e->work, "pool", on_work, NULL),
           expected);
}

static void ask_for_all(int expected) {
  CHECK_EQ(uvsig_reload_start(&later, on_reload, SIGUSR2), expected);
  CHECK_EQ(uvsig_reload_request(&reload), expected);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1), expected);
  CHECK_EQ(uvsig_shutdown_ready(&sd), expected);
}

static void request_all(int expected) {
  uvsig_shutdown_level_t level;

  for (level = UVSIG_SHUTDOWN_GRACEFUL; level <= UVSIG_SHUTDOWN_IMMEDIATE;
       level++)
    CHECK_EQ(uvsig_shutdown_request(&sd, "no", level), expected);
}

static void check_refused(void) {
  static struct entries before;

  memset(&entries, 0x5a, sizeof(entries));
  before = entries;
  register_all(UV_EBADF);
  ask_for_all(UV_EBADF);
  request_all(UV_EBADF);
  CHECK_EQ(memcmp(&entries, &before, sizeof(entries)), 0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
}

static void daemonise_and_forget(void) {
  check_refused();
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  check_refused();
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  CHECK(!has_worked);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

static void daemonise(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  check_refused();
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  register_all(0);
  CHECK_EQ(uvsig_shutdown_remove_child(&entries.child), 0);
  ask_for_all(0);
  CHECK_EQ(uvsig_reload_stop(&reload), 0); /* what was asked for, too */
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 1);
  CHECK_EQ(uvsig_shutdown_request(&sd, "yes", UVSIG_SHUTDOWN_GRACEFUL), 0);
  CHECK_EQ(uvsig_shutdown_release(&entries.hold), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK(has_worked);
  CHECK_EQ(sd.report.closed, 2);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_STR(sd.report.reason, "yes");
  _exit(uvsig_shutdown_exit(&sd));
}

/* The service manager's end. */
static int manager;
static char directory[64];
static struct sockaddr_un address;

static void listen_at_path(void) {
  address.sun_family = AF_UNIX;
  snprintf(directory, sizeof(directory), "/tmp/uvsig-test-XXXXXX");
  CHECK(mkdtemp(directory) != NULL);
  snprintf(
      address.sun_path, sizeof(address.sun_path), "%.63s/notify", directory);
  manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(manager >= 0);
  CHECK_EQ(bind(manager, (struct sockaddr*) &address, sizeof(address)), 0);
  CHECK_EQ(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
}

static void stop_listening(void) {
  close(manager);
  CHECK_EQ(unlink(address.sun_path), 0);
  CHECK_EQ(rmdir(directory), 0);
}

/* The next message begins with this; or, with NULL, there is none. */
static void check_message(const char* start) {
  char message[256] = "";
  ssize_t n = recv(manager, message, sizeof(message) - 1, MSG_DONTWAIT);

  CHECK_EQ(n >= 0, start != NULL);
  if (start != NULL)
    CHECK_EQ(strncmp(message, start, strlen(start)), 0);
}

/* A reload on a signal that is ignored has no watcher that would be refused. */
static void prepare_daemon(void) {
  CHECK_EQ(uvsig_ignore(SIGUSR2), UVSIG_DEFAULT);
  listen_at_path();
  set_options(LONG_MS);
  open_shutdown();
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_init(&sd, &later), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGUSR1), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, &stream, 0), 0);
}

/* Nothing of the child's has reached the parent. */
static void close_daemons_parent(void) {
  check_message(NULL);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  check_message("READY=1");
  uv_close((uv_handle_t*) &stream, NULL);
  close_shutdown();
  stop_listening();
}

static void without_uvsig_fork_a_child_is_refused_and_changes_nothing(void) {
  prepare_daemon();
  CHECK_EQ(run_forked(daemonise_and_forget), 0);
  close_daemons_parent();
}

static void after_uvsig_fork_a_child_has_all_of_it(void) {
  prepare_daemon();
  CHECK_EQ(run_forked(daemonise), 0);
  check_message("READY=1");
  check_message("STOPPING=1");
  while (recv(manager, text, sizeof(text), MSG_DONTWAIT) >= 0)
    ;
  close_daemons_parent();
}

/* What the parent has asked for is the parent's. */
static void ask_again_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_RUNNING);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "child", UVSIG_SHUTDOWN_GRACEFUL), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  CHECK_STR(sd.report.reason, "child");
  CHECK_EQ(sd.report.clean, 1);
  _exit(uvsig_shutdown_exit(&sd));
}

static void a_request_before_fork_does_not_hold_the_childs_back(void) {
  set_options(LONG_MS);
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_request(&sd, "parent", UVSIG_SHUTDOWN_GRACEFUL), 0);
  CHECK_EQ(run_forked(ask_again_in_child), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_STR(sd.report.reason, "parent");
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_request_is_logged_with_its_reason),
      TEST(a_reason_of_two_lines_is_one),
      TEST(a_request_without_a_reason_is_logged_as_such),
      TEST(a_signal_is_logged_with_its_sender),
      TEST(a_sender_that_is_not_visible_is_unknown),
      TEST(a_signal_of_the_kernels_is_logged_as_such),
      TEST(a_ctrl_c_is_logged_as_from_the_terminal),
      TEST(a_terminal_that_closes_is_logged_as_such),
      TEST(the_end_of_a_loop_that_is_stuck_is_one_line),
      TEST(the_end_of_a_loop_that_gets_stuck_is_one_line),
      TEST(the_end_of_an_exit_that_is_stuck_is_one_line),
      TEST(a_process_that_was_stopped_at_once_has_its_time),
      TEST(a_process_that_was_stopped_has_time_to_drain_again),
      TEST(a_process_that_was_stopped_has_time_to_force_again),
      TEST(without_uvsig_fork_a_child_is_refused_and_changes_nothing),
      TEST(after_uvsig_fork_a_child_has_all_of_it),
      TEST(a_request_before_fork_does_not_hold_the_childs_back),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
