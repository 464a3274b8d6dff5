/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_READY_H
#define UVSIG_SHUTDOWN_READY_H

#include "../base.h"

#include <sys/un.h>

int uvsig__ready_open(int* fd, char name[sizeof(struct sockaddr_un)]);
bool uvsig__ready_receive(int fd, uv_pid_t pid, bool* is_ready);

#endif
