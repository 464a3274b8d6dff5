/* SPDX-License-Identifier: MIT
 *
 * Signal masks: that of the thread that starts a watcher (a launcher's blocked
 * signal reaches it, and is blocked again afterwards), and what users read and
 * change.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b, c;

static void block(int signum) {
  sigset_t set = set_of(signum);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void open_blocked(void) {
  block(SIGUSR1);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

static void start_unblocks_and_the_last_stop_blocks_again(void) {
  open_blocked();
  recorder_start(&a, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void close_blocks_again(void) {
  open_blocked();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR1));
}

static void set_blocked(bool is_to_be) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(uvsig_pthread_sigmask(is_to_be ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL),
           0);
}

static void pass_is_blocked(void) {
  _exit(is_blocked(SIGUSR1) ? 1 : 0);
}

/* While it is watched, and back, which is then no concern of the library's. */
static void change_mask_between(bool was_blocked) {
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(is_blocked(SIGUSR1), !was_blocked);
  set_blocked(was_blocked);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(is_blocked(SIGUSR1), was_blocked);
  set_blocked(!was_blocked);
  CHECK_EQ(WEXITSTATUS(run_forked(pass_is_blocked)), !was_blocked);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(is_blocked(SIGUSR1), !was_blocked);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(is_blocked(SIGUSR1), !was_blocked);
  fixture_close(&f);
}

static void what_the_program_has_put_back_is_its_own(void) {
  set_blocked(true);
  fixture_open(&f, NULL);
  change_mask_between(true);
}

static void so_it_is_with_a_signalfd(void) {
  fixture_open_queued(&f);
  change_mask_between(false);
}

static void what_was_not_blocked_stays_unblocked(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_signal_that_the_mask_held_back_reaches_the_first_watcher(void) {
  open_blocked();
  raise(SIGUSR1);
  recorder_start(&a, SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void keep_mask_leaves_the_mask_alone(void) {
  open_blocked();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_KEEP_MASK), 0);
  recorder_start(&a, SIGUSR1);
  CHECK(is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  /* Another one that wants it unblocked has it its way until the last stop. */
  recorder_start(&b, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_retarget_moves_the_mask_with_it(void) {
  open_blocked();
  block(SIGUSR2);
  recorder_start(&a, SIGUSR1);
  recorder_start(&a, SIGUSR2);
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGUSR2));
  fixture_close(&f);
  CHECK(is_blocked(SIGUSR2));
}

static void two_loops_of_a_thread_share_its_mask(void) {
  open_blocked();
  fixture_open(&g, NULL);
  recorder_init(&c, &g.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&c, SIGUSR1);
  /* The one that unblocked it goes first. */
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&g.loop, &c.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&c.w), 0);
  CHECK(is_blocked(SIGUSR1));
  fixture_close(&f);
  fixture_close(&g);
}

static void run_and_stop(void* argument) {
  (void) argument;
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  CHECK(!is_blocked(SIGUSR1));
}

static void a_loop_that_moved_leaves_the_masks_as_they_are(void) {
  uv_thread_t thread;

  open_blocked();
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  CHECK_EQ(uv_thread_create(&thread, run_and_stop, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

/* --- pthread_sigmask and sigpending --------------------------------------- */

static void sigmask_joins_removes_and_replaces_and_returns_the_old_one(void) {
  sigset_t usr1 = set_of(SIGUSR1);
  sigset_t usr2 = set_of(SIGUSR2);
  sigset_t old;

  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &usr1, &old), 0);
  CHECK_EQ(sigismember(&old, SIGUSR1), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &usr2, &old), 0);
  CHECK_EQ(sigismember(&old, SIGUSR1), 1);
  CHECK_EQ(sigismember(&old, SIGUSR2), 0);
  CHECK(is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &usr1, &old), 0);
  CHECK(sigismember(&old, SIGUSR1) == 1 && sigismember(&old, SIGUSR2) == 1);
  CHECK(!is_blocked(SIGUSR1) && is_blocked(SIGUSR2));
  /* What is not blocked may be unblocked. */
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &usr1, NULL), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &usr1, &old), 0);
  CHECK(is_blocked(SIGUSR1) && !is_blocked(SIGUSR2));
  CHECK_EQ(sigismember(&old, SIGUSR2), 1);
}

