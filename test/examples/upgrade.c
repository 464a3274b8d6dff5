/* SPDX-License-Identifier: MIT
 *
 * Upgrades of examples/echo-server and examples/prefork from outside: what
 * their clients see, over TCP and through a UNIX socket, and what is left over
 * after a hundred of them.
 */

#include "../lib/program.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ECHO_SERVER "examples/echo-server"
#define PREFORK     "examples/prefork"

enum { UPGRADES = 100, LEAST_UPGRADES = 3, MANY = 64 };

static struct program p;
static pid_t current; /* the one that serves */
static unsigned port;
static char folder[] = "/tmp/uvsig-upgrade-XXXXXX";
static char path[64], pipe_option[80];

/* --- The server ----------------------------------------------------------- */

/* LeakSanitizer stops a process at its end to look at it, and waits for ever if
 * SIGCONT comes then: that is what a shutdown wakes children with. */
static void launch(const char* const argv[]) {
  program_start_2to1(&p, argv, LIST("LSAN_OPTIONS=detect_leaks=0"));
  current = p.pid;
  port = program_port(&p, "Serving on ");
}

static void launch_echo_server(void) {
  launch(LIST(ECHO_SERVER, "--port=0", pipe_option, "--settle=0"));
  program_line(&p, "Serving on /");
}

/* Upgrade the one that serves. Returns it. */
static pid_t upgrade(void) {
  pid_t old = current;
  pid_t parent;
  const char* line;
  int pid = 0;

  CHECK_EQ(kill(current, SIGUSR2), 0);
  do {
    line = program_line(&p, "");
    CHECK(strncmp(line, "No upgrade", 10) != 0);
  } while (sscanf(line, "Upgrade: process %d is ready", &pid) != 1);
  CHECK(pid != old);
  current = pid;
  parent = program_parent(current);
  CHECK(parent == old || parent == p.keeper);
  return old;
}

static bool is_waited_for(void* pid) {
  return kill(*(pid_t*) pid, 0) != 0;
}

/* The old one has ended, and is no zombie. The new one is an orphan. */
static void expect_gone(pid_t old) {
  if (old == p.pid)
    CHECK_EQ(program_wait(&p), 0);
  else
    wait_until(is_waited_for, &old, "a predecessor ends");
  CHECK_EQ(program_parent(current), p.keeper);
}

static void end_by_sigterm(void) {
  CHECK_EQ(kill(current, SIGTERM), 0);
  while (program_line_or_end(&p, "") != NULL)
    ;
  wait_until(is_waited_for, &current, "the last one ends");
  CHECK_EQ(program_end(&p), 0);
}

/* --- Clients -------------------------------------------------------------- */

static int over_tcp(void) {
  return try_connect(port);
}

static int through_pipe(void) {
  return try_connect_path(path);
}

static void exchange(int fd, const char* text) {
  send_text(fd, text);
  expect_text(fd, text);
}

static void expect_served(int fd) {
  CHECK(fd >= 0);
  exchange(fd, "anew\n");
  close(fd);
}

/* --- One upgrade ---------------------------------------------------------- */

static void the_old_one_serves_its_clients_and_the_new_one_all_others(void) {
  unsigned closed = 0, forced = 1, cut = 1;
  pid_t old;
  int fds[2];

  launch_echo_server();
  fds[0] = connect_to(port);
  fds[1] = connect_to_path(path);
  exchange(fds[0], "one and ");
  exchange(fds[1], "one and ");
  old = upgrade();
  expect_served(over_tcp());
  expect_served(through_pipe());
  CHECK_EQ(program_parent(current), old);
  exchange(fds[0], "two\n");
  exchange(fds[1], "two\n");
  expect_end(fds[0]);
  expect_end(fds[1]);
  /* Until it closes its listeners, it takes some of the others, too. */
  while (sscanf(program_line(&p, ""),
                "upgrade: %u closed, %u forced, %u cut",
                &closed,
                &forced,
                &cut) != 3)
    ;
  CHECK(closed >= 2);
  CHECK_EQ(forced, 0);
  CHECK_EQ(cut, 0);
  expect_gone(old);
  expect_served(over_tcp());
  expect_served(through_pipe());
  end_by_sigterm();
}

