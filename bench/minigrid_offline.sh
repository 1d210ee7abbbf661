#!/usr/bin/env bash
# minigrid_offline.sh: what BC, IQL and CQL learn from mixed data of a gridworld.
# usage: bench/minigrid_offline.sh [ID [SEEDS [PRESET ...]]]    from the repository root, after `make`
#
# Collects 50000 steps of ID (default MiniGrid-DoorKey-5x5-v0), half of random episodes, the others of the planning script
# at medium and full skill, and trains configs/minigrid/PRESET.json (default bc iql cql) with SEEDS seeds (default 3) on it.
# Prints the returns of 200 episodes of each, their mean with its standard error, and the behaviour's mean over episodes.
set -euo pipefail
unifloral=${UNIFLORAL:-./unifloral}
id=${1:-MiniGrid-DoorKey-5x5-v0} seeds=${2:-3}
shift $(($# < 2 ? $# : 2))
presets=("$@")
[ ${#presets[@]} -gt 0 ] || presets=(bc iql cql)
folder=$(mktemp -d /tmp/unifloral-minigrid-XXXXXX)
trap 'rm -rf "$folder"' EXIT

"$unifloral" collect --env "$id" --mix random:0.5,medium:0.4,expert:0.1 --steps 50000 --seed 0 --out "$folder/data.hdf5" >/dev/null
"$unifloral" info "$folder/data.hdf5" | awk -v id="$id" '/^return/ { printf "%s, behaviour: mean return %.3f\n", id, $NF }'

for preset in "${presets[@]}"; do
    for ((seed = 0; seed < seeds; seed++)); do
        "$unifloral" train "configs/minigrid/$preset.json" --dataset "$folder/data.hdf5" --set env="$id" --seed $seed \
            --out "$folder/$preset-$seed" --quiet >"$folder/said"
        awk '/^normalised score/ { print $3 / 100 }' "$folder/said" >>"$folder/$preset"
    done
    awk -v name="$preset" '{ v[NR] = $1; s += $1; all = all sprintf(" %.3f", $1) }
        END { m = s / NR; for (i = 1; i <= NR; i++) q += (v[i] - m) ^ 2
              printf "%-4s %.3f +- %.3f  (seeds:%s)\n", name, m, (NR > 1 ? sqrt(q / (NR - 1) / NR) : 0), all }' "$folder/$preset"
done
