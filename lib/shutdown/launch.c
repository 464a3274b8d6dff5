/* SPDX-License-Identifier: MIT
 *
 * Starts a program as this process's successor: with the listening sockets, by
 * the protocol of sd_listen_fds(3), clean signals, and no other descriptor but
 * the standard ones. Runs in the loop thread, and between fork() and exec().
 */

#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
# include <sys/syscall.h>
#endif

extern char** environ;

enum { FIRST = 3 };

/* --- The environment ------------------------------------------------------ */

/* What the successor has of its own, or not at all. WATCHDOG_PID is this
 * process's. */
static const char* const own_names[] = {"LISTEN_PID",
                                        "LISTEN_FDS",
                                        "LISTEN_FDNAMES",
                                        "NOTIFY_SOCKET",
                                        "UVSIG_NOTIFY_SOCKET",
                                        "WATCHDOG_PID",
                                        "WATCHDOG_USEC"};
enum { OWN = sizeof(own_names) / sizeof(*own_names) };

static bool is_own(const struct uvsig__program* program, const char* variable) {
  size_t length = strcspn(variable, "=");
  int count = program->watchdog_us != 0 ? OWN : OWN - 1;
  int i;

  for (i = 0; i < count; i++)
    if (strlen(own_names[i]) == length &&
        memcmp(own_names[i], variable, length) == 0)
      return true;
  return false;
}

/* One piece of memory: the pointers, and behind them what is new. */
struct environment {
  char** variables;
  char** next; /* of them, to be written ... */
  char* at;    /* ... and where its text goes */
  char* pid;   /* of LISTEN_PID: for the child to write */
};

enum { PID_DIGITS = 20 };

__attribute__((format(printf, 2, 3))) static void add_variable(
    struct environment* environment, const char* format, ...) {
  va_list arguments;

  *environment->next++ = environment->at;
  va_start(arguments, format);
  environment->at += vsprintf(environment->at, format, arguments) + 1;
  va_end(arguments);
}

static bool make_environment(const struct uvsig__program* program,
                             struct environment* environment) {
  size_t count = OWN + 1;
  size_t text_size = 256 + strlen(program->names) +
                     strlen(program->notify_socket) +
                     strlen(program->service_socket);
  char** from;

  for (from = environ; from != NULL && *from != NULL; from++)
    count++;
  environment->variables =
      malloc(count * sizeof(*environment->variables) + text_size);
  if (environment->variables == NULL)
    return false;
  environment->next = environment->variables;
  environment->at = (char*) (environment->variables + count);
  for (from = environ; from != NULL && *from != NULL; from++)
    if (!is_own(program, *from))
      *environment->next++ = *from;
  add_variable(environment, "LISTEN_PID=%*d", PID_DIGITS, 0);
  environment->pid = environment->at - (PID_DIGITS + 1);
  add_variable(environment, "LISTEN_FDS=%zu", program->count);
  add_variable(environment, "LISTEN_FDNAMES=%s", program->names);
  add_variable(environment, "NOTIFY_SOCKET=%s", program->notify_socket);
  add_variable(environment, "UVSIG_NOTIFY_SOCKET=%s", program->service_socket);
  if (program->watchdog_us != 0)
    add_variable(environment, "WATCHDOG_USEC=%" PRIu64, program->watchdog_us);
  *environment->next = NULL;
  return true;
}

/* --- Between fork() and exec(): only what is async-signal-safe ------------ */

static void write_pid(char* at) {
  char digits[PID_DIGITS];
  int n = 0;
  pid_t pid = getpid();

  for (; pid > 0; pid /= 10)
    digits[n++] = (char) ('0' + pid % 10);
  while (n > 0)
    *at++ = digits[--n];
  *at = 0;
}

