/* SPDX-License-Identifier: MIT
 *
 * A model of the wakeup protocol for Spin: two handlers at once, a pipe of two
 * bytes, and a loop that sleeps while the pipe is empty. It must never sleep for
 * good with a signal undelivered. The steps are those of lib/handler.c
 * (catch_signal) and lib/dispatch.c (turn, or, with AWAKE, what replaces it in
 * wake-only mode). model.sh runs it, and with NO_DOORBELL, TAKE_FIRST, NO_EMPTY
 * and NO_LOOK, each of which takes a step out and must lose a signal.
 */

#define HANDLERS 2
#define SIGNALS 3 /* for each handler */
#define PIPE 2    /* bytes that fit */

#ifndef BUDGET
# define BUDGET 2 /* bytes that a turn reads at most */
#endif
#ifndef CAPACITY
# define CAPACITY PIPE /* what the loop takes the pipe's size for */
#endif

#define SIGNAL 1
#define DOORBELL 0

chan pipe = [PIPE] of { byte };
byte uncarried;
bool pending;
byte finished;
byte delivered;

/* write(2): it fits, or EAGAIN. */
inline send_byte(value, sent) {
  atomic {
    if
    :: nfull(pipe) -> pipe ! value; sent = true
    :: full(pipe) -> sent = false
    fi
  }
}

inline exchange(value, old) {
  atomic { old = pending; pending = value }
}

proctype handler() {
  byte i;
  bool sent;
  bool rung;

  for (i : 1 .. SIGNALS) {
#ifdef WAKE_ONLY
    sent = false;
#else
    send_byte(SIGNAL, sent);
#endif
    if
    :: sent -> skip
    :: else ->
       uncarried++;
       exchange(true, rung);
#ifndef NO_DOORBELL
       if
       :: !rung -> send_byte(DOORBELL, sent)
       :: else -> skip
       fi
#endif
    fi
  }
  finished++;
}

inline take() {
  atomic { delivered = delivered + uncarried; uncarried = 0 }
}

inline look() {
#ifdef TAKE_FIRST
  take();
  exchange(false, seen);
#else
  exchange(false, seen);
  if
  :: seen -> take()
  :: else -> skip
  fi
#endif
}

#ifdef AWAKE

/* deliver_awake(): what is found by the look is left for the next turn, and the
 * loop does not sleep before. */
inline deliver_awake() {
  take();
  exchange(false, seen);
#ifndef NO_LOOK
  if
  :: uncarried > 0 -> exchange(true, seen)
  :: else -> skip
  fi;
#endif
  awake = true
}

proctype loop() {
  byte value;
  bool seen;
  bool awake;

  do
  :: true ->
     if /* the prepare phase */
     :: pending -> deliver_awake()
     :: else -> awake = false
     fi;
     if /* the poll */
     :: nempty(pipe) ->
        atomic {
          do
          :: nempty(pipe) -> pipe ? value
          :: else -> break
          od
        }
        if
        :: pending -> deliver_awake()
        :: else -> skip
        fi
     :: awake && empty(pipe) -> skip
     :: !awake && finished == HANDLERS && empty(pipe) -> break
     fi
  od
  assert(delivered == HANDLERS * SIGNALS)
}

#else

proctype loop() {
  byte value;
  byte n;
  byte overdue;
  bool seen;

  do
  :: nempty(pipe) -> /* the poll returns */
     atomic {
       n = 0;
       do
       :: n < BUDGET && nempty(pipe) ->
          pipe ? value;
          n++;
          delivered = delivered + value
       :: else -> break
       od
     }
     if
     :: !pending -> overdue = 0
     :: else ->
        overdue = overdue + n;
        if
        :: n < BUDGET -> overdue = 0; look()
        :: n == BUDGET && overdue >= CAPACITY -> overdue = 0; look()
#ifndef NO_EMPTY
        :: n == BUDGET && overdue < CAPACITY && empty(pipe) ->
           overdue = 0; look()
#endif
        :: else -> skip
        fi
     fi
  :: finished == HANDLERS && empty(pipe) -> /* it sleeps for good */
     break
  od
  assert(delivered == HANDLERS * SIGNALS)
}

#endif

init {
  byte i;

  atomic {
    for (i : 1 .. HANDLERS) {
      run handler()
    }
    run loop()
  }
}
