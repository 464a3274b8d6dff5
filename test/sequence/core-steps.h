/* SPDX-License-Identifier: MIT
 *
 * The steps of the core's sequences. What each takes is said where it is.
 */

#ifndef CORE_STEPS_H
#define CORE_STEPS_H

#include "core-model.h"

/* --- core-watch.c: watchers and waits ------------------------------------------- */

bool step_start(const unsigned* args);
bool step_stop(const unsigned* args);
bool step_drain(const unsigned* args);
bool step_wait(const unsigned* args);
bool step_cancel(const unsigned* args);
bool step_close(const unsigned* args);
bool step_open(const unsigned* args);

/* --- core-turn.c: signals come, and loops turn ----------------------------------- */

bool step_raise(const unsigned* args);
bool step_flood(const unsigned* args);
bool step_turn(const unsigned* args);
bool step_flush(const unsigned* args);
bool step_pause(const unsigned* args);
bool step_settle(const unsigned* args);
/* Run all loops until nothing is left, and compare. */
void settle(void);

/* --- core-around.c: what else a process does -------------------------------------- */

bool step_install(const unsigned* args);
bool step_remove(const unsigned* args);
bool step_base(const unsigned* args);
bool step_start_handle(const unsigned* args);
bool step_stop_handle(const unsigned* args);
bool step_intrude(const unsigned* args);
bool step_expire(const unsigned* args);
bool step_spawn(const unsigned* args);
bool step_fork(const unsigned* args);

#endif /* CORE_STEPS_H */
