/* SPDX-License-Identifier: MIT
 *
 * The end of a shutdown when not everything has ended: threads that are stuck,
 * signals that come late, a loop that is stuck in the middle, and handles that
 * somebody else has closed.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Long enough that nothing but what is tested ends it in time. */

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static uvsig_shutdown_hold_t hold;
static unsigned long phases; /* a bit for each */

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  phases |= 1ul << phase;
  if (phase == UVSIG_SHUTDOWN_DONE)
    CHECK_EQ(uvsig_close(shutdown->sig, NULL), 0);
}

static void open_shutdown(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

static void set_options(unsigned grace_ms, unsigned hard_ms) {
  uvsig_shutdown_options_init(&options);
  options.grace_ms = grace_ms;
  options.hard_ms = hard_ms;
  options.phase_cb = on_phase;
}

static void sleep_for_ever(void* unused) {
  (void) unused;
  for (;;)
    pause();
}

/* --- Threads that do not end ---------------------------------------------- */

static int input[2];
static uv_sem_t is_reading;

/* stdin's lock is held for as long as nothing comes. */
static void read_input(void* unused) {
  char line[8];

  (void) unused;
  CHECK_EQ(dup2(input[0], STDIN_FILENO), STDIN_FILENO);
  flockfile(stdin);
  uv_sem_post(&is_reading);
  (void) !fgets(line, sizeof(line), stdin);
  abort();
}

static void exit_beside_a_reader(unsigned ms) {
  uv_thread_t thread;

  set_options(1, ms);
  open_shutdown();
  CHECK_EQ(uv_sem_init(&is_reading, 0), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "reader"), 0);
  CHECK_EQ(uvsig_thread_create(&thread, read_input, NULL), 0);
  uv_sem_wait(&is_reading);
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void skip_where_threads_are_lost(void) {
  skip_under_valgrind("what a thread has at the end is lost memory");
}

static void a_thread_that_reads_standard_input_does_not_keep_exit(void) {
  int status;

  skip_where_threads_are_lost();
  CHECK_EQ(pipe(input), 0);
  status = run_in_time(exit_beside_a_reader);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
  close(input[0]);
  close(input[1]);
}

static void work_for_ever(uv_work_t* work) {
  sleep_for_ever(work);
}

static void exit_beside_a_job(void) {
  uv_work_t work;

  set_options(1, 100);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uv_queue_work(&f.loop, &work, work_for_ever, NULL), 0);
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.requests, 1);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
  exit(0); /* waits for the pool */
}

static void a_job_that_never_ends_does_not_keep_the_process(void) {
  int status;

  skip_where_threads_are_lost();
  status = run_forked(exit_beside_a_job);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

static void live_on_beside_a_job(unsigned ms) {
  set_options(1, ms);
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.holds, 1);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_IGNORED);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_DEFAULT);
  uv_sleep(ms + 200); /* no deadline ends it: longer than there would be */
  CHECK_EQ(uvsig_shutdown_exit(&sd), 128 + SIGTERM);
}

static void close_after_done_takes_the_deadline_back(void) {
  int status = run_in_time(live_on_beside_a_job);

  /* By the signal, as the option says. */
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

/* --- Signals that come late ----------------------------------------------- */

static void exit_with_late_signals(void) {
  uv_thread_t thread;

  set_options(LONG_MS, LONG_MS);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  open_shutdown();
  /* It takes what this one blocks. */
  CHECK_EQ(uv_thread_create(&thread, sleep_for_ever, NULL), 0);
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK(phases & 1ul << UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(kill(getpid(), SIGTERM), 0);
  CHECK_EQ(pthread_kill(thread, SIGINT), 0);
  raise(SIGINT);
  _exit(uvsig_shutdown_exit(&sd));
}

static void after_done_a_signal_changes_nothing_on_any_thread(void) {
  skip_where_threads_are_lost();
  CHECK_EQ(run_forked(exit_with_late_signals), 0);
}

/* A watcher of the program's own has the signal longer than the shutdown. */
static void watchers_of_ones_own_give_the_default_action_back(void) {
  struct recorder own;
  uvsig_t second;

  set_options(LONG_MS, LONG_MS);
  open_shutdown();
  CHECK_EQ(uvsig_init(&f.loop, &second, NULL), 0);
  recorder_init(&own, &second);
  recorder_start(&own, SIGTERM);
  uvsig_watcher_unref(&own.w);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(uvsig_close(&second, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}

static void one_that_forces_by_its_set_is_not_debounced(void) {
  set_options(LONG_MS, LONG_MS);
  options.debounce_ms = LONG_MS;
  sigemptyset(&options.graceful);
  sigaddset(&options.graceful, SIGQUIT);
  sigaddset(&options.forced, SIGTERM);
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGQUIT);
  raise(SIGQUIT);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_close(&f.sig, NULL), UV_EBUSY);
  raise(SIGTERM);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_FORCING);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(sd.report.signals, 2);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

static void ignore_and_shut_down(void) {
  set_options(LONG_MS, LONG_MS);
  options.watch_ignored = 1;
  open_shutdown();
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_IGNORED);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_FOREIGN);
}

