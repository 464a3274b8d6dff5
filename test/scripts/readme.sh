#!/bin/sh
# SPDX-License-Identifier: MIT
#
# README: its programs are the examples, line for line, and short. The pictures and
# the tests that it names exist.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

readme=$srcdir/README.md

# The n-th block of code.
block() {
  awk -v n="$1" '/^```$/ { on = 0 } on; /^```c$/ { on = ++count == n }' "$readme"
}
block 1 >"$tmp/lines"
check "README begins with eight lines" test "$(wc -l <"$tmp/lines")" -eq 8
# Each call of them, as the smallest server has it.
tr -s ' \n' ' ' <"$srcdir/examples/02-server.c" | tr -d ' ' >"$tmp/server"
grep -o 'uvsig_[a-z_]*(.*)' "$tmp/lines" | tr -d ' ' >"$tmp/calls"
check "they have calls" test "$(wc -l <"$tmp/calls")" -ge 5
while read -r call; do
  check "the smallest server has $call" grep -qF "$call" "$tmp/server"
done <"$tmp/calls"
check "that server has as many lines as README says" grep -q \
  "program, in $(sed -n '/^#include/,$p' "$srcdir/examples/02-server.c" |
    wc -l) lines" "$readme"
block 2 >"$tmp/program.c"
same "the program in README is the smallest example" \
  "$srcdir/examples/01-hello-sigint.c" "$tmp/program.c"
check "it has at most 40 lines" test "$(wc -l <"$tmp/program.c")" -le 40

# A drain, the phases and an upgrade are pictures made of text.
sed -n 's/.*!\[[^]]*\](\([^)]*\)).*/\1/p' "$readme" >"$tmp/pictures"
for picture in bench/results/drain-timeline man/html/phases man/html/upgrade; do
  check "README shows $picture" grep -qx "$picture.svg" "$tmp/pictures"
done
while read -r picture; do
  check "$picture exists, and follows light and dark" \
    grep -q prefers-color-scheme "$srcdir/$picture"
done <"$tmp/pictures"

# Rows such as: | case | `core/watcher` a_sentence, `core/uv-signal` another |
sed -n '/^| case | tests |$/,/^$/p' "$readme" | tr '|,' '\n\n' |
  sed -n 's/^ *`\([a-z/-]*\)` \([a-z0-9_]*\) *$/\1 \2/p' >"$tmp/named"
check "README names tests" test -s "$tmp/named"
while read -r program name; do
  check "$program has $name" \
    grep -q "^ *TEST($name)" "$srcdir/test/$program.c"
done <"$tmp/named"

finish
