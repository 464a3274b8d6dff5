/* SPDX-License-Identifier: MIT
 *
 * An HTTP server for the files of a folder, which SIGINT and SIGTERM end
 * without cutting off a download: the last example of Python's signal module,
 * on a libuv loop. A uvsig_shutdown_t takes it from the signal to the exit.
 * This file owns the options, the socket, and that object; http-daemon.c is the
 * server, http-connections.c is how connections end, http-files.c is what is
 * served.
 *
 * Run it, open the page that it names, and press Ctrl-C: you should see
 * "SIGINT received, finishing 0 responses" and "Shutdown...", and `echo $?`
 * should print 0. In the middle of a download, the first Ctrl-C waits for its
 * end, for --grace seconds at most, and the second one does not. */

#define _GNU_SOURCE 1 /* SOCK_CLOEXEC, SOCK_NONBLOCK */

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uvsig.h>

#include "http-daemon.h"
#include "http-files.h"

#define EXIT_USAGE  2
#define MAX_SECONDS 3600

typedef struct {
  const char* host;
  const char* port;
  const char* folder;
  const char* grace; /* seconds */
  const char* hard;
} options_t;

typedef struct {
  uvsig_t sig;
  uvsig_shutdown_t shutdown;
  uvsig_shutdown_listener_t listener;
  http_daemon_t daemon;
  http_files_t files;
  int error; /* what ended the daemon, if not a signal */
} server_t;

/* --- Messages ------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void complain(const char* format,
                                                           ...) {
  va_list args;

  fputs("http-server: ", stderr);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
}

/* Print a line at once, also to a pipe. */
__attribute__((format(printf, 1, 2))) static int say(const char* format, ...) {
  va_list args;
  int size;

  va_start(args, format);
  size = vprintf(format, args);
  va_end(args);
  return size < 0 || fflush(stdout) != 0 ? -1 : 0;
}

/* Tell whether a call failed, and say so. */
static int failed(int err, const char* what) {
  if (err < 0)
    complain("%s: %s", what, uv_strerror(err));
  return err < 0;
}

/* --- Options -------------------------------------------------------------- */

static int usage_error(void) {
  fputs("Try 'http-server --help'.\n", stderr);
  return EXIT_USAGE;
}

static int help(void) {
  return say("Usage: http-server [OPTION]...\n"
             "Serve the files of a folder over HTTP, until SIGINT or SIGTERM.\n"
             "\n"
             "  -b, --bind=ADDRESS      listen there (127.0.0.1)\n"
             "  -d, --directory=FOLDER  serve this folder (.)\n"
             "  -p, --port=NUMBER       listen there (8000); 0: a free one\n"
             "      --grace=SECONDS     wait so long for responses to end "
             "(8)\n"
             "      --hard=SECONDS      and then exit within so long (1)\n"
             "  -h, --help              print this\n") == 0
             ? EXIT_SUCCESS
             : EXIT_FAILURE;
}

/* Returns the number, or -1: no number from 0 to `max`. */
static long parse_number(const char* text, long max) {
  long number;
  char* end;

  if (text[0] < '0' || text[0] > '9') /* strtol() takes " +1", and "-1" */
    return -1;
  errno = 0;
  number = strtol(text, &end, 10);
  return *end == '\0' && errno == 0 && number <= max ? number : -1;
}

static int check_number(const char* text, long max, const char* what) {
  if (parse_number(text, max) >= 0)
    return -1;
  complain("'%s' is no %s: 0 to %ld", text, what, max);
  return usage_error();
}

/* Returns -1 to go on, or the exit status. */
static int parse_options(int argc, char** argv, options_t* options) {
  static const struct option longopts[] = {
      {"bind", required_argument, NULL, 'b'},
      {"directory", required_argument, NULL, 'd'},
      {"grace", required_argument, NULL, 'g'},
      {"hard", required_argument, NULL, 'H'},
      {"port", required_argument, NULL, 'p'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0}};
  int c, status;

  while ((c = getopt_long(argc, argv, "b:d:p:h", longopts, NULL)) != -1) {
    switch (c) {
    case 'b':
      options->host = optarg;
      break;
    case 'd':
      options->folder = optarg;
      break;
    case 'g':
      options->grace = optarg;
      break;
    case 'H':
      options->hard = optarg;
      break;
    case 'p':
      options->port = optarg;
      break;
    case 'h':
      return help();
    default:
      return usage_error();
    }
  }
  if (optind < argc) {
    complain("unexpected argument '%s'", argv[optind]);
    return usage_error();
  }
  status = check_number(options->port, 65535, "port");
  if (status < 0)
    status = check_number(options->grace, MAX_SECONDS, "time of grace");
  if (status < 0)
    status = check_number(options->hard, MAX_SECONDS, "hard limit");
  return status;
}

