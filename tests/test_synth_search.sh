#!/usr/bin/env bash
# test_synth_search: unifloral synthenv meta, sweep and train: what they write; searches that are stopped, killed, resumed or
# shared by processes end in the same bits; agents of a file, in text and JSON; what is refused. Prints "ok name", "not ok
# name" or "skip name". The search from the inside: test_synth_search.c; a file's environment: test_synthenv.sh.
# Environment: UNIFLORAL, BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
T=$(mktemp -d /tmp/unifloral-synthsearch-XXXXXX)
trap 'rm -rf "$T"' EXIT
same=$(realpath "${BUILD:-build}/tests/same_h5")
data=$(realpath tests/data/synthenv.h5)
configs=$(realpath configs)
published=$(realpath -m ../shared/oracle/synth_checkpoints.h5)
bad=0

. tests/check.sh
. tests/mpi_launch.sh
cd "$T" || exit 1

numbers() { # all but the clock
    sed -E 's/"seconds": [^,]*, //; s/, "agents_per_second": [^,}]*, "steps_per_second": [^,}]*//' "$1/log.jsonl"
}
same_run() { # A B: search, environment, agents and log
    "$same" "$1/checkpoint.h5" "$2/checkpoint.h5" es/ && "$same" "$1/environment.h5" "$2/environment.h5" &&
        "$same" "$1/agents.h5" "$2/agents.h5" && diff <(numbers "$1") <(numbers "$2")
}
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "" && a <= b) }'; }

# Agents that have seen little; each algorithm learns a few times.
agents=(--set num_steps=200 --set layer_width=8 --set warm_up=50 --set batch_size=16 --set sac_batch_size=16 --set ppo_num_steps=20
    --set ppo_num_minibatches=4 --set ppo_update_epochs=2)
search=(--env cartpole --quiet "${agents[@]}" --set popsize=8 --set width=6 --set episodes=3 --set rollouts=2 --set eval_agents=3
    --set eval_episodes=2)

# ---- a run ----

small=("${search[@]}" --set generations=9 --set log_interval=4 --set checkpoint_interval=2 --set mean_eval_interval=3 --set mean_eval_agents=3)
check "a run" "$U" synthenv meta "${small[@]}" --out straight --threads 2
cp out said
check "says its fitness" grep -Eq "^fitness +[0-9.]+ mean, [0-9.]+ best of generation 9 \(mean return of candidates' agents\)\$" said
for algorithm in ppo sac dqn; do
    check "says what $algorithm earns" grep -Eq "^$algorithm +[0-9.]+ inter-quartile mean, [0-9.]+ to [0-9.]+  \(3 agents x 2 episodes\)\$" said
done
check "and no agent" grep -Eq "^no agent +[0-9.]+ mean  \(the reward's best action, 100 episodes\)\$" said
check "where the environment is" grep -Eq '^environment +straight/environment.h5$' said
for file in synthenv.json log.csv log.jsonl checkpoint.h5 environment.h5 agents.h5 fitness.png fitness.svg report.txt; do
    check "writes $file" test -s "straight/$file"
done
check "nothing half written" test -z "$(ls straight | grep tmp)"
check "the report is what it says" cmp said straight/report.txt
check "a line each log_interval, each measurement and at the end" test "$(cut -d, -f1 straight/log.csv | tr '\n' ' ')" = "generation 1 4 7 8 9 "
check "of these columns" test "$(head -n 1 straight/log.csv)" = \
    "generation,seconds,mean,best,std,best_ever,num_nonfinite,mean_ppo,mean_sac,mean_dqn,algorithm,horizon,agents_per_second,steps_per_second"
