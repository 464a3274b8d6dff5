#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tools/release refuses what is no release, in a repository that has no more than it
# looks at. The comparison of two ABIs takes two builds, and is not tried here.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

if ! command -v git >/dev/null; then
  echo "1..0 # SKIP there is no git"
  exit 0
fi
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
GIT_CONFIG_NOSYSTEM=1
GIT_CONFIG_GLOBAL=/dev/null
export GIT_CONFIG_NOSYSTEM GIT_CONFIG_GLOBAL

mkdir -p "$tmp/repository/tools"
cd "$tmp/repository" || exit 1
cp "$srcdir/configure.ac" .
cp "$srcdir/tools/release" tools
version=$(sed -n 's/^AC_INIT(\[libuvsig\], *\[\([^]]*\)\].*/\1/p' configure.ac)

commit() {
  git add -A && git -c user.name=test -c user.email=test@localhost \
    commit -q -m "$1"
}
news() { # lines
  printf '%s\n' "News" "" "$@" >NEWS
  commit "NEWS"
}
# says NAME STATUS TEXT ARGUMENTS...
says() {
  what=$1 wanted=$2
  echo "$3" >"$tmp/wanted"
  shift 3
  bash tools/release --check "$@" >"$tmp/got" 2>&1
  status=$?
  check "$what: status $wanted" test $status -eq "$wanted"
  same "$what: it says so" "$tmp/wanted" "$tmp/got"
}

check "there is a repository" git init -q .
news "$version (2026-01-31)"
says "a release" 0 "the ABI: there is no release before" none
says "no release before, and none is named" 1 \
  "tools/release: there is no tag v*: name the release before, or say none"
says "a release before that does not exist" 1 \
  "tools/release: there is no commit nowhere" nowhere
echo "a line" >>NEWS
says "a line that is not committed" 1 \
  "tools/release: there are uncommitted changes" none
git checkout -q NEWS
: >untracked
says "a file that git does not know" 1 \
  "tools/release: there are uncommitted changes" none
rm untracked
news "$version (not yet released)"
says "a version without a date" 1 \
  "tools/release: NEWS has no line \"$version (year-month-day)\"" none
news "99.0.0 (2026-02-28)" "" "$version (2026-01-31)"
says "an older version" 1 \
  "tools/release: $version is not the first release in NEWS" none

finish
