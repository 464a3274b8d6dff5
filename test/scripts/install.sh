#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A user's view of "make install": into a staging directory, then a program
# that knows only what pkg-config says, in C and in C++, shared and static,
# which watches a signal and raises it; then "make uninstall".

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

root=$tmp/root
check "make install works with DESTDIR" "$MAKE" install DESTDIR="$root"

pc=$(find "$root" -name libuvsig.pc)
if test -z "$pc"; then
  fail "it installs libuvsig.pc"
  finish
fi
pass "it installs libuvsig.pc"

header=$(find "$root" -name uvsig.h)
for name in uvsig.h uvsig.hpp uvsig-uv-signal.h; do
  check "it installs $name as it is" \
    cmp "$srcdir/include/$name" "$(dirname "$header")/$name"
done

# What else there is: libraries, manual, nothing that only the build uses.
find "$root" ! -type d | sed 's|.*/||' | grep -Ev \
  '^(uvsig(\.h|\.hpp|-uv-signal\.h)|libuvsigConfig(Version)?\.cmake|libuvsig\.(pc|la|a|so[0-9.]*|.*dylib)|uvsig.*\.[37])$' \
  >"$tmp/extra"
same "it installs nothing that a user has no use for" /dev/null "$tmp/extra"

# --- The manual -------------------------------------------------------------------

