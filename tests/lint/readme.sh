#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The program in the README is examples/minimal.c, byte for byte: the block after the line "<!-- examples/minimal.c -->".
# Usage: readme.sh ROOT
set -eu
root=$1
shown=$(mktemp)
trap 'rm -f "$shown"' EXIT

[ -e "$root/examples/minimal.c" ] || { echo "there is no examples/minimal.c"; exit 1; }
[ -e "$root/README.md" ] || { echo "there is no README.md"; exit 1; }
awk '/^<!-- examples\/minimal\.c -->$/ { marked = 1; next }
     marked && !inside && /^```c$/ { inside = 1; next }
     inside && /^```$/ { exit }
     inside { print }' "$root/README.md" >"$shown"
[ -s "$shown" ] || { echo "README.md has no C block after the line <!-- examples/minimal.c -->"; exit 1; }
diff -u "$shown" "$root/examples/minimal.c" || { echo "README.md shows another program than examples/minimal.c"; exit 1; }
