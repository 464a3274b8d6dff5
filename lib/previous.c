/* SPDX-License-Identifier: MIT
 *
 * What was there before our handler: chaining to it, forwarding to it what
 * nothing watches any more, and faults. Runs in signal context; the two lookups
 * also under the library's lock.
 *
 * Ours may be installed over a foreign handler that has saved ours and chains
 * to it: ours -> foreign -> ours. So several actions are saved for each signal,
 * and the siginfo_t that the foreign handler gets says which of them have been
 * called for this very signal: the newest first, and each once, so the chain
 * ends. test/scripts/chain.pml is a model of this.
 */

#include "previous.h"

#include <stddef.h>
#include <unistd.h>

struct uvsig__shared uvsig__shared;

/* --- The saved actions ---------------------------------------------------- */

/* SIG_IGN, where that cannot be read. */
struct sigaction uvsig__installed(int signum) {
  struct sigaction current;

  return sigaction(signum, NULL, &current) == 0 ? current
                                                : uvsig__simple_action(SIG_IGN);
}

/* Where an action is saved, at `level` or below; -1: it is not. */
int uvsig__find_saved(int signum, const struct sigaction* action, int level) {
  const struct uvsig__saved* saved;

  while (level >= 0 && ((saved = uvsig__saved_at(signum, level)) == NULL ||
                        !uvsig__is_same(&saved->action, action)))
    level--;
  return level;
}

/* What the kernel would have now: the default action after the one call of a
 * handler with SA_RESETHAND. */
struct sigaction uvsig__action_of(const struct uvsig__saved* saved) {
  return saved != NULL && !atomic_load(&saved->spent)
             ? saved->action
             : uvsig__simple_action(SIG_DFL);
}

static bool is_once(const struct sigaction* action) {
  return uvsig__is_handler(action) &&
         (action->sa_flags & (int) SA_RESETHAND) != 0;
}

/* Copy a saved handler that is to be called now. Returns whether there is one:
 * with SA_RESETHAND it has a single call. Counted in. */
static bool claim(struct uvsig__saved* saved, struct sigaction* action) {
  if (saved == NULL)
    return false;
  *action = saved->action;
  return uvsig__is_handler(action) &&
         !(is_once(action) && atomic_exchange(&saved->spent, true));
}

/* --- The calls of a signal ------------------------------------------------ */

/* A call of a saved action that is under way. It stands in the frame of the
 * caller, and is gone with it, also where the callee leaves by a jump. Each
 * copy of the library in the process has calls of its own: they are linked, and
 * all copies use this layout. */
struct call {
  uintptr_t magic; /* MAGIC ^ its own address */
  const void* owner;
  unsigned called; /* the saved actions that its owner has called, a bit each */
  const struct call* outer;
};

/* The unused end of a siginfo_t. */
struct tail {
  uintptr_t magic;
  const struct call* innermost;
};

/* Changes with the layout of the two. */
#define MAGIC ((uintptr_t) UINT64_C(0x6c766c3275767367))

_Static_assert(offsetof(siginfo_t, si_value) + sizeof(union sigval) <=
                   sizeof(siginfo_t) - sizeof(struct tail),
               "there must be room in siginfo_t");

/* AddressSanitizer may move locals to the heap, where their addresses say
 * nothing about frames. */
#if defined(__GNUC__)
# define ON_STACK __attribute__((noinline, no_sanitize_address))
#else
# define ON_STACK
#endif

/* Is it in the frame of a caller? Those are above, or on another stack: a
 * foreign handler may have changed it, to a higher one too. */
static bool is_callers(const struct call* at, const void* frame) {
  const uintptr_t far = 1 << 20;

#ifdef __hppa__ /* its stack grows up */
  return (uintptr_t) at < (uintptr_t) frame ||
         (uintptr_t) at - (uintptr_t) frame > far;
#else
  return (uintptr_t) at > (uintptr_t) frame ||
         (uintptr_t) frame - (uintptr_t) at > far;
#endif
}

/* The innermost call for this signal, or NULL. Linux writes zeros to the unused
 * end (since 4.20); where the system does not, the end may hold what an earlier
 * signal left in the same place. Such a call is in a frame that is gone, not
 * far below the handler's: one that has returned has no magic any more. */
ON_STACK static const struct call* innermost_call(const siginfo_t* info) {
  const struct call* call;
  struct tail tail;

  memcpy(&tail, (const char*) (info + 1) - sizeof(tail), sizeof(tail));
  call = tail.innermost;
  if (tail.magic != MAGIC || !is_callers(call, __builtin_frame_address(0)) ||
      call->magic != (MAGIC ^ (uintptr_t) call))
    return NULL;
  return call;
}

/* Which saved actions we have called for this signal, in calls that have not
 * returned. Clears an end that holds nothing: call() looks at it again, and is
 * so far down the stack that a call that is over might be above it. */
unsigned uvsig__called(siginfo_t* info) {
  const struct call* call = innermost_call(info);

  if (call == NULL)
    memset((char*) (info + 1) - sizeof(struct tail), 0, sizeof(struct tail));
  while (call != NULL && call->owner != &uvsig__shared)
    call = call->outer;
  return call != NULL ? call->called : 0;
}

/* Call a handler as the kernel would have, but for the mask, which is full, and
 * the stack. It may leave by a jump: nothing is held. `called` has its bit. */
ON_STACK static void call(const struct sigaction* action,
                          unsigned called,
                          int signum,
                          siginfo_t* info,
                          void* context) {
  char* end = (char*) (info + 1) - sizeof(struct tail);
  struct call this = {0, &uvsig__shared, called, innermost_call(info)};
  struct tail tail = {MAGIC, &this};
  struct tail before;

  this.magic = MAGIC ^ (uintptr_t) & this;
  memcpy(&before, end, sizeof(before));
  memcpy(end, &tail, sizeof(tail));
  if ((action->sa_flags & SA_SIGINFO) != 0)
    action->sa_sigaction(signum, info, context);
  else
    action->sa_handler(signum);
  *(volatile uintptr_t*) &this.magic = 0;
  memcpy(end, &before, sizeof(before));
}

