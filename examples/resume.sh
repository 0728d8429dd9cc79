#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A training that is killed and taken up again by another process ends with the same model, byte for byte, and prints the
# same losses. Usage: resume.sh PROGRAM DATA [OPTION VALUE ...]; the options go to both runs.
set -eu
program=$1
data=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
epochs=6
how= # exec: in the place of the shell, so that a kill hits the program

train() {
    name=$1
    shift
    $how "$program" train --reviews "$data/reviews_train.tsv" --news "$data/news_train.csv" --reviews-test "$data/reviews_test.tsv" \
        --news-test "$data/news_test.csv" --validation 0.1 --epochs $epochs --embedding 16 --hidden 16 \
        --model "$folder/$name.mtl" --checkpoint "$folder/$name.state" "$@"
}

# What must be equal: all lines about epochs after the first $1 and about the test, without the seconds.
results() {
    sed -E "s/ +[0-9.]+ s +[0-9]+ tokens.s//" "$2" | awk -v done="$1" '
        /^epoch/ { split($2, at, "/"); epoch = at[1] }
        /^trained/ { epoch = done + 1; next }
        /^(epoch|validation|test|  )/ && epoch > done { print }'
}

train straight "$@" >"$folder/straight.log"

# The kill must hit between two epochs, or in one: not after the last.
attempt=0
done=$epochs
while [ "$done" -ge $epochs ]; do
    attempt=$((attempt + 1))
    [ $attempt -le 10 ] || { echo "the training was always faster than the kill"; exit 1; }
    rm -f "$folder/broken.state"
    (how=exec && train broken "$@" >"$folder/broken.log" 2>&1) &
    process=$!
    while [ ! -e "$folder/broken.state" ] && kill -0 $process 2>/dev/null; do
        sleep 0.02
    done
    kill -9 $process 2>/dev/null || true
    wait $process 2>/dev/null || true
    train resumed "$@" --resume "$folder/broken.state" >"$folder/resumed.log"
    done=$(sed -n 's/^resumed after epoch //p' "$folder/resumed.log")
done

results "$done" "$folder/straight.log" >"$folder/expected"
results "$done" "$folder/resumed.log" >"$folder/actual"
[ -s "$folder/expected" ]
diff "$folder/expected" "$folder/actual"
cmp "$folder/straight.mtl" "$folder/resumed.mtl"
cmp "$folder/straight.state" "$folder/resumed.state"
echo "killed after epoch $done of $epochs; resumed: $(wc -l <"$folder/actual") lines and both files are equal"
