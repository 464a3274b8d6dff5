/* SPDX-License-Identifier: MIT
 *
 * The signal handler: catch, count, write, ring. It may interrupt any
 * instruction of any thread. So it touches what subscription.h has and nothing
 * else, makes one system call for a signal, or two where a buffer is full, and
 * puts errno back. Runs in signal context.
 */

#include "previous.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__
# include <sys/syscall.h>
#endif

#ifdef MSG_NOSIGNAL
# define CAN_RAISE(is_socket) (!(is_socket))
#else
# define MSG_NOSIGNAL         0 /* macOS before 15: wakeup.c sets SO_NOSIGPIPE */
# define CAN_RAISE(is_socket) true
#endif

_Static_assert(EAGAIN == EWOULDBLOCK, "no room has two numbers");

/* --- Writing -------------------------------------------------------------- */

/* The system call itself: write() and send() are cancellation points, and glibc
 * makes a thread's cancellation asynchronous while they wait. */
static ssize_t write_raw(int fd, bool is_socket, const unsigned char* byte) {
#if defined(__linux__) && defined(SYS_sendto)
  const size_t size = 1;

  /* MSG_NOSIGNAL: a socket without a reader must not raise SIGPIPE. */
  if (is_socket)
    return syscall(SYS_sendto, fd, byte, size, MSG_NOSIGNAL, NULL, 0);
  return syscall(SYS_write, fd, byte, size);
#else
  int state = uvsig__cancel_disable();
  ssize_t n = is_socket ? send(fd, byte, 1, MSG_NOSIGNAL) : write(fd, byte, 1);

  uvsig__cancel_restore(state);
  return n;
#endif
}

/* Returns 0, UV_EAGAIN when there is no room, or another code. Every signal
 * must be blocked. */
int uvsig__write_byte(int fd, bool is_socket, unsigned char byte) {
  int err;

  if (write_raw(fd, is_socket, &byte) == 1)
    return 0;
  err = errno;
  if (err == EAGAIN)
    return UV_EAGAIN;
  if (err == EPIPE && CAN_RAISE(is_socket))
    uvsig__discard(SIGPIPE);
  return UVSIG__ERR(err);
}

static int send_byte(struct uvsig__wakeup* wakeup, unsigned char byte) {
  return uvsig__write_byte(wakeup->write_fd, wakeup->is_socket, byte);
}

/* Has the write failed otherwise than by a full pipe, which the loop reads? */
static bool has_failed(int err) {
  return err != 0 && err != UV_EAGAIN;
}

/* Write the doorbell, once until the loop has looked. A handler counts, and
 * then looks at the flag; the loop clears the flag, and then takes the
 * counters. All of it is sequentially consistent. So either the loop takes this
 * one too, or this finds the flag cleared, and writes the doorbell again. Where
 * it finds no room the pipe is full: the loop will read it, and look when it is
 * empty. Where the write fails otherwise nothing wakes the loop, so the flag is
 * cleared, and the next signal's handler writes. The error is noted after that,
 * since the loop forgets it when it takes the counters: by then every handler
 * that found the flag set has counted. test/scripts/wakeup.pml is a model of
 * this. */
static void ring(struct uvsig__wakeup* wakeup) {
  int err;

  /* A look first: in a burst most find it set, and an exchange costs more. */
  if (atomic_load(&wakeup->pending) != 0 ||
      atomic_exchange(&wakeup->pending, 1) != 0)
    return;
  err = send_byte(wakeup, 0);
  if (has_failed(err)) {
    atomic_store(&wakeup->pending, 0);
    atomic_store(&wakeup->error, err);
  }
}

/* --- Catching and counting ------------------------------------------------ */

/* Keep who sent a signal, if its slot is free. Nobody else writes to it then: a
 * handler that was delayed until the numbers come round to the same slot still
 * has it. */
static void keep_sender(struct uvsig__subscription* subscription,
                        unsigned long number,
                        const siginfo_t* info) {
  struct uvsig__sender* sender =
      &subscription->senders[number & (subscription->depth - 1)];
  unsigned long expected = UVSIG__FREE;

  /* A look first: in a burst most find it taken, and a failed exchange costs
   * more. Acquire: pairs with the loop's release, which has read it. */
  if (atomic_load_explicit(&sender->state, memory_order_relaxed) != expected ||
      !atomic_compare_exchange_strong_explicit(&sender->state,
                                               &expected,
                                               UVSIG__WRITING,
                                               memory_order_acquire,
                                               memory_order_relaxed))
    return;
  uvsig__info_set(&sender->info, info);
  sender->time = subscription->time_stamps ? uvsig__now() : 0;
  /* Release: pairs with the loop's acquire. */
  atomic_store_explicit(
      &sender->state, number << 2 | UVSIG__READY, memory_order_release);
}

static void count(struct uvsig__subscription* subscription,
                  const siginfo_t* info) {
  struct uvsig__wakeup* wakeup = subscription->wakeup;
  unsigned long number;
  int err = UV_EAGAIN;

  /* Before the byte and before `overflow`: a loop that sees one of those must
   * find the signal counted. The release of either publishes this. */
  number =
      atomic_fetch_add_explicit(&subscription->caught, 1, memory_order_release);
  if (subscription->depth > 0)
    keep_sender(subscription, number, info);

  if (!wakeup->wake_only)
    err = send_byte(wakeup, (unsigned char) subscription->signum);
  if (err == 0)
    return;
  if (has_failed(err))
    /* The loop looks at the counters on its next turn. */
    atomic_store(&wakeup->error, err);
  atomic_fetch_add(&subscription->overflow, 1);
  ring(wakeup);
}

/* --- A watcher's own handler ---------------------------------------------- */

