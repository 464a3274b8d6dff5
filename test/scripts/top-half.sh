#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What runs in signal context is in a few object files: the handler, what was
# there before it, what a shutdown does there, and the lines that it prints. They may refer to nothing but
# what is async-signal-safe.
#
# Environment: NM, and what tap.sh has.

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

# POSIX.1-2017, 2.4.3, has these in its table.
posix="_exit clock_gettime close fstat getpid memcpy memset open poll
pthread_sigmask raise send sigaction sigaddset sigemptyset sigismember sigpending
strlen timer_settime write"
# These are not in it. uv_async_send(): libuv's manual says so.
# pthread_setcancelstate() and pthread_setcanceltype(): glibc's manual says
# AS-Safe. syscall(): the system call and nothing else. What
# pthread_cleanup_push() is made of sets fields of the thread.
others="pthread_setcancelstate pthread_setcanceltype syscall uv_async_send
_pthread_cleanup_push _pthread_cleanup_pop"
# errno is async-signal-safe by the same text; each libc calls it something else.
errno="__errno_location __errno ___errno __error"
# What the library has in common with it.
ours="uvsig__shared uvsig__info_set uvsig__called uvsig__is_deadly
uvsig__installed uvsig__chain uvsig__forward uvsig__pass_fault uvsig__discard
uvsig__print"

find lib -name '*handler.o' -o -name '*-previous.o' -o -name '*escalate.o' -o \
  -name '*-info.o' -o -name '*-output.o' |
  sort >"$tmp/objects"
check "there is an object file of it" grep -q 'handler.o$' "$tmp/objects"
check "there is one of what a shutdown does" \
  grep -q 'escalate.o$' "$tmp/objects"

words() {
  printf '%s\n' "$@"
}

# undefined FILE: nm may be a list of words, such as "nm -B". With _FORTIFY_SOURCE,
# which packages are built with, memcpy() is __memcpy_chk(): it looks at the size,
# and ends the process where it would be overrun.
undefined() {
  # shellcheck disable=SC2086
  ${NM:-nm} -u "$1" | awk '{ print $NF }' | sed -E 's/^__([a-z]+)_chk$/\1/'
}

# What compilers, sanitizers and coverage refer to by themselves begins with two
# underscores, but for one name of the linker's.
# shellcheck disable=SC2086
while read -r object; do
  undefined "$object" |
    grep -vxF -e "_GLOBAL_OFFSET_TABLE_" | grep -v '^__' |
    grep -vxF "$(words $posix $others $ours)" >"$tmp/found"
  undefined "$object" | grep '^__' |
    grep -vE '^__(asan|ubsan|tsan|sanitizer|gcov|llvm|stack_chk)' |
    grep -vE '^__(pthread_(un)?register_cancel|pthread_unwind_next|sigsetjmp)$' |
    grep -vxF "$(words $errno)" >>"$tmp/found"
  same "$object refers to nothing else" /dev/null "$tmp/found"
  case $object in *-info.o | *-previous.o) continue ;; esac
  undefined "$object" | grep -xE 'syscall|write|send|_exit' >"$tmp/used"
  check "$object is the one that acts" test -s "$tmp/used"
done <"$tmp/objects"

finish
