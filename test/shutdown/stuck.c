/* SPDX-License-Identifier: MIT
 *
 * A shutdown whose loop is stuck, in a callback that does not return: the third
 * signal and the hard deadline end the process all the same. And the thread
 * that sees to the deadline.
 */

#include "../lib/server.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ThreadSanitizer has handlers wait for a call that it knows of. */
static void skip_if_signals_wait(void) {
  if (under_thread_sanitizer())
    skip_test("under ThreadSanitizer no handler runs in a loop without calls");
}

static void spin(void) {
  say('s');
  for (;;)
    ;
}

static long get_stuck(int question) {
  CHECK_EQ(question, 'S');
  spin();
  return 0;
}

static void start_stuck(void) {
  server.on_question = get_stuck;
  server_start(serve_nothing);
  server_expect("r");
  server_tell('S');
  server_expect("s");
}

/* Of the process, or of its only thread. */
static bool is_pending(int signum) {
  char path[64];
  char line[256];
  unsigned long long set = 0;
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%d/status", (int) server_pid);
  file = fopen(path, "re");
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    if (strncmp(line, "SigPnd:", 7) == 0 || strncmp(line, "ShdPnd:", 7) == 0)
      set |= strtoull(line + 7, NULL, 16);
  fclose(file);
  return (set >> (signum - 1) & 1) != 0;
}

/* The server, which is stuck, has taken it: the next one is another one. */
static void send_until_taken(int signum) {
  server_signal(signum);
  while (is_pending(signum))
    sched_yield();
}

static uint64_t begin;

/* It lasted as long as it may; and what ends is not the shutdown. */
static void check_ended_after(unsigned ms, int code) {
  server_exits_at_once(code);
  CHECK((uv_hrtime() - begin) / 1000000 >= ms);
}

/* --- Stuck from before ---------------------------------------------------- */

static void send_three(void) {
  server.options.debounce_ms = 0;
  start_stuck();
  send_until_taken(SIGTERM);
  send_until_taken(SIGTERM);
  server_silent(50);
  server_signal(SIGTERM);
  server_exits_at_once(128 + SIGTERM);
}

static void the_third_signal_ends_a_process_that_is_stuck(void) {
  skip_if_signals_wait();
  server_init();
  send_three();
}

static void send_one(void) {
  server.options.delay_ms = 50;
  server.options.grace_ms = 100;
  server.options.hard_ms = 100;
  start_stuck();
  begin = uv_hrtime();
  server_signal(SIGINT);
  check_ended_after(250, 128 + SIGINT);
}

static void the_first_signal_ends_a_stuck_process_at_the_hard_deadline(void) {
  skip_if_signals_wait();
  server_init();
  send_one();
}

/* Its signals go by the handler there, too. */
static void with_signalfd_the_third_signal_ends_it(void) {
  skip_if_signals_wait();
  server_init();
  server_use_signalfd();
  send_three();
}

static void with_signalfd_the_hard_deadline_ends_it(void) {
  skip_if_signals_wait();
  server_init();
  server_use_signalfd();
  send_one();
}

static void the_second_signal_brings_the_hard_deadline_nearer(void) {
  skip_if_signals_wait();
  server_init();
  server.options.debounce_ms = 0;
  server.options.hard_ms = 100;
  start_stuck();
  send_until_taken(SIGTERM);
  begin = uv_hrtime();
  server_signal(SIGTERM);
  check_ended_after(100, 128 + SIGTERM);
}

static void whatever_the_exit_policy_a_deadline_is_a_failure(void) {
  skip_if_signals_wait();
  server_init();
  server.options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  server.options.grace_ms = 10;
  server.options.hard_ms = 10;
  start_stuck();
  server_signal(SIGTERM);
  server_exits_at_once(128 + SIGTERM);
}

static void request_soon(void* argument) {
  (void) argument;
  server_sleep();
  CHECK_EQ(
      uvsig_shutdown_request(&server.sd, "thread", UVSIG_SHUTDOWN_GRACEFUL), 0);
}

static void serve_stuck_beside_thread(void) {
  uv_thread_t thread;

  server_open();
  CHECK_EQ(uv_thread_create(&thread, request_soon, NULL), 0);
  spin();
}

static void a_request_ends_a_stuck_process_at_the_hard_deadline(void) {
  skip_if_signals_wait(); /* the kernel's timer sends one */
  server_init();
  server.options.grace_ms = 100;
  server.options.hard_ms = 100;
  server_start(serve_stuck_beside_thread);
  server_expect("s");
  begin = uv_hrtime();
  server_wake();
  check_ended_after(200, 128 + SIGTERM);
}

