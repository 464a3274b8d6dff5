/* The smallest program that stops its loop on Ctrl-C and dies by SIGINT, so
 * that the shell that started it knows why. Run it, and press Ctrl-C: you
 * should see "interrupted", and `echo $?` should print 130. */
#include <stdio.h>
#include <uvsig.h>

static int check(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "%s: %s\n", what, uv_strerror(err));
  return err < 0;
}

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  uvsig_watcher_t watcher;
  uvsig_t sig;

  if (check(uvsig_init(loop, &sig, NULL), "uvsig_init"))
    return 1;
  if (check(uvsig_watcher_init(&sig, &watcher), "uvsig_watcher_init") ||
      check(uvsig_watcher_start(&watcher, uvsig_default_int_handler, SIGINT),
            "uvsig_watcher_start"))
    return 1;

  puts("press Ctrl-C");
  fflush(stdout);
  uv_run(loop, UV_RUN_DEFAULT); /* returns when the signal's callback ran */
  puts("interrupted");
  fflush(stdout);

  uvsig_close(&sig, NULL);
  uv_run(loop, UV_RUN_DEFAULT); /* lets the handles close */
  if (check(uv_loop_close(loop), "uv_loop_close"))
    return 1;
  return check(uvsig_reraise(SIGINT), "uvsig_reraise");
}
