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

# A paragraph a line, without displays, headings, synopsis and what only lists names.
# The head of a list's item is a heading. A line of more than 900 columns goes on.
manual() {
  $AWK '
    /^\.Bd .*-literal/ || /^\.Bd -unfilled/ { code = 1 }
    /^\.Bl .*-column/ { code = 1 }
    /^\.Sh/ { skipped = ($2 ~ /^(NAME|SYNOPSIS|SEE)$/) }
    code && (/^\.Ed/ || /^\.El/) { code = 0; if (!skipped) print ".Pp"; next }
    code || skipped { next }
    /^\.Ss/ { print ".Pp"; next }
    /^\.It / { print ".It"; next }
    { print }
  ' "$1" | $MANDOC -T ascii -O width=990 | sed 's/.\x08//g' | $AWK '
    function flush() { if (text != "") print text; text = "" }
    NR == 1 { next }
    /^[A-Z]/ { flush(); next }
    /^ *$/ { flush(); next }
    { goes_on = length($0) > 900; sub(/^ +/, ""); sub(/^([+o*-]|[0-9]+\.) +/, "") }
    { text = text == "" ? $0 : text " " $0; if (!goes_on) flush() }
    END { flush() }
  '
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

# An entry of NEWS is a paragraph; a heading is one that does not end.
news() {
  $AWK '
    function flush() { if (entry || text ~ /[.:]$/) print text; text = "" }
    /^$/ { flush(); next }
    /^- / { flush(); entry = 1 }
    /^[^ -]/ && text == "" { entry = 0 }
    { sub(/^ *- +/, ""); sub(/^ +/, ""); text = text " " $0 }
    END { flush() }
  ' "$1"
}

# A plain text, whose names of folders are heads; four spaces are code.
plain() {
  $AWK '
    function flush() { if (text != "") print text; text = "" }
    /^    [^ ]/ || /^$/ { flush(); next }
    /^[a-z]+\/  / { flush(); sub(/^[a-z]+\/ +/, "") }
    { sub(/^ +/, ""); text = text " " $0 }
    END { flush() }
  ' "$1"
}

# The comments of a header, also those behind code; the lists of codes are tables.
header() {
  $AWK '
    function flush() { if (text != "") print text; text = "" }
    !inside && /\/\*/ { inside = 1; sub(/^.*\/\*/, "/*") }
    inside {
      line = $0
      sub(/^ *\/?\*+ ?/, "", line)
      sub(/ *\*\/.*/, "", line)
      if (line ~ /^ *(Returns|Context|Since|After an error|- )/) flush()
      if (line ~ /^ *UV_E/ || line ~ /^ *$/ || line ~ /^---/) { flush(); skip = line ~ /UV_E/ }
      else if (!(skip && line ~ /^     /)) { skip = 0; text = text " " line }
    }
    /\*\// { inside = 0; skip = 0; flush() }
  ' "$1"
}

# The comments of a C++ header that are whole lines; three spaces are code.
header_of_cxx() {
  $AWK '
    function flush() { if (text != "") print text; text = "" }
    !/^ *\/\/ [^ ]/ || /SPDX/ { flush(); next }
    { sub(/^ *\/\/ /, ""); text = text " " $0 }
    END { flush() }
  ' "$1"
}

# A subject that is nobody, at the beginning of a sentence, or of a clause behind a
# comma and the like. There, "what" and "one that" may be an object: with a verb
# they are taken for a subject. A piece that begins with a small letter is none.
nobody() {
  begin='([,;:] (and |but )?|[(]|[a-z] (and|but) |^With [^,]* |^With [^,]*, )'
  verb='(is|are|was|were|has|have|do|does|may|must|can|will|would|gets?|goes|comes'
  verb="$verb|stays?|counts?|costs?|returns?|ends?|remains?|needs?|takes?|runs?)"
  grep -E -e '^(Whoever|Somebody|Anybody|Something|What|One that) ' \
    -e "$begin(whoever|somebody|anybody|something) " \
    -e "$begin(what|one that) [^ ]+ [^,;:.]*\<$verb " "$1" | grep -v '?$'
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
    contrib/README.md contrib/kubernetes/README.md; do
    if test -e "$srcdir/$text"; then
      markdown "$srcdir/$text" | sentences >"$tmp/text-$(echo "$text" | tr / -)"
    fi
  done
  news "$srcdir/NEWS" | sentences >"$tmp/text-NEWS"
  plain "$srcdir/test/README" | sentences >"$tmp/text-test-README"
  for text in "$srcdir"/include/*.h; do
    header "$text" | sentences >"$tmp/text-$(basename "$text")"
  done
  header_of_cxx "$srcdir/include/uvsig.hpp" | sentences >"$tmp/text-uvsig.hpp"
}

# NAME SENTENCES AVERAGE LONGEST ABOVE, the last above $longest. A piece that does
# not end, such as an item of a list, would make the average look better.
figures() {
  $AWK -v name="${1##*/text-}" -v limit="$longest" '
    { if (NF > most) most = NF; if (NF > limit) above++ }
    /[.:?!]["\x27)]*$/ { n++; words += NF }
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
  nobody "$text" >"$tmp/found"
  same "$name: each sentence has a subject with a name" /dev/null "$tmp/found"
done

finish
