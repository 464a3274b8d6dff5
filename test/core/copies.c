/* SPDX-License-Identifier: MIT
 *
 * Two copies of the library in one process, as plugins have that are linked
 * with a private one: each takes the other for a foreign library, and both
 * chain.
 */

#include "../lib/harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- A copy --------------------------------------------------------------- */

struct copy {
  uv_lib_t library;
  int (*init)(uv_loop_t*, uvsig_t*, const uvsig_options_t*);
  int (*close)(uvsig_t*, uvsig_close_cb);
  int (*watcher_init)(uvsig_t*, uvsig_watcher_t*);
  int (*set_flags)(uvsig_watcher_t*, unsigned);
  int (*start)(uvsig_watcher_t*, uvsig_watcher_cb, int);
  int (*stop)(uvsig_watcher_t*);
  uvsig_t sig;
  uvsig_watcher_t w;
  unsigned long signals;
};

static const char built[] = ".libs/libuvsig.so";
static char directory[] = "/tmp/uvsig-copies-XXXXXX";

static void copy_file(const char* path) {
  uv_fs_t request;

  CHECK_EQ(uv_fs_copyfile(NULL, &request, built, path, 0, NULL), 0);
  uv_fs_req_cleanup(&request);
}

static void find(struct copy* copy, const char* name, void* pointer) {
  void* found;

  CHECK_EQ(uv_dlsym(&copy->library, name, &found), 0);
  /* POSIX: a pointer to a function is one of these. */
  memcpy(pointer, &found, sizeof(found));
}

static void load(struct copy* copy, const char* name) {
  char path[sizeof(directory) + 16];

  snprintf(path, sizeof(path), "%s/%s", directory, name);
  copy_file(path);
  if (uv_dlopen(path, &copy->library) != 0)
    check_failed(__FILE__, __LINE__, "%s", uv_dlerror(&copy->library));
  CHECK_EQ(unlink(path), 0);
  find(copy, "uvsig_init", &copy->init);
  find(copy, "uvsig_close", &copy->close);
  find(copy, "uvsig_watcher_init", &copy->watcher_init);
  find(copy, "uvsig_watcher_set_flags", &copy->set_flags);
  find(copy, "uvsig_watcher_start", &copy->start);
  find(copy, "uvsig_watcher_stop", &copy->stop);
}

static void count(uvsig_watcher_t* w, int signum, const uvsig_info_t* info) {
  struct copy* copy = w->data;

  CHECK_EQ(signum, SIGUSR1);
  copy->signals += info->count;
}

static void start(struct copy* copy) {
  CHECK_EQ(copy->start(&copy->w, count, SIGUSR1), 0);
}

/* The handler comes over what is there. */
static void start_again(struct copy* copy) {
  CHECK_EQ(copy->stop(&copy->w), 0);
  start(copy);
}

static uv_loop_t loop;
static struct copy x;
static struct copy y;

static void open_copy(struct copy* copy, const char* name) {
  load(copy, name);
  CHECK_EQ(copy->init(&loop, &copy->sig, NULL), 0);
  copy->w.data = copy;
  CHECK_EQ(copy->watcher_init(&copy->sig, &copy->w), 0);
  CHECK_EQ(copy->set_flags(&copy->w, UVSIG_CHAIN), 0);
}

static void open_copies(void) {
  if (access(built, R_OK) != 0)
    skip_test("no shared library has been built");
  CHECK(mkdtemp(directory) != NULL);
  install_handler(SIGUSR1, count_foreign);
  CHECK_EQ(uv_loop_init(&loop), 0);
  open_copy(&x, "x.so");
  open_copy(&y, "y.so");
  CHECK_EQ(rmdir(directory), 0);
  CHECK((void (*)(void)) x.start != (void (*)(void)) y.start);
}

static void close_copies(void) {
  CHECK_EQ(x.close(&x.sig, NULL), 0);
  CHECK_EQ(y.close(&y.sig, NULL), 0);
  CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
  close_loop(&loop);
}

/* Each is told once, and the handler that was there before them is called
 * once. */
static void check_raise(void) {
  unsigned long before[2] = {x.signals, y.signals};
  int calls = foreign_calls;

  raise(SIGUSR1);
  CHECK_EQ(foreign_calls, calls + 1);
  run_until(&loop, &x.signals, before[0] + 1);
  run_until(&loop, &y.signals, before[1] + 1);
}

/* --- Tests ---------------------------------------------------------------- */

static void one_over_the_other_each_has_a_signal_once(void) {
  open_copies();
  start(&x);
  start(&y);
  check_raise();
  CHECK_EQ(y.stop(&y.w), 0);
  CHECK_EQ(x.stop(&x.w), 0);
  CHECK(action_of(SIGUSR1).sa_handler == count_foreign);
  close_copies();
}

/* x -> y -> x -> what was there before: the one that is called again by the one
 * that it has called sees whose mark is whose. */
static void in_turn_over_each_other_they_do_not_go_round(void) {
  int turn;

  open_copies();
  start(&x);
  start(&y);
  for (turn = 0; turn < 10; turn++) {
    start_again(turn % 2 == 0 ? &x : &y);
    check_raise();
  }
  close_copies();
}

/* Now one is covered, now the other, in any order. Each that is started is told
 * once, and who was there first is called once. */
static void however_they_come_and_go_each_is_called_once(void) {
  struct copy* copies[2] = {&x, &y};
  bool is_started[2] = {false, false};
  unsigned state = (unsigned) getpid();
  unsigned turns = scaled(3000);
  unsigned long before[2];
  int calls;
  unsigned i;

  open_copies();
  printf("# seed %u\n", state);
  while (turns-- > 0) {
    state = state * 1103515245 + 12345;
    i = state >> 16 & 1;
    if (is_started[i])
      CHECK_EQ(copies[i]->stop(&copies[i]->w), 0);
    else
      start(copies[i]);
    is_started[i] = !is_started[i];
    run_idle(&loop);
    before[0] = x.signals;
    before[1] = y.signals;
    calls = foreign_calls;
    raise(SIGUSR1);
    run_idle(&loop);
    CHECK_EQ(foreign_calls, calls + 1);
    CHECK_EQ(x.signals, before[0] + is_started[0]);
    CHECK_EQ(y.signals, before[1] + is_started[1]);
  }
  close_copies();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(one_over_the_other_each_has_a_signal_once),
      TEST(in_turn_over_each_other_they_do_not_go_round),
      TEST(however_they_come_and_go_each_is_called_once),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
