/* SPDX-License-Identifier: MIT
 *
 * The end of a shutdown: the exit status, also of PID 1 and of a child of
 * fork(), what is left, the line that is logged; and what it is to give up.
 */

#include "../lib/server.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

/* --- The exit status ------------------------------------------------------ */

static void exit_by(uvsig_shutdown_exit_t policy) {
  server_init();
  server.options.exit = policy;
  server_start(serve_nothing);
  server_expect("r");
  server_signal(SIGINT);
  server_expect("d");
}

static void with_exit_signal_the_parent_sees_death_by_the_signal(void) {
  exit_by(UVSIG_SHUTDOWN_EXIT_SIGNAL);
  server_dies(SIGINT);
}

static void with_exit_zero_the_parent_sees_success(void) {
  exit_by(UVSIG_SHUTDOWN_EXIT_ZERO);
  server_exits(0);
}

static void with_exit_code_the_parent_sees_128_and_the_number(void) {
  exit_by(UVSIG_SHUTDOWN_EXIT_CODE);
  server_exits(128 + SIGINT);
}

static void sleep_when_done(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DONE)
    server_sleep();
}

static void serve_long_end(void) {
  server_open();
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  say('z');
  server_sleep();
  server_finish();
}

static void signal_often_and_wake(void) {
  int i;

  for (i = 0; i < 5; i++) {
    server_signal(SIGTERM);
    server_signal(SIGINT);
  }
  server_wake();
}

static void signals_after_the_end_do_not_change_the_exit_status(void) {
  server_init();
  server.options.debounce_ms = 0;
  server.options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  server.on_phase = sleep_when_done;
  server_start(serve_long_end);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("dD");
  signal_often_and_wake();
  server_expect("z");
  signal_often_and_wake();
  server_exits(0);
  CHECK_EQ(ended.report.clean, 1);
}

static int output[2];

static void serve_buffered_text(void) {
  CHECK_EQ(dup2(output[1], STDOUT_FILENO), STDOUT_FILENO);
  close(output[0]);
  close(output[1]);
  printf("last words"); /* a pipe: fully buffered */
  serve_nothing();
}

static void stdios_buffers_are_written_before_death_by_the_signal(void) {
  char text[32] = "";

  CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
  server_init();
  server_start(serve_buffered_text);
  close(output[1]);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(read(output[0], text, sizeof(text) - 1), 10);
  CHECK_STR(text, "last words");
  close(output[0]);
}

/* --- PID 1 ---------------------------------------------------------------- */

#ifdef CLONE_NEWPID
/* Between the test and PID 1: hands a signal on, and exits as PID 1 does.
 * Leaves without exit(), like the one in core/disposition.c. */
static void serve_as_pid_1(void) {
  sigset_t set = set_of(SIGTERM);
  int signum;
  int status;
  pid_t pid;

  if (unshare(CLONE_NEWPID) != 0) {
    say('!');
    _exit(0);
  }
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHECK_EQ(getpid(), 1);
    CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
    serve_job();
  }
  CHECK_EQ(sigwait(&set, &signum), 0);
  CHECK_EQ(kill(pid, SIGTERM), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}
#endif

static void pid_1_exits_with_128_and_the_number(void) {
#ifdef CLONE_NEWPID
  skip_under_valgrind("valgrind relies on a raise() that ends the process");
  server_init();
  server_start(serve_as_pid_1);
  if (server_hear() == '!')
    skip_test("this user may not make a pid namespace");
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_exits(128 + SIGTERM);
  CHECK_EQ(ended.report.signum, SIGTERM);
  CHECK_EQ(ended.report.clean, 1);
#else
  skip_test("this system has no pid namespaces");
#endif
}

/* --- A child of fork() ---------------------------------------------------- */

static pid_t heir;

static long tell_pid(int question) {
  CHECK_EQ(question, 'p');
  return getpid();
}

/* The child goes on as the server, with what its parent had prepared. */
static void serve_in_child(void) {
  int status;

  server_open();
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  heir = fork();
  CHECK(heir >= 0);
  if (heir == 0) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    CHECK_EQ(uv_loop_fork(&server.loop), 0);
    CHECK_EQ(uvsig_fork(&server.sig), 0);
    server_run();
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(heir, &status, 0)), heir);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
  /* Nothing of it has reached the parent. */
  uv_run(&server.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_shutdown_phase(&server.sd), UVSIG_SHUTDOWN_RUNNING);
  _exit(5);
}

