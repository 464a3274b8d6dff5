#!/bin/sh
# SPDX-License-Identifier: MIT
#
# README: its program is the example, line for line, and at most 40 lines long;
# the tests that its table names exist.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

readme=$srcdir/README.md

sed -n '/^```c$/,/^```$/{/^```/!p;}' "$readme" >"$tmp/program.c"
same "the program in README is the smallest example" \
  "$srcdir/examples/01-hello-sigint.c" "$tmp/program.c"
check "it has at most 40 lines" test "$(wc -l <"$tmp/program.c")" -le 40

# Rows such as: | case | `core/watcher` a_sentence, `core/uv-signal` another |
sed -n '/^| case | tests |$/,/^$/p' "$readme" | tr '|,' '\n\n' |
  sed -n 's/^ *`\([a-z/-]*\)` \([a-z0-9_]*\) *$/\1 \2/p' >"$tmp/named"
check "README names tests" test -s "$tmp/named"
while read -r program name; do
  check "$program has $name" \
    grep -q "^ *TEST($name)" "$srcdir/test/$program.c"
done <"$tmp/named"

finish
