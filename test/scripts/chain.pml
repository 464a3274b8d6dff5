/* SPDX-License-Identifier: MIT
 *
 * A model of the one handler's chain, for Spin. A program has a handler, and
 * ours is installed over it. Foreign libraries install theirs over ours, save
 * ours and chain to it. Ours comes on top of each of them again. A foreign
 * handler hands its siginfo_t on, or, with IMPOLITE, does not. With JUMPS, any
 * of them may leave by a jump. With MEANWHILE, watchers start and stop, and
 * libraries come and go, while a signal is in flight. Promised is of each
 * signal:
 * 1. The chain ends.
 * 2. It is counted once where it is watched all the while, unless a handler
 *    jumps, and never twice.
 * 3. The program's handler has it once where it is wanted or nothing is
 *    watched, and never twice. It may miss it only if the signal is counted
 *    meanwhile.
 * 4. So has each library's, but for two cases. It may have it twice where a
 *    start covers it meanwhile, and miss it where a stop is faster.
 *
 * With AGAIN, a library that is covered installs its handler once more. It may
 * have each signal twice until that is covered, too.
 * With IMPOLITE, a library that ours covers may miss a signal, but for the last
 * one. Ours does not know then what it has called: so the program's handler
 * alone is due.
 * With DIRTY, the kernel leaves in the end of a siginfo_t what an earlier
 * signal has left there. What a handler that jumps has left in the stack stays,
 * too. Nothing changes after the first signal then: where a library comes after
 * such a jump, the next signal may be lost.
 *
 * The steps are those of lib/previous.c, handler.c and disposition.c. A frame
 * of the stack is a process here, and its depth is its address.
 * model.sh runs it, and with NO_CALLED, NO_BIT, NO_COVER, NO_FIND, NO_GUESS,
 * NO_FIRST, NO_CALLERS, INSTALLED_LATE and NO_START_SYNC. Each of them changes a step,
 * and must break a promise.
 */

#ifndef LIBRARIES
# define LIBRARIES 2
#endif
#ifndef LEVELS
# define LEVELS 4 /* UVSIG__LEVELS */
#endif
#ifndef SIGNALS
# define SIGNALS 2
#endif
#ifndef CHANGES
# define CHANGES 5 /* starts, stops, libraries that come or go */
#endif

#define DEEPEST (2 * LIBRARIES + 4)
#define BIT(slot) (1 << (slot))

/* Actions. */
#define NONE 0
#define OURS 1
#define FIRST 2 /* the program's; FIRST + n is that of library n */

#define NO_INFO 255 /* the siginfo_t of a call without one */

byte current = FIRST;      /* what is installed */
byte below[LIBRARIES + 1]; /* what a library has saved */
bool is_there[LIBRARIES + 1];

/* uvsig__shared. */
byte saved[LEVELS];
byte slot_of[LEVELS]; /* 0: none has been saved there */
byte installed;
byte watchers;   /* of a loop each: subscriptions */
bool chains;     /* each watcher has UVSIG_CHAIN */
bool has_reader; /* of `readers` */

/* The stack. The kernel's siginfo_t is at 0, and one that ours makes is at the
 * depth of ours. */
byte top;
byte frames; /* that have not ended in this model */
byte tail[DEEPEST + 1];      /* of a siginfo_t: the depth of a call, or 0 */
bool has_magic[DEEPEST + 1]; /* of a frame: its struct call has not returned */
byte called_of[DEEPEST + 1]; /* the `called` of that */

/* For the promises. */
byte counted;
byte calls[LIBRARIES + 1];
bool has_jumped;
bool was_unwatched;
bool was_started;
bool has_overflown; /* the oldest of those that covered ours is forgotten */
bool has_come_again;
byte changes;
byte signals;

/* What is under way. */
bool is_changing;
bool is_starting;
bool is_in_flight;

#define NEWEST (installed > 0 -> installed - 1 : 0)

/* --- Frames --------------------------------------------------------------- */

inline call_frame(action, where) {
  atomic {
    assert(depth < DEEPEST);
    top = depth + 1;
    frames++;
    if
    :: action == OURS -> run ours(depth + 1, where)
    :: else -> run foreign(action - FIRST, depth + 1, where)
    fi
  }
  /* It has returned, or this frame has gone, too. */
  atomic {
    top <= depth;
    if
    :: top < depth -> goto gone
    :: else -> skip
    fi
  }
}

/* --- previous.c ----------------------------------------------------------- */

/* uvsig__called(), innermost_call(), is_callers() */
#ifdef NO_CALLERS
# define IS_CALLERS(at) true
#else
# define IS_CALLERS(at) (at < depth)
#endif

inline look_for_calls() {
  atomic {
    called = tail[info];
    if
    :: called != 0 && IS_CALLERS(called) && has_magic[called] ->
       called = called_of[called]
    :: else -> tail[info] = 0; called = 0
    fi;
#ifdef NO_CALLED
    called = 0
#endif
  }
}

/* call() */
inline call(action, bits) {
  atomic {
    before = tail[info];
    has_magic[depth] = true;
    called_of[depth] = bits;
    tail[info] = depth
  }
  call_frame(action, info);
  atomic {
    has_magic[depth] = false;
    tail[info] = before;
    before = 0
  }
}

