#!/usr/bin/env bash
# test_cli: what scripts rely on: exit statuses, one-line errors, and runs that survive being stopped and killed.
# Prints "ok name", "not ok name" or "skip name" for each case. Environment: UNIFLORAL (the program), BUILD.
set -uo pipefail
U=$(realpath "${UNIFLORAL:-./unifloral}")
same=${BUILD:-build}/tests/same_h5
T=$(mktemp -d /tmp/unifloral-cli-XXXXXX)
trap 'rm -rf "$T"' EXIT
bad=0

ok() { echo "ok $1"; }
not_ok() {
    echo "not ok $1"
    sed 's/^/    /' "$T/err" | head -n 5
    bad=1
}
check() { # NAME COMMAND...: passes if the command does
    local name=$1
    shift
    if "$@" >"$T/out" 2>"$T/err"; then ok "$name"; else not_ok "$name"; fi
}
refused() { # NAME STATUS PATTERN ARGUMENTS...: this status, and one line on stderr that matches
    local name=$1 status=$2 pattern=$3 got
    shift 3
    "$U" "$@" >"$T/out" 2>"$T/err" </dev/null
    got=$?
    if ((got == status)) && [ "$(wc -l <"$T/err")" = 1 ] && grep -Eq "^error: .*($pattern)" "$T/err"; then
        ok "$name"
    else
        echo "    wanted status $status and one line with '$pattern', got status $got:"
        not_ok "$name"
    fi
}
numbers() { sed -E 's/"seconds": [^,]*, "(updates|epochs)_per_second": [^,]*, //' "$1/log.jsonl"; } # all but the clock
wait_for() { # FILE: until it is there, 20 s at most
    for _ in $(seq 400); do
        [ -s "$1" ] && return 0
        sleep 0.05
    done
    return 1
}
same_checkpoint() { # A B: all but the configuration, where threads may differ
    "$same" "$1" "$2" value/ && "$same" "$1" "$2" adam_ && "$same" "$1" "$2" metrics
}
same_run() { # A B: checkpoints, results and logs
    same_checkpoint "$1/checkpoint.h5" "$2/checkpoint.h5" && "$same" "$1/final.h5" "$2/final.h5" &&
        diff <(numbers "$1") <(numbers "$2")
}

# ---- help and misuse ----

check version grep -Eq '^unifloral [0-9]+\.[0-9]+\.[0-9]+$' <("$U" --version)
check help grep -q 'unifloral train' <("$U" help)
for c in train online dynamics eval fqe info verify collect render play convert bench report protocol sweep results plot envs; do
    check "help $c" grep -q "usage: unifloral $c" <("$U" "$c" --help)
done
"$U" train --help >"$T/help"
rows=$(grep -cE '^UF_(INT|FLOAT|BOOL|ENUM|STRING) *\(' params.def)
found=0
for name in $(sed -nE 's/^UF_(INT|FLOAT|BOOL|ENUM|STRING) *\(([a-z_0-9]+),.*/\2/p' params.def); do
    grep -qw "$name" "$T/help" && found=$((found + 1))
done
check "train --help has all $rows hyperparameters" test "$found" = "$rows"

refused "no command" 2 "command is missing"
refused "unknown command" 2 "unknown command 'trian'; did you mean train" trian
refused "unknown option" 2 "unknown option '--sead'; did you mean --seed" train x.json --sead 3
refused "option of another command" 2 "unknown option '--episodes'" train x.json --episodes 3
refused "missing value" 2 "--seed N: the value is missing" train x.json --seed
refused "not a number" 2 "--seed wants a whole number .* not '3x'" train x.json --seed 3x
refused "set without =" 2 "--set wants name=value" train x.json --set lr
refused "no config" 2 "argument is missing" train
refused "two configs" 2 "--out is missing: the folder for the runs" train a.json b.json
refused "report without --out" 2 "--out is missing" report runs
refused "protocol without a run" 2 "argument is missing" protocol
refused "a confidence that is none" 2 "--confidence wants a number" protocol runs --confidence high
refused "plot without a run" 2 "argument is missing" plot
refused "plot of final scores by seconds" 2 "--final and --x contradict" plot runs --final --x seconds
refused "a seed for curves" 2 "--seed is for --final" plot runs --seed 1
refused "a confidence of no interval" 2 "--confidence is for --final and --band ci" plot runs --confidence 0.9
refused "plot of no picture" 1 "chart.bmp: the ending" plot runs -o chart.bmp
refused "info without file" 2 "argument is missing" info
refused "collect without policy" 2 "--policy or --mix is missing" collect --env pendulum --steps 5 --out x.hdf5
refused "policy and mix" 2 "contradict each other" collect --env pendulum --policy random --mix random:1 --steps 5 --out x.hdf5
refused "noise that is none" 2 "--noise wants a number" collect --env pendulum --policy random --noise loud --steps 5 --out x.hdf5
refused "grid and a number of policies" 2 "--grid and --num-policies contradict" sweep x.json --grid --num-policies 3
refused "grid and a sweep seed" 2 "--grid and --sweep-seed contradict" sweep x.json --grid --sweep-seed 3
refused "results of two stores" 2 "one argument too many" results a.sqlite b.sqlite
refused "shares that do not add up" 1 "add up to 1.1, expected 1" collect --env pendulum --mix random:0.5,expert:0.6 --steps 5 --out x.hdf5
refused "unknown policy" 1 "best.*a policy is random, medium, expert, replay or a checkpoint" collect --env pendulum --policy best --steps 5 --out "$T/x.hdf5"

