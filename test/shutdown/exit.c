/* SPDX-License-Identifier: MIT
 *
 * From the end of a shutdown to the end of the process: what is started then,
 * signals that come then, buffers that are still to be written, and an exit
 * that is held up. And the library's own lines on a standard error that nobody
 * reads.
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static struct recorder own; /* of SIGUSR1 */

static void set_options(void) {
  uvsig_shutdown_options_init(&options);
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
}

static void open_shutdown(const uvsig_options_t* with) {
  fixture_open(&f, with);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  recorder_init(&own, &f.sig);
  recorder_start(&own, SIGUSR1);
  uvsig_watcher_unref(&own.w);
}

static void run_to_the_end(int signum) {
  raise(signum);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
}

static void reach_done(void) {
  open_shutdown(NULL);
  run_to_the_end(SIGTERM);
}

static void check_dies(int status, int signum) {
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
}

static void check_exits(int status, int code) {
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), code);
}

/* --- Pipes and sockets ---------------------------------------------------- */

static int ends[2]; /* what is read, and what a process writes to */

static void open_pipe(void) {
  CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
}

static void open_socketpair(void) {
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

/* In the process that writes: `fd` is standard output or error. */
static void write_to_ends_by(int fd) {
  CHECK_EQ(dup2(ends[1], fd), fd);
  close(ends[0]);
  close(ends[1]);
}

/* What comes until nobody can write any more. */
static const char* read_to_the_end(int fd) {
  static char text[4096];
  size_t length = 0;
  ssize_t n;

  do {
    n = UNINTERRUPTED(read(fd, text + length, sizeof(text) - 1 - length));
    CHECK(n >= 0);
    length += (size_t) n;
  } while (n > 0);
  text[length] = 0;
  close(fd);
  return text;
}

/* As much as fits. Returns how much that is. */
static size_t fill(int fd) {
  size_t count = 0;

  CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  while (write(fd, ".", 1) == 1)
    count++;
  CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
  return count;
}

static int run_without_reader(void (*open)(void), void (*fn)(void)) {
  int status;

  open();
  close(ends[0]);
  ends[0] = -1;
  status = run_forked(fn);
  close(ends[1]);
  return status;
}

/* What is in it before is in it after, and nothing else. */
static int run_with_full(void (*open)(void), void (*fn)(void)) {
  size_t filled;
  size_t found = 0;
  int status;
  char byte;

  open();
  filled = fill(ends[1]);
  status = run_forked(fn);
  CHECK_EQ(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
  close(ends[1]);
  while (UNINTERRUPTED(read(ends[0], &byte, 1)) == 1) {
    CHECK_EQ(byte, '.');
    found++;
  }
  CHECK_EQ(found, filled);
  close(ends[0]);
  return status;
}

/* --- What is started at the end ------------------------------------------- */

/* Names the signals that do not end a process here. */
static char script[] = "exec 2>/dev/null\n"
                       "for name in HUP INT PIPE TERM USR1\n"
                       "do /bin/sh -c 'kill -s $0 $$; echo $0' $name\n"
                       "done\n"
                       "echo end\n";
static char sh[] = "sh";
static char sh_c[] = "-c";
static char* script_arguments[] = {sh, sh_c, script, NULL};

/* Run `start`, which starts the script, when the shutdown is done. */
static void (*start)(void);

static void start_when_done(void) {
  write_to_ends_by(STDOUT_FILENO);
  set_options();
  reach_done();
  start();
}

static void check_script(void (*start_script)(void)) {
  start = start_script;
  open_pipe();
  CHECK_EQ(run_forked(start_when_done), 0);
  close(ends[1]);
  CHECK_STR(read_to_the_end(ends[0]), "end\n");
}

static void execute(void) {
  execv("/bin/sh", script_arguments);
  abort();
}

static void a_program_that_is_executed_has_the_default_actions(void) {
  check_script(execute);
}

static void fork_and_execute(void) {
  CHECK_EQ(run_forked(execute), 0);
}

static void a_program_of_fork_and_exec_has_the_default_actions(void) {
  check_script(fork_and_execute);
}

static void call_system(void) {
  CHECK_EQ(system(script), 0);
}

static void a_program_of_system_has_the_default_actions(void) {
  check_script(call_system);
}

static void call_popen(void) {
  FILE* input = popen(script, "w");

  CHECK(input != NULL);
  CHECK_EQ(pclose(input), 0);
}

static void a_program_of_popen_has_the_default_actions(void) {
  check_script(call_popen);
}

static void call_posix_spawn(void) {
  char* environment[] = {NULL};
  int status;
  pid_t pid;

  CHECK_EQ(
      posix_spawn(&pid, "/bin/sh", NULL, NULL, script_arguments, environment),
      0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK_EQ(status, 0);
}

static void a_program_of_posix_spawn_has_the_default_actions(void) {
  check_script(call_posix_spawn);
}

static void on_exit_of_script(uv_process_t* process,
                              int64_t status,
                              int signum) {
  CHECK_EQ(status, 0);
  CHECK_EQ(signum, 0);
  uv_close((uv_handle_t*) process, NULL);
}

static void call_uv_spawn(void) {
  uv_stdio_container_t stdio[2];
  uv_process_options_t how;
  uv_process_t process;

  memset(&how, 0, sizeof(how));
  how.file = "/bin/sh";
  how.args = script_arguments;
  how.exit_cb = on_exit_of_script;
  how.stdio = stdio;
  how.stdio_count = 2;
  stdio[0].flags = UV_IGNORE;
  stdio[1].flags = UV_INHERIT_FD;
  stdio[1].data.fd = STDOUT_FILENO;
  CHECK_EQ(uv_spawn(&f.loop, &process, &how), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
}

static void a_program_of_uv_spawn_has_the_default_actions(void) {
  check_script(call_uv_spawn);
}

static int input[2]; /* of the program that waits */

static void execute_when_done(uvsig_shutdown_t* shutdown,
                              uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  execl("/bin/sh", "sh", "-c", "echo waits; read line", (char*) NULL);
  abort();
}

static void wait_in_a_program(void) {
  write_to_ends_by(STDOUT_FILENO);
  CHECK_EQ(dup2(input[0], STDIN_FILENO), STDIN_FILENO);
  set_options();
  options.phase_cb = execute_when_done;
  reach_done();
}

/* Where the signal does nothing, the end of its input ends it. */
static void a_program_that_the_last_callback_executes_dies_by_sigterm(void) {
  char text[8] = "";
  int status;
  pid_t pid;

  open_pipe();
  CHECK_EQ(pipe2(input, O_CLOEXEC), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    wait_in_a_program();
    abort();
  }
  close(ends[1]);
  close(input[0]);
  CHECK_EQ(UNINTERRUPTED(read(ends[0], text, 6)), 6);
  CHECK_STR(text, "waits\n");
  CHECK_EQ(kill(pid, SIGTERM), 0);
  close(input[1]);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  check_dies(status, SIGTERM);
  close(ends[0]);
}

/* --- A child of fork() ---------------------------------------------------- */

static void check_dispositions(void) {
  CHECK(action_of(SIGTERM).sa_handler == SIG_DFL);
  CHECK(action_of(SIGHUP).sa_handler == SIG_DFL);
  CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
  CHECK(action_of(SIGPIPE).sa_handler == SIG_DFL);
  CHECK(action_of(SIGINT).sa_handler == count_foreign);
  CHECK(!is_blocked(SIGTERM));
}

static void die_by_sigterm(void) {
  raise(SIGTERM);
}

static void check_children(void) {
  CHECK_EQ(run_forked(check_dispositions), 0);
  check_dies(run_forked(die_by_sigterm), SIGTERM);
}

static void check_children_when_done(uvsig_shutdown_t* shutdown,
                                     uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (phase == UVSIG_SHUTDOWN_DONE)
    check_children();
}

static void a_child_of_fork_has_the_actions_from_before_the_library(void) {
  set_options();
  options.phase_cb = check_children_when_done;
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  install_handler(SIGINT, count_foreign);
  reach_done();
  check_children();
  close_loop(&f.loop);
  check_children();
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

/* --- Signals that come at the end ----------------------------------------- */

static uvsig_reload_t reloads[2];

static void on_reload(uvsig_reload_t* reload) {
  CHECK_EQ(uvsig_reload_finish(reload), 0);
}

static void start_reload(uvsig_reload_t* reload, int signum) {
  CHECK_EQ(uvsig_reload_init(&sd, reload), 0);
  CHECK_EQ(uvsig_reload_start(reload, on_reload, signum), 0);
}

static void raise_late(void) {
  raise(SIGUSR1);
  raise(SIGHUP);
  raise(SIGUSR2);
  raise(SIGTERM);
  raise(SIGINT);
  raise(SIGPIPE);
}

static void raise_when_done(uvsig_shutdown_t* shutdown,
                            uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (phase == UVSIG_SHUTDOWN_DONE)
    raise_late();
}

static void end_with_late_signals(void) {
  options.phase_cb = raise_when_done;
  open_shutdown(NULL);
  start_reload(&reloads[0], SIGHUP);
  start_reload(&reloads[1], SIGUSR2);
  run_to_the_end(SIGINT);
  raise_late();
  if (options.keep_sig) {
    CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
    CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  }
  close_loop(&f.loop);
  raise_late();
  uvsig_shutdown_exit(&sd);
}

static void what_was_watched_does_not_change_the_end(void) {
  set_options();
  check_dies(run_forked(end_with_late_signals), SIGINT);
}

static void with_keep_sig_what_was_watched_does_not_change_it_either(void) {
  set_options();
  options.keep_sig = 1;
  check_dies(run_forked(end_with_late_signals), SIGINT);
}

static int late;

static void end_and_raise_what_was_not_watched(void) {
  set_options();
  reach_done();
  raise(SIGUSR2);
  uvsig_shutdown_exit(&sd);
}

static void what_was_not_watched_has_its_default_action_to_the_end(void) {
  check_dies(run_forked(end_and_raise_what_was_not_watched), SIGUSR2);
}

static void give_up_and_raise(void) {
  set_options();
  reach_done();
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  raise(late);
}

static void a_close_after_exit_lifts_the_limit(void) {
  set_options();
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  reach_done();
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), UV_EINVAL);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void after_close_signals_have_their_default_actions(void) {
  static const int signals[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1};
  size_t i;

  for (i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
    late = signals[i];
    check_dies(run_forked(give_up_and_raise), late);
  }
}

static void close_when_done(uvsig_shutdown_t* shutdown,
                            uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DONE)
    CHECK_EQ(uvsig_shutdown_close(shutdown, NULL), 0);
}

static void give_up_in_callback_and_raise(void) {
  set_options();
  options.phase_cb = close_when_done;
  open_shutdown(NULL);
  raise(SIGINT);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  /* The uvsig_t is the program's again. */
  raise(SIGUSR1);
  uvsig_watcher_ref(&own.w);
  run_until(&f.loop, &own.calls, 1);
  raise(late);
}

static void close_in_the_last_callback_gives_them_back_too(void) {
  late = SIGTERM;
  check_dies(run_forked(give_up_in_callback_and_raise), SIGTERM);
  late = SIGPIPE;
  check_dies(run_forked(give_up_in_callback_and_raise), SIGPIPE);
}

/* --- Buffers -------------------------------------------------------------- */

static void end_with_a_file(void) {
  FILE* file = fdopen(ends[1], "w");

  CHECK(file != NULL);
  CHECK(fputs("last words", file) >= 0);
  set_options();
  reach_done();
  uvsig_shutdown_exit(&sd);
}

static void the_buffer_of_any_file_is_written_before_death_by_the_signal(void) {
  int status;

  open_pipe();
  status = run_forked(end_with_a_file);
  close(ends[1]);
  check_dies(status, SIGTERM);
  CHECK_STR(read_to_the_end(ends[0]), "last words");
}

/* With this option. */
static uvsig_shutdown_exit_t policy;
static int policy_status;

static void end_with_buffered_output(void) {
  write_to_ends_by(STDOUT_FILENO);
  printf("last words");
  set_options();
  options.exit = policy;
  reach_done();
  exit(uvsig_shutdown_exit(&sd));
}

static int end_without_reader(uvsig_shutdown_exit_t with) {
  policy = with;
  return run_without_reader(open_pipe, end_with_buffered_output);
}

static void without_a_reader_of_output_it_dies_by_the_signal_all_the_same(
    void) {
  check_dies(end_without_reader(UVSIG_SHUTDOWN_EXIT_SIGNAL), SIGTERM);
}

static void without_a_reader_of_output_it_exits_with_its_status_all_the_same(
    void) {
  check_exits(end_without_reader(UVSIG_SHUTDOWN_EXIT_ZERO), 0);
  check_exits(end_without_reader(UVSIG_SHUTDOWN_EXIT_CODE), 128 + SIGTERM);
}

static uv_sem_t is_locked;

static void lock_output(void* unused) {
  (void) unused;
  flockfile(stdout);
  uv_sem_post(&is_locked);
  for (;;)
    pause();
}

static void end_beside_a_writer(void) {
  uv_thread_t thread;

  set_options();
  open_shutdown(NULL);
  CHECK_EQ(uv_sem_init(&is_locked, 0), 0);
  CHECK_EQ(uvsig_thread_create(&thread, lock_output, NULL), 0);
  uv_sem_wait(&is_locked);
  run_to_the_end(SIGTERM);
  uvsig_shutdown_exit(&sd);
}

static void a_thread_that_is_stuck_in_output_does_not_keep_exit(void) {
  check_dies(run_forked(end_beside_a_writer), SIGTERM);
}

/* --- An exit that is held up ---------------------------------------------- */

#define TIME_IS_UP(what)                                                       \
 "libuvsig: shutdown: time is up, and the " what " is stuck: exit 143\n"

static int said[2];
static unsigned limit_ms;
static void (*get_stuck)(void);

static void end_stuck(void) {
  CHECK_EQ(dup2(said[1], STDERR_FILENO), STDERR_FILENO);
  set_options();
  options.grace_ms = limit_ms;
  options.hard_ms = 100;
  get_stuck();
}

/* Or the limit comes before the exit, where the machine lets the process stand
 * still: then once more, with a longer one, but not for ever. */
static void check_limit_ends(void (*stuck)(void)) {
  const char* text;
  int status;

  get_stuck = stuck;
  limit_ms = 50;
  do {
    limit_ms *= 2;
    CHECK(limit_ms <= 30 * 1000);
    CHECK_EQ(pipe2(said, O_CLOEXEC), 0);
    status = run_forked(end_stuck);
    close(said[1]);
    text = read_to_the_end(said[0]);
  } while (strcmp(text, TIME_IS_UP("loop")) == 0);
  CHECK_STR(text, TIME_IS_UP("exit"));
  check_exits(status, 128 + SIGTERM);
}

static void write_to_a_reader_who_does_not_read(void) {
  open_pipe();
  CHECK_EQ(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
  fill(STDOUT_FILENO);
  printf("last words");
  options.exit = policy;
  reach_done();
  exit(uvsig_shutdown_exit(&sd));
}

static void skip_where_the_limit_flushes(void) {
  skip_under_valgrind("its _exit() has libc write the buffers of stdio");
  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer has _exit() write the buffers of stdio");
}

static void end_without_a_limit(void) {
  set_options();
  write_to_a_reader_who_does_not_read();
}

/* To write the buffers takes a second at most. */
static void output_that_nobody_reads_does_not_keep_death_by_the_signal(void) {
  policy = UVSIG_SHUTDOWN_EXIT_SIGNAL;
  check_dies(run_forked(end_without_a_limit), SIGTERM);
}

static void output_that_nobody_reads_does_not_keep_exit(void) {
  skip_where_the_limit_flushes();
  policy = UVSIG_SHUTDOWN_EXIT_ZERO;
  check_limit_ends(write_to_a_reader_who_does_not_read);
}

static void wait_for_ever(void) {
  for (;;)
    pause();
}

static void wait_in_an_exit_handler(void) {
  CHECK_EQ(atexit(wait_for_ever), 0);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  reach_done();
  exit(uvsig_shutdown_exit(&sd));
}

static void an_exit_handler_that_never_returns_does_not_keep_exit(void) {
  check_limit_ends(wait_in_an_exit_handler);
}

static bool has_destructor;

__attribute__((destructor)) static void destroy(void) {
  if (has_destructor)
    wait_for_ever();
}

static void wait_in_a_destructor(void) {
  has_destructor = true;
  options.exit = UVSIG_SHUTDOWN_EXIT_CODE;
  reach_done();
  exit(uvsig_shutdown_exit(&sd));
}

static void a_destructor_that_never_returns_does_not_keep_exit(void) {
  check_limit_ends(wait_in_a_destructor);
}

static void wait_when_done(uvsig_shutdown_t* shutdown,
                           uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (phase == UVSIG_SHUTDOWN_DONE)
    wait_for_ever();
}

static void wait_in_the_last_callback(void) {
  options.phase_cb = wait_when_done;
  reach_done();
}

static void a_last_callback_that_never_returns_is_told_as_the_exit(void) {
  check_limit_ends(wait_in_the_last_callback);
}

static void go_on(void) {
  reach_done();
  wait_for_ever();
}

static void a_program_that_goes_on_to_something_else_ends(void) {
  check_limit_ends(go_on);
}

/* --- Lines that nobody reads ---------------------------------------------- */

enum { MANY = 5000 }; /* signals: more than the smallest buffer has room for */

static void open_with_small_buffer(void) {
  uvsig_options_t with;

  uvsig_options_init(&with);
  with.buffer_size = 1;
  set_options();
  open_shutdown(&with);
}

static void overflow(void) {
  uvsig_stats_t before;
  uvsig_stats_t after;

  uvsig_stats(&f.sig, 0, &before);
  raise_times(SIGUSR1, MANY);
  uvsig_watcher_ref(&own.w);
  run_until(&f.loop, &own.signals, own.signals + MANY);
  uvsig_stats(&f.sig, 0, &after);
  CHECK_EQ(after.full_buffers, before.full_buffers + 1);
}

static void warn_and_end(void) {
  write_to_ends_by(STDERR_FILENO);
  open_with_small_buffer();
  overflow();
  run_to_the_end(SIGTERM);
  uvsig_shutdown_exit(&sd);
}

static void log_and_end(void) {
  write_to_ends_by(STDERR_FILENO);
  set_options();
  options.log = 1;
  reach_done();
  uvsig_shutdown_exit(&sd);
}

static void skip_where_signals_are_merged(void) {
  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer keeps one of several signals of a number");
}

static void a_warning_to_a_pipe_without_reader_ends_nothing(void) {
  skip_where_signals_are_merged();
  check_dies(run_without_reader(open_pipe, warn_and_end), SIGTERM);
}

static void a_warning_to_a_socket_without_reader_ends_nothing(void) {
  skip_where_signals_are_merged();
  check_dies(run_without_reader(open_socketpair, warn_and_end), SIGTERM);
}

static void a_warning_to_a_full_pipe_is_dropped_and_keeps_nobody(void) {
  skip_where_signals_are_merged();
  check_dies(run_with_full(open_pipe, warn_and_end), SIGTERM);
}

static void a_warning_to_a_full_socket_is_dropped_and_keeps_nobody(void) {
  skip_where_signals_are_merged();
  check_dies(run_with_full(open_socketpair, warn_and_end), SIGTERM);
}

static bool is_pending(int signum) {
  sigset_t set;

  CHECK_EQ(sigpending(&set), 0);
  return sigismember(&set, signum) == 1;
}

/* One that somebody else has sent is not taken back. */
static void warn_with_sigpipe_blocked(void) {
  sigset_t set = set_of(SIGPIPE);

  write_to_ends_by(STDERR_FILENO);
  install_handler(SIGPIPE, count_foreign);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  open_with_small_buffer();
  overflow();
  CHECK(!is_pending(SIGPIPE));
  raise(SIGPIPE);
  overflow();
  CHECK(is_pending(SIGPIPE));
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  CHECK_EQ(foreign_calls, 1);
}

static void a_warning_leaves_sigpipe_as_it_is(void) {
  skip_where_signals_are_merged();
  CHECK_EQ(run_without_reader(open_pipe, warn_with_sigpipe_blocked), 0);
}

static void a_log_without_reader_does_not_change_the_end(void) {
  check_dies(run_without_reader(open_pipe, log_and_end), SIGTERM);
  check_dies(run_without_reader(open_socketpair, log_and_end), SIGTERM);
}

static void log_beside_a_handler(void) {
  write_to_ends_by(STDERR_FILENO);
  install_handler(SIGPIPE, count_foreign);
  set_options();
  options.log = 1;
  reach_done();
  CHECK_EQ(foreign_calls, 0);
}

static void a_log_without_reader_calls_no_handler_of_sigpipe(void) {
  CHECK_EQ(run_without_reader(open_pipe, log_beside_a_handler), 0);
  CHECK_EQ(run_without_reader(open_socketpair, log_beside_a_handler), 0);
}

static void a_log_to_what_is_full_is_dropped_and_keeps_nobody(void) {
  check_dies(run_with_full(open_pipe, log_and_end), SIGTERM);
  check_dies(run_with_full(open_socketpair, log_and_end), SIGTERM);
}

/* In the signal handler: the loop does not come to the shutdown. */
static void be_overdue(void) {
  write_to_ends_by(STDERR_FILENO);
  set_options();
  options.grace_ms = 10;
  options.hard_ms = 10;
  open_shutdown(NULL);
  raise(SIGTERM);
  wait_for_ever();
}

static void the_limits_line_is_dropped_where_it_would_wait(void) {
  check_exits(run_with_full(open_pipe, be_overdue), 128 + SIGTERM);
  check_exits(run_with_full(open_socketpair, be_overdue), 128 + SIGTERM);
}

/* --- Streams that other threads use --------------------------------------- */

static FILE* used; /* by another thread, whose lock it has */
static bool lets_go;

static void use_stream(void* unused) {
  (void) unused;
  flockfile(used);
  uv_sem_post(&is_locked);
  if (!lets_go)
    wait_for_ever();
  let_pass(50); /* that is the case: it is in use, and then free */
  funlockfile(used);
}

/* Another file has something to write, standard output too. */
static void end_beside_a_stream_in_use(void) {
  uv_thread_t thread;
  FILE* file = fdopen(dup(ends[1]), "w");

  CHECK_EQ(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
  close(ends[0]);
  close(ends[1]);
  set_options();
  open_shutdown(NULL);
  CHECK_EQ(uv_sem_init(&is_locked, 0), 0);
  CHECK_EQ(uvsig_thread_create(&thread, use_stream, NULL), 0);
  uv_sem_wait(&is_locked);
  if (lets_go)
    fputs("file", file);
  else
    fputs("output", stdout);
  run_to_the_end(SIGTERM);
  uvsig_shutdown_exit(&sd);
}

static void check_written_beside(FILE* stream, const char* expected) {
  used = stream;
  lets_go = strcmp(expected, "file") == 0;
  open_pipe();
  check_dies(run_forked(end_beside_a_stream_in_use), SIGTERM);
  close(ends[1]);
  CHECK_STR(read_to_the_end(ends[0]), expected);
}

static void a_file_is_written_though_output_is_in_use(void) {
  check_written_beside(stdout, "file");
  check_written_beside(stderr, "file");
}

static void end_with_errors_beside_output_in_use(void) {
  static char buffer[BUFSIZ];
  uv_thread_t thread;

  write_to_ends_by(STDERR_FILENO);
  set_options();
  open_shutdown(NULL);
  CHECK_EQ(uv_sem_init(&is_locked, 0), 0);
  CHECK_EQ(uvsig_thread_create(&thread, lock_output, NULL), 0);
  uv_sem_wait(&is_locked);
  CHECK_EQ(setvbuf(stderr, buffer, _IOFBF, sizeof(buffer)), 0);
  fputs("errors", stderr);
  run_to_the_end(SIGTERM);
  uvsig_shutdown_exit(&sd);
}

static void errors_are_written_though_output_is_in_use_for_ever(void) {
  open_pipe();
  check_dies(run_forked(end_with_errors_beside_output_in_use), SIGTERM);
  close(ends[1]);
  CHECK_STR(read_to_the_end(ends[0]), "errors");
}

static void output_is_written_though_a_file_is_in_use_for_ever(void) {
  FILE* pipe = popen("cat >/dev/null", "w");

  CHECK(pipe != NULL);
  check_written_beside(pipe, "output");
  pclose(pipe);
}

/* --- Files at their size limit --------------------------------------------- */

static void limit_size(int fd) {
  const struct rlimit none = {0, RLIM_INFINITY};
  char name[] = "/tmp/uvsig-exit-XXXXXX";
  int file = mkstemp(name);

  CHECK(file >= 0);
  CHECK_EQ(unlink(name), 0);
  CHECK_EQ(dup2(file, fd), fd);
  close(file);
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
}

static void log_to_a_full_file(void) {
  limit_size(STDERR_FILENO);
  set_options();
  options.log = 1;
  reach_done();
  uvsig_shutdown_exit(&sd);
}

static void write_to_a_full_file(void) {
  limit_size(STDOUT_FILENO);
  printf("last words");
  set_options();
  options.exit = policy;
  reach_done();
  exit(uvsig_shutdown_exit(&sd));
}

static void warn_on_a_full_file(void) {
  limit_size(STDERR_FILENO);
  open_with_small_buffer();
  overflow();
  run_to_the_end(SIGTERM);
  uvsig_shutdown_exit(&sd);
}

static void a_file_at_its_size_limit_does_not_change_the_end(void) {
  check_dies(run_forked(log_to_a_full_file), SIGTERM);
  policy = UVSIG_SHUTDOWN_EXIT_SIGNAL;
  check_dies(run_forked(write_to_a_full_file), SIGTERM);
  policy = UVSIG_SHUTDOWN_EXIT_ZERO;
  check_exits(run_forked(write_to_a_full_file), 0);
}

static void a_warning_to_a_file_at_its_size_limit_ends_nothing(void) {
  skip_where_signals_are_merged();
  check_dies(run_forked(warn_on_a_full_file), SIGTERM);
}

/* --- Terminals -------------------------------------------------------------- */

static int terminal;
static int tty;

/* With room for a few bytes: then a write() would take them, and wait. */
static void open_almost_full_terminal(void) {
  enum { ROOM = 16 };
  size_t most;

  open_terminal(&terminal, &tty);
  most = fill(tty);
  close(terminal);
  close(tty);
  CHECK(most > ROOM);
  open_terminal(&terminal, &tty);
  for (most -= ROOM; most > 0; most--)
    CHECK_EQ(write(tty, ".", 1), 1);
}

static void log_to_terminal(void) {
  CHECK_EQ(dup2(tty, STDERR_FILENO), STDERR_FILENO);
  set_options();
  options.log = 1;
  reach_done();
  uvsig_shutdown_exit(&sd);
}

static void a_terminal_that_is_almost_full_keeps_nobody(void) {
  open_almost_full_terminal();
  check_dies(run_forked(log_to_terminal), SIGTERM);
  close(terminal);
  close(tty);
}

static void log_in_the_background(void) {
  if (getpid() != getpgrp())
    CHECK_EQ(setpgid(0, 0), 0);
  log_to_terminal();
}

/* A session with a terminal, where background jobs may not write. */
static void be_in_front(void) {
  struct termios settings;
  pid_t pid;
  int status;

  CHECK(setsid() >= 0);
  CHECK_EQ(ioctl(tty, TIOCSCTTY, 0), 0);
  CHECK_EQ(tcgetattr(tty, &settings), 0);
  settings.c_lflag |= TOSTOP;
  CHECK_EQ(tcsetattr(tty, TCSANOW, &settings), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0)
    log_in_the_background();
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, WUNTRACED)), pid);
  if (WIFSTOPPED(status))
    kill(pid, SIGKILL);
  check_dies(status, SIGTERM);
}

static void a_terminal_where_another_job_is_in_front_does_not_stop_it(void) {
  open_terminal(&terminal, &tty);
  CHECK_EQ(run_forked(be_in_front), 0);
  close(terminal);
  close(tty);
}

/* --- The exit in the last callback ------------------------------------------ */

static void exit_when_done(uvsig_shutdown_t* shutdown,
                           uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DONE)
    CHECK_EQ(uvsig_shutdown_exit(shutdown), policy_status);
}

static void end_in_the_last_callback(void) {
  CHECK_EQ(dup2(said[1], STDERR_FILENO), STDERR_FILENO);
  set_options();
  options.log = 1;
  options.exit = policy;
  options.phase_cb = exit_when_done;
  reach_done();
  exit(uvsig_shutdown_exit(&sd));
}

static void check_one_line(int signum, int code) {
  const char* text;
  int status;

  policy_status = code;
  CHECK_EQ(pipe2(said, O_CLOEXEC), 0);
  status = run_forked(end_in_the_last_callback);
  close(said[1]);
  text = read_to_the_end(said[0]);
  CHECK(strncmp(text, "libuvsig: shutdown: SIGTERM", 27) == 0);
  CHECK(strchr(text, '\n') == text + strlen(text) - 1);
  if (signum != 0)
    check_dies(status, signum);
  else
    check_exits(status, code);
}

static void an_exit_in_the_last_callback_is_logged_once(void) {
  policy = UVSIG_SHUTDOWN_EXIT_SIGNAL;
  check_one_line(SIGTERM, 0);
  policy = UVSIG_SHUTDOWN_EXIT_CODE;
  check_one_line(0, 128 + SIGTERM);
}

/* --- Other ends ------------------------------------------------------------- */

static void end_by_a_harmless_signal(void) {
  set_options();
  sigaddset(&options.graceful, SIGWINCH);
  open_shutdown(NULL);
  run_to_the_end(SIGWINCH);
  exit(uvsig_shutdown_exit(&sd));
}

static void a_signal_that_ends_nothing_is_a_status(void) {
  check_exits(run_forked(end_by_a_harmless_signal), 128 + SIGWINCH);
}

static void stop_when_done(uvsig_shutdown_t* shutdown,
                           uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (phase == UVSIG_SHUTDOWN_DONE)
    raise(SIGSTOP);
}

static void end_after_a_stop(void) {
  FILE* file = fdopen(ends[1], "w");

  CHECK(fputs("last words", file) >= 0);
  set_options();
  options.grace_ms = 300;
  options.hard_ms = 1000;
  options.phase_cb = stop_when_done;
  reach_done();
  uvsig_shutdown_exit(&sd);
}

static void buffers_are_written_after_a_stop_too(void) {
  pid_t pid;
  int status;

  open_pipe();
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0)
    end_after_a_stop();
  close(ends[1]);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, WUNTRACED)), pid);
  CHECK(WIFSTOPPED(status));
  let_pass(2000); /* the limit, and more */
  CHECK_EQ(kill(pid, SIGCONT), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  check_dies(status, SIGTERM);
  CHECK_STR(read_to_the_end(ends[0]), "last words");
}

