/* SPDX-License-Identifier: MIT
 *
 * The prefork example from outside: its workers serve, are replaced when they
 * die and when it is told to, without a request that fails, and end with it.
 * Which are there is known from what it prints; that they serve, from their
 * answers, each of which names a worker.
 */

#include "../lib/roles.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFORK "examples/prefork"
#define REQUEST "GET / HTTP/1.1\r\nHost: here\r\n\r\n"
#define NEVER   "what nobody says"

enum { WORKERS = 4, MOST_WORKERS = 32, MOST_TRIES = 10 };

static struct program p;
static unsigned port;

/* --- Its workers ---------------------------------------------------------- */

static pid_t workers[MOST_WORKERS]; /* that serve, or have served */
static unsigned count;
static unsigned gone; /* how many have ended, of all that were started */

static bool is_worker(pid_t pid) {
  unsigned i;

  for (i = 0; i < count; i++)
    if (workers[i] == pid)
      return true;
  return false;
}

/* Take the next line that begins with `prefix`, and those before it. */
static const char* hear(const char* prefix) {
  const char* line;
  char what[16];
  unsigned i;
  int pid;

  do {
    line = program_line_or_end(&p, "");
    if (line == NULL)
      return NULL;
    if (sscanf(line, "Worker %d %15s", &pid, what) != 2)
      continue;
    if (strcmp(what, "serves") == 0) {
      CHECK(!is_worker(pid));
      CHECK(count < MOST_WORKERS);
      workers[count++] = pid;
    } else if (strcmp(what, "has") == 0) {
      gone++;
      for (i = 0; i < count; i++)
        if (workers[i] == pid)
          workers[i] = workers[--count];
    }
  } while (strncmp(line, prefix, strlen(prefix)) != 0);
  return line;
}

static void expect(const char* prefix) {
  if (hear(prefix) == NULL)
    check_failed(__FILE__, __LINE__, "no line \"%s...\"", prefix);
}

static void start_with(const char* const argv[],
                       const char* const environment[]) {
  const char* line;

  program_start_2to1(&p, argv, environment);
  count = gone = 0;
  line = hear("Serving on 127.0.0.1:");
  CHECK(line != NULL);
  CHECK_EQ(sscanf(line, "Serving on 127.0.0.1:%u", &port), 1);
}

static void start(const char* grace) {
  start_with(LIST(PREFORK, "--workers=4", grace), NULL);
  CHECK_EQ(count, WORKERS);
}

static void signal_worker(pid_t pid, int signum) {
  CHECK(is_worker(pid));
  CHECK_EQ(kill(pid, signum), 0);
}

static bool is_dead(void* pid) {
  char path[64];
  char text[512] = "";
  char* end;
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%d/stat", *(pid_t*) pid);
  file = fopen(path, "re");
  if (file == NULL)
    return true; /* it has been waited for */
  CHECK(fgets(text, sizeof(text), file) != NULL);
  fclose(file);
  end = strrchr(text, ')');
  return end != NULL && strchr("XZ", end[2]) != NULL;
}

static void stop_worker(pid_t pid) {
  signal_worker(pid, SIGSTOP);
  wait_until(is_stopped, &pid, "a worker stops");
}

/* The end of the program, of all that has its output, and of the workers. */
static void check_death_by(int signum) {
  const char* line = hear("libuvsig: shutdown: ");
  int status;

  CHECK(line != NULL);
  CHECK(strstr(line, ": clean after ") != NULL);
  CHECK(hear(NEVER) == NULL);
  CHECK_EQ(count, 0);
  status = program_finish(&p);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), signum);
}

/* The same where somebody has to be killed. It has a second for that, and where
 * the machine is too slow, its hard deadline ends it, or it gives up a worker
 * that has been killed and is about to go: then the test is done again, though
 * not for ever. */
static bool is_too_slow_to_die_by(int signum, const char* report) {
  static unsigned tries;
  const char* line = hear("libuvsig: shutdown: ");
  bool is_as_reported = line != NULL && strstr(line, report) != NULL;
  unsigned left;
  int status;

  CHECK(hear(NEVER) == NULL);
  status = program_wait(&p);
  left = program_end(&p);
  if (count > 0 || left > 0 || !WIFSIGNALED(status) || !is_as_reported) {
    CHECK(++tries < MOST_TRIES);
    return true;
  }
  CHECK_EQ(WTERMSIG(status), signum);
  return false;
}

