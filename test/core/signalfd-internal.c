/* SPDX-License-Identifier: MIT
 *
 * UVSIG_WAKEUP_SIGNALFD where the system refuses: signalfd() itself, memory, its
 * poll handle, an action, a read, a signal that is given back. Linked with
 * --wrap, so that the calls of the library come here first.
 */

#include "../lib/harness.h"
#include "../lib/wrap-syscall.h"

#include "../../lib/queue.h"
#include "../../lib/signalfd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a, b;

static int refusal;         /* errno of signalfd(), or 0 */
static unsigned calls_left; /* of signalfd(), before that */
static unsigned checks;     /* calls of signalfd() for one that is there */
static bool no_poll;        /* for any but the first handle */
static unsigned polls;
static int read_error; /* of a descriptor that is a signalfd */
static int signal_fd = -1;
static bool is_endless; /* it never has less than a read has room for */
static unsigned reads;  /* of it */

#ifdef HAVE_SYS_SIGNALFD_H
int __real_signalfd(int fd, const sigset_t* set, int flags);
int __wrap_signalfd(int fd, const sigset_t* set, int flags);
EARLY int __wrap_signalfd(int fd, const sigset_t* set, int flags) {
  int result;

  checks += fd >= 0;
  if (refusal != 0 && calls_left-- == 0) {
    calls_left = 0;
    errno = refusal;
    return -1;
  }
  result = __real_signalfd(fd, set, flags);
  if (fd < 0)
    signal_fd = result;
  return result;
}

#endif

static unsigned allocations_left = -1u; /* before one is refused */

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
EARLY void* __wrap_calloc(size_t count, size_t size) {
  return allocations_left-- == 0 ? NULL : __real_calloc(count, size);
}

static bool no_return; /* of signals to the kernel */

static bool refuses_syscall(long number, const long* arguments) {
  (void) arguments;
#ifdef SYS_rt_tgsigqueueinfo
  if (no_return && number == SYS_rt_tgsigqueueinfo) {
    errno = EAGAIN;
    return true;
  }
#else
  (void) number;
#endif
  return false;
}

int __real_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd);
int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd);
EARLY int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd) {
  if (no_poll && polls++ > 0)
    return UV_ENOSPC;
  return __real_uv_poll_init(loop, handle, fd);
}

ssize_t __real_read(int fd, void* to, size_t size);
ssize_t __wrap_read(int fd, void* to, size_t size);
EARLY ssize_t __wrap_read(int fd, void* to, size_t size) {
  reads += fd == signal_fd;
  if (is_endless && fd == signal_fd) {
    memset(to, 0, size);
    return (ssize_t) size;
  }
  if (read_error != 0 && fd == signal_fd) {
    errno = read_error;
    if (read_error == EINTR)
      read_error = 0;
    return -1;
  }
  return __real_read(fd, to, size);
}

static bool no_action;
static bool was_blocked; /* SIGRTMIN, when an action was set for it */

int __real_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
EARLY int __wrap_sigaction(int signum,
                           const struct sigaction* action,
                           struct sigaction* previous) {
  if (no_action && action != NULL) {
    errno = EACCES;
    return -1;
  }
  if (action != NULL && signum == SIGRTMIN)
    was_blocked = is_blocked(SIGRTMIN);
  return __real_sigaction(signum, action, previous);
}

/* How many signals a user may have queued, as the library is told; or that is
 * refused. */
static const struct rlimit* told_limit;
static bool no_limit;

int __real_getrlimit(int what, struct rlimit* limit);
int __wrap_getrlimit(int what, struct rlimit* limit);
EARLY int __wrap_getrlimit(int what, struct rlimit* limit) {
  if (no_limit) {
    memset(limit, 0, sizeof(*limit)); /* means nothing then */
    errno = EINVAL;
    return -1;
  }
  if (told_limit != NULL) {
    *limit = *told_limit;
    return 0;
  }
  return __real_getrlimit(what, limit);
}

