#!/bin/sh
# SPDX-License-Identifier: MIT
#
# uvsig-python(7): has everything in Python's signal module a row, and is what
# the row names there? TAP on standard output.
#
# Environment: AWK, and what tap.sh has.

# shellcheck disable=SC2016 # awk's own variables
# shellcheck source=test/lib/tap.sh
. "${srcdir:-$(dirname "$0")/../..}/test/lib/tap.sh"

AWK=${AWK:-awk}

page=$srcdir/man/uvsig-python.7
map=$srcdir/lib/libuvsig.map

# nothing NAME: what has been written to $tmp/out are the complaints.
nothing() {
  same "$1" /dev/null "$tmp/out"
}

# --- What Python has ------------------------------------------------------

# Typed from the reference of the module for Python 3.11: its functions,
# constants, enums, exceptions and sections, with signals and exceptions that it
# only mentions. The module also has default_int_handler and struct_siginfo.
sort > "$tmp/wanted" << 'END'
Fn alarm
Fn default_int_handler
Fn getitimer
Fn getsignal
Fn pause
Fn pidfd_send_signal
Fn pthread_kill
Fn pthread_sigmask
Fn raise_signal
Fn set_wakeup_fd
Fn setitimer
Fn siginterrupt
Fn signal
Fn sigpending
Fn sigtimedwait
Fn sigwait
Fn sigwaitinfo
Fn strsignal
Fn valid_signals
Dv SIG_DFL
Dv SIG_IGN
Dv SIGABRT
Dv SIGALRM
Dv SIGBREAK
Dv SIGBUS
Dv SIGCHLD
Dv SIGCLD
Dv SIGCONT
Dv SIGFPE
Dv SIGHUP
Dv SIGILL
Dv SIGINT
Dv SIGKILL
Dv SIGPIPE
Dv SIGPROF
Dv SIGQUIT
Dv SIGSEGV
Dv SIGSTKFLT
Dv SIGSTOP
Dv SIGTERM
Dv SIGUSR1
Dv SIGUSR2
Dv SIGVTALRM
Dv SIGWINCH
Dv SIG*
Dv CTRL_C_EVENT
Dv CTRL_BREAK_EVENT
Dv NSIG
Dv ITIMER_REAL
Dv ITIMER_VIRTUAL
Dv ITIMER_PROF
Dv SIG_BLOCK
Dv SIG_UNBLOCK
Dv SIG_SETMASK
Vt Signals
Vt Handlers
Vt Sigmasks
Vt struct_siginfo
Vt ItimerError
Vt KeyboardInterrupt
Vt InterruptedError
Vt BrokenPipeError
Vt OSError
Vt ValueError
Vt AttributeError
Em General rules
Em WebAssembly
Em Windows
Em Execution of Python signal handlers
Em Signals and threads
Em Examples
Em Note on SIGPIPE
Em Note on Signal Handlers and Exceptions
END

# What no C program on Unix has.
sort > "$tmp/wanted-none" << 'END'
Dv SIGBREAK
Dv CTRL_C_EVENT
Dv CTRL_BREAK_EVENT
Em WebAssembly
Em Windows
END

# --- What the page says ---------------------------------------------------

# A line for each row of the tables, which are the subsections: its name, its
# first sentence, which is the counterpart, and the text after that.
$AWK '
  function emit() {
    if (name != "") print name "|" counterpart "|" text
    name = ""
  }
  /^\.\\"/ { next }
  /^\.S[hs] / { emit(); on = ($1 == ".Ss"); next }
  !on { next }
  $1 == ".It" {
    emit()
    name = substr($0, 5)
    counterpart = text = ""
    in_counterpart = 1
    next
  }
  /^\.[BE]l/ || name == "" { next }
  in_counterpart {
    counterpart = counterpart (counterpart == "" ? "" : " ") $0
    if (/\.$/) in_counterpart = 0
    next
  }
  { text = text (text == "" ? "" : " ") $0 }
' "$page" > "$tmp/rows"

