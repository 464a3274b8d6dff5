/* SPDX-License-Identifier: MIT
 *
 * Programs from outside, and their clients: see program.h.
 *
 * The keeper is the program's parent, so that it knows all that the program
 * leaves behind: orphans become its children (PR_SET_CHILD_SUBREAPER). What it
 * has not waited for keeps its number, so that no signal ever goes to somebody
 * else: the program is waited for when the test asks for its status.
 */

#include "program.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
# include <sys/prctl.h>
#endif
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Above OWN_FDS are the harness's: its parent waits until nobody has them. */
enum { DEADLINE = 240, OWN_FDS = 200, MOST_WORDS = 64, MOST_LEFT = 100 };

static uint64_t deadline(void) {
  const char* text = getenv("TEST_DEADLINE");
  int seconds = text != NULL ? atoi(text) : 0;

  /* half of it: a check says more than the harness could */
  return uv_hrtime() + (uint64_t) (seconds > 0 ? seconds : DEADLINE) *
                           (UINT64_C(1000000000) / 2);
}

/* Wait for input or the end of it. False: the time has come. */
static bool readable_by(int fd, uint64_t time) {
  struct pollfd pollfd = {fd, POLLIN, 0};
  uint64_t now;
  int n;

  do {
    now = uv_hrtime();
    n = poll(&pollfd, 1, now < time ? (int) ((time - now) / 1000000) + 1 : 0);
  } while (n < 0 && errno == EINTR);
  CHECK(n >= 0);
  return n == 1;
}

/* --- The keeper ----------------------------------------------------------- */

/* It reports here: a failed check would be one of the test's. */
static void keeper_failed(const char* what) {
  fprintf(stderr, "program's keeper: %s: %s\n", what, strerror(errno));
  _exit(MOST_LEFT);
}

static void tell(int control, int number) {
  if (write(control, &number, sizeof(number)) != sizeof(number) &&
      errno != EPIPE)
    keeper_failed("write");
}

static void on_child(int signum) {
  (void) signum; /* ends ppoll() */
}

/* Has `pid` ended? Orphans that have are waited for; it is not. */
static bool look_for_end(pid_t pid) {
  siginfo_t info;

  for (;;) {
    info.si_pid = 0;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0)
      return false;
    if (info.si_pid == pid)
      return true;
    (void) UNINTERRUPTED(waitpid(info.si_pid, NULL, 0));
  }
}

/* 0: there is none, or it has ended and was not waited for. */
static pid_t parent_of(const char* pid) {
  char path[64];
  char text[512];
  const char* end;
  char state;
  int parent = 0;
  size_t n;
  FILE* file;

  snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
  file = fopen(path, "re");
  if (file == NULL)
    return 0;
  n = fread(text, 1, sizeof(text) - 1, file);
  fclose(file);
  text[n] = '\0';
  end = strrchr(text, ')'); /* the name may have any character */
  if (end == NULL || sscanf(end, ") %c %d", &state, &parent) != 2)
    return 0;
  return state == 'Z' ? 0 : (pid_t) parent;
}

static void kill_children(void) {
  DIR* proc = opendir("/proc");
  struct dirent* entry;

  if (proc == NULL)
    return;
  while ((entry = readdir(proc)) != NULL)
    if (isdigit((unsigned char) entry->d_name[0]) &&
        parent_of(entry->d_name) == getpid())
      kill((pid_t) atoi(entry->d_name), SIGKILL);
  closedir(proc);
}

/* End all that descends from here: the children of one that ends become ours.
 * Returns how many had not ended by themselves. */
static int end_children(pid_t pid) {
  int count = 0;
  int status;

  if (pid != 0)
    kill(pid, SIGKILL); /* where there is no /proc */
  for (;;) {
    kill_children();
    if (UNINTERRUPTED(waitpid(-1, &status, 0)) < 0)
      return count < MOST_LEFT ? count : MOST_LEFT - 1;
    count += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
}

static void keep(int control, pid_t pid) {
  struct pollfd pollfd = {control, POLLIN, 0};
  struct sigaction action;
  sigset_t blocked;
  sigset_t open;
  bool told = false;
  int status;
  char byte;

  memset(&action, 0, sizeof(action));
  action.sa_handler = on_child;
  sigaction(SIGCHLD, &action, NULL);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, NULL);
  sigfillset(&blocked);
  sigprocmask(SIG_SETMASK, &blocked, NULL);
  sigfillset(&open);
  sigdelset(&open, SIGCHLD);

  for (;;) {
    if (look_for_end(pid) && pid != 0 && !told) {
      tell(control, 0);
      told = true;
    }
    if (ppoll(&pollfd, 1, NULL, &open) != 1)
      continue;
    if (UNINTERRUPTED(read(control, &byte, 1)) != 1)
      _exit(end_children(pid));
    if (UNINTERRUPTED(waitpid(pid, &status, 0)) != pid)
      keeper_failed("waitpid");
    pid = 0;
    tell(control, status);
  }
}

