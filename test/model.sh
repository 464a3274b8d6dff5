#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The model of the wakeup protocol: Spin tries every interleaving. The protocol
# loses nothing; with a step taken out it does, so that the model could find it.

. "${srcdir:-$(dirname "$0")/..}/test/tap.sh"

SPIN=${SPIN:-spin}

if ! "$SPIN" -V >/dev/null 2>&1; then
  echo "1..0 # SKIP spin is missing"
  exit 0
fi

# explore FLAGS...: the exit status says whether an error was found, or that the
# search was not complete.
explore() {
  (
    cd "$tmp" || exit 2
    rm -f pan*
    "$SPIN" "$@" -a "$srcdir/test/wakeup.pml" &&
      $CC -O1 -w -DSAFETY -o pan pan.c && ./pan -m200000 >pan.out
    cat pan.out
    grep -q 'errors: 0' pan.out && ! grep -q 'max search depth too small' pan.out
  )
}

loses() {
  if explore "$@"; then return 1; fi
  grep -q 'assertion violated' "$tmp/pan.out"
}

for budget in 1 2 3; do
  check "bytes mode loses nothing, $budget bytes a turn" \
    explore -DBUDGET=$budget
  check "bytes mode loses nothing, $budget bytes a turn, a pipe that is thought \
larger" explore -DBUDGET=$budget -DCAPACITY=8
  check "wake-only mode loses nothing, $budget bytes a turn" \
    explore -DWAKE_ONLY -DBUDGET=$budget
done
check "without the doorbell a signal is lost" loses -DNO_DOORBELL
check "without the doorbell one is lost in wake-only mode" \
  loses -DNO_DOORBELL -DWAKE_ONLY
check "one is lost when the counters are taken before the flag" \
  loses -DTAKE_FIRST
check "one is lost when a full read is not looked behind" \
  loses -DNO_EMPTY -DBUDGET=1 -DCAPACITY=8

finish
