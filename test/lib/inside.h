/* SPDX-License-Identifier: MIT
 *
 * All that a test may know of the inside of a uvsig_t and still be no white-box
 * test: its descriptors, and what they hold.
 */

#ifndef INSIDE_H
#define INSIDE_H

#include "harness.h"

/* Bytes that a turn of the loop reads at most. */
enum { BUDGET = 4096 };

struct inside {
  int read_fd;
  int write_fd;
  unsigned long capacity; /* bytes that the fds take, as the library thinks */
  bool is_polled;
};
struct inside inside_of(const uvsig_t* sig);

/* How many bytes such fds take, found out by filling them. */
unsigned long wakeup_room(const uvsig_options_t* options);

#endif /* INSIDE_H */
