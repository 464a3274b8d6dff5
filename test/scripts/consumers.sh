#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The builds beside configure and make, and the programs that use the library
# through each: CMake's find_package(), add_subdirectory() and FetchContent, and a
# Meson subproject. The files and what was found out about the system must be what
# configure and make have.
#
# Environment: CMAKE, MESON, and what tap.sh has.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

CMAKE=${CMAKE:-cmake}
MESON=${MESON:-meson}
build=$(pwd)

# A program of each kind: it fails unless the library works.
mkdir "$tmp/program"
cat >"$tmp/program/main.c" <<'END'
#include <stdio.h>
#include <uvsig.h>

static void on_work(uv_async_t* work) {
  (void) work;
  uvsig_raise_signal(SIGTERM);
}

int main(void) {
  uv_async_t work;
  uv_async_init(uv_default_loop(), &work, on_work);
  uv_async_send(&work);
  return uvsig_run(uv_default_loop(), NULL, NULL) != SIGTERM ||
         printf("%s\n", uvsig_version_string()) < 0;
}
END
version=$(sed -n 's/^#define PACKAGE_VERSION "\(.*\)"/\1/p' config.h)
echo "$version" >"$tmp/version"
# runs NAME PROGRAM: it prints the version of this source.
runs() {
  "$2" >"$tmp/printed" 2>&1
  same "$1" "$tmp/version" "$tmp/printed"
}

# What lib/ asks of config.h, each with its value in one such file.
asked() {
  grep -rhoE 'HAVE_[A-Z0-9_]+' "$srcdir/lib" | sort -u | while read -r name; do
    echo "$name $(sed -n "s/^#define $name //p" "$1" | tail -n 1)"
  done
}
asked config.h >"$tmp/asked"
# Objects by the names of their sources.
objects_of() {
  sed -E 's|.*[/_]||; s|\.(c\.)?o$||; s|^libuvsig_la-||' | sort -u
}
find lib -name '*.o' -not -path '*/.libs/*' | while read -r object; do
  source=$(echo "$object" | sed 's|libuvsig_la-||; s|o$|c|')
  if test -e "$srcdir/$source"; then echo "$object"; fi
done | sed 's/libuvsig_la-//' | objects_of >"$tmp/files"
check "make has built the library" test -s "$tmp/files"

# --- CMake -----------------------------------------------------------------------

cmake_tests() {
  mkdir "$tmp/fetch" "$tmp/find"
  cp "$tmp/program/main.c" "$tmp/fetch"
  cp "$tmp/program/main.c" "$tmp/find"
  cat >"$tmp/fetch/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.14)
project(fetch C)
include(FetchContent)
FetchContent_Declare(libuvsig URL unused)
FetchContent_MakeAvailable(libuvsig)
add_executable(program main.c)
target_link_libraries(program libuvsig::uvsig)
END
  cat >"$tmp/find/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.13)
project(find C)
find_package(libuvsig ${WANTED} CONFIG REQUIRED)
add_executable(program main.c)
target_link_libraries(program libuvsig::uvsig)
END
  # It builds the whole library, and installs it.
  check "CMake: FetchContent configures" "$CMAKE" -S "$tmp/fetch" -B fetch \
    -DFETCHCONTENT_SOURCE_DIR_LIBUVSIG="$srcdir" -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_C_COMPILER="${CC%% *}" -DCMAKE_C_FLAGS="-Wall -Wextra -Werror" \
    -DCMAKE_INSTALL_PREFIX="$tmp/cmake"
  check "CMake: FetchContent builds" "$CMAKE" --build fetch -j 2
  runs "CMake: a program with FetchContent runs" fetch/program
  find fetch -path '*uvsig.dir*' -name '*.o' | objects_of >"$tmp/got"
  same "CMake: it has the files of make" "$tmp/files" "$tmp/got"
  asked fetch/_deps/libuvsig-build/config/config.h >"$tmp/got"
  same "CMake: it has found out what configure has" "$tmp/asked" "$tmp/got"
  check "CMake: it installs" "$CMAKE" --install fetch

  (cd "$build" && "$MAKE" install DESTDIR="$tmp/make") >/dev/null 2>&1
  config=$(find "$tmp/make" -name libuvsigConfig.cmake)
  for kind in cmake make static; do
    case $kind in
      cmake) set -- -DCMAKE_PREFIX_PATH="$tmp/cmake" ;;
      make) set -- -Dlibuvsig_DIR="$(dirname "$config")" ;;
      static) set -- -Dlibuvsig_DIR="$(dirname "$config")" \
        -Dlibuvsig_USE_STATIC_LIBS=ON ;;
    esac
    check "CMake: find_package() finds it ($kind)" "$CMAKE" -S "$tmp/find" \
      -B "find-$kind" -DCMAKE_C_COMPILER="${CC%% *}" -DWANTED="$version" "$@"
    check "CMake: such a program builds ($kind)" "$CMAKE" --build "find-$kind"
    runs "CMake: such a program runs ($kind)" "find-$kind/program"
  done
  check "CMake: a later version is not there" sh -c \
    "! '$CMAKE' -S '$tmp/find' -B find-later -DWANTED=99.0 \
      -DCMAKE_C_COMPILER='${CC%% *}' -Dlibuvsig_DIR='$(dirname "$config")'"
}

# --- Meson -----------------------------------------------------------------------

meson_tests() {
  mkdir -p "$tmp/meson/subprojects"
  cp "$tmp/program/main.c" "$tmp/meson"
  ln -s "$srcdir" "$tmp/meson/subprojects/libuvsig"
  cat >"$tmp/meson/meson.build" <<'END'
project('program', 'c')
uvsig = dependency('libuvsig', fallback: 'libuvsig', default_options: 'werror=true')
executable('program', 'main.c', dependencies: uvsig)
END
  check "Meson: a program with the subproject configures" env CC="$CC" \
    "$MESON" setup --force-fallback-for=libuvsig "$tmp/meson-build" "$tmp/meson"
  check "Meson: it builds" "$MESON" compile -C "$tmp/meson-build"
  runs "Meson: it runs" "$tmp/meson-build/program"
  find "$tmp/meson-build" -path '*uvsig.so*.p/*' -name '*.o' |
    sed 's|/lib_\(posix_\|shutdown_\)\{0,1\}|/|' | objects_of >"$tmp/got"
  same "Meson: it has the files of make" "$tmp/files" "$tmp/got"
  asked "$tmp/meson-build/subprojects/libuvsig/config.h" >"$tmp/got"
  same "Meson: it has found out what configure has" "$tmp/asked" "$tmp/got"
}

cd "$tmp" || exit 1
if test -n "$SANITIZER"; then
  skip "CMake and Meson" "the library of this build needs --with-sanitizer's flags"
else
  if command -v "$CMAKE" >/dev/null; then
    cmake_tests
  else
    skip "CMake" "there is no $CMAKE"
  fi
  if command -v "$MESON" >/dev/null; then
    meson_tests
  else
    skip "Meson" "there is no $MESON"
  fi
fi

finish
