/* SPDX-License-Identifier: MIT
 *
 * Signals that do nothing where they would have their default action. Linked
 * with --wrap, so that the library's calls of sigaction(), and of its lock, come
 * here first.
 */

#include "../lib/harness.h"
#include "../lib/wrap-lock.h"

#include "../../lib/disposition.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

/* How many of the next calls that set an action are. Handlers read it: to the
 * compiler raise() is a call that changes nothing here. */
static volatile unsigned refused;

static bool needs_lock; /* for each call */

int __real_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
EARLY int __wrap_sigaction(int signum,
                           const struct sigaction* action,
                           struct sigaction* previous) {
  if (needs_lock)
    CHECK(is_locked);
  if (action != NULL && refused > 0) {
    refused--;
    errno = EACCES;
    return -1;
  }
  return __real_sigaction(signum, action, previous);
}

static void prepare(void) {
  CHECK_EQ(uvsig__prepare_for_forks(), 0);
}

static void check_mute(int signum) {
  struct sigaction action = action_of(signum);

  CHECK(uvsig__is_mute(&action));
  CHECK((action.sa_flags & SA_RESTART) != 0);
  CHECK((action.sa_flags & SA_ONSTACK) != 0);
  errno = ENOTTY;
  raise(signum);
  CHECK_EQ(errno, ENOTTY);
}

static void check_default(int signum) {
  struct sigaction action = action_of(signum);

  CHECK(action.sa_handler == SIG_DFL);
  CHECK_EQ(action.sa_flags & (SA_RESTART | SA_ONSTACK), 0);
  CHECK(uvsig__is_default(signum));
}

static void check_dies(void (*fn)(void), int signum) {
  int status = run_child(fn);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
}

static void check_exits(void (*fn)(void), int expected) {
  int status = run_child(fn);

  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), expected);
}

/* --- Mute and not --------------------------------------------------------- */

static void a_muted_signal_does_nothing_until_it_is_unmuted(void) {
  prepare();
  CHECK(uvsig__mute(SIGTERM));
  check_mute(SIGTERM);
  CHECK(!uvsig__is_default(SIGTERM));
  CHECK(uvsig__is_default(SIGUSR1));
  uvsig__unmute(SIGTERM);
  check_default(SIGTERM);
}

static void the_last_of_two_unmutes_counts(void) {
  prepare();
  CHECK(uvsig__mute(SIGTERM));
  CHECK(uvsig__mute(SIGTERM));
  uvsig__unmute(SIGTERM);
  check_mute(SIGTERM);
  uvsig__unmute(SIGTERM);
  check_default(SIGTERM);
  uvsig__unmute(SIGTERM);
  CHECK(uvsig__mute(SIGTERM));
  check_mute(SIGTERM);
  uvsig__unmute(SIGTERM);
  check_default(SIGTERM);
}

/* Nothing is owed then. */
static void what_has_an_action_is_not_muted(void) {
  prepare();
  install_handler(SIGTERM, count_foreign);
  CHECK(!uvsig__mute(SIGTERM));
  CHECK(!uvsig__is_default(SIGTERM));
  raise(SIGTERM);
  CHECK_EQ(foreign_calls, 1);
  install_handler(SIGTERM, SIG_IGN);
  CHECK(!uvsig__mute(SIGTERM));
  CHECK(action_of(SIGTERM).sa_handler == SIG_IGN);
  install_handler(SIGTERM, SIG_DFL);
  CHECK(uvsig__mute(SIGTERM));
  check_mute(SIGTERM);
  uvsig__unmute(SIGTERM);
  check_default(SIGTERM);
}

static void it_is_done_under_the_lock(void) {
  prepare();
  needs_lock = true;
  CHECK(uvsig__is_default(SIGTERM));
  CHECK(uvsig__mute(SIGTERM));
  uvsig__unmute(SIGTERM);
  needs_lock = false;
  CHECK(!is_locked);
  check_default(SIGTERM);
}

static void watch(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGTERM);
}

