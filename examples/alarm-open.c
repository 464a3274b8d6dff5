/* SPDX-License-Identifier: MIT
 *
 * An alarm limits an open() that may hang: the first example of Python's signal
 * module. No loop runs: the signal interrupts open(), and the program itself
 * has the callback called.
 *
 * Run it on a FIFO that nobody writes to, for 2 seconds at most (5, unless
 * said): `mkfifo fifo; alarm-open fifo 2`. You should see "called with signal
 * SIGALRM (14)" and "could not open fifo: interrupted system call", and
 * `echo $?` should print 1. On a file you should see "opened", and 0. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uvsig.h>

static int check(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* Returns 0 where it is no whole number from 1 on. */
static unsigned parse_seconds(const char* text) {
  char* end;
  long seconds = strtol(text, &end, 10);

  return *end == '\0' && seconds > 0 && seconds <= INT_MAX ? seconds : 0;
}

static void on_alarm(uvsig_watcher_t* watcher,
                     int signum,
                     const uvsig_info_t* info) {
  (void) watcher;
  (void) info;
  printf("called with signal %s (%d)\n", uvsig_signal_name(signum), signum);
}

int main(int argc, char** argv) {
  uv_loop_t* loop = uv_default_loop();
  unsigned seconds = argc < 3 ? 5 : parse_seconds(argv[2]);
  uvsig_watcher_t watcher;
  uvsig_t sig;
  int fd, err;

  if (argc < 2 || argc > 3 || seconds == 0) {
    fputs("Usage: alarm-open PATH [SECONDS]\n", stderr);
    return 2;
  }
  if (check(uvsig_init(loop, &sig, NULL), "uvsig_init"))
    return 1;
  /* Otherwise the kernel would start open() again (SA_RESTART). */
  if (check(uvsig_siginterrupt(SIGALRM, 1), "uvsig_siginterrupt") ||
      check(uvsig_watcher_init(&sig, &watcher), "uvsig_watcher_init") ||
      check(uvsig_watcher_start(&watcher, on_alarm, SIGALRM),
            "uvsig_watcher_start"))
    return 1;

  /* An alarm that rang before open() slept would not end it. Seconds are time
   * enough; uvsig_setitimer() with an interval would ring until it does. */
  uvsig_alarm(seconds);
  fd = open(argv[1], O_RDONLY | O_CLOEXEC | O_NOCTTY);
  err = fd < 0 ? uv_translate_sys_error(errno) : 0;
  uvsig_alarm(0);
  if (err == UV_EINTR && check(uvsig_flush(&sig), "uvsig_flush"))
    return 1;
  if (err < 0) {
    fprintf(stderr, "could not open %s: %s\n", argv[1], uv_strerror(err));
  } else {
    puts("opened");
    close(fd);
  }

  if (check(uvsig_close(&sig, NULL), "uvsig_close"))
    return 1;
  uv_run(loop, UV_RUN_DEFAULT); /* lets the handles close */
  return check(uv_loop_close(loop), "uv_loop_close") || err < 0;
}
