/* SPDX-License-Identifier: MIT
 *
 * Signals without a handler, a callback or a loop: they are blocked, and
 * uvsig_sigtimedwait() takes them one by one and knows who sent them.
 *
 * Run it, `kill -HUP` the process that it names from another terminal, and
 * press Ctrl-C. You should see "tick" after each second without a signal (or
 * after as many as the argument says, such as 0.1), "SIGHUP from process" with
 * the number of the other shell, and "SIGINT"; `echo $?` should print 130. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uvsig.h>

static int check(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* A reader should see it now, also through a pipe. */
static int flush_output(void) {
  return fflush(stdout) == 0 ? 0 : uv_translate_sys_error(errno);
}

int main(int argc, char** argv) {
  const char* text = argc > 1 ? argv[1] : "1";
  uvsig_info_t info;
  sigset_t set;
  double period;
  char* end;
  int err;

  period = strtod(text, &end);
  if (argc > 2 || end == text || *end != '\0' || !(period > 0)) {
    fputs("Usage: sigtimedwait [SECONDS]\n", stderr);
    return 2;
  }

  /* Blocked from here to the end, they wait for us between two calls, too. */
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  if (check(uvsig_pthread_sigmask(SIG_BLOCK, &set, NULL),
            "uvsig_pthread_sigmask"))
    return 1;
  printf("process %ld\n", (long) getpid());

  for (;;) {
    if (check(flush_output(), "standard output"))
      return 1;
    err = uvsig_sigtimedwait(&set, period, &info);
    if (err == UV_ETIMEDOUT)
      puts("tick");
    else if (check(err, "uvsig_sigtimedwait"))
      return 1;
    else if (info.signum == SIGHUP) /* 0 is the kernel: the terminal has gone */
      printf("SIGHUP from process %ld\n", (long) info.pid);
    else
      break;
  }

  puts(uvsig_signal_name(info.signum));
  if (check(flush_output(), "standard output"))
    return 1;
  /* It was taken, and has had no effect so far. This sends it once more, with
   * its default action, and unblocks it. */
  return check(uvsig_reraise(info.signum), "uvsig_reraise");
}
