/* SPDX-License-Identifier: MIT
 *
 * What the service manager is told (sd_notify(3)): the test binds the socket,
 * and reads what comes. READY, STOPPING once, the time that is left, reloads,
 * and the watchdog's pings, which a stuck loop does not send.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 120 };

static struct fixture f;
static uvsig_shutdown_t sd;
static uvsig_shutdown_options_t options;
static uvsig_reload_t reload;
static unsigned long calls;

/* --- The manager's end ---------------------------------------------------- */

static int manager = -1;
static char directory[64];
static char path[96];
static char messages[64 * 1024]; /* one line each; an empty one ends each */

static void skip_without_systemd(void) {
#ifndef HAVE_SYSTEMD
  skip_test("configured without libsystemd");
#endif
}

static void listen_at(const struct sockaddr_un* address, size_t size) {
  manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(manager >= 0);
  CHECK_EQ(bind(manager, (const struct sockaddr*) address, (socklen_t) size),
           0);
}

static void listen_at_path(void) {
  struct sockaddr_un address;

  skip_without_systemd();
  snprintf(directory, sizeof(directory), "/tmp/uvsig-test-XXXXXX");
  CHECK(mkdtemp(directory) != NULL);
  snprintf(path, sizeof(path), "%s/notify", directory);
  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path, strlen(path));
  listen_at(&address, sizeof(address));
  CHECK_EQ(setenv("NOTIFY_SOCKET", path, 1), 0);
}

static void stop_listening(void) {
  close(manager);
  if (path[0] != 0) {
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(directory), 0);
  }
}

/* Take what has been sent. */
static void collect(void) {
  size_t used = strlen(messages);
  ssize_t n;

  while ((n = recv(manager,
                   messages + used,
                   sizeof(messages) - used - 3,
                   MSG_DONTWAIT)) >= 0) {
    used += (size_t) n;
    if (n > 0 && messages[used - 1] != '\n')
      messages[used++] = '\n';
    messages[used++] = '\n';
    messages[used] = 0;
    CHECK(used < sizeof(messages) / 2);
  }
  CHECK_EQ(errno, EAGAIN);
}

/* What follows "NAME=" in its nth line, or NULL. */
static const char* find(const char* start, unsigned nth) {
  const char* line = messages;

  for (;;) {
    if (strncmp(line, start, strlen(start)) == 0 && --nth == 0)
      return line + strlen(start);
    line = strchr(line, '\n');
    if (line == NULL)
      return NULL;
    line++;
  }
}

static unsigned count(const char* start) {
  unsigned n = 0;

  while (find(start, n + 1) != NULL)
    n++;
  return n;
}

static long long value(const char* start, unsigned nth) {
  const char* text = find(start, nth);

  if (text == NULL)
    check_failed(__FILE__, __LINE__, "there is no %u. %s", nth, start);
  return strtoll(text, NULL, 10);
}

static void forget(void) {
  collect();
  messages[0] = 0;
}

/* --- The server's end ----------------------------------------------------- */

static void on_reload(uvsig_reload_t* r) {
  CHECK(r == &reload);
  calls++;
  collect();
  CHECK_EQ(count("RELOADING=1"), 1); /* told before */
}

static void prepare(void) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.debounce_ms = 0;
  options.exit_count = 0;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
}

static void open_shutdown(void) {
  fixture_open(&f, NULL);
  CHECK_EQ(uvsig_shutdown_init(&f.sig, &sd, &options), 0);
}

static void finish(void) {
  CHECK_EQ(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
  CHECK_EQ(uvsig_shutdown_phase(&sd), UVSIG_SHUTDOWN_DONE);
  fixture_close(&f);
  CHECK_EQ(uvsig_shutdown_exit(&sd), 0);
}

static void ask_for_shutdown(uvsig_shutdown_level_t level) {
  CHECK_EQ(uvsig_shutdown_request(&sd, "test", level), 0);
}

static void close_shutdown(void) {
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  stop_listening();
}

/* Run the loop for so long, and take what comes. */
static void run_for(unsigned ms) {
  uint64_t limit = uv_hrtime() + (uint64_t) ms * 1000000;

  while (uv_hrtime() < limit) {
    uv_run(&f.loop, UV_RUN_NOWAIT);
    uv_sleep(1);
  }
  collect();
}

static void run_until_phase(uvsig_shutdown_phase_t phase) {
  while (uvsig_shutdown_phase(&sd) < (int) phase)
    if (uv_run(&f.loop, UV_RUN_ONCE) == 0)
      break;
  CHECK_EQ(uvsig_shutdown_phase(&sd), phase);
}

/* --- Ready and stopping --------------------------------------------------- */

static void go_through_everything(void) {
  uvsig_shutdown_hold_t hold;

  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 1);
  ask_for_shutdown(UVSIG_SHUTDOWN_GRACEFUL);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_shutdown_extend(&sd, 10), 0);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  finish();
}

