/* SPDX-License-Identifier: MIT
 *
 * What is called at an odd moment: in a callback, in the child of a fork, after
 * the loop has been left, or twice.
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_SYS_SYSCALL_H
# include <sys/syscall.h>
#endif
#ifdef __linux__
# include <sys/eventfd.h>
# include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static uvsig_shutdown_hold_t hold;
static uvsig_shutdown_child_t child;
static uvsig_shutdown_child_t other_child;
static uvsig_shutdown_connection_t connection;
static uvsig_shutdown_connection_t other;
static unsigned long phases; /* a bit for each */
static int errors = -1;      /* what is written to standard error */
static int own_stderr;
static void (*on_done)(void);
static void (*on_draining)(void);
static void (*on_forcing)(void);

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  void (*then)(void) = phase == UVSIG_SHUTDOWN_DONE       ? on_done
                       : phase == UVSIG_SHUTDOWN_DRAINING ? on_draining
                       : phase == UVSIG_SHUTDOWN_FORCING  ? on_forcing
                                                          : NULL;

  CHECK(shutdown == &sd);
  CHECK((phases & 1ul << phase) == 0);
  phases |= 1ul << phase;
  if (then != NULL)
    then();
}

/* Between callbacks: what makes the next phase begin comes in this one. */
static void force_and_flush(void) {
  raise(SIGTERM);
  uvsig_flush(&f.sig);
  CHECK((phases & 1ul << UVSIG_SHUTDOWN_FORCING) == 0);
}

static void set_options(void) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.keep_sig = 1;
  options.phase_cb = on_phase;
}

static void open_shutdown(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

static void run_to_done(void) {
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK((phases & 1ul << UVSIG_SHUTDOWN_DONE) != 0);
}

static void close_all(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

/* --- In a callback -------------------------------------------------------- */

static void flush_signals(void) {
  raise(SIGTERM);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
}

static void a_callback_may_deliver_what_looks_at_the_shutdown_again(void) {
  set_options();
  on_draining = flush_signals;
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(sd.report.clean, 1);
  close_all();
}

static unsigned given_up;

static void on_given_up(uvsig_shutdown_t* shutdown) {
  CHECK(shutdown == &sd);
  given_up++;
}

static void give_up(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, on_given_up), 0);
}

static void give_up_listener(uvsig_shutdown_listener_t* l) {
  CHECK(l->shutdown == NULL);
  give_up();
}

static void check_given_up(void) {
  uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(given_up, 1);
  CHECK_EQ(phases, 1ul << UVSIG_SHUTDOWN_FORCING);
  fixture_close(&f);
}

static void the_callback_of_forcing_may_give_up(void) {
  set_options();
  on_forcing = give_up;
  open_shutdown();
  check_given_up();
}

static void a_listeners_callback_may_give_up_while_forcing(void) {
  static uvsig_shutdown_listener_t l;

  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &l, NULL, give_up_listener), 0);
  check_given_up();
}

/* When the loop has had a turn to accept. */
static void and_while_draining(void) {
  static uvsig_shutdown_listener_t l;

  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &l, NULL, give_up_listener), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(given_up, 1);
  CHECK((phases & 1ul << UVSIG_SHUTDOWN_DRAINING) != 0);
  CHECK((phases & 1ul << UVSIG_SHUTDOWN_DONE) == 0);
  fixture_close(&f);
}

/* In between, the handles of the shutdown close, which takes turns. */
static void close_too_late(uv_check_t* check) {
  if (uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_DONE)
    return;
  if ((phases & 1ul << UVSIG_SHUTDOWN_DONE) == 0) {
    CHECK_EQ(uvsig_shutdown_close(&sd, on_given_up), UV_EALREADY);
    given_up++;
  }
  uv_close((uv_handle_t*) check, NULL);
}

static void until_the_last_callback_it_is_too_late_to_give_up(void) {
  uv_check_t check;

  set_options();
  open_shutdown();
  CHECK_EQ(uv_check_init(&f.loop, &check), 0);
  CHECK_EQ(uv_check_start(&check, close_too_late), 0);
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(given_up, 1);
  close_all();
}

static struct recorder pipes;

static void stop_pipes(void) {
  CHECK_EQ(uvsig_watcher_stop(&pipes.w), 0);
  raise(SIGPIPE);
}

