/* SPDX-License-Identifier: MIT
 *
 * The successor of the upgrade's scenario: this program, with one argument.
 */

#ifndef FAULT_UPGRADE_H
#define FAULT_UPGRADE_H

#define SUCCESSOR "successor"

/* Say that it is ready, and live until standard input ends. */
int be_a_successor(void);

#endif /* FAULT_UPGRADE_H */
