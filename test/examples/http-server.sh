#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The http-server example from end to end, with curl, wrk, and test/lib/http-client
# as its clients: what it serves, what it refuses to serve, and how SIGINT and
# SIGTERM end it.
#
# Environment: HTTP_SERVER, the program; HTTP_SERVER_WRAPPER, what to run it
# with, such as "libtool --mode=execute valgrind -q --error-exitcode=99";
# HTTP_CLIENT; CURL; WRK; HTTP_SERVER_ONLY, a pattern of the functions of
# the tests that run.
# Nothing here depends on how fast anything is: it waits for what can be
# observed, and gives up after a minute.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

HTTP_SERVER=${HTTP_SERVER:-./examples/http-server}
HTTP_CLIENT=${HTTP_CLIENT:-./test/lib/http-client}
CURL=${CURL:-curl}
WRK=${WRK:-wrk}

ulimit -S -n "$(ulimit -H -n)" 2>/dev/null # for a thousand connections

if ! "$CURL" --version >/dev/null 2>&1; then
  echo "1..0 # SKIP curl is missing"
  exit 0
fi

# Seen with clang 14 and a like program; and here there is one thread anyway.
case $SANITIZER in
  *thread*)
    echo "1..0 # SKIP ThreadSanitizer may hold a signal back while a loop sleeps"
    exit 0
    ;;
esac

server= # pid of the running server
client= # pid of the running client
clients= # pids of more of them
# One that starts another with SIGINT not ignored, as it is in a background job,
# and an ignored signal stays ignored.
heeding="$HTTP_CLIENT run"

# What a failed test has left running.
drop() {
  test -z "$server" || kill -KILL "$server" 2>/dev/null
  for pid in $client $clients; do
    kill -KILL "$pid" 2>/dev/null
  done
  server=
  client=
  clients=
}

trap 'drop; rm -rf "$tmp"' EXIT

# --- Helpers ----------------------------------------------------------------

run() { # as run_test
  # shellcheck disable=SC2254 # a pattern
  case $1 in
  ${HTTP_SERVER_ONLY:-*}) run_test "$@" ;;
  esac
}

# Wait for a child to end and set $status.
reap() {
  if wait_for has_ended "$1"; then
    wait "$1"
    status=$?
  else
    kill -KILL "$1"
    wait "$1"
    status=timeout
  fi
}

finish_server() {
  reap "$server"
  server=
}

finish_client() {
  reap "$client"
  client=
}

logged() {
  grep -q -e "$1" "$tmp/log" 2>/dev/null
}

# What it has said at its end.
said() {
  grep -q -e "$1" "$tmp/err" || because "no '$1' in: $(cat "$tmp/err")"
}

launch() { # options
  rm -f "$tmp/log" # the redirection is made by the child, later
  # unquoted: commands and their options
  $heeding $HTTP_SERVER_WRAPPER "$HTTP_SERVER" "$@" >"$tmp/log" 2>"$tmp/err" 3>&- &
  server=$!
}

is_up_or_gone() {
  logged '^Serving on ' || has_ended "$server"
}

# Do it again as long as it has set $again: where the machine was too slow for
# what it is about, or what can be promised, but not for ever.
in_time() { # command
  for try in 1 2 3 4 5 6 7 8 9 10; do
    again=
    "$@" && return
    test -n "$again" || return 1
    echo "# once more: $again"
    drop
  done
  return 1
}

