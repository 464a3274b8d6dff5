/* SPDX-License-Identifier: MIT
 *
 * One line for standard error, put together piece by piece. Runs in any thread.
 */

#include "base.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

/* Room is kept for the newline. */
void uvsig__line_add(struct uvsig__line* line, const char* format, ...) {
  size_t room = sizeof(line->text) - 1 - line->length;
  va_list arguments;
  int n;

  va_start(arguments, format);
  n = vsnprintf(line->text + line->length, room, format, arguments);
  va_end(arguments);
  /* Below 0 where it fails, as it does for no format of the library's: then the
   * room counts as used. */
  line->length += (size_t) n < room ? (size_t) n : room - 1;
}

/* Whatever the program's own texts have in them, it is one line. */
void uvsig__line_print(struct uvsig__line* line) {
  size_t i;

  for (i = 0; i < line->length; i++)
    if (iscntrl((unsigned char) line->text[i]))
      line->text[i] = '?';
  line->text[line->length++] = '\n';
  line->text[line->length] = 0;
  uvsig__print(line->text);
}
