/* SPDX-License-Identifier: MIT
 *
 * Clients of a server that is restarted, upgraded or told to end: what became of
 * each request. For restart.sh and drain.sh. Runs in one thread, on epoll.
 *
 *   restart-client --port=PORT [OPTION]...
 *
 *   --new=N     N clients that open a connection for each request
 *   --keep=N    N clients that keep theirs, and obey "Connection: close"
 *   --idle=N    N that ask once, and close when the server does
 *   --deaf=N    N that ask once, and never close
 *   --half=N    N that send half of a request, and never close
 *   --slow=N    N that read a long answer slowly
 *   --every=MS  a client asks so often; 0: as fast as it can
 *   --path=PATH of each request; or
 *   --work=MS   of restart-server: an answer takes up to so long
 *   --protocol=http|line|websocket
 *   --csv=FILE  what became of requests, for each 100 ms
 *   --marks=FILE  when each line has come on standard input, in ms
 *
 * It goes on until the end of its standard input, then waits for the answers
 * that it is owed, 3 s at most. It prints "begun" when the first answer has come,
 * and at its end "kind.name=number" for each count:
 *
 *   sent      requests; also those that no connection was there for
 *   answered  whole answers
 *   refused   nobody listened
 *   reset     the connection was reset before the answer was whole
 *   cut       the connection ended before the answer was whole
 *   declined  answered, but not done: a status other than 200, or a goodbye of
 *             the protocol in place of an answer
 *   open      neither, 3 s after the last request
 *   raced     of those reset and cut: the connection had served before, and not
 *             a byte of the answer came. The server may have closed an idle
 *             connection while the request was on its way: RFC 9112, 9.3.1
 *   farewells of the answered: said that it is the last of the connection
 *   between   connections that the server has closed between two requests
 *
 * sent = answered + refused + reset + cut + declined + open. Nothing is asked
 * twice: what a client that tries again would have had is not hidden. */

#define _GNU_SOURCE 1 /* SOCK_NONBLOCK, strcasestr() */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  BIN_MS = 100,
  LAST_MS = 3000,    /* after the end of standard input */
  PAUSE_US = 1000,   /* after a request that failed */
  LINE = 64,         /* bytes of a line, or of a message */
  SLOW_MS = 100,     /* so often the slow ones read, */
  SLOW_SIZE = 32768, /* and so much */
  SLOW_BODY = 1000000
};

typedef enum { NEW, KEEP, IDLE, DEAF, HALF, SLOW, KINDS } kind_t;
typedef enum { HTTP, LINES, WEBSOCKET } protocol_t;

static const char* const kind_names[KINDS] = {
    "new", "keep", "idle", "deaf", "half", "slow"};

enum {
  SENT,
  ANSWERED,
  REFUSED,
  RESET,
  CUT,
  DECLINED,
  OPEN,
  RACED,
  FAREWELLS,
  ENDED, /* between two requests */
  COUNTS
};

static const char* const count_names[COUNTS] = {"sent",
                                                "answered",
                                                "refused",
                                                "reset",
                                                "cut",
                                                "declined",
                                                "open",
                                                "raced",
                                                "farewells",
                                                "between"};

typedef unsigned long counts_t[COUNTS];

typedef struct {
  kind_t kind;
  int fd; /* -1: none */
  enum {
    BETWEEN = 0, /* two requests; connected or not */
    CONNECTING,
    GREETING, /* WEBSOCKET's handshake */
    WAITING,  /* a request has been sent, and no byte has come */
    INSIDE,   /* an answer has begun */
    SILENT    /* no more is asked */
  } state;
  unsigned answers; /* on this connection */
  uint64_t due_us, asked_us;
  size_t head_size;
  int64_t left; /* of the body; -1: the head is not whole */
  int is_last, status;
  char head[2048];
} client_t;

static client_t* clients;
static int client_count;
static counts_t counts[KINDS], bin_start[KINDS];
static uint64_t longest_us[KINDS];
static protocol_t protocol;
static uint16_t port;
static uint64_t every_us, started_us, bin_us;
static const char* path = "/";
static unsigned work_ms;
static int has_begun, has_ended, has_work, epoll_fd;
static FILE *csv, *marks;
static uint32_t turn; /* counts connections */

