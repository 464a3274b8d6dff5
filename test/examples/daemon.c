/* SPDX-License-Identifier: MIT
 *
 * examples/daemon from outside: what its signals do, its PID file, and what it
 * tells a service manager, whose part the test plays.
 */

#include "../lib/program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  BURST = 5,
  AT_ONCE = 4,
  DEBOUNCE_MS = 200,
  MOST_TRIES = 50,
  MOST_SIGNALS = 100000
};

/* Long enough for any machine: what needs no time does not take it. */
#define GRACE "--grace=3600"

static struct program daemon_;
static char folder[] = "/tmp/uvsig-daemon-XXXXXX";
static char config_path[64], log_path[64], pid_path[64], notify_path[64];
static char config_option[80], log_option[80], pid_option[80];

/* --- Files ---------------------------------------------------------------- */

static void write_file(const char* path, const char* text) {
  FILE* file = fopen(path, "we");

  CHECK(file != NULL);
  CHECK(fputs(text, file) >= 0);
  CHECK_EQ(fclose(file), 0);
}

/* The whole file as text, empty if there is none. A log may be long: the daemon
 * works while the test stands still. */
static const char* read_file(const char* path) {
  static char* text;
  static size_t size;
  FILE* file = fopen(path, "re");
  size_t filled = 0;
  size_t n;

  do {
    if (filled + 1 >= size) {
      size += 65536;
      text = realloc(text, size);
      CHECK(text != NULL);
    }
    n = file != NULL ? fread(text + filled, 1, size - filled - 1, file) : 0;
    filled += n;
  } while (n > 0);
  if (file != NULL)
    fclose(file);
  text[filled] = '\0';
  return text;
}

static bool exists(const char* path) {
  return access(path, F_OK) == 0;
}

/* As an editor does it: no half of it is ever seen. */
static void configure(const char* text) {
  char next[80];

  snprintf(next, sizeof(next), "%s.next", config_path);
  write_file(next, text);
  CHECK_EQ(rename(next, config_path), 0);
}

struct awaited {
  const char* path;
  const char* text;
};

static bool has_text(void* data) {
  struct awaited* a = data;

  return strstr(read_file(a->path), a->text) != NULL;
}

static void wait_for_text(const char* path, const char* text) {
  struct awaited a = {path, text};

  wait_until(has_text, &a, text);
}

/* --- The daemon ----------------------------------------------------------- */

/* Its log is standard error, and here its output. */
static void launch(const char* const environment[]) {
  program_start_2to1(&daemon_,
                     LIST("examples/daemon", config_option, pid_option, GRACE),
                     environment);
}

static void start(const char* configuration) {
  configure(configuration);
  launch(NULL);
  program_line(&daemon_, "ready: ");
}

static void check_status(int status) {
  CHECK(WIFSIGNALED(status));
  CHECK_EQ(WTERMSIG(status), SIGTERM);
  CHECK(!exists(pid_path));
}

/* The last line says that it ended in time, with nothing under way. */
static void terminate(void) {
  program_signal(&daemon_, SIGTERM);
  program_line(&daemon_, "SIGTERM: clean");
  program_output_ends(&daemon_);
  check_status(program_finish(&daemon_));
}

/* --- Work ----------------------------------------------------------------- */

static void work_that_has_begun_is_finished_first(void) {
  unsigned begun = 1;
  unsigned done = 0;
  const char* line;

  start("interval_ms = 1\nwork_ms = 500\nmessage = hello\n");
  program_line(&daemon_, "work begins");
  program_signal(&daemon_, SIGTERM);
  for (;;) {
    line = program_line(&daemon_, "");
    if (strcmp(line, "SIGTERM: clean") == 0)
      break;
    begun += strcmp(line, "work begins") == 0;
    done += strcmp(line, "work done: hello") == 0;
  }
  CHECK_EQ(done, begun);
  program_output_ends(&daemon_);
  check_status(program_finish(&daemon_));
}

static void work_is_done_again_and_again(void) {
  unsigned i;

  start("interval_ms = 1\nwork_ms = 1\nmessage = hello\n");
  for (i = 0; i < 5; i++)
    CHECK_STR(program_line(&daemon_, "work done: "), "work done: hello");
  terminate();
}

/* The second signal forces; nobody waits for the thread pool. False: the
 * machine was so slow that the hard deadline has ended the process first. */
static bool names_its_work(void) {
  const char* line;
  int status;

  start("interval_ms = 1\nwork_ms = 3600000\nmessage = never\n");
  program_line(&daemon_, "work begins");
  program_signal(&daemon_, SIGTERM);
  CHECK_STR(program_line(&daemon_, ""), "SIGTERM: finishing");
  uv_sleep(DEBOUNCE_MS + 50); /* what comes before does not count */
  program_signal(&daemon_, SIGTERM);
  line = program_line_or_end(&daemon_, "");
  if (line != NULL) {
    CHECK_STR(line, "SIGTERM: not finished: work");
    program_output_ends(&daemon_);
  }
  status = program_finish(&daemon_);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGTERM)
    return false;
  CHECK(line != NULL);
  check_status(status);
  return true;
}

