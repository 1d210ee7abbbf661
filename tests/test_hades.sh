#!/usr/bin/env bash
# test_hades: unifloral hades and its subcommands: what they write; searches that are stopped, killed, resumed or shared by
# processes end in the same bits; datasets tried, varied, merged, trained on; what is refused. Prints "ok name", "not ok
# name" or "skip name". The search from the inside: test_hades.c.
# Environment: UNIFLORAL, BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
T=$(mktemp -d /tmp/unifloral-hades-XXXXXX)
trap 'rm -rf "$T"' EXIT
same=$(realpath "${BUILD:-build}/tests/same_h5")
configs=$(realpath configs)
bad=0

. tests/check.sh
. tests/mpi_launch.sh
cd "$T" || exit 1

numbers() { # all but the clock
    sed -E 's/"seconds": [^,]*, //; s/, "networks_per_second": .*//' "$1/log.jsonl"
}
same_run() { # A B: search, dataset, ratings and log
    "$same" "$1/checkpoint.h5" "$2/checkpoint.h5" es/ && "$same" "$1/checkpoint.h5" "$2/checkpoint.h5" norm/ &&
        "$same" "$1/distilled.hdf5" "$2/distilled.hdf5" && "$same" "$1/ratings.h5" "$2/ratings.h5" &&
        diff <(numbers "$1") <(numbers "$2") && diff <("$U" hades show "$1/distilled.hdf5") <("$U" hades show "$2/distilled.hdf5")
}
above() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b) }'; }

# ---- a run ----

small=(--env cartpole --quiet --set popsize=16 --set layer_width=16 --set num_envs=2 --set rollout_steps=100 --set generations=9 --set log_interval=4
    --set checkpoint_interval=2 --set eval_inits=4 --set eval_episodes=3)
check "a run" "$U" hades "${small[@]}" --out straight --threads 2
cp out said
check "says its fitness" grep -Eq '^fitness +[0-9.]+ mean, [0-9.]+ best of generation 9 \(mean return of candidates\)$' said
check "and what fresh policies earn" grep -Eq '^fresh policies +[0-9.]+ \+- [0-9.]+, least [0-9.]+  \(4 initial weights x 3 episodes\)$' said
for file in hades.json log.csv log.jsonl checkpoint.h5 distilled.hdf5 dataset.png ratings.h5 fitness.png fitness.svg report.txt; do
    check "writes $file" test -s "straight/$file"
done
check "nothing half written" test -z "$(ls straight | grep tmp)"
check "the report is what it says" cmp said straight/report.txt
check "a line each log_interval and at the end" test "$(cut -d, -f1 straight/log.csv | tr '\n' ' ')" = "generation 4 8 9 "
check "of these numbers" grep -Eq '^\{"generation": 9, "seconds": [^,]+, "mean": [^,]+, "best": [^,]+, "std": [^,]+, "best_ever": [^,]+, "num_nonfinite": 0, "networks_per_second": [^,]+, "steps_per_second": [^,]+\}$' \
    straight/log.jsonl
"$U" hades "${small[@]:0:2}" "${small[@]:3}" --threads 1 --out loud 2>loud.said >/dev/null
check "progress" grep -Eq '^generation 8   89%  [0-9.]+ generations/s  .*left  mean [0-9.]+  best [0-9.]+  best ever [0-9.]+$' loud.said
check "one thread: the same bits" same_run straight loud
check "another seed: others" eval "$U hades ${small[*]} --out seven --seed 7 && ! same_run straight seven"
check "fixed policies" "$U" hades "${small[@]}" --out fixed --set policies=fixed --set generations=2 --set eval_inits=2
check "fixed policies: a line of their own" grep -Eq '^its own weights +[0-9.]+ .*\(2 initial weights x 3 episodes\)$' fixed/report.txt
check "fixed policies: by weights of their own" test "$(sed -nE 's/^fresh policies +//p' fixed/report.txt)" != "$(sed -nE 's/^its own weights +//p' fixed/report.txt)"
check "weights: no dataset" eval "$U hades ${small[*]} --out weights --set search=weights --set generations=2 >said && grep -q '^evolved policy' said && [ ! -e weights/distilled.hdf5 ]"
check "no generations: what it begins with" eval "$U hades ${small[*]} --out none --set generations=0 && $U hades show none/distilled.hdf5 | grep -Eq '^ +1 +0 +0 +0 +0 +1$'"

