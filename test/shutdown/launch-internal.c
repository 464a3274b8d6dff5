/* SPDX-License-Identifier: MIT
 *
 * How a successor is started: its environment and its descriptors, and each call
 * on the way that fails, in this process and in the child before exec(). And
 * how this program was started itself. Linked with --wrap: one call fails, and
 * the memory that the library allocates ends where no more may be written. This
 * program is the successor, too.
 */

#include "../lib/harness.h"

#include "../../lib/shutdown/launch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/wrap-syscall.h"

extern char** environ;

enum { FIRST = 3, MOST_FDS = 64 };

/* --- The successor -------------------------------------------------------- */

static bool begins_with(const char* text, const char* start) {
  return strncmp(text, start, strlen(start)) == 0;
}

/* Its variables of interest, and its descriptors. */
static int tell(void) {
  char pid[32];
  struct stat status;
  char** variable;
  int fd;

  snprintf(pid, sizeof(pid), "LISTEN_PID=%ld", (long) getpid());
  for (variable = environ; *variable != NULL; variable++)
    if (strcmp(*variable, pid) == 0)
      printf("LISTEN_PID is right\n");
    else if (begins_with(*variable, "LISTEN_") ||
             begins_with(*variable, "NOTIFY_") ||
             begins_with(*variable, "UVSIG_") ||
             begins_with(*variable, "WATCHDOG_"))
      printf("%s\n", *variable);
  for (fd = FIRST; fd < 1024; fd++)
    if (fstat(fd, &status) == 0)
      printf("%d is %llu\n", fd, (unsigned long long) status.st_ino);
  return 0;
}

/* --- What the library calls ----------------------------------------------- */

enum call {
  NONE,
  ALLOCATE,
  STRDUP,
  GETDELIM,
  FOPEN,
  EXEPATH,
  PIPE,
  FORK,
  DUP_FD,
  DUP2,
  READ,
  WAITPID,
  CLOSE_RANGE,
  SET_FD,
  CALLS
};
/* The nth of them fails, once. */
static struct {
  enum call call;
  int nth;
  int error;
  bool is_armed;
} plan;
static atomic_int* calls; /* the child's, too */
static int held;          /* blocks of memory, and streams */
static int status_of_child;
static const char* arguments_file; /* in place of the system's */

static bool fails(enum call call) {
  if (!plan.is_armed)
    return false;
  atomic_fetch_add(&calls[call], 1);
  if (plan.call != call || plan.nth != atomic_load(&calls[call]))
    return false;
  errno = plan.error;
  return true;
}

static void* note(void* made) {
  if (plan.is_armed && made != NULL)
    held++;
  return made;
}

/* Memory whose end is that of a page: the next one cannot be written. */
static struct {
  char* at;
  size_t size;
  char* pages;
  size_t mapped;
} fenced[8];

static void* allocate_fenced(size_t size) {
  size_t page = (size_t) sysconf(_SC_PAGESIZE);
  size_t whole = (size + page - 1) / page * page;
  size_t i = 0;

  while (fenced[i].at != NULL)
    CHECK(++i < sizeof(fenced) / sizeof(*fenced));
  fenced[i].size = size;
  fenced[i].mapped = whole + page;
  fenced[i].pages = mmap(NULL,
                         fenced[i].mapped,
                         PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS,
                         -1,
                         0);
  CHECK(fenced[i].pages != MAP_FAILED);
  CHECK_EQ(mprotect(fenced[i].pages + whole, page, PROT_NONE), 0);
  fenced[i].at = fenced[i].pages + (whole - size) / 8 * 8;
  memset(fenced[i].at, 0xa5, size); /* as malloc() may leave it */
  return fenced[i].at;
}

/* Returns its size, or 0: it is none. */
static size_t size_of_fenced(const void* at) {
  size_t i;

  for (i = 0; i < sizeof(fenced) / sizeof(*fenced); i++)
    if (at != NULL && fenced[i].at == at)
      return fenced[i].size;
  return 0;
}

static void free_fenced(const void* at) {
  size_t i = 0;

  while (fenced[i].at != at)
    i++;
  munmap(fenced[i].pages, fenced[i].mapped);
  fenced[i].at = NULL;
}

void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size);

/* A sanitizer has its own way to see to it, and looks for leaks. */
static void* allocate(size_t size) {
  return has_sanitizer() ? __real_malloc(size) : allocate_fenced(size);
}

