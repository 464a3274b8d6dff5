/* SPDX-License-Identifier: MIT
 *
 * What the coordinator of a shutdown costs a server: a request's busy and idle,
 * the memory of a connection, and closing those that are idle. Beside it, a
 * program that keeps lists of its own, without a check of any kind.
 */

#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uvsig.h>

/* So many requests are under way where there are more connections. */
enum { UNDER_WAY = 64 };

struct load {
  size_t n;
  bool is_by_hand;
  uvsig_shutdown_idle_t idle;
};

#define LOAD(title, ...)                                                       \
 {                                                                             \
  .name = title, .options = &(const struct load) {                             \
   __VA_ARGS__                                                                 \
  }                                                                            \
 }
const struct peer by_hand_1 = LOAD("by hand, 1", .n = 1, .is_by_hand = true);
const struct peer conns_1 = LOAD("coordinator, 1", .n = 1);
static const struct peer spread_1 = LOAD(
    "coordinator with a spread, 1", .n = 1, .idle = UVSIG_SHUTDOWN_IDLE_SPREAD);
const struct peer by_hand_1k =
    LOAD("by hand, 1,000", .n = 1000, .is_by_hand = true);
const struct peer conns_1k = LOAD("coordinator, 1,000", .n = 1000);
static const struct peer by_hand_5k =
    LOAD("by hand, 5,000", .n = 5000, .is_by_hand = true);
static const struct peer conns_5k = LOAD("coordinator, 5,000", .n = 5000);
const struct peer by_hand_10k =
    LOAD("by hand, 10,000", .n = 10000, .is_by_hand = true);
const struct peer conns_10k = LOAD("coordinator, 10,000", .n = 10000);
const struct peer by_hand_100k =
    LOAD("by hand, 100,000", .n = 100000, .is_by_hand = true);
const struct peer conns_100k = LOAD("coordinator, 100,000", .n = 100000);
const struct peer by_hand_1m =
    LOAD("by hand, 1,000,000", .n = 1000000, .is_by_hand = true);
const struct peer conns_1m = LOAD("coordinator, 1,000,000", .n = 1000000);
static const struct peer spread_1m =
    LOAD("coordinator with a spread, 1,000,000",
         .n = 1000000,
         .idle = UVSIG_SHUTDOWN_IDLE_SPREAD);

static const struct peer* const hot[] = {&by_hand_1, &conns_1, &spread_1, NULL};
static const struct peer* const cold[] = {&by_hand_1k,
                                          &conns_1k,
                                          &by_hand_100k,
                                          &conns_100k,
                                          &by_hand_1m,
                                          &conns_1m,
                                          &spread_1m,
                                          NULL};
static const struct peer* const sizes[] = {&by_hand_1k,
                                           &conns_1k,
                                           &by_hand_10k,
                                           &conns_10k,
                                           &by_hand_100k,
                                           &conns_100k,
                                           &by_hand_1m,
                                           &conns_1m,
                                           NULL};
static const struct peer* const stream_sizes[] = {
    &by_hand_1k, &conns_1k, &by_hand_5k, &conns_5k, NULL};
static const struct peer* const any[] = {&conns_1, NULL};

/* --- By hand -------------------------------------------------------------- */

struct own {
  struct own* prev;
  struct own* next;
  bool is_busy;
  char padding[80]; /* a miss of the cache for each, too */
};

static struct own own_idle = {&own_idle, &own_idle, false, ""};
static struct own own_busy = {&own_busy, &own_busy, false, ""};

static void own_append(struct own* list, struct own* own) {
  own->next = list;
  own->prev = list->prev;
  own->prev->next = own;
  list->prev = own;
}

static void own_cut(struct own* own) {
  own->prev->next = own->next;
  own->next->prev = own->prev;
}

/* Functions of another file would not be inlined either. */
__attribute__((noinline)) static void own_set_busy(struct own* own) {
  own->is_busy = true;
  own_cut(own);
  own_append(&own_busy, own);
}

__attribute__((noinline)) static void own_set_idle(struct own* own) {
  own->is_busy = false;
  own_cut(own);
  own_append(&own_idle, own);
}

/* --- What is measured ----------------------------------------------------- */

/* A loop with so many connections, of one of the two kinds. */
struct server {
  const struct load* load;
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_shutdown_t sd;
  uvsig_shutdown_connection_t* connections;
  struct own* own;
  uint32_t* order; /* in which they have their requests, and are registered */
  uv_pipe_t* pipes;
  size_t closed;
};

static struct server server;

