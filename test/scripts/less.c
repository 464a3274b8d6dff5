/* SPDX-License-Identifier: MIT
 *
 * For test/scripts/fallback.sh: what the library says where the system has less.
 * It is linked with a library that was compiled with less.h, for a system whose
 * signal SIGTHR is number RESERVED and in a full signal set.
 */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <uvsig.h>

static int failures;

static void check(int is_true, const char* what) {
  if (is_true)
    return;
  failures++;
  fprintf(stderr, "not so: %s\n", what);
}
#define CHECK(condition) check(condition, #condition)

static void check_numbers(void) {
  sigset_t set;

  CHECK(uvsig_signal_number("RTMIN") == UV_EINVAL);
  CHECK(uvsig_signal_number("SIGRTMAX") == UV_EINVAL);
  CHECK(uvsig_signal_number("RTMIN+1") == UV_EINVAL);
  CHECK(uvsig_signal_name(SIGRTMIN) == NULL);
  CHECK(uvsig_signal_number("TERM") == SIGTERM);
  CHECK(uvsig_valid_signals(&set) == 0);
  CHECK(sigismember(&set, RESERVED) == 0);
  CHECK(sigismember(&set, RESERVED + 1) == 1);
  CHECK(uvsig_raise_signal(RESERVED) == UV_EINVAL);
}

static void check_calls(void) {
  const union sigval value = {.sival_int = 1};

  CHECK(uvsig_sigqueue(1, 0, value) == UV_ENOSYS);
  CHECK(uvsig_pidfd_send_signal(0, 0, NULL, 0) == UV_ENOSYS);
}

static void check_loop(void) {
  uvsig_options_t options;
  uvsig_t sig;
  uv_loop_t loop;

  memset(&sig, 0, sizeof(sig));
  CHECK(uv_loop_init(&loop) == 0);
  uvsig_options_init(&options);
  options.wakeup = UVSIG_WAKEUP_SIGNALFD;
  CHECK(uvsig_init(&loop, &sig, &options) == UV_ENOTSUP);
  options.wakeup = UVSIG_WAKEUP_PIPE;
  options.buffer_size = 4096;
  CHECK(uvsig_init(&loop, &sig, &options) == UV_ENOTSUP);
  CHECK(uv_loop_close(&loop) == 0);
}

int main(void) {
  check_numbers();
  check_calls();
  check_loop();
  return failures != 0;
}
