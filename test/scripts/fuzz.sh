#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Coverage-guided fuzzing of what takes bytes from outside: libFuzzer, with the
# address, leak and undefined behaviour sanitizers. Each test/fuzz/TARGET.c is run
# over its seeds, test/fuzz/corpus/TARGET/, and then over what libFuzzer makes of
# them. A finding is left in the build directory, fuzz-finding-TARGET-*; to see it
# again, add it to the seeds.
#
# Environment, beside what tap.sh has:
#   FUZZ_SECONDS  how long each target looks for more (1)
#   FUZZ_ONLY     the targets, instead of all
#   FUZZ_CORPUS   a folder that keeps what is interesting from one run to the next
#   FUZZ_PLANTS   if it is set, plant known bugs, see that they are found, and do
#                 nothing else
#   FUZZ_CC       a compiler that has -fsanitize=fuzzer (clang)

. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

FUZZ_CC=${FUZZ_CC:-clang}
FUZZ_SECONDS=${FUZZ_SECONDS:-1}
targets=${FUZZ_ONLY:-daemon-config decode environment http-path listen-fds \
ready signal-number wakeup}
here=$(pwd)
corpus=${FUZZ_CORPUS:-$tmp/corpus}
mkdir -p "$corpus"
corpus=$(cd "$corpus" && pwd)
findings=$here/fuzz-finding

checks=address,undefined
common="-std=gnu11 -pthread -g -O1 -Wall -Wextra -Werror -fno-omit-frame-pointer \
-fno-sanitize-recover=all"
# What to run the programs with: see sanitizer_runs in tools/check.
wrapper=

# --- Can it be done here? -------------------------------------------------------

skip_all() {
  echo "1..0 # SKIP $1"
  exit 0
}

cat >"$tmp/try.c" <<'EOF'
#include <stddef.h>
int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
  (void) data;
  (void) size;
  return 0;
}
EOF
command -v "$FUZZ_CC" >/dev/null 2>&1 || skip_all "there is no $FUZZ_CC"
"$FUZZ_CC" -fsanitize="fuzzer,$checks" -o "$tmp/try" "$tmp/try.c" \
  >/dev/null 2>&1 || skip_all "$FUZZ_CC has no -fsanitize=fuzzer,$checks"
for _ in 1 2 3 4 5; do
  if ! "$tmp/try" -runs=0 >/dev/null 2>&1; then
    wrapper="setarch $(uname -m) -R"
    $wrapper "$tmp/try" -runs=0 >/dev/null 2>&1 ||
      skip_all "programs with -fsanitize=fuzzer,$checks do not run"
    break
  fi
done

# --- Building -------------------------------------------------------------------

# Of a copy, in which bugs can be planted, and with a config.h that has nothing
# which only the other compiler knows.
tree=$tmp/tree
mkdir -p "$tree/test" "$tmp/objects"
cp -R "$srcdir/lib" "$srcdir/include" "$srcdir/examples" "$tree"
cp -R "$srcdir/test/fuzz" "$tree/test"
chmod -R u+w "$tree"
sed '/HAVE_THREAD_POINTER/d' config.h >"$tmp/objects/config.h"
cd "$tmp/objects" || exit 1
common="$common -I$tmp/objects -I$tree/include -I$tree/lib -I$tree/examples \
$($PKG_CONFIG --cflags libuv)"
libs=$($PKG_CONFIG --libs libuv)

# compile FILE...: an object each, here.
compile() {
  # shellcheck disable=SC2086 # lists of words
  $FUZZ_CC $common -fsanitize="fuzzer-no-link,$checks" -c "$@"
}

# The core, and what is parsed. A program has of it what it uses.
compile_all() {
  compile "$tree"/lib/*.c "$tree/lib/posix/itimer.c" \
    "$tree/lib/shutdown/environment.c" "$tree/lib/shutdown/listen-fds.c" \
    "$tree/lib/shutdown/ready.c" "$tree/examples/daemon-config.c" &&
    ar rc "$tmp/parsed.a" ./*.o
}

# link TARGET
link() {
  flags=
  if test "$1" = http-path; then
    flags=$($PKG_CONFIG --cflags libmicrohttpd) || return
  fi
  # shellcheck disable=SC2086
  $FUZZ_CC $common $flags -fsanitize="fuzzer,$checks" -o "$tmp/$1" \
    "$tree/test/fuzz/$1.c" "$tmp/parsed.a" $libs
}

# --- Running --------------------------------------------------------------------

# In a folder of its own: http-path makes files.
# shellcheck disable=SC2086
run() { # TARGET ARGUMENT...
  target=$1
  shift
  mkdir -p "$tmp/in-$target"
  (cd "$tmp/in-$target" && exec $wrapper "$tmp/$target" -timeout=300 \
    -artifact_prefix="$findings-$target-" "$@") >"$tmp/log" 2>&1
}

show_log() {
  tail -n 60 "$tmp/log"
  return 1
}

seeds_pass() {
  run "$1" "$srcdir/test/fuzz/corpus/$1"/* || show_log
}

nothing_is_found() {
  mkdir -p "$corpus/$1"
  run "$1" -max_total_time="$FUZZ_SECONDS" -print_final_stats=1 \
    "$corpus/$1" "$srcdir/test/fuzz/corpus/$1" || show_log
}

fuzz() {
  check "$1: the target builds" link "$1"
  check "$1: the seeds pass" seeds_pass "$1"
  check "$1: nothing is found in $FUZZ_SECONDS s" nothing_is_found "$1"
  sed -n 's/^stat::number_of_executed_units: */# executions: /p
    s/^stat::average_exec_per_sec: */# a second: /p' "$tmp/log"
}

