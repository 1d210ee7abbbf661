#!/usr/bin/env bash
# reproduce.sh: trains every preset on every dataset with several seeds, then writes the page of all results.
# usage: bench/reproduce.sh [OPTION]...    from the repository root, after `make`
#   --quick             fewer updates: 10000 for bc, td3_bc and iql, 3000 for the others; 100 final episodes
#   --dataset FILE      train on this file; may be repeated. Without: the files of ../shared/datasets if there
#                       (--quick: halfcheetah-medium and hopper-medium of them), else datasets/*.hdf5, else a
#                       Pendulum set, which is made
#   --presets "A B"     of bc td3_bc iql rebrac td3_awr sac_n edac cql mobrac mopo morel combo
#   --seeds N           seeds 0 to N-1 (default 3)
#   --set NAME=VALUE    passed on to every run; may be repeated
#   --jobs N            runs side by side, one thread each (default: all cores)
#   --out FOLDER        of the runs (default runs/reproduce, without --quick runs/reproduce-full)
#   --report FILE       the page (default docs/reproduction.md); FOLDER/results.csv has a line for each run
#
# A run lives in FOLDER/DATASET/PRESET_SEED, and what it says in FOLDER/DATASET/PRESET_SEED.txt. One that is
# finished is kept, one that was stopped goes on. One that fails is reported and does not stop the others; the
# exit status is then 1. Files called pendulum* take the presets of configs/pendulum, which are small: --quick
# leaves them as they are. The last four presets need a world model of the dataset, which is trained first, on all
# cores, in FOLDER/DATASET/dynamics (--quick: 20 epochs).
#
# Without --quick a run takes the preset's own number of updates. On one core of an AMD EPYC (AVX-512), 17
# observations and 6 actions, by `unifloral bench --config configs/PRESET.json --threads 1`:
#   bc       2.2 ms an update    0.6 h      sac_n     23 ms    19 h (3 million updates)
#   td3_bc   4.0 ms              1.1 h      edac      36 ms    30 h (3 million updates)
#   iql      2.9 ms              0.8 h      cql       54 ms    15 h
#   rebrac    34 ms              9.4 h      td3_awr   40 ms    11 h
# that is 87 core hours for a dataset and a seed, evaluations and world models apart; with --quick, 11 minutes.
set -uo pipefail
unifloral=${UNIFLORAL:-./unifloral}
quick=0 seeds=3 jobs=$(nproc) out="" report=docs/reproduction.md
presets=(bc td3_bc iql rebrac td3_awr sac_n edac cql mobrac mopo morel combo)
datasets=() sets=()

misuse() {
    echo "error: $1; see the head of bench/reproduce.sh" >&2
    exit 2
}
while (($#)); do
    case $1 in
        --quick) quick=1; shift; continue ;;
        --dataset | --presets | --seeds | --set | --jobs | --out | --report) (($# > 1)) || misuse "$1: the value is missing" ;;
        *) misuse "unknown option '$1'" ;;
    esac
    case $1 in
        --dataset) datasets+=("$2") ;;
        --presets) read -ra presets <<<"$2" ;;
        --seeds) seeds=$2 ;;
        --set) sets+=(--set "$2") ;;
        --jobs) jobs=$2 ;;
        --out) out=$2 ;;
        --report) report=$2 ;;
    esac
    shift 2
done
[[ $seeds =~ ^[1-9][0-9]{0,3}$ ]] || misuse "--seeds wants a number from 1 to 9999, not '$seeds'"
[[ $jobs =~ ^[1-9][0-9]{0,2}$ ]] || misuse "--jobs wants a number from 1 to 999, not '$jobs'"
((quick)) && out=${out:-runs/reproduce} || out=${out:-runs/reproduce-full}
[ -x "$unifloral" ] || { echo "error: there is no $unifloral; run make first" >&2; exit 1; }

# ---- plan ----