EARLY void* __wrap_malloc(size_t size) {
  if (!plan.is_armed)
    return __real_malloc(size);
  /* Of no bytes there is none, as C lets it be. */
  return fails(ALLOCATE) || size == 0 ? NULL : note(allocate(size));
}

/* A compiler may call malloc() for the first one. */
void* __real_realloc(void* old, size_t size);
void* __wrap_realloc(void* old, size_t size);
EARLY void* __wrap_realloc(void* old, size_t size) {
  size_t old_size = size_of_fenced(old);
  void* larger;

  if (!plan.is_armed)
    return __real_realloc(old, size);
  if (fails(ALLOCATE))
    return NULL;
  if (old == NULL)
    return note(allocate(size));
  if (old_size == 0)
    return __real_realloc(old, size);
  larger = allocate(size);
  CHECK(old_size <= size);
  memcpy(larger, old, old_size);
  free_fenced(old);
  return larger;
}

void __real_free(void* at);
void __wrap_free(void* at);
EARLY void __wrap_free(void* at) {
  if (plan.is_armed && at != NULL)
    held--;
  if (size_of_fenced(at) > 0)
    free_fenced(at);
  else
    __real_free(at);
}

char* __real_strdup(const char* text);
char* __wrap_strdup(const char* text);
char* __wrap_strdup(const char* text) {
  return fails(STRDUP) ? NULL : note(__real_strdup(text));
}

/* It may have memory for the line when it fails. */
ssize_t __real_getdelim(char** line, size_t* room, int end, FILE* file);
ssize_t __wrap_getdelim(char** line, size_t* room, int end, FILE* file);
ssize_t __wrap_getdelim(char** line, size_t* room, int end, FILE* file) {
  ssize_t n = fails(GETDELIM) ? -1 : __real_getdelim(line, room, end, file);

  if (n < 0 && *line == NULL) {
    *line = __real_malloc(1);
    *room = 1;
  }
  note(*line);
  return n;
}

FILE* __real_fopen(const char* path, const char* mode);
FILE* __wrap_fopen(const char* path, const char* mode);
FILE* __wrap_fopen(const char* path, const char* mode) {
  if (fails(FOPEN))
    return NULL;
  if (plan.is_armed && arguments_file != NULL)
    path = arguments_file;
  return note(__real_fopen(path, mode));
}

int __real_fclose(FILE* file);
int __wrap_fclose(FILE* file);
int __wrap_fclose(FILE* file) {
  if (plan.is_armed)
    held--;
  return __real_fclose(file);
}

int __real_uv_exepath(char* to, size_t* size);
int __wrap_uv_exepath(char* to, size_t* size);
int __wrap_uv_exepath(char* to, size_t* size) {
  return fails(EXEPATH) ? -plan.error : __real_uv_exepath(to, size);
}

int __real_uv_pipe(uv_file fds[2], int reading, int writing);
int __wrap_uv_pipe(uv_file fds[2], int reading, int writing);
int __wrap_uv_pipe(uv_file fds[2], int reading, int writing) {
  CHECK_EQ(reading | writing, 0); /* this process waits for the child */
  return fails(PIPE) ? -plan.error : __real_uv_pipe(fds, reading, writing);
}

