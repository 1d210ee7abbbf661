#!/usr/bin/env bash
# interim.sh: what evaluations cost training: updates/s without them, between updates and beside them (eval_threads).
# usage: bench/interim.sh [DATASET [ROUNDS [NAME=VALUE]...]]    from the repository root, after `make`
#
# Trains configs/td3_bc.json on DATASET (default ../shared/datasets/halfcheetah-medium.hdf5) ROUNDS times (default 5)
# in each way, in turn, as other work on the machine comes and goes. An evaluation every 250 updates: ten times as
# many as the default, so that there is something to see. Prints the updates/s of each round and their medians.
# A rate is that from the first to the last but one log line, evaluations and waiting included.
set -euo pipefail
unifloral=${UNIFLORAL:-./unifloral}
dataset=${1:-../shared/datasets/halfcheetah-medium.hdf5} rounds=${2:-5}
shift $(($# < 2 ? $# : 2))
folder=$(mktemp -d /tmp/unifloral-interim-XXXXXX)
trap 'rm -rf "$folder"' EXIT
sets=(--set eval_final_episodes=0 --set checkpoint_interval=1000000000)
for value in "$@"; do sets+=(--set "$value"); done

rate() { # EVAL_THREADS: of one run with evaluations
    rm -rf "$folder/run"
    "$unifloral" train configs/td3_bc.json --dataset "$dataset" --out "$folder/run" --quiet --set num_updates=1250 \
        --set eval_interval=250 --set eval_threads="$1" "${sets[@]}" >/dev/null
    awk -F, 'NR == 2 { u = $1; s = $2 } { last = line; line = $0 }
        END { split(last, end, ","); printf "%.1f\n", (end[1] - u) / (end[2] - s) }' "$folder/run/log.csv"
}
bare() { # its one evaluation comes after the last update and is not in this column
    rm -rf "$folder/run"
    "$unifloral" train configs/td3_bc.json --dataset "$dataset" --out "$folder/run" --quiet --set num_updates=750 \
        --set eval_interval=750 "${sets[@]}" >/dev/null
    awk -F, 'NR == 2 { printf "%.1f\n", $3 }' "$folder/run/log.csv"
}
median() { sort -n "$folder/$1" | awk '{ v[NR] = $1 } END { printf "%.1f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

for ((round = 1; round <= rounds; round++)); do
    bare >>"$folder/none"
    rate 0 >>"$folder/between"
    rate 1 >>"$folder/beside"
    echo "round $round: updates/s without evaluations $(tail -n 1 "$folder/none"), between updates $(tail -n 1 "$folder/between")," \
        "beside them $(tail -n 1 "$folder/beside")"
done
echo "median of $rounds: without $(median none), between $(median between), beside $(median beside)"