/* The same in each round: a generator of Marsaglia's, and Fisher and Yates. */
static void shuffle(uint32_t* order, size_t n) {
  uint64_t state = 88172645463325252u;
  uint32_t other;
  size_t i;
  size_t j;

  for (i = n; i > 1; i--) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    j = state % i;
    other = order[i - 1];
    order[i - 1] = order[j];
    order[j] = other;
  }
}

static void open_server(const struct peer* peer, bool is_shuffled) {
  uvsig_shutdown_options_t options;
  uint32_t i;

  server.load = peer->options;
  server.order = allocate(server.load->n, sizeof(*server.order));
  for (i = 0; i < server.load->n; i++)
    server.order[i] = i;
  if (is_shuffled)
    shuffle(server.order, server.load->n);
  check(uv_loop_init(&server.loop), "uv_loop_init");
  if (server.load->is_by_hand)
    return;
  uvsig_shutdown_options_init(&options);
  options.idle = server.load->idle;
  options.notify = 0;
  options.grace_ms = 30000;
  check(uvsig_init(&server.loop, &server.sig, NULL), "uvsig_init");
  check(uvsig_shutdown_init(&server.sig, &server.sd, &options),
        "uvsig_shutdown_init");
}

static void on_event(uvsig_shutdown_connection_t* c,
                     uvsig_shutdown_event_t event) {
  if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
    uvsig_shutdown_remove_connection(c);
    server.closed++;
  }
}

/* Of each connection, the first request is over. */
static void add_connections(void) {
  size_t n = server.load->n;
  size_t i;

  if (server.load->is_by_hand)
    server.own = allocate(n, sizeof(*server.own));
  else
    server.connections = allocate(n, sizeof(*server.connections));
  for (i = 0; i < n; i++)
    if (server.load->is_by_hand) {
      own_append(&own_busy, &server.own[server.order[i]]);
      own_set_idle(&server.own[server.order[i]]);
    } else {
      uvsig_shutdown_connection_t* c = &server.connections[server.order[i]];

      check(uvsig_shutdown_add_connection(&server.sd, c, on_event),
            "uvsig_shutdown_add_connection");
      uvsig_shutdown_connection_busy(c);
      uvsig_shutdown_connection_idle(c);
    }
}

/* Nothing here waits, so it is the processor time, in which other processes have
 * no part. */
static void set_processor_time(struct result* result,
                               const struct span* span,
                               double n) {
  result->cpu = (double) span->cpu / n;
  result->figures[0] = result->cpu;
}

/* --- busy-idle: one connection -------------------------------------------- */

static void one_busy_idle(const struct bench* bench,
                          const struct peer* peer,
                          struct result* result) {
  struct span span;
  unsigned i;

  open_server(peer, false);
  add_connections();
  uv_run(&server.loop, UV_RUN_NOWAIT);
  span_begin(&span);
  if (server.load->is_by_hand)
    for (i = 0; i < bench->repeats; i++) {
      own_set_busy(server.own);
      own_set_idle(server.own);
    }
  else
    for (i = 0; i < bench->repeats; i++) {
      uvsig_shutdown_connection_busy(server.connections);
      uvsig_shutdown_connection_idle(server.connections);
    }
  span_end(&span);
  set_processor_time(result, &span, bench->repeats);
}

/* --- busy-idle: many, in no order ----------------------------------------- */

static void many_busy_idle(const struct bench* bench,
                           const struct peer* peer,
                           struct result* result) {
  const uint32_t* order;
  struct span span;
  size_t first;
  size_t last = 0;
  unsigned i;

  open_server(peer, true);
  add_connections();
  uv_run(&server.loop, UV_RUN_NOWAIT);
  order = server.order;
  for (first = 0; first < UNDER_WAY; first++)
    if (server.load->is_by_hand)
      own_set_busy(&server.own[order[first]]);
    else
      uvsig_shutdown_connection_busy(&server.connections[order[first]]);
  span_begin(&span);
  for (i = 0; i < bench->repeats; i++) {
    if (server.load->is_by_hand) {
      own_set_busy(&server.own[order[first]]);
      own_set_idle(&server.own[order[last]]);
    } else {
      uvsig_shutdown_connection_busy(&server.connections[order[first]]);
      uvsig_shutdown_connection_idle(&server.connections[order[last]]);
    }
    first = first + 1 < server.load->n ? first + 1 : 0;
    last = last + 1 < server.load->n ? last + 1 : 0;
  }
  span_end(&span);
  set_processor_time(result, &span, bench->repeats);
}

/* --- connection-memory ---------------------------------------------------- */

static void connection_memory(const struct bench* bench,
                              const struct peer* peer,
                              struct result* result) {
  (void) bench;
  (void) peer;
  result->figures[0] = sizeof(uvsig_shutdown_connection_t);
  result->figures[1] = sizeof(uv_tcp_t);
}

