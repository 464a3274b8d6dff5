#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/drain.sh DIRECTORY [RUNS]: what clients notice when a server is told to
# end under load, so many times for each server and signal, 10 by default; and
# the timeline of a drain for each policy of idle connections. Tables go to
# standard output, CSV files and plots to the directory. Runs in the build
# directory; make bench-drain calls it.
#
# DRAIN_ONLY: names of servers, or "timeline". DRAIN_WRK: how many runs of each
# signal there are with wrk, 3 by default.

set -eu
directory=$1
runs=${2:-10}
source=$(dirname "$0")
only=${DRAIN_ONLY:-http-server prefork echo-server websocket-server nginx-1 \
  nginx-2 timeline}
wrk_runs=${DRAIN_WRK:-3}
settle_ms=300
. "$source/servers.sh"
mkdir -p "$directory"

is_wanted() {
  case " $only " in
    *" $1 "*) ;;
    *) return 1 ;;
  esac
  case $1 in
    nginx*) have "$NGINX" || { echo "no $1: nginx is missing" >&2; return 1; } ;;
    timeline) ;;
    *) test -x "examples/$1" ||
      { echo "no $1: it has not been built" >&2; return 1; } ;;
  esac
}

# --- One server, one signal -------------------------------------------------------

# The workers of prefork or nginx.
children() {
  cat "/proc/$pid/task/$pid/children"
}

all_have_gone() {
  for process; do
    has_gone "$process" || return 1
  done
}

# How it is told, and when it is over: the server has gone, or its old workers.
tell() {
  case $1 in
    reload) # shellcheck disable=SC2046
      set -- HUP $(children)
      ;;
    *) set -- "$1" "$pid" ;;
  esac
  send "$1" "$pid"
  shift
  until_true all_have_gone "$@"
}

# drain NAME SIGNAL PROTOCOL START...: a row of the table. SIGNAL: reload is
# SIGHUP, where that does not end the server.
drain() {
  what=$1 signal=$2 protocol=$3
  shift 3
  for n in sent answered refused reset cut declined open raced; do
    eval "total_$n=0"
  done
  ended_ms=
  run=0
  while test $run -lt "$runs"; do
    wrk=
    "$@"
    if test "$protocol" = http; then
      begin_load drain --new=4 --keep=50
    else
      begin_load drain --keep=50 --protocol="$protocol"
    fi
    sleep 0.5
    begun=$(now_ms)
    tell "$signal"
    ended_ms="$ended_ms $(($(now_ms) - begun))"
    end_load
    if ! has_gone "$pid"; then stop; fi
    pid=
    for n in sent answered refused reset cut declined open raced; do
      eval "total_$n=\$((total_$n + $(sum drain $n)))"
    done
    run=$((run + 1))
  done
  # wrk alone, since after the end it does nothing but connect.
  wrk_read=
  run=0
  while have "$WRK" && test "$protocol" = http && test $run -lt "$wrk_runs"; do
    "$@"
    wrk=/
    begin_load drain
    sleep 0.5
    tell "$signal"
    end_load
    if ! has_gone "$pid"; then stop; fi
    pid=
    wrk_read=$((${wrk_read:-0} + $(wrk_count drain read)))
    run=$((run + 1))
  done
  # shellcheck disable=SC2154 # the totals
  echo "$what,$signal,$runs,$((total_sent - total_refused)),$total_answered,\
$total_reset,$total_cut,$total_declined,$total_open,$total_raced,\
$total_refused,$(echo "$ended_ms" | tr ' ' '\n' | sed '/^$/d' | sort -n |
  awk '{ ms[NR] = $1 } END { print ms[int((NR + 1) / 2)] }'),$wrk_read" \
    >>"$directory/drain.csv"
}

start_example() {
  name=$1
  shift
  start "examples/$name" --port=0 "$@"
}

echo "server,signal,runs,sent,answered,reset,cut,declined,open,raced,refused,\
ended_ms,wrk_read" >"$directory/drain.csv"
if is_wanted http-server; then
  for signal in TERM HUP; do
    drain http-server $signal http start_http
  done
fi
if is_wanted prefork; then
  drain prefork TERM http start_example prefork --workers=2
  drain prefork reload http start_example prefork --workers=2
fi
for workers in 1 2; do
  if is_wanted nginx-$workers; then
    for signal in QUIT TERM reload; do
      drain nginx-$workers $signal http start_nginx $workers
    done
  fi
done
for server in echo-server websocket-server; do
  if is_wanted $server; then
    protocol=websocket
    test $server = websocket-server || protocol=line
    for signal in TERM HUP; do
      drain $server $signal $protocol start_example $server
    done
  fi
done

# --- A drain as a timeline ----------------------------------------------------------

# 100 clients ask every second, and have their answers within 300 ms. 200 have
# asked once. 30 have, too, and never close. 20 read 1 MB slowly. 20 have sent half
# of a request, and never close.
if is_wanted timeline; then
  wrk=
  for idle in close spread after-response; do
    start bench/restart-server --end=drain --idle=$idle --grace=4000 \
      --hard=1000 --linger=500 --spread=2500 --timeline="$tmp/timeline"
    begin_load timeline --keep=100 --every=1000 --work=300 --idle=200 --deaf=30 \
      --half=20 --slow=20
    sleep 2.5
    send TERM "$pid"
    until_true has_gone "$pid"
    end_load
    # From SIGTERM on.
    awk -F, -v OFS=, 'NR == FNR { if ($2 == 2 && t == "") t = $1; next }
      FNR > 1 { $1 -= t } 1' "$tmp/timeline" "$tmp/timeline" \
      >"$directory/drain-$idle.csv"
  done
fi

# --- Tables -------------------------------------------------------------------------

machine >"$directory/drain-machine.txt"
echo "$(machine)."
if test "$(wc -l <"$directory/drain.csv")" -gt 1; then
  echo
  echo "| server | signal | sent | answered | declined | reset | cut | raced |" \
    "ends after, ms | wrk: read |"
  echo "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |"
  awk -F, "$titles"'NR > 1 {
    printf "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %s |\n", title($1),
      $2 == "reload" ? "SIGHUP, a reload" : "SIG" $2, $4, $5, $8, $6, $7 + $9,
      $10, $12, $13 == "" ? "-" : $13
  }' "$directory/drain.csv"
fi
plot drain.gp
