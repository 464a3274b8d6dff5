/* SPDX-License-Identifier: MIT
 *
 * A server's shutdown, for the scenarios of one: begun in this process, and run
 * to its end.
 */

#ifndef FAULT_SERVER_H
#define FAULT_SERVER_H

#include "../lib/harness.h"

extern struct server {
  uvsig_shutdown_t sd;
  bool is_closed;                  /* uvsig_shutdown_close()'s callback */
  bool is_done;                    /* UVSIG_SHUTDOWN_DONE's */
  uvsig_shutdown_hold_t* releases; /* when forcing begins, or NULL */
} server;

/* With times that no shutdown takes, and `keep_sig`. */
void shutdown_options(uvsig_shutdown_options_t* options);
/* NULL: those. */
void init_shutdown(const uvsig_shutdown_options_t* options);
/* Turn the loop until it is done. */
void finish_shutdown(void);
/* Give it up, or free what is left of it. */
void close_shutdown(void);

#endif /* FAULT_SERVER_H */