/* --- Its clients ---------------------------------------------------------- */

/* Ask on a connection. Returns the pid of who answers, or -1 if nobody does;
 * and whether that was the last answer. */
static pid_t ask_rest(int fd, const char* request, bool* last) {
  static const char ok[] = "HTTP/1.1 200 OK\r\n";
  size_t filled = 0;
  char buffer[512];
  const char* body;
  ssize_t n;

  *last = true;
  if (!send_fully(fd, request, strlen(request)))
    return -1;
  do {
    wait_readable(fd);
    n = UNINTERRUPTED(
        recv(fd, buffer + filled, sizeof(buffer) - 1 - filled, 0));
    if (n <= 0)
      return -1;
    filled += (size_t) n;
    buffer[filled] = '\0';
    body = strstr(buffer, "\r\n\r\n");
  } while (body == NULL || strchr(body, '\0') - body < 4 + 11);
  *last = strstr(buffer, "Connection: close\r\n") != NULL;
  return strncmp(buffer, ok, strlen(ok)) == 0 ? atoi(body + 4) : -1;
}

static pid_t ask(int fd, bool* last) {
  return ask_rest(fd, REQUEST, last);
}

static pid_t ask_anew(void) {
  int fd = connect_to(port);
  bool last;
  pid_t pid = ask(fd, &last);

  CHECK(!last);
  close(fd);
  return pid;
}

/* Who answers while the others cannot? */
static void check_serves(pid_t pid) {
  unsigned i;

  for (i = 0; i < count; i++)
    if (workers[i] != pid)
      stop_worker(workers[i]);
  CHECK_EQ(ask_anew(), pid);
  for (i = 0; i < count; i++)
    if (workers[i] != pid)
      signal_worker(workers[i], SIGCONT);
}

static void check_all_serve(void) {
  unsigned i;

  CHECK_EQ(count, WORKERS);
  for (i = 0; i < count; i++)
    check_serves(workers[i]);
}

/* --- Load ----------------------------------------------------------------- */

/* Clients that ask until they are told to stop. Each asks on a connection as
 * long as it may, at most `most` times, and pauses now and then: a connection
 * that is idle for a moment is what a replacement could cut. */
static struct load {
  pthread_t thread;
  unsigned most;
} loads[4];

static atomic_uint answers, lasts, failures;
static atomic_bool enough;

static void complain(const char* what, int err) {
  fprintf(stderr, "%s: %s\n", what, err != 0 ? uv_strerror(err) : "cut");
  atomic_fetch_add(&failures, 1);
}

static void* be_client(void* arg) {
  const struct load* load = arg;
  unsigned asked;
  bool last;
  int fd;

  while (!atomic_load(&enough)) {
    fd = try_connect(port);
    if (fd < 0) {
      complain("connect", fd);
      continue;
    }
    last = false;
    for (asked = 0; !last && asked < load->most; asked++) {
      if (atomic_load(&enough))
        break;
      if (ask(fd, &last) > 0)
        atomic_fetch_add(&answers, 1);
      else
        complain("request", 0);
      if (asked % 16 == 15)
        uv_sleep(asked / 16 % 8);
    }
    if (last)
      atomic_fetch_add(&lasts, 1);
    close(fd);
  }
  return NULL;
}

static void start_load(void) {
  static const unsigned most[] = {1, 100, 1000000, 1000000};
  size_t i;

  for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
    loads[i].most = most[i];
    CHECK_EQ(pthread_create(&loads[i].thread, NULL, be_client, &loads[i]), 0);
  }
}

/* Clients that ask on one connection until an answer says that it is the last.
 * A request that comes later after the one before than this is not promised an
 * answer: half of QUIET_MS in examples/prefork-http.c, for clocks that tick
 * slowly. Each thinks now and then, for a shorter time. */
enum { LOYALS = 24, PROMPT_NS = 500 * 1000 * 1000 };

static pthread_t loyals[LOYALS];
static atomic_uint late;

