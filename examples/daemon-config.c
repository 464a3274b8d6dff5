/* SPDX-License-Identifier: MIT
 *
 * See daemon-config.h. A thread of libuv's pool runs daemon_config_read(), when
 * the daemon reads its configuration again. */
#include "daemon-config.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* The number that is all of `text`. */
static int read_number(unsigned* number, const char* text, unsigned most) {
  unsigned long long value;
  char* end;

  if (text[0] < '0' || text[0] > '9') /* strtoull() takes " +1", and "-1" */
    return UV_EINVAL;
  value = strtoull(text, &end, 10);
  if (*end != '\0' || value > most)
    return UV_EINVAL;
  *number = (unsigned) value;
  return 0;
}

/* --- The command line ----------------------------------------------------- */

static int print_usage(FILE* to, int status) {
  fputs(
      "Usage: daemon --config=FILE [OPTION]...\n"
      "Work again and again, until SIGTERM or SIGINT. SIGHUP reads the\n"
      "configuration again, SIGUSR1 opens the log again, SIGUSR2 writes\n"
      "statistics into it.\n"
      "\n"
      "  --config=FILE     lines: message = TEXT, interval_ms = NUMBER (1000),"
      "\n                    work_ms = NUMBER (100)\n"
      "  --grace=SECONDS   at the end, wait so long for work (8)\n"
      "  --log=FILE        append to it (standard error)\n"
      "  --pid-file=FILE   keep a second daemon out (none)\n"
      "  --help            print this\n",
      to);
  return fflush(to) == 0 ? status : 1;
}

int daemon_options_read(daemon_options_t* options, int argc, char** argv) {
  static const struct option longopts[] = {
      {"config", required_argument, NULL, 'c'},
      {"grace", required_argument, NULL, 'g'},
      {"help", no_argument, NULL, 'h'},
      {"log", required_argument, NULL, 'l'},
      {"pid-file", required_argument, NULL, 'p'},
      {NULL, 0, NULL, 0}};
  int c;

  while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1)
    if (c == 'h')
      return print_usage(stdout, 0);
    else if (c == 'c')
      options->config = optarg;
    else if (c == 'l')
      options->log = optarg;
    else if (c == 'p')
      options->pid_file = optarg;
    else if (c != 'g')
      return 2;
    else if (read_number(&options->grace_s, optarg, 65535) != 0) {
      fprintf(stderr, "daemon: '%s' is not between 0 and 65535\n", optarg);
      return 2;
    }
  return options->config == NULL || optind < argc ? print_usage(stderr, 2) : -1;
}

/* --- The configuration ---------------------------------------------------- */

/* A line as it was read, with its newline. */
static int read_line(daemon_config_t* config, const char* line) {
  char key[16], value[64];

  if (line[0] == '#' || line[0] == '\n')
    return 0;
  if (sscanf(line, "%15[a-z_] = %63[^\n]", key, value) != 2)
    return UV_EINVAL;
  if (strcmp(key, "interval_ms") == 0)
    return read_number(&config->interval_ms, value, UINT_MAX);
  if (strcmp(key, "work_ms") == 0)
    return read_number(&config->work_ms, value, UINT_MAX);
  if (strcmp(key, "message") != 0)
    return UV_EINVAL;
  strcpy(config->message, value);
  return 0;
}

int daemon_config_read(daemon_config_t* config, const char* path) {
  FILE* file = fopen(path, "re");
  char line[128];
  int err = 0;

  if (file == NULL)
    return uv_translate_sys_error(errno);
  *config = (daemon_config_t){.interval_ms = 1000, .work_ms = 100};
  while (err == 0 && fgets(line, sizeof(line), file) != NULL)
    err = read_line(config, line);
  if (ferror(file))
    err = UV_EIO;
  fclose(file);
  return err == 0 && config->interval_ms == 0 ? UV_EINVAL : err;
}
