#!/usr/bin/env bash
# test_synthenv: unifloral synthenv: a published environment is taken, described and played; PPO trains in its file and goes on
# where it was stopped. Prints "ok name", "not ok name" or "skip name".
# Environment: UNIFLORAL, BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
T=$(mktemp -d /tmp/unifloral-synth-XXXXXX)
trap 'rm -rf "$T"' EXIT
same=$(realpath "${BUILD:-build}/tests/same_h5")
data=$(realpath tests/data/synthenv.h5)
published=$(realpath -m ../shared/oracle/synth_checkpoints.h5)
bad=0

. tests/check.sh
cd "$T" || exit 1

check "import" grep -q "wrote pole.h5: CartPole-v1, 90 parameters" <("$U" synthenv import "$data" small_pole --out pole.h5)
check "import of another" "$U" synthenv import "$data" Somewhere -o some.h5
check "nothing is left beside" test ! -e pole.h5.tmp
check "synthenv info" eval "'$U' synthenv info pole.h5 | grep -q 'synthenv.h5: small_pole'"
check "info says the same" cmp <("$U" info pole.h5) <("$U" synthenv info pole.h5)
check "info of several" grep -qc "contextual bandit" <("$U" info pole.h5 some.h5)
play=$("$U" synthenv play pole.h5 --episodes 40 --seed 2 --json)
check "play" grep -q '"env": "CartPole-v1", "episodes": 40, "return_mean": ' <<<"$play"
check "play on other threads" test "$("$U" synthenv play pole.h5 --episodes 40 --seed 2 --threads 3 --json | sed 's/"steps_per_second": [^,]*//')" = \
    "$(sed 's/"steps_per_second": [^,]*//' <<<"$play")"
check "verify" grep -q "^PASS " <("$U" verify "$data")
check "bench" eval "'$U' bench synthenv some.h5 --steps 100 --windows 5 | grep -q '\"1000\": {\"min\": '"
if [ "$("$U" synthenv show pole.h5 --out pole.png 2>&1 >said)" ]; then
    refused "show without cairo" 1 "libcairo2-dev" synthenv show pole.h5 --out pole.png
else
    check "show" eval "grep -q '^wrote pole.png$' said && grep -q '^first ' <(sed 's/^ *//' said)"
    check "show: a picture" eval "head -c 4 pole.png | tail -c 3 | grep -q PNG"
    check "show: by seed and environment" eval "'$U' synthenv show pole.h5 --out again.png --env cartpole --seed 0 && cmp pole.png again.png"
    check "show: another seed" eval "'$U' synthenv show pole.h5 --out again.png --seed 5 && ! cmp -s pole.png again.png"
    check "show: played nowhere" eval "'$U' synthenv show some.h5 --out some.svg | grep -q 'played in no environment: name one with --env NAME'"
    refused "show elsewhere" 1 "Pendulum-v1 has 3 and 1 numbers" synthenv show pole.h5 --env pendulum --out x.png
    refused "show what is no picture" 1 "x.bmp: the ending of a chart's name must be" synthenv show pole.h5 --out x.bmp
fi
check "show without a picture" cmp <("$U" synthenv show pole.h5) <("$U" synthenv info pole.h5)
refused "show: where it plays, without a picture" 2 "--env is for --out" synthenv show pole.h5 --env cartpole
refused "show: a seed, without a picture" 2 "--seed is for --out" synthenv show pole.h5 --seed 3
refused "show of nothing" 1 "gone.h5" synthenv show gone.h5
refused "show of an unknown environment" 1 "did you mean 'cartpole'" synthenv show pole.h5 --env cartpol --out x.png
refused "play elsewhere" 1 "Pendulum-v1 has 3 and 1 numbers" synthenv play pole.h5 --env pendulum
refused "play where nothing is known" 1 "unknown environment 'Somewhere'" synthenv play some.h5
refused "import of none" 1 "unknown synthetic environment 'pole'" synthenv import "$data" pole --out x.h5
refused "import without a place" 2 "--out is missing" synthenv import "$data" small_pole
refused "import to nowhere" 1 "no/x.h5.tmp" synthenv import "$data" small_pole --out no/x.h5
refused "play of a recording" 1 "is no file of a synthetic environment" synthenv play "$data"
refused "the first word alone" 2 "'synthenv' is the first of two words; did you mean synthenv meta" synthenv