/* Done where the library sleeps, once. */
static void (*at_sleep)(const struct pollfd* fds);

int __real_poll(struct pollfd* fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout);
EARLY int __wrap_poll(struct pollfd* fds, nfds_t count, int timeout) {
  if (timeout < 0 && at_sleep != NULL) {
    at_sleep(fds);
    at_sleep = NULL;
  }
  return __real_poll(fds, count, timeout);
}

static uint64_t loop_time; /* as the library is told, or 0 */

uint64_t __real_uv_now(const uv_loop_t* loop);
uint64_t __wrap_uv_now(const uv_loop_t* loop);
EARLY uint64_t __wrap_uv_now(const uv_loop_t* loop) {
  return loop_time != 0 ? loop_time : __real_uv_now(loop);
}

static void set_options(uvsig_options_t* options) {
  uvsig_options_init(options);
  options->wakeup = UVSIG_WAKEUP_SIGNALFD;
}

static void open_two(void) {
  fixture_open_warned(&f);
  recorder_init(&a, &f.sig);
  recorder_init(&b, &f.sig);
}

static void init_fails_with(int err, int expected) {
  uvsig_options_t options;
  uv_loop_t loop;
  uvsig_t sig;
  int fds;

  memset(&sig, 0, sizeof(sig));
  set_options(&options);
  CHECK_EQ(uv_loop_init(&loop), 0);
  fds = open_fds();
  refusal = err;
  calls_left = 0;
  CHECK_EQ(uvsig_init(&loop, &sig, &options), expected);
  refusal = 0;
  CHECK(sig.hub == NULL);
  CHECK_EQ(open_fds(), fds);
  close_loop(&loop);
}

static void a_kernel_without_signalfd_is_not_supported(void) {
  init_fails_with(ENOSYS, UV_ENOTSUP);
}

static void init_says_what_signalfd_says(void) {
  open_two();
  fixture_close(&f);
  init_fails_with(EMFILE, UV_EMFILE);
  init_fails_with(ENOMEM, UV_ENOMEM);
}

static void init_without_a_poll_handle_holds_nothing(void) {
  uvsig_options_t options;
  uv_loop_t loop;
  uvsig_t sig;
  int fds;

  open_two();
  fixture_close(&f);
  memset(&sig, 0, sizeof(sig));
  set_options(&options);
  CHECK_EQ(uv_loop_init(&loop), 0);
  fds = open_fds();
  no_poll = true;
  polls = 1;
  CHECK_EQ(uvsig_init(&loop, &sig, &options), UV_ENOSPC);
  CHECK_EQ(open_fds(), fds);
  close_loop(&loop);
}

