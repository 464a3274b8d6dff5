#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The examples as services of a real systemd: what it makes of what the library
# tells it. It is process 1 of namespaces of its own, so this needs root. The
# tests wait for what can be observed, and give up after a minute.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

. "$srcdir/test/lib/systemd.sh"

# --- Helpers ----------------------------------------------------------------

configure() { # lines of the daemon's configuration
  printf '%s\n' "$@" >"$tmp/$unit.new"
  mv "$tmp/$unit.new" "$tmp/$unit.conf"
}

# A configuration that the daemon waits for, until configure_now.
configure_later() {
  mkfifo "$tmp/$unit.new"
  mv "$tmp/$unit.new" "$tmp/$unit.conf"
}

configure_now() { # a line
  # shellcheck disable=SC2016 # for the other shell
  timeout 60 sh -c 'echo "$1" >"$2"' - "$1" "$tmp/$unit.conf"
}

# --- Units ------------------------------------------------------------------

units=

unit() { # name, command, lines of its [Service]
  unit=$1
  command=$2
  shift 2
  units="$units $unit.service"
  printf '%s\n' '[Unit]' DefaultDependencies=no \
    '[Service]' Type=notify "ExecStart=$command" TimeoutStartSec=20 \
    LimitCORE=0 "StandardOutput=append:$tmp/$unit.log" StandardError=inherit \
    "$@" >"$tmp/units/$unit.service"
}

command_of() { # the name of a daemon's unit
  echo "\"$PWD/examples/daemon\" --config=$tmp/$1.conf --pid-file=$tmp/$1.pid"
}

daemon() { # name, lines of its [Service]
  name=$1
  shift
  unit "$name" "$(command_of "$name")" "$@"
}

# A daemon that is not the service's main process.
child() { # name, lines of its [Service]
  name=$1
  shift
  unit "$name" "/bin/sh -c '$(command_of "$name") & wait'" "$@"
}

# shellcheck disable=SC2016 # for systemd
reload='ExecReload=/bin/sh -c "kill -HUP $MAINPID"'
daemon starting
daemon stopped_early
daemon reloading "$reload"
daemon reloading_by_type Type=notify-reload
daemon failing "$reload"
daemon watched WatchdogSec=4
daemon extended TimeoutStopSec=2
unit ending "\"$PWD/examples/echo-server\" --port=0 --grace=60" \
  Restart=on-failure
child child_for_all NotifyAccess=all
child child_for_main NotifyAccess=main
unit workers "\"$PWD/examples/prefork\" --workers=2" NotifyAccess=all "$reload"
unit upgraded "\"$PWD/examples/echo-server\" --port=0 --settle=0.1"
unit upgraded_workers "\"$PWD/examples/prefork\" --workers=2 --settle=0.1"
unit not_upgraded "\"$PWD/examples/echo-server\" --port=0 --settle=60"
own_port=$(free_port)
unit accepting "\"$PWD/examples/echo-server\" --port=1 --settle=0.1"
printf '%s\n' '[Unit]' DefaultDependencies=no \
  '[Socket]' "ListenStream=127.0.0.1:$own_port" >"$tmp/units/accepting.socket"
units="$units accepting.socket"
# What it refers to is remembered after its end.
printf '%s\n' '[Unit]' DefaultDependencies=no "After=$units" \
  >"$tmp/units/test.target"

start_systemd

# --- Tests ------------------------------------------------------------------

starting() {
  configure_later
  { ctl start "$unit" && : >"$tmp/started"; } 9>&- &
  wait_for test -s "$tmp/$unit.pid" && has ActiveState=activating || return 1
  if test -e "$tmp/started"; then because "systemctl has not waited"; fi &&
    configure_now "message = hello" && wait_for test -e "$tmp/started" &&
    has ActiveState=active "MainPID=$(cat "$tmp/$unit.pid")" &&
    logged 1 '^ready: hello$'
}

# The signal comes while the daemon waits for its configuration, and the daemon
# goes on to its uvsig_shutdown_ready().
stopped_early() {
  configure_later
  ctl start --no-block "$unit" && wait_for test -s "$tmp/$unit.pid" &&
    has ActiveState=activating && ctl stop --no-block "$unit" &&
    wait_for is SubState stop-sigterm && configure_now "message = hello" &&
    wait_for is ActiveState inactive && logged 1 '^SIGTERM: clean$' &&
    has Result=success ActiveEnterTimestampMonotonic=0
}

