/* SPDX-License-Identifier: MIT
 *
 * What the environment says of the service manager and a predecessor
 * (lib/shutdown/environment.c). The lines of an input, where "-" is a variable
 * that is not set:
 *   1. the option `notify`: 0, 1 or 2
 *   2. NOTIFY_SOCKET
 *   3. UVSIG_NOTIFY_SOCKET
 *   4. WATCHDOG_USEC
 *   5. WATCHDOG_PID, where "$" is this process
 */

#include "fuzz.h"

#include "../../lib/shutdown/coordinator.h"
#include "../../lib/shutdown/environment.h"

#include <stddef.h>
#include <sys/un.h>

enum { NOTIFY, SOCKET, UPGRADE, USEC, PID, LINES };

static char* lines[LINES];

/* A path or an abstract name that fits: a path's null byte must, too. */
static bool is_address(const char* name) {
  const size_t room = sizeof(((struct sockaddr_un*) NULL)->sun_path);
  size_t length = strlen(name);

  return length >= 2 && ((name[0] == '/' && length < room) ||
                         (name[0] == '@' && length <= room));
}

/* `name`: of a variable, or "-" and anything else that is no address. */
static void check_address(const struct uvsig__address* address,
                          const char* name) {
  size_t size = address->size - offsetof(struct sockaddr_un, sun_path);
  const char* path = address->name.sun_path;

  if (!is_address(name)) {
    CHECK(address->size == 0);
    return;
  }
  CHECK(address->size <= sizeof(address->name));
  CHECK(address->name.sun_family == AF_UNIX);
  CHECK(size == strlen(name) + (name[0] == '/'));
  CHECK(path[0] == (name[0] == '/' ? '/' : 0));
  CHECK(memcmp(path + 1, name + 1, size - 1) == 0);
}

static void check_watchdog(const struct uvsig__notifier* n) {
  uint64_t us = 0;
  uint64_t pid;

  if (n->service.size == 0 || !fuzz_number(lines[USEC], &us) ||
      us == UINT64_MAX ||
      (strcmp(lines[PID], "-") != 0 &&
       (!fuzz_number(lines[PID], &pid) || pid != (uint64_t) getpid())))
    us = 0;
  CHECK(n->watchdog_us == us);
}

/* As the service manager has made it, or without what is its own. */
static void check_environment(int notify, const char* service) {
  CHECK(getenv("UVSIG_NOTIFY_SOCKET") == NULL);
  CHECK(fuzz_is_set_to("NOTIFY_SOCKET", notify == 2 ? "-" : service));
  CHECK(fuzz_is_set_to("WATCHDOG_USEC", notify == 2 ? "-" : lines[USEC]));
  CHECK(fuzz_is_set_to("WATCHDOG_PID", notify == 2 ? "-" : lines[PID]));
}

/* A successor gets the same address. */
static void check_hand_over(struct uvsig__coordinator* c, const char* service) {
  char* name = fuzz_alloc(sizeof(struct sockaddr_un) + 1);

  uvsig__environment_hand_over(c, name);
  CHECK(strcmp(name, is_address(service) ? service : "") == 0);
  free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  struct fuzz_input input = {data, size};
  struct uvsig__coordinator* c = calloc(1, sizeof(*c));
  struct uvsig__notifier* n = &c->notifier;
  const char* service;
  bool is_upgrade;
  int i;

  for (i = 0; i < LINES; i++)
    lines[i] = fuzz_line(&input);
  if (strcmp(lines[PID], "$") == 0) {
    lines[PID] = realloc(lines[PID], 16);
    snprintf(lines[PID], 16, "%ld", (long) getpid());
  }
  fuzz_set("NOTIFY_SOCKET", lines[SOCKET]);
  fuzz_set("UVSIG_NOTIFY_SOCKET", lines[UPGRADE]);
  fuzz_set("WATCHDOG_USEC", lines[USEC]);
  fuzz_set("WATCHDOG_PID", lines[PID]);
  is_upgrade = strcmp(lines[UPGRADE], "-") != 0;
  /* An empty one: the predecessor has no service manager. */
  service = !is_upgrade              ? lines[SOCKET]
            : lines[UPGRADE][0] == 0 ? "-"
                                     : lines[UPGRADE];

  c->options.notify = (unsigned char) lines[NOTIFY][0] % 3; /* '0' is 0 */
  uvsig__environment_read(c);
  check_address(&n->predecessor, is_upgrade ? lines[SOCKET] : "-");
  check_address(&n->service, c->options.notify != 0 ? service : "-");
  check_watchdog(n);
  check_environment(c->options.notify, service);
  check_hand_over(c, service);

  free(c);
  for (i = 0; i < LINES; i++)
    free(lines[i]);
  return 0;
}