static void* be_loyal(void* arg) {
  unsigned think_ms = *(unsigned*) arg;
  uint64_t before;
  uint64_t since;
  unsigned asked = 0;
  bool last = false;
  int fd = connect_to(port);
  bool is_prompt;

  for (since = uv_hrtime(); !last; since = before) {
    if (asked++ % 8 == 7)
      uv_sleep(think_ms);
    before = uv_hrtime();
    if (!send_fully(fd, REQUEST, strlen(REQUEST)))
      last = true;
    is_prompt = uv_hrtime() - since < PROMPT_NS;
    if (ask_rest(fd, "", &last) > 0)
      atomic_fetch_add(&answers, 1);
    else if (is_prompt)
      complain("request", 0);
    else
      atomic_fetch_add(&late, 1);
  }
  expect_end(fd);
  return NULL;
}

static void start_loyal_load(void) {
  static unsigned think_ms[LOYALS];
  unsigned i;

  for (i = 0; i < LOYALS; i++) {
    think_ms[i] = i % 2 * 5 * i;
    CHECK_EQ(pthread_create(&loyals[i], NULL, be_loyal, &think_ms[i]), 0);
  }
}

static void stop_loyal_load(void) {
  unsigned i;

  for (i = 0; i < LOYALS; i++)
    CHECK_EQ(pthread_join(loyals[i], NULL), 0);
  fprintf(stderr,
          "%u answers, %u late requests, %u failures\n",
          atomic_load(&answers),
          atomic_load(&late),
          atomic_load(&failures));
  CHECK_EQ(atomic_load(&failures), 0);
}

/* Wait until the load has had `n` more answers. */
static unsigned goal;

static bool has_had_enough(void* data) {
  (void) data;
  return atomic_load(&answers) >= goal || atomic_load(&failures) > 0;
}

static void wait_for_answers(unsigned n) {
  goal = atomic_load(&answers) + n;
  wait_until(has_had_enough, NULL, "clients are answered");
}

