/* SPDX-License-Identifier: MIT
 *
 * A WebSocket server that sends back each message, on libwebsockets, a library
 * with handles of its own in the loop. Its socket is a listener, its peers are
 * connections, and the whole of it has a closer: uvsig_shutdown_foreign(7).
 *
 * Run it, open two pages with `new WebSocket("ws://127.0.0.1:7778")` in their
 * consoles, and press Ctrl-C here. Both see a close event with code 1001. The
 * line at the end should say "2 closed" and "left in the loop: nothing". */
#include "common.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uvsig.h>

struct peer {
  struct lws* wsi;
  uvsig_shutdown_connection_t connection;
  enum { HTTP, OPEN, LEAVING, LEFT } state; /* LEFT: it gets a close frame */
  int has_piece, flags;                     /* of a message, to be sent back */
  size_t size;
  unsigned char header[LWS_PRE], bytes[4096]; /* libwebsockets writes both */
};

const char* const program = "websocket-server";
static uvsig_shutdown_t sd;
static struct lws_context* context;

static void on_listener(uvsig_shutdown_listener_t* listener) {
  (void) listener;
  lws_context_deprecate(context, NULL); /* closes the socket, and no more */
}

/* The peer is between messages, or out of time. libwebsockets does not see a
 * timer that is set outside of its own callbacks before it is woken. */