/* Every descriptor from this one on. */
static void set_close_on_exec(int first) {
  int fd;
  long end;

#if defined(__linux__) && defined(SYS_close_range)
  const unsigned close_on_exec = 4; /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */

  if (syscall(SYS_close_range, first, ~0u, close_on_exec) == 0)
    return;
#endif
  end = sysconf(_SC_OPEN_MAX);
  for (fd = first; fd < end; fd++)
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* Have the sockets as 3 and so on, and move `*report` out of their way. `moved`
 * is room for them: some may be in the place of others. */
static bool place_fds(const struct uvsig__program* program,
                      int* moved,
                      int* report) {
  int end = FIRST + (int) program->count;
  int fd = fcntl(*report, F_DUPFD_CLOEXEC, end);
  size_t i;

  if (fd < 0)
    return false;
  *report = fd;
  for (i = 0; i < program->count; i++) {
    moved[i] = fcntl(program->fds[i], F_DUPFD_CLOEXEC, end);
    if (moved[i] < 0)
      return false;
  }
  for (i = 0; i < program->count; i++)
    if (dup2(moved[i], FIRST + (int) i) < 0)
      return false;
  set_close_on_exec(end);
  return true;
}

static _Noreturn void run_child(const struct uvsig__program* program,
                                const struct environment* environment,
                                int* moved,
                                int report) {
  int error;

  write_pid(environment->pid);
  if (place_fds(program, moved, &report)) {
    uvsig_before_exec();
    execve(program->file, program->args, environment->variables);
  }
  error = errno;
  (void) !write(report, &error, sizeof(error));
  _exit(127);
}

/* --- In this process ------------------------------------------------------ */

/* Why the child has not come to exec(), or 0: its end is closed by then. */
static int read_report(int fd) {
  int error = 0;
  ssize_t n;

  do
    n = read(fd, &error, sizeof(error));
  while (n < 0 && errno == EINTR);
  return n == (ssize_t) sizeof(error) ? UVSIG__ERR(error) : 0;
}

static int fork_child(const struct uvsig__program* program,
                      const struct environment* environment,
                      int* moved,
                      uv_pid_t* pid) {
  int report[2];
  int err = uv_pipe(report, 0, 0); /* close-on-exec, also without pipe2() */

  if (err != 0)
    return err;
  *pid = fork();
  err = *pid < 0 ? UVSIG__ERR(errno) : 0;
  if (*pid == 0)
    run_child(program, environment, moved, report[1]);
  close(report[1]);
  if (err == 0)
    err = read_report(report[0]);
  close(report[0]);
  if (err != 0 && *pid > 0)
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
      ;
  return err;
}

/* Start it. An error says why it was not executed. */
int uvsig__launch(const struct uvsig__program* program, uv_pid_t* pid) {
  struct environment environment = {.variables = NULL};
  int* moved = malloc((program->count + 1) * sizeof(*moved));
  int err = UV_ENOMEM;

  if (moved != NULL && make_environment(program, &environment))
    err = fork_child(program, &environment, moved, pid);
  free(environment.variables);
  free(moved);
  return err;
}

/* --- This program itself -------------------------------------------------- */

/* The file has a null byte behind each. */
static int read_args(char*** args) {
  FILE* file = fopen("/proc/self/cmdline", "re");
  char** list = NULL;
  char** larger;
  size_t count = 0;
  size_t room;
  int err;

  if (file == NULL)
    return errno == ENOENT ? UV_ENOTSUP : UVSIG__ERR(errno);
  for (;; count++) {
    larger = realloc(list, (count + 1) * sizeof(*list));
    if (larger == NULL)
      break;
    list = larger;
    list[count] = NULL;
    room = 0;
    if (getdelim(&list[count], &room, 0, file) < 0)
      break;
  }
  if (larger != NULL) {
    free(list[count]); /* there is none, but there may be memory for it */
    list[count] = NULL;
  }
  err = larger == NULL || !feof(file) ? UV_ENOMEM : 0;
  fclose(file);
  if (err == 0 && count > 0) {
    *args = list;
    return 0;
  }
  while (count > 0)
    free(list[--count]);
  free(list);
  return err != 0 ? err : UV_ENOTSUP;
}

static int read_path(const char** path) {
  char text[4096];
  size_t size = sizeof(text);
  int err = uv_exepath(text, &size);

  if (err != 0)
    return err;
  *path = strdup(text);
  return *path != NULL ? 0 : UV_ENOMEM;
}

/* How this program was started: its file, and its arguments. Read once, and
 * kept: a new release may take the file's place later, under the same name. */
int uvsig__own_program(const char** file, char*** args) {
  static const char* own_file;
  static char** own_args;
  int err = 0;

  uvsig__lock();
  if (*file == NULL && own_file == NULL)
    err = read_path(&own_file);
  if (err == 0 && *args == NULL && own_args == NULL)
    err = read_args(&own_args);
  if (*file == NULL)
    *file = own_file;
  if (*args == NULL)
    *args = own_args;
  uvsig__unlock();
  return err;
}