static void stop_load(void) {
  size_t i;

  atomic_store(&enough, true);
  for (i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
    CHECK_EQ(pthread_join(loads[i].thread, NULL), 0);
  fprintf(stderr,
          "%u answers, %u of them the last of a connection, %u failures\n",
          atomic_load(&answers),
          atomic_load(&lasts),
          atomic_load(&failures));
  CHECK_EQ(atomic_load(&failures), 0);
}

/* All are others now, and as many as before. */
static void replace_all(void) {
  pid_t before[WORKERS];
  unsigned i;

  CHECK_EQ(count, WORKERS);
  memcpy(before, workers, sizeof(before));
  program_signal(&p, SIGHUP);
  expect("Replaced");
  CHECK_EQ(count, WORKERS);
  for (i = 0; i < WORKERS; i++)
    CHECK(!is_worker(before[i]));
}

/* --- Tests ---------------------------------------------------------------- */

static void four_workers_serve(void) {
  start("--grace=1000");
  check_all_serve();
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
}

static void a_worker_that_dies_is_replaced(void) {
  pid_t killed;

  start("--grace=1000");
  killed = workers[1];
  signal_worker(killed, SIGKILL);
  expect("Worker "); /* has gone */
  CHECK(!is_worker(killed));
  expect("Worker "); /* serves */
  check_all_serve();
  program_signal(&p, SIGINT);
  check_death_by(SIGINT);
}

/* What the workers say of themselves; of each, if `each` is not 0, so many. */
static unsigned long sum_requests(unsigned long each) {
  unsigned long requests;
  unsigned long sum = 0;
  unsigned said = 0;
  const char* line;
  int pid;

  while (said < WORKERS) {
    line = hear("Worker ");
    CHECK(line != NULL);
    CHECK_EQ(sscanf(line, "Worker %d: %lu requests", &pid, &requests), 2);
    CHECK(is_worker(pid));
    if (each != 0)
      CHECK_EQ(requests, each);
    sum += requests;
    said++;
  }
  return sum;
}

static void sigusr1_goes_to_all_workers(void) {
  start("--grace=1000");
  check_all_serve();
  program_signal(&p, SIGUSR1);
  CHECK_EQ(sum_requests(1), WORKERS);
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
}

static void sigterm_before_there_is_a_listener_ends_it_as_ever(void) {
  const char* line;

  program_start_2to1(&p, LIST("test/examples/prefork", "early", PREFORK), NULL);
  line = hear(""); /* it neither serves nor complains */
  CHECK(line != NULL);
  CHECK(strncmp(line, "libuvsig: shutdown: SIGTERM", 27) == 0);
  CHECK(strstr(line, ": clean after ") != NULL);
  program_output_ends(&p);
  CHECK_EQ(WTERMSIG(program_finish(&p)), SIGTERM);
}

static bool is_refused(void* data) {
  int fd = try_connect(port);

  (void) data;
  if (fd >= 0)
    close(fd);
  return fd == UV_ECONNREFUSED;
}

/* The half of a request that has come is waited for, and idle clients are not.
 */
static void sigterm_answers_what_is_under_way_and_ends_all(void) {
  int busy, idle, silent;
  bool last;

  start("--grace=1000");
  idle = connect_to(port);
  CHECK(is_worker(ask(idle, &last)));
  CHECK(!last);
  silent = connect_to(port);
  busy = connect_to(port);
  CHECK(is_worker(ask(busy, &last)));
  send_text(busy, "GET / HTTP/1.1\r\n");
  /* The worker has read it when it has read what came later, at the latest. */
  check_all_serve();
  program_signal(&p, SIGTERM);
  expect_end(idle);
  expect_end(silent);
  wait_until(is_refused, NULL, "the listener is closed");
  CHECK(ask_rest(busy, "Host: here\r\n\r\n", &last) > 0);
  CHECK(last);
  expect_end(busy);
  check_death_by(SIGTERM);
}

/* Nobody reads it any more. */
static void close_output(void) {
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

  CHECK(null >= 0);
  CHECK_EQ(dup2(null, p.output), p.output);
  close(null);
}

static void ask_to_know(int fd) {
  bool last;

  CHECK(is_worker(ask(fd, &last)));
  CHECK(!last);
}

/* The worker says what it has done, and nobody reads that. */
static bool is_output_full(void* pid) {
  int line = snprintf(NULL, 0, "Worker %d: 60 requests\n", *(pid_t*) pid);
  int filled = 0;

  CHECK_EQ(kill(*(pid_t*) pid, SIGUSR1), 0);
  CHECK_EQ(ioctl(p.output, FIONREAD, &filled), 0);
  return filled > 4096 - line;
}

static bool has_no_signal(void* pid) {
  unsigned long pending = 1;
  char path[64];
  char line[256];
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%d/status", *(pid_t*) pid);
  file = fopen(path, "re");
  CHECK(file != NULL);
  while (fgets(line, sizeof(line), file) != NULL)
    if (sscanf(line, "ShdPnd: %lx", &pending) == 1)
      break;
  fclose(file);
  return pending == 0;
}

/* The worker stands still, in the middle of a line that does not fit, when
 * SIGTERM comes and then the requests. It looks at them in this order. */
static void sigterm_answers_requests_that_are_not_read_yet(void) {
  enum { CLIENTS = 60 }; /* is_output_full() has it too */
  int fds[CLIENTS];
  pid_t pid;
  unsigned i;
  bool last;

  start_with(LIST(PREFORK, "--workers=1", "--grace=1000"), NULL);
  pid = workers[0];
  for (i = 0; i < CLIENTS; i++) {
    fds[i] = connect_to(port);
    ask_to_know(fds[i]);
  }
  CHECK(fcntl(p.output, F_SETPIPE_SZ, 4096) >= 0);
  wait_until(is_output_full, &pid, "its output is full");
  signal_worker(pid, SIGUSR1);
  wait_until(has_no_signal, &pid, "it has SIGUSR1");
  signal_worker(pid, SIGTERM);
  wait_until(has_no_signal, &pid, "it has SIGTERM");
  for (i = 0; i < CLIENTS; i++) {
    send_text(fds[i], REQUEST);
    wait_delivered(fds[i]);
  }
  while (count > 0)
    expect("Worker "); /* ... has gone */
  for (i = 0; i < CLIENTS; i++) {
    CHECK_EQ(ask_rest(fds[i], "", &last), pid);
    expect_end(fds[i]);
  }
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
}

/* Read to the end, which is no reset, and close. */
static unsigned count_answers(int fd) {
  char all[4096];
  size_t filled = 0;
  unsigned n_answers = 0;
  const char* at;
  ssize_t n;

  do {
    wait_readable(fd);
    n = UNINTERRUPTED(recv(fd, all + filled, sizeof(all) - 1 - filled, 0));
    CHECK(n >= 0);
    filled += (size_t) n;
  } while (n > 0 && filled < sizeof(all) - 1);
  all[filled] = '\0';
  for (at = all; (at = strstr(at, "HTTP/1.1 200 OK")) != NULL; at++)
    n_answers++;
  close(fd);
  return n_answers;
}

/* strace has it stand still for a while when it has told its worker to end. What
 * connects then must not wait in a queue that nobody reads. */
static void the_parent_does_not_listen_alone(void) {
  const char* strace = getenv("STRACE");
  bool last;
  pid_t worker;
  int fd;

  skip_under_valgrind("strace cannot run it there");
  if (has_sanitizer())
    skip_test("the sanitizer cannot look for leaks under strace");
  if (strace == NULL || *strace == '\0')
    strace = "strace";
  if (system("${STRACE:-strace} -o /dev/null true 2>/dev/null") != 0)
    skip_test("strace is missing or may not trace here");
  start_with(LIST("/usr/bin/env",
                  strace,
                  "-D",
                  "-f",
                  "-qq",
                  "-o",
                  "/dev/null",
                  "-e",
                  "trace=kill",
                  "-e",
                  "inject=kill:delay_exit=1000000:when=1",
                  PREFORK,
                  "--workers=1"),
             NULL);
  fd = connect_to(port);
  worker = ask(fd, &last);
  close(fd);
  program_signal(&p, SIGTERM);
  wait_until(is_dead, &worker, "the worker ends");
  CHECK_EQ(try_connect(port), UV_ECONNREFUSED);
  check_death_by(SIGTERM);
}

/* All that it sends comes at once, the end too. */
static void a_client_that_closes_for_writing_has_its_answers(void) {
  unsigned i;
  int fd;

  start("--grace=1000");
  for (i = 0; i < WORKERS; i++)
    stop_worker(workers[i]);
  fd = connect_to(port);
  for (i = 0; i < 20; i++)
    send_text(fd, REQUEST);
  CHECK_EQ(shutdown(fd, SHUT_WR), 0);
  wait_delivered(fd);
  for (i = 0; i < WORKERS; i++)
    signal_worker(workers[i], SIGCONT);
  CHECK_EQ(count_answers(fd), 20);
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
}

static void help_is_printed(void) {
  program_start(&p, LIST(PREFORK, "--help"), NULL);
  program_line(&p, "Usage: prefork ");
  program_line(&p, "  --help ");
  CHECK_EQ(program_finish(&p), 0);
}

static void a_number_of_workers_out_of_range_is_refused(void) {
  static const char* const wrong[] = {"0", "1001", "4x", ""};
  char option[32];
  size_t i;

  for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    snprintf(option, sizeof(option), "--workers=%s", wrong[i]);
    program_start_2to1(&p, LIST(PREFORK, option), NULL);
    program_line(&p, "prefork: ");
    CHECK_EQ(WEXITSTATUS(program_finish(&p)), 2);
  }
}