static void a_watch_of_sigpipe_does_not_end_the_process(void) {
  set_options();
  on_done = stop_pipes;
  open_shutdown();
  recorder_init(&pipes, &f.sig);
  recorder_start(&pipes, SIGPIPE);
  uvsig_watcher_unref(&pipes.w);
  raise(SIGTERM);
  run_to_done();
  close_all();
  CHECK(action_of(SIGPIPE).sa_handler == SIG_DFL);
}

/* It has been closed: it may be anything. */
static void after_the_end_the_uvsigs_memory_is_the_programs(void) {
  set_options();
  options.keep_sig = 0;
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  memset(&f.sig, 0x5a, sizeof(f.sig));
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "late"), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_request(&sd, "late", UVSIG_SHUTDOWN_FORCED),
           UV_EALREADY);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

/* The uvsig_t is closed, and its memory the program's. */
static void after_the_end_calls_say_so(void) {
  set_options();
  options.keep_sig = 0;
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  memset(&f.sig, 0x5a, sizeof(f.sig));
  CHECK_EQ(uvsig_shutdown_extend(&sd, 1), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_ready(&sd), UV_ECANCELED);
  CHECK_EQ(uvsig_shutdown_request(&sd, "no", UVSIG_SHUTDOWN_GRACEFUL),
           UV_EALREADY);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

/* --- Connections ---------------------------------------------------------- */

static unsigned events[3];

/* It is told to close, and goes on: a request had come before. */
static void on_event(uvsig_shutdown_connection_t* c,
                     uvsig_shutdown_event_t event) {
  events[event]++;
  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    return;
  CHECK_EQ(uvsig_shutdown_connection_busy(c), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(c), 0);
  CHECK_EQ(uvsig_shutdown_remove_connection(c), 0);
}

static void one_that_is_to_close_may_still_have_a_request(void) {
  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_event), 0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), 0);
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(events[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 1);
  CHECK_EQ(events[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 1);
  CHECK_EQ(sd.report.closed, 1);
  close_all();
}

/* A listener that accepts none of its two connections. It has 4,096 turns. */
static uv_tcp_t server;

static void accept_none(uv_stream_t* stream, int status) {
  CHECK(stream == (uv_stream_t*) &server);
  CHECK_EQ(status, 0);
}

static int connect_to_server(void) {
  struct sockaddr_storage name;
  int size = sizeof(name);
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  CHECK(fd >= 0);
  CHECK_EQ(uv_tcp_getsockname(&server, (struct sockaddr*) &name, &size), 0);
  CHECK_EQ(connect_fully(fd, &name, (socklen_t) size), 0);
  return fd;
}

static void open_server(uvsig_shutdown_listener_t* l) {
  uv_stream_t* stream = (uv_stream_t*) &server;
  struct sockaddr_in name;

  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &name), 0);
  CHECK_EQ(uv_tcp_init(&f.loop, &server), 0);
  CHECK_EQ(uv_tcp_bind(&server, (struct sockaddr*) &name, 0), 0);
  CHECK_EQ(uv_listen(stream, 8, accept_none), 0);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, l, stream, NULL), 0);
}

static uvsig_shutdown_connection_t more[3];
static unsigned added;

static void add_another(uvsig_shutdown_connection_t* c,
                        uvsig_shutdown_event_t event) {
  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN && added < 3) {
    CHECK_EQ(uvsig_shutdown_add_connection(&sd, &more[added], add_another), 0);
    added++;
  }
  on_event(c, event);
}

static void what_a_callback_adds_while_a_listener_accepts_nothing_drains(void) {
  static uvsig_shutdown_listener_t l;
  int fds[2];

  set_options();
  options.fresh_ms = 0;
  open_shutdown();
  open_server(&l);
  fds[0] = connect_to_server();
  fds[1] = connect_to_server();
  /* What it was before is forgotten. */
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &more[0], add_another), 0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&more[0]), 0);
  CHECK_EQ(uvsig_shutdown_remove_connection(&more[0]), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, add_another), 0);
  raise(SIGTERM);
  run_to_done();
  CHECK(l.shutdown == NULL);
  CHECK(uv_is_closing((uv_handle_t*) &server));
  CHECK_EQ(events[UVSIG_SHUTDOWN_CONNECTION_DRAIN], 4);
  CHECK_EQ(events[UVSIG_SHUTDOWN_CONNECTION_CLOSE], 4);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(close(fds[0]), 0);
  CHECK_EQ(close(fds[1]), 0);
  close_all();
}

