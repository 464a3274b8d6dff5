#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The units of contrib/systemd, run by a real systemd, which is process 1 of
# namespaces of its own: this needs root. They are installed as they are. Drop-ins
# have what is the test's: the program, its output and its port. The server is
# the example prefork, which reloads. The tests wait for what can be observed, and
# give up after a minute.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

. "$srcdir/test/lib/systemd.sh"

CURL=${CURL:-curl}
contrib=$srcdir/contrib/systemd
# shellcheck disable=SC2034 # test/lib/systemd.sh uses it
unit=server
port=$(free_port)
url=http://127.0.0.1:$port/

# --- Helpers ----------------------------------------------------------------

drop_in() { # directory, unit, lines
  mkdir -p "$1/$2.d"
  file=$1/$2.d/test.conf
  shift 2
  printf '%s\n' "$@" >"$file"
}

# The units, with the program that is there. An empty assignment takes the unit's
# own away.
install_into() { # directory
  cp "$contrib"/server.* "$1"
  drop_in "$1" server.service '[Service]' ExecStart= \
    "ExecStart=\"$PWD/examples/prefork\" --workers=2 --settle=0.1"
  if test "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" \
    -lt 253; then
    cp "$contrib/before-253.conf" "$1/server.service.d"
  fi
}

# Of a unit's file: the last value of a key.
value() { # key, file
  sed -n "s/^$1=//p" "$contrib/$2" | tail -n 1
}

answers() {
  "$CURL" -q -sf --noproxy '*' --max-time 60 "$url" >"$tmp/answer" 9>&- &&
    grep -qx ' *[0-9][0-9]*' "$tmp/answer"
}

# Have a client in the middle of a request: its second one, which has come with
# the first, whose answer says so.
hold() {
  connect "$port" 'GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n'
  wait_for heard 1
}

heard() { # how many answers
  test "$(grep -c '^HTTP/1.1 200 OK' "$tmp/heard" 2>/dev/null)" -eq "$1"
}

let_go() {
  printf 'Host: x\r\n\r\n' >&8
  wait_for heard 2
  status=$?
  exec 8>&-
  return $status
}

# --- systemd ----------------------------------------------------------------

if command -v systemctl >/dev/null; then
  install_into "$tmp/units"
  # Without the rest of a system, and with what the test reads.
  printf '%s\n' "StandardOutput=append:$tmp/server.log" StandardError=inherit \
    LimitCORE=0 TimeoutStartSec=20 '[Unit]' DefaultDependencies=no \
    >>"$tmp/units/server.service.d/test.conf"
  drop_in "$tmp/units" server.socket '[Unit]' DefaultDependencies=no \
    '[Socket]' ListenStream= "ListenStream=127.0.0.1:$port"
  # What it refers to is remembered after its end.
  printf '%s\n' '[Unit]' DefaultDependencies=no \
    'After=server.service server.socket' >"$tmp/units/test.target"
fi
start_systemd

# --- Tests ------------------------------------------------------------------

# With the system's other units, and without the manual, which is not installed.
# An older systemd-analyze says that it does not know the type, and no more.
verified() {
  mkdir "$tmp/verify"
  install_into "$tmp/verify"
  SYSTEMD_UNIT_PATH="$tmp/verify:" systemd-analyze verify --man=no \
    "$tmp/verify/server.service" "$tmp/verify/server.socket" \
    >"$tmp/verified" 2>&1
  status=$?
  if test "$version" -lt 253; then
    equal "the number of words about the type" \
      "$(grep -c 'service type, ignoring: notify-reload$' "$tmp/verified")" 1 ||
      return 1
    grep -v 'service type, ignoring: notify-reload$' "$tmp/verified" \
      >"$tmp/others"
    equal "what else it says" "$(cat "$tmp/others")" ""
  else
    equal "what it says" "$(cat "$tmp/verified")" "" &&
      equal "its status" "$status" 0
  fi
}

