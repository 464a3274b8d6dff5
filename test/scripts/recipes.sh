#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The recipes of contrib for vcpkg and Conan. Neither of the two is there: small
# stand-ins (recipes-vcpkg.cmake, recipes-conan.py) call each recipe as they would,
# with the system's libuv, and a program uses the package that comes of it.
#
# Environment: CMAKE, PYTHON, and what tap.sh has.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

CMAKE=${CMAKE:-cmake}
PYTHON=${PYTHON:-python3}
compiler=${CC%% *}
version=$(sed -n 's/^AC_INIT(\[libuvsig\], *\[\([^]]*\)\].*/\1/p' \
  "$srcdir/configure.ac")
echo "$version" >"$tmp/version"
cd "$tmp" || exit 1

for file in vcpkg/ports/libuvsig/vcpkg.json conan/conanfile.py; do
  sed -n -E 's/^ *"?version"?[ :=]+"([^"]*)",?$/\1/p' \
    "$srcdir/contrib/$file" >"$tmp/got"
  same "$file has the version of configure.ac" "$tmp/version" "$tmp/got"
done

# A release, as far as its tarball is needed here.
name=libuvsig-$version
mkdir "$name"
(cd "$srcdir" && tar -cf - CMakeLists.txt LICENSE Makefile.am configure.ac \
  libuvsig.pc.in contrib/*.in include lib/*.map lib/*.[ch] lib/*/*.[ch]) |
  tar -xf - -C "$name"
tar -cJf "$name.tar.xz" "$name"
check "tools/recipes makes those of a release" \
  "$srcdir/tools/recipes" "$name.tar.xz" "file://$tmp/$name.tar.xz" release
mkdir other
cp "$name.tar.xz" other/libuvsig-99.0.tar.xz
check "tools/recipes refuses a tarball of another version" sh -c \
  "! '$srcdir/tools/recipes' other/libuvsig-99.0.tar.xz file:///nowhere other"

# refused NAME MESSAGE COMMAND...
refused() {
  what=$1 message=$2
  shift 2
  if "$@" >"$tmp/refused" 2>&1; then
    fail "$what" "$tmp/refused"
    return
  fi
  tr -s '[:space:]' ' ' <"$tmp/refused" >"$tmp/line"
  check "$what" grep -F "$message" "$tmp/line"
}

# --- vcpkg -----------------------------------------------------------------------

# By vcpkg's schema: the fields of a port, as far as ours has them.
cat >manifest.py <<'END'
import json, re, sys
port = json.load(open(sys.argv[1]))
identifier = r"[a-z0-9]+(-[a-z0-9]+)*"
assert set(port) == {"name", "version", "description", "license", "supports",
                     "dependencies"}, sorted(port)
assert re.fullmatch(identifier, port["name"])
assert re.fullmatch(r"\d+(\.\d+)*", port["version"])
assert port["description"] and port["license"] == "MIT"
assert re.fullmatch(r"!?[a-z0-9]+( & !?[a-z0-9]+)*", port["supports"])
for needed in port["dependencies"]:
    if isinstance(needed, dict):
        assert set(needed) == {"name", "host"} and needed["host"] is True
        needed = needed["name"]
    assert re.fullmatch(identifier, needed)
END

vcpkg() { # directory, port, linkage, release or nothing
  "$CMAKE" -DPORT_DIR="$2" -DPREFIX="$tmp/$1" -DLINKAGE="$3" -DBUILD_TYPE="$4" \
    -DCOMPILER="$compiler" -P "$srcdir/test/scripts/recipes-vcpkg.cmake"
}

# uses NAME PACKAGES BUILD-TYPE: a program that finds the package.
uses() {
  check "$1: a program finds it" "$CMAKE" -S program -B "$2-program" \
    -DCMAKE_PREFIX_PATH="$tmp/$2/packages" -DCMAKE_BUILD_TYPE="$3" \
    -DCMAKE_C_COMPILER="$compiler"
  check "$1: the program builds" "$CMAKE" --build "$2-program"
  "$2-program/program" >"$tmp/got" 2>&1
  same "$1: the program runs" "$tmp/version" "$tmp/got"
}

vcpkg_tests() {
  port=$srcdir/contrib/vcpkg/ports/libuvsig
  mkdir program
  cp "$srcdir/contrib/conan/test_package/test_package.c" program
  cat >program/CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.15)
project(program C)
find_package(libuvsig CONFIG REQUIRED)
add_executable(program test_package.c)
target_link_libraries(program PRIVATE libuvsig::uvsig)
END
  check "vcpkg: the port of the source, static" vcpkg static "$port" static ""
  uses "vcpkg, static" static Debug
  grep -rho "${tmp}[^ ]*libuvsig.a" static-program/CMakeFiles/program.dir/link.txt \
    >"$tmp/got"
  echo "$tmp/static/packages/debug/lib/libuvsig.a" >"$tmp/wanted"
  same "vcpkg, static: to be debugged with what is built for it" \
    "$tmp/wanted" "$tmp/got"
  (cd static/packages && find . -type f | sort) >"$tmp/got"
  cat >"$tmp/wanted" <<'END'
