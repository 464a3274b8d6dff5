/* SPDX-License-Identifier: MIT
 *
 * A test program that is run again, in a role, as what the tested program runs
 * or is run by: "test/examples/init alone". And what a role and its test need
 * to know of other processes.
 */

#ifndef ROLES_H
#define ROLES_H

#include "program.h"

/* One of the two is set. Each returns the exit status. */
struct role {
  const char* name; /* NULL ends the table */
  int (*play)(void);
  int (*run)(char** arguments); /* those after the name */
};

/* Play the role that is named first. */
int play_role(const struct role* roles, char** arguments);

/* What a role says goes to REPORT where that is open, and else to standard
 * output. Above what the keeper of a program closes, there is none of the
 * test's. */
enum { REPORT = 9 };
void role_says(const char* format, ...) __attribute__((format(printf, 1, 2)));

/* Is this process in the foreground of its terminal? "yes" or "no". */
const char* in_front(void);

/* Say "ready", and each time that it is continued: "goes on, in front: no". */
int be_continued(void);
/* The same, and it stops itself at first. */
int be_suspended(void);

/* Run the arguments with a SIGTERM that waits to be unblocked. */
int be_early(char** arguments);
/* Run those after the first with that terminal as standard input: the leader of
 * a session without one has it in front. */
int be_at_terminal(char** arguments);

/* The words that run a program as PID 1 of a namespace of its own. */
#define UNSHARE "unshare", "--pid", "--fork", "--mount-proc"

/* Skip the test where they cannot be. */
void need_namespace(void);

enum { MOST_ARGUMENTS = 24 };

/* Add words to the first `n`, and NULL. Returns how many there are. */
size_t add_arguments(const char* all[MOST_ARGUMENTS],
                     size_t n,
                     const char* const more[]);

/* For wait_until(), with a pid_t. */
bool is_stopped(void* pid);
bool has_gone(void* pid); /* it was waited for */

#endif /* ROLES_H */
