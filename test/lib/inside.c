/* SPDX-License-Identifier: MIT
 *
 * What is known of the inside of a uvsig_t: see inside.h.
 */

#include "inside.h"

#include "../../lib/hub.h"
#include "../../lib/wakeup.h"

#include <string.h>
#include <unistd.h>

_Static_assert(BUDGET == UVSIG__BUDGET, "tests fill the fds by it");

struct inside inside_of(const uvsig_t* sig) {
  const struct uvsig__hub* hub = sig->hub;
  struct inside inside = {hub->wakeup.read_fd,
                          hub->wakeup.write_fd,
                          hub->wakeup.capacity,
                          uv_is_active((const uv_handle_t*) &hub->poll) != 0};

  return inside;
}

unsigned long wakeup_room(const uvsig_options_t* options) {
  struct uvsig__wakeup like;
  unsigned long n = 0;

  memset(&like, 0, sizeof(like));
  CHECK_EQ(uvsig__wakeup_open(&like, options), 0);
  while (write(like.write_fd, "x", 1) == 1)
    n++;
  uvsig__wakeup_close(&like);
  return n;
}