# Start a server on a port that the kernel picks, and set $url and $port. Where
# it has to end by itself, no time limit hides that it does not.
start() { # more options
  drop
  launch --port 0 --directory "$tmp/www" \
    --grace 600 --hard 600 "$@"
  wait_for is_up_or_gone
  url=$(sed -n 's/^Serving on //p' "$tmp/log")
  port=${url##*:}
  port=${port%/}
  if test -z "$url"; then
    finish_server
    because "the server does not start: $status, $(cat "$tmp/err")" || return 1
  fi
}

# Run the server with options that make it end by itself, and set $status.
run_to_end() { # options
  launch "$@"
  finish_server
}

# The server has ended as it should.
ended_well() {
  finish_server
  has_ended_well
}

has_ended_well() {
  equal "exit status" "$status" 0 &&
    equal "number of lines that say how" \
      "$(grep -c '^libuvsig: shutdown: ' "$tmp/err")" 1 && return
  sed 's/^/# /' "$tmp/log" "$tmp/err"
  return 1
}

request() { # curl's options and a url
  "$CURL" -q -sS --noproxy '*' --max-time 60 "$@"
}

# Ask for something: $code, $tmp/head, $tmp/body.
get() { # path, curl's options
  path=$1
  shift
  code=$(request --path-as-is -D "$tmp/head.crlf" -o "$tmp/body" \
    -w '%{http_code}' "$@" "$url$path")
  tr -d '\r' <"$tmp/head.crlf" >"$tmp/head"
}

head_has() {
  grep -qix "$1" "$tmp/head" ||
    because "the header lacks '$1': $(tr '\n' '|' <"$tmp/head")"
}

body_has() {
  grep -qF "$1" "$tmp/body" || because "the body lacks '$1'"
}

not_found() { # path
  get "$1"
  equal "status of /$1" "$code" 404 && ! grep -q secret "$tmp/body"
}

size_of() {
  wc -c <"$1" | tr -d ' '
}

has_bytes() { # file, how many
  test -f "$1" && test "$(size_of "$1")" -ge "$2"
}

# Download the big file with a reader that stops after the first 256 KiB until
# $tmp/gate1 exists. curl writes to a pipe, which fills up, so that curl stops
# reading, and the file is larger than all the buffers in between. With an
# argument the reader stops once more when so many bytes are left, until
# $tmp/gate2 exists.
start_download() { # bytes left at the second stop
  rm -f "$tmp/gate1" "$tmp/gate2" "$tmp/part" "$tmp/curl.status"
  {
    request --max-time 600 "${url}big.bin" 2>/dev/null
    echo $? >"$tmp/curl.status"
  } 3>&- | {
    dd bs=4096 count=64 2>/dev/null >"$tmp/part"
    wait_for test -e "$tmp/gate1"
    if test $# -gt 0; then
      head -c $(($(size_of "$tmp/www/big.bin") - $(size_of "$tmp/part") - $1)) \
        >>"$tmp/part"
      wait_for test -e "$tmp/gate2"
    fi
    cat >>"$tmp/part"
  } 3>&- &
  client=$!
  wait_for has_bytes "$tmp/part" 100000
}

# Let the download go on and end.
finish_download() {
  : >"$tmp/gate1"
  : >"$tmp/gate2"
  finish_client
}

download_is_whole() {
  equal "curl's status" "$(cat "$tmp/curl.status")" 0 &&
    { cmp "$tmp/part" "$tmp/www/big.bin" >/dev/null ||
      because "the download differs"; }
}

download_is_cut_off() {
  test "$(cat "$tmp/curl.status")" -ne 0 ||
    because "the download should have been cut off"
}

# Get a file, keep the connection, and get another with it when descriptor 3 is
# closed: in between curl reads a FIFO. Opening that here waits until curl has
# got so far; if curl ends before, cat opens it instead.
open_connection() {
  rm -f "$tmp/hold" "$tmp/held" "$tmp/first" "$tmp/second"
  mkfifo "$tmp/hold"
  {
    request --max-time 600 -i -o "$tmp/first" "${url}hello.txt" \
      -o /dev/null "file://$tmp/hold" -o "$tmp/second" "$url" 2>/dev/null
    test -e "$tmp/held" || cat "$tmp/hold" >/dev/null
  } &
  client=$!
  exec 3>"$tmp/hold"
  : >"$tmp/held"
  grep -qs '^hello$' "$tmp/first" || because "the connection is not there"
}

# curl looks for an answer only when it has something to send.
is_answered() {
  printf x >&3
  grep -qs '^HTTP' "$tmp/first"
}

# Download the big text with a reader that stops until $tmp/gate1 exists, and
# ask for another file with the same connection meanwhile.
start_pipeline() {
  rm -f "$tmp/in" "$tmp/gate1" "$tmp/first"
  mkfifo "$tmp/in"
  exec 3<>"$tmp/in"
  {
    exec 3>&- # a redirection of the group would leave the shell a copy
    "$CURL" -q -sN --noproxy '*' --max-time 60 "telnet://127.0.0.1:$port" \
      <"$tmp/in" 2>/dev/null
  } | {
    exec 3>&-
    dd bs=4096 count=64 2>/dev/null >"$tmp/first"
    wait_for test -e "$tmp/gate1"
    cat >>"$tmp/first"
  } &
  client=$!
  printf 'GET /big.txt HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX: ' >&3
  wait_for is_answered
  printf '\r\nHost: x\r\n\r\n' >&3
  exec 3>&- # curl sees the end, and from now on only reads
  wait_for has_bytes "$tmp/first" 100000
}

close_connection() {
  exec 3>&-
  finish_client
}

# The client that tells how its connections end, and that sends SIGTERM to the
# server, which is over when it returns: $tmp/seen.
run_client() { # mode, how many connections, path...
  mode=$1
  connections=$2
  shift 2
  "$HTTP_CLIENT" "$mode" "$port" "$server" "$connections" "$@" \
    >"$tmp/seen" 2>"$tmp/client.err"
  client_status=$?
  case $client_status in
    0) ;;
    77) skip="this system cannot tell when a process ends" && return 1 ;;
    *) because "the client: $client_status, $(cat "$tmp/client.err")" ;;
  esac
}

seen() { # name
  sed -n "s/^$1=//p" "$tmp/seen"
}

saw() { # name, number
  equal "number of $1" "$(seen "$1")" "$2"
}