/* uvsig__bit_at() */
#define BIT_AT(level) \
  (level == 255 || slot_of[level] == 0 -> 0 : BIT(slot_of[level]))

/* The newest, or what is below all that have been called. 255: none. */
inline find_due(bits) {
  level = NEWEST;
  atomic {
    due = level;
    do
    :: level != 255 ->
       if
       :: (bits & BIT_AT(level)) != 0 -> due = level - 1
       :: else -> skip
       fi;
       level--
    :: level == 255 -> break
    od;
    level = due;
    due = 0
  }
}

/* uvsig__chain(), counted in. */
inline chain(bits) {
  find_due(bits);
  atomic {
    action = (level == 255 -> NONE : saved[level]);
    has_reader = false;
    was_called = action != NONE;
    now_called = bits | BIT_AT(level)
  }
  if
  :: was_called -> call(action, now_called)
  :: else -> skip
  fi
}

/* find_action(), restore_previous() */
inline find_action() {
  level = NEWEST;
  if
  :: current == OURS ->
     action = saved[level];
     current = action;
     installed = level
  :: current != OURS && installed > 0 ->
     find_due(called);
     action = (level == 255 -> NONE : saved[level])
  :: current != OURS && installed == 0 ->
     atomic {
       action = current;
       level = LEVELS - 1;
       do
       :: level != 255 && saved[level] != action -> level--
       :: level == 255 || saved[level] == action -> break
       od
     }
  fi
}

/* uvsig__forward() */
inline forward() {
  has_reader = true;
  if
  :: watchers > 0 -> has_reader = false
  :: else ->
     find_action();
     now_called = called;
#ifndef NO_BIT
     now_called = now_called | BIT_AT(level);
#endif
     has_reader = false;
     was_called = true;
     if
     :: action != NONE -> call(action, now_called)
     :: else -> skip
     fi
  fi
}

/* --- handler.c ------------------------------------------------------------ */

inline take() {
  do
  :: has_reader = true;
     is_watched = watchers > 0;
     if
     :: is_watched && chains ->
        chain(called);
        has_reader = true;
        is_watched = watchers > 0
     :: else -> skip
     fi;
     if
     :: is_watched -> counted++
     :: else -> skip
     fi;
     has_reader = false;
     if
     :: is_watched || was_called -> break
     :: else -> skip
     fi;
     forward();
     if
     :: was_called -> break
     :: else -> skip
     fi
  od
}

/* uvsig__all_but_first() */
#ifdef NO_FIRST
# define ALL_BUT_FIRST BIT_AT(NEWEST)
#else
# define ALL_BUT_FIRST (255 - BIT_AT(0))
#endif

/* Without a siginfo_t. */
inline guess() {
  called = ALL_BUT_FIRST;
#ifndef NO_GUESS
  is_taken = current == OURS;
#endif
  atomic { info = depth; tail[info] = 0 }
}

/* uvsig__handle() */
proctype ours(byte depth; byte info) {
  byte called;
  byte before;
  byte level;
  byte due;
  byte action;
  byte now_called;
  bool was_called;
  bool is_watched;
  bool is_taken;

  if
  :: info != NO_INFO -> atomic { look_for_calls(); is_taken = called != 0 }
  :: else -> guess()
  fi;
  if
  :: is_taken -> has_reader = true; chain(called)
  :: else -> take()
  fi;
  atomic { top = depth - 1 }
gone:
  frames--
}

/* --- Foreign handlers ----------------------------------------------------- */

proctype foreign(byte n; byte depth; byte info) {
  calls[n]++;
  if
#ifdef JUMPS
  :: atomic { has_jumped = true; top = 0 } goto gone
#endif
  :: n == 0 -> skip
  :: n > 0 ->
#ifdef IMPOLITE
     call_frame(below[n], NO_INFO)
#else
     call_frame(below[n], info)
#endif
  fi;
  atomic { top = depth - 1 }
gone:
  frames--
}

/* --- disposition.c -------------------------------------------------------- */

/* uvsig__synchronize_locked() */
#define SYNCHRONIZED (!has_reader)

/* For LEVELS of 2 to 4. */
#define IS_USED(slot) \
  (slot_of[0] == slot || slot_of[1] == slot || \
   slot_of[LEVELS - 1] == slot || slot_of[LEVELS - 2] == slot)

/* In a slot that no level has. */
inline save(at, action) {
  atomic {
    saved[at] = action;
    slot = 1;
    do
    :: IS_USED(slot) -> slot++
    :: else -> break
    od;
    slot_of[at] = slot;
    slot = 0
  }
  SYNCHRONIZED
}

inline forget_level() {
  do
  :: level < NEWEST ->
     atomic {
       saved[level] = saved[level + 1];
       slot_of[level] = slot_of[level + 1];
       level++
     }
  :: else -> break
  od;
  installed = level;
  SYNCHRONIZED;
  atomic { saved[level] = NONE; slot_of[level] = 0 }
}

