/* SPDX-License-Identifier: MIT
 *
 * A program of libuv's signal handles that includes <uvsig-uv-signal.h>: what a
 * handle is asked, and what is different for the program. libuv's own tests run
 * through the same header in scripts/libuv-signal.sh.
 */

#include "../lib/harness.h"

#include <uvsig-uv-signal.h>

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static uv_loop_t loop;
static uv_signal_t a;
static uv_signal_t b;
static unsigned long calls;
static unsigned long closed;
static unsigned long stop_at;

/* More than a pipe holds. What comes behind that is one count, and the callback
 * that ends it is in the middle of it. */
enum { FLOOD = 100000, MIDDLE = 70000 };

static void on_closed(uv_handle_t* handle) {
  (void) handle;
  closed++;
}

static void on_signal(uv_signal_t* handle, int signum) {
  CHECK_EQ(handle->signum, signum);
  if (++calls == stop_at)
    CHECK_EQ(uv_signal_stop(handle), 0);
}

static void open_handles(void) {
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_signal_init(&loop, &a), 0);
  CHECK_EQ(uv_signal_init(&loop, &b), 0);
}

static void close_one(uv_handle_t* handle, void* unused) {
  (void) unused;
  uv_close(handle, on_closed);
}

/* In one turn of the loop, as with libuv's own. */
static void close_all(void) {
  uv_walk(&loop, close_one, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_NOWAIT), 0);
  CHECK_EQ(closed, 2);
  CHECK(uvsig_of_loop(&loop) == NULL);
  CHECK_EQ(uv_loop_close(&loop), 0);
}

static void a_flood_is_not_lost_and_hides_no_other(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGTERM), 0);
  raise_times(SIGUSR1, FLOOD);
  raise(SIGTERM);
  run_until(&loop, &calls, FLOOD + 1);
  close_all();
}

static void a_callback_that_stops_is_not_called_for_the_rest_of_the_count(
    void) {
  open_handles();
  stop_at = MIDDLE;
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR2), 0); /* or no turn polls */
  raise_times(SIGUSR1, FLOOD);
  run_until(&loop, &calls, MIDDLE);
  run_idle(&loop);
  CHECK_EQ(calls, MIDDLE);
  CHECK_EQ(a.signum, 0);
  CHECK_EQ(uv_is_active((uv_handle_t*) &a), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  close_all();
}

static void on_signal_close(uv_signal_t* handle, int signum) {
  (void) signum;
  if (++calls == MIDDLE)
    uv_close((uv_handle_t*) handle, on_closed);
}

static void a_callback_that_closes_is_not_called_for_the_rest_of_the_count(
    void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal_close, SIGUSR1), 0);
  raise_times(SIGUSR1, FLOOD);
  run_until(&loop, &closed, 1);
  CHECK_EQ(calls, MIDDLE);
  close_all();
}

static void on_signal_again(uv_signal_t* handle, int signum) {
  if (++calls != MIDDLE)
    return;
  CHECK_EQ(uv_signal_stop(handle), 0);
  CHECK_EQ(uv_signal_start(handle, on_signal, signum), 0);
}

static void a_callback_that_stops_and_starts_again_is_over(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal_again, SIGUSR1), 0);
  raise_times(SIGUSR1, FLOOD);
  run_until(&loop, &calls, MIDDLE);
  run_idle(&loop);
  CHECK_EQ(calls, MIDDLE);
  raise(SIGUSR1);
  run_until(&loop, &calls, MIDDLE + 1);
  close_all();
}

static void on_signal_other(uv_signal_t* handle, int signum) {
  (void) signum;
  if (++calls == MIDDLE)
    CHECK_EQ(uv_signal_start(handle, on_signal, SIGUSR2), 0);
}

static void a_callback_that_starts_for_another_signal_is_over(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal_other, SIGUSR1), 0);
  raise_times(SIGUSR1, FLOOD);
  run_until(&loop, &calls, MIDDLE);
  run_idle(&loop);
  CHECK_EQ(calls, MIDDLE);
  CHECK_EQ(a.signum, SIGUSR2);
  raise(SIGUSR2);
  run_until(&loop, &calls, MIDDLE + 1);
  close_all();
}

static void another_callback_for_the_same_signal_loses_nothing(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal_close, SIGUSR1), 0);
  raise_times(SIGUSR1, 3);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  run_until(&loop, &calls, 3);
  close_all();
}

