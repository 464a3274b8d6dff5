/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD where the handler has its part: threads that do not
 * block a signal, watchers that need the handler, other loops, the program's
 * wakeup fd, and a descriptor that the program has closed.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f, g;
static struct recorder a, b, c;

static void open_two(void) {
  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

static void open_third(const uvsig_options_t* options) {
  fixture_open(&g, options);
  recorder_init(&c, &g.sig);
}

/* How many to send where they come by the handler: of several of a number,
 * ThreadSanitizer's runtime keeps one. */
static int few(int n) {
  return under_thread_sanitizer() ? 1 : n;
}

static void check_sender(struct recorder* r) {
  CHECK(r->last.flags == UVSIG_INFO_NONE || r->last.pid == getpid());
}

/* --- A thread that does not block it ---------------------------------------- */

static void* raise_unblocked(void* unused) {
  sigset_t set = set_of(SIGRTMIN);
  unsigned i;

  (void) unused;
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  for (i = 0; i < 200; i++)
    raise(SIGRTMIN);
  return NULL;
}

static void by_the_handler_and_by_the_queue_it_is_one_delivery(void) {
  pthread_t thread;
  unsigned i;

  open_two();
  a.then = check_sender;
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(pthread_create(&thread, NULL, raise_unblocked, NULL), 0);
  for (i = 0; i < 200; i++) {
    raise(SIGRTMIN);
    if (i % 8 == 0)
      uv_run(&f.loop, UV_RUN_NOWAIT);
  }
  CHECK_EQ(pthread_join(thread, NULL), 0);
  /* ThreadSanitizer's runtime keeps one of several that it holds back. */
  if (under_thread_sanitizer())
    run_idle(&f.loop);
  else
    run_until(&f.loop, &a.signals, 400);
  check_books(&f.sig, SIGRTMIN, a.signals, 0);
  CHECK(is_blocked(SIGRTMIN));
  fixture_close(&f);
}

/* Known: a thread that the loop's thread makes inherits its mask. */
static void* raise_inherited(void* unused) {
  sigset_t set = set_of(SIGUSR1);
  int signum;

  (void) unused;
  raise(SIGUSR1);
  CHECK(is_waiting(SIGUSR1));
  CHECK_EQ(sigwait(&set, &signum), 0);
  return NULL;
}

static void a_signal_for_a_thread_that_blocks_it_waits_in_that_thread(void) {
  pthread_t thread;

  open_two();
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(pthread_create(&thread, NULL, raise_inherited, NULL), 0);
  CHECK_EQ(pthread_join(thread, NULL), 0);
  run_idle(&f.loop);
  CHECK_EQ(a.calls, 0);
  fixture_close(&f);
}

/* --- Watchers that need the handler ------------------------------------------ */

static volatile sig_atomic_t hooked;

static void hook(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  CHECK(info->si_signo == signum);
  hooked++;
}

static volatile sig_atomic_t contexts;

static void count_context(int signum, siginfo_t* info, void* context) {
  contexts += signum == info->si_signo && context != NULL;
}

static void install_info_handler(int signum) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = count_context;
  action.sa_flags = SA_SIGINFO;
  CHECK_EQ(sigaction(signum, &action, NULL), 0);
}

static void a_handler_has_the_signal_unblocked(void) {
  open_two();
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, hook), 0);
  recorder_start(&a, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  CHECK_EQ(hooked, 1);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_handler_that_is_added_has_what_waits(void) {
  unsigned n = (unsigned) few(20);

  open_two();
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, few(20));
  CHECK_EQ(uvsig_watcher_set_handler(&b.w, hook), 0);
  recorder_start(&b, SIGRTMIN);
  CHECK_EQ(hooked, n);
  CHECK(!is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, few(20));
  run_until(&f.loop, &a.calls, 2 * n);
  CHECK_EQ(hooked, 2 * n);
  check_books(&f.sig, SIGRTMIN, 2 * n, 0);
  /* It stays the handler's way until the last stop. */
  CHECK_EQ(uvsig_watcher_stop(&b.w), 0);
  raise(SIGRTMIN);
  run_until(&f.loop, &a.calls, 2 * n + 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGRTMIN);
  CHECK(is_blocked(SIGRTMIN));
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
}

static void add_hook(struct recorder* r) {
  if (r->calls != 10)
    return;
  CHECK_EQ(uvsig_watcher_set_handler(&b.w, hook), 0);
  recorder_start(&b, SIGRTMIN);
}

