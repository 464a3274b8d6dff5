/* SPDX-License-Identifier: MIT
 *
 * From a URL to a response. A URL becomes a plain relative path, the kernel
 * opens that path below the folder's descriptor and refuses to leave it, and
 * what was opened, not what was named, decides the response. Runs on the
 * loop's thread, and blocks it for as long as the disk takes. */

#define _GNU_SOURCE 1 /* asprintf, strptime, timegm, syscall */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef SYS_openat2
#  include <linux/openat2.h>
#endif

#include <uv.h>

#include "http-files.h"

/* O_NONBLOCK: opening a FIFO does not wait for a writer. O_NOCTTY: opening a
 * terminal does not make it ours. */
#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

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

/* The names of a folder's entries, folders with a trailing slash. */
typedef struct {
  char** list;
  size_t count;
} names_t;

/* --- Responses ---------------------------------------------------------------
 * Each function takes over what it is given, and returns NULL if there is no
 * memory. */

static struct MHD_Response*
add_header(struct MHD_Response* response, const char* name, const char* value) {
  if (response == NULL)
    return NULL;
  if (MHD_add_response_header(response, name, value) != MHD_YES) {
    MHD_destroy_response(response);
    return NULL;
  }
  return response;
}

static struct MHD_Response*
text_response(char* text, size_t size, const char* type) {
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
  case ELOOP: /* a symbolic link, where they are not followed */
  case EXDEV: /* it would lead out of the folder */
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

/* --- Paths ---------------------------------------------------------------- */

/* Make "a/b c/" of "/a//./b%20c/". Returns NULL and sets errno if no file can
 * have that path; whether one has is another question. */
static char* decode_url(const char* url) {
  char* path = strdup(url);
  char *out = path, *part, *rest;
  size_t length;
  int folder;

  if (path == NULL)
    return NULL;

  /* A %00 makes the text shorter than the decoder says that it is. */
  length = MHD_http_unescape(path);
  if (path[0] != '/' || length != strlen(path))
    goto refuse;

  folder = path[length - 1] == '/';
  for (part = strtok_r(path, "/", &rest); part != NULL;
       part = strtok_r(NULL, "/", &rest)) {
    if (strcmp(part, ".") == 0)
      continue;
    if (strcmp(part, "..") == 0)
      goto refuse;
    length = strlen(part);
    memmove(out, part, length);
    out[length] = '/';
    out += length + 1;
  }
  if (out > path && !folder)
    out--;
  *out = '\0';
  return path;

refuse:
  free(path);
  errno = ENOENT;
  return NULL;
}

/* Tell whether a decoded path asks for a folder. */
static int names_folder(const char* path) {
  size_t length = strlen(path);
  return length == 0 || path[length - 1] == '/';
}

/* Open a decoded path by letting the kernel refuse what leads out. */
static int open_resolving(int root, const char* path) {
#ifdef SYS_openat2
  struct open_how how = {.flags = OPEN_FLAGS,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  int tries = 8; /* it may fail where somebody renames folders meanwhile */
  int fd;

  do {
    fd = (int) syscall(SYS_openat2, root, path[0] == '\0' ? "." : path, &how,
                       sizeof(how));
  } while (fd < 0 && errno == EAGAIN && --tries > 0);
  return fd;
#else
  (void) root;
  (void) path;
  errno = ENOSYS;
  return -1;
#endif
}

/* Open a decoded path step by step, following no symbolic link at all. */
static int open_walking(int root, const char* path) {
  char part[NAME_MAX + 1];
  size_t length;
  int dir = root, fd, saved;

  if (path[0] == '\0')
    return openat(root, ".", OPEN_FLAGS);
  for (;;) {
    length = strcspn(path, "/");
    if (length < sizeof(part)) {
      memcpy(part, path, length);
      part[length] = '\0';
      path += length;
      fd = openat(dir, part,
                  OPEN_FLAGS | O_NOFOLLOW | (*path == '/' ? O_DIRECTORY : 0));
    } else {
      fd = -1;
      errno = ENAMETOOLONG;
    }
    saved = errno;
    if (dir != root)
      close(dir);
    errno = saved;
    if (fd < 0 || path[0] == '\0' || path[1] == '\0')
      return fd;
    dir = fd;
    path++;
  }
}

static int open_path(const http_files_t* files, const char* path) {
  return files->follows_links ? open_resolving(files->root, path)
                              : open_walking(files->root, path);
}

/* --- Text ----------------------------------------------------------------- */

static void print_html(FILE* out, const char* text) {
  for (; *text != '\0'; text++) {
    switch (*text) {
    case '&':
      fputs("&amp;", out);
      break;
    case '<':
      fputs("&lt;", out);
      break;
    case '>':
      fputs("&gt;", out);
      break;
    case '"':
      fputs("&quot;", out);
      break;
    default:
      fputc(*text, out);
    }
  }
}

/* Slashes stay, and what need not be encoded; a colon would make a scheme of
 * what is before it. */
static void print_url(FILE* out, const char* text) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              "abcdefghijklmnopqrstuvwxyz"
                              "0123456789-._~/";

  for (; *text != '\0'; text++) {
    if (strchr(plain, *text) != NULL)
      fputc(*text, out);
    else
      fprintf(out, "%%%02X", (unsigned) (unsigned char) *text);
  }
}

/* Close a stream of open_memstream(). Returns -1 and frees the text if not all
 * of it could be written. */
static int finish_text(FILE* out, char** text) {
  int failed = ferror(out);

  if (fclose(out) == 0 && !failed)
    return 0;
  free(*text);
  errno = ENOMEM;
  return -1;
}

/* --- Folders -------------------------------------------------------------- */

static int by_name(const void* a, const void* b) {
  return strcmp(*(char* const*) a, *(char* const*) b);
}

static void free_names(names_t* names) {
  while (names->count > 0)
    free(names->list[--names->count]);
  free(names->list);
}

/* A symbolic link counts as a file, whatever it leads to: where it leads to a
 * folder inside, the redirect adds the slash. */
static int add_name(names_t* names, DIR* dir, const char* name) {
  char** list;
  struct stat st;
  int folder;

  /* grows at the powers of two */
  if ((names->count & (names->count - 1)) == 0) {
    size_t room = names->count == 0 ? 1 : 2 * names->count;
    list = reallocarray(names->list, room, sizeof(*list));
    if (list == NULL)
      return -1;
    names->list = list;
  }
  folder = fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(st.st_mode);
  if (asprintf(&names->list[names->count], "%s%s", name, folder ? "/" : "") < 0)
    return -1;
  names->count++;
  return 0;
}

/* Returns -1 and sets errno on failure; what was read has to be freed all the
 * same. */
static int read_names(DIR* dir, names_t* names) {
  const struct dirent* entry;

  for (;;) {
    errno = 0;
    entry = readdir(dir);
    if (entry == NULL)
      break;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
      continue;
    if (add_name(names, dir, entry->d_name) != 0)
      return -1;
  }
  if (errno != 0)
    return -1;
  if (names->count > 0)
    qsort(names->list, names->count, sizeof(*names->list), by_name);
  return 0;
}

static void print_listing(FILE* out, const char* path, const names_t* names) {
  size_t i;

  fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
        "<meta charset=\"utf-8\">\n<title>Listing of /",
        out);
  print_html(out, path);
  fputs("</title>\n</head>\n<body>\n<h1>Listing of /", out);
  print_html(out, path);
  fputs("</h1>\n<ul>\n", out);
  if (path[0] != '\0')
    fputs("<li><a href=\"../\">../</a></li>\n", out);
  for (i = 0; i < names->count; i++) {
    fputs("<li><a href=\"", out);
    print_url(out, names->list[i]);
    fputs("\">", out);
    print_html(out, names->list[i]);
    fputs("</a></li>\n", out);
  }
  fputs("</ul>\n</body>\n</html>\n", out);
}

