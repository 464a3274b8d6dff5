#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The models of the wakeup protocol, of the grace period, of the handler's
# chain, of the signalfd source and of an upgrade: Spin tries every
# interleaving. The library's steps keep what the head of each model promises.
# With a step taken out or changed they do not, so that the model could find it.
# And no line of a model is idle: each is reached.

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
  reached=$tmp/reached.$1
  shift
  (
    cd "$tmp" || exit 2
    rm -f pan*
    "$SPIN" "$@" -a "$model" &&
      $CC -O0 -w -DSAFETY -o pan pan.c && ./pan -w20 -m200000 >pan.out
    cat pan.out
    grep -q 'errors: 0' pan.out &&
      ! grep -q 'max search depth too small' pan.out && note_lines >>"$reached"
  )
}

# "reached" or "missed" with each line that has a statement. Where a line is
# compiled more than once, as that of an inline is, one of them is enough. "-d"
# prints all statements, and the search those that it has not reached.
note_lines() {
  ./pan -d >pan.all
  awk '
    /^unreached in / { process = $NF; next }
    FNR == NR && /\.pml:[0-9]+, state [0-9]+, / && !/"-end-"/ {
      match($0, /state [0-9]+/)
      missed[process, substr($0, RSTART + 6, RLENGTH - 6)]
      next
    }
    FNR == NR { next }
    /^proctype |^init/ { process = $NF; next }
    /^\tstate/ && match($0, /\.pml:[0-9]+ /) && !/-end-/ {
      line = substr($0, RSTART + 5, RLENGTH - 6)
      print ((process, $2) in missed ? "missed " : "reached ") line
    }' pan.out pan.all | sort -u
}

# All runs of the model together have reached each of its lines.
reaches_all() {
  sort -u "$tmp/reached.$1" | awk '
    $1 == "missed" { missed[$2] }
    $1 == "reached" { reached[$2]; count++ }
    END {
      for (line in missed)
        if (!(line in reached)) {
          print "line " line " is not reached"
          status = 1
        }
      exit status || count == 0
    }'
}

# finds MESSAGE MODEL FLAGS...: the model finds that, and not that it cannot be
# run.
finds() {
  message=$1
  shift
  if explore "$@"; then return 1; fi
  grep -q "$message" "$tmp/pan.out"
}

errs() {
  finds 'assertion violated' "$@"
}

# A process waits for good.
hangs() {
  finds 'invalid end state' "$@"
}

for budget in 1 2 3; do
  check "bytes mode loses nothing, $budget bytes a turn" \
    explore wakeup -DBUDGET=$budget
  check "bytes mode loses nothing, $budget bytes a turn, a pipe that is thought \
larger" explore wakeup -DBUDGET=$budget -DCAPACITY=8
  check "wake-only mode loses nothing, $budget bytes a turn" \
    explore wakeup -DWAKE_ONLY -DBUDGET=$budget
done
check "bytes mode loses nothing that is to be reported" \
  explore wakeup -DOWN -DSIGNALS=2
check "wake-only mode loses nothing when the doorbell is answered last" \
  explore wakeup -DWAKE_ONLY -DANSWER -DOWN -DSIGNALS=2
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
one_fails="wakeup -DSIGNALS=2 -DFAILS=1 -DONE_FAILS"
for mode in "" "-DBUDGET=1" "-DWAKE_ONLY -DANSWER"; do
  check "a doorbell that is written counts, whatever fails elsewhere $mode" \
    explore $one_fails $mode
done
check "it does not when the loop looks at the flag alone" \
  errs $one_fails -DNO_BELL
check "without the doorbell a signal is lost" errs wakeup -DNO_DOORBELL
check "without the doorbell one is lost in wake-only mode" \
  errs wakeup -DNO_DOORBELL -DWAKE_ONLY
check "one is lost when a handler looks at the flag before it counts" \
  errs wakeup -DLOOK_EARLY
check "one is lost when the counters are taken before the flag" \
  errs wakeup -DTAKE_FIRST
check "one is lost when a full read is not looked behind" \
  errs wakeup -DNO_EMPTY -DBUDGET=1 -DCAPACITY=8

check "a handler never uses what another thread has freed" explore readers
check "with one generation it does" errs readers -DFLIPS=1

check "a handler's thread that is cancelled is not waited for" explore cancel
check "it is when its cancel type stays as it is" hangs cancel -DNO_TYPE
check "it is when the type is set after it has counted in" \
  hangs cancel -DTYPE_LAST
check "it is when it ends in a watcher's function and is not counted out" \
  hangs cancel -DNO_CLEANUP
check "it ends in such a function when its cancel state stays as it is" \
  errs cancel -DNO_STATE
check "it is when the type is back before it has counted out" \
  hangs cancel -DRESTORE_FIRST
check "it is when it writes by write()" hangs cancel -DNOT_RAW

