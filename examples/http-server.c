/* SPDX-License-Identifier: MIT
 *
 * An HTTP server for the files of a folder, which SIGINT and SIGTERM end
 * without cutting off a download: the last example of Python's signal module,
 * on a libuv loop. http-daemon.c is the server; this file owns the options, the
 * listener, and what is served: files, and not what is in folders below.
 *
 * Run it, and `curl` a file from the address that it names. Press Ctrl-C: you
 * should see "SIGINT: finishing" and a line that says how it ended, and `echo
 * $?` should print 0. In the middle of a download, the first Ctrl-C waits for
 * its end, for --grace seconds at most, and the second one does not. */

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http-daemon.h"

enum { EXIT_USAGE = 2, MAX_SECONDS = 3600, BLOCK_SIZE = 65536 };

/* Tell whether a call failed, and say so. */
static int failed(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "http-server: %s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* --- What is served ------------------------------------------------------- */

static ssize_t read_file(void* fd, uint64_t offset, char* bytes, size_t size) {
  ssize_t n = pread((int) (intptr_t) fd, bytes, size, (off_t) offset);

  /* an end before the length that was told is an error, too */
  return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void close_file(void* fd) {
  close((int) (intptr_t) fd);
}

/* Not MHD_create_response_from_fd64(), which uses sendfile(2): a signal makes
 * that send less than there is room for, libmicrohttpd takes it that there is
 * none, and waits for an event that does not come. */
static struct MHD_Response* respond_with_file(int fd, uint64_t size) {
  struct MHD_Response* response = MHD_create_response_from_callback(
      size, BLOCK_SIZE, read_file, (void*) (intptr_t) fd, close_file);

  if (response == NULL)
    close(fd);
  return response;
}

/* Blocks the loop for as long as the disk takes. Opening a FIFO does not wait
 * for a writer, and a symbolic link is not followed. */
static struct MHD_Response* respond(const char* method,
                                    const char* url,
                                    unsigned* status) {
  static char not_allowed[] = "405\n", not_found[] = "404\n";
  const char* name = strcmp(url, "/") == 0 ? "index.html" : url + 1;
  struct MHD_Response* response;
  struct stat st;
  int fd = -1;

  if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
    *status = MHD_HTTP_METHOD_NOT_ALLOWED;
    response =
        MHD_create_response_from_buffer(4, not_allowed, MHD_RESPMEM_PERSISTENT);
    if (response != NULL)
      MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return response;
  }
  if (*url == '/' && strchr(name, '/') == NULL)
    fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
    *status = MHD_HTTP_OK;
    return respond_with_file(fd, (uint64_t) st.st_size);
  }
  if (fd >= 0)
    close(fd);
  *status = MHD_HTTP_NOT_FOUND;
  return MHD_create_response_from_buffer(4, not_found, MHD_RESPMEM_PERSISTENT);
}

/* --- The server ----------------------------------------------------------- */

static void on_phase(uvsig_shutdown_t* sd, uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING) {
    printf("%s: finishing\n", sd->report.reason);
    fflush(stdout);
  }
}

/* The listener is the coordinator's to close, also after a failure. */
static int start(uvsig_shutdown_t* sd, int port) {
  static uvsig_shutdown_listener_t listener;
  static uv_tcp_t tcp;
  uv_stream_t* stream = (uv_stream_t*) &tcp;
  struct sockaddr_in address;
  int size = sizeof(address);
  int err = uv_tcp_init(sd->sig->loop, &tcp);

  if (failed(err, "uv_tcp_init"))
    return -1;
  err = uvsig_shutdown_add_listener(sd, &listener, stream, NULL);
  if (err != 0) {
    uv_close((uv_handle_t*) &tcp, NULL);
    return err != UV_ECANCELED && failed(err, "listener") ? -1 : 0;
  }
  uv_ip4_addr("127.0.0.1", port, &address);
  if (failed(http_daemon_start(sd, respond), "libmicrohttpd") ||
      failed(uv_tcp_bind(&tcp, (struct sockaddr*) &address, 0), "bind") ||
      failed(uv_listen(stream, SOMAXCONN, http_daemon_accept), "listen") ||
      failed(uv_tcp_getsockname(&tcp, (struct sockaddr*) &address, &size),
             "getsockname"))
    return -1;
  printf("Serving on http://127.0.0.1:%d/\n", ntohs(address.sin_port));
  fflush(stdout);
  uvsig_shutdown_ready(sd); /* a shutdown may have begun; that is no error */
  return 0;
}

static int help(FILE* to, int status) {
  fputs("Usage: http-server [OPTION]...\n"
        "Serve the files of a folder on 127.0.0.1, until SIGINT or SIGTERM.\n"
        "\n"
        "  --directory=FOLDER  serve this folder (.)\n"
        "  --port=NUMBER       listen there (8000); 0: a free one\n"
        "  --grace=SECONDS     wait so long for responses to end (8)\n"
        "  --hard=SECONDS      and then exit within so long (1)\n"
        "  --help              print this\n",
        to);
  return status;
}

static unsigned number(const char* text, unsigned long most) {
  char* end;
  unsigned long value = strtoul(text, &end, 10);

  if (*text >= '0' && *text <= '9' && *end == '\0' && value <= most)
    return (unsigned) value;
  fprintf(stderr, "http-server: '%s' is not between 0 and %lu\n", text, most);
  exit(EXIT_USAGE);
}

int main(int argc, char** argv) {
  static const struct option longopts[] = {
      {"directory", required_argument, NULL, 'd'},
      {"grace", required_argument, NULL, 'g'},
      {"hard", required_argument, NULL, 'H'},
      {"help", no_argument, NULL, 'h'},
      {"port", required_argument, NULL, 'p'},
      {NULL, 0, NULL, 0}};
  static uvsig_t sig;
  static uvsig_shutdown_t sd;
  uvsig_shutdown_options_t options;
  uv_loop_t* loop = uv_default_loop();
  const char* path = ".";
  unsigned port = 8000;
  int status = EXIT_SUCCESS, c;

  uvsig_shutdown_options_init(&options);
  while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1)
    if (c == 'd')
      path = optarg;
    else if (c == 'g')
      options.grace_ms = 1000 * number(optarg, MAX_SECONDS);
    else if (c == 'H')
      options.hard_ms = 1000 * number(optarg, MAX_SECONDS);
    else if (c == 'p')
      port = number(optarg, 65535);
    else
      return c == 'h' ? help(stdout, EXIT_SUCCESS) : help(stderr, EXIT_USAGE);
  if (optind < argc)
    return help(stderr, EXIT_USAGE);
  if (failed(uv_chdir(path), path))
    return EXIT_USAGE;

  options.idle = UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE; /* or end_if_quiet() */
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.log = 1;
  options.phase_cb = on_phase;
  /* Signals before the listener: a SIGTERM that comes now is not lost. */
  if (failed(uvsig_ignore(SIGPIPE), "uvsig_ignore") ||
      failed(uvsig_init(loop, &sig, NULL), "uvsig_init") ||
      failed(uvsig_shutdown_init(&sig, &sd, &options), "uvsig_shutdown_init"))
    return EXIT_FAILURE;
  if (start(&sd, (int) port) != 0) {
    status = EXIT_FAILURE;
    uvsig_shutdown_request(&sd, "not started", UVSIG_SHUTDOWN_FORCED);
  }
  uv_run(loop, UV_RUN_DEFAULT); /* until everything is closed */
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    status = EXIT_FAILURE;
  c = uvsig_shutdown_exit(&sd);
  return status != EXIT_SUCCESS ? status : c;
}