# ---- refusals ----

D=$T/pendulum-random.hdf5
check collect "$U" collect --env pendulum --policy random --steps 3000 --seed 1 --out "$D"
check "info of a dataset" "$U" info "$D"
cat >"$T/small.json" <<JSON
{"dataset": "$D", "batch_size": 32, "actor_num_layers": 2, "actor_layer_width": 32, "critic_num_layers": 2,
 "critic_layer_width": 32, "use_awr": true, "num_updates": 6000, "eval_interval": 400, "eval_workers": 2,
 "eval_final_episodes": 6, "checkpoint_interval": 540}
JSON
S=$T/small.json
refused "no such config" 1 "nowhere.json" train "$T/nowhere.json"
refused "unknown hyperparameter" 1 "learning_rate" train "$S" --set learning_rate=1 --out "$T/r"
refused "out of range" 1 "gamma.*2" train "$S" --set gamma=2 --out "$T/r"
refused "no such number of threads" 1 "eval_threads.*-1" train "$S" --set eval_threads=-1 --out "$T/r"
refused "too many threads" 1 "eval_threads.*1025" train "$S" --set eval_threads=1025 --out "$T/r"
refused "contradiction" 1 "entropy" train "$S" --set use_entropy_loss=true --out "$T/r"
refused "no such dataset" 1 "nowhere.hdf5" train "$S" --dataset "$T/nowhere.hdf5" --out "$T/r"
refused "not a dataset" 1 "small.json" train "$S" --dataset "$S" --out "$T/r"
refused "unknown environment" 1 "nonsense.*known: pendulum, .*hopper" train "$S" --set env=nonsense --out "$T/r"
refused "another environment" 1 "observations" train "$S" --set env=MountainCarContinuous-v0 --out "$T/r"
refused "no folder to write in" 1 "/dev/null/x" train "$S" --out /dev/null/x
refused "nothing to resume" 1 "holds no run" train --resume "$T/r"
refused "resume and out" 2 "contradict" train --resume "$T/r" --out "$T/r2"
check "refused runs leave no folder" test ! -e "$T/r"
refused "info of no file" 1 "nowhere" info "$T/nowhere"
refused "info of another file" 1 "small.json" info "$S"
refused "verify of no file" 1 "nowhere" verify "$T/nowhere"
refused "eval of a dataset" 1 "pendulum-random" eval "$D"
refused "convert of another file" 1 "small.json" convert "$S" "$T/c.hdf5"

# ---- a run ----

check train "$U" train "$S" --out "$T/straight" --threads 1
for f in config.json log.jsonl log.csv checkpoint.h5 final.h5; do
    check "run folder has $f" test -s "$T/straight/$f"
done
if grep -q UF_NO_CAIRO "${BUILD:-build}/flags"; then
    echo "skip learning curve: built without cairo"
else
    check "run folder has the learning curve" test -s "$T/straight/learning_curve.png" -a -s "$T/straight/learning_curve.svg"
fi
check "a log line each interval" test "$(wc -l <"$T/straight/log.jsonl")" = 15 -a "$(wc -l <"$T/straight/log.csv")" = 16
refused "folder in use" 1 "already holds a run.*--resume" train "$S" --out "$T/straight"
check "info of a checkpoint" grep -q 6000 <("$U" info "$T/straight/checkpoint.h5")
check eval grep -q '"episodes": 5,' <("$U" eval "$T/straight" --episodes 5 --threads 1 --json)
check "eval does not depend on threads" diff \
    <("$U" eval "$T/straight" --episodes 5 --threads 1 --json | sed 's/"steps_per.*//') \
    <("$U" eval "$T/straight/checkpoint.h5" --episodes 5 --threads 2 --json | sed 's/"steps_per.*//')
refused "eval elsewhere" 1 "observations" eval "$T/straight" --env MountainCarContinuous-v0
check "train with two threads" "$U" train "$S" --out "$T/two" --threads 2
check "two threads, same bits" same_run "$T/straight" "$T/two"
check "train with evaluation beside it" "$U" train "$S" --out "$T/beside" --threads 1 --set eval_threads=1
check "evaluation beside, same bits" same_run "$T/straight" "$T/beside"
check "another seed" "$U" train "$S" --out "$T/seed" --threads 1 --seed 7 --set num_updates=200
check "another seed, other bits" eval "! $same $T/straight/checkpoint.h5 $T/seed/checkpoint.h5 value/"

# ---- plot ----

check "a run for a plot" "$U" train "$S" --out "$T/short" --threads 1 --seed 8 --set num_updates=1200
drawn=("$T/straight" "$T/short" -o "$T/plot.svg" --csv "$T/plot.csv")
if grep -q UF_NO_CAIRO "${BUILD:-build}/flags"; then
    check "plot without cairo" grep -q 'libcairo2-dev' <("$U" plot "${drawn[@]}" 2>&1)
else
    check plot grep -qx "wrote $T/plot.svg, $T/plot.csv: 2 runs, 1 group, 1 dataset" <("$U" plot "${drawn[@]}" 2>/dev/null)
    check "plot writes an SVG" grep -q '<svg' "$T/plot.svg"
    check "plot of final scores" "$U" plot "$T/straight" "$T/short" --final -o "$T/final.png"
