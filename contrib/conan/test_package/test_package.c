/* SPDX-License-Identifier: MIT
 *
 * A loop that ends by a signal of its own. It prints the library's version. */
#include <stdio.h>
#include <uvsig.h>

static void on_work(uv_async_t* work) {
  (void) work;
  uvsig_raise_signal(SIGTERM);
}

int main(void) {
  uv_loop_t* loop = uv_default_loop();
  uv_async_t work;

  if (uv_async_init(loop, &work, on_work) != 0 || uv_async_send(&work) != 0)
    return 1;
  if (uvsig_run(loop, NULL, NULL) != SIGTERM)
    return 1;
  return printf("%s\n", uvsig_version_string()) < 0;
}
