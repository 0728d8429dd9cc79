#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shared object imports what tests/abi/imports.txt allows and nothing else: no way to end the process, print, read the
# environment or change another library's settings can come in unseen. Usage: imports.sh ROOT LIBRARY
set -eu
root=$1
library=$2
allowed=$(mktemp)
trap 'rm -f "$allowed"' EXIT

sed 's/#.*//; s/ *$//; /^$/d' "$root/tests/abi/imports.txt" >"$allowed"
# cblas.h's dgemm belongs to the double build, for tests; weak symbols without a version are the toolchain's hooks.
stray=$("${NM:-nm}" -D --undefined-only "$library" | awk '$1 == "U" || $1 == "w" { sub(/@.*/, "", $2); print $2 }' |
    LC_ALL=C sort -u | grep -vxF -f "$allowed" || true)
if [ -n "$stray" ]; then
    echo "imported, and not allowed by tests/abi/imports.txt:"
    echo "$stray"
    exit 1
fi
# A shared object whose stack or text is writable, or whose tables are not closed after loading, is refused too.
"${READELF:-readelf}" -lW "$library" | grep -q 'GNU_STACK.* RWE' && { echo "the stack is executable"; exit 1; }
"${READELF:-readelf}" -d "$library" | grep -q TEXTREL && { echo "the text is relocated"; exit 1; }
"${READELF:-readelf}" -d "$library" | grep -Eq 'BIND_NOW|NOW' || { echo "not linked with -z now"; exit 1; }
echo "$("${NM:-nm}" -D --undefined-only "$library" | grep -c .) imports"