/* --- Stuck on the way ----------------------------------------------------- */

static uvsig_shutdown_phase_t spin_phase;

static void spin_in_phase(uvsig_shutdown_phase_t phase) {
  if (phase == spin_phase)
    spin();
}

static void start_stuck_in(uvsig_shutdown_phase_t phase) {
  spin_phase = phase;
  server.options.delay_ms = 50;
  server.options.grace_ms = 100;
  server.options.hard_ms = 100;
  server_start(serve_job);
  server_expect("r");
  begin = uv_hrtime();
  server_signal(SIGTERM);
}

/* Does it get stuck there, and not end before, by the same deadline? */
static void get_stuck_in(uvsig_shutdown_phase_t phase,
                         void (*on_phase)(uvsig_shutdown_phase_t phase),
                         const char* letters) {
  do {
    server_init();
    server.on_phase = on_phase;
    start_stuck_in(phase);
  } while (server_is_cut_off(letters));
}

static void a_loop_that_gets_stuck_when_not_ready_ends_at_the_deadline(void) {
  get_stuck_in(UVSIG_SHUTDOWN_NOT_READY, spin_in_phase, "ns");
  check_ended_after(250, 128 + SIGTERM);
}

static void a_loop_that_gets_stuck_when_draining_ends_at_the_deadline(void) {
  get_stuck_in(UVSIG_SHUTDOWN_DRAINING, spin_in_phase, "nds");
  check_ended_after(250, 128 + SIGTERM);
}

static void a_loop_that_gets_stuck_when_forcing_ends_at_the_deadline(void) {
  get_stuck_in(UVSIG_SHUTDOWN_FORCING, spin_in_phase, "ndfs");
  check_ended_after(250, 128 + SIGTERM);
}

static void spin_and_block(uvsig_shutdown_phase_t phase) {
  sigset_t set;

  if (phase != spin_phase)
    return;
  sigfillset(&set);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
  spin();
}

static void a_loop_that_is_stuck_with_all_signals_blocked_ends_too(void) {
  get_stuck_in(UVSIG_SHUTDOWN_DRAINING, spin_and_block, "nds");
  server_signal(SIGTERM);
  server_signal(SIGINT);
  check_ended_after(250, 128 + SIGTERM);
}

static void extend_and_spin(uvsig_shutdown_phase_t phase) {
  if (phase != spin_phase)
    return;
  CHECK_EQ(uvsig_shutdown_extend(&server.sd, 200), 0);
  spin();
}

static void extend_moves_the_hard_deadline(void) {
  get_stuck_in(UVSIG_SHUTDOWN_DRAINING, extend_and_spin, "nds");
  check_ended_after(450, 128 + SIGTERM);
}

static void a_callback_of_the_end_that_does_not_return_ends_at_the_deadline(
    void) {
  get_stuck_in(UVSIG_SHUTDOWN_DONE, spin_in_phase, "ndfDs");
  check_ended_after(250, 128 + SIGTERM);
}

/* --- The thread of the deadline ------------------------------------------- */

/* All but those of faults, see uvsig_thread_create(). */
static bool blocks_everything(const char* tid) {
  static const int others[] = {
      SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  char path[300];
  char line[256];
  unsigned long long set = 0;
  sigset_t valid;
  FILE* file;
  size_t i;
  int signum;

  snprintf(path, sizeof(path), "/proc/self/task/%s/status", tid);
  file = fopen(path, "re");
  if (file == NULL) /* it has just ended */
    return false;
  while (fgets(line, sizeof(line), file) != NULL)
    if (strncmp(line, "SigBlk:", 7) == 0)
      set = strtoull(line + 7, NULL, 16);
  fclose(file);
  CHECK_EQ(uvsig_valid_signals(&valid), 0);
  for (i = 0; i < sizeof(others) / sizeof(*others); i++)
    CHECK_EQ(sigdelset(&valid, others[i]), 0);
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&valid, signum) == 1 && (set >> (signum - 1) & 1) == 0)
      return false;
  return true;
}

/* The kernel's own, for an io_uring of libuv's (1.45 and later): they come and
 * go. The flag is Linux's PF_IO_WORKER; the name, iou-*, comes a little
 * later. */
