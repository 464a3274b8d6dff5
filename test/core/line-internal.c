/* SPDX-License-Identifier: MIT
 *
 * The line for standard error, which has room for so much, and is one line.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

#include <string.h>
#include <unistd.h>

static struct uvsig__line line;
static char text[2 * sizeof(line.text)];

/* Print the line, and have what comes in `text`. Returns its length. */
static size_t print(void) {
  int own = dup(STDERR_FILENO);
  int ends[2];
  ssize_t n;

  CHECK(own >= 0);
  CHECK_EQ(pipe(ends), 0);
  CHECK_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
  uvsig__line_print(&line);
  CHECK_EQ(dup2(own, STDERR_FILENO), STDERR_FILENO);
  n = read(ends[0], text, sizeof(text));
  CHECK(n > 0);
  CHECK_EQ(close(own), 0);
  CHECK_EQ(close(ends[0]), 0);
  CHECK_EQ(close(ends[1]), 0);
  return (size_t) n;
}

static void a_line_that_is_too_long_is_cut_and_ends(void) {
  int i;

  memset(text, 'x', sizeof(text));
  for (i = 0; i < 100; i++)
    uvsig__line_add(&line, "%.*s%s\n", 99, text, "");
  uvsig__line_add(&line, "more");
  CHECK_EQ(line.length, sizeof(line.text) - 2);
  CHECK_EQ(print(), sizeof(line.text) - 1);
  CHECK(memchr(text, '\n', sizeof(text)) == text + sizeof(line.text) - 2);
  CHECK_EQ(text[99], '?');
}

/* The last one that fits, and the first that does not. */
static void a_line_is_cut_where_the_newline_has_no_room(void) {
  const size_t longest = sizeof(line.text) - 2;
  size_t size;

  for (size = longest - 1; size <= longest + 2; size++) {
    /* What was there before does not matter. */
    memset(&line, 'x', sizeof(line));
    line.length = 0;
    uvsig__line_add(&line, "%0*d", (int) size, 7);
    CHECK_EQ(line.length, size < longest ? size : longest);
    CHECK_EQ(print(), line.length);
    CHECK_EQ(text[line.length - 1], '\n');
    CHECK_EQ(text[line.length - 2], size <= longest ? '7' : '0');
  }
}

static void the_first_character_is_made_visible_too(void) {
  line.length = 0;
  uvsig__line_add(&line, "\na\tb");
  CHECK_EQ(print(), 5);
  CHECK_EQ(memcmp(text, "?a?b\n", 5), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_line_that_is_too_long_is_cut_and_ends),
      TEST(a_line_is_cut_where_the_newline_has_no_room),
      TEST(the_first_character_is_made_visible_too),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
