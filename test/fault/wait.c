/* SPDX-License-Identifier: MIT
 *
 * Scenarios: waiting for a signal, in a thread and on the loop, and running a
 * loop until one comes.
 */

#include "scenario.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct recorder a;

/* --- In a thread ---------------------------------------------------------- */

static void wait_in_a_thread(void) {
  sigset_t set = set_of(SIGUSR1);
  sigset_t old;
  uvsig_info_t info = {0};
  int signum = 0;

  TRY("", uvsig_pthread_sigmask(SIG_BLOCK, &set, &old));
  CHECK_EQ(raise(SIGUSR1), 0);
  TRY_INIT("", &signum, uvsig_sigwait(&set, &signum));
  CHECK_EQ(signum, SIGUSR1);
  CHECK_EQ(raise(SIGUSR1), 0);
  TRY_INIT("", &info, uvsig_sigwaitinfo(&set, &info));
  CHECK_EQ(info.pid, getpid());
  CHECK_EQ(raise(SIGUSR1), 0);
  TRY("", uvsig_sigtimedwait(&set, 10, &info));
  CHECK_EQ(info.signum, SIGUSR1);
  CHECK_EQ(uvsig_sigtimedwait(&set, 0, &info), UV_ETIMEDOUT);
  TRY("", uvsig_pthread_sigmask(SIG_SETMASK, &old, NULL));
}

/* --- On the loop ---------------------------------------------------------- */

static unsigned ended;
static int end_status;
static int end_signal;

static void on_end(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  (void) req;
  ended++;
  end_status = status;
  end_signal = info != NULL ? info->signum : 0;
}

static bool has_ended(void) {
  return ended > 0;
}

static void check_end(int status, int signum) {
  turn_until(has_ended);
  CHECK_EQ(ended, 1);
  CHECK_EQ(end_status, status);
  CHECK_EQ(end_signal, signum);
  ended = 0;
}

#define WAIT_CALLS "+ calloc sigaction uv_poll_init"

static void wait_with(const uvsig_options_t* options) {
  uvsig_wait_t req;
  uvsig_wait_t other;
  sigset_t set = set_of(SIGUSR1);

  sigaddset(&set, SIGUSR2);
  memset(&req, 0, sizeof(req));
  memset(&other, 0, sizeof(other));
  init_signals(options);
  start_recorder(&a, SIGUSR1, 0);
  TRY_INIT(
      WAIT_CALLS, &req, uvsig_wait_start(&s.sig, &req, &set, INFINITY, on_end));
  CHECK_EQ(raise(SIGUSR2), 0);
  check_end(0, SIGUSR2);
  TRY_INIT(
      WAIT_CALLS, &req, uvsig_wait_start(&s.sig, &req, &set, 1000, on_end));
  CHECK_EQ(raise(SIGUSR1), 0);
  check_end(0, SIGUSR1);
  CHECK_EQ(a.signals, 0);
  TRY_INIT(
      WAIT_CALLS, &req, uvsig_wait_start(&s.sig, &req, &set, 0.001, on_end));
  check_end(UV_ETIMEDOUT, 0);
  TRY_INIT(WAIT_CALLS,
           &other,
           uvsig_wait_start(&s.sig, &other, &set, INFINITY, on_end));
  TRY("", uvsig_wait_cancel(&other));
  check_end(UV_ECANCELED, 0);
  tell_at_last(&a);
  TRY("+ calloc sigaction", uvsig_wait_start(&s.sig, &req, &set, 1, on_end));
  close_signals();
  CHECK_EQ(ended, 1);
  CHECK_EQ(end_status, UV_ECANCELED);
  CHECK_EQ(raise(SIGUSR2), 0);
  CHECK_EQ(foreign_calls, 1);
}

static void wait_by_a_pipe(void) {
  wait_with(NULL);
}

static void wait_by_a_signalfd(void) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  wait_with(&options);
}

/* --- Run ------------------------------------------------------------------- */

#define RUN_CALLS                                                              \
 "calloc pthread_atfork pthread_key_create pthread_setspecific uv_pipe "       \
 "fcntl_getpipe_sz uv_poll_init sigaction"

/* Where the call is refused, the loop may turn all the same. */
static void raise_term(uv_timer_t* timer) {
  (void) timer;
  if (action_of(SIGTERM).sa_handler != SIG_DFL)
    raise(SIGTERM);
}

static void stop_loop(uv_timer_t* timer) {
  uv_stop(timer->loop);
}

static void run_until_a_signal(void) {
  uv_loop_t loop;
  uv_timer_t timer;
  uvsig_info_t info;

  ASIDE(CHECK_EQ(uvsig_ignore(SIGINT), UVSIG_DEFAULT));
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_timer_init(&loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, raise_term, 0, 5), 0);
  memset(&info, 0, sizeof(info));
  CHECK_EQ(TRY_INIT(RUN_CALLS, &info, uvsig_run(&loop, NULL, &info)), SIGTERM);
  CHECK_EQ(info.pid, getpid());
  CHECK(action_of(SIGINT).sa_handler == SIG_IGN);
  CHECK_EQ(uv_timer_start(&timer, stop_loop, 0, 5), 0);
  CHECK_EQ(TRY(RUN_CALLS, uvsig_run(&loop, NULL, NULL)), 0);
  uv_close((uv_handle_t*) &timer, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
  ASIDE(CHECK_EQ(uvsig_default(SIGINT), UVSIG_IGNORED));
}

/* What is ignored stays so. */
static void raise_int(uv_timer_t* timer) {
  raise(SIGINT);
  uv_stop(timer->loop);
}

static void run_past_what_is_ignored(void) {
  uv_loop_t loop;
  uv_timer_t timer;

  install_handler(SIGINT, SIG_IGN);
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_timer_init(&loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, raise_int, 0, 5), 0);
  CHECK_EQ(TRY(RUN_CALLS, uvsig_run(&loop, NULL, NULL)), 0);
  uv_close((uv_handle_t*) &timer, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
  install_handler(SIGINT, SIG_DFL);
}

const struct scenario wait_scenarios[] = {
    {"sigwait", wait_in_a_thread},
    {"wait, pipe", wait_by_a_pipe},
    {"wait, signalfd", wait_by_a_signalfd},
    {"run", run_until_a_signal},
    {"run, ignored", run_past_what_is_ignored},
    {NULL, NULL}};