static struct MHD_Response*
listing_response(int fd, const char* path, unsigned* status) {
  names_t names = {NULL, 0};
  char* text = NULL;
  size_t size;
  FILE* out;
  DIR* dir = fdopendir(fd);
  int err = 0;

  if (dir == NULL) {
    err = errno;
    close(fd);
    return error_response(err, status);
  }
  if (read_names(dir, &names) != 0) {
    err = errno;
    goto done;
  }
  out = open_memstream(&text, &size);
  if (out == NULL) {
    err = errno;
    goto done;
  }
  print_listing(out, path, &names);
  if (finish_text(out, &text) != 0)
    err = errno;

done:
  free_names(&names);
  closedir(dir);
  if (err != 0)
    return error_response(err, status);
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
  print_url(out, path);
  fputc('/', out);
  if (finish_text(out, &location) != 0)
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

  date = MHD_lookup_connection_value(from, MHD_HEADER_KIND,
                                     MHD_HTTP_HEADER_IF_MODIFIED_SINCE);
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

static struct MHD_Response* file_response(int fd,
                                          const struct stat* st,
                                          const char* path,
                                          struct MHD_Connection* from,
                                          unsigned* status) {
  struct MHD_Response* response;
  int unmodified = not_modified(from, st->st_mtime);
  struct tm tm;
  char date[64];

  if (st->st_size == 0) { /* nothing that sendfile() could send */
    close(fd);
    response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
  } else { /* also for a 304, which sends the length and no body */
    response = MHD_create_response_from_fd64((uint64_t) st->st_size, fd);
    if (response == NULL)
      close(fd);
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
  index_fd = open_path(files, index);
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
  int fd = open_path(files, path);
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
  if (S_ISDIR(st.st_mode) && names_folder(path))
    return folder_response(files, fd, path, from, status);
  close(fd);
  if (S_ISDIR(st.st_mode))
    return redirect_response(path, status);
  return status_response(MHD_HTTP_NOT_FOUND, status);
}

/* --- The public functions ------------------------------------------------- */

int http_files_open(http_files_t* files, const char* folder) {
  int fd;

  files->root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (files->root < 0)
    return uv_translate_sys_error(errno);

  /* Kernels before 5.6 have no openat2(), and some sandboxes refuse it. */
  fd = open_resolving(files->root, "");
  files->follows_links = fd >= 0;
  if (fd >= 0)
    close(fd);
  return 0;
}

void http_files_close(http_files_t* files) {
  close(files->root);
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
  path = decode_url(url);
  if (path == NULL)
    return error_response(errno, status);
  response = path_response(files, path, from, status);
  free(path);
  return response;
}
