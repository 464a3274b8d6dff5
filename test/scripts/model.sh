#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The models of the wakeup protocol and of the reader count: Spin tries every
# interleaving. The library's steps lose nothing and use nothing that is freed;
# with a step taken out they do, so that the models could find it.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

SPIN=${SPIN:-spin}

if ! "$SPIN" -V >/dev/null 2>&1; then
  echo "1..0 # SKIP spin is missing"
  exit 0
fi

# explore MODEL FLAGS...: the exit status says whether an error was found, or
# that the search was not complete.
explore() {
  model=$srcdir/test/scripts/$1.pml
  shift
  (
    cd "$tmp" || exit 2
    rm -f pan*
    "$SPIN" "$@" -a "$model" &&
      $CC -O1 -w -DSAFETY -o pan pan.c && ./pan -m200000 >pan.out
    cat pan.out
    grep -q 'errors: 0' pan.out && ! grep -q 'max search depth too small' pan.out
  )
}

# The model finds a violated assertion, and not that it cannot be run.
errs() {
  if explore "$@"; then return 1; fi
  grep -q 'assertion violated' "$tmp/pan.out"
}

for budget in 1 2 3; do
  check "bytes mode loses nothing, $budget bytes a turn" \
    explore wakeup -DBUDGET=$budget
  check "bytes mode loses nothing, $budget bytes a turn, a pipe that is thought \
larger" explore wakeup -DBUDGET=$budget -DCAPACITY=8
  check "wake-only mode loses nothing, $budget bytes a turn" \
    explore wakeup -DWAKE_ONLY -DBUDGET=$budget
done
check "bytes mode loses nothing that is to be reported" explore wakeup -DOWN
check "wake-only mode loses nothing when the doorbell is answered last" \
  explore wakeup -DWAKE_ONLY -DANSWER -DOWN
check "one is lost when the loop does not look once more behind its read" \
  errs wakeup -DWAKE_ONLY -DANSWER -DNO_LOOK
check "one is lost when the rounds end without a byte" \
  errs wakeup -DWAKE_ONLY -DANSWER -DNO_AGAIN
check "without the doorbell a signal is lost" errs wakeup -DNO_DOORBELL
check "without the doorbell one is lost in wake-only mode" \
  errs wakeup -DNO_DOORBELL -DWAKE_ONLY
check "one is lost when the counters are taken before the flag" \
  errs wakeup -DTAKE_FIRST
check "one is lost when a full read is not looked behind" \
  errs wakeup -DNO_EMPTY -DBUDGET=1 -DCAPACITY=8
check "a handler never uses what another thread has freed" explore readers
check "with one generation it does" errs readers -DFLIPS=1

finish
