/* SPDX-License-Identifier: MIT
 *
 * A model of the wakeup protocol for Spin: two handlers at once, a pipe of two
 * bytes, and a loop that sleeps while the pipe is empty. It must never sleep for
 * good with a signal undelivered. The steps are those of lib/handler.c
 * (count, ring) and lib/dispatch.c (turn, or, with ANSWER, what replaces
 * it in wake-only mode; with OWN a handler also rings when there is something to
 * report). model.sh runs it, and with NO_DOORBELL, LOOK_EARLY, TAKE_FIRST,
 * NO_EMPTY, NO_LOOK and NO_AGAIN, each of which changes a step and must lose a
 * signal.
 *
 * With FAILS, that many writes fail otherwise than by a full pipe. Such a
 * doorbell wakes nobody. Promised is then that nothing is left undelivered once
 * another signal has come whose writes succeed (LATER), or once the loop has run
 * for another of its handles (RUNS_ON). With ONE_FAILS they are those of the first
 * handler, and what the second one has written the doorbell for is delivered in
 * any case; NO_BELL must leave it. NO_FALL, ERROR_BEFORE_FALL, ERROR_LAST,
 * NO_PREPARE and AGAIN_SILENT each change a step of that, and must lose one.
 */

#define HANDLERS 2
#ifndef SIGNALS
# define SIGNALS 3 /* for each handler */
#endif
#define PIPE 2    /* bytes that fit */

#ifndef BUDGET
# define BUDGET 2 /* bytes that a turn reads at most */
#endif
#ifndef CAPACITY
# define CAPACITY PIPE /* what the loop takes the pipe's size for */
#endif

#define ROUNDS 2  /* that a turn answers at most */

#ifndef FAILS
# define FAILS 0 /* writes that fail otherwise than by a full pipe, at most */
#endif

#ifndef OTHERS
# define OTHERS 0 /* turns that the loop makes for other handles meanwhile */
#endif

#ifdef LATER
# define SENDERS (HANDLERS + 1)
# define TOTAL (HANDLERS * SIGNALS + 1)
#else
# define SENDERS HANDLERS
# define TOTAL (HANDLERS * SIGNALS)
#endif

#define SIGNAL 1
#define DOORBELL 0

chan pipe = [PIPE] of { byte };
byte uncarried;
byte sure;    /* the same, of a handler whose writes do not fail */
bool is_owed; /* it has written the doorbell, and its signal is not taken */
bool pending;
bool error; /* of a write that failed */
byte failures;
bool due; /* something to report of the program's own fd */
byte finished;
byte delivered;

/* write(2): it fits, or EAGAIN, or, up to FAILS times, it fails otherwise. */
inline send_byte(value, sent, failed) {
  atomic {
    failed = false;
    if
    :: nfull(pipe) -> pipe ! value; sent = true
    :: full(pipe) -> sent = false
    :: failures < FAILS && may_fail -> failures++; sent = false; failed = true
    fi
  }
}

inline note_error() {
  if
  :: failed -> error = true
  :: else -> skip
  fi
}

inline exchange(value, old) {
  atomic { old = pending; pending = value }
}

/* The look is a step of its own. */
inline ring() {
#ifndef LOOK_EARLY
  rung = pending;
#endif
  if
  :: rung -> skip
  :: else -> exchange(true, rung)
  fi;
#ifndef NO_DOORBELL
  if
  :: !rung ->
     send_byte(DOORBELL, sent, failed);
# ifdef ERROR_BEFORE_FALL
     note_error();
# endif
# ifndef NO_FALL
     if
     :: failed -> pending = false
     :: else -> skip
     fi;
# endif
# ifdef ERROR_BEFORE_FALL
     skip
# else
     note_error()
# endif
  :: else -> skip
  fi
#endif
}

inline count() {
#ifdef WAKE_ONLY
  sent = false;
#else
  send_byte(SIGNAL, sent, failed);
  note_error();
#endif
  if
  :: sent -> skip
  :: else ->
#ifdef LOOK_EARLY
     rung = pending;
#endif
     if
     :: may_fail -> uncarried++
     :: else -> sure++
     fi;
     ring();
     atomic {
       if
       :: !may_fail && !rung && sent && sure > 0 -> is_owed = true
       :: else -> skip
       fi
     }
  fi
}

