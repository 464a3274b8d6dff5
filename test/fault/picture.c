/* SPDX-License-Identifier: MIT
 *
 * What must be as before: see picture.h.
 */

#include "picture.h"

#include "../lib/harness.h"
#include "inject.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static void take_handle(uv_handle_t* handle, void* data) {
  struct picture* p = data;

  if (uv_is_closing(handle))
    return;
  p->handles++;
  p->active += uv_is_active(handle) != 0;
  p->refs += uv_is_active(handle) != 0 && uv_has_ref(handle) != 0;
}

static void take_fds(struct picture* p) {
  struct stat status;
  int fd;

  for (fd = 0; fd < PICTURE_FDS; fd++) {
    if (fstat(fd, &status) != 0)
      continue;
    p->fds[fd].is_open = 1;
    p->fds[fd].descriptor_flags = fcntl(fd, F_GETFD);
    p->fds[fd].status_flags = fcntl(fd, F_GETFL);
    p->fds[fd].device = status.st_dev;
    p->fds[fd].inode = status.st_ino;
  }
}

/* FNV-1a. */
static uint64_t hash_environment(void) {
  uint64_t hash = UINT64_C(14695981039346656037);
  char** variable;
  const char* at;

  for (variable = environ; *variable != NULL; variable++)
    for (at = *variable;; at++) {
      hash = (hash ^ (unsigned char) *at) * UINT64_C(1099511628211);
      if (*at == 0)
        break;
    }
  return hash;
}

void picture_take(struct picture* p, uv_loop_t* loop) {
  int i;

  memset(p, 0, sizeof(*p));
  for (i = 1; i < UVSIG_NSIG; i++)
    if (sigaction(i, NULL, &p->actions[i]) != 0)
      memset(&p->actions[i], 0, sizeof(p->actions[i]));
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &p->mask), 0);
  take_fds(p);
  p->held = atomic_load(&fault_held);
  if (loop != NULL)
    uv_walk(loop, take_handle, p);
  for (i = 0; i < PICTURE_TIMERS; i++)
    CHECK_EQ(getitimer(i, &p->timers[i]), 0);
  p->environment = hash_environment();
}

/* --- Compare -------------------------------------------------------------- */

/* What is installed may be the library's handler still where sigaction() was
 * refused at a stop: then a signal must have the effect that it had. In a child,
 * which may die of it. */
static void raise_and_tell(int signum) {
  int before = foreign_calls;

  raise(signum);
  _exit(foreign_calls - before == 1 ? 1 : 0);
}

static bool acts_alike(int signum, const struct sigaction* before) {
  int status;
  pid_t child;

  child = fork();
  CHECK(child >= 0);
  if (child == 0)
    raise_and_tell(signum);
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  if (before->sa_handler == SIG_DFL)
    return signum == SIGCHLD || signum == SIGWINCH || signum == SIGURG ||
                   signum == SIGCONT
               ? status == 0
               : WIFSIGNALED(status) && WTERMSIG(status) == signum;
  if (before->sa_handler == SIG_IGN)
    return status == 0;
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static bool is_refused_stop(const struct picture* p, int signum) {
  return atomic_load(&fault->failed) > 0 &&
         (fault->plan.call == FAULT_sigaction ||
          fault->plan.call == FAULT_uv_signal_start) &&
         acts_alike(signum, &p->actions[signum]);
}

/* What a refused put-back leaves, where it is refused for good. */
static bool is_left_ignored(const struct picture* p, int signum) {
  return fault->plan.call == FAULT_sigaction && fault->plan.is_for_good &&
         signum == SIGALRM && p->actions[signum].sa_handler == SIG_IGN;
}

static bool are_alike(const struct sigaction* a, const struct sigaction* b) {
  int signum;

  if (a->sa_handler != b->sa_handler || a->sa_flags != b->sa_flags)
    return false;
  for (signum = 1; signum < UVSIG_NSIG; signum++)
    if (sigismember(&a->sa_mask, signum) != sigismember(&b->sa_mask, signum))
      return false;
  return true;
}

static void compare_signals(const char* file,
                            int line,
                            const char* what,
                            const struct picture* before,
                            const struct picture* after) {
  int i;

  for (i = 1; i < UVSIG_NSIG; i++) {
    if (!are_alike(&before->actions[i], &after->actions[i]) &&
        !is_left_ignored(after, i) && !is_refused_stop(before, i))
      check_failed(file, line, "%s: the action of signal %d", what, i);
    if (sigismember(&before->mask, i) != sigismember(&after->mask, i))
      check_failed(file, line, "%s: the mask of signal %d", what, i);
  }
}

static bool are_alike_fds(const struct picture_fd* a,
                          const struct picture_fd* b,
                          bool may_be_new) {
  return a->is_open == b->is_open &&
         a->descriptor_flags == b->descriptor_flags &&
         a->status_flags == b->status_flags &&
         (may_be_new || (a->device == b->device && a->inode == b->inode));
}

/* A descriptor that is none any more, as signalfd() says for good, is the
 * program's, and not the library's to close. */
static bool is_given_up(void) {
  return fault->plan.call == FAULT_signalfd_change && fault->plan.is_for_good;
}

/* Once setitimer() is refused for good, no timer comes back. */
static void compare_timers(const char* file,
                           int line,
                           const char* what,
                           const struct picture* before,
                           const struct picture* after) {
  const struct itimerval* a = before->timers;
  const struct itimerval* b = after->timers;

  if (fault->plan.call == FAULT_setitimer && fault->plan.is_for_good)
    return;
  for (; a < before->timers + PICTURE_TIMERS; a++, b++)
    if (timerisset(&a->it_value) != timerisset(&b->it_value) ||
        timercmp(&a->it_interval, &b->it_interval, !=))
      check_failed(file,
                   line,
                   "%s: timer %d of the process",
                   what,
                   (int) (a - before->timers));
}

void picture_compare(const char* file,
                     int line,
                     const char* what,
                     const struct picture* before,
                     const struct picture* after,
                     bool may_cache) {
  int i;

  compare_signals(file, line, what, before, after);
  for (i = 0; i < PICTURE_FDS; i++)
    if (!is_given_up() &&
        !are_alike_fds(&before->fds[i], &after->fds[i], may_cache))
      check_failed(file, line, "%s: descriptor %d", what, i);
  if (may_cache ? after->held < before->held : after->held != before->held)
    check_failed(file,
                 line,
                 "%s: holds %d, and held %d",
                 what,
                 after->held,
                 before->held);
  if (after->refs != before->refs ||
      (!may_cache &&
       (after->handles != before->handles || after->active != before->active)))
    check_failed(file,
                 line,
                 "%s: %u handles, %u active, %u keep the loop alive; "
                 "before: %u, %u, %u",
                 what,
                 after->handles,
                 after->active,
                 after->refs,
                 before->handles,
                 before->active,
                 before->refs);
  compare_timers(file, line, what, before, after);
  if (before->environment != after->environment)
    check_failed(file, line, "%s: the environment", what);
}
