/* SPDX-License-Identifier: MIT
 *
 * A log in lines, which can be opened again after it was renamed. */

#ifndef LOG_FILE_H
#define LOG_FILE_H

/* Append to the file, or, with NULL, to standard error. A FIFO has a reader, or
 * it does not open. `path` must stay valid. Returns 0 or UV_E*. */
int log_file_open(const char* path);

/* Open it again, if it is open: the old one goes when there is a new one. */
int log_file_reopen(void);

/* Write a line, cut to 255 bytes. A full disk is no reason to end, nor, where
 * SIGPIPE is ignored, a reader that has gone. Before the log is open nothing is
 * written. */
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

#endif
