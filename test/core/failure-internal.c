/* SPDX-License-Identifier: MIT
 *
 * What the system refuses: memory, a handle, a disposition. Linked with
 * --wrap, so that the calls of the library come here first.
 */

#include "../lib/harness.h"
#include "../lib/wrap-syscall.h"

#define UVSIG_UV_SIGNAL_NO_MACROS
#include <uvsig-uv-signal.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

static bool no_memory;
static unsigned allocations_left = -1u; /* before one is refused */
static bool no_poll;
static bool no_async;
static bool no_action;
static bool raise_when_refused;
static unsigned actions_left = -1u; /* that are set before one is refused */
static bool no_thread;
static bool no_pidfd;
static bool no_atfork;
static bool twice_atfork;
static unsigned atforks;
static bool no_poll_call;
static bool no_key;
static unsigned keys_created;
static bool no_specific;

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
EARLY void* __wrap_calloc(size_t count, size_t size) {
  if (no_memory || allocations_left == 0)
    return NULL;
  allocations_left--;
  return __real_calloc(count, size);
}

int __real_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd);
int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd);
EARLY int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd) {
  return no_poll ? UV_ENOSPC : __real_uv_poll_init(loop, handle, fd);
}

int __real_uv_async_init(uv_loop_t* loop, uv_async_t* handle, uv_async_cb cb);
int __wrap_uv_async_init(uv_loop_t* loop, uv_async_t* handle, uv_async_cb cb);
EARLY int __wrap_uv_async_init(uv_loop_t* loop,
                               uv_async_t* handle,
                               uv_async_cb cb) {
  return no_async ? UV_EMFILE : __real_uv_async_init(loop, handle, cb);
}

int __real_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
EARLY int __wrap_sigaction(int signum,
                           const struct sigaction* action,
                           struct sigaction* previous) {
  if (action != NULL && (no_action || actions_left-- == 0)) {
    if (raise_when_refused)
      raise_times(SIGUSR1, 2);
    raise_when_refused = false;
    errno = EACCES;
    return -1;
  }
  return __real_sigaction(signum, action, previous);
}

/* Which of the next calls of setitimer(2) are refused: bit 0 is the first. */
static unsigned refused_itimers;

int __real_setitimer(int which,
                     const struct itimerval* value,
                     struct itimerval* previous);
int __wrap_setitimer(int which,
                     const struct itimerval* value,
                     struct itimerval* previous);
EARLY int __wrap_setitimer(int which,
                           const struct itimerval* value,
                           struct itimerval* previous) {
  bool is_refused = (refused_itimers & 1) != 0;

  refused_itimers >>= 1;
  if (is_refused) {
    errno = EACCES;
    return -1;
  }
  return __real_setitimer(which, value, previous);
}

#ifdef HAVE_SIGTIMEDWAIT
static int interruption; /* what the next wait ends with, once, or 0 */

int __real_sigtimedwait(const sigset_t* set,
                        siginfo_t* info,
                        const struct timespec* limit);
int __wrap_sigtimedwait(const sigset_t* set,
                        siginfo_t* info,
                        const struct timespec* limit);
EARLY int __wrap_sigtimedwait(const sigset_t* set,
                              siginfo_t* info,
                              const struct timespec* limit) {
  if (interruption != 0) {
    errno = interruption;
    interruption = 0;
    return -1;
  }
  return __real_sigtimedwait(set, info, limit);
}
#endif

int __real_uv_thread_create(uv_thread_t* tid, uv_thread_cb entry, void* arg);
int __wrap_uv_thread_create(uv_thread_t* tid, uv_thread_cb entry, void* arg);
EARLY int __wrap_uv_thread_create(uv_thread_t* tid,
                                  uv_thread_cb entry,
                                  void* arg) {
  return no_thread ? UV_EAGAIN : __real_uv_thread_create(tid, entry, arg);
}

int __real_poll(struct pollfd* fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout);
EARLY int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout) {
  if (no_poll_call && timeout != 0) {
    errno = ENOMEM;
    return -1;
  }
  return __real_poll(fds, count, timeout);
}

int __real_pthread_atfork(void (*before)(void),
                          void (*parent)(void),
                          void (*child)(void));
int __wrap_pthread_atfork(void (*before)(void),
                          void (*parent)(void),
                          void (*child)(void));
EARLY int __wrap_pthread_atfork(void (*before)(void),
                                void (*parent)(void),
                                void (*child)(void)) {
  if (no_atfork)
    return ENOMEM;
  atforks++;
  if (twice_atfork)
    CHECK_EQ(__real_pthread_atfork(before, parent, child), 0);
  return __real_pthread_atfork(before, parent, child);
}

int __real_pthread_key_create(pthread_key_t* key, void (*destroy)(void*));
int __wrap_pthread_key_create(pthread_key_t* key, void (*destroy)(void*));
EARLY int __wrap_pthread_key_create(pthread_key_t* key,
                                    void (*destroy)(void*)) {
  keys_created++;
  return no_key ? EAGAIN : __real_pthread_key_create(key, destroy);
}

int __real_pthread_setspecific(pthread_key_t key, const void* value);
int __wrap_pthread_setspecific(pthread_key_t key, const void* value);
EARLY int __wrap_pthread_setspecific(pthread_key_t key, const void* value) {
  return no_specific ? ENOMEM : __real_pthread_setspecific(key, value);
}

static int send_error; /* of the next call, or 0 */
static unsigned sends;
static bool kills_helper; /* the first one */
static unsigned long helpers_named;

/* A helper of a successor is named, and has ended when its byte comes. */
static void on_named(const char* text) {
  pid_t helper = (pid_t) strtol(text + strlen("MAINPID="), NULL, 10);
  siginfo_t info;

  if (helpers_named++ > 0)
    return;
  CHECK_EQ(kill(helper, SIGKILL), 0);
  CHECK_EQ(
      UNINTERRUPTED(waitid(P_PID, (id_t) helper, &info, WEXITED | WNOWAIT)), 0);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr* message, int flags);
