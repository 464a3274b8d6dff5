/* SPDX-License-Identifier: MIT
 *
 * What the kernel has left to send. Closing a socket with unread input resets
 * the connection, and the kernel then throws away what it has not sent; so does
 * input that comes after the end. A server that ends therefore waits until the
 * systems of its clients have everything. */

#define _GNU_SOURCE 1 /* F_DUPFD_CLOEXEC, struct tcp_info */

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__
# include <linux/sockios.h>
#endif

#include "http-connections.h"

struct http_connection_s {
  struct http_connection_s *next, **link;
  int fd;
  int lingering;   /* libmicrohttpd has closed it, and `fd` is our duplicate */
  int answered;    /* the last response was given to the kernel whole */
  int unsent;      /* when last looked at, and */
  uint64_t moving; /* when that was last seen to change; 0: never looked at */
};

/* How many bytes the client's system has not acknowledged. */
static int unsent(int fd) {
  int count = 0;
#ifdef SIOCOUTQ
  struct tcp_info info;
  socklen_t size = sizeof(info);

  if (ioctl(fd, SIOCOUTQ, &count) != 0)
    return 0;
  /* after a reset, the count stays what it was */
  if (count > 0 && getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
      info.tcpi_state == TCP_CLOSE)
    return 0;
#else
  (void) fd;
#endif
  return count;
}

http_connection_t* http_connection_add(http_connection_t** list, int fd) {
  http_connection_t* connection = calloc(1, sizeof(*connection));

  if (connection == NULL)
    return NULL;
  connection->fd = fd;
  connection->next = *list;
  connection->link = list;
  if (*list != NULL)
    (*list)->link = &connection->next;
  *list = connection;
  return connection;
}

void http_connection_answered(http_connection_t* connection, int whole) {
  connection->answered = whole;
}

void http_connection_forget(http_connection_t* connection) {
  *connection->link = connection->next;
  if (connection->next != NULL)
    connection->next->link = connection->link;
  if (connection->lingering)
    close(connection->fd);
  free(connection);
}

void http_connection_linger(http_connection_t* connection) {
  int fd = connection->fd;

  if (connection->answered && unsent(fd) > 0) {
    connection->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    connection->lingering = connection->fd >= 0;
  }
  if (!connection->lingering)
    http_connection_forget(connection);
}

/* The stray input of a connection that will not be answered any more. */
static void discard_input(int fd) {
  char buffer[4096];
  int i;

  for (i = 0; i < 64; i++) { /* so that no client keeps us here */
    if (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) <= 0)
      return;
  }
}

int http_connections_receive(http_connection_t* list,
                             uint64_t now,
                             uint64_t patience_ms) {
  http_connection_t *connection, *next;
  int count, waits, result = 0;

  for (connection = list; connection != NULL; connection = next) {
    next = connection->next;
    count = unsent(connection->fd);
    if (connection->moving == 0 || count != connection->unsent)
      connection->moving = now;
    connection->unsent = count;
    waits = count > 0 && now - connection->moving < patience_ms;
    result |= waits;
    if (connection->lingering) {
      discard_input(connection->fd);
      if (!waits)
        http_connection_forget(connection);
    }
  }
  return result;
}
