#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/restart.sh DIRECTORY [RESTARTS]: what clients notice of so many restarts
# of each server, 100 by default, under load. Tables go to standard output, CSV
# files and plots to the directory. Runs in the build directory; make
# bench-restart calls it.
#
# RESTART_ONLY: names of servers, and of the bars. RESTART_PACE: ms from one
# restart to the next, at least. RESTART_THINKERS: how many clients think between
# two requests, 400 by default; 0 leaves them out.

set -eu
directory=$1
restarts=${2:-100}
source=$(dirname "$0")
only=${RESTART_ONLY:-http-server prefork nginx-1 nginx-2 stop-start \
  plain stop drain upgrade}
pace_ms=${RESTART_PACE:-600}
thinkers=${RESTART_THINKERS:-400}
settle_ms=$((pace_ms / 2))
. "$source/servers.sh"
mkdir -p "$directory"
wrk=/
have "$WRK" || wrk=

# How often each of the two kinds of clients asks, and how many there are.
keep=50
new=4

is_wanted() {
  case " $only " in
    *" $1 "*) ;;
    *) return 1 ;;
  esac
  case $1 in
    nginx*) have "$NGINX" || { echo "no $1: nginx is missing" >&2; return 1; } ;;
    http-server) test -x examples/http-server ;;
  esac
}

# restart_all COMMAND...: at its pace, each marked when it begins.
restart_all() {
  i=0
  while test $i -lt "$restarts"; do
    begun=$(now_ms)
    mark
    "$@"
    took=$(($(now_ms) - begun))
    sleep_ms $((took < pace_ms ? pace_ms - took : 0))
    i=$((i + 1))
  done
}

# add_row NAME KIND CLIENTS: of restart.csv.
add_row() {
  echo "$1,$restarts,$3,$(for n in sent answered refused reset cut declined \
    open raced farewells between longest_ms; do
    count "$1" "$2" $n
  done | paste -s -d ,)" >>"$directory/restart.csv"
}

# measure NAME RESTART...: the server has been started. Those that ask as fast as
# they can, and wrk.
measure() {
  what=$1
  shift
  begin_load "$what" --new=$new --keep=$keep
  sleep_ms "$pace_ms"
  restart_all "$@"
  sleep_ms "$pace_ms"
  end_load
  add_row "$what" new new
  add_row "$what" keep keep
  if test -n "$wrk"; then
    echo "$what,$restarts,$(for n in requests connect read write timeout; do
      wrk_count "$what" $n
    done | paste -s -d ,)" >>"$directory/restart-wrk.csv"
  fi
  # For the plot: the first 20 s.
  awk -F, 'NR == 1 || $1 < 20000' "$tmp/$what.csv" \
    >"$directory/restart-$what.csv"
  awk '$1 < 20000' "$tmp/$what.marks" >"$directory/restart-$what-marks.csv"
}

# measure_thinking NAME RESTART...: those that think between two requests, for
# longer than a server is likely to wait.
measure_thinking() {
  if test "$thinkers" -eq 0; then return; fi
  what=$1
  shift
  wrk_before=$wrk
  wrk=
  begin_load "$what" --keep="$thinkers" --every=1300
  sleep_ms 1300
  restart_all "$@"
  sleep_ms 1300
  end_load
  add_row "$what" keep think
  wrk=$wrk_before
}

# --- The servers ------------------------------------------------------------------

# header FILE COLUMNS: what an earlier run has left goes.
header() {
  echo "$2" >"$directory/$1.csv"
}

header restart "server,restarts,clients,sent,answered,refused,reset,cut,\
declined,open,raced,farewells,between,longest_ms"
header restart-wrk "server,restarts,requests,connect,read,write,timeout"
header restart-bars \
  "end,restarts,sent,answered,refused,lost,each_refused,each_lost"
if is_wanted http-server; then
  start_http
  measure http-server by_upgrade
  measure_thinking http-server by_upgrade
  stop
fi
if is_wanted prefork; then
  start examples/prefork --port=0 --workers=2 --settle="$(seconds "$settle_ms")"
  measure prefork by_upgrade
  measure_thinking prefork by_upgrade
  stop
fi
for workers in 1 2; do
  if is_wanted nginx-$workers; then
    start_nginx $workers
    measure nginx-$workers by_nginx
    measure_thinking nginx-$workers by_nginx
    stop
  fi
done
if is_wanted stop-start; then
  start_http
  measure stop-start by_stop_and_start examples/http-server \
    --directory="$tmp/www"
  stop
fi
# A server of the benchmark's own, which is otherwise that of the bars.
if is_wanted restart-server; then
  start bench/restart-server --settle=$settle_ms
  wrk=${wrk:+/0/612}
  measure restart-server by_upgrade
  stop
fi

# --- The bars -----------------------------------------------------------------------

# 2,000 requests a second, whatever becomes of them: half of them on connections
# that are kept, each with an answer that takes up to 20 ms.
startup_ms=100
wrk=
for end in plain stop drain upgrade; do
  is_wanted $end || continue
  set -- bench/restart-server --end=$end --startup=$startup_ms \
    --settle=$settle_ms
  start "$@"
  begin_load bars --new=50 --keep=50 --every=50 --work=20
  sleep_ms "$pace_ms"
  if test $end = upgrade; then
    restart_all by_upgrade
  else
    restart_all by_stop_and_start "$@"
  fi
  sleep_ms "$pace_ms"
  end_load
  stop
  refused=$(sum bars refused)
  lost=$(($(sum bars reset) + $(sum bars cut) + $(sum bars open)))
  echo "$end,$restarts,$(sum bars sent),$(sum bars answered),$refused,$lost,$(
    awk "BEGIN { print $refused / $restarts \",\" $lost / $restarts }"
  )" >>"$directory/restart-bars.csv"
done

# --- Tables -------------------------------------------------------------------------

machine >"$directory/restart-machine.txt"
# rows FILE: it has some.
rows() {
  test "$(wc -l <"$directory/$1.csv")" -gt 1 && echo
}

# Columns: of restart.csv 4 sent, 5 answered and so on, 14 the longest.
echo "$(machine)."
if rows restart; then
  echo "| server | clients | sent | answered | refused | reset | cut |" \
    "raced | longest, ms |"
  echo "| --- | --- | --: | --: | --: | --: | --: | --: | --: |"
  awk -F, "$titles"'function clients(kind) {
    if (kind == "new") return "a connection each"
    return kind == "keep" ? "keep-alive" : "keep-alive, every 1.3 s"
  }
  NR > 1 {
    printf "| %s | %s | %d | %d | %d | %d | %d | %d | %d |\n", title($1),
      clients($3), $4, $5, $6, $7, $8 + $10, $11, $14
  }' "$directory/restart.csv"
fi
if rows restart-wrk; then
  echo "| server | wrk: requests | connect | read | write | timeout |"
  echo "| --- | --: | --: | --: | --: | --: |"
  awk -F, "$titles"'NR > 1 {
    printf "| %s | %d | %d | %d | %d | %d |\n", title($1), $3, $4, $5, $6, $7
  }' "$directory/restart-wrk.csv"
fi
if rows restart-bars; then
  echo "| how it ends | sent | refused in a restart | lost in a restart |"
  echo "| --- | --: | --: | --: |"
  awk -F, "$titles"'NR > 1 {
    printf "| %s | %d | %.2f | %.2f |\n", title($1), $3, $7, $8
  }' "$directory/restart-bars.csv"
fi
plot restart.gp
