/* SPDX-License-Identifier: MIT
 *
 * Faults: what the kernel raises for an instruction ends the process, or
 * reaches the previous handler, exactly as without the library, although the
 * signal is watched. What somebody sends under the same number is delivered.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#ifdef __linux__
# include <sys/syscall.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;
static struct recorder a;

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

/* --- Faults --------------------------------------------------------------- */

/* Made before the forks, so that addresses are the same in all children. */
static volatile char* forbidden;
static volatile char* beyond; /* the end of a file */

static void make_pages(void) {
  char name[] = "/tmp/uvsig-fault-XXXXXX";
  int fd = mkstemp(name);

  CHECK(fd >= 0);
  CHECK_EQ(unlink(name), 0);
  forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(forbidden != MAP_FAILED);
  beyond = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(beyond != MAP_FAILED);
  close(fd);
}

/* ThreadSanitizer would look at its shadow of the page first. */
#if defined(__clang__)
# define PLAIN __attribute__((no_sanitize("thread")))
#elif defined(__GNUC__)
# define PLAIN __attribute__((no_sanitize_thread))
#else
# define PLAIN
#endif

PLAIN static void touch_forbidden(void) {
  *forbidden = 1;
}

PLAIN static void touch_beyond(void) {
  *beyond = 1;
}

#if defined(__i386__) || defined(__x86_64__)
static void divide_by_zero(void) {
  int low = 1;
  int high = 0;

  __asm__ volatile("idivl %2" : "+a"(low), "+d"(high) : "r"(0));
}

static void be_illegal(void) {
  __asm__ volatile("ud2");
}

static void trap(void) {
  __asm__ volatile("int3");
}
#endif

static volatile unsigned depth;

__attribute__((noinline)) static unsigned recurse(unsigned n) {
  volatile char room[4096];

  room[0] = (char) n;
  depth = n;
  return n == 0 ? 0 : recurse(n + 1) + (unsigned) room[0];
}

static void overflow_the_stack(void) {
  recurse(1);
}

static const struct {
  int signum;
  void (*fn)(void);
} causes[] = {
    {SIGSEGV, touch_forbidden},
    {SIGBUS, touch_beyond},
#if defined(__i386__) || defined(__x86_64__)
    {SIGFPE, divide_by_zero},
    {SIGILL, be_illegal},
    {SIGTRAP, trap},
#endif
    {SIGSEGV, overflow_the_stack},
};
#define CAUSES (sizeof(causes) / sizeof(*causes))

/* --- Children ------------------------------------------------------------- */

struct told {
  int signum;
  int code;
  void* address;
};

static int report;

static void report_fault(int signum, siginfo_t* info, void* context) {
  struct told told;

  (void) context;
  memset(&told, 0, sizeof(told));
  told.signum = signum;
  told.code = info->si_code;
  /* The end of a stack is where its limit is, to the page and not the byte. */
  told.address = info->si_addr;
  if (write(report, &told, sizeof(told)) != sizeof(told))
    _exit(1);
  _exit(42);
}

static void install_reporter(int signum) {
  static char stack[1024 * 1024]; /* sanitizers need more than most */
  struct sigaction action;
  stack_t alternate;

  memset(&alternate, 0, sizeof(alternate));
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof(stack);
  CHECK_EQ(sigaltstack(&alternate, NULL), 0);
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = report_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(signum, &action, NULL), 0);
}

/* Run a fault in a child, and return its wait status. `told`, unless NULL: what
 * a handler from before was told. */
