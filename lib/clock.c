/* SPDX-License-Identifier: MIT
 *
 * Seconds as users write them. Runs anywhere.
 */

#include "base.h"

/* 31 years. A longer limit is in practice none. */
#define LONGEST 1e9

/* In `unit`s of a second, rounded up, so that nothing is ever too early, and
 * that what is not 0 does not become 0. `seconds` is finite and not negative.
 * A product that is off a whole number by no more than the last bit of a double
 * is that number: else 1.1 s, of which there is no double, had a unit more. */
uint64_t uvsig__round_up(double seconds, double unit) {
  double exact = seconds * unit;
  uint64_t whole = (uint64_t) exact;
  double rest = exact - (double) whole;

  return whole + (rest > exact * (1.0 / 4503599627370496.0) ? 1 : 0); /* 2^52 */
}

/* Set `*deadline` to the time that is `seconds` from now, or to
 * UVSIG__NEVER. */
int uvsig__deadline_after(double seconds, uint64_t* deadline) {
  if (!(seconds >= 0)) /* also what is not a number */
    return UV_EINVAL;
  *deadline = seconds > LONGEST
                  ? UVSIG__NEVER
                  : uvsig__now() + uvsig__round_up(seconds, UVSIG__SECOND);
  return 0;
}