/* make_level(), where what is installed may hold ours. */
inline make_level() {
  atomic {
    level = NEWEST;
    do
    :: level > 0 && saved[level] != was -> level--
    :: level == 0 || saved[level] == was -> break
    od;
#ifdef NO_FIND
    level = 0;
#endif
    if
    :: level == 0 && NEWEST == LEVELS - 1 -> level = 1; has_overflown = true
    :: else -> skip
    fi
  }
  if
  :: level > 0 -> forget_level()
  :: else -> skip
  fi;
  level = NEWEST + 1
}

inline install() {
  atomic {
    was = current;
    has_come_again = has_come_again && was != FIRST + 1
  }
  if
  :: was == OURS -> installed = NEWEST + 1
  :: else ->
#ifndef NO_COVER
     if
     :: installed > 0 -> make_level()
     :: else -> skip
     fi;
#endif
     save(level, was);
     installed = level + 1;
     current = OURS
  fi
}

/* uvsig__subscribe() */
inline start() {
  atomic { is_starting = true; was_started = true; watchers++ }
#ifndef NO_START_SYNC
  SYNCHRONIZED;
#endif
  install();
  is_starting = false
}

inline uninstall() {
  if
  :: current == OURS ->
     was = saved[NEWEST];
#ifdef INSTALLED_LATE
     current = was;
     installed = NEWEST
#else
     installed = NEWEST;
     current = was
#endif
  :: else -> skip
  fi
}

/* uvsig__unsubscribe(), uvsig__source_release() */
inline stop() {
  if
  :: watchers == 1 ->
     was_unwatched = true;
     uninstall()
  :: else -> skip
  fi;
  watchers--;
  SYNCHRONIZED
}

/* --- What happens --------------------------------------------------------- */


#ifdef MEANWHILE
# define MAY_CHANGE true
# define MAY_COME true
#else
# ifdef DIRTY
#  define MAY_CHANGE (!is_in_flight && signals == 0)
# else
#  define MAY_CHANGE (!is_in_flight)
# endif
# define MAY_COME (!is_changing)
#endif

/* A library goes only from the top. One that is covered may come again. */
proctype user() {
  byte level;
  byte slot;
  byte was;
  byte libraries;

end:
  do
  :: atomic { changes < CHANGES && MAY_CHANGE -> changes++; is_changing = true }
     if
     :: watchers <= LIBRARIES + 1 -> start()
     :: watchers > 0 -> stop()
     :: atomic {
          libraries < LIBRARIES ->
          libraries++;
          is_there[libraries] = true;
          below[libraries] = current;
          current = FIRST + libraries
        }
#ifdef AGAIN
     :: atomic {
          current == OURS && is_there[1] && below[1] == OURS &&
            below[LIBRARIES] != FIRST + 1 && saved[0] != FIRST + 1 ->
          current = FIRST + 1;
          has_come_again = true
        }
#endif
     :: atomic {
          current > FIRST ->
          level = current - FIRST;
          current = below[level];
          is_there[level] = false;
          level = 0
        }
     fi;
     atomic { level = 0; was = 0; is_changing = false }
  od
}


/* Another library is the last, and does not say what it hands on. */
#ifdef IMPOLITE
# define IS_HIDDEN(n) \
   (current != FIRST + n && (current != OURS || saved[NEWEST] != FIRST + n))
#else
# define IS_HIDDEN(n) false
#endif

/* It has come again, and is not covered again. */
#define IS_TWICE(n) (n == 1 && has_come_again)

inline check_promises() {
  assert(counted <= 1 && calls[0] <= 1);
  assert(has_jumped || was_unwatched || counted == 1);
  assert(has_jumped || counted == 1 || calls[0] == 1);
  for (n : 1 .. LIBRARIES) {
    assert(calls[n] <= 1 || was_started || IS_TWICE(n))
  }
#ifndef MEANWHILE
  assert(has_jumped || calls[0] == 1 || (watchers > 0 && !chains));
  for (n : 1 .. LIBRARIES) {
    assert(calls[n] <= 1 || IS_TWICE(n));
    assert(has_jumped || calls[n] >= 1 || !is_there[n] || has_overflown ||
           IS_HIDDEN(n) || (watchers > 0 && !chains))
  }
#endif
}

proctype thread() {
  byte n;
  byte depth; /* 0: below the first frame */

end:
  do
  :: atomic {
       signals < SIGNALS && MAY_COME -> signals++;
       is_in_flight = true;
       counted = 0;
       for (n : 0 .. LIBRARIES) {
         calls[n] = 0
       }
       has_jumped = false;
       was_unwatched = watchers == 0 || is_changing;
       was_started = is_starting;
#ifndef DIRTY
       tail[0] = 0;
#endif
       top = 1;
       frames = 1;
       if
       :: current == OURS -> run ours(1, 0)
       :: else -> run foreign(current - FIRST, 1, 0)
       fi
     }
     atomic {
       top == 0 && frames == 0;
       check_promises();
       n = 0;
       is_in_flight = false
     }
  od
}

init {
  atomic {
    if
    :: chains = true
    :: chains = false
    fi;
    run thread();
    run user()
  }
}