static void what_was_no_default_action_is_given_back_at_the_end(void) {
  CHECK_EQ(uvsig_ignore(SIGINT), UVSIG_DEFAULT);
  install_handler(SIGTERM, count_foreign);
  ignore_and_shut_down();
  close_loop(&f.loop);
}

/* --- The log -------------------------------------------------------------- */

static void log_to_a_full_pipe(void) {
  char byte = 0;
  int fds[2];

  CHECK_EQ(pipe(fds), 0);
  CHECK_EQ(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
  while (write(fds[1], &byte, 1) == 1)
    ;
  CHECK_EQ(fcntl(fds[1], F_SETFL, 0), 0);
  CHECK_EQ(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
  set_options(LONG_MS, LONG_MS);
  options.log = 1;
  open_shutdown();
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  _exit((phases & 1ul << UVSIG_SHUTDOWN_DONE) != 0 ? 0 : 1);
}

static void a_log_that_nobody_reads_keeps_nobody(void) {
  CHECK_EQ(run_forked(log_to_a_full_pipe), 0);
}

/* --- A loop that is stuck ------------------------------------------------- */

static void stick(uv_timer_t* timer) {
  sleep_for_ever(timer);
}

static void request_forced(void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_shutdown_request(&sd, "thread", UVSIG_SHUTDOWN_FORCED), 0);
}

static void stick_without_signals(void) {
  uv_thread_t thread;
  uv_timer_t timer;

  set_options(LONG_MS, 50);
  sigemptyset(&options.graceful);
  open_shutdown();
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, stick, 0, 0), 0);
  CHECK_EQ(uv_thread_create(&thread, request_forced, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
}

static void without_signals_a_stuck_process_is_killed(void) {
  int status = run_forked(stick_without_signals);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGKILL);
}

static void stick_in_draining(uvsig_shutdown_t* shutdown,
                              uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (phase == UVSIG_SHUTDOWN_DRAINING) {
    raise(SIGTERM);
    sleep_for_ever(NULL);
  }
}

static void stick_while_draining(void) {
  set_options(LONG_MS, 50);
  options.phase_cb = stick_in_draining;
  options.debounce_ms = 0;
  open_shutdown();
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
}

static void a_second_signal_ends_a_drain_that_is_stuck_in_hard_time(void) {
  int status;

  skip_where_threads_are_lost();
  status = run_forked(stick_while_draining);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

/* A child that goes on in the middle has a deadline of its own when its loop
 * has come to it. */
static void stick_in_child(void) {
  uv_timer_t timer;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, NULL, UVSIG_SHUTDOWN_GRACEFUL), 0);
  run_idle(&f.loop);
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, stick, 0, 0), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
}

static uvsig_shutdown_phase_t stuck_in;

static void have_a_stuck_child(unsigned ms) {
  pid_t child;
  int status;

  set_options(5 * ms, 50);
  if (stuck_in == UVSIG_SHUTDOWN_NOT_READY)
    options.delay_ms = 5 * ms;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  run_idle(&f.loop);
  if (uvsig_shutdown_phase(&sd) > (int) stuck_in)
    _exit(128 + SIGTERM); /* too slow */
  CHECK_EQ(uvsig_shutdown_phase(&sd), stuck_in);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    stick_in_child();
    _exit(0);
  }
  CHECK_EQ(uvsig_shutdown_extend(&sd, LONG_MS), 0); /* not to end before it */
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