has_pages() {
  pages=$(value Documentation server.service)
  test -n "$pages" || because "there is no Documentation=" || return 1
  for page in $pages; do
    name=$(echo "$page" | sed 's/^man:\(.*\)(\([0-9]\))$/\1.\2/')
    test -e "$srcdir/man/$name" || because "there is no $name" || return 1
  done
}

waits_long_enough() {
  seconds=$(value TimeoutStopSec server.service)
  limit=$(./test/lib/limit-internal)
  test $((seconds * 1000)) -gt "$limit" ||
    because "it kills after $seconds s, and the server may need $limit ms"
}

by_socket() {
  ctl start server.socket && has ActiveState=inactive && answers &&
    has ActiveState=active && logged 1 "^Serving on 127.0.0.1:$port\$" &&
    main=$(property MainPID) &&
    inside cat "/proc/$main/environ" | tr '\0' '\n' >"$tmp/environ" &&
    equal "the name of the socket" \
      "$(sed -n 's/^LISTEN_FDNAMES=//p' "$tmp/environ")" server
}

# systemctl has waited for the workers.
by_service() {
  workers=$(grep -c ' serves$' "$tmp/$unit.log")
  ctl start server.service && has ActiveState=active || return 1
  logged $((workers + 2)) ' serves$' || because "it was not ready" || return 1
  ctl is-active --quiet server.socket && answers
}

reloads() {
  main=$(property MainPID)
  ctl reload "$unit" || return 1
  if test "$version" -lt 253; then
    wait_for logged 1 '^Replaced$' || return 1
  fi
  logged 1 '^Replaced$' || because "systemctl has not waited" || return 1
  wait_for is ActiveState active && has "MainPID=$main" && answers
}

upgraded() {
  old=$(property MainPID)
  inside sh -c "kill -USR2 $old"
  wait_for logged 1 '^Upgrade: process .* is ready$' || return 1
  new=$(sed -n 's/^Upgrade: process \(.*\) is ready$/\1/p' "$tmp/$unit.log")
  wait_for is MainPID "$new" && wait_for has_gone "$old" &&
    has ActiveState=active NRestarts=0 && answers
}

is_another_or_over() { # than this process
  case $(property ActiveState) in
    active) test "$(property MainPID)" != "$1" ;;
    failed | inactive) ;;
    *) return 1 ;;
  esac
}

restarted() {
  old=$(property MainPID)
  inside sh -c "kill -KILL $old"
  wait_for is_another_or_over "$old" &&
    has ActiveState=active NRestarts=1 && answers
}

# In the middle of a request. Both units, or the next connection would start it.
stopped() {
  hold && ctl stop --no-block server.socket server.service &&
    wait_for is SubState stop-sigterm && let_go &&
    wait_for is ActiveState inactive && has Result=success ExecMainCode=2 \
      ExecMainStatus=15 && logged 1 ' SIGTERM from process 1 of user 0: clean '
}

# run_as FUNCTION NAME, where there are clients.
with_client() {
  if "$CURL" --version >/dev/null 2>&1 && can_connect; then
    run_as "$@"
  else
    skip "$2" "curl or bash is missing"
  fi
}

verify="systemd-analyze finds nothing in the units"
if command -v systemd-analyze >/dev/null; then
  run_as verified "$verify"
else
  skip "$verify" "systemd-analyze is missing"
fi
run_as has_pages "the pages that the unit names exist"
run_as waits_long_enough \
  "the unit waits longer than a shutdown with the default limits takes"
with_client by_socket "a connection to the socket starts the server, and is answered"
with_client reloads "systemctl reload has the server reload, with the same process"
with_client upgraded "an upgrade makes the successor the main process"
with_client restarted "a server that is killed is started again"
with_client stopped "a stop in the middle of a request lets it be answered"
with_client by_service "the service starts its socket"

finish
