# SPDX-License-Identifier: MIT
#
# For tools/mutate: one mutation is tried.

import os
import re

from mutation.common import STOPPED, digest, write
from mutation.reach import is_of_faults

# What is undefined ends the process, as in the build with a sanitizer: an index, say.
UNDEFINED = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
# What makes more mutations errors of style, and noticed for no good reason.
NO_WARNINGS = ["-Wno-parentheses", "-Wno-logical-not-parentheses",
               "-Wno-bool-operation", "-Wno-int-in-bool-context"]


class Trial:
  def __init__(self, reach, equivalents):
    self.reach = reach
    self.equivalents = equivalents
    self.kills = {} # {(file, name): {case: how many}}

  def order(self, mutant):
    """First what has noticed others there; then the programs whose topic it is,
    most of whose tests reach it; of these what is quick. Last the faults: that is one
    run of them all."""
    kills = self.kills.get((mutant.file, mutant.name), {})
    cases = self.reach.of_mutation(mutant)
    shares = {}
    for case in cases:
      program = case.partition(":")[0]
      shares[program] = shares.get(program, 0) + 1 / self.reach.sizes[program]
    return sorted(cases, key=lambda case: (
        is_of_faults(case), -kills.get(case, 0),
        -round(shares[case.partition(":")[0]], 1), self.reach.seconds[case]))

  def run(self, place, mutant):
    """Returns what became of it, and why."""
    source = os.path.join(place.source, mutant.file)
    write(source, mutant.mutated())
    try:
      return self.run_changed(place, mutant)
    finally:
      write(source, mutant.text)

  def run_changed(self, place, mutant):
    if mutant.key() in self.equivalents:
      return "equivalent", self.equivalents[mutant.key()]
    done = place.compile(mutant.file, "mutant.o", NO_WARNINGS + UNDEFINED)
    if done.returncode != 0:
      error = re.search(r"error: .*", done.stdout)
      return "compiler", error.group() if error else done.stdout
    linked, is_shared = set(), False
    for case in self.order(mutant):
      if STOPPED.is_set():
        break
      program = case.partition(":")[0]
      if program not in linked:
        linked.add(program)
        place.link(program, ["mutant.o"])
      if program.startswith("test/examples/") and not is_shared:
        is_shared = True
        place.link_shared({mutant.file: "mutant.o"})
      status, output = place.try_case(case, self.reach.seconds[case])
      if status != 0:
        here = self.kills.setdefault((mutant.file, mutant.name), {})
        here[case] = here.get(case, 0) + 1
        hangs = status == "a hang" or "deadline" in output
        return "hang" if hangs else "test", case
    if self.is_same(place, mutant):
      return "equivalent", "The compiler makes the same code of it."
    return "survivor", "%d tests reach it" % len(self.order(mutant))

  def is_same(self, place, mutant):
    """Is the code the same when it is optimised?"""
    options = NO_WARNINGS + ["-O2", "-g0", "-Wno-error"]
    place.compile(mutant.file, "same-1.o", options)
    write(os.path.join(place.source, mutant.file), mutant.text)
    place.compile(mutant.file, "same-2.o", options)
    return digest(place.path("same-1.o")) == digest(place.path("same-2.o"))