/* With an order, which it keeps: it is no later than the one behind it. */
static unsigned closed_first; /* of the two, or 0 */

static void note_order(uvsig_shutdown_connection_t* c,
                       uvsig_shutdown_event_t event) {
  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    return;
  if (closed_first == 0)
    closed_first = c == &connection ? 1 : 2;
  CHECK_EQ(uvsig_shutdown_remove_connection(c), 0);
}

static void one_that_is_idle_already_keeps_its_place(void) {
  set_options();
  options.idle = UVSIG_SHUTDOWN_IDLE_SPREAD;
  options.spread_ms = 20;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, note_order), 0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &other, note_order), 0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&other), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(&other), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), 0);
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(closed_first, 1);
  close_all();
}

/* --- The end of a thread -------------------------------------------------- */

static pthread_key_t key;

/* By now no thread owns the loop. */
static void use_at_the_end(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), 0);
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), 0);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), 0);
}

static void* own_and_end(void* unused) {
  (void) unused;
  CHECK(uv_run(&f.loop, UV_RUN_NOWAIT) != 0);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1);
  CHECK_EQ(pthread_setspecific(key, &key), 0);
  return NULL;
}

static void a_destructor_of_the_loops_thread_may_use_connections(void) {
  pthread_t thread;

  set_options();
  open_shutdown();
  CHECK_EQ(pthread_key_create(&key, use_at_the_end), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_event), 0);
  CHECK_EQ(pthread_create(&thread, NULL, own_and_end, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(sd.report.closed, 1);
  close_all();
}

/* --- Children ------------------------------------------------------------- */

static pid_t fork_waiting(pid_t group) {
  pid_t pid = fork();

  CHECK(pid >= 0);
  if (pid == 0) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    CHECK_EQ(setpgid(0, group), 0);
    for (;;)
      pause();
  }
  /* Here as well: whichever comes first. */
  CHECK(setpgid(pid, group) == 0 || errno == EACCES);
  return pid;
}

static int end_child(pid_t pid) {
  int status;

  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  return status;
}

static void check_that_it_was_killed(void) {
  CHECK_EQ(uvsig_shutdown_child_set_signal(&child, SIGUSR1), UV_EALREADY);
  CHECK_EQ(UNINTERRUPTED(waitpid(child.pid, NULL, 0)), child.pid);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
}

/* It is not asked before the connections are over, and they never are. */
static void a_late_child_that_was_killed_has_had_its_signal(void) {
  set_options();
  options.grace_ms = 1;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, fork_waiting(0)), 0);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_LATE),
           0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  /* What is due is so after the request, too. */
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_LATE),
           0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_FORCING);
  CHECK_EQ(sd.report.killed, 1);
  check_that_it_was_killed();
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  run_to_done();
  close_all();
}

static void one_that_was_waited_for_is_not_killed(void) {
  pid_t pid = fork_waiting(0);

  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  end_child(pid);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  run_idle(&f.loop);
  CHECK_EQ(sd.report.killed, 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  run_to_done();
  close_all();
}

static void set_flags_on_thread(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, 0), UV_EPERM);
  CHECK_EQ(uvsig_shutdown_child_set_signal(&child, SIGUSR1), UV_EPERM);
}

static void flags_may_be_set_again_but_on_no_other_thread(void) {
  const unsigned flags = UVSIG_SHUTDOWN_CHILD_GROUP;
  uv_thread_t thread;
  pid_t pid = fork_waiting(0);

  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, flags), 0);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, flags), 0);
  CHECK_EQ(uv_thread_create(&thread, set_flags_on_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  end_child(pid);
  close_all();
}

/* A leader that was waited for, and a member that is registered by itself: it
 * is the program's to wait for. */
static void a_registered_member_of_a_group_is_waited_for_by_the_program(void) {
  static uvsig_shutdown_child_t member;
  pid_t leader_pid = fork_waiting(0);
  pid_t member_pid = fork_waiting(leader_pid);
  siginfo_t info;
  int status;

  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &member, member_pid), 0);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, leader_pid), 0);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP),
           0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  run_idle(&f.loop); /* SIGTERM */
  CHECK_EQ(
      UNINTERRUPTED(waitid(P_PID, (id_t) leader_pid, &info, WEXITED | WNOWAIT)),
      0);
  CHECK_EQ(
      UNINTERRUPTED(waitid(P_PID, (id_t) member_pid, &info, WEXITED | WNOWAIT)),
      0);
  /* Against the rule it is not waited for before: the group's rest, which has
   * its number, is not taken for it. */
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  run_idle(&f.loop);
  CHECK_EQ(waitpid(member_pid, &status, WNOHANG), member_pid);
  CHECK_EQ(uvsig_shutdown_remove_child(&member), 0);
  run_to_done();
  CHECK_EQ(waitpid(leader_pid, &status, WNOHANG), -1);
  close_all();
}

