/* SPDX-License-Identifier: MIT
 *
 * The library's own lines on standard error. They neither wait for a reader who
 * does not read, nor raise SIGPIPE for one who has gone: then the line is lost.
 * Not by stdio, whose lock another thread may hold. Runs in any thread and in
 * signal context.
 */

#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
# include <sys/syscall.h>
#endif

/* macOS has neither. What they prevent is blocked and discarded below. */
#ifndef MSG_NOSIGNAL
# define MSG_NOSIGNAL 0
#endif
#ifndef O_CLOEXEC
# define O_CLOEXEC 0
#endif

static void take_pending(const sigset_t* set) {
#if defined(__linux__) && defined(SYS_rt_sigtimedwait)
  const struct timespec now = {0};

  /* The kernel's set has a bit for each signal, and glibc's is larger. */
  syscall(SYS_rt_sigtimedwait, set, NULL, &now, (size_t) _NSIG / 8);
#else
  int state = uvsig__cancel_disable();
  int signum;

  sigwait(set, &signum);
  uvsig__cancel_restore(state);
#endif
}

/* Take back a signal that a write has raised, as SIGPIPE where the reader has
 * gone. It is this thread's (POSIX, write()), and pending, for the caller has
 * blocked it; on some systems it is not, if it is ignored. So the wait does not
 * sleep, and no other thread can be faster. By the system call itself:
 * sigwait() is a cancellation point, and not in POSIX's list of what a handler
 * may call. The disposition is not changed: another thread may be changing
 * it. */
void uvsig__discard(int signum) {
  sigset_t set;

  sigemptyset(&set); /* where sigpending() is refused */
  sigpending(&set);
  if (sigismember(&set, signum) != 1)
    return;
  set = uvsig__set_of(signum);
  take_pending(&set);
}

/* Not O_NONBLOCK on standard error itself: other processes share that flag. A
 * pipe or a terminal is opened again, which gives a flag of one's own. That
 * needs /proc, and for a pipe a reader. */
static int open_again(void) {
#ifdef __linux__
  return open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
#else
  return -1;
#endif
}

/* Or an error: then a write does not wait, either. */
static bool has_room(void) {
  struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

  return poll(&fd, 1, 0) == 1;
}

#ifdef __linux__
/* Where it cannot be opened again (another user's, no /proc): a byte that finds
 * room does not wait. */
static void write_bytes(const char* text, size_t size) {
  size_t i;

  for (i = 0; i < size && has_room(); i++)
    if (write(STDERR_FILENO, text + i, 1) != 1)
      return;
}
#endif

/* Returns false if a write has failed, which may have raised a signal: errno says
 * which. */
static bool write_now(const char* text, size_t size) {
  struct stat status;
  ssize_t n;
  int again = -1;

  if (fstat(STDERR_FILENO, &status) != 0)
    return true;
  if (S_ISSOCK(status.st_mode))
    return send(STDERR_FILENO, text, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
  if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode))
    again = open_again();
  if (again >= 0) {
    n = write(again, text, size);
    close(again);
    return n >= 0;
  }
#ifdef __linux__
  /* Where a terminal has room for a part, to write waits for the rest. */
  if (S_ISCHR(status.st_mode)) {
    write_bytes(text, size);
    return true; /* a terminal raises neither signal */
  }
#endif
  /* Another process may fill it between the two calls. */
  return !has_room() || write(STDERR_FILENO, text, size) >= 0;
}

/* `text` has its newline, and is not longer than a pipe takes at once: 512
 * bytes everywhere, 4,096 on Linux (POSIX, PIPE_BUF). SIGXFSZ comes where a
 * file is at its size limit; SIGTTOU from a terminal where another job is in
 * front, and where it is blocked, the write proceeds (POSIX, 11.1.4). */
void uvsig__print(const char* text) {
  int saved_errno = errno;
  sigset_t set;
  sigset_t pending;
  sigset_t mask;
  int state;

  /* open(), write() and close() are cancellation points. */
  state = uvsig__cancel_disable();
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  sigaddset(&set, SIGXFSZ);
  sigaddset(&set, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &set, &mask);
  sigemptyset(&pending); /* as above */
  sigpending(&pending);
  if (!write_now(text, strlen(text))) {
    if (errno == EPIPE && sigismember(&pending, SIGPIPE) != 1)
      uvsig__discard(SIGPIPE);
    else if (errno == EFBIG && sigismember(&pending, SIGXFSZ) != 1)
      uvsig__discard(SIGXFSZ);
  }
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  uvsig__cancel_restore(state);
  errno = saved_errno;
}