EARLY ssize_t __wrap_sendmsg(int fd, const struct msghdr* message, int flags) {
  (void) fd;
  (void) flags;
  sends++;
  if (kills_helper && strncmp(message->msg_iov->iov_base, "MAINPID=", 8) == 0)
    on_named(message->msg_iov->iov_base);
  if (send_error == 0)
    return (ssize_t) message->msg_iov->iov_len;
  errno = send_error;
  send_error = 0;
  return -1;
}

/* The library calls one of the two: the wrapper where libc has it. */
int __wrap_pidfd_send_signal(int pidfd,
                             int signum,
                             siginfo_t* info,
                             unsigned flags);
EARLY int __wrap_pidfd_send_signal(int pidfd,
                                   int signum,
                                   siginfo_t* info,
                                   unsigned flags) {
  (void) pidfd;
  (void) signum;
  (void) info;
  (void) flags;
  CHECK(no_pidfd);
  errno = ENOSYS;
  return -1;
}

/* How many of the next are refused, and with what. Handlers read them: to the
 * compiler raise() is a call that changes nothing here. */
static volatile unsigned refused_writes;
static volatile int write_error;

/* The handler's calls that write to a wakeup fd. */
static bool is_write(long number) {
#ifdef SYS_write
  if (number == SYS_write)
    return true;
#endif
#ifdef SYS_sendto
  if (number == SYS_sendto)
    return true;
#endif
  return false;
}

static bool refuses_syscall(long number, const long* arguments) {
  (void) arguments;
#ifdef SYS_pidfd_send_signal
  if (number == SYS_pidfd_send_signal) {
    CHECK(no_pidfd);
    errno = ENOSYS;
    return true;
  }
#endif
  if (!is_write(number) || refused_writes == 0)
    return false;
  refused_writes--;
  errno = write_error;
  return true;
}

static void check_failing_init(bool* failure, int expected) {
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_t before;
  int fds;

  CHECK_EQ(uv_loop_init(&loop), 0);
  memset(&sig, 0x5a, sizeof(sig));
  before = sig;
  fds = open_fds();
  *failure = true;
  CHECK_EQ(uvsig_init(&loop, &sig, NULL), expected);
  *failure = false;
  CHECK_EQ(memcmp(&sig, &before, sizeof(sig)), 0);
  CHECK_EQ(open_fds(), fds);
  /* And it works once there is what was missing. */
  CHECK_EQ(uvsig_init(&loop, &sig, NULL), 0);
  CHECK_EQ(uvsig_close(&sig, NULL), 0);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

static void init_without_memory_says_enomem_and_leaves_nothing(void) {
  check_failing_init(&no_memory, UV_ENOMEM);
}

static void init_without_a_poll_handle_says_why_and_leaves_nothing(void) {
  check_failing_init(&no_poll, UV_ENOSPC);
}

static void die_by_usr1(void) {
  raise(SIGUSR1);
}

static void check_forks(void) {
  int status;

  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  status = run_forked(die_by_usr1);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
}

static void what_forks_need_is_tried_again_where_there_was_no_memory(void) {
  atforks = 0; /* a sanitizer has its own */
  check_failing_init(&no_atfork, UV_ENOMEM);
  fixture_open(&f, NULL);
  check_forks();
  fixture_close(&f);
  CHECK_EQ(atforks, 1);
}

/* To look at the wakeup fd takes the lock, too. */
static void what_forks_need_is_there_from_the_first_look_on(void) {
  atforks = 0;
  CHECK_EQ(uvsig_get_wakeup_fd(NULL), -1);
  CHECK_EQ(atforks, 1);
  CHECK_EQ(uvsig_get_wakeup_fd(NULL), -1);
  CHECK_EQ(atforks, 1);
}

static void what_forks_need_may_be_there_twice(void) {
  twice_atfork = true;
  fixture_open(&f, NULL);
  check_forks();
  check_forks();
  fixture_close(&f);
}

/* The child of a fork in between might never get the library's lock. */
static void what_needs_the_lock_says_enomem_where_forks_cannot_be_prepared(
    void) {
  uvsig_itimerval_t timer = {-1, -1};
  uv_loop_t loop;
  int fds[2];
  int old = -2;
  int warn = -1;

  CHECK_EQ(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), 0);
  no_atfork = true;
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UV_ENOMEM);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UV_ENOMEM);
  CHECK_EQ(uvsig_default(SIGUSR1), UV_ENOMEM);
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 1), UV_ENOMEM);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, &old), UV_ENOMEM);
  CHECK_EQ(old, -2);
  CHECK_EQ(uvsig_get_wakeup_fd(&warn), -1);
  CHECK_EQ(warn, 0);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 100, 0, &timer), UV_ENOMEM);
  CHECK(timer.seconds == -1);
  CHECK_EQ(uvsig_alarm(100), UINT_MAX);
  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uvsig_run(&loop, NULL, NULL), UV_ENOMEM);
  close_loop(&loop);
  no_atfork = false;
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &timer), 0);
  CHECK(timer.seconds == 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_set_wakeup_fd(fds[1], 1, &old), 0);
  CHECK_EQ(old, -1);
  CHECK_EQ(uvsig_set_wakeup_fd(-1, 0, NULL), 0);
  CHECK_EQ(close(fds[0]), 0);
  CHECK_EQ(close(fds[1]), 0);
}

static void init_without_a_key_for_threads_says_eagain_and_leaves_nothing(
    void) {
  check_failing_init(&no_key, UV_EAGAIN);
}

static void open_and_close(void* unused) {
  struct fixture own;

  (void) unused;
  fixture_open(&own, NULL);
  fixture_close(&own);
}

