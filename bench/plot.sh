# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# For run.sh, restart.sh and drain.sh: what the machine is, and its plots.
# shellcheck disable=SC2154 # $source and $directory are the script's

machine() {
  echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
    "$(getconf _NPROCESSORS_ONLN) cores, $(uname -s) $(uname -r)," \
    "$(date -u +%Y-%m-%d)"
}

# plot FILE.gp: its files are in $directory.
plot() {
  if ! command -v "${GNUPLOT:-gnuplot}" >/dev/null; then
    echo "there are no plots: gnuplot is missing" >&2
    return
  fi
  "${GNUPLOT:-gnuplot}" -e "directory='$directory'" \
    -e "machine='$(machine | sed "s/'//g")'" "$source/$1"
  # What is black is as light as it must be, where the reader's page is dark. A
  # part of a benchmark has a part of the plots.
  for svg in $(sed -n 's/^ *set output .*"\/\(.*\.svg\)"$/\1/p' "$source/$1"); do
    test ! -e "$directory/$svg" || sh "$source/svg.sh" "$directory/$svg"
  done
}