/* Also what has been read ahead has the handler. */
static void a_handler_that_is_added_in_a_burst_misses_none(void) {
  open_two();
  a.then = add_hook;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 100);
  if (!under_thread_sanitizer())
    run_until(&f.loop, &a.calls, 100);
  run_idle(&f.loop);
  CHECK_EQ(hooked, a.calls - 10);
  CHECK_EQ(b.calls, a.calls - 10);
  check_books(&f.sig, SIGRTMIN, a.calls, 0);
  fixture_close(&f);
}

static void a_chain_calls_the_previous_handler(void) {
  open_two();
  install_info_handler(SIGRTMIN);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  recorder_start(&a, SIGRTMIN);
  CHECK(!is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, few(5));
  run_until(&f.loop, &a.calls, (unsigned long) few(5));
  CHECK_EQ(contexts, few(5));
  fixture_close(&f);
}

static void the_mask_of_what_goes_by_the_handler_is_the_programs(void) {
  sigset_t set = set_of(SIGUSR1);

  open_two();
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  run_idle(&f.loop);
  CHECK(is_blocked(SIGUSR1));
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  run_idle(&f.loop);
  CHECK(!is_blocked(SIGUSR1));
  fixture_close(&f);
}

static void a_chain_that_is_added_has_what_waits(void) {
  open_two();
  install_info_handler(SIGRTMIN);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, few(5));
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
  recorder_start(&b, SIGRTMIN);
  CHECK_EQ(contexts, few(5));
  run_until(&f.loop, &a.calls, (unsigned long) few(5));
  CHECK_EQ(b.calls, a.calls);
  check_books(&f.sig, SIGRTMIN, a.calls, 0);
  fixture_close(&f);
}

/* A handler may fork: nothing is locked while what waits is handled. */
static void fork_and_exit(int signum) {
  pid_t child = fork();
  int status;

  (void) signum;
  if (child == 0)
    _exit(0);
  if (UNINTERRUPTED(waitpid(child, &status, 0)) == child && status == 0)
    foreign_calls++;
}

static void a_previous_handler_may_fork_at_the_start_of_a_chain(void) {
  open_two();
  install_handler(SIGUSR1, fork_and_exit);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(foreign_calls, 1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static unsigned long uv_signals;

static void on_uv_signal(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
  uv_signals++;
}

static void a_shared_signal_reaches_both_when_it_is_shared_late(void) {
  uv_signal_t handle;

  open_two();
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uv_signal_init(&f.loop, &handle), 0);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_SHARE), 0);
  recorder_start(&b, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  CHECK_EQ(uv_signal_start(&handle, on_uv_signal, SIGUSR1), 0);
  run_until(&f.loop, &a.calls, 1);
  raise(SIGUSR1);
  run_until(&f.loop, &uv_signals, 1);
  run_until(&f.loop, &a.calls, 2);
  CHECK_EQ(b.calls, 2);
  uv_close((uv_handle_t*) &handle, NULL);
  fixture_close(&f);
}

static void a_sent_fault_is_told_and_a_real_one_ends_the_process(void) {
  pid_t child;
  int status;

  open_two();
  recorder_start(&a, SIGSEGV);
  CHECK(!is_blocked(SIGSEGV));
  CHECK_EQ(kill(getpid(), SIGSEGV), 0);
  run_until(&f.loop, &a.calls, 1);
  check_books(&f.sig, SIGSEGV, 1, 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (uv_loop_fork(&f.loop) == 0 && uvsig_fork(&f.sig) == 0)
      *(volatile char*) mmap(
          NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGSEGV);
  fixture_close(&f);
}

/* --- Other loops and the program's wakeup fd ---------------------------------- */

static uv_sem_t may_run, may_end;

/* Another loop, whose thread blocks the signal: it is the queue's. */
static void watch_elsewhere(void* flags) {
  sigset_t set = set_of(SIGRTMIN);

  open_third(NULL);
  CHECK_EQ(uvsig_watcher_set_flags(&c.w, *(unsigned*) flags), 0);
  recorder_start(&c, SIGRTMIN);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  uv_sem_post(&may_run);
  run_until(&g.loop, &c.signals, 10);
  uv_sem_wait(&may_end);
  fixture_close(&g);
}

static void tell_two_loops(unsigned flags) {
  uv_thread_t thread;

  CHECK_EQ(uv_sem_init(&may_run, 0) + uv_sem_init(&may_end, 0), 0);
  open_two();
  install_info_handler(SIGRTMIN);
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uv_thread_create(&thread, watch_elsewhere, &flags), 0);
  uv_sem_wait(&may_run);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 10);
  run_until(&f.loop, &a.signals, 10);
  uv_sem_post(&may_end);
  CHECK_EQ(uv_thread_join(&thread), 0);
  check_books(&f.sig, SIGRTMIN, 10, 0);
  CHECK_EQ(contexts, (flags & UVSIG_CHAIN) != 0 ? 10 : 0);
  fixture_close(&f);
  uv_sem_destroy(&may_run);
  uv_sem_destroy(&may_end);
}