pid_t __real_fork(void);
pid_t __wrap_fork(void);
pid_t __wrap_fork(void) {
  return fails(FORK) ? -1 : __real_fork();
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
EARLY int __wrap_fcntl(int fd, int command, ...) {
  va_list list;
  long argument;

  va_start(list, command);
  argument = va_arg(list, long);
  va_end(list);
  if ((command == F_DUPFD_CLOEXEC && fails(DUP_FD)) ||
      (command == F_SETFD && fails(SET_FD)))
    return -1;
  return __real_fcntl(fd, command, argument);
}

int __real_dup2(int from, int to);
int __wrap_dup2(int from, int to);
EARLY int __wrap_dup2(int from, int to) {
  return fails(DUP2) ? -1 : __real_dup2(from, to);
}

ssize_t __real_read(int fd, void* to, size_t size);
ssize_t __wrap_read(int fd, void* to, size_t size);
EARLY ssize_t __wrap_read(int fd, void* to, size_t size) {
  return fails(READ) ? -1 : __real_read(fd, to, size);
}

/* The library does not look at the status, but the test does. */
pid_t __real_waitpid(pid_t pid, int* status, int flags);
pid_t __wrap_waitpid(pid_t pid, int* status, int flags);
EARLY pid_t __wrap_waitpid(pid_t pid, int* status, int flags) {
  if (!plan.is_armed)
    return __real_waitpid(pid, status, flags);
  return fails(WAITPID) ? -1 : __real_waitpid(pid, &status_of_child, flags);
}

static bool refuses_syscall(long number, const long* arguments) {
  (void) arguments;
#ifdef SYS_close_range
  if (number == SYS_close_range)
    return fails(CLOSE_RANGE);
#endif
  (void) number;
  return false;
}

/* --- A start -------------------------------------------------------------- */

static char self[4096];
static struct uvsig__program program;
static int fds[MOST_FDS];
static int told[2]; /* standard output of the successor */
static uv_pid_t pid;

static void prepare(void) {
  static char role[] = "tell";
  static char* args[] = {self, role, NULL};

  calls = mmap(NULL,
               CALLS * sizeof(*calls),
               PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS,
               -1,
               0);
  CHECK(calls != MAP_FAILED);
  CHECK_EQ(pipe2(told, O_CLOEXEC), 0);
  program = (struct uvsig__program){.file = self,
                                    .args = args,
                                    .fds = fds,
                                    .names = "",
                                    .notify_socket = "@ready",
                                    .service_socket = "/run/service"};
}

static void let_fail(enum call call, int nth, int error) {
  plan.call = call;
  plan.nth = nth;
  plan.error = error;
}

static int launch(void) {
  int saved = dup(STDOUT_FILENO);
  int opened;
  int err;
  int i;

  CHECK(saved >= 0);
  CHECK_EQ(fcntl(saved, F_SETFD, FD_CLOEXEC), 0);
  CHECK_EQ(dup2(told[1], STDOUT_FILENO), STDOUT_FILENO);
  opened = open_fds();
  for (i = 0; i < CALLS; i++)
    atomic_store(&calls[i], 0);
  held = 0;
  plan.is_armed = true;
  err = uvsig__launch(&program, &pid);
  plan.is_armed = false;
  CHECK_EQ(held, 0);
  CHECK_EQ(open_fds(), opened);
  CHECK_EQ(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
  CHECK_EQ(close(saved), 0);
  return err;
}

static void end(void) {
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
  CHECK_EQ(errno, ECHILD);
  CHECK_EQ(close(told[0]), 0);
  if (told[1] >= 0)
    CHECK_EQ(close(told[1]), 0);
}

static void add_line(char* text, const char* format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_line(char* text, const char* format, ...) {
  va_list arguments;

  va_start(arguments, format);
  vsnprintf(text + strlen(text), 1024, format, arguments);
  va_end(arguments);
}

/* All that it tells, to its end. */
static void expect_told(const char* expected) {
  char text[8192];
  size_t length = 0;
  int status;
  ssize_t n;

  CHECK_EQ(close(told[1]), 0);
  told[1] = -1;
  while ((n = UNINTERRUPTED(
              read(told[0], text + length, sizeof(text) - length - 1))) > 0)
    length += (size_t) n;
  CHECK_EQ(n, 0);
  text[length] = 0;
  CHECK_STR(text, expected);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, &status, 0)), pid);
  CHECK_EQ(status, 0);
}

/* What it is given, if all is as it is prepared. */
static const char plain[] = "LISTEN_PID is right\n"
                            "LISTEN_FDS=0\n"
                            "LISTEN_FDNAMES=\n"
                            "NOTIFY_SOCKET=@ready\n"
                            "UVSIG_NOTIFY_SOCKET=/run/service\n";

/* --- The environment ------------------------------------------------------ */

static void set_all(void) {
  static const char* const own[] = {"LISTEN_PID",
                                    "LISTEN_FDS",
                                    "LISTEN_FDNAMES",
                                    "NOTIFY_SOCKET",
                                    "UVSIG_NOTIFY_SOCKET",
                                    "WATCHDOG_PID",
                                    "WATCHDOG_USEC"};
  size_t i;

  CHECK_EQ(clearenv(), 0);
  CHECK_EQ(setenv("LISTEN_FDX", "as long", 1), 0);
  for (i = 0; i < sizeof(own) / sizeof(*own); i++)
    CHECK_EQ(setenv(own[i], "1", 1), 0);
  CHECK_EQ(setenv("LISTEN_FD", "shorter", 1), 0);
  CHECK_EQ(setenv("WATCHDOG_USECS", "longer", 1), 0);
}