# What the server must have done to none.
saw_no_harm() {
  saw cut 0 && saw reset 0 && saw unanswered 0
}

# It has ended as it should, and by itself.
ended_in_time() {
  ended_well && said ': clean after .* 0 forced, 0 cut, 0 open'
}

curl_lacks() { # protocol
  "$CURL" --version | grep -qw "$1" && return 1
  skip="this curl has no $1"
}

# --- What it serves ---------------------------------------------------------

make_files() {
  mkdir -p "$tmp/www/folder" "$tmp/got"
  echo "secret" >"$tmp/secret.txt"
  mkdir "$tmp/secrets"
  echo "secret" >"$tmp/secrets/file"
  cd "$tmp/www" || exit 1
  printf 'hello\n' >hello.txt
  printf 'spaced\n' >'a b%41.txt'
  : >empty.txt
  echo '<p>index</p>' >index.html
  echo secret >folder/file
  ln -s ../secret.txt out.txt
  ln -s "$tmp/secret.txt" absolute.txt
  ln -s ../secrets out
  mkfifo fifo
  dd if=/dev/urandom of=big.bin bs=1048576 count=40 2>/dev/null
  head -c 300000 big.bin >medium.bin
  head -c 20000 big.bin >small.bin
  # telnet would take these bytes for commands
  tr '\000\377' 'ab' <big.bin >big.txt
  cd "$OLDPWD" || exit 1
}

serves_at_the_port_it_prints() {
  start || return 1
  case $url in
  http://127.0.0.1:0/ | '') because "url '$url'" ;;
  http://127.0.0.1:*/) ;;
  *) because "url '$url'" ;;
  esac
}

gets_a_file() {
  get hello.txt
  equal status "$code" 200 &&
    equal body "$(cat "$tmp/body")" hello &&
    head_has 'content-length: 6' || return 1
  get big.bin
  cmp "$tmp/body" "$tmp/www/big.bin"
}

heads_a_file() {
  get hello.txt --head
  equal status "$code" 200 &&
    head_has 'content-length: 6'
}

gets_an_empty_file() {
  get empty.txt
  equal status "$code" 200 && head_has 'content-length: 0'
}

says_not_found() {
  not_found nothing && not_found nothing/ && not_found hello.txt/ &&
    not_found hello.txt/x && not_found "$(printf '%01000d' 0)"
}

refuses_other_methods() {
  for method in POST PUT DELETE OPTIONS; do
    get hello.txt -X "$method" --data x
    equal "status of $method" "$code" 405 && head_has 'allow: GET, HEAD' ||
      return 1
  done
  # a body that does not fit into any buffer
  get hello.txt --data-binary @"$tmp/www/big.bin" -H Expect:
  equal "status of a large POST" "$code" 405
}

decodes_the_path() {
  get 'a%20b%2541.t%78t'
  equal status "$code" 200 && equal body "$(cat "$tmp/body")" spaced || return 1
  get 'hello.txt?x=y'
  equal status "$code" 200 && equal body "$(cat "$tmp/body")" hello
}

serves_the_index() {
  get ''
  equal status "$code" 200 &&
    equal body "$(cat "$tmp/body")" '<p>index</p>'
}

refuses_dot_dot() {
  for path in ../secret.txt folder/../../secret.txt %2e%2e/secret.txt \
    %2E%2E%2Fsecret.txt ..%2fsecret.txt folder/%2e./..%2fsecret.txt \
    /../secret.txt "/$tmp/secret.txt" "%2f$tmp/secret.txt"; do
    not_found "$path" || return 1
  done
}

refuses_links() {
  not_found out.txt && not_found absolute.txt && not_found out/file &&
    not_found out/ && not_found out
}

refuses_folders() {
  not_found folder && not_found folder/ && not_found folder/file &&
    not_found . && not_found ./
}

refuses_a_fifo() {
  not_found fifo
}

serves_many_at_a_time() {
  if ! "$CURL" --help all 2>/dev/null | grep -q -- --parallel-max; then
    skip="this curl has no --parallel"
    return
  fi
  : >"$tmp/urls"
  i=0
  while test $i -lt 200; do
    dd if="$tmp/www/big.bin" of="$tmp/www/many-$i" bs=1999 skip=$i \
      count=$((i * i % 97)) 2>/dev/null
    printf 'url = "%smany-%s"\noutput = "%s/got/many-%s"\n' \
      "$url" $i "$tmp" $i >>"$tmp/urls"
    i=$((i + 1))
  done
  request --parallel --parallel-immediate --parallel-max 20 --create-dirs \
    -K "$tmp/urls" 2>/dev/null || because "curl: $?" || return 1
  # curl makes no file for an empty one
  find "$tmp/www" "$tmp/got" -name 'many-*' -size 0 -exec rm {} +
  for file in "$tmp/www"/many-*; do
    cmp "$file" "$tmp/got/${file##*/}" || because "files differ" || return 1
  done
}

