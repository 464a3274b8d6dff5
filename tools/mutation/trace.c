/* SPDX-License-Identifier: MIT
 *
 * For tools/mutate: notes where the library's code runs, in a file that stays
 * when the process is killed. The compiler calls __sanitizer_cov_trace_pc() at
 * the beginning of each piece of code without a branch
 * (-fsanitize-coverage=trace-pc). A program and a shared library have one each,
 * and PART of the file each.
 */

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIZE = 4 << 20 }; /* as tools/mutate has it */

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

static unsigned char* trace;

__attribute__((constructor)) static void map_trace(void) {
  const char* path = getenv("MUTATE_TRACE");
  int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
  void* at;

  if (fd < 0)
    return;
  at = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED)
    trace = (unsigned char*) at + PART * SIZE;
  close(fd);
}

__attribute__((visibility("hidden"))) void __sanitizer_cov_trace_pc(void) {
  size_t at = (size_t) ((const char*) __builtin_return_address(0) - __ehdr_start);

  if (trace != NULL && at < SIZE)
    trace[at] = 1;
}
