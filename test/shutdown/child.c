/* SPDX-License-Identifier: MIT
 *
 * Child processes that a shutdown signals and waits for, and their process
 * groups.
 */

#include "../lib/server.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct child {
  uv_process_t process;
  uvsig_shutdown_child_t entry;
};

static struct child child;

static void on_exit_of_child(uv_process_t* process, int64_t code, int signum) {
  CHECK(process == &child.process);
  CHECK_EQ(code, 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child.entry), 0);
  uv_close((uv_handle_t*) process, NULL);
  say(signum == SIGTERM ? 't' : signum == SIGKILL ? 'k' : '?');
}

/* It says i when it is there, and ends with the server, at the latest: then its
 * standard input does. */
static void spawn(const char* script) {
  char* args[] = {(char[]){"sh"}, (char[]){"-c"}, (char[256]){0}, NULL};
  uv_process_options_t options;
  uv_stdio_container_t stdio[3];
  int input[2];

  CHECK_EQ(pipe2(input, O_CLOEXEC), 0);
  snprintf(args[2], 256, "%s; printf i; exec cat", script);
  memset(&options, 0, sizeof(options));
  memset(stdio, 0, sizeof(stdio));
  stdio[0].flags = UV_INHERIT_FD;
  stdio[0].data.fd = input[0];
  stdio[1].flags = UV_INHERIT_FD;
  stdio[1].data.fd = server_said();
  stdio[2].flags = UV_INHERIT_FD;
  stdio[2].data.fd = STDERR_FILENO;
  options.exit_cb = on_exit_of_child;
  options.file = "sh";
  options.args = args;
  options.stdio = stdio;
  options.stdio_count = 3;
  CHECK_EQ(uv_spawn(&server.loop, &child.process, &options), 0);
  close(input[0]);
}

static void add_child(void) {
  int pid = child.process.pid;

  CHECK_EQ(uvsig_shutdown_add_child(&server.sd, &child.entry, pid), 0);
  CHECK(child.entry.shutdown == &server.sd);
  CHECK_EQ(child.entry.pid, pid);
}

static void serve_child(void) {
  server_open();
  spawn(":");
  add_child();
  server_run();
}

static void serve_deaf_child(void) {
  server_open();
  spawn("trap '' TERM");
  add_child();
  server_run();
}

static void children_get_sigterm_when_draining_begins(void) {
  server_init();
  server_start(serve_child);
  server_await('i');
  server_signal(SIGTERM);
  server_await('t');
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.report.killed + ended.report.children, 0);
}

static void children_that_are_deaf_get_sigkill_when_forcing_begins(void) {
  server_init();
  server.options.grace_ms = 100;
  server_start(serve_deaf_child);
  server_await('i');
  server_signal(SIGTERM);
  server_await('f');
  server_expect("k");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.killed, 1);
  CHECK_EQ(ended.report.children, 0);
}

static uvsig_shutdown_phase_t add_phase;

static void add_child_in_phase(uvsig_shutdown_phase_t phase) {
  uvsig_shutdown_child_t late;

  if (phase == add_phase)
    add_child();
  if (phase == UVSIG_SHUTDOWN_DONE)
    CHECK_EQ(uvsig_shutdown_add_child(&server.sd, &late, getpid()),
             UV_ECANCELED);
}

static void serve_late_child(void) {
  server_open();
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  spawn("trap '' TERM");
  server_run();
}

static void serve_late_mortal_child(void) {
  server_open();
  spawn(":");
  server_run();
}

static void a_child_that_comes_while_draining_gets_sigterm(void) {
  server_init();
  server.on_phase = add_child_in_phase;
  add_phase = UVSIG_SHUTDOWN_DRAINING;
  server_start(serve_late_mortal_child);
  server_await('i');
  server_signal(SIGTERM);
  server_await('t');
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

static void a_child_that_comes_while_forcing_gets_sigkill(void) {
  server_init();
  server.options.grace_ms = 100;
  server.on_phase = add_child_in_phase;
  add_phase = UVSIG_SHUTDOWN_FORCING;
  server_start(serve_late_child);
  server_await('i');
  server_signal(SIGTERM);
  server_await('f');
  server_expect("k");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.killed, 1);
}