static void the_path_stays_and_is_taken_over_by_the_next(void) {
  launch_echo_server();
  expect_gone(upgrade());
  CHECK_EQ(access(path, F_OK), 0);
  end_by_sigterm();
  CHECK_EQ(access(path, F_OK), 0);
  CHECK_EQ(try_connect_path(path), UV_ECONNREFUSED);
  launch_echo_server();
  expect_served(through_pipe());
  CHECK_EQ(kill(current, SIGTERM), 0);
  CHECK_EQ(WTERMSIG(program_finish(&p)), SIGTERM);
  CHECK_EQ(access(path, F_OK), -1); /* it had made it */
}

/* --- The PID file ------------------------------------------------------------ */

static char pid_path[64], pid_option[96];

static pid_t named(void) {
  FILE* file = fopen(pid_path, "re");
  int pid = 0;

  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%d", &pid), 1);
  fclose(file);
  return pid;
}

static bool is_named(void* pid) {
  return named() == *(pid_t*) pid;
}

static void launch_with_pid_file(const char* settle) {
  snprintf(pid_path, sizeof(pid_path), "%s/pid", folder);
  snprintf(pid_option, sizeof(pid_option), "--pid-file=%s", pid_path);
  launch(LIST(ECHO_SERVER, "--port=0", pid_option, settle));
}

static void the_pid_file_names_the_one_that_serves(void) {
  pid_t old;
  int fd;

  launch_with_pid_file("--settle=0");
  fd = connect_to(port);
  exchange(fd, "half");
  CHECK_EQ(named(), current);
  old = upgrade();
  CHECK_EQ(named(), current);
  exchange(fd, "\n");
  expect_end(fd);
  expect_gone(old);
  CHECK_EQ(named(), current);
  expect_gone(upgrade());
  CHECK_EQ(named(), current);
  end_by_sigterm();
  CHECK_EQ(access(pid_path, F_OK), -1);
}

/* Between READY=1 and the end of settle_ms it has the successor's number. */
static void and_again_the_old_one_where_the_successor_fails(void) {
  struct program other;
  pid_t pids[MANY];
  const char* line;
  pid_t new;

  launch_with_pid_file("--settle=65535");
  program_signal(&p, SIGUSR2);
  program_line(&p, "Serving on "); /* the successor's */
  CHECK_EQ(program_processes(&p, pids, MANY), 2);
  new = pids[0] == current ? pids[1] : pids[0];
  wait_until(is_named, &new, "the successor has the PID file");
  CHECK_EQ(kill(new, SIGKILL), 0);
  program_line(&p, "No upgrade: the successor was ended by SIGKILL");
  wait_until(is_named, &current, "the old one has the PID file");
  program_start_2to1(&other, LIST(ECHO_SERVER, "--port=0", pid_option), NULL);
  line = program_line(&other, "echo-server: ");
  CHECK(strstr(line, "runs already: process ") != NULL);
  CHECK_EQ(WEXITSTATUS(program_finish(&other)), 1);
  expect_served(over_tcp());
  program_signal(&p, SIGTERM);
  CHECK_EQ(WTERMSIG(program_finish(&p)), SIGTERM);
  CHECK_EQ(access(pid_path, F_OK), -1);
}

/* --- From a socket unit ----------------------------------------------------- */

static int listen_at(const struct sockaddr* address, socklen_t size) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

  CHECK(fd >= 0);
  CHECK_EQ(bind(fd, address, size), 0);
  CHECK_EQ(listen(fd, SOMAXCONN), 0);
  return fd;
}

static void a_socket_of_the_service_manager_is_upgraded_too(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  int fd;

  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd = listen_at((struct sockaddr*) &address, size);
  CHECK_EQ(getsockname(fd, (struct sockaddr*) &address, &size), 0);
  program_start_with_socket(
      &p, LIST(ECHO_SERVER, "--port=1", "--settle=0"), fd);
  close(fd);
  current = p.pid;
  port = program_port(&p, "Serving on ");
  CHECK_EQ(port, ntohs(address.sin_port));
  expect_served(over_tcp());
  expect_gone(upgrade());
  expect_served(over_tcp());
  end_by_sigterm();
}

static void a_socket_that_nobody_wants_is_closed(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd;

  strcpy(address.sun_path, path);
  unlink(path);
  fd = listen_at((struct sockaddr*) &address, sizeof(address));
  program_start_with_socket(&p, LIST(ECHO_SERVER, "--port=0"), fd);
  close(fd);
  port = program_port(&p, "Serving on ");
  CHECK_EQ(through_pipe(), UV_ECONNREFUSED);
  current = p.pid;
  expect_served(over_tcp());
  program_signal(&p, SIGTERM);
  CHECK_EQ(WTERMSIG(program_finish(&p)), SIGTERM);
  CHECK_EQ(unlink(path), 0);
}

