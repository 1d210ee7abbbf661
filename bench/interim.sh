#!/usr/bin/env bash
# interim.sh: what evaluations cost training: without them, between updates, and beside them (eval_threads=1).
# usage: bench/interim.sh [DATASET [ROUNDS]]    from the repository root, after `make`
#
# Trains configs/td3_bc.json on one thread on DATASET (default ../shared/datasets/halfcheetah-medium.hdf5) in each way
# in turn, ROUNDS times (default 3), with an evaluation every 250 updates: ten times as many as the default, so that
# there is something to see. Without evaluations: rows of noise of 17 observations and 6 actions, of no environment.
# Prints, from the first to the fifth log line, the processor time of the training thread for an update, which other
# work on the machine hardly changes, and updates/s by the clock, waiting included; then their medians.
set -euo pipefail
unifloral=${UNIFLORAL:-./unifloral}
dataset=${1:-../shared/datasets/halfcheetah-medium.hdf5} rounds=${2:-3}
folder=$(mktemp -d /tmp/unifloral-interim-XXXXXX)
trap 'rm -rf "$folder"' EXIT

. bench/noise.sh
noise_dataset "$unifloral" 5000 "$folder/noise.hdf5"

measure() { # NAME DATASET EVAL_THREADS: "milliseconds updates_per_second" to $folder/NAME
    local log=$folder/run/log.csv lines first="" last="" pid
    rm -rf "$folder/run"
    "$unifloral" train configs/td3_bc.json --dataset "$2" --out "$folder/run" --quiet --threads 1 --set num_updates=1500 \
        --set eval_interval=250 --set eval_threads="$3" --set eval_final_episodes=0 --set checkpoint_interval=1000000 \
        >/dev/null 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ -z "$last" ]; do
        sleep 0.02
        lines=$(wc -l 2>/dev/null <"$log" || true)
        if ((${lines:-0} >= 2)) && [ -z "$first" ]; then read -r first _ <"/proc/$pid/task/$pid/schedstat"; fi
        if ((${lines:-0} >= 6)); then read -r last _ <"/proc/$pid/task/$pid/schedstat"; fi
    done
    wait $pid
    awk -F, -v first="$first" -v last="$last" 'NR == 2 { s = $2 } NR == 6 { e = $2 }
        END { printf "%.2f %.1f\n", (last - first) / 1e6 / 1000, 1000 / (e - s) }' "$log" >>"$folder/$1"
}
median() { # NAME COLUMN
    sort -n -k"$2,$2" "$folder/$1" | awk -v c="$2" '{ v[NR] = $c } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

for ((round = 1; round <= rounds; round++)); do
    measure without "$folder/noise.hdf5" 0
    measure between "$dataset" 0
    measure beside "$dataset" 1
    for way in without between beside; do
        tail -n 1 "$folder/$way" | awk -v w=$way -v r=$round '{ print "round " r ": " w " " $1 " ms of the training thread an update, " $2 " updates/s" }'
    done
done
for way in without between beside; do
    echo "median of $rounds: $way $(median $way 1) ms of the training thread an update, $(median $way 2) updates/s"
done