static void init_without_memory_holds_nothing(void) {
  uvsig_options_t options;
  unsigned failures = 0;
  uv_loop_t loop;
  uvsig_t sig;
  int fds;

  open_two();
  fixture_close(&f);
  memset(&sig, 0, sizeof(sig));
  set_options(&options);
  CHECK_EQ(uv_loop_init(&loop), 0);
  fds = open_fds();
  for (;;) {
    allocations_left = failures;
    if (uvsig_init(&loop, &sig, &options) != UV_ENOMEM)
      break;
    CHECK(sig.hub == NULL);
    CHECK_EQ(open_fds(), fds);
    failures++;
  }
  allocations_left = -1u;
  CHECK(failures >= 2);
  CHECK_EQ(uvsig_close(&sig, NULL), 0);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

static void check_untouched(int signum) {
  CHECK(!is_blocked(signum));
  CHECK(action_of(signum).sa_handler == SIG_DFL);
  CHECK_EQ(uvsig_watcher_is_active(&a.w), 0);
}

static void a_start_without_a_poll_handle_changes_nothing(void) {
  struct sigaction before;

  open_two();
  no_poll = true;
  polls = 1;
  before = action_of(SIGCHLD);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGUSR1), UV_ENOSPC);
  check_untouched(SIGUSR1);
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGCHLD), UV_ENOSPC);
  check_untouched(SIGCHLD);
  CHECK(action_of(SIGCHLD).sa_handler == before.sa_handler);
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  no_poll = false;
  recorder_start(&a, SIGUSR1);
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void a_start_without_an_action_changes_nothing(void) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  no_action = true;
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGRTMIN), UV_EACCES);
  no_action = false;
  CHECK(!is_blocked(SIGRTMIN));
  CHECK(action_of(SIGRTMIN).sa_handler == count_foreign);
  raise(SIGRTMIN);
  CHECK_EQ(foreign_calls, 1);
  recorder_start(&a, SIGRTMIN);
  raise(SIGRTMIN);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void what_was_blocked_before_it_is_blocked_still(void) {
  sigset_t set = set_of(SIGRTMIN);

  open_two();
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  no_action = true;
  CHECK_EQ(uvsig_watcher_start(&a.w, record, SIGRTMIN), UV_EACCES);
  no_action = false;
  CHECK(is_blocked(SIGRTMIN));
  recorder_start(&a, SIGRTMIN);
  raise(SIGRTMIN);
  run_until(&f.loop, &a.calls, 1);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void a_signal_that_signalfd_refuses_goes_by_the_handler(void) {
  open_two();
  recorder_start(&a, SIGUSR1);
  refusal = EPERM;
  calls_left = 0;
  recorder_start(&b, SIGRTMIN);
  refusal = 0;
  CHECK(is_blocked(SIGUSR1));
  CHECK(!is_blocked(SIGRTMIN));
  if (!under_thread_sanitizer()) {
    queue_values(SIGRTMIN, 3);
    run_until(&f.loop, &b.signals, 3);
  }
  raise(SIGUSR1);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void an_interrupted_read_is_tried_again(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 3);
  read_error = EINTR;
  CHECK_EQ(uvsig_flush(&f.sig), 3);
  run_idle(&f.loop);
  CHECK_EQ(read_warnings, 0);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 3);
  read_error = EINTR;
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, 6);
  fixture_close(&f);
}

static void check_that_it_goes_by_the_handler(void) {
  CHECK_EQ(read_warnings, 1);
  CHECK_EQ(read_warning_error, UV_EPERM);
  CHECK_EQ(reads, 1); /* and it is not asked again */
  CHECK(!is_blocked(SIGRTMIN));
  CHECK(!is_blocked(SIGUSR1));
  read_error = 0;
  raise(SIGUSR1);
  run_until(&f.loop, &b.calls, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  recorder_start(&a, SIGRTMIN);
  CHECK(!is_blocked(SIGRTMIN));
  /* It is the library's still, and is closed. */
  fixture_close(&f);
}

static void a_read_that_fails_is_warned_of_and_nothing_is_lost(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  raise(SIGRTMIN);
  read_error = EPERM; /* the code nearest to 0 */
  reads = 0;
  run_until(&f.loop, &a.signals, 1);
  run_idle(&f.loop);
  check_that_it_goes_by_the_handler();
}

static void a_read_that_fails_in_a_flush_is_warned_of(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  raise(SIGRTMIN);
  read_error = EPERM;
  reads = 0;
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(a.calls, 1);
  check_that_it_goes_by_the_handler();
}

/* How often it is asked whether it is there still in a turn at this time. */
static unsigned checks_at(uint64_t milliseconds) {
  loop_time = milliseconds;
  checks = 0;
  uv_run(&f.loop, UV_RUN_NOWAIT);
  return checks;
}

static void check_and_raise(const struct pollfd* fds) {
  CHECK_EQ(fds[1].fd, -1);
  raise(SIGUSR1);
}

/* And what goes by the handler anyhow. */
static void a_descriptor_that_has_failed_is_left_alone(void) {
  sigset_t set = set_of(SIGUSR1);

  open_two();
  CHECK_EQ(uvsig_watcher_set_flags(&b.w, UVSIG_CHAIN), 0);
  recorder_start(&a, SIGRTMIN);
  recorder_start(&b, SIGUSR1);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  read_error = EPERM;
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(read_warnings, 1);
  CHECK(is_blocked(SIGUSR1));
  CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
  CHECK_EQ(checks_at(1000), 0);
  CHECK_EQ(checks_at(2000), 0);
  CHECK_EQ(checks_at(0), 0);
  at_sleep = check_and_raise;
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(b.calls, 1);
  fixture_close(&f);
}

static void raise_queued(const struct pollfd* fds) {
  (void) fds;
  raise(SIGRTMIN);
}

static void a_pause_is_woken_by_the_descriptor(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  at_sleep = raise_queued;
  CHECK_EQ(uvsig_pause(&f.sig), 1);
  CHECK_EQ(a.calls, 1);
  fixture_close(&f);
}

/* As where there is something else under its number, which has an error. */
static void a_poll_that_fails_is_warned_of_and_nothing_is_lost(void) {
  struct uvsig__hub* hub;

  open_two();
  hub = f.sig.hub;
  recorder_start(&a, SIGRTMIN);
  raise(SIGRTMIN);
  reads = 0;
  uvsig__on_queue(&hub->queue->poll, UV_EBADF, 0);
  CHECK_EQ(reads, 0);
  run_until(&f.loop, &a.calls, 1);
  run_idle(&f.loop);
  CHECK_EQ(read_warnings, 1);
  CHECK_EQ(read_warning_error, UV_EBADF);
  check_books(&f.sig, SIGRTMIN, 1, 0);
  fixture_close(&f);
}

/* The rest has the previous action. */
static void a_read_that_fails_in_a_drain_ends_it(void) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  recorder_start(&a, SIGRTMIN);
  raise(SIGRTMIN);
  read_error = EIO;
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls + (unsigned long) foreign_calls, 1);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void close_one(uv_handle_t* handle, void* argument) {
  (void) argument;
  if (!uv_is_closing(handle))
    uv_close(handle, NULL);
}

