#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The library as it is on systems that have less, such as macOS, the BSDs and
# Android: each of its files is compiled with a config.h that lacks what
# configure looks for, and with less.h, which takes the rest out of this system's
# headers. The tests of this build run with that library. Where the library says
# that it cannot, less.c asks it.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

less='DUP3|GETCONTEXT|LINUX_SOCKIOS_H|SIGQUEUE|SIGTIMEDWAIT|SYS_SIGNALFD_H'
less="$less|SYS_SYSCALL_H|THREAD_POINTER|TIMER_CREATE"
build=$(pwd)
mkdir "$tmp/build"
sed -E "/^#define HAVE_($less) /d
  s/^(#define HAVE_DECL_PTHREAD_SETCANCELSTATE) .*/\1 0/" \
  config.h >"$tmp/build/config.h"
check "config.h has none of them" \
  sh -c "! grep -qE 'define HAVE_($less) |CANCELSTATE 1' '$tmp/build/config.h'"
cd "$tmp/build" || exit 1

compile() { # arguments
  # Compiler and flags are lists of words.
  # shellcheck disable=SC2046,SC2086
  $CC -std=gnu11 -pthread -g -O1 -Wall -Wextra -Werror -I. \
    -I"$srcdir/include" -I"$srcdir/lib" $($PKG_CONFIG --cflags libuv) "$@"
}

compile_library() {
  for file in "$srcdir"/lib/*.c "$srcdir"/lib/posix/*.c \
    "$srcdir"/lib/shutdown/*.c; do
    compile -include "$srcdir/test/scripts/less.h" -c "$file" || return 1
  done
}
check "every file of lib/ builds without a warning" compile_library
${AR:-ar} rcs library.a ./*.o

# It may be a list of words, such as "nm -B".
# shellcheck disable=SC2086
${NM:-nm} library.a >"$tmp/symbols"
check "its symbols can be read" grep -q 'T uvsig_sigtimedwait' "$tmp/symbols"
calls='U (accept4|dup3|getcontext|pidfd_send_signal|pipe2|pthread_setcancel.*'
calls="$calls|signalfd|sigqueue|sigtimedwait|sigwaitinfo|syscall|timer_.*)"
grep -wE "$calls" "$tmp/symbols" >"$tmp/foreign"
same "it calls nothing of what there is not" /dev/null "$tmp/foreign"

# --- What it says ---------------------------------------------------------------

link() { # object or source, further files
  # shellcheck disable=SC2046
  compile -o program "$@" library.a $($PKG_CONFIG --libs cmocka libuv)
}

# FreeBSD's and OpenBSD's SIGTHR is in a full signal set. 32-bit Android's
# SIGRTMIN is beyond what a set can hold.
reserved=50
compile -include "$srcdir/test/scripts/less.h" -DSIGTHR=$reserved \
  -c -o signum-reserved.o "$srcdir/lib/signum.c"
compile -include "$srcdir/test/scripts/less.h" -DLESS_SIGRTMIN=100 \
  -c -o names-beyond.o "$srcdir/lib/names.c"
check "what says what there is not builds" link -DRESERVED=$reserved \
  "$srcdir/test/scripts/less.c" signum-reserved.o
check "what there is not is said, without SIGRTMIN" ./program
check "the same builds for a SIGRTMIN that is no valid number" link \
  -DRESERVED=$reserved "$srcdir/test/scripts/less.c" signum-reserved.o \
  names-beyond.o
check "what there is not is said, with such a SIGRTMIN" ./program

# --- What it does ---------------------------------------------------------------

# Tests of this system alone: the list says what each needs.
export TEST_SKIPS="$srcdir/test/scripts/less.skips"
export TEST_SCALE="${TEST_SCALE:-30}"
for test in core/close core/fork core/handler core/mask core/previous \
  core/share core/signalfd core/uv-signal core/wait core/watcher \
  core/wakeup-fd posix/exec posix/itimer posix/send posix/sigwait \
  shutdown/connection shutdown/end shutdown/linger shutdown/notify; do
  check "test/$test links with it" link "$build/test/$test.o" \
    "$build/test/lib/libharness.a"
  check "test/$test passes" ./program
done
# A test of another name would not be skipped any more.
sed '/^#/d; s/^[^ ]* //' "$srcdir/tools/systems.skips" |
  cat - "$TEST_SKIPS" | cut -d ' ' -f 1 | sort -u >"$tmp/listed"
sed -n 's/.*TEST(\([a-z0-9_]*\)).*/\1/p' "$srcdir"/test/*/*.c | sort -u |
  comm -23 "$tmp/listed" - >"$tmp/unknown"
check "tests are listed as what is skipped elsewhere" test -s "$tmp/listed"
same "each of them is there" /dev/null "$tmp/unknown"

# One line of those tests says how many there are.
link "$build/test/core/signalfd.o" "$build/test/lib/libharness.a"
./program >"$tmp/skipped" 2>&1
check "every test of signalfd() is skipped without it" \
  test "$(grep -c 'SKIP' "$tmp/skipped")" = "$(sed -n 's/^1\.\.//p' "$tmp/skipped")"

finish