fi
scores() { sed -E 's/.*"eval_score": ([^,]*),.*/\1/' "$1/log.jsonl" | head -n 3; }
check "plot draws the mean of the logs" diff <(sed 1d "$T/plot.csv" | awk -F, '{printf "%.4f\n", $6}') \
    <(paste <(scores "$T/straight") <(scores "$T/short") | awk '{printf "%.4f\n", ($1 + $2) / 2}')

# ---- protocol ----

mkdir "$T/study"
for s in 1 2 3; do
    "$U" train "$S" --out "$T/study/$s" --quiet --threads 1 --seed $s --set num_updates=20 >/dev/null
done
check protocol "$U" protocol "$T/study" --out "$T/protocol" --threads 1
cp "$T/out" "$T/tables"
cp "$T/err" "$T/said"
check "protocol: a line a curve" grep -Eq '^pendulum-random +unifloral +-?[0-9.]+ \[-?[0-9.]+, -?[0-9.]+\] ' "$T/tables"
check "protocol: a smaller subsample is said" grep -q '^note: subsample 8 .*lowered.*pendulum-random: unifloral 3$' "$T/said"
check "protocol: 200 pulls" test "$(wc -l <"$T/protocol/curves.csv")" = 201
check "protocol: files" test -s "$T/protocol/summary.csv" -a -s "$T/protocol/aggregates.csv" -a -s "$T/protocol/protocol.json"
if ! grep -q UF_NO_CAIRO "${BUILD:-build}/flags"; then
    check "protocol: figures" test -s "$T/protocol/protocol.svg" -a -s "$T/protocol/protocol.png" -a -s "$T/protocol/protocol.pdf"
fi
check "protocol, two threads" "$U" protocol "$T/study" --out "$T/protocol2" --threads 2
check "two threads, same results" diff "$T/protocol/protocol.json" "$T/protocol2/protocol.json"
check "protocol with options" "$U" protocol "$T/study" --out "$T/protocol3" --subsample 2 --max-pulls 30 --trials 50 \
    --bootstraps 20 --ucb-alpha 0.5 --seed 3 --confidence 0.9
check "options count" grep -q '"subsample":2,"max_pulls":30,"num_trials":50,"num_bootstraps":20,"ucb_alpha":0.5,"confidence":0.9,.*"seed":3' \
    "$T/protocol3/protocol.json"
refused "protocol of one policy" 1 "one policy only" protocol "$T/study/1" --out "$T/r"
refused "protocol of a policy twice" 1 "given twice" protocol "$T/study" "$T/study/1" --out "$T/r"
refused "protocol of nothing" 1 "nowhere: is not there" protocol "$T/nowhere" --out "$T/r"
refused "a confidence of 1" 1 "confidence is 1, expected" protocol "$T/study" --confidence 1 --out "$T/r"
check "refused protocols leave no folder" test ! -e "$T/r"

# A log line holds the means since the line before.
"$U" train "$S" --out "$T/each" --quiet --set num_updates=4 --set eval_interval=1 >/dev/null
"$U" train "$S" --out "$T/pairs" --quiet --set num_updates=4 --set eval_interval=2 >/dev/null
losses() { sed -E 's/.*"critic_loss": ([^,]*),.*/\1/' "$1/log.jsonl"; }
check "log lines are means of their interval" awk '
    NR <= 4 { mean[int((NR + 1) / 2)] += $1 / 2 }
    NR > 4 { d = $1 - mean[NR - 4]; if (d * d > 1e-10 * $1 * $1) exit 1; seen++ }
    END { exit seen != 2 }' <(losses "$T/each"; losses "$T/pairs")
check "info of a result" grep -q 'score_mean' <("$U" info "$T/straight/final.h5")

# Without an environment it trains all the same, in a folder of its own name; a second run gets a number.
awk 'BEGIN { print "obs_0,obs_1,action_0,reward,terminal,timeout"
    for (i = 0; i < 500; i++) printf "%g,%g,%g,-1,0,%d\n", sin(i), cos(i), sin(3 * i), i % 100 == 99 }' >"$T/plain.csv"
check "convert from CSV" "$U" convert "$T/plain.csv" "$T/plain.hdf5"
cp "$T/plain.csv" "$T/kept.csv"
refused "convert onto its input" 1 "plain.csv: is the name of a CSV or .npz file.*FILE.hdf5" convert "$T/plain.csv" "$T/plain.csv"
check "the input is as it was" cmp "$T/plain.csv" "$T/kept.csv"
refused "convert into no folder" 1 "none/x.hdf5: its folder is not there" convert "$T/plain.csv" "$T/none/x.hdf5"
refused "convert to a folder" 1 "$T: is a folder; expected the name of a file" convert "$T/plain.csv" "$T"
refused "collect into no folder" 1 "none/x.hdf5: its folder is not there" collect --env pendulum --policy random --steps 10 \
    --out "$T/none/x.hdf5"
# A full disk, of which a limit of file sizes says the same: the system's own words, and nothing is left. Of 0 blocks the file
# cannot be made, of 8 not be filled.
for blocks in 0 8; do
    (trap '' XFSZ; ulimit -f $blocks; exec "$U" collect --env pendulum --policy random --steps 3000 \
        --out "$T/full.hdf5" 2>&1) | cat >"$T/said"
    check "a full disk, $blocks blocks" grep -qx "error: $T/full.hdf5.tmp: '.*' cannot be written (File too large); is the disk full?" "$T/said"
    check "leaves nothing, $blocks blocks" test -z "$(ls "$T" | grep '^full')"
