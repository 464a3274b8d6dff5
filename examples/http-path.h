/* SPDX-License-Identifier: MIT
 *
 * Paths of URLs, and the files below a folder that they name. */

#ifndef HTTP_PATH_H
#define HTTP_PATH_H

typedef struct {
  char* path; /* absolute, without symbolic links */
  int fd;
} http_root_t;

/* Open a folder. Returns 0 or a UV_E* code. */
int http_root_open(http_root_t* root, const char* folder);

void http_root_close(http_root_t* root);

/* Make "a/b c/" of "/a//./b%20c/". Returns NULL and sets errno if no file can
 * have that path; whether one has is another question. */
char* http_path_decode(const char* url);

/* Tell whether a decoded path asks for a folder. */
int http_path_names_folder(const char* path);

/* Open what a decoded path names below the root. Returns -1 and sets errno if
 * there is nothing, or if a symbolic link leads out. */
int http_path_open(const http_root_t* root, const char* path);

#endif /* HTTP_PATH_H */
