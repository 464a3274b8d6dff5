#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The manual: is it well-formed, and does it say what the header and the map
# of exported symbols say? TAP on standard output.
#
# Environment: MANDOC, AWK, and what tap.sh has.

# shellcheck disable=SC2016 # awk's own variables
# shellcheck source=test/lib/tap.sh
. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"
# shellcheck source=test/lib/pages.sh
. "$srcdir/test/lib/pages.sh"

MANDOC=${MANDOC:-mandoc}
AWK=${AWK:-awk}

header=$tmp/headers
cat "$srcdir"/include/*.h > "$header"
map=$srcdir/lib/libuvsig.map

# silent SENTENCE: what has been written to $tmp/out are the complaints.
silent() {
  if [ -s "$tmp/out" ]; then
    fail "$1" "$tmp/out"
  else
    pass "$1"
  fi
}

# --- What is there ---------------------------------------------------------------

# The exported symbols, one a line.
exported() {
  $AWK '
    /local:/ || /^}/ { on = 0 }
    on { gsub(/[ \t;]/, ""); if ($0 != "") print }
    /global:/ { on = 1 }
  ' "$map" | sort
}

# documented PAGE: the names in its NAME section.
documented() {
  $AWK '
    $1 == ".Sh" { on = ($2 == "NAME") }
    on && $1 == ".Nm" { print $2 }
  ' "$1"
}

# prototypes PAGE: its SYNOPSIS as C declarations.
prototypes() {
  $AWK '
    function unquote(s) { gsub(/"/, "", s); return s }
    # The arguments of a macro line, without what comes before them.
    function split_args(line, args,    n) {
      n = 0
      while (match(line, /"[^"]*"|[^ "]+/)) {
        args[++n] = unquote(substr(line, RSTART, RLENGTH))
        line = substr(line, RSTART + RLENGTH)
      }
      return n
    }
    function declare(name, list) { print type " " name "(" list ");" }
    $1 == ".Sh" { on = ($2 == "SYNOPSIS") }
    !on { next }
    $1 == ".Ft" { split_args($0, a); type = unquote(substr($0, 5)) }
    $1 == ".Fn" {
      n = split_args($0, a)
      list = a[3]
      for (i = 4; i <= n; i++) list = list ", " a[i]
      declare(a[2], list)
    }
    $1 == ".Fo" { name = $2; list = "" }
    $1 == ".Fa" {
      list = list (list == "" ? "" : ", ") unquote(substr($0, 5))
    }
    $1 == ".Fc" { declare(name, list) }
  ' "$1"
}

# A line for each function in the header: its name, and the codes of the
# comment before it, with those of a function that it refers to by "as X()".
declared() {
  $AWK '
    /^\/\*/ { comment = ""; in_comment = 1 }
    in_comment { comment = comment " " $0 }
    /\*\// { in_comment = 0; next }
    in_comment { next }
    /^UVSIG_EXTERN / { declaration = ""; in_declaration = 1 }
    in_declaration {
      declaration = declaration " " $0
      if ($0 ~ /;/) {
        in_declaration = 0
        sub(/\(.*/, "", declaration)
        sub(/.*[ *]/, "", declaration)
        names[++n] = declaration
        line = comment
        while (match(line, /UV_E[A-Z0-9]+/)) {
          codes[declaration] = \
            codes[declaration] " " substr(line, RSTART, RLENGTH)
          line = substr(line, RSTART + RLENGTH)
        }
        while (match(comment, /as uvsig_[a-z_]+\(\)/)) {
          refers[declaration] = refers[declaration] " " \
            substr(comment, RSTART + 3, RLENGTH - 5)
          comment = substr(comment, RSTART + RLENGTH)
        }
        comment = ""
      }
    }
    END {
      for (i = 1; i <= n; i++) {
        line = names[i] codes[names[i]]
        k = split(refers[names[i]], to, " ")
        for (j = 1; j <= k; j++) line = line codes[to[j]]
        print line
      }
    }
  ' "$header"
}

# codes PAGE: a line for each in its ERRORS section, after each of its functions.
codes() {
  $AWK '
    $1 == ".Sh" { section = $2 }
    section == "NAME" && $1 == ".Nm" { names[++n] = $2 }
    section == "ERRORS" && $1 == ".It" && $3 == "Er" {
      for (i = 1; i <= n; i++) print names[i], $4
    }
  ' "$1"
}

