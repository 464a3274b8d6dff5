/* SPDX-License-Identifier: MIT
 *
 * The benchmark's main program: runs the benches, and has report.c write what
 * they found.
 *
 * bench/bench [-r ROUNDS] [-o DIRECTORY] [WORKLOAD...]
 *     All of them, or those. Tables go to standard output, CSV files to the
 *     directory. 1 is returned where a peer has failed, which is not in them.
 * bench/bench -1 WORKLOAD VARIANT PEER REPEATS
 *     Measure once, in this process, and print nothing: for strace and
 *     callgrind.
 * bench/bench -l WORKLOAD VARIANT
 *     List the peers that take part.
 * bench/bench -v
 *     List the peers' versions.
 * bench/bench -w
 *     List the CSV files that -o writes, without their ends.
 */

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FEWEST_ROUNDS = 15, DEADLINE_MS = 180000 };

static const struct bench* const all_benches[] = {deliver_benches,
                                                  start_benches,
                                                  thread_benches,
                                                  flood_benches,
                                                  presence_benches,
                                                  connection_benches,
                                                  http_benches,
                                                  NULL};

/* In the order of the turns: what is to be close to each other in a ratio is so
 * in time. */
const struct peer* const peers[] = {&raw_pipe,
                                    &raw_handler_siginfo,
                                    &raw_handler,
                                    &uvsig_wake_only,
                                    &uvsig_bytes,
                                    &uvsig_signalfd,
                                    &uv_signal,
#ifdef HAVE_LIBEV
                                    &peer_libev,
#endif
#ifdef HAVE_LIBEVENT
                                    &peer_libevent,
#endif
#ifdef HAVE_SD_EVENT
                                    &peer_sd_event,
#endif
#ifdef HAVE_GLIB
                                    &peer_glib,
#endif
                                    NULL};

/* --- Running -------------------------------------------------------------- */

static bool takes_part(const struct bench* bench, const struct peer* peer) {
  return (peer->flags & bench->needs) == bench->needs &&
         (bench->with_floors || (peer->flags & IS_FLOOR) == 0);
}

static void measure(const struct bench* bench,
                    const struct peer* peer,
                    struct result* results) {
  size_t n = bench->is_together ? MOST_PEERS : 1;
  size_t figure;
  size_t i;

  for (i = 0; i < n; i++) {
    memset(&results[i], 0, sizeof(results[i]));
    for (figure = 0; figure < MOST_FIGURES; figure++)
      results[i].figures[figure] = NAN;
    results[i].cpu = NAN;
  }
  bench->measure(bench, peer, results);
}

/* In a process of its own, which has the dispositions and the memory of
 * nothing that was measured before, and cannot hang for ever. */
