/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_LAUNCH_H
#define UVSIG_SHUTDOWN_LAUNCH_H

#include "../base.h"

/* How a successor is started. */
struct uvsig__program {
  const char* file;
  char** args;
  const int* fds;    /* that it gets as 3 and so on ... */
  const char* names; /* ... and theirs, with colons between */
  size_t count;
  const char* notify_socket;  /* where it says that it is ready */
  const char* service_socket; /* the service manager's, or "" */
  uint64_t watchdog_us;       /* its WATCHDOG_USEC, or 0: as it is here */
};

int uvsig__launch(const struct uvsig__program* program, uv_pid_t* pid);
int uvsig__own_program(const char** file, char*** args);

#endif