/* Whether such a group has ended cannot be asked: it has not, then. */
static void a_group_of_another_user_is_waited_for(void) {
  enum { NOBODY = 65534 };
  pid_t leader = fork_waiting(0);
  pid_t member = fork_waiting(leader);

  if (geteuid() != 0) {
    end_child(leader);
    end_child(member);
    skip_test("only root may be another user");
  }
  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, leader), 0);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP),
           0);
  CHECK_EQ(setresuid(NOBODY, NOBODY, 0), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  run_idle(&f.loop); /* it may not send SIGTERM */
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(setresuid(0, 0, 0), 0);
  end_child(leader);
  end_child(member);
  run_to_done();
  close_all();
}

static void add_in_child(void) {
  pid_t pid;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  pid = fork_waiting(0);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &other_child, pid), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_GRACEFUL), 0);
  run_idle(&f.loop);
  CHECK(other_child.shutdown == &sd);
  CHECK(child.shutdown == NULL);
  CHECK_EQ(uvsig_shutdown_remove_child(&other_child), 0);
  end_child(pid);
}

static void the_child_of_a_fork_keeps_the_children_that_it_adds(void) {
  pid_t pid = fork_waiting(0);

  set_options();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  CHECK_EQ(run_forked(add_in_child), 0);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  end_child(pid);
  close_all();
}

/* --- What began it, and the line in the log -------------------------------- */

static void open_log(void) {
  int ends[2];

  own_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  CHECK(own_stderr >= 0);
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
  CHECK_EQ(close(ends[1]), 0);
  errors = ends[0];
  options.log = 1;
}

/* It is one line, with this in it. */
static void check_log(const char* part) {
  char text[2048];
  ssize_t n;

  CHECK_EQ(dup2(own_stderr, STDERR_FILENO), STDERR_FILENO);
  CHECK_EQ(close(own_stderr), 0);
  n = read(errors, text, sizeof(text) - 1);
  CHECK(n > 0);
  text[n] = 0;
  if (strstr(text, part) == NULL)
    fprintf(stderr, "%s", text);
  CHECK(strstr(text, part) != NULL);
  CHECK(strchr(text, '\n') == text + n - 1);
  CHECK_EQ(close(errors), 0);
}

/* A process may say so of itself alone, and of itself anything. */
static void send_as(int signum, int code) {
#if defined(__linux__) && defined(SYS_rt_sigqueueinfo)
  siginfo_t info;

  memset(&info, 0, sizeof(info));
  info.si_signo = signum;
  info.si_code = code;
  CHECK_EQ(syscall(SYS_rt_sigqueueinfo, getpid(), signum, &info), 0);
#else
  (void) signum;
  (void) code;
  skip_test("the system does not let a process make a signal up");
#endif
}

static void end_logged(void) {
  sigaddset(&options.graceful, SIGQUIT);
  open_log();
  open_shutdown();
  send_as(SIGQUIT, SI_QUEUE);
  run_to_done();
}

static void a_sender_without_a_number_is_an_unknown_process(void) {
  set_options();
  end_logged();
  check_log("SIGQUIT from an unknown process");
  close_all();
}

/* It has had SIGQUIT from the terminal itself, and is not sent another. */
/* One that is not 0, as nobody at all would be. */
static void the_report_has_the_senders_user(void) {
  if (getuid() == 0 && setuid(65534) != 0)
    skip_test("there is no other user here");
  set_options();
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(sd.report.pid, getpid());
  CHECK_EQ(sd.report.uid, getuid());
  close_all();
}

static void a_terminals_sigquit_is_not_sent_to_the_group_again(void) {
  pid_t pid = fork_waiting(getpgrp());
  int status;

  set_options();
  sigaddset(&options.graceful, SIGQUIT);
  open_log();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  send_as(SIGQUIT, SI_KERNEL);
  run_idle(&f.loop);
  status = end_child(pid);
  CHECK_EQ(WTERMSIG(status), SIGKILL);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  run_to_done();
  check_log("SIGQUIT from the terminal");
  close_all();
}