done
for folder in runs/toy_plain_0 runs/toy_plain_0_2; do
    check "train to $folder" eval "(cd '$T' && '$U' train '$S' --dataset plain.hdf5 --set algorithm=toy --set num_updates=20 2>said)"
    check "says that nothing evaluates" grep -q "note: the dataset names no environment, nor does its file name ('plain'); training without evaluation" "$T/said"
    check "results in $folder" test -s "$T/$folder/final.h5" -a -s "$T/$folder/checkpoint.h5"
done
refused "eval of a run without an environment" 1 "toy_plain_0/checkpoint.h5: was trained without an environment; name one by --env" \
    eval "$T/runs/toy_plain_0"

# ---- pictures ----

refused "render without a policy" 2 "what acts is missing: either a checkpoint or --policy" render --env pendulum --out "$T/x.png"
refused "render with two" 2 "what acts is given twice" render "$T/straight" --policy random --out "$T/x.png"
refused "render to nowhere" 2 "--out is missing" render "$T/straight"
refused "a frame too small" 2 "--width wants a whole number from 100 to 4096" render "$T/straight" -o "$T/x.png" --width 99
if grep -q UF_NO_CAIRO "${BUILD:-build}/flags"; then
    refused "render without cairo" 1 "libcairo2-dev" render "$T/straight" -o "$T/x.png"
    echo "skip pictures: built without cairo"
else
    refused "render to another format" 1 "x.jpg: the ending of a picture's name must be .png or .gif" render "$T/straight" -o "$T/x.jpg"
    refused "render elsewhere" 1 "observations" render "$T/straight" --env MountainCarContinuous-v0 -o "$T/x.png"
    check "refused pictures leave nothing" test -z "$(ls "$T" | grep '^x\.')"
    check render "$U" render "$T/straight" -o "$T/strip.png"
    value=$(sed -nE 's/^return +//p' "$T/out")
    check "its return is that of eval's first episode" test -n "$value" -a "$value" = \
        "$("$U" eval "$T/straight" --episodes 1 --json | sed -E 's/.*"return_mean": ([^,]*),.*/\1/' | xargs printf '%.3f')"
    check "the strip is a PNG" test "$(head -c 4 "$T/strip.png" | tail -c 3)" = PNG
    if grep -q UF_GL_EGL "${BUILD:-build}/flags" && ! grep -q UF_NO_MUJOCO "${BUILD:-build}/flags"; then
        check "without an OpenGL driver" env __EGL_VENDOR_LIBRARY_FILENAMES=/dev/null "$U" render --policy random --env hopper \
            --frames 2 -o "$T/plain.png"
        cp "$T/err" "$T/said"
        check "it draws plainly and says so" grep -q "note: Hopper-v2 is drawn plainly.*libgl1-mesa-dri" "$T/said"
    else
        echo "skip drawing without an OpenGL driver: built without EGL or MuJoCo"
    fi
fi

# ---- gridworlds ----

DOOR=MiniGrid-DoorKey-8x8-v0
refused "a level of an unknown gridworld" 1 "did you mean 'MiniGrid-DoorKey-8x8-v0'" play MiniGrid-DorKey-8x8-v0 --keys k
refused "play without a terminal" 1 "standard input is not a terminal; play in one, or give the keys: --keys" play $DOOR
refused "play what is no key" 1 "character 2 of the keys is none; arrows" play $DOOR --keys 'k?'
check play "$U" play $DOOR --seed 3 --keys 'hk'
cp "$T/out" "$T/played"
check "its picture" grep -q '^step 2 of 640   reward 0   return 0   carrying nothing$' "$T/played"
refused "a gridworld with an episode's option" 2 "--width is not for gridworlds" render $DOOR -o "$T/y.png" --width 200
refused "an episode with a gridworld's" 2 "--tile-size is for gridworlds" render "$T/straight" -o "$T/y.png" --tile-size 8
refused "two checkpoints" 2 "'also' is one argument too many: only gridworlds share a sheet" render "$T/straight" also -o "$T/y.png"
refused "a tile too large" 2 "--tile-size wants a whole number from 1 to 256" render $DOOR -o "$T/y.png" --tile-size 257
refused "a level in another format" 1 "y.jpg: the ending of a picture's name must be .png or .gif" render $DOOR -o "$T/y.jpg"
if ! grep -q UF_NO_CAIRO "${BUILD:-build}/flags"; then
    refused "a picture of an unknown gridworld" 1 "did you mean 'MiniGrid-DoorKey-8x8-v0'" render MiniGrid-DorKey-8x8-v0 -o "$T/y.png"
    refused "a sheet with an unknown one" 1 "nothing-v0" render $DOOR nothing-v0 -o "$T/y.png"
    check "refused pictures of gridworlds leave nothing" test -z "$(ls "$T" | grep '^y\.')"
    check "a level" "$U" render $DOOR --seed 3 --tile-size 8 -o "$T/level.png"
    cp "$T/out" "$T/said"
    check "its size" grep -q 'level.png: 1 level, 64 x 64 pixels' "$T/said"
    check "a sheet" "$U" render $DOOR Navix-Empty-8x8-v0 -o "$T/sheet.png"