static void work_that_does_not_end_in_time_is_named(void) {
  unsigned tries = 0;

  while (!names_its_work())
    CHECK(++tries < MOST_TRIES);
}

/* --- Reload --------------------------------------------------------------- */

static void sighup_takes_a_changed_configuration(void) {
  start("interval_ms = 3600000\nmessage = one\n");
  configure("# often\n\ninterval_ms = 1\nwork_ms = 1\nmessage = two words\n");
  program_signal(&daemon_, SIGHUP);
  CHECK_STR(program_line(&daemon_, ""), "reload: two words");
  CHECK_STR(program_line(&daemon_, "work done"), "work done: two words");
  terminate();
}

static void a_wrong_configuration_is_not_taken(void) {
  const char* const wrong[] = {
      "nonsense\n", "mesage = two\n", "interval_ms = 0\n"};
  unsigned i;

  start("interval_ms = 1\nwork_ms = 1\nmessage = one\n");
  for (i = 0; i < 3; i++) {
    configure(wrong[i]);
    program_signal(&daemon_, SIGHUP);
    CHECK(strstr(program_line(&daemon_, "no reload: "), "invalid") != NULL);
  }
  CHECK_EQ(unlink(config_path), 0);
  program_signal(&daemon_, SIGHUP);
  CHECK(strstr(program_line(&daemon_, "no reload: "), "no such file") != NULL);
  CHECK_STR(program_line(&daemon_, "work done"), "work done: one");
  terminate();
}

/* A value has 63 characters at most. */
#define ZEROS_21 "000000000000000000000"
#define ZEROS_63 ZEROS_21 ZEROS_21 ZEROS_21

/* No part of it is a line of its own. */
static void a_comment_may_be_long(void) {
  start("#" ZEROS_63 ZEROS_63 "message = no\n"
        "interval_ms = 3600000\nmessage = one\n");
  configure("interval_ms = 3600000\nmessage = two\n#" ZEROS_63 ZEROS_63
            "nonsense");
  program_signal(&daemon_, SIGHUP);
  CHECK_STR(program_line(&daemon_, ""), "reload: two");
  terminate();
}

/* The beginning of a value is another value. */
static void a_value_that_does_not_fit_is_refused(void) {
  const char* const wrong[] = {"message = 1" ZEROS_63 "\n",
                               "message = 1" ZEROS_63,
                               "work_ms = " ZEROS_63 "1\n"};
  unsigned i;

  start("interval_ms = 3600000\nmessage = one\n");
  for (i = 0; i < 3; i++) {
    configure(wrong[i]);
    program_signal(&daemon_, SIGHUP);
    CHECK(strstr(program_line(&daemon_, ""), "invalid") != NULL);
  }
  configure("interval_ms = 3600000\nmessage = " ZEROS_63 "\nwork_ms = " ZEROS_63
            "\n");
  program_signal(&daemon_, SIGHUP);
  CHECK_STR(program_line(&daemon_, ""), "reload: " ZEROS_63);
  terminate();
}

static void make_fifo(void) {
  unlink(config_path);
  CHECK_EQ(mkfifo(config_path, 0600), 0);
}

