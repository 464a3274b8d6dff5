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
      $CC -O0 -w -DSAFETY -o pan pan.c && ./pan -w20 -m200000 >pan.out
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
# A write that fails otherwise than by a full pipe.
failing="wakeup -DSIGNALS=2 -DFAILS=1 -DOTHERS=1"
answering="$failing -DWAKE_ONLY -DANSWER"
check "after a doorbell that fails, a later signal has all delivered" \
  explore $failing -DLATER
check "so has the loop when it runs for another handle" \
  explore $failing -DRUNS_ON
check "in wake-only mode, a later signal has all delivered" \
  explore $answering -DLATER
check "in wake-only mode, so has the loop when it runs for another handle" \
  explore $answering -DRUNS_ON
check "none wakes the loop again when the flag does not fall" \
  errs $answering -DLATER -DNO_FALL
check "one is left when the error is there before the flag falls" \
  errs $failing -DLATER -DERROR_BEFORE_FALL
check "one is left when the error is cleared after the counters are taken" \
  errs $failing -DRUNS_ON -DERROR_LAST
check "one is left when the loop does not look for errors before it polls" \
  errs $answering -DRUNS_ON -DNO_PREPARE
check "none wakes the loop again when its own byte fails without an error" \
  errs $answering -DLATER -DAGAIN_SILENT
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
