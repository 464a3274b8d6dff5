/* SPDX-License-Identifier: MIT
 *
 * The top half: everything that runs in signal context, and nothing else. It
 * may interrupt any instruction of any thread, so it touches atomics and what
 * was written before a source was published, makes one system call for a signal
 * or two where a buffer is full, and puts errno back.
 */

#include "internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
# define MSG_NOSIGNAL 0 /* macOS: wakeup.c sets SO_NOSIGPIPE */
#endif

struct uvsig__shared uvsig__shared;

/* Count this handler in, and return which counter it is in.
 * A thread that unpublishes a source stores the list first and then looks at
 * the counters; this counts first and then loads the list. Sequential
 * consistency on all of them (every list load below too) makes at least one see
 * the other: either the counter is seen and waited for, or the list is seen
 * without the source. */
static unsigned reader_enter(void) {
  unsigned generation = atomic_load(&uvsig__shared.generation);

  atomic_fetch_add(&uvsig__shared.readers[generation], 1);
  return generation;
}

static void reader_leave(unsigned generation) {
  /* Release: what was read and written in between happens before whatever the
   * waiting thread does after it has seen the 0. */
  atomic_fetch_sub_explicit(
      &uvsig__shared.readers[generation], 1, memory_order_release);
}

/* Take back the SIGPIPE of a pipe whose read end somebody closed. It is this
 * thread's (POSIX, write()), and pending, for the handler blocks every signal;
 * on some systems it is not, if it is ignored. So the wait does not sleep, and
 * nobody else can be faster. sigwait() is not in POSIX's list of what may be
 * called here, but a system call and nothing else, and the disposition is not
 * ours to touch: another thread may be changing it. */
static void discard_sigpipe(void) {
  sigset_t set;
  int signum;

  if (sigpending(&set) != 0 || sigismember(&set, SIGPIPE) != 1)
    return;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  sigwait(&set, &signum);
}

/* Returns 0, UV_EAGAIN when there is no room, or another code. Every signal
 * must be blocked. */
int uvsig__write_byte(int fd, bool is_socket, unsigned char byte) {
  ssize_t n;
  int err;

  /* MSG_NOSIGNAL: a socket without a reader must not raise SIGPIPE. */
  if (is_socket)
    n = send(fd, &byte, 1, MSG_NOSIGNAL);
  else
    n = write(fd, &byte, 1);
  if (n == 1)
    return 0;
  err = errno;
  if (err == EAGAIN || err == EWOULDBLOCK || err == EINTR)
    return UV_EAGAIN;
  if (err == EPIPE && !is_socket)
    discard_sigpipe();
  return UVSIG__ERR(err);
}

/* Returns whether the byte went in. */
static bool send_byte(struct uvsig__wakeup* wakeup, unsigned char byte) {
  int err = uvsig__write_byte(wakeup->write_fd, wakeup->is_socket, byte);

  /* Relaxed: a diagnostic, which nothing else depends on. */
  if (err != 0 && err != UV_EAGAIN)
    atomic_store_explicit(&wakeup->error, err, memory_order_relaxed);
  return err == 0;
}

static void ring(struct uvsig__wakeup* wakeup) {
  /* Once until the loop has looked. The exchange comes after the counter, and
   * the loop's exchange before it takes the counters, so by the order of the
   * two exchanges either the loop takes this one too, or it is rung for again.
   * If the bell does not fit, the pipe is full, and the loop will read it and
   * look when it is empty. test/scripts/wakeup.pml is a model of this. Acquire and
   * release: an exchange that finds 1 is part of the release sequence that the
   * loop acquires. */
  if (atomic_exchange_explicit(&wakeup->pending, 1, memory_order_acq_rel) == 0)
    send_byte(wakeup, 0);
}

/* Keep who sent a signal, if its record is free. Nobody else writes to it then:
 * a handler that was delayed for as long as it takes to come round to the same
 * record still has it. */
