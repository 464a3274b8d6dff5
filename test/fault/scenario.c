/* SPDX-License-Identifier: MIT
 *
 * Steps of scenarios, and what must be as before: see scenario.h.
 */

#include "scenario.h"

#include "picture.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture s;

/* --- Which calls fail ----------------------------------------------------- */

/* Is the word in the list of words? */
static bool has_word(const char* list, const char* word) {
  size_t length = strlen(word);
  const char* at = list;

  while ((at = strstr(at, word)) != NULL) {
    if ((at == list || at[-1] == ' ') && (at[length] == 0 || at[length] == ' '))
      return true;
    at += length;
  }
  return false;
}

bool has_failed(const char* calls) {
  return atomic_load(&fault->failed) > 0 &&
         has_word(calls, fault_names[fault->plan.call]);
}

/* Is it an error after which the same call may succeed, so that the library
 * goes on? It hands it on to nobody. Where there is something to read, EAGAIN
 * is not for good, nor is a lack of memory for a datagram. ECANCELED is what
 * NetBSD says for EINTR; getdelim() does not go on. */
bool is_passing(enum fault_call call, int error) {
  switch (error) {
  case EINTR:
    return call != FAULT_getdelim;
  case EBUSY:
    return call == FAULT_dup2 || call == FAULT_dup3;
  case EAGAIN:
    return call == FAULT_read || call == FAULT_recv || call == FAULT_recvmsg ||
           call == FAULT_sigtimedwait;
  case ECANCELED:
    return true;
  default:
    return call == FAULT_recvmsg;
  }
}

void lift_faults(void) {
  atomic_store(&fault->is_lifted, true);
}

bool disarm_faults(void) {
  return atomic_exchange(&fault->is_armed, false);
}

void rearm_faults(bool is_armed) {
  atomic_store(&fault->is_armed, is_armed);
}

/* --- Steps ---------------------------------------------------------------- */

static struct picture before;
static unsigned failed_before;
static const void* watched;
static size_t watched_size;
static char watched_copy[8192];

void step_begin(const void* object, size_t size) {
  bool is_armed = disarm_faults();

  picture_take(&before, s.sig.loop != NULL ? &s.loop : NULL);
  failed_before = atomic_load(&fault->failed);
  watched = object;
  watched_size = size;
  CHECK(size <= sizeof(watched_copy));
  if (size > 0)
    memcpy(watched_copy, object, size);
  rearm_faults(is_armed);
}

/* What the library makes of an error that it does not hand on as it is. */
static long long code_of(const struct fault_plan* plan) {
  if (plan->call == FAULT_signalfd && plan->error == ENOSYS)
    return UV_ENOTSUP;
  if (plan->call == FAULT_fopen && plan->error == ENOENT)
    return UV_ENOTSUP;
  if (plan->call == FAULT_getpgid)
    return UV_EINVAL; /* of what it leads nothing is known */
  if (plan->call == FAULT_getdelim)
    return UV_ENOMEM;
  return -plan->error;
}

void step_refused(const char* file,
                  int line,
                  const char* call,
                  const char* from,
                  long long result) {
  const struct fault_plan* plan = &fault->plan;
  bool is_armed = disarm_faults();
  struct picture after;

  if (atomic_load(&fault->failed) == failed_before)
    check_failed(file, line, "%s: %lld, without a fault", call, result);
  if (!has_word(from, fault_names[plan->call]))
    check_failed(file,
                 line,
                 "%s: %lld, which is not of the header's for %s",
                 call,
                 result,
                 fault_names[plan->call]);
  if (is_passing(plan->call, plan->error))
    check_failed(file, line, "%s: %lld, which passes", call, result);
  if (result != code_of(plan))
    check_failed(file, line, "%s: %lld, not %lld", call, result, code_of(plan));
  if (watched_size > 0 && memcmp(watched, watched_copy, watched_size) != 0)
    check_failed(file, line, "%s: the object is touched", call);
  picture_take(&after, s.sig.loop != NULL ? &s.loop : NULL);
  picture_compare(file, line, call, &before, &after, has_word(from, "+"));
  lift_faults();
  rearm_faults(is_armed);
}

/* What some calls of the library need, and others do without. */
static const char spared[] = "fcntl_getpipe_sz read setitimer sigaction "
                             "uv_signal_start";

void step_done(const char* file, int line, const char* call, const char* from) {
  const struct fault_plan* plan = &fault->plan;

  if (atomic_load(&fault->failed) != failed_before &&
      has_word(from, fault_names[plan->call]) &&
      !has_word(spared, fault_names[plan->call]) &&
      !is_passing(plan->call, plan->error))
    check_failed(
        file, line, "%s: done, without %s", call, fault_names[plan->call]);
}