/* --- The listening socket ------------------------------------------------- */

/* Returns -1 and sets errno on failure. */
static int listen_at(const struct addrinfo* address) {
  int one = 1, err;
  int fd = socket(address->ai_family,
                  address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                  address->ai_protocol);

  if (fd < 0)
    return -1;
  /* connections that a predecessor closed must not keep us off the port */
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
      bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
      listen(fd, SOMAXCONN) == 0)
    return fd;
  err = errno;
  close(fd);
  errno = err;
  return -1;
}

/* Listen at the first address of the host that will do. Returns -1 on failure
 * and sets the exit status. */
static int open_listener(const options_t* options, int* status) {
  struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                           .ai_socktype = SOCK_STREAM};
  struct addrinfo *addresses, *address;
  int fd = -1, err;

  err = getaddrinfo(options->host, options->port, &hints, &addresses);
  if (err != 0) {
    complain("'%s' is no address: %s",
             options->host,
             err == EAI_SYSTEM ? strerror(errno) : gai_strerror(err));
    *status = usage_error();
    return -1;
  }
  for (address = addresses; address != NULL && fd < 0;
       address = address->ai_next)
    fd = listen_at(address);
  if (fd < 0) {
    complain("cannot listen at %s, port %s: %s",
             options->host,
             options->port,
             strerror(errno));
    *status = EXIT_FAILURE;
  }
  freeaddrinfo(addresses);
  return fd;
}

/* Print where we really are: port 0 was the kernel's to choose. */
static int announce(int listener) {
  struct sockaddr_storage address;
  socklen_t size = sizeof(address);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  int err;

  if (getsockname(listener, (struct sockaddr*) &address, &size) != 0) {
    complain("getsockname: %s", strerror(errno));
    return -1;
  }
  err = getnameinfo((struct sockaddr*) &address,
                    size,
                    host,
                    sizeof(host),
                    port,
                    sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
  if (err != 0) {
    complain("getnameinfo: %s", gai_strerror(err));
    return -1;
  }
  if (say(strchr(host, ':') != NULL ? "Serving on http://[%s]:%s/\n"
                                    : "Serving on http://%s:%s/\n",
          host,
          port) != 0) {
    complain("standard output: %s", strerror(errno));
    return -1;
  }
  return 0;
}

/* --- The end -------------------------------------------------------------- */

static const char* plural(unsigned count) {
  return count == 1 ? "" : "s";
}

/* Draining begins. What is printed nobody has to read. */
static void on_drain(uvsig_shutdown_listener_t* listener) {
  server_t* server = listener->data;
  unsigned count;

  http_daemon_quiesce(&server->daemon);
  count = server->daemon.in_flight;
  if (server->shutdown.report.signum != 0)
    say("%s received, finishing %u response%s\n",
        server->shutdown.report.reason,
        count,
        plural(count));
}

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  server_t* server = shutdown->data;
  unsigned count = server->daemon.in_flight;

  if (phase == UVSIG_SHUTDOWN_FORCING && count > 0) {
    say("Abandoning %u response%s\n", count, plural(count));
  } else if (phase == UVSIG_SHUTDOWN_DONE) {
    http_daemon_stop(&server->daemon);
  }
}

/* Before anything listens: from now on a signal ends the server in order. */
static int start_signals(uv_loop_t* loop,
                         server_t* server,
                         const options_t* options) {
  uvsig_shutdown_options_t shutdown;

  uvsig_shutdown_options_init(&shutdown);
  shutdown.grace_ms =
      1000 * (unsigned) parse_number(options->grace, MAX_SECONDS);
  shutdown.hard_ms = 1000 * (unsigned) parse_number(options->hard, MAX_SECONDS);
  shutdown.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  shutdown.phase_cb = on_phase;

  if (failed(uvsig_init(loop, &server->sig, NULL), "uvsig_init"))
    return -1;
  server->shutdown.data = server;
  if (failed(uvsig_shutdown_init(&server->sig, &server->shutdown, &shutdown),
             "uvsig_shutdown_init")) {
    uvsig_close(&server->sig, NULL);
    return -1;
  }
  return 0;
}

