/* SPDX-License-Identifier: MIT
 *
 * A successor whose predecessor has ended has another parent: systemd. That
 * waits for the end of a main process only if it was its child when MAINPID=
 * named it, and where it stops another one, SIGKILL follows at once. By then
 * the successor was its predecessor's child. So it is named once more. Since
 * systemd passes over a name that it has already, that of a helper comes in
 * between: a child of this process, which names it again and ends.
 *
 * Runs in the loop thread, and in the helper, which may call only what is
 * async-signal-safe.
 */

#include "adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
# include <sys/syscall.h>
#endif

enum {
  LOOK_MS = 100,  /* for the predecessor's end, and the helper's */
  BUSY_MS = 1000, /* other messages wait so long for the helper's, at most */
  PATIENCE_MS = 300000 /* of the helper, until the service manager has read */
};

/* --- The helper ------------------------------------------------------------- */

/* What it has of this process: a connection that is closed here must not stay
 * open there. */
static void close_all_but(int kept) {
  int fd;
  long end;

#if defined(__linux__) && defined(SYS_close_range)
  if ((kept == 0 || syscall(SYS_close_range, 0, kept - 1, 0) == 0) &&
      syscall(SYS_close_range, kept + 1, ~0u, 0) == 0)
    return;
#endif
  end = sysconf(_SC_OPEN_MAX);
  for (fd = 0; fd < end; fd++)
    if (fd != kept)
      close(fd);
}

static bool is_alive(int server) {
  struct pollfd fd = {.fd = server};

  return poll(&fd, 1, 0) == 0;
}

/* However long that takes: the end of a main process is the service's. But not
 * longer than the server lives, whose end of a pipe closes with it. */
static bool send_in_time(const struct uvsig__address* service,
                         const char* text,
                         int fd,
                         int server) {
  int error;

  while ((error = uvsig__datagram_send(service, text, fd, 0)) != 0)
    if ((error != EAGAIN && error != EINTR) || !is_alive(server))
      return false;
  return true;
}

/* Wait until what has been sent before was read: sd_notify_barrier(3). The
 * service manager closes the descriptor then. */
static void wait_until_read(const struct uvsig__address* service, int server) {
  struct pollfd fds[2] = {{.fd = server}, {.fd = -1}};
  int ends[2];
  bool is_sent;

  if (pipe(ends) != 0)
    return;
  is_sent = send_in_time(service, "BARRIER=1", ends[1], server);
  close(ends[1]);
  fds[1].fd = ends[0];
  while (is_sent && poll(fds, 2, PATIENCE_MS) < 0 && errno == EINTR)
    ;
}

/* It is the main process by the time that `text` is read, which names the
 * server: messages keep their order. It must live until then, for the service
 * manager looks at who has sent a message. */
static _Noreturn void be_helper(const struct uvsig__address* service,
                                const char* text,
                                int server) {
  char byte;

  close_all_but(server);
  if (read(server, &byte, 1) != 1 || !send_in_time(service, text, -1, server))
    _exit(1);
  wait_until_read(service, server);
  _exit(0);
}

/* --- In this process ---------------------------------------------------------- */

/* No signal is the helper's: a handler there would write into what it shares
 * with this process. */
static uv_pid_t fork_helper(const struct uvsig__address* service, int server) {
  sigset_t all;
  sigset_t mask;
  char text[40];
  pid_t pid;

  snprintf(text, sizeof(text), "MAINPID=%ld", (long) getpid());
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mask);
  pid = fork();
  if (pid == 0)
    be_helper(service, text, server);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  return pid < 0 ? 0 : pid;
}

/* Tell the service manager, and then the helper that this is so. */
static int name_helper(const struct uvsig__adoption* a) {
  char text[40];
  int error;

  if (a->helper == 0)
    return EAGAIN; /* fork() may succeed later */
  snprintf(text, sizeof(text), "MAINPID=%ld", (long) a->helper);
  error = uvsig__datagram_send(a->service, text, -1, MSG_DONTWAIT);
  if (error == 0 && write(a->link, "+", 1) != 1)
    error = errno;
  return error;
}

/* Returns false where it is not to be tried again: there is no service manager
 * any more. A helper without a byte ends at once when its link is closed. */
static bool start_helper(struct uvsig__adoption* a) {
  int ends[2];
  int error;

  /* Close-on-exec, also where there is no pipe2(). */
  if (uv_pipe(ends, 0, 0) != 0)
    return true;
  a->helper = fork_helper(a->service, ends[0]);
  a->link = ends[1];
  a->since = uvsig__now();
  error = name_helper(a);
  close(ends[0]); /* not before: SIGPIPE, if the helper has been killed */
  if (error == 0)
    return true;
  close(a->link);
  if (a->helper != 0)
    while (waitpid(a->helper, NULL, 0) < 0 && errno == EINTR)
      ;
  a->helper = 0;
  return uvsig__is_lack_of_room(error);
}

/* Has it ended, and done what it was to do? */
static bool reap_helper(struct uvsig__adoption* a) {
  int status = 0;
  pid_t pid = a->helper != 0 ? waitpid(a->helper, &status, WNOHANG) : 0;

  if (pid == 0)
    return false;
  close(a->link);
  a->helper = 0;
  return pid < 0 || status == 0; /* or the program has waited for it */
}

static void on_timer(uv_timer_t* timer) {
  struct uvsig__adoption* a = timer->data;

  if (getpid() != a->self || reap_helper(a) ||
      (a->helper == 0 && getppid() != a->predecessor && !start_helper(a)))
    uv_timer_stop(timer);
}

void uvsig__adoption_open(struct uvsig__adoption* a, uv_loop_t* loop) {
  uv_timer_init(loop, &a->timer);
  a->timer.data = a;
  a->self = getpid();
  a->predecessor = getppid();
}

/* The predecessor has been notified that this process is ready. */
void uvsig__adoption_start(struct uvsig__adoption* a,
                           const struct uvsig__address* service) {
  a->service = service;
  uv_timer_start(&a->timer, on_timer, LOOK_MS, LOOK_MS);
}

/* The helper is the main process, or about to be: others are not heard. */
bool uvsig__adoption_is_busy(struct uvsig__adoption* a) {
  if (reap_helper(a))
    uv_timer_stop(&a->timer);
  return a->helper != 0 &&
         uvsig__now() - a->since < BUSY_MS * (UVSIG__SECOND / 1000);
}

/* Another process is to be the main one. */
void uvsig__adoption_stop(struct uvsig__adoption* a) {
  uv_timer_stop(&a->timer);
}

/* A helper that is at work goes on: the service must not lose its main process.
 * Its link stays open until this process ends. */
void uvsig__adoption_close(struct uvsig__adoption* a) {
  uvsig__close_handle((uv_handle_t*) &a->timer);
}
