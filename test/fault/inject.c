/* SPDX-License-Identifier: MIT
 *
 * The functions that the library calls here in place of the system's: see
 * inject.h. They run wherever the library does, also in a signal handler, on
 * any thread, and in a child of fork(2).
 */

#include "../lib/harness.h"
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct fault_state* fault;
atomic_int fault_held;

#define NEVER(name, reason)
#define HAND(name)

#define CALL(kind, type, name, parameters, arguments, ...) #name,
#define PART(name, ...)                                    #name,
const char* const fault_names[FAULT_CALLS] = {
#include "calls.def"
};
#undef CALL
#undef PART

#define CALL(kind, type, name, parameters, arguments, ...)                     \
 (const int[]){__VA_ARGS__, 0},
#define PART(name, ...) (const int[]){__VA_ARGS__, 0},
const int* const fault_errors[FAULT_CALLS] = {
#include "calls.def"
};
#undef CALL
#undef PART
#undef HAND
#undef NEVER

#define CALL(kind, type, name, parameters, arguments, ...) #name,
#define PART(name, ...)
#define HAND(name)          #name,
#define NEVER(name, reason) #name,
static const char* const known[] = {
#include "calls.def"
};
#undef CALL
#undef PART
#undef HAND
#undef NEVER

bool fault_is_known(const char* name) {
  size_t i;

  for (i = 0; i < sizeof(known) / sizeof(*known); i++)
    if (strcmp(known[i], name) == 0)
      return true;
  return false;
}

void fault_share(void) {
  fault = mmap(NULL,
               sizeof(*fault),
               PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS,
               -1,
               0);
  CHECK(fault != MAP_FAILED);
}

void fault_begin(const struct fault_plan* plan) {
  memset(fault, 0, sizeof(*fault));
  fault->plan = *plan;
}

/* Count the call, and tell whether it is to fail, with errno set. */
static bool is_due(enum fault_call call) {
  const struct fault_plan* plan;
  unsigned n;

  /* The library has a constructor, which comes before all. */
  if (fault == NULL || !atomic_load(&fault->is_armed))
    return false;
  plan = &fault->plan;
  n = atomic_fetch_add(&fault->calls[call], 1) + 1;
  if (call != plan->call || plan->at == 0 || n < plan->at ||
      (n > plan->at && !plan->is_for_good) || atomic_load(&fault->is_lifted))
    return false;
  atomic_fetch_add(&fault->failed, 1);
  errno = plan->error;
  return true;
}

/* Has the call that has been made failed all the same? */
static int result_after(enum fault_call call, int result) {
  return is_due(call) ? -1 : result;
}

/* --- From calls.def ------------------------------------------------------- */

/* Parameters that glibc has types of its own for. */
#ifdef __GLIBC__
# define LIMIT __rlimit_resource_t
# define TIMER __itimer_which_t
#else
# define LIMIT int
# define TIMER int
#endif

