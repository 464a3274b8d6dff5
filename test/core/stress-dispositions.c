/* SPDX-License-Identifier: MIT
 *
 * One thread raises a signal, another one starts and stops watching it and
 * ignores it: no crash, and never more delivered than were sent.
 */

#include "../lib/harness.h"

#include <pthread.h>
#include <stdatomic.h>

static struct fixture f;
static struct recorder a;
static atomic_bool over;

static void* raise_until_over(void* argument) {
  unsigned long* sent = argument;

  while (!over) {
    CHECK_EQ(uvsig_raise_signal(SIGUSR1), 0);
    ++*sent;
  }
  return NULL;
}

static void starts_stops_and_ignores_under_fire_lose_nothing(void) {
  unsigned n = scaled(20000);
  unsigned long sent = 0;
  uvsig_stats_t stats;
  pthread_t thread;
  unsigned i;

  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  fixture_open(&f, NULL);
  recorder_init(&a, &f.sig);
  CHECK_EQ(pthread_create(&thread, NULL, raise_until_over, &sent), 0);
  for (i = 0; i < n && has_time(); i++) {
    recorder_start(&a, SIGUSR1);
    CHECK_EQ(uvsig_ignore(SIGUSR1), UV_EBUSY);
    CHECK(uvsig_flush(&f.sig) >= 0);
    CHECK_EQ(uvsig_watcher_stop(&a.w), 0);
    CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_IGNORED);
  }
  over = true;
  CHECK_EQ(pthread_join(thread, NULL), 0);
  uvsig_stats(&f.sig, SIGUSR1, &stats);
  printf("# %u rounds: sent %lu, caught %llu, received %lu\n",
         i,
         sent,
         (unsigned long long) stats.caught,
         a.signals);
  fflush(stdout);
  CHECK(a.signals <= sent);
  CHECK(stats.caught <= sent);
  check_books(&f.sig, SIGUSR1, a.signals, stats.discarded);
  fixture_close(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(starts_stops_and_ignores_under_fire_lose_nothing),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
