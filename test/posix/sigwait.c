/* SPDX-License-Identifier: MIT
 *
 * Waiting for a signal in a thread: what is taken, who sent it, the time that
 * is left after other signals. Also run with the library built as for systems
 * without sigtimedwait(2): test/scripts/fallback.sh.
 */

#include "../lib/harness.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

static sigset_t block(int signum) {
  sigset_t set = set_of(signum);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  return set;
}

static bool is_pending(int signum) {
  sigset_t set;

  CHECK_EQ(sigpending(&set), 0);
  return sigismember(&set, signum) == 1;
}

static void send_usr1(pid_t parent) {
  if (kill(parent, SIGUSR1) != 0)
    _exit(1);
}

static void queue_usr1(pid_t parent) {
  const union sigval value = {.sival_int = 4711};

  if (uvsig_sigqueue(parent, SIGUSR1, value) != 0)
    _exit(1);
}

/* --- What is taken -------------------------------------------------------- */

static void sigwait_returns_the_number_and_takes_the_signal(void) {
  sigset_t set = block(SIGUSR1);
  int signum = -1;

  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigwait(&set, &signum), 0);
  CHECK_EQ(signum, SIGUSR1);
  CHECK(!is_pending(SIGUSR1));
  /* Its default action would end this process. */
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

/* Signal 1, and whatever an earlier call has left in errno. */
static void the_first_signal_is_one_like_others(void) {
  sigset_t set = block(SIGHUP);
  uvsig_info_t info;

  raise(SIGHUP);
  errno = EINTR;
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, &info), 0);
  CHECK_EQ(info.signum, SIGHUP);
}

static void no_callback_runs_for_a_signal_that_sigwait_took(void) {
  sigset_t set;
  int signum;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  set = block(SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigwait(&set, &signum), 0);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  /* The next one is the watcher's again. */
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void one_of_two_pending_signals_is_taken_the_other_stays(void) {
  sigset_t set = block(SIGUSR1);
  int first;
  int second;

  block(SIGUSR2);
  sigaddset(&set, SIGUSR2);
  raise(SIGUSR1);
  raise(SIGUSR2);
  CHECK_EQ(uvsig_sigwait(&set, &first), 0);
  CHECK(is_pending(first == SIGUSR1 ? SIGUSR2 : SIGUSR1));
  CHECK(!is_pending(first));
  CHECK_EQ(uvsig_sigwait(&set, &second), 0);
  CHECK_EQ(first + second, SIGUSR1 + SIGUSR2);
}

static void queued_realtime_signals_are_taken_one_by_one(void) {
  sigset_t set = block(SIGRTMIN);
  union sigval value;
  uvsig_info_t info;
  int i;

  for (i = 1; i <= 3; i++) {
    value.sival_int = i;
    CHECK_EQ(uvsig_sigqueue(getpid(), SIGRTMIN, value), 0);
  }
  for (i = 1; i <= 3; i++) {
    CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
    CHECK_EQ(info.signum, SIGRTMIN);
    CHECK_EQ(info.value.sival_int, i);
  }
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, &info), UV_ETIMEDOUT);
}

static void the_disposition_and_the_mask_are_as_before(void) {
  sigset_t set = block(SIGUSR1);
  sigset_t mask;
  int signum;

  CHECK_EQ(uvsig_ignore(SIGUSR2), UVSIG_DEFAULT);
  sigaddset(&set, SIGUSR2);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigwait(&set, &signum), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_IGNORED);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
  CHECK_EQ(sigismember(&mask, SIGUSR1), 1);
  CHECK_EQ(sigismember(&mask, SIGUSR2), 0);
}

/* --- Who sent it ---------------------------------------------------------- */

static void sigwaitinfo_names_the_sender_of_a_kill(void) {
  sigset_t set = block(SIGUSR1);
  uvsig_info_t info;
  pid_t child;

  memset(&info, 0x5a, sizeof(info));
  child = send_from_child(send_usr1);
  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.signum, SIGUSR1);
  CHECK_EQ(info.count, 1);
  CHECK_EQ(info.flags, 0);
  CHECK_EQ(info.code, SI_USER);
  CHECK_EQ(info.error, 0);
  CHECK_EQ(info.pid, child);
  CHECK_EQ(info.uid, getuid());
  /* What a kill() does not come with. */
  CHECK_EQ(info.status, 0);
  CHECK_EQ(info.band, 0);
  CHECK(info.value.sival_ptr == NULL);
}

