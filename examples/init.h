/* SPDX-License-Identifier: MIT
 *
 * What the parts of init share: signals and children (init.c), the terminal
 * (init-terminal.c), and the options (init-options.c). */

#ifndef INIT_H
#define INIT_H

#include <signal.h>
#include <sys/types.h>
#include <uvsig.h>

extern uvsig_watcher_t watchers[UVSIG_NSIG];
extern pid_t child; /* the command; of its process group the number, too */

extern struct settings {
  int grace;               /* seconds; -1: not given */
  int single_child;        /* only the command gets signals */
  int parent_death;        /* the signal for it; 0: none */
  int verbose;             /* say what happens */
  int becomes[UVSIG_NSIG]; /* what is sent instead of a signal; 0: nothing */
  sigset_t stop_signals;   /* grace begins with these */
} settings;

extern const char usage[];

/* 0; 'h': print the usage; -1: not understood. */
int parse_options(int argc, char** argv);

/* Is this signal not for init alone? */
int is_handed_on(int signum);
/* Watch a signal, and hand it on. */
int watch(int signum);
/* Has it been caught, and not been handed on yet? */
int is_due(int signum);
/* Send a signal to the command. */
void send_command(int signum);

/* Find the terminal, and whether the command is to be in front at its start. */
void terminal_open(void);
/* In the command's process, in its group: come to the front. */
void terminal_start(void);
/* SIGTSTP, SIGTTIN or SIGTTOU has been handed on. */
void terminal_handed_on(int signum, const uvsig_info_t* info);
/* The command has stopped. */
void terminal_stopped(int signum);
/* Init goes on: call this before the command hears of it. */
void terminal_continue(void);
/* The command has ended. May be called again. */
void terminal_give_back(void);

#endif