static bool measure_apart(const struct bench* bench,
                          const struct peer* peer,
                          struct result* results) {
  struct pollfd ended = {.events = POLLIN};
  int status;
  int fds[2];
  pid_t pid;

  check_errno(pipe2(fds, O_CLOEXEC), "pipe2");
  fflush(NULL);
  pid = fork();
  check_errno(pid, "fork");
  if (pid == 0) {
    close(fds[0]);
    measure(bench, peer, results);
    _exit(0);
  }
  close(fds[1]);
  ended.fd = fds[0];
  while (poll(&ended, 1, DEADLINE_MS) < 0 && errno == EINTR)
    ;
  if (ended.revents == 0)
    kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  close(fds[0]);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What a round has found for one peer; `result` is NULL where it failed. */
static void note(const struct bench* bench,
                 struct series* series,
                 unsigned round,
                 const struct result* result) {
  size_t figure;

  series->failed = result == NULL;
  if (result == NULL) {
    fprintf(stderr,
            "%s %s: %s failed\n",
            bench->workload,
            bench->variant,
            series->peer->name);
    return;
  }
  for (figure = 0; figure < MOST_FIGURES; figure++)
    series->figures[figure][round] = result->figures[figure];
  series->cpu[round] = result->cpu;
  series->sent += result->sent;
  series->delivered += result->delivered;
  series->told += result->told;
}

static void run_round(const struct bench* bench,
                      struct series* series,
                      size_t n,
                      unsigned round,
                      struct result* results) {
  bool is_measured;
  size_t turn;
  size_t i;

  if (bench->is_together) {
    is_measured = !series[0].failed && measure_apart(bench, NULL, results);
    for (i = 0; i < n; i++)
      if (!series[i].failed)
        note(bench, &series[i], round, is_measured ? &results[i] : NULL);
    return;
  }
  for (turn = 0; turn < n; turn++) {
    /* Each round begins with another one: who comes after whom matters. */
    i = (round + turn) % n;
    if (series[i].failed)
      continue;
    is_measured = measure_apart(bench, series[i].peer, results);
    note(bench, &series[i], round, is_measured ? results : NULL);
  }
}

static size_t choose_peers(const struct bench* bench, struct series* series) {
  const struct peer* const* peer = bench->only != NULL ? bench->only : peers;
  size_t n = 0;

  for (; *peer != NULL; peer++)
    if (bench->only != NULL || takes_part(bench, *peer)) {
      memset(&series[n], 0, sizeof(series[n]));
      series[n++].peer = *peer;
    }
  return n;
}

/* Returns whether no peer has failed. */
static bool run_bench(const struct bench* bench,
                      unsigned rounds,
                      struct result* results) {
  struct series* series = allocate(MOST_PEERS, sizeof(*series));
  size_t n = choose_peers(bench, series);
  unsigned round;
  bool is_whole = true;
  size_t i;

  rounds *= bench->rounds > 0 ? bench->rounds : 1;
  if (rounds > MOST_ROUNDS)
    rounds = MOST_ROUNDS;
  for (round = 0; round < rounds; round++)
    run_round(bench, series, n, round, results);
  report(bench, series, n, rounds);
  targets_look(bench, series, n, rounds);
  for (i = 0; i < n; i++)
    is_whole &= !series[i].failed;
  free(series);
  return is_whole;
}

/* --- The command line ----------------------------------------------------- */

static bool is_wanted(const struct bench* bench, char** names) {
  if (*names == NULL)
    return true;
  for (; *names != NULL; names++)
    if (strcmp(*names, bench->workload) == 0)
      return true;
  return false;
}

static int run_all(unsigned rounds, char** names) {
  struct result* results = share(MOST_PEERS * sizeof(*results));
  const struct bench* const* set;
  const struct bench* bench;
  bool is_whole = true;
  unsigned n = 0;

  for (set = all_benches; *set != NULL; set++)
    for (bench = *set; bench->workload != NULL; bench++)
      if (is_wanted(bench, names)) {
        is_whole &= run_bench(bench, rounds, results);
        n++;
      }
  if (n == 0) {
    fprintf(stderr, "no such workload\n");
    return 2;
  }
  targets_report();
  return is_whole ? 0 : 1;
}

static const struct peer* find_peer(const struct bench* bench,
                                    const char* name) {
  const struct peer* const* peer = bench->only != NULL ? bench->only : peers;

  for (; *peer != NULL; peer++)
    if (strcmp((*peer)->name, name) == 0)
      return *peer;
  return NULL;
}

static const struct bench* find_bench(const char* workload,
                                      const char* variant) {
  const struct bench* const* set;
  const struct bench* bench;

  for (set = all_benches; *set != NULL; set++)
    for (bench = *set; bench->workload != NULL; bench++)
      if (strcmp(bench->workload, workload) == 0 &&
          strcmp(bench->variant, variant) == 0)
        return bench;
  fprintf(stderr, "%s %s: no such workload\n", workload, variant);
  exit(2);
}

/* Valgrind ends a process whose stack would have to grow for a handler's
 * frame. */
__attribute__((noinline)) static void grow_stack(void) {
  volatile char pages[1 << 16];
  size_t i;

  for (i = 0; i < sizeof(pages); i += 1024)
    pages[sizeof(pages) - 1 - i] = 0;
}

static void run_once(char** arguments) {
  const struct bench* bench = find_bench(arguments[0], arguments[1]);
  const struct peer* peer = find_peer(bench, arguments[2]);
  struct bench once = *bench;
  struct result results[MOST_PEERS];

  if (peer == NULL) {
    fprintf(stderr, "%s: no such peer\n", arguments[2]);
    exit(2);
  }
  once.repeats = (unsigned) atoi(arguments[3]);
  is_once = true;
  grow_stack();
  measure(&once, peer, results);
}

static void list_peers(char** arguments) {
  struct series* series = allocate(MOST_PEERS, sizeof(*series));
  size_t n = choose_peers(find_bench(arguments[0], arguments[1]), series);
  size_t i;

  for (i = 0; i < n; i++)
    puts(series[i].peer->name);
  free(series);
}

static void list_versions(void) {
  const struct peer* const* peer;

  for (peer = peers; *peer != NULL; peer++)
    if ((*peer)->version != NULL)
      printf("%s %s\n", (*peer)->name, (*peer)->version);
}

static void list_files(void) {
  const struct bench* const* set;
  const struct bench* bench;

  for (set = all_benches; *set != NULL; set++)
    for (bench = *set; bench->workload != NULL; bench++)
      if (bench == *set || strcmp(bench->workload, bench[-1].workload) != 0)
        puts(bench->workload);
  puts("targets");
}

static int usage(void) {
  fputs("usage: bench [-r ROUNDS] [-o DIRECTORY] [WORKLOAD...]\n"
        "       bench -1 WORKLOAD VARIANT PEER REPEATS\n"
        "       bench -l WORKLOAD VARIANT\n"
        "       bench -v\n"
        "       bench -w\n",
        stderr);
  return 2;
}

int main(int argc, char** argv) {
  unsigned rounds = FEWEST_ROUNDS;
  int mode = 0;
  int option;

  while ((option = getopt(argc, argv, "r:o:1lvw")) != -1)
    switch (option) {
    case 'r':
      rounds = (unsigned) atoi(optarg);
      break;
    case 'o':
      report_directory = optarg;
      break;
    case '1':
    case 'l':
    case 'v':
    case 'w':
      mode = option;
      break;
    default:
      return usage();
    }
  argc -= optind;
  argv += optind;
  if (mode == 0)
    return run_all(rounds < FEWEST_ROUNDS ? FEWEST_ROUNDS : rounds, argv);
  if (mode == '1' && argc == 4)
    run_once(argv);
  else if (mode == 'l' && argc == 2)
    list_peers(argv);
  else if (mode == 'v' && argc == 0)
    list_versions();
  else if (mode == 'w' && argc == 0)
    list_files();
  else
    return usage();
  return 0;
}
