/* SPDX-License-Identifier: MIT
 *
 * The server that restart.sh and drain.sh compare ways to end with: HTTP on
 * uv_tcp_t, and as little of it as the clients need. GET /MS/SIZE is answered
 * after MS milliseconds, with SIZE bytes.
 *
 *   restart-server [OPTION]...
 *
 *   --end=HOW     plain: SIGTERM has its default action
 *                 stop: uv_signal_t and uv_stop(), then main() returns
 *                 drain: a uvsig_shutdown_t
 *                 upgrade: and a uvsig_upgrade_t on SIGUSR2
 *   --port=PORT   0: a free one, which it prints
 *   --startup=MS  what it takes before it listens, as a real one's
 *                 configuration does
 *   --idle=HOW    close, after-response or spread: see uvsig_shutdown_init(3)
 *   --grace=MS, --hard=MS, --linger=MS, --spread=MS, --settle=MS
 *   --timeline=FILE  how many connections are in which state, each 20 ms */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uvsig.h>

enum { SAMPLE_MS = 20, HIGHEST = 4096 };

enum how { PLAIN, STOP, DRAIN, UPGRADE };
/* FORCED: lingers, because time was up. */
enum state { IDLE, BUSY, LINGERING, FORCED, STATES };

struct connection {
  uv_tcp_t tcp; /* first, so that the stream's address is the connection's */
  uv_timer_t work;
  uv_write_t write;
  uvsig_shutdown_connection_t tracked;
  enum state state;
  int is_last; /* what is written says so */
  size_t size; /* of what is in `head` */
  int handles; /* that are not closed */
  char head[HIGHEST];
  char* answer;
};

static uv_loop_t* loop;
static uvsig_t sig;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static enum how how = UPGRADE;
static uv_timer_t sample;
static FILE* timeline;
static uint64_t started_ms;
static unsigned states[STATES];

static void check(int err, const char* what) {
  if (err >= 0)
    return;
  fprintf(stderr, "restart-server: %s: %s\n", what, uv_strerror(err));
  exit(EXIT_FAILURE);
}

static int is_draining(void) {
  return how >= DRAIN && uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_RUNNING;
}

/* --- A connection --------------------------------------------------------- */

static void set_state(struct connection* c, enum state state) {
  states[c->state]--;
  c->state = state;
  states[c->state]++;
}

static void let_go(uv_handle_t* handle) {
  struct connection* c = handle->data;

  if (--c->handles > 0)
    return;
  free(c->answer);
  free(c);
}

static void on_closed(uv_handle_t* tcp) {
  struct connection* c = tcp->data;

  states[c->state]--;
  uv_close((uv_handle_t*) &c->work, let_go);
  let_go(tcp);
}

static void hang_up_as(struct connection* c, enum state state) {
  uv_stream_t* stream = (uv_stream_t*) &c->tcp;

  uv_timer_stop(&c->work);
  if (how >= DRAIN) {
    set_state(c, state);
    uvsig_shutdown_linger(&c->tracked, stream, on_closed);
  } else if (!uv_is_closing((uv_handle_t*) stream)) {
    uv_close((uv_handle_t*) stream, on_closed);
  }
}

static void hang_up(struct connection* c) {
  hang_up_as(c, LINGERING);
}

static void on_event(uvsig_shutdown_connection_t* tracked,
                     uvsig_shutdown_event_t event) {
  if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN)
    hang_up_as(tracked->data,
               event == UVSIG_SHUTDOWN_CONNECTION_FORCE ? FORCED : LINGERING);
}

static void look_for_request(struct connection* c);

static void on_written(uv_write_t* write, int status) {
  struct connection* c = write->data;

  free(c->answer);
  c->answer = NULL;
  if (c->state >= LINGERING)
    return;
  if (status != 0 || (c->is_last && how < DRAIN)) {
    hang_up(c);
    return;
  }
  set_state(c, IDLE);
  /* Draining may have begun since that was written. Where it did not say that
   * it is the last, the next one will: the client may be sending already. */
  if (how >= DRAIN && c->is_last == is_draining())
    uvsig_shutdown_connection_idle(&c->tracked);
  if (how >= DRAIN && c->is_last && !is_draining())
    hang_up(c);
  else
    look_for_request(c);
}

