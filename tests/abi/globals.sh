#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the static archive: no writable data, and every global name is mtl_ or mtli_. Usage: globals.sh ROOT ARCHIVE
set -eu
archive=$2

# A relocated constant table has the letter "d" too, in a section .data.rel.ro that is read-only once it is loaded: the
# sysv format names the section.
"${NM:-nm}" -f sysv --defined-only "$archive" | LC_ALL=C awk -F'|' '
function trim(text) { gsub(/^ +| +$/, "", text); return text }
/^Symbols from / { object = $0; sub(/^Symbols from .*\[/, "", object); sub(/\].*/, "", object); objects++ }
NF >= 7 {
    name = trim($1); kind = trim($3); section = trim($7)
    if (name == "Name") { next }
    symbols++
    # A .bss or .data of nothing but its section symbol has no row here.
    if (kind ~ /^[bBdDcCsSgG]$/ && section !~ /^\.data\.rel\.ro/) {
        printf "%s: %s is writable (%s)\n", object, name, section
        bad = 1
    }
    if (kind ~ /^[A-TV-Zuvw]$/ && name !~ /^mtli?_/) {
        printf "%s: %s is global, and its name does not begin with mtl_ or mtli_\n", object, name
        bad = 1
    }
}
END {
    if (symbols == 0) { print "no symbol was read"; bad = 1 }
    printf "%d symbols in %d objects\n", symbols, objects
    exit bad
}'
