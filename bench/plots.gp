# SPDX-License-Identifier: MIT
#
# The plots of the benchmark, from the CSV files in `directory`; `machine`: which
# it was, and when. Medians, with the quartiles as thin lines.

set datafile separator comma
set terminal svg size 800,400 font "sans-serif,12" background "white" noenhanced
set border 1
set tics nomirror
set ytics scale 0
set grid xtics lc "#888888" lw 0.4
set label 1 machine at screen 0.99, 0.03 right font ",10"

file(name) = sprintf("%s/%s.csv", directory, name)
# The lines of a workload of a size; of a peer; of a variant and figure.
sized(name, size) = sprintf( \
  "< awk -F, '$1 == \"%s\" && /,time,ns,/' '%s'", size, file(name))
of(name, peer) = sprintf( \
  "< awk 'index($0, \"\\\"%s\\\",time,\")' '%s'", peer, file(name))
variant(name, variant, figure) = sprintf( \
  "< awk 'index($0, \",\\\"%s\\\",\") && /,%s,us,/' '%s'", \
  variant, figure, file(name))

# A peer's colour, dashes and symbol are the same in all plots.
names = "uvsig-bytes uvsig-wake-only uvsig-signalfd uv_signal_t libev libevent " . \
  "sd-event GLib"
colours = "0x1f77b4 0x17becf 0x6a3d9a 0xd62728 0x2ca02c 0xff7f0e 0x8c564b 0xe377c2"
dashes = "1 2 4 1 2 3 5 4"
symbols = "7 5 9 2 4 8 12 3"
peer(dashed) = dashed[1:6] eq "uvsig-" ? "uvsig " . dashed[7:] : dashed
at(name) = sum [i = 1:words(names)] (peer(word(names, i)) eq name ? i : 0)
colour(name) = at(name) > 0 ? int(word(colours, at(name))) : 0xbbbbbb
dashtype_of(dashed) = int(word(dashes, at(peer(dashed))))
symbol_of(dashed) = int(word(symbols, at(peer(dashed))))

# 1234567: 1,234,567
grouped(text) = strlen(text) <= 3 ? text : \
  grouped(text[1:strlen(text) - 3]) . "," . text[strlen(text) - 2:]
number(x) = x < 10 ? sprintf("%.1f", x) : grouped(sprintf("%.0f", x))

# --- Bars that lie: a peer each, from top to bottom

# Columns: 1 size, 3 peer, 7 median, 8 and 9 quartiles, 15 sent, 16 delivered,
# 17 with the value that was sent. All are of all rounds together.
has_lost(row) = column(15) > column(16)
of_all(row) = sprintf("delivered %s of %s", \
  grouped(sprintf("%.0f", column(1) * column(16) / column(15))), \
  grouped(sprintf("%.0f", column(1))))
told(row) = sprintf("%s of %s values", \
  grouped(sprintf("%.0f", column(1) * column(17) / column(15))), \
  grouped(sprintf("%.0f", column(1))))
# What is longer than `most` is cut, and says so.
cut(x) = x > most ? most : x
note(row) = (column(7) > most ? "cut: " : "") . number(column(7)) . " ns" . \
  (has_lost(0) ? ", " . of_all(0) : "")

bar = "(0):(-$0):(0):(cut($7)):(-$0 - 0.38):(-$0 + 0.38)"
bars = "data using @bar:(colour(strcol(3))):ytic(3) with boxxyerror " . \
  "lc rgb variable fs solid 0.7 noborder, " . \
  "data using (0):(-$0):(0):(has_lost(0) ? cut($7) : NaN):(-$0 - 0.38):" . \
  "(-$0 + 0.38) with boxxyerror lc rgb 'white' fs transparent pattern 5, " . \
  "data using (cut($7)):(-$0):(cut($8)):(cut($9)) with xerrorbars " . \
  "lc rgb 'black' lw 1.4 pt 0"
labels = "with labels left offset 0.8, 0 font ',11'"

unset key
set bars 0.6
set xrange [0:*]
set yrange [*:0.6]
set offsets 0, 0, 0, 0.6
set lmargin 27
set rmargin 31
set bmargin 5
set xlabel "ns for each signal: lower is better; hatched: merged or lost signals"

# The longest but GLib's, whose sixth of a millisecond would squeeze the others.
longest(data) = real(system(data[3:] . " | awk -F, '!/\"GLib\"/ { " . \
  "gsub(/\"[^\"]*\"/, \"\"); if ($9 > most) most = $9 } END { print most + 0 }'"))
# Few enough numbers below the axis.
ten(x) = 10 ** floor(log10(x))
step(x) = x / ten(x) > 5 ? 2 * ten(x) : x / ten(x) > 2 ? ten(x) : ten(x) / 2

set output directory . "/ping.svg"
set title "ping: each callback raises the next signal"
data = sized("ping", "0")
most = 1.1 * longest(data)
set xtics step(most)
plot @bars, data using (cut($9)):(-$0):(note(0)) @labels

set output directory . "/burst.svg"
set title "burst: SIGUSR1 is raised 3,000 times, then the loop runs"
data = sized("burst", "3000")
most = 1.1 * longest(data)
set xtics step(most)
plot @bars, data using (cut($9)):(-$0):(note(0)) @labels