static void on_oneshot(uv_signal_t* handle, int signum) {
  CHECK_EQ(uv_is_active((uv_handle_t*) handle), 1);
  CHECK_EQ(uv_signal_start(handle, on_oneshot, signum), 0);
  calls++;
}

static void a_oneshot_handle_stops_after_its_callback(void) {
  open_handles();
  CHECK_EQ(uv_signal_start_oneshot(&a, on_oneshot, SIGUSR1), 0);
  raise_times(SIGUSR1, 3);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uv_is_active((uv_handle_t*) &a), 0);
  close_all();
}

static void a_signal_before_a_oneshot_callback_has_not_the_default_action(
    void) {
  open_handles();
  CHECK_EQ(uv_signal_start_oneshot(&a, on_signal, SIGTERM), 0);
  raise(SIGTERM);
  raise(SIGTERM);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(calls, 1);
  close_all();
}

static void references_are_the_handles(void) {
  open_handles();
  CHECK_EQ(uv_loop_alive(&loop), 0);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_is_active((uv_handle_t*) &a), 1);
  CHECK_EQ(uv_loop_alive(&loop), 1);
  uv_unref((uv_handle_t*) &a);
  CHECK_EQ(uv_has_ref((uv_handle_t*) &a), 0);
  CHECK_EQ(uv_loop_alive(&loop), 0);
  uv_ref((uv_handle_t*) &a);
  CHECK_EQ(uv_loop_alive(&loop), 1);
  /* What is set while a handle is stopped, or was never started, holds. */
  CHECK_EQ(uv_signal_stop(&a), 0);
  CHECK_EQ(uv_loop_alive(&loop), 0);
  uv_unref((uv_handle_t*) &a);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  uv_unref((uv_handle_t*) &b);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_loop_alive(&loop), 0);
  close_all();
}

static void count_handle(uv_handle_t* handle, void* count) {
  CHECK(handle == (uv_handle_t*) &a || handle == (uv_handle_t*) &b);
  CHECK_EQ(uv_handle_get_type(handle), UV_SIGNAL);
  ++*(int*) count;
}

static void count_any(uv_handle_t* handle, void* count) {
  (void) handle;
  ++*(int*) count;
}

static void a_walk_meets_the_programs_handles_alone(void) {
  int count = 0;

  open_handles();
  uv_walk(&loop, count_handle, &count);
  CHECK_EQ(count, 2);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGCHLD), 0);
  uv_walk(&loop, count_handle, &count);
  CHECK_EQ(count, 4);
  close_all();
}

static void check_walk(void) {
  int count = 0;

  uv_walk(&loop, count_handle, &count);
  CHECK_EQ(count, 2);
}

static void so_it_does_before_what_it_closed_is_gone(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  uv_walk(&loop, close_one, NULL);
  check_walk();
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed, 2);
  CHECK_EQ(uv_loop_close(&loop), 0);
}

static void on_signal_close_and_walk(uv_signal_t* handle, int signum) {
  (void) signum;
  uv_close((uv_handle_t*) handle, on_closed);
  check_walk();
  calls++;
}

static void so_it_does_where_a_callback_has_closed_the_last_handle(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal_close_and_walk, SIGUSR1), 0);
  raise(SIGUSR1);
  run_until(&loop, &closed, 1);
  CHECK_EQ(calls, 1);
  close_all();
}

static void so_it_does_where_a_handle_starts_while_the_last_one_closes(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  uv_close((uv_handle_t*) &a, on_closed);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR1), 0);
  check_walk();
  uv_close((uv_handle_t*) &b, on_closed);
  check_walk();
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed, 2);
  CHECK_EQ(uv_loop_close(&loop), 0);
}

