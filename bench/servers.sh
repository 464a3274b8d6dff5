# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# For restart.sh and drain.sh, in the build directory: servers, and what they
# serve, each of them with start_NAME, which sets $pid and $port. The clients are
# restart-client's, and wrk's where it is installed. All is on 127.0.0.1, in a
# folder of its own, and ends with the script.
# shellcheck disable=SC2154 # $source is the script's

export LC_ALL=C
. "$source/plot.sh"
tmp=$(mktemp -d)
WRK=${WRK:-wrk}
# By its whole path: its USR2 executes what it was called by.
NGINX=$(command -v "${NGINX:-nginx}" || echo nginx)
client=bench/restart-client
pid=  # of the server that serves
port= # where

# All that is started here has the folder's name in its environment, and nginx in
# its arguments. A number alone says nothing: it may be another process's by now.
export BENCH_FOLDER="$tmp"

is_ours() {
  grep -qsF "$tmp" "/proc/$1/environ" "/proc/$1/cmdline"
}

# send SIGNAL PID
send() {
  ! is_ours "$2" || kill -s "$1" "$2" 2>/dev/null || :
}

clean_up() {
  for signal in TERM KILL; do # nginx ends its workers at SIGTERM
    for process in $(grep -lsF "$tmp" /proc/[0-9]*/environ \
      /proc/[0-9]*/cmdline | cut -d / -f 3); do
      test "$process" = $$ || send $signal "$process"
    done
    test $signal = KILL || sleep 0.3
  done
  rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

mkdir "$tmp/www"
chmod 755 "$tmp" "$tmp/www"
head -c 612 /dev/zero | tr '\0' x >"$tmp/www/index.html"

have() {
  command -v "$1" >/dev/null
}

fail() {
  echo "$0: $*" >&2
  exit 1
}

now_ms() {
  date +%s%3N
}

sleep_ms() {
  if test "$1" -gt 0; then sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"; fi
}

# has_gone PID: one that has ended may not have been waited for.
has_gone() {
  case $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) in
    '' | Z) return 0 ;;
    *) return 1 ;;
  esac
}

# until_true COMMAND...: a minute at least.
until_true() {
  tries=6000
  until "$@"; do
    tries=$((tries - 1))
    test $tries -gt 0 || fail "it has not come to: $*"
    sleep 0.01
  done
}

# --- Servers ------------------------------------------------------------------

serves_or_has_gone() {
  grep -q '^Serving on' "$tmp/log" || has_gone "$pid"
}

# What is ignored here stays so in a server: SIGINT in the background, and SIGHUP
# below nohup(1). coreutils 8.31 and later can mend that.
defaults=
if env --default-signal true 2>/dev/null; then
  defaults="env --default-signal"
fi

# start COMMAND...: one that says "Serving on ...:PORT".
start() {
  : >"$tmp/log"
  # 3: the client is to see its end.
  $defaults "$@" >>"$tmp/log" 2>&1 3>&- &
  pid=$!
  until_true serves_or_has_gone
  grep -q '^Serving on' "$tmp/log" || fail "$1: $(cat "$tmp/log")"
  port=$(sed -n 's/^Serving on .*:\([0-9]*\)\/*$/\1/p' "$tmp/log" | head -n 1)
}

# The same again, there.
start_again() {
  start "$@" --port="$port"
}

# One that was free just now.
free_port() {
  start bench/restart-server --end=plain
  send KILL "$pid"
  wait "$pid" 2>/dev/null || :
}

# So many ms, as the examples have their times.
seconds() {
  printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000))
}

start_http() {
  start examples/http-server --directory="$tmp/www" \
    --settle="$(seconds "$settle_ms")" --port="${1:-0}"
}

# nginx with so many workers.
start_nginx() {
  free_port
  user=
  if test "$(id -u)" -eq 0; then user="user $(id -un) $(id -gn);"; fi
  rm -f "$tmp/nginx.pid"
  cat >"$tmp/nginx.conf" <<END
$user
worker_processes $1;
pid $tmp/nginx.pid;
error_log $tmp/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $tmp/body;
  proxy_temp_path $tmp/proxy;
  fastcgi_temp_path $tmp/fastcgi;
  uwsgi_temp_path $tmp/uwsgi;
  scgi_temp_path $tmp/scgi;
  server {
    listen 127.0.0.1:$port;
    root $tmp/www;
  }
}
END
  "$NGINX" -c "$tmp/nginx.conf" -p "$tmp" 2>"$tmp/log" || fail "nginx"
  until_true test -s "$tmp/nginx.pid"
  pid=$(cat "$tmp/nginx.pid")
}