__attribute__((noreturn)) static void die(const char* what) {
  fprintf(stderr, "restart-client: %s: %s\n", what, strerror(errno));
  exit(EXIT_FAILURE);
}

static uint64_t now_us(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

/* --- What becomes of a request -------------------------------------------- */

static void disconnect(client_t* c) {
  close(c->fd);
  c->fd = -1;
  c->answers = 0;
}

/* The next request is due so long after this one was. */
static void is_over(client_t* c, uint64_t pause_us) {
  uint64_t now = now_us();
  uint64_t took = now - c->asked_us;

  if (took > longest_us[c->kind])
    longest_us[c->kind] = took;
  c->due_us += every_us;
  if (c->due_us < now)
    c->due_us = now;
  if (c->due_us < now + pause_us)
    c->due_us = now + pause_us;
  c->state = c->kind == NEW || c->kind == KEEP ? BETWEEN : SILENT;
}

/* A request fails, or a connection ends between two. */
static void lose(client_t* c, int error) {
  unsigned long* n = counts[c->kind];

  if (c->state == BETWEEN || c->state == SILENT) {
    n[ENDED]++;
    disconnect(c);
    return;
  }
  if (error == ECONNREFUSED)
    n[REFUSED]++;
  else if (error != 0)
    n[RESET]++;
  else
    n[CUT]++;
  if (error != ECONNREFUSED && c->answers > 0 && c->state == WAITING)
    n[RACED]++;
  disconnect(c);
  is_over(c, PAUSE_US);
}

static void answered(client_t* c) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  unsigned long* n = counts[c->kind];

  if (!has_begun) {
    puts("begun");
    fflush(stdout);
    has_begun = 1;
  }
  if (c->status == 200)
    n[ANSWERED]++;
  else
    n[DECLINED]++;
  c->answers++;
  n[FAREWELLS] += c->is_last ? 1 : 0;
  if (c->is_last || c->kind == NEW)
    disconnect(c);
  else if (c->kind == SLOW)
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
  is_over(c, 0);
}

/* --- Requests ------------------------------------------------------------- */

static int is_gone(int error) {
  return error == ECONNRESET || error == EPIPE;
}

static void send_bytes(client_t* c, const void* bytes, size_t size) {
  ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL);

  if (n == (ssize_t) size)
    return;
  if (n >= 0 || !is_gone(errno))
    die("send");
  lose(c, ECONNRESET);
}

static void send_frame(client_t* c, int opcode, const void* bytes, size_t n) {
  /* What a client sends is masked, here by zeros. */
  unsigned char frame[6 + LINE] = {(unsigned char) (0x80 | opcode),
                                   (unsigned char) (0x80 | n)};

  memcpy(frame + 6, bytes, n);
  send_bytes(c, frame, 6 + n);
}

