/* SPDX-License-Identifier: MIT
 *
 * The process is given back as it was found: dispositions saved, installed,
 * restored, queried and set; death by a signal; faults.
 */

#include "../lib/harness.h"
#include "../lib/inside.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a, b;

static const int uncatchable[] = {0, -1, UVSIG_NSIG, 4242, SIGKILL, SIGSTOP};
#define UNCATCHABLE (sizeof(uncatchable) / sizeof(*uncatchable))

static void foreign_info(int signum, siginfo_t* info, void* context) {
  (void) signum;
  (void) info;
  (void) context;
  foreign_calls++;
}

/* Do two actions have handler, flags and mask in common? (glibc may report
 * SA_RESTORER, which it sets by itself.) */
static void check_same_action(struct sigaction x, struct sigaction y) {
  int flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_NODEFER |
              (int) SA_RESETHAND | SA_NOCLDSTOP;
  int signum;

  CHECK(x.sa_sigaction == y.sa_sigaction);
  CHECK_EQ(x.sa_flags & flags, y.sa_flags & flags);
  for (signum = 1; signum < NSIG; signum++)
    CHECK_EQ(sigismember(&x.sa_mask, signum), sigismember(&y.sa_mask, signum));
}

static void watch_and_stop(int signum) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, signum);
  CHECK_EQ(uvsig_getsignal(signum), UVSIG_WATCHED);
  raise(signum);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  fixture_close(&f);
}

static void a_default_disposition_comes_back(void) {
  watch_and_stop(SIGUSR1);
  CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
}

/* Where it is kept, there was one before whose one call has been made. */
static void after_a_handler_with_one_call_others_come_back(void) {
  struct sigaction action;
  int i;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  for (i = 0; i < 12; i++) {
    install_handler(SIGUSR1, count_foreign);
    if (i == 0) {
      action = action_of(SIGUSR1);
      action.sa_flags |= (int) SA_RESETHAND;
      CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    }
    recorder_start(&a, SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(foreign_calls, i + 1);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    CHECK(action_of(SIGUSR1).sa_handler == (i == 0 ? SIG_DFL : count_foreign));
  }
  fixture_close(&f);
}

static void an_ignored_signal_is_ignored_again(void) {
  install_handler(SIGUSR1, SIG_IGN);
  watch_and_stop(SIGUSR1);
  CHECK(action_of(SIGUSR1).sa_handler == SIG_IGN);
}

static void a_handler_comes_back_with_its_flags_and_mask(void) {
  struct sigaction before;

  memset(&before, 0, sizeof(before));
  before.sa_sigaction = foreign_info;
  before.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigaddset(&before.sa_mask, SIGUSR2);
  sigaddset(&before.sa_mask, SIGRTMAX);
  CHECK_EQ(sigaction(SIGUSR1, &before, NULL), 0);
  before = action_of(SIGUSR1);
  watch_and_stop(SIGUSR1);
  check_same_action(action_of(SIGUSR1), before);
  CHECK_EQ(foreign_calls, 0);
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
}

static void a_handler_without_siginfo_comes_back_too(void) {
  struct sigaction before;

  memset(&before, 0, sizeof(before));
  before.sa_handler = count_foreign;
  before.sa_flags = SA_RESTART;
  CHECK_EQ(sigaction(SIGUSR1, &before, NULL), 0);
  before = action_of(SIGUSR1);
  watch_and_stop(SIGUSR1);
  check_same_action(action_of(SIGUSR1), before);
}

static void the_disposition_comes_back_at_close_and_at_the_last_stop_only(
    void) {
  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
}

static void the_handler_is_installed_with_the_flags_that_the_manual_says(void) {
  struct sigaction action;
  sigset_t valid;
  int signum;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  action = action_of(SIGUSR1);
  CHECK((action.sa_flags & SA_SIGINFO) != 0);
  CHECK((action.sa_flags & SA_RESTART) != 0);
  CHECK((action.sa_flags & SA_ONSTACK) != 0);
  CHECK_EQ(action.sa_flags & (int) SA_RESETHAND, 0);
  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&valid, signum) == 1 && signum != SIGKILL &&
        signum != SIGSTOP)
      CHECK_EQ(sigismember(&action.sa_mask, signum), 1);
  fixture_close(&f);
}

