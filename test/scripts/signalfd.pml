/* SPDX-License-Identifier: MIT
 *
 * A model of a source without a handler, for Spin. Signals of one number are
 * sent to a thread that does not block it, where the handler runs, or to the
 * loop's thread. There they wait in the kernel's queue while it is blocked, and
 * the loop reads them from its signalfd. Meanwhile the loop's watcher starts,
 * needs the handler, is stopped or drained, and starts again. So does the
 * watcher of a second loop of the same thread, which has a signalfd, too, or,
 * with SECOND_BY_PIPE, has not. The launcher may have blocked the signal.
 * Promised is:
 * 1. Each signal is told or discarded, once for each loop that has caught it,
 *    or has the previous action, once.
 * 2. As long as a loop watches, the library's handler is installed. What is
 *    sent meanwhile does not have the previous action, and is not left waiting.
 * 3. What waits in the kernel's queue at the last stop is not discarded, nor is
 *    what has been read from it and is not told.
 * 4. The previous action never comes to the loop's thread where the launcher
 *    has blocked the signal.
 * 5. A drain tells what waits in the kernel's queue when it begins.
 *
 * The steps are those of lib/source.c, mask.c, queue.c, drain.c, disposition.c,
 * handler.c and previous.c. What is in the pipe is not lost: wakeup.pml.
 * model.sh runs it, and with UNBLOCK_FIRST, MASK_LAST, NO_UNBLOCK, NO_REMOVE,
 * NO_RETURN, NO_HANDLER, NO_SYNC, NO_START_SYNC, NO_LEAVE, NO_ALONE, NO_SHARE,
 * NO_OTHER and NO_DRAIN_QUEUE. Each of them changes a step, and must break a
 * promise.
 */

#ifndef SIGNALS
# define SIGNALS 1 /* 2 take minutes, and gigabytes */
#endif
#ifndef STARTS
# define STARTS 2 /* of watchers, for each loop */
#endif

#ifdef SECOND_BY_PIPE
# define HAS_SIGNALFD(l) (l == 0)
#else
# define HAS_SIGNALFD(l) true
#endif

/* The kernel's. */
chan queue = [SIGNALS] of { byte }; /* what waits for the loop's thread */
chan direct = [SIGNALS] of { byte }; /* what goes to the other thread */
byte in_flight; /* there */
bool is_blocked; /* in the loop's thread */
bool by_launcher; /* it was, before the first start */

/* What mask.c has changed in the loop's thread, and is to be restored. */
bool was_unblocked; /* `blocked` */
bool was_blocked; /* `unblocked` */

bool is_ours; /* our handler is installed */

/* Of each loop's source. */
bool is_subscribed[2];
bool is_queued[2];
bool in_set[2]; /* its signalfd has the signal */
bool has_mask[2]; /* mask_thread is this thread */
bool needs_handler[2];
chan pipe[2] = [SIGNALS] of { byte };
chan batch[2] = [SIGNALS] of { byte }; /* read from the signalfd */
byte starts[2];

bool has_reader; /* the handler is counted in, in the other thread */

/* For the promises. */
#define AT(l, n) ((l) * SIGNALS + (n))
bool caught[2 * SIGNALS];
bool settled[2 * SIGNALS];
bool had_previous[SIGNALS];
bool is_to_be_told[2 * SIGNALS]; /* by a drain */
bool is_kept[SIGNALS]; /* it waited at the last stop */
byte sent_in[SIGNALS];
byte sent;
byte period; /* how often there has been a first start */
byte watching; /* loops whose start has returned */

#define IS_WATCHED (is_subscribed[0] || is_subscribed[1])

/* --- What becomes of a signal --------------------------------------------- */

inline note_caught(l, n) {
  assert(!had_previous[n]);
  caught[AT(l, n)] = true
}

inline settle(l, n) {
  assert(caught[AT(l, n)] && !settled[AT(l, n)] && !had_previous[n]);
  settled[AT(l, n)] = true
}

inline have_previous(n, is_loops) {
  atomic {
    assert(!had_previous[n] && !caught[AT(0, n)] && !caught[AT(1, n)]);
    assert(watching == 0 || sent_in[n] != period);
    assert(!is_to_be_told[AT(0, n)] && !is_to_be_told[AT(1, n)]);
    assert(!is_loops || !by_launcher);
    had_previous[n] = true
  }
}

