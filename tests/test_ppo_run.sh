#!/usr/bin/env bash
# test_ppo_run: unifloral ppo: what it writes; runs that are stopped, killed and resumed end in the same bits, whatever the
# threads; populations; evaluation; what is refused. Prints "ok name", "not ok name" or "skip name".
# Environment: UNIFLORAL, BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
T=$(mktemp -d /tmp/unifloral-ppo-XXXXXX)
trap 'rm -rf "$T"' EXIT
same=$(realpath "${BUILD:-build}/tests/same_h5")
configs=$(realpath configs)
bad=0

. tests/check.sh
cd "$T" || exit 1

small=(--env MiniGrid-Empty-5x5-v0 --quiet --set num_envs=8 --set num_steps=32 --set num_minibatches=4 --set update_epochs=2
    --set layer_width=16 --set log_interval=3 --set checkpoint_interval=4 --set eval_interval=7 --set eval_episodes=4
    --set eval_final_episodes=9 --steps 12800)
numbers() { # all but the clock
    sed -E 's/"seconds": [^,]*, //; s/"steps_per_second": [^,}]*(, )?//' "$1/log.jsonl"
}
# The configuration in a checkpoint knows threads: all but that.
same_run() { # A B
    local part
    for part in value/ adam_ last_obs episode metrics envs; do
        "$same" "$1/checkpoint.h5" "$2/checkpoint.h5" $part || return 1
    done
    "$same" "$1/returns.h5" "$2/returns.h5" && diff <(numbers "$1") <(numbers "$2")
}

"$U" ppo "${small[@]}" --out straight --threads 2 >said
check "a run says its return" grep -Eq '^return +0\.[0-9]+ \+- ' said
for file in ppo.json log.csv log.jsonl checkpoint.h5 returns.h5 learning_curve.png learning_curve.svg; do
    check "writes $file" test -s "straight/$file"
done
check "info of returns.h5" grep -Eq '^returns +0\.[0-9]+ mean  \([0-9]+ episodes\)$' <("$U" info straight/returns.h5)
check "a line each log_interval, at each evaluation and at the end" test "$(cut -d, -f1 straight/log.csv | tr '\n' ' ')" = \
    "iteration 3 6 7 9 12 14 15 18 21 24 27 28 30 33 35 36 39 42 45 48 49 50 "
check "evaluations where they are due" test "$(awk -F, 'NR > 1 && $NF != "" { print $1 }' straight/log.csv | tr '\n' ' ')" = \
    "7 14 21 28 35 42 49 "
check "the other threads' bits" eval "$U ppo ${small[*]} --out one --threads 1 && same_run straight one"
check "the same again" eval "$U ppo ${small[*]} --out again --threads 2 && same_run straight again"
check "another seed is another run" eval "$U ppo ${small[*]} --out seven --seed 7 && ! same_run straight seven"

# ---- stopped and killed ----

long=("${small[@]}" --steps 256000 --set checkpoint_interval=20 --set eval_interval=0 --set log_interval=50)
check "a long run" "$U" ppo "${long[@]}" --out long --threads 2
await() { # FILE: until it is there
    for _ in $(seq 400); do [ -e "$1" ] && return 0; sleep 0.02; done
    return 1
}
stopped_by() { # SIGNAL FOLDER: the status of a run that gets it once it has saved something; resumed till it is over
    local pid status
    "$U" ppo "${long[@]}" --out "$2" --threads 2 >/dev/null 2>"$2.said" &
    pid=$!
    await "$2/checkpoint.h5" && kill "-$1" $pid
    wait $pid 2>/dev/null
    status=$?
    "$U" ppo --resume "$2" --quiet --threads 1 >/dev/null 2>"$2.complaint" || return 1
    echo $status
}
check "Ctrl-C: status" test "$(stopped_by INT interrupted)" = 130
check "Ctrl-C: says how to go on" grep -Eq '^stopped after iteration [0-9]+; go on with: unifloral ppo --resume interrupted$' \
    interrupted.said
