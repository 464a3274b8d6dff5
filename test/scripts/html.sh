#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual as HTML: a page for each, no link that leads nowhere, the pictures.
#
# Environment: MANDOC, and what tap.sh has.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

MANDOC=${MANDOC:-mandoc}
if ! command -v "$MANDOC" >/dev/null 2>&1; then
  skip "the manual as HTML" "there is no $MANDOC"
  finish
fi

check "tools/html makes it" env MANDOC="$MANDOC" sh "$srcdir/tools/html" "$tmp/html"
(cd "$srcdir/man" && ls ./*.[37]) | sed 's|^\./||; s|$|.html|' | sort >"$tmp/wanted"
(cd "$tmp/html" && ls ./*.[37].html) | sed 's|^\./||' | sort >"$tmp/got"
same "there is a page for each" "$tmp/wanted" "$tmp/got"

# Each file, and each place in a page, that a link or a picture names.
cd "$tmp/html" || exit 1
grep -oE '(href|src)="[^"]*"' ./*.html | sed 's|^\./||; s|:[a-z]*="| |; s|"$||' |
  grep -v ' https:' | sort -u >"$tmp/links"
check "they have links" test "$(wc -l <"$tmp/links")" -gt 100
while read -r from to; do
  file=${to%%#*}
  case $to in
    "#"*) file=$from ;;
  esac
  if test ! -e "$file"; then
    echo "$from: $to"
  elif test "$to" != "${to#*#}" && ! grep -qF "id=\"${to#*#}\"" "$file"; then
    echo "$from: $to"
  fi
done <"$tmp/links" >"$tmp/dead"
same "no link leads nowhere" /dev/null "$tmp/dead"
grep -hoE '(<a [^>]*>|<title>)?uvsig[a-z_-]*\([37]\)' ./uvsig*.html |
  grep '^uvsig' >"$tmp/unlinked"
same "each page that is referred to is a link" /dev/null "$tmp/unlinked"

for picture in phases upgrade drain-timeline; do
  grep -l "<figure><img src=\"$picture.svg\"" ./*.html >"$tmp/with" 2>/dev/null
  check "$picture.svg is in a page" test -s "$tmp/with"
done
sed -n '/^global:/,/^local:/s/^ *\([a-z_]*\);/\1/p' "$srcdir/lib/libuvsig.map" |
  while read -r name; do grep -qw "$name" index.html || echo "$name"; done \
  >"$tmp/missing"
same "the index has every function" /dev/null "$tmp/missing"

finish