/* A FIFO as the configuration: the daemon reads until we have written it. */
static bool fifo_is_read(void* data) {
  int* fd = data;

  *fd = open(config_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (*fd < 0)
    CHECK_EQ(errno, ENXIO); /* nobody reads */
  return *fd >= 0;
}

/* From here to feed() the daemon is in the middle of reading. */
static int await_reader(void) {
  int fd;

  wait_until(fifo_is_read, &fd, "the configuration to be read");
  return fd;
}

static void feed(int fd, const char* text) {
  CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
  close(fd);
}

static void start_with_fifo(void) {
  make_fifo();
  launch(NULL);
  feed(await_reader(), "interval_ms = 3600000\nmessage = start\n");
  CHECK_STR(program_line(&daemon_, ""), "ready: start");
}

/* All that were sent: the kernel may hand a later signal out first, and
 * make one of several. */
static void wait_for_delivery_of_sighups(void) {
  unsigned caught;
  unsigned delivered;
  const char* line;

  do {
    program_signal(&daemon_, SIGHUP);
    program_signal(&daemon_, SIGUSR2);
    line = program_line(&daemon_, "statistics: SIGHUP: ");
    CHECK_EQ(sscanf(line,
                    "statistics: SIGHUP: %u caught, %u delivered",
                    &caught,
                    &delivered),
             2);
    program_line(&daemon_, "statistics: SIGUSR2: ");
  } while (caught < 2 || delivered < caught);
}

static void a_burst_of_sighups_is_one_reload_more(void) {
  unsigned i;
  int fd;

  start_with_fifo();
  program_signal(&daemon_, SIGHUP);
  fd = await_reader();
  for (i = 0; i < BURST; i++)
    program_signal(&daemon_, SIGHUP);
  wait_for_delivery_of_sighups();
  feed(fd, "interval_ms = 3600000\nmessage = first\n");
  CHECK_STR(program_line(&daemon_, ""), "reload: first");
  feed(await_reader(), "interval_ms = 3600000\nmessage = last\n");
  CHECK_STR(program_line(&daemon_, ""), "reload: last");
  terminate(); /* which would wait for another one */
  unlink(config_path);
}

static void a_shutdown_waits_for_a_reload_and_begins_none(void) {
  int fd;

  start_with_fifo();
  program_signal(&daemon_, SIGHUP);
  fd = await_reader();
  program_signal(&daemon_, SIGHUP); /* pending */
  wait_for_delivery_of_sighups();
  program_signal(&daemon_, SIGTERM);
  program_line(&daemon_, "SIGTERM: finishing");
  program_signal(&daemon_, SIGHUP);
  feed(fd, "message = late\n");
  CHECK_STR(program_line(&daemon_, ""), "reload: late");
  CHECK_STR(program_line(&daemon_, ""), "SIGTERM: clean");
  program_output_ends(&daemon_);
  check_status(program_finish(&daemon_));
  unlink(config_path);
}

/* --- The log, and statistics ---------------------------------------------- */

static void start_with_log(const char* configuration) {
  unlink(log_path);
  configure(configuration);
  program_start(&daemon_,
                LIST("examples/daemon", config_option, log_option, GRACE),
                NULL);
  wait_for_text(log_path, "ready: hello\n");
}

static void sigusr1_opens_a_log_that_was_renamed_again(void) {
  char old[80];
  off_t size;
  struct stat st;

  start_with_log("interval_ms = 1\nwork_ms = 1\nmessage = hello\n");
  wait_for_text(log_path, "work done: hello\n");
  snprintf(old, sizeof(old), "%s.1", log_path);
  CHECK_EQ(rename(log_path, old), 0);
  program_signal(&daemon_, SIGUSR1);
  wait_for_text(log_path, "log opened again: yes\n");
  CHECK(strstr(read_file(old), "log opened again") == NULL);
  CHECK_EQ(stat(old, &st), 0);
  size = st.st_size;
  wait_for_text(log_path, "work done: hello\n");
  program_signal(&daemon_, SIGTERM);
  CHECK_EQ(WTERMSIG(program_finish(&daemon_)), SIGTERM);
  CHECK(strstr(read_file(log_path), "\nSIGTERM: clean\n") != NULL);
  CHECK_EQ(stat(old, &st), 0);
  CHECK_EQ(st.st_size, size);
  unlink(log_path);
  unlink(old);
}

static void a_log_that_cannot_be_opened_again_goes_on(void) {
  char old[80];

  start_with_log("interval_ms = 3600000\nmessage = hello\n");
  snprintf(old, sizeof(old), "%s.1", log_path);
  CHECK_EQ(rename(log_path, old), 0);
  CHECK_EQ(mkdir(log_path, 0700), 0);
  program_signal(&daemon_, SIGUSR1);
  wait_for_text(old, "log opened again: illegal operation on a directory\n");
  program_signal(&daemon_, SIGTERM);
  CHECK_EQ(WTERMSIG(program_finish(&daemon_)), SIGTERM);
  CHECK(strstr(read_file(old), "\nSIGTERM: clean\n") != NULL);
  CHECK_EQ(rmdir(log_path), 0);
  unlink(old);
}

/* The last line is written where a SIGUSR1 may be too late for it. */
static void the_last_line_is_in_the_file_that_has_the_name(void) {
  char old[80];

  start_with_log("interval_ms = 3600000\nmessage = hello\n");
  snprintf(old, sizeof(old), "%s.1", log_path);
  CHECK_EQ(rename(log_path, old), 0);
  program_signal(&daemon_, SIGTERM);
  CHECK_EQ(WTERMSIG(program_finish(&daemon_)), SIGTERM);
  CHECK_STR(read_file(log_path), "SIGTERM: clean\n");
  CHECK(strstr(read_file(old), "\nSIGTERM: finishing\n") != NULL);
  unlink(log_path);
  unlink(old);
}

/* From the PID file on, when the daemon still waits for its configuration. */
static void sigusr1_does_not_end_it_at_any_time(void) {
  unsigned round;
  unsigned i;
  int fd;

  for (round = 0; round < scaled(10); round++) {
    unlink(log_path);
    make_fifo();
    program_start(
        &daemon_,
        LIST("examples/daemon", config_option, log_option, pid_option, GRACE),
        NULL);
    fd = await_reader();
    CHECK(exists(pid_path));
    program_signal(&daemon_, SIGUSR1);
    feed(fd, "interval_ms = 3600000\nmessage = hello\n");
    wait_for_text(log_path, "ready: hello\nlog opened again: yes\n");
    program_signal(&daemon_, SIGTERM);
    for (i = 0; i < MOST_SIGNALS && !program_has_ended(&daemon_); i++) {
      program_signal(&daemon_, SIGUSR1);
      uv_sleep(0); /* or it would have no time for anything else */
    }
    check_status(program_finish(&daemon_));
    CHECK(strstr(read_file(log_path), "\nSIGTERM: clean\n") != NULL);
  }
  unlink(config_path);
  unlink(log_path);
}

/* That the configuration is read twice shows that the line between has not
 * ended it. A new FIFO is not mistaken for the old one. */
static void check_lives(void) {
  unsigned i;
  int fd;

  for (i = 0; i < 2; i++) {
    make_fifo();
    program_signal(&daemon_, SIGHUP);
    fd = await_reader();
    make_fifo();
    feed(fd, "interval_ms = 3600000\nmessage = nobody reads this\n");
  }
}

static void a_reader_of_its_output_that_has_gone_does_not_end_it(void) {
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

  CHECK(null >= 0);
  start_with_fifo();
  CHECK_EQ(dup2(null, daemon_.output), daemon_.output);
  close(null);
  check_lives();
  program_signal(&daemon_, SIGTERM);
  check_status(program_finish(&daemon_));
  unlink(config_path);
}

static void nor_does_a_reader_of_its_log(void) {
  int reader;
  int fd;

  unlink(log_path);
  CHECK_EQ(mkfifo(log_path, 0600), 0);
  reader = open(log_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  CHECK(reader >= 0);
  make_fifo();
  program_start(&daemon_,
                LIST("examples/daemon", config_option, log_option, GRACE),
                NULL);
  fd = await_reader();
  feed(fd, "interval_ms = 3600000\nmessage = start\n");
  wait_readable(reader);
  close(reader);
  check_lives();
  program_signal(&daemon_, SIGUSR1); /* which must not wait for a reader */
  check_lives();
  program_signal(&daemon_, SIGTERM);
  CHECK_EQ(WTERMSIG(program_finish(&daemon_)), SIGTERM);
  unlink(config_path);
  unlink(log_path);
}

static void sigusr2_writes_statistics(void) {
  start("interval_ms = 3600000\nmessage = hello\n");
  program_signal(&daemon_, SIGHUP);
  CHECK_STR(program_line(&daemon_, ""), "reload: hello");
  program_signal(&daemon_, SIGUSR2);
  CHECK_STR(program_line(&daemon_, ""),
            "statistics: all: 2 caught, 2 delivered");
  CHECK_STR(program_line(&daemon_, ""),
            "statistics: SIGHUP: 1 caught, 1 delivered");
  CHECK_STR(program_line(&daemon_, ""),
            "statistics: SIGUSR2: 1 caught, 1 delivered");
  terminate();
}

/* --- The PID file --------------------------------------------------------- */

static pid_t owner_of_lock(void) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int fd = open(pid_path, O_RDWR | O_CLOEXEC);

  CHECK(fd >= 0);
  CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
  close(fd);
  return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static void check_pid_file(pid_t pid) {
  char text[32];

  snprintf(text, sizeof(text), "%ld\n", (long) pid);
  CHECK_STR(read_file(pid_path), text);
  CHECK_EQ(owner_of_lock(), pid);
}

static void the_pid_file_is_written_and_locked_and_removed(void) {
  start("interval_ms = 3600000\n");
  check_pid_file(daemon_.pid);
  terminate(); /* and looks */
}

static void a_second_daemon_is_refused(void) {
  struct program second;
  char line[128];
  int status;

  start("interval_ms = 3600000\nmessage = first\n");
  program_start_2to1(
      &second, LIST("examples/daemon", config_option, pid_option), NULL);
  snprintf(line,
           sizeof(line),
           "daemon: %s: runs already: process %ld",
           pid_path,
           (long) daemon_.pid);
  CHECK_STR(program_line(&second, ""), line);
  CHECK(program_line_or_end(&second, "ready") == NULL);
  status = program_finish(&second);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 1);
  check_pid_file(daemon_.pid);
  program_signal(&daemon_, SIGHUP);
  CHECK_STR(program_line(&daemon_, ""), "reload: first");
  terminate();
}

static void what_was_killed_keeps_no_other_out(void) {
  pid_t first;

  start("interval_ms = 3600000\n");
  first = daemon_.pid;
  program_signal(&daemon_, SIGKILL);
  CHECK_EQ(WTERMSIG(program_finish(&daemon_)), SIGKILL);
  CHECK(exists(pid_path));
  CHECK_EQ(owner_of_lock(), 0);
  write_file(pid_path, "longer than a number\n");
  start("interval_ms = 3600000\n");
  CHECK(daemon_.pid != first);
  check_pid_file(daemon_.pid);
  terminate();
}

static void of_several_at_once_one_runs(void) {
  struct program all[AT_ONCE];
  unsigned ready = 0;
  unsigned round;
  unsigned i;
  int status;

  configure("interval_ms = 3600000\n");
  for (round = 0; round < scaled(5); round++) {
    for (i = 0; i < AT_ONCE; i++)
      program_start_2to1(
          &all[i],
          LIST("examples/daemon", config_option, pid_option, GRACE),
          NULL);
    for (i = 0, ready = 0; i < AT_ONCE; i++) {
      if (strncmp(program_line(&all[i], ""), "ready: ", 7) != 0) {
        status = program_finish(&all[i]);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 1);
      } else {
        ready++;
        daemon_ = all[i];
      }
    }
    CHECK_EQ(ready, 1);
    check_pid_file(daemon_.pid);
    terminate();
  }
}

