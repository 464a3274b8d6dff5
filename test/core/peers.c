/* SPDX-License-Identifier: MIT
 *
 * What libuv's uv_signal_t and this library do in the same cases, side by side,
 * as they are installed here: `make peers` builds and runs it. It is no test:
 * the tests of our column are named in README.md and test/.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FLOOD = 100000 };

/* Children write here, and the parent prints. */
static char* answer;
enum { LONGEST = 64 };

/* The last thing that a case does: it need not clean up. */
__attribute__((noreturn, format(printf, 1, 2))) static void say(
    const char* format, ...) {
  va_list arguments;

  va_start(arguments, format);
  vsnprintf(answer, LONGEST, format, arguments);
  va_end(arguments);
  _exit(0);
}

/* --- Both, behind one face ------------------------------------------------ */

static bool with_uv;
static uv_loop_t loop;
static uvsig_t sig;

struct watch {
  uv_signal_t uv;
  uvsig_watcher_t ours;
  unsigned long signals;
};

static void on_uv(uv_signal_t* handle, int signum) {
  (void) signum;
  ((struct watch*) handle->data)->signals++;
}

static void on_ours(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  (void) signum;
  ((struct watch*) w->data)->signals += info->count;
}

static void open_loop(void) {
  uvsig_options_t options;

  CHECK_EQ(uv_loop_init(&loop), 0);
  uvsig_options_init(&options);
  options.warn_on_full_buffer = 0;
  if (!with_uv)
    CHECK_EQ(uvsig_init(&loop, &sig, &options), 0);
}

static void init(struct watch* watch) {
  memset(watch, 0, sizeof(*watch));
  watch->uv.data = watch;
  watch->ours.data = watch;
  if (with_uv)
    CHECK_EQ(uv_signal_init(&loop, &watch->uv), 0);
  else
    CHECK_EQ(uvsig_watcher_init(&sig, &watch->ours), 0);
}

static void start(struct watch* watch, int signum) {
  if (with_uv)
    CHECK_EQ(uv_signal_start(&watch->uv, on_uv, signum), 0);
  else
    CHECK_EQ(uvsig_watcher_start(&watch->ours, on_ours, signum), 0);
}

static void start_oneshot(struct watch* watch, int signum) {
  if (with_uv)
    CHECK_EQ(uv_signal_start_oneshot(&watch->uv, on_uv, signum), 0);
  else
    CHECK_EQ(uvsig_watcher_start_oneshot(&watch->ours, on_ours, signum), 0);
}

static void stop(struct watch* watch) {
  if (with_uv)
    CHECK_EQ(uv_signal_stop(&watch->uv), 0);
  else
    CHECK_EQ(uvsig_watcher_stop(&watch->ours), 0);
}

static struct watch usr1, term;

static void watch_usr1(void) {
  open_loop();
  init(&usr1);
  start(&usr1, SIGUSR1);
}

/* --- The cases ------------------------------------------------------------ */

static void flood(void) {
  watch_usr1();
  init(&term);
  start(&term, SIGTERM);
  raise_times(SIGUSR1, FLOOD);
  raise(SIGTERM);
  run_idle(&loop);
}

static void flood_delivered(void) {
  flood();
  say("%lu", usr1.signals);
}

static void flood_then_sigterm(void) {
  flood();
  say("%s", term.signals == 1 ? "delivered" : "lost");
}

static void child_after_fork(void) {
  int status;
  pid_t child;

  watch_usr1();
  child = fork();
  if (child == 0) {
    raise(SIGUSR1);
    _exit(0);
  }
  CHECK_EQ(UNINTERRUPTED(waitpid(child, &status, 0)), child);
  run_idle(&loop);
  say("%s", usr1.signals > 0 ? "the parent's callback runs" : "no leak");
}

static void ignored_before(void) {
  struct sigaction action;

  CHECK_EQ(uvsig_ignore(SIGUSR1), UVSIG_DEFAULT);
  watch_usr1();
  stop(&usr1);
  CHECK_EQ(sigaction(SIGUSR1, NULL, &action), 0);
  say("%s", action.sa_handler == SIG_IGN ? "restored" : "left SIG_DFL");
}

static void blocked_before(void) {
  sigset_t set;

  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
  watch_usr1();
  raise(SIGUSR1);
  run_idle(&loop);
  say("%s", usr1.signals > 0 ? "delivered" : "the callback never runs");
}

