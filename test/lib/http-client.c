/* SPDX-License-Identifier: MIT
 *
 * A client that sends SIGTERM to an HTTP server and tells how each of its
 * connections ended: for test/http-server.sh, which reads what it prints.
 *
 *   http-client busy PORT PID COUNT PATH...   requests, one after the other
 *   http-client idle PORT PID COUNT PATH      one request each, then silence
 *   http-client lines PORT PID COUNT PATH     the same, and each request has
 *                                             an empty line after it
 *   http-client chunks PORT PID COUNT PATH    the same with a body in chunks
 *   http-client patient PORT PID COUNT PATH   one request each, an upgrade, and
 *                                             long after it the next ones
 *   http-client slow PORT PID 1 PATH          a request, byte by byte
 *   http-client pieces PORT PID 1 PATH        a request in pieces, with pauses
 *   http-client continue PORT PID 1 PATH      the same with a body, which the
 *                                             server has said to go on with
 *   http-client unfinished PORT PID 1 PATH    the first piece of a request
 *   http-client half PORT PID 2 PATH          a request and the end at once,
 *                                             beside an idle connection
 *   http-client torn PORT PID 2 PATH          the same with half of a request
 *   http-client torn-body PORT PID 2 PATH     and with a piece of its body
 *   http-client torn-upload PORT PID 2 PATH   and with a large one
 *   http-client stalled PORT PID 1 PATH       a request, and nothing is read
 *   http-client run PROGRAM [ARGUMENT]...     with SIGINT not ignored, as it
 *                                             is in a shell's background job
 *
 * It prints "name=number" for each count, and exits with 0: what is good, the
 * script decides. 1: something else has failed; 77: this system cannot tell
 * when a process ends. */

#define _GNU_SOURCE 1 /* SOCK_CLOEXEC */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS     120000
#define MAX_CONNECTIONS 2000

/* A request that follows the one before within so long is always answered: half
 * of QUIET_MS in examples/http-connection.c, for clocks that tick slowly. */
#define PROMPT_MS 500

/* How many requests a connection has had answered when the signal is sent, on
 * average; and how long every second connection thinks before the next one, at
 * most. */
#define WARM_UP  20
#define THINK_MS 50

/* How long the idle ones are watched before the signal: longer than QUIET_MS,
 * or they would not be idle yet. */
#define SILENCE_MS 1500

/* How long each byte of the slow request takes: longer than PROMPT_MS together,
 * and QUIET_MS. */
#define BYTE_MS 50

/* How far the pieces of a request are apart: no server takes that for idle. */
#define PIECE_MS 1600

typedef enum {
  THINKING = 0, /* the last response is whole */
  WAITING,      /* a request has been sent, and no byte has come */
  INSIDE,       /* a response has begun */
  LAST,         /* it is whole, and said that it is the last */
  CLOSED
} state_t;

typedef struct {
  int fd;
  state_t state;
  int promised; /* the server owes an answer to this request */
  int64_t sent_at, next_at;
  size_t head_size; /* of `head`, while it is not whole */
  int64_t left;     /* of the body; -1: the header is not whole */
  char head[2048];
} connection_t;

static connection_t connections[MAX_CONNECTIONS];
static struct pollfd fds[MAX_CONNECTIONS];
static int count;
static char** paths;
static int path_count;
static uint16_t port;
static pid_t server;
static int pidfd;
static int wanted_status = 200;
static const char* method = "GET";
static const char* after_host = "\r\n";  /* the rest of a request */
static int is_continued;                 /* 100 Continue has come */
static int64_t started_at, signalled_at; /* 0: not yet */

static struct {
  unsigned answered;   /* responses that were whole */
  unsigned farewells;  /* of these, with Connection: close */
  unsigned between;    /* ended between a response and the next request */
  unsigned after_last; /* ended after Connection: close */
  unsigned cut;        /* ended inside of a response */
  unsigned unanswered; /* ended without a byte of one that was owed */
  unsigned late;       /* ended without a byte of one that was not */
  unsigned reset;      /* of all these but `late`, by a reset */
} seen;