/* It is looked at no more: another warning would say that it is lost again. */
static void check_closed_by_the_program(bool is_walked) {
  open_two();
  install_handler(SIGUSR1, count_foreign);
  recorder_start(&a, SIGRTMIN);
  if (is_walked)
    uv_walk(&f.loop, close_one, NULL);
  close(signal_fd);
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  raise(SIGRTMIN);
  CHECK_EQ(uvsig_flush(&f.sig), 1);
  CHECK_EQ(a.calls, 1);
  if (!is_walked) {
    run_idle(&f.loop);
    CHECK_EQ(uvsig_flush(&f.sig), 0);
    run_idle(&f.loop);
  }
  CHECK_EQ(read_warnings, 1);
  CHECK_EQ(read_warning_error, UV_EBADF);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void a_descriptor_that_the_program_has_closed_is_lost_once(void) {
  check_closed_by_the_program(false);
}

static void a_descriptor_that_is_closed_after_its_handle_is_lost_too(void) {
  check_closed_by_the_program(true);
}

/* What still waits has the previous action. */
static void a_change_that_is_refused_in_a_drain_ends_it(void) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 3);
  refusal = EPERM;
  calls_left = 1; /* that it is there */
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  refusal = 0;
  CHECK_EQ(a.calls, 0);
  await_foreign_calls(3);
  check_handled((unsigned long long) foreign_calls, 3);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void stop_it(struct recorder* r) {
  CHECK_EQ(uvsig_watcher_stop(&r->w), 0);
}

static void check_returned(bool is_refused) {
  open_two();
  install_handler(SIGRTMIN, count_foreign);
  a.then = stop_it;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, 3);
  no_return = is_refused;
  run_until(&f.loop, &a.calls, 1);
  no_return = false;
  if (!is_refused)
    await_foreign_calls(2);
  check_handled((unsigned long long) foreign_calls, is_refused ? 0 : 2);
  check_books(&f.sig, SIGRTMIN, 1, is_refused ? 2 : 0);
  fixture_close(&f);
}

