#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Can a tired reader follow? The sentences of the manual and of the texts in the
# tree are counted, without code, tables and headings: at most 18 words on average
# in each text, and none above 35. No sentence begins with a subject that is
# nobody: "whoever", "somebody", "what", "one that". "words.sh table" prints the
# figures, "words.sh long N" the sentences of more than N words.
#
# Environment: MANDOC, AWK, and what tap.sh has.

# shellcheck disable=SC2016 # awk's own variables
. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

MANDOC=${MANDOC:-mandoc}
AWK=${AWK:-awk}
average=18
longest=35

# A paragraph a line, without displays, synopsis and what only lists names.
manual() {
  $AWK '
    /^\.Bd .*-literal/ || /^\.Bd -unfilled/ { code = 1 }
    /^\.Bl .*-column/ { code = 1 }
    !code && !skipped { print }
    /^\.Ed/ || (/^\.El/ && code) { code = 0 }
    /^\.Sh/ { next_skipped = ($2 ~ /^(NAME|SYNOPSIS|SEE|HISTORY)$/) }
    /^\.Sh/ && next_skipped { skipped = 1 }
    /^\.Sh/ && !next_skipped { if (skipped) print; skipped = 0 }
  ' "$1" | $MANDOC -T ascii -O width=990 |
    sed 's/.\x08//g; s/^[[:space:]]*//; s/^[+o*-]  *//' |
    grep -v '^[A-Z(][A-Z0-9(), -]*$' | grep '[.:]$'
}

# Without fences, tables, headings and pictures.
markdown() {
  $AWK '
    function flush() { if (text != "") print text; text = "" }
    /^```/ { flush(); fence = !fence; next }
    fence || /^    / || /^\|/ || /^#/ || /^!\[/ || /^<!--/ { flush(); next }
    /^$/ { flush(); next }
    /^[-*] / || /^[0-9]+\. / { flush() }
    { sub(/^ *([-*]|[0-9]+\.) +/, ""); text = text " " $0 }
    END { flush() }
  ' "$1" | sed 's/\[\([^]]*\)\]([^)]*)/\1/g; s/[`*]//g'
}

# An entry of NEWS is a paragraph.
news() {
  $AWK '
    function flush() { if (text != "") print text; text = "" }
    /^$/ { flush(); next }
    /^- / { flush() }
    { sub(/^ *- +/, ""); text = text " " $0 }
    END { flush() }
  ' "$1" | grep '\.$'
}

# The comments of a header that are whole lines; the lists of codes are tables.
header() {
  $AWK '
    function flush() { if (text != "") print text; text = "" }
    /^ *\/\*/ { inside = 1 }
    inside {
      line = $0
      sub(/^ *\/?\*+ ?/, "", line)
      sub(/ *\*\/.*/, "", line)
      if (line ~ /^ *(Returns|Context|Since|After an error|- )/) flush()
      if (line ~ /^ *UV_E/ || line ~ /^ *$/ || line ~ /^---/) { flush(); skip = line ~ /UV_E/ }
      else if (!(skip && line ~ /^     /)) { skip = 0; text = text " " line }
    }
    /\*\// { inside = 0; skip = 0; flush() }
  ' "$1" | grep '[.:]$'
}

# A sentence a line.
sentences() {
  sed -E '
    s/\b(e\.g|i\.e|etc|vs)\./\1/g
    s/([.!?])(["\x27)]*) +(["\x27(]*[A-Za-z0-9_<])/\1\2\n\3/g' | sed 's/^ *//' | grep -E '[[:alpha:]]'
}

texts() {
  for page in "$srcdir"/man/*.[37]; do
    manual "$page" | sentences >"$tmp/text-$(basename "$page")"
  done
  for text in README.md CONTRIBUTING.md SECURITY.md bench/RESULTS.md \
    contrib/README.md; do
    if test -e "$srcdir/$text"; then
      markdown "$srcdir/$text" | sentences >"$tmp/text-$(echo "$text" | tr / -)"
    fi
  done
  news "$srcdir/NEWS" | sentences >"$tmp/text-NEWS"
  for text in "$srcdir"/include/*.h; do
    header "$text" | sentences >"$tmp/text-$(basename "$text")"
  done
}

# NAME SENTENCES AVERAGE LONGEST ABOVE, the last above $longest.
figures() {
  $AWK -v name="${1##*/text-}" -v limit="$longest" '
    { n++; words += NF; if (NF > most) most = NF; if (NF > limit) above++ }
    END { if (n) printf "%s %d %.1f %d %d\n", name, n, words / n, most, above }
  ' "$1"
}

if ! command -v "$MANDOC" >/dev/null 2>&1; then
  skip "the manual's sentences" "there is no $MANDOC"
  finish
fi
texts
case ${1-} in
  table)
    for text in "$tmp"/text-*; do figures "$text"; done | column -t
    exit ;;
  long)
    for text in "$tmp"/text-*; do
      $AWK -v name="${text##*/text-}" -v limit="$2" \
        'NF > limit { print name ": " NF ": " $0 }' "$text"
    done
    exit ;;
esac

for text in "$tmp"/text-*; do
  name=${text##*/text-}
  check "$name: there are sentences" test -s "$text"
  figures "$text" >"$tmp/figures"
  check "$name: at most $average words in a sentence, on average" \
    $AWK -v limit="$average" '{ print } END { exit !($3 <= limit) }' "$tmp/figures"
  $AWK -v limit="$longest" 'NF > limit' "$text" >"$tmp/found"
  same "$name: no sentence has more than $longest" /dev/null "$tmp/found"
  grep -E '^(Whoever|Somebody|What|One that|Something|Anybody) ' "$text" |
    grep -v '?$' >"$tmp/found"
  same "$name: each sentence has a subject with a name" /dev/null "$tmp/found"
done

finish
