/* SPDX-License-Identifier: MIT
 *
 * What the service manager is told (sd_notify(3)): the test binds the socket,
 * and reads what comes. READY, STOPPING once, the time that is left, reloads,
 * and the watchdog's pings, which a stuck loop does not send. Also a manager
 * that does not read, or not yet, one that is gone, and addresses that are
 * none.
 */

#include "../lib/harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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
static char path[sizeof(((struct sockaddr_un*) NULL)->sun_path)];
static struct sockaddr_un address;
static socklen_t address_size;
static char messages[64 * 1024]; /* one line each; an empty one ends each */

static void listen_again(void) {
  manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(manager >= 0);
  CHECK_EQ(bind(manager, (const struct sockaddr*) &address, address_size), 0);
}

/* `name` as NOTIFY_SOCKET has it, in which '@' stands for the null byte. */
static void listen_at(const char* name) {
  size_t size = strlen(name);

  CHECK(size <= sizeof(address.sun_path));
  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, name, size);
  if (name[0] == '@')
    address.sun_path[0] = 0;
  address_size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + size);
  listen_again();
  CHECK_EQ(setenv("NOTIFY_SOCKET", name, 1), 0);
}

/* A path of `size` characters, or of as many as it needs. */
static void listen_at_path_of(size_t size) {
  size_t used;

  snprintf(directory, sizeof(directory), "/tmp/uvsig-test-XXXXXX");
  CHECK(mkdtemp(directory) != NULL);
  used = (size_t) snprintf(path, sizeof(path), "%s/notify", directory);
  for (; used < size; used++)
    path[used] = 'y';
  path[used] = 0;
  listen_at(path);
}

static void listen_at_path(void) {
  listen_at_path_of(0);
}

static void stop_listening(void) {
  close(manager);
  if (path[0] != 0) {
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(directory), 0);
  }
}

