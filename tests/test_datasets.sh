#!/usr/bin/env bash
# test_datasets: bench/datasets.sh (`make datasets`) with tiny networks: stopped and gone on with it makes the files of a run that
# was never stopped; what is made is left alone; the files train and evaluate. Prints "ok", "not ok" or "skip" lines.
# Environment: UNIFLORAL (the program), BUILD.
set -uo pipefail
export UNIFLORAL
UNIFLORAL=$(realpath "${UNIFLORAL:-./unifloral}")
if grep -q UF_NO_MUJOCO "${BUILD:-build}/flags"; then
    echo "skip locomotion datasets: built without MuJoCo"
    exit 0
fi
root=$PWD
T=$(mktemp -d /tmp/unifloral-datasets-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

check() { # NAME COMMAND...: passes if the command does
    local name=$1
    shift
    if "$@" >"$T/out" 2>&1; then
        echo "ok $name"
    else
        echo "not ok $name"
        sed 's/^/    /' "$T/out" | tail -n 5
        bad=1
    fi
}
refused() { # NAME PATTERN COMMAND...: status 1 and one line that says why
    local name=$1 pattern=$2
    shift 2
    "$@" >"$T/said" 2>"$T/why" </dev/null
    local status=$?
    check "$name" eval 'cat "$T/why"; test $status = 1 -a "$(wc -l <"$T/why")" = 1 && grep -Eq "^error: .*($pattern)" "$T/why"'
}

mkdir "$T/configs"
for task in hopper halfcheetah; do
    cat >"$T/configs/sac_$task.json" <<JSON
{"env": "$task", "algorithm": "sac", "batch_size": 16, "actor_num_layers": 2, "actor_layer_width": 16, "critic_num_layers": 2,
 "critic_layer_width": 16, "norm_obs": false, "deterministic": false, "use_tanh_mean": false, "actor_bc_coef": 0,
 "use_entropy_loss": true, "actor_entropy_coef": 1, "critic_entropy_coef": 1, "start_steps": 200, "eval_interval": 150,
 "eval_workers": 2, "eval_final_episodes": 2, "checkpoint_interval": 270, "medium_score": -10}
JSON
done
# Each in a folder of its own with names relative to it: recipes hold names, and the files shall agree in every byte.
export TASKS="hopper halfcheetah" STEPS=2500 ROWS=1000 CORES=2 CONFIGS=../configs RUNS=runs DATASETS=sets
enter() { # FOLDER NAME=VALUE...: becomes the script there, with SIGINT, which a script's background commands ignore
    mkdir -p "$T/$1" && cd "$T/$1" && shift && exec env --default-signal=INT "$@" bash "$root/bench/datasets.sh"
}
make_in() { (enter "$@"); }
files() { (cd "$T/$1/sets" && sha256sum ./*.hdf5); }

check "makes the sets" make_in straight
check "eight of them" test "$(ls "$T"/straight/sets/*.hdf5 | wc -l)" = 8

# ---- stopped on the way ----

stops=0
for signal in INT TERM INT; do
    enter stopped CORES=1 >"$T/log" 2>&1 &
    pid=$!
    lines=$(cat "$T"/stopped/runs/*/log.jsonl 2>/dev/null | wc -l)
    for _ in $(seq 400); do # until it has got on
        sleep 0.02
        (($(cat "$T"/stopped/runs/*/log.jsonl 2>/dev/null | wc -l) > lines + 1)) && break
    done
    kill -s $signal $pid 2>/dev/null
    wait $pid
    grep -q "^stopped; the same command goes on" "$T/log" && stops=$((stops + 1))
done
check "stopped at least twice ($stops)" test $stops -ge 2
check "and left unfinished" test ! -e "$T/stopped/sets/halfcheetah-medium-expert.hdf5"
check "goes on" make_in stopped CORES=1
check "the same bytes as without a stop" diff <(files straight) <(files stopped)

# ---- what is made ----

stamps() { stat -c '%n %y' "$T"/straight/sets/* "$T"/straight/runs/*/*.h5; }
stamps >"$T/before"
check "made before" test "$(make_in straight | grep -c ': made before$')" = 2
check "and left alone" diff "$T/before" <(stamps)
rm "$T/straight/sets/hopper-expert.hdf5"
check "one that was removed is made again" test "$(make_in straight | grep -cE '^wrote sets/hopper-expert.hdf5$|^kept |^halfcheetah: made before$')" = 5
check "as it was" diff <(files straight) <(files stopped)
refused "another scale" "hopper: STEPS=2500 ROWS=1000 MEDIUM= in runs, not STEPS=2500 ROWS=500 MEDIUM=" make_in straight ROWS=500
# Out of reach: there is no medium then, which is said, and the two others are all there is to make.
check "a medium that is not reached" test "$(make_in high TASKS=hopper STEPS=300 MEDIUM=90 2>/dev/null | grep -c '^skipped .*no evaluation reached medium_score 90$')" = 2
check "is no reason to begin again" test "$(make_in high TASKS=hopper STEPS=300 MEDIUM=90)" = "hopper: made before"
refused "unknown task" "'cheetah' has no ../configs/sac_cheetah.json" make_in straight TASKS=cheetah
check "all tasks have a configuration" eval 'for t in hopper halfcheetah walker2d; do test -e configs/online/sac_$t.json || exit 1; done'

(cd "$T/straight" && bash "$root/bench/datasets.sh" --table) >"$T/table"
check "a table of ten lines" test "$(wc -l <"$T/table")" = 10
check "with the sum of each file" eval 'for sum in $(files straight | cut -d" " -f1); do grep -q "$sum" "$T/table" || exit 1; done'
check "and rows" eval "grep -Eq '^\| hopper-medium-expert.hdf5 \| STEPS=2500 ROWS=1000 \| 2000 \| ' $T/table"

# ---- trained on ----

small() { "$UNIFLORAL" train configs/td3_bc.json --set num_updates=4 --set eval_interval=4 --set eval_workers=2 \
    --set eval_final_episodes=2 --set actor_layer_width=16 --set critic_layer_width=16 --set batch_size=16 --quiet "$@"; }
for kind in medium-replay medium expert medium-expert; do
    check "td3_bc trains on $kind and evaluates in D4RL's hopper" eval "small --dataset $T/straight/sets/hopper-$kind.hdf5 \
        --out $T/$kind && '$UNIFLORAL' info $T/$kind/final.h5 | grep -E '^env +Hopper-v2'"
done
refused "a dataset of another task" "env: environment HalfCheetah-v2 has 17 observations and 6 actions, the dataset 11 and 3" \
    small --dataset "$T/straight/sets/hopper-medium.hdf5" --env halfcheetah --out "$T/refused"
check "which leaves no folder" test ! -e "$T/refused"
exit $bad