/* Not one of the clients that go on asking may fail, and each is told that an
 * answer is the last. */
static void sigterm_under_load_cuts_no_client(void) {
  start("--grace=1000");
  start_loyal_load();
  wait_for_answers(100 * LOYALS);
  program_signal(&p, SIGTERM);
  stop_loyal_load();
  check_death_by(SIGTERM);
}

/* The parent tells the workers: they do not have a terminal's signals. One that
 * is started just then would miss it. */
static void ctrl_c_ends_all_in_order(void) {
  char name[64];
  int terminal;
  int busy;
  int tty;
  bool last;

  open_terminal(&terminal, &tty);
  close(tty);
  CHECK_EQ(ptsname_r(terminal, name, sizeof(name)), 0);
  start_with(LIST("test/examples/prefork",
                  "at-terminal",
                  name,
                  PREFORK,
                  "--workers=4",
                  "--grace=1000"),
             NULL);
  CHECK_EQ(getsid(workers[0]), workers[0]);
  busy = connect_to(port);
  ask_to_know(busy);
  send_text(busy, "GET / HTTP/1.1\r\n");
  check_all_serve(); /* that has been read */
  CHECK_EQ(write(terminal, "\003", 1), 1);
  wait_until(is_refused, NULL, "the listener is closed");
  CHECK(ask_rest(busy, "Host: here\r\n\r\n", &last) > 0);
  CHECK(last);
  expect_end(busy);
  check_death_by(SIGINT);
  close(terminal);
}

