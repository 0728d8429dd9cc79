#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every public function has a documentation comment right above it that tells since when it is there (and what it returns),
# and every parameter is named in it. Usage: since.sh ROOT
set -eu
root=$1

find "$root/include" -name '*.h' -o -name '*.h.in' | LC_ALL=C sort | xargs awk '
function complain(text) { printf "%s:%d: %s: %s\n", FILENAME, line, name, text; bad = 1 }
FNR == 1 { comment = ""; in_comment = 0; prototype = "" }
/^\/\*\*/ { comment = ""; in_comment = 1 }
in_comment { comment = comment " " $0; if (/\*\//) { in_comment = 0; fresh = 1 }; next }
/^MTL_API / && prototype == "" { prototype = " "; line = FNR; documented = fresh }
prototype != "" {
    prototype = prototype " " $0
    if (!/;/) { next }
    name = prototype
    match(name, /mtl_[a-z0-9_]+ *\(/)
    name = substr(name, RSTART, RLENGTH - 1)
    count++
    if (!documented) { complain("no documentation comment right above it") }
    else {
        if (comment !~ /@since [0-9]+\.[0-9]+/) { complain("no @since") }
        if (prototype !~ /MTL_API void mtl_/ && comment !~ /@return/) { complain("no @return") }
        arguments = prototype
        sub(/^[^(]*\(/, "", arguments)
        sub(/\);.*/, "", arguments)
        if (arguments !~ /^ *void *$/) {
            parts = split(arguments, argument, ",")
            for (i = 1; i <= parts; i++) {
                match(argument[i], /[a-z0-9_]+ *$/)
                parameter = substr(argument[i], RSTART, RLENGTH)
                sub(/ +$/, "", parameter)
                if (comment !~ ("@param(\\[[a-z,]+\\])? +" parameter "([^a-z0-9_]|$)")) { complain("no @param " parameter) }
            }
        }
    }
    prototype = ""
    fresh = 0
    next
}
/[^ \t]/ { fresh = 0 }
END {
    if (count == 0) { print "nothing was read: is the first argument the root of the project?"; bad = 1 }
    printf "%d functions\n", count
    exit bad
}'
