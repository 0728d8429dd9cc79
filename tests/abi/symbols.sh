#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Three lists are one: the functions that the headers declare, those of src/libmtl.map, and those that the library exports,
# with the version that the map gives them. Usage: symbols.sh ROOT LIBRARY
set -eu
root=$1
library=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# MTL_API prototypes of the headers, comments taken away.
cat "$root"/include/mtl/*.h "$root"/include/mtl/version.h.in |
    awk '{ line = $0
           for (;;) {
               if (open) { i = index(line, "*/"); if (!i) { next } line = substr(line, i + 2); open = 0 }
               i = index(line, "/*")
               if (!i) { break }
               printf "%s ", substr(line, 1, i - 1); line = substr(line, i + 2); open = 1
           }
           print line }' |
    awk '/^ *#/ || more { more = /\\$/; next } { print }' |
    tr '\n' ' ' | tr ';' '\n' | grep 'MTL_API .*(' | sed 's/.*MTL_API //; s/ *(.*//; s/.*[ *]//' |
    LC_ALL=C sort >"$work/declared"

# "name@@NODE" of the map.
awk '/^[A-Z][A-Za-z0-9_.]* \{/ { node = $1; next } /local:/ { is_local = 1 } /global:/ { is_local = 0 }
     !is_local && /^ +mtl_[a-z0-9_]+;$/ { gsub(/[ ;]/, ""); print $0 "@@" node } /^}/ { is_local = 0 }
     !is_local && /[*?]/ && !/^ ?\/?\*/ { print "wildcard:" $0 }' "$root/src/libmtl.map" | LC_ALL=C sort >"$work/map"

"${NM:-nm}" -D --with-symbol-versions --defined-only "$library" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort >"$work/exported"

same() { # same WHAT FIRST SECOND FIRST-NAME SECOND-NAME
    diff "$work/$1" "$work/$2" >"$work/diff" && return
    sed -n "s/^< /only $3: /p; s/^> /only $4: /p" "$work/diff"
    bad=1
}
[ -s "$work/declared" ] || { echo "no MTL_API function was found in the headers"; bad=1; }
sed 's/@@.*//' "$work/map" >"$work/map-names"
same declared map-names "in the headers" "in the map"
same map exported "in the map" "in the library"
uniq -d "$work/declared" | sed 's/^/declared twice: /' | grep . && bad=1

# The name that a program remembers.
version=$(sed -n 's/^project(mtl VERSION \([0-9.]*\) .*/\1/p' "$root/CMakeLists.txt")
soname=$("${READELF:-readelf}" -d "$library" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')
[ "$soname" = "libmtl.so.${version%.*}" ] || { echo "the SONAME is $soname, not libmtl.so.${version%.*}"; bad=1; }

echo "$(grep -c . "$work/exported") symbols are exported, SONAME $soname"
exit $bad