void step_again(const char* file,
                int line,
                const char* call,
                long long result) {
  if (result < 0)
    check_failed(file, line, "%s: again, and %lld", call, result);
}

/* --- Loops and signals ---------------------------------------------------- */

void prepare_signals(void) {
  install_handler(SIGUSR2, count_foreign);
  install_handler(SIGRTMIN, SIG_IGN);
  install_handler(SIGRTMIN + 1, count_foreign);
}

/* What keeps the loop alive where a wakeup fd has failed, so that watchers do
 * not. */
static uv_timer_t server;

static void do_nothing(uv_timer_t* timer) {
  (void) timer;
}

static void on_closed(uvsig_t* sig) {
  (void) sig;
  s.closed++;
}

#define INIT_CALLS                                                             \
 "calloc pthread_atfork pthread_key_create pthread_setspecific uv_pipe "       \
 "uv_socketpair fcntl_setpipe_sz fcntl_getpipe_sz setsockopt getsockopt "      \
 "signalfd uv_poll_init"

void init_signals(const uvsig_options_t* options) {
  CHECK_EQ(uv_loop_init(&s.loop), 0);
  CHECK_EQ(uv_timer_init(&s.loop, &server), 0);
  CHECK_EQ(uv_timer_start(&server, do_nothing, LONG_MS, 0), 0);
  s.sig.data = &s;
  s.closed = 0;
  TRY_INIT(INIT_CALLS, &s.sig, uvsig_init(&s.loop, &s.sig, options));
}

void close_signals(void) {
  TRY("", uvsig_close(&s.sig, on_closed));
  uv_close((uv_handle_t*) &server, NULL);
  CHECK_EQ(uv_run(&s.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(s.closed, 1);
  close_loop(&s.loop);
  memset(&s, 0, sizeof(s));
}

void start_recorder(struct recorder* r, int signum, unsigned flags) {
  memset(r, 0, sizeof(*r));
  r->w.data = r;
  TRY_INIT("", &r->w, uvsig_watcher_init(&s.sig, &r->w));
  TRY("", uvsig_watcher_set_flags(&r->w, flags));
  TRY("+ calloc sigaction uv_poll_init uv_signal_init uv_signal_start",
      uvsig_watcher_start(&r->w, record, signum));
}

static void turn_until_told(struct recorder* r, unsigned long expected) {
  int i;

  for (i = 0; i < 100 && r->signals < expected; i++)
    uv_run(&s.loop, UV_RUN_NOWAIT);
  /* And not more. */
  for (i = 0; i < 3; i++)
    uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(r->signals, expected);
}

void tell(struct recorder* r, unsigned times) {
  unsigned long expected = r->signals + times;

  while (times-- > 0)
    CHECK_EQ(raise(r->w.signum), 0);
  turn_until_told(r, expected);
}

/* Would the loop wake? A wakeup fd that cannot be read is not polled any more. */
static bool has_woken(void) {
  struct pollfd pollfd = {uv_backend_fd(&s.loop), POLLIN, 0};

  return (has_failed("read") &&
          !is_passing(fault->plan.call, fault->plan.error)) ||
         UNINTERRUPTED(poll(&pollfd, 1, 0)) == 1;
}

void tell_two(struct recorder* r) {
  unsigned failed;

  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(raise(r->w.signum), 0);
  failed = atomic_load(&fault->failed);
  CHECK_EQ(raise(r->w.signum), 0);
  if (atomic_load(&fault->failed) == failed)
    CHECK(has_woken());
  turn_until_told(r, r->signals + 2);
}

void tell_at_last(struct recorder* r) {
  unsigned long expected = r->signals + 1;
  uvsig_stats_t stats;

  lift_faults();
  uv_run(&s.loop, UV_RUN_NOWAIT);
  CHECK_EQ(raise(r->w.signum), 0);
  CHECK(has_woken());
  turn_until_told(r, expected);
  uvsig_stats(&s.sig, r->w.signum, &stats);
  CHECK_EQ(stats.caught, stats.delivered + stats.discarded);
}

void turn_until(bool (*is_so)(void)) {
  uint64_t end = uv_hrtime() + UINT64_C(20000000000);

  while (!is_so() && uv_hrtime() < end)
    if (uv_run(&s.loop, UV_RUN_NOWAIT) != 0)
      uv_sleep(1);
  CHECK(is_so());
}