static void send_request(client_t* c) {
  char text[512];
  int size;

  c->state = WAITING;
  c->head_size = 0;
  c->left = -1;
  c->is_last = 0;
  c->status = 0;
  if (protocol != HTTP) {
    size = snprintf(text, sizeof(text), "%0*u\n", LINE - 1, turn);
    c->left = LINE;
    c->status = 200;
    if (protocol == WEBSOCKET)
      send_frame(c, 1, text, LINE);
    else
      send_bytes(c, text, (size_t) size);
    return;
  }
  if (c->kind == SLOW)
    size = snprintf(text, sizeof(text), "GET /0/%d", SLOW_BODY);
  else if (has_work)
    size = snprintf(text,
                    sizeof(text),
                    "GET /%u/100",
                    work_ms > 0 ? (unsigned) rand() % (work_ms + 1) : 0);
  else
    size = snprintf(text, sizeof(text), "GET %s", path);
  size += snprintf(text + size,
                   sizeof(text) - (size_t) size,
                   " HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                   c->kind == NEW ? "Connection: close\r\n" : "");
  send_bytes(c, text, (size_t) (c->kind == HALF ? size / 2 : size));
}

static void greet(client_t* c) {
  static const char text[] =
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

  c->state = GREETING;
  c->head_size = 0;
  c->left = -1;
  send_bytes(c, text, sizeof(text) - 1);
}

/* From many addresses of the loopback network, since each has 28,000 ports, and
 * one that has been closed here is not free for a while. */
static void open_one(client_t* c) {
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons(port),
                           .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct sockaddr_in from = {
      .sin_family = AF_INET,
      .sin_addr = {htonl(INADDR_LOOPBACK + 256 + turn++ % 200)}};
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
  int one = 1, small = SLOW_SIZE;

  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->fd < 0)
    die("socket");
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (c->kind == SLOW)
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  if (bind(c->fd, (struct sockaddr*) &from, sizeof(from)) != 0)
    die("bind");
  c->state = CONNECTING;
  if (connect(c->fd, (struct sockaddr*) &to, sizeof(to)) != 0 &&
      errno != EINPROGRESS) {
    if (errno != ECONNREFUSED && errno != ECONNRESET)
      die("connect");
    lose(c, errno);
    return;
  }
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
    die("epoll_ctl");
}

/* A client looks whether the server has closed before it sends. */
static void ask(client_t* c, uint64_t now) {
  char byte;
  ssize_t n;

  if (c->fd >= 0) {
    n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0 || (n < 0 && is_gone(errno)))
      lose(c, 0);
    else if (n > 0)
      return; /* to be read first: a goodbye */
  }
  c->asked_us = now;
  counts[c->kind][SENT]++;
  if (c->fd >= 0)
    send_request(c);
  else
    open_one(c);
}

static void on_connected(client_t* c) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  socklen_t size = sizeof(int);
  int error = 0;

  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    lose(c, error);
    return;
  }
  if (c->kind == SLOW) /* it looks when it is time */
    event.events = 0;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0)
    die("epoll_ctl");
  if (protocol == WEBSOCKET)
    greet(c);
  else
    send_request(c);
}

/* --- Answers -------------------------------------------------------------- */

/* Take some of the head. Returns how many bytes were. */
static size_t take_head(client_t* c, const char* bytes, size_t size) {
  size_t before = c->head_size;
  size_t room = sizeof(c->head) - 1 - before;
  const char *end, *value;

  if (size > room)
    size = room;
  memcpy(c->head + before, bytes, size);
  c->head_size += size;
  c->head[c->head_size] = '\0';
  end = strstr(c->head, "\r\n\r\n");
  if (end == NULL) {
    errno = EMSGSIZE;
    if (size == room)
      die("head of an answer");
    return size;
  }
  size = (size_t) (end + 4 - c->head) - before;
  if (c->state == GREETING) {
    if (atoi(c->head + 9) == 101) {
      send_request(c);
      return size;
    }
    lose(c, 0);
    return size;
  }
  value = strcasestr(c->head, "\r\nContent-Length:");
  c->status = atoi(c->head + 9);
  c->left = value != NULL && value < end ? strtoll(value + 17, NULL, 10) : 0;
  value = strcasestr(c->head, "\r\nConnection: close");
  c->is_last = value != NULL && value < end;
  return size;
}

/* One message, or the close frame: short ones, which come whole. Returns how
 * many bytes it has. */
static size_t take_frame(client_t* c, const unsigned char* bytes, size_t size) {
  size_t length = size > 1 ? bytes[1] : 0;

  if (size < 2 || length > 125 || size < 2 + length) {
    errno = EPROTO;
    die("frame");
  }
  if ((bytes[0] & 0x0f) != 8) {
    if (c->state == WAITING)
      answered(c);
    return 2 + length;
  }
  send_frame(c, 8, bytes + 2, length);
  if (c->fd >= 0 && c->state == WAITING) {
    c->status = 0;
    c->is_last = 1;
    answered(c);
  } else if (c->fd >= 0) {
    lose(c, 0);
  }
  return 2 + length;
}