static void keep_sender(struct uvsig__source* source,
                        unsigned long number,
                        const siginfo_t* info) {
  struct uvsig__record* record = &source->records[number & (source->depth - 1)];
  unsigned long expected = UVSIG__FREE;

  /* Acquire: pairs with the loop's release, which has read it. */
  if (!atomic_compare_exchange_strong_explicit(&record->state,
                                               &expected,
                                               number << 2 | UVSIG__WRITING,
                                               memory_order_acquire,
                                               memory_order_relaxed))
    return;
  record->info = *info;
  record->time = source->time_stamps ? uvsig__now() : 0;
  /* Release: pairs with the loop's acquire. */
  atomic_store_explicit(
      &record->state, number << 2 | UVSIG__READY, memory_order_release);
}

static void catch_signal(struct uvsig__source* source, const siginfo_t* info) {
  struct uvsig__wakeup* wakeup = source->wakeup;
  /* Whoever takes it back waits for the handlers in flight, as for a source. */
  uvsig_watcher_t* hooked = atomic_load(&source->hooked);
  unsigned long number;

  if (hooked != NULL)
    hooked->handler(hooked, source->signum, info);

  /* Before the byte and before `uncarried`: whoever sees one of those must
   * find the signal in the books. The release of either publishes this. */
  number = atomic_fetch_add_explicit(&source->caught, 1, memory_order_release);
  if (source->depth > 0)
    keep_sender(source, number, info);

  if (!wakeup->wake_only && send_byte(wakeup, (unsigned char) source->signum))
    return;

  /* Release: pairs with the loop's acquire when it takes the counter. */
  atomic_fetch_add_explicit(&source->uncarried, 1, memory_order_release);
  ring(wakeup);
}

/* Write to the program's own wakeup fd. Returns whether there is something to
 * report: the first failure after a success, or after another failure. */
static bool write_own(struct uvsig__wakeup_fd* own, int signum) {
  int err = uvsig__write_byte(own->fd, own->is_socket, (unsigned char) signum);

  /* Relaxed: diagnostics; the doorbell that follows publishes them. */
  if (err != 0)
    atomic_fetch_add_explicit(&own->missed[signum], 1, memory_order_relaxed);
  if (atomic_exchange_explicit(&own->failing, err, memory_order_relaxed) ==
          err ||
      err == 0 || (err == UV_EAGAIN && !own->warn))
    return false;
  atomic_store_explicit(&own->due, err, memory_order_relaxed);
  return true;
}

/* Was it raised by the kernel for something that the thread did? si_code is
 * above 0 then, and on Linux 0 or below when a process sent it (sigaction(2));
 * the BSDs have positive codes for that too. */
static bool is_fault(int signum, const siginfo_t* info) {
  switch (signum) {
  case SIGSEGV:
  case SIGBUS:
  case SIGFPE:
  case SIGILL:
  case SIGTRAP:
  case SIGSYS:
    return info->si_code > 0 && info->si_code != SI_USER &&
#ifdef SI_LWP
           info->si_code != SI_LWP &&
#endif
           info->si_code != SI_QUEUE;
  default:
    return false;
  }
}

/* Copied where nobody changes it: what was there before a handler of ours, or,
 * where that is spent, would be there now. */
struct sigaction uvsig__previous_of(unsigned epoch, int signum) {
  unsigned generation = reader_enter();
  struct uvsig__previous* previous =
      atomic_load(&uvsig__shared.previous[signum][epoch]);
  struct sigaction action;

  if (previous != NULL && atomic_load(&previous->call) != UVSIG__CALL_MADE) {
    action = previous->action;
  } else {
    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
  }
  reader_leave(generation);
  return action;
}

/* Returns whether so, which it is where there is no SA_RESETHAND. */
bool uvsig__change_call(unsigned epoch, int signum, int from, int to) {
  unsigned generation = reader_enter();
  struct uvsig__previous* previous =
      atomic_load(&uvsig__shared.previous[signum][epoch]);
  bool is_so = previous != NULL &&
               ((previous->action.sa_flags & (int) SA_RESETHAND) == 0 ||
                atomic_compare_exchange_strong(&previous->call, &from, to));

  reader_leave(generation);
  return is_so;
}

