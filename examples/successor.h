/* SPDX-License-Identifier: MIT
 *
 * Upgrades of a server: its sockets may come from a predecessor, or from a
 * systemd .socket unit, and SIGUSR2 starts a successor. That is the same
 * program with the same arguments: a new release, if one has taken the place of
 * the file. */

#ifndef SUCCESSOR_H
#define SUCCESSOR_H

#include <uvsig.h>

/* An IPv4 or IPv6 address, 127.0.0.1 at first: for an option of the server. */
extern const char* successor_host;

/* Have the TCP socket that was handed over or, where there is none, one that is
 * bound to this port of successor_host, and call `cb` for its connections. NULL: it
 * listens, and other processes accept. The shutdown has it as a listener, and
 * closes it, also after a failure. Returns 0 or UV_E*: UV_ECANCELED where a
 * shutdown has begun. */
int successor_listen(uvsig_shutdown_t* sd, unsigned port, uv_connection_cb cb);

/* That socket's ADDRESS:PORT, and its descriptor. */
const char* successor_address(void);
uv_os_fd_t successor_fd(void);
/* Close it here, and not in the processes that have inherited it. Harmless when
 * repeated. */
void successor_close(void);

/* Give `pipe` the UNIX socket that was handed over. Returns 0 or UV_E*:
 * UV_ENOENT where there is none. */
int successor_open_pipe(uv_pipe_t* pipe);

/* Begin an upgrade at each SIGUSR2 from now on, and say on standard output what
 * comes of it. To be called when all listeners are open: what else was handed
 * over is closed. `settle_ms`: how long a successor must live once it is ready.
 * `on_failure`, if any, is called where there is no upgrade. Returns 0 or UV_E*:
 * UV_ECANCELED as above. */
int successor_start(uvsig_shutdown_t* sd,
                    unsigned settle_ms,
                    void (*on_failure)(void));

#endif
