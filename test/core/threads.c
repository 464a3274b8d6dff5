/* SPDX-License-Identifier: MIT
 *
 * Threads: several loops at once, each told of every signal on its own thread;
 * who owns a loop, and what everybody else is told; small stacks.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
# include <ucontext.h> /* musl has no makecontext() */
#endif
#include <unistd.h>

enum { LOOPS = 8 };

static struct fixture f;
static struct recorder a, b;

/* --- Several loops -------------------------------------------------------- */

struct worker {
  uv_thread_t thread;
  uv_thread_t self;
  struct fixture f;
  struct recorder r;
  struct recorder end;
};

static struct worker workers[LOOPS];
static uv_sem_t ready;
static uv_sem_t told;

static void on_signal(struct recorder* r) {
  struct worker* worker =
      (struct worker*) ((char*) r - offsetof(struct worker, r));
  uv_thread_t self = uv_thread_self();

  CHECK(uv_thread_equal(&self, &worker->self));
  uv_sem_post(&told);
}

static void on_end(struct recorder* r) {
  uv_stop(r->w.sig->loop);
}

static void work(void* argument) {
  struct worker* worker = argument;

  worker->self = uv_thread_self();
  fixture_open(&worker->f, NULL);
  recorder_init(&worker->r, &worker->f.sig);
  recorder_init(&worker->end, &worker->f.sig);
  worker->r.then = on_signal;
  worker->end.then = on_end;
  recorder_start(&worker->r, SIGUSR1);
  recorder_start(&worker->end, SIGUSR2);
  uv_sem_post(&ready);
  uv_run(&worker->f.loop, UV_RUN_DEFAULT);
  fixture_close(&worker->f);
}

static void start_workers(void) {
  int i;

  CHECK_EQ(uv_sem_init(&ready, 0), 0);
  CHECK_EQ(uv_sem_init(&told, 0), 0);
  for (i = 0; i < LOOPS; i++)
    CHECK_EQ(uv_thread_create(&workers[i].thread, work, &workers[i]), 0);
  for (i = 0; i < LOOPS; i++)
    uv_sem_wait(&ready);
}

static void join_workers(unsigned long expected) {
  int i;

  raise(SIGUSR2);
  for (i = 0; i < LOOPS; i++) {
    CHECK_EQ(uv_thread_join(&workers[i].thread), 0);
    CHECK_EQ(workers[i].r.signals, expected);
  }
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  uv_sem_destroy(&ready);
  uv_sem_destroy(&told);
}

static void every_loop_gets_every_signal_sent_to_the_process(void) {
  int i;
  int n;

  start_workers();
  for (n = 0; n < 100; n++) {
    /* One at a time: the kernel merges those that are pending. */
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    for (i = 0; i < LOOPS; i++)
      uv_sem_wait(&told);
  }
  join_workers(100);
}

static void every_loop_gets_what_is_sent_to_each_thread(void) {
  int i;
  int n;
  int sent = 0;

  start_workers();
  for (n = 0; n < 20; n++) {
    for (i = 0; i < LOOPS; i++) {
      int j;

      CHECK_EQ(pthread_kill(workers[i].self, SIGUSR1), 0);
      sent++;
      for (j = 0; j < LOOPS; j++)
        uv_sem_wait(&told);
    }
  }
  join_workers((unsigned long) sent);
}

/* --- libuv's pool --------------------------------------------------------- */

enum { WORKS = 8, POOL = 4 };
static uv_barrier_t all_of_the_pool;

static uv_thread_t loop_thread;
static unsigned long pool_signals;

static void on_pool_signal(uvsig_watcher_t* w,
                           int signum,
                           const uvsig_info_t* info) {
  uv_thread_t self = uv_thread_self();

  (void) w;
  CHECK_EQ(signum, SIGUSR1);
  CHECK(uv_thread_equal(&self, &loop_thread));
  pool_signals += info->count;
}

static void raise_in_pool(uv_work_t* work) {
  uv_thread_t self = uv_thread_self();

  (void) work;
  CHECK(!uv_thread_equal(&self, &loop_thread));
  /* So that each of the threads has its share of the work. */
  uv_barrier_wait(&all_of_the_pool);
  CHECK_EQ(uvsig_pthread_kill(self, SIGUSR1), 0);
}

static void on_worked(uv_work_t* work, int status) {
  (void) work;
  CHECK_EQ(status, 0);
}