static void check_ready_and_stopping(void) {
  const char* ready;
  const char* stopping;

  prepare();
  go_through_everything();
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("STOPPING=1"), 1);
  ready = find("READY=1", 1);
  stopping = find("STOPPING=1", 1);
  CHECK(ready < stopping);
  stop_listening();
}

static void ready_and_stopping_are_told_on_a_path(void) {
  listen_at_path();
  check_ready_and_stopping();
}

static void ready_and_stopping_are_told_on_an_abstract_socket(void) {
  struct sockaddr_un address;
  char name[64];

  skip_without_systemd();
  snprintf(name, sizeof(name), "@uvsig-test-%d", (int) getpid());
  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
  listen_at(&address, offsetof(struct sockaddr_un, sun_path) + strlen(name));
  CHECK_EQ(setenv("NOTIFY_SOCKET", name, 1), 0);
  check_ready_and_stopping();
}

static void ready_is_told_at_once_and_not_before(void) {
  listen_at_path();
  prepare();
  open_shutdown();
  run_idle(&f.loop);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("STOPPING=1"), 0);
  close_shutdown();
}

static void stopping_is_told_once_whatever_follows(void) {
  uvsig_shutdown_hold_t hold;
  int i;

  listen_at_path();
  prepare();
  options.delay_ms = 20;
  options.grace_ms = LONG_MS;
  options.hard_ms = LONG_MS;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  raise(SIGTERM);
  run_until_phase(UVSIG_SHUTDOWN_DRAINING);
  collect();
  CHECK_EQ(count("STOPPING=1"), 1);
  for (i = 0; i < 3; i++)
    raise(SIGINT);
  ask_for_shutdown(UVSIG_SHUTDOWN_FORCED);
  run_until_phase(UVSIG_SHUTDOWN_FORCING);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  finish();
  collect();
  CHECK_EQ(count("STOPPING=1"), 1);
  stop_listening();
}

static void nothing_is_told_without_the_option(void) {
  listen_at_path();
  prepare();
  options.notify = 0;
  go_through_everything();
  collect();
  CHECK_STR(messages, "");
  stop_listening();
}

static void without_a_service_manager_nothing_fails(void) {
  CHECK_EQ(unsetenv("NOTIFY_SOCKET"), 0);
  prepare();
  go_through_everything();
  CHECK_EQ(sd.report.clean, 1);
}

static void with_a_service_manager_that_is_gone_nothing_fails(void) {
  CHECK_EQ(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1), 0);
  prepare();
  go_through_everything();
  CHECK_EQ(sd.report.clean, 1);
}

/* --- Time that is left ---------------------------------------------------- */

static long long monotonic_us(void) {
  struct timespec now;

  CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* What was told last covers, from a moment after `since_us` on, what was needed
 * then, and little more. */
static void check_extension(long long since_us, long long needed_ms) {
  long long told_us =
      value("EXTEND_TIMEOUT_USEC=", count("EXTEND_TIMEOUT_USEC="));

  CHECK(told_us + monotonic_us() - since_us >= needed_ms * 1000);
  CHECK(told_us <= (needed_ms + 5000) * 1000);
}

static void the_time_that_is_left_is_told_while_draining(void) {
  uvsig_shutdown_hold_t hold;
  long long since_us;
  unsigned before;

  listen_at_path();
  prepare();
  options.hard_ms = 1000;
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  since_us = monotonic_us();
  ask_for_shutdown(UVSIG_SHUTDOWN_GRACEFUL);
  run_until_phase(UVSIG_SHUTDOWN_DRAINING);
  collect();
  before = count("EXTEND_TIMEOUT_USEC=");
  CHECK(before >= 1);
  check_extension(since_us, LONG_MS + 1000);
  CHECK_EQ(uvsig_shutdown_extend(&sd, LONG_MS), 0);
  collect();
  CHECK(count("EXTEND_TIMEOUT_USEC=") > before);
  check_extension(since_us, 2 * LONG_MS + 1000);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  finish();
  stop_listening();
}

/* --- Reloads -------------------------------------------------------------- */

static void start_reload(void) {
  listen_at_path();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, on_reload, SIGHUP), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  forget();
}

