/* SPDX-License-Identifier: MIT
 *
 * Loops on threads, all of which watch one signal: the time from sending it to
 * the process until all of them have been told.
 */

#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct peer* shared_peer;
static atomic_uint told; /* callbacks, of the signal that was sent last */
static unsigned wanted;
static sem_t all_told;
static sem_t ready;

static void on_signal(struct side* side) {
  if (atomic_fetch_add(&told, side->count) + side->count == wanted)
    sem_post(&all_told);
}

/* Ends with the process. */
static void* run_loop(void* unused) {
  struct side side;

  (void) unused;
  open_side(&side, shared_peer, on_signal);
  watch(&side, SIGUSR1, 1);
  sem_post(&ready);
  side.peer->run(&side);
  return NULL;
}

static void wait_for(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0 && errno == EINTR)
    ;
}

/* Send one, and wait until all have been told; a second is for ever. */
static bool send_one(void) {
  struct timespec deadline;
  int err;

  atomic_store(&told, 0);
  kill(getpid(), SIGUSR1);
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec++;
  do
    err = sem_timedwait(&all_told, &deadline) == 0 ? 0 : errno;
  while (err == EINTR);
  return err == 0;
}

static void threads(const struct bench* bench,
                    const struct peer* peer,
                    struct result* result) {
  struct span span;
  pthread_t thread;
  unsigned i;

  shared_peer = peer;
  wanted = bench->n;
  sem_init(&ready, 0, 0);
  sem_init(&all_told, 0, 0);
  for (i = 0; i < bench->n; i++) {
    check(-pthread_create(&thread, NULL, run_loop, NULL), "pthread_create");
    wait_for(&ready);
  }
  for (i = 0; i < 20; i++)
    send_one();
  span_begin(&span);
  for (i = 0; i < bench->repeats; i++) {
    if (!send_one())
      break;
    result->delivered += bench->n;
  }
  span_end(&span);
  set_time(result, &span, bench->repeats);
  result->sent = (uint64_t) bench->n * bench->repeats;
}

#define THREADS(variant_, n_)                                                  \
 {                                                                             \
  .workload = "threads", .variant = variant_, .figures = {"time"},             \
  .unit = "ns", .measure = threads, .needs = CAN_LOOP | CAN_THREADS, .n = n_,  \
  .repeats = 300, .rounds = 2, .against = &uv_signal                           \
 }

const struct bench thread_benches[] = {THREADS("1", 1),
                                       THREADS("2", 2),
                                       THREADS("4", 4),
                                       THREADS("8", 8),
                                       {.workload = NULL}};