/* An abstract socket that the service manager would have. */
static int open_notify(char* variable, size_t size) {
  static const char key[] = "NOTIFY_SOCKET=";
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t length;
  char* name = variable + sizeof(key) - 1;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  memcpy(variable, key, sizeof(key));
  abstract_name(name++, size - sizeof(key) + 1);
  memcpy(address.sun_path + 1, name, strlen(name));
  length =
      (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
  CHECK(fd >= 0);
  CHECK_EQ(bind(fd, (struct sockaddr*) &address, length), 0);
  return fd;
}

/* What has been sent, in its order. */
static char notified[256];

static void read_notified(int fd) {
  static const char* const known[] = {"READY=1", "RELOADING=1", "STOPPING=1"};
  char message[512];
  size_t filled;
  ssize_t n;
  size_t i;

  while ((n = recv(fd, message, sizeof(message) - 1, MSG_DONTWAIT)) > 0) {
    message[n] = '\0';
    filled = strlen(notified);
    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
      if (strncmp(message, known[i], strlen(known[i])) == 0)
        snprintf(notified + filled, sizeof(notified) - filled, "%s ", known[i]);
  }
}

static bool is_ready_again(void* fd) {
  read_notified(*(int*) fd);
  return strstr(notified, "RELOADING=1 READY=1 ") != NULL;
}

/* Each worker has a shutdown as well, and those that are replaced end. */
static void no_worker_speaks_for_the_service(void) {
  char variable[80];
  int fd = open_notify(variable, sizeof(variable));

  start_with(LIST(PREFORK, "--workers=4", "--grace=1000"), LIST(variable));
  replace_all();
  wait_until(is_ready_again, &fd, "it is ready again");
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
  read_notified(fd);
  CHECK_STR(notified, "READY=1 RELOADING=1 READY=1 STOPPING=1 ");
  close(fd);
}

static void sighup_replaces_all_workers_under_load(void) {
  unsigned i;

  start("--grace=1000");
  start_load();
  for (i = 0; i < 10; i++) {
    wait_for_answers(200);
    replace_all();
  }
  /* One that is pending begins when the one that runs is finished. */
  program_signal(&p, SIGHUP);
  expect("Worker ");
  program_signal(&p, SIGHUP);
  expect("Replaced");
  expect("Replaced");
  wait_for_answers(200);
  stop_load();
  CHECK(atomic_load(&lasts) > 0);
  check_all_serve();
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
  CHECK_EQ(gone, 13 * WORKERS);
}

/* Answers of this generation, so that the next one has clients to take over. */
static void wait_for_load_of(struct program* client) {
  do {
    if (program_has_ended(client))
      return;
    program_signal(&p, SIGUSR1);
  } while (sum_requests(0) == 0);
}

/* It asks until it is told to end, and waits for an answer however long. */
static void sighup_replaces_all_workers_under_wrk(void) {
  static const char wait[] = "--timeout=600s";
  struct program wrk;
  char url[64];
  const char* line;
  double rate = 0;
  unsigned i;
  int status;

  start("--grace=1000");
  snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
  program_start_2to1(
      &wrk, LIST("wrk", "-t2", "-c50", "-d600s", wait, url), NULL);
  for (i = 0; i < 5; i++) {
    wait_for_load_of(&wrk);
    replace_all();
  }
  wait_for_load_of(&wrk);
  if (!program_has_ended(&wrk))
    program_signal(&wrk, SIGINT);
  while ((line = program_line_or_end(&wrk, "")) != NULL) {
    fprintf(stderr, "wrk: %s\n", line);
    CHECK(strstr(line, "Socket errors") == NULL);
    CHECK(strstr(line, "Non-2xx") == NULL);
    sscanf(line, "Requests/sec: %lf", &rate);
  }
  status = program_finish(&wrk);
  if (WEXITSTATUS(status) == 127)
    skip_test("no wrk here");
  CHECK_EQ(status, 0);
  CHECK(rate > 0);
  check_all_serve();
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
}

/* It belongs to a worker that goes, and is idle all the time. */
static void an_idle_connection_outlives_its_worker_by_one_answer(void) {
  bool last;
  pid_t pid;
  int fd;
  int i;

  start("--grace=1000");
  fd = connect_to(port);
  pid = ask(fd, &last);
  CHECK(is_worker(pid));
  CHECK(!last);
  program_signal(&p, SIGHUP);
  for (i = 0; i < WORKERS; i++)
    expect("Worker "); /* the new ones serve; or an old one has gone */
  do {
    CHECK_EQ(ask(fd, &last), pid);
    uv_sleep(1);
  } while (!last);
  expect_end(fd);
  expect("Replaced");
  CHECK(!is_worker(pid));
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
}

/* A shutdown wakes one that is stopped when it begins. This one is stopped
 * later: it has a client that does not end its request, and the others end. */
static void a_stuck_worker_is_killed_at_the_deadline(void) {
  uint64_t since;
  pid_t pid;
  int busy;
  bool last;

  do {
    start("--grace=2");
    busy = connect_to(port);
    pid = ask(busy, &last);
    send_text(busy, "GET / HTTP/1.1\r\n");
    wait_delivered(busy);
    since = uv_hrtime();
    program_signal(&p, SIGTERM);
    while (count > 1)
      expect("Worker "); /* has gone */
    if (is_worker(pid))
      stop_worker(pid);
    close(busy);
  } while (is_too_slow_to_die_by(SIGTERM, "children: 1 killed, 0 left"));
  CHECK(uv_hrtime() - since >= UINT64_C(2000000000));
}

static void a_stuck_worker_is_killed_when_it_is_replaced(void) {
  do {
    start("--grace=0");
    stop_worker(workers[0]);
    replace_all();
    program_signal(&p, SIGTERM);
  } while (is_too_slow_to_die_by(SIGTERM, ": clean after "));
}

/* A reload that is not finished, and the client that it waits for, do not hold
 * up the end: it comes long before the grace is over. */
static void sigterm_ends_also_what_is_being_replaced(void) {
  unsigned i;
  bool last;
  pid_t pid;
  int idle;

  start("--grace=1000");
  idle = connect_to(port);
  pid = ask(idle, &last);
  CHECK(!last);
  program_signal(&p, SIGHUP);
  for (i = 0; i < 2 * WORKERS - 1; i++)
    expect("Worker "); /* serves, or has gone: all but one */
  CHECK_EQ(count, WORKERS + 1);
  CHECK(is_worker(pid));
  program_signal(&p, SIGTERM);
  expect_end(idle);
  check_death_by(SIGTERM);
}

/* Nobody is there to tell them to go. */
static void workers_do_not_outlive_their_parent(void) {
  int status;

  start("--grace=1000");
  program_signal(&p, SIGKILL);
  CHECK(hear(NEVER) == NULL);
  status = program_finish(&p);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGKILL);
}