/* A call of one. */
struct hook {
  struct uvsig__subscription* subscription;
  const siginfo_t* info;
  struct uvsig__reader reader;
};

#if HAVE_DECL_PTHREAD_SETCANCELSTATE
/* The thread ends in the call: nothing waits for it, and no signal is lost. */
static void count_and_leave(void* argument) {
  struct hook* hook = argument;
  struct uvsig__subscription* at;

  for (at = hook->subscription; at != NULL; at = atomic_load(&at->next))
    count(at, hook->info);
  uvsig__reader_leave(hook->reader);
}
#else
# undef pthread_cleanup_push /* there is no cancellation */
# undef pthread_cleanup_pop
# define pthread_cleanup_push(function, argument) ((void) 0)
# define pthread_cleanup_pop(execute)             ((void) 0)
#endif

/* It may call a cancellation point. There glibc before 2.41 has the type of a
 * thread be asynchronous, whatever the state is (its bug 12683). So the state
 * is enough but for a cancellation that was on its way when the signal came. A
 * thread that takes the watcher back waits for the handlers in flight. */
static void call_hook(struct hook* hook) {
  uvsig_watcher_t* hooked = atomic_load(&hook->subscription->hooked);
  int state;

  if (hooked == NULL)
    return;
  state = uvsig__cancel_disable();
  pthread_cleanup_push(count_and_leave, hook);
  hooked->handler(hooked, hook->subscription->signum, hook->info);
  pthread_cleanup_pop(0);
  uvsig__cancel_restore(state);
}

/* --- The program's own wakeup fd ------------------------------------------ */

/* Returns whether there is something to
 * report: the first failure after a success, or after another failure. */
static bool write_own(struct uvsig__wakeup_fd* own, int signum) {
  int err = uvsig__write_byte(own->fd, own->is_socket, (unsigned char) signum);

  /* Relaxed: diagnostics; `due` publishes them. */
  if (err != 0)
    atomic_fetch_add_explicit(&own->missed[signum], 1, memory_order_relaxed);
  if (atomic_exchange_explicit(&own->failing, err, memory_order_relaxed) ==
          err ||
      err == 0 || (err == UV_EAGAIN && !own->warn))
    return false;
  atomic_store(&own->due, err); /* before the look at the flag */
  return true;
}

/* Does a watcher want the previous handler to be called? */
static bool wants_chain(struct uvsig__subscription* at) {
  while (at != NULL && atomic_load(&at->chains) == 0)
    at = atomic_load(&at->next);
  return at != NULL;
}

static void catch_all(struct uvsig__subscription* first,
                      int signum,
                      const siginfo_t* info,
                      struct uvsig__reader reader) {
  struct uvsig__wakeup_fd* own = atomic_load(&uvsig__shared.wakeup_fd);
  struct uvsig__subscription* at;

  for (at = first; at != NULL; at = atomic_load(&at->next)) {
    struct hook hook = {at, info, reader};

    call_hook(&hook);
    count(at, info);
  }
  /* After the subscriptions: a program that reads this byte finds the signal
   * there. */
  if (own != NULL && write_own(own, signum))
    for (at = first; at != NULL; at = atomic_load(&at->next))
      ring(at->wakeup);
}

/* --- The handler ---------------------------------------------------------- */

/* Was it raised by the kernel for something that the thread did? si_code is
 * above 0 then, and on Linux 0 or below when a process sent it (sigaction(2));
 * the BSDs have positive codes for that too. */
static bool is_fault(int signum, const siginfo_t* info) {
  /* Not reached here: on Linux none of these codes is above 0. */
  return uvsig__is_synchronous(signum) && info->si_code > 0 &&
         info->si_code != SI_USER &&
#ifdef SI_LWP
         info->si_code != SI_LWP &&
#endif
         info->si_code != SI_QUEUE;
}

/* No handler of ours has this signal yet. `called`: which saved actions have,
 * or must not have it. */
static void take(unsigned called, int signum, siginfo_t* info, void* context) {
  struct uvsig__subscription* first;
  struct uvsig__reader reader;
  bool was_called = false;

  do {
    reader = uvsig__reader_enter();
    first = atomic_load(&uvsig__shared.subscriptions[signum]);
    if (wants_chain(first)) {
      /* First, so that the previous handler sees what it would without us. */
      was_called = uvsig__chain(reader, called, signum, info, context);
      reader = uvsig__reader_enter();
      first = atomic_load(&uvsig__shared.subscriptions[signum]);
    }
    if (first != NULL)
      catch_all(first, signum, info, reader);
    uvsig__reader_leave(reader);
  } while (first == NULL && !was_called &&
           !uvsig__forward(called, signum, info, context, uvsig__handle));
}

void uvsig__handle(int signum, siginfo_t* info, void* context) {
  int saved_errno = errno;
  siginfo_t unknown;
  unsigned called;
  bool is_taken;

  if (info != NULL) {
    called = uvsig__called(info);
    is_taken = called != 0;
  } else {
    /* Any of those that chain to ours may have called it: so only what was
     * there before it is due. If ours is installed, it has called that. */
    called = ~uvsig__bit_at(signum, 0);
    is_taken = uvsig__installed(signum).sa_sigaction == uvsig__handle;
    memset(&unknown, 0, sizeof(unknown));
    unknown.si_signo = signum;
    info = &unknown;
  }
  if (is_fault(signum, info))
    uvsig__pass_fault(called, signum, info, context);
  else if (is_taken)
    /* Ours has it, and has called a foreign handler that chains to ours. */
    uvsig__chain(uvsig__reader_enter(), called, signum, info, context);
  else
    take(called, signum, info, context);
  errno = saved_errno;
}
