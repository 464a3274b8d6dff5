# SPDX-License-Identifier: MIT
#
# For tools/mutate: the mutations of the library's files, and those that are none.

import os
import re
import sys

from mutation import changes
from mutation.common import TOP, must, read

EQUIVALENT = os.path.join(TOP, "tools", "mutation", "equivalent")


_BLANK = re.compile(r"(?:\s|/\*.*?\*/|#[^\n]*\n)*", re.S)


class Mutant(changes.Mutation):
  """One of a file: its text without it, and where that is."""

  def __new__(cls, file, text, mutation):
    self = super().__new__(cls, *mutation)
    self.file, self.text = file, text
    return self

  def mutated(self):
    return self.text[:self.start] + self.new + self.text[self.end:]

  def change(self):
    """The lines that it concerns, before and after, each as one."""
    first = self.text.rfind("\n", 0, self.start) + 1
    last = self.text.find("\n", self.end)
    after = self.text[first:self.start] + self.new + self.text[self.end:last]
    return " ".join(self.text[first:last].split()), " ".join(after.split())

  def statement(self):
    """The lines of the one that it is in, the first and the last."""
    first = max(self.text.rfind(mark, 0, self.start) for mark in ";{}") + 1
    first = _BLANK.match(self.text, first).end()
    last = min(self.text.find(mark, self.end) % len(self.text) for mark in ";{")
    return self.text.count("\n", 0, first) + 1, self.text.count("\n", 0, last) + 1

  def key(self):
    return (self.file, self.name) + self.change()

  def __str__(self):
    return "%s %s\n- %s\n+ %s" % self.key()


def is_compiled(place, name):
  """The lines that are: of #if, one way is."""
  text = must(place.compiler + ["-E", "-fdirectives-only",
                                os.path.join(place.source, name)], cwd=place.build)
  lines, number, here = set(), 0, False
  for line in text.split("\n"):
    match = re.match(r'# (\d+) "(.*?)"', line)
    if match:
      number, here = int(match.group(1)) - 1, match.group(2).endswith("/" + name)
    elif here and line.strip() != "":
      lines.add(number)
    number += 1
  return lines


def all_mutants(place, patterns):
  names = sorted(place.objects)
  following = {}
  headers = must(["git", "ls-files", "lib/*.h", "include/*.h"], cwd=TOP).split()
  for name in headers:
    following.update(changes.enumerations(read(os.path.join(TOP, name))))
  found = []
  for name in names:
    chosen = [p.partition(":")[2] for p in patterns
              if name.startswith(p.partition(":")[0])]
    if patterns and not chosen:
      continue
    lines = {int(n) for n in chosen if n} if "" not in chosen else set()
    text = read(os.path.join(TOP, name))
    own = dict(following, **changes.enumerations(text))
    compiled = is_compiled(place, name)
    for mutation in changes.mutations(text, own):
      if mutation.line in compiled and (not lines or mutation.line in lines):
        found.append(Mutant(name, text, mutation))
  return found


def read_equivalents():
  """{key: reason}"""
  reasons = {}
  text = read(EQUIVALENT) if os.path.exists(EQUIVALENT) else ""
  for block in re.split(r"\n\s*\n", re.sub(r"^#.*\n", "", text, flags=re.M)):
    lines = block.strip().split("\n")
    if lines == [""]:
      continue
    if len(lines) < 4 or lines[1][:2] != "- " or lines[2][:2] != "+ ":
      sys.exit("tools/mutation/equivalent: this is no entry:\n" + block)
    file, name = lines[0].split()
    reasons[file, name, lines[1][2:], lines[2][2:]] = " ".join(lines[3:])
  return reasons
