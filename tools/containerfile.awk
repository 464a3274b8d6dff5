# SPDX-License-Identifier: MIT
#
# The instructions of a Containerfile, for tools/container, which does them, and
# test/scripts/containerfile.sh: a line each, of the stage's number, the
# instruction, and the rest. An instruction that tools/container does not do is an
# error.

BEGIN {
  n = split("FROM RUN COPY WORKDIR USER STOPSIGNAL EXPOSE ENTRYPOINT CMD", names)
  for (i = 1; i <= n; i++) known[names[i]] = 1
}

# Also between the lines of one instruction.
/^[ \t]*(#|$)/ { next }

{
  sub(/^[ \t]+/, "")
  text = text $0
  if (sub(/\\[ \t]*$/, "", text)) next
  name = toupper(text)
  sub(/[ \t].*/, "", name)
  sub(/^[^ \t]+[ \t]*/, "", text)
  if (!(name in known)) {
    print FILENAME ": not understood: " name >"/dev/stderr"
    bad = 1
  }
  if (name == "FROM") stage++
  print stage + 0, name, text
  text = ""
}

END { exit bad || text != "" || stage == 0 }