# ---- stopped and killed ----

g=${SANITIZE:+30} # there a step takes fifty times as long
long=(--env cartpole --quiet --set popsize=24 --set layer_width=16 --set num_envs=2 --set rollout_steps=200
    --set generations=${g:-400} --set log_interval=20 --set checkpoint_interval=10 --set eval_inits=4 --set eval_episodes=3)
check "a long run" "$U" hades "${long[@]}" --out long --threads 2
await() { # FILE: until something is in it
    for _ in $(seq 2000); do [ -s "$1" ] && return 0; sleep 0.01; done
    return 1
}
stopped_by() { # SIGNAL FOLDER FILE SETTING...: the status of a run that gets it once it has written FILE; resumed till it is over
    local pid status signal=$1 folder=$2 file=$3
    shift 3
    "$U" hades "${long[@]}" "$@" --out "$folder" --threads 2 >/dev/null 2>"$folder.said" &
    pid=$!
    await "$folder/$file" && kill "-$signal" $pid
    wait $pid 2>/dev/null
    status=$?
    "$U" info "$folder" >"$folder.info"
    "$U" hades --resume "$folder" --quiet --threads 1 >/dev/null 2>"$folder.complaint" || return 1
    echo $status
}
check "Ctrl-C: status" test "$(stopped_by INT interrupted log.jsonl --set checkpoint_interval=100000)" = 130
check "Ctrl-C: says how to go on" grep -Eq '^stopped after generation [0-9]+; go on with: unifloral hades --resume interrupted$' \
    interrupted.said
check "Ctrl-C: at what it wrote" test "$(sed -nE 's/^stopped after generation ([0-9]+);.*/\1/p' interrupted.said)" = \
    "$(awk '/^generation/ { print $2 }' interrupted.info)"
check "Ctrl-C: the same bits" same_run long interrupted
check "kill -9: status" test "$(stopped_by KILL killed checkpoint.h5)" = 137
check "kill -9: the same bits" same_run long killed
check "resumed at the end: nothing new" eval "$U hades --resume straight --quiet && same_run straight loud"
# A run that was killed may have logged more than it saved.
check "resumed to go further" eval "$U hades ${small[*]} --out further --set generations=5 && tail -n 1 further/log.jsonl | sed 's/: 5,/: 7,/' >>further/log.jsonl && \
    $U hades --resume further --quiet --set generations=9"
check "its log has each line once" test "$(sed -E 's/.*"generation": ([0-9]+).*/\1/' further/log.jsonl | tr '\n' ' ')" = "4 5 8 9 "
check "to the same search" "$same" straight/checkpoint.h5 further/checkpoint.h5 es/

# ---- looking at it ----

"$U" hades show straight/distilled.hdf5 --out picture.png >said
check "show: what it is" grep -Eq '^environment +CartPole-v1$' said
check "show: each row" test "$(grep -Ec '^ +[01]( +-?[0-9.e-]+){4} +[01]$' said)" = 2
check "show: a picture" eval "grep -q '^wrote picture.png$' said && cmp picture.png straight/dataset.png"
"$U" info straight >said
check "info of a run" grep -Eq '^checkpoint +behaviour distillation \(HaDES-R\)$' said
check "info: generation" grep -Eq '^generation +9$' said
check "info: dimensions" grep -Eq '^candidates +8 numbers, 16 of them a generation$' said
check "info: best" grep -Eq '^best fitness +[0-9.]+$' said
check "info: settings" grep -Eq '^  layer_width +16$' said
check "info of ratings.h5 has the report's mean" test "$("$U" info straight/ratings.h5 | awk '/^returns/ { printf "%.4g", $2 }')" = \
    "$(awk '/^fresh policies/ { print $3 }' straight/report.txt)"
