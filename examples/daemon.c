/* SPDX-License-Identifier: MIT
 *
 * A daemon as service managers want it: it stays in the foreground, says when
 * it is ready, reads its configuration again on SIGHUP and says when that is
 * done, opens its log again on SIGUSR1 (logrotate), writes statistics on
 * SIGUSR2, and finishes its work on SIGTERM. A PID file keeps a second one out.
 *
 * Write `message = hello` into a file, and run it with --config=FILE. You
 * should see "work begins" and "work done: hello" each second; "reload: ..."
 * after `kill -HUP`, statistics after `kill -USR2`, "SIGTERM: clean" after
 * `kill`, and then `echo $?` should print 143. As a service: Type=notify and
 * ExecReload=kill -HUP $MAINPID; WatchdogSec= as you like. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uvsig.h>

typedef struct {
  unsigned interval_ms; /* how often there is work */
  unsigned work_ms;     /* how long it takes */
  char message[64];
} config_t;

static uv_loop_t* loop;
static uvsig_t sig;
static uvsig_shutdown_t sd;
static uvsig_shutdown_hold_t hold;
static uvsig_reload_t reload;
static uvsig_watcher_t watchers[2];
static uv_timer_t timer;
static uv_work_t work, reading;
static config_t config;
static struct { /* the thread pool's while it works */
  unsigned work_ms;
  config_t config;
  int err;
} aside;
static const char *config_path, *log_path, *pid_path;
static FILE* log_file;
static int pid_fd = -1;

static int failed(int err, const char* what) {
  if (err < 0)
    fprintf(stderr, "daemon: %s: %s\n", what, uv_strerror(err));
  return err < 0;
}

/* --- The log -------------------------------------------------------------- */

/* A full disk is no reason to end, and before there is a log nothing is
 * said. */
__attribute__((format(printf, 1, 2))) static void say(const char* format, ...) {
  va_list arguments;

  if (log_file == NULL)
    return;
  va_start(arguments, format);
  vfprintf(log_file, format, arguments);
  va_end(arguments);
  fputc('\n', log_file);
  fflush(log_file);
}

/* Open it, or open it again: the old one goes when there is a new one. */
static int open_log(void) {
  FILE* file = log_path != NULL ? fopen(log_path, "ae") : stderr;

  if (file == NULL)
    return uv_translate_sys_error(errno);
  if (log_file != NULL && log_file != stderr)
    fclose(log_file);
  log_file = file;
  return 0;
}

/* --- The configuration ---------------------------------------------------- */

static int read_config(config_t* to) {
  FILE* file = fopen(config_path, "re");
  char line[128], key[16], value[64];
  int err = 0;

  if (file == NULL)
    return uv_translate_sys_error(errno);
  *to = (config_t){.interval_ms = 1000, .work_ms = 100};
  while (err == 0 && fgets(line, sizeof(line), file) != NULL)
    if (sscanf(line, "%15[a-z_] = %63[^\n]", key, value) != 2)
      err = line[0] == '#' || line[0] == '\n' ? 0 : UV_EINVAL;
    else if (strcmp(key, "interval_ms") == 0)
      to->interval_ms = (unsigned) strtoul(value, NULL, 10);
    else if (strcmp(key, "work_ms") == 0)
      to->work_ms = (unsigned) strtoul(value, NULL, 10);
    else if (strcmp(key, "message") == 0)
      strcpy(to->message, value);
    else
      err = UV_EINVAL;
  if (ferror(file))
    err = UV_EIO;
  fclose(file);
  return err == 0 && to->interval_ms == 0 ? UV_EINVAL : err;
}

/* In the thread pool: a file may be slow, and the loop has other things to
 * do. */
static void read_aside(uv_work_t* req) {
  (void) req;
  aside.err = read_config(&aside.config);
}

static void on_tick(uv_timer_t* t);