static void add_while_closing(uvsig_shutdown_closer_t* closer) {
  uvsig_shutdown_child_t late;

  memset(&late, 0, sizeof(late));
  CHECK_EQ(uvsig_shutdown_add_child(&server.sd, &late, getpid()), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_closed(closer), 0);
}

static void serve_closer(void) {
  static uvsig_shutdown_closer_t closer;

  server_open();
  CHECK_EQ(uvsig_shutdown_add_closer(&server.sd, &closer, add_while_closing),
           0);
  server_run();
}

static void one_that_comes_while_closing_is_refused(void) {
  server_init();
  server_start(serve_closer);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("dcD");
  server_dies(SIGTERM);
}

static void serve_removed_child(void) {
  server_open();
  spawn(":");
  add_child();
  CHECK_EQ(uvsig_shutdown_remove_child(&child.entry), 0);
  CHECK(child.entry.shutdown == NULL);
  CHECK_EQ(uvsig_shutdown_remove_child(&child.entry), 0);
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(server.sd.report.left[UV_PROCESS], 1);
  CHECK_EQ(uv_process_kill(&child.process, SIGKILL), 0);
  uv_run(&server.loop, UV_RUN_DEFAULT);
  server_finish();
}

static void a_child_that_was_removed_gets_no_signal(void) {
  server_init();
  server.options.grace_ms = 50;
  server_start(serve_removed_child);
  server_await('i');
  server_signal(SIGTERM);
  server_await('f');
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_expect("D");
  server_expect("k"); /* not t */
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.killed + ended.report.children, 0);
}

/* Nobody waits for it in time. */
static void serve_forgotten_child(void) {
  uvsig_shutdown_child_t entry = {.data = NULL};
  int ready[2];
  int status;
  char letter;
  pid_t pid;

  server_open();
  CHECK_EQ(pipe(ready), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    CHECK_EQ(uvsig_ignore(SIGTERM), UVSIG_DEFAULT);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    CHECK_EQ(write(ready[1], "i", 1), 1);
    for (;;)
      pause();
  }
  CHECK_EQ(read(ready[0], &letter, 1), 1);
  close(ready[0]);
  close(ready[1]);
  CHECK_EQ(uvsig_shutdown_add_child(&server.sd, &entry, pid), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGKILL);
  server_finish();
}

static void children_that_are_there_at_the_end_are_counted(void) {
  do {
    server_init();
    server.options.grace_ms = 50;
    server.options.hard_ms = 50;
    server_start(serve_forgotten_child);
    server_expect("r");
    server_signal(SIGTERM);
  } while (server_is_overdue("df"));
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.killed, 1);
  CHECK_EQ(ended.report.children, 1);
}

/* --- A child that tells what it gets -------------------------------------- */

static uvsig_shutdown_child_t told;
static uvsig_watcher_t sigchld;

/* A letter for each signal, in the order of their numbers: i, q, t, and c for
 * SIGCONT; SIGRTMIN ends it. */
static void tell_signals(void) {
  uvsig_info_t info;
  sigset_t set;

  sigfillset(&set);
  say('r');
  for (;;) {
    /* Its parent's end does not end it, where it is a grandchild. */
    if (uvsig_sigtimedwait(&set, SERVER_PATIENCE, &info) != 0 ||
        info.signum == SIGRTMIN)
      _exit(0);
    say(info.signum == SIGINT    ? 'i'
        : info.signum == SIGQUIT ? 'q'
        : info.signum == SIGTERM ? 't'
        : info.signum == SIGCONT ? 'c'
                                 : '?');
  }
}

static void on_sigchld(uvsig_watcher_t* w,
                       int signum,
                       const uvsig_info_t* info) {
  int status;

  (void) w;
  (void) signum;
  (void) info;
  if (told.shutdown != NULL && waitpid(told.pid, &status, WNOHANG) == told.pid)
    CHECK_EQ(uvsig_shutdown_remove_child(&told), 0);
}

static void unblock_all(void) {
  sigset_t none = set_of(0);

  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &none, NULL), 0);
}

/* Add a child that runs `body`, in a group of its own or not. The server waits
 * for it, and inherits what it leaves behind. */