/* --- The server ----------------------------------------------------------- */

static struct MHD_Response* on_request(http_daemon_t* daemon,
                                       struct MHD_Connection* from,
                                       const char* method,
                                       const char* url,
                                       unsigned* status) {
  server_t* server = daemon->data;
  return http_files_respond(&server->files, from, method, url, status);
}

static void on_failed(http_daemon_t* daemon, int error) {
  server_t* server = daemon->data;

  server->error = error;
  uvsig_shutdown_request(
      &server->shutdown, "libmicrohttpd failed", UVSIG_SHUTDOWN_FORCED);
}

/* Returns the exit status, as far as it is known by then. */
static int start(server_t* server, const options_t* options) {
  int status, listener, err;

  server->listener.data = server;
  err = uvsig_shutdown_add_listener(
      &server->shutdown, &server->listener, NULL, on_drain);
  if (err == UV_ECANCELED) /* a signal has come already */
    return EXIT_SUCCESS;
  if (failed(err, "uvsig_shutdown_add_listener"))
    return EXIT_FAILURE;
  listener = open_listener(options, &status);
  if (listener < 0)
    return status;
  server->daemon.data = server;
  err = http_daemon_start(
      &server->shutdown, &server->daemon, listener, on_request, on_failed);
  if (failed(err, "http_daemon_start") || announce(listener) != 0)
    return EXIT_FAILURE;
  err = uvsig_shutdown_ready(&server->shutdown);
  return err != UV_ECANCELED && failed(err, "uvsig_shutdown_ready")
             ? EXIT_FAILURE
             : EXIT_SUCCESS;
}

/* Serve until a signal, and leave the loop without a handle. Returns the exit
 * status. */
static int serve(uv_loop_t* loop, server_t* server, const options_t* options) {
  int status;

  if (start_signals(loop, server, options) != 0) {
    uv_run(loop, UV_RUN_DEFAULT); /* closing takes a turn of the loop */
    return EXIT_FAILURE;
  }
  status = start(server, options);
  if (status != EXIT_SUCCESS)
    uvsig_shutdown_request(
        &server->shutdown, "it did not start", UVSIG_SHUTDOWN_FORCED);
  uv_run(loop, UV_RUN_DEFAULT);
  if (failed(server->error, "http_daemon"))
    status = EXIT_FAILURE;
  return status;
}

int main(int argc, char** argv) {
  options_t options = {.host = "127.0.0.1",
                       .port = "8000",
                       .folder = ".",
                       .grace = "8",
                       .hard = "1"};
  server_t server = {.error = 0};
  uv_loop_t loop;
  int status, sigpipe, err;

  status = parse_options(argc, argv, &options);
  if (status >= 0)
    return status;

  /* a reader of our output that is gone must not kill the server, nor a client:
   * not everything that writes to one has MSG_NOSIGNAL */
  status = EXIT_FAILURE;
  sigpipe = uvsig_ignore(SIGPIPE);
  if (failed(sigpipe, "uvsig_ignore"))
    return EXIT_FAILURE;

  err = http_files_open(&server.files, options.folder);
  if (failed(err, options.folder)) {
    status = usage_error();
    goto give_back_sigpipe;
  }
  if (failed(uv_loop_init(&loop), "uv_loop_init"))
    goto close_files;

  status = serve(&loop, &server, &options);
  if (failed(uv_loop_close(&loop), "uv_loop_close"))
    status = EXIT_FAILURE;

close_files:
  http_files_close(&server.files);
  if (status == EXIT_SUCCESS)
    say("Shutdown...\n");
give_back_sigpipe:
  if (sigpipe == UVSIG_DEFAULT &&
      failed(uvsig_default(SIGPIPE), "uvsig_default"))
    status = EXIT_FAILURE;
  err = uvsig_shutdown_exit(&server.shutdown);
  return status != EXIT_SUCCESS ? status : err;
}
