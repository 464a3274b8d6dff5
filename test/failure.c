/* SPDX-License-Identifier: MIT
 *
 * What the system refuses: memory, a handle, a disposition. Linked with
 * --wrap, so that the calls of the library come here first.
 */

#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct fixture f;
static struct recorder a;

static bool no_memory;
static bool no_poll;
static bool no_action;

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size) {
  return no_memory ? NULL : __real_calloc(count, size);
}

int __real_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd);
int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd);
int __wrap_uv_poll_init(uv_loop_t* loop, uv_poll_t* handle, int fd) {
  return no_poll ? UV_ENOSPC : __real_uv_poll_init(loop, handle, fd);
}

int __real_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous);
int __wrap_sigaction(int signum,
                     const struct sigaction* action,
                     struct sigaction* previous) {
  if (no_action && action != NULL) {
    errno = EACCES;
    return -1;
  }
  return __real_sigaction(signum, action, previous);
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
  close_loop(&loop);
}

static void init_without_memory_says_enomem_and_leaves_nothing(void) {
  check_failing_init(&no_memory, UV_ENOMEM);
}

static void init_without_a_poll_handle_says_why_and_leaves_nothing(void) {
  check_failing_init(&no_poll, UV_ENOSPC);
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

static void ignore_and_default_that_sigaction_refuses_say_why(void) {
  no_action = true;
  CHECK_EQ(uvsig_ignore(SIGUSR1), UV_EACCES);
  CHECK_EQ(uvsig_default(SIGUSR1), UV_EACCES);
  no_action = false;
  CHECK_EQ(uvsig_getsignal(SIGUSR1), UVSIG_DEFAULT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(init_without_memory_says_enomem_and_leaves_nothing),
      TEST(init_without_a_poll_handle_says_why_and_leaves_nothing),
      TEST(start_without_memory_says_enomem_and_keeps_the_old_watch),
      TEST(start_that_sigaction_refuses_says_why_and_keeps_the_old_watch),
      TEST(ignore_and_default_that_sigaction_refuses_say_why),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