static void a_reload_is_told_with_its_time_and_ready_after_it(void) {
  long long before;
  const char* time;
  const char* at;

  start_reload();
  before = monotonic_us();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(count("MONOTONIC_USEC="), 1);
  CHECK(value("MONOTONIC_USEC=", 1) >= before);
  CHECK(value("MONOTONIC_USEC=", 1) <= monotonic_us());
  /* In the same message (sd_notify(3)): no empty line between. */
  time = find("MONOTONIC_USEC=", 1);
  for (at = find("RELOADING=1", 1); at < time; at++)
    CHECK(strncmp(at, "\n\n", 2) != 0);
  CHECK(find("RELOADING=1", 1) < time);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("RELOADING=1"), 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void ready_is_told_after_the_last_reload_only(void) {
  start_reload();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_until(&f.loop, &calls, 2);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("RELOADING=1"), 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void ready_is_told_when_what_is_pending_is_stopped(void) {
  start_reload();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  close_shutdown();
}

static void ready_is_not_told_while_one_that_is_stopped_runs(void) {
  start_reload();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  close_shutdown();
}

/* It would have the manager believe that nobody has asked it to stop. */
static void a_reload_that_ends_in_a_shutdown_does_not_tell_ready(void) {
  start_reload();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  ask_for_shutdown(UVSIG_SHUTDOWN_GRACEFUL);
  run_until_phase(UVSIG_SHUTDOWN_DRAINING);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  finish();
  collect();
  CHECK_EQ(count("STOPPING=1"), 1);
  CHECK_EQ(count("READY=1"), 0);
  stop_listening();
}

/* --- The watchdog --------------------------------------------------------- */

static void start_watchdog(pid_t pid, unsigned ms) {
  char text[32];

  listen_at_path();
  snprintf(text, sizeof(text), "%u", ms * 1000);
  CHECK_EQ(setenv("WATCHDOG_USEC", text, 1), 0);
  snprintf(text, sizeof(text), "%d", (int) pid);
  CHECK_EQ(setenv("WATCHDOG_PID", text, 1), 0);
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
}

static void wait_for_pings(unsigned n) {
  uint64_t limit = uv_hrtime() + (uint64_t) PATIENCE * 1000000000;

  while (count("WATCHDOG=1") < n && uv_hrtime() < limit) {
    uv_run(&f.loop, UV_RUN_ONCE);
    collect();
  }
  CHECK(count("WATCHDOG=1") >= n);
}

static void the_loop_pings_the_watchdog(void) {
  uvsig_shutdown_hold_t hold;
  uint64_t begin;

  start_watchdog(getpid(), 40);
  wait_for_pings(1);
  forget();
  begin = uv_hrtime();
  wait_for_pings(5);
  /* At half the interval: not all the time. */
  CHECK((uv_hrtime() - begin) / 1000000 >= 60);
  /* And while it drains. */
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  ask_for_shutdown(UVSIG_SHUTDOWN_GRACEFUL);
  run_until_phase(UVSIG_SHUTDOWN_DRAINING);
  forget();
  wait_for_pings(2);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  finish();
  stop_listening();
}

static void a_loop_that_is_stuck_does_not_ping(void) {
  start_watchdog(getpid(), 40);
  wait_for_pings(1);
  forget();
  uv_sleep(200); /* in a callback, say */
  collect();
  CHECK_EQ(count("WATCHDOG=1"), 0);
  wait_for_pings(1);
  close_shutdown();
}

static void the_watchdog_of_another_process_is_left_alone(void) {
  start_watchdog(getppid(), 40);
  run_for(200);
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("WATCHDOG=1"), 0);
  close_shutdown();
}

static void without_a_watchdog_there_are_no_pings(void) {
  listen_at_path();
  CHECK_EQ(unsetenv("WATCHDOG_USEC"), 0);
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  run_for(100);
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("WATCHDOG=1"), 0);
  close_shutdown();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(ready_and_stopping_are_told_on_a_path),
      TEST(ready_and_stopping_are_told_on_an_abstract_socket),
      TEST(ready_is_told_at_once_and_not_before),
      TEST(stopping_is_told_once_whatever_follows),
      TEST(nothing_is_told_without_the_option),
      TEST(without_a_service_manager_nothing_fails),
      TEST(with_a_service_manager_that_is_gone_nothing_fails),
      TEST(the_time_that_is_left_is_told_while_draining),
      TEST(a_reload_is_told_with_its_time_and_ready_after_it),
      TEST(ready_is_told_after_the_last_reload_only),
      TEST(ready_is_told_when_what_is_pending_is_stopped),
      TEST(ready_is_not_told_while_one_that_is_stopped_runs),
      TEST(a_reload_that_ends_in_a_shutdown_does_not_tell_ready),
      TEST(the_loop_pings_the_watchdog),
      TEST(a_loop_that_is_stuck_does_not_ping),
      TEST(the_watchdog_of_another_process_is_left_alone),
      TEST(without_a_watchdog_there_are_no_pings),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
