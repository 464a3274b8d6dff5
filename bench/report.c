/* SPDX-License-Identifier: MIT
 *
 * What the benches found, as tables on standard output, and as CSV files: one
 * for each workload, with a line for each figure of each peer.
 */

#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char* report_directory;

const struct series* find_series(const struct series* series,
                                 size_t n,
                                 const struct peer* peer) {
  size_t i;

  for (i = 0; i < n; i++)
    if (series[i].peer == peer && !series[i].failed)
      return &series[i];
  return NULL;
}

/* --- Tables --------------------------------------------------------------- */

/* Three significant digits or more; small whole numbers are exact. */
static int digits(double value) {
  return value == 0 || value >= 100 ? 0 : value < 10 ? 2 : 1;
}

void print_spread(const struct spread* spread, int places) {
  if (!isfinite(spread->median))
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

static void print_signals(const struct series* series, bool with_values) {
  if (series->sent > 0)
    printf(" %llu | %llu |",
           (unsigned long long) series->sent,
           (unsigned long long) series->delivered);
  else
    printf(" - | - |");
  if (with_values)
    printf(" %llu |", (unsigned long long) series->told);
}

static void print_head(const struct bench* bench,
                       unsigned rounds,
                       unsigned figure,
                       bool with_values) {
  printf("\n### %s%s%s: %s\n\n",
         bench->workload,
         bench->variant[0] != '\0' ? ", " : "",
         bench->variant,
         bench->figures[figure]);
  printf("| %u rounds | %s | quartiles | / %s | quartiles | sent | delivered |"
         "%s\n| --- | --: | --- | --: | --- | --: | --: |%s\n",
         rounds,
         bench->unit,
         bench->against->name,
         with_values ? " with value |" : "",
         with_values ? " --: |" : "");
}

static void print_table(const struct bench* bench,
                        const struct series* series,
                        size_t n,
                        unsigned rounds,
                        unsigned figure) {
  const struct series* against = find_series(series, n, bench->against);
  struct spread own;
  struct spread ratio;
  bool with_values = false;
  size_t i;

  for (i = 0; i < n; i++)
    with_values |= series[i].told > 0;
  print_head(bench, rounds, figure, with_values);
  for (i = 0; i < n; i++) {
    own = spread_of(series[i].figures[figure], rounds);
    if (series[i].failed || isnan(own.median))
      continue;
    ratio = (struct spread){NAN, NAN, NAN};
    if (against != NULL && against != &series[i])
      ratio =
          ratio_of(series[i].figures[figure], against->figures[figure], rounds);
    printf("| %s |", series[i].peer->name);
    print_spread(&own, digits(own.median));
    print_spread(&ratio, 3);
    print_signals(&series[i], with_values);
    putchar('\n');
  }
  fflush(stdout);
}

static void print_plain_table(const struct bench* bench,
                              const struct series* series,
                              size_t n,
                              unsigned rounds) {
  unsigned figure;
  double median;
  size_t i;

  printf("\n### %s, %s\n\n| |", bench->workload, bench->unit);
  for (figure = 0; bench->figures[figure] != NULL; figure++)
    printf(" %s |", bench->figures[figure]);
  printf("\n| --- |");
  for (figure = 0; bench->figures[figure] != NULL; figure++)
    printf(" --: |");
  for (i = 0; i < n; i++) {
    if (series[i].failed)
      continue;
    printf("\n| %s |", series[i].peer->name);
    for (figure = 0; bench->figures[figure] != NULL; figure++) {
      median = spread_of(series[i].figures[figure], rounds).median;
      if (isnan(median))
        printf(" - |");
      else
        printf(" %g |", median);
    }
  }
  putchar('\n');
  fflush(stdout);
}

/* --- CSV files ------------------------------------------------------------ */

FILE* open_csv(const char* name, const char* mode) {
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
    fputs("size,variant,peer,figure,unit,rounds,median,q1,q3,cpu,against,ratio,"
          "ratio_q1,ratio_q3,sent,delivered,told\n",
          file);
  return file;
}

/* Nothing where there is no number. */
void write_number(FILE* file, double value) {
  if (!isfinite(value))
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
          "%u,\"%s\",\"%s\",%s,%s,%u,",
          bench->n,
          bench->variant,
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
  const struct series* against = find_series(series, n, bench->against);
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

  if (bench->is_plain)
    print_plain_table(bench, series, n, rounds);
  else
    for (figure = 0; bench->figures[figure] != NULL; figure++)
      print_table(bench, series, n, rounds, figure);
  if (report_directory != NULL)
    write_csv(bench, series, n, rounds);
}