static void a_child_of_fork_goes_through_its_own_shutdown(void) {
  pid_t child;

  server_init();
  server.on_question = tell_pid;
  server_start(serve_in_child);
  server_expect("r");
  child = (pid_t) server_ask('p');
  CHECK(child != server_pid);
  CHECK_EQ(kill(child, SIGTERM), 0);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_exits(5);
  CHECK_EQ(ended.report.signum, SIGTERM);
  CHECK_EQ(ended.report.pid, getpid());
  CHECK_EQ(ended.report.clean, 1);
}

static void raise_sigterm(void) {
  raise(SIGTERM);
}

static void serve_beside_child(void) {
  int status;

  server_open();
  status = run_forked(raise_sigterm);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
  server_run();
}

static void a_child_that_wants_no_shutdown_has_none(void) {
  server_init();
  server_start(serve_beside_child);
  server_expect("r");
  server_ask(SIGTERM);
  CHECK_EQ(server_ask(SIGTERM), 0);
  CHECK_EQ(server_ask(SERVER_PHASE), UVSIG_SHUTDOWN_RUNNING);
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
}

/* --- Two loops ------------------------------------------------------------ */

struct second {
  uv_thread_t thread;
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_shutdown_t sd;
  unsigned phases;
};

static struct second two[2];
static uv_sem_t opened;

static void count_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase) {
  struct second* s = sd->data;
  uv_thread_t self = uv_thread_self();

  CHECK(uv_thread_equal(&self, &s->thread));
  s->phases |= 1u << phase;
}

static void run_loop(void* argument) {
  struct second* s = argument;
  uvsig_shutdown_options_t options;

  s->thread = uv_thread_self();
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  options.phase_cb = count_phase;
  CHECK_EQ(uv_loop_init(&s->loop), 0);
  CHECK_EQ(uvsig_init(&s->loop, &s->sig, NULL), 0);
  s->sd.data = s;
  CHECK_EQ(uvsig_shutdown_init(&s->sig, &s->sd, &options), 0);
  uv_sem_post(&opened);
  uv_run(&s->loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_shutdown_phase(&s->sd), UVSIG_SHUTDOWN_DONE);
  CHECK_EQ(uvsig_close(&s->sig, NULL), UV_EINVAL); /* the library has */
  close_loop(&s->loop);
}

static void two_loops_drain_on_one_signal(void) {
  uv_thread_t threads[2];
  int i;

  CHECK_EQ(uv_sem_init(&opened, 0), 0);
  for (i = 0; i < 2; i++)
    CHECK_EQ(uv_thread_create(&threads[i], run_loop, &two[i]), 0);
  for (i = 0; i < 2; i++)
    uv_sem_wait(&opened);
  CHECK_EQ(kill(getpid(), SIGTERM), 0);
  for (i = 0; i < 2; i++) {
    CHECK_EQ(uv_thread_join(&threads[i]), 0);
    CHECK_EQ(two[i].sd.report.signum, SIGTERM);
    CHECK_EQ(two[i].sd.report.pid, getpid());
    CHECK_EQ(two[i].sd.report.clean, 1);
    CHECK(two[i].phases & (1u << UVSIG_SHUTDOWN_DRAINING));
    CHECK(two[i].phases & (1u << UVSIG_SHUTDOWN_DONE));
    CHECK_EQ(uvsig_shutdown_exit(&two[i].sd), 0);
  }
  uv_sem_destroy(&opened);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_IGNORED);
}

/* --- What is left --------------------------------------------------------- */

static uv_timer_t timer, harmless;
static uv_async_t async;

static void on_timer(uv_timer_t* handle) {
  CHECK(handle == &timer);
}

static void on_async(uv_async_t* handle) {
  CHECK(handle == &async);
}

static void look_when_done(uvsig_shutdown_phase_t phase) {
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  CHECK_EQ(server.sd.report.left[UV_TIMER], 2);
  CHECK_EQ(server.sd.report.requests, 0);
}

static void close_when_done(uvsig_shutdown_phase_t phase) {
  look_when_done(phase);
  if (phase == UVSIG_SHUTDOWN_DONE)
    uv_close((uv_handle_t*) &harmless, NULL);
}

