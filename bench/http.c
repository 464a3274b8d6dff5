/* SPDX-License-Identifier: MIT
 *
 * What the coordinator of a shutdown costs a server for each request: the least
 * HTTP server there can be, with the coordinator's calls and without them. A
 * client in another process has so many connections to each, and sends a request
 * on each as soon as the last one is answered. The two servers are in one
 * process, each with a loop of its own, and take turns: what the machine does
 * meanwhile, which is more than the difference, is done to both.
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

enum {
  CONNECTIONS = 50, /* to each server */
  SERVERS = 2,
  WARM = 4, /* turns before what is measured */
  TURNS = 80
};

static char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static char response[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world\n";

const struct peer http_without = {.name = "without"};
const struct peer http_with = {.name = "coordinator"};
static const struct peer* const both[] = {&http_without, &http_with, NULL};

struct client {
  uv_tcp_t tcp;
  uv_write_t write;
  size_t got; /* bytes of the message that is on its way */
  struct server* server;
  uvsig_shutdown_connection_t connection;
};

static char bytes[4096];

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buffer) {
  (void) handle;
  (void) size;
  *buffer = uv_buf_init(bytes, sizeof(bytes));
}

/* --- The servers ---------------------------------------------------------- */

static struct server {
  uv_loop_t loop;
  uv_tcp_t tcp;
  struct client clients[CONNECTIONS];
  unsigned count; /* of `clients` that are in use */
  bool has_coordinator;
  uvsig_t sig;
  uvsig_shutdown_t sd;
  uvsig_shutdown_listener_t listener;
  unsigned requests;
  unsigned last; /* when this many have been answered, its turn is over */
} servers[SERVERS];

static void on_event(uvsig_shutdown_connection_t* connection,
                     uvsig_shutdown_event_t event) {
  (void) connection;
  (void) event;
}

static void on_written(uv_write_t* write, int status) {
  struct client* client = write->data;
  struct server* server = client->server;

  check(status, "write");
  if (server->has_coordinator)
    uvsig_shutdown_connection_idle(&client->connection);
  server->requests++;
  if (server->requests == server->last)
    uv_stop(&server->loop);
}

static void on_request(uv_stream_t* stream, ssize_t n, const uv_buf_t* buffer) {
  struct client* client = stream->data;
  uv_buf_t whole = uv_buf_init(response, sizeof(response) - 1);

  (void) buffer;
  check((int) n, "read");
  if (n == 0)
    return;
  if (client->server->has_coordinator && client->got == 0)
    uvsig_shutdown_connection_busy(&client->connection);
  client->got += (size_t) n;
  if (client->got < sizeof(request) - 1)
    return;
  client->got = 0;
  client->write.data = client;
  check(uv_write(&client->write, stream, &whole, 1, on_written), "uv_write");
}

static void on_client(uv_stream_t* listener, int status) {
  struct server* server = listener->data;
  struct client* client = &server->clients[server->count];
  uv_stream_t* stream = (uv_stream_t*) &client->tcp;

  check(status, "listen");
  check(server->count < CONNECTIONS ? 0 : UV_EMFILE, "accept");
  server->count++;
  check(uv_tcp_init(&server->loop, &client->tcp), "uv_tcp_init");
  check(uv_accept(listener, stream), "uv_accept");
  client->tcp.data = client;
  client->server = server;
  if (server->has_coordinator)
    check(uvsig_shutdown_add_connection(
              &server->sd, &client->connection, on_event),
          "uvsig_shutdown_add_connection");
  check(uv_read_start(stream, on_alloc, on_request), "uv_read_start");
}

static void open_server(struct server* server, int fd, bool has_coordinator) {
  uv_stream_t* stream = (uv_stream_t*) &server->tcp;

  server->has_coordinator = has_coordinator;
  check(uv_loop_init(&server->loop), "uv_loop_init");
  check(uv_tcp_init(&server->loop, &server->tcp), "uv_tcp_init");
  check(uv_tcp_open(&server->tcp, fd), "uv_tcp_open");
  server->tcp.data = server;
  if (has_coordinator) {
    check(uvsig_init(&server->loop, &server->sig, NULL), "uvsig_init");
    check(uvsig_shutdown_init(&server->sig, &server->sd, NULL),
          "uvsig_shutdown_init");
    check(uvsig_shutdown_add_listener(
              &server->sd, &server->listener, stream, NULL),
          "uvsig_shutdown_add_listener");
  }
  check(uv_listen(stream, CONNECTIONS, on_client), "uv_listen");
}

