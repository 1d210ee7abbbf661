#!/usr/bin/env bash
# The program with a CUDA device: verify in every precision, a run that changes devices, bench, and its refusals.
# UNIFLORAL names it. Without a device one case, skipped.
set -uo pipefail
UNIFLORAL=${UNIFLORAL:-./unifloral}
T=$(mktemp -d /tmp/unifloral-cuda-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

# check NAME COMMAND...: the command succeeds.
check() {
    local name=$1
    shift
    if "$@" >"$T/out" 2>&1; then echo "ok $name"; else
        echo "not ok $name"
        tail -n 5 "$T/out" | sed 's/^/    /'
        bad=1
    fi
}
# says NAME PIECE COMMAND...: the command fails with one sentence that has PIECE.
says() {
    local name=$1 piece=$2
    shift 2
    if ! "$@" >"$T/out" 2>&1 && grep -qF -- "$piece" "$T/out"; then echo "ok $name"; else
        echo "not ok $name"
        tail -n 5 "$T/out" | sed 's/^/    /'
        bad=1
    fi
}

says "an unknown device" "expected one of cpu, cuda, auto" "$UNIFLORAL" verify --device tpu tests/data/update_bc.h5
check "auto verifies on what there is" "$UNIFLORAL" verify --device auto tests/data/update_bc.h5
if ! "$UNIFLORAL" verify --device cuda --precision fp32 tests/data/update_bc.h5 >"$T/out" 2>&1 &&
    grep -q "^error: device 'cuda'" "$T/out"; then
    echo "skip $(cat "$T/out")"
    exit $bad
fi

for precision in fp32 tf32 bf16; do
    check "verify in $precision" "$UNIFLORAL" verify --device cuda --precision $precision tests/data/update_*.h5
done
says "traces are the host's" "are replayed on the CPU" "$UNIFLORAL" verify --device cuda tests/data/classic_traces.h5
# prints NAME PATTERN COMMAND...: the command succeeds and a line of what it prints is like PATTERN.
prints() {
    local name=$1 pattern=$2
    shift 2
    check "$name" bash -c 'pattern=$1; shift; out=$("$@") || exit 1; echo "$out"; grep -Eq -- "$pattern" <<<"$out"' - "$pattern" "$@"
}
check "verify of gridworlds" "$UNIFLORAL" verify --device cuda tests/data/minigrid_traces.h5
prints "and what of it is the host's" "on the CPU: tiles" "$UNIFLORAL" verify --device cuda tests/data/minigrid_tiles.h5
prints "bench of gridworlds" '"observation_bytes": 147, .*"device": "cuda .*"bytes_per_step": 347, "gb_per_second": ' \
    "$UNIFLORAL" bench --env MiniGrid-DoorKey-5x5-v0 --device cuda --envs 100 --steps 2 --windows 5
says "more gridworlds than there is memory" "lower the number of environments" "$UNIFLORAL" bench --env MiniGrid-DoorKey-16x16-v0 --device cuda --envs 2147483647
model=../shared/oracle/dynamics.h5
for precision in fp32 tf32 bf16; do
    name="verify a world model in $precision"
    if [[ -r $model ]]; then check "$name" "$UNIFLORAL" verify --device cuda --precision $precision $model; else echo "skip $name: no $model"; fi
done
says "an unknown precision" "fp16" "$UNIFLORAL" verify --device cuda --precision fp16 tests/data/update_bc.h5

check "a dataset" "$UNIFLORAL" collect --env pendulum --policy random --steps 600 --out "$T/data.hdf5"
cat >"$T/small.json" <<JSON
{"algorithm": "small", "batch_size": 32, "actor_layer_width": 16, "critic_layer_width": 16, "actor_num_layers": 2,
 "critic_num_layers": 2, "num_updates": 60, "eval_interval": 20, "eval_final_episodes": 2, "eval_workers": 2,
 "checkpoint_interval": 20, "dataset": "$T/data.hdf5"}
JSON
check "train on the device" "$UNIFLORAL" train "$T/small.json" --device cuda --quiet --out "$T/run"
check "and evaluate on the host" "$UNIFLORAL" eval "$T/run" --episodes 2 --json
ppo=("$UNIFLORAL" ppo --env MiniGrid-Empty-5x5-v0 --quiet --population 2 --set num_envs=4 --set num_steps=16 --set num_minibatches=2
    --set layer_width=16 --set log_interval=2 --set checkpoint_interval=3 --set eval_final_episodes=4)
recording=../shared/oracle/ppo_update.h5
for precision in fp32 tf32 bf16; do
    name="verify updates of PPO in $precision"
    if [[ -r $recording ]]; then check "$name" "$UNIFLORAL" verify --device cuda --precision $precision $recording; else echo "skip $name: no $recording"; fi
    check "PPO in $precision" "${ppo[@]}" --steps 256 --device cuda --precision $precision --out "$T/ppo_$precision"
done
check "PPO goes on, on the CPU" "$UNIFLORAL" ppo --resume "$T/ppo_fp32" --device cpu --quiet
check "the same of PPO again" "${ppo[@]}" --steps 256 --device cuda --precision fp32 --out "$T/ppo_again"
lines() { sed -E 's/"(seconds|steps_per_second)": [^,]*, //g' "$1/log.jsonl"; }
check "gives the same lines" diff <(lines "$T/ppo_fp32") <(lines "$T/ppo_again")
"$UNIFLORAL" bench --ppo --env MiniGrid-Empty-5x5-v0 --set num_envs=2 --set num_steps=8 --set num_minibatches=2 --device cuda --steps 1 \
    --windows 5 >"$T/bench" 2>&1
for key in frames_per_second seconds_for_1m_frames_each busy_ms_per_iteration; do
    check "bench of PPO has $key" grep -q "\"$key\": " "$T/bench"
done
check "a recorded iteration, and one launch" grep -q '"launches_beside_recorded": 1,' "$T/bench"
check "twice" "$UNIFLORAL" train "$T/small.json" --device cuda --precision fp32 --quiet --out "$T/a"
check "in fp32" "$UNIFLORAL" train "$T/small.json" --device cuda --precision fp32 --quiet --out "$T/b"
final() { sed -E 's/"(seconds|updates_per_second|elapsed|time)[a-z_]*": *[0-9.e+-]+,?//g' "$1/log.jsonl" | tail -n 3; }
check "gives the same log" diff <(final "$T/a" | grep -o '"[a-z_]*loss": *[^,]*') <(final "$T/b" | grep -o '"[a-z_]*loss": *[^,]*')
check "a run goes on" "$UNIFLORAL" train "$T/small.json" --device cuda --set num_updates=80 --quiet --out "$T/c"
check "auto names its choice" bash -c "'$UNIFLORAL' train '$T/small.json' --device auto --out '$T/d' 2>&1 | grep 'note: device auto: cuda'"

# Evaluation between updates is the device's, on threads beside training the host's: the same policies, so nearly the same
# returns (a deviation in the last bit of an action grows in 200 steps).
check "evaluation on threads" "$UNIFLORAL" train "$T/small.json" --device cuda --precision fp32 --set eval_threads=1 --quiet --out "$T/threads"
returns() { grep -o '"eval_return": *[^,]*' "$1/log.jsonl" | sed 's/.*: *//'; }
near() { paste <(returns "$1") <(returns "$2") | awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= 0.01 * -$1)) bad = 1 } END { exit bad || NR != 3 }'; }
check "says what the device's says" near "$T/a" "$T/threads"

