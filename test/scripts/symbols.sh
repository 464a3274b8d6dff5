#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What the built libraries show to a linker: the header, the version script and
# the shared library agree on the names, the static library leaks none, and the
# shared library has the name, the needs and the "never unload" flag that it
# should have.
#
# Instrumented builds (--with-sanitizer, tools/coverage) add names that
# begin with two underscores. Those are the compiler's, and are left out here;
# the names without are checked there too.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

so=.libs/libuvsig.so
ar=.libs/libuvsig.a

# "name@@node" for each symbol of the version script.
awk '
  /\{$/ { node = $1 }
  /^ *global:/ { global = 1 }
  /^ *local:/ { global = 0 }
  global && /^  [a-z_]+;$/ { sub(/;$/, "", $1); print $1 "@@" node }
' "$srcdir/lib/libuvsig.map" | sort >"$tmp/map"
sed 's/@@.*//' "$tmp/map" >"$tmp/names"

# The declarations alone: from UVSIG_EXTERN to the name before the parenthesis.
awk '/^UVSIG_EXTERN/ {
  sub(/\(.*/, "")
  sub(/.*[ *]/, "")
  print
}' "$srcdir"/include/*.h | sort >"$tmp/header"

check "the version script names symbols" test -s "$tmp/map"
same "the headers declare what the version script exports" \
  "$tmp/names" "$tmp/header"

# For awk. readelf's columns: Num Value Size Type Bind Vis Ndx Name. A version
# node is itself a symbol, with ABS for a section.
# shellcheck disable=SC2016
defined='($5 == "GLOBAL" || $5 == "WEAK" || $5 == "UNIQUE") &&
  $7 != "UND" && $7 != "ABS" && $8 !~ /^__/'

shared_names="the shared library exports what the version script says"
shared_soname="its soname follows from -version-info"
shared_needed="it needs libuv and libc, and nothing else"
shared_nodelete="it is marked as never to be unloaded"
shared_program="a program that uses dlopen() compiles"
shared_dlclose="its code is there after dlclose()"
if test -e "$so"; then
  "$READELF" --dyn-syms -W "$so" >"$tmp/dynsyms"
  awk "$defined { print \$8 }" "$tmp/dynsyms" | sort >"$tmp/so"
  same "$shared_names" "$tmp/map" "$tmp/so"

  "$READELF" -d -W "$so" >"$tmp/dynamic"
  sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p' "$tmp/dynamic" >"$tmp/soname"
  # current:revision:age becomes .so.(current - age).
  sed -n 's/.*\[UVSIG_LTVERSION\], *\[\([0-9:]*\)\].*/\1/p' \
    "$srcdir/configure.ac" |
    awk -F: '{ print "libuvsig.so." $1 - $3 }' >"$tmp/soname.wanted"
  same "$shared_soname" "$tmp/soname.wanted" "$tmp/soname"

  # Before glibc 2.34 threads were in a library of their own. A sanitizer brings
  # its runtime, and names what that needs.
  libc='lib(c|pthread)\.so\.[0-9.]+|libc\.musl-.*|ld-.*'
  if test -n "$SANITIZER"; then
    libc="$libc|lib([a-z]+san|m|rt|dl|gcc_s|resolv)\.so\.[0-9]+"
  fi
  sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' "$tmp/dynamic" |
    grep -Evx "$libc" | sort >"$tmp/needed"
  echo libuv.so.1 >"$tmp/needed.wanted"
  same "$shared_needed" "$tmp/needed.wanted" "$tmp/needed"

  check "$shared_nodelete" grep -E 'FLAGS_1.*NODELETE' "$tmp/dynamic"

  cat >"$tmp/dlclose.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  union {
    void* object;
    unsigned (*function)(void);
  } version;
  void* library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;

  if (library == NULL)
    return fprintf(stderr, "%s\n", dlerror()), 1;
  version.object = dlsym(library, "uvsig_version");
  if (version.object == NULL || dlclose(library) != 0)
    return fprintf(stderr, "%s\n", dlerror()), 1;
  /* Still loaded, and so callable: without the flag this is a crash. */
  if (dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL)
    return fprintf(stderr, "unloaded\n"), 1;
  return version.function() == 0;
}
END
  # The compiler is a list of words: it may be "gcc -m32".
  # shellcheck disable=SC2086
  check "$shared_program" $CC ${SANITIZER:+-fsanitize=$SANITIZER} \
    -o "$tmp/dlclose" "$tmp/dlclose.c" -ldl
  check "$shared_dlclose" "$tmp/dlclose" "./$so"
else
  for name in "$shared_names" "$shared_soname" "$shared_needed" \
    "$shared_nodelete" "$shared_program" "$shared_dlclose"; do
    skip "$name" "no shared library: --disable-shared"
  done
fi

static_public="the static library shows the public names and no others"
static_hidden="its internal names are hidden, and begin with uvsig__"
if test -e "$ar"; then
  "$READELF" -s -W "$ar" >"$tmp/syms"
  awk "$defined && \$6 == \"DEFAULT\" { print \$8 }" "$tmp/syms" |
    sort >"$tmp/public"
  same "$static_public" "$tmp/names" "$tmp/public"
  awk "$defined && \$6 != \"DEFAULT\" &&
    (\$6 != \"HIDDEN\" || \$8 !~ /^uvsig__/)" "$tmp/syms" >"$tmp/foreign"
  same "$static_hidden" /dev/null "$tmp/foreign"
else
  skip "$static_public" "no static library: --disable-static"
  skip "$static_hidden" "no static library: --disable-static"
fi

finish