static void sigwaitinfo_has_the_value_of_a_queued_signal(void) {
  sigset_t set = block(SIGUSR1);
  uvsig_info_t info;
  pid_t child = send_from_child(queue_usr1);

  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.code, SI_QUEUE);
  CHECK_EQ(info.pid, child);
  CHECK_EQ(info.uid, getuid());
  CHECK_EQ(info.value.sival_int, 4711);
}

static void sigwaitinfo_has_the_status_of_a_child(void) {
  sigset_t set = block(SIGCHLD);
  uvsig_info_t info;
  pid_t child = fork();
  int status;

  CHECK(child >= 0);
  if (child == 0)
    _exit(7);
  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.code, CLD_EXITED);
  CHECK_EQ(info.pid, child);
  CHECK_EQ(info.status, 7);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
}

static void sigwaitinfo_may_be_told_to_keep_it_to_itself(void) {
  sigset_t set = block(SIGUSR1);

  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigwaitinfo(&set, NULL), 0);
  CHECK(!is_pending(SIGUSR1));
}

/* --- Time ----------------------------------------------------------------- */

static void sigtimedwait_with_0_takes_what_is_pending(void) {
  sigset_t set = block(SIGUSR1);
  uvsig_info_t info;

  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, &info), 0);
  CHECK_EQ(info.signum, SIGUSR1);
  CHECK_EQ(info.pid, getpid());
}

static void sigtimedwait_times_out_and_leaves_info_alone(void) {
  sigset_t set = block(SIGUSR1);
  uvsig_info_t info;
  uvsig_info_t before;

  memset(&info, 0x5a, sizeof(info));
  before = info;
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, &info), UV_ETIMEDOUT);
  CHECK_EQ(uvsig_sigtimedwait(&set, 0.01, &info), UV_ETIMEDOUT);
  CHECK_EQ(memcmp(&info, &before, sizeof(info)), 0);
}

static void an_empty_set_times_out(void) {
  sigset_t set = set_of(0);

  CHECK_EQ(uvsig_sigtimedwait(&set, 0, NULL), UV_ETIMEDOUT);
  CHECK_EQ(uvsig_sigtimedwait(&set, 0.01, NULL), UV_ETIMEDOUT);
}

/* Never early; how late is the system's business. */
static void a_timeout_is_never_early(void) {
  sigset_t set = block(SIGUSR1);
  uint64_t start = uv_hrtime();

  CHECK_EQ(uvsig_sigtimedwait(&set, 0.05, NULL), UV_ETIMEDOUT);
  CHECK(uv_hrtime() - start >= 50 * 1000 * 1000);
}

static void infinity_and_what_is_beyond_all_bounds_is_no_limit(void) {
  sigset_t set = block(SIGUSR1);

  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigtimedwait(&set, INFINITY, NULL), 0);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigtimedwait(&set, 1e300, NULL), 0);
}

/* --- Other signals, other threads ----------------------------------------- */

static atomic_int handled;
static atomic_bool over; /* the wait */
static uint64_t busy_until;

static void count(int signum) {
  (void) signum;
  handled++;
}

/* Longer than the wait's deadline. */
static void take_all_the_time(int signum) {
  (void) signum;
  handled++;
  busy_until = uv_hrtime() + 150 * 1000 * 1000;
  while (uv_hrtime() < busy_until)
    ;
}

struct sender {
  pthread_t waiter;
  int others;
  int last;
};

/* Foreign signals first, then, if any, the one that is waited for. Each is sent
 * when the one before has been handled, so none is merged. */
static void* send_signals(void* argument) {
  const struct sender* sender = argument;
  int i;

  for (i = 0; i < sender->others && !over; i++) {
    CHECK_EQ(uvsig_pthread_kill(sender->waiter, SIGUSR2), 0);
    while (handled <= i && !over)
      sched_yield();
  }
  if (sender->last != 0)
    CHECK_EQ(uvsig_pthread_kill(sender->waiter, sender->last), 0);
  return NULL;
}

static pthread_t start_sender(struct sender* sender) {
  pthread_t thread;
  sigset_t all;
  sigset_t old;

  sender->waiter = pthread_self();
  sigfillset(&all);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &all, &old), 0);
  CHECK_EQ(pthread_create(&thread, NULL, send_signals, sender), 0);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
  return thread;
}

