#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes tests/abi/libmtl.abi, the types behind the public functions, from a build with debug information. To be run for a
# release, or with an accepted change before 1.0 (CHANGELOG.md, "ABI"). Usage: sh tests/abi/baseline.sh BUILD-FOLDER
set -eu
[ $# -eq 1 ] || { echo "usage: sh tests/abi/baseline.sh BUILD-FOLDER" >&2; exit 2; }
root=$(cd "$(dirname "$0")/../.." && pwd)
library=$1/libmtl.so
. "$root/tests/abi/types.sh"

[ -e "$library" ] || { echo "$library is not there: build first" >&2; exit 1; }
readelf -SW "$library" | grep -q '\.debug_info' ||
    { echo "$library has no debug information: configure with -DMTL_DEBUG_INFO=ON" >&2; exit 1; }
write_types "$root" "$library" >"$root/tests/abi/libmtl.abi.new"
mv "$root/tests/abi/libmtl.abi.new" "$root/tests/abi/libmtl.abi"
echo "tests/abi/libmtl.abi: $(grep -c '<elf-symbol ' "$root/tests/abi/libmtl.abi") symbols"