static void one_key_is_for_all_threads(void) {
  uv_thread_t thread;

  keys_created = 0;
  open_and_close(NULL);
  CHECK_EQ(uv_thread_create(&thread, open_and_close, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(keys_created, 1);
}

static void init_that_cannot_note_the_thread_says_enomem_and_leaves_nothing(
    void) {
  check_failing_init(&no_specific, UV_ENOMEM);
  /* It has been noted since, and for good. */
  no_specific = true;
  fixture_open(&f, NULL);
  no_specific = false;
  fixture_close(&f);
}

static void init_leaves_the_keys_of_others_alone_where_all_are_in_use(void) {
  static pthread_key_t keys[65536];
  size_t count = 0;
  size_t i;

  while (count < sizeof(keys) / sizeof(*keys) &&
         pthread_key_create(&keys[count], NULL) == 0) {
    CHECK_EQ(pthread_setspecific(keys[count], &keys[count]), 0);
    count++;
  }
  if (count == sizeof(keys) / sizeof(*keys))
    skip_test("there is no end of keys here");
  CHECK_EQ(uvsig_init(uv_default_loop(), &f.sig, NULL), UV_EAGAIN);
  for (i = 0; i < count; i++)
    CHECK(pthread_getspecific(keys[i]) == &keys[i]);
  CHECK_EQ(uv_loop_close(uv_default_loop()), 0);
  CHECK_EQ(pthread_key_delete(keys[0]), 0);
  fixture_open(&f, NULL);
  fixture_close(&f);
}

static void run_without_a_note(void* argument) {
  (void) argument;
  no_specific = true;
  CHECK(uv_run(&f.loop, UV_RUN_NOWAIT) != 0);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 1);
  no_specific = false;
}

static pthread_t without_note;

static void* end_without_a_note(void* argument) {
  run_without_a_note(argument);
  return NULL;
}

static void check_that_it_is_another_thread(void) {
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 0);
}

/* Nor is it the next one's that has the same id: its end was not noticed. */
static void a_loop_of_a_thread_without_a_note_is_nobodys_with_the_same_id(
    void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1); /* or the loop would not turn */
  CHECK_EQ(pthread_create(&without_note, NULL, end_without_a_note, NULL), 0);
  CHECK_EQ(pthread_join(without_note, NULL), 0);
  run_with_id(without_note, check_that_it_is_another_thread);
  CHECK(uv_run(&f.loop, UV_RUN_NOWAIT) != 0);
  fixture_close(&f);
}

/* What happens then is one of the header's rules. */
static void a_loop_of_a_thread_without_a_note_is_the_next_ones_that_runs_it(
    void) {
  uv_thread_t thread;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1); /* or the loop would not turn */
  CHECK_EQ(uv_thread_create(&thread, run_without_a_note, NULL), 0);
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK_EQ(uvsig_is_loop_thread(&f.sig), 0);
  CHECK(uv_run(&f.loop, UV_RUN_NOWAIT) != 0);
  fixture_close(&f);
}

/* Whichever of its steps is refused. */
static void join_in_vain(void) {
  struct sigaction usr1 = action_of(SIGUSR1);
  struct sigaction usr2 = action_of(SIGUSR2);
  struct sigaction winch = action_of(SIGWINCH);
  unsigned step = 0;
  int err;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  do {
    actions_left = step++;
    err = uvsig_fork(&f.sig);
    actions_left = -1u;
    if (err != 0) {
      CHECK_EQ(err, UV_EACCES);
      CHECK(action_of(SIGUSR1).sa_handler == usr1.sa_handler);
      CHECK(action_of(SIGUSR2).sa_handler == usr2.sa_handler);
      CHECK(action_of(SIGWINCH).sa_handler == winch.sa_handler);
    }
  } while (err != 0);
  CHECK(step > 3);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_WATCHED);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_WATCHED);
  /* What the parent has unblocked is not forgotten meanwhile. */
  raise(SIGUSR2);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
}

static void on_uv_signal(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
}

/* Before ours there was: nothing, a foreign handler, libuv's. */
static void fork_that_sigaction_refuses_says_why_and_takes_all_back(void) {
  struct recorder b;
  struct recorder c;
  uv_signal_t uv;
  sigset_t set = set_of(SIGUSR2);

  install_handler(SIGUSR2, count_foreign);
  fixture_open(&f, NULL);
  CHECK_EQ(uv_signal_init(&f.loop, &uv), 0);
  CHECK_EQ(uv_signal_start(&uv, on_uv_signal, SIGWINCH), 0);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_SHARE), 0);
  recorder_init(&c, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_SHARE | UVSIG_KEEP_MASK), 0);
  CHECK_EQ(uvsig_watcher_set_flags(&c.w, UVSIG_SHARE), 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  recorder_start(&c, SIGUSR2); /* unblocks it, until the last stop */
  recorder_start(&b, SIGUSR2);
  recorder_start(&c, SIGWINCH);
  CHECK_EQ(run_forked(join_in_vain), 0);
  uv_close((uv_handle_t*) &uv, NULL);
  fixture_close(&f);
}

/* The first action is refused after the first signal is watched. */
static void be_refused_once_and_raise(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  actions_left = 1;
  raise_when_refused = true;
  CHECK_EQ(uvsig_fork(&f.sig), UV_EACCES);
  actions_left = -1u;
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  run_until(&f.loop, &a.signals, 2);
}

static void what_comes_while_a_fork_is_refused_is_delivered_later(void) {
  struct recorder b;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&a, SIGUSR1);
  recorder_start(&b, SIGUSR2);
  CHECK_EQ(run_forked(be_refused_once_and_raise), 0);
  fixture_close(&f);
}

/* The loop has heard of what is the parent's, and polls it no more. */
static void be_refused_after_a_turn(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  run_idle(&f.loop);
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  no_action = true;
  CHECK_EQ(uvsig_fork(&f.sig), UV_EACCES);
  no_action = false;
  CHECK_EQ(uv_loop_alive(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(uv_loop_alive(&f.loop) != 0);
  raise(SIGUSR1);
  run_until(&f.loop, &a.signals, 1);
}

static void a_fork_that_is_refused_does_not_poll_what_is_the_parents(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  CHECK_EQ(run_forked(be_refused_after_a_turn), 0);
  run_until(&f.loop, &a.signals, 1);
  fixture_close(&f);
}

/* Ours is left where it was: nothing watches, and it cannot be taken away. */
static void stop_in_vain(int signum) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, signum);
  no_action = true;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  raise(signum);
}

