#!/usr/bin/env bash
# ppo_minigrid.sh: PPO from nothing in two gridworlds, three seeds each: wall time, steps/s and final mean return.
# usage: bench/ppo_minigrid.sh [THREADS [SEEDS]]    from the repository root, after `make`
#
# Trains configs/ppo_minigrid.json in MiniGrid-DoorKey-5x5-v0 and MiniGrid-Empty-8x8-v0, one run after another, on THREADS
# threads (default 2), each from the start of the process to its end: training, checkpoint, 100 sampled episodes on
# fresh seeds. Solved is a mean return above .9; the target is every run solved in under 60 s. Status 1: one was not.
# "to .9" is the clock of the first log line (20480 environment steps apart) whose training episodes had that mean.
# Then a population of as many seeds in one process. Wall times on a machine that does something else say little:
# processor seconds are printed beside them.
set -euo pipefail
unifloral=${UNIFLORAL:-./unifloral}
threads=${1:-2} seeds=${2:-3} failed=0
folder=$(mktemp -d /tmp/unifloral-ppo-XXXXXX)
trap 'rm -rf "$folder"' EXIT

run() { # NAME ARGUMENTS...: seconds and processor seconds to $folder/NAME.time
    local name=$1 TIMEFORMAT='%R %U'
    shift
    { time "$unifloral" ppo --config configs/ppo_minigrid.json --threads "$threads" --quiet --out "$folder/$name" "$@" \
        >"$folder/$name.said"; } 2>"$folder/$name.time"
}

echo "load before: $(cut -d' ' -f1-3 /proc/loadavg)"
printf '%-28s %4s %8s %8s %8s %10s %8s\n' environment seed seconds cpu "to .9" steps/s return
for env in MiniGrid-DoorKey-5x5-v0 MiniGrid-Empty-8x8-v0; do
    for ((seed = 0; seed < seeds; seed++)); do
        name=$env-$seed
        run "$name" --env "$env" --seed "$seed"
        read -r seconds cpu <"$folder/$name.time"
        mean=$(awk '/^return/ { print $2 }' "$folder/$name.said")
        awk -F, -v env="$env" -v seed="$seed" -v seconds="$seconds" -v cpu="$cpu" -v mean="$mean" '
            NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
            { steps = $column["steps"]; clock = $column["seconds"] }
            !solved && $column["return"] > .9 { solved = sprintf("%.1f", clock) }
            END {
                printf "%-28s %4d %8.1f %8.1f %8s %10.0f %8.3f\n", env, seed, seconds, cpu, solved ? solved : "never",
                    steps / clock, mean
                exit !(mean > .9 && seconds < 60)
            }' "$folder/$name/log.csv" || failed=1
    done
    run "$env-all" --env "$env" --population "$seeds"
    read -r seconds cpu <"$folder/$env-all.time"
    printf '%-28s %4s %8.1f %8.1f %8s %10s %8s\n' "$env" "all" "$seconds" "$cpu" "" "" \
        "$(awk '/^return/ { s += $2; n++ } END { printf "%.3f", s / n }' "$folder/$env-all.said")"
done
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg)"
exit $failed
