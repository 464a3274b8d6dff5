/* The smallest program that runs a loop until Ctrl-C and dies by SIGINT, so
 * that the shell that started it knows why. Run it, and press Ctrl-C: you
 * should see "Interrupt", and `echo $?` should print 130. With SIGTERM it is
 * "Terminated" and 143. It takes no options, and has no --help for them. */
#include <stdio.h>
#include <uvsig.h>

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  uv_async_t work; /* in place of what a program does */
  int code = uv_async_init(loop, &work, NULL);

  fputs("press Ctrl-C\n", stderr);
  if (code == 0) {
    code = uvsig_run(loop, NULL, NULL); /* until SIGINT or SIGTERM */
    uv_close((uv_handle_t*) &work, NULL);
    uv_run(loop, UV_RUN_DEFAULT); /* lets the handle close */
  }
  fprintf(stderr, "%s\n", code > 0 ? uvsig_strsignal(code) : uv_strerror(code));
  return uv_loop_close(loop) != 0 || uvsig_reraise(code) != 0;
}
