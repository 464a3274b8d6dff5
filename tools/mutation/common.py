# SPDX-License-Identifier: MIT
#
# For tools/mutate: commands, files, threads.

import concurrent.futures
import hashlib
import os
import subprocess
import sys
import threading

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOME = os.path.join(TOP, "build", "mutate")
STOPPED = threading.Event()


def run(command, **options):
  return subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def must(command, **options):
  done = run(command, **options)
  if done.returncode != 0:
    sys.exit("%s:\n%s" % (" ".join(command), done.stdout))
  return done.stdout


def read(path):
  with open(path, encoding="utf-8") as file:
    return file.read()


def write(path, text):
  with open(path, "w", encoding="utf-8") as file:
    file.write(text)


def digest(*paths):
  sums = hashlib.sha256()
  for path in paths:
    with open(path, "rb") as file:
      sums.update(file.read())
  return sums.hexdigest()


def stop(*_):
  STOPPED.set()


def each_at_once(work, places):
  """In a thread each. If one fails, the others stop."""
  def guarded(place):
    try:
      work(place)
    except BaseException:
      stop()
      raise

  with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
    for done in [pool.submit(guarded, place) for place in places]:
      done.result()
