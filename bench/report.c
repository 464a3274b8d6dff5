/* SPDX-License-Identifier: MIT
 *
 * What the benches found, as tables on standard output, and as CSV files: one
 * for each workload, with a line for each figure of each peer, and one of the
 * targets that this library is to reach.
 */

#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char* report_directory;

/* --- Targets -------------------------------------------------------------- */

/* The median of `peer` is to be at most so many times that of `against`. */
static const struct target {
  const char* title;
  const char* workload;
  const char* variant;
  unsigned figure;
  const struct peer* peer;
  const struct peer* against; /* NULL: delivered signals against sent ones */
  double limit;
} targets[] = {
    {"burst of 3,000, bytes",
     "burst",
     "3,000",
     0,
     &uvsig_bytes,
     &uv_signal,
     0.88},
    {"burst of 3,000, wake-only",
     "burst",
     "3,000",
     0,
     &uvsig_wake_only,
     &uv_signal,
     0.76},
    {"burst of 3,000, wake-only",
     "burst",
     "3,000",
     0,
     &uvsig_wake_only,
     &raw_handler,
     1.06},
    {"burst of 100,000, bytes: delivered",
     "burst",
     "100,000",
     0,
     &uvsig_bytes,
     NULL,
     1},
    {"burst of 100,000, wake-only: delivered",
     "burst",
     "100,000",
     0,
     &uvsig_wake_only,
     NULL,
     1},
    {"ping, bytes", "ping", "", 0, &uvsig_bytes, &uv_signal, 0.90},
    {"ping, wake-only", "ping", "", 0, &uvsig_wake_only, &uv_signal, 0.64},
#ifdef HAVE_LIBEV
    {"ping, wake-only", "ping", "", 0, &uvsig_wake_only, &peer_libev, 0.95},
#endif
    {"100 watchers on one signal",
     "watchers",
     "100",
     0,
     &uvsig_bytes,
     &uv_signal,
     0.12},
    {"start and stop of a further watcher",
     "start-stop",
     "further",
     0,
     &uvsig_bytes,
     &uv_signal,
     0.05},
    {"latency from another process, p99",
     "latency",
     "process",
     1,
     &uvsig_bytes,
     &uv_signal,
     1.0},
    {"busy loop with against without",
     "busy-loop",
     "",
     0,
     &presence_uvsig,
     &presence_without,
     1.02},
    {"siginfo on against off, ping, bytes",
     "siginfo",
     "ping, bytes",
     0,
     &uvsig_bytes,
     &uvsig_bytes_no_info,
     1.02},
    {"siginfo on against off, burst of 3,000, bytes",
     "siginfo",
     "burst of 3,000, bytes",
     0,
     &uvsig_bytes,
     &uvsig_bytes_no_info,
     1.02}};

enum { TARGETS = sizeof(targets) / sizeof(targets[0]) };

static struct found {
  bool is_known;
  bool is_reached;
  struct spread ratio;
  double cpu;
} found[TARGETS];

static const struct series* find(const struct series* series,
                                 size_t n,
                                 const struct peer* peer) {
  size_t i;

  for (i = 0; i < n; i++)
    if (series[i].peer == peer && !series[i].failed)
      return &series[i];
  return NULL;
}

static void look_at_target(const struct target* target,
                           struct found* out,
                           const struct series* series,
                           size_t n,
                           unsigned rounds) {
  const struct series* ours = find(series, n, target->peer);
  const struct series* theirs;
  double delivered;

  if (ours == NULL)
    return;
  if (target->against == NULL) {
    delivered = (double) ours->delivered / (double) ours->sent;
    out->ratio = (struct spread){delivered, delivered, delivered};
    out->cpu = NAN;
    out->is_reached = ours->delivered == ours->sent;
    out->is_known = true;
    return;
  }
  theirs = find(series, n, target->against);
  if (theirs == NULL)
    return;
  out->ratio = ratio_of(
      ours->figures[target->figure], theirs->figures[target->figure], rounds);
  out->cpu = ratio_of(ours->cpu, theirs->cpu, rounds).median;
  out->is_reached = out->ratio.median <= target->limit;
  out->is_known = true;
}

/* --- Tables --------------------------------------------------------------- */

/* Three significant digits or more, none behind the point where it is large. */
static int digits(double value) {
  return value < 10 ? 2 : value < 100 ? 1 : 0;
}

static void print_spread(const struct spread* spread, int places) {
  if (isnan(spread->median))
    printf(" - | - |");
  else
    printf(" %.*f | %.*f to %.*f |",
           places,
           spread->median,
           places,
           spread->low,
           places,
           spread->high);
}

static void print_table(const struct bench* bench,
                        const struct series* series,
                        size_t n,
                        unsigned rounds,
                        unsigned figure) {
  const struct series* against = find(series, n, bench->against);
  struct spread spread;
  size_t i;

  printf(
      "\n%s%s%s: %s, %s (%u rounds)\n\n"
      "| | median | quartiles | against %s | quartiles | sent | delivered |\n"
      "| --- | --: | --- | --: | --- | --: | --: |\n",
      bench->workload,
      bench->variant[0] != '\0' ? ", " : "",
      bench->variant,
      bench->figures[figure],
      bench->unit,
      rounds,
      bench->against->name);
  for (i = 0; i < n; i++) {
    if (series[i].failed)
      continue;
    printf("| %s |", series[i].peer->name);
    spread = spread_of(series[i].figures[figure], rounds);
    print_spread(&spread, digits(spread.median));
    if (against != NULL) {
      spread =
          ratio_of(series[i].figures[figure], against->figures[figure], rounds);
      print_spread(&spread, 3);
    } else {
      printf(" - | - |");
    }
    if (series[i].sent > 0)
      printf(" %llu | %llu |\n",
             (unsigned long long) series[i].sent,
             (unsigned long long) series[i].delivered);
    else
      printf(" - | - |\n");
  }
  fflush(stdout);
}

