#!/usr/bin/env bash
# test_population: unifloral train with several configurations: each run ends as it does alone, to the bit, whoever else
# is there, whoever fails, and whatever is killed. Prints "ok name", "not ok name" or "skip name".
# Environment: UNIFLORAL, BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
T=$(mktemp -d /tmp/unifloral-population-XXXXXX)
trap 'rm -rf "$T"' EXIT
same=$(realpath "${BUILD:-build}/tests/same_h5")
bad=0

. tests/check.sh
numbers() { sed -E 's/"seconds": [^,]*, "updates_per_second": [^,]*, //' "$1/log.jsonl"; } # all but the clock
same_run() { # A B: every number but the clock; the configuration in a file knows threads
    "$same" "$1/checkpoint.h5" "$2/checkpoint.h5" value/ && "$same" "$1/checkpoint.h5" "$2/checkpoint.h5" adam_ &&
        "$same" "$1/checkpoint.h5" "$2/checkpoint.h5" metrics && "$same" "$1/final.h5" "$2/final.h5" &&
        diff <(numbers "$1") <(numbers "$2")
}
cd "$T" || exit 1

# Four that fit together but for a critic's width, and one whose numbers do not stay finite.
member() { # NAME SETTINGS
    cat >"$1.json" <<END_OF_MEMBER
{
    "algorithm": "$1", "dataset": "data.hdf5",
    "num_updates": 1500, "eval_interval": 500, "checkpoint_interval": 350, "eval_final_episodes": 6,
    "eval_workers": 2, "num_threads": 2, "batch_size": 32, "actor_layer_width": 24, "critic_ln": false, $2
}
END_OF_MEMBER
}
member one '"critic_layer_width": 24, "seed": 1'
member two '"critic_layer_width": 24, "seed": 2, "lr": 1e-4, "gamma": 0.9, "policy_noise": 0'
member wide '"critic_layer_width": 40, "seed": 3'
member three '"critic_layer_width": 24, "seed": 3, "actor_bc_coef": 1, "polyak_step_size": 0.05'
member bad '"critic_layer_width": 24, "seed": 4, "lr": 1000'
good=(one two wide three)
names=(one two wide three bad)
files=("${names[@]/%/.json}")
"$U" collect --env pendulum --policy random --steps 2000 --seed 1 --out data.hdf5 >/dev/null || bad=1
for name in "${names[@]}"; do "$U" train "$name.json" --out "alone/$name" >/dev/null 2>"$name.alone"; done
check "one is not finite" grep -q '^error: update [0-9]*: .* is not finite' bad.alone


compare() { # NAME FOLDER: `bad` failed with the sentence it has alone; the others are as alone
    local run
    check "$1: one fails, with its own sentence" test -s complaint -a "$(sed "s#$2/bad#F#g" complaint)" = "$(sed -n 's#alone/bad#F#g; s#^error: #error: F: #p' bad.alone)"
    for run in "${good[@]}"; do check "$1: $run is what it is alone" same_run "alone/$run" "$2/$run"; done
}
together() { # NAME FOLDER ARGUMENTS...: to the end, where the failure gives the status
    local name=$1 folder=$2 status
    shift 2
    "$U" train "${files[@]}" --out "$folder" --quiet "$@" >said 2>complaint </dev/null
    status=$?
    check "$name: status of the one that fails" test $status = 1
    compare "$name" "$folder"
}

together "five" five
check "a line for each" test "$(grep -c 'normalised score' said)" = 4
check "the files are the same bytes" cmp alone/two/checkpoint.h5 five/two/checkpoint.h5
check "results too" cmp alone/two/final.h5 five/two/final.h5
check "a curve each" test -s five/one/learning_curve.png -a -s five/three/learning_curve.svg
together "again" five
together "three threads" threads --threads 3
together "evaluated beside" beside --set eval_threads=1
together "one thread, beside" thread --threads 1 --set eval_threads=2

# ---- stopped and killed ----

for round in 1 2; do
    for _ in 1 2 3 4; do
        "$U" train "${files[@]}" --out "killed$round" --quiet --set eval_threads=$((RANDOM % 2)) >/dev/null 2>&1 &
        pid=$!
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    together "killed, round $round" "killed$round"
done
# Members that a kill left behind catch up, then all go on together.
cp -r five behind
rm -f behind/one/checkpoint.h5 behind/*/final.h5
"$U" train three.json --out behind3 --quiet --set num_updates=700 --set checkpoint_interval=10 >/dev/null 2>&1 &
pid=$!
until [ -s behind3/checkpoint.h5 ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -INT $pid 2>/dev/null
wait $pid
check "Ctrl-C ends with 130" test $? = 130
rm -rf behind/three/checkpoint.h5 && cp behind3/checkpoint.h5 behind/three/
"$U" train "${files[@]}" --out behind --quiet >said 2>complaint </dev/null
check "another run's checkpoint is refused by name" grep -q 'behind/three: num_updates: the run to resume was trained with 700, not 1500' complaint
for run in one two wide; do check "and $run goes on" same_run "alone/$run" "behind/$run"; done
rm -rf behind3 behind/three
"$U" train three.json --out behind/three --quiet --set checkpoint_interval=10 >/dev/null 2>&1 &
pid=$!
until [ -s behind/three/checkpoint.h5 ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -9 $pid
wait $pid 2>/dev/null
rm -f behind/one/checkpoint.h5 behind/one/final.h5
together "left behind" behind

# ---- refused ----

mkdir other
cp one.json other/one.json
sed -i 's/data.hdf5/else.hdf5/' other/one.json
cp one.json else.json
sed -i 's/data.hdf5/else.hdf5/' else.json
refused "one name twice" 1 "one.json and other/one.json would both train in x/one; rename one" train one.json other/one.json --out x
refused "two datasets" 1 "need one dataset and one env, but have 'data.hdf5' and 'else.hdf5'" train one.json else.json --out x
refused "no folder" 2 "--out is missing: the folder for the runs of several configurations" train one.json two.json
refused "--resume" 2 "--resume: several configurations go on by the same command" train one.json two.json --resume five
refused "a contradiction, before anything is made" 1 "one.json with --set: diversity_coef 1 needs num_critics" train one.json two.json --out x --set num_critics=1 --set diversity_coef=1
check "nothing was made" test ! -e x

exit $bad
