/* SPDX-License-Identifier: MIT
 *
 * Signals that the program watches with libuv's uv_signal_t, too: first of all
 * SIGCHLD, which uv_spawn() watches. libuv installs its handler when the first
 * handle of a signal in the process is started, saves nothing, and sets the
 * default action when the last one is stopped. So a handle of ours is started
 * before our handler is installed, and stopped after it is gone: in between,
 * libuv has no reason to touch the disposition. Runs in the loop thread.
 */

#include "disposition.h"
#include "previous.h"
#include "source.h"

#include <errno.h>

/* All under uvsig__lock(). */
static unsigned opened[UVSIG_NSIG];        /* handles of ours */
static struct sigaction found[UVSIG_NSIG]; /* before libuv's and ours */
static bool has_found[UVSIG_NSIG];         /* libuv's was not there first */

static void ignore(uv_signal_t* handle, int signum) {
  (void) handle;
  (void) signum;
}

/* libuv has one handler for all signals, and does not say which. So have libuv
 * install it for a signal that has its default action and is ignored by
 * default, and look. The start that follows stops the handle. */
static void find_libuvs(uv_signal_t* handle) {
  static const int unused[] = {SIGURG, SIGWINCH, SIGCONT};
  size_t i;

  for (i = 0; i < sizeof(unused) / sizeof(*unused) && !uvsig__knows_libuvs();
       i++) {
    if (uvsig__installed(unused[i]).sa_handler != SIG_DFL ||
        uv_signal_start(handle, ignore, unused[i]) != 0)
      continue;
    uvsig__libuvs = uvsig__installed(unused[i]);
  }
}

static int start_handle(struct uvsig__source* source) {
  struct uvsig__hub* hub = source->hub;
  int err;

  if (source->share.loop == NULL) {
    err = uv_signal_init(hub->sig->loop, &source->share);
    if (err != 0)
      return err;
    source->share.data = hub;
    uv_unref((uv_handle_t*) &source->share);
  }
  if (uv_is_closing((uv_handle_t*) &source->share))
    return UV_EINVAL; /* by a program that closes all that uv_walk() finds */
  find_libuvs(&source->share);
  return uv_signal_start(&source->share, ignore, source->sub.signum);
}

/* Start a uv_signal_t for the signal. Our handler may be installed, or not
 * yet. */
int uvsig__share_open(struct uvsig__source* source) {
  int signum = source->sub.signum;
  struct sigaction before;
  struct sigaction after;
  int err;

  uvsig__lock();
  /* Where a filter of system calls refuses to read an action, it does so from
   * the first time on. */
  err = sigaction(signum, NULL, &before) == 0 ? start_handle(source)
                                              : UVSIG__ERR(errno);
  if (err == 0) {
    opened[signum]++;
    after = uvsig__installed(signum);
    /* Where those were all in use: most likely. */
    if (!uvsig__knows_libuvs() && !uvsig__is_ours(&after))
      uvsig__libuvs = after;
    if (!uvsig__is_same(&before, &after)) {
      /* libuv has just put its handler there, maybe in place of ours. */
      found[signum] = before;
      has_found[signum] = true;
      if (uvsig__is_ours(&before)) {
        found[signum] = uvsig__get_previous(signum);
        uvsig__set_previous(signum, &after);
        /* Refused: a start installs it again, and says so then. */
        sigaction(signum, &before, NULL);
      }
    }
  }
  uvsig__unlock();
  return err;
}

/* libuv's handler is out of action: put `first`, which was there before it, in
 * its place below ours. Also where a foreign handler has replaced ours. Where
 * libuv's is not known, `first` is the default action, and so is that. */
static void remove_libuvs(int signum, const struct sigaction* first) {
  uvsig__replace_previous(signum, &uvsig__libuvs, first);
}

/* In the child of a fork: restore what was there before libuv's handler, where
 * libuv has installed it only for a handle of the library's. Not for SIGCHLD,
 * whose default action is harmless: uv_spawn() needs libuv's handler there. */
void uvsig__forget_shares(void) {
  struct sigaction current;
  int signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++) {
    if (signum == SIGCHLD || !has_found[signum])
      continue;
    current = uvsig__installed(signum);
    if (uvsig__is_libuvs(&current))
      sigaction(signum, &found[signum], NULL);
    else
      remove_libuvs(signum, &found[signum]);
  }
}

/* After uvsig_fork(): libuv takes its handler for installed. So it is to be
 * below ours again. */
void uvsig__share_rejoin(const struct uvsig__source* source) {
  int signum = source->sub.signum;

  uvsig__lock();
  if (has_found[signum])
    uvsig__replace_previous(signum, &found[signum], &uvsig__libuvs);
  uvsig__unlock();
}

/* libuv has set the default action: restore what was there before libuv's
 * handler. Not if another thread has had libuv install it again meanwhile. */
static void restore_found(int signum, struct sigaction* before) {
  struct sigaction first =
      has_found[signum] ? found[signum] : uvsig__simple_action(SIG_DFL);
  struct sigaction displaced;

  if (uvsig__is_libuvs(before) || before->sa_handler == SIG_DFL) {
    /* Where all that uv_walk() had found was closed, on one of several
     * loops. */
    if (uvsig__is_watched(signum)) {
      uvsig__retake(signum, &first);
      return;
    }
    *before = first;
  } else {
    remove_libuvs(signum, &first);
  }
  /* What it has set already: to set it again might take away, for an instant,
   * what another thread has had it install. */
  if (before->sa_handler == SIG_DFL)
    return;
  if (sigaction(signum, before, &displaced) == 0 &&
      uvsig__is_libuvs(&displaced)) {
    if (uvsig__is_ours(before))
      uvsig__set_previous(signum, &displaced);
    else
      sigaction(signum, &displaced, NULL);
  }
}

/* The opposite of uvsig__share_open(). Our handler may still be installed, for
 * another loop's watchers. */
void uvsig__share_close(struct uvsig__source* source) {
  int signum = source->sub.signum;
  bool is_closing = uv_is_closing((uv_handle_t*) &source->share);
  struct sigaction before;
  struct sigaction after;

  uvsig__lock();
  if (sigaction(signum, NULL, &before) != 0)
    before = uvsig__simple_action(SIG_DFL); /* libuv leaves that */
  /* A program that closes all that uv_walk() finds has stopped it. */
  if (!is_closing)
    uv_signal_stop(&source->share);
  after = uvsig__installed(signum);
  if (uvsig__is_libuvs(&after)) {
    /* There are one-shot handles left, for which it has installed it anew. */
    if (uvsig__is_handler(&before) && !uvsig__is_libuvs(&before)) {
      uvsig__replace_previous(signum, &after, &after);
      sigaction(signum, &before, NULL);
    }
  } else if (!uvsig__is_same(&before, &after) ||
             (is_closing && after.sa_handler == SIG_DFL && has_found[signum])) {
    restore_found(signum, &before);
  }
  /* What libuv installs from here on is not the library's to restore. */
  if (--opened[signum] == 0)
    has_found[signum] = false;
  uvsig__unlock();
}