static void take(client_t* c, const char* bytes, size_t size) {
  size_t part;

  while (size > 0 && c->fd >= 0) {
    if (protocol == WEBSOCKET && c->state != GREETING) {
      part = take_frame(c, (const unsigned char*) bytes, size);
      bytes += part;
      size -= part;
      continue;
    }
    if (c->state != WAITING && c->state != INSIDE && c->state != GREETING) {
      if (c->state == SILENT && c->kind == HALF)
        return; /* 408 */
      errno = EPROTO;
      die("bytes that nobody asked for");
    }
    if (c->state == WAITING)
      c->state = INSIDE;
    if (c->left < 0) {
      part = take_head(c, bytes, size);
    } else {
      part = size;
      if ((int64_t) part > c->left)
        part = (size_t) c->left;
      c->left -= (int64_t) part;
    }
    bytes += part;
    size -= part;
    if (c->state == INSIDE && c->left == 0)
      answered(c);
  }
}

static void read_some(client_t* c) {
  static char buffer[SLOW_SIZE];
  ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);

  if (n > 0)
    take(c, buffer, (size_t) n);
  else if (n == 0 && (c->kind == DEAF || c->kind == HALF) && c->state == SILENT)
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL); /* and the socket stays */
  else if (n == 0)
    lose(c, 0);
  else if (is_gone(errno))
    lose(c, ECONNRESET);
  else if (errno != EAGAIN && errno != EINTR)
    die("recv");
}

/* --- All of them ---------------------------------------------------------- */

static unsigned long of_bin(int kind, int count) {
  return counts[kind][count] - bin_start[kind][count];
}

static void end_bins(uint64_t now) {
  int i;

  while (csv != NULL && now - bin_us >= BIN_MS * 1000) {
    fprintf(csv,
            "%u,%lu,%lu",
            (unsigned) ((bin_us - started_us) / 1000),
            of_bin(NEW, ANSWERED),
            of_bin(KEEP, ANSWERED));
    for (i = REFUSED; i <= CUT; i++)
      fprintf(csv, ",%lu", of_bin(NEW, i) + of_bin(KEEP, i));
    fputc('\n', csv);
    memcpy(bin_start, counts, sizeof(counts));
    bin_us += BIN_MS * 1000;
  }
}

static void read_marks(void) {
  char text[256];
  ssize_t i, n = read(STDIN_FILENO, text, sizeof(text));

  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
    has_ended = 1;
  for (i = 0; i < n; i++)
    if (text[i] == '\n' && marks != NULL)
      fprintf(marks, "%.1f\n", (double) (now_us() - started_us) / 1000);
}

/* Ask, and read slowly, where it is time. Returns how many are owed an answer;
 * `next`: when it is time again. */
static int look_at_all(uint64_t now, uint64_t* next) {
  int i, owed = 0;

  *next = now + 1000000;
  for (i = 0; i < client_count; i++) {
    client_t* c = &clients[i];
    if (c->kind == SLOW && (c->state == WAITING || c->state == INSIDE)) {
      if (c->due_us <= now) {
        c->due_us = now + SLOW_MS * 1000;
        read_some(c);
      }
    } else if (c->state == BETWEEN && !has_ended && c->due_us <= now) {
      ask(c, now);
      if (c->kind == HALF && c->state == WAITING)
        c->state = SILENT;
    }
    if (c->state != BETWEEN && c->state != SILENT)
      owed += c->kind == NEW || c->kind == KEEP;
    if (((c->state == BETWEEN && !has_ended) || c->kind == SLOW) &&
        c->state != SILENT && c->due_us < *next)
      *next = c->due_us;
  }
  return owed;
}