/* --- The handler ---------------------------------------------------------- */

/* uvsig__handle() in the loop's thread, where nothing comes between. */
inline handle_here(n) {
  assert(IS_WATCHED); /* this thread restores the action before it unlinks */
  for (h : 0 .. 1) {
    if
    :: is_subscribed[h] -> note_caught(h, n); pipe[h] ! n
    :: else -> skip
    fi
  }
}

/* The kernel interrupts the loop's thread, between any two steps. */
proctype interrupt() {
  byte s;
  byte h;

end:
  do
  :: atomic {
       !is_blocked && nempty(queue) ->
       queue ? s;
       if
       :: is_ours -> handle_here(s)
       :: else -> have_previous(s, true)
       fi;
       s = 0;
       h = 0
     }
  od
}

inline block() {
  atomic {
    if
    :: !is_blocked && was_blocked -> was_blocked = false
    :: !is_blocked && !was_blocked -> was_unblocked = true
    :: else -> skip
    fi;
    is_blocked = true
  }
}

/* What waits has been taken when a call of the kernel returns. */
#define HAS_TAKEN (is_blocked || empty(queue))

inline unblock() {
  atomic {
    if
    :: is_blocked && was_unblocked -> was_unblocked = false
    :: is_blocked && !was_unblocked -> was_blocked = true
    :: else -> skip
    fi;
    is_blocked = false
  }
  HAS_TAKEN
}

/* The other thread, which blocks nothing: uvsig__handle(), take(),
 * uvsig__forward(). */
proctype thread() {
  byte n;
  bool found;

end:
  do
  :: direct ? n ->
     if
     :: is_ours ->
        do
        :: has_reader = true;
           if
           :: is_subscribed[0] ->
              atomic { note_caught(0, n); pipe[0] ! n; found = true }
           :: else -> skip
           fi;
           if
           :: is_subscribed[1] ->
              atomic { note_caught(1, n); pipe[1] ! n; found = true }
           :: else -> skip
           fi;
           has_reader = false;
           if
           :: found -> break
           :: else -> skip
           fi;
           has_reader = true; /* uvsig__forward() */
           if
           :: IS_WATCHED -> has_reader = false
           :: else ->
              have_previous(n, false);
              if
              :: is_ours -> is_ours = false /* restore_previous() */
              :: else -> skip
              fi;
              has_reader = false;
              break
           fi
        od
     :: else -> have_previous(n, false)
     fi;
     atomic { n = 0; found = false; in_flight-- }
  od
}

proctype sender() {
  byte n;

  for (n : 0 .. SIGNALS - 1) {
    atomic {
      sent_in[n] = (watching > 0 -> period : 0);
      if
      :: queue ! n
      :: in_flight++; direct ! n
      fi;
      sent++
    }
  }
}

/* --- Start ---------------------------------------------------------------- */

/* uvsig__synchronize() */
#define SYNCHRONIZED (!has_reader)

/* find_other(source, false): one of the other loop with this thread's mask. */
#define HAS_OTHER(l) (is_subscribed[1 - l] && has_mask[1 - l])

/* find_other(source, true) */
#define IS_HANDLED(l) (is_subscribed[1 - l] && !is_queued[1 - l])

/* uvsig__signalfd_handle() */
inline handle_batch(whose) {
  atomic {
    do
    :: nempty(batch[whose]) -> batch[whose] ? s; handle_here(s)
    :: empty(batch[whose]) -> break
    od;
    s = 0;
    h = 0
  }
}

/* uvsig__mask_enter_queue() */
inline enter_queue(l) {
  if
  :: HAS_SIGNALFD(l) && !IS_HANDLED(l) ->
     atomic { in_set[l] = true; is_queued[l] = true; has_mask[l] = true }
     block()
  :: else -> skip
  fi
}

/* uvsig__mask_open() */
inline open_mask(l) {
  has_mask[l] = true;
  if
  :: HAS_OTHER(l) && is_queued[1 - l] -> handle_batch(1 - l)
  :: else -> skip
  fi;
  unblock()
}

