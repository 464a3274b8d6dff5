# SPDX-License-Identifier: MIT
#
# The plot of drain.sh, from the CSV files in `directory`; `machine`: which it
# was, and when.

set datafile separator comma
set terminal svg size 640,820 font "sans-serif,14" background "white" noenhanced
set border 3
set tics nomirror
set grid ytics lc "#888888" lw 0.4
set style fill solid 1 noborder

file(name) = sprintf("%s/drain-%s.csv", directory, name)
has(name) = int(system(sprintf("test -s '%s' && echo 1 || echo 0", file(name))))

names = "close spread after-response"
titles = "UVSIG_SHUTDOWN_IDLE_CLOSE UVSIG_SHUTDOWN_IDLE_SPREAD " . \
  "UVSIG_SHUTDOWN_IDLE_AFTER_RESPONSE"

if (has("close") && has("spread") && has("after-response")) {
  set output directory . "/drain-timeline.svg"
  set multiplot layout 3,1 title \
    "A drain, for the three policies of idle connections"
  set bmargin 4
  set tmargin 2
  set lmargin 9
  set rmargin 2
  set xrange [-1:6]
  set xtics 1
  set yrange [0:400]
  set ylabel "connections"
  set arrow 1 from 0, 0 to 0, 400 nohead lc "black" lw 1.2 front
  set arrow 2 from 4, 0 to 4, 400 nohead lc "black" lw 1.2 front
  set arrow 3 from 5, 0 to 5, 400 nohead lc "black" lw 1.2 front
  set label 1 "SIGTERM" at 0.04, 385 front
  set label 2 "grace_ms" at 4.04, 385 front
  set label 3 "hard_ms" at 5.04, 385 front
  do for [i = 1:3] {
    name = word(names, i)
    set title word(titles, i) offset 0, -0.7
    set xlabel i == 3 ? "s from SIGTERM" : "" offset 0, 0.3
    if (i == 3) {
      set label 4 machine at screen 0.98, 0.012 right font ",10"
    }
    if (i == 1) {
      set key at 3.8, 350 right top vertical samplen 1 reverse Left
    } else {
      unset key
    }
    # Columns: 3 busy, 4 idle, 5 lingering, 6 forced. The highest first.
    plot file(name) using ($1 / 1000):($3 + $4 + $5 + $6) every ::1 \
        with filledcurves y1=0 lc rgb "#d1242f" title "forced", \
      "" using ($1 / 1000):($3 + $4 + $5) every ::1 \
        with filledcurves y1=0 lc rgb "#e69f00" title "lingering", \
      "" using ($1 / 1000):($3 + $4) every ::1 \
        with filledcurves y1=0 lc rgb "#9ecae1" title "idle", \
      "" using ($1 / 1000):3 every ::1 \
        with filledcurves y1=0 lc rgb "#1f77b4" title "busy"
  }
  unset multiplot
}