/* Others have sent as much as there is room for, and nobody reads. */
static void fill(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  CHECK(fd >= 0);
  while (sendto(fd,
                "X=1",
                3,
                MSG_DONTWAIT,
                (const struct sockaddr*) &address,
                address_size) == 3)
    ;
  CHECK_EQ(errno, EAGAIN);
  close(fd);
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

static void count_reload(uvsig_reload_t* r) {
  CHECK(r == &reload);
  calls++;
}

static void prepare(void) {
  uvsig_shutdown_options_init(&options);
  options.exit = UVSIG_SHUTDOWN_EXIT_ZERO;
  options.debounce_ms = 0;
  options.exit_count = 0;
  options.keep_sig = 1;
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

static void on_tick(uv_timer_t* timer) {
  unsigned* left = timer->data;

  if (--*left == 0)
    uv_close((uv_handle_t*) timer, NULL);
}

/* Run the loop for so many milliseconds of its own time: what other timers are
 * due in that time has been called. */
static void run_for(unsigned ms) {
  uv_timer_t timer;
  unsigned left = ms / 10;

  uv_timer_init(&f.loop, &timer);
  timer.data = &left;
  uv_timer_start(&timer, on_tick, 10, 10);
  while (left > 0)
    uv_run(&f.loop, UV_RUN_ONCE);
  uv_run(&f.loop, UV_RUN_NOWAIT); /* it is closed */
}

static void run_until_told(const char* start, unsigned n) {
  uint64_t limit = uv_hrtime() + (uint64_t) PATIENCE * 1000000000;

  collect();
  while (count(start) < n && uv_hrtime() < limit) {
    run_for(10);
    collect();
  }
  CHECK_EQ(count(start), n);
}

static void run_until_phase(uvsig_shutdown_phase_t phase) {
  while (uvsig_shutdown_phase(&sd) < (int) phase)
    if (uv_run(&f.loop, UV_RUN_ONCE) == 0)
      break;
  CHECK_EQ(uvsig_shutdown_phase(&sd), phase);
}

/* --- Ready and stopping --------------------------------------------------- */

static void go_through_everything(void) {
  uvsig_shutdown_hold_t hold = {.data = NULL};

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

/* An abstract name of `size` characters, or of as many as it needs. */
static void listen_at_name_of(size_t size) {
  char name[sizeof(address.sun_path) + 1];
  size_t used;

  abstract_name(name, sizeof(name));
  for (used = strlen(name); used < size; used++)
    name[used] = 'y';
  name[used] = 0;
  listen_at(name);
}

static void ready_and_stopping_are_told_on_an_abstract_socket(void) {
  listen_at_name_of(0);
  check_ready_and_stopping();
}

static void the_longest_path_is_told(void) {
  listen_at_path_of(sizeof(address.sun_path) - 1);
  check_ready_and_stopping();
}

static void the_longest_abstract_name_is_told(void) {
  listen_at_name_of(sizeof(address.sun_path));
  check_ready_and_stopping();
}

/* Nothing comes to the socket that is there, and nothing fails. */
static void check_not_told_at(const char* name) {
  CHECK_EQ(setenv("NOTIFY_SOCKET", name, 1), 0);
  prepare();
  go_through_everything();
  CHECK_EQ(sd.report.clean, 1);
  collect();
  CHECK_STR(messages, "");
}

static void a_path_that_is_too_long_is_not_cut(void) {
  char name[sizeof(path) + 1];

  listen_at_path_of(sizeof(address.sun_path) - 1);
  snprintf(name, sizeof(name), "%sy", path);
  check_not_told_at(name);
  stop_listening();
}

static void an_abstract_name_that_is_too_long_is_not_cut(void) {
  char name[sizeof(address.sun_path) + 2];

  listen_at_name_of(sizeof(address.sun_path));
  snprintf(name, sizeof(name), "%sy", getenv("NOTIFY_SOCKET"));
  check_not_told_at(name);
  stop_listening();
}

static void with_an_address_that_is_none_nothing_is_told(void) {
  static const char* const names[] = {
      "", "/", "@", "notify", "./notify", "vsock:2:1234"};
  size_t i;

  listen_at_path();
  CHECK_EQ(chdir(directory), 0); /* where a relative path would be found */
  for (i = 0; i < sizeof(names) / sizeof(*names); i++)
    check_not_told_at(names[i]);
  stop_listening();
}

/* The program may not want its children to have it. */
static void the_environment_is_read_at_the_beginning(void) {
  listen_at_path();
  prepare();
  open_shutdown();
  CHECK_EQ(unsetenv("NOTIFY_SOCKET"), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  close_shutdown();
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
  uvsig_shutdown_hold_t hold = {.data = NULL};
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

static void with_2_it_is_told_and_the_environment_is_cleared(void) {
  listen_at_path();
  CHECK_EQ(setenv("WATCHDOG_USEC", "10000000", 1), 0);
  CHECK_EQ(setenv("WATCHDOG_PID", "1", 1), 0);
  prepare();
  options.notify = 2;
  open_shutdown();
  CHECK(getenv("NOTIFY_SOCKET") == NULL);
  CHECK(getenv("WATCHDOG_USEC") == NULL);
  CHECK(getenv("WATCHDOG_PID") == NULL);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  close_shutdown();
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
  uvsig_shutdown_hold_t hold = {.data = NULL};
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

static void finish_in_child(void) {
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
}

/* It has not called uvsig_fork(): the parent's reload goes on. */
static void the_child_of_a_fork_tells_of_no_end(void) {
  start_reload();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(run_forked(finish_in_child), 0);
  collect();
  CHECK_EQ(count("RELOADING=1"), 1);
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  collect();
  CHECK_EQ(count("READY=1"), 1);
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

/* --- Reloads that fail ---------------------------------------------------- */

static void fail_once(int error) {
  unsigned long before = calls;

  raise(SIGHUP);
  run_until(&f.loop, &calls, before + 1);
  forget();
  CHECK_EQ(error != 0 ? uvsig_reload_fail(&reload, error)
                      : uvsig_reload_finish(&reload),
           0);
  run_idle(&f.loop);
  collect();
}

/* All in one message. */
static void a_reload_that_fails_is_told_and_cleared_by_one_that_does_not(void) {
  start_reload();
  fail_once(0);
  CHECK_STR(messages, "READY=1\n\n");
  fail_once(UV_ENOENT);
  CHECK_STR(messages,
            "READY=1\nSTATUS=Reload failed: no such file or directory\n"
            "ERRNO=2\n\n");
  fail_once(UV_EOF); /* which is no errno */
  CHECK_STR(messages, "READY=1\nSTATUS=Reload failed: end of file\n\n");
  forget();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0); /* which was no reload */
  collect();
  CHECK_STR(messages, "READY=1\n\n");
  fail_once(0);
  CHECK_STR(messages, "READY=1\nSTATUS=\nERRNO=0\n\n");
  fail_once(0);
  CHECK_STR(messages, "READY=1\n\n");
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void a_failure_that_the_next_one_makes_good_is_not_told(void) {
  start_reload();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  raise(SIGHUP);
  run_idle(&f.loop);
  CHECK_EQ(uvsig_reload_fail(&reload, UV_ENOENT), 0);
  run_until(&f.loop, &calls, 2);
  forget();
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  collect();
  CHECK_STR(messages, "READY=1\n\n");
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static uvsig_reload_t other_reload;

static void count_other(uvsig_reload_t* r) {
  CHECK(r == &other_reload);
  calls++;
}

static void a_failure_is_told_although_another_reload_succeeds(void) {
  start_reload();
  CHECK_EQ(uvsig_reload_init(&sd, &other_reload), 0);
  CHECK_EQ(uvsig_reload_start(&other_reload, count_other, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 2);
  CHECK_EQ(uvsig_reload_fail(&reload, UV_EACCES), 0);
  forget();
  CHECK_EQ(uvsig_reload_finish(&other_reload), 0);
  collect();
  CHECK_EQ(count("ERRNO=13"), 1);
  CHECK_EQ(count("READY=1"), 1);
  /* Later, another one's success clears it. */
  CHECK_EQ(uvsig_reload_request(&other_reload), 0);
  run_until(&f.loop, &calls, 3);
  forget();
  CHECK_EQ(uvsig_reload_finish(&other_reload), 0);
  collect();
  CHECK_EQ(count("ERRNO=0"), 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  CHECK_EQ(uvsig_reload_stop(&other_reload), 0);
  close_shutdown();
}

/* The service has not started yet, to its manager. */
static void a_failure_during_the_start_is_not_told(void) {
  listen_at_path();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, count_reload, SIGHUP), 0);
  fail_once(UV_ENOENT);
  CHECK_STR(messages, "");
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  collect();
  CHECK_STR(messages, "READY=1\n\n");
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void a_reload_during_the_start_is_not_told(void) {
  listen_at_path();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, count_reload, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  collect();
  CHECK_STR(messages, "");
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void ready_is_told_at_once_although_a_reload_runs(void) {
  listen_at_path();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, count_reload, SIGHUP), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("RELOADING=1"), 0);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
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
  uvsig_shutdown_hold_t hold = {.data = NULL};
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

static void on_enough(uv_timer_t* handle) {
  uv_stop(handle->loop);
}

/* Several intervals. */
static void run_loop_in_child(void) {
  uv_timer_t enough;

  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uv_timer_init(&f.loop, &enough), 0);
  CHECK_EQ(uv_timer_start(&enough, on_enough, 200, 0), 0);
  uv_run(&f.loop, UV_RUN_DEFAULT);
}

static void a_child_that_has_not_called_uvsig_fork_does_not_ping(void) {
  start_watchdog(getpid(), 40);
  wait_for_pings(1);
  forget();
  CHECK_EQ(run_forked(run_loop_in_child), 0);
  collect();
  CHECK_EQ(count("WATCHDOG=1"), 0);
  wait_for_pings(1);
  close_shutdown();
}

static void the_watchdog_of_another_process_is_left_alone(void) {
  start_watchdog(getppid(), 40);
  run_for(200);
  collect();
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
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("WATCHDOG=1"), 0);
  close_shutdown();
}

static void check_no_pings(const char* us, const char* pid) {
  CHECK_EQ(setenv("WATCHDOG_USEC", us, 1), 0);
  CHECK_EQ(setenv("WATCHDOG_PID", pid, 1), 0);
  open_shutdown();
  run_for(50);
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  fixture_close(&f);
  collect();
  CHECK_STR(messages, "");
}

static void a_watchdog_that_is_none_gets_no_pings(void) {
  static const char* const none[] = {"",
                                     "0",
                                     "-1",
                                     "often",
                                     "20000us",
                                     "18446744073709551615",
                                     "99999999999999999999"};
  char pid[32];
  size_t i;

  listen_at_path();
  prepare();
  snprintf(pid, sizeof(pid), "%d", (int) getpid());
  for (i = 0; i < sizeof(none) / sizeof(*none); i++) {
    check_no_pings(none[i], pid);
    check_no_pings("20000", none[i]);
  }
  stop_listening();
}

static void ping_without_process(const char* us) {
  listen_at_path();
  CHECK_EQ(setenv("WATCHDOG_USEC", us, 1), 0);
  CHECK_EQ(unsetenv("WATCHDOG_PID"), 0);
  prepare();
  open_shutdown();
  wait_for_pings(2);
  close_shutdown();
}

static void a_watchdog_without_a_process_is_ours(void) {
  ping_without_process("20000");
}

/* libuv's timers have milliseconds. */
static void a_watchdog_of_less_than_two_milliseconds_is_pinged(void) {
  ping_without_process("1000");
}

/* --- Nobody reads --------------------------------------------------------- */

static void what_finds_no_room_comes_when_there_is_some(void) {
  uvsig_shutdown_hold_t hold = {.data = NULL};

  listen_at_path();
  fill();
  CHECK_EQ(setenv("WATCHDOG_USEC", "20000", 1), 0);
  CHECK_EQ(unsetenv("WATCHDOG_PID"), 0);
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(uvsig_shutdown_is_ready(&sd), 1);
  run_for(300); /* it serves on */
  collect();
  CHECK_EQ(count("READY=1"), 0);
  run_until_told("READY=1", 1);

  forget();
  fill();
  raise(SIGTERM);
  run_until_phase(UVSIG_SHUTDOWN_DRAINING);
  run_for(300);
  collect();
  CHECK_EQ(count("STOPPING=1"), 0);
  run_until_told("STOPPING=1", 1);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  finish();
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(count("STOPPING=1"), 1);
  stop_listening();
}

/* Neither the loop's end nor the exit waits. */
static void a_shutdown_ends_although_nobody_reads(void) {
  listen_at_path();
  fill();
  prepare();
  go_through_everything();
  CHECK_EQ(sd.report.clean, 1);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(count("STOPPING=1"), 0);
  stop_listening();
}

static void what_is_owed_is_tried_once_more_at_the_end(void) {
  listen_at_path();
  fill();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  forget();
  CHECK_EQ(uvsig_shutdown_close(&sd, NULL), 0);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  fixture_close(&f);
  stop_listening();
}

/* A service that stops before it was ready has failed, to its manager. */
static void ready_comes_before_stopping_although_both_are_owed(void) {
  const long long total_ms = 2LL * LONG_MS + 100;
  uvsig_shutdown_hold_t hold = {.data = NULL};
  long long begun_us;
  long long read_us;

  listen_at_path();
  fill();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_hold(&sd, &hold, "job"), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  ask_for_shutdown(UVSIG_SHUTDOWN_GRACEFUL);
  run_until_phase(UVSIG_SHUTDOWN_DRAINING);
  begun_us = monotonic_us();
  run_for(100);
  read_us = monotonic_us();
  forget();
  run_until_told("EXTEND_TIMEOUT_USEC=", 1);
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("STOPPING=1"), 1);
  CHECK(find("READY=1", 1) < find("STOPPING=1", 1));
  CHECK(find("STOPPING=1", 1) < find("EXTEND_TIMEOUT_USEC=", 1));
  /* Of the two extensions the last, from when it was sent on. */
  CHECK(value("EXTEND_TIMEOUT_USEC=", 1) <=
        begun_us + total_ms * 1000 - read_us);
  CHECK_EQ(uvsig_shutdown_release(&hold), 0);
  finish();
  stop_listening();
}

/* --- Nobody reads while it reloads ---------------------------------------- */

static void reload_once(void) {
  unsigned long before = calls;

  raise(SIGHUP);
  run_until(&f.loop, &calls, before + 1);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_idle(&f.loop);
}

static void start_reload_unread(void) {
  listen_at_path();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_reload_init(&sd, &reload), 0);
  CHECK_EQ(uvsig_reload_start(&reload, count_reload, SIGHUP), 0);
}

/* "systemctl reload" waits for both. */
static void owed_reloads_are_told_as_one(void) {
  long long before;

  start_reload_unread();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  fill();
  reload_once();
  before = monotonic_us();
  reload_once();
  forget();
  run_until_told("READY=1", 1);
  run_for(200);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("RELOADING=1"), 1);
  CHECK(find("RELOADING=1", 1) < find("READY=1", 1));
  CHECK(value("MONOTONIC_USEC=", 1) >= before);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void fail_unread(int error) {
  unsigned long before = calls;

  raise(SIGHUP);
  run_until(&f.loop, &calls, before + 1);
  CHECK_EQ(uvsig_reload_fail(&reload, error), 0);
  run_idle(&f.loop);
}

/* Of the start and of the failure: the second READY=1 has the error. */
static void a_failure_that_is_owed_is_told_later(void) {
  start_reload_unread();
  fill();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  fail_unread(UV_ENOENT);
  forget();
  run_until_told("READY=1", 2);
  CHECK_EQ(count("STATUS="), 1);
  CHECK_EQ(count("ERRNO=2"), 1);
  CHECK(find("READY=1", 2) < find("STATUS=Reload failed: ", 1));
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

/* Only the end is owed; the next one runs when there is room. */
static void a_failure_whose_end_is_owed_is_told_before_the_next_begins(void) {
  start_reload_unread();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 1);
  run_until_told("RELOADING=1", 1);
  fill();
  CHECK_EQ(uvsig_reload_fail(&reload, UV_ENOENT), 0);
  raise(SIGHUP);
  run_until(&f.loop, &calls, 2);
  forget();
  run_until_told("RELOADING=1", 1);
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("ERRNO=2"), 1);
  CHECK(find("ERRNO=2", 1) < find("RELOADING=1", 1));
  forget();
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_until_told("READY=1", 1);
  CHECK_EQ(count("ERRNO=0"), 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void a_start_that_is_owed_is_told_before_a_reload(void) {
  start_reload_unread();
  fill();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  reload_once();
  forget();
  run_until_told("READY=1", 2);
  CHECK_EQ(count("RELOADING=1"), 1);
  CHECK(find("READY=1", 1) < find("RELOADING=1", 1));
  CHECK(find("RELOADING=1", 1) < find("READY=1", 2));
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

static void a_reload_that_runs_is_told_without_its_end(void) {
  start_reload_unread();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  fill();
  reload_once();
  raise(SIGHUP);
  run_until(&f.loop, &calls, 2);
  forget();
  run_until_told("RELOADING=1", 1);
  run_for(200);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(uvsig_reload_finish(&reload), 0);
  run_until_told("READY=1", 1);
  CHECK_EQ(count("RELOADING=1"), 1);
  CHECK_EQ(uvsig_reload_stop(&reload), 0);
  close_shutdown();
}

/* --- The watchdog when nobody reads --------------------------------------- */

static void a_ping_that_is_lost_is_not_made_up_for(void) {
  listen_at_path();
  fill();
  CHECK_EQ(setenv("WATCHDOG_USEC", "20000", 1), 0);
  CHECK_EQ(unsetenv("WATCHDOG_PID"), 0);
  prepare();
  open_shutdown();
  run_for(200);
  collect();
  CHECK_EQ(count("WATCHDOG=1"), 0);
  uv_run(&f.loop, UV_RUN_NOWAIT);
  collect();
  CHECK(count("WATCHDOG=1") <= 1);
  wait_for_pings(2);
  close_shutdown();
}

static void a_ping_does_not_take_the_room_of_what_is_owed(void) {
  char byte;

  listen_at_path();
  fill();
  CHECK_EQ(setenv("WATCHDOG_USEC", "20000", 1), 0);
  CHECK_EQ(unsetenv("WATCHDOG_PID"), 0);
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(recv(manager, &byte, 1, MSG_DONTWAIT), 1);
  run_for(200);
  collect();
  CHECK_EQ(count("READY=1"), 1);
  CHECK_EQ(count("WATCHDOG=1"), 0);
  close_shutdown();
}

/* --- The manager goes, or comes back -------------------------------------- */

static void what_is_owed_to_one_that_is_gone_is_dropped(void) {
  listen_at_path();
  fill();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  close(manager);
  run_for(300);
  CHECK_EQ(unlink(path), 0);
  listen_again();
  ask_for_shutdown(UVSIG_SHUTDOWN_GRACEFUL);
  finish();
  CHECK_EQ(sd.report.clean, 1);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  CHECK_EQ(count("STOPPING=1"), 1);
  stop_listening();
}

static void what_is_owed_is_told_to_the_one_that_is_there_then(void) {
  listen_at_path();
  fill();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  close(manager);
  CHECK_EQ(unlink(path), 0);
  listen_again();
  run_until_told("READY=1", 1);
  close_shutdown();
}

/* --- What else may be short, and who sends -------------------------------- */

static void without_a_descriptor_it_is_told_later(void) {
  struct rlimit before;
  struct rlimit none;

  listen_at_path();
  prepare();
  open_shutdown();
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  none = before;
  none.rlim_cur = 0;
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  run_until_told("READY=1", 1);
  close_shutdown();
}

static void go_on_in_the_child(void) {
  CHECK_EQ(uv_loop_fork(&f.loop), 0);
  CHECK_EQ(uvsig_fork(&f.sig), 0);
  run_for(300);
}

static void a_child_does_not_tell_what_its_parent_owes(void) {
  listen_at_path();
  fill();
  prepare();
  open_shutdown();
  CHECK_EQ(uvsig_shutdown_ready(&sd), 0);
  forget();
  CHECK_EQ(run_forked(go_on_in_the_child), 0);
  collect();
  CHECK_EQ(count("READY=1"), 0);
  run_until_told("READY=1", 1);
  close_shutdown();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(ready_and_stopping_are_told_on_a_path),
      TEST(ready_and_stopping_are_told_on_an_abstract_socket),
      TEST(the_longest_path_is_told),
      TEST(the_longest_abstract_name_is_told),
      TEST(a_path_that_is_too_long_is_not_cut),
      TEST(an_abstract_name_that_is_too_long_is_not_cut),
      TEST(with_an_address_that_is_none_nothing_is_told),
      TEST(the_environment_is_read_at_the_beginning),
      TEST(ready_is_told_at_once_and_not_before),
      TEST(stopping_is_told_once_whatever_follows),
      TEST(nothing_is_told_without_the_option),
      TEST(with_2_it_is_told_and_the_environment_is_cleared),
      TEST(without_a_service_manager_nothing_fails),
      TEST(with_a_service_manager_that_is_gone_nothing_fails),
      TEST(the_time_that_is_left_is_told_while_draining),
      TEST(a_reload_is_told_with_its_time_and_ready_after_it),
      TEST(the_child_of_a_fork_tells_of_no_end),
      TEST(ready_is_told_after_the_last_reload_only),
      TEST(a_reload_that_fails_is_told_and_cleared_by_one_that_does_not),
      TEST(a_failure_that_the_next_one_makes_good_is_not_told),
      TEST(a_failure_is_told_although_another_reload_succeeds),
      TEST(a_failure_during_the_start_is_not_told),
      TEST(a_failure_that_is_owed_is_told_later),
      TEST(a_failure_whose_end_is_owed_is_told_before_the_next_begins),
      TEST(ready_is_told_when_what_is_pending_is_stopped),
      TEST(ready_is_not_told_while_one_that_is_stopped_runs),
      TEST(a_reload_during_the_start_is_not_told),
      TEST(ready_is_told_at_once_although_a_reload_runs),
      TEST(a_reload_that_ends_in_a_shutdown_does_not_tell_ready),
      TEST(the_loop_pings_the_watchdog),
      TEST(a_loop_that_is_stuck_does_not_ping),
      TEST(a_child_that_has_not_called_uvsig_fork_does_not_ping),
      TEST(the_watchdog_of_another_process_is_left_alone),
      TEST(without_a_watchdog_there_are_no_pings),
      TEST(a_watchdog_that_is_none_gets_no_pings),
      TEST(a_watchdog_without_a_process_is_ours),
      TEST(a_watchdog_of_less_than_two_milliseconds_is_pinged),
      TEST(what_finds_no_room_comes_when_there_is_some),
      TEST(a_shutdown_ends_although_nobody_reads),
      TEST(what_is_owed_is_tried_once_more_at_the_end),
      TEST(ready_comes_before_stopping_although_both_are_owed),
      TEST(owed_reloads_are_told_as_one),
      TEST(a_start_that_is_owed_is_told_before_a_reload),
      TEST(a_reload_that_runs_is_told_without_its_end),
      TEST(a_ping_that_is_lost_is_not_made_up_for),
      TEST(a_ping_does_not_take_the_room_of_what_is_owed),
      TEST(what_is_owed_to_one_that_is_gone_is_dropped),
      TEST(what_is_owed_is_told_to_the_one_that_is_there_then),
      TEST(without_a_descriptor_it_is_told_later),
      TEST(a_child_does_not_tell_what_its_parent_owes),
  };

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