polite="chain -DCHANGES=6"
check "a signal is counted once, and each action has it once" explore $polite
check "so where a library comes again" explore $polite -DAGAIN -DCHANGES=7
check "so where there are more than are saved" explore $polite -DLEVELS=2
check "so, but for what is between, where libraries hand on no siginfo_t" \
  explore chain -DIMPOLITE
check "so where one of them comes again" explore chain -DIMPOLITE -DAGAIN
check "so where a handler jumps" explore chain -DJUMPS
check "so where a jump leaves its traces in the next siginfo_t" \
  explore chain -DJUMPS -DDIRTY
meanwhile="chain -DMEANWHILE -DCHANGES=5 -DLIBRARIES=1"
check "so where watchers and a library come and go meanwhile" \
  explore $meanwhile
check "so where two libraries do" explore chain -DMEANWHILE -DCHANGES=4
check "the chain has no end when no call is noted" errs $polite -DNO_CALLED
check "the chain has no end when a forwarded call is not noted" \
  errs $polite -DNO_BIT
check "the first action misses one when what covers ours takes its place" \
  errs $polite -DNO_COVER
check "a library that comes again is called twice when it is saved twice" \
  errs $polite -DAGAIN -DCHANGES=7 -DNO_FIND
check "one is counted twice when nothing is guessed without a siginfo_t" \
  errs chain -DIMPOLITE -DLIBRARIES=1 -DNO_GUESS
check "the first action misses one when more than that is due then" \
  errs chain -DIMPOLITE -DNO_FIRST
check "one is lost when a call in a frame that has gone counts" \
  errs chain -DJUMPS -DDIRTY -DNO_CALLERS
check "one has two calls when the last stop counts down after it restores" \
  errs $meanwhile -DINSTALLED_LATE
check "one is lost when the first start does not wait for handlers" \
  errs $meanwhile -DNO_START_SYNC

check "the signalfd source loses nothing" explore signalfd
check "so beside a loop that has none" explore signalfd -DSECOND_BY_PIPE
check "what waits is discarded when the last stop unblocks first" \
  errs signalfd -DUNBLOCK_FIRST
check "the previous action comes to the loop when the last stop blocks last" \
  errs signalfd -DMASK_LAST
check "a signal stays blocked when the last stop does not unblock" \
  errs signalfd -DNO_UNBLOCK
check "the loop reads what is not its own when the signalfd keeps the signal" \
  errs signalfd -DNO_REMOVE
check "one is lost when the last stop does not give back what has been read" \
  errs signalfd -DNO_RETURN
check "one has the previous action when there is no handler beside it" \
  errs signalfd -DNO_HANDLER
check "one is lost when the last stop does not wait for handlers" \
  errs signalfd -DNO_SYNC
check "the handler is gone when the first start does not wait" \
  errs signalfd -DNO_START_SYNC
check "one is left waiting when the loop leaves the queue without unblocking" \
  errs signalfd -DNO_LEAVE
check "another loop misses one when its watchers are not asked for" \
  errs signalfd -DNO_ALONE
check "it misses one when a stop drops what was read for it" \
  errs signalfd -DNO_SHARE
check "it is left waiting when a stop blocks the signal for it" \
  errs signalfd -DNO_OTHER
check "a drain leaves one when it does not read the queue" \
  errs signalfd -DNO_DRAIN_QUEUE

check "an upgrade leaves one that serves, and no two" explore upgrade
check "none serves when the old one does not look whether the new one lives" \
  errs upgrade -DNO_REAP
check "none serves when the new one need not live for a while" \
  errs upgrade -DNO_SETTLE
check "two serve when the old one does not ask for its shutdown" \
  errs upgrade -DNO_REQUEST
check "a ready one is killed when a shutdown does not look for it" \
  errs upgrade -DNO_END
check "the new one outlives the old one when nothing kills it" \
  errs upgrade -DNO_FORGET
check "the old one waits when the time to be ready has no end" \
  errs upgrade -DNO_READY_TIMER
check "two serve when the time to settle has no end" \
  errs upgrade -DNO_SETTLE_TIMER
check "the old one waits when it does not hear of the new one's end" \
  errs upgrade -DNO_SIGCHLD
check "the old one waits when the program has the report's end, too" \
  errs upgrade -DNO_CLOEXEC
check "one that was ready in time is killed when the old one does not look" \
  errs upgrade -DNO_LAST_READ
check "none serves when a stranger is believed" errs upgrade -DANY_SENDER
check "the old one does not serve on when it closes at READY=1" \
  errs upgrade -DCLOSE_EARLY
check "the path is gone when the old one does not leave it" \
  errs upgrade -DNO_HAND_OVER

for model in wakeup readers cancel chain signalfd upgrade; do
  check "each line of the model $model is reached" reaches_all $model
done

finish
