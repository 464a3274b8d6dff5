#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The examples as programs: what they print, what signals do to them, and how
# they end. 01-hello-sigint has test/scripts/readme.sh and hello.c, and the
# http-server has http-server.sh. Nothing here depends on how fast anything is:
# it waits for what can be observed, and gives up after a minute.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

program= # pid of the running example
helper=  # pid of what reads from it or writes to it

# What a failed test has left running.
drop() {
  for pid in $program $helper; do
    kill -KILL "$pid" 2>/dev/null
  done
  program=
  helper=
}

trap 'drop; rm -rf "$tmp"' EXIT

# --- Helpers ----------------------------------------------------------------

# A signal that is ignored when a shell begins stays so, and what it starts in
# the background ignores SIGINT. Not every env can undo that; the examples do
# not mind, but sigpipe could not be told from a program that ignores nothing.
defaults=
if env --default-signal true 2>/dev/null; then
  defaults="env --default-signal"
fi

run() { # as run_test
  run_test "$@"
  drop
}

# Start an example. Its libtool wrapper becomes the program: same pid.
launch_to() { # standard output, name, arguments
  output=$1
  name=$2
  shift 2
  echo "$name" >>"$tmp/tested"
  # unquoted: a command and its option
  $defaults "./examples/$name" "$@" >"$output" 2>"$tmp/err" </dev/null &
  program=$!
}

launch() { # name, arguments
  rm -f "$tmp/out" # the redirection is made by the child, later
  launch_to "$tmp/out" "$@"
}

printed() { # how many lines at least, of which form
  test "$(grep -c -e "$2" "$tmp/out" 2>/dev/null)" -ge "$1" 2>/dev/null
}

printed_or_ended() {
  printed "$@" || has_ended "$program"
}

# Wait until the example has printed so many lines of this form.
expect() {
  wait_for printed_or_ended "$@"
  printed "$@" || because "no $1 lines '$2', but:" || show
}

# The end of the output, for the log; and fail.
show() {
  cat "$tmp/out" "$tmp/err" | tail -n 20 | sed 's/^/#   /'
  return 1
}

ends_with() { # status
  if wait_for has_ended "$program"; then
    wait "$program"
    status=$?
  else
    kill -KILL "$program"
    wait "$program"
    status=timeout
  fi
  program=
  equal "exit status" "$status" "$1" || show
}

helper_ends() {
  wait_for has_ended "$helper" && helper=
}

# Nothing on standard error.
silent() {
  equal "standard error" "$(cat "$tmp/err")" ""
}

complains() { # of what
  grep -q -e "$1" "$tmp/err" ||
    because "no '$1' on standard error, but:" || show
}

prints() { # exactly
  equal "standard output" "$(cat "$tmp/out")" "$1"
}

# The pid that it says, and that one may signal, is the one that was started.
names_itself() {
  equal "first line" "$(sed 1q "$tmp/out")" "process $program"
}

# --- alarm-open -------------------------------------------------------------

mkfifo "$tmp/fifo" || exit 1

alarm_open_gives_up() {
  launch alarm-open "$tmp/fifo" 1
  ends_with 1 &&
    prints "called with signal SIGALRM (14)" &&
    complains "^could not open $tmp/fifo: "
}

alarm_open_waits() {
  launch alarm-open "$tmp/fifo" 3600
  : >"$tmp/fifo" &
  helper=$!
  ends_with 0 && prints opened && silent && helper_ends
}

alarm_open_file() {
  launch alarm-open "$srcdir/test/lib/tap.sh"
  ends_with 0 && prints opened && silent
}

alarm_open_nothing() {
  launch alarm-open "$tmp/nothing"
  ends_with 1 &&
    prints "" &&
    complains "^could not open $tmp/nothing: no such file or directory$"
}

alarm_open_usage() {
  for seconds in 0 -1 1.5 x "" 99999999999; do
    launch alarm-open "$tmp/fifo" "$seconds"
    ends_with 2 && complains "^Usage: " || return 1
  done
  launch alarm-open
  ends_with 2 && complains "^Usage: "
}

run alarm_open_gives_up \
  "alarm-open gives up a FIFO that nobody writes to, by SIGALRM"
run alarm_open_waits "alarm-open waits for a FIFO's writer"
run alarm_open_file "alarm-open opens a file"
run alarm_open_nothing "alarm-open tells other errors from the alarm"
run alarm_open_usage "alarm-open takes whole seconds above 0"

# --- sigpipe ----------------------------------------------------------------

# A FIFO in place of "sigpipe | head -n 1", whose pids would not be known.
sigpipe_head() {
  head -n 1 "$tmp/fifo" >"$tmp/line" &
  helper=$!
  : >"$tmp/out"
  launch_to "$tmp/fifo" sigpipe
  ends_with 1 && silent && helper_ends &&
    equal "what head has read" "$(cat "$tmp/line")" y
}

