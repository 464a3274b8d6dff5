/* SPDX-License-Identifier: MIT
 *
 * The listing of a folder as a page, and the text that pages are made of. */

#ifndef HTTP_LISTING_H
#define HTTP_LISTING_H

#include <stddef.h>
#include <stdio.h>

/* Print text as a path in a URL: slashes stay. */
void http_print_url(FILE* out, const char* text);

/* Close a stream of open_memstream(). Returns -1, frees the text and sets errno
 * if not all of it could be written. */
int http_finish_text(FILE* out, char** text);

/* Make the page of the folder `fd`, which is taken over and whose decoded path
 * is `path`. Returns NULL and sets errno on failure. */
char* http_listing_make(int fd, const char* path, size_t* size);

#endif /* HTTP_LISTING_H */
