/* SPDX-License-Identifier: MIT
 *
 * For a test program that is linked with --wrap=syscall, and that is one file:
 * the library's calls of syscall() come here first, and where libuv is a static
 * library, its own, too.
 */

#ifndef WRAP_SYSCALL_H
#define WRAP_SYSCALL_H

#include <stdarg.h>
#include <stdbool.h>
#ifdef HAVE_SYS_SYSCALL_H
# include <sys/syscall.h>
#endif

/* The program's: returns whether the call is refused, with errno set. What the
 * call does not have of the six arguments is undefined. */
static bool refuses_syscall(long number, const long* arguments);

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  long arguments[6];
  va_list list;
  int i;

  va_start(list, number);
  for (i = 0; i < 6; i++)
    arguments[i] = va_arg(list, long);
  va_end(list);
  if (refuses_syscall(number, arguments))
    return -1;
  return __real_syscall(number,
                        arguments[0],
                        arguments[1],
                        arguments[2],
                        arguments[3],
                        arguments[4],
                        arguments[5]);
}

#endif /* WRAP_SYSCALL_H */
