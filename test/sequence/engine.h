/* SPDX-License-Identifier: MIT
 *
 * Sequences of random steps against a reference model. A test names its steps
 * and what each of them does; the engine makes sequences of them, runs each in a
 * child process, and makes one that fails as short as it can. What it prints
 * then can be pasted as a test of its own.
 *
 * A step decides by the model alone whether it can be done now. One that cannot
 * is passed over, so each part of a sequence is a sequence, too.
 *
 *   TEST_SEED=n      make this one sequence again, and print its steps
 *   TEST_SECONDS=n   go on for so long, rather than for some seconds of
 *                    processor time (fewer with TEST_SCALE)
 */

#ifndef ENGINE_H
#define ENGINE_H

#include "../lib/harness.h"

enum { STEP_ARGS = 3, MOST_STEPS = 64 };

/* Where a step is done: by itself, or in the next callback that comes. */
enum { IN_CALLBACK = 1 };

struct step {
  unsigned op;
  unsigned args[STEP_ARGS];
  unsigned where;
};

struct op {
  const char* name;          /* of the enumerator */
  unsigned weight;           /* how often, relative to the others; 0: never */
  unsigned below[STEP_ARGS]; /* each argument's limit, or 0: it has none */
  bool may_nest;
  /* Do it, and check it against the model. False: it cannot be done now. */
  bool (*run)(const unsigned* args);
};

struct kind {
  const char* name;
  const struct op* ops;
  unsigned count;
  unsigned steps; /* of a sequence; at most MOST_STEPS */
  unsigned seconds;
  /* Before the first step, and after the last. `config` is 16 random bits: what
   * the sequence is to have from the start. */
  void (*begin)(unsigned config);
  void (*end)(void);
  /* NULL, or a comparison after each step that is not in a callback. */
  void (*check)(void);
  /* NULL, or a part of the library's message where a limit has ended the
   * process. A slow machine may meet it, so the sequence is run again with
   * limits that are twice as long. */
  const char* late;
};

/* The body of a test: sequences until the time is over. */
void run_sequences(const struct kind* kind);

/* The body of another one: a sequence that was found. */
void replay(const struct kind* kind,
            unsigned config,
            const struct step* steps,
            unsigned count);
#define REPLAY(kind, config, steps)                                            \
 replay(kind, config, steps, sizeof(steps) / sizeof((steps)[0]))

/* --- For the steps ----------------------------------------------------------- */

/* Called first in each callback: do a step that waits for one, if there is. */
void act_in_callback(void);
/* Is a step being done in a callback, and how deep? */
unsigned callback_depth(void);
/* How many were done so. */
unsigned long steps_in_callbacks(void);

/* What `begin` multiplies short limits by. */
unsigned time_factor(void);

/* Where the steps are shown. */
extern bool is_verbose;
#define SAY(...)                                                               \
 do {                                                                          \
  if (is_verbose)                                                              \
   fprintf(stderr, __VA_ARGS__);                                               \
 } while (0)

#endif /* ENGINE_H */
