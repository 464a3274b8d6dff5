# SPDX-License-Identifier: MIT
#
# The plots of the benchmark, from the CSV files in `directory`: see run.sh.
# Medians, with the quartiles as bars.

set datafile separator comma
set terminal svg size 800,420 font "sans-serif,12" background "white" \
  enhanced linewidth 1.2
set style fill solid 0.75 border lt -1
set grid ytics lc "#dddddd"
set border 3
set tics nomirror
set key outside right top noenhanced
set xtics noenhanced
set bars 0.5

file(name) = sprintf("%s/%s.csv", directory, name)
# The lines of a workload of a size and figure; of a variant.
sized(name, size, figure) = sprintf( \
  "< awk -F, '$1 == \"%s\" && /,%s,(ns|us),/' '%s'", size, figure, file(name))
of(name, peer, figure) = sprintf( \
  "< awk 'index($0, \"\\\"%s\\\",%s,\")' '%s'", peer, figure, file(name))
variant(name, variant, figure) = sprintf( \
  "< awk 'index($0, \",\\\"%s\\\",\") && /,%s,(ns|us),/' '%s'", \
  variant, figure, file(name))
colour(peer) = peer eq "uvsig bytes" ? 0x1f77b4 : \
  peer eq "uvsig wake-only" ? 0x17becf : peer eq "uv_signal_t" ? 0xd62728 : \
  peer eq "libev" ? 0x2ca02c : peer eq "libevent" ? 0xff7f0e : \
  peer eq "GLib" ? 0x9467bd : peer eq "sd-event" ? 0x8c564b : 0xdddddd

# Columns: 3 peer, 7 median, 8 and 9 quartiles, 15 sent, 16 delivered.

# --- One bar for each peer
set boxwidth 0.7
set xtics rotate by -25
unset key
set ylabel "ns for each signal"
set yrange [0:*]

set output directory . "/ping.svg"
set title "ping: each callback raises the next signal"
plot sized("ping", "0", "time") \
  using 0:7:(colour(strcol(3))):xtic(3) with boxes lc rgb variable, \
  "" using 0:7:8:9 with yerrorbars lc rgb "black" pt 0

set output directory . "/burst.svg"
set title "burst: 3,000 signals are raised, then the loop runs"
plot sized("burst", "3000", "time") \
  using 0:7:(colour(strcol(3))):xtic(3) with boxes lc rgb variable, \
  "" using 0:7:8:9 with yerrorbars lc rgb "black" pt 0

set output directory . "/delivered.svg"
set title "burst of 100,000: what of it is delivered"
set ylabel "of the signals that were sent, %"
set yrange [0:105]
plot sized("burst", "100000", "time") \
  using 0:(100 * $16 / $15):(colour(strcol(3))):xtic(3) \
  with boxes lc rgb variable, \
  "" using 0:(100 * $16 / $15 + 3):(sprintf("%.3g", 100 * $16 / $15)) \
  with labels
set yrange [0:*]

# --- A line for each peer
set xtics norotate
set key
set style data linespoints
set logscale xy
set xlabel "watchers of the signal"
set ylabel "ns for each signal"
set yrange [*:*]
set output directory . "/watchers.svg"
set title "watchers: one signal, many callbacks"
all = "'uvsig bytes' 'uvsig wake-only' uv_signal_t libev libevent GLib"
plot for [peer in all] \
  of("watchers", peer, "time") using 1:7 title peer pt 7 ps 0.6 \
  lc rgb colour(peer)

unset logscale
set logscale x 2
set yrange [0:*]
set xlabel "loops, each on a thread of its own"
set ylabel "us until all of them have been told"
set output directory . "/threads.svg"
set title "threads: one signal, many loops"
plot for [peer in "'uvsig bytes' 'uvsig wake-only' uv_signal_t GLib"] \
  of("threads", peer, "time") using 1:($7 / 1000) title peer pt 7 ps 0.6 \
  lc rgb colour(peer)

# --- Bars side by side
unset logscale
unset xlabel
set xtics rotate by -25
set logscale y
set yrange [1:*]
set boxwidth 0.25
set ylabel "us from sending to the callback"
set output directory . "/latency.svg"
set title "latency: another process sends, the loop sleeps"
plot variant("latency", "process", "p50") using ($0 - 0.25):7:xtic(3) \
    with boxes lc rgb 0x9ecae1 title "p50", \
  variant("latency", "process", "p99") using 0:7 \
    with boxes lc rgb 0x4292c6 title "p99", \
  variant("latency", "process", "p99.9") using ($0 + 0.25):7 \
    with boxes lc rgb 0x084594 title "p99.9"
