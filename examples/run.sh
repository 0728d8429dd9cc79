#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the library and trains examples/sentiment_topic on the small corpus of examples/data, in about a minute; then lets
# the model judge two sentences. Installs what is missing on Debian or Ubuntu (as root, or through sudo). Arguments are
# handed to "sentiment_topic train", for instance --seed 2.
set -eu
cd "$(dirname "$0")/.."
build=${MTL_EXAMPLES_BUILD:-$PWD/build/examples}
data=examples/data
model=$build/sentiment_topic.mtl

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

echo "== training sentiment and topic together on $data"
"$build/examples/sentiment_topic" train --reviews $data/reviews_train.tsv --news $data/news_train.csv \
    --reviews-test $data/reviews_test.tsv --news-test $data/news_test.csv --model "$model" "$@"

echo "== asking the model"
printf '%s\n' 'What a wonderful evening, I would see it again.' 'The climbers of a village team won the relay for the third time.' |
    "$build/examples/sentiment_topic" predict --model "$model"
echo "== ask it yourself: $build/examples/sentiment_topic predict --model $model"
