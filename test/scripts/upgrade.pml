/* SPDX-License-Identifier: MIT
 *
 * A model of an upgrade, for Spin: a server, the successors that it starts with
 * its listening socket, and what may come between any two steps. A user sends
 * SIGTERM or SIGKILL to either. A successor may fail to be executed, end, or
 * hang. A bad one ends at its first request. A stranger sends READY=1. Promised
 * is, once nothing moves any more:
 * 1. Somebody serves, unless each of the two has been killed or told to end, or
 *    is a successor that has failed before it replaced the old process.
 * 2. The two do not both serve.
 * 3. The old process waits for nothing.
 * 4. Where somebody serves, the path of the UNIX socket is there.
 * 5. A successor that the old process knows to be ready is not ended by it. Any
 *    other one does not outlive the old process, unless that was killed.
 * 6. A successor that was ready in time is not killed for being late.
 *
 * The steps are those of lib/shutdown/successor.c, upgrade.c, launch.c
 * (fork_child, run_child), ready.c, phases.c (uvsig__look_at_everything,
 * advance_phase, close_everything) and listener.c.
 * model.sh runs it, and with NO_REAP, NO_SETTLE, NO_REQUEST, NO_END, NO_FORGET,
 * NO_READY_TIMER, NO_SETTLE_TIMER, NO_SIGCHLD, NO_CLOEXEC, NO_LAST_READ,
 * ANY_SENDER, CLOSE_EARLY and NO_HAND_OVER. Each of them changes a step, and
 * must break a promise.
 */

#ifndef UPGRADES
# define UPGRADES 2 /* that the user asks for */
#endif
#ifndef EVENTS
# define EVENTS 2 /* that the user has in hand: see user() */
#endif

mtype = { RUNNING, SHUTTING, OVER }; /* the old process's phase */
mtype = { NONE, STARTING, SETTLING, ENDING }; /* NONE: there is no successor */
mtype = { ABSENT, FORKED, REFUSED, EXECUTED, CAUGHT, SERVING, ENDED };

/* The old process. */
mtype phase = RUNNING;
mtype stage = NONE;
bool is_killed;
bool is_pending; /* an upgrade has been asked for */
bool has_term;   /* uvsig__escalate() has noted SIGTERM */
bool has_sigchld;
bool is_given_up; /* its program calls uvsig_shutdown_close(), and ends */
bool serves = true; /* its listener is open */
bool is_launching; /* it waits for the child's report */
bool timer; /* of the successor */
bool is_late; /* the timer has expired */

/* The successor. Its SIGTERM is the default action until it has a handler. */
mtype successor = ABSENT;
bool is_running; /* its process in this model */
bool is_bad;
bool had_request;
bool is_told;

/* What waits in the old process's socket. */
bool ready;
bool stranger;

bool path = true;
bool is_handed_over;

/* For the promises. */
bool is_old_told; /* SIGTERM, or given up */
bool is_new_stopped; /* by the user */
bool has_failed; /* the successor, by itself */
bool is_replaced; /* the old process has succeeded ... */
bool has_looked; /* ... when the successor served */
bool is_known_ready;
bool was_in_time;

#define LIVES (successor == FORKED || successor == EXECUTED || \
               successor == CAUGHT || successor == SERVING)
#define HAS_SUCCESSOR (stage != NONE)

/* --- The successor -------------------------------------------------------- */

inline end_successor() {
  d_step { has_sigchld = true; successor = ENDED }
}

inline say_ready() {
  atomic {
    if
    :: HAS_SUCCESSOR && !is_killed ->
       ready = true;
       was_in_time = was_in_time || !is_late
    :: else -> skip
    fi
  }
}

inline fail() {
  has_failed = true;
  end_successor()
}

proctype new_process() {
  {
    /* run_child() */
    if
    :: d_step { has_failed = true; successor = REFUSED }
    :: successor = EXECUTED
    fi;
    if
    :: is_told -> end_successor()
    :: fail()
    :: goto hangs
    :: successor = CAUGHT /* uvsig_shutdown_init() */
    fi;
    if
    :: is_told -> end_successor()
    :: fail()
    :: goto hangs
    :: successor = SERVING
    fi;
    say_ready();
end:
    do
    :: !had_request ->
       if
       :: is_bad -> fail()
       :: else -> had_request = true
       fi
    :: is_told -> end_successor()
    od;
hangs:
    has_failed = true;
end_hangs: /* only SIGKILL ends it */
    false
  } unless {
    !LIVES -> is_running = false
  }
}

