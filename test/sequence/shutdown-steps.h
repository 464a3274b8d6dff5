/* SPDX-License-Identifier: MIT
 *
 * The steps of the coordinator's sequences. What each takes is said where it is.
 */

#ifndef SHUTDOWN_STEPS_H
#define SHUTDOWN_STEPS_H

#include "shutdown-model.h"

/* --- shutdown-register.c: what a shutdown waits for ----------------------------- */

bool step_add_conn(const unsigned* args);
bool step_use_conn(const unsigned* args);
bool step_remove_conn(const unsigned* args);
bool step_hold(const unsigned* args);
bool step_release(const unsigned* args);
bool step_add_closer(const unsigned* args);
bool step_end_closer(const unsigned* args);
bool step_add_listener(const unsigned* args);
bool step_remove_listener(const unsigned* args);
bool step_add_child(const unsigned* args);
bool step_reap(const unsigned* args);

/* --- shutdown-life.c: what happens before it, what begins it and ends it --------- */

bool step_start_reload(const unsigned* args);
bool step_request_reload(const unsigned* args);
bool step_finish_reload(const unsigned* args);
bool step_stop_reload(const unsigned* args);
bool step_init_upgrade(const unsigned* args);
bool step_request_upgrade(const unsigned* args);
bool step_stop_upgrade(const unsigned* args);
bool step_send_signal(const unsigned* args);
bool step_request(const unsigned* args);
bool step_extend(const unsigned* args);
bool step_be_ready(const unsigned* args);
bool step_give_up(const unsigned* args);
bool step_turn(const unsigned* args);

extern uvsig_upgrade_t upgrade;
extern bool has_upgrade;
extern bool is_upgrade_started;
extern pid_t successor;
extern char self[4096]; /* this program, which is the successor, too */

#endif /* SHUTDOWN_STEPS_H */
