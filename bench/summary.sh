#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/summary.sh PART DIRECTORY: from the CSV files there, what a reader takes
# from them: with "summary" the first lines of RESULTS.md, with "costs" the table
# of README. tools/bench calls it.

set -eu
part=$1
directory=$2
export LC_ALL=C

# All rows as FILE,ROW, with no quotes, and no comma within a field.
rows() {
  for file in "$directory"/*.csv; do
    awk -v name="$(basename "$file" .csv)" '{
      line = ""
      while (match($0, /"[^"]*"/)) {
        field = substr($0, RSTART + 1, RLENGTH - 2)
        gsub(/,/, "", field)
        line = line substr($0, 1, RSTART - 1) field
        $0 = substr($0, RSTART + RLENGTH)
      }
      print name "," line $0
    }' "$file"
  done
}

# Columns: 1 file, 3 variant, 4 peer, 5 figure, 8 median, 13 ratio, 16 sent, 17
# delivered. Those of targets.csv: 2 target, 3 against, 5 ratio. Of
# restart-bars.csv: 2 name, 8 refused and 9 lost in a restart.
rows | awk -F, -v part="$part" '
  $1 == "targets" { ratio[$2, $3] = $5; next }
  $1 == "restart-bars" { refused[$2] = $8; lost[$2] = $9; next }
  !(($1, $3, $4) in seen) && $13 != "" { ratio[$1, $3, $4] = $13 }
  {
    seen[$1, $3, $4] = 1
    if (!(($1, $3, $4) in median)) median[$1, $3, $4] = $8
    sent[$1, $3, $4] = $16
    delivered[$1, $3, $4] = $17
  }
  function known(table, key, format) {
    return key in table && table[key] != "" ? sprintf(format, table[key]) : "?"
  }
  function times(workload, variant, peer) {
    return known(ratio, workload SUBSEP variant SUBSEP peer, "%.2f")
  }
  function grouped(n) { # 1234567: 1,234,567
    n = sprintf("%.0f", n)
    for (at = length(n) - 3; at > 0; at -= 3)
      n = substr(n, 1, at) "," substr(n, at + 1)
    return n
  }
  function of_burst(peer) {
    key = "burst" SUBSEP "100000" SUBSEP peer
    return sent[key] > 0 ? grouped(100000 * delivered[key] / sent[key]) : "?"
  }
  function failed(way) {
    if (!(way in refused)) return "?"
    n = refused[way] + lost[way]
    return n > 0 && n < 0.95 ? sprintf("%.2f", n) : grouped(n)
  }
  function summary() {
    print "- The coordinator costs a server " \
      known(median, "busy-idle" SUBSEP "one connection" SUBSEP \
        "coordinator 1", "%.1f") " ns for each request, " \
      known(median, "connection-memory" SUBSEP SUBSEP "coordinator 1", "%d") \
      " bytes for each"
    print "  connection. An HTTP request takes " \
      known(ratio, "http" SUBSEP SUBSEP "coordinator", "%.3f") \
      " times as long as without it."
    print "- A restart with `uvsig_upgrade_t` has " failed("upgrade") \
      " failed requests, one with a plain exit " failed("plain") "."
    print "- Of 100,000 signals at once the default mode delivers " \
      of_burst("uvsig bytes") ", uv_signal_t " of_burst("uv_signal_t") "."
    print "- A signal that a callback raises takes " \
      times("ping", "", "uvsig bytes") " of uv_signal_t'\''s time in bytes mode, " \
      times("ping", "", "uvsig wake-only") " in"
    print "  wake-only mode, " times("ping", "", "uvsig signalfd") \
      " from a signalfd. Keep the default, bytes. Take wake-only where a"
    print "  count is enough, and a signalfd for the value of each realtime signal."
  }
  function row(title, workload, variant) {
    print "| " title " | uv_signal_t | " times(workload, variant, "uvsig bytes") \
      " | " times(workload, variant, "uvsig wake-only") " | " \
      (workload == "burst" ? "" : times(workload, variant, "uvsig signalfd")) \
      " |"
  }
  function costs() {
    print "| case | against | bytes | wake-only | signalfd |"
    print "| --- | --- | --: | --: | --: |"
    row("each callback raises the next signal", "ping", "")
    row("a burst of 3,000, all delivered", "burst", "3000")
    print "| a burst of 3,000, all delivered | an empty handler | | " \
      known(ratio, "burst of 3000 wake-only" SUBSEP "empty handler", "%.2f") " | |"
    row("a burst of 1,000 realtime signals", "realtime", "1000")
    row("a signal with 100 watchers", "watchers", "100")
    row("start and stop of a further watcher, no system call", "start-stop", \
      "further")
    print "| to be there, in a busy loop | without it | " \
      times("busy-loop", "", "uvsig_t") " | " \
      times("busy-loop", "", "uvsig_t wake-only") " | |"
  }
  END {
    if (part == "summary") summary()
    else costs()
  }'