#define FAIL_ERRNO(type, name, arguments)                                      \
 return is_due(FAULT_##name) ? (type) -1 : name arguments
#define FAIL_CODE(type, name, arguments)                                       \
 return is_due(FAULT_##name) ? (type) fault->plan.error : name arguments
#define FAIL_UV(type, name, arguments)                                         \
 return is_due(FAULT_##name) ? (type) -fault->plan.error : name arguments
#define FAIL_LATE(type, name, arguments)                                       \
 return result_after(FAULT_##name, name arguments)

#define HAND(name)
#define PART(name, ...)
#define NEVER(name, reason)
#define CALL(kind, type, name, parameters, arguments, ...)                     \
 type fault_##name parameters;                                                 \
 type fault_##name parameters {                                                \
  FAIL_##kind(type, name, arguments);                                          \
 }
#include "calls.def"
#undef CALL
#undef PART
#undef HAND
#undef NEVER

/* --- What the library holds ----------------------------------------------- */

static void* note(void* held) {
  if (held != NULL)
    atomic_fetch_add(&fault_held, 1);
  return held;
}

static void let_go(void) {
  atomic_fetch_sub(&fault_held, 1);
}

void* fault_malloc(size_t size);
void* fault_malloc(size_t size) {
  return is_due(FAULT_malloc) ? NULL : note(malloc(size));
}

void* fault_calloc(size_t count, size_t size);
void* fault_calloc(size_t count, size_t size) {
  return is_due(FAULT_calloc) ? NULL : note(calloc(count, size));
}

void* fault_realloc(void* old, size_t size);
void* fault_realloc(void* old, size_t size) {
  if (is_due(FAULT_realloc))
    return NULL;
  return old == NULL ? note(malloc(size)) : realloc(old, size);
}

char* fault_strdup(const char* text);
char* fault_strdup(const char* text) {
  return is_due(FAULT_strdup) ? NULL : note(strdup(text));
}

void fault_free(void* held);
void fault_free(void* held) {
  if (held != NULL)
    let_go();
  free(held);
}

FILE* fault_fopen(const char* path, const char* mode);
FILE* fault_fopen(const char* path, const char* mode) {
  return is_due(FAULT_fopen) ? NULL : note(fopen(path, mode));
}

int fault_fclose(FILE* file);
int fault_fclose(FILE* file) {
  let_go();
  return result_after(FAULT_fclose, fclose(file));
}

/* It may have allocated the line before it fails. */
ssize_t fault_getdelim(char** line, size_t* room, int end, FILE* file);
ssize_t fault_getdelim(char** line, size_t* room, int end, FILE* file) {
  bool had_line = *line != NULL;
  ssize_t n = is_due(FAULT_getdelim) ? -1 : getdelim(line, room, end, file);

  if (!had_line)
    note(*line);
  return n;
}

int fault_timer_create(clockid_t clock, struct sigevent* event, timer_t* timer);
int fault_timer_create(clockid_t clock,
                       struct sigevent* event,
                       timer_t* timer) {
  int result =
      is_due(FAULT_timer_create) ? -1 : timer_create(clock, event, timer);

  if (result == 0)
    note(timer);
  return result;
}

int fault_timer_delete(timer_t timer);
int fault_timer_delete(timer_t timer) {
  let_go();
  return timer_delete(timer);
}

static int note_made(void* object, int err) {
  if (err == 0)
    note(object);
  return err;
}

/* It cannot fail, but what has not been locked must not be unlocked. */
int fault_pthread_mutex_unlock(pthread_mutex_t* mutex);
int fault_pthread_mutex_unlock(pthread_mutex_t* mutex) {
  CHECK_EQ(pthread_mutex_trylock(mutex), EBUSY);
  return pthread_mutex_unlock(mutex);
}

int fault_uv_mutex_init(uv_mutex_t* mutex);
int fault_uv_mutex_init(uv_mutex_t* mutex) {
  return note_made(
      mutex,
      is_due(FAULT_uv_mutex_init) ? -fault->plan.error : uv_mutex_init(mutex));
}

void fault_uv_mutex_destroy(uv_mutex_t* mutex);
void fault_uv_mutex_destroy(uv_mutex_t* mutex) {
  let_go();
  uv_mutex_destroy(mutex);
}

int fault_uv_cond_init(uv_cond_t* cond);
int fault_uv_cond_init(uv_cond_t* cond) {
  return note_made(
      cond,
      is_due(FAULT_uv_cond_init) ? -fault->plan.error : uv_cond_init(cond));
}

void fault_uv_cond_destroy(uv_cond_t* cond);
void fault_uv_cond_destroy(uv_cond_t* cond) {
  let_go();
  uv_cond_destroy(cond);
}

int fault_signalfd(int fd, const sigset_t* set, int flags);
int fault_signalfd(int fd, const sigset_t* set, int flags) {
  return is_due(fd < 0 ? FAULT_signalfd : FAULT_signalfd_change)
             ? -1
             : signalfd(fd, set, flags);
}

pid_t fault_waitpid(pid_t pid, int* status, int flags);
pid_t fault_waitpid(pid_t pid, int* status, int flags) {
  return is_due((flags & WNOHANG) != 0 ? FAULT_waitpid_now : FAULT_waitpid)
             ? -1
             : waitpid(pid, status, flags);
}

/* --- Commands with an argument, or none ----------------------------------- */

int fault_open(const char* path, int flags, ...);
int fault_open(const char* path, int flags, ...) {
  return is_due(FAULT_open) ? -1 : open(path, flags); /* creates none */
}

static enum fault_call find_fcntl(int command) {
  switch (command) {
  case F_SETPIPE_SZ:
    return FAULT_fcntl_setpipe_sz;
  case F_GETPIPE_SZ:
    return FAULT_fcntl_getpipe_sz;
  case F_DUPFD_CLOEXEC:
    return FAULT_fcntl_dupfd;
  case F_SETFD:
    return FAULT_fcntl_setfd;
  case F_GETFL:
    return FAULT_fcntl_getfl;
  default:
    return FAULT_CALLS;
  }
}

int fault_fcntl(int fd, int command, ...);
int fault_fcntl(int fd, int command, ...) {
  va_list list;
  long argument;

  va_start(list, command);
  argument = va_arg(list, long);
  va_end(list);
  CHECK(find_fcntl(command) != FAULT_CALLS); /* or calls.def lacks it */
  return is_due(find_fcntl(command)) ? -1 : fcntl(fd, command, argument);
}

int fault_ioctl(int fd, unsigned long command, ...);
int fault_ioctl(int fd, unsigned long command, ...) {
  va_list list;
  void* argument;

  va_start(list, command);
  argument = va_arg(list, void*);
  va_end(list);
  return is_due(FAULT_ioctl) ? -1 : ioctl(fd, command, argument);
}

static enum fault_call find_syscall(long number) {
  switch (number) {
  case SYS_write:
    return FAULT_syscall_write;
  case SYS_sendto:
    return FAULT_syscall_sendto;
  case SYS_close_range:
    return FAULT_syscall_close_range;
  case SYS_pidfd_send_signal:
    return FAULT_syscall_pidfd_send_signal;
  case SYS_rt_tgsigqueueinfo:
    return FAULT_syscall_rt_tgsigqueueinfo;
  default:
    return FAULT_CALLS;
  }
}

/* Whatever the library's objects call it, and whatever is called then. */
#define __wrap_syscall fault_syscall
#define __real_syscall syscall
#include "../lib/wrap-syscall.h"

static bool refuses_syscall(long number, const long* arguments) {
  enum fault_call call = find_syscall(number);

  (void) arguments;
  /* The first cannot fail; the second is musl's sigtimedwait(): sigwait.c. */
  CHECK(call != FAULT_CALLS || number == SYS_gettid ||
        number == SYS_rt_sigtimedwait);
  return call != FAULT_CALLS && is_due(call);
}
