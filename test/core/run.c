/* SPDX-License-Identifier: MIT
 *
 * A loop that runs until a signal comes: what it returns, what it has taken by
 * then and leaves behind, and what else runs on the loop meanwhile.
 */

#include "../lib/harness.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A loop with something to do for longer than any test, and a timer whose
 * callback is called at once, in the first turn. */
static uv_loop_t loop;
static uv_timer_t work;
static uv_timer_t first;
static uv_prepare_t prepare; /* counts the loop's turns */
static unsigned turns;
static uvsig_info_t info;
static struct fixture f;
static struct recorder a;

static void do_nothing(uv_timer_t* timer) {
  (void) timer;
}

static void count_turn(uv_prepare_t* handle) {
  (void) handle;
  turns++;
}

static void open_loop(uv_timer_cb cb) {
  CHECK_EQ(uv_loop_init(&loop), 0);
  uv_prepare_init(&loop, &prepare);
  uv_prepare_start(&prepare, count_turn);
  uv_unref((uv_handle_t*) &prepare);
  uv_timer_init(&loop, &work);
  uv_timer_start(&work, do_nothing, LONG_MS, 0);
  uv_timer_init(&loop, &first);
  uv_timer_start(&first, cb, 0, 0);
}

static void count_handle(uv_handle_t* handle, void* data) {
  (void) handle;
  ++*(unsigned*) data;
}

/* The library has left nothing on it. */
static void close_all(void) {
  unsigned handles = 0;

  uv_walk(&loop, count_handle, &handles);
  CHECK_EQ(handles, 3);
  uv_close((uv_handle_t*) &prepare, NULL);
  uv_close((uv_handle_t*) &work, NULL);
  uv_close((uv_handle_t*) &first, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

static int run_for(int signum) {
  sigset_t set = set_of(signum);

  return uvsig_run(&loop, &set, &info);
}

static void raise_usr1(uv_timer_t* timer) {
  (void) timer;
  raise(SIGUSR1);
}

/* --- By a signal ---------------------------------------------------------- */

static void send_usr1(pid_t to) {
  kill(to, SIGUSR1);
}

static pid_t sender;

static void have_usr1_sent(uv_timer_t* timer) {
  (void) timer;
  sender = send_from_child(send_usr1);
}

static void a_signal_ends_the_run_and_its_sender_is_known(void) {
  open_loop(have_usr1_sent);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK_EQ(info.signum, SIGUSR1);
  CHECK_EQ(info.pid, sender);
  CHECK_EQ(info.count, 1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK(uv_is_active((uv_handle_t*) &work));
  close_all();
}

static void raise_hup(uv_timer_t* timer) {
  (void) timer;
  raise(SIGHUP);
}

static void the_first_signal_is_one_too(void) {
  open_loop(raise_hup);
  CHECK_EQ(run_for(SIGHUP), SIGHUP);
  CHECK_EQ(info.signum, SIGHUP);
  close_all();
}

static int number;

static void raise_number(uv_timer_t* timer) {
  (void) timer;
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_WATCHED);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(uvsig_getsignal(SIGHUP), UVSIG_DEFAULT);
  raise(number);
}

static void without_a_set_sigint_and_sigterm_end_it(void) {
  open_loop(raise_number);
  number = SIGINT;
  CHECK_EQ(uvsig_run(&loop, NULL, NULL), SIGINT);
  uv_timer_start(&first, raise_number, 0, 0);
  number = SIGTERM;
  CHECK_EQ(uvsig_run(&loop, NULL, NULL), SIGTERM);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_DEFAULT);
  close_all();
}

static void raise_both(uv_timer_t* timer) {
  (void) timer;
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_IGNORED);
  raise(SIGINT);
  raise(SIGTERM);
}

static void without_a_set_a_signal_that_is_ignored_stays_so(void) {
  install_handler(SIGINT, SIG_IGN);
  open_loop(raise_both);
  CHECK_EQ(uvsig_run(&loop, NULL, NULL), SIGTERM);
  CHECK_EQ(uvsig_getsignal(SIGINT), UVSIG_IGNORED);
  close_all();
}

static void in_a_set_it_is_taken_and_ignored_again_at_the_end(void) {
  install_handler(SIGUSR1, SIG_IGN);
  open_loop(raise_usr1);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_IGNORED);
  close_all();
}

/* Not in the order of their numbers. */
static void raise_three(uv_timer_t* timer) {
  (void) timer;
  raise(SIGTERM);
  raise(SIGUSR2);
  raise(SIGUSR1);
}