/* --- CSV files ------------------------------------------------------------ */

static FILE* open_csv(const char* name, const char* mode) {
  char path[4096];
  FILE* file;

  snprintf(path, sizeof(path), "%s/%s.csv", report_directory, name);
  file = fopen(path, mode);
  if (file == NULL) {
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(1);
  }
  return file;
}

/* A file is begun with the first bench of its workload: they are together. */
static FILE* open_workload(const struct bench* bench) {
  static const char* last;
  bool is_new = last == NULL || strcmp(last, bench->workload) != 0;
  FILE* file = open_csv(bench->workload, is_new ? "w" : "a");

  last = bench->workload;
  if (is_new)
    fputs("variant,size,peer,figure,unit,rounds,median,q1,q3,cpu,against,ratio,"
          "ratio_q1,ratio_q3,sent,delivered,told\n",
          file);
  return file;
}

/* Nothing where there is no number. */
static void write_number(FILE* file, double value) {
  if (isnan(value))
    fputs(",", file);
  else
    fprintf(file, "%.6g,", value);
}

static void write_line(FILE* file,
                       const struct bench* bench,
                       const struct series* series,
                       const struct series* against,
                       unsigned rounds,
                       unsigned figure) {
  struct spread own = spread_of(series->figures[figure], rounds);
  struct spread ratio = {NAN, NAN, NAN};

  if (against != NULL)
    ratio = ratio_of(series->figures[figure], against->figures[figure], rounds);
  fprintf(file,
          "\"%s\",%u,\"%s\",%s,%s,%u,",
          bench->variant,
          bench->n,
          series->peer->name,
          bench->figures[figure],
          bench->unit,
          rounds);
  write_number(file, own.median);
  write_number(file, own.low);
  write_number(file, own.high);
  write_number(file, figure == 0 ? spread_of(series->cpu, rounds).median : NAN);
  fprintf(file, "\"%s\",", bench->against->name);
  write_number(file, ratio.median);
  write_number(file, ratio.low);
  write_number(file, ratio.high);
  fprintf(file,
          "%llu,%llu,%llu\n",
          (unsigned long long) series->sent,
          (unsigned long long) series->delivered,
          (unsigned long long) series->told);
}

static void write_csv(const struct bench* bench,
                      const struct series* series,
                      size_t n,
                      unsigned rounds) {
  const struct series* against = find(series, n, bench->against);
  FILE* file = open_workload(bench);
  unsigned figure;
  size_t i;

  for (i = 0; i < n; i++)
    for (figure = 0; bench->figures[figure] != NULL; figure++)
      if (!series[i].failed)
        write_line(file, bench, &series[i], against, rounds, figure);
  fclose(file);
}

void report(const struct bench* bench,
            const struct series* series,
            size_t n,
            unsigned rounds) {
  unsigned figure;
  size_t i;

  for (figure = 0; bench->figures[figure] != NULL; figure++)
    print_table(bench, series, n, rounds, figure);
  if (report_directory != NULL)
    write_csv(bench, series, n, rounds);
  for (i = 0; i < TARGETS; i++)
    if (strcmp(targets[i].workload, bench->workload) == 0 &&
        strcmp(targets[i].variant, bench->variant) == 0)
      look_at_target(&targets[i], &found[i], series, n, rounds);
}

/* --- The end -------------------------------------------------------------- */

static void write_targets(void) {
  FILE* file = open_csv("targets", "w");
  size_t i;

  fputs("target,against,limit,ratio,ratio_q1,ratio_q3,cpu_ratio,reached\n",
        file);
  for (i = 0; i < TARGETS; i++) {
    if (!found[i].is_known)
      continue;
    fprintf(file,
            "\"%s\",\"%s\",",
            targets[i].title,
            targets[i].against != NULL ? targets[i].against->name : "sent");
    write_number(file, targets[i].limit);
    write_number(file, found[i].ratio.median);
    write_number(file, found[i].ratio.low);
    write_number(file, found[i].ratio.high);
    write_number(file, found[i].cpu);
    fprintf(file, "%s\n", found[i].is_reached ? "yes" : "no");
  }
  fclose(file);
}

int report_end(void) {
  size_t i;

  printf("\n| target | against | at most | measured | quartiles | reached | "
         "by processor time |\n"
         "| --- | --- | --: | --: | --- | --- | --: |\n");
  for (i = 0; i < TARGETS; i++) {
    if (!found[i].is_known)
      continue;
    printf("| %s | %s | %g |",
           targets[i].title,
           targets[i].against != NULL ? targets[i].against->name : "sent",
           targets[i].limit);
    print_spread(&found[i].ratio, 3);
    printf(" %s |", found[i].is_reached ? "yes" : "**no**");
    if (isnan(found[i].cpu))
      printf(" - |\n");
    else
      printf(" %.3f |\n", found[i].cpu);
  }
  if (report_directory != NULL)
    write_targets();
  return 0;
}
