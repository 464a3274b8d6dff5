/* SPDX-License-Identifier: MIT
 *
 * Upgrades of examples/echo-server in which either process is killed or stopped
 * at random moments. The test is the service manager: it has the socket, and
 * starts the server again where nothing is left of it. A client that tries once
 * more is always served.
 *
 * What is done when comes from a seed, which is printed; TEST_SEED sets it. The
 * moments themselves are the machine's.
 */

#include "../lib/program.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ECHO_SERVER "examples/echo-server"

enum { SIGNALS = 500, MANY = 16, LONGEST_US = 16000 };

static struct program p;
static int listener;
static unsigned port;
static unsigned seed;

/* --- The client ------------------------------------------------------------- */

/* fresh_ms is 500. Who sends later than this after connect() has promised
 * nothing, and may be taken for idle. */
static const uint64_t prompt_ns = 250 * 1000 * 1000;

static atomic_uint begun, served, served_again, late, unserved;
static atomic_bool enough;

static bool has_sent_back(int fd, const char* text) {
  size_t size = strlen(text);
  size_t filled = 0;
  char buffer[64];
  ssize_t n;

  while (filled < size) {
    wait_readable(fd);
    n = UNINTERRUPTED(recv(fd, buffer + filled, size - filled, 0));
    if (n <= 0)
      return false;
    filled += (size_t) n;
  }
  return memcmp(buffer, text, size) == 0;
}

/* A line in two parts, so that it is under way for most of the time. Returns 1,
 * or 0: the connection was cut, or -1: it came late. */
static int try_once(unsigned pause_us) {
  static const char first[] = "are you ";
  static const char rest[] = "there?\n";
  uint64_t since = uv_hrtime();
  bool is_prompt;
  bool is_served;
  int fd = try_connect(port);

  if (fd < 0)
    return 0;
  is_served = send_fully(fd, first, sizeof(first) - 1);
  is_prompt = uv_hrtime() - since < prompt_ns;
  is_served = is_served && has_sent_back(fd, first);
  usleep(pause_us);
  is_served = is_served && send_fully(fd, rest, sizeof(rest) - 1) &&
              has_sent_back(fd, rest);
  close(fd);
  if (is_served)
    return 1;
  return is_prompt ? 0 : -1;
}

static void* be_client(void* arg) {
  int result;
  unsigned tries;

  while (!atomic_load(&enough)) {
    atomic_fetch_add(&begun, 1);
    for (tries = 0; tries < 2;) {
      result = try_once(atomic_load(&begun) % 8 * 250);
      if (result == 1)
        break;
      if (result == -1)
        atomic_fetch_add(&late, 1);
      else
        tries++;
    }
    if (tries == 1)
      atomic_fetch_add(&served_again, 1);
    if (tries == 2)
      atomic_fetch_add(&unserved, 1);
    atomic_fetch_add(&served, tries < 2);
    usleep(200);
  }
  return arg;
}

/* --- The service manager ------------------------------------------------------ */

static void start_server(void) {
  program_start_with_socket(
      &p, LIST(ECHO_SERVER, "--settle=0.004", "--grace=60"), listener);
}

/* Nothing is left that could serve: start it again. */
static unsigned revive(void) {
  pid_t pid;

  if (program_processes(&p, &pid, 1) > 0)
    return 0;
  program_end(&p);
  start_server();
  return 1;
}

/* --- The moments ---------------------------------------------------------------- */

static void pass_random_time(void) {
  uint64_t end = uv_hrtime() + random_below(&seed, LONGEST_US) * UINT64_C(1000);

  while (uv_hrtime() < end)
    usleep(100);
}

/* One of those that are there, predecessor or successor, or 0. */
static pid_t choose(void) {
  pid_t pids[MANY];
  unsigned count = program_processes(&p, pids, MANY);

  return count > 0 ? pids[random_below(&seed, count)] : 0;
}

/* The pid cannot be another's: its parent may wait for it meanwhile, but the
 * kernel does not give the number out again so soon. */
static void send_to(pid_t pid, int signum) {
  if (pid > 0)
    kill(pid, signum);
}

static void disturb(void) {
  pid_t pid = choose();

  switch (random_below(&seed, 3)) {
  case 0:
    send_to(pid, SIGKILL);
    return;
  case 1:
    send_to(pid, SIGTERM);
    return;
  default:
    send_to(pid, SIGSTOP);
    pass_random_time();
    send_to(pid, SIGCONT);
  }
}

static unsigned goal;
static unsigned restarts;

/* Two more requests are over: one of them began after what was done. */
static bool is_served(void* data) {
  (void) data;
  restarts += revive();
  return atomic_load(&served) + atomic_load(&unserved) >= goal;
}

static void at_random_moments_either_may_end(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t size = sizeof(address);
  unsigned signals = scaled(SIGNALS);
  pthread_t client;
  unsigned i;
  pid_t pid;

  seed = test_seed();
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQ(bind(listener, (struct sockaddr*) &address, size), 0);
  CHECK_EQ(listen(listener, SOMAXCONN), 0);
  CHECK_EQ(getsockname(listener, (struct sockaddr*) &address, &size), 0);
  port = ntohs(address.sin_port);
  start_server();
  program_port(&p, "Serving on ");
  CHECK_EQ(pthread_create(&client, NULL, be_client, NULL), 0);
  for (i = 0; i < signals && has_time(); i++) {
    send_to(choose(), SIGUSR2);
    pass_random_time();
    disturb();
    goal = atomic_load(&served) + atomic_load(&unserved) + 2;
    wait_until(is_served, NULL, "the client is served");
    CHECK_EQ(atomic_load(&unserved), 0);
  }
  atomic_store(&enough, true);
  CHECK_EQ(pthread_join(client, NULL), 0);
  printf("# %u signals, %u restarts, %u requests: %u at the second try, %u "
         "unserved, %u late\n",
         i,
         restarts,
         atomic_load(&begun),
         atomic_load(&served_again),
         atomic_load(&unserved),
         atomic_load(&late));
  while ((pid = choose()) != 0) {
    send_to(pid, SIGTERM);
    uv_sleep(5);
  }
  program_end(&p); /* its count has those that were killed above */
  close(listener);
}

int main(void) {
  const struct CMUnitTest tests[] = {TEST(at_random_moments_either_may_end)};

  harness_init();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
