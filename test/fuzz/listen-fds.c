/* SPDX-License-Identifier: MIT
 *
 * uvsig_listen_fds(). The lines of an input:
 *   1. LISTEN_PID, where "$" is this process, and "-" as in the others: not set
 *   2. LISTEN_FDS
 *   3. the descriptors from 3 on: l listens, s is another socket, f a file, any
 *      other character is none
 *   4. how many there is room for, and "N" in place of that: no array
 *   5. LISTEN_FDNAMES, the rest
 */

#include "fuzz.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <uvsig.h>

enum { FIRST = 3, MOST = 12, KEPT = 100 };

static const char* const variables[] = {
    "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};

static char kinds[MOST + 1];
static char* values[3];
static int flags[MOST]; /* of each descriptor, or -1 */
static uvsig_listen_fd_t* fds;
static size_t room;

/* --- The descriptors ------------------------------------------------------ */

/* One of each kind, far from where they are handed over. */
static void keep(int fd, int number) {
  CHECK(fd >= 0);
  CHECK(dup2(fd, number) == number);
  close(fd);
}

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  struct sockaddr_un any = {.sun_family = AF_UNIX};
  int i;

  (void) argc;
  (void) argv;
  for (i = FIRST; i < FIRST + MOST; i++)
    close(i); /* what the shell may have left */
  keep(socket(AF_UNIX, SOCK_STREAM, 0), KEPT);
  keep(socket(AF_UNIX, SOCK_STREAM, 0), KEPT + 1);
  keep(open("/dev/null", O_RDWR), KEPT + 2);
  /* Bound to a name of the kernel's choice. Nobody connects. */
  CHECK(bind(KEPT, (struct sockaddr*) &any, sizeof(any.sun_family)) == 0);
  CHECK(listen(KEPT, 1) == 0);
  return 0;
}

static void hand_over(const char* line) {
  static const char known[] = "lsf";
  const char* kind;
  int i;

  memset(kinds, 0, sizeof(kinds));
  strncpy(kinds, line, MOST);
  for (i = 0; i < MOST; i++) {
    kind = kinds[i] != 0 ? strchr(known, kinds[i]) : NULL;
    if (kind != NULL)
      CHECK(dup2(KEPT + (int) (kind - known), FIRST + i) == FIRST + i);
    flags[i] = fcntl(FIRST + i, F_GETFD);
    CHECK(flags[i] == (kind != NULL ? 0 : -1));
  }
}

static void take_back(void) {
  int i;

  for (i = 0; i < MOST; i++)
    if (flags[i] >= 0)
      CHECK(close(FIRST + i) == 0);
}

/* --- What must be ----------------------------------------------------------- */

/* The error of the first that does not listen, or 0. */
static int wanted_error(uint64_t count) {
  uint64_t i;

  for (i = 0; i < count; i++) {
    if (i >= MOST || strchr("lsf", kinds[i]) == NULL || kinds[i] == 0)
      return UV_EBADF;
    if (kinds[i] != 'l')
      return kinds[i] == 's' ? UV_EINVAL : UV_ENOTSOCK;
  }
  return 0;
}

static int wanted_result(void) {
  uint64_t count;
  uint64_t pid;
  int err;

  if (strcmp(values[0], "-") == 0 || strcmp(values[1], "-") == 0)
    return 0;
  if (!fuzz_number(values[0], &pid))
    return UV_EINVAL;
  if (pid != (uint64_t) getpid())
    return 0;
  if (!fuzz_number(values[1], &count) || count > INT32_MAX - FIRST)
    return UV_EINVAL;
  if (count > room)
    return (int) count;
  if (fds == NULL && room > 0)
    return UV_EINVAL;
  err = wanted_error(count);
  return err != 0 ? err : (int) count;
}

static bool is_taken(int result) {
  uint64_t number;

  /* That there are none is taken, too. */
  return result >= 0 && (size_t) result <= room && !(fds == NULL && room > 0) &&
         fuzz_number(values[1], &number) && number == (uint64_t) result &&
         fuzz_number(values[0], &number) && number == (uint64_t) getpid();
}

static void check_untouched(size_t from) {
  size_t i;

  for (i = from; i < MOST; i++)
    CHECK(fcntl(FIRST + (int) i, F_GETFD) == flags[i]);
  for (i = from; fds != NULL && i < room; i++)
    CHECK(fds[i].fd == -7 && fds[i].name == NULL);
}

/* One name each, as far as there are some, and in their order. */
static void check_names(int count) {
  const char* at = strcmp(values[2], "-") != 0 ? values[2] : NULL;
  size_t length;
  int i;

  for (i = 0; i < count; i++) {
    if (at == NULL) {
      CHECK(strcmp(fds[i].name, "unknown") == 0);
      continue;
    }
    length = strcspn(at, ":");
    CHECK(strlen(fds[i].name) == length);
    CHECK(memcmp(fds[i].name, at, length) == 0);
    at = at[length] == ':' ? at + length + 1 : NULL;
  }
}

static void check_taken(int count) {
  int i;

  for (i = 0; i < count; i++) {
    CHECK(fds[i].fd == FIRST + i);
    CHECK(fcntl(FIRST + i, F_GETFD) == FD_CLOEXEC);
  }
  check_names(count);
  for (i = 0; i < 3; i++)
    CHECK(getenv(variables[i]) == NULL);
  /* What has been taken is not there to be taken again. */
  CHECK(uvsig_listen_fds(fds, room) == 0);
}

/* The library keeps the names for good: here they are one block, of which the
 * first name is the beginning. */
static void forget_names(int count) {
  if (count > 0 && strcmp(values[2], "-") != 0)
    free((void*) (uintptr_t) fds[0].name);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  struct fuzz_input input = {data, size};
  char* lines[4];
  char self[16];
  size_t i;
  int result;

  for (i = 0; i < 4; i++)
    lines[i] = fuzz_line(&input);
  snprintf(self, sizeof(self), "%ld", (long) getpid());
  values[0] = strcmp(lines[0], "$") == 0 ? self : lines[0];
  values[1] = lines[1];
  values[2] = fuzz_rest(&input);
  for (i = 0; i < 3; i++)
    fuzz_set(variables[i], values[i]);
  hand_over(lines[2]);

  room = (size_t) strtoul(lines[3] + (lines[3][0] == 'N'), NULL, 10) % 16;
  fds = lines[3][0] != 'N' ? fuzz_alloc(room * sizeof(*fds)) : NULL;
  for (i = 0; fds != NULL && i < room; i++)
    fds[i] = (uvsig_listen_fd_t){-7, NULL};

  result = uvsig_listen_fds(fds, room);
  CHECK(result == wanted_result());
  if (is_taken(result)) {
    check_taken(result);
    check_untouched((size_t) result);
    forget_names(result);
  } else {
    check_untouched(0);
    for (i = 0; i < 3; i++)
      CHECK(fuzz_is_set_to(variables[i], values[i]));
  }

  take_back();
  free(fds);
  free(values[2]);
  for (i = 0; i < 4; i++)
    free(lines[i]);
  return 0;
}