fi
if ! grep -q UF_NO_GIF "${BUILD:-build}/flags"; then
    check "an episode of a gridworld" "$U" render $DOOR --steps 20 -o "$T/level.gif"
    cp "$T/out" "$T/said"
    check "its frames" grep -q 'level.gif: 21 frames, 256 x 256 pixels' "$T/said"
fi

# ---- stopped ----

"$U" train "$S" --out "$T/stopped" --threads 1 >/dev/null 2>"$T/said" &
pid=$!
wait_for "$T/stopped/log.jsonl"
kill -INT $pid
wait $pid
status=$?
check "Ctrl-C ends with 130" test $status = 130
check "and says how to go on" grep -Eq '^stopped at update [0-9]+; go on with: unifloral train --resume ' "$T/said"
refused "a resumed run keeps its hyperparameters" 1 "lr: .*trained with 0.001" train --resume "$T/stopped" --set lr=0.5
cp "$D" "$T/other.hdf5"
"$U" collect --env pendulum --policy random --steps 3000 --seed 2 --out "$T/other.hdf5" >/dev/null
refused "a resumed run keeps its dataset" 1 "is not the file that the run was trained on" train --resume "$T/stopped" --dataset "$T/other.hdf5"
head -c "$(($(stat -c %s "$T/stopped/checkpoint.h5") / 2))" "$T/stopped/checkpoint.h5" >"$T/half.h5"
mkdir "$T/half"
cp "$T/stopped/config.json" "$T/half/"
cp "$T/half.h5" "$T/half/checkpoint.h5"
refused "a cut-off checkpoint is refused" 1 "checkpoint.h5" train --resume "$T/half"
check "and left as it was" cmp "$T/half.h5" "$T/half/checkpoint.h5"
check "resume after Ctrl-C" "$U" train --resume "$T/stopped" --threads 2
check "same numbers as a straight run" eval "$same $T/straight/checkpoint.h5 $T/stopped/checkpoint.h5 value/ &&
    $same $T/straight/final.h5 $T/stopped/final.h5 && diff <(numbers $T/straight) <(numbers $T/stopped)"
check "resume of a finished run" "$U" train --resume "$T/straight"
cp -r "$T/straight" "$T/without"
rm "$T/without/checkpoint.h5"
refused "a finished run without its checkpoint does not begin anew" 1 "checkpoint.h5: is gone" train --resume "$T/without"
check "and keeps its log" cmp "$T/without/log.csv" "$T/straight/log.csv"

"$U" train "$S" --out "$T/busy" --threads 1 --set num_updates=1000000000 >/dev/null 2>&1 &
pid=$!
wait_for "$T/busy/config.json"
sleep 0.2
refused "a folder in use by another process" 1 "another process" train --resume "$T/busy"
kill -TERM $pid
wait $pid
check "SIGTERM ends with 143" test $? = 143

# ---- killed ----

for round in 1 2 3; do
    k=$T/killed$round kills=0
    for _ in 1 2 3 4; do
        if [ -e "$k/config.json" ]; then set -- --resume "$k" --set eval_threads=$((RANDOM % 3)); else set -- "$S" --resume "$k"; fi
        "$U" train "$@" --threads 1 >/dev/null 2>&1 &
        pid=$!
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
        kill -9 $pid 2>/dev/null && kills=$((kills + 1))
        wait $pid 2>/dev/null
    done
    check "round $round: resume after $kills kills" "$U" train "$S" --resume "$k"
    check "round $round: same bits as a straight run" same_run "$T/straight" "$k"
done

# ---- online ----

O=$T/online.json
cat >"$O" <<JSON
{"env": "pendulum", "algorithm": "sac", "batch_size": 32, "actor_num_layers": 2, "actor_layer_width": 32,
 "critic_num_layers": 2, "critic_layer_width": 32, "norm_obs": true, "deterministic": false, "use_tanh_mean": false,
 "actor_bc_coef": 0, "use_entropy_loss": true, "actor_entropy_coef": 1, "critic_entropy_coef": 1,
 "start_steps": 300, "num_updates": 2500, "updates_per_step": 2, "eval_interval": 200, "eval_workers": 2,
 "eval_final_episodes": 6, "checkpoint_interval": 270, "medium_score": -20}
JSON
same_online() { # A B: the run, its buffer and its milestones
    same_run "$1" "$2" && "$same" "$1/buffer.hdf5" "$2/buffer.hdf5" && same_checkpoint "$1/medium.h5" "$2/medium.h5" &&
        same_checkpoint "$1/best.h5" "$2/best.h5"
}
refused "online without an environment" 1 "online true needs an environment" online "$S" --set env= --set dataset= --out "$T/r"
refused "online with a dataset" 1 "online true makes its own data" online "$O" --set dataset=x.hdf5 --out "$T/r"
refused "online with discrete actions" 1 "discrete" online "$O" --env cartpole --out "$T/r"
refused "online with too few steps" 1 "leaves nothing after start_steps 300" online "$O" --steps 300 --out "$T/r"
check "refused online runs leave no folder" test ! -e "$T/r"
check "online" "$U" online "$O" --out "$T/online" --threads 1
check "the buffer holds every step" grep -q "^rows *1550 transitions, 0 more" <("$U" info "$T/online/buffer.hdf5")
check "online, two threads" "$U" online "$O" --out "$T/online2" --threads 2
check "two threads, same buffer" "$same" "$T/online/buffer.hdf5" "$T/online2/buffer.hdf5"
for round in 1 2; do
    k=$T/online_killed$round kills=0
    for _ in 1 2 3 4; do
        if [ -e "$k/config.json" ]; then set -- --resume "$k" --set eval_threads=$((RANDOM % 3)); else set -- "$O" --resume "$k"; fi
        "$U" online "$@" --threads 1 >/dev/null 2>&1 &
        pid=$!
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
        kill -9 $pid 2>/dev/null && kills=$((kills + 1))
        wait $pid 2>/dev/null
    done
    check "online round $round: resume after $kills kills" "$U" online "$O" --resume "$k"
    check "online round $round: same bits as a straight run" same_online "$T/online" "$k"