static sigset_t three_signals(void) {
  sigset_t set = set_of(SIGUSR1);

  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGTERM);
  return set;
}

static void of_several_it_returns_the_first_and_drops_the_others(void) {
  sigset_t set = three_signals();

  open_loop(raise_three);
  CHECK_EQ(uvsig_run(&loop, &set, &info), SIGTERM);
  CHECK_EQ(info.signum, SIGTERM);
  CHECK_EQ(info.pid, getpid());
  close_all();
}

static void a_signal_that_is_blocked_and_pending_ends_it(void) {
  sigset_t set = set_of(SIGUSR1);

  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  raise(SIGUSR1);
  open_loop(do_nothing);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK(is_blocked(SIGUSR1));
  close_all();
}

static void the_previous_handler_is_back(void) {
  struct sigaction before;
  struct sigaction after;

  install_handler(SIGUSR1, count_foreign);
  before = action_of(SIGUSR1);
  open_loop(raise_usr1);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK_EQ(foreign_calls, 0);
  after = action_of(SIGUSR1);
  CHECK(after.sa_handler == before.sa_handler);
  CHECK_EQ(after.sa_flags, before.sa_flags);
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  close_all();
}

static void raise_again(uv_check_t* check) {
  raise(SIGUSR1);
  uv_close((uv_handle_t*) check, NULL);
}

/* The check is later in the turn in which the first one is delivered. */
static void a_second_signal_meanwhile_has_its_previous_action(void) {
  uv_check_t check;

  install_handler(SIGUSR1, count_foreign);
  open_loop(raise_usr1);
  uv_check_init(&loop, &check);
  uv_check_start(&check, raise_again);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  close_all();
}

static void end_child(pid_t to) {
  (void) to;
}

static void have_child_end(uv_timer_t* timer) {
  (void) timer;
  sender = send_from_child(end_child);
}

/* libuv's own handle of it, which uv_spawn() needs, goes too. */
static void sigchld_ends_it(void) {
  open_loop(have_child_end);
  CHECK_EQ(run_for(SIGCHLD), SIGCHLD);
  CHECK_EQ(info.pid, sender);
  CHECK_EQ(info.code, CLD_EXITED);
  close_all();
}

/* --- Without one ---------------------------------------------------------- */

static void what_it_watches_does_not_keep_the_loop_alive(void) {
  sigset_t set = three_signals();

  CHECK_EQ(uv_loop_init(&loop), 0);
  info.signum = -1;
  CHECK_EQ(uvsig_run(&loop, &set, &info), 0);
  CHECK_EQ(info.signum, -1);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  close_loop(&loop);
}

static void stop_work(uv_timer_t* timer) {
  (void) timer;
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  uv_timer_stop(&work);
}

static void it_returns_0_when_nothing_is_left_to_do(void) {
  open_loop(stop_work);
  CHECK_EQ(run_for(SIGUSR1), 0);
  CHECK_EQ(uv_loop_alive(&loop), 0);
  close_all();
}

static void stop_loop(uv_timer_t* timer) {
  uv_stop(timer->loop);
}

static void it_returns_0_when_the_loop_is_stopped(void) {
  open_loop(stop_loop);
  CHECK_EQ(run_for(SIGUSR1), 0);
  CHECK(uv_loop_alive(&loop));
  /* The next run is not stopped by it. */
  uv_timer_start(&first, raise_usr1, 0, 0);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  close_all();
}

static void a_stop_before_it_ends_it_at_once(void) {
  open_loop(do_nothing);
  uv_stop(&loop);
  CHECK_EQ(run_for(SIGUSR1), 0);
  CHECK_EQ(turns, 1); /* in which its handles were closed */
  uv_timer_start(&first, raise_usr1, 0, 0);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  close_all();
}

static void stop_again(uv_prepare_t* handle) {
  turns++;
  uv_stop(handle->loop);
}

/* Also the turn in which the handles are closed. */
static void a_loop_that_is_stopped_in_every_turn_ends_all_the_same(void) {
  open_loop(do_nothing);
  uv_prepare_stop(&prepare);
  uv_prepare_start(&prepare, stop_again);
  CHECK_EQ(run_for(SIGUSR1), 0);
  CHECK_EQ(turns, 2);
  close_all();
}

/* After the loop has polled: nothing is delivered before its next turn. */
static uv_check_t last;

