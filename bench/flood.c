/* SPDX-License-Identifier: MIT
 *
 * Signals from another process, or another thread: as many as it can send for a
 * while (flood), and one at a time to a loop that sleeps (latency). The times
 * of sending are in memory that sender and receiver share, since not every peer
 * tells a callback what sigqueue() was given.
 */

#include "bench.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  MOST_TIMES = 1 << 18,
  WARM = 50,           /* signals of latency before those that count */
  PACE_NS = 40000,     /* between the signals of latency */
  LOST_NS = 50000000,  /* what takes longer is lost, and counts as this */
  FLOOD_NS = 70000000, /* times 15 rounds or more: a second */
  END_NS = 2000000,    /* between the attempts to end a flood */
  PATIENCE_NS = 2000000000
};

/* A bench's size: who sends. */
enum { FROM_PROCESS, FROM_THREAD, ONE_PROCESSOR };

/* What sender and receiver share. */
struct link {
  atomic_bool go;
  atomic_bool stop; /* the receiver has seen the end */
  atomic_ulong sent;
  atomic_ulong received;          /* latency: the signals that are done with */
  atomic_ulong times[MOST_TIMES]; /* of sending, in nanoseconds */
};

/* The receiver's. */
struct receiver {
  struct link* link;
  size_t n;
  uint64_t told;     /* with the value that was sent */
  double* latencies; /* MOST_TIMES of them */
};

/* As short as it says: by default the kernel may add 50 microseconds. */
static void set_timer_slack(void) {
#ifdef PR_SET_TIMERSLACK
  prctl(PR_SET_TIMERSLACK, 1L, 0L, 0L, 0L);
#endif
}

static void pause_for(uint64_t ns) {
  struct timespec time = {(time_t) (ns / 1000000000), (long) (ns % 1000000000)};

  nanosleep(&time, NULL);
}

/* A sender whose receiver has gone must end. */
static bool is_orphan(pid_t to) {
  return getpid() != to && getppid() != to;
}

/* Until the receiver is ready. Returns whether it is: it may have failed. */
static bool wait_for_go(struct link* link, pid_t to) {
  set_timer_slack();
  while (!atomic_load(&link->go)) {
    if (is_orphan(to))
      return false;
    pause_for(100000);
  }
  return true;
}

/* --- The sender: a process or a thread ------------------------------------ */

struct sender {
  struct link* link;
  void (*send)(struct link* link, pid_t to);
  pid_t to;
  pid_t pid; /* of the process, or 0 */
  pthread_t thread;
};

static void* run_thread(void* data) {
  struct sender* sender = data;

  sender->send(sender->link, sender->to);
  return NULL;
}

/* Before there is a loop, which a child would have a part of. The thread has
 * every signal blocked, so that they are for the receiver. */
static void start_sender(struct sender* sender, bool is_process) {
  sigset_t all;
  sigset_t previous;

  sender->to = getpid();
  sender->pid = 0;
  if (is_process) {
    sender->pid = fork();
    check_errno(sender->pid, "fork");
    if (sender->pid == 0) {
      sender->send(sender->link, sender->to);
      _exit(0);
    }
    return;
  }
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  check(-pthread_create(&sender->thread, NULL, run_thread, sender),
        "pthread_create");
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
}

static void join_sender(struct sender* sender) {
  if (sender->pid == 0)
    pthread_join(sender->thread, NULL);
  else
    while (waitpid(sender->pid, NULL, 0) < 0 && errno == EINTR)
      ;
}

/* The last signal, another one, which ends the receiver's loop. Again and
 * again, since it is lost where a peer's buffer is full. */
static void send_end(struct link* link, pid_t to) {
  uint64_t deadline = now() + PATIENCE_NS;

  while (!atomic_load(&link->stop) && now() < deadline && !is_orphan(to)) {
    kill(to, SIGUSR2);
    pause_for(END_NS);
  }
}

/* --- Processors ----------------------------------------------------------- */