/* --- Load ------------------------------------------------------------------- */

/* Each asks `most` times on a connection, or less where an answer says that it
 * is the last. A server promises an answer to a request that comes within
 * fresh_ms, which is 500, and this is half of it: clocks tick slowly. */
struct client {
  int (*connect)(void);
  unsigned most;
  pthread_t thread;
};

static const uint64_t prompt_ns = 250 * 1000 * 1000;

static struct client echo_clients[] = {
    {over_tcp, 1, 0}, {over_tcp, 1, 0}, {through_pipe, 1, 0}};
static struct client http_clients[] = {{over_tcp, 1, 0},
                                       {over_tcp, 1, 0},
                                       {over_tcp, 100, 0},
                                       {over_tcp, 1000000, 0},
                                       {over_tcp, 1000000, 0}};

static atomic_uint answers, late, failures;
static atomic_bool enough;
static bool speaks_http;

static void complain(const char* what, int err) {
  fprintf(stderr, "%s: %s\n", what, err != 0 ? uv_strerror(err) : "cut");
  atomic_fetch_add(&failures, 1);
}

static const char* question(void) {
  return speaks_http ? "GET / HTTP/1.1\r\nHost: here\r\n\r\n" : "a line\n";
}

static bool is_whole(const char* text) {
  const char* body = strstr(text, "\r\n\r\n");

  if (!speaks_http)
    return strcmp(text, question()) == 0;
  return body != NULL && strlen(body) == 4 + 11;
}

/* Is the answer whole? */
static bool has_answer(int fd, bool* last) {
  size_t filled = 0;
  char text[512] = "";
  ssize_t n;

  while (!is_whole(text)) {
    wait_readable(fd);
    n = UNINTERRUPTED(recv(fd, text + filled, sizeof(text) - 1 - filled, 0));
    if (n <= 0)
      return false;
    filled += (size_t) n;
    text[filled] = '\0';
  }
  *last = strstr(text, "Connection: close\r\n") != NULL;
  return true;
}

static void ask(int fd, unsigned most, uint64_t since) {
  const char* text = question();
  bool is_prompt;
  bool is_sent;
  bool last = false;
  unsigned asked;

  for (asked = 0; !last && asked < most && !atomic_load(&enough); asked++) {
    is_sent = send_fully(fd, text, strlen(text));
    is_prompt = uv_hrtime() - since < prompt_ns;
    if (is_sent && has_answer(fd, &last)) {
      atomic_fetch_add(&answers, 1);
    } else {
      last = true;
      if (is_prompt)
        complain("request", 0);
      else
        atomic_fetch_add(&late, 1);
    }
    since = uv_hrtime();
  }
}

static void* be_client(void* arg) {
  const struct client* client = arg;
  uint64_t since;
  int fd;

  while (!atomic_load(&enough)) {
    since = uv_hrtime();
    fd = client->connect();
    if (fd < 0) {
      complain("connect", fd);
      continue;
    }
    ask(fd, client->most, since);
    close(fd);
    uv_sleep(1); /* no storm */
  }
  return NULL;
}

static void start_load(struct client* clients, unsigned count) {
  unsigned i;

  for (i = 0; i < count; i++)
    CHECK_EQ(pthread_create(&clients[i].thread, NULL, be_client, &clients[i]),
             0);
}

static void stop_load(struct client* clients, unsigned count) {
  unsigned i;

  atomic_store(&enough, true);
  for (i = 0; i < count; i++)
    CHECK_EQ(pthread_join(clients[i].thread, NULL), 0);
}

static unsigned goal;

static bool has_goal(void* data) {
  (void) data;
  return atomic_load(&answers) >= goal || atomic_load(&failures) > 0;
}

static void wait_for_answers(unsigned n) {
  goal = atomic_load(&answers) + n;
  wait_until(has_goal, NULL, "clients are answered");
}

/* --- What is left over ------------------------------------------------------ */

static unsigned count_fds(pid_t pid) {
  char name[64];
  unsigned count = 0;
  DIR* fds;

  snprintf(name, sizeof(name), "/proc/%d/fd", (int) pid);
  fds = opendir(name);
  CHECK(fds != NULL);
  while (readdir(fds) != NULL)
    count++;
  closedir(fds);
  return count;
}

static long size_of_environment(pid_t pid) {
  static char bytes[1 << 20];
  char name[64];
  FILE* file;
  long n;

  snprintf(name, sizeof(name), "/proc/%d/environ", (int) pid);
  file = fopen(name, "re");
  CHECK(file != NULL);
  n = (long) fread(bytes, 1, sizeof(bytes), file);
  fclose(file);
  return n;
}