static void what_a_thread_of_libuvs_pool_catches_arrives_on_the_loops(void) {
  uv_work_t works[WORKS];
  uvsig_watcher_t watcher;
  int i;

  CHECK_EQ(setenv("UV_THREADPOOL_SIZE", "4", 1), 0);
  CHECK_EQ(uv_barrier_init(&all_of_the_pool, POOL), 0);
  loop_thread = uv_thread_self();
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_watcher_init(&f.sig, &watcher), 0);
  CHECK_EQ(uvsig_watcher_start(&watcher, on_pool_signal, SIGUSR1), 0);
  for (i = 0; i < WORKS; i++)
    CHECK_EQ(uv_queue_work(&f.loop, &works[i], raise_in_pool, on_worked), 0);
  run_until(&f.loop, &pool_signals, WORKS);
  CHECK_EQ(uvsig_watcher_stop(&watcher), 0);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  uv_barrier_destroy(&all_of_the_pool);
  fixture_close(&f);
}

/* --- Owners --------------------------------------------------------------- */

static void call_everything(void* argument) {
  uvsig_stats_t stats;
  uvsig_watcher_t w;

  (void) argument;
  CHECK_EQ(uvsig_watcher_init(&f.sig, &w), UV_EPERM);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR1), UV_EPERM);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR2), UV_EPERM);
  CHECK_EQ(uvsig_watcher_start(&b.w, record, SIGUSR2), UV_EPERM);
  CHECK_EQ(uvsig_watcher_start_oneshot(&b.w, record, SIGUSR2), UV_EPERM);
  CHECK_EQ(uvsig_watcher_start(&b.w, NULL, SIGKILL), UV_EPERM);
  CHECK_EQ(uvsig_watcher_stop(&a.w), UV_EPERM);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_KEEP_MASK), UV_EPERM);
  CHECK_EQ(uvsig_flush(&f.sig), UV_EPERM);
  CHECK_EQ(uvsig_close(&f.sig, NULL), UV_EPERM);
  uvsig_watcher_unref(&a.w);
  memset(&stats, 0xa5, sizeof(stats));
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.caught, 0);
}

static void another_thread_is_refused_and_changes_nothing(void) {
  uv_thread_t thread;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uv_thread_create(&thread, call_everything, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_watcher_is_active(&b.w), 0);
  CHECK_EQ(uvsig_watcher_has_ref(&a.w), 1);
  CHECK(uv_loop_alive(&f.loop) != 0);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, 0, 1, 0);
  fixture_close(&f);
}

static uv_sem_t running;
static uv_sem_t may_end;

static void wait_in_callback(struct recorder* r) {
  /* It owns the loop now: it may do what the other thread may not. */
  recorder_start(&b, SIGUSR2);
  uv_sem_post(&running);
  uv_sem_wait(&may_end);
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
}

static void run_loop(void* argument) {
  (void) argument;
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
}

static void a_loop_belongs_to_the_thread_that_runs_it_until_that_has_ended(
    void) {
  uv_thread_t thread;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  a.then = wait_in_callback;
  raise(SIGUSR1);
  CHECK_EQ(uv_sem_init(&running, 0), 0);
  CHECK_EQ(uv_sem_init(&may_end, 0), 0);
  CHECK_EQ(uv_thread_create(&thread, run_loop, NULL), 0);
  uv_sem_wait(&running);
  CHECK_EQ(uvsig_watcher_stop(&a.w), UV_EPERM);
  CHECK_EQ(uvsig_close(&f.sig, NULL), UV_EPERM);
  uv_sem_post(&may_end);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(a.calls, 1);
  /* Now it is this thread's, although the loop has nothing to run. */
  recorder_start(&b, SIGUSR2);
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  fixture_close(&f);
  uv_sem_destroy(&running);
  uv_sem_destroy(&may_end);
}

static void on_idle(uv_idle_t* idle) {
  (void) idle;
}

static void on_check(uv_check_t* check) {
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  uv_close((uv_handle_t*) check, NULL);
  uv_close((uv_handle_t*) check->data, NULL);
}

