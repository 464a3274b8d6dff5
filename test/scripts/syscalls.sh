#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a signal costs in system calls in the handler, counted by strace: those
# between the signal's arrival and the return from its handler.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

STRACE=${STRACE:-strace}

if test -n "$SANITIZER"; then
  echo "1..0 # SKIP a sanitizer makes system calls of its own"
  exit 0
fi
if ! "$STRACE" -o "$tmp/trace" true 2>/dev/null; then
  echo "1..0 # SKIP strace is missing or may not trace here"
  exit 0
fi

# One line per signal: how many calls its handler made.
calls_per_signal() {
  "$STRACE" -o "$tmp/trace" ./test/lib/raise-many "$1" "$2" || return 1
  awk '
    /^--- SIGUSR1 /               { inside = 1; calls = 0; next }
    inside && /^rt_sigreturn\(|^sigreturn\(/ { print calls; inside = 0; next }
    inside                        { calls++ }
  ' "$tmp/trace"
}

# expect NAME MODE WATCHERS FIRST REST
expect() {
  calls_per_signal "$2" "$3" >"$tmp/got" || echo failed >>"$tmp/got"
  awk -v first="$4" -v rest="$5" \
    'BEGIN { print first; for (i = 1; i < 50; i++) print rest }' >"$tmp/wanted"
  same "$1" "$tmp/wanted" "$tmp/got"
}

expect "bytes mode makes one system call a signal with one watcher" \
  bytes 1 1 1
expect "bytes mode makes one system call a signal with a hundred watchers" \
  bytes 100 1 1
expect "a chained signal costs no more" \
  chain 1 1 1
expect "wake-only mode makes one for the first of a burst and none after it" \
  wake-only 1 1 0
expect "wake-only mode makes no more with a hundred watchers" \
  wake-only 100 1 0
expect "wake-only mode makes none for those that callbacks raise" \
  ping 1 1 0
"$STRACE" -o "$tmp/trace" ./test/lib/raise-many signalfd 1
check "with a signalfd the program is not ended" test $? -eq 0
check "with a signalfd no handler runs" \
  test "$(grep -c '^--- SIGUSR1' "$tmp/trace")" -eq 0

if test "$("$PKG_CONFIG" --modversion libuv | cut -d. -f1,2)" = 1.44; then
  expect "uv_signal_t makes three with one handle" \
    uv 1 3 3
  expect "uv_signal_t makes a hundred and two with a hundred handles" \
    uv 100 102 102
else
  skip "uv_signal_t's system calls" "README compares with libuv 1.44"
fi

finish
