#!/bin/sh
# SPDX-License-Identifier: MIT
#
# contrib/kubernetes: do the times fit, in the file and in what README says of
# them? And what kubelet does with the server of that file: it asks whether it is
# ready, sends SIGTERM, asks again, and waits for its end. The server is started
# with the file's arguments, but with a port and an address of the test's, and
# with shorter times. The tests wait for what can be observed, and give up after a
# minute.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

CURL=${CURL:-curl}
contrib=$srcdir/contrib/kubernetes
server= # pid of the running server
client=

# What a failed test has left running.
drop() {
  for pid in $server $client; do
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
  server=
  client=
}

trap 'drop; rm -rf "$tmp"' EXIT

# --- The file ---------------------------------------------------------------

# Each value with the keys that lead to it, for the YAML that the file has:
# spec.template.spec.terminationGracePeriodSeconds=30
awk '
  /^ *(#|$)/ { next }
  {
    match($0, /^ */)
    indent = RLENGTH
    text = substr($0, indent + 1)
    while (sub(/^- +/, "", text)) indent += 2
    sub(/ +#.*/, "", text)
    key = value = text
    sub(/:.*/, "", key)
    sub(/^[^:]*: */, "", value)
    while (depth > 0 && indents[depth] >= indent) depth--
    indents[++depth] = indent
    path = depth == 1 ? key : paths[depth - 1] "." key
    paths[depth] = path
    if (value != "") print path "=" value
  }' "$contrib/deployment.yaml" >"$tmp/lines"

of_pod() { # key
  sed -n "s/^spec\.template\.spec\.$1=//p" "$tmp/lines"
}

of_container() { # key
  of_pod "containers\.$1"
}

words() { # of a list: [one, two]
  printf '%s\n' "$1" | sed 's/^\[ *//; s/ *\]$//; s/, */ /g'
}

arguments=$(words "$(of_container args)")
program=$(words "$(of_container command)")
program=./examples/${program##*/}

option() { # name
  printf '%s\n' "$arguments" | tr ' ' '\n' | sed -n "s/^--$1=//p"
}

patience=$(of_pod terminationGracePeriodSeconds)
delay=$(option delay)
grace=$(option grace)
hard=$(option hard)
port=$(option port)

# In seconds, whichever kind of hook it is; nothing where none is understood.
pre_stop() {
  if ! grep -q preStop "$tmp/lines"; then echo 0; fi
  grep preStop "$tmp/lines" |
    sed -n 's/.*\(sleep\|seconds\)[^0-9]*\([0-9][0-9]*\).*/\2/p'
}

limit_ms() {
  ./test/lib/limit-internal "$delay" "$grace" "$hard"
}

# A row of README's table: | `delay_ms` | 5,000 | why |
row() { # its first cell
  sed -n "s/^| $1 | \([0-9,]*\) |.*/\1/p" "$contrib/README.md" | tr -d ,
}

# --- The times --------------------------------------------------------------

has_numbers() {
  for pair in "patience $patience" "delay $delay" "grace $grace" "hard $hard" \
    "port $port" "preStop $(pre_stop)"; do
    echo "$pair" | grep -qx '[a-zA-Z]* [0-9][0-9]*' ||
      because "no number: $pair" || return 1
  done
}

# Else SIGKILL comes first.
fits() {
  sum=$(($(pre_stop) * 1000 + $(limit_ms)))
  test "$sum" -lt $((patience * 1000)) ||
    because "$sum ms do not fit into $patience s"
}

# Else connections come after the listener has been closed.
probe_is_in_time() {
  period=$(of_container 'readinessProbe\.periodSeconds')
  failures=$(of_container 'readinessProbe\.failureThreshold')
  timeout=$(of_container 'readinessProbe\.timeoutSeconds')
  needs=$((period * failures + timeout))
  test "$needs" -gt 0 && test "$needs" -lt $(($(pre_stop) + delay)) ||
    because "the probe takes up to $needs s to fail"
}

ports_agree() {
  probe=$(of_container 'readinessProbe\.httpGet')
  equal "containerPort" "$(of_container ports)" "[{containerPort: $port}]" &&
    equal "the probe's port" "${probe##*port: }" "$port}" &&
    equal "the address" "$(option address)" 0.0.0.0
}

readme_agrees() {
  equal "delay_ms" "$(row '`delay_ms`')" $((delay * 1000)) &&
    equal "grace_ms" "$(row '`grace_ms`')" $((grace * 1000)) &&
    equal "hard_ms" "$(row '`hard_ms`')" $((hard * 1000)) &&
    equal "the sum" "$(row sum)" "$(limit_ms)" &&
    equal "the slack" "$(row "the limit's slack")" \
      $(($(limit_ms) - (delay + grace + hard) * 1000)) &&
    equal "terminationGracePeriodSeconds" \
      "$(row '`terminationGracePeriodSeconds`')" "$patience"
}

# "29,000 fits the 30 seconds above."
total_fits() {
  # shellcheck disable=SC2046 # two numbers
  set -- $(sed -n 's/^\([0-9,]*\) fits the \([0-9]*\) seconds above.*/\1 \2/p' \
    "$contrib/README.md" | tr -d ,)
  equal "the number of numbers" $# 2 && equal "the seconds" "$2" "$patience" &&
    test $(($1 + $(row "the limit's slack"))) -lt $(($2 * 1000)) ||
    because "it does not"
}

# The hook that the file has as a comment, in place of the option's delay.
hook_agrees() {
  seconds=$(sed -n 's/^ *#  *preStop: {sleep: {seconds: \([0-9]*\)}}$/\1/p' \
    "$contrib/deployment.yaml")
  equal "the hook's seconds" "$seconds" "$delay" &&
    grep -qF "$seconds + 0 + $grace + $hard + 0.1 < $patience." \
      "$contrib/deployment.yaml" || because "no such sum in a comment" || return 1
  hook_sum=$((seconds * 1000 + $(./test/lib/limit-internal 0 "$grace" "$hard")))
  test "$hook_sum" -lt $((patience * 1000)) ||
    because "$hook_sum ms do not fit into $patience s"
}

comment_agrees() {
  grep -qF "$delay + $grace + $hard + 0.1 < $patience." \
    "$contrib/deployment.yaml" || because "no such sum in a comment"
}

run_test has_numbers "the file has each of the times"
run_test fits "preStop and the limit are less than terminationGracePeriodSeconds"
run_test probe_is_in_time "the readiness probe fails before the delay is over"
run_test ports_agree "the probe and the container have the server's port"
run_test readme_agrees "README has the same times, and their sum"
run_test total_fits "README's total_ms fits, too"
run_test comment_agrees "the comment in the file has the same sum"
run_test hook_agrees "the preStop hook in a comment fits, and has its sum"

# --- What kubelet does ------------------------------------------------------

run() { # as run_test
  if ! test -x "$program"; then
    skip "$2" "$program has not been built"
  elif ! "$CURL" --version >/dev/null 2>&1; then
    skip "$2" "curl is missing"
  else
    run_test "$@"
    drop
  fi
}

is_up_or_gone() {
  grep -q '^Serving on ' "$tmp/out" 2>/dev/null || has_ended "$server"
}

start() { # times
  rm -f "$tmp/out"
  # The last of an option that is given twice counts; unquoted: words.
  "$program" $arguments --address=127.0.0.1 --port=0 --directory="$tmp/www" \
    "$@" >"$tmp/out" 2>"$tmp/err" </dev/null 7<&- &
  server=$!
  wait_for is_up_or_gone
  url=$(sed -n 's/^Serving on \(.*\)\/$/\1/p' "$tmp/out")
  test -n "$url" || because "it does not start: $(cat "$tmp/err")"
}

fetch() { # path, file for it; sets $code, 000 where nothing answers
  code=$("$CURL" -q -s --noproxy '*' --max-time 60 -o "$2" -D "$tmp/head" \
    -w '%{http_code}' "$url$1" 7<&-) || :
}

path=$(of_container 'readinessProbe\.httpGet' |
  sed 's/.*path: \([^,}]*\).*/\1/')

probe() {
  fetch "$path" /dev/null
}

# The server says that it is the last answer, once the signal has come.
knows() {
  probe
  test "$code" != 200 || grep -qi '^connection: close' "$tmp/head"
}

mkdir "$tmp/www"
echo hello >"$tmp/www/hello"
# More than the sockets between them hold.
size=67108864
dd if=/dev/null of="$tmp/www/large" bs=1 seek=$size 2>/dev/null

# A client that has begun to read, and reads no more.
hold() {
  rm -f "$tmp/fifo"
  mkfifo "$tmp/fifo"
  "$CURL" -q -s --noproxy '*' "$url/large" >"$tmp/fifo" &
  client=$!
  exec 7<"$tmp/fifo"
  equal "the bytes read" "$(dd bs=1 count=1 2>/dev/null <&7 | wc -c)" 1
}

let_go() {
  equal "the bytes read at last" "$(wc -c <&7)" $((size - 1))
  let_go_status=$?
  exec 7<&-
  wait "$client" || because "curl ended with $?" || let_go_status=1
  client=
  return $let_go_status
}

ends() { # status
  wait_for has_ended "$server" || return 1
  wait "$server"
  ended=$?
  server=
  equal "the exit status" "$ended" "$1"
}

is_draining() {
  grep -q '^SIGTERM: finishing$' "$tmp/out"
}

# Sets $again where the delay was over before the test could look.
not_ready_in_time() { # delay in seconds
  start --delay="$1" --grace=600 && probe &&
    equal "the answer before" "$code" 200 && hold || return 1
  kill -TERM "$server"
  again=yes
  wait_for knows
  if test "$code" = 000; then return 1; fi
  again=
  equal "the answer after SIGTERM" "$code" 503 || return 1
  fetch /hello "$tmp/hello"
  if is_draining; then
    again=yes
    return 1
  fi
  equal "the answer to a new client" "$code $(cat "$tmp/hello")" "200 hello" &&
    wait_for is_draining && probe &&
    equal "the answer when the delay is over" "$code" 000 && let_go && ends 0 &&
    grep -q ' clean after .* 0 forced, 0 cut, 0 open' "$tmp/err" ||
    because "it said: $(cat "$tmp/err")"
}

not_ready() {
  for seconds in 1 2 4 8 16 32; do
    not_ready_in_time $seconds && return
    test -n "$again" || return 1
    echo "# once more: $seconds s are over too soon"
    exec 7<&-
    drop
  done
  return 1
}

# A client that never reads is no reason for SIGKILL.
forced() {
  start --delay=0 --grace=0.1 --hard=60 && hold || return 1
  kill -TERM "$server"
  ends 0 && grep -q ' forced after .*, 0 open' "$tmp/err" ||
    because "it said: $(cat "$tmp/err")" || return 1
  exec 7<&-
}

run not_ready "it is ready, is not after SIGTERM, serves on, and ends with 0"
run forced "it ends by itself where a request would never end"

finish
