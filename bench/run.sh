#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/run.sh DIRECTORY ROUNDS: count, measure, plot. Tables go to standard
# output and to tables.md in the directory, with CSV files and plots. Fails where
# something could not be measured, after all the rest. Runs in the build
# directory; make bench calls it, with STRACE, GNUPLOT, CC and CFLAGS.

set -eu
directory=$1
rounds=$2
source=$(dirname "$0")
. "$source/plot.sh"
export LC_ALL=C STRACE
mkdir -p "$directory"

# What an earlier run has left, and nothing else: the directory is the user's.
files=$(bench/bench -w)
plots=$(sed -n 's/^set output .*"\/\(.*\)\.svg"$/\1/p' "$source/plots.gp")
for name in $files calls instructions; do rm -f "$directory/$name.csv"; done
for name in $plots; do rm -f "$directory/$name.svg"; done

machine_table() {
  echo "## Machine"
  echo
  echo "| | |"
  echo "| --- | --- |"
  echo "| processor | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
    head -n 1), $(getconf _NPROCESSORS_ONLN) cores |"
  echo "| system | $(. /etc/os-release && echo "$PRETTY_NAME"), $(uname -s)" \
    "$(uname -r), $(getconf GNU_LIBC_VERSION || :) |"
  echo "| compiler | $($CC --version | head -n 1), $CFLAGS |"
  echo "| compared | $(bench/bench -v | sort -u |
    sed 's/^uvsig [a-z-]*/libuvsig/; s/^uv_signal_t/libuv/' | sort -u |
    paste -s -d , | sed 's/,/, /g') |"
  echo "| load average before, 1 minute | $(cut -d ' ' -f 1 /proc/loadavg) |"
  echo "| date | $(date -u +%Y-%m-%d) |"
}

# The last table is that of the targets: some are of the system calls.
# calls_target TITLE LIMIT WORKLOAD VARIANT PEER COLUMN: the column in calls.csv.
calls_target() {
  calls=
  if test -e "$directory/calls.csv"; then
    # A peer's name may have a comma.
    calls=$(awk -v row="$3,\"$4\",\"$5\"," -v column="$6" '
        index($0, row) == 1 {
          split(substr($0, length(row) + 1), counts, ",")
          print counts[column]
        }' "$directory/calls.csv")
  fi
  reached=no
  mark='**no**'
  if test -n "$calls" && awk "BEGIN { exit !($calls <= $2) }"; then
    reached=yes mark=yes
  fi
  echo "| $1 | - | $2 | ${calls:-not measured} | - | $mark | - |"
  echo "\"$1\",\"\",$2,$calls,,,,$reached,0,0" >>"$directory/targets.csv"
}

calls_targets() {
  calls_target "start and stop of a further watcher: system calls" 0 \
    start-stop further "uvsig bytes" 2
  calls_target "chained signal: system calls in the handler" 1 \
    chain "" "uvsig bytes, UVSIG_CHAIN" 1
}

# A pipe's status is that of its last command, so how the first has ended is in a
# file: it is empty where something went wrong.
ended=$(mktemp)
trap 'rm -f "$ended"' EXIT
{
  failed=
  machine_table
  echo
  echo "## Counts for each signal, start and stop, open and close, or request"
  "$source/count.sh" "$directory" || failed=yes
  echo
  echo "## Times"
  bench/bench -r "$rounds" -o "$directory" || failed=yes
  # It is written last: without it there is no table of the targets.
  if test -e "$directory/targets.csv"; then calls_targets; fi
  test -n "$failed" || echo well >"$ended"
} | tee "$directory/tables.md"
if test ! -s "$ended"; then
  echo "not all could be measured: $directory has what could" >&2
  exit 1
fi

plot plots.gp