static bool has_foreign_call(void* data) {
  (void) data;
  return foreign_calls > 0;
}

/* A lease holds the daemon up in open(), with the file already found; then the
 * file is removed, as by another daemon that ends, and replaced by one that has
 * a lock, or not. Returns the new one. */
static int replace_while_it_opens(bool with_lock) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int fd = open(pid_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  int next;

  CHECK(fd >= 0);
  install_handler(SIGIO, count_foreign);
#ifdef F_SETLEASE
  if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0)
#endif
    skip_test("there are no leases on files here");
  configure("interval_ms = 3600000\n");
  launch(NULL);
  wait_until(has_foreign_call, NULL, "the daemon to open the PID file");
  CHECK_EQ(unlink(pid_path), 0);
  write_file(pid_path, "a new one\n");
  next = open(pid_path, O_RDWR | O_CLOEXEC);
  CHECK(next >= 0);
  CHECK(!with_lock || fcntl(next, F_SETLK, &lock) == 0);
  close(fd); /* the daemon goes on */
  return next;
}

static void a_file_that_was_removed_is_not_locked_in_vain(void) {
  int next = replace_while_it_opens(false);

  program_line(&daemon_, "ready: ");
  check_pid_file(daemon_.pid);
  terminate();
  close(next);
}

static void nor_is_the_next_one_taken_from_another_daemon(void) {
  int next = replace_while_it_opens(true);
  char line[128];

  snprintf(line,
           sizeof(line),
           "daemon: %s: runs already: process %ld",
           pid_path,
           (long) getpid());
  CHECK_STR(program_line(&daemon_, ""), line);
  CHECK_EQ(WEXITSTATUS(program_finish(&daemon_)), 1);
  CHECK_STR(read_file(pid_path), "a new one\n");
  CHECK_EQ(unlink(pid_path), 0);
  close(next);
}