static void add_forked(void (*body)(void), bool has_group) {
  pid_t pid;

#ifdef __linux__
  CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
#endif
  pid = fork_all_blocked(body);
  if (has_group)
    CHECK_EQ(setpgid(pid, pid), 0); /* before the child may go on: see `body` */
  CHECK_EQ(uvsig_watcher_init(&server.sig, &sigchld), 0);
  CHECK_EQ(uvsig_watcher_start(&sigchld, on_sigchld, SIGCHLD), 0);
  uvsig_watcher_unref(&sigchld);
  CHECK_EQ(uvsig_shutdown_add_child(&server.sd, &told, pid), 0);
}

/* Asked e, end the child, asked g, its group; l: is it there? x: have it say ?,
 * after whatever it has been sent before. */
static long answer(int question) {
  if (question == 'e')
    return kill(told.pid, SIGRTMIN);
  if (question == 'g')
    return kill(-told.pid, SIGRTMIN);
  if (question == 'l')
    return told.shutdown != NULL;
  CHECK_EQ(question, 'x');
  return kill(told.pid, SIGRTMIN + 1);
}

static void serve_told(void) {
  server_open();
  add_forked(tell_signals, false);
  server_run();
}

static void start_told(void (*serve)(void)) {
  server_init();
  server.on_question = answer;
  server_start(serve);
  server_expect("rr"); /* the child's and the server's */
}

static void end_clean(int question, int signum) {
  CHECK_EQ(server_ask(question), 0);
  server_dies(signum);
  CHECK_EQ(ended.report.clean, 1);
  CHECK_EQ(ended.report.children + ended.report.killed, 0);
}

/* The child has been sent nothing until now. */
static void expect_silence(void) {
  CHECK_EQ(server_ask('x'), 0);
  server_expect("?");
}

static void a_child_is_told_once_and_woken(void) {
  start_told(serve_told);
  server_signal(SIGTERM);
  server_expect("dtc");
  expect_silence();
  end_clean('e', SIGTERM);
}

static void stop(void) {
  unblock_all();
  raise(SIGSTOP);
}

static void serve_stopped(void) {
  int status;

  server_open();
  add_forked(stop, false);
  CHECK_EQ(UNINTERRUPTED(waitpid(told.pid, &status, WUNTRACED)), told.pid);
  CHECK(WIFSTOPPED(status));
  server_run();
}

static void a_child_that_is_stopped_ends(void) {
  server_init();
  server_start(serve_stopped);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

static void serve_told_by_sigquit(void) {
  server_open();
  add_forked(tell_signals, false);
  CHECK_EQ(uvsig_shutdown_child_set_signal(&told, SIGQUIT), 0);
  server_run();
}

static void the_signal_may_be_another_one(void) {
  start_told(serve_told_by_sigquit);
  server_signal(SIGTERM);
  server_expect("dqc");
  end_clean('e', SIGTERM);
}

static long add_told(int question) {
  if (question != 'a')
    return answer(question);
  add_forked(tell_signals, false);
  return uvsig_shutdown_child_set_signal(&told, SIGQUIT);
}

static void serve_held(void) {
  server_open();
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  server_run();
}

/* There is time to set it: the child is told on the next turn of the loop. */
static void also_for_a_child_that_comes_while_draining(void) {
  server_init();
  server.on_question = add_told;
  server_start(serve_held);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask('a'), 0);
  server_expect("rqc");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  end_clean('e', SIGTERM);
}

/* --- On a terminal -------------------------------------------------------- */

static int terminal = -1;
static int tty = -1;

static void start_on_terminal(void (*serve)(void)) {
  open_terminal(&terminal, &tty);
  start_told(serve);
  close(tty);
  CHECK_EQ(write(terminal, "\003", 1), 1);
}

/* The server has a session of its own, and so is in front. */
static void take_terminal(void) {
  close(terminal);
  CHECK_EQ(ioctl(tty, TIOCSCTTY, 0), 0);
}

static void serve_told_on_terminal(void) {
  take_terminal();
  serve_told();
}

