#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The layers of lib/, once: a file may refer to those that come before it in the
# list below, and to no other. Checked with the symbols of the objects. So there
# is no circle, and no call from a lower layer to a higher one. A module that
# must call upwards is given a pointer. "layers.sh graph" prints who refers to
# whom.
#
# Environment: NM, and what tap.sh has.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

# ground, catch, process, loop, POSIX, top; then the shutdown coordinator.
cat >"$tmp/layers" <<'END'
ground    signum names clock info output line closing lock version
catch     previous handler
process   grace wakeup signalfd hub disposition mute libuv mask
loop      senders source deliver queue watcher warning wakeup-fd dispatch drain pause
posix     action itimer sigwait-poll sigwait send thread exec
top       wait fork uvsig run uv-signal
shutdown  coordinator escalate environment datagram adopt notify hold work child listener connection linger report watchdog limit closer reload listen-fds launch ready successor upgrade exit close phases init
END
awk '{ for (i = 2; i <= NF; i++) print $i, ++n, $1 }' "$tmp/layers" >"$tmp/order"

# Each object once, as "file object": libtool compiles for the shared library in
# .libs. What an earlier build has left has no source any more.
find lib -name 'libuvsig_la-*.o' | sort | while read -r object; do
  source=$(echo "$object" | sed 's|\.libs/||; s|libuvsig_la-||; s|o$|c|')
  if test -e "$srcdir/$source"; then
    echo "$(basename "$source" .c) $object"
  fi
done | sort -u -k 1,1 >"$tmp/objects"
check "there are objects" test -s "$tmp/objects"

cut -d ' ' -f 1 "$tmp/objects" >"$tmp/built"
cut -d ' ' -f 1 "$tmp/order" | sort >"$tmp/listed"
same "every file of lib/ has its layer" "$tmp/listed" "$tmp/built"

# "name file" of what is defined, and of what is referred to.
while read -r file object; do
  # shellcheck disable=SC2086 # nm may be a list of words, such as "nm -B"
  ${NM:-nm} -g "$object" | awk -v file="$file" '
    NF == 3 && $2 != "U" { print $3, file >> defined }
    $(NF - 1) == "U" { print $NF, file >> used }
  ' defined="$tmp/defined" used="$tmp/used"
done <"$tmp/objects"
sort -k 1,1 "$tmp/defined" >"$tmp/a"
sort -k 1,1 "$tmp/used" >"$tmp/b"
join "$tmp/b" "$tmp/a" | awk '$2 != $3 { print $2, $3, $1 }' |
  grep uvsig | sort >"$tmp/references"
check "they refer to each other" test -s "$tmp/references"

# upward ORDER: who refers to one that comes later in it.
upward() {
  awk 'NR == FNR { at[$1] = FNR; next }
    at[$1] < at[$2] { print $1 " -> " $2 " (" $3 ")" }
  ' "$1" "$tmp/references"
}
upward "$tmp/order" >"$tmp/found"
same "none refers to one that comes later" /dev/null "$tmp/found"
sort -rn -k 2,2 "$tmp/order" >"$tmp/reversed"
upward "$tmp/reversed" >"$tmp/found"
check "the other way round, they would" test -s "$tmp/found"

if test "${1-}" = graph; then
  while read -r layer files; do
    echo "# $layer"
    for file in $files; do
      echo "#   $file:" $(awk -v file="$file" '$1 == file { print $2 }' \
        "$tmp/references" | sort -u)
    done
  done <"$tmp/layers"
fi

finish