check "Ctrl-C: the same bits" same_run long interrupted
check "SIGTERM: status" test "$(stopped_by TERM terminated)" = 143
check "SIGTERM: the same bits" same_run long terminated
check "kill -9: status" test "$(stopped_by KILL killed)" = 137
check "kill -9: the same bits" same_run long killed
# Killed at any moment, again and again.
mkdir often
for ((i = 1; i <= 8; i++)); do
    if [ -e often/run/ppo.json ]; then set -- --resume often/run --quiet; else rm -rf often/run; set -- "${long[@]}" --out often/run; fi
    timeout -s KILL "0.$((RANDOM % 7 + 2))" "$U" ppo "$@" --threads 2 >/dev/null 2>&1
done 2>/dev/null # the shell's own words about what was killed
[ -e often/run/ppo.json ] && set -- --resume often/run --quiet
check "killed often: ends" "$U" ppo "$@" --threads 2
check "killed often: the same bits" same_run long often/run
check "resumed at the end: nothing to do" eval "$U ppo --resume long --quiet && same_run long killed"

# ---- populations ----

"$U" ppo "${small[@]}" --out many --population 3 --seed 5 --threads 2 >said
check "a population: a line each" test "$(grep -c '^return .*; seed [567])$' said)" = 3
check "its threads do not matter" eval "$U ppo ${small[*]} --out many1 --population 3 --seed 5 --threads 1 && same_run many many1"
check "its second member" "$U" ppo "${small[@]}" --out second --seed 6
member() { sed -nE "s/^return +([^ ]+ \+- [^ ]+) .*$2.*/\1/p" <<<"$1"; }
check "which is what it is alone" test -n "$(member "$("$U" ppo --resume many --quiet)" 'seed 6')" -a \
    "$(member "$("$U" ppo --resume many --quiet)" 'seed 6')" = "$(member "$("$U" ppo --resume second --quiet)" episodes)"
"$U" ppo "${small[@]}" --out stop3 --population 3 --seed 5 --threads 2 --set checkpoint_interval=2 >/dev/null 2>&1 &
pid=$!
await stop3/checkpoint.h5 && kill -9 $pid
wait $pid 2>/dev/null
check "killed and resumed" "$U" ppo --resume stop3 --quiet
check "to the same bits" same_run many stop3

# ---- looking at it ----

"$U" eval straight --episodes 20 --seed 3 >said
check "eval" grep -Eq '^environment +MiniGrid-Empty-5x5-v0, 20 episodes$' said
"$U" eval straight/checkpoint.h5 --episodes 20 --seed 3 --json --threads 1 | sed 's/"steps_per_second[^,]*,//' >one.json
"$U" eval straight --episodes 20 --seed 3 --json --threads 2 --sample | sed 's/"steps_per_second[^,]*,//' >two.json
check "eval's threads do not matter" cmp one.json two.json
check "eval of a population: a line each" test "$("$U" eval many --episodes 5 --json | wc -l)" = 3
check "greedy is another policy" eval "! $U eval straight --episodes 20 --seed 3 --json --mean | sed 's/.steps_per_second[^,]*,//' | cmp -s - one.json"
check "eval in another gridworld" "$U" eval straight --env MiniGrid-DoorKey-5x5-v0 --episodes 5
refused "eval in something else" 1 "env: pendulum has 3 numbers of an observation and 1 numbers of an action, the agent" eval straight --env pendulum
refused "workers are others'" 2 "--workers is not for agents of PPO" eval straight --workers 2
"$U" info many >said
check "info" grep -Eq '^checkpoint +PPO, 3 members$' said
check "info of what differs" grep -Eq '^  layer_width +16$' said