static void take_the_limit_back(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
}

static void end_with_a_hold(unsigned ms) {
  set_options();
  on_done = take_the_limit_back;
  options.grace_ms = 1;
  options.hard_ms = ms;
  open_log();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "a job"), 0);
  raise(SIGTERM);
  run_to_done();
  check_log("held: a job");
  fixture_close(&f);
}

static void the_log_names_what_was_held(void) {
  skip_under_valgrind("there are 100 ms from the deadline to the limit");
  CHECK_EQ(run_in_time(end_with_a_hold), 0);
}

static uv_sem_t job;

static void do_job(uv_work_t* work) {
  (void) work;
  uv_sem_wait(&job);
}

static void after_job(uv_work_t* work, int status) {
  (void) work;
  CHECK_EQ(status, 0);
}

static void the_log_counts_requests(void) {
  uv_work_t work;

  set_options();
  open_log();
  CHECK_EQ(uv_sem_init(&job, 0), 0);
  open_shutdown();
  CHECK_EQ(uv_queue_work(&f.loop, &work, do_job, after_job), 0);
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.requests, 1);
  check_log("left in the loop: 1 request");
  uv_sem_post(&job);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  uv_sem_destroy(&job);
  close_all();
}

/* libuv may have more types of handles one day. */
static uv_prepare_t strange;

static void check_strange(void) {
  CHECK_EQ(sd.report.handles, 1);
  CHECK_EQ(sd.report.left[UV_PREPARE], 0);
  strange.type = UV_PREPARE;
  uv_close((uv_handle_t*) &strange, NULL);
}

static void a_handle_of_no_known_type_is_counted(void) {
  set_options();
  on_done = check_strange;
  open_shutdown();
  CHECK_EQ(uv_prepare_init(&f.loop, &strange), 0);
  strange.type = UV_HANDLE_TYPE_MAX;
  raise(SIGTERM);
  run_to_done();
  close_all();
}

static void exit_in_child(void) {
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void fork_when_done(void) {
  CHECK_EQ(run_forked(exit_in_child), 0);
}

static void the_child_of_a_fork_in_the_last_callback_logs_nothing(void) {
  set_options();
  on_done = fork_when_done;
  open_log();
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  check_log("clean");
  close_all();
}

/* --- Timers --------------------------------------------------------------- */

static void a_timer_of_the_programs_own_is_a_signal_like_any_other(void) {
#ifdef HAVE_TIMER_CREATE
  struct itimerspec spec = {{0, 0}, {0, 1}};
  struct sigevent event;
  timer_t timer;

  set_options();
  open_shutdown();
  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGTERM;
  CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  CHECK_EQ(timer_settime(timer, 0, &spec, NULL), 0);
  run_to_done();
  CHECK_EQ(timer_delete(timer), 0);
  CHECK_EQ(sd.report.signum, SIGTERM);
  CHECK_EQ(sd.report.signals, 1);
  close_all();
#else
  skip_test("there is no timer_create()");
#endif
}

/* A timer counts as one of the signals that a user may have queued. */
static void without_room_for_a_timer_a_shutdown_is_the_same(void) {
  const struct rlimit none = {0, 0};

  set_options();
  CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &none), 0);
  open_shutdown();
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(sd.report.clean, 1);
  close_all();
}

static void force_by_signal(void) {
  raise(SIGTERM);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
}

static void a_signal_while_forcing_changes_nothing(void) {
  set_options();
  options.grace_ms = 1;
  options.debounce_ms = 0;
  on_forcing = force_by_signal;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(sd.report.signals, 2);
  close_all();
}

/* --- Streams that are no connected sockets --------------------------------- */

static union {
  uv_handle_t handle;
  uv_stream_t stream;
  uv_pipe_t pipe;
} odd;
static unsigned long odd_closed;

static void on_odd_closed(uv_handle_t* handle) {
  CHECK(handle == &odd.handle);
  odd_closed++;
}

/* Nobody can tell what became of its bytes: it does not linger for an hour. */
static void open_odd_stream(int fd) {
  set_options();
  options.fresh_ms = 0;
  options.linger_ms = LONG_MS;
  open_shutdown();
  CHECK_EQ(uv_pipe_init(&f.loop, &odd.pipe, 0), 0);
  if (fd >= 0)
    CHECK_EQ(uv_pipe_open(&odd.pipe, fd), 0);
  CHECK_EQ(
      uvsig_shutdown_add_stream(&sd, &connection, &odd.stream, on_odd_closed),
      0);
}