/* --- The old process: its end of an upgrade ------------------------------- */

inline forget() {
  stage = NONE;
  timer = false;
  is_late = false;
  ready = false;
  stranger = false
}

/* kill(2) by the old process. */
inline kill_successor() {
  atomic {
    assert(!is_known_ready || is_given_up);
    if
    :: LIVES -> end_successor()
    :: else -> skip
    fi
  }
}

inline terminate_successor() {
  assert(!is_known_ready || is_given_up);
  is_told = true
}

/* waitpid() */
inline reap() {
  atomic {
    has_reaped = successor == ENDED;
    if
    :: has_reaped -> successor = ABSENT; forget()
    :: else -> skip
    fi
  }
}

inline end_by_sigkill() {
  stage = ENDING;
  timer = false;
  is_late = false;
  kill_successor()
}

/* What the program sees of a shutdown that has been asked for. */
inline succeed() {
  is_replaced = true;
#ifndef NO_HAND_OVER
  is_handed_over = true; /* uvsig__listeners_hand_over() */
#endif
#ifndef NO_REQUEST
  is_requested = true; /* uvsig_shutdown_request() */
#endif
  atomic { forget() }
}

inline close_listener() {
  atomic {
    assert(is_old_told || (is_replaced && has_looked));
    path = path && (is_handed_over || !serves);
    serves = false
  }
}

/* --- While it is under way ------------------------------------------------ */

inline begin_to_settle() {
  atomic {
    stage = SETTLING;
    is_late = false;
#ifdef NO_SETTLE_TIMER
    timer = false;
#else
    timer = true;
#endif
    is_known_ready = successor == SERVING
  }
#ifdef CLOSE_EARLY
  close_listener();
#endif
}

inline read_messages() {
  atomic {
    is_ready = ready;
#ifdef ANY_SENDER
    is_ready = is_ready || stranger;
#endif
    ready = false;
    stranger = false
  }
  if
  :: is_ready && stage == STARTING ->
#ifdef NO_SETTLE
     has_looked = successor == SERVING;
     succeed()
#else
     begin_to_settle()
#endif
  :: else -> skip
  fi
}

/* uvsig__successor_check() */
inline check() {
  atomic {
    has_looked = successor == SERVING;
    was_late = is_late;
    had_settled = stage == SETTLING;
    has_reaped = false;
#ifdef NO_REAP
    if
    :: !was_late || !had_settled -> reap()
    :: else -> skip
    fi
#else
    reap()
#endif
  }
  if
  :: has_reaped -> skip
#ifdef NO_LAST_READ
  :: !has_reaped && !was_late -> read_messages()
  :: !has_reaped && was_late ->
#else
  :: else ->
     read_messages();
#endif
     if
     :: was_late && had_settled -> succeed()
     :: was_late && !had_settled && stage == STARTING ->
        assert(!was_in_time);
        has_failed = true;
        end_by_sigkill()
     :: else -> skip
     fi
  fi;
  atomic { had_settled = false; was_late = false }
}

/* --- Its beginning -------------------------------------------------------- */

/* uvsig__successor_start(), uvsig__launch(). The pipe that fork_child() reads
 * from is closed when the child executes the program, or ends. */
#ifdef NO_CLOEXEC
# define IS_REPORTED (successor == REFUSED || successor == ENDED)
#else
# define IS_REPORTED (successor != FORKED)
#endif

inline begin() {
  atomic {
    !is_running; /* the model's process of the one before has ended */
    is_running = true;
    is_pending = false;
    is_told = false;
    had_request = false;
    has_failed = false;
    is_new_stopped = false;
    is_known_ready = false;
    was_in_time = false;
    has_sigchld = false;
    if
    :: is_bad = true
    :: is_bad = false
    fi;
    successor = FORKED;
    is_launching = true;
    run new_process()
  }
  IS_REPORTED;
  is_launching = false;
  if
  :: successor == REFUSED ->
     successor = ABSENT
  :: else ->
     stage = STARTING;
#ifndef NO_READY_TIMER
     timer = true
#endif
  fi
}

/* --- A shutdown ----------------------------------------------------------- */