proctype handler(bool may_fail) {
  byte i;
  bool sent;
  bool failed;
  bool rung;

  for (i : 1 .. SIGNALS) {
    count();
#ifdef OWN
    /* write_own() has failed, perhaps. */
    if
    :: true -> due = true; ring()
    :: true -> skip
    fi
#endif
  }
  finished++
}

/* With LATER, a signal that comes when all others have been, and whose writes do
 * not fail. */
proctype later() {
  bool may_fail = true;
  bool sent;
  bool failed;
  bool rung;

  atomic { finished == HANDLERS -> failures = FAILS }
  count();
  finished++
}

inline take() {
  atomic {
    delivered = delivered + uncarried + sure;
    uncarried = 0;
    sure = 0;
    is_owed = false
  }
}

/* deliver_counters() */
inline collect() {
#ifdef ERROR_LAST
  take();
  error = false
#else
  error = false;
  take()
#endif
}

/* reset_and_deliver() */
inline look() {
  is_rung = false;
#ifdef TAKE_FIRST
  take();
  exchange(false, seen);
#else
  exchange(false, seen);
  collect();
#endif
  due = false
}

/* uvsig__on_prepare(), before each poll. */
inline prepare() {
#ifdef NO_PREPARE
  skip
#else
  if
  :: error -> look()
  :: else -> skip
  fi
#endif
}

/* uvsig__wakeup_ring() */
inline ring_again() {
  send_byte(DOORBELL, seen, failed);
#ifdef AGAIN_SILENT
  skip
#else
  note_error()
#endif
}

/* answer(): the doorbell is answered last. */
inline answer() {
  round = 0;
  has_read = false;
  do
  :: round < ROUNDS ->
     round++;
     collect();
     due = false;
     if
     :: uncarried + sure > 0 -> skip
     :: else ->
        exchange(false, seen);
        atomic {
          do
          :: nempty(pipe) -> pipe ? value
          :: empty(pipe) -> break
          od
        }
        has_read = true;
#ifdef NO_LOOK
        break
#else
        if
        :: !pending ->
           if
           :: uncarried + sure == 0 && !due -> break
           :: else -> skip
           fi
        :: else -> skip
        fi
#endif
     fi
  :: round == ROUNDS ->
#ifndef NO_AGAIN
     if
     :: has_read -> ring_again()
     :: else -> skip
     fi;
#endif
     break
  od
}

inline turn() {
  atomic {
    n = 0;
    do
    :: n < BUDGET && nempty(pipe) ->
       pipe ? value;
#ifndef NO_BELL
       is_rung = is_rung || value == DOORBELL;
#endif
       n++;
       delivered = delivered + value
    :: n == BUDGET || empty(pipe) -> break
    od
  }
  if
  :: !pending && !is_rung -> skip
  :: else ->
     overdue = overdue + n;
     if
     :: n < BUDGET -> overdue = 0; look()
     :: n == BUDGET && overdue >= CAPACITY ->
        overdue = 0; look()
#ifndef NO_EMPTY
     :: n == BUDGET && overdue < CAPACITY && empty(pipe) ->
        overdue = 0; look()
#endif
     :: else -> skip
     fi
  fi
}

proctype loop() {
  byte value;
  byte n;
  byte overdue;
  byte round;
  byte others;
  bool has_read;
  bool has_run_on;
  bool is_rung;
  bool may_fail = true;
  bool seen;
  bool failed;

  do
  :: prepare();
     if /* the poll returns */
     :: nempty(pipe) ->
#ifdef ANSWER
        answer()
#else
        turn()
#endif
     :: others < OTHERS -> others++
     :: finished == SENDERS && empty(pipe) -> /* it sleeps for good */
#ifdef RUNS_ON
        if
        :: has_run_on -> break
        :: else -> has_run_on = true
        fi
#else
        break
#endif
     fi
  od
#ifdef ONE_FAILS
  assert(!is_owed)
#else
  assert(delivered == TOTAL && !due)
#endif
}

init {
  byte i;

  atomic {
    for (i : 1 .. HANDLERS) {
#ifdef ONE_FAILS
      run handler(i == 1)
#else
      run handler(true)
#endif
    }
#ifdef LATER
    run later();
#endif
    run loop()
  }
}
