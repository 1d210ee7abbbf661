#!/usr/bin/env bash
# Trains each preset of configs/pendulum with three seeds and prints README.md's table: scores come from the runs, none is typed.
# usage: bench/pendulum.sh [FOLDER]    from the repository root, after `make`; a run that is there already is used as it is
set -euo pipefail
folder=${1:-runs/pendulum}
data=datasets/pendulum-medium-replay.hdf5
[ -e "$data" ] || ./unifloral collect --env pendulum --policy replay --steps 40000 --seed 0 --out "$data" >&2
model=runs/dynamics_pendulum-medium-replay_0 # where the presets of model-based algorithms look for it
[ -e "$model/model.h5" ] || ./unifloral dynamics --config configs/pendulum/dynamics.json --seed 0 --out "$model" --quiet >&2
echo "| algorithm | score, mean of 3 seeds | seed 0, 1, 2 (standard error over 100 episodes) | command |"
echo "|---|---|---|---|"
for algorithm in bc td3_bc rebrac td3_awr iql sac_n edac cql mobrac mopo morel combo; do
    for seed in 0 1 2; do
        out=$folder/$algorithm-$seed
        [ -e "$out/final.h5" ] || { rm -rf "$out"; ./unifloral train "configs/pendulum/$algorithm.json" --seed $seed --out "$out" --quiet >/dev/null; }
        ./unifloral eval "$out" --episodes 100 --seed 1000 --json
    done | awk -v name=$algorithm '
        { match($0, /"score_mean": [-0-9.]+/); score = substr($0, RSTART + 14, RLENGTH - 14)
          match($0, /"score_stderr": [-0-9.]+/); error = substr($0, RSTART + 16, RLENGTH - 16)
          sum += score; each = each (NR > 1 ? ", " : "") sprintf("%.1f (%.1f)", score, error) }
        END { printf "| %s | %.1f | %s | `./unifloral train configs/pendulum/%s.json --seed S` |\n", name, sum / NR, each, name }'
done