reloading() {
  configure "message = one" && ctl start "$unit" || return 1
  configure_later
  ctl reload --no-block "$unit" && wait_for is ActiveState reloading &&
    configure_now "message = two" && wait_for is ActiveState active &&
    logged 1 '^reload: two$' && has StatusText= StatusErrno=0
}

reloading_by_type() {
  configure "message = one" && ctl start "$unit" || return 1
  configure "message = two"
  ctl reload "$unit" && logged 1 '^reload: two$' && has ActiveState=active
}

failing() {
  configure "message = one" && ctl start "$unit" && configure nonsense &&
    ctl reload "$unit" && wait_for is StatusErrno 22 &&
    has ActiveState=active "StatusText=Reload failed: invalid argument" &&
    configure "message = two" && ctl reload "$unit" &&
    wait_for is StatusErrno 0 && has ActiveState=active StatusText= &&
    logged 1 '^reload: two$'
}

run starting "systemctl start returns when the program is ready"
run stopped_early "a unit that is stopped while it starts ends in order"
run reloading "a unit is reloading until the program has done it"
by_type="with Type=notify-reload systemctl waits for a reload"
if test "$version" -ge 253; then
  run reloading_by_type "$by_type"
else
  skip "$by_type" "systemd $version does not know it"
fi
run failing "a reload that failed is told, and the next good one takes it back"

# Longer than it would be without a ping.
outlives_watchdog() {
  is ActiveState failed ||
    test $(($(property WatchdogTimestampMonotonic) - \
      $(property ActiveEnterTimestampMonotonic))) -gt 4500000
}

watched() {
  configure "message = hello" && ctl start "$unit" &&
    wait_for outlives_watchdog && has ActiveState=active || return 1
  ctl kill --signal=STOP "$unit"
  wait_for is ActiveState failed && has Result=watchdog
}

run watched "the watchdog lets the program live, and ends it when it is stuck"

extended() {
  configure "interval_ms = 1" "work_ms = 4000" && ctl start "$unit" &&
    wait_for logged 1 '^work begins$' && ctl stop "$unit" &&
    has ActiveState=inactive Result=success &&
    logged 1 '^work done: ' && logged 1 '^SIGTERM: clean$'
}

# Have a client of the one that serves, in the middle of a line.
hold() { # port
  connect "$1" half
  wait_for grep -qs half "$tmp/heard"
}

# A client that has sent half a line is waited for.
ending() {
  ctl start "$unit" || return 1
  port=$(sed -n 's/^Serving on .*://p' "$tmp/$unit.log")
  hold "$port" && ctl kill --signal=TERM "$unit" &&
    wait_for is ActiveState deactivating && echo >&8 &&
    wait_for is ActiveState inactive &&
    logged 1 '^SIGTERM: 1 closed, 0 forced, 0 cut$' &&
    has Result=success ExecMainCode=2 ExecMainStatus=15 NRestarts=0 &&
    exec 8>&-
}

run extended "work of more than TimeoutStopSec is finished"
by_itself="an end by SIGTERM that systemd has not asked for is a success, too"
if can_connect; then
  run ending "$by_itself"
else
  skip "$by_itself" "bash is missing"
fi

child_for_all() {
  configure "message = hello" && ctl start "$unit" && has ActiveState=active &&
    ctl stop "$unit" && has ActiveState=inactive Result=success
}

# Work begins after the daemon has said that it is ready.
child_for_main() {
  configure "interval_ms = 1" && ctl start --no-block "$unit" &&
    wait_for logged 1 '^work begins$' && has ActiveState=activating &&
    ctl stop "$unit" && has ActiveState=inactive Result=success
}

# A worker's shutdown is not the service's.
workers() {
  ctl start "$unit" && logged 2 ' serves$' || return 1
  main=$(property MainPID)
  worker=$(sed -n 's/^Worker \(.*\) serves$/\1/p;q' "$tmp/$unit.log")
  inside sh -c "kill $worker"
  wait_for logged 3 ' serves$' && has ActiveState=active "MainPID=$main" &&
    ctl reload "$unit" && wait_for logged 1 '^Replaced$' &&
    wait_for is ActiveState active && has "MainPID=$main" &&
    ctl stop "$unit" && has ActiveState=inactive Result=success
}

