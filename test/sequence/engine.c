/* SPDX-License-Identifier: MIT
 *
 * Makes sequences, runs them, and shortens one that fails: see engine.h.
 */

#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  ATTEMPTS = 3000,    /* at most, to shorten one */
  SIGNATURE = 160,    /* what tells one failure from another */
  CALLBACKS_DEEP = 3, /* no further steps in callbacks below that */
  NESTED_ONE_IN = 4,  /* how many steps are done in a callback */
  SCALE_OF_CHECK = 3, /* what TEST_SCALE divides the time by, at most */
  MOST_FACTOR = 1024  /* of limits: seconds, where they were milliseconds */
};

/* Seconds. What takes longer hangs. */
static unsigned long_time(void) {
  return 1 + setting("TEST_DEADLINE", 240) / 4;
}

/* For a part of a sequence. */
static unsigned short_time(void) {
  return 1 + setting("TEST_DEADLINE", 240) / 100;
}

struct sequence {
  const struct kind* kind;
  unsigned config;
  unsigned count;
  struct step steps[MOST_STEPS];
};

bool is_verbose;

/* --- Running ---------------------------------------------------------------- */

static const struct sequence* running;
static struct step waiting[MOST_STEPS]; /* for a callback */
static unsigned waiting_count;
static unsigned depth;

static void show(const struct step* step, const char* what) {
  const struct op* op = &running->kind->ops[step->op];

  SAY("%*s%s %u %u %u%s\n",
      (int) depth * 2,
      "",
      op->name,
      step->args[0],
      step->args[1],
      step->args[2],
      what);
}

static void run_step(const struct step* step) {
  show(step, "");
  if (!running->kind->ops[step->op].run(step->args))
    show(step, ": not now");
}

unsigned callback_depth(void) {
  return depth;
}

static unsigned long done_in_callbacks;

unsigned long steps_in_callbacks(void) {
  return done_in_callbacks;
}

void act_in_callback(void) {
  struct step step;

  if (waiting_count == 0 || depth >= CALLBACKS_DEEP)
    return;
  step = waiting[0];
  waiting_count--;
  memmove(waiting, waiting + 1, waiting_count * sizeof(step));
  done_in_callbacks++;
  depth++;
  run_step(&step);
  depth--;
}

static void run_whole(void) {
  const struct kind* kind = running->kind;
  unsigned i;

  waiting_count = 0;
  depth = 0;
  SAY("config %#x\n", running->config);
  kind->begin(running->config);
  for (i = 0; i < running->count; i++) {
    if (running->steps[i].where == IN_CALLBACK)
      waiting[waiting_count++] = running->steps[i];
    else
      run_step(&running->steps[i]);
    if (kind->check != NULL)
      kind->check();
  }
  kind->end();
}

void replay(const struct kind* kind,
            unsigned config,
            const struct step* steps,
            unsigned count) {
  static struct sequence sequence;

  CHECK(count <= MOST_STEPS);
  sequence.kind = kind;
  sequence.config = config;
  sequence.count = count;
  memcpy(sequence.steps, steps, count * sizeof(*steps));
  running = &sequence;
  run_whole();
}

/* --- Attempts --------------------------------------------------------------- */

static int output = -1;       /* a file, for what the child says, */
static char said[256 * 1024]; /* and what that was */

static void run_apart(void) {
  CHECK(dup2(output, STDERR_FILENO) >= 0);
  run_whole();
}

static void read_output(void) {
  ssize_t n = pread(output, said, sizeof(said) - 1, 0);

  CHECK(n >= 0);
  said[n] = 0;
}

/* The child says first where a check failed; a sanitizer says other things. */
static void read_signature(int status, char* signature) {
  const char* line;
  const char* end;
  size_t length;

  snprintf(signature, SIGNATURE, "status %d", status);
  for (line = said; *line != 0; line += length + (line[length] != 0)) {
    length = strcspn(line, "\n");
    end = strstr(line, ".c:");
    if (end == NULL || end > line + length || line[0] == ' ')
      continue;
    length = strcspn(line, " \n");
    snprintf(signature,
             SIGNATURE,
             "%.*s",
             (int) (length < SIGNATURE ? length : SIGNATURE - 1),
             line);
    return;
  }
}

