/* SPDX-License-Identifier: MIT
 *
 * examples/http-server: what a request's path is answered with. An input is the
 * method and, in a second line, the path, as libmicrohttpd decodes it. The
 * functions of libmicrohttpd that make a response are here, and keep it.
 */

#include "fuzz.h"

/* Nothing calls it, so that what it calls is not linked. */
#define main static __attribute__((unused)) http_server_main
#include "../../examples/http-server.c"
#undef main

struct MHD_Response {
  void* file;
  MHD_ContentReaderCallback read;
  MHD_ContentReaderFreeCallback free_file;
  uint64_t size;
  const char* text;
  bool has_allow;
};

static struct MHD_Response made;

/* --- What http-server.c calls -------------------------------------------------- */

static int is_ready; /* at every other look */

int uvsig_shutdown_is_ready(const uvsig_shutdown_t* shutdown) {
  CHECK(shutdown == &sd);
  is_ready = !is_ready;
  return is_ready;
}

struct MHD_Response* MHD_create_response_from_callback(
    uint64_t size,
    size_t block_size,
    MHD_ContentReaderCallback read,
    void* file,
    MHD_ContentReaderFreeCallback free_file) {
  CHECK(block_size > 0);
  made.file = file;
  made.read = read;
  made.free_file = free_file;
  made.size = size;
  return &made;
}

struct MHD_Response* MHD_create_response_from_buffer(
    size_t size, void* text, enum MHD_ResponseMemoryMode mode) {
  CHECK(mode == MHD_RESPMEM_PERSISTENT);
  made.text = text;
  made.size = size;
  return &made;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response* response,
                                        const char* header,
                                        const char* content) {
  CHECK(response == &made);
  CHECK(strcmp(header, "Allow") == 0);
  CHECK(strcmp(content, "GET, HEAD") == 0);
  made.has_allow = true;
  return MHD_YES;
}

/* --- The folder ------------------------------------------------------------------ */

/* Each file's text is its name. */
static const char* const files[] = {
    "index.html", "a", "a b", "..a", "...", "%2e", "\xc3\xa4", "-"};
enum { FILES = sizeof(files) / sizeof(*files) };

static void write_file(const char* path, const char* text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

  CHECK(fd >= 0);
  CHECK(write(fd, text, strlen(text)) == (ssize_t) strlen(text));
  close(fd);
}

static void make(int result) {
  CHECK(result == 0 || errno == EEXIST);
}

/* What must not be served is beside them: what lies above and below, links, a
 * FIFO, whose opening may wait, and folders. */
int LLVMFuzzerInitialize(int* argc, char*** argv) {
  int i;

  (void) argc;
  (void) argv;
  make(mkdir("outer", 0700));
  write_file("outer/secret", "secret");
  make(mkdir("outer/folder", 0700));
  make(mkdir("outer/folder/below", 0700));
  write_file("outer/folder/below/secret", "secret");
  make(symlink("../secret", "outer/folder/link"));
  make(symlink("a", "outer/folder/to-a"));
  make(symlink("..", "outer/folder/up"));
  make(mkfifo("outer/folder/fifo", 0600));
  folder = open("outer/folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK(folder >= 0);
  for (i = 0; i < FILES; i++) {
    char path[64];

    snprintf(path, sizeof(path), "outer/folder/%s", files[i]);
    write_file(path, files[i]);
  }
  return 0;
}

/* --- The check ------------------------------------------------------------------- */

static const char* find_file(const char* url) {
  int i;

  if (strcmp(url, "/") == 0)
    return "index.html";
  for (i = 0; i < FILES && url[0] == '/'; i++)
    if (strcmp(url + 1, files[i]) == 0)
      return files[i];
  return NULL;
}

static void check_file(const struct MHD_Response* response, const char* name) {
  size_t size = strlen(name);
  char* bytes = fuzz_alloc(size);
  int flags = fcntl((int) (intptr_t) response->file, F_GETFD);

  CHECK((flags & FD_CLOEXEC) != 0);
  CHECK(response->size == size);
  CHECK(response->read(response->file, 0, bytes, size) == (ssize_t) size);
  CHECK(memcmp(bytes, name, size) == 0);
  CHECK(response->read(response->file, size, bytes, size) ==
        MHD_CONTENT_READER_END_WITH_ERROR);
  response->free_file(response->file);
  free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  struct fuzz_input input = {data, size};
  char* method = fuzz_line(&input);
  char* url = fuzz_rest(&input);
  const char* file = find_file(url);
  const struct MHD_Response* response;
  int free_fd = fuzz_free_fd();
  unsigned status = 0;

  memset(&made, 0, sizeof(made));
  response = respond(method, url, &status);
  CHECK(response == &made);
  if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
    CHECK(status == 405 && made.has_allow && made.read == NULL);
  } else if (strcmp(url, "/ready") == 0) {
    CHECK(status == (is_ready ? 200 : 503));
    CHECK(!made.has_allow && made.read == NULL);
    CHECK(strcmp(made.text, is_ready ? "ready\n" : "not ready\n") == 0);
  } else if (file == NULL) {
    CHECK(status == 404 && !made.has_allow && made.read == NULL);
  } else {
    CHECK(status == 200 && !made.has_allow && made.read != NULL);
    check_file(response, file);
  }
  CHECK(made.text == NULL || made.size == strlen(made.text));
  CHECK(fuzz_free_fd() == free_fd);
  free(method);
  free(url);
  return 0;
}