/* A line that a worker or the parent prints has nobody to hear it. */
static void a_reader_of_its_output_that_has_gone_does_not_end_it(void) {
  pid_t asked;
  pid_t pid;
  int status;

  start_with(LIST(PREFORK, "--workers=1", "--grace=1000"), NULL);
  asked = workers[0];
  close_output();
  signal_worker(asked, SIGUSR1);
  wait_until(has_no_signal, &asked, "it has SIGUSR1");
  CHECK_EQ(ask_anew(), asked);
  signal_worker(asked, SIGKILL);
  wait_until(has_gone, &asked, "a worker has gone");
  pid = ask_anew(); /* of the one in its place */
  CHECK(pid > 0);
  CHECK(pid != asked);
  program_signal(&p, SIGTERM);
  status = program_finish(&p);
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

/* --- A release that does not start ---------------------------------------- */

/* Where libtool's libraries are, if it has a wrapper set that; and the program
 * that it has run. */
static const char* library_path = "LD_LIBRARY_PATH";
static char folder[] = "/tmp/uvsig-prefork-XXXXXX";
static char copy[64];

static void copy_file(const char* from, const char* to, mode_t mode) {
  char bytes[65536];
  ssize_t n;
  int in = open(from, O_RDONLY | O_CLOEXEC);
  int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

  CHECK(in >= 0);
  CHECK(out >= 0);
  while ((n = read(in, bytes, sizeof(bytes))) > 0)
    CHECK_EQ(write(out, bytes, (size_t) n), n);
  CHECK_EQ(n, 0);
  close(in);
  CHECK_EQ(close(out), 0);
}

static void find_library_path(pid_t pid) {
  static char bytes[65536];
  char path[64];
  const char* entry;
  size_t n;
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%d/environ", pid);
  file = fopen(path, "re");
  CHECK(file != NULL);
  n = fread(bytes, 1, sizeof(bytes) - 1, file);
  fclose(file);
  for (entry = bytes; entry < bytes + n; entry += strlen(entry) + 1)
    if (strncmp(entry, "LD_LIBRARY_PATH=", 16) == 0)
      library_path = entry;
}

/* Make a copy of the program, which may be replaced. */
static void make_copy(void) {
  char path[64];

  start("--grace=1000");
  CHECK(mkdtemp(folder) != NULL);
  snprintf(copy, sizeof(copy), "%s/prefork", folder);
  snprintf(path, sizeof(path), "/proc/%d/exe", p.pid);
  copy_file(path, copy, 0700);
  find_library_path(p.pid);
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
}

/* While the workers of a broken release die at once, the old ones serve, and
 * the parent does not spin: after each of them it waits longer. */
static void a_release_that_does_not_start_replaces_nobody(void) {
  static const char broken[] = "#!/bin/sh\nexit 1\n";
  char good[80];
  uint64_t since;
  unsigned i;
  int fd;

  make_copy();
  start_with(LIST(copy, "--workers=1", "--grace=1000"), LIST(library_path));
  start_load();
  snprintf(good, sizeof(good), "%s/good", folder);
  CHECK_EQ(rename(copy, good), 0);
  fd = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
  CHECK(fd >= 0);
  CHECK_EQ(write(fd, broken, strlen(broken)), strlen(broken));
  close(fd);

  since = uv_hrtime();
  program_signal(&p, SIGHUP);
  for (i = 0; i < 5; i++)
    expect("Worker "); /* has gone */
  CHECK_EQ(gone, 5);
  CHECK_EQ(count, 1); /* the old one */
  /* 100, 200, 400 and 800 ms, if the machine lets each die within a second */
  CHECK(uv_hrtime() - since >= UINT64_C(1000000000));
  wait_for_answers(100);

  CHECK_EQ(rename(good, copy), 0);
  expect("Replaced");
  wait_for_answers(100);
  stop_load();
  program_signal(&p, SIGTERM);
  check_death_by(SIGTERM);
  CHECK_EQ(unlink(copy), 0);
  CHECK_EQ(rmdir(folder), 0);
}

int main(int argc, char** argv) {
  static const struct role roles[] = {
      {"at-terminal", NULL, be_at_terminal},
      {"early", NULL, be_early},
      {NULL, NULL, NULL},
  };
  const struct CMUnitTest tests[] = {
      TEST(help_is_printed),
      TEST(a_number_of_workers_out_of_range_is_refused),
      TEST(four_workers_serve),
      TEST(a_worker_that_dies_is_replaced),
      TEST(sigusr1_goes_to_all_workers),
      TEST(sigterm_before_there_is_a_listener_ends_it_as_ever),
      TEST(sigterm_answers_what_is_under_way_and_ends_all),
      TEST(sigterm_answers_requests_that_are_not_read_yet),
      TEST(the_parent_does_not_listen_alone),
      TEST(a_client_that_closes_for_writing_has_its_answers),
      TEST(sigterm_under_load_cuts_no_client),
      TEST(ctrl_c_ends_all_in_order),
      TEST(no_worker_speaks_for_the_service),
      TEST(sighup_replaces_all_workers_under_load),
      TEST(sighup_replaces_all_workers_under_wrk),
      TEST(an_idle_connection_outlives_its_worker_by_one_answer),
      TEST(a_stuck_worker_is_killed_at_the_deadline),
      TEST(a_stuck_worker_is_killed_when_it_is_replaced),
      TEST(sigterm_ends_also_what_is_being_replaced),
      TEST(workers_do_not_outlive_their_parent),
      TEST(a_reader_of_its_output_that_has_gone_does_not_end_it),
      TEST(a_release_that_does_not_start_replaces_nobody),
  };

  if (argc > 1)
    return play_role(roles, argv + 1);
  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