/* One turn. The last round of the loop may answer more. Returns the time of each
 * request. */
static struct result serve(struct server* server, unsigned requests) {
  struct result result;
  struct span span;
  unsigned before = server->requests;

  server->last = before + requests;
  span_begin(&span);
  uv_run(&server->loop, UV_RUN_DEFAULT);
  span_end(&span);
  set_time(&result, &span, (double) (server->requests - before));
  return result;
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

static void connect_all(uv_loop_t* loop, const struct sockaddr* address) {
  struct client* clients = allocate(CONNECTIONS, sizeof(*clients));
  uv_connect_t* connects = allocate(CONNECTIONS, sizeof(*connects));
  int i;

  for (i = 0; i < CONNECTIONS; i++) {
    check(uv_tcp_init(loop, &clients[i].tcp), "uv_tcp_init");
    connects[i].data = &clients[i];
    check(uv_tcp_connect(&connects[i], &clients[i].tcp, address, on_connected),
          "uv_tcp_connect");
  }
}

/* --- What is measured ----------------------------------------------------- */

static int listen_anywhere(struct sockaddr_in* address) {
  socklen_t size = sizeof(*address);
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  *address = (struct sockaddr_in){.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  check_errno(fd, "socket");
  check_errno(bind(fd, (struct sockaddr*) address, size), "bind");
  check_errno(getsockname(fd, (struct sockaddr*) address, &size),
              "getsockname");
  check_errno(listen(fd, CONNECTIONS), "listen");
  return fd;
}

static void request_for_ever(const struct sockaddr_in* addresses) {
  uv_loop_t loop;
  int i;

  use_processor(FIRST);
  check(uv_loop_init(&loop), "uv_loop_init");
  for (i = 0; i < SERVERS; i++)
    connect_all(&loop, (const struct sockaddr*) &addresses[i]);
  uv_run(&loop, UV_RUN_DEFAULT);
  _exit(1);
}

/* The medians of the turns. Each server is the first one in every other. */
static void take_turns(unsigned requests, struct result* results) {
  double times[SERVERS][TURNS];
  double cpu[SERVERS][TURNS];
  struct result result;
  int turn;
  int i;
  int at;

  for (turn = -WARM; turn < TURNS; turn++)
    for (i = 0; i < SERVERS; i++) {
      at = (turn & 1) != 0 ? SERVERS - 1 - i : i;
      result = serve(&servers[at], requests);
      if (turn < 0)
        continue;
      times[at][turn] = result.figures[0];
      cpu[at][turn] = result.cpu;
    }
  for (i = 0; i < SERVERS; i++) {
    results[i].figures[0] = spread_of(times[i], TURNS).median;
    results[i].cpu = spread_of(cpu[i], TURNS).median;
  }
}

static void measure_http(const struct bench* bench,
                         const struct peer* peer,
                         struct result* results) {
  struct sockaddr_in addresses[SERVERS];
  int fds[SERVERS];
  pid_t pid;
  int i;

  (void) peer;
  for (i = 0; i < SERVERS; i++)
    fds[i] = listen_anywhere(&addresses[i]);
  pid = fork();
  check_errno(pid, "fork");
  if (pid == 0) {
    for (i = 0; i < SERVERS; i++)
      close(fds[i]);
    request_for_ever(addresses);
  }
  use_processor(LAST);
  for (i = 0; i < SERVERS; i++)
    open_server(&servers[i], fds[i], both[i] == &http_with);
  take_turns(bench->repeats, results);
  kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    ;
}

const struct bench http_benches[] = {{.workload = "http",
                                      .variant = "",
                                      .figures = {"time for a request"},
                                      .unit = "ns",
                                      .measure = measure_http,
                                      .is_together = true,
                                      .repeats = 250,
                                      .rounds = 4,
                                      .against = &http_without,
                                      .only = both},
                                     {.workload = NULL}};