cut -d '|' -f 1 "$tmp/rows" | sort > "$tmp/names"
same "each thing in Python's module has one row, and nothing else has" \
  "$tmp/wanted" "$tmp/names"

# What is named in the counterparts: the row, a macro and two arguments a line.
$AWK -F '|' '
  {
    n = split($2, word, " ")
    for (i = 1; i < n; i++)
      if (word[i] ~ /^\.(Xr|Dv|Er|Vt|Pa)$/)
        print $1 "|" word[i] "|" word[i + 1] "|" word[i + 2]
  }
' "$tmp/rows" > "$tmp/named"

$AWK -F '|' '
  FILENAME == ARGV[1] { named[$1] = 1; next }
  !($1 in named) && $2 !~ /^None: / { print $1 }
' "$tmp/named" "$tmp/rows" > "$tmp/out"
nothing "every row has a counterpart or says None"

grep '^[^|]*|None: ' "$tmp/rows" | cut -d '|' -f 1 | sort > "$tmp/none"
same "None is what Unix does not have" "$tmp/wanted-none" "$tmp/none"

# Four words: "Watch SIGINT and SIGQUIT" would do.
$AWK -F '|' 'split($3, word, " ") < 4 { print $1 ": " $3 }' "$tmp/rows" \
  > "$tmp/out"
nothing "every row says more: what differs, or what to do instead"

# --- Is it there? ---------------------------------------------------------

$AWK -F '|' '$2 == ".Xr" && $4 == 3 { print $3 }' "$tmp/named" |
  sort -u > "$tmp/functions"
while read -r name; do
  grep -q "^  $name;\$" "$map" || echo "$name"
done < "$tmp/functions" > "$tmp/out"
nothing "every function that is a counterpart is exported"

while read -r name; do
  grep -Eqx "\.Nm $name( ,)?" "$srcdir"/man/*.3 || echo "$name"
done < "$tmp/functions" > "$tmp/out"
nothing "every function that is a counterpart has its page"

$AWK -F '|' '
  FILENAME == ARGV[1] { if ($2 == ".Xr" && $4 == 3) found[$1] = 1; next }
  /^Fn / && !($1 in found) { print $1 }
' "$tmp/named" "$tmp/rows" > "$tmp/out"
nothing "the counterpart of every function is a function"

# A constant of Python is the one with the same name here, or one of the
# library's.
$AWK -F '|' '
  $2 == ".Dv" && $3 !~ /^UVSIG_/ && $1 != "Dv " $3 { print $1 ": " $3 }
' "$tmp/named" > "$tmp/out"
nothing "a constant of the system has the name that it has in Python"

# Not every system has every signal.
{
  echo '#include <errno.h>'
  echo '#include <uvsig.h>'
  echo 'void use(void);'
  echo 'void use(void) {'
  $AWK -F '|' '
    $3 == "SIG*" { next }
    $2 == ".Vt" { print "  (void) sizeof(" $3 ");" }
    $2 == ".Er" || ($2 == ".Dv" && $3 !~ /^SIG[A-Z]/) {
      print "  (void) " $3 ";"
    }
    $2 == ".Dv" && $3 ~ /^SIG[A-Z]/ {
      print "#ifdef " $3 "\n  (void) " $3 ";\n#endif"
    }
  ' "$tmp/named"
  echo '}'
} > "$tmp/named.c"
uv_cflags=$($PKG_CONFIG --cflags libuv)
# shellcheck disable=SC2086 # words, not one argument
check "constants, types and codes compile" \
  $CC -std=gnu11 -Wall -Wextra -Werror -fsyntax-only \
  -I"$srcdir/include" $uv_cflags "$tmp/named.c"

sed -n 's/^\.\(It \)\{0,1\}Pa \(examples[^ ]*\).*/\2/p' "$page" |
  sort -u > "$tmp/examples"
while read -r file; do
  [ -f "$srcdir/$file" ] || echo "$file"
done < "$tmp/examples" > "$tmp/out"
nothing "every example that the page names exists"

# The loops would prove nothing if these were empty.
for list in rows named functions examples; do
  check "there are $list" test -s "$tmp/$list"
done

finish