static bool restarts(int signum) {
  struct sigaction action = action_of(signum);

  CHECK_EQ(uvsig_getsignal(signum), UVSIG_WATCHED);
  CHECK((action.sa_flags & SA_SIGINFO) != 0);
  CHECK((action.sa_flags & SA_ONSTACK) != 0);
  CHECK_EQ(sigismember(&action.sa_mask, SIGTERM), 1);
  return (action.sa_flags & SA_RESTART) != 0;
}

static void siginterrupt_changes_our_handler_and_survives_later_starts(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 1), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  CHECK(!restarts(SIGUSR1));
  CHECK(restarts(SIGUSR2));
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGUSR1);
  CHECK(!restarts(SIGUSR1));
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 0), 0);
  CHECK(restarts(SIGUSR1));
  CHECK_EQ(uvsig_siginterrupt(SIGUSR2, 4711), 0);
  CHECK(!restarts(SIGUSR2));
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

static void siginterrupt_leaves_other_handlers_alone(void) {
  struct sigaction before;

  install_handler(SIGUSR1, count_foreign);
  before = action_of(SIGUSR1);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, before.sa_flags & SA_RESTART ? 1 : 0),
           0);
  check_same_action(action_of(SIGUSR1), before);
}

static int stream[2];
static pthread_t reader;
static atomic_int interrupted;

/* Interrupts the reader again and again, until it says that it has been, or
 * often; then there is something to read. */
static void* interrupt_reader(void* argument) {
  const int* times = argument;
  int i;

  for (i = 0; *times > 0 ? interrupted < *times : i < 1000; i++) {
    CHECK_EQ(uvsig_pthread_kill(reader, SIGUSR1), 0);
    sched_yield();
  }
  CHECK_EQ(write(stream[1], "x", 1), 1);
  return NULL;
}

/* The handler's own thread blocks the signal: it must be the reader's. */
static pthread_t start_interrupting(int* times) {
  pthread_t thread;
  sigset_t all;
  sigset_t old;

  CHECK_EQ(pipe(stream), 0);
  reader = pthread_self();
  sigfillset(&all);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &all, &old), 0);
  CHECK_EQ(pthread_create(&thread, NULL, interrupt_reader, times), 0);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
  return thread;
}

static void check_reader(int times) {
  pthread_t thread;
  uint64_t caught;
  uvsig_stats_t stats;
  char byte;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, times > 0), 0);
  thread = start_interrupting(&times);
  while (interrupted < times) {
    CHECK_EQ(read(stream[0], &byte, 1), -1);
    CHECK_EQ(errno, EINTR);
    interrupted++;
  }
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 0), 0);
  CHECK_EQ(read(stream[0], &byte, 1), 1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  uvsig_flush(&f.sig);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  caught = stats.caught;
  CHECK(caught > 0);
  CHECK_EQ(a.signals, caught);
  close(stream[0]);
  close(stream[1]);
  fixture_close(&f);
}

static void a_read_goes_on_after_a_signal(void) {
  check_reader(0);
}

static void a_read_fails_with_eintr_twice_with_siginterrupt(void) {
  check_reader(2);
}

static void a_handler_that_replaced_ours_is_left_alone(void) {
  uvsig_stats_t stats;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  install_handler(SIGUSR1, count_foreign);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  CHECK_EQ(stats.replaced, 1);
  uvsig_stats(&f.sig, 0, &stats);
  CHECK_EQ(stats.replaced, 1);
  /* Only then. */
  recorder_start(&a, SIGUSR2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  uvsig_stats(&f.sig, SIGUSR2, &stats);
  CHECK_EQ(stats.replaced, 0);
  fixture_close(&f);
}

static void start_takes_a_replaced_signal_back_and_returns_it_to_the_replacer(
    void) {
  struct fixture g;

  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &g.sig);
  recorder_start(&a, SIGUSR1);
  install_handler(SIGUSR1, count_foreign);
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  run_until(&g.loop, &b.calls, 1);
  fixture_close(&f);
  fixture_close(&g);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
}

