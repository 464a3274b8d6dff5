#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The benchmarks of restarts and of a server's end work: two upgrades of the
# benchmark's server under load lose nothing, and whatever becomes of a request
# when a server is stopped is counted.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

if test "$(uname -s)" != Linux; then
  echo "1..0 # SKIP the benchmark's client needs epoll"
  exit 0
fi
if test -n "$SANITIZER"; then
  echo "1..0 # SKIP nothing is measured with a sanitizer"
  exit 0
fi

GNUPLOT=true
export GNUPLOT

check "the client and the server can be built" "$MAKE" -s SHELL=/bin/sh \
  bench/restart-client bench/restart-server
check "upgrades are measured" env RESTART_ONLY=restart-server RESTART_PACE=300 \
  sh "$srcdir/bench/restart.sh" "$tmp/upgrade" 2
check "a stop and start is measured" env RESTART_ONLY=plain RESTART_PACE=300 \
  sh "$srcdir/bench/restart.sh" "$tmp/plain" 2
check "a server's end is measured" env DRAIN_ONLY=echo-server DRAIN_WRK=0 \
  sh "$srcdir/bench/drain.sh" "$tmp/end" 1

# Columns: 4 sent, 5 answered, 6 to 10 what was not.
upgrades_lose_nothing() {
  awk -F, '/^restart-server,/ {
    rows++
    bad += $4 == 0 || $4 != $5
    print
  } END { exit rows != 2 || bad }' "$tmp/upgrade/restart.csv"
}
check "no request fails when a server is upgraded" upgrades_lose_nothing

# Columns: 3 sent, 4 answered, 5 refused, 6 lost.
restarts_are_accounted_for() {
  awk -F, '/^plain,/ {
    rows++
    bad += $3 == 0 || $3 != $4 + $5 + $6
    print
  } END { exit rows != 1 || bad }' "$tmp/plain/restart-bars.csv"
}
check "each request is accounted for when one is stopped and started" \
  restarts_are_accounted_for

ends_are_accounted_for() {
  awk -F, '/^echo-server,/ {
    rows++
    bad += $4 == 0 || $4 != $5 + $6 + $7 + $8 + $9
    print
  } END { exit rows != 2 || bad }' "$tmp/end/drain.csv"
}
check "each request is accounted for when a server ends" ends_are_accounted_for

finish