static unsigned factor = 1;

unsigned time_factor(void) {
  return factor;
}

static int run_with_limits(unsigned seconds) {
  int status;

  CHECK_EQ(ftruncate(output, 0), 0);
  CHECK_EQ(lseek(output, 0, SEEK_SET), 0);
  status = run_child_within(seconds, run_apart);
  if (status != 0 || is_verbose)
    read_output();
  return status;
}

/* Does it fail? Then `signature` says how. */
static bool fails(const struct sequence* sequence,
                  unsigned seconds,
                  char* signature) {
  const char* late = sequence->kind->late;
  int status;

  running = sequence;
  factor = 1;
  while ((status = run_with_limits(seconds)) != 0 && late != NULL &&
         strstr(said, late) != NULL && factor < MOST_FACTOR)
    factor *= 2;
  if (status == 0 && !is_verbose)
    return false;
  read_signature(status, signature);
  return status != 0;
}

/* --- Shortening ------------------------------------------------------------- */

struct shortening {
  struct sequence best;
  char signature[SIGNATURE];
  unsigned attempts;
  unsigned seconds;
  uint64_t end;
};

static bool is_over(const struct shortening* s) {
  return s->attempts >= ATTEMPTS || uv_hrtime() > s->end;
}

/* Take it, if it fails in the same way. */
static bool take(struct shortening* s, const struct sequence* candidate) {
  char signature[SIGNATURE];

  if (is_over(s))
    return false;
  s->attempts++;
  if (!fails(candidate, s->seconds, signature) ||
      strcmp(signature, s->signature) != 0)
    return false;
  s->best = *candidate;
  return true;
}

static bool remove_chunks(struct shortening* s, unsigned size) {
  struct sequence candidate;
  bool has_changed = false;
  unsigned at = 0;

  while (at < s->best.count) {
    unsigned n = size < s->best.count - at ? size : s->best.count - at;

    candidate = s->best;
    candidate.count -= n;
    memmove(candidate.steps + at,
            candidate.steps + at + n,
            (candidate.count - at) * sizeof(struct step));
    if (take(s, &candidate))
      has_changed = true;
    else
      at += n;
  }
  return has_changed;
}

static bool lower(struct shortening* s, unsigned* value) {
  struct sequence candidate;
  /* where it is in the sequence that is the best so far */
  size_t offset = (size_t) ((char*) value - (char*) &s->best);
  unsigned* changed = (unsigned*) (void*) ((char*) &candidate + offset);

  if (*value == 0)
    return false;
  candidate = s->best;
  *changed = 0;
  if (take(s, &candidate))
    return true;
  candidate = s->best;
  *changed = *value / 2;
  return *value > 1 && take(s, &candidate);
}

static bool simplify(struct shortening* s) {
  bool has_changed = false;
  struct sequence candidate;
  unsigned i;
  unsigned k;

  for (i = 0; i < s->best.count; i++) {
    for (k = 0; k < STEP_ARGS; k++)
      has_changed = lower(s, &s->best.steps[i].args[k]) || has_changed;
    has_changed = lower(s, &s->best.steps[i].where) || has_changed;
  }
  for (i = 0; i < 16; i++) {
    candidate = s->best;
    candidate.config &= ~(1u << i);
    if (candidate.config != s->best.config)
      has_changed = take(s, &candidate) || has_changed;
  }
  return has_changed;
}

static void shorten(struct shortening* s) {
  bool has_changed = true;
  unsigned size;

  s->end = uv_hrtime() + long_time() * UINT64_C(1000000000);
  while (has_changed && !is_over(s)) {
    has_changed = false;
    for (size = s->best.count / 2; size > 0; size /= 2)
      has_changed = remove_chunks(s, size) || has_changed;
    has_changed = simplify(s) || has_changed;
  }
}

static void print_sequence(const struct sequence* sequence) {
  const struct step* step;
  unsigned i;

  fprintf(stderr, "  static const struct step steps[] = {\n");
  for (i = 0; i < sequence->count; i++) {
    step = &sequence->steps[i];
    fprintf(stderr,
            "      {%s, {%u, %u, %u}, %s},\n",
            sequence->kind->ops[step->op].name,
            step->args[0],
            step->args[1],
            step->args[2],
            step->where == IN_CALLBACK ? "IN_CALLBACK" : "0");
  }
  fprintf(stderr,
          "  };\n\n  REPLAY(&%s, %#x, steps);\n",
          sequence->kind->name,
          sequence->config);
}

