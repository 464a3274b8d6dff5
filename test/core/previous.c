/* SPDX-License-Identifier: MIT
 *
 * The handler that was there before: called too, called once, put back by
 * somebody else, in whichever order two libraries come and go.
 */

#include "../lib/harness.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b;

/* --- The previous handler ------------------------------------------------- */

static volatile sig_atomic_t calls;
static volatile sig_atomic_t last_signum;
static volatile sig_atomic_t last_pid;
static volatile sig_atomic_t had_context;
static volatile sig_atomic_t codes[2]; /* of the first calls */
static volatile sig_atomic_t values[2];
static volatile sig_atomic_t was_first;
static int own[2]; /* a wakeup fd: what the library has written by then */

static void note_call(int signum) {
  int saved_errno = errno;
  char byte;

  calls++;
  last_signum = signum;
  if (own[0] > 0)
    was_first = read(own[0], &byte, 1) == -1;
  errno = saved_errno;
}

static void plain(int signum) {
  note_call(signum);
}

static void with_info(int signum, siginfo_t* info, void* context) {
  if (calls < 2) {
    codes[calls] = info->si_code;
    values[calls] = info->si_value.sival_int;
  }
  note_call(signum);
  last_pid = info->si_pid;
  had_context = context != NULL;
}

static void install(int signum, int flags) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  if ((flags & SA_SIGINFO) != 0)
    action.sa_sigaction = with_info;
  else
    action.sa_handler = plain;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(signum, &action, NULL), 0);
}

static void start_chained(struct recorder* r, int signum) {
  recorder_init(r, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&r->w, UVSIG_CHAIN), 0);
  recorder_start(r, signum);
}

/* --- Chaining ------------------------------------------------------------- */

static void chain_calls_the_previous_handler_first_and_like_the_kernel(void) {
  CHECK_EQ(pipe2(own, O_NONBLOCK | O_CLOEXEC), 0);
  install(SIGUSR1, SA_SIGINFO);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  CHECK_EQ(uvsig_set_wakeup_fd(own[1], 1, NULL), 0);
  CHECK_EQ(kill(getpid(), SIGUSR1), 0);
  CHECK_EQ(calls, 1);
  CHECK_EQ(was_first, 1);
  CHECK_EQ(last_signum, SIGUSR1);
  CHECK_EQ(last_pid, getpid());
  CHECK_EQ(had_context, 1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, NULL), 0);
  fixture_close(&f);
  raise(SIGUSR1);
  CHECK_EQ(calls, 2);
  close(own[0]);
  close(own[1]);
}

