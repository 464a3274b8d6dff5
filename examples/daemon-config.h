/* SPDX-License-Identifier: MIT
 *
 * The daemon's configuration: a file of lines such as `message = hello`. */

#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

typedef struct {
  unsigned interval_ms; /* how often there is work */
  unsigned work_ms;     /* how long it takes */
  char message[64];
} daemon_config_t;

/* Returns 0, or UV_E* and something in `*config`. */
int daemon_config_read(daemon_config_t* config, const char* path);

#endif
