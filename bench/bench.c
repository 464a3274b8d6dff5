/* SPDX-License-Identifier: MIT
 *
 * What those that measure share: clocks, memory, and the statistics.
 */

#include "bench.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

bool is_once;

/* --- For those that measure ----------------------------------------------- */

void check(int err, const char* what) {
  if (err >= 0)
    return;
  fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
  _exit(1);
}

void check_errno(int result, const char* what) {
  if (result >= 0)
    return;
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  _exit(1);
}

void* allocate(size_t n, size_t size) {
  void* memory = calloc(n > 0 ? n : 1, size);

  check(memory != NULL ? 0 : UV_ENOMEM, "calloc");
  return memory;
}

void* share(size_t size) {
  void* memory = mmap(
      NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

  check_errno(memory != MAP_FAILED ? 0 : -1, "mmap");
  return memory;
}

static uint64_t read_clock(clockid_t id) {
  struct timespec time;

  clock_gettime(id, &time);
  return (uint64_t) time.tv_sec * 1000000000 + (uint64_t) time.tv_nsec;
}

uint64_t now(void) {
  return read_clock(CLOCK_MONOTONIC);
}

/* Nothing else makes this system call, which bench/count.sh looks for. */
static void mark(void) {
  if (is_once)
    getsid(0);
}

void span_begin(struct span* span) {
  span->cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  mark();
  span->wall = now();
}

void span_end(struct span* span) {
  span->wall = now() - span->wall;
  mark();
  span->cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID) - span->cpu;
}

void set_time(struct result* result, const struct span* span, double n) {
  result->figures[0] = (double) span->wall / n;
  result->cpu = (double) span->cpu / n;
}

void open_side(struct side* side, const struct peer* peer, caught_fn fn) {
  memset(side, 0, sizeof(*side));
  side->peer = peer;
  side->caught = fn;
  peer->open(side);
}

void join_side(struct side* side, const struct side* other, caught_fn fn) {
  memset(side, 0, sizeof(*side));
  side->peer = other->peer;
  side->loop = other->loop;
  side->hub = other->hub;
  side->caught = fn;
}

void watch(struct side* side, int signum, unsigned n) {
  unsigned i;

  side->peer->prepare(side, signum, n);
  for (i = 0; i < n; i++)
    side->peer->start(side, i);
}

void drain(struct side* side, uint64_t expected) {
  uint64_t before = UINT64_MAX;

  side->peer->turn(side, true);
  while (side->delivered < expected && side->delivered != before) {
    before = side->delivered;
    side->peer->turn(side, false);
  }
}

void drain_now(struct side* side) {
  uint64_t last = now();
  uint64_t before;
  unsigned idle = 0;

  /* Turns, too, since the time may pass while another process runs. */
  while (idle < 20 || now() < last + 1000000) {
    before = side->delivered;
    side->peer->turn(side, false);
    idle++;
    if (side->delivered != before) {
      last = now();
      idle = 0;
    }
  }
}

void use_processor(enum place place) {
#ifdef CPU_SET
  cpu_set_t set;
  int step = place == FIRST ? 1 : -1;
  int at = place == FIRST ? 0 : CPU_SETSIZE - 1;

  if (sched_getaffinity(0, sizeof(set), &set) != 0)
    return;
  while (!CPU_ISSET(at, &set))
    at += step;
  CPU_ZERO(&set);
  CPU_SET(at, &set);
  sched_setaffinity(0, sizeof(set), &set);
#else
  (void) place;
#endif
}

/* --- Statistics ----------------------------------------------------------- */

static int compare(const void* a, const void* b) {
  double x = *(const double*) a;
  double y = *(const double*) b;

  return x < y ? -1 : x > y;
}

void sort(double* values, size_t n) {
  qsort(values, n, sizeof(*values), compare);
}

double quantile(const double* values, size_t n, double q) {
  double at = n > 0 ? q * (double) (n - 1) : 0;
  size_t below = (size_t) at;

  if (n == 0)
    return NAN;
  if (below + 1 >= n)
    return values[n - 1];
  return values[below] +
         (at - (double) below) * (values[below + 1] - values[below]);
}

struct spread spread_of(const double* values, size_t n) {
  double sorted[MOST_ROUNDS];
  size_t i;

  for (i = 0; i < n; i++) {
    if (isnan(values[i]))
      return (struct spread){NAN, NAN, NAN};
    sorted[i] = values[i];
  }
  sort(sorted, n);
  return (struct spread){quantile(sorted, n, 0.5),
                         quantile(sorted, n, 0.25),
                         quantile(sorted, n, 0.75)};
}

struct spread ratio_of(const double* a, const double* b, size_t n) {
  double ratios[MOST_ROUNDS];
  size_t i;

  for (i = 0; i < n; i++)
    ratios[i] = a[i] / b[i];
  return spread_of(ratios, n);
}