# Each public name: functions, and the types but for the tags of structs.
names() {
  sed -n '/global:/,/local:/s/^ *\([a-z0-9_]*\);.*/\1/p' "$srcdir/lib/libuvsig.map"
  grep -ohE '\buvsig_([a-z0-9_]+_)?(t|cb)\b' "$srcdir"/include/*.h
}
names | sort -u >"$tmp/names"
check "there are functions and types" test "$(wc -l <"$tmp/names")" -gt 150
man=$(dirname "$(dirname "$(find "$root" -name uvsig_init.3)")")
# A link would lead nowhere when gzip has compressed the pages.
while read -r name; do
  file=$man/man3/$name.3
  if test -h "$file" || ! test -f "$file"; then
    echo "$name: no file"
    continue
  fi
  page=$(sed -n '1s/^\.so //p' "$file")
  if ! test -f "$man/${page:=man3/$name.3}" ||
      ! grep -v '^\.\\"' "$man/$page" | grep -qw "$name"; then
    echo "$name: not in $page"
  fi
done <"$tmp/names" >"$tmp/out"
same "each function and type has a page of its name" /dev/null "$tmp/out"

# finds NAME PAGE: does man know it, without a database of the pages?
finds() {
  man -M "$man" "$1" >"$tmp/page" 2>&1 && sed 's/.\x08//g' "$tmp/page" |
    grep -q "^ *$2"
}
# One in a container may only say that there are no pages.
mkdir -p "$tmp/probe/man3"
printf '.TH A 3\n.SH NAME\na \\- b\n.SH DESCRIPTION\nprobing\n' \
  >"$tmp/probe/man3/uvsig_probe.3"
if man -M "$tmp/probe" uvsig_probe 2>&1 | grep -q probing; then
  why=
else
  why="no man that shows pages"
fi
lookups() { # when
  for name in uvsig_watcher uvsig_watcher_start uvsig_info_t; do
    if test -n "$why"; then
      skip "$1, man $name has the page" "$why"
    else
      check "$1, man $name has the page" finds $name uvsig_watcher_init
    fi
  done
}
lookups "right after make install"
if command -v gzip >/dev/null 2>&1; then
  cp -R "$man" "$tmp/man"
  find "$tmp/man" -type f -exec gzip -n {} +
  man=$tmp/man
  lookups "after gzip"
fi

sed -n 's/^AC_INIT(\[libuvsig\], *\[\([^]]*\)\].*/\1/p' \
  "$srcdir/configure.ac" >"$tmp/version.wanted"

# The directories in the file are those after the staging, so they move. Not
# PKG_CONFIG_SYSROOT_DIR: that would move libuv's directories too.
mkdir "$tmp/pc"
sed "s|^\([a-z_]*\)=/|\1=$root/|" "$pc" >"$tmp/pc/libuvsig.pc"
PKG_CONFIG_PATH=$tmp/pc${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
$PKG_CONFIG --modversion libuvsig >"$tmp/version"
same "pkg-config says configure.ac's version" \
  "$tmp/version.wanted" "$tmp/version"

# Both a C and a C++ program.
cat >"$tmp/program.c" <<'END'
#include <uvsig.h>
#include <string.h>

static int calls;

static void on_signal(uvsig_watcher_t* w,
                      int signum,
                      const uvsig_info_t* info) {
  calls += (int) info->count;
  if (signum != SIGUSR1 || uvsig_close(w->sig, NULL) != 0)
    calls = -1;
}

int main(int argc, char** argv) {
  static uvsig_t sig;
  static uvsig_watcher_t watcher;
  uv_loop_t* loop = uv_default_loop();

  if (argc != 2 || strcmp(argv[1], uvsig_version_string()) != 0)
    return 2;
  if (uvsig_init(loop, &sig, NULL) != 0 ||
      uvsig_watcher_init(&sig, &watcher) != 0 ||
      uvsig_watcher_start(&watcher, on_signal, SIGUSR1) != 0 ||
      uvsig_raise_signal(SIGUSR1) != 0)
    return 3;
  if (uv_run(loop, UV_RUN_DEFAULT) != 0 || calls != 1)
    return 4;
  return uv_loop_close(loop) == 0 ? 0 : 5;
}
END
cp "$tmp/program.c" "$tmp/program.cc"

version=$(cat "$tmp/version.wanted")
libdir=$($PKG_CONFIG --variable=libdir libuvsig)
LD_LIBRARY_PATH=$libdir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
cflags=$($PKG_CONFIG --cflags libuvsig)
libs=$($PKG_CONFIG --libs libuvsig)
# Our library from its archive, the others as the system has them, which may be
# shared only.
static_libs=$($PKG_CONFIG --static --libs libuvsig |
  sed 's/-luvsig/-Wl,-Bstatic -luvsig -Wl,-Bdynamic/')
# A sanitizer needs the whole program.
sanitize=${SANITIZER:+-fsanitize=$SANITIZER}

# build_and_run NAME COMPILER...: notes which libraries the program needs.
build_and_run() {
  name=$1
  shift
  rm -f "$tmp/program"
  check "$name: it builds with pkg-config's flags" "$@"
  check "$name: it receives the signal that it raises" \
    "$tmp/program" "$version"
  "$READELF" -d "$tmp/program" >"$tmp/program.dynamic" 2>&1
}

# Compilers and flags are lists of words.
# shellcheck disable=SC2086
c() {
  name=$1
  shift
  build_and_run "$name" $CC -std=c99 -D_XOPEN_SOURCE=700 $sanitize $cflags \
    -o "$tmp/program" "$tmp/program.c" "$@"
}

# shellcheck disable=SC2086
cxx() {
  name=$1
  shift
  build_and_run "$name" $CXX -std=c++11 $sanitize $cflags \
    -o "$tmp/program" "$tmp/program.cc" "$@"
}

echo 'int main() { return 0; }' >"$tmp/try.cc"
# shellcheck disable=SC2086
if $CXX $sanitize -o "$tmp/try" "$tmp/try.cc" >/dev/null 2>&1; then
  have_cxx=yes
else
  have_cxx=no
fi

# shellcheck disable=SC2086
if test -e "$libdir/libuvsig.so"; then
  c "C99, shared" $libs
  check "C99, shared: it runs on the shared library" \
    grep 'NEEDED.*libuvsig' "$tmp/program.dynamic"
  if test $have_cxx = yes; then
    cxx "C++11, shared" $libs
  else
    skip "C++11, shared" "no C++ compiler: $CXX"
  fi
else
  skip "C99, shared" "no shared library: --disable-shared"
  skip "C++11, shared" "no shared library: --disable-shared"
fi

# shellcheck disable=SC2086
if test -e "$libdir/libuvsig.a"; then
  c "C99, static" $static_libs
  grep 'NEEDED.*libuvsig' "$tmp/program.dynamic" >"$tmp/needs"
  same "C99, static: it runs without the shared library" \
    /dev/null "$tmp/needs"
  if test $have_cxx = yes; then
    cxx "C++11, static" $static_libs
  else
    skip "C++11, static" "no C++ compiler: $CXX"
  fi
else
  skip "C99, static" "no static library: --disable-static"
  skip "C++11, static" "no static library: --disable-static"
fi

check "make uninstall works with DESTDIR" "$MAKE" uninstall DESTDIR="$root"
find "$root" ! -type d >"$tmp/left"
same "it leaves nothing behind" /dev/null "$tmp/left"

finish
