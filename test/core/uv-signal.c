/* SPDX-License-Identifier: MIT
 *
 * What uv_signal_t does where this library differs: the other column of the
 * table in README. It speaks of libuv 1.44; with another release these are
 * skipped.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uv_loop_t loop;
static uv_signal_t handle;
static uv_signal_t other;
static unsigned calls;
static unsigned other_calls;

static void on_signal(uv_signal_t* h, int signum) {
  (void) signum;
  if (h == &handle)
    calls++;
  else
    other_calls++;
}

static void open_handle(void) {
  if (uv_version() >> 8 != (1 << 8 | 44))
    skip_test("README compares with libuv 1.44");
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_signal_init(&loop, &handle), 0);
  CHECK_EQ(uv_signal_init(&loop, &other), 0);
}

static void close_handle(void) {
  uv_close((uv_handle_t*) &handle, NULL);
  uv_close((uv_handle_t*) &other, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

/* A message of libuv's is a pointer and a number, and a pipe holds 64 KiB of
 * them: 4,096, and 8,192 where pointers have 32 bits. */
static void uv_signal_delivers_a_full_pipe_of_a_flood_and_loses_the_sigterm(
    void) {
  struct message {
    void* handle;
    int signum;
  };

  open_handle();
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_signal_start(&other, on_signal, SIGTERM), 0);
  raise_times(SIGUSR1, 100000);
  raise(SIGTERM);
  run_idle(&loop);
  CHECK_EQ(calls, 64 * 1024 / sizeof(struct message));
  CHECK_EQ(other_calls, 0);
  close_handle();
}

static void start_and_stop(void) {
  open_handle();
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_signal_stop(&handle), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  close_handle();
}

static void uv_signal_leaves_an_ignored_signal_at_its_default(void) {
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  start_and_stop();
}

static void previous_handler(int signum) {
  (void) signum;
}

static void uv_signal_leaves_a_handled_signal_at_its_default(void) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = previous_handler;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  start_and_stop();
}

static void uv_signal_never_calls_for_a_signal_that_the_launcher_blocked(void) {
  sigset_t set;

  open_handle();
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  raise(SIGUSR1);
  run_idle(&loop);
  CHECK_EQ(calls, 0);
  close_handle();
}

static void uv_signal_stays_oneshot_when_it_is_started_normally(void) {
  open_handle();
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uv_signal_start_oneshot(&handle, on_signal, SIGUSR1), 0);
  raise(SIGUSR1);
  run_idle(&loop);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_signal_start(&other, on_signal, SIGUSR1), 0);
  raise(SIGUSR1);
  run_idle(&loop);
  CHECK_EQ(calls, 2);
  raise(SIGUSR1);
  run_idle(&loop);
  CHECK_EQ(calls, 2);
  CHECK_EQ(other_calls, 2);
  close_handle();
}

static void uv_signal_tells_a_new_start_of_what_came_before_its_stop(void) {
  open_handle();
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  raise(SIGUSR1);
  CHECK_EQ(uv_signal_stop(&handle), 0);
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  raise(SIGUSR1);
  run_idle(&loop);
  CHECK_EQ(calls, 2);
  close_handle();
}

static void uv_signal_runs_the_parents_callback_for_a_childs_signal(void) {
  int status;
  pid_t child;

  open_handle();
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    raise(SIGUSR1);
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  run_idle(&loop);
  CHECK_EQ(calls, 1);
  close_handle();
}

static unsigned exits;

static void on_exit_of_child(uv_process_t* process,
                             int64_t status,
                             int signum) {
  (void) process;
  (void) status;
  (void) signum;
  exits++;
}

static void uv_spawn_misses_the_exit_of_a_child_in_a_flood(void) {
  uv_process_options_t options;
  uv_process_t process;
  char name[] = "true";
  char* arguments[] = {name, NULL};
  siginfo_t info;

  open_handle();
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  memset(&options, 0, sizeof(options));
  options.file = name;
  options.args = arguments;
  options.exit_cb = on_exit_of_child;
  raise_times(SIGUSR1, 100000); /* libuv's signal pipe is full */
  CHECK_EQ(uv_spawn(&loop, &process, &options), 0);
  CHECK_EQ(UNINTERRUPTED(
               waitid(P_PID, (id_t) process.pid, &info, WEXITED | WNOWAIT)),
           0);
  run_idle(&loop);
  CHECK_EQ(exits, 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(process.pid, NULL, 0)), process.pid);
  uv_close((uv_handle_t*) &process, NULL);
  close_handle();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(uv_signal_delivers_a_full_pipe_of_a_flood_and_loses_the_sigterm),
      TEST(uv_signal_leaves_an_ignored_signal_at_its_default),
      TEST(uv_signal_leaves_a_handled_signal_at_its_default),
      TEST(uv_signal_never_calls_for_a_signal_that_the_launcher_blocked),
      TEST(uv_signal_stays_oneshot_when_it_is_started_normally),
      TEST(uv_signal_tells_a_new_start_of_what_came_before_its_stop),
      TEST(uv_signal_runs_the_parents_callback_for_a_childs_signal),
      TEST(uv_spawn_misses_the_exit_of_a_child_in_a_flood),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