static void signals_outside_the_set_do_not_end_a_wait(void) {
  struct sender sender = {.others = 3, .last = SIGUSR1};
  sigset_t set = block(SIGUSR1);
  uvsig_info_t info;
  pthread_t thread;

  install_handler(SIGUSR2, count);
  thread = start_sender(&sender);
  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
  CHECK_EQ(info.signum, SIGUSR1);
  CHECK_EQ(handled, 3);
  CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void signals_outside_the_set_do_not_prolong_a_wait(void) {
  struct sender sender = {.others = INT_MAX, .last = 0};
  sigset_t set = block(SIGUSR1);
  uvsig_info_t info;
  pthread_t thread;
  int before;

  install_handler(SIGUSR2, count);
  thread = start_sender(&sender);
  /* They go on until it ends: started anew each time, it never would. Once more
   * where the other thread was not there to send any. */
  do {
    before = handled;
    CHECK_EQ(uvsig_sigtimedwait(&set, 0.05, &info), UV_ETIMEDOUT);
  } while (handled == before);
  over = true;
  CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void a_handler_that_outlasts_the_deadline_does_not_falsify_a_wait(void) {
  struct sender sender = {.others = 1, .last = 0};
  sigset_t set = block(SIGUSR1);
  uvsig_info_t info;
  uvsig_info_t before;
  pthread_t thread;

  install_handler(SIGUSR2, take_all_the_time);
  memset(&info, 0x5a, sizeof(info));
  before = info;
  thread = start_sender(&sender);
  /* Until the handler ran in a wait, and not between two of them. */
  do
    CHECK_EQ(uvsig_sigtimedwait(&set, 0.05, &info), UV_ETIMEDOUT);
  while (handled == 0);
  CHECK_EQ(memcmp(&info, &before, sizeof(info)), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void another_threads_pthread_kill_ends_a_wait(void) {
  struct sender sender = {.others = 0, .last = SIGUSR1};
  sigset_t set = block(SIGUSR1);
  pthread_t thread = start_sender(&sender);
  int signum;

  CHECK_EQ(uvsig_sigwait(&set, &signum), 0);
  CHECK_EQ(signum, SIGUSR1);
  CHECK_EQ(pthread_join(thread, NULL), 0);
}

struct waiter {
  sigset_t set;
  uvsig_info_t info;
};

static void* wait_in_thread(void* argument) {
  struct waiter* waiter = argument;

  CHECK_EQ(uvsig_sigwaitinfo(&waiter->set, &waiter->info), 0);
  return NULL;
}

/* Two threads wait for one signal each, and this one goes on meanwhile. */
static void a_wait_in_one_thread_does_not_stop_others(void) {
  struct waiter waiters[2];
  pthread_t threads[2];
  int i;

  block(SIGUSR1);
  block(SIGUSR2);
  waiters[0].set = set_of(SIGUSR1);
  waiters[1].set = set_of(SIGUSR2);
  for (i = 0; i < 2; i++)
    CHECK_EQ(pthread_create(&threads[i], NULL, wait_in_thread, &waiters[i]), 0);
  CHECK_EQ(kill(getpid(), SIGUSR2), 0);
  CHECK_EQ(pthread_join(threads[1], NULL), 0);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(pthread_join(threads[0], NULL), 0);
  CHECK_EQ(waiters[0].info.signum, SIGUSR1);
  CHECK_EQ(waiters[1].info.signum, SIGUSR2);
}

/* Two threads wait for the same signals: each signal is taken once. */
static void waits_for_the_same_signal_share_what_comes(void) {
  struct waiter waiters[2];
  pthread_t threads[2];
  union sigval value;
  int i;

  block(SIGRTMIN);
  for (i = 0; i < 2; i++) {
    waiters[i].set = set_of(SIGRTMIN);
    CHECK_EQ(pthread_create(&threads[i], NULL, wait_in_thread, &waiters[i]), 0);
  }
  for (i = 1; i <= 2; i++) {
    value.sival_int = i;
    CHECK_EQ(uvsig_sigqueue(getpid(), SIGRTMIN, value), 0);
  }
  for (i = 0; i < 2; i++)
    CHECK_EQ(pthread_join(threads[i], NULL), 0);
  CHECK_EQ(waiters[0].info.value.sival_int + waiters[1].info.value.sival_int,
           3);
}

/* --- Bad input ------------------------------------------------------------ */

static void bad_arguments_of_sigwait_are_refused(void) {
  sigset_t empty = set_of(0);
  sigset_t set = block(SIGUSR1);
  int signum = 4711;

  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigwait(NULL, &signum), UV_EINVAL);
  CHECK_EQ(uvsig_sigwait(&set, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_sigwait(&empty, &signum), UV_EINVAL);
  CHECK_EQ(signum, 4711);
  CHECK(is_pending(SIGUSR1));
}

static void bad_arguments_of_sigwaitinfo_are_refused(void) {
  sigset_t empty = set_of(0);
  uvsig_info_t info;
  uvsig_info_t before;

  memset(&info, 0x5a, sizeof(info));
  before = info;
  CHECK_EQ(uvsig_sigwaitinfo(NULL, &info), UV_EINVAL);
  CHECK_EQ(uvsig_sigwaitinfo(&empty, &info), UV_EINVAL);
  CHECK_EQ(memcmp(&info, &before, sizeof(info)), 0);
}

static void bad_arguments_of_sigtimedwait_are_refused_before_any_waiting(void) {
  static const double bad[] = {-1, -1e-9, -INFINITY, NAN};
  sigset_t set = block(SIGUSR1);
  sigset_t empty = set_of(0);
  size_t i;

  raise(SIGUSR1);
  for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
    CHECK_EQ(uvsig_sigtimedwait(&set, bad[i], NULL), UV_EINVAL);
  CHECK_EQ(uvsig_sigtimedwait(NULL, 0, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_sigtimedwait(&empty, INFINITY, NULL), UV_EINVAL);
  CHECK(is_pending(SIGUSR1));
}

/* sigaddset() lets neither 0 nor NSIG into a set, nor libc's own numbers;
 * memory that was never a set may have them. */
static void set_members_that_are_no_signals_are_passed_over(void) {
  sigset_t set = set_of(0);
  sigset_t valid;
  sigset_t all;
  int signum;

  CHECK_EQ(sigaddset(&set, 0), -1);
  CHECK_EQ(sigaddset(&set, UVSIG_NSIG), -1);
  CHECK_EQ(sigaddset(&set, -1), -1);
  memset(&set, 0xff, sizeof(set));
  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&valid, signum) == 1)
      sigdelset(&set, signum);
  sigaddset(&set, SIGKILL);
  sigaddset(&set, SIGSTOP);
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, NULL), UV_ETIMEDOUT);
  CHECK_EQ(uvsig_sigwait(&set, &signum), UV_EINVAL);
  /* And they do not keep the others from being taken. */
  block(SIGUSR1);
  memset(&all, 0xff, sizeof(all));
  raise(SIGUSR1);
  CHECK_EQ(uvsig_sigwait(&all, &signum), 0);
  CHECK_EQ(signum, SIGUSR1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(sigwait_returns_the_number_and_takes_the_signal),
      TEST(the_first_signal_is_one_like_others),
      TEST(no_callback_runs_for_a_signal_that_sigwait_took),
      TEST(one_of_two_pending_signals_is_taken_the_other_stays),
      TEST(queued_realtime_signals_are_taken_one_by_one),
      TEST(the_disposition_and_the_mask_are_as_before),
      TEST(sigwaitinfo_names_the_sender_of_a_kill),
      TEST(sigwaitinfo_has_the_value_of_a_queued_signal),
      TEST(sigwaitinfo_has_the_status_of_a_child),
      TEST(sigwaitinfo_may_be_told_to_keep_it_to_itself),
      TEST(sigtimedwait_with_0_takes_what_is_pending),
      TEST(sigtimedwait_times_out_and_leaves_info_alone),
      TEST(an_empty_set_times_out),
      TEST(a_timeout_is_never_early),
      TEST(infinity_and_what_is_beyond_all_bounds_is_no_limit),
      TEST(signals_outside_the_set_do_not_end_a_wait),
      TEST(signals_outside_the_set_do_not_prolong_a_wait),
      TEST(a_handler_that_outlasts_the_deadline_does_not_falsify_a_wait),
      TEST(another_threads_pthread_kill_ends_a_wait),
      TEST(a_wait_in_one_thread_does_not_stop_others),
      TEST(waits_for_the_same_signal_share_what_comes),
      TEST(bad_arguments_of_sigwait_are_refused),
      TEST(bad_arguments_of_sigwaitinfo_are_refused),
      TEST(bad_arguments_of_sigtimedwait_are_refused_before_any_waiting),
      TEST(set_members_that_are_no_signals_are_passed_over),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