/* Which of our handlers have called their previous ones, bit by bit, that have
 * not returned: kept at the end of the siginfo_t that they pass on, which no
 * system uses. So it is of this one signal, and gone with it, also where a
 * handler leaves by a jump: the kernel writes the rest as zeros (Linux since
 * 4.20). Each copy of the library in the process has its own, as far as there
 * is room: Linux uses 48 bytes of 128, the BSDs and macOS have fewer to
 * spare. */
struct calls {
  const void* whose;
  unsigned long epochs;
};

#ifdef __linux__
enum { COPIES = 5 };
#else
enum { COPIES = 2 };
#endif

_Static_assert(offsetof(siginfo_t, si_value) + sizeof(union sigval) <=
                   sizeof(siginfo_t) - COPIES * sizeof(struct calls),
               "there must be room in siginfo_t");

/* Ours, or where it may be. */
static unsigned char* place_of_calls(siginfo_t* info, struct calls* calls) {
  unsigned char* end = (unsigned char*) (info + 1);
  unsigned char* at = end;
  int i;

  for (i = 0; i < COPIES; i++) {
    at -= sizeof(*calls);
    memcpy(calls, at, sizeof(*calls));
    if (calls->whose == &uvsig__shared)
      return at;
    if (calls->whose == NULL)
      break;
  }
  calls->whose = &uvsig__shared;
  calls->epochs = 0;
  return at;
}

static unsigned long calls_of(siginfo_t* info) {
  struct calls calls;

  place_of_calls(info, &calls);
  return calls.epochs;
}

/* To call it again would be without end, or once too often: it is installed, on
 * top of ours, and called us; or a newer handler of ours has called it. The one
 * that is installed may have been stopped and started again, and have saved
 * ours then. libuv's does not call anybody. */
static bool is_running(int signum,
                       const struct sigaction* previous,
                       unsigned long calls) {
  struct sigaction other;
  unsigned epoch;

  if (uvsig__is_libuvs(previous))
    return false;
  for (epoch = 0; epoch < UVSIG__EPOCHS; epoch++)
    if ((calls & 1ul << epoch) != 0) {
      other = uvsig__previous_of(epoch, signum);
      if (other.sa_handler == previous->sa_handler)
        return true;
    }
  return sigaction(signum, NULL, &other) == 0 &&
         other.sa_handler == previous->sa_handler &&
         !atomic_load(&uvsig__shared.is_given_back[signum]);
}

/* The handler to call after the one of this epoch. Ours that is called again by
 * whom it has called passes on further below, and each calls once: so there is
 * an end to it. */
static bool find_previous(unsigned* epoch,
                          int signum,
                          unsigned long calls,
                          struct sigaction* previous) {
  do {
    if ((calls & 1ul << *epoch) != 0)
      continue;
    *previous = uvsig__previous_of(*epoch, signum);
    if (!uvsig__is_handler(previous))
      return false;
    if (!is_running(signum, previous, calls))
      return true;
  } while ((*epoch)-- > 0);
  return false;
}

/* Call the previous handler, as the kernel would have, but for the mask, which
 * is full. It may leave by a jump: nothing is held. Returns whether somebody
 * was called. */
static bool call_previous(unsigned epoch,
                          int signum,
                          siginfo_t* info,
                          void* context) {
  struct sigaction previous;
  struct calls calls;
  struct calls before;
  unsigned char* place = place_of_calls(info, &calls);

  if (!find_previous(&epoch, signum, calls.epochs, &previous) ||
      !uvsig__change_call(epoch, signum, UVSIG__CALL_LEFT, UVSIG__CALL_MADE))
    return false;
  memcpy(&before, place, sizeof(before));
  calls.epochs |= 1ul << epoch;
  memcpy(place, &calls, sizeof(calls));
  if ((previous.sa_flags & SA_SIGINFO) != 0)
    previous.sa_sigaction(signum, info, context);
  else
    previous.sa_handler(signum);
  memcpy(place, &before, sizeof(before));
  return true;
}