/* Found at random, so another time it may pass: a thread's, a timer's. */
static void report(const struct sequence* sequence, unsigned seed) {
  static struct shortening s;
  char signature[SIGNATURE];

  fprintf(stderr, "TEST_SEED=%u:\n%s", seed, said);
  s.best = *sequence;
  s.seconds = short_time();
  if (!fails(sequence, long_time(), s.signature))
    check_failed(
        __FILE__, __LINE__, "TEST_SEED=%u failed once, and not again", seed);
  shorten(&s);
  is_verbose = true;
  fails(&s.best, short_time(), signature);
  fprintf(stderr, "%s, %u attempts later:\n", s.signature, s.attempts);
  fputs(said, stderr);
  print_sequence(&s.best);
  check_failed(__FILE__,
               __LINE__,
               "TEST_SEED=%u fails with %u steps, and with %u of them",
               seed,
               sequence->count,
               s.best.count);
}

/* --- Making them ------------------------------------------------------------- */

static unsigned pick_op(const struct kind* kind, unsigned* state) {
  unsigned total = 0;
  unsigned left;
  unsigned i;

  for (i = 0; i < kind->count; i++)
    total += kind->ops[i].weight;
  left = random_below(state, total);
  for (i = 0; left >= kind->ops[i].weight; i++)
    left -= kind->ops[i].weight;
  return i;
}

static void make(struct sequence* sequence,
                 const struct kind* kind,
                 unsigned seed) {
  unsigned state = seed;
  struct step* step;
  unsigned i;
  unsigned k;

  memset(sequence, 0, sizeof(*sequence));
  sequence->kind = kind;
  sequence->count = kind->steps;
  random_below(&state, 2); /* neighbouring seeds begin alike */
  sequence->config = random_below(&state, 65536);
  for (i = 0; i < kind->steps; i++) {
    step = &sequence->steps[i];
    step->op = pick_op(kind, &state);
    for (k = 0; k < STEP_ARGS; k++)
      if (kind->ops[step->op].below[k] > 0)
        step->args[k] = random_below(&state, kind->ops[step->op].below[k]);
    if (kind->ops[step->op].may_nest &&
        random_below(&state, NESTED_ONE_IN) == 0)
      step->where = IN_CALLBACK;
  }
}

/* Processor time, so that a machine with other work to do does no less. */
static double used_seconds(void) {
  struct rusage own;
  struct rusage children;

  getrusage(RUSAGE_SELF, &own);
  getrusage(RUSAGE_CHILDREN, &children);
  return (double) (own.ru_utime.tv_sec + own.ru_stime.tv_sec +
                   children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
         (double) (own.ru_utime.tv_usec + own.ru_stime.tv_usec +
                   children.ru_utime.tv_usec + children.ru_stime.tv_usec) /
             1e6;
}

static bool goes_on(const struct kind* kind, uint64_t began) {
  unsigned seconds = setting("TEST_SECONDS", 0);
  unsigned scale = setting("TEST_SCALE", 1);

  if (seconds > 0)
    return uv_hrtime() - began < seconds * UINT64_C(1000000000);
  if (scale > SCALE_OF_CHECK)
    scale = SCALE_OF_CHECK;
  return used_seconds() < (double) kind->seconds / scale && has_time();
}

void run_sequences(const struct kind* kind) {
  static struct sequence sequence;
  char signature[SIGNATURE];
  uint64_t began = uv_hrtime();
  unsigned seed = test_seed();
  FILE* file = tmpfile();
  unsigned n = 0;

  CHECK(file != NULL);
  is_verbose = has_seed();
  output = fileno(file);
  do {
    make(&sequence, kind, seed + n);
    if (fails(&sequence, long_time(), signature))
      report(&sequence, seed + n);
    n++;
  } while (!has_seed() && goes_on(kind, began));
  if (has_seed())
    fputs(said, stderr);
  printf("# %u sequences of %u steps\n", n, kind->steps);
  fflush(stdout);
  fclose(file);
}
