#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source file names its licence where tools look for it: in the first line, or in the second after "#!". But for
# examples/minimal.c, which is shown whole in the README, and which is for copying.
# Usage: spdx.sh ROOT
set -eu
root=$1

cd "$root"
find src include tests examples cmake pkgconfig CMakeLists.txt .ci -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.def' \
    -o -name '*.sh' -o -name '*.cmake' -o -name '*.cmake.in' -o -name '*.h.in' -o -name '*.map' -o -name 'CMakeLists.txt' \
    -o -name '*.py' -o -path '.ci/*' \) ! -path examples/minimal.c | LC_ALL=C sort | xargs awk '
FNR == 1 { files++; found = 0; file = FILENAME; first = $0 ~ /^#!/ ? 2 : 1 }
FNR == first && !/SPDX-License-Identifier: Apache-2\.0/ { printf "%s:%d: no \"SPDX-License-Identifier: Apache-2.0\"\n", FILENAME, FNR; bad = 1 }
END {
    if (files == 0) { print "nothing was read: is the first argument the root of the project?"; bad = 1 }
    printf "%d files\n", files
    exit bad
}'
