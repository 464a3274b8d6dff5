/* SPDX-License-Identifier: MIT
 *
 * A daemon as service managers want it: it stays in the foreground, says when
 * it is ready, reads its configuration again on SIGHUP and says when that is
 * done, opens its log again on SIGUSR1 (logrotate), writes statistics on
 * SIGUSR2, and finishes its work on SIGTERM. A PID file keeps a second one out.
 *
 * Write `message = hello` into a file, and run it with --config=FILE. You
 * should see "work begins" and "work done: hello" each second; "reload: ..."
 * after `kill -HUP`, statistics after `kill -USR2`, and after `kill` "SIGTERM:
 * clean", and 143 from `echo $?`. As a service it is Type=notify, with
 * ExecReload=kill -HUP $MAINPID and WatchdogSec= as you like. */
#include "common.h"
#include "daemon-config.h"
#include "log-file.h"
#include "pid-file.h"

#include <inttypes.h>
#include <stdio.h>
#include <uvsig.h>

const char* const program = "daemon";
static uvsig_t sig;
static uvsig_shutdown_t sd;
static uvsig_shutdown_work_t work;
static uvsig_reload_t reload;
static uvsig_watcher_t watchers[2];
static uv_timer_t timer;
static uv_work_t reading;
static daemon_config_t config;
static struct { /* the thread pool's while it works */
  unsigned work_ms;
  daemon_config_t config;
  int err;
} aside;
static const char *config_path, *log_path, *pid_path;
static pid_file_t pid_file;

/* --- The work ------------------------------------------------------------- */

static void work_aside(uvsig_shutdown_work_t* w) {
  (void) w;
  uv_sleep(aside.work_ms); /* yours is more useful */
}

static void on_work_done(uvsig_shutdown_work_t* w, int status) {
  w->data = NULL;
  say("work done: %s", status == 0 ? config.message : uv_strerror(status));
}

/* A shutdown waits for the work that has begun. */
static void on_tick(uv_timer_t* t) {
  if (work.data != NULL) /* still at it */
    return;
  aside.work_ms = config.work_ms;
  if (failed(uvsig_shutdown_queue_work(
                 &sd, &work, "work", work_aside, on_work_done),
             "work"))
    return;
  work.data = t;
  say("work begins");
}

/* --- The configuration, read in the thread pool: a file may be slow ------- */

static void read_aside(uv_work_t* req) {
  (void) req;
  aside.err = daemon_config_read(&aside.config, config_path);
}

static void on_config_read(uv_work_t* req, int status) {
  int err = status < 0 ? status : aside.err;

  (void) req;
  if (err < 0) {
    say("no reload: %s: %s", config_path, uv_strerror(err));
    failed(uvsig_reload_fail(&reload, err), "uvsig_reload_fail");
    return;
  }
  config = aside.config;
  say("reload: %s", config.message);
  if (!uv_is_closing((uv_handle_t*) &timer))
    uv_timer_start(&timer, on_tick, config.interval_ms, config.interval_ms);
  failed(uvsig_reload_finish(&reload), "uvsig_reload_finish");
}

static void on_reload(uvsig_reload_t* r) {
  int err = uv_queue_work(sig.loop, &reading, read_aside, on_config_read);

  if (failed(err, "uv_queue_work"))
    failed(uvsig_reload_fail(r, err), "uvsig_reload_fail");
}

/* --- Signals -------------------------------------------------------------- */

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  uvsig_stats_t stats;
  int i, err;

  (void) w, (void) info;
  if (signum == SIGUSR1) {
    err = log_file_reopen();
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
  /* A SIGUSR1 that is still to come is ignored. The last line goes to the file
   * that has the name by now. */
  log_file_reopen();
  say("%s: %s%s",
      report->reason,
      report->clean ? "clean" : "not finished: ",
      report->held);
}

static int watch(uvsig_watcher_t* w, int signum) {
  return failed(uvsig_watcher_init(&sig, w), "uvsig_watcher_init") ||
         failed(uvsig_watcher_start(w, on_signal, signum),
                uvsig_signal_name(signum));
}

/* --- The daemon ----------------------------------------------------------- */

/* Signals before the PID file, which says where to send them; and that before
 * the rest, which may belong to another daemon. */
static int start(void) {
  if (watch(&watchers[0], SIGUSR1) || watch(&watchers[1], SIGUSR2) ||
      (pid_path != NULL &&
       refused(pid_file_open(&pid_file, pid_path), pid_path)) ||
      failed(log_file_open(log_path), log_path) ||
      failed(daemon_config_read(&config, config_path), config_path) ||
      failed(uv_timer_start(
                 &timer, on_tick, config.interval_ms, config.interval_ms),
             "timer"))
    return 1;
  say("ready: %s", config.message);
  uvsig_shutdown_ready(&sd); /* a shutdown may have begun; that is no error */
  return 0;
}

int main(int argc, char** argv) {
  static const char about[] =
      "Work until SIGTERM or SIGINT. SIGHUP reads the configuration again,\n"
      "SIGUSR1 opens the log again, SIGUSR2 writes statistics into it.\n";
  uvsig_shutdown_options_t options;
  const option_t table[] = {
      {"config", "FILE", "lines such as message = hello", &config_path, NULL},
      {"grace", SECONDS, "wait so long for work (8)", NULL, &options.grace_ms},
      {"log", "FILE", "append to it (standard error)", &log_path, NULL},
      {"pid-file", "FILE", "keep a second one out (none)", &pid_path, NULL},
      {NULL, NULL, NULL, NULL, NULL}};
  int status, err;

  uvsig_shutdown_options_init(&options);
  err = read_options(argc, argv, about, table);
  if (err >= 0)
    return err;
  if (refused(config_path == NULL ? "missing" : NULL, "--config"))
    return 2;
  options.phase_cb = on_phase;
  if (failed(uvsig_ignore(SIGPIPE), "SIGPIPE") ||
      failed(uv_timer_init(uv_default_loop(), &timer), "uv_timer_init") ||
      failed(uvsig_init(timer.loop, &sig, NULL), "uvsig_init") ||
      failed(uvsig_shutdown_init(&sig, &sd, &options), "shutdown_init") ||
      failed(uvsig_reload_init(&sd, &reload), "uvsig_reload_init") ||
      failed(uvsig_reload_start(&reload, on_reload, SIGHUP), "SIGHUP"))
    return 1;
  status = start();
  if (status != 0)
    uvsig_shutdown_request(&sd, "cannot start", UVSIG_SHUTDOWN_GRACEFUL);

  uv_run(timer.loop, UV_RUN_DEFAULT); /* until everything is closed */
  refused(pid_file_remove(&pid_file), pid_path);
  /* Time may be up before the thread pool is done. */
  if (sd.report.requests == 0)
    status |= failed(uv_loop_close(timer.loop), "uv_loop_close");
  err = uvsig_shutdown_exit(&sd); /* by the signal: does not return */
  return status != 0 ? status : err;
}
