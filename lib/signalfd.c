/* SPDX-License-Identifier: MIT
 *
 * The signalfd(2) of a loop: made, changed, read and closed. Runs in the loop
 * thread.
 */

#include "signalfd.h"

#include "wakeup.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef HAVE_GETCONTEXT
# include <ucontext.h>
#endif
#ifdef __linux__
# include <sys/syscall.h>
#endif

/* --- What the system has -------------------------------------------------- */

#ifdef HAVE_SYS_SIGNALFD_H

static int open_or_change(int fd, const sigset_t* set) {
  int result = signalfd(fd, set, SFD_NONBLOCK | SFD_CLOEXEC);

  if (result >= 0)
    return result;
  return errno == ENOSYS ? UV_ENOTSUP : UVSIG__ERR(errno);
}

static int number_of(const uvsig__queued_t* queued) {
  return (int) queued->ssi_signo;
}

static void set_number(uvsig__queued_t* queued, int signum) {
  queued->ssi_signo = (uint32_t) signum;
}

/* As a handler would have got it. The members of a siginfo_t share their place:
 * those alone are set that si_code comes with (sigaction(2)). */
static void translate(const uvsig__queued_t* from, siginfo_t* info) {
  memset(info, 0, sizeof(*info));
  info->si_signo = (int) from->ssi_signo;
  info->si_errno = from->ssi_errno;
  info->si_code = from->ssi_code;
  if (info->si_code == SI_TIMER) {
    info->si_timerid = (int) from->ssi_tid;
    info->si_overrun = (int) from->ssi_overrun;
    info->si_value.sival_ptr = (void*) (uintptr_t) from->ssi_ptr;
  } else if (info->si_code == SI_SIGIO ||
             (info->si_code > 0 && info->si_code != SI_KERNEL)) { /* POLL_* */
    info->si_band = (long) from->ssi_band;
    info->si_fd = from->ssi_fd;
  } else {
    info->si_pid = (pid_t) from->ssi_pid;
    info->si_uid = (uid_t) from->ssi_uid;
    if (info->si_code < 0 && info->si_code != SI_TKILL)
      info->si_value.sival_ptr = (void*) (uintptr_t) from->ssi_ptr;
  }
}

#else /* !HAVE_SYS_SIGNALFD_H */

static int open_or_change(int fd, const sigset_t* set) {
  (void) fd;
  (void) set;
  return UV_ENOTSUP;
}

static int number_of(const uvsig__queued_t* queued) {
  return queued->si_signo;
}

static void set_number(uvsig__queued_t* queued, int signum) {
  queued->si_signo = signum;
}

static void translate(const uvsig__queued_t* from, siginfo_t* info) {
  *info = *from;
}

#endif

/* --- Open and close ------------------------------------------------------- */

int uvsig__signalfd_open(struct uvsig__signalfd** out, uv_poll_cb on_readable) {
  struct uvsig__signalfd* from = calloc(1, sizeof(*from));
  int fd;

  if (from == NULL)
    return UV_ENOMEM;
  sigemptyset(&from->set);
  fd = open_or_change(-1, &from->set);
  if (fd < 0) {
    free(from);
    return fd;
  }
  from->fd = fd;
  from->on_readable = on_readable;
  *out = from;
  return 0;
}

/* Have the loop read it. At the first signal, and not with the wakeup fd: of
 * two handles that are to be initialised, the first could be closed through the
 * loop alone where the second one fails. */
int uvsig__signalfd_poll(struct uvsig__signalfd* from, struct uvsig__hub* hub) {
  int err;

  if (from->is_polled)
    return 0;
  err = uv_poll_init(hub->sig->loop, &from->poll, from->fd);
  if (err != 0)
    return err;
  from->is_polled = true;
  from->poll.data = hub;
  uv_unref((uv_handle_t*) &from->poll);
  uv_poll_start(&from->poll, UV_READABLE, from->on_readable);
  return 0;
}

/* Is it polled? A program that closes all that uv_walk() finds may have closed
 * the handle. */
static bool has_poll(const struct uvsig__signalfd* from) {
  return from->is_polled && !uv_is_closing((const uv_handle_t*) &from->poll);
}

/* Not to be polled for a while. */
void uvsig__signalfd_pause(struct uvsig__signalfd* from) {
  if (has_poll(from))
    uv_poll_stop(&from->poll);
}

void uvsig__signalfd_resume(struct uvsig__signalfd* from) {
  if (has_poll(from) && !from->is_lost)
    uv_poll_start(&from->poll, UV_READABLE, from->on_readable);
}

/* Returns 0, or why it is none any more: most likely, the program has closed
 * it, and may have opened something else under its number. */
int uvsig__signalfd_check(const struct uvsig__signalfd* from) {
  int fd = open_or_change(from->fd, &from->set);

  return fd < 0 ? fd : 0;
}

/* It is not used any more. */
void uvsig__signalfd_lose(struct uvsig__signalfd* from) {
  uvsig__signalfd_pause(from);
  if (uvsig__signalfd_check(from) != 0)
    from->fd = -1; /* not ours to close */
  from->is_lost = true;
}