/* uvsig__source_prepare(), uvsig__subscribe(), uvsig__source_add() */
inline start(l) {
  starts[l]++;
  assert(empty(pipe[l]) && empty(batch[l]));
  enter_queue(l);
  is_subscribed[l] = true;
#ifndef NO_START_SYNC
  SYNCHRONIZED;
#endif
#ifndef NO_HANDLER
  is_ours = true;
#endif
  if
  :: !has_mask[l] -> open_mask(l)
  :: else -> skip
  fi;
  atomic {
    if
    :: watching == 0 -> period++
    :: else -> skip
    fi;
    watching++
  }
}

/* uvsig__mask_leave_queue() */
inline leave_queue(l) {
  handle_batch(l);
  in_set[l] = false;
  is_queued[l] = false;
#ifndef NO_LEAVE
  unblock()
#endif
}

/* A further watcher, with a function in the handler. */
inline need_handler(l) {
  needs_handler[l] = true;
  if
  :: is_queued[l] -> leave_queue(l)
  :: else -> skip
  fi
}

/* --- The loop reads ------------------------------------------------------- */

/* is_alone() */
#define IS_ALONE(l) \
  (is_subscribed[l] && !is_subscribed[1 - l] && !needs_handler[l])

inline deliver(l, n) {
  atomic {
#ifdef NO_ALONE
    if
    :: true ->
#else
    if
    :: IS_ALONE(l) ->
#endif
       caught[AT(l, n)] = true;
       settle(l, n)
    :: else -> handle_here(n)
    fi;
    h = 0
  }
}

/* What one loop reads is for the other, too. */
inline note_others(l, n) {
  if
  :: is_subscribed[1 - l] -> caught[AT(1 - l, n)] = true
  :: else -> skip
  fi
}

/* read_and_share() */
inline read_queue(l) {
  atomic {
    do
    :: nempty(queue) ->
       queue ? s;
       note_others(l, s);
       if
#ifdef NO_SHARE
       :: true -> caught[AT(l, s)] = true; batch[l] ! s
#else
       :: IS_ALONE(l) -> caught[AT(l, s)] = true; batch[l] ! s
       :: else -> handle_here(s)
#endif
       fi
    :: empty(queue) -> break
    od;
    s = 0;
    h = 0
  }
}

/* --- Stop and drain ------------------------------------------------------- */

/* uvsig__mask_restore() */
inline restore_mask(l) {
  atomic {
#ifndef NO_REMOVE
    in_set[l] = false;
#endif
    if
#ifdef NO_OTHER
    :: was_blocked -> block()
#else
    :: (HAS_OTHER(l) -> is_queued[1 - l] : was_blocked) -> block()
#endif
    :: else -> skip
    fi;
    is_queued[l] = false;
    has_mask[l] = false;
    is_to_unblock = !HAS_OTHER(l) && was_unblocked
  }
}

/* uvsig__source_unsubscribe() */
inline unsubscribe(l) {
  if
  :: !is_subscribed[1 - l] -> is_ours = false
  :: else -> skip
  fi;
  is_subscribed[l] = false
}

/* uvsig__mask_unblock(), if it is due. */
inline unblock_last() {
#ifndef NO_UNBLOCK
  if
  :: is_to_unblock -> unblock()
  :: else -> skip
  fi;
#endif
  is_to_unblock = false
}

/* uvsig__source_release() */
inline release(l) {
#ifdef MASK_LAST
  unsubscribe(l);
  restore_mask(l);
  unblock_last();
#else
  restore_mask(l);
# ifdef UNBLOCK_FIRST
  unblock_last();
# endif
  unsubscribe(l);
# ifndef UNBLOCK_FIRST
  unblock_last();
# endif
#endif
#ifndef NO_SYNC
  SYNCHRONIZED
#endif
}

/* uvsig__signalfd_return() */
inline return_batch(l) {
  atomic {
    do
    :: nempty(batch[l]) ->
       batch[l] ? s;
       caught[AT(l, s)] = false;
#ifdef NO_RETURN
       skip
#else
       queue ! s
#endif
    :: empty(batch[l]) -> break
    od;
    s = 0
  }
  HAS_TAKEN
}

/* discard() */
inline discard(l) {
  atomic {
    do
    :: nempty(pipe[l]) ->
       pipe[l] ? s;
       settle(l, s);
       assert(!is_kept[s] && !is_to_be_told[AT(l, s)])
    :: empty(pipe[l]) -> break
    od;
    s = 0
  }
  return_batch(l)
}

