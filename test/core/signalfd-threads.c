/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD and threads: two loops of one thread, loops of two
 * threads, a loop that moves, threads that block all; and what libuv does with
 * the mask and the poller.
 */

#include "../lib/harness.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b;

static void open_one(struct fixture* at, struct recorder* r) {
  fixture_open_queued(at);
  recorder_init(r, &at->sig);
}

static void open_plain(struct fixture* at, struct recorder* r) {
  fixture_open(at, NULL);
  recorder_init(r, &at->sig);
}

/* --- Two loops of one thread --------------------------------------------------- */

static void open_both(bool is_second_queued) {
  open_one(&f, &a);
  if (is_second_queued)
    open_one(&g, &b);
  else
    open_plain(&g, &b);
}

static void close_both(void) {
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
  fixture_close(&g);
}

static void two_queued_loops_are_both_told(void) {
  open_both(true);
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  run_until(&f.loop, &a.signals, 100);
  run_until(&g.loop, &b.signals, 100);
  check_books(&f.sig, SIGRTMIN, 100, 0);
  check_books(&g.sig, SIGRTMIN, 100, 0);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 100);
  run_until(&g.loop, &b.signals, 200);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  close_both();
}

/* Of several of a number that come by the handler, ThreadSanitizer's runtime
 * keeps one. */
static void queue_few(void) {
  queue_values(SIGRTMIN, under_thread_sanitizer() ? 1 : 3);
}

static unsigned long few_times(unsigned long n) {
  return n * (under_thread_sanitizer() ? 1 : 3);
}

/* The other one goes by the handler: it must not need the queued loop to run. */
static void queued_first(bool is_stopped_first) {
  open_both(false);
  recorder_start(&a, SIGRTMIN);
  queue_few();
  recorder_start(&b, SIGRTMIN);
  CHECK(!is_blocked(SIGRTMIN));
  run_until(&g.loop, &b.signals, few_times(1));
  queue_few();
  run_until(&g.loop, &b.signals, few_times(2));
  run_until(&f.loop, &a.signals, few_times(2));
  CHECK_EQ(uvsig_watcher_stop(is_stopped_first ? &a.w : &b.w), 0);
  CHECK_EQ(is_blocked(SIGRTMIN), !is_stopped_first);
  queue_few();
  if (is_stopped_first)
    run_until(&g.loop, &b.signals, few_times(3));
  else
    run_until(&f.loop, &a.signals, few_times(3));
  CHECK_EQ(uvsig_watcher_stop(is_stopped_first ? &b.w : &a.w), 0);
  close_both();
}

static void a_queued_loop_that_is_first_and_stops_first(void) {
  queued_first(true);
}

static void a_queued_loop_that_is_first_and_stops_last(void) {
  queued_first(false);
}

static void plain_first(bool is_stopped_first) {
  open_both(false);
  recorder_start(&b, SIGRTMIN);
  recorder_start(&a, SIGRTMIN);
  CHECK(!is_blocked(SIGRTMIN));
  queue_few();
  run_until(&g.loop, &b.signals, few_times(1));
  run_until(&f.loop, &a.signals, few_times(1));
  CHECK_EQ(uvsig_watcher_stop(is_stopped_first ? &b.w : &a.w), 0);
  CHECK(!is_blocked(SIGRTMIN));
  CHECK_EQ(uvsig_watcher_stop(is_stopped_first ? &a.w : &b.w), 0);
  close_both();
}

static void a_plain_loop_that_is_first_and_stops_first(void) {
  plain_first(true);
}

static void a_plain_loop_that_is_first_and_stops_last(void) {
  plain_first(false);
}

static void what_was_blocked_is_blocked_after_two_loops(void) {
  sigset_t set = set_of(SIGRTMIN);
  unsigned order;

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  open_both(false);
  for (order = 0; order < 4; order++) {
    recorder_start((order & 1) != 0 ? &a : &b, SIGRTMIN);
    recorder_start((order & 1) != 0 ? &b : &a, SIGRTMIN);
    CHECK(!is_blocked(SIGRTMIN));
    CHECK_EQ(uvsig_watcher_stop((order & 2) != 0 ? &a.w : &b.w), 0);
    CHECK_EQ(uvsig_watcher_stop((order & 2) != 0 ? &b.w : &a.w), 0);
    CHECK(is_blocked(SIGRTMIN));
  }
  fixture_close(&f);
  fixture_close(&g);
}

