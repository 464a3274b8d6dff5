/* SPDX-License-Identifier: MIT
 *
 * The limit of a shutdown in ms, as the library reckons it, for the scripts that
 * look at what is to wait longer:
 *   limit-internal [DELAY GRACE HARD]
 * in seconds; without them it is that of the defaults.
 */

#include "../../lib/shutdown/coordinator.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned ms(const char* seconds) {
  return (unsigned) (strtod(seconds, NULL) * 1000 + 0.5);
}

int main(int argc, char** argv) {
  static struct uvsig__coordinator c;

  uvsig_shutdown_options_init(&c.options);
  if (argc == 4) {
    c.options.delay_ms = ms(argv[1]);
    c.options.grace_ms = ms(argv[2]);
    c.options.hard_ms = ms(argv[3]);
  } else if (argc != 1) {
    return EXIT_FAILURE;
  }
  uvsig__limits_init(&c);
  printf("%u\n", atomic_load(&c.escalation.total_ms));
  return EXIT_SUCCESS;
}