static void be_terminated(void) {
  stop_in_vain(SIGTERM);
}

static void be_told_of_a_child(void) {
  stop_in_vain(SIGURG);
  no_action = false;
  fixture_close(&f);
}

static void a_handler_that_stays_does_not_call_itself_for_ever(void) {
  int status = run_child(be_terminated);

  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
  CHECK(child_passed(run_child(be_told_of_a_child)));
}

static void fault_in_vain(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGSEGV);
  no_action = true;
  *(volatile int*) NULL = 0;
}

static void nor_does_a_fault_come_again_for_ever(void) {
  int status;

  skip_under_valgrind("it reports the fault");
  if (has_sanitizer())
    skip_test("the sanitizer reports the fault");
  status = run_child(fault_in_vain);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 128 + SIGSEGV);
}

static void wait_in_the_last_callback(uvsig_shutdown_t* sd,
                                      uvsig_shutdown_phase_t phase) {
  (void) sd;
  if (phase == UVSIG_SHUTDOWN_DONE)
    for (;;)
      pause();
}

static void end_without_a_thread(void) {
  uvsig_shutdown_options_t options;
  uvsig_shutdown_t sd;

  uvsig_shutdown_options_init(&options);
  options.grace_ms = 100;
  options.hard_ms = 100;
  options.phase_cb = wait_in_the_last_callback;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  no_thread = true;
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
}

/* The kernel ends it then, after the loop's part as well. Or the kernel's timer
 * is the first, where the machine has stood still. */
static void without_a_thread_the_limit_of_a_shutdown_holds(void) {
  int status = run_child(end_without_a_thread);

  if (WIFSIGNALED(status))
    CHECK_EQ(WTERMSIG(status), SIGKILL);
  else
    CHECK_EQ(WEXITSTATUS(status), 128 + SIGTERM);
}

static void exit_in_the_last_callback(uvsig_shutdown_t* sd,
                                      uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DONE)
    CHECK_EQ(uvsig_shutdown_exit(sd), 128 + SIGTERM);
}

/* No thread of the watchdog's keeps what the callback's caller goes on with. */
static void exit_without_a_thread(void) {
  uvsig_shutdown_options_t options;
  uvsig_shutdown_t sd;

  uvsig_shutdown_options_init(&options);
  options.grace_ms = LONG_MS;
  options.exit = UVSIG_SHUTDOWN_EXIT_CODE;
  options.phase_cb = exit_in_the_last_callback;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  no_thread = true;
  raise(SIGTERM);
  uv_run(&f.loop, UV_RUN_DEFAULT);
  CHECK_EQ(sd.report.clean, 1);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 128 + SIGTERM);
  CHECK(sd.coordinator == NULL);
  close_loop(&f.loop);
}

static void without_a_thread_the_last_callback_may_exit(void) {
  CHECK(child_passed(run_child(exit_without_a_thread)));
}

/* A started watcher that is to be re-targeted goes on as it was. */
static void check_failing_start(bool* failure, int expected) {
  struct recorder fresh;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&fresh, &f.sig);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  *failure = true;
  CHECK_EQ(uvsig_watcher_start(&fresh.w, record, SIGUSR2), expected);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR2), expected);
  CHECK_EQ(uvsig_watcher_start_oneshot(&a.w, record, SIGUSR2), expected);
  *failure = false;
  CHECK_EQ(uvsig_watcher_is_active(&fresh.w), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  CHECK_EQ(a.w.signum, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 2);
  check_books(&f.sig, 0, 2, 0);
  /* And it works once there is what was missing. */
  recorder_start(&fresh, SIGUSR2);
  raise(SIGUSR2);
  run_until(&f.loop, &fresh.calls, 1);
  fixture_close(&f);
}

static void start_without_memory_says_enomem_and_keeps_the_old_watch(void) {
  check_failing_start(&no_memory, UV_ENOMEM);
}

static void start_that_sigaction_refuses_says_why_and_keeps_the_old_watch(
    void) {
  check_failing_start(&no_action, UV_EACCES);
}

static void siginterrupt_that_sigaction_refuses_says_why_and_forgets(void) {
  struct sigaction action;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  no_action = true;
  CHECK_EQ(uvsig_siginterrupt(SIGUSR1, 1), UV_EACCES);
  no_action = false;
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(sigaction(SIGUSR1, NULL, &action), 0);
  CHECK((action.sa_flags & SA_RESTART) != 0);
  fixture_close(&f);
}

static void pause_that_cannot_sleep_says_why_and_may_be_called_again(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  no_poll_call = true;
  CHECK_EQ(uvsig_pause(&f.sig), UV_ENOMEM);
  no_poll_call = false;
  raise(SIGUSR1);
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  fixture_close(&f);
}

static void on_wait(uvsig_wait_t* req, int status, const uvsig_info_t* info) {
  (void) req;
  (void) status;
  (void) info;
  CHECK(false);
}

static void check_failing_wait(bool* failure, int expected) {
  uvsig_wait_t wait;
  uvsig_wait_t before;
  sigset_t set;

  fixture_open(&f, NULL);
  memset(&wait, 0x5a, sizeof(wait));
  before = wait;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  *failure = true;
  CHECK_EQ(uvsig_wait_start(&f.sig, &wait, &set, 0, on_wait), expected);
  *failure = false;
  CHECK_EQ(memcmp(&wait, &before, sizeof(wait)), 0);
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  fixture_close(&f);
}

static void wait_start_without_memory_says_enomem_and_calls_nobody(void) {
  check_failing_wait(&no_memory, UV_ENOMEM);
}

static void wait_start_that_sigaction_refuses_says_why_and_calls_nobody(void) {
  check_failing_wait(&no_action, UV_EACCES);
}

/* --- uvsig_run() ---------------------------------------------------------- */

/* What it allocates is refused: itself, its uvsig_t, and each of its
 * signals. */