static void serve_leftovers(void) {
  server_open();
  CHECK_EQ(uv_timer_init(&server.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, on_timer, LONG_MS, LONG_MS), 0);
  CHECK_EQ(uv_timer_init(&server.loop, &harmless), 0); /* not started */
  CHECK_EQ(uv_async_init(&server.loop, &async, on_async), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  uv_close((uv_handle_t*) &timer, NULL);
  if (!uv_is_closing((uv_handle_t*) &harmless))
    uv_close((uv_handle_t*) &harmless, NULL);
  uv_close((uv_handle_t*) &async, NULL);
  server_finish();
}

static void the_report_lists_what_is_left_by_type(void) {
  int type;

  server_init();
  server.on_phase = look_when_done; /* the callback knows what is left so far */
  server_start(serve_leftovers);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM); /* uv_run() returns, although they are alive */
  CHECK_EQ(ended.report.handles, SERVER_HANDLES + 3);
  CHECK_EQ(ended.report.requests, 0);
  for (type = 0; type < UV_HANDLE_TYPE_MAX; type++)
    CHECK_EQ(ended.report.left[type],
             type == UV_TIMER ? 2 : type == UV_ASYNC || type == UV_POLL);
}

static void what_the_callback_closes_is_not_left(void) {
  server_init();
  server.on_phase = close_when_done;
  server_start(serve_leftovers);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.handles, SERVER_HANDLES + 2);
  CHECK_EQ(ended.report.left[UV_TIMER], 1);
}

static uv_sem_t work_may_end;

static void work(uv_work_t* req) {
  (void) req;
  uv_sem_wait(&work_may_end);
}

static void on_worked(uv_work_t* req, int status) {
  (void) req;
  CHECK_EQ(status, 0);
}

static void serve_work(void) {
  uv_work_t req;

  server_open();
  CHECK_EQ(uv_sem_init(&work_may_end, 0), 0);
  CHECK_EQ(uv_queue_work(&server.loop, &req, work, on_worked), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  uv_sem_post(&work_may_end);
  server_finish();
}

static void the_report_counts_requests_that_are_left(void) {
  server_init();
  server_start(serve_work);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  server_dies(SIGTERM);
  CHECK_EQ(ended.report.handles, SERVER_HANDLES);
  CHECK_EQ(ended.report.requests, 1);
}

/* --- The log -------------------------------------------------------------- */

static void redirect_errors(void) {
  CHECK_EQ(dup2(output[1], STDERR_FILENO), STDERR_FILENO);
  close(output[0]);
  close(output[1]);
}

static void serve_logged(void) {
  redirect_errors();
  serve_nothing();
}

static void close_slowly(uvsig_shutdown_closer_t* closer) {
  let_pass(3);
  CHECK_EQ(uvsig_shutdown_closed(closer), 0);
}

static void serve_slowly(void) {
  static uvsig_shutdown_closer_t closer;

  redirect_errors();
  server_open();
  CHECK_EQ(uvsig_shutdown_add_closer(&server.sd, &closer, close_slowly), 0);
  server_run();
}

/* What a server with this option has written on standard error. */
static const char* logged(void (*serve)(void), int option) {
  static char text[1024];
  ssize_t n;

  CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
  server_init();
  server.options.log = option;
  server_start(serve);
  close(output[1]);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect(serve == serve_slowly ? "dc" : "d");
  server_dies(SIGTERM);
  n = read(output[0], text, sizeof(text) - 1); /* all of it: it has ended */
  CHECK(n >= 0);
  text[n] = 0;
  close(output[0]);
  return text;
}

static void nothing_is_logged_by_default(void) {
  CHECK_STR(logged(serve_logged, 0), "");
}

static void one_line_is_logged_if_asked_for(void) {
  const char* text = logged(serve_logged, 1);

  CHECK(strlen(text) > 1);
  CHECK(strchr(text, '\n') == text + strlen(text) - 1);
  CHECK(strstr(text, "SIGTERM from process ") != NULL);
  CHECK(strstr(text, "; held: nothing; left in the loop: 1 poll\n") != NULL);
}

static void it_says_how_long_each_phase_has_taken(void) {
  const char* text = logged(serve_slowly, 1);
  const uint64_t* ms = ended.report.phase_ms;
  char expected[128];

  CHECK(ms[UVSIG_SHUTDOWN_CLOSING] >= 3);
  CHECK_EQ(ms[UVSIG_SHUTDOWN_DONE], 0);
  snprintf(expected,
           sizeof(expected),
           " (%llu not ready, %llu draining, %llu forcing, %llu closing); ",
           (unsigned long long) ms[UVSIG_SHUTDOWN_NOT_READY],
           (unsigned long long) ms[UVSIG_SHUTDOWN_DRAINING],
           (unsigned long long) ms[UVSIG_SHUTDOWN_FORCING],
           (unsigned long long) ms[UVSIG_SHUTDOWN_CLOSING]);
  CHECK(strstr(text, expected) != NULL);
}

/* --- Giving up ------------------------------------------------------------ */

static struct fixture f;
static uvsig_shutdown_t sd;
static unsigned closed;

static void on_close(uvsig_shutdown_t* closing) {
  CHECK(closing == &sd);
  closed++;
}

static void forget(uvsig_shutdown_connection_t* c,
                   uvsig_shutdown_event_t event) {
  (void) c;
  (void) event;
  check_failed(__FILE__, __LINE__, "a connection was told something");
}

static void ignore(uvsig_shutdown_listener_t* l) {
  (void) l;
  check_failed(__FILE__, __LINE__, "a listener was told something");
}

static void check_handle(uv_handle_t* handle, void* count) {
  CHECK_EQ(uvsig_has_handle(&f.sig, handle), 1);
  ++*(unsigned*) count;
}

static void the_shutdowns_handles_are_the_uvsigs(void) {
  unsigned before = 0;
  unsigned count = 0;

  fixture_open(&f, NULL);
  uv_walk(&f.loop, check_handle, &before);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  uv_walk(&f.loop, check_handle, &count);
  CHECK(count > before);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void close_gives_the_dispositions_back_and_the_loop_is_empty(void) {
  struct sigaction before;
  struct sigaction after;

  install_handler(SIGTERM, count_foreign);
  before = action_of(SIGTERM);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_WATCHED);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), 0);
  after = action_of(SIGTERM);
  CHECK(after.sa_handler == count_foreign);
  CHECK_EQ(after.sa_flags, before.sa_flags);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_DEFAULT);
  raise(SIGTERM);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(closed, 0); /* the loop calls it */
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed, 1);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UV_EINVAL);
  fixture_close(&f);
}