/* Latencies are of a sender on the first processor and a receiver on the last
 * one, or of both there: then the scheduler has nothing to decide.
 *
 * A processor that has nothing to do halts, and to wake it takes longer than
 * what is measured, on a virtual machine most of all. So it has something to
 * do, which is whatever else there is to come before. */
static void keep_awake(pid_t* pids) {
#ifdef SCHED_IDLE
  static const struct sched_param param = {0};
  pid_t parent = getpid();
  int place;

  for (place = 0; place < PLACES; place++) {
    pids[place] = fork();
    check_errno(pids[place], "fork");
    if (pids[place] == 0) {
      use_processor((enum place) place);
      if (sched_setscheduler(0, SCHED_IDLE, &param) == 0)
        while (getppid() == parent)
          ;
      _exit(0);
    }
  }
#else
  (void) pids;
#endif
}

static void let_sleep(const pid_t* pids) {
#ifdef SCHED_IDLE
  int place;

  for (place = 0; place < PLACES; place++)
    kill(pids[place], SIGKILL);
  for (place = 0; place < PLACES; place++)
    while (waitpid(pids[place], NULL, 0) < 0 && errno == EINTR)
      ;
#else
  (void) pids;
#endif
}

/* --- latency -------------------------------------------------------------- */

static void send_paced(struct link* link, pid_t to, unsigned long n) {
  unsigned long number;
  uint64_t lost;

  for (number = 0; number < n && !is_orphan(to); number++) {
    pause_for(PACE_NS);
    atomic_store(&link->sent, number + 1);
    atomic_store(&link->times[number], now());
    kill(to, SIGUSR1);
    lost = now() + LOST_NS;
    while (atomic_load(&link->received) <= number && now() < lost)
      pause_for(PACE_NS);
    /* Then it is not waited for. */
    atomic_store(&link->received, number + 1);
  }
}

static unsigned long paced; /* how many are sent */

static void send_latency(struct link* link, pid_t to) {
  use_processor(FIRST); /* of those that it has */
  if (!wait_for_go(link, to))
    return;
  send_paced(link, to, WARM + paced);
  send_end(link, to);
}

static void on_paced(struct side* side) {
  struct receiver* receiver = side->data;
  struct link* link = receiver->link;
  uint64_t time = now();
  unsigned long number = atomic_load(&link->sent) - 1;

  if (atomic_load(&link->received) > number)
    return; /* given up */
  if (number >= WARM)
    receiver->latencies[receiver->n++] =
        (double) (time - atomic_load(&link->times[number]));
  atomic_store(&link->received, number + 1);
}

/* --- flood ---------------------------------------------------------------- */

/* Realtime signals, which the kernel queues and does not merge: each that it
 * has taken must be delivered. */
static void send_flood(struct link* link, pid_t to) {
  union sigval value;
  unsigned long number = 0;
  uint64_t end;
  uint64_t time;

  if (!wait_for_go(link, to))
    return;
  end = now() + FLOOD_NS;
  while (number < MOST_TIMES && (time = now()) < end) {
    atomic_store(&link->times[number], time);
    memset(&value, 0, sizeof(value));
    value.sival_ptr = (void*) (uintptr_t) number;
    if (sigqueue(to, SIGRTMIN + 1, value) == 0)
      number++;
    else if (errno == EAGAIN)
      sched_yield(); /* the kernel's queue is full */
    else
      break;
  }
  atomic_store(&link->sent, number);
  send_end(link, to);
}

/* They come in the order in which they were sent: the n-th callback is the n-th
 * signal's, unless some were lost. */
static void on_flood(struct side* side) {
  struct receiver* receiver = side->data;
  uint64_t time = now();
  unsigned i;

  if (side->has_value && (size_t) side->value == receiver->n)
    receiver->told++;
  for (i = 0; i < side->count && receiver->n < MOST_TIMES; i++) {
    receiver->latencies[receiver->n] =
        (double) time -
        (double) atomic_load(&receiver->link->times[receiver->n]);
    receiver->n++;
  }
}

/* --- The receiver --------------------------------------------------------- */

static void on_end(struct side* side) {
  struct receiver* receiver = side->data;

  atomic_store(&receiver->link->stop, true);
  side->peer->leave(side);
}

