/* SPDX-License-Identifier: MIT
 *
 * From a URL to a response. What was opened, not what was named, decides it.
 * Runs on the loop's thread, and blocks it for as long as the disk takes. */

#define _GNU_SOURCE 1 /* asprintf, open_memstream, strptime, timegm */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "http-files.h"
#include "http-listing.h"

#define TEXT_TYPE "text/plain; charset=utf-8"
#define HTML_TYPE "text/html; charset=utf-8"

typedef struct {
  const char* extension;
  const char* type;
} content_type_t;

static const content_type_t content_types[] = {
    {"c", TEXT_TYPE},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h", TEXT_TYPE},
    {"htm", HTML_TYPE},
    {"html", HTML_TYPE},
    {"ico", "image/vnd.microsoft.icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"rst", TEXT_TYPE},
    {"svg", "image/svg+xml"},
    {"txt", TEXT_TYPE},
    {"wasm", "application/wasm"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff2", "font/woff2"},
    {"xml", "text/xml; charset=utf-8"},
    {"zip", "application/zip"},
};

/* --- Responses ---------------------------------------------------------------
 * Each function takes over what it is given, and returns NULL if there is no
 * memory. */

static struct MHD_Response* add_header(struct MHD_Response* response,
                                       const char* name,
                                       const char* value) {
  if (response == NULL)
    return NULL;
  if (MHD_add_response_header(response, name, value) != MHD_YES) {
    MHD_destroy_response(response);
    return NULL;
  }
  return response;
}

static struct MHD_Response* text_response(char* text,
                                          size_t size,
                                          const char* type) {
  struct MHD_Response* response =
      MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);

  if (response == NULL)
    free(text);
  return add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
}

/* A page that says the status and nothing more. */
static struct MHD_Response* status_response(unsigned code, unsigned* status) {
  char* text;
  int size = asprintf(&text, "%u %s\n", code, MHD_get_reason_phrase_for(code));

  *status = code;
  if (size < 0)
    return NULL;
  return text_response(text, (size_t) size, TEXT_TYPE);
}

static struct MHD_Response* error_response(int error, unsigned* status) {
  switch (error) {
  case ENOENT:
  case ENOTDIR:
  case ENAMETOOLONG:
  case ELOOP: /* a symbolic link that leads to itself, or was just put there */
  case ENXIO: /* a socket, or a device without a driver */
  case ENODEV:
    return status_response(MHD_HTTP_NOT_FOUND, status);
  case EACCES:
  case EPERM:
    return status_response(MHD_HTTP_FORBIDDEN, status);
  case EAGAIN:
  case EMFILE:
  case ENFILE:
  case ENOMEM:
    return status_response(MHD_HTTP_SERVICE_UNAVAILABLE, status);
  default:
    return status_response(MHD_HTTP_INTERNAL_SERVER_ERROR, status);
  }
}

static struct MHD_Response* listing_response(int fd,
                                             const char* path,
                                             unsigned* status) {
  size_t size;
  char* text = http_listing_make(fd, path, &size);

  if (text == NULL)
    return error_response(errno, status);
  *status = MHD_HTTP_OK;
  return text_response(text, size, HTML_TYPE);
}

/* Links in a listing are relative, which takes the trailing slash. The target
 * is made of the decoded path, so that "//host" cannot lead to that host. */
static struct MHD_Response* redirect_response(const char* path,
                                              unsigned* status) {
  struct MHD_Response* response;
  char* location;
  size_t size;
  FILE* out = open_memstream(&location, &size);

  if (out == NULL)
    return error_response(errno, status);
  fputc('/', out);
  http_print_url(out, path);
  fputc('/', out);
  if (http_finish_text(out, &location) != 0)
    return error_response(errno, status);

  response = status_response(MHD_HTTP_MOVED_PERMANENTLY, status);
  response = add_header(response, MHD_HTTP_HEADER_LOCATION, location);
  free(location);
  return response;
}

/* --- Files ---------------------------------------------------------------- */

static const char* content_type(const char* path) {
  const char* dot = strrchr(path, '.');
  size_t i;

  if (dot != NULL) {
    for (i = 0; i < sizeof(content_types) / sizeof(content_types[0]); i++) {
      if (strcasecmp(dot + 1, content_types[i].extension) == 0)
        return content_types[i].type;
    }
  }
  return "application/octet-stream";
}

/* Tell whether the client has the file already. */
static int not_modified(struct MHD_Connection* from, time_t modified) {
  /* RFC 9110, 5.6.7: the one to send, and two that are still accepted */
  static const char* const formats[] = {
      "%a, %d %b %Y %T GMT", "%A, %d-%b-%y %T GMT", "%a %b %e %T %Y"};
  const char *date, *end;
  struct tm tm;
  size_t i;

  date = MHD_lookup_connection_value(
      from, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_MODIFIED_SINCE);
  if (date == NULL || MHD_lookup_connection_value(
                          from, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_NONE_MATCH))
    return 0; /* an entity tag, which is none of ours, goes before the date */
  for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
    memset(&tm, 0, sizeof(tm));
    end = strptime(date, formats[i], &tm);
    if (end != NULL && *end == '\0')
      return modified <= timegm(&tm);
  }
  return 0;
}