cat >"$T/online.json" <<JSON
{"algorithm": "sac", "env": "pendulum", "online": true, "start_steps": 250, "num_updates": 60, "deterministic": false,
 "use_tanh_mean": false, "use_entropy_loss": true, "actor_bc_coef": 0, "batch_size": 32, "actor_layer_width": 16,
 "critic_layer_width": 16, "actor_num_layers": 2, "critic_num_layers": 2, "eval_interval": 30, "eval_workers": 2,
 "eval_final_episodes": 2, "checkpoint_interval": 30, "norm_obs": false}
JSON
check "online on the device" "$UNIFLORAL" online "$T/online.json" --device cuda --quiet --out "$T/online"
check "its buffer holds every step" grep -q "^rows *310 transitions" <("$UNIFLORAL" info "$T/online/buffer.hdf5")

# bench: its form, and what can be counted.
bench() { "$UNIFLORAL" bench --device cuda --steps 1 --windows 5 "$@"; }
value() { sed -nE "s/.*\"$1\": ([-0-9.e+]+).*/\1/p"; }
check "bench" bash -c "'$UNIFLORAL' bench --config configs/td3_bc.json --device cuda --steps 1 --windows 5 >'$T/bench'"
for key in us_per_update_and_agent gflop_per_update tflops peak_tflops share_of_peak kernels_per_update busy_us_per_update idle_share; do
    check "bench has $key" grep -q "\"$key\": " "$T/bench"
done
"$UNIFLORAL" bench --config configs/td3_bc.json --threads 1 --steps 1 --windows 5 >"$T/cpu"
check "an update's operations are those that the CPU counts" test \
    "$(value gflop_per_update <"$T/bench" | xargs printf %.3f)" = "$(value gflop_per_update <"$T/cpu")"