check "measured now and then" test "$(tail -n +2 straight/log.csv | awk -F, '{ print $1, ($8 > 0) + ($9 > 0) + ($10 > 0) }' | tr '\n' ',')" = "1 3,4 3,7 3,8 0,9 0,"
check "algorithms in turn" test "$(tail -n +2 straight/log.csv | cut -d, -f11 | tr '\n' ' ')" = "0 0 0 1 2 "
check "JSON in the log" python3 -c 'import json, sys; [json.loads(line) for line in open("straight/log.jsonl")]'
"$U" synthenv meta "${small[@]:0:2}" "${small[@]:3}" --threads 1 --out loud 2>loud.said >/dev/null
check "progress" grep -Eq '^generation 8   89%  [0-9.]+ generations/s  .*left  mean [0-9.]+  best [0-9.]+  best ever [0-9.]+$' loud.said
check "one thread: the same bits" same_run straight loud
check "another seed: others" eval "$U synthenv meta ${small[*]} --out seven --seed 7 && ! same_run straight seven"
check "measurements are no part of it" eval "$U synthenv meta ${small[*]} --out unmeasured --set mean_eval_interval=0 &&
    $same straight/checkpoint.h5 unmeasured/checkpoint.h5 es/ && $same straight/agents.h5 unmeasured/agents.h5"
check "left out of the search, trained at the end" eval "$U synthenv meta ${small[*]} --out left --set algorithms=dqn --set eval_algorithms=dqn,sac >said &&
    grep -Eq '^sac .*\(3 agents x 2 episodes\); not in the search\$' said && ! grep -Eq '^dqn .*not in' said && ! grep -q '^ppo' said"
check "no generations: what it begins with" "$U" synthenv meta "${small[@]}" --set generations=0 --out none
check "an mdp" eval "$U synthenv meta ${small[*]} --set mode=mdp --set generations=2 --out mdp && $U info mdp/environment.h5 | grep -qi 'mdp\|max' &&
    $U info mdp | grep -q 'search for a synthetic MDP'"
check "the horizon in the log" eval "$U synthenv meta ${small[*]} --env mountaincar --set horizon_init=9 --set horizon_end=3 --set horizon_begin=1 \
    --set horizon_steps=6 --set log_interval=1 --set mean_eval_interval=0 --out horizon && test \"\$(cut -d, -f9 horizon/log.csv | tr '\n' ' ')\" = 'horizon 9 9 8 7 6 5 4 3 3 '"
for file in cartpole acrobot mountain_car pendulum mountain_car_continuous; do
    check "$file.json is taken" "$U" synthenv meta --config "$configs/synthenv/$file.json" --quiet --set generations=0 --set eval_agents=1 --set eval_episodes=1 \
        --out "of_$file"
done

# ---- stopped and killed ----

g=${SANITIZE:+30} # there a step takes fifty times as long
long=("${search[@]}" --set generations=${g:-500} --set log_interval=20 --set checkpoint_interval=10)
check "a long run" "$U" synthenv meta "${long[@]}" --out long --threads 2
await() { # FILE: until something is in it
    for _ in $(seq 2000); do [ -s "$1" ] && return 0; sleep 0.01; done
    return 1
}
stopped_by() { # SIGNAL FOLDER FILE SETTING...: the status of a run that gets it once it has written FILE; resumed till it is over
    local pid status signal=$1 folder=$2 file=$3
    shift 3
    "$U" synthenv meta "${long[@]}" "$@" --out "$folder" --threads 2 >/dev/null 2>"$folder.said" &
    pid=$!
    await "$folder/$file" && kill "-$signal" $pid
    wait $pid 2>/dev/null
    status=$?
    "$U" info "$folder" >"$folder.info"
    "$U" synthenv meta --resume "$folder" --quiet --threads 1 >/dev/null 2>"$folder.complaint" || return 1
    echo $status
}
check "Ctrl-C: status" test "$(stopped_by INT interrupted log.jsonl --set checkpoint_interval=100000)" = 130
check "Ctrl-C: says how to go on" grep -Eq '^stopped after generation [0-9]+; go on with: unifloral synthenv meta --resume interrupted$' interrupted.said
check "Ctrl-C: at what it wrote" test "$(sed -nE 's/^stopped after generation ([0-9]+);.*/\1/p' interrupted.said)" = \
    "$(awk '/^generation/ { print $2 }' interrupted.info)"