static bool is_kernels(const char* tid) {
  char path[300];
  char line[512] = "";
  const char* end;
  unsigned flags = 0;
  FILE* file;

  snprintf(path, sizeof(path), "/proc/self/task/%s/stat", tid);
  file = fopen(path, "re");
  if (file == NULL) /* it has just ended */
    return false;
  if (fgets(line, sizeof(line), file) == NULL)
    line[0] = '\0';
  fclose(file);
  end = strrchr(line, ')'); /* the name may have any character */
  if (end == NULL || sscanf(end, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
    return false;
  return (flags & 0x10) != 0;
}

/* t: how many threads there are; b: how many of them block every signal. */
static long count_threads(int question) {
  struct dirent* entry;
  DIR* directory = opendir("/proc/self/task");
  long count = 0;

  CHECK(directory != NULL);
  while ((entry = readdir(directory)) != NULL)
    if (entry->d_name[0] != '.' && !is_kernels(entry->d_name))
      count += question == 't' || blocks_everything(entry->d_name);
  closedir(directory);
  return count;
}

static long threads_before;
static bool gives_up;

static void do_nothing(void* argument) {
  (void) argument;
}

static void wait_for_threads(long count) {
  uint64_t limit = uv_hrtime() + (uint64_t) SERVER_PATIENCE * 1000000000;

  while (count_threads('t') != count && uv_hrtime() < limit)
    sched_yield();
  CHECK_EQ(count_threads('t'), count);
}

/* ThreadSanitizer makes one of its own with the first. */
static void serve_counted(void) {
  uv_thread_t first;

  threads_before = count_threads('t');
  if (under_thread_sanitizer()) {
    CHECK_EQ(uv_thread_create(&first, do_nothing, NULL), 0);
    CHECK_EQ(uv_thread_join(&first), 0);
    wait_for_threads(++threads_before);
  }
  serve_job();
}

/* A thread that was joined is still listed, for an instant. */
static void check_no_thread_is_left(uvsig_shutdown_phase_t phase) {
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  wait_for_threads(threads_before + 1);
  if (gives_up) {
    CHECK_EQ(uvsig_shutdown_close(&server.sd, NULL), 0);
    wait_for_threads(threads_before);
    say('g');
    _exit(7);
  }
}

static void start_counted(void) {
  server_init();
  server.on_question = count_threads;
  server.on_phase = check_no_thread_is_left;
  server_start(serve_counted);
  server_expect("r");
}

static void the_deadlines_thread_is_there_until_the_shutdown_is_given_up(void) {
  gives_up = true;
  start_counted();
  server_signal(SIGTERM);
  server_expect("d");
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_expect("Dg");
  server_exits_at_once(7);
}

static void the_deadlines_thread_is_there_from_the_signal_to_the_end(void) {
  long threads;

  start_counted();
  threads = server_ask('t');
  server_signal(SIGTERM);
  server_expect("d");
  server_ask_until('t', threads + 1);
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_dies(SIGTERM);
}

static void the_deadlines_thread_takes_no_signals(void) {
  skip_under_valgrind("what a thread blocks there is valgrind's to know");
  if (under_thread_sanitizer())
    skip_test("its own threads block every signal, too");
  start_counted();
  /* A thread that has just been created blocks every signal until it begins. */
  server_ask_until('b', 0);
  server_signal(SIGTERM);
  server_expect("d");
  server_ask_until('b', 1);
  CHECK_EQ(server_ask(SERVER_RELEASE), 0);
  server_dies(SIGTERM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_third_signal_ends_a_process_that_is_stuck),
      TEST(the_first_signal_ends_a_stuck_process_at_the_hard_deadline),
      TEST(with_signalfd_the_third_signal_ends_it),
      TEST(with_signalfd_the_hard_deadline_ends_it),
      TEST(the_second_signal_brings_the_hard_deadline_nearer),
      TEST(whatever_the_exit_policy_a_deadline_is_a_failure),
      TEST(a_request_ends_a_stuck_process_at_the_hard_deadline),
      TEST(a_loop_that_gets_stuck_when_not_ready_ends_at_the_deadline),
      TEST(a_loop_that_gets_stuck_when_draining_ends_at_the_deadline),
      TEST(a_loop_that_gets_stuck_when_forcing_ends_at_the_deadline),
      TEST(a_loop_that_is_stuck_with_all_signals_blocked_ends_too),
      TEST(extend_moves_the_hard_deadline),
      TEST(a_callback_of_the_end_that_does_not_return_ends_at_the_deadline),
      TEST(the_deadlines_thread_is_there_from_the_signal_to_the_end),
      TEST(the_deadlines_thread_is_there_until_the_shutdown_is_given_up),
      TEST(the_deadlines_thread_takes_no_signals),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