/* In microseconds. */
static void set_latencies(double* figures, struct receiver* receiver) {
  static const double quantiles[] = {0.5, 0.99, 0.999};
  size_t i;

  sort(receiver->latencies, receiver->n);
  for (i = 0; i < 3; i++)
    figures[i] =
        quantile(receiver->latencies, receiver->n, quantiles[i]) / 1000;
}

/* Receive what is sent until the end, and return how long that took. */
static uint64_t receive(const struct peer* peer,
                        struct sender* sender,
                        struct receiver* receiver,
                        int signum,
                        caught_fn fn,
                        struct side* side) {
  struct side end;
  uint64_t begin;

  open_side(side, peer, fn);
  side->data = receiver;
  join_side(&end, side, on_end);
  end.data = receiver;
  watch(side, signum, 1);
  watch(&end, SIGUSR2, 1);
  begin = now();
  atomic_store(&sender->link->go, true);
  peer->run(&end);
  drain_now(side);
  join_sender(sender);
  return now() - begin;
}

static void latency(const struct bench* bench,
                    const struct peer* peer,
                    struct result* result) {
  struct link* link = share(sizeof(*link));
  struct sender sender = {.link = link, .send = send_latency};
  struct receiver receiver = {.link = link};
  struct side side;
  pid_t keepers[PLACES];

  receiver.latencies = allocate(MOST_TIMES, sizeof(*receiver.latencies));
  paced = bench->repeats;
  keep_awake(keepers);
  if (bench->n == ONE_PROCESSOR)
    use_processor(LAST);
  start_sender(&sender, bench->n != FROM_THREAD);
  use_processor(LAST);
  receive(peer, &sender, &receiver, SIGUSR1, on_paced, &side);
  let_sleep(keepers);
  result->sent = bench->repeats;
  result->delivered = receiver.n;
  /* Who loses the slowest must not look faster for it. */
  while (receiver.n < bench->repeats)
    receiver.latencies[receiver.n++] = LOST_NS;
  set_latencies(result->figures, &receiver);
}

static void flood(const struct bench* bench,
                  const struct peer* peer,
                  struct result* result) {
  struct link* link = share(sizeof(*link));
  struct sender sender = {.link = link, .send = send_flood};
  struct receiver receiver = {.link = link};
  struct side side;
  uint64_t time;

  receiver.latencies = allocate(MOST_TIMES, sizeof(*receiver.latencies));
  start_sender(&sender, bench->n != FROM_THREAD);
  time = receive(peer, &sender, &receiver, SIGRTMIN + 1, on_flood, &side);
  result->sent = atomic_load(&link->sent);
  result->delivered = side.delivered;
  result->told = receiver.told;
  result->figures[0] = (double) time / 1000 / (double) result->sent;
  /* Else it is not known which signal a callback was for. */
  if (result->delivered == result->sent)
    set_latencies(result->figures + 1, &receiver);
}

#define LATENCY(variant_, sender_)                                             \
 {                                                                             \
  .workload = "latency", .variant = variant_,                                  \
  .figures = {"p50", "p99", "p99.9"}, .unit = "us", .measure = latency,        \
  .needs = CAN_LOOP, .with_floors = true, .n = sender_, .repeats = 3000,       \
  .against = &uv_signal                                                        \
 }
#define FLOOD(variant_, sender_)                                               \
 {                                                                             \
  .workload = "flood", .variant = variant_,                                    \
  .figures = {"time per signal", "p50", "p99", "p99.9"}, .unit = "us",         \
  .measure = flood, .needs = CAN_LOOP | CAN_REALTIME, .with_floors = true,     \
  .n = sender_, .repeats = 1, .against = &uv_signal                            \
 }

const struct bench flood_benches[] = {
    LATENCY("process", FROM_PROCESS),
    LATENCY("process on the same processor", ONE_PROCESSOR),
    LATENCY("thread", FROM_THREAD),
    FLOOD("process", FROM_PROCESS),
    FLOOD("thread", FROM_THREAD),
    {.workload = NULL}};