check "Ctrl-C: before the end" eval "! at_most ${g:-500} \$(awk '/^generation/ { print \$2 }' interrupted.info)"
check "Ctrl-C: the same bits" same_run long interrupted
check "kill -9: status" test "$(stopped_by KILL killed checkpoint.h5)" = 137
check "kill -9: the same bits" same_run long killed
check "resumed at the end: nothing new" eval "$U synthenv meta --resume straight --quiet && same_run straight loud"
check "resumed to go further" eval "$U synthenv meta ${small[*]} --out further --set generations=5 && $U synthenv meta --resume further --quiet --set generations=9 &&
    $same straight/checkpoint.h5 further/checkpoint.h5 es/ && $same straight/agents.h5 further/agents.h5"
check "its log has each line once" test "$(sed -E 's/.*"generation": ([0-9]+).*/\1/' further/log.jsonl | tr '\n' ' ')" = "1 4 5 7 8 9 "

# ---- looking at it ----

"$U" info straight >said
check "info of a run" grep -Eq '^checkpoint +search for a synthetic bandit$' said
check "info: generation" grep -Eq '^generation +9$' said
check "info: dimensions" grep -Eq '^candidates +107 numbers, 8 of them a generation$' said
check "info: best" grep -Eq '^best fitness +[0-9.]+$' said
check "info: settings" grep -Eq '^  layer_width +8$' said
"$U" info straight/environment.h5 >said
check "info of the environment" grep -q 'CartPole-v1' said
check "info: where it is from" grep -q 'search: 8 candidates, generation 9, seed 0' said
"$U" info straight/agents.h5 >said
check "info of agents.h5" grep -Eq '^returns/dqn +[0-9.]+ mean, [0-9.]+ to [0-9.]+  \([0-9]+ policies x [0-9]+ episodes\)$' said
check "info of agents.h5: no agent" grep -Eq '^arg_max +[0-9.]+ mean  \(100 episodes\)$' said
check "play" eval "$U synthenv play straight/environment.h5 --episodes 100 --json >played &&
    test \"\$(sed -E 's/.*\"return_mean\": ([0-9.]+).*/\1/' played | xargs printf %.4g)\" = \"\$(awk '/^no agent/ { print \$3 }' straight/report.txt)\""

# ---- agents of a file ----

"$U" synthenv import "$data" small_pole --out pole.h5 >/dev/null
train=(synthenv train pole.h5 "${agents[@]}" --agents 5 --episodes 2)
check "train" "$U" "${train[@]}" --threads 2
cp out said
check "train: what of" eval "head -n 1 said | grep -qx 'CartPole-v1: 5 agents of each algorithm, 200 steps, then 2 episodes in the real environment'"
check "train: columns" eval "sed -n 2p said | grep -Eq '^ +trained in +iqm +mean +least +most +published +s/agent\$'"
check "train: a line each" test "$(tail -n +3 said | awk '{ print $1, $2, $7, NF }' | tr '\n' ',')" = \
    "ppo synthetic 500.0 8,sac synthetic 500.0 8,dqn synthetic 500.0 8,"