if ((${#datasets[@]} == 0)); then
    shopt -s nullglob
    datasets=(../shared/datasets/*.hdf5)
    ((quick)) && datasets=(../shared/datasets/{halfcheetah,hopper}-medium.hdf[5]) # of these two those that are there
    ((${#datasets[@]})) || datasets=(datasets/*.hdf5)
    shopt -u nullglob
fi
if ((${#datasets[@]} == 0)); then
    datasets=(datasets/pendulum-medium-replay.hdf5)
    "$unifloral" collect --env pendulum --policy replay --steps 40000 --seed 0 --out "${datasets[0]}" || exit 1
fi

# Seed by seed, so that the first results cover all and the time left means something.
plan=() folders=() # plan: dataset, preset, seed, folder; tabs between
declare -A taken=()
for file in "${datasets[@]}"; do
    name=$(basename "$file" .hdf5)
    [ -e "$file" ] || { echo "error: $file: no such dataset" >&2; exit 1; }
    [ -z "${taken[$name]:-}" ] || { echo "error: two datasets are called $name: ${taken[$name]}, $file; rename one" >&2; exit 1; }
    taken[$name]=$file
done
for ((seed = 0; seed < seeds; seed++)); do
    for file in "${datasets[@]}"; do
        for preset in "${presets[@]}"; do
            plan+=("$file"$'\t'"$preset"$'\t'"$seed"$'\t'"$out/$(basename "$file" .hdf5)/${preset}_$seed")
        done
    done
done

# ---- one run ----

config_of() { # DATASET PRESET
    case ${1##*/} in
        pendulum*) echo "configs/pendulum/$2.json" ;;
        *) echo "configs/$2.json" ;;
    esac
}