static void what_is_the_librarys_is_set_anew(void) {
  char expected[1024] = "LISTEN_FDX=as long\n"
                        "WATCHDOG_USEC=1\n"
                        "LISTEN_FD=shorter\n"
                        "WATCHDOG_USECS=longer\n";

  prepare();
  set_all();
  CHECK_EQ(launch(), 0);
  add_line(expected, "%s", plain);
  expect_told(expected);
  end();
}

static void the_watchdogs_too_where_it_is_known(void) {
  char expected[1024] = "LISTEN_FDX=as long\n"
                        "LISTEN_FD=shorter\n"
                        "WATCHDOG_USECS=longer\n";

  prepare();
  set_all();
  program.watchdog_us = 1;
  CHECK_EQ(launch(), 0);
  add_line(expected, "%sWATCHDOG_USEC=1\n", plain);
  expect_told(expected);
  end();
}

static void without_an_environment_that_is_all(void) {
  prepare();
  CHECK_EQ(clearenv(), 0);
  CHECK_EQ(launch(), 0);
  expect_told(plain);
  end();
}

/* There is room for each of them. */
static void its_values_may_be_long(void) {
  char expected[4096] = "LISTEN_FDX=kept\nLISTEN_PID is right\nLISTEN_FDS=0\n";
  char names[600];
  char ready[200];
  char service[300];

  prepare();
  CHECK_EQ(clearenv(), 0);
  CHECK_EQ(setenv("LISTEN_FDX", "kept", 1), 0);
  memset(names, 'n', sizeof(names));
  memset(ready, 'r', sizeof(ready));
  memset(service, 's', sizeof(service));
  names[sizeof(names) - 1] = 0;
  ready[sizeof(ready) - 1] = 0;
  service[sizeof(service) - 1] = 0;
  program.names = names;
  program.notify_socket = ready;
  program.service_socket = service;
  program.watchdog_us = UINT64_MAX;
  CHECK_EQ(launch(), 0);
  add_line(expected, "LISTEN_FDNAMES=%s\n", names);
  add_line(expected, "NOTIFY_SOCKET=%s\n", ready);
  add_line(expected, "UVSIG_NOTIFY_SOCKET=%s\n", service);
  add_line(expected, "WATCHDOG_USEC=18446744073709551615\n");
  expect_told(expected);
  end();
}

/* --- Descriptors ---------------------------------------------------------- */

static unsigned long long inode_of(int fd) {
  struct stat status;

  CHECK_EQ(fstat(fd, &status), 0);
  return (unsigned long long) status.st_ino;
}

static void expect_fds(size_t count) {
  char expected[4096] = "LISTEN_PID is right\n";
  size_t i;

  add_line(expected, "LISTEN_FDS=%zu\n", count);
  add_line(expected, "LISTEN_FDNAMES=\n");
  add_line(expected, "NOTIFY_SOCKET=@ready\n");
  add_line(expected, "UVSIG_NOTIFY_SOCKET=/run/service\n");
  for (i = 0; i < count; i++)
    add_line(expected, "%d is %llu\n", FIRST + (int) i, inode_of(fds[i]));
  expect_told(expected);
}

/* Some that exec() does not close, as it is here: at their places, but not in
 * order, and beyond. */
static void open_many(size_t count) {
  size_t i;
  int fd;

  CHECK_EQ(clearenv(), 0);
  for (i = 0; i < count; i++) {
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    fds[count - 1 - i] = fd;
  }
  program.count = count;
}

static void close_many(void) {
  while (program.count > 0)
    CHECK_EQ(close(fds[--program.count]), 0);
}

static void sockets_may_be_in_each_others_place(void) {
  prepare();
  open_many(9);
  CHECK_EQ(launch(), 0);
  CHECK_EQ(atomic_load(&calls[CLOSE_RANGE]), 1);
  expect_fds(9);
  close_many();
  end();
}