# --- Bugs that must be found ----------------------------------------------------

# is_found TARGET FILE SED-COMMAND
is_found() {
  cp "$tree/$2" "$tmp/original"
  sed "$3" "$tmp/original" >"$tree/$2"
  if cmp -s "$tmp/original" "$tree/$2"; then
    because "$2 has nothing to plant it in"
    return
  fi
  result=0
  compile_planted "$1" "$2" && link "$1" && is_noticed "$1" || result=1
  cp "$tmp/original" "$tree/$2"
  compile_planted "$1" "$2"
  return $result
}

# http-path.c includes its file.
compile_planted() {
  test "$2" = examples/http-server.c ||
    { compile -w "$tree/$2" && ar r "$tmp/parsed.a" "$(basename "$2" .c).o"; }
}

is_noticed() {
  findings=$tmp/planted
  mkdir -p "$tmp/planted-$1"
  if run "$1" -max_total_time="$FUZZ_SECONDS" \
    "$tmp/planted-$1" "$srcdir/test/fuzz/corpus/$1"; then
    return 1
  fi
  grep -E 'not true: |^SUMMARY: ' "$tmp/log" | head -n 1
}

plant_all() {
  while IFS='|' read -r target file command; do
    case " $targets " in *" $target "*) ;; *) continue ;; esac
    check "$target: found: $command" is_found "$target" "$file" "$command"
  done <<'EOF'
decode|lib/wakeup-fd.c|s/for (; size > 0; size--, at++)/for (; size > 1; size--, at++)/
decode|lib/wakeup-fd.c|s/if (!uvsig__is_valid(\*at))/if (*at > UVSIG_NSIG)/
decode|lib/wakeup-fd.c|s/memset(counts, 0, UVSIG_NSIG/memset(counts, 0, (UVSIG_NSIG - 1)/
signal-number|lib/names.c|s/n > SIGRTMAX - SIGRTMIN)/n > SIGRTMAX - SIGRTMIN + 1)/
signal-number|lib/names.c|s/ || value > INT_MAX .*)/)/
signal-number|lib/names.c|s/rest != NULL && \*rest == .*)/rest != NULL)/
signal-number|lib/names.c|s/c <= 'z'/c < 'z'/
listen-fds|lib/shutdown/listen-fds.c|s/if (count > size)/if (count > size + 1)/
listen-fds|lib/shutdown/listen-fds.c|/check_fd(FIRST/s/FIRST + i/FIRST + i \/ 2/
listen-fds|lib/shutdown/listen-fds.c|s/end + 1 : NULL/end : NULL/
listen-fds|lib/shutdown/listen-fds.c|s/ || pid != .*)/)/
listen-fds|lib/shutdown/listen-fds.c|s/^  unsetenv("LISTEN_FDNAMES");//
listen-fds|lib/shutdown/listen-fds.c|s/count > INT_MAX - FIRST/count > UINT64_MAX - FIRST/
listen-fds|lib/shutdown/listen-fds.c|s/count > 0 ? getenv/count >= 0 ? getenv/
environment|lib/shutdown/environment.c|s/if (size > sizeof(/if (size > 1 + sizeof(/
environment|lib/shutdown/environment.c|s/  name\[size\] = 0/  name[size + 1] = 0/
environment|lib/shutdown/environment.c|s/if (size < 2 ||/if (size < 1 ||/
environment|lib/shutdown/environment.c|s/ || us == UINT64_MAX)/)/
environment|lib/shutdown/environment.c|s/  return \*end == 0;/  return end != text;/
environment|lib/shutdown/environment.c|s/    unsetenv("UVSIG_NOTIFY_SOCKET");//
ready|lib/shutdown/ready.c|s/sizeof(text) - 1}/sizeof(text)}/
ready|lib/shutdown/ready.c|s/ == 0 && !is_cut)/ == 0)/
ready|lib/shutdown/ready.c|s/sender.pid == pid/sender.pid != 0/
ready|lib/shutdown/ready.c|s/text, line, length) == 0/text, line, length - 1) == 0/
wakeup|lib/dispatch.c|s/- overflow) > 0/- overflow) >= 0/
wakeup|lib/dispatch.c|s/account.stale > 0/account.stale > 1/
wakeup|lib/dispatch.c|s/byte < UVSIG_NSIG/byte <= UVSIG_NSIG + 1/
wakeup|lib/dispatch.c|s/^    hub->junk++;//
wakeup|lib/source.c|s/stale += pending - taken/stale += pending/
wakeup|lib/deliver.c|s/account.taken -= count - singles/account.taken -= count/
daemon-config|examples/daemon-config.c|s/%63/%64/
daemon-config|examples/daemon-config.c|s/ || value > UINT_MAX)/)/
daemon-config|examples/daemon-config.c|s/err == 0 && config->interval_ms == 0/0/
daemon-config|examples/daemon-config.c|s/ != length)/ > length)/
http-path|examples/http-server.c|s/ | O_NOFOLLOW//
http-path|examples/http-server.c|s/ && strchr(name, '.') == NULL//
http-path|examples/http-server.c|s/ && S_ISREG(st.st_mode)//
http-path|examples/http-server.c|s/^    close(fd);/;/
EOF
}

check "what is parsed builds" compile_all
if test -n "${FUZZ_PLANTS-}"; then
  plant_all
  finish
fi
for target in $targets; do
  if test "$target" = http-path && ! $PKG_CONFIG --exists libmicrohttpd; then
    skip "http-path" "libmicrohttpd is missing: install libmicrohttpd-dev"
    continue
  fi
  fuzz "$target"
done

finish