/* So much of a file is in memory for each response. */
#define BLOCK_SIZE 65536

static ssize_t read_file(void* arg, uint64_t offset, char* bytes, size_t size) {
  int fd = (int) (intptr_t) arg;
  ssize_t count;

  do
    count = pread(fd, bytes, size, (off_t) offset);
  while (count < 0 && errno == EINTR);
  /* an end before the length that was told is an error, too */
  return count > 0 ? count : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void close_file(void* arg) {
  close((int) (intptr_t) arg);
}

/* Not MHD_create_response_from_fd64(), which uses sendfile(2): a signal makes
 * that send less than there is room for, libmicrohttpd takes it that there is
 * none, and waits for an event that does not come. */
static struct MHD_Response* open_file_response(int fd, uint64_t size) {
  struct MHD_Response* response = MHD_create_response_from_callback(
      size, BLOCK_SIZE, read_file, (void*) (intptr_t) fd, close_file);

  if (response == NULL)
    close(fd);
  return response;
}

static struct MHD_Response* file_response(int fd,
                                          const struct stat* st,
                                          const char* path,
                                          struct MHD_Connection* from,
                                          unsigned* status) {
  struct MHD_Response* response;
  int unmodified = not_modified(from, st->st_mtime);
  struct tm tm;
  char date[64];

  if (st->st_size == 0) {
    close(fd);
    response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
  } else { /* also for a 304, which sends the length and no body */
    response = open_file_response(fd, (uint64_t) st->st_size);
  }

  if (gmtime_r(&st->st_mtime, &tm) != NULL &&
      strftime(date, sizeof(date), "%a, %d %b %Y %T GMT", &tm) > 0)
    response = add_header(response, MHD_HTTP_HEADER_LAST_MODIFIED, date);
  if (unmodified) {
    *status = MHD_HTTP_NOT_MODIFIED;
    return response;
  }
  *status = MHD_HTTP_OK;
  return add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type(path));
}

/* Serve a folder, which `fd` is: its index.html, or else a listing. */
static struct MHD_Response* folder_response(const http_files_t* files,
                                            int fd,
                                            const char* path,
                                            struct MHD_Connection* from,
                                            unsigned* status) {
  struct MHD_Response* response;
  struct stat st;
  char* index;
  int index_fd, err;

  if (asprintf(&index, "%sindex.html", path) < 0) {
    close(fd);
    return NULL;
  }
  index_fd = http_path_open(&files->root, index);
  err = index_fd < 0 ? errno : 0;
  if (index_fd >= 0 && fstat(index_fd, &st) == 0 && S_ISREG(st.st_mode)) {
    close(fd);
    response = file_response(index_fd, &st, index, from, status);
  } else if (index_fd >= 0 || err == ENOENT) {
    if (index_fd >= 0)
      close(index_fd);
    response = listing_response(fd, path, status);
  } else {
    close(fd);
    response = error_response(err, status);
  }
  free(index);
  return response;
}

static struct MHD_Response* path_response(const http_files_t* files,
                                          const char* path,
                                          struct MHD_Connection* from,
                                          unsigned* status) {
  int fd = http_path_open(&files->root, path);
  struct stat st;
  int err;

  if (fd < 0)
    return error_response(errno, status);
  if (fstat(fd, &st) != 0) {
    err = errno;
    close(fd);
    return error_response(err, status);
  }
  if (S_ISREG(st.st_mode))
    return file_response(fd, &st, path, from, status);
  if (S_ISDIR(st.st_mode) && http_path_names_folder(path))
    return folder_response(files, fd, path, from, status);
  close(fd);
  if (S_ISDIR(st.st_mode))
    return redirect_response(path, status);
  return status_response(MHD_HTTP_NOT_FOUND, status);
}

/* --- The public functions ------------------------------------------------- */

int http_files_open(http_files_t* files, const char* folder) {
  return http_root_open(&files->root, folder);
}

void http_files_close(http_files_t* files) {
  http_root_close(&files->root);
}

struct MHD_Response* http_files_respond(const http_files_t* files,
                                        struct MHD_Connection* from,
                                        const char* method,
                                        const char* url,
                                        unsigned* status) {
  struct MHD_Response* response;
  char* path;

  if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
      strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
    response = status_response(MHD_HTTP_METHOD_NOT_ALLOWED, status);
    return add_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  }
  path = http_path_decode(url);
  if (path == NULL)
    return error_response(errno, status);
  response = path_response(files, path, from, status);
  free(path);
  return response;
}