static void a_child_ends_that_is_stuck_in(uvsig_shutdown_phase_t phase) {
#ifdef __SANITIZE_ADDRESS__
  skip_test("AddressSanitizer's allocator may be locked in a child of threads");
#endif
  skip_where_threads_are_lost();
  if (under_thread_sanitizer())
    skip_test("a child of a process with threads may start none");
  stuck_in = phase;
  CHECK_EQ(run_in_time(have_a_stuck_child), 0);
}

static void a_child_that_is_stuck_when_not_ready_ends(void) {
  a_child_ends_that_is_stuck_in(UVSIG_SHUTDOWN_NOT_READY);
}

static void a_child_that_is_stuck_while_draining_ends(void) {
  a_child_ends_that_is_stuck_in(UVSIG_SHUTDOWN_DRAINING);
}

/* --- A fork in between ---------------------------------------------------- */

/* The signal was the parent's, whose loop has not come to it. */
static void go_on_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  raise(SIGINT);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.signum, SIGINT);
  CHECK_EQ(sd.report.signals, 1);
  CHECK_EQ(sd.report.clean, 1);
  _exit(uvsig_shutdown_exit(&sd));
}

static void listen_in_child(void) {
  uvsig_shutdown_listener_t listener;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  memset(&listener, 0, sizeof(listener));
  CHECK_EQ(uvsig_shutdown_add_listener(
               &sd, &listener, NULL, (uvsig_shutdown_listener_cb) abort),
           0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 1);
}