# Made of data, and training that begins from it.
small=(--quiet --set batch_size=64 --set actor_layer_width=16 --set critic_layer_width=16 --set eval_final_episodes=2 --set eval_interval=1000000)
echo '{"algorithm": "td3_bc", "dataset": "swing.hdf5", "actor_bc_coef": 1, "num_updates": 4000, "checkpoint_interval": 100}' >small.json
"$U" collect --env pendulum --policy medium --steps 2000 --out swing.hdf5 >/dev/null
"$U" collect --env CartPole-v1 --policy medium --steps 2000 --out balance.hdf5 >/dev/null
check "make of behaviour" grep -q "wrote did.h5: Pendulum-v1, 836 parameters" <("$U" synthenv make --dataset swing.hdf5 --steps 300 -o did.h5)
check "make of kinds" grep -q "CartPole-v1" <("$U" synthenv make --dataset balance.hdf5 --steps 300 --width 16 -o kinds.h5)
check "make by return" grep -q "weights as of" <("$U" synthenv make --dataset swing.hdf5 --steps 300 --return-temperature 0.5 -o good.h5)
"$U" synthenv make --dataset swing.hdf5 --steps 300 --width 5 -o narrow.h5 >"$T/out" 2>"$T/narrow"
check "a narrow one says that it begins fresh" grep -q "note: width 5 is less than twice the 3 numbers" "$T/narrow"
"$U" train small.json "${small[@]}" --init-from did.h5 --set init_steps=20 --set num_updates=5 --out began >"$T/out" 2>"$T/began.txt"
check "train begins from it" grep -q "note: init_from did.h5: the policy's actions earn" "$T/began.txt"
check "make of Q" grep -q "Q of discount 0.99: R^2" <("$U" synthenv make --checkpoint began --steps 300 -o q.h5)
check "make of Q on other data" "$U" synthenv make --checkpoint began/checkpoint.h5 --dataset swing.hdf5 --steps 300 --threads 1 -o q1.h5
check "is the same" "$same" q.h5 q1.h5 ""
check "info says what a reward is" grep -q "a Q function of discount 0.99" <("$U" info q.h5)
check "and of behaviour" grep -q "the behaviour of a dataset" <("$U" info did.h5)
check "play of one that was made" grep -q "Pendulum-v1" <("$U" synthenv play q.h5 --episodes 3)
from_q=("${small[@]}" --init-from q.h5 --set init_steps=50)
check "train from Q" "$U" train small.json "${from_q[@]}" --out q_whole
"$U" train small.json "${from_q[@]}" --out q_part >/dev/null 2>&1 &
until [ -e q_part/checkpoint.h5 ] || ! kill -0 $! 2>/dev/null; do sleep 0.001; done
kill -INT $!
wait $!
check "is stopped" test $? = 130
mv q.h5 elsewhere.h5
check "and goes on without the bandit" "$U" train --resume q_part --quiet
for part in value/ adam_; do check "the same $part from Q" "$same" q_whole/checkpoint.h5 q_part/checkpoint.h5 $part; done
mv elsewhere.h5 q.h5
"$U" train small.json "${from_q[@]}" --set init_steps=1000000 --out killed >/dev/null 2>&1 &
sleep 0.3
kill -KILL $!
wait $! 2>/dev/null
check "killed while it initialises: no checkpoint" test ! -e killed/checkpoint.h5
check "and it begins anew" "$U" train small.json "${from_q[@]}" --set num_updates=3 --set init_steps=50 --out killed_again
check "as any other" "$U" train small.json "${from_q[@]}" --set num_updates=3 --set init_steps=50 --threads 1 --out threads
for part in value/ adam_; do check "the same $part on other threads" "$same" killed_again/checkpoint.h5 threads/checkpoint.h5 $part; done
check "several begin in one process" "$U" sweep small.json --population 2 --quiet --grid --set seed=[0,1] --set init_from=q.h5 --set init_steps=20 \
    --set num_updates=5 --set batch_size=64 --set actor_layer_width=16 --set critic_layer_width=16 --set eval_final_episodes=2 --out swept
