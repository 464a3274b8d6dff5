#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The library as it is on systems that have less: without sigtimedwait(2), without
# libc's pidfd_send_signal(3), and without signalfd(2). The files that ask config.h
# for them are compiled again, with one that has them not, and the tests of all
# three run with those objects before the library.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

less='HAVE_SIGTIMEDWAIT|HAVE_PIDFD_SEND_SIGNAL|HAVE_SYS_SIGNALFD_H'
mkdir "$tmp/build"
sed -E "s/^#define ($less) .*//" config.h >"$tmp/build/config.h"
check "config.h has none of them" \
  sh -c "! grep -qE 'define ($less)' '$tmp/build/config.h'"
library=$(pwd)/.libs/libuvsig.a
cd "$tmp/build" || exit 1
# shellcheck disable=SC2046,SC2086 # lists of words
check "what asks for them builds" $CC -std=gnu11 -pthread -g -O2 -Wall -Wextra \
  -Werror -I. -I"$srcdir/include" -I"$srcdir/lib" \
  $($PKG_CONFIG --cflags libuv) -c \
  $(grep -rlE "$less|signalfd\.h" "$srcdir/lib" --include='*.c')

# It may be a list of words, such as "nm -B".
# shellcheck disable=SC2086
${NM:-nm} ./*.o >"$tmp/symbols"
check "its symbols can be read" grep -q 'T uvsig_sigtimedwait' "$tmp/symbols"
calls='U (sigtimedwait|sigwaitinfo|pidfd_send_signal|signalfd)'
grep -wE "$calls" "$tmp/symbols" >"$tmp/foreign"
# Of the library's other files none may call them.
# shellcheck disable=SC2086
${NM:-nm} -A "$library" | grep -wE "$calls" | sed 's/.*libuvsig_la-//' |
  while IFS=: read -r object rest; do
    test -e "$object" || echo "$object:$rest"
  done >>"$tmp/foreign"
same "it calls nothing of what there is not" /dev/null "$tmp/foreign"

# Objects of the tests that somebody has built in the source tree would be taken
# for ours: they go elsewhere, one program at a time.
for test in posix/sigwait posix/send core/wait core/signalfd; do
  name=${test#*/}
  # Compiler and flags are lists of words.
  # shellcheck disable=SC2046,SC2086
  check "test/$test builds" $CC -std=gnu11 -pthread -I. -I"$srcdir/include" \
    -o "$name" "$srcdir/test/$test.c" "$srcdir/test/lib/harness.c" \
    ./*.o "$library" \
    $($PKG_CONFIG --cflags --libs cmocka libuv)
  check "test/$test passes" "./$name"
done
# One line of those tests says how many there are.
./signalfd >"$tmp/skipped" 2>&1
check "every test of signalfd() is skipped without it" \
  test "$(grep -c 'SKIP' "$tmp/skipped")" = "$(sed -n 's/^1\.\.//p' "$tmp/skipped")"

finish