static void all_others_are_closed_by_one_call(void) {
  int high;

  prepare();
  open_many(1);
  high = dup2(fds[0], 500);
  CHECK_EQ(high, 500);
  CHECK_EQ(launch(), 0);
  CHECK_EQ(atomic_load(&calls[CLOSE_RANGE]), 1);
  CHECK_EQ(atomic_load(&calls[SET_FD]), 0);
  expect_fds(1);
  CHECK_EQ(close(high), 0);
  close_many();
  end();
}

static void or_one_by_one_where_it_is_refused(void) {
  int high;

  prepare();
  open_many(2);
  high = dup2(fds[0], 500);
  CHECK_EQ(high, 500);
  let_fail(CLOSE_RANGE, 1, EINVAL);
  CHECK_EQ(launch(), 0);
  CHECK(atomic_load(&calls[SET_FD]) > 500);
  expect_fds(2);
  CHECK_EQ(close(high), 0);
  close_many();
  end();
}

/* --- What fails ----------------------------------------------------------- */

static void check_failure(enum call call, int nth, int error) {
  prepare();
  open_many(2);
  let_fail(call, nth, error);
  CHECK_EQ(launch(), -error);
  close_many();
  end();
}

static void without_memory_there_is_none(void) {
  check_failure(ALLOCATE, 1, ENOMEM);
  check_failure(ALLOCATE, 2, ENOMEM);
}

static void nor_without_a_pipe(void) {
  check_failure(PIPE, 1, EMFILE);
}

static void nor_without_a_process(void) {
  check_failure(FORK, 1, EAGAIN);
}

/* The child says why, ends, and is waited for. */
static void check_failure_in_child(enum call call, int nth, int error) {
  check_failure(call, nth, error);
  CHECK(WIFEXITED(status_of_child));
  CHECK_EQ(WEXITSTATUS(status_of_child), 127);
}

static void nor_where_the_sockets_cannot_be_placed(void) {
  int i;

  for (i = 1; i <= 3; i++)
    check_failure_in_child(DUP_FD, i, EMFILE);
  for (i = 1; i <= 2; i++)
    check_failure_in_child(DUP2, i, EBUSY);
}

static void nor_where_there_is_no_such_file(void) {
  prepare();
  program.file = "/nonexistent/server";
  CHECK_EQ(launch(), UV_ENOENT);
  CHECK_EQ(WEXITSTATUS(status_of_child), 127);
  end();
}

static void what_is_interrupted_goes_on(void) {
  prepare();
  program.file = "/nonexistent/server";
  let_fail(READ, 1, EINTR);
  CHECK_EQ(launch(), UV_ENOENT);
  let_fail(WAITPID, 1, EINTR);
  CHECK_EQ(launch(), UV_ENOENT);
  end();
}

static void also_where_all_is_well(void) {
  prepare();
  CHECK_EQ(clearenv(), 0);
  let_fail(READ, 1, EINTR);
  CHECK_EQ(launch(), 0);
  CHECK_EQ(atomic_load(&calls[READ]), 2);
  expect_told(plain);
  end();
}

/* The program ignores SIGCHLD, say: the system has waited for it. */
static void what_cannot_be_waited_for_is_not(void) {
  prepare();
  program.file = "/nonexistent/server";
  let_fail(WAITPID, 1, ECHILD);
  CHECK_EQ(launch(), UV_ENOENT);
  CHECK_EQ(UNINTERRUPTED(waitpid(pid, NULL, 0)), pid);
  end();
}

/* It has come to exec(), as far as this process knows. */
static void what_cannot_be_read_is_not_waited_for(void) {
  prepare();
  CHECK_EQ(clearenv(), 0);
  let_fail(READ, 1, EIO);
  CHECK_EQ(launch(), 0);
  expect_told(plain);
  end();
}

/* --- This program itself -------------------------------------------------- */

static const char* file;
static char** args;

static int ask(void) {
  int err;
  int i;

  file = NULL;
  args = NULL;
  for (i = 0; i < CALLS; i++)
    atomic_store(&calls[i], 0);
  held = 0;
  plan.is_armed = true;
  err = uvsig__own_program(&file, &args);
  plan.is_armed = false;
  return err;
}

static void check_known(void) {
  CHECK_STR(file, self);
  CHECK(args != NULL && args[0] != NULL);
  CHECK(args[1] == NULL); /* the tests have no arguments */
}

