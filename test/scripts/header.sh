#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The public header compiles by itself, without a warning, in every standard
# that a program may choose: header-c99.c and header-cxx.cc include it first.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

strict="-pedantic -Wall -Wextra -Wundef -Wshadow -Werror"
uv=$($PKG_CONFIG --cflags libuv)

# Flags and compilers are lists of words.
# shellcheck disable=SC2086
for std in c99 c11 gnu11 c17; do
  # Strict C hides POSIX, and with it sigset_t, until a program asks for it.
  check "as $std" $CC -std=$std -D_XOPEN_SOURCE=700 $strict \
    -Wstrict-prototypes -Wc++-compat -I"$srcdir/include" $uv \
    -fsyntax-only "$srcdir/test/scripts/header-c99.c"
  check "uvsig-uv-signal.h as $std" $CC -std=$std -D_XOPEN_SOURCE=700 $strict \
    -Wstrict-prototypes -Wc++-compat -I"$srcdir/include" $uv \
    -fsyntax-only -x c "$srcdir/include/uvsig-uv-signal.h"
done

if echo 'int main() { return 0; }' >"$tmp/try.cc" &&
   $CXX -fsyntax-only "$tmp/try.cc" >/dev/null 2>&1; then
  # shellcheck disable=SC2086
  for std in c++11 c++14 c++17 c++20; do
    check "as $std" $CXX -std=$std $strict \
      -Wold-style-cast -Wzero-as-null-pointer-constant \
      -I"$srcdir/include" $uv \
      -fsyntax-only "$srcdir/test/scripts/header-cxx.cc"
    check "uvsig-uv-signal.h as $std" $CXX -std=$std $strict \
      -Wold-style-cast -Wzero-as-null-pointer-constant \
      -I"$srcdir/include" $uv \
      -fsyntax-only -x c++ "$srcdir/include/uvsig-uv-signal.h"
  done
else
  skip "as C++" "no C++ compiler: $CXX"
fi

finish