done
"$U" online "$O" --out "$T/online_stopped" --threads 1 >/dev/null 2>"$T/said" &
pid=$!
wait_for "$T/online_stopped/log.jsonl"
kill -INT $pid
wait $pid
check "Ctrl-C says how to go on online" grep -q 'unifloral online --resume' "$T/said"
check "train resumes it as well" "$U" train --resume "$T/online_stopped" --threads 1
check "to the same bits as a straight online run" same_online "$T/online" "$T/online_stopped"
mv "$T/online_stopped/buffer.hdf5" "$T/kept.hdf5"
refused "a lost buffer" 1 "buffer.hdf5" online --resume "$T/online_stopped"

"$U" online --resume "$T/online" --datasets "$T/sets" --dataset-steps 1000 >"$T/out" 2>"$T/err"
for kind in medium-replay medium expert medium-expert; do
    check "online datasets: $kind" "$U" info "$T/sets/pendulum-$kind.hdf5"
done
rm "$T/sets/pendulum-expert.hdf5"
"$U" online --resume "$T/online" --datasets "$T/sets" --dataset-steps 1000 >"$T/out" 2>"$T/err"
check "a dataset that is there is kept" test "$(grep -c '^kept ' "$T/out")" = 3 -a "$(grep -c '^wrote ' "$T/out")" = 1
check "medium-replay is the beginning of the buffer" eval '
    rows() { "$U" info "$1" | sed -nE "s/^rows *([0-9]+) .*/\1/p"; }
    test "$(rows "$T/sets/pendulum-medium-replay.hdf5")" -lt 1550 -a "$(rows "$T/sets/pendulum-medium-replay.hdf5")" -gt 300'
recipe=$(h5dump -a recipe "$T/sets/pendulum-expert.hdf5" 2>/dev/null | sed -nE 's/.*"unifloral (collect[^;]*);.*/\1/p')
if [ -n "$recipe" ]; then
    check "a recipe makes its file again" eval "'$U' $recipe --out '$T/again.hdf5' --threads 2 &&
        $same '$T/sets/pendulum-expert.hdf5' '$T/again.hdf5'"
else
    echo "skip a recipe makes its file again: no h5dump"
fi

# ---- world model ----

W=$T/world.json
cat >"$W" <<JSON
{"dataset": "$D", "batch_size": 64, "num_ensemble": 3, "num_elites": 2, "n_layers": 2, "layer_size": 32, "num_epochs": 12,
 "checkpoint_interval": 25}
JSON
same_model() { # A B
    "$same" "$1/model.h5" "$2/model.h5" && diff <(numbers "$1") <(numbers "$2")
}
refused "dynamics without a configuration" 2 "--config or --resume is missing" dynamics --dataset "$D"
refused "dynamics without a dataset" 1 "dataset: is empty" dynamics --config "$W" --set dataset= --out "$T/r"
refused "dynamics with too many elites" 1 "num_elites 4 is above num_ensemble 3" dynamics --config "$W" --set num_elites=4 --out "$T/r"
refused "dynamics with an unknown rule" 1 "termination: unknown task.*pendulun.*did you mean" dynamics --config "$W" --set termination=pendulun --out "$T/r"
refused "dynamics of what is no dataset" 1 "world.json" dynamics --config "$W" --dataset "$W" --out "$T/r"
check "refused dynamics runs leave no folder" test ! -e "$T/r"
check dynamics "$U" dynamics --config "$W" --out "$T/world" --threads 1
cp "$T/out" "$T/report"
check "it says how well it predicts" grep -Eq '^one-step R\^2 +[0-9.-]+ mean, [0-9.-]+ worst \((observation [012]|reward)\)$' "$T/report"
check "a log line each epoch" test "$(wc -l <"$T/world/log.jsonl")" = 12 -a "$(wc -l <"$T/world/log.csv")" = 13
if ! grep -q UF_NO_CAIRO "${BUILD:-build}/flags"; then
    for chart in validation_loss prediction_error; do
        check "chart $chart" test -s "$T/world/$chart.png" -a -s "$T/world/$chart.svg"
    done
fi
check "info of a world model" grep -q '^termination *pendulum' <("$U" info "$T/world")
check "dynamics, two threads" "$U" dynamics --config "$W" --out "$T/world2" --threads 2
check "two threads, same world model" eval "$same $T/world/model.h5 $T/world2/model.h5 value/ &&
    $same $T/world/model.h5 $T/world2/model.h5 adam_ && diff <(numbers $T/world) <(numbers $T/world2)"
