#!/bin/sh
# SPDX-License-Identifier: MIT
#
# README: its programs are the examples, line for line, and short; the tests that its table names exist.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

readme=$srcdir/README.md

# The n-th block of code.
block() {
  awk -v n="$1" '/^```$/ { on = 0 } on; /^```c$/ { on = ++count == n }' "$readme"
}
block 1 >"$tmp/main.c"
sed -n '/^int main/,$p' "$srcdir/examples/02-server.c" >"$tmp/example.c"
same "README begins with the main() of the smallest server" \
  "$tmp/example.c" "$tmp/main.c"
check "that server has as many lines as README says" grep -q \
  "server of $(sed -n '/^#include/,$p' "$srcdir/examples/02-server.c" |
    wc -l) lines" "$readme"
block 2 >"$tmp/program.c"
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