/* The terminal is root's, and cannot be opened again. */
static void log_as_nobody(void) {
  CHECK_EQ(setuid(65534), 0);
  log_to_terminal();
}

static void a_terminal_that_is_anothers_has_the_line(void) {
  char text[64] = "";

  if (getuid() != 0)
    skip_test("this user cannot become another one");
  open_terminal(&terminal, &tty);
  check_dies(run_forked(log_as_nobody), SIGTERM);
  CHECK(read(terminal, text, sizeof(text) - 1) > 20);
  CHECK(strncmp(text, "libuvsig: shutdown:", 19) == 0);
  close(terminal);
  close(tty);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_program_that_is_executed_has_the_default_actions),
      TEST(a_program_of_fork_and_exec_has_the_default_actions),
      TEST(a_program_of_system_has_the_default_actions),
      TEST(a_program_of_popen_has_the_default_actions),
      TEST(a_program_of_posix_spawn_has_the_default_actions),
      TEST(a_program_of_uv_spawn_has_the_default_actions),
      TEST(a_program_that_the_last_callback_executes_dies_by_sigterm),
      TEST(a_child_of_fork_has_the_actions_from_before_the_library),
      TEST(what_was_watched_does_not_change_the_end),
      TEST(with_keep_sig_what_was_watched_does_not_change_it_either),
      TEST(what_was_not_watched_has_its_default_action_to_the_end),
      TEST(a_close_after_exit_lifts_the_limit),
      TEST(after_close_signals_have_their_default_actions),
      TEST(close_in_the_last_callback_gives_them_back_too),
      TEST(the_buffer_of_any_file_is_written_before_death_by_the_signal),
      TEST(without_a_reader_of_output_it_dies_by_the_signal_all_the_same),
      TEST(without_a_reader_of_output_it_exits_with_its_status_all_the_same),
      TEST(a_thread_that_is_stuck_in_output_does_not_keep_exit),
      TEST(a_file_is_written_though_output_is_in_use),
      TEST(errors_are_written_though_output_is_in_use_for_ever),
      TEST(output_is_written_though_a_file_is_in_use_for_ever),
      TEST(a_file_at_its_size_limit_does_not_change_the_end),
      TEST(a_warning_to_a_file_at_its_size_limit_ends_nothing),
      TEST(a_terminal_that_is_almost_full_keeps_nobody),
      TEST(a_terminal_where_another_job_is_in_front_does_not_stop_it),
      TEST(an_exit_in_the_last_callback_is_logged_once),
      TEST(a_signal_that_ends_nothing_is_a_status),
      TEST(buffers_are_written_after_a_stop_too),
      TEST(a_terminal_that_is_anothers_has_the_line),
      TEST(output_that_nobody_reads_does_not_keep_death_by_the_signal),
      TEST(output_that_nobody_reads_does_not_keep_exit),
      TEST(an_exit_handler_that_never_returns_does_not_keep_exit),
      TEST(a_destructor_that_never_returns_does_not_keep_exit),
      TEST(a_last_callback_that_never_returns_is_told_as_the_exit),
      TEST(a_program_that_goes_on_to_something_else_ends),
      TEST(a_warning_to_a_pipe_without_reader_ends_nothing),
      TEST(a_warning_to_a_socket_without_reader_ends_nothing),
      TEST(a_warning_to_a_full_pipe_is_dropped_and_keeps_nobody),
      TEST(a_warning_to_a_full_socket_is_dropped_and_keeps_nobody),
      TEST(a_warning_leaves_sigpipe_as_it_is),
      TEST(a_log_without_reader_does_not_change_the_end),
      TEST(a_log_without_reader_calls_no_handler_of_sigpipe),
      TEST(a_log_to_what_is_full_is_dropped_and_keeps_nobody),
      TEST(the_limits_line_is_dropped_where_it_would_wait),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
