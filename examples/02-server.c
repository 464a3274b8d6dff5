/* The smallest server that ends in order: it echoes what it is sent. Run it,
 * and `nc 127.0.0.1 7777` in another terminal; then press Ctrl-C here. What was
 * sent is answered, connections are closed, and `echo $?` prints 130. To be
 * short, it takes a port and nothing else. It has no word about errors, and ends
 * with 1; echo-server.c has options and words. */
#include <stdlib.h>
#include <uvsig.h>

struct client {
  uv_tcp_t tcp; /* first, so that the stream's address is the client's */
  uv_write_t write;
  uvsig_shutdown_connection_t connection;
  char bytes[4096];
};

static uvsig_shutdown_t sd;
static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf);

static void on_closed(uv_handle_t* handle) {
  free(handle);
}

static void on_alloc(uv_handle_t* handle, size_t size, uv_buf_t* buf) {
  (void) size;
  *buf = uv_buf_init(((struct client*) handle)->bytes, 4096);
}

static void on_written(uv_write_t* write, int status) {
  struct client* client = (struct client*) write->handle;
  (void) status; /* where it failed, reading fails as well */
  if (uvsig_shutdown_connection_idle(&client->connection) == 0)
    uv_read_start(write->handle, on_alloc, on_read);
}

static void on_read(uv_stream_t* stream, ssize_t n, const uv_buf_t* buf) {
  struct client* client = (struct client*) stream;
  uv_buf_t echo = uv_buf_init(buf->base, n > 0 ? (unsigned) n : 0);
  uv_read_stop(stream); /* until this has been sent */
  uvsig_shutdown_connection_busy(&client->connection);
  if (n < 0 || uv_write(&client->write, stream, &echo, 1, on_written) != 0)
    uvsig_shutdown_linger(&client->connection, stream, on_closed);
}

static void on_connection(uv_stream_t* listener, int status) {
  struct client* client = status == 0 ? calloc(1, sizeof(*client)) : NULL;
  uv_stream_t* stream = (uv_stream_t*) client;
  if (client == NULL || uv_tcp_init(listener->loop, &client->tcp) != 0)
    free(client);
  else if (uv_accept(listener, stream) ||
           uv_read_start(stream, on_alloc, on_read) ||
           uvsig_shutdown_add_stream(
               &sd, &client->connection, stream, on_closed))
    uv_close((uv_handle_t*) stream, on_closed);
}

int main(int argc, char** argv) {
  static uvsig_shutdown_listener_t listener;
  static uvsig_t sig;
  static uv_tcp_t tcp;
  uv_loop_t* loop = uv_default_loop();
  struct sockaddr_in address;
  int port = argc > 1 ? atoi(argv[1]) : 7777;
  uv_ip4_addr("127.0.0.1", port, &address);
  if (port < 1 || port > 65535 || uvsig_ignore(SIGPIPE) < 0 ||
      uvsig_init(loop, &sig, NULL) || uvsig_shutdown_init(&sig, &sd, NULL) ||
      uv_tcp_init(loop, &tcp) ||
      uv_tcp_bind(&tcp, (const struct sockaddr*) &address, 0) ||
      uv_listen((uv_stream_t*) &tcp, 128, on_connection) ||
      uvsig_shutdown_add_listener(&sd, &listener, (uv_stream_t*) &tcp, NULL))
    return 1;
  uv_run(loop, UV_RUN_DEFAULT);
  return uvsig_shutdown_exit(&sd);
}
