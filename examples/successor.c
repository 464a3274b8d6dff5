/* SPDX-License-Identifier: MIT
 *
 * See successor.h. */
#include "successor.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_SOCKETS = 8 };

static struct {
  uvsig_listen_fd_t fds[MOST_SOCKETS]; /* -1: it has an owner */
  int count;
  int is_taken;
} handed;

const char* successor_host = "127.0.0.1";
static uvsig_upgrade_t upgrade;
static uvsig_shutdown_listener_t listener;
static uv_tcp_t tcp;

/* --- What was handed over ------------------------------------------------- */

static int take(void) {
  int count = handed.is_taken ? handed.count
                              : uvsig_listen_fds(handed.fds, MOST_SOCKETS);

  if (count < 0 || count > MOST_SOCKETS)
    return count < 0 ? count : UV_E2BIG;
  handed.count = count;
  handed.is_taken = 1;
  return 0;
}

static int is_unix(int fd) {
  struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
  socklen_t size = sizeof(address);

  getsockname(fd, (struct sockaddr*) &address, &size);
  return address.ss_family == AF_UNIX;
}

/* Its place, or NULL: there is none. By its kind, since a .socket unit gives
 * each a name of its own choice. */
static int* find(int wants_unix) {
  int i;

  for (i = 0; i < handed.count; i++)
    if (handed.fds[i].fd >= 0 && is_unix(handed.fds[i].fd) == wants_unix)
      return &handed.fds[i].fd;
  return NULL;
}

int successor_open_pipe(uv_pipe_t* pipe) {
  int err = take();
  int* fd = find(1);

  if (err == 0)
    err = fd == NULL ? UV_ENOENT : uv_pipe_open(pipe, *fd);
  if (err == 0)
    *fd = -1;
  return err;
}

/* --- The TCP socket ------------------------------------------------------- */

static int open_tcp(unsigned port) {
  struct sockaddr_storage address;
  int err = take();
  int* fd = find(0);

  if (err == 0 && fd != NULL)
    err = uv_tcp_open(&tcp, *fd);
  if (err == 0 && fd != NULL)
    *fd = -1;
  if (err != 0 || fd != NULL)
    return err;
  err = uv_ip4_addr(successor_host, (int) port, (void*) &address);
  if (err != 0)
    err = uv_ip6_addr(successor_host, (int) port, (void*) &address);
  return err != 0 ? err : uv_tcp_bind(&tcp, (struct sockaddr*) &address, 0);
}

/* As uv_listen(), which would accept. */
static int listen_only(void) {
  struct sockaddr_storage address;
  int size = sizeof(address);
  /* where the address is in use, this says so */
  int err = uv_tcp_getsockname(&tcp, (struct sockaddr*) &address, &size);

  if (err == 0 && listen(successor_fd(), SOMAXCONN) != 0)
    err = uv_translate_sys_error(errno);
  return err;
}

int successor_listen(uvsig_shutdown_t* sd, unsigned port, uv_connection_cb cb) {
  uv_stream_t* stream = (uv_stream_t*) &tcp;
  int err = uv_tcp_init(sd->sig->loop, &tcp);

  if (err != 0)
    return err;
  err = uvsig_shutdown_add_listener(sd, &listener, stream, NULL);
  if (err != 0) {
    uv_close((uv_handle_t*) &tcp, NULL);
    return err;
  }
  err = open_tcp(port);
  if (err == 0)
    err = cb != NULL ? uv_listen(stream, SOMAXCONN, cb) : listen_only();
  return err;
}

const char* successor_address(void) {
  static char text[64];
  struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
  int size = sizeof(address);
  char name[48] = "?";

  uv_tcp_getsockname(&tcp, (struct sockaddr*) &address, &size);
  if (address.ss_family == AF_INET6)
    uv_ip6_name((struct sockaddr_in6*) &address, name, sizeof(name));
  else
    uv_ip4_name((struct sockaddr_in*) &address, name, sizeof(name));
  /* The port is in the same place of both. */
  snprintf(text,
           sizeof(text),
           address.ss_family == AF_INET6 ? "[%s]:%d" : "%s:%d",
           name,
           ntohs(((struct sockaddr_in*) &address)->sin_port));
  return text;
}

uv_os_fd_t successor_fd(void) {
  uv_os_fd_t fd = -1;

  uv_fileno((uv_handle_t*) &tcp, &fd);
  return fd;
}

void successor_close(void) {
  if (!uv_is_closing((uv_handle_t*) &tcp))
    uv_close((uv_handle_t*) &tcp, NULL);
}

/* --- The upgrade ---------------------------------------------------------- */

static void (*on_failure)(void);

static void on_upgrade(uvsig_upgrade_t* u, int status) {
  if (status == 0)
    printf("Upgrade: process %d is ready\n", (int) u->pid);
  else if (status == UV_ECANCELED)
    puts("No upgrade: a shutdown has begun");
  else if (status != UV_ESRCH)
    printf("No upgrade: %s\n", uv_strerror(status));
  else if (WIFSIGNALED(u->wait_status))
    printf("No upgrade: the successor was ended by %s\n",
           uvsig_signal_name(WTERMSIG(u->wait_status)));
  else
    printf("No upgrade: the successor exited with %d\n",
           WEXITSTATUS(u->wait_status));
  fflush(stdout);
  if (status != 0 && on_failure != NULL)
    on_failure();
}

int successor_start(uvsig_shutdown_t* sd,
                    unsigned settle_ms,
                    void (*failure_cb)(void)) {
  uvsig_upgrade_options_t options;
  int i, err;

  for (i = 0; i < handed.count; i++)
    if (handed.fds[i].fd >= 0)
      close(handed.fds[i].fd);
  handed.count = 0;
  on_failure = failure_cb;
  uvsig_upgrade_options_init(&options);
  options.settle_ms = settle_ms;
  err = uvsig_upgrade_init(sd, &upgrade, &options);
  return err != 0 ? err : uvsig_upgrade_start(&upgrade, on_upgrade, SIGUSR2);
}
