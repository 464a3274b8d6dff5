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

/* The receiver sleeps again before the next one. Returns false where the signal
 * was lost: then it is not waited for any more. */
static bool send_one(struct link* link, pid_t to, unsigned long number) {
  uint64_t lost;
  bool is_late;
  bool is_done;

  atomic_store(&link->sent, number + 1);
  atomic_store(&link->times[number], 0); /* a page's first use takes long */
  atomic_store(&link->times[number], now());
  kill(to, SIGUSR1);
  lost = now() + LOST_NS;
  pause_for(PACE_NS);
  is_late = atomic_load(&link->received) <= number;
  while (!(is_done = atomic_load(&link->received) > number) && now() < lost)
    pause_for(PACE_NS);
  atomic_store(&link->received, number + 1);
  if (is_late)
    pause_for(PACE_NS);
  return is_done;
}

static void send_paced(struct link* link, pid_t to, unsigned long n) {
  unsigned long number;

  for (number = 0; number < n && !is_orphan(to); number++)
    send_one(link, to, number);
}

static unsigned long paced; /* how many are sent to each */

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
static void set_latencies(double* figures, double* latencies, size_t n) {
  static const double quantiles[] = {0.5, 0.99, 0.999};
  size_t i;

  sort(latencies, n);
  for (i = 0; i < 3; i++)
    figures[i] = quantile(latencies, n, quantiles[i]) / 1000;
}

/* The same with as many as were sent: who loses the slowest must not look faster
 * for it. */
static void set_paced(struct result* result, double* latencies, size_t n) {
  result->sent = paced;
  result->delivered = n;
  while (n < paced)
    latencies[n++] = LOST_NS;
  set_latencies(result->figures, latencies, n);
}

/* Run the loop until the sender says that it was the last one. Returns when that
 * began. */
static uint64_t run_until_end(const struct peer* peer,
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
  atomic_store(&receiver->link->go, true);
  peer->run(&end);
  drain_now(side);
  return begin;
}

static void latency(const struct bench* bench,
                    const struct peer* peer,
                    struct result* result) {
  struct link* link = share(sizeof(*link));
  struct sender sender = {.link = link, .send = send_latency};
  struct receiver receiver = {.link = link};
  struct side side;
  pid_t keepers[PLACES];

  paced = bench->repeats;
  receiver.latencies = allocate(paced, sizeof(*receiver.latencies));
  keep_awake(keepers);
  if (bench->n == ONE_PROCESSOR)
    use_processor(LAST);
  start_sender(&sender, bench->n != FROM_THREAD);
  use_processor(LAST);
  run_until_end(peer, &receiver, SIGUSR1, on_paced, &side);
  join_sender(&sender);
  let_sleep(keepers);
  set_paced(result, receiver.latencies, receiver.n);
}

static void flood(const struct bench* bench,
                  const struct peer* peer,
                  struct result* result) {
  struct link* link = share(sizeof(*link));
  struct sender sender = {.link = link, .send = send_flood};
  struct receiver receiver = {.link = link};
  struct side side;
  uint64_t begin;

  receiver.latencies = allocate(MOST_TIMES, sizeof(*receiver.latencies));
  start_sender(&sender, bench->n != FROM_THREAD);
  begin = run_until_end(peer, &receiver, SIGRTMIN + 1, on_flood, &side);
  join_sender(&sender);
  result->sent = atomic_load(&link->sent);
  result->delivered = side.delivered;
  result->told = receiver.told;
  result->figures[0] = (double) (now() - begin) / 1000 / (double) result->sent;
  /* Else it is not known which signal a callback was for. */
  if (result->delivered == result->sent)
    set_latencies(result->figures + 1, receiver.latencies, receiver.n);
}

/* --- latency, in turns ---------------------------------------------------- */

/* Each receiver is a process of its own, and all sleep on the sender's
 * processor. A tick, or a mood of the machine, meets each as often as the
 * others. */
struct waiting {
  pid_t pid;
  struct receiver* receiver; /* shared, with its latencies */
};

static void wait_and_receive(const struct peer* peer,
                             struct receiver* receiver) {
  struct side side;

#ifdef PR_SET_PDEATHSIG
  prctl(PR_SET_PDEATHSIG, (long) SIGKILL, 0L, 0L, 0L);
#endif
  run_until_end(peer, receiver, SIGUSR1, on_paced, &side);
  _exit(0);
}