check "render" "$U" render straight --seed 3 --out episode.gif
"$U" render straight --seed 3 --out level.png >said
check "a level is of no action" grep -Eq '^environment +MiniGrid-Empty-5x5-v0, seed 3, 0 actions, return 0.000$' said
"$U" render straight --seed 3 --mean --out greedy.gif --tile-size 8 --first-person >said
check "render of greedy actions" grep -Eq '^wrote greedy.gif: [0-9]+ frames, 56 x 56 pixels$' said
# The episode that eval plays: of one, the mean is its return.
"$U" render many --seed 4 --out many.gif | sed -nE 's/.*, ([0-9]+) actions, return ([0-9.]+)$/\1.0 \2/p' >one.json
"$U" eval many --episodes 1 --seed 4 | awk '/^return/ { r = $2 } /^length/ { print $2, r; exit }' >two.json
check "is the episode of eval" cmp one.json two.json
refused "render of an episode by number" 2 "--episode is not for agents of PPO" render straight --episode 2 --out x.gif
refused "--mean of a level" 2 "--mean is for agents of PPO" render MiniGrid-Empty-5x5-v0 --mean --out x.png

# Continuous actions, and an environment that is no gridworld.
check "pendulum" "$U" ppo --env pendulum --quiet --steps 4096 --set num_envs=4 --out pendulum --set eval_final_episodes=5
refused "render of what is no gridworld" 1 "Pendulum-v1: render draws agents of PPO in gridworlds" render pendulum --out x.gif
check "has a score" eval "$U eval pendulum --episodes 5 | grep -q '^normalised score'"
check "cartpole, one network for both" "$U" ppo --env cartpole --quiet --steps 4096 --set shared_trunk=true --out cartpole
check "NAVIX's rules" "$U" ppo --env Navix-Empty-5x5-v0 --quiet --steps 4096 --set gae=navix --set clip_value=navix --out navix

# ---- refused ----

refused "no environment" 1 "env: is empty; name an environment with --env NAME" ppo --steps 4096
refused "unknown gridworld" 1 "MiniGrid-Emty-5x5-v0.*MiniGrid-Empty-5x5-v0" ppo --env MiniGrid-Emty-5x5-v0
refused "unknown environment" 1 "unknown environment 'mars'" ppo --env mars
refused "unknown hyperparameter" 1 "'lrr' is not a hyperparameter; did you mean 'lr'" ppo --env cartpole --set lrr=1
refused "a value out of range" 1 "gamma: 1.5 is out of range; expected 0 to 1" ppo --env cartpole --set gamma=1.5
refused "a contradiction" 1 "num_minibatches 7 does not divide" ppo --env cartpole --set num_minibatches=7
refused "a budget of less than a rollout" 1 "budget 100 is less than one rollout" ppo --env cartpole --steps 100
refused "a device that cannot" 1 "cuda|CUDA" ppo --env cartpole --device cuda
check "auto takes one that can" "$U" ppo "${small[@]}" --out auto --device auto
check "with the same bits" same_run straight auto
refused "a folder that is taken" 1 "straight: already holds a run" ppo "${small[@]}" --out straight
refused "nothing to resume" 1 "nowhere: holds no run of PPO" ppo --resume nowhere
refused "another setting than the run's" 1 "gamma: the run to resume was trained with 0.99, not 0.5" ppo --resume straight --set gamma=0.5
refused "out and resume" 2 "--resume and --out contradict" ppo --resume straight --out x
refused "a configuration of another command" 1 "dataset.*is not a hyperparameter" ppo --config "$configs/demo.json" --env cartpole
head -c 3000 straight/checkpoint.h5 >cut.h5
refused "a checkpoint that is cut off" 1 "cut.h5" eval cut.h5
check "a refused run leaves nothing behind" test -z "$(ls runs 2>/dev/null)"
( # a file size limit stands for a full disk
    trap '' XFSZ
    ulimit -f 8
    "$U" ppo "${small[@]}" --out full >/dev/null 2>full.said
    echo $? >full.status
)
check "a full disk is one sentence" test "$(cat full.status)" = 1 -a "$(wc -l <full.said)" = 1
check "and can be resumed" "$U" ppo --resume full --quiet
check "to the same bits" same_run straight full
exit $bad