static void linger_odd_stream(int fd) {
  open_odd_stream(fd);
  raise(SIGTERM);
  run_to_done();
  CHECK_EQ(odd_closed, 1);
  CHECK_EQ(sd.report.closed, 1);
  CHECK_EQ(sd.report.clean, 1);
  close_all();
}

/* Idle ones are closed at once while draining, but not before. */
static void linger_odd_stream_before(int fd) {
  open_odd_stream(fd);
  CHECK_EQ(uvsig_shutdown_linger(&connection, &odd.stream, on_odd_closed), 0);
  run_until(&f.loop, &odd_closed, 1);
  CHECK(connection.shutdown == NULL);
  raise(SIGTERM);
  run_to_done();
  close_all();
}

static void a_stream_that_is_not_open_does_not_linger(void) {
  linger_odd_stream(-1);
}

static void nor_does_the_end_of_a_fifo_that_is_read(void) {
  int ends[2];

  CHECK_EQ(pipe(ends), 0);
  linger_odd_stream_before(ends[0]);
  CHECK_EQ(close(ends[1]), 0);
}

static void nor_does_the_end_of_a_fifo_that_is_written(void) {
  int ends[2];

  CHECK_EQ(pipe(ends), 0);
  linger_odd_stream_before(ends[1]);
  CHECK_EQ(close(ends[0]), 0);
}

/* More than it has room for, to a reader who comes late. */
static void what_was_written_to_a_fifo_arrives(void) {
  enum { SIZE = 1024 * 1024 };
  static char bytes[SIZE];
  uv_buf_t buf = uv_buf_init(bytes, SIZE);
  uv_write_t write_req;
  size_t size = 0;
  ssize_t n = 1;
  int ends[2];

  CHECK_EQ(pipe(ends), 0);
  open_odd_stream(ends[1]);
  CHECK_EQ(uv_write(&write_req, &odd.stream, &buf, 1, NULL), 0);
  CHECK_EQ(uvsig_shutdown_linger(&connection, &odd.stream, on_odd_closed), 0);
  run_idle(&f.loop);
  CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
  while (n != 0) {
    uv_run(&f.loop, UV_RUN_NOWAIT);
    n = read(ends[0], bytes, sizeof(bytes));
    if (n > 0)
      size += (size_t) n;
  }
  CHECK_EQ(size, SIZE);
  CHECK_EQ(odd_closed, 1);
  CHECK_EQ(close(ends[0]), 0);
  raise(SIGTERM);
  run_to_done();
  close_all();
}

static void never_allocate(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  (void) handle;
  (void) size;
  *buf = uv_buf_init(NULL, 0);
  check_failed(__FILE__, __LINE__, "what lingers is read");
}

static void never_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  (void) stream;
  (void) buf;
  check_failed(__FILE__, __LINE__, "what lingers has input: %d", (int) n);
}

static void what_lingers_has_no_input_for_the_program(void) {
  int ends[2];

  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  open_odd_stream(ends[0]);
  CHECK_EQ(uv_read_start(&odd.stream, never_allocate, never_read), 0);
  CHECK_EQ(uvsig_shutdown_linger(&connection, &odd.stream, on_odd_closed), 0);
  CHECK_EQ(write(ends[1], "more", 4), 4);
  run_idle(&f.loop);
  CHECK_EQ(close(ends[1]), 0);
  run_until(&f.loop, &odd_closed, 1);
  raise(SIGTERM);
  run_to_done();
  close_all();
}

static void a_stream_of_another_loop_does_not_linger(void) {
  uv_loop_t loop;
  uv_pipe_t stream;

  set_options();
  open_shutdown();
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_pipe_init(&loop, &stream, 0), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_event), 0);
  CHECK_EQ(
      uvsig_shutdown_linger(&connection, (uv_stream_t*) &stream, on_odd_closed),
      UV_EINVAL);
  CHECK_EQ(uvsig_shutdown_remove_connection(&connection), 0);
  uv_close((uv_handle_t*) &stream, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
  raise(SIGTERM);
  run_to_done();
  close_all();
}

