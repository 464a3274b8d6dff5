/* SPDX-License-Identifier: MIT
 *
 * A model of the grace period for Spin, with a thread that is cancelled while a
 * handler runs on it. A thread that ends while it is counted in stays counted
 * in for ever, and the thread that waits for handlers in flight never gets
 * through. So the handler's thread cannot be cancelled meanwhile. Nor may a
 * handler use what has been freed. The steps are those of lib/subscription.h
 * (uvsig__reader_enter, uvsig__reader_leave), lib/handler.c (take, call_hook) and
 * lib/grace.c (uvsig__synchronize_locked). readers.pml is the same with more
 * handlers and without cancellation.
 *
 * model.sh runs it, and with NO_TYPE, TYPE_LAST, NO_CLEANUP, RESTORE_FIRST and
 * NOT_RAW, each of which changes a step. With each of them the waiting thread
 * does not get through. With NO_STATE a thread ends in the middle of a handler.
 */

#define SIGNALS 2 /* for each thread */
#define ROUNDS 2

bool generation;
byte readers[2];
bool linked;
bool alive;

bool is_cancelled; /* pthread_cancel() has been called for the first thread */

/* A thread's cancel type and state, as it has set them itself. */
#define IS_ENABLED(t) (!state_is_disabled[t])
bool type_is_asynchronous[2];
bool state_is_disabled[2];

/* glibc's own handler looks at the type alone. It may run between any two
 * steps. */
#define STRUCK(t) (t == 0 && is_cancelled && type_is_asynchronous[t])

/* A function that is a cancellation point, such as one that a watcher's own
 * handler calls. A thread that is cancelled ends where the handler has returned,
 * and not here. glibc before 2.41 has the type be asynchronous meanwhile, also
 * where the state is disabled. */
inline pass_cancellation_point() {
  assert(t != 0 || !is_cancelled || !IS_ENABLED(t));
  set_type(true);
  set_type(false)
}

inline set_type(is_asynchronous) {
  type_is_asynchronous[t] = is_asynchronous
}

inline set_state(is_disabled) {
  state_is_disabled[t] = is_disabled
}

/* uvsig__reader_enter(). The old type and state are those that the thread was
 * interrupted with. */
inline enter() {
#ifndef NO_TYPE
# ifndef TYPE_LAST
  old_type = type_is_asynchronous[t];
  set_type(false);
# endif
#endif
  mine = generation;
  readers[mine]++;
#ifdef TYPE_LAST
  old_type = type_is_asynchronous[t];
  set_type(false);
#endif
}

/* uvsig__reader_leave() */
inline leave() {
#ifdef RESTORE_FIRST
  set_type(old_type);
  readers[mine]--
#else
  readers[mine]--;
# ifndef NO_TYPE
  set_type(old_type)
# endif
#endif
}

/* call_hook() */
inline call_hook() {
#ifndef NO_STATE
  set_state(true);
#endif
  is_in_hook = true;
  pass_cancellation_point();
  is_in_hook = false;
  set_state(false)
}

/* write_raw(). glibc's write() is a cancellation point, and has the type be
 * asynchronous while it waits. */
inline write_byte() {
#ifdef NOT_RAW
  set_type(true);
  set_type(false)
#else
  skip
#endif
}

/* take(), without what becomes of the signal. */
inline take() {
  enter();
  found = linked;
  if
  :: found ->
     call_hook();
     write_byte();
     assert(alive)
  :: else -> skip
  fi;
  leave()
}

proctype thread(byte t) {
  byte i;
  bool mine;
  bool found;
  bool old_type;
  bool is_in_hook;

  {
    for (i : 1 .. SIGNALS) {
      take()
    }
    goto ended
  } unless {
    STRUCK(t)
  };
ended:
  if /* count_and_leave() */
#ifndef NO_CLEANUP
  :: is_in_hook -> readers[mine]--
#endif
  :: else -> skip
  fi
}

/* Links, unlinks and frees, again and again. */
proctype user() {
  byte i;
  byte round;
  bool old;

  for (i : 1 .. ROUNDS) {
    alive = true;
    linked = true;
    linked = false;
    for (round : 1 .. 2) {
      old = generation;
      generation = 1 - old;
      readers[old] == 0 /* waits */
    }
    alive = false
  }
}

proctype canceller() {
  is_cancelled = true
}

init {
  atomic {
    type_is_asynchronous[0] = true;
    run thread(0);
    run thread(1);
    run user();
    run canceller()
  }
}
