#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every balancing method on two problems with three seeds: 16 kinds of reviews, and sentiment with topic. Small networks and
# few rows, so that the whole takes 40 minutes on two cores; what was run is kept in OUT, and not run again.
#
#   sh tests/bench/balance_table.sh DATA OUT [BUILD]
#
# DATA holds fdu_mtl/books.task.train and its like, imdb/train.csv and test.csv, ag_news/train_text_part.csv and test.csv.
# OUT receives the output of each run; the tables are printed at the end.
set -eu
data=$1
out=$2
build=${3:-build/release}
jobs=${JOBS:-2}
seeds=${SEEDS:-1 2 3}
examples=$build/examples
mkdir -p "$out/reviews" "$out/joint"

methods=$("$examples/review_domains" --help | sed -n '/One of:/,/--measure/p' | sed '1d;$d' | tr -d ' \n' | tr ',' ' ')

# 8,000 rows of each kind to learn from and to hold out; a row is a line in these files.
head -n 8001 "$data/imdb/train.csv" >"$out/imdb.csv"
head -n 10001 "$data/imdb/test.csv" >"$out/imdb_test.csv"
head -n 8000 "$data/ag_news/train_text_part.csv" >"$out/news.csv"

common="--hidden 32 --embedding 64 --vocabulary 15000 --min-count 2 --max-tokens 128 --keep-tail 64"

# Of one seed: lines "file command ..".
list_reviews() {
    run="$examples/review_domains --data $data/fdu_mtl $common --epochs 4 --learning-rate 0.005 --seed $1"
    echo "$out/reviews/single.$1.txt $run --method single --batch 4"
    for method in $methods; do
        echo "$out/reviews/$method.$1.txt $run --method hard --balance $method --measure 0"
    done
}

list_joint() {
    train="$examples/sentiment_topic train $common --epochs 3 --batch 32 --bucket 32"
    train="$train --validation 0.1 --embedding-dropout 0.5 --output-dropout 0.5 --clip 0 --warmup 50"
    reviews="--reviews $out/imdb.csv --reviews-test $out/imdb_test.csv"
    news="--news $out/news.csv --news-test $data/ag_news/test.csv"
    train="$train --seed $1"
    echo "$out/joint/reviews_alone.$1.txt $train $reviews --learning-rate 0.02"
    echo "$out/joint/news_alone.$1.txt $train $news --learning-rate 0.02"
    for method in $methods; do
        echo "$out/joint/$method.$1.txt $train $reviews $news --learning-rate 0.005 --balance $method --measure 0"
    done
}

# Each line: the file that receives the output, and the command. A run that failed leaves its message.
run_list() {
    xargs -P "$jobs" -L 1 sh -c 'to=$0
        [ -s "$to" ] && exit 0
        case $* in *sentiment_topic*) set -- "$@" --model "$to.mtl" ;; esac
        nice -n 5 timeout 1200 "$@" >"$to.part" 2>&1 || echo "FAILED with status $?" >>"$to.part"
        times >>"$to.part" # the last line: processor time of the run
        rm -f "$to.mtl"
        mv "$to.part" "$to"'
}

for seed in $seeds; do # when it is broken off, what is there is of whole seeds
    list_reviews "$seed" | run_list
    list_joint "$seed" | run_list
done
python3 "$(dirname "$0")/balance_table.py" "$out"
