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
Ubuntu), libuv-devel (Fedora) or libuv-dev (Alpine). pkg-config says: "
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

# --- A build for another processor, and one without pkg-config -------------------

# Each is over soon: with an error, or with that of an option which is looked at
# after libuv.
past_libuv="--with-sanitizer needs a list"
cp "$($PKG_CONFIG --variable=pcfiledir libuv)/libuv.pc" "$tmp/pc"
mv "$tmp/cache" "$tmp/cache.native"

# A sysroot has the target's libuv: all that the test needs of it.
sysroot() { # directory, compiler...
  dir=$1
  shift
  mkdir -p "$dir/lib/pkgconfig"
  echo 'unsigned uv_version(void); unsigned uv_version(void) { return 1; }' \
    >"$dir/uv.c"
  "$@" -shared -fPIC -o "$dir/lib/libuv.so" "$dir/uv.c" || return
  {
    echo "Name: libuv"
    echo "Description: the target's"
    echo "Version: 1.44.2"
    echo "Libs: -L$dir/lib -luv"
    echo "Cflags: $($PKG_CONFIG --cflags libuv)"
  } >"$dir/lib/pkgconfig/libuv.pc"
}

# cross NAME HOST DEBIAN'S COMPILER: what configure does with it.
cross() {
  what=$1
  host=$2
  packages="install libuv1-dev:$3 (Debian, Ubuntu), libuv-devel (Fedora) or \
libuv-dev (Alpine) for "
  compiler=$4
  rm -f "$tmp/cache"
  check "$what: a libuv for the target" sysroot "$tmp/$what" "$compiler"
  set -- CC="$compiler" --build="$build" --host="$host" \
    PKG_CONFIG="$PKG_CONFIG" --disable-tests --with-sanitizer
  fails "$what, the build machine's libuv" "$compiler does not link with the \
libuv that $PKG_CONFIG finds, which may be for another system: $packages" "$@"
  fails "$what, the target's libuv" "$past_libuv" "$@" \
    PKG_CONFIG_LIBDIR="$tmp/$what/lib/pkgconfig"
  says "$what, the target's libuv: it links" "links with libuv... yes"
  fails "$what, UV_LIBS" "$past_libuv" "$@" UV_CFLAGS=-I. UV_LIBS=libuv.la
  mv "$tmp/pc/libuv.pc" "$tmp"
  fails "$what, no libuv" "libuv 1.41 or later is missing: $packages" "$@"
  mv "$tmp/libuv.pc" "$tmp/pc"
}

build=$("$srcdir/build-aux/config.guess")
# Two compilers that have no libuv but that of a sysroot. The second one knows what
# it compiles for, as gcc -m32 does.
fake() { # its name, what it says to -print-multiarch
  cat >"$tmp/$1-cc" <<END
#!/bin/sh
case " \$* " in
  *" -print-multiarch "*) $2 ;;
  *" -L$tmp/$1/lib "*"-luv "*) ;;
  *" -luv "*) echo "skipping incompatible libuv.so" >&2; exit 1 ;;
esac
exec $CC "\$@"
END
  chmod +x "$tmp/$1-cc"
}
fake other "exit 1"
fake m32 "echo i386-linux-gnu; exit"
case $build in
  s390x-*) cross other aarch64-linux-gnu arm64 "$tmp/other-cc" ;;
  *) cross other s390x-linux-gnu s390x "$tmp/other-cc" ;;
esac

case $build in
  aarch64-*) skip "aarch64" "this is one, and no cross build" ;;
  *)
    if command -v aarch64-linux-gnu-gcc >/dev/null; then
      cross aarch64 aarch64-linux-gnu arm64 aarch64-linux-gnu-gcc
    else
      skip "aarch64" "there is no aarch64-linux-gnu-gcc"
    fi
    ;;
esac

rm -f "$tmp/cache"
fails "no --host, and no libuv" "$tmp/m32-cc does not link with the libuv that \
$PKG_CONFIG finds, which may be for another system: install libuv1-dev:i386 \
(Debian, Ubuntu), libuv-devel (Fedora) or libuv-dev (Alpine) for i386-linux-gnu" \
  --disable-tests CC="$tmp/m32-cc" PKG_CONFIG="$PKG_CONFIG"

# All programs but pkg-config.
rm -f "$tmp/cache"
mkdir "$tmp/bin"
echo "$PATH" | tr : '\n' | while read -r dir; do
  find -L "$dir" -maxdepth 1 -type f ! -name '*pkg-config*' ! -name '*pkgconf*' \
    -exec ln -s -t "$tmp/bin" {} + 2>/dev/null
done
without_pkg_config="pkg-config 0.27 or later is missing: install pkg-config \
(Debian, Ubuntu) or pkgconf (Fedora, Alpine), set PKG_CONFIG to where it is, or \
do without it and set"
all_programs=$PATH
PATH=$tmp/bin
unset PKG_CONFIG
fails "no pkg-config" "$without_pkg_config UV_CFLAGS and UV_LIBS" --disable-tests
fails "no pkg-config, for cmocka" "$without_pkg_config CMOCKA_CFLAGS and \
CMOCKA_LIBS" UV_CFLAGS=-I. UV_LIBS=-luv
fails "no pkg-config, and it does without" "$past_libuv" --disable-tests \
  --with-sanitizer UV_CFLAGS=-I. UV_LIBS=-luv
PATH=$all_programs

finish