/* Set `mark`, which is of signal `s`, for all that a channel holds. */
inline mark_all(channel, mark, value) {
  h = len(channel);
  do
  :: h > 0 -> channel ? s; mark = value; channel ! s; h--
  :: h == 0 -> break
  od;
  s = 0
}

/* What the other loop has read is told there alone. */
inline end_source(l) {
  discard(l);
  atomic {
    needs_handler[l] = false;
    for (s : 0 .. SIGNALS - 1) {
      assert(!is_to_be_told[AT(l, s)] || settled[AT(l, s)]);
      is_to_be_told[AT(l, s)] = false;
      is_kept[s] = false
    }
    mark_all(batch[1 - l], caught[AT(l, s)], false)
  }
}

/* uvsig__drain_queue(): what has been read first. */
inline drain_queue(l) {
  do
  :: atomic {
       is_queued[l] && (nempty(batch[l]) || nempty(queue)) ->
       if
       :: nempty(batch[l]) -> batch[l] ? n
       :: empty(batch[l]) ->
          queue ? n;
          note_others(l, n)
       fi;
       deliver(l, n);
       n = 0
     }
  :: !is_queued[l] || (empty(batch[l]) && empty(queue)) -> break
  od
}

inline tell_all(l) {
  atomic {
    do
    :: nempty(pipe[l]) -> pipe[l] ? s; settle(l, s)
    :: empty(pipe[l]) -> break
    od;
    s = 0
  }
}

/* uvsig__source_stop() of the last watcher, or, with `is_drain`,
 * uvsig_watcher_drain(). */
inline stop(l) {
  if
  :: is_drain ->
     atomic {
       if
       :: is_queued[l] -> mark_all(queue, is_to_be_told[AT(l, s)], true)
       :: else -> skip
       fi
     }
#ifndef NO_DRAIN_QUEUE
     drain_queue(l);
#endif
     watching--
  :: else ->
     atomic {
       watching--;
       if
       :: is_blocked && !is_subscribed[1 - l] ->
          mark_all(queue, is_kept[s], true);
          mark_all(batch[l], is_kept[s], true)
       :: else -> skip
       fi
     }
  fi;
  release(l);
  if
  :: is_drain -> tell_all(l); is_drain = false
  :: else -> skip
  fi;
  end_source(l)
}

/* --- The loop's thread ---------------------------------------------------- */

inline check_all() {
  atomic {
    for (s : 0 .. SIGNALS - 1) {
      for (h : 0 .. 1) {
        assert(!caught[AT(h, s)] || settled[AT(h, s)])
      }
      assert(had_previous[s] || settled[AT(0, s)] || settled[AT(1, s)] ||
             by_launcher)
    }
  }
}

#define HAS_READ(l) (!is_subscribed[l] || (empty(pipe[l]) && empty(batch[l])))

/* There is nothing to be done but to start or stop. */
#define IS_QUIET (sent == SIGNALS && in_flight == 0 && \
                  HAS_READ(0) && HAS_READ(1) && \
                  (empty(queue) || (is_blocked && !in_set[0] && !in_set[1])))

/* It makes any of these, in the loop or in callbacks. */
proctype loop() {
  byte l;
  byte n;
  byte s;
  byte h;
  bool is_drain;
  bool is_to_unblock;

  atomic {
    if
    :: true -> by_launcher = true
    :: true -> skip
    fi;
    is_blocked = by_launcher
  }
  do
  :: atomic { l == 0 -> l = 1 }
  :: atomic { l == 1 -> l = 0 }
  :: !is_subscribed[l] && starts[l] < STARTS -> start(l)
  :: is_subscribed[l] && !needs_handler[l] -> need_handler(l)
  :: atomic {
       is_subscribed[l] ->
       if
       :: true -> is_drain = true
       :: true -> skip
       fi
     }
     stop(l)
  :: in_set[l] && nempty(queue) && empty(batch[l]) -> read_queue(l)
  :: nempty(batch[l]) -> atomic { batch[l] ? n; deliver(l, n); n = 0 }
  :: is_subscribed[l] && nempty(pipe[l]) -> tell_all(l)
  :: IS_QUIET && watching > 0 -> assert(empty(queue) && is_ours)
  :: IS_QUIET && watching == 0 -> break
  od;
  assert(empty(queue) || by_launcher);
  assert(is_blocked == by_launcher);
  check_all()
}

init {
  atomic {
    run thread();
    run interrupt();
    run sender();
    run loop()
  }
}
