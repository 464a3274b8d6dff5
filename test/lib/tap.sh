# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# What the shell tests share: the output that automake's tap-driver.sh reads
# (one "ok" or "not ok" a check, the plan last, so that a test that dies half
# way is an error), a directory that is removed at exit, and the tools, which
# the makefile names in the environment. A test runs in the build directory and
# sources this file first:
#
#   . "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

# Absolute, since a test may change its directory.
srcdir=$(cd "${srcdir:-$(dirname "$0")/../..}" && pwd) || exit 1
CC=${CC:-cc}
CXX=${CXX:-c++}
MAKE=${MAKE:-make}
PKG_CONFIG=${PKG_CONFIG:-pkg-config}
READELF=${READELF:-readelf}
SANITIZER=${SANITIZER:-}

# A make that a test starts must not use the outer one's job server or flags.
unset MAKEFLAGS MFLAGS MAKELEVEL
# Messages and sort orders are compared as text.
LC_ALL=C
export LC_ALL

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

tap_count=0

pass() {
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1"
}

# fail NAME [FILE]: FILE says why.
fail() {
  tap_count=$((tap_count + 1))
  echo "not ok $tap_count - $1"
  if test $# -gt 1; then sed 's/^/#   /' "$2"; fi
}

skip() {
  tap_count=$((tap_count + 1))
  echo "ok $tap_count - $1 # SKIP $2"
}

# check NAME COMMAND...: the command's status decides, its output says why.
check() {
  tap_name=$1
  shift
  if "$@" >"$tmp/check.out" 2>&1 </dev/null; then
    pass "$tap_name"
  else
    echo "status $? of: $*" >>"$tmp/check.out"
    fail "$tap_name" "$tmp/check.out"
  fi
}

# run_test FUNCTION NAME: one that cannot test here sets $skip to why, whatever
# it returns.
run_test() {
  skip=
  run_status=0
  "$1" || run_status=$?
  if test -n "$skip"; then
    skip "$2" "$skip"
  elif test "$run_status" -eq 0; then
    pass "$2"
  else
    fail "$2"
  fi
}

# same NAME WANTED GOT: two files with the same text.
same() {
  check "$1" diff -u "$2" "$3"
}

# Make $tmp/src another source tree. configure refuses one that is itself
# configured, as it is where somebody builds in the source tree: links to all but
# that fact and what has been built.
link_source() {
  mkdir "$tmp/src"
  for file in "$srcdir"/*; do
    case $file in
      */config.status | *.o | *.lo | *.la) ;;
      */lib)
        for folder in lib lib/posix lib/shutdown; do
          mkdir "$tmp/src/$folder"
          ln -s "$srcdir/$folder"/*.[ch] "$tmp/src/$folder"
        done
        ln -s "$file"/*.map "$tmp/src/lib"
        ;;
      *) ln -s "$file" "$tmp/src" ;;
    esac
  done
}

# The last thing that a test does.
finish() {
  echo "1..$tap_count"
  exit 0
}

# --- For a check's commands ---------------------------------------------------

# Say why a check fails, and fail.
because() {
  echo "$*" | sed 's/^/# /'
  return 1
}

equal() { # what it is, actual, expected
  test "$2" = "$3" || because "$1 is '$2' and should be '$3'"
}

# Wait until a command succeeds.
wait_for() {
  tries=1200
  until "$@"; do
    tries=$((tries - 1))
    test "$tries" -gt 0 || because "waited in vain: $*" || return 1
    sleep 0.05
  done
}

# The shell collects a child that has ended while it waits for sleep, so that
# the pid is gone then and wait still knows the status.
has_ended() {
  ! kill -0 "$1" 2>/dev/null
}