static void a_child_does_not_inherit_a_shutdown_that_has_not_begun(void) {
  set_options(LONG_MS, LONG_MS);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  raise(SIGTERM);
  CHECK_EQ(run_forked(go_on_in_child), 0);
  CHECK_EQ(run_forked(listen_in_child), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(sd.report.signum, SIGTERM);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

static void be_deaf(void) {
  for (;;)
    pause();
}

/* A process that is deaf, in this group, or the leader of a new one: 0. */
static pid_t fork_into(pid_t group) {
  pid_t pid = fork_all_blocked(be_deaf);

  CHECK_EQ(setpgid(pid, group), 0);
  return pid;
}

static void end_without_children(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK_EQ(uvsig_shutdown_request(&sd, NULL, UVSIG_SHUTDOWN_GRACEFUL), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(sd.report.killed + sd.report.children, 0);
  _exit(uvsig_shutdown_exit(&sd));
}

/* Those of its parent that are registered, and what is left of their groups. */
static void a_child_waits_for_no_children_of_its_parent(void) {
  uvsig_shutdown_child_t child = {.data = NULL};
  pid_t leader;
  pid_t member;

#ifdef __SANITIZE_ADDRESS__
  skip_test("AddressSanitizer's allocator may be locked in a child of threads");
#endif
  skip_where_threads_are_lost();
  if (under_thread_sanitizer())
    skip_test("a child of a process with threads may start none");
  set_options(LONG_MS, LONG_MS);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  open_shutdown();
  leader = fork_into(0);
  member = fork_into(leader);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, leader), 0);
  CHECK_EQ(uvsig_shutdown_child_set_flags(&child, UVSIG_SHUTDOWN_CHILD_GROUP),
           0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(run_forked(end_without_children), 0);
  CHECK_EQ(kill(leader, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(leader, NULL, 0)), leader);
  CHECK_EQ(uvsig_shutdown_remove_child(&child), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(run_forked(end_without_children), 0);
  CHECK_EQ(kill(member, SIGKILL), 0); /* it was still there */
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
  close_loop(&f.loop);
}

/* --- Handles that others close -------------------------------------------- */

static void close_others(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (!uvsig_has_handle(&f.sig, handle) && !uv_is_closing(handle))
    uv_close(handle, NULL);
}

static void close_any(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

static void walk_in_draining(uvsig_shutdown_t* shutdown,
                             uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    uv_walk(&f.loop, close_others, NULL);
  on_phase(shutdown, phase);
}

static void closing_all_that_is_not_the_uvsigs_leaves_the_shutdown(void) {
  uv_timer_t timer;

  set_options(LONG_MS, LONG_MS);
  options.phase_cb = walk_in_draining;
  open_shutdown();
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, stick, LONG_MS, 0), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK(phases & 1ul << UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(sd.report.handles, 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

static unsigned long closes;

static void count_close(uvsig_shutdown_t* shutdown) {
  CHECK(shutdown == &sd);
  closes++;
}

static void closing_everything_is_survived(void) {
  set_options(LONG_MS, LONG_MS);
  open_shutdown();
  uv_walk(&f.loop, close_any, NULL);
  CHECK_EQ(uvsig_shutdown_close(&sd, count_close), 0);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closes, 1);
  close_loop(&f.loop);
}

/* --- Connections that go by themselves ------------------------------------ */

enum { MANY = 40, LEFT = 10, SPREAD_MS = 400 };

static uvsig_shutdown_connection_t many[MANY];

static void leave_early(uvsig_shutdown_connection_t* c,
                        uvsig_shutdown_event_t event) {
  if (event == UVSIG_SHUTDOWN_CONNECTION_CLOSE || c - many >= LEFT)
    CHECK_EQ(uvsig_shutdown_remove_connection(c), 0);
}

/* The last one is closed at the end of the time, and not where it would have
 * been its turn among all. */
static void those_that_are_left_have_all_of_the_spread(void) {
  int i;

  set_options(LONG_MS, LONG_MS);
  options.idle = UVSIG_SHUTDOWN_IDLE_SPREAD;
  options.spread_ms = SPREAD_MS;
  options.fresh_ms = 0;
  open_shutdown();
  for (i = 0; i < MANY; i++)
    CHECK_EQ(uvsig_shutdown_add_connection(&sd, &many[i], leave_early), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(sd.report.closed, MANY);
  CHECK(sd.report.phase_ms[UVSIG_SHUTDOWN_DRAINING] >= SPREAD_MS * 3 / 4);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

/* --- A stream that its owner has shut down -------------------------------- */

static uvsig_shutdown_connection_t connection;
static unsigned long closed_streams;

static void on_event(uvsig_shutdown_connection_t* c,
                     uvsig_shutdown_event_t event) {
  (void) c;
  (void) event;
}

static void on_stream_closed(uv_handle_t* handle) {
  (void) handle;
  closed_streams++;
}

static void a_stream_shut_down_by_its_owner_closes_with_the_peer(void) {
  uv_shutdown_t request;
  uv_pipe_t stream;
  int fds[2];

  set_options(LONG_MS, LONG_MS);
  options.linger_ms = LONG_MS;
  open_shutdown();
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, &stream, 0), 0);
  CHECK_EQ(uv_pipe_open(&stream, fds[0]), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_event), 0);
  CHECK_EQ(uv_shutdown(&request, (uv_stream_t*) &stream, NULL), 0);
  CHECK_EQ(uvsig_shutdown_linger(
               &connection, (uv_stream_t*) &stream, on_stream_closed),
           0);
  close(fds[1]);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed_streams, 1);
  CHECK_EQ(sd.report.forced, 0);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

/* One lingers, so that a timer is about to look; then another one. */
static void a_loop_that_is_late_forces_nobody_that_lingers(void) {
  static uvsig_shutdown_connection_t two[2];
  uv_pipe_t streams[2];
  int fds[2][2];
  int i;

  set_options(LONG_MS, LONG_MS);
  options.linger_ms = 50;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  for (i = 0; i < 2; i++) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]), 0);
    CHECK_EQ(uv_pipe_init(&f.loop, &streams[i], 0), 0);
    CHECK_EQ(uv_pipe_open(&streams[i], fds[i][0]), 0);
    CHECK_EQ(uvsig_shutdown_add_connection(&sd, &two[i], on_event), 0);
    CHECK_EQ(uvsig_shutdown_connection_busy(&two[i]), 0);
  }
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  for (i = 0; i < 2; i++) {
    CHECK_EQ(uvsig_shutdown_linger(
                 &two[i], (uv_stream_t*) &streams[i], on_stream_closed),
             0);
    if (i == 0)
      uv_run(&f.loop, UV_RUN_NOWAIT);
  }
  let_pass(100);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed_streams, 2);
  CHECK_EQ(sd.report.closed, 2);
  CHECK_EQ(sd.report.clean, 1);
  for (i = 0; i < 2; i++)
    close(fds[i][1]);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