static void fails_with(int expected, const char* option, const char* message) {
  int status;

  program_start_2to1(
      &daemon_, LIST("examples/daemon", pid_option, option), NULL);
  CHECK(strstr(program_line(&daemon_, ""), message) != NULL);
  status = program_finish(&daemon_);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), expected);
  CHECK(!exists(pid_path));
}

/* Read the PID file for as long as the test runs. */
static atomic_bool is_watched, is_torn;

static void watch_pid_file(void* data) {
  char text[64];
  char* end;
  ssize_t n;
  int fd;

  (void) data;
  while (is_watched) {
    fd = open(pid_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      continue;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    strtol(text, &end, 10);
    if (end == text || strcmp(end, "\n") != 0)
      is_torn = true;
  }
}

static void the_pid_file_is_a_whole_number_at_any_time(void) {
  uv_thread_t thread;
  unsigned round;

  unlink(pid_path); /* what a test that was skipped has left */
  is_watched = true;
  CHECK_EQ(uv_thread_create(&thread, watch_pid_file, NULL), 0);
  for (round = 0; round < scaled(40) && !is_torn; round++) {
    start("interval_ms = 3600000\n");
    if (round % 2 == 0) {
      terminate();
    } else {
      program_signal(&daemon_, SIGKILL); /* and the next one finds the file */
      program_finish(&daemon_);
    }
  }
  is_watched = false;
  CHECK_EQ(uv_thread_join(&thread), 0);
  CHECK(!is_torn);
  unlink(pid_path);
}

/* As on a full disk: it may not write a byte. */
static void a_pid_file_that_cannot_be_written_stays_as_it_was(void) {
  struct rlimit limit;
  struct rlimit none;

  configure("interval_ms = 3600000\n");
  write_file(pid_path, "a stale one\n");
  CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
  CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  none = limit;
  none.rlim_cur = 0;
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  launch(NULL);
  CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  CHECK(program_line_or_end(&daemon_, "ready") == NULL);
  CHECK_EQ(WEXITSTATUS(program_finish(&daemon_)), 1);
  CHECK_STR(read_file(pid_path), "a stale one\n");
  unlink(pid_path);
}

/* It exits with 1, and says this of the PID file. */
static void check_refused(void) {
  char line[128];
  int status;

  configure("interval_ms = 3600000\n");
  launch(NULL);
  snprintf(line, sizeof(line), "daemon: %s: not a regular file", pid_path);
  CHECK_STR(program_line(&daemon_, ""), line);
  program_output_ends(&daemon_);
  status = program_finish(&daemon_);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 1);
}