static void on_config_read(uv_work_t* req, int status) {
  int err = status < 0 ? status : aside.err;

  (void) req;
  if (err < 0) {
    say("no reload: %s: %s", config_path, uv_strerror(err));
    failed(uvsig_reload_fail(&reload, err), "uvsig_reload_fail");
  } else {
    config = aside.config;
    say("reload: %s", config.message);
    if (!uv_is_closing((uv_handle_t*) &timer))
      uv_timer_start(&timer, on_tick, config.interval_ms, config.interval_ms);
    failed(uvsig_reload_finish(&reload), "uvsig_reload_finish");
  }
}

static void on_reload(uvsig_reload_t* r) {
  int err = uv_queue_work(loop, &reading, read_aside, on_config_read);

  if (failed(err, "uv_queue_work"))
    failed(uvsig_reload_fail(r, err), "uvsig_reload_fail");
}

/* --- The work ------------------------------------------------------------- */

static void work_aside(uv_work_t* req) {
  (void) req;
  uv_sleep(aside.work_ms); /* yours is more useful */
}

static void on_work_done(uv_work_t* req, int status) {
  (void) req;
  say("work done: %s", status == 0 ? config.message : uv_strerror(status));
  failed(uvsig_shutdown_release(&hold), "uvsig_shutdown_release");
}

/* A shutdown waits for the work that has begun. */
static void on_tick(uv_timer_t* t) {
  (void) t;
  if (hold.shutdown != NULL) /* still at it */
    return;
  if (failed(uvsig_shutdown_hold(&sd, &hold, "work"), "uvsig_shutdown_hold"))
    return;
  say("work begins");
  aside.work_ms = config.work_ms;
  if (failed(uv_queue_work(loop, &work, work_aside, on_work_done), "work"))
    failed(uvsig_shutdown_release(&hold), "uvsig_shutdown_release");
}

/* --- Signals -------------------------------------------------------------- */

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_stats_t stats;
  int i, err;

  (void) w, (void) info;
  if (signum == SIGUSR1) {
    err = open_log();
    say("log opened again: %s", err == 0 ? "yes" : uv_strerror(err));
    return;
  }
  for (i = 0; i < UVSIG_NSIG; i++) { /* 0 is the sum */
    uvsig_stats(&sig, i, &stats);
    if (stats.caught > 0)
      say("statistics: %s: %" PRIu64 " caught, %" PRIu64 " delivered",
          i == 0 ? "all" : uvsig_signal_name(i),
          stats.caught,
          stats.delivered);
  }
}

static void on_phase(uvsig_shutdown_t* shutdown, uvsig_shutdown_phase_t phase) {
  const uvsig_shutdown_report_t* report = &shutdown->report;

  if (phase >= UVSIG_SHUTDOWN_DRAINING && !uv_is_closing((uv_handle_t*) &timer))
    uv_close((uv_handle_t*) &timer, NULL); /* nothing else begins */
  if (phase == UVSIG_SHUTDOWN_DRAINING)
    say("%s: finishing", report->reason);
  if (phase != UVSIG_SHUTDOWN_DONE)
    return;
  say("%s: %s%s",
      report->reason,
      report->clean ? "clean" : "not finished: ",
      report->held);
  failed(uvsig_reload_stop(&reload), "uvsig_reload_stop");
}

static int start_signals(const uvsig_shutdown_options_t* options) {
  return failed(uvsig_init(loop, &sig, NULL), "uvsig_init") ||
         failed(uvsig_shutdown_init(&sig, &sd, options),
                "uvsig_shutdown_init") ||
         failed(uvsig_reload_init(&sd, &reload), "uvsig_reload_init") ||
         failed(uvsig_reload_start(&reload, on_reload, SIGHUP), "SIGHUP") ||
         failed(uvsig_watcher_init(&sig, &watchers[0]), "uvsig_watcher_init") ||
         failed(uvsig_watcher_init(&sig, &watchers[1]), "uvsig_watcher_init") ||
         failed(uvsig_watcher_start(&watchers[0], on_signal, SIGUSR1),
                "SIGUSR1") ||
         failed(uvsig_watcher_start(&watchers[1], on_signal, SIGUSR2),
                "SIGUSR2");
}

