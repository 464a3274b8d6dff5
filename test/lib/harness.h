/* SPDX-License-Identifier: MIT
 *
 * What the test programs share. Every test changes dispositions, so each runs
 * in a child process of its own, started with default dispositions, an empty
 * mask and no core dumps, and watched by a parent with a deadline. The child's
 * exit status is its only report. It must leave as many descriptors open as it
 * found. TEST_DEADLINE, in seconds, sets another deadline than four minutes and
 * TEST_SECONDS, which is how long a test goes on where it is said.
 * TEST_ONLY is a pattern (* and ?) of the names of the tests that run. TEST_SKIPS
 * is a file of lines "name reason", each of a test that cannot pass here.
 */

#ifndef HARNESS_H
#define HARNESS_H

#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <uvsig.h>

/* Milliseconds: for what must not be over before the test is. */
enum { LONG_MS = 3600 * 1000 };

typedef void (*test_fn)(void);

/* A test that passes when `fn` returns in its child. */
struct test_case {
  test_fn fn;
  const char* name;
};
#define TEST(fn)                                                               \
  { #fn, harness_test, NULL, NULL, &(struct test_case){fn, #fn} }

void harness_init(void);
void harness_test(void** state);

/* Run `fn` in a child and return its wait status. */
int run_child(test_fn fn);
/* With another deadline. */
int run_child_within(unsigned seconds, test_fn fn);
/* Was it `exit(0)`? If not, say so on standard error. */
bool child_passed(int status);
/* End this child as skipped, with the reason. */
void skip_test(const char* reason);
/* For a test that wraps (--wrap) what the library calls of its own. */
void skip_unless_wrapped(void);
/* Do the tests run under valgrind (TEST_TOOL)? */
bool under_valgrind(void);
/* The same as skip_test(), if they do. */
void skip_under_valgrind(const char* reason);

/* Is this a build with a sanitizer (configure's --with-sanitizer)? */
bool has_sanitizer(void);
/* Is this a build with ThreadSanitizer? It holds signals back until
 * a call that it knows of, and of several of a number it keeps one. */
bool under_thread_sanitizer(void);

/* The name of an abstract socket that no other process has. A process id may be
 * another one's, too: of another pid namespace in this network namespace. */
void abstract_name(char* name, size_t size);

/* What a test does `n` times, divided where TEST_SCALE says that this machine
 * is slow (valgrind); at least 1. */
unsigned scaled(unsigned n);
/* And whether it goes on: for a quarter of the deadline, so that a machine that
 * is slow for once does less instead of meeting it. */
bool has_time(void);

/* A number from the environment, where it is there and above 0. */
unsigned setting(const char* name, unsigned otherwise);

/* What a test does at random comes from a seed: TEST_SEED, or one that is of this
 * run. It is printed. */
unsigned test_seed(void);
bool has_seed(void); /* Is TEST_SEED set? */
/* A number below `n`, which is at most 65,536. */
unsigned random_below(unsigned* state, unsigned n);

int open_fds(void);

/* The call, again for as long as it fails with EINTR. It may do so without any
 * signal: a closed loop's io_uring (libuv 1.45 and later) ends a little later,
 * and for that the kernel interrupts what the thread waits in. The kernel
 * restarts most calls by itself, but not those with a limit (SO_RCVTIMEO). */
#define UNINTERRUPTED(call)                                                    \
  __extension__({                                                              \
    ssize_t result_;                                                           \
    do                                                                         \
      result_ = (ssize_t) (call);                                              \
    while (result_ < 0 && errno == EINTR);                                     \
    result_;                                                                   \
  })

/* connect() on a blocking socket, to the end. 0, or -1 and errno. */
int connect_fully(int fd, const void* address, socklen_t size);
/* Send all of it on a blocking socket, without SIGPIPE. False: errno. */
bool send_fully(int fd, const void* data, size_t size);

/* A plain child of fork(), without what run_child() prepares: it runs `fn`, and
 * its wait status is returned. */
int run_forked(void (*fn)(void));
/* The same for `fn` that a deadline of a shutdown, which is to take some of
 * these milliseconds, may end too soon where the machine lets it stand still,
 * with 128 + SIGTERM: then once more, with longer ones, but not for ever. */
int run_in_time(void (*fn)(unsigned ms));
/* A child that is born with every signal blocked and runs `fn`. It dies with
 * this process, where the system has a way for that. */
pid_t fork_all_blocked(void (*fn)(void));
/* A child that runs `send` with this process's pid, and has ended at return. */
pid_t send_from_child(void (*send)(pid_t to));

/* A set of one signal, or, with 0, of none. */
sigset_t set_of(int signum);
bool is_blocked(int signum); /* in the calling thread */
struct sigaction action_of(int signum);
/* For a function that --wrap puts in a call's place: ThreadSanitizer's runtime
 * calls some of them before it can be called. */
#if defined(__clang__) && defined(__has_attribute)
# if __has_attribute(disable_sanitizer_instrumentation)
#  define EARLY __attribute__((disable_sanitizer_instrumentation))
# endif
#endif
#ifndef EARLY
# define EARLY
#endif

/* A handler of somebody else's, without flags, and one that counts. */
void install_handler(int signum, void (*handler)(int));
/* Call an action's handler, if it has one, as a library does that chains. */
void call_handler(const struct sigaction* action,
                  int signum,
                  siginfo_t* info,
                  void* context);
void count_foreign(int signum);
extern volatile sig_atomic_t foreign_calls;
/* Until there were so many, if they come: of what is pending for a thread,
 * valgrind delivers one at each of its system calls. */
void await_foreign_calls(int n);

/* Checks end the child: cmocka's would return into the parent's test run. */
void check_failed(const char* file, int line, const char* format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition))                                                          \
      check_failed(__FILE__, __LINE__, "%s", #condition);                      \
  } while (0)

