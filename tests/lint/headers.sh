#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, as strict C11 and as C++17, and includes nothing but <stddef.h>, <stdint.h> and ours.
# Usage: headers.sh ROOT GENERATED_INCLUDES CC [CXX]
set -eu
root=$1
generated=$2
cc=$3
cxx=${4:-}
bad=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for header in "$root"/include/mtl/*.h "$generated"/mtl/version.h; do
    name=${header##*/}
    stray=$(grep -nE '^[[:space:]]*#[[:space:]]*include' "$header" | grep -vE '<(stddef\.h|stdint\.h|mtl/[a-z]+\.h)>' || true)
    [ -z "$stray" ] || { echo "mtl/$name includes what a host need not have: $stray"; bad=1; }
    grep -q '__cplusplus' "$header" || grep -qE 'MTL_BEGIN_DECLS|^#include <mtl/' "$header" ||
        { echo "mtl/$name has no C linkage for C++"; bad=1; }
    # Twice: the guard must hold.
    printf '#include <mtl/%s>\n#include <mtl/%s>\ntypedef int not_empty;\n' "$name" "$name" >"$work/one.c"
    cp "$work/one.c" "$work/one.cpp"
    "$cc" -std=c11 -pedantic-errors -Werror -Wall -Wextra -Wstrict-prototypes -Wconversion -Wundef -fsyntax-only \
        -I "$root/include" -I "$generated" "$work/one.c" || { echo "mtl/$name does not stand alone in C11"; bad=1; }
    [ -z "$cxx" ] || "$cxx" -std=c++17 -pedantic-errors -Werror -Wall -Wextra -Wconversion -Wundef -fsyntax-only \
        -I "$root/include" -I "$generated" "$work/one.cpp" || { echo "mtl/$name does not stand alone in C++17"; bad=1; }
    # The umbrella has them all.
    case $name in mtl.h) ;; *) grep -q "^#include <mtl/$name>" "$root/include/mtl/mtl.h" ||
        { echo "mtl/mtl.h does not include mtl/$name"; bad=1; } ;; esac
done
[ -n "$cxx" ] || echo "no C++ compiler: C++17 was not looked at"
exit $bad