row() { awk -v name="$1" -v where="$2" '$1 == name && $2 == where { print $3, $4, $5, $6 }' "$3"; } # ALGORITHM WHERE FILE: its numbers
"$U" "${train[@]}" --threads 1 --controls >controls
check "train: threads do not matter" test "$(row sac synthetic said)" = "$(row sac synthetic controls)"
check "controls" test "$(tail -n +3 controls | awk '{ print $1, $2 }' | tr '\n' ',')" = "ppo synthetic,ppo real,sac synthetic,sac real,dqn synthetic,dqn real,"
check "controls: nothing published" test "$(awk '$2 == "real" { print $7 }' controls | sort -u)" = -
check "controls are others" test "$(row ppo real controls)" != "$(row ppo synthetic controls)"
"$U" "${train[@]}" --algorithms dqn,ppo --each >each
check "each" test "$(awk '{ print $1 }' each | grep -c '^[0-9]')" = 10
check "each: in the order asked for" test "$(awk '$2 == "synthetic" { print $1 }' each | tr '\n' ' ')" = "dqn ppo "
check "each: its hyperparameters" grep -Eq '^ +[0-9.]+  lr [0-9.e-]+  eps_end [0-9.]+$' each
check "each: what is inert is left out" eval "! grep -q gamma each"
check "an algorithm alone is the same" test "$(row dqn synthetic said)" = "$(row dqn synthetic each)"
check "seeds are others" test "$("$U" "${train[@]}" --algorithms dqn --each --seed 1 | tail -n +4)" != "$("$U" "${train[@]}" --algorithms dqn --each | tail -n +4)"
check "what other algorithms want is no matter" "$U" synthenv train pole.h5 --algorithms dqn --agents 1 --episodes 1 --set num_steps=90 --set warm_up=30
"$U" "${train[@]}" --algorithms ppo,dqn --controls --json >said.json
check "JSON" python3 - said.json <<'END'
import json, sys
told = json.load(open(sys.argv[1]))
assert told["env"] == "CartPole-v1" and told["num_steps"] == 200 and told["seed"] == 0
assert [(r["algorithm"], r["trained_in"]) for r in told["ratings"]] == [(a, i) for a in ("ppo", "dqn") for i in ("synthetic", "real")]
for r in told["ratings"]:
    returns = sorted(a["return"] for a in r["agents"])
    assert len(returns) == r["num_agents"] == 5 and r["num_episodes"] == 2
    assert abs(sum(returns[1:-1]) / 3 - r["iqm"]) < 1e-6 and abs(sum(returns) / 5 - r["mean"]) < 1e-6
    assert r["least"] == returns[0] and r["most"] == returns[-1] and r["train_seconds"] > 0 and r["play_seconds"] > 0
    assert ("published" in r) == (r["trained_in"] == "synthetic") and all("lr " in a["hyperparameters"] for a in r["agents"])
END
check "JSON says what text says" test "$(python3 -c 'import json
print(*["%.1f" % json.load(open("said.json"))["ratings"][0][k] for k in ("iqm", "mean", "least", "most")])')" = "$(row ppo synthetic said)"
check "a search's own environment" "$U" synthenv train straight/environment.h5 "${agents[@]}" --agents 2 --episodes 1
check "its agents are those of agents.h5" eval "$U synthenv train straight/environment.h5 ${agents[*]} --algorithms dqn --agents 3 --episodes 2 >said &&
    test \"\$(row dqn synthetic said | xargs printf '%.4g %.4g %.4g %.4g' | awk '{ print \$1, \$3, \$4 }')\" = \
    \"\$(sed -nE 's/^dqn +([0-9.]+) inter-quartile mean, ([0-9.]+) to ([0-9.]+) .*/\1 \2 \3/p' straight/report.txt)\""

# ---- their picture ----

pictured=("$U" "${train[@]}" --algorithms dqn,ppo --controls)
if "${pictured[@]}" --out agents.png >said 2>complaint; then
    check "picture" eval "head -c 4 agents.png | tail -c 3 | grep -q PNG"
    check "picture: says so, last" test "$(tail -n 1 said)" = "wrote agents.png"
    check "picture: the same numbers" test "$(row dqn synthetic said)" = "$(row dqn synthetic each)"
    check "picture: the same bytes" eval "'$U' ${train[*]} --algorithms dqn,ppo --controls --threads 1 --out again.png && cmp agents.png again.png"
    check "picture: of another seed" eval "'$U' ${train[*]} --algorithms dqn,ppo --controls --seed 1 --out again.png && ! cmp -s agents.png again.png"
    check "picture: JSON alone is said" eval "'$U' ${train[*]} --algorithms dqn --json --out again.svg >said && python3 -c 'import json; json.load(open(\"said\"))'"
    check "picture: SVG" grep -q "<svg" again.svg
    check "picture: of a run" eval "head -c 4 straight/agents.png | tail -c 3 | grep -q PNG"
    check "picture: in its report" grep -Eq "^agents' picture +straight/agents.png\$" straight/report.txt
    check "picture: of the same run" cmp straight/agents.png loud/agents.png
    refused "picture: of no such ending" 1 "x.bmp: the ending of a chart's name must be .png, .svg or .pdf" "${pictured[@]:1}" --out x.bmp
    refused "picture: of no such folder" 1 "no/x.png: its folder is not there" "${pictured[@]:1}" --out no/x.png
    # a training that would take hours
    refused "picture: before any training" 1 "x.bmp: the ending" synthenv train pole.h5 --agents 1000 --set num_steps=100000000 --out x.bmp