static void a_watched_signal_is_mute_after_its_last_stop(void) {
  watch();
  CHECK(uvsig__is_default(SIGTERM));
  CHECK(uvsig__mute(SIGTERM));
  CHECK(!uvsig__is_default(SIGTERM));
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  raise(SIGTERM);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  check_mute(SIGTERM);
  recorder_start(&a, SIGTERM);
  uvsig__unmute(SIGTERM);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  check_default(SIGTERM);
  fixture_close(&f);
}

static void what_was_there_before_a_watcher_is_not_muted(void) {
  install_handler(SIGTERM, count_foreign);
  watch();
  CHECK(!uvsig__is_default(SIGTERM));
  CHECK(!uvsig__mute(SIGTERM));
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(action_of(SIGTERM).sa_handler == count_foreign);
  fixture_close(&f);
}

/* --- Another library's handler on top ------------------------------------- */

static struct sigaction below;

static void call_below(int signum) {
  below.sa_handler(signum);
}

/* It has found the one that does nothing, and calls it still. */
static void below_another_handler_it_does_nothing_for_good(void) {
  prepare();
  CHECK(uvsig__mute(SIGTERM));
  below = action_of(SIGTERM);
  install_handler(SIGTERM, call_below);
  uvsig__unmute(SIGTERM);
  raise(SIGTERM);
  CHECK(action_of(SIGTERM).sa_handler == call_below);
}

/* --- Refused -------------------------------------------------------------- */

static void unmute_in_vain(int signum) {
  struct sigaction action;

  prepare();
  CHECK(uvsig__mute(signum));
  refused = 1;
  uvsig__unmute(signum);
  CHECK_EQ(refused, 0);
  action = action_of(signum);
  CHECK(uvsig__is_mute(&action));
}

static void be_terminated(void) {
  unmute_in_vain(SIGTERM);
  raise(SIGTERM);
}

static void be_terminated_in_vain(void) {
  unmute_in_vain(SIGTERM);
  refused = 1;
  raise(SIGTERM);
}

static void the_default_action_that_was_refused_is_set_when_it_is_due(void) {
  check_dies(be_terminated, SIGTERM);
  check_exits(be_terminated_in_vain, 128 + SIGTERM);
}

static void what_is_harmless_does_nothing_where_its_action_is_refused(void) {
  unmute_in_vain(SIGWINCH);
  refused = 1;
  raise(SIGWINCH);
  CHECK_EQ(refused, 0);
  raise(SIGWINCH);
  check_default(SIGWINCH);
}

/* --- Forks ---------------------------------------------------------------- */

static void (*in_child)(void);

static void check_in_child(void) {
  int status = run_forked(in_child);

  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 0);
}

/* What the parent owes, the child does not. */
static void check_nothing_is_owed(void) {
  check_default(1);
  check_default(SIGTERM);
  uvsig__unmute(SIGTERM);
  CHECK(uvsig__mute(SIGTERM));
  check_mute(SIGTERM);
  uvsig__unmute(SIGTERM);
  check_default(SIGTERM);
}

static void in_the_child_of_a_fork_nothing_is_mute(void) {
  fixture_open(&f, NULL);
  CHECK(uvsig__mute(1));
  CHECK(uvsig__mute(SIGTERM));
  CHECK(uvsig__mute(SIGTERM));
  in_child = check_nothing_is_owed;
  check_in_child();
  check_mute(SIGTERM);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_muted_signal_does_nothing_until_it_is_unmuted),
      TEST(the_last_of_two_unmutes_counts),
      TEST(what_has_an_action_is_not_muted),
      TEST(it_is_done_under_the_lock),
      TEST(a_watched_signal_is_mute_after_its_last_stop),
      TEST(what_was_there_before_a_watcher_is_not_muted),
      TEST(below_another_handler_it_does_nothing_for_good),
      TEST(the_default_action_that_was_refused_is_set_when_it_is_due),
      TEST(what_is_harmless_does_nothing_where_its_action_is_refused),
      TEST(in_the_child_of_a_fork_nothing_is_mute),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
