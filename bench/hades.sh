#!/usr/bin/env bash
# Behaviour distillation against what is asked of it: three searches a task, 20 policies with fresh initial weights each,
# and the controls. Run folders stay in runs/hades; the same command goes on. docs/hades.md has what came out.
#   bench/hades.sh [distil] [merge] [pendulum] [generalise] [sweeps] [images] [minatar] [hopper]     default: the first four
# SEEDS="0 1 2", THREADS=0 (all cores).
set -euo pipefail
cd "$(dirname "$0")/.."
unifloral=${UNIFLORAL:-./unifloral}
seeds=${SEEDS:-0 1 2}
threads=${THREADS:-0}
out=runs/hades
mkdir -p $out

# Prints the fresh policies' mean of a report.
fresh() { awk '/^(fresh policies|evolved policy)/ { print $3 }' "$1"; }

# run CONFIG SEED [--set ...]: the folder of a finished search, in $folder
run() {
    local config=$1 seed=$2
    shift 2
    folder=$out/$(basename "$config" .json)_$seed
    [ -e "$folder/report.txt" ] && return
    if [ -e "$folder/hades.json" ]; then
        $unifloral hades --resume "$folder" --threads "$threads" --quiet >/dev/null
    else
        $unifloral hades --config "configs/hades/$config.json" --seed "$seed" --out "$folder" --threads "$threads" --quiet "$@" >/dev/null
    fi
}

# verdict WHAT VALUE BOUND: whether VALUE >= BOUND
verdict() {
    awk -v what="$1" -v value="$2" -v bound="$3" 'BEGIN { printf "%-44s %9.4g  asked %6g  %s\n", what, value, bound, (value >= bound ? "reached" : "MISSED") }'
}

# mean of the candidates in the first or last line of a log
fitness() { $1 -n 1 "$folder/log.jsonl" | sed 's/.*"mean": \([-0-9.e+]*\).*/\1/'; }

# task CONFIG BOUND
task() {
    for s in $seeds; do
        run "$1" "$s"
        verdict "$1, seed $s (generation 1: $(printf %.4g "$(fitness head)"))" "$(fresh "$folder/report.txt")" "$2"
        if [ "$s" = "${seeds%% *}" ]; then
            $unifloral hades try "$folder/distilled.hdf5" --controls | sed -n 's/^\(states all 0\|labels moved on\)/    \1/p'
        fi
    done
}

distil() {
    task cartpole 475
    task mountain_car -130
    task acrobot -110
    task mountain_car_continuous 90
}

pendulum() { task pendulum -400; }

# Rows of two tasks together, no further search: padded inputs, and inputs of each task's own.
merge() {
    for s in $seeds; do
        run cartpole_4 "$s"
        local cartpole=$folder
        run mountain_car "$s"
        for form in padded apart; do
            $unifloral hades merge "$cartpole/distilled.hdf5" "$folder/distilled.hdf5" --out "$out/merged_${form}_$s.hdf5" \
                $([ $form = apart ] && echo --apart) >/dev/null
            verdict "merged, $form, seed $s: CartPole" "$($unifloral hades try "$out/merged_${form}_$s.hdf5" --env CartPole-v1 | awk '{ print $3 }')" 475
            verdict "merged, $form, seed $s: MountainCar" "$($unifloral hades try "$out/merged_${form}_$s.hdf5" --env MountainCar-v0 | awk '{ print $3 }')" -165
        done
    done
}

generalise() {
    for c in cartpole mountain_car pendulum; do
        run $c "${seeds%% *}"
        echo "$c, seed ${seeds%% *}"
        $unifloral hades vary "$folder/distilled.hdf5" --config configs/hades/sweeps/generalise.json | sed 's/^/    /'
        $unifloral hades vary "$folder/distilled.hdf5" --config configs/hades/sweeps/generalise_sgd.json | sed '1d; s/^/    sgd /'
    done
}

sweeps() {
    for c in rows_mountain_car_continuous rows_pendulum policies_cartpole policies_pendulum neuroevolution_mountain_car neuroevolution_pendulum; do
        echo "$c"
        $unifloral hades sweep --config configs/hades/sweeps/$c.json --out $out/$c --threads "$threads" --quiet | sed 's/^/    /'
    done
}

images() {
    for s in $seeds; do
        $unifloral hades --config configs/hades/glyphs.json --seed "$s" --set generations=0 --out "$out/class_means_$s" --quiet 2>/dev/null |
            sed -n "s/^fresh policies /class means, seed $s:/p" || true
        run glyphs "$s"
        sed -n "s/^fresh policies /distilled, seed $s:/p; s/^fitness  /    loss, seed $s:/p" "$folder/report.txt"
    done
}

minatar() {
    for s in $seeds; do
        run breakout "$s"
        verdict "breakout, seed $s: candidates, 3 x generation 1" "$(fitness tail)" "$(fitness head | awk '{ print 3 * $1 }')"
        sed -n 's/^fresh policies /    fresh policies/p' "$folder/report.txt"
    done
}

hopper() { task hopper 1000; }

for part in ${*:-distil merge pendulum generalise}; do $part; done