__attribute__((noreturn)) static void die(const char* what) {
  fprintf(stderr, "http-client: %s: %s\n", what, strerror(errno));
  exit(EXIT_FAILURE);
}

static int64_t now_ms(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void check_deadline(void) {
  if (now_ms() - started_at > DEADLINE_MS) {
    errno = ETIMEDOUT;
    die("the server does not end it");
  }
}

static void send_signal(int signum) {
  signalled_at = now_ms();
  if (kill(server, signum) != 0)
    die("kill");
}

/* --- One connection ------------------------------------------------------- */

/* What is interrupted goes on in the kernel. */
static void connect_one(int fd, const struct sockaddr_in* address) {
  struct pollfd connected = {.fd = fd, .events = POLLOUT};

  while (connect(fd, (const struct sockaddr*) address, sizeof(*address)) != 0 &&
         errno != EISCONN) {
    if (errno == EALREADY)
      poll(&connected, 1, 1000);
    else if (errno != EINTR)
      die("connect");
    check_deadline();
  }
}

static void open_one(connection_t* connection, int receive_buffer) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0)
    die("socket");
  if (receive_buffer > 0 &&
      setsockopt(
          fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer)) !=
          0)
    die("SO_RCVBUF");
  connection->sent_at = now_ms();
  connect_one(fd, &address);
  connection->fd = fd;
}

static void end(connection_t* connection, int reset) {
  int counts = 1;

  switch (connection->state) {
  case THINKING:
    seen.between++;
    break;
  case LAST:
    seen.after_last++;
    break;
  case INSIDE:
    seen.cut++;
    break;
  case WAITING:
    if (connection->promised) {
      seen.unanswered++;
    } else {
      seen.late++;
      counts = 0;
    }
    break;
  case CLOSED:
    return;
  }
  seen.reset += counts && reset;
  connection->state = CLOSED;
  close(connection->fd);
}

static int make_request(char* request, size_t room) {
  return snprintf(request,
                  room,
                  "%s /%s HTTP/1.1\r\nHost: localhost\r\n%s",
                  method,
                  paths[rand() % path_count],
                  after_host);
}