static void on_event(uvsig_shutdown_connection_t* connection,
                     uvsig_shutdown_event_t event) {
  struct peer* peer = connection->data;

  if (event == UVSIG_SHUTDOWN_CONNECTION_CLOSE && peer->state == OPEN) {
    peer->state = LEAVING;
    lws_set_timer_usecs(peer->wsi, 1);
  } else if (event != UVSIG_SHUTDOWN_CONNECTION_DRAIN) {
    lws_set_timeout(peer->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
  }
  lws_cancel_service(context);
}

/* A handle that is no connection's has the context as data, and closes last. */
static void count_handle(uv_handle_t* handle, void* count) {
  *(int*) count += context != NULL && handle->data == context;
}

/* libwebsockets 4.1 frees the context in a second call, once all handles are
 * closed. Later releases do it by themselves. Both set `context` to NULL. */
static void on_turn(uv_idle_t* idle) {
  int count = 0;

  uv_walk(idle->loop, count_handle, &count);
  if (count > 0)
    return;
  lws_context_destroy(context);
  uv_close((uv_handle_t*) idle, NULL);
  uvsig_shutdown_closed(idle->data);
}

static void on_close(uvsig_shutdown_closer_t* closer) {
  static uv_idle_t idle;

  uv_idle_init(closer->shutdown->sig->loop, &idle);
  idle.data = closer;
  uv_idle_start(&idle, on_turn);
  lws_context_destroy(context); /* begins to close all that it has */
}

/* Reads no more until this is sent: who does not read is not read from. */
static int take_piece(struct peer* peer, const void* bytes, size_t size) {
  struct lws* wsi = peer->wsi;
  int type = lws_frame_is_binary(wsi) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;

  uvsig_shutdown_connection_busy(&peer->connection);
  memcpy(peer->bytes, bytes, size);
  peer->size = size;
  peer->has_piece = 1;
  peer->flags = lws_write_ws_flags(
      type, lws_is_first_fragment(wsi), lws_is_final_fragment(wsi));
  lws_rx_flow_control(wsi, 0);
  return lws_callback_on_writable(wsi) < 0;
}

static int send_piece(struct peer* peer) {
  if (peer->state == LEFT) /* the limit is the shutdown's, and not 5 s */
    lws_set_timeout(peer->wsi, NO_PENDING_TIMEOUT, 0);
  if (peer->state == LEAVING)
    lws_set_timer_usecs(peer->wsi, 1);
  if (!peer->has_piece)
    return 0;
  peer->has_piece = 0;
  lws_rx_flow_control(peer->wsi, 1);
  if ((peer->flags & LWS_WRITE_NO_FIN) == 0)
    uvsig_shutdown_connection_idle(&peer->connection);
  return lws_write(peer->wsi, peer->bytes, peer->size, peer->flags) < 0;
}

/* From a timer: a reason that is given when it may write is not sent. */
static int say_goodbye(struct peer* peer) {
  if (peer->has_piece || lws_partial_buffered(peer->wsi))
    return lws_callback_on_writable(peer->wsi) < 0; /* later */
  peer->state = LEFT;
  lws_close_reason(peer->wsi, LWS_CLOSE_STATUS_GOINGAWAY, NULL, 0);
  return -1;
}

static int on_lws(struct lws* wsi,
                  enum lws_callback_reasons reason,
                  void* user,
                  void* in,
                  size_t size) {
  struct peer* peer = lws_get_opaque_user_data(wsi); /* NULL: no connection */

  if (reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED) {
    if ((peer = calloc(1, sizeof(*peer))) == NULL)
      return -1;
    peer->wsi = wsi;
    peer->connection.data = peer;
    lws_set_opaque_user_data(wsi, peer);
    return uvsig_shutdown_add_connection(&sd, &peer->connection, on_event);
  }
  if (reason == LWS_CALLBACK_RECEIVE && peer->state != LEFT)
    return take_piece(peer, in, size);
  if (reason == LWS_CALLBACK_SERVER_WRITEABLE)
    return send_piece(peer);
  if (reason == LWS_CALLBACK_TIMER)
    return say_goodbye(peer);
  if (reason == LWS_CALLBACK_ESTABLISHED) { /* its first request is over */
    peer->state = OPEN;
    uvsig_shutdown_connection_busy(&peer->connection);
    uvsig_shutdown_connection_idle(&peer->connection);
  }
  if (reason == LWS_CALLBACK_WSI_DESTROY && peer != NULL) { /* and its socket */
    uvsig_shutdown_remove_connection(&peer->connection);
    free(peer);
  }
  return lws_callback_http_dummy(wsi, reason, user, in, size);
}

static int serve(unsigned port) {
  static const struct lws_protocols protocols[2] = {
      {.name = "echo", .callback = on_lws, .rx_buffer_size = 4096}};
  static uvsig_shutdown_listener_t listener;
  static uvsig_shutdown_closer_t closer;
  struct lws_context_creation_info info = {
      .protocols = protocols, .pcontext = &context, .iface = "127.0.0.1"};
  struct lws_vhost* vhost;

  info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                 LWS_SERVER_OPTION_DISABLE_IPV6;
  info.foreign_loops = (void*[]){sd.sig->loop};
  info.port = (int) port;
  lws_set_log_level(LLL_ERR, NULL);
  context = lws_create_context(&info);
  if (context == NULL || uvsig_shutdown_add_closer(&sd, &closer, on_close) != 0)
    return -1;
  if (uvsig_shutdown_add_listener(&sd, &listener, NULL, on_listener) != 0)
    return 0; /* a signal has come */
  vhost = lws_create_vhost(context, &info);
  if (vhost != NULL) /* there is a context in any case */
    printf("Serving on 127.0.0.1:%d\n", lws_get_vhost_listen_port(vhost));
  return vhost != NULL ? fflush(stdout) : -1;
}

int main(int argc, char** argv) {
  static uvsig_t sig;
  uvsig_shutdown_options_t options;
  unsigned port = 7778;
  const option_t table[] = {
      {"grace", SECONDS, "wait so long for peers (8)", NULL, &options.grace_ms},
      {"port", "PORT", "of 127.0.0.1 (7778); 0: a free one", NULL, &port},
      {NULL, NULL, NULL, NULL, NULL}};
  int c;

  uvsig_shutdown_options_init(&options);
  options.log = 1; /* the line at the end */
  if ((c = read_options(argc, argv, "Send messages back.\n", table)) >= 0)
    return c;
  if (uvsig_init(uv_default_loop(), &sig, NULL) != 0 ||
      uvsig_shutdown_init(&sig, &sd, &options) != 0)
    return 1;
  if (serve(port) != 0) {
    fprintf(stderr, "%s: cannot serve on port %u\n", program, port);
    uvsig_shutdown_set_exit_status(&sd, 1);
    uvsig_shutdown_request(&sd, "cannot start", UVSIG_SHUTDOWN_GRACEFUL);
  }
  uvsig_shutdown_ready(&sd); /* a shutdown may have begun; that is no error */
  uv_run(sig.loop, UV_RUN_DEFAULT); /* until everything is closed */
  uv_loop_close(sig.loop);
  return uvsig_shutdown_exit(&sd); /* by the signal: does not return */
}