static void a_pid_file_that_is_a_symbolic_link_is_refused(void) {
  struct stat st;

  unlink(pid_path); /* of a test that failed, or was skipped in the middle */
  unlink(log_path);
  write_file(log_path, "not to be touched\n");
  CHECK_EQ(symlink(log_path, pid_path), 0);
  check_refused();
  CHECK_STR(read_file(log_path), "not to be touched\n");
  CHECK_EQ(lstat(pid_path, &st), 0);
  CHECK(S_ISLNK(st.st_mode));
  CHECK_EQ(unlink(log_path), 0); /* and one that leads nowhere */
  check_refused();
  CHECK(!exists(log_path));
  CHECK_EQ(unlink(pid_path), 0);
}

/* Nobody's /dev/null is at stake: this one is the test's own. */
static void what_is_no_regular_file_is_refused_and_left_alone(void) {
  const mode_t kinds[] = {S_IFIFO, S_IFSOCK, S_IFCHR};
  struct stat st;
  unsigned i;

  unlink(pid_path); /* of a test that failed */
  for (i = 0; i < 3; i++) {
    if (mknod(pid_path, kinds[i] | 0600, makedev(1, 3)) != 0) {
      CHECK_EQ(errno, EPERM); /* devices are for root */
      CHECK_EQ(kinds[i], S_IFCHR);
      return;
    }
    check_refused();
    CHECK_EQ(lstat(pid_path, &st), 0);
    CHECK_EQ(st.st_mode, kinds[i] | 0600);
    CHECK_EQ(unlink(pid_path), 0);
  }
}

static void it_removes_no_file_but_its_own(void) {
  start("interval_ms = 3600000\n");
  CHECK_EQ(unlink(pid_path), 0);
  write_file(pid_path, "another one's\n");
  program_signal(&daemon_, SIGTERM);
  program_line(&daemon_, "SIGTERM: clean");
  program_output_ends(&daemon_);
  CHECK_EQ(WTERMSIG(program_finish(&daemon_)), SIGTERM);
  CHECK_STR(read_file(pid_path), "another one's\n");
  CHECK_EQ(unlink(pid_path), 0);
}

static unsigned count_pid_files(void) {
  DIR* dir = opendir(folder);
  struct dirent* entry;
  unsigned count = 0;

  CHECK(dir != NULL);
  while ((entry = readdir(dir)) != NULL)
    count += strncmp(entry->d_name, "pid", 3) == 0;
  closedir(dir);
  return count;
}

/* Whatever name a PID file has before its own. */
static void no_other_file_is_left_beside_it(void) {
  struct program second;

  start("interval_ms = 3600000\n");
  CHECK_EQ(count_pid_files(), 1);
  program_start_2to1(
      &second, LIST("examples/daemon", config_option, pid_option), NULL);
  CHECK_EQ(WEXITSTATUS(program_finish(&second)), 1);
  CHECK_EQ(count_pid_files(), 1);
  terminate();
  CHECK_EQ(count_pid_files(), 0);
}

static void help_is_printed(void) {
  program_start(&daemon_, LIST("examples/daemon", "--help"), NULL);
  program_line(&daemon_, "Usage: daemon ");
  program_line(&daemon_, "  --help");
  program_output_ends(&daemon_);
  CHECK_EQ(program_finish(&daemon_), 0);
}

static void it_says_why_it_cannot_start(void) {
  unlink(config_path);
  fails_with(1, config_option, "no such file");
  configure("what = is this\n");
  fails_with(1, config_option, "invalid");
  fails_with(2, "argument", "Usage: ");
  fails_with(2, "--what", "unrecognized");
  fails_with(2, "--grace=1s", "'1s'");
}

/* --- The service manager -------------------------------------------------- */