has_one_thread() {
  if ! test -d "/proc/$server/task"; then
    skip="there is no /proc"
  else
    equal "number of threads" "$(ls "/proc/$server/task" | wc -l | tr -d ' ')" 1
  fi
}

# --- SIGPIPE ----------------------------------------------------------------

# SIGPIPE is 13, the fourth bit of the fourth digit from the right.
sigpipe_is_ignored() { # process
  sed -n 's/^SigIgn:.*\(.\)...$/\1/p' "/proc/$1/status" | grep -q '[13579bdf]'
}

ignores_sigpipe() {
  if test -n "$HTTP_SERVER_WRAPPER" || ! test -r /proc/self/status; then
    skip="there is no /proc, or a wrapper has signals of its own"
    return
  fi
  sigpipe_is_ignored "$server" || because "SIGPIPE is not ignored"
}

outlives_its_clients() {
  for i in 1 2 3; do
    request --max-filesize 1000 -o /dev/null "${url}big.bin" 2>/dev/null
    equal "curl's status" $? 63 || return 1
    get hello.txt
    equal "body after a reset" "$(cat "$tmp/body")" hello || return 1
  done
}

# --- Its options ------------------------------------------------------------

helps() {
  run_to_end --help
  equal "exit status" "$status" 0 && logged '^Usage: ' &&
    logged '--directory' && logged '--grace=' && logged '--hard=' &&
    equal "standard error" "$(cat "$tmp/err")" ''
}

bad_usage() { # options
  run_to_end "$@"
  equal "exit status of $*" "$status" 2 &&
    equal "standard output" "$(cat "$tmp/log")" '' &&
    { test -s "$tmp/err" || because "no message"; }
}

refuses_bad_options() {
  bad_usage --nonsense && bad_usage argument && bad_usage --port &&
    bad_usage --port 65536 && bad_usage --port x && bad_usage --port '' &&
    bad_usage --port -1 && bad_usage --grace && bad_usage --grace x &&
    bad_usage --grace -1 && bad_usage --grace 65536 && bad_usage --grace '' &&
    bad_usage --hard && bad_usage --hard 1x && bad_usage --hard 65536 &&
    bad_usage --hard 99999999999999999999 &&
    bad_usage --directory "$tmp/nothing" --port 0 &&
    bad_usage --directory "$tmp/secret.txt" --port 0
}

taken_port() {
  start || return 1
  first=$server
  run_to_end --port "$port" --directory "$tmp/www"
  server=$first
  second=$status
  equal "exit status" "$second" 1 &&
    { grep -q 'in use' "$tmp/err" || because "message: $(cat "$tmp/err")"; }
  result=$?
  kill -TERM "$server"
  finish_server
  return $result
}

launch_limited() { # how many descriptors
  rm -f "$tmp/log"
  (
    ulimit -n "$1"
    exec $heeding "$HTTP_SERVER" --port 0 --directory "$tmp/www" \
      --grace 600 --hard 600
  ) >"$tmp/log" 2>"$tmp/err" &
  server=$!
  wait_for is_up_or_gone
  url=$(sed -n 's/^Serving on //p' "$tmp/log")
  test -n "$url" || because "does not start: $(cat "$tmp/err")"
}

# With so few descriptors that one connection takes the last.
says_it_is_busy() {
  if test -n "$HTTP_SERVER_WRAPPER" || ! test -d /proc/self/fd; then
    skip="there is no /proc, or a wrapper needs descriptors"
    return
  fi
  start || return 1
  free=0
  while test -e "/proc/$server/fd/$free" || test -h "/proc/$server/fd/$free"; do
    free=$((free + 1))
  done
  kill -TERM "$server"
  ended_well || return 1

  launch_limited $((free + 1)) || return 1
  get hello.txt
  equal status "$code" 503
  result=$?
  kill -TERM "$server"
  ended_well && return $result
}

# --- How it ends ------------------------------------------------------------

# The server that the tests before have used, if they have run.
sigterm_ends_it() {
  test -n "$server" || start || return 1
  kill -TERM "$server"
  ended_well && logged '^SIGTERM: finishing$'
}

sigint_ends_it() {
  start || return 1
  kill -INT "$server"
  ended_well && logged '^SIGINT: finishing$'
}

# As nohup(1) and shells want it.
leaves_ignored_sigint_alone() {
  heeding_before=$heeding
  heeding=
  start
  result=$?
  heeding=$heeding_before
  test $result -eq 0 || return 1
  kill -INT "$server"
  get hello.txt
  equal body "$(cat "$tmp/body")" hello || return 1
  kill -TERM "$server"
  ended_well && logged '^SIGTERM: finishing$'
}

both_at_once_end_it() {
  start || return 1
  kill -STOP "$server"
  kill -INT "$server"
  kill -TERM "$server"
  kill -CONT "$server"
  ended_well
}

