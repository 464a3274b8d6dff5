/* SPDX-License-Identifier: MIT
 *
 * A model of the wakeup protocol for Spin: two handlers at once, a pipe of two
 * bytes, and a loop that sleeps while the pipe is empty. It must never sleep for
 * good with a signal undelivered. The steps are those of lib/handler.c
 * (catch_signal, ring) and lib/dispatch.c (turn, or, with ANSWER, what replaces
 * it in wake-only mode; with OWN a handler also rings when there is something to
 * report). model.sh runs it, and with NO_DOORBELL, TAKE_FIRST, NO_EMPTY, NO_LOOK
 * and NO_AGAIN, each of which takes a step out and must lose a signal.
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

#define ROUNDS 2  /* that a turn answers at most */

#define SIGNAL 1
#define DOORBELL 0

chan pipe = [PIPE] of { byte };
byte uncarried;
bool pending;
bool due; /* something to report of the program's own fd */
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

inline ring() {
  exchange(true, rung);
#ifndef NO_DOORBELL
  if
  :: !rung -> send_byte(DOORBELL, sent)
  :: else -> skip
  fi
#endif
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
    :: else -> uncarried++; ring()
    fi;
#ifdef OWN
    /* write_own() has failed, perhaps. */
    if
    :: true -> due = true; ring()
    :: true -> skip
    fi
#endif
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
  take();
#endif
  due = false
}

#ifdef ANSWER

/* answer(): the doorbell is answered last. */
proctype loop() {
  byte value;
  byte round;
  bool seen;
  bool has_read;

  do
  :: nempty(pipe) -> /* the poll returns */
     round = 0;
     has_read = false;
     do
     :: round < ROUNDS ->
        round++;
        take();
        due = false;
        if
        :: uncarried > 0 -> skip
        :: else ->
           exchange(false, seen);
           atomic {
             do
             :: nempty(pipe) -> pipe ? value
             :: else -> break
             od
           }
           has_read = true;
#ifdef NO_LOOK
           break
#else
           if
           :: !pending ->
              if
              :: uncarried == 0 && !due -> break
              :: else -> skip
              fi
           :: else -> skip
           fi
#endif
        fi
     :: round == ROUNDS ->
#ifndef NO_AGAIN
        if
        :: has_read -> send_byte(DOORBELL, seen)
        :: else -> skip
        fi;
#endif
        break
     od
  :: finished == HANDLERS && empty(pipe) -> break
  od
  assert(delivered == HANDLERS * SIGNALS && !due)
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
  assert(delivered == HANDLERS * SIGNALS && !due)
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