/* --- Starting ------------------------------------------------------------- */

enum { FIRST_SOCKET = 3 }; /* SD_LISTEN_FDS_START */

static int handed_over = -1; /* the next program's */

static void set_sockets(void) {
  char pid[32];

  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_FDNAMES");
  if (handed_over < 0)
    return;
  snprintf(pid, sizeof(pid), "%d", (int) getpid());
  setenv("LISTEN_PID", pid, 1);
  setenv("LISTEN_FDS", "1", 1);
  if (handed_over == FIRST_SOCKET)
    fcntl(FIRST_SOCKET, F_SETFD, 0);
  else
    dup2(handed_over, FIRST_SOCKET);
}

static void set_environment(const char* const environment[]) {
  const char* equals;
  char name[64];

  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_PID");
  unsetenv("WATCHDOG_USEC");
  for (; environment != NULL && *environment != NULL; environment++) {
    equals = strchr(*environment, '=');
    snprintf(name,
             sizeof(name),
             "%.*s",
             equals != NULL ? (int) (equals - *environment) : 63,
             *environment);
    if (equals != NULL)
      setenv(name, equals + 1, 1);
    else
      unsetenv(name);
  }
}

static void be_program(const char* const argv[],
                       const char* const environment[]) {
  const char* wrapper = getenv("PROGRAM_WRAPPER");
  char* words = wrapper != NULL ? strdup(wrapper) : NULL;
  char* all[MOST_WORDS + 1];
  char* rest;
  int n = 0;

  if (words != NULL)
    for (all[n] = strtok_r(words, " ", &rest); all[n] != NULL && n < MOST_WORDS;
         all[n] = strtok_r(NULL, " ", &rest))
      n++;
  for (; *argv != NULL && n < MOST_WORDS; argv++)
    all[n++] = strdup(*argv);
  all[n] = NULL;
  set_environment(environment);
  set_sockets();
  execvp(all[0], all);
  fprintf(stderr, "%s: %s\n", all[0], strerror(errno));
  _exit(127);
}

static void be_keeper(int control,
                      int output,
                      bool errors,
                      const char* const argv[],
                      const char* const environment[]) {
  pid_t keeper = getpid();
  pid_t pid;
  int fd;
  int in;

  setsid(); /* or the harness, at its deadline, would end the keeper first */
#ifdef __linux__
  prctl(PR_SET_CHILD_SUBREAPER, 1);
#endif
  for (fd = 3; fd < OWN_FDS; fd++)
    if (fd != control && fd != output && fd != handed_over)
      close(fd);
  pid = fork();
  if (pid < 0)
    keeper_failed("fork");
  if (pid == 0) {
    setsid();
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* if somebody ends the keeper */
    if (getppid() != keeper)
      _exit(127);
#endif
    in = open("/dev/null", O_RDONLY);
    if (in < 0 || dup2(in, 0) < 0 || dup2(output, 1) < 0 ||
        (errors && dup2(output, 2) < 0))
      _exit(127);
    close(in);
    be_program(argv, environment);
  }
  close(output);
  if (handed_over >= 0)
    close(handed_over);
  tell(control, (int) pid);
  keep(control, pid);
}

/* Hear the keeper's next number. */
static int hear(struct program* p) {
  int number;

  if (!readable_by(p->control, deadline()))
    check_failed(__FILE__, __LINE__, "%s has not ended in time", p->path);
  CHECK_EQ(UNINTERRUPTED(read(p->control, &number, sizeof(number))),
           sizeof(number));
  return number;
}