static char heard[65536]; /* all messages since open_notify(), in lines */

static int open_notify(const char* name) {
  struct timeval limit = {120, 0};
  struct sockaddr_un address;
  socklen_t size;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  CHECK(fd >= 0);
  CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
  memset(&address, 0, sizeof(address));
  address.sun_family = AF_UNIX;
  CHECK(strlen(name) < sizeof(address.sun_path));
  unlink(name); /* of a test that failed */
  strcpy(address.sun_path, name);
  size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(name));
  if (name[0] == '@')
    address.sun_path[0] = '\0';
  CHECK_EQ(bind(fd, (struct sockaddr*) &address, size), 0);
  heard[0] = '\0';
  return fd;
}

/* Take one message, if one comes before the deadline, or, without `wait`, is
 * there. It ends with a line's end here. */
static bool hear(int fd, bool wait) {
  size_t filled = strlen(heard);
  ssize_t n;

  if (wait)
    wait_readable(fd);
  n = recv(fd, heard + filled, sizeof(heard) - filled - 2, MSG_DONTWAIT);
  if (n <= 0)
    return false;
  filled += (size_t) n;
  if (heard[filled - 1] != '\n')
    heard[filled++] = '\n';
  heard[filled] = '\0';
  return true;
}

/* How many lines begin like that. */
static unsigned count_heard(const char* prefix) {
  const char* line;
  unsigned count = 0;

  for (line = heard; *line != '\0'; line = strchr(line, '\n') + 1)
    count += strncmp(line, prefix, strlen(prefix)) == 0;
  return count;
}

static void hear_until(int fd, const char* prefix, unsigned count) {
  while (count_heard(prefix) < count)
    CHECK(hear(fd, true));
}

static uint64_t number_after(const char* name) {
  const char* place = strstr(heard, name);

  CHECK(place != NULL);
  return strtoull(place + strlen(name), NULL, 10);
}

static void start_notifying(const char* name, const char* more) {
  char socket_variable[80];

  snprintf(socket_variable, sizeof(socket_variable), "NOTIFY_SOCKET=%s", name);
  configure("interval_ms = 3600000\nmessage = hello\n");
  launch(LIST(socket_variable, more));
}

static void check_notified(const char* name) {
  uint64_t before;
  uint64_t told;
  int fd = open_notify(name);

  start_notifying(name, NULL);
  hear_until(fd, "READY=1", 1);
  CHECK_EQ(count_heard("RELOADING="), 0);
  CHECK_EQ(count_heard("STOPPING="), 0);
  CHECK_EQ(count_heard("WATCHDOG="), 0);
  program_line(&daemon_, "ready: ");

  before = uv_hrtime() / 1000;
  program_signal(&daemon_, SIGHUP);
  hear_until(fd, "RELOADING=1", 1);
  CHECK_EQ(count_heard("READY=1"), 1);
  told = number_after("MONOTONIC_USEC=");
  CHECK(told >= before);
  CHECK(told <= uv_hrtime() / 1000);
  hear_until(fd, "READY=1", 2);
  CHECK_EQ(count_heard("STOPPING="), 0);

  terminate();
  while (hear(fd, false))
    ;
  CHECK_EQ(count_heard("READY=1"), 2);
  CHECK_EQ(count_heard("RELOADING=1"), 1);
  CHECK_EQ(count_heard("STOPPING=1"), 1);
  CHECK(number_after("EXTEND_TIMEOUT_USEC=") > 0);
  close(fd);
}

static void a_service_manager_is_told(void) {
  check_notified(notify_path);
  unlink(notify_path);
}

static void a_service_manager_with_an_abstract_socket_is_told(void) {
  char name[64];

  abstract_name(name, sizeof(name));
  check_notified(name);
}

static void a_burst_of_reloads_is_told_in_pairs(void) {
  int fd = open_notify(notify_path);
  int fifo;

  start_notifying(notify_path, NULL);
  hear_until(fd, "READY=1", 1);
  CHECK_EQ(unlink(config_path), 0);
  CHECK_EQ(mkfifo(config_path, 0600), 0);
  program_line(&daemon_, "ready: ");
  program_signal(&daemon_, SIGHUP);
  fifo = await_reader();
  program_signal(&daemon_, SIGHUP);
  wait_for_delivery_of_sighups();
  feed(fifo, "message = one\n");
  program_line(&daemon_, "reload: one");
  feed(await_reader(), "message = two\n");
  program_line(&daemon_, "reload: two");
  hear_until(fd, "READY=1", 2);
  terminate();
  while (hear(fd, false))
    ;
  /* before the first, and after the last */
  CHECK_EQ(count_heard("RELOADING=1"), 1);
  CHECK_EQ(count_heard("READY=1"), 2);
  CHECK_EQ(count_heard("STOPPING=1"), 1);
  close(fd);
  unlink(notify_path);
  unlink(config_path);
}