/* --- closing: from the request to the end ---------------------------------  */

static void run_to_end(struct result* result) {
  struct span span;
  struct own* own;

  span_begin(&span);
  if (server.load->is_by_hand) {
    while (own_idle.next != &own_idle) {
      own = own_idle.next;
      own_cut(own);
      if (server.pipes != NULL)
        uv_close((uv_handle_t*) &server.pipes[own - server.own], NULL);
      server.closed++;
    }
  } else {
    check(uvsig_shutdown_request(&server.sd, "end", UVSIG_SHUTDOWN_GRACEFUL),
          "uvsig_shutdown_request");
  }
  uv_run(&server.loop, UV_RUN_DEFAULT);
  span_end(&span);
  set_processor_time(result, &span, (double) server.load->n);
  if (!server.load->is_by_hand)
    server.closed = server.sd.report.closed;
  check(server.closed == server.load->n ? 0 : UV_EIO, "closing");
}

static void close_idle(const struct bench* bench,
                       const struct peer* peer,
                       struct result* result) {
  open_server(peer, bench->n != 0);
  add_connections();
  run_to_end(result);
}

/* --- closing: with sockets ------------------------------------------------  */

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buffer) {
  static char bytes[64];

  (void) handle;
  (void) size;
  *buffer = uv_buf_init(bytes, sizeof(bytes));
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buffer) {
  (void) stream;
  (void) n;
  (void) buffer;
}

/* Returns whether there may be so many. */
static bool raise_limit(size_t fds) {
  struct rlimit limit;

  check_errno(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  if (limit.rlim_max < fds)
    return false;
  if (limit.rlim_cur < fds)
    limit.rlim_cur = fds;
  check_errno(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  return true;
}

static void add_stream(size_t i) {
  uv_stream_t* stream = (uv_stream_t*) &server.pipes[i];
  uv_file fds[2];

  check(uv_socketpair(SOCK_STREAM, 0, fds, UV_NONBLOCK_PIPE, 0),
        "uv_socketpair");
  check(uv_pipe_init(&server.loop, &server.pipes[i], 0), "uv_pipe_init");
  check(uv_pipe_open(&server.pipes[i], fds[0]), "uv_pipe_open");
  check(uv_read_start(stream, on_alloc, on_read), "uv_read_start");
  if (server.load->is_by_hand) {
    own_append(&own_idle, &server.own[i]);
  } else {
    check(uvsig_shutdown_add_stream(
              &server.sd, &server.connections[i], stream, NULL),
          "uvsig_shutdown_add_stream");
    uvsig_shutdown_connection_busy(&server.connections[i]);
    uvsig_shutdown_connection_idle(&server.connections[i]);
  }
}

static void close_streams(const struct bench* bench,
                          const struct peer* peer,
                          struct result* result) {
  size_t i;

  (void) bench;
  open_server(peer, false);
  if (!raise_limit(2 * server.load->n + 50))
    return;
  server.pipes = allocate(server.load->n, sizeof(*server.pipes));
  server.own = allocate(server.load->n, sizeof(*server.own));
  server.connections = allocate(server.load->n, sizeof(*server.connections));
  for (i = 0; i < server.load->n; i++)
    add_stream(i);
  uv_run(&server.loop, UV_RUN_NOWAIT);
  run_to_end(result);
}

const struct bench connection_benches[] = {
    {.workload = "busy-idle",
     .variant = "one connection",
     .figures = {"processor time"},
     .unit = "ns",
     .measure = one_busy_idle,
     .repeats = 1000000,
     .against = &by_hand_1,
     .only = hot},
    {.workload = "busy-idle",
     .variant = "many connections",
     .figures = {"processor time"},
     .unit = "ns",
     .measure = many_busy_idle,
     .repeats = 1000000,
     .against = &by_hand_1m,
     .only = cold},
    {.workload = "connection-memory",
     .variant = "",
     .figures = {"a connection", "a uv_tcp_t"},
     .unit = "bytes",
     .measure = connection_memory,
     .against = &conns_1,
     .only = any,
     .is_plain = true},
    {.workload = "closing",
     .variant = "in order",
     .figures = {"processor time for each"},
     .unit = "ns",
     .measure = close_idle,
     .against = &conns_10k,
     .only = sizes},
    {.workload = "closing",
     .variant = "shuffled",
     .figures = {"processor time for each"},
     .unit = "ns",
     .measure = close_idle,
     .n = 1,
     .against = &conns_10k,
     .only = sizes},
    {.workload = "closing",
     .variant = "streams",
     .figures = {"processor time for each"},
     .unit = "ns",
     .measure = close_streams,
     .against = &by_hand_5k,
     .only = stream_sizes},
    {.workload = NULL}};
