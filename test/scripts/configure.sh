#!/bin/sh
# SPDX-License-Identifier: MIT
#
# configure, when something is missing: it fails and says what to install or
# which option does without; and what it leaves to the user, CFLAGS, is left.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

mkdir "$tmp/pc"
link_source

# The first run fills the cache for the others; its variables must then stay the
# same, so what pkg-config finds changes with the directory's contents.
configure() {
  rm -rf "$tmp/build"
  mkdir "$tmp/build"
  (cd "$tmp/build" &&
    "$tmp/src/configure" --cache-file="$tmp/cache" \
      CC="$CC" CFLAGS=-O1 PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR="$tmp/pc" \
      "$@") </dev/null >"$tmp/out" 2>&1
}

# The whole output on one line, since messages are wrapped.
says() {
  tr -s '[:space:]' ' ' <"$tmp/out" >"$tmp/line"
  if grep -Fq "$2" "$tmp/line"; then
    pass "$1"
  else
    { echo "wanted: $2"; tail -n 5 "$tmp/out"; } >"$tmp/why"
    fail "$1" "$tmp/why"
  fi
}

# fails NAME MESSAGE OPTIONS...
fails() {
  name=$1
  message=$2
  shift 2
  if configure "$@"; then
    fail "$name: it fails" "$tmp/out"
  else
    pass "$name: it fails"
  fi
  says "$name: it says what to do" "configure: error: $message"
}

uv_message="libuv 1.41 or later is missing: install libuv1-dev (Debian, \
Ubuntu) or libuv-devel (Fedora). pkg-config says: "
cmocka_message="cmocka 1.1.5 or later is missing: install libcmocka-dev \
(Debian, Ubuntu) or libcmocka-devel (Fedora), or do without the tests: \
--disable-tests. pkg-config says: "
microhttpd_message="libmicrohttpd 0.9.71 or later is missing: install \
libmicrohttpd-dev (Debian, Ubuntu) or libmicrohttpd-devel (Fedora), or do \
without the http-server example: --without-microhttpd. pkg-config says: "
libwebsockets_message="libwebsockets 4.1 or later with libuv is missing: \
install libwebsockets-dev (Debian, Ubuntu) or libwebsockets-devel (Fedora), or \
do without the websocket-server example: --without-libwebsockets. pkg-config \
says: "

cp "$($PKG_CONFIG --variable=pcfiledir libuv)/libuv.pc" "$tmp/pc" ||
  fail "pkg-config names libuv's directory"

# With libuv alone.
if configure --disable-tests --enable-werror; then
  pass "libuv is enough for --disable-tests"
else
  fail "libuv is enough for --disable-tests" "$tmp/out"
fi
says "without libmicrohttpd it says that the http-server is left out" \
  "the http-server example is left out: it needs libmicrohttpd \
(libmicrohttpd-dev)"
says "without libwebsockets it says that the websocket-server is left out" \
  "the websocket-server example is left out: it needs libwebsockets with libuv \
(libwebsockets-dev)"
says "with --disable-tests it says that the tests are left out" \
  "the tests are left out: --disable-tests"
configure --disable-tests \
  ac_cv_search_timer_create=no >/dev/null
says "without timer_create() it says what is lost" \
  "this system has no timer_create(): the limit of a shutdown does not hold \
while the loop is stuck before it has begun the shutdown"
grep '^CFLAGS *=' "$tmp/build/Makefile" >"$tmp/cflags"
echo "CFLAGS = -O1" >"$tmp/cflags.wanted"
same "the user's CFLAGS are untouched" "$tmp/cflags.wanted" "$tmp/cflags"

fails "no cmocka" "$cmocka_message"
fails "no room in siginfo_t" "this system is not supported: its siginfo_t has \
no unused room behind si_value, by which handlers that call each other are told \
apart" --disable-tests uvsig_cv_siginfo_room=no
fails "no static library" "the tests need the static library: do without \
--disable-static, or without the tests: --disable-tests" --disable-static
fails "no libmicrohttpd, and it is asked for" "$microhttpd_message" \
  --disable-tests --with-microhttpd
fails "no libwebsockets, and it is asked for" "$libwebsockets_message" \
  --disable-tests --with-libwebsockets
fails "--with-sanitizer without a list" \
  "--with-sanitizer needs a list, such as address,undefined" \
  --disable-tests --with-sanitizer
fails "--with-sanitizer of what there is not" \
  "$CC does not link with -fsanitize=no-such-thing" \
  --disable-tests --with-sanitizer=no-such-thing

sed 's/^Version:.*/Version: 1.40.9/' "$tmp/pc/libuv.pc" >"$tmp/old.pc"
mv "$tmp/old.pc" "$tmp/pc/libuv.pc"
fails "an old libuv" "$uv_message" --disable-tests
rm "$tmp/pc/libuv.pc"
fails "no libuv" "$uv_message" --disable-tests

finish