/* Forcing makes the time shorter, and never longer. */
static void what_lingers_has_no_more_time_when_forcing_begins(void) {
  uint64_t deadline;
  int ends[2];

  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  open_odd_stream(ends[0]);
  CHECK_EQ(uvsig_shutdown_linger(&connection, &odd.stream, on_odd_closed), 0);
  deadline = connection.deadline;
  let_pass(2);
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", UVSIG_SHUTDOWN_FORCED), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_FORCING);
  CHECK(connection.deadline == deadline);
  CHECK(connection.shutdown_req == NULL); /* it is over, and freed */
  CHECK_EQ(close(ends[1]), 0);
  run_to_done();
  CHECK_EQ(odd_closed, 1);
  close_all();
}

/* It does not tell how much there is to read, either. */
static void nor_does_what_is_no_stream_at_all(void) {
#ifdef __linux__
  int fd = eventfd(0, EFD_CLOEXEC);

  CHECK(fd >= 0);
  linger_odd_stream(fd);
#else
  skip_test("there is no eventfd()");
#endif
}

/* --- Handles that are closed by others ------------------------------------- */

static void close_type(uv_handle_t* handle, void* type) {
  if (uv_handle_get_type(handle) == *(uv_handle_type*) type)
    uv_close(handle, NULL);
}

static void shut_down_without(uv_handle_type type) {
  phases = 0;
  set_options();
  open_shutdown();
  uv_walk(&f.loop, close_type, &type);
  raise(SIGTERM);
  run_to_done();
  close_all();
}

static void it_ends_without_its_idle_or_its_check_handle(void) {
  shut_down_without(UV_IDLE);
  shut_down_without(UV_CHECK);
}

static void a_flush_in_a_callback_does_not_begin_the_next_phase(void) {
  set_options();
  options.debounce_ms = 0;
  on_draining = force_and_flush;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK((phases & 1ul << UVSIG_SHUTDOWN_FORCING) != 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  run_to_done();
  close_all();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_flush_in_a_callback_does_not_begin_the_next_phase),
      TEST(a_callback_may_deliver_what_looks_at_the_shutdown_again),
      TEST(the_callback_of_forcing_may_give_up),
      TEST(a_listeners_callback_may_give_up_while_forcing),
      TEST(and_while_draining),
      TEST(until_the_last_callback_it_is_too_late_to_give_up),
      TEST(a_watch_of_sigpipe_does_not_end_the_process),
      TEST(after_the_end_calls_say_so),
      TEST(after_the_end_the_uvsigs_memory_is_the_programs),
      TEST(one_that_is_to_close_may_still_have_a_request),
      TEST(what_a_callback_adds_while_a_listener_accepts_nothing_drains),
      TEST(one_that_is_idle_already_keeps_its_place),
      TEST(a_destructor_of_the_loops_thread_may_use_connections),
      TEST(a_late_child_that_was_killed_has_had_its_signal),
      TEST(one_that_was_waited_for_is_not_killed),
      TEST(flags_may_be_set_again_but_on_no_other_thread),
      TEST(a_registered_member_of_a_group_is_waited_for_by_the_program),
      TEST(a_group_of_another_user_is_waited_for),
      TEST(the_child_of_a_fork_keeps_the_children_that_it_adds),
      TEST(a_sender_without_a_number_is_an_unknown_process),
      TEST(the_report_has_the_senders_user),
      TEST(a_terminals_sigquit_is_not_sent_to_the_group_again),
      TEST(the_log_names_what_was_held),
      TEST(the_log_counts_requests),
      TEST(a_handle_of_no_known_type_is_counted),
      TEST(the_child_of_a_fork_in_the_last_callback_logs_nothing),
      TEST(a_timer_of_the_programs_own_is_a_signal_like_any_other),
      TEST(without_room_for_a_timer_a_shutdown_is_the_same),
      TEST(a_signal_while_forcing_changes_nothing),
      TEST(a_stream_that_is_not_open_does_not_linger),
      TEST(nor_does_the_end_of_a_fifo_that_is_read),
      TEST(nor_does_the_end_of_a_fifo_that_is_written),
      TEST(what_was_written_to_a_fifo_arrives),
      TEST(what_lingers_has_no_input_for_the_program),
      TEST(a_stream_of_another_loop_does_not_linger),
      TEST(what_lingers_has_no_more_time_when_forcing_begins),
      TEST(nor_does_what_is_no_stream_at_all),
      TEST(it_ends_without_its_idle_or_its_check_handle),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