exported > "$tmp/exported"
declared > "$tmp/declared"
set -- "$srcdir"/man/*.3 "$srcdir"/man/*.7
for page in "$srcdir"/man/*.3; do
  for name in $(documented "$page"); do
    echo "$name $page"
  done
done > "$tmp/documented"

# The rest would prove nothing if these were empty.
{
  test -f "$1" || echo "no pages"
  test -f "$srcdir/man/uvsig.7" || echo "no overview"
  test -s "$tmp/exported" || echo "no symbol in $map"
  test -s "$tmp/declared" || echo "no function in $header"
  test -s "$tmp/documented" || echo "no function in the pages"
} > "$tmp/out"
silent "there are pages, exported symbols and declared functions"

# --- The pages by themselves ------------------------------------------------------

if command -v "$MANDOC" > /dev/null 2>&1; then
  why=
else
  why="no $MANDOC: install mandoc, or set MANDOC"
fi

for page do
  name=$(basename "$page")
  if [ -n "$why" ]; then
    skip "$name has no mistakes that mandoc knows of" "$why"
    skip "$name renders in UTF-8" "$why"
    continue
  fi

  # Style too, but not what depends on the system and on the pages installed.
  "$MANDOC" -T lint -W style "$page" 2> /dev/null |
    grep -v -e 'STYLE: referenced manual not found' -e 'STYLE: RCS id' \
      -e 'STYLE: missing RCS id' -e 'STYLE: Mdocdate' \
      -e 'STYLE: operating system' > "$tmp/out"
  # A mandoc that does not run finds no mistakes.
  "$MANDOC" -T lint -W warning "$page" > /dev/null 2>> "$tmp/out" ||
    echo "mandoc failed" >> "$tmp/out"
  silent "$name has no mistakes that mandoc knows of"

  "$MANDOC" -T utf8 "$page" 2> "$tmp/out" > "$tmp/text" ||
    echo "mandoc failed" >> "$tmp/out"
  test -s "$tmp/text" || echo "no text" >> "$tmp/out"
  silent "$name renders in UTF-8"
done

for page in "$srcdir"/man/*.3; do
  name=$(basename "$page")
  $AWK '
    BEGIN {
      n = split("NAME,SYNOPSIS,DESCRIPTION,RETURN VALUES,EXAMPLES,ERRORS," \
        "SEE ALSO,HISTORY,CAVEATS", sections, ",")
    }
    /^\.Sh / { found[substr($0, 5)] = 1 }
    END {
      for (i = 1; i <= n; i++)
        if (!found[sections[i]]) print "no section " sections[i]
    }
  ' "$page" > "$tmp/out"
  silent "$name has all sections"
done

# --- The pages and the library -----------------------------------------------------

cut -d ' ' -f 1 "$tmp/documented" | sort > "$tmp/functions"
sort -u "$tmp/functions" | comm -23 "$tmp/exported" - > "$tmp/out"
uniq -d "$tmp/functions" >> "$tmp/out"
silent "every exported symbol is in the NAME section of one page"

comm -13 "$tmp/exported" "$tmp/functions" > "$tmp/out"
silent "every function with a page is exported"

cut -d ' ' -f 1 "$tmp/declared" | sort | comm -23 "$tmp/exported" - \
  > "$tmp/out"
silent "every exported symbol is declared in the header"

# "function code", by the header and by the pages.
$AWK '{ for (i = 2; i <= NF; i++) print $1, $i }' "$tmp/declared" |
  sort -u > "$tmp/declared-codes"
for page in "$srcdir"/man/*.3; do
  codes "$page"
done | sort -u > "$tmp/page-codes"

comm -23 "$tmp/declared-codes" "$tmp/page-codes" |
  join - "$tmp/exported" > "$tmp/out"
silent "every error code in the header is in the page of its function"

# A page of several functions has the codes of all of them.
$AWK 'NR == FNR { page[$1] = $2; next } { print page[$1], $2 }' \
  "$tmp/documented" "$tmp/declared-codes" | sort -u > "$tmp/of-header"
$AWK 'NR == FNR { page[$1] = $2; next } { print page[$1], $2 }' \
  "$tmp/documented" "$tmp/page-codes" | sort -u > "$tmp/of-pages"
comm -13 "$tmp/of-header" "$tmp/of-pages" > "$tmp/out"
silent "every error code in a page is in the header"

# A function or an overview page that is referred to exists.
for page do
  $AWK -v page="$page" '
    $1 == ".Xr" || $2 == "Xr" {
      for (i = 1; i < NF; i++)
        if (($i == "Xr" || $i == ".Xr") && $(i + 1) ~ /^uvsig/)
          print page, $(i + 1), $(i + 2)
    }
  ' "$page"
done > "$tmp/references"
while read -r page name section; do
  [ -f "$srcdir/man/$name.$section" ] && continue
  [ "$section" = 3 ] && grep -q "^$name " "$tmp/documented" && continue
  echo "$page: $name($section)"
done < "$tmp/references" > "$tmp/out"
silent "every page of the library that is referred to exists"

# --- The pages and the compiler ------------------------------------------------------

uv_cflags=$($PKG_CONFIG --cflags libuv)

# compiles FILE [OPTION...]: complaints are in $tmp/out.
compiles() {
  # Words, not one argument, in both.
  # shellcheck disable=SC2086
  $CC -std=gnu11 -Wall -Wextra -Werror -fsyntax-only \
    -I"$srcdir/include" $uv_cflags "$@" > "$tmp/out" 2>&1 ||
    echo "$CC failed" >> "$tmp/out"
}

for page in "$srcdir"/man/*.3; do
  name=$(basename "$page")
  {
    echo "#include <uvsig.h>"
    prototypes "$page"
  } > "$tmp/prototypes.c"
  compiles "$tmp/prototypes.c"
  for function in $(documented "$page"); do
    grep -q " $function(" "$tmp/prototypes.c" && continue
    echo "$function is not in the synopsis"
  done >> "$tmp/out"
  silent "$name declares its functions as the header does"
done

found=0
for page do
  programs "$page"
  for program in "$tmp/program-$(basename "$page")"-*.c; do
    [ -f "$program" ] || continue
    found=$((found + 1))
    sentence="$(basename "$page") has a program that compiles"
    package=$(needed "$program")
    if [ -n "$package" ] && ! $PKG_CONFIG --exists "$package"; then
      skip "$sentence" "no $package"
      continue
    fi
    # Words.
    # shellcheck disable=SC2046
    compiles "$program" ${package:+$($PKG_CONFIG --cflags "$package")}
    silent "$sentence"
  done
done
# All but the comment that comes first, which says how to run it.
$AWK '/^#include/ { on = 1 } on' "$srcdir/examples/01-hello-sigint.c" \
  > "$tmp/hello.c"
for program in "$tmp/program-uvsig.7"-*.c; do
  cmp -s "$tmp/hello.c" "$program" && : > "$tmp/same"
done
: > "$tmp/out"
[ -f "$tmp/same" ] || echo "they differ" > "$tmp/out"
silent "the smallest program in uvsig.7 is examples/01-hello-sigint.c"
$AWK '/^#include/ { on = 1 } on' "$srcdir/examples/02-server.c" > "$tmp/server.c"
echo "it has another one" > "$tmp/out"
for program in "$tmp/program-uvsig_shutdown.3"-*.c; do
  cmp -s "$tmp/server.c" "$program" && : > "$tmp/out"
done
silent "the server in uvsig_shutdown.3 is examples/02-server.c"

# Parts of programs, which do not compile alone, have no name that is not there.
for page do
  $AWK '
    /^\.Bd .*-literal/ { on = 1 }
    /^\.Ed/ { on = 0 }
    on {
      while (match($0, /(uvsig|UVSIG)_[A-Za-z0-9_]+/)) {
        print substr($0, RSTART, RLENGTH)
        $0 = substr($0, RSTART + RLENGTH)
      }
    }
  ' "$page"
done | sort -u > "$tmp/used"
while read -r name; do
  grep -qw "$name" "$header" || echo "$name"
done < "$tmp/used" > "$tmp/out"
[ -s "$tmp/used" ] || echo "there is no name" >> "$tmp/out"
silent "the code in the pages has no name that is not in the header"

: > "$tmp/out"
[ "$found" -gt 0 ] || echo "there is none" > "$tmp/out"
silent "there are programs in the pages"

finish
