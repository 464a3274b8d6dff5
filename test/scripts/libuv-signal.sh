#!/bin/sh
# SPDX-License-Identifier: MIT
#
# libuv's own tests of signals, unmodified: through <uvsig-uv-signal.h> they test
# the library. tools/source-package gets libuv's source.
#
# Environment: LIBUV_SOURCE, the directory of that source, and what tap.sh has.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

if test -z "${LIBUV_SOURCE:-}"; then
  skip "libuv's own tests" "LIBUV_SOURCE is not set: see tools/source-package"
  finish
fi
library=$(pwd)/.libs/libuvsig.a
test -e "$library" || library=$(pwd)/.libs/libuvsig.so

# "file name" of each test; of those of fork() the ones that use signals.
for file in signal signal-multiple-loops signal-pending-on-close fork; do
  sed -n "s/^TEST_IMPL(\([a-z0-9_]*\)).*/$file \1/p" \
    "$LIBUV_SOURCE/test/test-$file.c"
done | grep -E '^signal|^fork fork_signal|^fork .*signal' |
  grep -v win32 >"$tmp/tests"
check "libuv has such tests" test "$(wc -l <"$tmp/tests")" -ge 8

while read -r file name; do
  echo "int run_test_$name(void); int main(void) { return run_test_$name(); }" \
    >"$tmp/main.c"
  # Compiler and flags are lists of words.
  # shellcheck disable=SC2046,SC2086
  if $CC -std=gnu99 ${SANITIZER:+-fsanitize=$SANITIZER} -pthread \
      -I"$LIBUV_SOURCE/test" -I"$LIBUV_SOURCE/src" -I"$srcdir/include" \
      -include uvsig-uv-signal.h -o "$tmp/$name" \
      "$tmp/main.c" "$LIBUV_SOURCE/test/test-$file.c" "$library" \
      -Wl,-rpath,"$(dirname "$library")" \
      $($PKG_CONFIG --cflags --libs libuv) >"$tmp/output" 2>&1 </dev/null
  then
    check "libuv's $name passes" timeout 300 "$tmp/$name"
  else
    fail "libuv's $name builds" "$tmp/output"
  fi
done <"$tmp/tests"

# The test would pass as well with libuv's own functions.
check "it was not libuv that was tested" sh -c \
  "${NM:-nm} '$tmp/we_get_signal' | grep -q uvsig_uv_signal_start"

finish
