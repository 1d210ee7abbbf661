#!/usr/bin/env bash
# test_minigrid: gridworlds from the command line: data, training with evaluations, what a run is worth, and refusals.
# Prints "ok name", "not ok name" or "skip name" for each case. Environment: UNIFLORAL (the program).
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
T=$(mktemp -d /tmp/unifloral-minigrid-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0
. tests/check.sh
id=MiniGrid-Empty-5x5-v0
small=(--set num_updates=300 --set eval_interval=150 --set batch_size=64 --set actor_layer_width=32 --set lr=1e-3
    --set critic_layer_width=32 --set actor_lr=1e-3 --set eval_final_episodes=20 --set env=$id --threads 1 --quiet)

check collect "$U" collect --env $id --mix random:0.5,medium:0.5 --steps 4000 --out "$T/data.hdf5"
check "info says kinds" grep -q '^actions  *7 kinds' <("$U" info "$T/data.hdf5")
for preset in bc iql cql; do
    check "train $preset" "$U" train configs/minigrid/$preset.json --dataset "$T/data.hdf5" --out "$T/$preset" "${small[@]}"
    check "interim evaluations of $preset" test "$(grep -c '"eval_score"' "$T/$preset/log.jsonl")" = 2
done
check "the environment is the dataset's" "$U" train configs/minigrid/bc.json --dataset "$T/data.hdf5" --out "$T/named" \
    "${small[@]}" --set env=
check "eval" "$U" eval "$T/bc" --episodes 20
check "it found the way" awk '/^normalised score/ { good = $3 > 80 } END { exit !good }' <("$U" eval "$T/bc" --episodes 20)
check "collect with the policy" "$U" collect --env $id --policy "$T/bc@mean" --steps 500 --out "$T/own.hdf5"
check "mix of policies" "$U" collect --env $id --mix "random:0.5,$T/cql:0.5" --steps 500 --out "$T/mixed.hdf5"
check "fqe" "$U" fqe "$T/bc" "$T/iql" --dataset "$T/data.hdf5" --set num_updates=100 --set critic_layer_width=32 \
    --set batch_size=64 --threads 1 --quiet
check "resume" "$U" train --resume "$T/cql" --set num_threads=1 --quiet

# A continuous head, as before there was another, and whose data are what it did.
check "a continuous policy" "$U" train configs/minigrid/bc.json --dataset "$T/data.hdf5" --out "$T/continuous" "${small[@]}" \
    --set action_space=continuous
check "its data are discrete" "$U" collect --env $id --policy "$T/continuous" --steps 300 --out "$T/again.hdf5"
check "its data have kinds" grep -q '^actions  *7 kinds' <("$U" info "$T/again.hdf5")
check "info of checkpoints" test "$("$U" info "$T/bc" | grep -c 'action kinds')$("$U" info "$T/continuous" |
    grep -c 'action kinds')" = 10

refused "another head cannot resume" 1 "action_space" train --resume "$T/bc" --set action_space=continuous
refused "smoothing of kinds" 1 "policy_noise 0.2" train configs/minigrid/bc.json --dataset "$T/data.hdf5" \
    --out "$T/r" --set policy_noise=0.2
refused "derivatives by kinds" 1 "diversity_coef" train configs/edac.json --dataset "$T/data.hdf5" --out "$T/r" \
    --set action_space=discrete
refused "unknown id" 1 "did you mean 'MiniGrid-Empty-5x5-v0'" collect --env MiniGrid-Empty-5x6-v0 --policy random \
    --steps 10 --out "$T/r.hdf5"
refused "NAVIX's rules" 1 "take a 'MiniGrid-' id" collect --env Navix-Empty-5x5-v0 --policy random --steps 10 \
    --out "$T/r.hdf5"
refused "noise on kinds" 1 "noise of 0.1 needs continuous" collect --env $id --policy random --noise 0.1 --steps 10 \
    --out "$T/r.hdf5"
refused "a policy of another task" 1 "147 observations and 7 actions" eval "$T/bc" --env cartpole
refused "a task without a script" 1 "no scripted controller" collect --env MiniGrid-PutNear-6x6-N2-v0 --policy expert \
    --steps 10 --out "$T/r.hdf5"
exit $bad