/* And what is asked for again is the same. */
static void this_program_is_known_once(void) {
  const char* given = "given";
  char* none = NULL;
  char** given_args = &none;
  const char* kept;

  prepare();
  CHECK_EQ(ask(), 0);
  check_known();
  kept = file;
  let_fail(EXEPATH, 1, ENOENT);
  CHECK_EQ(ask(), 0);
  let_fail(FOPEN, 1, EACCES);
  CHECK_EQ(ask(), 0);
  CHECK(file == kept);
  check_known();
  CHECK_EQ(uvsig__own_program(&given, &given_args), 0);
  CHECK_STR(given, "given");
  CHECK(given_args == &none);
  end();
}

static void what_is_given_is_not_asked_for(void) {
  const char* given = "given";
  char* none = NULL;
  char** given_args = &none;

  prepare();
  plan.is_armed = true;
  let_fail(EXEPATH, 1, ENOENT);
  CHECK_EQ(uvsig__own_program(&given, &args), 0);
  CHECK_STR(given, "given");
  CHECK(args != NULL && args[0] != NULL && args[1] == NULL);
  atomic_store(&calls[FOPEN], 0);
  let_fail(FOPEN, 1, EACCES);
  CHECK_EQ(uvsig__own_program(&file, &given_args), 0);
  plan.is_armed = false;
  CHECK_STR(file, self);
  CHECK(given_args == &none);
  end();
}

/* Refused, and so much is kept. */
static void check_unknown(
    enum call call, int nth, int error, int code, int kept) {
  let_fail(call, nth, error);
  CHECK_EQ(ask(), code);
  CHECK(args == NULL);
  CHECK_EQ(held, kept);
  let_fail(NONE, 0, 0);
}

static void its_file_may_be_unknown(void) {
  prepare();
  check_unknown(EXEPATH, 1, ENOENT, UV_ENOENT, 0);
  check_unknown(STRDUP, 1, ENOMEM, UV_ENOMEM, 0);
  CHECK_EQ(ask(), 0);
  check_known();
  end();
}

static void its_arguments_may_be_unknown(void) {
  char path[] = "/tmp/uvsig-launch-XXXXXX";
  int fd = mkstemp(path);
  int i;

  CHECK(fd >= 0);
  prepare();
  check_unknown(FOPEN, 1, ENOENT, UV_ENOTSUP, 1); /* but for its file */
  check_unknown(FOPEN, 1, EACCES, UV_EACCES, 0);
  for (i = 1; i <= 2; i++) {
    check_unknown(ALLOCATE, i, ENOMEM, UV_ENOMEM, 0);
    check_unknown(GETDELIM, i, ENOMEM, UV_ENOMEM, 0);
  }
  arguments_file = path; /* empty, as a kernel thread's */
  check_unknown(NONE, 0, 0, UV_ENOTSUP, 0);
  CHECK_EQ(write(fd, "a\0bc\0\0d\0", 8), 8);
  CHECK_EQ(ask(), 0);
  CHECK_STR(args[0], "a");
  CHECK_STR(args[1], "bc");
  CHECK_STR(args[2], "");
  CHECK_STR(args[3], "d");
  CHECK(args[4] == NULL);
  CHECK_EQ(held, 5); /* the list, and each of them */
  CHECK_EQ(close(fd), 0);
  CHECK_EQ(unlink(path), 0);
  end();
}

int main(int argc, char** argv) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_the_librarys_is_set_anew),
      TEST(the_watchdogs_too_where_it_is_known),
      TEST(without_an_environment_that_is_all),
      TEST(its_values_may_be_long),
      TEST(sockets_may_be_in_each_others_place),
      TEST(all_others_are_closed_by_one_call),
      TEST(or_one_by_one_where_it_is_refused),
      TEST(without_memory_there_is_none),
      TEST(nor_without_a_pipe),
      TEST(nor_without_a_process),
      TEST(nor_where_the_sockets_cannot_be_placed),
      TEST(nor_where_there_is_no_such_file),
      TEST(what_is_interrupted_goes_on),
      TEST(also_where_all_is_well),
      TEST(what_cannot_be_waited_for_is_not),
      TEST(what_cannot_be_read_is_not_waited_for),
      TEST(this_program_is_known_once),
      TEST(what_is_given_is_not_asked_for),
      TEST(its_file_may_be_unknown),
      TEST(its_arguments_may_be_unknown),
  };

  if (argc > 1)
    return tell();
  if (realpath(argv[0], self) == NULL)
    return 1;
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
