# SPDX-License-Identifier: MIT
#
# For tools/coverage: reads what "llvm-cov show" prints of the sources with their
# counts, and prints a line for each file, what was not reached, and the sums.
# Fails if something was not reached that no comment explains.

# Of a file that is not below lib/ nothing counts.
/^\/.*:$/ {
  file = substr($0, 1, length($0) - 1)
  sub(top, "", file)
  is_ours = file ~ /^lib\//
  if (is_ours && !(file in last)) files[++file_count] = file
  line = 0
  next
}

!is_ours { next }

# "   12|  3.1k|text", where the count is empty if there is nothing to count.
/^ *[0-9]+\|/ {
  line = $1 + 0
  split($0, part, "|")
  text[file, line] = substr($0, length(part[1] part[2]) + 3)
  last[file] = line
  # Nothing runs in a directive: its count is of what lies around it.
  if (part[2] ~ /[0-9]/ && text[file, line] !~ /^ *#/) {
    lines[file]++
    if (part[2] + 0 == 0) dead_line[file, line] = 1
  }
  next
}

# "  |  Branch (12:7): [True: 3.1k, False: 0]": an inline function of a header
# has as many as files that have compiled it.
/\|  Branch \([0-9]+:[0-9]+\)/ {
  match($0, /\([0-9]+:[0-9]+\)/)
  at = file ":" substr($0, RSTART + 1, RLENGTH - 2)
  if (!(at in branch)) {
    branch[at] = 1
    on_line[file, line] = on_line[file, line] " " at
  }
  if (match($0, /True: [0-9.]+/) && substr($0, RSTART + 6, RLENGTH - 6) + 0 > 0)
    is_true[at] = 1
  if (match($0, /False: [0-9.]+/) &&
      substr($0, RSTART + 7, RLENGTH - 7) + 0 > 0)
    is_false[at] = 1
}

function indent(string) {
  match(string, /^ */)
  return RLENGTH
}

# The comment covers the statement after it: a line, those that are further to
# the right, and the brace that closes it. Directives of the preprocessor count as
# further to the right.
function find_marks(file,    i, deep, where, found) {
  for (i = 1; i <= last[file]; i++) {
    if (text[file, i] !~ /\/\* Not reached here: /) continue
    where = i
    while (i < last[file] && text[file, i] !~ /\*\//) i++
    deep = indent(text[file, ++i])
    mark[file, i] = where
    while (text[file, i + 1] ~ /^(#.*)?$/ || indent(text[file, i + 1]) > deep) {
      if (++i >= last[file]) break
      mark[file, i] = where
    }
    if (text[file, i + 1] ~ /^ *}/ && indent(text[file, i + 1]) == deep)
      mark[file, ++i] = where
    marks[file ":" where] = 1
  }
}

function show(at, what, text) {
  sub(/^ +/, "", text)
  return sprintf("  %-36s %-11s %s\n", at, what, text)
}

# A branch is two outcomes, and either of them may be missing.
function look_at_branch(file, i, at,    what) {
  outcomes[file] += 2
  if (at in is_true && at in is_false) return
  what = at in is_true ? "not false" : at in is_false ? "not true" : "neither"
  missed = at in is_true || at in is_false ? 1 : 2
  if ((file, i) in mark) {
    explained += missed
    explained_branches++
    used[file ":" mark[file, i]] = 1
    list = list show(at, what, text[file, i])
  } else {
    outcomes_missed[file] += missed
    bad = bad show(at, what, text[file, i])
  }
}

function percent(n, all) {
  return all == 0 ? "" : sprintf("%.2f %%", int(10000 * (all - n) / all) / 100)
}

function row(name, l, lm, b, bm) {
  printf "%-30s %6d %6d %9s %6d %6d %9s\n",
    name, l, lm, percent(lm, l), b, bm, percent(bm, b)
}

END {
  if (file_count == 0) {
    print "no counts: no test has run"
    exit 1
  }
  printf "%-30s %6s %6s %9s %6s %6s\n", "", "lines", "missed", "",
    "branch", "missed"
  for (f = 1; f <= file_count; f++) {
    file = files[f]
    find_marks(file)
    for (i = 1; i <= last[file]; i++) {
      count = split(on_line[file, i], here, " ")
      for (k = 1; k <= count; k++) look_at_branch(file, i, here[k])
      if ((file, i) in dead_line) {
        if ((file, i) in mark) {
          explained_lines++
          used[file ":" mark[file, i]] = 1
        } else {
          lines_missed[file]++
          bad = bad show(file ":" i, "line", text[file, i])
        }
      }
    }
    row(file, lines[file], lines_missed[file], outcomes[file],
      outcomes_missed[file])
    l += lines[file]
    lm += lines_missed[file]
    b += outcomes[file]
    bm += outcomes_missed[file]
  }
  row("all", l, lm, b, bm)
  if (list != "") printf "\nNot reached, and a comment says why:\n%s", list
  for (at in marks)
    if (!(at in used)) printf "reached after all, despite the comment: %s\n", at
  if (bad != "") printf "\nNot reached:\n%s", bad
  printf "\n%d of %d lines and %d of %d outcomes of branches were reached;\n",
    l - lm - explained_lines, l, b - bm - explained, b
  printf "%d lines and %d outcomes, of %d branches (at most %d), are explained, ",
    explained_lines, explained, explained_branches, most
  printf "%d and %d are not.\n", lm, bm
  exit lm > 0 || bm > 0 || explained_branches > most
}
