/* SPDX-License-Identifier: MIT
 *
 * The options of init. */

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "init.h"

struct settings settings = {.grace_ms = -1};

const char usage[] =
    "Usage: init [OPTION]... [--] COMMAND [ARG]...\n"
    "Run COMMAND as the first process of a container, and end as it does.\n"
    "\n"
    "  --grace=SECONDS         kill what is left so long after a stop signal,\n"
    "                          or after COMMAND has ended; 0: end with it;\n"
    "                          if not given: 5, after COMMAND has ended\n"
    "  -S, --stop-signal=SIG   SIG is a stop signal, as INT, QUIT, TERM are\n"
    "  -r, --rewrite=FROM:TO   send TO where FROM comes; 0: nothing\n"
    "  -c, --single-child      send signals to COMMAND, not to its group\n"
    "  -f, --follow            where COMMAND ends with 0, what is left of its\n"
    "                          group takes its place: a server's successor;\n"
    "                          the status is that of the last to end. After a\n"
    "                          stop signal no other takes the place\n"
    "  -p, --parent-death=SIG  get SIG when the parent of init ends\n"
    "  -v, --verbose           say on standard error what happens\n"
    "  -h, --help              print this\n";

/* What a fault or abort() raises is meant for this process alone. */
int is_handed_on(int signum) {
  static const int own[] = {SIGKILL,
                            SIGSTOP,
                            SIGCHLD,
                            SIGSEGV,
                            SIGBUS,
                            SIGFPE,
                            SIGILL,
                            SIGTRAP,
                            SIGSYS,
                            SIGABRT};
  size_t i;

  for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
    if (signum == own[i])
      return 0;
  return 1;
}

static int parse_rewrite(char* text) {
  char* colon = strchr(text, ':');
  int from, to;

  if (colon == NULL)
    return -1;
  *colon = '\0';
  from = uvsig_signal_number(text);
  to = strcmp(colon + 1, "0") == 0 ? 0 : uvsig_signal_number(colon + 1);
  if (from < 0 || to < 0 || !is_handed_on(from))
    return -1;
  settings.becomes[from] = to;
  return 0;
}

static int parse_grace(const char* text) {
  unsigned ms;

  if (read_number(text, 1, &ms) != 0)
    return -1;
  settings.grace_ms = (int) ms;
  return 0;
}

static int parse_option(int option, char* value) {
  int signum = 0;

  if (option == 'S' || option == 'p')
    signum = uvsig_signal_number(value);
  if (signum < 0)
    return -1;
  switch (option) {
  case 'S':
    return sigaddset(&settings.stop_signals, signum);
  case 'p':
    settings.parent_death = signum;
    return 0;
  case 'r':
    return parse_rewrite(value);
  case 'G':
    return parse_grace(value);
  case 'c':
    settings.single_child = 1;
    return 0;
  case 'f':
    settings.follow = 1;
    return 0;
  case 'v':
    settings.verbose = 1;
    return 0;
  }
  return -1;
}

int parse_options(int argc, char** argv) {
  static const struct option options[] = {
      {"follow", no_argument, NULL, 'f'},
      {"grace", required_argument, NULL, 'G'},
      {"help", no_argument, NULL, 'h'},
      {"parent-death", required_argument, NULL, 'p'},
      {"rewrite", required_argument, NULL, 'r'},
      {"single-child", no_argument, NULL, 'c'},
      {"stop-signal", required_argument, NULL, 'S'},
      {"verbose", no_argument, NULL, 'v'},
      {NULL, 0, NULL, 0}};
  int option, signum;

  for (signum = 1; signum < UVSIG_NSIG; signum++)
    settings.becomes[signum] = signum;
  sigemptyset(&settings.stop_signals);
  sigaddset(&settings.stop_signals, SIGINT);
  sigaddset(&settings.stop_signals, SIGQUIT);
  sigaddset(&settings.stop_signals, SIGTERM);
  while ((option = getopt_long(argc, argv, "+S:cfhp:r:v", options, NULL)) != -1)
    if (option == 'h')
      return 'h';
    else if (parse_option(option, optarg) != 0)
      return -1;
  return optind < argc ? 0 : -1;
}
