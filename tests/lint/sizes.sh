#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In src/: files of at most 600 lines, functions of at most 80. No tab, and no blank at the end of a line, anywhere. Reads our
# own layout: a function begins with a "{" in the first column and ends with a "}" there. Usage: sizes.sh ROOT
set -eu
root=$1

cd "$root"
find src include examples tests \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.def' -o -name '*.in' \) |
    LC_ALL=C sort | LC_ALL=C xargs awk '
function check_file() {
    if (source && lines > 600) { printf "%s: %d lines; the limit is 600\n", file, lines; bad = 1 }
}
FNR == 1 {
    check_file()
    file = FILENAME
    source = file ~ /^src\//
    files++
    inside = 0
}
{
    lines = FNR
    if (/[ \t]$/) { printf "%s:%d: blanks at the end of the line\n", FILENAME, FNR; bad = 1 }
    if (/\t/) { printf "%s:%d: a tab\n", FILENAME, FNR; bad = 1 }
}
/^{/ { inside = FNR }
/^}/ && inside {
    functions++
    if (source && FNR - inside > 80) {
        printf "%s:%d: a function of %d lines; the limit is 80\n", FILENAME, inside, FNR - inside
        bad = 1
    }
    inside = 0
}
END {
    check_file()
    if (files == 0) { print "nothing was read: is the first argument the root of the project?"; bad = 1 }
    printf "%d functions in %d files\n", functions, files
    exit bad
}'