/* --- The PID file --------------------------------------------------------- */

/* That a daemon runs is said by the lock, not by the file: the lock goes with
 * the process, however that ends. */
static int lock_pid_file(void) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  struct stat ours, there;
  int fd = open(pid_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

  if (fd < 0)
    return uv_translate_sys_error(errno);
  if (fcntl(fd, F_SETLK, &lock) != 0 || fstat(fd, &ours) != 0) {
    int err = errno;
    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
      fprintf(stderr, "daemon: runs already: process %ld\n", (long) lock.l_pid);
    close(fd);
    return uv_translate_sys_error(err);
  }
  /* Removed since it was opened, by another one's end: that locks nothing. */
  if (stat(pid_path, &there) != 0 || there.st_dev != ours.st_dev ||
      there.st_ino != ours.st_ino) {
    close(fd);
    return lock_pid_file();
  }
  pid_fd = fd;
  return ftruncate(fd, 0) == 0 && dprintf(fd, "%ld\n", (long) getpid()) > 0
             ? 0
             : uv_translate_sys_error(errno);
}

/* Before the lock goes: after that it may be another's. */
static void remove_pid_file(void) {
  if (pid_fd >= 0 && (unlink(pid_path) != 0 || close(pid_fd) != 0))
    failed(uv_translate_sys_error(errno), pid_path);
}

/* --- The daemon ----------------------------------------------------------- */

/* The PID file first: what follows may belong to another one. */
static int start(void) {
  if ((pid_path != NULL && failed(lock_pid_file(), pid_path)) ||
      failed(open_log(), log_path) ||
      failed(read_config(&config), config_path) ||
      failed(uv_timer_start(
                 &timer, on_tick, config.interval_ms, config.interval_ms),
             "uv_timer_start"))
    return 1;
  say("ready: %s", config.message);
  uvsig_shutdown_ready(&sd); /* a shutdown may have begun; that is no error */
  return 0;
}

int main(int argc, char** argv) {
  static const struct option longopts[] = {
      {"config", required_argument, NULL, 'c'},
      {"grace", required_argument, NULL, 'g'},    /* seconds, 8 */
      {"log", required_argument, NULL, 'l'},      /* standard error */
      {"pid-file", required_argument, NULL, 'p'}, /* none */
      {NULL, 0, NULL, 0}};
  uvsig_shutdown_options_t options;
  int status = 0, c;

  uvsig_shutdown_options_init(&options);
  options.phase_cb = on_phase;
  while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1)
    if (c == 'c')
      config_path = optarg;
    else if (c == 'g')
      options.grace_ms = 1000 * (unsigned) strtoul(optarg, NULL, 10);
    else if (c == 'l')
      log_path = optarg;
    else if (c == 'p')
      pid_path = optarg;
    else
      return 2;
  if (config_path == NULL || optind < argc) {
    fputs("Usage: daemon --config=FILE [--grace=SECONDS] [--log=FILE] "
          "[--pid-file=FILE]\n",
          stderr);
    return 2;
  }

  loop = uv_default_loop();
  if (failed(uv_timer_init(loop, &timer), "uv_timer_init") ||
      start_signals(&options))
    return 1;
  if (start()) {
    status = 1;
    uvsig_shutdown_request(&sd, "not started", UVSIG_SHUTDOWN_GRACEFUL);
  }

  uv_run(loop, UV_RUN_DEFAULT); /* until everything is closed */
  remove_pid_file();
  if (log_file != NULL && log_file != stderr)
    fclose(log_file);
  /* Time may be up before the thread pool is done. */
  failed(uvsig_shutdown_release(&hold), "uvsig_shutdown_release");
  if (sd.report.requests == 0 && failed(uv_loop_close(loop), "uv_loop_close"))
    status = 1;
  c = uvsig_shutdown_exit(&sd); /* by the signal: does not return */
  return status != 0 ? status : c;
}