# Not stopped, so that the second may come at any moment of the shutdown. The
# third ends it, should 200 ms have passed before each.
one_after_the_other_end_it() {
  for i in 1 2 3 4 5; do
    in_time end_one_after_the_other || return 1
  done
}

end_one_after_the_other() {
  start || return 1
  kill -INT "$server"
  kill -TERM "$server" 2>/dev/null
  kill -INT "$server" 2>/dev/null
  finish_server
  if test "$status" = 130; then
    again="the third signal counted"
    return 1
  fi
  has_ended_well
}

is_refused() {
  request -o /dev/null "${url}hello.txt" 2>/dev/null
  test $? -eq 7
}

waits_for_a_download() { # the signal
  start && start_download || return 1
  kill -s "$1" "$server"
  wait_for logged "^SIG$1: finishing\$" && wait_for is_refused
  result=$?
  has_ended "$server" && because "it did not wait" && result=1
  finish_download
  ended_well && download_is_whole && return $result
}

sigint_waits_for_a_download() {
  waits_for_a_download INT
}

sigterm_waits_for_a_download() {
  waits_for_a_download TERM
}

head_reads_too_much() {
  test "$(echo 123456 | { head -c 3 >/dev/null; cat; })" = 456 && return 1
  skip="head reads more than it is told to"
}

# Bytes that the system has not sent yet, or the client's not acknowledged, are
# the first half of the fifth column; the end of the stream counts as one.
is_unsent() {
  grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$port") [0-9A-F:]* 0[^A] " \
    /proc/net/tcp &&
    grep "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$port") " /proc/net/tcp |
    grep -qv ' 0A [0-9A-F]*:\| 0000000[01]:[0-9A-F]* '
}

has_ended_or_is_unsent() {
  has_ended "$server" || is_unsent
}

# Where its last bytes are is for the systems to decide: when they are with the
# client's, the server may end; before, it must not.
stays_until_the_client_has_it() {
  head_reads_too_much && return
  if ! test -r /proc/net/tcp; then
    skip="there is no /proc/net/tcp"
    return
  fi
  start && start_download 1000000 || return 1
  kill -INT "$server"
  : >"$tmp/gate1"
  wait_for has_bytes "$tmp/part" $(($(size_of "$tmp/www/big.bin") - 1000000)) &&
    wait_for has_ended_or_is_unsent
  result=$?
  sleep 2 # one that does not wait has ended by then, most likely
  if has_ended "$server" && is_unsent; then
    because "it has ended with bytes unsent"
    result=1
  fi
  finish_download
  ended_well && download_is_whole && return $result
}

# The request that is there when the download ends would reset the connection,
# and the end be lost, if the server closed it then.
answers_what_has_arrived() {
  curl_lacks telnet && return
  start && start_pipeline || return 1
  kill -INT "$server"
  wait_for logged '^SIGINT: finishing$'
  : >"$tmp/gate1"
  finish_client
  ended_well || return 1
  size=$(sed '/^.$/q' "$tmp/first" | wc -c)
  tail -c "+$((size + 1))" "$tmp/first" >"$tmp/rest"
  size=$(size_of "$tmp/www/big.txt")
  head -c "$size" "$tmp/rest" | cmp - "$tmp/www/big.txt" >/dev/null ||
    because "the download differs: $(size_of "$tmp/rest") bytes" || return 1
  tail -c "+$((size + 1))" "$tmp/rest" | tr -d '\r' >"$tmp/head"
  cp "$tmp/head" "$tmp/body"
  head_has 'connection: close' && body_has '<p>index</p>'
}

are_all_sent() { # how many
  test "$(cat "$tmp"/trace.* 2>/dev/null | grep -c '^> GET ')" -eq "$1"
}

# More of them than libmicrohttpd accepts at a time.
answers_the_backlog() {
  start || return 1
  rm -f "$tmp"/trace.*
  kill -STOP "$server"
  i=0
  while test $i -lt 25; do
    request -v -o /dev/null -w '%{http_code}\n' "${url}hello.txt" \
      >"$tmp/code.$i" 2>"$tmp/trace.$i" &
    clients="$clients $!"
    i=$((i + 1))
  done
  wait_for are_all_sent 25
  result=$?
  kill -INT "$server"
  kill -CONT "$server"
  ended_well || result=1
  for client in $clients; do
    finish_client
  done
  clients=
  equal "number of answers" "$(cat "$tmp"/code.* | grep -c '^200$')" 25 &&
    return $result
}

# The second counts when the first one has been answered and 200 ms have passed.
second_signal_does_not_wait() { # the first, the second
  start && start_download || return 1
  kill -s "$1" "$server"
  wait_for logged "^SIG$1: finishing\$"
  sleep 0.3
  kill -s "$2" "$server"
  ended_well && said ': forced after .* 0 closed, '
  result=$?
  finish_download
  download_is_cut_off && return $result
}

second_sigint_does_not_wait() {
  second_signal_does_not_wait INT INT
}

