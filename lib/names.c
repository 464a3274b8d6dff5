/* SPDX-License-Identifier: MIT
 *
 * The names and descriptions of signals: one table, read in both directions.
 * The descriptions are those of glibc, and so of most systems where Python
 * runs, in its C locale: strsignal(3) itself is not async-signal-safe. Here
 * they are the same in every locale and with every libc.
 */

#include "base.h"

#include <limits.h>

struct entry {
  int signum;
  const char* name;        /* as POSIX has it */
  const char* description; /* NULL: an alias of an entry above */
};

static const struct entry table[] = {
    {SIGHUP, "SIGHUP", "Hangup"},
    {SIGINT, "SIGINT", "Interrupt"},
    {SIGQUIT, "SIGQUIT", "Quit"},
    {SIGILL, "SIGILL", "Illegal instruction"},
    {SIGTRAP, "SIGTRAP", "Trace/breakpoint trap"},
    {SIGABRT, "SIGABRT", "Aborted"},
    {SIGBUS, "SIGBUS", "Bus error"},
    {SIGFPE, "SIGFPE", "Floating point exception"},
    {SIGKILL, "SIGKILL", "Killed"},
    {SIGUSR1, "SIGUSR1", "User defined signal 1"},
    {SIGSEGV, "SIGSEGV", "Segmentation fault"},
    {SIGUSR2, "SIGUSR2", "User defined signal 2"},
    {SIGPIPE, "SIGPIPE", "Broken pipe"},
    {SIGALRM, "SIGALRM", "Alarm clock"},
    {SIGTERM, "SIGTERM", "Terminated"},
    {SIGCHLD, "SIGCHLD", "Child exited"},
    {SIGCONT, "SIGCONT", "Continued"},
    {SIGSTOP, "SIGSTOP", "Stopped (signal)"},
    {SIGTSTP, "SIGTSTP", "Stopped"},
    {SIGTTIN, "SIGTTIN", "Stopped (tty input)"},
    {SIGTTOU, "SIGTTOU", "Stopped (tty output)"},
    {SIGURG, "SIGURG", "Urgent I/O condition"},
    {SIGXCPU, "SIGXCPU", "CPU time limit exceeded"},
    {SIGXFSZ, "SIGXFSZ", "File size limit exceeded"},
    {SIGVTALRM, "SIGVTALRM", "Virtual timer expired"},
    {SIGPROF, "SIGPROF", "Profiling timer expired"},
    {SIGSYS, "SIGSYS", "Bad system call"},
#ifdef SIGSTKFLT
    {SIGSTKFLT, "SIGSTKFLT", "Stack fault"},
#endif
#ifdef SIGWINCH
    {SIGWINCH, "SIGWINCH", "Window changed"},
#endif
#ifdef SIGIO
    {SIGIO, "SIGIO", "I/O possible"},
#endif
#ifdef SIGPWR
    {SIGPWR, "SIGPWR", "Power failure"},
#endif
#ifdef SIGEMT
    {SIGEMT, "SIGEMT", "EMT trap"},
#endif
#ifdef SIGINFO
    {SIGINFO, "SIGINFO", "Information request"},
#endif
#ifdef SIGPOLL
    {SIGPOLL, "SIGPOLL", NULL},
#endif
#ifdef SIGIOT
    {SIGIOT, "SIGIOT", NULL},
#endif
    {SIGCHLD, "SIGCLD", NULL}, /* System V's name; musl has no macro for it */
};

#define SIZE_OF(array) (sizeof(array) / sizeof(*(array)))

#ifdef SIGRTMIN
/* Realtime signals have no macros of their own: SIGRTMIN is known when the
 * program runs, and `signum` here is 0. Their texts are written out, since
 * returned text is static. */
