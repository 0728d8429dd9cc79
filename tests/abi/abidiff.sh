#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The types behind the public functions are those of the committed baseline, tests/abi/libmtl.abi; functions may be added.
# An accepted change gets an entry with its reason in abidiff.suppr and a line under "ABI" in CHANGELOG.md; a new release
# gets a new baseline from baseline.sh. Usage: abidiff.sh ROOT LIBRARY
set -eu
root=$1
library=$2
here=$root/tests/abi
. "$here/types.sh"

command -v abidiff >/dev/null || { echo "skipped: abidiff is not installed (abigail-tools)"; exit 77; }
[ "$(uname -m)" = x86_64 ] || { echo "skipped: the baseline is of x86_64, this machine is $(uname -m)"; exit 77; }
"${READELF:-readelf}" -SW "$library" | grep -q '\.debug_info' ||
    { echo "skipped: the library has no debug information (MTL_DEBUG_INFO)"; exit 77; }
[ -e "$here/libmtl.abi" ] || { echo "there is no baseline: sh tests/abi/baseline.sh BUILD-FOLDER"; exit 1; }

now=$(mktemp)
trap 'rm -f "$now"' EXIT
write_types "$root" "$library" >"$now"
grep -q "<class-decl name='mtl_context_options' size-in-bits=" "$now" ||
    { echo "the public structs were not found in $library"; exit 1; }
status=0
abidiff --no-added-syms --suppressions "$here/abidiff.suppr" "$here/libmtl.abi" "$now" || status=$?
if [ $status -ne 0 ]; then
    echo "abidiff: status $status (1 error, 4 changed, 8 incompatible)"
    exit 1
fi
echo "same types as the baseline"