/* In the child of a fork: the descriptor is the parent's, too, and so is the
 * set of its signals. */
void uvsig__signalfd_inherit(struct uvsig__signalfd* from) {
  sigemptyset(&from->set);
  from->end = 0; /* and `at` with the next read */
}

/* The child has one of its own, under the same number. */
int uvsig__signalfd_renew(struct uvsig__signalfd* from) {
  int fresh;
  int err;

  if (from->is_lost)
    return 0;
  fresh = open_or_change(-1, &from->set);
  if (fresh < 0)
    return fresh;
  err = uvsig__move_fd(fresh, from->fd);
  close(fresh);
  return err;
}

void uvsig__signalfd_close(struct uvsig__signalfd* from) {
  if (from->fd >= 0)
    close(from->fd);
  from->fd = -1;
}

/* --- Its signals ---------------------------------------------------------- */

/* Returns false if it is refused: see uvsig__signalfd_check(). */
bool uvsig__signalfd_add(struct uvsig__signalfd* from, int signum) {
  if (from->is_lost)
    return false;
  sigaddset(&from->set, signum);
  if (open_or_change(from->fd, &from->set) >= 0)
    return true;
  sigdelset(&from->set, signum);
  return false;
}

void uvsig__signalfd_remove(struct uvsig__signalfd* from, int signum) {
  sigdelset(&from->set, signum);
  if (!from->is_lost)
    (void) open_or_change(from->fd, &from->set); /* refused: nothing reads it */
}

/* --- What was read -------------------------------------------------------- */

static ssize_t read_fully(int fd, void* to, size_t size) {
  ssize_t n;

  do
    n = read(fd, to, size);
  while (n < 0 && errno == EINTR);
  return n;
}

/* Read what fits, once all of before has been delivered. Returns how many
 * signals it was, or a code. */
int uvsig__signalfd_read(struct uvsig__signalfd* from) {
  ssize_t n;

  if (from->is_lost)
    return 0;
  n = read_fully(from->fd, from->read, sizeof(from->read));
  from->at = 0;
  from->end = n > 0 ? (size_t) n / sizeof(*from->read) : 0;
  if (n < 0 && errno != EAGAIN)
    return UVSIG__ERR(errno);
  return (int) from->end;
}

/* The next signal that was read and is not delivered yet: of this number, or,
 * with 0, of any. Returns false where there is none. */
bool uvsig__signalfd_next(struct uvsig__signalfd* from,
                          int signum,
                          siginfo_t* info) {
  size_t at;

  for (at = from->at; at < from->end; at++) {
    if (signum == 0)
      from->at = at + 1;
    if (number_of(&from->read[at]) == 0 ||
        (signum != 0 && number_of(&from->read[at]) != signum))
      continue;
    translate(&from->read[at], info);
    set_number(&from->read[at], 0);
    return true;
  }
  return false;
}

/* Take the next signal of one number from the kernel's queue, past those of
 * others. By the same descriptor, which is not lost: there may be no second
 * one. */
bool uvsig__signalfd_take(struct uvsig__signalfd* from,
                          int signum,
                          siginfo_t* info) {
  sigset_t set = uvsig__set_of(signum);
  uvsig__queued_t queued;
  ssize_t n;

  if (open_or_change(from->fd, &set) < 0)
    return false;
  n = read_fully(from->fd, &queued, sizeof(queued));
  (void) open_or_change(from->fd, &from->set); /* as before */
  if (n != (ssize_t) sizeof(queued))
    return false;
  translate(&queued, info);
  return true;
}

/* As if the signal had interrupted this place: with every signal blocked, as in
 * a handler. */
void uvsig__signalfd_catch(siginfo_t* info) {
  sigset_t all;
  sigset_t before;
#ifdef HAVE_GETCONTEXT
  ucontext_t context;

  getcontext(&context);
#else
  uint64_t context[512] = {0}; /* musl has none */
#endif
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  uvsig__handle(info->si_signo, info, &context);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The same with those of one number that were read. */
void uvsig__signalfd_handle(struct uvsig__signalfd* from, int signum) {
  siginfo_t info;

  while (uvsig__signalfd_next(from, signum, &info))
    uvsig__signalfd_catch(&info);
}

/* Returns how many there were. */
unsigned uvsig__signalfd_drop(struct uvsig__signalfd* from, int signum) {
  unsigned count = 0;
  siginfo_t info;

  while (uvsig__signalfd_next(from, signum, &info))
    count++;
  return count;
}

/* Give those of one number back to the kernel, for this thread: they come before
 * what still waits for the process. Where it has no room, they are lost: returns
 * how many. */
unsigned uvsig__signalfd_return(struct uvsig__signalfd* from, int signum) {
  unsigned lost = 0;
  siginfo_t info;

  while (uvsig__signalfd_next(from, signum, &info)) {
#if defined(__linux__) && defined(SYS_rt_tgsigqueueinfo)
    if (syscall(SYS_rt_tgsigqueueinfo,
                getpid(),
                syscall(SYS_gettid),
                signum,
                &info) == 0)
      continue;
#endif
    lost++;
  }
  return lost;
}