/* 0, or errno. */
static int send_whole(int fd, const char* bytes, size_t size) {
  ssize_t sent;

  for (; size > 0; bytes += sent, size -= (size_t) sent) {
    do
      sent = send(fd, bytes, size, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
      return errno;
  }
  return 0;
}

/* Sent before the signal, it is there when the server looks. Sent after it, but
 * promptly, the server has not seen the connection idle for long: from before
 * the last time until after this one, for this process may stand still, too.
 * What belongs to a request that has not been promised is not, either. */
static void send_bytes(connection_t* connection,
                       const char* bytes,
                       size_t size,
                       int belongs) {
  int64_t before = now_ms();
  int error = send_whole(connection->fd, bytes, size);

  if (!belongs)
    connection->promised = 1;
  if (signalled_at != 0 && now_ms() - connection->sent_at >= PROMPT_MS)
    connection->promised = 0;
  connection->sent_at = before;
  if (error != 0)
    end(connection, error == ECONNRESET);
}

/* Ask for the next path. */
static void ask(connection_t* connection) {
  char request[512];
  int size = make_request(request, sizeof(request));

  connection->state = WAITING;
  connection->left = -1;
  connection->head_size = 0;
  send_bytes(connection, request, (size_t) size, 0);
}

/* A line of the header, without its name; NULL: it is not there. */
static const char* field(const char* head, const char* name) {
  const char* line;

  for (line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
    line += 2;
    if (strncasecmp(line, name, strlen(name)) == 0)
      return line + strlen(name);
  }
  return NULL;
}

static void finish(connection_t* connection) {
  const char* value = field(connection->head, "Connection:");

  seen.answered++;
  if (value != NULL && strncasecmp(value, " close", 6) == 0) {
    seen.farewells++;
    connection->state = LAST;
  } else {
    connection->state = THINKING;
    connection->next_at = now_ms();
    if ((connection - connections) % 2 != 0)
      connection->next_at += rand() % THINK_MS;
  }
}

/* Take some of the header. Returns how many bytes were. */
static size_t take_head(connection_t* connection,
                        const char* bytes,
                        size_t size) {
  size_t before = connection->head_size;
  size_t room = sizeof(connection->head) - 1 - before;
  const char *end_of_head, *value;

  if (size > room)
    size = room;
  memcpy(connection->head + before, bytes, size);
  connection->head[before + size] = '\0';
  end_of_head = strstr(connection->head, "\r\n\r\n");
  if (end_of_head == NULL) {
    connection->head_size += size;
    if (size == room) {
      errno = EMSGSIZE;
      die("header");
    }
    return size;
  }
  if (strncmp(connection->head, "HTTP/1.1 100 ", 13) == 0) {
    is_continued = 1;
    connection->state = WAITING;
    connection->head_size = 0;
    return (size_t) (end_of_head + 4 - connection->head) - before;
  }
  value = field(connection->head, "Content-Length:");
  if (atoi(connection->head + strlen("HTTP/1.1 ")) != wanted_status ||
      value == NULL) {
    errno = EPROTO;
    die(connection->head);
  }
  connection->left = strtoll(value, NULL, 10);
  return (size_t) (end_of_head + 4 - connection->head) - before;
}

static void take(connection_t* connection, const char* bytes, size_t size) {
  size_t part;

  while (size > 0) {
    if (connection->state != WAITING && connection->state != INSIDE) {
      errno = EPROTO;
      die("bytes that nobody asked for");
    }
    connection->state = INSIDE;
    if (connection->left < 0) {
      part = take_head(connection, bytes, size);
    } else {
      part = size;
      if ((int64_t) part > connection->left)
        part = (size_t) connection->left;
      connection->left -= (int64_t) part;
    }
    bytes += part;
    size -= part;
    if (connection->left == 0)
      finish(connection);
  }
}

static void read_some(connection_t* connection) {
  static char buffer[65536];
  ssize_t size = recv(connection->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

  if (size > 0)
    take(connection, buffer, (size_t) size);
  else if (size == 0)
    end(connection, 0);
  else if (errno == ECONNRESET)
    end(connection, 1);
  else if (errno != EAGAIN && errno != EINTR)
    die("recv");
}

/* --- All of them ---------------------------------------------------------- */

/* Wait until something has come, for so long at most, and read it. Returns how
 * many connections are open. */
static int read_all(int timeout) {
  int i, open = 0;

  check_deadline();
  for (i = 0; i < count; i++) {
    fds[i].fd = connections[i].state != CLOSED ? connections[i].fd : -1;
    fds[i].events = POLLIN;
    fds[i].revents = 0;
  }
  if (poll(fds, (nfds_t) count, timeout) < 0 && errno != EINTR)
    die("poll");
  for (i = 0; i < count; i++) {
    if (fds[i].revents != 0)
      read_some(&connections[i]);
    open += connections[i].state != CLOSED;
  }
  return open;
}

/* Wait for the end of the server, without collecting it: it is the script's
 * child. */
static void await_exit(void) {
  struct pollfd ended = {.fd = pidfd, .events = POLLIN};

  while (poll(&ended, 1, 1000) <= 0)
    check_deadline();
  printf("exit_ms=%lld\n", (long long) (now_ms() - signalled_at));
}

static void print_seen(void) {
  printf("answered=%u\nfarewells=%u\nbetween=%u\nafter_last=%u\ncut=%u\n"
         "unanswered=%u\nlate=%u\nreset=%u\n",
         seen.answered,
         seen.farewells,
         seen.between,
         seen.after_last,
         seen.cut,
         seen.unanswered,
         seen.late,
         seen.reset);
  fflush(stdout); /* the server may go on */
}

static void be_busy(void) {
  connection_t* connection;
  int i;

  for (i = 0; i < count; i++)
    ask(&connections[i]);
  while (read_all(5) > 0) {
    if (signalled_at == 0 && seen.answered >= (unsigned) count * WARM_UP)
      send_signal(SIGTERM);
    for (i = 0; i < count; i++) {
      connection = &connections[i];
      if (connection->state == THINKING && now_ms() >= connection->next_at)
        ask(connection);
    }
  }
}

static int is_answering(void) {
  int i;

  for (i = 0; i < count; i++) {
    if (connections[i].state == WAITING || connections[i].state == INSIDE)
      return 1;
  }
  return 0;
}

static void ask_once(void) {
  int i;

  for (i = 0; i < count; i++)
    ask(&connections[i]);
  while (is_answering())
    read_all(100);
}

static void wait_and_read(int64_t ms) {
  int64_t until = now_ms() + ms;

  while (now_ms() < until)
    read_all((int) (until - now_ms()));
}

static void be_idle(const char* how) {
  int i;

  if (strcmp(how, "lines") == 0) {
    after_host = "\r\n\r\n";
  } else if (strcmp(how, "chunks") == 0) {
    method = "POST";
    after_host = "Transfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n0\r\n\r\n";
    wanted_status = 405;
  }
  ask_once();
  for (i = 0; i < count && strcmp(how, "lines") == 0; i += 2)
    send_whole(connections[i].fd, "\r\n", 2); /* a late one */
  wait_and_read(SILENCE_MS);
  printf("early=%u\n", seen.between);
  send_signal(SIGTERM);
  while (read_all(1000) > 0)
    ;
}

/* The next answers are the last ones, as soon as the successor is ready. */
static void be_patient(void) {
  int i;

  ask_once();
  send_signal(SIGUSR2);
  wait_and_read(2 * SILENCE_MS);
  printf("early=%u\n", seen.between);
  do {
    for (i = 0; i < count; i++)
      if (connections[i].state == THINKING)
        ask(&connections[i]);
  } while (read_all(100) > 0);
}

/* The signal comes in the middle of the request. */
static void be_slow(void) {
  connection_t* connection = &connections[0];
  char request[512];
  int size = make_request(request, sizeof(request));
  int i;

  connection->state = WAITING;
  connection->left = -1;
  for (i = 0; i < size && connection->state != CLOSED; i++) {
    if (i == size / 4)
      send_signal(SIGTERM);
    send_bytes(connection, request + i, 1, i > 0);
    read_all(BYTE_MS);
  }
  while (read_all(1000) > 0)
    ;
}

/* The signal comes after the first piece. An answer is owed to the request,
 * however slow it is. */
static void send_pieces(const char* const* pieces) {
  connection_t* connection = &connections[0];

  connection->state = WAITING;
  connection->left = -1;
  connection->promised = 1;
  for (; *pieces != NULL && connection->state != CLOSED; pieces++) {
    if (send_whole(connection->fd, *pieces, strlen(*pieces)) != 0)
      break; /* and reading says how it has ended */
    while (strstr(*pieces, "Expect:") != NULL && !is_continued &&
           connection->state != CLOSED)
      read_all(1000);
    if (signalled_at == 0)
      send_signal(SIGTERM);
    if (pieces[1] != NULL)
      wait_and_read(PIECE_MS);
  }
  while (read_all(1000) > 0)
    ;
}

static void be_piecewise(const char* how) {
  char first[512];
  const char* pieces[] = {
      first, "P/1.1\r\n", "Host: localhost", "\r\n\r\n", NULL};

  if (strcmp(how, "continue") == 0) {
    wanted_status = 405;
    snprintf(first,
             sizeof(first),
             "POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
             "Expect: 100-continue\r\n\r\n",
             paths[0]);
    pieces[1] = pieces[2] = pieces[3] = "abc";
  } else {
    snprintf(first, sizeof(first), "GET /%s HTT", paths[0]);
  }
  if (strcmp(how, "unfinished") == 0) {
    wanted_status = 408;
    pieces[1] = NULL;
  }
  send_pieces(pieces);
}

/* The server stands still, so that the request and the end come together, and
 * in one segment if that has room. The
 * other connection was idle before, and so is the first to be closed where that
 * takes the server's time limit. */
static void close_half(const char* how) {
  static const char header[] = "GET /hel";
  static const char body[] = "POST / HTTP/1.1\r\nHost: localhost\r\n"
                             "Content-Length: 100000000\r\n\r\nabc";
  static const char more[100000]; /* more than libmicrohttpd reads at once */
  connection_t* connection = &connections[1];
  int one = 1;

  ask(&connections[0]);
  while (is_answering())
    read_all(100);
  if (kill(server, SIGSTOP) != 0)
    die("kill");
  if (setsockopt(connection->fd, IPPROTO_TCP, TCP_CORK, &one, sizeof(one)) != 0)
    die("TCP_CORK");
  if (strcmp(how, "half") == 0)
    ask(connection);
  else if (strcmp(how, "torn") == 0)
    send_whole(connection->fd, header, strlen(header));
  else
    send_whole(connection->fd, body, strlen(body));
  if (strcmp(how, "torn-upload") == 0)
    send_whole(connection->fd, more, sizeof(more));
  if (shutdown(connection->fd, SHUT_WR) != 0)
    die("shutdown");
  wait_and_read(100);
  if (kill(server, SIGCONT) != 0)
    die("kill");
  while (connections[0].state != CLOSED && connection->state != CLOSED)
    read_all(1000);
  printf("outlasted=%d\n", connections[0].state != CLOSED);
  send_signal(SIGTERM);
  while (read_all(1000) > 0)
    ;
}

static void stall(void) {
  struct pollfd response = {.fd = connections[0].fd, .events = POLLIN};

  ask(&connections[0]);
  while (poll(&response, 1, 1000) <= 0)
    check_deadline();
  send_signal(SIGTERM);
}

__attribute__((noreturn)) static void run(char** program) {
  signal(SIGINT, SIG_DFL);
  execvp(program[0], program);
  die(program[0]);
}

int main(int argc, char** argv) {
  const char* how = argc > 1 ? argv[1] : "";
  int is_stalled = strcmp(how, "stalled") == 0;
  int i;

  if (argc > 2 && strcmp(how, "run") == 0)
    run(argv + 2);
  if (argc < 6) {
    fputs("Usage: http-client MODE PORT PID COUNT PATH...\n"
          "       http-client run PROGRAM [ARGUMENT]...\n",
          stderr);
    return 2;
  }
  port = (uint16_t) atoi(argv[2]);
  server = (pid_t) atoi(argv[3]);
  count = atoi(argv[4]);
  paths = argv + 5;
  path_count = argc - 5;
  if (server <= 1 || count < 1 || count > MAX_CONNECTIONS) {
    fputs("http-client: no such process or count\n", stderr);
    return 2;
  }
  started_at = now_ms();
  pidfd = (int) syscall(SYS_pidfd_open, server, 0);
  if (pidfd < 0) {
    perror("pidfd_open");
    return 77;
  }

  for (i = 0; i < count; i++)
    open_one(&connections[i], is_stalled ? 4096 : 0);
  if (is_stalled)
    stall();
  else if (strcmp(how, "slow") == 0)
    be_slow();
  else if (strcmp(how, "idle") == 0 || strcmp(how, "lines") == 0 ||
           strcmp(how, "chunks") == 0)
    be_idle(how);
  else if (strcmp(how, "patient") == 0)
    be_patient();
  else if ((strcmp(how, "half") == 0 || strncmp(how, "torn", 4) == 0) &&
           count == 2)
    close_half(how);
  else if (strcmp(how, "pieces") == 0 || strcmp(how, "continue") == 0 ||
           strcmp(how, "unfinished") == 0)
    be_piecewise(how);
  else
    be_busy();
  print_seen();
  await_exit();
  return EXIT_SUCCESS;
}
