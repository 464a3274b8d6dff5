/* SPDX-License-Identifier: MIT
 *
 * A budget of CPU time: an interval timer that runs only while the process
 * computes, and whose callback comes between two units of work on the loop.
 *
 * Run it: you should see how much could be done in half a second of CPU time,
 * or in as much as the argument says, and `echo $?` should print 0. Run several
 * at once on each CPU: they take longer, but each can do as much. */
#include <stdio.h>
#include <stdlib.h>
#include <uvsig.h>

static uv_idle_t idle;
static unsigned long units;
static uint64_t steps;
static double start;

static int check(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* The CPU time of the process so far, in seconds. */
static double cpu_time(void) {
  uv_rusage_t used;

  if (check(uv_getrusage(&used), "uv_getrusage"))
    exit(1);
  return (double) (used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double) (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* A unit of work, short enough for the loop to see to its signals in between:
 * the way from each of a thousand numbers down to 1 (Collatz). */
static void work(uv_idle_t* handle) {
  uint64_t last = 1000 * (uint64_t) ++units, i, number;

  (void) handle;
  for (i = last - 999; i <= last; i++)
    for (number = i; number != 1; steps++)
      number = number % 2 == 0 ? number / 2 : 3 * number + 1;
}

static void on_budget_used(uvsig_itimer_t* timer, unsigned expirations) {
  (void) timer;
  (void) expirations;
  check(uv_idle_stop(&idle), "uv_idle_stop"); /* now nothing keeps the loop */
  printf("%.3f s of CPU time, %lu units of work, %llu steps\n",
         cpu_time() - start,
         units,
         (unsigned long long) steps);
}

int main(int argc, char** argv) {
  double budget = argc > 1 ? strtod(argv[1], NULL) : 0.5;
  uv_loop_t* loop = uv_default_loop();
  uvsig_itimer_t timer;
  uvsig_t sig;

  if (check(uvsig_init(loop, &sig, NULL), "uvsig_init") ||
      check(uvsig_itimer_init(&sig, &timer, UVSIG_ITIMER_PROF),
            "uvsig_itimer_init") ||
      check(uv_idle_init(loop, &idle), "uv_idle_init") ||
      check(uv_idle_start(&idle, work), "uv_idle_start"))
    return 1;
  start = cpu_time();
  if (check(uvsig_itimer_start(&timer, on_budget_used, budget, 0),
            "uvsig_itimer_start"))
    return 1;
  uv_run(loop, UV_RUN_DEFAULT);

  uv_close((uv_handle_t*) &idle, NULL);
  if (check(uvsig_close(&sig, NULL), "uvsig_close"))
    return 1;
  uv_run(loop, UV_RUN_DEFAULT); /* lets the handles close */
  return check(uv_loop_close(loop), "uv_loop_close");
}