set output directory . "/realtime.svg"
set title "realtime: 1,000 signals with values are queued, then the loop runs"
data = sized("realtime", "1000")
most = 1.1 * longest(data)
set xtics step(most)
plot @bars, data using (cut($9)):(-$0):(note(0) . ", " . told(0)) @labels

set output directory . "/delivered.svg"
set title "burst: SIGUSR1 is raised 100,000 times: what of it is delivered"
set xlabel "of the signals that were sent, %: higher is better"
set xrange [0:100]
set xtics 20
data = sized("burst", "100000")
share(row) = 100.0 * column(16) / column(15)
plot data using (0):(-$0):(0):(share(0)):(-$0 - 0.38):(-$0 + 0.38) \
    :(colour(strcol(3))):ytic(3) with boxxyerror \
    lc rgb variable fs solid 0.7 noborder, \
  data using (0):(-$0):(0):(has_lost(0) ? share(0) : NaN):(-$0 - 0.38) \
    :(-$0 + 0.38) with boxxyerror lc rgb "white" fs transparent pattern 5, \
  data using (share(0)):(-$0):(of_all(0)) @labels

# --- A line for each peer

# Lines that lie on each other are told apart by dashes and open symbols, and
# their points are moved aside a little.
aside(dashed) = 1 + 0.025 * (at(peer(dashed)) - 4)
set terminal svg size 800,480 font "sans-serif,12" background "white" noenhanced
set border 3
set grid ytics
set key outside right top samplen 4
set lmargin 13
set rmargin 24
set xrange [0.7:15000]
set yrange [*:*]
set offsets 0, 0, 0, 0
set ytics auto scale 1
set xtics auto
set logscale xy
set format y "%.0f"
set xlabel "watchers of the signal"
set ylabel "ns for each signal: lower is better"
set output directory . "/watchers.svg"
set title "watchers: one signal, many callbacks"
of_watchers = "uvsig-bytes uvsig-wake-only uvsig-signalfd uv_signal_t libev " . \
  "libevent GLib"
plot for [name in of_watchers] \
  of("watchers", peer(name)) using ($1 * aside(name)):7:8:9 title peer(name) \
  with yerrorlines lw 1.5 ps 0.8 lc rgb colour(peer(name)) \
  dt dashtype_of(name) pt symbol_of(name), \
  for [name in of_watchers] of("watchers", peer(name)) \
  using ($1 / 1.2):(has_lost(0) ? $7 : NaN):(of_all(0)) notitle \
  with labels right font ",11"

unset logscale
set logscale x 2
set xrange [0.85:9.5]
set yrange [0:*]
set xlabel "loops, each on a thread of its own"
set ylabel "us until all of them have been told: lower is better"
set output directory . "/threads.svg"
set title "threads: one signal, many loops"
plot for [name in "uvsig-bytes uvsig-wake-only uvsig-signalfd uv_signal_t GLib"] \
  of("threads", peer(name)) \
  using ($1 * aside(name)):($7 / 1000):($8 / 1000):($9 / 1000) \
  title peer(name) with yerrorlines lw 1.5 ps 0.8 lc rgb colour(peer(name)) \
  dt dashtype_of(name) pt symbol_of(name)

# --- Three bars that lie for each peer

unset logscale
unset key
unset ylabel
unset grid
set grid xtics lc "#888888" lw 0.4
set border 1
set ytics scale 0
set format y "%s"
set terminal svg size 800,620 font "sans-serif,12" background "white" noenhanced
set output directory . "/latency.svg"
set yrange [*:0.7]
set offsets 0, 0, 0, 0.7
set xrange [0:*]
figures = "p50 p99 p99.9"
shades = "0x9ecae1 0x4292c6 0x084594"
low(i, row) = -row + 0.36 - 0.24 * i
set multiplot layout 1,2
set bmargin 6
set tmargin 5
set label 2 "latency: another process sends, the loop sleeps" \
  at screen 0.5, 0.96 center font ",15"
set label 3 "us from sending to the callback: lower is better" \
  at screen 0.55, 0.09 center
unset xlabel
set key at screen 0.55, 0.925 center top horizontal samplen 1.5
set lmargin at screen 0.19
set rmargin at screen 0.52
set title "another processor" offset 0, -0.7
from = "process"
do for [panel = 1:2] {
  plot for [i = 1:3] variant("latency", from, word(figures, i)) \
      using (0):(-$0):(0):7:(low(i, $0)):(low(i, $0) + 0.24):ytic(3) \
      with boxxyerror lc rgb int(word(shades, i)) fs solid 0.8 noborder \
      title word(figures, i), \
    for [i = 1:3] variant("latency", from, word(figures, i)) \
      using 7:(low(i, $0) + 0.12):8:9 with xerrorbars lc rgb "black" \
      lw 1.2 pt 0 notitle, \
    for [i = 1:3] variant("latency", from, word(figures, i)) \
      using 9:(low(i, $0) + 0.12):(number($7)) \
      with labels left offset 0.3, 0 font ",8" notitle
  unset key
  unset label 1
  unset label 2
  unset label 3
  set format y ""
  set lmargin at screen 0.6
  set rmargin at screen 0.94
  set title "the same processor"
  from = "process on the same processor"
}
unset multiplot