/* --- Loops of two threads ------------------------------------------------------ */

static uv_sem_t is_ready, may_end;

static void run_second(void* unused) {
  (void) unused;
  open_one(&g, &b);
  recorder_start(&b, SIGRTMIN);
  uv_sem_post(&is_ready);
  run_until(&g.loop, &b.signals, 1000);
  uv_sem_wait(&may_end);
  fixture_close(&g);
  CHECK(!is_blocked(SIGRTMIN));
}

/* Either may read a signal: the other one has it by the pipe. */
static void two_queued_loops_of_two_threads_are_both_told_of_all(void) {
  uv_thread_t thread;

  CHECK_EQ(uv_sem_init(&is_ready, 0) + uv_sem_init(&may_end, 0), 0);
  CHECK_EQ(uv_thread_create(&thread, run_second, NULL), 0);
  uv_sem_wait(&is_ready);
  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 1000);
  run_until(&f.loop, &a.signals, 1000);
  uv_sem_post(&may_end);
  CHECK_EQ(uv_thread_join(&thread), 0);
  check_books(&f.sig, SIGRTMIN, 1000, 0);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
  uv_sem_destroy(&is_ready);
  uv_sem_destroy(&may_end);
}

/* --- A loop that moves ---------------------------------------------------------- */

static sigset_t nothing_blocked;

static void run_in_thread(void* may_stop) {
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &nothing_blocked, NULL), 0);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(is_blocked(SIGRTMIN));
  raise(SIGRTMIN);
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.calls, 4);
  if (may_stop == NULL)
    return;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGRTMIN));
}

static void run_elsewhere(void* may_stop) {
  uv_thread_t thread;

  CHECK_EQ(sigemptyset(&nothing_blocked), 0);
  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uv_thread_create(&thread, run_in_thread, may_stop), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  check_books(&f.sig, SIGRTMIN, 4, 0);
}

static void close_prepare(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (handle->type == UV_PREPARE && uvsig_has_handle(&f.sig, handle))
    uv_close(handle, NULL);
}

static void stop_it(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

static void run_loop(void* unused) {
  (void) unused;
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
}

/* What a turn of the loop begins with has been closed. */
static void a_callback_of_a_loop_that_moves_may_stop(void) {
  uv_thread_t thread;

  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  a.then = stop_it;
  uv_walk(&f.loop, close_prepare, NULL);
  CHECK_EQ(kill(getpid(), SIGRTMIN), 0);
  CHECK_EQ(uv_thread_create(&thread, run_loop, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  fixture_close(&f);
}

static void a_loop_that_moves_blocks_its_signals_there(void) {
  run_elsewhere(&f);
  /* Known: no thread can change another one's mask. */
  CHECK(is_blocked(SIGRTMIN));
  recorder_start(&a, SIGRTMIN);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
}

static void the_thread_that_started_it_may_close_it(void) {
  run_elsewhere(NULL);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
}

static void a_loop_that_comes_back_is_as_before(void) {
  run_elsewhere(NULL);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.calls, 7);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void join_a_plain_loop(void* unused) {
  (void) unused;
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &nothing_blocked, NULL), 0);
  open_plain(&g, &b);
  recorder_start(&b, SIGRTMIN);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(!is_blocked(SIGRTMIN));
  raise(SIGRTMIN);
  run_until(&g.loop, &b.calls, 1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&g);
}

static void move_to(uv_thread_cb join_another) {
  uv_thread_t thread;

  CHECK_EQ(sigemptyset(&nothing_blocked), 0);
  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uv_thread_create(&thread, join_another, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
}

/* It must not keep the signal from a loop that may be the only one to run. */
static void a_loop_that_moves_to_a_plain_one_goes_by_the_handler(void) {
  move_to(join_a_plain_loop);
}

static void join_a_queued_loop(void* unused) {
  (void) unused;
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &nothing_blocked, NULL), 0);
  open_one(&g, &b);
  recorder_start(&b, SIGRTMIN);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 3);
  run_until(&g.loop, &b.calls, 3);
  run_until(&f.loop, &a.calls, 3);
  fixture_close(&g);
  CHECK(is_blocked(SIGRTMIN));
}