static void run_without_memory_says_enomem_and_leaves_nothing(void) {
  sigset_t set = set_of(SIGUSR1);
  uvsig_info_t info = {.signum = -1};
  unsigned failures = 0;
  uv_loop_t loop;
  int result;

  sigaddset(&set, SIGUSR2);
  CHECK_EQ(uv_loop_init(&loop), 0);
  for (;;) {
    allocations_left = failures;
    result = uvsig_run(&loop, &set, &info);
    allocations_left = -1u;
    CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
    CHECK_EQ(uvsig_getsignal(SIGUSR2), UVSIG_DEFAULT);
    if (result == 0)
      break;
    CHECK_EQ(result, UV_ENOMEM);
    failures++;
  }
  CHECK_EQ(failures, 4);
  CHECK_EQ(info.signum, -1);
  close_loop(&loop);
}

static void run_that_sigaction_refuses_says_why_and_leaves_nothing(void) {
  sigset_t set = set_of(SIGUSR1);
  uv_loop_t loop;

  CHECK_EQ(uv_loop_init(&loop), 0);
  no_action = true;
  CHECK_EQ(uvsig_run(&loop, &set, NULL), UV_EACCES);
  no_action = false;
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
  close_loop(&loop);
}

static void on_tick(uvsig_itimer_t* t, unsigned expirations) {
  (void) t;
  (void) expirations;
  CHECK(false);
}

/* The timer that was armed goes on. */
static void check_failing_itimer(bool* failure, int expected) {
  uvsig_itimerval_t value = {0, 0};
  uvsig_itimer_t timer;

  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 1000, 7, NULL), 0);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_REAL), 0);
  *failure = true;
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, 1, 0), expected);
  *failure = false;
  CHECK_EQ(uvsig_itimer_is_active(&timer), 0);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > 500 && value.interval == 7);
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 0, 0, NULL), 0);
  fixture_close(&f);
}

static void itimer_start_without_memory_says_enomem_and_keeps_the_old(void) {
  check_failing_itimer(&no_memory, UV_ENOMEM);
}

static void itimer_start_that_sigaction_refuses_says_why_and_keeps_the_old(
    void) {
  check_failing_itimer(&no_action, UV_EACCES);
}

/* The timer that was armed goes on, and the signal has its action. */
static void check_refused_itimer(unsigned refused) {
  uvsig_itimerval_t value = {-1, -1};
  uvsig_itimer_t timer;

  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 1000, 7, NULL), 0);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_REAL), 0);
  refused_itimers = refused;
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, 1, 0), UV_EACCES);
  CHECK_EQ(refused_itimers, 0);
  CHECK_EQ(uvsig_itimer_is_active(&timer), 0);
  CHECK_EQ(uvsig_getsignal(SIGALRM), UVSIG_DEFAULT);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds > 500 && value.interval == 7);
  /* Nobody has it. */
  CHECK_EQ(uvsig_setitimer(UVSIG_ITIMER_REAL, 0, 0, NULL), 0);
  fixture_close(&f);
}

static void itimer_start_that_cannot_disarm_the_old_says_why_and_keeps_it(
    void) {
  check_refused_itimer(1);
}

static void itimer_start_that_cannot_arm_says_why_and_gives_the_old_back(void) {
  check_refused_itimer(2);
}

static unsigned long ticks;

static void count_tick(uvsig_itimer_t* t, unsigned expirations) {
  (void) t;
  ticks += expirations;
}

static void a_started_itimer_that_cannot_be_set_anew_goes_on_as_it_was(void) {
  uvsig_itimerval_t value = {-1, -1};
  uvsig_itimer_t timer;

  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_itimer_init(&f.sig, &timer, UVSIG_ITIMER_REAL), 0);
  CHECK_EQ(uvsig_itimer_start(&timer, count_tick, 0.01, 0.01), 0);
  refused_itimers = 1;
  CHECK_EQ(uvsig_itimer_start(&timer, on_tick, 1000, 0), UV_EACCES);
  CHECK_EQ(uvsig_itimer_is_active(&timer), 1);
  while (ticks < 3)
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  refused_itimers = 1;
  CHECK_EQ(uvsig_itimer_stop(&timer), UV_EACCES);
  CHECK_EQ(uvsig_itimer_is_active(&timer), 1);
  ticks = 0;
  while (ticks < 3)
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  CHECK_EQ(uvsig_itimer_stop(&timer), 0);
  CHECK_EQ(uvsig_getitimer(UVSIG_ITIMER_REAL, &value), 0);
  CHECK(value.seconds == 0);
  fixture_close(&f);
}

/* Linux says EINTR, NetBSD ECANCELED. */
static void a_wait_that_a_handler_interrupts_goes_on(void) {
#ifdef HAVE_SIGTIMEDWAIT
  static const int interruptions[] = {EINTR, ECANCELED};
  sigset_t set = set_of(SIGUSR1);
  uvsig_info_t info;
  size_t i;

  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  for (i = 0; i < sizeof(interruptions) / sizeof(*interruptions); i++) {
# if defined(__GLIBC__) || !defined(__linux__) /* see sigwait.c */
    raise(SIGUSR1);
    interruption = interruptions[i];
    CHECK_EQ(uvsig_sigtimedwait(&set, 1000, &info), 0);
    CHECK_EQ(interruption, 0);
# endif
    raise(SIGUSR1);
    interruption = interruptions[i];
    CHECK_EQ(uvsig_sigwaitinfo(&set, &info), 0);
    CHECK_EQ(interruption, 0);
  }
  interruption = EINVAL;
  CHECK_EQ(uvsig_sigwaitinfo(&set, &info), UV_EINVAL);
#else
  skip_test("no sigtimedwait(2) here");
#endif
}

static void check_not_run(void* argument) {
  (void) argument;
  CHECK(false);
}

static void thread_create_that_libuv_refuses_says_why_and_keeps_the_mask(void) {
  uv_thread_t thread;
  sigset_t mask;

  no_thread = true;
  CHECK_EQ(uvsig_thread_create(&thread, check_not_run, NULL), UV_EAGAIN);
  no_thread = false;
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
  CHECK_EQ(sigismember(&mask, SIGUSR1), 0);
}

