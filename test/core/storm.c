/* SPDX-License-Identifier: MIT
 *
 * A storm: eight threads raise a signal while another opens and closes a
 * uvsig_t ten thousand times. It must neither crash nor hang, the books must
 * balance, and nothing may be written to a descriptor that got the number of
 * one of ours.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The second test gives the processor away in each round. */
enum { THREADS = 8, ROUNDS = 10000, YIELDING_ROUNDS = 500 };

static atomic_bool end;
static atomic_ulong raised;

static void storm(void* argument) {
  (void) argument;
  /* Relaxed: a flag that is looked at again, and a count read after join. */
  while (!atomic_load_explicit(&end, memory_order_relaxed)) {
    raise(SIGUSR1);
    atomic_fetch_add_explicit(&raised, 1, memory_order_relaxed);
  }
}

static void start_storm(uv_thread_t threads[THREADS]) {
  int i;

  /* What it does whenever nobody watches it. */
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  for (i = 0; i < THREADS; i++)
    CHECK_EQ(uv_thread_create(&threads[i], storm, NULL), 0);
}

static void end_storm(uv_thread_t threads[THREADS]) {
  int i;

  atomic_store(&end, true);
  for (i = 0; i < THREADS; i++)
    CHECK_EQ(uv_thread_join(&threads[i]), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
}

static void settle(const uvsig_t* sig, uint64_t* caught) {
  uvsig_stats_t stats;

  uvsig_stats(sig, SIGUSR1, &stats);
  CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
  *caught += stats.caught;
  uvsig_stats(sig, 0, &stats);
  CHECK_EQ(stats.junk, 0);
}

static void opening_and_closing_in_a_storm_writes_to_nobody_elses_descriptor(
    void) {
  static const uvsig_mode_t modes[] = {UVSIG_MODE_BYTES, UVSIG_MODE_WAKE_ONLY};
  unsigned rounds = scaled(ROUNDS);
  uv_thread_t threads[THREADS];
  uvsig_options_t options;
  uint64_t caught = 0;
  unsigned reused = 0;
  struct recorder r;
  struct fixture f;
  char byte;
  int decoy[2];
  int write_fd;
  unsigned i;

  start_storm(threads);
  uvsig_options_init(&options);
  options.warn_on_full_buffer = 0;
  for (i = 0; i < rounds && has_time(); i++) {
    options.mode = modes[i % 2];
    fixture_open(&f, &options);
    recorder_init(&r, &f.sig);
    recorder_start(&r, SIGUSR1);
    /* Most rounds close at once, the others in the thick of it. */
    if (i % 4 == 0)
      uv_run(&f.loop, UV_RUN_ONCE);
    write_fd = inside_of(&f.sig).write_fd;

    CHECK_EQ(uvsig_close(&f.sig, NULL), 0);
    /* Somebody else gets the numbers, in the middle of the storm. */
    CHECK_EQ(pipe2(decoy, O_NONBLOCK | O_CLOEXEC), 0);
    reused += decoy[1] == write_fd;
    settle(&f.sig, &caught);
    CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    close_loop(&f.loop);
    CHECK_EQ(read(decoy[0], &byte, 1), -1);
    CHECK_EQ(errno, EAGAIN);
    close(decoy[0]);
    close(decoy[1]);
  }
  end_storm(threads);
  fprintf(stderr,
          "# %u rounds, %lu raised, %llu caught, number reused %u times\n",
          i,
          atomic_load(&raised),
          (unsigned long long) caught,
          reused);
  CHECK(caught > 0);
  CHECK(reused > 0);
}

static void starting_and_stopping_in_a_storm_keeps_the_books(void) {
  unsigned rounds = scaled(YIELDING_ROUNDS);
  uv_thread_t threads[THREADS];
  uvsig_options_t options;
  uint64_t caught = 0;
  uint64_t later = 0;
  struct recorder r;
  struct fixture f;
  unsigned i;

  start_storm(threads);
  uvsig_options_init(&options);
  options.warn_on_full_buffer = 0;
  fixture_open(&f, &options);
  recorder_init(&r, &f.sig);
  for (i = 0; i < rounds && has_time(); i++) {
    recorder_start(&r, SIGUSR1);
    uv_run(&f.loop, i % 4 == 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    CHECK_EQ(uvsig_watcher_stop(&r.w), 0);
    /* No handler is under way any more that could still catch one. */
    caught = later = 0;
    settle(&f.sig, &caught);
    sched_yield();
    settle(&f.sig, &later);
    CHECK_EQ(later, caught);
  }
  end_storm(threads);
  fixture_close(&f);
  CHECK(caught > 0);
  CHECK(caught <= atomic_load(&raised));
}

static void close_in_child(void* argument) {
  struct fixture* f = argument;

  CHECK_EQ(uv_loop_fork(&f->loop), 0);
  fixture_close(f);
}

/* The handlers that were under way in the other threads are not in the child:
 * it must not wait for them. */
static void a_child_of_a_fork_in_a_storm_can_close(void) {
  unsigned rounds = scaled(YIELDING_ROUNDS);
  uv_thread_t threads[THREADS];
  struct recorder r;
  struct fixture f;
  unsigned i;
  int status;
  pid_t pid;

  start_storm(threads);
  for (i = 0; i < rounds && has_time(); i++) {
    uvsig_options_t options;

    uvsig_options_init(&options);
    options.mode = UVSIG_MODE_WAKE_ONLY;
    fixture_open(&f, &options);
    recorder_init(&r, &f.sig);
    recorder_start(&r, SIGUSR1);
    uv_run(&f.loop, UV_RUN_ONCE);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      close_in_child(&f);
      _exit(0);
    }
    CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
    CHECK_EQ(status, 0);
    fixture_close(&f);
  }
  end_storm(threads);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(opening_and_closing_in_a_storm_writes_to_nobody_elses_descriptor),
      TEST(a_child_of_a_fork_in_a_storm_can_close),
      TEST(starting_and_stopping_in_a_storm_keeps_the_books),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