/* Of two signals that wait, the child tells SIGTERM before SIGCONT. */
static void what_the_terminal_has_told_is_told_once(void) {
  bool was_interrupted = false;
  char letter;

  start_on_terminal(serve_told_on_terminal);
  while ((letter = server_hear()) != 'c') {
    CHECK(letter == 'd' || letter == 'i');
    was_interrupted |= letter == 'i';
  }
  CHECK(was_interrupted);
  expect_silence();
  end_clean('e', SIGINT);
  close(terminal);
}

static void serve_held_on_terminal(void) {
  take_terminal();
  serve_held();
}

/* It has been started since, and so has had no signal. */
static void what_comes_after_ctrl_c_is_signalled_too(void) {
  open_terminal(&terminal, &tty);
  server_init();
  server.on_question = add_told;
  server_start(serve_held_on_terminal);
  server_expect("r");
  close(tty);
  CHECK_EQ(write(terminal, "\003", 1), 1);
  server_expect("d");
  CHECK_EQ(server_ask('a'), 0);
  server_expect("rqc");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  end_clean('e', SIGINT);
  close(terminal);
}

static void serve_group_on_terminal(void) {
  take_terminal();
  server_open();
  add_forked(tell_signals, true);
  server_run();
}

static void what_is_not_in_front_is_told_by_the_library(void) {
  start_on_terminal(serve_group_on_terminal);
  server_expect("dtc");
  end_clean('e', SIGINT);
  close(terminal);
}

/* --- Late ones ------------------------------------------------------------ */

static void serve_late(void) {
  server_open();
  add_forked(tell_signals, false);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&told, UVSIG_SHUTDOWN_CHILD_LATE), 0);
  CHECK_EQ(server_listen(), 0);
  server_run();
}

static void a_late_one_is_told_when_connections_are_over(void) {
  int client;

  start_told(serve_late);
  client = client_connect();
  client_send(client, "s");
  server_ask_until(SERVER_BUSY, 1);
  server_signal(SIGTERM);
  server_expect("d");
  expect_silence();
  server_ask(SERVER_ANSWER);
  client_expect(client, "bye");
  client_expect_end(client);
  server_expect("tc");
  end_clean('e', SIGTERM);
}

static long set_early(int question) {
  if (question != 's')
    return answer(question);
  return uvsig_shutdown_child_set_flags(&told, 0);
}

/* The loop need not wait for anything else. */
static void one_that_is_late_no_more_is_told_at_once(void) {
  int client;

  server_init();
  server.on_question = set_early;
  server_start(serve_late);
  server_expect("rr");
  client = client_connect();
  client_send(client, "s");
  server_ask_until(SERVER_BUSY, 1);
  server_signal(SIGTERM);
  server_expect("d");
  expect_silence();
  CHECK_EQ(server_ask('s'), 0);
  server_expect("tc");
  server_ask(SERVER_ANSWER);
  client_expect(client, "bye");
  client_expect_end(client);
  end_clean('e', SIGTERM);
}

static void serve_late_alone(void) {
  server_open();
  add_forked(tell_signals, false);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&told, UVSIG_SHUTDOWN_CHILD_LATE), 0);
  server_run();
}

static void without_connections_it_is_told_at_once(void) {
  start_told(serve_late_alone);
  server_signal(SIGTERM);
  server_expect("dtc");
  end_clean('e', SIGTERM);
}

/* --- Groups --------------------------------------------------------------- */

static int begin[2]; /* a byte comes when the child leads its group */
static void (*member)(void);

/* It ends by SIGTERM, and what it has started does not end with it. */
static void lead(void) {
  char byte;

  CHECK_EQ(read(begin[0], &byte, 1), 1);
  if (fork() == 0)
    member();
  unblock_all();
  poll(NULL, 0, SERVER_PATIENCE * 1000);
}

static void be_deaf(void) {
  CHECK_EQ(uvsig_ignore(SIGTERM), UVSIG_DEFAULT);
  unblock_all();
  say('r');
  poll(NULL, 0, SERVER_PATIENCE * 1000);
  _exit(0);
}

static void open_group(void) {
  server_open();
  CHECK_EQ(pipe2(begin, O_CLOEXEC), 0);
  add_forked(lead, true);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&told, UVSIG_SHUTDOWN_CHILD_GROUP),
           0);
  CHECK_EQ(write(begin[1], "b", 1), 1);
  close(begin[0]);
  close(begin[1]);
}