static void threadpool_prime_without_memory_says_enomem(void) {
  uv_loop_t loop;

  CHECK_EQ(uv_loop_init(&loop), 0);
  no_memory = true;
  CHECK_EQ(uvsig_threadpool_prime(&loop), UV_ENOMEM);
  no_memory = false;
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

/* As Linux before 5.1. */
static void pidfd_send_signal_that_the_kernel_does_not_have_says_enosys(void) {
  no_pidfd = true;
  CHECK_EQ(uvsig_pidfd_send_signal(0, SIGUSR1, NULL, 0), UV_ENOSYS);
  no_pidfd = false;
}

static void ignore_and_default_that_sigaction_refuses_say_why(void) {
  no_action = true;
  CHECK_EQ(uvsig_ignore(SIGUSR1), UV_EACCES);
  CHECK_EQ(uvsig_default(SIGUSR1), UV_EACCES);
  no_action = false;
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

/* --- Shutdown ------------------------------------------------------------- */

static void check_failing_shutdown(bool* failure, int expected) {
  uvsig_shutdown_t sd;
  uvsig_shutdown_t before;
  struct sigaction untouched = action_of(SIGTERM);
  struct sigaction action;

  fixture_open(&f, NULL);
  memset(&sd, 0x5a, sizeof(sd));
  before = sd;
  *failure = true;
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), expected);
  *failure = false;
  CHECK_EQ(memcmp(&sd, &before, sizeof(sd)), 0);
  action = action_of(SIGTERM);
  CHECK(action.sa_handler == untouched.sa_handler);
  /* And it works once there is what was missing. */
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  CHECK_EQ(uvsig_getsignal(SIGTERM), UVSIG_WATCHED);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void shutdown_init_without_memory_says_enomem(void) {
  check_failing_shutdown(&no_memory, UV_ENOMEM);
}

static void on_connection(uvsig_shutdown_connection_t* c,
                          uvsig_shutdown_event_t event) {
  (void) c;
  (void) event;
}

/* More than the socket takes, so that it cannot be closed for writing yet. */
static char much[1 << 20];

static void without_memory_what_lingers_is_closed_for_writing_all_the_same(
    void) {
  static uvsig_shutdown_connection_t connection;
  static char chunk[sizeof(much) / 8];
  uvsig_shutdown_t sd;
  uv_buf_t buffer = uv_buf_init(much, sizeof(much));
  uv_write_t request;
  uv_pipe_t pipe;
  uv_stream_t* stream = (uv_stream_t*) &pipe;
  size_t count = 0;
  ssize_t n;
  int fds[2];

  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  CHECK_EQ(uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, 0), 0);
  CHECK_EQ(uv_pipe_init(&f.loop, &pipe, 0), 0);
  CHECK_EQ(uv_pipe_open(&pipe, fds[0]), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&sd, &connection, on_connection), 0);
  CHECK_EQ(uv_write(&request, stream, &buffer, 1, NULL), 0);
  CHECK(uv_stream_get_write_queue_size(stream) > 0);
  no_memory = true;
  CHECK_EQ(uvsig_shutdown_linger(&connection, stream, NULL), 0);
  no_memory = false;
  do {
    CHECK(uv_run(&f.loop, UV_RUN_NOWAIT) != 0);
    n = recv(fds[1], chunk, sizeof(chunk), MSG_DONTWAIT);
    CHECK(n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK);
    if (n > 0)
      count += (size_t) n;
  } while (n != 0);
  CHECK_EQ(count, sizeof(much));
  CHECK(connection.shutdown == &sd);
  close(fds[1]);
  while (connection.shutdown != NULL)
    CHECK(uv_run(&f.loop, UV_RUN_ONCE) != 0);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
}

static void shutdown_init_without_an_async_handle_says_why(void) {
  check_failing_shutdown(&no_async, UV_EMFILE);
}

static void shutdown_init_that_sigaction_refuses_says_why(void) {
  check_failing_shutdown(&no_action, UV_EACCES);
}

static void shut_down_without_a_thread(void) {
  uvsig_shutdown_options_t options;
  uvsig_shutdown_t sd;

  uvsig_shutdown_options_init(&options);
  options.grace_ms = 600 * 1000; /* it is not about time */
  options.keep_sig = 1;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
  no_thread = true;
  raise(SIGTERM);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(sd.report.clean, 1);
  fixture_close(&f);
  exit(uvsig_shutdown_exit(&sd));
}

static void on_later(uv_timer_t* timer) {
  unsigned long* calls = timer->data;

  ++*calls;
}

/* How many calls READY=1 takes, and what follows in the loop's next 300 ms,
 * where the first call fails with `error`. */
static void check_sends(int error, unsigned at_once, unsigned later) {
  uvsig_shutdown_t sd;
  uv_timer_t timer;
  unsigned long calls = 0;

  CHECK_EQ(setenv("NOTIFY_SOCKET", "@uvsig", 1), 0);
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  CHECK_EQ(uv_timer_init(&f.loop, &timer), 0);
  timer.data = &calls;
  sends = 0;
  send_error = error;
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(sends, at_once);
  CHECK_EQ(uv_timer_start(&timer, on_later, 300, 0), 0);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(sends, at_once + later);
  uv_close((uv_handle_t*) &timer, NULL);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  CHECK_EQ(sends, at_once + later);
}

static void a_notification_that_is_interrupted_is_sent_again_at_once(void) {
  check_sends(0, 1, 0);
  check_sends(EINTR, 2, 0);
}

static void a_notification_without_room_is_sent_again_later(void) {
  check_sends(EAGAIN, 1, 1);
  check_sends(ENOBUFS, 1, 1);
  check_sends(ENOMEM, 1, 1);
}

static void a_notification_that_is_refused_is_not_sent_again(void) {
  check_sends(EACCES, 1, 0);
  check_sends(ECONNREFUSED, 1, 0);
}

static int succeeded[2];

