/* SPDX-License-Identifier: MIT
 *
 * Closing without cutting anything off. libmicrohttpd owns the sockets and has
 * no call that closes one, but it closes a connection when it reads the end of
 * its input: shutdown(2) of the reading side brings that about. What has
 * arrived before is read first, so a request that is there is answered. What
 * libmicrohttpd has closed may still be on its way; a duplicate of the socket
 * stays with uvsig_shutdown_linger() then. Runs on the loop's thread. */

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

/* A client that had an answer just now has often sent its next request, which
 * is on its way and would meet a closed socket. An idle connection is therefore
 * closed when its client's system has sent nothing for so long: neither bytes
 * nor the acknowledgment of ours. */
#define QUIET_MS 1000

/* How often is looked, since no event tells. */
#define PART_MS 20

struct http_connection_s {
  uvsig_shutdown_connection_t tracked;
  http_connections_t* all;
  http_connection_t *next, **link; /* in all->parting; NULL: not there */
  uv_tcp_t tcp;                    /* our duplicate, while it lingers */
  int fd;                          /* libmicrohttpd's */
  int answered; /* the last response was given to the kernel whole */
  int parted;   /* closed by us, with nothing to lose */
};

/* How many bytes the client's system has not acknowledged. The end of the
 * stream counts as one. */
static int unsent(int fd) {
  int count = 0;
#ifdef __linux__
  if (ioctl(fd, SIOCOUTQ, &count) != 0)
    return 0;
#else
  (void) fd;
#endif
  return count;
}

/* Input that libmicrohttpd has not read. */
static int unread(int fd) {
  int count = 0;
  return ioctl(fd, FIONREAD, &count) == 0 ? count : 0;
}

static int is_quiet(int fd) {
#ifdef __linux__
  struct tcp_info info;
  socklen_t size = sizeof(info);

  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      info.tcpi_state != TCP_ESTABLISHED)
    return 1;
  return unsent(fd) == 0 && info.tcpi_last_data_recv >= QUIET_MS &&
         info.tcpi_last_ack_recv >= QUIET_MS;
#else
  (void) fd;
  return 1;
#endif
}

/* --- Those that are to be closed when quiet ------------------------------- */

static void enter(http_connection_t* connection) {
  http_connection_t** head = &connection->all->parting;

  if (connection->link != NULL)
    return;
  connection->next = *head;
  connection->link = head;
  if (*head != NULL)
    (*head)->link = &connection->next;
  *head = connection;
}

static void leave(http_connection_t* connection) {
  if (connection->link == NULL)
    return;
  *connection->link = connection->next;
  if (connection->next != NULL)
    connection->next->link = connection->link;
  connection->link = NULL;
}

void http_connections_init(http_connections_t* connections,
                           uvsig_shutdown_t* shutdown,
                           http_part_cb part) {
  connections->shutdown = shutdown;
  connections->part = part;
  connections->parting = NULL;
}

int http_connections_part(http_connections_t* connections) {
  http_connection_t *connection, *next;

  for (connection = connections->parting; connection != NULL;
       connection = next) {
    next = connection->next;
    if (!is_quiet(connection->fd))
      continue;
    leave(connection);
    connection->parted = 1;
    shutdown(connection->fd, SHUT_RD);
  }
  return connections->parting != NULL ? PART_MS : -1;
}

/* --- One connection ------------------------------------------------------- */

/* From the coordinator. That it drains needs no action: a response that is
 * made then says so. */
static void on_event(uvsig_shutdown_connection_t* tracked,
                     uvsig_shutdown_event_t event) {
  http_connection_t* connection = tracked->data;

  switch (event) {
  case UVSIG_SHUTDOWN_CONNECTION_DRAIN:
    break;
  case UVSIG_SHUTDOWN_CONNECTION_CLOSE:
    enter(connection);
    connection->all->part(connection->all);
    break;
  case UVSIG_SHUTDOWN_CONNECTION_FORCE:
    leave(connection);
    shutdown(connection->fd, SHUT_RDWR);
    break;
  }
}

http_connection_t* http_connection_add(http_connections_t* connections,
                                       int fd) {
  http_connection_t* connection = calloc(1, sizeof(*connection));

  if (connection == NULL)
    return NULL;
  connection->all = connections;
  connection->fd = fd;
  connection->tracked.data = connection;
  if (uvsig_shutdown_add_connection(
          connections->shutdown, &connection->tracked, on_event) != 0) {
    free(connection);
    return NULL;
  }
  return connection;
}

/* Not busy before: a client may never end its request. One that comes in
 * pieces is not quiet as long as they come. */
void http_connection_begin(http_connection_t* connection) {
  leave(connection);
  connection->parted = 0;
  connection->answered = 0;
  uvsig_shutdown_connection_busy(&connection->tracked);
}

void http_connection_end(http_connection_t* connection, int whole) {
  connection->answered = whole;
  uvsig_shutdown_connection_idle(&connection->tracked);
}

static void on_lingered(uv_handle_t* tcp) {
  free(tcp->data);
}

/* Returns -1 if that is not possible: then the kernel does what it can. */
static int linger(http_connection_t* connection) {
  uv_tcp_t* tcp = &connection->tcp;
  int fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0);

  if (fd < 0)
    return -1;
  if (uv_tcp_init(connection->all->shutdown->sig->loop, tcp) != 0) {
    close(fd);
    return -1;
  }
  tcp->data = connection;
  if (uv_tcp_open(tcp, fd) != 0)
    close(fd);
  else if (uvsig_shutdown_linger(
               &connection->tracked, (uv_stream_t*) tcp, on_lingered) == 0)
    return 0;
  uvsig_shutdown_remove_connection(&connection->tracked);
  uv_close((uv_handle_t*) tcp, on_lingered);
  return 0;
}

/* Closing a socket with unread input resets the connection, and the kernel then
 * throws away what it has not sent; so does input that comes after the end. */
void http_connection_close(http_connection_t* connection) {
  int fd = connection->fd;

  leave(connection);
  if (uvsig_shutdown_phase(connection->all->shutdown) >=
          UVSIG_SHUTDOWN_DRAINING &&
      connection->answered && !connection->parted &&
      (unsent(fd) > 0 || unread(fd) > 0) && linger(connection) == 0)
    return;
  uvsig_shutdown_remove_connection(&connection->tracked);
  free(connection);
}
