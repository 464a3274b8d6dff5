#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench/svg.sh FILE...: have a plot of gnuplot follow the reader's colours. It is
# black on white, also for a viewer that does not know of style sheets, and light
# on dark where a browser says so.

set -eu
for file; do
  sed 's|^<desc>.*|&\
<style>\
@media (prefers-color-scheme: dark) {\
  #gnuplot_canvas > rect { fill: #0d1117 }\
  [fill="black"] { fill: #e6edf3 }\
  [stroke="black"], [stroke="rgb(  0,   0,   0)"] { stroke: #e6edf3 }\
  [color="black"] { color: #e6edf3 }\
}\
</style>|' "$file" >"$file.new"
  mv "$file.new" "$file"
done