static void open_loop_with_last(uv_check_cb cb) {
  open_loop(do_nothing);
  uv_timer_start(&first, do_nothing, 0, 1); /* it does not sleep for long */
  uv_check_init(&loop, &last);
  uv_check_start(&last, cb);
}

static void raise_three_at_last(uv_check_t* check) {
  raise_three(NULL);
  uv_timer_stop(&first);
  uv_timer_stop(&work);
  uv_close((uv_handle_t*) check, NULL);
}

static void a_signal_in_the_last_callback_is_returned(void) {
  sigset_t set = three_signals();

  open_loop_with_last(raise_three_at_last);
  CHECK_EQ(uvsig_run(&loop, &set, &info), SIGTERM);
  CHECK_EQ(info.signum, SIGTERM);
  CHECK_EQ(info.pid, getpid());
  CHECK_EQ(uv_loop_alive(&loop), 0);
  close_all();
}

static void raise_three_and_stop(uv_check_t* check) {
  raise_three(NULL);
  uv_stop(check->loop);
  uv_close((uv_handle_t*) check, NULL);
}

static void a_signal_before_a_stop_is_returned(void) {
  sigset_t set = three_signals();

  open_loop_with_last(raise_three_and_stop);
  CHECK_EQ(uvsig_run(&loop, &set, &info), SIGTERM);
  CHECK_EQ(info.signum, SIGTERM);
  CHECK(uv_loop_alive(&loop));
  close_all();
}

/* --- What runs meanwhile -------------------------------------------------- */

static unsigned turns_at_signal;

static void raise_in_second_turn(uv_prepare_t* handle) {
  (void) handle;
  if (++turns == 2) {
    raise(SIGUSR1);
    turns_at_signal = turns;
  }
}

static void nothing_runs_after_the_turn_of_the_signal(void) {
  open_loop(do_nothing);
  uv_prepare_stop(&prepare);
  uv_prepare_start(&prepare, raise_in_second_turn);
  uv_timer_start(&first, do_nothing, 0, 1); /* the loop turns */
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK_EQ(turns_at_signal, 2);
  CHECK_EQ(turns, 2);
  close_all();
}

static void other_watchers_are_notified_as_well(void) {
  sigset_t set = set_of(SIGUSR1);

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  uv_timer_init(&f.loop, &first);
  uv_timer_start(&first, raise_usr1, 0, 0);
  CHECK_EQ(uvsig_run(&f.loop, &set, NULL), SIGUSR1);
  uv_close((uv_handle_t*) &first, NULL);
  run_until(&f.loop, &a.signals, 2);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  check_books(&f.sig, SIGUSR1, 2, 0);
  fixture_close(&f);
}

static int nested;

static void run_nested(uv_timer_t* timer) {
  sigset_t set = set_of(SIGUSR1);

  nested = uvsig_run(timer->loop, &set, &info);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  raise(SIGUSR1);
}

static void a_nested_run_of_the_same_loop_is_refused(void) {
  open_loop(run_nested);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK_EQ(nested, UV_EBUSY);
  close_all();
}

static uv_loop_t inner;

static void run_inner(uv_timer_t* timer) {
  sigset_t set = set_of(SIGUSR1);
  uv_timer_t inside;

  CHECK_EQ(uv_loop_init(&inner), 0);
  uv_timer_init(&inner, &inside);
  uv_timer_start(&inside, raise_usr1, 0, LONG_MS);
  nested = uvsig_run(&inner, &set, NULL);
  /* The outer one's loop is still refused, and this one is not any more. */
  CHECK_EQ(uvsig_run(timer->loop, &set, NULL), UV_EBUSY);
  uv_close((uv_handle_t*) &inside, NULL);
  CHECK_EQ(uvsig_run(&inner, &set, NULL), 0);
  close_loop(&inner);
}

static void a_run_of_another_loop_in_a_callback_ends_by_the_same_signal(void) {
  open_loop(run_inner);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  CHECK_EQ(nested, SIGUSR1);
  close_all();
}