static char much[1 << 20];

static void on_forced(uvsig_shutdown_connection_t* c,
                      uvsig_shutdown_event_t event) {
  (void) c;
  CHECK(event != UVSIG_SHUTDOWN_CONNECTION_FORCE);
}

static void a_peer_that_goes_by_itself_was_not_forced_to(void) {
  uv_write_t request;
  uv_buf_t buffer = uv_buf_init(much, sizeof(much));
  uv_pipe_t stream;
  int fds[2];

  CHECK_EQ(uvsig_ignore(SIGPIPE), UVSIG_DEFAULT);
  set_options(LONG_MS, LONG_MS);
  open_shutdown();
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, &stream, 0), 0);
  CHECK_EQ(uv_pipe_open(&stream, fds[0]), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_forced), 0);
  CHECK_EQ(uv_write(&request, (uv_stream_t*) &stream, &buffer, 1, NULL), 0);
  CHECK_EQ(uvsig_shutdown_linger(
               &connection, (uv_stream_t*) &stream, on_stream_closed),
           0);
  raise(SIGTERM);
  run_idle(&f.loop);
  CHECK_EQ(closed_streams, 0);
  close(fds[1]);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed_streams, 1);
  CHECK_EQ(sd.report.closed, 1);
  CHECK_EQ(sd.report.forced, 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

/* --- What lingers is forgotten, or is idle -------------------------------- */

static void open_stream(uv_pipe_t* stream, int* peer) {
  int fds[2];

  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, stream, 0), 0);
  CHECK_EQ(uv_pipe_open(stream, fds[0]), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_event), 0);
  *peer = fds[1];
}

/* Not all has been written when it is removed, so libuv still has a request. */
static void what_is_removed_while_it_lingers_is_not_touched_any_more(void) {
  uvsig_shutdown_connection_t other = {.data = NULL};
  uv_write_t request;
  uv_buf_t buffer = uv_buf_init(much, sizeof(much));
  uv_pipe_t stream;
  int peer;

  set_options(LONG_MS, LONG_MS);
  open_shutdown();
  open_stream(&stream, &peer);
  CHECK_EQ(uv_write(&request, (uv_stream_t*) &stream, &buffer, 1, NULL), 0);
  CHECK_EQ(uvsig_shutdown_linger(
               &connection, (uv_stream_t*) &stream, on_stream_closed),
           0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_remove_connection(&connection), 0);
  memset(&connection, 0x5a, sizeof(connection));
  other = connection;
  uv_close((uv_handle_t*) &stream, on_stream_closed);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed_streams, 1);
  CHECK_EQ(memcmp(&connection, &other, sizeof(connection)), 0);
  close(peer);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

