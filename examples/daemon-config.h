/* SPDX-License-Identifier: MIT
 *
 * What the daemon is told: its command line, and its configuration, a file of
 * lines such as `message = hello`. */

#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

typedef struct {
  const char* config;   /* paths */
  const char* log;      /* NULL: standard error */
  const char* pid_file; /* NULL: none */
  unsigned grace_s;
} daemon_options_t;

typedef struct {
  unsigned interval_ms; /* how often there is work */
  unsigned work_ms;     /* how long it takes */
  char message[64];
} daemon_config_t;

/* Change what the command line has. Returns -1 to go on, or the exit status. */
int daemon_options_read(daemon_options_t* options, int argc, char** argv);

/* Returns 0, or UV_E* and something in `*config`. */
int daemon_config_read(daemon_config_t* config, const char* path);

#endif