static void start_waiting(struct waiting* waiting, const struct peer* peer) {
  struct receiver* receiver = share(sizeof(*receiver));

  receiver->link = share(sizeof(*receiver->link));
  receiver->latencies = share(paced * sizeof(*receiver->latencies));
  waiting->receiver = receiver;
  waiting->pid = fork();
  check_errno(waiting->pid, "fork");
  if (waiting->pid == 0)
    wait_and_receive(peer, receiver);
}

/* Fails where a receiver has. */
static void check_waiting(pid_t pid, int flags) {
  int status = 0;
  pid_t ended;

  do
    ended = waitpid(pid, &status, flags);
  while (ended < 0 && errno == EINTR);
  if (status != 0 || (ended != 0 && flags != 0))
    _exit(1);
}

static void wait_until_ready(const struct waiting* waiting) {
  while (!atomic_load(&waiting->receiver->link->go)) {
    check_waiting(waiting->pid, WNOHANG);
    pause_for(100000);
  }
}

static void end_waiting(const struct waiting* waiting) {
  while (!atomic_load(&waiting->receiver->link->stop)) {
    kill(waiting->pid, SIGUSR2);
    pause_for(END_NS);
  }
  check_waiting(waiting->pid, 0);
}

/* In no order, another one for each signal: who comes after whom matters. */
static void shuffle(unsigned* order, unsigned n) {
  static unsigned state = 1;
  unsigned at;
  unsigned other;
  unsigned saved;

  for (at = n; at > 1; at--) {
    state = state * 1103515245 + 12345;
    other = (state >> 16) % at;
    saved = order[at - 1];
    order[at - 1] = order[other];
    order[other] = saved;
  }
}

static void send_in_turns(const struct waiting* waiting, unsigned n) {
  unsigned order[MOST_PEERS];
  const struct waiting* to;
  unsigned long number;
  unsigned i;

  for (i = 0; i < n; i++)
    order[i] = i;
  for (number = 0; number < WARM + paced; number++) {
    shuffle(order, n);
    for (i = 0; i < n; i++) {
      to = &waiting[order[i]];
      if (!send_one(to->receiver->link, to->pid, number))
        check_waiting(to->pid, WNOHANG);
    }
  }
}

static void latency_in_turns(const struct bench* bench,
                             const struct peer* peer,
                             struct result* results) {
  struct waiting waiting[MOST_PEERS];
  pid_t keepers[PLACES];
  unsigned n;
  unsigned i;

  (void) peer;
  paced = bench->repeats;
  keep_awake(keepers);
  use_processor(LAST);
  for (n = 0; bench->only[n] != NULL; n++)
    start_waiting(&waiting[n], bench->only[n]);
  set_timer_slack();
  for (i = 0; i < n; i++)
    wait_until_ready(&waiting[i]);
  send_in_turns(waiting, n);
  for (i = 0; i < n; i++) {
    end_waiting(&waiting[i]);
    set_paced(
        &results[i], waiting[i].receiver->latencies, waiting[i].receiver->n);
  }
  let_sleep(keepers);
}

static const struct peer* const of_targets[] = {&uvsig_bytes,
                                                &uv_signal,
                                                &uvsig_signalfd,
#ifdef HAVE_SD_EVENT
                                                &peer_sd_event,
#endif
                                                NULL};

#define OF_LATENCY(variant_, sender_)                                          \
 .workload = "latency", .variant = variant_,                                   \
 .figures = {"p50", "p99", "p99.9"}, .unit = "us", .n = sender_,               \
 .against = &uv_signal
#define LATENCY(variant_, sender_)                                             \
 {                                                                             \
  OF_LATENCY(variant_, sender_), .measure = latency, .needs = CAN_LOOP,        \
                                 .with_floors = true, .repeats = 3000          \
 }
#define LATENCY_IN_TURNS(variant_, sender_)                                    \
 {                                                                             \
  OF_LATENCY(variant_, sender_), .measure = latency_in_turns,                  \
                                 .is_together = true, .only = of_targets,      \
                                 .repeats = 24000                              \
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
    LATENCY_IN_TURNS("process on the same processor, in turns", ONE_PROCESSOR),
    LATENCY("thread", FROM_THREAD),
    FLOOD("process", FROM_PROCESS),
    FLOOD("thread", FROM_THREAD),
    {.workload = NULL}};
