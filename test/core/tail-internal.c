/* SPDX-License-Identifier: MIT
 *
 * The unused end of siginfo_t, where the library marks a signal that it passes
 * on. Where the system does not zero it, the end of a new signal's may have
 * what was left there: no signal is lost by it.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <setjmp.h>
#include <string.h>

static struct fixture f;
static struct recorder a;

/* As in previous.c: a magic word, and where the record of the call is. */
struct tail {
  uintptr_t words[2];
};

/* And the last word of that: the record of the call that this one is in. */
enum { OUTER = 3 };

static char* tail_of(siginfo_t* info) {
  return (char*) (info + 1) - sizeof(struct tail);
}

/* --- A previous handler that jumps ---------------------------------------- */

static sigjmp_buf jump;
static volatile sig_atomic_t jumps; /* that are still to come */
static volatile sig_atomic_t calls;
static struct tail left; /* by the library, when it was called last */
static volatile uintptr_t outer;
static uintptr_t copy[OUTER + 1]; /* of the record, where it never was */

static void leave_by_a_jump(int signum, siginfo_t* info, void* context) {
  uintptr_t words[OUTER + 1];

  (void) signum;
  (void) context;
  calls++;
  memcpy(&left, tail_of(info), sizeof(left));
  memcpy(words, (const void*) left.words[1], sizeof(words));
  outer = words[OUTER];
  memcpy(copy, words, sizeof(copy));
  if (jumps > 0) {
    jumps--;
    siglongjmp(jump, 1);
  }
}

static void (*volatile ours)(int, siginfo_t*, void*);
static volatile bool is_dirty;

/* In place of a system that does not zero the end: on top of the library's, and
 * not in its way. */
static void leave_the_end(int signum, siginfo_t* info, void* context) {
  if (is_dirty)
    memcpy(tail_of(info), &left, sizeof(left));
  ours(signum, info, context);
}

static volatile sig_atomic_t cleared;

/* The signal has been counted in, and nothing calls anything for it. */
static void see_the_end(uvsig_watcher_t* w, int signum, const siginfo_t* info) {
  static const struct tail zero;

  (void) w;
  (void) signum;
  cleared +=
      memcmp((const char*) (info + 1) - sizeof(zero), &zero, sizeof(zero)) == 0;
}

static void open_chained(void) {
  struct sigaction action;

  memset(&action, 0, sizeof(action));
  action.sa_sigaction = leave_by_a_jump;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(uvsig_watcher_set_flags(&a.w, UVSIG_CHAIN), 0);
  CHECK_EQ(uvsig_watcher_set_handler(&a.w, see_the_end), 0);
  recorder_start(&a, SIGUSR1);
  action = action_of(SIGUSR1);
  ours = action.sa_sigaction;
  action.sa_sigaction = leave_the_end;
  CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

static void raise_and_jump(void) {
  jumps = 1;
  if (sigsetjmp(jump, 1) == 0)
    raise(SIGUSR1);
  CHECK_EQ(jumps, 0);
}

/* --- Tests ---------------------------------------------------------------- */

/* The same stack as before, and the same place in it: the record that the
 * library had there is whole, but its frame is gone. The new one is in no
 * other, and not in itself. */
static void what_a_jump_has_left_is_not_taken_for_a_call(void) {
  int i;

  open_chained();
  raise_and_jump();
  is_dirty = true;
  for (i = 0; i < 4; i++) {
    raise(SIGUSR1);
    CHECK_EQ(outer, 0);
  }
  is_dirty = false;
  CHECK_EQ(cleared, 4);
  CHECK_EQ(calls, 5);
  run_until(&f.loop, &a.signals, 4);
  check_books(&f.sig, SIGUSR1, 4, 0);
  fixture_close(&f);
}

static void a_jump_again_and_again_is_not_taken_for_a_call(void) {
  int i;

  open_chained();
  raise_and_jump();
  is_dirty = true;
  for (i = 0; i < 10; i++)
    raise_and_jump();
  CHECK_EQ(calls, 11);
  raise(SIGUSR1);
  is_dirty = false;
  CHECK_EQ(calls, 12);
  run_until(&f.loop, &a.signals, 1);
  check_books(&f.sig, SIGUSR1, 1, 0);
  fixture_close(&f);
}

static void call_by_hand(const struct tail* tail) {
  siginfo_t info;

  memset(&info, 0, sizeof(info));
  info.si_signo = SIGUSR1;
  info.si_code = SI_USER;
  memcpy(tail_of(&info), tail, sizeof(*tail));
  ours(SIGUSR1, &info, NULL);
}

static void check_called_by_hand(bool is_copied) {
  sigset_t all;

  open_chained();
  raise_and_jump();
  if (is_copied)
    left.words[1] = (uintptr_t) copy;
  /* As in the handler. */
  sigfillset(&all);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
  call_by_hand(&left);
  sigemptyset(&all);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
  CHECK_EQ(calls, 2);
  run_until(&f.loop, &a.signals, 1);
  fixture_close(&f);
}

static void a_handler_called_by_hand_with_what_was_left_counts(void) {
  check_called_by_hand(false);
}

/* The magic word is of another place. */
static void a_record_in_another_place_is_not_taken_for_a_call(void) {
  check_called_by_hand(true);
}

static uint64_t next_random(uint64_t* state) {
  /* Knuth's MMIX. */
  *state =
      *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state;
}

static void random_ends_are_not_taken_for_calls(void) {
  enum { TIMES = 10000 };
  uint64_t state = 1;
  struct tail tail;
  uint64_t word;
  sigset_t all;
  size_t n;
  size_t i;

  open_chained();
  sigfillset(&all);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
  for (n = 0; n < TIMES; n++) {
    for (i = 0; i < 2; i++) {
      word = next_random(&state) ^ next_random(&state) >> 32;
      tail.words[i] = (uintptr_t) word;
    }
    call_by_hand(&tail);
  }
  sigemptyset(&all);
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
  CHECK_EQ(calls, TIMES);
  run_until(&f.loop, &a.signals, TIMES);
  check_books(&f.sig, SIGUSR1, TIMES, 0);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_a_jump_has_left_is_not_taken_for_a_call),
      TEST(a_jump_again_and_again_is_not_taken_for_a_call),
      TEST(a_handler_called_by_hand_with_what_was_left_counts),
      TEST(a_record_in_another_place_is_not_taken_for_a_call),
      TEST(random_ends_are_not_taken_for_calls),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
