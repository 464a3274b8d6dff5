/* SPDX-License-Identifier: MIT
 *
 * What servers of this folder share: options, --name=VALUE, in a table that
 * --help prints, and words on standard error. */

#ifndef COMMON_H
#define COMMON_H

enum { MOST_OPTIONS = 16, LARGEST_NUMBER = 65535 };

typedef struct {
  const char* name;  /* NULL ends the table */
  const char* value; /* what --help calls it */
  const char* help;
  const char** text; /* one of the two is set, the other one is NULL */
  unsigned* number;
} option_t;

/* As the `value` of an option: "2.5" is two and a half seconds, and `number` is
 * in ms, as the library has all its times. */
extern const char SECONDS[];

/* The server's name, which it defines itself. */
extern const char* const program;

/* The time in ms, or what else is a number. Returns 0, or -1 where it is none,
 * and says so. */
int read_number(const char* text, int is_time, unsigned* to);

/* `about`: what the server does, in lines. Returns -1 to go on, or the exit
 * status. */
int read_options(int argc,
                 char** argv,
                 const char* about,
                 const option_t* options);

/* Tell whether a call failed, and say so. */
int failed(int err, const char* what);
/* The same for one that returns why it failed, or NULL. */
int refused(const char* why, const char* what);

#endif