check "info of weights" eval "$U info weights/checkpoint.h5 | grep -q 'direct evolution of weights'"
"$U" info straight/distilled.hdf5 >said
check "info of the dataset" grep -Eq '^layout +distilled, D4RL' said
check "the last checkpoint is of the end" test "$("$U" info long | awk '/^generation/ { print $2 }')" = ${g:-400}

# ---- policies from it ----

"$U" hades try long/distilled.hdf5 --controls --inits 6 --episodes 4 --threads 1 >said
check "try: three lines" test "$(cut -c1-18 said | tr -s ' ' | tr '\n' '|')" = "fresh policies |states all 0 |labels moved on |"
score() { awk -v what="$1" 'index($0, what) == 1 { print $(NF > 0 ? split(what, w, " ") + 1 : 0) }' said; }
check "try: they balance" above "$(score 'fresh policies')" 300
check "try: not without states" above 60 "$(score 'states all 0')"
check "try: nor with labels of others" above 60 "$(score 'labels moved on')"
"$U" hades try long/distilled.hdf5 --controls --inits 6 --episodes 4 --threads 2 >again
check "try: threads do not matter" cmp said again
check "try: the seed does" eval "! cmp -s <($U hades try fixed/distilled.hdf5 --inits 4) <($U hades try fixed/distilled.hdf5 --inits 4 --seed 3)"
"$U" hades vary long/distilled.hdf5 --set 'layer_width=[16,8]' --set 'activation=["relu","tanh"]' --set greedy=true --inits 6 --episodes 4 >said
check "vary: a line each" test "$(awk '{ print $1 }' said | tr '\n' ' ')" = "nothing layer_width=16 layer_width=8 activation=relu activation=tanh "
check "vary: what is no list holds throughout" test "$(sed -n 's/^nothing varied  *//p' said)" = "$(sed -n 's/^layer_width=16  *//p' said)"
"$U" hades try long/distilled.hdf5 --set layer_width=8 --set greedy=true --inits 6 --episodes 4 >again
check "vary: the others as they are" test "$(sed -n 's/^nothing varied  *//p' said)" = "$(sed -n 's/^activation=tanh  *//p' said)"
check "vary: as try says" test "$(awk '/^layer_width=8/ { print $2 }' said)" = "$(awk '{ sub(",", "", $3); print $3 }' again)"

check "two tasks: the second" "$U" hades --env mountaincar --quiet --set rows=3 --set popsize=8 --set generations=2 --set eval_inits=2 \
    --set eval_episodes=2 --out mountain
for form in "" --apart; do
    check "merge $form" "$U" hades merge long/distilled.hdf5 mountain/distilled.hdf5 $form --out "both$form.hdf5"
    cp out said
    check "merge $form: what it is" grep -Eq "^wrote both$form.hdf5: 5 rows of $([ "$form" ] && echo 6 || echo 4) observations and 3 actions, 2 tasks$" said
    check "merge $form: show" eval "$U hades show both$form.hdf5 | grep -q 'CartPole-v1+MountainCar-v0'"
    for env in CartPole-v1 MountainCar-v0; do
        check "merge $form: try in $env" eval "$U hades try both$form.hdf5 --env $env --inits 3 --episodes 2 >said && grep -Eq '^fresh policies +-?[0-9.]+ ' said"
    done
    refused "merge $form: in which" 1 "CartPole-v1" hades try "both$form.hdf5"
done

check "bc learns from the file" "$U" train "$configs/bc.json" --dataset long/distilled.hdf5 --quiet --seed 1 --out bc \
    --set num_updates=400 --set eval_interval=400 --set eval_final_episodes=10 --set batch_size=2 --set actor_lr=0.001
