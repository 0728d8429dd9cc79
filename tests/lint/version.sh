#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The version is stated once, in CMakeLists.txt; what cannot be generated from it must agree. Usage: version.sh ROOT
set -eu
root=$1
version=$(sed -n 's/^project(mtl VERSION \([0-9.]*\) .*/\1/p' "$root/CMakeLists.txt")
minor=${version%.*}

[ -n "$version" ] || { echo "CMakeLists.txt has no project(mtl VERSION ...)"; exit 1; }
grep -q "^MTL_$minor {" "$root/src/libmtl.map" || { echo "src/libmtl.map has no node MTL_$minor"; exit 1; }
[ -e "$root/CHANGELOG.md" ] || { echo "there is no CHANGELOG.md"; exit 1; }
grep -Eq "^## \[?(Unreleased|$version)" "$root/CHANGELOG.md" || { echo "CHANGELOG.md has no section $version or Unreleased"; exit 1; }
echo "version $version"
