#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every struct whose members are public has its size pinned in test_struct_sizes.c, and every constant its value in
# test_enums.c. Usage: pins.sh ROOT
set -eu
root=$1
bad=0
count=0

names=$(cat "$root"/include/mtl/*.h | sed -n 's/^typedef struct \(mtl_[a-z0-9_]*\) {.*/\1/p')
for name in $names; do
    count=$((count + 1))
    grep -q "^PIN($name, " "$root/tests/abi/test_struct_sizes.c" || { echo "struct $name: its size is not pinned in test_struct_sizes.c"; bad=1; }
done
# Enumerators and number macros: MTL_NAME = 1 and #define MTL_NAME 1.
names=$({ cat "$root"/include/mtl/*.h | grep -oE '\bMTL_[A-Z0-9_]+ = -?[0-9]' | sed 's/ .*//'
    cat "$root"/include/mtl/*.h | sed -nE 's/^#define (MTL_[A-Z0-9_]+) \(?-?[0-9].*/\1/p'; } | LC_ALL=C sort -u)
for name in $names; do
    count=$((count + 1))
    grep -q "^PIN($name, " "$root/tests/abi/test_enums.c" || { echo "$name: its value is not pinned in test_enums.c"; bad=1; }
done
# An enumerator without a value of its own would move when another comes before it.
moving=$(awk '/^(typedef )?enum[ a-z_]*\{/ { inside = 1 } inside && /^ *MTL_[A-Z0-9_]+ *(,|\/|$)/ { print FILENAME ":" FNR ": " $1 } /^}/ { inside = 0 }' "$root"/include/mtl/*.h)
[ -z "$moving" ] || { echo "enumerators without a value:"; echo "$moving"; bad=1; }
[ $count -gt 50 ] || { echo "only $count names were found in the headers"; bad=1; }
echo "$count sizes and values are pinned"
exit $bad