check "to balance" above "$("$U" eval bc --episodes 10 --json | sed -nE 's/.*"return_mean": ([0-9.]+).*/\1/p')" 150 # random play: 22

# ---- sweep ----

sweep=(--env cartpole --quiet --set popsize=8 --set layer_width=8 --set generations=2 --set eval_inits=2 --set eval_episodes=2
    --set 'rows=[2,4]' --set 'seed=[0,1]')
check "sweep" "$U" hades sweep "${sweep[@]}" --out sweep
cp out said
check "sweep: a line for each but the seeds" eval "grep -Eq '^rows=2 +2 +8 ' said && grep -Eq '^rows=4 +2 +16 ' said && [ \$(wc -l <said) = 3 ]"
check "sweep: its table" test "$(tail -n +2 sweep/sweep.csv | cut -d, -f1-3 | cut -c1-16 | tr '\n' ' ')" = \
    '"rows=2,seed=0", "rows=2,seed=1", "rows=4,seed=0", "rows=4,seed=1", '
check "sweep: figures" test -s sweep/fitness.png -a -s sweep/fitness.svg
check "sweep: one of them is a run like any" eval "$U hades ${sweep[*]:0:11} --set eval_episodes=2 --set rows=4 --seed 1 --out one && same_run one sweep/rows=4,seed=1"
find sweep/* -path '*/*/*' -printf '%p %T@\n' | sort >before
check "sweep again" "$U" hades sweep "${sweep[@]}" --out sweep
cp out again
check "sweep again: the same words" cmp again said
check "sweep again: nothing is done anew" cmp before <(find sweep/* -path '*/*/*' -printf '%p %T@\n' | sort)
rm sweep/rows=2,seed=1/report.txt sweep/rows=4,seed=0/* && rmdir sweep/rows=4,seed=0
check "sweep goes on" "$U" hades sweep "${sweep[@]}" --out sweep
cp out again
check "sweep goes on: the same words" cmp again said
check "sweep: further" eval "$U hades sweep ${sweep[*]@Q} --set generations=3 --out sweep && $U info sweep/rows=4,seed=0 | grep -Eq '^generation +3$'"
refused "sweep: another in its folder" 1 "sweep/rows=2,seed=0: layer_width: the run to resume was trained with 8, not 9" hades sweep "${sweep[@]}" \
    --set generations=3 --set layer_width=9 --out sweep

# ---- processes ----

if [ "$mpi_why" ]; then
    echo "skip processes: $mpi_why"
else
    for n in 2 3; do
        check "$n processes" timeout 60 $mpi_launch -n $n "$U" hades "${small[@]}" --out "ranks$n" --threads 1
        check "$n processes: one speaks" test "$(grep -c '^fresh policies' out)" = 1
        check "$n processes: the bits of one" same_run straight "ranks$n"
    done
    check "a sweep of 2 processes" timeout 60 $mpi_launch -n 2 "$U" hades sweep "${sweep[@]}" --set generations=3 --out sweep2 --threads 1
    check "a sweep of 2 processes: the bits of one" cmp sweep/sweep.csv sweep2/sweep.csv
    # one of them is killed: the job ends, and goes on with fewer
    timeout 60 $mpi_launch -n 2 "$U" hades "${long[@]}" --out "$T/lost" --threads 1 >/dev/null 2>said &
    pid=$!
    victim=
    for _ in $(seq 500); do  # before it is long under way
        for p in /proc/[0-9]*; do
            { read -r name <"$p/comm"; } 2>/dev/null && [ "$name" = "$(basename "$U")" ] || continue
            { tr '\0' ' ' <"$p/cmdline" | grep -q -- "--out $T/lost "; } 2>/dev/null && victim=${p#/proc/}
        done
        [ "$victim" ] && break
        sleep 0.01
    done
    await lost/checkpoint.h5
    kill -9 "$victim"
    wait $pid
    check "one is killed: the job fails" test $? != 0
    check "and is not over" test ! -e lost/report.txt
    check "it goes on alone" "$U" hades --resume lost --quiet --threads 2
    check "to the same bits" same_run long lost
    timeout 60 $mpi_launch -n 1 "$U" hades "${small[@]}" --out apart : -n 1 "$U" hades "${small[@]}" --out apart --seed 5 >/dev/null 2>said
    check "processes of two minds: status" test $? = 1
    check "processes of two minds" grep -q 'error: configuration or checkpoint differs' said
fi

# ---- refused ----

refused "no environment" 1 "env is empty; expected an environment" hades --quiet
refused "an unknown environment" 1 "unknown environment 'mars'" hades --env mars
refused "an unknown hyperparameter" 1 "'popsise' is not a hyperparameter; did you mean 'popsize'" hades --env cartpole --set popsise=8
refused "a value out of range" 1 "popsize: 1 is out of range" hades --env cartpole --set popsize=1
refused "a contradiction" 1 "popsize 7 is odd" hades --env cartpole --set strategy=openes --set popsize=7
check "and no folder for it" eval "! $U hades --env cartpole --set rows=1 --out nofolder && [ ! -e nofolder ]"
refused "Freeway's trap" 1 "in Freeway-MinAtar none ends before step 2500" hades --env minatar-freeway --set rows=3 --set obs_norm=none --set fitness=last
refused "a device that cannot" 1 "cuda|CUDA" hades --env cartpole --device cuda
refused "a folder that is taken" 1 "straight: already holds a run" hades "${small[@]}" --out straight
refused "nothing to resume" 1 "nowhere: holds no distillation" hades --resume nowhere
refused "another setting than the run's" 1 "rows: the run to resume was trained with 2, not 3" hades --resume straight --set rows=3
refused "out and resume" 2 "--resume and --out contradict" hades --resume straight --out x
refused "a configuration of another command" 1 "is not a hyperparameter" hades --config "$configs/demo.json" --env cartpole
refused "no candidate has a fitness" 1 "none of the 4 candidates of generation 1 has a finite fitness" hades --env mountaincar \
    --quiet --set rows=3 --set popsize=4 --set num_steps=2 --set fitness=ended --set rollout_steps=9 --out x
refused "show: a dataset of another kind" 1 "ratings.h5" hades show straight/ratings.h5
refused "show: nothing there" 1 "nowhere.hdf5" hades show nowhere.hdf5
refused "show: no file" 2 "FILE" hades show
refused "show: what is no picture" 1 "picture.bmp" hades show straight/distilled.hdf5 --out picture.bmp
refused "try: another task" 1 "Pendulum-v1" hades try straight/distilled.hdf5 --env pendulum
refused "try: a checkpoint" 1 "checkpoint.h5" hades try straight/checkpoint.h5
refused "vary: nothing" 1 "nothing is varied: expected a list" hades vary straight/distilled.hdf5
refused "merge: one file" 2 "FILE" hades merge straight/distilled.hdf5 --out x.hdf5
refused "merge: nowhere to" 2 "--out" hades merge straight/distilled.hdf5 mountain/distilled.hdf5
refused "sweep: nowhere to" 2 "--out" hades sweep --env cartpole
refused "sweep: how it is run" 1 "generations" hades sweep --env cartpole --set 'generations=[1,2]' --out x
refused "sweep: one of them is refused" 1 "rows 1: CartPole-v1 has 2 kinds" hades sweep --env cartpole --set 'rows=[2,1]' --out refused
check "before any work" test ! -e refused
head -c 3000 straight/checkpoint.h5 >cut.h5
refused "info: a checkpoint that is cut off" 1 "cut.h5" info cut.h5
mkdir broken && cp straight/hades.json straight/log.* broken && cp cut.h5 broken/checkpoint.h5
refused "a checkpoint that is cut off" 1 "broken/checkpoint.h5" hades --resume broken
exit $bad
