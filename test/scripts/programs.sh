#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The whole programs in the pages of the manual link with the library as it was
# built, and the servers of uvsig(7) do what the page says: their very text is
# run, but for the number of the port.
#
# Environment: AWK, and what tap.sh has.

# shellcheck source=test/lib/tap.sh
. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"
AWK=${AWK:-awk}
# shellcheck source=test/lib/pages.sh
. "$srcdir/test/lib/pages.sh"

sanitize=${SANITIZER:+-fsanitize=$SANITIZER}

# build C-FILE PROGRAM [PACKAGE]: words, not one argument, are what is not quoted.
# shellcheck disable=SC2046,SC2086
build() {
  $CC -std=gnu11 $sanitize -I"$srcdir/include" \
    $($PKG_CONFIG --cflags libuv ${3:+"$3"}) -c -o "$2.o" "$1" &&
    ./libtool --silent --tag=CC --mode=link $CC $sanitize -no-install -o "$2" "$2.o" \
      libuvsig.la $($PKG_CONFIG --libs libuv ${3:+"$3"})
}

for page in "$srcdir"/man/*.[37]; do
  programs "$page"
done
count=0
for program in "$tmp"/program-*.c; do
  test -f "$program" || continue
  count=$((count + 1))
  sentence="$(basename "$program" .c | sed 's/^program-//') links with the library"
  package=$(needed "$program")
  if test -n "$package" && ! $PKG_CONFIG --exists "$package"; then
    skip "$sentence" "no $package"
  else
    check "$sentence" build "$program" "${program%.c}" "$package"
  fi
done
check "there are programs" test "$count" -ge 20

# --- The servers of uvsig(7) ----------------------------------------------------------

check "a client is built" build "$srcdir/test/scripts/programs.c" "$tmp/client"

# serve N PORT: the program N with another port than the page's. Another process
# may take that in between.
serve() {
  tries=10
  while test "$tries" -gt 0; do
    tries=$((tries - 1))
    port=$("$tmp/client") || return 1
    sed "s/\"127.0.0.1\", $2,/\"127.0.0.1\", $port,/" \
      "$tmp/program-uvsig.7-$1.c" >"$tmp/server.c"
    cmp -s "$tmp/program-uvsig.7-$1.c" "$tmp/server.c" && return 1
    build "$tmp/server.c" "$tmp/server" || return 1
    "$tmp/server" >"$tmp/server.out" 2>&1 &
    pid=$!
    wait_for serves_or_has_ended
    has_ended "$pid" || return 0
  done
  because "it does not serve"
}
serves_or_has_ended() {
  "$tmp/client" "$port" leave 2>/dev/null || has_ended "$pid"
}

# dies_by_sigterm: by the signal, after it has ended in order.
dies_by_sigterm() {
  kill -TERM "$pid" && wait_for has_ended "$pid" || return 1
  status=0
  wait "$pid" || status=$?
  equal "the status" "$status" 143
}

says_hello() {
  serve 1 7777 && "$tmp/client" "$port" >"$tmp/text" &&
    equal "the text" "$(cat "$tmp/text")" hello
}
says_that_it_waits() {
  serve 3 9000 && dies_by_sigterm &&
    equal "its output" "$(cat "$tmp/server.out")" "SIGTERM, waiting for clients"
}

check "the server that uvsig.7 begins with says hello" says_hello
check "it ends by SIGTERM" dies_by_sigterm
check "the server of watchers alone waits, and ends by SIGTERM" says_that_it_waits

finish
