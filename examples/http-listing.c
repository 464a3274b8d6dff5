/* SPDX-License-Identifier: MIT
 *
 * The listing of a folder as a page, and the text that pages are made of. */

#define _GNU_SOURCE 1 /* asprintf, open_memstream, reallocarray */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http-listing.h"

/* The names of a folder's entries, folders with a trailing slash. */
typedef struct {
  char** list;
  size_t count;
} names_t;

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
void http_print_url(FILE* out, const char* text) {
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

int http_finish_text(FILE* out, char** text) {
  int failed = ferror(out);

  if (fclose(out) == 0 && !failed)
    return 0;
  free(*text);
  errno = ENOMEM;
  return -1;
}

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
    http_print_url(out, names->list[i]);
    fputs("\">", out);
    print_html(out, names->list[i]);
    fputs("</a></li>\n", out);
  }
  fputs("</ul>\n</body>\n</html>\n", out);
}

char* http_listing_make(int fd, const char* path, size_t* size) {
  names_t names = {NULL, 0};
  char* text = NULL;
  FILE* out;
  DIR* dir = fdopendir(fd);
  int err = 0;

  if (dir == NULL) {
    err = errno;
    close(fd);
    errno = err;
    return NULL;
  }
  if (read_names(dir, &names) != 0) {
    err = errno;
    goto done;
  }
  out = open_memstream(&text, size);
  if (out == NULL) {
    err = errno;
    goto done;
  }
  print_listing(out, path, &names);
  if (http_finish_text(out, &text) != 0) {
    err = errno;
    text = NULL;
  }

done:
  free_names(&names);
  closedir(dir);
  errno = err;
  return text;
}