static void what_was_read_and_is_not_delivered_is_given_back(void) {
  check_returned(false);
}

static void what_cannot_be_given_back_is_discarded(void) {
  check_returned(true);
}

static void use_the_handler(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(!is_blocked(SIGRTMIN));
  raise(SIGRTMIN);
  run_until(&f.loop, &a.calls, 1);
  fixture_close(&f);
}

static void where_it_has_failed_a_child_goes_by_the_handler_too(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  read_error = EIO;
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  CHECK_EQ(read_warnings, 1);
  CHECK_EQ(read_warning_error, UV_EIO);
  read_error = 0;
  CHECK_EQ(run_forked(use_the_handler), 0);
  fixture_close(&f);
}

/* What the program has blocked itself is not unblocked for it. */
static void be_refused_blocked_and_fork(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  no_action = true;
  CHECK_EQ(uvsig_fork(&f.sig), UV_EACCES);
  no_action = false;
  CHECK(is_blocked(SIGRTMIN));
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.signals, 3);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void a_child_that_is_refused_leaves_blocked_what_was(void) {
  sigset_t set = set_of(SIGRTMIN);

  CHECK_EQ(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
  open_two();
  recorder_start(&a, SIGRTMIN);
  CHECK_EQ(run_forked(be_refused_blocked_and_fork), 0);
  fixture_close(&f);
}

/* Nothing has been started, so the parent's is not polled yet. */
static void start_in_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  recorder_start(&a, SIGRTMIN);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.signals, 3);
  fixture_close(&f);
}

static void a_child_of_what_was_never_polled_has_its_own(void) {
  open_two();
  CHECK_EQ(run_forked(start_in_child), 0);
  fixture_close(&f);
}

/* A handler would run for what comes between, out of order. */
static void be_refused_and_fork(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  no_action = true;
  CHECK_EQ(uvsig_fork(&f.sig), UV_EACCES);
  no_action = false;
  CHECK(!is_blocked(SIGRTMIN));
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  CHECK(was_blocked);
  CHECK(is_blocked(SIGRTMIN));
  queue_values(SIGRTMIN, 3);
  run_until(&f.loop, &a.signals, 3);
  CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
  CHECK(!is_blocked(SIGRTMIN));
  fixture_close(&f);
}

static void a_child_has_it_blocked_before_there_is_a_handler(void) {
  open_two();
  recorder_start(&a, SIGRTMIN);
  was_blocked = false;
  CHECK_EQ(run_forked(be_refused_and_fork), 0);
  fixture_close(&f);
}

static void flush_all(void) {
  enum { SIGNALS = 100 };

  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  a.signals = 0;
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, SIGNALS);
  CHECK_EQ(uvsig_flush(&f.sig), SIGNALS);
  CHECK_EQ(a.signals, SIGNALS);
  fixture_close(&f);
}

static void without_a_limit_of_queued_signals_flush_delivers_all(void) {
  const struct rlimit infinite = {RLIM_INFINITY, RLIM_INFINITY};

  told_limit = &infinite;
  flush_all();
  no_limit = true;
  flush_all();
}

/* A limit that was lowered meanwhile: flush ends, and so may another process
 * send without end. */
static void flush_reads_no_more_than_can_have_been_queued(void) {
  const struct rlimit none = {0, 0};
  enum { SIGNALS = 500 };
  int calls;

  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, SIGNALS);
  told_limit = &none;
  calls = uvsig_flush(&f.sig);
  CHECK(calls >= UVSIG_NSIG);
  CHECK(calls < SIGNALS);
  told_limit = NULL;
  CHECK_EQ(uvsig_flush(&f.sig), SIGNALS - calls);
  fixture_close(&f);
}

/* What waits is asked for no longer than so many can have been queued: a read
 * takes 32. */
static void check_reads(const struct rlimit* limit, unsigned expected) {
  told_limit = limit;
  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGRTMIN);
  reads = 0;
  is_endless = true;
  CHECK_EQ(uvsig_flush(&f.sig), 0);
  is_endless = false;
  CHECK_EQ(reads, expected);
  fixture_close(&f);
}