static void a_walk_is_of_one_loop(void) {
  uv_loop_t other;
  uv_signal_t handle;
  int count = 0;

  open_handles();
  CHECK_EQ(uv_loop_init(&other), 0);
  CHECK_EQ(uv_signal_init(&other, &handle), 0);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
  check_walk();
  uv_walk(&other, count_any, &count);
  CHECK_EQ(count, 1);
  uv_close((uv_handle_t*) &handle, NULL);
  CHECK_EQ(uv_run(&other, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uv_loop_close(&other), 0);
  close_all();
}

static atomic_uint rounds;

/* Another thread's loop, whose handles come and go. */
static void use_other_loop(void* unused) {
  uv_loop_t other;
  uv_signal_t handle;
  unsigned most = scaled(300);

  (void) unused;
  while (atomic_fetch_add(&rounds, 1) < most) {
    CHECK_EQ(uv_loop_init(&other), 0);
    CHECK_EQ(uv_signal_init(&other, &handle), 0);
    CHECK_EQ(uv_signal_start(&handle, on_signal, SIGUSR1), 0);
    uv_close((uv_handle_t*) &handle, NULL);
    CHECK_EQ(uv_run(&other, UV_RUN_DEFAULT), 0);
    CHECK_EQ(uv_loop_close(&other), 0);
  }
}

static void a_walk_does_not_touch_another_threads_loop(void) {
  uv_thread_t thread;
  unsigned most = scaled(300);

  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_thread_create(&thread, use_other_loop, NULL), 0);
  while (atomic_load(&rounds) <= most) {
    check_walk();
    sched_yield();
  }
  CHECK_EQ(uv_thread_join(&thread), 0);
  close_all();
}

static void other_handles_are_libuvs(void) {
  uv_timer_t timer;

  open_handles();
  CHECK_EQ(uv_timer_init(&loop, &timer), 0);
  CHECK_EQ(uv_is_active((uv_handle_t*) &timer), 0);
  uv_unref((uv_handle_t*) &timer);
  CHECK_EQ(uv_has_ref((uv_handle_t*) &timer), 0);
  uv_ref((uv_handle_t*) &timer);
  CHECK_EQ(uv_has_ref((uv_handle_t*) &timer), 1);
  uv_close((uv_handle_t*) &timer, on_closed);
  run_until(&loop, &closed, 1);
  closed = 0;
  close_all();
}

static void bad_arguments_are_refused_and_change_nothing(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, 0), UV_EINVAL);
  CHECK_EQ(uv_signal_start(&a, on_signal, -1), UV_EINVAL);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGKILL), UV_EINVAL);
  CHECK_EQ(uv_signal_start(&a, NULL, SIGUSR1), UV_EINVAL);
  CHECK(uvsig_of_loop(&loop) == NULL); /* nothing is left of it */
  CHECK_EQ(uv_signal_stop(&a), 0);
  CHECK_EQ(uv_is_active((uv_handle_t*) &a), 0);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_signal_start(&a, on_signal, 0), UV_EINVAL);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGKILL), UV_EINVAL);
  CHECK_EQ(a.signum, SIGUSR1);
  raise(SIGUSR1);
  run_until(&loop, &calls, 1);
  uv_close((uv_handle_t*) &b, on_closed);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR1), UV_EINVAL);
  uv_close((uv_handle_t*) &a, on_closed);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uv_loop_close(&loop), 0);
}

static void use_from_other_thread(void* unused) {
  (void) unused;
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR2), UV_EPERM);
  CHECK_EQ(uv_signal_stop(&a), UV_EPERM);
  uv_close((uv_handle_t*) &a, on_closed);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR2), UV_EPERM);
}

static void another_thread_is_refused(void) {
  uv_thread_t thread;

  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(uv_thread_create(&thread, use_from_other_thread, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uv_is_closing((uv_handle_t*) &a), 0);
  raise(SIGUSR1);
  run_until(&loop, &calls, 1);
  close_all();
}

/* libuv's would have told the parent of the child's signal. */
static void fork_loop_in_vain(void) {
  struct rlimit limit;

  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = 3;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  CHECK_EQ(uv_loop_fork(&loop), UV_EMFILE);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR2), UV_EBADF);
}

static void fork_loop(void) {
  CHECK_EQ(uv_loop_fork(&loop), 0);
}

static void where_the_loop_cannot_be_forked_that_is_said(void) {
  open_handles();
  CHECK_EQ(run_forked(fork_loop), 0); /* without signals yet */
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  CHECK_EQ(run_forked(fork_loop_in_vain), 0);
  close_all();
}

static void a_child_of_fork_has_signals_of_its_own(void) {
  pid_t pid;
  int status;

  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  pid = fork();
  if (pid == 0) {
    CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
    CHECK_EQ(uv_loop_fork(&loop), 0);
    raise(SIGUSR1);
    run_until(&loop, &calls, 1);
    _exit(0);
  }
  CHECK(pid > 0);
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status, 0);
  run_idle(&loop);
  CHECK_EQ(calls, 0);
  close_all();
}