sigint_after_sigterm_does_not_wait() {
  second_signal_does_not_wait TERM INT
}

# Two that come together are one: a terminal and a supervisor often send both.
both_at_once_during_a_download() {
  in_time both_during_a_download
}

# Both have come when it goes on; yet more than 200 ms may pass in between.
both_during_a_download() {
  start && start_download || return 1
  kill -STOP "$server"
  kill -INT "$server"
  kill -TERM "$server"
  kill -CONT "$server"
  wait_for logged '^SIG[INTERM]*: finishing$' && wait_for is_refused
  result=$?
  finish_download
  ended_well || return 1
  if ! said ': clean after '; then
    again="the second signal counted"
    return 1
  fi
  download_is_whole && return $result
}

grace_is_over() {
  start --grace 1 && start_download || return 1
  kill -TERM "$server"
  ended_well && said ': forced after .* 0 closed, '
  result=$?
  finish_download
  download_is_cut_off && return $result
}

# The file does not fit into the buffers in between.
does_not_wait_for_a_client_that_never_reads() {
  # the whole of the hard limit, ten minutes, is more than the client waits
  start --grace 2 && run_client stalled 1 big.bin || return 1
  ended_well || return 1
  ms=$(seen exit_ms)
  echo "# a client that never reads, grace 2 s, hard 600 s: $ms ms to the exit"
  test "$ms" -ge 2000 || because "it did not wait: $ms ms"
}

idle_connection_does_not_hold_it_up() {
  curl_lacks file && return
  start && open_connection || return 1
  kill -TERM "$server"
  ended_well && logged '^SIGTERM: finishing$'
  result=$?
  close_connection
  return $result
}

# Bytes that are of no header and no body are no next request. After a minute
# libmicrohttpd would end it, so the grace is less.
closes_all_that_are_idle() {
  for mode in lines chunks; do
    start --grace 30 && run_client $mode 2 hello.txt && ended_in_time &&
      saw_no_harm && saw early 0 && saw answered 2 &&
      saw between 2 || return 1
  done
}

# Ten minutes of grace, and three pauses of more than any silence.
finishes_slow() { # mode
  start && run_client "$1" 1 hello.txt && ended_in_time && saw_no_harm &&
    saw answered 1 && saw farewells 1
}

finishes_a_slow_request() {
  finishes_slow pieces
}

finishes_a_slow_body() {
  finishes_slow continue
}

tells_who_is_not_finished() {
  start --grace 1 && run_client unfinished 1 hello.txt && ended_well &&
    saw_no_harm && saw answered 1 && saw farewells 1
}

# An answer that is large is not done when the end comes.
closes_what_its_client_has_closed() {
  for file in hello.txt medium.bin big.bin; do
    start && run_client half 2 $file && ended_in_time && saw_no_harm &&
      saw answered 2 && saw outlasted 1 || return 1
  done
}

# What has come of a request is not waited for: no more will.
closes_what_its_client_has_torn() {
  for mode in torn torn-body torn-upload; do
    start && run_client $mode 2 hello.txt && ended_in_time && saw_no_harm &&
      saw answered 1 && saw outlasted 1 || return 1
  done
}

has_seen() { # name
  grep -qs "^$1=" "$tmp/seen"
}

# The request takes longer than any silence that the server waits for, and the
# signal comes in the middle of it.
closes_connections_while_it_waits() {
  start && start_download || return 1
  rm -f "$tmp/seen"
  "$HTTP_CLIENT" slow "$port" "$server" 1 index.html >"$tmp/seen" \
    2>"$tmp/client.err" &
  clients=$!
  wait_for has_seen answered
  result=$?
  has_ended "$server" && because "it did not wait" && result=1
  finish_download
  ended_in_time && download_is_whole || result=1
  client=$clients
  finish_client
  clients=
  if test "$status" -eq 77; then
    skip="this system cannot tell when a process ends"
    return
  fi
  saw_no_harm || return 1
  if test "$(seen late)" -gt 0; then
    skip="this machine is too slow to send a byte in time"
    return
  fi
  saw answered 1 && saw farewells 1 && return $result
}

# --- Upgrades -----------------------------------------------------------------

