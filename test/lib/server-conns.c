/* SPDX-License-Identifier: MIT
 *
 * Connections of the servers of server.h: the server's end, which is uv's, and
 * the test's, which is of plain blocking sockets with a limit.
 */

#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* --- In the server: its connections --------------------------------------- */

static union {
  uv_handle_t handle;
  uv_stream_t stream;
  uv_tcp_t tcp;
  uv_pipe_t pipe;
} listener;
static uvsig_shutdown_listener_t listener_entry;
static long port;
static unsigned waiting;
static struct conn* conns;

struct conn* server_conns(void) {
  return conns;
}

static void on_conn_closed(uv_handle_t* handle) {
  struct conn* conn = handle->data;

  CHECK(conn->c.shutdown == NULL);
  if (conn->is_waiting)
    waiting--;
  if (conn->prev != NULL)
    conn->prev->next = conn->next;
  else
    conns = conn->next;
  if (conn->next != NULL)
    conn->next->prev = conn->prev;
  ended.freed++;
  free(conn);
}

void conn_close_unregistered(struct conn* conn) {
  uv_close(&conn->u.handle, on_conn_closed);
}

void conn_close(struct conn* conn) {
  CHECK_EQ(uvsig_shutdown_remove_connection(&conn->c), 0);
  if (!uv_is_closing(&conn->u.handle))
    conn_close_unregistered(conn);
}

void conn_linger(struct conn* conn) {
  CHECK_EQ(uvsig_shutdown_linger(&conn->c, &conn->u.stream, on_conn_closed), 0);
}

static void on_event(uvsig_shutdown_connection_t* c,
                     uvsig_shutdown_event_t event) {
  struct conn* conn = c->data;

  CHECK(c == &conn->c);
  ended.told[event]++;
  if (event == UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
    CHECK(!conn->is_draining);
    conn->is_draining = true;
  } else if (event == UVSIG_SHUTDOWN_CONNECTION_CLOSE && conn->id < 26) {
    ended.order[strlen(ended.order)] = (char) ('a' + conn->id);
  }
  if (server.on_event != NULL)
    server.on_event(conn, event);
  else if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    conn_linger(conn);
}

static void on_written(uv_write_t* req, int status) {
  struct conn* conn = req->data;

  free(req);
  if (uv_is_closing(&conn->u.handle))
    return;
  if (status < 0)
    conn_close(conn);
  else if (conn->c.shutdown != NULL) /* or it lingers, which is refused */
    uvsig_shutdown_connection_idle(&conn->c);
}

void conn_respond(struct conn* conn, const char* text, size_t length) {
  uv_write_t* req = malloc(sizeof(*req));
  uv_buf_t buf;

  CHECK(req != NULL);
  req->data = conn;
  if (length == 0)
    length = strlen(text);
  buf = uv_buf_init((char*) (uintptr_t) text, (unsigned) length);
  CHECK_EQ(uv_write(req, &conn->u.stream, &buf, 1, on_written), 0);
}

static void on_request(struct conn* conn, char letter) {
  static char big[SERVER_BIG];

  CHECK_EQ(uvsig_shutdown_connection_busy(&conn->c), 0);
  switch (letter) {
  case 'g':
    conn_respond(conn, conn->is_draining ? "bye" : "ok", 0);
    break;
  case 'b':
    memset(big, 'b', sizeof(big));
    conn_respond(conn, big, sizeof(big));
    break;
  case 'u':
  case 's':
    CHECK(!conn->is_waiting);
    conn->is_waiting = true;
    waiting++;
    if (letter == 'u')
      uv_read_stop(&conn->u.stream);
    break;
  default:
    CHECK_EQ(letter, 'k');
  }
}

static void one_byte(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  static char byte;

  (void) handle;
  (void) size;
  *buf = uv_buf_init(&byte, 1);
}

static void on_byte(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  struct conn* conn = stream->data;

  if (n < 0)
    conn_close(conn);
  else if (n > 0)
    on_request(conn, buf->base[0]);
}

static void on_connection(uv_stream_t* stream, int status) {
  struct conn* conn;

  if (status != 0)
    return;
  conn = calloc(1, sizeof(*conn));
  CHECK(conn != NULL);
  if (stream->type == UV_TCP)
    CHECK_EQ(uv_tcp_init(&server.loop, &conn->u.tcp), 0);
  else
    CHECK_EQ(uv_pipe_init(&server.loop, &conn->u.pipe, 0), 0);
  conn->u.handle.data = conn;
  conn->c.data = conn;
  conn->id = ended.accepted++;
  conn->next = conns;
  if (conns != NULL)
    conns->prev = conn;
  conns = conn;
  CHECK_EQ(uv_accept(stream, &conn->u.stream), 0);
  CHECK_EQ(uvsig_shutdown_add_connection(&server.sd, &conn->c, on_event), 0);
  CHECK(conn->c.shutdown == &server.sd);
  CHECK_EQ(uv_read_start(&conn->u.stream, one_byte, on_byte), 0);
}

void server_close_listener(void) {
  if (!uv_is_closing(&listener.handle))
    uv_close(&listener.handle, NULL);
}