static void oneshot_then_normal(void) {
  int i;

  open_loop();
  init(&usr1);
  start_oneshot(&usr1, SIGUSR1);
  raise(SIGUSR1);
  run_idle(&loop);
  start(&usr1, SIGUSR1);
  init(&term);
  start(&term, SIGTERM); /* keeps the loop alive */
  for (i = 0; i < 2; i++) {
    if (uvsig_getsignal(SIGUSR1) == UVSIG_DEFAULT)
      break; /* stopped again */
    raise(SIGUSR1);
    run_idle(&loop);
  }
  say("%s", usr1.signals == 3 ? "a normal one" : "stays one-shot");
}

static void raise_stop_start_raise(void) {
  watch_usr1();
  raise(SIGUSR1);
  stop(&usr1);
  start(&usr1, SIGUSR1);
  raise(SIGUSR1);
  run_idle(&loop);
  say("%lu", usr1.signals);
}

static uvsig_info_t last;

static void keep_info(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  (void) w;
  (void) signum;
  last = *info;
}

static void sender(void) {
  const union sigval value = {.sival_int = 42};
  uvsig_watcher_t watcher;

  if (with_uv)
    say("no"); /* uv_signal_cb is given the number, and nothing else */
  open_loop();
  CHECK_EQ(uvsig_watcher_init(&sig, &watcher), 0);
  CHECK_EQ(uvsig_watcher_start(&watcher, keep_info, SIGUSR1), 0);
  CHECK_EQ(uvsig_sigqueue(getpid(), SIGUSR1, value), 0);
  run_idle(&loop);
  say("%s",
      last.pid == getpid() && last.uid == getuid() && last.code == SI_QUEUE &&
              last.value.sival_int == 42
          ? "pid, uid, code, value"
          : "no");
}

static unsigned exits;

static void on_exit_of_child(uv_process_t* process,
                             int64_t status,
                             int signum) {
  (void) process;
  (void) status;
  (void) signum;
  exits++;
}

static void child_in_flood(void) {
  char name[] = "true";
  char* arguments[] = {name, NULL};
  uv_process_options_t options;
  uv_process_t process;
  siginfo_t info;

  watch_usr1();
  memset(&options, 0, sizeof(options));
  options.file = name;
  options.args = arguments;
  options.exit_cb = on_exit_of_child;
  /* Full before the child can end. */
  if (with_uv)
    raise_times(SIGUSR1, FLOOD);
  CHECK_EQ(uv_spawn(&loop, &process, &options), 0);
  raise_times(SIGUSR1, FLOOD);
  CHECK_EQ(UNINTERRUPTED(
               waitid(P_PID, (id_t) process.pid, &info, WEXITED | WNOWAIT)),
           0);
  run_idle(&loop);
  say("%s", exits == 1 ? "exit_cb runs" : "exit_cb never runs, a zombie stays");
}

static void watch_and_spawn(void) {
  char name[] = "true";
  char* arguments[] = {name, NULL};
  uv_process_options_t options;
  uv_process_t process;
  siginfo_t info;

  open_loop();
  init(&usr1);
  start(&usr1, SIGCHLD);
  memset(&options, 0, sizeof(options));
  options.file = name;
  options.args = arguments;
  options.exit_cb = on_exit_of_child;
  CHECK_EQ(uv_spawn(&loop, &process, &options), 0);
  CHECK_EQ(UNINTERRUPTED(
               waitid(P_PID, (id_t) process.pid, &info, WEXITED | WNOWAIT)),
           0);
  run_idle(&loop);
  say("%s", exits == 1 && usr1.signals == 1 ? "both told" : "not both told");
}

static const struct {
  const char* name;
  test_fn fn;
} cases[] = {
    {"100,000 SIGUSR1 while the loop is busy: delivered", flood_delivered},
    {"then one SIGTERM", flood_then_sigterm},
    {"a child raises the signal right after fork()", child_after_fork},
    {"SIG_IGN before; watch, then stop", ignored_before},
    {"blocked by the launcher, then start", blocked_before},
    {"a one-shot, later started normally", oneshot_then_normal},
    {"raise, stop, start, raise: callbacks", raise_stop_start_raise},
    {"who sent it", sender},
    {"a child of uv_spawn() that ends in a flood", child_in_flood},
    {"a watcher of SIGCHLD beside uv_spawn()", watch_and_spawn},
};

static const char* run(test_fn fn, bool uv) {
  with_uv = uv;
  strcpy(answer, "died");
  run_child(fn);
  return answer;
}

int main(void) {
  size_t i;

  answer = mmap(
      NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (answer == MAP_FAILED)
    return 1;
  printf(
      "| case | uv_signal_t, libuv %s | libuvsig %s |\n| --- | --- | --- |\n",
      uv_version_string(),
      uvsig_version_string());
  for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    printf("| %s | %s |", cases[i].name, run(cases[i].fn, true));
    printf(" %s |\n", run(cases[i].fn, false));
  }
  return 0;
}