refused "make of nothing" 2 "--dataset or --checkpoint is missing" synthenv make -o x.h5
refused "make to nowhere" 2 "--out is missing" synthenv make --dataset swing.hdf5
refused "make into no folder, asked before any work" 1 "nowhere" synthenv make --dataset gone.hdf5 -o nowhere/x.h5
refused "make of kinds for numbers" 1 "balance.hdf5 has 4 numbers .* and 2 kinds of action, Pendulum-v1 3 and 1 numbers" \
    synthenv make --dataset balance.hdf5 --env pendulum -o x.h5
refused "make by a negative temperature" 2 "return-temperature wants a number of at least 0" synthenv make --dataset swing.hdf5 --return-temperature -1 -o x.h5
refused "make of a checkpoint by return" 1 "weighs behaviour" synthenv make --checkpoint began --return-temperature 1 -o x.h5
refused "make of too many units" 2 "width wants a whole number from 1 to 2048" synthenv make --dataset swing.hdf5 --width 4096 -o x.h5
refused "make of a checkpoint on other data" 1 "3 observations and 1 actions, balance.hdf5 4 and 2" synthenv make --checkpoint began --dataset balance.hdf5 -o x.h5
refused "train from a file that is gone" 1 "gone.h5" train small.json "${small[@]}" --init-from gone.h5 --out r1
refused "train from one of kinds" 1 "init_from 'kinds.h5' has 4 numbers" train small.json "${small[@]}" --init-from kinds.h5 --out r2
refused "train from another discount" 1 "Q function of discount 0.99, but gamma is 0.9" train small.json "${small[@]}" --init-from q.h5 --set gamma=0.9 --out r3
refused "train from no bandit" 1 "is no file of a synthetic environment" train small.json "${small[@]}" --init-from began/checkpoint.h5 --out r4
refused "online from a bandit" 1 "online is true" online small.json --env pendulum --set dataset= --set init_from=q.h5 --out r5

ppo=(ppo --env pole.h5 --quiet --set num_envs=8 --set num_steps=16 --set num_minibatches=4 --set update_epochs=2 --set layer_width=16
    --set checkpoint_interval=50 --set log_interval=2000 --steps 256000)
await() { # FILE: a second at most
    for _ in {1..1000}; do [ -e "$1" ] && return; sleep 0.001; done
    return 1
}
check "ppo" "$U" "${ppo[@]}" --out whole
"$U" "${ppo[@]}" --out part >/dev/null 2>&1 &
await part/checkpoint.h5 && kill -INT $!
wait $!
check "ppo is stopped" test $? = 130
check "and goes on" "$U" ppo --resume part --quiet
for part in value/ adam_ last_obs envs; do check "the same $part" "$same" whole/checkpoint.h5 part/checkpoint.h5 $part; done
check "its agent in the cart pole" eval "'$U' eval whole --env CartPole-v1 --episodes 5 | grep -q 'CartPole-v1, 5 episodes'"
refused "ppo with another's options" 1 "max_steps: is for gridworlds" ppo --env pole.h5 --set max_steps=3
refused "ppo in no file" 1 "gone.h5: cannot be opened" ppo --env gone.h5
refused "render of its agent" 1 "pole.h5: render draws agents of PPO in gridworlds" render whole --out x.gif

if [ -e "$published" ]; then
    # arXiv 2406.12589 and its code: 512 episodes of the best action, within 5 standard errors of both.
    while read -r name mean error; do
        "$U" synthenv import "$published" "$name" -o "$name.h5" >"$T/out"
        check "$name by its reward: $mean" awk -v mean="$mean" -v error="$error" \
            'BEGIN { getline; match($0, /return_mean": [-0-9.e]+/); r = 0 + substr($0, RSTART + 14, RLENGTH - 14); exit !(r >= mean - error && r <= mean + error) }' \
            <("$U" synthenv play "$name.h5" --episodes 512 --json)
    done <<'END'
cartpole 500 0
acrobot -83.43 8.7
mountaincar -124.54 8.7
continuous_mountaincar 75.01 14.1
pendulum -262.87 111
END
else
    echo "skip published synthetic environments: no $published"
fi
exit $bad