static void chain_calls_a_handler_without_siginfo(void) {
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  CHECK_EQ(last_signum, SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void chain_lasts_as_long_as_one_such_watcher(void) {
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  recorder_init(&b, &f.sig);
  recorder_start(&b, SIGUSR1);
  start_chained(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  /* Re-targeted, it is gone from here, too. */
  recorder_start(&a, SIGUSR1);
  recorder_start(&a, SIGUSR2);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  fixture_close(&f);
}

static void chain_has_nothing_to_call_for_default_and_ignore(void) {
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_ignore(SIGUSR2), UVSIG_DEFAULT);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
  recorder_start(&b, SIGUSR2);
  raise(SIGUSR2);
  run_until(&f.loop, &b.calls, 1);
  fixture_close(&f);
}

static void a_handler_with_resethand_is_called_once_and_gone_after_stop(void) {
  install(SIGUSR1, SA_RESETHAND);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  raise_times(SIGUSR1, 3);
  CHECK_EQ(calls, 1);
  run_until(&f.loop, &a.calls, 3);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

static void a_handler_with_resethand_that_was_not_called_comes_back(void) {
  install(SIGUSR1, SA_RESETHAND);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  fixture_close(&f);
  CHECK(action_of(SIGUSR1).sa_handler == plain);
  CHECK((action_of(SIGUSR1).sa_flags & (int) SA_RESETHAND) != 0);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
}

static sigjmp_buf context;

static void jump_once(int signum) {
  note_call(signum);
  if (calls == 1)
    siglongjmp(context, 1);
}

/* It never comes back to the library's handler: nobody must wait for that. */
static void a_previous_handler_may_leave_by_a_jump(void) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = jump_once;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  if (sigsetjmp(context, 1) == 0)
    raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  /* Nor is the next one, in the same place of the stack, taken for that. */
  raise(SIGUSR1);
  CHECK_EQ(calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  check_books(&f.sig, SIGUSR1, 0, 1);
  fixture_close(&f);
}

/* --- Two libraries -------------------------------------------------------- */

/* Other libraries. Each saves what it finds, calls it, and puts it back. */
enum { OTHERS = 6, ENDLESS = 100 };
static struct sigaction saved[OTHERS];
static int calls_of[OTHERS];

/* What another thread does while one of them runs. Volatile: the compiler takes
 * raise() for a function that calls nothing here. */
static void (*volatile meanwhile)(void);

static void call_on(int which, int signum, siginfo_t* info, void* unused) {
  CHECK(++calls_of[which] < ENDLESS); /* not until the stack is full */
  if (meanwhile != NULL)
    meanwhile();
  call_handler(&saved[which], signum, info, unused);
}

#define OTHER(n)                                                               \
 static void other_##n(int signum, siginfo_t* info, void* unused) {            \
  call_on(n, signum, info, unused);                                            \
 }
OTHER(0)
OTHER(1)
OTHER(2)
OTHER(3)
OTHER(4)
OTHER(5)

static void start_one_of(int which) {
  static void (*const others[OTHERS])(int, siginfo_t*, void*) = {
      other_0, other_1, other_2, other_3, other_4, other_5};
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = others[which];
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGUSR1, &action, &saved[which]), 0);
}

static void start_other(void) {
  start_one_of(0);
}

static void stop_other(void) {
  CHECK_EQ(sigaction(SIGUSR1, &saved[0], NULL), 0);
}

static uint64_t replaced(void) {
  uvsig_stats_t stats;

  uvsig_stats(&f.sig, SIGUSR1, &stats);
  return stats.replaced;
}

static void raise_and_check(int expected_other, unsigned long expected_ours) {
  raise(SIGUSR1);
  uvsig_flush(&f.sig);
  CHECK_EQ(calls_of[0], expected_other);
  CHECK_EQ(a.calls, expected_ours);
}

static void ours_first_and_first_to_go(void) {
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  start_other();
  raise_and_check(1, 1);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(replaced(), 1);
  /* The other one goes on, and calls who was there before us. */
  raise_and_check(2, 1);
  CHECK_EQ(calls, 2);
  /* Its own stop puts ours back, which nobody watches any more. */
  stop_other();
  raise_and_check(2, 1);
  CHECK_EQ(calls, 3);
  CHECK(action_of(SIGUSR1).sa_handler == plain);
  fixture_close(&f);
}

/* It puts back what it found, over ours: that is its right to do. */
static void ours_second_and_last_to_go(void) {
  install(SIGUSR1, 0);
  start_other();
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  stop_other();
  raise_and_check(0, 0);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(replaced(), 1);
  CHECK(action_of(SIGUSR1).sa_handler == plain);
  fixture_close(&f);
}

/* We come back on top of the other one, which holds ours as its previous. */
static void start_again_over_the_other(void) {
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  start_other();
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_chained(&a, SIGUSR1);
}

/* It puts our first handler back, though the second one was there: what is
 * watched is told all the same. */
static void an_older_handler_of_ours_put_back_still_tells_the_watchers(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  start_other();
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGUSR1);
  stop_other();
  raise_and_check(0, 1);
  raise_and_check(0, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  fixture_close(&f);
}

