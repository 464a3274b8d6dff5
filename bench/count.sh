#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/count.sh DIRECTORY: system calls (strace) and instructions (callgrind)
# for each signal, which do not depend on how busy the machine is. Tables go to
# standard output, calls.csv and instructions.csv to the directory. Fails where
# something could not be counted, after all the rest. Runs in the build directory;
# make bench calls it.

set -eu
directory=$1
program=bench/bench
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
failed=0

fail() {
  echo "$1 $2: $3 of $4 could not be counted" >&2
  failed=1
}

# The system calls between the two marks, getsid(), in a signal's handler and in
# all. A handler is what comes between the signal's arrival and the return.
count_calls() {
  timeout 60 "$STRACE" -f -o "$tmp/trace" \
    "$program" -1 "$1" "$2" "$3" "$4" || return 1
  awk -v n="$5" '
    $2 ~ /^getsid\(/ { inside = !inside; next }
    !inside || $3 == "resumed>" || / resumed>/ { next }
    $2 == "---" { handler[$1] = 1; next }
    $2 == "+++" { next }
    $2 ~ /^rt_sigreturn\(/ { handler[$1] = 0 }
    handler[$1] { in_handler++ }
    { all++ }
    END { printf "%.6g,%.6g\n", in_handler / n, all / n }
  ' "$tmp/trace"
}

# rows COUNT FILE WHAT WORKLOAD VARIANT REPEATS SIGNALS: for each peer what the
# function COUNT says of it, as a row of a table and a line of the file.
rows() {
  "$program" -l "$4" "$5" >"$tmp/peers"
  while read -r peer; do
    if counts=$("$1" "$4" "$5" "$peer" "$6" "$7"); then
      echo "| $peer | $(echo "$counts" | sed 's/,/ | /') |"
      echo "$4,\"$5\",\"$peer\",$counts" >>"$directory/$2"
    else
      fail "$4" "$5" "$3" "$peer"
    fi
  done <"$tmp/peers"
}

# of_calls WORKLOAD VARIANT REPEATS SIGNALS
of_calls() {
  printf '\n### %s%s: system calls\n\n| | in the handler | in all |\n' \
    "$1" "${2:+, $2}"
  echo '| --- | --: | --: |'
  rows count_calls calls.csv "system calls" "$@"
}

run_callgrind() {
  timeout 60 valgrind --tool=callgrind --callgrind-out-file="$tmp/callgrind" \
    "$program" -1 "$1" "$2" "$3" "$4" 2>"$tmp/log" || return 1
  sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$tmp/log" | grep .
}

# Twice as many signals less as many, so that what comes before and after them
# does not count. GLib's threads may differ by more than that: then it is unknown.
count_instructions() {
  once=$(run_callgrind "$1" "$2" "$3" "$4") || return 1
  twice=$(run_callgrind "$1" "$2" "$3" $(($4 * 2))) || return 1
  awk -v n="$5" -v once="$once" -v twice="$twice" \
    'BEGIN {
      if (twice > once) { printf "%.0f\n", (twice - once) / n } else { print "-" }
    }'
}

of_instructions() {
  printf '\n### %s%s: instructions\n\n| | of the process |\n| --- | --: |\n' \
    "$1" "${2:+, $2}"
  rows count_instructions instructions.csv instructions "$@"
}

if "$STRACE" -o "$tmp/trace" true 2>/dev/null; then
  echo 'workload,variant,peer,in_handler,all' >"$directory/calls.csv"
  of_calls ping "" 500 500
  of_calls chain "" 500 500
  of_calls burst 3,000 1 3000
  of_calls watchers 1 50 50
  of_calls watchers 10 50 50
  of_calls watchers 100 20 20
  of_calls watchers 1,000 5 5
  of_calls watchers 10,000 2 2
  of_calls start-stop first 50 50
  of_calls start-stop further 50 50
  of_calls open-close "" 50 50
else
  echo "system calls are not counted: strace is missing or may not trace" >&2
fi

if command -v valgrind >/dev/null; then
  echo 'workload,variant,peer,instructions' >"$directory/instructions.csv"
  of_instructions ping "" 500 500
  of_instructions burst 3,000 1 3000
  of_instructions watchers 100 50 50
  of_instructions start-stop further 200 200
  of_instructions busy-idle "one connection" 1000 1000
else
  echo "instructions are not counted: valgrind is missing" >&2
fi

exit "$failed"