else
    check "without cairo: agents' picture" grep -q "libcairo2-dev" complaint
    check "without cairo: no picture of a run" test ! -e straight/agents.png
fi

# ---- sweep ----

sweep=("${search[@]}" --set generations=2 --set 'rollouts=[1,2]' --set 'mode=["bandit","mdp"]' --set 'seed=[0,1]')
check "sweep" "$U" synthenv sweep "${sweep[@]}" --out sweep
cp out said
check "sweep: a line for each but the seeds" test "$(grep -c '^rollouts=[12] mode=\|^rollouts=[12],mode=\|^mode=[a-z]*,rollouts=' said)" = 4
check "sweep: its table" test "$(tail -n +2 sweep/sweep.csv | wc -l)" = 8
check "sweep: of these columns" eval "head -n 1 sweep/sweep.csv | grep -q 'ppo,sac,dqn,ddpg,td3,arg_max'"
check "sweep: figures" test -s sweep/fitness.png -a -s sweep/fitness.svg
check "sweep: one of them is a run like any" eval "$U synthenv meta ${search[*]} --set generations=2 --set rollouts=1 --set mode=mdp --seed 1 --out one &&
    same_run one \$(ls -d sweep/*rollouts=1*mode=mdp*seed=1* sweep/*mode=mdp*rollouts=1*seed=1* 2>/dev/null | head -n 1)"
find sweep/* -path '*/*/*' -printf '%p %T@\n' | sort >before
check "sweep again" "$U" synthenv sweep "${sweep[@]}" --out sweep
cp out again
check "sweep again: the same words" cmp again said
check "sweep again: nothing is done anew" cmp before <(find sweep/* -path '*/*/*' -printf '%p %T@\n' | sort)

# ---- processes ----

if [ "$mpi_why" ]; then
    echo "skip processes: $mpi_why"
else
    for n in 2 3; do
        check "$n processes" timeout 60 $mpi_launch -n $n "$U" synthenv meta "${small[@]}" --out "ranks$n" --threads 1
        check "$n processes: one speaks" test "$(grep -c '^no agent' out)" = 1
        check "$n processes: the bits of one" same_run straight "ranks$n"
    done
    timeout 60 $mpi_launch -n 1 "$U" synthenv meta "${small[@]}" --out apart : -n 1 "$U" synthenv meta "${small[@]}" --out apart --seed 5 >/dev/null 2>said
    check "processes of two minds: status" test $? = 1
    check "processes of two minds" grep -q 'error: configuration or checkpoint differs' said
fi

# ---- refused ----

refused "no environment" 1 "env is empty; expected an environment" synthenv meta --quiet
refused "an unknown environment" 1 "unknown environment 'mars'" synthenv meta --env mars
refused "an unknown hyperparameter" 1 "'popsise' is not a hyperparameter; did you mean 'popsize'" synthenv meta --env cartpole --set popsise=8
refused "a value out of range" 1 "popsize: 1 is out of range" synthenv meta --env cartpole --set popsize=1
refused "a width that is none" 1 "width: 4096 is out of range" synthenv meta --env cartpole --set width=4096
refused "an unknown algorithm" 1 "algorithms: there is no algorithm 'a2c'; expected ppo, sac, dqn, ddpg or td3" synthenv meta --env cartpole --set algorithms=a2c
refused "an algorithm of other actions" 1 "algorithms: ddpg is for continuous actions; expected ppo, sac or dqn here" synthenv meta --env cartpole --set algorithms=ddpg
refused "a list that is none" 1 "gamma '0.9;0.8': expected up to 32 numbers from 0 to 1" synthenv meta --env cartpole --set 'gamma=0.9;0.8'
refused "steps that are none" 1 "num_steps 400 is less than one rollout of PPO" synthenv meta --env cartpole --set num_steps=400 --set warm_up=9
check "and no folder for it" eval "! $U synthenv meta --env cartpole --set num_steps=400 --out nofolder && [ ! -e nofolder ]"
refused "half a horizon" 1 "horizon_init is 100 and horizon_end 0; set both" synthenv meta --env cartpole --set horizon_init=100
refused "a folder that is taken" 1 "straight: already holds a run" synthenv meta "${small[@]}" --out straight
refused "nothing to resume" 1 "nowhere: holds no search for a synthetic environment" synthenv meta --resume nowhere
refused "another setting than the run's" 1 "popsize: the run to resume was trained with 8, not 9" synthenv meta --resume straight --set popsize=9
refused "out and resume" 2 "--resume and --out contradict" synthenv meta --resume straight --out x
refused "a configuration of another command" 1 "is not a hyperparameter" synthenv meta --config "$configs/demo.json" --env cartpole
refused "train: no file" 2 "FILE" synthenv train
refused "train: nothing there" 1 "nowhere.h5" synthenv train nowhere.h5
refused "train: what is no environment" 1 "checkpoint.h5: is no file of a synthetic environment" synthenv train straight/checkpoint.h5
refused "train: sizes that do not fit" 1 "the synthetic environment has 4 numbers of an observation and 2 kinds of action, Acrobot-v1 has 6 and 3 kinds of action" \
    synthenv train pole.h5 --env acrobot
refused "train: an unknown algorithm" 1 "algorithms: there is no algorithm 'a2c'" synthenv train pole.h5 --algorithms a2c
refused "train: an algorithm of other actions" 1 "algorithms: td3 is for continuous actions" synthenv train pole.h5 --algorithms td3
refused "train: an algorithm twice" 1 "algorithms: dqn is there twice" synthenv train pole.h5 --algorithms dqn,dqn
refused "train: no agents" 2 "agents" synthenv train pole.h5 --agents 0
refused "train: a list that is none" 1 "double_dqn '0.5': expected up to 32 whole numbers" synthenv train pole.h5 --set double_dqn=0.5
refused "train: never learns" 1 "warm_up 195: dqn would never learn in num_steps 200" synthenv train pole.h5 --algorithms dqn --set num_steps=200 --set warm_up=195
refused "sweep: nowhere to" 2 "--out" synthenv sweep --env cartpole
refused "sweep: how it is run" 1 "generations" synthenv sweep --env cartpole --set 'generations=[1,2]' --out x
refused "sweep: one of them is refused" 1 "algorithms: td3 is for continuous actions" synthenv sweep --env cartpole --set 'algorithms=["dqn","td3"]' --out refused
check "before any work" test ! -e refused
head -c 3000 straight/checkpoint.h5 >cut.h5
refused "info: a checkpoint that is cut off" 1 "cut.h5" info cut.h5
mkdir broken && cp straight/synthenv.json straight/log.* broken && cp cut.h5 broken/checkpoint.h5
refused "a checkpoint that is cut off" 1 "broken/checkpoint.h5" synthenv meta --resume broken

# ---- published environments ----

if [ -e "$published" ]; then
    "$U" synthenv import "$published" cartpole --out cartpole.h5 >/dev/null
    "$U" synthenv train cartpole.h5 --algorithms dqn --agents 12 --set lr=0.001 --json >said.json
    check "a published environment teaches DQN to balance" python3 -c 'import json
r = json.load(open("said.json"))["ratings"][0]
assert r["iqm"] > 495 and r["published"] == 500, r'
else
    echo "skip a published environment: no $published"
fi
exit $bad
