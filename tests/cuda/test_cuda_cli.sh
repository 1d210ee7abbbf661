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
says "an unknown precision" "fp16" "$UNIFLORAL" verify --device cuda --precision fp16 tests/data/update_bc.h5

check "a dataset" "$UNIFLORAL" collect --env pendulum --policy random --steps 600 --out "$T/data.hdf5"
cat >"$T/small.json" <<JSON
{"algorithm": "small", "batch_size": 32, "actor_layer_width": 16, "critic_layer_width": 16, "actor_num_layers": 2,
 "critic_num_layers": 2, "num_updates": 60, "eval_interval": 20, "eval_final_episodes": 2, "eval_workers": 2,
 "checkpoint_interval": 20, "dataset": "$T/data.hdf5"}
JSON
check "train on the device" "$UNIFLORAL" train "$T/small.json" --device cuda --quiet --out "$T/run"
check "and evaluate on the host" "$UNIFLORAL" eval "$T/run" --episodes 2 --json
check "twice" "$UNIFLORAL" train "$T/small.json" --device cuda --precision fp32 --quiet --out "$T/a"
check "in fp32" "$UNIFLORAL" train "$T/small.json" --device cuda --precision fp32 --quiet --out "$T/b"
final() { sed -E 's/"(seconds|updates_per_second|elapsed|time)[a-z_]*": *[0-9.e+-]+,?//g' "$1/log.jsonl" | tail -n 3; }
check "gives the same log" diff <(final "$T/a" | grep -o '"[a-z_]*loss": *[^,]*') <(final "$T/b" | grep -o '"[a-z_]*loss": *[^,]*')
check "a run goes on" "$UNIFLORAL" train "$T/small.json" --device cuda --set num_updates=80 --quiet --out "$T/c"
check "auto names its choice" bash -c "'$UNIFLORAL' train '$T/small.json' --device auto --out '$T/d' 2>&1 | grep 'note: device auto: cuda'"
check "bench" bash -c "'$UNIFLORAL' bench --config configs/td3_bc.json --device cuda --steps 1 --windows 5 | grep us_per_update_and_agent"
echo '{"num_ensemble": 3, "num_elites": 2, "n_layers": 2, "layer_size": 16, "batch_size": 64, "num_epochs": 2}' >"$T/model.json"
model=("$UNIFLORAL" dynamics --config "$T/model.json" --dataset "$T/data.hdf5" --quiet)
check "a world model on the device" "${model[@]}" --set device=cuda --out "$T/model"
check "info does without it" "$UNIFLORAL" info "$T/model/model.h5"
check "and training in it" "$UNIFLORAL" train "$T/small.json" --device cuda --quiet --out "$T/e" --set model_path="$T/model" \
    --set dataset_sample_ratio=0.5 --set rollout_interval=20 --set rollout_batch_size=64 --set termination=never
exit $bad