static void our_handler_put_back_after_stop_is_told_as_what_was_there(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  stop_and_put_back(&a);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void our_handler_put_back_after_stop_hands_on_to_the_previous(void) {
  struct sigaction ours;

  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  ours = stop_and_put_back(&a);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
  /* A new start works with it, and gives back what was there at first. */
  CHECK_EQ(sigaction(SIGUSR1, &ours, NULL), 0);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
  fixture_close(&f);
}

static void getsignal_ignore_and_default_tell_what_was_there(void) {
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
  raise(SIGUSR1); /* has no effect */
  CHECK_EQ(uvsig_default(SIGUSR1), UVSIG_IGNORED);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  install_handler(SIGUSR1, count_foreign);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_FOREIGN);
  install_handler(SIGUSR1, count_foreign);
  CHECK_EQ(uvsig_default(SIGUSR1), UVSIG_FOREIGN);
  CHECK_EQ(uvsig_getsignal(SIGKILL), UVSIG_DEFAULT);
}

static void default_then_raise(void) {
  uvsig_ignore(SIGUSR1);
  uvsig_default(SIGUSR1);
  raise(SIGUSR1);
}

static void a_defaulted_signal_has_its_own_effect_again(void) {
  int status = run_child(default_then_raise);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGUSR1);
}

static void ignore_and_default_refuse_a_watched_signal(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UV_EBUSY);
  CHECK_EQ(uvsig_default(SIGUSR1), UV_EBUSY);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

static void numbers_whose_action_cannot_be_changed_are_refused(void) {
  size_t i;

  for (i = 0; i < UNCATCHABLE; i++) {
    CHECK_EQ(uvsig_ignore(uncatchable[i]), UV_EINVAL);
    CHECK_EQ(uvsig_default(uncatchable[i]), UV_EINVAL);
    CHECK_EQ(uvsig_siginterrupt(uncatchable[i], 1), UV_EINVAL);
    if (uncatchable[i] != SIGKILL && uncatchable[i] != SIGSTOP)
      CHECK_EQ(uvsig_getsignal(uncatchable[i]), UV_EINVAL);
  }
  CHECK_EQ(uvsig_getsignal(SIGRTMIN - 1), UV_EINVAL);
  CHECK_EQ(uvsig_ignore(SIGRTMIN - 1), UV_EINVAL);
}

/* --- Death by a signal ---------------------------------------------------- */

static void interrupted_server(void) {
  uv_loop_t loop;
  uvsig_watcher_t w;
  uvsig_t sig;

  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uvsig_init(&loop, &sig, NULL), 0);
  CHECK_EQ(uvsig_watcher_init(&sig, &w), 0);
  CHECK_EQ(uvsig_watcher_start(&w, uvsig_default_int_handler, SIGINT), 0);
  raise(SIGINT);
  CHECK(uv_run(&loop, UV_RUN_DEFAULT) != 0);
  /* Not stopped: reraise wins against the watcher. */
  uvsig_reraise(SIGINT);
}

static void an_interrupt_ends_the_process_by_sigint_and_not_by_a_code(void) {
  int status = run_child(interrupted_server);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGINT);
}

static void block_and_reraise(void) {
  sigset_t all;

  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  uvsig_ignore(SIGTERM);
  uvsig_reraise(SIGTERM);
}

