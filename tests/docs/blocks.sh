#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every C example in the documents compiles: the blocks ```c of README.md and docs/*.md, and @code .. @endcode in the
# public headers, each alone, against the public headers.
#   - A block with main() is a whole program.
#   - Any other is a fragment. What stands up to the end of its last function ("{" and "}" in the first column) is
#     outside of functions, the rest is the body of one. What it takes for granted (ctx, model, CHECK, ..) is declared
#     in tests/docs/DOCUMENT.h, for include/mtl/x.h in tests/docs/mtl-x.h; without such a file, in tests/docs/common.h.
#     BLOCK is the number of the block in its document, from 1; CODE_BEGIN and CODE_END may put the rest elsewhere than
#     into a function. A file that says "Internals." sees src/ too.
# Usage: blocks.sh ROOT GENERATED_INCLUDES CC
set -eu
root=$1
generated=$2
cc=$3
here=$root/tests/docs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
count=0

# Writes BLOCK.c for each block of a document, and a line "BLOCK LINE KIND" for each to the list.
extract() {
    awk -v document="$1" -v preamble="$2" -v out="$work" -v header="$3" '
    function place(i) { return "#line " (first + i - 1) " \"" document "\"" }
    function emit(file, program, last, i, opened) {
        program = 0
        last = opened = 0
        for (i = 1; i <= lines; i++) {
            if (line[i] ~ /(^|[ \t])main[ \t]*\(/) { program = 1 }
            if (line[i] ~ /^{/) { opened = 1 }
            if (line[i] ~ /^}/ && opened) { last = i; opened = 0 }
        }
        file = out "/" ++blocks ".c"
        if (!program) { print "#include \"" preamble "\"" >file }
        else { last = lines }
        print place(1) >file
        for (i = 1; i <= last; i++) { print line[i] >file }
        if (!program) {
            print "CODE_BEGIN" >file
            print place(last + 1) >file
            for (i = last + 1; i <= lines; i++) { print line[i] >file }
            print "CODE_END" >file
        }
        close(file)
        print blocks, first, (program ? "program" : "fragment")
    }
    !inside && (header ? /@code/ : /^[ \t]*```c[ \t]*$/) { inside = 1; lines = 0; first = FNR + 1; next }
    inside && (header ? /@endcode/ : /^[ \t]*```[ \t]*$/) { inside = 0; emit(); next }
    inside { if (header) { sub(/^ *\* ?/, "") } line[++lines] = $0 }
    END { if (inside) { print "open", first, "" } }' "$root/$1" >"$work/list"
}

compile() {
    block=$1
    kind=$2
    flags="-std=c11 -Wall -Wextra -Werror -I $root/include -I $generated"
    if [ "$kind" = fragment ]; then # which need not use all that they name
        flags="$flags -Wno-unused-variable -Wno-unused-parameter -Wno-unused-function -DBLOCK=$block"
        if grep -q 'Internals\.' "$preamble"; then flags="$flags -D_POSIX_C_SOURCE=200809L -I $root/src"; fi
    fi
    # shellcheck disable=SC2086
    "$cc" $flags -c "$work/$block.c" -o "$work/block.o"
}

check() {
    document=$1
    name=$(basename "${document%.*}")
    header=0
    case $document in *.h) header=1 name=mtl-$name ;; esac
    preamble=$here/$name.h
    [ -e "$preamble" ] || preamble=$here/common.h
    extract "$document" "$preamble" "$header"
    while read -r block line kind; do
        if [ "$block" = open ]; then
            echo "$document:$line: the block has no end"
            bad=1
        elif ! compile "$block" "$kind"; then
            echo "$document:$line: block $block does not compile"
            [ "$kind" = program ] ||
                echo "    (a fragment: the names that it takes for granted are declared in tests/docs/$name.h)"
            bad=1
        fi
        count=$((count + 1))
    done <"$work/list"
}

for document in README.md docs/*.md include/mtl/*.h; do
    case $document in
    *'*'*) for found in "$root"/$document; do [ ! -e "$found" ] || check "${found#"$root"/}"; done ;;
    *) [ ! -e "$root/$document" ] || check "$document" ;;
    esac
done
[ "$count" -gt 0 ] || { echo "no block was found: is the first argument the root of the project?"; exit 1; }
[ "$bad" = 0 ] && echo "$count blocks compile"
exit "$bad"