static void stop_listening(uvsig_shutdown_listener_t* l) {
  CHECK(l == &listener_entry);
  CHECK(l->shutdown == NULL);
  ended.stopped++;
  server_close_listener();
}

static int add_and_listen(void) {
  int err = uvsig_shutdown_add_listener(
      &server.sd, &listener_entry, &listener.stream, stop_listening);

  if (err != 0) {
    uv_close(&listener.handle, NULL);
    return err;
  }
  CHECK_EQ(uv_listen(&listener.stream, BACKLOG, on_connection), 0);
  return 0;
}

int server_listen(void) {
  struct sockaddr_in address;
  int size = sizeof(address);

  CHECK_EQ(uv_tcp_init(&server.loop, &listener.tcp), 0);
  CHECK_EQ(uv_ip4_addr("127.0.0.1", 0, &address), 0);
  CHECK_EQ(uv_tcp_bind(&listener.tcp, (struct sockaddr*) &address, 0), 0);
  CHECK_EQ(
      uv_tcp_getsockname(&listener.tcp, (struct sockaddr*) &address, &size), 0);
  port = ntohs(address.sin_port);
  return add_and_listen();
}

static char directory[SERVER_NAMES];
static char path[SERVER_NAMES + 8];

static void serve_path(void) {
  server_open();
  CHECK_EQ(uv_pipe_init(&server.loop, &listener.pipe, 0), 0);
  CHECK_EQ(uv_pipe_bind(&listener.pipe, path), 0);
  CHECK_EQ(add_and_listen(), 0);
  server_run();
}

void server_start_at_path(void) {
  snprintf(directory, sizeof(directory), "/tmp/uvsig-test-XXXXXX");
  CHECK(mkdtemp(directory) != NULL);
  snprintf(path, sizeof(path), "%s/socket", directory);
  server_start(serve_path);
}

void server_remove_path(void) {
  CHECK_EQ(rmdir(directory), 0);
}

static long answer_all(void) {
  struct conn* conn;
  struct conn* next;
  long count = 0;

  for (conn = conns; conn != NULL; conn = next) {
    next = conn->next;
    if (!conn->is_waiting)
      continue;
    conn->is_waiting = false;
    waiting--;
    count++;
    conn_respond(conn, conn->is_draining ? "bye" : "ok", 0);
  }
  return count;
}

bool server_conns_answer(int question, long* answer) {
  switch (question) {
  case SERVER_PORT:
    *answer = port;
    return true;
  case SERVER_ACCEPTED:
    *answer = (long) ended.accepted;
    return true;
  case SERVER_OPEN:
    *answer = (long) (ended.accepted - ended.freed);
    return true;
  case SERVER_BUSY:
    *answer = (long) waiting;
    return true;
  case SERVER_ANSWER:
    *answer = answer_all();
    return true;
  default:
    return false;
  }
}

void server_conns_close(void) {
  struct conn* conn;

  for (conn = conns; conn != NULL; conn = conn->next)
    if (!uv_is_closing(&conn->u.handle))
      conn_close(conn);
}

/* --- In the test: clients ------------------------------------------------- */

static int connected(int fd, const void* address, socklen_t size) {
  const struct timeval patience = {SERVER_PATIENCE, 0};
  int err;

  CHECK(fd >= 0);
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
           0);
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)),
           0);
  if (connect_fully(fd, address, size) == 0)
    return fd;
  err = -errno;
  close(fd);
  return err;
}

int client_connect(void) {
  static pid_t asked;
  static uint16_t port_of_asked;
  struct sockaddr_in address;

  if (asked != server_pid) {
    port_of_asked = (uint16_t) server_ask(SERVER_PORT);
    asked = server_pid;
  }
  memset(&address, 0, sizeof(address));
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_of_asked);
  return connected(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                   &address,
                   sizeof(address));
}

int client_connect_to_path(void) {
  struct sockaddr_un address;

  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  CHECK(strlen(path) < sizeof(address.sun_path));
  memcpy(address.sun_path, path, strlen(path));
  return connected(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                   &address,
                   sizeof(address));
}

void client_send(int fd, const char* text) {
  CHECK(send_fully(fd, text, strlen(text)));
}

void client_expect(int fd, const char* text) {
  char buffer[SERVER_NAMES] = "";
  size_t length = strlen(text);
  size_t filled = 0;
  ssize_t n;

  CHECK(length < sizeof(buffer));
  for (; filled < length; filled += (size_t) n) {
    n = UNINTERRUPTED(recv(fd, buffer + filled, length - filled, 0));
    CHECK(n > 0);
  }
  CHECK_STR(buffer, text);
}

void client_expect_end(int fd) {
  CHECK_EQ(client_read_all(fd), 0);
}

long client_read_all(int fd) {
  static char buffer[64 * 1024];
  long sum = 0;
  ssize_t n;

  while ((n = UNINTERRUPTED(recv(fd, buffer, sizeof(buffer), 0))) > 0)
    sum += n;
  if (n < 0) {
    sum = -errno;
    CHECK_EQ(sum, UV_ECONNRESET);
  }
  close(fd);
  return sum;
}
