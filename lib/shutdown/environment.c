/* SPDX-License-Identifier: MIT
 *
 * What the environment says of the service manager: the variables of
 * sd_notify(3) and sd_watchdog_enabled(3). A predecessor stands between the two
 * for a while. Runs in the loop thread.
 */

#include "environment.h"

#include "coordinator.h"

#include <stdlib.h>
#include <unistd.h>

/* A variable's decimal number; UINT64_MAX for what is larger. False: it is not
 * set, or is none. */
bool uvsig__read_number(const char* name, uint64_t* number) {
  const char* text = getenv(name);
  char* end;

  /* No sign, and no space before it. */
  if (text == NULL || text[0] < '0')
    return false;
  *number = strtoull(text, &end, 10);
  return *end == 0;
}

/* A path, with its null byte, or '@' and an abstract name, without. The size
 * stays 0 for what is neither. */
static void parse_address(struct uvsig__address* address, const char* name) {
  size_t size = name != NULL ? strlen(name) : 0;

  if (size < 2 || (name[0] != '/' && name[0] != '@'))
    return;
  if (name[0] == '/')
    size++;
  if (size > sizeof(address->name.sun_path))
    return;
  address->name.sun_family = AF_UNIX;
  memcpy(address->name.sun_path, name, size);
  if (name[0] == '@')
    address->name.sun_path[0] = 0;
  address->size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size);
}

/* A successor is started with the address of its predecessor, and the service
 * manager's beside it. From here on the environment is as the service manager
 * has made it, for whatever else reads it. */
static void read_addresses(struct uvsig__notifier* n, bool is_wanted) {
  const char* service = getenv("UVSIG_NOTIFY_SOCKET");

  if (service != NULL) {
    parse_address(&n->predecessor, getenv("NOTIFY_SOCKET"));
    if (is_wanted)
      parse_address(&n->service, service);
    /* Without memory for it nobody speaks to the predecessor by mistake. */
    if (service[0] == 0 || setenv("NOTIFY_SOCKET", service, 1) != 0)
      unsetenv("NOTIFY_SOCKET");
    unsetenv("UVSIG_NOTIFY_SOCKET");
  } else if (is_wanted) {
    parse_address(&n->service, getenv("NOTIFY_SOCKET"));
  }
}

/* The interval in microseconds, or 0: none, or another process's. */
static uint64_t read_watchdog(void) {
  uint64_t pid;
  uint64_t us;

  if (!uvsig__read_number("WATCHDOG_USEC", &us) || us == UINT64_MAX)
    return 0;
  if (getenv("WATCHDOG_PID") != NULL &&
      (!uvsig__read_number("WATCHDOG_PID", &pid) || pid != (uint64_t) getpid()))
    return 0;
  return us;
}

/* Read once: the program may change it later, on any thread. */
void uvsig__environment_read(struct uvsig__coordinator* c) {
  struct uvsig__notifier* n = &c->notifier;

  read_addresses(n, c->options.notify != 0);
  if (n->service.size != 0)
    n->watchdog_us = read_watchdog();
  if (c->options.notify == 2) { /* as sd_notify(3) with `unset_environment` */
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
  }
}

/* The service manager's address for a successor, as NOTIFY_SOCKET has it, or
 * "". `name` has room for a whole sockaddr_un, and a null byte. */
void uvsig__environment_hand_over(const struct uvsig__coordinator* c,
                                  char* name) {
  struct uvsig__address service = c->notifier.service;
  size_t size = 0;

  /* With the option `notify` 0 it is the program's own affair. */
  if (!c->options.notify)
    parse_address(&service, getenv("NOTIFY_SOCKET"));
  if (service.size != 0) {
    size = service.size - offsetof(struct sockaddr_un, sun_path);
    memcpy(name, service.name.sun_path, size);
    if (name[0] == 0)
      name[0] = '@';
  }
  name[size] = 0;
}