static void the_watchdog_hears_from_the_loop(void) {
  int fd = open_notify(notify_path);

  start_notifying(notify_path, "WATCHDOG_USEC=100000");
  hear_until(fd, "WATCHDOG=1", 5);
  CHECK_EQ(count_heard("READY=1"), 1);
  program_line(&daemon_, "ready: ");
  terminate(); /* though nobody reads the rest */
  close(fd);
  unlink(notify_path);
}

static void the_watchdog_of_another_process_hears_nothing(void) {
  int fd = open_notify(notify_path);
  char socket_variable[80];
  char pid_variable[64];

  snprintf(socket_variable,
           sizeof(socket_variable),
           "NOTIFY_SOCKET=%s",
           notify_path);
  snprintf(
      pid_variable, sizeof(pid_variable), "WATCHDOG_PID=%ld", (long) getpid());
  configure("interval_ms = 100\nwork_ms = 1\nmessage = hello\n");
  launch(LIST(socket_variable, "WATCHDOG_USEC=20000", pid_variable));
  program_line(&daemon_, "work done: "); /* 100 ms: ten times half of it */
  terminate();
  while (hear(fd, false))
    ;
  CHECK_EQ(count_heard("READY=1"), 1);
  CHECK_EQ(count_heard("WATCHDOG=1"), 0);
  close(fd);
  unlink(notify_path);
}

/* --- All ------------------------------------------------------------------ */

static void set_paths(void) {
  snprintf(config_path, sizeof(config_path), "%s/config", folder);
  snprintf(log_path, sizeof(log_path), "%s/log", folder);
  snprintf(pid_path, sizeof(pid_path), "%s/pid", folder);
  snprintf(notify_path, sizeof(notify_path), "%s/notify", folder);
  snprintf(config_option, sizeof(config_option), "--config=%s", config_path);
  snprintf(log_option, sizeof(log_option), "--log=%s", log_path);
  snprintf(pid_option, sizeof(pid_option), "--pid-file=%s", pid_path);
}

/* Also what a test that failed has left. */
static void remove_folder(void) {
  const char* const names[] = {
      "config", "config.next", "log", "log.1", "pid", "notify"};
  char path[128];
  size_t i;

  for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
    remove(path);
  }
  rmdir(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(work_that_has_begun_is_finished_first),
      TEST(work_that_does_not_end_in_time_is_named),
      TEST(work_is_done_again_and_again),
      TEST(sighup_takes_a_changed_configuration),
      TEST(a_wrong_configuration_is_not_taken),
      TEST(a_comment_may_be_long),
      TEST(a_value_that_does_not_fit_is_refused),
      TEST(a_burst_of_sighups_is_one_reload_more),
      TEST(a_shutdown_waits_for_a_reload_and_begins_none),
      TEST(sigusr1_opens_a_log_that_was_renamed_again),
      TEST(a_log_that_cannot_be_opened_again_goes_on),
      TEST(the_last_line_is_in_the_file_that_has_the_name),
      TEST(sigusr1_does_not_end_it_at_any_time),
      TEST(a_reader_of_its_output_that_has_gone_does_not_end_it),
      TEST(nor_does_a_reader_of_its_log),
      TEST(sigusr2_writes_statistics),
      TEST(the_pid_file_is_written_and_locked_and_removed),
      TEST(a_second_daemon_is_refused),
      TEST(what_was_killed_keeps_no_other_out),
      TEST(of_several_at_once_one_runs),
      TEST(a_file_that_was_removed_is_not_locked_in_vain),
      TEST(nor_is_the_next_one_taken_from_another_daemon),
      TEST(the_pid_file_is_a_whole_number_at_any_time),
      TEST(a_pid_file_that_cannot_be_written_stays_as_it_was),
      TEST(a_pid_file_that_is_a_symbolic_link_is_refused),
      TEST(what_is_no_regular_file_is_refused_and_left_alone),
      TEST(it_removes_no_file_but_its_own),
      TEST(no_other_file_is_left_beside_it),
      TEST(help_is_printed),
      TEST(it_says_why_it_cannot_start),
      TEST(a_service_manager_is_told),
      TEST(a_service_manager_with_an_abstract_socket_is_told),
      TEST(a_burst_of_reloads_is_told_in_pairs),
      TEST(the_watchdog_hears_from_the_loop),
      TEST(the_watchdog_of_another_process_hears_nothing),
  };
  int failures;

  harness_init();
  if (mkdtemp(folder) == NULL) {
    perror(folder);
    return 1;
  }
  set_paths();
  failures = cmocka_run_group_tests(tests, NULL, NULL);
  remove_folder();
  return failures;
}
