/* SPDX-License-Identifier: MIT
 *
 * The benchmark's main program: runs the benches, and has report.c write what
 * they found.
 *
 * bench/bench [-r ROUNDS] [-o DIRECTORY] [WORKLOAD...]
 *     All of them, or those. Tables go to standard output, CSV files to the
 *     directory.
 * bench/bench -1 WORKLOAD VARIANT PEER REPEATS
 *     Measure once, in this process, and print nothing: for strace and
 *     callgrind.
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

enum { FEWEST_ROUNDS = 15, DEADLINE_MS = 60000 };

static const struct bench* const all_benches[] = {
    deliver_benches, start_benches, thread_benches, flood_benches, NULL};

const struct peer* const peers[] = {&uvsig_bytes,
                                    &uvsig_wake_only,
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
                                    &raw_pipe,
                                    &raw_handler,
                                    &raw_handler_siginfo,
                                    NULL};

/* --- Running -------------------------------------------------------------- */

static bool takes_part(const struct bench* bench, const struct peer* peer) {
  unsigned apart = IS_FLOOR | IS_SIGINFO | IS_PRESENCE;

  return (peer->flags & apart & ~bench->also) == 0 &&
         ((peer->flags & bench->needs) == bench->needs);
}

static void measure(const struct bench* bench,
                    const struct peer* peer,
                    struct result* result) {
  size_t i;

  memset(result, 0, sizeof(*result));
  for (i = 0; i < MOST_FIGURES; i++)
    result->figures[i] = NAN;
  result->cpu = NAN;
  bench->measure(bench, peer, result);
}

/* In a process of its own, which has the dispositions and the memory of
 * nothing that was measured before, and cannot hang for ever. */
static bool measure_apart(const struct bench* bench,
                          const struct peer* peer,
                          struct result* result) {
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
    measure(bench, peer, result);
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

static void run_round(const struct bench* bench,
                      struct series* series,
                      size_t n,
                      unsigned round,
                      struct result* result) {
  size_t figure;
  size_t i;

  for (i = 0; i < n; i++) {
    if (series[i].failed)
      continue;
    series[i].failed = !measure_apart(bench, series[i].peer, result);
    if (series[i].failed) {
      fprintf(stderr,
              "%s %s: %s failed\n",
              bench->workload,
              bench->variant,
              series[i].peer->name);
      continue;
    }
    for (figure = 0; figure < MOST_FIGURES; figure++)
      series[i].figures[figure][round] = result->figures[figure];
    series[i].cpu[round] = result->cpu;
    series[i].sent += result->sent;
    series[i].delivered += result->delivered;
    series[i].told += result->told;
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

static void run_bench(const struct bench* bench,
                      unsigned rounds,
                      struct result* result) {
  struct series* series = allocate(MOST_PEERS, sizeof(*series));
  size_t n = choose_peers(bench, series);
  unsigned round;

  rounds *= bench->rounds > 0 ? bench->rounds : 1;
  if (rounds > MOST_ROUNDS)
    rounds = MOST_ROUNDS;
  for (round = 0; round < rounds; round++)
    run_round(bench, series, n, round, result);
  report(bench, series, n, rounds);
  free(series);
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
  struct result* result = share(sizeof(*result));
  const struct bench* const* set;
  const struct bench* bench;
  unsigned n = 0;

  for (set = all_benches; *set != NULL; set++)
    for (bench = *set; bench->workload != NULL; bench++)
      if (is_wanted(bench, names)) {
        run_bench(bench, rounds, result);
        n++;
      }
  if (n == 0) {
    fprintf(stderr, "no such workload\n");
    return 2;
  }
  return report_end();
}

static const struct peer* find_peer(const struct bench* bench,
                                    const char* name) {
  const struct peer* const* peer = bench->only != NULL ? bench->only : peers;

  for (; *peer != NULL; peer++)
    if (strcmp((*peer)->name, name) == 0)
      return *peer;
  return NULL;
}

static int run_once(char** arguments) {
  const struct bench* const* set;
  const struct bench* bench;
  const struct peer* peer;
  struct bench once;
  struct result result;

  for (set = all_benches; *set != NULL; set++)
    for (bench = *set; bench->workload != NULL; bench++) {
      if (strcmp(bench->workload, arguments[0]) != 0 ||
          strcmp(bench->variant, arguments[1]) != 0)
        continue;
      peer = find_peer(bench, arguments[2]);
      if (peer == NULL)
        break;
      once = *bench;
      once.repeats = (unsigned) atoi(arguments[3]);
      is_once = true;
      measure(&once, peer, &result);
      return 0;
    }
  fprintf(stderr, "no such workload, variant or peer\n");
  return 2;
}

int main(int argc, char** argv) {
  unsigned rounds = 21;
  int option;

  while ((option = getopt(argc, argv, "r:o:1")) != -1)
    switch (option) {
    case 'r':
      rounds = (unsigned) atoi(optarg);
      break;
    case 'o':
      report_directory = optarg;
      break;
    case '1':
      if (argc - optind == 4)
        return run_once(argv + optind);
      /* fall through */
    default:
      fprintf(stderr,
              "usage: %s [-r ROUNDS] [-o DIRECTORY] [WORKLOAD...]\n"
              "       %s -1 WORKLOAD VARIANT PEER REPEATS\n",
              argv[0],
              argv[0]);
      return 2;
    }
  return run_all(rounds < FEWEST_ROUNDS ? FEWEST_ROUNDS : rounds,
                 argv + optind);
}
