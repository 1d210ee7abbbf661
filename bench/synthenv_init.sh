#!/usr/bin/env bash
# synthenv_init.sh: does training on a dataset gain by beginning from a bandit made of it (--init-from)?
# usage: bench/synthenv_init.sh [DATASET [CONFIGS [TEACHER [SEEDS]]]]    from the repository root, after `make`
#
# DATASET (default: 40000 steps of Pendulum that are collected here), CONFIGS a folder with td3_bc.json, bc.json and
# iql.json (default configs/pendulum), TEACHER the configuration that trains the checkpoint whose Q is taken (default its
# rebrac.json), SEEDS how many (default 3). EPISODES=20 is of an evaluation, UPDATES=5000 of a run, TEACHER_UPDATES=10000,
# ALGORITHMS="td3_bc bc iql" and WAYS="none behaviour weighted q" may be fewer, FOLDER is where it all is left and found by
# the same command (default: a temporary one, removed in the end).
# Each algorithm trains without a bandit, from the dataset's behaviour, from that weighted by return (temperature .3), and
# from the Q of the teacher, a run that trained on the same dataset before. Prints the scores of all of them, and of the bandits'
# best actions, as a table: mean and standard deviation over seeds.
set -euo pipefail
unifloral=${UNIFLORAL:-./unifloral}
dataset=${1:-} configs=${2:-configs/pendulum} teacher=${3:-configs/pendulum/rebrac.json} seeds=${4:-3}
episodes=${EPISODES:-20} updates=${UPDATES:-5000} teacher_updates=${TEACHER_UPDATES:-10000}
folder=${FOLDER:-$(mktemp -d /tmp/unifloral-init-XXXXXX)}
[ -n "${FOLDER:-}" ] || trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder"
common=(--quiet --set env= --set eval_interval=500 --set eval_workers="$episodes" --set eval_final_episodes="$episodes"
    --set checkpoint_interval=1000000)

if [ -z "$dataset" ]; then
    dataset=$folder/pendulum.hdf5
    [ -e "$dataset" ] || "$unifloral" collect --env pendulum --policy replay --steps 40000 --seed 0 --out "$dataset" >/dev/null
fi
[ -e "$folder/teacher/final.h5" ] || "$unifloral" train "$teacher" --dataset "$dataset" --out "$folder/teacher" "${common[@]}" \
    --set num_updates="$teacher_updates" >"$folder/teacher.txt" 2>&1
make_bandit() { # NAME OPTIONS...
    local name=$1
    shift
    [ -e "$folder/$name.h5" ] || "$unifloral" synthenv make --dataset "$dataset" --out "$folder/$name.h5" "$@" >"$folder/$name.txt"
}
make_bandit behaviour
make_bandit weighted --return-temperature 0.3
make_bandit q --checkpoint "$folder/teacher"

run() { # ALGORITHM WAY SEED: its scores at the table's updates, on one line
    local out=$folder/$1-$2-$3 from=()
    [ "$2" = none ] || from=(--init-from "$folder/$2.h5")
    # The score before the first update is taken after one.
    for n in 1 "$updates"; do
        [ -e "$out-$n/final.h5" ] || rm -rf "$out-$n"
        [ -e "$out-$n/final.h5" ] || "$unifloral" train "$configs/$1.json" --dataset "$dataset" --out "$out-$n" --seed "$3" \
            "${common[@]}" --set num_updates=$n "${from[@]}" >"$out-$n.txt" 2>&1
    done
    awk -F, 'NR == 1 || FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        { printf "%s ", $column["eval_score"] }' "$out-1/log.csv"
    awk -F, 'FNR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        $column["update"] ~ /^(500|1000|2000|5000)$/ { printf "%s ", $column["eval_score"] } END { print "" }' "$out-$updates/log.csv"
}
columns=1 lines="---|---|---"
for n in 500 1000 2000 5000; do
    if ((n <= updates)); then columns+=" | $n" lines+="|---"; fi
done
echo "| algorithm | begins from | $columns |"
echo "|$lines|"
for algorithm in ${ALGORITHMS:-td3_bc bc iql}; do
    for way in ${WAYS:-none behaviour weighted q}; do
        for ((seed = 0; seed < seeds; seed++)); do run $algorithm $way $seed; done |
            awk -v a=$algorithm -v w=$way '{ for (i = 1; i <= NF; i++) { s[i] += $i; q[i] += $i * $i } n = NF }
                END { printf "| %s | %s |", a, w
                    for (i = 1; i <= n; i++) { m = s[i] / NR; v = q[i] / NR - m * m; printf " %.1f +- %.1f |", m, (NR > 1 ? sqrt((v > 0 ? v : 0) * NR / (NR - 1)) : 0) }
                    print "" }'
    done
done
echo
for name in behaviour weighted q; do
    sed -n "s/^reward */$name: /p" "$folder/$name.txt"
    "$unifloral" synthenv play "$folder/$name.h5" --episodes 100 | sed -n "s/^normalised score */$name: its best actions score /p"
done
sed -n 's/^normalised score */teacher: /p' "$folder/teacher.txt"