/* Its time is over before FORCING begins, since draining has more by now. */
static void cut_unread(size_t size) {
  uv_write_t request;
  uv_buf_t buffer = uv_buf_init(much, (unsigned) size);
  uv_pipe_t stream;
  int peer;

  set_options(1, LONG_MS);
  options.linger_ms = 0;
  open_shutdown();
  open_stream(&stream, &peer);
  CHECK_EQ(uv_write(&request, (uv_stream_t*) &stream, &buffer, 1, NULL), 0);
  CHECK_EQ(uvsig_shutdown_linger(
               &connection, (uv_stream_t*) &stream, on_stream_closed),
           0);
  CHECK_EQ(uvsig_shutdown_extend(&sd, LONG_MS), 0);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(phases & 1ul << UVSIG_SHUTDOWN_FORCING, 0);
  CHECK_EQ(closed_streams, 1);
  CHECK_EQ(sd.report.clean, 0);
  CHECK_EQ(close(peer), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

static void an_answer_that_was_not_read_in_time_is_no_clean_end(void) {
  cut_unread(1);
  CHECK_EQ(sd.report.cut, 1);
  CHECK_EQ(sd.report.forced, 0);
}

static void nor_is_one_that_was_not_sent_in_time(void) {
  cut_unread(sizeof(much));
  CHECK(sd.report.forced + sd.report.cut > 0);
}

/* By the program, which has its own callback. */
static void one_that_lingers_may_be_closed_by_the_program(void) {
  uv_pipe_t stream;
  int peer;

  set_options(LONG_MS, LONG_MS);
  options.linger_ms = LONG_MS;
  open_shutdown();
  open_stream(&stream, &peer);
  CHECK_EQ(uvsig_shutdown_linger(&connection, (uv_stream_t*) &stream, NULL), 0);
  uv_close((uv_handle_t*) &stream, on_stream_closed);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed_streams, 1);
  CHECK(connection.shutdown == NULL);
  CHECK_EQ(close(peer), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

/* The peer has the connection until it closes it. */
static void check_that_it_lingers(uv_pipe_t* stream, int peer) {
  CHECK_EQ(uvsig_shutdown_linger(
               &connection, (uv_stream_t*) stream, on_stream_closed),
           0);
  run_idle(&f.loop);
  CHECK(connection.shutdown == &sd);
  CHECK_EQ(closed_streams, 0);
  close(peer);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed_streams, 1);
  CHECK_EQ(sd.report.closed, 1);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  close_loop(&f.loop);
}

static void open_with_linger(uv_pipe_t* stream, int* peer) {
  set_options(LONG_MS, LONG_MS);
  options.linger_ms = LONG_MS;
  open_shutdown();
  open_stream(stream, peer);
  CHECK_EQ(uvsig_shutdown_connection_busy(&connection), 0);
}

/* Only what was idle when draining began is closed at once. */
static void while_running_an_idle_one_lingers_like_any_other(void) {
  uv_pipe_t stream;
  int peer;

  open_with_linger(&stream, &peer);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), 0);
  check_that_it_lingers(&stream, peer);
}

static void one_that_was_busy_when_draining_began_lingers(void) {
  uv_pipe_t stream;
  int peer;

  open_with_linger(&stream, &peer);
  CHECK_EQ(uvsig_shutdown_request(&sd, "end", UVSIG_SHUTDOWN_GRACEFUL), 0);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_shutdown_connection_idle(&connection), 0);
  check_that_it_lingers(&stream, peer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_thread_that_reads_standard_input_does_not_keep_exit),
      TEST(a_job_that_never_ends_does_not_keep_the_process),
      TEST(close_after_done_takes_the_deadline_back),
      TEST(after_done_a_signal_changes_nothing_on_any_thread),
      TEST(watchers_of_ones_own_give_the_default_action_back),
      TEST(one_that_forces_by_its_set_is_not_debounced),
      TEST(what_was_no_default_action_is_given_back_at_the_end),
      TEST(a_log_that_nobody_reads_keeps_nobody),
      TEST(without_signals_a_stuck_process_is_killed),
      TEST(a_second_signal_ends_a_drain_that_is_stuck_in_hard_time),
      TEST(a_child_that_is_stuck_when_not_ready_ends),
      TEST(a_child_that_is_stuck_while_draining_ends),
      TEST(a_child_does_not_inherit_a_shutdown_that_has_not_begun),
      TEST(a_child_waits_for_no_children_of_its_parent),
      TEST(closing_all_that_is_not_the_uvsigs_leaves_the_shutdown),
      TEST(closing_everything_is_survived),
      TEST(those_that_are_left_have_all_of_the_spread),
      TEST(a_stream_shut_down_by_its_owner_closes_with_the_peer),
      TEST(a_loop_that_is_late_forces_nobody_that_lingers),
      TEST(a_peer_that_goes_by_itself_was_not_forced_to),
      TEST(what_is_removed_while_it_lingers_is_not_touched_any_more),
      TEST(an_answer_that_was_not_read_in_time_is_no_clean_end),
      TEST(nor_is_one_that_was_not_sent_in_time),
      TEST(one_that_lingers_may_be_closed_by_the_program),
      TEST(while_running_an_idle_one_lingers_like_any_other),
      TEST(one_that_was_busy_when_draining_began_lingers),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
