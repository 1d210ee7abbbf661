#!/usr/bin/env bash
# A population of agents in one process against the same agents as processes: agent updates a second of
#   population  one process, THREADS threads, MEMBERS members
#   processes   THREADS processes of one thread, side by side
#   in turn     one process after the other, each on THREADS threads
# in ROUNDS rounds, one after the other, so that all see the same machine. Prints a line a round and the medians of
# population / processes and population / in turn.   Usage: bench/population.sh [CONFIG [MEMBERS [ROUNDS]]]
set -euo pipefail
config=${1:-configs/td3_bc.json} members=${2:-8} rounds=${3:-9} threads=${THREADS:-$(nproc)}
U=${UNIFLORAL:-./unifloral}
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

speed() { # THREADS MEMBERS: agent updates a second
    "$U" bench --config "$config" --threads "$1" --population "$2" --steps 64 --windows 5 |
        sed -E 's/.*"ms_per_update": \{"min": [^,]*, "median": ([^,]*),.*/\1/' | awk '{ print 1000 / $1 }'
}
echo "round  population  processes  in turn   (agent updates/s; $config, $members members, $threads threads)"
for round in $(seq "$rounds"); do
    population=$(speed "$threads" "$members")
    for i in $(seq "$threads"); do speed 1 1 >"$T/$i" & done
    wait
    processes=$(cat "$T"/[0-9]* | awk '{ sum += $1 } END { print sum }')
    turn=$(speed "$threads" 1)
    echo "$round $population $processes $turn" | tee -a "$T/rounds" | awk '{ printf "%5d  %10.1f  %9.1f  %7.1f\n", $1, $2, $3, $4 }'
done
median() { sort -g | awk '{ x[NR] = $1 } END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'; }
awk '{ print $2 / $3 }' "$T/rounds" | median | xargs printf 'population / processes  %.3f\n'
awk '{ print $2 / $4 }' "$T/rounds" | median | xargs printf 'population / in turn    %.3f\n'