static void on_work(uv_timer_t* work) {
  struct connection* c = work->data;
  char* rest = memchr(c->head + 5, '/', c->size - 5);
  size_t size = rest != NULL ? strtoul(rest + 1, NULL, 10) : 0;
  char* end = strstr(c->head, "\r\n\r\n") + 4;
  uv_buf_t buf;
  int length;

  c->is_last =
      strstr(c->head, "Connection: close\r\n") != NULL ||
      (how >= DRAIN && uvsig_shutdown_phase(&sd) != UVSIG_SHUTDOWN_RUNNING);
  c->size -= (size_t) (end - c->head);
  memmove(c->head, end, c->size + 1);
  c->answer = calloc(1, size + 128);
  if (c->answer == NULL)
    abort();
  length = snprintf(c->answer,
                    128,
                    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n",
                    size,
                    c->is_last ? "Connection: close\r\n" : "");
  memset(c->answer + length, 'x', size);
  buf = uv_buf_init(c->answer, (unsigned) (size + (size_t) length));
  c->write.data = c;
  if (uv_write(&c->write, (uv_stream_t*) &c->tcp, &buf, 1, on_written) != 0)
    hang_up(c);
}

static void look_for_request(struct connection* c) {
  uint64_t ms;

  if (c->size == 0 || c->state >= LINGERING)
    return;
  if (c->state == IDLE) {
    set_state(c, BUSY);
    if (how >= DRAIN)
      uvsig_shutdown_connection_busy(&c->tracked);
  }
  if (c->answer != NULL || uv_is_active((uv_handle_t*) &c->work) ||
      strstr(c->head, "\r\n\r\n") == NULL)
    return;
  ms = strtoul(c->head + 5, NULL, 10); /* after "GET /" */
  if (ms == 0)
    on_work(&c->work);
  else
    uv_timer_start(&c->work, on_work, ms, 0);
}

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  struct connection* c = handle->data;

  (void) size;
  *buf = uv_buf_init(c->head + c->size,
                     (unsigned) (sizeof(c->head) - 1 - c->size));
}

static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* buf) {
  struct connection* c = stream->data;

  (void) buf;
  if (size < 0) {
    hang_up(c);
    return;
  }
  c->size += (size_t) size;
  c->head[c->size] = '\0';
  look_for_request(c);
}

static void on_connection(uv_stream_t* listener, int status) {
  struct connection* c = status == 0 ? calloc(1, sizeof(*c)) : NULL;
  uv_stream_t* stream = (uv_stream_t*) c;

  if (c == NULL)
    return;
  check(uv_tcp_init(loop, &c->tcp), "uv_tcp_init");
  check(uv_timer_init(loop, &c->work), "uv_timer_init");
  c->tcp.data = c->work.data = c->tracked.data = c;
  c->handles = 2;
  states[IDLE]++;
  if (uv_accept(listener, stream) != 0 ||
      uv_read_start(stream, on_alloc, on_read) != 0 ||
      (how >= DRAIN &&
       uvsig_shutdown_add_connection(&sd, &c->tracked, on_event) != 0))
    uv_close((uv_handle_t*) stream, on_closed);
}

/* --- Its timeline --------------------------------------------------------- */

static void write_sample(void) {
  fprintf(timeline,
          "%llu,%d,%u,%u,%u,%u,%u,%u,%u\n",
          (unsigned long long) (uv_now(loop) - started_ms),
          uvsig_shutdown_phase(&sd),
          states[BUSY],
          states[IDLE],
          states[LINGERING],
          states[FORCED],
          sd.report.closed,
          sd.report.forced,
          sd.report.cut);
}

static void on_sample(uv_timer_t* timer) {
  (void) timer;
  write_sample();
}

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  (void) shutdown;
  if (timeline == NULL)
    return;
  uv_update_time(loop);
  write_sample();
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  uv_close((uv_handle_t*) &sample, NULL);
  fclose(timeline);
}

static void open_timeline(const char* name) {
  timeline = fopen(name, "we");
  check(timeline != NULL ? 0 : UV_EIO, name);
  fputs("ms,phase,busy,idle,lingering,forced,closed,all_forced,all_cut\n",
        timeline);
  started_ms = uv_now(loop);
  uv_timer_init(loop, &sample);
  uv_timer_start(&sample, on_sample, 0, SAMPLE_MS);
}

/* --- The server ----------------------------------------------------------- */

static void on_sigterm(uv_signal_t* signal, int signum) {
  (void) signum;
  uv_stop(signal->loop);
}

/* `log` says how it went. */
static void on_upgrade(uvsig_upgrade_t* u, int status) {
  (void) u;
  (void) status;
}

