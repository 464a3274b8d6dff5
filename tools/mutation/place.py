# SPDX-License-Identifier: MIT
#
# For tools/mutate: a copy of the source and its build, where one mutation is tried at
# a time.

import json
import math
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time

from mutation.common import HOME, STOPPED, TOP, must, read, run, write

NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
# Tests make names of their process id, and share the machine with others: the first
# one is not the same for all. Files do not fill the disk.
INIT = ("echo %d >/proc/sys/kernel/ns_last_pid; ulimit -S -f 200000; "
        'setsid -w "$0"; exit $?')
FIRST_PID = 10000
# Test programs are linked with one of these; where it is a copy of the library with
# other names of what it calls, they are in a file beside it.
LIBRARY = ".libs/libuvsig.a"
FAULTY_LIBRARY = "test/fault/libfaulty.a"
FAULTY_NAMES = "test/fault/calls.syms"


def need_namespaces():
  """No test of a mutation runs where other processes can be hit."""
  if os.geteuid() != 0:
    NAMESPACE[1:1] = ["--user", "--map-root-user"]
  if run(NAMESPACE + ["true"]).returncode != 0:
    sys.exit("There are no PID namespaces here: " + " ".join(NAMESPACE))


class Place:
  """A copy of the source, and its build."""

  def __init__(self, number):
    self.number = number
    self.source = os.path.join(HOME, str(number), "source")
    self.build = os.path.join(HOME, str(number), "build")

  def first_pid(self):
    """One of those that no other place uses."""
    most = int(read("/proc/sys/kernel/pid_max")) - FIRST_PID
    return FIRST_PID + 37 * self.number + random.randrange(most // 100) * 100

  def path(self, name):
    return os.path.join(self.build, name)

  def copy(self):
    """Of what has changed. Returns how many files that are."""
    count = 0
    listed = must(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP)
    wanted = [f for f in listed.split("\n") if os.path.isfile(os.path.join(TOP, f))]
    for name in wanted:
      to = os.path.join(self.source, name)
      with open(os.path.join(TOP, name), "rb") as file:
        data = file.read()
      if os.path.exists(to):
        with open(to, "rb") as file:
          if file.read() == data:
            continue
      os.makedirs(os.path.dirname(to), exist_ok=True)
      with open(to, "wb") as file:
        file.write(data)
      os.chmod(to, os.stat(os.path.join(TOP, name)).st_mode)
      count += name.startswith(("lib/", "include/", "test/", "examples/", "conf",
                                "Makefile"))
    return count

  def make(self):
    os.makedirs(self.build, exist_ok=True)
    stamp = self.path("made")
    if self.copy() == 0 and os.path.exists(stamp):
      self.__dict__.update(json.loads(read(stamp)))
      return
    if not os.path.exists(os.path.join(self.source, "configure")):
      must(["./bootstrap"], cwd=self.source)
    if not os.path.exists(self.path("Makefile")):
      must([os.path.join(self.source, "configure"), "-q", "CC=gcc", "CXX=g++",
            "CFLAGS=-g -O0"], cwd=self.build)
    must(["make", "-s", "check", "TESTS="], cwd=self.build)
    self.learn()
    write(stamp, json.dumps(self.__dict__))

  def dry(self, changed, target):
    """What make would do if this file had changed, a command a line."""
    text = must(["make", "-n", "V=1", "-W", changed, target, "TESTS="],
                cwd=self.build)
    return text.replace("\\\n", " ").split("\n")

  def learn(self):
    version = os.path.join(self.source, "lib", "version.c")
    for line in self.dry(version, "lib/libuvsig_la-version.lo"):
      if "--mode=compile" in line:
        flags = line.split("--mode=compile ")[1].split(" -MT ")[0]
    self.compiler = shlex.split(flags) + ["-Wall", "-Wextra", "-Werror", "-fPIC"]
    self.links = {}
    for line in self.dry("test/lib/libharness.a", "check"):
      match = re.search(r" -o (test/\S+) ", line)
      if match and (LIBRARY in line or FAULTY_LIBRARY in line):
        command = line.split("--mode=link ")[-1].split("; ")[-1]
        self.links[match.group(1)] = shlex.split(command)
    for line in self.dry(os.path.join(self.source, "lib/libuvsig.map"), "all"):
      if " -o libuvsig.la " in line:
        self.linker = re.findall(r"-Wl,\S+", line)
        names = re.findall(r"\S+\.lo\b", line)
    self.objects = {
        re.sub(r"libuvsig_la-(.*)\.lo", r"\1.c", name):
        re.sub(r"([^/]*)\.lo", r".libs/\1.o", name) for name in names}
    self.shared = os.path.realpath(self.path(".libs/libuvsig.so"))

  def compile(self, name, object, options):
    return run(self.compiler + options +
               ["-c", os.path.join(self.source, name), "-o", self.path(object)],
               cwd=self.build, timeout=300)

  def link(self, program, objects):
    """With these objects instead of the library's own."""
    command = []
    for word in self.links[program]:
      if word == LIBRARY:
        command += objects
      elif word == FAULTY_LIBRARY:
        command += [self.renamed(name) for name in objects]
      command.append(word)
    must(command, cwd=self.build)

  def renamed(self, object):
    """A copy of it, as objects are in the faulty library."""
    copy = object + ".faulty"
    must(["objcopy", "--redefine-syms=" + FAULTY_NAMES, object, copy], cwd=self.build)
    return copy

  def link_shared(self, instead, extra=()):
    objects = [instead.get(name, own) for name, own in self.objects.items()]
    must(["gcc", "-shared", "-fPIC", "-pthread", "-Wl,-soname,libuvsig.so.0"] +
         self.linker + objects + list(extra) + ["-luv", "-o", self.shared],
         cwd=self.build)

  def try_case(self, case, seconds, trace=None):
    """Run one test of a program, or all. Returns its status and output."""
    program, _, name = case.partition(":")
    limit = max(10, math.ceil(10 * seconds))
    environment = dict(os.environ, TEST_SCALE="30", TEST_DEADLINE=str(limit),
                       srcdir=self.source, CC="gcc", TEST_ONLY=name)
    if name == "":
      del environment["TEST_ONLY"]
    if trace is not None:
      environment["MUTATE_TRACE"] = trace
    with tempfile.TemporaryFile("w+", errors="replace") as output:
      child = subprocess.Popen(
          NAMESPACE + ["sh", "-c", INIT % self.first_pid(), self.path(program)],
          cwd=self.build, env=environment, start_new_session=True,
          stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
      status = None
      until = time.time() + 2 * limit + 10
      while status is None and time.time() < until and not STOPPED.is_set():
        try:
          status = child.wait(timeout=1)
        except subprocess.TimeoutExpired:
          pass
      if status is None:
        child.kill()
        child.wait()
        status = "a hang"
      output.seek(0)
      return status, output.read()