/* Hand a fault to the previous action. Returning runs the faulting instruction
 * again, which faults again, now into that action, with address and registers
 * as they were. A trap or a refused system call has run already: then the
 * previous handler is called here, or, where there is none, the signal raised;
 * it is blocked until the return. */
static void pass_fault(unsigned epoch,
                       int signum,
                       siginfo_t* info,
                       void* context) {
  struct sigaction previous = uvsig__previous_of(epoch, signum);
  bool has_run = signum == SIGTRAP || signum == SIGSYS;
  bool is_called = has_run && uvsig__is_handler(&previous);

  /* The kernel does not let a fault be ignored (signal(7)), and takes a handler
   * with SA_RESETHAND away when it calls it. */
  if (has_run &&
      (!is_called || (previous.sa_flags & (int) SA_RESETHAND) != 0)) {
    previous.sa_handler = SIG_DFL;
    previous.sa_flags = 0;
  }
  atomic_store(&uvsig__shared.is_given_back[signum], true);
  sigaction(signum, &previous, NULL);
  if (is_called)
    call_previous(epoch, signum, info, context);
  else if (has_run)
    raise(signum);
}

static void (*const handlers[UVSIG__EPOCHS])(int, siginfo_t*, void*);

/* Does somebody want the previous handler to be called? */
static bool wants_previous(int signum) {
  return atomic_load(&uvsig__shared.chained[signum]) > 0;
}

/* Who has been found: nobody, somebody who watches, or among them somebody who
 * wants the previous handler to be called. */
enum found { NOBODY, WATCHED, CHAINED };

static enum found catch_watched(int signum, const siginfo_t* info) {
  unsigned generation = reader_enter();
  struct uvsig__source* first = atomic_load(&uvsig__shared.sources[signum]);
  struct uvsig__wakeup_fd* own = atomic_load(&uvsig__shared.wakeup_fd);
  struct uvsig__source* source;
  enum found found = NOBODY;

  for (source = first; source != NULL; source = atomic_load(&source->next))
    catch_signal(source, info);
  /* After the sources: whoever reads this byte finds the signal there. */
  if (first != NULL && own != NULL && write_own(own, signum))
    for (source = first; source != NULL; source = atomic_load(&source->next))
      ring(source->wakeup);
  /* Here, since they say so before they can be found, and take it back when the
   * handlers that have found them have left. */
  if (first != NULL)
    found = wants_previous(signum) ? CHAINED : WATCHED;
  reader_leave(generation);
  return found;
}

/* write() and send() are cancellation points: a cancelled thread must not end
 * in the middle, counted in and its signal in no pipe. glibc documents this
 * call as async-signal-safe; it sets a field of the thread. */
static enum found catch_all(int signum, const siginfo_t* info) {
  int cancel_state;
  enum found found;

  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  found = catch_watched(signum, info);
  pthread_setcancelstate(cancel_state, NULL);
  return found;
}

/* Give the previous action its place back, unless somebody watches, or has
 * since the look that found ours there: a start would have put it there, and a
 * stop taken it away. Returns whether it has it. */
static bool make_way(unsigned epoch,
                     int signum,
                     unsigned changes,
                     const struct sigaction* ours,
                     const struct sigaction* previous) {
  struct sigaction given = *previous;

  if (uvsig__is_watched(signum) ||
      atomic_load(&uvsig__shared.changes[signum]) != changes)
    return false;
  uvsig__change_call(epoch, signum, UVSIG__CALL_GIVEN, UVSIG__CALL_LEFT);
  if (uvsig__is_handler(previous) &&
      (previous->sa_flags & (int) SA_RESETHAND) != 0) {
    given.sa_handler = SIG_DFL;
    given.sa_flags = 0;
  }
  atomic_store(&uvsig__shared.is_given_back[signum], true);
  sigaction(signum, &given, NULL);
  if (!uvsig__is_watched(signum))
    return true;
  /* A start in another thread found ours there, and so did not install it; it
   * has published its source before it looked. */
  sigaction(signum, ours, NULL);
  atomic_store(&uvsig__shared.is_given_back[signum], false);
  return false;
}