./debug/lib/libuvsig.a
./debug/lib/pkgconfig/libuvsig.pc
./include/uvsig-uv-signal.h
./include/uvsig.h
./include/uvsig.hpp
./lib/libuvsig.a
./lib/pkgconfig/libuvsig.pc
./share/libuvsig/copyright
./share/libuvsig/libuvsigConfig.cmake
./share/libuvsig/libuvsigConfigVersion.cmake
./share/libuvsig/usage
END
  same "vcpkg, static: it has what vcpkg wants, where it wants it" \
    "$tmp/wanted" "$tmp/got"
  grep '^Requires:' static/packages/lib/pkgconfig/libuvsig.pc >"$tmp/got"
  echo "Requires: libuv-static" >"$tmp/wanted"
  same "vcpkg, static: it needs the static libuv" "$tmp/wanted" "$tmp/got"

  released=$tmp/release/vcpkg/ports/libuvsig
  check "vcpkg: the port of a release, shared" vcpkg shared "$released" dynamic \
    release
  uses "vcpkg, shared" shared Release
  refused "vcpkg: another archive than the release is refused" "HASH mismatch" \
    vcpkg changed "$tmp/changed/vcpkg/ports/libuvsig" static release
  mkdir alone
  cp -r "$port" alone
  refused "vcpkg: a port without a release and a source is refused" \
    "This port knows no release, and no source is around it" \
    vcpkg alone/made "$tmp/alone/libuvsig" static release
}

# --- Conan -----------------------------------------------------------------------

conan() { # recipe, directory, NAME=VALUE...
  from=$1 made=$2
  shift 2
  "$PYTHON" "$srcdir/test/scripts/recipes-conan.py" "$from" "$made" \
    "$compiler" "$@"
}

conan_tests() {
  # Python leaves its files beside the source, or tries to.
  PYTHONDONTWRITEBYTECODE=1
  export PYTHONDONTWRITEBYTECODE
  recipe=$srcdir/contrib/conan
  conan "$recipe" conan-static shared=False libuv_shared=False >"$tmp/out" 2>&1
  tail -n 1 "$tmp/out" >"$tmp/got"
  same "Conan: the recipe of the source, static, and its test_package" \
    "$tmp/version" "$tmp/got"
  (cd conan-static/package && find . -type f | sort) >"$tmp/got"
  cat >"$tmp/wanted" <<'END'
./include/uvsig-uv-signal.h
./include/uvsig.h
./include/uvsig.hpp
./lib/libuvsig.a
./licenses/LICENSE
END
  same "Conan, static: it has what Conan wants, where it wants it" \
    "$tmp/wanted" "$tmp/got"
  conan "$tmp/release/conan" conan-shared shared=True libuv_shared=False \
    >"$tmp/out" 2>&1
  tail -n 1 "$tmp/out" >"$tmp/got"
  same "Conan: the recipe of a release, shared, makes libuv shared" \
    "$tmp/version" "$tmp/got"
  refused "Conan: shared with a static libuv is refused" \
    "a shared libuvsig needs a shared libuv" \
    conan "$recipe" conan-both shared=True graph=static
  refused "Conan: Windows is refused" "libuvsig is for Unix alone" \
    conan "$recipe" conan-windows os=Windows
  refused "Conan: another archive than the release is refused" \
    "sha256 signature failed" conan "$tmp/changed/conan" conan-changed
  mkdir -p alone/a/b
  cp -r "$recipe" alone/a/b
  refused "Conan: a recipe without a release and a source is refused" \
    "this recipe knows no release, and no source is around it" \
    conan "$tmp/alone/a/b/conan" conan-alone
}

# The recipes of a release whose archive is changed afterwards.
mkdir later
cp "$name.tar.xz" later
"$srcdir/tools/recipes" "later/$name.tar.xz" "file://$tmp/later/$name.tar.xz" changed
echo >>"later/$name.tar.xz"

if ! command -v "$CMAKE" >/dev/null; then
  skip "vcpkg and Conan" "there is no $CMAKE"
elif ! $PKG_CONFIG --exists libuv libuv-static; then
  skip "vcpkg and Conan" "there is no static libuv"
else
  vcpkg_tests
  if command -v "$PYTHON" >/dev/null; then
    check "vcpkg.json has what vcpkg wants, and nothing else" "$PYTHON" \
      manifest.py "$srcdir/contrib/vcpkg/ports/libuvsig/vcpkg.json"
    conan_tests
  else
    skip "Conan" "there is no $PYTHON"
  fi
fi

finish
