#!/usr/bin/env bash
# A population of agents in one process against the same agents as processes, by the clock, from start to end:
#   population  one process trains MEMBERS members on THREADS threads
#   processes   THREADS processes of one thread side by side share them out, each trains its part one after the other
#   in turn     one process after the other, each on THREADS threads
# in ROUNDS rounds, one after the other, so that all see the same machine. Trains CONFIG for UPDATES updates on rows of
# noise of 17 observations and 6 actions, of no environment. Prints agent updates a second, a line a round, and the
# medians of population / processes and population / in turn.
# Usage: bench/population.sh [CONFIG [MEMBERS [ROUNDS [UPDATES]]]]    from the repository root, after `make`
set -euo pipefail
config=${1:-configs/td3_bc.json} members=${2:-8} rounds=${3:-5} updates=${4:-1000} threads=${THREADS:-$(nproc)}
U=${UNIFLORAL:-./unifloral}
T=$(mktemp -d /tmp/unifloral-population-XXXXXX)
trap 'rm -rf "$T"' EXIT

. bench/noise.sh
noise_dataset "$U" 20000 "$T/noise.hdf5"
for i in $(seq 0 $((members - 1))); do sed "0,/{/s//{ \"seed\": $i,/" "$config" >"$T/$i.json"; done

train() { # THREADS FOLDER CONFIGURATIONS...
    local n=$1 folder=$2
    shift 2
    "$U" train "$@" --dataset "$T/noise.hdf5" --out "$folder" --quiet --threads "$n" --set num_updates="$updates" \
        --set eval_interval="$updates" --set checkpoint_interval=1000000000 --set eval_final_episodes=0 >/dev/null 2>&1
}
population() { train "$threads" "$T/runs" "$T"/[0-9]*.json; }
share() { for ((i = $1; i < members; i += threads)); do train 1 "$T/runs/$i" "$T/$i.json"; done; }
processes() {
    for ((k = 0; k < threads; k++)); do share "$k" & done
    wait
}
turn() { for ((i = 0; i < members; i++)); do train "$threads" "$T/runs/$i" "$T/$i.json"; done; }
speed() { # WAY: agent updates a second
    rm -rf "$T/runs"
    local start=$EPOCHREALTIME
    "$1"
    awk -v a="$start" -v b="$EPOCHREALTIME" -v n=$((members * updates)) 'BEGIN { print n / (b - a) }'
}
echo "round  population  processes  in turn   (agent updates/s; $config, $members members, $threads threads)"
for round in $(seq "$rounds"); do
    echo "$(speed population) $(speed processes) $(speed turn)" >>"$T/rounds"
    tail -n 1 "$T/rounds" | awk -v r="$round" '{ printf "%5d  %10.1f  %9.1f  %7.1f\n", r, $1, $2, $3 }'
done
median() { sort -g | awk '{ x[NR] = $1 } END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'; }
awk '{ print $1 / $2 }' "$T/rounds" | median | xargs printf 'population / processes  %.3f\n'
awk '{ print $1 / $3 }' "$T/rounds" | median | xargs printf 'population / in turn    %.3f\n'