sigpipe_file() {
  launch sigpipe
  ends_with 0 && silent &&
    equal "number of lines" "$(wc -l <"$tmp/out" | tr -d ' ')" 1000000 &&
    equal "lines that differ" "$(uniq "$tmp/out")" y
}

sigpipe_full() {
  if ! test -c /dev/full; then
    skip="there is no /dev/full"
    return
  fi
  : >"$tmp/out"
  launch_to /dev/full sigpipe
  ends_with 1 && complains "^standard output: no space left on device$"
}

run sigpipe_head "sigpipe ends with status 1 and no message when head does"
run sigpipe_file "sigpipe writes every line to a file"
run sigpipe_full "sigpipe complains of another error than EPIPE"

# --- sigtimedwait -----------------------------------------------------------

sigtimedwait_hup() {
  launch sigtimedwait 0.05
  expect 1 '^process ' && names_itself && expect 2 '^tick$' || return 1
  kill -HUP "$program"
  expect 1 "^SIGHUP from process $$\$" || return 1
  ticks=$(grep -c '^tick$' "$tmp/out")
  expect $((ticks + 1)) '^tick$' || return 1
  kill -TERM "$program"
  ends_with 143 && silent &&
    equal "last line" "$(tail -n 1 "$tmp/out")" SIGTERM
}

sigtimedwait_int() {
  launch sigtimedwait 3600
  expect 1 '^process ' || return 1
  kill -INT "$program"
  ends_with 130 && silent &&
    equal "last line" "$(tail -n 1 "$tmp/out")" SIGINT
}

sigtimedwait_usage() {
  for seconds in 0 -1 x "" nan; do
    launch sigtimedwait "$seconds"
    ends_with 2 && complains "^Usage: " || return 1
  done
}

run sigtimedwait_hup \
  "sigtimedwait ticks, names the sender of SIGHUP, and dies by SIGTERM"
run sigtimedwait_int "sigtimedwait ends its sleep at SIGINT, and dies by it"
run sigtimedwait_usage "sigtimedwait takes seconds above 0"

# --- cpu-budget -------------------------------------------------------------

cpu_budget() {
  launch cpu-budget 0.1
  ends_with 0 && silent &&
    equal "number of lines" "$(wc -l <"$tmp/out" | tr -d ' ')" 1 &&
    expect 1 \
      '^[0-9.]* s of CPU time, [1-9][0-9]* units of work, [1-9][0-9]* steps$'
}

cpu_budget_refused() {
  for seconds in 0 -1 x inf; do
    launch cpu-budget "$seconds"
    ends_with 1 && complains "^uvsig_itimer_start: invalid argument$" ||
      return 1
  done
}

run cpu_budget "cpu-budget works until its time is used up"
run cpu_budget_refused "cpu-budget says what is no budget"

# --- poll-loop --------------------------------------------------------------

poll_loop() { # signal that ends it
  launch poll-loop
  expect 1 '^process ' && names_itself || return 1
  # the second one after the first one's callback, or they could be merged
  for nth in 1 2; do
    kill -USR1 "$program"
    expect "$nth" '^callback for SIGUSR1, ' || return 1
  done
  pid=$program
  kill "-$1" "$program"
  ends_with 0 && silent && prints "process $pid
read 1 SIGUSR1
callback for SIGUSR1, count 1
read 1 SIGUSR1
callback for SIGUSR1, count 1
read 1 SIG$1
callback for SIG$1, count 1"
}

poll_loop_term() {
  poll_loop TERM
}

poll_loop_int() {
  poll_loop INT
}

run poll_loop_term "poll-loop reads and calls back two SIGUSR1 and a SIGTERM"
run poll_loop_int "poll-loop ends on SIGINT, too"

# --- All of them ------------------------------------------------------------

all_are_tested() {
  missing=
  for file in $(grep -l '^int main(' "$srcdir"/examples/*.c); do
    name=$(basename "$file" .c)
    case $name in
      01-hello-sigint | 02-server | http-server) continue ;;
    esac
    # Some have a program of their own to drive them.
    if test -e "$srcdir/test/examples/$name.c"; then continue; fi
    grep -qxF -e "$name" "$tmp/tested" || missing="$missing $name"
  done
  equal "list of those without a test" "$missing" ""
}

are_short() {
  long=
  for file in "$srcdir"/examples/*.[ch]; do
    lines=$(wc -l <"$file" | tr -d ' ')
    test "$lines" -le 200 || long="$long ${file##*/}: $lines"
  done
  equal "list of longer ones" "$long" ""
}

run all_are_tested "every example has its test"
run are_short "no file of an example has more than 200 lines"

finish
