/* SPDX-License-Identifier: MIT
 *
 * A program that a test drives from outside: an example, as a rule. It runs in
 * a session of its own, with the dispositions, mask and environment of the
 * test, standard input from /dev/null and standard output into a pipe. Between
 * it and the test is a keeper, a process that ends with the test, however that
 * ends, and takes all that the program has left behind with it, in whatever
 * session. Every wait has a deadline, half that of the test.
 *
 * Start programs before connections: the keeper gives up the descriptors below
 * 200 that it was born with, and holds the others.
 *
 * PROGRAM_WRAPPER is what to run the programs with, in words, such as
 * "./libtool --mode=execute valgrind -q".
 */

#ifndef PROGRAM_H
#define PROGRAM_H

#include "harness.h"

#include <sys/types.h>

struct program {
  pid_t pid;  /* also its group and session; 0 once it was waited for */
  int output; /* what reads its standard output */
  /* private */
  const char* path;
  pid_t keeper;
  int control;       /* the socket to the keeper */
  char buffer[4096]; /* output that was read; the line returned last first */
  size_t taken;      /* the length of that line */
  size_t filled;
};

/* Arguments or environment: LIST("examples/daemon", "--pid-file=x"). */
#define LIST(...) ((const char* const[]){__VA_ARGS__, NULL})

/* Start `argv[0]`, a path from the build directory. `environment`, which may be
 * NULL, is in addition: "NAME=value", or "NAME" to remove it. NOTIFY_SOCKET and
 * WATCHDOG_* are removed if they are not in it. Skips the test where the
 * program is built with ThreadSanitizer. */
void program_start(struct program* p,
                   const char* const argv[],
                   const char* const environment[]);
/* The same with standard error into the same pipe. */
void program_start_2to1(struct program* p,
                        const char* const argv[],
                        const char* const environment[]);
/* The same, and it is handed over this socket, as by a socket unit. */
void program_start_with_socket(struct program* p,
                               const char* const argv[],
                               int socket);

/* Wait for a line of output that begins with `prefix`, and return it without
 * its end. Lines before it are gone. Valid until the next call. */
const char* program_line(struct program* p, const char* prefix);
/* The same, or NULL if the output ends before. */
const char* program_line_or_end(struct program* p, const char* prefix);
/* Check that the output ends without another line. What valgrind says ("==") of
 * a death by a signal is none. */
void program_output_ends(struct program* p);
/* Wait for a line, and return the port in it: "Serving on 127.0.0.1:PORT". */
unsigned program_port(struct program* p, const char* prefix);

void program_signal(const struct program* p, int signum);

/* The processes that have come from the program, and have not ended. Returns
 * how many: at most so many. */
unsigned program_processes(const struct program* p, pid_t* pids, unsigned most);
/* Whose child it is; 0: it has ended. An orphan is the keeper's. */
pid_t program_parent(pid_t pid);

/* Has it ended? Does not wait. */
bool program_has_ended(const struct program* p);
/* Wait for its end, and return its wait status. */
int program_wait(struct program* p);
/* Give up the program, and end what is left of it by SIGKILL. Returns how many
 * processes that was. Harmless when repeated. */
unsigned program_end(struct program* p);
/* Wait for its end, check that it has left no process, and return its wait
 * status. */
int program_finish(struct program* p);

/* For a server that listens at a path: make `folder`, a template of mkdtemp(3),
 * and name a socket in it, and the option of that name. False: it says why. */
bool program_make_folder(char* folder, char path[64], char pipe_option[80]);
void program_remove_folder(const char* folder, const char* path);

/* --- Clients -------------------------------------------------------------- */

/* Wait until `fd` is readable, or has ended; fail at the deadline. */
void wait_readable(int fd);
/* Blocking sockets, close-on-exec; reading and writing has a deadline, too. */
int connect_to(unsigned port);
int connect_to_path(const char* path);
/* The same, or a UV_E* code: UV_ECONNREFUSED. */
int try_connect(unsigned port);
int try_connect_path(const char* path);
void send_text(int fd, const char* text);
/* Check that the next bytes are these. */
void expect_text(int fd, const char* text);
/* Check that the end comes next, and not as a reset, and close `fd`. */
void expect_end(int fd);

/* Run `condition` every few milliseconds until it is true; fail at the
 * deadline, naming `what`. */
void wait_until(bool (*condition)(void* data), void* data, const char* what);

#endif /* PROGRAM_H */