static void the_previous_action_comes_back(void) {
  CHECK_EQ(uvsig_ignore(SIGHUP), UVSIG_DEFAULT);
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGHUP), 0);
  CHECK_EQ(uv_signal_stop(&a), 0);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_IGNORED);
  close_all();
}

static void the_loops_uvsig_is_found_while_there_are_handles(void) {
  uvsig_stats_t stats;
  uvsig_t* sig;
  uvsig_t own;

  open_handles();
  CHECK(uvsig_of_loop(NULL) == NULL);
  CHECK(uvsig_of_loop(&loop) == NULL);
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  sig = uvsig_of_loop(&loop);
  CHECK(sig != NULL);
  CHECK_EQ(uvsig_init(&loop, &own, NULL), 0);
  CHECK(uvsig_of_loop(&loop) == sig);
  raise(SIGUSR1);
  run_until(&loop, &calls, 1);
  uvsig_stats(sig, SIGUSR1, &stats);
  CHECK_EQ(stats.delivered, 1);
  uv_close((uv_handle_t*) &a, on_closed);
  CHECK(uvsig_of_loop(&loop) == &own);
  CHECK_EQ(uvsig_close(&own, NULL), 0);
  CHECK(uvsig_of_loop(&loop) == NULL);
  uv_close((uv_handle_t*) &b, on_closed);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uv_loop_close(&loop), 0);
}

static void so_it_is_while_there_is_a_coordinator(void) {
  uvsig_shutdown_options_t options;
  uvsig_shutdown_t sd;
  uvsig_t* sig;

  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  sig = uvsig_of_loop(&loop);
  uvsig_shutdown_options_init(&options);
  options.keep_sig = 1;
  memset(&sd, 0, sizeof(sd));
  CHECK_EQ(uvsig_shutdown_init(sig, &sd, &options), 0);
  uv_close((uv_handle_t*) &a, on_closed);
  run_idle(&loop);
  CHECK_EQ(closed, 1);
  CHECK(uvsig_of_loop(&loop) == sig);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR1), 0);
  CHECK(uvsig_of_loop(&loop) == sig);
  raise(SIGUSR1);
  run_until(&loop, &calls, 1);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  uv_close((uv_handle_t*) &b, on_closed);
  CHECK(uvsig_of_loop(&loop) == NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed, 2);
  CHECK_EQ(uv_loop_close(&loop), 0);
}

/* A new handle may start in the turn in which the last one closes. */
static void a_handle_starts_while_the_last_one_closes(void) {
  open_handles();
  CHECK_EQ(uv_signal_start(&a, on_signal, SIGUSR1), 0);
  uv_close((uv_handle_t*) &a, on_closed);
  CHECK_EQ(uv_signal_start(&b, on_signal, SIGUSR1), 0);
  raise(SIGUSR1);
  run_until(&loop, &calls, 1);
  uv_close((uv_handle_t*) &b, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(closed, 1);
  CHECK_EQ(uv_loop_close(&loop), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_flood_is_not_lost_and_hides_no_other),
      TEST(a_callback_that_stops_is_not_called_for_the_rest_of_the_count),
      TEST(a_callback_that_closes_is_not_called_for_the_rest_of_the_count),
      TEST(a_callback_that_stops_and_starts_again_is_over),
      TEST(a_callback_that_starts_for_another_signal_is_over),
      TEST(another_callback_for_the_same_signal_loses_nothing),
      TEST(a_oneshot_handle_stops_after_its_callback),
      TEST(a_signal_before_a_oneshot_callback_has_not_the_default_action),
      TEST(references_are_the_handles),
      TEST(a_walk_meets_the_programs_handles_alone),
      TEST(so_it_does_before_what_it_closed_is_gone),
      TEST(so_it_does_where_a_callback_has_closed_the_last_handle),
      TEST(so_it_does_where_a_handle_starts_while_the_last_one_closes),
      TEST(a_walk_is_of_one_loop),
      TEST(a_walk_does_not_touch_another_threads_loop),
      TEST(other_handles_are_libuvs),
      TEST(bad_arguments_are_refused_and_change_nothing),
      TEST(another_thread_is_refused),
      TEST(a_child_of_fork_has_signals_of_its_own),
      TEST(where_the_loop_cannot_be_forked_that_is_said),
      TEST(the_previous_action_comes_back),
      TEST(the_loops_uvsig_is_found_while_there_are_handles),
      TEST(so_it_is_while_there_is_a_coordinator),
      TEST(a_handle_starts_while_the_last_one_closes),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
