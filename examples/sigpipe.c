/* SPDX-License-Identifier: MIT
 *
 * A program whose output is cut off by `head` ends without a word, and neither
 * dies by SIGPIPE nor complains of it: "Note on SIGPIPE" of Python's signal
 * module.
 *
 * Run `{ sigpipe; echo $? >&2; } | head -1`: you should see "y" and 1. Run
 * `sigpipe >/dev/full`: you should see "no space left on device".
 *
 * SIG_DFL would end the first run as silently; but a server, too, whenever a
 * client closes the connection that it is writing to. Ignored, the signal is
 * but an error of the one write() that it is about: EPIPE. */
#include <errno.h>
#include <stdio.h>
#include <uvsig.h>

/* 2 MB: more than a pipe holds (64 KiB, or 1 MiB where pages are large), or
 * they could all be written before head has read its line. */
#define LINES 1000000

static int check(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
  return err < 0;
}

int main(void) {
  int err = 0;
  int i;

  if (check(uvsig_ignore(SIGPIPE), "uvsig_ignore"))
    return 1;

  for (i = 0; i < LINES && err == 0; i++)
    if (puts("y") == EOF)
      err = uv_translate_sys_error(errno);

  /* Here, where its error can be told, rather than at exit, which ignores it.
   * fflush() would leave what cannot be written to be tried once more at exit;
   * after fclose() nothing is left, so that no /dev/null has to take it. */
  if (fclose(stdout) != 0 && err == 0)
    err = uv_translate_sys_error(errno);

  if (err == UV_EPIPE) /* nobody wants to read more */
    return 1;
  return check(err, "standard output");
}
