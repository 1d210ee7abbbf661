#!/usr/bin/env bash
# test_reproduce: bench/reproduce.sh at a tiny scale: it ends, goes on after a kill with the same results, and its
# commands give the same run again. Prints "ok name" or "not ok name". Environment: UNIFLORAL, BUILD.
set -uo pipefail
export UNIFLORAL
UNIFLORAL=$(realpath "${UNIFLORAL:-./unifloral}")
same=${BUILD:-build}/tests/same_h5
T=$(mktemp -d /tmp/unifloral-reproduce-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

. tests/check.sh
refused() { # NAME STATUS PATTERN ARGUMENTS...
    local name=$1 status=$2 pattern=$3
    shift 3
    bench/reproduce.sh "$@" >"$T/out" 2>"$T/err"
    check "$name" test $? = "$status" -a "$(grep -cE "^error: .*($pattern)" "$T/err")" = 1
}

# The file of D4RL's name and dimensions, without env_id: the name alone says Hopper with the old masses.
awk 'BEGIN { for (k = 0; k < 11; k++) printf "obs_%d,", k
    print "action_0,action_1,action_2,reward,terminal,timeout"
    for (i = 0; i < 600; i++) {
        for (k = 0; k < 11; k++) printf "%g,", sin(i + k)
        printf "%g,%g,%g,1,%d,0\n", sin(i), cos(i), sin(2 * i), i % 50 == 49 } }' >"$T/hopper.csv"
"$UNIFLORAL" convert "$T/hopper.csv" "$T/hopper-medium-v2.hdf5" >/dev/null || bad=1
"$UNIFLORAL" collect --env pendulum --policy random --steps 2000 --seed 1 --out "$T/pendulum-random.hdf5" >/dev/null || bad=1
tiny=(--presets "bc iql sac_n" --seeds 2 --set num_updates=60 --set eval_interval=20 --set checkpoint_interval=20
    --set eval_final_episodes=3 --set batch_size=16 --set actor_layer_width=16 --set critic_layer_width=16)
both=("${tiny[@]}" --dataset "$T/hopper-medium-v2.hdf5" --dataset "$T/pendulum-random.hdf5")

refused "unknown option" 2 "unknown option '--fast'" --fast
refused "missing value" 2 "--seeds: the value is missing" --seeds
refused "no such dataset" 1 "nowhere.hdf5: no such dataset" --dataset "$T/nowhere.hdf5" --out "$T/r"
mkdir "$T/twin"
cp "$T/pendulum-random.hdf5" "$T/twin/"
refused "two datasets of one name" 1 "two datasets are called pendulum-random" --dataset "$T/pendulum-random.hdf5" \
    --dataset "$T/twin/pendulum-random.hdf5" --out "$T/r"

# ---- straight, and killed on the way ----

check "all runs" bench/reproduce.sh "${both[@]}" --jobs 2 --out "$T/straight" --report "$T/straight.md"
check "a line for each run" test "$(grep -c '^\[[0-9]*/12\] .* seed [01]: ' "$T/out")" = 12
check "a page" grep -q '^| pendulum-random.hdf5 | sac_n | .* | 2 | 60 |$' "$T/straight.md"
check "a line of csv for each run" test "$(wc -l <"$T/straight/results.csv")" = 13
check "called after D4RL's file, and not it" grep -q "Called after D4RL's hopper-medium-v2, .* has 600: no published" "$T/straight.md"
if grep -q UF_NO_MUJOCO "${BUILD:-build}/flags"; then
    echo "skip hopper-medium-v2.hdf5 is evaluated in Hopper-v2: built without MuJoCo"
else
    check "hopper-medium-v2.hdf5 is evaluated in Hopper-v2" grep -q '^| iql | 1 | .* | 3 of Hopper-v2 | 60 |' "$T/straight.md"
fi

for _ in 1 2 3 4; do # the script and its runs at once
    setsid bench/reproduce.sh "${both[@]}" --jobs 2 --out "$T/killed" --report "$T/killed.md" >/dev/null 2>&1 &
    pid=$!
    sleep "0.$((RANDOM % 5 + 1))"
    kill -9 -- -$pid 2>/dev/null
    wait $pid 2>/dev/null
done
left=$((12 - $(find "$T/killed" -name final.h5 | wc -l)))
check "goes on after kills, $left of 12 to do" bench/reproduce.sh "${both[@]}" --jobs 2 --out "$T/killed" --report "$T/killed.md"
for file in "$T"/straight/*/*/final.h5; do
    check "same result: ${file#"$T/straight/"}" "$same" "$file" "$T/killed/${file#"$T/straight/"}"
done
check "nothing is done twice" bench/reproduce.sh "${both[@]}" --jobs 2 --out "$T/killed" --report "$T/killed.md"
check "and it says so" test "$(grep -c '^12 runs, 12 done before' "$T/out")" = 1 -a "$(grep -c ' seed ' "$T/out")" = 0

bench/reproduce.sh "${both[@]}" --set num_updates=1000000 --jobs 2 --out "$T/stopped" --report "$T/stopped.md" >"$T/said" 2>&1 &
pid=$!
for _ in $(seq 1200); do
    [ "$(find "$T/stopped" -name log.jsonl 2>/dev/null | wc -l)" = 2 ] && break
    sleep 0.05
done
kill -TERM $pid
wait $pid
check "SIGTERM ends with 143" test $? = 143
check "and leaves two checkpoints" test "$(find "$T/stopped" -name checkpoint.h5 | wc -l)" = 2
check "and says how to go on" grep -q '^stopped; run it again' "$T/said"

# ---- failures ----

bench/reproduce.sh "${tiny[@]}" --presets "bc nonsense" --dataset "$T/pendulum-random.hdf5" --out "$T/straight" --report "$T/some.md" \
    >"$T/said" 2>&1
check "a failed run is status 1" test $? = 1
check "is said" grep -q 'nonsense seed 1: FAILED: error: .*nonsense.json' "$T/said"
check "and does not stop the rest" grep -q '^4 runs, 2 done before' "$T/said"
check "the page names it" grep -q 'nonsense_1`: is not there' "$T/some.md"
bench/reproduce.sh "${both[@]}" --set batch_size=8 --out "$T/straight" --report "$T/other.md" >"$T/said" 2>&1
check "runs of other settings are not taken" grep -q 'FAILED: .*bc_0 holds another run: its batch_size is 16, not 8' "$T/said"

# ---- the page's commands ----

command=$(grep -m 1 '^unifloral train configs/pendulum/iql.json ' "$T/straight.md")
command=${command/--seed S/--seed 1}
check "a command makes its run again" eval "\"\$UNIFLORAL\" ${command#unifloral} --out '$T/again' --quiet"
check "to the same result" "$same" "$T/straight/pendulum-random/iql_1/final.h5" "$T/again/final.h5"

exit $bad