static void flush_ends_where_there_is_always_more(void) {
  enum { READ = 32, PLENTY = 1 << 20 };
  const struct rlimit none = {0, RLIM_INFINITY};
  const struct rlimit some = {PLENTY - 1, RLIM_INFINITY};
  const struct rlimit plenty = {PLENTY, RLIM_INFINITY};

  check_reads(&none, (UVSIG_NSIG + READ - 1) / READ);
  check_reads(&some, (PLENTY - 1 + UVSIG_NSIG + READ - 1) / READ);
  check_reads(&plenty, PLENTY / READ);
  no_limit = true;
  check_reads(NULL, PLENTY / READ);
}

static void so_does_a_drain(void) {
  const struct rlimit none = {0, 0};
  enum { SIGNALS = UVSIG_NSIG + 10 };

  fixture_open_queued(&f);
  recorder_init(&a, &f.sig);
  install_handler(SIGRTMIN, count_foreign);
  recorder_start(&a, SIGRTMIN);
  queue_values(SIGRTMIN, SIGNALS);
  told_limit = &none;
  CHECK_EQ(uvsig_watcher_drain(&a.w), 0);
  CHECK_EQ(a.calls, UVSIG_NSIG);
  await_foreign_calls(SIGNALS - UVSIG_NSIG);
  fixture_close(&f);
}

static void its_descriptor_is_looked_after_ten_times_a_second(void) {
  open_two();
  recorder_start(&a, SIGUSR1);
  CHECK_EQ(checks_at(1000), 1);
  CHECK_EQ(checks_at(1000), 0);
  CHECK_EQ(checks_at(1099), 0);
  CHECK_EQ(checks_at(1100), 1);
  CHECK_EQ(checks_at(1199), 0);
  CHECK_EQ(checks_at(1250), 1);
  CHECK_EQ(checks_at(1349), 0);
  CHECK_EQ(checks_at(1350), 1);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(without_a_limit_of_queued_signals_flush_delivers_all),
      TEST(flush_reads_no_more_than_can_have_been_queued),
      TEST(flush_ends_where_there_is_always_more),
      TEST(so_does_a_drain),
      TEST(its_descriptor_is_looked_after_ten_times_a_second),
      TEST(a_kernel_without_signalfd_is_not_supported),
      TEST(init_says_what_signalfd_says),
      TEST(init_without_a_poll_handle_holds_nothing),
      TEST(init_without_memory_holds_nothing),
      TEST(a_start_without_a_poll_handle_changes_nothing),
      TEST(a_start_without_an_action_changes_nothing),
      TEST(what_was_blocked_before_it_is_blocked_still),
      TEST(a_signal_that_signalfd_refuses_goes_by_the_handler),
      TEST(an_interrupted_read_is_tried_again),
      TEST(a_read_that_fails_is_warned_of_and_nothing_is_lost),
      TEST(a_read_that_fails_in_a_flush_is_warned_of),
      TEST(a_descriptor_that_has_failed_is_left_alone),
      TEST(a_pause_is_woken_by_the_descriptor),
      TEST(a_poll_that_fails_is_warned_of_and_nothing_is_lost),
      TEST(a_read_that_fails_in_a_drain_ends_it),
      TEST(a_descriptor_that_the_program_has_closed_is_lost_once),
      TEST(a_descriptor_that_is_closed_after_its_handle_is_lost_too),
      TEST(a_change_that_is_refused_in_a_drain_ends_it),
      TEST(what_was_read_and_is_not_delivered_is_given_back),
      TEST(what_cannot_be_given_back_is_discarded),
      TEST(where_it_has_failed_a_child_goes_by_the_handler_too),
      TEST(a_child_that_is_refused_leaves_blocked_what_was),
      TEST(a_child_of_what_was_never_polled_has_its_own),
      TEST(a_child_has_it_blocked_before_there_is_a_handler),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
