/* SPDX-License-Identifier: MIT
 *
 * Sending signals. Runs anywhere.
 */

#include "internal.h"

#include <errno.h>

int uvsig_raise_signal(int signum) {
  if (!uvsig__is_valid(signum))
    return UV_EINVAL;
  return raise(signum) == 0 ? 0 : UVSIG__ERR(errno);
}
