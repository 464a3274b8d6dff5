#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The examples as services of a real systemd: what it makes of what the library
# tells it. It is process 1 of namespaces of its own, so this needs root. Nothing
# here depends on how fast anything is: it waits for what can be observed, and
# gives up after a minute.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

# Whatever happens, systemd ends when nobody holds 9 any more.
trap 'exec 9>&-; wait; rm -rf "$tmp"' EXIT

skip_all() {
  echo "1..0 # SKIP $*"
  exit 0
}

# --- Helpers ----------------------------------------------------------------

# Run a test: its function, and a sentence.
run() {
  unit=$1
  if "$1"; then
    pass "$2"
  else
    ctl status "$unit" | sed 's/^/#   /'
    sed 's/^/#   /' "$tmp/$unit.log"
    fail "$2"
  fi
}

# Say why a test fails.
because() {
  echo "# $*"
  return 1
}

equal() { # what it is, actual, expected
  test "$2" = "$3" || because "$1 is '$2' and should be '$3'"
}

# Wait until a command succeeds.
wait_for() {
  tries=1200
  until "$@"; do
    tries=$((tries - 1))
    test "$tries" -gt 0 || because "waited in vain: $*" || return 1
    sleep 0.05
  done
}

ctl() {
  nsenter -t "$(cat "$tmp/pid")" -p -m systemctl --no-pager "$@" \
    </dev/null 9>&-
}

# Of the unit that the test has.
property() {
  ctl show --value -p "$1" "$unit"
}

is() { # property, value
  test "$(property "$1")" = "$2"
}

has() { # properties with their values
  for pair; do
    equal "${pair%%=*}" "$(property "${pair%%=*}")" "${pair#*=}" || return 1
  done
}

logged() { # how many lines, of which form
  test "$(grep -c -e "$2" "$tmp/$unit.log" 2>/dev/null)" -ge "$1" 2>/dev/null
}

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

mkdir "$tmp/units"

unit() { # name, command, lines of its [Service]
  unit=$1
  command=$2
  shift 2
  printf '%s\n' '[Unit]' DefaultDependencies=no \
    '[Service]' Type=notify "ExecStart=$command" TimeoutStartSec=20 \
    LimitCORE=0 "StandardOutput=append:$tmp/$unit.log" StandardError=inherit \
    "$@" >"$tmp/units/$unit.service"
}

daemon() { # name, lines of its [Service]
  name=$1
  shift
  unit "$name" "\"$PWD/examples/daemon\" --config=$tmp/$name.conf \
--pid-file=$tmp/$name.pid" "$@"
}

printf '%s\n' '[Unit]' DefaultDependencies=no >"$tmp/units/test.target"
daemon starting

# --- systemd ----------------------------------------------------------------

test "$(id -u)" -eq 0 || skip_all "only root may make namespaces"
for tool in nsenter systemctl unshare /lib/systemd/systemd; do
  command -v "$tool" >/dev/null || skip_all "$tool is missing"
done

mkfifo "$tmp/hold"
unshare --mount --propagation private \
  sh "$srcdir/test/lib/systemd-init.sh" "$tmp" <"$tmp/hold" >"$tmp/log" 2>&1 &
init=$!
exec 9>"$tmp/hold"

is_up_or_gone() {
  test -e "$tmp/pid" && ctl is-active --quiet test.target 2>/dev/null ||
    ! kill -0 "$init" 2>/dev/null
}

if ! wait_for is_up_or_gone || ! kill -0 "$init" 2>/dev/null; then
  skip_all "systemd does not run here: $(grep -v '^$' "$tmp/log" | head -n 1)"
fi

# --- Tests ------------------------------------------------------------------

starting() {
  configure_later
  ctl start "$unit" &
  start=$!
  wait_for test -s "$tmp/$unit.pid" && has ActiveState=activating || return 1
  kill -0 "$start" || because "systemctl has not waited" || return 1
  configure_now "message = hello" && wait "$start" &&
    has ActiveState=active "MainPID=$(cat "$tmp/$unit.pid")" &&
    logged 1 '^ready: hello$'
}

run starting "systemctl start returns when the program is ready"

finish
