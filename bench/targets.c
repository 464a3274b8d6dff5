/* SPDX-License-Identifier: MIT
 *
 * What the library is to reach, mostly as ratios in one run, and what it does: a
 * table and a CSV file.
 */

#include "bench.h"

#include <math.h>
#include <string.h>

/* Takes the place of a peer: the figure itself is to be within the limit. */
static const struct peer itself = {.name = "-"};
/* Signals that were told with their value are to be as many as were sent. */
static const struct peer of_values = {.name = "sent"};

/* The median of `peer` is to be at most so many times that of `against`, and
 * `peer` is to have delivered all that was sent: losing it is faster. */
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
    {"ping, signalfd", "ping", "", 0, &uvsig_signalfd, &uv_signal, 0.48},
#ifdef HAVE_SD_EVENT
    {"ping, signalfd", "ping", "", 0, &uvsig_signalfd, &peer_sd_event, 1.0},
#endif
    {"burst of 1,000 realtime signals, signalfd",
     "realtime",
     "1,000",
     0,
     &uvsig_signalfd,
     &uvsig_bytes,
     0.48},
#ifdef HAVE_SD_EVENT
    {"burst of 1,000 realtime signals, signalfd",
     "realtime",
     "1,000",
     0,
     &uvsig_signalfd,
     &peer_sd_event,
     0.9},
#endif
    {"flood from another process, signalfd: values told",
     "flood",
     "process",
     0,
     &uvsig_signalfd,
     &of_values,
     1},
    {"burst of 1,000 realtime signals, signalfd: values told",
     "realtime",
     "1,000",
     0,
     &uvsig_signalfd,
     &of_values,
     1},
#ifdef HAVE_SD_EVENT
    {"latency on one processor, signalfd, p99",
     "latency",
     "process on the same processor, in turns",
     1,
     &uvsig_signalfd,
     &peer_sd_event,
     1.0},
#endif
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
    {"the same on one processor, p99",
     "latency",
     "process on the same processor, in turns",
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
     1.02},
    {"busy and idle of a request, in ns",
     "busy-idle",
     "one connection",
     0,
     &conns_1,
     &itself,
     10},
    {"a connection, in bytes",
     "connection-memory",
     "",
     0,
     &conns_1,
     &itself,
     128},
    {"closing: each of 1,000,000 against each of 10,000",
     "closing",
     "in order",
     0,
     &conns_1m,
     &conns_10k,
     3},
    {"HTTP request with against without",
     "http",
     "",
     0,
     &http_with,
     &http_without,
     1.01}};

enum { TARGETS = sizeof(targets) / sizeof(targets[0]) };

static struct found {
  bool is_known;    /* it was tried */
  bool is_measured; /* neither of the two has failed */
  enum verdict { NO, NOT_SHOWN, YES } verdict;
  struct spread ratio;
  double cpu;
  uint64_t sent; /* 0: no signals were sent */
  uint64_t delivered;
} found[TARGETS];

static const char* const verdicts[] = {"no", "not shown", "yes"};

/* By the median, where both quartiles say the same. */
static enum verdict judge(const struct found* it, double limit) {
  if (!it->is_measured || it->delivered != it->sent)
    return NO;
  if (it->ratio.low <= limit && it->ratio.high > limit)
    return NOT_SHOWN;
  return it->ratio.median <= limit ? YES : NO;
}

static void look_at_target(const struct target* target,
                           struct found* out,
                           const struct series* series,
                           size_t n,
                           unsigned rounds) {
  const struct series* ours = find_series(series, n, target->peer);
  const struct series* theirs = NULL;
  double delivered;

  *out = (struct found){.is_known = true, .ratio = {NAN, NAN, NAN}, .cpu = NAN};
  if (target->against == &itself)
    theirs = ours;
  else if (target->against != NULL && target->against != &of_values)
    theirs = find_series(series, n, target->against);
  if (ours == NULL || (theirs == NULL && target->against != NULL &&
                       target->against != &of_values))
    return;
  out->sent = ours->sent;
  out->delivered = target->against == &of_values ? ours->told : ours->delivered;
  if (theirs == NULL) {
    delivered = (double) out->delivered / (double) out->sent;
    out->ratio = (struct spread){delivered, delivered, delivered};
  } else if (theirs == ours) {
    out->ratio = spread_of(ours->figures[target->figure], rounds);
  } else {
    out->ratio = ratio_of(
        ours->figures[target->figure], theirs->figures[target->figure], rounds);
    out->cpu = ratio_of(ours->cpu, theirs->cpu, rounds).median;
  }
  out->is_measured = isfinite(out->ratio.median);
  out->verdict = judge(out, target->limit);
}

void targets_look(const struct bench* bench,
                  const struct series* series,
                  size_t n,
                  unsigned rounds) {
  size_t i;

  for (i = 0; i < TARGETS; i++)
    if (strcmp(targets[i].workload, bench->workload) == 0 &&
        strcmp(targets[i].variant, bench->variant) == 0)
      look_at_target(&targets[i], &found[i], series, n, rounds);
}

static void write_targets(void) {
  FILE* file = open_csv("targets", "w");
  size_t i;

  fputs("target,against,limit,ratio,ratio_q1,ratio_q3,cpu_ratio,reached,sent,"
        "delivered\n",
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
    fprintf(file,
            "%s,%llu,%llu\n",
            verdicts[found[i].verdict],
            (unsigned long long) found[i].sent,
            (unsigned long long) found[i].delivered);
  }
  fclose(file);
}

static void print_found(const struct found* it) {
  if (it->is_measured)
    print_spread(&it->ratio, 3);
  else
    printf(" not measured | - |");
  printf(it->verdict == NO ? " **%s**" : " %s", verdicts[it->verdict]);
  if (it->delivered != it->sent)
    printf(", %llu of %llu delivered",
           (unsigned long long) it->delivered,
           (unsigned long long) it->sent);
  if (isnan(it->cpu))
    printf(" | - |\n");
  else
    printf(" | %.3f |\n", it->cpu);
}

void targets_report(void) {
  size_t known = 0;
  size_t i;

  for (i = 0; i < TARGETS; i++)
    known += found[i].is_known;
  if (known == 0)
    return;

  printf("\n## Targets\n\n| target | against | at most | measured | quartiles "
         "| reached | "
         "by processor time |\n"
         "| --- | --- | --: | --: | --- | --- | --: |\n");
  for (i = 0; i < TARGETS; i++) {
    if (!found[i].is_known)
      continue;
    printf("| %s | %s | %g |",
           targets[i].title,
           targets[i].against != NULL ? targets[i].against->name : "sent",
           targets[i].limit);
    print_found(&found[i]);
  }
  if (report_directory != NULL)
    write_targets();
}
