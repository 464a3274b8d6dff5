/* SPDX-License-Identifier: MIT
 *
 * What the coordinator of a shutdown costs a server for each request: the least
 * HTTP server there can be, with the coordinator's calls and without them. A
 * client in another process has so many connections, and sends a request on
 * each as soon as the last one is answered.
 */

#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uvsig.h>

enum { CONNECTIONS = 50, WARM = 2000 };

static char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static char response[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n";

enum presence { WITHOUT, WITH };
static const enum presence without = WITHOUT;
static const enum presence with = WITH;
const struct peer http_without = {.name = "without", .options = &without};
const struct peer http_with = {.name = "coordinator", .options = &with};
static const struct peer* const both[] = {&http_without, &http_with, NULL};

struct client {
  uv_tcp_t tcp;
  uv_write_t write;
  size_t got; /* bytes of the message that is on its way */
  uvsig_shutdown_connection_t connection;
};

static struct client clients[CONNECTIONS];
static unsigned count; /* of `clients` that are in use */
static char bytes[4096];

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buffer) {
  (void) handle;
  (void) size;
  *buffer = uv_buf_init(bytes, sizeof(bytes));
}

/* --- The server ----------------------------------------------------------- */

static struct server {
  uv_loop_t loop;
  uv_tcp_t tcp;
  bool has_coordinator;
  uvsig_t sig;
  uvsig_shutdown_t sd;
  uvsig_shutdown_listener_t listener;
  unsigned requests;
  unsigned last; /* when this many have been answered, it is over */
  struct span span;
} server;

static void on_event(uvsig_shutdown_connection_t* connection,
                     uvsig_shutdown_event_t event) {
  (void) connection;
  (void) event;
}

static void on_written(uv_write_t* write, int status) {
  struct client* client = write->data;

  check(status, "write");
  if (server.has_coordinator)
    uvsig_shutdown_connection_idle(&client->connection);
  server.requests++;
  if (server.requests == WARM)
    span_begin(&server.span);
  if (server.requests == server.last) {
    span_end(&server.span);
    uv_stop(&server.loop);
  }
}

static void on_request(uv_stream_t* stream, ssize_t n, const uv_buf_t* buffer) {
  struct client* client = stream->data;
  uv_buf_t whole = uv_buf_init(response, sizeof(response) - 1);

  (void) buffer;
  check((int) n, "read");
  if (n == 0)
    return;
  if (server.has_coordinator && client->got == 0)
    uvsig_shutdown_connection_busy(&client->connection);
  client->got += (size_t) n;
  if (client->got < sizeof(request) - 1)
    return;
  client->got = 0;
  client->write.data = client;
  check(uv_write(&client->write, stream, &whole, 1, on_written), "uv_write");
}

static void on_client(uv_stream_t* listener, int status) {
  struct client* client = &clients[count];
  uv_stream_t* stream = (uv_stream_t*) &client->tcp;

  check(status, "listen");
  check(count < CONNECTIONS ? 0 : UV_EMFILE, "accept");
  count++;
  check(uv_tcp_init(&server.loop, &client->tcp), "uv_tcp_init");
  check(uv_accept(listener, stream), "uv_accept");
  client->tcp.data = client;
  if (server.has_coordinator)
    check(uvsig_shutdown_add_connection(
              &server.sd, &client->connection, on_event),
          "uvsig_shutdown_add_connection");
  check(uv_read_start(stream, on_alloc, on_request), "uv_read_start");
}

static void serve(int fd) {
  uv_stream_t* stream = (uv_stream_t*) &server.tcp;

  check(uv_loop_init(&server.loop), "uv_loop_init");
  check(uv_tcp_init(&server.loop, &server.tcp), "uv_tcp_init");
  check(uv_tcp_open(&server.tcp, fd), "uv_tcp_open");
  if (server.has_coordinator) {
    check(uvsig_init(&server.loop, &server.sig, NULL), "uvsig_init");
    check(uvsig_shutdown_init(&server.sig, &server.sd, NULL),
          "uvsig_shutdown_init");
    check(
        uvsig_shutdown_add_listener(&server.sd, &server.listener, stream, NULL),
        "uvsig_shutdown_add_listener");
  }
  check(uv_listen(stream, CONNECTIONS, on_client), "uv_listen");
  uv_run(&server.loop, UV_RUN_DEFAULT);
}

/* --- The client ----------------------------------------------------------- */

static void ask(uv_stream_t* stream) {
  uv_buf_t whole = uv_buf_init(request, sizeof(request) - 1);

  check(uv_try_write(stream, &whole, 1) == (int) whole.len ? 0 : UV_EIO,
        "write");
}

static void on_response(uv_stream_t* stream,
                        ssize_t n,
                        const uv_buf_t* buffer) {
  struct client* client = stream->data;

  (void) buffer;
  if (n < 0) /* the server has ended */
    _exit(0);
  client->got += (size_t) n;
  if (client->got < sizeof(response) - 1)
    return;
  client->got = 0;
  ask(stream);
}

static void on_connected(uv_connect_t* connect, int status) {
  check(status, "connect");
  connect->handle->data = connect->data;
  check(uv_read_start(connect->handle, on_alloc, on_response), "uv_read_start");
  ask(connect->handle);
}

static void request_for_ever(const struct sockaddr* address) {
  static uv_connect_t connects[CONNECTIONS];
  uv_loop_t loop;
  int i;

  check(uv_loop_init(&loop), "uv_loop_init");
  for (i = 0; i < CONNECTIONS; i++) {
    check(uv_tcp_init(&loop, &clients[i].tcp), "uv_tcp_init");
    connects[i].data = &clients[i];
    check(uv_tcp_connect(&connects[i], &clients[i].tcp, address, on_connected),
          "uv_tcp_connect");
  }
  uv_run(&loop, UV_RUN_DEFAULT);
}

/* --- What is measured ----------------------------------------------------- */

static void measure_http(const struct bench* bench,
                         const struct peer* peer,
                         struct result* result) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr* any = (struct sockaddr*) &address;
  socklen_t size = sizeof(address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  pid_t pid;

  check_errno(fd, "socket");
  check_errno(bind(fd, any, size), "bind");
  check_errno(getsockname(fd, any, &size), "getsockname");
  check_errno(listen(fd, CONNECTIONS), "listen");
  pid = fork();
  check_errno(pid, "fork");
  if (pid == 0) {
    close(fd);
    use_processor(FIRST);
    request_for_ever(any);
    _exit(1);
  }
  use_processor(LAST);
  server.has_coordinator = *(const enum presence*) peer->options == WITH;
  server.last = WARM + bench->repeats;
  serve(fd);
  set_time(result, &server.span, bench->repeats);
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    ;
}

const struct bench http_benches[] = {{.workload = "http",
                                      .variant = "",
                                      .figures = {"time for a request"},
                                      .unit = "ns",
                                      .measure = measure_http,
                                      .repeats = 10000,
                                      .rounds = 6,
                                      .against = &http_without,
                                      .only = both},
                                     {.workload = NULL}};