static void never_close(uvsig_shutdown_closer_t* closer) {
  CHECK(closer == NULL);
}

static void never_reload(uvsig_reload_t* reload) {
  CHECK(reload == NULL);
}

static void close_forgets_what_was_registered_and_leaves_it_as_it_is(void) {
  uvsig_shutdown_listener_t listener = {.data = NULL};
  uvsig_shutdown_connection_t connection = {.data = NULL};
  uvsig_shutdown_child_t child = {.data = NULL};
  uvsig_shutdown_hold_t hold = {.data = NULL};
  uvsig_shutdown_closer_t closer = {.data = NULL};
  uvsig_reload_t reload = {.data = NULL};
  pid_t pid;
  int status;

  pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    pause();
    _exit(0);
  }
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  CHECK_EQ(uvsig_shutdown_add_listener(&sd, &listener, NULL, ignore), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, forget), 0);
  CHECK_EQ(uvsig_shutdown_add_child(&sd, &child, pid), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "another"), 0);
  CHECK_EQ(uvsig_shutdown_add_closer(&sd, &closer, never_close), 0);
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, never_reload, SIGUSR1), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 1);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), 0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, on_close), UV_EALREADY);
  CHECK(closer.shutdown == NULL);
  CHECK_EQ(uvsig_shutdown_closed(&closer), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK(listener.shutdown == NULL);
  CHECK(connection.shutdown == NULL);
  CHECK(child.shutdown == NULL);
  CHECK(hold.shutdown == NULL);
  fixture_close(&f);
  CHECK_EQ(closed, 1);
  CHECK_EQ(waitpid(pid, &status, WNOHANG), 0); /* no signal for it */
  CHECK_EQ(kill(pid, SIGKILL), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
}

static void after_close_another_one_may_begin(void) {
  int i;

  fixture_open(&f, NULL);
  for (i = 0; i < 3; i++) {
    CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
    CHECK_EQ(uvsig_shutdown_close(&sd, i == 1 ? NULL : on_close), 0);
    CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  }
  CHECK_EQ(closed, 2);
  fixture_close(&f);
}

static void open_on(int signum, uvsig_shutdown_t* shutdown) {
  uvsig_shutdown_options_t options;

  uvsig_shutdown_options_init(&options);
  options.graceful = set_of(signum);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, shutdown, &options), 0);
}

static void two_of_one_uvsig_may_end_in_either_order(void) {
  static uvsig_shutdown_t both[2];
  uv_timer_t other;
  int first;

  for (first = 0; first < 2; first++) {
    fixture_open(&f, NULL);
    CHECK_EQ(uv_timer_init(&f.loop, &other), 0);
    open_on(SIGTERM, &both[0]);
    open_on(SIGUSR2, &both[1]);
    CHECK_EQ(uvsig_shutdown_close(&both[first], NULL), 0);
    run_idle(&f.loop);
    CHECK_EQ(uvsig_getsignal(first == 0 ? SIGTERM : SIGUSR2), UVSIG_DEFAULT);
    CHECK_EQ(uvsig_getsignal(first == 0 ? SIGUSR2 : SIGTERM), UVSIG_WATCHED);
    CHECK_EQ(uvsig_close(&f.sig, NULL), UV_EBUSY);
    CHECK_EQ(uvsig_has_handle(&f.sig, (uv_handle_t*) &other), 0);
    CHECK_EQ(uvsig_shutdown_close(&both[!first], NULL), 0);
    run_idle(&f.loop);
    CHECK_EQ(uvsig_has_handle(&f.sig, (uv_handle_t*) &other), 0);
    uv_close((uv_handle_t*) &other, NULL);
    fixture_close(&f);
  }
}

