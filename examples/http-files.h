/* SPDX-License-Identifier: MIT
 *
 * Files below a folder as HTTP responses: GET and HEAD of a file, index.html
 * or a listing for a folder, and nothing from outside, whatever the URL or a
 * symbolic link says. */

#ifndef HTTP_FILES_H
#define HTTP_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <microhttpd.h>

#include "http-path.h"

typedef struct http_files_s http_files_t;

struct http_files_s {
  /* private */
  http_root_t root;
};

/* Open a folder. Returns 0 or a UV_E* code. */
int http_files_open(http_files_t* files, const char* folder);

void http_files_close(http_files_t* files);

/* Make the response to a request, and set its status. `url` is the path as it
 * came, percent-encoded. Returns NULL if there is no memory for one. */
struct MHD_Response* http_files_respond(const http_files_t* files,
                                        struct MHD_Connection* from,
                                        const char* method,
                                        const char* url,
                                        unsigned* status);

#endif /* HTTP_FILES_H */