static void a_loop_that_moves_to_a_queued_one_is_queued_there(void) {
  move_to(join_a_queued_loop);
}

static atomic_bool is_over;

static void watch_plainly(void* semaphore) {
  open_plain(&g, &b);
  recorder_start(&b, SIGRTMIN);
  uv_sem_post(semaphore);
  while (!is_over)
    sched_yield();
  fixture_close(&g);
}

static void a_plain_loop_of_another_thread_leaves_it_in_the_queue(void) {
  uv_thread_t thread;
  uv_sem_t semaphore;

  CHECK_EQ(uv_sem_init(&semaphore, 0), 0);
  CHECK_EQ(uv_thread_create(&thread, watch_plainly, &semaphore), 0);
  uv_sem_wait(&semaphore);
  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  CHECK(is_blocked(SIGRTMIN));
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  fixture_close(&f);
  is_over = true;
  CHECK_EQ(uv_thread_join(&thread), 0);
  uv_sem_destroy(&semaphore);
}

static void turn_with_it_blocked(void* unused) {
  sigset_t set = set_of(SIGRTMIN);

  (void) unused;
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(is_blocked(SIGRTMIN));
}

static void what_has_left_the_queue_is_not_read_from_it(void) {
  sigset_t set = set_of(SIGRTMIN);
  int fds[2];

  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK(!is_blocked(SIGRTMIN));
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGRTMIN);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  CHECK(is_waiting(SIGRTMIN));
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  close(fds[0]);
  close(fds[1]);
  fixture_close(&f);
}

/* It leaves the queue in a thread whose mask the library has not changed. */
static void a_loop_that_moves_and_needs_the_handler_leaves_the_mask(void) {
  uv_thread_t thread;
  int fds[2];

  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 0, NULL), 0);
  CHECK_EQ(uv_thread_create(&thread, turn_with_it_blocked, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK(is_blocked(SIGRTMIN));
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGRTMIN));
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  close(fds[0]);
  close(fds[1]);
  fixture_close(&f);
}

/* --- Other threads ---------------------------------------------------------------- */

static int fds[2];
static atomic_ulong interrupted;

/* Reads one byte, as long as no signal interrupts it. */
static void read_one(void* unused) {
  char byte;

  (void) unused;
  uv_sem_post(&is_ready);
  if (read(fds[0], &byte, 1) != 1)
    atomic_fetch_add(&interrupted, 1);
}

static void work(uv_work_t* req) {
  read_one(req);
}

static void on_worked(uv_work_t* req, int status) {
  (void) req;
  CHECK_EQ(status, 0);
}

static void no_system_call_of_another_thread_is_interrupted(void) {
  unsigned long n = scaled(1000);
  uv_thread_t thread;
  uv_work_t req;
  unsigned long i;

  CHECK_EQ(uv_sem_init(&is_ready, 0), 0);
  CHECK_EQ(pipe(fds), 0);
  open_one(&f, &a);
  CHECK_EQ(uvsig_threadpool_prime(&f.loop), 0);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 1), 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_thread_create(&thread, read_one, NULL), 0);
  CHECK_EQ(uv_queue_work(&f.loop, &req, work, on_worked), 0);
  uv_sem_wait(&is_ready);
  uv_sem_wait(&is_ready);
  for (i = 1; i <= n && has_time(); i++) {
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    run_until(&f.loop, &a.calls, i);
  }
  CHECK_EQ(atomic_load(&interrupted), 0);
  CHECK_EQ(write(fds[1], "xx", 2), 2);
  CHECK_EQ(uv_thread_join(&thread), 0);
  fixture_close(&f);
  CHECK_EQ(atomic_load(&interrupted), 0);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 0), 0);
  close(fds[0]);
  close(fds[1]);
  uv_sem_destroy(&is_ready);
}

/* --- libuv's ways to wait --------------------------------------------------------- */

/* libuv waits with a mask of that signal alone: the others reach the handler
 * there. */
