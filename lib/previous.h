/* SPDX-License-Identifier: MIT
 *
 * What was there before the library's handler. Signal context; the lookups also
 * under the lock.
 */

#ifndef UVSIG_PREVIOUS_H
#define UVSIG_PREVIOUS_H

#include "subscription.h"

/* NULL: nothing has been saved there. */
static inline struct uvsig__saved* uvsig__saved_at(int signum, int level) {
  return level >= 0 ? atomic_load(&uvsig__shared.saved[signum][level]) : NULL;
}

/* The level that the last stop restores. The first one stays when it has been
 * restored: a foreign library may put ours back. */
static inline int uvsig__newest(int signum) {
  int levels = atomic_load(&uvsig__shared.installed[signum]);

  return levels > 0 ? levels - 1 : 0;
}

/* 0: nothing, or what has never been saved. */
static inline unsigned uvsig__bit_at(int signum, int level) {
  const struct uvsig__saved* saved = uvsig__saved_at(signum, level);

  return saved != NULL ? saved->bit : 0;
}

struct sigaction uvsig__installed(int signum);
int uvsig__find_saved(int signum, const struct sigaction* action, int level);
struct sigaction uvsig__action_of(const struct uvsig__saved* saved);
unsigned uvsig__called(siginfo_t* info);
bool uvsig__chain(struct uvsig__reader reader,
                  unsigned called,
                  int signum,
                  siginfo_t* info,
                  void* context);
bool uvsig__forward(unsigned called,
                    int signum,
                    siginfo_t* info,
                    void* context,
                    void (*ours)(int, siginfo_t*, void*));
void uvsig__pass_fault(unsigned called,
                       int signum,
                       siginfo_t* info,
                       void* context);

#endif /* UVSIG_PREVIOUS_H */
