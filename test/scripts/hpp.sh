#!/bin/sh
# SPDX-License-Identifier: MIT
#
# uvsig.hpp: hpp.cc is built in each standard, against the library of this build,
# and its tests run.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

if ! echo 'int main() { return 0; }' >"$tmp/try.cc" ||
   ! $CXX -fsyntax-only "$tmp/try.cc" >/dev/null 2>&1; then
  skip "uvsig.hpp" "no C++ compiler: $CXX"
  finish
fi
check "uvsig.hpp has at most 150 lines" \
  test "$(wc -l <"$srcdir/include/uvsig.hpp")" -le 150
check "none of more than 80 columns" \
  sh -c '! grep -E "^.{81}" "$1"' - "$srcdir/include/uvsig.hpp"

for std in c++17 c++20; do
  # Compiler and flags are lists of words.
  # shellcheck disable=SC2046,SC2086
  check "as $std it builds without a warning" $CXX -std=$std -pedantic -g \
    -Wall -Wextra -Wshadow -Wold-style-cast -Wundef -Wsign-conversion \
    -Werror ${SANITIZER:+-fsanitize=$SANITIZER} -pthread -I"$srcdir/include" \
    -o "$tmp/hpp" "$srcdir/test/scripts/hpp.cc" -L.libs -luvsig \
    -Wl,-rpath,"$(pwd)/.libs" $($PKG_CONFIG --cflags --libs libuv)
  "$tmp/hpp" >"$tmp/output" 2>"$tmp/errors" </dev/null
  # Its tests, each by its name.
  while IFS= read -r line; do
    case $line in
      "ok "*) pass "as $std ${line#*- }" ;;
      *) fail "as $std ${line#*- }" "$tmp/errors" ;;
    esac
  done <"$tmp/output"
  check "as $std eleven tests have run" \
    test "$(grep -c '^ok' "$tmp/output")" -eq 11
done

finish