# The service's main process is the successor. Twice: it is upgraded, too.
upgrade() { # which one it is
  old=$(property MainPID)
  inside sh -c "kill -USR2 $old"
  wait_for logged "$1" '^Upgrade: process .* is ready$' || return 1
  new=$(sed -n 's/^Upgrade: process \(.*\) is ready$/\1/p' "$tmp/$unit.log" |
    tail -n 1)
  wait_for is MainPID "$new" && has ActiveState=active NRestarts=0 StatusText=
}

let_go() {
  echo >&8
  wait_for has_gone "$old"
  exec 8>&-
}

# The page faults of the children that a process has waited for (proc(5)).
has_waited_for_a_child() {
  test "$(inside cat "/proc/$1/stat" | sed 's/.*) //' | cut -d ' ' -f 9)" -gt 0
}

# Newer versions, such as 257, say when the process has started, which stays the same.
# There the child that lets the service manager name it is over.
is_named_again() { # since when it is the main process
  test "$(property ExecMainStartTimestampMonotonic)" != "$1" ||
    has_waited_for_a_child "$new"
}

# When its predecessor has gone, it is systemd's own child, and named again: or
# systemd would not wait for its end.
upgrade_with_client() { # which one it is, port
  hold "$2" && upgrade "$1" || return 1
  stamp=$(property ExecMainStartTimestampMonotonic)
  if has_gone "$old"; then because "it did not wait"; fi && let_go &&
    wait_for is_named_again "$stamp" && wait_for is MainPID "$new" &&
    has ActiveState=active NRestarts=0
}

# It still has a client when it is stopped.
ends_in_order() { # port
  hold "$1" && ctl stop --no-block "$unit" &&
    wait_for is ActiveState deactivating && old=$new && let_go &&
    wait_for is ActiveState inactive && has Result=success &&
    logged 1 '^SIGTERM: 1 closed, 0 forced, 0 cut$'
}

upgraded() {
  ctl start "$unit" || return 1
  port=$(sed -n 's/^Serving on .*://p' "$tmp/$unit.log")
  upgrade_with_client 1 "$port" && upgrade_with_client 2 "$port" &&
    ends_in_order "$port"
}

accepting() {
  ctl start "$unit.socket" && has ActiveState=inactive &&
    upgrade_with_client 1 "$own_port" && upgrade_with_client 2 "$own_port" &&
    logged 3 "^Serving on 127.0.0.1:$own_port\$" &&
    ctl stop "$unit.socket" && ends_in_order "$own_port"
}

upgraded_workers() {
  ctl start "$unit" && upgrade 1 && wait_for has_gone "$old" &&
    upgrade 2 && wait_for has_gone "$old" &&
    ctl stop "$unit" && has ActiveState=inactive Result=success
}

successor_of() {
  inside cat "/proc/$1/task/$1/children"
}

has_successor() {
  test -n "$(successor_of "$1")"
}

not_upgraded() {
  ctl start "$unit" || return 1
  main=$(property MainPID)
  inside sh -c "kill -USR2 $main"
  wait_for has_successor "$main" || return 1
  inside sh -c "kill -KILL $(successor_of "$main")"
  wait_for is StatusText \
    "Upgrade failed: the successor was ended by SIGKILL" &&
    has ActiveState=active "MainPID=$main" &&
    logged 1 '^No upgrade: the successor was ended by SIGKILL$' &&
    ctl stop "$unit" && has ActiveState=inactive Result=success
}

run not_upgraded "why there is no upgrade is the unit's status"
run upgraded_workers "the main process is the successor, which has workers"
twice="it is, after each of two upgrades, and is waited for when it stops"
by_socket="so it is for a service that its socket unit has started"
if can_connect; then
  run upgraded "$twice"
  run accepting "$by_socket"
else
  skip "$twice" "bash is missing"
  skip "$by_socket" "bash is missing"
fi

run child_for_all "NotifyAccess=all lets another process say that it is ready"
run child_for_main "NotifyAccess=main does not"
run workers "a worker's end is not told as the service's"

finish