# stop: by SIGTERM, and wait.
stop() {
  send TERM "$pid"
  until_true has_gone "$pid"
  pid=
}

# --- Ways to restart ------------------------------------------------------------

ready_line='process [0-9]* is ready'

# The library's upgrade: the old one has gone, and the next one serves.
by_upgrade() {
  : >"$tmp/log"
  send USR2 "$pid"
  until_true grep -q "$ready_line" "$tmp/log"
  old=$pid
  pid=$(grep -o "$ready_line" "$tmp/log" | tail -n 1 | cut -d ' ' -f 2)
  until_true has_gone "$old"
}

has_children() {
  test -n "$(cat "/proc/$1/task/$1/children")"
}

# nginx's, as its manual has it.
by_nginx() {
  old=$pid
  send USR2 "$old"
  until_true test -s "$tmp/nginx.pid.oldbin"
  until_true test -s "$tmp/nginx.pid"
  pid=$(cat "$tmp/nginx.pid")
  until_true has_children "$pid"
  send WINCH "$old"
  sleep_ms 100
  send QUIT "$old"
  until_true has_gone "$old"
}

# By hand: stop, and the command again.
by_stop_and_start() {
  stop
  start_again "$@"
}

# --- Clients --------------------------------------------------------------------

# begin_load NAME OPTION...: restart-client, and wrk unless $wrk is empty.
begin_load() {
  name=$1
  shift
  rm -f "$tmp/fifo"
  mkfifo "$tmp/fifo"
  "$client" --port="$port" --csv="$tmp/$name.csv" --marks="$tmp/$name.marks" \
    "$@" <"$tmp/fifo" >"$tmp/$name.counts" &
  client_pid=$!
  exec 3>"$tmp/fifo"
  wrk_pid=
  if test -n "$wrk"; then
    "$WRK" -t 1 -c 50 -d 1h "http://127.0.0.1:$port$wrk" >"$tmp/$name.wrk" 3>&- &
    wrk_pid=$!
  fi
  if test $# -gt 0; then until_true grep -q begun "$tmp/$name.counts"; fi
}

mark() {
  echo >&3
}

# wrk first: what it has left is lost at its end, and not counted.
end_load() {
  if test -n "$wrk_pid"; then
    send INT "$wrk_pid"
    wait "$wrk_pid" || :
  fi
  exec 3>&-
  wait "$client_pid" || fail "the client of $name has failed"
}

# count NAME KIND WHAT
count() {
  sed -n "s/^$2\.$3=//p" "$tmp/$1.counts"
}

# sum NAME WHAT: of all kinds that are counted.
sum() {
  echo $(($(count "$1" new "$2") + $(count "$1" keep "$2") + 0))
}

# wrk_count NAME connect|read|write|timeout|requests
wrk_count() {
  case $2 in
    requests) sed -n 's/^ *\([0-9]*\) requests in .*/\1/p' "$tmp/$1.wrk" ;;
    *)
      number=$(sed -n "s/.*Socket errors:.* $2 \([0-9]*\).*/\1/p" "$tmp/$1.wrk")
      echo "${number:-0}"
      ;;
  esac
}

# --- Results ----------------------------------------------------------------------

# For awk: what a server, or a way to end one, is called in a table.
# shellcheck disable=SC2034,SC2016 # the scripts use it
titles='function title(name) {
  if (name == "stop-start")
    return "http-server, stopped and started"
  if (name ~ /^nginx-/)
    return "nginx, " substr(name, 7) (name == "nginx-1" ? " worker" : " workers")
  if (name == "plain") return "SIGTERM has its default action"
  if (name == "stop") return "uv_signal_t and uv_stop()"
  if (name == "drain") return "uvsig_shutdown_t"
  if (name == "upgrade") return "uvsig_upgrade_t"
  return name
}
'
