#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Another libc: musl. The whole library is compiled for it, and what needs no
# libuv is run, as a static program. The rest cannot be linked where there is no
# libuv that was built for musl, as on Debian: libuv's own code uses glibc's.
#
# Environment: MUSL_GCC, and what tap.sh has.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

MUSL_GCC=${MUSL_GCC:-musl-gcc}
configured="configure takes $MUSL_GCC"
compiled="the whole library compiles without a warning"
linked="what needs no libuv links without it"
passed="it does what it should"

if ! command -v "$MUSL_GCC" >/dev/null 2>&1; then
  for name in "$configured" "$compiled" "$linked" "$passed"; do
    skip "$name" "no $MUSL_GCC: install musl-tools, or set MUSL_GCC"
  done
  finish
fi

# libuv's headers, without the rest of the directory that they are in: that has
# the other libc's.
mkdir "$tmp/uv"
include=$($PKG_CONFIG --variable=includedir libuv)
ln -s "$include/uv.h" "$include/uv" "$tmp/uv"

link_source
mkdir "$tmp/build"
cd "$tmp/build" || exit 1
# Each function by itself, for the linker to take those alone that are called.
check "$configured" "$tmp/src/configure" -q --enable-werror --disable-shared \
  --disable-tests --without-microhttpd --without-libwebsockets \
  CC="$MUSL_GCC" CFLAGS="-g -O2 -ffunction-sections -fdata-sections" \
  UV_CFLAGS="-isystem $tmp/uv" UV_LIBS=" "
check "$compiled" "$MAKE" -s libuvsig.la
check "$linked" "$MUSL_GCC" -std=gnu11 -static -Wl,--gc-sections \
  -isystem "$tmp/uv" -I"$srcdir/include" -o program \
  "$srcdir/test/scripts/musl.c" .libs/libuvsig.a
check "$passed" ./program

finish
