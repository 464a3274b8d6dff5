# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# The programs in the pages of the manual, for the tests that compile and run them.
# After tap.sh, with AWK set.
# shellcheck disable=SC2016,SC2154 # awk's own variables; tap.sh's

# programs PAGE: its whole programs, as C files $tmp/program-PAGE-N.c.
programs() {
  $AWK -v prefix="$tmp/program-$(basename "$1")" '
    /^\.Bd .*-literal/ { on = 1; text = ""; next }
    /^\.Ed/ {
      if (on && text ~ /int main\(/) {
        file = prefix "-" ++n ".c"
        printf "%s", text > file
        close(file)
      }
      on = 0
    }
    on {
      gsub(/\\&/, "")
      gsub(/\\\(dq/, "\"")
      gsub(/\\\(aq/, "\047")
      gsub(/\\-/, "-")
      gsub(/\\e/, "\\")
      text = text $0 "\n"
    }
  ' "$1"
}

# needed FILE: the package of pkg-config, and its version, that it needs.
needed() {
  sed -n -e 's/^#include <libwebsockets.h>$/libwebsockets >= 4.1/p' \
    -e 's/^#include <microhttpd.h>$/libmicrohttpd >= 0.9.71/p' "$1"
}
