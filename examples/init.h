/* SPDX-License-Identifier: MIT
 *
 * What the parts of init share. */

#ifndef INIT_H
#define INIT_H

#include "common.h"

#include <uvsig.h>

extern struct settings {
  int grace_ms;            /* -1: not given */
  int single_child;        /* only the command gets signals */
  int follow;              /* a successor takes the command's place */
  int parent_death;        /* the signal for it; 0: none */
  int verbose;             /* say what happens */
  int becomes[UVSIG_NSIG]; /* what is sent instead of a signal; 0: nothing */
  sigset_t stop_signals;   /* grace begins with these */
} settings;

extern struct command {
  pid_t pid;    /* of its process group the number, too */
  int status;   /* of waitpid(); -1: it has not ended */
  int stopped;  /* as far as init knows */
  int followed; /* by what is left of its group */
  int told;     /* a stop signal has been handed on */
} command;

extern uvsig_t sig;

/* --- Signals: init.c ------------------------------------------------------ */

extern uvsig_watcher_t watchers[UVSIG_NSIG];
/* Watch a signal, and hand it on. */
int watch(int signum);
/* Has it been caught, and not been handed on yet? */
int is_due(int signum);
/* Send a signal to the command. */
void send_command(int signum);
/* With --verbose: say it. */
void note(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* --- Options: init-options.c ---------------------------------------------- */

extern const char usage[];
/* 0; 'h': print the usage; -1: not understood. */
int parse_options(int argc, char** argv);
/* Is this signal not for init alone? */
int is_handed_on(int signum);

/* --- Processes ------------------------------------------------------------ */

/* init-command.c: what the kernel does for init: orphans become its children,
 * and the death of its parent is a signal. */
int ask_kernel(pid_t parent);
int start_command(char** argv, const sigset_t* valid);

/* init-children.c: collect children when they end. */
int children_watch(void);
/* Do so now. */
void collect(void);
/* Kill all that is left after so long; 0 or less: never. */
void limit(int ms);

/* init-descendants.c: send a signal to the command and all that it has started;
 * or to those of them that are not in the command's group. */
void send_all(int signum);
void send_others(int signum);

/* --- The terminal: init-terminal.c ---------------------------------------- */

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