static void a_loop_of_another_thread_is_told_too(void) {
  tell_two_loops(0);
}

static void a_chain_of_another_loop_is_called_with_a_context(void) {
  tell_two_loops(UVSIG_CHAIN);
}

static void the_programs_wakeup_fd_has_its_byte(void) {
  unsigned char bytes[8];
  const int n = few(3);
  int fds[2];

  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  open_two();
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, NULL), 0);
  queue_values(SIGRTMIN, n);
  run_until(&f.loop, &a.calls, (unsigned long) n);
  CHECK_EQ(read(fds[0], bytes, sizeof(bytes)), n);
  CHECK_EQ(bytes[0], SIGRTMIN);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, NULL), 0);
  queue_values(SIGRTMIN, n);
  run_until(&f.loop, &a.calls, 2 * (unsigned long) n);
  CHECK_EQ(read(fds[0], bytes, sizeof(bytes)), -1);
  check_books(&f.sig, SIGRTMIN, 2 * (unsigned long) n, 0);
  fixture_close(&f);
  close(fds[0]);
  close(fds[1]);
}

/* A program that has no loop which runs waits for its own fd. */
/* It was in the queue before there was a wakeup fd. */
static void a_wakeup_fd_has_the_byte_of_what_waits(void) {
  unsigned char byte = 0;
  int fds[2];

  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  open_two();
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, NULL), 0);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(read(fds[0], &byte, 1), 1);
  CHECK_EQ(byte, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, 2);
  CHECK_EQ(read(fds[0], &byte, 1), 1);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, NULL), 0);
  fixture_close(&f);
  close(fds[0]);
  close(fds[1]);
}

static void a_wakeup_fd_has_its_byte_without_a_turn_of_the_loop(void) {
  unsigned char byte = 0;
  int fds[2];

  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  open_two();
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, NULL), 0);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(read(fds[0], &byte, 1), 1);
  CHECK_EQ(byte, SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 1, NULL), 0);
  fixture_close(&f);
  close(fds[0]);
  close(fds[1]);
}

static int next_value;

static void check_next(struct recorder* r) {
  CHECK_EQ(r->last.value.sival_int, next_value);
  next_value++;
  if (next_value == 1) {
    CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
    recorder_start(&b, SIGRTMIN);
  }
}

static void what_was_read_comes_before_what_waits(void) {
  if (under_thread_sanitizer())
    skip_test("its runtime keeps one of several signals for a handler");
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  a.then = check_next;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 60); /* more than are read at once, all have a slot */
  run_until(&f.loop, &a.calls, 60);
  CHECK_EQ(next_value, 60);
  fixture_close(&f);
}

static void another_loop_of_the_thread_that_keeps_the_mask_is_told(void) {
  open_two();
  open_third(NULL);
  CHECK_EQ(uvsig_watcher_set_flags(&c.w, UVSIG_KEEP_MASK), 0);
  recorder_start(&c, SIGUSR1);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&g.loop, &c.calls, 1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
  fixture_close(&g);
}

/* --- The program closes it ---------------------------------------------------- */

static int find_signalfd(void) {
  static const char what[] = "anon_inode:[signalfd]";
  char path[64];
  char target[64];
  ssize_t n;
  int fd;

  for (fd = 3; fd < 1024; fd++) {
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    n = readlink(path, target, sizeof(target));
    if (n == (ssize_t) strlen(what) && memcmp(target, what, (size_t) n) == 0)
      return fd;
  }
  skip_test("/proc does not say which descriptor it is");
  return -1;
}

static void open_warned(void) {
  fixture_open_warned(&f);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

static void check_warned_once(void) {
  CHECK_EQ(read_warnings, 1);
  CHECK(read_warning_error == UV_EBADF || read_warning_error == UV_EINVAL);
}

static void tick(uv_timer_t* timer) {
  (void) timer;
}

/* By a loop that runs anyhow: nothing else wakes it. */
static void a_closed_descriptor_is_warned_of_and_the_handler_goes_on(void) {
  uv_timer_t timer;

  open_warned();
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, tick, 10, 10), 0);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 1);
  run_until(&f.loop, &a.calls, 1);
  close(find_signalfd());
  queue_values(SIGRTMIN, few(5));
  run_until(&f.loop, &a.signals, 1 + (unsigned long) few(5));
  check_warned_once();
  CHECK(!is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, few(5));
  run_until(&f.loop, &a.signals, 1 + 2 * (unsigned long) few(5));
  /* And what is started from here on. */
  recorder_start(&b, SIGUSR1);
  CHECK(!is_blocked(SIGUSR1));
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  check_warned_once();
  check_books(&f.sig, SIGRTMIN, a.signals, 0);
  uv_close((uv_handle_t*) &timer, NULL);
  fixture_close(&f);
}