for round in 1 2; do
    k=$T/world_killed$round kills=0
    for _ in 1 2 3 4; do
        if [ -e "$k/config.json" ]; then set -- --resume "$k"; else set -- --config "$W" --resume "$k"; fi
        "$U" dynamics "$@" --threads 1 >/dev/null 2>&1 &
        pid=$!
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
        kill -9 $pid 2>/dev/null && kills=$((kills + 1))
        wait $pid 2>/dev/null
    done
    check "world model round $round: resume after $kills kills" "$U" dynamics --config "$W" --resume "$k" --threads 1
    check "world model round $round: same bits as a straight run" same_model "$T/world" "$k"
done
"$U" dynamics --config "$W" --out "$T/world_stopped" --threads 1 --set num_epochs=1000000 >/dev/null 2>"$T/said" &
pid=$!
wait_for "$T/world_stopped/log.jsonl"
kill -INT $pid
wait $pid
status=$?
check "Ctrl-C ends dynamics with 130" test $status = 130
check "and says how to go on" grep -Eq '^stopped after epoch [0-9]+; go on with: unifloral dynamics --resume ' "$T/said"
refused "a resumed world model keeps its hyperparameters" 1 "layer_size: .*trained with 32" dynamics --resume "$T/world_stopped" --set layer_size=16
refused "a resumed world model keeps its dataset" 1 "is not the data that the world model was trained on" dynamics --resume "$T/world_stopped" --dataset "$T/other.hdf5"
check "a resumed world model may end earlier or later" "$U" dynamics --resume "$T/world_stopped" --threads 1 \
    --set num_epochs=$(($(wc -l <"$T/world_stopped/log.jsonl") + 3))
check "dynamics stops early" "$U" dynamics --config "$W" --out "$T/world_early" --set early_stop_epochs=1 --set num_epochs=1000 --set lr=0.01
cp "$T/out" "$T/report"
check "and says so" grep -q 'stopped early' "$T/report"
"$U" dynamics --config "$W" --dataset "$T/plain.hdf5" --out "$T/world_plain" --quiet --set num_epochs=1 >/dev/null 2>&1
ruleless=("$S" --dataset "$T/plain.hdf5" --out "$T/ruleless" --quiet --set num_updates=20 --set dataset_sample_ratio=0.5
    --set rollout_batch_size=50 --set "model_path=$T/world_plain")
"$U" train "${ruleless[@]}" >/dev/null 2>"$T/said"
check "a world model without a rule is refused" grep -q "^error: neither termination nor the world model .* set termination" "$T/said"
check "before there is a run" test ! -e "$T/ruleless"
check "so that the same folder takes the next try" "$U" train "${ruleless[@]}" --set termination=never
cp -r "$T/world" "$T/world_kept"
refused "a world model is no run of train" 1 "holds the run of another command: its log.csv begins with 'epoch', expected 'update'" \
    train --resume "$T/world" --threads 1
cp -r "$T/straight" "$T/straight_kept"
refused "nor a run of train a world model's" 1 "holds the run of another command: its log.csv begins with 'update', expected 'epoch'" \
    dynamics --resume "$T/straight" --threads 1
check "neither has changed" eval "diff -r '$T/world' '$T/world_kept' && diff -r '$T/straight' '$T/straight_kept'"
check "a report passes over world models" "$U" report "$T/straight" "$T/world" --out "$T/report.md"
cp "$T/out" "$T/said"
check "and says nothing of them" eval "grep -q '^1 runs, 0 missing' '$T/said' && ! grep -q world '$T/report.md'"
refused "a world model is no checkpoint" 1 "unifloral-dynamics" eval "$T/world/model.h5"

# ---- trouble on the way ----

# ---- bench ----

"$U" bench --ppo --env MiniGrid-Empty-5x5-v0 --set num_envs=2 --set num_steps=8 --set num_minibatches=2 --threads 1 --steps 1 --windows 5 >"$T/bench" 2>"$T/err"
check "bench of PPO" grep -q '"algorithm": "ppo", "env": "MiniGrid-Empty-5x5-v0", .*"frames_per_second": [1-9]' "$T/bench"
refused "a bench of PPO with a shape" 2 "--obs-dim is for other benches" bench --ppo --env cartpole --obs-dim 3
refused "a bench of PPO without an environment" 1 "env: is empty" bench --ppo
refused "settings for another bench" 2 "--set is for --ppo" bench --set lr=1

"$U" bench --config configs/pendulum/edac.json --obs-dim 3 --action-dim 2 --threads 1 --steps 1 --windows 5 --population 2 >"$T/bench" 2>"$T/err"
check "bench prints one line" test "$(wc -l <"$T/bench")" = 1
for key in 'ms_per_update": {"min": [0-9]' 'median": [0-9]' 'max": [0-9]' 'bare_gemm_ms": [0-9]' 'speed_vs_bare_gemm": [0-9]' \
    'gemm_share_of_time": 0\.' 'gflops": [0-9]' 'population": 2' 'windows": 5' 'machine": "' 'openblas": "OpenBLAS' 'hdf5": "1'; do
    check "bench has $key" grep -q "\"$key" "$T/bench"
done