static int run_fault(size_t cause, bool is_watched, struct told* told) {
  const struct rlimit limit = {8 * 1024 * 1024, 8 * 1024 * 1024};
  struct rlimit core;
  int fds[2];
  int status;
  pid_t child;

  CHECK_EQ(pipe(fds), 0);
  child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    report = fds[1];
    setrlimit(RLIMIT_STACK, &limit);
    /* As much core as one may have; it goes where nobody looks. */
    getrlimit(RLIMIT_CORE, &core);
    core.rlim_cur = core.rlim_max;
    setrlimit(RLIMIT_CORE, &core);
    if (told != NULL)
      install_reporter(causes[cause].signum);
    if (is_watched) {
      fixture_open(&f, NULL);
      recorder_init(&a, &f.sig);
      recorder_start(&a, causes[cause].signum);
    }
    causes[cause].fn();
    _exit(0);
  }
  close(fds[1]);
  if (told != NULL)
    CHECK_EQ(read(fds[0], told, sizeof(*told)), sizeof(*told));
  close(fds[0]);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  return status;
}

static void skip_where_tools_take_faults(void) {
  skip_under_valgrind("it reports the fault");
}

/* With ThreadSanitizer a stack may overflow into what the sanitizer has mapped,
 * now and then with SIGBUS, and its own handler needs the stack. */
static bool can_try(size_t cause) {
  if (causes[cause].fn != overflow_the_stack || !under_thread_sanitizer())
    return true;
  printf("# not tried: a stack overflow with ThreadSanitizer\n");
  fflush(stdout);
  return false;
}

static void a_fault_ends_the_process_as_without_the_library(void) {
  int without;
  size_t i;

  skip_where_tools_take_faults();
  make_pages();
  for (i = 0; i < CAUSES; i++) {
    if (!can_try(i))
      continue;
    without = run_fault(i, false, NULL);
    CHECK(WIFSIGNALED(without));
    CHECK_EQ(WTERMSIG(without), causes[i].signum);
    /* Signal and core-dump flag. */
    CHECK_EQ(run_fault(i, true, NULL), without);
  }
}

static void a_fault_reaches_the_previous_handler_as_without_the_library(void) {
  struct told without;
  struct told with;
  int status;
  size_t i;

  skip_where_tools_take_faults();
  make_pages();
  for (i = 0; i < CAUSES; i++) {
    if (!can_try(i))
      continue;
    status = run_fault(i, false, &without);
    CHECK_EQ(WEXITSTATUS(status), 42);
    CHECK_EQ(run_fault(i, true, &with), status);
    CHECK_EQ(with.signum, causes[i].signum);
    CHECK_EQ(with.signum, without.signum);
    CHECK_EQ(with.code, without.code);
    if (causes[i].fn != overflow_the_stack)
      CHECK(with.address == without.address);
  }
}

static void every_kind_of_fault_was_tried(void) {
#if !defined(__i386__) && !defined(__x86_64__)
  skip_test("no instructions for SIGFPE, SIGILL and SIGTRAP are known here");
#endif
  CHECK_EQ(CAUSES, 6);
}

#if defined(__i386__) || defined(__x86_64__)
static void ignore_and_trap(void) {
  CHECK_EQ(uvsig_ignore(SIGTRAP), UVSIG_DEFAULT);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGTRAP);
  trap();
}

static volatile sig_atomic_t traps;

static void count_trap(int signum) {
  (void) signum;
  traps++;
}

static void trap_twice(void) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_handler = count_trap;
  action.sa_flags = (int) SA_RESETHAND;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGTRAP);
  trap();
  CHECK_EQ(traps, 1);
  trap();
}
#endif

/* As the kernel does it: a fault cannot be ignored, and a handler with
 * SA_RESETHAND is there for one. */
static void traps_are_not_ignored_and_handled_once(void) {
#if defined(__i386__) || defined(__x86_64__)
  static const test_fn children[] = {ignore_and_trap, trap_twice};
  int status;
  int i;

  for (i = 0; i < 2; i++) {
    status = run_child(children[i]);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGTRAP);
  }
#else
  skip_test("no trap instruction is known for this processor");
#endif
}

/* --- Asynchronous faults -------------------------------------------------- */

/* They belong to no instruction, so that nothing would fault again: another
 * processor has found broken memory, or the thread's tags did not match. The
 * kernel lets a process send itself what looks like one. */
#if defined(__linux__) && defined(SYS_rt_sigqueueinfo)
# ifndef BUS_MCEERR_AO
#  define BUS_MCEERR_AO 5
# endif
# ifndef SEGV_MTEAERR
#  define SEGV_MTEAERR 8
# endif

