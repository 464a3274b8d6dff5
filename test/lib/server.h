/* SPDX-License-Identifier: MIT
 *
 * A server in a process of its own, for the tests of a shutdown, which see it
 * from outside: by what it says (a letter for each phase, and the report at the
 * end), what it answers when asked, its sockets, and its wait status. The test
 * forks it, so what the test has set in `server` is set in the server too.
 */

#ifndef SERVER_H
#define SERVER_H

#include "harness.h"

/* The server's own, whatever the test: a poll handle. */
#define SERVER_HANDLES 1u

/* --- In the server -------------------------------------------------------- */

/* A connection of one-letter requests: g is answered at once, with "ok", or
 * "bye" once it has been told to drain; s the same, when the server is asked
 * SERVER_ANSWER; u is like s, and nothing after it is read; b is answered with
 * SERVER_BIG bytes; k never. */
struct conn {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } u;
  uvsig_shutdown_connection_t c;
  unsigned id; /* the first that was accepted is 0 */
  bool is_waiting;
  bool is_draining;
  struct conn* prev;
  struct conn* next;
};

enum {
  SERVER_BIG = 16 * 1024 * 1024,
  SERVER_NAMES = 64,
  SERVER_PATIENCE = 120 /* seconds */
};

struct server {
  uv_loop_t loop;
  uvsig_t sig;
  uvsig_shutdown_t sd;
  uvsig_shutdown_options_t options;
  uvsig_wakeup_t wakeup;
  uvsig_shutdown_hold_t hold;
  /* Called after the letter is said. */
  void (*on_phase)(uvsig_shutdown_phase_t phase);
  /* Called for a letter that the server does not know itself. */
  long (*on_question)(int question);
  /* Called in place of what the server does with an event, which is to linger,
   * or, told to drain, to remember it. */
  void (*on_event)(struct conn* conn, uvsig_shutdown_event_t event);
};
extern struct server server;

/* What is sent at the end. */
struct server_end {
  uvsig_shutdown_report_t report;
  char reason[SERVER_NAMES];              /* the report's, as text */
  uint64_t began;                         /* ns: before uvsig_shutdown_init() */
  uint64_t initialised;                   /* after it */
  uint64_t phases[UVSIG_SHUTDOWN_PHASES]; /* when the callback came, or 0 */
  unsigned stopped;                       /* listeners */
  unsigned accepted;
  unsigned freed;
  unsigned told[3];         /* events of connections */
  char order[SERVER_NAMES]; /* the connections that were told to close */
};

void say(char letter);
int server_said(void); /* the descriptor */
/* Answer no more, for a thread that calls server_sleep(). */
void server_answer_no_more(void);
/* Make the loop and the shutdown. */
void server_open(void);
/* Call uv_run() until the end, and go on with server_finish(). */
void server_run(void) __attribute__((noreturn));
/* Close everything, see to it that the loop is empty, report, and exit. */
void server_finish(void) __attribute__((noreturn));
/* Wait for a byte of the test's without running the loop. */
void server_sleep(void);
/* Listen on a port of 127.0.0.1. A refusal is returned. */
int server_listen(void);
void server_close_listener(void);
void conn_close(struct conn* conn);
/* Without a word to the shutdown. */
void conn_close_unregistered(struct conn* conn);
void conn_linger(struct conn* conn);
void conn_respond(struct conn* conn, const char* text, size_t length);
struct conn* server_conns(void);
/* Between the two files. */
bool server_conns_answer(int question, long* answer);
void server_conns_close(void);

/* Servers that most tests can use: one that holds "job" until it is asked
 * SERVER_RELEASE, one that has nothing to do, and one that listens. */
void serve_job(void);
void serve_nothing(void);
void serve_connections(void);

/* --- In the test ---------------------------------------------------------- */

/* Questions. Numbers below 32 ask how many of this signal were caught. */
enum {
  SERVER_RELEASE = 'R', /* uvsig_shutdown_release()'s answer */
  SERVER_PHASE = 'P',
  SERVER_IS_READY = 'I',
  SERVER_PORT = 'T',
  SERVER_ACCEPTED = 'A', /* how many connections were */
  SERVER_OPEN = 'O',     /* how many are open */
  SERVER_BUSY = 'B',     /* how many wait for SERVER_ANSWER ... */
  SERVER_ANSWER = 'W'    /* ... which they have now */
};

extern pid_t server_pid;
extern struct server_end ended;

/* The defaults, but that no time is over before the test is: debounce, grace,
 * hard and linger are long. What is to pass the test makes short. There is no
 * fresh_ms: a connection without a request is idle. */
void server_init(void);
/* After it: the server's uvsig_t has UVSIG_WAKEUP_SIGNALFD. Skips the test where
 * the system has none. */
void server_use_signalfd(void);
void server_start(void (*serve)(void));
/* The one that listens, but on a UNIX socket in a directory of its own, which
 * is to be removed at the end. */
void server_start_at_path(void);
void server_remove_path(void);
void server_signal(int signum);
/* Send `signum`, and wait until the server has caught it for the nth time. */
void server_catch(int signum, long nth);
long server_ask(int question);
/* Ask until it is so. */
void server_ask_until(int question, long answer);
/* Ask what ends the server, which does not answer. */
void server_tell(int question);
/* End server_sleep(). */
void server_wake(void);
/* Wait for these letters: r (it runs), n, d, f, c and D (its phases; n only with
 * the option delay_ms, c with a closer). */
void server_expect(const char* letters);
char server_hear(void);
/* Wait for a letter, past others. */
void server_await(char letter);
/* For so many milliseconds nothing is said. */
void server_silent(unsigned ms);
/* Wait for these letters; or, where deadlines are short, true: the machine was
 * so slow that one of them has ended the process by then, and the test is to do
 * it all again, though not for ever. */
bool server_is_cut_off(const char* letters);
/* The same for the whole of a shutdown that its hard deadline is to end: these
 * letters, D, the report and the end of the process, which server_dies() then
 * looks at. */
bool server_is_overdue(const char* letters);
/* The end of it, D included if nobody has waited for it: `ended` is set. Its
 * wait status is returned. */
int server_end(void);
/* The same, and it has died by `signum`, or exited with `code`. */
void server_dies(int signum);
void server_exits(int code);
/* It exits with `code` and without a report, whatever it says before. */
void server_exits_at_once(int code);

/* Connections to the server. What is expected comes, or the test fails. */
int client_connect(void);
int client_connect_to_path(void);
void client_send(int fd, const char* text);
void client_expect(int fd, const char* text);
/* The server has closed it, and has not reset it; it is closed here too. */
void client_expect_end(int fd);
/* Read until the end, and close. UV_ECONNRESET, or how many bytes came. */
long client_read_all(int fd);

#endif /* SERVER_H */
