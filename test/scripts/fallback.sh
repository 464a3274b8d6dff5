#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The library as it is on systems that have less: without sigtimedwait(2) and
# without libc's pidfd_send_signal(3). configure is told so by its cache
# variables, and the tests of both run with that library.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

link_source
mkdir "$tmp/build"
cd "$tmp/build" || exit 1
check "configure takes the cache variables" \
  "$tmp/src/configure" -q --enable-werror --disable-shared \
  --without-microhttpd CC="$CC" CFLAGS="-g -O2" \
  ac_cv_func_sigtimedwait=no ac_cv_func_pidfd_send_signal=no
check "the library builds" "$MAKE" -s libuvsig.la

# It may be a list of words, such as "nm -B".
# shellcheck disable=SC2086
${NM:-nm} .libs/libuvsig.a >"$tmp/symbols"
check "its symbols can be read" grep -q 'T uvsig_sigtimedwait' "$tmp/symbols"
grep -wE 'U (sigtimedwait|sigwaitinfo|pidfd_send_signal)' "$tmp/symbols" \
  >"$tmp/foreign"
same "it calls nothing of what there is not" /dev/null "$tmp/foreign"

# Objects of the tests that somebody has built in the source tree would be taken
# for ours: they go elsewhere, one program at a time.
for test in posix/sigwait posix/send core/wait; do
  name=${test#*/}
  # Compiler and flags are lists of words.
  # shellcheck disable=SC2046,SC2086
  check "test/$test builds" $CC -std=gnu11 -pthread -I. -I"$srcdir/include" \
    -o "$name" "$srcdir/test/$test.c" "$srcdir/test/lib/harness.c" \
    .libs/libuvsig.a \
    $($PKG_CONFIG --cflags --libs cmocka libuv)
  check "test/$test passes" "./$name"
done

finish