static const struct {
  int signum;
  int code;
} reports[] = {{SIGBUS, BUS_MCEERR_AO}, {SIGSEGV, SEGV_MTEAERR}};
# define REPORTS (sizeof(reports) / sizeof(*reports))

static size_t sent;

static void watch_and_send_report(void) {
  siginfo_t info;

  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, reports[sent].signum);
  memset(&info, 0, sizeof(info));
  info.si_signo = reports[sent].signum;
  info.si_code = reports[sent].code;
  info.si_addr = &info;
  if (syscall(SYS_rt_sigqueueinfo, getpid(), info.si_signo, &info) != 0)
    skip_test("the kernel does not let one send what looks like a fault");
}

static void handle_and_send_report(void) {
  report = open("/dev/null", O_WRONLY);
  install_reporter(reports[sent].signum);
  watch_and_send_report();
}

static void an_asynchronous_fault_is_not_swallowed(void) {
  int status;

  skip_where_tools_take_faults();
  for (sent = 0; sent < REPORTS; sent++) {
    status = run_child(watch_and_send_report);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
      skip_test("the kernel does not let one send what looks like a fault");
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), reports[sent].signum);
    status = run_child(handle_and_send_report);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);
  }
}
#else
static void an_asynchronous_fault_is_not_swallowed(void) {
  skip_test("one can only be sent on Linux");
}
#endif

/* --- Repaired faults ------------------------------------------------------ */

static volatile sig_atomic_t repairs;

/* As a garbage collector's barrier. */
static void open_page(int signum, siginfo_t* info, void* context) {
  (void) signum;
  (void) context;
  if (info->si_addr != forbidden ||
      mprotect((void*) (uintptr_t) forbidden, 4096, PROT_READ | PROT_WRITE) !=
          0)
    _exit(1);
  repairs++;
}

static void close_page(void) {
  CHECK_EQ(mprotect((void*) (uintptr_t) forbidden, 4096, PROT_NONE), 0);
}

static void what_is_sent_after_a_repaired_fault_is_delivered(void) {
  struct sigaction action;
  int i;

  skip_where_tools_take_faults();
  make_pages();
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = open_page;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGSEGV);
  for (i = 1; i <= 2; i++) {
    close_page();
    touch_forbidden();
    CHECK_EQ(*forbidden, 1);
    CHECK_EQ(repairs, i);
    CHECK_EQ(kill(getpid(), SIGSEGV), 0);
    run_until(&f.loop, &a.signals, (unsigned long) i);
  }
  CHECK_EQ(repairs, 2);
  check_books(&f.sig, SIGSEGV, 2, 0);
  fixture_close(&f);
  CHECK(action_of(SIGSEGV).sa_sigaction == open_page);
}

static void what_somebody_sends_is_delivered(void) {
  size_t i;

  skip_under_valgrind("valgrind takes a fault signal for its own");
  for (i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
    fixture_open(&f, NULL);
    recorder_init(&a, &f.sig);
    recorder_start(&a, faults[i]);
    CHECK_EQ(kill(getpid(), faults[i]), 0);
    run_until(&f.loop, &a.calls, 1);
    check_books(&f.sig, faults[i], 1, 0);
    fixture_close(&f);
  }
}

static void watch_and_abort(void) {
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  recorder_start(&a, SIGABRT);
  abort();
}

static void abort_still_aborts(void) {
  int status = run_child(watch_and_abort);

  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGABRT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_fault_ends_the_process_as_without_the_library),
      TEST(a_fault_reaches_the_previous_handler_as_without_the_library),
      TEST(every_kind_of_fault_was_tried),
      TEST(traps_are_not_ignored_and_handled_once),
      TEST(an_asynchronous_fault_is_not_swallowed),
      TEST(what_is_sent_after_a_repaired_fault_is_delivered),
      TEST(what_somebody_sends_is_delivered),
      TEST(abort_still_aborts),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