# define RT(n)                                                                 \
  { 0, "SIGRTMIN+" #n, "Real-time signal " #n }
# define RT9(tens)                                                             \
  RT(tens##1), RT(tens##2), RT(tens##3), RT(tens##4), RT(tens##5),             \
      RT(tens##6), RT(tens##7), RT(tens##8), RT(tens##9)
# define RT10(tens) RT(tens##0), RT9(tens)

static const struct entry realtime[] = {
    {0, "SIGRTMIN", "Real-time signal 0"},
    RT9(),
    RT10(1),
    RT10(2),
    RT10(3),
    RT10(4),
    RT10(5),
    RT10(6),
    RT10(7),
    RT10(8),
    RT10(9),
};
#endif

static const struct entry* find_entry(int signum) {
  size_t i;
#ifdef SIGRTMIN
  int n = signum - SIGRTMIN;

  /* On 32-bit Android, SIGRTMIN is beyond what a signal set can hold. */
  /* Not reached here: Linux has no more of them than the table. */
  if (signum <= SIGRTMAX && n >= 0 && (size_t) n < SIZE_OF(realtime))
    return uvsig__is_valid(signum) ? &realtime[n] : NULL;
#endif
  for (i = 0; i < SIZE_OF(table); i++)
    if (table[i].signum == signum)
      return &table[i];
  return NULL;
}

const char* uvsig_signal_name(int signum) {
  const struct entry* entry = find_entry(signum);

  return entry != NULL ? entry->name : NULL;
}

const char* uvsig_strsignal(int signum) {
  const struct entry* entry = find_entry(signum);

  return entry != NULL ? entry->description : NULL;
}

/* ASCII, whatever the locale: in Turkish, "int" is not "INT". */
static char upper(char c) {
  return c >= 'a' && c <= 'z' ? (char) (c - 'a' + 'A') : c;
}

/* What follows `prefix` in `text`, or NULL if it does not start with it. */
static const char* after(const char* text, const char* prefix) {
  while (*prefix != '\0') {
    if (upper(*text) != *prefix)
      return NULL;
    text++;
    prefix++;
  }
  return text;
}

/* Digits alone: no sign, no space, nothing behind. -1 for anything else. */
static int parse_number(const char* text) {
  int value = 0;

  if (*text == '\0')
    return -1;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9' || value > INT_MAX / 10 - 1)
      return -1;
    value = value * 10 + (*text - '0');
  }
  return value;
}

/* "RTMIN", "RTMIN+n", "RTMAX" or "RTMAX-n"; -1 for anything else. */
static int parse_realtime(const char* name) {
#ifdef SIGRTMIN
  const char* up = after(name, "RTMIN");
  const char* down = after(name, "RTMAX");
  const char* rest = up != NULL ? up : down;
  int n = 0;

  if (rest == NULL)
    return -1;
  if (*rest != '\0') {
    n = *rest == (up != NULL ? '+' : '-') ? parse_number(rest + 1) : -1;
    if (n < 0 || n > SIGRTMAX - SIGRTMIN)
      return -1;
  }
  return up != NULL ? SIGRTMIN + n : SIGRTMAX - n;
#else
  (void) name;
  return -1;
#endif
}

int uvsig_signal_number(const char* name) {
  const char* rest;
  size_t i;
  int signum;

  if (name == NULL)
    return UV_EINVAL;
  signum = parse_number(name);
  if (signum < 0) {
    rest = after(name, "SIG");
    if (rest != NULL)
      name = rest;
    signum = parse_realtime(name);
  }
  if (signum >= 0)
    return uvsig__is_valid(signum) ? signum : UV_EINVAL;
  for (i = 0; i < SIZE_OF(table); i++) {
    rest = after(name, table[i].name + 3); /* without its "SIG" */
    if (rest != NULL && *rest == '\0')
      return table[i].signum;
  }
  return UV_EINVAL;
}

int uvsig_valid_signals(sigset_t* set) {
  if (set == NULL)
    return UV_EINVAL;
  uvsig__fill_valid(set);
  return 0;
}
