/* SPDX-License-Identifier: MIT
 *
 * Signals in a loop that is not libuv's: the handler writes their numbers to a
 * wakeup fd, poll() sees its other end, and uvsig_flush() runs the callbacks.
 *
 * Run it, `kill -USR1` the process that it names, and press Ctrl-C. You should
 * see "read 1 SIGUSR1" and "callback for SIGUSR1, count 1", the same of SIGINT,
 * and `echo $?` should print 0. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include <uvsig.h>

static int done;

static int check(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
  return err < 0;
}

static void callback(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  (void) w;
  printf("callback for %s, count %u\n", uvsig_signal_name(signum), info->count);
  done |= signum != SIGUSR1;
}

/* Read all that is there, or poll() would come back at once. */
static int drain(int fd) {
  unsigned counts[UVSIG_NSIG];
  char bytes[512];
  ssize_t size;
  int i;

  while ((size = read(fd, bytes, sizeof(bytes))) > 0 &&
         !check(uvsig_decode(bytes, size, counts), "uvsig_decode"))
    for (i = 1; i < UVSIG_NSIG; i++)
      if (counts[i] > 0)
        printf("read %u %s\n", counts[i], uvsig_signal_name(i));
  return size < 0 && errno != EAGAIN ? uv_translate_sys_error(errno) : 0;
}

int main(void) {
  const int signums[] = {SIGINT, SIGTERM, SIGUSR1};
  uv_loop_t* loop = uv_default_loop(); /* never runs but for the end */
  uvsig_watcher_t watchers[3];
  struct pollfd wakeup = {.events = POLLIN};
  uvsig_t sig;
  int fds[2], i;

  if (check(uv_pipe(fds, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), "uv_pipe") ||
      check(uvsig_set_wakeup_fd(fds[1], 1, NULL), "uvsig_set_wakeup_fd") ||
      check(uvsig_init(loop, &sig, NULL), "uvsig_init"))
    return 1;
  for (i = 0; i < 3; i++)
    if (check(uvsig_watcher_init(&sig, &watchers[i]), "uvsig_watcher_init") ||
        check(uvsig_watcher_start(&watchers[i], callback, signums[i]),
              "uvsig_watcher_start"))
      return 1;

  printf("process %ld\n", (long) getpid());
  wakeup.fd = fds[0];
  while (!done) {
    fflush(stdout);
    /* A handler ends poll() with EINTR even where SA_RESTART is set. */
    if (poll(&wakeup, 1, -1) < 0 && errno != EINTR)
      return check(uv_translate_sys_error(errno), "poll");
    if (check(drain(fds[0]), "read") || check(uvsig_flush(&sig), "uvsig_flush"))
      return 1;
  }

  if (check(uvsig_set_wakeup_fd(-1, 0, NULL), "uvsig_set_wakeup_fd") ||
      check(uvsig_close(&sig, NULL), "uvsig_close"))
    return 1;
  close(fds[0]);
  close(fds[1]);
  uv_run(loop, UV_RUN_DEFAULT); /* lets the handles close */
  return check(uv_loop_close(loop), "uv_loop_close");
}
