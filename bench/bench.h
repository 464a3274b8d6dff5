/* SPDX-License-Identifier: MIT
 *
 * What the benchmark's files share: a peer is a way to get at signals, with an
 * interface that all of them can have; a bench is a workload in one size, with
 * a function that measures it once for one peer. bench.c runs the benches, each
 * measurement in a process of its own, peer after peer, round after round.
 */

#ifndef BENCH_H
#define BENCH_H

#include "config.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* --- Peers ---------------------------------------------------------------- */

/* What a peer can do, and a bench needs; and what it is. */
enum {
  CAN_LOOP = 1,     /* it has a loop, and is no bare handler */
  CAN_MANY = 2,     /* several watchers on one signal */
  CAN_THREADS = 4,  /* a loop in each of several threads, all watching */
  CAN_REALTIME = 8, /* realtime signals */
  CAN_RESTART = 16, /* watchers can be stopped and started */
  IS_FLOOR = 32     /* no library, but what none can be faster than */
};

struct side;

/* Called by a peer for a callback of one of its watchers. */
typedef void (*caught_fn)(struct side* side);

/* One loop of a peer, in one thread. */
struct side {
  const struct peer* peer;
  void* loop;
  void* hub;      /* the library's, beside the loop, or NULL */
  void* watchers; /* the peer's, prepared */
  bool left;      /* for peers whose loop is to be told by a flag */
  /* the workload's */
  caught_fn caught;
  uint64_t delivered; /* what callbacks have stood for, of all watchers */
  unsigned count;     /* of the callback that is running */
  bool has_value;
  intptr_t value;
  uint64_t left_to_send;
  int signum;
  void* data;
};

struct peer {
  const char* name;
  const char* version; /* of what it is compiled with, or NULL */
  unsigned flags;
  const void* options;
  void (*open)(struct side* side);
  /* Make `n` watchers ready; start and stop one of them. */
  void (*prepare)(struct side* side, int signum, unsigned n);
  void (*start)(struct side* side, unsigned i);
  void (*stop)(struct side* side, unsigned i);
  /* Run the loop once, until there is something or without waiting for it. */
  void (*turn)(struct side* side, bool wait);
  /* Run it until a callback calls the other. */
  void (*run)(struct side* side);
  void (*leave)(struct side* side);
};

/* A callback stands for `count` signals. */
static inline void caught(struct side* side, unsigned count) {
  side->delivered += count;
  side->count = count;
  side->caught(side);
}

extern const struct peer uvsig_bytes, uvsig_wake_only, uvsig_signalfd;
extern const struct peer uvsig_bytes_chain;
extern const struct peer uvsig_bytes_no_info, uvsig_wake_only_no_info;
extern const struct peer uv_signal;
extern const struct peer raw_pipe, raw_handler, raw_handler_siginfo;
extern const struct peer peer_libev, peer_libevent, peer_sd_event, peer_glib;
extern const struct peer presence_without, presence_uvsig;
extern const struct peer by_hand_1, conns_1, conns_10k, conns_1m;
extern const struct peer http_without, http_with;

/* All that were compiled in; ends with NULL. */
extern const struct peer* const peers[];

/* --- Benches -------------------------------------------------------------- */

enum { MOST_FIGURES = 4, MOST_ROUNDS = 255, MOST_PEERS = 20 };

/* What one measurement found. */
struct result {
  double figures[MOST_FIGURES]; /* NaN: none */
  double cpu;                   /* processor time, in the first figure's way */
  uint64_t sent;                /* 0: no signals were sent */
  uint64_t delivered;
  uint64_t told; /* with the value that was sent */
};

struct bench {
  const char* workload; /* one word */
  const char* variant;  /* what distinguishes it from others of the workload */
  const char* figures[MOST_FIGURES + 1];
  const char* unit;
  void (*measure)(const struct bench* bench,
                  const struct peer* peer,
                  struct result* result);
  unsigned needs;   /* of a peer */
  unsigned n;       /* the size */
  unsigned repeats; /* how often in a round */
  unsigned rounds;  /* times the number of rounds; 0: 1 */
  const struct peer* against;
  const struct peer* const* only; /* these, or NULL; ends with NULL */
  bool with_floors;
  bool is_plain; /* figures that are no times, and are not compared */
  bool
      is_together; /* all of `only` in one process, which takes turns: `measure`
                     * has no peer, and sets a result for each */
};

/* All of them; each ends with one without a workload. */
extern const struct bench deliver_benches[];
extern const struct bench start_benches[];
extern const struct bench thread_benches[];
extern const struct bench flood_benches[];
extern const struct bench presence_benches[];
extern const struct bench connection_benches[];
extern const struct bench http_benches[];

/* --- For those that measure ----------------------------------------------- */

void check(int err, const char* what);          /* a libuv code */
void check_errno(int result, const char* what); /* -1 and errno */
void* allocate(size_t n, size_t size);
void* share(size_t size); /* memory for this process and its children */

uint64_t now(void); /* nanoseconds */

/* The clocks, and with -1 a mark for strace, at both ends of what is
 * measured. */
struct span {
  uint64_t wall;
  uint64_t cpu;
};
void span_begin(struct span* span);
void span_end(struct span* span);
/* Set the first figure and the processor time, for each of `n`. */
void set_time(struct result* result, const struct span* span, double n);

/* Put the calling thread, and what it starts from here on, on a processor. */
enum place { FIRST, LAST, PLACES };
void use_processor(enum place place);

void open_side(struct side* side, const struct peer* peer, caught_fn fn);
/* For another signal of the same loop. */
void join_side(struct side* side, const struct side* other, caught_fn fn);
void watch(struct side* side, int signum, unsigned n);
/* Run the loop until `expected` have been delivered, or nothing more comes. */
void drain(struct side* side, uint64_t expected);
/* Run it until nothing has come for a millisecond. */
void drain_now(struct side* side);

/* With a mark at the ends of what is measured. */
extern bool is_once;

/* --- Statistics ----------------------------------------------------------- */

void sort(double* values, size_t n);
double quantile(const double* sorted, size_t n, double q);

/* The median and the quartiles; NaN where one of the values is. */
struct spread {
  double median;
  double low;
  double high;
};
struct spread spread_of(const double* values, size_t n);
/* Of the rounds' own ratios: the ratio of the medians drifts with the
 * machine. */
struct spread ratio_of(const double* a, const double* b, size_t n);

/* --- The report ----------------------------------------------------------- */

/* All rounds of one peer in one bench. */
struct series {
  const struct peer* peer;
  double figures[MOST_FIGURES][MOST_ROUNDS];
  double cpu[MOST_ROUNDS];
  uint64_t sent;
  uint64_t delivered;
  uint64_t told;
  bool failed;
};

extern const char* report_directory; /* of the CSV files; NULL: none */
void report(const struct bench* bench,
            const struct series* series,
            size_t n,
            unsigned rounds);
/* NULL where that peer is not in it, or has failed. */
const struct series* find_series(const struct series* series,
                                 size_t n,
                                 const struct peer* peer);
void print_spread(const struct spread* spread, int places);
FILE* open_csv(const char* name, const char* mode);
void write_number(FILE* file, double value);

void targets_look(const struct bench* bench,
                  const struct series* series,
                  size_t n,
                  unsigned rounds);
void targets_report(void);

#endif /* BENCH_H */
