# SPDX-License-Identifier: MIT
#
# For tools/mutate: which test reaches which line.

import json
import os
import re
import sys
import threading
import time

from mutation.common import (HOME, STOPPED, TOP, digest, each_at_once, must, read, run,
                             write)

TRACE_SIZE = 4 << 20 # as trace.c has it
# Repetitions alone: what they notice, a shorter test should.
NOT_RUN = ("test/core/storm", "test/core/stress-dispositions",
           "test/core/stress-random", "test/posix/stress-timers")


class Reach:
  """{case: {"seconds": n, "lines": ["file:line", ...]}} of each program."""

  def __init__(self, places):
    self.places = places
    self.path = os.path.join(HOME, "reach.json")
    self.known = json.loads(read(self.path)) if os.path.exists(self.path) else {}
    self.lock = threading.Lock()

  def make(self):
    programs = sorted(p for p in self.places[0].links
                      if not p.startswith("test/lib/") and p not in NOT_RUN)
    self.known = {p: v for p, v in self.known.items() if p in programs}
    todo = [p for p in programs
            if self.known.get(p, {}).get("key") != self.key(self.places[0], p)]
    for place in self.places if todo else self.places[:1]:
      place.traced = self.instrument(place)
    each_at_once(lambda place: self.work(place, todo), self.places)
    if STOPPED.is_set():
      sys.exit("Stopped.")
    self.index(self.starts(self.places[0]))

  def instrument(self, place):
    """The library's objects, which note where they run."""
    objects, options = {}, ["-fsanitize-coverage=trace-pc"]
    for name, own in place.objects.items():
      objects[name] = own + ".traced"
      source = os.path.join(place.source, name)
      stamp = place.path(objects[name] + ".of")
      if not os.path.exists(stamp) or read(stamp) != self.digest_of(place, name):
        done = place.compile(name, objects[name], options)
        if done.returncode != 0:
          sys.exit("%s: %s" % (source, done.stdout))
        write(stamp, self.digest_of(place, name))
    for part in (0, 1):
      must(["gcc", "-g", "-O1", "-fPIC", "-DPART=%d" % part, "-c",
            os.path.join(place.source, "tools/mutation/trace.c"),
            "-o", place.path("trace-%d.o" % part)])
    place.link_shared(objects, ["trace-1.o"])
    return list(objects.values()) + ["trace-0.o"]

  @staticmethod
  def digest_of(place, name):
    headers = [os.path.join(place.source, "include", "uvsig.h"),
               os.path.join(place.source, name)]
    for directory in ("lib", "lib/shutdown"):
      directory = os.path.join(place.source, directory)
      headers += sorted(os.path.join(directory, f) for f in os.listdir(directory)
                        if f.endswith(".h"))
    return digest(*headers)

  def work(self, place, todo):
    while True:
      with self.lock:
        if not todo or STOPPED.is_set():
          return
        program = todo.pop(0)
      place.link(program, place.traced)
      began = time.time()
      cases = self.look(place, program)
      with self.lock:
        if STOPPED.is_set():
          return
        self.known[program] = {"key": self.key(place, program),
                               "cases": cases}
        write(self.path, json.dumps(self.known))
        print("%-32s %3d tests, %.0f s" % (program, len(cases), time.time() - began),
              flush=True)

  @staticmethod
  def key(place, program):
    """Of all that it is made of."""
    kinds = ["lib/", "include/", "test/lib/", "tools/mutation/trace.c"]
    if program.startswith("test/examples/"):
      kinds.append("examples/")
    if is_of_faults(program):
      kinds.append("test/fault/")
    names = must(["git", "ls-files", "-co", "--exclude-standard"] + kinds, cwd=TOP)
    names = [program + ".c"] + names.split()
    return digest(*(os.path.join(place.source, name) for name in names))

  def look(self, place, program):
    status, output = place.try_case(program + ":", 20)
    if status != 0 and not STOPPED.is_set():
      sys.exit("%s fails without a mutation:\n%s" % (program, output))
    cases = {}
    for name in self.names(program, output):
      trace = place.path("trace")
      with open(trace, "wb") as file:
        file.truncate(2 * TRACE_SIZE)
      began = time.time()
      status, output = place.try_case(program + ":" + name, 20, trace)
      if STOPPED.is_set():
        return {}
      if status != 0:
        print("%s fails without a mutation, and is left out:\n%s" % (name, output))
        continue
      with open(trace, "rb") as file:
        data = file.read()
      cases[name] = {"seconds": time.time() - began, "at": [], "shared": []}
      for part, key in ((0, "at"), (1, "shared")):
        part = data[part * TRACE_SIZE:(part + 1) * TRACE_SIZE]
        cases[name][key] = [m.start() for m in re.finditer(b"\1", part)]
    self.name_lines(place.path(program), cases, "at")
    self.name_lines(place.shared, cases, "shared")
    for case in cases.values():
      case["lines"] = sorted(set(case.pop("at") + case.pop("shared")))
    return cases

  @staticmethod
  def names(program, output):
    """Of its tests; "" is all at once, where a test alone takes hardly less."""
    if is_of_faults(program):
      return [""]
    return re.findall(r"^ok \d+ - (\w+)$", output, re.M)

  @staticmethod
  def name_lines(image, cases, key):
    """Return addresses become lines."""
    wanted = sorted({at for case in cases.values() for at in case[key]})
    lines = dict(zip(wanted, lines_of(image, wanted)))
    for case in cases.values():
      case[key] = [lines[at] for at in case[key] if lines[at] is not None]

  @staticmethod
  def starts(place):
    """{file: the lines where a piece of code without a branch begins}"""
    place.link_shared(dict(zip(place.objects, place.traced)), ["trace-1.o"])
    text = must(["objdump", "-d", "--no-show-raw-insn", place.shared])
    after = re.findall(r"call.*<__sanitizer_cov_trace_pc>\n\s*([0-9a-f]+):", text)
    starts = {}
    for line in lines_of(place.shared, [int(at, 16) for at in after]):
      if line is not None:
        name, _, number = line.rpartition(":")
        starts.setdefault(name, set()).add(int(number))
    return {name: sorted(numbers) for name, numbers in starts.items()}

  def index(self, starts):
    self.starts_of = starts
    self.reach = {} # {"file:line": cases}
    self.seconds = {}
    self.sizes = {p: len(entry["cases"]) for p, entry in self.known.items()}
    for program, entry in self.known.items():
      for name, case in entry["cases"].items():
        name = program + ":" + name
        self.seconds[name] = case["seconds"]
        for line in case["lines"]:
          self.reach.setdefault(line, set()).add(name)

  def of(self, name, first, last):
    """The cases that reach a line of these. Each runs when its piece of code does."""
    starts = self.starts_of.get(name, [])
    begin = max((at for at in starts if at <= first), default=first)
    return set().union(*(self.reach.get("%s:%d" % (name, at), set())
                         for at in starts if begin <= at <= last))

  def of_mutation(self, mutation):
    """Of what is used in functions, the lines that use it."""
    if mutation.is_function:
      return self.of(mutation.file, *mutation.statement())
    cases = set()
    for number, line in enumerate(mutation.text.split("\n"), 1):
      if re.search(r"\b%s\b" % mutation.name, line):
        cases |= self.of(mutation.file, number, number)
    return cases


def is_of_faults(case):
  return case.startswith("test/fault/")


def lines_of(image, addresses):
  """Of the calls that return there, as "lib/file.c:line", or None."""
  text = run(["addr2line", "-e", image] + ["%x" % (at - 1) for at in addresses])
  found = []
  for line in text.stdout.split("\n")[:len(addresses)]:
    match = re.search(r"/source/(lib/.*\.c):(\d+)", line)
    found.append("%s:%s" % match.groups() if match else None)
  return found