static void close_handle(uv_handle_t* handle, void* data) {
  (void) data;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

static void close_everything(uv_timer_t* timer) {
  uv_walk(timer->loop, close_handle, NULL);
}

static void a_program_may_close_all_handles_that_it_finds(void) {
  open_loop(close_everything);
  CHECK_EQ(run_for(SIGUSR1), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  close_loop(&loop);
}

static void raise_and_close_everything(uv_timer_t* timer) {
  raise(SIGUSR1);
  close_everything(timer);
}

static void a_signal_that_was_caught_is_found_without_its_handles(void) {
  open_loop(raise_and_close_everything);
  CHECK_EQ(run_for(SIGUSR1), SIGUSR1);
  close_loop(&loop);
}

static int child_status;

/* The child goes on in the run, which ends since nothing is left. */
static void fork_in_run(uv_timer_t* timer) {
  pid_t child = fork();

  CHECK(child >= 0);
  if (child != 0) {
    CHECK_EQ(UNINTERRUPTED(waitpid(child, &child_status, 0)), child);
    raise(SIGUSR1);
    return;
  }
  CHECK_EQ(uv_loop_fork(timer->loop), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  uv_timer_stop(&work);
}

static void in_a_child_of_fork_signals_have_their_previous_actions(void) {
  pid_t parent = getpid();

  install_handler(SIGUSR1, count_foreign);
  open_loop(fork_in_run);
  if (getpid() == parent && run_for(SIGUSR1) == SIGUSR1) {
    CHECK_EQ(getpid(), parent);
    CHECK_EQ(child_status, 0);
  } else {
    CHECK(getpid() != parent);
  }
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_FOREIGN);
  close_all();
}

static void many_runs_leave_nothing(void) {
  unsigned i;

  open_loop(do_nothing);
  for (i = 0; i < 100; i++) {
    uv_timer_start(&first, i % 2 == 0 ? raise_usr1 : stop_loop, 0, 0);
    CHECK_EQ(run_for(SIGUSR1), i % 2 == 0 ? SIGUSR1 : 0);
  }
  close_all();
}

/* --- Errors --------------------------------------------------------------- */

static void what_makes_no_sense_is_refused(void) {
  sigset_t set = set_of(0);

  open_loop(do_nothing);
  CHECK_EQ(uvsig_run(NULL, NULL, NULL), UV_EINVAL);
  CHECK_EQ(uvsig_run(&loop, &set, NULL), UV_EINVAL);
  sigaddset(&set, SIGKILL);
  sigaddset(&set, SIGSTOP);
  CHECK_EQ(uvsig_run(&loop, &set, NULL), UV_EINVAL);
  CHECK_EQ(turns, 0);
  close_all();
}

static void without_a_descriptor_nothing_is_changed(void) {
  struct rlimit limit;
  struct rlimit none;

  open_loop(do_nothing);
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  none = limit;
  none.rlim_cur = 0;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  info.signum = -1;
  CHECK_EQ(run_for(SIGUSR1), UV_EMFILE);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  CHECK_EQ(info.signum, -1);
  CHECK_EQ(turns, 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  close_all();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_signal_ends_the_run_and_its_sender_is_known),
      TEST(the_first_signal_is_one_too),
      TEST(without_a_set_sigint_and_sigterm_end_it),
      TEST(without_a_set_a_signal_that_is_ignored_stays_so),
      TEST(in_a_set_it_is_taken_and_ignored_again_at_the_end),
      TEST(of_several_it_returns_the_first_and_drops_the_others),
      TEST(a_signal_that_is_blocked_and_pending_ends_it),
      TEST(the_previous_handler_is_back),
      TEST(a_second_signal_meanwhile_has_its_previous_action),
      TEST(sigchld_ends_it),
      TEST(what_it_watches_does_not_keep_the_loop_alive),
      TEST(it_returns_0_when_nothing_is_left_to_do),
      TEST(it_returns_0_when_the_loop_is_stopped),
      TEST(a_stop_before_it_ends_it_at_once),
      TEST(a_loop_that_is_stopped_in_every_turn_ends_all_the_same),
      TEST(a_signal_in_the_last_callback_is_returned),
      TEST(a_signal_before_a_stop_is_returned),
      TEST(nothing_runs_after_the_turn_of_the_signal),
      TEST(other_watchers_are_notified_as_well),
      TEST(a_nested_run_of_the_same_loop_is_refused),
      TEST(a_run_of_another_loop_in_a_callback_ends_by_the_same_signal),
      TEST(a_program_may_close_all_handles_that_it_finds),
      TEST(a_signal_that_was_caught_is_found_without_its_handles),
      TEST(in_a_child_of_fork_signals_have_their_previous_actions),
      TEST(many_runs_leave_nothing),
      TEST(what_makes_no_sense_is_refused),
      TEST(without_a_descriptor_nothing_is_changed),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
