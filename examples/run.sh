#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the library and trains examples/sentiment_topic on the small corpus of examples/data: about a minute. Installs what
# is missing on Debian or Ubuntu (as root, or through sudo). Arguments go to "sentiment_topic train".
set -eu
cd "$(dirname "$0")/.."
build=${MTL_EXAMPLES_BUILD:-$PWD/build/examples}

. tests/packages.sh
mtl_need_packages gcc libc6-dev make cmake pkg-config libopenblas-dev libutf8proc-dev

echo "== building libmtl and its examples in $build"
mkdir -p "$build"
if ! cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DMTL_BUILD_TESTS=OFF >"$build/log" 2>&1 ||
    ! cmake --build "$build" --parallel "$(nproc 2>/dev/null || echo 2)" >>"$build/log" 2>&1; then
    tail -n 30 "$build/log"
    echo "the build failed; all of it is in $build/log" >&2
    exit 1
fi

echo "== training sentiment and topic together on examples/data"
"$build/examples/sentiment_topic" train "$@"
