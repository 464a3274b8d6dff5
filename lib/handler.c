/* SPDX-License-Identifier: MIT
 *
 * The top half: everything that runs in signal context, and nothing else. It
 * may interrupt any instruction of any thread, so it touches atomics and what
 * was written before a source was published, makes at most two system calls,
 * and puts errno back.
 */

#include "internal.h"

#include <errno.h>
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

/* Returns 0, UV_EAGAIN when there is no room, or another code. */
static int write_byte(int fd, bool is_socket, unsigned char byte) {
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
  int err = write_byte(wakeup->write_fd, wakeup->is_socket, byte);

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
   * look when it is empty. test/wakeup.pml is a model of this. Acquire and
   * release: an exchange that finds 1 is part of the release sequence that the
   * loop acquires. */
  if (atomic_exchange_explicit(&wakeup->pending, 1, memory_order_acq_rel) == 0)
    send_byte(wakeup, 0);
}

static void catch_signal(struct uvsig__source* source) {
  struct uvsig__wakeup* wakeup = source->wakeup;

  /* Before the byte and before `uncarried`: whoever sees one of those must
   * find the signal in the books. The release of either publishes this. */
  atomic_fetch_add_explicit(&source->caught, 1, memory_order_release);

  if (!wakeup->wake_only && send_byte(wakeup, (unsigned char) source->signum))
    return;

  /* Release: pairs with the loop's acquire when it takes the counter. */
  atomic_fetch_add_explicit(&source->uncarried, 1, memory_order_release);
  ring(wakeup);
}

/* Write to the program's own wakeup fd. Returns whether there is something to
 * report: the first failure after a success, or after another failure. */
static bool write_own(struct uvsig__wakeup_fd* own, int signum) {
  int err = write_byte(own->fd, own->is_socket, (unsigned char) signum);

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

/* Hand a fault to the previous action. Returning runs the faulting instruction
 * again, which faults again, now into that action, with address and registers
 * as they were. A trap or a refused system call has run already: raise that,
 * it is blocked until the return. */
static void pass_fault(int signum) {
  sigaction(signum, &uvsig__shared.previous[signum], NULL);
  if (signum == SIGTRAP || signum == SIGSYS)
    raise(signum);
}

static void catch_all(int signum) {
  unsigned generation = reader_enter();
  struct uvsig__source* first = atomic_load(&uvsig__shared.sources[signum]);
  struct uvsig__wakeup_fd* own = atomic_load(&uvsig__shared.wakeup_fd);
  struct uvsig__source* source;

  for (source = first; source != NULL; source = atomic_load(&source->next))
    catch_signal(source);
  /* After the sources: whoever reads this byte finds the signal there. */
  if (first != NULL && own != NULL && write_own(own, signum))
    for (source = first; source != NULL; source = atomic_load(&source->next))
      ring(source->wakeup);
  reader_leave(generation);
}

void uvsig__handler(int signum, siginfo_t* info, void* context) {
  int saved_errno = errno;
  int cancel_state;

  (void) context;
  if (is_fault(signum, info)) {
    pass_fault(signum);
  } else {
    /* write() and send() are cancellation points: a cancelled thread must not
     * end in the middle, counted in and its signal in no pipe. glibc documents
     * this call as async-signal-safe; it sets a field of the thread. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    catch_all(signum);
    pthread_setcancelstate(cancel_state, NULL);
  }
  errno = saved_errno;
}
