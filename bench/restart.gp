# SPDX-License-Identifier: MIT
#
# The plots of restart.sh, from the CSV files in `directory`; `machine`: which it
# was, and when.

set datafile separator comma
set border 3
set tics nomirror
set grid ytics lc "#888888" lw 0.4
set style fill solid 1 noborder

file(name) = sprintf("%s/restart-%s.csv", directory, name)
# Has it rows below its header?
has(name) = int(system(sprintf( \
  "awk 'END { print (NR > 1) }' '%s' 2>/dev/null || echo 0", file(name))))

# One of a hundred is not none.
few(x) = sprintf(x > 0 && x < 0.95 ? "%.2f" : "%.0f", x)

# --- Four ways to end, a bar for each

if (has("bars")) {
  set terminal svg size 640,420 font "sans-serif,14" background "white" noenhanced
  set output directory . "/restart-bars.svg"
  set label 2 "Requests that fail in one restart, of 2,000 a second: " . \
    "lower is better" at screen 0.5, 0.95 center font ",15"
  set tmargin 6
  set label 1 machine at screen 0.99, 0.03 right font ",10"
  set bmargin 4.5
  set boxwidth 0.6
  set key at screen 0.5, 0.9 center top vertical samplen 1.5 reverse Left \
    width -18
  set xrange [-0.6:3.6]
  set yrange [0:*]
  set offsets 0, 0, 70, 0
  set xtics scale 0 ("plain exit" 0, "uv_signal_t,\nuv_stop()" 1, \
    "uvsig_shutdown_t" 2, "uvsig_upgrade_t" 3)
  # Columns: 7 refused and 8 lost, each restart.
  plot file("bars") using 0:($7 + $8) every ::1 with boxes lc rgb "#e69f00" \
      title "refused: nobody listens between stop and start", \
    "" using 0:8 every ::1 with boxes lc rgb "#d1242f" \
      title "lost: the request was sent, and has no answer", \
    "" using 0:($7 + $8):($7 + $8 == 0 ? "0" : \
        sprintf("%.0f refused,\n%s lost", $7, few($8))) every ::1 \
      with labels offset 0, 1.7 notitle
  unset label 1
  unset label 2
  unset xtics
  set tics scale 1
  unset offsets
}

# --- Over time

names = "http-server prefork nginx-2 stop-start"
titles = "'examples/http-server, an upgrade' " . \
  "'examples/prefork, 2 workers, an upgrade' " . \
  "'nginx, 2 workers, USR2, WINCH and QUIT' " . \
  "'examples/http-server, stopped and started'"
if (has("http-server") && has("prefork") && has("nginx-2") && \
    has("stop-start")) {
  set terminal svg size 800,800 font "sans-serif,12" background "white" noenhanced
  set output directory . "/restart-time.svg"
  set multiplot layout 4,1 title \
    "Requests a second, and those that fail (red: lower is better), at each " . \
    "restart (grey)"
  set bmargin 3
  set tmargin 2
  set lmargin 9
  set rmargin 13
  set border 11
  set xrange [0:20]
  set xtics 2 nomirror
  set yrange [0:*]
  set y2range [0.5:20000]
  set logscale y2
  set y2tics ("1" 1, "10" 10, "100" 100, "1,000" 1000, "10,000" 10000)
  set ylabel "answered, 1/s"
  set y2label "failed in 100 ms"
  set format y "%.0f"
  unset key
  do for [i = 1:4] {
    name = word(names, i)
    failed = system(sprintf("awk -F, '{ n += $4 + $5 + $6 } END { print n }' '%s'", \
      file(name)))
    answered = system(sprintf("awk -F, '{ n += $2 + $3 } END { print n }' '%s'", \
      file(name)))
    set title sprintf("%s: %s answered, %s failed", word(titles, i), answered, \
      failed) offset 0, -0.7
    set xlabel i == 4 ? "s" : ""
    if (i == 4) {
      set label 1 machine at screen 0.99, 0.012 right font ",10"
    }
    plot file(name . "-marks") using ($1 / 1000):(20000) axes x1y2 \
        with impulses lc rgb "#999999" lw 1, \
      file(name) using ($1 / 1000 + 0.05):(10 * ($2 + $3)) every ::1 \
        with steps lc rgb "#1f77b4" lw 1.5, \
      file(name) using ($1 / 1000 + 0.05):($4 + $5 + $6 > 0 ? \
        $4 + $5 + $6 : NaN) every ::1 axes x1y2 with impulses \
        lc rgb "#d1242f" lw 3
  }
  unset multiplot
}