small="dataset_sample_ratio 0.5 rollout_batch_size 100 rollout_length 2 layer_size 16 actor_layer_width 16"
{ echo "{"; set -- $small; while [ $# -gt 0 ]; do echo "\"$1\": $2$([ $# -gt 2 ] && echo ,)"; shift 2; done; echo "}"; } >"$T/model.json"
"$U" bench --config "$T/model.json" --rollouts --windows 5 >"$T/bench" 2>"$T/err"
for key in 'rollout_batch_size": 100' 'ms_per_rollout": {"min": [0-9]' 'speed_vs_bare_gemm": [0-9]' 'gflop_per_rollout": 0'; do
    check "bench of rollouts has $key" grep -q "\"$key" "$T/bench"
done
refused "a bench of rollouts without any" 1 "dataset_sample_ratio" bench --rollouts
refused "a ratio below 1 without a model" 1 "dataset_sample_ratio 0.05 .*model_path.*unifloral dynamics" train configs/mobrac.json \
    --dataset "$T/absurd.hdf5" --out "$T/none"
check "bench of the world model" grep -q '"algorithm": "dynamics"' \
    <("$U" bench --dynamics --config "$W" --obs-dim 3 --action-dim 1 --threads 1 --steps 1 --windows 5)
"$U" bench --env pendulum --steps 50 --windows 5 --threads 2 >"$T/bench" 2>"$T/err"
check "bench of an environment" grep -Eq '^\{"env": "Pendulum-v1", "threads": 2, "steps": 50, "windows": 5, "steps_per_second": [0-9]+\}$' "$T/bench"
refused "bench of an unknown environment" 1 "unknown environment 'mars'; known: pendulum" bench --env mars
"$U" bench --env MiniGrid-DoorKey-5x5-v0 --observation full --envs 300 --steps 20 --windows 5 --threads 2 >"$T/bench" 2>"$T/err"
check "bench of gridworlds" grep -Eq '^\{"env": "MiniGrid-DoorKey-5x5-v0", "observation": "full", "envs": 300, "threads": 2, "steps": 20, "windows": 5, "steps_per_second": [0-9]+, .*"steps_per_processor_second": [0-9]+, "observation_bytes": 75, "write_gb_per_second": [0-9.]+, "write_share": [0-9.]+\}$' "$T/bench"
refused "bench of an unknown gridworld" 1 "did you mean 'MiniGrid-DoorKey-5x5-v0'" bench --env MiniGrid-DorKey-5x5-v0
refused "bench of an unknown observation" 1 "unknown observation 'ful'; did you mean 'full'" bench --env MiniGrid-Empty-5x5-v0 --observation ful
refused "bench of environments side by side" 2 "--envs, --observation and --device are for gridworlds" bench --env pendulum --envs 8
refused "bench of an observation without a gridworld" 2 "--observation.*gridworlds" bench --observation full
"$U" envs >"$T/envs" 2>"$T/err"
check "envs has every MiniGrid id" test "$(grep -c '^MiniGrid-' "$T/envs")" -ge 76
check "envs has every NAVIX id" test "$(grep -c '^Navix-' "$T/envs")" = 47
check "envs has the others too" grep -q '^Pendulum-v1' "$T/envs"
refused "bench of an environment and an update" 2 "--config is for updates" bench --env pendulum --config "$S"
# It fails where the bare loop ends in another state.
for env in Hopper-v2 Hopper-v4 HalfCheetah-v4 Walker2d-v2 Ant-v4 InvertedPendulum-v4; do
    name="bench of $env and a bare loop"
    if "$U" bench --env $env --steps 100 --windows 5 --threads 2 >"$T/bench" 2>"$T/err"; then
        check "$name" grep -q "\"bare_steps_per_second\": [0-9]*, \"ratio\": [0-9]" "$T/bench"
    elif grep -q "libmujoco-dev" "$T/err"; then
        echo "skip $name"
    else
        not_ok "$name"
    fi
done

# One absurd reward among 3000: the loss is infinite once a batch draws it.
awk 'BEGIN { print "obs_0,obs_1,obs_2,action_0,reward,terminal,timeout"
    for (i = 0; i < 3000; i++) printf "%g,0,0,0.5,%s,0,%d\n", sin(i), i == 1500 ? "1e30" : "-1", i % 100 == 99 }' >"$T/absurd.csv"
check "convert the absurd reward" "$U" convert "$T/absurd.csv" "$T/absurd.hdf5"
refused "a run that diverges" 1 "update [0-9]+: .*not finite.*the last good checkpoint, update [0-9]+, is" train "$S" --out "$T/nan" \
    --quiet --dataset "$T/absurd.hdf5" --set env=pendulum --set checkpoint_interval=1
check "and its last good checkpoint loads" "$U" info "$T/nan/checkpoint.h5"
# A file size limit stands for a full disk: writes fail in the middle of a checkpoint.
(
    trap '' XFSZ
    ulimit -f 4
    "$U" train "$S" --out "$T/full" --quiet >/dev/null 2>"$T/said"
    echo $? >"$T/status"
)
check "a full disk is one sentence" test "$(cat "$T/status")" = 1 -a "$(wc -l <"$T/said")" = 1
check "and leaves no broken checkpoint" test ! -e "$T/full/checkpoint.h5"
check "and can be resumed" "$U" train --resume "$T/full" --quiet --threads 1
check "to the same bits" eval "$same $T/straight/checkpoint.h5 $T/full/checkpoint.h5 value/"

exit $bad