# It ends after its predecessor, and is none of the shell's children.
has_gone() { # process
  has_ended "$1" || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

is_upgraded() { # how many times
  test "$(grep -c '^Upgrade: ' "$tmp/log")" -ge "$1"
}

# Have the server upgraded, and set $successor.
upgrade() { # which one it is
  kill -USR2 "$server"
  wait_for is_upgraded "$1" || return 1
  successor=$(sed -n 's/^Upgrade: process \(.*\) is ready$/\1/p' "$tmp/log" |
    tail -n 1)
  clients="$clients $successor"
}

# The successor is the server now.
end_successor() {
  kill -TERM "$successor"
  wait_for has_gone "$successor" && logged '^SIGTERM: finishing$' &&
    said 'shutdown: SIGTERM .*: clean' && clients=
}

# A relative folder is the same for the successor.
start_upgradable() {
  start --settle 0 --directory "$(realpath --relative-to=. "$tmp/www" \
    2>/dev/null || echo "$tmp/www")"
}

upgrades_during_a_download() {
  start_upgradable && start_download && upgrade 1 || return 1
  get hello.txt
  equal "body from the successor" "$(cat "$tmp/body")" hello || return 1
  has_ended "$server" && because "it did not wait for the download"
  finish_download
  ended_well && said 'shutdown: request: upgrade: clean' && download_is_whole || return 1
  get hello.txt
  equal "body after the end" "$(cat "$tmp/body")" hello && end_successor
}

# They are silent for longer than a server that ends would wait.
lets_idle_clients_ask_after_an_upgrade() {
  start_upgradable && run_client patient 20 hello.txt || return 1
  successor=$(sed -n 's/^Upgrade: process \(.*\) is ready$/\1/p' "$tmp/log")
  clients="$clients $successor"
  ended_in_time && saw_no_harm && saw early 0 && saw late 0 && saw farewells 20 &&
    end_successor
}

upgrades_under_wrk() {
  if ! command -v "$WRK" >/dev/null; then
    skip="wrk is missing"
  elif ! test -r /proc/net/tcp; then
    skip="there is no /proc/net/tcp"
  fi
  test -n "$skip" || in_time upgrades_five_times
}

# Here the listener stays, so that there are no connect errors, either.
upgrades_five_times() {
  start_upgradable || return 1
  "$WRK" -t 1 -c 50 -d 600 "${url}small.bin" >"$tmp/wrk" 2>&1 &
  client=$!
  wait_for are_connected 50 || return 1
  for i in 1 2 3 4 5; do
    upgrade $i || return 1
    old=$server
    server=$successor
    wait_for has_gone "$old" || return 1
  done
  kill -INT "$client" # wrk prints what it has seen
  finish_client
  echo "# wrk: $(sed -n 's/^ *\([0-9]* requests in\)/\1/p' "$tmp/wrk")," \
    "$(sed -n 's/^ *\(Socket errors:\)/\1/p' "$tmp/wrk")"
  server=
  end_successor || return 1
  grep -q '^ *[1-9][0-9]* requests in' "$tmp/wrk" || because "no requests" ||
    return 1
  ! grep -q 'Non-2xx' "$tmp/wrk" || because "answers are missing" || return 1
  errors=$(sed -n 's/^ *Socket errors:\(.*\), timeout.*/\1/p' "$tmp/wrk")
  case ${errors:- connect 0, read 0, write 0} in
    ' connect 0, read 0, write 0') ;;
    *) again="errors of wrk's: $errors" ;;
  esac
  test -z "$again"
}

# --- Under load ---------------------------------------------------------------

# 50 connections, every second of which thinks before it asks again. Promised is
# an answer to each request that was sent before the signal, or soon after the
# one before. What a server cannot promise is an answer to a request that comes
# after a longer silence: it may be on its way when the end of the connection
# is, and then the client has to ask again somewhere else (RFC 9112, 9.3.1 and
# 9.5). Those are "late", and may be any number.
cuts_no_response() {
  in_time cuts_none
}

# That no response was the last is for a client that stood still.
cuts_none() {
  start && run_client busy 50 hello.txt index.html medium.bin small.bin ||
    return 1
  ended_in_time || return 1
  echo "# $(seen answered) responses, $(seen farewells) with Connection: close," \
    "$(seen late) late requests, $(seen exit_ms) ms from SIGTERM to exit"
  saw_no_harm && saw after_last "$(seen farewells)" &&
    equal "number of connections" \
      "$(($(seen after_last) + $(seen between) + $(seen late)))" 50 &&
    { test "$(seen farewells)" -gt 0 || again="no Connection: close"; } &&
    test -z "$again"
}

are_connected() { # how many
  test "$(grep -c "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$port") [0-9A-F:]* 01 " \
    /proc/net/tcp)" -ge "$1"
}

# wrk asks at once when it has an answer, so all that it sends is promised one.
# It counts as a read error a response that is cut, a reset, and an end without
# a response, also after a response without Connection: close: there must be
# none, but where wrk stood still for so long that its connections were closed
# as idle: then once more. It comes back after a Connection: close, and then
# there is no listener: what connect(2) says to that it counts as a connect or a
# write error, and goes on trying, so these may be any number. A timeout would be
# a response of more than 2 seconds, which a slow machine may take.
cuts_no_response_of_wrk() {
  if ! command -v "$WRK" >/dev/null; then
    skip="wrk is missing"
  elif ! test -r /proc/net/tcp; then
    skip="there is no /proc/net/tcp"
  fi
  test -n "$skip" || in_time cuts_none_of_wrk
}