static void sigmask_reads_without_a_set_whatever_how_is(void) {
  sigset_t old;

  block(SIGUSR1);
  memset(&old, 0, sizeof(old));
  CHECK_EQ(uvsig_pthread_sigmask(4711, NULL, &old), 0);
  CHECK_EQ(sigismember(&old, SIGUSR1), 1);
  CHECK_EQ(sigismember(&old, SIGUSR2), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, NULL, NULL), 0);
}

static void sigmask_refuses_a_how_that_is_none(void) {
  static const int bad[] = {1700, -1, INT_MIN};
  sigset_t set = set_of(SIGUSR1);
  sigset_t old;
  sigset_t before;
  size_t i;

  memset(&old, 0x5a, sizeof(old));
  before = old;
  for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    CHECK_EQ(uvsig_pthread_sigmask(bad[i], &set, &old), UV_EINVAL);
  CHECK_EQ(memcmp(&old, &before, sizeof(old)), 0);
  CHECK(!is_blocked(SIGUSR1));
}

static void the_whole_valid_set_can_be_blocked_and_unblocked(void) {
  sigset_t valid;
  int signum;

  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &valid, NULL), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK_EQ(is_blocked(signum),
             sigismember(&valid, signum) == 1 && signum != SIGKILL &&
                 signum != SIGSTOP);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &valid, NULL), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK(!is_blocked(signum));
}

/* sigaddset() lets neither 0 nor NSIG in; memory that was never a set may have
 * what is no signal. */
static void sigmask_passes_over_what_is_no_signal(void) {
  sigset_t set;
  sigset_t old;

  sigemptyset(&set);
  CHECK_EQ(sigaddset(&set, 0), -1);
  CHECK_EQ(sigaddset(&set, UVSIG_NSIG), -1);
  memset(&set, 0xff, sizeof(set));
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &set, &old), 0);
  CHECK(is_blocked(SIGUSR1) && !is_blocked(SIGKILL) && !is_blocked(SIGSTOP));
  CHECK_EQ(uvsig_pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
  CHECK(!is_blocked(SIGUSR1));
}

static void sigpending_is_empty_then_holds_what_is_blocked_and_sent(void) {
  sigset_t set = set_of(SIGUSR1);
  sigset_t pending;
  int signum;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_sigpending(&pending), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK(sigismember(&pending, signum) != 1);
  block(SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigpending(&pending), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    CHECK_EQ(sigismember(&pending, signum) == 1, signum == SIGUSR1);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  CHECK_EQ(uvsig_sigpending(&pending), 0);
  CHECK_EQ(sigismember(&pending, SIGUSR1), 0);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void sigpending_refuses_null(void) {
  CHECK_EQ(uvsig_sigpending(NULL), UV_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(start_unblocks_and_the_last_stop_blocks_again),
      TEST(close_blocks_again),
      TEST(what_the_program_has_put_back_is_its_own),
      TEST(so_it_is_with_a_signalfd),
      TEST(what_was_not_blocked_stays_unblocked),
      TEST(a_signal_that_the_mask_held_back_reaches_the_first_watcher),
      TEST(keep_mask_leaves_the_mask_alone),
      TEST(a_retarget_moves_the_mask_with_it),
      TEST(two_loops_of_a_thread_share_its_mask),
      TEST(a_loop_that_moved_leaves_the_masks_as_they_are),
      TEST(sigmask_joins_removes_and_replaces_and_returns_the_old_one),
      TEST(sigmask_reads_without_a_set_whatever_how_is),
      TEST(sigmask_refuses_a_how_that_is_none),
      TEST(the_whole_valid_set_can_be_blocked_and_unblocked),
      TEST(sigmask_passes_over_what_is_no_signal),
      TEST(sigpending_is_empty_then_holds_what_is_blocked_and_sent),
      TEST(sigpending_refuses_null),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