/* uvsig__successor_end() */
inline end_upgrade() {
  if
  :: HAS_SUCCESSOR ->
     atomic { has_looked = successor == SERVING; reap() }
     if
     :: !has_reaped && stage == SETTLING -> succeed()
     :: !has_reaped && stage == STARTING ->
        stage = ENDING;
        atomic { timer = false; is_late = false }
        terminate_successor()
     :: else -> skip
     fi
  :: else -> skip
  fi
}

/* uvsig__successor_kill() */
inline forget_upgrade() {
  if
  :: HAS_SUCCESSOR ->
#ifndef NO_FORGET
     kill_successor();
     successor == ENDED; /* waits */
     successor = ABSENT;
#endif
     forget()
  :: else -> skip
  fi
}

/* --- The old process ------------------------------------------------------ */

/* uvsig__look_at_everything() */
inline look() {
  has_sigchld = false;
  if
  :: HAS_SUCCESSOR -> check()
  :: else -> skip
  fi;
  if
  :: phase == RUNNING && (has_term || is_requested) ->
#ifndef NO_END
     end_upgrade();
#endif
     phase = SHUTTING
  :: else -> skip
  fi
}

#ifdef NO_SIGCHLD
# define IS_DUE (ready || stranger || is_late)
#else
# define IS_DUE (ready || stranger || is_late || has_sigchld)
#endif

proctype old_process() {
  bool has_reaped;
  bool had_settled;
  bool was_late;
  bool is_ready;
  bool is_requested;

  {
end:
    do
    /* uvsig__upgrade_run() */
    :: phase == RUNNING && is_pending && !HAS_SUCCESSOR && !has_term &&
       !is_requested -> begin()
    :: (HAS_SUCCESSOR && IS_DUE) ||
       (phase == RUNNING && (has_term || is_requested)) -> look()
    :: phase == SHUTTING && serves -> close_listener()
    :: phase == SHUTTING && !serves && !HAS_SUCCESSOR -> phase = OVER; break
    /* The phases' limits: begin_forcing(), close_everything(). */
    :: phase == SHUTTING && !serves && stage == ENDING -> kill_successor()
    :: phase == SHUTTING && !serves && HAS_SUCCESSOR ->
       forget_upgrade();
       phase = OVER;
       break
    :: is_given_up -> forget_upgrade(); close_listener(); phase = OVER; break
    od
  } unless {
    is_killed -> serves = false
  }
}

/* --- What comes from outside ---------------------------------------------- */

proctype user() {
  byte upgrades;
  byte events;

end:
  do
  :: atomic { upgrades < UPGRADES -> upgrades++; is_pending = true }
  :: atomic {
       events < EVENTS && phase != OVER && !is_killed -> events++;
       if
       :: has_term = true; is_old_told = true
       :: is_killed = true
       :: is_given_up = true; is_old_told = true
       fi
     }
  :: atomic {
       events < EVENTS && LIVES -> events++;
       is_new_stopped = true;
       if
       :: is_told = true
       :: end_successor()
       fi
     }
  :: atomic {
       events < EVENTS && HAS_SUCCESSOR && !stranger -> events++;
       stranger = true
     }
  od
}

/* The settle time is long enough for a first request. */
proctype clock() {
end:
  do
  :: atomic {
       timer && !is_late &&
         (stage == STARTING || had_request || successor != SERVING) ->
       is_late = true
     }
  od
}

/* --- The promises --------------------------------------------------------- */

#define IS_SERVED (serves || successor == SERVING)
#define IS_OLD_OUT (is_killed || is_old_told || (is_replaced && has_looked))
#define IS_NEW_OUT (is_new_stopped || \
                    ((!is_replaced || is_old_told) && \
                     (has_failed || successor == ABSENT || \
                      (is_old_told && (is_given_up || !is_known_ready)))))
#define IS_OLD_THERE (!is_killed && phase != OVER)

proctype promises() {
  timeout ->
  assert(IS_SERVED || (IS_OLD_OUT && IS_NEW_OUT));
  assert(!serves || successor != SERVING);
  assert(!IS_OLD_THERE || (!HAS_SUCCESSOR && !is_launching));
  assert(!IS_SERVED || path);
  assert(phase != OVER || is_killed || is_replaced || !LIVES)
}

init {
  atomic {
    run promises();
    run user();
    run clock();
    run old_process()
  }
}