cuts_none_of_wrk() {
  start || return 1
  "$WRK" -t 1 -c 50 -d 600 "${url}medium.bin" >"$tmp/wrk" 2>&1 &
  client=$!
  wait_for are_connected 50
  result=$?
  kill -TERM "$server"
  ended_in_time || result=1
  kill -INT "$client" # wrk prints what it has seen
  finish_client
  echo "# wrk: $(sed -n 's/^ *\([0-9]* requests in\)/\1/p' "$tmp/wrk")," \
    "$(sed -n 's/^ *\(Socket errors:\)/\1/p' "$tmp/wrk")"
  grep -q '^ *[1-9][0-9]* requests in' "$tmp/wrk" || because "no requests" ||
    return 1
  # without any error there is no such line
  errors=$(sed -n 's/^ *Socket errors:.* read \([0-9]*\),.*/\1/p' "$tmp/wrk")
  test "${errors:-0}" -eq 0 || again="$errors read errors of wrk's"
  test -z "$again" && return $result
}

closes_a_thousand_idle() {
  if test "$(ulimit -n)" -lt 1100; then
    skip="not more than $(ulimit -n) descriptors"
    return
  fi
  start && run_client idle 1000 hello.txt || return 1
  echo "# $(seen exit_ms) ms from SIGTERM to exit with 1,000 idle connections"
  ended_in_time && saw early 0 && saw answered 1000 && saw between 1000 &&
    saw_no_harm
}

# ----------------------------------------------------------------------------

make_files

run serves_at_the_port_it_prints "it prints the port that the kernel picked"
run gets_a_file "GET sends a file with its length"
run heads_a_file "HEAD sends the equal header and no body"
run gets_an_empty_file "an empty file is served"
run says_not_found "what does not exist is a 404"
run refuses_other_methods "other methods are a 405 that says which are allowed"
run decodes_the_path "a percent-encoded path is decoded once"
run serves_the_index "index.html is served for /"
run refuses_dot_dot "no .. leads out of the folder, however it is written"
run refuses_links "symbolic links are a 404"
run refuses_folders "folders below are a 404"
run refuses_a_fifo "a FIFO is a 404 and is not waited for"
run serves_many_at_a_time "200 files over 20 connections arrive whole"
run has_one_thread "the process has one thread"
run ignores_sigpipe "SIGPIPE is ignored while it serves"
run outlives_its_clients "clients that hang up do not end it"
run sigterm_ends_it "SIGTERM ends it with status 0"
run sigint_ends_it "SIGINT ends it with status 0"
run leaves_ignored_sigint_alone "a SIGINT that was ignored stays so"
run both_at_once_end_it "both signals at once end it with status 0"
run one_after_the_other_end_it "late signals do not spoil its status"
run sigint_waits_for_a_download \
  "SIGINT lets a download finish and refuses new connections"
run sigterm_waits_for_a_download \
  "SIGTERM lets a download finish and refuses new connections"
run stays_until_the_client_has_it \
  "it stays until the client's system has the end of a download"
run answers_what_has_arrived \
  "a request behind a download is answered and does not cut it off"
run answers_the_backlog \
  "requests of connections that wait to be accepted are answered"
run grace_is_over "a download that takes longer than --grace is forced"
run does_not_wait_for_a_client_that_never_reads \
  "a client that never reads does not outlast --grace and --hard"
run second_sigint_does_not_wait "a second SIGINT does not wait for a download"
run sigint_after_sigterm_does_not_wait \
  "SIGINT after SIGTERM does not wait for a download"
run both_at_once_during_a_download \
  "both signals at once in a download are one, and let it finish"
run idle_connection_does_not_hold_it_up \
  "an idle connection does not hold it up"
run closes_all_that_are_idle \
  "idle after an empty line, or a body in chunks: the connection is closed"
run closes_what_its_client_has_closed \
  "a request and the end at once: the answer, and the connection is closed"
run closes_what_its_client_has_torn \
  "half a request and the end at once: the connection is closed"
run finishes_a_slow_request "a request in slow pieces is waited for"
run finishes_a_slow_body "a body in slow pieces after 100 Continue, too"
run tells_who_is_not_finished \
  "a request that is not whole when grace is over gets a 408"
run closes_connections_while_it_waits \
  "while it waits, a request that comes slowly is answered, and told so"
run cuts_no_response \
  "SIGTERM under load cuts no response of 50 connections, and resets none"
run cuts_no_response_of_wrk "SIGTERM under load is no read error of wrk's"
run closes_a_thousand_idle "1,000 idle connections see their end"
run upgrades_during_a_download \
  "an upgrade lets a download finish, and refuses no connection"
run lets_idle_clients_ask_after_an_upgrade \
  "an upgrade closes no idle connection before its next answer"
run upgrades_under_wrk "five upgrades under load are no error of wrk's"
run says_it_is_busy "too many open files are a 503"
run taken_port "a port in use is exit status 1"
run refuses_bad_options "bad options are exit status 2"
run helps "--help is exit status 0"

finish