static void start(struct program* p,
                  const char* const argv[],
                  const char* const environment[],
                  bool errors) {
  int type = SOCK_STREAM | SOCK_CLOEXEC;
  int control[2];
  int output[2];

  /* Seen with GCC 12's: in one of some fifty, right before epoll_wait(). */
  if (under_thread_sanitizer())
    skip_test("ThreadSanitizer may hold a program's signal back for ever");
  memset(p, 0, sizeof(*p));
  p->path = argv[0];
  CHECK_EQ(socketpair(AF_UNIX, type, 0, control), 0);
  CHECK_EQ(pipe2(output, O_CLOEXEC), 0);
  p->keeper = fork();
  CHECK(p->keeper >= 0);
  if (p->keeper == 0) {
    close(control[0]);
    be_keeper(control[1], output[1], errors, argv, environment);
  }
  close(control[1]);
  close(output[1]);
  p->control = control[0];
  p->output = output[0];
  p->pid = (pid_t) hear(p);
}

void program_start(struct program* p,
                   const char* const argv[],
                   const char* const environment[]) {
  start(p, argv, environment, false);
}

void program_start_2to1(struct program* p,
                        const char* const argv[],
                        const char* const environment[]) {
  start(p, argv, environment, true);
}

void program_start_with_socket(struct program* p,
                               const char* const argv[],
                               int socket) {
  handed_over = socket;
  start(p, argv, NULL, true);
  handed_over = -1;
}

/* --- Output --------------------------------------------------------------- */

/* The next line, or NULL at the end. */
static const char* next_line(struct program* p, uint64_t time) {
  char* end;
  ssize_t n;

  p->filled -= p->taken;
  memmove(p->buffer, p->buffer + p->taken, p->filled);
  p->taken = 0;
  while ((end = memchr(p->buffer, '\n', p->filled)) == NULL) {
    CHECK(p->filled < sizeof(p->buffer));
    if (!readable_by(p->output, time))
      return "";
    n = UNINTERRUPTED(
        read(p->output, p->buffer + p->filled, sizeof(p->buffer) - p->filled));
    CHECK(n >= 0);
    if (n == 0)
      return NULL;
    p->filled += (size_t) n;
  }
  *end = '\0';
  p->taken = (size_t) (end + 1 - p->buffer);
  return p->buffer;
}

const char* program_line_or_end(struct program* p, const char* prefix) {
  uint64_t time = deadline();
  const char* line;

  do {
    line = next_line(p, time);
    if (line != NULL && uv_hrtime() > time)
      check_failed(
          __FILE__, __LINE__, "no line \"%s...\" from %s", prefix, p->path);
  } while (line != NULL && strncmp(line, prefix, strlen(prefix)) != 0);
  return line;
}

const char* program_line(struct program* p, const char* prefix) {
  const char* line = program_line_or_end(p, prefix);

  if (line == NULL)
    check_failed(__FILE__,
                 __LINE__,
                 "%s has ended its output without a line \"%s...\"",
                 p->path,
                 prefix);
  return line;
}

void program_output_ends(struct program* p) {
  const char* line;

  while ((line = program_line_or_end(p, "")) != NULL)
    if (strncmp(line, "==", 2) != 0)
      check_failed(__FILE__, __LINE__, "%s says more: %s", p->path, line);
}

unsigned program_port(struct program* p, const char* prefix) {
  const char* line = program_line(p, prefix);
  const char* place = strstr(line, " on 127.0.0.1:");
  unsigned port = 0;

  if (place == NULL || sscanf(place, " on 127.0.0.1:%u", &port) != 1 ||
      port == 0 || port > 65535)
    check_failed(__FILE__, __LINE__, "no port in \"%s\"", line);
  return port;
}

/* --- Ending --------------------------------------------------------------- */

void program_signal(const struct program* p, int signum) {
  CHECK(p->pid > 0);
  CHECK_EQ(kill(p->pid, signum), 0);
}

pid_t program_parent(pid_t pid) {
  char text[32];

  snprintf(text, sizeof(text), "%d", (int) pid);
  return parent_of(text);
}

/* Those that its first thread has started. Looking through all of /proc would
 * take long where much runs. */
static unsigned children_of(pid_t pid, pid_t* pids, unsigned most) {
  char name[64];
  unsigned n = 0;
  FILE* file;
  int child;

  snprintf(name, sizeof(name), "/proc/%d/task/%d/children", pid, pid);
  file = fopen(name, "re");
  if (file == NULL)
    return 0;
  while (n < most && fscanf(file, "%d", &child) == 1)
    if (program_parent(child) > 0)
      pids[n++] = child;
  fclose(file);
  return n;
}

