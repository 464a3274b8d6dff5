/* SPDX-License-Identifier: MIT
 *
 * Has calls of the library fail. The library that this program is linked with
 * calls fault_read() where it would call read(), and so on for all of calls.def
 * that can fail. The test, its harness and libuv call the functions themselves.
 * Which call fails is a plan, and what was called is counted, in memory that
 * forked processes share.
 */

#ifndef INJECT_H
#define INJECT_H

#include <stdatomic.h>
#include <stdbool.h>

#define HAND(name)
#define NEVER(name, reason)
#define CALL(kind, type, name, parameters, arguments, ...) FAULT_##name,
#define PART(name, ...)                                    FAULT_##name,
enum fault_call {
#include "calls.def"
  FAULT_CALLS
};
#undef CALL
#undef PART

/* The `at`-th call, the first being 1, fails with `error`, or each from there
 * on. `at` 0: none does. */
struct fault_plan {
  enum fault_call call;
  unsigned at;
  int error;
  bool is_for_good;
};

struct fault_state {
  struct fault_plan plan;
  atomic_bool is_armed;           /* calls count, and may fail */
  atomic_bool is_lifted;          /* none fails any more */
  atomic_uint calls[FAULT_CALLS]; /* how many there were */
  atomic_uint failed;             /* how many failed */
};
extern struct fault_state* fault;

/* What a call is called, and what it can fail with: a list that 0 ends. */
extern const char* const fault_names[FAULT_CALLS];
extern const int* const fault_errors[FAULT_CALLS];

/* What the library holds: blocks of memory, streams, POSIX timers, mutexes and
 * conditions. */
extern atomic_int fault_held;

/* Make what is shared; then, before each run, forget the last. */
void fault_share(void);
void fault_begin(const struct fault_plan* plan);

/* Has a name of the library's objects no line in calls.def? */
bool fault_is_known(const char* name);

#endif /* INJECT_H */