/* Has the kernel the previous handler back? */
static bool is_back(unsigned epoch,
                    int signum,
                    const struct sigaction* current) {
  struct sigaction previous = uvsig__previous_of(epoch, signum);

  return uvsig__is_handler(&previous) &&
         current->sa_handler == previous.sa_handler &&
         atomic_load(&uvsig__shared.is_given_back[signum]);
}

/* Nobody watches. Somebody who had saved this handler as their previous one has
 * put it back: then the signal is for the previous action, which gets its place
 * back, unless it is watched again. Or calls it, as the one before: then that
 * is who is to be called, unless it has been. Or the handler was slow, and the
 * previous one is back: the same, but with SA_RESETHAND its one call is the
 * kernel's to make. */
static void pass_on(unsigned epoch,
                    int signum,
                    siginfo_t* info,
                    void* context,
                    bool was_called) {
  struct sigaction previous;
  struct sigaction current;
  unsigned changes;
  enum found found;

  for (;;) {
    changes = atomic_load(&uvsig__shared.changes[signum]);
    if (sigaction(signum, NULL, &current) != 0)
      return;
    if (uvsig__epoch_of(&current) != (int) epoch)
      break;
    previous = uvsig__previous_of(epoch, signum);
    if (make_way(epoch, signum, changes, &current, &previous)) {
      if (uvsig__is_handler(&previous) && was_called)
        return;
      if (!call_previous(epoch, signum, info, context))
        raise(signum); /* blocked until the return */
      return;
    }
    found = catch_all(signum, info);
    if (found == WATCHED)
      return;
    if (found == CHAINED)
      break;
  }
  if (!was_called && !call_previous(epoch, signum, info, context) &&
      is_back(epoch, signum, &current))
    raise(signum);
}

/* The signal is ours: nobody of us has it yet. */
static void take(unsigned epoch, int signum, siginfo_t* info, void* context) {
  bool was_called = false;
  enum found found;

  /* First, so that it sees what it would without us. */
  if (wants_previous(signum)) {
    call_previous(epoch, signum, info, context);
    was_called = true;
  }
  found = catch_all(signum, info);
  if (found == NOBODY)
    pass_on(epoch, signum, info, context, was_called);
  else if (found == CHAINED && !was_called)
    /* It has been started since the look above. */
    call_previous(epoch, signum, info, context);
}

static void handle(unsigned epoch, int signum, siginfo_t* info, void* context) {
  int saved_errno = errno;
  siginfo_t unknown;

  if (info == NULL) {
    /* From somebody on top of ours who does not know more. */
    memset(&unknown, 0, sizeof(unknown));
    unknown.si_signo = signum;
    info = &unknown;
  }
  if (is_fault(signum, info))
    pass_fault(epoch, signum, info, context);
  else if (calls_of(info) != 0)
    /* One of ours has it, and has called somebody who calls on. */
    call_previous(epoch, signum, info, context);
  else
    take(epoch, signum, info, context);
  errno = saved_errno;
}

static void handle_0(int signum, siginfo_t* info, void* context) {
  handle(0, signum, info, context);
}

static void handle_1(int signum, siginfo_t* info, void* context) {
  handle(1, signum, info, context);
}

static void handle_2(int signum, siginfo_t* info, void* context) {
  handle(2, signum, info, context);
}

static void handle_3(int signum, siginfo_t* info, void* context) {
  handle(3, signum, info, context);
}

static void (*const handlers[UVSIG__EPOCHS])(int, siginfo_t*, void*) = {
    handle_0, handle_1, handle_2, handle_3};

void uvsig__set_handler(unsigned epoch, struct sigaction* action) {
  action->sa_sigaction = handlers[epoch];
}

int uvsig__epoch_of(const struct sigaction* action) {
  int epoch;

  if ((action->sa_flags & SA_SIGINFO) != 0)
    for (epoch = 0; epoch < UVSIG__EPOCHS; epoch++)
      if (action->sa_sigaction == handlers[epoch])
        return epoch;
  return -1;
}