shares() { awk -v a="$(value share_of_peak <"$1")" -v b="$(value tflops <"$1")" -v c="$(value peak_tflops <"$1")" -v d="$(value idle_share <"$1")" \
    'BEGIN { r = b / c / a; exit !(r > 0.99 && r < 1.01 && a > 0 && d >= 0 && d < 1) }'; }
check "shares are shares" shares "$T/bench"
bench --config "$T/small.json" --precision fp32 >"$T/one"
bench --config "$T/small.json" --precision fp32 --population 3 >"$T/three"
check "three members launch as one does" test "$(value launches_per_update <"$T/one")" = "$(value launches_per_update <"$T/three")"
check "the recorded update is that, and a counter" test "$(value kernels_per_update <"$T/one")" = $(($(value launches_per_update <"$T/one") + 1))
if grep -q 'cuda (the host' "$T/bench"; then
    check "on the host it says that its times mean nothing" grep -q '"note": "no GPU' "$T/bench"
fi
mkdir -p "$T/here/configs"
tiny='"batch_size": 16, "actor_layer_width": 8, "critic_layer_width": 8'
for preset in td3_awr td3_bc iql rebrac; do echo "{\"algorithm\": \"$preset\", $tiny}" >"$T/here/configs/$preset.json"; done
echo "{\"algorithm\": \"mobrac\", $tiny, \"dataset_sample_ratio\": 0.5, \"model_path\": \"-\", \"rollout_batch_size\": 64, \"rollout_length\": 2,
    \"layer_size\": 8, \"n_layers\": 2}" >"$T/here/configs/mobrac.json"
program=$(realpath "$UNIFLORAL")
(cd "$T/here" && "$program" bench --device cuda --steps 1 --windows 5 --obs-dim 3 --action-dim 1) >"$T/list" 2>&1
check "a list of presets and populations" test "$(grep -c us_per_update_and_agent "$T/list")" = 12
check "three populations of each" test "$(grep -c '"algorithm": "iql".*"population": \(1\|16\|64\),' "$T/list")" = 3
check "and rollouts" grep -q '"algorithm": "mobrac".*"rollout_batch_size": 64, "rollout_length": 2, "ms_per_rollout"' "$T/list"
(cd "$T/here" && "$program" bench --device cuda --steps 1 --windows 5 --obs-dim 3 --action-dim 1 --population 2) >"$T/list" 2>&1
check "of one population" test "$(grep -c '"population": 2,' "$T/list") $(wc -l <"$T/list")" = "4 5"
rm "$T/here/configs/iql.json"
says "a list without its presets" "configs/iql.json is not here" bash -c "cd '$T/here' && '$program' bench --device cuda --steps 1 --windows 5"
echo '{"num_ensemble": 3, "num_elites": 2, "n_layers": 2, "layer_size": 16, "batch_size": 64, "num_epochs": 2}' >"$T/model.json"
model=("$UNIFLORAL" dynamics --config "$T/model.json" --dataset "$T/data.hdf5" --quiet)
check "a world model on the device" "${model[@]}" --set device=cuda --out "$T/model"
check "info does without it" "$UNIFLORAL" info "$T/model/model.h5"
check "and training in it" "$UNIFLORAL" train "$T/small.json" --device cuda --quiet --out "$T/e" --set model_path="$T/model" \
    --set dataset_sample_ratio=0.5 --set rollout_interval=20 --set rollout_batch_size=64 --set termination=never
small=(--set num_steps=300 --set warm_up=50 --set layer_width=8 --set ppo_num_steps=20)
cat >"$T/search.json" <<JSON
{"env": "CartPole-v1", "popsize": 4, "generations": 2, "width": 4, "episodes": 2, "algorithms": "ppo,dqn", "eval_algorithms": "dqn",
 "eval_agents": 2, "eval_episodes": 2}
JSON
check "a search for a synthetic environment" "$UNIFLORAL" synthenv meta --config "$T/search.json" "${small[@]}" --device cuda --quiet --out "$T/bandit"
check "the same again" "$UNIFLORAL" synthenv meta --config "$T/search.json" "${small[@]}" --device cuda --quiet --out "$T/bandit_again"
check "gives the same environment" cmp "$T/bandit/environment.h5" "$T/bandit_again/environment.h5"
prints "agents in it, and which device auto is" '^device auto: cuda \(' \
    "$UNIFLORAL" synthenv train "$T/bandit/environment.h5" "${small[@]}" --algorithms dqn --agents 2 --episodes 2 --controls --device auto
exit $bad