static void init_signals(unsigned settle_ms) {
  static uv_signal_t signal;
  static uvsig_upgrade_t upgrade;
  uvsig_upgrade_options_t upgrade_options;

  if (how == STOP) {
    check(uv_signal_init(loop, &signal), "uv_signal_init");
    check(uv_signal_start(&signal, on_sigterm, SIGTERM), "uv_signal_start");
  }
  if (how < DRAIN)
    return;
  check(uvsig_init(loop, &sig, NULL), "uvsig_init");
  check(uvsig_shutdown_init(&sig, &sd, &options), "uvsig_shutdown_init");
  if (how < UPGRADE)
    return;
  uvsig_upgrade_options_init(&upgrade_options);
  upgrade_options.settle_ms = settle_ms;
  check(uvsig_upgrade_init(&sd, &upgrade, &upgrade_options), "upgrade_init");
  check(uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2), "upgrade_start");
}

static void serve(int port) {
  static uvsig_shutdown_listener_t listener;
  static uv_tcp_t tcp;
  uv_stream_t* stream = (uv_stream_t*) &tcp;
  struct sockaddr_in address;
  uvsig_listen_fd_t handed;
  int size = sizeof(address);
  int count = uvsig_listen_fds(&handed, 1);

  check(count, "uvsig_listen_fds");
  check(uv_tcp_init(loop, &tcp), "uv_tcp_init");
  uv_ip4_addr("127.0.0.1", port, &address);
  if (count == 1)
    check(uv_tcp_open(&tcp, handed.fd), "uv_tcp_open");
  else
    check(uv_tcp_bind(&tcp, (const struct sockaddr*) &address, 0), "bind");
  check(uv_listen(stream, SOMAXCONN, on_connection), "uv_listen");
  check(uv_tcp_getsockname(&tcp, (struct sockaddr*) &address, &size), "name");
  if (count == 0)
    printf("Serving on 127.0.0.1:%d\n", ntohs(address.sin_port));
  fflush(stdout);
  if (how < DRAIN)
    return;
  uvsig_shutdown_add_listener(&sd, &listener, stream, NULL);
  uvsig_shutdown_ready(&sd);
}

static int find(const char* name, const char* const* names) {
  int i;

  for (i = 0; names[i] != NULL; i++)
    if (strcmp(name, names[i]) == 0)
      return i;
  exit(2);
}

int main(int argc, char** argv) {
  static const char* const hows[] = {"plain", "stop", "drain", "upgrade", NULL};
  static const char* const idles[] = {
      "close", "after-response", "spread", NULL};
  static const struct option longopts[] = {
      {"end", required_argument, NULL, 'e'},
      {"grace", required_argument, NULL, 'g'},
      {"hard", required_argument, NULL, 'h'},
      {"idle", required_argument, NULL, 'i'},
      {"linger", required_argument, NULL, 'l'},
      {"port", required_argument, NULL, 'p'},
      {"settle", required_argument, NULL, 's'},
      {"spread", required_argument, NULL, 'S'},
      {"startup", required_argument, NULL, 'u'},
      {"timeline", required_argument, NULL, 't'},
      {NULL, 0, NULL, 0}};
  unsigned settle_ms = 1000, startup_ms = 0;
  const char* file = NULL;
  int port = 0, option;

  uvsig_shutdown_options_init(&options);
  options.idle = UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE;
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.phase_cb = on_phase;
  options.log = 1;
  while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
    unsigned number = optarg != NULL ? (unsigned) atoi(optarg) : 0;
    switch (option) {
    case 'e':
      how = (enum how) find(optarg, hows);
      break;
    case 'g':
      options.grace_ms = number;
      break;
    case 'h':
      options.hard_ms = number;
      break;
    case 'i':
      options.idle = (uvsig_shutdown_idle_t) find(optarg, idles);
      break;
    case 'l':
      options.linger_ms = number;
      break;
    case 'p':
      port = (int) number;
      break;
    case 's':
      settle_ms = number;
      break;
    case 'S':
      options.spread_ms = number;
      break;
    case 't':
      file = optarg;
      break;
    case 'u':
      startup_ms = number;
      break;
    default:
      return 2;
    }
  }
  loop = uv_default_loop();
  check(uvsig_ignore(SIGPIPE), "uvsig_ignore");
  init_signals(settle_ms);
  if (startup_ms > 0)
    uv_sleep(startup_ms);
  serve(port);
  if (file != NULL)
    open_timeline(file);
  uv_run(loop, UV_RUN_DEFAULT);
  return how >= DRAIN ? uvsig_shutdown_exit(&sd) : EXIT_SUCCESS;
}