/* What is opened under its number is neither read nor closed. */
static void another_file_under_its_number_is_left_alone(void) {
  uv_timer_t timer;
  char byte = 0;
  int fds[2];
  int fd;

  open_warned();
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  CHECK_EQ(uv_timer_start(&timer, tick, 10, 10), 0);
  recorder_start(&a, SIGRTMIN);
  fd = find_signalfd();
  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  CHECK_EQ(dup2(fds[0], fd), fd);
  close(fds[0]);
  CHECK_EQ(write(fds[1], "x", 1), 1);
  queue_values(SIGRTMIN, 1);
  run_until(&f.loop, &a.signals, 1);
  check_warned_once();
  uv_close((uv_handle_t*) &timer, NULL);
  fixture_close(&f);
  CHECK_EQ(read(fd, &byte, 1), 1);
  CHECK_EQ(byte, 'x');
  close(fd);
  close(fds[1]);
}

static void a_pause_after_it_has_been_closed_does_not_spin(void) {
  open_warned();
  recorder_start(&a, SIGRTMIN);
  close(find_signalfd());
  queue_values(SIGRTMIN, few(3));
  CHECK_EQ(uvsig_pause(&f.sig), few(3));
  check_warned_once();
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void close_if_open(uv_handle_t* handle, void* unused) {
  (void) unused;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

/* The watchers are dead then, but nothing else is. */
static void a_program_that_closes_all_that_uv_walk_finds_can_go_on(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  uv_walk(&f.loop, close_if_open, NULL);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  queue_values(SIGRTMIN, 3);
  CHECK_EQ(uvsig_flush(&f.sig), 3);
  recorder_start(&b, SIGUSR2);
  fixture_close(&f);
  CHECK(!is_blocked(SIGRTMIN));
  CHECK(!is_blocked(SIGUSR2));
}

static void check_handle(uv_handle_t* handle, void* unused) {
  (void) unused;
  CHECK_EQ(uvsig_has_handle(&f.sig, handle), 1);
}

static void all_handles_are_known_as_the_librarys(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  uv_walk(&f.loop, check_handle, NULL);
  fixture_close(&f);
}

static void a_drain_of_a_closed_descriptor_tells_what_waits(void) {
  open_warned();
  recorder_start(&a, SIGRTMIN);
  close(find_signalfd());
  queue_values(SIGRTMIN, few(40));
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, few(40));
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(by_the_handler_and_by_the_queue_it_is_one_delivery),
      TEST(a_signal_for_a_thread_that_blocks_it_waits_in_that_thread),
      TEST(a_handler_has_the_signal_unblocked),
      TEST(a_handler_that_is_added_has_what_waits),
      TEST(a_handler_that_is_added_in_a_burst_misses_none),
      TEST(a_chain_calls_the_previous_handler),
      TEST(a_chain_that_is_added_has_what_waits),
      TEST(the_mask_of_what_goes_by_the_handler_is_the_programs),
      TEST(a_previous_handler_may_fork_at_the_start_of_a_chain),
      TEST(a_shared_signal_reaches_both_when_it_is_shared_late),
      TEST(a_sent_fault_is_told_and_a_real_one_ends_the_process),
      TEST(a_loop_of_another_thread_is_told_too),
      TEST(a_chain_of_another_loop_is_called_with_a_context),
      TEST(the_programs_wakeup_fd_has_its_byte),
      TEST(a_closed_descriptor_is_warned_of_and_the_handler_goes_on),
      TEST(another_file_under_its_number_is_left_alone),
      TEST(a_pause_after_it_has_been_closed_does_not_spin),
      TEST(a_program_that_closes_all_that_uv_walk_finds_can_go_on),
      TEST(all_handles_are_known_as_the_librarys),
      TEST(a_wakeup_fd_has_the_byte_of_what_waits),
      TEST(a_wakeup_fd_has_its_byte_without_a_turn_of_the_loop),
      TEST(what_was_read_comes_before_what_waits),
      TEST(another_loop_of_the_thread_that_keeps_the_mask_is_told),
      TEST(a_drain_of_a_closed_descriptor_tells_what_waits),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
