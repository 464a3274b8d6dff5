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
 * its end, for --grace seconds at most, and the second one does not.
 *
 * `kill -USR2` it: the file that it was started from serves in its place, a
 * second later, and no client notices. */
#include "common.h"
#include "http-daemon.h"
#include "successor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, BLOCK_SIZE = 65536 };

const char* const program = "http-server";
/* Not chdir(2): the successor has the same arguments, and starts here. */
static int folder;
static uvsig_t sig;
static uvsig_shutdown_t sd;

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

/* For a load balancer. A file of that name is not served. */
static struct MHD_Response* respond_ready(unsigned* status) {
  static char yes[] = "ready\n", no[] = "not ready\n";
  char* text = uvsig_shutdown_is_ready(&sd) ? yes : no;

  *status = text == yes ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
  return MHD_create_response_from_buffer(
      strlen(text), text, MHD_RESPMEM_PERSISTENT);
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
  if (strcmp(url, "/ready") == 0)
    return respond_ready(status);
  if (*url == '/' && strchr(name, '/') == NULL)
    fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
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

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  if (phase == UVSIG_SHUTDOWN_DRAINING) {
    printf("%s: finishing\n", shutdown->report.reason);
    fflush(stdout);
  }
}

static int start(unsigned port, unsigned settle_ms) {
  int err = successor_listen(&sd, port, http_daemon_accept);

  if (err == 0)
    err = http_daemon_start(&sd, respond);
  if (err == 0)
    err = successor_start(&sd, settle_ms, NULL);
  if (err != 0) /* a shutdown may have begun; that is no error */
    return err != UV_ECANCELED && failed(err, "cannot start");
  printf("Serving on http://%s/\n", successor_address());
  fflush(stdout);
  uvsig_shutdown_ready(&sd);
  return 0;
}

int main(int argc, char** argv) {
  static const char about[] =
      "Serve the files of a folder until SIGINT or SIGTERM, and /ready, which\n"
      "is 503 from then on. SIGUSR2 upgrades it.\n";
  uvsig_shutdown_options_t options;
  uv_loop_t* loop = uv_default_loop();
  const char* path = ".";
  unsigned port = 8000, settle_ms = 1000;
  const option_t table[] = {
      {"address", "ADDRESS", "of the port (127.0.0.1)", &successor_host, NULL},
      {"directory", "FOLDER", "serve this folder (.)", &path, NULL},
      {"port", "NUMBER", "listen there (8000); 0: a free one", NULL, &port},
      {"delay",
       SECONDS,
       "then serve on so long, not ready (0)",
       NULL,
       &options.delay_ms},
      {"grace",
       SECONDS,
       "wait so long for responses (8)",
       NULL,
       &options.grace_ms},
      {"hard", SECONDS, "then exit within so long (1)", NULL, &options.hard_ms},
      {"settle",
       SECONDS,
       "a successor must live so long (1)",
       NULL,
       &settle_ms},
      {NULL, NULL, NULL, NULL, NULL}};
  int status = EXIT_SUCCESS, c;

  uvsig_shutdown_options_init(&options);
  c = read_options(argc, argv, about, table);
  if (c >= 0)
    return c;
  folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (failed(folder < 0 ? uv_translate_sys_error(errno) : 0, path))
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
  if (start(port, settle_ms) != 0) {
    status = EXIT_FAILURE;
    uvsig_shutdown_request(&sd, "cannot start", UVSIG_SHUTDOWN_FORCED);
  }
  uv_run(loop, UV_RUN_DEFAULT); /* until everything is closed */
  close(folder);
  if (failed(uv_loop_close(loop), "uv_loop_close"))
    status = EXIT_FAILURE;
  c = uvsig_shutdown_exit(&sd);
  return status != EXIT_SUCCESS ? status : c;
}