/* Who has gone again can hold nothing: no handler is used up. */
static void others_that_come_and_go_are_always_called(void) {
  int i;

  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  for (i = 1; i <= 10; i++) {
    start_chained(&a, SIGUSR1);
    start_other();
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    stop_other();
    raise(SIGUSR1); /* ours, put back, makes way */
    CHECK_EQ(calls, 2 * i - 1);
    start_chained(&a, SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(calls, 2 * i);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    CHECK(action_of(SIGUSR1).sa_handler == plain);
  }
  fixture_close(&f);
}

/* Others put back what they found only where nobody has come after them. */
static void stop_other_unless_covered(void) {
  if (action_of(SIGUSR1).sa_sigaction == other_0)
    stop_other();
}

/* It stays below ours, and saves ours when it comes again. */
static void come_again_over_ours(void) {
  start_other();
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  raise_and_check(1, 1);
  stop_other_unless_covered();
  start_other();
}

static void check_one_more(void) {
  raise_and_check(2, 2);
  CHECK_EQ(a.signals, 2);
  fixture_close(&f);
}

/* What it puts back is ours, which has it below, with ours as its previous. */
static void the_other_gone_again_from_over_ours_does_not_go_round(void) {
  come_again_over_ours();
  stop_other_unless_covered();
  check_one_more();
}

/* Of a handler that was there before both. */
static void come_again_over_ours_over_both(void) {
  start_again_over_the_other();
  stop_other_unless_covered();
  start_other();
}

static void who_is_below_the_other_is_called_when_it_has_gone_again(void) {
  come_again_over_ours_over_both();
  stop_other_unless_covered();
  raise_and_check(1, 1);
  CHECK_EQ(calls, 1);
  fixture_close(&f);
}

/* The other has covered ours, and has been covered, and both are gone. */
static void come_over_each_other_and_go(void) {
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  start_other();
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_chained(&a, SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  stop_other();
}

/* Then the program installs a handler, and another library covers ours. */
static void check_what_came_later(void) {
  install_handler(SIGUSR1, count_foreign);
  start_chained(&a, SIGUSR1);
  start_one_of(1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_chained(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(calls_of[1], 1);
  CHECK_EQ(foreign_calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(sigaction(SIGUSR1, &saved[1], NULL), 0);
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 2);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
  CHECK_EQ(calls_of[0], 0);
  fixture_close(&f);
}

static void once_all_are_gone_the_first_is_no_more_below(void) {
  install(SIGUSR1, 0);
  come_over_each_other_and_go();
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  check_what_came_later();
  CHECK_EQ(calls, 1);
}

/* Ours is still there, without a watcher, when the program replaces it. */
static void nor_is_the_default_action_which_was_the_first(void) {
  come_over_each_other_and_go();
  check_what_came_later();
}

/* Each saves our handler, and ours comes again on top of each. Four actions are
 * saved: the oldest and the three newest, which are called once. */
static void coming_back_again_and_again_does_not_go_round(void) {
  int i;
  int j;

  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  for (i = 0; i < OTHERS; i++) {
    start_chained(&a, SIGUSR1);
    start_one_of(i);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    start_chained(&a, SIGUSR1);
    memset(calls_of, 0, sizeof(calls_of));
    calls = 0;
    raise(SIGUSR1);
    run_until(&f.loop, &a.calls, 1);
    for (j = 0; j <= i; j++)
      CHECK_EQ(calls_of[j], j > i - 3);
    CHECK_EQ(calls, 1);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  }
  fixture_close(&f);
}

/* In the last of the others: one more covers ours, which comes again, and too
 * many actions are saved. So all of them come down, this one too. */
static void come_down_meanwhile(void) {
  meanwhile = NULL;
  start_one_of(3);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_chained(&a, SIGUSR1);
}

static void who_comes_down_while_it_runs_is_called_once(void) {
  int i;

  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  for (i = 0; i < 3; i++) {
    start_one_of(i);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    start_chained(&a, SIGUSR1);
  }
  meanwhile = come_down_meanwhile;
  raise(SIGUSR1);
  CHECK_EQ(calls_of[3], 0);
  CHECK_EQ(calls_of[2], 1);
  CHECK_EQ(calls_of[1], 1);
  CHECK_EQ(calls_of[0], 0); /* the oldest has gone */
  CHECK_EQ(calls, 1);
  fixture_close(&f);
}

static void stop_meanwhile(void) {
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
}

/* Ours has called it, and it calls ours when nothing watches any more. */
static void who_is_below_the_other_is_called_though_the_stop_is_faster(void) {
  start_again_over_the_other();
  meanwhile = stop_meanwhile;
  raise(SIGUSR1);
  meanwhile = NULL;
  CHECK_EQ(calls_of[0], 1);
  CHECK_EQ(calls, 1);
  raise(SIGUSR1);
  CHECK_EQ(calls_of[0], 2);
  CHECK_EQ(calls, 2);
  fixture_close(&f);
}

/* A third one puts ours back, which nothing watches: ours calls the other,
 * which calls ours once more. */
static void who_is_below_the_other_is_called_when_a_third_has_gone(void) {
  start_again_over_the_other();
  start_one_of(1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(sigaction(SIGUSR1, &saved[1], NULL), 0);
  raise(SIGUSR1);
  CHECK_EQ(calls_of[0], 1);
  CHECK_EQ(calls, 1);
  CHECK(action_of(SIGUSR1).sa_sigaction == other_0);
  raise(SIGUSR1);
  CHECK_EQ(calls_of[0], 2);
  CHECK_EQ(calls, 2);
  CHECK_EQ(calls_of[1], 0);
  fixture_close(&f);
}

/* They hand on the number alone. */
static struct sigaction below[2];
static int calls_of_silent[2];

static void call_silently(int which, int signum) {
  CHECK(++calls_of_silent[which] < ENDLESS);
  below[which].sa_sigaction(signum, NULL, NULL);
}

static void silent_0(int signum) {
  call_silently(0, signum);
}

static void silent_1(int signum) {
  call_silently(1, signum);
}

static void start_silent(int which) {
  below[which] = action_of(SIGUSR1);
  install_handler(SIGUSR1, which == 0 ? silent_0 : silent_1);
}

static void record_unknown(uvsig_watcher_t* w,
                           int signum,
                           const uvsig_info_t* info) {
  CHECK_EQ(info->flags, UVSIG_INFO_NONE);
  record(w, signum, info);
}

static void a_handler_on_top_that_passes_no_siginfo_on_is_survived(void) {
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  CHECK_EQ(uvsig_watcher_start(&a.w, record_unknown, SIGUSR1), 0);
  start_silent(0);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void raise_and_check_silent(int first,
                                   int second,
                                   int below_all,
                                   unsigned long ours) {
  raise_and_check(0, ours);
  CHECK_EQ(calls_of_silent[0], first);
  CHECK_EQ(calls_of_silent[1], second);
  CHECK_EQ(calls, below_all);
}

/* Of those that ours covers, the last is called, and what was there first. */
static void handlers_that_pass_no_siginfo_on_do_not_go_round(void) {
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  start_silent(0);
  raise_and_check_silent(1, 0, 1, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise_and_check_silent(2, 0, 2, 1);
  start_chained(&a, SIGUSR1);
  raise_and_check_silent(3, 0, 3, 1);
  start_silent(1);
  raise_and_check_silent(3, 1, 4, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise_and_check_silent(3, 2, 5, 2);
  start_chained(&a, SIGUSR1);
  raise_and_check_silent(3, 3, 6, 1);
  /* One of them comes again, over ours over both. */
  start_silent(0);
  raise_and_check_silent(4, 3, 7, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_chained(&a, SIGUSR1);
  raise_and_check_silent(5, 3, 8, 1);
  /* It goes, and so puts ours back: the other one comes back, too. */
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(sigaction(SIGUSR1, &below[0], NULL), 0);
  raise_and_check_silent(5, 4, 9, 1);
  fixture_close(&f);
}

static void put_spent_back(void) {
  install(SIGUSR1, SA_RESETHAND);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  stop_and_put_back(&a);
  raise(SIGUSR1);
}

static void resethand_is_over_for_who_puts_ours_back_too(void) {
  int status = run_child(put_spent_back);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGUSR1);
}

static void raise_in_child(void) {
  raise(SIGUSR1);
  CHECK_EQ(calls_of[0], 1);
  CHECK_EQ(calls, 1);
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  raise_and_check(2, 1);
  CHECK_EQ(calls, 2);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise_and_check(3, 1);
  CHECK_EQ(calls, 3);
}

static void a_child_calls_each_of_them_once(void) {
  int status;
  pid_t child;

  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  start_other();
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    raise_in_child();
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK_EQ(status, 0);
  raise_and_check(1, 1);
  fixture_close(&f);
}

static void die_by_put_back(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  stop_and_put_back(&a);
  raise(SIGUSR1);
}

static void our_handler_put_back_lets_a_deadly_signal_be_deadly(void) {
  int status = run_child(die_by_put_back);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGUSR1);
}

static void our_handler_put_back_lets_an_ignored_signal_be_ignored(void) {
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  die_by_put_back();
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
  fixture_close(&f);
}

/* It has been started and stopped, and somebody has put ours back. */
static void put_ours_back(int signum, int flags) {
  install(signum, flags);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, signum);
  stop_and_put_back(&a);
}

/* Values up from 42. Unblocking a signal delivers it, also where a tool holds
 * back what sigqueue() sends. */
static void queue_held_values(int signum, int n) {
  sigset_t set = set_of(signum);
  union sigval value = {.sival_int = 42};

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  for (; n > 0; n--, value.sival_int++)
    CHECK_EQ(sigqueue(getpid(), signum, value), 0);
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
}

static void check_queued(int n) {
  int i;

  CHECK_EQ(calls, n);
  for (i = 0; i < n; i++) {
    CHECK_EQ(codes[i], SI_QUEUE);
    CHECK_EQ(values[i], 42 + i);
  }
}

static void our_handler_put_back_lets_the_previous_one_see_who_sent_it(void) {
  const int signums[] = {SIGUSR1, SIGRTMIN + 1};
  int i;

  for (i = 0; i < 2; i++) {
    calls = 0;
    put_ours_back(signums[i], SA_SIGINFO);
    queue_held_values(signums[i], 1);
    check_queued(1);
    CHECK_EQ(last_signum, signums[i]);
    CHECK_EQ(last_pid, getpid());
    CHECK(action_of(signums[i]).sa_sigaction == with_info);
    fixture_close(&f);
  }
}

static void our_handler_put_back_lets_a_handler_with_resethand_go(void) {
  put_ours_back(SIGUSR1, SA_SIGINFO | (int) SA_RESETHAND);
  queue_held_values(SIGUSR1, 1);
  check_queued(1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  fixture_close(&f);
}

/* The kernel had its one call back, and has it no more. */
static void our_handler_put_back_and_watched_again_calls_once(void) {
  put_ours_back(SIGUSR1, (int) SA_RESETHAND);
  start_chained(&a, SIGUSR1);
  raise_times(SIGUSR1, 2);
  CHECK_EQ(calls, 1);
  run_until(&f.loop, &a.calls, 2);
  fixture_close(&f);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

static void our_handler_put_back_and_watched_again_may_be_covered(void) {
  struct sigaction ours;

  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  ours = action_of(SIGUSR1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK_EQ(sigaction(SIGUSR1, &ours, NULL), 0);
  start_chained(&a, SIGUSR1);
  start_other();
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise(SIGUSR1);
  CHECK_EQ(calls_of[0], 1);
  CHECK_EQ(calls, 1);
  fixture_close(&f);
}

static void our_handler_put_back_keeps_the_order_of_queued_signals(void) {
  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer keeps one of several signals of a number");
  put_ours_back(SIGRTMIN + 1, SA_SIGINFO);
  queue_held_values(SIGRTMIN + 1, 2);
  check_queued(2);
  fixture_close(&f);
}

static void two_uvsig_share_the_previous_action(void) {
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  fixture_open(&g, NULL);
  start_chained(&a, SIGUSR1);
  recorder_init(&b, &g.sig);
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1);
  fixture_close(&f);
  raise(SIGUSR1);
  CHECK_EQ(calls, 1); /* nobody wants the chain any more */
  run_until(&g.loop, &b.calls, 2);
  fixture_close(&g);
  CHECK(action_of(SIGUSR1).sa_handler == plain);
}

/* --- Stacks --------------------------------------------------------------- */

/* What a handler may use where the thread's own stack is there for it, and an
 * alternate stack that is too small for that, with an end that shows. Far from
 * the thread's own: valgrind takes a jump of less than 2 MB for a frame. */
enum { MUCH = 256 * 1024, LITTLE = 64 * 1024, GUARD = 4 * 1024 * 1024 };

static char* alternate;
static size_t alternate_size;
static volatile sig_atomic_t was_alternate;

/* The frame, and not a local: sanitizers may have those elsewhere. */
static void note_stack(int signum) {
  uintptr_t frame = (uintptr_t) __builtin_frame_address(0);

  was_alternate = frame - (uintptr_t) alternate < alternate_size;
  note_call(signum);
}

static void need_much(int signum) {
  volatile char room[MUCH];
  size_t i;

  for (i = 0; i < sizeof(room); i += 1024)
    room[i] = (char) signum;
  note_stack(signum);
}

static void raise_with_alternate_stack(void* size) {
  stack_t stack;
  stack_t before;
  char* start;

  alternate_size = *(size_t*) size;
  start = mmap(NULL,
               GUARD + alternate_size + GUARD,
               PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS,
               -1,
               0);
  CHECK(start != MAP_FAILED);
  alternate = start + GUARD;
  CHECK_EQ(mprotect(alternate, alternate_size, PROT_READ | PROT_WRITE), 0);
  memset(&stack, 0, sizeof(stack));
  stack.ss_sp = alternate;
  stack.ss_size = alternate_size;
  CHECK_EQ(sigaltstack(&stack, &before), 0);
  raise(SIGUSR1);
  CHECK_EQ(sigaltstack(&before, NULL), 0);
  CHECK_EQ(munmap(start, GUARD + alternate_size + GUARD), 0);
}

static void chain_with_alternate_stack(void (*handler)(int),
                                       int flags,
                                       size_t size) {
  struct sigaction action;
  uv_thread_t thread;

  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  CHECK_EQ(action_of(SIGUSR1).sa_flags & SA_ONSTACK, flags);
  CHECK_EQ(uv_thread_create(&thread, raise_with_alternate_stack, &size), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(calls, 1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void a_handler_without_onstack_has_the_threads_own_stack(void) {
  chain_with_alternate_stack(need_much, 0, LITTLE);
  CHECK_EQ(was_alternate, 0);
}

static void a_handler_with_onstack_has_the_alternate_stack(void) {
  chain_with_alternate_stack(note_stack, SA_ONSTACK, 16 * MUCH);
  CHECK_EQ(was_alternate, 1);
}

static void on_uv_signal(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
}

/* libuv's fits, and so ours may have what else needs an alternate stack. */
static void libuvs_handler_is_no_reason_to_leave_the_alternate_stack(void) {
  uv_signal_t handle;

  fixture_open(&f, NULL);
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uv_signal_start(&handle, on_uv_signal, SIGUSR1), 0);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_SHARE), 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK((action_of(SIGUSR1).sa_flags & SA_ONSTACK) != 0);
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&f);
}

/* A foreign handler that changes to a stack of its own before it chains. */
#ifdef HAVE_GETCONTEXT
static ucontext_t here;
static ucontext_t there;
static struct {
  int signum;
  siginfo_t* info;
  void* where;
} passed;

static void chain_there(void) {
  call_on(0, passed.signum, passed.info, passed.where);
}

static void change_stack_and_chain(int signum, siginfo_t* info, void* where) {
  static char* memory;

  passed.signum = signum;
  passed.info = info;
  passed.where = where;
  if (memory == NULL)
    memory = mmap(
        NULL, MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  CHECK_EQ(getcontext(&there), 0);
  there.uc_stack.ss_sp = memory;
  there.uc_stack.ss_size = MUCH;
  there.uc_link = &here;
  makecontext(&there, chain_there, 0);
  CHECK_EQ(swapcontext(&here, &there), 0);
}

/* The handlers' own stack is in the program, and so below what is mapped. */
static void a_handler_that_changes_to_a_higher_stack_does_not_go_round(void) {
  static char low[MUCH];
  struct sigaction action;
  stack_t stack = {.ss_sp = low, .ss_size = sizeof(low)};

  skip_under_valgrind("valgrind does not follow such a change of stacks");
  if (has_sanitizer())
    skip_test("the sanitizers do not follow such a change of stacks");
  CHECK_EQ(sigaltstack(&stack, NULL), 0);
  install(SIGUSR1, 0);
  fixture_open(&f, NULL);
  start_chained(&a, SIGUSR1);
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = change_stack_and_chain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  CHECK_EQ(sigaction(SIGUSR1, &action, &saved[0]), 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  start_chained(&a, SIGUSR1);
  raise_and_check(1, 1);
  CHECK_EQ(calls, 1);
  fixture_close(&f);
}
#else
static void a_handler_that_changes_to_a_higher_stack_does_not_go_round(void) {
  skip_test("this libc has no makecontext(), as musl");
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(chain_calls_the_previous_handler_first_and_like_the_kernel),
      TEST(chain_calls_a_handler_without_siginfo),
      TEST(chain_lasts_as_long_as_one_such_watcher),
      TEST(chain_has_nothing_to_call_for_default_and_ignore),
      TEST(a_handler_with_resethand_is_called_once_and_gone_after_stop),
      TEST(a_handler_with_resethand_that_was_not_called_comes_back),
      TEST(a_previous_handler_may_leave_by_a_jump),
      TEST(ours_first_and_first_to_go),
      TEST(ours_second_and_last_to_go),
      TEST(an_older_handler_of_ours_put_back_still_tells_the_watchers),
      TEST(others_that_come_and_go_are_always_called),
      TEST(the_other_gone_again_from_over_ours_does_not_go_round),
      TEST(who_is_below_the_other_is_called_when_it_has_gone_again),
      TEST(who_is_below_the_other_is_called_though_the_stop_is_faster),
      TEST(who_is_below_the_other_is_called_when_a_third_has_gone),
      TEST(once_all_are_gone_the_first_is_no_more_below),
      TEST(nor_is_the_default_action_which_was_the_first),
      TEST(coming_back_again_and_again_does_not_go_round),
      TEST(who_comes_down_while_it_runs_is_called_once),
      TEST(a_handler_on_top_that_passes_no_siginfo_on_is_survived),
      TEST(handlers_that_pass_no_siginfo_on_do_not_go_round),
      TEST(resethand_is_over_for_who_puts_ours_back_too),
      TEST(a_child_calls_each_of_them_once),
      TEST(our_handler_put_back_lets_a_deadly_signal_be_deadly),
      TEST(our_handler_put_back_lets_an_ignored_signal_be_ignored),
      TEST(our_handler_put_back_lets_the_previous_one_see_who_sent_it),
      TEST(our_handler_put_back_lets_a_handler_with_resethand_go),
      TEST(our_handler_put_back_and_watched_again_calls_once),
      TEST(our_handler_put_back_and_watched_again_may_be_covered),
      TEST(our_handler_put_back_keeps_the_order_of_queued_signals),
      TEST(two_uvsig_share_the_previous_action),
      TEST(a_handler_without_onstack_has_the_threads_own_stack),
      TEST(a_handler_with_onstack_has_the_alternate_stack),
      TEST(a_handler_that_changes_to_a_higher_stack_does_not_go_round),
      TEST(libuvs_handler_is_no_reason_to_leave_the_alternate_stack),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