/* Pages, of the data segment and the stack. */
static long size_of_data(pid_t pid) {
  char name[64];
  FILE* file;
  long n = 0;

  snprintf(name, sizeof(name), "/proc/%d/statm", (int) pid);
  file = fopen(name, "re");
  CHECK(file != NULL);
  CHECK_EQ(fscanf(file, "%*d %*d %*d %*d %*d %ld", &n), 1);
  fclose(file);
  return n;
}

struct measure {
  unsigned fds, processes;
  long environment, data;
};

static struct measure measure(void) {
  pid_t pids[MANY];

  return (struct measure){count_fds(current),
                          program_processes(&p, pids, MANY),
                          size_of_environment(current),
                          size_of_data(current)};
}

/* At rest: what was there for clients, and for predecessors, goes. */
static bool is_as_small(void* data) {
  const struct measure* before = data;
  struct measure now = measure();

  return now.fds == before->fds && now.processes == before->processes;
}

static void expect_nothing_left(struct measure before) {
  struct measure now;

  wait_until(is_as_small, &before, "descriptors and processes go");
  now = measure();
  /* Of the addresses and numbers in it, some are a few digits longer. */
  CHECK(labs(now.environment - before.environment) < 32);
  if (getenv("TEST_TOOL") == NULL && !has_sanitizer())
    CHECK(now.data <= before.data + 64);
}

/* --- A chain of upgrades ------------------------------------------------------ */

static unsigned upgrades(void) {
  unsigned n = scaled(UPGRADES);

  return n < LEAST_UPGRADES ? LEAST_UPGRADES : n;
}

static void report_load(unsigned done) {
  printf("# %u upgrades, %u answers, %u late requests, %u failures\n",
         done,
         atomic_load(&answers),
         atomic_load(&late),
         atomic_load(&failures));
  fflush(stdout);
  CHECK_EQ(atomic_load(&failures), 0);
}

/* Beside the load there is a client of each old one, in the middle of a line. */
static void a_hundred_upgrades_cut_no_line_and_leave_nothing(void) {
  unsigned count = sizeof(echo_clients) / sizeof(echo_clients[0]);
  struct measure before;
  pid_t old;
  unsigned i;
  int fd;

  launch_echo_server();
  expect_gone(upgrade());
  before = measure();
  start_load(echo_clients, count);
  for (i = 0; i < upgrades() && has_time(); i++) {
    wait_for_answers(5);
    fd = i % 2 == 0 ? connect_to(port) : connect_to_path(path);
    exchange(fd, "to be ");
    old = upgrade();
    exchange(fd, "continued\n");
    expect_end(fd);
    expect_gone(old);
  }
  wait_for_answers(10);
  stop_load(echo_clients, count);
  expect_nothing_left(before);
  report_load(i);
  end_by_sigterm();
}

/* Clients that keep their connection are told which answer is the last. */
static void a_hundred_upgrades_of_workers_fail_no_request(void) {
  unsigned count = sizeof(http_clients) / sizeof(http_clients[0]);
  struct measure before;
  unsigned i;

  speaks_http = true;
  launch(LIST(PREFORK, "--workers=2", "--settle=0", "--grace=1000"));
  expect_gone(upgrade());
  before = measure();
  CHECK_EQ(before.processes, 3);
  start_load(http_clients, count);
  for (i = 0; i < upgrades() && has_time(); i++) {
    wait_for_answers(20);
    expect_gone(upgrade());
  }
  wait_for_answers(20);
  stop_load(http_clients, count);
  expect_nothing_left(before);
  report_load(i);
  end_by_sigterm();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_old_one_serves_its_clients_and_the_new_one_all_others),
      TEST(the_path_stays_and_is_taken_over_by_the_next),
      TEST(the_pid_file_names_the_one_that_serves),
      TEST(and_again_the_old_one_where_the_successor_fails),
      TEST(a_socket_of_the_service_manager_is_upgraded_too),
      TEST(a_socket_that_nobody_wants_is_closed),
      TEST(a_hundred_upgrades_cut_no_line_and_leave_nothing),
      TEST(a_hundred_upgrades_of_workers_fail_no_request),
  };
  int failed;

  harness_init();
  if (!program_make_folder(folder, path, pipe_option))
    return 1;
  failed = cmocka_run_group_tests(tests, NULL, NULL);
  program_remove_folder(folder, path);
  return failed;
}
