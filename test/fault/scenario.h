/* SPDX-License-Identifier: MIT
 *
 * What the scenarios share. A scenario is a sequence of calls of the public API,
 * and of turns of the loop, in a process of its own. It is run without a fault,
 * and then again and again, each time with another call that fails. Whatever
 * fails, the scenario goes through: a call that is refused has the code and the
 * state that the header promises, and succeeds when it is made again.
 */

#ifndef SCENARIO_H
#define SCENARIO_H

#include "../lib/harness.h"
#include "inject.h"

struct scenario {
  const char* name;
  void (*run)(void);
};
/* Each file has some, ended by one without a name. */
extern const struct scenario core_scenarios[];
extern const struct scenario loop_scenarios[];
extern const struct scenario posix_scenarios[];
extern const struct scenario wait_scenarios[];
extern const struct scenario shutdown_scenarios[];
extern const struct scenario manager_scenarios[];
extern const struct scenario upgrade_scenarios[];

/* --- Steps ---------------------------------------------------------------- */

/* Make a call that returns a code below 0 where it is refused. Then it must be
 * a fault that made it so, in one of the functions `from`, a list of names that
 * the header's "Returns" stands for; the code is that of the fault; all is as
 * before the call; and the same call again, without a fault, succeeds. A "+" in
 * `from`: the call may leave memory and handles at rest for the next one, which
 * the uvsig_t's close frees. Where it is not refused, none of these functions
 * has failed. */
#define TRY(from, call) TRY_ON(from, NULL, 0, call)
/* The same, and `*object` is untouched where it is refused. */
#define TRY_INIT(from, object, call)                                           \
 TRY_ON(from, object, sizeof(*(object)), call)
#define TRY_ON(from, object, size, call)                                       \
 __extension__({                                                               \
long long result_;                                                             \
step_begin(object, size);                                                      \
result_ = (long long) (call);                                                  \
if (result_ < 0) {                                                             \
 step_refused(__FILE__, __LINE__, #call, from, result_);                       \
 result_ = (long long) (call);                                                 \
 step_again(__FILE__, __LINE__, #call, result_);                               \
} else {                                                                       \
 step_done(__FILE__, __LINE__, #call, from);                                   \
}                                                                              \
result_;                                                                       \
 })
void step_begin(const void* object, size_t size);
void step_refused(const char* file,
                  int line,
                  const char* call,
                  const char* from,
                  long long result);
void step_again(const char* file, int line, const char* call, long long result);
void step_done(const char* file, int line, const char* call, const char* from);

/* Has a call of one of these functions failed? For what the header lets be
 * different then. */
bool has_failed(const char* calls);
/* An error that says "again", and is not said for good. */
bool is_passing(enum fault_call call, int error);
/* From here on none fails any more. */
void lift_faults(void);

/* Calls of the test's own to the library, which are not to fail. */
#define ASIDE(statement)                                                       \
 do {                                                                          \
  bool was_armed_ = disarm_faults();                                           \
  statement;                                                                   \
  rearm_faults(was_armed_);                                                    \
 } while (0)
bool disarm_faults(void);
void rearm_faults(bool is_armed);

/* --- Loops and signals ---------------------------------------------------- */

/* The scenario's, if it has one: all zeros where it is not open. */
extern struct fixture s;

/* Before each: SIGUSR2 and SIGRTMIN + 1 have a foreign handler, count_foreign(),
 * and SIGRTMIN is ignored. All others have their default actions. */
void prepare_signals(void);
void init_signals(const uvsig_options_t* options);
void close_signals(void);

/* A recorder that is started, with these flags. */
void start_recorder(struct recorder* r, int signum, unsigned flags);
/* Send the signal so often to this thread, and turn the loop until it is told
 * exactly that. */
void tell(struct recorder* r, unsigned times);
/* Send it twice before the loop turns: whatever fails of the first, the second
 * one wakes the loop, which tells both. */
void tell_two(struct recorder* r);
/* Without a fault any more, the next one wakes the loop, and is told, too. */
void tell_at_last(struct recorder* r);
/* Turn the loop until it is so, if need be for seconds. */
void turn_until(bool (*is_so)(void));

#endif /* SCENARIO_H */