#define CHECK_EQ(actual, expected)                                             \
  do {                                                                         \
    long long actual_ = (long long) (actual);                                  \
    long long expected_ = (long long) (expected);                              \
    if (actual_ != expected_)                                                  \
      check_failed(__FILE__,                                                   \
                   __LINE__,                                                   \
                   "%s is %lld, not %s (%lld)",                                \
                   #actual,                                                    \
                   actual_,                                                    \
                   #expected,                                                  \
                   expected_);                                                 \
  } while (0)

#define CHECK_STR(actual, expected)                                            \
  check_str(__FILE__, __LINE__, #actual, actual, expected)
void check_str(const char* file,
               int line,
               const char* what,
               const char* actual,
               const char* expected);

/* A loop with the signals of one uvsig_t. */
struct fixture {
  uv_loop_t loop;
  uvsig_t sig;
  unsigned closed; /* close callbacks */
};

void fixture_open(struct fixture* f, const uvsig_options_t* options);
/* With UVSIG_WAKEUP_SIGNALFD. Skips the test where the system has none. */
void fixture_open_queued(struct fixture* f);
/* The same, and warnings of a read that fails are counted. */
void fixture_open_warned(struct fixture* f);
extern unsigned long read_warnings;
extern int read_warning_error; /* of the last one */
/* Close what is open, run the loop until it is empty, and check that it is. */
void fixture_close(struct fixture* f);
void close_loop(uv_loop_t* loop);
/* Run the loop until `*count` is `expected`; fail if it ends before. */
void run_until(uv_loop_t* loop, const unsigned long* count, unsigned long expected);
/* Run the loop's turns until nothing is ready. */
void run_idle(uv_loop_t* loop);

/* A watcher that remembers what it was told. */
struct recorder {
  uvsig_watcher_t w;
  unsigned long calls;
  unsigned long signals;
  unsigned long largest; /* count */
  int signum;
  uvsig_info_t last;
  void (*then)(struct recorder* r); /* if any, called at the end */
};

void recorder_init(struct recorder* r, uvsig_t* sig);
void recorder_start(struct recorder* r, int signum);
void recorder_start_oneshot(struct recorder* r, int signum);
void record(uvsig_watcher_t* w, int signum, const uvsig_info_t* info);

/* Stop it, and put the library's handler back, as somebody would who has saved
 * it meanwhile. Returns that. */
struct sigaction stop_and_put_back(struct recorder* r);

/* The books of one signal, at rest: caught is delivered and discarded. */
void check_books(const uvsig_t* sig,
                 int signum,
                 uint64_t delivered,
                 uint64_t discarded);

void raise_times(int signum, unsigned times);
/* sigqueue() to this process, again while the queue is full of others'. */
void queue_value(int signum, int value);
/* The values from 0 on. */
void queue_values(int signum, int n);
/* What the previous handler, or any, has had: of several of a number,
 * ThreadSanitizer's runtime keeps one. */
void check_handled(unsigned long long actual, unsigned long long expected);
/* Before this process is sent more than a few thousand at once: the kernel's
 * queue is shared by all processes of the user, and this is to fill an eighth of
 * it at most. */
void limit_queue(void);
/* Is it in the kernel's queue, of the process or of the calling thread? */
bool is_waiting(int signum);

/* Open a pseudo-terminal: the end that an emulator has, and the other one, which
 * is nobody's controlling terminal yet. Skips the test where there is none. */
void open_terminal(int* terminal, int* tty);

/* Run `fn` on a thread whose id is that of one which has ended. Skips the test
 * where the system does not use it again. */
void run_with_id(pthread_t id, void (*fn)(void));

/* Be busy for that long: it is time itself that the case is about. */
void let_pass(uint64_t milliseconds);

/* Until the system has handed on what was sent on this TCP socket: then it is
 * there when the other side looks. Harmless for other sockets. */
void wait_delivered(int fd);

#endif /* HARNESS_H */