static void a_loop_that_blocks_sigprof_while_it_waits(void) {
  open_one(&f, &a);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uv_loop_configure(&f.loop, UV_LOOP_BLOCK_SIGNAL, SIGPROF), 0);
  recorder_start(&a, SIGPROF);
  recorder_start(&b, SIGRTMIN);
  CHECK_EQ(kill(getpid(), SIGPROF), 0);
  queue_values(SIGRTMIN, 100);
  run_until(&f.loop, &a.calls, 1);
  /* ThreadSanitizer's runtime keeps one of several for a handler. */
  if (!under_thread_sanitizer())
    run_until(&f.loop, &b.signals, 100);
  run_idle(&f.loop);
  check_books(&f.sig, SIGPROF, 1, 0);
  check_books(&f.sig, SIGRTMIN, b.signals, 0);
  CHECK(is_blocked(SIGPROF));
  fixture_close(&f);
  CHECK(!is_blocked(SIGPROF));
}

static void one_turn_and_turns_without_waiting_tell_all(void) {
  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 3);
  uv_run(&f.loop, UV_RUN_ONCE);
  CHECK_EQ(a.calls, 3);
  queue_values(SIGRTMIN, 3);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  CHECK_EQ(a.calls, 6);
  fixture_close(&f);
}

static void an_embedded_loops_descriptor_is_readable(void) {
  struct pollfd pollfd;

  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  run_idle(&f.loop);
  pollfd.fd = uv_backend_fd(&f.loop);
  pollfd.events = POLLIN;
  CHECK_EQ(poll(&pollfd, 1, 0), 0);
  CHECK_EQ(kill(getpid(), SIGRTMIN), 0);
  CHECK_EQ(poll(&pollfd, 1, LONG_MS), 1);
  run_until(&f.loop, &a.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(poll(&pollfd, 1, 0), 0);
  fixture_close(&f);
}

static void send_soon(void* unused) {
  (void) unused;
  let_pass(20);
  CHECK_EQ(kill(getpid(), SIGRTMIN), 0);
}

static void a_loop_that_sleeps_is_woken(void) {
  uv_thread_t thread;

  open_one(&f, &a);
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uvsig_thread_create(&thread, send_soon, NULL), 0);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(a.last.pid, getpid());
  CHECK_EQ(uv_thread_join(&thread), 0);
  fixture_close(&f);
}

static void io_uring_as_the_poller(void) {
#if UV_VERSION_HEX >= 0x013100 /* 1.49: it is an option of its own */
  uvsig_options_t options;

  open_one(&f, &a);
  fixture_close(&f);
  CHECK_EQ(uv_loop_init(&f.loop), 0);
  CHECK_EQ(uv_loop_configure(&f.loop, UV_LOOP_USE_IO_URING_SQPOLL), 0);
  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  CHECK_EQ(uvsig_init(&f.loop, &f.sig, &options), 0);
  f.closed = 0;
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGRTMIN);
  run_idle(&f.loop);
  queue_values(SIGRTMIN, 100);
  run_until(&f.loop, &a.calls, 100);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  run_until(&f.loop, &a.calls, 200);
  fixture_close(&f);
#else
  skip_test("this libuv has no UV_LOOP_USE_IO_URING_SQPOLL");
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(two_queued_loops_are_both_told),
      TEST(a_queued_loop_that_is_first_and_stops_first),
      TEST(a_queued_loop_that_is_first_and_stops_last),
      TEST(a_plain_loop_that_is_first_and_stops_first),
      TEST(a_plain_loop_that_is_first_and_stops_last),
      TEST(what_was_blocked_is_blocked_after_two_loops),
      TEST(two_queued_loops_of_two_threads_are_both_told_of_all),
      TEST(a_loop_that_moves_blocks_its_signals_there),
      TEST(a_callback_of_a_loop_that_moves_may_stop),
      TEST(the_thread_that_started_it_may_close_it),
      TEST(a_loop_that_comes_back_is_as_before),
      TEST(a_loop_that_moves_to_a_queued_one_is_queued_there),
      TEST(a_loop_that_moves_to_a_plain_one_goes_by_the_handler),
      TEST(a_plain_loop_of_another_thread_leaves_it_in_the_queue),
      TEST(what_has_left_the_queue_is_not_read_from_it),
      TEST(a_loop_that_moves_and_needs_the_handler_leaves_the_mask),
      TEST(no_system_call_of_another_thread_is_interrupted),
      TEST(a_loop_that_blocks_sigprof_while_it_waits),
      TEST(one_turn_and_turns_without_waiting_tell_all),
      TEST(an_embedded_loops_descriptor_is_readable),
      TEST(a_loop_that_sleeps_is_woken),
      TEST(io_uring_as_the_poller),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
