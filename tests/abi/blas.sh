#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The CBLAS that is loaded is the one that was asked for: on Debian, libblas.so.3 is whichever the machine prefers.
# Usage: MTL_BLAS=openblas|reference blas.sh ROOT LIBRARY
set -eu
library=$2
loaded=$(ldd "$library" | grep -iE 'blas' || true)

echo "$loaded"
[ -n "$loaded" ] || { echo "no BLAS is loaded"; exit 1; }
case ${MTL_BLAS:-openblas} in
openblas) echo "$loaded" | grep -qi openblas || { echo "OpenBLAS was asked for"; exit 1; } ;;
reference)
    file=$(echo "$loaded" | sed -n 's/.*=> \(.*\) (.*/\1/p' | head -n 1)
    if echo "$loaded" | grep -qi openblas || grep -qi openblas "$file"; then
        echo "the reference CBLAS was asked for, and $file is OpenBLAS"
        exit 1
    fi ;;
esac