static void run(void) {
  struct epoll_event events[64];
  uint64_t now, next = 0, ended_us = 0;
  int i, n, ms, owed;

  for (;;) {
    now = now_us();
    ms = next <= now ? 0 : (int) ((next - now + 999) / 1000);
    n = epoll_wait(epoll_fd, events, 64, ms > BIN_MS ? BIN_MS : ms);
    if (n < 0 && errno != EINTR)
      die("epoll_wait");
    for (i = 0; i < n; i++) {
      client_t* c = events[i].data.ptr;
      if (c == NULL) {
        read_marks();
        if (has_ended)
          epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
      } else if (c->state == CONNECTING) {
        on_connected(c);
        if (c->kind == HALF && c->state == WAITING)
          c->state = SILENT;
      } else if (c->fd >= 0) {
        read_some(c);
      }
    }
    now = now_us();
    end_bins(now);
    owed = look_at_all(now, &next);
    if (has_ended && ended_us == 0)
      ended_us = now;
    if (has_ended && (owed == 0 || now - ended_us > LAST_MS * 1000))
      return;
  }
}

static void print_counts(void) {
  int kind, i;

  for (kind = 0; kind < KINDS; kind++) {
    unsigned long* n = counts[kind];
    n[OPEN] = n[SENT];
    for (i = ANSWERED; i <= DECLINED; i++)
      n[OPEN] -= n[i];
    for (i = 0; i < COUNTS && n[SENT] > 0; i++)
      printf("%s.%s=%lu\n", kind_names[kind], count_names[i], n[i]);
    if (n[SENT] > 0)
      printf("%s.longest_ms=%lu\n",
             kind_names[kind],
             (unsigned long) (longest_us[kind] / 1000));
  }
}

static FILE* open_file(const char* name) {
  FILE* file = fopen(name, "we");

  if (file == NULL)
    die(name);
  return file;
}

static void add_clients(kind_t kind, int count, uint64_t now) {
  client_t* c;

  if (count == 0)
    return;
  clients = realloc(clients, (size_t) (client_count + count) * sizeof(*c));
  if (clients == NULL)
    die("memory");
  for (; count > 0; count--) {
    c = &clients[client_count++];
    memset(c, 0, sizeof(*c));
    c->kind = kind;
    c->fd = -1;
    c->due_us = now + (every_us > 0 ? (uint64_t) rand() % every_us : 0);
  }
}

int main(int argc, char** argv) {
  static const struct option longopts[] = {
      {"new", required_argument, NULL, NEW},
      {"keep", required_argument, NULL, KEEP},
      {"idle", required_argument, NULL, IDLE},
      {"deaf", required_argument, NULL, DEAF},
      {"half", required_argument, NULL, HALF},
      {"slow", required_argument, NULL, SLOW},
      {"csv", required_argument, NULL, 'c'},
      {"every", required_argument, NULL, 'e'},
      {"marks", required_argument, NULL, 'm'},
      {"path", required_argument, NULL, 'P'},
      {"port", required_argument, NULL, 'p'},
      {"protocol", required_argument, NULL, 't'},
      {"work", required_argument, NULL, 'w'},
      {NULL, 0, NULL, 0}};
  struct epoll_event event = {.events = EPOLLIN};
  int numbers[KINDS] = {0};
  int option, kind;

  while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1)
    if (option < KINDS)
      numbers[option] = atoi(optarg);
    else if (option == 'c')
      csv = open_file(optarg);
    else if (option == 'e')
      every_us = (uint64_t) atoi(optarg) * 1000;
    else if (option == 'm')
      marks = open_file(optarg);
    else if (option == 'P')
      path = optarg;
    else if (option == 'p')
      port = (uint16_t) atoi(optarg);
    else if (option == 't')
      protocol = *optarg == 'h' ? HTTP : *optarg == 'l' ? LINES : WEBSOCKET;
    else if (option == 'w')
      work_ms = (unsigned) atoi(optarg), has_work = 1;
    else
      return 2;
  if (port == 0 || optind < argc) {
    fputs("restart-client: --port is missing\n", stderr);
    return 2;
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0 || fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) != 0 ||
      epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
    die("standard input is to be a pipe");
  started_us = bin_us = now_us();
  for (kind = 0; kind < KINDS; kind++)
    add_clients((kind_t) kind, numbers[kind], started_us);
  if (csv != NULL)
    fputs("ms,new_answered,keep_answered,refused,reset,cut\n", csv);
  run();
  print_counts();
  return EXIT_SUCCESS;
}