options_of() { # DATASET PRESET: what --quick sets, then what --set says; into `options`
    local updates=3000
    options=()
    if ((quick)) && [[ ${1##*/} != pendulum* ]]; then
        [[ $2 == bc || $2 == td3_bc || $2 == iql ]] && updates=10000
        options=(--set num_updates=$updates --set eval_interval=$((updates / 10)) --set checkpoint_interval=$((updates / 5))
            --set eval_final_episodes=100)
    fi
    needs_model "$2" && options+=(--set "model_path=$(model_of "$1")")
    options+=(${sets[@]+"${sets[@]}"})
}

needs_model() { [[ $1 == mobrac || $1 == mopo || $1 == morel || $1 == combo ]]; } # PRESET
model_of() { echo "$out/$(basename "$1" .hdf5)/dynamics"; }                         # DATASET

train_model() { # DATASET
    local folder how=(--set num_epochs=20)
    folder=$(model_of "$1")
    [ ! -e "$folder/finished" ] || return 0
    ((quick)) && [[ ${1##*/} != pendulum* ]] || how=()
    mkdir -p "${folder%/*}" || exit 1
    if [ -e "$folder/config.json" ]; then
        "$unifloral" dynamics --resume "$folder" --quiet
    else
        "$unifloral" dynamics --config "$(config_of "$1" dynamics)" --dataset "$1" --seed 0 --out "$folder" --quiet ${how[@]+"${how[@]}"}
    fi >"$folder.txt" 2>&1 &
    running[$!]=-1
    if wait $!; then
        touch "$folder/finished"
        echo "world model of $(basename "$1" .hdf5): $(grep -i 'R^2' "$folder.txt" | head -n 1)"
    else
        echo "world model of $(basename "$1" .hdf5): FAILED: $(grep '^error: ' "$folder.txt" || echo "see $folder.txt")"
    fi
    running=()
}

# A folder that holds a run on other data or of other settings is not taken for this one.
other_run() { # FOLDER DATASET OPTIONS...: says what differs
    local config=$1/config.json file=$2 option name there
    local -A wanted=()
    shift 2
    grep -qF "\"dataset\": \"$file\"" "$config" || { echo "its dataset is not $file"; return; }
    for option in "$@"; do
        [[ $option != *=* ]] || wanted[${option%%=*}]=${option#*=} # the last one counts
    done
    for name in ${wanted[@]+"${!wanted[@]}"}; do
        there=$(sed -nE "s/^ *\"$name\": \"?([^\",]*)\"?,?\$/\1/p" "$config")
        awk -v a="$there" -v b="${wanted[$name]}" 'BEGIN { exit a != b }' || { echo "its $name is $there, not ${wanted[$name]}"; return; }
    done
}

run() { # INDEX into the plan: becomes the process that trains
    local file preset seed folder
    IFS=$'\t' read -r file preset seed folder <<<"${plan[$1]}"
    options_of "$file" "$preset"
    [ ! -e "$folder/config.json" ] || exec "$unifloral" train --resume "$folder" --quiet
    exec "$unifloral" train "$(config_of "$file" "$preset")" --dataset "$file" --seed "$seed" --threads 1 \
        ${options[@]+"${options[@]}"} --out "$folder" --quiet
}

# ---- all runs ----

declare -A running=() # process -> index into the plan
done_before=0 done_now=0 failed=0 started=$SECONDS
duration() { printf '%d:%02d:%02d' $(($1 / 3600)) $(($1 / 60 % 60)) $(($1 % 60)); }

stop() { # the runs save and stop; called again they go on from there
    trap '' INT TERM
    ((${#running[@]})) && kill -TERM "${!running[@]}" 2>/dev/null
    wait
    echo "stopped; run it again to go on" >&2
    exit $((128 + $1))
}
trap 'stop 2' INT
trap 'stop 15' TERM

say_end() { # INDEX RESULT: one line for each run that ends
    local file preset seed folder left="" here=$((done_now + failed))
    IFS=$'\t' read -r file preset seed folder <<<"${plan[$1]}"
    ((here)) && left=", $(duration $(((SECONDS - started) * (${#plan[@]} - done_before - here) / here))) left"
    echo "[$((done_before + here))/${#plan[@]}] $(basename "$file" .hdf5) $preset seed $seed: $2$left"
}

finish_one() {
    local pid status index result
    wait -n -p pid "${!running[@]}"
    status=$?
    index=${running[$pid]}
    unset "running[$pid]"
    if ((status == 0)); then
        done_now=$((done_now + 1))
        result=$(grep -E '^(normalised score|return) ' "${folders[$index]}.txt")
    else
        failed=$((failed + 1))
        result="FAILED: $(grep '^error: ' "${folders[$index]}.txt" || echo "exit status $status, see ${folders[$index]}.txt")"
    fi
    say_end "$index" "$result"
}

todo=() others=()
for i in "${!plan[@]}"; do
    IFS=$'\t' read -r file preset seed folder <<<"${plan[$i]}"
    folders+=("$folder")
    options_of "$file" "$preset"
    differs=""
    [ ! -e "$folder/config.json" ] || differs=$(other_run "$folder" "$file" ${options[@]+"${options[@]}"})
    if [ -n "$differs" ]; then
        others+=("$i:$folder holds another run: $differs; give another --out")
    elif [ -e "$folder/final.h5" ]; then
        done_before=$((done_before + 1))
    else
        todo+=("$i")
    fi
done
# In braces, read to the end before it starts: bash otherwise reads on in a script that changed under a long run.
{
    echo "${#plan[@]} runs, $done_before done before, $jobs at a time; in $out"
    for other in ${others[@]+"${others[@]}"}; do
        failed=$((failed + 1))
        say_end "${other%%:*}" "FAILED: ${other#*:}"
    done
    for i in ${todo[@]+"${todo[@]}"}; do
        IFS=$'\t' read -r file preset seed folder <<<"${plan[$i]}"
        ! needs_model "$preset" || train_model "$file"
    done
    for i in ${todo[@]+"${todo[@]}"}; do
        while ((${#running[@]} >= jobs)); do finish_one; done
        mkdir -p "${folders[$i]%/*}" || exit 1
        run "$i" >"${folders[$i]}.txt" 2>&1 &
        running[$!]=$i
    done
    while ((${#running[@]})); do finish_one; done

    "$unifloral" report "${folders[@]}" --out "$report" --csv "$out/results.csv" && echo "page   $report" || failed=$((failed + 1))
    exit $((failed > 0))
}