static void serve_group(void) {
  open_group();
  server_run();
}

static void start_group(void (*runs)(void)) {
#ifndef __linux__
  skip_test("nobody here waits for an orphan");
#endif
  member = runs;
  start_told(serve_group);
}

static void a_group_is_told_and_waited_for(void) {
  start_group(tell_signals);
  server_signal(SIGTERM);
  server_expect("dtc");
  server_ask_until('l', 0); /* its leader has ended */
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_DRAINING);
  end_clean('g', SIGTERM);
}

static void a_group_that_is_deaf_is_killed(void) {
  member = be_deaf;
  server_init();
  server.options.grace_ms = 100;
  server_start(serve_group);
  server_expect("rr");
  server_signal(SIGTERM);
  server_expect("df");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 0);
  CHECK_EQ(ended.report.killed, 1);
  CHECK_EQ(ended.report.children, 0);
}

static void serve_left_group(void) {
  open_group();
  say('s');
  server_sleep();
  CHECK_EQ(kill(told.pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(told.pid, NULL, 0)), told.pid);
  CHECK_EQ(uvsig_shutdown_remove_child(&told), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(kill(-told.pid, SIGKILL), 0); /* it is still there */
  server_finish();
}

/* Its number might be another's by the time of the shutdown. */
static void a_group_whose_leader_is_gone_before_is_forgotten(void) {
  member = tell_signals;
  server_init();
  server_start(serve_left_group);
  server_await('r');
  server_wake();
  server_await('r');
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
}

/* --- Errors --------------------------------------------------------------- */

static void serve_refused(void) {
  uvsig_shutdown_child_t none;

  memset(&none, 0, sizeof(none));
  CHECK_EQ(uvsig_shutdown_child_set_signal(NULL, SIGTERM), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_child_set_signal(&none, SIGTERM), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_child_set_flags(NULL, 0), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&none, 0), UV_EINVAL);
  server_open();
  add_forked(tell_signals, false);
  CHECK_EQ(uvsig_shutdown_child_set_signal(&told, 0), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_child_set_signal(&told, UVSIG_NSIG), UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&told, 4), UV_EINVAL);
  /* It leads no group. */
  CHECK_EQ(uvsig_shutdown_child_set_flags(&told, UVSIG_SHUTDOWN_CHILD_GROUP),
           UV_EINVAL);
  server_run();
}

static long set_when_told(int question) {
  if (question != 's')
    return answer(question);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&told, 0), UV_EALREADY);
  return uvsig_shutdown_child_set_signal(&told, SIGQUIT);
}

static void what_makes_no_sense_or_comes_too_late_is_refused(void) {
  server_init();
  server.on_question = set_when_told;
  server_start(serve_refused);
  server_expect("rr");
  server_signal(SIGTERM);
  server_expect("dtc"); /* as if nothing had been asked for */
  CHECK_EQ(server_ask('s'), UV_EALREADY);
  end_clean('e', SIGTERM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(children_get_sigterm_when_draining_begins),
      TEST(children_that_are_deaf_get_sigkill_when_forcing_begins),
      TEST(a_child_that_comes_while_draining_gets_sigterm),
      TEST(a_child_that_comes_while_forcing_gets_sigkill),
      TEST(one_that_comes_while_closing_is_refused),
      TEST(a_child_that_was_removed_gets_no_signal),
      TEST(children_that_are_there_at_the_end_are_counted),
      TEST(a_child_is_told_once_and_woken),
      TEST(a_child_that_is_stopped_ends),
      TEST(the_signal_may_be_another_one),
      TEST(also_for_a_child_that_comes_while_draining),
      TEST(what_the_terminal_has_told_is_told_once),
      TEST(what_comes_after_ctrl_c_is_signalled_too),
      TEST(what_is_not_in_front_is_told_by_the_library),
      TEST(a_late_one_is_told_when_connections_are_over),
      TEST(one_that_is_late_no_more_is_told_at_once),
      TEST(without_connections_it_is_told_at_once),
      TEST(a_group_is_told_and_waited_for),
      TEST(a_group_that_is_deaf_is_killed),
      TEST(a_group_whose_leader_is_gone_before_is_forgotten),
      TEST(what_makes_no_sense_or_comes_too_late_is_refused),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