static void reraise_ends_by_a_blocked_and_ignored_signal_too(void) {
  int status = run_child(block_and_reraise);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

static void reraise_refuses_what_does_not_end_a_process(void) {
  static const int harmless[] = {SIGCHLD,
                                 SIGCONT,
                                 SIGSTOP,
                                 SIGTSTP,
                                 SIGTTIN,
                                 SIGTTOU,
                                 SIGURG,
                                 SIGWINCH,
                                 0,
                                 -1,
                                 4242,
                                 UVSIG_NSIG};
  size_t i;

  CHECK_EQ(uvsig_ignore(SIGCHLD), UVSIG_DEFAULT);
  for (i = 0; i < sizeof(harmless) / sizeof(*harmless); i++)
    CHECK_EQ(uvsig_reraise(harmless[i]), UV_EINVAL);
  CHECK_EQ(uvsig_getsignal(SIGCHLD), UVSIG_IGNORED);
}

#ifdef CLONE_NEWPID
/* Runs between the test and its PID 1. Leaves without exit(): a leak checker
 * cannot start its helper once the namespace has lost its first process. */
static void be_parent_of_pid_1(void) {
  int status;
  pid_t pid;

  if (unshare(CLONE_NEWPID) != 0)
    _exit(77);
  pid = fork();
  if (pid == 0) {
    uvsig_reraise(SIGTERM);
    _exit(1);
  }
  if (pid < 0 || UNINTERRUPTED(waitpid(pid, &status, 0)) != pid ||
      !WIFEXITED(status))
    _exit(2);
  _exit(WEXITSTATUS(status));
}
#endif

static void reraise_as_pid_1_exits_with_128_and_the_number(void) {
#ifdef CLONE_NEWPID
  int status;

  skip_under_valgrind("valgrind relies on a raise() that ends the process");
  status = run_child(be_parent_of_pid_1);
  CHECK(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77)
    skip_test("this user may not make a pid namespace");
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
#else
  skip_test("this system has no pid namespaces");
#endif
}

static void the_handler_keeps_errno(void) {
  uvsig_options_t options;
  unsigned i;

  uvsig_options_init(&options);
  options.buffer_size = 1;
  options.warn_on_full_buffer = 0;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  /* The last ones find a full pipe, which sets errno. */
  for (i = 0; i < BUDGET + 10; i++) {
    errno = 4242;
    kill(getpid(), SIGUSR1);
    CHECK_EQ(errno, 4242);
  }
  run_until(&f.loop, &a.signals, BUDGET + 10);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_default_disposition_comes_back),
      TEST(after_a_handler_with_one_call_others_come_back),
      TEST(an_ignored_signal_is_ignored_again),
      TEST(a_handler_comes_back_with_its_flags_and_mask),
      TEST(a_handler_without_siginfo_comes_back_too),
      TEST(the_disposition_comes_back_at_close_and_at_the_last_stop_only),
      TEST(the_handler_is_installed_with_the_flags_that_the_manual_says),
      TEST(siginterrupt_changes_our_handler_and_survives_later_starts),
      TEST(siginterrupt_leaves_other_handlers_alone),
      TEST(a_read_goes_on_after_a_signal),
      TEST(a_read_fails_with_eintr_twice_with_siginterrupt),
      TEST(a_handler_that_replaced_ours_is_left_alone),
      TEST(start_takes_a_replaced_signal_back_and_returns_it_to_the_replacer),
      TEST(our_handler_put_back_after_stop_is_told_as_what_was_there),
      TEST(our_handler_put_back_after_stop_hands_on_to_the_previous),
      TEST(getsignal_ignore_and_default_tell_what_was_there),
      TEST(a_defaulted_signal_has_its_own_effect_again),
      TEST(ignore_and_default_refuse_a_watched_signal),
      TEST(numbers_whose_action_cannot_be_changed_are_refused),
      TEST(an_interrupt_ends_the_process_by_sigint_and_not_by_a_code),
      TEST(reraise_ends_by_a_blocked_and_ignored_signal_too),
      TEST(reraise_refuses_what_does_not_end_a_process),
      TEST(reraise_as_pid_1_exits_with_128_and_the_number),
      TEST(the_handler_keeps_errno),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
