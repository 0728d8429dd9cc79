#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program in the README is what stands in examples/minimal.c between the lines "README: begin" and "README: end", less
# four blanks at the beginning of each line: the C block after the line "<!-- examples/minimal.c -->".
# Usage: readme.sh ROOT
set -eu
root=$1
program=$root/examples/minimal.c
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ -e "$program" ] || { echo "there is no examples/minimal.c"; exit 1; }
[ -e "$root/README.md" ] || { echo "there is no README.md"; exit 1; }

for mark in begin end; do
    [ "$(grep -cx "    /\* README: $mark \*/" "$program")" = 1 ] ||
        { echo "examples/minimal.c needs the line '    /* README: $mark */' once"; exit 1; }
done
awk '/README: end/ { inside = 0 } inside { sub(/^    /, ""); print } /README: begin/ { inside = 1 }' "$program" >"$work/minimal.c"
[ -s "$work/minimal.c" ] || { echo "nothing stands between the marks of examples/minimal.c"; exit 1; }

[ "$(grep -cx '<!-- examples/minimal\.c -->' "$root/README.md")" = 1 ] ||
    { echo "README.md needs the line <!-- examples/minimal.c --> once"; exit 1; }
awk '/^<!-- examples\/minimal\.c -->$/ { marked = 1; next }
     marked && !inside && /^```c$/ { inside = 1; next }
     inside && /^```$/ { exit }
     inside { print }' "$root/README.md" >"$work/README.c"
(cd "$work" && diff -u README.c minimal.c) || { echo "README.md shows another program than examples/minimal.c"; exit 1; }
echo "$(grep -c '' "$work/minimal.c") lines are equal"
