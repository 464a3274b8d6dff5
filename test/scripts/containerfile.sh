#!/bin/sh
# SPDX-License-Identifier: MIT
#
# contrib/container/Containerfile, as far as one can see without the network: its
# instructions, what it copies and installs, the signal that ends it. Its command
# is run here, too, with the examples of this build. tools/container does all of
# its steps.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

AWK=${AWK:-awk}
. "$srcdir/tools/packages"

file=$srcdir/contrib/container/Containerfile
init=
trap 'test -z "$init" || kill -KILL "$init" 2>/dev/null; rm -rf "$tmp"' EXIT

check "tools/container understands each instruction" sh -c \
  '"$0" -f "$1/tools/containerfile.awk" "$2" >"$3"' \
  "$AWK" "$srcdir" "$file" "$tmp/steps"

of() { # stage, instruction
  sed -n "s/^$1 $2 //p" "$tmp/steps"
}

list() { # ["one", "two"]: a line each
  sed 's/^\[ *"//; s/" *\]$//' | $AWK '{ gsub(/" *, *"/, "\n"); print }'
}

# --- What is installed and copied -------------------------------------------

installed() { # stage
  of "$1" RUN | sed -n 's/.*--no-install-recommends \([^&]*\).*/\1/p' |
    tr -s ' ' '\n' | sed '/^$/d' | sort
}

# Those for the libraries' development, of which libmicrohttpd is for an example
# that is not built here.
# shellcheck disable=SC2086,SC2154 # words, that tools/packages has set
build_stage_has_packages() {
  printf '%s\n' $build_packages | grep -vx libmicrohttpd-dev | sort \
    >"$tmp/wanted"
  installed 1 >"$tmp/got"
  diff -u "$tmp/wanted" "$tmp/got"
}

# What was built with libuv1-dev needs libuv1, and no other.
run_stage_has_packages() {
  equal "the packages" "$(installed 2)" libuv1
}

sources_exist() {
  of '[12]' COPY | grep -v '^--from=' >"$tmp/copies"
  test -s "$tmp/copies" || because "nothing is copied" || return 1
  while read -r from to; do
    test -e "$srcdir/$from" || because "there is no $from" || return 1
    test -n "$to" || because "$from is copied to nowhere" || return 1
  done <"$tmp/copies"
  # configure is made there.
  for script in $(of 1 RUN | tr ' ' '\n' | sed -n 's|^/src/||p'); do
    test -e "$srcdir/$script" || test -e "$srcdir/$script.ac" ||
      because "there is no $script" || return 1
  done
}

# The second stage has what the first one has installed.
stages_agree() {
  name=$(of 1 FROM | sed -n 's/.* AS //p')
  out=$(of 1 RUN | sed -n 's/^install -D -t \([^ ]*\) .*/\1/p')
  of 2 COPY | grep -qx -e "--from=$name $out/ /usr/local/sbin/" ||
    because "$out of $name is not copied to /usr/local/sbin/"
}

builds() { # program
  of 1 RUN | grep '^install ' | tr ' ' '\n' | grep -qx "examples/$1"
}

options_exist() {
  for option in $(of 1 RUN | grep -o -e '--[dew][a-z]*-[a-z]*'); do
    name=${option#--*-}
    case $option in
      --disable-shared | --no-install*) continue ;;
    esac
    grep -q -e "AC_ARG_[A-Z]*(\[*$name" "$srcdir/configure.ac" ||
      because "configure has no $option" || return 1
  done
}

# --- What runs ----------------------------------------------------------------

# Each from this build.
examples() {
  while read -r word; do
    case $word in
      /usr/local/sbin/*)
        builds "${word##*/}" || because "$word is not built" >&2 || return 1
        echo "./examples/${word##*/}"
        ;;
      *) echo "$word" ;;
    esac
  done
}

says() { # which form
  grep -q -e "$1" "$tmp/said" 2>/dev/null
}

says_or_gone() {
  says "$1" || has_ended "$init"
}

stopsignal=$(of 2 STOPSIGNAL)

# "SIG is a stop signal, as INT, QUIT, TERM are"
is_a_stop_signal() {
  ./examples/init --help | sed -n 's/.*stop signal, as \(.*\) are$/\1/p' |
    tr -d ' ' | tr ',' '\n' | grep -qx "${stopsignal#SIG}"
}

ports_agree() {
  of 2 CMD | list | grep -qx -e "--port=$(of 2 EXPOSE)" &&
    of 2 CMD | list | grep -qx -e '--address=0.0.0.0' ||
    because "EXPOSE $(of 2 EXPOSE), CMD $(of 2 CMD)"
}

# At a port that the kernel picks: the last of the same option counts.
ends_in_order() {
  { of 2 ENTRYPOINT; of 2 CMD; } | list | examples >"$tmp/command" || return 1
  printf '%s\n' --address=127.0.0.1 --port=0 >>"$tmp/command"
  # shellcheck disable=SC2046 # no argument has a space
  set -- $(cat "$tmp/command")
  "$@" >"$tmp/said" 2>&1 </dev/null &
  init=$!
  wait_for says_or_gone '^Serving on ' && says '^Serving on ' ||
    because "$(cat "$tmp/said")" || return 1
  kill -s "${stopsignal#SIG}" "$init"
  wait_for has_ended "$init"
  wait "$init"
  status=$?
  init=
  equal "its status" "$status" 143 &&
    says '^SIGTERM: 0 closed, 0 forced, 0 cut$'
}

# "podman run --stop-timeout 15"; "for up to 9.1 s"
waits_long_enough() {
  seconds=$(sed -n 's/^#.*--stop-timeout \([0-9]*\).*/\1/p' "$file")
  said=$(sed -n 's/^#.* for up to \([0-9.]*\) s.*/\1/p' "$file")
  limit=$(./test/lib/limit-internal)
  equal "the limit in the comment" "$said" \
    "$((limit / 1000)).$((limit % 1000 / 100))" &&
    test $((seconds * 1000)) -gt "$limit" ||
    because "the engine waits $seconds s, and the server may need $limit ms"
}

run_test build_stage_has_packages \
  "the first stage has the packages of tools/packages"
run_test run_stage_has_packages "the second one has libuv alone"
run_test sources_exist "what is copied from the source tree is there"
run_test stages_agree "the second stage takes what the first one has made"
run_test options_exist "configure has the options"
run_test is_a_stop_signal "STOPSIGNAL is one that init ends at"
run_test ports_agree "the server listens at the port of EXPOSE, for others, too"
run_test waits_long_enough \
  "the engine is told to wait longer than a shutdown takes"
run_test ends_in_order "at STOPSIGNAL, init and the server end with 143"

finish
