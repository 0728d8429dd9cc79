#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Includes inside src/ run downwards only. The table says, for each folder, which others it may include.
# Usage: layers.sh ROOT
set -eu
root=$1

find "$root/src" -name '*.[ch]' -o -name '*.def' | LC_ALL=C sort | xargs awk '
BEGIN {
    allowed["base"] = "base"
    allowed["kernels"] = "base kernels"
    allowed["tensor"] = "base tensor"
    allowed["io"] = "base tensor io"
    allowed["text"] = "base tensor io text"
    allowed["linalg"] = "base kernels linalg"
    allowed["balance"] = "base linalg balance"
    allowed["autograd"] = "base kernels linalg tensor autograd"
    allowed["ops"] = "base kernels tensor autograd ops"
    allowed["nn"] = "base kernels tensor autograd ops nn"
    allowed["optim"] = "base kernels tensor autograd ops nn optim"
    allowed["sharing"] = "base kernels linalg tensor autograd ops nn optim sharing"
    allowed["multitask"] = "base kernels linalg balance tensor autograd ops nn optim sharing multitask"
    allowed["checkpoint"] = \
        "base kernels linalg balance tensor autograd ops nn optim sharing multitask io text checkpoint"
}
FNR == 1 {
    layer = FILENAME
    sub(/.*\/src\//, "", layer)
    if (layer !~ /\//) { layer = "" } else { sub(/\/.*/, "", layer) }
    files++
    if (!(layer in allowed)) {
        printf "%s: the folder src/%s has no row in the table of %s\n", FILENAME, layer, "tests/lint/layers.sh"
        bad = 1
    }
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
    path = $0
    sub(/^[^"]*"/, "", path)
    sub(/".*/, "", path)
    count++
    if (path !~ /\//) {
        printf "%s:%d: \"%s\" is not written from src/, as \"folder/file\"\n", FILENAME, FNR, path
        bad = 1
        next
    }
    target = path
    sub(/\/.*/, "", target)
    if (index(" " allowed[layer] " ", " " target " ") == 0) {
        printf "%s:%d: %s must not include %s (\"%s\")\n", FILENAME, FNR, layer, target, path
        bad = 1
    }
}
/^[ \t]*#[ \t]*include[ \t]*[<"]cblas/ && FILENAME !~ /\/kernels\/blas\.c$/ {
    printf "%s:%d: CBLAS is included in kernels/blas.c only\n", FILENAME, FNR
    bad = 1
}
END {
    if (files == 0 || count == 0) { print "nothing was read: is the first argument the root of the project?"; bad = 1 }
    printf "%d includes in %d files\n", count, files
    exit bad
}'