/* An orphan may be in neither parent's list, if the first has been read before
 * and the second after the parent's end. It is in the keeper's the next time. */
unsigned program_processes(const struct program* p,
                           pid_t* pids,
                           unsigned most) {
  unsigned n = 0;
  unsigned i;
  int look;

  if (access("/proc/thread-self/children", F_OK) != 0)
    skip_test("there is no /proc/thread-self/children");
  for (look = 0; n == 0 && look < 3; look++) {
    n = children_of(p->keeper, pids, most);
    for (i = 0; i < n; i++)
      n += children_of(pids[i], pids + n, most - n);
  }
  return n;
}

bool program_has_ended(const struct program* p) {
  return p->pid == 0 || readable_by(p->control, 0);
}

int program_wait(struct program* p) {
  CHECK(p->pid > 0);
  CHECK_EQ(hear(p), 0);
  p->pid = 0;
  CHECK_EQ(write(p->control, "", 1), 1);
  return hear(p);
}

unsigned program_end(struct program* p) {
  int status;

  if (p->keeper == 0)
    return 0;
  close(p->output);
  /* Another program's keeper may have it, too. */
  CHECK_EQ(shutdown(p->control, SHUT_WR), 0);
  CHECK_EQ(UNINTERRUPTED(waitpid(p->keeper, &status, 0)), p->keeper);
  close(p->control);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) < MOST_LEFT);
  memset(p, 0, sizeof(*p));
  return (unsigned) WEXITSTATUS(status);
}

int program_finish(struct program* p) {
  int status = program_wait(p);

  CHECK_EQ(program_end(p), 0);
  return status;
}

bool program_make_folder(char* folder, char path[64], char pipe_option[80]) {
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    return false;
  }
  snprintf(path, 64, "%s/socket", folder);
  snprintf(pipe_option, 80, "--pipe=%s", path);
  return true;
}

void program_remove_folder(const char* folder, const char* path) {
  unlink(path); /* of a test that failed */
  rmdir(folder);
}

/* --- Clients -------------------------------------------------------------- */

void wait_readable(int fd) {
  if (!readable_by(fd, deadline()))
    check_failed(__FILE__, __LINE__, "nothing came from %d in time", fd);
}

static int try_address(const struct sockaddr* address, socklen_t size) {
  struct timeval limit = {DEADLINE / 2, 0};
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int err;

  CHECK(fd >= 0);
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
  if (connect_fully(fd, address, size) == 0)
    return fd;
  err = uv_translate_sys_error(errno);
  close(fd);
  return err;
}

int try_connect(unsigned port) {
  struct sockaddr_in address;

  memset(&address, 0, sizeof(address));
  address.sin_family = AF_INET;
  address.sin_port = htons((uint16_t) port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return try_address((const struct sockaddr*) &address, sizeof(address));
}

int try_connect_path(const char* path) {
  struct sockaddr_un address;

  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  CHECK(strlen(path) < sizeof(address.sun_path));
  strcpy(address.sun_path, path);
  return try_address((const struct sockaddr*) &address, sizeof(address));
}

int connect_to(unsigned port) {
  int fd = try_connect(port);

  CHECK(fd >= 0);
  return fd;
}

int connect_to_path(const char* path) {
  int fd = try_connect_path(path);

  CHECK(fd >= 0);
  return fd;
}

void send_text(int fd, const char* text) {
  CHECK(send_fully(fd, text, strlen(text)));
}

void expect_text(int fd, const char* text) {
  size_t size = strlen(text);
  size_t filled = 0;
  char buffer[4096];
  ssize_t n;

  CHECK(size < sizeof(buffer));
  while (filled < size) {
    wait_readable(fd);
    n = UNINTERRUPTED(recv(fd, buffer + filled, size - filled, 0));
    CHECK(n > 0);
    filled += (size_t) n;
  }
  buffer[filled] = '\0';
  CHECK_STR(buffer, text);
}

void expect_end(int fd) {
  char byte;

  wait_readable(fd);
  CHECK_EQ(UNINTERRUPTED(recv(fd, &byte, 1, 0)), 0);
  close(fd);
}

void wait_until(bool (*condition)(void* data), void* data, const char* what) {
  uint64_t time = deadline();

  while (!condition(data)) {
    if (uv_hrtime() > time)
      check_failed(__FILE__, __LINE__, "waited in vain: %s", what);
    uv_sleep(5);
  }
}