static void never_upgrade(uvsig_upgrade_t* upgrade, int status) {
  (void) upgrade;
  (void) status;
  CHECK(false);
}

static void unref_the_librarys(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (uvsig_has_handle(&f.sig, handle) > 0)
    uv_unref(handle);
}

/* A program's own watcher keeps the loop alive as it would without a shutdown. */
static void one_that_keeps_no_loop_alive_leaves_that_to_the_program(void) {
  static uvsig_upgrade_t upgrade;
  static uvsig_reload_t reload;
  struct recorder a;

  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  uv_walk(&f.loop, unref_the_librarys, NULL);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, never_reload, SIGHUP), 0);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  CHECK_EQ(uvsig_upgrade_init(&sd, &upgrade, NULL), 0);
  CHECK_EQ(uvsig_upgrade_start(&upgrade, never_upgrade, SIGUSR2), 0);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_loop_alive(&f.loop), 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void on_given_up(uvsig_shutdown_t* given_up) {
  CHECK(given_up == &server.sd);
  say('c');
}

static long give_up(int question) {
  CHECK_EQ(question, 'c');
  CHECK_EQ(uvsig_shutdown_release(&server.hold), 0);
  return uvsig_shutdown_close(&server.sd, on_given_up);
}

static void give_up_when_draining(uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    CHECK_EQ(give_up('c'), 0);
}

static void serve_until_given_up(void) {
  server_open();
  CHECK_EQ(uvsig_shutdown_hold(&server.sd, &server.hold, "job"), 0);
  say('r');
  uv_run(&server.loop, UV_RUN_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  server_sleep();
  _exit(7);
}

static void a_drain_may_be_given_up(void) {
  server_init();
  server.on_question = give_up;
  server_start(serve_until_given_up);
  server_expect("r");
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask('c'), 0);
  server_expect("c");
  server_wake();
  server_exits_at_once(7);
}

/* In the phase's own callback, or time might be over before. */
static void after_close_no_deadline_ends_the_process(void) {
  unsigned grace_ms = 0;

  do {
    grace_ms += 100;
    server_init();
    server.options.grace_ms = grace_ms;
    server.options.hard_ms = 10;
    server.on_phase = give_up_when_draining;
    server_start(serve_until_given_up);
    server_expect("r");
    server_signal(SIGTERM);
  } while (server_is_cut_off("dc"));
  server_silent(grace_ms + 200); /* the deadline is over by then */
  server_wake();
  server_exits_at_once(7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(with_exit_signal_the_parent_sees_death_by_the_signal),
      TEST(with_exit_zero_the_parent_sees_success),
      TEST(with_exit_code_the_parent_sees_128_and_the_number),
      TEST(signals_after_the_end_do_not_change_the_exit_status),
      TEST(stdios_buffers_are_written_before_death_by_the_signal),
      TEST(pid_1_exits_with_128_and_the_number),
      TEST(a_child_of_fork_goes_through_its_own_shutdown),
      TEST(a_child_that_wants_no_shutdown_has_none),
      TEST(two_loops_drain_on_one_signal),
      TEST(the_report_lists_what_is_left_by_type),
      TEST(what_the_callback_closes_is_not_left),
      TEST(the_report_counts_requests_that_are_left),
      TEST(nothing_is_logged_by_default),
      TEST(one_line_is_logged_if_asked_for),
      TEST(it_says_how_long_each_phase_has_taken),
      TEST(the_shutdowns_handles_are_the_uvsigs),
      TEST(close_gives_the_dispositions_back_and_the_loop_is_empty),
      TEST(close_forgets_what_was_registered_and_leaves_it_as_it_is),
      TEST(after_close_another_one_may_begin),
      TEST(two_of_one_uvsig_may_end_in_either_order),
      TEST(one_that_keeps_no_loop_alive_leaves_that_to_the_program),
      TEST(a_drain_may_be_given_up),
      TEST(after_close_no_deadline_ends_the_process),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