/* Which saved action is due: the newest, or what is below all that have been
 * called. -1: none is left. */
static int find_due(int signum, unsigned called) {
  int due = uvsig__newest(signum);
  int level;

  for (level = due; level >= 0; level--)
    if ((called & uvsig__bit_at(signum, level)) != 0)
      due = level - 1;
  return due;
}

/* --- Chaining ------------------------------------------------------------- */

/* Call the saved handler that is due. Returns whether there is one. The caller
 * is counted in, and is not any more: the handler may leave by a jump. */
bool uvsig__chain(struct uvsig__reader reader,
                  unsigned called,
                  int signum,
                  siginfo_t* info,
                  void* context) {
  int level = find_due(signum, called);
  struct sigaction action;
  bool is_due = claim(uvsig__saved_at(signum, level), &action);

  called |= uvsig__bit_at(signum, level);
  uvsig__reader_leave(reader);
  if (is_due)
    call(&action, called, signum, info, context);
  return is_due;
}

/* --- Forwarding ----------------------------------------------------------- */

/* Ours is installed and nothing watches: a foreign library has put back what it
 * had saved. Have the saved action at `level` there again, and return whose the
 * signal is. The one call of a handler with SA_RESETHAND is made here. The
 * first start waits for handlers that are counted in before it looks what is
 * installed, so this cannot take its handler away. */
static struct sigaction restore_previous(int signum, int level) {
  struct uvsig__saved* saved = uvsig__saved_at(signum, level);
  struct sigaction action;
  bool is_due = claim(saved, &action);
  struct sigaction left = uvsig__action_of(saved);

  /* Refused: raised once more it would come here again, and so on. */
  if (sigaction(signum, &left, NULL) != 0 && left.sa_handler == SIG_DFL) {
    if (uvsig__is_deadly(signum))
      _exit(128 + signum);
    left.sa_handler = SIG_IGN;
  }
  atomic_store(&uvsig__shared.installed[signum], level);
  return is_due ? action : left;
}

/* The action that a signal has which nothing watches: a handler that is to be
 * called, SIG_IGN, or, where the kernel is to take what is installed, SIG_DFL.
 * `*level`: which saved action it is. */
static struct sigaction find_action(unsigned called,
                                    int signum,
                                    void (*ours)(int, siginfo_t*, void*),
                                    int* level) {
  struct sigaction current;
  struct sigaction action;

  /* Before the look, and stored after the change: where another thread restores
   * it at the same time, both restore the same. */
  *level = uvsig__newest(signum);
  if (sigaction(signum, NULL, &current) != 0) {
    /* Refused: whatever is installed, this is what it leads to. */
    if (claim(uvsig__saved_at(signum, *level), &action))
      return action;
    return uvsig__is_deadly(signum) ? restore_previous(signum, *level)
                                    : uvsig__simple_action(SIG_IGN);
  }
  if ((current.sa_flags & SA_SIGINFO) != 0 && current.sa_sigaction == ours)
    return restore_previous(signum, *level);
  if (uvsig__is_handler(&current) &&
      atomic_load(&uvsig__shared.installed[signum]) > 0) {
    /* The foreign handler on top chains to ours: chain on. */
    *level = find_due(signum, called);
    return claim(uvsig__saved_at(signum, *level), &action)
               ? action
               : uvsig__simple_action(SIG_IGN);
  }
  if (atomic_load(&uvsig__shared.forgets[signum]))
    return uvsig__simple_action(SIG_IGN); /* the last of an interval timer */
  /* The last stop was faster than this handler. The one call of what is
   * installed now is the kernel's to make. */
  *level = uvsig__find_saved(signum, &current, UVSIG__LEVELS - 1);
  return is_once(&current) ? uvsig__simple_action(SIG_DFL) : current;
}

/* Give a signal that nothing watches to the previous action. `ours` is the
 * handler that calls. Returns false, and does nothing, if the signal is watched
 * again. */
bool uvsig__forward(unsigned called,
                    int signum,
                    siginfo_t* info,
                    void* context,
                    void (*ours)(int, siginfo_t*, void*)) {
  struct uvsig__reader reader = uvsig__reader_enter();
  struct sigaction action;
  int level;

  if (uvsig__is_watched(signum)) {
    uvsig__reader_leave(reader);
    return false;
  }
  action = find_action(called, signum, ours, &level);
  called |= uvsig__bit_at(signum, level);
  uvsig__reader_leave(reader);
  if (uvsig__is_handler(&action))
    call(&action, called, signum, info, context);
  else if (action.sa_handler == SIG_DFL)
    raise(signum); /* blocked until the return */
  return true;
}

/* --- Faults --------------------------------------------------------------- */

/* Give a fault to the previous handler, called here with the fault's own
 * arguments: what it repairs is run again at the return. Where there is none
 * the default action is set, and the signal raised. It is blocked until the
 * return, and ends the process there. Also where nothing would fault again:
 * after a trap, a refused system call, or an asynchronous report of broken
 * memory. */
void uvsig__pass_fault(unsigned called,
                       int signum,
                       siginfo_t* info,
                       void* context) {
  struct sigaction action = uvsig__simple_action(SIG_DFL);

  if (uvsig__chain(uvsig__reader_enter(), called, signum, info, context))
    return;
  if (sigaction(signum, &action, NULL) != 0)
    _exit(128 + signum); /* refused: the fault would come again */
  raise(signum);
}