/* It has not ended of SIGPIPE, and tries again. */
static void be_successor(void) {
  uvsig_shutdown_t sd;

  CHECK_EQ(setenv("NOTIFY_SOCKET", "@predecessor", 1), 0);
  CHECK_EQ(setenv("UVSIG_NOTIFY_SOCKET", "@uvsig", 1), 0);
  kills_helper = true;
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, NULL), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(write(succeeded[1], "r", 1), 1);
  while (helpers_named < 2)
    uv_run(&f.loop, UV_RUN_ONCE);
  CHECK_EQ(write(succeeded[1], "n", 1), 1);
  _exit(0);
}

static void be_predecessor(void) {
  pid_t pid = fork();
  char byte;

  CHECK(pid >= 0);
  if (pid == 0)
    be_successor();
  CHECK_EQ(UNINTERRUPTED(read(succeeded[0], &byte, 1)), 1);
  CHECK_EQ(byte, 'r');
}

static void a_successor_whose_helper_is_killed_takes_another_one(void) {
  char byte = 0;

  CHECK_EQ(pipe2(succeeded, O_CLOEXEC), 0);
  CHECK_EQ(run_forked(be_predecessor), 0);
  close(succeeded[1]);
  CHECK_EQ(UNINTERRUPTED(read(succeeded[0], &byte, 1)), 1);
  CHECK_EQ(byte, 'n');
  close(succeeded[0]);
}

static void a_shutdown_without_a_deadline_thread_goes_on(void) {
  int status = run_forked(shut_down_without_a_thread);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

/* A watcher whose start has failed must not be called by the handler. */
static void on_handler(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  (void) w;
  (void) signum;
  (void) info;
}

static unsigned long calls_beside;

static void on_beside(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
  calls_beside++;
}

static void a_failed_start_leaves_no_handler_behind(void) {
  struct recorder b;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, on_handler), 0);
  no_action = true;
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR1), UV_EACCES);
  no_action = false;
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_set_handler(&b.w, on_handler), 0);
  CHECK_EQ(uvsig_watcher_start(&b.w, record, SIGUSR1), 0);
  fixture_close(&f);
}

/* What it wanted, the next watcher of the signal does not have. */
static void a_failed_start_wants_nothing_any_more(void) {
  struct recorder b;

  install_handler(SIGUSR1, count_foreign);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  no_action = true;
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR1), UV_EACCES);
  no_action = false;
  recorder_start(&b, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(foreign_calls, 0);
  fixture_close(&f);
}

/* It is to be shared late, when libuv's handler has replaced the library's. */
static void a_failed_start_leaves_other_watchers_theirs(void) {
  struct recorder b;
  uv_signal_t beside;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(uv_signal_init(&f.loop, &beside), 0);
  CHECK_EQ(uv_signal_start(&beside, on_beside, SIGUSR1), 0);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_SHARE), 0);
  no_action = true;
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR1), UV_EACCES);
  no_action = false;
  CHECK_EQ(uvsig_watcher_is_active(&b.w), 1);
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  CHECK_EQ(a.calls, 1);
  uv_close((uv_handle_t*) &beside, NULL);
  fixture_close(&f);
}

/* Of libuv's on the library: each of the allocations. */
static void a_moved_handle_without_memory_says_enomem_and_starts_later(void) {
  uv_signal_t moved;
  uv_loop_t loop;
  unsigned n;

  CHECK_EQ(uv_loop_init(&loop), 0);
  CHECK_EQ(uv_signal_init(&loop, &moved), 0);
  for (n = 0; n < 4; n++) {
    allocations_left = n;
    CHECK_EQ(uvsig_uv_signal_start(&moved, on_beside, SIGUSR1), UV_ENOMEM);
    allocations_left = -1u;
    CHECK_EQ(uvsig_uv_is_active((uv_handle_t*) &moved), 0);
    uv_run(&loop, UV_RUN_NOWAIT);
    CHECK(uvsig_of_loop(&loop) == NULL);
  }
  CHECK_EQ(uvsig_uv_signal_start(&moved, on_beside, SIGUSR1), 0);
  raise(SIGUSR1);
  run_until(&loop, &calls_beside, 1);
  uvsig_uv_close((uv_handle_t*) &moved, NULL);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

/* Nor one of libuv's, where the signal is shared. */
static void nor_does_one_of_a_shared_signal(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_SHARE), 0);
  no_action = true;
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR1), UV_EACCES);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGCHLD), UV_EACCES);
  no_action = false;
  CHECK(action_of(SIGUSR1).sa_handler == SIG_DFL);
  CHECK(action_of(SIGCHLD).sa_handler == SIG_DFL);
  fixture_close(&f);
}

static unsigned warnings;

static void note_warning(uvsig_t* sig, const uvsig_warning_t* warning) {
  (void) sig;
  CHECK_EQ(warning->kind, UVSIG_WARN_WRITE_ERROR);
  CHECK_EQ(warning->error, -write_error);
  warnings++;
}

/* Is there something that wakes the loop, which has polled before? */
static bool is_woken(void) {
  struct pollfd pollfd = {uv_backend_fd(&f.loop), POLLIN, 0};

  return poll(&pollfd, 1, 0) == 1;
}

/* The first signal wakes nothing, for that is what fails. All others do. */
static void fail_to_write(uvsig_wakeup_t wakeup,
                          uvsig_mode_t mode,
                          unsigned refused) {
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.wakeup = wakeup;
  options.mode = mode;
  options.warning_cb = note_warning;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  warnings = 0;
  refused_writes = refused;
  write_error = wakeup == UVSIG_WAKEUP_PIPE ? ENOMEM : ENOBUFS;
  raise(SIGUSR1);
  CHECK_EQ(refused_writes, 0);
  CHECK(!is_woken());
  raise(SIGUSR1);
  CHECK(is_woken());
  raise_times(SIGUSR1, 3);
  run_until(&f.loop, &a.signals, 5);
  CHECK_EQ(warnings, 1);
  raise(SIGUSR1);
  CHECK(is_woken());
  run_until(&f.loop, &a.signals, 6);
  CHECK_EQ(warnings, 1);
  check_books(&f.sig, SIGUSR1, 6, 0);
  fixture_close(&f);
}