static void a_thread_owns_the_loop_from_its_first_turn(void) {
  uv_thread_t thread;
  uv_check_t check;
  uv_idle_t idle; /* or the loop would sleep */

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_check_init(&f.loop, &check), 0);
  CHECK_EQ(uv_check_start(&check, on_check), 0);
  CHECK_EQ(uv_idle_init(&f.loop, &idle), 0);
  CHECK_EQ(uv_idle_start(&idle, on_idle), 0);
  check.data = &idle;
  CHECK_EQ(uv_thread_create(&thread, run_loop, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  fixture_close(&f);
}

/* The one handle of the library's that a turn of the loop begins with. */
static void close_prepare(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (handle->type == UV_PREPARE && uvsig_has_handle(&f.sig, handle))
    uv_close(handle, NULL);
}

static void stop_it(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

static void a_thread_owns_the_loop_in_a_callback_whatever_was_closed(void) {
  uv_thread_t thread;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  a.then = stop_it;
  uv_walk(&f.loop, close_prepare, NULL);
  raise(SIGUSR1);
  CHECK_EQ(uv_thread_create(&thread, run_loop, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
  fixture_close(&f);
}

/* A key's destructor runs after the library's own, in a later round at
 * least. */
static pthread_key_t last_key;
static unsigned rounds;
static bool runs_loop;

static void use_at_the_end(void* value) {
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1);
  CHECK(uvsig_flush(&f.sig) >= 0);
  if (runs_loop)
    CHECK(uv_run(&f.loop, UV_RUN_NOWAIT) != 0);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1);
  if (++rounds < 3)
    CHECK_EQ(pthread_setspecific(last_key, value), 0);
}

static void* open_and_end(void* argument) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(pthread_key_create(&last_key, use_at_the_end), 0);
  CHECK_EQ(pthread_setspecific(last_key, &last_key), 0);
  return argument;
}

static void check_end(void) {
  pthread_t thread;

  CHECK_EQ(pthread_create(&thread, NULL, open_and_end, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(rounds, 3);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  fixture_close(&f);
  CHECK_EQ(pthread_key_delete(last_key), 0);
}

static void what_a_thread_uses_at_its_very_end_is_not_its_own(void) {
  check_end();
}

static void what_a_thread_runs_at_its_very_end_is_not_its_own(void) {
  runs_loop = true;
  check_end();
}

static void open_at_the_end(void* value) {
  if (++rounds < 3)
    CHECK_EQ(pthread_setspecific(last_key, value), 0);
  else
    fixture_open(&f, NULL);
}

static void* open_and_reopen(void* argument) {
  fixture_open(&f, NULL);
  fixture_close(&f);
  CHECK_EQ(pthread_key_create(&last_key, open_at_the_end), 0);
  CHECK_EQ(pthread_setspecific(last_key, &last_key), 0);
  return argument;
}

static void what_a_thread_makes_at_its_very_end_is_not_its_own(void) {
  pthread_t thread;

  CHECK_EQ(pthread_create(&thread, NULL, open_and_reopen, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(rounds, 3);
  fixture_close(&f);
  CHECK_EQ(pthread_key_delete(last_key), 0);
}

/* --- Threads with the id of another one ----------------------------------- */

static uv_sem_t may_end;

static void check_that_it_is_another_thread(void) {
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 0);
}

static void* open_and_run(void* argument) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1); /* or the loop would not turn */
  CHECK(uv_run(&f.loop, UV_RUN_NOWAIT) != 0);
  if (argument != NULL) {
    uv_sem_post(&running);
    uv_sem_wait(&may_end);
  }
  return NULL;
}

static void a_thread_with_the_id_of_one_that_ended_owns_nothing(void) {
  pthread_t thread;

  CHECK_EQ(pthread_create(&thread, NULL, open_and_run, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1); /* and so it is this one's */
  run_with_id(thread, check_that_it_is_another_thread);
  fixture_close(&f);
}

static void a_thread_with_the_id_of_one_that_ran_it_at_its_end_owns_nothing(
    void) {
  pthread_t thread;

  runs_loop = true;
  CHECK_EQ(pthread_create(&thread, NULL, open_and_end, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1);
  run_with_id(thread, check_that_it_is_another_thread);
  fixture_close(&f);
  CHECK_EQ(pthread_key_delete(last_key), 0);
}

static pthread_t owner;

static void take_in_a_child(void) {
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1);
  run_with_id(owner, check_that_it_is_another_thread);
}

/* The child has this thread alone, and so the owner's id is free there. */
static void a_thread_with_the_id_of_one_that_was_not_forked_owns_nothing(void) {
  int status;

  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer allows no thread in the child of threads");
  CHECK_EQ(uv_sem_init(&running, 0), 0);
  CHECK_EQ(uv_sem_init(&may_end, 0), 0);
  CHECK_EQ(pthread_create(&owner, NULL, open_and_run, &f), 0);
  uv_sem_wait(&running);
  status = run_forked(take_in_a_child);
  uv_sem_post(&may_end);
  CHECK_EQ(pthread_join(owner, NULL), 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
    skip_test("the ids of threads that were not forked are not used again");
  CHECK(child_passed(status));
  fixture_close(&f);
}

/* --- Small stacks --------------------------------------------------------- */

enum { SMALL_STACK = 16 * 1024, BELOW = 64 * 1024, PATTERN = 0x5a };

#ifdef __GLIBC__
static ucontext_t whole, small;

static void init_and_close(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
}

static void check_small_stack(void) {
  static unsigned char memory[BELOW + SMALL_STACK];
  size_t i;

  memset(memory, PATTERN, BELOW);
  CHECK_EQ(getcontext(&small), 0);
  small.uc_stack.ss_sp = memory + BELOW;
  small.uc_stack.ss_size = SMALL_STACK;
  small.uc_link = &whole;
  makecontext(&small, init_and_close, 0);
  CHECK_EQ(swapcontext(&whole, &small), 0);
  for (i = 0; i < BELOW; i++)
    CHECK_EQ(memory[i], PATTERN);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  close_loop(&f.loop);
}
#endif

/* Where a coroutine has 16 KiB, what is below is another one's. */
static void init_uses_a_small_stack_and_nothing_below_it(void) {
  if (has_sanitizer())
    skip_test("a sanitizer uses more stack, and may not know coroutines");
  skip_under_valgrind("it takes another stack for a growing one");
#ifdef __GLIBC__
  check_small_stack();
#else
  skip_test("no makecontext() here");
#endif
}

/* --- Cancelled threads ---------------------------------------------------- */

static atomic_bool may_be_cancelled;

static void* compute(void* argument) {
  (void) argument;
  uv_sem_post(&running);
  /* No cancellation point (POSIX XSH 2.9.5), but a system call, without which
   * ThreadSanitizer would not deliver a signal. */
  while (!atomic_load(&may_be_cancelled))
    sigprocmask(SIG_BLOCK, NULL, NULL);
  pthread_testcancel();
  return NULL;
}

/* The handler's write is a cancellation point: without care the thread would
 * end there, in the middle of the library. */
static void a_thread_that_is_cancelled_in_the_handler_loses_nothing(void) {
  pthread_t thread;
  void* result;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uv_sem_init(&running, 0), 0);
  CHECK_EQ(pthread_create(&thread, NULL, compute, NULL), 0);
  uv_sem_wait(&running);
  CHECK_EQ(pthread_cancel(thread), 0);
  CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
  atomic_store(&may_be_cancelled, true);
  CHECK_EQ(pthread_join(thread, &result), 0);
  CHECK(result == PTHREAD_CANCELED); /* at its own point, not in ours */
  uv_sem_destroy(&running);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_loop_gets_every_signal_sent_to_the_process),
      TEST(every_loop_gets_what_is_sent_to_each_thread),
      TEST(what_a_thread_of_libuvs_pool_catches_arrives_on_the_loops),
      TEST(another_thread_is_refused_and_changes_nothing),
      TEST(a_loop_belongs_to_the_thread_that_runs_it_until_that_has_ended),
      TEST(a_thread_owns_the_loop_from_its_first_turn),
      TEST(a_thread_owns_the_loop_in_a_callback_whatever_was_closed),
      TEST(what_a_thread_uses_at_its_very_end_is_not_its_own),
      TEST(what_a_thread_runs_at_its_very_end_is_not_its_own),
      TEST(what_a_thread_makes_at_its_very_end_is_not_its_own),
      TEST(a_thread_with_the_id_of_one_that_ended_owns_nothing),
      TEST(a_thread_with_the_id_of_one_that_ran_it_at_its_end_owns_nothing),
      TEST(a_thread_with_the_id_of_one_that_was_not_forked_owns_nothing),
      TEST(init_uses_a_small_stack_and_nothing_below_it),
      TEST(a_thread_that_is_cancelled_in_the_handler_loses_nothing),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
