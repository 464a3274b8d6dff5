/* SPDX-License-Identifier: MIT
 *
 * The line for standard error, which has room for so much, and is one line.
 */

#include "../lib/harness.h"

#include "../../lib/base.h"

#include <string.h>
#include <unistd.h>

static void a_line_that_is_too_long_is_cut_and_ends(void) {
  struct uvsig__line line = {.length = 0};
  char text[2 * sizeof(line.text)];
  int ends[2];
  int own = dup(STDERR_FILENO);
  int i;

  memset(text, 'x', sizeof(text));
  CHECK(own >= 0);
  CHECK_EQ(pipe(ends), 0);
  for (i = 0; i < 100; i++)
    uvsig__line_add(&line, "%.*s%s\n", 99, text, "");
  uvsig__line_add(&line, "more");
  CHECK_EQ(line.length, sizeof(line.text) - 2);
  CHECK_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
  uvsig__line_print(&line);
  CHECK_EQ(dup2(own, STDERR_FILENO), STDERR_FILENO);
  CHECK_EQ(read(ends[0], text, sizeof(text)), sizeof(line.text) - 1);
  CHECK(memchr(text, '\n', sizeof(text)) == text + sizeof(line.text) - 2);
  CHECK_EQ(text[99], '?');
  CHECK_EQ(close(own), 0);
  CHECK_EQ(close(ends[0]), 0);
  CHECK_EQ(close(ends[1]), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_line_that_is_too_long_is_cut_and_ends),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