static void a_doorbell_that_cannot_be_written_is_rung_by_the_next_signal(void) {
#if defined(SYS_write) && defined(SYS_sendto)
  fail_to_write(UVSIG_WAKEUP_PIPE, UVSIG_MODE_WAKE_ONLY, 1);
  a = (struct recorder){0};
  fail_to_write(UVSIG_WAKEUP_SOCKETPAIR, UVSIG_MODE_WAKE_ONLY, 1);
#else
  skip_test("the library does not write by syscall() here");
#endif
}

/* The doorbell makes up for it, and it is told all the same. */
static void a_byte_that_alone_cannot_be_written_is_warned_of(void) {
#ifdef SYS_write
  uvsig_options_t options;

  uvsig_options_init(&options);
  options.warning_cb = note_warning;
  fixture_open(&f, &options);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGUSR1);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  refused_writes = 1;
  write_error = ENOMEM;
  raise(SIGUSR1);
  CHECK_EQ(refused_writes, 0);
  CHECK(is_woken());
  run_until(&f.loop, &a.signals, 1);
  run_idle(&f.loop);
  CHECK_EQ(warnings, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
#else
  skip_test("the library does not write by syscall() here");
#endif
}

/* The byte, and the doorbell that is to make up for it. */
static void a_byte_that_cannot_be_written_is_made_up_for_by_the_next_one(void) {
#if defined(SYS_write) && defined(SYS_sendto)
  fail_to_write(UVSIG_WAKEUP_PIPE, UVSIG_MODE_BYTES, 2);
  a = (struct recorder){0};
  fail_to_write(UVSIG_WAKEUP_SOCKETPAIR, UVSIG_MODE_BYTES, 2);
#else
  skip_test("the library does not write by syscall() here");
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(init_without_memory_says_enomem_and_leaves_nothing),
      TEST(init_without_a_poll_handle_says_why_and_leaves_nothing),
      TEST(what_forks_need_is_tried_again_where_there_was_no_memory),
      TEST(what_forks_need_is_there_from_the_first_look_on),
      TEST(what_forks_need_may_be_there_twice),
      TEST(what_needs_the_lock_says_enomem_where_forks_cannot_be_prepared),
      TEST(init_without_a_key_for_threads_says_eagain_and_leaves_nothing),
      TEST(one_key_is_for_all_threads),
      TEST(init_that_cannot_note_the_thread_says_enomem_and_leaves_nothing),
      TEST(init_leaves_the_keys_of_others_alone_where_all_are_in_use),
      TEST(a_loop_of_a_thread_without_a_note_is_the_next_ones_that_runs_it),
      TEST(a_loop_of_a_thread_without_a_note_is_nobodys_with_the_same_id),
      TEST(fork_that_sigaction_refuses_says_why_and_takes_all_back),
      TEST(what_comes_while_a_fork_is_refused_is_delivered_later),
      TEST(a_fork_that_is_refused_does_not_poll_what_is_the_parents),
      TEST(a_handler_that_stays_does_not_call_itself_for_ever),
      TEST(without_a_thread_the_limit_of_a_shutdown_holds),
      TEST(without_a_thread_the_last_callback_may_exit),
      TEST(nor_does_a_fault_come_again_for_ever),
      TEST(start_without_memory_says_enomem_and_keeps_the_old_watch),
      TEST(start_that_sigaction_refuses_says_why_and_keeps_the_old_watch),
      TEST(siginterrupt_that_sigaction_refuses_says_why_and_forgets),
      TEST(pause_that_cannot_sleep_says_why_and_may_be_called_again),
      TEST(wait_start_without_memory_says_enomem_and_calls_nobody),
      TEST(wait_start_that_sigaction_refuses_says_why_and_calls_nobody),
      TEST(run_without_memory_says_enomem_and_leaves_nothing),
      TEST(run_that_sigaction_refuses_says_why_and_leaves_nothing),
      TEST(itimer_start_without_memory_says_enomem_and_keeps_the_old),
      TEST(itimer_start_that_sigaction_refuses_says_why_and_keeps_the_old),
      TEST(itimer_start_that_cannot_disarm_the_old_says_why_and_keeps_it),
      TEST(itimer_start_that_cannot_arm_says_why_and_gives_the_old_back),
      TEST(a_started_itimer_that_cannot_be_set_anew_goes_on_as_it_was),
      TEST(a_wait_that_a_handler_interrupts_goes_on),
      TEST(thread_create_that_libuv_refuses_says_why_and_keeps_the_mask),
      TEST(threadpool_prime_without_memory_says_enomem),
      TEST(pidfd_send_signal_that_the_kernel_does_not_have_says_enosys),
      TEST(ignore_and_default_that_sigaction_refuses_say_why),
      TEST(shutdown_init_without_memory_says_enomem),
      TEST(shutdown_init_without_an_async_handle_says_why),
      TEST(shutdown_init_that_sigaction_refuses_says_why),
      TEST(without_memory_what_lingers_is_closed_for_writing_all_the_same),
      TEST(a_notification_that_is_interrupted_is_sent_again_at_once),
      TEST(a_notification_without_room_is_sent_again_later),
      TEST(a_notification_that_is_refused_is_not_sent_again),
      TEST(a_successor_whose_helper_is_killed_takes_another_one),
      TEST(a_shutdown_without_a_deadline_thread_goes_on),
      TEST(a_failed_start_leaves_no_handler_behind),
      TEST(nor_does_one_of_a_shared_signal),
      TEST(a_failed_start_wants_nothing_any_more),
      TEST(a_failed_start_leaves_other_watchers_theirs),
      TEST(a_moved_handle_without_memory_says_enomem_and_starts_later),
      TEST(a_doorbell_that_cannot_be_written_is_rung_by_the_next_signal),
      TEST(a_byte_that_alone_cannot_be_written_is_warned_of),
      TEST(a_byte_that_cannot_be_written_is_made_up_for_by_the_next_one),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
