/* SPDX-License-Identifier: MIT
 *
 * A PID file that keeps a second daemon out. Who reads it sees a whole number
 * or no file. What is no regular file is refused and left alone, and so is a
 * symbolic link. */

#ifndef PID_FILE_H
#define PID_FILE_H

typedef struct {
  const char* path; /* NULL: none is held, as in zeroed memory */
  int fd;           /* has the lock */
} pid_file_t;

/* Make the file, locked and with our PID in it. `path` must stay valid. The
 * successor of who has the lock takes the file's place. Returns NULL, or why
 * not, for a message. */
const char* pid_file_open(pid_file_t* file, const char* path);

/* A successor has failed: where it has taken the file's place, make another.
 * Returns NULL, or why not. */
const char* pid_file_take_back(pid_file_t* file);

/* Remove the file, unless its name is another one's by now, and give up the
 * lock. Nothing is done where none is held. Returns NULL, or why not. */
const char* pid_file_remove(pid_file_t* file);

#endif
