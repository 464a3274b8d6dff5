/* SPDX-License-Identifier: MIT */

#ifndef UVSIG_SHUTDOWN_DATAGRAM_H
#define UVSIG_SHUTDOWN_DATAGRAM_H

#include "../base.h"

#include <sys/socket.h>
#include <sys/un.h>

struct uvsig__address {
  struct sockaddr_un name;
  socklen_t size; /* 0: nobody is notified */
};

bool uvsig__is_lack_of_room(int error);
int uvsig__datagram_send(const struct uvsig__address* to,
                         const char* text,
                         int fd,
                         int flags);

#endif
