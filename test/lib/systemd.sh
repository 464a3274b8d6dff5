# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the tests with a real systemd share, after tap.sh: systemd-init.sh, which
# runs it as process 1 of namespaces of its own, and questions to it. A test puts
# its units into $tmp/units, test.target among them, and calls start_systemd. Each
# of its tests is called by run, with $unit as its unit's name.

# Whatever happens, systemd ends when nobody holds 9 any more.
init=
trap 'exec 8>&- 9>&-; wait $init; rm -rf "$tmp"' EXIT
mkdir "$tmp/units"

skip_all() {
  echo "1..0 # SKIP $*"
  exit 0
}

# Run a test: its function, which is its unit's name, and a sentence.
run() {
  unit=$1
  run_as "$@"
}

# The same where the unit has another name, which is $unit already.
run_as() {
  if "$1"; then
    pass "$2"
  else
    ctl status "$unit" | sed 's/^/#   /'
    sed 's/^/#   /' "$tmp/$unit.log"
    fail "$2"
  fi
}

inside() {
  nsenter -t "$(cat "$tmp/pid")" -p -m "$@" </dev/null 9>&-
}

ctl() {
  inside systemctl --no-pager "$@"
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

has_gone() {
  ! inside test -e "/proc/$1"
}

# A port that is free: of a server that the kernel has given it.
free_port() {
  "$PWD/examples/echo-server" --port=0 >"$tmp/port" &
  server=$!
  wait_for grep -qs "^Serving on " "$tmp/port"
  kill "$server"
  wait "$server" 2>/dev/null
  sed -n 's/^Serving on .*://p' "$tmp/port"
}

# Standard input to a port, and what comes from there to standard output. curl is
# no client for this: with telnet:// it waits for its standard input, and reads
# nothing meanwhile.
# shellcheck disable=SC2016 # for the other shell
talk() { # port
  timeout 60 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$0" 4<&0 || exit
    cat <&4 >&3 &
    cat <&3
    kill $!' "$1" 2>/dev/null
}

# Have a client that sends a text, and then what comes to 8. What it hears is in a
# file.
connect() { # port, text
  rm -f "$tmp/client" "$tmp/heard"
  mkfifo "$tmp/client"
  talk "$1" <"$tmp/client" >"$tmp/heard" 9>&- &
  exec 8>"$tmp/client"
  printf '%b' "$2" >&8
}

can_connect() {
  command -v bash >/dev/null
}

is_up_or_gone() {
  test -e "$tmp/pid" && ctl is-active --quiet test.target 2>/dev/null ||
    ! kill -0 "$init" 2>/dev/null
}

start_systemd() {
  test "$(id -u)" -eq 0 || skip_all "only root may make namespaces"
  for tool in nsenter systemctl unshare /lib/systemd/systemd; do
    command -v "$tool" >/dev/null || skip_all "$tool is missing"
  done

  mkfifo "$tmp/hold"
  unshare --mount --propagation private \
    sh "$srcdir/test/lib/systemd-init.sh" "$tmp" \
    <"$tmp/hold" >"$tmp/log" 2>&1 &
  init=$!
  exec 9>"$tmp/hold"

  if ! wait_for is_up_or_gone || ! kill -0 "$init" 2>/dev/null; then
    skip_all \
      "systemd does not run here: $(grep -v '^$' "$tmp/log" | head -n 1)"
  fi
  version=$(ctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  version=${version:-0}
}
